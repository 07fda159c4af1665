"""Credentials of Alibaba Cloud that the library ``alibabacloud_credentials`` obtains and caches."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow_provider_migration.api_errors import error_by_code, error_by_status
from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.credentials.refreshable import IssuedCredential, RefreshableCredential
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationServiceError,
)
from airflow_provider_migration.sansio import AuthenticatedFlow, BlockingCall, call_blocking
from airflow_provider_migration.services.alibaba import ERRORS, with_advice
from airflow_provider_migration.transport.redaction import redact_query_strings

if TYPE_CHECKING:
    from alibabacloud_credentials.client import Client

FRESH_SECONDS: Final = 1.0
"""Seconds for which an event loop uses a credential, or an error, without asking the library again."""


@dataclass(slots=True, kw_only=True)
class AlibabaCredential(RefreshableCredential):
    """
    A credential that a client of the library provides.

    :param kind: the ``credential_type`` of the connection.
    """

    is_cached_by_source: ClassVar[bool] = True

    kind: str
    client: Client = field(repr=False)

    @property
    def identity(self) -> str:
        """The kind of credentials."""
        return f"credentials of type {self.kind}"

    def _fetch(self, service: str) -> AuthenticatedFlow[IssuedCredential]:
        return call_blocking(BlockingCall(call=self._ask_client, fresh_seconds=FRESH_SECONDS))

    def _ask_client(self) -> IssuedCredential:
        """
        Return the client's credential, which it refreshes 15 minutes before it expires.

        :raises MigrationError: if it has none.
        """
        try:
            provided = self.client.get_credential()
            if not (provided.access_key_id and provided.access_key_secret):
                raise ValueError
            return IssuedCredential(
                AlibabaSigner(provided.access_key_id, provided.access_key_secret, provided.security_token)
            )
        except Exception as error:
            problem = _problem(self.kind, error)
        # Raised here: in the except clause, the library's error and its answer would be the context.
        raise problem


def library_credential(kind: str, config: Mapping[str, Any]) -> AlibabaCredential:
    """
    Return the credential of a kind.

    :param config: arguments of the library; a field that it would fill from the environment is not empty.
    :raises ImportError: if the library is not installed.
    :raises ValueError: if the library does not accept the arguments.
    """
    # One client per process for the same arguments: the thread of a default client never ends.
    with _client_lock:
        return AlibabaCredential(kind=kind, client=_new_client(kind, **config))


_client_lock: Final = Lock()


@cache
def _new_client(kind: str, **config: Any) -> Client:
    from alibabacloud_credentials.client import Client
    from alibabacloud_credentials.models import Config
    from alibabacloud_credentials.provider import EcsRamRoleCredentialsProvider

    redact_query_strings()  # STS takes a token and a signature in a query string
    # The library logs the answers of STS, and with DEBUG=sdk the requests, with the secrets in them.
    for name in ("credentials", "alibabacloud-tea", "darabonba-core"):
        library_log = logging.getLogger(name)
        library_log.handlers.clear()
        library_log.setLevel(logging.CRITICAL + 1)
    if kind == "default":
        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it logs every minute
        return Client()
    if kind == "ecs_ram_role":  # by default the library would start a thread that refreshes the credential
        return Client(provider=EcsRamRoleCredentialsProvider(async_update_enabled=False, **config))
    return Client(Config(type=kind, **config))


def _problem(kind: str, error: Exception) -> MigrationError:
    """Make the error for credentials that the library cannot obtain; its own errors are prose."""
    said = str(error)
    if isinstance(error, OSError) and error.filename:
        return MigrationConfigurationError(
            f"Cannot obtain credentials of type {kind}: {error.filename} cannot be read ({error.strerror}). "
            "Check oidc_token_file_path in the connection."
        )
    found_status = re.search(r"http_?code[=:]\s*(\d{3})", said, re.IGNORECASE)
    found_code = re.search(r'"Code"\s*:\s*"([\w.]{1,64})"', said)
    status, code = found_status and int(found_status[1]), found_code and found_code[1]
    told = ", ".join(filter(None, (f"HTTP {status}" if status else "", code)))
    # The default chain asks several sources, and the answer of one does not say what is wrong.
    by_code = (error_by_code(ERRORS, code) or error_by_status(status or 0)) if kind != "default" else None
    is_transient = by_code is None or by_code.is_transient
    cause = MigrationServiceError if is_transient else MigrationAuthenticationError
    problem = cause(
        f"Cannot obtain credentials of type {kind}: {told or type(error).__name__}. "
        + (
            "None of the library's sources has credentials on this machine."
            if kind == "default"
            else "Check the role, its trust policy and the connection, and that this machine can reach the "
            "issuer of the credentials."
        ),
        code=code,
        http_status=status,
    )
    return problem if kind == "default" else with_advice(problem, code)
