"""Huawei Cloud DRS: what its answers mean."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.conversation import Conversation, Request, Response
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
from airflow_provider_migration.services.drs import (
    MAX_LISTED,
    MAX_PAGES,
    OBJECT_TYPES,
    DrsApi,
    ObjectListing,
    endpoint_of,
)
from airflow_provider_migration.services.huawei import iam_endpoint_of
from airflow_provider_migration.verdict import target_reached

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


def test_the_requests_are_those_that_the_official_sdk_sends(talk: Any, vectors: Any) -> None:
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


def test_the_language_is_sent_when_it_is_given(talk: Any) -> None:
    conversation = API.progress_data_page(ID, "table_indexs", ObjectListing(10, 30), language="ZH-CN")
    (request,) = talk(conversation, NO_LIST).requests
    assert request.headers["x-language"] == "zh-cn"
    assert request.url.endswith(f"/jobs/{ID}/progress-data/table_indexs?limit=10&offset=30")


def test_an_id_cannot_lead_to_another_path(talk: Any) -> None:
    (request,) = talk(API.progress_data_page("../x?y", "table", ObjectListing()), NO_LIST).requests
    assert f"/v5/{PROJECT}/jobs/..%2Fx%3Fy/progress-data/table?" in request.url


@pytest.mark.parametrize("limit", [0, -1, 1001, 2.5, "10", True, None])
def test_a_limit_out_of_range_is_named(limit: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"limit must be 1 to 1000, not "):
        ObjectListing(limit)


@pytest.mark.parametrize("offset", [-1, 2.5, "0", True, None])
def test_an_offset_out_of_range_is_named(offset: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"offset must be 0 or more, not "):
        ObjectListing(10, offset)


@pytest.mark.parametrize("object_type", ["tables", "", "TABLE", None, 1, "table_indexes", "../table"])
def test_an_object_type_that_drs_does_not_know_is_named_before_anything_is_asked(
    talk: Any, object_type: Any
) -> None:
    for conversation in (
        API.progress_data_page(ID, object_type, ObjectListing()),
        API.progress(ID, (object_type,), max_lag=60),
    ):
        with pytest.raises(MigrationConfigurationError, match=r"not known to DRS.*table_indexs"):
            talk(conversation)


@pytest.mark.parametrize("language", ["", "en", "de-de"])
def test_a_language_that_drs_does_not_know_is_named_before_anything_is_asked(
    talk: Any, language: str
) -> None:
    with pytest.raises(MigrationConfigurationError, match="language must be en-us or zh-cn"):
        talk(API.progress_data_page(ID, "table", ObjectListing(), language=language))


@pytest.mark.parametrize("job_id", ["", None, "x\ny"])
def test_what_is_no_id_is_refused_before_anything_is_asked(talk: Any, job_id: Any) -> None:
    for options in ({}, {"job_status": False}):
        with pytest.raises(MigrationConfigurationError, match="job_id"):
            talk(API.progress(job_id, max_lag=60, **options))


def test_there_must_be_something_to_ask(talk: Any) -> None:
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
def test_each_region_has_its_hosts(region: str, host: str, iam_host: str) -> None:
    assert (endpoint_of(region), iam_endpoint_of(region)) == (host, iam_host)


def test_without_a_region_iam_has_a_global_host() -> None:
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
NOT_STATUSES = ["CREATE", "ENDED", "SUCCESS", "PRECHECK FAILED", "", None, 1, 0.5, True, [], ["PAUSING"], {}]


@pytest.mark.parametrize("spell", [str, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_a_documented_word_means_its_state_however_it_is_spelt(
    ask: Ask, word: str, state: str, spell: Callable[[str], str]
) -> None:
    progress = ask(job(spell(word)))
    assert (progress.state, progress.service_status) == (state, spell(word).strip())


@pytest.mark.parametrize("word", NOT_STATUSES)
def test_anything_else_is_unknown_and_no_error(ask: Ask, word: Any) -> None:
    assert ask(job(word, error_code=None)).state == "unknown"


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
def test_a_complete_full_transfer_is_a_success_where_nothing_follows(ask: Ask, mode: Any, state: str) -> None:
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
    ],
)
def test_an_increment_is_caught_up_when_its_delay_is_known_and_small(
    ask: Ask, changes: Any, is_caught_up: bool
) -> None:
    progress = ask(job("INCRE_TRANSFER_STARTED", **changes))
    assert progress.state == ("caught_up" if is_caught_up else "running")
    assert progress.reached("full_done")


@pytest.mark.parametrize("word", [word for word, _ in STATUSES if word != "INCRE_TRANSFER_STARTED"])
def test_only_a_running_increment_is_ever_caught_up(ask: Ask, word: str) -> None:
    assert ask(job(word, incre_trans_delay="0")).state != "caught_up"


def test_a_failure_that_drs_has_added_since_is_a_failure(ask: Ask) -> None:
    assert ask(job("SOMETHING_NEW_FAILED")).state == "failed"
    assert ask(job("SOMETHING_NEW")).state == "unknown"


PARTS_DONE = {name: {"completed": "100%"} for name in ("struct", "data", "index")}


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
        ({"incre_trans_delay": "3"}, NO_LIST, "cancelled"),
        ({"incre_trans_delay": "3", "task_mode": "INCR_TRANS"}, NO_LIST, "succeeded"),
        ({"incre_trans_delay": "-1", "task_mode": "INCR_TRANS"}, NO_LIST, "cancelled"),
        ({"incre_trans_delay": "3", "progress": "40"}, NO_LIST, "cancelled"),
        ({"incre_trans_delay": "3", "task_mode": "FULL_TRANS"}, NO_LIST, "cancelled"),
    ],
)
def test_a_released_job_has_succeeded_only_when_its_bulk_is_known_to_be_done(
    ask: Ask, changes: Any, objects: Any, state: str
) -> None:
    progress = ask(job("RELEASE_RESOURCE_COMPLETE", **changes), objects)
    assert progress.state == state
    assert progress.reached("full_done") is (state == "succeeded")


@pytest.mark.parametrize("code", ["DRS.M00304", "DRS.M05004", "drs.m05004"])
def test_a_job_that_no_longer_has_a_list_still_has_its_status(ask: Ask, response: Any, code: str) -> None:
    refusal = response({"error_code": code, "error_msg": "no"}, 400)
    progress = ask(job("RELEASE_RESOURCE_COMPLETE", progress="100"), refusal)
    assert (progress.state, progress.objects) == ("succeeded", None)


@pytest.mark.parametrize(
    ("code", "job_status"),
    [("DRS.M05003", True), ("DRS.M05003", False), ("DRS.M05004", False), ("DRS.M00202", True)],
)
def test_any_other_refusal_of_the_list_is_an_error(
    ask: Ask, response: Any, code: str, job_status: bool
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        ask(job("PAUSING"), response({"error_code": code}, 400), job_status=job_status)
    assert caught.value.code == code


# --- phases, percent, lag -------------------------------------------------------------------------------


def test_the_documented_sample_is_a_complete_transfer_in_spite_of_its_progress(ask: Ask) -> None:
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
def test_phases_and_percent_follow_status_mode_and_progress(
    ask: Ask, body: Any, percent: Any, phases: list[str]
) -> None:
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
def test_a_phase_shows_the_word_that_is_about_it(ask: Ask, word: str, full: Any, incremental: Any) -> None:
    phases = {phase.name: phase.service_status for phase in ask(job(word)).phases}
    assert phases == {"full": full, "incremental": incremental}


@pytest.mark.parametrize(
    ("mode", "delay", "lag"),
    [
        ("FULL_INCR_TRANS", "300", 300),
        ("FULL_INCR_TRANS", "-1", None),
        ("FULL_TRANS", "300", None),
        ("INCR_TRANS", 7.5, 7.5),
    ],
)
def test_lag_is_the_delay_of_an_increment(ask: Ask, mode: str, delay: Any, lag: Any) -> None:
    assert ask(job("PAUSING", mode, incre_trans_delay=delay)).lag_seconds == lag


def test_the_typed_status_holds_what_is_documented(talk: Any, response: Any) -> None:
    answer = response(job("PAUSING", process_time=1686038576882), 202, {"x-request-id": "r-3"})
    status = talk(API.get_job_status(ID), answer).result
    assert (status.job_id, status.transfer_status, status.task_mode) == (ID, "PAUSING", "FULL_INCR_TRANS")
    assert (status.process_time, status.request_id) == ("1686038576882", "r-3")


def test_the_console_is_that_of_the_region(ask: Ask, talk: Any) -> None:
    assert ask(job("PAUSING")).console_url == "https://console.huaweicloud.com/drs/?region=cn-north-4"
    api = DrsApi(endpoint="http://x", project_id="p", signer=HuaweiSigner("AK", "SK"))
    progress = talk(api.progress(ID, max_lag=60), Server(job("PAUSING"))).result
    assert progress.console_url == "https://console.huaweicloud.com/drs/"


def test_a_failed_job_tells_its_reason(ask: Ask) -> None:
    error = ask(job("FULL_TRANSFER_FAILED", error_code="DRS.M06007", error_msg="source is gone")).error
    assert error is not None
    assert (error.code, error.message) == ("DRS.M06007", "source is gone")
    assert "console" in str(error.remedy)


def test_a_failed_job_without_a_reason_says_so(ask: Ask) -> None:
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
def test_a_status_that_does_not_come_is_an_error(
    talk: Any, response: Any, body: Any, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(API.get_job_status(ID), response(body, 202))
    assert type(caught.value) is error


def test_the_result_of_this_job_is_found_among_others(talk: Any) -> None:
    other = {"job_id": "another", "transfer_status": "DELETED"}
    body = {"results": [other, *job("PAUSING")["results"]]}
    assert talk(API.get_job_status(ID), body).result.transfer_status == "PAUSING"


def test_a_result_without_an_id_is_taken_for_this_job(talk: Any) -> None:
    body = {"results": [{"transfer_status": "PAUSING"}]}
    assert talk(API.get_job_status(ID), body).result.transfer_status == "PAUSING"


# --- what it has passed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reached", "not_reached"),
    [
        (job("CREATING"), ["CREATING"], ["CONFIGURATION", "FULL_TRANSFER_STARTED"]),
        (job("FULL_TRANSFER_STARTED"), ["CREATING", "STARTJOBING"], ["FULL_TRANSFER_COMPLETE"]),
        (
            job("INCRE_TRANSFER_STARTED"),
            ["FULL_TRANSFER_STARTED", "FULL_TRANSFER_COMPLETE", "INCRE_TRANSFER_STARTED"],
            ["RELEASE_RESOURCE_STARTED", "caught_up"],
        ),
        (
            job("RELEASE_RESOURCE_STARTED", progress="100", incre_trans_delay="2"),
            ["FULL_TRANSFER_COMPLETE", "INCRE_TRANSFER_STARTED", "RELEASE_RESOURCE_STARTED"],
            ["RELEASE_RESOURCE_COMPLETE"],
        ),
        (
            job("RELEASE_RESOURCE_COMPLETE"),
            ["RELEASE_RESOURCE_STARTED", "RELEASE_RESOURCE_COMPLETE"],
            ["CREATING", "FULL_TRANSFER_COMPLETE", "INCRE_TRANSFER_STARTED", "succeeded"],
        ),
        (
            job("RELEASE_RESOURCE_COMPLETE", "FULL_TRANS", progress="100"),
            ["FULL_TRANSFER_COMPLETE", "succeeded", "caught_up"],
            ["INCRE_TRANSFER_STARTED"],
        ),
        (job("PAUSING", progress="40"), ["PAUSING", "paused"], ["CREATING", "FULL_TRANSFER_STARTED"]),
        (job("PAUSEING"), ["PAUSEING"], []),
        (job("INCRE_TRANSFER_FAILED"), ["FULL_TRANSFER_COMPLETE", "failed"], ["INCRE_TRANSFER_STARTED"]),
        (job("DELETED"), ["DELETED"], ["RELEASE_RESOURCE_COMPLETE", "CREATING"]),
        (job("ODD"), ["odd"], ["CREATING"]),
    ],
)
def test_a_word_is_reached_at_it_and_past_it(
    ask: Ask, body: Any, reached: list[str], not_reached: list[str]
) -> None:
    progress = ask(body)
    assert [word for word in reached if not target_reached(progress, word)] == []
    assert [word for word in not_reached if target_reached(progress, word)] == []


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
def test_a_list_is_read_page_by_page_to_its_end(talk: Any, total: int, offsets: list[int]) -> None:
    server = Server(objects=list_of(total))
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == offsets
    if total:
        assert (progress.objects.total, progress.objects.completed) == (total, total)
    assert progress.reached("full_done") is bool(total)


@pytest.mark.parametrize("count", [None, 0, -1, "many", True, 10**400])
def test_without_a_count_a_list_ends_with_a_page_that_brings_nothing_new(talk: Any, count: Any) -> None:
    pages = list_of(1500)
    server = Server(objects=lambda offset, limit: {**pages(offset, limit), "count": count})
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 1000, 1500]
    assert (progress.objects.total, progress.objects.completed) == (1500, 1500)


def test_a_list_that_counts_more_than_it_shows_is_not_done(ask: Ask) -> None:
    progress = ask(None, list_of(5, count=6), job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (6, 5)
    assert not progress.reached("full_done")


def test_a_server_that_repeats_its_page_is_read_twice_and_counted_once(talk: Any) -> None:
    server = Server(objects=tables(100, 100, 100, count=9))
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 3]
    assert (progress.objects.total, progress.objects.completed) == (9, 3)
    assert not progress.reached("full_done")


def test_a_server_that_takes_the_offset_for_a_page_number_never_makes_a_success(ask: Ask) -> None:
    rows = tables(*[100] * 2500)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        return {"count": 2500, "flow_compare_data": rows[offset * limit : (offset + 1) * limit]}

    progress = ask(None, page, job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (2500, 1000)
    assert not progress.reached("full_done")


def test_an_endless_list_is_given_up(talk: Any) -> None:
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


def test_a_poll_keeps_no_more_of_a_long_list_than_of_a_short_one() -> None:
    bytes_held_by_a_poll_of(1000)  # what is made once and kept
    assert bytes_held_by_a_poll_of(60_000) < 1.1 * bytes_held_by_a_poll_of(4000)


@pytest.mark.parametrize("shift", [1, 400, 999])
def test_an_object_that_moves_to_the_next_page_meanwhile_is_counted_once(ask: Ask, shift: int) -> None:
    rows = tables(*[100] * 3000)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        begin = offset - shift * (offset // 1000)
        return {"count": 3000, "flow_compare_data": rows[begin : begin + limit]}

    progress = ask(None, page, job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (3000, 3000 - 2 * shift)
    assert not progress.reached("full_done")


@pytest.mark.parametrize("count", [None, 5000])
def test_a_server_that_repeats_its_last_page_is_done_with(talk: Any, count: int | None) -> None:
    rows = tables(*[100] * 2000)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        begin = min(offset, 1000)
        return {"count": count, "flow_compare_data": rows[begin : begin + limit]}

    server = Server(objects=page)
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 1000, 2000]
    assert progress.objects.completed == 2000


def test_a_list_can_begin_further_on() -> None:
    pages, listing, names = list_of(25), ObjectListing(10, 12), []
    while not listing.at_end:
        page = pages(listing.offset, listing.limit)
        rows = [row["src_tb"] for row in page["flow_compare_data"]]
        names += listing.take(rows, rows, page["count"])
    assert names == [f"t{number}" for number in range(12, 25)]


@pytest.mark.parametrize("create_time", ["1686038576882", 1686038576882, "2020-09-01T18:50:20.200Z", None])
def test_the_time_of_a_list_comes_in_more_than_one_form(talk: Any, sample: Any, create_time: Any) -> None:
    body = {**sample("drs_progress_data"), "create_time": create_time}
    page = talk(API.progress_data_page(ID, "table", ObjectListing()), body).result
    assert page.create_time == (None if create_time is None else str(create_time))
    (row,) = page.flow_compare_data
    assert (row.src_db, row.src_tb, row.dst_db, row.dst_tb, row.progress) == ("a", "b", "c", "d", 10)


def test_the_documented_sample_is_a_table_at_ten_percent(ask: Ask, sample: Any) -> None:
    progress = ask(job("FULL_TRANSFER_STARTED", progress="10"), sample("drs_progress_data"))
    assert progress.objects is not None
    assert progress.objects.model_dump() == {
        "total": 1,
        "completed": 0,
        "slowest": ({"source": "a.b", "destination": "c.d", "percent": 10},),
    }
    assert [phase.name for phase in progress.phases] == ["full", "table", "incremental"]
    assert (progress.phases[1].state, progress.phases[1].done, progress.phases[1].total) == ("running", 0, 1)


@pytest.mark.parametrize("percent", ["100", "100%", " 100 % ", 100, 100.0])
def test_a_percentage_may_be_text(ask: Ask, percent: Any) -> None:
    assert ask(None, tables(percent), job_status=False).reached("full_done")


@pytest.mark.parametrize("percent", [None, "", "done", 99.99, "99.99%", 100.5, 5151, -1, True, [], {}])
def test_an_object_without_a_hundred_percent_is_not_done(ask: Ask, percent: Any) -> None:
    progress = ask(None, tables(100, percent), job_status=False)
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (2, 1)
    assert progress.percent is not None
    assert progress.percent < 100
    assert not progress.reached("full_done")


@pytest.mark.parametrize("rows", [None, [], {}, "x", 1, [None], ["x"], [[]], [1]])
@pytest.mark.parametrize("count", [None, 0, 5])
def test_a_list_without_objects_says_nothing(ask: Ask, rows: Any, count: Any) -> None:
    progress = ask(None, {"count": count, "flow_compare_data": rows}, job_status=False)
    assert progress.state in ("unknown", "pending")
    assert not progress.reached("full_done")


def test_every_object_type_that_was_asked_for_must_be_done(ask: Ask, talk: Any) -> None:
    types = ("table", "view")
    conversation = API.progress(ID, types, job_status=False, max_lag=60)
    progress = talk(conversation, tables(100, 100), NO_LIST).result
    assert not progress.reached("full_done")
    conversation = API.progress(ID, types, job_status=False, max_lag=60)
    progress = talk(conversation, tables(100, 100), tables(100)).result
    assert progress.reached("full_done")
    assert [phase.name for phase in progress.phases] == ["full", "table", "view"]
    assert progress.objects.total == 3


def test_an_object_type_named_twice_is_counted_once(talk: Any) -> None:
    conversation = API.progress(ID, ("table", "table"), job_status=False, max_lag=60)
    assert talk(conversation, tables(100)).result.objects.total == 1


def test_one_object_type_may_be_given_as_text(talk: Any) -> None:
    (request,) = talk(API.progress(ID, "view", job_status=False, max_lag=60), tables(100)).requests
    assert "/progress-data/view?" in request.url


def test_every_object_type_can_be_asked_for(talk: Any) -> None:
    talk_ = talk(API.progress(ID, OBJECT_TYPES, job_status=False, max_lag=60), *[tables(1)] * 9)
    assert [urlsplit(request.url).path.rpartition("/")[2] for request in talk_.requests] == list(OBJECT_TYPES)


@pytest.mark.parametrize(
    ("objects", "state", "percent"),
    [(tables(0, 0), "pending", 0), (tables(0, 50), "running", 25), (tables(100), "running", 100)],
)
def test_objects_alone_never_tell_more_than_that_existing_data_is_copied(
    ask: Ask, objects: Any, state: str, percent: float
) -> None:
    progress = ask(None, objects, job_status=False)
    assert (progress.state, progress.percent, progress.service_status) == (state, percent, None)
    assert not progress.reached("caught_up")
    assert not progress.reached("succeeded")


def test_a_job_that_has_not_begun_is_not_asked_for_its_objects(talk: Any) -> None:
    assert len(talk(API.progress(ID, max_lag=60), job("WAITING_FOR_START")).requests) == 1


def test_a_server_that_repeats_an_earlier_page_never_makes_a_success(talk: Any) -> None:
    rows = tables(*[100] * 3000)["flow_compare_data"]

    def page(offset: int, limit: int) -> Any:
        begin = offset if offset < 3000 else offset - 2000
        return {"count": 5000, "flow_compare_data": rows[begin : begin + limit]}

    server = Server(objects=page)
    progress = talk(API.progress(ID, job_status=False, max_lag=60), server).result
    assert server.offsets == [0, 1000, 2000, 3000]
    assert (progress.objects.total, progress.objects.completed) == (5000, 3000)
    assert not progress.reached("full_done")


def test_objects_that_were_all_copied_when_the_job_said_so_are_not_asked_for_again(talk: Any) -> None:
    api = replace(API)
    server = Server(job("FULL_TRANSFER_COMPLETE"), tables(100, 99))
    for completed, offsets in ((1, [0]), (1, [0, 0])):
        progress = talk(api.progress(ID, max_lag=60), server).result
        assert (progress.objects.completed, server.offsets) == (completed, offsets)
    server.objects = tables(100, 100)
    for _ in range(3):
        progress = talk(api.progress(ID, max_lag=60), server).result
        assert (progress.objects.completed, server.offsets) == (2, [0, 0, 0])
    server.status = job("FULL_TRANSFER_STARTED")  # it was reset, and begins anew
    server.objects = tables(5, 0)
    progress = talk(api.progress(ID, max_lag=60), server).result
    assert progress.objects.completed == 0
    server.status = job("FULL_TRANSFER_COMPLETE")
    progress = talk(api.progress(ID, max_lag=60), server).result
    assert progress.objects.completed == 0


@pytest.fixture(scope="module")
def sparing(response: Any) -> Callable[[Conversation[Any], Server], Any]:
    """Hold a conversation without what it can be spared, and return what it comes to."""

    def hold(conversation: Conversation[Any], server: Server) -> Any:
        request = next(conversation)
        try:
            while True:
                answer = None if request.can_be_spared else request.read(request, response(server(request)))
                request = conversation.send(answer)
        except StopIteration as stop:
            return stop.value

    return hold


def test_while_a_job_copies_its_objects_may_be_those_of_the_time_before(talk: Any, sparing: Any) -> None:
    api = replace(API)
    server = Server(job("FULL_TRANSFER_STARTED", progress="40"), tables(100, 20))
    assert sparing(api.progress(ID, max_lag=60), server).objects is None
    listed = talk(api.progress(ID, max_lag=60), server).result
    server.status = job("FULL_TRANSFER_STARTED", progress="60")
    spared = sparing(api.progress(ID, max_lag=60), server)
    assert server.offsets == [0]
    assert (spared.percent, spared.objects) == (60, listed.objects)


def test_a_list_that_could_not_be_read_leaves_that_of_the_time_before(
    talk: Any, sparing: Any, response: Any
) -> None:
    api = replace(API)
    server = Server(job("FULL_TRANSFER_STARTED"), tables(100, 20))
    listed = talk(api.progress(ID, max_lag=60), server).result
    with pytest.raises(MigrationServiceError):
        talk(api.progress(ID, max_lag=60), server.status, response({}, 503))
    assert sparing(api.progress(ID, max_lag=60), server).objects == listed.objects


@pytest.mark.parametrize("word", ["FULL_TRANSFER_COMPLETE", "PAUSING", "RELEASE_RESOURCE_COMPLETE", "ODD"])
def test_a_list_that_the_verdict_may_hang_on_is_never_spared(talk: Any, sparing: Any, word: str) -> None:
    api = replace(API)
    talk(api.progress(ID, max_lag=60), Server(job("FULL_TRANSFER_STARTED"), tables(100, 100)))
    progress = sparing(api.progress(ID, max_lag=60), Server(job(word), tables(100, 20)))
    assert progress.objects.completed == 1


def test_a_list_without_the_job_is_never_spared(sparing: Any) -> None:
    progress = sparing(API.progress(ID, job_status=False, max_lag=60), Server(None, tables(100, 20)))
    assert progress.objects.completed == 1


def test_a_list_that_is_begun_is_read_to_the_end(talk: Any) -> None:
    rows = tables(*[50] * 1500)["flow_compare_data"]
    server = Server(
        job("FULL_TRANSFER_STARTED"),
        lambda offset, limit: {"count": 1500, "flow_compare_data": rows[offset : offset + limit]},
    )
    requests = talk(replace(API).progress(ID, ("table", "view"), max_lag=60), server).requests
    assert [request.can_be_spared for request in requests] == [False, True, False, False, False]


def test_the_objects_of_so_many_jobs_are_kept_and_no_more(talk: Any, sparing: Any) -> None:
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
def test_a_job_in_its_incremental_phase_is_not_asked_for_its_objects(talk: Any, word: str) -> None:
    server = Server(job(word.lower()), tables(100, 100))
    progress = talk(API.progress(ID, max_lag=60), server).result
    assert server.offsets == []
    assert progress.objects is None
    assert progress.reached("full_done")


@pytest.mark.parametrize(
    "word", ["FULL_TRANSFER_STARTED", "PAUSING", "FULL_TRANSFER_FAILED", "RELEASE_RESOURCE_COMPLETE", "ODD"]
)
def test_a_job_whose_existing_data_may_move_is_asked_for_its_objects(talk: Any, word: str) -> None:
    server = Server(job(word), tables(100, 7))
    progress = talk(API.progress(ID, max_lag=60), server).result
    assert server.offsets == [0]
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (2, 1)


def test_the_slowest_twenty_are_shown_the_slowest_first(ask: Ask) -> None:
    progress = ask(None, tables(*range(99, 0, -1), 100), job_status=False)
    assert progress.objects is not None
    assert [item.percent for item in progress.objects.slowest] == list(range(1, 21))


def test_the_slowest_are_found_on_every_page(ask: Ask) -> None:
    def page(offset: int, limit: int) -> Any:
        rows = tables(*[50] * 1000, *[7] * 5, *[60] * 995)["flow_compare_data"]
        return {"count": 2000, "flow_compare_data": rows[offset : offset + limit]}

    progress = ask(None, page, job_status=False)
    assert progress.objects is not None
    assert [item.percent for item in progress.objects.slowest] == [7] * 5 + [50] * 15


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
def test_a_refusal_has_the_class_of_its_code_else_of_its_http_status(
    talk: Any, response: Any, status: int, code: Any, error: type[MigrationApiError]
) -> None:
    answer = response({"error_code": code, "error_msg": "no"}, status, {"x-request-id": "r-1"})
    with pytest.raises(MigrationApiError) as caught:
        talk(API.get_job_status(ID), answer)
    assert type(caught.value) is error
    assert (caught.value.service, caught.value.action) == ("drs", "BatchListProgresses")
    assert (caught.value.http_status, caught.value.code) == (status, code)
    assert caught.value.request_id == "r-1"


@pytest.mark.parametrize("code", [None, ""])
def test_an_empty_error_code_is_no_refusal(talk: Any, response: Any, code: Any) -> None:
    body = {**job("PAUSING"), "error_code": code}
    assert talk(API.get_job_status(ID), response(body, 202)).result.transfer_status == "PAUSING"


def test_the_documented_refusal_is_an_unknown_job(ask: Ask, response: Any, sample: Any) -> None:
    with pytest.raises(MigrationNotFoundError, match=r"DRS\.M05003, Task information not found") as caught:
        ask(None, response(sample("drs_error_not_found"), 400), job_status=False)
    assert caught.value.action == "ShowProgressData"
