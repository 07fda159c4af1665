"""A wait for a DRS job that is ended by hand, or whose objects are not listed, in each mode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_migration.exceptions import MigrationFailedError
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.migration import MigrationTrigger

Play = Callable[..., Simulator]
Outcome = Callable[..., Any]

PARTS = {name: {"completed": "100%"} for name in ("struct", "data", "index")}
RUNNING = {"transfer_status": "INCRE_TRANSFER_STARTED", "incre_trans_delay": "18000", "progress_map": PARTS}


@pytest.fixture(params=["poke", "reschedule", "deferrable"])
def outcome(
    request: pytest.FixtureRequest,
    play: Play,
    context: Any,
    next_poll: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Outcome:
    """Watch a job that runs at the first poll and has changed at the second; return the result."""
    monkeypatch.setattr(migration.XCom, "set", lambda **arguments: None)

    def watch(changes: dict[str, Any], objects: Any = None, **wanted: Any) -> Any:
        now = {**RUNNING, "incre_trans_delay_millis": None, **changes}
        lists = {} if objects is None else {"objects": {"table": objects}}
        steps = [{"at": 0, "job": RUNNING, **lists}, {"at": 10, "job": now}]
        simulator = play({"service": "drs", "job_id": "job-1", "steps": steps})

        def sensor(**more: Any) -> DrsProgressSensor:
            return DrsProgressSensor(task_id="wait", job_id="job-1", poke_interval=1, **wanted, **more)

        if request.param == "deferrable":
            task = sensor(deferrable=True)
            with pytest.raises(TaskDeferred) as deferred:
                task.execute(context)
            simulator.jump("drs", "job-1", 10)
            trigger = deferred.value.trigger
            assert isinstance(trigger, MigrationTrigger)
            event: Any = asyncio.run(anext(trigger.run()))  # type: ignore[arg-type] # an async generator
            return task.execute_complete(context, event.payload)
        assert sensor(mode=request.param).poke(context) is False
        simulator.jump("drs", "job-1", 10)
        done = sensor(mode=request.param).poke(next_poll(context))
        return done.xcom_value if done else done

    return watch


ENDED = {"transfer_status": "RELEASE_RESOURCE_COMPLETE", "progress": "100"}


@pytest.mark.parametrize(
    ("delay", "why"),
    [
        ("18000", "its incremental phase was 18000 s behind"),
        ("-1", "its incremental phase had not begun"),
        (None, "DRS gives no delay for its incremental phase"),
    ],
)
def test_job_ended_before_sync_fails_the_wait(outcome: Outcome, delay: Any, why: str) -> None:
    with pytest.raises(MigrationFailedError, match=f"The job has ended, and {why}") as caught:
        outcome({**ENDED, "incre_trans_delay": delay})
    assert caught.value.progress is not None
    assert caught.value.progress.state == "cancelled"


def test_job_ended_in_sync_succeeds(outcome: Outcome) -> None:
    assert outcome({**ENDED, "incre_trans_delay": "3"})["state"] == "succeeded"


def test_failed_increment_is_never_in_sync(outcome: Outcome) -> None:
    with pytest.raises(MigrationFailedError, match="INCRE_TRANSFER_FAILED"):
        outcome({"transfer_status": "INCRE_TRANSFER_FAILED", "incre_trans_delay": "0"})


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": "APIGW.0101", "http_status": 404},
        {"code": "DRS.M05003"},
        {"http_status": 403, "page": "<html>no</html>"},
    ],
)
def test_refused_list_does_not_end_the_wait(outcome: Outcome, refusal: dict[str, Any]) -> None:
    record = outcome({**ENDED, "incre_trans_delay": "3"}, refusal)
    assert (record["state"], record["objects"]) == ("succeeded", None)
