"""The objects of a migration in the Migration tab: two tables that sort, each with a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.ui.conftest import StandIn
from tests.ui.test_pages import HOSTILE, open_tab, put, record
from tests.ui.test_verification import save

pytestmark = pytest.mark.browser

HEAD = ["Source", "Destination", "Percent"]


def item(source: Any, percent: Any = None, destination: Any = "store", **more: Any) -> dict[str, Any]:
    return {"source": source, "destination": destination, "percent": percent, **more}


def summary(*slowest: Any, failed: Any = (), **more: Any) -> dict[str, Any]:
    objects = {"total": 40, "completed": 30, "slowest": list(slowest), "failed": list(failed), **more}
    return record(objects=objects)


def rows(page: Page, part: str) -> list[list[str]]:
    return [row.locator("th, td").all_text_contents() for row in page.locator(f"#{part} tbody tr").all()]


SLOW = [item("a.t10", 0), item("a.t2", 12.5), item("a.t1", None)]
BROKEN = [item("a.z", 50, error="duplicate key"), item("a.b", None, None, error=None)]


def test_objects_are_shown_in_tables(page: Page, airflow: StandIn) -> None:
    put(airflow, summary(*SLOW, failed=BROKEN))
    open_tab(page, airflow)
    assert page.locator("#objects-count").text_content() == "30 of 40 done"
    assert rows(page, "objects-slowest") == [
        ["a.t10", "store", "0"],
        ["a.t2", "store", "12.5"],
        ["a.t1", "store", "–"],
    ]
    assert rows(page, "objects-failed") == [["a.z", "store", "50", "duplicate key"], ["a.b", "–", "–", "–"]]
    assert page.locator("#objects-failed p").text_content() == "2 failed:"


@pytest.mark.parametrize(
    ("slowest", "failed", "visible"),
    [
        (SLOW, None, ["objects-slowest"]),
        (SLOW, [], ["objects-slowest"]),
        ([], BROKEN, ["objects-failed"]),
        ([], [], []),
        ("text", {"a": 1}, []),
        ([None, 7, {}, {"source": 3}], [[]], []),
    ],
)
def test_empty_table_is_hidden(
    page: Page, airflow: StandIn, slowest: Any, failed: Any, visible: list[str]
) -> None:
    """A record of DRS, or of an older version, has no failed objects."""
    put(airflow, record(objects={"total": 40, "completed": 30, "slowest": slowest, "failed": failed}))
    open_tab(page, airflow)
    parts = ("objects-failed", "objects-slowest")
    assert [part for part in parts if page.locator(f"#{part}").is_visible()] == visible


def test_long_list_says_that_there_may_be_more(page: Page, airflow: StandIn) -> None:
    put(airflow, summary(failed=[item(f"a.t{number}") for number in range(25)]))
    open_tab(page, airflow)
    assert page.locator("#objects-failed p").text_content() == "The first 20 that failed:"
    assert len(rows(page, "objects-failed")) == 20


def test_objects_sort_by_a_column(page: Page, airflow: StandIn) -> None:
    put(airflow, summary(*SLOW, failed=BROKEN))
    open_tab(page, airflow)
    slowest = page.locator("#objects-slowest")
    expected = {"Source": ["a.t1", "a.t2", "a.t10"], "Percent": ["a.t10", "a.t2", "a.t1"]}
    for column, order in expected.items():
        slowest.get_by_role("columnheader", name=column).get_by_role("button").click()
        assert slowest.locator("tbody th").all_text_contents() == order
    # The tables sort apart.
    assert page.locator("#objects-failed tbody th").all_text_contents() == ["a.z", "a.b"]


@pytest.mark.parametrize(
    ("part", "name", "expected"),
    [
        (
            "objects-slowest",
            "dts-dts1-slowest-objects.csv",
            [HEAD, ["a.t10", "store", "0"], ["a.t2", "store", "12.5"], ["a.t1", "store", ""]],
        ),
        (
            "objects-failed",
            "dts-dts1-failed-objects.csv",
            [[*HEAD, "Error"], ["a.z", "store", "50", "duplicate key"], ["a.b", "", "", ""]],
        ),
    ],
)
def test_objects_are_saved_as_csv(
    page: Page, airflow: StandIn, tmp_path: Path, part: str, name: str, expected: list[list[str]]
) -> None:
    put(airflow, summary(*SLOW, failed=BROKEN))
    open_tab(page, airflow)
    airflow.wait_until_quiet()
    asked = len(airflow.asked)
    saved = save(page, tmp_path, page.locator(f"#{part} button.button").click)
    assert saved == (name, expected)
    assert len(airflow.asked) == asked


def test_csv_of_objects_has_no_formula(page: Page, airflow: StandIn, tmp_path: Path) -> None:
    put(airflow, summary(failed=[item("=1+1", 5, "+x", error="@cmd"), item(HOSTILE, error=HOSTILE)]))
    open_tab(page, airflow)
    _, saved = save(page, tmp_path, page.locator("#objects-failed button.button").click)
    assert saved[1:] == [["'=1+1", "'+x", "5", "'@cmd"], [HOSTILE, "store", "", HOSTILE]]
    assert page.locator("#objects-part :is(img, b, script)").count() == 0
