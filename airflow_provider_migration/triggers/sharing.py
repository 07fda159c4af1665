"""
Sharing between the triggers of one event loop: one hook per connection, one poll per migration.

Otherwise thousands of triggers would look up the same connection, fetch the same token and send the same
request thousands of times.
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

from airflow_provider_migration.transport.limiter import SingleFlight

if TYPE_CHECKING:
    from airflow_provider_migration.hooks.base import MigrationHook
    from airflow_provider_migration.progress import MigrationProgress

REUSE_SECONDS: Final = 0.05
"""Seconds for which an answer is reused for the same request."""


class SharedHook:
    """
    A hook, and its polls in flight.

    :param hook: the task that creates the hook.
    """

    def __init__(self, hook: asyncio.Task[MigrationHook[Any]]) -> None:
        self.creating = hook
        self.users = 0
        self._polls = SingleFlight()

    @property
    def hook(self) -> MigrationHook[Any]:
        """The hook, once it is created."""
        return self.creating.result()

    @property
    def read_timeout(self) -> float:
        """Read timeout of the connection in seconds, once the connection is read."""
        return self.hook._settings.read_timeout

    async def poll(self, ids: dict[str, Any], arguments: dict[str, Any]) -> MigrationProgress:
        """
        Poll a migration, or share a poll of the same one that is in flight.

        :param arguments: the other arguments of the hook's ``aget_progress``.
        """
        return await self._polls.run(
            _key(ids, arguments),
            lambda: self.hook.aget_progress(**ids, **arguments),
            reuse_seconds=REUSE_SECONDS,
        )


_hooks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedHook]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_hook(path: str, arguments: dict[str, Any]) -> AsyncIterator[SharedHook]:
    """
    Lend the one hook that this event loop has for a connection, and keep its sessions open.

    :param path: the hook's class, as ``module:Class``.
    :param arguments: the hook's arguments.
    """
    hooks = _hooks.setdefault(asyncio.get_running_loop(), {})
    key = _key(path, arguments)
    if key not in hooks:
        # In a thread, because it loads the service's modules.
        hooks[key] = SharedHook(asyncio.create_task(asyncio.to_thread(_make, path, arguments)))
    lent = hooks[key]
    lent.users += 1
    try:
        await asyncio.shield(lent.creating)
        async with lent.hook.keep_session():
            yield lent
    finally:
        lent.users -= 1
        if not lent.users:
            del hooks[key]
            lent.creating.cancel()


def seconds_to_next_slot(ids: dict[str, Any], interval: float, now: float, minimum: float = 0) -> float:
    """
    Return the seconds until this migration's next polling slot (stable hash).

    Each migration has one slot per interval: triggers that watch the same migration share a poll, and the
    polls of thousands of migrations are spread over the interval, even when a triggerer starts.

    :param ids: the migration.
    :param interval: seconds between two slots, more than 0.
    :param now: epoch seconds.
    :param minimum: minimum seconds until the slot, at most ``interval``; a nearer slot is skipped.
    """
    # In thousandths of a second: with whole seconds, a sixtieth of all migrations would share an instant.
    pause = interval - (now - zlib.crc32(_key(ids).encode()) / 1000) % interval
    return pause if pause >= minimum else pause + interval


def _make(path: str, arguments: dict[str, Any]) -> MigrationHook[Any]:
    hook: MigrationHook[Any] = resolve_name(path)(**arguments)
    return hook


def _key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True)
