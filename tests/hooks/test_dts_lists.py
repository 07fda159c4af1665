"""Waves of DTS jobs over real sockets: migrations, synchronizations and two-way ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport import limiter
from tests.simulators import BriefSimulator

NUMBER = 300


@pytest.fixture(scope="module")
def wave() -> Iterator[Simulator]:
    """Play 300 jobs, half of which are synchronizations, among them two-way ones."""
    migrations = [
        {
            "service": "dts",
            "migration_job_id": f"dts{number:04}",
            "name": f"orders {number}",
            "job_type": "SYNC" if number % 2 else "MIGRATION",
            "two_way": number % 4 == 3,
            "tags": {"wave": str(number % 3)},
        }
        for number in range(NUMBER)
    ]
    with BriefSimulator({"migrations": migrations}, speed=0.001) as running:
        for number in range(0, NUMBER, 5):
            running.jump("dts", f"dts{number:04}", 100)
        yield running


@pytest.fixture
def hook(wave: Simulator, connect: Callable[..., str]) -> DtsHook:
    return DtsHook(connect("dts_wave", **wave.connections()["dts_default"]))


def test_wave_is_listed_with_few_requests(wave: Simulator, hook: DtsHook) -> None:
    before = len(wave.requests)
    found = hook.list_migrations()
    assert sorted(row.migration_id for row in found) == [f"dts{number:04}" for number in range(NUMBER)]
    assert Counter(row.kind for row in found) == {"migration": 150, "sync": 150}
    assert Counter(row.state for row in found) == {"caught_up": 60, "pending": 240}
    # 150 jobs of a type are five full pages: the sixth shows that there are no more.
    assert [asked.action for asked in wave.requests[before:]] == ["DescribeDtsJobs"] * 12


def test_wave_is_selected(wave: Simulator, hook: DtsHook) -> None:
    assert len(hook.list_migrations(tags={"wave": "1"})) == 100
    assert hook.list_migrations(tags={"wave": "9"}) == []
    (found,) = hook.list_migrations("ORDERS 42")
    assert (found.migration_id, found.kind) == ("dts0042", "migration")
    assert len(hook.list_migrations(status="Synchronizing")) == 30
    assert hook.find_migration("orders 7") == "dts0007"
    with pytest.raises(MigrationConfigurationError, match="100 migrations have the tag wave=2"):
        hook.find_migration(tags={"wave": "2"})


def test_list_of_a_hook_with_a_type_has_this_type(wave: Simulator, connect: Callable[..., str]) -> None:
    conn_id = connect("dts_wave", **wave.connections()["dts_default"])
    rows = DtsHook(conn_id, job_type="SYNC").list_migrations()
    assert {row.kind for row in rows} == {"sync"}
    assert len(rows) == 150


def test_list_is_lazy(wave: Simulator, hook: DtsHook) -> None:
    before = len(wave.requests)
    rows = hook.iter_migrations()
    assert len(wave.requests) == before
    assert next(rows).migration_id == "dts0298"
    assert len(wave.requests) == before + 1


@pytest.mark.parametrize("api", ["DescribeMigrationJobStatus", "DescribeDtsJobs"])
@pytest.mark.parametrize("job_type", [None, "SYNC"])
def test_sync_job_is_found(
    wave: Simulator, connect: Callable[..., str], get_progress: Any, api: str, job_type: str | None
) -> None:
    conn_id = connect("dts_wave", **wave.connections()["dts_default"])
    for job_id, number in (("dts0005", 2), ("dts0015", 3)):
        hook = DtsHook(conn_id, api=api, job_type=job_type)
        record = get_progress(hook, migration_job_id=job_id)
        assert (record.state, record.service_status) == ("caught_up", "Synchronizing")
        names = [phase.name for phase in record.phases if "incremental" in str(phase.name)]
        assert len(names) == number - 1


async def test_wave_is_polled_in_batches(
    wave: Simulator, hook: DtsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first poll finds the types, the next ones use them."""
    monkeypatch.setattr(limiter, "BATCH_WINDOW_SECONDS", 0.2)
    hook = DtsHook(hook.dts_conn_id, api="DescribeDtsJobs")
    ids = [f"dts{number:04}" for number in range(60)]
    for most in (7, 5):
        before = len(wave.requests)
        records = await asyncio.gather(*(hook.aget_progress(item) for item in ids))
        assert [record.migration_id for record in records] == ids
        assert len(wave.requests) - before <= most
