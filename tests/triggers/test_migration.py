"""What the trigger does between the first poll and the verdict."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.progress import MigrationProgress, MigrationState
from airflow_provider_migration.publication import Publication, points_of
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport import Surroundings
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.migration import MigrationTrigger
from airflow_provider_migration.triggers.sharing import moment_in
from airflow_provider_migration.verdict import History, Watch, Wishes

DTS = {"service": "dts", "migration_job_id": "dts1", "script": "success", "duration": 100}


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Simulator]]:
    """Start a simulator that plays a migration at a speed, and connect Airflow to it."""
    started: list[Simulator] = []

    def start(script: str = "success", speed: float = 1e-9, **more: Any) -> Simulator:
        simulator = Simulator({"migrations": [{**DTS, "script": script}], **more}, speed=speed)
        started.append(simulator)
        simulator.start()
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return simulator

    yield start
    for simulator in started:
        simulator.stop()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect what the trigger writes to XCom, which outside a triggerer has nowhere to go."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(migration.XCom, "set", lambda **arguments: written.append(arguments))
    return written


def records(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the records among what was written."""
    return [write["value"] for write in shown if write["key"] == "migration_progress"]


def waits(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give what was written of the wait."""
    return [write["value"] for write in shown if write["key"] == "migration_wait"]


def trigger(*, timeout: float = 60, job: str = "dts1", **wishes: Any) -> MigrationTrigger:
    now = time.time()
    wanted: dict[str, Any] = {"targets": ("caught_up",), "poke_interval": 0.1, **wishes}
    return MigrationTrigger(
        hook="airflow_provider_migration.hooks.dts:DtsHook",
        hook_arguments={"dts_conn_id": "dts_default"},
        ids={"migration_job_id": job},
        watch=Watch(Wishes(started_at=now, deadline=now + timeout, **wanted)).to_json(),
        task_key={"dag_id": "dag", "task_id": "wait", "run_id": "run+1", "map_index": -1},
    )


async def event_of(trigger: MigrationTrigger) -> dict[str, Any]:
    """Run a trigger as Airflow does, from what it is stored as, and give its event."""
    stored = Trigger.from_object(trigger)
    assert stored.classpath == f"{MigrationTrigger.__module__}.MigrationTrigger"
    event = await anext(MigrationTrigger(**stored.kwargs).run())
    payload: dict[str, Any] = event.payload
    assert json.loads(json.dumps(payload)) == payload
    return payload


async def test_a_migration_is_watched_to_its_target(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play(speed=100)
    event = await event_of(trigger())
    assert (event["outcome"], event["progress"]["state"]) == ("done", "caught_up")
    states = [record["state"] for record in records(shown)]
    assert states == sorted(states, key=["pending", "running", "caught_up"].index)
    assert records(shown)[-1] == event["progress"]


@pytest.mark.parametrize(("age", "is_soon"), [(0, False), (3600, True)], ids=["just now", "an hour ago"])
@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "failed"])
async def test_what_the_sensor_has_asked_for_just_now_is_not_asked_for_again_at_once(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], age: float, is_soon: bool, is_answered: bool
) -> None:
    def own_moment(job: str) -> float:
        return moment_in({"migration_job_id": job}, 3, time.time())

    jobs = [f"dts{number}" for number in range(300)]
    simulator = play(migrations=[{**DTS, "migration_job_id": job} for job in jobs])
    job = next(job for job in jobs if 0.8 < own_moment(job) < 1)
    simulator.jump("dts", job, 150)
    waiting = trigger(poke_interval=3, job=job)
    if is_answered:
        waiting.watch.progress = MigrationProgress(
            service="dts",
            migration_id=job,
            state=MigrationState.RUNNING,
            observed_at=datetime.fromtimestamp(time.time() - age, UTC),
        )
    else:
        waiting.watch.history = History(polls=1, poll_errors=1, errors_since=time.time() - age)
    _, unfinished = await asyncio.wait([asking := asyncio.create_task(event_of(waiting))], timeout=2.2)
    asking.cancel()
    assert (not unfinished) is is_soon


@pytest.mark.parametrize(
    "watch", [{}, {"progress": {"state": "a state of a later version"}}, {"wishes": {"targets": None}}]
)
def test_one_that_cannot_be_read_is_an_error_that_airflow_takes_for_this_trigger_alone(
    watch: dict[str, Any],
) -> None:
    arguments = trigger().serialize()[1]
    with pytest.raises(TypeError, match=r"watch of the trigger cannot be read: \S"):
        MigrationTrigger(**{**arguments, "watch": watch and {**arguments["watch"], **watch}})


async def test_progress_is_shown_under_the_task_that_waits(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play().jump("dts", "dts1", 150)
    await event_of(trigger())
    values = {write.pop("key"): write.pop("value") for write in shown}
    assert values["migration_console_url"] == values["migration_progress"]["console_url"]
    assert [point[1:] for point in values["migration_history"]] == [[100, 0]]
    task = {"dag_id": "dag", "task_id": "wait", "run_id": "run+1", "map_index": -1}
    assert values["migration_wait"]["outcome"] == "done"
    assert shown == [task] * 4


async def test_the_history_goes_on_where_the_last_triggerer_left_off(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.time() - 3600
    left = [[before, 10.0, None], [before + 1800, 20.0, None]]
    monkeypatch.setattr(migration.XCom, "get_one", lambda **key: left if key == asked else None)
    asked = {"key": "migration_history", **(started := trigger()).task_key}
    play().jump("dts", "dts1", 150)
    started.watch.publication.points = points_of(left[:1])
    assert (await event_of(started))["points"][:2] == left


async def test_what_another_triggerer_wrote_last_is_written_over(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration.XCom, "get_one", lambda **key: [[1.0, 50.0, None]])
    play().jump("dts", "dts1", 50)
    waited = trigger(timeout=1)
    first = (await event_of(waited))["progress"]
    shown.clear()
    # The trigger is made again as it was an hour ago: to it the record is what it was.
    again = trigger(timeout=1)
    again.watch.wishes = replace(again.watch.wishes, started_at=time.time() - 3600)
    again.watch.progress = MigrationProgress.model_validate(first)
    again.watch.publication = Publication(written={"migration_progress": (1, 1)}, changes=1)
    event = await event_of(again)
    assert records(shown)[0]["state"] == first["state"]
    assert event["points"][0] == [1, 50, None]


async def test_a_history_that_cannot_be_read_begins_anew(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(migration.XCom, "get_one", refuse)
    play().jump("dts", "dts1", 150)
    started = trigger()
    started.watch.publication.points = [(1.0, 10.0, None)]
    event = await event_of(started)
    assert (event["outcome"], len(event["points"])) == ("done", 2)


async def test_while_nothing_changes_only_the_first_and_the_last_record_are_written(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    simulator = play()
    simulator.jump("dts", "dts1", 50)
    assert (await event_of(trigger(timeout=1)))["outcome"] == "timeout"
    assert len(simulator.requests) > 3
    assert [record["percent"] for record in records(shown)] == [67, 67]
    assert [wait["outcome"] for wait in waits(shown)] == [None, "timeout"]


async def test_the_deadline_brings_one_last_poll_and_the_last_state(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    simulator = play()
    simulator.jump("dts", "dts1", 50)
    started = time.monotonic()
    event = await event_of(trigger(timeout=0.5, poke_interval=3600))
    assert time.monotonic() - started < 5
    assert event["outcome"] == "timeout"
    assert "running" in event["reason"]
    assert len(simulator.requests) == 1


async def test_a_target_that_is_reached_at_the_deadline_counts(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play().jump("dts", "dts1", 150)
    assert (await event_of(trigger(timeout=0.2, poke_interval=60)))["outcome"] == "done"


@pytest.mark.parametrize(
    ("into_the_interval", "least", "pause"), [(0, 0, 60), (20, 0, 40), (20, 30, 40), (40, 30, 80), (59, 0, 1)]
)
def test_a_poll_comes_at_the_moment_of_its_migration_and_no_sooner_than_half_an_interval_after_the_last(
    into_the_interval: float, least: float, pause: float
) -> None:
    waiting = trigger(timeout=3600, poke_interval=60)
    watch = waiting.watch
    now = watch.wishes.started_at
    moment = now + moment_in(waiting.ids, 60, now)
    assert waiting._pause(watch, least, moment + into_the_interval) == pytest.approx(pause, abs=0.01)


@pytest.mark.parametrize(("interval", "backoff"), [(0, False), (60, True)])
def test_without_an_interval_or_with_a_backoff_the_watch_sets_the_pace(
    interval: float, backoff: bool
) -> None:
    waiting = trigger(timeout=3600, poke_interval=interval, exponential_backoff=backoff)
    watch = waiting.watch
    now = watch.wishes.started_at
    assert waiting._pause(watch, 0, now) == watch.next_poll_in(now)


async def test_a_deadline_that_passed_while_no_triggerer_ran_is_kept(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play().jump("dts", "dts1", 50)
    assert (await event_of(trigger(timeout=-3600)))["outcome"] == "timeout"


async def test_a_failed_migration_is_reported_with_its_record(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play("precheck_failure").jump("dts", "dts1", 90)
    event = await event_of(trigger())
    assert event["outcome"] == "fail"
    assert event["progress"]["error"]["code"] == "PrecheckFailed"


async def test_an_error_that_no_poll_can_heal_ends_the_wait(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    simulator = play()
    event = await event_of(trigger(job="dts9"))
    assert (event["outcome"], event["error"]["type"]) == ("poll_error", "MigrationNotFoundError")
    # DTS is asked with both of its calls.
    assert [asked.action for asked in simulator.requests] == ["DescribeMigrationJobStatus", "DescribeDtsJobs"]


async def test_polls_that_fail_are_tolerated_and_then_named(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_wait(seconds: float) -> None: ...

    monkeypatch.setattr(MigrationHook, "world", Surroundings(asleep=no_wait))
    play().stop()
    event = await event_of(trigger(max_poll_errors=1))
    assert event["outcome"] == "poll_error"
    assert event["error"]["type"] == "MigrationServiceError"
    assert "failed 2 times in a row" in event["reason"]
    assert [(wait["poll_errors"], wait["outcome"]) for wait in waits(shown)] == [(1, None), (2, "poll_error")]
    assert event["error"]["message"] in event["wait"]["reason"]
    assert event["wait"] == waits(shown)[-1]


async def test_a_connection_that_is_missing_is_named(shown: list[dict[str, Any]]) -> None:
    event = await event_of(trigger())
    assert event["error"]["type"] == "MigrationConnectionNotFoundError"
    assert "'dts_default'" in event["error"]["message"]


async def test_a_connection_that_cannot_be_read_for_a_while_is_waited_for(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    play().jump("dts", "dts1", 150)
    connection = os.environ["AIRFLOW_CONN_DTS_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_DTS_DEFAULT")
    waiting = trigger(poke_interval=0.2)
    waiting.watch.history = History(polls=1)  # the worker has asked with it
    event = asyncio.create_task(event_of(waiting))
    await asyncio.sleep(0.5)
    assert not event.done()
    assert "'dts_default'" in waits(shown)[0]["last_error"]
    monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", connection)
    assert (await event)["outcome"] == "done"


async def test_a_connection_that_stays_away_is_named_in_the_end(shown: list[dict[str, Any]]) -> None:
    waiting = trigger(max_poll_errors=1)
    waiting.watch.history = History(polls=1)
    event = await event_of(waiting)
    assert event["outcome"] == "poll_error"
    assert "failed 2 times in a row" in event["reason"]
    assert event["error"]["type"] == "MigrationConnectionNotFoundError"


async def test_a_record_that_cannot_be_shown_does_not_end_the_wait(
    play: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(migration.XCom, "set", refuse)
    play(speed=100)
    assert (await event_of(trigger()))["outcome"] == "done"


async def test_many_triggers_share_connections_and_leave_none_behind(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play(speed=100)
    before = len(asyncio.all_tasks())
    events = await asyncio.gather(*(event_of(trigger()) for _ in range(20)))
    assert {event["outcome"] for event in events} == {"done"}
    assert len(asyncio.all_tasks()) == before


async def test_a_trigger_that_is_cancelled_goes_quietly(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    simulator = play()
    task = asyncio.create_task(event_of(trigger()))
    await asyncio.sleep(0.5)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert simulator.writes == 0
