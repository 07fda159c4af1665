"""Compare the clock of this machine with the service's."""

from __future__ import annotations

from math import inf
from typing import Final

from airflow_provider_migration.clock import Clock
from airflow_provider_migration.sansio import Response

CLOCK_TOLERANCE_SECONDS: Final = 180.0
"""Difference from which the clocks of the service and of this machine count as different."""
CLOCK_AGREES_SECONDS: Final = 120.0
"""Difference below which the clocks count as the same again."""
CLOCK_CHECK_SECONDS: Final = 60.0
"""Minimum seconds between two comparisons."""


def seconds_ahead(response: Response, clock: Clock) -> float | None:
    """Return the seconds by which this machine's clock is ahead of the service's, or None."""
    date = response.date
    return None if date is None else (clock.now() - date).total_seconds()


def clock_text(ahead: float) -> str:
    """Return the message about a clock that differs by some seconds."""
    minutes = round(abs(ahead) / 60)
    by = f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
    return (
        f"The clock of this machine is {by} {'ahead of' if ahead > 0 else 'behind'} the service's: correct "
        "it, because signatures and lags depend on it."
    )


class ClockCheck:
    """
    Comparison of the service's clock with this machine's, for the calls of one hook.

    :ivar warning: the warning, whose text stays the same while the difference does, or None.
    """

    def __init__(self) -> None:
        self.warning: str | None = None
        self._reported = 0.0
        self._due_at = -inf

    def note(self, response: Response, clock: Clock) -> None:
        """Compare with the date of an answer, unless that was done recently: parsing a date is expensive."""
        now = clock.monotonic()
        if now < self._due_at:
            return
        ahead = seconds_ahead(response, clock)
        if ahead is None:
            return
        self._due_at = now + CLOCK_CHECK_SECONDS
        if abs(ahead) <= (CLOCK_AGREES_SECONDS if self.warning else CLOCK_TOLERANCE_SECONDS):
            self.warning = None
        elif not self.warning or abs(ahead - self._reported) > max(
            CLOCK_TOLERANCE_SECONDS, abs(self._reported) / 2
        ):
            self.warning, self._reported = clock_text(ahead), ahead
