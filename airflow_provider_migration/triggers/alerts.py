"""Alerts of a trigger: sent in order and once, without making its polls wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow_provider_migration.notifications.delivery import Message
    from airflow_provider_migration.polling import Poll
    from airflow_provider_migration.wait.tracker import WaitTracker

STORE_SECONDS: Final = 60.0
"""Maximum seconds to store or restore which messages are sent: a triggerer that is busy answers late."""

_sending: Final[set[asyncio.Task[None]]] = set()
"""Messages on their way: an event loop holds its tasks only weakly."""


class AlertSender:
    """
    Sends the messages of one trigger.

    :param store: stores the output of :meth:`WaitTracker.alerts_to_json` for the next triggerer.
    :param log: the trigger's logger.
    :param task_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index`` of the task; None for a watcher.
    """

    def __init__(
        self,
        store: Callable[[dict[str, Any]], Awaitable[None]],
        log: Any,
        task_key: Mapping[str, Any] | None = None,
    ) -> None:
        self._store = store
        self._log = log
        self._task_key = task_key
        self._last: asyncio.Task[None] | None = None

    def notify(self, tracker: WaitTracker, poll: Poll) -> None:
        """Send what is due after a poll, without waiting for it; a failure here must not end the wait."""
        if not tracker.policy.alerts:
            return
        try:
            before = tracker.alerts_to_json()["alerts"]
            now = tracker.history.polled_at or time.time()
            due = tracker.notifications(poll.verdict, poll.error, now, is_last=False)
            sent = tracker.alerts_to_json()
            # Without ``resolve``, the end of a condition has no message, but is stored.
            if sent["alerts"].keys() == before.keys():
                return
            from airflow_provider_migration.notifications.delivery import messages_of

            wait = tracker.wait_to_json(poll.verdict, poll.error)
            messages = messages_of(due, tracker.progress, wait, self._task_key)
        except Exception:
            self._log.exception("The alerts of this poll are lost.")
            return
        # The messages outlive the trigger, whose wait may end before they are sent.
        self._last = asyncio.create_task(self._send(messages, sent, self._last))
        _sending.add(self._last)
        self._last.add_done_callback(_sending.discard)

    async def _send(
        self, messages: list[Message], sent: dict[str, Any], before: asyncio.Task[None] | None
    ) -> None:
        """
        Store which messages are sent, then send them.

        In this order, because no message may be sent twice: a triggerer that is killed in between loses it.

        :param sent: what is stored.
        :param before: the earlier messages of this trigger.
        """
        from airflow_provider_migration.notifications.delivery import asend, turn

        if before is not None:
            await asyncio.wait([before])
        # A message that waits for its turn is not stored yet, so that a restart does not lose it.
        async with turn():
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    await self._store(sent)
            except Exception as problem:
                # Better a message twice than none about a migration in trouble.
                self._log.warning(
                    "Airflow did not store that an alert is sent; after a restart it may be sent again: %r",
                    problem,
                )
            await asend(messages, self._log.log)
