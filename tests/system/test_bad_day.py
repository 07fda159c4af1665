"""A triggerer that is killed, and a minute of faults on the wire, on a real Airflow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_migration.simulator import Simulator
from scripts.local_airflow import LocalAirflow
from tests.catalogue import NAMES, SERVICES
from tests.conftest import ROOT

DURATION = 45
"""Seconds that a migration takes."""

SCENARIO = {
    "seed": 11,
    "migrations": [
        *(service.migration(duration=DURATION) for service in SERVICES),
        {"service": "dts", "migration_job_id": "failing", "script": "failure", "duration": DURATION},
        {"service": "dts", "migration_job_id": "never", "script": "never_ending", "duration": DURATION},
    ],
    "faults": [
        {"kind": kind, "rate": 0.07} for kind in ("throttle", "server_error", "html", "truncated", "drop")
    ],
}

ENDS = {
    **{service.name: ("success", service.target) for service in SERVICES},
    "failing": ("failed", "failed"),
    "too_late": ("failed", "running"),
}


@dataclass
class Day:
    """Results of the day."""

    tasks: dict[str, dict[str, Any]]
    records: dict[str, dict[str, Any] | None]
    waited: dict[str, float]
    ended_before_the_kill: list[str]
    writes: int
    faults: int


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Run the sensors, kill the triggerer once all are deferred, and start another."""
    airflow = LocalAirflow(
        tmp_path_factory.mktemp("bad-day") / "airflow",
        Path(__file__).with_name("bad_day_dags"),
        settings={
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            "PYTHONPATH": str(ROOT),  # the DAG takes the services from the tests' list
        },
    )
    with Simulator(SCENARIO) as simulator:
        airflow.prepare(simulator.connections())
        with airflow.components() as components:
            api = airflow.api
            run = api.post("/dags/bad_day/dagRuns", {"logical_date": None})["dag_run_id"]
            began: dict[str, float] = {}
            ended: dict[str, float] = {}
            killed_at = 0.0
            give_up = time.monotonic() + 300
            while len(ended) < len(ENDS) and time.monotonic() < give_up:
                time.sleep(1)
                tasks = {task["task_id"]: task for task in api.tasks("bad_day", run)}
                for name, task in tasks.items():
                    if task["state"] == "deferred":
                        began.setdefault(name, time.monotonic())
                    if task["state"] in ("success", "failed", "skipped", "upstream_failed"):
                        ended.setdefault(name, time.monotonic())
                if not killed_at and len(began) == len(ENDS):
                    components["triggerer"].kill()
                    killed_at = time.monotonic()
                    components["triggerer"].start()
            records = {name: api.xcom("bad_day", run, name, "migration_progress") for name in ENDS}
        yield Day(
            tasks=tasks,
            records=records,
            waited={name: ended[name] - began[name] for name in ended},
            ended_before_the_kill=[name for name in ended if not killed_at or ended[name] < killed_at],
            writes=simulator.writes,
            faults=sum(request.fault is not None for request in simulator.requests),
        )


@pytest.mark.parametrize("name", ENDS)
def test_tasks_end_as_expected(day: Day, name: str) -> None:
    state, migration_state = ENDS[name]
    assert day.ended_before_the_kill == []
    assert day.tasks[name]["state"] == state
    record = day.records[name]
    assert record is not None
    assert record["state"] == migration_state


def test_tasks_ran_once(day: Day) -> None:
    assert {task["try_number"] for task in day.tasks.values()} == {1}


def test_no_early_success(day: Day) -> None:
    # Lag is low enough a few seconds before a script ends; tasks are looked at once a second.
    assert all(day.waited[name] > DURATION - 15 for name in NAMES)


def test_deadline_survives_a_new_triggerer(day: Day) -> None:
    assert 55 < day.waited["too_late"] < 90


def test_faults_happened(day: Day) -> None:
    assert day.faults > 20


def test_simulator_saw_no_writes(day: Day) -> None:
    assert day.writes == 0
