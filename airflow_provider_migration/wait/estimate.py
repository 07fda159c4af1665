"""
Estimate the time left of the bulk work from the history of percent, where the service gives none.

Pure: no clock, no I/O. The page shows the figure of the record and computes none of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from statistics import median_low
from typing import Any, Final

from airflow_provider_migration.progress import MAX_SECONDS, MigrationState

MIN_RISES: Final = 3
"""Minimum number of rises for a pace."""

MIN_OBSERVED: Final = 60.0
"""Minimum seconds of observation."""

RECENT_SHARE: Final = 5
"""Divisor of the copy so far: the pace is taken from its last fifth."""

RECENT_RISES: Final = 8
"""Minimum rises for the pace; fewer would make the pace jitter with each poll."""

OUTLIER: Final = 5.0
"""Multiple of the usual from which a step counts as a jump, a pause or a stall."""

SAME: Final = 1.25
"""Maximum ratio of two paces that count as the same."""

MIN_JUMP: Final = 5.0
"""Minimum percentage points of a jump: smaller ones belong to the pace of a copy of a few large tables."""

MAX_JITTER: Final = 1.0
"""Percentage points by which percent may fall without a restart of the copy."""


_NUMBERS: Final = (int, float)

_Rise = tuple[float, float]
"""Epoch seconds, and percent that is higher than before."""

_Step = tuple[float, float]
"""Seconds and percentage points from one rise to the next."""


def seconds_left(
    points: Iterable[Any], now: float, state: MigrationState = MigrationState.RUNNING
) -> float | None:
    """
    Estimate the seconds until percent is 100, or return None without a reliable pace.

    Only times at which percent has risen count, so neither rounding nor polls between two rises matter. The
    pace is that of the last fifth of the copy so far, at least of eight rises. A step that takes much longer
    than the usual one, at another pace (a pause, a stall, a gap between polls), is left out. A jump
    or a fall of percent counts as the start of a new copy.

    Accuracy, after a third of a copy of one pace or two: within 15 % of the time left at the present pace, if
    that pace has lasted for a quarter of the copy so far, and for ten rises that the history holds. One
    interval between polls and one step of percent add to the error.

    None:

    - in any state but ``running``, and at 0 and 100 %;
    - with fewer than three rises, or after less than a minute, since the copy began, jumped or fell back;
    - if percent has not risen for five times the usual time.

    :param points: the history, oldest first: ``[epoch seconds, percent, lag]``. Anything else in it is
        skipped.
    :param now: epoch seconds of the last observation.
    :param state: the state at that time.
    """
    if state is not MigrationState.RUNNING:
        return None
    rises, began_at = _rises(points, now)
    if len(rises) < MIN_RISES or now - began_at < MIN_OBSERVED or rises[-1][1] >= 100:
        return None
    steps = _steps(rises)
    if len(steps) < MIN_RISES - 1:
        return None
    usual = median_low([seconds for seconds, _ in steps[-RECENT_RISES // 2 :]])
    still = max(now - rises[-1][0], 0)
    if still > OUTLIER * usual:
        return None
    pace = sum([percent for _, percent in steps]) / sum([seconds for seconds, _ in steps])
    # Percent has not reached its next step yet.
    left = (100 - rises[-1][1]) / pace - min(still, usual)
    return _rounded(max(left, 0)) if left <= MAX_SECONDS else None


def _rises(points: Iterable[Any], now: float) -> tuple[list[_Rise], float]:
    """Return the rises of percent since it last fell, and the time of the observation before the first."""
    rises: list[_Rise] = []
    top, began_at, last = math.inf, now, -math.inf
    for point in points:
        try:
            at, percent = point[0], point[1]
        except (TypeError, IndexError, KeyError):
            continue
        # bool is an int, and NaN is in no range.
        if type(at) not in _NUMBERS or type(percent) not in _NUMBERS:
            continue
        if not (0 <= at <= now + 1 and 0 <= percent <= 100):
            continue
        if percent < top - MAX_JITTER or at < last:  # a new copy, or a clock that was set back
            rises, top, began_at = [], percent, at
        elif percent > top and at > last:
            rises.append((at, percent))
            top = percent
        last = at
    return rises, began_at


def _steps(rises: list[_Rise]) -> list[_Step]:
    """Return the recent steps since the last jump, without those that took too long at another pace."""
    horizon = rises[-1][0] - (rises[-1][0] - rises[0][0]) / RECENT_SHARE
    start = bisect_left(rises, (horizon, 0))
    recent = rises[max(min(start, len(rises) - 1 - RECENT_RISES), 0) :]
    steps = [(later[0] - rise[0], later[1] - rise[1]) for rise, later in pairwise(recent)]
    pace = median_low([percent / seconds for seconds, percent in steps])
    least = max(MIN_JUMP, OUTLIER * median_low([percent for _, percent in steps]))
    jumps = [
        i
        for i, (seconds, percent) in enumerate(steps)
        if percent >= least and percent / seconds > OUTLIER * pace
    ]
    steps = steps[jumps[-1] + 1 :] if jumps else steps
    if not steps:
        return []
    pace = median_low([percent / seconds for seconds, percent in steps])
    longest = OUTLIER * median_low([seconds for seconds, _ in steps])
    return [
        (seconds, percent)
        for seconds, percent in steps
        # The older points of the history are far apart.
        if seconds <= longest or pace / SAME < percent / seconds < pace * SAME
    ]


def _rounded(seconds: float) -> float:
    """Round to whole seconds, and to three digits."""
    return float(round(seconds, min(2 - math.floor(math.log10(max(seconds, 1))), 0)))
