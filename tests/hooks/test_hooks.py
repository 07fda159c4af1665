"""The hooks' calls against the simulator, and when a connection is looked up again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_migration import transport
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationNotFoundError,
)
from airflow_provider_migration.hooks.base import CONNECTION_SECONDS
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.simulator.scripts import SCRIPTS
from tests.servers import Asked, Reply, Server, http

Connect = Callable[..., str]
Connections = dict[str, dict[str, Any]]

DRS_JOB = "163b98e8-6088-46c3-8b86-c18fea6jb502"
CASES = [
    (DataWorksHook, {"project_id": 123456, "migration_id": 1234}),
    (DtsHook, {"migration_job_id": "dtsdemo0001"}),
    (OmsHook, {"project_id": "p_demo0001"}),
    (DrsHook, {"job_id": DRS_JOB}),
]
IDS = ["dataworks", "dts", "oms", "drs"]
HOOKS = [hook for hook, _ in CASES]
KEY = {"login": "some-key-id", "password": "some-key-secret"}


# --- against the simulator -----------------------------------------------------------------------------


@pytest.mark.parametrize(("hook", "ids"), CASES, ids=IDS)
def test_each_hook_and_its_twin_make_a_record(
    hook: Any, ids: dict[str, Any], get_progress: Callable[..., Any], connections: Connections
) -> None:
    record = get_progress(hook(), **ids)

    assert record.service in IDS
    assert record.migration_id in {str(value) for value in ids.values()}
    assert record.state.value != "unknown"
    assert record.request_id or record.service == "oms"


@pytest.mark.parametrize(("hook", "ids"), CASES, ids=IDS)
def test_an_id_that_the_service_does_not_know_is_not_found(
    hook: Any, ids: dict[str, Any], get_progress: Callable[..., Any], connections: Connections
) -> None:
    last = list(ids)[-1]

    with pytest.raises(MigrationNotFoundError):
        get_progress(hook(), **{**ids, last: "999" if hook is DataWorksHook else "nothing-of-this-name"})


@pytest.mark.parametrize(("hook", "ids"), CASES, ids=IDS)
def test_a_wrong_password_is_refused_and_asked_for_only_once(
    hook: Any,
    ids: dict[str, Any],
    get_progress: Callable[..., Any],
    connections: Connections,
    connect: Connect,
    simulator: Simulator,
) -> None:
    connect(hook.default_conn_name, **{**connections[hook.default_conn_name], "password": "wrong-secret"})
    before = len(simulator.requests)

    with pytest.raises(MigrationAuthenticationError) as caught:
        get_progress(hook(), **ids)

    assert len(simulator.requests) == before + 1
    assert "wrong-secret" not in str(caught.value)


def test_a_refusal_names_the_connection_and_its_type_where_it_is_of_another_service(
    get_progress: Callable[..., Any], connections: Connections, connect: Connect
) -> None:
    wrong = {"host": connections["dts_default"]["host"], "login": "somebody", "password": "wrong-secret"}
    connect("mine", conn_type="alibaba_dts", **wrong)
    connect("another", conn_type="oceanbase_oms", **wrong)

    for conn_id, said in (("mine", "is 'mine'[.]"), ("another", "is 'another', of type 'oceanbase_oms'[.]")):
        with pytest.raises(MigrationAuthenticationError, match=f"The connection {said}$"):
            get_progress(DtsHook(conn_id), migration_job_id="dts1")


async def test_those_who_are_refused_together_are_each_told_of_the_connection_once(
    connections: Connections, connect: Connect
) -> None:
    connect("mine", **{**connections["dts_default"], "password": "wrong-secret"})
    hook = DtsHook("mine", api="DescribeDtsJobs")

    errors = await asyncio.gather(
        *(hook.aget_progress(f"dts{number}") for number in range(3)), return_exceptions=True
    )

    assert [str(error).count("The connection is 'mine'.") for error in errors] == [1, 1, 1]


def test_dataworks_tells_steps_and_status(connections: Connections) -> None:
    hook = DataWorksHook()

    assert hook.get_migration_summary(123456, "1234").data.status
    assert hook.get_migration_process("123456", 1234).request_id


def test_dts_tells_a_job(connections: Connections) -> None:
    assert DtsHook().describe_migration_job_status("dtsdemo0001").migration_job_name == "MySQL migration"


def test_dts_lists_jobs(connections: Connections) -> None:
    (job,) = DtsHook().describe_dts_jobs(["dtsdemo0001", "dtsnobody"]).dts_job_list or []

    assert job.dts_job_name == "MySQL migration"


@pytest.mark.parametrize(
    ("second", "works"), [(http(200, b'{"Success": true, "DtsJobList": []}'), True), (None, False)]
)
def test_a_key_that_may_make_one_of_the_calls_of_dts_passes_the_test(
    second: Reply | None, works: bool, connect: Connect
) -> None:
    forbidden = http(403, b'{"Code": "Forbidden.RAM", "Message": "no right"}')
    with Server([forbidden, second or forbidden]) as server:
        result, message = DtsHook(connect(**KEY, host=server.url)).test_connection()

    assert result is works
    assert ("DescribeDtsJobs" in message) is not works


def test_a_call_that_dts_does_not_have_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(MigrationConfigurationError, match="api must be DescribeMigrationJobStatus or Desc"):
        DtsHook(api="DescribeJobs")


@pytest.mark.parametrize("script", SCRIPTS["dts"])
def test_both_calls_of_dts_make_the_same_record(script: str, connect: Connect) -> None:
    scenario = {"migrations": [{"service": "dts", "migration_job_id": "dts1", "script": script}]}
    clock = [1_800_000_000.0]

    def tell(hook: DtsHook) -> dict[str, Any]:
        record = hook.get_progress("dts1", max_lag=60).model_dump(exclude={"request_id", "observed_at"})
        hook.close()
        return record

    with Simulator(scenario, clock=lambda: clock[0]) as simulator:
        conn_id = connect("dts", **simulator.connections()["dts_default"])
        hooks = [DtsHook(conn_id), DtsHook(conn_id, api="DescribeDtsJobs")]
        for hook in hooks:
            hook.world = replace(hook.world, now=lambda: datetime.fromtimestamp(clock[0], UTC))
        for second in range(0, 70, 3):
            simulator.jump("dts", "dts1", second)
            # The list knows the lag to the millisecond, but the simulator tells both in seconds.
            assert tell(hooks[0]) == tell(hooks[1])


async def test_many_jobs_of_dts_are_asked_for_at_once(connect: Connect) -> None:
    ids = [f"dts{number:03}" for number in range(40)]
    scenario = {"migrations": [{"service": "dts", "migration_job_id": item} for item in ids]}
    with Simulator(scenario) as simulator:
        hook = DtsHook(connect("dts", **simulator.connections()["dts_default"]), api="DescribeDtsJobs")
        records = await asyncio.gather(*(hook.aget_progress(item) for item in ids))

    assert [record.migration_id for record in records] == ids
    at_once = [len(asked.id.split(",")) for asked in simulator.requests]
    assert sum(at_once) == 40
    assert max(at_once) == 30
    assert len(at_once) <= 3  # who comes first may go alone


def test_a_job_that_only_the_list_of_dts_knows_is_found_and_costs_one_call_from_then_on(
    get_progress: Callable[..., Any], connect: Connect
) -> None:
    scenario = {"migrations": [{"service": "dts", "migration_job_id": "dts1", "legacy": False}]}
    with Simulator(scenario) as simulator:
        hook = DtsHook(connect("dts", **simulator.connections()["dts_default"]))
        for _ in range(3):
            assert get_progress(hook, migration_job_id="dts1").state == "pending"
        hook.close()

    assert [asked.action for asked in simulator.requests] == [
        "DescribeMigrationJobStatus",
        *["DescribeDtsJobs"] * 3,
    ]


def test_dataworks_tells_once_why_a_package_has_failed(
    get_progress: Callable[..., Any], connect: Connect
) -> None:
    scenario = {"migrations": [{"service": "dataworks", "migration_id": 7, "script": "failure"}]}
    with Simulator(scenario, speed=0.001) as simulator:
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
def test_each_credential_of_huawei_finds_its_project_once(
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
    assert asked == [*first, "KeystoneListProjects", *["BatchListProgresses"] * 4]


@pytest.mark.parametrize("place", ["password", "extra"])
def test_a_token_from_elsewhere_is_used_as_it_is(
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


def test_a_token_that_was_replaced_is_taken_up_when_the_old_one_is_refused(
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


def test_a_revoked_agency_is_assumed_anew(
    drs_with: Callable[..., DrsHook], get_progress: Callable[..., Any], simulator: Simulator
) -> None:
    hook = drs_with(extra=AGENCY)
    get_progress(hook, job_id=DRS_JOB)
    simulator.revoke_tokens()

    assert get_progress(hook, job_id=DRS_JOB).state != "unknown"
    hook.close()


async def test_many_who_begin_together_look_for_their_project_once(
    drs_with: Callable[..., DrsHook], simulator: Simulator
) -> None:
    hook, before = drs_with(extra=AGENCY), len(simulator.requests)

    await asyncio.gather(*(hook.aget_progress(DRS_JOB, []) for _ in range(20)))

    asked = [request.action for request in simulator.requests[before:]]
    assert asked.count("CreateTemporaryAccessKeyByAgency") == 1
    assert asked.count("KeystoneListAuthDomains") == asked.count("KeystoneListProjects") == 1


def test_a_region_of_which_iam_has_no_project_is_named(drs_with: Callable[..., DrsHook]) -> None:
    works, message = drs_with(extra={"region": "eu-west-101"}).test_connection()

    assert not works
    assert "0 projects of the name 'eu-west-101'" in message


def test_oms_tells_a_project(connections: Connections) -> None:
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
def test_each_form_of_oms_makes_the_same_record(
    script: str, ids: dict[str, str], extra: dict[str, str], oms_with: Callable[..., OmsHook]
) -> None:
    clock = [1_800_000_000.0]
    migrations = [{"service": "oms", "project_id": project, "script": script} for project in ("p_1", "np_1")]

    def tell(hook: OmsHook, project: str) -> dict[str, Any]:
        hook.world = replace(hook.world, now=lambda: datetime.fromtimestamp(clock[0], UTC))
        hook._look_up()
        hook._api = replace(hook._api, clock=lambda: datetime.fromtimestamp(clock[0], UTC))
        record = hook.get_progress(project)
        hook.close()
        return {
            "state": record.state,
            "percent": record.percent,
            "words": record.words_reached,
            "phases": [(phase.name, phase.state, phase.percent) for phase in record.phases],
            "lag": record.lag_seconds and round(record.lag_seconds, -1),
        }

    with Simulator({"migrations": migrations}, clock=lambda: clock[0]) as simulator:
        for second in range(0, 70, 3):
            for project in ("p_1", "np_1"):
                simulator.jump("oms", project, second)
            old = tell(oms_with(simulator, {}), "p_1")
            assert tell(oms_with(simulator, extra), ids["project_id"]) == old


@pytest.mark.parametrize(("ids", "extra"), NEW_OMS, ids=["console", "hosted"])
def test_the_newer_forms_of_oms_tell_the_steps(
    ids: dict[str, str],
    extra: dict[str, str],
    oms_with: Callable[..., OmsHook],
    get_progress: Callable[..., Any],
) -> None:
    scenario = {"migrations": [{"service": "oms", "project_id": "np_1", "script": "failure"}]}
    with Simulator(scenario, speed=0.001) as simulator:
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
def test_the_test_of_a_connection_to_oms_works_in_each_form(
    extra: dict[str, str], oms_with: Callable[..., OmsHook], simulator: Simulator
) -> None:
    works, message = oms_with(simulator, extra).test_connection()

    assert works
    assert ("AccessKey ID SIMU…" if extra else "user 'simulator'") in message


def test_a_console_without_the_older_call_is_tested_with_the_newer_one(connect: Connect) -> None:
    unknown = json.dumps({"success": False, "code": "GHANA-PROJECT000001"}).encode()
    with Server([http(404, b"<html>"), http(200, unknown)]) as server:
        works, _ = OmsHook(connect(**KEY, host=server.url)).test_connection()

    assert works
    assert [asked.target for asked in server.asked] == [
        "/api/omsp/v2/migrations/p_connectiontest/progress",
        "/api/v2?Action=DescribeProjectProgress",
    ]


def test_what_is_no_console_is_told_apart_from_one_without_the_older_call(connect: Connect) -> None:
    with Server([http(404, b"<html>")]) as server:
        works, message = OmsHook(connect(**KEY, host=server.url)).test_connection()

    assert not works
    assert "not a JSON object" in message


def test_a_call_that_oms_does_not_have_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(MigrationConfigurationError, match="api must be GetMigrationProgress or Describe"):
        OmsHook(api="DescribeProject")


def test_drs_tells_a_job_and_its_objects(connections: Connections, simulator: Simulator) -> None:
    hook = DrsHook()
    hook.get_job_status(DRS_JOB)
    simulator.jump("drs", DRS_JOB, 15)

    assert hook.get_job_status(DRS_JOB).transfer_status == "FULL_TRANSFER_STARTED"
    assert len(list(hook.iter_progress_data(DRS_JOB, "table", limit=7))) == 40


@pytest.mark.parametrize("asks", ["sync", "async"])
def test_drs_asks_iam_for_one_token_and_for_another_when_it_is_refused(
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


IDENTITIES = {
    DataWorksHook: "AccessKey ID SIMU…",
    DtsHook: "AccessKey ID SIMU…",
    OmsHook: "user 'simulator'",
    DrsHook: "AK SIMU…",
}


@pytest.mark.parametrize("hook", HOOKS, ids=IDS)
def test_right_credentials_pass_the_test(hook: Any, connections: Connections) -> None:
    works, text = hook().test_connection()

    assert works, text
    address = connections[hook.default_conn_name]["host"]
    assert text.startswith(f"{hook.hook_name} at {address} answered and accepted {IDENTITIES[hook]}. ")


def test_a_password_of_huawei_passes_the_test_as_its_user(connections: Connections, connect: Connect) -> None:
    drs = connections["drs_default"]
    extra = {**drs["extra"], "auth_type": "password", "domain_name": "account"}
    conn_id = connect(**{**drs, "login": "simulator", "password": "simulator-password", "extra": extra})

    works, text = DrsHook(conn_id).test_connection()

    assert works, text
    assert "accepted IAM user 'simulator' of 'account'" in text


@pytest.mark.parametrize("hook", HOOKS, ids=IDS)
def test_wrong_credentials_fail_the_test(hook: Any, connections: Connections, connect: Connect) -> None:
    connect(hook.default_conn_name, **{**connections[hook.default_conn_name], "password": "wrong-secret"})

    works, text = hook().test_connection()

    assert not works
    assert "Check login and password" in text
    assert "wrong-secret" not in text


@pytest.mark.parametrize("hook", HOOKS, ids=IDS)
def test_a_connection_that_cannot_be_read_fails_the_test(hook: Any, connect: Connect) -> None:
    works, text = hook(connect(host="a b")).test_connection()

    assert not works
    assert text.startswith("Connection 'some_conn': host is no address")


@pytest.mark.parametrize("hook", HOOKS, ids=IDS)
@pytest.mark.parametrize("status", [400, 404])
def test_another_server_fails_the_test(hook: Any, status: int, connect: Connect) -> None:
    with Server([http(status, b"<html>", {"content-type": "text/html"})]) as server:
        conn_id = connect(**KEY, host=server.url, extra={"project_id": "p", "region": "r"})
        works, text = hook(conn_id).test_connection()

    assert not works
    assert f"HTTP {status}, not a JSON object (text/html, 6 bytes)" in text


# --- optional parameters -------------------------------------------------------------------------------


def test_dts_takes_the_parameters_that_the_vendor_documents(connect: Connect) -> None:
    with Server([http(body=b'{"Success": true}')]) as server:
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


def test_drs_asks_for_the_next_page_only_when_it_is_needed(drs: Any) -> None:
    hook, server = drs

    rows = hook.iter_progress_data("job", "table", limit=2)

    assert len(server.asked) == 0
    assert [next(rows).src_tb, next(rows).src_tb] == ["t0", "t1"]
    assert len(server.asked) == 1
    assert next(rows).src_tb == "t2"
    assert len(server.asked) == 2
    assert [row.src_tb for row in rows] == ["t3", "t4"]
    assert len(server.asked) == 3


def test_drs_begins_where_it_is_told_to_in_the_language_it_is_told(drs: Any) -> None:
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
def test_drs_refuses_arguments_before_anything_is_asked(
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


def hook_at(clock: list[float]) -> OmsHook:
    hook = OmsHook()
    hook.world = replace(transport.WORLD, monotonic=lambda: clock[0])
    return hook


def test_a_connection_is_looked_up_once_for_five_minutes(
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


def test_a_password_that_was_changed_is_taken_up_when_the_old_one_is_refused(
    get_progress: Callable[..., Any], console: Any
) -> None:
    server, change = console
    hook = OmsHook()
    get_progress(hook, project_id="p_1")
    change("second-password")

    assert get_progress(hook, project_id="p_1").service_status == "RUNNING"
    assert len(server.asked) == 3
    hook.close()


async def test_a_password_that_is_changed_while_many_poll_is_looked_up_once_for_all(
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


async def test_a_password_that_is_changed_after_another_has_looked_is_looked_up_all_the_same(
    console: Any,
) -> None:
    _, change = console
    hook = OmsHook()
    await hook.aget_progress(project_id="p_1")
    before = hook._calls_on_this_loop().quota
    before.hold(0.3)  # the poll waits for its turn …
    waiting = asyncio.create_task(hook.aget_progress(project_id="p_1"))
    await asyncio.sleep(0.1)
    await hook._alook_up(hook.world.monotonic())  # … while another looks the old password up
    change("second-password")

    assert (await waiting).service_status == "RUNNING"


@pytest.mark.parametrize(("service", "pace"), [(DataWorksHook, 5), (OmsHook, None)])
def test_a_hook_keeps_the_pace_that_its_service_names(service: type[Any], pace: float | None) -> None:
    assert service.calls_per_second == pace


def test_a_hook_may_be_used_on_one_event_loop_after_the_other(console: Any) -> None:
    hook = OmsHook()
    for _ in range(2):
        assert asyncio.run(hook.aget_progress(project_id="p_1")).service_status == "RUNNING"


def test_what_a_changed_connection_says_of_the_way_counts_at_once(console: Any, connect: Connect) -> None:
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


def test_a_password_that_is_wrong_and_was_not_changed_is_tried_once(
    get_progress: Callable[..., Any], console: Any
) -> None:
    server, change = console
    change("wrong-password", of_server=False)

    with pytest.raises(MigrationAuthenticationError) as caught:
        get_progress(OmsHook(), project_id="p_1")

    assert len(server.asked) == 1
    assert "wrong-password" not in str(caught.value)


def test_a_connection_that_cannot_be_looked_up_again_goes_on_as_known(
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

    assert "Connection 'oms_default' cannot be looked up; going on with what is known." in caplog.text
    hook.close()


def test_a_connection_that_has_become_wrong_stays_wrong_until_it_is_repaired(
    get_progress: Callable[..., Any], console: Any, connect: Connect
) -> None:
    _, change = console
    clock = [0.0]
    hook = hook_at(clock)
    get_progress(hook, project_id="p_1")
    connect("oms_default", login="user", password="p", host="a b")
    clock[0] = CONNECTION_SECONDS + 1

    for _ in range(2):
        with pytest.raises(MigrationConfigurationError, match="host is no address"):
            get_progress(hook, project_id="p_1")
    change("first-password")
    assert get_progress(hook, project_id="p_1").service_status == "RUNNING"
    hook.close()


async def test_a_kept_session_keeps_its_connection_between_polls(console: Any) -> None:
    server, _ = console
    hook = OmsHook()

    async with hook.keep_session():
        for _ in range(3):
            await hook.aget_progress("p_1")

    assert (len(server.asked), server.accepted) == (3, 1)


def test_a_hook_keeps_its_connection_between_polls(console: Any) -> None:
    server, _ = console
    hook = OmsHook()

    for _ in range(3):
        hook.get_progress("p_1")
    hook.close()

    assert (len(server.asked), server.accepted) == (3, 1)


def test_a_hook_reaches_an_ipv6_address(connect: Connect, get_progress: Callable[..., Any]) -> None:
    with Server([http(body=b'{"success": true, "data": {"status": "INIT"}}')], host="::1") as server:
        hook = OmsHook(connect(**KEY, host="::1", port=server.port))
        assert get_progress(hook, project_id="p_1").state == "pending"
        hook.close()

    assert server.asked[0].headers["host"] == f"[::1]:{server.port}"


@pytest.mark.parametrize(("hook", "ids"), CASES, ids=IDS)
def test_a_hook_shows_no_secret(hook: Any, ids: dict[str, Any], connections: Connections) -> None:
    made = hook()
    made.get_progress(**ids)
    made.close()

    shown = repr(made) + repr(made._api) + repr(made._settings)

    assert "simulator-secret" not in shown
    assert "simulator-password" not in shown


@pytest.mark.parametrize(("hook", "ids"), CASES, ids=IDS)
def test_a_hook_knows_what_can_be_waited_for(hook: Any, ids: dict[str, Any]) -> None:
    targets = hook().targets(**ids)

    assert {"succeeded", "full_done"} <= targets
    assert all(target == target.lower() for target in targets)


def test_without_its_status_only_the_copy_of_a_drs_job_can_be_waited_for() -> None:
    assert DrsHook().targets(job_id="job", job_status=False) == {"full_done"}


def test_an_airflow_that_cannot_answer_is_not_taken_for_a_missing_connection(
    get_progress: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(conn_id: str) -> None:
        raise ConnectionError("the API server is away")

    hook = DtsHook()
    monkeypatch.setattr(hook, "get_connection", fail)

    with pytest.raises(ConnectionError, match="away"):
        get_progress(hook, migration_job_id="dts1")


async def test_a_session_is_kept_by_a_hook_that_has_its_connection_already(console: Any) -> None:
    hook = OmsHook()
    await hook.aget_progress("p_1")

    async with hook.keep_session():
        assert (await hook.aget_progress("p_1")).service_status == "RUNNING"
