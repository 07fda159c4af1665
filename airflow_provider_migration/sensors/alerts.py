"""Alerts of a sensor: checked when the DAG is parsed and when the task begins, decided after each poll."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_migration.alerts import (
    AT_THE_END,
    LAG_ABOVE,
    STALLED,
    VERIFICATION_FAILED,
    MigrationAlert,
    alerts_to_json,
)
from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_migration.notifications.delivery import Message
    from airflow_provider_migration.wait.tracker import Verdict, WaitTracker


def read_alerts(
    subject: str,
    alerts: Sequence[MigrationAlert],
    interval: float,
    *,
    has_lag: bool,
    verifies: bool = True,
) -> list[dict[str, Any]]:
    """
    Return ``alerts`` in plain JSON.

    :param subject: the beginning of the message.
    :param interval: seconds between two polls.
    :param has_lag: False for a service whose migrations have no incremental phase.
    :param verifies: False for a service without a data check.
    :raises MigrationConfigurationError: for anything but a list of alerts, and for one that makes no sense.
    """
    try:
        plain = alerts_to_json(alerts)
    except MigrationConfigurationError as problem:
        raise MigrationConfigurationError(f"{subject}: {problem}") from None
    for alert in plain:
        if alert["when"] == STALLED and alert["after"] <= interval:
            _refuse(
                subject,
                f"contains 'stalled' with after={alert['after']:g}, which must be more than the "
                f"{interval:g} s between two polls.",
            )
        if alert["when"] == LAG_ABOVE and not has_lag:
            _refuse(subject, "contains 'lag_above', and migrations of this service have no lag.")
        if alert["when"] == VERIFICATION_FAILED and not verifies:
            _refuse(subject, "contains 'verification_failed', and this service has no data check.")
    return plain


def check_alerts(
    subject: str,
    alerts: Sequence[MigrationAlert],
    context: Context,
    log: Callable[..., Any],
    *,
    is_rescheduled: bool,
) -> None:
    """
    Check the notifiers, and that the mode remembers which messages were sent.

    :param subject: the beginning of the message.
    :param log: takes the level, ``"%s"`` and the text of a warning.
    :param is_rescheduled: True if each poll is a new process.
    :raises MigrationConfigurationError: for an alert that cannot be sent, or would be sent at each poll.
    """
    from airflow_provider_migration.compat import task_state_store
    from airflow_provider_migration.notifications.check import check_notifiers

    check_notifiers(subject, alerts, log)
    if not is_rescheduled or task_state_store(context) is not None:
        return
    if forgotten := {alert.when for alert in alerts}.difference(AT_THE_END):
        _refuse(
            subject,
            f"contains {min(forgotten)!r}: before 3.3 Airflow does not remember in reschedule mode what was "
            "sent. Use deferrable=True or mode='poke'.",
        )


def has_tries_left(context: Context) -> bool:
    """Tell whether Airflow repeats the task if this try fails."""
    ti: Any = context["ti"]
    return bool(ti.try_number <= ti.max_tries)


def messages_due(
    context: Context,
    tracker: WaitTracker,
    verdict: Verdict,
    error: MigrationError | None,
    task_key: Mapping[str, Any],
    *,
    never_fails: bool,
) -> list[Message]:
    """
    Return the messages that are due after the last poll of a task.

    :param task_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index`` of the task.
    :param never_fails: True if an error skips the task instead of failing the try.
    """
    from airflow_provider_migration.notifications.delivery import messages_of
    from airflow_provider_migration.wait.tracker import Outcome

    is_final = error is None or isinstance(error, AirflowFailException) or never_fails
    is_retried = verdict.outcome is Outcome.POLL_ERROR and not is_final and has_tries_left(context)
    due = tracker.notifications(
        verdict,
        error,
        # A task that a trigger has ended may resume much later.
        tracker.history.polled_at or time.time(),
        is_last=verdict.ends and not is_retried,
    )
    if not due:
        return []
    return messages_of(due, tracker.progress, tracker.wait_to_json(verdict, error), task_key)


def _refuse(subject: str, problem: str) -> NoReturn:
    raise MigrationConfigurationError(f"{subject}: alerts {problem}")
