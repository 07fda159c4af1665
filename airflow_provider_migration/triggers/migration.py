"""The trigger of all services."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import XCom
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_migration.exceptions import MigrationError
from airflow_provider_migration.keys import HISTORY_KEY
from airflow_provider_migration.metrics import report_poll
from airflow_provider_migration.publication import points_of
from airflow_provider_migration.triggers.sharing import SharedHook, moment_in, shared_hook
from airflow_provider_migration.verdict import Outcome, Verdict, Watch


class MigrationTrigger(BaseTrigger):
    """
    Go on with the wait that a sensor has begun, until there is a verdict.

    It holds no secret: the hook looks the connection up on the triggerer. The deadline is a time of day, so
    a triggerer that starts again does not extend it.

    :param hook: where the hook is, as ``module:Class``.
    :param hook_arguments: what to make it with.
    :param ids: which migration, as arguments of the hook's ``aget_progress``.
    :param watch: what a :class:`~airflow_provider_migration.verdict.Watch` is made of.
    :param task_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index`` of the task whose XCom shows the
        record.
    :raises TypeError: for a watch that cannot be read.
    """

    def __init__(
        self,
        *,
        hook: str,
        hook_arguments: dict[str, Any],
        ids: dict[str, Any],
        watch: dict[str, Any],
        task_key: dict[str, Any],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's is not annotated
        self.hook = hook
        self.hook_arguments = hook_arguments
        self.ids = ids
        # Not what it is made of besides: of thousands of triggers that would be megabytes.
        try:
            self.watch = Watch.from_json(watch)
        except Exception as problem:  # a later version may have written it
            # Airflow takes this error for one of this trigger; any other ends the triggerer, with all others.
            raise TypeError(f"The watch of the trigger cannot be read: {problem}") from problem
        self.task_key = task_key

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the trigger is made of again, in plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "hook": self.hook,
                "hook_arguments": self.hook_arguments,
                "ids": self.ids,
                "watch": self.watch.to_json(),
                "task_key": self.task_key,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is a verdict, and give it as the one event."""
        watch = self.watch
        verdict, error = await self._wait(watch)
        yield TriggerEvent(
            {
                "outcome": verdict.outcome.value,
                "reason": verdict.reason,
                "progress": watch.progress.model_dump(mode="json") if watch.progress else None,
                "error": error.to_json() if error else None,
                "points": watch.publication.to_json()["points"],
                "wait": watch.wait_to_json(verdict, error),
            }
        )

    async def _wait(self, watch: Watch) -> tuple[Verdict, MigrationError | None]:
        await self._recall(watch)
        while True:
            try:
                async with (
                    shared_hook(self.hook, self.hook_arguments) as shared,
                    shared.hook.keep_session(),
                ):
                    return await self._poll_to_the_end(shared, watch)
            except MigrationError as error:  # the connection cannot be used
                verdict = watch.fail_poll(error, time.time())
                report_poll(self.hook, self.ids, error)
                await self._tell(watch, verdict, error)
                if verdict.outcome is not Outcome.WAIT:
                    return verdict, error
            await asyncio.sleep(watch.next_poll_in(time.time()))

    async def _poll_to_the_end(
        self, shared: SharedHook, watch: Watch
    ) -> tuple[Verdict, MigrationError | None]:
        half = watch.wishes.poke_interval / 2
        answered_at = watch.progress.observed_at.timestamp() if watch.progress else 0
        asked_at = max(answered_at, watch.history.errors_since or 0)
        # Not at once after the sensor's own poll: Airflow's scheduler may take a deferred task that comes
        # back within seconds for one that has failed (https://github.com/apache/airflow/issues/72716).
        least = min(max(asked_at + half - time.time(), 0), half)
        while True:
            await asyncio.sleep(self._pause(watch, least, time.time()))
            verdict, error = await self._poll(shared, watch)
            if verdict.outcome is not Outcome.WAIT:
                return verdict, error
            least = half

    def _pause(self, watch: Watch, least: float, now: float) -> float:
        """Return how many seconds to wait until the next poll, at least so many if there is the time."""
        wishes = watch.wishes
        if wishes.exponential_backoff or not wishes.poke_interval:
            return watch.next_poll_in(now)
        pause = moment_in(self.ids, wishes.poke_interval, now, least)
        return max(min(pause, wishes.deadline - now), 0)

    async def _poll(self, shared: SharedHook, watch: Watch) -> tuple[Verdict, MigrationError | None]:
        error: MigrationError | None = None
        try:
            progress = await shared.poll(self.ids, watch.wishes.max_lag)
        except MigrationError as problem:
            error = problem
            verdict = watch.fail_poll(error, time.time())
            report_poll(self.hook, self.ids, error)
        else:
            verdict = watch.observe(progress, time.time())
            report_poll(self.hook, self.ids, progress)
        await self._tell(watch, verdict, error)
        return verdict, error

    async def _recall(self, watch: Watch) -> None:
        """Go on with the history of the triggerer that watched before this one, and write all anew."""
        points = watch.publication.points
        last_seen = points[-1][0] if points else watch.wishes.started_at
        if time.time() - last_seen > 2 * watch.wishes.poke_interval:
            watch.publication.written.clear()
            try:
                written = await sync_to_async(XCom.get_one)(key=HISTORY_KEY, **self.task_key)
            except Exception as problem:
                self.log.warning("XCom %s cannot be read: %s", HISTORY_KEY, problem)
            else:
                watch.publication.points = points_of(written) or points

    async def _tell(self, watch: Watch, verdict: Verdict, error: MigrationError | None) -> None:
        """Show something while the task is deferred; what fails here must not end the wait."""
        due = watch.publication.due(
            watch.progress,
            partial(watch.wait_to_json, verdict, error),
            watch.wishes.poke_interval,
            is_last=verdict.outcome is not Outcome.WAIT,
        )
        for key, value in due.items():
            try:
                await sync_to_async(XCom.set)(key=key, value=value, **self.task_key)
            except Exception as problem:
                self.log.warning("XCom %s cannot be written: %s", key, problem)
            else:
                watch.publication.wrote(key)
        if news := watch.news(error):
            self.log.log(logging.WARNING if error else logging.INFO, "%s", news)
