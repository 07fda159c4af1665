"""A wave of hundreds of migrations on one triggerer: what it costs the service."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import pytest

from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers.migration import MigrationTrigger
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import WaitTracker

JOBS = 300
INTERVAL = 4.0
DTS = {
    "hook": "airflow_provider_migration.hooks.dts:DtsHook",
    "hook_arguments": {"dts_conn_id": "dts_default", "api": "DescribeDtsJobs"},
}
DRS = {
    "hook": "airflow_provider_migration.hooks.drs:DrsHook",
    "hook_arguments": {"drs_conn_id": "drs_default"},
}


def dts_job(number: int) -> dict[str, Any]:
    """Make a job; every second one is a synchronization."""
    job_type = {"job_type": "SYNC"} if number % 2 else {}
    return {"service": "dts", "migration_job_id": f"dts{number:04}", "duration": 5000, **job_type}


def drs_job(number: int) -> dict[str, Any]:
    return {"service": "drs", "job_id": f"job-{number:04}", "duration": 5000}


@pytest.mark.parametrize(
    ("job", "trigger", "ids", "action"),
    [
        pytest.param(dts_job, DTS, {}, "DescribeDtsJobs", id="dts"),
        pytest.param(drs_job, DRS, {"object_types": [], "job_status": True}, "BatchListProgresses", id="drs"),
    ],
)
def test_wave_shares_its_requests(
    monkeypatch: pytest.MonkeyPatch, job: Any, trigger: dict[str, Any], ids: Any, action: str
) -> None:
    """Each migration is polled once an interval, with a tenth of the requests at most."""
    polled: Counter[str] = Counter()
    monkeypatch.setattr("airflow_provider_migration.triggers.migration.XCom.set", lambda **arguments: None)
    observe = WaitTracker.observe

    def counting(tracker: WaitTracker, progress: Any, *given: Any, **named: Any) -> Any:
        polled[progress.migration_id] += 1
        return observe(tracker, progress, *given, **named)

    monkeypatch.setattr(WaitTracker, "observe", counting)
    jobs = [job(number) for number in range(JOBS)]

    async def watch(names: dict[str, Any], now: float) -> None:
        policy = WaitPolicy(
            targets=("caught_up",), started_at=now, deadline=now + 1000, poke_interval=INTERVAL
        )
        tracker = WaitTracker(policy).to_json()
        async for _ in MigrationTrigger(**trigger, ids=names, tracker=tracker, task_key={}).run():
            pass

    async def wave(simulator: Simulator) -> int:
        id_argument = "migration_job_id" if "migration_job_id" in jobs[0] else "job_id"
        now = time.time()
        tasks = [asyncio.create_task(watch({id_argument: one[id_argument], **ids}, now)) for one in jobs]
        await asyncio.sleep(1.5 * INTERVAL)  # the first polls find out the types of the jobs
        before = sum(request.action == action for request in simulator.requests)
        polled.clear()
        # A busy machine is late: each migration is polled in the next intervals.
        for _ in range(60):
            await asyncio.sleep(INTERVAL / 4)
            if len(polled) == JOBS:
                break
        asked = sum(request.action == action for request in simulator.requests) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return asked

    with Simulator({"migrations": jobs}) as simulator:
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        asked = asyncio.run(wave(simulator))
    assert len(polled) == JOBS
    assert asked <= polled.total() / 10
