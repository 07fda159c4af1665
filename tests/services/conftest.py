"""Conversations without a network: canned answers go in, requests and the result come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_migration.conversation import Conversation, Request, Response
from airflow_provider_migration.exceptions import MigrationError

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Talk:
    """A conversation that was held: what was asked and what it came to."""

    requests: list[Request]
    result: Any


def to_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Make an answer: of bytes as they are, of anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, content)


def hold(conversation: Conversation[Any], *answers: Any) -> Talk:
    """
    Run a conversation to its end, as the transport does, without the tries that it adds.

    :param answers: bodies or responses, in order, each for one request; or one function that makes an
        answer of any request.
    """
    server = answers[0] if len(answers) == 1 and callable(answers[0]) else None
    canned = [] if server else list(answers)
    requests: list[Request] = []
    resume: Callable[[], Request] = partial(next, conversation)
    while True:
        try:
            request = resume()
        except StopIteration as stop:
            assert not canned, "fewer requests than answers"
            return Talk(requests, stop.value)
        requests.append(request)
        assert server or canned, f"an unexpected request: {request}"
        answer = server(request) if server else canned.pop(0)
        try:
            value = request.read(request, answer if isinstance(answer, Response) else to_response(answer))
        except MigrationError as error:
            resume = partial(conversation.throw, error)
        else:
            resume = partial(conversation.send, value)


@pytest.fixture(scope="session")
def talk() -> Callable[..., Talk]:
    """Hold a conversation with canned answers."""
    return hold


@pytest.fixture(scope="session")
def response() -> Callable[..., Response]:
    """Make an answer with a status and headers."""
    return to_response


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Any]:
    """Read a sample of a vendor's documentation, each time anew."""
    return lambda name: json.loads((TESTS / "samples" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Read the requests that a vendor's SDK makes."""
    return lambda name: json.loads((TESTS / "vectors" / f"{name}.json").read_text())
