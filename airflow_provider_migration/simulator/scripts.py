"""
Ready-made scripts, and the position of a migration in its script over time.

A script runs through the phases that all four services share. Each service's own module translates a
:class:`Moment` into its own words, and likewise a :class:`CheckRun` of the service's own data check.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple


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
    full_end = _full_end(incremental)
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


def copied_at(script: str, *, incremental: bool) -> float:
    """Return when the full copy is done, as a fraction of the duration; infinite if it is never done."""
    halt = _HALTS.get(script)
    return _full_end(incremental) + (halt.end - halt.begin if halt else 0.0)


class CheckCondition(Enum):
    """Condition of a data check, or of one of its tables."""

    WAITING = "waiting"
    RUNNING = "running"
    CONSISTENT = "consistent"
    DIFFERENT = "different"
    FAILED = "failed"


CheckOutcome = Literal["pending", "running", "consistent", "different", "failed", "repaired", "restarted"]
"""Outcomes of a data check, as in a scenario."""


@dataclass(frozen=True)
class CheckRun:
    """
    One run of a data check.

    :param done: fraction done from 0 to 1; a failed run stays below 1.
    :param begin: as a fraction of the script's duration after the full copy. Also ``end``, None before it.
    :param differs: true if the run finds differences, from its first tables on.
    """

    condition: CheckCondition
    done: float = 0.0
    begin: float = 0.0
    end: float | None = None
    differs: bool = False


_CHECK_LENGTH, _RECHECK_BEGIN = 0.2, 0.6

_CHECKS: dict[CheckOutcome, tuple[tuple[float, CheckCondition], ...]] = {
    "pending": ((0.0, CheckCondition.WAITING),),
    "running": ((0.0, CheckCondition.RUNNING),),
    "consistent": ((0.0, CheckCondition.CONSISTENT),),
    "different": ((0.0, CheckCondition.DIFFERENT),),
    "failed": ((0.0, CheckCondition.FAILED),),
    "repaired": ((0.0, CheckCondition.DIFFERENT), (_RECHECK_BEGIN, CheckCondition.CONSISTENT)),
    "restarted": ((0.0, CheckCondition.CONSISTENT), (_RECHECK_BEGIN, CheckCondition.CONSISTENT)),
}
"""Runs of each outcome: the begin, as a fraction of the duration after the full copy, and the result."""

_CHECK_LIMITS = {CheckCondition.RUNNING: 0.5, CheckCondition.FAILED: 0.9}
"""Fractions at which a run that never ends, or that fails, comes to a halt."""


def check_runs(outcome: CheckOutcome, since_copy: float) -> tuple[CheckRun, ...]:
    """
    Return the runs of a data check so far, the newest last; none before the full copy is done.

    :param since_copy: time since the full copy was done, as a fraction of the script's duration.
    """
    return tuple(
        _check_run(begin, result, since_copy) for begin, result in _CHECKS[outcome] if since_copy >= begin
    )


def _check_run(begin: float, result: CheckCondition, since_copy: float) -> CheckRun:
    if result is CheckCondition.WAITING:
        return CheckRun(result, begin=begin)
    end = begin + _CHECK_LENGTH
    has_ended = since_copy >= end and result is not CheckCondition.RUNNING
    return CheckRun(
        condition=result if has_ended else CheckCondition.RUNNING,
        done=min(round((since_copy - begin) / _CHECK_LENGTH, 6), _CHECK_LIMITS.get(result, 1.0)),
        begin=begin,
        end=end if has_ended else None,
        differs=result is CheckCondition.DIFFERENT,
    )


def _full_end(incremental: bool) -> float:
    return _INCREMENTAL_BEGIN if incremental else 1.0


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
