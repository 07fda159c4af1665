"""OceanBase Migration Service: what its answers mean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationServiceError,
)
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.oms import STEPS, OmsApi
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
