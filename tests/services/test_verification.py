"""The services' own data checks: what their answers mean, and which answers never mean that data is equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.exceptions import MigrationServiceError, MigrationThrottledError
from airflow_provider_migration.progress import (
    MAX_RECORD_BYTES,
    MigrationProgress,
    TableVerification,
    Verification,
    VerificationState,
)
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.services.drs import DrsApi
from airflow_provider_migration.services.dts import DtsApi
from airflow_provider_migration.services.oms import HostedOmsApi, OmsApi
from tests.flows import Talk, hold, to_response

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
SIGNER = AlibabaSigner("id", "secret")
DTS = DtsApi(endpoint="https://dts.example", signer=SIGNER, region="cn-x", clock=lambda: NOW)
OMS = OmsApi(endpoint="http://oms.example:8089", signer=BasicSigner("user", "secret"), clock=lambda: NOW)
HOSTED = HostedOmsApi(endpoint="https://oms.example", signer=SIGNER, region="cn-x", clock=lambda: NOW)
DRS = DrsApi(
    endpoint="https://drs.example", project_id="p", signer=HuaweiSigner("ak", "sk"), clock=lambda: NOW
)
REFUSED = to_response({"Code": "Forbidden.RAM", "error_code": "DRS.M00102", "Message": "no"}, 403)

Answers = dict[str, Any]


def by_action(answers: Answers) -> Callable[[Request], Response]:
    """Answer each request by its action; a list is answered in turn, its last item for good."""

    def answer(request: Request) -> Response:
        content = answers[request.action]
        if isinstance(content, list):
            content = content.pop(0) if len(content) > 1 else content[0]
        if callable(content):
            content = content(request)
        if isinstance(content, Exception):
            raise content
        return content if isinstance(content, Response) else to_response(content)

    return answer


def query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


# --- DTS --------------------------------------------------------------------------------------------------

DONE = {"Status": "Finished", "Percent": "100"}


def job(full: Any = DONE, **changes: Any) -> dict[str, Any]:
    """Make the list of one job that is in sync, with its full data check."""
    mode = {
        "StructureInitialization": True,
        "DataInitialization": True,
        "DataSynchronization": True,
        "FullDataCheck": full is not None,
        "IncDataCheck": False,
        "StructureDataCheck": False,
        **changes.pop("mode", {}),
    }
    listed = {
        "DtsInstanceID": "dts1",
        "DtsJobId": "j1",
        "Status": "Migrating",
        "Delay": "0",
        "MigrationMode": mode,
        "StructureInitializationStatus": DONE,
        "DataInitializationStatus": DONE,
        "DataSynchronizationStatus": {"Status": "Catched"},
        **({"FullDataCheckStatus": full} if full is not None else {}),
        **changes,
    }
    return {"Success": True, "RequestId": "r", "TotalRecordCount": 1, "DtsJobList": [listed]}


def table(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Make one table of DTS that was compared and is equal."""
    return {
        "Id": number,
        "SourceDbName": "shop",
        "SourceTbName": f"t{number}",
        "TargetDbName": "shop_new",
        "TargetTbName": f"t{number}",
        "TotalCount": 8,
        "FinishCount": 8,
        "DiffCount": 0,
        "Status": "0",
        "BootTime": "2026-09-01 19:26:59",
        **changes,
    }


def tables(total: Any = 2, different: Any = 0, failed: Any = 0, rows: Any = None) -> dict[str, Any]:
    return {
        "Success": True,
        "TotalCount": total,
        "FinishedCount": 16,
        "DiffTableCount": different,
        "FailedTableCount": failed,
        "TableDetails": [table(1), table(2)] if rows is None else rows,
    }


def dts(jobs: Any, details: Any = None, **options: Any) -> MigrationProgress:
    answers = {"DescribeDtsJobs": jobs, "DescribeDataCheckTableDetails": details}
    api = options.pop("api", replace(DTS))
    options = {"verification": True, **options}
    return hold(api.progress("dts1", max_lag=60, **options), by_action(answers)).result


@pytest.mark.parametrize(
    ("jobs", "details", "state"),
    [
        (job(), tables(), "consistent"),
        (job(inc := {"Status": "Catched"}), tables(), "consistent"),
        (job({"status": " finished "}), tables(), "consistent"),
        (job({"Status": "NotStarted"}), None, "pending"),
        (job({"Status": "Checking", "Percent": "40"}), None, "running"),
        (job({"Status": "Failed"}), tables(), "failed"),
        (job({"Status": "Failed"}), tables(different=1), "inconsistent"),
        (job({"Status": "Inconsistency"}), tables(), "inconsistent"),
        (job({"Status": "Odd"}), None, "unknown"),
        (job({"Status": ""}), None, "unknown"),
        (job({}), None, "unknown"),
        (job(None), None, "not_configured"),
        (job(None, mode={"StructureDataCheck": True}, StructureDataCheckStatus=DONE), None, "not_configured"),
        (job(None, mode={"FullDataCheck": None, "IncDataCheck": None}), None, "unknown"),
        (job(None, mode={"FullDataCheck": None}), None, "unknown"),
        # What ended says nothing of what it found.
        (job(), tables(total=0, rows=[]), "unknown"),
        (job(), tables(different=1), "inconsistent"),
        (job(), tables(failed=1), "failed"),
        (job(), tables(different=1, failed=1), "inconsistent"),
        (job(), tables(different=None), "unknown"),
        (job(), tables(different=False), "unknown"),
        (job(), tables(failed="none"), "unknown"),
        (job(), tables(different=-1), "unknown"),
        (job(), tables(total=None), "unknown"),
        (job(), {"Success": True, "TotalCount": 2}, "unknown"),
        (job(), {"Success": False, "ErrCode": "InternalError", "ErrMessage": "no"}, "unknown"),
        (job(), REFUSED, "unknown"),
        (job(), b"<html>", "unknown"),
        (job(), MigrationThrottledError("slow down"), "unknown"),
        (job(DtsJobId=None), None, "unknown"),
        # A table may say otherwise than the counts.
        (job(), tables(rows=[table(1), table(2, DiffCount=1)]), "inconsistent"),
        (job(), tables(rows=[table(1), table(2, Status="5")]), "failed"),
        (job(), tables(rows=[table(1), table(2, Status="5", ErrorCode=2)]), "inconsistent"),
        (job(), tables(rows=[table(1), table(2, Status="3")]), "running"),
        (job(), tables(rows=[table(1), table(2, Status="2")]), "running"),
        (job(), tables(rows=[table(1), table(2, Status="1")]), "unknown"),
        (job(), tables(rows=[table(1), table(2, Status=None)]), "unknown"),
        (job(), tables(rows=[table(1), table(2, DiffCount=None)]), "unknown"),
        (job(), tables(rows=[table(1), table(2, DiffCount=10**30)]), "unknown"),
        (job(), tables(rows=[table(1), table(2, FinishCount=0)]), "unknown"),
        (job(), tables(rows=[table(1), table(1), table(2)]), "consistent"),
        (job(), tables(rows=[table(1, DiffCount=3), table(1, Id=7), table(2)]), "inconsistent"),
        (job(), tables(rows=[]), "unknown"),
        (job(), tables(total=5), "unknown"),
        # The counts are of all pages.
        (job(), tables(total=40, rows=[table(number) for number in range(30)]), "consistent"),
        (job(), tables(total=40, rows=[table(number) for number in range(29)]), "unknown"),
        (
            [job(), job({"Status": "Checking"})],  # it has begun again while its tables were read
            tables(total=40, rows=[table(number) for number in range(30)]),
            "running",
        ),
        (
            [job(), REFUSED],
            tables(total=40, rows=[table(number) for number in range(30)]),
            "running",
        ),
        (job(None, Status="NotConfigured"), None, "unknown"),
        # Several checks: all of them must be clean.
        (job(mode={"IncDataCheck": True}, IncDataCheckStatus=inc), tables(), "consistent"),
        (job(mode={"IncDataCheck": True}, IncDataCheckStatus={"Status": "Checking"}), tables(), "running"),
        (job(mode={"IncDataCheck": True}, IncDataCheckStatus={"Status": "Failed"}), tables(), "failed"),
        (job(mode={"IncDataCheck": True}), tables(), "unknown"),
        (
            job(mode={"IncDataCheck": True}, IncDataCheckStatus=inc),
            lambda request: tables(different=int(query(request)["CheckType"]) - 1),
            "inconsistent",
        ),
        (job(mode={"StructureDataCheck": True}, StructureDataCheckStatus=DONE), tables(), "consistent"),
        (
            job(mode={"StructureDataCheck": True}, StructureDataCheckStatus={"Status": "Inconsistency"}),
            tables(),
            "inconsistent",
        ),
        (
            job(mode={"StructureDataCheck": True}, StructureDataCheckStatus={"Status": "Checking"}),
            tables(),
            "running",
        ),
        # A check that is off, and yet has a bad result.
        (job(mode={"FullDataCheck": False}), None, "not_configured"),
        (job({"Status": "Inconsistency"}, mode={"FullDataCheck": False}), tables(), "inconsistent"),
        # The increment's check says nothing of existing data.
        (job(None, mode={"IncDataCheck": True}, IncDataCheckStatus=inc), tables(), "not_configured"),
        (
            job(None, mode={"IncDataCheck": True}, IncDataCheckStatus=inc),
            tables(different=1),
            "inconsistent",
        ),
        (
            job(
                None,
                mode={"IncDataCheck": True, "DataInitialization": False},
                IncDataCheckStatus=inc,
            ),
            tables(),
            "consistent",
        ),
    ],
)
def test_dts_check_has_its_state(jobs: Any, details: Any, state: str) -> None:
    progress = dts(jobs, details)
    assert progress.verification is not None
    assert progress.verification.state == state
    assert progress.is_verified is (state == "consistent")


@pytest.mark.parametrize(
    ("full", "state"),
    [
        ({"Status": "Finished", "Percent": "100"}, "unknown"),
        ({"Status": "Inconsistency"}, "inconsistent"),
        ({"Status": "Checking"}, "running"),
    ],
)
def test_dts_summary_alone_is_never_clean(full: Any, state: str) -> None:
    verification = dts(job(full), verification=False, api=replace(DTS, api="DescribeDtsJobs")).verification
    assert verification is not None
    assert verification.state == state
    assert verification.tables_different is None


def test_dts_legacy_call_knows_no_check() -> None:
    body = {"MigrationJobStatus": "Migrating", "MigrationMode": {"DataInitialization": "true"}}
    answers = by_action({"DescribeMigrationJobStatus": body})
    assert hold(DTS.progress("dts1", max_lag=60), answers).result.verification is None


def test_dts_requests_are_as_documented() -> None:
    answers = {"DescribeDtsJobs": job(), "DescribeDataCheckTableDetails": tables()}
    talk: Talk = hold(replace(DTS).progress("dts1", max_lag=60, verification=True), by_action(answers))
    assert [request.action for request in talk.requests] == list(answers)
    assert query(talk.requests[1]) == {
        "DtsJobId": "j1",
        "CheckType": "1",
        "Status": "-1",
        "PageNumber": "1",
        "PageSize": "30",
    }


def test_dts_names_the_tables_that_differ() -> None:
    def details(request: Request) -> Any:
        if query(request)["Status"] == "6":
            rows = [table(number, DiffCount=number) for number in range(100, 112)]
            return tables(total=400, different=12, rows=rows)
        return tables(total=400, different=12, failed=1, rows=[table(1), table(2, Status="5", ErrorCode=3)])

    found = dts(job(), details).verification
    assert found is not None
    assert (found.tables_total, found.tables_compared) == (400, 399)
    assert (found.tables_different, found.tables_failed, found.rows_different) == (12, 1, 1266)
    assert found.worst[0] == TableVerification(
        source="shop.t111", destination="shop_new.t111", result="different", rows_different=111
    )
    assert [table.result for table in found.worst] == ["different"] * 12 + ["failed: ErrorCode 3"]


def test_dts_counts_stand_if_the_names_cannot_be_read() -> None:
    answers = [tables(total=400, different=12), REFUSED]
    found = dts(job(), answers)
    assert found.verification is not None
    assert (found.verification.state, found.verification.tables_different) == ("inconsistent", 12)
    assert found.warnings == ()


def test_dts_check_has_the_time_of_its_oldest_table() -> None:
    rows = [table(1), table(2, BootTime="2026-09-01 18:00:00")]
    found = dts(job(), tables(rows=rows)).verification
    assert found is not None
    assert found.checked_at == datetime(2026, 9, 1, 10, 0, tzinfo=UTC)
    for odd in ("soon", "0001-01-01 00:00:00", None):
        found = dts(job(), tables(rows=[table(1), table(2, BootTime=odd)])).verification
        assert found is not None
        assert found.checked_at is None


@pytest.mark.parametrize(
    ("jobs", "details", "calls"),
    [
        (job(), tables(), 2),  # in sync: a yes needs evidence of this poll
        (job(Delay="999000"), tables(), 1),
        (job(Delay="999000"), tables(different=1), 2),
        (job({"Status": "Checking"}), tables(), 0),
    ],
)
def test_dts_tables_are_counted_where_it_matters(jobs: Any, details: Any, calls: int) -> None:
    made: list[Request] = []

    def counting(request: Request) -> Any:
        made.append(request)
        return details

    api = replace(DTS)
    for _ in range(2):
        dts(jobs, counting, api=api)
    assert len(made) == calls


def test_dts_tables_are_counted_again_when_the_summary_changes() -> None:
    api = replace(DTS)
    behind = {"Delay": "999000"}
    assert dts(job(**behind), tables(), api=api).verification.state == "consistent"
    again = dts(job({"Status": "Finished", "Percent": "99"}, **behind), tables(different=1), api=api)
    assert again.verification.state == "inconsistent"


# --- OMS --------------------------------------------------------------------------------------------------

EARLY, LATE = "2026-09-01T08:00:00", "2026-09-01T09:00:00"


def project(status: str = "RUNNING", **changes: Any) -> dict[str, Any]:
    data = {
        "status": status,
        "currentStep": "INCR_TRANSFER",
        "enableStructTransfer": True,
        "enableFullTransfer": True,
        "enableIncrSync": True,
        "structTransferProgress": 100,
        "fullTransferProgress": 100,
        "incrSyncCheckpoint": int(NOW.timestamp()) - 5,
        **changes,
    }
    return {"success": True, "data": data}


def step(name: str, status: str = "FINISHED", **fields: Any) -> dict[str, Any]:
    return {"name": name, "status": status, **fields}


def verifier(status: str = "RUNNING", progress: Any = 100, **fields: Any) -> dict[str, Any]:
    return step(
        "FULL_VERIFIER", status, progress=progress, **{"startTime": EARLY, "finishTime": LATE, **fields}
    )


def steps(*further: dict[str, Any]) -> dict[str, Any]:
    increment = step("INCR_TRANSFER", "MONITORING")
    return {"success": True, "data": [step("FULL_TRANSFER", finishTime=EARLY), increment, *further]}


def row(number: int = 1, result: Any = "CONSISTENT", status: Any = "FINISHED", **counts: Any) -> Any:
    return {
        "sourceSchemaName": "shop",
        "sourceTableName": f"t{number}",
        "destSchemaName": "shop_new",
        "sourceOnlyCount": 0,
        "destOnlyCount": 0,
        "mismatchedCount": 0,
        "status": status,
        "resultType": result,
        **counts,
    }


def results(*rows: Any, different: Any = 0, total: Any = None) -> dict[str, Any]:
    data = {"differentNumber": different, "fullVerifyTableStatistics": list(rows)}
    return {"success": True, "totalCount": len(rows) if total is None else total, "data": data}


def oms(listed: Any, found: Any = None, **options: Any) -> MigrationProgress:
    api = options.pop("api", None) or replace(OMS)
    answers = {
        "DescribeProjectProgress": options.pop("project", project()),
        "DescribeProjectSteps": listed,
        "ListProjectFullVerifyResult": found,
    }
    options = {"verification": True, **options}
    return hold(api.progress("np_1", max_lag=60, **options), by_action(answers)).result


OMS_CASES = [
    (steps(verifier()), results(row()), "consistent"),
    (steps(verifier("FINISHED")), results(row(), row(2, "BOTH_EMPTY")), "consistent"),
    (steps(verifier("INIT", 0)), None, "pending"),
    (steps(verifier("RUNNING", 40)), None, "running"),
    (steps(verifier("RUNNING", None)), None, "running"),
    (steps(verifier("SUSPEND", 100)), None, "running"),
    (steps(verifier("FAILED", 40)), results(row()), "failed"),
    (steps(verifier("FAILED", 40)), results(row(1, "INCONSISTENT"), different=1), "inconsistent"),
    (steps(verifier("ODD")), None, "unknown"),
    (steps(verifier(None)), None, "unknown"),
    (steps(), None, "not_configured"),
    ({"success": True, "data": []}, None, "unknown"),
    (REFUSED, None, "unknown"),
    # What ended says nothing of what it found.
    (steps(verifier()), results(), "unknown"),
    (steps(verifier()), results(row(), different=None), "unknown"),
    (steps(verifier()), results(row(), different=1), "inconsistent"),
    (steps(verifier()), results(row(1, "INCONSISTENT")), "inconsistent"),
    (steps(verifier()), results(row(1, "SOURCE_EMPTY")), "inconsistent"),
    (steps(verifier()), results(row(1, "TARGET_EMPTY")), "inconsistent"),
    (steps(verifier()), results(row(1, "MISMATCH_LIMIT")), "inconsistent"),
    (steps(verifier()), results(row(1, "MISMATCH_LIMIT_NO_PK")), "inconsistent"),
    (steps(verifier()), results(row(), row(2, mismatchedCount=1)), "inconsistent"),
    (steps(verifier()), results(row(), row(2, sourceOnlyCount=1)), "inconsistent"),
    (steps(verifier()), results(row(), row(2, "SCHEMA_MISMATCH")), "failed"),
    (steps(verifier()), results(row(), row(2, "INDEX_CONFLICT")), "failed"),
    (steps(verifier()), results(row(), row(2, "TARGET_TABLE_NOT_EXIST")), "failed"),
    (steps(verifier()), results(row(), row(2, "RUNTIME_EXCEPTION")), "failed"),
    (steps(verifier()), results(row(), row(2, "NOT_CATEGORIZED")), "failed"),
    (steps(verifier()), results(row(), row(2, "CONSISTENT", "ERROR")), "failed"),
    (steps(verifier()), results(row(), row(2, "CONSISTENT", " error ")), "failed"),
    (steps(verifier()), results(row(), row(2, "CONSISTENT", "RUNNING")), "running"),
    (steps(verifier()), results(row(), row(2, "CONSISTENT", "ODD")), "running"),
    (steps(verifier()), results(row(), row(2, "CONSISTENT", None)), "running"),
    (steps(verifier()), results(row(), row(2, "RUNNING")), "running"),
    (steps(verifier()), results(row(), row(2, "CONSISTENT", "SUSPEND")), "running"),
    (steps(verifier()), results(row(), row(2, "ODD")), "unknown"),
    (steps(verifier()), results(row(), row(2, None)), "unknown"),
    (steps(verifier()), results(row(), row(2, mismatchedCount=None)), "unknown"),
    (steps(verifier()), results(row(), row(2, sourceOnlyCount=-1)), "unknown"),
    (steps(verifier()), results(row(), row(2, "BOTH_EMPTY", mismatchedCount=None)), "consistent"),
    (steps(verifier(), verifier("RUNNING", 40)), None, "running"),
    (steps(verifier()), results(row(), total=2), "unknown"),  # a table is missing from the list
    (steps(verifier()), {"success": True, "data": {"differentNumber": 0}}, "unknown"),
    (steps(verifier()), {"success": False, "code": "GHANA-OPERAT000101"}, "unknown"),
    (steps(verifier()), REFUSED, "unknown"),
    (steps(verifier()), b"<html>", "unknown"),
    (steps(verifier()), MigrationServiceError("away"), "unknown"),
    # A verification that is older than the copy.
    (steps(verifier(startTime="2026-09-01T07:59:59")), results(row()), "running"),
    ({**steps(verifier()), "data": [step("FULL_TRANSFER", "RUNNING"), verifier()]}, None, "running"),
]


@pytest.mark.parametrize(("listed", "found", "state"), OMS_CASES)
def test_oms_check_has_its_state(listed: Any, found: Any, state: str) -> None:
    progress = oms(listed, found)
    assert progress.verification is not None
    assert progress.verification.state == state
    # Whatever the verification finds, the increment is judged alone.
    assert [phase.error for phase in progress.phases] == [None] * len(progress.phases)


@pytest.mark.parametrize(("listed", "found", "state"), OMS_CASES)
def test_oms_hosted_check_has_the_same_state(listed: Any, found: Any, state: str) -> None:
    progress = oms(_pascal(listed), _pascal(found), api=replace(HOSTED), project=_pascal(project()))
    assert progress.verification is not None
    assert progress.verification.state == state


def _pascal(value: Any) -> Any:
    """Convert all names to Alibaba Cloud's."""
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: _pascal(item) for name, item in value.items()}
    return [_pascal(item) for item in value] if isinstance(value, list) else value


def test_oms_failed_verification_leaves_the_increment_in_sync() -> None:
    failed = verifier("FAILED", 40, extraInfo={"errorMsg": "no memory"})
    progress = oms(steps(failed), results(row(1, "INCONSISTENT", mismatchedCount=3), different=1))
    assert progress.state == "caught_up"
    assert {phase.name: phase.error for phase in progress.phases}["incremental"] is None
    at_the_verifier = oms(steps(failed), results(), project=project(currentStep="FULL_VERIFIER"))
    incremental = next(phase for phase in at_the_verifier.phases if phase.name == "incremental")
    assert (incremental.state, incremental.service_status) == ("caught_up", None)


def test_oms_requests_are_as_documented() -> None:
    def requests(api: Any, convert: Callable[[Any], Any]) -> list[Request]:
        answers = {
            "DescribeProjectProgress": convert(project()),
            "DescribeProjectSteps": convert(steps(verifier())),
            "ListProjectFullVerifyResult": convert(results(row())),
        }
        flow = replace(api).progress("np_1", max_lag=60, verification=True)
        return hold(flow, by_action(answers)).requests

    request = requests(OMS, lambda body: body)[-1]
    assert request.url == "http://oms.example:8089/api/v2?Action=ListProjectFullVerifyResult"
    assert json.loads(request.body) == {"projectId": "np_1", "pageNumber": 1, "pageSize": 100}
    request = requests(HOSTED, _pascal)[-1]
    assert request.body == b"PageNumber=1&PageSize=100&ProjectId=np_1"


def test_oms_result_is_read_page_by_page() -> None:
    def page(request: Request) -> Any:
        first = (json.loads(request.body)["pageNumber"] - 1) * 100
        rows = [row(number) for number in range(first, min(first + 100, 250))]
        if first == 200:
            rows[7] = row(207, "INCONSISTENT", mismatchedCount=9)
        return results(*rows, total=250)  # each page counts its own differences: 0 here

    found = oms(steps(verifier()), page).verification
    assert found is not None
    assert (found.state, found.tables_total, found.tables_compared) == ("inconsistent", 250, 250)
    assert [(table.source, table.destination, table.rows_different) for table in found.worst] == [
        ("shop.t207", "shop_new", 9)
    ]


def test_oms_table_that_changes_its_page_is_not_lost() -> None:
    """The first table is repaired in the meantime and comes again, so that another one is missing."""
    pages = [results(row(1), row(2, "INCONSISTENT"), total=3), results(row(2), row(1), total=3)]
    assert oms(steps(verifier()), [*pages, results(total=3)]).verification.state == "inconsistent"
    pages = [results(row(1), row(2), total=3), results(row(2), row(1), total=3)]
    assert oms(steps(verifier()), [*pages, results(total=3)]).verification.state == "unknown"


def test_oms_result_is_read_once_for_each_run() -> None:
    api, read = replace(OMS), []

    def counted(request: Request) -> Any:
        read.append(request)
        return results(row())

    for listed in (steps(verifier()), steps(verifier()), steps(verifier(startTime="2026-09-01T08:30:00"))):
        assert oms(listed, counted, api=api).verification.state == "consistent"
    assert len(read) == 2


def test_oms_differences_are_read_again() -> None:
    api = replace(OMS)
    assert oms(steps(verifier()), results(row(1, "INCONSISTENT")), api=api).verification.state != "consistent"
    assert oms(steps(verifier()), results(row()), api=api).verification.state == "consistent"


@pytest.mark.parametrize("result", ["INCONSISTENT", "SCHEMA_MISMATCH"])
def test_oms_bad_result_of_many_tables_costs_one_page(result: str) -> None:
    clock = [NOW]
    api, read = replace(OMS, clock=lambda: clock[0]), []
    count = 300 if result == "INCONSISTENT" else 0

    def page(request: Request) -> Any:
        number = json.loads(request.body)["pageNumber"]
        read.append(number)
        rows = [row(each, result) for each in range(number * 100, number * 100 + 100)]
        return results(*rows, different=count, total=300)

    for minutes, pages in ((0, [1, 2, 3]), (9, [1]), (10, [1, 2, 3])):
        clock[0] = NOW + timedelta(minutes=minutes)
        read.clear()
        assert oms(steps(verifier()), page, api=api).verification.state in ("inconsistent", "failed")
        assert read == pages


def test_oms_odd_time_of_a_step_is_no_error() -> None:
    """Also for a sensor that asks for no verification."""
    listed = steps(verifier(startTime="0001-01-01T00:00:00+08:00", finishTime="9999-12-31T23:59:59-08:00"))
    assert oms(listed, verification=False).state == "caught_up"


def test_oms_older_release_does_not_tell() -> None:
    body = {"success": True, "data": {"status": "RUNNING", "currentStep": "INCR_SYNC"}}
    answers = by_action({"GetMigrationProgress": body})
    progress = hold(replace(OMS).progress("p_1", max_lag=60, verification=True), answers).result
    assert progress.verification.state == "not_configured"
    assert "use OMS 4.1.1 or newer" in progress.verification_remedy
    assert hold(replace(OMS).progress("p_1", max_lag=60), answers).result.verification is None


def test_oms_finished_project_is_verified() -> None:
    progress = oms(steps(verifier("FINISHED")), results(row()), project=project("FINISHED"))
    assert progress.is_verified


# --- DRS --------------------------------------------------------------------------------------------------


def drs_job(status: str = "INCRE_TRANSFER_STARTED", **changes: Any) -> dict[str, Any]:
    item = {
        "job_id": "j",
        "transfer_status": status,
        "task_mode": "FULL_INCR_TRANS",
        "progress": "100",
        "incre_trans_delay": "0",
        **changes,
    }
    return {"results": [item]}


def comparison(number: int = 1, status: Any = "SUCCESSFUL", type: str = "lines", **fields: Any) -> Any:
    return {
        "id": f"c{number}",
        "type": type,
        "status": status,
        "start_time": f"2026-09-01T1{number}:00:00Z",
        "end_time": f"2026-09-01T1{number}:30:00Z",
        **fields,
    }


def comparisons(*listed: Any, count: Any = None) -> dict[str, Any]:
    return {"count": len(listed) if count is None else count, "compare_jobs": list(listed)}


def database(
    name: str = "shop", status: Any = 2, total: Any = 6, ended: Any = 6, different: Any = 0, failed: Any = 0
) -> dict[str, Any]:
    return {
        "source_db_name": name,
        "target_db_name": name,
        "status": status,
        "compare_num": total,
        "compare_end_num": ended,
        "data_inconsistent_num": different,
        "uncomparable_num": failed,
    }


def overview(*databases: Any, total: Any = None) -> dict[str, Any]:
    count = len(databases) if total is None else total
    return {"total_count": count, "data_compare_overview_infos": list(databases)}


NOTHING: dict[str, Any] = {"compare_result": [], "report_remain_seconds": -1}
DETAILS: dict[str, Any] = {"total_count": 0, "table_line_compare_result_infos": []}


def drs(listed: Any, found: Any = None, objects: Any = NOTHING, **options: Any) -> MigrationProgress:
    answers = {
        "BatchListProgresses": options.pop("job", drs_job()),
        "ListDataLevelTableCompareJobs": listed,
        "ListDataCompareOverview": found,
        "ListDataCompareDetail": options.pop("details", DETAILS),
        "ListContentCompareOverview": options.pop("contents", None),
        "ListContentCompareDetail": {"content_compare_result_infos": []},
        "ListObejectLevelCompareOverview": objects,
    }
    api = options.pop("api", None) or replace(DRS)
    return hold(api.progress("j", (), max_lag=60, verification=True), by_action(answers)).result


def contents(*databases: Any) -> dict[str, Any]:
    named = [
        {"source_db": row.pop("source_db_name"), "target_db": row.pop("target_db_name"), **row}
        for row in databases
    ]
    return {"total_count": len(named), "content_compare_result_infos": named}


def objects(*statuses: Any, status: Any = "SUCCESSFUL", type: str = "TABLE") -> dict[str, Any]:
    counted = [{"type": type, "source_count": 6, "target_count": 5, "status": each} for each in statuses]
    return {"status": status, "compare_job_id": "o1", "compare_result": counted}


ONE = comparisons(comparison())


@pytest.mark.parametrize(
    ("listed", "found", "compared", "state"),
    [
        (ONE, overview(database()), NOTHING, "consistent"),
        (ONE, overview(database(), database("empty", 10, 0, 0)), NOTHING, "consistent"),
        (comparisons(), None, NOTHING, "pending"),
        (comparisons(comparison(status="WAITING_FOR_RUNNING")), None, NOTHING, "pending"),
        (comparisons(comparison(status="RUNNING")), None, NOTHING, "running"),
        (comparisons(comparison(status="FULL_DOING")), None, NOTHING, "running"),
        (comparisons(comparison(status="INCRE_DOING")), None, NOTHING, "running"),
        (comparisons(comparison(status="FAILED")), None, NOTHING, "failed"),
        (comparisons(comparison(status="TIMEOUT_INTERRUPT")), None, NOTHING, "failed"),
        (comparisons(comparison(status="CANCELLED")), None, NOTHING, "pending"),
        (comparisons(comparison(status="ODD")), None, NOTHING, "unknown"),
        (comparisons(comparison(type="random")), None, NOTHING, "pending"),
        # What ended says nothing of what it found.
        (ONE, overview(), NOTHING, "unknown"),
        (ONE, overview(database(total=0, ended=0)), NOTHING, "unknown"),
        (ONE, overview(database("empty", 10, 0, 0)), NOTHING, "unknown"),
        (ONE, overview(database(different=1)), NOTHING, "inconsistent"),
        (ONE, overview(database(failed=1)), NOTHING, "failed"),
        (ONE, overview(database(ended=5)), NOTHING, "unknown"),
        (ONE, overview(database(different=None)), NOTHING, "unknown"),
        (ONE, overview(database(different=False)), NOTHING, "unknown"),
        (ONE, overview(database(total=None)), NOTHING, "unknown"),
        (ONE, overview(database(), total=2), NOTHING, "unknown"),
        *((ONE, overview(database(status=word)), NOTHING, "inconsistent") for word in (0, 8, 9, "0")),
        *((ONE, overview(database(status=word)), NOTHING, "running") for word in (5, 6)),
        *(
            (ONE, overview(database(status=word)), NOTHING, "failed")
            for word in (3, 4, 7, *range(11, 24), 27)
        ),
        *((ONE, overview(database(status=word)), NOTHING, "unknown") for word in (1, 24, None, "CONSISTENT")),
        (ONE, {"data_compare_overview_infos": [database()]}, NOTHING, "unknown"),
        (ONE, REFUSED, NOTHING, "unknown"),
        (ONE, b"<html>", NOTHING, "unknown"),
        (REFUSED, None, NOTHING, "unknown"),
        ({"count": 1}, None, NOTHING, "unknown"),
        ([comparisons(comparison(), count=2), comparisons(count=2)], None, NOTHING, "unknown"),
        (ONE, overview(database()), REFUSED, "unknown"),
        # The comparison of objects may be a reason against.
        (ONE, overview(database()), objects(2, 2), "consistent"),
        (ONE, overview(database()), objects(2, 0), "inconsistent"),
        (ONE, overview(database()), objects(2, 3), "running"),
        (ONE, overview(database()), objects(1), "unknown"),
        (ONE, overview(database()), objects(0, type="TRIGGER"), "consistent"),
        (ONE, overview(database()), objects(status="RUNNING"), "running"),
        (ONE, overview(database()), objects(status="FAILED"), "failed"),
        (ONE, overview(database()), objects(status="CANCELLED"), "consistent"),
        (comparisons(), None, objects(2, 2), "pending"),
        # The newest of several decides, and a running one before an ended one.
        (
            comparisons(comparison(1), comparison(2)),
            [overview(database()), overview(database(different=1))],
            NOTHING,
            "consistent",
        ),
        (
            comparisons(comparison(2), comparison(1)),
            [overview(database(different=1)), overview(database())],
            NOTHING,
            "inconsistent",
        ),
        (comparisons(comparison(1, "RUNNING"), comparison(2)), None, NOTHING, "running"),
        (comparisons(comparison(1), comparison(2, "FAILED")), None, NOTHING, "failed"),
        (comparisons(comparison(1), comparison(2, "CANCELLED")), None, NOTHING, "pending"),
        (comparisons(comparison(1), comparison(2, "FAILED", start_time=None)), None, NOTHING, "failed"),
        (
            comparisons(comparison(1), comparison(2, start_time="bad", end_time=None)),
            [overview(database(different=4)), overview(database())],
            NOTHING,
            "inconsistent",
        ),
        # One of an unknown kind that is newer.
        (comparisons(comparison(1), comparison(2, type="content")), overview(database()), NOTHING, "unknown"),
        (
            comparisons(comparison(2), comparison(1, type="content")),
            overview(database()),
            NOTHING,
            "consistent",
        ),
        (
            comparisons(comparison(1), comparison(2, type="random")),
            overview(database()),
            NOTHING,
            "consistent",
        ),
        (comparisons(comparison(1, "FAILED"), comparison(2)), overview(database()), NOTHING, "consistent"),
        # A newer one of fewer databases or tables says nothing of the others.
        (
            comparisons(comparison(1), comparison(2)),
            [overview(database("a")), overview(database("a"), database("b", different=1))],
            NOTHING,
            "inconsistent",
        ),
        (
            comparisons(comparison(1), comparison(2)),
            [overview(database(total=1, ended=1)), overview(database(different=1))],
            NOTHING,
            "inconsistent",
        ),
    ],
)
def test_drs_comparison_has_its_state(listed: Any, found: Any, compared: Any, state: str) -> None:
    progress = drs(listed, found, compared)
    assert progress.verification is not None
    assert progress.verification.state == state
    assert progress.state == "caught_up"


@pytest.mark.parametrize(
    ("different", "state"),
    [({}, "consistent"), ({"different": 1}, "inconsistent"), ({"failed": 1}, "failed")],
)
def test_drs_values_are_judged_besides_rows(different: Any, state: str) -> None:
    listed = comparisons(comparison(1), comparison(2, type="contents"))
    progress = drs(listed, overview(database()), contents=contents(database(**different)))
    assert progress.verification.state == state


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("WAITING_FOR_START", "pending"),
        ("FULL_TRANSFER_STARTED", "pending"),
        ("PAUSING", "consistent"),
        ("FULL_TRANSFER_COMPLETE", "consistent"),
    ],
)
def test_drs_is_not_asked_before_the_copy_is_done(status: str, state: str) -> None:
    listed = ONE if state == "consistent" else AssertionError("no request is expected")
    assert drs(listed, overview(database()), job=drs_job(status)).verification.state == state


def test_drs_requests_are_as_documented() -> None:
    answers = by_action(
        {
            "BatchListProgresses": drs_job(),
            "ListDataLevelTableCompareJobs": ONE,
            "ListDataCompareOverview": overview(database(status=0, different=2, failed=1)),
            "ListDataCompareDetail": DETAILS,
            "ListObejectLevelCompareOverview": NOTHING,
        }
    )
    talk = hold(replace(DRS).progress("j", (), max_lag=60, verification=True), answers)
    assert [f"{request.method} {request.url}" for request in talk.requests[1:]] == [
        f"GET https://drs.example/v3/p/jobs/j/{path}"
        for path in (
            "table/compare?limit=1000&offset=0",
            "compare/c1/line-overview?limit=1000&offset=0",
            "compare/c1/line-detail?db_name=shop&limit=1000&status=0&target_db_name=shop",
            "compare/c1/line-detail?db_name=shop&limit=1000&target_db_name=shop&type=unCompare",
            "object/compare",
        )
    ]


def test_drs_names_the_tables_that_differ() -> None:
    rows = [
        {"source_table_name": f"t{number}", "target_table_name": f"t{number}", "difference_row_num": number}
        for number in range(30)
    ]
    details = {"total_count": 30, "table_line_compare_result_infos": rows}
    found = drs(ONE, overview(database(status=0, different=30, total=40, ended=40)), details=details)
    assert found.verification is not None
    assert found.verification.tables_different == 30
    assert [table.source for table in found.verification.worst[:2]] == ["shop.t29", "shop.t28"]
    assert len(found.verification.worst) == 20
    assert found.verification.checked_at == datetime(2026, 9, 1, 11, 30, tzinfo=UTC)


def test_drs_result_of_an_ended_comparison_is_read_once() -> None:
    api, read = replace(DRS), []

    def counted(request: Request) -> Any:
        read.append(request)
        return overview(database())

    for listed in (ONE, ONE, comparisons(comparison(1), comparison(2))):
        assert drs(listed, counted, api=api).verification.state == "consistent"
    assert len(read) == 2
    # One that was started again has the same id.
    again = comparisons(comparison(end_time="2026-09-01T19:00:00Z"))
    assert drs(again, overview(database(different=4)), api=api).verification.state == "inconsistent"


@pytest.mark.parametrize("first", [overview(), overview(database(status=5, ended=4))])
def test_drs_result_that_is_not_final_is_read_again(first: Any) -> None:
    api = replace(DRS)
    assert drs(ONE, first, api=api).verification.state != "consistent"
    assert drs(ONE, overview(database()), api=api).verification.state == "consistent"


def test_drs_result_with_an_unknown_word_is_read_every_ten_minutes() -> None:
    clock = [NOW]
    api, read = replace(DRS, clock=lambda: clock[0]), []

    def counted(request: Request) -> Any:
        read.append(request)
        return overview(database(status=24))

    for minutes, calls in ((0, 1), (9, 1), (10, 2)):
        clock[0] = NOW + timedelta(minutes=minutes)
        drs(ONE, counted, api=api)
        assert len(read) == calls


@pytest.mark.parametrize("details", [DETAILS, REFUSED, MigrationServiceError("away")])
def test_drs_names_cost_few_requests(details: Any) -> None:
    asked: list[Request] = []

    def counting(request: Request) -> Any:
        asked.append(request)
        return details

    rows = [database(f"db{number}", status=0, different=1, failed=1) for number in range(1000)]
    assert drs(ONE, overview(*rows), details=counting).verification.tables_different == 1000
    assert len(asked) <= 10


def test_drs_many_comparisons_are_read_or_not_known() -> None:
    listed = [
        comparison(1, id=f"c{number}", start_time=f"2026-09-01T11:{number:02}:00Z") for number in range(51)
    ]

    def found(request: Request) -> Any:
        oldest = "/c0/" in request.url
        return overview(database("a" if oldest else "b", different=3 if oldest else 0))

    assert drs(comparisons(*listed[:50]), found).verification.state == "inconsistent"
    assert drs(comparisons(*listed), found).verification.state == "unknown"


# --- a check from before a stop or a copy -------------------------------------------------------------


STOPS: list[tuple[MigrationProgress, bool, bool]] = [
    (dts(job(Status="Suspending"), tables()), True, False),
    (dts(job(Status="MigrationFailed"), tables()), True, False),
    (dts(job({"Status": "Checking"}, Status="Suspending")), False, False),
    (dts(job({"Status": "NotStarted"}, Status="Suspending")), False, False),
    (dts(job({"Status": "Checking"})), False, True),
    (dts(job(None, Status="Suspending")), False, False),
    (dts(job(DataInitializationStatus={"Status": "Migrating", "Percent": "40"}), tables()), True, False),
    (
        dts(job(mode={"IncDataCheck": True}, IncDataCheckStatus={"Status": "Checking"}), tables()),
        False,
        False,  # the check of existing data is not repeated
    ),
    (
        dts(job(None, mode={"IncDataCheck": True}, IncDataCheckStatus={"Status": "Checking"}), tables()),
        False,
        True,
    ),
    (dts(job(), tables()), False, False),
    (oms(steps(verifier()), results(row()), project=project("SUSPEND")), True, False),
    (oms(steps(verifier("SUSPEND", 100)), project=project("SUSPEND")), True, False),
    (oms(steps(verifier("SUSPEND", 40)), project=project("SUSPEND")), False, False),
    (oms(steps(verifier("RUNNING", 40))), False, True),
    (oms(steps(verifier()), results(row())), False, False),
    (drs(ONE, overview(database()), job=drs_job("PAUSING")), True, False),
    (drs(ONE, overview(database()), job=drs_job("INCRE_TRANSFER_FAILED")), True, False),
    (drs(ONE, overview(database()), job=drs_job("FULL_TRANSFER_STARTED")), True, False),
    (drs(ONE, overview(database()), job=drs_job("STARTJOBING")), True, False),
    (drs(ONE, overview(database()), job=drs_job("FULL_TRANSFER_COMPLETE")), False, False),
    (drs(ONE, overview(database())), False, False),
]


@pytest.mark.parametrize(("seen", "needs_another", "is_rechecking"), STOPS)
def test_stop_makes_the_check_old(seen: MigrationProgress, needs_another: bool, is_rechecking: bool) -> None:
    assert (seen.recheck_since is not None) is needs_another
    assert seen.is_rechecking is is_rechecking


def test_drs_stop_has_the_time_of_the_service() -> None:
    """So that it can be compared with the times of comparisons."""
    answer = to_response(drs_job("PAUSING"), headers={"date": "Tue, 01 Sep 2026 13:00:00 GMT"})
    progress = drs(ONE, overview(database()), job=answer)
    assert progress.recheck_since == datetime(2026, 9, 1, 13, 0, tzinfo=UTC)


# --- all services -----------------------------------------------------------------------------------------

REFUSALS: dict[str, Callable[[], MigrationProgress]] = {
    "dts": lambda: dts(job(), REFUSED),
    "oms": lambda: oms(steps(verifier()), REFUSED),
    "drs": lambda: drs(REFUSED),
}


@pytest.mark.parametrize("refused", REFUSALS.values(), ids=REFUSALS)
def test_refused_detail_is_one_warning(refused: Callable[[], MigrationProgress]) -> None:
    """The warning has no request id, so that the same one is logged once."""
    first, second = refused(), refused()
    assert first.state == "caught_up"
    assert first.warnings == second.warnings
    (warning,) = first.warnings
    assert "(HTTP 403" in warning
    assert warning.startswith("The result of the data check is not known: ")
    assert ". Give the account " in warning


@given(
    total=st.none() | st.integers(0, 3),
    compared=st.none() | st.integers(0, 3),
    different=st.none() | st.integers(0, 3),
    failed=st.none() | st.integers(0, 3),
    rows=st.none() | st.integers(0, 3),
)
def test_clean_needs_every_count(total: Any, compared: Any, different: Any, failed: Any, rows: Any) -> None:
    found = Verification.ended(
        tables_total=total,
        tables_compared=compared,
        tables_different=different,
        tables_failed=failed,
        rows_different=rows,
    )
    is_counted = None not in (total, compared)
    is_clean = (different, failed) == (0, 0) and is_counted and compared >= max(total, 1) and not rows
    assert (found.state is VerificationState.CONSISTENT) is is_clean


@given(st.lists(st.sampled_from(VerificationState), min_size=1, max_size=4))
def test_merged_is_clean_only_if_each_part_is(states: list[VerificationState]) -> None:
    merged = Verification.merged(Verification(state=state) for state in states)
    assert merged.state in states
    is_clean = set(states) == {VerificationState.CONSISTENT}
    assert (merged.state is VerificationState.CONSISTENT) is is_clean


def test_record_of_ten_thousand_tables_stays_small() -> None:
    rows = [table(number, SourceTbName=f"{number}" + "é" * 250, DiffCount=1) for number in range(300)]
    progress = dts(job(), tables(total=10_000, different=10_000, rows=rows))
    assert progress.verification is not None
    assert progress.verification.tables_different == 10_000
    assert len(json.dumps(progress.model_dump(mode="json"))) < MAX_RECORD_BYTES
