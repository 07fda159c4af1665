"""Refusals of Alibaba Cloud, which DTS and DataWorks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
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
from airflow_provider_migration.sansio import Flow
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
def call(request: pytest.FixtureRequest) -> Callable[[], Flow[Any]]:
    return CALLS[request.param]


CODES = [
    ("Throttling.System", MigrationThrottledError),
    ("Throttling.Api.Risk", MigrationThrottledError),
    ("Throttling.Resource", MigrationThrottledError),
    ("DTS.Msg.OperationDenied.JobStatusModifying", MigrationServiceError),
    ("Any.Other.OperationDenied.JobStatusModifying", MigrationServiceError),
    ("InternalError.System", MigrationServiceError),
    ("InternalError.UserId.Missing", MigrationServiceError),
    ("InternalError.Wkbench.ServiceError", MigrationServiceError),
    ("IllegalTimestamp", MigrationAuthenticationError),
    ("Forbidden.AccessKeyDisabled", MigrationAuthenticationError),
    ("EntityNotExist.Role", MigrationAuthenticationError),
    ("EntityNotExist.User", MigrationAuthenticationError),
    ("AuthenticationFail.OIDCToken.Invalid", MigrationAuthenticationError),
    ("DTS.Msg.Forbidden.RAM", MigrationPermissionError),
    ("ResourceNotAuthorized.Api", MigrationPermissionError),
    ("DTS.Msg.InvalidJobId", MigrationNotFoundError),
    ("InvalidMigration.NotFound", MigrationNotFoundError),
    ("Invalid.Wkbench.TopicNotExist", MigrationNotFoundError),
    ("InvalidRegionId.NotFound", MigrationRequestError),
    ("InvalidRegionId", MigrationRequestError),
    ("NoSuchRegion", MigrationRequestError),
    ("UnsupportedRegion", MigrationRequestError),
    ("RegionId.NotSupported", MigrationRequestError),
    ("Invalid.Wkbench.Parameter", MigrationRequestError),
    ("Invalid.Param", MigrationRequestError),
    ("InvalidParameterValue.Format", MigrationRequestError),
    ("MissingParameter", MigrationRequestError),
    ("DTS.Msg.MissingParameter", MigrationRequestError),
    ("UnsupportedHTTPMethod", MigrationRequestError),
    ("InvalidAction.NotFound", MigrationRequestError),
    ("InvalidVersion", MigrationRequestError),
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
def test_refusal_code_overrides_the_http_status(
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
def test_refusal_with_http_200(call: Any, talk: Any, name: str, success: Any) -> None:
    with pytest.raises(MigrationNotFoundError):
        talk(call(), {"Success": success, name: "InvalidJobId", "ErrMessage": "The job is gone."})


@pytest.mark.parametrize("name", ["Message", "ErrMessage", "ErrorMessage"])
def test_refusal_has_the_text_of_the_service(call: Any, talk: Any, name: str) -> None:
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
def test_refusal_without_a_code_follows_the_http_status(
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
        {"HttpStatusCode": 200},
        {"Code": "200"},
    ],
)
def test_refusal_needs_success_or_status(call: Any, talk: Any, body: Any) -> None:
    talk(call(), {**body, "Data": {"Status": "INIT"}, "migrationJobStatus": "Migrating"})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, MigrationResponseError),
        ({"HttpStatusCode": 200}, MigrationResponseError),
        ({"hello": "clock"}, MigrationResponseError),
        ({"ErrCode": "InvalidJobId", "ErrMessage": "no such job"}, MigrationNotFoundError),
        ({"Code": "Throttling.User"}, MigrationThrottledError),
        ({"Code": "SomethingNew"}, MigrationServiceError),
    ],
)
def test_answer_without_success_and_data_is_an_error(call: Any, talk: Any, body: Any, error: Any) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), body)
    assert type(caught.value) is error


def test_redacted_error_does_not_echo_the_signed_string(call: Any, talk: Any, response: Any) -> None:
    body = {"Code": "SignatureDoesNotMatch", "Message": "server string to sign: x-acs-security-token:CAIS"}
    with pytest.raises(MigrationAuthenticationError) as caught:
        talk(call(), response(body, 400))
    assert "CAIS" not in str(caught.value)
    assert "clock" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, MigrationRequestError), (404, MigrationNotFoundError), (500, MigrationServiceError)],
)
@pytest.mark.parametrize(
    "code", ["InvalidStatus", "InvalidOperation.Busy", "SomethingNew", "IncorrectState", "5"]
)
def test_unknown_code_follows_the_http_status(
    call: Any, talk: Any, response: Any, code: str, status: int, error: Any
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        talk(call(), response({"Code": code}, status))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("code", "in_dataworks", "in_dts"),
    [
        ("Throttling.Api.Risk", (MigrationThrottledError, "quota"), (MigrationThrottledError, "")),
        ("Throttling.Resource", (MigrationThrottledError, "quota"), (MigrationThrottledError, "")),
        ("Throttling.ResourceExhausted", (MigrationThrottledError, ""), (MigrationThrottledError, "")),
        ("Throttling.Api", (MigrationThrottledError, ""), (MigrationThrottledError, "")),
        ("9990010001", (MigrationPermissionError, ""), (MigrationServiceError, "")),
        ("Forbidden.Not.Server", (MigrationRequestError, ""), (MigrationPermissionError, "")),
        ("Forbidden.Access", (MigrationPermissionError, "tolerated"), (MigrationPermissionError, "")),
        ("Forbidden.AccessX", (MigrationPermissionError, ""), (MigrationPermissionError, "")),
        ("InvalidTimeStamp.Expired", *[(MigrationAuthenticationError, "tolerated")] * 2),
        ("InvalidTimeStamp.Format", *[(MigrationAuthenticationError, "tolerated")] * 2),
        ("IllegalTimestamp", *[(MigrationAuthenticationError, "tolerated")] * 2),
        ("SignatureDoesNotMatch", *[(MigrationAuthenticationError, "")] * 2),
        ("MissingTimestamp", *[(MigrationRequestError, "")] * 2),
    ],
)
def test_codes_of_one_service(talk: Any, response: Any, code: str, in_dataworks: Any, in_dts: Any) -> None:
    """DataWorks alone counts calls by day; a wrong clock is tolerated after an answer in each service."""
    calls = {"GetMigrationSummary": in_dataworks, "DescribeMigrationJobStatus": in_dts}
    for name, (error, flag) in calls.items():
        with pytest.raises(MigrationApiError) as caught:
            talk(CALLS[name](), response({"Code": code, "Message": "no"}, 500))
        assert type(caught.value) is error
        assert getattr(caught.value, "quota_exhausted", False) == (flag == "quota")
        assert caught.value.tolerated_after_success == (flag == "tolerated")
        assert ("next day" in str(caught.value)) == (flag == "quota")


def test_clock_skew_is_named_with_the_time_of_the_service(call: Any, talk: Any, response: Any) -> None:
    date = {"date": "Tue, 03 Feb 2026 04:05:06 GMT"}
    with pytest.raises(MigrationAuthenticationError) as caught:
        talk(call(), response({"Code": "InvalidTimeStamp.Expired"}, 400, date))
    assert "The cause is this machine's clock" in str(caught.value)
    assert str(caught.value).endswith("The service's time is 2026-02-03T04:05:06Z.")


@pytest.mark.parametrize(
    ("body", "is_tolerated"),
    [
        ({}, True),
        ({"message": "Forbidden"}, True),
        ({"Success": False}, True),
        ({"Code": "Forbidden.RAM"}, False),
    ],
)
def test_refusal_without_a_code_is_tolerated_after_success(
    call: Any, talk: Any, response: Any, body: Any, is_tolerated: bool
) -> None:
    with pytest.raises(MigrationPermissionError) as caught:
        talk(call(), response(body, 403))
    assert caught.value.tolerated_after_success == is_tolerated


# --- XML ------------------------------------------------------------------------------------------------

XML = "<Error><RequestId>r-1</RequestId><HostId>h</HostId><Code>{}</Code><Message>{}</Message></Error>"


@pytest.mark.parametrize(
    "content_type", ["text/xml;charset=utf-8", "application/xml", "application/json", ""]
)
@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (XML.format("Throttling.User", "slow down"), MigrationThrottledError, "slow down"),
        ("<?xml version='1.0'?>\n" + XML.format("InvalidJobId", "gone"), MigrationNotFoundError, "gone"),
        (
            "\ufeff  " + XML.format("Forbidden.RAM", "a &amp; b &lt;c&gt;"),
            MigrationPermissionError,
            "a & b <c>",
        ),
        (XML.format("Forbidden.RAM", "<![CDATA[a < b]]>"), MigrationPermissionError, "a < b"),
        (XML.format("InternalError", "no").lower(), MigrationServiceError, "InternalError".lower()),
        (
            "<ErrorResponse xmlns='x'>" + XML.format("ServiceUnavailable", "no") + "</ErrorResponse>",
            MigrationServiceError,
            "r-1",
        ),
        (
            "<DescribeDtsJobsResponse><Success>false</Success><ErrCode>InvalidJobId</ErrCode>"
            "<ErrMessage>%s is not valid</ErrMessage><DynamicMessage>DtsJobId</DynamicMessage>"
            "</DescribeDtsJobsResponse>",
            MigrationNotFoundError,
            "DtsJobId is not valid",
        ),
        (
            XML.format("SignatureDoesNotMatch", "signed CAIS"),
            MigrationAuthenticationError,
            "Check the connection's login",
        ),
    ],
)
def test_xml_error_is_read_like_json(
    call: Any, talk: Any, response: Any, body: str, error: Any, says: str, content_type: str
) -> None:
    for status in (400, 200):
        with pytest.raises(MigrationApiError) as caught:
            talk(call(), response(body.encode(), status, {"content-type": content_type}))
        assert type(caught.value) is error
        assert says in str(caught.value)
        assert "CAIS" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "<html><body><code>Throttling.User</code></body></html>",
        "<Error><Message>Throttling.User</Message></Error>",
        "<!DOCTYPE e [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Error><Code>&a;</Code></Error>",
        "<Error>" + " " * 10_000 + "<Code>Throttling.User</Code></Error>",
        "<Errors><Code>Throttling.User</Code></Errors>",
        "text <Error><Code>Throttling.User</Code></Error>",
        "<Response><Status>Finished</Status></Response>",
        "<",
    ],
)
def test_xml_of_others_is_not_read(call: Any, talk: Any, response: Any, body: str) -> None:
    with pytest.raises(MigrationResponseError, match="not a JSON object"):
        talk(call(), response(body.encode()))


@pytest.mark.parametrize(
    ("message", "dynamic", "says"),
    [
        ("Parameter %s is not valid", "JobType", "Parameter JobType is not valid"),
        ("Parameter %1$s is not valid", "JobType", "Parameter JobType is not valid"),
        ("%s", r"a\\1\g<0>", r"a\\1\g<0>"),
        ("Parameter %s is not valid", None, "Parameter %s is not valid"),
        ("Parameter %s is not valid", "", "Parameter %s is not valid"),
        ("100 % sure", "x", "100 % sure"),
    ],
)
def test_placeholder_is_filled_from_the_dynamic_message(
    call: Any, talk: Any, message: str, dynamic: str | None, says: str
) -> None:
    body = {"Success": False, "ErrCode": "X", "ErrMessage": message, "dynamicMessage": dynamic}
    with pytest.raises(MigrationServiceError) as caught:
        talk(call(), body)
    assert says in str(caught.value)
