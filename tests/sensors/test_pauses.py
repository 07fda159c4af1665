"""Waits during which the service asks for pauses longer than the interval."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_migration import polling
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.exceptions import (
    MigrationThrottledError,
)
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.polling import poll_once
from airflow_provider_migration.sensors import base
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.triggers import migration, sharing
from airflow_provider_migration.triggers.migration import MigrationTrigger
from airflow_provider_migration.triggers.sharing import shared_hook
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import Outcome, WaitTracker
from tests.servers import Asked, Reply, Server, http

INTERVAL = 5
MAX_POLL_ERRORS = 5
MOST_POLLS = 100
RUNNING = http(body=b'{"success": true, "data": {"status": "RUNNING"}}')

Waits = list[dict[str, Any]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stop the time of sensor, trigger and hook; sleeping moves it."""
    now = [1_000_000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    async def async_sleep(seconds: float) -> None:
        sleep(seconds)

    for module in (base, migration, polling):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0]))
    clock = Clock(monotonic=lambda: now[0], rand=lambda: 0.5, sleep=sleep, async_sleep=async_sleep)
    monkeypatch.setattr(MigrationHook, "clock", clock)
    return now


@pytest.fixture
def serve(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Serve a console that throttles for some seconds, and connect Airflow to it."""
    started: list[Server] = []

    def start(seconds: float, hint: str | None) -> Server:
        until = clock[0] + seconds

        def answer(asked: Asked) -> Reply:
            return http(429, headers={"retry-after": hint} if hint else {}) if clock[0] < until else RUNNING

        started.append(server := Server([answer]))
        server.__enter__()
        connection = {"conn_type": "oceanbase_oms", "host": server.url, "login": "user", "password": "secret"}
        monkeypatch.setenv("AIRFLOW_CONN_OMS_DEFAULT", json.dumps(connection))
        return server

    yield start
    for server in started:
        server.__exit__()


def wait_on_worker(mode: str, clock: list[float], context: dict[str, Any], next_poll: Any) -> Waits:
    """Poll until there is an end, in reschedule mode with a new sensor each time, and return every wait."""
    waits: Waits = []
    sensor, pause = None, 0.0
    while len(waits) < MOST_POLLS and not (waits and waits[-1]["outcome"]):
        clock[0] += pause
        if sensor is None or mode == "reschedule":
            sensor = OmsProjectSensor(
                task_id="wait", project_id="p_1", target_status="running", mode=mode, poke_interval=INTERVAL
            )
            context = next_poll(context)
        context["ti"].xcom.clear()
        try:
            sensor.poke(context)
        except MigrationThrottledError:
            assert context["ti"].xcom["migration_wait"]["outcome"] == "poll_error"
        waits.append(context["ti"].xcom.get("migration_wait") or waits[-1])
        pause = sensor._get_next_poke_interval(0.0, lambda: 0.0, 1)
    return waits


async def wait_on_triggerer(clock: list[float]) -> Waits:
    """Do the same with a trigger."""
    waits: Waits = []
    policy = WaitPolicy(
        targets=("running",), started_at=clock[0], deadline=clock[0] + 86_400, poke_interval=INTERVAL
    )
    trigger = MigrationTrigger(
        hook=OmsProjectSensor.hook_class,
        hook_arguments={"oms_conn_id": "oms_default"},
        ids={"project_id": "p_1"},
        tracker=WaitTracker(policy).to_json(),
        task_key={"dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": -1},
    )
    async with shared_hook(trigger.hook, trigger.hook_arguments) as shared:
        outcome, pause = Outcome.WAIT, 0.0
        while len(waits) < MOST_POLLS and outcome is Outcome.WAIT:
            clock[0] += pause
            with poll_once(
                trigger.tracker, trigger.hook, trigger.ids, trigger.log.log, monotonic=lambda: clock[0]
            ) as poll:
                poll.answer = await shared.poll(trigger.ids, policy.poll_arguments)
            outcome = poll.verdict.outcome
            waits.append(trigger.tracker.wait_to_json(poll.verdict, poll.error))
            pause = trigger._pause(trigger.tracker, INTERVAL / 2, clock[0])
    return waits


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
@pytest.mark.parametrize(
    ("seconds", "hint", "outcome", "ends_after", "most_errors"),
    [
        # A pause is one failed poll, however many polls fall into it.
        (60, "60", "done", (60, 65), 1),
        (180, "60", "done", (180, 190), 3),
        # The service goes on asking for pauses: the wait ends with the sixth.
        (1e9, "60", "poll_error", (300, 330), MAX_POLL_ERRORS + 1),
        # Without a pause that was asked for, each poll counts.
        (1e9, None, "poll_error", (25, 200), MAX_POLL_ERRORS + 1),
    ],
)
def test_retry_after_pause_is_one_failed_poll(
    mode: str,
    seconds: float,
    hint: str | None,
    outcome: str,
    ends_after: tuple[float, float],
    most_errors: int,
    clock: list[float],
    serve: Callable[..., Server],
    context: dict[str, Any],
    next_poll: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migration.XCom, "set", lambda **_: None)
    monkeypatch.setattr(sharing, "REUSE_SECONDS", 0)
    serve(seconds, hint)
    began = clock[0]
    if mode == "deferrable":
        waits = asyncio.run(wait_on_triggerer(clock))
    else:
        waits = wait_on_worker(mode, clock, context, next_poll)

    assert waits[-1]["outcome"] == outcome
    least, most = ends_after
    assert least <= clock[0] - began <= most
    errors = [wait["poll_errors"] for wait in waits]
    assert max(errors) == most_errors
    assert all(wait["last_error"] for wait in waits if wait["poll_errors"])  # each is seen
