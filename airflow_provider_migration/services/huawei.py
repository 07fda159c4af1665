"""What the services of Huawei Cloud share: the form of a refusal, and tokens of IAM."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from airflow_provider_migration.conversation import Conversation, Request, Response
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
from airflow_provider_migration.services.wire import (
    WireModel,
    api_error,
    error_by_code,
    error_by_status,
    json_object,
    utc_now,
)

_T = TypeVar("_T")

ERRORS: Final[tuple[tuple[str, type[MigrationApiError]], ...]] = (
    (r"APIG[W.]*\.?0301|APIG[W.]*\.?0307", MigrationAuthenticationError),
    (r"APIG[W.]*\.?0308", MigrationThrottledError),
    (r"DRS\.(M05003|M05004|M00289|10000010)$", MigrationNotFoundError),
    (r"DRS\.M00100$", MigrationAuthenticationError),
    (r"DRS\.M00(101|102|103|105|261)$", MigrationPermissionError),
    (r"DRS\.M01503$", MigrationThrottledError),
    (r"DRS\.(M00002|M00004|M01501|M01504|10000001)$", MigrationServiceError),
    (r"DRS\.M00(007|2\d\d|30\d)$", MigrationRequestError),
)
"""
Error codes, the first row that fits counts; with other codes the HTTP status does.

Sources: https://support.huaweicloud.com/intl/en-us/api-drs/drs_05_0004.html for DRS, and the error page of
the API gateway for ``APIG`` and ``APIGW``. DRS answers an unknown job with HTTP 400.
"""


class _Refusal(WireModel):
    error_code: str | None = None
    error_msg: str | None = None
    request_id: str | None = None


def api_object(request: Request, response: Response) -> dict[str, Any]:
    """
    Return the answer of a call; some succeed with HTTP 202.

    :raises MigrationApiError: if the call was refused, also inside an HTTP 202.
    """
    data = json_object(request, response)
    refusal = _Refusal.read(data)
    by_status = error_by_status(response.status)
    if not by_status and not refusal.error_code:
        return data
    raise refused(request, response, refusal.error_code, refusal.error_msg, refusal.request_id)


def refused(
    request: Request, response: Response, code: str | None, text: str | None, request_id: str | None = None
) -> MigrationApiError:
    """Make the error for a refusal by its code, else by the HTTP status."""
    error = error_by_code(ERRORS, code) or error_by_status(response.status) or MigrationServiceError
    request_id = request_id or response.headers.get("x-request-id")
    return api_error(error, request, response, text, code=code, request_id=request_id)


_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_RENEW_BEFORE_END: Final = timedelta(minutes=30)


@dataclass(slots=True)
class IamToken:
    """
    A token of an IAM user, asked for with the password when first needed and kept until it nears its end.

    It is the signer of the requests that it authenticates.

    :param endpoint: scheme and host of IAM, such as ``https://iam.cn-north-4.myhuaweicloud.com``.
    :param domain_name: the account that the user belongs to.
    :param scope: the project that the token is for: ``{"name": region}`` or ``{"id": project_id}``.
    """

    endpoint: str
    user: str
    password: str = field(repr=False)
    domain_name: str
    scope: Mapping[str, str]
    token: str | None = field(default=None, repr=False)
    expires_at: datetime = _NEVER
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    @property
    def identity(self) -> str:
        """The user and the account."""
        return f"IAM user {self.user!r} of {self.domain_name!r}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password and the token."""
        return tuple(filter(None, (self.password, self.token)))

    def sign(self, request: Request, *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's headers, with ``x-auth-token`` once there is a token."""
        return {**request.headers, **({"x-auth-token": self.token} if self.token else {})}

    def authenticate(self, conversation: Conversation[_T]) -> Conversation[_T]:
        """
        Run a conversation with a token: fetched first if need be, and renewed once if it is refused.

        A password, a right or a user's status that changes ends a token long before its time.
        """
        renewed = False
        try:
            request = next(conversation)
            while True:
                if self.token is None or self.clock() + _RENEW_BEFORE_END >= self.expires_at:
                    yield from self._fetch(request.service)
                used = self.token
                try:
                    answer = yield request
                except MigrationAuthenticationError as error:
                    if self.token == used:  # nobody else has renewed it meanwhile
                        self.token = None
                    if renewed:
                        request = conversation.throw(error)
                    renewed = True
                except MigrationError as error:
                    request = conversation.throw(error)
                else:
                    request = conversation.send(answer)
        except StopIteration as stop:
            result: _T = stop.value
            return result

    def _fetch(self, service: str) -> Conversation[None]:
        self.token = None
        user = {"name": self.user, "password": self.password, "domain": {"name": self.domain_name}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": dict(self.scope)}}}
        token: _Token = yield Request(
            service=service,
            action="KeystoneCreateUserTokenByPassword",
            method="POST",
            url=f"{self.endpoint}/v3/auth/tokens?nocatalog=true",
            headers={"accept": "application/json", "content-type": "application/json;charset=utf8"},
            body=json.dumps(body).encode(),
            read=self._read_token,
            signer=self,
            item=self.user,
        )
        self.token, self.expires_at = token.value, token.expires_at

    def _read_token(self, request: Request, response: Response) -> _Token:
        data = json_object(request, response)
        if error := error_by_status(response.status):
            refusal = _IamRefusal.read(data).error
            raise api_error(error, request, response, refusal.message, code=refusal.code)
        token = response.headers.get("x-subject-token")
        if not token:
            raise api_error(MigrationResponseError, request, response, "no X-Subject-Token header")
        # IAM's tokens live 24 hours; without a date half of that is safe.
        ends = _TokenAnswer.read(data).token.expires_at or self.clock() + timedelta(hours=12)
        return _Token(token, ends.replace(tzinfo=ends.tzinfo or UTC))


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires_at: datetime


class _TokenBody(WireModel):
    expires_at: datetime | None = None


class _TokenAnswer(WireModel):
    token: _TokenBody = _TokenBody()


class _IamError(WireModel):
    code: str | None = None
    message: str | None = None


class _IamRefusal(WireModel):
    error: _IamError = _IamError()


def host_of(product: str, region: str) -> str:
    """
    Return the host of a product in a region; Europe has a domain of its own.

    Source: https://developer.huaweicloud.com/endpoint.
    """
    return f"{product}.{region}.myhuaweicloud.{'eu' if region == 'eu-west-101' else 'com'}"


def iam_endpoint_of(region: str | None) -> str:
    """Return the host of IAM in a region; the global one where none is given."""
    return host_of("iam", region) if region else "iam.myhuaweicloud.com"
