"""The trigger of all services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

from airflow.providers.common.compat.sdk import XCom
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_migration.exceptions import MigrationError
from airflow_provider_migration.keys import ALERTS_KEY, HISTORY_KEY
from airflow_provider_migration.polling import poll_once
from airflow_provider_migration.triggers.alerts import AlertSender
from airflow_provider_migration.triggers.sharing import SharedHook, seconds_to_next_slot, shared_hook
from airflow_provider_migration.wait.outbox import points_of
from airflow_provider_migration.wait.tracker import Verdict, WaitTracker
from airflow_provider_migration.xcom import write_xcom

LAST_ANSWER_SECONDS: Final = 30.0
"""Maximum seconds to wait for the last answer after the deadline, until ``read_timeout`` is known."""

LAST_ANSWER_MARGIN: Final = 5.0
"""Seconds that the last poll may take besides its answer."""

MAX_LAST_ANSWER_SECONDS: Final = 200.0
"""Upper bound of the wait for the last answer: Airflow's timeout comes five minutes after the deadline."""

XCOM_SECONDS: Final = 10.0
LAST_XCOM_SECONDS: Final = 3.0
"""
Seconds that the writes to XCom may take after a poll. After the last poll, whose event has the same content,
they end at the deadline, but have at least ``LAST_XCOM_SECONDS``.
"""


class MigrationTrigger(BaseTrigger):
    """
    Continue the wait of a sensor until there is a verdict.

    The trigger holds no secret: the hook looks up the connection on the triggerer. The deadline is a point in
    time, so a restart of the triggerer does not extend it.

    :param hook: the hook's class, as ``module:Class``.
    :param hook_arguments: the hook's arguments.
    :param ids: the migration, as arguments of the hook's ``aget_progress``.
    :param tracker: a :class:`~airflow_provider_migration.wait.tracker.WaitTracker`, as JSON.
    :param task_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index`` of the task whose XCom shows the
        record.
    :raises TypeError: for a tracker that cannot be read.
    """

    def __init__(
        self,
        *,
        hook: str,
        hook_arguments: dict[str, Any],
        ids: dict[str, Any],
        tracker: dict[str, Any],
        task_key: dict[str, Any],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's is not annotated
        self.hook = hook
        self.hook_arguments = hook_arguments
        self.ids = ids
        # The JSON is not kept: for thousands of triggers that would be megabytes.
        try:
            self.tracker: WaitTracker = WaitTracker.from_json(tracker)
        except Exception as problem:  # a later version may have written it
            # Airflow takes a TypeError as this trigger's own; any other error ends the whole triggerer.
            raise TypeError(f"The tracker of the trigger cannot be read: {problem}") from problem
        self.task_key = task_key
        self._end: tuple[Verdict, MigrationError | None] | None = None
        self._guard: asyncio.Timeout | None = None
        self._stored_alerts: asyncio.Future[Any] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and arguments, in plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "hook": self.hook,
                "hook_arguments": self.hook_arguments,
                "ids": self.ids,
                "tracker": self.tracker.to_json(),
                "task_key": self.task_key,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is a verdict, and yield it as the one event."""
        tracker = self.tracker
        verdict, error = await self._wait_until_the_deadline(tracker)
        yield TriggerEvent(
            {
                "outcome": verdict.outcome.value,
                "reason": verdict.reason,
                "progress": tracker.progress.model_dump(mode="json") if tracker.progress else None,
                "error": error.to_json() if error else None,
                "points": tracker.outbox.to_json()["points"],
                "wait": tracker.wait_to_json(verdict, error),
                "history": tracker.to_json()["history"],
            }
        )

    async def _wait_until_the_deadline(self, tracker: WaitTracker) -> tuple[Verdict, MigrationError | None]:
        """Wait, and end with the last state soon after the deadline, whatever hangs."""
        self._end = None
        guard = self._guard = asyncio.timeout(None)
        try:
            async with guard:
                self._allow(LAST_ANSWER_SECONDS)
                return await self._wait(tracker)
        except TimeoutError:
            if not guard.expired():
                raise
        # If the verdict is known, only the writes to XCom have not ended.
        return self._end or (tracker.time_out(time.time(), "The last poll did not end in time."), None)

    def _allow(self, last_answer: float) -> None:
        """Allow the last poll, which begins at the deadline, some seconds for its answer."""
        if self._guard is not None:
            last_answer = min(last_answer, MAX_LAST_ANSWER_SECONDS) + LAST_ANSWER_MARGIN
            left = max(self.tracker.policy.deadline - time.time(), 0) + last_answer
            self._guard.reschedule(asyncio.get_running_loop().time() + left)

    async def _wait(self, tracker: WaitTracker) -> tuple[Verdict, MigrationError | None]:
        async with AsyncExitStack() as stack:
            await self._restore(tracker, stack)
            half = tracker.policy.poke_interval / 2
            asked_at = tracker.history.polled_at or 0
            # Not right after the sensor's own poll: Airflow's scheduler may take a deferred task that resumes
            # within seconds for one that has failed (https://github.com/apache/airflow/issues/72716).
            least = min(max(asked_at + half - time.time(), 0), half)
            alerts = AlertSender(self._store_alerts, self.log, self.task_key)
            shared: SharedHook | None = None
            while True:
                await asyncio.sleep(self._pause(tracker, least, time.time()))
                knows_what_is_sent = self._knows_what_is_sent(tracker)
                with poll_once(tracker, self.hook, self.ids, self.log.log) as poll:
                    if shared is None:
                        shared = await stack.enter_async_context(shared_hook(self.hook, self.hook_arguments))
                        self._allow(shared.read_timeout)
                    poll.answer = await shared.poll(self.ids, tracker.policy.poll_arguments)
                await self._publish(tracker, poll.verdict, poll.error)
                if poll.verdict.ends:
                    # The task itself sends what is due now, when it resumes with this verdict.
                    return poll.verdict, poll.error
                if knows_what_is_sent:
                    alerts.notify(tracker, poll)
                least = half

    def _pause(self, tracker: WaitTracker, least: float, now: float) -> float:
        """Return the seconds until the next poll, at least ``least`` unless the deadline comes first."""
        policy = tracker.policy
        if policy.exponential_backoff or not policy.poke_interval or tracker.history.quota_since is not None:
            return tracker.next_poll_in(now)
        pause = seconds_to_next_slot(self.ids, policy.poke_interval, now, least)
        pause = max(pause, tracker.history.retry_after)
        return max(min(pause, policy.deadline - now), 0)

    async def _restore(self, tracker: WaitTracker, stack: AsyncExitStack) -> None:
        """Continue after a restart: restore the history from XCom, and write all entries again."""
        points = tracker.outbox.points
        is_gap = tracker.is_gap(tracker.history.polled_at or tracker.policy.started_at, time.time())
        if tracker.reset_durations_after_gap(time.time()) and tracker.policy.alerts:
            await self._restore_alerts(stack)
        if is_gap:
            tracker.outbox.written.clear()
            try:
                async with asyncio.timeout(XCOM_SECONDS):
                    written = await sync_to_async(XCom.get_one)(key=HISTORY_KEY, **self.task_key)
            except Exception as problem:
                self.log.warning("XCom %s cannot be read: %r", HISTORY_KEY, problem)
            else:
                tracker.outbox.points = points_of(written) or points

    async def _restore_alerts(self, stack: AsyncExitStack) -> None:
        """
        Read from XCom which messages an earlier trigger of this wait has sent.

        A triggerer that has just started, or has thousands of triggers, may answer late. No poll waits for
        that, and no message is sent meanwhile: it might have been sent before.
        """
        reading = asyncio.create_task(sync_to_async(XCom.get_one)(key=ALERTS_KEY, **self.task_key))
        stack.callback(reading.cancel)
        self._stored_alerts = reading
        _, unread = await asyncio.wait([reading], timeout=XCOM_SECONDS)
        if unread:
            self.log.warning(
                "XCom %s is not read: no answer from Airflow within %g s. Alerts wait for it.",
                ALERTS_KEY,
                XCOM_SECONDS,
            )

    def _knows_what_is_sent(self, tracker: WaitTracker) -> bool:
        """Tell whether the messages of an earlier trigger are known; restore them once they are read."""
        stored = self._stored_alerts
        if stored is None:
            return True
        if not stored.done():
            return False
        self._stored_alerts = None
        try:
            if sent := stored.result():
                tracker.restore_alerts(sent)
        except Exception as problem:
            # Better a message twice than none about a migration in trouble.
            self.log.warning(
                "XCom %s cannot be read, so an alert may be sent a second time: %r", ALERTS_KEY, problem
            )
        return True

    async def _store_alerts(self, sent: dict[str, Any]) -> None:
        await sync_to_async(write_xcom)(XCom.set, ALERTS_KEY, sent, self.task_key)

    async def _publish(self, tracker: WaitTracker, verdict: Verdict, error: MigrationError | None) -> None:
        """Write to XCom while the task is deferred; a failure here must not end the wait."""
        if verdict.ends:
            self._end = verdict, error
        if due := tracker.due(verdict, error):
            left = tracker.policy.deadline - time.time() if verdict.ends else XCOM_SECONDS
            await self._write(tracker, due, max(min(left, XCOM_SECONDS), LAST_XCOM_SECONDS))

    async def _write(self, tracker: WaitTracker, due: dict[str, Any], seconds: float) -> None:
        async def write() -> None:
            for key, value in due.items():
                try:
                    await sync_to_async(write_xcom)(XCom.set, key, value, self.task_key)
                except Exception as problem:
                    self.log.warning("XCom %s cannot be written: %s", key, problem)
                else:
                    tracker.outbox.mark_written(key)

        # The thread of a write that hangs cannot be stopped: it is abandoned, not awaited.
        writing = asyncio.create_task(write())
        try:
            _, unwritten = await asyncio.wait([writing], timeout=seconds)
        finally:
            writing.cancel()
        if unwritten:
            self.log.warning("XCom is not written: no answer from Airflow within %g s.", seconds)
