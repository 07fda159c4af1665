"""The pages never say that all is well where that was not read."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page
from starlette.responses import Response

from tests.browsers import wait_for, wait_in_page_time
from tests.ui.conftest import StandIn
from tests.ui.test_pages import (
    RUNNING,
    TASK,
    TASKS,
    ago,
    instance,
    names,
    open_list,
    open_tab,
    put,
    put_all,
    record,
    standing,
    xcom,
)

pytestmark = pytest.mark.browser

RECORDS = f"{TASK}/xcomEntries/migration_progress"
LISTED = f"{TASKS}/~/xcomEntries"
PROTOTYPE_WORDS = ["constructor", "toString", "__proto__", "hasOwnProperty"]
GARBAGE = [
    500,
    503,
    429,
    [],
    {},
    7,
    Response("{", media_type="application/json"),
    Response("upstream error", media_type="text/plain"),
]


def refuse(airflow: StandIn, path: str, number: int, answer: Any) -> None:
    """Let one task's answer be another."""
    usual = airflow.answers[path]
    airflow.answers[path] = lambda query: answer if query["map_index"] == str(number) else usual(query)


def words(page: Page) -> list[str]:
    return page.locator("#rows td:first-child .badge").all_text_contents()


TWO = [(instance(), record(name="one")), (instance(), record(name="two", state="caught_up"))]


@pytest.mark.parametrize("answer", GARBAGE, ids=str)
def test_row_stays_with_an_unreadable_record(page: Page, airflow: StandIn, answer: Any) -> None:
    put_all(airflow, TWO)
    refuse(airflow, RECORDS, 0, answer)
    open_list(page, airflow)

    assert sorted(names(page)) == ["t", "two"]
    assert "Not read" in words(page)
    assert page.locator("#unread").text_content() == (
        "1 record could not be read. Its row keeps the last known values; retrying automatically."
    )


@pytest.mark.usefixtures("own_page")
def test_row_shows_the_last_record_after_an_error(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put_all(airflow, TWO)
    open_list(page, airflow)
    assert not page.locator("#unread").is_visible()

    put_all(airflow, [(instance(), record(name="new", state="failed"))] * 2)
    airflow.answers[RECORDS] = 503
    wait_in_page_time(page, 16_000, lambda: page.locator("#unread").is_visible())
    assert sorted(names(page)) == ["one", "two"]
    assert (page.locator("#unread").text_content() or "").startswith("2 records could not be read")
    assert page.locator("#rows").inner_text().count("Last known; cannot be read now") == 2

    put_all(airflow, TWO)
    wait_in_page_time(page, 40_000, lambda: not page.locator("#unread").is_visible())


def test_row_disappears_with_a_refused_record(page: Page, airflow: StandIn) -> None:
    put_all(airflow, TWO)
    refuse(airflow, RECORDS, 0, 403)
    open_list(page, airflow)

    assert names(page) == ["two"]
    assert not page.locator("#unread").is_visible()


def test_row_stays_with_an_unreadable_wait_entry(page: Page, airflow: StandIn) -> None:
    put_all(airflow, TWO, {0: standing()})
    airflow.answers[f"{TASK}/xcomEntries/migration_wait"] = 500
    open_list(page, airflow)

    assert sorted(names(page)) == ["one", "two"]
    assert page.locator("#unread").is_visible()


def proxy_page(_query: Any) -> Response:
    return Response("<h1>Not Found</h1>", 404, media_type="text/html; charset=utf-8")


@pytest.mark.parametrize("path", [TASK, RECORDS])
def test_404_page_of_a_proxy_is_an_error_in_the_tab(page: Page, airflow: StandIn, path: str) -> None:
    put(airflow, None, instance("running"))
    airflow.answers[path] = proxy_page
    open_tab(page, airflow)

    assert "HTTP 404" in (page.locator("#trouble").text_content() or "")
    assert not page.locator("#friendly").is_visible()


def test_404_page_of_a_proxy_is_an_error_in_a_row(page: Page, airflow: StandIn) -> None:
    put_all(airflow, TWO)
    refuse(airflow, RECORDS, 0, proxy_page({}))
    open_list(page, airflow)

    assert sorted(words(page)) == ["In sync", "Not read"]
    assert page.locator("#unread").is_visible()


def test_403_of_the_state_store_hides_nothing_else(page: Page, airflow: StandIn) -> None:
    """Show the entry from XCom to a user who may read the task but not its state store."""
    task = instance("running")
    put(airflow, None, task, wait=standing(migration_id="p_1"))
    airflow.answers[f"{TASK}/state-store/migration_progress"] = 403
    open_tab(page, airflow)
    assert page.locator("h1").text_content() == "p_1"
    assert page.locator("#state").text_content() == "No record yet"
    assert not page.locator("#trouble").is_visible()

    put_all(airflow, [(task, None), TWO[1]], {0: standing(migration_id="p_1")})
    open_list(page, airflow)
    assert sorted(names(page)) == ["p_1", "two"]
    assert sorted(words(page)) == ["In sync", "No record yet"]
    assert not page.locator("#unread").is_visible()


@pytest.mark.parametrize(
    "answer", [*GARBAGE, 404, {"task_instances": None}, {"task_instances": [7]}], ids=str
)
@pytest.mark.usefixtures("own_page")
def test_list_that_is_unreadable_is_not_empty(page: Page, airflow: StandIn, answer: Any) -> None:
    page.clock.install()
    put_all(airflow, TWO)
    open_list(page, airflow)
    airflow.answers[TASKS] = answer
    wait_in_page_time(page, 16_000, lambda: page.locator("#trouble").is_visible())
    assert "The values below were read" in (page.locator("#trouble").text_content() or "")
    assert sorted(names(page)) == ["one", "two"]
    assert "No migrations" not in page.locator("body").inner_text()


def test_list_with_a_failed_second_page_is_partial(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [(instance(), None)] * 150)
    usual = airflow.answers[TASKS]
    airflow.answers[TASKS] = lambda query: 503 if query["offset"] != "0" else usual(query)
    page.goto(f"{airflow.url}/migration-ui/migrations.html")

    wait_for(lambda: page.locator("#trouble").is_visible())
    said = page.locator("#summary").text_content() or ""
    assert said == "100 watched now · 0 ended in the last day · 150 still loading"


def test_no_record_yet_is_not_said_while_loading(page: Page, airflow: StandIn) -> None:
    put_all(airflow, TWO)
    usual = airflow.answers[RECORDS]
    released = threading.Event()
    airflow.answers[RECORDS] = lambda query: released.wait(5) and usual(query)
    page.goto(f"{airflow.url}/migration-ui/migrations.html")
    wait_for(lambda: "Loading …" in words(page))
    assert "No record yet" not in words(page)
    assert "still loading" in (page.locator("#summary").text_content() or "")
    released.set()
    wait_for(lambda: sorted(words(page)) == ["In sync", "Running"])
    assert "still loading" not in (page.locator("#summary").text_content() or "")


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("opened", [open_tab, open_list])
@pytest.mark.usefixtures("own_page")
def test_refusal_leaves_nothing_behind(
    page: Page, airflow: StandIn, status: int, opened: Callable[..., None]
) -> None:
    page.clock.install()
    secret = record(name="orders-secret", error={"code": "E", "message": "secret", "remedy": "secret"})
    put_all(airflow, [(instance(), secret)], {0: standing(warnings=["secret"], migration_id="secret")})
    put(airflow, secret, wait=standing(warnings=["secret"]))
    if opened is open_list:
        put_all(airflow, [(instance(), secret)], {0: standing(warnings=["secret"])})
    opened(page, airflow)
    assert "secret" in page.content()

    airflow.answers = {"*": status}
    wait_in_page_time(page, 16_000, lambda: page.locator("#trouble").is_visible())
    left = page.content()
    assert "secret" not in left
    for said in ("Running", "40 %", "watched now"):
        assert said not in page.locator("main").evaluate(
            "main => [...main.querySelectorAll(':not(option)')]"
            ".map((e) => e.children.length ? '' : e.textContent).join()"
        )


@pytest.mark.usefixtures("own_page")
def test_record_committed_late_is_read(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put_all(airflow, TWO)
    open_list(page, airflow)

    put_all(airflow, [(instance("success"), record(name="one", state="succeeded")), TWO[1]])
    usual = airflow.answers[LISTED]

    def late(query: Any) -> Any:
        """List nothing of the first task any more: its entry has a timestamp of long ago."""
        answer = usual(query)
        entries = [entry for entry in answer["xcom_entries"] if entry["map_index"] != 0]
        return {"xcom_entries": entries, "total_entries": len(entries)}

    airflow.answers[LISTED] = late
    wait_in_page_time(page, 16_000, lambda: "Succeeded" in words(page))


@pytest.mark.parametrize(
    "points",
    [
        [[i * 10, 50 - i, None] for i in range(12)],  # falls
        [[i * 10, 50.0 + (i < 6) * i - (i >= 6) * i, None] for i in range(12)],
        [[100, 50.0, None]] * 5,  # all at one moment
        [[i * 10, 50 + i / 1e15, None] for i in range(12)],
    ],
)
def test_estimate_without_a_pace_says_nothing(evaluate: Callable[..., Any], points: list[Any]) -> None:
    assert evaluate("estimate.js", "estimate", RUNNING, points, 115)["kind"] in ("unclear", "still")


def test_estimate_in_the_past_says_nothing(evaluate: Callable[..., Any]) -> None:
    points = [[i * 60, 100.0, 600 - 60 * i] for i in range(10)]
    behind = {"state": "running", "percent": 100, "lag_seconds": 60}
    assert evaluate("estimate.js", "estimate", behind, points, 5000)["kind"] == "unclear"


@pytest.mark.parametrize("odd", [1e18, -1e18, 4e9, -5, 0, math.inf, math.nan, "soon", None, []])
def test_odd_times_do_not_break_the_tab(page: Page, airflow: StandIn, odd: Any) -> None:
    import json

    fields = dict.fromkeys(("deadline", "held_since", "errors_since", "stall_timeout", "poke_interval"), odd)
    put(airflow, record(lag_seconds=json.loads("1e18")), wait=standing())
    wait = standing(hold_for=5, poll_errors=1, **fields)
    airflow.answers[f"{TASK}/xcomEntries/migration_wait"] = xcom(json.dumps(wait))
    open_tab(page, airflow)

    assert page.locator("#migration").is_visible()
    assert not page.locator("#trouble").is_visible()
    shown = page.locator("main").inner_text()
    assert "NaN" not in shown
    assert "Infinity" not in shown
    assert "more than 100 years" in shown


@pytest.mark.parametrize("word", [*PROTOTYPE_WORDS, "none", "loading", "task_failed", "not_read"])
def test_prototype_names_are_unknown_statuses(page: Page, airflow: StandIn, word: str) -> None:
    odd = record(
        state=word,
        service=word,
        service_status=word,
        phases=[{"name": word, "state": word}, {"name": "full", "state": "running"}],
    )
    put(airflow, odd, instance(word, operator=word), wait=standing(targets=[word], outcome=word))
    open_tab(page, airflow)
    assert page.locator("#state").text_content() == "Unknown"
    assert "native code" not in page.content()
    put_all(airflow, [(instance("deferred"), odd)], {0: standing(service=word)})
    open_list(page, airflow)
    assert words(page) == ["Unknown"]
    assert "native code" not in page.content()


DONE = {"outcome": "done", "reason": "Reached."}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (instance("scheduled"), True),
        (instance("queued"), True),
        (instance("deferred"), True),
        (instance("queued", end_date="2026-01-01T00:00:00Z"), True),  # of the second try
        (
            instance("queued", end_date="2999-01-01T00:00:00Z"),
            False,
        ),  # cleared after it had reached the target
        (instance("running"), False),
        (instance("success"), False),
    ],
)
def test_target_reached_is_shown_before_the_task_resumes(
    page: Page, airflow: StandIn, task: dict[str, Any], said: bool
) -> None:
    put(airflow, record(state="caught_up"), task, wait=standing(**DONE))
    open_tab(page, airflow)
    shown = page.locator("#standing").text_content() or ""
    assert shown.startswith("Target reached at ") is said
    assert shown.endswith("; the task resumes when Airflow runs it.") is said
    assert page.locator("#estimate").text_content() == ""

    put_all(airflow, [(task, record(state="caught_up"))], {0: standing(**DONE)})
    open_list(page, airflow)
    assert ("Target reached at" in page.locator("#rows").inner_text()) is said


@pytest.mark.parametrize("value", ["file:///xcom/d/t", "s3://bucket/key", '"gs://b/k"', 7, {"ref": "x"}])
@pytest.mark.parametrize("state", ["deferred", "success"])
def test_custom_backend_reference_is_named(page: Page, airflow: StandIn, value: Any, state: str) -> None:
    put(airflow, value, instance(state))
    open_tab(page, airflow)
    said = page.locator("#friendly").text_content() or ""
    assert "XCom holds a reference of a custom XCom backend" in said
    assert "log" not in said

    put_all(airflow, [(instance(state), value)])
    open_list(page, airflow)
    assert words(page) == ["Not readable here"]


def test_warnings_are_shown_and_bounded(page: Page, airflow: StandIn) -> None:
    told = ["DRS v5 was refused <b>", 7, None, "", *["x" * 9000] * 30]
    put(airflow, record(), wait=standing(warnings=told))
    open_tab(page, airflow)
    items = page.locator("#warnings-list li").all_text_contents()
    assert items[0] == "DRS v5 was refused <b>"
    assert len(items) == 21
    assert len(items[1]) < 2100

    put_all(airflow, TWO, {0: standing(warnings=told), 1: standing(warnings="text")})
    open_list(page, airflow)
    marks = page.locator("#rows .mark:not([hidden])")
    assert marks.count() == 1
    assert (marks.get_attribute("title") or "").startswith("DRS v5 was refused <b>")
    assert (marks.get_attribute("aria-label") or "").startswith("Warning: DRS v5")
    assert len(marks.get_attribute("title") or "") < 600


def triggered(taken_up: float | None, created: float = 900) -> dict[str, Any]:
    """Return a deferred task whose triggerer was alive so many seconds ago, or that none has taken up."""
    triggerer = None if taken_up is None else {"latest_heartbeat": ago(taken_up)}
    return instance(trigger={"created_date": ago(created)}, triggerer_job=triggerer)


@pytest.mark.parametrize(
    ("task", "deadline", "said"),
    [
        (lambda: triggered(5), 60, None),
        (lambda: triggered(300), 60, "Its triggerer was last alive"),
        (lambda: triggered(None, created=300), 60, "No triggerer has taken it up"),
        (lambda: triggered(None, created=5), 60, None),
        (lambda: instance(trigger=None), 60, None),
        (lambda: triggered(5), -30, None),
        (lambda: triggered(5), -600, "The wait timed out"),
    ],
)
def test_wait_without_polls_is_named(
    page: Page, airflow: StandIn, task: Callable[[], dict[str, Any]], deadline: float, said: str | None
) -> None:
    wait = standing(deadline=time.time() + deadline)
    put(airflow, record(), task(), wait=wait)
    open_tab(page, airflow)
    note = page.locator("#unattended")
    assert note.is_visible() is (said is not None)
    assert (note.text_content() or "").startswith(said or "")

    put_all(airflow, [(task(), record())], {0: wait})
    open_list(page, airflow)
    assert ("Nothing polls now" in page.locator("#rows").inner_text()) is (said is not None)


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.usefixtures("own_page")
def test_age_follows_the_clock_of_airflow(page: Page, airflow: StandIn, hours: int) -> None:
    page.clock.install(time=time.time() + hours * 3600)
    put(airflow, record(observed_at=ago(630)))
    open_tab(page, airflow)
    assert (page.locator("#seen").text_content() or "").startswith("10 min")


@pytest.mark.usefixtures("own_page")
def test_tab_without_refresh_says_since_when(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put(airflow, record())
    open_tab(page, airflow)
    released = threading.Event()
    airflow.answers[TASK] = lambda _: released.wait(5) and 503
    page.clock.fast_forward(6_000)
    page.clock.fast_forward(120_000)
    wait_for(lambda: "The values below were read 2 min" in (page.locator("#trouble").text_content() or ""))
    released.set()


@pytest.mark.usefixtures("own_page")
def test_next_try_shows_nothing_of_the_last(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put(airflow, record(state="caught_up"))
    open_tab(page, airflow)
    put(airflow, None, instance("running", try_number=2))
    told = page.locator("#friendly")
    wait_in_page_time(page, 6_000, lambda: "No record of the migration yet" in (told.text_content() or ""))
    assert not page.locator("#migration").is_visible()
