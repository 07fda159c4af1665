"""The pages in a browser, before an Airflow that answers what a test wants."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    :ivar answered: the paths that have got their answer.
    """

    url: str
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        path, answered = request.path_params["path"], self.answered
        self.asked.append(path)
        try:
            return self._answer(path, request)
        finally:
            answered.append(path)

    def _answer(self, path: str, request: Request) -> Response:
        answer = self.answers.get(path, self.answers.get("*", 404))
        if callable(answer) and not isinstance(answer, Response):  # a response is callable, too
            answer = answer(request.query_params)
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, int) and answer >= 100:
            return JSONResponse({"detail": "refused"}, answer)
        return JSONResponse(answer)

    def wait_until_quiet(self) -> None:
        """Wait until every request is answered and no other has come for a moment."""
        while True:
            asked = len(self.asked)
            time.sleep(0.04)
            if asked == len(self.asked) == len(self.answered):
                return


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
    server.answered = []
    return server


@contextmanager
def _open_page(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; give with it a list that what its scripts fail with is added to."""
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
    yield page, problems
    context.close()


@pytest.fixture(scope="module")
def shared_page(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    with _open_page(browser) as opened:
        yield opened


@pytest.fixture
def own_page() -> None:
    """Ask for a page that no other test uses, because the test sets its clock or adds a script to it."""


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """Give a page. A new one costs a process of the browser, so most tests share one, emptied after each."""
    if "own_page" in request.fixturenames:
        with _open_page(browser) as (page, problems):
            yield page
        assert problems == []
        return
    page, problems = request.getfixturevalue("shared_page")
    yield page
    if page.url != "about:blank":
        page.evaluate("sessionStorage.clear()")
        assert not page.evaluate("'__pwClock' in window"), "a test that sets the clock needs own_page"
        page.goto("about:blank")
    found, problems[:] = problems[:], []
    assert found == []


@pytest.fixture(scope="module")
def evaluate(browser: Browser, server: StandIn) -> Iterator[Callable[[str, Any], Any]]:
    """Give a way to call what the pages' modules export: pure functions, so that one page is enough."""
    with _open_page(browser) as (page, problems):
        page.goto(f"{server.url}/migration-ui/icon.svg")

        def call(module: str, function: str, *arguments: Any) -> Any:
            return page.evaluate(
                "async ([module, name, values]) => (await import(module))[name](...values)",
                [f"{server.url}/migration-ui/{module}", function, list(arguments)],
            )

        yield call
    assert problems == []
