"""What the services of Huawei Cloud share: the form of a refusal, and what IAM gives and tells."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, TypeVar

from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
from airflow_provider_migration.conversation import Conversation, Request, Response, Signer, encode_query
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
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


@dataclass(frozen=True, slots=True)
class _Given:
    """What IAM has given, and until when."""

    signer: Signer
    expires_at: datetime


@dataclass(slots=True, kw_only=True)
class TemporaryCredential(ABC):
    """
    What IAM gives for a while: asked for when first needed and kept until it nears its end.

    It is the signer of the requests that it authenticates.

    :param endpoint: scheme and host of IAM, such as ``https://iam.cn-north-4.myhuaweicloud.com``.
    :param given: what to sign with now.
    """

    endpoint: str
    given: Signer | None = field(default=None, repr=False)
    expires_at: datetime = _NEVER
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    @property
    @abstractmethod
    def identity(self) -> str:
        """Who asks, in words for a person."""

    @property
    @abstractmethod
    def _own_secrets(self) -> tuple[str, ...]:
        """What it is asked for with."""

    @abstractmethod
    def _fetch(self, service: str) -> Conversation[_Given]:
        """Ask IAM for it."""

    @abstractmethod
    def _read(self, request: Request, response: Response) -> _Given:
        """Return what IAM has given."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What it was asked for with, and what was given."""
        return self._own_secrets + (self.given.secrets if self.given else ())

    def sign(self, request: Request, *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's headers, signed once there is something to sign with."""
        return self.given.sign(request, now=now, nonce=nonce) if self.given else request.headers

    def authenticate(self, conversation: Conversation[_T]) -> Conversation[_T]:
        """
        Run a conversation with what IAM gives: fetched first if need be, and renewed once if it is refused.

        A password, a right or a user's status that changes ends it long before its time.
        """
        renewed = False
        try:
            request = next(conversation)
            while True:
                if self.given is None or self.clock() + _RENEW_BEFORE_END >= self.expires_at:
                    self.given = None
                    given = yield from self._fetch(request.service)
                    self.given, self.expires_at = given.signer, given.expires_at
                used = self.given
                try:
                    answer = yield request
                except MigrationAuthenticationError as error:
                    if self.given is used:  # nobody else has renewed it meanwhile
                        self.given = None
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

    def _post(
        self,
        service: str,
        action: str,
        path: str,
        auth: Mapping[str, Any],
        signer: Signer,
        item: str,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        common = {"accept": "application/json", "content-type": "application/json;charset=utf8"}
        return Request(
            service=service,
            action=action,
            method="POST",
            url=self.endpoint + path,
            headers={**common, **(headers or {})},
            body=json.dumps({"auth": auth}).encode(),
            read=self._read,
            signer=signer,
            item=item,
        )

    def _until(self, expires_at: datetime | None, otherwise: timedelta) -> datetime:
        ends = expires_at or self.clock() + otherwise
        return ends.replace(tzinfo=ends.tzinfo or UTC)


@dataclass(slots=True, kw_only=True)
class IamToken(TemporaryCredential):
    """
    A token of an IAM user, asked for with the password.

    Source: https://support.huaweicloud.com/intl/en-us/api-iam/iam_30_0001.html.

    :param domain_name: the account that the user belongs to.
    :param scope: the project that the token is for: ``{"name": region}`` or ``{"id": project_id}``.
    """

    user: str
    password: str = field(repr=False)
    domain_name: str
    scope: Mapping[str, str]

    @property
    def identity(self) -> str:
        """The user and the account."""
        return f"IAM user {self.user!r} of {self.domain_name!r}"

    @property
    def _own_secrets(self) -> tuple[str, ...]:
        return (self.password,)

    def _fetch(self, service: str) -> Conversation[_Given]:
        user = {"name": self.user, "password": self.password, "domain": {"name": self.domain_name}}
        identity = {"methods": ["password"], "password": {"user": user}}
        given: _Given = yield self._post(
            service,
            "KeystoneCreateUserTokenByPassword",
            "/v3/auth/tokens?nocatalog=true",
            {"identity": identity, "scope": {"project": dict(self.scope)}},
            signer=self,
            item=self.user,
        )
        return given

    def _read(self, request: Request, response: Response) -> _Given:
        data = _iam_object(request, response)
        token = response.headers.get("x-subject-token")
        if not token:
            raise api_error(MigrationResponseError, request, response, "no X-Subject-Token header")
        # IAM's tokens live 24 hours; without a date half of that is safe.
        ends = _TokenAnswer.read(data).token.expires_at
        return _Given(TokenSigner(token), self._until(ends, timedelta(hours=12)))


@dataclass(slots=True, kw_only=True)
class AgencyKey(TemporaryCredential):
    """
    A temporary AK and SK of an agency, by which another account has delegated rights to this one.

    Source: https://support.huaweicloud.com/intl/en-us/api-iam/iam_04_0101.html. The page wants a token; that
    IAM takes a signature too is how Huawei's own Terraform provider assumes a role
    (``huaweicloud/config/auth.go``, buildClientByAgency). As the SDK does, IAM is asked first for the user's
    own account, which the request then names.

    :param user: signs with the AK and SK of a user who may assume the agency.
    :param domain_name: the account that delegates.
    :param own_domain_id: the account of the user, once known.
    """

    SECONDS: ClassVar[int] = 3600

    user: HuaweiSigner
    agency_name: str
    domain_name: str
    own_domain_id: str | None = None

    @property
    def identity(self) -> str:
        """The agency, its account, and who assumes it."""
        return f"agency {self.agency_name!r} of {self.domain_name!r} by {self.user.identity}"

    @property
    def _own_secrets(self) -> tuple[str, ...]:
        return self.user.secrets

    def _fetch(self, service: str) -> Conversation[_Given]:
        if self.own_domain_id is None:
            self.own_domain_id = yield from self._find_own_domain(service)
        role = {
            "agency_name": self.agency_name,
            "domain_name": self.domain_name,
            "duration_seconds": self.SECONDS,
        }
        given: _Given = yield self._post(
            service,
            "CreateTemporaryAccessKeyByAgency",
            "/v3.0/OS-CREDENTIAL/securitytokens",
            {"identity": {"methods": ["assume_role"], "assume_role": role}},
            signer=self.user,
            item=self.agency_name,
            headers={"x-domain-id": self.own_domain_id} if self.own_domain_id else None,
        )
        return given

    def _find_own_domain(self, service: str) -> Conversation[str]:
        """Ask for the account of the user; empty where IAM does not tell it."""

        def read(request: Request, response: Response) -> str:
            domains = _Domains.read(_iam_object(request, response)).domains or []
            return next((domain.id for domain in domains if domain.id), "")

        url = f"{self.endpoint}/v3/auth/domains"
        try:
            domain_id: str = yield _get(service, "KeystoneListAuthDomains", url, read, self.user)
        except MigrationPermissionError:
            return ""
        return domain_id

    def _read(self, request: Request, response: Response) -> _Given:
        key = _AgencyAnswer.read(_iam_object(request, response)).credential
        if not (key.access and key.secret and key.securitytoken):
            raise api_error(MigrationResponseError, request, response, "no credential in the answer")
        signer = HuaweiSigner(key.access, key.secret, key.securitytoken)
        return _Given(signer, self._until(key.expires_at, timedelta(seconds=self.SECONDS)))


def find_project(service: str, endpoint: str, region: str, signer: Signer) -> Conversation[str]:
    """
    Ask IAM for the id of the project that a region has: the one of the region's name.

    Source: https://support.huaweicloud.com/intl/en-us/api-iam/iam_06_0001.html.

    :param endpoint: scheme and host of IAM.
    :raises MigrationConfigurationError: if there is no such project, or more than one.
    """

    def read(request: Request, response: Response) -> str:
        projects = _Projects.read(_iam_object(request, response)).projects or []
        ids = [project.id for project in projects if project.id]
        if len(ids) != 1:
            raise MigrationConfigurationError(
                f"{request.action} at {endpoint}: {signer.identity} has {len(ids)} projects of the name "
                f"{region!r}. Check region in the connection, or write project_id in its extra."
            )
        return ids[0]

    url = f"{endpoint}/v3/projects?{encode_query([('name', region)])}"
    project_id: str = yield _get(service, "KeystoneListProjects", url, read, signer)
    return project_id


def _get(
    service: str, action: str, url: str, read: Callable[[Request, Response], Any], signer: Signer
) -> Request:
    """Ask IAM for a list; those who ask at the same moment share it."""
    return Request(
        service=service,
        action=action,
        method="GET",
        url=url,
        headers={"accept": "application/json", "content-type": "application/json"},
        read=read,
        signer=signer,
        item=url,
    )


class _TokenBody(WireModel):
    expires_at: datetime | None = None


class _TokenAnswer(WireModel):
    token: _TokenBody = _TokenBody()


class _TemporaryKey(WireModel):
    access: str | None = None
    secret: str | None = None
    securitytoken: str | None = None
    expires_at: datetime | None = None


class _AgencyAnswer(WireModel):
    credential: _TemporaryKey = _TemporaryKey()


class _WithId(WireModel):
    id: str | None = None


class _Projects(WireModel):
    projects: list[_WithId] | None = None


class _Domains(WireModel):
    domains: list[_WithId] | None = None


class _IamError(WireModel):
    code: str | None = None
    message: str | None = None


class _IamRefusal(_Refusal):
    error: _IamError = _IamError()


def _iam_object(request: Request, response: Response) -> dict[str, Any]:
    """
    Return the answer of a call to IAM.

    :raises MigrationApiError: if it was refused, by IAM or by the gateway before it.
    """
    data = json_object(request, response)
    if error_by_status(response.status):
        said = _IamRefusal.read(data)
        code, text = said.error.code or said.error_code, said.error.message or said.error_msg
        raise refused(request, response, code, text, said.request_id)
    return data


def host_of(product: str, region: str) -> str:
    """
    Return the host of a product in a region; Europe has a domain of its own.

    Source: https://developer.huaweicloud.com/endpoint.
    """
    return f"{product}.{region}.myhuaweicloud.{'eu' if region == 'eu-west-101' else 'com'}"


def iam_endpoint_of(region: str | None) -> str:
    """Return the host of IAM in a region; the global one where none is given."""
    return host_of("iam", region) if region else "iam.myhuaweicloud.com"
