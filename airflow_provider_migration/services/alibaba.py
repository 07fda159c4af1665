"""Requests and error codes shared by the services behind Alibaba Cloud's RPC gateway."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import unescape
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from airflow_provider_migration.api_errors import api_error, error_by_status, own_code
from airflow_provider_migration.clock import utc_now
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
from airflow_provider_migration.sansio import Request, Response, Signer, encode_query
from airflow_provider_migration.services.wire import (
    WireModel,
    has_field,
    json_object,
)

_T = TypeVar("_T")

_K = TypeVar("_K")
_V = TypeVar("_V")


class ErrorCode(NamedTuple):
    """
    The meaning of the error codes that a pattern matches.

    :ivar pattern: regular expression, matched at the start of a code without regard to case.
    :ivar error: the class of the error.
    :ivar remedy: advice in addition to that of the class.
    :ivar flag: the flag to set on the error: ``tolerated_after_success`` or ``quota_exhausted``.
    :ivar service: the only service in which the code has this meaning; empty for all.
    """

    pattern: str
    error: type[MigrationApiError]
    remedy: str = ""
    flag: str = ""
    service: str = ""


_CLOCK: Final = (
    "The cause is this machine's clock, which differs from the service's: synchronise it, for example by NTP."
)
_ROLE: Final = "The role or the user that the connection names does not exist: check its name."
_REGION: Final = "The region is wrong, or the service is not offered there: check region in the connection."
_QUOTA: Final = (
    "The quota of API calls is used up, for this day or for the DataWorks edition: calls are answered again "
    "on the next day or in a larger edition. A Basic edition has 100 calls a day: choose a poke_interval of "
    "at least 1800."
)

ERROR_CODES: Final = (
    # DataWorks counts calls by day and by edition; elsewhere Throttling.Resource is over in a moment.
    ErrorCode(
        r"Throttling\.(Api\.Risk|Resource)$",
        MigrationThrottledError,
        _QUOTA,
        "quota_exhausted",
        "dataworks",
    ),
    ErrorCode(
        r"9990010001$",
        MigrationPermissionError,
        "DataWorks is not enabled for this account: enable it in the console.",
        service="dataworks",
    ),
    ErrorCode(r"Forbidden\.Not\.Server", MigrationRequestError, _REGION, service="dataworks"),
    # Its message says only "Try again later" and gives no reason that a person could remove.
    ErrorCode(
        r"Forbidden\.Access$", MigrationPermissionError, flag="tolerated_after_success", service="dataworks"
    ),
    ErrorCode(r".*Throttling|.*\.Throttled|.*FlowControl|.*TooManyRequests", MigrationThrottledError),
    ErrorCode(r"SignatureNonceUsed", MigrationServiceError),
    ErrorCode(
        r"(Invalid|Illegal)\.?Time-?Stamp|RequestTimeTooSkewed",
        MigrationAuthenticationError,
        _CLOCK,
        "tolerated_after_success",
    ),
    ErrorCode(r"EntityNotExist|NoSuch(Role|User)", MigrationAuthenticationError, _ROLE),
    ErrorCode(
        r".*AccessKey|SignatureDoesNotMatch|IncompleteSignature|InvalidSignature|.*SecurityToken"
        r"|AuthenticationFail|Unauthenticated",
        MigrationAuthenticationError,
    ),
    ErrorCode(r"Invalid(Dts)?JobId|Forbidden\.InstanceNotFound", MigrationNotFoundError),
    ErrorCode(r"(.*\.)?OperationDenied\.JobStatusModifying", MigrationServiceError),
    ErrorCode(
        r"(Invalid|Illegal|Unknown|Unsupported|NoSuch)\.?Region"
        r"|.*Region(Id)?\.?(NotFound|NotExist|NotSupport|Unsupported|Invalid)",
        MigrationRequestError,
        _REGION,
    ),
    ErrorCode(
        r"Forbidden|ActionUnauthorized|.*NoPermission|.*Unauthorized|.*NotAuthorized|.*AccessDenied",
        MigrationPermissionError,
    ),
    ErrorCode(
        r"ServiceUnavailable|.*InternalError|UnknownError|.*Timeout|(Server|System|Service)\.?Busy",
        MigrationServiceError,
    ),
    ErrorCode(r"Invalid\.?(Action|Api|Product|Version|Protocol)|.*Param(eter)?s?\b", MigrationRequestError),
    ErrorCode(r".*(NotFound|NotExist)", MigrationNotFoundError),
    # A code about a state or an operation is left out: the same request may succeed at the next poll.
    ErrorCode(
        r"(Invalid|Illegal|Malformed)(?!.*(Status|State|Operation))|Missing|Unsupported",
        MigrationRequestError,
    ),
)
"""
Error codes, evaluated in this order. The code decides, not the HTTP status: the documentation itself
disagrees on the status (help.aliyun.com/document_detail/48054.html, /434846.html, /51132.html), and
DataWorks refuses a wrong argument with HTTP 500. Those of DataWorks alone are from
https://www.alibabacloud.com/help/en/dataworks/developer-reference/api-dataworks-public-2020-05-18-errorcodes.
DTS writes some with a prefix, such as ``DTS.Msg.Throttling.User``.
"""

_PREFIX: Final = r"(?:\w+\.Msg\.)?"

ERRORS: Final = tuple((f"{_PREFIX}(?:{row.pattern})", row.error) for row in ERROR_CODES if not row.service)
"""Codes with the same meaning in every service of the gateway, for :func:`error_by_code`."""


def _meaning(code: str | None, service: str) -> ErrorCode | None:
    return next(
        (
            row
            for row in ERROR_CODES
            if row.service in ("", service)
            and re.match(f"{_PREFIX}(?:{row.pattern})", code or "", re.IGNORECASE)
        ),
        None,
    )


class _Envelope(WireModel):
    success: bool | None = None
    http_status_code: int | None = None
    request_id: str | None = None
    code: str | None = None
    message: str | None = None
    err_code: str | None = None
    err_message: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    dynamic_message: str | None = None

    @property
    def said(self) -> str | None:
        """The message, with the service's separate dynamic part filled in."""
        message = self.message or self.err_message or self.error_message
        if message and self.dynamic_message:
            dynamic = self.dynamic_message
            return re.sub(r"%(\d+\$)?s", lambda _: dynamic, message)
        return message


_XML_BYTES: Final = 8192
_XML_ERROR: Final = re.compile(r"\s*(<\?xml[^>]*\?>)?\s*<(Error|\w*Response)[\s>]", re.IGNORECASE)
_XML_FIELD: Final = re.compile(
    r"<(Code|Message|RequestId|ErrCode|ErrMessage|DynamicMessage)>\s*(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))",
    re.IGNORECASE | re.DOTALL,
)


def _xml_error(body: bytes) -> dict[str, Any] | None:
    """
    Parse an XML error, which the gateway may send although JSON was requested; None for anything else.

    Uses no XML parser: entities are not resolved, and a document with a DOCTYPE is ignored.
    """
    if b"<" not in body[:64]:  # the usual case
        return None
    text = body[:_XML_BYTES].decode("utf-8-sig", "replace")
    if not _XML_ERROR.match(text):
        return None
    fields: dict[str, Any] = {}
    for name, quoted, plain in _XML_FIELD.findall(text):
        fields.setdefault(name, quoted or unescape(plain).strip())
    return fields if any(name.lower() in ("code", "errcode") for name in fields) else None


def gateway_object(request: Request[Any], response: Response) -> dict[str, Any]:
    """
    Return the body as an object: JSON, or the fields of an error in XML.

    :raises MigrationApiError: by the HTTP status, if the body is neither.
    """
    return _xml_error(response.body) or json_object(request, response)


def with_advice(
    problem: MigrationApiError, code: str | None, date: datetime | None = None
) -> MigrationApiError:
    """
    Add the advice and set the flag of an error's code.

    :param code: the code as the service wrote it; the error's own is redacted.
    :param date: the service's time.
    """
    if meaning := _meaning(code, problem.service):
        advice = meaning.remedy
        if advice is _CLOCK and date:
            advice = f"{advice} The service's time is {date:%Y-%m-%dT%H:%M:%SZ}."
        if advice:
            problem.add_hint(advice)
        if meaning.flag:
            setattr(problem, meaning.flag, True)
    return problem


def gateway_error(
    otherwise: type[MigrationApiError],
    request: Request[Any],
    response: Response,
    text: str,
    *,
    code: str | None,
    request_id: str | None,
) -> MigrationApiError:
    """
    Create the error for a refusal.

    :param otherwise: the error class for an unknown code.
    """
    meaning = _meaning(code, request.service)
    error = meaning.error if meaning else otherwise
    problem = api_error(error, request, response, text, code=code, request_id=request_id)
    return with_advice(problem, code, response.date)


def rpc_object(request: Request[Any], response: Response, *, payload: str) -> dict[str, Any]:
    """
    Return the response of an RPC call as an object.

    An ``ErrorCode`` beside ``Success: true`` is not a failure: DataWorks' own sample has one. With HTTP 200,
    the ``HttpStatusCode`` in the body determines the kind of refusal.

    :param payload: the field that the call is made for; without this field, only ``Success: true`` counts
        as a success.
    :raises MigrationApiError: if the call was refused, whatever the HTTP status.
    """
    data = gateway_object(request, response)
    by_status = error_by_status(response.status)
    if not by_status and data.get("Success") in (True, "true"):  # fast path for the usual case
        return data
    envelope = _Envelope.read(data)
    by_body = error_by_status(envelope.http_status_code or response.status)
    if not by_status and (
        envelope.success or (envelope.success is None and not by_body and has_field(data, payload))
    ):
        return data
    code = own_code(response, envelope.code, envelope.err_code, envelope.error_code)
    otherwise = MigrationServiceError if code or envelope.success is False else MigrationResponseError
    problem = gateway_error(
        by_status or by_body or otherwise,
        request,
        response,
        envelope.said or f"no {payload} in the response",
        code=code,
        request_id=envelope.request_id,
    )
    if code is None and envelope.success is None:  # the gateway's own refusals have a code
        problem.tolerated_after_success = True
    raise problem


def no_status(
    request: Request[Any], response: Response, field: str, request_id: str | None
) -> MigrationApiError:
    """
    Create the error for a response without a status.

    :param field: the field that should hold the status.
    """
    text = f"no {field} in the response, so the state of the migration is not known"
    return api_error(MigrationResponseError, request, response, text, request_id=request_id)


def is_international(endpoint: str) -> bool:
    """
    Tell whether an endpoint is known to belong to the international site (alibabacloud.com).

    The regional hosts below aliyuncs.com serve accounts of both sites, so they do not identify the site.
    """
    host = urlsplit(endpoint).hostname or ""
    return host == "alibabacloud.com" or host.endswith(".alibabacloud.com")


@dataclass(slots=True, kw_only=True)
class AlibabaApi:
    """
    One service of Alibaba Cloud, as one account sees it in one region.

    :param endpoint: scheme and host, such as ``https://dts.cn-hangzhou.aliyuncs.com``.
    :param region: region ID, or None if only the endpoint is known.
    """

    endpoint: str
    signer: Signer = field(repr=False)
    region: str | None = None
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    def _request(
        self,
        service: str,
        version: str,
        action: str,
        read: Callable[[Request[Any], Response], _T],
        *,
        query: Mapping[str, str | None] | None = None,
        form: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Request[_T]:
        given = [(name, str(value)) for name, value in (query or {}).items() if value is not None]
        headers = {"accept": "application/json", "x-acs-action": action, "x-acs-version": version}
        if form:
            headers["content-type"] = "application/x-www-form-urlencoded"
        return Request(
            service=service,
            action=action,
            method="POST",
            url=f"{self.endpoint}/" + (f"?{encode_query(given)}" if given else ""),
            headers=headers,
            body=encode_query(form.items()).encode() if form else b"",
            read=read,
            signer=self.signer,
            **more,
        )
