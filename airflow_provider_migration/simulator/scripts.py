"""
Ready-made scripts, and the position of a migration in its script over time.

A script runs through the phases that all four services share. Each service's own module translates a
:class:`Moment` into its own words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Condition(Enum):
    """Condition of a migration."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    PAUSED = "paused"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Moment:
    """
    Position of a migration.

    :param precheck: fraction done from 0 to 1; None before the phase begins. Also ``structure``, ``full``.
    :param lag: seconds behind the source; None before the incremental phase.
    :param caught_up: true if the lag has reached about 0 and is there now.
    :param since: duration of the condition, as a fraction of the script's duration.
    """

    condition: Condition
    precheck: float | None = None
    structure: float | None = None
    full: float | None = None
    lag: float | None = None
    caught_up: bool = False
    since: float = 0.0

    @property
    def phase(self) -> str:
        """The phase it is in: ``waiting``, ``precheck``, ``structure``, ``full`` or ``incremental``."""
        if self.lag is not None:
            return "incremental"
        begun = [name for name in ("precheck", "structure", "full") if getattr(self, name) is not None]
        return begun[-1] if begun else "waiting"


class _Halt(NamedTuple):
    begin: float
    end: float
    condition: Condition


_PRECHECK_BEGIN, _STRUCTURE_BEGIN, _FULL_BEGIN, _INCREMENTAL_BEGIN = 0.06, 0.2, 0.34, 0.8

_HALTS = {
    "failure": _Halt(0.6, math.inf, Condition.FAILED),
    "precheck_failure": _Halt(0.18, math.inf, Condition.FAILED),
    "pause": _Halt(0.5, 0.8, Condition.PAUSED),
    "paused": _Halt(0.5, math.inf, Condition.PAUSED),
    "stopped": _Halt(0.5, math.inf, Condition.STOPPED),
    "never_ending": _Halt(0.6, math.inf, Condition.RUNNING),
    "unknown_status": _Halt(0.5, 0.8, Condition.UNKNOWN),
}
"""Pauses of the scripts, in fractions of their duration, with the condition meanwhile."""

_FLAPS = ((1.1, 1.4), (1.6, 1.9))
_FLAP_LAG = 180.0
_FIRST_LAG = 240.0

_COMMON = ("success", "failure", "precheck_failure", "stopped", "never_ending", "unknown_status")
_WITH_PAUSE_AND_LAG = (*_COMMON, "pause", "paused", "flap")

SCRIPTS = {
    "dataworks": (*_COMMON, "partial_success"),
    "dts": _WITH_PAUSE_AND_LAG,
    "oms": _WITH_PAUSE_AND_LAG,
    "drs": _WITH_PAUSE_AND_LAG,
}
"""
The scripts of each service. ``success`` ends after ``duration``; the others use fractions of it:

- ``success``: through every phase to the end, and well from then on;
- ``failure``: fails at 60 %, in the full phase; ``precheck_failure``: fails in the precheck;
- ``pause``: pauses from 50 % to 80 %, then goes on; ``paused``: pauses at 50 % for good;
- ``stopped``: stopped by hand at 50 %; ``never_ending``: runs, but nothing moves after 60 %;
- ``flap``: caught up, then the lag rises above three minutes and falls again, twice, then stays low;
- ``unknown_status``: an undocumented status word from 50 % to 80 %, then goes on;
- ``partial_success``: ends with only a part done.
"""


def at(script: str, seconds: float, *, duration: float, incremental: bool) -> Moment:
    """
    Return the position in a script.

    :param seconds: seconds since the script started.
    :param duration: seconds until ``success`` reaches its end.
    :param incremental: add an incremental phase after the full one.
    """
    time = seconds / duration
    condition, since = Condition.RUNNING, 0.0
    if (halt := _HALTS.get(script)) and time >= halt.begin:
        if time < halt.end:
            condition, since, time = halt.condition, time - halt.begin, halt.begin
        else:
            time -= halt.end - halt.begin
    if time < _PRECHECK_BEGIN:
        return Moment(Condition.WAITING)
    full_end = _INCREMENTAL_BEGIN if incremental else 1.0
    if time >= full_end and not incremental:
        condition, since = Condition.DONE, time - full_end
        if script == "partial_success":
            condition = Condition.PARTIAL
    lag = _lag(time, flapping=script == "flap") if incremental and time >= full_end else None
    return Moment(
        condition=condition,
        precheck=_fraction(time, _PRECHECK_BEGIN, _STRUCTURE_BEGIN),
        structure=_fraction(time, _STRUCTURE_BEGIN, _FULL_BEGIN),
        full=_fraction(time, _FULL_BEGIN, full_end),
        lag=lag,
        caught_up=lag is not None and time >= 1 and lag <= 5,
        since=since,
    )


def _fraction(time: float, begin: float, end: float) -> float | None:
    return None if time < begin else min((time - begin) / (end - begin), 1.0)


def _lag(time: float, *, flapping: bool) -> float:
    if time < 1:
        return _FIRST_LAG * ((1 - time) / (1 - _INCREMENTAL_BEGIN)) ** 2
    for begin, end in _FLAPS if flapping else ():
        if begin <= time < end:
            return _FLAP_LAG * math.sin(math.pi * (time - begin) / (end - begin))
    # A service in sync still reports a second or two at times.
    return 1 + math.sin(time * 40)
