"""The trigger, from its first poll to its verdict."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.compat import can_look_up_beside_others
from airflow_provider_migration.exceptions import MigrationThrottledError
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.keys import ALERTS_KEY
from airflow_provider_migration.progress import MigrationProgress, MigrationState
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport.limiter import call_limits
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.migration import LAST_XCOM_SECONDS, XCOM_SECONDS, MigrationTrigger
from airflow_provider_migration.triggers.sharing import SharedHook, seconds_to_next_slot
from airflow_provider_migration.wait.alerts import AlertState, states_to_json
from airflow_provider_migration.wait.outbox import XComOutbox, points_of
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import History, Outcome, Verdict, WaitTracker
from tests import notifiers
from tests.servers import Server, http
from tests.simulators import BriefSimulator

DTS = {"service": "dts", "migration_job_id": "dts1", "script": "success", "duration": 100}


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Simulator]]:
    """Start a simulator that plays a migration at a speed, and connect Airflow to it."""
    with ExitStack() as started:

        def start(script: str = "success", speed: float = 1e-9, **more: Any) -> Simulator:
            simulator = started.enter_context(
                BriefSimulator({"migrations": [{**DTS, "script": script}], **more}, speed=speed)
            )
            for conn_id, connection in simulator.connections().items():
                monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
            return simulator

        yield start


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


def trigger(*, timeout: float = 60, job: str = "dts1", **policy: Any) -> MigrationTrigger:
    now = time.time()
    wanted: dict[str, Any] = {"targets": ("caught_up",), "poke_interval": 0.1, **policy}
    return MigrationTrigger(
        hook="airflow_provider_migration.hooks.dts:DtsHook",
        hook_arguments={"dts_conn_id": "dts_default"},
        ids={"migration_job_id": job},
        tracker=WaitTracker(WaitPolicy(started_at=now, deadline=now + timeout, **wanted)).to_json(),
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


async def test_trigger_polls_until_the_target(
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
async def test_first_poll_comes_an_interval_after_the_sensor(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], age: float, is_soon: bool, is_answered: bool
) -> None:
    def own_moment(job: str) -> float:
        return seconds_to_next_slot({"migration_job_id": job}, 3, time.time())

    jobs = [f"dts{number}" for number in range(300)]
    simulator = play(migrations=[{**DTS, "migration_job_id": job} for job in jobs])
    job = next(job for job in jobs if 0.8 < own_moment(job) < 1)
    simulator.jump("dts", job, 150)
    waiting = trigger(poke_interval=3, job=job)
    if is_answered:
        waiting.tracker.progress = MigrationProgress(
            service="dts",
            migration_id=job,
            state=MigrationState.RUNNING,
            observed_at=datetime.fromtimestamp(time.time() - age, UTC),
        )
    errors = 0 if is_answered else 1
    waiting.tracker.history = History(polls=1, poll_errors=errors, polled_at=time.time() - age)
    _, unfinished = await asyncio.wait([asking := asyncio.create_task(event_of(waiting))], timeout=2.2)
    asking.cancel()
    assert (not unfinished) is is_soon


@pytest.mark.parametrize(
    "watch", [{}, {"progress": {"state": "a state of a later version"}}, {"policy": {"targets": None}}]
)
def test_damaged_trigger_fails_alone(
    watch: dict[str, Any],
) -> None:
    arguments = trigger().serialize()[1]
    with pytest.raises(TypeError, match=r"tracker of the trigger cannot be read: \S"):
        MigrationTrigger(**{**arguments, "tracker": watch and {**arguments["tracker"], **watch}})


async def test_xcom_belongs_to_the_waiting_task(
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


async def test_history_continues_across_triggerers(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.time() - 3600
    left = [[before, 10.0, None], [before + 1800, 20.0, None]]
    monkeypatch.setattr(migration.XCom, "get_one", lambda **key: left if key == asked else None)
    asked = {"key": "migration_history", **(started := trigger()).task_key}
    play().jump("dts", "dts1", 150)
    started.tracker.outbox.points = points_of(left[:1])
    started.tracker.history = History(polled_at=before)
    assert (await event_of(started))["points"][:2] == left


@pytest.mark.parametrize(
    ("age", "outcome"),
    [
        (1, "done"),  # the trigger itself comes first after the sensor's poll
        (29, "done"),
        (31, "timeout"),  # another trigger may have polled since, and have seen that the target was left
        (100, "timeout"),
        (-5, "timeout"),
    ],
)
async def test_rebuilt_trigger_counts_observed_time_only(
    age: float, outcome: str, play: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration.XCom, "set", lambda **_: None)
    monkeypatch.setattr(migration.XCom, "get_one", lambda **_: None)
    play().jump("dts", "dts1", 150)
    started = trigger(timeout=0.5, poke_interval=60, hold_for=0.1)
    since = time.time() - age
    started.tracker.policy = replace(started.tracker.policy, hold_for=0.4 + abs(age))
    started.tracker.history = History(
        polls=1, polled_at=since, answered_at=since, held_since=since, last_seen="an answer"
    )
    event = await event_of(started)
    assert event["outcome"] == outcome


async def test_rebuilt_trigger_overwrites_the_last_record(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration.XCom, "get_one", lambda **key: [[1.0, 50.0, None]])
    play().jump("dts", "dts1", 50)
    waited = trigger(timeout=1)
    first = (await event_of(waited))["progress"]
    shown.clear()
    # The trigger is made again as it was an hour ago: to it the record is what it was.
    again = trigger(timeout=1)
    again.tracker.policy = replace(again.tracker.policy, started_at=time.time() - 3600)
    again.tracker.progress = MigrationProgress.model_validate(first)
    again.tracker.outbox = XComOutbox(written={"migration_progress": (1, 1)}, changes=1)
    event = await event_of(again)
    assert records(shown)[0]["state"] == first["state"]
    assert event["points"][0] == [1, 50, None]


async def test_unreadable_history_is_restarted(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(migration.XCom, "get_one", refuse)
    play().jump("dts", "dts1", 150)
    started = trigger()
    started.tracker.outbox.points = [(1.0, 10.0, None)]
    event = await event_of(started)
    assert (event["outcome"], len(event["points"])) == ("done", 2)


async def test_unchanged_record_is_written_first_and_last(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    simulator = play()
    simulator.jump("dts", "dts1", 50)
    assert (await event_of(trigger(timeout=1)))["outcome"] == "timeout"
    assert len(simulator.requests) > 3
    assert [record["percent"] for record in records(shown)] == [67, 67]
    assert [wait["outcome"] for wait in waits(shown)] == [None, "timeout"]


async def test_deadline_makes_one_last_poll(
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


async def test_deadline_poll_may_reach_the_target(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play().jump("dts", "dts1", 150)
    assert (await event_of(trigger(timeout=0.2, poke_interval=60)))["outcome"] == "done"


@pytest.mark.parametrize(
    ("into_the_interval", "least", "pause"), [(0, 0, 60), (20, 0, 40), (20, 30, 40), (40, 30, 80), (59, 0, 1)]
)
def test_poll_comes_at_the_slot_of_its_migration(
    into_the_interval: float, least: float, pause: float
) -> None:
    waiting = trigger(timeout=3600, poke_interval=60)
    watch = waiting.tracker
    now = watch.policy.started_at
    moment = now + seconds_to_next_slot(waiting.ids, 60, now)
    assert waiting._pause(watch, least, moment + into_the_interval) == pytest.approx(pause, abs=0.01)


@pytest.mark.parametrize(("interval", "longest"), [(5, 60), (30, 60), (60, 90), (300, 450)])
def test_retry_after_is_waited_for_without_another_slot(interval: float, longest: float) -> None:
    waiting = trigger(timeout=3600, poke_interval=interval)
    tracker = waiting.tracker
    now = tracker.policy.started_at
    for _ in range(10):
        tracker.fail_poll(MigrationThrottledError("slow down", retry_after=60), now)
        pause = waiting._pause(tracker, interval / 2, now)
        assert 60 <= pause <= longest
        now += pause


@pytest.mark.parametrize(("interval", "backoff"), [(0, False), (60, True)])
def test_backoff_sets_the_pace(interval: float, backoff: bool) -> None:
    waiting = trigger(timeout=3600, poke_interval=interval, exponential_backoff=backoff)
    watch = waiting.tracker
    now = watch.policy.started_at
    assert waiting._pause(watch, 0, now) == watch.next_poll_in(now)


async def test_deadline_passed_without_a_triggerer_is_kept(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play().jump("dts", "dts1", 50)
    assert (await event_of(trigger(timeout=-3600)))["outcome"] == "timeout"


async def test_failed_migration_is_reported_with_its_record(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play("precheck_failure").jump("dts", "dts1", 90)
    event = await event_of(trigger())
    assert event["outcome"] == "fail"
    assert event["progress"]["error"]["code"] == "PrecheckFailed"


async def test_final_error_ends_the_wait(play: Callable[..., Simulator], shown: list[dict[str, Any]]) -> None:
    simulator = play()
    event = await event_of(trigger(job="dts9"))
    assert (event["outcome"], event["error"]["type"]) == ("poll_error", "MigrationNotFoundError")
    # DTS is asked with both of its calls.
    assert [asked.action for asked in simulator.requests] == [
        "DescribeMigrationJobStatus",
        # Migrations and synchronizations, by the id of an instance, then of a job.
        *["DescribeDtsJobs"] * 4,
    ]


async def test_failed_polls_are_tolerated_up_to_max_poll_errors(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_wait(seconds: float) -> None: ...

    monkeypatch.setattr(MigrationHook, "clock", Clock(async_sleep=no_wait))
    play().stop()
    event = await event_of(trigger(max_poll_errors=1))
    assert event["outcome"] == "poll_error"
    assert event["error"]["type"] == "MigrationServiceError"
    assert "failed 2 times in a row" in event["reason"]
    assert [(wait["poll_errors"], wait["outcome"]) for wait in waits(shown)] == [(1, None), (2, "poll_error")]
    assert event["error"]["message"] in event["wait"]["reason"]
    assert event["wait"] == waits(shown)[-1]


async def test_missing_connection_is_named(shown: list[dict[str, Any]]) -> None:
    event = await event_of(trigger())
    assert event["error"]["type"] == "MigrationConnectionNotFoundError"
    assert "'dts_default'" in event["error"]["message"]


async def test_unreadable_connection_is_polled_again(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    play().jump("dts", "dts1", 150)
    connection = os.environ["AIRFLOW_CONN_DTS_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_DTS_DEFAULT")
    waiting = trigger(poke_interval=0.2)
    waiting.tracker.history = History(polls=1, last_seen="an answer")
    event = asyncio.create_task(event_of(waiting))
    async with asyncio.timeout(30):
        while not waits(shown):  # a busy machine is late
            await asyncio.sleep(0.1)
    assert not event.done()
    assert "'dts_default'" in waits(shown)[0]["last_error"]
    monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", connection)
    assert (await event)["outcome"] == "done"


async def test_unreadable_connection_is_named_in_the_end(
    shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = trigger(max_poll_errors=1)
    waiting.tracker.history = History(polls=1, last_seen="an answer")
    event = await event_of(waiting)
    assert event["outcome"] == "poll_error"
    assert "failed 2 times in a row" in event["reason"]
    assert event["error"]["type"] == "MigrationConnectionNotFoundError"


async def test_failed_write_does_not_end_the_wait(
    play: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(migration.XCom, "set", refuse)
    play(speed=100)
    assert (await event_of(trigger()))["outcome"] == "done"


async def test_triggers_share_connections_and_close_them(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play(speed=100)
    before = len(asyncio.all_tasks())
    events = await asyncio.gather(*(event_of(trigger()) for _ in range(20)))
    assert {event["outcome"] for event in events} == {"done"}
    assert len(asyncio.all_tasks()) == before


# --- the deadline -----------------------------------------------------------------------------------------

LAST_STATE = MigrationProgress(
    service="dts",
    migration_id="dts1",
    state=MigrationState.RUNNING,
    percent=40,
    observed_at=datetime.now(UTC),
)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten what a trigger waits for after its deadline, and return how many seconds it is then."""
    monkeypatch.setattr(migration, "MAX_LAST_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(migration, "LAST_ANSWER_MARGIN", 0.5)
    monkeypatch.setattr(migration, "LAST_XCOM_SECONDS", 0.2)
    return 1.0


def connect(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    connection = {
        "conn_type": "alibaba_dts",
        "host": server.url,
        "login": "some-key",
        "password": "some-secret",
        "extra": {"region": "cn-hangzhou"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", json.dumps(connection))


@pytest.mark.parametrize("count", [20, 200])
async def test_deadline_holds_for_many_triggers_while_the_service_asks_to_wait(
    shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, short_patience: float, count: int
) -> None:
    with Server([http(429, headers={"retry-after": "60"})]) as server:
        connect(monkeypatch, server)
        started = time.monotonic()
        triggers = [trigger(timeout=2, job=f"dts{n}", poke_interval=1) for n in range(count)]
        for waiting in triggers:
            waiting.tracker.progress = LAST_STATE
        events = await asyncio.gather(*map(event_of, triggers))
    # A poll of 200 takes a busy machine longer than it takes one that is not.
    assert time.monotonic() - started < 2 + short_patience + 5
    assert {event["outcome"] for event in events} == {"timeout"}
    assert {event["progress"]["percent"] for event in events} == {40}
    assert all("dts dts1: running 40 %" in event["reason"] for event in events)


async def test_deadline_holds_while_an_answer_does_not_come(
    shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, short_patience: float
) -> None:
    with Server([http(then="hold"), http(then="hold")]) as server:
        connect(monkeypatch, server)
        monkeypatch.setattr(server, "replies", [replace(http(), pieces=(), then="hold")])
        event = await asyncio.wait_for(event_of(trigger(timeout=0.5)), 0.5 + short_patience + 2)
    assert event["outcome"] == "timeout"
    assert "no answer yet" in event["reason"]


async def test_deadline_holds_while_the_connection_is_looked_up(
    shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, short_patience: float
) -> None:
    monkeypatch.setattr(migration, "LAST_ANSWER_SECONDS", 0.1)
    looked_up = threading.Event()
    monkeypatch.setattr(MigrationHook, "_look_up", lambda *arguments: looked_up.wait(20))
    try:
        event = await asyncio.wait_for(event_of(trigger(timeout=0.3)), 3)
    finally:
        looked_up.set()
    assert event["outcome"] == "timeout"
    assert event["reason"].endswith("The last poll did not end in time.")


@pytest.mark.parametrize(("seconds", "outcome"), [(150, "done"), (50, "timeout")])
async def test_hanging_xcom_does_not_delay_the_verdict(
    play: Callable[..., Simulator],
    monkeypatch: pytest.MonkeyPatch,
    short_patience: float,
    seconds: float,
    outcome: str,
) -> None:
    written = threading.Event()
    monkeypatch.setattr(migration.XCom, "set", lambda **arguments: written.wait(20))
    monkeypatch.setattr(migration, "XCOM_SECONDS", 0.2)
    play().jump("dts", "dts1", seconds)
    try:
        event = await asyncio.wait_for(event_of(trigger(timeout=1)), 5)
    finally:
        written.set()
    assert event["outcome"] == outcome


@pytest.mark.parametrize(
    ("left", "outcome", "seconds"),
    [
        (600, Outcome.DONE, XCOM_SECONDS),
        (8, Outcome.DONE, 8),
        (1, Outcome.DONE, LAST_XCOM_SECONDS),
        (-20, Outcome.TIMEOUT, LAST_XCOM_SECONDS),
        (1, Outcome.WAIT, XCOM_SECONDS),
    ],
)
async def test_last_write_to_xcom_gets_the_remaining_time(
    left: float, outcome: Outcome, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    async def write(
        self: MigrationTrigger, tracker: WaitTracker, due: dict[str, Any], seconds: float
    ) -> None:
        given.append(seconds)

    waiting = trigger()
    now = waiting.tracker.policy.deadline - left
    monkeypatch.setattr(MigrationTrigger, "_write", write)
    monkeypatch.setattr(migration, "time", SimpleNamespace(time=lambda: now))
    await waiting._publish(waiting.tracker, Verdict(outcome), None)
    assert given == [pytest.approx(seconds)]


async def test_hanging_xcom_write_is_cut_off_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, short_patience: float, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, released = [], threading.Event()

    def hang(key: str, **_: Any) -> None:
        begun.append(key)
        released.wait(20)

    monkeypatch.setattr(migration.XCom, "set", hang)
    waiting = trigger(timeout=-1)
    waiting.tracker.observe(LAST_STATE, time.time())
    try:
        await asyncio.wait_for(waiting._publish(waiting.tracker, Verdict(Outcome.TIMEOUT), None), 15)
    finally:
        released.set()
    assert len(begun) == 1
    assert waiting.tracker.outbox.written == {}
    assert capsys.readouterr().out.count("XCom is not written: no answer from Airflow within 0.2 s.") == 1


async def test_poll_gets_its_limits(
    play: Callable[..., Simulator], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def poll(shared: Any, ids: Any, arguments: Any) -> MigrationProgress:
        seen.append(call_limits.get())
        return LAST_STATE.model_copy(update={"state": MigrationState.CAUGHT_UP})

    monkeypatch.setattr(SharedHook, "poll", poll)
    play()
    await event_of(trigger(timeout=60, poke_interval=0.2))
    assert seen[0].queue_seconds == 60
    assert seen[0].deadline == pytest.approx(time.monotonic() + 60, abs=5)
    assert call_limits.get().queue_seconds == float("inf")


async def test_hold_for_restarts_after_a_long_gap(
    play: Callable[..., Simulator], shown: list[dict[str, Any]]
) -> None:
    play().jump("dts", "dts1", 150)
    waiting = trigger(timeout=0.6, hold_for=600)
    hours_ago = time.time() - 7200
    waiting.tracker.history = History(
        polls=5, polled_at=hours_ago, answered_at=hours_ago, held_since=hours_ago - 60, last_seen="x"
    )
    event = await event_of(waiting)
    assert event["outcome"] == "timeout"
    assert "must hold for 600 s" in event["reason"]
    assert event["wait"]["held_since"] > hours_ago + 7000


async def test_warnings_are_logged_once(
    play: Callable[..., Simulator],
    shown: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def poll(shared: Any, ids: Any, arguments: Any) -> MigrationProgress:
        return LAST_STATE.model_copy(update={"warnings": ("the list of objects was refused",)})

    monkeypatch.setattr(SharedHook, "poll", poll)
    play()
    event = await event_of(trigger(timeout=0.5))
    assert event["wait"]["warnings"] == ["the list of objects was refused"]
    assert capsys.readouterr().out.count("the list of objects was refused") == 1


@pytest.mark.skipif(
    not can_look_up_beside_others(), reason="before Airflow 3.3.2 look-ups of connections wait for XCom too"
)
@pytest.mark.parametrize("answer", ["late", "never readable"])
async def test_alerts_wait_until_it_is_known_what_was_sent(
    play: Callable[..., Simulator],
    shown: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    """A triggerer that has just started answers late; the polls go on, and no message is repeated."""
    paused = MigrationAlert("paused", notifiers.SyncNotifier)
    sent = {"alerts": states_to_json({paused.key: AlertState(1e9, is_sent=True)}), "figures": None}
    released = threading.Event()

    def read(key: str, **_: Any) -> Any:
        if key != ALERTS_KEY:
            return None
        released.wait(20)
        if answer == "late":
            return sent
        raise ConnectionError("the database is away")

    monkeypatch.setattr(migration.XCom, "get_one", read)
    monkeypatch.setattr(migration, "XCOM_SECONDS", 0.1)
    notifiers.TOLD.clear()
    simulator = play("paused")
    simulator.jump("dts", "dts1", 60)
    waiting = trigger(alerts=(paused.to_json(),))
    waiting.tracker.history = History(polls=1, polled_at=time.time() - 3600)
    task = asyncio.create_task(event_of(waiting))

    async def polls(count: int) -> None:
        before = len(simulator.requests)
        while len(simulator.requests) < before + count:
            await asyncio.sleep(0.05)

    try:
        async with asyncio.timeout(20):
            await polls(3)
            assert notifiers.TOLD == []
            released.set()
            await polls(3)
            assert len(notifiers.TOLD) == (0 if answer == "late" else 1)
            simulator.jump("dts", "dts1", 20)
            while ("SyncNotifier", "paused over") not in notifiers.TOLD:
                await asyncio.sleep(0.05)
            assert len(notifiers.TOLD) == (1 if answer == "late" else 2)
    finally:
        released.set()
        task.cancel()
    log = capsys.readouterr().out
    assert log.count("XCom migration_alerts is not read: no answer from Airflow within 0.1 s.") == 1
    assert ("may be sent a second time: ConnectionError" in log) is (answer != "late")


async def test_cancelled_trigger_ends_quietly(
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
