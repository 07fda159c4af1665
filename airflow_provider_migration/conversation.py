"""
The idea of a conversation: what is asked and how the answer is understood, without the I/O.

A service call is a generator that yields each :class:`Request` and receives what the request's
``read`` function made of the answer. :mod:`airflow_provider_migration.transport` carries it, over
``requests`` or over ``aiohttp``; because every rule lives in the generator, both behave the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

_T = TypeVar("_T")

Conversation = Generator["Request", Any, _T]


def encode_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return a query string (or form body) sorted and encoded by RFC 3986: as it is signed, so it is sent."""
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(parameters))


@lru_cache(maxsize=1024)
def _encode(text: str) -> str:
    return quote(text, safe="")


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: the HTTP status, the headers by lower-case name, the body as it came."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Signer(Protocol):
    """Something that authenticates a request."""

    @property
    def identity(self) -> str:
        """Who asks, in words for a person; of a key no more than tells it from another."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, wherever a service echoes it."""

    def sign(self, request: Request, *, now: datetime, nonce: str) -> Mapping[str, str]:
        """
        Return every header to send, the authentication included.

        :param now: the time of this attempt, in UTC.
        :param nonce: a value never used before; each attempt gets its own.
        """


class Renewable(ABC):
    """A signer whose credentials change by themselves."""

    @abstractmethod
    def renew(self) -> None:
        """
        Take the credentials that are valid now; called before each conversation, and it may block.

        :raises MigrationError: if there are none.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    One HTTP request before it is signed.

    :param service: the service it belongs to, for messages.
    :param action: the vendor's name of the call, for messages.
    :param url: the whole URL, encoded exactly as it goes out and as it is signed.
    :param headers: headers of the call itself, by lower-case name.
    :param read: makes the answer out of a response, or raises a ``MigrationApiError``.
    :param asked_for: the id that it asks for, for the message where there is none such.
    :param item: what it asks about, where its answer serves all who ask for the same; else empty.
    :param batch: makes one request that asks about several items; its answer maps those that it tells of to
        what asking about each would have brought. None where the service has no such call.
    :param batch_limit: how many items ``batch`` takes at most.
    :param can_be_spared: whether the conversation goes on without an answer. It is given None instead where
        a connection makes many such calls.
    """

    service: str
    action: str
    method: str
    url: str
    read: Callable[[Request, Response], Any] = field(repr=False)
    signer: Signer = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    asked_for: str = ""
    item: str = ""
    batch: Callable[[Sequence[str]], Request] | None = field(default=None, repr=False)
    batch_limit: int = 1
    can_be_spared: bool = False
