"""Redaction over real sockets: both drivers, all services, every place in which a secret may be echoed."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest
from pydantic import BaseModel

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.huawei import TokenSigner
from airflow_provider_migration.exceptions import MigrationApiError, MigrationError
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.progress import MILESTONES, MigrationProgress
from airflow_provider_migration.sansio import VERBATIM, Response
from airflow_provider_migration.services.wire import WireModel
from airflow_provider_migration.transport.redaction import encodings, may_hold, redact
from airflow_provider_migration.wait.messages import describe
from airflow_provider_migration.wait.tracker import target_reached
from tests.servers import Asked, Reply, Server, http

SECRET = 'pa"ss/word+of=<ours>&'
Answers = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """
    A service with one migration on its way, as its answers tell it.

    :param answers: by action.
    :param failed: the same once it has failed, each free text being ``said``.
    :param raw: the calls of the hook that return answers as they are.
    """

    hook: type[MigrationHook[Any]]
    login: Mapping[str, Any]
    ids: Mapping[str, Any]
    answers: Answers
    failed: Callable[[str], Answers]
    raw: Mapping[str, Callable[[Any], Any]]


def dts_failed(said: str) -> Answers:
    section = {"Status": "Failed", "Percent": "40", "ErrorMessage": said}
    item = {"ItemName": said, "CheckStatus": "Failed", "ErrorMessage": said, "RepairMethod": said}
    listed = {"CheckItem": said, "CheckResult": "Failed", "FailedReason": said, "RepairMethod": said}
    endpoint = {"EngineName": "mysql", "InstanceID": "rm-1", "DatabaseName": said}
    alike = {
        "MigrationMode": {"DataInitialization": True},
        "DataInitializationStatus": section,
        "SourceEndpoint": endpoint,
        "DestinationEndpoint": endpoint,
    }
    return {
        "DescribeMigrationJobStatus": {
            "Success": True,
            "RequestId": said,
            "MigrationJobStatus": "MigrationFailed",
            "MigrationJobName": said,
            "PrecheckStatus": {**section, "Detail": {"CheckItem": [item]}},
            **alike,
        },
        "DescribeDtsJobs": {
            "Success": True,
            "RequestId": said,
            "DtsJobList": [
                {
                    "DtsInstanceID": "dts10001",
                    "DtsJobName": said,
                    "Status": "MigrationFailed",
                    "ErrorMessage": said,
                    "MigrationErrWorkaround": said,
                    "PrecheckStatus": {**section, "Detail": [listed]},
                    **alike,
                }
            ],
        },
    }


def dataworks_failed(said: str) -> Answers:
    package = {"Status": "IMPORT_ERROR", "Name": said, "CreateUser": said, "OpUser": said}
    steps = [{"TaskName": said, "TaskStatus": "FAILURE"}]
    listed = {"Id": "2000001", "Name": said, "Message": said}
    return {
        "GetMigrationSummary": {"Success": True, "RequestId": said, "Data": package},
        "GetMigrationProcess": {"Success": True, "RequestId": said, "Data": steps},
        "ListMigrations": {"Success": True, "Data": {"Migrations": [listed]}},
    }


def oms_failed(said: str) -> Answers:
    detail = {"code": said, "message": said, "reason": f"why {said}", "proposal": f"do {said}"}
    told = {"success": True, "message": said, "advice": said, "requestId": said, "errorDetail": detail}
    step = {"name": "FULL_TRANSFER", "status": "FAILED", "extraInfo": {"errorMsg": said}}
    return {
        "DescribeProjectProgress": {**told, "data": {"status": "FAILED", "currentStep": "FULL_TRANSFER"}},
        "DescribeProjectSteps": {"success": True, "requestId": said, "data": [step]},
    }


def drs_failed(said: str) -> Answers:
    job = {"job_id": "job10001", "transfer_status": "FULL_TRANSFER_FAILED", "progress": "40"}
    rows = [{"src_db": said, "src_tb": said, "dst_db": said, "dst_tb": said, "progress": 40}]
    return {
        "batch-progress": {"results": [{**job, "error_code": said, "error_msg": said}]},
        "progress-data": {"count": 1, "create_time": said, "flow_compare_data": rows},
    }


CASES = (
    Case(
        DataWorksHook,
        {"login": "some-key-id"},
        {"project_id": 1000001, "migration_id": 2000001},
        {
            "GetMigrationSummary": {
                "Success": True,
                "RequestId": "request-1",
                "Data": {"Status": "IMPORTING", "Name": "nightly import", "ProjectId": 1000001},
            },
            "GetMigrationProcess": {
                "Success": True,
                "Data": [
                    {"TaskName": "resources", "TaskStatus": "SUCCESS"},
                    {"TaskName": "tables", "TaskStatus": "RUNNING"},
                ],
            },
        },
        dataworks_failed,
        {
            "summary": lambda hook: hook.get_migration_summary(1000001, 2000001),
            "process": lambda hook: hook.get_migration_process(1000001, 2000001),
        },
    ),
    Case(
        DtsHook,
        {"login": "some-key-id"},
        {"migration_job_id": "dts10001"},
        {
            "DescribeMigrationJobStatus": {
                "Success": True,
                "RequestId": "request-1",
                "MigrationJobId": "dts10001",
                "MigrationJobName": "orders",
                "MigrationJobStatus": "Migrating",
                "TaskId": "task10001",
                "MigrationMode": dict.fromkeys(
                    ("StructureInitialization", "DataInitialization", "DataSynchronization"), True
                ),
                "StructureInitializationStatus": {
                    "Status": "Finished",
                    "Percent": "100",
                    "Progress": "10000",
                },
                "DataInitializationStatus": {"Status": "Finished", "Percent": "100", "Progress": "10000"},
                "DataSynchronizationStatus": {"Status": "Catched", "Delay": "10", "Checkpoint": "1600000000"},
            }
        },
        dts_failed,
        {
            "status": lambda hook: hook.describe_migration_job_status("dts10001"),
            "jobs": lambda hook: hook.describe_dts_jobs(["dts10001"]),
            "datasets": lambda hook: hook.get_datasets(migration_job_id="dts10001"),
        },
    ),
    Case(
        OmsHook,
        {"login": "user"},
        {"project_id": "np_10001"},
        {
            "DescribeProjectProgress": {
                "success": True,
                "requestId": "request-1",
                "data": {
                    "status": "RUNNING",
                    "currentStep": "FULL_TRANSFER",
                    "enableFullTransfer": True,
                    "enableIncrSync": True,
                    "fullTransferProgress": "100",
                },
            },
            "DescribeProjectSteps": {
                "success": True,
                "data": [
                    {"name": "TRANSFER_PRECHECK", "status": "FINISHED"},
                    {
                        "name": "FULL_TRANSFER",
                        "status": "MONITORING",
                        "stepInfo": {"processedRecords": 10000},
                    },
                ],
            },
        },
        oms_failed,
        {
            "progress": lambda hook: hook.get_migration_progress("np_10001"),
            "steps": lambda hook: hook.describe_project_steps("np_10001"),
        },
    ),
    Case(
        DrsHook,
        {"extra": {"auth_type": "token", "project_id": "project10001"}},
        {"job_id": "job10001"},
        {
            "batch-progress": {
                "results": [
                    {
                        "job_id": "job10001",
                        "transfer_status": "INCRE_TRANSFER_STARTED",
                        "task_mode": "FULL_INCR_TRANS",
                        "progress": "100",
                        "incre_trans_delay": "10",
                    },
                    {
                        "job_id": "child10001",
                        "transfer_status": "RELEASE_RESOURCE_COMPLETE",
                        "task_mode": "FULL_TRANS",
                        "progress": "100",
                    },
                ]
            },
            "jobs": {
                "total_record": 1,
                "jobs": [
                    {
                        "id": "job10001",
                        "db_use_type": "migration",
                        "job_mode_role": "parent",
                        "children": [{"id": "child10001"}],
                    }
                ],
            },
        },
        drs_failed,
        {
            "status": lambda hook: hook.get_job_status("job10001"),
            "objects": lambda hook: list(hook.iter_progress_data("job10001", "table")),
        },
    ),
)
NAMES = [case.hook.service for case in CASES]


def action_of(asked: Asked) -> str:
    """Return which of the answers a request is for."""
    if action := asked.headers.get("x-acs-action"):
        return action
    parts = urlsplit(asked.target)
    if actions := parse_qs(parts.query).get("Action"):
        return actions[0]
    if parts.path.endswith("/jobs"):
        return "jobs"
    return "batch-progress" if asked.method == "POST" else "progress-data"


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that answer by action, and stop them after the test."""
    started: list[Server] = []

    def start(answers: Answers, headers: Mapping[str, str] | None = None, encoding: str = "utf-8") -> Server:
        def reply(asked: Asked) -> Reply:
            answer = answers[action_of(asked)]
            text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
            return http(200, text.encode(encoding), headers)

        server = Server([reply])
        server.__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__()


@pytest.fixture
def hook_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Make a hook with a password, for a server."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    hooks: list[Any] = []

    def make(case: Case, url: str, password: str, **arguments: Any) -> Any:
        extra = {"region": "cn-north-4", **case.login.get("extra", {})}
        connection = {"conn_type": "generic", "host": url, "password": password, **case.login}
        monkeypatch.setenv("AIRFLOW_CONN_SOME", json.dumps({**connection, "extra": extra}))
        hooks.append(case.hook("some", **arguments))
        return hooks[-1]

    yield make
    for hook in hooks:
        hook.close()


@pytest.fixture(params=["sync", "async"])
def poll(request: pytest.FixtureRequest) -> Callable[..., MigrationProgress]:
    """Ask a hook for a record with one driver, then with the other."""

    def ask(hook: Any, ids: Mapping[str, Any]) -> Any:
        if request.param == "sync":
            return hook.get_progress(**ids)
        return asyncio.run(hook.aget_progress(**ids))

    return ask


def texts_in(value: Any) -> Iterator[str]:
    """Give every value of an answer as text, and the names that it has."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from (name, *texts_in(item))
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    else:
        yield str(value)


def decision(case: Case, progress: MigrationProgress) -> dict[str, Any]:
    """Return all of a record that decides."""
    words = (*MILESTONES, *case.hook("some").targets(**case.ids))
    return {
        **progress.model_dump(include={"state", "service_status", "percent", "lag_seconds", "checkpoint"}),
        "migration_id": progress.migration_id,
        "console_url": progress.console_url,
        "statuses_reached": progress.statuses_reached,
        "targets": {word for word in words if target_reached(progress, word)},
        "phases": [
            (phase.state, phase.service_status, phase.percent, phase.done, phase.total)
            for phase in progress.phases
        ],
    }


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_redact_changes_no_decision(
    case: Case, serve: Serve, hook_of: Callable[..., Any], poll: Callable[..., MigrationProgress]
) -> None:
    """A password may be any word or number of the answer: a status, a phase, a step, an id, a name."""
    url = serve(case.answers).url
    expected = decision(case, poll(hook_of(case, url, "nothing-of-this-answer"), case.ids))
    words = sorted({text for text in texts_in(case.answers) if len(text) >= 5 and text.isascii()})
    assert len(words) > 8

    for word in words:
        if " " in word and case.hook is not OmsHook:
            continue  # not a key
        assert decision(case, poll(hook_of(case, url, word), case.ids)) == expected, word


def spellings(secret: str) -> list[str]:
    """Return how a service may spell a secret, in parsed JSON."""
    encoded = {quote(secret, safe=""), quote_plus(secret)}
    small = {re.sub("%..", lambda match: match[0].lower(), text) for text in encoded}
    return sorted({secret, json.dumps(secret)[1:-1], html.escape(secret), *encoded, *small})


def assert_is_redacted(*shown: Any) -> None:
    text = "\n".join(item if isinstance(item, str) else repr(item) for item in shown)
    assert "***" in text
    for secret in spellings(SECRET):
        assert secret not in text
        assert repr(secret)[1:-1] not in text
        assert json.dumps(secret)[1:-1] not in text


@pytest.mark.parametrize("spelling", spellings(SECRET))
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_redact_echoes_in_records(
    case: Case,
    spelling: str,
    serve: Serve,
    hook_of: Callable[..., Any],
    poll: Callable[..., MigrationProgress],
) -> None:
    server = serve(case.failed(spelling), {"x-request-id": f"r {spelling}"})
    progress = poll(hook_of(case, server.url, SECRET), case.ids)

    assert progress.state == "failed"
    assert progress.error
    assert "***" in str(progress.error.message)
    assert_is_redacted(
        progress, progress.model_dump_json(), *progress.warnings, describe(progress), str(progress.name)
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("case", "call"),
    [
        pytest.param(case, call, id=f"{case.hook.service} {name}")
        for case in CASES
        for name, call in case.raw.items()
    ],
)
def test_redact_raw_answers(
    case: Case, call: Callable[[Any], Any], encoding: str, serve: Serve, hook_of: Callable[..., Any]
) -> None:
    said = " ".join(spellings(SECRET))
    server = serve(case.failed(said), {"x-request-id": said}, encoding)

    assert_is_redacted(call(hook_of(case, server.url, SECRET)))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_redact_json_escapes_of_records(
    case: Case, serve: Serve, hook_of: Callable[..., Any], poll: Callable[..., MigrationProgress]
) -> None:
    escaped = "".join(f"\\u{ord(sign):04x}" for sign in SECRET)
    answers = {name: json.dumps(body) for name, body in case.failed("ECHO").items()}
    answers = {name: body.replace("ECHO", escaped) for name, body in answers.items()}
    progress = poll(hook_of(case, serve(answers).url, SECRET), case.ids)

    assert_is_redacted(progress, progress.model_dump_json())


PLACES: dict[str, Callable[[str], tuple[str, dict[str, str]]]] = {
    # Where a text is cut, and where its last dot is: what is left of a secret would not be found.
    **{
        f"message cut after {shown}": lambda secret, shown=shown: (
            json.dumps({"success": False, "code": "X", "message": "m" * (500 - shown) + secret}),
            {},
        )
        for shown in range(1, 24, 4)
    },
    **{
        f"detail cut after {shown}": lambda secret, shown=shown: (
            json.dumps({"success": False, "errorDetail": {"reason": "m" * (160 - shown) + secret}}),
            {},
        )
        for shown in range(1, 24, 4)
    },
    "end of a message": lambda secret: (json.dumps({"success": False, "message": secret}), {}),
    "code": lambda secret: (json.dumps({"success": False, "code": secret}), {}),
    "cut code": lambda secret: (json.dumps({"success": False, "code": "c" * 120 + secret}), {}),
    "request id": lambda secret: (json.dumps({"success": False, "requestId": f"r {secret}"}), {}),
    "content type": lambda secret: ("<html>", {"content-type": secret}),
    "content encoding": lambda secret: ("{}", {"content-encoding": secret}),
    "cut content encoding": lambda secret: ("{}", {"content-encoding": "e" * 24 + secret}),
    "HTML": lambda secret: (
        f"<p>{html.escape(secret)}",
        {"content-type": f"text/html; x={html.escape(secret)}"},
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_redact_errors(
    place: str, hook_of: Callable[..., Any], poll: Callable[..., MigrationProgress]
) -> None:
    secret = "Very-Secret-Password-Indeed..."
    body, headers = PLACES[place](secret)
    with (
        Server([http(403, body.encode(), headers)]) as server,
        pytest.raises(MigrationApiError) as caught,
    ):
        poll(hook_of(CASES[NAMES.index("oms")], server.url, secret), {"project_id": "p_1"})

    shown = f"{caught.value}\n{json.dumps(caught.value.to_json())}".lower()
    assert not [length for length in (4, 10, len(secret) - 3) if secret.lower()[:length] in shown]


def test_redact_spares_the_id_that_was_asked_for(
    hook_of: Callable[..., Any], poll: Callable[..., MigrationProgress]
) -> None:
    with Server([http(404)]) as server, pytest.raises(MigrationError, match="Check the id np_10001,"):
        poll(hook_of(CASES[NAMES.index("oms")], server.url, "np_10001"), {"project_id": "np_10001"})


async def test_redact_answers_that_polls_share(serve: Serve, hook_of: Callable[..., Any]) -> None:
    """Three polls ask for two jobs, and a batch answers all of them."""
    (job,) = dts_failed(SECRET)["DescribeDtsJobs"]["DtsJobList"]
    jobs = [{**job, "DtsInstanceID": name} for name in ("dts1", "dts2")]
    server = serve({"DescribeDtsJobs": {"Success": True, "DtsJobList": jobs}})
    hook = hook_of(CASES[NAMES.index("dts")], server.url, SECRET, api="DescribeDtsJobs")

    # The first calls find out the types of the jobs; the next one goes ahead of the others.
    for name in ("dts1", "dts2", "dts1"):
        await hook.aget_progress(name)
    before = len(server.asked)

    records = await asyncio.gather(*(hook.aget_progress(name) for name in ("dts1", "dts2", "dts1")))

    assert ["dts1%2Cdts2" in asked.target for asked in server.asked[before:]] == [True]
    for record in records:
        assert_is_redacted(record)


def test_redact_a_cached_answer_with_the_secret_that_it_was_asked_with(
    serve: Serve, hook_of: Callable[..., Any], poll: Callable[..., MigrationProgress]
) -> None:
    """The reason of a failed package is asked for once; the key has changed when it is shown again."""
    case = CASES[NAMES.index("dataworks")]
    hook = hook_of(case, serve(case.failed(SECRET)).url, SECRET)
    poll(hook, case.ids)
    api = hook._api
    object.__setattr__(api, "signer", AlibabaSigner("some-key-id", "another-secret"))

    again = poll(hook, case.ids)

    assert again.error
    assert "***" in str(again.error.message)


def test_redact_longer_secrets_first() -> None:
    hidden = encodings(["secret", "secret-and-more"])

    assert redact("a secret-and-more of a secret", hidden) == "a *** of a ***"


def test_redact_leaves_short_secrets() -> None:
    assert encodings(["full"]) == ()


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (Response(200, {"date": "now"}, b'{"status": "RUNNING"}'), False),
        (Response(200, {"date": "now"}, b'{"message": "some-secret"}'), True),
        (Response(200, {"x-request-id": "some-secret"}, b"{}"), True),
        (Response(200, {}, b'{"message": "\\u0073ome-secret"}'), True),
        (Response(200, {}, '{"message": "some-secret"}'.encode("utf-32")), True),
    ],
)
def test_redact_is_skipped_where_there_is_nothing_to_redact(response: Response, expected: bool) -> None:
    assert may_hold(response, encodings(["some-secret"])) is expected


def test_redact_leaves_what_is_no_answer() -> None:
    signer = TokenSigner("a-token-with-some-secret")

    assert redact(signer, encodings(["some-secret"])) is signer


def models() -> list[type[BaseModel]]:
    def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for child in model.__subclasses__():
            yield from (child, *below(child))

    return sorted(below(WireModel), key=lambda model: f"{model.__module__}.{model.__qualname__}")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param(model, name, id=f"{model.__module__.rpartition('.')[2]} {model.__qualname__}.{name}")
        for model in models()
        for name, field in model.model_fields.items()
        if re.search(r"(^|_)(state|status|step|id)$", name)
        and field.annotation == (str | None)
        and name != "request_id"
    ],
)
def test_redact_spares_each_status_and_id(model: type[BaseModel], name: str) -> None:
    """A status, a step or an id decides, so that its field must be declared as one."""
    assert VERBATIM in model.model_fields[name].metadata


def test_redact_prose_in_place_of_a_status(serve: Serve, hook_of: Callable[..., Any]) -> None:
    case = CASES[NAMES.index("oms")]
    answers = {
        **case.answers,
        "DescribeProjectProgress": {"success": True, "data": {"status": f"no {SECRET}"}},
    }
    progress = hook_of(case, serve(answers).url, SECRET).get_progress("np_10001")

    assert progress.state == "unknown"
    assert progress.service_status == "no ***"
