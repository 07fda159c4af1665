"""The pages in a browser, before an Airflow that answers what a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from airflow_provider_migration.ui.app import Pages
from tests.browsers import chromium


@dataclass
class StandIn:
    """
    An API server that serves the pages, and of Airflow's API what a test has put here.

    :ivar answers: by path below ``/api/v2``: JSON, an HTTP status, or a function of the query.
    :ivar asked: the paths that were asked for.
    """

    url: str
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path_params["path"]
        self.asked.append(path)
        answer = self.answers.get(path, self.answers.get("*", 404))
        if callable(answer):
            answer = answer(request.query_params)
        if isinstance(answer, int):
            return JSONResponse({"detail": "refused"}, answer)
        return JSONResponse(answer)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stand_in = StandIn(f"http://127.0.0.1:{listening.getsockname()[1]}/below")
        app = Starlette(
            routes=[
                Mount("/below/migration-ui", Pages()),
                Route("/below/api/v2/{path:path}", lambda request: stand_in.answer(request)),
            ]
        )
        uvicorn_server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield stand_in
        uvicorn_server.should_exit = True
        thread.join()


@pytest.fixture
def airflow(server: StandIn) -> StandIn:
    server.answers = {}
    server.asked = []
    return server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def evaluate(page: Page, airflow: StandIn) -> Callable[[str, Any], Any]:
    """Give a way to call what the pages' modules export."""
    page.goto(f"{airflow.url}/migration-ui/icon.svg")

    def call(module: str, function: str, *arguments: Any) -> Any:
        return page.evaluate(
            "async ([module, name, values]) => (await import(module))[name](...values)",
            [f"{airflow.url}/migration-ui/{module}", function, list(arguments)],
        )

    return call
