"""The service's own data check on the pages: its words, its table and its file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from starlette.responses import HTMLResponse

from tests.browsers import wait_for, wait_in_page_time
from tests.ui.conftest import StandIn
from tests.ui.test_pages import (
    HOSTILE,
    ago,
    instance,
    lines,
    names,
    open_list,
    open_tab,
    put,
    put_all,
    record,
)

pytestmark = pytest.mark.browser

HEAD = ["Source", "Destination", "Result", "Different rows"]


def verification(state: Any, **fields: Any) -> dict[str, Any]:
    return {
        "state": state,
        "percent": None,
        "tables_total": None,
        "tables_compared": None,
        "tables_different": None,
        "tables_failed": None,
        "rows_different": None,
        "worst": [],
        "checked_at": None,
        **fields,
    }


def table(source: Any, rows: Any = None, destination: Any = None, result: Any = "DIFF") -> dict[str, Any]:
    return {"source": source, "destination": destination, "result": result, "rows_different": rows}


def tone_of(page: Page) -> str:
    return (page.locator("#check-verdict").get_attribute("class") or "").removeprefix("verdict ")


def sources(page: Page) -> list[str]:
    return page.locator("#check-worst tbody th").all_text_contents()


# --- the states ----------------------------------------------------------------------------------------

UNKNOWN = "The result of the data check is not known."


@pytest.mark.parametrize(
    ("state", "fields", "said", "tone"),
    [
        ("not_configured", {}, "This migration has no data check.", "quiet"),
        ("pending", {}, "The data check has not begun.", "quiet"),
        ("running", {"percent": 42.5}, "The data check is running: 42.5 %.", "busy"),
        ("running", {}, "The data check is running.", "busy"),
        ("running", {"percent": 900}, "The data check is running.", "busy"),
        ("consistent", {"tables_total": 40, "tables_compared": 40}, "No differences in 40 tables.", "good"),
        (
            "consistent",
            {"tables_total": 40, "tables_compared": 38},
            "No differences in 38 of 40 tables.",
            "good",
        ),
        ("consistent", {"tables_total": 1}, "No differences in 1 table.", "good"),
        ("consistent", {}, "No differences found.", "good"),
        ("inconsistent", {"tables_total": 40, "tables_different": 12}, "12 of 40 tables differ.", "bad"),
        ("inconsistent", {"tables_total": 1, "tables_different": 1}, "1 of 1 table differs.", "bad"),
        ("inconsistent", {"tables_total": 3, "tables_different": 12}, "12 tables differ.", "bad"),
        (
            "inconsistent",
            {"tables_different": 1, "rows_different": 1234},
            "1 table differs: 1,234 different rows.",
            "bad",
        ),
        ("inconsistent", {"rows_different": 1}, "Source and destination differ: 1 different row.", "bad"),
        ("inconsistent", {"tables_different": 0}, "Source and destination differ.", "bad"),
        ("failed", {"tables_failed": 3}, "3 tables could not be compared.", "bad"),
        ("failed", {"tables_failed": 0}, "The data check itself failed.", "bad"),
        ("failed", {}, "The data check itself failed.", "bad"),
        ("unknown", {}, UNKNOWN, "quiet"),
        # A result that contradicts itself is not success.
        ("consistent", {"tables_different": 2}, UNKNOWN, "quiet"),
        ("consistent", {"tables_failed": 1}, UNKNOWN, "quiet"),
        ("consistent", {"rows_different": 1}, UNKNOWN, "quiet"),
        ("consistent", {"worst": [table("a.t")]}, UNKNOWN, "quiet"),
        # States of a later version, and nonsense
        ("CONSISTENT", {}, UNKNOWN, "quiet"),
        ("constructor", {}, UNKNOWN, "quiet"),
        ("__proto__", {}, UNKNOWN, "quiet"),
        (["consistent"], {}, UNKNOWN, "quiet"),
        (None, {}, UNKNOWN, "quiet"),
        (7, {}, UNKNOWN, "quiet"),
    ],
)
def test_verification_state_is_a_sentence(
    evaluate: Callable[..., Any], state: Any, fields: dict[str, Any], said: str, tone: str
) -> None:
    shown = evaluate("verification.js", "dataCheck", {"verification": verification(state, **fields)}, False)
    assert (shown["verdict"], shown["tone"]) == (said, tone)


@pytest.mark.parametrize("odd", [None, 7, "consistent", True, [], [{"state": "consistent"}]])
def test_verification_that_is_absent_is_not_shown(page: Page, airflow: StandIn, odd: Any) -> None:
    put(airflow, record(verification=odd))
    open_tab(page, airflow)

    assert page.locator("#migration").is_visible()
    assert not page.locator("#check").is_visible()
    assert not page.locator("#check-word").is_visible()
    assert not page.locator("#trouble").is_visible()


ODD = [7, -1, 1e300, 0.5, "text", True, {}, [None, 3, "x", {}, [], {"source": {}}]]


def odd_verification(state: str, odd: Any) -> dict[str, Any]:
    return dict.fromkeys(verification(state), odd) | {"state": state}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("state", ["inconsistent", "running"])
def test_verification_of_nonsense_is_shown(page: Page, airflow: StandIn, state: str, odd: Any) -> None:
    put(airflow, record(verification=odd_verification(state, odd)))
    open_tab(page, airflow)

    assert page.locator("#check").is_visible()
    assert not page.locator("#trouble").is_visible()
    assert not page.locator("#check-tables").is_visible()
    assert not page.locator("#check-time").is_visible()
    shown = page.locator("#check").inner_text().replace("0.5 %", "")
    for word in ("NaN", "null", "undefined", "object", "true", "e+", "Infinity", "-1", "0.5"):
        assert word not in shown


def test_verification_of_nonsense_breaks_no_row(page: Page, airflow: StandIn) -> None:
    odd = [odd_verification(state, odd) for state in ("inconsistent", "failed") for odd in ODD]
    put_all(airflow, [(instance(), record(verification=value)) for value in [*odd, *ODD]])
    open_list(page, airflow)
    page.get_by_role("button", name="Show 4 more").click()

    assert names(page) == ["orders"] * 3 * len(ODD)
    assert set(page.locator("#rows .finding").all_text_contents()) == {
        "", "7 tables differ", "Data differs", "Data check failed",
    }  # fmt: skip


def test_verification_that_runs_has_a_bar(page: Page, airflow: StandIn) -> None:
    running = verification(
        "running", percent=42.5, tables_total=40, tables_compared=17, tables_different=1, tables_failed=2
    )
    put(airflow, record(verification=running))
    open_tab(page, airflow)

    bar = page.get_by_role("progressbar", name="Data check")
    assert bar.get_attribute("aria-valuenow") == "42.5"
    assert bar.get_attribute("class") == "bar busy"
    assert lines(page.locator("#check")) == [
        "Data check",
        "The data check is running: 42.5 %.",
        "1 table differs so far. 2 tables could not be compared so far.",
        "17 of 40 tables compared",
    ]
    assert not page.locator("#check-word").is_visible()

    # Nobody watches it after the end of the task.
    put(airflow, record(state="succeeded", verification=running), instance("success"))
    open_tab(page, airflow)
    assert page.locator("#check-verdict").text_content() == (
        "The data check was running when it was last read: 42.5 %."
    )
    assert tone_of(page) == "quiet"


def test_verification_result_has_its_age(page: Page, airflow: StandIn) -> None:
    done = verification("consistent", tables_total=40, tables_compared=40, checked_at=ago(250))
    put(airflow, record(verification=done))
    open_tab(page, airflow)

    verdict, checked = lines(page.locator("#check"))[1:]
    assert verdict == "No differences in 40 tables."
    assert checked.startswith("Checked at ")
    assert " UTC · 4 min 1" in checked
    assert checked.endswith(" s ago")
    assert page.get_by_role("progressbar", name="Data check").count() == 0

    put(airflow, record(verification=done | {"checked_at": "2999-01-01T00:00:00Z"}))
    open_tab(page, airflow)
    assert page.locator("#check-time").inner_text().strip() == "Checked at 1 Jan 2999, 00:00:00 UTC"


def test_verification_that_found_differences_is_named_first(page: Page, airflow: StandIn) -> None:
    found = verification(
        "inconsistent",
        tables_total=40,
        tables_compared=38,
        tables_different=12,
        tables_failed=2,
        worst=[table("a.t1", 3)],
    )
    put(airflow, record(state="succeeded", verification=found), instance("success"))
    open_tab(page, airflow)

    assert page.locator("#check-word").text_content() == "12 tables differ"
    assert page.locator("#announcement").text_content() == "orders: Succeeded. 12 tables differ"
    assert page.locator("#check-trouble").text_content() == "2 tables could not be compared."
    assert page.locator("#check-compared").text_content() == "38 of 40 tables compared"
    assert page.locator("#check-list").text_content() == (
        "1 of 14 tables that differ or could not be compared:"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_verification_is_green_only_if_consistent(page: Page, airflow: StandIn, scheme: Any) -> None:
    """Compare computed colours with those of the neighbours."""
    page.emulate_media(color_scheme=scheme)
    colour = "([selector, property]) => getComputedStyle(document.querySelector(selector))[property]"
    seen = {}
    for state in ("not_configured", "pending", "running", "consistent", "inconsistent", "failed", "unknown"):
        put(airflow, record(verification=verification(state)))
        open_tab(page, airflow)
        seen[state] = page.evaluate(colour, ["#check-verdict", "color"])
        green = page.evaluate(colour, ["#phases li:first-child .word", "color"])
        neutral = page.evaluate(colour, ["#check-title", "color"])
        panels = {page.evaluate(colour, [name, "backgroundColor"]) for name in ("#check", ".card")}
        assert len(panels) == 1
    page.emulate_media(color_scheme="light")

    assert [state for state, found in seen.items() if found == green] == ["consistent"]
    assert [state for state, found in seen.items() if found == neutral] == [
        "not_configured", "pending", "unknown",
    ]  # fmt: skip
    assert seen["inconsistent"] == seen["failed"] not in (green, neutral, seen["running"])


# --- the table -----------------------------------------------------------------------------------------

FOUR = [
    table("a.t10", 1000, "b.t10", "DIFF"),
    table("a.t2", 20, None, "DIFF"),
    table("a.T3", None, "b.t3", "ERROR"),
    table("a.t1", 3, "b.t1", None),
]


def differing(worst: Any, **fields: Any) -> dict[str, Any]:
    return record(verification=verification("inconsistent", worst=worst, **fields))


@pytest.mark.parametrize(
    ("column", "rising", "falling"),
    [
        ("Source", ["a.t1", "a.t2", "a.T3", "a.t10"], ["a.t10", "a.T3", "a.t2", "a.t1"]),
        ("Destination", ["a.t1", "a.T3", "a.t10", "a.t2"], ["a.t10", "a.T3", "a.t1", "a.t2"]),
        ("Result", ["a.t10", "a.t2", "a.T3", "a.t1"], ["a.T3", "a.t10", "a.t2", "a.t1"]),
        ("Different rows", ["a.t1", "a.t2", "a.t10", "a.T3"], ["a.t10", "a.t2", "a.t1", "a.T3"]),
    ],
)
@pytest.mark.parametrize("by", ["mouse", "Enter", "Space"])
def test_table_sorts_by_each_column(
    page: Page, airflow: StandIn, column: str, rising: list[str], falling: list[str], by: str
) -> None:
    put(airflow, differing(FOUR))
    open_tab(page, airflow)
    head = page.get_by_role("columnheader", name=column)

    def press() -> None:
        if by == "mouse":
            head.get_by_role("button").click()
        else:
            page.keyboard.press(by)

    if by != "mouse":
        head.get_by_role("button").focus()
    unsorted = [one["source"] for one in FOUR]
    assert sources(page) == unsorted
    for order, expected in (("ascending", rising), ("descending", falling), (None, unsorted)):
        press()
        assert head.get_attribute("aria-sort") == order
        assert page.locator("#check-worst th[aria-sort]").count() == (order is not None)
        assert sources(page) == expected


def test_table_is_reached_by_tab(page: Page, airflow: StandIn) -> None:
    put(airflow, differing(FOUR))
    open_tab(page, airflow)
    page.locator("#check-csv").focus()
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached == ["check-worst", *HEAD]


def test_table_shows_numbers_and_gaps(page: Page, airflow: StandIn) -> None:
    worst = [table("a.t", 1234567, "b.t"), table(7, -1, "x", {}), {}, None, table("a.u", 0.5, " ", 4)]
    put(airflow, differing(worst))
    open_tab(page, airflow)

    rows = page.locator("#check-worst tbody tr").all()
    assert [row.locator("th, td").all_text_contents() for row in rows] == [
        ["a.t", "b.t", "DIFF", "1,234,567"],
        ["–", "x", "–", "–"],
        ["a.u", "–", "–", "–"],
    ]
    assert page.locator("#check-list").text_content() == "3 tables that differ or could not be compared:"


def test_table_has_20_rows_at_most(page: Page, airflow: StandIn) -> None:
    put(airflow, differing([table(f"a.t{i}", 100 - i) for i in range(30)], tables_different=34))
    open_tab(page, airflow)

    assert sources(page) == [f"a.t{i}" for i in range(20)]
    assert (page.locator("#check-list").text_content() or "").startswith("20 of 34 tables ")


@pytest.mark.usefixtures("own_page")
def test_table_keeps_order_and_focus_on_refresh(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put(airflow, differing(FOUR))
    open_tab(page, airflow)
    page.get_by_role("columnheader", name="Source").get_by_role("button").click()

    put(airflow, differing([*FOUR, table("a.t0", 1)]))
    wait_in_page_time(page, 6_000, lambda: len(sources(page)) == 5)
    assert sources(page) == ["a.t0", "a.t1", "a.t2", "a.T3", "a.t10"]
    assert page.evaluate("document.activeElement.textContent") == "Source"


@pytest.mark.usefixtures("own_page")
def test_table_is_removed_with_a_refusal(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put(airflow, differing([table("secret", 1, "secret")], tables_different=12))
    open_tab(page, airflow)
    assert "secret" in page.content()

    airflow.answers = {"*": 403}
    wait_in_page_time(page, 6_000, lambda: page.locator("#trouble").is_visible())
    assert "secret" not in page.content()
    assert "tables differ" not in page.content()


@pytest.mark.parametrize("width", [400, 736, 1280])
def test_table_does_not_widen_the_page(page: Page, airflow: StandIn, width: int) -> None:
    size = page.viewport_size
    page.set_viewport_size({"width": width, "height": 800})
    put(airflow, differing([table("x" * 256, 2**53, "y" * 256, "z" * 256)] * 20, tables_different=2**53))
    open_tab(page, airflow)
    wide = page.evaluate("document.documentElement.scrollWidth")
    inner = page.locator("#check-worst").bounding_box()
    outer = page.locator("#check").bounding_box()
    if size:
        page.set_viewport_size(size)

    assert wide <= width
    assert inner
    assert outer
    assert outer["x"] < inner["x"] < inner["x"] + inner["width"] < outer["x"] + outer["width"]


def test_table_never_shows_markup(page: Page, airflow: StandIn) -> None:
    put(airflow, differing([table(HOSTILE, 1, f"<b>\"'\n{HOSTILE}", HOSTILE)]))
    open_tab(page, airflow)

    assert sources(page) == [HOSTILE]
    assert page.locator("#check-worst :is(img, b, script)").count() == 0
    assert page.title() == "Migration"


# --- the file ------------------------------------------------------------------------------------------


def save(page: Page, tmp_path: Path, click: Callable[[], None]) -> tuple[str, list[list[str]]]:
    with page.expect_download() as download:
        click()
    path = tmp_path / "saved.csv"
    download.value.save_as(path)
    content = path.read_bytes().decode()
    assert content.startswith("\ufeff")
    assert content.endswith("\r\n")
    return download.value.suggested_filename, list(csv.reader(io.StringIO(content[1:], newline="")))


def test_csv_has_the_rows_in_the_order_of_the_screen(page: Page, airflow: StandIn, tmp_path: Path) -> None:
    put(airflow, differing(FOUR))
    open_tab(page, airflow)
    page.get_by_role("columnheader", name="Different rows").get_by_role("button").click()
    airflow.wait_until_quiet()
    asked = len(airflow.asked)
    name, rows = save(page, tmp_path, page.locator("#check-csv").click)

    assert name == "dts-dts1-data-check.csv"
    assert rows == [
        HEAD,
        ["a.t1", "b.t1", "", "3"],
        ["a.t2", "", "DIFF", "20"],
        ["a.t10", "b.t10", "DIFF", "1000"],
        ["a.T3", "b.t3", "ERROR", ""],
    ]
    assert len(airflow.asked) == asked


def test_csv_of_hostile_names_is_kept_whole(page: Page, airflow: StandIn, tmp_path: Path) -> None:
    hostile = ["<b>", 'a"b', "a,b", "a\nb", "a\r\nb", "x" * 256, "表.t", HOSTILE]
    put(airflow, differing([table(name, 1, name) for name in hostile]))
    open_tab(page, airflow)
    _, rows = save(page, tmp_path, page.locator("#check-csv").click)

    assert [row[:2] for row in rows[1:]] == [[name, name] for name in hostile]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ("\uff1d1", "'\uff1d1"),
        ('=HYPERLINK("x","y")', '"\'=HYPERLINK(""x"",""y"")"'),
        ("a=1", "a=1"),
        ("'a", "'a"),
        ("a b", "a b"),
        (-1, "-1"),
        (1000, "1000"),
        (0, "0"),
        (None, ""),
    ],
)
def test_csv_cell_is_never_a_formula(evaluate: Callable[..., Any], cell: Any, said: str) -> None:
    assert evaluate("table.js", "csvText", [["h"], [cell, "end"]]) == f"h\r\n{said},end\r\n"


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["dts", "dts1", "data-check"], "dts-dts1-data-check.csv"),
        ([None, None, "data-check"], "data-check.csv"),
        (["oms", "../../etc/passwd", "x"], "oms-etc-passwd-x.csv"),
        (["a b", "<b>\"'\n\x00", "c:\\d"], "a-b-b-c-d.csv"),
        (["\u202e表", "x" * 300], f"{'x' * 64}.csv"),
    ],
)
def test_csv_file_name_is_safe(evaluate: Callable[..., Any], parts: list[str | None], name: str) -> None:
    assert evaluate("table.js", "fileName", parts, "csv") == name


@pytest.mark.parametrize("odd", [7, None, {}, []])
def test_csv_without_a_service_has_a_name(page: Page, airflow: StandIn, tmp_path: Path, odd: Any) -> None:
    put(airflow, differing(FOUR) | {"service": odd, "migration_id": odd})
    open_tab(page, airflow)
    name, _ = save(page, tmp_path, page.locator("#check-csv").click)

    assert name.endswith("data-check.csv")


@pytest.mark.parametrize("sandbox", ["", " allow-downloads"])
def test_csv_is_saved_from_the_frame_of_airflow(
    page: Page, airflow: StandIn, tmp_path: Path, sandbox: str
) -> None:
    """Airflow's frame may have a sandbox that forbids downloads."""
    put(airflow, differing(FOUR))
    open_tab(page, airflow)
    address = page.url.replace("&", "&amp;")
    airflow.answers["frame"] = HTMLResponse(
        f'<iframe sandbox="allow-scripts allow-same-origin allow-forms{sandbox}" src="{address}"></iframe>'
    )
    page.goto(f"{airflow.url}/api/v2/frame")
    button = page.frame_locator("iframe").locator("#check-csv")
    wait_for(button.is_visible)
    name, rows = save(page, tmp_path, button.click)

    assert (name, len(rows)) == ("dts-dts1-data-check.csv", 5)
    assert page.locator("body > a").count() == 0


# --- the page of all -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "fields", "said"),
    [
        ("inconsistent", {"tables_different": 12}, "12 tables differ"),
        ("inconsistent", {"tables_different": 1}, "1 table differs"),
        ("inconsistent", {"tables_different": "many"}, "Data differs"),
        ("failed", {"tables_failed": 2}, "2 tables not compared"),
        ("failed", {"tables_failed": 2, "tables_different": 1}, "1 table differs"),
        ("failed", {}, "Data check failed"),
        ("consistent", {"tables_different": 12}, None),
        ("running", {"tables_different": 12}, None),
        ("unknown", {}, None),
        (None, {}, None),
    ],
)
def test_verification_word_is_short(
    evaluate: Callable[..., Any], state: Any, fields: dict[str, Any], said: str | None
) -> None:
    shown = evaluate("verification.js", "dataCheckWord", {"verification": verification(state, **fields)})
    assert shown == said


def test_rows_with_differing_data_come_first(page: Page, airflow: StandIn) -> None:
    differs = verification("inconsistent", tables_different=12)
    put_all(
        airflow,
        [
            (instance(), record(name="paused", state="paused")),
            (instance(), record(name="differs", state="caught_up", verification=differs)),
            (instance(), record(name="broken", state="failed")),
            (instance(), record(name="consistent", verification=verification("consistent"))),
            (instance(), record(name="odd", verification=[None, "inconsistent"])),
            (instance(), record(name="unchecked", verification=verification("failed"))),
            (instance("success"), record(name="done", state="succeeded", verification=differs)),
        ],
    )
    open_list(page, airflow)

    assert names(page) == ["broken", "differs", "unchecked", "paused", "consistent", "odd", "done"]
    words = page.locator("#rows .finding")
    assert words.all_text_contents() == [
        "", "12 tables differ", "Data check failed", "", "", "", "12 tables differ",
    ]  # fmt: skip
    assert [word.is_visible() for word in words.all()] == [False, True, True, False, False, False, True]
    assert page.locator("#summary").text_content() == (
        "6 watched now (1 failed, 1 with data that differs, 1 with a failed data check)"
        " · 1 ended in the last day (1 with data that differs)"
    )
