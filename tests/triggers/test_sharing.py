"""Hooks and polls that triggers share."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.exceptions import MigrationNotFoundError
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers import sharing
from airflow_provider_migration.triggers.sharing import SharedHook, seconds_to_next_slot, shared_hook
from tests.simulators import BriefSimulator

JOB = {"service": "dts", "script": "success", "duration": 100}
HOOK = "airflow_provider_migration.hooks.dts:DtsHook"
DRS_HOOK = "airflow_provider_migration.hooks.drs:DrsHook"


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Start a simulator with two jobs whose time stands still, and connect Airflow to it."""
    jobs = [{**JOB, "migration_job_id": job} for job in ("one", "two")]
    with BriefSimulator({"migrations": jobs}, speed=1e-9) as simulator:
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        yield simulator


@pytest.fixture
def drs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Start a simulator with 40 DRS jobs, and connect Airflow to it as an IAM user."""
    jobs = [{"service": "drs", "job_id": f"job-{number}", "duration": 100} for number in range(40)]
    with BriefSimulator({"migrations": jobs}, speed=1e-9) as simulator:
        connection = simulator.connections()["drs_default"]
        extra = {
            **connection["extra"],
            "auth_type": "password",
            "domain_name": "simulator",
            "iam_endpoint": simulator.url,
        }
        user = {"login": "simulator", "password": "simulator-password", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_DRS_DEFAULT", json.dumps({**connection, **user}))
        yield simulator


@pytest.fixture
async def shared(simulator: Simulator) -> AsyncIterator[SharedHook]:
    """Share the hook of a connection."""
    async with shared_hook(HOOK, {"dts_conn_id": "dts_default"}) as shared:
        yield shared


ids = st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text())))
times = st.floats(1.7e9, 2e9)


@given(ids, st.floats(0.1, 86_400), times)
def test_next_slot_is_stable_within_the_interval(ids: dict[str, Any], interval: float, now: float) -> None:
    wait = seconds_to_next_slot(ids, interval, now)
    assert 0 < wait <= interval
    halfway = now + wait / 2
    assert halfway + seconds_to_next_slot(ids, interval, halfway) == pytest.approx(now + wait, abs=1e-3)


@given(ids, st.integers(1, 3600), st.integers(2, 10), times)
def test_slots_of_multiple_intervals_coincide(
    ids: dict[str, Any], interval: int, times: int, now: float
) -> None:
    moment = now + seconds_to_next_slot(ids, interval * times, now)
    just_before = moment - interval / 2
    assert just_before + seconds_to_next_slot(ids, interval, just_before) == pytest.approx(moment, abs=1e-3)


def test_slots_spread_thousands_of_migrations() -> None:
    seconds = Counter(
        int(seconds_to_next_slot({"migration_job_id": f"dts{job}"}, 60, 1.8e9)) for job in range(5000)
    )
    assert len(seconds) == 60
    assert max(seconds.values()) < 2 * 5000 / 60


@pytest.mark.parametrize("interval", [5, 60, 7.5])
def test_slots_rarely_coincide(interval: float) -> None:
    count = round(100 * interval)
    hundredths = Counter(
        int(100 * seconds_to_next_slot({"migration_job_id": f"dts{job}"}, interval, 1.8e9))
        for job in range(count)
    )
    assert max(hundredths.values()) < 10


async def test_same_poll_is_shared(shared: SharedHook, simulator: Simulator) -> None:
    answers = await asyncio.gather(
        *(shared.poll({"migration_job_id": "one"}, {"max_lag": 60}) for _ in range(20))
    )
    assert len({answer.request_id for answer in answers}) == 1
    assert len(simulator.requests) == 1


async def test_different_poll_is_not_shared(shared: SharedHook, simulator: Simulator) -> None:
    await asyncio.gather(
        shared.poll({"migration_job_id": "one"}, {"max_lag": 60}),
        shared.poll({"migration_job_id": "two"}, {"max_lag": 60}),
        shared.poll({"migration_job_id": "one"}, {"max_lag": 5}),
    )
    assert sorted(request.id or "" for request in simulator.requests) == ["one", "one", "two"]


async def test_later_poll_is_not_shared(shared: SharedHook, simulator: Simulator) -> None:
    await shared.poll({"migration_job_id": "one"}, {"max_lag": 60})
    await asyncio.sleep(2 * sharing.REUSE_SECONDS)
    await shared.poll({"migration_job_id": "one"}, {"max_lag": 60})
    assert len(simulator.requests) == 2


async def test_shared_poll_shares_its_error(shared: SharedHook, simulator: Simulator) -> None:
    polls = [shared.poll({"migration_job_id": "none"}, {"max_lag": 60}) for _ in range(3)]
    errors = await asyncio.gather(*polls, return_exceptions=True)
    assert {type(error) for error in errors} == {MigrationNotFoundError}
    # DTS is asked with both of its calls, with the second for either type of job and either kind of id.
    actions = [asked.action for asked in simulator.requests]
    assert actions == ["DescribeMigrationJobStatus", *["DescribeDtsJobs"] * 4]


async def test_shared_poll_survives_a_cancelled_waiter(shared: SharedHook, simulator: Simulator) -> None:
    first, second = (
        asyncio.create_task(shared.poll({"migration_job_id": "one"}, {"max_lag": 60})) for _ in range(2)
    )
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).migration_id == "one"
    assert first.cancelled()


async def test_shared_hook_looks_its_connection_up_once(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []
    look_up = MigrationHook.get_connection

    def note(conn_id: str) -> Any:
        looked_up.append(conn_id)
        return look_up(conn_id)

    monkeypatch.setattr(MigrationHook, "get_connection", staticmethod(note))

    async def watch(job: str) -> None:
        async with shared_hook(HOOK, {"dts_conn_id": "dts_default"}) as shared, shared.hook.keep_session():
            await shared.poll({"migration_job_id": job}, {"max_lag": 60})

    await asyncio.gather(*(watch(job) for job in ("one", "two") * 20))
    assert looked_up == ["dts_default"]


async def test_drs_jobs_are_batched_and_a_bad_one_fails_alone(
    drs: Simulator,
) -> None:
    async with shared_hook(DRS_HOOK, {"drs_conn_id": "drs_default"}) as shared, shared.hook.keep_session():
        polls = [
            shared.poll({"job_id": job, "object_types": [], "job_status": True}, {"max_lag": 60})
            for job in [*(f"job-{number}" for number in range(40)), "job-of-nobody"]
        ]
        *good, bad = await asyncio.gather(*polls, return_exceptions=True)
    assert [answer.migration_id for answer in good] == [f"job-{number}" for number in range(40)]
    assert isinstance(bad, MigrationNotFoundError)
    asked = Counter(request.action for request in drs.requests)
    assert asked["KeystoneCreateUserTokenByPassword"] == 1
    assert asked["ShowJobDetail"] == 1  # for the bad one
    assert asked.total() <= 5


async def test_shared_hook_is_closed_with_its_last_user(simulator: Simulator) -> None:
    before = asyncio.all_tasks()
    async with (
        shared_hook(HOOK, {"dts_conn_id": "dts_default"}) as one,
        shared_hook(HOOK, {"dts_conn_id": "dts_default"}) as same,
        shared_hook(HOOK, {"dts_conn_id": "dts_default", "region": "cn-beijing"}) as other,
    ):
        assert one is same
        assert one is not other
        forgotten = asyncio.create_task(one.poll({"migration_job_id": "one"}, {"max_lag": 60}))
        await asyncio.sleep(0)
        forgotten.cancel()
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == before
    assert not sharing._hooks[asyncio.get_running_loop()]


async def test_shared_hook_that_cannot_be_made_is_retried() -> None:
    async def use(path: str) -> None:
        async with shared_hook(path, {}):
            raise AssertionError("there is no such hook")

    tries = [use("airflow_provider_migration.hooks.dts:NoHook") for _ in range(2)]
    errors = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(error) for error in errors] == [AttributeError] * 2


async def test_shared_hook_survives_a_cancelled_creator(simulator: Simulator) -> None:
    async def use() -> SharedHook:
        async with shared_hook(HOOK, {"dts_conn_id": "dts_default"}) as shared:
            return shared

    first, second = asyncio.create_task(use()), asyncio.create_task(use())
    await asyncio.sleep(0)
    first.cancel()
    assert isinstance(await second, SharedHook)


def test_shared_hook_belongs_to_one_event_loop(simulator: Simulator) -> None:
    async def poll() -> SharedHook:
        async with shared_hook(HOOK, {"dts_conn_id": "dts_default"}) as shared:
            await shared.poll({"migration_job_id": "one"}, {"max_lag": 60})
            return shared

    assert asyncio.run(poll()) is not asyncio.run(poll())
