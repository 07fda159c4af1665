"""Answers that no service should give: each becomes an error of the right class, whatever was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.conversation import Conversation, Response
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationPermissionError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.services.dataworks import DataWorksApi
from airflow_provider_migration.services.drs import DrsApi
from airflow_provider_migration.services.dts import DtsApi
from airflow_provider_migration.services.huawei import AgencyKey, IamToken, find_project
from airflow_provider_migration.services.oms import HostedOmsApi, OmsApi

ALIBABA = AlibabaSigner("id", "secret")
DRS = DrsApi(endpoint="https://drs.example", project_id="p", signer=HuaweiSigner("AK", "SK"))
OMS = OmsApi(endpoint="https://oms.example", signer=BasicSigner("u", "p"))
HOSTED_OMS = HostedOmsApi(endpoint="https://oceanbasepro.example", signer=ALIBABA)
DTS = DtsApi(endpoint="https://dts.example", signer=ALIBABA)
DATAWORKS = DataWorksApi(endpoint="https://dataworks.example", signer=ALIBABA)


def iam() -> Conversation[Any]:
    token = IamToken(
        endpoint="https://iam.example", user="u", password="p", domain_name="d", scope={"name": "r"}
    )
    return token.authenticate(DRS.get_job_status("1"))


def agency() -> Conversation[Any]:
    key = AgencyKey(
        endpoint="https://iam.example",
        user=HuaweiSigner("AK", "SK"),
        agency_name="a",
        domain_name="d",
        own_domain_id="i",
    )
    return key.authenticate(DRS.get_job_status("1"))


CALLS: dict[str, Callable[[], Conversation[Any]]] = {
    "dts": lambda: DTS.progress("1", max_lag=60),
    "dts list": lambda: DTS.describe_dts_jobs(["dts1"]),
    "dataworks": lambda: DATAWORKS.progress(1, 2, max_lag=60),
    "dataworks list": lambda: DATAWORKS.list_migrations(1, "IMPORT"),
    "oms": lambda: OMS.progress("1", max_lag=60),
    "oms action": lambda: OMS.progress("np_1", max_lag=60),
    "oms steps": lambda: OMS.describe_project_steps("np_1"),
    "oms hosted": lambda: HOSTED_OMS.progress("np_1", max_lag=60),
    "drs": lambda: DRS.progress("1", max_lag=60),
    "drs objects": lambda: DRS.progress("1", job_status=False, max_lag=60),
    "iam": iam,
    "iam agency": agency,
    "iam projects": lambda: find_project("drs", "https://iam.example", "r", HuaweiSigner("AK", "SK")),
}
HTML = b"<html><title>Login \x1b[31m{0}</title></html>"


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Callable[[], Conversation[Any]]:
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
def test_an_answer_that_is_no_json_object_is_classed_by_its_status(
    call: Any, talk: Any, status: int, body: bytes, error: type[MigrationApiError]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), Response(status, {"content-type": "text/html"}, body))
    assert type(caught.value) is error
    assert caught.value.http_status == status
    assert "<html>" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_redirect_is_named_as_one(call: Any, talk: Any) -> None:
    with pytest.raises(MigrationResponseError, match="a redirect, which is never followed"):
        talk(call(), Response(302, {"location": "https://login.example"}, b""))


def test_an_error_says_what_was_asked_what_came_back_and_what_to_do(call: Any, talk: Any) -> None:
    with pytest.raises(MigrationResponseError) as caught:
        talk(call(), Response(200, {"content-type": "text/\x07html"}, HTML))
    message = str(caught.value)
    assert caught.value.action in message
    assert ".example: HTTP 200, not a JSON object (text/ html, 42 bytes). Check host" in message
