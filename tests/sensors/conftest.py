"""A task's surroundings, and a simulator whose time a test sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_migration.clock import Clock
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.simulator import Simulator
from tests.simulators import BriefSimulator


class TaskInstance:
    """As much of a task instance as a sensor uses."""

    dag_id, task_id, run_id, map_index = "dag", "wait", "run+1", -1
    max_tries = 0

    def __init__(self, try_number: int = 1) -> None:
        self.try_number = try_number
        self.xcom: dict[str, Any] = {}
        self.pushes: list[str] = []

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushes.append(key)
        self.xcom[key] = value

    def get_first_reschedule_date(self, context: Any) -> None:
        return None


class Store(dict[str, Any]):
    """As much of a task state store as a sensor uses."""

    set = dict.__setitem__


@pytest.fixture
def context() -> dict[str, Any]:
    return {"ti": TaskInstance(), "task_state_store": Store()}


@pytest.fixture
def next_poll() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Give the context of the next rescheduled poll: XCom is wiped, the store is not."""

    def make(context: dict[str, Any]) -> dict[str, Any]:
        return {**context, "ti": TaskInstance(context["ti"].try_number)}

    return make


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Simulator]]:
    """Start a simulator that plays some migrations and stands still until told, and connect Airflow to it."""
    with ExitStack() as started:

        def start(*migrations: dict[str, Any], faults: tuple[dict[str, Any], ...] = ()) -> Simulator:
            simulator = started.enter_context(
                BriefSimulator({"migrations": list(migrations), "faults": list(faults)}, speed=1e-9)
            )
            for conn_id, connection in simulator.connections().items():
                monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
            return simulator

        yield start


@pytest.fixture
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is tried again be tried at once."""
    monkeypatch.setattr(MigrationHook, "clock", Clock(sleep=lambda seconds: None))
