"""
Base of the sensors.

A DAG file pays for its imports at every parse, so the package's other modules are imported when a task runs.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from inspect import signature
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_migration.keys import ALERTS_KEY, PROGRESS_KEY, TRACKER_KEY, WAIT_KEY
from airflow_provider_migration.links import MigrationConsoleLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_migration.alerts import MigrationAlert
    from airflow_provider_migration.exceptions import MigrationError
    from airflow_provider_migration.hooks.base import MigrationHook
    from airflow_provider_migration.notifications.delivery import Message
    from airflow_provider_migration.polling import Poll
    from airflow_provider_migration.progress import MigrationProgress
    from airflow_provider_migration.wait.outbox import XComOutbox
    from airflow_provider_migration.wait.policy import WaitPolicy
    from airflow_provider_migration.wait.tracker import Verdict, WaitTracker

NOT_GIVEN: Final[Any] = object()
"""Default of an argument for which None is not the same as leaving it out."""

FIGURES = (
    "service",
    "migration_id",
    "name",
    "state",
    "percent",
    "lag_seconds",
    "checkpoint",
    "observed_at",
)
"""Fields of the final record that the events of the task's outlets carry as ``extra``."""

AIRFLOW_TIMEOUT_MARGIN = timedelta(minutes=5)
"""Time from the trigger's own deadline to Airflow's trigger timeout."""

FRESH_SECONDS = 60
"""Maximum age in seconds, besides two intervals, of a record on which a resumed task succeeds."""

DEADLINE_MARGIN: Final = 0.5
"""Seconds before the deadline at which a poll's messages delay nothing any more."""

MIN_INTERVAL: Final = 1
"""Minimum seconds between two polls: each is a call that the service counts."""

MIN_MOMENT: Final = 1e9
MAX_MOMENT: Final = 1e11
"""Bounds of epoch seconds: smaller numbers are durations, larger ones milliseconds."""

SEARCH_ARGUMENTS: Final = ("migration_name", "migration_tags")
"""Arguments that name a migration instead of its id."""

SHARED_TEMPLATE_FIELDS: Final = ("target_status", "checkpoint_after", *SEARCH_ARGUMENTS)
"""Templated arguments of every sensor."""

INTERVAL: Final = "1 second or more"
DURATION: Final = "a number of seconds, 0 or more, or a timedelta"


class MigrationSensor(BaseSensorOperator):
    """
    Wait until a migration reaches a target; fail as soon as the migration can no longer reach it. The sensor
    only watches: it never starts, stops, pauses or cancels anything.

    During the wait, also while the task is deferred, XCom ``migration_progress`` holds the last record,
    ``migration_history`` the history of percent and lag, and ``migration_wait`` the targets, the state of the
    polls and the outcome. XCom ``return_value`` is the record with which the target was reached; its figures
    are added to the events of the task's ``outlets``.

    In reschedule mode each poll is a new process. From Airflow 3.3 on ``stall_timeout``, ``hold_for``,
    ``failure_grace`` and ``max_poll_errors`` count across polls, through the task state store. On older
    releases they start again at each poll and so have no effect in that mode (a ``hold_for`` or
    ``failure_grace`` above 0 waits until ``timeout``); poke and deferrable mode count everywhere.

    :param target_status: the target, or a list of targets: a milestone (``structure_done``, ``full_done``,
        ``caught_up``, ``succeeded``), ``verified``, a state (``paused``, ``failed`` …), or the service's own
        word for a status or step. Where the service's order is known, a word is also reached past it. A
        migration with an incremental phase reaches ``caught_up`` when it is in sync, one without when it has
        succeeded; ``verified`` also requires that the service's own data check has found no difference;
        DataWorks has no data check. (templated)
    :param max_lag: largest lag in seconds that counts as caught up; this and the next durations are seconds
        or a timedelta.
    :param on_paused: ``wait``, ``fail`` or ``skip`` when someone has paused the migration.
    :param on_unknown: ``wait`` or ``fail`` at a status that this version of the package does not know.
    :param failure_grace: seconds for which a failed migration may still recover; less than ``timeout``.
    :param stall_timeout: fail after this many seconds without progress, more than ``poke_interval``; None to
        wait until ``timeout``.
    :param hold_for: seconds for which the target must hold without a break; less than ``timeout``.
    :param max_poll_errors: maximum consecutive transient poll failures (throttled, unreachable, invalid
        answer). A wrong key or an unknown id fails at once.
    :param checkpoint_after: besides the target, everything that was written to the source until this moment
        must be applied: an ISO time with its offset, a datetime with a time zone, or epoch seconds. It must
        come before the end of the wait, by more than ``hold_for``. DataWorks has no checkpoint. (templated)
    :param on_mismatch: with the target ``verified``: ``wait`` or ``fail`` when the service has found
        differences, or could not compare everything. A person may repair the tables and compare again.
    :param migration_name: the exact name of the migration, instead of its id. It is looked up once, in the
        service's list: none or several migrations with this name are an error. In reschedule mode before
        Airflow 3.3 it is looked up at each poll. (templated)
    :param migration_tags: likewise the tags of the migration, with their values. (templated)
    :param alerts: messages through Airflow's notifiers when the migration stalls, lags, is paused, fails …: a
        list of :class:`~airflow_provider_migration.alerts.MigrationAlert`. In reschedule mode before Airflow
        3.3 only ``reached`` and ``failed`` are possible.
    :param deferrable: wait on the triggerer, without a worker slot.
    :param poll_before_deferring: False to hand the wait over to the triggerer without a first poll on the
        worker, which saves one request for each of many mapped tasks; a migration that is named by
        ``migration_name`` or ``migration_tags`` is polled in any case.
    :param poke_interval: seconds between two polls, or a timedelta; at least 1 s.
    :raises MigrationConfigurationError: for a wrong argument: when the DAG file is parsed if the value is
        known then, else before the first request.
    """

    ui_color = "#d5ecf2"
    operator_extra_links: Collection[BaseOperatorLink] = (MigrationConsoleLink(),)

    hook_class: ClassVar[str]
    """The hook's class, as ``module:Class``."""
    conn_argument: ClassVar[str]
    """The name of the hook's and the sensor's argument with the connection id."""
    has_increment: ClassVar[bool] = True
    """False for a service whose migrations have no incremental phase."""
    id_arguments: ClassVar[tuple[str, ...]]
    """The names of the arguments that identify the migration; the hook's ``get_progress`` takes them too."""
    migration_argument: ClassVar[str]
    """The one of them that holds the migration's id."""
    list_arguments: ClassVar[tuple[str, ...]] = ()
    """Those that the hook's ``find_migration`` takes too."""
    switches: ClassVar[tuple[str, ...]] = ()
    """The names of further arguments of ``get_progress`` that are True or False, by default False."""

    def __init__(
        self,
        *,
        target_status: str | Sequence[str] = "caught_up",
        max_lag: float | timedelta = 60,
        on_paused: str = "wait",
        on_unknown: str = "wait",
        failure_grace: float | timedelta = 0,
        stall_timeout: float | timedelta | None = None,
        hold_for: float | timedelta = 0,
        max_poll_errors: int = 5,
        checkpoint_after: str | float | datetime | None = NOT_GIVEN,
        on_mismatch: str = "wait",
        migration_name: str | None = None,
        migration_tags: Mapping[str, str] | None = None,
        alerts: Sequence[MigrationAlert] = (),
        poll_before_deferring: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_status = target_status
        self.max_lag: Any = max_lag
        self.on_paused = on_paused
        self.on_unknown = on_unknown
        self.failure_grace: Any = failure_grace
        self.stall_timeout: Any = stall_timeout
        self.hold_for: Any = hold_for
        self.max_poll_errors = max_poll_errors
        is_given = checkpoint_after is not NOT_GIVEN
        self.checkpoint_after: Any = checkpoint_after if is_given else None
        # None from a template or from an upstream task must not make the wait forget that it has a moment.
        is_mapped = is_given and getattr(self, "_BaseOperator__from_mapped", False)
        self._has_moment = self.checkpoint_after is not None or is_mapped
        self._is_moment_rendered = not is_constant(self.checkpoint_after)
        self.on_mismatch = on_mismatch
        self.migration_name = migration_name
        self.migration_tags = migration_tags
        self.alerts = alerts
        self.poll_before_deferring = poll_before_deferring
        self.deferrable = deferrable
        self._found_id: str | None = None
        self._tracker: WaitTracker | None = None
        self._started_at: float | None = None
        self._seconds_sending = 0.0
        self.console_url: str | None = None
        self._check_policy()

    def _check_policy(self) -> None:
        """Check the arguments of the wait, each alone and in combination."""
        for name in ("max_lag", "failure_grace", "hold_for", "stall_timeout"):
            setattr(self, name, to_seconds(getattr(self, name)))
        self._check("on_paused", self.on_paused in ("wait", "fail", "skip"), "'wait', 'fail' or 'skip'")
        for name in ("on_unknown", "on_mismatch"):
            self._check(name, getattr(self, name) in ("wait", "fail"), "'wait' or 'fail'")
        for name in ("max_lag", "failure_grace", "hold_for"):
            self._check(name, is_number(getattr(self, name)), DURATION)
        self._check(
            "stall_timeout",
            self.stall_timeout is None or (is_number(self.stall_timeout) and self.stall_timeout > 0),
            "a number of seconds above 0, or None",
        )
        self._check(
            "max_poll_errors",
            isinstance(self.max_poll_errors, int) and is_number(self.max_poll_errors),
            "a whole number, 0 or more",
        )
        for name in ("deferrable", "poll_before_deferring"):
            self._check(name, isinstance(getattr(self, name), bool), "True or False")
        self._check("poke_interval", self.poke_interval >= MIN_INTERVAL, INTERVAL)
        if self.exponential_backoff and self.max_wait is not None:
            self._check("max_wait", self.max_wait.total_seconds() >= MIN_INTERVAL, INTERVAL)
        for name in ("hold_for", "failure_grace"):
            seconds = getattr(self, name)
            if is_number(seconds) and seconds:
                allowed = f"less than timeout ({self.timeout:g} s)"
                self._check(name, seconds < self.timeout, allowed)
        if is_number(self.stall_timeout):
            longest = self._longest_pause
            allowed = f"more than the {longest:g} s between two polls: lengthen it, or shorten poke_interval"
            self._check("stall_timeout", self.stall_timeout > longest, allowed)
        self._read_alerts()

    def _check(self, name: str, is_right: bool, allowed: str) -> None:
        value = getattr(self, name)
        if is_right or (name in self.template_fields and not is_constant(value)):
            return
        hint = "" if is_constant(value) else " This argument is not templated."
        refuse(self._subject, name, f"must be {allowed}, not {shown(value)}.{hint}")

    @property
    def _subject(self) -> str:
        return f"{type(self).__name__} {self.task_id!r}"

    def _check_constants(self) -> None:
        """Check ids, target and connection as far as they are known when the DAG file is parsed."""
        for name in (
            *self.id_arguments,
            *self.switches,
            self.conn_argument,
            "target_status",
            "checkpoint_after",
            "migration_name",
            "migration_tags",
        ):
            value = getattr(self, name)
            if name in self.template_fields and not is_constant(value):
                continue
            if value is None and name in (self.migration_argument, *SEARCH_ARGUMENTS):
                continue
            if name == "target_status":
                read_targets(self._subject, value)
            elif name == "checkpoint_after":
                self._moment()
            elif name == self.conn_argument:
                read_text(self._subject, name, value)
            elif name in self.switches:
                self._read_switch(self._subject, name, value)
            elif name in SEARCH_ARGUMENTS:
                self._read_search(name, value)
            else:
                self._read_id(self._subject, name, value)
        given = [name for name in SEARCH_ARGUMENTS if getattr(self, name) is not None]
        has_id = getattr(self, self.migration_argument) is not None
        if has_id and given:
            refuse(
                self._subject,
                self.migration_argument,
                f"and {given[0]} are both given: leave one of them out.",
            )
        if not has_id and not given:
            refuse(
                self._subject,
                self.migration_argument,
                "is empty: it is None, or rendered to None: did the upstream task push it? Give the id, or "
                "migration_name.",
            )

    def _read_search(self, name: str, value: Any) -> Any:
        """Return ``migration_name`` or ``migration_tags``, validated; None if it was not given."""
        if value is None:
            return None
        if name == "migration_name":
            return read_text(self._subject, name, value)
        if not (isinstance(value, Mapping) and value and all(isinstance(key, str) for key in value)):
            refuse(self._subject, name, f"must be a mapping such as {{'wave': '3'}}, not {shown(value)}.")
        # The labels of OMS have no value.
        return {
            key: text if text == "" else read_text(self._subject, f"{name}[{key!r}]", text)
            for key, text in value.items()
        }

    @classmethod
    def _read_id(cls, subject: str, name: str, value: object) -> Any:
        """
        Return one of the :attr:`id_arguments` as the hook takes it, in plain JSON.

        :param subject: the beginning of the message.
        :raises MigrationConfigurationError: for a value of a wrong type, or an empty one.
        """
        return read_text(subject, name, value)

    @classmethod
    def _read_switch(cls, subject: str, name: str, value: object) -> bool:
        """
        Return one of the :attr:`switches`.

        :param subject: the beginning of the message.
        :raises MigrationConfigurationError: for anything but True and False; the string "false" is truthy.
        """
        if not isinstance(value, bool):
            refuse(subject, name, f"must be True or False, not {shown(value)}.")
        return value

    @classmethod
    def _read_ids(cls, subject: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the :attr:`id_arguments`, and the :attr:`switches` that are on, as the hook takes them.

        A switch that is off is left out, because a triggerer of an older version does not know it.

        :param values: the arguments of the sensor.
        """
        ids = {name: cls._read_id(subject, name, values[name]) for name in cls.id_arguments if name in values}
        return ids | {name: True for name in cls.switches if cls._read_switch(subject, name, values[name])}

    def _moment(self) -> float | None:
        """Return ``checkpoint_after`` in epoch seconds, or None if it was not given."""
        if self.checkpoint_after is None and not self._has_moment:
            return None
        return read_moment(self._subject, "checkpoint_after", self.checkpoint_after)

    @cached_property
    def hook(self) -> MigrationHook[Any]:
        """The hook that asks the service."""
        hook: MigrationHook[Any] = resolve_name(self.hook_class)(**self._hook_arguments())
        return hook

    def _hook_arguments(self) -> dict[str, Any]:
        conn_id = read_text(self._subject, self.conn_argument, getattr(self, self.conn_argument))
        return {self.conn_argument: conn_id}

    def _ids(self) -> dict[str, Any]:
        """Return the ids and switches as the hook takes them; look the migration up if it was named."""
        if self._is_found:
            return self._known_ids()
        search = {name: self._read_search(name, getattr(self, name)) for name in SEARCH_ARGUMENTS}
        place = {
            name: self._read_id(self._subject, name, getattr(self, name)) for name in self.list_arguments
        }
        self._found_id = self.hook.find_migration(search["migration_name"], search["migration_tags"], **place)
        given = ", ".join(f"{name}={value!r}" for name, value in search.items() if value is not None)
        self.log.info("The migration with %s is %s.", given, self._found_id)
        return self._known_ids()

    @property
    def _is_found(self) -> bool:
        """True if the id of the migration was given, or has been looked up."""
        is_named = any(getattr(self, name) is not None for name in SEARCH_ARGUMENTS)
        return self._found_id is not None or not is_named

    def _known_ids(self) -> dict[str, Any]:
        """Return the ids and switches, without the migration's id while that is not looked up."""
        values = {name: getattr(self, name) for name in (*self.id_arguments, *self.switches)}
        if self._found_id is not None:
            values[self.migration_argument] = self._found_id
        elif not self._is_found:
            del values[self.migration_argument]
        return self._read_ids(self._subject, values)

    def execute(self, context: Context) -> Any:
        """Wait in the sensor's mode, and return the record with which the target was reached."""
        self._tracker, self._started_at, self.console_url = None, time.time(), ""
        self._found_id = None
        with self._skipping_as_asked():
            return super().execute(context)

    @contextmanager
    def _skipping_as_asked(self) -> Iterator[None]:
        """
        Apply ``soft_fail`` and ``never_fail`` to all our errors, in every mode alike, and close the hook.

        Airflow applies them only to its own exceptions, and to different ones at a poll than at a resume.
        """
        from airflow_provider_migration.exceptions import (
            MigrationConfigurationError,
            MigrationConnectionNotFoundError,
            MigrationError,
        )

        try:
            yield
        except (MigrationError, AirflowSensorTimeout) as error:
            final = (
                AirflowFailException,
                AirflowSensorTimeout,
                MigrationConfigurationError,
                MigrationConnectionNotFoundError,
            )
            if self.never_fail or (self.soft_fail and isinstance(error, final)):
                which = "never_fail" if self.never_fail else "soft_fail"
                raise AirflowSkipException(f"Skipping due to {which} is set to True.") from error
            raise
        finally:
            if "hook" in vars(self):  # otherwise creating it has failed, and would fail again
                self.hook.close()

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once; a deferrable task then hands the wait over to the trigger."""
        tracker = self._tracker = self._tracker or self._begin(context)
        if self.deferrable and not self.poll_before_deferring and self._is_found:
            self._defer_to_trigger(context, tracker)
        if self._poll(context, tracker):
            return PokeReturnValue(True, self._finish(context, tracker.progress))
        if self.deferrable and self._is_found:
            self._defer_to_trigger(context, tracker)
        return False

    def _poll(self, context: Context, tracker: WaitTracker, *, is_confirmed: bool = False) -> bool:
        """Poll once and tell whether the target is reached; raise the error of any other outcome."""
        poll = self._poll_once(tracker, self.log.log, is_confirmed=is_confirmed)
        messages = self._messages_due(context, tracker, poll.verdict, poll.error)
        is_stored = self._publish(context, tracker, poll.verdict, poll.error)
        if messages and self.deferrable:
            self._store_alerts(context, tracker)
        if is_stored or poll.verdict.ends:
            self._send(messages, tracker, is_last=poll.verdict.ends)
        self._raise_for(poll.verdict, tracker.progress, poll.error)
        if poll.verdict.ends:
            self.log.info("%s", poll.verdict.reason)
        return poll.verdict.ends

    def _poll_once(
        self, tracker: WaitTracker, log: Callable[..., Any], *, is_confirmed: bool = False
    ) -> Poll:
        """
        Look the migration up if it was named, poll it once, and decide.

        :param log: takes the level, ``"%s"`` and the text of a log line.
        :param is_confirmed: as in :meth:`WaitTracker.observe`.
        """
        from airflow_provider_migration.polling import poll_once

        monotonic, ids = self.hook.clock.monotonic, self._known_ids()
        with poll_once(
            tracker, self.hook_class, ids, log, monotonic=monotonic, is_confirmed=is_confirmed
        ) as poll:
            ids.update(self._ids())
            tracker.policy = replace(tracker.policy, migration_id=ids[self.migration_argument])
            poll.answer = self.hook.get_progress(**ids, **tracker.policy.poll_arguments)
        return poll

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Resume after the trigger: raise or return its verdict."""
        with self._skipping_as_asked():
            return self._resume(context, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger, also if Airflow has ended the wait because no triggerer did."""
        if next_method == "__fail__" and self.alerts:
            from airflow_provider_migration.sensors.alerts import has_tries_left
            from airflow_provider_migration.wait.tracker import Outcome, Verdict

            reason = (next_kwargs or {}).get("error")
            text = f"Airflow ended the wait without a verdict of the trigger: {reason}."
            outcome = Outcome.TIMEOUT if reason == "Trigger timeout" else Outcome.FAIL
            # Airflow repeats a task whose trigger has failed, but not one that has timed out.
            is_final = outcome is Outcome.TIMEOUT or self.soft_fail or self.never_fail
            if is_final or not has_tries_left(context):
                self._send_at_the_end(context, Verdict(outcome, text), None, partial(self._as_shown, context))
        return super().resume_execution(next_method, next_kwargs, context)

    def _as_shown(self, context: Context) -> WaitTracker:
        """Rebuild the tracker of a wait that no triggerer has ended from what XCom shows."""
        from airflow_provider_migration.progress import MigrationProgress
        from airflow_provider_migration.wait.tracker import WaitTracker

        shown = {
            key: context["ti"].xcom_pull(task_ids=self.task_id, key=key)
            for key in (PROGRESS_KEY, WAIT_KEY, ALERTS_KEY)
        }
        record, wait = shown[PROGRESS_KEY], shown[WAIT_KEY] or {}
        started_at = wait.get("started_at") or time.time() - self.timeout
        tracker = WaitTracker(self._policy(started_at, wait.get("checkpoint_after")))
        tracker.progress = MigrationProgress.model_validate(record) if record else None
        if shown[ALERTS_KEY]:
            tracker.restore_alerts(shown[ALERTS_KEY])
        return tracker

    def _resume(self, context: Context, event: dict[str, Any] | None) -> dict[str, Any] | None:
        from airflow_provider_migration.exceptions import MigrationError, error_from_json
        from airflow_provider_migration.progress import MigrationProgress
        from airflow_provider_migration.wait.outbox import XComOutbox, points_of
        from airflow_provider_migration.wait.tracker import Outcome, Verdict

        ends = [outcome.value for outcome in Outcome if outcome is not Outcome.WAIT]
        if not event or event.get("outcome") not in ends:
            raise MigrationError(
                f"The trigger ended without a verdict: {event!r}. Clear the task to wait again."
            )
        progress = MigrationProgress.model_validate(event["progress"]) if event["progress"] else None
        if progress and not self._is_found:
            self._found_id = progress.migration_id
        # A triggerer of an older version does not know this condition, and has not checked it.
        is_unchecked = self._has_moment and (event.get("wait") or {}).get("checkpoint_after") is None
        is_usable = progress and self._is_fresh(progress) and not is_unchecked
        if event["outcome"] == Outcome.DONE and not is_usable:
            # A paused DAG or a full pool may have delayed the task since the trigger's event.
            tracker = self._go_on(context, event, progress)
            if is_unchecked:
                tracker.history = replace(tracker.history, held_since=None)
            if self._poll(context, tracker, is_confirmed=not is_unchecked):
                return self._finish(context, tracker.progress)
            self._defer_to_trigger(context, tracker)
        outbox = XComOutbox(points_of(event.get("points")))
        due = outbox.due(progress, partial(event.get, "wait"), self.poke_interval, is_last=True)
        self._write_xcom(context, outbox, due, is_last=True)
        if progress is not None:
            self.console_url = progress.console_url
        verdict = Verdict(Outcome(event["outcome"]), event["reason"])
        error = error_from_json(event["error"]) if event["error"] else None
        # Only now is the verdict the task's: a yes that is too old has been asked for again.
        self._send_at_the_end(context, verdict, error, partial(self._go_on, context, event, progress))
        self._raise_for(verdict, progress, error)
        self.log.info("%s", event["reason"])
        return self._finish(context, progress)

    def _is_fresh(self, progress: MigrationProgress) -> bool:
        """Tell whether a record is new enough to succeed on; a clock that differs makes it old."""
        age = time.time() - progress.observed_at.timestamp()
        return abs(age) <= min(2 * self.poke_interval, FRESH_SECONDS)

    def _go_on(
        self, context: Context, event: Mapping[str, Any], progress: MigrationProgress | None
    ) -> WaitTracker:
        """Rebuild the tracker of a wait that a trigger has ended."""
        from airflow_provider_migration.wait.outbox import XComOutbox, points_of
        from airflow_provider_migration.wait.tracker import WaitTracker

        wait = event.get("wait") or {}
        # An event of an older version has no history.
        history = event.get("history") or {"began_before": True}
        policy = self._policy(wait.get("started_at") or time.time(), wait.get("checkpoint_after"))
        policy = replace(policy, deadline=wait.get("deadline") or policy.deadline)
        if wait.get("checkpoint_after") != policy.checkpoint_after:
            history = {**history, "is_applied": False}
        tracker = WaitTracker.from_json({**WaitTracker(policy).to_json(), "history": history})
        tracker.progress = progress
        tracker.outbox = XComOutbox(points_of(event.get("points")))
        return tracker

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return source and destination of the migration for OpenLineage, if the service tells them."""
        from airflow.providers.common.compat.openlineage.facet import Dataset
        from airflow.providers.openlineage.extractors import OperatorLineage

        try:
            datasets = self.hook.get_datasets(**self._ids())
        finally:
            self.hook.close()
        if datasets is None:
            return None
        source, destination = (Dataset(namespace=item.namespace, name=item.name) for item in datasets)
        return OperatorLineage(inputs=[source], outputs=[destination])

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> None:
        """Return nothing: without this method OpenLineage would call the one above."""

    def _finish(self, context: Context, progress: MigrationProgress | None) -> dict[str, Any] | None:
        """Add the figures to the events of the task's outlets, and return the record."""
        if progress is None:
            return None
        record = progress.model_dump(mode="json")
        add_to_events(context, self.outlets, {name: record[name] for name in FIGURES}, self.log)
        return record

    def _begin(self, context: Context) -> WaitTracker:
        """Start a wait, or continue that of a rescheduled task."""
        from airflow_provider_migration.compat import first_reschedule_date
        from airflow_provider_migration.wait.outbox import points_of
        from airflow_provider_migration.wait.tracker import History, WaitTracker

        memory = self._restore(context, TRACKER_KEY) if self.reschedule else None
        # The store outlives retries and clearing, after which the wait starts again.
        if memory and memory.get("try_number") != context["ti"].try_number:
            memory = None
        first = first_reschedule_date(context) if self.reschedule else None
        started_at = first.timestamp() if first else self._started_at or time.time()
        # Airflow counts from the end of the first poll, which in an outage is a minute late.
        if memory and isinstance(memory.get("started_at"), float):
            started_at = min(started_at, memory["started_at"])
        if memory and not self._is_found:
            self._found_id = memory.get("migration_id")
        tracker = WaitTracker(self._policy(started_at, memory.get("checkpoint_after") if memory else None))
        if memory:
            history = memory["history"]
            if memory.get("checkpoint_after") != tracker.policy.checkpoint_after:
                history = {**history, "is_applied": False}
            # If this try has had no answer yet, the record in the store is an earlier try's.
            record = self._restore(context, PROGRESS_KEY) if history.get("last_seen") else None
            tracker = WaitTracker.from_json({**tracker.to_json(), "history": history, "progress": record})
            tracker.outbox.points = points_of(memory.get("points"))
        elif first:
            tracker.history = History(began_before=True)
        else:
            self._check_alerts(context)
        return tracker

    def _check_alerts(self, context: Context) -> None:
        """Refuse alerts that cannot be sent: before the first request, not when one is due."""
        if self.alerts:
            from airflow_provider_migration.sensors.alerts import check_alerts

            self._read_alerts(verifies=self.hook.verifies)
            check_alerts(
                self._subject, self.alerts, context, self.log.log, is_rescheduled=self._is_rescheduled
            )

    def _read_alerts(self, *, verifies: bool = True) -> list[dict[str, Any]]:
        if isinstance(self.alerts, (list, tuple)) and not self.alerts:
            return []
        from airflow_provider_migration.sensors.alerts import read_alerts

        has_lag = self.has_increment
        return read_alerts(
            self._subject, self.alerts, self._longest_pause, has_lag=has_lag, verifies=verifies
        )

    @property
    def _longest_pause(self) -> float:
        """The seconds between two polls that were answered."""
        longest = self.poke_interval
        if self.exponential_backoff and self.max_wait is not None:
            longest = min(longest, self.max_wait.total_seconds())
        return longest

    def _policy(self, started_at: float, first_moment: float | None = None) -> WaitPolicy:
        """
        Return the arguments of the wait.

        :param first_moment: ``checkpoint_after`` as it was when the wait began: a template may render to
            another one; a constant may have been corrected since.
        """
        from airflow_provider_migration.wait.policy import WaitPolicy

        ids, deadline = self._known_ids(), started_at + self.timeout
        is_kept = first_moment is not None and self._is_moment_rendered
        moment = first_moment if is_kept else self._moment()
        if moment is not None and not is_kept:
            self._check_moment(moment, deadline, ids)
        return WaitPolicy(
            targets=self._targets(),
            started_at=started_at,
            deadline=deadline,
            service=self.hook.service,
            migration_id=ids.get(self.migration_argument),
            max_lag=self.max_lag,
            on_paused=self.on_paused,
            on_unknown=self.on_unknown,
            failure_grace=self.failure_grace,
            stall_timeout=self.stall_timeout,
            hold_for=self.hold_for,
            max_poll_errors=None if self.silent_fail else self.max_poll_errors,
            poke_interval=self.poke_interval,
            exponential_backoff=bool(self.exponential_backoff),
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            checkpoint_after=moment,
            on_mismatch=self.on_mismatch,
            alerts=tuple(self._read_alerts()),
        )

    def _check_moment(self, moment: float, deadline: float, ids: dict[str, Any]) -> None:
        from airflow_provider_migration.wait.policy import utc_text

        if remedy := self.hook.checkpoint_remedy(**ids):
            problem = f"needs a checkpoint, and {self.hook.hook_name} gives none here. {remedy}"
            refuse(self._subject, "checkpoint_after", problem)
        if moment + self.hold_for >= deadline:
            hold = f" for hold_for ({self.hold_for:g} s)" if self.hold_for else ""
            refuse(
                self._subject,
                "checkpoint_after",
                f"{utc_text(moment)} leaves no time{hold}: the wait ends at {utc_text(deadline)} (timeout "
                f"{self.timeout:g} s). Lengthen timeout, or correct the moment.",
            )

    def _restore(self, context: Context, key: str) -> dict[str, Any] | None:
        from airflow_provider_migration.compat import task_state_store

        store = task_state_store(context)
        try:
            value = store.get(key) if store is not None else None
        except Exception as problem:
            self.log.warning("The task state store cannot be read: %s", problem)
            return None
        return value if isinstance(value, dict) else None

    def _targets(self) -> tuple[str, ...]:
        from airflow_provider_migration.wait.policy import chosen_targets

        self._check_policy()  # includes attributes that were changed after __init__
        given = read_targets(self._subject, self.target_status)
        return chosen_targets(self._subject, given, self.hook.targets(**self._known_ids()))

    def _defer_to_trigger(self, context: Context, tracker: WaitTracker) -> None:
        from airflow_provider_migration.triggers.migration import MigrationTrigger

        remaining = timedelta(seconds=max(tracker.policy.deadline - time.time(), 0))
        self.defer(
            trigger=MigrationTrigger(
                hook=self.hook_class,
                hook_arguments=self._given(self._hook_arguments()),
                ids=self._ids(),
                tracker=tracker.to_json(),
                task_key=task_key(context),
            ),
            method_name="execute_complete",
            timeout=remaining + AIRFLOW_TIMEOUT_MARGIN,
        )

    def _given(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the hook's arguments without defaults, which an older triggerer may not know."""
        taken = signature(type(self.hook)).parameters
        return {
            name: value
            for name, value in arguments.items()
            if name not in taken or value != taken[name].default
        }

    def _raise_for(
        self, verdict: Verdict, progress: MigrationProgress | None, error: MigrationError | None
    ) -> None:
        """Raise the error of a verdict; return if the task waits or is done."""
        from airflow_provider_migration.exceptions import MigrationFailedError, error_from_json
        from airflow_provider_migration.wait.tracker import Outcome

        if verdict.ends and (self.soft_fail or self.never_fail):
            self.log.info("%s", verdict.reason)  # Airflow skips with a reason of its own
        if verdict.outcome is Outcome.FAIL:
            raise MigrationFailedError(verdict.reason, progress)
        if verdict.outcome is Outcome.SKIP:
            raise AirflowSkipException(verdict.reason)
        if verdict.outcome is Outcome.TIMEOUT:
            raise AirflowSensorTimeout(verdict.reason)
        if verdict.outcome is Outcome.POLL_ERROR:
            raise error_from_json(error.to_json() if error else {}, prefix=verdict.reason)

    def _publish(
        self, context: Context, tracker: WaitTracker, verdict: Verdict, error: MigrationError | None
    ) -> bool:
        """
        Write what is due to XCom, and the state of the wait to the task state store.

        Return False if the next poll is another process, which will not know this state.
        """
        from airflow_provider_migration.compat import task_state_store

        due = tracker.due(verdict, error)
        self._write_xcom(context, tracker.outbox, due, is_last=verdict.ends)
        if tracker.progress is not None:
            self.console_url = tracker.progress.console_url
        store = None if self.deferrable and self._is_found else task_state_store(context)
        try:
            if store is not None and PROGRESS_KEY in due:
                store.set(PROGRESS_KEY, due[PROGRESS_KEY])
            if store is not None and self.reschedule:
                known = tracker.to_json()
                memory = {
                    "try_number": context["ti"].try_number,
                    "started_at": tracker.policy.started_at,
                    "history": known["history"],
                    "points": known["outbox"]["points"],
                    "checkpoint_after": tracker.policy.checkpoint_after,
                    "migration_id": self._found_id,
                }
                store.set(TRACKER_KEY, memory)
        except Exception as problem:
            self.log.warning("The task state store cannot be written: %s", problem)
            return not self._is_rescheduled
        return store is not None or not self._is_rescheduled

    @property
    def _is_rescheduled(self) -> bool:
        """True if the next poll is another process: a migration that is named is found before deferring."""
        return self.reschedule and not (self.deferrable and self._is_found)

    def _messages_due(
        self, context: Context, tracker: WaitTracker, verdict: Verdict, error: MigrationError | None
    ) -> list[Message]:
        """Return the messages of alerts that are due after the last poll; a failure must not end the wait."""
        if not self.alerts:
            return []
        from airflow_provider_migration.sensors.alerts import messages_due

        try:
            return messages_due(
                context, tracker, verdict, error, task_key(context), never_fails=self.never_fail
            )
        except Exception:
            self.log.exception("The alerts of this poll are lost.")
            return []

    def _store_alerts(self, context: Context, tracker: WaitTracker) -> None:
        """Tell the triggers of this wait which messages are sent; a failure must not end the wait."""
        try:
            push_xcom(context, ALERTS_KEY, tracker.alerts_to_json())
        except Exception as problem:
            self.log.warning("XCom %s cannot be written: %s", ALERTS_KEY, problem)

    def _send_at_the_end(
        self,
        context: Context,
        verdict: Verdict,
        error: MigrationError | None,
        rebuild: Callable[[], WaitTracker],
    ) -> None:
        """
        Send the messages that are due when a wait has ended elsewhere.

        :param rebuild: returns the tracker of that wait.
        """
        if not self.alerts:
            return
        try:
            tracker = rebuild()
        except Exception:  # the end of the wait must not be another one because of its messages
            self.log.exception("The alerts of the last poll are lost.")
        else:
            self._send(self._messages_due(context, tracker, verdict, error), tracker, is_last=True)

    def _send(self, messages: Sequence[Message], tracker: WaitTracker, *, is_last: bool) -> None:
        """Send messages; the wait goes on after ten seconds, and before its deadline, whatever hangs."""
        self._seconds_sending = 0.0
        if not messages:
            return
        from airflow_provider_migration.notifications.delivery import SEND_SECONDS, send

        begun, seconds = time.monotonic(), SEND_SECONDS
        if not is_last:  # otherwise Airflow's own timeout would come before the last poll
            seconds = max(min(seconds, tracker.policy.deadline - DEADLINE_MARGIN - time.time()), 0)
        try:
            send(messages, self.log.log, seconds)
        except Exception:  # no thread can be started
            self.log.exception("The alerts of this poll are lost.")
        self._seconds_sending = time.monotonic() - begun

    def _write_xcom(
        self, context: Context, outbox: XComOutbox, due: Mapping[str, Any], *, is_last: bool
    ) -> None:
        """Write to XCom; a failure here must not end the wait."""
        # The last write is retried once, because no later poll repeats it. All entries are written again, so
        # that the record still comes before the wait.
        for _ in range(2 if is_last else 1):
            is_written = True
            for key, value in due.items():
                try:
                    push_xcom(context, key, value)
                except Exception as problem:
                    is_written = False
                    self.log.warning("XCom %s cannot be written: %s", key, problem)
                else:
                    outbox.mark_written(key)
            if is_written:
                break

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        # The tracker sets the interval in every mode, so that all modes poll alike.
        # A message that takes long to send does not delay the next poll.
        since = time.time() - self._seconds_sending
        pause = self._tracker.next_poll_in(since) if self._tracker else self.poke_interval
        return max(pause - self._seconds_sending, 0)


def add_to_events(context: Context, outlets: Sequence[Any], figures: Mapping[str, Any], log: Any) -> None:
    """Add figures to the events of a task's outlets; a failure here must not fail the task."""
    from airflow_provider_migration.compat import asset_kinds

    for asset in outlets:
        if isinstance(asset, asset_kinds()):
            try:
                context["outlet_events"][asset].extra.update(figures)
            except Exception as problem:  # a reference is looked up in Airflow's database
                log.warning("The event of %s carries no figures: %s", asset, problem)


def task_key(context: Context) -> dict[str, Any]:
    """Return the key of the task whose XCom is written."""
    return {name: getattr(context["ti"], name) for name in ("dag_id", "task_id", "run_id", "map_index")}


def push_xcom(context: Context, key: str, value: Any) -> None:
    """Write a value to the task's XCom."""
    from airflow_provider_migration.xcom import write_xcom

    def push(key: str, value: Any, **_: Any) -> None:
        context["ti"].xcom_push(key=key, value=value)

    write_xcom(push, key, value, task_key(context))


def is_number(value: object) -> bool:
    """Tell whether something is a number of seconds: finite, and 0 or more."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def to_seconds(value: Any) -> Any:
    """Return a timedelta as seconds, and any other value as it is."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def is_constant(value: object) -> bool:
    """Tell whether a value is known when the DAG file is read: plain, and without a template in it."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_constant, value))
    if isinstance(value, dict):
        return all(map(is_constant, value.values()))
    # Results of tasks and mapped arguments are objects that Airflow resolves when the task runs.
    return not hasattr(value, "iter_references")


def shown(value: object) -> str:
    """Return a value for a message, shortened."""
    return reprlib.repr(value)


def refuse(subject: str, name: str, problem: str) -> NoReturn:
    """
    Refuse an argument.

    :raises MigrationConfigurationError: always.
    """
    from airflow_provider_migration.exceptions import MigrationConfigurationError

    raise MigrationConfigurationError(f"{subject}: {name} {problem}")


def read_text(subject: str, name: str, value: object, *, kind: str = "a string") -> str:
    """
    Return an id or a word as a string, without surrounding whitespace.

    :param subject: the beginning of the message.
    :param kind: the expected kind of value, for the message.
    :raises MigrationConfigurationError: for a value of another type, an empty one, and a list that a template
        has turned into text.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
        refuse(subject, name, f"must be {kind}, not {shown(value)}.")
    text = str(value).strip()
    if text == "None":
        refuse(subject, name, "is empty: it is None, or rendered to None: did the upstream task push it?")
    if not text:
        refuse(subject, name, "is empty: give a value, or see why its template renders to nothing.")
    if text[0] + text[-1] in ("[]", "()", "{}"):
        refuse(
            subject,
            name,
            f"must be {kind}, not {shown(text)}. If a template rendered a list to this text, set "
            "render_template_as_native_obj=True on the DAG.",
        )
    return text


MOMENT: Final = (
    "an ISO time with its offset, such as 2026-01-31T22:00:00+08:00, a datetime with a time zone, or epoch "
    "seconds"
)


def read_moment(subject: str, name: str, value: object) -> float:
    """
    Return a moment as epoch seconds.

    :param subject: the beginning of the message.
    :raises MigrationConfigurationError: for anything that is not a moment, and for a time without an offset:
        a wrong guess would be hours off.
    """
    moment: Any = value
    if not isinstance(value, datetime) and not is_number(value):
        text = read_text(subject, name, value, kind=MOMENT)
        try:
            moment = float(text)
        except ValueError:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                refuse(subject, name, f"must be {MOMENT}, not {shown(text)}.")
    if isinstance(moment, datetime):
        if moment.utcoffset() is None:
            refuse(subject, name, f"needs a time zone, such as Z or +08:00: {shown(str(value))}.")
        moment = moment.timestamp()
    if not is_number(moment) or not MIN_MOMENT <= moment <= MAX_MOMENT:
        refuse(subject, name, f"must be {MOMENT}, not {shown(value)}.")
    return float(moment)


def read_words(subject: str, name: str, value: object) -> list[str]:
    """
    Return one word or several as a list; a set in alphabetical order, so that each parse makes the same list.

    :param subject: the beginning of the message.
    :raises MigrationConfigurationError: for a value that is neither a word nor a list of words.
    """
    kind = "a word or a list of words"
    words = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    if any(isinstance(word, int) for word in words):
        refuse(subject, name, f"must be {kind}, not {shown(value)}.")
    texts = [read_text(subject, name, word, kind=kind) for word in words]
    return sorted(texts) if isinstance(value, (set, frozenset)) else texts


def read_targets(subject: str, value: object) -> list[str]:
    """
    Return the words of a ``target_status``.

    :param subject: the beginning of the message.
    :raises MigrationConfigurationError: for a value that is neither a word nor a list of words, and for an
        empty list.
    """
    words = read_words(subject, "target_status", value)
    if not words:
        refuse(subject, "target_status", "is empty: give a milestone, a state or a word of the service.")
    return words
