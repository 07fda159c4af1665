"""A browser for the tests of the pages."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import ROOT

_T = TypeVar("_T")

SCREENSHOTS = ROOT / "build" / "screenshots"


def _executable() -> str:
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    pytest.skip(
        "no Chromium here: install it (apt-get install chromium), or name one as CHROMIUM=/path/to/it"
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """Keep a headless Chromium open, or skip where there is none."""
    path = _executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"],
        )
        yield browser
        browser.close()


def wait_for(question: Callable[[], _T], seconds: float = 30) -> _T:
    """Poll from Python until the answer is true: the pages' content security policy forbids eval."""
    give_up = time.monotonic() + seconds
    pause = 0.01
    while not (answer := question()):
        assert time.monotonic() < give_up, f"still {answer!r} after {seconds} s"
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
    return answer


def wait_in_page_time(page: Page, step: int, question: Callable[[], object]) -> None:
    """
    Advance the page's own clock until the answer is true.

    :param step: milliseconds; one may come before the page has set its timer, so it is repeated.
    """

    def ask() -> object:
        page.clock.fast_forward(step)
        return question()

    wait_for(ask)
