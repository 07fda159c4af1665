"""Log lines and messages of a wait."""

from __future__ import annotations

from typing import Any, Final

from airflow_provider_migration.progress import (
    MISMATCHES,
    MigrationProgress,
    MigrationState,
    TableVerification,
    Verification,
    VerificationState,
    clean_text,
)

MAX_NAMES: Final = 1_000
"""Maximum characters for the names of the tables that differ."""


def describe(progress: MigrationProgress, *, with_verification: bool = False) -> str:
    """
    Return a record in one line.

    :param with_verification: describe the data check too, even if there is nothing wrong with it.
    """
    parts = [f"{progress.service} {progress.migration_id}: {progress.state}"]
    if progress.service_status and progress.service_status.lower() != progress.state.value:
        parts.append(f"({progress.service_status})")
    if progress.percent is not None:
        parts.append(f"{progress.percent:g} %")
    running = [phase for phase in progress.phases if phase.state is MigrationState.RUNNING]
    if running:
        parts.append("in " + ", ".join(_phase(phase.name, phase.percent) for phase in running))
    if progress.lag_seconds is not None:
        parts.append(f"lag {progress.lag_seconds:.0f} s")
    line = " ".join(parts)
    check = progress.verification
    if check and (with_verification or check.state in MISMATCHES):
        line += f"; {describe_verification(check)}"
    if progress.error:
        line += "".join(
            f"; {label}{text.rstrip('. ')}"
            for label, text in (
                ("", progress.error.message or progress.error.code),
                ("what to do: ", progress.error.remedy),
            )
            if text
        )
    return line


def describe_verification(check: Verification) -> str:
    """Return the state of a data check in one clause, with the tables that differ."""
    if check.state is VerificationState.INCONSISTENT:
        count = check.tables_different
        where = f" in {_of(count, check.tables_total)}" if count else ""
        return f"the data check found differences{where}{_names(check.worst)}"
    if check.state is VerificationState.FAILED:
        where = f" for {_of(check.tables_failed, check.tables_total)}" if check.tables_failed else ""
        return f"the data check failed{where}{_names(check.worst)}"
    if check.state is VerificationState.CONSISTENT:
        return f"the data check found no differences in {_count(check.tables_compared or 0, 'table')}"
    percent = "" if check.percent is None else f" ({check.percent:g} %)"
    return {
        VerificationState.NOT_CONFIGURED: "no data check is configured",
        VerificationState.PENDING: "the data check has not begun",
        VerificationState.RUNNING: f"the data check is running{percent}",
    }.get(check.state, "the result of the data check is not known")


def _of(count: int, total: int | None) -> str:
    """Return a number of tables, of a total if that is known."""
    return _count(count, "table") if total is None else f"{count} of {_count(total, 'table')}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _names(tables: tuple[TableVerification, ...]) -> str:
    named = ", ".join(
        f"{table.source or table.destination or 'a table without a name'}"
        + (f" ({_count(table.rows_different, 'row')})" if table.rows_different else "")
        for table in tables
    )
    return f": {clean_text(named, MAX_NAMES)}" if named else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times in a row"


def _phase(name: str | None, percent: float | None) -> str:
    return f"{name}" if percent is None else f"{name} {percent:g} %"


def log_state(progress: MigrationProgress, *, with_verification: bool = False) -> list[Any]:
    """
    Return the state that a log line describes: the next line is due when this state changes.

    :param with_verification: as in :func:`describe`.
    """
    check = progress.verification
    is_described = check is not None and (with_verification or check.state in MISMATCHES)
    return [
        progress.state,
        progress.service_status,
        None if progress.percent is None else int(progress.percent),
        [(phase.name, phase.state, phase.service_status) for phase in progress.phases],
        progress.error and progress.error.model_dump(mode="json"),
        progress.objects and progress.objects.completed,
        *([check.state, check.tables_different, check.tables_failed] if check and is_described else []),
    ]
