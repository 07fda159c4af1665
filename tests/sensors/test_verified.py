"""The target ``verified``: the services' own data checks, in every mode."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

import pytest

from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationFailedError
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from tests.sensors.conftest import TwoPolls

SENSORS: dict[str, tuple[type[MigrationSensor], str, str]] = {
    "dts": (DtsMigrationJobSensor, "migration_job_id", "dts"),
    "oms": (OmsProjectSensor, "project_id", "np_"),
    "drs": (DrsProgressSensor, "job_id", "job-"),
}
FAIL = {"on_mismatch": "fail"}
CAUGHT_UP, DIFFERENT, CHECKED_AGAIN, AT_THE_END = 95, 120, 150, 170
"""Seconds of a script whose copy ends at 80: the check ends at 100, and is repeated from 140 to 160."""

CASES: list[tuple[str, int, dict[str, Any], Any]] = [
    ("consistent", DIFFERENT, FAIL, "caught_up"),
    ("different", DIFFERENT, {}, None),
    ("different", DIFFERENT, FAIL, "Source and destination differ: .* differences in 12 of 40 tables: "),
    ("repaired", DIFFERENT, FAIL, "Source and destination differ"),
    ("repaired", CHECKED_AGAIN, FAIL, None),
    ("repaired", AT_THE_END, FAIL, "caught_up"),
    ("restarted", CHECKED_AGAIN, FAIL, None),
    ("restarted", AT_THE_END, FAIL, "caught_up"),
    ("failed", DIFFERENT, {}, None),
    ("failed", DIFFERENT, FAIL, "The data check failed"),
    ("pending", DIFFERENT, FAIL, None),
    ("running", DIFFERENT, FAIL, None),
]
"""Outcome of the check, second of the second poll, arguments; the state, None for a wait, or the error."""


def migration(service: str, outcome: str | None) -> dict[str, Any]:
    _, argument, prefix = SENSORS[service]
    check = {"outcome": outcome, "tables": 40}
    if outcome in ("different", "repaired"):
        check["different"] = 12
    checked = {} if outcome is None else {"verification": check}
    return {"service": service, argument: f"{prefix}{outcome}", "duration": 100, **checked}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    outcomes = dict.fromkeys([None, *(outcome for outcome, *_ in CASES)])
    migrations = [migration(service, outcome) for service in SENSORS for outcome in outcomes]
    with Simulator({"migrations": migrations}, speed=1e-9) as simulator:
        yield simulator


@pytest.mark.parametrize("service", SENSORS)
@pytest.mark.parametrize(("outcome", "second", "arguments", "expected"), CASES)
def test_verified_in_every_mode(
    simulator: Simulator,
    two_polls: TwoPolls,
    service: str,
    outcome: str,
    second: int,
    arguments: dict[str, Any],
    expected: Any,
) -> None:
    sensor, argument, prefix = SENSORS[service]
    ids = {argument: f"{prefix}{outcome}"}
    wanted = {"target_status": "verified", "max_lag": 300, **arguments}

    def watch() -> Any:
        return two_polls(simulator, service, sensor, ids, wanted, (CAUGHT_UP, second))

    if expected in (None, "caught_up"):
        assert watch() == expected
        return
    with pytest.raises(MigrationFailedError, match=expected) as caught:
        watch()
    if outcome == "different":
        assert len(set(re.findall(r"shop\.orders_\d+ \(\d rows\)", str(caught.value)))) == 12
        assert caught.value.progress is not None
        assert caught.value.progress.verification is not None
        assert len(caught.value.progress.verification.worst) == 12


@pytest.mark.parametrize(
    ("service", "problem"),
    [("dts", "Switch on full data verification"), ("oms", "Full verification can be chosen only when")],
)
def test_missing_check_fails_at_the_first_answer(
    simulator: Simulator, two_polls: TwoPolls, service: str, problem: str
) -> None:
    sensor, argument, prefix = SENSORS[service]
    ids = {argument: f"{prefix}None"}
    with pytest.raises(MigrationFailedError, match=f"There is no data check to wait for: .*{problem}"):
        two_polls(simulator, service, sensor, ids, {"target_status": "verified"}, (30, 30))


def test_drs_waits_for_a_person_to_compare(
    simulator: Simulator, two_polls: TwoPolls, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {"target_status": "verified"}
    assert two_polls(simulator, "drs", DrsProgressSensor, {"job_id": "job-None"}, wanted, (110, 120)) is None
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "DRS compares rows by itself" in line]
    assert "start one in the DRS console" in line


def test_other_targets_request_no_check(simulator: Simulator, two_polls: TwoPolls) -> None:
    before = len(simulator.requests)
    for service, (sensor, argument, prefix) in SENSORS.items():
        ids = {argument: f"{prefix}different"}
        assert two_polls(simulator, service, sensor, ids, {}, (30, DIFFERENT)) == "caught_up"
    actions = {request.action for request in simulator.requests[before:]}
    assert actions <= {
        "DescribeMigrationJobStatus",
        "DescribeProjectProgress",
        "DescribeProjectSteps",
        "BatchListProgresses",
        "ShowProgressData",
        "ShowJobList",  # tells whether a job in sync has children
    }


@pytest.mark.parametrize("service", SENSORS)
def test_hook_returns_the_result(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    sensor, argument, prefix = SENSORS[service]
    for conn_id, connection in simulator.connections().items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    hook = resolve_name(sensor.hook_class)()
    simulator.jump(service, f"{prefix}different", DIFFERENT)
    found = hook.get_verification(f"{prefix}different")
    assert (found.state, found.tables_different, found.tables_total) == ("inconsistent", 12, 40)
    simulator.jump(service, f"{prefix}consistent", DIFFERENT)
    assert hook.get_verification(**{argument: f"{prefix}consistent"}).state == "consistent"


def test_dataworks_hook_has_no_result() -> None:
    assert DataWorksHook("none").get_verification(1, 2) is None


def test_dataworks_has_no_check(play: Any, context: Any) -> None:
    play()
    sensor = DataWorksMigrationSensor(task_id="wait", project_id=1, migration_id=1, target_status="verified")
    with pytest.raises(MigrationConfigurationError, match="'verified' is never reached by this service"):
        sensor.poke(context)


@pytest.mark.parametrize("value", ["no", None, True, "FAIL"])
def test_wrong_on_mismatch_is_refused(value: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="on_mismatch must be 'wait' or 'fail'"):
        DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", on_mismatch=value)
