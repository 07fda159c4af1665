"""DRS jobs of every kind, as the hook reads them from the simulator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationNotFoundError
from airflow_provider_migration.hooks.drs import DrsHook
from tests.simulators import BriefSimulator

WAVE = {"wave": "3"}


def job(job_id: str, **changes: Any) -> dict[str, Any]:
    return {"service": "drs", "job_id": job_id, "name": f"name of {job_id}", **changes}


JOBS = [
    *[job(f"m{number:03}", tags=WAVE if number % 2 else {}) for number in range(150)],
    job("parent", job_type="sync", children=["child-1", "child-2"], tags=WAVE),
    job("child-1", job_type="sync"),
    job("child-2", job_type="sync"),
    job("standby", job_type="cloudDataGuard", direction="down", enterprise_project_id="eps-1"),
    job("old", generation="v3"),
    job("new", generation="v5"),
]


@pytest.fixture
def play(connect: Callable[..., str]) -> Iterator[Callable[..., DrsHook]]:
    """Start simulators of jobs that have copied everything, and end them."""
    with ExitStack() as started:

        def start(*jobs: dict[str, Any]) -> DrsHook:
            simulator = started.enter_context(BriefSimulator({"migrations": list(jobs)}, speed=0.001))
            for each in jobs:
                simulator.jump("drs", each["job_id"], 100)
            return DrsHook(connect(**simulator.connections()["drs_default"]))

        yield start


def test_drs_hook_lists_every_job(play: Callable[..., DrsHook]) -> None:
    drs = play(*JOBS)
    found = drs.list_migrations()
    # Each API lists the jobs that it knows.
    assert {row.migration_id for row in found} == {each["job_id"] for each in JOBS if each["job_id"] != "old"}
    assert {row.kind for row in found} == {"migration", "sync", "disaster_recovery"}
    assert len(drs.list_migrations(tags=WAVE)) == 78
    assert [row.migration_id for row in drs.list_migrations(group="eps-1")] == ["standby"]
    assert drs.find_migration("name of m007") == "m007"
    assert len(drs.list_migrations("M00", status="running", limit=5)) == 5


def test_drs_hook_lists_in_v3_where_v5_is_missing(play: Callable[..., DrsHook]) -> None:
    drs = play(*[job(f"j{number}", generation="v3", tags=WAVE) for number in range(120)])
    assert len(drs.list_migrations(tags=WAVE)) == 120
    assert drs.list_migrations(tags={"wave": "4"}) == []


@pytest.mark.parametrize("generation", ["v3", "v5", "both"])
def test_drs_hook_reads_a_job_of_either_api(
    play: Callable[..., DrsHook], get_progress: Callable[..., Any], generation: str
) -> None:
    progress = get_progress(play(job("a", generation=generation)), job_id="a")
    assert progress.state == "caught_up"
    assert 0 <= progress.lag_seconds < 60


@pytest.mark.parametrize("generation", ["v3", "v5", "both"])
def test_drs_hook_does_not_find_a_job(
    play: Callable[..., DrsHook], get_progress: Callable[..., Any], generation: str
) -> None:
    with pytest.raises(MigrationNotFoundError, match=r"BatchListProgresses .*ShowJobDetail"):
        get_progress(play(job("a", generation=generation)), job_id="b")


def test_drs_hook_waits_for_children(play: Callable[..., DrsHook], get_progress: Callable[..., Any]) -> None:
    late = {"at": 0, "job": {"incre_trans_delay": "900", "incre_trans_delay_millis": "900000"}}
    jobs = [job("p", job_type="sync", children=["c"]), job("c", job_type="sync", script="success")]
    assert get_progress(play(*jobs), job_id="p").state == "caught_up"
    jobs[1]["steps"] = [late]
    progress = get_progress(play(*jobs), job_id="p")
    assert (progress.state, progress.lag_seconds) == ("running", 900)


@pytest.mark.parametrize("generation", ["both", "v5"])
def test_drs_hook_sees_a_switchover(
    play: Callable[..., DrsHook], get_progress: Callable[..., Any], generation: str
) -> None:
    standby = job("a", job_type="cloudDataGuard", script="success", generation=generation)
    assert get_progress(play(standby), job_id="a").state == "caught_up"
    standby["steps"] = [{"at": 0, "detail": {"job_kernel_direction": "down"}}]
    progress = get_progress(play(standby), job_id="a")
    assert progress.state == "running"
    assert progress.phases[-1].name == "switchover"


def test_drs_hook_gets_rpo_and_rto(play: Callable[..., DrsHook]) -> None:
    drs = play(job("a", job_type="cloudDataGuard"), job("b"))
    found = drs.get_rpo_and_rto("a")
    assert found.rpo_info is not None
    assert found.rto_info is not None
    assert found.rpo_info.delay == 0
    assert 0 <= found.rto_info.delay < 60
    with pytest.raises(MigrationNotFoundError):
        drs.get_rpo_and_rto("b")
    with pytest.raises(MigrationConfigurationError):
        drs.get_rpo_and_rto(" ")


async def test_300_drs_jobs_cost_few_requests(connect: Callable[..., str]) -> None:
    jobs = [job(f"j{number}", name="wave", tags=WAVE) for number in range(300)]
    with BriefSimulator({"migrations": jobs}, speed=0.001) as simulator:
        for each in jobs:
            simulator.jump("drs", each["job_id"], 100)
        hook = DrsHook(connect(**simulator.connections()["drs_default"]))
        async with hook.keep_session():
            polls = await asyncio.gather(*(hook.aget_progress(each["job_id"], ()) for each in jobs))
        assert {progress.state for progress in polls} == {"caught_up"}
        asked = Counter(request.action for request in simulator.requests)
        assert asked["BatchListProgresses"] <= 7
        assert asked["ShowJobList"] <= 5
        before = len(simulator.requests)
        assert len(await asyncio.to_thread(hook.list_migrations, "wave")) == 300
        assert len(simulator.requests) - before == 5  # three pages, and one for each of the other types


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"status": "oddd"}, {"tags": {"a": 1}}, {"group": 7}, {"limit": 0}, {"project_id": "x"}],
)
def test_wrong_argument_of_a_list_is_refused_before_a_request(wrong: dict[str, Any]) -> None:
    with pytest.raises(MigrationConfigurationError):
        DrsHook("no_such_connection").list_migrations(**wrong)
