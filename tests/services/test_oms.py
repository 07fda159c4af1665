"""OceanBase Migration Service: what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.oms import STEPS, HostedOmsApi, OmsApi
from airflow_provider_migration.verdict import target_reached

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


def test_the_request_is_the_documented_one(talk: Any) -> None:
    (request,) = talk(API.progress("p_3xj9****", max_lag=60), project()).requests
    assert (request.method, request.body) == ("GET", b"")
    assert request.url == "http://oms.example:8089/api/omsp/v2/migrations/p_3xj9%2A%2A%2A%2A/progress"
    assert request.headers == {"accept": "application/json"}
    assert request.signer is API.signer


def test_an_id_cannot_lead_to_another_path(talk: Any) -> None:
    (request,) = talk(API.progress("../x?y#z", max_lag=60), project()).requests
    assert request.url == "http://oms.example:8089/api/omsp/v2/migrations/..%2Fx%3Fy%23z/progress"


@pytest.mark.parametrize("project_id", ["", None, "p\n1"])
def test_what_is_no_id_is_refused_before_anything_is_asked(talk: Any, project_id: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="project_id"):
        talk(API.progress(project_id, max_lag=60))


# --- the status of the project --------------------------------------------------------------------------

STATUSES = [
    ("INIT", "pending"),
    ("RUNNING", "caught_up"),
    ("RUNNING_MODIFYING", "caught_up"),
    ("RUNNING_MERGING", "caught_up"),
    ("SUSPEND", "paused"),
    ("FINISHED", "succeeded"),
    ("FAILED", "failed"),
    ("RELEASING", "cancelled"),
    ("RELEASED", "cancelled"),
    ("DELETED", "cancelled"),
]
NOT_STATUSES = ["UNKNOWN", "SUSPENDED", "FINISH", "", None, 1, 0.5, True, [], ["RUNNING"], {}]


@pytest.mark.parametrize("spell", [str, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_a_documented_word_means_its_state_however_it_is_spelt(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    progress = ask(project(spell(word)))
    assert (progress.state, progress.service_status) == (state, spell(word).strip())


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_anything_else_is_unknown_and_no_error(ask: Ask, word: Any) -> None:
    assert ask(project(word)).state == "unknown"


@pytest.mark.parametrize("data", [None, [], "", 5, {}])
def test_an_answer_without_data_is_unknown(ask: Ask, data: Any) -> None:
    progress = ask({"success": True, "data": data})
    assert (progress.state, progress.percent, progress.lag_seconds) == ("unknown", None, None)


# --- the samples of the documentation -------------------------------------------------------------------


def test_the_documented_sample_lags_by_its_reverse_checkpoint(ask: Ask, sample: Any) -> None:
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


def test_numbers_out_of_range_are_not_known(ask: Ask, sample: Any) -> None:
    progress = ask(sample("oms_progress_out_of_range"))
    assert (progress.state, progress.percent) == ("pending", None)
    assert (progress.lag_seconds, progress.checkpoint) == (None, None)
    assert [(phase.name, phase.percent) for phase in progress.phases] == [
        ("precheck", None),
        ("structure", None),
        ("full", None),
        ("incremental", None),
    ]


def test_the_typed_result_holds_what_came(talk: Any, sample: Any) -> None:
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
def test_a_running_project_is_caught_up_past_the_increment_with_bulk_done_and_little_lag(
    ask: Ask, changes: Any, is_caught_up: bool
) -> None:
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
def test_at_a_reverse_step_the_lag_is_the_reverse_one(ask: Ask, step: str, changes: Any, lag: Any) -> None:
    progress = ask(project(step=step, incrSyncCheckpoint=NOW_SECONDS - 73046, **changes))
    assert progress.lag_seconds == lag
    assert progress.state == ("running" if lag is None else "caught_up")


@pytest.mark.parametrize("status", ["INIT", "SUSPEND", "FAILED", "FINISHED", "RELEASED", "ODD"])
def test_a_project_that_does_not_run_has_no_lag(ask: Ask, status: str) -> None:
    assert ask(project(status)).lag_seconds is None


def test_before_the_increment_a_checkpoint_means_nothing(ask: Ask) -> None:
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
def test_percent_is_the_mean_of_the_bulk_phases_and_null_when_one_is_not_known(
    ask: Ask, structure: Any, full: Any, percent: Any
) -> None:
    body = project(step="FULL_MIGRATION", structMigrationProgress=structure, fullMigrationProgress=full)
    assert ask(body).percent == percent


# --- what it has passed ---------------------------------------------------------------------------------

ORDER = [words for _, words in STEPS]


@pytest.mark.parametrize("rank", range(len(ORDER)))
def test_every_step_is_at_or_past_those_before_it(ask: Ask, rank: int) -> None:
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
        ("FINISHED", ["INIT", "RUNNING", "FINISHED", "REVERSE_INCR_SYNC"], ["RELEASED"]),
        ("RELEASED", ["RELEASED", "cancelled"], ["INIT", "RUNNING", "PRE_CHECK", "INCR_SYNC", "succeeded"]),
        ("DELETED", ["DELETED"], ["RELEASED", "FULL_MIGRATION"]),
        ("FAILED", ["FAILED", "INCR_SYNC"], ["APP_SWITCH", "FINISHED"]),
        ("ODD", ["odd"], ["INCR_SYNC", "RUNNING"]),
    ],
)
def test_a_status_is_reached_at_it_and_past_it(
    ask: Ask, status: str, reached: list[str], not_reached: list[str]
) -> None:
    progress = ask(project(status))
    assert [word for word in reached if not target_reached(progress, word)] == []
    assert [word for word in not_reached if target_reached(progress, word)] == []


# --- errors ---------------------------------------------------------------------------------------------


def test_a_failed_project_says_what_newer_releases_tell(ask: Ask) -> None:
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
def test_a_failed_project_of_an_older_release_names_its_step(ask: Ask, step: Any, message: str) -> None:
    error = ask(project("FAILED", step)).error
    assert error is not None
    assert (error.code, error.message) == ("FAILED", message)
    assert "resume" in str(error.remedy)


@pytest.mark.parametrize("status", ["RUNNING", "SUSPEND", "RELEASED", "ODD"])
def test_a_project_that_has_not_failed_has_no_error(ask: Ask, status: str) -> None:
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
        (404, {}, MigrationNotFoundError),
        (500, {"success": True}, MigrationServiceError),
    ],
)
def test_a_refusal_has_the_class_of_its_code(
    talk: Any, response: Any, status: int, body: Any, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(API.progress("p_1", max_lag=60), response(body, status))
    assert type(caught.value) is error
    assert (caught.value.service, caught.value.action) == ("oms", "GetMigrationProgress")
    assert caught.value.http_status == status


@pytest.mark.parametrize("code", [None, "success", 200, "GHANA-PROJECT000001"])
def test_only_success_decides_whether_a_call_succeeded(ask: Ask, code: Any) -> None:
    assert ask({**project(), "code": code, "message": "m", "advice": "a"}).state == "caught_up"


def test_a_refusal_tells_message_advice_and_request_id(talk: Any) -> None:
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


def test_newer_ids_are_asked_for_with_the_actions(talk: Any) -> None:
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
def test_the_call_follows_from_the_id_unless_it_is_named(
    api: str | None, project_id: str, action: str
) -> None:
    assert next(replace(API, api=api).progress(project_id, max_lag=60)).action == action


@pytest.mark.parametrize("step", ["FULL_TRANSFER", "INCR_TRANSFER", "REVERSE_INCR_TRANSFER"])
@pytest.mark.parametrize("status", ["INIT", "RUNNING", "SUSPEND", "FAILED", "FINISHED", "RELEASED"])
def test_both_calls_make_the_same_record(ask: Ask, talk: Any, status: str, step: str) -> None:
    changes = {
        "enableReverseIncrSync": True,
        "fullMigrationProgress": 100,
        "reverseIncrSyncCheckpoint": NOW_SECONDS - 7,
    }
    answers = [transfer(status, step, **changes)]
    if status in ("RUNNING", "SUSPEND", "FAILED"):
        answers.append(NO_STEPS)
    record = talk(API.progress("np_1", max_lag=60), *answers).result
    assert record.model_copy(update={"migration_id": "p_1"}) == ask(project(status, step, **changes))


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
        (sampled(1, age=-61), 5, "caught_up"),
        (sampled(1, name="FULL_TRANSFER"), 5, "caught_up"),
        (sampled(1, name="REVERSE_INCR_TRANSFER"), 5, "caught_up"),
        ({"name": "INCR_TRANSFER", "stepInfo": {"incrTimestampCheckpoint": NOW_SECONDS}}, 5, "caught_up"),
        ({"name": "INCR_TRANSFER", "stepInfo": {"checkpointSampleTimestamp": NOW_SECONDS}}, 5, "caught_up"),
        ({"name": "INCR_TRANSFER", "stepInfo": None}, 5, "caught_up"),
        ({"name": "INCR_TRANSFER", "stepInfo": "odd"}, 5, "caught_up"),
    ],
)
def test_the_lag_is_by_the_clock_of_oms_where_it_has_looked_lately(
    talk: Any, step: dict[str, Any], lag: float, state: str
) -> None:
    record = talk(API.progress("np_1", max_lag=60), transfer(), steps(step)).result
    assert (record.lag_seconds, record.state) == (lag, state)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("MONITORING", "caught_up"),
        ("RUNNING", "caught_up"),
        ("ODD", "caught_up"),
        ("FAILED", "running"),
        ("suspend", "running"),
    ],
)
def test_an_increment_that_stands_still_is_not_in_sync(talk: Any, status: str, state: str) -> None:
    step = {**sampled(1), "status": status}
    assert talk(API.progress("np_1", max_lag=60), transfer(), steps(step)).result.state == state


def test_the_checkpoint_is_the_one_that_the_lag_is_measured_from(talk: Any) -> None:
    record = talk(API.progress("np_1", max_lag=60), transfer(), steps(sampled(1))).result
    assert (record.lag_seconds, record.checkpoint.timestamp()) == (1, NOW_SECONDS - 3)


def test_an_increment_that_oms_has_stopped_to_look_at_is_not_in_sync_for_long(talk: Any) -> None:
    answer = transfer(incrSyncCheckpoint=NOW_SECONDS - 601)
    record = talk(API.progress("np_1", max_lag=60), answer, steps(sampled(1, age=600))).result
    assert (record.lag_seconds, record.state) == (601, "running")


def test_a_project_that_runs_backwards_has_the_lag_of_its_way_back(talk: Any) -> None:
    answer = transfer(
        step="REVERSE_INCR_TRANSFER", enableReverseIncrSync=True, reverseIncrSyncCheckpoint=NOW_SECONDS - 9
    )
    both = steps(sampled(500), sampled(2, name="REVERSE_INCR_TRANSFER"))
    assert talk(API.progress("np_1", max_lag=60), answer, both).result.lag_seconds == 2


def test_the_steps_tell_how_many_rows_are_copied(talk: Any) -> None:
    copying = {"name": "FULL_TRANSFER", "status": "RUNNING", "stepInfo": {"processedRecords": "1200"}}
    answer = transfer(step="FULL_TRANSFER", fullMigrationProgress=40)
    record = talk(API.progress("np_1", max_lag=60), answer, steps(copying)).result
    assert {phase.name: phase.done for phase in record.phases}["full"] == 1200


def test_the_steps_tell_why_a_project_has_failed(talk: Any) -> None:
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


def test_a_failed_step_without_a_reason_leaves_it_to_the_project(talk: Any) -> None:
    answer = transfer("FAILED", "FULL_TRANSFER")
    nothing = steps({"name": "FULL_TRANSFER", "status": "FAILED"}, {"name": "ODD", "status": "FAILED"})
    error = talk(API.progress("np_1", max_lag=60), answer, nothing).result.error
    assert error.message == "OMS reports FAILED at step FULL_TRANSFER."


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, {"success": False, "code": "PARAM_ERROR"}), (404, {}), (503, {}), (200, {"success": True})],
)
def test_a_record_is_made_without_the_steps_too(talk: Any, response: Any, status: int, body: Any) -> None:
    record = talk(API.progress("np_1", max_lag=60), transfer(), response(body, status)).result
    assert (record.state, record.lag_seconds) == ("caught_up", 5)


# --- the service that Alibaba Cloud hosts ---------------------------------------------------------------

HOSTED = HostedOmsApi(
    endpoint="https://oceanbasepro.cn-hangzhou.aliyuncs.com",
    region="cn-hangzhou",
    signer=AlibabaSigner("id", "secret"),
    clock=lambda: NOW,
)


def test_the_hosted_service_is_asked_as_alibaba_cloud_wants_it(talk: Any) -> None:
    requests = talk(HOSTED.progress("np_4w3a", max_lag=60), transfer(), NO_STEPS).requests
    assert [request.headers["x-acs-action"] for request in requests] == [
        "DescribeProjectProgress",
        "DescribeProjectSteps",
    ]
    for request in requests:
        assert (request.method, request.url) == ("POST", "https://oceanbasepro.cn-hangzhou.aliyuncs.com/")
        assert request.body == b"Id=np_4w3a"
        assert request.headers["x-acs-version"] == "2019-09-01"


def test_what_a_code_means_at_alibaba_cloud_it_does_not_mean_at_a_console(talk: Any) -> None:
    answer = {"success": False, "code": "StoreNotExist"}
    for api, error in ((HOSTED, MigrationNotFoundError), (API, MigrationServiceError)):
        with pytest.raises(error):
            talk(api.progress("np_1", max_lag=60), answer)


def test_the_documented_sample_of_the_hosted_service_is_a_success_beside_an_error(
    talk: Any, sample: Any
) -> None:
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
def test_a_refusal_of_the_hosted_service_is_classed_by_its_code(
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
def test_a_refused_password_of_a_console_may_have_expired(
    talk: Any, response: Any, body: Any, asking: Callable[..., Any]
) -> None:
    ids = {"max_lag": 60} if asking == API.progress else {}
    with pytest.raises(MigrationAuthenticationError, match="expire after 90 days"):
        talk(asking("p_1", **ids), response(body, 401))
