"""
What people see of a wait in XCom, and when it is written there.

A write costs Airflow more than the poll that led to it: what has not changed is not written again, and what
changes at every poll not every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_migration.keys import CONSOLE_URL_KEY, HISTORY_KEY, PROGRESS_KEY, WAIT_KEY
from airflow_provider_migration.progress import MigrationProgress

MAX_POINTS: Final = 60
"""How many points the history holds, in less than 2 KB."""

PACE: Final[Mapping[str, float]] = {PROGRESS_KEY: 10, HISTORY_KEY: 120, WAIT_KEY: 10}
"""How many seconds of polling lie at least between two writes of a key; the end does not wait."""

Point = tuple[float, float | None, float | None]
"""Epoch seconds, percent, lag in seconds."""


@dataclass(slots=True)
class Publication:
    """
    What of one wait is to be seen, and what of it is written.

    :ivar points: how percent and lag went, oldest first; the older, the sparser.
    :ivar records: how many records were seen.
    :ivar changes: how often the record has changed.
    :ivar written: for each key after how many records it was written, and after how many changes; for the
        wait after how many polls, and after how many changes of the wait.
    :ivar polls: how many polls there were, failed ones too.
    :ivar wait_changes: how often what the wait tells has changed.
    """

    points: list[Point] = field(default_factory=list)
    records: int = 0
    changes: int = 0
    written: dict[str, tuple[int, int]] = field(default_factory=dict)
    polls: int = 0
    wait_changes: int = 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Publication:
        """Make the publication again that :meth:`to_json` wrote down."""
        written = {key: (records, changes) for key, (records, changes) in data["written"].items()}
        return cls(
            points_of(data["points"]),
            data["records"],
            data["changes"],
            written,
            # A version that wrote no wait did not count them.
            data.get("polls", 0),
            data.get("wait_changes", 0),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        written = {key: list(counts) for key, counts in self.written.items()}
        return {
            "points": self._history(),
            "records": self.records,
            "changes": self.changes,
            "written": written,
            "polls": self.polls,
            "wait_changes": self.wait_changes,
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

    def count_poll(self, *, wait_has_changed: bool) -> None:
        """Take note of a poll, failed or not."""
        self.polls += 1
        self.wait_changes += wait_has_changed

    def due(
        self,
        progress: MigrationProgress | None,
        wait: Callable[[], Mapping[str, Any] | None],
        interval: float,
        *,
        is_last: bool,
    ) -> dict[str, Any]:
        """
        Return what is to be written now, by XCom key.

        :param progress: the last record, or None when there is none yet.
        :param wait: tells how the wait stands, None when that is not known; asked only when it is due.
        :param interval: seconds between two polls.
        :param is_last: whether the wait ends with this poll.
        """

        def is_due(key: str) -> bool:
            if key not in self.written:
                return True
            count, changes = self._counts(key)
            count_then, changes_then = self.written[key]
            is_paced = (count - count_then) * interval >= PACE[key]
            return is_last or (changes != changes_then and is_paced)

        due: dict[str, Any] = {}
        if progress is not None:
            if is_due(PROGRESS_KEY):
                due[PROGRESS_KEY] = progress.model_dump(mode="json")
            if CONSOLE_URL_KEY not in self.written:
                due[CONSOLE_URL_KEY] = progress.console_url
            if self.points and is_due(HISTORY_KEY):
                due[HISTORY_KEY] = self._history()
        # Last, so that a record that is newer than the wait comes of a later poll.
        if is_due(WAIT_KEY) and (told := wait()) is not None:
            due[WAIT_KEY] = told
        return due

    def wrote(self, key: str) -> None:
        """Take note that a key is written; what could not be is due again at the next poll."""
        self.written[key] = self._counts(key)

    def _counts(self, key: str) -> tuple[int, int]:
        return (self.polls, self.wait_changes) if key == WAIT_KEY else (self.records, self.changes)

    def _history(self) -> list[list[float | None]]:
        return [list(point) for point in self.points]


def points_of(value: Any) -> list[Point]:
    """Return points as they were written down, none where they are not readable."""
    try:
        return [(float(at), percent, lag) for at, percent, lag in value]
    except (TypeError, ValueError):
        return []
