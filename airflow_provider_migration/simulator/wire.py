"""Requests, responses and refusals shared by the simulated services."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import parse_qsl

from airflow_provider_migration.sansio import encode_query

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Call:
    """One request as it came: ``path`` and ``query`` still encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The decoded query."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @cached_property
    def canonical_query(self) -> str:
        """The query as both signature schemes see it: decoded, sorted, encoded by RFC 3986."""
        return encode_query(parse_qsl(self.query, keep_blank_values=True))

    @cached_property
    def content_sha256(self) -> str:
        """Hexadecimal SHA-256 of the body that really came."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Answer:
    """One answer; ``content`` is sent as JSON, or as HTML or XML when it is text."""

    status: int
    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def body(self) -> bytes:
        """The content as it goes out."""
        if isinstance(self.content, str):
            return self.content.encode()
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":")).encode()

    @property
    def content_type(self) -> str:
        """HTML or XML for text, else JSON."""
        if isinstance(self.content, str):
            return "text/xml;charset=utf-8" if self.content.startswith("<Error>") else "text/html"
        return "application/json;charset=utf-8"


class Refused(Exception):  # noqa: N818  a refusal is an answer of the service, not an error of the simulator
    """A refused call; ``answer`` is the vendor's error response."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True)
class Subject:
    """The target of a call, before any check; ``writes`` is true for a call that would change something."""

    service: str
    action: str
    id: str
    writes: bool


class Vendor(Protocol):
    """A service, or several that share a gateway."""

    def subject(self, call: Call) -> Subject:
        """Return the subject of the call."""

    def admit(self, call: Call) -> None:
        """Authenticate a call, or raise :class:`Refused`."""

    def answer(self, call: Call) -> Answer:
        """Answer an admitted call, or raise :class:`Refused`."""

    def throttled(self, call: Call, *, hint: float | None, status: int | None) -> Answer:
        """Return the response to a throttled call; ``hint`` is the suggested wait in seconds."""

    def broken(self, call: Call, *, status: int | None) -> Answer:
        """Return the response of a failed service."""


def html_page(status: int, title: str) -> str:
    """Return an HTML page, as a load balancer sends instead of JSON."""
    return (
        f"<html>\r\n<head><title>{status} {title}</title></head>\r\n"
        f"<body>\r\n<center><h1>{status} {title}</h1></center>\r\n"
        "<hr><center>tengine</center>\r\n</body>\r\n</html>"
    )


def parse_authorization(header: str, algorithm: str) -> dict[str, str] | None:
    """Parse ``ALGORITHM Name=value,Name=value``; None for another algorithm."""
    scheme, _, rest = header.partition(" ")
    if scheme != algorithm:
        return None
    parts = (part.strip().partition("=") for part in rest.split(","))
    return {name: value for name, _, value in parts}


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Return user and password of an HTTP Basic header, or None."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, password) if separator else None


class Identifiers:
    """Pseudo-random request ids and tokens, reproducible by the seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def hexadecimal(self, length: int = 32) -> str:
        """Return ``length`` new hexadecimal digits."""
        self._count += 1
        text = f"{self._seed}:{self._count}".encode()
        return hashlib.shake_256(text).hexdigest((length + 1) // 2)[:length]

    def uuid(self) -> str:
        """Return an upper-case UUID."""
        digits = self.hexadecimal().upper()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def refuse(answer: Answer) -> NoReturn:
    """Raise the refusal."""
    raise Refused(answer)
