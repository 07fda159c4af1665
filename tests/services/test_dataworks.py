"""Alibaba Cloud DataWorks: what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationPermissionError,
    MigrationResponseError,
)
from airflow_provider_migration.progress import MigrationProgress, MigrationSummary
from airflow_provider_migration.services.dataworks import (
    LIST_STATUSES,
    DataWorksApi,
    MigrationList,
    endpoint_of,
    list_of,
)
from airflow_provider_migration.services.listing import MigrationFilter
from airflow_provider_migration.wait.policy import target_reached

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


def test_requests_match_the_official_sdk(talk: Any, vectors: Any) -> None:
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
def test_pending_package_costs_one_call(talk: Any, status: str) -> None:
    assert len(talk(API.progress(1, 2, max_lag=60), summary(status)).requests) == 1


@pytest.mark.parametrize("bad", ["", None, "abc", "12.5", "-1", "١٢", True, "1 or 1=1"])
@pytest.mark.parametrize("argument", ["project_id", "migration_id"])
def test_wrong_number_is_refused_before_a_request(talk: Any, argument: str, bad: Any) -> None:
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
def test_region_hosts(region: str, host: str) -> None:
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
NOT_STATUSES = ["SUCCESS", "RUNNING", "FAILURE", "IMPORTED", 0, 1.5]


@pytest.mark.parametrize("spell", [str, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_documented_status_has_its_state(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    answers = [summary(spell(word))] + ([process("SUCCESS")] if state != "pending" else [])
    progress = ask(*answers)
    assert (progress.state, progress.service_status) == (state, spell(word).strip())


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_unknown_status_is_unknown_despite_its_steps(ask: Ask, word: Any) -> None:
    progress = ask(summary(word), process("SUCCESS", "SUCCESS"))
    assert progress.state == "unknown"
    assert not any(progress.reached(milestone) for milestone in ("structure_done", "full_done", "succeeded"))


@pytest.mark.parametrize(
    "data",
    [None, [], "", 3, {}, *({"Status": word} for word in ("", " ", None, True, [], ["INIT"], {}))],
)
def test_status_missing_is_a_transient_error(talk: Any, data: Any) -> None:
    for call in (API.get_migration_summary(1, 2), API.progress(1, 2, max_lag=60)):
        with pytest.raises(MigrationResponseError, match=r"no Data.Status in the response"):
            talk(call, {"Success": True, "Data": data})


# --- the samples of the documentation -------------------------------------------------------------------


def test_documented_samples_are_a_success(ask: Ask, sample: Any) -> None:
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
        "verification": None,
        "throughput": None,
        "remaining_seconds": None,
        "remaining_source": None,
        "retrying": None,
        "request_id": "19999A96-71BA-2845-B455-ED620EF4E37F",
        "console_url": "https://dataworks.data.aliyun.com/cn-shanghai/sc?defaultProjectId=123456",
    }
    (phase,) = progress.phases
    assert (phase.name, phase.state, phase.percent) == ("IMPORE_PREPARE", "succeeded", 100)


def test_redacted_record_has_no_download_url(talk: Any, sample: Any) -> None:
    answers = [sample("dataworks_get_migration_summary"), sample("dataworks_get_migration_process")]
    typed = talk(API.get_migration_summary(1, 2), answers[0])
    record = talk(API.progress(1, 2, max_lag=60), *answers)
    seen = f"{typed} {record} {typed.result.model_dump()} {record.result.model_dump_json()}"
    assert "Signature" not in seen
    assert "OSSAccessKeyId" not in seen
    assert "download" not in seen.lower()


def test_models_have_the_documented_fields(talk: Any, sample: Any) -> None:
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
def test_step_has_the_state_of_its_status(ask: Ask, word: Any, state: str, percent: float | None) -> None:
    (phase,) = ask(summary("IMPORTING"), process(word)).phases
    assert (phase.name, phase.state, phase.percent) == ("STEP_0", state, percent)


@pytest.mark.parametrize("data", [None, [], {}, "SUCCESS", 1, [1], [None], ["SUCCESS"]])
def test_missing_steps_are_unknown(ask: Ask, data: Any) -> None:
    progress = ask(summary("EXPORTING"), {"Success": True, "Data": data})
    assert (progress.state, progress.phases, progress.percent) == ("running", (), None)


def test_complete_steps_are_not_a_success(ask: Ask) -> None:
    progress = ask(summary("IMPORTING"), process("SUCCESS", "SUCCESS"))
    assert progress.state == "running"
    assert not progress.reached("full_done")
    assert not progress.reached("succeeded")


@pytest.mark.parametrize(
    ("steps", "percent"),
    [(("SUCCESS", "RUNNING"), 50), (("SUCCESS", "INIT", "INT"), 33.3), (("FAILURE",), 0), ((), None)],
)
def test_percent_is_the_share_of_complete_steps(ask: Ask, steps: Any, percent: float | None) -> None:
    assert ask(summary("IMPORTING"), process(*steps)).percent == percent


def test_success_is_complete_despite_its_steps(ask: Ask) -> None:
    assert ask(summary("IMPORT_SUCCESS"), process("SUCCESS", "RUNNING")).percent == 100


def test_record_holds_a_thousand_steps(ask: Ask) -> None:
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
def test_failed_package_names_its_steps(ask: Ask, steps: Any, message: str) -> None:
    error = ask(summary("IMPORT_ERROR"), process(*steps)).error
    assert error is not None
    assert (error.code, error.message) == ("IMPORT_ERROR", message)
    assert "Migration Assistant" in str(error.remedy)


def test_partial_success_names_the_missing_steps(ask: Ask) -> None:
    record = ask(summary("PARTIAL_SUCCESS"), process("SUCCESS", "FAILURE"))
    assert record.error is not None
    assert record.error.code == "PARTIAL_SUCCESS"
    assert "Failed in step" in str(record.error.message)


@pytest.mark.parametrize(
    ("status", "kind"), [("IMPORT_ERROR", "IMPORT"), ("EXPORT_ERROR", "EXPORT"), ("import_error ", "IMPORT")]
)
def test_reason_is_in_the_list_of_the_kind(talk: Any, status: str, kind: str) -> None:
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
    assert request.body.decode() == f"MigrationType={kind}&PageNumber=1&PageSize=100&ProjectId=123456"


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
def test_reason_missing_leaves_the_verdict(talk: Any, response: Any, status: int, answer: Any) -> None:
    record = talk(
        replace(API).progress(123456, 1234, max_lag=60),
        summary("IMPORT_ERROR"),
        process("FAILURE"),
        response(answer, status),
    ).result
    assert (record.state, record.error.message) == ("failed", "Failed in step STEP_0.")
    told = [warning.partition(". ")[0] for warning in record.warnings]
    assert told == (["The reason of the failure is not known"] if status != 200 else [])


def test_reason_is_cached(talk: Any, response: Any) -> None:
    api = replace(API)
    failed = (summary("IMPORT_ERROR"), process("FAILURE"))
    reason = listing({"Id": 1234, "Message": "why"})
    first = talk(api.progress(123456, 1234, max_lag=60), *failed, reason).result
    assert talk(api.progress(123456, "1234", max_lag=60), *failed).result == first
    talk(api.progress(123456, 5, max_lag=60), *failed, response({}, 503))
    assert talk(api.progress(123456, 5, max_lag=60), *failed).result.state == "failed"


def test_reason_is_requested_again_after_another_failure(talk: Any) -> None:
    api = replace(API)
    failed = (summary("IMPORT_ERROR"), process("FAILURE"))
    talk(api.progress(123456, 1234, max_lag=60), *failed, listing({"Id": 1234, "Message": "a"}))
    talk(api.progress(123456, 1234, max_lag=60), summary("IMPORTING"), process("RUNNING"))
    again = talk(api.progress(123456, 1234, max_lag=60), *failed, listing({"Id": 1234, "Message": "b"}))
    assert again.result.error.message == "Failed in step STEP_0: b"


def test_partial_success_needs_no_list(talk: Any) -> None:
    answers = (summary("PARTIAL_SUCCESS"), process("FAILURE"))
    assert len(talk(replace(API).progress(123456, 1234, max_lag=60), *answers).requests) == 2


@pytest.mark.parametrize("name", ["full", "structure"])
def test_step_named_like_a_phase_is_not_a_phase(ask: Ask, name: str) -> None:
    steps = {"Success": True, "Data": [{"TaskName": name, "TaskStatus": "SUCCESS"}]}
    record = ask(summary("IMPORTING"), steps)
    assert record.phases[0].name == f"step {name}"
    assert not record.reached("structure_done")


@pytest.mark.parametrize("word", ["IMPORTING", "REVOKED", "EXPORT_SUCCESS"])
def test_package_without_a_failure_has_no_error(ask: Ask, word: str) -> None:
    assert ask(summary(word), process("FAILURE")).error is None


# --- steps that are refused -----------------------------------------------------------------------------

REFUSALS = [
    (403, {"Code": "Forbidden.RAM", "Message": "no right"}, True),
    (403, {"Code": "ResourceNotAuthorized.Api", "Message": "no right"}, True),
    (404, {"Code": "InvalidApi.NotFound"}, True),
    (500, {"Code": "Invalid.Wkbench.Parameter"}, True),
    (400, {"Code": "InvalidSecurityToken.Expired"}, False),
    (403, {"Code": "Forbidden.Access", "Message": "Try again later."}, False),
    (403, b"<html>blocked</html>", False),
    (429, {"Code": "Throttling.Api.Risk"}, False),
    (503, {}, False),
    (200, b"garbled", False),
    (200, {}, False),
]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("IMPORT_SUCCESS", "succeeded"),
        ("EXPORTING", "running"),
        ("REVOKED", "cancelled"),
        ("IMPORT_ERROR", "failed"),
    ],
)
@pytest.mark.parametrize(("http_status", "answer", "stays"), REFUSALS)
def test_refused_steps_leave_the_status_and_warn(
    talk: Any, response: Any, http_status: int, answer: Any, stays: bool, status: str, state: str
) -> None:
    """The auxiliary call never decides, and a refusal that stays is not repeated for an hour."""
    now = [NOW]
    api = replace(API, clock=lambda: now[0])
    refusal = response(answer, http_status)
    reason = [listing()] if status == "IMPORT_ERROR" else []
    first = talk(api.progress(1, 2, max_lag=60), summary(status), refusal, *reason).result
    assert (first.state, first.phases) == (state, ())
    assert first.percent == (100 if state == "succeeded" else None)
    (warning,) = first.warnings
    assert warning.startswith(
        "The steps and the percentage are not known; the status is. GetMigrationProcess"
    )
    second = talk(api.progress(" 1", "2 ", max_lag=60), summary(status), *([] if stays else [refusal]))
    assert second.result.warnings == first.warnings
    now[0] += timedelta(hours=1)
    healed = talk(api.progress(1, 2, max_lag=60), summary(status), process("SUCCESS")).result
    assert (len(healed.phases), healed.warnings) == (1, ())
    assert talk(api.progress(1, 2, max_lag=60), summary(status), process("SUCCESS")).result.warnings == ()


def test_refused_summary_still_decides(talk: Any, response: Any) -> None:
    with pytest.raises(MigrationPermissionError):
        talk(API.progress(1, 2, max_lag=60), response({"Code": "Forbidden.RAM"}, 403))


@pytest.mark.parametrize(
    ("changes", "page"),
    [
        ({}, "https://dataworks.data.aliyun.com/cn-shanghai/sc?defaultProjectId=1"),
        ({"region": None}, "https://dataworks.console.aliyun.com/"),
        ({"endpoint": "https://dataworks.alibabacloud.com"}, "https://dataworks.console.aliyun.com/"),
    ],
)
def test_console_link_leads_to_the_workspace(talk: Any, changes: Any, page: str) -> None:
    record = talk(replace(API, **changes).progress(1, 2, max_lag=60), summary("INIT")).result
    assert record.console_url == page


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
def test_status_is_reached_at_and_past_it(
    ask: Ask, word: str, reached: list[str], not_reached: list[str]
) -> None:
    progress = ask(summary(word), *([] if word in ("INIT", "EDITING") else [process("SUCCESS")]))
    assert [word for word in reached if not target_reached(progress, word)] == []
    assert [word for word in not_reached if target_reached(progress, word)] == []


def test_record_has_the_time_of_the_call_that_decides(talk: Any, response: Any) -> None:
    """The call for the steps may be tried for a minute."""
    now = [NOW]

    def answer(request: Any) -> Any:
        if request.action != "GetMigrationProcess":
            return response(summary("IMPORTING"))
        now[0] += timedelta(seconds=60)
        return response({}, 503)

    record = talk(replace(API, clock=lambda: now[0]).progress(1, 2, max_lag=60), answer).result
    assert (record.state, record.observed_at) == ("running", NOW)


# --- the list of a workspace ----------------------------------------------------------------------------

CREATED = int(NOW.timestamp() * 1000) - 60_000


def package(number: Any = 1, status: Any = "RUNNING", **changes: Any) -> dict[str, Any]:
    given = {"Id": number, "Name": f"pack-{number}", "Status": status, "CreateTime": CREATED}
    return {**given, "DownloadUrl": "https://signed.example/?Signature=x", **changes}


def read_list(talk: Any, *answers: Any, **filtered: Any) -> tuple[list[MigrationSummary], list[Any]]:
    """Read a list to its end; return its rows and the requests."""
    given = {"name": None, "status": None, "tags": None, "group": None, **filtered}
    words, states = LIST_STATUSES.known_words, LIST_STATUSES.states
    packages = list_of(MigrationFilter.of(**given, words=words, states=states), 123456)
    rows, requests, canned = [], [], iter(answers)
    while not packages.at_end:
        told = talk(API.list_migrations(packages), *islice(canned, 1))
        rows += told.result
        requests += told.requests
    assert next(canned, None) is None
    return rows, requests


def counted(total: Any, *packages: Any) -> dict[str, Any]:
    return {"Success": True, "Data": {"Migrations": [*packages], "TotalCount": total, "PageSize": 50}}


def test_list_requests_each_type(talk: Any) -> None:
    _, requests = read_list(talk, listing(), listing())
    assert [request.body.decode() for request in requests] == [
        f"MigrationType={kind}&PageNumber=1&PageSize=100&ProjectId=123456" for kind in ("IMPORT", "EXPORT")
    ]
    assert {request.action for request in requests} == {"ListMigrations"}


def test_list_of_shorter_pages_is_read_to_its_end(talk: Any) -> None:
    """The maximum size of a page is 100 by one text and 50 by another."""
    pages = [counted(130, *map(package, range(begin, min(begin + 50, 130)))) for begin in (0, 50, 100)]
    rows, requests = read_list(talk, *pages, counted(1, package(999)))
    assert [row.migration_id for row in rows] == [*map(str, range(130)), "999"]
    assert [row.kind for row in rows[-2:]] == ["import", "export"]
    assert len(requests) == 4


def test_list_row_is_a_light_record(talk: Any) -> None:
    ((row,), _) = read_list(talk, listing(package()), listing())
    assert row.model_dump(mode="json") == {
        "service": "dataworks",
        "migration_id": "1",
        "name": "pack-1",
        "kind": "import",
        "state": "running",
        "service_status": "RUNNING",
        "lag_seconds": None,
        "created_at": "2026-01-02T03:03:05Z",
    }
    assert "Signature" not in repr(MigrationList.read(listing(package())))


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("INIT", "pending"),
        ("EDITING", "pending"),
        ("RUNNING", "running"),
        ("SUCCESS", "succeeded"),
        ("FAILURE", "failed"),
        ("IMPORT_SUCCESS", "unknown"),  # a word of the summary
        ("odd", "unknown"),
        (None, "unknown"),
        (False, "unknown"),
    ],
)
def test_list_has_its_own_words(talk: Any, word: Any, state: str) -> None:
    ((row,), _) = read_list(talk, listing(package(status=word)), listing())
    assert row.state == state


@pytest.mark.parametrize(
    "answer",
    [
        listing(package(None)),
        listing(package("")),
        listing(package("abc")),
        listing(package(-1)),
        listing(package(True)),
        listing(package(), None),  # type: ignore[arg-type]  # not a package
        listing(package(), "x"),  # type: ignore[arg-type]  # not a package
        counted(None, package()),
        counted(True, package()),
        counted("many", package()),
        counted(-1),
        counted(0, package(None)),
        {"Success": True, "Data": {}},
        {"Success": True, "Data": {"Migrations": "x", "TotalCount": 2}},
        {"Success": True, "Data": None},
        {"Success": True},
    ],
)
def test_unreadable_list_is_an_error(talk: Any, answer: Any) -> None:
    with pytest.raises(MigrationResponseError):
        read_list(talk, answer, listing())


@pytest.mark.parametrize(
    "pages",
    [
        [counted(2, package(1)), counted(2)],
        [counted(2, package(1)), counted(2, package(1))],
        [counted(2, package(1), package(1))],
        [counted(3, package(1)), counted(2, package(3))],
        [counted(5, package(1)), counted(0)],
    ],
)
def test_incomplete_list_is_an_error(talk: Any, pages: list[Any]) -> None:
    with pytest.raises(MigrationResponseError, match="list again"):
        read_list(talk, *pages)


def test_list_beyond_the_last_page_number_is_an_error(talk: Any) -> None:
    pages = (counted(101, package(number)) for number in range(100))
    with pytest.raises(MigrationResponseError, match=r"lists 100 pages at most, .*give the ids"):
        read_list(talk, *pages)


def test_ids_and_counts_may_be_texts(talk: Any) -> None:
    rows, _ = read_list(talk, counted("1", package(" 17 ", CreateTime=str(CREATED))), counted("0"))
    assert [(row.migration_id, row.created_at is not None) for row in rows] == [("17", True)]
