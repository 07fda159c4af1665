"""What the services of Alibaba Cloud's RPC gateway share: the form of a request and of a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from airflow_provider_migration.conversation import Request, Response, Signer, encode_query
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
from airflow_provider_migration.services.wire import (
    WireModel,
    api_error,
    error_by_code,
    error_by_status,
    has_field,
    json_object,
    utc_now,
)

ERRORS: Final[tuple[tuple[str, type[MigrationApiError]], ...]] = (
    (r".*Throttling|.*\.Throttled|Rejected\.Throttl", MigrationThrottledError),
    (r"SignatureNonceUsed", MigrationServiceError),
    (
        r"InvalidTimeStamp|.*AccessKeyId|SignatureDoesNotMatch|IncompleteSignature|.*SecurityToken",
        MigrationAuthenticationError,
    ),
    (r"InvalidJobId|Forbidden\.InstanceNotFound", MigrationNotFoundError),
    (r"Forbidden|ActionUnauthorized|NoPermission|.*Unauthorized|.*AccessDenied", MigrationPermissionError),
    (r"OperationDenied\.JobStatusModifying", MigrationServiceError),
    (r"ServiceUnavailable|InternalError|UnknownError|.*InternalError|.*Timeout", MigrationServiceError),
    (r"Invalid(Action|Api|Product|Version|Protocol|Parameter)|Missing|Unsupported", MigrationRequestError),
    (r".*(NotFound|NotExist)", MigrationNotFoundError),
)
"""
Error codes, the first row that fits counts. The HTTP status is not asked where a code is known: the
documentation itself disagrees on it (help.aliyun.com/document_detail/48054.html, /434846.html, /51132.html).
"""


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


def rpc_object(request: Request, response: Response, *, payload: str) -> dict[str, Any]:
    """
    Return the answer of an RPC call.

    An ``ErrorCode`` beside ``Success: true`` is no failure: DataWorks' own sample has one. Where HTTP says
    200, the ``HttpStatusCode`` in the body tells what kind of refusal it is.

    :param payload: the field for whose sake the call is made; without it only ``Success: true`` makes an
        answer.
    :raises MigrationApiError: if the call was refused, whatever the HTTP status.
    """
    data = json_object(request, response)
    by_status = error_by_status(response.status)
    if not by_status and data.get("Success") in (True, "true"):  # as a rule, without a look at the rest
        return data
    envelope = _Envelope.read(data)
    by_body = error_by_status(envelope.http_status_code or response.status)
    if not by_status and (
        envelope.success or (envelope.success is None and not by_body and has_field(data, payload))
    ):
        return data
    code = envelope.code or envelope.err_code or envelope.error_code
    otherwise = MigrationServiceError if code or envelope.success is False else MigrationResponseError
    raise api_error(
        error_by_code(ERRORS, code) or by_status or by_body or otherwise,
        request,
        response,
        envelope.message or envelope.err_message or envelope.error_message or f"no {payload} in the answer",
        code=code,
        request_id=envelope.request_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlibabaApi:
    """
    One service of Alibaba Cloud, as one account sees it in one region.

    :param endpoint: scheme and host, such as ``https://dts.cn-hangzhou.aliyuncs.com``.
    :param region: region id, or None where the endpoint alone says it.
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
        read: Callable[[Request, Response], Any],
        *,
        query: Mapping[str, str | None] | None = None,
        form: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Request:
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
