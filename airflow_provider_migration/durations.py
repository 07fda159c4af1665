"""Durations as users give them: seconds or a timedelta."""

from __future__ import annotations

from datetime import timedelta
from typing import Any


def is_number(value: object) -> bool:
    """Tell whether something is a number of seconds: finite, and 0 or more."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def to_seconds(value: Any) -> Any:
    """Return a timedelta as seconds, and any other value as it is."""
    return value.total_seconds() if isinstance(value, timedelta) else value
