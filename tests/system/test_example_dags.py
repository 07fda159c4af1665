"""The example DAGs are what people copy, so they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_migration.simulator import Simulator
from tests.examples import EXAMPLES

# One asks a person; test_events.py answers it.
RUN = [path for path in EXAMPLES if path.stem != "cut_over_when_caught_up"]


@pytest.fixture(scope="module")
def examples(airflow_database: None) -> dict[str, dict[str, str]]:
    """Run every example once, against migrations that are nearly where they should be."""
    with Simulator(speed=2) as simulator:
        for service, migration in (
            ("dataworks", "1234"),
            ("dts", "dtsdemo0001"),
            ("oms", "p_demo0001"),
            ("drs", "163b98e8-6088-46c3-8b86-c18fea6jb502"),
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
        done = subprocess.run(
            [sys.executable, program, *RUN],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-5000:]
    result: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_every_task_of_every_example_succeeds(examples: dict[str, dict[str, str]]) -> None:
    assert set(examples) == {path.stem for path in RUN}
    for states in examples.values():
        assert set(states.values()) == {"success"}


def test_the_four_services_are_watched_in_both_modes(examples: dict[str, dict[str, str]]) -> None:
    tasks = {task.split()[0] for task in examples["watch_four_services"]}
    assert tasks == {
        f"{mode}.{service}"
        for mode in ("poke", "deferrable")
        for service in ("dataworks", "dts", "oms", "drs")
    }
