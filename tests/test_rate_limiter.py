"""Rate limiting, pauses, batching and coalescing of calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.clock import Clock
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.sansio import Request, send
from airflow_provider_migration.transport import aio
from airflow_provider_migration.transport.limiter import (
    BATCH_WINDOW_SECONDS,
    COOLDOWN_SECONDS,
    DRAIN_FACTOR,
    OPTIONAL_BURST,
    OPTIONAL_PLACE_SECONDS,
    OPTIONAL_RATE,
    PROBE_CHECK_SECONDS,
    PROBE_SECONDS,
    SAFE_SHARE,
    WAIT_MARGIN_SECONDS,
    RateLimiter,
    SingleFlight,
    call_limits,
    limit_calls,
)
from airflow_provider_migration.transport.retries import LAST_TURN_SECONDS
from airflow_provider_migration.transport.settings import TransportConfig
from tests.clocks import in_virtual_time

LIMIT = 50
ANSWER_SECONDS = 0.05


class FakeClock:
    """A clock that moves when everyone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def async_sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until = self.now + seconds
        await asyncio.sleep(0.001)
        self.now = max(self.now, until)


class SteadyClock(FakeClock):
    """A clock that moves only when the test moves it, however slow the machine is."""

    async def async_sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until = self.now + seconds
        while self.now < until:
            await asyncio.sleep(0)


class Service:
    """Answers about items, one or many at a time."""

    def __init__(self, errors: dict[str, MigrationError] | None = None, batch_error: Any = None) -> None:
        self.errors = errors or {}
        self.batch_error = batch_error
        self.asked: list[tuple[str, ...]] = []

    def request(self, item: str, *, can_batch: bool = True) -> Request:
        return self._request(item, self._batch if can_batch else None)

    def unshared_request(self) -> Request:
        return self._request("", None)

    def _batch(self, items: Sequence[str]) -> Request:
        return self._request(",".join(items), None)

    def _request(self, item: str, batch: Any) -> Request:
        return Request(
            service="drs",
            action="BatchListProgresses",
            method="POST",
            url="https://drs.example/jobs/batch-progress",
            read=lambda request, response: None,
            signer=self,  # type: ignore[arg-type] # only its identity counts
            coalescing_key=item,
            batch=batch,
            batch_limit=LIMIT,
        )

    async def send(self, request: Request) -> Any:
        items = tuple(request.coalescing_key.split(","))
        self.asked.append(items)
        await asyncio.sleep(0)
        if len(items) == 1:
            if items[0] in self.errors:
                raise self.errors[items[0]]
            return f"about {items[0]}"
        if self.batch_error:
            raise self.batch_error
        return {item: f"about {item}" for item in items if item not in self.errors}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limiter(clock: FakeClock) -> RateLimiter:
    return RateLimiter(None, clock.monotonic, clock.async_sleep)


async def ask(limiter: RateLimiter, service: Service, *items: str) -> list[Any]:
    """Ask for each at the same moment, and give the answers and errors."""
    asking = (limiter.send(service.request(item), service.send) for item in items)
    return await asyncio.gather(*asking, return_exceptions=True)


# --- the rate -------------------------------------------------------------------------------------------


async def test_rate_limit_spaces_calls(clock: FakeClock) -> None:
    limiter = RateLimiter(5, clock.monotonic, clock.async_sleep)
    await asyncio.gather(*(limiter.acquire() for _ in range(4)))
    assert clock.slept == pytest.approx([0.2, 0.2, 0.2])


async def test_rate_limit_lets_a_call_after_a_pause_go_at_once(clock: FakeClock) -> None:
    limiter = RateLimiter(5, clock.monotonic, clock.async_sleep)
    await limiter.acquire()
    clock.now += 10
    await limiter.acquire()
    assert clock.slept == []


async def test_rate_limit_is_optional(limiter: RateLimiter, clock: FakeClock) -> None:
    await asyncio.gather(*(limiter.acquire() for _ in range(1000)))
    assert clock.slept == []


async def test_optional_calls_are_bounded(limiter: RateLimiter, clock: FakeClock) -> None:
    service = Service()

    async def ask_often() -> int:
        request = replace(service.request("one", can_batch=False), is_optional=True)
        answers = [await limiter.send(request, service.send) for _ in range(2 * OPTIONAL_BURST)]
        return sum(answer is not None for answer in answers)

    assert await ask_often() == OPTIONAL_BURST
    clock.now += 3 / OPTIONAL_RATE
    assert await ask_often() == 3
    clock.now += 1e6
    assert await ask_often() == OPTIONAL_BURST
    assert await ask(limiter, service, "one") == ["about one"]  # the others are made whatever was spared


@pytest.mark.parametrize("gone", [0, 500])
async def test_optional_calls_take_turns(limiter: RateLimiter, clock: FakeClock, gone: int) -> None:
    interval, calls, service = 60.0, 100, Service()

    async def ask(call: int) -> bool:
        request = replace(service.unshared_request(), url=f"https://drs.example/{call}", is_optional=True)
        return await limiter.send(request, service.send) is not None

    for call in range(calls, calls + gone):  # these ask once
        await ask(call)
    made = dict.fromkeys(range(calls), clock.now)
    longest = 0.0
    for _ in range(40):
        for call in made:  # each at the same moment of every interval
            clock.now += interval / calls
            if await ask(call):
                longest = max(longest, clock.now - made[call])
                made[call] = clock.now
    longest = max(longest, *(clock.now - last for last in made.values()))
    assert longest <= calls / OPTIONAL_RATE + 2 * interval


async def test_optional_turn_expires(limiter: RateLimiter, clock: FakeClock) -> None:
    service = Service()

    async def ask(call: int) -> None:
        request = replace(service.unshared_request(), url=f"https://drs.example/{call}", is_optional=True)
        await limiter.send(request, service.send)

    for call in range(10 * OPTIONAL_BURST):
        await ask(call)
    assert len(limiter._optional) == 9 * OPTIONAL_BURST
    clock.now += OPTIONAL_PLACE_SECONDS + 1
    await ask(0)
    assert not limiter._optional


def test_rate_limit_pause_ends_with_one_call_ahead() -> None:
    async def play() -> list[float]:
        loop, made = asyncio.get_running_loop(), []
        limiter = RateLimiter(None, loop.time, asyncio.sleep)
        for _ in range(10):
            limiter.answered()
        limiter.pause(7)
        limiter.pause(3)  # the longer pause counts

        async def call() -> None:
            await limiter.acquire()
            made.append(loop.time())
            await asyncio.sleep(0.5)
            limiter.answered()

        await asyncio.gather(*(call() for _ in range(3)))
        await asyncio.sleep(COOLDOWN_SECONDS + 1)
        begun = loop.time()
        await asyncio.gather(*(limiter.acquire() for _ in range(100)))
        assert loop.time() == begun
        return made

    spacing = 1 / (SAFE_SHARE * 10)
    assert in_virtual_time(play) == pytest.approx([7, 7.5 + spacing, 7.5 + 2 * spacing], abs=0.2)


async def test_rate_limit_pause_holds_back_queued_calls(clock: FakeClock) -> None:
    limiter, made = RateLimiter(5, clock.monotonic, clock.async_sleep), []

    async def call() -> None:
        await limiter.acquire()
        made.append(clock.now - 100)
        if len(made) == 2:
            limiter.pause(10)

    await asyncio.gather(*(call() for _ in range(4)))
    assert made == pytest.approx([0, 0.2, 10.2, 15.2])  # the third is a probe that is never answered


@pytest.mark.parametrize(("pause", "longest"), [(1, 1), (10, PROBE_SECONDS)])
async def test_probe_holds_the_queue_no_longer_than_the_pause(
    pause: float, longest: float, limiter: RateLimiter, clock: FakeClock
) -> None:
    limiter.pause(pause)
    await limiter.acquire()  # the probe, which is never answered
    sent_at = clock.now
    await limiter.acquire()
    assert clock.now - sent_at == pytest.approx(longest)


async def test_probe_throttled_for_a_second_pauses_for_a_second(
    limiter: RateLimiter, clock: FakeClock
) -> None:
    """The time for which the others would have waited for the probe is not part of the next pause."""
    limiter.pause(10)
    sent = []
    for _ in range(4):
        await limiter.acquire()
        sent.append(clock.now - 100)
        clock.now += 0.1
        limiter.pause(1)
    assert sent == pytest.approx([10, 11.1, 12.2, 13.3])


async def test_probe_outlives_a_straggler_without_a_hint(limiter: RateLimiter, clock: FakeClock) -> None:
    """A call from before the pause is throttled while the probe is in flight, which is then answered."""
    limiter.answered()
    limiter.pause(10)
    await limiter.acquire()
    limiter.pause(0)
    limiter.answered()
    sent_at = clock.now
    await limiter.acquire()
    assert clock.now - sent_at < 1


async def test_straggler_without_an_answer_does_not_end_the_probe(
    limiter: RateLimiter, clock: FakeClock
) -> None:
    straggler = await limiter.acquire()
    limiter.pause(10)
    probe = await limiter.acquire()
    sent_at = clock.now
    limiter.end_probe(straggler)
    assert probe is not None
    await limiter.acquire()
    assert clock.now - sent_at == pytest.approx(PROBE_SECONDS)


def test_probe_without_an_answer_makes_no_burst() -> None:
    """The queue comes while the probe is in flight, and finds it dropped."""

    async def play() -> list[float]:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(None, loop.time, asyncio.sleep)
        for _ in range(25):  # five answers a second
            await limiter.acquire()
            limiter.answered()
            await asyncio.sleep(0.2)
        limiter.pause(10)
        await asyncio.sleep(11)
        probe = await limiter.acquire()
        made: list[float] = []

        async def call() -> None:
            await limiter.acquire()
            made.append(loop.time())

        calls = asyncio.gather(*(call() for _ in range(100)))
        await asyncio.sleep(0.01)
        limiter.end_probe(probe)
        await calls
        return made

    made = in_virtual_time(play)
    most = max(sum(start <= at < start + 1 for at in made) for start in made)
    assert most <= 5 * DRAIN_FACTOR * 2
    assert made[-1] - made[0] < 15


async def test_call_behind_a_probe_is_told_when_the_probe_may_end(
    limiter: RateLimiter, clock: FakeClock
) -> None:
    limiter.pause(10, MigrationThrottledError("slow down"))
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    with pytest.raises(MigrationThrottledError, match=r"allows it in [1-5] s.*The service said: slow down"):
        await limiter.acquire(clock.now - 1)
    waiting.cancel()


async def test_cancelled_call_leaves_the_queue(clock: FakeClock) -> None:
    limiter = RateLimiter(5, clock.monotonic, clock.async_sleep)
    turns = [asyncio.create_task(limiter.acquire()) for _ in range(100)]
    await asyncio.sleep(0)
    for turn in turns[1:]:
        turn.cancel()
    await asyncio.gather(*turns, return_exceptions=True)
    clock.now += 0.2
    slept = len(clock.slept)
    await limiter.acquire()
    assert len(clock.slept) == slept


# --- asking together ------------------------------------------------------------------------------------


async def test_batch_of_one_is_sent_at_once(limiter: RateLimiter, clock: FakeClock) -> None:
    service = Service()
    assert await ask(limiter, service, "a") == ["about a"]
    assert service.asked == [("a",)]
    assert clock.slept == []


async def test_unbatchable_request_is_coalesced(limiter: RateLimiter) -> None:
    service = Service()
    asking = (limiter.send(service.request(item, can_batch=False), service.send) for item in "aba")
    await asyncio.gather(*asking)
    assert sorted(service.asked) == [("a",), ("b",)]


async def test_request_without_coalescing_key_is_never_shared(limiter: RateLimiter) -> None:
    service = Service()
    await asyncio.gather(*(limiter.send(service.unshared_request(), service.send) for _ in range(2)))
    assert service.asked == [("",), ("",)]


async def test_batch_takes_requests_of_one_moment(limiter: RateLimiter) -> None:
    service = Service()
    assert await ask(limiter, service, "b", "a", "b") == ["about b", "about a", "about b"]
    assert service.asked == [("a", "b")]


async def test_batch_window_gathers_later_requests(limiter: RateLimiter, clock: FakeClock) -> None:
    service = Service()
    await ask(limiter, service, "a")
    clock.now += 0.5
    await ask(limiter, service, "b", "c")
    assert service.asked == [("a",), ("b", "c")]
    assert clock.slept == [BATCH_WINDOW_SECONDS - 0.5]


async def test_batch_size_is_bounded(limiter: RateLimiter) -> None:
    service = Service()
    items = [f"{number:03}" for number in range(2 * LIMIT + 1)]
    await ask(limiter, service, *items)
    assert [len(asked) for asked in service.asked] == [LIMIT, LIMIT, 1]


async def test_batch_window_saves_most_requests() -> None:
    clock = SteadyClock()
    limiter, service, asking = RateLimiter(None, clock.monotonic, clock.async_sleep), Service(), []
    for number in range(1000):
        clock.now += 0.06
        asking.append(asyncio.create_task(limiter.send(service.request(f"job{number}"), service.send)))
        await asyncio.sleep(0)
    clock.now += BATCH_WINDOW_SECONDS
    assert await asyncio.gather(*asking) == [f"about job{number}" for number in range(1000)]
    assert len(service.asked) <= 1000 / 20


async def test_batch_item_missing_from_the_answer_is_sent_alone(limiter: RateLimiter) -> None:
    missing = MigrationNotFoundError("no such job")
    service = Service({"b": missing})
    assert await ask(limiter, service, "a", "b", "c") == ["about a", missing, "about c"]
    assert service.asked == [("a", "b", "c"), ("b",)]


@pytest.mark.parametrize("spoilt", [MigrationNotFoundError, MigrationPermissionError, MigrationRequestError])
async def test_batch_item_that_spoils_the_request_fails_alone(
    limiter: RateLimiter, spoilt: type[MigrationError]
) -> None:
    bad = spoilt("bad")
    service = Service({"b": bad}, batch_error=spoilt("bad"))
    assert await ask(limiter, service, "a", "b", "c") == ["about a", bad, "about c"]
    assert sorted(service.asked[1:]) == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize(
    "error", [MigrationThrottledError, MigrationServiceError, MigrationAuthenticationError, OSError]
)
async def test_batch_error_for_all_is_not_repeated(limiter: RateLimiter, error: type[Exception]) -> None:
    service = Service(batch_error=error("away"))
    answers = await ask(limiter, service, "a", "b")
    assert [type(answer) for answer in answers] == [error, error]
    assert service.asked == [("a", "b")]


async def test_batch_of_one_raises_its_own_error(limiter: RateLimiter) -> None:
    bad = MigrationServiceError("away")
    assert await ask(limiter, Service({"a": bad}), "a") == [bad]


async def test_batch_is_per_signer(limiter: RateLimiter) -> None:
    one, other = Service(), Service()
    await asyncio.gather(ask(limiter, one, "a", "b"), ask(limiter, other, "c", "d"))
    assert (one.asked, other.asked) == ([("a", "b")], [("c", "d")])


async def test_batch_survives_a_cancelled_request(limiter: RateLimiter) -> None:
    service = Service()
    first, second = (
        asyncio.create_task(limiter.send(service.request(item), service.send)) for item in ("a", "b")
    )
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "about b"


async def test_batch_without_waiters_is_not_sent(limiter: RateLimiter, clock: FakeClock) -> None:
    service = Service()
    await ask(limiter, service, "a")
    asking = asyncio.create_task(limiter.send(service.request("b"), service.send))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0.05)
    assert service.asked == [("a",)]
    assert await ask(limiter, service, "c") == ["about c"]


async def test_batch_is_sent_by_a_remaining_waiter(limiter: RateLimiter) -> None:
    gone, here = Service(), Service()
    request = here.request("a")
    first = asyncio.create_task(limiter.send(request, gone.send))
    second = asyncio.create_task(limiter.send(request, here.send))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "about a"
    assert (gone.asked, here.asked) == ([], [("a",)])


async def test_single_flight_shares_the_answer(limiter: RateLimiter, clock: FakeClock) -> None:
    service = Service()
    first = asyncio.create_task(limiter.send(service.request("token", can_batch=False), service.send))
    await asyncio.sleep(0)
    assert await limiter.send(service.request("token", can_batch=False), service.send) == "about token"
    assert await first == "about token"
    assert service.asked == [("token",)]
    assert clock.slept == []


async def test_single_flight_survives_cancellation() -> None:
    flight, asked = SingleFlight(), []

    async def ask_slowly() -> str:
        asked.append(True)
        await asyncio.sleep(0.01)
        return "answer"

    first, *others = (asyncio.create_task(flight.run("x", ask_slowly)) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == ["answer"] * 2
    assert len(asked) == 2


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 5)), min_size=1),
    st.dictionaries(
        st.sampled_from("abcdefgh"),
        st.sampled_from(
            [MigrationNotFoundError("x"), MigrationPermissionError("y"), MigrationServiceError("z")]
        ),
    ),
    st.sampled_from([None, MigrationRequestError("bad")]),
)
def test_batched_answer_equals_the_single_one(
    arrivals: list[tuple[str, float]], errors: dict[str, MigrationError], batch_error: Any
) -> None:
    async def play() -> None:
        clock, service = FakeClock(), Service(errors, batch_error)
        limiter, asking = RateLimiter(None, clock.monotonic, clock.async_sleep), []
        for item, later in arrivals:
            clock.now += later
            asking.append(asyncio.create_task(limiter.send(service.request(item), service.send)))
            await asyncio.sleep(0)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert answers == [errors.get(item, f"about {item}") for item, _ in arrivals]

    asyncio.run(play())


# --- limits of a poll, in virtual time --------------------------------------------------------------------


async def carry(
    read: Any,
    limiter: RateLimiter,
    monkeypatch: pytest.MonkeyPatch,
    *,
    read_timeout: float = 30.0,
    rand: Callable[[], float] = random.random,
) -> Any:
    """Carry one call with the retries and limits of the transport; ``read`` stands for the wire."""
    loop = asyncio.get_running_loop()

    async def asend(*_: Any) -> Any:
        await asyncio.sleep(ANSWER_SECONDS)
        return read()

    monkeypatch.setattr(aio.AsyncDriver, "_send_once", asend)
    monkeypatch.setattr(aio, "shared_session", lambda settings: nullcontext())
    clock = Clock(monotonic=loop.time, rand=rand, async_sleep=asyncio.sleep)
    settings = TransportConfig(read_timeout=read_timeout)
    return await aio.AsyncDriver(settings, clock, limiter).run(send(Service().unshared_request()))


@pytest.mark.parametrize("calls", [20, 200])
@pytest.mark.parametrize("hint", [60.0, None])
@pytest.mark.parametrize("deadline", [5.0, 90.0, 600.0])
def test_rate_limit_keeps_deadlines_while_throttled(
    calls: int, hint: float | None, deadline: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[float] = []
    ended: list[float] = []
    rand = random.Random(calls).random

    async def play() -> list[Any]:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(None, loop.time, asyncio.sleep)

        def throttle() -> None:
            sent.append(loop.time())
            raise MigrationThrottledError("slow down", code="Throttling.User", retry_after=hint)

        async def poll() -> None:
            with limit_calls(queue_seconds=60, deadline=deadline):
                while loop.time() < deadline:
                    with pytest.raises(MigrationThrottledError, match="slow down"):
                        await carry(throttle, limiter, monkeypatch, rand=rand)
                    ended.append(loop.time())
                    await asyncio.sleep(60)

        return await asyncio.gather(*(poll() for _ in range(calls)))

    in_virtual_time(play)
    # The last turn, the look at whether a probe is answered, and the answer itself.
    assert max(ended) <= deadline + LAST_TURN_SECONDS + PROBE_CHECK_SECONDS + ANSWER_SECONDS
    if hint:
        # All that begin together are sent once; after that, one call a pause.
        assert len(sent) <= calls + 3 * deadline / 60 + 2


@pytest.mark.parametrize(
    ("turn_in", "queue_seconds", "is_made"),
    [
        (LAST_TURN_SECONDS - 0.1, 60, True),
        (LAST_TURN_SECONDS + 0.1, 60, False),
        (LAST_TURN_SECONDS - 0.1, 1, False),
    ],
)
def test_rate_limit_queue_of_the_last_poll_is_short(
    turn_in: float, queue_seconds: float, is_made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that begins at its deadline stands in line behind others."""

    async def play() -> tuple[Any, float]:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(1 / turn_in, loop.time, asyncio.sleep)
        await limiter.acquire()
        with limit_calls(queue_seconds=queue_seconds, deadline=0):
            results = await asyncio.gather(
                carry(lambda: "answer", limiter, monkeypatch), return_exceptions=True
            )
        return results[0], loop.time()

    result, ended = in_virtual_time(play)
    if is_made:
        assert result == "answer"
        assert ended == pytest.approx(turn_in + ANSWER_SECONDS)
    else:
        assert isinstance(result, MigrationThrottledError)
        assert result.is_cut_short
        assert ended == 0


@pytest.mark.parametrize("hint", [60.0, 1.0, None])
def test_rate_limit_queue_drains_at_the_pace_of_the_service(
    hint: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serve five calls a second from a bucket of five, after two minutes of refusals."""
    sent: list[float] = []
    refused: list[float] = []
    done: list[float] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(None, loop.time, asyncio.sleep)
        bucket = [0.0, 120.0]

        def serve() -> str:
            now = loop.time()
            sent.append(now)
            if now >= 120:
                bucket[0] = min(5.0, bucket[0] + (now - bucket[1]) * 5)
                bucket[1] = now
                if bucket[0] >= 1:
                    bucket[0] -= 1
                    return "answer"
            refused.append(now)
            raise MigrationThrottledError("slow down", retry_after=hint)

        async def poll() -> None:
            while True:
                try:
                    with limit_calls(queue_seconds=300):
                        await carry(serve, limiter, monkeypatch)
                except MigrationThrottledError:
                    await asyncio.sleep(30)
                else:
                    done.append(loop.time())
                    return

        await asyncio.gather(*(poll() for _ in range(200)))

    in_virtual_time(play)
    assert len(done) == 200
    assert max(done) <= 120 + 60 + 30 + 250
    after = [moment for moment in refused if moment > 120]
    assert len(after) <= 20


@pytest.mark.parametrize(("capacity", "demand", "pause"), [(15, 10, 30.0), (20, 15, 10.0), (1000, 10, 5.0)])
def test_queue_after_a_pause_drains_without_a_burst(
    capacity: int, demand: int, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One throttled call with a hint: what waited meanwhile is neither refused nor sent all at once."""
    sent: list[float] = []
    ended: list[bool] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(None, loop.time, asyncio.sleep)

        def serve() -> str:
            now = loop.time()
            is_first = now >= 60 and not any(at >= 60 for at in sent)
            sent.append(now)
            if is_first or sum(at > now - 1 for at in sent) > capacity:
                raise MigrationThrottledError("slow down", retry_after=pause if is_first else 1.0)
            return "answer"

        async def poll(starts_at: float) -> None:
            await asyncio.sleep(starts_at)
            with limit_calls(queue_seconds=60):
                try:
                    await carry(serve, limiter, monkeypatch)
                except MigrationThrottledError:
                    ended.append(False)
                else:
                    ended.append(True)

        await asyncio.gather(*(poll(index / demand) for index in range(300 * demand)))

    in_virtual_time(play)
    after = [at for at in sent if at > 60 + pause]
    assert max(sum(moment <= at < moment + 0.1 for at in after) for moment in after) <= demand
    assert ended.count(False) <= 0.03 * len(ended)


QUOTA = MigrationThrottledError("a quota of a day")
QUOTA.quota_exhausted = True


@pytest.mark.parametrize(
    "end",
    [
        MigrationServiceError("connection reset"),
        MigrationConfigurationError("the certificate authorities cannot be read"),
        QUOTA,
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_probe_without_an_answer_does_not_hold_the_queue(
    end: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> float:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(None, loop.time, asyncio.sleep)
        ends = [end]

        def serve() -> str:
            if ends:
                raise ends.pop()
            return "answer"

        limiter.answered()
        limiter.pause(10)
        calls = [asyncio.create_task(carry(serve, limiter, monkeypatch)) for _ in range(3)]
        await asyncio.wait(calls)
        return loop.time()

    assert in_virtual_time(play) < 10 + PROBE_SECONDS


@pytest.mark.parametrize(("share", "hint"), [(0.02, 1.0), (0.04, 1.0), (0.04, None), (0.08, None)])
def test_rate_limit_stays_where_a_few_calls_are_throttled_by_chance(
    share: float, hint: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client of the account causes them: 50 sensors must not end at a call a second for that."""
    answered = 0
    chance = random.Random(7).random

    async def play() -> None:
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(None, loop.time, asyncio.sleep)

        def serve() -> str:
            if chance() < share:
                raise MigrationThrottledError("slow down", retry_after=hint)
            return "answer"

        async def poll(starts_at: float) -> None:
            nonlocal answered
            await asyncio.sleep(starts_at)
            while loop.time() < 600:
                with limit_calls(queue_seconds=60):
                    await carry(serve, limiter, monkeypatch, rand=chance)
                answered += 1
                await asyncio.sleep(5 - loop.time() % 5 + starts_at)

        await asyncio.gather(*(poll(index / 10) for index in range(50)))

    in_virtual_time(play)
    assert answered > 0.8 * 50 * 600 / 5  # as the docs promise


@pytest.mark.parametrize(
    ("queue_seconds", "deadline", "fails"),
    [(5, 1e9, True), (1e9, 105, True), (10, 1e9, False), (1e9, 110, False), (1e9, 1e9, False)],
)
async def test_rate_limit_turn_beyond_the_deadline_fails_at_once(
    queue_seconds: float, deadline: float, fails: bool, limiter: RateLimiter, clock: FakeClock
) -> None:
    limiter.pause(9, MigrationThrottledError("slow down", code="Throttling.User", http_status=429))
    latest = min(clock.now + queue_seconds, deadline)

    if not fails:
        await limiter.acquire(latest)
        return
    with pytest.raises(MigrationThrottledError, match=r"in 9 s, .*The service said: slow down") as caught:
        await limiter.acquire(latest)
    assert (caught.value.code, caught.value.http_status) == ("Throttling.User", 429)
    assert clock.slept == []
    await limiter.acquire()  # the pause stays for the others
    assert clock.now == 109


async def test_rate_limit_queue_keeps_its_order(clock: FakeClock) -> None:
    limiter, made = RateLimiter(5, clock.monotonic, clock.async_sleep), []

    async def call(number: int) -> None:
        await limiter.acquire(clock.now + 1 if number % 2 else float("inf"))
        made.append(number)

    calls = [asyncio.create_task(call(number)) for number in range(20)]
    await asyncio.sleep(0)
    calls[4].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert made == sorted(made)
    assert set(range(6, 20, 2)) <= set(made)
    assert any(isinstance(result, MigrationThrottledError) for result in results)


def test_single_flight_waiter_keeps_its_own_deadline() -> None:
    async def play() -> float:
        loop = asyncio.get_running_loop()
        flight = SingleFlight(loop.time)

        async def hang() -> str:
            await asyncio.sleep(10_000)
            return "answer"

        first = asyncio.create_task(flight.run("x", hang))
        await asyncio.sleep(0)
        with limit_calls(deadline=100), pytest.raises(MigrationServiceError, match="No answer by the"):
            await flight.run("x", hang)
        ended = loop.time()
        assert await first == "answer"
        return ended

    assert in_virtual_time(play) <= 100 + WAIT_MARGIN_SECONDS


async def test_single_flight_does_not_share_a_deadline_error() -> None:
    flight = SingleFlight()

    async def cut_short() -> str:
        await asyncio.sleep(0)
        error = MigrationThrottledError("too late")
        error.is_cut_short = True
        raise error

    async def ask() -> str:
        return "answer"

    first = asyncio.create_task(flight.run("x", cut_short))
    await asyncio.sleep(0)
    assert await flight.run("x", ask) == "answer"
    with pytest.raises(MigrationThrottledError):
        await first


async def test_batch_takes_the_longest_deadline(limiter: RateLimiter) -> None:
    service, seen = Service(), []

    async def send(request: Request) -> Any:
        seen.append(call_limits.get())
        return await service.send(request)

    async def ask(item: str, deadline: float) -> Any:
        with limit_calls(queue_seconds=deadline / 10, deadline=deadline):
            return await limiter.send(service.request(item), send)

    await asyncio.gather(ask("a", 100), ask("b", 200))
    assert [(limits.queue_seconds, limits.deadline) for limits in seen] == [(20, 200)]


async def test_rate_limit_message_forgets_a_pause_that_is_over(clock: FakeClock) -> None:
    limiter = RateLimiter(0.1, clock.monotonic, clock.async_sleep)
    limiter.pause(9, MigrationThrottledError("slow down"))
    await limiter.acquire()  # the probe
    limiter.answered()
    with pytest.raises(MigrationThrottledError, match="Raise poke_interval, or watch fewer") as caught:
        await limiter.acquire(clock.now + 1)
    assert "slow down" not in str(caught.value)
