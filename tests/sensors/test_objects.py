"""The argument ``objects``: checked at parse, passed on in every mode, and left out where it is off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, TaskDeferred

from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers.event import MigrationEventTrigger
from tests.sensors.conftest import TwoPolls

DETAIL = "DescribeMigrationJobDetail"
JOB = {"service": "dts", "migration_job_id": "dts1", "duration": 100, "objects": 5}
SENSORS: list[tuple[type[MigrationSensor], dict[str, Any]]] = [
    (DtsMigrationJobSensor, {"migration_job_id": "dts1"}),
    (OmsProjectSensor, {"project_id": "np_1"}),
]


def details(simulator: Simulator) -> int:
    return sum(request.action == DETAIL for request in simulator.requests)


@pytest.mark.parametrize(("sensor", "ids"), SENSORS)
@pytest.mark.parametrize("value", ["true", "False", 0, 1, None, [], "{{ x }}"])
def test_objects_must_be_a_bool(sensor: type[MigrationSensor], ids: dict[str, Any], value: Any) -> None:
    said = r"objects must be True or False, not"
    with pytest.raises(MigrationConfigurationError, match=f"{sensor.__name__} 'wait': {said}"):
        sensor(task_id="wait", objects=value, **ids)
    with pytest.raises(MigrationConfigurationError, match=f"{said}|objects must be a constant"):
        MigrationEventTrigger.of(sensor, objects=value, **ids)


def test_objects_of_an_upstream_task_are_refused() -> None:
    with DAG("dag"), pytest.raises(MigrationConfigurationError, match="objects must be True or False"):
        DtsMigrationJobSensor(
            task_id="wait",
            migration_job_id="dts1",
            objects=BaseOperator(task_id="make").output,  # type: ignore[arg-type] # wrong on purpose
        )


def test_oms_has_no_objects() -> None:
    said = "objects must be False: no call of OMS lists the progress of single tables"
    with pytest.raises(MigrationConfigurationError, match=f"OmsProjectSensor 'wait': {said}"):
        OmsProjectSensor(task_id="wait", project_id="np_1", objects=True)
    with pytest.raises(
        MigrationConfigurationError, match=f"MigrationEventTrigger of OmsProjectSensor: {said}"
    ):
        MigrationEventTrigger.of(OmsProjectSensor, project_id="np_1", objects=True)


@pytest.mark.parametrize(("sensor", "ids"), SENSORS)
def test_objects_that_are_off_are_left_out(sensor: type[MigrationSensor], ids: dict[str, Any]) -> None:
    """A triggerer of an older version does not know the argument."""
    assert sensor(task_id="wait", objects=False, **ids)._ids() == ids
    assert json.loads(MigrationEventTrigger.of(sensor, objects=False, **ids).serialize()[1]["ids"]) == ids


def test_objects_are_requested_in_every_mode(two_polls: TwoPolls) -> None:
    with Simulator({"migrations": [JOB]}, speed=1e-9) as simulator:
        arguments = {"objects": True, "target_status": "full_done"}
        state = two_polls(
            simulator, "dts", DtsMigrationJobSensor, {"migration_job_id": "dts1"}, arguments, (30, 60)
        )
        assert state is None
        assert details(simulator) >= 2


def test_objects_are_not_requested_otherwise(two_polls: TwoPolls) -> None:
    with Simulator({"migrations": [JOB]}, speed=1e-9) as simulator:
        arguments = {"target_status": "full_done"}
        two_polls(simulator, "dts", DtsMigrationJobSensor, {"migration_job_id": "dts1"}, arguments, (30, 60))
        assert {request.action for request in simulator.requests} == {"DescribeMigrationJobStatus"}


def test_objects_are_in_the_record(play: Any, context: Any) -> None:
    simulator = play(JOB)
    simulator.jump("dts", "dts1", 60)
    wait = DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", objects=True, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        wait.poke(context)
    assert deferred.value.trigger.ids == {"migration_job_id": "dts1", "objects": True}
    objects = context["ti"].xcom["migration_progress"]["objects"]
    assert (objects["total"], objects["slowest"][0]["source"], objects["failed"]) == (
        *(5, "shop.orders_0005"),
        [],
    )


def test_objects_that_are_refused_do_not_end_the_wait(play: Any, context: Any) -> None:
    error = {"code": "Forbidden.RAM", "http_status": 403, "actions": [DETAIL]}
    simulator = play({**JOB, "script": "success", "steps": [{"at": 0, "error": error}]})
    simulator.jump("dts", "dts1", 60)
    wait = DtsMigrationJobSensor(
        task_id="wait", migration_job_id="dts1", objects=True, target_status=["running", "full_done"]
    )
    assert wait.poke(context)
    assert context["ti"].xcom["migration_progress"]["objects"] is None
    (warning,) = context["ti"].xcom["migration_wait"]["warnings"]
    assert "DescribeMigrationJobDetail cannot be read (HTTP 403, Forbidden.RAM)" in warning


def test_datasets_do_not_depend_on_objects(play: Any) -> None:
    play(JOB)
    wait = DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", objects=True)
    lineage = wait.get_openlineage_facets_on_complete(None)
    assert lineage is not None
    assert len(lineage.inputs) == 1
