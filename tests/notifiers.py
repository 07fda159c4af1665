"""Notifiers for tests: they note what they are told, in every way in which a notifier can be written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseNotifier

TOLD: list[tuple[str, str]] = []
"""Name of the notifier and the rendered text, in the order in which they came."""

RELEASED = threading.Event()
"""Ends the notifiers that hang."""


class SyncNotifier(BaseNotifier):
    """Has only ``notify``, as notifiers for Airflow 2 do."""

    template_fields: Sequence[str] = ("text",)

    def __init__(self, text: str = "{{ alert.when }} {{ 'over' if alert.is_over else 'begins' }}") -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        TOLD.append((type(self).__name__, self.text))


class AsyncNotifier(SyncNotifier):
    """Has both."""

    async def async_notify(self, context: Any) -> None:
        await asyncio.sleep(0)
        TOLD.append((type(self).__name__, f"async {self.text}"))


class OnlyAsyncNotifier(AsyncNotifier):
    """Refuses to work on a worker's thread."""

    def notify(self, context: Any) -> None:
        raise NotImplementedError


class FailingNotifier(SyncNotifier):
    """Fails as a chat does whose token is wrong."""

    def notify(self, context: Any) -> None:
        raise ConnectionRefusedError("invalid_auth")


class HangingNotifier(SyncNotifier):
    """Never comes back, and does not let itself be stopped."""

    def notify(self, context: Any) -> None:
        RELEASED.wait(30)


class HangingAsyncNotifier(HangingNotifier):
    """Likewise on an event loop."""

    async def async_notify(self, context: Any) -> None:
        while not RELEASED.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue


class ContextNotifier(BaseNotifier):
    """Takes the text from the context, without a template."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def notify(self, context: Any) -> None:
        TOLD.append((type(self).__name__, context["alert"]["title"]))


class NoNotifier:
    """Something else than a notifier."""
