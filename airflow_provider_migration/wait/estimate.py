"""Estimate of the time left of the bulk work, from the course of its percent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Mark = tuple[float, float]
"""Epoch seconds, and the percent that was first seen then."""

MIN_STEP: Final = 1.0
"""Percent points between two marks: services round to whole percents."""

MAX_MARKS: Final = 8
"""Number of marks of which the pace is taken: earlier ones say little, as a copy changes its pace."""

MIN_MARKS: Final = 4
"""Minimum number of marks for a pace."""

PATIENCE: Final = 5.0
"""Multiple of the usual time between two marks after which the migration counts as stalled."""

MIN_PATIENCE: Final = 60.0
"""Seconds without a mark for which a migration never counts as stalled."""

MAX_SECONDS: Final = 30 * 86_400.0
"""Longer estimates say nothing."""


def next_marks(marks: Sequence[Mark], at: float, percent: float) -> list[Mark]:
    """
    Return the marks after one more observation.

    A percent that falls begins a new course, and so does 0, which lasts as long as the precheck.

    :param at: epoch seconds.
    """
    if not marks or percent < marks[-1][1] or percent == 0:
        return [(at, percent)]
    if percent - marks[-1][1] < MIN_STEP:
        return list(marks)
    return [*marks, (at, percent)][-MAX_MARKS:]


def estimate_remaining_seconds(marks: Sequence[Mark], now: float) -> float | None:
    """
    Return the seconds until 100 %, or None while the pace is not known or nothing moves.

    The marks are fitted with a line, by least squares.

    :param marks: from :func:`next_marks`.
    :param now: epoch seconds of the last observation.
    """
    if len(marks) < MIN_MARKS:
        return None
    begin, last = marks[0][0], marks[-1][0]
    if now - last > max(PATIENCE * (last - begin) / (len(marks) - 1), MIN_PATIENCE):
        return None
    mean_at = sum(at for at, _ in marks) / len(marks)
    mean = sum(percent for _, percent in marks) / len(marks)
    spread = sum((at - mean_at) ** 2 for at, _ in marks)
    pace = sum((at - mean_at) * (percent - mean) for at, percent in marks) / spread if spread else 0.0
    if pace <= 0:
        return None
    seconds = (100 - mean) / pace - (now - mean_at)
    return seconds if 0 < seconds <= MAX_SECONDS else None
