"""OceanBase Migration Service: what its answers mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.oms import ASK_AGAIN_AFTER, STEPS, HostedOmsApi, OmsApi
from airflow_provider_migration.services.wire import MAX_CACHED
from airflow_provider_migration.transport import aio, sync
from airflow_provider_migration.transport.settings import TransportConfig
from airflow_provider_migration.wait.policy import WaitPolicy, target_reached
from airflow_provider_migration.wait.tracker import WaitTracker
from tests.servers import Server, http
from tests.simulators import BriefSimulator

NOW = datetime(2022, 8, 23, 7, 22, 30, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())
API = OmsApi(endpoint="http://oms.example:8089", signer=BasicSigner("user", "secret"), clock=lambda: NOW)

Ask = Callable[..., MigrationProgress]


def project(status: Any = "RUNNING", step: Any = "INCR_SYNC", **changes: Any) -> dict[str, Any]:
    """Make a project whose bulk work is done and whose increment is 5 s behind, with changes."""
    data = {
        "status": status,
        "currentStep": step,
        "enableStructMigration": True,
        "enableFullMigration": True,
        "enableIncrSync": True,
        "enableReverseIncrSync": False,
        "structMigrationProgress": 100,
        "fullMigrationProgress": 100,
        "incrSyncCheckpoint": NOW_SECONDS - 5,
        "reverseIncrSyncCheckpoint": None,
        **changes,
    }
    return {"success": True, "code": None, "data": data}


@pytest.fixture(scope="module")
def ask(talk: Any) -> Ask:
    return lambda body, max_lag=60: talk(API.progress("p_1", max_lag=max_lag), body).result


# --- the request ----------------------------------------------------------------------------------------


def test_request_is_as_documented(talk: Any) -> None:
    (request,) = talk(API.progress("p_3xj9****", max_lag=60), project()).requests
    assert (request.method, request.body) == ("GET", b"")
    assert request.url == "http://oms.example:8089/api/omsp/v2/migrations/p_3xj9%2A%2A%2A%2A/progress"
    assert request.headers == {"accept": "application/json"}
    assert request.signer is API.signer


def test_id_is_quoted_in_the_path(talk: Any) -> None:
    (request,) = talk(API.progress("../x?y#z", max_lag=60), project()).requests
    assert request.url == "http://oms.example:8089/api/omsp/v2/migrations/..%2Fx%3Fy%23z/progress"


@pytest.mark.parametrize("project_id", ["", None, "p\n1"])
def test_wrong_id_is_refused_before_a_request(talk: Any, project_id: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="project_id"):
        talk(API.progress(project_id, max_lag=60))


# --- the status of the project --------------------------------------------------------------------------

STATUSES = [
    ("INIT", "pending"),
    ("RUNNING", "caught_up"),
    ("RUNNING_MODIFYING", "running"),
    ("RUNNING_MERGING", "running"),
    ("RUNNING_ALARMING", "running"),
    ("SUSPEND", "paused"),
    ("FINISHED", "succeeded"),
    ("FAILED", "failed"),
    ("RELEASING", "cancelled"),
    ("RELEASED", "cancelled"),
    ("DELETED", "cancelled"),
]
NOT_STATUSES = ["UNKNOWN", "SUSPENDED", "FINISH", 1, 0.5]
NO_STATUSES = ["", " ", None, True, [], ["RUNNING"], {}]


@pytest.mark.parametrize("spell", [str, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_documented_status_has_its_state(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    progress = ask(project(spell(word)))
    assert (progress.state, progress.service_status) == (state, spell(word).strip())


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_unknown_status_is_not_an_error(ask: Ask, word: Any) -> None:
    assert ask(project(word)).state == "unknown"


@pytest.mark.parametrize("data", [None, [], "", 5, {}, *({"status": word} for word in NO_STATUSES)])
@pytest.mark.parametrize("form", ["omsp v2", "action", "hosted"])
def test_status_missing_is_a_transient_error(talk: Any, form: str, data: Any) -> None:
    api, project_id = {"omsp v2": (API, "p_1"), "action": (API, "np_1"), "hosted": (HOSTED, "np_1")}[form]
    with pytest.raises(MigrationResponseError, match="no status in the response") as caught:
        talk(api.progress(project_id, max_lag=60), {"success": True, "requestId": "r-1", "data": data})
    assert caught.value.request_id == "r-1"


# --- the samples of the documentation -------------------------------------------------------------------


def test_documented_sample_lags_by_its_reverse_checkpoint(ask: Ask, sample: Any) -> None:
    progress = ask(sample("oms_progress_reverse_incremental"))
    assert progress.model_dump(mode="json", exclude={"phases", "observed_at"}) == {
        "schema_version": 1,
        "service": "oms",
        "migration_id": "p_1",
        "name": None,
        "state": "caught_up",
        "service_status": "RUNNING",
        "percent": 100,
        "lag_seconds": 18,
        "checkpoint": "2022-08-23T07:22:12Z",
        "error": None,
        "objects": None,
        "verification": None,
        "throughput": None,
        "remaining_seconds": None,
        "remaining_source": None,
        "retrying": None,
        "request_id": None,
        "console_url": "http://oms.example:8089/",
    }
    assert [(phase.name, phase.state, phase.service_status) for phase in progress.phases] == [
        ("precheck", "succeeded", None),
        ("structure", "succeeded", None),
        ("full", "succeeded", None),
        ("incremental", "succeeded", None),
        ("reverse_incremental", "caught_up", "REVERSE_INCR_SYNC"),
    ]


def test_numbers_out_of_range_are_null(ask: Ask, sample: Any) -> None:
    progress = ask(sample("oms_progress_out_of_range"))
    assert (progress.state, progress.percent) == ("pending", None)
    assert (progress.lag_seconds, progress.checkpoint) == (None, None)
    assert [(phase.name, phase.percent) for phase in progress.phases] == [
        ("precheck", None),
        ("structure", None),
        ("full", None),
        ("incremental", None),
    ]


def test_progress_model_has_the_documented_fields(talk: Any, sample: Any) -> None:
    result = talk(API.get_migration_progress("p_1"), sample("oms_progress_out_of_range")).result
    assert (result.success, result.code, result.advice) == (True, "success", "ikxwe****")
    assert result.data.full_migration_progress == 8897


# --- caught up ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_caught_up"),
    [
        ({}, True),
        ({"incrSyncCheckpoint": NOW_SECONDS - 60}, True),
        ({"incrSyncCheckpoint": NOW_SECONDS - 61}, False),
        ({"incrSyncCheckpoint": str(NOW_SECONDS)}, True),
        ({"incrSyncCheckpoint": NOW_SECONDS * 1000}, True),
        ({"incrSyncCheckpoint": NOW_SECONDS + 30}, True),
        ({"incrSyncCheckpoint": NOW_SECONDS + 10 * 86400}, False),
        ({"incrSyncCheckpoint": None}, False),
        ({"incrSyncCheckpoint": 0}, False),
        ({"incrSyncCheckpoint": -1}, False),
        ({"incrSyncCheckpoint": 3628}, False),
        ({"incrSyncCheckpoint": "12,345"}, False),
        ({"incrSyncCheckpoint": True}, False),
        ({"fullMigrationProgress": 99.99}, False),
        ({"fullMigrationProgress": 5151}, False),
        ({"fullMigrationProgress": None}, False),
        ({"fullMigrationProgress": "100"}, True),
        ({"structMigrationProgress": 99}, False),
        ({"enableFullMigration": False, "fullMigrationProgress": 0}, True),
        ({"enableFullMigration": None, "fullMigrationProgress": None}, False),
        ({"enableStructMigration": None, "structMigrationProgress": None}, False),
        ({"enableIncrSync": False}, False),
        ({"enableIncrSync": None}, True),
        ({"enableIncrSync": None, "currentStep": "FULL_MIGRATION"}, False),
        ({"enableIncrSync": "true"}, True),
        ({"currentStep": "incr_sync"}, True),
        ({"currentStep": "APP_SWITCH"}, True),
        ({"currentStep": "FULL_MIGRATION"}, False),
        ({"currentStep": "INCR_LOG_PULL"}, False),
        ({"currentStep": "SOMETHING_NEW"}, False),
        ({"currentStep": None}, False),
    ],
)
def test_running_project_with_a_small_lag_is_caught_up(ask: Ask, changes: Any, is_caught_up: bool) -> None:
    assert ask(project(**changes)).state == ("caught_up" if is_caught_up else "running")


@pytest.mark.parametrize("step", ["REVERSE_INCR_SYNC", "REVERSE_INCR_TRANSFER"])
@pytest.mark.parametrize(
    ("changes", "lag"),
    [
        ({"enableReverseIncrSync": True, "reverseIncrSyncCheckpoint": NOW_SECONDS - 9}, 9),
        ({"enableReverseIncrSync": True, "reverseIncrSyncCheckpoint": NOW_SECONDS + 9}, 0),
        ({"enableReverseIncrSync": True, "reverseIncrSyncCheckpoint": None}, None),
        ({"enableReverseIncrSync": False, "reverseIncrSyncCheckpoint": NOW_SECONDS - 9}, None),
    ],
)
def test_reverse_step_has_the_reverse_lag(ask: Ask, step: str, changes: Any, lag: Any) -> None:
    progress = ask(project(step=step, incrSyncCheckpoint=NOW_SECONDS - 73046, **changes))
    assert progress.lag_seconds == lag
    assert progress.state == ("running" if lag is None else "caught_up")


@pytest.mark.parametrize("status", ["INIT", "SUSPEND", "FAILED", "FINISHED", "RELEASED", "ODD"])
def test_lag_needs_a_running_project(ask: Ask, status: str) -> None:
    assert ask(project(status)).lag_seconds is None


def test_lag_needs_the_incremental_step(ask: Ask) -> None:
    progress = ask(project(step="FULL_MIGRATION", fullMigrationProgress=10))
    assert (progress.lag_seconds, progress.checkpoint) == (None, None)


# --- phases and percent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "phases"),
    [
        (
            project("INIT", "PRE_CHECK", structMigrationProgress=0, fullMigrationProgress=None),
            ["precheck pending", "structure pending", "full pending", "incremental pending"],
        ),
        (
            project(step="PRE_CHECK", structMigrationProgress=0, fullMigrationProgress=0),
            ["precheck running", "structure pending", "full pending", "incremental pending"],
        ),
        (
            project(step="PREPARE", structMigrationProgress=0, fullMigrationProgress=0),
            ["precheck running", "structure pending", "full pending", "incremental pending"],
        ),
        (
            project(step="STRUCT_MIGRATION", structMigrationProgress=40, fullMigrationProgress=0),
            ["precheck succeeded", "structure running", "full pending", "incremental pending"],
        ),
        (
            project(step="FULL_MIGRATION", fullMigrationProgress=40),
            ["precheck succeeded", "structure succeeded", "full running", "incremental pending"],
        ),
        (
            project("FAILED", "FULL_MIGRATION", fullMigrationProgress=40),
            ["precheck succeeded", "structure succeeded", "full failed", "incremental pending"],
        ),
        (
            project(step="INCR_SYNC", fullMigrationProgress=40),
            ["precheck succeeded", "structure succeeded", "full running", "incremental running"],
        ),
        (
            project("SUSPEND", "INCR_SYNC"),
            ["precheck succeeded", "structure succeeded", "full succeeded", "incremental paused"],
        ),
        (
            project(step="NEW_STEP", fullMigrationProgress=40),
            ["precheck unknown", "structure succeeded", "full running", "incremental unknown"],
        ),
        (
            project("FINISHED", "APP_SWITCH", fullMigrationProgress=None),
            ["precheck succeeded", "structure succeeded", "full succeeded", "incremental succeeded"],
        ),
        (
            project("RELEASED", "FULL_MIGRATION", fullMigrationProgress=40, enableIncrSync=False),
            ["precheck succeeded", "structure succeeded", "full cancelled"],
        ),
        (
            project(enableStructMigration=None, structMigrationProgress=50, enableFullMigration="false"),
            ["precheck succeeded", "structure running", "incremental running"],
        ),
    ],
)
def test_phases_follow_step_and_progress(ask: Ask, body: Any, phases: list[str]) -> None:
    assert [f"{phase.name} {phase.state}" for phase in ask(body).phases] == phases


@pytest.mark.parametrize(
    ("structure", "full", "percent"),
    [
        (100, 40, 70),
        ("100", "40%", 70),
        (100, 5151, None),
        (100, -1, None),
        (100, None, None),
        (100, "x", None),
    ],
)
def test_percent_is_the_mean_of_the_bulk_phases(ask: Ask, structure: Any, full: Any, percent: Any) -> None:
    body = project(step="FULL_MIGRATION", structMigrationProgress=structure, fullMigrationProgress=full)
    assert ask(body).percent == percent


# --- what it has passed ---------------------------------------------------------------------------------

ORDER = [words for _, words in STEPS]


@pytest.mark.parametrize("rank", range(len(ORDER)))
def test_step_is_reached_at_and_past_it(ask: Ask, rank: int) -> None:
    for step in ORDER[rank]:
        progress = ask(project(step=step))
        assert all(target_reached(progress, word) for words in ORDER[: rank + 1] for word in words)
        assert not any(target_reached(progress, word) for words in ORDER[rank + 1 :] for word in words)


@pytest.mark.parametrize(
    ("status", "reached", "not_reached"),
    [
        ("INIT", ["INIT", "pending"], ["RUNNING"]),
        ("RUNNING", ["INIT", "RUNNING"], ["FINISHED"]),
        ("RUNNING_MODIFYING", ["INIT", "RUNNING", "RUNNING_MODIFYING"], ["RUNNING_MERGING", "FINISHED"]),
        ("FINISHED", ["INIT", "RUNNING", "FINISHED", "APP_SWITCH"], ["RELEASED", "REVERSE_INCR_SYNC"]),
        ("RELEASED", ["RELEASED", "cancelled"], ["INIT", "RUNNING", "PRE_CHECK", "INCR_SYNC", "succeeded"]),
        ("DELETED", ["DELETED"], ["RELEASED", "FULL_MIGRATION"]),
        ("FAILED", ["FAILED", "INDEX_MIGRATION"], ["INCR_SYNC", "APP_SWITCH", "FINISHED"]),
        ("ODD", ["odd"], ["INCR_SYNC", "RUNNING"]),
    ],
)
def test_status_is_reached_at_and_past_it(
    ask: Ask, status: str, reached: list[str], not_reached: list[str]
) -> None:
    progress = ask(project(status))
    assert [word for word in reached if not target_reached(progress, word)] == []
    assert [word for word in not_reached if target_reached(progress, word)] == []


# --- errors ---------------------------------------------------------------------------------------------


def test_failed_project_has_the_reason_of_newer_releases(ask: Ask) -> None:
    detail = {"code": "CM-RESONF000001", "message": "no alive host", "proposal": "add a host"}
    error = ask({**project("FAILED"), "errorDetail": detail}).error
    assert error is not None
    assert (error.code, error.message, error.remedy) == ("CM-RESONF000001", "no alive host", "add a host")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("FULL_MIGRATION", "OMS reports FAILED at step FULL_MIGRATION."),
        (None, "OMS reports FAILED and gives no reason."),
    ],
)
def test_failed_project_of_an_older_release_names_its_step(ask: Ask, step: Any, message: str) -> None:
    error = ask(project("FAILED", step)).error
    assert error is not None
    assert (error.code, error.message) == ("FAILED", message)
    assert "resume" in str(error.remedy)


@pytest.mark.parametrize("status", ["RUNNING", "SUSPEND", "RELEASED", "ODD"])
def test_project_without_a_failure_has_no_error(ask: Ask, status: str) -> None:
    assert ask({**project(status), "errorDetail": {"message": "old"}}).error is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"success": False, "code": "GHANA-PROJECT000001"}, MigrationNotFoundError),
        (200, {"success": "false", "code": "GHANA-PROJECT000001"}, MigrationNotFoundError),
        (200, {"Success": False, "Code": "ghana-project000001"}, MigrationNotFoundError),
        (200, {"success": False, "errorDetail": {"code": "GHANA-PROJECT000001"}}, MigrationNotFoundError),
        (200, {"success": False, "code": "GHANA-OPERAT000101"}, MigrationPermissionError),
        (200, {"success": False, "code": "PARAM_ERROR"}, MigrationRequestError),
        (200, {"success": False, "code": "GHANA-OPERIE000000"}, MigrationServiceError),
        (200, {"success": False, "code": "INNER_ERROR"}, MigrationServiceError),
        (200, {"success": False}, MigrationServiceError),
        (200, {"success": False, "code": 500}, MigrationServiceError),
        (401, {"message": "no"}, MigrationAuthenticationError),
        (403, {}, MigrationPermissionError),
        (404, {"code": "GHANA-PROJECT000001"}, MigrationNotFoundError),
        (500, {"success": True}, MigrationServiceError),
    ],
)
def test_refusal_class_follows_its_code(
    talk: Any, response: Any, status: int, body: Any, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(API.progress("p_1", max_lag=60), response(body, status))
    assert type(caught.value) is error
    assert (caught.value.service, caught.value.action) == ("oms", "GetMigrationProgress")
    assert caught.value.http_status == status


@pytest.mark.parametrize("code", [None, "success", 200, "GHANA-PROJECT000001"])
def test_success_field_alone_decides(ask: Ask, code: Any) -> None:
    assert ask({**project(), "code": code, "message": "m", "advice": "a"}).state == "caught_up"


def test_refusal_names_message_advice_and_request_id(talk: Any) -> None:
    body = {
        "success": False,
        "code": "GHANA-OPERIE000000",
        "message": None,
        "requestId": "r-9",
        "errorDetail": {"message": "internal error", "proposal": "call support"},
    }
    with pytest.raises(MigrationServiceError) as caught:
        talk(API.progress("p_1", max_lag=60), body)
    assert (caught.value.code, caught.value.request_id) == ("GHANA-OPERIE000000", "r-9")
    for part in ("oms.example:8089", "HTTP 200", "internal error; call support", "request id r-9"):
        assert part in str(caught.value)


# --- the actions of newer consoles ----------------------------------------------------------------------

TRANSFER_NAMES = {
    "importance": "alarmLevel",
    "enableStructMigration": "enableStructTransfer",
    "enableFullMigration": "enableFullTransfer",
    "enableReverseIncrSync": "enableReverseIncrTransfer",
    "structMigrationProgress": "structTransferProgress",
    "fullMigrationProgress": "fullTransferProgress",
    "reverseIncrSyncCheckpoint": "reverseIncrTransferCheckpoint",
}
NO_STEPS: dict[str, Any] = {"success": True, "data": []}
WELL: dict[str, Any] = {
    "success": True,
    "data": [{"name": name, "status": "RUNNING"} for name in ("INCR_TRANSFER", "REVERSE_INCR_TRANSFER")],
}


def transfer(status: Any = "RUNNING", step: Any = "INCR_TRANSFER", **changes: Any) -> dict[str, Any]:
    """Make the same project as DescribeProjectProgress tells it."""
    body = project(status, step, **changes)
    data = {TRANSFER_NAMES.get(name, name): value for name, value in body["data"].items()}
    return {**body, "data": data}


def steps(*items: dict[str, Any]) -> dict[str, Any]:
    return {"success": True, "data": list(items)}


def sampled(lag: float, age: float = 2, name: str = "INCR_TRANSFER") -> dict[str, Any]:
    """Make an incremental step of which OMS took a sample some seconds ago."""
    at = NOW_SECONDS - age
    info = {"incrTimestampCheckpoint": at - lag, "checkpointSampleTimestamp": at}
    return {"order": 6, "name": name, "status": "MONITORING", "stepInfo": info}


def test_newer_id_selects_the_newer_calls(talk: Any) -> None:
    requests = talk(API.progress("np_4w3a", max_lag=60), transfer(), NO_STEPS).requests
    assert [(request.action, request.method, request.url) for request in requests] == [
        (action, "POST", f"http://oms.example:8089/api/v2?Action={action}")
        for action in ("DescribeProjectProgress", "DescribeProjectSteps")
    ]
    for request in requests:
        assert json.loads(request.body) == {"id": "np_4w3a"}
        assert request.headers == {"accept": "application/json", "content-type": "application/json"}
        assert request.signer is API.signer


@pytest.mark.parametrize(
    ("api", "project_id", "action"),
    [
        (None, "p_1", "GetMigrationProgress"),
        (None, "np_1", "DescribeProjectProgress"),
        (None, " np_1", "DescribeProjectProgress"),
        (None, "another", "GetMigrationProgress"),
        ("GetMigrationProgress", "np_1", "GetMigrationProgress"),
        ("DescribeProjectProgress", "p_1", "DescribeProjectProgress"),
    ],
)
def test_call_follows_from_the_id(api: str | None, project_id: str, action: str) -> None:
    assert next(replace(API, api=api).progress(project_id, max_lag=60)).action == action


@pytest.mark.parametrize("step", ["FULL_TRANSFER", "INCR_TRANSFER", "REVERSE_INCR_TRANSFER"])
@pytest.mark.parametrize("status", ["INIT", "RUNNING", "SUSPEND", "FAILED", "FINISHED", "RELEASED"])
def test_calls_return_the_same_record(ask: Ask, talk: Any, status: str, step: str) -> None:
    changes = {
        "enableReverseIncrSync": True,
        "fullMigrationProgress": 100,
        "reverseIncrSyncCheckpoint": NOW_SECONDS - 7,
    }
    answers = [transfer(status, step, **changes)]
    if status in ("RUNNING", "SUSPEND", "FAILED"):
        answers.append(WELL)
    record = talk(API.progress("np_1", max_lag=60), *answers).result
    assert record.console_url == "http://oms.example:8089/oms-v2/migration"
    # The older call has no steps, and so no verification.
    older = {"verification": None, "verification_remedy": None}
    older |= {"migration_id": "p_1", "console_url": "http://oms.example:8089/"}
    assert record.model_copy(update=older) == ask(project(status, step, **changes))


@pytest.mark.parametrize(
    ("step", "lag", "state"),
    [
        (sampled(1), 1, "caught_up"),
        (sampled(61), 61, "running"),
        (sampled(0), 0, "caught_up"),
        (sampled(-3), 0, "caught_up"),
        (sampled(1, age=60), 1, "caught_up"),
        (sampled(1, age=-30), 1, "caught_up"),
        (sampled(1, age=61), 5, "caught_up"),
        (sampled(1, age=-61), 66, "running"),  # a minute ahead of the checkpoint of the project
        (sampled(1, age=-3600), 3605, "running"),
        (sampled(1, name="FULL_TRANSFER"), 5, "running"),
        (sampled(1, name="REVERSE_INCR_TRANSFER"), 5, "running"),
        ({**sampled(1), "stepInfo": {"incrTimestampCheckpoint": NOW_SECONDS}}, 5, "caught_up"),
        ({**sampled(1), "stepInfo": {"checkpointSampleTimestamp": NOW_SECONDS}}, 5, "caught_up"),
        ({**sampled(1), "stepInfo": None}, 5, "caught_up"),
        ({**sampled(1), "stepInfo": "odd"}, 5, "caught_up"),
        ({**sampled(1), "status": None}, 1, "running"),
    ],
)
def test_lag_follows_the_clock_of_oms(talk: Any, step: dict[str, Any], lag: float, state: str) -> None:
    record = talk(API.progress("np_1", max_lag=60), transfer(), steps(step)).result
    assert (record.lag_seconds, record.state) == (lag, state)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("MONITORING", "caught_up"),
        ("RUNNING", "caught_up"),
        ("FINISHED", "caught_up"),
        ("ODD", "running"),
        ("INIT", "running"),
        ("", "running"),
        ("FAILED", "running"),
        ("suspend", "running"),
    ],
)
def test_stalled_increment_is_not_in_sync(talk: Any, status: str, state: str) -> None:
    step = {**sampled(1), "status": status}
    assert talk(API.progress("np_1", max_lag=60), transfer(), steps(step)).result.state == state


def test_checkpoint_is_the_base_of_the_lag(talk: Any) -> None:
    record = talk(API.progress("np_1", max_lag=60), transfer(), steps(sampled(1))).result
    assert (record.lag_seconds, record.checkpoint.timestamp()) == (1, NOW_SECONDS - 3)


def test_lag_grows_without_new_samples(talk: Any) -> None:
    answer = transfer(incrSyncCheckpoint=NOW_SECONDS - 601)
    record = talk(API.progress("np_1", max_lag=60), answer, steps(sampled(1, age=600))).result
    assert (record.lag_seconds, record.state) == (601, "running")


def test_reverse_project_has_the_reverse_lag(talk: Any) -> None:
    answer = transfer(
        step="REVERSE_INCR_TRANSFER", enableReverseIncrSync=True, reverseIncrSyncCheckpoint=NOW_SECONDS - 9
    )
    both = steps(sampled(500), sampled(2, name="REVERSE_INCR_TRANSFER"))
    assert talk(API.progress("np_1", max_lag=60), answer, both).result.lag_seconds == 2


def test_steps_count_copied_rows(talk: Any) -> None:
    copying = {"name": "FULL_TRANSFER", "status": "RUNNING", "stepInfo": {"processedRecords": "1200"}}
    answer = transfer(step="FULL_TRANSFER", fullMigrationProgress=40)
    record = talk(API.progress("np_1", max_lag=60), answer, steps(copying)).result
    assert {phase.name: phase.done for phase in record.phases}["full"] == 1200


def test_steps_name_the_reason_of_a_failure(talk: Any) -> None:
    failed = {"name": "FULL_TRANSFER", "status": "FAILED", "extraInfo": {"errorMsg": "The table is locked."}}
    passed = {"name": "STRUCT_TRANSFER", "status": "FINISHED", "extraInfo": {"errorMsg": "an old one"}}
    answer = transfer("FAILED", "FULL_TRANSFER", fullMigrationProgress=40)
    record = talk(API.progress("np_1", max_lag=60), answer, steps(passed, failed)).result
    assert record.error is not None
    assert record.error.message == "FULL_TRANSFER: The table is locked."
    assert {phase.name: phase.error for phase in record.phases} == {
        "precheck": None,
        "structure": None,
        "full": "The table is locked.",
        "incremental": None,
    }


def test_failed_step_without_a_reason(talk: Any) -> None:
    answer = transfer("FAILED", "FULL_TRANSFER")
    nothing = steps({"name": "FULL_TRANSFER", "status": "FAILED"}, {"name": "ODD", "status": "FAILED"})
    error = talk(API.progress("np_1", max_lag=60), answer, nothing).result.error
    assert error.message == "OMS reports FAILED at step FULL_TRANSFER."


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, {"success": False, "code": "PARAM_ERROR"}, "caught_up"),
        (200, {"success": False, "code": "GHANA-PROJECT000001"}, "caught_up"),
        (200, {"success": False, "code": "GHANA-OPERAT000101"}, "caught_up"),
        (403, {"success": False, "code": "GHANA-OPERAT000101"}, "caught_up"),
        (403, b"<html>Forbidden</html>", "running"),
        (404, {}, "running"),
        (405, b"", "running"),
        (503, {}, "running"),
        (429, b"", "running"),
        (200, b"<html>", "running"),
        (200, b'{"success": true, "da', "running"),
        (200, {"success": True}, "running"),
        (200, {"success": True, "data": None}, "running"),
        (200, {"success": True, "data": ["odd"]}, "running"),
        (200, {"success": True, "data": []}, "running"),
        (200, {"success": True, "data": [{"name": "NEW_STEP", "status": "RUNNING"}]}, "running"),
        (200, {"success": False, "code": "GHANA-OPERIE000000"}, "running"),
    ],
)
def test_unreadable_steps_warn_once(talk: Any, response: Any, status: int, body: Any, state: str) -> None:
    record = talk(replace(API).progress("np_1", max_lag=60), transfer(), response(body, status)).result
    assert (record.state, record.lag_seconds) == (state, 5)
    (warning,) = record.warnings
    assert "DescribeProjectSteps" in warning
    assert "np_1" in warning


def polls_of(api: Any, talk: Any) -> Callable[..., MigrationProgress]:
    """Poll a project whose lag is 5 s, each time some seconds after the last."""
    now = [NOW]
    api = replace(api, clock=lambda: now[0])

    def poll(seconds: float, *answers: Any, status: str = "RUNNING") -> MigrationProgress:
        now[0] += timedelta(seconds=seconds)
        project = transfer(status, incrSyncCheckpoint=int(now[0].timestamp()) - 5)
        record: MigrationProgress = talk(api.progress("np_1", max_lag=60), project, *answers).result
        return record

    return poll


@pytest.mark.parametrize(
    ("project_status", "first", "second"),
    [("RUNNING", "running", "caught_up"), ("FAILED", "failed", "failed"), ("SUSPEND", "paused", "paused")],
)
@pytest.mark.parametrize("refusal", [b"<html>", {"success": False, "code": "NEW", "message": "no"}])
@pytest.mark.parametrize("form", ["action", "hosted"])
def test_refused_password_of_the_steps_leaves_the_state(
    talk: Any, response: Any, form: str, refusal: Any, project_status: str, first: str, second: str
) -> None:
    """The progress was just told to the same user, so the refusal may pass; half a minute later it stands."""
    poll = polls_of({"action": API, "hosted": HOSTED}[form], talk)
    answers = [response(refusal, 401)], [response(refusal, 401)], []
    records = [poll(30, *steps, status=project_status) for steps in answers]
    assert [record.state for record in records] == [first, second, second]
    for record in records:
        (warning,) = record.warnings
        assert "DescribeProjectSteps" in warning


def test_refused_steps_are_cached(talk: Any, response: Any) -> None:
    now = [NOW]
    api = replace(API, clock=lambda: now[0])
    refusal = response({"success": False, "code": "GHANA-OPERAT000101"}, 403)

    def poll(*answers: Any) -> Any:
        answer = transfer(incrSyncCheckpoint=int(now[0].timestamp()) - 5)
        return talk(api.progress("np_1", max_lag=60), answer, *answers).result

    first = poll(refusal)
    for _ in range(3):
        now[0] += timedelta(minutes=4)
        assert poll().warnings == first.warnings
    now[0] += timedelta(minutes=4)
    assert poll(refusal).state == "caught_up"
    now[0] -= ASK_AGAIN_AFTER  # a clock that is set back
    assert poll(WELL).warnings == ()
    poll(WELL)


def test_refused_steps_without_a_code_are_cached_at_the_second_poll(talk: Any, response: Any) -> None:
    poll, refusal = polls_of(API, talk), response(b"", 404)
    states = [poll(seconds, *answers).state for seconds, *answers in ((0, refusal), (30, refusal), (30,))]
    assert states == ["running", "caught_up", "caught_up"]


def test_refused_steps_without_a_code_are_cached_after_half_a_minute(talk: Any, response: Any) -> None:
    """Two waits for one project may poll at the same moment, and an answer in between is no refusal."""
    poll, refusal, away = polls_of(API, talk), response(b"", 404), response({}, 503)
    asked = ((0, refusal), (0.02, refusal), (20, refusal), (9, away), (20, refusal), (29, refusal))
    assert {poll(seconds, answer).state for seconds, answer in asked} == {"running"}
    assert poll(1, refusal).state == "caught_up"
    # Asked again after a quarter of an hour, a refusal that stands breaks no hold.
    assert poll(901, refusal).state == "caught_up"


def test_refused_steps_cache_is_bounded(talk: Any) -> None:
    api = replace(API)
    for number in range(1100):
        refusal = {"success": False, "code": "PARAM_ERROR"}
        talk(api.progress(f"np_{number}", max_lag=60), transfer(), refusal)
    assert len(api.memory.refusals) == 1000


# --- whose clock ----------------------------------------------------------------------------------------

OFFSETS = [-3600, -300, 0, 300, 3600]


def dated(body: Any, response: Any, at: float = 0) -> Any:
    """Make an answer that tells the service's time."""
    date = format_datetime(NOW + timedelta(seconds=at), usegmt=True)
    return response(body, 200, {"date": date})


def at_clock(offset: float) -> OmsApi:
    """Make a console that is asked from a machine whose clock is wrong by so many seconds."""
    return replace(API, clock=lambda: NOW + timedelta(seconds=offset))


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("lag", [-86000, -5, 0, 59, 60, 61, 300, 7200])
@pytest.mark.parametrize("form", ["omsp v2", "action without a sample", "action"])
def test_lag_follows_the_date_header(talk: Any, response: Any, form: str, lag: int, offset: int) -> None:
    checkpoint = {"incrSyncCheckpoint": NOW_SECONDS - lag}
    if form == "omsp v2":
        ids, answers = "p_1", [dated(project(**checkpoint), response)]
    else:
        listed = steps(sampled(lag - 2)) if form == "action" else WELL
        ids, answers = "np_1", [dated(transfer(**checkpoint), response), dated(listed, response)]
    record = talk(at_clock(offset).progress(ids, max_lag=60), *answers).result
    assert record.lag_seconds == max(lag, 0)
    assert record.state == ("caught_up" if lag <= 60 else "running")


@pytest.mark.parametrize("checkpoint", [0, -1, 7, NOW_SECONDS + 90_000])
@pytest.mark.parametrize("offset", OFFSETS)
def test_checkpoint_beyond_the_date_header_is_null(
    talk: Any, response: Any, offset: int, checkpoint: int
) -> None:
    answer = dated(project(incrSyncCheckpoint=checkpoint), response)
    record = talk(at_clock(offset).progress("p_1", max_lag=60), answer).result
    assert (record.lag_seconds, record.checkpoint, record.state) == (None, None, "running")


@pytest.mark.parametrize("offset", [-3600, -300, -60, 0, 50])
@pytest.mark.parametrize("lag", [0, 60, 61, 300])
def test_lag_follows_the_sample_without_a_date_header(talk: Any, lag: int, offset: int) -> None:
    answers = (transfer(incrSyncCheckpoint=NOW_SECONDS - 2 - lag), steps(sampled(lag)))
    record = talk(at_clock(offset).progress("np_1", max_lag=60), *answers).result
    assert record.lag_seconds == lag
    assert record.state == ("caught_up" if lag <= 60 else "running")


@pytest.mark.parametrize("offset", [300, 3600])
def test_old_sample_without_a_date_header_is_not_caught_up(talk: Any, offset: int) -> None:
    answers = (transfer(incrSyncCheckpoint=NOW_SECONDS - 2), steps(sampled(0)))
    record = talk(at_clock(offset).progress("np_1", max_lag=60), *answers).result
    assert (record.lag_seconds, record.state) == (offset + 2, "running")


@pytest.mark.parametrize(("offset", "lag"), [(-300, 0), (-60, 245), (0, 305), (300, 605)])
def test_lag_falls_back_to_the_own_clock(talk: Any, offset: int, lag: int) -> None:
    answer = project(incrSyncCheckpoint=NOW_SECONDS - 305)
    record = talk(at_clock(offset).progress("p_1", max_lag=60), answer).result
    assert record.lag_seconds == (305 + offset if lag else 5)


@pytest.mark.parametrize(
    ("age", "sample_lag", "project_lag", "lag"),
    [
        (0, 0, 5, 0),
        (20, 0, 20, 20),
        (60, 0, 60, 60),
        (60, 1, 61, 61),
        (61, 0, 61, 61),
        (600, 0, 600, 600),
        (600, 0, 4, 4),
        (-30, 3, 0, 3),
        (2, 1, 500, 500),
        (2, 500, 1, 502),
    ],
)
@pytest.mark.parametrize("offset", OFFSETS)
def test_lag_includes_the_age_of_the_sample(
    talk: Any, response: Any, offset: int, age: int, sample_lag: int, project_lag: int, lag: int
) -> None:
    answer = dated(transfer(incrSyncCheckpoint=NOW_SECONDS - project_lag), response)
    listed = dated(steps(sampled(sample_lag, age)), response)
    record = talk(at_clock(offset).progress("np_1", max_lag=60), answer, listed).result
    assert record.lag_seconds == lag


@given(
    offset=st.integers(-40_000, 40_000),
    applied=st.integers(0, 7200),
    age=st.integers(0, 4000),
    project_age=st.integers(0, 4000),
)
def test_lag_is_never_understated(
    talk: Any, response: Any, offset: int, applied: int, age: int, project_age: int
) -> None:
    """Of an increment that stands still since ``applied`` seconds every report is at most that far."""
    listed = dated(steps(sampled(max(applied - age, 0), min(age, applied))), response)
    answer = dated(transfer(incrSyncCheckpoint=NOW_SECONDS - applied - project_age), response)
    record = talk(at_clock(offset).progress("np_1", max_lag=60), answer, listed).result
    assert record.lag_seconds >= applied
    assert (record.state == "caught_up") == (record.lag_seconds <= 60)


SETTINGS = TransportConfig(connect_timeout=2, read_timeout=10)


@pytest.fixture(params=["sync", "async"])
def carry(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Run a flow with one driver, then with the other."""

    def on_worker(flow: Any) -> Any:
        with sync.new_session(SETTINGS) as session:
            return sync.SyncDriver(session, SETTINGS).run(flow)

    return (
        on_worker if request.param == "sync" else lambda one: asyncio.run(aio.AsyncDriver(SETTINGS).run(one))
    )


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("lag", [0, 60, 61, 300])
def test_lag_follows_the_date_header_over_both_drivers(carry: Any, lag: int, offset: int) -> None:
    body = json.dumps(project(incrSyncCheckpoint=NOW_SECONDS - lag)).encode()
    with Server([http(body=body, headers={"Date": format_datetime(NOW, usegmt=True)})]) as server:
        record = carry(replace(at_clock(offset), endpoint=server.url).progress("p_1", max_lag=60))
    assert (record.lag_seconds, record.state) == (lag, "caught_up" if lag <= 60 else "running")


@pytest.mark.parametrize(
    ("options", "state", "warning"),
    [
        ({}, "caught_up", None),
        ({"steps_error": {"code": "GHANA-OPERAT000101", "message": "no right"}}, "caught_up", "no right"),
        ({"steps_error": {"code": "PARAM_ERROR", "http_status": 400}}, "caught_up", "PARAM_ERROR"),
        ({"steps_error": {"code": "", "http_status": 404}}, "running", "HTTP 404"),
        ({"steps_error": {"code": "", "http_status": 403}}, "running", "HTTP 403"),
        ({"steps_error": {"code": "", "http_status": 401}}, "running", "HTTP 401"),
        ({"project_id": "p_1", "legacy": False}, "caught_up", None),
        ({"project_id": "p_1"}, "caught_up", None),
    ],
)
def test_simulated_refused_steps_and_old_ids(
    carry: Any, options: dict[str, Any], state: str, warning: str | None
) -> None:
    for record in played(carry, options):
        assert (record.state, len(record.warnings)) == (state, int(warning is not None))
        assert (warning or "") in "".join(record.warnings)


def played(carry: Any, options: dict[str, Any]) -> Iterator[MigrationProgress]:
    """Ask a simulated console for a project in sync, and of a newer id the hosted service too."""
    migration = {"service": "oms", "project_id": "np_1", "script": "success", **options}
    with BriefSimulator({"migrations": [migration]}) as simulator:
        simulator.jump("oms", migration["project_id"], 100)
        console = OmsApi(endpoint=simulator.url, signer=BasicSigner("simulator", "simulator-password"))
        yield carry(console.progress(migration["project_id"], max_lag=60))
        if migration["project_id"].startswith("np_"):
            key = AlibabaSigner("SIMULATORACCESSKEY", "simulator-secret-key")
            hosted = HostedOmsApi(endpoint=simulator.url, region="cn-hangzhou", signer=key)
            yield carry(hosted.progress(migration["project_id"], max_lag=60))


# --- which steps are reached ----------------------------------------------------------------------------


@pytest.mark.parametrize("word", [word for words in ORDER for word in words])
@pytest.mark.parametrize("status", [status for status, _ in STATUSES] + ["ODD"])
def test_steps_reached_of_every_status_at_every_step(ask: Ask, status: str, word: str) -> None:
    rank = next(rank for rank, words in enumerate(ORDER) if word in words)
    reached = {
        "INIT": rank,
        "FAILED": rank,
        "SUSPEND": rank,
        "FINISHED": len(ORDER),
        **dict.fromkeys(("RELEASING", "RELEASED", "DELETED", "ODD"), 0),
    }.get(status, rank + 1)
    progress = ask(project(status, word, enableReverseIncrSync=True))
    for place, words in enumerate(ORDER):
        assert {target_reached(progress, each) for each in words} == {place < reached}


@pytest.mark.parametrize("status", ["FAILED", "SUSPEND"])
@pytest.mark.parametrize("word", ["INCR_LOG_PULL", "FULL_MIGRATION", "INDEX_MIGRATION", "STRUCT_SYNC"])
def test_stalled_phase_is_not_done(ask: Ask, status: str, word: str) -> None:
    progress = ask(project(status, word, structMigrationProgress=100, fullMigrationProgress=100))
    in_structure = word == "STRUCT_SYNC"
    assert progress.reached("full_done") is in_structure
    assert {phase.name: phase.state.value for phase in progress.phases}["structure"] == (
        ("failed" if status == "FAILED" else "paused") if in_structure else "succeeded"
    )


@pytest.mark.parametrize("own", ["FAILED", "SUSPEND", "RUNNING", "FINISHED", "INIT", None])
@pytest.mark.parametrize("word", ["FULL_TRANSFER", "INCR_TRANSFER", "TRANSFER_APP_SWITCH"])
def test_stalled_step_is_not_reached(talk: Any, word: str, own: Any) -> None:
    listed = steps({"name": word, "status": own})
    record = talk(replace(API).progress("np_1", max_lag=60), transfer(step=word), listed).result
    assert target_reached(record, word) is (own not in ("FAILED", "SUSPEND"))
    assert target_reached(record, "STRUCT_TRANSFER")


NO_RIGHT = {"success": False, "code": "GHANA-OPERAT000101"}


@pytest.mark.parametrize(
    ("refusals", "is_reached"),
    [
        ([(503, {})], False),
        ([(503, {}), (503, {})], False),
        ([(200, b"{cut")], False),
        ([(404, b"")], False),
        ([(401, b"")], False),
        ([(404, b""), (404, b"")], True),
        ([(401, b""), (401, b"")], True),
        ([(403, NO_RIGHT)], True),
    ],
)
def test_current_step_is_not_reached_while_the_steps_are_unread(
    talk: Any, response: Any, refusals: list[tuple[int, Any]], is_reached: bool
) -> None:
    """The step may stand still; those before it are passed. A standing refusal leaves it to the project."""
    poll = polls_of(API, talk)
    for status, body in refusals:
        record = poll(30, response(body, status))
    assert target_reached(record, "INCR_TRANSFER") is record.reached("caught_up") is is_reached
    assert target_reached(record, "FULL_TRANSFER")
    assert target_reached(record, "RUNNING")


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        ("enableStructMigration", "STRUCT_TRANSFER"),
        ("enableFullMigration", "FULL_MIGRATION"),
        ("enableFullMigration", "INDEX_TRANSFER"),
        ("enableIncrSync", "INCR_LOG_PULL"),
        ("enableIncrSync", "INCR_SYNC"),
        ("enableReverseIncrSync", "REVERSE_INCR_SYNC"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False, None])
def test_finished_project_has_passed_the_steps_that_are_enabled(
    ask: Ask, flag: str, word: str, enabled: Any
) -> None:
    progress = ask(project("FINISHED", **{flag: enabled}))
    assert target_reached(progress, word) is (enabled is not False)
    assert target_reached(progress, "APP_SWITCH")


# --- a console that was upgraded ------------------------------------------------------------------------

UNKNOWN_PROJECT = {"success": False, "code": "GHANA-PROJECT000001", "message": "no project"}


def test_old_id_falls_back_to_the_newer_call(talk: Any, response: Any) -> None:
    api = replace(API)
    gone = response(b"<html>Not Found</html>", 404)
    asked = [
        [request.action for request in talk(api.progress("p_1", max_lag=60), *answers).requests]
        for answers in ((gone, transfer(), WELL), (transfer(), WELL))
    ]
    newer = ["DescribeProjectProgress", "DescribeProjectSteps"]
    assert asked == [["GetMigrationProgress", *newer], newer]
    assert api.memory.has_moved_on


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"", MigrationNotFoundError),
        (200, UNKNOWN_PROJECT, MigrationNotFoundError),
        (403, b"", MigrationPermissionError),
        (503, b"", MigrationServiceError),
        (200, {"success": True}, MigrationResponseError),
        (200, b"<html>", MigrationResponseError),
    ],
)
def test_fallback_needs_an_answer_of_the_newer_call(
    talk: Any, response: Any, status: int, body: Any, error: type[MigrationApiError]
) -> None:
    api = replace(API)
    sync = [UNKNOWN_PROJECT] if status == 404 else []  # the newer call, if there is one, serves both types
    with pytest.raises(error) as caught:
        talk(api.progress("p_1", max_lag=60), response(b"", 404), response(body, status), *sync)
    assert ("api='DescribeProjectProgress'" in str(caught.value)) is (error is MigrationNotFoundError)
    # Neither is what the newer call says of an id that the older one may know.
    assert caught.value.tolerated_after_success is (status == 403 or error is MigrationNotFoundError)
    assert talk(api.progress("p_1", max_lag=60), project()).result.state == "caught_up"


@pytest.mark.parametrize(("polls_before", "outcome"), [(1, "wait"), (0, "poll_error")])
def test_unknown_project_is_tolerated_once_it_was_found(
    talk: Any, response: Any, polls_before: int, outcome: str
) -> None:
    """The 404 that leads to the newer call is of the web server, and may pass."""
    api = replace(API)
    watch = WaitTracker(WaitPolicy(targets=("caught_up",), started_at=0, deadline=1000))
    answers = iter((response(b"", 404), UNKNOWN_PROJECT, UNKNOWN_PROJECT))
    for poll in range(polls_before):
        watch.observe(talk(api.progress("p_1", max_lag=60), project("INIT")).result, poll * 60)
    with pytest.raises(MigrationNotFoundError) as caught:
        talk(api.progress("p_1", max_lag=60), lambda request: next(answers))
    assert watch.fail_poll(caught.value, 60).outcome == outcome


def test_fallback_is_undone_when_nothing_is_found(talk: Any, response: Any) -> None:
    api = replace(API)
    talk(api.progress("p_1", max_lag=60), response(b"", 404), transfer("INIT"))
    with pytest.raises(MigrationNotFoundError):
        talk(api.progress("p_1", max_lag=60), response(b"", 404))
    assert talk(api.progress("p_1", max_lag=60), project()).result.state == "caught_up"


@pytest.mark.parametrize(
    ("named", "answer"), [("GetMigrationProgress", 404), (None, UNKNOWN_PROJECT), (None, 403), (None, 405)]
)
def test_fallback_needs_a_404_without_a_code(talk: Any, response: Any, named: Any, answer: Any) -> None:
    given = response(b"", answer) if isinstance(answer, int) else answer
    asked = []

    def answered(request: Any) -> Any:
        asked.append(request.action)
        return given

    with pytest.raises(MigrationApiError):
        talk(replace(API, api=named).progress("p_1", max_lag=60), answered)
    assert "DescribeProjectProgress" not in asked


# --- a synchronization project of an older console --------------------------------------------------------

OLDER, SYNC = "GetMigrationProgress", "GetSyncProgress"


def sync_project(
    status: Any = "RUNNING", step: Any = "CONNECTOR_INCR_SYNC", **changes: Any
) -> dict[str, Any]:
    """Make a synchronization project that is 5 s behind, with changes; its checkpoint is a text."""
    data = {
        "status": status,
        "currentStep": step,
        "enableStructSync": True,
        "enableFullSync": True,
        "enableIncrSync": True,
        "structSyncProgress": 100,
        "fullSyncProgress": 100,
        "incrSyncCheckpoint": str(NOW_SECONDS - 5),
        **changes,
    }
    return {"success": True, "code": None, "data": data}


def of_paths(**answers: Any) -> Any:
    """Answer by the path of an older call; anything else is not expected."""
    return lambda request: answers[request.url.split("/")[-3]]


def test_synchronization_project_is_found_by_its_own_call(talk: Any) -> None:
    api = replace(API)
    first = talk(api.progress("p_1", max_lag=60), UNKNOWN_PROJECT, sync_project())
    assert [request.action for request in first.requests] == [OLDER, SYNC]
    assert first.requests[1].url == "http://oms.example:8089/api/omsp/v2/sync/p_1/progress"
    assert (first.result.state, first.result.lag_seconds) == ("caught_up", 5)
    again = talk(api.progress("p_1", max_lag=60), sync_project("SUSPEND"))
    assert ([request.action for request in again.requests], again.result.state) == ([SYNC], "paused")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "caught_up"),
        ({"incrSyncCheckpoint": NOW_SECONDS - 60}, "caught_up"),
        ({"incrSyncCheckpoint": str(NOW_SECONDS - 61)}, "running"),
        ({"incrSyncCheckpoint": "12,3456"}, "running"),  # a position of Sybase
        ({"incrSyncCheckpoint": None}, "running"),
        ({"incrSyncCheckpoint": ""}, "running"),
        ({"incrSyncCheckpoint": False}, "running"),
        ({"currentStep": "CONNECTOR_FULL_SYNC"}, "running"),
        ({"currentStep": "SYNC_INCR_LOG_PULL"}, "running"),
        ({"currentStep": None}, "running"),
        ({"fullSyncProgress": 99}, "running"),
        ({"fullSyncProgress": None}, "running"),
        ({"fullSyncProgress": None, "fullMigrationProgress": 100}, "caught_up"),  # as the table has it
        ({"fullMigrationProgress": 99}, "running"),
        ({"fullSyncProgress": None, "enableFullSync": False}, "caught_up"),
        ({"structSyncProgress": None, "enableStructSync": None}, "running"),
        ({"enableIncrSync": False}, "running"),
        ({"status": "RUNNING_ALARMING"}, "running"),
        ({"status": "FAILED"}, "failed"),
    ],
)
def test_synchronization_project_is_caught_up_by_the_same_evidence(
    talk: Any, changes: Any, state: str
) -> None:
    answers = of_paths(migrations=UNKNOWN_PROJECT, sync=sync_project(**changes))
    assert talk(replace(API).progress("p_1", max_lag=60), answers).result.state == state


@pytest.mark.parametrize("named", [None, OLDER])
def test_unknown_project_names_both_older_calls(talk: Any, named: str | None) -> None:
    with pytest.raises(MigrationNotFoundError, match=f"{OLDER} at .*{SYNC}") as caught:
        talk(replace(API, api=named).progress("p_1", max_lag=60), UNKNOWN_PROJECT, UNKNOWN_PROJECT)
    assert not caught.value.tolerated_after_success


@pytest.mark.parametrize("status", [500, 503, 429, 403])
def test_transient_error_does_not_switch_the_call(talk: Any, response: Any, status: int) -> None:
    api = replace(API)
    for answer, expected in (
        ([response(b"", status)], [OLDER]),
        ([UNKNOWN_PROJECT, sync_project()], [OLDER, SYNC]),
        ([response(b"", status)], [SYNC]),
        ([sync_project()], [SYNC]),
    ):
        asked, canned = [], iter(answer)

        def answered(request: Any, asked: Any = asked, canned: Any = canned) -> Any:
            asked.append(request.action)
            return next(canned)

        with suppress(MigrationApiError):
            talk(api.progress("p_1", max_lag=60), answered)
        assert asked == expected


def test_transient_error_of_the_second_call_is_not_a_refusal(talk: Any, response: Any) -> None:
    with pytest.raises(MigrationServiceError):
        talk(replace(API).progress("p_1", max_lag=60), UNKNOWN_PROJECT, response(b"", 503))


def test_known_migration_project_is_not_looked_up_as_another(talk: Any) -> None:
    api = replace(API)
    talk(api.progress("p_1", max_lag=60), project())
    with pytest.raises(MigrationNotFoundError):
        talk(api.progress("p_1", max_lag=60), UNKNOWN_PROJECT)


def test_older_calls_cache_is_bounded(talk: Any) -> None:
    api = replace(API)
    for number in range(MAX_CACHED + 1):
        talk(api.project_progress(f"p_{number}"), project())
    assert len(api.memory.older_calls) == MAX_CACHED


@pytest.mark.parametrize(
    "value", [["p_1"], {"p_1"}, {"a": 1}, True, 1.5, b"p_1", None, "", " ", "a\nb", "x" * 257]
)
@pytest.mark.parametrize("asking", ["progress", "project_progress", "describe_project_steps"])
def test_id_must_be_a_string(talk: Any, asking: str, value: Any) -> None:
    for api in (API, HOSTED):
        more = {"max_lag": 60} if asking == "progress" else {}
        with pytest.raises(MigrationConfigurationError, match="project_id"):
            talk(getattr(api, asking)(value, **more))


def test_id_is_stripped(talk: Any) -> None:
    record = talk(replace(API).progress("np_1\n", max_lag=60), transfer(), WELL).result
    assert (record.migration_id, record.state) == ("np_1", "caught_up")


# --- texts of an error ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ({"message": "a failure"}, ["a failure"]),
        ({"message": "one", "errorDetail": {"message": "two"}}, ["one; two"]),
        ({"message": "[X]: same", "errorDetail": {"message": "same"}}, ["[X]: same"]),
        ({"message": "same", "errorDetail": {"message": "[X]: same"}}, ["[X]: same"]),
        (
            {"message": "one", "errorDetail": {"message": "two", "reason": "three", "proposal": "four"}},
            ["one; two; three; four"],
        ),
        ({"errorDetail": {"upstreamErrorDetail": {"message": "from below"}}}, ["from below"]),
        ({"errorDetail": {"upstreamErrorDetail": "odd", "message": "two"}}, ["two"]),
        ({"message": "m" * 5000, "errorDetail": {"message": "the useful half"}}, ["the useful half"]),
    ],
)
def test_error_shows_every_distinct_text(talk: Any, answer: Any, parts: list[str]) -> None:
    with pytest.raises(MigrationServiceError) as caught:
        talk(API.progress("p_1", max_lag=60), {"success": False, "code": "INNER_ERROR", **answer})
    message = str(caught.value)
    assert all(part in message for part in parts)
    assert message.count("same") <= 1
    assert len(message) < 1000


# --- the service that Alibaba Cloud hosts ---------------------------------------------------------------

HOSTED = HostedOmsApi(
    endpoint="https://oceanbasepro.cn-hangzhou.aliyuncs.com",
    region="cn-hangzhou",
    signer=AlibabaSigner("id", "secret"),
    clock=lambda: NOW,
)


def test_hosted_request_is_signed_for_alibaba_cloud(talk: Any) -> None:
    requests = talk(HOSTED.progress("np_4w3a", max_lag=60), transfer(), NO_STEPS).requests
    assert [request.headers["x-acs-action"] for request in requests] == [
        "DescribeProjectProgress",
        "DescribeProjectSteps",
    ]
    for request in requests:
        assert (request.method, request.url) == ("POST", "https://oceanbasepro.cn-hangzhou.aliyuncs.com/")
        assert request.body == b"Id=np_4w3a"
        assert request.headers["x-acs-version"] == "2019-09-01"


def test_hosted_codes_do_not_apply_to_a_console(talk: Any) -> None:
    answer = {"success": False, "code": "StoreNotExist"}
    for api, error in ((HOSTED, MigrationNotFoundError), (API, MigrationServiceError)):
        with pytest.raises(error):
            talk(api.progress("np_1", max_lag=60), answer)


def test_hosted_documented_sample_is_a_success(talk: Any, sample: Any) -> None:
    answer = sample("oceanbasepro_describe_project_progress")
    record = talk(HOSTED.progress("np_1", max_lag=60), answer, NO_STEPS).result
    assert (record.state, record.service_status, record.percent) == ("running", "RUNNING", 100)
    assert record.request_id == "EE205C00-30E4-XXXX-XXXX-87E3A8A2AA0C"
    assert record.console_url == "https://oceanbase.console.aliyun.com/"
    assert record.error is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"Success": False, "Code": "GHANA-PROJECT000001"}, MigrationNotFoundError),
        (200, {"Success": False, "Code": "GHANA-OPERIE000000"}, MigrationServiceError),
        (404, {"Code": "InvalidAccessKeyId.NotFound", "Message": "x"}, MigrationAuthenticationError),
        (400, {"Code": "Throttling.User", "Message": "x"}, MigrationThrottledError),
        (403, {"Code": "Forbidden.RAM", "Message": "x"}, MigrationPermissionError),
    ],
)
def test_hosted_refusal_class_follows_its_code(
    talk: Any, response: Any, status: int, body: Any, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(HOSTED.progress("np_1", max_lag=60), response(body, status))
    assert type(caught.value) is error
    assert caught.value.code == body["Code"]
    assert "90 days" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"<html>Authorization Required</html>", {"success": False, "message": "no"}]
)
@pytest.mark.parametrize("asking", [API.progress, API.describe_project_progress], ids=["progress", "action"])
def test_refused_console_password_may_have_expired(
    talk: Any, response: Any, body: Any, asking: Callable[..., Any]
) -> None:
    ids = {"max_lag": 60} if asking == API.progress else {}
    with pytest.raises(MigrationAuthenticationError, match="expire after 90 days"):
        talk(asking("p_1", **ids), response(body, 401))


def test_record_has_the_time_of_the_call_that_decides(talk: Any, response: Any) -> None:
    """The call for the steps may be tried for a minute."""
    now = [NOW]

    def answer(request: Any) -> Any:
        if request.action != "DescribeProjectSteps":
            return response(transfer())
        now[0] += timedelta(seconds=60)
        return response({}, 503)

    record = talk(replace(API, clock=lambda: now[0]).progress("np_1", max_lag=60), answer).result
    assert (record.state, record.observed_at) == ("running", NOW)


# --- applied until ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "changes", "seconds"),
    [
        ("INCR_SYNC", {}, 5),
        ("INCR_SYNC", {"incrSyncCheckpoint": None}, None),
        ("INCR_SYNC", {"enableIncrSync": False}, None),
        ("FULL_MIGRATION", {}, None),
        ("FULL_MIGRATION", {"status": "FINISHED"}, 5),
        ("APP_SWITCH", {}, 5),
        ("INCR_SYNC", {"fullMigrationProgress": 80}, None),
        ("INCR_SYNC", {"fullMigrationProgress": None, "enableFullMigration": None}, None),
        ("REVERSE_INCR_SYNC", {"incrSyncCheckpoint": NOW_SECONDS - 9000}, 9000),
        ("REVERSE_INCR_SYNC", {"incrSyncCheckpoint": None}, None),
    ],
)
def test_applied_until_is_the_forward_checkpoint(
    ask: Ask, step: str, changes: dict[str, Any], seconds: int | None
) -> None:
    """A reverse increment in sync does not show that the forward one has applied everything."""
    reverse = {"enableReverseIncrSync": True, "reverseIncrSyncCheckpoint": NOW_SECONDS - 1}
    until = ask(project(**{"step": step, **reverse, **changes})).applied_until
    assert until == (None if seconds is None else NOW - timedelta(seconds=seconds))


@pytest.mark.parametrize(("sample", "seconds"), [(20, 22), (2, 15), (0, 15)])
def test_applied_until_is_the_older_checkpoint(talk: Any, sample: float, seconds: int) -> None:
    """The sample of the step may be up to a minute ahead of what is saved."""
    body = transfer(incrSyncCheckpoint=NOW_SECONDS - 15)
    progress = talk(API.progress("np_1", max_lag=60), body, steps(sampled(sample))).result
    assert progress.applied_until == NOW - timedelta(seconds=seconds)


# --- speed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project_status", "name", "status", "info", "expected"),
    [
        ("RUNNING", "FULL_TRANSFER", "RUNNING", {"dstRps": 140, "dstIops": "71680"}, (140, 71680)),
        ("RUNNING", "FULL_TRANSFER", "RUNNING", {"dstRps": 140}, (140, None)),
        ("RUNNING", "FULL_TRANSFER", "RUNNING", {"dstRps": None, "dstIops": None}, None),
        ("RUNNING", "FULL_TRANSFER", "RUNNING", {"dstRps": -1}, None),
        ("RUNNING", "FULL_TRANSFER", "FINISHED", {"dstRps": 140}, None),
        ("RUNNING", "FULL_TRANSFER", "SUSPEND", {"dstRps": 140}, None),
        ("SUSPEND", "FULL_TRANSFER", "RUNNING", {"dstRps": 140}, None),
        ("RUNNING", "FULL_VERIFIER", "RUNNING", {"dstRps": 140}, None),
    ],
)
def test_throughput_is_that_of_a_running_copy(
    talk: Any, project_status: str, name: str, status: str, info: dict[str, Any], expected: Any
) -> None:
    body = transfer(project_status, "FULL_TRANSFER", fullMigrationProgress=40)
    answer = steps({"order": 4, "name": name, "status": status, "stepInfo": info})
    throughput = talk(API.progress("np_1", max_lag=60), body, answer).result.throughput
    assert (throughput and tuple(throughput.model_dump().values())) == expected
