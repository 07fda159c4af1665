"""Huawei Cloud DRS: what its answers mean."""

from __future__ import annotations

import gc
import json
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_migration.auth.huawei import HuaweiSigner
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
from airflow_provider_migration.sansio import Flow, Request, Response
from airflow_provider_migration.services.drs import (
    MAX_LISTED,
    MAX_PAGES,
    OBJECT_TYPES,
    DrsApi,
    ObjectListing,
    endpoint_of,
)
from airflow_provider_migration.services.huawei import iam_endpoint_of
from airflow_provider_migration.wait.messages import describe
from airflow_provider_migration.wait.policy import target_reached
from tests.flows import to_response

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROJECT = "5237e10fe9aa4ad5b16b6a5245248314"
ID = "163b98e8-6088-46c3-8b86-c18fea6jb502"  # the j is right: these are no UUIDs
API = DrsApi(
    endpoint="https://drs.cn-north-4.myhuaweicloud.com",
    project_id=PROJECT,
    region="cn-north-4",
    signer=HuaweiSigner("AK", "SK"),
    clock=lambda: NOW,
)
NO_LIST: dict[str, Any] = {"count": 0, "flow_compare_data": []}

Ask = Callable[..., MigrationProgress]


def job(status: Any, mode: Any = "FULL_INCR_TRANS", **changes: Any) -> dict[str, Any]:
    """Make a job before its increment as batch-progress tells it: with every number as text."""
    result = {"job_id": ID, "transfer_status": status, "task_mode": mode, "progress": "0"}
    return {"results": [{**result, "incre_trans_delay": "-1", "error_code": "", **changes}]}


def tables(*percents: Any, count: int | None = None) -> dict[str, Any]:
    rows = [
        {"src_db": "a", "src_tb": f"t{number}", "dst_db": "b", "dst_tb": f"t{number}", "progress": percent}
        for number, percent in enumerate(percents)
    ]
    return {"count": len(rows) if count is None else count, "flow_compare_data": rows}


def only_v3(answer: Any) -> Callable[[Request], Any]:
    """Answer batch-progress, and know no job in v5."""
    unknown = to_response({"error_code": "DRS.10000010", "error_msg": "Job does not exist."}, 400)
    return lambda request: unknown if request.action == "ShowJobDetail" else answer


class Server:
    """
    Answers for one job, as a whole DRS does.

    :ivar offsets: where each page that was asked for begins.
    """

    def __init__(self, status: Any = None, objects: Any = NO_LIST) -> None:
        self.status = status
        self.objects = objects
        self.offsets: list[int] = []

    def __call__(self, request: Request) -> Any:
        if request.action == "BatchListProgresses":
            return self.status
        query = parse_qs(urlsplit(request.url).query)
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        self.offsets.append(offset)
        return self.objects(offset, limit) if callable(self.objects) else self.objects


@pytest.fixture(scope="module")
def ask(talk: Any) -> Ask:
    def ask(status: Any, objects: Any = NO_LIST, max_lag: float = 60, **options: Any) -> MigrationProgress:
        return talk(replace(API).progress(ID, max_lag=max_lag, **options), Server(status, objects)).result

    return ask


# --- the requests ---------------------------------------------------------------------------------------


def test_requests_match_the_official_sdk(talk: Any, vectors: Any) -> None:
    status, page = talk(API.progress(ID, max_lag=60), job("FULL_TRANSFER_STARTED"), NO_LIST).requests
    recorded = {vector["name"]: vector for vector in vectors("huawei_sdk_hmac")}
    url = urlsplit(page.url)
    vector = urlsplit(recorded["progress_page"]["url"])
    assert (page.method, page.body, url.netloc, url.path) == ("GET", b"", vector.netloc, vector.path)
    assert parse_qs(url.query) == parse_qs(vector.query)
    headers = {"content-type": "application/json", "x-project-id": PROJECT}
    assert page.headers == status.headers == headers
    assert (status.method, status.url) == (
        "POST",
        f"https://drs.cn-north-4.myhuaweicloud.com/v3/{PROJECT}/jobs/batch-progress",
    )
    assert json.loads(status.body) == {"jobs": [ID]}


def test_language_is_sent(talk: Any) -> None:
    flow = API.progress_data_page(ID, "table_indexs", ObjectListing(10, 30), language="ZH-CN")
    (request,) = talk(flow, NO_LIST).requests
    assert request.headers["x-language"] == "zh-cn"
    assert request.url.endswith(f"/jobs/{ID}/progress-data/table_indexs?limit=10&offset=30")


def test_id_is_quoted_in_the_path(talk: Any) -> None:
    (request,) = talk(API.progress_data_page("../x?y", "table", ObjectListing()), NO_LIST).requests
    assert f"/v5/{PROJECT}/jobs/..%2Fx%3Fy/progress-data/table?" in request.url


@pytest.mark.parametrize("limit", [0, -1, 1001, 2.5, "10", True, None])
def test_limit_out_of_range_is_named(limit: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"limit must be 1 to 1000, not "):
        ObjectListing(limit)


@pytest.mark.parametrize("offset", [-1, 2.5, "0", True, None])
def test_offset_out_of_range_is_named(offset: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"offset must be 0 or more, not "):
        ObjectListing(10, offset)


ODD_TYPES = ["tables", "", "TABLE", None, 1, "table_indexes", "../table", ["table"], {"table": 1}, {"table"}]


@pytest.mark.parametrize("object_type", ODD_TYPES)
def test_unknown_object_type_is_refused_before_a_request(object_type: Any) -> None:
    says = rf"object_types: {re.escape(repr(object_type))} is not known to DRS.*table_indexs"
    with pytest.raises(MigrationConfigurationError, match=says):
        API.progress_data_page(ID, object_type, ObjectListing())
    with pytest.raises(MigrationConfigurationError, match=says):
        API.progress(ID, (object_type,), max_lag=60)


@pytest.mark.parametrize(
    "object_types", [None, 1, True, {"table": 1}, [["table"]], {"table", 1}, ["table", None], b"table"]
)
@pytest.mark.parametrize("job_status", [True, False])
def test_object_types_of_wrong_type_are_named(object_types: Any, job_status: bool) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"^object_types: .* is not known to DRS"):
        API.progress(ID, object_types, job_status, max_lag=60)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_object_types_may_be_any_collection(ask: Ask, kind: Any) -> None:
    assert ask(job("PAUSING"), tables(5), object_types=kind(["table"])).objects is not None


@pytest.mark.parametrize("job_status", ["false", "True", "", 0, 1, None, [], {}])
def test_job_status_must_be_a_boolean(job_status: Any) -> None:
    says = rf"job_status must be True or False, not {re.escape(repr(job_status))}"
    with pytest.raises(MigrationConfigurationError, match=says):
        API.progress(ID, job_status=job_status, max_lag=60)


@pytest.mark.parametrize("language", ["", "en", "de-de"])
def test_unknown_language_is_refused_before_a_request(talk: Any, language: str) -> None:
    with pytest.raises(MigrationConfigurationError, match="language must be en-us or zh-cn"):
        talk(API.progress_data_page(ID, "table", ObjectListing(), language=language))


@pytest.mark.parametrize("job_id", ["", None, "x\ny", [ID], (ID,), {ID}, {"job_id": ID}, b"job", 1.5, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda job_id: API.get_job_status(job_id),
        lambda job_id: API.progress(job_id, max_lag=60),
        lambda job_id: API.progress(job_id, job_status=False, max_lag=60),
        lambda job_id: API.progress_data_page(job_id, "table", ObjectListing()),
    ],
)
def test_wrong_id_is_refused_before_a_request(job_id: Any, call: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="job_id"):
        call(job_id)


def test_empty_request_is_refused(talk: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="object_types is empty"):
        talk(API.progress(ID, (), job_status=False, max_lag=60))


@pytest.mark.parametrize(
    ("region", "host", "iam_host"),
    [
        ("cn-north-4", "drs.cn-north-4.myhuaweicloud.com", "iam.cn-north-4.myhuaweicloud.com"),
        ("eu-west-0", "drs.eu-west-0.myhuaweicloud.com", "iam.eu-west-0.myhuaweicloud.com"),
        ("eu-west-101", "drs.eu-west-101.myhuaweicloud.eu", "iam.eu-west-101.myhuaweicloud.eu"),
    ],
)
def test_region_hosts(region: str, host: str, iam_host: str) -> None:
    assert (endpoint_of(region), iam_endpoint_of(region)) == (host, iam_host)


def test_iam_host_without_a_region() -> None:
    assert iam_endpoint_of(None) == "iam.myhuaweicloud.com"


# --- the status of the job ------------------------------------------------------------------------------

STATUSES = [
    ("CREATING", "pending"),
    ("CONFIGURATION", "pending"),
    ("WAITING_FOR_START", "pending"),
    ("STARTJOBING", "pending"),
    ("CHILD_TRANSFER_STARTING", "pending"),
    ("FULL_TRANSFER_STARTED", "running"),
    ("FULL_TRANSFER_COMPLETE", "running"),
    ("INCRE_TRANSFER_STARTED", "running"),
    ("RELEASE_RESOURCE_STARTED", "running"),
    ("REBUILD_NODE_STARTED", "running"),
    ("CHANGE_JOB_STARTED", "running"),
    ("CHILD_TRANSFER_STARTED", "running"),
    ("CHILD_TRANSFER_COMPLETE", "running"),
    ("RELEASE_CHILD_TRANSFER_STARTED", "running"),
    ("RELEASE_CHILD_TRANSFER_COMPLETE", "running"),
    ("NODE_UPGRADE_START", "running"),
    ("NODE_UPGRADE_COMPLETE", "running"),
    ("PAUSING", "paused"),
    ("PAUSEING", "paused"),
    ("CREATE_FAILED", "failed"),
    ("START_JOB_FAILED", "failed"),
    ("FULL_TRANSFER_FAILED", "failed"),
    ("INCRE_TRANSFER_FAILED", "failed"),
    ("RELEASE_RESOURCE_FAILED", "failed"),
    ("REBUILD_NODE_FAILED", "failed"),
    ("CHANGE_JOB_FAILED", "failed"),
    ("CHILD_TRANSFER_FAILED", "failed"),
    ("NODE_UPGRADE_FAILED", "failed"),
    ("DELETED", "cancelled"),
    ("RELEASE_RESOURCE_COMPLETE", "cancelled"),
]
NOT_STATUSES = ["CREATE", "ENDED", "SUCCESS", "PRECHECK FAILED", 1, 0.5]
NO_STATUSES = ["", " ", None, True, [], ["PAUSING"], {}]


@pytest.mark.parametrize("spell", [str, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_documented_status_has_its_state(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    progress = ask(job(spell(word)))
    assert (progress.state, progress.service_status) == (state, spell(word).strip())


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_unknown_status_is_not_an_error(ask: Ask, word: Any) -> None:
    assert ask(job(word, error_code=None)).state == "unknown"


@pytest.mark.parametrize("word", NO_STATUSES)
@pytest.mark.parametrize("changes", [{}, {"progress": "100"}, {"incre_trans_delay": "0"}])
def test_status_missing_is_a_transient_error(ask: Ask, word: Any, changes: Any) -> None:
    with pytest.raises(MigrationResponseError, match="no transfer_status for this job") as caught:
        ask(job(word, error_code=None, **changes))
    assert caught.value.is_transient


def test_status_field_missing_is_a_transient_error(talk: Any) -> None:
    with pytest.raises(MigrationResponseError, match="no transfer_status"):
        talk(API.get_job_status(ID), {"results": [{"job_id": ID, "progress": "40"}]})


def test_batch_sends_a_job_without_a_status_alone(response: Any) -> None:
    request = next(API.get_job_status(ID))
    assert request.batch is not None
    many = request.batch([ID, "other"])
    results = [*job(" ")["results"], {"job_id": "other", "transfer_status": "PAUSING"}]
    assert list(many.read(many, response({"results": results}, 202))) == ["other"]


# --- success and caught up ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        ("FULL_TRANS", "succeeded"),
        ("full_trans", "succeeded"),
        ("FULL_INCR_TRANS", "running"),
        ("INCR_TRANS", "running"),
        (None, "running"),
        ("", "running"),
        (1, "running"),
    ],
)
def test_complete_full_transfer_without_increment_is_a_success(ask: Ask, mode: Any, state: str) -> None:
    progress = ask(job("FULL_TRANSFER_COMPLETE", mode))
    assert progress.state == state
    assert progress.reached("full_done") is (mode != "INCR_TRANS")


@pytest.mark.parametrize(
    ("changes", "is_caught_up"),
    [
        ({"incre_trans_delay": "0"}, True),
        ({"incre_trans_delay": 60}, True),
        ({"incre_trans_delay": "60.1"}, False),
        ({"incre_trans_delay": "-1"}, False),
        ({"incre_trans_delay": None}, False),
        ({"incre_trans_delay": ""}, False),
        ({"incre_trans_delay": "soon"}, False),
        ({"incre_trans_delay": False}, False),
        ({"incre_trans_delay": []}, False),
        ({"incre_trans_delay": None, "incre_trans_delay_millis": "60000"}, True),
        ({"incre_trans_delay": None, "incre_trans_delay_millis": "60001"}, False),
        ({"incre_trans_delay": "-1", "incre_trans_delay_millis": "5"}, False),
        ({"incre_trans_delay": "3", "incre_trans_delay_millis": "3400"}, True),
        ({"incre_trans_delay": "0", "incre_trans_delay_millis": "60001"}, False),
        ({"incre_trans_delay": "61", "incre_trans_delay_millis": "0"}, False),
        ({"incre_trans_delay": "3", "incre_trans_delay_millis": "-1"}, True),
        ({"incre_trans_delay": None, "incre_trans_delay_millis": "-1"}, False),
    ],
)
def test_increment_with_a_small_delay_is_caught_up(ask: Ask, changes: Any, is_caught_up: bool) -> None:
    progress = ask(job("INCRE_TRANSFER_STARTED", **changes))
    assert progress.state == ("caught_up" if is_caught_up else "running")
    assert progress.reached("full_done")


@pytest.mark.parametrize("word", [word for word, _ in STATUSES if word != "INCRE_TRANSFER_STARTED"])
def test_increment_must_run_to_be_caught_up(ask: Ask, word: str) -> None:
    assert ask(job(word, incre_trans_delay="0")).state != "caught_up"


def test_unknown_failure_status_is_a_failure(ask: Ask) -> None:
    assert ask(job("SOMETHING_NEW_FAILED")).state == "failed"
    assert ask(job("SOMETHING_NEW")).state == "unknown"


PARTS_DONE = {name: {"completed": "100%"} for name in ("struct", "data", "index")}


@pytest.mark.parametrize("mode", ["FULL_TRANS", "FULL_INCR_TRANS"])
@pytest.mark.parametrize(
    ("changes", "objects", "state"),
    [
        ({}, NO_LIST, "cancelled"),
        ({"progress": "100"}, NO_LIST, "succeeded"),
        ({"progress": "99.99"}, NO_LIST, "cancelled"),
        ({"progress": "5151"}, NO_LIST, "cancelled"),
        ({"progress_map": PARTS_DONE}, NO_LIST, "succeeded"),
        ({"progress_map": {**PARTS_DONE, "struct": {"completed": "94%"}}}, NO_LIST, "cancelled"),
        ({"progress_map": {"struct": {"completed": "100%"}}}, NO_LIST, "cancelled"),
        ({"progress_map": {}}, NO_LIST, "cancelled"),
        ({"progress_map": [PARTS_DONE]}, NO_LIST, "cancelled"),
        ({}, tables(100, 100), "succeeded"),
        ({}, tables(100, 99), "cancelled"),
        ({}, tables(100, 5151), "cancelled"),
        ({}, tables(100, 100, count=3), "cancelled"),
        ({"progress": "100", "progress_map": {"data": {"completed": "40%"}}}, NO_LIST, "cancelled"),
        ({"progress": "100"}, tables(100, 40), "cancelled"),
        ({"progress": "40", "progress_map": PARTS_DONE}, tables(100, 100), "cancelled"),
        ({"progress": "40"}, NO_LIST, "cancelled"),
    ],
)
def test_released_job_needs_a_complete_bulk(
    ask: Ask, changes: Any, objects: Any, state: str, mode: str
) -> None:
    progress = ask(job("RELEASE_RESOURCE_COMPLETE", mode, **{"incre_trans_delay": "3", **changes}), objects)
    assert progress.state == state
    assert progress.reached("full_done") is (state == "succeeded")
    message = progress.error and progress.error.message
    assert message == (
        None
        if state == "succeeded"
        else "The job has ended, and its existing data is not known to be copied."
    )


NO_MODES = [None, "", "FULL", 1, []]
BEHIND, NOT_BEGUN, NOT_TOLD = (
    "its incremental phase was",
    "its incremental phase had not begun",
    "DRS gives no delay",
)


@pytest.mark.parametrize("mode", ["FULL_INCR_TRANS", "full_incr_trans", "INCR_TRANS", *NO_MODES])
@pytest.mark.parametrize(
    ("delay", "millis", "why"),
    [
        ("0", None, None),
        ("60", None, None),
        (60, "60000", None),
        (None, "60000", None),
        ("", 0, None),
        ("3", "-1", None),
        ("60.1", None, BEHIND),
        ("61", "0", BEHIND),
        ("18000", "18000000", BEHIND),
        (None, "60001", BEHIND),
        ("0", "18000000", BEHIND),
        ("-1", None, NOT_BEGUN),
        (-1, "-1", NOT_BEGUN),
        ("-1", "0", NOT_BEGUN),
        (None, "-1", NOT_BEGUN),
        (None, None, NOT_TOLD),
        ("", "", NOT_TOLD),
        ("soon", None, NOT_TOLD),
        (False, None, NOT_TOLD),
        ([], {}, NOT_TOLD),
    ],
)
def test_ended_job_with_increment_needs_sync(
    ask: Ask, mode: Any, delay: Any, millis: Any, why: str | None
) -> None:
    changes = {"progress": "100", "incre_trans_delay": delay, "incre_trans_delay_millis": millis}
    progress = ask(job("RELEASE_RESOURCE_COMPLETE", mode, **changes))
    if why is None:
        assert (progress.state, progress.error) == ("succeeded", None)
        return
    assert progress.state == "cancelled"
    assert progress.error is not None
    assert str(progress.error.message).startswith(f"The job has ended, and {why}")
    assert "Compare source and target" in str(progress.error.remedy)
    assert progress.error.code == "RELEASE_RESOURCE_COMPLETE"
    for target in ("caught_up", "succeeded", "INCRE_TRANSFER_STARTED"):
        assert not target_reached(progress, target)


def test_ended_job_message_names_delay_and_limit(ask: Ask) -> None:
    body = job("RELEASE_RESOURCE_COMPLETE", progress="100", incre_trans_delay="18000")
    error = ask(body, max_lag=10).error
    assert error is not None
    assert (
        error.message == "The job has ended, and its incremental phase was 18000 s behind (max_lag is 10 s)."
    )


@pytest.mark.parametrize("delay", ["-1", "300", None])
def test_ended_job_without_increment_needs_no_delay(ask: Ask, delay: Any) -> None:
    body = job("RELEASE_RESOURCE_COMPLETE", "FULL_TRANS", progress="100", incre_trans_delay=delay)
    assert ask(body).state == "succeeded"


@pytest.mark.parametrize("mode", ["FULL_TRANS", "FULL_INCR_TRANS", "INCR_TRANS"])
def test_ended_job_with_an_error_has_failed(ask: Ask, mode: str) -> None:
    """DRS ends a task that stays abnormal by itself; its last delay may be as old as the failure."""
    failure = {"error_code": "DRS.M06007", "error_msg": "source is gone"}
    body = job("RELEASE_RESOURCE_COMPLETE", mode, progress="100", incre_trans_delay="0", **failure)
    progress = ask(body)
    assert progress.state == "cancelled"
    assert progress.error is not None
    assert (progress.error.code, progress.error.message) == (
        "DRS.M06007",
        "The job has ended, and DRS gives the error DRS.M06007 (source is gone).",
    )


def test_ending_job_is_running(ask: Ask) -> None:
    for delay in ("-1", "0", "18000"):
        progress = ask(job("RELEASE_RESOURCE_STARTED", progress="100", incre_trans_delay=delay))
        assert (progress.state, progress.error) == ("running", None)


def test_deleted_job_is_cancelled(ask: Ask) -> None:
    progress = ask(job("DELETED", progress="100", incre_trans_delay="0"))
    assert progress.state == "cancelled"
    assert progress.error is not None
    assert (progress.error.code, progress.error.message) == ("DELETED", "The job was deleted.")


def test_ended_job_reason_is_in_the_final_message(ask: Ask) -> None:
    body = job("RELEASE_RESOURCE_COMPLETE", progress="100", incre_trans_delay="18000")
    assert "its incremental phase was 18000 s behind" in describe(ask(body))


# --- phases, percent, lag -------------------------------------------------------------------------------


def test_documented_sample_is_a_complete_transfer(ask: Ask) -> None:
    parts = {**PARTS_DONE, "struct": {"completed": "94%", "remaining_time": None}}
    progress = ask(job("FULL_TRANSFER_COMPLETE", progress_map=parts, process_time="0", remaining_time="0"))
    assert (progress.state, progress.percent, progress.lag_seconds) == ("running", 100, None)
    assert [(phase.name, phase.state, phase.percent) for phase in progress.phases] == [
        ("structure", "succeeded", 100),
        ("full", "succeeded", 100),
        ("incremental", "pending", None),
    ]


@pytest.mark.parametrize(
    ("body", "percent", "phases"),
    [
        (job("CREATING", progress=None), 0, ["full pending", "incremental pending"]),
        (job("FULL_TRANSFER_STARTED", progress="40"), 40, ["full running", "incremental pending"]),
        (job("FULL_TRANSFER_STARTED", "FULL_TRANS", progress="94%"), 94, ["full running"]),
        (job("FULL_TRANSFER_STARTED", None, progress="5151"), None, ["full running"]),
        (job("FULL_TRANSFER_STARTED", None, progress=True), None, ["full running"]),
        (
            job("FULL_TRANSFER_STARTED", progress="40", progress_map={"struct": {"completed": "100%"}}),
            70,
            ["structure succeeded", "full running", "incremental pending"],
        ),
        (
            job("FULL_TRANSFER_FAILED", progress="40", progress_map={"struct": {"completed": "94%"}}),
            67,
            ["structure failed", "full failed", "incremental pending"],
        ),
        (
            job("INCRE_TRANSFER_STARTED", incre_trans_delay="300"),
            100,
            ["full succeeded", "incremental running"],
        ),
        (
            job("INCRE_TRANSFER_STARTED", incre_trans_delay="3"),
            100,
            ["full succeeded", "incremental caught_up"],
        ),
        (job("INCRE_TRANSFER_STARTED", None), 100, ["full succeeded", "incremental running"]),
        (job("INCRE_TRANSFER_STARTED", "INCR_TRANS"), None, ["incremental running"]),
        (job("INCRE_TRANSFER_FAILED"), 100, ["full succeeded", "incremental failed"]),
        (
            job("PAUSING", progress="100", incre_trans_delay="3"),
            100,
            ["full succeeded", "incremental paused"],
        ),
        (job("PAUSING", progress="40"), 40, ["full paused", "incremental pending"]),
        (
            job("RELEASE_RESOURCE_COMPLETE", progress="100", incre_trans_delay="3"),
            100,
            ["full succeeded", "incremental succeeded"],
        ),
        (job("DELETED", progress="12"), 12, ["full cancelled", "incremental pending"]),
    ],
)
def test_phases_and_percent(ask: Ask, body: Any, percent: Any, phases: list[str]) -> None:
    progress = ask(body)
    assert progress.percent == percent
    assert [f"{phase.name} {phase.state}" for phase in progress.phases] == phases


@pytest.mark.parametrize(
    ("word", "full", "incremental"),
    [
        ("FULL_TRANSFER_STARTED", "FULL_TRANSFER_STARTED", None),
        ("FULL_TRANSFER_FAILED", "FULL_TRANSFER_FAILED", None),
        ("INCRE_TRANSFER_STARTED", None, "INCRE_TRANSFER_STARTED"),
        ("INCRE_TRANSFER_FAILED", None, "INCRE_TRANSFER_FAILED"),
        ("PAUSING", None, None),
    ],
)
def test_phase_has_its_service_status(ask: Ask, word: str, full: Any, incremental: Any) -> None:
    phases = {phase.name: phase.service_status for phase in ask(job(word)).phases}
    assert phases == {"full": full, "incremental": incremental}


@pytest.mark.parametrize(
    ("mode", "delay", "lag"),
    [
        (None, "300", 300),
        (None, "-1", None),
        ("FULL_INCR_TRANS", "300", 300),
        ("FULL_INCR_TRANS", "-1", None),
        ("FULL_TRANS", "300", None),
        ("INCR_TRANS", 7.5, 7.5),
    ],
)
def test_lag_is_the_delay_of_the_increment(ask: Ask, mode: str, delay: Any, lag: Any) -> None:
    assert ask(job("PAUSING", mode, incre_trans_delay=delay)).lag_seconds == lag


def test_job_status_model_has_the_documented_fields(talk: Any, response: Any) -> None:
    answer = response(job("PAUSING", process_time=1686038576882), 202, {"x-request-id": "r-3"})
    status = talk(API.get_job_status(ID), answer).result
    assert (status.job_id, status.transfer_status, status.task_mode) == (ID, "PAUSING", "FULL_INCR_TRANS")
    assert (status.process_time, status.request_id) == ("1686038576882", "r-3")


@pytest.mark.parametrize(
    ("region", "address"),
    [
        (None, "https://console.huaweicloud.com/drs/"),
        ("", "https://console.huaweicloud.com/drs/"),
        ("cn-north-4", "https://console.huaweicloud.com/drs/?region=cn-north-4"),
        ("cn-east-3", "https://console.huaweicloud.com/drs/?region=cn-east-3"),
        (
            "ap-southeast-3",
            "https://console-intl.huaweicloud.com/drs/?region=ap-southeast-3&locale=en-us",
        ),
        ("af-south-1", "https://console-intl.huaweicloud.com/drs/?region=af-south-1&locale=en-us"),
        ("eu-west-101", "https://console.eu.huaweicloud.com/drs/?region=eu-west-101"),
        ("eu-west-0", "https://console-intl.huaweicloud.com/drs/?region=eu-west-0&locale=en-us"),
    ],
)
def test_console_url_is_that_of_the_region(talk: Any, region: str | None, address: str) -> None:
    api = replace(API, region=region)
    assert talk(api.progress(ID, max_lag=60), Server(job("PAUSING"))).result.console_url == address


def test_failed_job_has_its_reason(ask: Ask) -> None:
    error = ask(job("FULL_TRANSFER_FAILED", error_code="DRS.M06007", error_msg="source is gone")).error
    assert error is not None
    assert (error.code, error.message) == ("DRS.M06007", "source is gone")
    assert "console" in str(error.remedy)


def test_failed_job_reason_under_another_name(ask: Ask) -> None:
    error = ask(job("FULL_TRANSFER_FAILED", error_code="DRS.M06007", error_message="source is gone")).error
    assert error is not None
    assert error.message == "source is gone"


def test_failed_job_without_a_reason(ask: Ask) -> None:
    error = ask(job("CREATE_FAILED")).error
    assert error is not None
    assert (error.code, error.message) == ("CREATE_FAILED", "DRS reports CREATE_FAILED and gives no reason.")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"results": []}, MigrationNotFoundError),
        ({"results": None}, MigrationResponseError),
        ({}, MigrationResponseError),
        ({"results": "x"}, MigrationResponseError),
        ({"results": [{"job_id": "another", "transfer_status": "PAUSING"}]}, MigrationResponseError),
        (job(None, error_code="DRS.M05003"), MigrationNotFoundError),
        (job("", error_code="DRS.M00100"), MigrationAuthenticationError),
        (job(None, error_code="DRS.NEW"), MigrationServiceError),
    ],
)
def test_missing_result_is_an_error(
    talk: Any, response: Any, body: Any, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(replace(API).get_job_status(ID), only_v3(response(body, 202)))
    assert type(caught.value) is error


def test_result_is_found_by_its_job_id(talk: Any) -> None:
    other = {"job_id": "another", "transfer_status": "DELETED"}
    body = {"results": [other, *job("PAUSING")["results"]]}
    assert talk(API.get_job_status(ID), body).result.transfer_status == "PAUSING"


def test_result_without_an_id_is_accepted(talk: Any) -> None:
    body = {"results": [{"transfer_status": "PAUSING"}]}
    assert talk(API.get_job_status(ID), body).result.transfer_status == "PAUSING"


# --- what it has passed ---------------------------------------------------------------------------------

BEFORE_FULL = ("CREATING", "CONFIGURATION", "WAITING_FOR_START", "STARTJOBING")
FULL = (*BEFORE_FULL, "FULL_TRANSFER_STARTED", "FULL_TRANSFER_COMPLETE")
RELEASE = ("RELEASE_RESOURCE_STARTED", "RELEASE_RESOURCE_COMPLETE")
ALL = "FULL_DONE IN_SYNC"
"""In the table below: what is reached besides with the bulk done, and with the delay within max_lag."""

REACHED: dict[str, tuple[tuple[str, ...], str]] = {
    "CREATING": (("CREATING",), ""),
    "CONFIGURATION": (("CREATING", "CONFIGURATION"), ""),
    "WAITING_FOR_START": (("CREATING", "CONFIGURATION", "WAITING_FOR_START"), ""),
    "STARTJOBING": (BEFORE_FULL, ""),
    "FULL_TRANSFER_STARTED": ((*BEFORE_FULL, "FULL_TRANSFER_STARTED"), ""),
    "FULL_TRANSFER_COMPLETE": (FULL, ""),
    "INCRE_TRANSFER_STARTED": ((*FULL, "INCRE_TRANSFER_STARTED"), ""),
    "RELEASE_RESOURCE_STARTED": (("RELEASE_RESOURCE_STARTED",), ALL),
    "RELEASE_RESOURCE_COMPLETE": (RELEASE, ALL),
    "CREATE_FAILED": (("CREATE_FAILED",), ""),
    "START_JOB_FAILED": (("CREATING", "CONFIGURATION", "WAITING_FOR_START", "START_JOB_FAILED"), ""),
    "FULL_TRANSFER_FAILED": ((*BEFORE_FULL, "FULL_TRANSFER_FAILED"), ""),
    "INCRE_TRANSFER_FAILED": ((*FULL, "INCRE_TRANSFER_FAILED"), ""),
    **{
        word: ((word,), "FULL_DONE")
        for word in (
            "CHILD_TRANSFER_STARTING",
            "REBUILD_NODE_STARTED",
            "CHANGE_JOB_STARTED",
            "CHILD_TRANSFER_STARTED",
            "CHILD_TRANSFER_COMPLETE",
            "RELEASE_CHILD_TRANSFER_STARTED",
            "RELEASE_CHILD_TRANSFER_COMPLETE",
            "NODE_UPGRADE_START",
            "NODE_UPGRADE_COMPLETE",
            "PAUSING",
            "PAUSEING",
            "RELEASE_RESOURCE_FAILED",
            "REBUILD_NODE_FAILED",
            "CHANGE_JOB_FAILED",
            "CHILD_TRANSFER_FAILED",
            "NODE_UPGRADE_FAILED",
            "DELETED",
        )
    },
}


def test_reached_table_has_every_status() -> None:
    assert sorted(REACHED) == sorted(word for word, _ in STATUSES)


@pytest.mark.parametrize("mode", ["FULL_INCR_TRANS", None])
@pytest.mark.parametrize("delay", ["-1", "0", "18000"])
@pytest.mark.parametrize("progress", ["0", "40", "100"])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_status_is_reached_only_when_passed_or_running(
    ask: Ask, word: str, state: str, progress: str, delay: str, mode: str | None
) -> None:
    record = ask(job(word, mode, progress=progress, incre_trans_delay=delay))
    always, also = REACHED[word]
    words = set(always)
    if "FULL_DONE" in also and progress == "100":
        words.update(FULL)
    if "IN_SYNC" in also and progress == "100" and delay == "0":
        words.add("INCRE_TRANSFER_STARTED")
    assert record.statuses_reached == {item.lower() for item in words}
    is_in_sync = delay == "0" and (
        word == "INCRE_TRANSFER_STARTED" or (RELEASE[1] in words and progress == "100")
    )
    assert record.reached("caught_up") is is_in_sync
    assert record.reached("succeeded") is (is_in_sync and word in RELEASE)
    assert record.reached("full_done") is (
        "FULL_TRANSFER_COMPLETE" in words or word in ("INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_FAILED")
    )
    if state in ("failed", "paused", "cancelled") and not is_in_sync:
        for target in ("INCRE_TRANSFER_STARTED", "running", "caught_up", "succeeded"):
            assert not target_reached(record, target)


@pytest.mark.parametrize(
    ("body", "reached", "not_reached"),
    [
        (
            job("RELEASE_RESOURCE_COMPLETE", "FULL_TRANS", progress="100"),
            ["FULL_TRANSFER_COMPLETE", "succeeded", "caught_up"],
            ["INCRE_TRANSFER_STARTED"],
        ),
        (
            job("RELEASE_RESOURCE_COMPLETE", "INCR_TRANS", incre_trans_delay="2"),
            ["INCRE_TRANSFER_STARTED", "succeeded", "caught_up"],
            [],
        ),
        (job("PAUSING", progress="40"), ["PAUSING", "paused"], ["CREATING", "FULL_TRANSFER_STARTED"]),
        (
            job("PAUSING", "INCR_TRANS", incre_trans_delay="0"),
            ["PAUSING", "paused"],
            ["INCRE_TRANSFER_STARTED", "caught_up", "running"],
        ),
        (
            job("INCRE_TRANSFER_FAILED", incre_trans_delay="0"),
            ["FULL_TRANSFER_COMPLETE", "failed", "full_done"],
            ["INCRE_TRANSFER_STARTED", "caught_up", "running"],
        ),
        (job("ODD"), ["odd"], ["CREATING"]),
        (job("ODD_FAILED", progress="100"), ["failed", "full_done"], ["INCRE_TRANSFER_STARTED"]),
    ],
)
def test_status_is_reached_at_and_past_it(
    ask: Ask, body: Any, reached: list[str], not_reached: list[str]
) -> None:
    progress = ask(body)
    assert [word for word in reached if not target_reached(progress, word)] == []
    assert [word for word in not_reached if target_reached(progress, word)] == []


@pytest.mark.parametrize("percent", [0, 40, 100])
def test_objects_alone_reach_no_status(ask: Ask, percent: int) -> None:
    progress = ask(None, tables(percent), job_status=False)
    assert progress.statuses_reached == frozenset()
    assert progress.reached("full_done") is (percent == 100)
    assert not progress.reached("caught_up")


# --- the objects of a job -------------------------------------------------------------------------------


def list_of(total: int, percent: Any = 100, count: Any = None) -> Callable[[int, int], Any]:
    """Serve pages whose offset is the index of an object."""
    rows = tables(*[percent] * total)["flow_compare_data"]
    return lambda offset, limit: {
        "count": total if count is None else count,
        "create_time": "1686038576882",
        "flow_compare_data": rows[offset : offset + limit],
    }


@pytest.mark.parametrize(
    ("total", "offsets"), [(0, [0]), (1, [0]), (1000, [0]), (1001, [0, 1000]), (2500, [0, 1000, 2000])]
)
def test_list_is_read_to_its_last_page(talk: Any, total: int, offsets: list[int]) -> None:
    server = Server(objects=list_of(total))
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == offsets
    if total:
        assert (progress.objects.total, progress.objects.completed) == (total, total)
    assert progress.reached("full_done") is bool(total)


@pytest.mark.parametrize("count", [None, 0, -1, "many", True, 10**400])
def test_list_without_a_count_ends_with_an_empty_page(talk: Any, count: Any) -> None:
    pages = list_of(1500)
    server = Server(objects=lambda offset, limit: {**pages(offset, limit), "count": count})
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 1000, 1500]
    assert (progress.objects.total, progress.objects.completed) == (1500, 1500)


def test_list_shorter_than_its_count_is_not_done(ask: Ask) -> None:
    progress = ask(None, list_of(5, count=6), job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (6, 5)
    assert not progress.reached("full_done")


def test_list_page_repeated_is_counted_once(talk: Any) -> None:
    server = Server(objects=tables(100, 100, 100, count=9))
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 3]
    assert (progress.objects.total, progress.objects.completed) == (9, 3)
    assert not progress.reached("full_done")


def test_list_with_misread_offsets_is_never_a_success(ask: Ask) -> None:
    rows = tables(*[100] * 2500)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        return {"count": 2500, "flow_compare_data": rows[offset * limit : (offset + 1) * limit]}

    progress = ask(None, page, job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (2500, 1000)
    assert not progress.reached("full_done")


def test_list_without_an_end_is_given_up(talk: Any) -> None:
    def page(offset: int, limit: int) -> Any:
        row = {"src_db": "a", "src_tb": str(offset), "dst_db": "b", "dst_tb": str(offset), "progress": 100}
        return {"count": 10**9, "flow_compare_data": [row]}

    server = Server(objects=page)
    with pytest.raises(MigrationResponseError, match="does not end after 2000 pages"):
        talk(API.progress(ID, job_status=False, max_lag=60), server)
    assert len(server.offsets) == MAX_PAGES


def bytes_held_by_a_poll_of(total: int) -> int:
    poll = API.progress(ID, job_status=False, max_lag=60)
    request = next(poll)
    gc.collect()
    gc.disable()  # or it would clean up at any time, and what is measured with it
    tracemalloc.start()
    record: Any = None
    while record is None:
        (offset,) = parse_qs(urlsplit(request.url).query)["offset"]
        rows = [{"src_db": "db", "src_tb": f"t{int(offset) + row}", "progress": "7"} for row in range(1000)]
        body = json.dumps({"count": total, "flow_compare_data": rows}).encode()
        del rows
        try:
            request = poll.send(request.read(request, Response(200, {}, body)))
        except StopIteration as stop:
            record = stop.value
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gc.enable()
    assert record.objects.total == total
    return most


def test_list_memory_is_bounded() -> None:
    bytes_held_by_a_poll_of(1000)  # what is made once and kept
    assert bytes_held_by_a_poll_of(60_000) < 1.1 * bytes_held_by_a_poll_of(4000)


@pytest.mark.parametrize("shift", [1, 400, 999])
def test_list_object_moving_between_pages_is_counted_once(ask: Ask, shift: int) -> None:
    rows = tables(*[100] * 3000)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        begin = offset - shift * (offset // 1000)
        return {"count": 3000, "flow_compare_data": rows[begin : begin + limit]}

    progress = ask(None, page, job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (3000, 3000 - 2 * shift)
    assert not progress.reached("full_done")


@pytest.mark.parametrize("count", [None, 5000])
def test_list_repeating_its_last_page_ends(talk: Any, count: int | None) -> None:
    rows = tables(*[100] * 2000)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        begin = min(offset, 1000)
        return {"count": count, "flow_compare_data": rows[begin : begin + limit]}

    server = Server(objects=page)
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 1000, 2000]
    assert progress.objects.completed == 2000


def test_list_may_begin_at_an_offset() -> None:
    pages, listing, names = list_of(25), ObjectListing(10, 12), []
    while not listing.at_end:
        page = pages(listing.offset, listing.limit)
        rows = [row["src_tb"] for row in page["flow_compare_data"]]
        names += listing.take(rows, rows, page["count"])
    assert names == [f"t{number}" for number in range(12, 25)]


@pytest.mark.parametrize("create_time", ["1686038576882", 1686038576882, "2020-09-01T18:50:20.200Z", None])
def test_list_time_formats(talk: Any, sample: Any, create_time: Any) -> None:
    body = {**sample("drs_progress_data"), "create_time": create_time}
    page = talk(API.progress_data_page(ID, "table", ObjectListing()), body).result
    assert page.create_time == (None if create_time is None else str(create_time))
    (row,) = page.flow_compare_data
    assert (row.src_db, row.src_tb, row.dst_db, row.dst_tb, row.progress) == ("a", "b", "c", "d", 10)


def test_documented_list_sample_is_a_table_at_ten_percent(ask: Ask, sample: Any) -> None:
    progress = ask(job("FULL_TRANSFER_STARTED", progress="10"), sample("drs_progress_data"))
    assert progress.objects is not None
    assert progress.objects.model_dump() == {
        "total": 1,
        "completed": 0,
        "slowest": ({"source": "a.b", "destination": "c.d", "percent": 10, "error": None},),
        "failed": (),
    }
    assert [phase.name for phase in progress.phases] == ["full", "table", "incremental"]
    assert (progress.phases[1].state, progress.phases[1].done, progress.phases[1].total) == ("running", 0, 1)


@pytest.mark.parametrize("percent", ["100", "100%", " 100 % ", 100, 100.0])
def test_object_percent_may_be_a_string(ask: Ask, percent: Any) -> None:
    assert ask(None, tables(percent), job_status=False).reached("full_done")


@pytest.mark.parametrize("percent", [None, "", "done", 99.99, "99.99%", 100.5, 5151, -1, True, [], {}])
def test_object_below_100_percent_is_not_done(ask: Ask, percent: Any) -> None:
    progress = ask(None, tables(100, percent), job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (2, 1)
    assert progress.percent is not None
    assert progress.percent < 100
    assert not progress.reached("full_done")


@pytest.mark.parametrize("rows", [None, [], {}, "x", 1, [None], ["x"], [[]], [1]])
@pytest.mark.parametrize("count", [None, 0, 5])
def test_list_without_objects_is_unknown(ask: Ask, rows: Any, count: Any) -> None:
    progress = ask(None, {"count": count, "flow_compare_data": rows}, job_status=False)
    assert progress.state in ("unknown", "pending")
    assert not progress.reached("full_done")


def test_object_types_must_all_be_done(ask: Ask, talk: Any) -> None:
    types = ("table", "view")
    flow = API.progress(ID, types, job_status=False, max_lag=60)
    progress = talk(flow, tables(100, 100), NO_LIST).result
    assert not progress.reached("full_done")
    flow = API.progress(ID, types, job_status=False, max_lag=60)
    progress = talk(flow, tables(100, 100), tables(100)).result
    assert progress.reached("full_done")
    assert [phase.name for phase in progress.phases] == ["full", "table", "view"]
    assert progress.objects.total == 3


def test_object_type_named_twice_is_counted_once(talk: Any) -> None:
    flow = API.progress(ID, ("table", "table"), job_status=False, max_lag=60)
    assert talk(flow, tables(100)).result.objects.total == 1


def test_object_types_may_be_a_string(talk: Any) -> None:
    (request,) = talk(API.progress(ID, "view", job_status=False, max_lag=60), tables(100)).requests
    assert "/progress-data/view?" in request.url


def test_object_types_are_all_requestable(talk: Any) -> None:
    talk_ = talk(API.progress(ID, OBJECT_TYPES, job_status=False, max_lag=60), *[tables(1)] * 9)
    assert [urlsplit(request.url).path.rpartition("/")[2] for request in talk_.requests] == list(OBJECT_TYPES)


@pytest.mark.parametrize(
    ("objects", "state", "percent"),
    [(tables(0, 0), "pending", 0), (tables(0, 50), "running", 25), (tables(100), "running", 100)],
)
def test_objects_alone_reach_full_done_at_most(ask: Ask, objects: Any, state: str, percent: float) -> None:
    progress = ask(None, objects, job_status=False)
    assert (progress.state, progress.percent, progress.service_status) == (state, percent, None)
    assert not progress.reached("caught_up")
    assert not progress.reached("succeeded")


def test_objects_of_a_pending_job_are_not_requested(talk: Any) -> None:
    assert len(talk(API.progress(ID, max_lag=60), job("WAITING_FOR_START")).requests) == 1


def test_list_repeating_an_earlier_page_is_never_a_success(talk: Any) -> None:
    rows = tables(*[100] * 3000)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        begin = offset if offset < 3000 else offset - 2000
        return {"count": 5000, "flow_compare_data": rows[begin : begin + limit]}

    server = Server(objects=page)
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 1000, 2000, 3000]
    assert (progress.objects.total, progress.objects.completed) == (5000, 3000)
    assert not progress.reached("full_done")


def test_objects_of_a_complete_copy_are_cached(talk: Any) -> None:
    api = replace(API)
    server = Server(job("FULL_TRANSFER_COMPLETE"), tables(100, 99))
    for completed, offsets in ((1, [0]), (1, [0, 0])):
        progress = talk(api.progress(ID, max_lag=60), server).result
        assert (progress.objects.completed, server.offsets) == (completed, offsets)
    server.objects = tables(100, 100)
    for _ in range(3):
        progress = talk(api.progress(ID, max_lag=60), server).result
        assert (progress.objects.completed, server.offsets) == (2, [0, 0, 0])
    server.status = job("FULL_TRANSFER_STARTED")  # it was reset, and starts again
    server.objects = tables(5, 0)
    progress = talk(api.progress(ID, max_lag=60), server).result
    assert progress.objects.completed == 0
    server.status = job("FULL_TRANSFER_COMPLETE")
    progress = talk(api.progress(ID, max_lag=60), server).result
    assert progress.objects.completed == 0


@pytest.fixture(scope="module")
def sparing(response: Any) -> Callable[[Flow[Any], Server], Any]:
    """Hold a conversation without what it can be spared, and return what it comes to."""

    def hold(flow: Flow[Any], server: Server) -> Any:
        request = next(flow)
        try:
            while True:
                answer = None if request.is_optional else request.read(request, response(server(request)))
                request = flow.send(answer)
        except StopIteration as stop:
            return stop.value

    return hold


def test_objects_may_be_cached_while_copying(talk: Any, sparing: Any) -> None:
    api = replace(API)
    server = Server(job("FULL_TRANSFER_STARTED", progress="40"), tables(100, 20))
    assert sparing(api.progress(ID, max_lag=60), server).objects is None
    listed = talk(api.progress(ID, max_lag=60), server).result
    server.status = job("FULL_TRANSFER_STARTED", progress="60")
    spared = sparing(api.progress(ID, max_lag=60), server)
    assert server.offsets == [0]
    assert (spared.percent, spared.objects) == (60, listed.objects)


@pytest.mark.parametrize("word", ["FULL_TRANSFER_COMPLETE", "PAUSING", "RELEASE_RESOURCE_COMPLETE", "ODD"])
def test_list_that_decides_is_never_optional(talk: Any, sparing: Any, word: str) -> None:
    api = replace(API)
    talk(api.progress(ID, max_lag=60), Server(job("FULL_TRANSFER_STARTED"), tables(100, 100)))
    progress = sparing(api.progress(ID, max_lag=60), Server(job(word), tables(100, 20)))
    assert progress.objects.completed == 1


def test_list_without_job_status_is_never_optional(sparing: Any) -> None:
    progress = sparing(API.progress(ID, job_status=False, max_lag=60), Server(None, tables(100, 20)))
    assert progress.objects.completed == 1


def test_list_once_begun_is_read_to_the_end(talk: Any) -> None:
    rows = tables(*[50] * 1500)["flow_compare_data"]
    server = Server(
        job("FULL_TRANSFER_STARTED"),
        lambda offset, limit: {"count": 1500, "flow_compare_data": rows[offset : offset + limit]},
    )
    requests = talk(replace(API).progress(ID, ("table", "view"), max_lag=60), server).requests
    assert [request.is_optional for request in requests] == [False, True, False, False, False]


def test_objects_cache_is_bounded(talk: Any, sparing: Any) -> None:
    api = replace(API)
    names = [f"job-{number}" for number in range(MAX_LISTED + 1)]

    def poll(hold: Any, name: str) -> Any:
        server = Server(job("FULL_TRANSFER_STARTED", job_id=name), tables(20))
        return hold(api.progress(name, max_lag=60), server)

    for name in names:
        poll(talk, name)
    assert poll(sparing, names[1]).objects is not None
    assert poll(sparing, names[0]).objects is None


@pytest.mark.parametrize("word", ["INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_FAILED"])
def test_objects_of_an_incremental_job_are_not_requested(talk: Any, word: str) -> None:
    server = Server(job(word.lower()), tables(100, 100))
    progress = talk(API.progress(ID, max_lag=60), server).result
    assert server.offsets == []
    assert progress.objects is None
    assert progress.reached("full_done")


@pytest.mark.parametrize(
    "word", ["FULL_TRANSFER_STARTED", "PAUSING", "FULL_TRANSFER_FAILED", "RELEASE_RESOURCE_COMPLETE", "ODD"]
)
def test_objects_of_a_copying_job_are_requested(talk: Any, word: str) -> None:
    server = Server(job(word), tables(100, 7))
    progress = talk(API.progress(ID, max_lag=60), server).result
    assert server.offsets == [0]
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (2, 1)


def test_slowest_twenty_objects_are_shown(ask: Ask) -> None:
    progress = ask(None, tables(*range(99, 0, -1), 100), job_status=False)
    assert progress.objects is not None
    assert [item.percent for item in progress.objects.slowest] == list(range(1, 21))


def test_slowest_objects_are_found_on_every_page(ask: Ask) -> None:
    def page(offset: int, limit: int) -> Any:
        rows = tables(*[50] * 1000, *[7] * 5, *[60] * 995)["flow_compare_data"]
        return {"count": 2000, "flow_compare_data": rows[offset : offset + limit]}

    progress = ask(None, page, job_status=False)
    assert progress.objects is not None
    assert [item.percent for item in progress.objects.slowest] == [7] * 5 + [50] * 15


# --- a list that is refused -----------------------------------------------------------------------------

GONE = ["DRS.M05003", "DRS.M05004", "DRS.M00289", "DRS.10000010"]
FINAL = [
    *[(400, {"error_code": code, "error_msg": "gone"}) for code in GONE],
    (404, {"error_code": "APIGW.0101", "error_msg": "The API does not exist."}),
    (400, {"error_code": "DRS.M00302"}),
    (400, {"error_code": "DRS.M00202"}),
    (400, {"results": [{"error_code": "DRS.M05003", "error_message": "gone"}]}),
    (403, {"error_code": "DRS.M00102"}),
    (404, {"error_code": "DRS.M00101"}),
    (401, {"error_code": "DRS.M00103"}),
    (401, {"error_code": "APIGW.0301"}),
    (401, {"error_code": "APIGW.0307"}),
    (200, {"error_code": "DRS.M05003"}),
    (403, b"<html>no</html>"),
    (404, b""),
    (401, b"no"),
    (405, b"<html>no</html>"),
]
PASSING = [
    (503, {}),
    (500, {"error_code": "DRS.M00004"}),
    (429, {"error_code": "APIGW.0308"}),
    (400, {"error_code": "DRS.M01503"}),
    (200, b"<html>a page</html>"),
    (200, b"{cut off"),
    (200, b"[]"),
    (302, b""),
]
ENDINGS = [
    ("FULL_TRANSFER_STARTED", "FULL_INCR_TRANS", "0", "running"),
    ("FULL_TRANSFER_COMPLETE", "FULL_TRANS", "-1", "succeeded"),
    ("FULL_TRANSFER_FAILED", "FULL_TRANS", "-1", "failed"),
    ("PAUSING", "FULL_TRANS", "-1", "paused"),
    ("RELEASE_RESOURCE_COMPLETE", "FULL_TRANS", "-1", "succeeded"),
    ("RELEASE_RESOURCE_COMPLETE", "FULL_INCR_TRANS", "0", "succeeded"),
    ("RELEASE_RESOURCE_COMPLETE", "FULL_INCR_TRANS", "18000", "cancelled"),
    ("DELETED", "FULL_TRANS", "-1", "cancelled"),
]


class Watched:
    """
    One job as a sensor watches it, with a clock that is set by hand.

    :ivar asked: the object types that were asked for, in order.
    """

    def __init__(self, talk: Any, *object_types: str) -> None:
        self.now = NOW
        self.api = replace(API, clock=lambda: self.now)
        self.types = object_types or ("table",)
        self.talk = talk
        self.asked: list[str] = []

    def poll(self, status: Any, objects: Any = NO_LIST) -> MigrationProgress:
        """Ask once; the objects are one answer for all types, or one by type."""

        def answer(request: Request) -> Any:
            if request.action in ("BatchListProgresses", "ShowJobDetail"):
                return only_v3(status)(request)
            name = urlsplit(request.url).path.rpartition("/")[2]
            self.asked.append(name)
            by_type = isinstance(objects, dict) and name in objects
            return objects[name] if by_type else objects

        progress: MigrationProgress = self.talk(self.api.progress(ID, self.types, max_lag=60), answer).result
        return progress


@pytest.fixture
def watched(talk: Any) -> Watched:
    return Watched(talk)


@pytest.mark.parametrize(("word", "mode", "delay", "state"), ENDINGS)
@pytest.mark.parametrize(("status", "body"), [*FINAL, *PASSING])
def test_refused_list_leaves_the_state(
    watched: Watched, response: Any, status: int, body: Any, word: str, mode: str, delay: str, state: str
) -> None:
    parts = {} if word.startswith("FULL") else {"progress": "100"}
    progress = watched.poll(job(word, mode, incre_trans_delay=delay, **parts), response(body, status))
    assert (progress.state, progress.service_status, progress.objects) == (state, word, None)
    code = body.get("error_code") if isinstance(body, dict) else None
    if code == "DRS.M05004" and word in ("RELEASE_RESOURCE_COMPLETE", "DELETED"):
        assert progress.warnings == ()  # which is as it should be
        return
    (warning,) = progress.warnings
    assert str(warning).startswith(
        "The objects of the job (object_types: table) are not listed: ShowProgress"
    )
    assert (code or f"HTTP {status}") in str(warning)
    assert "pass object_types=()" in str(warning)
    assert "secret" not in str(warning)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "DRS.M00102", "Grant the system-defined policy DRS ReadOnlyAccess"),
        (404, "APIGW.0101", "This region or cloud may not have the call"),
        (400, "DRS.M05003", "the job is gone there"),
        (400, "DRS.M00302", "DRS lists the objects of some links and types only"),
        (401, "APIGW.0301", "The status was read with the same credentials"),
        (500, "DRS.M00004", "The list is retried in 10 minutes"),
    ],
)
def test_refused_list_warning_names_the_remedy(
    watched: Watched, response: Any, status: int, code: str, says: str
) -> None:
    refusal = response({"error_code": code, "error_msg": "no", "request_id": "r-7"}, status)
    (warning,) = watched.poll(job("PAUSING"), refusal).warnings
    assert f"ShowProgressData: HTTP {status}, {code}, request id r-7." in str(warning)
    assert says in str(warning)


@pytest.mark.parametrize(("status", "body"), [*FINAL, *PASSING])
def test_refused_list_is_cached(watched: Watched, response: Any, status: int, body: Any) -> None:
    refusal, copying = response(body, status), job("FULL_TRANSFER_STARTED")
    first = watched.poll(copying, refusal).warnings
    for _ in range(9):
        watched.now += timedelta(minutes=1)
        assert watched.poll(copying, refusal).warnings == first != ()
    assert watched.asked == ["table"]
    watched.now += timedelta(minutes=1)
    progress = watched.poll(copying, tables(40, 60))
    assert (watched.asked, progress.warnings) == (["table"] * 2, ())
    assert progress.objects is not None


def test_refused_list_is_requested_again_on_a_new_status(watched: Watched, response: Any) -> None:
    refusal = response({"error_code": "DRS.M00102"}, 403)
    for word in ("FULL_TRANSFER_STARTED", "PAUSING", "FULL_TRANSFER_STARTED"):
        for _ in range(3):
            assert len(watched.poll(job(word), refusal).warnings) == 1
    assert len(watched.asked) == 3


def test_refused_list_cache_survives_a_clock_set_back(watched: Watched, response: Any) -> None:
    refusal = response({"error_code": "DRS.M00102"}, 403)
    watched.poll(job("PAUSING"), refusal)
    watched.now -= timedelta(days=1)
    watched.poll(job("PAUSING"), refusal)
    assert len(watched.asked) == 2


def test_refused_list_warning_ends_without_object_types(watched: Watched, response: Any) -> None:
    refusal = response({"error_code": "DRS.M00102"}, 403)
    assert watched.poll(job("FULL_TRANSFER_STARTED"), refusal).warnings
    assert watched.poll(job("INCRE_TRANSFER_STARTED"), refusal).warnings == ()


@pytest.mark.parametrize(
    ("status", "body", "asked", "warned"),
    [
        # Of the request: about this type only.
        (400, {"error_code": "DRS.M00302"}, ["table", "view", "event"], "table, view, event"),
        # Of the call: the same for the others.
        (404, {"error_code": "APIGW.0101"}, ["table"], "table, view, event"),
        (403, {"error_code": "DRS.M00102"}, ["table"], "table, view, event"),
        (503, {}, ["table"], "table, view, event"),
    ],
)
def test_refused_lists_share_one_warning(
    talk: Any, response: Any, status: int, body: Any, asked: list[str], warned: str
) -> None:
    watched = Watched(talk, "table", "view", "event")
    for _ in range(3):
        (warning,) = watched.poll(job("PAUSING"), response(body, status)).warnings
        assert f"(object_types: {warned})" in str(warning)
    assert watched.asked == asked


def test_refused_list_leaves_the_other_types(talk: Any, response: Any) -> None:
    watched = Watched(talk, "table", "view")
    refusal = response({"error_code": "DRS.M00302"}, 400)
    for completed in (0, 1):
        lists = {"table": tables(*[100] * completed, 40), "view": refusal}
        progress = watched.poll(job("FULL_TRANSFER_STARTED"), lists)
        assert progress.objects is not None
        assert (progress.objects.completed, len(progress.warnings)) == (completed, 1)
    assert watched.asked == ["table", "view", "table"]


@pytest.mark.parametrize(("status", "body"), PASSING)
def test_unreadable_list_keeps_the_previous_one(
    watched: Watched, response: Any, status: int, body: Any
) -> None:
    listed = watched.poll(job("PAUSING"), tables(100, 20)).objects
    assert listed is not None
    assert watched.poll(job("PAUSING"), response(body, status)).objects == listed


def test_partial_list_keeps_the_previous_one(watched: Watched, response: Any) -> None:
    listed = watched.poll(job("PAUSING"), tables(100, 20)).objects
    pages = [tables(*[100] * 1000, count=1500), response({}, 503)]
    progress = watched.talk(
        watched.api.progress(ID, max_lag=60), response(job("PAUSING"), 202), *pages
    ).result
    assert progress.objects == listed
    assert len(progress.warnings) == 1


def test_endless_list_is_a_warning(watched: Watched) -> None:
    def page(request: Request) -> Any:
        if request.action == "BatchListProgresses":
            return job("PAUSING")
        watched.asked.append("table")
        return tables(len(watched.asked), count=10**9) | {
            "flow_compare_data": [{"src_db": "a", "src_tb": str(len(watched.asked)), "progress": 1}]
        }

    for _ in range(2):
        progress = watched.talk(watched.api.progress(ID, max_lag=60), page).result
        assert progress.state == "paused"
        assert "does not end after 2000 pages" in progress.warnings[0]
    assert len(watched.asked) == MAX_PAGES


@pytest.mark.parametrize("code", ["DRS.M00304", "drs.m00304"])
@pytest.mark.parametrize("word", ["PAUSING", "RELEASE_RESOURCE_COMPLETE"])
def test_absent_list_of_a_status_is_not_a_warning(
    watched: Watched, response: Any, code: str, word: str
) -> None:
    refusal = response({"error_code": code, "error_msg": "no"}, 400)
    watched.poll(job("FULL_TRANSFER_STARTED"), tables(100, 20))
    for _ in range(3):
        progress = watched.poll(job(word, "FULL_TRANS", progress="100"), refusal)
        assert (progress.objects, progress.warnings) == (None, ())
    assert len(watched.asked) == 2


# What the lists would say, what comes of them, and what comes without them: never more.
EVIDENCE = [
    ({}, tables(100, 100), "succeeded", "cancelled"),
    ({}, tables(100, 40), "cancelled", "cancelled"),
    ({"progress": "40"}, tables(100, 100), "cancelled", "cancelled"),
    ({"progress": "100"}, tables(100, 100), "succeeded", "succeeded"),
]


@pytest.mark.parametrize(("changes", "objects", "state", "without"), EVIDENCE)
@pytest.mark.parametrize(("status", "body"), FINAL)
def test_refused_list_is_never_a_success(
    watched: Watched,
    response: Any,
    status: int,
    body: Any,
    changes: Any,
    objects: Any,
    state: str,
    without: str,
) -> None:
    ended = job("RELEASE_RESOURCE_COMPLETE", "FULL_TRANS", **changes)
    assert Watched(watched.talk).poll(ended, objects).state == state
    assert watched.poll(job("PAUSING", "FULL_TRANS"), objects).objects is not None
    assert watched.poll(ended, response(body, status)).state == without


@pytest.mark.parametrize(("status", "body"), [*FINAL, *PASSING])
def test_outdated_list_does_not_override_the_status(
    watched: Watched, response: Any, status: int, body: Any
) -> None:
    assert watched.poll(job("FULL_TRANSFER_STARTED", "FULL_TRANS"), tables(100, 40)).objects is not None
    ended = job("RELEASE_RESOURCE_COMPLETE", "FULL_TRANS", progress="100")
    assert watched.poll(ended, response(body, status)).state == "succeeded"


def test_refused_list_of_views_is_not_replaced_by_tables(talk: Any, response: Any) -> None:
    watched = Watched(talk, "table", "view")
    lists = {"table": tables(100), "view": response({"error_code": "DRS.M00302"}, 400)}
    assert watched.poll(job("RELEASE_RESOURCE_COMPLETE", "FULL_TRANS"), lists).state == "cancelled"


@pytest.mark.parametrize(("status", "body"), [*FINAL, *PASSING])
def test_refused_list_without_job_status_is_an_error(ask: Ask, response: Any, status: int, body: Any) -> None:
    with pytest.raises(MigrationApiError) as caught:
        ask(None, response(body, status), job_status=False)
    assert caught.value.action == "ShowProgressData"


def test_absent_list_without_job_status_is_unknown(ask: Ask, response: Any) -> None:
    progress = ask(None, response({"error_code": "DRS.M00304"}, 400), job_status=False)
    assert (progress.state, progress.objects) == ("unknown", None)


@pytest.mark.parametrize("code", GONE)
def test_unknown_job_status_decides(watched: Watched, response: Any, code: str) -> None:
    watched.poll(job("FULL_TRANSFER_STARTED"), tables(100))
    with pytest.raises(MigrationNotFoundError, match=r"BatchListProgresses .* ShowJobDetail"):
        watched.poll(response({"error_code": code}, 400), tables(100))
    assert watched.asked == ["table"]


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "DRS.M05003", MigrationNotFoundError),
        (400, "DRS.M05004", MigrationNotFoundError),
        (400, "DRS.M00289", MigrationNotFoundError),
        (400, "DRS.10000010", MigrationNotFoundError),
        (404, None, MigrationNotFoundError),
        (404, "APIGW.0101", MigrationNotFoundError),
        (400, "DRS.M00105", MigrationPermissionError),
        (401, "DRS.M00103", MigrationPermissionError),
        (403, "DRS.M00102", MigrationPermissionError),
        (403, "DRS.M00261", MigrationPermissionError),
        (404, "DRS.M00101", MigrationPermissionError),
        (403, "DRS.M00100", MigrationAuthenticationError),
        (401, "APIGW.0301", MigrationAuthenticationError),
        (401, "APIG.0301", MigrationAuthenticationError),
        (401, "APIGW.0307", MigrationAuthenticationError),
        (401, None, MigrationAuthenticationError),
        (403, None, MigrationPermissionError),
        (429, "APIGW.0308", MigrationThrottledError),
        (429, "APIG.0308", MigrationThrottledError),
        (429, None, MigrationThrottledError),
        (400, "DRS.M01503", MigrationThrottledError),
        (202, "DRS.M01504", MigrationServiceError),
        (200, "DRS.M01504", MigrationServiceError),
        (200, "DRS.NEW", MigrationServiceError),
        (422, "DRS.M00002", MigrationServiceError),
        (422, "DRS.M01501", MigrationServiceError),
        (500, "DRS.M00004", MigrationServiceError),
        (422, "DRS.M00004", MigrationServiceError),
        (400, "DRS.10000001", MigrationServiceError),
        (503, None, MigrationServiceError),
        (400, "DRS.M00007", MigrationRequestError),
        (400, "DRS.M00202", MigrationRequestError),
        (400, "DRS.M00304", MigrationRequestError),
        (422, "DRS.M00277", MigrationRequestError),
        (400, "KE0002", MigrationRequestError),
        (400, None, MigrationRequestError),
        (302, None, MigrationResponseError),
    ],
)
def test_refusal_class_follows_code_then_http_status(
    talk: Any, response: Any, status: int, code: Any, error: type[MigrationApiError]
) -> None:
    answer = response({"error_code": code, "error_msg": "no"}, status, {"x-request-id": "r-1"})
    with pytest.raises(MigrationApiError) as caught:
        talk(replace(API).get_job_status(ID), only_v3(answer))
    assert type(caught.value) is error
    assert (caught.value.service, caught.value.action) == ("drs", "BatchListProgresses")
    assert (caught.value.http_status, caught.value.code) == (status, code)
    assert caught.value.request_id == "r-1"


def said(position: str, code: str) -> dict[str, Any]:
    """Make a refusal as one of Huawei's services writes it."""
    forms: dict[str, Any] = {
        "top": {"error_code": code, "error_msg": "no"},
        "top, long": {"error_code": code, "error_message": "no"},
        "top, camel": {"errorCode": code, "errorMsg": "no"},
        "result": {"results": [{"job_id": ID, "error_code": code, "error_msg": "no"}]},
        "result, long": {"results": [{"id": ID, "error_code": code, "error_message": "no"}], "count": 1},
        "second result": {
            "results": [{"job_id": "x"}, {"job_id": ID, "error_code": code, "error_msg": "no"}]
        },
        "both": {"error_code": "", "results": [{"job_id": ID, "error_code": code, "error_msg": "no"}]},
    }
    return forms[position]


POSITIONS = ["top", "top, long", "top, camel", "result", "result, long", "second result", "both"]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("status", [200, 202, 400, 404, 422, 500])
@pytest.mark.parametrize(
    ("code", "error"),
    [
        *[(code, MigrationNotFoundError) for code in GONE],
        ("DRS.M00102", MigrationPermissionError),
        ("DRS.M00100", MigrationAuthenticationError),
        ("APIGW.0301", MigrationAuthenticationError),
        ("DRS.M01503", MigrationThrottledError),
        ("DRS.M00004", MigrationServiceError),
        ("DRS.M00202", MigrationRequestError),
    ],
)
def test_refusal_code_is_found_anywhere(
    talk: Any, response: Any, position: str, status: int, code: str, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(replace(API).get_job_status(ID), only_v3(response(said(position, code), status)))
    assert (type(caught.value), caught.value.code) == (error, code)
    if error is not MigrationAuthenticationError:
        assert f"HTTP {status}, {code}, no" in str(caught.value)
    assert not caught.value.tolerated_after_success  # only beside a Date that differs, which transport tells


@pytest.mark.parametrize("results", [None, [], {}, "x", [None], ["x"], [{}], [{"error_code": None}]])
def test_refusal_without_a_code(talk: Any, response: Any, results: Any) -> None:
    with pytest.raises(MigrationRequestError) as caught:
        talk(API.get_job_status(ID), response({"results": results}, 400))
    assert caught.value.code is None


@pytest.mark.parametrize("code", [None, ""])
def test_empty_error_code_is_not_a_refusal(talk: Any, response: Any, code: Any) -> None:
    body = {**job("PAUSING"), "error_code": code}
    assert talk(API.get_job_status(ID), response(body, 202)).result.transfer_status == "PAUSING"


def test_documented_refusal_is_an_unknown_job(ask: Ask, response: Any, sample: Any) -> None:
    with pytest.raises(MigrationNotFoundError, match=r"DRS\.M05003, Task information not found") as caught:
        ask(None, response(sample("drs_error_not_found"), 400), job_status=False)
    assert caught.value.action == "ShowProgressData"


# --- applied until ----------------------------------------------------------------------------------------

DATE = {"date": "Fri, 02 Jan 2026 03:00:00 GMT"}


@pytest.mark.parametrize(
    ("word", "delay", "headers", "changes", "seconds"),
    [
        ("INCRE_TRANSFER_STARTED", "0", DATE, {}, 0),
        ("INCRE_TRANSFER_STARTED", "90", DATE, {}, 90),
        ("INCRE_TRANSFER_STARTED", "1", DATE, {"incre_trans_delay_millis": "2500"}, 2.5),
        ("INCRE_TRANSFER_STARTED", "-1", DATE, {}, None),
        ("INCRE_TRANSFER_STARTED", "soon", DATE, {}, None),
        ("INCRE_TRANSFER_STARTED", "1e300", DATE, {}, None),
        ("INCRE_TRANSFER_STARTED", "0", {}, {}, None),
        ("INCRE_TRANSFER_STARTED", "0", {**DATE, "age": "600"}, {}, None),
        ("INCRE_TRANSFER_STARTED", "0", DATE, {"error_code": "DRS.M01"}, None),
        ("INCRE_TRANSFER_FAILED", "0", DATE, {}, None),
        ("PAUSING", "0", DATE, {}, None),
        ("RELEASE_RESOURCE_COMPLETE", "0", DATE, {"progress": "100"}, None),
        ("FULL_TRANSFER_COMPLETE", "0", DATE, {}, None),
    ],
)
def test_applied_until_is_the_time_of_the_answer_less_the_delay(
    ask: Ask, word: str, delay: str, headers: dict[str, str], changes: dict[str, str], seconds: float | None
) -> None:
    """The delay of a job that is paused or has ended stays as it was, while the time goes on."""
    progress = ask(to_response(job(word, incre_trans_delay=delay, **changes), headers=headers))
    date = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
    assert progress.applied_until == (None if seconds is None else date - timedelta(seconds=seconds))
    assert progress.checkpoint is None


# --- speed and time left ----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["FULL_TRANSFER_STARTED", "INCRE_TRANSFER_STARTED", "PAUSING"])
@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"apply_rows_rate": 52, "apply_bytes_rate": 26624}, (52, None)),
        ({"apply_rows_rate": "52"}, (52, None)),
        ({"apply_rows_rate": -1, "apply_bytes_rate": -1}, None),
        ({"apply_rows_rate": "many"}, None),
        ({}, None),
    ],
)
def test_throughput_is_that_of_a_running_increment(ask: Ask, word: str, rates: Any, expected: Any) -> None:
    throughput = ask(job(word, incre_trans_delay="3", **rates)).throughput
    if word != "INCRE_TRANSFER_STARTED":
        expected = None
    assert (throughput and tuple(throughput.model_dump().values())) == expected


@pytest.mark.parametrize(
    ("word", "remaining", "seconds"),
    [
        ("FULL_TRANSFER_STARTED", "600", 600),
        ("FULL_TRANSFER_STARTED", 0.5, 0.5),
        ("FULL_TRANSFER_STARTED", "0", None),
        ("FULL_TRANSFER_STARTED", "-1", None),
        ("FULL_TRANSFER_STARTED", "nan", None),
        ("FULL_TRANSFER_STARTED", "1e300", None),
        ("FULL_TRANSFER_STARTED", "soon", None),
        ("FULL_TRANSFER_STARTED", None, None),
        ("INCRE_TRANSFER_STARTED", "10", None),  # as in the vendor's sample
        ("FULL_TRANSFER_COMPLETE", "10", None),
        ("PAUSING", "10", None),
    ],
)
def test_time_left_is_the_service_s_during_the_copy(
    ask: Ask, word: str, remaining: Any, seconds: float | None
) -> None:
    progress = ask(job(word, remaining_time=remaining))
    assert (progress.remaining_seconds, progress.remaining_source) == (
        (None, None) if seconds is None else (seconds, "service")
    )
