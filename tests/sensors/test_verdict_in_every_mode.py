"""Ends of migrations of DTS, OMS and DataWorks: the same verdict in every mode."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_migration.exceptions import (
    MigrationFailedError,
    MigrationPermissionError,
    MigrationResponseError,
)
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from tests.sensors.conftest import TwoPolls

DONE = {"Status": "Finished", "Percent": "100"}
COPYING = {"Status": "Migrating", "Percent": "40"}


def dts(status: str, increment: dict[str, str], **changes: Any) -> dict[str, Any]:
    """Make a DTS job whose bulk work is done."""
    return {
        "MigrationJobStatus": status,
        "StructureInitializationStatus": DONE,
        "DataInitializationStatus": DONE,
        "DataSynchronizationStatus": increment,
        **changes,
    }


def catched(delay: Any) -> dict[str, Any]:
    return {"Status": "Catched", "Delay": delay}


def oms(status: str, lag: int = 5, step: str = "INCR_SYNC") -> dict[str, Any]:
    """Make an OMS project whose bulk work is done."""
    done = {"structMigrationProgress": 100, "fullMigrationProgress": 100}
    return {"status": status, "currentStep": step, "incrSyncCheckpoint": f"now-{lag}", **done}


def dataworks(status: str, *steps: str) -> dict[str, Any]:
    """Make a DataWorks package with its steps."""
    process = [{"TaskName": f"STEP_{number}", "TaskStatus": word} for number, word in enumerate(steps)]
    return {"summary": {"Status": status}, "process": process}


SERVICES: dict[str, tuple[type[MigrationSensor], dict[str, Any]]] = {
    "dts": (DtsMigrationJobSensor, dts("Migrating", catched("18000"))),
    "oms": (OmsProjectSensor, oms("RUNNING", 18000, "FULL_MIGRATION")),
    "dataworks": (DataWorksMigrationSensor, dataworks("IMPORTING", "RUNNING")),
}
"""For each service its sensor, and what it answers at the first poll, at which every case waits."""

HELD_UP = {"on_paused": "fail"}
ALONE = {"replace": True}
NO_STATUS = MigrationResponseError, "no .*[Ss]tatus in the response"


def failed(text: str) -> tuple[type[Exception], str]:
    return MigrationFailedError, text


def refused(code: str) -> dict[str, Any]:
    """Make a refusal with HTTP 200."""
    return {"error": {"code": code, "message": "no right", "http_status": 200}}


MOMENT = time.time() - 3600
AFTER = {"checkpoint_after": MOMENT}


def up_to(seconds_ago: int) -> dict[str, Any]:
    """Make a DTS increment without delay that has applied everything until some seconds ago."""
    return {**catched("0"), "Checkpoint": f"now-{seconds_ago}"}


CASES: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = [
    ("dts", dts("Finished", catched("3")), {}, "succeeded"),
    ("dts", dts("Migrating", catched("3"), ErrCode="Odd"), {}, "caught_up"),
    ("dts", dts("Migrating", catched("61")), {"target_status": "Catched"}, None),
    ("dts", dts("Finished", catched("18000")), {}, failed("the incremental phase was 18000 s behind")),
    ("dts", dts("Finished", catched("soon")), {}, failed("an impossible delay")),
    ("dts", dts("Finished", catched("0"), DataInitializationStatus=COPYING), {}, failed("full was not done")),
    ("dts", dts("MigrationFailed", catched("0")), {"target_status": "Catched"}, failed("MigrationFailed")),
    ("dts", dts("Suspending", catched("0")), {"target_status": "Catched", **HELD_UP}, failed("is paused")),
    ("dts", {**ALONE, "Success": True}, {}, NO_STATUS),
    ("dts", refused("Forbidden.RAM"), {}, (MigrationPermissionError, "Forbidden.RAM")),
    ("dts", dts("Migrating", up_to(3)), AFTER, "caught_up"),
    ("dts", dts("Migrating", up_to(7200)), AFTER, None),  # what was written five seconds before is missing
    ("dts", dts("Migrating", catched("0")), AFTER, None),
    ("dts", dts("Finished", up_to(3)), AFTER, "succeeded"),
    (
        "dts",
        dts("Finished", up_to(7200)),
        AFTER,
        failed("changes are applied until 20.* wanted caught_up with"),
    ),
    ("oms", oms("RUNNING"), AFTER, "caught_up"),
    ("oms", oms("RUNNING", 7200), {**AFTER, "max_lag": 9000}, None),
    ("oms", oms("FINISHED", 7200), AFTER, failed("changes are applied until 20")),
    ("oms", oms("FINISHED"), {}, "succeeded"),
    ("oms", oms("RUNNING"), {}, "caught_up"),
    ("oms", oms("RUNNING", 61), {}, None),
    ("oms", oms("RUNNING_MODIFYING"), {}, None),
    ("oms", oms("RELEASED"), {"target_status": "INCR_SYNC"}, failed("ended before reaching the target")),
    ("oms", oms("FAILED"), {"target_status": "INCR_SYNC"}, failed("FAILED at step INCR_SYNC")),
    ("oms", oms("SUSPEND"), {"target_status": "INCR_SYNC", **HELD_UP}, failed("is paused")),
    ("oms", ALONE, {}, NO_STATUS),
    ("oms", refused("GHANA-OPERAT000101"), {}, (MigrationPermissionError, "GHANA-OPERAT000101")),
    ("dataworks", dataworks("IMPORT_SUCCESS", "FAILURE"), {}, "succeeded"),
    ("dataworks", dataworks("REVOKED", "SUCCESS"), {}, failed("ended before reaching the target")),
    ("dataworks", dataworks("PARTIAL_SUCCESS", "SUCCESS"), {}, failed("ended before reaching the target")),
    ("dataworks", dataworks("IMPORT_ERROR", "SUCCESS"), {}, failed("DataWorks reports IMPORT_ERROR")),
    ("dataworks", {**ALONE, "summary": {}}, {}, NO_STATUS),
    ("dataworks", refused("Forbidden.RAM"), {}, (MigrationPermissionError, "Forbidden.RAM")),
]
"""Service, answer at the second poll, arguments; the state, None where the task waits on, or the error."""


def ids_of(number: int) -> dict[str, Any]:
    """Return the ids of the migration of a case, as sensor and simulator name them."""
    return {
        "dts": {"migration_job_id": f"dts{number}"},
        "oms": {"project_id": f"p_{number}"},
        "dataworks": {"project_id": 123456, "migration_id": number},
    }[CASES[number][0]]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Play a migration for each case; it stands still until it is told to go on."""
    migrations = [
        {
            "service": service,
            **ids_of(number),
            "steps": [{"at": 0, **SERVICES[service][1]}, {"at": 10, **changed}],
        }
        for number, (service, changed, _, _) in enumerate(CASES)
    ]
    with Simulator({"migrations": migrations}, speed=1e-9) as simulator:
        yield simulator


@pytest.fixture
def outcome(simulator: Simulator, two_polls: TwoPolls) -> Callable[[int], Any]:
    """Watch the migration of a case, which runs at the first poll and has changed at the second."""

    def watch(number: int) -> Any:
        service, _, wanted, _ = CASES[number]
        arguments = {"max_poll_errors": 0, **wanted}
        return two_polls(simulator, service, SERVICES[service][0], ids_of(number), arguments, (0, 10))

    return watch


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{CASES[number][0]}-{number}")
def test_verdict_is_the_same_in_every_mode(outcome: Callable[[int], Any], number: int) -> None:
    expected = CASES[number][3]
    if isinstance(expected, tuple):
        with pytest.raises(expected[0], match=expected[1]):
            outcome(number)
    else:
        assert outcome(number) == expected
