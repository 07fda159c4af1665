"""Hooks that iterate over the objects of a migration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport.limiter import OPTIONAL_BURST

Connect = Callable[..., str]
JOB = "163b98e8-6088-46c3-8b86-c18fea6jb502"
MANY = [f"dtsmany{number}" for number in range(OPTIONAL_BURST + 10)]


@pytest.fixture
def simulator(connect: Connect) -> Any:
    migrations = [
        {"service": "dts", "migration_job_id": "dts1", "objects": 250, "duration": 100},
        {"service": "drs", "job_id": JOB, "objects": 2500, "duration": 100},
        *({"service": "dts", "migration_job_id": job, "duration": 100} for job in MANY),
    ]
    with Simulator({"migrations": migrations}, speed=1e-9) as simulator:
        for conn_id, fields in simulator.connections().items():
            connect(conn_id, **fields)
        yield simulator


def count(simulator: Simulator, action: str) -> int:
    return sum(request.action == action for request in simulator.requests)


def test_dts_objects_are_read_lazily(simulator: Simulator) -> None:
    simulator.jump("dts", "dts1", 60)
    objects = DtsHook().iter_objects("dts1")
    asked = [count(simulator, "DescribeMigrationJobDetail")]
    first = next(objects)
    asked.append(count(simulator, "DescribeMigrationJobDetail"))
    rest = list(objects)
    asked.append(count(simulator, "DescribeMigrationJobDetail"))
    assert asked == [0, 1, 3]
    assert (first.source, first.destination, first.percent) == ("shop.orders_0001", "shop", 100)
    assert len({first.source, *(item.source for item in rest)}) == 250
    assert rest[-1].percent == pytest.approx(12.9, abs=1)


def test_dts_objects_of_the_structure(simulator: Simulator) -> None:
    simulator.jump("dts", "dts1", 60)
    assert [item.percent for item in DtsHook().iter_objects("dts1", phase="structure")] == [100.0] * 250


def test_drs_objects_are_read_lazily(simulator: Simulator) -> None:
    simulator.jump("drs", JOB, 60)
    DrsHook().get_job_status(JOB)
    objects = DrsHook().iter_objects(JOB)
    assert count(simulator, "ShowProgressData") == 0
    first = next(objects)
    assert count(simulator, "ShowProgressData") == 1
    assert first.source
    assert len(list(objects)) == 2499
    assert count(simulator, "ShowProgressData") == 3


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: DtsHook().iter_objects(""), "migration_job_id is empty"),
        (lambda: DtsHook().iter_objects("dts1", phase="incremental"), "phase must be structure or full"),
        (lambda: DrsHook().iter_objects(" "), "job_id is empty"),
        (lambda: DrsHook().iter_objects(JOB, object_type="tables"), "'tables' is not known to DRS"),
        (lambda: OmsHook().iter_objects("np_1"), "OceanBase Migration Service has no call that lists"),
        (lambda: DataWorksHook().iter_objects(1, 1), "Alibaba Cloud DataWorks has no call that lists"),
        (lambda: DataWorksHook().iter_objects(project_id=1, migration_id=1), "has no call that lists"),
        (
            lambda: OmsHook().get_progress("np_1", objects=True),
            "objects must be False, not True: no call of OMS",
        ),
        (lambda: DtsHook().get_progress("dts1", objects="yes"), "objects must be True or False"),
    ],
)
def test_wrong_arguments_are_refused_before_a_request(
    simulator: Simulator, ask: Callable[[], Any], said: str
) -> None:
    """The error comes with the call, not with the first object."""
    with pytest.raises(MigrationConfigurationError, match=said):
        ask()
    assert simulator.requests == []


def test_progress_with_objects_is_the_same_with_both_twins(
    simulator: Simulator, get_progress: Callable[..., Any]
) -> None:
    simulator.jump("dts", "dts1", 60)
    objects = get_progress(DtsHook(), migration_job_id="dts1", objects=True).objects
    assert (objects.total, objects.completed, len(objects.slowest)) == (250, 33, 20)
    assert count(simulator, "DescribeMigrationJobDetail") == 3


def test_dts_lists_of_many_jobs_take_turns(simulator: Simulator) -> None:
    for job in MANY:
        simulator.jump("dts", job, 60)
    hook = DtsHook()

    async def poll() -> list[Any]:
        return [(await hook.aget_progress(job, objects=True)).objects for job in MANY]

    first = asyncio.run(poll())
    assert count(simulator, "DescribeMigrationJobStatus") == len(MANY)
    # A token may come in the meantime.
    assert OPTIONAL_BURST <= count(simulator, "DescribeMigrationJobDetail") < len(MANY)
    assert [objects is not None for objects in first[:OPTIONAL_BURST]] == [True] * OPTIONAL_BURST
    assert first[-1] is None
