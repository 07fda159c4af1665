"""
What spares a service's quota, which is met long before a limit of the triggerer's machine: calls are
spread, wait where the service asks for it, and ask for many things at once where they can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_migration.conversation import Request
from airflow_provider_migration.exceptions import (
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
)

GATHER_SECONDS: Final = 2.0
"""For how long requests gather after one of their kind was sent; one that comes alone goes at once."""

MAX_BATCH: Final = 50
"""How many things are asked for at once."""

Send = Callable[[Request], Awaitable[Any]]


@dataclass(slots=True)
class _Gathering:
    """Requests that can be asked as one."""

    waiting: list[tuple[Request, asyncio.Future[Any]]] = field(default_factory=list)
    sending: asyncio.Task[None] | None = None
    sent_at: float = float("-inf")


class Quota:
    """
    The calls of one connection on one event loop.

    :param calls_per_second: how many are made at most; None where the service names no limit.
    :param monotonic: seconds, for durations.
    :param asleep: waits for seconds.
    """

    def __init__(
        self,
        calls_per_second: float | None,
        monotonic: Callable[[], float],
        asleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._spacing = 1 / calls_per_second if calls_per_second else 0.0
        self._monotonic = monotonic
        self._asleep = asleep
        self._next_at = float("-inf")
        self._gatherings: dict[tuple[str, int], _Gathering] = {}

    async def turn(self) -> None:
        """Wait until one more call may be made."""
        now = self._monotonic()
        at = max(self._next_at, now)
        self._next_at = at + self._spacing
        if at > now:
            await self._asleep(at - now)

    def hold(self, seconds: float) -> None:
        """Make no call for so long, because the service said so to one."""
        self._next_at = max(self._next_at, self._monotonic() + seconds)

    async def ask(self, request: Request, send: Send) -> Any:
        """
        Ask, where it is possible together with others that ask for the same kind of thing.

        The answer, or the error, is what the request alone would have brought: what an answer to many does
        not tell is asked for alone.

        :param send: sends a request and returns what its ``read`` made of the answer.
        """
        if not request.item:
            return await send(request)
        gathering = self._gatherings.setdefault((request.url, id(request.signer)), _Gathering())
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        gathering.waiting.append((request, answer))
        if gathering.sending is None:
            gathering.sending = asyncio.create_task(self._send_when_gathered(gathering, send))
        return await answer

    async def _send_when_gathered(self, gathering: _Gathering, send: Send) -> None:
        batches = []
        while gathering.waiting:
            pause = gathering.sent_at + GATHER_SECONDS - self._monotonic()
            if pause > 0:
                await self._asleep(pause)
            gathering.sent_at = self._monotonic()
            together, gathering.waiting = gathering.waiting, []
            for start in range(0, len(together), MAX_BATCH):
                batch = together[start : start + MAX_BATCH]
                batches.append(asyncio.create_task(_answer_each(batch, send)))
        gathering.sending = None
        await asyncio.gather(*batches)


async def _answer_each(batch: Sequence[tuple[Request, asyncio.Future[Any]]], send: Send) -> None:
    answers: dict[str, Any] = {}
    first, _ = batch[0]
    items = sorted({request.item for request, _ in batch})
    if first.batch is not None and len(items) > 1:
        try:
            answers = dict(await send(first.batch(items)))
        except (MigrationNotFoundError, MigrationPermissionError, MigrationRequestError):
            pass  # one item may have spoilt it for all
        except Exception as error:
            answers = dict.fromkeys(items, error)
    alone = {request.item: request for request, _ in batch if request.item not in answers}
    results = await asyncio.gather(*map(send, alone.values()), return_exceptions=True)
    answers |= zip(alone, results, strict=True)
    for request, answer in batch:
        _give(answer, answers[request.item])


def _give(answer: asyncio.Future[Any], what: Any) -> None:
    if answer.done():  # whoever asked was cancelled
        return
    if isinstance(what, BaseException):
        answer.set_exception(what)
    else:
        answer.set_result(what)
