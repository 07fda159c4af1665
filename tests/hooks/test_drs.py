"""The hook for DRS over real sockets: whom it gives a login to, what it refuses, what a refusal comes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_migration.clock import SYSTEM_CLOCK
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationResponseError,
)
from airflow_provider_migration.hooks.drs import DrsHook
from tests.servers import Asked, Reply, Server, http
from tests.simulators import BriefSimulator

Connect = Callable[..., str]

KEY = {"login": "some-key-id", "password": "some-key-secret"}
PROBE = "00000000-0000-0000-0000-000000jb000"

# --- whom a login is given to ---------------------------------------------------------------------------

AK = {"region": "cn-north-4"}
PASSWORD = {"auth_type": "password", "domain_name": "account", "region": "cn-north-4"}
AGENCY = {"auth_type": "agency", "agency_name": "a", "domain_name": "b", "region": "cn-north-4"}
TOKEN = {"auth_type": "token", "region": "cn-north-4"}
WANTS_IAM = [AK, PASSWORD, AGENCY, TOKEN, {**PASSWORD, "project_id": "p"}, {**AGENCY, "project_id": "p"}]

OTHERS = [
    "drs.eu-de.otc.t-systems.com",
    "127.0.0.1",
    "http://127.0.0.1:8100",
    "10.0.0.7:8443",
    "[::1]:8100",
    "gateway",
    "evil-myhuaweicloud.com",
    "drs.evil-myhuaweicloud.com",
    "myhuaweicloud.com.evil.example",
    "drs.cn-north-4.myhuaweicloud.com.evil.example",
    "drs.cn-north-4.myhuaweicloud.co",
    "drs.cn-north-4.myhuaweicloud.com.cn",
    "drs.cn-north-4-myhuaweicloud.com",
    "https://evil.example/drs.cn-north-4.myhuaweicloud.com",
    "https://evil.example/.myhuaweicloud.com",
    # Europe's cloud has accounts of its own.
    "drs.eu-west-101.myhuaweicloud.eu",
    "myhuaweicloud.eu",
]
HUAWEIS = [
    None,
    "drs.cn-north-4.myhuaweicloud.com",
    "DRS.CN-North-4.MyHuaweiCloud.COM",
    "drs.cn-north-4.myhuaweicloud.com.",
    "drs.cn-north-4.myhuaweicloud.com:8443",
    "https://drs.cn-north-4.myhuaweicloud.com:443/",
    "http://drs.cn-north-4.myhuaweicloud.com/some/path",
    "myhuaweicloud.com",
]


def look_up(hook: DrsHook) -> Any:
    hook._look_up()
    return hook._api


@pytest.mark.parametrize("extra", WANTS_IAM)
@pytest.mark.parametrize("host", OTHERS)
def test_login_of_another_cloud_is_not_sent_to_huawei(
    connect: Connect, host: str, extra: dict[str, str]
) -> None:
    hook = DrsHook(connect(**KEY, host=host, extra=extra))
    with pytest.raises(MigrationConfigurationError) as caught:
        look_up(hook)
    assert str(caught.value).startswith("Connection 'some_conn': host is ")
    assert "set iam_endpoint in extra to the address of the right IAM" in str(caught.value)
    assert "iam.cn-north-4.myhuaweicloud.com" in str(caught.value)
    assert "some-key" not in str(caught.value)


@pytest.mark.parametrize("extra", WANTS_IAM)
@pytest.mark.parametrize("host", HUAWEIS)
def test_login_of_huawei_cloud_is_sent_to_its_iam(
    connect: Connect, host: str | None, extra: dict[str, str]
) -> None:
    hook = DrsHook(connect(**KEY, host=host, extra=extra))
    look_up(hook)
    assert hook._iam == "https://iam.cn-north-4.myhuaweicloud.com"


@pytest.mark.parametrize("extra", WANTS_IAM)
@pytest.mark.parametrize("host", OTHERS)
def test_login_of_another_cloud_goes_to_the_given_iam(
    connect: Connect, host: str, extra: dict[str, str]
) -> None:
    hook = DrsHook(connect(**KEY, host=host, extra={**extra, "iam_endpoint": "iam.example:8443"}))
    look_up(hook)
    assert hook._iam == "https://iam.example:8443"


@pytest.mark.parametrize("host", [*OTHERS, *HUAWEIS])
@pytest.mark.parametrize("extra", [AK, TOKEN])
def test_iam_is_not_needed_with_key_and_project(connect: Connect, host: str, extra: dict[str, str]) -> None:
    assert look_up(DrsHook(connect(**KEY, host=host, extra={**extra, "project_id": "p"}))).project_id == "p"


@pytest.mark.parametrize(
    ("host", "region", "is_right"),
    [
        ("drs.eu-west-101.myhuaweicloud.eu", "eu-west-101", True),
        ("drs.eu-west-101.myhuaweicloud.eu.", "eu-west-101", True),
        (None, "eu-west-101", True),
        ("drs.eu-west-101.myhuaweicloud.com", "eu-west-101", False),
        ("drs.evil-myhuaweicloud.eu", "eu-west-101", False),
        ("drs.eu-west-101.myhuaweicloud.eu", None, False),
        ("drs.cn-north-4.myhuaweicloud.com", None, True),
    ],
)
def test_login_of_the_european_cloud_needs_its_iam(
    connect: Connect, host: str | None, region: str | None, is_right: bool
) -> None:
    extra = {"auth_type": "password", "domain_name": "account", "project_id": "p"}
    hook = DrsHook(connect(**KEY, host=host, extra=extra), region=region)
    if is_right:
        look_up(hook)
    else:
        with pytest.raises(MigrationConfigurationError, match="iam_endpoint"):
            look_up(hook)


@pytest.mark.parametrize("extra", WANTS_IAM)
def test_login_that_is_refused_has_sent_nothing(
    connect: Connect, get_progress: Callable[..., Any], extra: dict[str, str]
) -> None:
    with Server([http()]) as server:
        hook = DrsHook(connect(**KEY, host=server.url, extra=extra))
        with pytest.raises(MigrationConfigurationError, match="iam_endpoint"):
            get_progress(hook, job_id="job")
        works, text = hook.test_connection()
        assert not works
        assert "iam_endpoint" in text
        assert not server.asked


# --- arguments ------------------------------------------------------------------------------------------

CALLS = [
    *[({"job_id": odd}, "job_id") for odd in (["job"], {"job"}, {"job": 1}, ("job",), None, " ", 1.5)],
    *[
        ({"job_id": "job", "object_types": odd}, "object_types")
        for odd in ([["table"]], {"table": 1}, {"table", 1}, None, ["tables"], 7)
    ],
    *[({"job_id": "job", "job_status": odd}, "job_status") for odd in ("false", "true", 1, 0, None)],
    ({"job_id": "job", "object_types": [], "job_status": False}, "object_types is empty"),
]


@pytest.fixture(params=["project is known", "project is looked for", "password"])
def hook(request: pytest.FixtureRequest, connect: Connect) -> Iterator[tuple[DrsHook, Server]]:
    with Server([http(503)]) as server:
        extra = {"region": "cn-north-4", "iam_endpoint": server.url}
        if request.param == "project is known":
            extra["project_id"] = "p"
        if request.param == "password":
            extra |= PASSWORD
        hook = DrsHook(connect(**KEY, host=server.url, extra=extra))
        yield hook, server
        hook.close()


@pytest.mark.parametrize(("arguments", "says"), CALLS)
def test_wrong_argument_is_refused_before_a_request(
    hook: tuple[DrsHook, Server], get_progress: Callable[..., Any], arguments: dict[str, Any], says: str
) -> None:
    drs, server = hook
    with pytest.raises(MigrationConfigurationError, match=f"^{says}"):
        get_progress(drs, **arguments)
    assert not server.asked


@pytest.mark.parametrize("job_id", [["job"], {"job"}, {"job": 1}, None, ""])
def test_wrong_id_is_refused_by_each_call(hook: tuple[DrsHook, Server], job_id: Any) -> None:
    drs, server = hook
    with pytest.raises(MigrationConfigurationError, match=r"^job_id"):
        drs.get_job_status(job_id)
    with pytest.raises(MigrationConfigurationError, match=r"^job_id"):
        drs.iter_progress_data(job_id, "table")  # at the call, not at the first object
    assert not server.asked


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"object_type": ["table"]}, "object_types"),
        ({"language": "de-de"}, "language"),
        ({"limit": 0}, "limit"),
    ],
)
def test_wrong_argument_of_pages_is_refused_at_once(
    hook: tuple[DrsHook, Server], arguments: dict[str, Any], says: str
) -> None:
    drs, server = hook
    with pytest.raises(MigrationConfigurationError, match=f"^{says}"):
        drs.iter_progress_data(**{"job_id": "job", "object_type": "table", **arguments})
    assert not server.asked


@pytest.mark.parametrize("job_status", ["false", 1, None])
def test_targets_need_a_boolean_job_status(job_status: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"^job_status must be True or False"):
        DrsHook().targets(job_id="job", job_status=job_status)


# --- what comes back ------------------------------------------------------------------------------------


@pytest.fixture
def drs(connect: Connect) -> Callable[[Server], DrsHook]:
    """Make a hook that leads to a server, and does not sleep."""

    async def async_sleep(seconds: float) -> None:
        pass

    def make(server: Server) -> DrsHook:
        hook = DrsHook(connect(**KEY, host=server.url, extra={"project_id": "p"}))
        hook.clock = replace(SYSTEM_CLOCK, sleep=lambda seconds: None, async_sleep=async_sleep)
        return hook

    return make


def envelope(position: str, code: str, job: str = "job") -> bytes:
    said = {"error_code": code, "error_message" if "long" in position else "error_msg": "no such task"}
    return json.dumps({"results": [{"job_id": job, **said}]} if "result" in position else said).encode()


GONE = ["DRS.M05003", "DRS.M05004", "DRS.M00289", "DRS.10000010"]
POSITIONS = ["top", "top, long", "result", "result, long"]


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("status", [200, 202, 400, 404, 422, 500])
@pytest.mark.parametrize("position", POSITIONS)
def test_unknown_job_is_found_wherever_its_code_stands(
    drs: Callable[[Server], DrsHook],
    get_progress: Callable[..., Any],
    position: str,
    status: int,
    code: str,
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.method == "POST":
            return http(status, envelope(position, code))
        return http(400, envelope("top", "DRS.10000010"))

    with Server([answer]) as server:
        hook = drs(server)
        with pytest.raises(MigrationNotFoundError, match=r"BatchListProgresses .*ShowJobDetail") as caught:
            get_progress(hook, job_id="job")
        assert (caught.value.code, caught.value.http_status) == (code, status)
        assert not caught.value.is_transient
        assert not caught.value.tolerated_after_success
        assert [asked.target for asked in server.asked] == [
            "/v3/p/jobs/batch-progress",
            "/v5/p/jobs/job?type=progress",
        ]
        hook.close()


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("status", [200, 202, 400])
@pytest.mark.parametrize("position", POSITIONS)
def test_connection_test_passes_wherever_the_code_stands(
    drs: Callable[[Server], DrsHook], position: str, status: int, code: str
) -> None:
    with Server([http(status, envelope(position, code, PROBE))]) as server:
        works, text = drs(server).test_connection()
    assert works, text


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"results": [{}]}'])
def test_connection_test_fails_on_another_refusal(drs: Callable[[Server], DrsHook], body: bytes) -> None:
    with Server([http(400, body)]) as server:
        works, _ = drs(server).test_connection()
    assert not works


@pytest.mark.parametrize(
    "result", [{}, {"progress": "100"}, {"transfer_status": ""}, {"transfer_status": None}]
)
def test_status_missing_is_retried(
    drs: Callable[[Server], DrsHook], get_progress: Callable[..., Any], result: dict[str, Any]
) -> None:
    silent = http(202, json.dumps({"results": [{"job_id": "job", **result}]}).encode())
    with Server([silent]) as server:
        with pytest.raises(MigrationResponseError, match="no transfer_status"):
            get_progress(drs(server), job_id="job", object_types=[])
        assert len(server.asked) > 1
    with Server([silent, status_of("PAUSING")]) as server:
        assert get_progress(drs(server), job_id="job", object_types=[]).state == "paused"


def status_of(word: str, **changes: Any) -> Reply:
    result = {"job_id": "job", "transfer_status": word, "task_mode": "FULL_TRANS", "progress": "100"}
    return http(202, json.dumps({"results": [{**result, **changes}]}).encode())


REFUSALS = [
    http(404, b'{"error_code": "APIGW.0101", "error_msg": "no such API", "request_id": "r"}'),
    *[http(400, json.dumps({"error_code": code}).encode()) for code in [*GONE, "DRS.M00302"]],
    http(400, envelope("result, long", "DRS.M05003")),
    http(403, b'{"error_code": "DRS.M00102"}'),
    http(401, b'{"error_code": "APIGW.0301"}'),
    http(403, b"<html>no</html>", {"content-type": "text/html"}),
    http(404, b"", {"content-type": "text/plain"}),
    http(200, b"<html>log in</html>", {"content-type": "text/html"}),
    http(200, b'{"count": 1, "flow_compare_data": [', then="close"),
    http(503, b"{}"),
    http(302, b"", {"location": "/elsewhere"}),
    http(429, b'{"error_code": "APIGW.0308"}'),
    Reply((b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",), then="close"),
    Reply((), then="reset"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    ("status", "state"),
    [
        (status_of("RELEASE_RESOURCE_COMPLETE"), "succeeded"),
        (status_of("FULL_TRANSFER_COMPLETE"), "succeeded"),
        (status_of("FULL_TRANSFER_FAILED", error_code="DRS.M06007", error_msg="source is gone"), "failed"),
        (status_of("PAUSING"), "paused"),
    ],
)
def test_refused_list_leaves_the_state_and_warns(
    drs: Callable[[Server], DrsHook],
    get_progress: Callable[..., Any],
    refusal: Reply,
    status: Reply,
    state: str,
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.target == "/v3/p/jobs":
            return http(200, b'{"total_count": 1, "jobs": [{"id": "job", "job_type": "migration"}]}')
        return status if asked.method == "POST" else refusal

    with Server([answer]) as server:
        hook = drs(server)
        polls = [get_progress(hook, job_id="job") for _ in range(2)]
        hook.close()
        lists = [asked for asked in server.asked if "progress-data" in asked.target]
    for progress in polls:
        assert (progress.state, progress.objects) == (state, None)
        assert len(progress.warnings) <= 1
    assert polls[0].warnings == polls[1].warnings
    assert len(lists) <= 5  # the attempts of one call
    if state == "failed":
        assert polls[1].error.message == "source is gone"
    else:
        assert polls[1].error is None


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_list_without_job_status_is_an_error(
    drs: Callable[[Server], DrsHook], get_progress: Callable[..., Any], refusal: Reply
) -> None:
    with Server([refusal]) as server:
        hook = drs(server)
        with pytest.raises(MigrationApiError):
            get_progress(hook, job_id="job", job_status=False)
        hook.close()


# --- the simulator plays it -----------------------------------------------------------------------------


@pytest.fixture
def play(connect: Connect) -> Iterator[Callable[..., DrsHook]]:
    """Start simulators of one job, each of whose steps is one second later, and end them."""
    with ExitStack() as started:

        def start(*steps: dict[str, Any], job: str = "job", **more: Any) -> DrsHook:
            timed = [{"at": 0, "replace": False, **step} for step in steps]
            scenario = {"migrations": [{"service": "drs", "job_id": job, "steps": timed, **more}]}
            simulator = started.enter_context(BriefSimulator(scenario))
            return DrsHook(connect(**simulator.connections()["drs_default"]))

        yield start


@pytest.mark.parametrize(
    ("delay", "state", "why"),
    [
        ("0", "succeeded", None),
        ("60", "succeeded", None),
        ("18000", "cancelled", "18000 s behind"),
        ("-1", "cancelled", "had not begun"),
        (None, "cancelled", "gives no delay"),
    ],
)
def test_job_ended_by_hand(
    play: Callable[..., DrsHook], get_progress: Callable[..., Any], delay: Any, state: str, why: str | None
) -> None:
    ended = {"transfer_status": "RELEASE_RESOURCE_COMPLETE", "progress": "100"}
    delays = {"incre_trans_delay": delay, "incre_trans_delay_millis": delay and str(int(delay) * 1000)}
    parts = {name: {"completed": "100%"} for name in ("struct", "data", "index")}
    hook = play({"job": {**ended, **delays, "progress_map": parts}})
    progress = get_progress(hook, job_id="job")
    hook.close()
    assert progress.state == state
    assert (why or "") in str(progress.error and progress.error.message)


@pytest.mark.parametrize("http_status", [None, 400, 404])
@pytest.mark.parametrize("code", GONE)
def test_simulated_refusal_inside_the_results(
    play: Callable[..., DrsHook], get_progress: Callable[..., Any], http_status: int | None, code: str
) -> None:
    hook = play({"error": {"code": code, "message": "no", "http_status": http_status}}, job=PROBE)
    assert hook.test_connection()[0]
    with pytest.raises(MigrationNotFoundError) as caught:
        get_progress(hook, job_id=PROBE)
    hook.close()
    assert (caught.value.code, caught.value.http_status) == (code, http_status or 202)


@pytest.mark.parametrize(
    "refusal",
    [
        *[{"code": code} for code in [*GONE, "DRS.M00302"]],
        {"code": "APIGW.0101", "http_status": 404},
        {"code": "DRS.M00102", "http_status": 403},
        {"code": "APIGW.0307", "http_status": 401},
    ],
)
def test_simulated_list_is_refused_while_the_job_runs(
    play: Callable[..., DrsHook], get_progress: Callable[..., Any], refusal: dict[str, Any]
) -> None:
    hook = play({"objects": {"table": refusal}, "job": {"transfer_status": "PAUSING"}})
    progress = get_progress(hook, job_id="job", object_types=["table"])
    hook.close()
    assert (progress.state, progress.objects) == ("paused", None)
    assert refusal["code"] in progress.warnings[0]


def test_simulated_proxy_refuses_the_list(
    play: Callable[..., DrsHook], get_progress: Callable[..., Any]
) -> None:
    page = {"http_status": 403, "page": "<html>no</html>"}
    hook = play({"objects": {"table": page}, "job": {"transfer_status": "PAUSING"}})
    progress = get_progress(hook, job_id="job")
    hook.close()
    assert progress.state == "paused"
    assert "not a JSON object (text/html" in progress.warnings[0]


@pytest.mark.parametrize(
    "step",
    [
        {"job": {"transfer_status": None}},
        {"job": {"transfer_status": ""}},
        {"replace": True, "job": {"job_id": "job", "progress": "40"}},
    ],
)
def test_simulated_answer_without_a_status(play: Callable[..., DrsHook], step: dict[str, Any]) -> None:
    hook = play(step)
    hook.clock = replace(SYSTEM_CLOCK, sleep=lambda seconds: None)
    with pytest.raises(MigrationResponseError, match="no transfer_status"):
        hook.get_progress("job")
    hook.close()
