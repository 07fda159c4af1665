"""When a watched migration is an event, and when it is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher

from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationServiceError
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport import Surroundings
from airflow_provider_migration.triggers import event
from airflow_provider_migration.triggers.event import MigrationEventTrigger
from tests.conftest import ROOT
from tests.servers import Server, http

SENSORS: list[tuple[type[MigrationSensor], dict[str, Any], str]] = [
    (DataWorksMigrationSensor, {"project_id": 123456, "migration_id": 7}, "dataworks"),
    (DtsMigrationJobSensor, {"migration_job_id": "dts1"}, "dts"),
    (OmsProjectSensor, {"project_id": "p_1"}, "oms"),
    (DrsProgressSensor, {"job_id": "job-1"}, "drs"),
]

CAUGHT_UP = (ROOT / "tests/samples/dts_describe_migration_job_status.json").read_bytes()
FAR, BEFORE = 150, 50
"""Seconds into a script of 100: at its end, and in the middle of it."""


@pytest.fixture(autouse=True)
def _stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event, "STORING_SECONDS", 0)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Start a simulator with a migration of each service, whose time stands still until a test sets it."""
    migrations = [{"service": service, **ids, "duration": 100} for _, ids, service in SENSORS]
    with Simulator({"migrations": migrations}, speed=1e-9) as simulator:
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
        trigger = MigrationEventTrigger.of(sensor, **{"poke_interval": 0.1, **which, **arguments})
        started.append(Watching(trigger, store))
        return started[-1]

    yield start
    for watching in started:
        watching.task.cancel()
    done = await asyncio.gather(*(watching.task for watching in started), return_exceptions=True)
    assert {type(result) for result in done} <= {asyncio.CancelledError}


class TestArguments:
    @pytest.mark.parametrize(("sensor", "ids", "service"), SENSORS)
    def test_what_is_not_given_is_as_the_sensor_has_it(
        self, sensor: type[MigrationSensor], ids: dict[str, Any], service: str
    ) -> None:
        waiting = sensor(task_id="wait", **ids)
        trigger = MigrationEventTrigger.of(sensor, **ids)
        assert trigger.hook_arguments == waiting._hook_arguments()
        assert trigger.ids == waiting._ids()
        assert trigger.targets == [waiting.target_status]
        assert (trigger.poke_interval, trigger.max_lag, trigger.hold_for) == (
            waiting.poke_interval,
            waiting.max_lag,
            waiting.hold_for,
        )

    def test_a_connection_and_a_region_are_the_hooks(self) -> None:
        trigger = MigrationEventTrigger.of(
            DtsMigrationJobSensor, migration_job_id="dts1", dts_conn_id="other", region="cn-beijing"
        )
        given = {"dts_conn_id": "other", "region": "cn-beijing"}
        assert trigger.hook_arguments == {**given, "api": "DescribeMigrationJobStatus"}

    @pytest.mark.parametrize("damaged", [{"ids": "{"}, {"hook_arguments": ""}])
    def test_one_that_cannot_be_read_is_an_error_that_airflow_takes_for_this_trigger_alone(
        self, damaged: dict[str, str]
    ) -> None:
        _, stored = MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id="dts1").serialize()
        with pytest.raises(TypeError, match=r"arguments of the trigger cannot be read: \S"):
            MigrationEventTrigger(**{**stored, **damaged})

    def test_a_set_of_object_types_is_stored_alike_at_each_parse(self) -> None:
        trigger = MigrationEventTrigger.of(DrsProgressSensor, job_id="1", object_types={"view", "table"})
        assert trigger.ids["object_types"] == ["table", "view"]

    def test_it_is_stored_without_objects_which_airflow_before_3_3_does_not_hand_over_as_they_are(
        self,
    ) -> None:
        _, stored = MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id="dts1").serialize()
        assert [name for name, value in stored.items() if isinstance(value, dict)] == []

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                {"max_lags": 3},
                "it takes migration_job_id, dts_conn_id, region, api, target_status, max_lag, hold_for, "
                "poke_interval",
            ),
            ({}, "missing a required argument: 'migration_job_id'; it takes migration_job_id, dts_conn_id"),
            ({"migration_job_id": ""}, "migration_job_id is empty"),
            ({"migration_job_id": None}, "migration_job_id is empty"),
            ({"job_id": "dts1"}, "missing a required argument: 'migration_job_id'"),
            ({"migration_job_id": "dts1", "timeout": 60}, "unexpected keyword argument 'timeout'"),
            ({"migration_job_id": "dts1", "target_status": "Finnished"}, "'Finnished' is never reached"),
            ({"migration_job_id": "dts1", "target_status": []}, "target_status is empty"),
            ({"migration_job_id": "dts1", "target_status": 5}, "must be a word or a list of words, not 5"),
            ({"migration_job_id": "dts1", "poke_interval": 0}, "poke_interval must be a number of seconds"),
            ({"migration_job_id": "dts1", "max_lag": -1}, "max_lag must be a number of seconds, 0 or more"),
            ({"migration_job_id": "dts1", "hold_for": "600"}, "hold_for must be a number of seconds"),
        ],
    )
    def test_a_wrong_one_is_named_when_the_dag_is_parsed(self, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(MigrationConfigurationError, match=said):
            MigrationEventTrigger.of(DtsMigrationJobSensor, **arguments)

    def test_several_targets_make_the_same_trigger_at_each_parse(self) -> None:
        words = {"failed", "cancelled", "paused", "succeeded"}
        trigger = MigrationEventTrigger.of(
            DtsMigrationJobSensor, migration_job_id="dts1", target_status=words
        )
        assert trigger.targets == sorted(words)

    def test_a_watcher_takes_it(self) -> None:
        trigger = MigrationEventTrigger.of(DtsMigrationJobSensor, migration_job_id="dts1")
        asset = Asset("caught_up", watchers=[AssetWatcher(name="dts", trigger=trigger)])
        assert json.loads(json.dumps(trigger.serialize())) == list(trigger.serialize())
        assert asset.watchers[0].trigger is trigger


class TestEvents:
    @pytest.mark.parametrize(("sensor", "ids", "service"), SENSORS)
    async def test_a_migration_that_reaches_its_target_is_one_event_with_the_record(
        self,
        simulator: Simulator,
        watch: Watch,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        service: str,
    ) -> None:
        migration_id = list(ids.values())[-1]
        simulator.jump(service, migration_id, BEFORE)
        watching = watch(sensor, **ids)
        await polls(simulator, 3)
        assert watching.payloads == []
        simulator.jump(service, migration_id, FAR)
        await until(lambda: watching.payloads)
        await polls(simulator, 3)
        (record,) = watching.payloads
        assert (record["service"], record["migration_id"]) == (service, str(migration_id))
        assert record["state"] in ("caught_up", "succeeded")
        assert json.loads(json.dumps(record)) == record

    async def test_a_target_that_was_left_and_is_reached_again_is_another_event(
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

    async def test_a_target_must_hold_for_as_long_as_was_asked(
        self, simulator: Simulator, watch: Watch
    ) -> None:
        simulator.jump("dts", "dts1", FAR)
        watching = watch(hold_for=1)
        await polls(simulator, 4)
        assert watching.payloads == []
        await until(lambda: watching.payloads)

    async def test_the_end_of_a_migration_that_was_not_asked_for_is_no_event(
        self, simulator: Simulator, watch: Watch
    ) -> None:
        simulator.jump("dts", "dts1", FAR)
        watching = watch(target_status=["failed", "cancelled"])
        await polls(simulator, 4)
        assert watching.payloads == []
        assert not watching.task.done()

    async def test_siblings_share_their_polls(self, simulator: Simulator, watch: Watch) -> None:
        simulator.jump("dts", "dts1", BEFORE)
        siblings = [watch(target_status=target, poke_interval=0.5) for target in ("caught_up", "failed") * 5]
        await asyncio.sleep(2)
        assert len(simulator.requests) <= 5
        simulator.jump("dts", "dts1", FAR)
        await until(lambda: all(sibling.payloads for sibling in siblings[::2]))
        assert not any(sibling.payloads for sibling in siblings[1::2])


class TestFailures:
    async def test_polls_that_fail_are_no_event_and_not_the_end(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def no_wait(seconds: float) -> None: ...

        monkeypatch.setattr(MigrationHook, "world", Surroundings(asleep=no_wait))
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

    async def test_polls_that_fail_keep_the_pace(
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

    async def test_a_connection_that_is_missing_is_waited_for(
        self, simulator: Simulator, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator.jump("dts", "dts1", FAR)
        connection = json.dumps(simulator.connections()["dts_default"])
        watching = watch(dts_conn_id="later")
        await asyncio.sleep(0.5)
        assert watching.payloads == []
        monkeypatch.setenv("AIRFLOW_CONN_LATER", connection)
        await until(lambda: watching.payloads)

    async def test_a_refusal_is_not_asked_for_again_at_once(self, simulator: Simulator, watch: Watch) -> None:
        watching = watch(migration_job_id="dts-of-nobody")
        await until(lambda: simulator.requests)
        await asyncio.sleep(1)
        assert [request.action for request in simulator.requests] == [
            "DescribeMigrationJobStatus",
            "DescribeDtsJobs",
        ]
        assert not watching.task.done()

    async def test_after_a_refusal_it_goes_on_later(
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

    async def test_what_nobody_foresaw_is_logged_and_not_the_end(
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
    async def test_a_triggerer_that_starts_anew_does_not_tell_again(
        self, simulator: Simulator, watch: Watch
    ) -> None:
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

    async def test_watchers_of_one_asset_remember_each_for_itself(
        self, simulator: Simulator, watch: Watch
    ) -> None:
        store = Store()
        simulator.jump("dts", "dts1", FAR)
        watch(store=store)
        await until(lambda: store)
        other = watch(store=store, max_lag=5)
        await until(lambda: other.payloads)

    async def test_without_a_store_it_is_told_anew(self, simulator: Simulator, watch: Watch) -> None:
        class OfSeveralAssets(Store):
            async def aget(self, key: str) -> Any:
                raise ValueError("Task has 2 concrete inlets and outlets")

        simulator.jump("dts", "dts1", FAR)
        watching = [watch(), watch(store=OfSeveralAssets())]
        await until(lambda: all(one.payloads for one in watching))

    async def test_a_store_that_cannot_be_read_yet_is_asked_again(
        self, simulator: Simulator, watch: Watch
    ) -> None:
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

    async def test_a_store_that_cannot_be_written_is_a_warning(
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
        assert "may tell this again" in told
        assert "may not tell" not in told
        simulator.jump("dts", "dts1", BEFORE)
        await polls(simulator, 3)
        told = capsys.readouterr().out
        assert "may not tell the next time" in told
        assert "again" not in told
        assert not watching.task.done()
