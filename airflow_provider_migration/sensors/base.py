"""
The waiting that all sensors share.

A DAG file pays for what its imports load at every parse, so the package's other modules come in when a
task runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property, partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_migration.keys import PROGRESS_KEY, WATCH_KEY
from airflow_provider_migration.links import MigrationConsoleLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_migration.exceptions import MigrationError
    from airflow_provider_migration.hooks.base import MigrationHook
    from airflow_provider_migration.progress import MigrationProgress
    from airflow_provider_migration.publication import Publication
    from airflow_provider_migration.verdict import Verdict, Watch

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
"""What of the final record the events of the task's outlets carry as ``extra``."""

AIRFLOW_TIMEOUT_MARGIN = timedelta(minutes=5)
"""How long after the trigger's own deadline Airflow's trigger timeout steps in."""


class MigrationSensor(BaseSensorOperator):
    """
    Wait until a migration reaches a target; fail as soon as it cannot any more. It only watches: it never
    starts, stops, pauses or cancels anything.

    While it waits, XCom ``migration_progress`` holds the last record, also while the task is deferred,
    ``migration_history`` how percent and lag went, and ``migration_wait`` what it waits for, how its polls go
    and how the wait ended. XCom ``return_value`` is the record with which the target was reached; its figures
    go with the events of the task's ``outlets``.

    In reschedule mode each poll is a new process. From Airflow 3.3 on ``stall_timeout``, ``hold_for``,
    ``failure_grace`` and ``max_poll_errors`` count across polls, through the task state store. On older
    releases they begin anew at each poll and so take no effect in that mode (a ``hold_for`` or
    ``failure_grace`` above 0 waits until ``timeout``); poke and deferrable mode count everywhere.

    :param target_status: what to wait for, one or several of: a milestone (``structure_done``, ``full_done``,
        ``caught_up``, ``succeeded``), a state (``paused``, ``failed`` …), or the service's own word for a
        status or step. Where the service's order is known, a word is also reached past it. ``caught_up``
        is reached by a migration with an incremental phase when it is in sync, and by one without when it
        has succeeded. (templated)
    :param max_lag: up to how many seconds of lag count as caught up.
    :param on_paused: what to do with a migration that someone has paused: ``wait``, ``fail`` or ``skip``.
    :param on_unknown: what to do with a status that the service has added since: ``wait`` or ``fail``.
    :param failure_grace: for how many seconds a failed migration may still turn around.
    :param stall_timeout: fail when nothing has moved for so many seconds; None to wait until ``timeout``.
    :param hold_for: for how many seconds the target must hold without a break before it counts.
    :param max_poll_errors: how many times in a row polling may fail in a way that may pass (throttled, out
        of reach, garbled). A wrong key or an unknown id fails at once.
    :param deferrable: wait on the triggerer, without a worker slot.
    """

    ui_color = "#d5ecf2"
    operator_extra_links = (MigrationConsoleLink(),)

    hook_class: ClassVar[str]
    """Where the hook is, as ``module:Class``."""
    conn_argument: ClassVar[str]
    """The hook's and the sensor's argument with the connection id."""
    id_arguments: ClassVar[tuple[str, ...]]
    """The arguments that say which migration; the hook's ``get_progress`` takes them too."""

    def __init__(
        self,
        *,
        target_status: str | Sequence[str] = "caught_up",
        max_lag: float = 60,
        on_paused: str = "wait",
        on_unknown: str = "wait",
        failure_grace: float = 0,
        stall_timeout: float | None = None,
        hold_for: float = 0,
        max_poll_errors: int = 5,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_status = target_status
        self.max_lag = max_lag
        self.on_paused = on_paused
        self.on_unknown = on_unknown
        self.failure_grace = failure_grace
        self.stall_timeout = stall_timeout
        self.hold_for = hold_for
        self.max_poll_errors = max_poll_errors
        self.deferrable = deferrable
        self._watch: Watch | None = None
        self._started_at: float | None = None
        self.console_url: str | None = None
        self._check("on_paused", on_paused in ("wait", "fail", "skip"), "'wait', 'fail' or 'skip'")
        self._check("on_unknown", on_unknown in ("wait", "fail"), "'wait' or 'fail'")
        for name in ("max_lag", "failure_grace", "hold_for"):
            self._check(name, is_number(getattr(self, name)), "a number of seconds, 0 or more")
        self._check(
            "stall_timeout",
            stall_timeout is None or (is_number(stall_timeout) and stall_timeout > 0),
            "a number of seconds above 0, or None",
        )
        self._check(
            "max_poll_errors",
            isinstance(max_poll_errors, int) and is_number(max_poll_errors),
            "a whole number, 0 or more",
        )

    def _check(self, name: str, is_right: bool, allowed: str) -> None:
        if not is_right:
            from airflow_provider_migration.exceptions import MigrationConfigurationError

            raise MigrationConfigurationError(
                f"{type(self).__name__} {self.task_id!r}: {name} must be {allowed}, "
                f"not {getattr(self, name)!r}."
            )

    @cached_property
    def hook(self) -> MigrationHook[Any]:
        """The hook that asks the service."""
        hook: MigrationHook[Any] = resolve_name(self.hook_class)(**self._hook_arguments())
        return hook

    def _hook_arguments(self) -> dict[str, Any]:
        return {self.conn_argument: getattr(self, self.conn_argument)}

    def _ids(self) -> dict[str, Any]:
        ids = {name: getattr(self, name) for name in self.id_arguments}
        # A trigger holds plain JSON.
        return {
            name: list(value) if isinstance(value, (tuple, set, frozenset)) else value
            for name, value in ids.items()
        }

    def execute(self, context: Context) -> Any:
        """Wait as the mode says, and return the record with which the target was reached."""
        self._watch, self._started_at, self.console_url = None, time.time(), ""
        try:
            return super().execute(context)
        finally:
            self.hook.close()

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Ask once, tell what is new, and decide; where the task is deferrable, hand the waiting over."""
        from airflow_provider_migration.exceptions import MigrationError
        from airflow_provider_migration.metrics import report_poll

        watch = self._watch = self._watch or self._begin(context)
        error: MigrationError | None = None
        try:
            progress = self.hook.get_progress(**self._ids(), max_lag=self.max_lag)
        except MigrationError as problem:
            error = problem
            verdict = watch.fail_poll(error, time.time())
            report_poll(self.hook_class, self._ids(), error)
        else:
            verdict = watch.observe(progress, time.time())
            report_poll(self.hook_class, self._ids(), progress)
        if news := watch.news(error):
            self.log.log(logging.WARNING if error else logging.INFO, "%s", news)
        self._publish(context, watch, verdict, error)
        if not self._is_waiting(verdict, watch.progress, error):
            self.log.info("%s", verdict.reason)
            return PokeReturnValue(True, self._finish(context, watch.progress))
        if self.deferrable:
            self._defer_to_trigger(context, watch)
        return False

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Take what the trigger came to, and end as the other modes would."""
        from airflow_provider_migration.exceptions import MigrationError, error_from_json
        from airflow_provider_migration.progress import MigrationProgress
        from airflow_provider_migration.publication import Publication, points_of
        from airflow_provider_migration.verdict import Outcome, Verdict

        ends = [outcome.value for outcome in Outcome if outcome is not Outcome.WAIT]
        if not event or event.get("outcome") not in ends:
            raise MigrationError(
                f"The trigger ended without a verdict: {event!r}. Clear the task to wait again."
            )
        progress = MigrationProgress.model_validate(event["progress"]) if event["progress"] else None
        publication = Publication(points_of(event.get("points")))
        self._show(context, publication, progress, partial(event.get, "wait"), is_last=True)
        try:
            self._is_waiting(
                Verdict(Outcome(event["outcome"]), event["reason"]),
                progress,
                error_from_json(event["error"]) if event["error"] else None,
            )
        except (MigrationError, AirflowSensorTimeout) as error:
            # On resuming a task Airflow applies never_fail to its own exceptions only, before 3.1 to none.
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise
        self.log.info("%s", event["reason"])
        return self._finish(context, progress)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage what the migration reads and what it writes, where the service says so."""
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
        """Tell nothing: OpenLineage would take the above."""

    def _finish(self, context: Context, progress: MigrationProgress | None) -> dict[str, Any] | None:
        """Tell those who wait for the task's assets its figures, and return the record."""
        from airflow.providers.common.compat.sdk import Asset

        if progress is None:
            return None
        record = progress.model_dump(mode="json")
        for asset in self.outlets:
            if isinstance(asset, Asset):
                context["outlet_events"][asset].extra.update({name: record[name] for name in FIGURES})
        return record

    def _begin(self, context: Context) -> Watch:
        """Start to watch, or go on where a rescheduled poll left off."""
        from airflow_provider_migration.compat import first_reschedule_date
        from airflow_provider_migration.publication import points_of
        from airflow_provider_migration.verdict import Watch, Wishes

        memory = self._recall(context, WATCH_KEY) if self.reschedule else None
        # The store outlives retries and clearing, where the wait begins anew.
        if memory and memory.get("try_number") != context["ti"].try_number:
            memory = None
        first = first_reschedule_date(context) if self.reschedule else None
        started_at = first.timestamp() if first else self._started_at or time.time()
        # Airflow counts from the end of the first poll, which in an outage is a minute late.
        if memory and isinstance(memory.get("started_at"), float):
            started_at = min(started_at, memory["started_at"])
        which = self._ids().get(self.hook.migration_argument)
        wishes = Wishes(
            targets=self._targets(),
            started_at=started_at,
            deadline=started_at + self.timeout,
            service=self.hook.service,
            migration_id=None if which is None else str(which).strip(),
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
        )
        watch = Watch(wishes)
        if memory:
            history = memory["history"]
            # Where this try has seen nothing yet, the record in the store is of an earlier one.
            record = self._recall(context, PROGRESS_KEY) if history.get("last_seen") else None
            watch = Watch.from_json({**watch.to_json(), "history": history, "progress": record})
            watch.publication.points = points_of(memory.get("points"))
        return watch

    def _recall(self, context: Context, key: str) -> dict[str, Any] | None:
        store = context.get("task_state_store")
        try:
            value = store.get(key) if store is not None else None
        except Exception as problem:
            self.log.warning("The task state store cannot be read: %s", problem)
            return None
        return value if isinstance(value, dict) else None

    def _targets(self) -> tuple[str, ...]:
        from airflow_provider_migration.verdict import chosen_targets

        whose = f"{type(self).__name__} {self.task_id!r}"
        return chosen_targets(whose, self.target_status, self.hook.targets(**self._ids()))

    def _defer_to_trigger(self, context: Context, watch: Watch) -> None:
        from airflow_provider_migration.triggers.migration import MigrationTrigger

        ti = context["ti"]
        remaining = timedelta(seconds=max(watch.wishes.deadline - time.time(), 0))
        self.defer(
            trigger=MigrationTrigger(
                hook=self.hook_class,
                hook_arguments=self._hook_arguments(),
                ids=self._ids(),
                watch=watch.to_json(),
                task_key={
                    "dag_id": ti.dag_id,
                    "task_id": ti.task_id,
                    "run_id": ti.run_id,
                    "map_index": ti.map_index,
                },
            ),
            method_name="execute_complete",
            timeout=remaining + AIRFLOW_TIMEOUT_MARGIN,
        )

    def _is_waiting(
        self, verdict: Verdict, progress: MigrationProgress | None, error: MigrationError | None
    ) -> bool:
        """Tell whether to go on waiting, or raise what the verdict amounts to."""
        from airflow_provider_migration.exceptions import MigrationFailedError, error_from_json
        from airflow_provider_migration.verdict import Outcome

        if verdict.outcome is not Outcome.WAIT and (self.soft_fail or self.never_fail):
            self.log.info("%s", verdict.reason)  # Airflow skips with a reason of its own
        if verdict.outcome is Outcome.FAIL:
            raise MigrationFailedError(verdict.reason, progress)
        if verdict.outcome is Outcome.SKIP:
            raise AirflowSkipException(verdict.reason)
        if verdict.outcome is Outcome.TIMEOUT:
            raise AirflowSensorTimeout(verdict.reason)
        if verdict.outcome is Outcome.POLL_ERROR:
            raise error_from_json(error.to_json() if error else {}, prefix=verdict.reason)
        return verdict.outcome is Outcome.WAIT

    def _publish(
        self, context: Context, watch: Watch, verdict: Verdict, error: MigrationError | None
    ) -> None:
        """Leave wait, record, history, link and memory where they are seen."""
        from airflow_provider_migration.verdict import Outcome

        is_last = verdict.outcome is not Outcome.WAIT
        wait = partial(watch.wait_to_json, verdict, error)
        written = self._show(context, watch.publication, watch.progress, wait, is_last=is_last)
        store = None if self.deferrable else context.get("task_state_store")
        try:
            if store is not None and PROGRESS_KEY in written:
                store.set(PROGRESS_KEY, written[PROGRESS_KEY])
            if store is not None and self.reschedule:
                known = watch.to_json()
                memory = {
                    "try_number": context["ti"].try_number,
                    "started_at": watch.wishes.started_at,
                    "history": known["history"],
                    "points": known["publication"]["points"],
                }
                store.set(WATCH_KEY, memory)
        except Exception as problem:
            self.log.warning("The task state store cannot be written: %s", problem)

    def _show(
        self,
        context: Context,
        publication: Publication,
        progress: MigrationProgress | None,
        wait: Callable[[], dict[str, Any] | None],
        *,
        is_last: bool,
    ) -> dict[str, Any]:
        """Write to XCom what is due, and return it; what fails here must not end the wait."""
        due = publication.due(progress, wait, self.poke_interval, is_last=is_last)
        for key, value in due.items():
            try:
                context["ti"].xcom_push(key=key, value=value)
            except Exception as problem:
                self.log.warning("XCom %s cannot be written: %s", key, problem)
            else:
                publication.wrote(key)
        if progress is not None:
            self.console_url = progress.console_url
        return due

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        # Airflow's own does not know the trigger; asking the watch makes every mode keep the same pace.
        return self._watch.next_poll_in(time.time()) if self._watch else self.poke_interval


def is_number(value: object) -> bool:
    """Tell whether something is a number of seconds: finite, and 0 or more."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")
