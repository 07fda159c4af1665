"""The example DAGs are what people copy, so they run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.simulator.scenario import BUILT_IN
from tests.catalogue import NAMES, SERVICES
from tests.examples import EXAMPLES

# One asks a person; test_events.py answers it.
RUN = [path for path in EXAMPLES if path.stem != "cut_over_when_caught_up"]
MANY = "many_drs_jobs"
GOOD, FAILING, UNKNOWN = "job-good", "job-failing", "job-unknown"
JOBS = {"some": [GOOD, FAILING, UNKNOWN], "none": [FAILING, UNKNOWN]}
"""Jobs for the example of many, by the number that reach the target."""


@pytest.fixture(scope="module")
def runs(airflow_database: None) -> tuple[list[dict[str, Any]], str]:
    """Run every example once, with migrations that are nearly where they should be; return also the log."""
    drs = {"service": "drs", "duration": 1, "objects": 2}
    jobs = [{**drs, "job_id": GOOD}, {**drs, "job_id": FAILING, "name": "a failing job", "script": "failure"}]
    scenario = {**BUILT_IN, "migrations": [*BUILT_IN["migrations"], *jobs]}
    with Simulator(scenario, speed=2) as simulator:
        for service, migration in (
            *((service.name, service.migration_id) for service in SERVICES),
            ("drs", GOOD),
            ("drs", FAILING),
        ):
            simulator.jump(service, migration, 30)
        environment = {
            **os.environ,
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection)
                for conn_id, connection in simulator.connections().items()
            },
        }
        program = Path(__file__).with_name("run_examples.py")
        many = next(path for path in RUN if path.stem == MANY)
        wanted = [*((path, {}) for path in RUN), *((many, {"drs_jobs": jobs}) for jobs in JOBS.values())]
        done = subprocess.run(
            [sys.executable, program, *(json.dumps([str(path), conf]) for path, conf in wanted)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@pytest.fixture(scope="module")
def examples(runs: tuple[list[dict[str, Any]], str]) -> dict[str, dict[str, str]]:
    """Return the states of the tasks of each example on a good day."""
    return {run["dag"]: run["tasks"] for run in runs[0][: len(RUN)]}


def test_examples_succeed(examples: dict[str, dict[str, str]]) -> None:
    assert set(examples) == {path.stem for path in RUN}
    for states in examples.values():
        assert set(states.values()) == {"success"}


@pytest.mark.parametrize("case", JOBS)
def test_many_jobs_example_fails_with_its_jobs(runs: tuple[list[dict[str, Any]], str], case: str) -> None:
    run = runs[0][len(RUN) + list(JOBS).index(case)]
    assert run["state"] == "failed"
    assert run["tasks"]["report -1"] == "failed"
    for number, job in enumerate(JOBS[case]):
        expected = "success" if job == GOOD else "failed"
        assert run["tasks"][f"wait_until_caught_up {number}"] == expected
    said = runs[1].partition(f"2 of {len(JOBS[case])} jobs have not reached the target")[2]
    assert re.search(rf"{FAILING}: The migration failed.*{UNKNOWN}: .*{UNKNOWN}", said, re.DOTALL)


def test_services_example_uses_both_modes(examples: dict[str, dict[str, str]]) -> None:
    tasks = {task.split()[0] for task in examples["watch_four_services"]}
    assert tasks == {f"{mode}.{service}" for mode in ("poke", "deferrable") for service in NAMES}
