"""Alibaba Cloud DataWorks: what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.dataworks import DataWorksApi, endpoint_of
from airflow_provider_migration.verdict import target_reached

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
API = DataWorksApi(
    endpoint="https://dataworks.cn-shanghai.aliyuncs.com",
    region="cn-shanghai",
    signer=AlibabaSigner("id", "secret"),
    clock=lambda: NOW,
)

Ask = Callable[..., MigrationProgress]


def summary(status: Any, **data: Any) -> dict[str, Any]:
    return {"Success": True, "RequestId": "r-1", "Data": {"Status": status, "Name": "pack", **data}}


def process(*statuses: Any) -> dict[str, Any]:
    steps = [{"TaskName": f"STEP_{number}", "TaskStatus": word} for number, word in enumerate(statuses)]
    return {"Success": True, "RequestId": "r-2", "Data": steps}


def listing(*packages: dict[str, Any]) -> dict[str, Any]:
    data = {"Migrations": list(packages), "PageNumber": 1, "PageSize": 100, "TotalCount": len(packages)}
    return {"Success": True, "RequestId": "r-3", "Data": data}


@pytest.fixture(scope="module")
def ask(talk: Any) -> Ask:
    """Ask once, of a list that gives no reason."""

    def ask(*answers: Any) -> MigrationProgress:
        status = (answers[0]["Data"] or {}).get("Status") if isinstance(answers[0]["Data"], dict) else ""
        has_failed = str(status).strip().upper() in ("IMPORT_ERROR", "EXPORT_ERROR")
        last = [listing()] if has_failed else []
        record: MigrationProgress = talk(
            replace(API).progress(123456, 1234, max_lag=60), *answers, *last
        ).result
        return record

    return ask


# --- the requests ---------------------------------------------------------------------------------------


def test_the_requests_are_those_that_the_official_sdk_sends(talk: Any, vectors: Any) -> None:
    requests = talk(API.progress("123456", 1234, max_lag=60), summary("IMPORTING"), process()).requests
    recorded = {vector["case"]: vector for vector in vectors("alibaba_acs3")["requests"]}
    assert [request.action for request in requests] == ["GetMigrationSummary", "GetMigrationProcess"]
    for request in requests:
        vector = recorded[request.action]
        assert (request.method, request.url, request.body.decode()) == (
            vector["method"],
            vector["url"],
            vector["body"],
        )
        assert request.headers.items() <= vector["headers"].items()
        assert request.headers.keys() == {"accept", "content-type", "x-acs-action", "x-acs-version"}


@pytest.mark.parametrize("status", ["INIT", "EDITING"])
def test_a_package_that_has_not_begun_costs_one_call(talk: Any, status: str) -> None:
    assert len(talk(API.progress(1, 2, max_lag=60), summary(status)).requests) == 1


@pytest.mark.parametrize("bad", ["", None, "abc", "12.5", "-1", "١٢", True, "1 or 1=1"])
@pytest.mark.parametrize("argument", ["project_id", "migration_id"])
def test_what_is_no_number_is_refused_before_anything_is_asked(talk: Any, argument: str, bad: Any) -> None:
    ids = {"project_id": 123456, "migration_id": 1234, argument: bad}
    for call in (API.get_migration_process, API.get_migration_summary):
        with pytest.raises(MigrationConfigurationError, match=argument):
            talk(call(**ids))


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("cn-shanghai", "dataworks.cn-shanghai.aliyuncs.com"),
        ("ap-southeast-7", "dataworks.ap-southeast-7.aliyuncs.com"),
        ("cn-qingdao", "dataworks.aliyuncs.com"),
        ("ap-south-1", "dataworks.aliyuncs.com"),
    ],
)
def test_each_region_has_its_host(region: str, host: str) -> None:
    assert endpoint_of(region) == host


# --- the status of the package --------------------------------------------------------------------------

STATUSES = [
    ("INIT", "pending"),
    ("EDITING", "pending"),
    ("IMPORTING", "running"),
    ("EXPORTING", "running"),
    ("IMPORT_SUCCESS", "succeeded"),
    ("EXPORT_SUCCESS", "succeeded"),
    ("PARTIAL_SUCCESS", "partially_succeeded"),
    ("IMPORT_ERROR", "failed"),
    ("EXPORT_ERROR", "failed"),
    ("REVOKED", "cancelled"),
]
# SUCCESS, RUNNING and FAILURE are words of other calls.
NOT_STATUSES = ["SUCCESS", "RUNNING", "FAILURE", "IMPORTED", "", None, 0, 1.5, True, [], ["INIT"], {}]


@pytest.mark.parametrize("spell", [str, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_a_documented_word_means_its_state_however_it_is_spelt(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    answers = [summary(spell(word))] + ([process("SUCCESS")] if state != "pending" else [])
    progress = ask(*answers)
    assert (progress.state, progress.service_status) == (state, spell(word).strip())


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_anything_else_is_unknown_even_when_every_step_is_a_success(ask: Ask, word: Any) -> None:
    progress = ask(summary(word), process("SUCCESS", "SUCCESS"))
    assert progress.state == "unknown"
    assert not any(progress.reached(milestone) for milestone in ("structure_done", "full_done", "succeeded"))


@pytest.mark.parametrize("data", [None, [], "", 3, {}])
def test_a_summary_without_data_is_unknown(ask: Ask, data: Any) -> None:
    assert ask({"Success": True, "Data": data}, process("SUCCESS")).state == "unknown"


# --- the samples of the documentation -------------------------------------------------------------------


def test_the_documented_samples_are_a_success_in_spite_of_their_error_code(ask: Ask, sample: Any) -> None:
    progress = ask(sample("dataworks_get_migration_summary"), sample("dataworks_get_migration_process"))
    assert progress.model_dump(mode="json", exclude={"phases", "observed_at"}) == {
        "schema_version": 1,
        "service": "dataworks",
        "migration_id": "1234",
        "name": "test_export_01",
        "state": "succeeded",
        "service_status": "EXPORT_SUCCESS",
        "percent": 100,
        "lag_seconds": None,
        "checkpoint": None,
        "error": None,
        "objects": None,
        "request_id": "19999A96-71BA-2845-B455-ED620EF4E37F",
        "console_url": "https://dataworks.console.aliyun.com/",
    }
    (phase,) = progress.phases
    assert (phase.name, phase.state, phase.percent) == ("IMPORE_PREPARE", "succeeded", 100)


def test_the_signed_download_url_goes_nowhere(talk: Any, sample: Any) -> None:
    answers = [sample("dataworks_get_migration_summary"), sample("dataworks_get_migration_process")]
    typed = talk(API.get_migration_summary(1, 2), answers[0])
    record = talk(API.progress(1, 2, max_lag=60), *answers)
    seen = f"{typed} {record} {typed.result.model_dump()} {record.result.model_dump_json()}"
    assert "Signature" not in seen
    assert "OSSAccessKeyId" not in seen
    assert "download" not in seen.lower()


def test_the_typed_results_hold_what_is_documented(talk: Any, sample: Any) -> None:
    data = talk(API.get_migration_summary(1, 2), sample("dataworks_get_migration_summary")).result.data
    assert (data.migration_id, data.project_id, data.gmt_create) == ("1234", "12345", 1589904000000)
    steps = talk(API.get_migration_process(1, 2), sample("dataworks_get_migration_process")).result.data
    assert [(step.task_name, step.task_status) for step in steps] == [("IMPORE_PREPARE", "SUCCESS")]


# --- steps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state", "percent"),
    [
        ("INIT", "pending", 0),
        ("INT", "pending", 0),
        ("RUNNING", "running", None),
        ("SUCCESS", "succeeded", 100),
        ("FAILURE", "failed", None),
        ("success", "succeeded", 100),
        ("IMPORT_SUCCESS", "unknown", None),
        ("", "unknown", None),
        (None, "unknown", None),
        (1, "unknown", None),
        ([], "unknown", None),
    ],
)
def test_a_step_has_the_state_of_its_word(ask: Ask, word: Any, state: str, percent: float | None) -> None:
    (phase,) = ask(summary("IMPORTING"), process(word)).phases
    assert (phase.name, phase.state, phase.percent) == ("STEP_0", state, percent)


@pytest.mark.parametrize("data", [None, [], {}, "SUCCESS", 1, [1], [None], ["SUCCESS"]])
def test_no_steps_are_not_known_steps(ask: Ask, data: Any) -> None:
    progress = ask(summary("EXPORTING"), {"Success": True, "Data": data})
    assert (progress.state, progress.phases, progress.percent) == ("running", (), None)


def test_steps_that_are_all_done_do_not_make_a_success(ask: Ask) -> None:
    progress = ask(summary("IMPORTING"), process("SUCCESS", "SUCCESS"))
    assert progress.state == "running"
    assert not progress.reached("full_done")
    assert not progress.reached("succeeded")


@pytest.mark.parametrize(
    ("steps", "percent"),
    [(("SUCCESS", "RUNNING"), 50), (("SUCCESS", "INIT", "INT"), 33.3), (("FAILURE",), 0), ((), None)],
)
def test_percent_is_the_share_of_steps_that_are_done(ask: Ask, steps: Any, percent: float | None) -> None:
    assert ask(summary("IMPORTING"), process(*steps)).percent == percent


def test_a_success_is_complete_whatever_the_steps_say(ask: Ask) -> None:
    assert ask(summary("IMPORT_SUCCESS"), process("SUCCESS", "RUNNING")).percent == 100


def test_a_package_of_a_thousand_steps_fits_the_record(ask: Ask) -> None:
    progress = ask(summary("IMPORTING"), process(*["SUCCESS"] * 500, *["INIT"] * 500))
    assert progress.percent == 50
    assert 0 < len(progress.phases) <= 64
    assert len(json.dumps(progress.model_dump(mode="json"))) < 16 * 1024


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("SUCCESS", "FAILURE", "FAILURE"), "Failed in step STEP_1, STEP_2."),
        (("SUCCESS",), "DataWorks reports IMPORT_ERROR and names no step."),
        ((), "DataWorks reports IMPORT_ERROR and names no step."),
    ],
)
def test_a_failed_package_names_the_steps(ask: Ask, steps: Any, message: str) -> None:
    error = ask(summary("IMPORT_ERROR"), process(*steps)).error
    assert error is not None
    assert (error.code, error.message) == ("IMPORT_ERROR", message)
    assert "Migration Assistant" in str(error.remedy)


def test_a_package_that_came_in_part_names_the_steps_that_did_not(ask: Ask) -> None:
    record = ask(summary("PARTIAL_SUCCESS"), process("SUCCESS", "FAILURE"))
    assert record.error is not None
    assert record.error.code == "PARTIAL_SUCCESS"
    assert "Failed in step" in str(record.error.message)


@pytest.mark.parametrize(
    ("status", "kind"), [("IMPORT_ERROR", "IMPORT"), ("EXPORT_ERROR", "EXPORT"), ("import_error ", "IMPORT")]
)
def test_the_reason_of_a_failure_is_in_the_list_of_its_kind(talk: Any, status: str, kind: str) -> None:
    packages = [
        {"Id": 1233, "Message": "of another"},
        {"Id": 1234, "Status": "FAILURE", "Message": "The resource order.jar exists."},
    ]
    told = talk(
        replace(API).progress(123456, 1234, max_lag=60),
        summary(status),
        process("FAILURE"),
        listing(*packages),
    )
    assert told.result.error.message == "Failed in step STEP_0: The resource order.jar exists."
    request = told.requests[-1]
    assert request.action == "ListMigrations"
    assert request.body.decode() == f"MigrationType={kind}&PageSize=100&ProjectId=123456"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"Success": True, "Data": {}}),
        (200, {"Success": True, "Data": {"Migrations": None}}),
        (200, {"Success": True, "Data": {"Migrations": [{"Id": 1234}]}}),
        (403, {"Code": "Forbidden.Access", "Message": "no right"}),
        (400, {"Code": "Throttling.User", "Message": "slow down"}),
        (503, {}),
    ],
)
def test_a_list_without_the_reason_leaves_the_verdict_as_it_is(
    talk: Any, response: Any, status: int, answer: Any
) -> None:
    record = talk(
        replace(API).progress(123456, 1234, max_lag=60),
        summary("IMPORT_ERROR"),
        process("FAILURE"),
        response(answer, status),
    ).result
    assert (record.state, record.error.message) == ("failed", "Failed in step STEP_0.")


def test_the_reason_is_asked_for_once(talk: Any, response: Any) -> None:
    api = replace(API)
    failed = (summary("IMPORT_ERROR"), process("FAILURE"))
    reason = listing({"Id": 1234, "Message": "why"})
    first = talk(api.progress(123456, 1234, max_lag=60), *failed, reason).result
    assert talk(api.progress(123456, "1234", max_lag=60), *failed).result == first
    talk(api.progress(123456, 5, max_lag=60), *failed, response({}, 503))
    assert talk(api.progress(123456, 5, max_lag=60), *failed).result.state == "failed"


def test_a_package_that_fails_once_more_is_asked_anew_why(talk: Any) -> None:
    api = replace(API)
    failed = (summary("IMPORT_ERROR"), process("FAILURE"))
    talk(api.progress(123456, 1234, max_lag=60), *failed, listing({"Id": 1234, "Message": "a"}))
    talk(api.progress(123456, 1234, max_lag=60), summary("IMPORTING"), process("RUNNING"))
    again = talk(api.progress(123456, 1234, max_lag=60), *failed, listing({"Id": 1234, "Message": "b"}))
    assert again.result.error.message == "Failed in step STEP_0: b"


def test_a_package_that_came_in_part_is_looked_for_in_no_list(talk: Any) -> None:
    answers = (summary("PARTIAL_SUCCESS"), process("FAILURE"))
    assert len(talk(replace(API).progress(123456, 1234, max_lag=60), *answers).requests) == 2


@pytest.mark.parametrize("name", ["full", "structure"])
def test_a_step_that_is_called_as_a_bulk_phase_is_does_not_count_as_one(ask: Ask, name: str) -> None:
    steps = {"Success": True, "Data": [{"TaskName": name, "TaskStatus": "SUCCESS"}]}
    record = ask(summary("IMPORTING"), steps)
    assert record.phases[0].name == f"step {name}"
    assert not record.reached("structure_done")


@pytest.mark.parametrize("word", ["IMPORTING", "REVOKED", "EXPORT_SUCCESS"])
def test_a_package_that_has_not_failed_has_no_error(ask: Ask, word: str) -> None:
    assert ask(summary(word), process("FAILURE")).error is None


# --- what it has passed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reached", "not_reached"),
    [
        ("EDITING", ["EDITING"], ["INIT", "IMPORTING", "EXPORTING"]),
        ("INIT", ["EDITING", "INIT"], ["IMPORTING", "EXPORTING"]),
        ("IMPORTING", ["INIT", "IMPORTING"], ["EXPORTING", "IMPORT_SUCCESS"]),
        ("EXPORT_SUCCESS", ["INIT", "EXPORTING", "EXPORT_SUCCESS", "caught_up"], ["IMPORTING"]),
        ("IMPORT_ERROR", ["IMPORT_ERROR", "failed"], ["IMPORTING", "IMPORT_SUCCESS"]),
        ("PARTIAL_SUCCESS", ["PARTIAL_SUCCESS", "partially_succeeded"], ["IMPORTING", "succeeded"]),
        ("REVOKED", ["REVOKED", "cancelled"], ["INIT", "IMPORTING"]),
    ],
)
def test_a_word_is_reached_at_it_and_past_it(
    ask: Ask, word: str, reached: list[str], not_reached: list[str]
) -> None:
    progress = ask(summary(word), *([] if word in ("INIT", "EDITING") else [process("SUCCESS")]))
    assert [word for word in reached if not target_reached(progress, word)] == []
    assert [word for word in not_reached if target_reached(progress, word)] == []
