"""What a sensor does at a poll: it decides, tells, and remembers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    Asset,
    AssetAlias,
    BaseSensorOperator,
    PokeReturnValue,
    TaskDeferred,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from airflow.providers.openlineage.extractors.base import DefaultExtractor

from airflow_provider_migration import links
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationFailedError,
    MigrationNotFoundError,
    MigrationServiceError,
)
from airflow_provider_migration.links import MigrationConsoleLink
from airflow_provider_migration.progress import MigrationProgress, MigrationState
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from tests.sensors.conftest import TaskInstance

Context = dict[str, Any]
Play = Callable[..., Simulator]

DTS = {"service": "dts", "migration_job_id": "dts1", "script": "success", "duration": 100}


def dts(**arguments: Any) -> DtsMigrationJobSensor:
    return DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", **arguments)


SENSORS: list[tuple[type[MigrationSensor], dict[str, Any], str, tuple[str, ...]]] = [
    (DataWorksMigrationSensor, {"project_id": 123456, "migration_id": 7}, "dataworks", ("123456", "7")),
    (DtsMigrationJobSensor, {"migration_job_id": "dts1"}, "dts", ("dts1",)),
    (OmsProjectSensor, {"project_id": "p_1"}, "oms", ("p_1",)),
    (DrsProgressSensor, {"job_id": "job-1"}, "drs", ("job-1",)),
]


class TestEachService:
    @pytest.mark.parametrize("deferrable", [False, True])
    @pytest.mark.parametrize(
        ("sensor", "ids", "service", "api"),
        [
            (DtsMigrationJobSensor, {"migration_job_id": "dts1"}, "dts", "DescribeDtsJobs"),
            (OmsProjectSensor, {"project_id": "p_1"}, "oms", "DescribeProjectProgress"),
        ],
    )
    def test_makes_the_call_that_is_named(
        self,
        play: Play,
        context: Context,
        sensor: type[MigrationSensor],
        ids: dict[str, str],
        service: str,
        api: str,
        deferrable: bool,
    ) -> None:
        simulator = play({"service": service, **ids, "script": "success", "duration": 100})
        wait = sensor(task_id="wait", api=api, deferrable=deferrable, **ids)
        if deferrable:
            with pytest.raises(TaskDeferred) as deferred:
                wait.poke(context)
            trigger = deferred.value.trigger
            assert trigger.hook_arguments["api"] == api
        else:
            assert wait.poke(context) is False
        assert {asked.action for asked in simulator.requests} == {api}

    @pytest.mark.parametrize(("sensor", "ids", "service", "_id"), SENSORS)
    def test_waits_for_its_default_target_and_returns_the_record(
        self,
        play: Play,
        context: Context,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        service: str,
        _id: tuple[str, ...],
    ) -> None:
        simulator = play({"service": service, **ids, "script": "success", "duration": 100})
        wait = sensor(task_id="wait", **ids)
        simulator.jump(service, _id[-1], 20)
        assert wait.poke(context) is False
        simulator.jump(service, _id[-1], 150)
        result = wait.poke(context)
        assert result
        assert result.xcom_value == context["ti"].xcom["migration_progress"]
        assert result.xcom_value["percent"] == 100

    @pytest.mark.parametrize(("sensor", "ids", "service", "_id"), SENSORS)
    def test_refuses_a_target_that_is_never_reached_before_it_asks(
        self,
        play: Play,
        context: Context,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        service: str,
        _id: tuple[str, ...],
    ) -> None:
        simulator = play()
        with pytest.raises(MigrationConfigurationError, match="target_status 'Finnished' is never reached"):
            sensor(task_id="wait", target_status=["succeeded", "Finnished"], **ids).poke(context)
        assert simulator.requests == []

    @pytest.mark.parametrize(("sensor", "ids", "service", "_id"), SENSORS)
    @pytest.mark.parametrize("empty", ["", "  ", None])
    def test_refuses_an_empty_id_before_it_asks(
        self,
        play: Play,
        context: Context,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        service: str,
        _id: tuple[str, ...],
        empty: str | None,
    ) -> None:
        simulator = play()
        argument = list(ids)[-1]
        with pytest.raises(MigrationConfigurationError, match=f"{argument} is empty"):
            sensor(task_id="wait", **{**ids, argument: empty}).poke(context)
        assert simulator.requests == []

    @pytest.mark.parametrize(("sensor", "ids", "service", "_id"), SENSORS)
    def test_templates_ids_target_and_connection(
        self, sensor: type[MigrationSensor], ids: dict[str, Any], service: str, _id: tuple[str, ...]
    ) -> None:
        assert {*ids, "target_status", f"{service}_conn_id"} <= set(sensor.template_fields)

    def test_asks_dataworks_every_five_minutes_and_others_every_minute(self) -> None:
        assert DataWorksMigrationSensor(task_id="a", project_id=1, migration_id=1).poke_interval == 300
        assert dts().poke_interval == 60


class TestArguments:
    @pytest.mark.parametrize(
        ("argument", "wrong"),
        [
            ("on_paused", "stop"),
            ("on_unknown", "skip"),
            ("max_lag", -1),
            ("max_lag", "60"),
            ("failure_grace", float("nan")),
            ("hold_for", True),
            ("stall_timeout", 0),
            ("max_poll_errors", 1.5),
            ("max_poll_errors", -1),
        ],
    )
    def test_a_wrong_one_is_named_when_the_dag_is_parsed(self, argument: str, wrong: object) -> None:
        with pytest.raises(MigrationConfigurationError, match=f"'wait': {argument} must be"):
            dts(**{argument: wrong})

    def test_an_empty_target_is_named(self, play: Play, context: Context) -> None:
        play(DTS)
        with pytest.raises(MigrationConfigurationError, match="target_status is empty"):
            dts(target_status=[]).poke(context)

    @pytest.mark.parametrize("wrong", [None, 5])
    def test_a_target_that_is_no_word_is_named(self, play: Play, context: Context, wrong: object) -> None:
        play(DTS)
        with pytest.raises(MigrationConfigurationError, match="target_status must be a word or a list"):
            dts(target_status=wrong).poke(context)

    def test_without_the_job_status_drs_can_only_be_waited_for_until_the_copy_is_done(
        self, play: Play, context: Context
    ) -> None:
        play()
        with pytest.raises(MigrationConfigurationError, match="It has: full_done"):
            DrsProgressSensor(task_id="wait", job_id="j", job_status=False).poke(context)

    def test_an_object_type_that_drs_does_not_know_is_named(self, play: Play, context: Context) -> None:
        simulator = play()
        with pytest.raises(MigrationConfigurationError, match="object_types: 'tables' is not known to DRS"):
            DrsProgressSensor(task_id="wait", job_id="j", object_types=["tables"]).poke(context)
        assert simulator.requests == []


class TestAFailure:
    def test_is_told_with_what_to_repair_and_leaves_the_record(self, play: Play, context: Context) -> None:
        play({**DTS, "script": "precheck_failure"}).jump("dts", "dts1", 90)
        with pytest.raises(
            MigrationFailedError, match=r"Precheck.*repair.*wanted caught_up; waited 0 s"
        ) as failure:
            dts().poke(context)
        assert isinstance(failure.value, AirflowFailException)
        assert failure.value.progress is not None
        assert context["ti"].xcom["migration_progress"]["state"] == "failed"

    def test_waits_as_long_as_it_may_turn_around(self, play: Play, context: Context) -> None:
        play({**DTS, "script": "failure"}).jump("dts", "dts1", 90)
        assert dts(failure_grace=60).poke(context) is False

    def test_of_a_job_that_was_stopped_by_hand_is_no_success(self, play: Play, context: Context) -> None:
        play({**DTS, "script": "stopped"}).jump("dts", "dts1", 90)
        with pytest.raises(MigrationFailedError, match="ended short of the target: dts dts1: cancelled"):
            dts().poke(context)

    @pytest.mark.parametrize(
        ("on_paused", "end"), [("fail", MigrationFailedError), ("skip", AirflowSkipException)]
    )
    def test_is_what_the_user_makes_of_a_pause(
        self, play: Play, context: Context, on_paused: str, end: type[Exception]
    ) -> None:
        play({**DTS, "script": "paused"}).jump("dts", "dts1", 90)
        assert dts().poke(context) is False
        with pytest.raises(end, match="The migration is paused"):
            dts(on_paused=on_paused).poke(context)

    def test_of_the_key_ends_the_wait_at_once(
        self, play: Play, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = play(DTS).connections()["dts_default"]
        monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", json.dumps({**connection, "password": "wrong-secret"}))
        with pytest.raises(MigrationAuthenticationError, match="SignatureDoesNotMatch") as failure:
            dts().poke(context)
        assert "wrong-secret" not in str(failure.value)

    def test_of_the_id_ends_the_wait_at_once(self, play: Play, context: Context) -> None:
        play()
        with pytest.raises(MigrationNotFoundError, match="InvalidJobId"):
            dts().poke(context)


FAULT = {"kind": "html", "service": "dts", "status": 502}


class TestPollsThatFail:
    @pytest.fixture(autouse=True)
    def without_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow_provider_migration.hooks.base import MigrationHook
        from airflow_provider_migration.transport import Surroundings

        monkeypatch.setattr(MigrationHook, "world", Surroundings(sleep=lambda seconds: None))

    def test_are_tolerated_as_often_as_allowed_and_then_named(self, play: Play, context: Context) -> None:
        play(DTS, faults=(FAULT,))
        wait = dts(max_poll_errors=2, poke_interval=10)
        assert wait.poke(context) is False
        assert wait.poke(context) is False
        assert context["ti"].xcom["migration_wait"]["poll_errors"] == 2
        message = r"failed 3 times in a row .*; wanted caught_up; waited 0 s\. .*HTTP 502"
        with pytest.raises(MigrationServiceError, match=message) as failure:
            wait.poke(context)
        assert not isinstance(failure.value, AirflowFailException)
        assert context["ti"].xcom["migration_wait"]["reason"] == str(failure.value)
        assert "migration_progress" not in context["ti"].xcom

    def test_are_counted_across_rescheduled_processes(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS, faults=(FAULT,))
        assert dts(mode="reschedule", max_poll_errors=1).poke(context) is False
        with pytest.raises(MigrationServiceError, match="failed 2 times in a row"):
            dts(mode="reschedule", max_poll_errors=1).poke(next_poll(context))

    def test_are_not_counted_where_there_is_no_store(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS, faults=(FAULT,))
        del context["task_state_store"]
        for _ in range(3):
            assert dts(mode="reschedule", max_poll_errors=1).poke(next_poll(context)) is False

    def test_never_end_a_sensor_that_fails_silently(self, play: Play, context: Context) -> None:
        play(DTS, faults=(FAULT,))
        wait = dts(max_poll_errors=0, silent_fail=True)
        assert wait.poke(context) is False

    def test_may_not_find_a_connection_that_was_there(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context], monkeypatch: Any
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        dts(mode="reschedule").poke(context)
        monkeypatch.delenv("AIRFLOW_CONN_DTS_DEFAULT")
        assert dts(mode="reschedule").poke(next_poll(context)) is False

    def test_leave_the_last_record_visible_while_rescheduled(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        simulator = play(DTS, faults=())
        simulator.jump("dts", "dts1", 50)
        dts(mode="reschedule").poke(context)
        shown = context["ti"].xcom["migration_progress"]
        simulator.stop()
        later = next_poll(context)
        assert dts(mode="reschedule").poke(later) is False
        assert later["ti"].xcom["migration_progress"] == shown


class TestWhatIsTold:
    def test_is_written_once_while_nothing_changes(self, play: Play, context: Context) -> None:
        simulator = play(DTS)
        wait = dts()
        simulator.jump("dts", "dts1", 50)
        for _ in range(3):
            wait.poke(context)
        assert context["ti"].pushes == [
            "migration_progress",
            "migration_console_url",
            "migration_history",
            "migration_wait",
        ]
        simulator.jump("dts", "dts1", 70)
        wait.poke(context)
        assert context["ti"].pushes[4:] == ["migration_progress", "migration_history"]

    def test_is_logged_once_while_nothing_changes(
        self, play: Play, context: Context, capsys: pytest.CaptureFixture[str]
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        wait = dts()
        for _ in range(3):
            wait.poke(context)
        assert capsys.readouterr().out.count("dts dts1: running") == 1

    @pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
    def test_is_what_it_waits_for_from_the_first_poll_on(
        self, play: Play, context: Context, mode: str
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
        with suppress(TaskDeferred):
            dts(**how, hold_for=30).poke(context)
        told = context["ti"].xcom["migration_wait"]
        assert (told["targets"], told["hold_for"], told["outcome"]) == (["caught_up"], 30, None)

    @pytest.mark.parametrize(("sensor", "ids", "service", "_id"), SENSORS)
    def test_names_the_migration_also_where_the_service_does_not_know_it(
        self,
        play: Play,
        context: Context,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        service: str,
        _id: tuple[str, ...],
    ) -> None:
        play()
        with pytest.raises(MigrationNotFoundError) as failure:
            sensor(task_id="wait", **ids).poke(context)
        told = context["ti"].xcom["migration_wait"]
        assert (told["service"], told["migration_id"]) == (service, _id[-1])
        assert len(re.findall(rf"\b{_id[-1]}\b", str(failure.value))) == 1

    @pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
    @pytest.mark.usefixtures("airflow_database")  # Airflow 2.11 looks there for earlier polls
    @pytest.mark.parametrize(
        ("script", "policy", "outcome", "reason"),
        [
            ("failure", {"soft_fail": True}, "fail", "The migration failed: "),
            ("failure", {"never_fail": True}, "fail", "The migration failed: "),
            ("paused", {"on_paused": "skip"}, "skip", "The migration is paused: "),
        ],
    )
    def test_is_why_a_task_was_skipped(
        self, play: Play, context: Context, mode: str, script: str, policy: Any, outcome: str, reason: str
    ) -> None:
        play({**DTS, "script": script}).jump("dts", "dts1", 90)
        how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
        with pytest.raises(AirflowSkipException):
            dts(**how, **policy).execute(context)
        told = context["ti"].xcom["migration_wait"]
        assert told["outcome"] == outcome
        assert told["reason"].startswith(reason)

    def test_is_kept_in_the_task_state_store(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        dts().poke(context)
        assert context["task_state_store"]["migration_progress"] == context["ti"].xcom["migration_progress"]

    def test_does_not_end_the_wait_when_it_cannot_be_written(self, play: Play, context: Context) -> None:
        class Broken:
            def __getattr__(self, name: str) -> Any:
                raise ConnectionError("the API server is away")

        play(DTS).jump("dts", "dts1", 50)
        context["task_state_store"] = Broken()
        context["ti"].xcom_push = Broken().__getattr__
        assert dts().poke(context) is False
        assert dts(mode="reschedule").poke(context) is False

    def test_is_the_console_link_from_the_first_poll_on(self, play: Play, context: Context) -> None:
        play(DTS)
        dts().poke(context)
        link = MigrationConsoleLink()
        assert link.name == "Migration console"
        assert context["ti"].xcom[link.xcom_key] == "https://dts.console.aliyun.com/"
        assert [type(link) for link in dts().operator_extra_links] == [MigrationConsoleLink]

    @pytest.mark.parametrize(("kept", "shown"), [("https://dts.console.aliyun.com/",) * 2, (None, "")])
    def test_is_what_the_link_leads_to(
        self, monkeypatch: pytest.MonkeyPatch, kept: str | None, shown: str
    ) -> None:
        asked: list[dict[str, Any]] = []
        monkeypatch.setattr(links.XCom, "get_value", lambda **how: asked.append(how) or kept)
        key = TaskInstance()
        assert MigrationConsoleLink().get_link(dts(), ti_key=key) == shown
        assert asked == [{"key": "migration_console_url", "ti_key": key}]

    def test_is_no_link_and_no_look_up_after_a_first_poll_that_failed(
        self, monkeypatch: pytest.MonkeyPatch, context: Context
    ) -> None:
        monkeypatch.setattr(links.XCom, "get_value", lambda **how: pytest.fail("looked up"))
        sensor = dts(dts_conn_id="nowhere")
        with pytest.raises(MigrationConfigurationError, match="no connection 'nowhere'"):
            sensor.execute(context)
        assert MigrationConsoleLink().get_link(sensor, ti_key=context["ti"]) == ""

    def test_says_once_that_the_target_must_hold(
        self, play: Play, context: Context, capsys: pytest.CaptureFixture[str]
    ) -> None:
        play(DTS).jump("dts", "dts1", 150)
        wait = dts(hold_for=300)
        wait.poke(context)
        wait.poke(context)
        assert capsys.readouterr().out.count("the target must hold for 300 s") == 1


class TestTime:
    def test_that_is_up_is_told_with_the_last_state(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        with pytest.raises(AirflowSensorTimeout, match=r"time is up: dts dts1: running .*wanted caught_up"):
            dts(timeout=0).poke(context)

    def test_between_polls_ends_with_the_deadline(self, play: Play, context: Context) -> None:
        play(DTS)
        wait = dts(poke_interval=60, timeout=10)
        wait.poke(context)
        assert wait._get_next_poke_interval(time.monotonic(), lambda: 0.0, 1) <= 10

    def test_before_a_poll_is_the_interval(self) -> None:
        assert dts()._get_next_poke_interval(0.0, lambda: 0.0, 1) == 60

    def test_that_a_target_must_hold_counts_across_rescheduled_processes(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS).jump("dts", "dts1", 150)
        assert dts(mode="reschedule", hold_for=0.2).poke(context) is False
        time.sleep(0.25)
        assert dts(mode="reschedule", hold_for=0.2).poke(next_poll(context))

    def test_begins_anew_with_a_new_try(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS).jump("dts", "dts1", 150)
        dts(mode="reschedule", hold_for=0.1).poke(context)
        time.sleep(0.15)
        again = next_poll(context)
        again["ti"].try_number = 2
        assert dts(mode="reschedule", hold_for=0.1).poke(again) is False

    def test_and_the_last_record_of_an_earlier_try_are_forgotten(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        simulator = play(DTS)
        simulator.jump("dts", "dts1", 150)
        dts(mode="reschedule", hold_for=60).poke(context)
        simulator.stop()
        context["ti"].try_number = 2
        for _ in range(2):
            context = next_poll(context)
            assert dts(mode="reschedule").poke(context) is False
            assert "migration_progress" not in context["ti"].xcom

    def test_counts_from_the_first_poll_on_also_when_it_was_long(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        dts(mode="reschedule").poke(context)
        context["task_state_store"]["migration_watch"]["started_at"] -= 100
        with pytest.raises(AirflowSensorTimeout, match="waited 100 s"):
            dts(mode="reschedule", timeout=90).poke(next_poll(context))


class TestDeferring:
    def deferral(self, sensor: MigrationSensor, context: Context) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute(context)
        return deferred.value

    def test_happens_after_a_first_poll_on_the_worker(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        deferral = self.deferral(dts(deferrable=True, timeout=600), context)
        assert context["ti"].xcom["migration_progress"]["state"] == "running"
        assert deferral.method_name == "execute_complete"
        assert deferral.timeout is not None
        assert timedelta(minutes=10) < deferral.timeout <= timedelta(minutes=15)

    def test_does_not_happen_when_the_first_poll_decides(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 150)
        assert dts(deferrable=True).execute(context) == context["ti"].xcom["migration_progress"]

    def test_takes_the_last_record_along(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        trigger = self.deferral(dts(deferrable=True), context).trigger
        assert trigger.watch.progress.model_dump(mode="json") == context["ti"].xcom["migration_progress"]

    @pytest.mark.parametrize("kind", [tuple, set, frozenset])
    def test_takes_object_types_along_as_plain_json(
        self, play: Play, context: Context, kind: Callable[[list[str]], Any]
    ) -> None:
        play({"service": "drs", "job_id": "job-1"}).jump("drs", "job-1", 1)
        sensor = DrsProgressSensor(
            task_id="wait", job_id="job-1", object_types=kind(["table"]), deferrable=True
        )
        trigger = self.deferral(sensor, context).trigger
        assert json.loads(json.dumps(trigger.ids))["object_types"] == ["table"]

    def test_takes_every_argument_along_and_no_secret(self, play: Play, context: Context) -> None:
        play(DTS)
        sensor = dts(
            deferrable=True,
            max_lag=7,
            on_paused="skip",
            on_unknown="fail",
            failure_grace=8,
            stall_timeout=9,
            hold_for=10,
            max_poll_errors=11,
            target_status=("full_done", "succeeded"),
            poke_interval=12,
            exponential_backoff=True,
            max_wait=13,
            timeout=14,
        )
        trigger = self.deferral(sensor, context).trigger
        path, arguments = trigger.serialize()
        assert path == "airflow_provider_migration.triggers.migration.MigrationTrigger"
        text = json.dumps(arguments)
        assert "simulator-secret-key" not in text
        wishes = arguments["watch"]["wishes"]
        assert wishes.pop("deadline") - wishes.pop("started_at") == pytest.approx(14)
        assert wishes == {
            "service": "dts",
            "migration_id": "dts1",
            "targets": ["full_done", "succeeded"],
            "max_lag": 7,
            "on_paused": "skip",
            "on_unknown": "fail",
            "failure_grace": 8,
            "stall_timeout": 9,
            "hold_for": 10,
            "max_poll_errors": 11,
            "poke_interval": 12,
            "exponential_backoff": True,
            "max_wait": 13,
        }
        assert arguments["task_key"] == {
            "dag_id": "dag",
            "task_id": "wait",
            "run_id": "run+1",
            "map_index": -1,
        }

    @pytest.mark.usefixtures("airflow_database")  # Airflow 2.11 looks there for earlier polls
    @pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
    @pytest.mark.parametrize(
        ("script", "soft", "end"),
        [
            ("failure", {"soft_fail": True}, AirflowSkipException),
            ("failure", {"never_fail": True}, AirflowSkipException),
            ("failure", {}, MigrationFailedError),
        ],
    )
    def test_treats_a_first_poll_as_the_other_modes_do(
        self,
        play: Play,
        context: Context,
        mode: str,
        script: str,
        soft: dict[str, bool],
        end: type[Exception],
    ) -> None:
        play({**DTS, "script": script}).jump("dts", "dts1", 90)
        how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
        with pytest.raises(end):
            dts(**soft, **how).execute(context)


RECORD = MigrationProgress(
    service="dts",
    migration_id="dts1",
    state=MigrationState.RUNNING,
    observed_at=datetime(2026, 1, 1, tzinfo=UTC),
    console_url="https://dts.console.aliyun.com/",
).model_dump(mode="json")
POINTS = [[1, 10.0, None], [2, 20.0, 1.5]]


def event(outcome: str, **fields: Any) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "reason": "because",
        "progress": RECORD,
        "error": None,
        "points": POINTS,
        "wait": {"outcome": outcome, "reason": "because"},
        **fields,
    }


class TestResuming:
    def test_returns_the_record_that_the_trigger_ended_with(self, context: Context) -> None:
        assert dts().execute_complete(context, event("done")) == RECORD
        assert context["ti"].xcom == {
            "migration_wait": {"outcome": "done", "reason": "because"},
            "migration_progress": RECORD,
            "migration_console_url": RECORD["console_url"],
            "migration_history": POINTS,
        }

    @pytest.mark.parametrize(
        ("outcome", "end"),
        [
            ("fail", MigrationFailedError),
            ("skip", AirflowSkipException),
            ("timeout", AirflowSensorTimeout),
        ],
    )
    def test_ends_as_the_trigger_says_and_leaves_the_record(
        self, context: Context, outcome: str, end: type[Exception]
    ) -> None:
        with pytest.raises(end, match="because"):
            dts().execute_complete(context, event(outcome))
        assert context["ti"].xcom["migration_progress"] == RECORD

    def test_takes_the_event_of_a_trigger_that_told_nothing_of_the_wait(self, context: Context) -> None:
        former = event("done")
        del former["wait"]
        assert dts().execute_complete(context, former) == RECORD
        assert "migration_wait" not in context["ti"].xcom

    def test_raises_the_error_that_ended_the_polls(self, context: Context) -> None:
        error = MigrationServiceError("away", service="dts", action="Describe", http_status=503, code="Busy")
        with pytest.raises(MigrationServiceError, match="becauseaway") as raised:
            dts().execute_complete(context, event("poll_error", error=error.to_json(), progress=None))
        assert (raised.value.http_status, raised.value.code) == (503, "Busy")

    def test_takes_polls_that_ended_without_an_error_for_no_success(self, context: Context) -> None:
        with pytest.raises(MigrationError, match="because"):
            dts().execute_complete(context, event("poll_error"))

    def test_applies_never_fail_to_such_an_error_too(self, context: Context) -> None:
        error = MigrationServiceError("away").to_json()
        with pytest.raises(AirflowSkipException):
            dts(never_fail=True).execute_complete(context, event("poll_error", error=error))

    @pytest.mark.parametrize(
        "odd", [None, {}, {"outcome": "success"}, {"outcome": "wait"}, {"status": "done"}]
    )
    def test_takes_no_event_for_a_success_that_does_not_say_so(
        self, context: Context, odd: dict[str, Any] | None
    ) -> None:
        with pytest.raises(MigrationError, match="without a verdict"):
            dts().execute_complete(context, odd)


class TestOutlets:
    """What those who wait for a task's assets are told."""

    @pytest.fixture
    def context(self, context: Context) -> Context:
        if AIRFLOW_V_3_0_PLUS:
            from airflow.sdk.execution_time.context import OutletEventAccessors
        else:
            from airflow.utils.context import OutletEventAccessors
        return {**context, "outlet_events": OutletEventAccessors()}

    def test_the_event_of_each_asset_carries_the_final_figures(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 150)
        assets = [Asset("customers"), Asset("orders")]
        result = dts(outlets=[*assets, AssetAlias("whatever")]).poke(context)
        assert isinstance(result, PokeReturnValue)
        for asset in assets:
            extra = context["outlet_events"][asset].extra
            assert (extra["migration_id"], extra["state"], extra["lag_seconds"]) == ("dts1", "caught_up", 0)
            assert extra.items() <= result.xcom_value.items()

    def test_the_trigger_has_told_the_same(self, context: Context) -> None:
        asset = Asset("customers")
        dts(outlets=[asset]).execute_complete(context, event("done"))
        extra = context["outlet_events"][asset].extra
        assert extra == {name: RECORD[name] for name in extra}
        assert "percent" in extra

    def test_while_it_waits_there_is_nothing_to_tell(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        assert dts(outlets=[Asset("customers")]).poke(context) is False
        assert len(context["outlet_events"]) == 0


class TestLineage:
    """What OpenLineage learns, through its own extractor."""

    def test_a_dts_job_reads_one_instance_and_writes_another(self, play: Play) -> None:
        play(DTS)
        lineage = DefaultExtractor(dts()).extract_on_complete(None)
        assert lineage is not None
        (source,), (destination,) = lineage.inputs, lineage.outputs
        assert (source.namespace, source.name) == ("mysql://rm-bp1source", "rm-bp1source")
        assert (destination.namespace, destination.name) == ("mysql://rm-bp1destination", "rm-bp1destination")

    @pytest.mark.parametrize(("sensor", "ids", "service", "_id"), SENSORS)
    def test_the_others_do_not_say_and_are_not_asked(
        self,
        play: Play,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        service: str,
        _id: tuple[str, ...],
    ) -> None:
        simulator = play({"service": service, **ids, "script": "success", "duration": 100})
        lineage = DefaultExtractor(sensor(task_id="wait", **ids)).extract_on_complete(None)
        assert (lineage is not None) == bool(simulator.requests) == (service == "dts")

    def test_a_migration_that_failed_has_moved_nothing(self, play: Play) -> None:
        simulator = play(DTS)
        assert DefaultExtractor(dts()).extract_on_failure(None) is None
        assert simulator.requests == []


def test_a_dag_file_that_imports_the_sensors_loads_none_of_what_they_run_with() -> None:
    program = """
import sys
from airflow.providers.common.compat.sdk import BaseSensorOperator
BaseSensorOperator(task_id="other")
before = set(sys.modules)  # Airflow 2.11 loads requests itself
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", deferrable=True)
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = done.stdout.splitlines()[-1].split()
    read_by_airflow = "airflow_provider_migration.get_provider_info"  # from 3.2 on
    ours = {name for name in loaded if name.startswith("airflow_provider_migration.")} - {read_by_airflow}
    assert sorted(ours) == [
        "airflow_provider_migration.keys",
        "airflow_provider_migration.links",
        "airflow_provider_migration.sensors",
        "airflow_provider_migration.sensors.base",
        "airflow_provider_migration.sensors.dataworks",
        "airflow_provider_migration.sensors.drs",
        "airflow_provider_migration.sensors.dts",
        "airflow_provider_migration.sensors.oms",
    ]
    assert not {"requests", "aiohttp", "fastapi", "starlette"} & set(loaded)


def test_every_sensor_is_a_sensor_of_airflow() -> None:
    assert all(issubclass(sensor, BaseSensorOperator) for sensor, *_ in SENSORS)
