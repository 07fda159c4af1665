"""
What spares a service's quota, which is met long before a limit of the triggerer's machine: calls are
spread, wait where the service asks for it, and serve all who want the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any, Final, TypeVar

from airflow_provider_migration.conversation import Request
from airflow_provider_migration.exceptions import (
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
)

_T = TypeVar("_T")

GATHER_SECONDS: Final = 2.0
"""For how long requests gather after one of their kind was sent; one that comes alone goes at once."""

CAREFUL_SECONDS: Final = 10.0
CAREFUL_SPACING: Final = 0.02
"""For how long after a throttling calls are at least so many seconds apart, lest all come back together."""

SPARED_ABOVE: Final = 0.5
SPARED_AFTER: Final = 20
"""How many calls a second that can be spared are made all the same, and how many before any is spared."""

TURN_SECONDS: Final = 3600.0
"""For how long the turn of a call that can be spared is kept when nobody comes for it."""

Send = Callable[[Request], Awaitable[Any]]


class InFlight:
    """Lets those who ask for the same at the same moment share one answer."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, asyncio.Future[Any]] = {}

    async def ask(self, key: Hashable, ask: Callable[[], Awaitable[_T]], *, fresh: float = 0.0) -> _T:
        """
        Ask, or take the answer or the error that another gets who is asking.

        :param key: what is asked for.
        :param fresh: for how many seconds an answer serves those who come after it.
        """
        while (asked := self._asked.get(key)) is not None:
            await asyncio.wait([asked])
            if not asked.cancelled():
                answer: _T = asked.result()
                return answer
        # Whoever asks first asks itself: a task for each call would cost a quarter of a poll.
        loop = asyncio.get_running_loop()
        asked = self._asked[key] = loop.create_future()
        try:
            answer = await ask()
            asked.set_result(answer)
            return answer
        except Exception as error:
            asked.set_exception(error)
            asked.exception()  # seen, whether or not someone else asks for it
            raise
        finally:
            if asked.done() and fresh:
                loop.call_later(fresh, self._asked.pop, key, None)
            else:
                del self._asked[key]
                asked.cancel()  # where this one was cancelled, one of the others asks in its place


@dataclass(slots=True)
class _Asked:
    """A request that waits to be sent with others."""

    request: Request
    send: Send
    answer: asyncio.Future[Any]

    def give(self, what: Any) -> None:
        if self.answer.done():  # whoever asked was cancelled
            return
        if isinstance(what, BaseException):
            self.answer.set_exception(what)
        else:
            self.answer.set_result(what)


@dataclass(slots=True)
class _Gathering:
    waiting: list[_Asked] = field(default_factory=list)
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
        self._queue = asyncio.Lock()
        self._free_at = self._careful_until = float("-inf")
        self._in_flight = InFlight()
        self._gatherings: dict[tuple[str, str, int], _Gathering] = {}
        self._to_spare: float = SPARED_AFTER
        self._spared_at = monotonic()
        self._spared: dict[str, float] = {}
        """The calls that wait for their turn, the longest first, and when each was last asked for."""

    async def turn(self) -> None:
        """Wait until one more call may be made."""
        async with self._queue:
            while (pause := self._free_at - self._monotonic()) > 0:
                await self._asleep(pause)
            now = self._monotonic()
            careful = CAREFUL_SPACING if now < self._careful_until else 0.0
            self._free_at = now + max(self._spacing, careful)

    def hold(self, seconds: float) -> None:
        """Make no call for so long, because the service asked one to wait, and then none close to another."""
        self._free_at = max(self._free_at, self._monotonic() + seconds)
        self._careful_until = self._free_at + CAREFUL_SECONDS

    async def ask(self, request: Request, send: Send) -> Any:
        """
        Ask, where it is possible together with others that ask for the same or for the same kind of thing.

        The answer, or the error, is what the request alone would have brought: what an answer to many does
        not tell is asked for alone. What can be spared may bring None.

        :param send: sends a request and returns what its ``read`` made of the answer.
        """
        if request.can_be_spared and self._is_spared(request.url):
            return None
        if not request.item:
            return await send(request)
        # A query may hold the item itself.
        kind = (request.url.partition("?")[0], request.action, id(request.signer))
        if request.batch is None:
            return await self._in_flight.ask((*kind, request.item), lambda: send(request))
        gathering = self._gatherings.setdefault(kind, _Gathering())
        asked = _Asked(request, send, asyncio.get_running_loop().create_future())
        gathering.waiting.append(asked)
        if gathering.sending is None:
            gathering.sending = asyncio.create_task(self._send_when_gathered(gathering))
        return await asked.answer

    def _is_spared(self, url: str) -> bool:
        """
        Tell whether others come first.

        Without turns the same migrations would come first in every interval, for each is polled at a moment
        of its own, and the others never.
        """
        now = self._monotonic()
        most = max(SPARED_AFTER, len(self._spared))  # what is saved up is for those who wait
        self._to_spare = min(self._to_spare + (now - self._spared_at) * SPARED_ABOVE, most)
        self._spared_at = now
        while self._spared and next(iter(self._spared.values())) < now - TURN_SECONDS:
            del self._spared[next(iter(self._spared))]
        last_asked = self._spared.get(url, float("-inf"))
        self._spared[url] = now
        # Who has not come again since this one did is done, or comes less often, and holds up nobody.
        ahead = takewhile(lambda other: other != url, self._spared)
        coming = (other for other in ahead if self._spared[other] >= last_asked)
        if sum(1 for _ in islice(coming, int(self._to_spare))) + 1 > self._to_spare:
            return True
        self._to_spare -= 1
        del self._spared[url]
        return False

    async def _send_when_gathered(self, gathering: _Gathering) -> None:
        pause = gathering.sent_at + GATHER_SECONDS - self._monotonic()
        if pause > 0:
            await self._asleep(pause)
        gathering.sending = None
        together = [asked for asked in gathering.waiting if not asked.answer.done()]
        gathering.waiting = []
        if together:
            gathering.sent_at = self._monotonic()
            most = together[0].request.batch_limit
            batches = (together[start : start + most] for start in range(0, len(together), most))
            await asyncio.gather(*map(_answer_each, batches))


async def _answer_each(batch: Sequence[_Asked]) -> None:
    answers: dict[str, Any] = {}
    first = batch[0]
    items = sorted({asked.request.item for asked in batch})
    if first.request.batch is not None and len(items) > 1:
        try:
            answers = dict(await first.send(first.request.batch(items)))
        except (MigrationNotFoundError, MigrationPermissionError, MigrationRequestError):
            pass  # one item may have spoilt it for all
        except Exception as error:
            answers = dict.fromkeys(items, error)
    alone = {asked.request.item: asked for asked in batch if asked.request.item not in answers}
    results = await asyncio.gather(
        *(asked.send(asked.request) for asked in alone.values()), return_exceptions=True
    )
    answers |= zip(alone, results, strict=True)
    for asked in batch:
        asked.give(answers[asked.request.item])
