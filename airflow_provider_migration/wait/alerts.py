"""
Decide which alerts are due: which conditions a migration has entered or left.

Pure, as the verdict is: the same record, verdict and state give the same messages in every mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_migration.alerts import (
    FAILED,
    LAG_ABOVE,
    PAUSED,
    POLLS_FAILING,
    REACHED,
    REMAINING_ABOVE,
    STALLED,
    VERIFICATION_FAILED,
    WHATEVER_AFTER,
    MigrationAlert,
)
from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.progress import (
    MISMATCHES,
    MigrationProgress,
    MigrationState,
    VerificationState,
)

_AT_WORK: Final = (MigrationState.RUNNING, MigrationState.CAUGHT_UP)

_STEPS: Final = {
    MigrationState.PENDING: 0,
    MigrationState.RUNNING: 1,
    MigrationState.CAUGHT_UP: 1,
    MigrationState.SUCCEEDED: 2,
}
"""The states through which a phase moves."""


@dataclass(frozen=True, slots=True)
class AlertState:
    """
    The state of one alert.

    :ivar since: epoch seconds since when the condition holds; None while it does not.
    :ivar is_sent: True if the message of entering has been sent, and that of leaving has not.
    """

    since: float | None = None
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class Notification:
    """
    A message that is due.

    :ivar is_over: False if the condition was entered, True if it was left.
    :ivar since: epoch seconds since when the condition holds, or held.
    :ivar at: epoch seconds of the poll that decided.
    """

    alert: MigrationAlert
    is_over: bool
    since: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """
    The result of a poll, as the conditions see it.

    :ivar progress: the record of an answered poll, else None.
    :ivar is_failed_poll: True if the poll failed; None if it is not known how it ended.
    :ivar is_reached: True if the verdict is that the target is reached; None if the target holds, but not yet
        for ``hold_for``.
    :ivar has_failed: True if the wait ends without reaching its target.
    :ivar is_last: True if the wait ends with this poll.
    :ivar has_moved: True if the migration has moved since it was last seen at work, or is in sync.
    :ivar moved_at: epoch seconds at which its record last showed any activity.
    :ivar is_check_old: True if the migration was paused, failed or copied existing data after the data check.
    :ivar now: epoch seconds.
    """

    progress: MigrationProgress | None
    is_failed_poll: bool | None
    is_reached: bool | None
    has_failed: bool
    is_last: bool
    has_moved: bool
    moved_at: float | None
    is_check_old: bool
    now: float


def notifications_due(
    alerts: tuple[MigrationAlert, ...], states: Mapping[str, AlertState], seen: Observation
) -> tuple[list[Notification], dict[str, AlertState]]:
    """
    Return the messages that are due after a poll, and the new state of each alert by its key.

    :param states: the states after the poll before.
    """
    due: list[Notification] = []
    after: dict[str, AlertState] = {}
    for alert in alerts:
        key = alert.key
        state = states.get(key, AlertState())
        holds = _CONDITIONS[alert.when](alert, seen)
        since = state.since
        if since is not None and since > seen.now:
            since = seen.now  # a clock that was set back restarts the duration
        if holds:
            if since is None:
                since = seen.moved_at if alert.when == STALLED and seen.moved_at is not None else seen.now
            has_lasted = seen.now - since >= alert.after or (seen.is_last and alert.when in WHATEVER_AFTER)
            if has_lasted and not state.is_sent:
                due.append(Notification(alert, False, since, seen.now))
            after[key] = AlertState(since, state.is_sent or has_lasted)
        elif holds is None and (state.is_sent or not _restarts(seen)):
            after[key] = AlertState(since, state.is_sent)
        elif state.is_sent and alert.resolve:
            due.append(Notification(alert, True, seen.now if since is None else since, seen.now))
    return due, {key: state for key, state in after.items() if state != AlertState()}


def without_durations(
    alerts: tuple[MigrationAlert, ...], states: Mapping[str, AlertState]
) -> dict[str, AlertState]:
    """
    Return the states after a gap between two answers: nobody has seen that a condition held in between.

    Failing polls go on: no poll was answered in between.
    """
    kept = {alert.key for alert in alerts if alert.when == POLLS_FAILING}
    return {key: state for key, state in states.items() if state.is_sent or key in kept}


def states_sent(states: Mapping[str, AlertState]) -> dict[str, AlertState]:
    """Return the states for another process: it does not know if a condition has held in the meantime."""
    return {key: state for key, state in states.items() if state.is_sent}


def states_to_json(states: Mapping[str, AlertState]) -> dict[str, Any]:
    """Return the states of alerts as plain JSON."""
    return {key: [state.since, state.is_sent] for key, state in states.items()}


def states_from_json(data: object) -> dict[str, AlertState]:
    """
    Rebuild the output of :func:`states_to_json`; None is no state.

    :raises ValueError: for anything else.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ValueError(f"the states of alerts must be a JSON object, not {data!r}")
    states = {}
    for key, value in data.items():
        match value:
            case [since, bool(is_sent)] if _is_number(since):
                states[key] = AlertState(since, is_sent)
            case _:
                raise ValueError(f"the state of an alert must be [since, is_sent], not {value!r}")
    return states


def figures_from_json(data: object) -> Mapping[str, float] | None:
    """
    Return the figures of a stored history.

    :raises ValueError: for anything but an object of numbers, or None.
    """
    if data is None:
        return None
    if not (isinstance(data, Mapping) and all(map(_is_number, data.values()))):
        raise ValueError(f"the figures of alerts must be a JSON object of numbers, not {data!r}")
    return data


def _is_number(value: object) -> bool:
    """Tell whether a value read from JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_at_work(progress: MigrationProgress) -> bool:
    """Tell whether a migration is expected to move and to keep its lag low."""
    return progress.state in _AT_WORK


def figures_of(progress: MigrationProgress, *, with_check: bool) -> dict[str, float]:
    """
    Return the known figures of a record that change only if the migration moves, by name.

    The service's words are not among them: they also change when someone pauses and resumes a migration, or
    when the service retries.

    :param with_check: True if the progress of the data check counts.
    """
    figures: dict[str, float | None] = {"percent": progress.percent}
    for phase in progress.phases:
        figures[f"{phase.name}.step"] = _STEPS.get(phase.state)
        figures[f"{phase.name}.percent"] = phase.percent
        figures[f"{phase.name}.done"] = phase.done
    if progress.objects is not None:
        figures["objects"] = progress.objects.completed
        figures["slowest"] = sum(item.percent or 0 for item in progress.objects.slowest)
    if with_check and progress.verification is not None:
        figures["check"] = progress.verification.percent
    return {name: figure for name, figure in figures.items() if figure is not None}


def have_moved(before: Mapping[str, float], figures: Mapping[str, float]) -> bool:
    """Tell whether a figure differs; one that is missing now or before tells nothing."""
    return any(before.get(name, figure) != figure for name, figure in figures.items())


def _restarts(seen: Observation) -> bool:
    """Tell whether an undecided condition begins again: someone may have meant the stop."""
    return seen.progress is not None and seen.progress.state not in (*_AT_WORK, MigrationState.UNKNOWN)


def _is_stalled(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.progress is None:
        return None
    if seen.progress.state is MigrationState.SUCCEEDED:
        return False
    return not seen.has_moved if is_at_work(seen.progress) else None


def _is_lag_above(alert: MigrationAlert, seen: Observation) -> bool | None:
    return _is_above(alert, seen, seen.progress.lag_seconds if seen.progress else None)


def _is_remaining_above(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.progress is not None and seen.progress.percent == 100 and is_at_work(seen.progress):
        return False
    return _is_above(alert, seen, seen.progress.remaining_seconds if seen.progress else None)


def _is_above(alert: MigrationAlert, seen: Observation, figure: float | None) -> bool | None:
    if seen.progress is None:
        return None
    if seen.progress.state is MigrationState.SUCCEEDED:
        return False
    if figure is None or not is_at_work(seen.progress):
        return None
    return alert.above is not None and figure > alert.above


def _is_paused(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.progress is None or seen.progress.state is MigrationState.UNKNOWN:
        return None
    return seen.progress.state is MigrationState.PAUSED


def _are_polls_failing(alert: MigrationAlert, seen: Observation) -> bool | None:
    return seen.is_failed_poll


def _has_verification_failed(alert: MigrationAlert, seen: Observation) -> bool | None:
    check = seen.progress and seen.progress.verification
    if not check or seen.is_check_old:
        return None
    if check.state in MISMATCHES:
        return True
    return False if check.state is VerificationState.CONSISTENT else None


def _is_reached(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.is_reached:
        return True
    if seen.progress is None or seen.progress.state is MigrationState.UNKNOWN:
        return None
    return seen.is_reached


def _has_failed(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.has_failed:
        return True
    if seen.progress is None or seen.progress.state is MigrationState.UNKNOWN:
        return None
    return seen.progress.state in (MigrationState.FAILED, MigrationState.PARTIALLY_SUCCEEDED)


_CONDITIONS: Final[Mapping[str, Callable[[MigrationAlert, Observation], bool | None]]] = {
    STALLED: _is_stalled,
    LAG_ABOVE: _is_lag_above,
    PAUSED: _is_paused,
    POLLS_FAILING: _are_polls_failing,
    VERIFICATION_FAILED: _has_verification_failed,
    REMAINING_ABOVE: _is_remaining_above,
    REACHED: _is_reached,
    FAILED: _has_failed,
}
"""By condition: whether it holds after a poll; None if the poll does not decide it."""


def readable_alerts(data: tuple[dict[str, Any], ...]) -> tuple[MigrationAlert, ...]:
    """Return alerts from plain JSON, without those that a later version of the package has written."""
    alerts = []
    for item in data:
        try:
            alerts.append(MigrationAlert.from_json(item))
        except (MigrationConfigurationError, TypeError):
            continue
    return tuple(alerts)
