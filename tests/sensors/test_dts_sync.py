"""The argument ``job_type``, and synchronizations in every mode."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationFailedError
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.triggers.event import MigrationEventTrigger
from tests.sensors.conftest import TwoPolls

IDS = {"migration_job_id": "dts1"}
SYNC = {"service": "dts", **IDS, "job_type": "SYNC", "script": "success", "duration": 100}
TWO_WAY = {**SYNC, "two_way": True}


def wait(**arguments: Any) -> DtsMigrationJobSensor:
    return DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", **arguments)


@pytest.mark.parametrize("value", ["sync", "SUBSCRIBE", "", "{{ params.type }}", 1, True, ["SYNC"]])
def test_job_type_must_be_known(value: Any) -> None:
    with pytest.raises(
        MigrationConfigurationError, match="job_type must be 'MIGRATION', 'SYNC' or None, not"
    ):
        wait(job_type=value)
    with pytest.raises(MigrationConfigurationError, match=r"job_type (must be|is empty)"):
        MigrationEventTrigger.of(DtsMigrationJobSensor, job_type=value, **IDS)


@pytest.mark.parametrize("job_type", [None, "MIGRATION", "SYNC"])
def test_job_type_is_passed_on_only_if_given(play: Any, context: Any, job_type: str | None) -> None:
    """A triggerer of an older version does not know the argument."""
    play({**SYNC, "job_type": job_type or "MIGRATION"})
    with pytest.raises(TaskDeferred) as deferred:
        wait(job_type=job_type, deferrable=True).poke(context)
    given = {"job_type": job_type} if job_type else {}
    assert deferred.value.trigger.hook_arguments == given
    trigger = MigrationEventTrigger.of(DtsMigrationJobSensor, **given, **IDS)
    assert "job_type" not in json.loads(trigger.serialize()[1]["hook_arguments"]) or given


@pytest.mark.parametrize("arguments", [{}, {"job_type": "SYNC"}, {"api": "DescribeDtsJobs"}])
def test_sync_job_is_watched_in_every_mode(play: Any, two_polls: TwoPolls, arguments: dict[str, Any]) -> None:
    simulator = play(TWO_WAY)
    assert two_polls(simulator, "dts", DtsMigrationJobSensor, IDS, arguments, (60, 150)) == "caught_up"


BEHIND = {"DataSynchronizationStatus": {"Status": "Migrating", "Delay": "90"}}


def test_sync_job_waits_for_its_reverse_direction_in_every_mode(play: Any, two_polls: TwoPolls) -> None:
    simulator = play({**TWO_WAY, "steps": [{"at": 0, "reverse": BEHIND}]})
    assert two_polls(simulator, "dts", DtsMigrationJobSensor, IDS, {}, (60, 150)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"reverse": BEHIND},
        {"reverse": {"DataSynchronizationStatus": {"Delay": "61"}}},
        {"reverse": {"DataSynchronizationStatus": None}},
        {"reverse": {"MigrationJobStatus": "Modifying"}},
        {"reverse": {"MigrationJobStatus": "Suspending"}},
        {"reverse": {"MigrationJobStatus": "NotConfigured"}},
        {"reverse": {"MigrationJobStatus": "Rebalancing"}},
        {"reverse": {"MigrationJobStatus": "Finished"}},
        {"reverse": {"TaskId": "1"}},
        {"reverse": {"MigrationMode": {"dataInitialization": True, "FullDataCheck": True}}},
        {"reverse": None},
        {"reverse": []},
        BEHIND,
    ],
)
@pytest.mark.parametrize("target", ["caught_up", "Catched", "verified", "succeeded"])
def test_two_way_job_waits_for_both_directions(
    play: Any, context: Any, fields: dict[str, Any], target: str
) -> None:
    simulator = play({**TWO_WAY, "verification": {"outcome": "consistent"}, "steps": [{"at": 150, **fields}]})
    simulator.jump("dts", "dts1", 149)
    if target != "succeeded":
        assert wait(target_status=target).poke(context)
    simulator.jump("dts", "dts1", 151)
    assert wait(target_status=target).poke(context) is False


def test_failed_reverse_direction_fails_the_task(play: Any, context: Any) -> None:
    failed = {"MigrationJobStatus": "Failed"}
    simulator = play({**TWO_WAY, "steps": [{"at": 150, "reverse": failed}]})
    simulator.jump("dts", "dts1", 151)
    with pytest.raises(MigrationFailedError, match="reverse direction: DTS reports Failed"):
        wait().poke(context)


def test_hidden_reverse_direction_is_logged(play: Any, context: Any, caplog: Any) -> None:
    simulator = play({**TWO_WAY, "steps": [{"at": 150, "reverse": None}]})
    simulator.jump("dts", "dts1", 151)
    assert wait().poke(context) is False
    (warning,) = context["ti"].xcom["migration_wait"]["warnings"]
    assert "does not show the status of its reverse direction" in warning
    with pytest.raises(MigrationFailedError, match="unknown status"):
        wait(on_unknown="fail").poke(context)
