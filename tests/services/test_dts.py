"""Alibaba Cloud DTS: what its answers mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationServiceError,
)
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.dts import DtsApi, endpoint_of
from airflow_provider_migration.verdict import target_reached

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


def test_the_request_is_the_one_that_the_official_sdk_sends(talk: Any, sample: Any, vectors: Any) -> None:
    (request,) = talk(API.progress(ID, max_lag=60), sample("dts_describe_migration_job_status")).requests
    vector = vectors("alibaba_acs3")["requests"][0]
    assert vector["case"] == request.action
    assert (request.method, request.url, request.body) == (vector["method"], vector["url"], b"")
    assert request.headers.items() <= vector["headers"].items()
    assert request.headers.keys() == {"accept", "x-acs-action", "x-acs-version"}


def test_every_optional_parameter_is_sent_under_the_vendors_name(talk: Any) -> None:
    conversation = API.describe_migration_job_status(
        "dts 1/ü", client_token="t&1", account_id=1234, region_id="eu-west-1"
    )
    (request,) = talk(conversation, job()).requests
    assert request.url.partition("?")[2] == (
        "AccountId=1234&ClientToken=t%261&MigrationJobId=dts%201%2F%C3%BC&RegionId=eu-west-1"
    )


def test_no_region_is_sent_where_none_is_known(talk: Any) -> None:
    api = DtsApi(endpoint="http://127.0.0.1:8100", signer=AlibabaSigner("id", "secret"))
    (request,) = talk(api.describe_migration_job_status(ID), job()).requests
    assert request.url == f"http://127.0.0.1:8100/?MigrationJobId={ID}"


@pytest.mark.parametrize("migration_job_id", ["", "  ", None, True, "x" * 257, "dts\n1", "dts\x1b[0m"])
def test_what_is_no_id_is_refused_before_anything_is_asked(talk: Any, migration_job_id: Any) -> None:
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
def test_each_region_has_its_host(region: str, host: str) -> None:
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
    ("Migrating", "caught_up"),
]
NOT_STATUSES = ["Synchronizing", "Migrating?", "", "  ", None, 7, 1.5, True, [], ["Migrating"], {"a": 1}]


@pytest.mark.parametrize("spell", [str, str.upper, str.lower, str.swapcase, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_a_documented_word_means_its_state_however_it_is_spelt(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    progress = ask(job(spell(word)))
    assert progress.state == state
    assert progress.service_status == spell(word).strip()


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_anything_else_is_unknown_and_no_error(ask: Ask, word: Any) -> None:
    assert ask(job(word)).state == "unknown"


def test_an_answer_that_says_nothing_is_unknown(ask: Ask) -> None:
    progress = ask({"Success": True})
    assert (progress.state, progress.phases, progress.percent) == ("unknown", (), None)
    assert (progress.lag_seconds, progress.checkpoint, progress.error) == (None, None, None)


@pytest.mark.parametrize("word", [word for word, state in STATUSES if state != "caught_up"])
def test_only_a_migrating_job_is_ever_caught_up(ask: Ask, word: str) -> None:
    assert ask(job(word)).state != "caught_up"


# --- the sample of the documentation --------------------------------------------------------------------


def test_the_documented_sample_is_caught_up(ask: Ask, sample: Any) -> None:
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
        "request_id": "A032E3B4-929B-48E9-97B9-37587CBF****",
        "console_url": "https://dts.console.aliyun.com/",
    }
    assert [(phase.name, phase.state, phase.percent, phase.done) for phase in progress.phases] == [
        ("precheck", "succeeded", 100, None),
        ("structure", "succeeded", 100, 1),
        ("full", "succeeded", 100, 200001),
        ("incremental", "caught_up", None, None),
    ]
    assert progress.observed_at == NOW


def test_field_names_are_found_in_any_case(ask: Ask) -> None:
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
def test_a_job_is_caught_up_when_it_is_catched_and_the_delay_is_small_or_not_given(
    ask: Ask, delay: Any, is_caught_up: bool
) -> None:
    progress = ask(job(DataSynchronizationStatus={"Status": "Catched", "Delay": delay}))
    assert progress.state == ("caught_up" if is_caught_up else "running")


@pytest.mark.parametrize("delay", ["soon", "", "nan", "inf", [], {}, True, False])
def test_a_delay_that_is_no_number_is_no_lag(ask: Ask, delay: Any) -> None:
    section = {"Status": "Migrating", "Delay": delay}
    progress = ask(job(DataSynchronizationStatus=section))
    assert (progress.state, progress.lag_seconds) == ("running", None)


@pytest.mark.parametrize("status", ["NotStarted", "Migrating", "Failed", "Finished", "Odd", None, 1, []])
def test_an_increment_that_is_not_catched_is_not_caught_up(ask: Ask, status: Any) -> None:
    assert ask(job(DataSynchronizationStatus={"Status": status, "Delay": "0"})).state == "running"


@pytest.mark.parametrize("section", ["StructureInitializationStatus", "DataInitializationStatus"])
@pytest.mark.parametrize("status", ["NotStarted", "Migrating", "Failed", "Catched", "Odd", None, 1, []])
def test_a_job_with_unfinished_bulk_work_is_not_caught_up(ask: Ask, section: str, status: Any) -> None:
    assert ask(job(**{section: {"Status": status, "Percent": "100"}})).state == "running"


@pytest.mark.parametrize("section", ["StructureInitializationStatus", "DataInitializationStatus"])
def test_a_bulk_phase_without_a_section_has_not_begun(ask: Ask, section: str) -> None:
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
def test_without_bulk_phases_only_the_mode_tells_that_none_is_missing(
    ask: Ask, mode: Any, is_caught_up: bool
) -> None:
    body = job(MigrationMode=mode, StructureInitializationStatus=None, DataInitializationStatus=None)
    assert ask(body).state == ("caught_up" if is_caught_up else "running")


# --- finished -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("increment", ["Finished", "Catched", "finished"])
def test_a_finished_job_with_every_phase_done_has_succeeded(ask: Ask, increment: str) -> None:
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
def test_a_finished_job_with_a_phase_undone_was_stopped_by_hand(
    ask: Ask, section: str, status: Any, state: str
) -> None:
    progress = ask(job("Finished", **{section: {"Status": status, "Percent": "100"}}))
    assert progress.state == state
    assert not progress.reached("succeeded")
    assert not progress.reached("caught_up")


def test_a_finished_job_whose_enabled_phase_has_no_section_was_stopped_by_hand(ask: Ask) -> None:
    assert ask(job("Finished", DataInitializationStatus=None)).state == "cancelled"


@pytest.mark.parametrize("status", ["Finished", "Catched"])
def test_bulk_work_cannot_be_catched(ask: Ask, status: str) -> None:
    state = ask(job("Finished", DataInitializationStatus={"Status": status})).state
    assert state == ("succeeded" if status == "Finished" else "cancelled")


@pytest.mark.parametrize(
    "mode", [None, {}, "x", {"dataInitialization": True}, {**ALL_PHASES, "dataInitialization": "perhaps"}]
)
def test_a_finished_job_that_does_not_tell_its_phases_is_unknown(ask: Ask, mode: Any) -> None:
    assert ask(job("Finished", MigrationMode=mode)).state == "unknown"


@pytest.mark.parametrize("mode", [ALL_PHASES, dict.fromkeys(ALL_PHASES, False)])
def test_a_finished_job_without_a_single_section_has_not_succeeded(ask: Ask, mode: Any) -> None:
    state = ask({"MigrationJobStatus": "Finished", "MigrationMode": mode}).state
    assert state in ("cancelled", "unknown")


def test_a_disabled_phase_does_not_count(ask: Ask) -> None:
    mode = {**ALL_PHASES, "dataSynchronization": "false"}
    progress = ask(job("Finished", MigrationMode=mode, DataSynchronizationStatus=CATCHED))
    assert progress.state == "succeeded"
    assert [phase.name for phase in progress.phases] == ["structure", "full"]
    assert (progress.lag_seconds, progress.checkpoint) == (None, None)


@pytest.mark.parametrize("mode", [None, {}, {"dataInitialization": True, "structureInitialization": "odd"}])
def test_without_a_mode_the_sections_that_are_there_are_the_phases(ask: Ask, mode: Any) -> None:
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
def test_a_phase_has_the_state_of_its_word(ask: Ask, section: str, name: str, word: Any, state: str) -> None:
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
def test_percent_is_the_mean_of_the_bulk_phases_and_null_when_one_is_not_known(
    ask: Ask, structure: Any, full: Any, percent: float | None
) -> None:
    body = job(
        StructureInitializationStatus={"Status": "Migrating", "Percent": structure},
        DataInitializationStatus={"Status": "Migrating", "Percent": full},
    )
    assert ask(body).percent == percent


def test_the_incremental_percent_counts_for_nothing(ask: Ask) -> None:
    section = {"Status": "Migrating", "Percent": "3", "Delay": "70"}
    progress = ask(job(DataSynchronizationStatus=section))
    assert (progress.percent, progress.phases[-1].percent, progress.lag_seconds) == (100, None, 70)


@pytest.mark.parametrize("count", ["x", "-5", 10**400, "9" * 400, True, [], 1.5])
def test_a_count_that_is_none_is_null(ask: Ask, count: Any) -> None:
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
def test_a_checkpoint_is_a_time_or_null(ask: Ask, checkpoint: Any, moment: datetime | None) -> None:
    section = {"Status": "Migrating", "Checkpoint": checkpoint}
    assert ask(job(DataSynchronizationStatus=section)).checkpoint == moment


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Failed", "Finished", None])
def test_a_failed_precheck_names_the_items_and_how_to_repair_them(ask: Ask, status: Any) -> None:
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
def test_a_failed_job_says_why_and_what_to_do(ask: Ask, changes: Any, message: str) -> None:
    error = ask(job("Failed", **changes)).error
    assert error is not None
    assert (error.code, error.message) == ("Failed", message)
    assert "console" in str(error.remedy)


def test_a_long_reason_is_cut(ask: Ask) -> None:
    error = ask(
        job("Failed", DataInitializationStatus={"Status": "Failed", "ErrorMessage": "x" * 10**6})
    ).error
    assert error is not None
    assert error.message is not None
    assert len(error.message) == 2000


@pytest.mark.parametrize("word", ["Migrating", "Suspending", "Finished", "Odd"])
def test_a_job_that_has_not_failed_has_no_error(ask: Ask, word: str) -> None:
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
def test_a_word_is_reached_at_it_and_past_it(
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


def test_the_list_is_asked_for_one_job_without_its_objects(talk: Any) -> None:
    (request,) = talk(LISTING.progress(ID, max_lag=60), jobs(listed())).requests
    assert (request.action, request.method, request.body) == ("DescribeDtsJobs", "POST", b"")
    assert request.url.partition("?")[2] == (
        f"DtsInstanceId={ID}&JobType=MIGRATION&PageSize=30&Region=cn-hangzhou&WithoutDbList=true"
    )


def test_a_job_of_the_list_makes_the_same_record(talk: Any) -> None:
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
def test_the_delay_of_the_list_is_in_milliseconds(talk: Any, delay: Any, state: str) -> None:
    assert talk(LISTING.progress(ID, max_lag=60), jobs(listed(Delay=delay))).result.state == state


@pytest.mark.parametrize("incremental", [None, {"Status": "NotStarted", "Percent": "0"}])
def test_delay_and_checkpoint_of_the_list_count_in_the_incremental_phase_only(
    talk: Any, incremental: Any
) -> None:
    copying = {"Status": "Migrating"}
    before = jobs(listed(DataSynchronizationStatus=incremental, DataInitializationStatus=copying, Delay=0))
    record = talk(LISTING.progress(ID, max_lag=60), before).result
    assert (record.lag_seconds, record.checkpoint) == (None, None)


def test_failed_items_of_the_precheck_are_named_with_their_repair(talk: Any) -> None:
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


def test_a_failed_job_of_the_list_tells_its_reason_and_what_to_do(talk: Any) -> None:
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
        jobs(listed(Status=None)),
        {"Success": True, "DtsJobList": None},
        {"Success": True},
    ],
)
def test_a_job_that_is_not_in_the_list_is_not_found(talk: Any, answer: Any) -> None:
    with pytest.raises(MigrationNotFoundError, match=f"not in the list. Check the id {ID},"):
        talk(LISTING.progress(ID, max_lag=60), answer)


def test_many_jobs_are_asked_for_at_once(response: Any) -> None:
    request = next(LISTING.progress(ID, max_lag=60))
    assert (request.item, request.batch_limit) == (ID, 30)
    together = request.batch([ID, "dts2"])
    assert "DtsInstanceId=dtsz2v12jfo309abcd%2Cdts2&" in together.url
    answers = together.read(together, response(jobs(listed(), listed("Suspending", "dts2"))))
    assert {item: answer.migration_job_status for item, answer in answers.items()} == {
        ID: "Migrating",
        "dts2": "Suspending",
    }


@pytest.mark.parametrize("ids", [[], [f"dts{number}" for number in range(31)]])
def test_no_more_ids_are_asked_for_than_a_page_holds(talk: Any, ids: list[str]) -> None:
    with pytest.raises(MigrationConfigurationError, match="1 to 30 ids"):
        talk(API.describe_dts_jobs(ids))


def test_a_job_that_only_the_list_knows_is_asked_for_there_from_then_on(talk: Any, response: Any) -> None:
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
        (200, jobs(), "DescribeDtsJobs does not list it either."),
        (403, {"Code": "Forbidden.RAM", "Message": "no right"}, "Asked too: DescribeDtsJobs at "),
    ],
)
def test_a_job_that_neither_call_knows_is_not_found_and_both_are_named(
    talk: Any, response: Any, status: int, answer: Any, said: str
) -> None:
    with pytest.raises(MigrationNotFoundError) as caught:
        talk(replace(API).progress(ID, max_lag=60), response(UNKNOWN, 400), response(answer, status))
    assert caught.value.code == "InvalidJobId"
    assert str(caught.value).startswith("DescribeMigrationJobStatus at ")
    assert said in str(caught.value)
    assert str(caught.value).count(ID) == 1


def test_a_list_that_is_out_of_order_leaves_open_whether_it_knows_the_job(talk: Any, response: Any) -> None:
    with pytest.raises(MigrationServiceError):
        talk(replace(API).progress(ID, max_lag=60), response(UNKNOWN, 400), response({}, 503))


def test_a_page_that_is_not_found_says_nothing_of_a_job(talk: Any, response: Any) -> None:
    with pytest.raises(MigrationNotFoundError, match="HTTP 404"):
        talk(replace(API).progress(ID, max_lag=60), response(b"<html>", 404))


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
def test_source_and_destination_have_the_names_of_openlineage(
    talk: Any, source: dict[str, str] | None, name: tuple[str, str] | None
) -> None:
    body = job(SourceEndpoint=source, DestinationEndpoint={**RDS, "InstanceId": "rm-2"})
    expected = (name, ("mysql://rm-2", "rm-2")) if name else None
    assert talk(API.datasets(ID), body).result == expected
