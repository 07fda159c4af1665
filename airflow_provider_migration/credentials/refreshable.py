"""Refresh of temporary credentials: fetched when first needed, refreshed in time, and once when refused."""

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
"""A moment that is always past."""

REFRESH_MARGIN: Final = timedelta(minutes=30)
"""Time before its expiry from which a credential is refreshed."""


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """
    A temporary credential as its source issued it.

    :param signer: signs with it.
    :param expires_at: when it expires; without it, the next flow asks the source again.
    """

    signer: Signer
    expires_at: datetime = EXPIRED


@dataclass(slots=True, kw_only=True)
class RefreshableCredential(ABC):
    """
    A signer whose credential is temporary.

    A subclass says where the credential comes from; :meth:`authenticate` keeps it valid. Concurrent flows
    share one fetch, because the transport coalesces what they ask the source for.

    :param given: the signer of now. It stays while another credential is fetched, because requests of other
        polls are signed meanwhile: a batch that is collected, another attempt of a call.
    :param expires_at: when it expires; long ago where it was refused.
    """

    given: Signer | None = field(default=None, repr=False)
    expires_at: datetime = EXPIRED
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    is_cached_by_source: ClassVar[bool] = False
    """
    Whether the source caches the credential and refreshes it by itself. A refusal is then not answered with a
    refresh, which would bring the same credential, nor remembered, because the next poll may get another.
    """

    @property
    @abstractmethod
    def identity(self) -> str:
        """Caller identity for messages."""

    @property
    def _own_secrets(self) -> tuple[str, ...]:
        """Secrets that the source is asked with."""
        return ()

    @abstractmethod
    def _fetch(self, service: str) -> AuthenticatedFlow[IssuedCredential]:
        """
        Ask the source for a credential.

        :param service: the service that it is for, for messages.
        """

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that the source is asked with, and those that it issued."""
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
        Run a flow with a valid credential: refreshed before it if need be, and once if it is refused.

        A password, a right or a user's status that changes ends a credential before its time. An error of the
        source is an error of the request that needs the credential, for the flow to judge.
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
