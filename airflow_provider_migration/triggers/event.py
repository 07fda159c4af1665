"""The trigger that starts DAGs: it tells an asset each time that a migration reaches a target."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from inspect import Parameter, signature
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final, Self

from airflow.triggers.base import TriggerEvent

from airflow_provider_migration.compat import BaseEventTrigger

if TYPE_CHECKING:
    from airflow_provider_migration.sensors.base import MigrationSensor
    from airflow_provider_migration.triggers.sharing import SharedHook
    from airflow_provider_migration.verdict import Verdict, Watch

REFUSED_SECONDS: Final = 900
"""How long not to ask again after a refusal: a service locks a key that goes on asking wrongly."""

STORING_SECONDS: Final = 5
"""How long Airflow may take until an event is in its database; it collects them every second."""


class MigrationEventTrigger(BaseEventTrigger):
    """
    Tell an asset each time that a migration reaches a target; for an ``AssetWatcher``, made by :meth:`of`.

    The event's ``extra["payload"]`` is the record with which the target was reached. There is one event for
    each time that it is reached, not for each poll: the next one can only come after the target was left.
    From Airflow 3.3 on the asset's state store keeps that across triggerers; on older releases a triggerer
    that starts tells anew what it finds reached.

    What fails does not end the watching: Airflow would only begin it anew, at once. A poll that fails is
    followed by the next one, a refusal (a wrong key, a missing right, an unknown id) is asked about again
    after 15 minutes, and both are lines in the triggerer's log. The trigger holds no secret.

    :param hook: where the hook is, as ``module:Class``.
    :param hook_arguments: what to make it with, as JSON text: before 3.3 Airflow hands an object over in a
        wrapping of its own.
    :param ids: which migration, as arguments of the hook's ``aget_progress``; also as JSON text.
    :param targets: what to tell of; one is enough.
    :param max_lag: up to how many seconds of lag count as caught up.
    :param hold_for: for how many seconds a target must hold without a break before it counts.
    :param poke_interval: seconds between two polls.
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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's is not annotated
        self.hook = hook
        try:
            self.hook_arguments: dict[str, Any] = json.loads(hook_arguments)
            self.ids: dict[str, Any] = json.loads(ids)
        except ValueError as problem:
            # Airflow takes this error for one of this trigger; any other ends the triggerer, with all others.
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
        max_lag: float = 60,
        hold_for: float = 0,
        poke_interval: float | None = None,
        **which: Any,
    ) -> Self:
        """
        Watch the migration that a sensor with the same arguments would wait for.

        :param sensor: the service's sensor.
        :param target_status: what to tell of, as the sensor takes it; without it, the sensor's default.
        :param max_lag: as the sensor takes it.
        :param hold_for: as the sensor takes it.
        :param poke_interval: seconds between two polls, more than 0; without it, the sensor's default.
        :param which: the sensor's ids and its connection id; the hook's ``region`` and the like, too.
        :raises MigrationConfigurationError: for an argument that is missing, unknown or wrong.
        """
        from airflow_provider_migration.exceptions import MigrationConfigurationError
        from airflow_provider_migration.sensors.base import is_number
        from airflow_provider_migration.services.wire import require
        from airflow_provider_migration.verdict import chosen_targets

        whose = f"{cls.__name__} of {sensor.__name__}"
        interval = _default(sensor, "poke_interval") if poke_interval is None else poke_interval
        for name, value, least in (
            ("max_lag", max_lag, "0 or more"),
            ("hold_for", hold_for, "0 or more"),
            ("poke_interval", interval, "more than 0"),
        ):
            if not is_number(value) or (least == "more than 0" and not value):
                raise MigrationConfigurationError(
                    f"{whose}: {name} must be a number of seconds, {least}, not {value!r}."
                )
        hook_class = resolve_name(sensor.hook_class)
        own = signature(sensor.__init__).parameters
        # As the sensor makes it, so that both share a hook on the triggerer.
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
            known = ", ".join([*sensor.id_arguments, *signature(hook_class).parameters, *own_arguments])
            raise MigrationConfigurationError(f"{whose}: {error}; it takes {known}.") from None
        bound.apply_defaults()
        ids = {name: bound.arguments[name] for name in sensor.id_arguments}
        for name, value in ids.items():
            if asked.parameters[name].default is Parameter.empty:
                require(name, value)
        given = _default(sensor, "target_status") if target_status is None else target_status
        possible = hook_class(**hook_arguments).targets(**ids)
        return cls(
            hook=sensor.hook_class,
            hook_arguments=json.dumps(hook_arguments),
            ids=json.dumps(ids, default=sorted),  # some may be a set
            # In the same order at each parse: Airflow would take it for another trigger.
            targets=sorted(chosen_targets(whose, given, possible)),
            max_lag=max_lag,
            hold_for=hold_for,
            poke_interval=interval,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the trigger is made of again, in plain JSON."""
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
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for as long as Airflow lets it, and give an event each time that a target is reached."""
        from airflow_provider_migration.exceptions import MigrationApiError, MigrationError
        from airflow_provider_migration.metrics import report_poll
        from airflow_provider_migration.triggers.sharing import moment_in, shared_hook
        from airflow_provider_migration.verdict import Outcome, Watch, Wishes

        wishes = Wishes(
            targets=tuple(self.targets),
            started_at=time.time(),
            deadline=math.inf,
            max_lag=self.max_lag,
            hold_for=self.hold_for,
            max_poll_errors=None,
            poke_interval=self.poke_interval,
        )
        watch = Watch(wishes)
        is_told: bool | None = None
        least = 0.0
        while True:
            await asyncio.sleep(moment_in(self.ids, self.poke_interval, time.time(), least))
            least = self.poke_interval / 2
            try:
                if is_told is None:
                    is_told = await self._recall()
                async with (
                    shared_hook(self.hook, self.hook_arguments) as shared,
                    shared.hook.keep_session(),
                ):
                    while True:
                        verdict = await self._poll(shared, watch)
                        if verdict.outcome is Outcome.DONE and watch.progress and not is_told:
                            self.log.info("%s", verdict.reason)
                            yield TriggerEvent(watch.progress.model_dump(mode="json"))
                            is_told = True
                            # One that is told twice is better than one that is lost.
                            await asyncio.sleep(STORING_SECONDS)
                            await self._remember(watch.progress.observed_at.isoformat())
                        elif is_told and watch.history.held_since is None:
                            is_told = False
                            await self._remember(None)
                        await asyncio.sleep(moment_in(self.ids, self.poke_interval, time.time(), least))
            except MigrationError as error:
                watch.fail_poll(error, time.time())
                report_poll(self.hook, self.ids, error)
                if news := watch.news(error):
                    self.log.warning("%s", news)
                if isinstance(error, MigrationApiError) and not error.passing:
                    await asyncio.sleep(REFUSED_SECONDS)
            except Exception:
                self.log.exception("Watching %s has failed; it goes on.", self.ids)

    async def _poll(self, shared: SharedHook, watch: Watch) -> Verdict:
        from airflow_provider_migration.metrics import report_poll

        progress = await shared.poll(self.ids, self.max_lag)
        verdict = watch.observe(progress, time.time())
        report_poll(self.hook, self.ids, progress)
        if news := watch.news():
            self.log.info("%s", news)
        return verdict

    @property
    def _key(self) -> str:
        made_of = json.dumps(self.serialize(), sort_keys=True).encode()
        return f"migration_reached_{hashlib.sha1(made_of, usedforsecurity=False).hexdigest()}"

    async def _recall(self) -> bool:
        """Tell whether this has been told before; without Airflow's store for assets, no."""
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return False
        try:
            return await store.aget(self._key) is not None
        except ValueError:  # a trigger that watches for several assets has the store of none
            self.asset_state_store = None
            return False

    async def _remember(self, reached_at: str | None) -> None:
        """Keep that a target has been reached, or forget it."""
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        try:
            await (store.adelete(self._key) if reached_at is None else store.aset(self._key, reached_at))
        except Exception as problem:
            what = "may not tell the next time" if reached_at is None else "may tell this again"
            self.log.warning("A triggerer that starts anew %s: %s", what, problem)


def _default(sensor: type[MigrationSensor], argument: str) -> Any:
    """Return what a sensor takes where an argument is not given."""
    takes = (vars(kind).get("__init__", object.__init__) for kind in sensor.__mro__)
    taken = (signature(init).parameters for init in takes)
    return next(parameters[argument].default for parameters in taken if argument in parameters)
