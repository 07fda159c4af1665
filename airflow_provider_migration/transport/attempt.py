"""One attempt: sign a request, read its response, and create the error for a failure."""

from __future__ import annotations

import errno
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from math import inf, isfinite
from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_migration.api_errors import api_error, error_by_status
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationResponseError,
    MigrationServiceError,
)
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.transport.clock_check import (
    CLOCK_TOLERANCE_SECONDS,
    clock_text,
    seconds_ahead,
)
from airflow_provider_migration.transport.limiter import call_limits
from airflow_provider_migration.transport.proxies import BadAddressError, proxy_of
from airflow_provider_migration.transport.redaction import encodings, may_hold, redact
from airflow_provider_migration.transport.settings import (
    MAX_BODY_BYTES,
    MAX_CALL_SECONDS,
    USER_AGENT,
    TransportConfig,
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request signed for one attempt, with the values to redact from its answer."""

    request: Request[Any]
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    settings: TransportConfig
    clock: Clock = field(repr=False)
    seconds: float
    """Total limit of the answer in seconds."""

    @classmethod
    def sign(cls, request: Request[Any], settings: TransportConfig, clock: Clock) -> Attempt:
        """
        Sign a request.

        :raises MigrationServiceError: if the poll has no time left.
        """
        seconds, deadline = settings.total_timeout, call_limits.get().deadline
        if deadline != inf:
            seconds = min(seconds, deadline + settings.read_timeout - clock.monotonic())
            if seconds <= 0:
                text = "no request was sent, because the deadline of this poll has passed"
                error = api_error(MigrationServiceError, request, None, text)
                error.reason, error.is_cut_short = "timeout", True
                raise error
        headers = request.signer.sign(request, now=clock.now(), nonce=clock.nonce())
        headers = {"user-agent": USER_AGENT, "accept-encoding": "identity", **headers}
        # The current secrets: another poll may refresh the credential before the answer comes.
        return cls(request, headers, request.signer.secrets, settings, clock, seconds)

    def read(self, response: Response) -> Any:
        """Return the result of the request's ``read``, or raise its error with the pause asked for."""
        try:
            body = _inflate(response)
        except (zlib.error, ValueError) as error:
            raise self.failed(str(error), response) from None
        secrets = self._encoded_secrets()
        response = Response(response.status, response.headers, body, partial(redact, secrets=secrets))
        try:
            value = self.request.read(self.request, response)
        except MigrationApiError as error:
            error.retry_after = retry_hint(response.headers, self.clock.now())
            self._name_the_clock(error, response)
            raise
        # Redact here: polls may share the value, and a flow may keep it for longer than this credential.
        return response.redact(value) if may_hold(response, secrets) else value

    def _name_the_clock(self, error: MigrationApiError, head: Response) -> None:
        """Name a wrong clock as the cause of a refused key: signatures contain the time."""
        if not isinstance(error, MigrationAuthenticationError):
            return
        ahead = seconds_ahead(head, self.clock)
        if ahead is not None and abs(ahead) > CLOCK_TOLERANCE_SECONDS:
            error.tolerated_after_success = True
            error.add_hint(clock_text(ahead))

    def _encoded_secrets(self) -> tuple[str, ...]:
        """Return the values to redact from the answer: the service may echo what was sent."""
        secrets = encodings(self.secrets)
        signature = self.headers.get("authorization", "").rpartition("Signature=")[2]
        return (signature, *secrets) if signature else secrets  # hexadecimal: no encoding changes it

    def failed(self, text: str, head: Response | None, reason: str | None = None) -> MigrationApiError:
        """
        Create the error for an answer that is missing or incomplete.

        :param head: status and headers, if these came.
        :param reason: as in :class:`MigrationApiError`.
        """
        if head is None:
            error = api_error(MigrationServiceError, self.request, None, text)
        else:
            # Treat 401 and 403 as final even if the body is cut off: retries would lock the key.
            refusal = error_by_status(head.status) if head.status in (401, 403) else None
            head = replace(head, redact=partial(redact, secrets=self._encoded_secrets()))
            error = api_error(refusal or MigrationResponseError, self.request, head, text)
            self._name_the_clock(error, head)
        error.reason = reason
        return error

    def too_slow(self, head: Response | None) -> MigrationApiError:
        """Make the error for an answer that did not end in time."""
        error = self.failed(self.settings.too_slow(self.seconds), head, "timeout")
        error.is_cut_short = self.seconds < self.settings.total_timeout
        return error

    def broken(self, error: BaseException, head: Response | None) -> MigrationError:
        """Create the error for an HTTP library's own, whose text and context may contain the request."""
        cause = error
        while deeper := cause.__cause__ or cause.__context__:
            cause = deeper
        host = urlsplit(self.request.url).netloc
        if isinstance(cause, ssl.SSLCertVerificationError):
            return MigrationConfigurationError(
                f"The certificate of {host} cannot be verified: {cause.verify_message}. For a private "
                "certificate authority, set verify in the connection's extra to its PEM file.",
                reason="tls",
                tolerated_after_success=True,
            )
        if isinstance(error, BadAddressError) or type(error).__name__ in _BAD_ADDRESSES:
            return MigrationConfigurationError(
                f"No request can be sent to {host} ({type(error).__name__}). Check host in the connection, "
                "and the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: it must be an HTTP proxy."
            )
        if status := _refusal_of_a_proxy(error, cause):
            return self.failed(f"the proxy from the environment refuses with HTTP {status}", head, "proxy")
        why = ": ".join(filter(None, (type(cause).__name__, getattr(cause, "strerror", None))))
        reason = _reason_of(error, cause)
        if reason == "dns" and proxy_of(self.request.url):
            reason = "proxy"  # the name that does not resolve is the proxy's
        region = self.settings.region
        if reason == "dns" and getattr(cause, "errno", None) in _NO_SUCH_NAME and region and region in host:
            return MigrationConfigurationError(
                f"The host {host}, which follows from the region {region!r}, does not exist ({why}). Check "
                "region in the connection's extra or the hook's argument. If the region is right, check that "
                "this machine can resolve the name, or write an endpoint as host in the connection.",
                reason="dns",
                tolerated_after_success=True,
            )
        if reason == "dns":
            why = f"the host name does not resolve: {why}"
        return self.failed(
            f"{'no answer' if head is None else 'the answer is cut off'} ({why})", head, reason
        )


_NO_SUCH_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""Errors of a name server for a name that does not exist; its other errors are transient."""


def _reason_of(error: BaseException, cause: BaseException) -> str:
    """Return the reason of a missing answer, from a library's error and its root cause."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"ProxyError", "ClientProxyConnectionError", "ClientHttpProxyError"}:
        return "proxy"
    if isinstance(cause, socket.gaierror):
        return "dns"
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return "tls"
    if isinstance(cause, TimeoutError):
        return "timeout"
    is_unreachable = getattr(cause, "errno", None) in (errno.EHOSTUNREACH, errno.ENETUNREACH)
    return "refused" if is_unreachable or isinstance(cause, ConnectionRefusedError) else "cut_off"


def _refusal_of_a_proxy(error: BaseException, cause: BaseException) -> object:
    """Return the status with which a proxy refuses a tunnel, as the libraries report it."""
    if type(error).__name__ == "ClientHttpProxyError":
        return getattr(error, "status", None)
    told = re.match(r"Tunnel connection failed: (\d+)", str(cause))
    return told and told[1]


_BAD_ADDRESSES: Final = (
    "InvalidURL",
    "InvalidSchema",
    "MissingSchema",
    "InvalidProxyURL",
    "LocationParseError",
)
"""Names of the HTTP libraries' errors for a bad address; the libraries are imported only where used."""


class TooLargeError(Exception):
    """The answer is larger than that of any service."""

    text: Final = f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB"


def _inflate(response: Response) -> bytes:
    """Return the decompressed body; a server may compress although no compression was requested."""
    encoding = response.headers.get("content-encoding", "identity").strip()
    if encoding.lower() in ("", "identity") or not response.body:
        return response.body
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"an encoding that was not asked for: {encoding}")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    body = inflater.decompress(response.body, MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(TooLargeError.text)
    if not inflater.eof:
        raise ValueError("the compressed answer is cut off")
    return body


def retry_hint(headers: Mapping[str, str], now: datetime) -> float | None:
    """
    Return how many seconds a server asks to wait, at most 60, or None without a valid hint.

    :param headers: by lower-case name: ``x-acs-retry-after`` in milliseconds, ``retry-after`` in seconds or
        as a date.
    """
    for name, seconds_of in _HINTS:
        try:
            seconds = seconds_of(headers.get(name, "").strip(), now)
        except (ValueError, TypeError, OverflowError):
            continue
        if isfinite(seconds) and seconds >= 0:
            return min(seconds, MAX_CALL_SECONDS)
    return None


def _seconds_or_date(hint: str, now: datetime) -> float:
    return float(hint) if hint[:1].isdigit() else (parsedate_to_datetime(hint) - now).total_seconds()


_HINTS: Final[tuple[tuple[str, Callable[[str, datetime], float]], ...]] = (
    ("x-acs-retry-after", lambda hint, now: float(hint) / 1000),
    ("retry-after", _seconds_or_date),
)
