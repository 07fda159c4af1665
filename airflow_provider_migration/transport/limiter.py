"""
Rate limiting, batching and request coalescing per connection.

API quotas run out long before the triggerer does.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any, Final, TypeVar

from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.sansio import BlockingCall, Request

_T = TypeVar("_T")

BATCH_WINDOW_SECONDS: Final = 2.0
"""Batch window in seconds; the first request is sent immediately."""

MIN_COOLDOWN_SPACING: Final = 0.02
MAX_COOLDOWN_SPACING: Final = 1.0
"""Bounds in seconds of the spacing between two calls after throttling."""

SPEED_UP_SECONDS: Final = 120.0
"""Seconds in which the rate of a connection that was slowed down doubles."""

THROTTLED_SHARE: Final = 0.25
MIN_THROTTLED: Final = 5
"""
Share and number of recent calls that must be throttled to slow a connection down. Fewer are not caused by its
rate, but by another client of the account or by a limit that many accounts share.
"""

COOLDOWN_SECONDS: Final = 1800.0
"""Cool-down after throttling in seconds, for which calls are spaced to avoid a thundering herd."""

PROBE_SECONDS: Final = 5.0
"""
Maximum seconds for which the calls after a pause wait for the answer to the first one, the probe; after a
shorter pause, its length is the maximum.
"""

PROBE_CHECK_SECONDS: Final = 0.1
"""Seconds between two checks for the answer to the probe."""

DRAIN_FACTOR: Final = 2.0
"""Rate at which the queue begins to drain after a pause, as a multiple of the observed rate."""

DRAIN_SPEED_UP_SECONDS: Final = 10.0
"""Seconds in which that rate doubles, until the queue is empty."""

RATE_SECONDS: Final = 5.0
"""Seconds over which the rate of answers is measured."""

SAFE_SHARE: Final = 0.8
"""Share of the observed rate of answers that is used after throttling."""

MIN_QUEUE_SECONDS: Final = 60.0
"""Minimum of the seconds for which a poll may wait in the queue, however short its interval."""

WAIT_MARGIN_SECONDS: Final = 35.0
"""Seconds after its own deadline for which a poll waits for a shared response: the default
read_timeout and 5 s."""

OPTIONAL_RATE: Final = 0.5
OPTIONAL_BURST: Final = 20
"""Token bucket of the optional calls of a connection: tokens per second, and capacity."""

OPTIONAL_PLACE_SECONDS: Final = 3600.0
"""Seconds after which an optional call that was not requested again loses its place in the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """
    Time limits of the calls of a poll.

    :ivar queue_seconds: maximum seconds for which a call may wait in the queue, or for the end of a pause
        that the service asked for, before it fails as throttled.
    :ivar deadline: in ``monotonic`` seconds; after it there is no retry and no waiting in the queue, and an
        answer may take at most ``read_timeout``.
    """

    queue_seconds: float = math.inf
    deadline: float = math.inf


UNLIMITED: Final = CallLimits()
"""The limits outside a poll."""

call_limits: Final[ContextVar[CallLimits]] = ContextVar("call_limits", default=UNLIMITED)
"""The limits of the poll in this context; a task inherits those of the code that starts it."""


@contextmanager
def limit_calls(*, queue_seconds: float = math.inf, deadline: float = math.inf) -> Iterator[None]:
    """Apply :class:`CallLimits` to the calls within the block."""
    token = call_limits.set(CallLimits(queue_seconds=queue_seconds, deadline=deadline))
    try:
        yield
    finally:
        call_limits.reset(token)


def limit_poll(interval: float, *, deadline: float = math.inf) -> AbstractContextManager[None]:
    """
    Limit the calls of a poll: each waits in the queue for at most an interval, or a minute if that is longer.

    :param interval: seconds between two polls.
    :param deadline: as in :class:`CallLimits`.
    """
    return limit_calls(queue_seconds=max(interval, MIN_QUEUE_SECONDS), deadline=deadline)


Send = Callable[[Request[Any]], Awaitable[Any]]


class SingleFlight:
    """
    Request coalescing: concurrent requests with the same key share one response.

    :param monotonic: seconds, for the deadlines of the waiting calls.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._calls: dict[Hashable, asyncio.Future[Any]] = {}
        self._monotonic = monotonic

    async def run(
        self, key: Hashable, call: Callable[[], Awaitable[_T]], *, reuse_seconds: float = 0.0
    ) -> _T:
        """
        Make a call, or share the result of a call with the same key that is in flight.

        Each waiting poll keeps its own deadline. An error that was caused by another poll's limits is not
        shared: the call is then repeated.

        :param key: the coalescing key.
        :param reuse_seconds: seconds for which a result, or an error, is reused after it has come.
        :raises MigrationServiceError: if the shared result does not come in time.
        """
        while (result := self._calls.get(key)) is not None:
            deadline = call_limits.get().deadline
            left = (
                None if math.isinf(deadline) else max(deadline - self._monotonic(), 0) + WAIT_MARGIN_SECONDS
            )
            done, _ = await asyncio.wait([result], timeout=left)
            if not done:
                raise _no_answer_in_time()
            if not result.cancelled():
                error = result.exception()
                if not (isinstance(error, MigrationApiError) and error.is_cut_short):
                    answer: _T = result.result()
                    return answer
        # The first caller makes the call in its own task: another task would cost a quarter of a poll.
        loop = asyncio.get_running_loop()
        result = self._calls[key] = loop.create_future()
        try:
            answer = await call()
            result.set_result(answer)
            return answer
        except Exception as error:
            result.set_exception(error)
            result.exception()  # retrieved here, because there may be no other caller
            raise
        finally:
            if result.done() and reuse_seconds and not _is_cut_short(result):
                loop.call_later(reuse_seconds, self._calls.pop, key, None)
            else:
                del self._calls[key]
                result.cancel()  # if this caller was cancelled, another one makes the call


def _is_cut_short(call: asyncio.Future[Any]) -> bool:
    error = call.exception()
    return isinstance(error, MigrationApiError) and error.is_cut_short


def _no_answer_in_time() -> MigrationServiceError:
    """Make the error of a poll whose deadline passes while it waits for a shared response."""
    error = MigrationServiceError(
        "No answer by the deadline of this poll, which shared the request of another poll. "
        "If this persists, raise poke_interval or timeout.",
        reason="timeout",
    )
    error.is_cut_short = True
    return error


@dataclass(slots=True)
class _PendingRequest:
    """A request that waits for its batch."""

    request: Request[Any]
    send: Send
    answer: asyncio.Future[Any]
    limits: CallLimits

    def give(self, what: Any) -> None:
        if self.answer.done():  # the caller was cancelled
            return
        if isinstance(what, BaseException):
            self.answer.set_exception(what)
        else:
            self.answer.set_result(what)


@dataclass(slots=True)
class _Batch:
    waiting: list[_PendingRequest] = field(default_factory=list)
    sending: asyncio.Task[None] | None = None
    sent_at: float = float("-inf")


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call in the queue, and the end of its wait."""

    latest: float
    is_first: asyncio.Future[None]


_RECENT_CALLS: Final = 64
_RECENT_SECONDS: Final = 300.0


class RateLimiter:
    """
    Rate limiter of one connection on one event loop, with batching and coalescing of requests.

    :param calls_per_second: maximum rate; None if the service documents no limit.
    :param monotonic: seconds, for durations.
    :param async_sleep: waits for seconds.
    """

    def __init__(
        self,
        calls_per_second: float | None,
        monotonic: Callable[[], float],
        async_sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._spacing = 1 / calls_per_second if calls_per_second else 0.0
        self._monotonic = monotonic
        self._async_sleep = async_sleep
        self._queue: OrderedDict[_Waiting, None] = OrderedDict()
        self._free_at = self._slowed_at = self._drains_from = float("-inf")
        self._is_held = False
        self._probe: object | None = None
        self._cooldown_spacing = self._drain_spacing = self._probe_seconds = 0.0
        self._recent: deque[tuple[float, bool]] = deque(maxlen=_RECENT_CALLS)
        """Time of the answer to each recent call, and true if it was throttled."""
        self._refusal: MigrationApiError | None = None
        self._in_flight = SingleFlight(monotonic)
        self._batches: dict[tuple[str, str, int, str], _Batch] = {}
        self._tokens: float = OPTIONAL_BURST
        self._refilled_at = monotonic()
        self._optional: dict[str, float] = {}
        """The optional calls in the queue, oldest first, and when each was last requested."""

    async def acquire(self, latest: float = math.inf) -> object | None:
        """
        Wait until one more call may be made: first come, first served.

        Returns a token for :meth:`end_probe` if the call is the probe after a pause, else None.

        :param latest: end of the wait, in ``monotonic`` seconds.
        :raises MigrationThrottledError: immediately, if the turn would come later.
        """
        if not self._queue and self._free_at <= self._monotonic():
            return self._take_turn()
        waiting = _Waiting(latest, asyncio.get_running_loop().create_future())
        self._queue[waiting] = None
        try:
            if self._first() is waiting:
                waiting.is_first.set_result(None)
            self._reject_late_calls()
            await waiting.is_first
            while (pause := self._free_at - self._monotonic()) > 0:
                if self._next_turn_at() > latest:
                    raise self._too_late(pause)
                await self._async_sleep(min(pause, PROBE_CHECK_SECONDS) if self._probe else pause)
                if self._probe:
                    self._reject_late_calls()
            return self._take_turn()
        finally:
            self._queue.pop(waiting, None)
            first = self._first()
            if first and not first.is_first.done():
                first.is_first.set_result(None)

    def _first(self) -> _Waiting | None:
        return next(iter(self._queue), None)

    def _take_turn(self) -> object | None:
        now = self._monotonic()
        # The first call after a pause is a probe: it shows whether the service answers again.
        self._probe, self._is_held = object() if self._is_held else None, False
        if not self._probe and len(self._queue) <= 1:  # at most this call
            self._forget_pause()
        self._free_at = now + (self._probe_seconds if self._probe else self._current_spacing(now))
        return self._probe

    def _forget_pause(self) -> None:
        """End the draining of the queue; a call that has to wait later does so for another reason."""
        self._drain_spacing = 0.0
        if not self._cooldown_spacing:
            self._refusal = None

    def _next_turn_at(self) -> float:
        """Return when the next call may be made; while a probe is in flight, possibly now."""
        now = self._monotonic()
        return now if self._probe else max(self._free_at, now)

    def _current_spacing(self, now: float) -> float:
        """Return the spacing in seconds; after a slow-down it halves every ``SPEED_UP_SECONDS``."""
        spacing = max(self._spacing, self._current_drain_spacing(now))
        if not self._cooldown_spacing:
            return spacing
        since = now - self._slowed_at
        if since > COOLDOWN_SECONDS:
            self._cooldown_spacing, self._refusal = 0.0, None
            return spacing
        return max(spacing, self._cooldown_spacing * math.exp2(-since / SPEED_UP_SECONDS))

    def _current_drain_spacing(self, now: float) -> float:
        return self._drain_spacing * math.exp2(-max(now - self._drains_from, 0) / DRAIN_SPEED_UP_SECONDS)

    def _reject_late_calls(self) -> None:
        """Fail the calls whose turn would come after the end of their wait."""
        if not self._queue:
            return
        now = self._monotonic()
        spacing, turn_at = self._current_spacing(now), self._next_turn_at()
        for waiting in list(self._queue):
            if waiting.is_first.done() or turn_at <= waiting.latest:
                turn_at += spacing
            else:
                del self._queue[waiting]
                waiting.is_first.set_exception(self._too_late(max(turn_at, self._free_at) - now))

    def _too_late(self, pause: float) -> MigrationThrottledError:
        """Make the error of a call whose turn comes too late, with the service's last message."""
        last = self._refusal
        error = MigrationThrottledError(
            f"No call was made: the rate limiter of this connection allows it in {pause:.0f} s, which is "
            "later than this poll can wait. "
            + (f"The service said: {last}" if last else "Raise poke_interval, or watch fewer migrations."),
            service=last.service if last else "",
            action=last.action if last else "",
            http_status=last.http_status if last else None,
            code=last.code if last else None,
            request_id=last.request_id if last else None,
            retry_after=pause,
        )
        error.is_cut_short = True
        return error

    def pause(self, seconds: float, refusal: MigrationApiError | None = None) -> None:
        """
        Pause all calls because the service throttles, and slow down if many recent calls were throttled.

        The new rate is ``SAFE_SHARE`` of the rate of answers in the last ``RATE_SECONDS``, so that the queue
        drains at the service's pace. After a pause that the service asked for, one call goes first as a
        probe, and then the queue drains faster and faster rather than in a burst.

        :param seconds: pause that the service asks for; 0 if it asks for none.
        :param refusal: the service's answer, for the message of the calls that cannot wait.
        """
        now = self._monotonic()
        self._end_probe()
        self._refusal = refusal or self._refusal
        if now - self._slowed_at >= 1 or not self._cooldown_spacing:  # once for all calls in flight
            self._recent.append((now, True))
            recent = [is_throttled for at, is_throttled in self._recent if at > now - _RECENT_SECONDS]
            if sum(recent) >= MIN_THROTTLED and sum(recent) > THROTTLED_SHARE * len(recent):
                self._slow_down(now)
        if seconds > 0 and not self._cooldown_spacing:
            is_draining = self._drain_spacing and self._queue
            self._drain_spacing = (
                self._current_drain_spacing(now) if is_draining else self._spacing_for(DRAIN_FACTOR)
            )
            self._drains_from = max(self._free_at, now + seconds)
        if seconds > 0:
            pause = max(self._free_at - now, seconds)
            self._is_held, self._probe_seconds = True, min(pause, PROBE_SECONDS)
        self._free_at = max(self._free_at, now + max(seconds, self._current_spacing(now)))
        self._reject_late_calls()

    def _slow_down(self, now: float) -> None:
        self._cooldown_spacing = self._spacing_for(SAFE_SHARE)
        self._slowed_at = now
        self._recent.clear()

    def _spacing_for(self, share: float) -> float:
        """Return the spacing for a share of the rate at which the service last answered, before any pause."""
        answers = [at for at, is_throttled in self._recent if not is_throttled]
        counted = sum(at > answers[-1] - RATE_SECONDS for at in answers)
        seconds = min(max(answers[-1] - self._recent[0][0], 1), RATE_SECONDS) if answers else 0
        fitting = seconds / (share * counted) if answers else MAX_COOLDOWN_SPACING
        return min(max(fitting, MIN_COOLDOWN_SPACING), MAX_COOLDOWN_SPACING)

    def answered(self) -> None:
        """Count an answer of the service other than throttling."""
        self._recent.append((self._monotonic(), False))
        self._end_probe()
        if not self._queue:
            self._forget_pause()

    def end_probe(self, probe: object | None) -> None:
        """
        Let the calls behind a probe go on although it got no answer: they are spaced.

        :param probe: what :meth:`acquire` has returned for the call that has ended.
        """
        if probe is self._probe:
            self._end_probe()

    def _end_probe(self) -> None:
        if self._probe:
            now = self._monotonic()
            self._probe = None
            self._free_at = min(self._free_at, now + self._current_spacing(now))

    async def send(self, request: Request[Any], send: Send) -> Any:
        """
        Send a request, coalesced with the same request of others or in a batch if possible.

        The result is that of the request alone: an item missing from the answer to a batch is requested
        alone. An optional request may be dropped, which returns None.

        :param send: sends a request and returns the result of its ``read``.
        """
        if request.is_optional and self._is_dropped(request.url):
            return None
        if not request.coalescing_key:
            return await send(request)
        # The query may contain the item itself.
        kind = (request.url.partition("?")[0], request.action, id(request.signer))
        if request.batch is None:
            return await self._in_flight.run((*kind, request.coalescing_key), lambda: send(request))
        batch = self._batches.setdefault((*kind, request.batch_kind), _Batch())
        asked = _PendingRequest(request, send, asyncio.get_running_loop().create_future(), call_limits.get())
        batch.waiting.append(asked)
        if batch.sending is None:
            batch.sending = asyncio.create_task(self._send_after_the_window(batch))
        return await asked.answer

    async def call_in_thread(self, blocking: BlockingCall[_T]) -> _T:
        """Call a library in a thread, once for all flows that wait for it; the service sees no call."""
        return await self._in_flight.run(
            blocking.call, lambda: asyncio.to_thread(blocking.call), reuse_seconds=blocking.fresh_seconds
        )

    def _is_dropped(self, url: str) -> bool:
        """
        Tell whether an optional call is dropped, because the tokens go to calls that have waited longer.

        Without a queue the same migrations would get the tokens in every interval, since each is polled in a
        slot of its own, and the others would get none.
        """
        now = self._monotonic()
        most = max(OPTIONAL_BURST, len(self._optional))  # saved tokens are for the calls in the queue
        self._tokens = min(self._tokens + (now - self._refilled_at) * OPTIONAL_RATE, most)
        self._refilled_at = now
        while self._optional and next(iter(self._optional.values())) < now - OPTIONAL_PLACE_SECONDS:
            del self._optional[next(iter(self._optional))]
        last_asked = self._optional.get(url, float("-inf"))
        self._optional[url] = now
        # A call that was not requested after this one's last request has ended or is rarer: not ahead.
        ahead = takewhile(lambda other: other != url, self._optional)
        coming = (other for other in ahead if self._optional[other] >= last_asked)
        if sum(1 for _ in islice(coming, int(self._tokens))) + 1 > self._tokens:
            return True
        self._tokens -= 1
        del self._optional[url]
        return False

    async def _send_after_the_window(self, batch: _Batch) -> None:
        pause = batch.sent_at + BATCH_WINDOW_SECONDS - self._monotonic()
        if pause > 0:
            await self._async_sleep(pause)
        batch.sending = None
        together = [asked for asked in batch.waiting if not asked.answer.done()]
        batch.waiting = []
        if together:
            batch.sent_at = self._monotonic()
            most = together[0].request.batch_limit
            batches = (together[start : start + most] for start in range(0, len(together), most))
            await asyncio.gather(*map(_send_batch, batches))


async def _send_batch(batch: Sequence[_PendingRequest]) -> None:
    answers: dict[str, Any] = {}
    first = batch[0]
    # Each poll keeps its own limits and stops waiting by itself, so the batch gets the longest of them.
    call_limits.set(
        CallLimits(
            queue_seconds=max(asked.limits.queue_seconds for asked in batch),
            deadline=max(asked.limits.deadline for asked in batch),
        )
    )
    items = sorted({asked.request.coalescing_key for asked in batch})
    if first.request.batch is not None and len(items) > 1:
        try:
            answers = dict(await first.send(first.request.batch(items)))
        except (MigrationNotFoundError, MigrationPermissionError, MigrationRequestError):
            pass  # one item may have caused the refusal of all
        except Exception as error:
            answers = dict.fromkeys(items, error)
    alone = {
        asked.request.coalescing_key: asked for asked in batch if asked.request.coalescing_key not in answers
    }
    results = await asyncio.gather(
        *(asked.send(asked.request) for asked in alone.values()), return_exceptions=True
    )
    answers |= zip(alone, results, strict=True)
    for asked in batch:
        asked.give(answers[asked.request.coalescing_key])
