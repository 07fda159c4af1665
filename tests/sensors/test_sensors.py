"""A poll of a sensor: its verdict, its outputs, and its state."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
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

from airflow_provider_migration import xcom
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
    MigrationFailedError,
    MigrationNotFoundError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.links import MigrationConsoleLink
from airflow_provider_migration.progress import MigrationProgress, MigrationState
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport.limiter import call_limits
from tests.catalogue import SERVICES, Service, each_service
from tests.sensors.conftest import TaskInstance

Context = dict[str, Any]
Play = Callable[..., Simulator]

DTS = {"service": "dts", "migration_job_id": "dts1", "script": "success", "duration": 100}


def dts(**arguments: Any) -> DtsMigrationJobSensor:
    return DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", **arguments)


class TestEachService:
    @pytest.mark.parametrize("deferrable", [False, True])
    @pytest.mark.parametrize(
        ("sensor", "ids", "service", "api"),
        [
            (DtsMigrationJobSensor, {"migration_job_id": "dts1"}, "dts", "DescribeDtsJobs"),
            (OmsProjectSensor, {"project_id": "p_1"}, "oms", "DescribeProjectProgress"),
        ],
    )
    def test_api_argument_selects_the_call(
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

    @each_service
    def test_default_target_returns_the_record(
        self,
        play: Play,
        context: Context,
        service: Service,
    ) -> None:
        simulator = play(service.migration(script="success", duration=100))
        wait = service.sensor(task_id="wait", **service.ids)
        simulator.jump(service.name, service.migration_id, 20)
        assert wait.poke(context) is False
        simulator.jump(service.name, service.migration_id, 150)
        result = wait.poke(context)
        assert result
        assert result.xcom_value == context["ti"].xcom["migration_progress"]
        assert result.xcom_value["percent"] == 100

    @each_service
    def test_unknown_target_is_refused_before_a_request(
        self,
        play: Play,
        context: Context,
        service: Service,
    ) -> None:
        simulator = play()
        with pytest.raises(MigrationConfigurationError, match="target_status 'Finnished' is never reached"):
            service.sensor(task_id="wait", target_status=["succeeded", "Finnished"], **service.ids).poke(
                context
            )
        assert simulator.requests == []

    @each_service
    @pytest.mark.parametrize("empty", ["", "  ", None])
    def test_empty_id_is_refused_before_a_request(
        self,
        play: Play,
        context: Context,
        service: Service,
        empty: str | None,
    ) -> None:
        simulator = play()
        argument = service.id_argument
        with pytest.raises(MigrationConfigurationError, match=f"{argument} is empty"):
            service.sensor(task_id="wait", **{**service.ids, argument: empty}).poke(context)
        assert simulator.requests == []

    @each_service
    def test_ids_target_and_connection_are_templated(self, service: Service) -> None:
        templated = {*service.ids, "target_status", f"{service}_conn_id"}
        assert templated <= set(service.sensor.template_fields)

    def test_default_interval_is_longer_for_dataworks(self) -> None:
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
    def test_wrong_argument_is_an_import_error(self, argument: str, wrong: object) -> None:
        with pytest.raises(MigrationConfigurationError, match=f"'wait': {argument} must be"):
            dts(**{argument: wrong})

    def test_empty_target_is_named(self, play: Play, context: Context) -> None:
        play(DTS)
        with pytest.raises(MigrationConfigurationError, match="target_status is empty"):
            dts(target_status=[]).poke(context)

    @pytest.mark.parametrize("wrong", [5, [5]])
    def test_target_that_is_not_a_word_is_named(self, play: Play, context: Context, wrong: object) -> None:
        play(DTS)
        with pytest.raises(MigrationConfigurationError, match="target_status must be a word or a list"):
            dts(target_status=wrong).poke(context)

    def test_drs_without_job_status_has_one_target(self, play: Play, context: Context) -> None:
        play()
        with pytest.raises(MigrationConfigurationError, match="Possible: full_done"):
            DrsProgressSensor(task_id="wait", job_id="j", job_status=False).poke(context)

    def test_unknown_object_type_is_named(self, play: Play, context: Context) -> None:
        simulator = play()
        with pytest.raises(MigrationConfigurationError, match="object_types 'tables' is not known to DRS"):
            DrsProgressSensor(task_id="wait", job_id="j", object_types=["tables"]).poke(context)
        assert simulator.requests == []


class TestFailures:
    def test_failure_names_the_remedy_and_leaves_the_record(self, play: Play, context: Context) -> None:
        play({**DTS, "script": "precheck_failure"}).jump("dts", "dts1", 90)
        with pytest.raises(
            MigrationFailedError, match=r"Precheck.*repair.*wanted caught_up; waited 0 s"
        ) as failure:
            dts().poke(context)
        assert isinstance(failure.value, AirflowFailException)
        assert failure.value.progress is not None
        assert context["ti"].xcom["migration_progress"]["state"] == "failed"

    def test_failure_within_its_grace_keeps_waiting(self, play: Play, context: Context) -> None:
        play({**DTS, "script": "failure"}).jump("dts", "dts1", 90)
        assert dts(failure_grace=60).poke(context) is False

    def test_stopped_job_is_a_failure(self, play: Play, context: Context) -> None:
        play({**DTS, "script": "stopped"}).jump("dts", "dts1", 90)
        with pytest.raises(
            MigrationFailedError, match="ended before reaching the target: dts dts1: cancelled"
        ):
            dts().poke(context)

    @pytest.mark.parametrize(
        ("on_paused", "end"), [("fail", MigrationFailedError), ("skip", AirflowSkipException)]
    )
    def test_on_paused_decides_about_a_pause(
        self, play: Play, context: Context, on_paused: str, end: type[Exception]
    ) -> None:
        play({**DTS, "script": "paused"}).jump("dts", "dts1", 90)
        assert dts().poke(context) is False
        with pytest.raises(end, match="The migration is paused"):
            dts(on_paused=on_paused).poke(context)

    def test_refused_key_ends_the_wait_at_once(
        self, play: Play, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = play(DTS).connections()["dts_default"]
        monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", json.dumps({**connection, "password": "wrong-secret"}))
        with pytest.raises(MigrationAuthenticationError, match="SignatureDoesNotMatch") as failure:
            dts().poke(context)
        assert "wrong-secret" not in str(failure.value)

    def test_unknown_id_ends_the_wait_at_once(self, play: Play, context: Context) -> None:
        play()
        with pytest.raises(MigrationNotFoundError, match="InvalidJobId"):
            dts().poke(context)


FAULT = {"kind": "html", "service": "dts", "status": 502}


@pytest.mark.usefixtures("without_waiting")
class TestFailedPolls:
    def test_failed_polls_are_tolerated_up_to_max_poll_errors(self, play: Play, context: Context) -> None:
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

    def test_failed_polls_are_counted_across_reschedules(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS, faults=(FAULT,))
        assert dts(mode="reschedule", max_poll_errors=1).poke(context) is False
        with pytest.raises(MigrationServiceError, match="failed 2 times in a row"):
            dts(mode="reschedule", max_poll_errors=1).poke(next_poll(context))

    def test_failed_polls_are_not_counted_without_a_store(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS, faults=(FAULT,))
        del context["task_state_store"]
        for _ in range(3):
            assert dts(mode="reschedule", max_poll_errors=1).poke(next_poll(context)) is False

    def test_failed_polls_never_end_a_silent_sensor(self, play: Play, context: Context) -> None:
        play(DTS, faults=(FAULT,))
        wait = dts(max_poll_errors=0, silent_fail=True)
        assert wait.poke(context) is False

    def test_missing_connection_is_a_failed_poll_once_it_was_there(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context], monkeypatch: Any
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        dts(mode="reschedule").poke(context)
        monkeypatch.delenv("AIRFLOW_CONN_DTS_DEFAULT")
        assert dts(mode="reschedule").poke(next_poll(context)) is False

    @pytest.mark.parametrize("has_store", [True, False])
    @pytest.mark.parametrize(("is_first", "expected"), [(True, "fails"), (False, "waits")])
    def test_missing_connection_is_tolerated_after_a_forgotten_poll(
        self, play: Play, context: Context, monkeypatch: Any, has_store: bool, is_first: bool, expected: str
    ) -> None:
        play(DTS)
        monkeypatch.delenv("AIRFLOW_CONN_DTS_DEFAULT")
        if not has_store:
            del context["task_state_store"]
        began = None if is_first else datetime.now(UTC) - timedelta(minutes=5)
        monkeypatch.setattr(TaskInstance, "get_first_reschedule_date", lambda ti, context: began)
        wait = dts(mode="reschedule", max_poll_errors=1)
        if expected == "waits":
            assert wait.poke(context) is False
        else:
            with pytest.raises(MigrationConnectionNotFoundError):
                wait.poke(context)

    def test_failed_polls_leave_the_last_record_visible(
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


class TestOutputs:
    def test_unchanged_record_is_written_once(self, play: Play, context: Context) -> None:
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

    @pytest.mark.parametrize(("seconds", "is_written"), [(50, False), (150, True)])
    def test_last_write_to_xcom_is_retried(
        self, play: Play, context: Context, seconds: float, is_written: bool
    ) -> None:
        """A later poll writes what this one could not; after the last there is none."""
        push, failures = context["ti"].xcom_push, [OSError("the database is away")]

        def push_later(key: str, value: Any) -> None:
            if key == "migration_progress" and failures:
                raise failures.pop()
            push(key=key, value=value)

        context["ti"].xcom_push = push_later
        play(DTS).jump("dts", "dts1", seconds)
        dts().poke(context)
        assert failures == []
        assert ("migration_progress" in context["ti"].xcom) is is_written
        if is_written:  # a record newer than its wait would be taken for one of a later poll
            pushes = context["ti"].pushes[::-1]
            assert pushes.index("migration_wait") < pushes.index("migration_progress")

    def test_unchanged_record_is_logged_once(
        self, play: Play, context: Context, capsys: pytest.CaptureFixture[str]
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        wait = dts()
        for _ in range(3):
            wait.poke(context)
        assert capsys.readouterr().out.count("dts dts1: running") == 1

    @pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
    def test_wait_entry_is_written_at_the_first_poll(self, play: Play, context: Context, mode: str) -> None:
        play(DTS).jump("dts", "dts1", 50)
        how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
        with suppress(TaskDeferred):
            dts(**how, hold_for=30).poke(context)
        told = context["ti"].xcom["migration_wait"]
        assert (told["targets"], told["hold_for"], told["outcome"]) == (["caught_up"], 30, None)

    @each_service
    def test_wait_entry_names_an_unknown_migration(
        self,
        play: Play,
        context: Context,
        service: Service,
    ) -> None:
        play()
        with pytest.raises(MigrationNotFoundError) as failure:
            service.sensor(task_id="wait", **service.ids).poke(context)
        told = context["ti"].xcom["migration_wait"]
        assert (told["service"], told["migration_id"]) == (service.name, service.migration_id)
        assert len(re.findall(rf"\b{service.migration_id}\b", str(failure.value))) == 1

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
    def test_wait_entry_names_the_reason_of_a_skip(
        self, play: Play, context: Context, mode: str, script: str, policy: Any, outcome: str, reason: str
    ) -> None:
        play({**DTS, "script": script}).jump("dts", "dts1", 90)
        how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
        with pytest.raises(AirflowSkipException):
            dts(**how, **policy).execute(context)
        told = context["ti"].xcom["migration_wait"]
        assert told["outcome"] == outcome
        assert told["reason"].startswith(reason)

    def test_task_state_store_holds_the_record(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        dts().poke(context)
        assert context["task_state_store"]["migration_progress"] == context["ti"].xcom["migration_progress"]

    def test_failed_write_does_not_end_the_wait(self, play: Play, context: Context) -> None:
        class Broken:
            def __getattr__(self, name: str) -> Any:
                raise ConnectionError("the API server is away")

        play(DTS).jump("dts", "dts1", 50)
        context["task_state_store"] = Broken()
        context["ti"].xcom_push = Broken().__getattr__
        assert dts().poke(context) is False
        assert dts(mode="reschedule").poke(context) is False

    def test_console_link_is_written_at_the_first_poll(self, play: Play, context: Context) -> None:
        play(DTS)
        dts().poke(context)
        link = MigrationConsoleLink()
        assert link.name == "Migration console"
        assert context["ti"].xcom[link.xcom_key] == "https://dts.console.aliyun.com/#/progress/1/config/"
        assert [type(link) for link in dts().operator_extra_links] == [MigrationConsoleLink]

    @pytest.mark.parametrize(("kept", "shown"), [("https://dts.console.aliyun.com/",) * 2, (None, "")])
    def test_console_link_leads_to_the_written_address(
        self, monkeypatch: pytest.MonkeyPatch, kept: str | None, shown: str
    ) -> None:
        asked: list[dict[str, Any]] = []
        monkeypatch.setattr(xcom.XCom, "get_value", lambda **how: asked.append(how) or kept)
        key = TaskInstance()
        assert MigrationConsoleLink().get_link(dts(), ti_key=key) == shown
        assert asked == [{"key": "migration_console_url", "ti_key": key}]

    def test_console_link_is_absent_after_a_failed_first_poll(
        self, monkeypatch: pytest.MonkeyPatch, context: Context
    ) -> None:
        monkeypatch.setattr(xcom.XCom, "get_value", lambda **how: pytest.fail("looked up"))
        sensor = dts(dts_conn_id="nowhere")
        with pytest.raises(MigrationConnectionNotFoundError, match="no connection 'nowhere'"):
            sensor.execute(context)
        assert MigrationConsoleLink().get_link(sensor, ti_key=context["ti"]) == ""

    def test_hold_for_is_logged_once(
        self, play: Play, context: Context, capsys: pytest.CaptureFixture[str]
    ) -> None:
        play(DTS).jump("dts", "dts1", 150)
        wait = dts(hold_for=300)
        wait.poke(context)
        wait.poke(context)
        assert capsys.readouterr().out.count("the target must hold for 300 s") == 1


class TestTime:
    def test_timeout_names_the_last_state(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        with pytest.raises(AirflowSensorTimeout, match=r"Timed out: dts dts1: running .*wanted caught_up"):
            dts(timeout=0).poke(context)

    def test_next_poll_is_no_later_than_the_deadline(self, play: Play, context: Context) -> None:
        play(DTS)
        wait = dts(poke_interval=60, timeout=10)
        wait.poke(context)
        assert wait._get_next_poke_interval(time.monotonic(), lambda: 0.0, 1) <= 10

    def test_next_poll_is_an_interval_away(self) -> None:
        assert dts()._get_next_poke_interval(0.0, lambda: 0.0, 1) == 60

    def test_hold_for_counts_across_reschedules(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS).jump("dts", "dts1", 150)
        assert dts(mode="reschedule", hold_for=0.2).poke(context) is False
        time.sleep(0.25)
        assert dts(mode="reschedule", hold_for=0.2).poke(next_poll(context))

    def test_deadline_restarts_with_a_new_try(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS).jump("dts", "dts1", 150)
        dts(mode="reschedule", hold_for=0.1).poke(context)
        time.sleep(0.15)
        again = next_poll(context)
        again["ti"].try_number = 2
        assert dts(mode="reschedule", hold_for=0.1).poke(again) is False

    @pytest.mark.usefixtures("without_waiting")
    def test_record_of_an_earlier_try_is_forgotten(
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

    def test_deadline_includes_a_long_first_poll(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context]
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        dts(mode="reschedule").poke(context)
        context["task_state_store"]["migration_tracker"]["started_at"] -= 100
        with pytest.raises(AirflowSensorTimeout, match="waited 100 s"):
            dts(mode="reschedule", timeout=90).poke(next_poll(context))


class TestLimits:
    @pytest.mark.parametrize("interval", [5, 90])
    @pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
    def test_poll_is_limited_by_interval_and_deadline(
        self, play: Play, context: Context, monkeypatch: pytest.MonkeyPatch, mode: str, interval: float
    ) -> None:
        """A poll waits for its turn at most an interval, but a minute where that is shorter."""
        play(DTS)
        how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
        wait, seen = dts(**how, poke_interval=interval, timeout=600), []
        ask = wait.hook.get_progress

        def get_progress(**arguments: Any) -> MigrationProgress:
            seen.append(call_limits.get())
            return ask(**arguments)

        monkeypatch.setattr(wait.hook, "get_progress", get_progress)
        with suppress(TaskDeferred):
            wait.poke(context)
        assert seen[0].queue_seconds == max(interval, 60)
        assert seen[0].deadline == pytest.approx(time.monotonic() + 600, abs=10)

    @pytest.mark.parametrize("mode", ["poke", "reschedule"])
    def test_retry_after_beyond_the_interval_is_honoured(
        self, play: Play, context: Context, next_poll: Callable[[Context], Context], mode: str
    ) -> None:
        simulator = play(DTS)
        simulator.jump("dts", "dts1", 50)
        dts(mode=mode).poke(context)
        simulator.set_faults({"kind": "throttle_with_hint", "hint": 60})
        wait = dts(mode=mode, poke_interval=5, timeout=600)
        wait.poke(next_poll(context))
        assert wait._get_next_poke_interval(0.0, lambda: 0.0, 1) == 60

    @pytest.mark.parametrize("mode", ["poke", "reschedule"])
    def test_quota_that_is_used_up_is_polled_after_a_quarter_hour(
        self, play: Play, context: Context, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        def refuse(**_: Any) -> MigrationProgress:
            error = MigrationThrottledError("100 calls a day")
            error.quota_exhausted = True
            raise error

        play(DTS)
        wait = dts(mode=mode, max_poll_errors=0)
        monkeypatch.setattr(wait.hook, "get_progress", refuse)
        assert wait.poke(context) is False
        assert wait._get_next_poke_interval(0.0, lambda: 0.0, 1) == 900
        assert context["ti"].xcom["migration_wait"]["quota_exhausted_since"] is not None

    def test_warnings_are_logged_once(
        self, play: Play, context: Context, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        play(DTS).jump("dts", "dts1", 50)
        wait = dts()
        ask = wait.hook.get_progress
        monkeypatch.setattr(
            wait.hook,
            "get_progress",
            lambda **how: ask(**how).model_copy(update={"warnings": ("the list was refused",)}),
        )
        for _ in range(3):
            wait.poke(context)
        assert capsys.readouterr().out.count("the list was refused") == 1
        assert context["ti"].xcom["migration_wait"]["warnings"] == ["the list was refused"]


class TestDeferring:
    def deferral(self, sensor: MigrationSensor, context: Context) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute(context)
        return deferred.value

    def test_sensor_defers_after_a_first_poll(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        deferral = self.deferral(dts(deferrable=True, timeout=600), context)
        assert context["ti"].xcom["migration_progress"]["state"] == "running"
        assert deferral.method_name == "execute_complete"
        assert deferral.timeout is not None
        assert timedelta(minutes=10) < deferral.timeout <= timedelta(minutes=15)

    def test_sensor_does_not_defer_when_the_first_poll_decides(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 150)
        assert dts(deferrable=True).execute(context) == context["ti"].xcom["migration_progress"]

    def test_trigger_gets_the_last_record(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        trigger = self.deferral(dts(deferrable=True), context).trigger
        assert trigger.tracker.progress.model_dump(mode="json") == context["ti"].xcom["migration_progress"]

    @pytest.mark.parametrize("kind", [tuple, set, frozenset])
    def test_trigger_gets_object_types_as_plain_json(
        self, play: Play, context: Context, kind: Callable[[list[str]], Any]
    ) -> None:
        play({"service": "drs", "job_id": "job-1"}).jump("drs", "job-1", 1)
        sensor = DrsProgressSensor(
            task_id="wait", job_id="job-1", object_types=kind(["table"]), deferrable=True
        )
        trigger = self.deferral(sensor, context).trigger
        assert json.loads(json.dumps(trigger.ids))["object_types"] == ["table"]

    def test_trigger_gets_every_argument_and_no_secret(self, play: Play, context: Context) -> None:
        play(DTS)
        sensor = dts(
            deferrable=True,
            max_lag=7,
            on_paused="skip",
            on_unknown="fail",
            failure_grace=8,
            stall_timeout=13,
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
        wishes = arguments["tracker"]["policy"]
        assert wishes.pop("deadline") - wishes.pop("started_at") == pytest.approx(14)
        assert wishes == {
            "service": "dts",
            "migration_id": "dts1",
            "targets": ["full_done", "succeeded"],
            "max_lag": 7,
            "on_paused": "skip",
            "on_unknown": "fail",
            "failure_grace": 8,
            "stall_timeout": 13,
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
    def test_first_poll_is_the_same_as_in_other_modes(
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
    observed_at=datetime.now(UTC),
    console_url="https://dts.console.aliyun.com/",
).model_dump(mode="json")


@pytest.fixture(autouse=True)
def _fresh_record() -> None:
    """Let the record be as new as it is when the trigger has just fired."""
    RECORD["observed_at"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")


STALE = {**RECORD, "state": "caught_up", "observed_at": "2026-01-01T00:00:00Z"}
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
    def test_event_with_success_returns_its_record(self, context: Context) -> None:
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
    def test_event_with_a_failure_raises_and_leaves_the_record(
        self, context: Context, outcome: str, end: type[Exception]
    ) -> None:
        with pytest.raises(end, match="because"):
            dts().execute_complete(context, event(outcome))
        assert context["ti"].xcom["migration_progress"] == RECORD

    def test_event_without_a_wait_entry_is_accepted(self, context: Context) -> None:
        former = event("done")
        del former["wait"]
        assert dts().execute_complete(context, former) == RECORD
        assert "migration_wait" not in context["ti"].xcom

    def test_event_with_an_error_raises_it(self, context: Context) -> None:
        error = MigrationServiceError("away", service="dts", action="Describe", http_status=503, code="Busy")
        with pytest.raises(MigrationServiceError, match="becauseaway") as raised:
            dts().execute_complete(context, event("poll_error", error=error.to_json(), progress=None))
        assert (raised.value.http_status, raised.value.code) == (503, "Busy")

    def test_event_of_failed_polls_without_an_error_raises(self, context: Context) -> None:
        with pytest.raises(MigrationError, match="because"):
            dts().execute_complete(context, event("poll_error"))

    def test_event_with_an_error_honours_never_fail(self, context: Context) -> None:
        error = MigrationServiceError("away").to_json()
        with pytest.raises(AirflowSkipException):
            dts(never_fail=True).execute_complete(context, event("poll_error", error=error))

    @pytest.mark.parametrize(
        "odd", [None, {}, {"outcome": "success"}, {"outcome": "wait"}, {"status": "done"}]
    )
    def test_event_must_say_success(self, context: Context, odd: dict[str, Any] | None) -> None:
        with pytest.raises(MigrationError, match="without a verdict"):
            dts().execute_complete(context, odd)


class TestStaleSuccess:
    """Between the trigger's event and the task a night may lie, for which a DAG was paused."""

    def stale(self, timeout: float = 600, **fields: Any) -> dict[str, Any]:
        now = time.time()
        wait = {"outcome": "done", "started_at": now - 3600, "deadline": now + timeout}
        history = {
            "polls": 9,
            "last_seen": "x",
            "polled_at": now - 3000,
            "answered_at": now - 3000,
            "held_since": now - 3600,
        }
        return event("done", progress=STALE, wait=wait, history=history, **fields)

    def test_stale_success_that_still_holds_returns_the_new_record(
        self, play: Play, context: Context
    ) -> None:
        play(DTS).jump("dts", "dts1", 150)
        record = dts(deferrable=True, hold_for=600).execute_complete(context, self.stale())
        assert record is not None
        assert record["observed_at"] > STALE["observed_at"]
        assert context["ti"].xcom["migration_progress"] == record
        assert context["ti"].xcom["migration_wait"]["outcome"] == "done"

    def test_stale_success_that_no_longer_holds_waits_again(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        with pytest.raises(TaskDeferred) as deferred:
            dts(deferrable=True, hold_for=600).execute_complete(context, self.stale())
        watch = deferred.value.trigger.tracker
        assert watch.history.held_since is None
        assert watch.policy.deadline == pytest.approx(time.time() + 600, abs=10)
        assert deferred.value.timeout == pytest.approx(timedelta(seconds=900), abs=timedelta(seconds=10))
        assert context["ti"].xcom["migration_wait"]["outcome"] is None
        assert context["ti"].xcom["migration_progress"]["state"] == "running"

    @pytest.mark.usefixtures("without_waiting")
    def test_stale_success_that_cannot_be_checked_is_a_failed_poll(
        self, play: Play, context: Context
    ) -> None:
        play(DTS, faults=(FAULT,))
        with pytest.raises(TaskDeferred) as deferred:
            dts(deferrable=True, hold_for=600).execute_complete(context, self.stale())
        history = deferred.value.trigger.tracker.history
        assert (history.poll_errors, history.held_since) == (1, None)
        assert context["ti"].xcom["migration_wait"]["poll_errors"] == 1

    @pytest.mark.parametrize(
        ("script", "seconds", "timeout", "end"),
        [
            ("failure", 90, 600, MigrationFailedError),
            ("success", 50, -60, AirflowSensorTimeout),
        ],
    )
    @pytest.mark.parametrize("soft_fail", [True, False])
    def test_stale_success_that_became_a_failure_fails(
        self,
        play: Play,
        context: Context,
        script: str,
        seconds: float,
        timeout: float,
        end: type[Exception],
        soft_fail: bool,
    ) -> None:
        play({**DTS, "script": script}).jump("dts", "dts1", seconds)
        with pytest.raises(AirflowSkipException if soft_fail else end):
            dts(deferrable=True, soft_fail=soft_fail).execute_complete(context, self.stale(timeout))

    def test_stale_success_that_holds_after_the_deadline_succeeds(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 150)
        assert dts(deferrable=True).execute_complete(context, self.stale(-60))

    def test_stale_success_of_an_older_version_is_checked(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        former = self.stale()
        del former["wait"], former["history"]
        with pytest.raises(TaskDeferred):
            dts(deferrable=True).execute_complete(context, former)

    @pytest.mark.parametrize(
        ("interval", "age", "is_asked"),
        [(60, 50, False), (60, 70, True), (10, 15, False), (10, 25, True), (300, 70, True), (60, -70, True)],
    )
    def test_stale_success_is_older_than_two_intervals_or_a_minute(
        self, play: Play, context: Context, interval: float, age: float, is_asked: bool
    ) -> None:
        simulator = play(DTS)
        simulator.jump("dts", "dts1", 150)
        seen_at = datetime.now(UTC) - timedelta(seconds=age)
        told = self.stale() | {"progress": {**STALE, "observed_at": seen_at.isoformat()}}
        dts(poke_interval=interval).execute_complete(context, told)
        assert bool(simulator.requests) is is_asked

    @pytest.mark.parametrize("outcome", ["fail", "timeout", "skip"])
    def test_stale_failure_is_not_checked(self, play: Play, context: Context, outcome: str) -> None:
        simulator = play(DTS)
        with pytest.raises((MigrationFailedError, AirflowSensorTimeout, AirflowSkipException)):
            dts().execute_complete(context, event(outcome, progress=STALE))
        assert simulator.requests == []


class TestSkipping:
    """soft_fail and never_fail, over what can end a wait and the modes it can end in."""

    @pytest.mark.usefixtures("airflow_database")
    @pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable", "resumed"])
    @pytest.mark.parametrize(
        ("error", "soft_fail_skips"),
        [
            (MigrationConfigurationError("no"), True),
            (MigrationConnectionNotFoundError("no"), True),
            (MigrationNotFoundError("no"), True),
            (MigrationAuthenticationError("no"), True),
            (MigrationServiceError("no"), False),
            (MigrationThrottledError("no"), False),
        ],
    )
    @pytest.mark.parametrize("how", ["soft_fail", "never_fail", None])
    def test_skip_is_the_same_in_every_mode(
        self, play: Play, context: Context, mode: str, error: Any, soft_fail_skips: bool, how: str | None
    ) -> None:
        def refuse(**_: Any) -> MigrationProgress:
            raise error

        play(DTS)
        policy = {how: True} if how else {}
        modes: dict[str, dict[str, Any]] = {"poke": {}, "reschedule": {"mode": "reschedule"}}
        wait = dts(max_poll_errors=0, **policy, **modes.get(mode, {"deferrable": True}))
        is_skipped = how == "never_fail" or (how == "soft_fail" and soft_fail_skips)
        wait.hook.get_progress = refuse
        told = event("poll_error", error=error.to_json())
        end = (
            partial(wait.execute_complete, context, told)
            if mode == "resumed"
            else partial(wait.execute, context)
        )
        with pytest.raises(AirflowSkipException if is_skipped else type(error)):
            end()

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_skip_covers_bad_connections_and_targets(
        self, play: Play, context: Context, monkeypatch: pytest.MonkeyPatch, deferrable: bool
    ) -> None:
        play(DTS)
        with pytest.raises(AirflowSkipException):
            dts(target_status="Finnished", soft_fail=True, deferrable=deferrable).execute(context)

        def refuse(sensor: MigrationSensor) -> dict[str, Any]:
            raise MigrationConfigurationError("api is wrong")

        monkeypatch.setattr(DtsMigrationJobSensor, "_hook_arguments", refuse)
        with pytest.raises(AirflowSkipException):
            dts(soft_fail=True, deferrable=deferrable).execute(context)
        with pytest.raises(MigrationConfigurationError, match="api is wrong"):
            dts(deferrable=deferrable).execute(context)


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 reads links through the backend too")
class TestCustomXComBackend:
    """A backend that keeps each value in a file, under a new name each time or always the same one."""

    @pytest.fixture
    def database(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, is_renaming: bool) -> dict[str, Any]:
        from airflow.sdk.bases.xcom import BaseXCom
        from airflow.sdk.execution_time.comms import XComResult

        rows: dict[str, Any] = {}

        class Files(BaseXCom):
            @staticmethod
            def serialize_value(value: Any, *, key: str = "", **_: Any) -> str:
                count = len(list(tmp_path.iterdir())) if is_renaming else 0
                path = (
                    tmp_path / f"{key}.{time.monotonic_ns()}" if is_renaming else tmp_path / f"{key}.{count}"
                )
                path.write_text(json.dumps(value))
                return f"file://{path}"

            @staticmethod
            def deserialize_value(result: Any) -> Any:
                return json.loads((tmp_path / result.value.rsplit("/", 1)[1]).read_text())

            @classmethod
            def purge(cls, xcom: Any, *_: Any) -> None:
                (tmp_path / xcom.value.rsplit("/", 1)[1]).unlink()

            @classmethod
            def _set_xcom_in_db(cls, key: str, value: Any, **_: Any) -> None:
                rows[key] = value

            @classmethod
            def _get_xcom_db_ref(cls, *, key: str, **_: Any) -> XComResult:
                return XComResult(key=key, value=rows.get(key))

        def push(ti: Any, key: str, value: Any) -> None:
            rows[key] = Files.serialize_value(value, key=key)

        monkeypatch.setattr(xcom, "XCom", Files)
        monkeypatch.setattr(TaskInstance, "xcom_push", push)
        return rows

    @pytest.mark.parametrize("is_renaming", [True, False])
    def test_xcom_backend_keeps_one_object_per_key(
        self, play: Play, context: Context, database: dict[str, Any], tmp_path: Any
    ) -> None:
        simulator, wait = play(DTS), dts()
        for seconds in (30, 40, 50):
            simulator.jump("dts", "dts1", seconds)
            wait.poke(context)
        assert database["migration_console_url"].startswith("https://dts.console.aliyun.com/")
        kept = sorted(path.name.partition(".")[0] for path in tmp_path.iterdir())
        assert kept == ["migration_history", "migration_progress", "migration_wait"]
        link = MigrationConsoleLink()
        assert link.get_link(dts(), ti_key=context["ti"]) == database["migration_console_url"]
        del database["migration_console_url"]
        assert link.get_link(dts(), ti_key=context["ti"]) == ""

    @pytest.mark.parametrize("is_renaming", [True])
    def test_xcom_backend_is_written_when_a_purge_fails(
        self,
        play: Play,
        context: Context,
        database: dict[str, Any],
        tmp_path: Any,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def purge(*_: Any) -> None:
            raise OSError("the store of secret-bucket is read-only")

        simulator, wait = play(DTS), dts()
        wait.poke(context)
        before = database["migration_progress"]
        monkeypatch.setattr(xcom.XCom, "purge", purge)
        simulator.jump("dts", "dts1", 50)
        with caplog.at_level(logging.INFO):
            assert wait.poke(context) is False
        assert database["migration_progress"] != before
        assert (
            "The previous value of XCom migration_progress could not be purged from the backend: OSError"
            in caplog.text
        )
        assert "secret-bucket" not in caplog.text

    @pytest.mark.parametrize("is_renaming", [True])
    async def test_xcom_backend_gets_the_same_from_the_trigger(
        self, play: Play, context: Context, database: dict[str, Any], monkeypatch: Any, tmp_path: Any
    ) -> None:
        from airflow_provider_migration.triggers import migration

        play(DTS).jump("dts", "dts1", 50)

        def put(key: str, value: Any, **_: Any) -> None:
            database[key] = xcom.XCom.serialize_value(value, key=key)

        monkeypatch.setattr(migration.XCom, "set", put)
        with pytest.raises(TaskDeferred) as deferred:
            dts(deferrable=True, poke_interval=1, timeout=1.5).poke(context)
        database.clear()
        for path in tmp_path.iterdir():
            path.unlink()
        trigger = deferred.value.trigger
        trigger.tracker.outbox.written.clear()
        await anext(trigger.run())
        assert database["migration_console_url"].startswith("https://dts.console.aliyun.com/")
        assert len(list(tmp_path.iterdir())) == 3


class TestOutlets:
    """Events of a task's outlets."""

    @pytest.fixture
    def context(self, context: Context) -> Context:
        if AIRFLOW_V_3_0_PLUS:
            from airflow.sdk.execution_time.context import OutletEventAccessors
        else:
            from airflow.utils.context import OutletEventAccessors
        return {**context, "outlet_events": OutletEventAccessors()}

    def test_asset_event_carries_the_final_figures(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 150)
        assets = [Asset("customers"), Asset("orders")]
        result = dts(outlets=[*assets, AssetAlias("whatever")]).poke(context)
        assert isinstance(result, PokeReturnValue)
        for asset in assets:
            extra = context["outlet_events"][asset].extra
            assert (extra["migration_id"], extra["state"], extra["lag_seconds"]) == ("dts1", "caught_up", 0)
            assert extra.items() <= result.xcom_value.items()

    @pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no references")
    @pytest.mark.parametrize("how", [{"name": "customers"}, {"uri": "s3://customers"}])
    @pytest.mark.parametrize("is_known", [True, False])
    def test_asset_reference_carries_the_figures(
        self, context: Context, monkeypatch: pytest.MonkeyPatch, how: dict[str, str], is_known: bool
    ) -> None:
        from airflow.sdk.definitions.asset import AssetUniqueKey

        asset = Asset("customers", uri="s3://customers")

        def resolve(accessors: Any, ref: Any) -> Any:
            if not is_known:
                raise LookupError("no such asset")
            return AssetUniqueKey.from_asset(asset), asset

        monkeypatch.setattr(type(context["outlet_events"]), "_resolve_asset_ref", resolve)
        dts(outlets=[Asset.ref(**how)]).execute_complete(context, event("done"))
        extra = context["outlet_events"][asset].extra
        assert ("percent" in extra) is is_known

    def test_asset_event_is_the_same_when_deferred(self, context: Context) -> None:
        asset = Asset("customers")
        dts(outlets=[asset]).execute_complete(context, event("done"))
        extra = context["outlet_events"][asset].extra
        assert extra == {name: RECORD[name] for name in extra}
        assert "percent" in extra

    def test_asset_event_is_empty_while_waiting(self, play: Play, context: Context) -> None:
        play(DTS).jump("dts", "dts1", 50)
        assert dts(outlets=[Asset("customers")]).poke(context) is False
        assert len(context["outlet_events"]) == 0


class TestLineage:
    """Lineage, read by OpenLineage's own extractor."""

    def test_lineage_of_dts_names_both_instances(self, play: Play) -> None:
        play(DTS)
        lineage = DefaultExtractor(dts()).extract_on_complete(None)
        assert lineage is not None
        (source,), (destination,) = lineage.inputs, lineage.outputs
        assert (source.namespace, source.name) == ("mysql://rm-bp1source", "rm-bp1source")
        assert (destination.namespace, destination.name) == ("mysql://rm-bp1destination", "rm-bp1destination")

    @each_service
    def test_lineage_of_other_services_is_empty(
        self,
        play: Play,
        service: Service,
    ) -> None:
        simulator = play(service.migration(script="success", duration=100))
        wait = service.sensor(task_id="wait", **service.ids)
        lineage = DefaultExtractor(wait).extract_on_complete(None)
        assert (lineage is not None) == bool(simulator.requests) == (service.name == "dts")

    def test_lineage_of_a_failed_migration_is_empty(self, play: Play) -> None:
        simulator = play(DTS)
        assert DefaultExtractor(dts()).extract_on_failure(None) is None
        assert simulator.requests == []


def test_dag_file_with_sensors_loads_no_hook_or_transport() -> None:
    imports = "\n".join(f"import {service.sensor.__module__}" for service in SERVICES)
    program = f"""
import sys
from airflow.providers.common.compat.sdk import BaseSensorOperator
BaseSensorOperator(task_id="other")
before = set(sys.modules)  # Airflow 2.11 loads requests itself
{imports}
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", deferrable=True)
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = done.stdout.splitlines()[-1].split()
    read_by_airflow = "airflow_provider_migration.get_provider_info"  # from 3.2 on
    ours = {name for name in loaded if name.startswith("airflow_provider_migration.")} - {read_by_airflow}
    assert ours == {
        "airflow_provider_migration.keys",
        "airflow_provider_migration.links",
        "airflow_provider_migration.sensors",
        "airflow_provider_migration.sensors.base",
        *(service.sensor.__module__ for service in SERVICES),
    }
    assert not {"requests", "aiohttp", "fastapi", "starlette"} & set(loaded)


def test_sensors_are_airflow_sensors() -> None:
    assert all(issubclass(service.sensor, BaseSensorOperator) for service in SERVICES)
