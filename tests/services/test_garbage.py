"""Answers that no service should give: each becomes an error of the right class, whatever was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.credentials.huawei_iam import AgencyKey, IamToken, find_project
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.sansio import Flow, Response
from airflow_provider_migration.services import dataworks, oms
from airflow_provider_migration.services.dataworks import DataWorksApi
from airflow_provider_migration.services.drs import DrsApi
from airflow_provider_migration.services.dts import DtsApi
from airflow_provider_migration.services.listing import MigrationFilter
from airflow_provider_migration.services.oms import HostedOmsApi, OmsApi
from airflow_provider_migration.transport import aio, sync
from airflow_provider_migration.transport.settings import TransportConfig
from tests.servers import Server, http

ALIBABA = AlibabaSigner("id", "secret")
DRS = DrsApi(endpoint="https://drs.example", project_id="p", signer=HuaweiSigner("AK", "SK"))
OMS = OmsApi(endpoint="https://oms.example", signer=BasicSigner("u", "p"))
OLDER_OMS = replace(OMS, api="GetMigrationProgress")  # named, so that no other call is made instead
HOSTED_OMS = HostedOmsApi(endpoint="https://oceanbasepro.example", signer=ALIBABA)
DTS = DtsApi(endpoint="https://dts.example", signer=ALIBABA)
DATAWORKS = DataWorksApi(endpoint="https://dataworks.example", signer=ALIBABA)


def iam() -> Flow[Any]:
    token = IamToken(
        endpoint="https://iam.example", user="u", password="p", domain_name="d", scope={"name": "r"}
    )
    return token.authenticate(DRS.get_job_status("1"))


def agency() -> Flow[Any]:
    key = AgencyKey(
        endpoint="https://iam.example",
        user=HuaweiSigner("AK", "SK"),
        agency_name="a",
        domain_name="d",
        own_domain_id="i",
    )
    return key.authenticate(DRS.get_job_status("1"))


CALLS: dict[str, Callable[[], Flow[Any]]] = {
    "dts": lambda: DTS.progress("1", max_lag=60),
    "dts list": lambda: DTS.describe_dts_jobs(["dts1"]),
    "dataworks": lambda: DATAWORKS.progress(1, 2, max_lag=60),
    "dataworks list": lambda: DATAWORKS.list_packages(1, "IMPORT"),
    "dataworks packages": lambda: DATAWORKS.list_migrations(dataworks.list_of(MigrationFilter(), 1)),
    "oms": lambda: OLDER_OMS.progress("1", max_lag=60),
    "oms action": lambda: OMS.progress("np_1", max_lag=60),
    "oms steps": lambda: OMS.describe_project_steps("np_1"),
    "oms list": lambda: OMS.list_migrations(oms.list_of(MigrationFilter())),
    "oms hosted list": lambda: HOSTED_OMS.list_migrations(oms.list_of(MigrationFilter())),
    "oms hosted": lambda: HOSTED_OMS.progress("np_1", max_lag=60),
    "drs": lambda: DRS.progress("1", max_lag=60),
    "drs objects": lambda: DRS.progress("1", job_status=False, max_lag=60),
    "iam": iam,
    "iam agency": agency,
    "iam projects": lambda: find_project("drs", "https://iam.example", "r", HuaweiSigner("AK", "SK")),
}
HTML = b"<html><title>Login \x1b[31m{0}</title></html>"


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Callable[[], Flow[Any]]:
    return CALLS[request.param]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, HTML, MigrationResponseError),
        (200, b"", MigrationResponseError),
        (200, b'{"Success": true, "Da', MigrationResponseError),
        (200, b"[]", MigrationResponseError),
        (200, b"null", MigrationResponseError),
        (200, b'"RUNNING"', MigrationResponseError),
        (200, b"1", MigrationResponseError),
        (200, b"\xff\xfe\x00", MigrationResponseError),
        (200, b"[" * 200_000, MigrationResponseError),
        (200, b'{"a":' * 200_000, MigrationResponseError),
        (200, b'{"status": ' + b"9" * 5000 + b"}", MigrationResponseError),
        (204, b"", MigrationResponseError),
        (302, HTML, MigrationResponseError),
        (302, b"{}", MigrationResponseError),
        (307, b"", MigrationResponseError),
        (100, b"", MigrationResponseError),
        (401, HTML, MigrationAuthenticationError),
        (403, HTML, MigrationPermissionError),
        (408, b"", MigrationServiceError),
        (425, b"", MigrationServiceError),
        (429, HTML, MigrationThrottledError),
        (500, HTML, MigrationServiceError),
        (502, HTML, MigrationServiceError),
        (503, b"", MigrationServiceError),
        (504, b"[]", MigrationServiceError),
    ],
)
def test_invalid_json_error_follows_the_http_status(
    call: Any, talk: Any, status: int, body: bytes, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), Response(status, {"content-type": "text/html"}, body))
    assert type(caught.value) is error
    assert caught.value.http_status == status
    assert "<html>" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_redirect_is_named(call: Any, talk: Any) -> None:
    with pytest.raises(MigrationResponseError, match="a redirect, which is never followed"):
        talk(call(), Response(302, {"location": "https://login.example"}, b""))


def test_error_names_request_answer_and_remedy(call: Any, talk: Any) -> None:
    with pytest.raises(MigrationResponseError) as caught:
        talk(call(), Response(200, {"content-type": "text/\x07html"}, HTML))
    message = str(caught.value)
    assert caught.value.action in message
    assert (
        ".example: HTTP 200, not a JSON object (text/ html, 42 bytes). Check the connection's host" in message
    )


# --- refusals of something in front of the service ------------------------------------------------------

FOREIGN_BODIES = {
    "html": HTML,
    "text": b"no Route matched with those values",
    "nothing": b"",
    "list": b"[]",
    "json": b'{"message": "no Route matched with those values"}',
    "spring": b'{"timestamp": 1, "status": 404, "error": "Not Found", "path": "/"}',
    "empty code": b'{"code": "", "Code": null, "error_code": ""}',
}
REFUSALS = {
    400: MigrationRequestError,
    401: MigrationAuthenticationError,
    403: MigrationPermissionError,
    404: MigrationNotFoundError,
    405: MigrationRequestError,
    407: MigrationRequestError,
    410: MigrationRequestError,
    413: MigrationRequestError,
    451: MigrationRequestError,
}
CODES = {
    "dts": {"Success": False, "ErrCode": "Forbidden"},
    "dataworks": {"Success": False, "ErrorCode": "Forbidden"},
    "oms": {"success": False, "code": "PARAM_ERROR"},
    "drs": {"error_code": "DRS.M00101", "error_msg": "no"},
    "iam": {"error": {"code": 401, "message": "wrong password", "title": "Unauthorized"}},
}


@pytest.mark.parametrize("body", FOREIGN_BODIES.values(), ids=FOREIGN_BODIES)
@pytest.mark.parametrize("status", REFUSALS)
def test_refusal_without_a_code_is_tolerated_after_success(
    call: Any, talk: Any, status: int, body: bytes
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), lambda request: Response(status, {}, body))
    assert type(caught.value) is REFUSALS[status]
    assert (caught.value.code, caught.value.tolerated_after_success) == (None, True)


@pytest.mark.parametrize("status", [400, 403, 404, 405])
@pytest.mark.parametrize("name", ["oms", "oms action", "oms steps", "oms hosted"])
def test_code_that_repeats_the_http_status_is_not_the_services_own(talk: Any, status: int, name: str) -> None:
    body = json.dumps({"code": status, "message": "no"}).encode()
    with pytest.raises(MigrationApiError) as caught:
        talk(CALLS[name](), lambda request: Response(status, {}, body))
    assert (caught.value.code, caught.value.tolerated_after_success) == (None, True)


@pytest.mark.parametrize("name", [name for name in CALLS if " " not in name])
def test_refusal_with_the_services_own_code_is_final(talk: Any, name: str) -> None:
    status = 401 if name == "iam" else 403
    with pytest.raises(MigrationApiError) as caught:
        talk(CALLS[name](), lambda request: Response(status, {}, json.dumps(CODES[name]).encode()))
    assert caught.value.code
    assert (caught.value.is_transient, caught.value.tolerated_after_success) == (False, False)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 200, 302])
def test_transient_error_needs_no_tolerance(call: Any, talk: Any, status: int) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), Response(status, {}, HTML))
    assert (caught.value.is_transient, caught.value.tolerated_after_success) == (True, False)


@pytest.mark.parametrize(
    ("flow", "body"),
    [
        (lambda: DRS.progress("1", max_lag=60), {"results": []}),
        (lambda: DRS.get_job_status("1"), {"count": 0, "results": []}),
        (
            lambda: replace(DTS, api="DescribeDtsJobs").progress("dts1", max_lag=60),
            {"Success": True, "DtsJobList": []},
        ),
    ],
    ids=["drs", "drs status", "dts list"],
)
def test_unknown_id_with_http_200_is_final(
    flow: Callable[[], Flow[Any]], body: Any, talk: Any, response: Any
) -> None:
    # DTS is asked again, for another type and by the id of a job, and DRS in v5.
    unknown = response({"error_code": "DRS.10000010"}, 400)
    with pytest.raises(MigrationNotFoundError) as caught:
        talk(flow(), lambda request: unknown if request.action == "ShowJobDetail" else response(body))
    assert (caught.value.code, caught.value.tolerated_after_success) == (None, False)


@pytest.mark.parametrize("body", ["html", "nothing", "json"])
@pytest.mark.parametrize("status", [400, 403, 404, 405])
@pytest.mark.parametrize(
    "api", [DTS, DATAWORKS, OLDER_OMS, HOSTED_OMS, DRS], ids=lambda api: type(api).__name__
)
@pytest.mark.parametrize("driver", ["sync", "async"])
def test_refusal_in_front_of_a_service_is_tolerated_over_either_driver(
    driver: str, api: Any, status: int, body: str
) -> None:
    ids = (1, 2) if api is DATAWORKS else ("1",)
    settings = TransportConfig(connect_timeout=2, read_timeout=10)

    def carry(flow: Flow[Any]) -> Any:
        if driver == "async":
            return asyncio.run(aio.AsyncDriver(settings).run(flow))
        with sync.new_session(settings) as session:
            return sync.SyncDriver(session, settings).run(flow)

    # An older console has a second call, for an id that the first does not find.
    number = 2 if api is OLDER_OMS and status == 404 else 1
    with Server([http(status, FOREIGN_BODIES[body], {"content-type": "text/html"})] * number) as server:
        flow = replace(api, endpoint=server.url).progress(*ids, max_lag=60)
        with pytest.raises(MigrationError) as caught:
            carry(flow)
        assert len(server.asked) == number
    assert caught.value.tolerated_after_success
