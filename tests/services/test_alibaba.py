"""Refusals of Alibaba Cloud, which DTS and DataWorks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.conversation import Conversation
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.services.dataworks import DataWorksApi
from airflow_provider_migration.services.dts import DtsApi

SIGNER = AlibabaSigner("id", "secret")
DTS = DtsApi(endpoint="https://dts.example", signer=SIGNER)
DATAWORKS = DataWorksApi(endpoint="https://dataworks.example", signer=SIGNER)
CALLS = {
    "DescribeMigrationJobStatus": lambda: DTS.describe_migration_job_status("dts1"),
    "GetMigrationProcess": lambda: DATAWORKS.get_migration_process(1, 2),
    "GetMigrationSummary": lambda: DATAWORKS.get_migration_summary(1, 2),
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Callable[[], Conversation[Any]]:
    return CALLS[request.param]


CODES = [
    ("Throttling", MigrationThrottledError),
    ("Throttling.User", MigrationThrottledError),
    ("Throttling.Api", MigrationThrottledError),
    ("DTS.Msg.Throttling.User", MigrationThrottledError),
    ("Rejected.Throttling", MigrationThrottledError),
    ("throttling.user", MigrationThrottledError),
    ("ServiceUnavailable", MigrationServiceError),
    ("InternalError", MigrationServiceError),
    ("UnknownError", MigrationServiceError),
    ("SignatureNonceUsed", MigrationServiceError),
    ("OperationDenied.JobStatusModifying", MigrationServiceError),
    ("InvalidTimeStamp.Expired", MigrationAuthenticationError),
    ("InvalidTimeStamp.Format", MigrationAuthenticationError),
    ("InvalidAccessKeyId.NotFound", MigrationAuthenticationError),
    ("InvalidAccessKeyId.Inactive", MigrationAuthenticationError),
    ("SignatureDoesNotMatch", MigrationAuthenticationError),
    ("IncompleteSignature", MigrationAuthenticationError),
    ("InvalidSecurityToken.Expired", MigrationAuthenticationError),
    ("MissingSecurityToken", MigrationAuthenticationError),
    ("Forbidden.RAM", MigrationPermissionError),
    ("Forbidden", MigrationPermissionError),
    ("Forbidden.RiskControl", MigrationPermissionError),
    ("ActionUnauthorized", MigrationPermissionError),
    ("NoPermission", MigrationPermissionError),
    ("InvalidJobId", MigrationNotFoundError),
    ("Forbidden.InstanceNotFound", MigrationNotFoundError),
    ("InvalidProduct.NotFound", MigrationRequestError),
    ("InvalidApi.NotFound", MigrationRequestError),
    ("InvalidProtocol.NeedSsl", MigrationRequestError),
    ("InvalidParameter", MigrationRequestError),
    ("MissingMigrationJobId", MigrationRequestError),
]


@pytest.mark.parametrize("status", [400, 403, 404, 500])
@pytest.mark.parametrize(("code", "error"), CODES)
def test_a_code_tells_more_than_the_http_status(
    call: Any, talk: Any, response: Any, code: str, status: int, error: type[MigrationApiError]
) -> None:
    body = {"Code": code, "Message": "no", "RequestId": "r-1", "HostId": "h", "Recommend": "u"}
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), response(body, status))
    assert type(caught.value) is error
    assert (caught.value.http_status, caught.value.code, caught.value.request_id) == (status, code, "r-1")
    assert CALLS[caught.value.action]
    assert code in str(caught.value)


@pytest.mark.parametrize("name", ["Code", "ErrCode", "ErrorCode", "code"])
@pytest.mark.parametrize("success", [False, "false", "False", 0])
def test_a_refusal_may_come_with_http_200(call: Any, talk: Any, name: str, success: Any) -> None:
    with pytest.raises(MigrationNotFoundError):
        talk(call(), {"Success": success, name: "InvalidJobId", "ErrMessage": "The job is gone."})


@pytest.mark.parametrize("name", ["Message", "ErrMessage", "ErrorMessage"])
def test_a_refusal_says_what_the_service_says(call: Any, talk: Any, name: str) -> None:
    with pytest.raises(MigrationServiceError, match="no luck"):
        talk(call(), {"Success": False, name: "no luck"})


@pytest.mark.parametrize(
    ("http_status", "in_body", "success", "error"),
    [
        (200, 403, False, MigrationPermissionError),
        (200, 404, False, MigrationNotFoundError),
        (200, 429, False, MigrationThrottledError),
        (200, 500, False, MigrationServiceError),
        (200, 200, False, MigrationServiceError),
        (200, None, False, MigrationServiceError),
        (200, "odd", False, MigrationServiceError),
        (200, 500, None, MigrationServiceError),
        (200, 403, None, MigrationPermissionError),
        (403, 200, None, MigrationPermissionError),
        (400, None, None, MigrationRequestError),
        (401, None, None, MigrationAuthenticationError),
        (429, None, None, MigrationThrottledError),
        (503, None, True, MigrationServiceError),
        (302, None, True, MigrationResponseError),
    ],
)
def test_without_a_known_code_the_status_tells_the_class(
    call: Any, talk: Any, response: Any, http_status: int, in_body: Any, success: Any, error: Any
) -> None:
    body = {"Success": success, "HttpStatusCode": in_body, "ErrorCode": 110001123456}
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), response(body, http_status))
    assert type(caught.value) is error
    assert caught.value.code == "110001123456"


@pytest.mark.parametrize(
    "body",
    [
        {"Success": True, "ErrorCode": "InvalidJobId", "ErrorMessage": "test error msg"},
        {"Success": "true", "ErrorCode": 110001123456},
        {"Success": True, "HttpStatusCode": 500},
        {"HttpStatusCode": 200, "Data": [], "MigrationJobStatus": "Migrating"},
        {"Code": "200", "Data": [], "MigrationJobStatus": "Migrating"},
        {"data": None, "migrationJobStatus": None},
    ],
)
def test_only_success_and_status_tell_a_refusal(call: Any, talk: Any, body: Any) -> None:
    talk(call(), body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, MigrationResponseError),
        ({"HttpStatusCode": 200}, MigrationResponseError),
        ({"hello": "world"}, MigrationResponseError),
        ({"ErrCode": "InvalidJobId", "ErrMessage": "no such job"}, MigrationNotFoundError),
        ({"Code": "Throttling.User"}, MigrationThrottledError),
        ({"Code": "SomethingNew"}, MigrationServiceError),
    ],
)
def test_an_answer_that_neither_succeeds_nor_answers_is_none(
    call: Any, talk: Any, body: Any, error: Any
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), body)
    assert type(caught.value) is error


def test_what_was_signed_is_not_echoed(call: Any, talk: Any, response: Any) -> None:
    body = {"Code": "SignatureDoesNotMatch", "Message": "server string to sign: x-acs-security-token:CAIS"}
    with pytest.raises(MigrationAuthenticationError) as caught:
        talk(call(), response(body, 400))
    assert "CAIS" not in str(caught.value)
    assert "clock" in str(caught.value)
