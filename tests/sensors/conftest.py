"""A task's surroundings, and a simulator whose time a test sets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_migration.clock import Clock
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.migration import MigrationTrigger
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


TwoPolls = Callable[..., Any]


@pytest.fixture(params=["poke", "reschedule", "deferrable"])
def two_polls(
    request: pytest.FixtureRequest,
    context: Any,
    next_poll: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> TwoPolls:
    """
    Watch a migration of a simulator that stands still, at two of its seconds, in each mode.

    The wait must go on after the first poll. Return the state of the final record, or None where the wait
    goes on after the second one too.
    """

    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr(migration.XCom, "set", lambda **arguments: None)
    monkeypatch.setattr(MigrationTrigger, "_pause", lambda *arguments: 0.01)
    monkeypatch.setattr(MigrationHook, "clock", Clock(sleep=lambda seconds: None, async_sleep=at_once))

    def watch(
        simulator: Simulator,
        service: str,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        arguments: dict[str, Any],
        seconds: tuple[float, float],
    ) -> Any:
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

        def put(second: float) -> None:
            simulator.jump(service, next(reversed(ids.values())), second)

        def task(**more: Any) -> MigrationSensor:
            return sensor(task_id="wait", **{"poke_interval": 60, **arguments, **ids, **more})

        put(seconds[0])
        if request.param != "deferrable":
            first = task(mode=request.param)
            assert first.poke(context) is False
            put(seconds[1])
            # A task that pokes goes on, one that is rescheduled begins again.
            is_new = request.param == "reschedule"
            result = (task(mode=request.param) if is_new else first).poke(next_poll(context))
            return result.xcom_value["state"] if result else None
        waiting = task(deferrable=True)
        with pytest.raises(TaskDeferred) as deferred:
            waiting.execute(context)
        trigger = deferred.value.trigger
        assert isinstance(trigger, MigrationTrigger)
        put(seconds[1])
        event = asyncio.run(_first_event(trigger))
        return waiting.execute_complete(context, event.payload)["state"] if event else None

    return watch


async def _first_event(trigger: MigrationTrigger) -> Any:
    """Return the first event, or None where none has come after two polls."""
    before = trigger.tracker.history.polls
    event = asyncio.ensure_future(anext(trigger.run()))  # type: ignore[arg-type] # an async generator
    while not event.done() and trigger.tracker.history.polls < before + 2:
        await asyncio.sleep(0.01)
    if not event.done():
        event.cancel()
        return None
    return event.result()
