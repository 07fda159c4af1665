"""Cache of refused credentials, so that a wrong key is used once and not once per sensor."""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from airflow_provider_migration.exceptions import MigrationAuthenticationError

REFUSED_SECONDS: Final = 300.0
"""Seconds for which a refusal is cached: Huawei locks a key for as long after five wrong signatures."""

DOUBTFUL_SECONDS: Final = 30.0
"""
Seconds for which a doubtful refusal is cached: a console of OMS refuses a password without a code,
and so does a proxy for a moment. Less than a usual interval, so that the next poll asks again.
"""

FIRST_ANSWER_SECONDS: Final = 10.0
"""Seconds for which the calls of a connection wait for the answer to its first."""

MAX_KEYS: Final = 1000
"""Upper bound of the connections in the cache."""


class Refusals:
    """Cache of refused and accepted credentials, by the fingerprint of their connection."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, tuple[float, MigrationAuthenticationError]] = OrderedDict()
        self._accepted: OrderedDict[str, None] = OrderedDict()
        self._asking: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Event]] = (
            WeakKeyDictionary()
        )

    def clear(self) -> None:
        """Clear the cache."""
        self._refused.clear()
        self._accepted.clear()

    def check(self, fingerprint: str, now: float) -> None:
        """
        Raise the cached refusal of these credentials, if there is one.

        :param fingerprint: of connection and endpoint; empty: nothing is cached.
        :param now: in ``monotonic`` seconds.
        :raises MigrationAuthenticationError: a copy of the service's refusal, with a hint.
        """
        until, error = self._refused.get(fingerprint, (now, None))
        if error is None or until <= now:
            return
        again = copy.copy(error)
        again.add_hint(
            f"This refusal is cached for {_seconds(error):.0f} s, in which no request is sent with the same "
            "credentials. To try again at once, change the connection."
        )
        raise again

    def refuse(self, fingerprint: str, error: MigrationAuthenticationError, now: float) -> None:
        """Cache a refusal; only briefly if a proxy or a clock may have caused it."""
        if not fingerprint:
            return
        self._accepted.pop(fingerprint, None)
        self._refused[fingerprint] = (now + _seconds(error), copy.copy(error))
        while len(self._refused) > MAX_KEYS:
            self._refused.popitem(last=False)

    def accept(self, fingerprint: str) -> None:
        """Cache that the service has accepted these credentials."""
        if not fingerprint or fingerprint in self._accepted:
            return
        self._refused.pop(fingerprint, None)
        self._accepted[fingerprint] = None
        while len(self._accepted) > MAX_KEYS:
            self._accepted.popitem(last=False)

    @asynccontextmanager
    async def first_alone(self, fingerprint: str) -> AsyncIterator[None]:
        """Let the first call with new credentials go ahead; the others on this event loop wait a while."""
        if not fingerprint or fingerprint in self._accepted:
            yield
            return
        asking = self._asking.setdefault(asyncio.get_running_loop(), {})
        has_waited_enough = False
        try:
            async with asyncio.timeout(FIRST_ANSWER_SECONDS):
                # If the first call has failed for another reason, one of the waiting calls goes first.
                while (answered := asking.get(fingerprint)) is not None:
                    await answered.wait()
        except TimeoutError:
            has_waited_enough = True
        if has_waited_enough or fingerprint in self._accepted:
            yield
            return
        answered = asking[fingerprint] = asyncio.Event()
        try:
            yield
        finally:
            del asking[fingerprint]
            answered.set()


def _seconds(error: MigrationAuthenticationError) -> float:
    return DOUBTFUL_SECONDS if error.tolerated_after_success else REFUSED_SECONDS


refusals: Final = Refusals()
"""The cache of this process."""
