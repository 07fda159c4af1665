"""Refresh of temporary credentials: when first needed, before they expire, and once after a refusal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, TypeVar

from airflow_provider_migration.clock import utc_now
from airflow_provider_migration.exceptions import MigrationAuthenticationError, MigrationError
from airflow_provider_migration.sansio import AuthenticatedFlow, Flow, Request, Signer

_T = TypeVar("_T")

EXPIRED: Final = datetime.min.replace(tzinfo=UTC)
"""The expiry of a credential that must be refreshed: a time in the past."""

REFRESH_MARGIN: Final = timedelta(minutes=30)
"""Time before its expiry from which a credential is refreshed."""


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """
    A temporary credential as its source issued it.

    :param signer: signs with it.
    :param expires_at: expiry of the credential; by default, the next flow asks the source again.
    """

    signer: Signer
    expires_at: datetime = EXPIRED


@dataclass(slots=True, kw_only=True)
class RefreshableCredential(ABC):
    """
    A signer whose credential is temporary.

    A subclass says where the credential comes from; :meth:`authenticate` keeps it valid. Concurrent flows
    share one fetch, because the transport coalesces what they ask the source for.

    :param given: the current signer. It stays in use while another credential is fetched, because other polls
        sign requests meanwhile: a batch that is being collected, or another attempt of a call.
    :param expires_at: expiry of the credential; :data:`EXPIRED` after a refusal.
    """

    given: Signer | None = field(default=None, repr=False)
    expires_at: datetime = EXPIRED
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    is_cached_by_source: ClassVar[bool] = False
    """
    True if the source caches the credential and refreshes it by itself. A refusal then causes no refresh,
    which would return the same credential, and is not cached: the next poll may get another credential.
    """

    @property
    @abstractmethod
    def identity(self) -> str:
        """Caller identity for messages."""

    @property
    def _own_secrets(self) -> tuple[str, ...]:
        """Secrets that are sent to the source."""
        return ()

    @abstractmethod
    def _fetch(self, service: str) -> AuthenticatedFlow[IssuedCredential]:
        """
        Ask the source for a credential.

        :param service: the service that it is for, for messages.
        """

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that are sent to the source, and those that the source issued."""
        return self._own_secrets + (self.given.secrets if self.given else ())

    def sign(self, request: Request[Any], *, now: datetime, nonce: str) -> Mapping[str, str]:
        """
        Return the request's headers, signed.

        :raises MigrationAuthenticationError: before the first credential; no request goes out unsigned.
        """
        if self.given is None:
            raise MigrationAuthenticationError(
                f"{request.action}: no credential has been fetched yet ({self.identity}).",
                service=request.service,
                action=request.action,
            )
        return self.given.sign(request, now=now, nonce=nonce)

    def authenticate(self, flow: Flow[_T]) -> AuthenticatedFlow[_T]:
        """
        Run a flow with a valid credential: refresh it beforehand if necessary, and once if it is refused.

        A change of the password, a permission or the user's status ends a credential before it expires. An
        error of the source is raised in the flow, at the request that needs the credential.
        """
        is_checked = has_retried = False
        try:
            request = next(flow)
            while True:
                try:
                    if not is_checked and self.clock() + REFRESH_MARGIN >= self.expires_at:
                        issued = yield from self._fetch(request.service)
                        self.given, self.expires_at = issued.signer, issued.expires_at
                    is_checked = True
                except MigrationError as error:
                    request = flow.throw(error)
                    continue
                used = self.given
                try:
                    answer = yield request
                except MigrationAuthenticationError as error:
                    if self.given is used:  # no other flow has refreshed it meanwhile
                        self.expires_at = EXPIRED
                    is_checked = False
                    if has_retried or self.is_cached_by_source:
                        request = flow.throw(error)
                    has_retried = True
                except MigrationError as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(answer)
        except StopIteration as stop:
            result: _T = stop.value
            return result
