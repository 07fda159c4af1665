"""Alibaba Cloud DTS: what its answers mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
)
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sansio import Request
from airflow_provider_migration.services.dts import DtsApi, endpoint_of
from airflow_provider_migration.services.wire import MAX_CACHED, cache_put
from airflow_provider_migration.transport.limiter import RateLimiter
from airflow_provider_migration.wait.policy import target_reached

NOW = datetime(2021, 2, 5, 6, 51, 0, tzinfo=UTC)
ID = "dtsz2v12jfo309abcd"
API = DtsApi(
    endpoint="https://dts.cn-hangzhou.aliyuncs.com",
    region="cn-hangzhou",
    signer=AlibabaSigner("id", "secret"),
    clock=lambda: NOW,
)
ALL_PHASES = {"structureInitialization": True, "dataInitialization": True, "dataSynchronization": True}
FINISHED = {"Status": "Finished", "Percent": "100"}
CATCHED = {"Status": "Catched", "Delay": "0", "Checkpoint": "1612507847"}

Ask = Callable[..., MigrationProgress]


def job(status: Any = "Migrating", **changes: Any) -> dict[str, Any]:
    """Make a job whose three phases are done or in sync, with changes; None leaves a section out."""
    body = {
        "Success": True,
        "MigrationJobStatus": status,
        "MigrationMode": ALL_PHASES,
        "StructureInitializationStatus": FINISHED,
        "DataInitializationStatus": FINISHED,
        "DataSynchronizationStatus": CATCHED,
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


@pytest.fixture(scope="module")
def ask(talk: Any) -> Ask:
    return lambda body, max_lag=60: talk(API.progress(ID, max_lag=max_lag), body).result


# --- the request ----------------------------------------------------------------------------------------


def test_request_matches_the_official_sdk(talk: Any, sample: Any, vectors: Any) -> None:
    (request,) = talk(API.progress(ID, max_lag=60), sample("dts_describe_migration_job_status")).requests
    vector = vectors("alibaba_acs3")["requests"][0]
    assert vector["case"] == request.action
    assert (request.method, request.url, request.body) == (vector["method"], vector["url"], b"")
    assert request.headers.items() <= vector["headers"].items()
    assert request.headers.keys() == {"accept", "x-acs-action", "x-acs-version"}


def test_optional_parameters_have_the_vendors_names(talk: Any) -> None:
    flow = API.describe_migration_job_status(
        "dts 1/ü", client_token="t&1", account_id=1234, region_id="eu-west-1"
    )
    (request,) = talk(flow, job()).requests
    assert request.url.partition("?")[2] == (
        "AccountId=1234&ClientToken=t%261&MigrationJobId=dts%201%2F%C3%BC&RegionId=eu-west-1"
    )


def test_region_is_sent_only_when_known(talk: Any) -> None:
    api = DtsApi(endpoint="http://127.0.0.1:8100", signer=AlibabaSigner("id", "secret"))
    (request,) = talk(api.describe_migration_job_status(ID), job()).requests
    assert request.url == f"http://127.0.0.1:8100/?MigrationJobId={ID}"


@pytest.mark.parametrize("migration_job_id", ["", "  ", None, True, "x" * 257, "dts\n1", "dts\x1b[0m"])
def test_wrong_id_is_refused_before_a_request(talk: Any, migration_job_id: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="migration_job_id"):
        talk(API.progress(migration_job_id, max_lag=60))


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("cn-hangzhou", "dts.cn-hangzhou.aliyuncs.com"),
        ("ap-southeast-1", "dts.ap-southeast-1.aliyuncs.com"),
        ("cn-chengdu", "dts.aliyuncs.com"),
        ("cn-wulanchabu", "dts.aliyuncs.com"),
        ("cn-beijing-finance-1", "dts.aliyuncs.com"),
        ("cn-hangzhou-finance", "dts.cn-hangzhou.aliyuncs.com"),
    ],
)
def test_region_hosts(region: str, host: str) -> None:
    assert endpoint_of(region) == host


# --- the status of the job ------------------------------------------------------------------------------

STATUSES = [
    ("NotStarted", "pending"),
    ("NotConfigured", "pending"),
    ("PreCheckPass", "pending"),
    ("Prechecking", "running"),
    ("Retrying", "running"),
    ("Upgrade", "running"),
    ("Downgrade", "running"),
    ("Modifying", "running"),
    ("Initializing", "running"),
    ("Suspending", "paused"),
    ("Suspengding", "paused"),
    ("Locked", "paused"),
    ("PrecheckFailed", "failed"),
    ("MigrationFailed", "failed"),
    ("Failed", "failed"),
    ("InitializeFailed", "failed"),
    ("Finished", "succeeded"),
    ("Initializating", "running"),
    ("Starting", "running"),
    ("Normal", "running"),
    ("ModifyFailed", "failed"),
    ("Abnormal", "failed"),
    ("Migrating", "caught_up"),
]
NOT_STATUSES = ["Rebalancing", "Migrating?", 7, 1.5]
NO_STATUSES = ["", "  ", None, True, [], ["Migrating"], {"a": 1}]


@pytest.mark.parametrize("spell", [str, str.upper, str.lower, str.swapcase, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_documented_status_has_its_state(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    progress = ask(job(spell(word)))
    assert progress.state == state
    assert progress.service_status == spell(word).strip()


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_unknown_status_is_not_an_error(ask: Ask, word: Any) -> None:
    assert ask(job(word)).state == "unknown"


@pytest.mark.parametrize("listing", [False, True])
@pytest.mark.parametrize("word", NO_STATUSES)
def test_status_missing_is_a_transient_error(talk: Any, word: Any, listing: bool) -> None:
    """An answer without a verdict is not a state, for both calls."""
    api, answer = (LISTING, jobs(listed(word))) if listing else (API, job(word))
    field = "Status" if listing else "MigrationJobStatus"
    with pytest.raises(MigrationResponseError, match=f"no {field} in the response"):
        talk(replace(api).progress(ID, max_lag=60), answer)


@pytest.mark.parametrize("body", [{"Success": True}, {"Success": "true", "RequestId": "r"}])
def test_success_without_a_status_is_a_transient_error(talk: Any, body: Any) -> None:
    for api in (API, LISTING):
        with pytest.raises(MigrationResponseError, match="the state of the migration is not known"):
            talk(api.progress(ID, max_lag=60), body)
    with pytest.raises(MigrationResponseError):
        talk(API.describe_migration_job_status(ID), body)


@pytest.mark.parametrize("word", [word for word, state in STATUSES if state != "caught_up"])
def test_job_must_migrate_to_be_caught_up(ask: Ask, word: str) -> None:
    assert ask(job(word)).state != "caught_up"


# --- the sample of the documentation --------------------------------------------------------------------


def test_documented_sample_is_caught_up(ask: Ask, sample: Any) -> None:
    progress = ask(sample("dts_describe_migration_job_status"))
    assert progress.model_dump(mode="json", exclude={"phases", "observed_at"}) == {
        "schema_version": 1,
        "service": "dts",
        "migration_id": ID,
        "name": "MySQL Migration",
        "state": "caught_up",
        "service_status": "Migrating",
        "percent": 100,
        "lag_seconds": 0,
        "checkpoint": "2021-02-05T06:50:47Z",
        "error": None,
        "objects": None,
        "verification": None,
        "throughput": None,
        "remaining_seconds": None,
        "remaining_source": None,
        "retrying": None,
        "request_id": "A032E3B4-929B-48E9-97B9-37587CBF****",
        "console_url": "https://dts.console.aliyun.com/#/progress/z2v12jfo309%2A%2A%2A%2A/config/",
    }
    assert [(phase.name, phase.state, phase.percent, phase.done) for phase in progress.phases] == [
        ("precheck", "succeeded", 100, None),
        ("structure", "succeeded", 100, 1),
        ("full", "succeeded", 100, 200001),
        ("incremental", "caught_up", None, None),
    ]
    assert progress.observed_at == NOW


def test_field_names_are_case_insensitive(ask: Ask) -> None:
    body = {"migration_job_status": "Migrating", "migrationjobname": "x", "REQUESTID": 5}
    progress = ask(body)
    assert (progress.state, progress.name, progress.request_id) == ("running", "x", "5")


# --- caught up ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "is_caught_up"),
    [
        ("0", True),
        ("60", True),
        (60, True),
        (None, True),
        ("60.5", False),
        ("61", False),
        ("-1", False),
        ("99999999999999", False),
    ],
)
def test_catched_job_with_a_small_delay_is_caught_up(ask: Ask, delay: Any, is_caught_up: bool) -> None:
    progress = ask(job(DataSynchronizationStatus={"Status": "Catched", "Delay": delay}))
    assert progress.state == ("caught_up" if is_caught_up else "running")


@pytest.mark.parametrize("delay", ["soon", "", "nan", "inf", [], {}, True, False])
def test_delay_must_be_a_number(ask: Ask, delay: Any) -> None:
    section = {"Status": "Migrating", "Delay": delay}
    progress = ask(job(DataSynchronizationStatus=section))
    assert (progress.state, progress.lag_seconds) == ("running", None)


@pytest.mark.parametrize("status", ["NotStarted", "Migrating", "Failed", "Finished", "Odd", None, 1, []])
def test_increment_must_be_catched_to_be_caught_up(ask: Ask, status: Any) -> None:
    assert ask(job(DataSynchronizationStatus={"Status": status, "Delay": "0"})).state == "running"


@pytest.mark.parametrize("section", ["StructureInitializationStatus", "DataInitializationStatus"])
@pytest.mark.parametrize("status", ["NotStarted", "Migrating", "Failed", "Catched", "Odd", None, 1, []])
def test_unfinished_bulk_is_not_caught_up(ask: Ask, section: str, status: Any) -> None:
    assert ask(job(**{section: {"Status": status, "Percent": "100"}})).state == "running"


@pytest.mark.parametrize("section", ["StructureInitializationStatus", "DataInitializationStatus"])
def test_bulk_phase_without_a_section_has_not_begun(ask: Ask, section: str) -> None:
    progress = ask(job(**{section: None}))
    assert progress.state == "running"
    (phase,) = [phase for phase in progress.phases if phase.state == "pending"]
    assert (phase.percent, phase.service_status) == (0, "NotStarted")


@pytest.mark.parametrize(
    ("mode", "is_caught_up"),
    [
        ({"structureInitialization": False, "dataInitialization": False, "dataSynchronization": True}, True),
        ({"structureInitialization": "false", "dataInitialization": 0, "dataSynchronization": "True"}, True),
        ({"dataSynchronization": True}, False),
        (None, False),
        ("all", False),
    ],
)
def test_mode_decides_about_missing_bulk_phases(ask: Ask, mode: Any, is_caught_up: bool) -> None:
    body = job(MigrationMode=mode, StructureInitializationStatus=None, DataInitializationStatus=None)
    assert ask(body).state == ("caught_up" if is_caught_up else "running")


# --- finished -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("increment", ["Finished", "Catched", "finished"])
def test_finished_job_with_complete_phases_has_succeeded(ask: Ask, increment: str) -> None:
    progress = ask(job("Finished", DataSynchronizationStatus={"Status": increment}))
    assert (progress.state, progress.percent) == ("succeeded", 100)


@pytest.mark.parametrize(
    "section", ["StructureInitializationStatus", "DataInitializationStatus", "DataSynchronizationStatus"]
)
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NotStarted", "cancelled"),
        ("Migrating", "cancelled"),
        ("Failed", "cancelled"),
        ("Suspending", "cancelled"),
        ("Odd", "unknown"),
        (None, "unknown"),
        (3, "unknown"),
        ([], "unknown"),
    ],
)
def test_finished_job_with_an_incomplete_phase_is_cancelled(
    ask: Ask, section: str, status: Any, state: str
) -> None:
    progress = ask(job("Finished", **{section: {"Status": status, "Percent": "100"}}))
    assert progress.state == state
    assert not progress.reached("succeeded")
    assert not progress.reached("caught_up")


def test_finished_job_without_an_enabled_phase_is_cancelled(ask: Ask) -> None:
    assert ask(job("Finished", DataInitializationStatus=None)).state == "cancelled"


@pytest.mark.parametrize("status", ["Finished", "Catched"])
def test_bulk_phase_cannot_be_catched(ask: Ask, status: str) -> None:
    state = ask(job("Finished", DataInitializationStatus={"Status": status})).state
    assert state == ("succeeded" if status == "Finished" else "cancelled")


@pytest.mark.parametrize(
    "mode", [None, {}, "x", {"dataInitialization": True}, {**ALL_PHASES, "dataInitialization": "perhaps"}]
)
def test_finished_job_without_phases_is_unknown(ask: Ask, mode: Any) -> None:
    assert ask(job("Finished", MigrationMode=mode)).state == "unknown"


@pytest.mark.parametrize("mode", [ALL_PHASES, dict.fromkeys(ALL_PHASES, False)])
def test_finished_job_without_sections_has_not_succeeded(ask: Ask, mode: Any) -> None:
    state = ask({"MigrationJobStatus": "Finished", "MigrationMode": mode}).state
    assert state in ("cancelled", "unknown")


def test_disabled_phase_does_not_count(ask: Ask) -> None:
    mode = {**ALL_PHASES, "dataSynchronization": "false"}
    progress = ask(job("Finished", MigrationMode=mode, DataSynchronizationStatus=CATCHED))
    assert progress.state == "succeeded"
    assert [phase.name for phase in progress.phases] == ["structure", "full"]
    assert (progress.lag_seconds, progress.checkpoint) == (None, None)


@pytest.mark.parametrize(
    ("section", "state"),
    [
        ({"Status": "", "Delay": -1}, "succeeded"),
        ({"Delay": 500}, "succeeded"),
        ({"Status": "NotStarted", "Delay": -1}, "succeeded"),
        ({"Status": "Catched", "Delay": 500}, "cancelled"),
        ({"Status": "Catched", "Delay": "soon"}, "cancelled"),
        ({"Status": "Stopped"}, "unknown"),
    ],
)
def test_disabled_phase_that_has_begun_counts(ask: Ask, section: Any, state: str) -> None:
    mode = {**ALL_PHASES, "dataSynchronization": False}
    assert ask(job("Finished", MigrationMode=mode, DataSynchronizationStatus=section)).state == state


@pytest.mark.parametrize("mode", [None, {}, {"dataInitialization": True, "structureInitialization": "odd"}])
def test_phases_without_a_mode_are_the_sections(ask: Ask, mode: Any) -> None:
    progress = ask(job("Migrating", MigrationMode=mode))
    assert [phase.name for phase in progress.phases] == ["structure", "full", "incremental"]
    assert progress.state == "caught_up"
    progress = ask(job("Migrating", MigrationMode=mode, DataSynchronizationStatus=None))
    assert [phase.name for phase in progress.phases] == ["structure", "full"]


# --- phases, percent, lag, checkpoint -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("NotStarted", "pending"),
        ("Checking", "running"),
        ("Migrating", "running"),
        ("Suspending", "paused"),
        ("Catched", "caught_up"),
        ("Finished", "succeeded"),
        ("Success", "succeeded"),
        ("Failed", "failed"),
        ("FINISHED", "succeeded"),
        ("Done", "unknown"),
        (None, "unknown"),
        (4, "unknown"),
        ([], "unknown"),
    ],
)
@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("PrecheckStatus", "precheck"),
        ("StructureInitializationStatus", "structure"),
        ("DataInitializationStatus", "full"),
        ("DataSynchronizationStatus", "incremental"),
    ],
)
def test_phase_has_the_state_of_its_status(ask: Ask, section: str, name: str, word: Any, state: str) -> None:
    progress = ask(job("Retrying", **{section: {"Status": word}}))
    (phase,) = [phase for phase in progress.phases if phase.name == name]
    assert phase.state == state


@pytest.mark.parametrize(
    ("structure", "full", "percent"),
    [
        ("100", "50", 75),
        (100, 50, 75),
        ("100%", "50 %", 75),
        ("100", "101", None),
        ("100", "-1", None),
        ("100", "5151", None),
        ("100", "much", None),
        ("100", None, None),
        ("100", True, None),
        ("99.99", "99.99", 99.9),
    ],
)
def test_percent_is_the_mean_of_the_bulk_phases(
    ask: Ask, structure: Any, full: Any, percent: float | None
) -> None:
    body = job(
        StructureInitializationStatus={"Status": "Migrating", "Percent": structure},
        DataInitializationStatus={"Status": "Migrating", "Percent": full},
    )
    assert ask(body).percent == percent


def test_incremental_percent_is_ignored(ask: Ask) -> None:
    section = {"Status": "Migrating", "Percent": "3", "Delay": "70"}
    progress = ask(job(DataSynchronizationStatus=section))
    assert (progress.percent, progress.phases[-1].percent, progress.lag_seconds) == (100, None, 70)


@pytest.mark.parametrize("count", ["x", "-5", 10**400, "9" * 400, True, [], 1.5])
def test_wrong_count_is_null(ask: Ask, count: Any) -> None:
    section = {"Status": "Migrating", "Progress": count}
    assert ask(job(DataInitializationStatus=section)).phases[1].done is None


@pytest.mark.parametrize(
    ("checkpoint", "moment"),
    [
        ("1612507847", datetime(2021, 2, 5, 6, 50, 47, tzinfo=UTC)),
        (1612507847, datetime(2021, 2, 5, 6, 50, 47, tzinfo=UTC)),
        ("1612507847000", datetime(2021, 2, 5, 6, 50, 47, tzinfo=UTC)),
        (str((NOW + timedelta(hours=1)).timestamp()), NOW + timedelta(hours=1)),
        (str((NOW + timedelta(days=2)).timestamp()), None),
        (None, None),
        ("", None),
        ("0", None),
        (0, None),
        ("-1", None),
        (-1612507847, None),
        ("3628", None),
        ("now", None),
        ("9" * 40, None),
        (True, None),
        ([1612507847], None),
    ],
)
def test_wrong_checkpoint_is_null(ask: Ask, checkpoint: Any, moment: datetime | None) -> None:
    section = {"Status": "Migrating", "Checkpoint": checkpoint}
    assert ask(job(DataSynchronizationStatus=section)).checkpoint == moment


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Failed", "Finished", None])
def test_failed_precheck_names_items_and_remedies(ask: Ask, status: Any) -> None:
    items = [
        {"ItemName": "CHECK_CONN_SRC", "CheckStatus": "Success"},
        {
            "ItemName": "CHECK_BINLOG_ON",
            "CheckStatus": "Failed",
            "ErrorMessage": "binlog is off",
            "RepairMethod": "set log_bin",
        },
        {"ItemName": "CHECK_SERVER_ID", "CheckStatus": "Failed"},
    ]
    progress = ask(job("PrecheckFailed", PrecheckStatus={"Status": status, "Detail": {"CheckItem": items}}))
    assert progress.error is not None
    assert progress.error.code == "PrecheckFailed"
    assert progress.error.message is not None
    assert progress.error.message.removeprefix("precheck: ") == (
        "• CHECK_BINLOG_ON: binlog is off (repair: set log_bin) • CHECK_SERVER_ID"
    )
    assert "precheck again" in str(progress.error.remedy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"DataInitializationStatus": {"Status": "Failed", "ErrorMessage": "disk\x1b[31m full\n"}},
            "full: disk  full",
        ),
        ({"DataInitializationStatus": {"Status": "Failed"}}, "DTS reports Failed and gives no reason."),
        ({"DataInitializationStatus": "odd"}, "DTS reports Failed and gives no reason."),
        ({"PrecheckStatus": {"ErrorMessage": "no detail"}}, "no detail"),
        ({"PrecheckStatus": {"Status": "Failed", "ErrorMessage": "no detail"}}, "precheck: no detail"),
        ({"PrecheckStatus": {"Detail": {"CheckItem": "none"}}}, "DTS reports Failed and gives no reason."),
        ({"PrecheckStatus": {"Detail": {"CheckItem": [None]}}}, "DTS reports Failed and gives no reason."),
    ],
)
def test_failed_job_names_reason_and_remedy(ask: Ask, changes: Any, message: str) -> None:
    error = ask(job("Failed", **changes)).error
    assert error is not None
    assert (error.code, error.message) == ("Failed", message)
    assert "console" in str(error.remedy)


def test_long_reason_is_truncated(ask: Ask) -> None:
    error = ask(
        job("Failed", DataInitializationStatus={"Status": "Failed", "ErrorMessage": "x" * 10**6})
    ).error
    assert error is not None
    assert error.message is not None
    assert len(error.message) == 2000


@pytest.mark.parametrize("word", ["Migrating", "Suspending", "Finished", "Odd"])
def test_job_without_a_failure_has_no_error(ask: Ask, word: str) -> None:
    assert ask(job(word, PrecheckStatus={"Status": "Failed", "ErrorMessage": "old"})).error is None


# --- what it has passed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reached", "not_reached"),
    [
        (job("NotStarted"), ["NotConfigured", "notstarted"], ["Prechecking", "Migrating", "Finished"]),
        (job("Migrating"), ["Prechecking", "Migrating", "Catched"], ["Finished"]),
        (job("Finished"), ["Prechecking", "Migrating", "Catched", "Finished"], ["PrecheckFailed"]),
        (
            job("Finished", DataInitializationStatus=None),
            ["Finished"],
            ["Prechecking", "Migrating", "succeeded", "caught_up", "full_done"],
        ),
        (job("Finished", DataSynchronizationStatus=FINISHED), ["Catched"], []),
        (job("Migrating", DataSynchronizationStatus=FINISHED), ["Migrating"], ["Catched"]),
        (
            job("Finished", MigrationMode={**ALL_PHASES, "dataSynchronization": False}),
            ["Finished"],
            ["Catched"],
        ),
        (job("MigrationFailed"), ["MigrationFailed"], ["Prechecking", "Migrating", "Finished"]),
        (job("Odd"), ["odd"], ["Migrating"]),
    ],
)
def test_status_is_reached_at_and_past_it(
    ask: Ask, body: Any, reached: list[str], not_reached: list[str]
) -> None:
    progress = ask(body)
    assert [word for word in reached if not target_reached(progress, word)] == []
    assert [word for word in not_reached if target_reached(progress, word)] == []


# --- DescribeDtsJobs ------------------------------------------------------------------------------------

LISTING = replace(API, api="DescribeDtsJobs")
UNKNOWN = {"Code": "InvalidJobId", "Message": "The specified migration job does not exist."}
LISTED_MODE = {"StructureInitialization": True, "DataInitialization": True, "DataSynchronization": True}


def listed(status: Any = "Migrating", instance: str = ID, **changes: Any) -> dict[str, Any]:
    """Make the same job as DescribeDtsJobs lists it."""
    item = {
        "DtsInstanceID": instance,
        "Status": status,
        "MigrationMode": LISTED_MODE,
        "StructureInitializationStatus": FINISHED,
        "DataInitializationStatus": FINISHED,
        "DataSynchronizationStatus": {"Status": "Catched", "Percent": "95"},
        "Delay": 1500,
        "Checkpoint": "1612507847",
    }
    return {name: value for name, value in {**item, **changes}.items() if value is not None}


def jobs(*items: dict[str, Any]) -> dict[str, Any]:
    return {"Success": True, "HttpStatusCode": "200", "RequestId": "r-1", "DtsJobList": list(items)}


def test_list_request_is_for_one_job(talk: Any) -> None:
    (request,) = talk(LISTING.progress(ID, max_lag=60), jobs(listed())).requests
    assert (request.action, request.method, request.body) == ("DescribeDtsJobs", "POST", b"")
    assert request.url.partition("?")[2] == (
        f"DtsInstanceId={ID}&JobType=MIGRATION&PageSize=30&Region=cn-hangzhou&WithoutDbList=true"
    )


def test_list_returns_the_same_record(talk: Any) -> None:
    alone = job(
        RequestId="r-1",
        DataSynchronizationStatus={"Status": "Catched", "Delay": "1.5", "Checkpoint": "1612507847"},
    )
    expected = talk(API.progress(ID, max_lag=60), alone).result
    assert talk(LISTING.progress(ID, max_lag=60), jobs(listed())).result == expected
    assert (expected.state, expected.lag_seconds) == ("caught_up", 1.5)


@pytest.mark.parametrize(
    ("delay", "state"), [(60_000, "caught_up"), (60_001, "running"), (-1, "running"), (None, "caught_up")]
)
def test_list_delay_is_in_milliseconds(talk: Any, delay: Any, state: str) -> None:
    assert talk(LISTING.progress(ID, max_lag=60), jobs(listed(Delay=delay))).result.state == state


@pytest.mark.parametrize("incremental", [None, {"Status": "NotStarted", "Percent": "0"}])
def test_list_delay_counts_in_the_incremental_phase_only(talk: Any, incremental: Any) -> None:
    copying = {"Status": "Migrating"}
    before = jobs(listed(DataSynchronizationStatus=incremental, DataInitializationStatus=copying, Delay=0))
    record = talk(LISTING.progress(ID, max_lag=60), before).result
    assert (record.lag_seconds, record.checkpoint) == (None, None)


def test_list_names_failed_precheck_items_and_remedies(talk: Any) -> None:
    items = [
        {"CheckItem": "CHECK_CONN_SRC", "CheckResult": "Success"},
        {
            "CheckItem": "CHECK_BINLOG_MODE",
            "CheckResult": "Failed",
            "FailedReason": "It is STATEMENT.",
            "RepairMethod": "Set it to ROW.",
        },
    ]
    answer = jobs(listed("PrecheckFailed", PrecheckStatus={"Status": "Failed", "Detail": items}))
    error = talk(LISTING.progress(ID, max_lag=60), answer).result.error
    assert error.message == "precheck: • CHECK_BINLOG_MODE: It is STATEMENT. (repair: Set it to ROW.)"


def test_list_names_reason_and_remedy(talk: Any) -> None:
    answer = jobs(
        listed("MigrationFailed", ErrorMessage="The disk is full.", MigrationErrWorkaround="Make room.")
    )
    error = talk(LISTING.progress(ID, max_lag=60), answer).result.error
    assert (error.message, error.remedy) == ("The disk is full.", "Make room.")


@pytest.mark.parametrize(
    "answer",
    [
        jobs(),
        jobs(listed(instance="dtsanother")),
        {"Success": True, "DtsJobList": None, "TotalRecordCount": 0},
        {"Success": True, "TotalRecordCount": "0"},
    ],
)
def test_list_without_the_job_is_not_found(talk: Any, answer: Any) -> None:
    with pytest.raises(MigrationNotFoundError) as caught:
        talk(replace(LISTING).progress(ID, max_lag=60), *[answer] * 4)
    assert f"not in the list. Check the id {ID}," in str(caught.value)
    assert "not the DtsJobId of a job either (JobType MIGRATION and SYNC)." in str(caught.value)


def test_batch_requests_many_jobs(response: Any) -> None:
    request = next(LISTING.progress(ID, max_lag=60))
    assert (request.coalescing_key, request.batch_limit) == (ID, 30)
    together = request.batch([ID, "dts2"])
    assert "DtsInstanceId=dtsz2v12jfo309abcd%2Cdts2&" in together.url
    answers = together.read(together, response(jobs(listed(), listed("Suspending", "dts2"))))
    assert {item: answer.migration_job_status for item, answer in answers.items()} == {
        ID: "Migrating",
        "dts2": "Suspending",
    }


@pytest.mark.parametrize(
    ("total", "found"),
    [(None, [ID, "dts2"]), (2, [ID, "dts2"]), ("2", [ID, "dts2"]), (3, []), ("31", [])],
)
def test_truncated_batch_has_no_jobs(response: Any, total: Any, found: list[str]) -> None:
    """On the next page may be a second job of the same instance."""
    request = next(LISTING.progress(ID, max_lag=60))
    together = request.batch([ID, "dts2"])
    answer = jobs(listed(), listed("Suspending", "dts2")) | {"TotalRecordCount": total}
    assert list(together.read(together, response(answer))) == found


async def test_truncated_batch_is_split(response: Any) -> None:
    """A job that is missing from a page may exist on another one."""
    asked = []

    async def send(request: Request) -> Any:
        ids = parse_qs(urlsplit(request.url).query)["DtsInstanceId"][0].split(",")
        asked.append(ids)
        answer = jobs(listed(instance=ids[0])) | {"TotalRecordCount": len(ids)}
        return request.read(request, response(answer))

    limiter = RateLimiter(None, monotonic=lambda: 0.0, async_sleep=asyncio.sleep)
    requests = [next(LISTING.progress(one, max_lag=60)) for one in ("dts1", "dts2")]
    found = await asyncio.gather(*(limiter.send(request, send) for request in requests))
    assert [job.migration_job_id for job in found] == ["dts1", "dts2"]
    assert asked == [["dts1", "dts2"], ["dts1"], ["dts2"]]


def test_truncated_page_leaves_absence_open(talk: Any) -> None:
    with pytest.raises(MigrationResponseError, match="not on this page"):
        talk(
            replace(LISTING).progress(ID, max_lag=60), jobs(listed(instance="dts2")) | {"TotalRecordCount": 2}
        )


@pytest.mark.parametrize("ids", [[], [f"dts{number}" for number in range(31)]])
def test_batch_size_is_that_of_a_page(talk: Any, ids: list[str]) -> None:
    with pytest.raises(MigrationConfigurationError, match="1 to 30 ids"):
        talk(API.describe_dts_jobs(ids))


def test_call_that_knows_the_job_is_remembered(talk: Any, response: Any) -> None:
    api = replace(API)
    first = talk(api.progress(ID, max_lag=60), response(UNKNOWN, 400), jobs(listed()))
    second = talk(api.progress(ID, max_lag=60), jobs(listed()))
    other = talk(api.progress("dts2", max_lag=60), job())
    assert [request.action for request in first.requests + second.requests + other.requests] == [
        "DescribeMigrationJobStatus",
        "DescribeDtsJobs",
        "DescribeDtsJobs",
        "DescribeMigrationJobStatus",
    ]
    assert first.result.state == second.result.state == "caught_up"


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (
            200,
            jobs(),
            "DescribeDtsJobs does not list it either, as DtsInstanceId or as DtsJobId "
            "(JobType MIGRATION and SYNC).",
        ),
        (
            403,
            {"Code": "Forbidden.RAM", "Message": "no right"},
            "The second call failed too: DescribeDtsJobs at ",
        ),
    ],
)
def test_unknown_job_error_names_both_calls(
    talk: Any, response: Any, status: int, answer: Any, said: str
) -> None:
    more = [response(answer, status)] * (4 if status == 200 else 1)
    with pytest.raises(MigrationNotFoundError) as caught:
        talk(replace(API).progress(ID, max_lag=60), response(UNKNOWN, 400), *more)
    assert caught.value.code == "InvalidJobId"
    assert str(caught.value).startswith("DescribeMigrationJobStatus at ")
    assert said in str(caught.value)
    assert str(caught.value).count(ID) == 1


def test_failed_list_leaves_absence_open(talk: Any, response: Any) -> None:
    with pytest.raises(MigrationServiceError):
        talk(replace(API).progress(ID, max_lag=60), response(UNKNOWN, 400), response({}, 503))


def test_missing_page_leaves_absence_open(talk: Any, response: Any) -> None:
    with pytest.raises(MigrationNotFoundError, match="HTTP 404"):
        talk(replace(API).progress(ID, max_lag=60), response(b"<html>", 404))


# --- the id of the job ----------------------------------------------------------------------------------

JOB_ID = "z2v12jfo309abcd"


def own(job_id: str = JOB_ID, **changes: Any) -> dict[str, Any]:
    return listed(**{"DtsJobId": job_id, **changes})


def asked(talk: Any) -> list[tuple[str, str]]:
    return [(request.action, request.url.partition("?")[2].partition("&")[0]) for request in talk.requests]


@pytest.mark.parametrize("api", ["DescribeMigrationJobStatus", "DescribeDtsJobs"])
def test_job_id_look_up_is_cached(talk: Any, response: Any, api: str) -> None:
    """Asked for by its DtsJobId once, from then on by its instance."""
    dts = replace(API, api=api)
    first_call = [response(UNKNOWN, 400)] if dts.api != "DescribeDtsJobs" else []
    first = talk(dts.progress(f" {JOB_ID} ", max_lag=60), *first_call, jobs(), jobs(), jobs(own()))
    second = talk(dts.progress(JOB_ID, max_lag=60), jobs(own()))
    assert asked(first)[-2:] == [
        ("DescribeDtsJobs", f"DtsInstanceId={JOB_ID}"),
        ("DescribeDtsJobs", f"DtsJobId={JOB_ID}"),
    ]
    assert asked(second) == [("DescribeDtsJobs", f"DtsInstanceId={ID}")]
    for record in (first.result, second.result):
        assert (record.migration_id, record.state) == (JOB_ID, "caught_up")
        assert record.console_url == f"https://dts.console.aliyun.com/#/progress/{JOB_ID}/config/"


@pytest.mark.parametrize("listed_id", ["another", "", None, ID, JOB_ID.upper(), f"{JOB_ID}0"])
def test_job_id_never_stands_for_another_job(talk: Any, listed_id: Any) -> None:
    with pytest.raises(MigrationNotFoundError, match=JOB_ID):
        talk(replace(LISTING).progress(JOB_ID, max_lag=60), jobs(), jobs(), *[jobs(own(listed_id))] * 2)


def test_job_id_is_looked_up_again_when_its_instance_changed(talk: Any) -> None:
    api = replace(LISTING)
    talk(api.progress(JOB_ID, max_lag=60), jobs(), jobs(), jobs(own()))
    again = talk(api.progress(JOB_ID, max_lag=60), jobs(own("new")), jobs(own(instance="dtsmoved")))
    assert again.result.state == "caught_up"
    assert asked(talk(api.progress(JOB_ID, max_lag=60), jobs(own(instance="dtsmoved")))) == [
        ("DescribeDtsJobs", "DtsInstanceId=dtsmoved")
    ]


def test_instance_with_several_jobs_is_refused(talk: Any) -> None:
    with pytest.raises(MigrationRequestError, match="several jobs; give the DtsJobId of one of them: a, b"):
        talk(replace(LISTING).progress(ID, max_lag=60), jobs(own("a"), own("b")))


def test_job_listed_twice_is_one_job(talk: Any) -> None:
    assert talk(replace(LISTING).progress(ID, max_lag=60), jobs(own(), own())).result.state == "caught_up"


def test_batch_holds_instance_ids_and_known_job_ids(talk: Any, response: Any) -> None:
    """Each id gets its own job; one without a status is left out, so that it is asked for alone."""
    api = replace(LISTING)
    talk(api.progress(JOB_ID, max_lag=60), jobs(), jobs(), jobs(own()))
    request = next(api.progress(JOB_ID, max_lag=60))
    together = request.batch([JOB_ID, "dts2", "dts3", "dts4"])
    assert f"DtsInstanceId={ID}%2Cdts2%2Cdts3%2Cdts4&" in together.url
    answer = jobs(
        own(), own("j2", instance="dts2", Status="Suspending"), own("j3", instance="dts3", Status="")
    )
    found = together.read(together, response(answer))
    assert {one: job.migration_job_status for one, job in found.items()} == {
        JOB_ID: "Migrating",
        "dts2": "Suspending",
    }


@pytest.mark.parametrize("status", [503, 429])
def test_failed_look_up_leaves_absence_open(talk: Any, response: Any, status: int) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(replace(LISTING).progress(JOB_ID, max_lag=60), jobs(), jobs(), response({}, status))
    assert caught.value.is_transient


def test_refused_look_up_is_named(talk: Any, response: Any) -> None:
    refusal = response({"Code": "InvalidParameter", "Message": "DtsJobId"}, 400)
    with pytest.raises(
        MigrationNotFoundError, match=r"The second call failed too: DescribeDtsJobs at .*InvalidParameter"
    ):
        talk(replace(LISTING).progress(JOB_ID, max_lag=60), jobs(), jobs(), refusal, refusal)


def test_job_id_cache_is_bounded() -> None:
    memory: dict[int, int] = {}
    for number in range(2 * MAX_CACHED):
        cache_put(memory, number, number)
    assert list(memory) == list(range(MAX_CACHED, 2 * MAX_CACHED))


@pytest.mark.parametrize("ids", ["dts1", None, {"dts1": 1}, {"dts1"}, 7, b"dts1", iter(["dts1"])])
def test_job_ids_must_be_a_list(talk: Any, ids: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="dts_instance_ids must be a list of ids, not"):
        talk(API.describe_dts_jobs(ids))


@pytest.mark.parametrize("one", [["dts1"], {"a": 1}, None, True, ""])
def test_job_ids_must_be_ids(talk: Any, one: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="dts_instance_ids"):
        talk(API.describe_dts_jobs([one]))
    with pytest.raises(MigrationConfigurationError, match="migration_job_id"):
        talk(API.progress(one, max_lag=60))


@pytest.mark.parametrize(
    ("endpoint", "task", "page"),
    [
        (
            "https://dts.cn-hangzhou.aliyuncs.com",
            "abc",
            "https://dts.console.aliyun.com/#/progress/abc/config/",
        ),
        (
            "https://dts.x.aliyuncs.com",
            "a/b #",
            "https://dts.console.aliyun.com/#/progress/a%2Fb%20%23/config/",
        ),
        ("http://127.0.0.1:8100", None, "https://dts.console.aliyun.com/"),
        ("http://127.0.0.1:8100", " ", "https://dts.console.aliyun.com/"),
        ("https://dts.alibabacloud.com", "abc", "https://dts.console.alibabacloud.com/"),
        ("https://notalibabacloud.com", "abc", "https://dts.console.aliyun.com/#/progress/abc/config/"),
    ],
)
def test_console_link_leads_to_the_task(talk: Any, endpoint: str, task: Any, page: str) -> None:
    api = replace(API, endpoint=endpoint)
    assert talk(api.progress(ID, max_lag=60), job(TaskId=task)).result.console_url == page


# --- ended by hand, and the word Catched ----------------------------------------------------------------


def both(talk: Any, status: str, phase: Any, delay: float | None) -> Iterator[MigrationProgress]:
    """Ask for the same with both calls: seconds as text in one, milliseconds in the other."""
    section = {"Status": phase, **({} if delay is None else {"Delay": f"{delay:g}"})}
    yield talk(API.progress(ID, max_lag=60), job(status, DataSynchronizationStatus=section)).result
    milliseconds = None if delay is None else int(delay * 1000)
    item = listed(status, DataSynchronizationStatus={"Status": phase}, Delay=milliseconds)
    yield talk(LISTING.progress(ID, max_lag=60), jobs(item)).result


@pytest.mark.parametrize(
    ("phase", "delay", "state", "says"),
    [
        ("Catched", None, "succeeded", None),
        ("Catched", 0, "succeeded", None),
        ("Finished", 60, "succeeded", None),
        ("Catched", 61, "cancelled", "the incremental phase was 61 s behind"),
        ("Catched", 60.5, "cancelled", "the incremental phase was 60.5 s behind"),
        ("Finished", 18000, "cancelled", "the incremental phase was 18000 s behind"),
        ("Finished", -1, "cancelled", r"an impossible delay \(-1 s\)"),
        ("Migrating", 0, "cancelled", r"phase incremental was not done \(Migrating\)"),
        ("Failed", 18000, "cancelled", r"not done \(Failed\), and the incremental phase was 18000 s behind"),
        ("NotStarted", None, "cancelled", r"phase incremental was not done \(NotStarted\)"),
        ("Odd", 18000, "cancelled", "18000 s behind"),
        ("Odd", 0, "unknown", None),
    ],
)
def test_finished_behind_the_source_is_cancelled(
    talk: Any, phase: str, delay: float | None, state: str, says: str | None
) -> None:
    for record in both(talk, "Finished", phase, delay):
        assert record.state == state
        assert record.reached("caught_up") == target_reached(record, "Catched") == (state == "succeeded")
        if says is None:
            assert record.error is None
        else:
            assert record.error
            assert re.search(says, str(record.error.message))
            assert "ask who and why" in str(record.error.remedy)


def test_running_phase_counts_despite_the_mode(ask: Ask) -> None:
    mode = {**ALL_PHASES, "dataSynchronization": False}
    running = {"Status": "Migrating", "Delay": "5000"}
    record = ask(job("Finished", MigrationMode=mode, DataSynchronizationStatus=running))
    assert record.state == "cancelled"
    not_begun = {"Status": "NotStarted", "Delay": "-1"}
    assert ask(job("Finished", MigrationMode=mode, DataSynchronizationStatus=not_begun)).state == "succeeded"
    assert ask(job("Finished", MigrationMode=mode)).state == "succeeded"


@pytest.mark.parametrize(
    ("status", "section", "state"),
    [
        ("Finished", {"Status": "Catched", "Delay": "60"}, "succeeded"),
        ("Finished", {"Status": "Catched"}, "succeeded"),
        ("Finished", {"Status": "NotStarted", "Delay": "5000"}, "succeeded"),
        ("Finished", {"Status": "Catched", "Delay": "61"}, "cancelled"),
        ("Finished", {"Status": "Finished", "Delay": "5000"}, "cancelled"),
        ("Finished", {"Status": "Odd", "Delay": "5000"}, "cancelled"),
        ("Finished", {"Status": "Catched", "Delay": "-1"}, "cancelled"),
        ("Finished", {"Status": "Catched", "Delay": "soon"}, "cancelled"),
        ("Migrating", {"Status": "Catched", "Delay": "5000"}, "running"),
    ],
)
def test_lagging_increment_counts_despite_the_mode(ask: Ask, status: str, section: Any, state: str) -> None:
    """An answer whose mode and section contradict each other makes no success."""
    mode = {**ALL_PHASES, "dataSynchronization": False}
    record = ask(job(status, MigrationMode=mode, DataSynchronizationStatus=section))
    assert record.state == state
    assert record.reached("caught_up") is (state == "succeeded")


@pytest.mark.parametrize("delay", ["soon", "nan", "inf", "1,5", [], {}, True, False])
@pytest.mark.parametrize(("status", "state"), [("Migrating", "running"), ("Finished", "cancelled")])
def test_unreadable_delay_is_never_in_sync(talk: Any, status: str, state: str, delay: Any) -> None:
    """Neither as the seconds of one call nor as the milliseconds of the other."""
    section = {"Status": "Catched", "Delay": delay}
    legacy = talk(API.progress(ID, max_lag=60), job(status, DataSynchronizationStatus=section)).result
    listing = talk(LISTING.progress(ID, max_lag=60), jobs(listed(status, Delay=delay))).result
    for record in (legacy, listing):
        assert (record.state, record.lag_seconds) == (state, None)
        assert not target_reached(record, "Catched")


@pytest.mark.parametrize("delay", [None, 0, 60, 61, -1])
@pytest.mark.parametrize(
    "phase", ["Catched", "Finished", "Migrating", "NotStarted", "Failed", "Suspending", "Odd"]
)
@pytest.mark.parametrize("status", [*(word for word, _ in STATUSES), "Odd"])
def test_catched_needs_a_job_that_runs_well(talk: Any, status: str, phase: str, delay: float | None) -> None:
    """Over every status and status of the phase: only Migrating, or Finished, in sync."""
    in_sync = delay is None or 0 <= delay <= 60
    runs_well = in_sync and (status, phase) == ("Migrating", "Catched")
    is_done = in_sync and status == "Finished" and phase in ("Catched", "Finished")
    for record in both(talk, status, phase, delay):
        assert (
            target_reached(record, "Catched") == target_reached(record, "caught_up") == (runs_well or is_done)
        )


# --- lineage --------------------------------------------------------------------------------------------

RDS = {"InstanceId": "rm-1", "InstanceType": "RDS", "EngineName": "MySQL"}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (RDS, ("mysql://rm-1", "rm-1")),
        ({**RDS, "DatabaseName": "shop"}, ("mysql://rm-1", "shop")),
        (
            {"EngineName": "PostgreSQL", "IP": "10.0.0.1", "Port": "5432", "DatabaseName": "shop"},
            ("postgres://10.0.0.1:5432", "shop"),
        ),
        ({"EngineName": "SQLServer", "IP": "10.0.0.1", "DatabaseName": "shop"}, ("mssql://10.0.0.1", "shop")),
        ({"EngineName": "Oracle", "InstanceId": "", "Port": "1521"}, None),
        ({"InstanceId": "rm-1"}, None),
        (None, None),
    ],
)
def test_source_and_destination_have_openlineage_names(
    talk: Any, source: dict[str, str] | None, name: tuple[str, str] | None
) -> None:
    body = job(SourceEndpoint=source, DestinationEndpoint={**RDS, "InstanceId": "rm-2"})
    expected = (name, ("mysql://rm-2", "rm-2")) if name else None
    assert talk(API.datasets(ID), body).result == expected


# --- applied until ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Migrating", "Suspending", "Finished", "MigrationFailed"])
@pytest.mark.parametrize(
    ("increment", "until"),
    [
        (CATCHED, datetime(2021, 2, 5, 6, 50, 47, tzinfo=UTC)),
        ({**CATCHED, "Checkpoint": "0"}, None),
        ({**CATCHED, "Checkpoint": "soon"}, None),
        ({**CATCHED, "Checkpoint": None}, None),
        (None, None),
    ],
)
def test_applied_until_is_the_checkpoint(ask: Ask, status: str, increment: Any, until: Any) -> None:
    progress = ask(job(status, DataSynchronizationStatus=increment))
    assert (progress.applied_until, progress.checkpoint) == (until, until)


# --- speed and retries ------------------------------------------------------------------------------------

MOVING = ("Migrating", "Retrying")
STOPPED = ("Suspending", "Finished", "MigrationFailed", "NotStarted", "Odd")


@pytest.mark.parametrize("status", [*MOVING, *STOPPED])
@pytest.mark.parametrize(
    ("flow", "size"),
    [
        ("1.5", 1.5e6),
        (2, 2e6),
        ("0", 0),
        ("-1", None),
        ("fast", None),
        (True, None),
        (None, None),
        ("1e300", None),
    ],
)
def test_throughput_is_that_of_a_moving_job(talk: Any, status: str, flow: Any, size: float | None) -> None:
    body = jobs(listed(status, Performance={"Flow": flow, "Rps": "120"}))
    progress = talk(LISTING.progress(ID, max_lag=60), body).result
    expected = (
        None if size is None or status in STOPPED else {"rows_per_second": None, "bytes_per_second": size}
    )
    assert progress.model_dump()["throughput"] == expected


@pytest.mark.parametrize("status", [*MOVING, *STOPPED])
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (
            {
                "Retrying": True,
                "RetryCount": 3,
                "RetryTime": "300",
                "MaxRetryTime": 7200,
                "ErrMessage": "no route",
            },
            (3, 300, 7200, "no route"),
        ),
        ({"Retrying": "true", "RetryCount": -1, "RetryTime": "soon"}, (None, None, None, None)),
        ({"Retrying": False, "RetryCount": 3, "ErrMessage": "no route"}, None),
        ({"RetryCount": 3}, None),
        ({}, None),
        (None, None),
    ],
)
def test_retrying_is_that_of_a_moving_job(talk: Any, status: str, state: Any, expected: Any) -> None:
    retrying = talk(LISTING.progress(ID, max_lag=60), jobs(listed(status, RetryState=state))).result.retrying
    assert (retrying and tuple(retrying.model_dump().values())) == (None if status in STOPPED else expected)


@pytest.mark.parametrize(
    ("details", "url"),
    [
        ([{"ErrorCode": "DTS-31009", "HelpUrl": "https://help.example/31009"}], "https://help.example/31009"),
        ([{"ErrorCode": "DTS-1"}, {"HelpUrl": "http://help.example/2"}], "http://help.example/2"),
        ([{"HelpUrl": "javascript:alert(1)"}], None),
        ([{"HelpUrl": "https://help.example/?Signature=abc"}], None),
        ([], None),
        ("odd", None),
        (None, None),
    ],
)
def test_help_url_of_a_failed_job_is_a_web_page(talk: Any, details: Any, url: str | None) -> None:
    body = jobs(listed("MigrationFailed", ErrorDetails=details))
    assert talk(LISTING.progress(ID, max_lag=60), body).result.error.help_url == url
