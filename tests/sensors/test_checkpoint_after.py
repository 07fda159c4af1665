"""The sensors' argument ``checkpoint_after``: accepted moments, and the errors of wrong ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred

from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.progress import MigrationState
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.wait.tracker import Outcome, Verdict

Play = Callable[..., Simulator]

NOON = datetime(2026, 1, 31, 14, 0, tzinfo=UTC)
JOB = {"service": "dts", "migration_job_id": "dts1", "steps": [{"at": 0, "MigrationJobStatus": "Suspending"}]}


def dts(**arguments: Any) -> DtsMigrationJobSensor:
    return DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", **arguments)


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=8))),
        NOON.timestamp(),
        int(NOON.timestamp()),
        str(NOON.timestamp()),
        f" {int(NOON.timestamp())}\n",
        "2026-01-31T14:00:00Z",
        "2026-01-31 14:00:00+00:00",
        "2026-01-31T22:00:00+08:00",
        "20260131T140000Z",
    ],
)
def test_moment_is_read(moment: Any) -> None:
    assert dts(checkpoint_after=moment)._moment() == NOON.timestamp()


@pytest.mark.parametrize(
    ("moment", "problem"),
    [
        ("2026-01-31T22:00:00", "needs a time zone"),
        (datetime(2026, 1, 31, 22), "needs a time zone"),
        ("2026-01-31", "needs a time zone"),
        ("ten o'clock", "must be an ISO time with its offset"),
        ("", "is empty"),
        ("None", "is empty: it is None"),
        (True, "must be an ISO time"),
        (60, "must be an ISO time"),
        (timedelta(1), "must be an ISO time"),
        (NOON.timestamp() * 1000, "must be an ISO time"),
        (float("nan"), "must be an ISO time"),
        ("inf", "must be an ISO time"),
        ([NOON], "must be an ISO time"),
    ],
)
def test_wrong_moment_is_refused_when_the_dag_is_parsed(moment: Any, problem: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=f"'wait': checkpoint_after {problem}"):
        dts(checkpoint_after=moment)


@pytest.mark.parametrize("rendered", [None, "", "None"])
def test_moment_that_renders_to_nothing_is_refused(play: Play, context: Any, rendered: Any) -> None:
    """The wait must not forget its moment because an upstream task has pushed none."""
    simulator = play(JOB)
    sensor = dts(checkpoint_after="{{ ti.xcom_pull('stop_writes') }}")
    sensor.checkpoint_after = rendered
    with pytest.raises(MigrationConfigurationError, match="checkpoint_after is empty"):
        sensor.poke(context)
    assert simulator.requests == []


def test_moment_of_a_mapped_task_is_never_forgotten(play: Play, context: Any) -> None:
    """An upstream task that has pushed None is an error; None as a constant means no moment."""
    play(JOB)
    with DAG("made_for_a_test"):
        mapped = DtsMigrationJobSensor.partial(task_id="wait", migration_job_id="dts1").expand(
            checkpoint_after=[None]
        )
    with pytest.raises(MigrationConfigurationError, match="checkpoint_after is empty"):
        mapped.unmap({"checkpoint_after": None})
    assert dts(checkpoint_after=None).poke(context) is False


def test_yes_of_a_triggerer_that_does_not_know_the_moment_is_checked(play: Play, context: Any) -> None:
    play({**JOB, "steps": [{"at": 0, "MigrationJobStatus": "Suspending"}]})
    sensor = dts(checkpoint_after=time.time() - 60, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    tracker = deferred.value.trigger.tracker
    progress = tracker.progress.model_copy(
        update={"state": MigrationState.CAUGHT_UP, "observed_at": datetime.now(UTC)}
    )
    verdict = Verdict(Outcome.DONE, "Reached")
    event = {
        **{"outcome": "done", "reason": "Reached", "error": None},
        **{"progress": progress.model_dump(mode="json"), "wait": tracker.wait_to_json(verdict)},
    }
    assert sensor.execute_complete(context, event)["state"] == "caught_up"
    del event["wait"]["checkpoint_after"]
    with pytest.raises(TaskDeferred):
        sensor.execute_complete(context, event)


@pytest.mark.parametrize("is_template", [True, False])
def test_moment_of_a_rescheduled_task_is_that_of_its_first_poll(
    play: Play, context: Any, next_poll: Callable[[Any], Any], is_template: bool
) -> None:
    """A template may render to another moment at each poll; a constant may have been corrected."""
    play(JOB)
    first, second = time.time() - 100, time.time() - 50
    used = []
    for poll, moment in ((context, first), (next_poll(context), second)):
        given = "{{ macros.datetime.now() }}" if is_template else moment
        sensor = dts(checkpoint_after=given, mode="reschedule", timeout=1000)
        sensor.checkpoint_after = moment
        sensor.poke(poll)
        assert sensor._tracker
        used.append(sensor._tracker.policy.checkpoint_after)
    assert used == [first, first if is_template else second]


def test_moment_after_the_end_of_the_wait_is_refused(play: Play, context: Any) -> None:
    simulator = play(JOB)
    with pytest.raises(MigrationConfigurationError, match=r"leaves no time: the wait ends at .*timeout 60 s"):
        dts(checkpoint_after=time.time() + 100, timeout=60).poke(context)
    assert simulator.requests == []
    with pytest.raises(MigrationConfigurationError, match=r"leaves no time for hold_for \(40 s\)"):
        dts(checkpoint_after=time.time() + 30, hold_for=40, timeout=60).poke(context)
    assert dts(checkpoint_after=time.time() + 50, timeout=60).poke(context) is False


@pytest.mark.parametrize(
    ("sensor", "remedy"),
    [
        (
            DataWorksMigrationSensor(task_id="wait", project_id=1, migration_id=1, checkpoint_after=NOON),
            "Leave it out",
        ),
        (
            DrsProgressSensor(
                task_id="wait", job_id="j", job_status=False, target_status="full_done", checkpoint_after=NOON
            ),
            "Set job_status=True",
        ),
    ],
)
def test_service_without_a_checkpoint_is_refused(play: Play, context: Any, sensor: Any, remedy: str) -> None:
    simulator = play()
    with pytest.raises(MigrationConfigurationError, match=rf"needs a checkpoint, .*{remedy}\."):
        sensor.poke(context)
    assert simulator.requests == []


def test_moment_is_templated() -> None:
    for sensor in (DataWorksMigrationSensor, DrsProgressSensor, DtsMigrationJobSensor):
        assert "checkpoint_after" in sensor.template_fields
