"""How the connections of Alibaba Cloud's services are read, and where their credentials come from."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypedDict
from urllib.parse import urlsplit

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.conversation import Renewable, Request, Signer
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationServiceError,
)
from airflow_provider_migration.hooks.base import ConnectionReader
from airflow_provider_migration.services.alibaba import ERRORS
from airflow_provider_migration.services.wire import error_by_code, error_by_status

if TYPE_CHECKING:
    from alibabacloud_credentials.client import Client

KINDS: Final = (
    "access_key",
    "ram_role_arn",
    "ecs_ram_role",
    "oidc_role_arn",
    "credentials_uri",
    "default",
)
"""What ``credential_type`` may be; all but the first need the package alibabacloud_credentials."""


class AlibabaAccount(TypedDict):
    """What the API of a service is made of."""

    endpoint: str
    region: str | None
    signer: Signer


def read_account(
    reader: ConnectionReader, region: str | None, endpoint_of: Callable[[str], str]
) -> AlibabaAccount:
    """
    Read a connection to Alibaba Cloud, of this package's types or of the official provider's.

    :param region: as given to the hook, or None to take the connection's.
    :param endpoint_of: the host of the service in a region.
    """
    region = reader.region(region)
    return AlibabaAccount(
        endpoint=reader.endpoint_in(region, endpoint_of, "cn-hangzhou"),
        region=region,
        signer=read_signer(reader),
    )


def read_signer(reader: ConnectionReader) -> Signer:
    """
    Read what requests are signed with.

    What a kind of credentials needs must be in the connection; only ``default`` looks around on the machine,
    so that a field left empty by mistake never lets a task run with the rights of its worker.
    """
    kind = (reader.extra("credential_type") or "access_key").lower()
    if kind == "access_key":
        return AlibabaSigner(**_access_key(reader))
    if kind not in KINDS:
        raise reader.error(f"credential_type is {kind!r}: write {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    try:
        import alibabacloud_credentials  # noqa: F401 - only whether it is there
    except ImportError:
        raise reader.error(
            f"credential_type is {kind!r}, which needs a package that is not installed: "
            "pip install 'airflow-provider-migration[alibaba-credentials]'"
        ) from None
    config = tuple(_config(reader, kind).items())
    try:
        return ProvidedSigner(kind, _client(kind, config))
    except ValueError as error:
        raise reader.error(f"credential_type is {kind!r}, but {error}") from None


def _access_key(reader: ConnectionReader) -> dict[str, Any]:
    return {
        "access_key_id": reader.login("AccessKey ID", "access_key_id"),
        "access_key_secret": reader.password("AccessKey secret", "access_key_secret"),
        "security_token": reader.token("security_token", "sts_token"),
    }


def _config(reader: ConnectionReader, kind: str) -> dict[str, Any]:
    """Return what the library wants to know, with no field empty that it would fill from the environment."""

    def needed(name: str) -> str:
        return reader.credential(reader.extra(name), field=f"{name} in extra")

    def role() -> dict[str, Any]:
        address = reader.extra("sts_endpoint")
        return {
            "role_arn": needed("role_arn"),
            "role_session_name": reader.extra("role_session_name") or "airflow",
            # The library takes https for granted, and sends what it is given as the host.
            "sts_endpoint": reader.url("sts_endpoint", address).removeprefix("https://")
            if address
            else "sts.aliyuncs.com",
        }

    if kind == "ram_role_arn":
        return {**_access_key(reader), **role(), "external_id": reader.extra("external_id")}
    if kind == "ecs_ram_role":
        return {"role_name": reader.extra("role_name") or ""}
    if kind == "oidc_role_arn":
        token_file = needed("oidc_token_file_path")
        if not Path(token_file).is_file():
            raise reader.error(f"oidc_token_file_path names {token_file!r}, which is no file here")
        return {
            **role(),
            "oidc_provider_arn": needed("oidc_provider_arn"),
            "oidc_token_file_path": token_file,
        }
    if kind == "credentials_uri":
        return {"credentials_uri": _with_port(reader, needed("credentials_uri"))}
    return {}


def _with_port(reader: ConnectionReader, uri: str) -> str:
    """Return the address with its port, which the library does not add."""
    problem = reader.error(
        "credentials_uri in extra is no address: write a URL such as http://host:8080/path"
    )
    try:
        parts = urlsplit(uri)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise problem from None
    if not parts.hostname:
        raise problem
    if ":" in parts.hostname:  # the library leaves out its brackets
        raise reader.error(
            "credentials_uri in extra has an IPv6 address, which alibabacloud_credentials cannot ask: "
            "write a host name"
        )
    return parts._replace(netloc=f"{parts.hostname}:{port}").geturl()


_making = Lock()


def _client(kind: str, config: tuple[tuple[str, Any], ...]) -> Client:
    """Return the one client that this process has for a connection; the default one never ends its thread."""
    with _making:
        return _new_client(kind, config)


@cache
def _new_client(kind: str, config: tuple[tuple[str, Any], ...]) -> Client:
    from alibabacloud_credentials.client import Client
    from alibabacloud_credentials.models import Config
    from alibabacloud_credentials.provider import EcsRamRoleCredentialsProvider

    # The library logs the answers of STS, with what is secret in them.
    library_log = logging.getLogger("credentials")
    library_log.handlers.clear()
    library_log.setLevel(logging.CRITICAL + 1)
    if kind == "default":
        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it tells of each minute
        return Client()
    if kind == "ecs_ram_role":  # which would have a thread of its own to renew the credentials
        return Client(provider=EcsRamRoleCredentialsProvider(async_update_enabled=False, **dict(config)))
    return Client(Config(type=kind, **dict(config)))


class ProvidedSigner(Renewable):
    """
    Signs with what a client of alibabacloud_credentials provides.

    :param kind: the ``credential_type``.
    """

    def __init__(self, kind: str, client: Client) -> None:
        self._kind = kind
        self._client = client
        self._signer: AlibabaSigner

    @property
    def identity(self) -> str:
        """The kind of credentials."""
        return f"credentials of type {self._kind}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The AccessKey secret and the STS token that are valid now."""
        return self._signer.secrets

    def renew(self) -> None:
        """Take what the client has, or has anew."""
        problem: MigrationError | None = None
        try:
            provided = self._client.get_credential()
            if not (provided.access_key_id and provided.access_key_secret):
                raise ValueError
            self._signer = AlibabaSigner(
                provided.access_key_id, provided.access_key_secret, provided.security_token
            )
        except Exception as error:
            problem = _problem(self._kind, error)
        # Raised here, because in an except clause it would carry the library's error, and that the answer.
        if problem:
            raise problem

    def sign(self, request: Request, *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's headers, signed with the AccessKey that is valid now."""
        return self._signer.sign(request, now=now, nonce=nonce)


def _problem(kind: str, error: Exception) -> MigrationError:
    """Make the error for credentials that are not to be had, of which the library tells in prose."""
    said = str(error)
    if isinstance(error, OSError) and error.filename:
        return MigrationConfigurationError(
            f"The credentials of type {kind} cannot be had: {error.filename} cannot be read "
            f"({error.strerror}). Check oidc_token_file_path in the connection."
        )
    found_status = re.search(r"http_?code[=:]\s*(\d{3})", said, re.IGNORECASE)
    found_code = re.search(r'"Code"\s*:\s*"([\w.]{1,64})"', said)
    status, code = found_status and int(found_status[1]), found_code and found_code[1]
    told = ", ".join(filter(None, (f"HTTP {status}" if status else "", code)))
    # Of several sources no one's answer tells what is wrong.
    by_code = (error_by_code(ERRORS, code) or error_by_status(status or 0)) if kind != "default" else None
    passes = by_code is None or by_code.passing
    cause = MigrationServiceError if passes else MigrationAuthenticationError
    return cause(
        f"The credentials of type {kind} cannot be had: {told or type(error).__name__}. "
        + (
            "None of the library's sources has any on this machine."
            if kind == "default"
            else "Check the role, its trust policy and the connection; who gives them must be reachable from "
            "this machine."
        ),
        code=code,
        http_status=status,
    )
