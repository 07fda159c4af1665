"""
What people see of a wait in XCom, and when it is written there.

A write costs Airflow more than the poll that led to it: what has not changed is not written again, and what
changes at every poll not every time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_migration.keys import CONSOLE_URL_KEY, HISTORY_KEY, PROGRESS_KEY
from airflow_provider_migration.progress import MigrationProgress

MAX_POINTS: Final = 60
"""How many points the history holds, in less than 2 KB."""

PACE: Final[Mapping[str, float]] = {PROGRESS_KEY: 10, HISTORY_KEY: 120}
"""How many seconds of polling lie at least between two writes of a key; the last record does not wait."""

Point = tuple[float, float | None, float | None]
"""Epoch seconds, percent, lag in seconds."""


@dataclass(slots=True)
class Publication:
    """
    What of one wait is to be seen, and what of it is written.

    :ivar points: how percent and lag went, oldest first; the older, the sparser.
    :ivar records: how many records were seen.
    :ivar changes: how often the record has changed.
    :ivar written: for each key after how many records it was written, and after how many changes.
    """

    points: list[Point] = field(default_factory=list)
    records: int = 0
    changes: int = 0
    written: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Publication:
        """Make the publication again that :meth:`to_json` wrote down."""
        written = {key: (records, changes) for key, (records, changes) in data["written"].items()}
        return cls(points_of(data["points"]), data["records"], data["changes"], written)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        written = {key: list(counts) for key, counts in self.written.items()}
        return {
            "points": self._history(),
            "records": self.records,
            "changes": self.changes,
            "written": written,
        }

    def add(self, progress: MigrationProgress, *, has_changed: bool) -> None:
        """Take note of a record."""
        self.records += 1
        self.changes += has_changed
        percent, lag = progress.percent, progress.lag_seconds
        if percent is None and lag is None:
            return
        self.points.append((round(progress.observed_at.timestamp()), percent, lag and round(lag, 1)))
        if len(self.points) > MAX_POINTS:
            half = MAX_POINTS // 2
            self.points[:half] = self.points[:half:2]

    def due(self, progress: MigrationProgress | None, interval: float, *, is_last: bool) -> dict[str, Any]:
        """
        Return what is to be written now, by XCom key.

        :param progress: the last record, or None when there is none yet.
        :param interval: seconds between two polls.
        :param is_last: whether the wait ends with this record.
        """

        def is_due(key: str) -> bool:
            if key not in self.written:
                return True
            records, changes = self.written[key]
            is_paced = (self.records - records) * interval >= PACE[key]
            return is_last or (changes != self.changes and is_paced)

        due: dict[str, Any] = {}
        if progress is None:
            return due
        if is_due(PROGRESS_KEY):
            due[PROGRESS_KEY] = progress.model_dump(mode="json")
        if CONSOLE_URL_KEY not in self.written:
            due[CONSOLE_URL_KEY] = progress.console_url
        if self.points and is_due(HISTORY_KEY):
            due[HISTORY_KEY] = self._history()
        return due

    def wrote(self, key: str) -> None:
        """Take note that a key is written; what could not be is due again at the next poll."""
        self.written[key] = (self.records, self.changes)

    def _history(self) -> list[list[float | None]]:
        return [list(point) for point in self.points]


def points_of(value: Any) -> list[Point]:
    """Return points as they were written down, none where they are not readable."""
    try:
        return [(float(at), percent, lag) for at, percent, lag in value]
    except (TypeError, ValueError):
        return []
