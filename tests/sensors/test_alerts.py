"""Alerts of the sensors: the same messages in every mode, each once, also across restarts of a triggerer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationFailedError,
    MigrationServiceError,
)
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.notifications import delivery
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.migration import MigrationTrigger
from airflow_provider_migration.triggers.sharing import REUSE_SECONDS
from tests import notifiers

SENSORS: dict[str, tuple[type[MigrationSensor], dict[str, Any]]] = {
    "dts": (DtsMigrationJobSensor, {"migration_job_id": "dts1"}),
    "oms": (OmsProjectSensor, {"project_id": "p_1"}),
    "drs": (DrsProgressSensor, {"job_id": "job-1"}),
}
TEXT = "{{ alert.when }} {{ 'over' if alert.is_over else 'begins' }} {{ record.state if record }}"


def alert(when: str, **more: Any) -> MigrationAlert:
    return MigrationAlert(
        when, "tests.notifiers.AsyncNotifier", **{"notifier_kwargs": {"text": TEXT}, **more}
    )


def told() -> list[str]:
    return [text.removeprefix("async ") for _, text in notifiers.TOLD]


@pytest.fixture(autouse=True)
def nobody_was_told() -> None:
    notifiers.TOLD.clear()


@pytest.fixture
def xcom(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for XCom as a triggerer reads and writes it."""
    stored: dict[str, Any] = {}
    monkeypatch.setattr(
        migration.XCom, "set", lambda key, value, **_: stored.__setitem__(key, json.loads(json.dumps(value)))
    )
    monkeypatch.setattr(migration.XCom, "get_one", lambda key, **_: stored.get(key))
    return stored


Watch = Callable[..., str]


@pytest.fixture(params=["poke", "reschedule", "deferrable", "restarted"])
def watch(
    request: pytest.FixtureRequest,
    context: Any,
    next_poll: Callable[[Any], Any],
    xcom: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Watch:
    """
    Poll a migration once at each of some seconds of its script, in each mode.

    ``restarted`` is the deferrable mode with a triggerer that is killed after each poll. Return how the task
    ended, or "waits".
    """

    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr(MigrationHook, "clock", Clock(sleep=lambda seconds: None, async_sleep=at_once))
    mode = request.param

    def run(make: Callable[..., MigrationSensor], moves: list[Callable[[], Any]]) -> str:
        moves[0]()
        sensor, now = (
            make(**({"mode": mode} if mode in ("poke", "reschedule") else {"deferrable": True})),
            context,
        )
        try:
            if mode in ("poke", "reschedule"):
                result = sensor.poke(now)
                for move in moves[1:]:
                    if result:
                        break
                    move()
                    if mode == "reschedule":
                        sensor, now = make(mode=mode), next_poll(now)
                    result = sensor.poke(now)
                return "done" if result else "waits"
            try:
                sensor.execute(now)
                return "done"
            except TaskDeferred as deferred:
                trigger = deferred.trigger
            assert isinstance(trigger, MigrationTrigger)
            event = asyncio.run(events(trigger, moves[1:], is_restarted=mode == "restarted"))
            if event is None:
                return "waits"
            later = make(deferrable=True)
            later.execute_complete(now, event)
            return "done"
        except (MigrationFailedError, AirflowSensorTimeout) as error:
            return type(error).__name__

    async def events(trigger: MigrationTrigger, moves: list[Callable[[], Any]], *, is_restarted: bool) -> Any:
        """Let triggers poll once after each move; return the event, or None if the wait goes on."""
        kwargs = trigger.serialize()[1]
        kwargs["tracker"]["history"]["polled_at"] -= 3600 if is_restarted else 0
        left, is_over = list(moves), asyncio.Event()

        def pause(self: MigrationTrigger, *_: Any) -> float:
            if not left or (is_restarted and self.tracker.history.polls > polls_before):
                is_over.set()
                return 60
            left.pop(0)()
            return 2 * REUSE_SECONDS

        monkeypatch.setattr(MigrationTrigger, "_pause", pause)
        polls_before = kwargs["tracker"]["history"]["polls"]
        while left:
            is_over.clear()
            running = asyncio.ensure_future(anext(MigrationTrigger(**json.loads(json.dumps(kwargs))).run()))
            over = asyncio.ensure_future(is_over.wait())
            await asyncio.wait([running, over], return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            await asyncio.sleep(0.1)  # the messages are on their way
            if running.done():
                return running.result().payload
            running.cancel()
        return None

    return run


def sensor_of(service: str, *alerts: MigrationAlert, **more: Any) -> Callable[..., MigrationSensor]:
    kind, ids = SENSORS[service]
    return lambda **mode: kind(task_id="wait", poke_interval=60, alerts=list(alerts), **ids, **more, **mode)


def scripted(service: str, script: str) -> dict[str, Any]:
    return {"service": service, **SENSORS[service][1], "script": script, "duration": 100}


@pytest.mark.parametrize("service", SENSORS)
def test_pause_is_told_once_when_it_begins_and_once_when_it_ends(
    play: Callable[..., Simulator], watch: Watch, service: str
) -> None:
    simulator = play(scripted(service, "pause"))
    (migration_id,) = SENSORS[service][1].values()

    def at(second: float) -> Callable[[], Any]:
        return lambda: simulator.jump(service, migration_id, second)

    moves = [at(20), at(52), at(53), at(54), at(90), at(95)]
    assert watch(sensor_of(service, alert("paused"), target_status="succeeded"), moves) == "waits"
    assert told() == ["paused begins paused", "paused over running"]


def test_pause_at_the_first_poll_is_told_by_the_worker(play: Callable[..., Simulator], watch: Watch) -> None:
    simulator = play(scripted("dts", "pause"))
    moves: list[Callable[[], Any]] = [
        lambda: simulator.jump("dts", "dts1", 52),
        lambda: simulator.jump("dts", "dts1", 53),
        lambda: simulator.jump("dts", "dts1", 90),
    ]
    assert watch(sensor_of("dts", alert("paused")), moves) == "waits"
    assert told() == ["paused begins paused", "paused over running"]


def test_pause_without_resolve_is_told_when_it_begins(play: Callable[..., Simulator], watch: Watch) -> None:
    simulator = play(scripted("dts", "pause"))
    moves = [partial(simulator.jump, "dts", "dts1", second) for second in (20, 52, 90, 52, 53)]
    assert watch(sensor_of("dts", alert("paused", resolve=False)), moves) == "waits"
    assert told() == ["paused begins paused"] * 2


def test_failing_polls_are_told_until_one_is_answered(play: Callable[..., Simulator], watch: Watch) -> None:
    simulator = play(scripted("dts", "success"))

    def fail() -> None:
        simulator.set_faults({"kind": "server_error", "rate": 1.0})

    moves = [lambda: simulator.jump("dts", "dts1", 20), fail, lambda: None, simulator.set_faults]
    assert watch(sensor_of("dts", alert("polls_failing"), alert("paused")), moves) == "waits"
    assert told() == ["polls_failing begins running", "polls_failing over running"]


@pytest.mark.parametrize(
    ("script", "seconds", "ending", "expected"),
    [
        ("success", (20, 150), "done", ["reached begins caught_up"]),
        ("failure", (20, 70), "MigrationFailedError", ["failed begins failed"]),
        ("stopped", (20, 70), "MigrationFailedError", ["failed begins cancelled"]),
        ("success", (150,), "done", ["reached begins caught_up"]),
        ("failure", (70,), "MigrationFailedError", ["failed begins failed"]),
    ],
)
def test_end_of_the_wait_is_told_whatever_after(
    play: Callable[..., Simulator],
    watch: Watch,
    script: str,
    seconds: tuple[float, ...],
    ending: str,
    expected: list[str],
) -> None:
    simulator = play(scripted("dts", script))
    moves = [lambda second=second: simulator.jump("dts", "dts1", second) for second in seconds]
    both = (alert("reached", after=600), alert("failed", after=600), alert("stalled", after=600))
    assert watch(sensor_of("dts", *both), moves) == ending
    assert told() == expected


def test_failure_that_recovers_within_its_grace_is_told_and_taken_back(
    play: Callable[..., Simulator], watch: Watch
) -> None:
    simulator = play(
        {
            "service": "dts",
            "migration_job_id": "dts1",
            "script": "success",
            "duration": 100,
            "steps": [
                {"at": 40, "MigrationJobStatus": "MigrationFailed"},
                {"at": 60, "MigrationJobStatus": "Migrating"},
            ],
        }
    )
    moves = [lambda second=second: simulator.jump("dts", "dts1", second) for second in (20, 45, 50, 65)]
    assert watch(sensor_of("dts", alert("failed"), failure_grace=3600), moves) == "waits"
    assert told() == ["failed begins failed", "failed over running"]


def test_broken_notifier_changes_no_verdict(play: Callable[..., Simulator], watch: Watch) -> None:
    simulator = play(scripted("dts", "success"))
    broken = MigrationAlert("reached", "tests.notifiers.FailingNotifier")
    moves = [lambda second=second: simulator.jump("dts", "dts1", second) for second in (20, 150)]
    assert watch(sensor_of("dts", broken, alert("reached")), moves) == "done"
    assert told() == ["reached begins caught_up"]


def test_answer_that_is_too_old_is_not_told_as_reached(
    play: Callable[..., Simulator], context: Any, xcom: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that resumes late asks again: what no longer holds was never told."""
    simulator = play(scripted("dts", "success"))
    simulator.jump("dts", "dts1", 20)
    sensor = sensor_of("dts", alert("reached"), alert("failed"))(deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    simulator.jump("dts", "dts1", 150)
    monkeypatch.setattr(MigrationTrigger, "_pause", lambda *_: 0)
    event = asyncio.run(one_event(deferred.value.trigger))
    assert event["outcome"] == "done"
    event["progress"]["observed_at"] = "2026-01-01T00:00:00Z"
    simulator.jump("dts", "dts1", 20)
    with pytest.raises(TaskDeferred):
        sensor.execute_complete(context, event)
    assert told() == []


async def one_event(trigger: Any) -> Any:
    return (await anext(trigger.run())).payload


@pytest.mark.parametrize("retries", [0, 1])
def test_poll_error_that_airflow_retries_is_not_the_end(
    play: Callable[..., Simulator], watch: Watch, context: Any, retries: int
) -> None:
    play(scripted("dts", "success")).set_faults({"kind": "server_error"})
    context["ti"].max_tries = retries
    make = sensor_of("dts", alert("failed"), alert("polls_failing", after=600), max_poll_errors=0)
    with pytest.raises(MigrationServiceError):
        watch(make, [lambda: None])
    assert sorted(told()) == ([] if retries else ["failed begins ", "polls_failing begins "])


@pytest.mark.parametrize("is_sent", [False, True])
def test_wait_that_no_triggerer_ended_is_told(
    play: Callable[..., Simulator], context: Any, xcom: dict[str, Any], is_sent: bool
) -> None:
    simulator = play(scripted("dts", "failure"))
    simulator.jump("dts", "dts1", 70 if is_sent else 20)
    sensor = sensor_of("dts", alert("failed"), failure_grace=3600)(deferrable=True)
    with pytest.raises(TaskDeferred):
        sensor.execute(context)
    ti = context["ti"]
    ti.xcom_pull = lambda task_ids, key: ti.xcom.get(key)
    with pytest.raises(Exception, match="Trigger timeout"):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert told() == ["failed begins failed" if is_sent else "failed begins running"]


def test_store_that_cannot_be_written_holds_the_message_back(
    play: Callable[..., Simulator], context: Any, next_poll: Callable[[Any], Any]
) -> None:
    """Otherwise each poll of a rescheduled task would send it again."""
    simulator = play(scripted("dts", "paused"))
    simulator.jump("dts", "dts1", 70)
    make = sensor_of("dts", alert("paused"))

    class Full(dict[str, Any]):
        def set(self, key: str, value: Any) -> None:
            raise OSError("disk full")

    for store in (Full(), Full(), context["task_state_store"], context["task_state_store"]):
        make(mode="reschedule").poke({**next_poll(context), "task_state_store": store})
        assert told() == ([] if isinstance(store, Full) else ["paused begins paused"])


def test_rescheduled_task_without_a_store_refuses_what_it_would_repeat(
    play: Callable[..., Simulator], context: Any
) -> None:
    simulator = play(scripted("dts", "success"))
    before_33 = {**context, "task_state_store": None}
    make = sensor_of("dts", alert("reached"), alert("paused"))
    with pytest.raises(MigrationConfigurationError, match=r"'paused': before 3.3 .* Use deferrable=True"):
        make(mode="reschedule").poke(before_33)
    assert simulator.requests == []
    simulator.jump("dts", "dts1", 150)
    assert sensor_of("dts", alert("reached"))(mode="reschedule").poke(before_33)
    assert told() == ["reached begins caught_up"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"alerts": "paused"}, "alerts must be a list of MigrationAlert, not 'paused'"),
        ({"alerts": ["paused"]}, r"alerts must contain only MigrationAlert\(…\), not 'paused'"),
        ({"alerts": [alert("paused"), alert("paused")]}, "'paused'. is given twice"),
        ({"alerts": [alert("stalled", after=60)]}, "after=60, which must be more than the 60 s between"),
        ({"alerts": None}, "alerts must be a list"),
    ],
)
def test_wrong_alerts_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=f"^DtsMigrationJobSensor 'wait': .*{problem}"):
        DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", **arguments)


def test_dataworks_has_neither_lag_nor_check(context: Any, play: Callable[..., Simulator]) -> None:
    ids = {"task_id": "wait", "project_id": 1, "migration_id": 2}
    with pytest.raises(MigrationConfigurationError, match="'lag_above', and migrations of this service"):
        DataWorksMigrationSensor(alerts=[alert("lag_above", above=60)], **ids)
    play()
    with pytest.raises(MigrationConfigurationError, match="'verification_failed', and this service has no"):
        DataWorksMigrationSensor(alerts=[alert("verification_failed")], **ids).poke(context)


def test_notifier_is_checked_before_the_first_request(play: Callable[..., Simulator], context: Any) -> None:
    simulator = play(scripted("dts", "success"))
    gone = MigrationAlert("paused", "tests.notifiers.GoneNotifier")
    with pytest.raises(MigrationConfigurationError, match=r"'wait': notifier .* cannot be imported"):
        sensor_of("dts", gone)().poke(context)
    assert simulator.requests == []


@pytest.mark.parametrize("wants", [True, False])
def test_alert_about_the_check_asks_for_the_check(
    play: Callable[..., Simulator], watch: Watch, wants: bool
) -> None:
    simulator = play(
        {**scripted("dts", "success"), "verification": {"outcome": "different", "tables": 4, "different": 1}}
    )
    moves = [lambda second=second: simulator.jump("dts", "dts1", second) for second in (20, 120)]
    alerts = [alert("verification_failed" if wants else "paused")]
    assert watch(sensor_of("dts", *alerts, target_status="succeeded", max_lag=300), moves) == "waits"
    assert told() == (["verification_failed begins caught_up"] if wants else [])
    assert any("DescribeDtsJobs" in str(request) for request in simulator.requests) is wants


def test_slow_message_does_not_move_the_next_poll(
    play: Callable[..., Simulator], context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = play(scripted("dts", "paused"))
    simulator.jump("dts", "dts1", 70)
    monkeypatch.setattr(delivery, "SEND_SECONDS", 0.4)
    notifiers.RELEASED.clear()
    sensor = sensor_of("dts", MigrationAlert("paused", "tests.notifiers.HangingNotifier"))()
    sensor.poke(context)
    notifiers.RELEASED.set()
    assert 59 < sensor._get_next_poke_interval(0.0, lambda: 0.0, 1) < 59.7
    sensor.poke(context)
    assert sensor._get_next_poke_interval(0.0, lambda: 0.0, 1) == 60


def deferred_by(sensor: MigrationSensor, context: Any) -> dict[str, Any]:
    """Return the arguments of the trigger to which a sensor hands its wait over."""
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    kwargs: dict[str, Any] = deferred.value.trigger.serialize()[1]
    return kwargs


def run_and_kill(kwargs: dict[str, Any], moves: list[Callable[[], Any]], patch: pytest.MonkeyPatch) -> None:
    """Let a trigger poll once after each move, and then kill it."""
    left = list(moves)

    def pause(self: MigrationTrigger, *_: Any) -> float:
        if not left:
            return 60
        left.pop(0)()
        return 2 * REUSE_SECONDS

    patch.setattr(MigrationTrigger, "_pause", pause)

    async def run() -> None:
        trigger = MigrationTrigger(**json.loads(json.dumps(kwargs)))
        before = trigger.tracker.history.polls
        running = asyncio.ensure_future(anext(trigger.run()))
        async with asyncio.timeout(20):
            while trigger.tracker.history.polls < before + len(moves):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)  # the messages are on their way
        running.cancel()

    asyncio.run(run())


def test_triggerer_that_is_killed_at_once_without_a_first_poll_repeats_nothing(
    play: Callable[..., Simulator], context: Any, xcom: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a poll of the sensor, the trigger's first may come, and be told, within the same second."""
    simulator = play(scripted("dts", "paused"))
    simulator.jump("dts", "dts1", 70)
    kwargs = deferred_by(
        sensor_of("dts", alert("paused"), poll_before_deferring=False)(deferrable=True), context
    )
    for _ in range(2):
        run_and_kill(kwargs, [lambda: None], monkeypatch)
        assert told() == ["paused begins paused"]


def test_second_pause_is_told_after_a_restart_without_resolve(
    play: Callable[..., Simulator], context: Any, xcom: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a pause has no message then, and is stored all the same."""
    simulator = play(scripted("dts", "pause"))
    simulator.jump("dts", "dts1", 20)
    kwargs = deferred_by(sensor_of("dts", alert("paused", resolve=False))(deferrable=True), context)
    kwargs["tracker"]["history"]["polled_at"] -= 3600
    begin, end = (lambda second=second: simulator.jump("dts", "dts1", second) for second in (52, 90))
    run_and_kill(kwargs, [begin, end], monkeypatch)
    assert told() == ["paused begins paused"]
    run_and_kill(kwargs, [begin], monkeypatch)
    assert told() == ["paused begins paused"] * 2


def test_poll_error_that_skips_the_task_is_the_end(play: Callable[..., Simulator], context: Any) -> None:
    play(scripted("dts", "success")).set_faults({"kind": "server_error"})
    context["ti"].max_tries = 1
    with pytest.raises(AirflowSkipException):
        sensor_of("dts", alert("failed"), max_poll_errors=0, never_fail=True)().execute(context)
    assert told() == ["failed begins "]


@pytest.mark.parametrize(("retries", "soft_fail"), [(0, False), (1, False), (1, True)])
def test_trigger_that_failed_is_not_told_as_timed_out(
    play: Callable[..., Simulator], context: Any, xcom: dict[str, Any], retries: int, soft_fail: bool
) -> None:
    """Airflow repeats the task if it can: then there is nothing to tell yet."""
    simulator = play(scripted("dts", "success"))
    simulator.jump("dts", "dts1", 20)
    title = alert("failed", notifier_kwargs={"text": "{{ alert.title }}"})
    sensor = sensor_of("dts", title, soft_fail=soft_fail)(deferrable=True)
    deferred_by(sensor, context)
    ti = context["ti"]
    ti.max_tries, ti.xcom_pull = retries, lambda task_ids, key: ti.xcom.get(key)
    ends = AirflowSkipException if soft_fail else Exception
    with pytest.raises(ends, match=r"soft_fail|Trigger failure"):  # the reason of Airflow 2 is the second
        sensor.resume_execution("__fail__", {"error": "Trigger failure"}, context)
    ended = "Wait ended without reaching its target: simulated migration (Alibaba Cloud DTS dts1)"
    assert told() == ([] if retries and not soft_fail else [ended])


def test_failure_in_its_grace_is_not_told_at_each_poll_without_a_store(
    play: Callable[..., Simulator], context: Any, next_poll: Callable[[Any], Any]
) -> None:
    simulator = play(scripted("dts", "failure"))
    simulator.jump("dts", "dts1", 70)
    for grace in (3600, 3600, 0):
        assert told() == []
        try:
            before_33 = {**next_poll(context), "task_state_store": None}
            sensor_of("dts", alert("failed"), failure_grace=grace)(mode="reschedule").poke(before_33)
        except MigrationFailedError:
            assert grace == 0
    assert told() == ["failed begins failed"]


@pytest.mark.usefixtures("without_waiting")
def test_migration_that_is_not_found_yet_is_told_once_per_wait(
    play: Callable[..., Simulator], context: Any, next_poll: Callable[[Any], Any]
) -> None:
    """A deferrable task in reschedule mode is a new process at each poll until it defers."""
    play(scripted("dts", "success")).set_faults({"kind": "server_error"})
    for _ in range(3):
        sensor = DtsMigrationJobSensor(
            task_id="wait",
            migration_name="orders",
            deferrable=True,
            mode="reschedule",
            alerts=[alert("polls_failing")],
        )
        assert not sensor.poke(next_poll(context))
    assert told() == ["polls_failing begins "]


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_deferrable_task_before_33_takes_alerts_in_every_mode(
    play: Callable[..., Simulator], context: Any, mode: str
) -> None:
    simulator = play(scripted("dts", "paused"))
    simulator.jump("dts", "dts1", 70)
    sensor = sensor_of("dts", alert("paused"))(mode=mode, deferrable=True)
    with pytest.raises(TaskDeferred):
        sensor.poke({**context, "task_state_store": None})
    assert told() == ["paused begins paused"]


def test_alert_for_which_no_thread_can_start_does_not_end_the_wait(
    play: Callable[..., Simulator], context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = play(scripted("dts", "paused"))
    simulator.jump("dts", "dts1", 70)
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        if thread.name == "migration-alert":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", full)
    assert sensor_of("dts", alert("paused"))().poke(context) is False


def test_slow_message_leaves_time_for_the_last_poll(play: Callable[..., Simulator], context: Any) -> None:
    """Else Airflow's own timeout would end the wait before the poll at the deadline."""
    simulator = play(scripted("dts", "paused"))
    simulator.jump("dts", "dts1", 70)
    notifiers.RELEASED.clear()
    hanging = MigrationAlert("paused", "tests.notifiers.HangingNotifier")
    sensor = sensor_of("dts", hanging, timeout=2)()
    before = time.monotonic()
    with pytest.raises(AirflowSensorTimeout, match=r"^Timed out: dts dts1: paused"):
        sensor.execute(context)
    notifiers.RELEASED.set()
    assert 1.9 < time.monotonic() - before < 4
