"""The documentation site, opened from a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browsers import chromium
from tests.conftest import ROOT

pytestmark = pytest.mark.browser


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page()


def test_site_search_works_from_a_folder(page: Page, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "sensors.html").as_uri())
    page.get_by_role("textbox", name="Search").press_sequentially("Suspengding")
    found = page.locator(".md-search-result__item > a").first
    expect(found).to_contain_text("DTS")
    found.click()
    expect(page).to_have_title("DTS - airflow-provider-migration")

    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
