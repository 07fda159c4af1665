"""Answers of Alibaba Cloud that are easily misread, played by the simulator over both drivers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_migration.clock import SYSTEM_CLOCK
from airflow_provider_migration.exceptions import (
    MigrationNotFoundError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationThrottledError,
)
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport import limiter
from airflow_provider_migration.wait.policy import target_reached
from tests.simulators import BriefSimulator

APIS = ("DescribeMigrationJobStatus", "DescribeDtsJobs")
DONE = {"Status": "Finished"}
BOTH = {
    "StructureInitializationStatus": DONE,
    "DataInitializationStatus": DONE,
    "MigrationMode": {
        "structureInitialization": True,
        "dataInitialization": True,
        "dataSynchronization": True,
    },
}

Play = Callable[..., Simulator]


async def _no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = replace(SYSTEM_CLOCK, sleep=lambda seconds: None, async_sleep=_no_sleep)
    for hook in (DtsHook, DataWorksHook):
        monkeypatch.setattr(hook, "clock", clock)


@pytest.fixture
def play(connect: Any) -> Iterator[Play]:
    """Play one migration by steps, and write the connections to it."""
    with ExitStack() as stack:

        def start(service: str, *steps: dict[str, Any], **fields: Any) -> Simulator:
            ids = {"dts": {"migration_job_id": "dts1"}, "dataworks": {"migration_id": 7}}[service]
            migration = {"service": service, **ids, "steps": [{"at": 0, **step} for step in steps], **fields}
            simulator = stack.enter_context(BriefSimulator({"migrations": [migration]}))
            for conn_id, content in simulator.connections().items():
                connect(conn_id, **content)
            return simulator

        yield start


def actions(simulator: Simulator) -> Counter[str]:
    return Counter(record.action for record in simulator.requests)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("status", "delay", "state", "catched"),
    [
        ("Finished", "18000", "cancelled", False),
        ("Finished", "-1", "cancelled", False),
        ("Finished", "0", "succeeded", True),
        ("Migrating", "0", "caught_up", True),
        ("Migrating", "61", "running", False),
        ("MigrationFailed", "0", "failed", False),
        ("Suspending", "0", "paused", False),
        ("Retrying", "0", "running", False),
    ],
)
def test_dts_catched_needs_a_job_that_runs_well(
    play: Play, get_progress: Any, api: str, status: str, delay: str, state: str, catched: bool
) -> None:
    section = {"Status": "Catched", "Delay": delay}
    play("dts", {"MigrationJobStatus": status, "DataSynchronizationStatus": section, **BOTH})
    record = get_progress(DtsHook(api=api), migration_job_id="dts1")
    assert (record.state, target_reached(record, "Catched")) == (state, catched)


@pytest.mark.parametrize("api", APIS)
def test_dts_status_missing_is_an_error(play: Play, get_progress: Any, api: str) -> None:
    fields = {"Success": True, "MigrationJobId": "dts1", "TaskId": "1"}
    simulator = play("dts", {"replace": True, **fields})
    with pytest.raises(MigrationResponseError, match="the state of the migration is not known"):
        get_progress(DtsHook(api=api), migration_job_id="dts1")
    assert actions(simulator) == {api: 5}


@pytest.mark.parametrize("api", APIS)
def test_dts_job_id_is_looked_up(play: Play, get_progress: Any, api: str) -> None:
    simulator = play("dts", {"MigrationJobStatus": "Suspending"})
    hook = DtsHook(api=api)
    first = get_progress(hook, migration_job_id="1")
    assert (first.migration_id, first.state) == ("1", "paused")
    before = len(simulator.requests)
    get_progress(hook, migration_job_id="1")
    assert [record.action for record in simulator.requests[before:]] == ["DescribeDtsJobs"]


@pytest.mark.parametrize("api", APIS)
def test_dts_unknown_id_is_looked_up_in_each_way_once(play: Play, get_progress: Any, api: str) -> None:
    simulator = play("dts")
    with pytest.raises(MigrationNotFoundError, match="DtsJobId"):
        get_progress(DtsHook(api=api), migration_job_id="dtsnobody")
    assert sum(actions(simulator).values()) == (5 if api == APIS[0] else 4)


async def test_dts_batch_holds_both_kinds_of_ids(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a pause a batch would hold whatever has come within one turn of the event loop.
    monkeypatch.setattr(limiter, "BATCH_WINDOW_SECONDS", 0.5)
    ids = [f"dts{number}" for number in range(6)]
    migrations = [
        {"service": "dts", "migration_job_id": one, "steps": [{"at": 0, "MigrationJobName": one}]}
        for one in ids
    ]
    with BriefSimulator({"migrations": migrations}) as simulator:
        for conn_id, content in simulator.connections().items():
            connect(conn_id, **content)
        hook = DtsHook(api="DescribeDtsJobs")
        hook.clock = SYSTEM_CLOCK
        given = [*ids[:3], *(one.removeprefix("dts") for one in ids[3:])]
        for _ in range(3):  # the first looks up, alone and together; the last has all in one
            before = len(simulator.requests)
            records = await asyncio.gather(*(hook.aget_progress(one) for one in given))
            assert [record.name for record in records] == ids
        assert len(simulator.requests) - before <= 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "Throttling.User", "xml": True}, MigrationThrottledError),
        ({"code": "InvalidRegionId.NotFound", "xml": True, "http_status": 404}, MigrationRequestError),
        ({"code": "DTS.Msg.InvalidParameter", "http_status": 500}, MigrationRequestError),
    ],
)
def test_dts_code_decides_whatever_carries_it(
    play: Play, get_progress: Any, error: dict[str, Any], expected: Any
) -> None:
    play("dts", {"error": error})
    with pytest.raises(expected, match=error["code"]):
        get_progress(DtsHook(), migration_job_id="dts1")


def test_dataworks_quota_of_a_day_is_named(play: Play, get_progress: Any) -> None:
    play("dataworks", {"error": {"code": "Throttling.Api.Risk", "http_status": 429}})
    with pytest.raises(MigrationThrottledError, match="on the next day") as caught:
        get_progress(DataWorksHook(), project_id=123456, migration_id=7)
    assert caught.value.quota_exhausted


@pytest.mark.parametrize("status", ["IMPORT_SUCCESS", "IMPORT_ERROR"])
def test_dataworks_refused_detail_leaves_the_status(play: Play, get_progress: Any, status: str) -> None:
    error = {"code": "Forbidden.RAM", "http_status": 403, "actions": ["GetMigrationProcess"]}
    simulator = play("dataworks", {"summary": {"Status": status}, "error": error})
    hook = DataWorksHook()
    for _ in range(3):
        record = get_progress(hook, project_id=123456, migration_id=7)
        assert record.service_status == status
        assert record.state == ("succeeded" if status == "IMPORT_SUCCESS" else "failed")
        assert ["GetMigrationProcess at " in warning for warning in record.warnings] == [True]
    assert actions(simulator)["GetMigrationProcess"] == 1


@pytest.mark.parametrize("summary", [{"Status": ""}, {"Status": None}])
def test_dataworks_status_missing_is_an_error(play: Play, get_progress: Any, summary: dict[str, Any]) -> None:
    play("dataworks", {"summary": summary})
    with pytest.raises(MigrationResponseError, match=r"no Data\.Status"):
        get_progress(DataWorksHook(), project_id=123456, migration_id=7)
