"""Cache of refused keys: its duration, and the first call with a new key."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_migration.credentials import refusals as module
from airflow_provider_migration.credentials.refusals import (
    DOUBTFUL_SECONDS,
    MAX_KEYS,
    REFUSED_SECONDS,
    Refusals,
)
from airflow_provider_migration.exceptions import MigrationAuthenticationError


def refusal(*, is_doubtful: bool = False) -> MigrationAuthenticationError:
    error = MigrationAuthenticationError("the key is refused", code=None if is_doubtful else "NoSuchKey")
    error.tolerated_after_success = is_doubtful
    return error


@pytest.mark.parametrize(("is_doubtful", "seconds"), [(False, REFUSED_SECONDS), (True, DOUBTFUL_SECONDS)])
def test_refusal_is_cached_for_its_time(is_doubtful: bool, seconds: float) -> None:
    refusals = Refusals()
    refusals.refuse("key", refusal(is_doubtful=is_doubtful), 100)
    refusals.check("key", 100 + seconds)
    refusals.check("another key", 100)
    with pytest.raises(MigrationAuthenticationError, match=f"cached for {seconds:.0f} s") as refused:
        refusals.check("key", 99.9 + seconds)
    assert refused.value.tolerated_after_success is is_doubtful


def test_refusal_is_cached_until_the_key_is_accepted() -> None:
    refusals = Refusals()
    refusals.refuse("key", refusal(), 100)
    refusals.accept("key")
    refusals.check("key", 100)
    refusals.refuse("key", refusal(), 100)
    with pytest.raises(MigrationAuthenticationError):
        refusals.check("key", 100)


def test_refusal_cache_is_bounded() -> None:
    refusals = Refusals()
    for number in range(MAX_KEYS + 1):
        refusals.refuse(f"refused {number}", refusal(), 100)
        refusals.accept(f"accepted {number}")
    refusals.check("refused 0", 100)
    with pytest.raises(MigrationAuthenticationError):
        refusals.check("refused 1", 100)
    assert len(refusals._accepted) == MAX_KEYS


class Calls:
    """Calls with the same new key, of which each ends as the test says."""

    def __init__(self, *endings: BaseException | None) -> None:
        self.refusals = Refusals()
        self.endings = list(endings)
        self.sent: list[str] = []
        self.answer = asyncio.Event()

    async def call(self, name: str) -> None:
        async with self.refusals.first_alone("key"):
            self.refusals.check("key", 0)
            self.sent.append(name)
            ending = self.endings.pop(0) if self.endings else None
            await self.answer.wait()
            await asyncio.sleep(0)
            if isinstance(ending, MigrationAuthenticationError):
                self.refusals.refuse("key", ending, 0)
            if ending:
                raise ending
            self.refusals.accept("key")


async def started(calls: Calls, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(calls.call(str(number))) for number in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert calls.sent == ["0"]
    return tasks


@pytest.mark.parametrize(
    ("ending", "sent"),
    [
        (None, ["0", "1", "2", "3"]),
        (refusal(), ["0"]),
        (OSError("no network"), ["0", "1", "2", "3"]),
    ],
)
async def test_first_call_with_a_new_key_goes_alone(ending: Exception | None, sent: list[str]) -> None:
    calls = Calls(ending)
    tasks = await started(calls, 4)
    calls.answer.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert type(results[0]) is type(ending)
    assert calls.sent == sent
    refused = [isinstance(result, MigrationAuthenticationError) for result in results]
    assert all(refused) or not any(refused)


async def test_first_call_that_fails_leaves_the_next_to_go_alone() -> None:
    """The second call is refused while two others wait: neither sends a request."""
    calls = Calls(OSError("no network"), refusal())
    tasks = await started(calls, 4)
    calls.answer.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert calls.sent == ["0", "1"]
    assert [isinstance(result, MigrationAuthenticationError) for result in results] == [
        False,
        True,
        True,
        True,
    ]


async def test_first_call_that_is_cancelled_leaves_the_next_to_go_alone() -> None:
    calls = Calls()
    first, *others = await started(calls, 3)
    first.cancel()
    calls.answer.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*others)
    assert calls.sent == ["0", "1", "2"]


async def test_first_call_without_an_answer_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_ANSWER_SECONDS", 0.05)
    calls = Calls()
    tasks = await started(calls, 3)
    async with asyncio.timeout(5):
        while len(calls.sent) < 3:
            await asyncio.sleep(0.01)
    calls.answer.set()
    await asyncio.gather(*tasks)
