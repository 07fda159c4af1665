"""What Huawei Cloud IAM gives, a token or an agency's key: had when it is needed, kept, renewed once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
from airflow_provider_migration.conversation import Conversation, Request, Response
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
from airflow_provider_migration.services.drs import DrsApi, ObjectListing
from airflow_provider_migration.services.huawei import AgencyKey, IamToken, find_project

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ASK, FETCH = "BatchListProgresses", "KeystoneCreateUserTokenByPassword"
ANSWER = {"results": [{"transfer_status": "PAUSING"}]}
NOT_ACCEPTED = Response(401, {}, b'{"error_code": "APIGW.0301", "error_msg": "token expires"}')


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def token(clock: Clock) -> IamToken:
    return IamToken(
        endpoint="https://iam.example",
        user="user",
        password="pass-word",
        domain_name="domain",
        scope={"name": "cn-north-4"},
        clock=clock,
    )


@pytest.fixture
def ask(token: IamToken) -> Callable[[], Conversation[Any]]:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    return lambda: token.authenticate(api.get_job_status("1"))


def grant(name: str = "token-1", expires_at: Any = "2026-01-03T03:04:05.855000Z") -> Response:
    body = json.dumps({"token": {"expires_at": expires_at}}).encode()
    return Response(201, {"x-subject-token": name}, body)


def actions(requests: list[Request]) -> list[str]:
    return [request.action for request in requests]


def test_a_token_is_asked_for_as_iam_documents_it(ask: Any, talk: Any) -> None:
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


def test_a_token_is_fetched_once_and_kept(ask: Any, talk: Any, token: IamToken) -> None:
    assert actions(talk(ask(), grant(), ANSWER).requests) == [FETCH, ASK]
    assert actions(talk(ask(), ANSWER).requests) == [ASK]
    assert token.given == TokenSigner("token-1")


def test_a_token_is_sent_with_the_call_but_not_with_the_request_for_one(ask: Any, token: IamToken) -> None:
    conversation = ask()
    fetch = next(conversation)
    assert "x-auth-token" not in fetch.signer.sign(fetch, now=START, nonce="n")
    call = conversation.send(fetch.read(fetch, grant()))
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
def test_a_token_is_renewed_half_an_hour_before_its_end(
    ask: Any, talk: Any, clock: Clock, age: timedelta, wanted: list[str]
) -> None:
    talk(ask(), grant(), ANSWER)
    clock.now += age
    assert actions(talk(ask(), *[grant("token-2")] * (FETCH in wanted), ANSWER).requests) == wanted


@pytest.mark.parametrize("expires_at", [None, "", "soon", [], {}])
def test_a_token_without_an_end_is_kept_for_half_a_day(
    ask: Any, talk: Any, clock: Clock, expires_at: Any
) -> None:
    talk(ask(), grant(expires_at=expires_at), ANSWER)
    clock.now += timedelta(hours=11)
    assert actions(talk(ask(), ANSWER).requests) == [ASK]
    clock.now += timedelta(hours=1)
    assert actions(talk(ask(), grant(), ANSWER).requests) == [FETCH, ASK]


@pytest.mark.parametrize(
    "expires_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2030-01-01T00:00:00", 0]
)
def test_an_odd_end_is_no_error(ask: Any, talk: Any, expires_at: Any) -> None:
    answers = {FETCH: grant(expires_at=expires_at), ASK: ANSWER}
    for _ in range(2):
        assert talk(ask(), lambda request: answers[request.action]).result.transfer_status == "PAUSING"


def test_a_token_that_is_no_longer_accepted_is_renewed_and_the_call_made_again(
    ask: Any, talk: Any, token: IamToken
) -> None:
    talk(ask(), grant(), ANSWER)
    requests = talk(ask(), NOT_ACCEPTED, grant("token-2"), ANSWER).requests
    assert actions(requests) == [ASK, FETCH, ASK]
    assert token.given == TokenSigner("token-2")


def test_a_second_refusal_is_final(ask: Any, talk: Any, token: IamToken) -> None:
    with pytest.raises(MigrationAuthenticationError, match=ASK):
        talk(ask(), grant(), NOT_ACCEPTED, grant("token-2"), NOT_ACCEPTED)
    assert token.given is None


def test_a_token_is_renewed_at_most_once_in_a_conversation_of_many_pages(token: IamToken, talk: Any) -> None:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    row = {"src_db": "a", "progress": 100}
    conversation = token.authenticate(api.progress("1", max_lag=60))
    page = {"count": 2, "flow_compare_data": [row]}
    with pytest.raises(MigrationAuthenticationError, match="ShowProgressData"):
        talk(conversation, grant(), NOT_ACCEPTED, grant(), ANSWER, page, NOT_ACCEPTED)


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
def test_a_token_that_is_not_given_is_an_error_of_iam(
    ask: Any, talk: Any, response: Any, status: int, code: Any, error: type[MigrationApiError]
) -> None:
    body = {"error": {"code": code, "message": "wrong: pass-word", "title": "Unauthorized"}}
    with pytest.raises(MigrationApiError) as caught:
        talk(ask(), response(body, status))
    assert type(caught.value) is error
    assert caught.value.action == FETCH
    assert caught.value.code == (None if code is None else str(code))


def test_a_wrong_password_is_not_tried_again_and_not_shown(ask: Any, talk: Any, response: Any) -> None:
    body = {"error": {"code": 401, "message": "wrong: pass-word", "title": "Unauthorized"}}
    with pytest.raises(MigrationAuthenticationError) as caught:
        talk(ask(), response(body, 401))
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("headers", [{}, {"x-subject-token": ""}])
def test_an_answer_without_a_token_is_an_error(ask: Any, talk: Any, headers: Any) -> None:
    with pytest.raises(MigrationResponseError, match="no X-Subject-Token header"):
        talk(ask(), Response(201, headers, b"{}"))


def test_an_error_of_the_call_itself_reaches_who_asks(token: IamToken, talk: Any, response: Any) -> None:
    api = DrsApi(endpoint="https://drs.example", project_id="p", signer=token)
    refusal = response({"error_code": "DRS.M00304"}, 400)
    conversation = token.authenticate(api.progress("1", max_lag=60))
    assert talk(conversation, grant(), ANSWER, refusal).result.state == "paused"
    conversation = token.authenticate(api.progress_data_page("1", "table", ObjectListing()))
    with pytest.raises(MigrationRequestError):
        talk(conversation, refusal)


def test_neither_password_nor_token_is_shown(token: IamToken) -> None:
    token.given = TokenSigner("token-1")
    assert token.secrets == ("pass-word", "token-1")
    assert "pass-word" not in repr(token)
    assert "token-1" not in repr(token)


def test_before_there_is_a_token_the_password_is_the_secret(token: IamToken) -> None:
    assert token.secrets == ("pass-word",)


def test_a_conversation_without_a_request_is_passed_through(token: IamToken, talk: Any) -> None:
    def nothing() -> Iterator[Any]:
        return "done"
        yield

    assert talk(token.authenticate(nothing())).result == "done"


def test_a_token_that_another_has_renewed_meanwhile_is_kept(
    token: IamToken, ask: Callable[[], Conversation[Any]]
) -> None:
    token.given, token.expires_at = TokenSigner("old"), START + timedelta(days=1)
    asking = ask()
    next(asking)
    token.given = TokenSigner("new")  # the other conversation was refused first

    request = asking.throw(MigrationAuthenticationError("refused"))

    assert request.action == ASK
    assert token.given == TokenSigner("new")


# --- the key of an agency -------------------------------------------------------------------------------

ASSUME = "CreateTemporaryAccessKeyByAgency"


@pytest.fixture
def agency(clock: Clock) -> AgencyKey:
    return AgencyKey(
        endpoint="https://iam.example",
        user=HuaweiSigner("OWN-AK", "own-secret"),
        agency_name="readers",
        domain_name="their-account",
        own_domain_id="own-account-id",
        clock=clock,
    )


@pytest.fixture
def ask_by_agency(agency: AgencyKey) -> Callable[[], Conversation[Any]]:
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


def test_an_agency_is_assumed_with_the_own_key(ask_by_agency: Any, talk: Any) -> None:
    request = talk(ask_by_agency(), lend(), ANSWER).requests[0]
    assert (request.method, request.url) == ("POST", "https://iam.example/v3.0/OS-CREDENTIAL/securitytokens")
    assert request.signer == HuaweiSigner("OWN-AK", "own-secret")
    assert request.headers["x-domain-id"] == "own-account-id"
    role = {"agency_name": "readers", "domain_name": "their-account", "duration_seconds": 3600}
    assert json.loads(request.body) == {
        "auth": {"identity": {"methods": ["assume_role"], "assume_role": role}}
    }


def test_the_own_account_is_asked_for_once(agency: AgencyKey, ask_by_agency: Any, talk: Any) -> None:
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
def test_an_agency_is_assumed_without_an_account_that_iam_does_not_tell(
    agency: AgencyKey, ask_by_agency: Any, talk: Any, response: Any, status: int, answer: Any
) -> None:
    agency.own_domain_id = None
    requests = talk(ask_by_agency(), response(answer, status), lend(), ANSWER).requests
    assert "x-domain-id" not in requests[1].headers


def test_calls_are_signed_with_the_key_of_the_agency(ask_by_agency: Any, agency: AgencyKey) -> None:
    conversation = ask_by_agency()
    fetch = next(conversation)
    call = conversation.send(fetch.read(fetch, Response(201, {}, json.dumps(lend()).encode())))
    headers = call.signer.sign(call, now=START, nonce="n")
    assert "Access=AK-1, " in headers["authorization"]
    assert headers["x-security-token"] == "st-1"
    assert agency.secrets == ("own-secret", "secret-1", "st-1")


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(0, [ASK]), (29, [ASK]), (31, [ASSUME, ASK]), (6000, [ASSUME, ASK])]
)
def test_an_agency_is_assumed_anew_half_an_hour_before_its_key_ends(
    ask_by_agency: Any, talk: Any, clock: Clock, minutes: int, wanted: list[str]
) -> None:
    talk(ask_by_agency(), lend(), ANSWER)
    clock.now += timedelta(minutes=minutes)
    assert actions(talk(ask_by_agency(), *[lend("2")] * (ASSUME in wanted), ANSWER).requests) == wanted


def test_a_key_that_is_no_longer_accepted_is_had_anew_once(ask_by_agency: Any, talk: Any) -> None:
    talk(ask_by_agency(), lend(), ANSWER)
    assert actions(talk(ask_by_agency(), NOT_ACCEPTED, lend("2"), ANSWER).requests) == [ASK, ASSUME, ASK]
    with pytest.raises(MigrationAuthenticationError, match=ASK):
        talk(ask_by_agency(), NOT_ACCEPTED, lend("3"), NOT_ACCEPTED)


@pytest.mark.parametrize("missing", ["access", "secret", "securitytoken"])
def test_an_agency_without_a_whole_key_is_an_error(ask_by_agency: Any, talk: Any, missing: str) -> None:
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
def test_an_agency_that_is_refused_is_an_error_of_iam_or_of_its_gateway(
    ask_by_agency: Any, talk: Any, response: Any, status: int, body: Any, error: Any, code: str
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(ask_by_agency(), response(body, status))
    assert (type(caught.value), caught.value.action, caught.value.code) == (error, ASSUME, code)


def test_an_agency_shows_no_secret(agency: AgencyKey, ask_by_agency: Any, talk: Any) -> None:
    talk(ask_by_agency(), lend(), ANSWER)
    assert agency.identity == "agency 'readers' of 'their-account' by AK OWN-…"
    assert "secret" not in repr(agency).replace("own-secret", "") + agency.identity
    assert "own-secret" not in repr(agency)


# --- the project of a region ----------------------------------------------------------------------------


def test_the_project_of_a_region_is_the_one_of_its_name(talk: Any) -> None:
    asking = find_project("drs", "https://iam.example", "cn-north-4", HuaweiSigner("AK", "SK"))
    found = talk(asking, {"projects": [{"id": "p-1", "name": "cn-north-4"}]})
    assert found.result == "p-1"
    assert found.requests[0].url == "https://iam.example/v3/projects?name=cn-north-4"


@pytest.mark.parametrize(
    ("projects", "number"), [([], 0), (None, 0), ([{}], 0), ([{"id": "p-1"}, {"id": "p-2"}], 2)]
)
def test_a_region_without_its_one_project_is_for_a_person_to_settle(
    talk: Any, projects: Any, number: int
) -> None:
    asking = find_project("drs", "https://iam.example", "cn-north-4", HuaweiSigner("AK", "SK"))
    with pytest.raises(MigrationConfigurationError, match=f"has {number} projects .* write project_id"):
        talk(asking, {"projects": projects})
