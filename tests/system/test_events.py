"""DAGs that begin by themselves, and one that asks a person, on a real Airflow with everything it has."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers.event import MigrationEventTrigger
from scripts.local_airflow import Api, Component, LocalAirflow
from tests.conftest import ROOT
from tests.examples import NEED_A_NEWER_AIRFLOW
from tests.statsd import StatsdServer

WATCHED, CUT_OVER = "dtsdemo0001", "dtscutover"
START, ASK = "start_when_caught_up", "cut_over_when_caught_up"
BEFORE, FAR = 50, 150
"""Seconds into a script of 100: in the middle of it, and at its end."""

pytestmark = pytest.mark.skipif(START in NEED_A_NEWER_AIRFLOW, reason="Airflow 2 has no asset watchers")
asks_a_person = pytest.mark.skipif(
    ASK in NEED_A_NEWER_AIRFLOW, reason="ApprovalOperator came with Airflow 3.1"
)

IMPATIENT = {
    "poke_interval=15": "poke_interval=2",
    "hold_for=600": "hold_for=5",
    "hold_for=60,": "hold_for=20,",
}
"""
What of the examples takes too long for a test. The last is not shorter because Airflow's scheduler may take a
task for a failed one that comes back before its process has ended, which takes seconds with OpenLineage
(https://github.com/apache/airflow/issues/72716).
"""


@dataclass
class Scene:
    """An Airflow with the examples, and what it watches."""

    api: Api
    components: dict[str, Component]
    simulator: Simulator
    statsd: StatsdServer
    lineage: Path

    def polls(self) -> int:
        """Return how often the watched migration was asked about."""
        return sum(request.id == WATCHED for request in self.simulator.requests)

    def wait_for_polls(self, count: int) -> None:
        """Wait until it was asked about so many times more."""
        before = self.polls()
        wait_for(lambda: self.polls() >= before + count)

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG."""
        runs: list[dict[str, Any]] = self.api.get(f"/dags/{dag}/dagRuns")["dag_runs"]
        return runs

    def states(self, run: str) -> dict[str, str]:
        """Return the states of the tasks of a cut-over."""
        return {task["task_id"]: task["state"] for task in self.api.tasks(ASK, run)}


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it has not come about"
        time.sleep(0.5)


def database(path: Path, orders: int) -> dict[str, Any]:
    """Make a database with so many orders, and a connection to it."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id)")
        connection.execute("CREATE TABLE orders (id)")
        connection.executemany("INSERT INTO orders VALUES (?)", [(number,) for number in range(orders)])
    connection.close()
    return {"conn_type": "sqlite", "host": str(path)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Start it; the migrations stand still in the midst of their work."""
    folder = tmp_path_factory.mktemp("events")
    dags = folder / "dags"
    dags.mkdir()
    for example in {START, ASK} - NEED_A_NEWER_AIRFLOW:
        text = (ROOT / "example_dags" / f"{example}.py").read_text()
        for patient, impatient in IMPATIENT.items():
            text = text.replace(patient, impatient)
        (dags / f"{example}.py").write_text(text)
    scenario = {
        "migrations": [
            {
                "service": "dts",
                "migration_job_id": job,
                "duration": 100,
                "verification": {"outcome": "consistent"},
            }
            for job in (WATCHED, CUT_OVER)
        ]
    }
    with StatsdServer() as statsd, Simulator(scenario, speed=1e-9) as simulator:
        for job in (WATCHED, CUT_OVER):
            simulator.jump("dts", job, BEFORE)
        lineage = folder / "lineage.json"
        transport = {"type": "file", "log_file_path": str(lineage), "append": True}
        settings = {**statsd.settings, "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
        airflow = LocalAirflow(folder / "airflow", dags, settings=settings)
        airflow.prepare(
            {
                **simulator.connections(),
                "source_database": database(folder / "source.db", 3),
                "destination_database": database(folder / "destination.db", 3),
            }
        )
        with airflow.components() as components:
            yield Scene(airflow.api, components, simulator, statsd, lineage)


@pytest.fixture(scope="module")
def started(scene: Scene) -> Scene:
    """Switch the DAG on, and bring the migration to its target once it is watched."""
    scene.api.patch(f"/dags/{START}", {"is_paused": False})
    scene.wait_for_polls(3)
    assert scene.runs(START) == []
    scene.simulator.jump("dts", WATCHED, FAR)
    wait_for(lambda: [run["state"] for run in scene.runs(START)] == ["success"])
    return scene


def test_event_starts_the_dag_once(started: Scene) -> None:
    started.wait_for_polls(5)
    (run,) = started.runs(START)
    (event,) = started.api.get(f"/dags/{START}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents")[
        "asset_events"
    ]
    record = event["extra"]["payload"]
    assert run["run_type"] == "asset_triggered"
    assert (record["migration_id"], record["state"], record["lag_seconds"]) == (WATCHED, "caught_up", 0)
    said = started.api.xcom(START, run["dag_run_id"], "report", "return_value")
    assert said == [f"dts {WATCHED}: caught_up, lag 0.0 s"]


@pytest.mark.skipif(
    not hasattr(
        MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id=WATCHED), "asset_state_store"
    ),
    reason="Airflow before 3.3 keeps nothing of an asset",
)
def test_event_is_not_repeated_by_another_triggerer(started: Scene) -> None:
    time.sleep(10)  # until it is kept
    started.components["triggerer"].kill()
    started.components["triggerer"].start()
    started.wait_for_polls(3)
    assert len(started.runs(START)) == 1


def test_event_is_sent_again_when_the_target_is_reached_again(started: Scene) -> None:
    started.simulator.jump("dts", WATCHED, BEFORE)
    started.wait_for_polls(3)
    started.simulator.jump("dts", WATCHED, FAR)
    wait_for(lambda: [run["state"] for run in started.runs(START)] == ["success"] * 2)


@asks_a_person
def test_statsd_gets_polls_of_triggerer_and_worker(cut_over: Scene) -> None:
    counted = f"airflow.migration.polls,service=dts,migration={CUT_OVER}:1|c"
    assert len([port for port, lines in cut_over.statsd.told.items() if counted in lines]) > 1
    for figure in ("percent", "lag_seconds"):
        assert cut_over.statsd.lines(f"airflow.migration.{figure},service=dts,migration={WATCHED}:")


@pytest.fixture(scope="module")
def cut_over(scene: Scene) -> Scene:
    """Begin a cut-over, and answer it."""
    run = ask_to_cut_over(scene)
    wait_for(lambda: scene.states(run)["cut_over.caught_up"] == "deferred")
    assert scene.states(run)["cut_over.approve"] is None
    scene.simulator.jump("dts", CUT_OVER, FAR)
    wait_for(lambda: scene.states(run)["cut_over.approve"] in ("awaiting_input", "deferred"))
    answer = f"/dags/{ASK}/dagRuns/{run}/taskInstances/cut_over.approve/-1/hitlDetails"
    question = scene.api.get(answer)
    assert question["subject"] == f"Cut over dts {CUT_OVER}?"
    body = question["body"].replace("\\", "")
    assert re.search(r"- lag: 0 s, as of 20.* UTC, \d+ s old when asked", body)
    assert "- the data check found no differences in 12 tables, as of 20" in body
    answer_with(scene, run, "Approve")
    return scene


def ask_to_cut_over(scene: Scene) -> str:
    """Start a run of the example, and return its id."""
    run = scene.api.post(f"/dags/{ASK}/dagRuns", {"logical_date": None, "conf": {"dts_job": CUT_OVER}})
    return str(run["dag_run_id"])


def answer_with(scene: Scene, run: str, option: str) -> None:
    """Answer the question of a run, and wait for the end of the run."""
    time.sleep(15)  # an answer within a second takes Airflow's scheduler by surprise, and fails the task
    answer = f"/dags/{ASK}/dagRuns/{run}/taskInstances/cut_over.approve/-1/hitlDetails"
    scene.api.patch(answer, {"chosen_options": [option], "params_input": {}})
    wait_for(lambda: scene.api.get(f"/dags/{ASK}/dagRuns/{run}")["state"] in ("success", "failed"))


@asks_a_person
def test_cut_over_example_runs(cut_over: Scene) -> None:
    (run,) = cut_over.runs(ASK)
    states = cut_over.states(run["dag_run_id"])
    assert set(states.values()) == {"success"}, states
    report = f"/dags/{ASK}/dagRuns/{run['dag_run_id']}/taskInstances/report/xcomEntries/return_value"
    said = f"{CUT_OVER} may be switched over; rows: {{'customers': 0, 'orders': 3}}"
    assert cut_over.api.get(report)["value"] == said


@asks_a_person
def test_lineage_names_source_and_destination(cut_over: Scene) -> None:
    lines = map(json.loads, cut_over.lineage.read_text().splitlines())
    task = f"{ASK}.cut_over.caught_up"
    (end,) = [line for line in lines if line["job"]["name"] == task and line["eventType"] == "COMPLETE"]
    sides = [[(side["namespace"], side["name"]) for side in end[key]] for key in ("inputs", "outputs")]
    assert sides == [
        [("mysql://rm-bp1source", "rm-bp1source")],
        [("mysql://rm-bp1destination", "rm-bp1destination")],
    ]


@asks_a_person
def test_rejection_runs_nothing_downstream(cut_over: Scene) -> None:
    run = ask_to_cut_over(cut_over)
    wait_for(lambda: cut_over.states(run)["cut_over.approve"] in ("awaiting_input", "deferred"))
    answer_with(cut_over, run, "Reject")
    states = cut_over.states(run)
    before = [f"cut_over.{name}" for name in ("caught_up", "verified", "question", "approve")]
    assert {states.pop(name) for name in before} == {"success"}
    assert set(states.values()) == {"skipped"}, states
