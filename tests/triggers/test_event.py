"""Events of a watched migration."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher, BaseOperator, BaseSensorOperator

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationServiceError
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers import event
from airflow_provider_migration.triggers.event import MigrationEventTrigger
from tests import notifiers
from tests.catalogue import SERVICES, Service, each_service
from tests.conftest import ROOT
from tests.servers import Server, http
from tests.simulators import BriefSimulator

CAUGHT_UP = (ROOT / "tests/samples/dts_describe_migration_job_status.json").read_bytes()
FAR, BEFORE = 150, 50
"""Seconds into a script of 100: at its end, and in the middle of it."""


@pytest.fixture(autouse=True)
def _stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event, "STORING_SECONDS", 0)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Start a simulator with a migration of each service, whose time stands still until a test sets it."""
    check = {"outcome": "repaired"}
    dts = {"service": "dts", "migration_job_id": "dts1", "duration": 100, "verification": check}
    migrations = [dts, *(service.migration(duration=100) for service in SERVICES)]
    with BriefSimulator({"migrations": migrations}, speed=1e-9) as simulator:
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        yield simulator


class Store(dict[str, Any]):
    """As much of an asset's state store as a trigger uses."""

    async def aget(self, key: str) -> Any:
        return self.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self[key] = value

    async def adelete(self, key: str) -> None:
        self.pop(key, None)


class Watching:
    """A trigger that runs as Airflow would run it, from what it is stored as."""

    def __init__(self, trigger: MigrationEventTrigger, store: Any = None) -> None:
        _, stored = trigger.serialize()
        self.trigger = MigrationEventTrigger(**json.loads(json.dumps(stored)))
        self.trigger.asset_state_store = store
        self.payloads: list[dict[str, Any]] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for given in self.trigger.run():
            self.payloads.append(given.payload)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def polls(simulator: Simulator, count: int) -> None:
    """Wait until the service was asked so many times more."""
    before = len(simulator.requests)
    await until(lambda: len(simulator.requests) >= before + count)


Watch = Callable[..., Watching]


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    """Watch a migration until the test ends."""
    started: list[Watching] = []

    def start(
        sensor: type[MigrationSensor] = DtsMigrationJobSensor, store: Any = None, **arguments: Any
    ) -> Watching:
        which = {"migration_job_id": "dts1"} if sensor is DtsMigrationJobSensor else {}
        interval = arguments.pop("poke_interval", 0.1)
        trigger = MigrationEventTrigger.of(sensor, **{**which, **arguments})
        trigger.poke_interval = interval  # shorter than it may be, for the test to be short
        started.append(Watching(trigger, store))
        return started[-1]

    yield start
    for watching in started:
        watching.task.cancel()
    done = await asyncio.gather(*(watching.task for watching in started), return_exceptions=True)
    assert {type(result) for result in done} <= {asyncio.CancelledError}


class TestArguments:
    @each_service
    def test_defaults_are_those_of_the_sensor(self, service: Service) -> None:
        waiting = service.sensor(task_id="wait", **service.ids)
        trigger = MigrationEventTrigger.of(service.sensor, **service.ids)
        own = waiting._hook_arguments()
        assert trigger.hook_arguments == {name: value for name, value in own.items() if value is not None}
        assert trigger.ids == waiting._ids()
        assert trigger.targets == [waiting.target_status]
        assert (trigger.poke_interval, trigger.max_lag, trigger.hold_for) == (
            waiting.poke_interval,
            waiting.max_lag,
            waiting.hold_for,
        )

    def test_connection_and_region_go_to_the_hook(self) -> None:
        trigger = MigrationEventTrigger.of(
            DtsMigrationJobSensor, migration_job_id="dts1", dts_conn_id="other", region="cn-beijing"
        )
        given = {"dts_conn_id": "other", "region": "cn-beijing"}
        assert trigger.hook_arguments == {**given, "api": "DescribeMigrationJobStatus"}

    @pytest.mark.parametrize("damaged", [{"ids": "{"}, {"hook_arguments": ""}])
    def test_damaged_trigger_fails_alone(self, damaged: dict[str, str]) -> None:
        _, stored = MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id="dts1").serialize()
        with pytest.raises(TypeError, match=r"arguments of the trigger cannot be read: \S"):
            MigrationEventTrigger(**{**stored, **damaged})

    def test_object_types_are_serialized_in_a_stable_order(self) -> None:
        trigger = MigrationEventTrigger.of(DrsProgressSensor, job_id="1", object_types={"view", "table"})
        assert trigger.ids["object_types"] == ["table", "view"]

    def test_serialized_trigger_has_no_objects(self) -> None:
        """Airflow before 3.3 does not hand nested objects over as they are."""
        _, stored = MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id="dts1").serialize()
        assert [name for name, value in stored.items() if isinstance(value, dict)] == []

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                {"max_lags": 3},
                "it takes migration_job_id, objects, dts_conn_id, region, api, job_type, target_status, "
                "max_lag, hold_for, poke_interval",
            ),
            ({}, "missing a required argument: 'migration_job_id'; it takes migration_job_id, objects,"),
            ({"migration_job_id": ""}, "migration_job_id is empty"),
            ({"migration_job_id": None}, "migration_job_id is empty"),
            ({"job_id": "dts1"}, "missing a required argument: 'migration_job_id'"),
            ({"migration_job_id": "dts1", "timeout": 60}, "unexpected keyword argument 'timeout'"),
            ({"migration_job_id": "dts1", "target_status": "Finnished"}, "'Finnished' is never reached"),
            ({"migration_job_id": "dts1", "target_status": []}, "target_status is empty"),
            ({"migration_job_id": "dts1", "target_status": 5}, "must be a word or a list of words, not 5"),
            (
                {"migration_job_id": "dts1", "target_status": [["failed"]]},
                "must be a word or a list of words",
            ),
            *(
                (
                    {"migration_job_id": "dts1", "poke_interval": wrong},
                    "poke_interval must be 1 second or more",
                )
                for wrong in (
                    0,
                    0.99,
                    timedelta(milliseconds=999),
                    -1,
                    float("nan"),
                    float("inf"),
                    True,
                    "60",
                )
            ),
            *(
                ({"migration_job_id": "dts1", name: wrong}, f"{name} must be a number of seconds, 0 or more")
                for name in ("max_lag", "hold_for")
                for wrong in (-1, timedelta(seconds=-1), float("nan"), float("inf"), True, "600")
            ),
            *(
                ({"migration_job_id": wrong}, "of DtsMigrationJobSensor: migration_job_id must be a string")
                for wrong in (["dts1"], {"dts1"}, {"id": "dts1"}, b"dts1", True, 1.0, "['dts1']")
            ),
            *(
                ({"migration_job_id": "dts1", "dts_conn_id": wrong}, "dts_conn_id is empty")
                for wrong in ("", "  ", None, "None")
            ),
            ({"migration_job_id": "dts1", "dts_conn_id": ["a"]}, "dts_conn_id must be a string"),
            ({"migration_job_id": "dts1", "region": 1.5}, "region must be a string, not 1.5"),
            ({"migration_job_id": "dts1", "api": "DescribeAll"}, "api must be DescribeMigrationJobStatus or"),
            ({"migration_job_id": "dts1\x00"}, "migration_job_id is not a valid ID"),
        ],
    )
    def test_wrong_argument_is_an_import_error(self, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(MigrationConfigurationError, match=said):
            MigrationEventTrigger.of(DtsMigrationJobSensor, **arguments)

    @pytest.mark.parametrize(
        "template", ["{{ params.x }}", "{% if x %}1{% endif %}", BaseOperator(task_id="make").output]
    )
    @pytest.mark.parametrize(
        "argument",
        [
            "migration_job_id",
            "dts_conn_id",
            "region",
            "api",
            "target_status",
            "max_lag",
            "hold_for",
            "poke_interval",
        ],
    )
    def test_template_is_refused(self, argument: str, template: object) -> None:
        arguments: dict[str, Any] = {"migration_job_id": "dts1", argument: template}
        said = f"{argument} must be a constant, .* no template is rendered"
        with pytest.raises(MigrationConfigurationError, match=said):
            MigrationEventTrigger.of(DtsMigrationJobSensor, **arguments)

    @pytest.mark.parametrize(
        ("sensor", "arguments", "said"),
        [
            (
                DataWorksMigrationSensor,
                {"project_id": "my_workspace", "migration_id": 7},
                "project_id must be a number as DataWorks shows it, not 'my_workspace'",
            ),
            (
                DataWorksMigrationSensor,
                {"project_id": 1, "migration_id": "x"},
                "migration_id must be a number",
            ),
            (DrsProgressSensor, {"job_id": "j", "object_types": ["tables"]}, "'tables' is not known to DRS"),
            (DrsProgressSensor, {"job_id": "j", "object_types": "tables"}, "'tables' is not known to DRS"),
            (DrsProgressSensor, {"job_id": "j", "object_types": [["table"]]}, "a word or a list of words"),
            (DrsProgressSensor, {"job_id": "j", "job_status": "false"}, "job_status must be True or False"),
            (DrsProgressSensor, {"job_id": "j", "job_status": False}, "'caught_up' is never reached"),
            (OmsProjectSensor, {"project_id": ["p_1"]}, "project_id must be a string"),
            (OmsProjectSensor, {"project_id": "p_1", "api": "x"}, "api must be"),
        ],
    )
    def test_wrong_argument_of_a_service_is_an_import_error(
        self, sensor: type[MigrationSensor], arguments: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(MigrationConfigurationError, match=said):
            MigrationEventTrigger.of(sensor, **arguments)

    @pytest.mark.parametrize(
        "sensor",
        [
            DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1"),
            BaseSensorOperator,
            MigrationSensor,
            DtsHook,
            "DtsMigrationJobSensor",
            None,
        ],
    )
    def test_sensor_must_be_a_migration_sensor_class(self, sensor: Any) -> None:
        with pytest.raises(
            MigrationConfigurationError, match="sensor must be the class of a migration sensor"
        ):
            MigrationEventTrigger.of(sensor, migration_job_id="dts1")

    def test_durations_may_be_timedeltas(self) -> None:
        minute = timedelta(minutes=1)
        trigger = MigrationEventTrigger.of(
            DtsMigrationJobSensor,
            migration_job_id="dts1",
            max_lag=minute,
            hold_for=2 * minute,
            poke_interval=3 * minute,
        )
        assert (trigger.max_lag, trigger.hold_for, trigger.poke_interval) == (60, 120, 180)
        assert json.loads(json.dumps(trigger.serialize())) == list(trigger.serialize())

    def test_line_breaks_around_texts_are_stripped(self) -> None:
        spaced, plain = (
            MigrationEventTrigger.of(
                DtsMigrationJobSensor,
                migration_job_id=f"dts1{end}",
                dts_conn_id=f"other{end}",
                target_status=[f"failed{end}"],
            )
            for end in ("\n", "")
        )
        assert spaced.serialize() == plain.serialize()

    def test_targets_are_serialized_in_a_stable_order(self) -> None:
        words = {"failed", "cancelled", "paused", "succeeded"}
        trigger = MigrationEventTrigger.of(
            DtsMigrationJobSensor, migration_job_id="dts1", target_status=words
        )
        assert trigger.targets == sorted(words)

    def test_asset_watcher_accepts_the_trigger(self) -> None:
        trigger = MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id="dts1")
        asset = Asset("caught_up", watchers=[AssetWatcher(name="dts", trigger=trigger)])
        assert json.loads(json.dumps(trigger.serialize())) == list(trigger.serialize())
        assert asset.watchers[0].trigger is trigger


class TestEvents:
    @each_service
    async def test_event_is_sent_once_when_the_target_is_reached(
        self,
        simulator: Simulator,
        watch: Watch,
        service: Service,
    ) -> None:
        name, migration_id = service.name, service.migration_id
        simulator.jump(name, migration_id, BEFORE)
        watching = watch(service.sensor, **service.ids)
        await polls(simulator, 3)
        assert watching.payloads == []
        simulator.jump(name, migration_id, FAR)
        await until(lambda: watching.payloads)
        await polls(simulator, 3)
        (record,) = watching.payloads
        assert (record["service"], record["migration_id"]) == (name, migration_id)
        assert record["state"] in ("caught_up", "succeeded")
        assert json.loads(json.dumps(record)) == record

    async def test_event_is_sent_again_when_the_target_is_reached_again(
        self, simulator: Simulator, watch: Watch
    ) -> None:
        simulator.jump("dts", "dts1", FAR)
        watching = watch()
        await until(lambda: watching.payloads)
        simulator.jump("dts", "dts1", BEFORE)
        await polls(simulator, 3)
        assert len(watching.payloads) == 1
        simulator.jump("dts", "dts1", FAR)
        await until(lambda: len(watching.payloads) == 2)

    async def test_event_waits_for_hold_for(self, simulator: Simulator, watch: Watch) -> None:
        simulator.jump("dts", "dts1", FAR)
        watching = watch(hold_for=1)
        await polls(simulator, 4)
        assert watching.payloads == []
        await until(lambda: watching.payloads)

    async def test_event_waits_for_verified_data(self, simulator: Simulator, watch: Watch) -> None:
        watching = watch(target_status="verified")
        simulator.jump("dts", "dts1", 120)  # in sync, with differences
        await polls(simulator, 4)
        assert watching.payloads == []
        simulator.jump("dts", "dts1", 170)
        await until(lambda: watching.payloads)
        assert watching.payloads[0]["verification"]["state"] == "consistent"

    async def test_event_is_not_sent_for_another_end(self, simulator: Simulator, watch: Watch) -> None:
        simulator.jump("dts", "dts1", FAR)
        watching = watch(target_status=["failed", "cancelled"])
        await polls(simulator, 4)
        assert watching.payloads == []
        assert not watching.task.done()

    async def test_polls_are_shared_between_triggers(self, simulator: Simulator, watch: Watch) -> None:
        simulator.jump("dts", "dts1", BEFORE)
        siblings = [watch(target_status=target, poke_interval=0.5) for target in ("caught_up", "failed") * 5]
        await asyncio.sleep(2)
        assert len(simulator.requests) <= 5
        simulator.jump("dts", "dts1", FAR)
        await until(lambda: all(sibling.payloads for sibling in siblings[::2]))
        assert not any(sibling.payloads for sibling in siblings[1::2])


class TestFailures:
    async def test_failed_polls_send_no_event_and_go_on(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def no_wait(seconds: float) -> None: ...

        monkeypatch.setattr(MigrationHook, "clock", Clock(async_sleep=no_wait))
        with Server([http(503)] * 12 + [http(body=CAUGHT_UP)]) as server:
            connection = {
                "conn_type": "alibaba_dts",
                "host": server.url,
                "login": "some-key",
                "password": "some-secret",
                "extra": {"region": "cn-hangzhou"},
            }
            monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", json.dumps(connection))
            watching = watch()
            await until(lambda: watching.payloads)
        assert watching.payloads[0]["state"] == "caught_up"
        told = capsys.readouterr().out
        assert told.count("failed: ") == told.count("Poll 1 failed: ") == 1
        assert "some-secret" not in told

    async def test_failed_polls_keep_the_pace(
        self, simulator: Simulator, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[float] = []

        async def fail(self: DtsHook, *args: Any, **kwargs: Any) -> Any:
            asked.append(time.monotonic())
            raise MigrationServiceError("out of order")

        monkeypatch.setattr(DtsHook, "aget_progress", fail)
        watch(poke_interval=0.5)
        await until(lambda: len(asked) == 6)
        # A busy machine is late once in a while, but not each time.
        assert min(later - earlier for earlier, later in pairwise(asked)) < 0.75

    async def test_missing_connection_is_polled_again(
        self, simulator: Simulator, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator.jump("dts", "dts1", FAR)
        connection = json.dumps(simulator.connections()["dts_default"])
        watching = watch(dts_conn_id="later")
        await asyncio.sleep(0.5)
        assert watching.payloads == []
        monkeypatch.setenv("AIRFLOW_CONN_LATER", connection)
        await until(lambda: watching.payloads)

    async def test_refusal_is_not_retried_at_once(self, simulator: Simulator, watch: Watch) -> None:
        watching = watch(migration_job_id="dts-of-nobody")
        await until(lambda: simulator.requests)
        await asyncio.sleep(1)
        assert [request.action for request in simulator.requests] == [
            "DescribeMigrationJobStatus",
            # Migrations and synchronizations, by the id of an instance, then of a job.
            *["DescribeDtsJobs"] * 4,
        ]
        assert not watching.task.done()

    async def test_refusal_is_retried_later(
        self, simulator: Simulator, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event, "REFUSED_SECONDS", 0.5)
        simulator.jump("dts", "dts1", FAR)
        right = simulator.connections()["dts_default"]
        monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", json.dumps({**right, "password": "wrong"}))
        watching = watch()
        await until(lambda: simulator.requests)
        monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", json.dumps(right))
        await until(lambda: watching.payloads)

    async def test_unexpected_error_is_logged_and_polling_goes_on(
        self,
        simulator: Simulator,
        watch: Watch,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        ask = DtsHook.aget_progress
        trouble = [RuntimeError("a bug")]

        async def stumble_once(self: DtsHook, *args: Any, **kwargs: Any) -> Any:
            if trouble:
                raise trouble.pop()
            return await ask(self, *args, **kwargs)

        monkeypatch.setattr(DtsHook, "aget_progress", stumble_once)
        simulator.jump("dts", "dts1", FAR)
        watching = watch()
        await until(lambda: watching.payloads)
        assert "a bug" in capsys.readouterr().out


class TestMemory:
    async def test_restart_sends_no_second_event(self, simulator: Simulator, watch: Watch) -> None:
        store = Store()
        simulator.jump("dts", "dts1", FAR)
        first = watch(store=store)
        await until(lambda: store)
        first.task.cancel()
        second = watch(store=store)
        await polls(simulator, 4)
        assert (len(first.payloads), second.payloads) == (1, [])
        simulator.jump("dts", "dts1", BEFORE)
        await until(lambda: not store)
        simulator.jump("dts", "dts1", FAR)
        await until(lambda: second.payloads)

    async def test_memory_is_per_watcher_of_an_asset(self, simulator: Simulator, watch: Watch) -> None:
        store = Store()
        simulator.jump("dts", "dts1", FAR)
        watch(store=store)
        await until(lambda: store)
        other = watch(store=store, max_lag=5)
        await until(lambda: other.payloads)

    async def test_restart_without_a_store_sends_the_event_again(
        self, simulator: Simulator, watch: Watch
    ) -> None:
        class OfSeveralAssets(Store):
            async def aget(self, key: str) -> Any:
                raise ValueError("Task has 2 concrete inlets and outlets")

        simulator.jump("dts", "dts1", FAR)
        watching = [watch(), watch(store=OfSeveralAssets())]
        await until(lambda: all(one.payloads for one in watching))

    async def test_unreadable_store_is_retried(self, simulator: Simulator, watch: Watch) -> None:
        class AwayAtFirst(Store):
            trouble: list[Exception]

            async def aget(self, key: str) -> Any:
                if self.trouble:
                    raise self.trouble.pop()
                return "2026-01-01T00:00:00Z"

        store = AwayAtFirst()
        store.trouble = [ConnectionError("the database is away")]
        simulator.jump("dts", "dts1", FAR)
        watching = watch(store=store)
        await polls(simulator, 4)
        assert (watching.payloads, store.trouble) == ([], [])

    async def test_unwritable_store_is_a_warning(
        self, simulator: Simulator, watch: Watch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class ReadOnly(Store):
            async def aset(self, key: str, value: Any) -> None:
                raise ConnectionError("the database is away")

            async def adelete(self, key: str) -> None:
                raise ConnectionError("the database is away")

        simulator.jump("dts", "dts1", FAR)
        watching = watch(store=ReadOnly())
        await until(lambda: watching.payloads)
        await polls(simulator, 2)
        told = capsys.readouterr().out
        assert "may repeat this event" in told
        assert "may not tell" not in told
        simulator.jump("dts", "dts1", BEFORE)
        await polls(simulator, 3)
        told = capsys.readouterr().out
        assert "may miss the next event" in told
        assert "again" not in told
        assert not watching.task.done()


class TestAlerts:
    @pytest.fixture(autouse=True)
    def _nobody_was_told(self) -> None:
        notifiers.TOLD.clear()

    @staticmethod
    def told() -> list[str]:
        return [text.removeprefix("async ") for _, text in notifiers.TOLD]

    @staticmethod
    def alert(when: str, **more: Any) -> MigrationAlert:
        return MigrationAlert(when, notifiers.AsyncNotifier, **more)

    async def test_reached_and_left_are_told_each_time(self, simulator: Simulator, watch: Watch) -> None:
        alerts = [self.alert("reached"), self.alert("failed", after=3600)]
        watching = watch(alerts=alerts)
        for _ in range(2):
            simulator.jump("dts", "dts1", FAR)
            await until(lambda: len(notifiers.TOLD) % 2)
            await polls(simulator, 3)
            simulator.jump("dts", "dts1", BEFORE)
            await until(lambda: not len(notifiers.TOLD) % 2)
        assert self.told() == ["reached begins", "reached over"] * 2
        assert len(watching.payloads) == 2

    async def test_restarted_triggerer_repeats_no_message(self, simulator: Simulator, watch: Watch) -> None:
        store = Store()
        simulator.jump("dts", "dts1", FAR)
        first = watch(store=store, alerts=[self.alert("reached")])
        await until(lambda: notifiers.TOLD and first.payloads)
        first.task.cancel()
        second = watch(store=store, alerts=[self.alert("reached")])
        await polls(simulator, 3)
        assert self.told() == ["reached begins"]
        assert second.payloads == []
        simulator.jump("dts", "dts1", BEFORE)
        await until(lambda: len(notifiers.TOLD) > 1)
        assert self.told() == ["reached begins", "reached over"]

    async def test_new_alert_repeats_no_event(self, simulator: Simulator, watch: Watch) -> None:
        store = Store()
        simulator.jump("dts", "dts1", FAR)
        first = watch(store=store)
        await until(lambda: first.payloads)
        await until(lambda: store)
        first.task.cancel()
        second = watch(store=store, alerts=[self.alert("reached")])
        await until(lambda: notifiers.TOLD)
        await polls(simulator, 2)
        assert second.payloads == []

    async def test_refused_watcher_says_that_its_polls_fail(
        self, simulator: Simulator, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next poll comes after a quarter of an hour, which must not begin the duration again."""
        monkeypatch.setattr(event, "REFUSED_SECONDS", 0.1)
        monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", "")
        text = "{{ alert.when }} {{ wait.service }} {{ wait.migration_id }}"
        failing = self.alert("polls_failing", notifier_kwargs={"text": text})
        watch(alerts=[failing, self.alert("failed")])
        await until(lambda: notifiers.TOLD)
        # There is no record that could say which migration it is.
        assert self.told() == ["polls_failing dts dts1"]

    async def test_store_that_is_full_silences_nobody(
        self, simulator: Simulator, watch: Watch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Full(Store):
            async def aset(self, key: str, value: Any) -> None:
                raise OSError("disk full")

        simulator.jump("dts", "dts1", FAR)
        watch(store=Full(), alerts=[self.alert("reached")])
        await until(lambda: notifiers.TOLD)
        assert "after a restart it may be sent again: OSError('disk full')" in capsys.readouterr().out

    @pytest.mark.parametrize("stored", ["unreadable", OSError("no answer")])
    async def test_state_that_cannot_be_restored_delays_no_event(
        self, simulator: Simulator, watch: Watch, capsys: pytest.CaptureFixture[str], stored: Any
    ) -> None:
        class Broken(Store):
            async def aget(self, key: str) -> Any:
                if "_alerts_" in key:
                    if isinstance(stored, Exception):
                        raise stored
                    return stored
                return self.get(key)

        simulator.jump("dts", "dts1", FAR)
        watching = watch(store=Broken(), alerts=[self.alert("reached")])
        await until(lambda: notifiers.TOLD and watching.payloads)
        written = capsys.readouterr().out
        assert written.count("an alert may be sent a second time") == 1
        assert "the trigger continues" not in written

    def test_alerts_are_serialized_as_text_and_only_if_given(self) -> None:
        """A triggerer of an older version does not know them."""
        _, without = MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id="dts1").serialize()
        _, stored = MigrationEventTrigger.of(
            DtsMigrationJobSensor, migration_job_id="dts1", alerts=[self.alert("paused")]
        ).serialize()
        assert "alerts" not in without
        assert json.loads(stored["alerts"]) == [self.alert("paused").to_json()]
        assert MigrationEventTrigger(**stored).serialize()[1] == stored

    @pytest.mark.parametrize(
        ("service", "alert", "problem"),
        [
            ("dts", {"when": "stalled", "after": 60}, "more than the 60 s"),
            ("dataworks", {"when": "verification_failed"}, "no data check"),
            ("dataworks", {"when": "lag_above", "above": 1}, "have no lag"),
        ],
    )
    def test_wrong_alert_is_an_import_error(self, service: str, alert: dict[str, Any], problem: str) -> None:
        (watched,) = (known for known in SERVICES if known.name == service)
        with pytest.raises(MigrationConfigurationError, match=problem):
            MigrationEventTrigger.of(watched.sensor, alerts=[self.alert(**alert)], **watched.ids)
