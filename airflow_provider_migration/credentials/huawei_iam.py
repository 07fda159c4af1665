"""Credentials that IAM of Huawei Cloud issues: a token for a password, a temporary key for an agency."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from airflow_provider_migration.api_errors import api_error, error_by_status
from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
from airflow_provider_migration.credentials.refreshable import IssuedCredential, RefreshableCredential
from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationPermissionError,
    MigrationResponseError,
)
from airflow_provider_migration.sansio import Flow, Request, Response, Signer, Verbatim, encode_query, send
from airflow_provider_migration.services.huawei import ErrorBody, refused
from airflow_provider_migration.services.wire import WireModel, json_object

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _PasswordInBody:
    """The signer of a request whose body holds the password: no header authenticates it."""

    identity: str
    secrets: tuple[str, ...] = field(repr=False)

    def sign(self, request: Request[Any], *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's own headers: an old token must not go with the request for a new one."""
        return request.headers


@dataclass(slots=True, kw_only=True)
class IamCredential(RefreshableCredential):
    """
    A credential that IAM issues.

    :param endpoint: scheme and host of IAM, such as ``https://iam.cn-north-4.myhuaweicloud.com``.
    """

    endpoint: str

    @abstractmethod
    def _read(self, request: Request[Any], response: Response) -> IssuedCredential:
        """Read the credential from IAM's answer."""

    def _post(
        self,
        service: str,
        action: str,
        path: str,
        auth: Mapping[str, Any],
        signer: Signer,
        coalescing_key: str,
        headers: Mapping[str, str] | None = None,
    ) -> Request[IssuedCredential]:
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
            coalescing_key=coalescing_key,
        )

    def _until(self, expires_at: datetime | None, otherwise: timedelta) -> datetime:
        ends = expires_at or self.clock() + otherwise
        return ends.replace(tzinfo=ends.tzinfo or UTC)


@dataclass(slots=True, kw_only=True)
class IamToken(IamCredential):
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
    _password_signer: Signer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Always the same object, because only requests with the same signer are coalesced.
        self._password_signer = _PasswordInBody(self.identity, self._own_secrets)

    @property
    def identity(self) -> str:
        """The user and the account."""
        return f"IAM user {self.user!r} of {self.domain_name!r}"

    @property
    def _own_secrets(self) -> tuple[str, ...]:
        return (self.password,)

    def _fetch(self, service: str) -> Flow[IssuedCredential]:
        user = {"name": self.user, "password": self.password, "domain": {"name": self.domain_name}}
        identity = {"methods": ["password"], "password": {"user": user}}
        return send(
            self._post(
                service,
                "KeystoneCreateUserTokenByPassword",
                "/v3/auth/tokens?nocatalog=true",
                {"identity": identity, "scope": {"project": dict(self.scope)}},
                signer=self._password_signer,
                coalescing_key=self.user,
            )
        )

    def _read(self, request: Request[Any], response: Response) -> IssuedCredential:
        data = _iam_object(request, response)
        token = response.headers.get("x-subject-token")
        if not token:
            raise api_error(MigrationResponseError, request, response, "no X-Subject-Token header")
        # A token is valid for 24 hours; without a date, half of that is safe.
        ends = _TokenAnswer.read(data).token.expires_at
        return IssuedCredential(TokenSigner(token), self._until(ends, timedelta(hours=12)))


@dataclass(slots=True, kw_only=True)
class AgencyKey(IamCredential):
    """
    A temporary AK and SK of an agency, by which another account has delegated rights to this one.

    Source: https://support.huaweicloud.com/intl/en-us/api-iam/iam_04_0101.html. The page asks for a token,
    but IAM accepts a signature too: Huawei's own Terraform provider assumes a role with one
    (``huaweicloud/config/auth.go``, buildClientByAgency). As in the SDK, a first request finds the user's own
    account, which the second then names.

    :param user: signs with the AK and SK of a user who may assume the agency.
    :param domain_name: the account that delegates.
    :param own_domain_id: the account of the user, once found.
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

    def _fetch(self, service: str) -> Flow[IssuedCredential]:
        if self.own_domain_id is None:
            self.own_domain_id = yield from self._find_own_domain(service)
        role = {
            "agency_name": self.agency_name,
            "domain_name": self.domain_name,
            "duration_seconds": self.SECONDS,
        }
        request = self._post(
            service,
            "CreateTemporaryAccessKeyByAgency",
            "/v3.0/OS-CREDENTIAL/securitytokens",
            {"identity": {"methods": ["assume_role"], "assume_role": role}},
            signer=self.user,
            coalescing_key=self.agency_name,
            headers={"x-domain-id": self.own_domain_id} if self.own_domain_id else None,
        )
        return (yield from send(request))

    def _find_own_domain(self, service: str) -> Flow[str]:
        """Find the account of the user; empty where IAM does not return it."""
        url = f"{self.endpoint}/v3/auth/domains"
        try:
            answer = yield from send(_get(service, "KeystoneListAuthDomains", url, _read_domains, self.user))
        except MigrationPermissionError:
            return ""
        return next((domain.id for domain in answer.domains or () if domain.id), "")

    def _read(self, request: Request[Any], response: Response) -> IssuedCredential:
        key = _AgencyAnswer.read(_iam_object(request, response)).credential
        if not (key.access and key.secret and key.securitytoken):
            raise api_error(MigrationResponseError, request, response, "no credential in the answer")
        signer = HuaweiSigner(key.access, key.secret, key.securitytoken)
        return IssuedCredential(signer, self._until(key.expires_at, timedelta(seconds=self.SECONDS)))


def find_project(service: str, endpoint: str, region: str, signer: Signer) -> Flow[str]:
    """
    Find the id of a region's project, which has the region's name.

    Source: https://support.huaweicloud.com/intl/en-us/api-iam/iam_06_0001.html.

    :param endpoint: scheme and host of IAM.
    :raises MigrationConfigurationError: if there is no such project, or more than one.
    """
    url = f"{endpoint}/v3/projects?{encode_query([('name', region)])}"
    request = _get(service, "KeystoneListProjects", url, _read_projects, signer)
    answer = yield from send(request)
    ids = [project.id for project in answer.projects or () if project.id]
    if len(ids) != 1:
        raise MigrationConfigurationError(
            f"{request.action} at {endpoint}: {signer.identity} has {len(ids)} projects named {region!r}. "
            "Check region in the connection, or write project_id in its extra."
        )
    return ids[0]


def _get(
    service: str, action: str, url: str, read: Callable[[Request[Any], Response], _T], signer: Signer
) -> Request[_T]:
    """Make the request for a list of IAM; concurrent ones share one response."""
    return Request(
        service=service,
        action=action,
        method="GET",
        url=url,
        headers={"accept": "application/json", "content-type": "application/json"},
        read=read,
        signer=signer,
        coalescing_key=url,
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
    id: Verbatim = None


class _Projects(WireModel):
    projects: list[_WithId] | None = None


class _Domains(WireModel):
    domains: list[_WithId] | None = None


class _IamError(WireModel):
    code: str | None = None
    message: str | None = None


class _IamRefusal(ErrorBody):
    error: _IamError = _IamError()


def _read_projects(request: Request[Any], response: Response) -> _Projects:
    return _Projects.read(_iam_object(request, response))


def _read_domains(request: Request[Any], response: Response) -> _Domains:
    return _Domains.read(_iam_object(request, response))


def _iam_object(request: Request[Any], response: Response) -> dict[str, Any]:
    """
    Return IAM's answer.

    :raises MigrationApiError: if it was refused, by IAM or by the gateway in front of IAM.
    """
    data = json_object(request, response)
    if error_by_status(response.status):
        said = _IamRefusal.read(data)
        code, text = said.error.code or said.error_code, said.error.message or said.text
        raise refused(request, response, code, text, said.request_id)
    return data
