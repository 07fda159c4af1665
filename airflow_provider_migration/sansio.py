"""
Sans-I/O: requests, and how their answers are read, without a network.

A service call is a flow: a generator that sends each :class:`Request` by ``page = yield from send(request)``
and receives the value that the request's ``read`` returns. :mod:`airflow_provider_migration.transport` runs
it, over ``requests`` or over ``aiohttp``; because every rule lives in the generator, both behave the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

Flow = Generator["Request[Any]", Any, _T]

AuthenticatedFlow = Generator["Request[Any] | BlockingCall[Any]", Any, _T]
"""A flow as the transport runs it, with the requests and calls that refresh its credential."""


def encode_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return a query string or form body, sorted and encoded by RFC 3986, as it is both signed and sent."""
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(parameters))


@lru_cache(maxsize=1024)
def _encode(text: str) -> str:
    return quote(text, safe="")


VERBATIM: Final = object()
"""Marks a field of a response model that is never redacted."""

Verbatim = Annotated[str | None, VERBATIM]
"""
A word or an id that decides: a status, a step, the id of a migration. Every other text of a response model is
redacted once it is read, so that a password that happens to be a status word changes no verdict, and an
echoed one is not shown.
"""


class Redact(Protocol):
    """Redacts the secrets of one request from the service's answer."""

    def __call__(self, value: _T, /) -> _T:
        """Return a string, a response model, or a mapping, list or tuple of these, without secrets."""


def _redact_nothing(value: _T, /) -> _T:
    return value


@dataclass(frozen=True, slots=True)
class Response:
    """
    One answer: the HTTP status, the headers by lower-case name, the body as it came.

    :param redact: redacts the text of an error. The transport redacts the value that a ``read`` returns.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    redact: Redact = field(default=_redact_nothing, repr=False, compare=False)

    @property
    def date(self) -> datetime | None:
        """
        The service's own time, from the ``Date`` header; None where it is missing or not readable, or where
        a cache gave the answer (``Age``).
        """
        if "age" in self.headers:
            return None
        try:
            date = parsedate_to_datetime(self.headers.get("date", ""))
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
        return date if date.tzinfo else date.replace(tzinfo=UTC)


class Signer(Protocol):
    """Something that authenticates a request."""

    @property
    def identity(self) -> str:
        """Caller identity for messages; key ids are truncated."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values to redact from responses, logs and errors."""

    def sign(self, request: Request[Any], *, now: datetime, nonce: str) -> Mapping[str, str]:
        """
        Return every header to send, the authentication included.

        :param now: the time of this attempt, in UTC.
        :param nonce: a value never used before; each attempt gets its own.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[_T_co]):
    """
    One HTTP request before it is signed, whose answer ``read`` turns into a value.

    :param service: the service it belongs to, for messages.
    :param action: the vendor's name of the call, for messages.
    :param url: the whole URL, encoded exactly as it goes out and as it is signed.
    :param headers: headers of the call itself, by lower-case name.
    :param read: converts a response to the answer, or raises a ``MigrationApiError``.
    :param asked_for: the requested id, for the message if the service does not know it.
    :param coalescing_key: concurrent requests with the same key share one response; empty: never shared.
    :param batch: creates one request for several items. Its answer maps each item that it contains to the
        answer that a single request would have returned. None if the service has no such call.
    :param batch_kind: requests of different kinds never share a batch.
    :param batch_limit: maximum number of items of ``batch``.
    :param is_optional: true if the flow continues without an answer, see :func:`send_optional`.
    """

    service: str
    action: str
    method: str
    url: str
    read: Callable[[Request[Any], Response], _T_co] = field(repr=False)
    signer: Signer = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    asked_for: str = ""
    coalescing_key: str = ""
    batch: Callable[[Sequence[str]], Request[Mapping[str, _T_co]]] | None = field(default=None, repr=False)
    batch_kind: str = ""
    batch_limit: int = 1
    is_optional: bool = False


def send(request: Request[_T]) -> Flow[_T]:
    """Send a request from within a flow, and return the result of its ``read``."""
    value: _T = yield request
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingCall(Generic[_T_co]):
    """
    A call of a library that does its own I/O and blocks; on the event loop it runs in a thread.

    Concurrent flows of a connection share one call on the event loop.

    :param call: a bound method; concurrent calls of the same method are coalesced.
    :param fresh_seconds: seconds for which later flows on the event loop reuse the result, or the error.
    """

    call: Callable[[], _T_co]
    fresh_seconds: float


def call_blocking(call: BlockingCall[_T]) -> AuthenticatedFlow[_T]:
    """Make a blocking call from within a flow, and return its result."""
    value: _T = yield call
    return value


def send_optional(request: Request[_T]) -> Flow[_T | None]:
    """Send a request that may be dropped where a connection makes many such calls; return None then."""
    value: _T | None = yield replace(request, is_optional=True)
    return value
