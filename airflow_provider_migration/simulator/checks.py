"""Tables of a service's own data check: rows compared, and rows that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_migration.simulator.scripts import CheckCondition

if TYPE_CHECKING:
    from airflow_provider_migration.simulator.scenario import Verification
    from airflow_provider_migration.simulator.scripts import CheckRun

DATABASE = "shop"
"""The database of all tables."""

_MISSING_ROWS, _CHANGED_ROWS = 2, 1


@dataclass(frozen=True)
class CheckedTable:
    """
    One table of a data check, ``orders_0001`` and so on.

    :param done: fraction done from 0 to 1.
    :param rows: number of rows in the source.
    :param checked: number of rows compared so far.
    :param missing: number of rows missing in the destination, once the table is compared. Also ``changed``.
    """

    number: int
    condition: CheckCondition
    done: float
    rows: int
    checked: int
    missing: int = 0
    changed: int = 0

    @property
    def name(self) -> str:
        """The name of the table."""
        return f"orders_{self.number:04d}"


def checked_tables(verification: Verification, run: CheckRun) -> list[CheckedTable]:
    """Return the tables of a run, which are compared one after the other."""
    return [_checked_table(verification, run, number) for number in range(1, verification.tables + 1)]


def _checked_table(verification: Verification, run: CheckRun, number: int) -> CheckedTable:
    done = min(max(run.done * verification.tables - (number - 1), 0.0), 1.0)
    rows = 1000 + 10 * number
    if done < 1:
        condition = CheckCondition.RUNNING if done else CheckCondition.WAITING
        if run.condition is CheckCondition.FAILED:
            condition = CheckCondition.FAILED
        return CheckedTable(number, condition, done, rows, int(done * rows))
    if run.differs and number <= (verification.different or verification.tables):
        return CheckedTable(
            number, CheckCondition.DIFFERENT, done, rows, rows, missing=_MISSING_ROWS, changed=_CHANGED_ROWS
        )
    return CheckedTable(number, CheckCondition.CONSISTENT, done, rows, rows)
