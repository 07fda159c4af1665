"""Connections to the services of Alibaba Cloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypedDict
from urllib.parse import urlsplit

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.credentials.alibaba import library_credential
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.sansio import Signer

KINDS: Final = (
    "access_key",
    "ram_role_arn",
    "ecs_ram_role",
    "oidc_role_arn",
    "credentials_uri",
    "default",
)
"""Values of ``credential_type``; all but the first need the package alibabacloud_credentials."""


class AlibabaAccount(TypedDict):
    """The arguments that the APIs of all services take."""

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
    Read the signer of a connection.

    Each kind of credentials takes only what is in the connection; only ``default`` searches the
    machine, so that a field left empty by mistake never lets a task run with the rights of its worker.
    """
    kind = (reader.extra("credential_type") or "access_key").lower()
    if kind == "access_key":
        return AlibabaSigner(**_access_key(reader))
    if kind not in KINDS:
        raise reader.error(f"credential_type must be {', '.join(KINDS[:-1])} or {KINDS[-1]}, not {kind!r}")
    config = _config(reader, kind)
    try:
        return library_credential(kind, config)
    except ImportError:
        problem = "which needs a package that is not installed; run pip install alibabacloud-credentials"
    except ValueError as error:
        problem = f"but {error}"
    raise reader.error(f"credential_type is {kind!r}, {problem}")


def _access_key(reader: ConnectionReader) -> dict[str, Any]:
    return {
        "access_key_id": reader.login("AccessKey ID", "access_key_id"),
        "access_key_secret": reader.password("AccessKey secret", "access_key_secret"),
        "security_token": reader.token("security_token", "sts_token"),
    }


def _config(reader: ConnectionReader, kind: str) -> dict[str, Any]:
    """Return the library's arguments; a field that it would fill from the environment is not empty."""

    def needed(name: str) -> str:
        return reader.credential(reader.extra(name), field=f"{name} in extra")

    def role() -> dict[str, Any]:
        address = reader.extra("sts_endpoint")
        return {
            "role_arn": needed("role_arn"),
            "role_session_name": reader.extra("role_session_name") or "airflow",
            # The library always uses https, and sends this value as the host.
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
            raise reader.error(f"oidc_token_file_path: file {token_file!r} not found on this machine")
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
    problem = reader.error("credentials_uri in extra must be a URL such as http://host:8080/path")
    try:
        parts = urlsplit(uri)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise problem from None
    if not parts.hostname:
        raise problem
    if ":" in parts.hostname:  # the library omits its brackets
        raise reader.error(
            "credentials_uri in extra must contain a host name: alibabacloud_credentials does not support "
            "IPv6 addresses"
        )
    return parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
