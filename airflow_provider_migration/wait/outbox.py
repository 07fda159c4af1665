"""
The XCom entries of a wait: their content, and when each is written.

A write costs Airflow more than the poll before it. So an entry that has not changed is not written again, and
an entry that changes at every poll is written at most once in its minimum interval.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_migration.keys import CONSOLE_URL_KEY, HISTORY_KEY, PROGRESS_KEY, WAIT_KEY
from airflow_provider_migration.progress import MigrationProgress

log: Final = logging.getLogger(__name__)

MAX_POINTS: Final = 60
"""Maximum number of points in the history, which take less than 2 KB."""

_OLDER: Final = MAX_POINTS // 2 + 2
"""Number of points that decide which one is dropped; the latest are kept."""

Point = tuple[float, float | None, float | None]
"""Epoch seconds, percent, lag in seconds."""


@dataclass(slots=True)
class XComOutbox:
    """
    The XCom entries of one wait, and the state of their writes.

    :ivar points: the history of percent and lag, oldest first; older points are thinned out evenly.
    :ivar records: number of records.
    :ivar changes: number of changes of the record.
    :ivar written: for each key, the counters at its last write: of records and their changes, for the wait
        entry of polls and changes of the wait.
    :ivar polls: number of polls, failed ones included.
    :ivar wait_changes: number of changes of the wait entry.
    """

    points: list[Point] = field(default_factory=list)
    records: int = 0
    changes: int = 0
    written: dict[str, tuple[int, int]] = field(default_factory=dict)
    polls: int = 0
    wait_changes: int = 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> XComOutbox:
        """Rebuild an outbox from the output of :meth:`to_json`."""
        written = {key: (records, changes) for key, (records, changes) in data["written"].items()}
        return cls(
            points_of(data["points"]),
            data["records"],
            data["changes"],
            written,
            # A version without the wait entry did not count these.
            data.get("polls", 0),
            data.get("wait_changes", 0),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the outbox as plain JSON."""
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
        """Add a record to history and counters."""
        self.records += 1
        self.changes += has_changed
        percent, lag = progress.percent, progress.lag_seconds
        if percent is None and lag is None:
            return
        self.points.append((round(progress.observed_at.timestamp()), percent, lag and round(lag, 1)))
        if len(self.points) > MAX_POINTS:
            # Leave the older half evenly spaced: the time left is estimated from it.
            gaps = [
                later[0] - earlier[0]
                for earlier, later in zip(self.points, self.points[2:_OLDER], strict=False)
            ]
            del self.points[gaps.index(min(gaps)) + 1]

    def record_poll(self, *, wait_has_changed: bool) -> None:
        """Count a poll, failed or not."""
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
        Return the entries that are due now, by XCom key.

        :param progress: the last record, or None if there is none yet.
        :param wait: returns the wait entry, or None if it is not known; called only when the entry is due.
        :param interval: seconds between two polls.
        :param is_last: True if the wait ends with this poll.
        """
        due: dict[str, Any] = {}
        for key in KEYS:
            try:
                if self._is_due(key, interval, is_last=is_last):
                    content = key.content(self, progress, wait)
                    if content is not None:
                        due[key.name] = content
            except Exception:  # an entry for people must not end the wait
                log.exception("XCom %s cannot be written", key.name)
        return due

    def mark_written(self, key: str) -> None:
        """Mark an entry as written; an entry that could not be written is due again at the next poll."""
        self.written[key] = next(known.counter(self) for known in KEYS if known.name == key)

    def _is_due(self, key: Key, interval: float, *, is_last: bool) -> bool:
        if key.name not in self.written:
            return True
        count, changes = key.counter(self)
        count_then, changes_then = self.written[key.name]
        has_passed = (count - count_then) * interval >= key.min_interval
        return (is_last and not key.is_written_once) or (changes != changes_then and has_passed)

    def _history(self) -> list[list[float | None]]:
        return [list(point) for point in self.points]


@dataclass(frozen=True, slots=True)
class Key:
    """
    A key of XCom.

    :ivar min_interval: minimum seconds of polling between two writes; the last write does not wait.
    :ivar counter: returns how often the content was seen, and how often it changed.
    :ivar content: returns the value to write, or None for no write; takes the outbox, the last record and a
        function that returns the wait entry.
    """

    name: str
    min_interval: float
    counter: Callable[[XComOutbox], tuple[int, int]]
    content: Callable[[XComOutbox, MigrationProgress | None, Callable[[], Any]], Any]

    @property
    def is_written_once(self) -> bool:
        """True for a key that is never written a second time."""
        return self.min_interval == math.inf


def _records(outbox: XComOutbox) -> tuple[int, int]:
    return outbox.records, outbox.changes


def _polls(outbox: XComOutbox) -> tuple[int, int]:
    return outbox.polls, outbox.wait_changes


KEYS: Final = (
    Key(PROGRESS_KEY, 10, _records, lambda _, progress, wait: progress and progress.model_dump(mode="json")),
    Key(CONSOLE_URL_KEY, math.inf, _records, lambda _, progress, wait: progress and progress.console_url),
    Key(HISTORY_KEY, 120, _records, lambda outbox, progress, wait: (progress and outbox._history()) or None),
    # Each poll writes the record before the wait: a newer record is from a later, successful poll.
    Key(WAIT_KEY, 10, _polls, lambda outbox, progress, wait: wait()),
)
"""Every key of XCom, in the order in which they are written."""


def points_of(value: Any) -> list[Point]:
    """Read points from JSON; return an empty list if they cannot be read."""
    try:
        return [(float(at), percent, lag) for at, percent, lag in value]
    except (TypeError, ValueError, OverflowError):
        return []
