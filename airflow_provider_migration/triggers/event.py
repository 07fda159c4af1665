"""The trigger that starts DAGs: it emits an asset event each time a migration reaches a target."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from inspect import Parameter, signature
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final, Self

from airflow.triggers.base import TriggerEvent

from airflow_provider_migration.compat import BaseEventTrigger, asset_state_store

if TYPE_CHECKING:
    from airflow_provider_migration.alerts import MigrationAlert
    from airflow_provider_migration.exceptions import MigrationApiError
    from airflow_provider_migration.sensors.base import MigrationSensor
    from airflow_provider_migration.triggers.sharing import SharedHook
    from airflow_provider_migration.wait.tracker import WaitTracker

REFUSED_SECONDS: Final = 900
"""Seconds without a request after a refusal: a service locks a key that keeps sending wrong signatures."""

STORING_SECONDS: Final = 5
"""Seconds that Airflow may take to store an event; it collects them every second."""


class MigrationEventTrigger(BaseEventTrigger):
    """
    Emit an asset event each time a migration reaches a target; for an ``AssetWatcher``, created by
    :meth:`of`.

    The event's ``extra["payload"]`` is the record with which the target was reached. There is one event each
    time the target is reached, not one per poll: the next event requires that the target was left in between.
    From Airflow 3.3 on the asset's state store keeps this across triggerers; on older releases a triggerer
    that starts emits an event for a target that is already reached.

    An error does not end the trigger, because Airflow would restart it at once. After a failed poll the
    trigger continues with the next one, after a refusal (a wrong key, a missing right, an unknown id) 15
    minutes later; it logs both. The trigger holds no secret.

    :param hook: the hook's class, as ``module:Class``.
    :param hook_arguments: the hook's arguments, as JSON text: before 3.3 Airflow passes nested arguments in a
        wrapper of its own.
    :param ids: the migration, as arguments of the hook's ``aget_progress``; also as JSON text.
    :param targets: the targets; reaching one is enough.
    :param max_lag: maximum lag in seconds that counts as caught up.
    :param hold_for: seconds for which a target must hold without a break.
    :param poke_interval: seconds between two polls.
    :param alerts: a list of :class:`~airflow_provider_migration.alerts.MigrationAlert`; also as JSON text.
    """

    def __init__(
        self,
        *,
        hook: str,
        hook_arguments: str,
        ids: str,
        targets: list[str],
        max_lag: float,
        hold_for: float,
        poke_interval: float,
        alerts: str = "[]",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's is not annotated
        self.hook = hook
        try:
            self.hook_arguments: dict[str, Any] = json.loads(hook_arguments)
            self.ids: dict[str, Any] = json.loads(ids)
            self.alerts: list[dict[str, Any]] = json.loads(alerts)
        except ValueError as problem:
            # Airflow takes a TypeError as this trigger's own; any other error ends the whole triggerer.
            raise TypeError(f"The arguments of the trigger cannot be read: {problem}") from problem
        self.targets = targets
        self.max_lag = max_lag
        self.hold_for = hold_for
        self.poke_interval = poke_interval

    @classmethod
    def of(
        cls,
        sensor: type[MigrationSensor],
        *,
        target_status: str | Sequence[str] | None = None,
        max_lag: float | timedelta = 60,
        hold_for: float | timedelta = 0,
        poke_interval: float | timedelta | None = None,
        alerts: Sequence[MigrationAlert] = (),
        **which: Any,
    ) -> Self:
        """
        Create the trigger from the arguments of a sensor.

        Each argument must be a constant: without a task, no template is rendered.

        :param sensor: the class of the service's sensor.
        :param target_status: as the sensor takes it; without it, the sensor's default.
        :param max_lag: as the sensor takes it.
        :param hold_for: as the sensor takes it.
        :param poke_interval: as the sensor takes it; without it, the sensor's default.
        :param alerts: as the sensor takes them.
        :param which: the sensor's ids and connection id, and the hook's other arguments such as ``region``.
        :raises MigrationConfigurationError: for an argument that is missing, unknown or wrong.
        """
        from airflow_provider_migration.exceptions import MigrationConfigurationError
        from airflow_provider_migration.sensors import base
        from airflow_provider_migration.sensors.alerts import read_alerts
        from airflow_provider_migration.services.wire import require_id
        from airflow_provider_migration.wait.policy import chosen_targets

        if not (
            isinstance(sensor, type)
            and issubclass(sensor, base.MigrationSensor)
            and hasattr(sensor, "hook_class")
        ):
            raise MigrationConfigurationError(
                f"{cls.__name__}: sensor must be the class of a migration sensor, such as "
                f"DtsMigrationJobSensor, not {base.shown(sensor)}."
            )
        subject = f"{cls.__name__} of {sensor.__name__}"
        given = {
            "target_status": _default(sensor, "target_status") if target_status is None else target_status,
            "max_lag": base.to_seconds(max_lag),
            "hold_for": base.to_seconds(hold_for),
            "poke_interval": base.to_seconds(
                _default(sensor, "poke_interval") if poke_interval is None else poke_interval
            ),
        }
        for name, value in {**given, **which}.items():
            if not base.is_constant(value):
                problem = f"must be a constant, not {base.shown(value)}."
                base.refuse(subject, name, f"{problem} Without a task, no template is rendered.")
        for name in ("max_lag", "hold_for", "poke_interval"):
            least, allowed = 0, base.DURATION
            if name == "poke_interval":
                least, allowed = base.MIN_INTERVAL, base.INTERVAL
            if not base.is_number(given[name]) or given[name] < least:
                base.refuse(subject, name, f"must be {allowed}, not {base.shown(given[name])}.")
        hook_class = resolve_name(sensor.hook_class)
        plain_alerts = read_alerts(
            subject,
            alerts,
            given["poke_interval"],
            has_lag=sensor.has_increment,
            verifies=hook_class.verifies,
        )
        own = signature(sensor.__init__).parameters
        # The same arguments as the sensor's, so that both share a hook on the triggerer.
        hook_arguments = {
            name: which.pop(name) if name in which else own[name].default
            for name in signature(hook_class).parameters
            if name in which or name in own
        }
        asked = signature(hook_class.get_progress)
        try:
            bound = asked.bind(None, **which)
        except TypeError as error:
            own_arguments = (name for name in signature(cls.of).parameters if name not in ("sensor", "which"))
            its_arguments = (*sensor.id_arguments, *sensor.switches, *signature(hook_class).parameters)
            known = ", ".join([*its_arguments, *own_arguments])
            raise MigrationConfigurationError(f"{subject}: {error}; it takes {known}.") from None
        bound.apply_defaults()
        ids = sensor._read_ids(subject, bound.arguments)
        for name, value in ids.items():
            if asked.parameters[name].default is Parameter.empty:
                require_id(name, value)
        for name, value in hook_arguments.items():
            if value is not None:
                hook_arguments[name] = base.read_text(subject, name, value)
        if hook_arguments.get(sensor.conn_argument, "") is None:
            base.read_text(subject, sensor.conn_argument, None)
        targets = base.read_targets(subject, given["target_status"])
        possible = hook_class(**hook_arguments).targets(**ids)
        return cls(
            hook=sensor.hook_class,
            # A triggerer of an older version may not know an argument that is not given.
            hook_arguments=json.dumps(
                {name: value for name, value in hook_arguments.items() if value is not None}
            ),
            ids=json.dumps(ids),
            # Sorted, because Airflow takes another order at the next parse for another trigger.
            targets=sorted(chosen_targets(subject, targets, possible)),
            max_lag=given["max_lag"],
            hold_for=given["hold_for"],
            poke_interval=given["poke_interval"],
            alerts=json.dumps(plain_alerts),
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and arguments, in plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "hook": self.hook,
                "hook_arguments": json.dumps(self.hook_arguments),
                "ids": json.dumps(self.ids),
                "targets": self.targets,
                "max_lag": self.max_lag,
                "hold_for": self.hold_for,
                "poke_interval": self.poke_interval,
                # A triggerer of an older version does not know alerts.
                **({"alerts": json.dumps(self.alerts)} if self.alerts else {}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until Airflow stops the trigger, and yield an event each time a target is reached."""
        from airflow_provider_migration.exceptions import MigrationApiError
        from airflow_provider_migration.polling import poll_once
        from airflow_provider_migration.triggers.alerts import AlertSender
        from airflow_provider_migration.triggers.sharing import seconds_to_next_slot, shared_hook
        from airflow_provider_migration.wait.policy import WaitPolicy
        from airflow_provider_migration.wait.tracker import Outcome, WaitTracker

        policy = WaitPolicy(
            targets=tuple(self.targets),
            started_at=time.time(),
            deadline=math.inf,
            max_lag=self.max_lag,
            hold_for=self.hold_for,
            max_poll_errors=None,
            poke_interval=self.poke_interval,
            alerts=tuple(self.alerts),
        )
        tracker = WaitTracker(policy)
        alerts = AlertSender(self._store_alerts, self.log)
        has_emitted: bool | None = None
        least = 0.0
        async with AsyncExitStack() as stack:
            shared: SharedHook | None = None
            while True:
                pause = seconds_to_next_slot(self.ids, self.poke_interval, time.time(), least)
                await asyncio.sleep(max(pause, tracker.history.retry_after))
                least = self.poke_interval / 2
                try:
                    if has_emitted is None:
                        if self.alerts:
                            # In a thread, because it loads the service's modules.
                            hook_class = await asyncio.to_thread(resolve_name, self.hook)
                            tracker.policy = replace(
                                policy,
                                service=hook_class.service,
                                migration_id=str(self.ids[hook_class.migration_argument]),
                            )
                            await self._restore_alerts(tracker)
                        has_emitted = await self._restore() is not None
                    with poll_once(tracker, self.hook, self.ids, self.log.log) as poll:
                        if shared is None:
                            shared = await stack.enter_async_context(
                                shared_hook(self.hook, self.hook_arguments)
                            )
                        poll.answer = await shared.poll(self.ids, policy.poll_arguments)
                    alerts.notify(tracker, poll)
                    if poll.verdict.outcome is Outcome.DONE and tracker.progress and not has_emitted:
                        self.log.info("%s", poll.verdict.reason)
                        yield TriggerEvent(tracker.progress.model_dump(mode="json"))
                        has_emitted = True
                        # At-least-once: a duplicate event is better than a lost one.
                        await asyncio.sleep(STORING_SECONDS)
                        await self._save(tracker.progress.observed_at.isoformat())
                    elif has_emitted and poll.error is None and tracker.history.held_since is None:
                        has_emitted = False
                        await self._save(None)
                    elif isinstance(poll.error, MigrationApiError) and self._is_refused(poll.error, tracker):
                        await asyncio.sleep(REFUSED_SECONDS)
                except Exception:
                    self.log.exception("Watching %s has failed; the trigger continues.", self.ids)

    @staticmethod
    def _is_refused(error: MigrationApiError, tracker: WaitTracker) -> bool:
        """Tell whether another request soon is useless: a refusal, or a used-up quota."""
        if error.is_transient:
            return getattr(error, "quota_exhausted", False)
        return not (error.tolerated_after_success and tracker.history.has_answer)

    def _key(self, what: str) -> str:
        path, arguments = self.serialize()
        if what == "reached":
            arguments.pop("alerts", None)  # a new alert must not repeat an event
        made_of = json.dumps([path, arguments], sort_keys=True).encode()
        return f"migration_{what}_{hashlib.sha1(made_of, usedforsecurity=False).hexdigest()}"

    async def _restore(self, what: str = "reached") -> Any:
        """Return the entry of an earlier triggerer; None without Airflow's store for assets."""
        store = asset_state_store(self)
        if store is None:
            return None
        try:
            return await store.aget(self._key(what))
        except ValueError:  # a trigger of several assets has no store
            self.asset_state_store = None
            return None

    async def _restore_alerts(self, tracker: WaitTracker) -> None:
        """Restore which messages an earlier triggerer has sent."""
        from airflow_provider_migration.triggers.alerts import STORE_SECONDS

        try:
            async with asyncio.timeout(STORE_SECONDS):
                sent = await self._restore("alerts")
            if sent:
                tracker.restore_alerts(sent)
        except Exception as problem:
            # Better a message twice than none about a migration in trouble.
            self.log.warning(
                "The asset's state store cannot be read, so an alert may be sent a second time: %r", problem
            )

    async def _store_alerts(self, sent: dict[str, Any]) -> None:
        store = asset_state_store(self)
        if store is not None:
            await store.aset(self._key("alerts"), sent)

    async def _save(self, reached_at: str | None) -> None:
        """Store the time at which the target was reached; None deletes it."""
        store = asset_state_store(self)
        if store is None:
            return
        try:
            key = self._key("reached")
            await (store.adelete(key) if reached_at is None else store.aset(key, reached_at))
        except Exception as problem:
            what = "miss the next event" if reached_at is None else "repeat this event"
            self.log.warning("After a restart the trigger may %s: %s", what, problem)


def _default(sensor: type[MigrationSensor], argument: str) -> Any:
    """Return a sensor's default for an argument."""
    takes = (vars(kind).get("__init__", object.__init__) for kind in sensor.__mro__)
    taken = (signature(init).parameters for init in takes)
    return next(parameters[argument].default for parameters in taken if argument in parameters)
