"""Fetch and refresh of the credentials that Huawei Cloud IAM issues: a token, or an agency's key."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.credentials.huawei_iam import AgencyKey, IamToken, find_project
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationThrottledError,
)
from airflow_provider_migration.sansio import Flow, Request, Response
from airflow_provider_migration.services.drs import DrsApi, ObjectListing
from airflow_provider_migration.transport import aio
from airflow_provider_migration.transport.limiter import RateLimiter
from airflow_provider_migration.transport.settings import TransportConfig
from tests.servers import Asked, Reply, Server, http

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ASK, FETCH = "BatchListProgresses", "KeystoneCreateUserTokenByPassword"
ANSWER = {"results": [{"transfer_status": "PAUSING"}]}
NOT_ACCEPTED = Response(401, {}, b'{"error_code": "APIGW.0301", "error_msg": "token expires"}')


class MovedClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def token(clock: MovedClock) -> IamToken:
    return IamToken(
        endpoint="https://iam.example",
        user="user",
        password="pass-word",
        domain_name="domain",
        scope={"name": "cn-north-4"},
        clock=clock,
    )


@pytest.fixture
def ask(token: IamToken) -> Callable[[], Flow[Any]]:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    return lambda: token.authenticate(api.get_job_status("1"))


def grant(name: str = "token-1", expires_at: Any = "2026-01-03T03:04:05.855000Z") -> Response:
    body = json.dumps({"token": {"expires_at": expires_at}}).encode()
    return Response(201, {"x-subject-token": name}, body)


def actions(requests: list[Request]) -> list[str]:
    return [request.action for request in requests]


def test_token_request_is_as_documented(ask: Any, talk: Any) -> None:
    request = talk(ask(), grant(), ANSWER).requests[0]
    assert (request.method, request.url) == ("POST", "https://iam.example/v3/auth/tokens?nocatalog=true")
    assert request.headers["content-type"] == "application/json;charset=utf8"
    user = {"name": "user", "password": "pass-word", "domain": {"name": "domain"}}
    assert json.loads(request.body) == {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "cn-north-4"}},
        }
    }


def test_token_is_fetched_once_and_cached(ask: Any, talk: Any, token: IamToken) -> None:
    assert actions(talk(ask(), grant(), ANSWER).requests) == [FETCH, ASK]
    assert actions(talk(ask(), ANSWER).requests) == [ASK]
    assert token.given == TokenSigner("token-1")


def test_token_signs_the_call_but_not_its_own_refresh(ask: Any, token: IamToken) -> None:
    flow = ask()
    fetch = next(flow)
    assert "x-auth-token" not in fetch.signer.sign(fetch, now=START, nonce="n")
    call = flow.send(fetch.read(fetch, grant()))
    assert call.signer.sign(call, now=START, nonce="n") == {**call.headers, "x-auth-token": "token-1"}


@pytest.mark.parametrize(
    ("age", "wanted"),
    [
        (timedelta(0), [ASK]),
        (timedelta(hours=23, minutes=29), [ASK]),
        (timedelta(hours=23, minutes=31), [FETCH, ASK]),
        (timedelta(days=30), [FETCH, ASK]),
    ],
)
def test_token_refresh_starts_half_an_hour_before_expiry(
    ask: Any, talk: Any, clock: MovedClock, age: timedelta, wanted: list[str]
) -> None:
    talk(ask(), grant(), ANSWER)
    clock.now += age
    assert actions(talk(ask(), *[grant("token-2")] * (FETCH in wanted), ANSWER).requests) == wanted


@pytest.mark.parametrize("expires_at", [None, "", "soon", [], {}])
def test_token_refresh_without_an_expiry_comes_after_half_a_day(
    ask: Any, talk: Any, clock: MovedClock, expires_at: Any
) -> None:
    talk(ask(), grant(expires_at=expires_at), ANSWER)
    clock.now += timedelta(hours=11)
    assert actions(talk(ask(), ANSWER).requests) == [ASK]
    clock.now += timedelta(hours=1)
    assert actions(talk(ask(), grant(), ANSWER).requests) == [FETCH, ASK]


@pytest.mark.parametrize(
    "expires_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2030-01-01T00:00:00", 0]
)
def test_token_refresh_tolerates_an_odd_expiry(ask: Any, talk: Any, expires_at: Any) -> None:
    answers = {FETCH: grant(expires_at=expires_at), ASK: ANSWER}
    for _ in range(2):
        assert talk(ask(), lambda request: answers[request.action]).result.transfer_status == "PAUSING"


def test_token_refresh_after_a_refusal_repeats_the_call(ask: Any, talk: Any, token: IamToken) -> None:
    talk(ask(), grant(), ANSWER)
    requests = talk(ask(), NOT_ACCEPTED, grant("token-2"), ANSWER).requests
    assert actions(requests) == [ASK, FETCH, ASK]
    assert token.given == TokenSigner("token-2")


def test_token_refresh_is_not_repeated_after_a_second_refusal(ask: Any, talk: Any) -> None:
    with pytest.raises(MigrationAuthenticationError, match=ASK):
        talk(ask(), grant(), NOT_ACCEPTED, grant("token-2"), NOT_ACCEPTED)
    assert actions(talk(ask(), grant("token-3"), ANSWER).requests) == [FETCH, ASK]


PAGE = {"count": 2, "flow_compare_data": [{"src_db": "a", "progress": 100}]}


def test_token_refresh_after_a_refusal_happens_once_per_flow(token: IamToken, talk: Any) -> None:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    flow = token.authenticate(api.progress("1", job_status=False, max_lag=60))
    with pytest.raises(MigrationAuthenticationError, match="ShowProgressData"):
        talk(flow, grant(), NOT_ACCEPTED, grant(), PAGE, NOT_ACCEPTED)


def test_token_refresh_that_does_not_help_the_list_leaves_the_status(token: IamToken, talk: Any) -> None:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    flow = token.authenticate(api.progress("1", max_lag=60))
    progress = talk(flow, grant(), ANSWER, PAGE, NOT_ACCEPTED, grant(), NOT_ACCEPTED).result
    assert progress.state == "paused"
    assert "APIGW.0301" in progress.warnings[0]


def test_token_refresh_that_fails_for_the_list_leaves_the_status(
    token: IamToken, talk: Any, response: Any
) -> None:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    flow = token.authenticate(api.progress("1", max_lag=60))
    progress = talk(flow, grant(), ANSWER, NOT_ACCEPTED, response({}, 503)).result
    assert progress.state == "paused"
    assert FETCH in progress.warnings[0]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, 401, MigrationAuthenticationError),
        (403, 403, MigrationPermissionError),
        (404, "404", MigrationNotFoundError),
        (400, None, MigrationRequestError),
        (429, 429, MigrationThrottledError),
        (302, 302, MigrationResponseError),
    ],
)
def test_token_refusal_is_an_error_of_iam(
    ask: Any, talk: Any, response: Any, status: int, code: Any, error: type[MigrationApiError]
) -> None:
    body = {"error": {"code": code, "message": "wrong: pass-word", "title": "Unauthorized"}}
    with pytest.raises(MigrationApiError) as caught:
        talk(ask(), response(body, status))
    assert type(caught.value) is error
    assert caught.value.action == FETCH
    assert caught.value.code == (None if code is None else str(code))


def test_wrong_password_is_not_retried_and_not_shown(ask: Any, talk: Any, response: Any) -> None:
    body = {"error": {"code": 401, "message": "wrong: pass-word", "title": "Unauthorized"}}
    with pytest.raises(MigrationAuthenticationError) as caught:
        talk(ask(), response(body, 401))
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("headers", [{}, {"x-subject-token": ""}])
def test_token_missing_in_the_answer_is_an_error(ask: Any, talk: Any, headers: Any) -> None:
    with pytest.raises(MigrationResponseError, match="no X-Subject-Token header"):
        talk(ask(), Response(201, headers, b"{}"))


def test_token_refresh_leaves_other_errors_to_the_flow(token: IamToken, talk: Any, response: Any) -> None:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    refusal = response({"error_code": "DRS.M00304"}, 400)
    flow = token.authenticate(api.progress("1", max_lag=60))
    assert talk(flow, grant(), ANSWER, refusal).result.state == "paused"
    flow = token.authenticate(api.progress_data_page("1", "table", ObjectListing()))
    with pytest.raises(MigrationRequestError):
        talk(flow, refusal)


def test_token_repr_has_no_secret(token: IamToken) -> None:
    token.given = TokenSigner("token-1")
    assert token.secrets == ("pass-word", "token-1")
    assert "pass-word" not in repr(token)
    assert "token-1" not in repr(token)


def test_token_secrets_before_the_first_fetch(token: IamToken) -> None:
    assert token.secrets == ("pass-word",)


def test_token_refresh_needs_a_request(token: IamToken, talk: Any) -> None:
    def nothing() -> Iterator[Any]:
        return "done"
        yield

    assert talk(token.authenticate(nothing())).result == "done"


def test_token_refresh_by_another_flow_is_used(token: IamToken, ask: Callable[[], Flow[Any]]) -> None:
    token.given, token.expires_at = TokenSigner("old"), START + timedelta(days=1)
    asking = ask()
    next(asking)
    token.given = TokenSigner("new")  # the other conversation was refused first

    request = asking.throw(MigrationAuthenticationError("refused"))

    assert request.action == ASK
    assert token.given == TokenSigner("new")


# --- many polls at once ---------------------------------------------------------------------------------


class Cloud:
    """IAM and DRS on one socket: IAM answers when it may, DRS wants the token of one of its grants."""

    def __init__(self, *grants: Reply) -> None:
        self.grants = list(grants)
        self.may_answer = threading.Event()
        self.is_asked = threading.Event()
        self.calls: list[tuple[tuple[str, ...], str | None]] = []

    def __call__(self, asked: Asked) -> Reply:
        if asked.target.startswith("/v3/auth"):
            assert "x-auth-token" not in asked.headers
            self.is_asked.set()
            self.may_answer.wait(10)
            return self.grants.pop(0)
        jobs = json.loads(asked.body)["jobs"]
        token = asked.headers.get("x-auth-token")
        self.calls.append((tuple(jobs), token))
        if token is None:
            return http(401, NOT_ACCEPTED.body)
        results = [{"job_id": job, "transfer_status": "PAUSING"} for job in jobs]
        return http(202, json.dumps({"results": results}).encode())


def granted(name: str) -> Reply:
    answer = grant(name)
    return http(201, answer.body, answer.headers)


@pytest.mark.parametrize(
    "second", [granted("token-2"), http(503), http(401, b"{}")], ids=["granted", "failed", "refused"]
)
async def test_batch_is_signed_during_a_token_refresh(clock: MovedClock, second: Reply) -> None:
    cloud = Cloud(granted("token-1"), *[second] * 5)
    gathered, finished = asyncio.Event(), asyncio.Event()

    async def async_sleep(seconds: float) -> None:
        gathered.set()
        await finished.wait()

    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0)

    # Kept, because each call would otherwise prepare a session in a thread, and the two would come apart.
    async with aio.keep_sessions():
        with Server([cloud]) as server:
            token = IamToken(
                endpoint=server.url,
                user="user",
                password="pass-word",
                domain_name="domain",
                scope={"name": "cn-north-4"},
                clock=clock,
            )
            api = DrsApi(endpoint=server.url, project_id="p", signer=token)
            quota = RateLimiter(None, time.monotonic, async_sleep)

            def poll(job: str) -> asyncio.Task[Any]:
                call = token.authenticate(api.get_job_status(job))
                clock = Clock(async_sleep=at_once)
                return asyncio.create_task(aio.AsyncDriver(TransportConfig(), clock, quota).run(call))

            cloud.may_answer.set()
            await poll("first")
            cloud.may_answer.clear()
            cloud.is_asked.clear()
            waiting = [poll("second"), poll("third")]
            await gathered.wait()
            clock.now += timedelta(hours=23, minutes=40)
            refreshing = poll("fourth")
            await asyncio.to_thread(cloud.is_asked.wait, 10)
            finished.set()  # the batch goes out while IAM has not answered
            done = await asyncio.gather(*waiting, return_exceptions=True)
            cloud.may_answer.set()
            (last,) = await asyncio.gather(refreshing, return_exceptions=True)

    assert [status.transfer_status for status in done if not isinstance(status, BaseException)] == [
        "PAUSING",
        "PAUSING",
    ]
    assert cloud.calls[:2] == [(("first",), "token-1"), (("second", "third"), "token-1")]
    assert all(used for _, used in cloud.calls)
    if isinstance(last, BaseException):
        assert isinstance(last, MigrationApiError)
        assert last.action == FETCH
        assert len(cloud.calls) == 2
    else:
        assert cloud.calls[2:] == [(("fourth",), "token-2")]


@pytest.mark.parametrize("refusal", [(503, {}), (401, {"error": {"code": 401}}), (201, {})])
def test_token_refresh_that_fails_keeps_the_old_token(
    ask: Any, talk: Any, token: IamToken, clock: MovedClock, response: Any, refusal: Any
) -> None:
    talk(ask(), grant(), ANSWER)
    clock.now += timedelta(hours=23, minutes=40)
    status, body = refusal
    with pytest.raises(MigrationApiError, match=FETCH):
        talk(ask(), response(body, status))
    assert token.given == TokenSigner("token-1")
    assert actions(talk(ask(), grant("token-2"), ANSWER).requests) == [FETCH, ASK]


def test_request_is_not_signed_before_the_first_token(token: IamToken) -> None:
    request = next(DrsApi(endpoint="https://drs.example", project_id="p", signer=token).get_job_status("1"))
    with pytest.raises(
        MigrationAuthenticationError, match=r"no credential has been fetched yet .IAM user 'user' of 'domain'"
    ):
        request.signer.sign(request, now=START, nonce="n")


def test_refused_token_signs_until_its_refresh(ask: Any, token: IamToken) -> None:
    token.given, token.expires_at = TokenSigner("old"), START + timedelta(days=1)
    flow = ask()
    call = next(flow)
    fetch = flow.throw(MigrationAuthenticationError("refused"))
    assert fetch.action == FETCH
    assert call.signer.sign(call, now=START, nonce="n")["x-auth-token"] == "old"
    assert "x-auth-token" not in fetch.signer.sign(fetch, now=START, nonce="n")
    call = flow.send(fetch.read(fetch, grant("new")))
    assert call.signer.sign(call, now=START, nonce="n")["x-auth-token"] == "new"


# --- the key of an agency -------------------------------------------------------------------------------

ASSUME = "CreateTemporaryAccessKeyByAgency"


@pytest.fixture
def agency(clock: MovedClock) -> AgencyKey:
    return AgencyKey(
        endpoint="https://iam.example",
        user=HuaweiSigner("OWN-AK", "own-secret"),
        agency_name="readers",
        domain_name="their-account",
        own_domain_id="own-account-id",
        clock=clock,
    )


@pytest.fixture
def ask_by_agency(agency: AgencyKey) -> Callable[[], Flow[Any]]:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=agency)
    return lambda: agency.authenticate(api.get_job_status("1"))


def lend(name: str = "1", **changes: Any) -> dict[str, Any]:
    credential = {
        "access": f"AK-{name}",
        "secret": f"secret-{name}",
        "securitytoken": f"st-{name}",
        "expires_at": "2026-01-02T04:04:05.000000Z",
    }
    return {"credential": {**credential, **changes}}


def test_agency_request_is_signed_with_the_users_key(ask_by_agency: Any, talk: Any) -> None:
    request = talk(ask_by_agency(), lend(), ANSWER).requests[0]
    assert (request.method, request.url) == ("POST", "https://iam.example/v3.0/OS-CREDENTIAL/securitytokens")
    assert request.signer == HuaweiSigner("OWN-AK", "own-secret")
    assert request.headers["x-domain-id"] == "own-account-id"
    role = {"agency_name": "readers", "domain_name": "their-account", "duration_seconds": 3600}
    assert json.loads(request.body) == {
        "auth": {"identity": {"methods": ["assume_role"], "assume_role": role}}
    }


def test_agency_refresh_looks_up_the_users_account_once(
    agency: AgencyKey, ask_by_agency: Any, talk: Any
) -> None:
    agency.own_domain_id = None
    domains = {"domains": [{"id": "own-account-id", "name": "own-account"}]}
    first = talk(ask_by_agency(), domains, lend(), ANSWER).requests
    assert actions(first) == ["KeystoneListAuthDomains", ASSUME, ASK]
    assert first[0].url == "https://iam.example/v3/auth/domains"
    assert first[1].headers["x-domain-id"] == "own-account-id"
    assert actions(talk(ask_by_agency(), NOT_ACCEPTED, lend("2"), ANSWER).requests) == [ASK, ASSUME, ASK]


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, {"domains": None}), (200, {"domains": []}), (200, {"domains": [{}]}), (403, {"error": {}})],
)
def test_agency_request_without_the_users_account(
    agency: AgencyKey, ask_by_agency: Any, talk: Any, response: Any, status: int, answer: Any
) -> None:
    agency.own_domain_id = None
    requests = talk(ask_by_agency(), response(answer, status), lend(), ANSWER).requests
    assert "x-domain-id" not in requests[1].headers


def test_agency_key_signs_calls(ask_by_agency: Any, agency: AgencyKey) -> None:
    flow = ask_by_agency()
    fetch = next(flow)
    call = flow.send(fetch.read(fetch, Response(201, {}, json.dumps(lend()).encode())))
    headers = call.signer.sign(call, now=START, nonce="n")
    assert "Access=AK-1, " in headers["authorization"]
    assert headers["x-security-token"] == "st-1"
    assert agency.secrets == ("own-secret", "secret-1", "st-1")


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(0, [ASK]), (29, [ASK]), (31, [ASSUME, ASK]), (6000, [ASSUME, ASK])]
)
def test_agency_refresh_starts_half_an_hour_before_expiry(
    ask_by_agency: Any, talk: Any, clock: MovedClock, minutes: int, wanted: list[str]
) -> None:
    talk(ask_by_agency(), lend(), ANSWER)
    clock.now += timedelta(minutes=minutes)
    assert actions(talk(ask_by_agency(), *[lend("2")] * (ASSUME in wanted), ANSWER).requests) == wanted


def test_agency_refresh_after_a_refusal_happens_once(ask_by_agency: Any, talk: Any) -> None:
    talk(ask_by_agency(), lend(), ANSWER)
    assert actions(talk(ask_by_agency(), NOT_ACCEPTED, lend("2"), ANSWER).requests) == [ASK, ASSUME, ASK]
    with pytest.raises(MigrationAuthenticationError, match=ASK):
        talk(ask_by_agency(), NOT_ACCEPTED, lend("3"), NOT_ACCEPTED)


@pytest.mark.parametrize("missing", ["access", "secret", "securitytoken"])
def test_agency_key_missing_in_the_answer_is_an_error(ask_by_agency: Any, talk: Any, missing: str) -> None:
    with pytest.raises(MigrationResponseError, match="no credential in the answer"):
        talk(ask_by_agency(), lend(**{missing: None}))


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (403, {"error": {"code": 403, "message": "no right"}}, MigrationPermissionError, "403"),
        (400, {"error_msg": "no such agency", "error_code": "IAM.0002"}, MigrationRequestError, "IAM.0002"),
        (401, {"error_msg": "x", "error_code": "APIGW.0301"}, MigrationAuthenticationError, "APIGW.0301"),
    ],
)
def test_agency_refusal_is_an_error_of_iam_or_its_gateway(
    ask_by_agency: Any, talk: Any, response: Any, status: int, body: Any, error: Any, code: str
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(ask_by_agency(), response(body, status))
    assert (type(caught.value), caught.value.action, caught.value.code) == (error, ASSUME, code)


def test_redact_secrets_of_an_agency(agency: AgencyKey, ask_by_agency: Any, talk: Any) -> None:
    talk(ask_by_agency(), lend(), ANSWER)
    assert agency.identity == "agency 'readers' of 'their-account' by AK OWN-…"
    assert "secret" not in repr(agency).replace("own-secret", "") + agency.identity
    assert "own-secret" not in repr(agency)


# --- the project of a region ----------------------------------------------------------------------------


def test_project_of_a_region_has_its_name(talk: Any) -> None:
    asking = find_project("drs", "https://iam.example", "cn-north-4", HuaweiSigner("AK", "SK"))
    found = talk(asking, {"projects": [{"id": "p-1", "name": "cn-north-4"}]})
    assert found.result == "p-1"
    assert found.requests[0].url == "https://iam.example/v3/projects?name=cn-north-4"


@pytest.mark.parametrize(
    ("projects", "number"), [([], 0), (None, 0), ([{}], 0), ([{"id": "p-1"}, {"id": "p-2"}], 2)]
)
def test_project_of_a_region_must_be_unique(talk: Any, projects: Any, number: int) -> None:
    asking = find_project("drs", "https://iam.example", "cn-north-4", HuaweiSigner("AK", "SK"))
    with pytest.raises(MigrationConfigurationError, match=f"has {number} projects .* write project_id"):
        talk(asking, {"projects": projects})
