"""Run flows without a network: canned answers go in, requests and the result come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_migration.exceptions import MigrationError
from airflow_provider_migration.sansio import Flow, Request, Response


@dataclass(frozen=True)
class Talk:
    """A flow that was run: its requests and its result."""

    requests: list[Request]
    result: Any


def to_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Make an answer: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, content)


def plain_job(request: Request) -> dict[str, Any]:
    """Make the list of DRS that has only the job of a look-up, without children."""
    return {"total_count": 1, "jobs": [{"id": request.coalescing_key, "job_type": "migration"}]}


def hold(flow: Flow[Any], *answers: Any, families: bool = False) -> Talk:
    """
    Run a flow to its end as the transport does, without retries.

    A look-up of a DRS job in the lists, which any job in sync needs, finds a job without children. It is not
    among the requests; ``tests/services/test_drs_families.py`` tests it.

    :param families: true if the answers include those look-ups.
    :param answers: bodies or responses in the order of the requests; or one function that answers any
        request, or raises as the transport would.
    """
    server = answers[0] if len(answers) == 1 and callable(answers[0]) else None
    canned = [] if server else list(answers)
    requests: list[Request] = []
    resume: Callable[[], Request] = partial(next, flow)
    while True:
        try:
            request = resume()
        except StopIteration as stop:
            assert not canned, "fewer requests than answers"
            return Talk(requests, stop.value)
        if (
            request.action.startswith(("ListJobs (", "ShowJobList ("))
            and request.coalescing_key
            and not families
        ):
            resume = partial(flow.send, request.read(request, to_response(plain_job(request))))
            continue
        requests.append(request)
        assert server or canned, f"an unexpected request: {request}"
        try:
            answer = server(request) if server else canned.pop(0)
            value = request.read(request, answer if isinstance(answer, Response) else to_response(answer))
        except MigrationError as error:
            resume = partial(flow.throw, error)
        else:
            resume = partial(flow.send, value)
