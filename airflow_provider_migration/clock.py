"""The clock: time, sleep and randomness, which tests replace."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

MAX_SKEW: Final = 300.0
"""Maximum seconds by which the clocks of two machines of one Airflow may differ."""


def utc_now() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """
    Time, sleep and randomness, to be replaced in tests.

    :param now: the time in UTC, for signatures.
    :param monotonic: seconds, for durations.
    :param rand: a number in [0, 1), for jitter.
    :param nonce: a string never returned before.
    :param sleep: waits for seconds on a worker.
    :param async_sleep: waits for seconds on the event loop.
    """

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    rand: Callable[[], float] = random.random
    nonce: Callable[[], str] = field(default=lambda: secrets.token_hex(16))
    sleep: Callable[[float], None] = time.sleep
    async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


SYSTEM_CLOCK: Final = Clock()
