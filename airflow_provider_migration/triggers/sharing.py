"""
What the triggers of one event loop share: a hook for each connection, and one poll for each migration.

Thousands of triggers would otherwise look the same connection up, fetch the same token and ask the same
question, thousands of times.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from airflow_provider_migration.quota import InFlight

if TYPE_CHECKING:
    from airflow_provider_migration.hooks.base import MigrationHook
    from airflow_provider_migration.progress import MigrationProgress

FRESH_SECONDS: Final = 0.05
"""For how long an answer serves those who ask for the same at the same moment."""


class SharedHook:
    """
    A hook, and the polls that are made with it just now.

    :param hook: the hook, being made.
    """

    def __init__(self, hook: asyncio.Task[MigrationHook[Any]]) -> None:
        self.being_made = hook
        self.users = 0
        self._polls = InFlight()

    @property
    def hook(self) -> MigrationHook[Any]:
        """The hook, once it is made."""
        return self.being_made.result()

    async def poll(self, ids: dict[str, Any], max_lag: float) -> MigrationProgress:
        """Ask for a migration, or take the answer to another who has just asked for the same."""
        return await self._polls.ask(
            _key(ids, max_lag),
            lambda: self.hook.aget_progress(**ids, max_lag=max_lag),
            fresh=FRESH_SECONDS,
        )


_hooks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedHook]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_hook(path: str, arguments: dict[str, Any]) -> AsyncIterator[SharedHook]:
    """
    Lend the one hook that this event loop has for a connection.

    :param path: where the hook is, as ``module:Class``.
    :param arguments: what to make it with.
    """
    hooks = _hooks.setdefault(asyncio.get_running_loop(), {})
    key = _key(path, arguments)
    if key not in hooks:
        # In a thread, because it loads the service's modules.
        hooks[key] = SharedHook(asyncio.create_task(asyncio.to_thread(_make, path, arguments)))
    lent = hooks[key]
    lent.users += 1
    try:
        await asyncio.shield(lent.being_made)
        yield lent
    finally:
        lent.users -= 1
        if not lent.users:
            del hooks[key]
            lent.being_made.cancel()


def moment_in(ids: dict[str, Any], interval: float, now: float, least: float = 0) -> float:
    """
    Return how many seconds there are to the next moment that is a migration's own.

    Each has one in every interval, by chance but always the same: those who watch the same migration meet
    there, and those who watch thousands do not come together, not even when a triggerer starts.

    :param ids: which migration.
    :param interval: seconds from one such moment to the next, more than 0.
    :param now: epoch seconds.
    :param least: seconds that it must be away, at most ``interval``; a nearer one is left out.
    """
    # In thousandths: whole seconds would let a sixtieth of all ask at the same instant.
    pause = interval - (now - zlib.crc32(_key(ids).encode()) / 1000) % interval
    return pause if pause >= least else pause + interval


def _make(path: str, arguments: dict[str, Any]) -> MigrationHook[Any]:
    hook: MigrationHook[Any] = resolve_name(path)(**arguments)
    return hook


def _key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True)
