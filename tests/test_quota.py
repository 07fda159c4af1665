"""How calls are spread, held back and asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.conversation import Request
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.quota import (
    CAREFUL_SECONDS,
    CAREFUL_SPACING,
    GATHER_SECONDS,
    SPARED_ABOVE,
    SPARED_AFTER,
    TURN_SECONDS,
    InFlight,
    Quota,
)

LIMIT = 50


class Clock:
    """A clock that moves when everyone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def asleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until = self.now + seconds
        await asyncio.sleep(0.001)
        self.now = max(self.now, until)


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
            item=item,
            batch=batch,
            batch_limit=LIMIT,
        )

    async def send(self, request: Request) -> Any:
        items = tuple(request.item.split(","))
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
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quota(clock: Clock) -> Quota:
    return Quota(None, clock.monotonic, clock.asleep)


async def ask(quota: Quota, service: Service, *items: str) -> list[Any]:
    """Ask for each at the same moment, and give the answers and errors."""
    asking = (quota.ask(service.request(item), service.send) for item in items)
    return await asyncio.gather(*asking, return_exceptions=True)


# --- the rate -------------------------------------------------------------------------------------------


async def test_calls_are_as_far_apart_as_the_service_wants(clock: Clock) -> None:
    quota = Quota(5, clock.monotonic, clock.asleep)
    await asyncio.gather(*(quota.turn() for _ in range(4)))
    assert clock.slept == pytest.approx([0.2, 0.2, 0.2])


async def test_a_call_after_a_pause_goes_at_once(clock: Clock) -> None:
    quota = Quota(5, clock.monotonic, clock.asleep)
    await quota.turn()
    clock.now += 10
    await quota.turn()
    assert clock.slept == []


async def test_without_a_limit_no_call_waits(quota: Quota, clock: Clock) -> None:
    await asyncio.gather(*(quota.turn() for _ in range(1000)))
    assert clock.slept == []


async def test_of_calls_that_can_be_spared_only_so_many_are_made(quota: Quota, clock: Clock) -> None:
    service = Service()

    async def ask_often() -> int:
        request = replace(service.request("one", can_batch=False), can_be_spared=True)
        answers = [await quota.ask(request, service.send) for _ in range(2 * SPARED_AFTER)]
        return sum(answer is not None for answer in answers)

    assert await ask_often() == SPARED_AFTER
    clock.now += 3 / SPARED_ABOVE
    assert await ask_often() == 3
    clock.now += 1e6
    assert await ask_often() == SPARED_AFTER
    assert await ask(quota, service, "one") == ["about one"]  # the others are made whatever was spared


@pytest.mark.parametrize("gone", [0, 500])
async def test_calls_that_can_be_spared_are_made_in_turns(quota: Quota, clock: Clock, gone: int) -> None:
    interval, calls, service = 60.0, 100, Service()

    async def ask(call: int) -> bool:
        request = replace(service.unshared_request(), url=f"https://drs.example/{call}", can_be_spared=True)
        return await quota.ask(request, service.send) is not None

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
    assert longest <= calls / SPARED_ABOVE + 2 * interval


async def test_a_turn_that_nobody_comes_for_is_forgotten(quota: Quota, clock: Clock) -> None:
    service = Service()

    async def ask(call: int) -> None:
        request = replace(service.unshared_request(), url=f"https://drs.example/{call}", can_be_spared=True)
        await quota.ask(request, service.send)

    for call in range(10 * SPARED_AFTER):
        await ask(call)
    assert len(quota._spared) == 9 * SPARED_AFTER
    clock.now += TURN_SECONDS + 1
    await ask(0)
    assert not quota._spared


async def test_after_a_throttling_all_wait_as_long_as_the_service_asks_and_then_go_one_by_one(
    quota: Quota, clock: Clock
) -> None:
    quota.hold(7)
    quota.hold(3)  # the longer word counts
    await asyncio.gather(*(quota.turn() for _ in range(3)))
    assert clock.slept == pytest.approx([7, CAREFUL_SPACING, CAREFUL_SPACING])
    clock.now += CAREFUL_SECONDS
    await asyncio.gather(*(quota.turn() for _ in range(100)))
    assert len(clock.slept) == 3


async def test_a_throttling_holds_back_those_who_already_stand_in_line(clock: Clock) -> None:
    quota, made = Quota(5, clock.monotonic, clock.asleep), []

    async def call() -> None:
        await quota.turn()
        made.append(clock.now - 100)
        if len(made) == 2:
            quota.hold(10)

    await asyncio.gather(*(call() for _ in range(4)))
    assert made == pytest.approx([0, 0.2, 10.2, 10.4])


async def test_who_is_cancelled_in_line_leaves_the_others_their_turn(clock: Clock) -> None:
    quota = Quota(5, clock.monotonic, clock.asleep)
    turns = [asyncio.create_task(quota.turn()) for _ in range(100)]
    await asyncio.sleep(0)
    for turn in turns[1:]:
        turn.cancel()
    await asyncio.gather(*turns, return_exceptions=True)
    clock.now += 0.2
    slept = len(clock.slept)
    await quota.turn()
    assert len(clock.slept) == slept


# --- asking together ------------------------------------------------------------------------------------


async def test_one_that_comes_alone_is_asked_at_once_and_as_it_is(quota: Quota, clock: Clock) -> None:
    service = Service()
    assert await ask(quota, service, "a") == ["about a"]
    assert service.asked == [("a",)]
    assert clock.slept == []


async def test_what_cannot_be_asked_together_is_asked_once_each(quota: Quota) -> None:
    service = Service()
    asking = (quota.ask(service.request(item, can_batch=False), service.send) for item in "aba")
    await asyncio.gather(*asking)
    assert sorted(service.asked) == [("a",), ("b",)]


async def test_what_serves_nobody_else_is_asked_as_often_as_it_comes(quota: Quota) -> None:
    service = Service()
    await asyncio.gather(*(quota.ask(service.unshared_request(), service.send) for _ in range(2)))
    assert service.asked == [("",), ("",)]


async def test_those_that_come_at_the_same_moment_are_one_request(quota: Quota) -> None:
    service = Service()
    assert await ask(quota, service, "b", "a", "b") == ["about b", "about a", "about b"]
    assert service.asked == [("a", "b")]


async def test_those_that_come_soon_after_gather_for_the_next(quota: Quota, clock: Clock) -> None:
    service = Service()
    await ask(quota, service, "a")
    clock.now += 0.5
    await ask(quota, service, "b", "c")
    assert service.asked == [("a",), ("b", "c")]
    assert clock.slept == [GATHER_SECONDS - 0.5]


async def test_no_request_asks_for_more_than_it_may(quota: Quota) -> None:
    service = Service()
    items = [f"{number:03}" for number in range(2 * LIMIT + 1)]
    await ask(quota, service, *items)
    assert [len(asked) for asked in service.asked] == [LIMIT, LIMIT, 1]


async def test_a_thousand_that_are_spread_over_a_minute_cost_a_twentieth_of_their_number(
    quota: Quota, clock: Clock
) -> None:
    service, asking = Service(), []
    for number in range(1000):
        clock.now += 0.06
        asking.append(asyncio.create_task(quota.ask(service.request(f"job{number}"), service.send)))
        await asyncio.sleep(0)
    assert await asyncio.gather(*asking) == [f"about job{number}" for number in range(1000)]
    assert len(service.asked) <= 1000 / 20


async def test_one_that_the_answer_does_not_tell_of_is_asked_alone(quota: Quota) -> None:
    missing = MigrationNotFoundError("no such job")
    service = Service({"b": missing})
    assert await ask(quota, service, "a", "b", "c") == ["about a", missing, "about c"]
    assert service.asked == [("a", "b", "c"), ("b",)]


@pytest.mark.parametrize("spoilt", [MigrationNotFoundError, MigrationPermissionError, MigrationRequestError])
async def test_one_that_spoils_the_request_fails_alone(quota: Quota, spoilt: type[MigrationError]) -> None:
    bad = spoilt("bad")
    service = Service({"b": bad}, batch_error=spoilt("bad"))
    assert await ask(quota, service, "a", "b", "c") == ["about a", bad, "about c"]
    assert sorted(service.asked[1:]) == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize(
    "error", [MigrationThrottledError, MigrationServiceError, MigrationAuthenticationError, OSError]
)
async def test_what_is_wrong_for_all_is_not_asked_again_for_each(
    quota: Quota, error: type[Exception]
) -> None:
    service = Service(batch_error=error("away"))
    answers = await ask(quota, service, "a", "b")
    assert [type(answer) for answer in answers] == [error, error]
    assert service.asked == [("a", "b")]


async def test_an_error_of_one_that_came_alone_is_its_own(quota: Quota) -> None:
    bad = MigrationServiceError("away")
    assert await ask(quota, Service({"a": bad}), "a") == [bad]


async def test_another_signer_asks_for_itself(quota: Quota) -> None:
    one, other = Service(), Service()
    await asyncio.gather(ask(quota, one, "a", "b"), ask(quota, other, "c", "d"))
    assert (one.asked, other.asked) == ([("a", "b")], [("c", "d")])


async def test_who_is_cancelled_leaves_the_others_their_answer(quota: Quota) -> None:
    service = Service()
    first, second = (
        asyncio.create_task(quota.ask(service.request(item), service.send)) for item in ("a", "b")
    )
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "about b"


async def test_what_nobody_waits_for_any_more_is_not_sent(quota: Quota, clock: Clock) -> None:
    service = Service()
    await ask(quota, service, "a")
    asking = asyncio.create_task(quota.ask(service.request("b"), service.send))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0.05)
    assert service.asked == [("a",)]
    assert await ask(quota, service, "c") == ["about c"]


async def test_a_request_is_sent_as_one_who_still_waits_would_send_it(quota: Quota) -> None:
    gone, here = Service(), Service()
    request = here.request("a")
    first = asyncio.create_task(quota.ask(request, gone.send))
    second = asyncio.create_task(quota.ask(request, here.send))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "about a"
    assert (gone.asked, here.asked) == ([], [("a",)])


async def test_who_comes_while_the_same_is_asked_waits_for_that_answer(quota: Quota, clock: Clock) -> None:
    service = Service()
    first = asyncio.create_task(quota.ask(service.request("token", can_batch=False), service.send))
    await asyncio.sleep(0)
    assert await quota.ask(service.request("token", can_batch=False), service.send) == "about token"
    assert await first == "about token"
    assert service.asked == [("token",)]
    assert clock.slept == []


async def test_where_the_one_who_asks_is_cancelled_another_asks_in_its_place() -> None:
    flight, asked = InFlight(), []

    async def ask_slowly() -> str:
        asked.append(True)
        await asyncio.sleep(0.01)
        return "answer"

    first, *others = (asyncio.create_task(flight.ask("x", ask_slowly)) for _ in range(3))
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
def test_everyone_gets_what_asking_alone_would_have_brought(
    arrivals: list[tuple[str, float]], errors: dict[str, MigrationError], batch_error: Any
) -> None:
    async def play() -> None:
        clock, service = Clock(), Service(errors, batch_error)
        quota, asking = Quota(None, clock.monotonic, clock.asleep), []
        for item, later in arrivals:
            clock.now += later
            asking.append(asyncio.create_task(quota.ask(service.request(item), service.send)))
            await asyncio.sleep(0)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert answers == [errors.get(item, f"about {item}") for item, _ in arrivals]

    asyncio.run(play())
