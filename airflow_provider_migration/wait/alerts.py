"""
Decide which alerts are due: which conditions a migration has entered or left.

Pure, as the verdict is: the same record, verdict and state give the same messages in every mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_migration.alerts import (
    AT_THE_END,
    FAILED,
    LAG_ABOVE,
    PAUSED,
    POLLS_FAILING,
    REACHED,
    REMAINING_ABOVE,
    STALLED,
    VERIFICATION_FAILED,
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
"""States in which a migration is expected to move and to keep its lag low."""

_OVER: Final = (MigrationState.SUCCEEDED, MigrationState.CANCELLED)
"""States in which nothing is left that could lag or stall."""


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

    :ivar progress: the record of an answered poll; None if the poll failed.
    :ivar is_reached: True if the verdict is that the target is reached; None if the target holds, but not yet
        for ``hold_for``.
    :ivar has_failed: True if the verdict is that the target cannot be reached any more.
    :ivar is_last: True if the wait ends with this poll.
    :ivar has_moved: True if the migration has moved since the answer before, or is in sync.
    :ivar moved_at: epoch seconds at which it was last seen to move.
    :ivar now: epoch seconds.
    """

    progress: MigrationProgress | None
    is_reached: bool | None
    has_failed: bool
    is_last: bool
    has_moved: bool
    moved_at: float | None
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
        state = states.get(alert.key, AlertState())
        holds = _CONDITIONS[alert.when](alert, seen)
        since = state.since
        if since is not None and since > seen.now:
            since = seen.now  # a clock that was set back restarts the duration
        if holds:
            if since is None:
                since = seen.moved_at if alert.when == STALLED and seen.moved_at is not None else seen.now
            has_lasted = seen.now - since >= alert.after or (seen.is_last and alert.when in AT_THE_END)
            if has_lasted and not state.is_sent:
                due.append(Notification(alert, False, since, seen.now))
            after[alert.key] = AlertState(since, state.is_sent or has_lasted)
        elif holds is None and (state.is_sent or not _restarts(seen)):
            after[alert.key] = AlertState(since, state.is_sent)
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


def _restarts(seen: Observation) -> bool:
    """Tell whether an undecided condition begins again: someone may have meant the stop."""
    return seen.progress is not None and seen.progress.state not in (*_AT_WORK, MigrationState.UNKNOWN)


def _is_stalled(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.progress is None:
        return None
    if seen.has_moved or seen.progress.state in _OVER:
        return False
    return True if seen.progress.state in _AT_WORK else None


def _is_lag_above(alert: MigrationAlert, seen: Observation) -> bool | None:
    return _is_above(alert, seen, seen.progress.lag_seconds if seen.progress else None)


def _is_remaining_above(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.progress is not None and seen.progress.percent == 100 and seen.progress.state in _AT_WORK:
        return False
    return _is_above(alert, seen, seen.progress.remaining_seconds if seen.progress else None)


def _is_above(alert: MigrationAlert, seen: Observation, figure: float | None) -> bool | None:
    if seen.progress is None:
        return None
    if seen.progress.state in _OVER:
        return False
    if figure is None or seen.progress.state not in _AT_WORK:
        return None
    return figure > alert.above  # type: ignore[operator] # which these conditions have


def _is_paused(alert: MigrationAlert, seen: Observation) -> bool | None:
    if seen.progress is None or seen.progress.state is MigrationState.UNKNOWN:
        return None
    return seen.progress.state is MigrationState.PAUSED


def _are_polls_failing(alert: MigrationAlert, seen: Observation) -> bool | None:
    return seen.progress is None


def _has_verification_failed(alert: MigrationAlert, seen: Observation) -> bool | None:
    check = seen.progress and seen.progress.verification
    if not check:
        return None
    if check.state in MISMATCHES:
        return True
    return False if check.state is VerificationState.CONSISTENT else None


def _is_reached(alert: MigrationAlert, seen: Observation) -> bool | None:
    return None if seen.progress is None else seen.is_reached


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
