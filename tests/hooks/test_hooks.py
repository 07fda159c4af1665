"""The hooks' calls against the simulator, and when a connection is looked up again."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from asgiref.sync import sync_to_async

from airflow_provider_migration.clock import SYSTEM_CLOCK
from airflow_provider_migration.credentials.refusals import DOUBTFUL_SECONDS, REFUSED_SECONDS, refusals
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationNotFoundError,
)
from airflow_provider_migration.hooks import base
from airflow_provider_migration.hooks.base import CONNECTION_SECONDS, MigrationHook
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.simulator.scripts import SCRIPTS
from tests.catalogue import Service, each_service
from tests.servers import Asked, Reply, Server, http
from tests.simulators import BriefSimulator

Connect = Callable[..., str]
Connections = dict[str, dict[str, Any]]

HAVE_REQUEST_IDS = {"dataworks", "dts", "drs"}
DRS_JOB = "163b98e8-6088-46c3-8b86-c18fea6jb502"
KEY = {"login": "some-key-id", "password": "some-key-secret"}


# --- against the simulator -----------------------------------------------------------------------------


@each_service
def test_hook_returns_a_record_sync_and_async(
    service: Service, get_progress: Callable[..., Any], connections: Connections
) -> None:
    record = get_progress(service.hook(), **service.ids)

    assert (record.service, record.migration_id) == (service.name, service.migration_id)
    assert record.state.value != "unknown"
    assert bool(record.request_id) is (service.name in HAVE_REQUEST_IDS)


@each_service
def test_unknown_id_is_not_found(
    service: Service, get_progress: Callable[..., Any], connections: Connections
) -> None:
    with pytest.raises(MigrationNotFoundError):
        get_progress(service.hook(), **{**service.ids, service.id_argument: "999"})


@each_service
def test_wrong_password_is_not_retried(
    service: Service,
    get_progress: Callable[..., Any],
    connections: Connections,
    connect: Connect,
    simulator: Simulator,
) -> None:
    conn_id = service.hook.default_conn_name
    connect(conn_id, **{**connections[conn_id], "password": "wrong-secret"})
    before = len(simulator.requests)

    with pytest.raises(MigrationAuthenticationError) as caught:
        get_progress(service.hook(), **service.ids)

    assert len(simulator.requests) == before + 1
    assert "wrong-secret" not in str(caught.value)


def test_refusal_names_the_connection_and_a_wrong_type(
    get_progress: Callable[..., Any], connections: Connections, connect: Connect
) -> None:
    wrong = {"host": connections["dts_default"]["host"], "login": "somebody", "password": "wrong-secret"}
    connect("mine", conn_type="alibaba_dts", **wrong)
    connect("another", conn_type="oceanbase_oms", **wrong)

    for conn_id, said in (("mine", "is 'mine'[.]"), ("another", "is 'another', of type 'oceanbase_oms'[.]")):
        with pytest.raises(MigrationAuthenticationError, match=f"The connection {said}$"):
            get_progress(DtsHook(conn_id), migration_job_id="dts1")


async def test_shared_refusal_names_the_connection_once(connections: Connections, connect: Connect) -> None:
    connect("mine", **{**connections["dts_default"], "password": "wrong-secret"})
    hook = DtsHook("mine", api="DescribeDtsJobs")

    errors = await asyncio.gather(
        *(hook.aget_progress(f"dts{number}") for number in range(3)), return_exceptions=True
    )

    assert [str(error).count("The connection is 'mine'.") for error in errors] == [1, 1, 1]


def test_dataworks_record_has_steps_and_status(connections: Connections) -> None:
    hook = DataWorksHook()

    assert hook.get_migration_summary(123456, "1234").data.status
    assert hook.get_migration_process("123456", 1234).request_id


def test_dts_record_of_a_job(connections: Connections) -> None:
    assert DtsHook().describe_migration_job_status("dtsdemo0001").migration_job_name == "MySQL migration"


def test_dts_lists_jobs(connections: Connections) -> None:
    (job,) = DtsHook().describe_dts_jobs(["dtsdemo0001", "dtsnobody"]).dts_job_list or []

    assert job.dts_job_name == "MySQL migration"


@pytest.mark.parametrize(
    ("second", "works"), [(http(200, b'{"Success": true, "DtsJobList": []}'), True), (None, False)]
)
def test_dts_connection_test_accepts_a_key_for_one_call(
    second: Reply | None, works: bool, connect: Connect
) -> None:
    forbidden = http(403, b'{"Code": "Forbidden.RAM", "Message": "no right"}')
    with Server([forbidden, second or forbidden]) as server:
        result, message = DtsHook(connect(**KEY, host=server.url)).test_connection()

    assert result is works
    assert ("DescribeDtsJobs" in message) is not works


def test_dts_unknown_api_is_refused_before_a_request() -> None:
    with pytest.raises(MigrationConfigurationError, match="api must be DescribeMigrationJobStatus or Desc"):
        DtsHook(api="DescribeJobs")


@pytest.mark.parametrize("script", SCRIPTS["dts"])
def test_dts_calls_return_the_same_record(script: str, connect: Connect) -> None:
    scenario = {"migrations": [{"service": "dts", "migration_job_id": "dts1", "script": script}]}
    clock = [1_800_000_000.0]

    only_listed: Any = {"throughput": True, "retrying": True, "verification": True, "error": {"help_url"}}

    def tell(hook: DtsHook) -> dict[str, Any]:
        of_the_answer: Any = {"request_id": True, "observed_at": True}
        record = hook.get_progress("dts1", max_lag=60).model_dump(exclude={**of_the_answer, **only_listed})
        hook.close()
        return record

    with BriefSimulator(scenario, clock=lambda: clock[0]) as simulator:
        conn_id = connect("dts", **simulator.connections()["dts_default"])
        hooks = [DtsHook(conn_id), DtsHook(conn_id, api="DescribeDtsJobs")]
        for hook in hooks:
            hook.clock = replace(hook.clock, now=lambda: datetime.fromtimestamp(clock[0], UTC))
        for second in range(0, 70, 3):
            simulator.jump("dts", "dts1", second)
            # The list knows the lag to the millisecond, but the simulator tells both in seconds.
            assert tell(hooks[0]) == tell(hooks[1])


async def test_dts_jobs_are_batched(connect: Connect) -> None:
    ids = [f"dts{number:03}" for number in range(40)]
    scenario = {"migrations": [{"service": "dts", "migration_job_id": item} for item in ids]}
    with BriefSimulator(scenario) as simulator:
        hook = DtsHook(connect("dts", **simulator.connections()["dts_default"]), api="DescribeDtsJobs")
        records = await asyncio.gather(*(hook.aget_progress(item) for item in ids))

    assert [record.migration_id for record in records] == ids
    at_once = [len(asked.id.split(",")) for asked in simulator.requests]
    assert sum(at_once) == 40
    assert max(at_once) == 30
    assert len(at_once) <= 3  # who comes first may go alone


def test_dts_job_known_to_the_list_only_costs_one_call(
    get_progress: Callable[..., Any], connect: Connect
) -> None:
    scenario = {"migrations": [{"service": "dts", "migration_job_id": "dts1", "legacy": False}]}
    with BriefSimulator(scenario) as simulator:
        hook = DtsHook(connect("dts", **simulator.connections()["dts_default"]))
        for _ in range(3):
            assert get_progress(hook, migration_job_id="dts1").state == "pending"
        hook.close()

    assert [asked.action for asked in simulator.requests] == [
        "DescribeMigrationJobStatus",
        *["DescribeDtsJobs"] * 3,
    ]


def test_dataworks_reason_of_a_failure_is_cached(get_progress: Callable[..., Any], connect: Connect) -> None:
    scenario = {"migrations": [{"service": "dataworks", "migration_id": 7, "script": "failure"}]}
    with BriefSimulator(scenario, speed=0.001) as simulator:
        hook = DataWorksHook(connect("dataworks", **simulator.connections()["dataworks_default"]))
        simulator.jump("dataworks", 7, 30)
        for _ in range(3):
            error = get_progress(hook, project_id=123456, migration_id=7).error
            assert error.message.endswith(
                ": Resource order_items.jar already exists in the target workspace."
            )
        hook.close()

    actions = [asked.action for asked in simulator.requests]
    assert len(actions) == 7
    assert actions.count("ListMigrations") == 1


@pytest.fixture
def drs_with(connections: Connections, connect: Connect) -> Callable[..., DrsHook]:
    """Make a hook for DRS with another credential and without the project's id."""

    def make(conn_id: str = "by_other_means", **changes: Any) -> DrsHook:
        fields = connections["drs_default"]
        extra = {name: value for name, value in fields["extra"].items() if name != "project_id"}
        extra |= changes.pop("extra", {})
        return DrsHook(connect(conn_id, **{**fields, **changes, "extra": extra}))

    return make


AGENCY = {"auth_type": "agency", "agency_name": "simulator-agency", "domain_name": "simulator-domain"}
BY_PASSWORD = {
    "login": "simulator",
    "password": "simulator-password",
    "extra": {"auth_type": "password", "domain_name": "simulator-domain"},
}


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, []),
        ({"extra": {"security_token": "simulator-security-token"}}, []),
        (BY_PASSWORD, ["KeystoneCreateUserTokenByPassword"]),
        ({"extra": AGENCY}, ["KeystoneListAuthDomains", "CreateTemporaryAccessKeyByAgency"]),
    ],
    ids=["AK/SK", "temporary", "password", "agency"],
)
def test_huawei_project_is_cached(
    changes: dict[str, Any],
    first: list[str],
    drs_with: Callable[..., DrsHook],
    get_progress: Callable[..., Any],
    simulator: Simulator,
) -> None:
    hook, before = drs_with(**changes), len(simulator.requests)

    for _ in range(3):
        assert get_progress(hook, job_id=DRS_JOB, object_types=[]).state != "unknown"
    assert hook.test_connection()[0]

    asked = [request.action for request in simulator.requests[before:]]
    if "ShowJobList" in asked:  # once in sync, the job is looked up, because it may have children
        asked.remove("ShowJobList")
    assert asked == [*first, "KeystoneListProjects", *["BatchListProgresses"] * 4]


@pytest.mark.parametrize("place", ["password", "extra"])
def test_huawei_provided_token_is_used(
    place: str,
    drs_with: Callable[..., DrsHook],
    get_progress: Callable[..., Any],
    simulator: Simulator,
) -> None:
    issued = drs_with("issuer", **BY_PASSWORD)
    issued.get_progress(DRS_JOB)
    token = issued._api.signer.given.token
    fields: dict[str, Any] = {"login": None, "password": None, "extra": {"auth_type": "token"}}
    if place == "password":
        fields["password"] = token
    else:
        fields["extra"]["token"] = token
    hook = drs_with(**fields)

    assert get_progress(hook, job_id=DRS_JOB).state != "unknown"
    assert "accepted a token of IAM" in hook.test_connection()[1]

    simulator.revoke_tokens()
    before = len(simulator.requests)
    with pytest.raises(MigrationAuthenticationError) as caught:
        get_progress(hook, job_id=DRS_JOB, object_types=[])
    hook.close()
    assert len(simulator.requests) == before + 1
    assert token not in str(caught.value)


def test_huawei_replaced_token_is_used_after_a_refusal(
    drs_with: Callable[..., DrsHook], get_progress: Callable[..., Any], simulator: Simulator
) -> None:
    def issue() -> str:
        issuer = drs_with("issuer", **BY_PASSWORD)
        issuer.get_progress(DRS_JOB)
        token: str = issuer._api.signer.given.token
        return token

    def write(token: str) -> DrsHook:
        return drs_with(login=None, password=token, extra={"auth_type": "token"})

    hook = write(issue())
    get_progress(hook, job_id=DRS_JOB)
    simulator.revoke_tokens()
    write(issue())

    assert get_progress(hook, job_id=DRS_JOB).state != "unknown"
    hook.close()


def test_huawei_revoked_agency_is_assumed_again(
    drs_with: Callable[..., DrsHook], get_progress: Callable[..., Any], simulator: Simulator
) -> None:
    hook = drs_with(extra=AGENCY)
    get_progress(hook, job_id=DRS_JOB)
    simulator.revoke_tokens()

    assert get_progress(hook, job_id=DRS_JOB).state != "unknown"
    hook.close()


async def test_huawei_project_look_up_is_shared(
    drs_with: Callable[..., DrsHook], simulator: Simulator
) -> None:
    hook, before = drs_with(extra=AGENCY), len(simulator.requests)

    await asyncio.gather(*(hook.aget_progress(DRS_JOB, []) for _ in range(20)))

    asked = [request.action for request in simulator.requests[before:]]
    assert asked.count("CreateTemporaryAccessKeyByAgency") == 1
    assert asked.count("KeystoneListAuthDomains") == asked.count("KeystoneListProjects") == 1


def test_huawei_region_without_a_project_is_named(drs_with: Callable[..., DrsHook]) -> None:
    works, message = drs_with(extra={"region": "eu-west-101"}).test_connection()

    assert not works
    assert "0 projects named 'eu-west-101'" in message


def test_oms_record_of_a_project(connections: Connections) -> None:
    result = OmsHook().get_migration_progress("p_demo0001")

    assert result.data is not None
    assert result.data.current_step


NEW_OMS = [
    ({"project_id": "np_1"}, {}),
    ({"project_id": "np_1"}, {"auth_type": "access_key", "region": "cn-hangzhou"}),
]


@pytest.fixture
def oms_with(connect: Connect) -> Callable[..., OmsHook]:
    """Make a hook for a console, or for the service that Alibaba Cloud hosts."""

    def make(simulator: Simulator, extra: dict[str, str], **arguments: Any) -> OmsHook:
        fields = simulator.connections()["oms_default"]
        if extra:
            key = {"login": "SIMULATORACCESSKEY", "password": "simulator-secret-key"}
            fields = {**fields, **key, "extra": extra}
        return OmsHook(connect("oms", **fields), **arguments)

    return make


@pytest.mark.parametrize(("ids", "extra"), NEW_OMS, ids=["console", "hosted"])
@pytest.mark.parametrize("script", SCRIPTS["oms"])
def test_oms_calls_return_the_same_record(
    script: str, ids: dict[str, str], extra: dict[str, str], oms_with: Callable[..., OmsHook]
) -> None:
    clock = [1_800_000_000.0]
    migrations = [{"service": "oms", "project_id": project, "script": script} for project in ("p_1", "np_1")]

    def tell(hook: OmsHook, project: str, sample_age: int = 0) -> dict[str, Any]:
        hook.clock = replace(hook.clock, now=lambda: datetime.fromtimestamp(clock[0], UTC))
        hook._look_up()
        hook._api = replace(hook._api, clock=lambda: datetime.fromtimestamp(clock[0], UTC))
        record = hook.get_progress(project, max_lag=60 + sample_age)
        hook.close()
        return {
            "state": record.state,
            "percent": record.percent,
            "words": record.statuses_reached,
            "phases": [(phase.name, phase.state, phase.percent) for phase in record.phases],
            "lag": record.lag_seconds and record.lag_seconds - sample_age,
        }

    with BriefSimulator({"migrations": migrations}, clock=lambda: clock[0]) as simulator:
        for second in range(0, 70, 3):
            for project in ("p_1", "np_1"):
                simulator.jump("oms", project, second)
            old = tell(oms_with(simulator, {}), "p_1")
            new = tell(oms_with(simulator, extra), ids["project_id"], sample_age=2)
            assert new == {**old, "lag": old["lag"] and pytest.approx(old["lag"], abs=1)}


@pytest.mark.parametrize(("ids", "extra"), NEW_OMS, ids=["console", "hosted"])
def test_oms_newer_calls_return_the_steps(
    ids: dict[str, str],
    extra: dict[str, str],
    oms_with: Callable[..., OmsHook],
    get_progress: Callable[..., Any],
) -> None:
    scenario = {"migrations": [{"service": "oms", "project_id": "np_1", "script": "failure"}]}
    with BriefSimulator(scenario, speed=0.001) as simulator:
        hook = oms_with(simulator, extra)
        simulator.jump("oms", "np_1", 30)
        steps = hook.describe_project_steps("np_1").data or []
        record = get_progress(hook, **ids)
        hook.close()

    assert [step.status for step in steps] == ["FINISHED", "FINISHED", "FINISHED", "FAILED", "INIT", "INIT"]
    assert (
        record.error.message
        == "FULL_TRANSFER: FULL_TRANSFER failed: table orders.order_items cannot be written."
    )
    assert next(phase.done for phase in record.phases if phase.name == "full") > 0


@pytest.mark.parametrize("extra", [{}, NEW_OMS[1][1]], ids=["console", "hosted"])
def test_oms_connection_test_works_with_each_call(
    extra: dict[str, str], oms_with: Callable[..., OmsHook], simulator: Simulator
) -> None:
    works, message = oms_with(simulator, extra).test_connection()

    assert works
    assert ("AccessKey ID SIMU…" if extra else "user 'simulator'") in message


def test_oms_connection_test_falls_back_to_the_newer_call(connect: Connect) -> None:
    unknown = json.dumps({"success": False, "code": "GHANA-PROJECT000001"}).encode()
    with Server([http(404, b"<html>"), http(200, unknown)]) as server:
        works, _ = OmsHook(connect(**KEY, host=server.url)).test_connection()

    assert works
    assert [asked.target for asked in server.asked] == [
        "/api/omsp/v2/migrations/p_connectiontest/progress",
        "/api/v2?Action=DescribeProjectProgress",
    ]


def test_oms_connection_test_recognizes_another_server(connect: Connect) -> None:
    with Server([http(404, b"<html>")]) as server:
        works, message = OmsHook(connect(**KEY, host=server.url)).test_connection()

    assert not works
    assert "not a JSON object" in message


def test_oms_unknown_api_is_refused_before_a_request() -> None:
    with pytest.raises(MigrationConfigurationError, match="api must be GetMigrationProgress or Describe"):
        OmsHook(api="DescribeProject")


def test_drs_record_of_a_job_and_its_objects(connections: Connections, simulator: Simulator) -> None:
    hook = DrsHook()
    hook.get_job_status(DRS_JOB)
    simulator.jump("drs", DRS_JOB, 15)

    assert hook.get_job_status(DRS_JOB).transfer_status == "FULL_TRANSFER_STARTED"
    assert len(list(hook.iter_progress_data(DRS_JOB, "table", limit=7))) == 40


@pytest.mark.parametrize("asks", ["sync", "async"])
def test_drs_token_is_cached_and_refreshed_after_a_refusal(
    asks: str, connections: Connections, connect: Connect, simulator: Simulator
) -> None:
    fields = connections["drs_default"]
    extra = {**fields["extra"], "auth_type": "password", "domain_name": "simulator-domain"}
    user = {"login": "simulator", "password": "simulator-password"}
    hook = DrsHook(connect("by_password", **{**fields, **user, "extra": extra}))

    def tokens() -> int:
        return sum(asked.service == "iam" for asked in simulator.requests)

    def ask() -> None:
        if asks == "sync":
            hook.get_progress(DRS_JOB)
        else:
            asyncio.run(hook.aget_progress(DRS_JOB))

    before = tokens()
    ask()
    ask()
    assert tokens() == before + 1
    simulator.revoke_tokens()
    ask()
    assert tokens() == before + 2


# --- test_connection -----------------------------------------------------------------------------------


@each_service
def test_connection_test_passes(service: Service, connections: Connections) -> None:
    works, text = service.hook().test_connection()

    assert works, text
    address = connections[service.hook.default_conn_name]["host"]
    expected = f"{service.hook.hook_name} at {address} answered and accepted {service.identity}. "
    assert text.startswith(expected)


def test_connection_test_names_the_iam_user(connections: Connections, connect: Connect) -> None:
    drs = connections["drs_default"]
    extra = {**drs["extra"], "auth_type": "password", "domain_name": "account"}
    conn_id = connect(**{**drs, "login": "simulator", "password": "simulator-password", "extra": extra})

    works, text = DrsHook(conn_id).test_connection()

    assert works, text
    assert "accepted IAM user 'simulator' of 'account'" in text


@each_service
def test_connection_test_fails_with_wrong_credentials(
    service: Service, connections: Connections, connect: Connect
) -> None:
    conn_id = service.hook.default_conn_name
    connect(conn_id, **{**connections[conn_id], "password": "wrong-secret"})

    works, text = service.hook().test_connection()

    assert not works
    assert "Check the connection's login and password" in text
    assert "wrong-secret" not in text


@each_service
def test_connection_test_fails_with_a_wrong_host(service: Service, connect: Connect) -> None:
    works, text = service.hook(connect(host="a b")).test_connection()

    assert not works
    assert text.startswith("Connection 'some_conn': host must be a host name or a URL")


@each_service
@pytest.mark.parametrize("status", [400, 404])
def test_connection_test_fails_at_another_server(service: Service, status: int, connect: Connect) -> None:
    with Server([http(status, b"<html>", {"content-type": "text/html"})]) as server:
        conn_id = connect(**KEY, host=server.url, extra={"project_id": "p", "region": "r"})
        works, text = service.hook(conn_id).test_connection()

    assert not works
    assert f"HTTP {status}, not a JSON object (text/html, 6 bytes)" in text


# --- optional parameters -------------------------------------------------------------------------------


def test_dts_optional_parameters_are_sent(connect: Connect) -> None:
    with Server([http(body=b'{"MigrationJobStatus": "Migrating"}')]) as server:
        hook = DtsHook(connect(**KEY, host=server.url, extra={"region": "cn-hangzhou"}))
        hook.describe_migration_job_status("dts1")
        hook.describe_migration_job_status("dts1", client_token="a b", account_id=42, region_id="cn-beijing")
        hook.close()

    assert [asked.target for asked in server.asked] == [
        "/?MigrationJobId=dts1&RegionId=cn-hangzhou",
        "/?AccountId=42&ClientToken=a%20b&MigrationJobId=dts1&RegionId=cn-beijing",
    ]


def pages(asked: Asked) -> Reply:
    """Answer with a page of a list of five objects."""
    query = dict(pair.split("=") for pair in asked.target.partition("?")[2].split("&"))
    offset, limit = int(query["offset"]), int(query["limit"])
    rows = [{"src_tb": f"t{number}", "progress": 100} for number in range(5)][offset : offset + limit]
    return http(body=json.dumps({"count": 5, "flow_compare_data": rows}).encode())


@pytest.fixture
def drs(connect: Connect) -> Any:
    with Server([pages]) as server:
        hook = DrsHook(connect(**KEY, host=server.url, extra={"project_id": "p"}))
        yield hook, server
        hook.close()


def test_drs_pages_are_read_lazily(drs: Any) -> None:
    hook, server = drs

    rows = hook.iter_progress_data("job", "table", limit=2)

    assert len(server.asked) == 0
    assert [next(rows).src_tb, next(rows).src_tb] == ["t0", "t1"]
    assert len(server.asked) == 1
    assert next(rows).src_tb == "t2"
    assert len(server.asked) == 2
    assert [row.src_tb for row in rows] == ["t3", "t4"]
    assert len(server.asked) == 3


def test_drs_offset_and_language_are_sent(drs: Any) -> None:
    hook, server = drs

    rows = list(hook.iter_progress_data("job", "view", limit=1000, offset=3, language="zh-cn"))

    assert [row.src_tb for row in rows] == ["t3", "t4"]
    (asked,) = server.asked
    assert asked.target == "/v5/p/jobs/job/progress-data/view?limit=1000&offset=3"
    assert asked.headers["x-language"] == "zh-cn"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"object_type": "tables"}, "object_types: 'tables' is not known"),
        ({"limit": 0}, "limit must be 1 to 1000"),
        ({"limit": 1001}, "limit must be 1 to 1000"),
        ({"offset": -1}, "offset must be 0 or more"),
        ({"language": "de-de"}, "language must be en-us or zh-cn"),
        ({"job_id": " "}, "job_id is empty"),
    ],
)
def test_drs_wrong_arguments_are_refused_before_a_request(
    arguments: dict[str, Any], says: str, drs: Any
) -> None:
    hook, server = drs

    with pytest.raises(MigrationConfigurationError, match=says):
        list(hook.iter_progress_data(**{"job_id": "job", "object_type": "table", **arguments}))

    assert not server.asked


# --- when a connection is looked up again --------------------------------------------------------------


@pytest.fixture
def console(connect: Connect) -> Any:
    """Start a console that knows one password, and connect to it."""
    known = {"password": "first-password"}

    def answer(asked: Asked) -> Reply:
        from airflow_provider_migration.auth.basic import BasicSigner

        right = f"Basic {BasicSigner('user', known['password'])._credentials}"
        accepted = asked.headers["authorization"] == right
        return http(200 if accepted else 401, b'{"success": true, "data": {"status": "RUNNING"}}')

    with Server([answer]) as server:

        def change(password: str, *, of_server: bool = True, of_connection: bool = True) -> None:
            if of_server:
                known["password"] = password
            if of_connection:
                connect("oms_default", login="user", password=password, host=server.url)

        change("first-password")
        yield server, change


@pytest.fixture(autouse=True)
def _no_memory() -> Any:
    yield
    refusals.clear()


def hook_at(clock: list[float]) -> OmsHook:
    hook = OmsHook()
    hook.clock = replace(SYSTEM_CLOCK, monotonic=lambda: clock[0])
    return hook


def test_connection_is_cached_for_five_minutes(
    get_progress: Callable[..., Any], console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, lookups = [1000.0], []
    hook = hook_at(clock)
    look_up = OmsHook.get_connection
    monkeypatch.setattr(hook, "get_connection", lambda conn_id: lookups.append(conn_id) or look_up(conn_id))

    for clock[0] in (1000.0, 1100.0, 999.0 + CONNECTION_SECONDS):
        get_progress(hook, project_id="p_1")
    assert lookups == ["oms_default"]

    clock[0] += 1
    get_progress(hook, project_id="p_1")
    assert lookups == ["oms_default"] * 2
    hook.close()


def test_changed_password_is_used_after_a_refusal(get_progress: Callable[..., Any], console: Any) -> None:
    server, change = console
    hook = OmsHook()
    get_progress(hook, project_id="p_1")
    change("second-password")

    assert get_progress(hook, project_id="p_1").service_status == "RUNNING"
    assert len(server.asked) == 3
    hook.close()


async def test_changed_password_is_looked_up_once_for_all(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, change = console
    hook, lookups = OmsHook(), []
    look_up = OmsHook.get_connection
    monkeypatch.setattr(hook, "get_connection", lambda conn_id: lookups.append(conn_id) or look_up(conn_id))
    await hook.aget_progress(project_id="p_1")
    change("second-password")

    answers = await asyncio.gather(*(hook.aget_progress(project_id=f"p_{number}") for number in range(5)))

    assert [answer.service_status for answer in answers] == ["RUNNING"] * 5
    assert len(lookups) <= 3


async def test_changed_password_is_looked_up_despite_a_recent_look_up(
    console: Any,
) -> None:
    _, change = console
    clock, waits, may_go_on = [0.0], asyncio.Event(), asyncio.Event()

    async def wait(seconds: float) -> None:
        waits.set()
        await may_go_on.wait()
        clock[0] += seconds

    hook = hook_at(clock)
    hook.clock = replace(hook.clock, async_sleep=wait)
    await hook.aget_progress(project_id="p_1")
    hook._calls_on_this_loop().limiter.pause(0.3)  # the poll waits for its turn …
    waiting = asyncio.create_task(hook.aget_progress(project_id="p_1"))
    await waits.wait()
    await hook._alook_up(hook.clock.monotonic())  # … while another looks the old password up
    change("second-password")
    may_go_on.set()

    assert (await waiting).service_status == "RUNNING"


@pytest.mark.parametrize(("service", "pace"), [(DataWorksHook, 5), (OmsHook, None)])
def test_rate_limit_of_the_service_is_kept(service: type[Any], pace: float | None) -> None:
    assert service.calls_per_second == pace


def test_hook_works_on_successive_event_loops(console: Any) -> None:
    hook = OmsHook()
    for _ in range(2):
        assert asyncio.run(hook.aget_progress(project_id="p_1")).service_status == "RUNNING"


def test_changed_connection_settings_apply_at_once(console: Any, connect: Connect) -> None:
    server, _ = console
    clock = [0.0]
    hook = hook_at(clock)
    hook.get_progress("p_1")
    connect(
        "oms_default", login="user", password="first-password", host=server.url, extra={"read_timeout": 9}
    )
    clock[0] = CONNECTION_SECONDS + 1

    hook.get_progress("p_1")
    hook.close()

    assert hook._settings.read_timeout == 9
    assert server.accepted == 2  # the old session, which has the old settings, is not used again


def test_wrong_unchanged_password_is_tried_once(get_progress: Callable[..., Any], console: Any) -> None:
    server, change = console
    change("wrong-password", of_server=False)

    with pytest.raises(MigrationAuthenticationError) as caught:
        get_progress(OmsHook(), project_id="p_1")

    assert len(server.asked) == 1
    assert "wrong-password" not in str(caught.value)


def test_failed_look_up_uses_the_cached_connection(
    get_progress: Callable[..., Any],
    console: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [0.0]
    hook = hook_at(clock)
    get_progress(hook, project_id="p_1")
    monkeypatch.delenv("AIRFLOW_CONN_OMS_DEFAULT")
    clock[0] = CONNECTION_SECONDS + 1

    with caplog.at_level(logging.WARNING):
        assert get_progress(hook, project_id="p_1").service_status == "RUNNING"

    assert "Cannot look up connection 'oms_default'; using the cached one." in caplog.text
    hook.close()


def test_broken_connection_fails_until_it_is_repaired(
    get_progress: Callable[..., Any], console: Any, connect: Connect
) -> None:
    _, change = console
    clock = [0.0]
    hook = hook_at(clock)
    get_progress(hook, project_id="p_1")
    connect("oms_default", login="user", password="p", host="a b")
    clock[0] = CONNECTION_SECONDS + 1

    for _ in range(2):
        with pytest.raises(MigrationConfigurationError, match="host must be a host name or a URL"):
            get_progress(hook, project_id="p_1")
    change("first-password")
    assert get_progress(hook, project_id="p_1").service_status == "RUNNING"
    hook.close()


async def test_kept_session_reuses_its_connection_between_polls(console: Any) -> None:
    server, _ = console
    hook = OmsHook()

    async with hook.keep_session():
        for _ in range(3):
            await hook.aget_progress("p_1")

    assert (len(server.asked), server.accepted) == (3, 1)


def test_hook_reuses_its_connection_between_polls(console: Any) -> None:
    server, _ = console
    hook = OmsHook()

    for _ in range(3):
        hook.get_progress("p_1")
    hook.close()

    assert (len(server.asked), server.accepted) == (3, 1)


def test_ipv6_address_is_reached(connect: Connect, get_progress: Callable[..., Any]) -> None:
    with Server([http(body=b'{"success": true, "data": {"status": "INIT"}}')], host="::1") as server:
        hook = OmsHook(connect(**KEY, host="::1", port=server.port))
        assert get_progress(hook, project_id="p_1").state == "pending"
        hook.close()

    assert server.asked[0].headers["host"] == f"[::1]:{server.port}"


@each_service
def test_redact_secrets_from_hooks(service: Service, connections: Connections) -> None:
    made = service.hook()
    made.get_progress(**service.ids)
    made.close()

    shown = repr(made) + repr(made._api) + repr(made._settings)

    assert "simulator-secret" not in shown
    assert "simulator-password" not in shown


@each_service
def test_targets_of_a_hook(service: Service) -> None:
    targets = service.hook().targets(**service.ids)

    assert {"succeeded", "full_done"} <= targets
    assert all(target == target.lower() for target in targets)


def test_targets_of_drs_without_job_status() -> None:
    assert DrsHook().targets(job_id="job", job_status=False) == {"full_done"}


def test_unreadable_connection_lets_the_task_retry(
    get_progress: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(conn_id: str) -> None:
        raise ConnectionError("https://user:vault-password@vault is away")

    hook = DtsHook()
    monkeypatch.setattr(hook, "get_connection", fail)

    with pytest.raises(MigrationConnectionNotFoundError, match=r"cannot be read just now \(Conn") as caught:
        get_progress(hook, migration_job_id="dts1")

    error = caught.value
    assert error.tolerated_after_success
    assert not isinstance(error, AirflowFailException)
    assert error.__cause__ is error.__context__ is None
    assert "vault-password" not in str(error)


async def test_kept_session_belongs_to_a_hook_with_a_connection(console: Any) -> None:
    hook = OmsHook()
    await hook.aget_progress("p_1")

    async with hook.keep_session():
        assert (await hook.aget_progress("p_1")).service_status == "RUNNING"


WRONG_KEY = b'{"Code": "InvalidAccessKeyId.NotFound", "RequestId": "1", "Message": "no such key"}'
LONG_AGO = {"date": "Fri, 02 Jan 2026 12:00:00 GMT"}

# --- refused credentials ----------------------------------------------------------------------------------


async def test_refused_key_is_cached_for_a_hundred_triggers(console: Any) -> None:
    server, change = console
    change("wrong-password", of_server=False)
    hook = OmsHook()

    errors = await asyncio.gather(
        *(hook.aget_progress(f"p_{number}") for number in range(100)), return_exceptions=True
    )

    assert {type(error) for error in errors} == {MigrationAuthenticationError}
    assert len(server.asked) == 1
    assert sum("is cached for 30 s" in str(error) for error in errors) == 99
    assert all("wrong-password" not in str(error) for error in errors)


def test_refused_key_is_cached_until_it_expires_or_changes(
    get_progress: Callable[..., Any], console: Any
) -> None:
    server, change = console
    change("wrong-password", of_server=False)
    clock = [0.0]

    def refuse() -> int:
        with pytest.raises(MigrationAuthenticationError):
            get_progress(hook_at(clock), project_id="p_1")
        return len(server.asked)

    assert [refuse() for _ in range(100)] == [1] * 100
    clock[0] = DOUBTFUL_SECONDS + 1
    assert refuse() == 2
    assert hook_at(clock).test_connection()[0] is False
    assert len(server.asked) == 3  # Test always asks
    change("first-password")
    assert get_progress(hook_at(clock), project_id="p_1").service_status == "RUNNING"


def test_refused_key_is_forgotten_after_a_successful_test(console: Any) -> None:
    _, change = console
    change("wrong-password", of_server=False)
    with pytest.raises(MigrationAuthenticationError):
        OmsHook().get_progress("p_1")
    change("wrong-password", of_connection=False)

    assert OmsHook().test_connection()[0]
    assert OmsHook().get_progress("p_1").service_status == "RUNNING"


@pytest.mark.parametrize(
    ("hook", "ids", "refusal", "seconds", "is_tolerated"),
    [
        # The service's own word, by a code: as long as Huawei locks a key.
        (DtsHook, {"migration_job_id": "dts1"}, http(404, WRONG_KEY), REFUSED_SECONDS, False),
        # A console refuses without a code, and so does a proxy; a clock may be set right at any moment.
        (OmsHook, {"project_id": "p_1"}, http(401, b""), DOUBTFUL_SECONDS, True),
        (OmsHook, {"project_id": "p_1"}, http(401, headers=LONG_AGO), DOUBTFUL_SECONDS, True),
        (DtsHook, {"migration_job_id": "dts1"}, http(404, WRONG_KEY, LONG_AGO), DOUBTFUL_SECONDS, True),
    ],
)
def test_refused_key_cache_time_follows_certainty(
    get_progress: Callable[..., Any],
    connect: Connect,
    hook: type[MigrationHook[Any]],
    ids: dict[str, str],
    refusal: Reply,
    seconds: float,
    is_tolerated: bool,
) -> None:
    with Server([refusal]) as server:
        conn_id = connect(**KEY, host=server.url)
        asked = []
        for moment in (0, 0, seconds - 1, seconds + 1):
            asking = hook(conn_id)
            asking.clock = replace(SYSTEM_CLOCK, monotonic=lambda now=moment: now)
            with pytest.raises(MigrationAuthenticationError) as caught:
                get_progress(asking, **ids)
            asked.append(len(server.asked))

    assert caught.value.tolerated_after_success is is_tolerated
    assert asked == [1, 1, 1, 2]


async def test_first_call_with_another_error_releases_the_others(connect: Connect) -> None:
    with Server([http(404, b"{}")]) as server:
        hook = OmsHook(connect(**KEY, host=server.url))
        await asyncio.gather(*(hook.aget_progress(f"p_{n}") for n in range(5)), return_exceptions=True)

    assert len(server.asked) >= 5


# --- the clock --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [0, 900])
def test_clock_skew_is_a_warning_of_record_and_connection_test(
    behind: int, get_progress: Callable[..., Any], connect: Connect
) -> None:
    moment = datetime(2026, 1, 2, 12, 15, tzinfo=UTC)
    date = {"date": "Fri, 02 Jan 2026 12:15:00 GMT"}
    answer = http(body=b'{"success": true, "data": {"status": "RUNNING"}}', headers=date)
    with Server([answer]) as server:
        hook = OmsHook(connect(**KEY, host=server.url))
        hook.clock = replace(hook.clock, now=lambda: moment - timedelta(seconds=behind))
        records = [get_progress(hook, project_id="p_1") for _ in range(3)]
        _, text = hook.test_connection()

    expected = ("The clock of this machine is 15 minutes behind the service's",) if behind else ()
    assert len({record.warnings for record in records}) == 1
    assert [text.partition(": correct")[0] for text in records[0].warnings] == list(expected)
    assert ("15 minutes behind" in text) is bool(behind)


# --- attributes, copies, threads --------------------------------------------------------------------------


@each_service
def test_connection_id_attribute_follows_airflow(service: Service, connect: Connect) -> None:
    hook = service.hook
    name = hook.conn_name_attr

    made = hook(**{name: "mine"})
    assert getattr(made, name) == "mine"
    setattr(made, name, "another")
    with pytest.raises(MigrationConnectionNotFoundError, match="no connection 'another'"):
        made._look_up()
    assert getattr(hook(), name) == hook.default_conn_name


def test_connection_id_may_change_after_a_call(console: Any, connect: Connect) -> None:
    hook = OmsHook()
    hook.get_progress("p_1")
    hook.oms_conn_id = "gone"  # type: ignore[attr-defined] # made by the base class

    with pytest.raises(MigrationConnectionNotFoundError, match="'gone'"):
        hook.get_progress("p_1")
    hook.close()


def test_connection_id_set_to_the_same_keeps_the_connection(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, lookups = OmsHook(), []
    look_up = OmsHook.get_connection
    monkeypatch.setattr(hook, "get_connection", lambda conn_id: lookups.append(conn_id) or look_up(conn_id))
    for _ in range(2):
        hook.oms_conn_id = "oms_default"  # type: ignore[attr-defined] # made by the base class
        hook.get_progress("p_1")
    hook.close()

    assert lookups == ["oms_default"]


def test_connection_id_of_a_shared_base_class() -> None:
    class Base(MigrationHook[Any]):
        pass

    class Hook(Base, OmsHook):
        pass

    assert Hook("mine").oms_conn_id == "mine"  # type: ignore[attr-defined] # made by the base class


@pytest.mark.parametrize(
    "travel",
    [copy.copy, copy.deepcopy, lambda hook: pickle.loads(pickle.dumps(hook))],
    ids=["copy", "deep", "pickle"],
)
@each_service
def test_copied_hook_works_and_holds_no_credentials(
    service: Service, travel: Any, connections: Connections
) -> None:
    made = service.hook()
    made.get_progress(**service.ids)
    copied = travel(made)

    assert getattr(copied, made.conn_name_attr) == made.default_conn_name
    assert not hasattr(copied, "_api")
    assert b"simulator-" not in pickle.dumps(made)
    assert copied.get_progress(**service.ids).migration_id
    copied.close()
    made.close()


def test_close_in_another_thread_ends_no_poll(console: Any) -> None:
    hook, ended = OmsHook(), threading.Event()

    def close() -> None:
        while not ended.is_set():
            hook.close()
            time.sleep(0.001)

    closing = threading.Thread(target=close)
    closing.start()
    try:
        for _ in range(50):
            assert hook.get_progress("p_1").service_status == "RUNNING"
    finally:
        ended.set()
        closing.join()
        hook.close()


async def test_replaced_ca_file_opens_one_session(
    connect: Connect,
) -> None:
    with Server([http(body=b'{"success": true, "data": {"status": "RUNNING"}}')]) as server:
        clock = [0.0]
        hook = hook_at(clock)
        connect("oms_default", **KEY, host=server.url)
        async with hook.keep_session():
            await hook.aget_progress("p_1")
            connect("oms_default", **KEY, host=server.url, extra={"verify": False})
            clock[0] = CONNECTION_SECONDS + 1
            for _ in range(5):
                await hook.aget_progress("p_1")

    assert server.accepted == 2


# --- look-ups that hang -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_known", [False, True])
async def test_hanging_look_up_is_bounded_and_blocks_no_thread(
    is_known: bool, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On some releases of Airflow 3 all requests to the supervisor must share one thread.
    monkeypatch.setattr("airflow_provider_migration.compat.can_look_up_beside_others", lambda: True)
    begun, released = threading.Event(), threading.Event()
    clock, lookups = [0.0], []
    hook = hook_at(clock)

    def hang(conn_id: str) -> None:
        lookups.append(conn_id)
        begun.set()
        released.wait(30)

    if is_known:
        await hook.aget_progress("p_1")
        clock[0] = CONNECTION_SECONDS + 1
    monkeypatch.setattr("airflow_provider_migration.hooks.base.LOOK_UP_SECONDS", 0.3)
    monkeypatch.setattr(hook, "get_connection", hang)
    try:
        polls = [asyncio.create_task(hook.aget_progress(f"p_{number}")) for number in range(20)]
        await asyncio.to_thread(begun.wait)
        async with asyncio.timeout(10):  # as XCom is written
            assert await sync_to_async(lambda: "written")() == "written"
        results = await asyncio.gather(*polls, return_exceptions=True)
        assert lookups == ["oms_default"]
    finally:
        released.set()

    if is_known:
        assert {result.service_status for result in results} == {"RUNNING"}  # type: ignore[union-attr] # no errors
    else:
        assert {type(result) for result in results} == {MigrationConnectionNotFoundError}
        assert "no answer within 0.3 s" in str(results[0])


async def test_hanging_look_up_leaves_threads_for_others(
    console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many look-ups hang as there are threads; the next ones share threads that are free."""
    monkeypatch.setattr("airflow_provider_migration.compat.can_look_up_beside_others", lambda: True)
    released, threads = threading.Event(), base._look_ups()
    hanging = [OmsHook() for _ in range(threads._max_workers)]
    for hook in hanging:
        monkeypatch.setattr(hook, "get_connection", lambda conn_id: released.wait(30))
    try:
        with monkeypatch.context() as patch:
            patch.setattr("airflow_provider_migration.hooks.base.LOOK_UP_SECONDS", 0.1)
            errors = await asyncio.gather(
                *(hook.aget_progress("p_1") for hook in hanging), return_exceptions=True
            )
        assert {type(error) for error in errors} == {MigrationConnectionNotFoundError}
        others = base._look_ups()
        for _ in range(2):
            async with asyncio.timeout(10):
                assert (await OmsHook().aget_progress("p_1")).service_status == "RUNNING"
    finally:
        released.set()

    assert base._look_ups() is others is not threads


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"schema": "dts"}, "schema (in a URI: the path) is ignored"),
        ({"extra": {"regoin": "cn-hangzhou"}}, "'regoin' in extra is ignored; did you mean 'region'?"),
        ({"extra": {"projectid": "x"}}, "did you mean 'project_id'?"),
        ({"extra": {"read-timeout": 5}}, "did you mean 'read_timeout'?"),
        ({"extra": {"region_id": "cn-hangzhou", "verify": True, "team": "blue"}}, None),
        ({}, None),
    ],
)
def test_connection_test_warns_of_unused_fields(
    fields: dict[str, Any], says: str | None, connect: Connect
) -> None:
    with Server([http(200, b'{"Success": true, "MigrationJobStatus": "Migrating"}')]) as server:
        works, text = DtsHook(connect(**KEY, host=server.url, **fields)).test_connection()

    assert works
    assert (says in text) if says else ("ignored" not in text)
