"""The Migrations page groups by DAG run what a run watches, and looks back further than a day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Locator, Page
from starlette.responses import Response

from tests.browsers import wait_for, wait_in_page_time
from tests.ui.conftest import StandIn
from tests.ui.test_pages import (
    HOSTILE,
    ROW,
    TASKS,
    ago,
    failing,
    instance,
    names,
    open_list,
    path_of,
    put_all,
    record,
)

pytestmark = pytest.mark.browser

NOW = 1_800_000_000
Row = tuple[dict[str, Any], dict[str, Any] | None]


def row(run: str, name: str, task: str = "deferred", **fields: Any) -> Row:
    """Return a task of a DAG run, and its record."""
    return instance(task, dag_run_id=run), record(name=name, **fields)


WAVE: list[Row] = [
    row("wave", "copying", percent=40.0, remaining_seconds=3600, remaining_source="estimate"),
    row("wave", "copying too", percent=10.0, remaining_seconds=7200, remaining_source="service"),
    row("wave", "lagging", percent=100.0, lag_seconds=500),
    row("wave", "in sync", "success", state="caught_up", percent=99.0, lag_seconds=9000),
    row("alone", "alone", percent=20.0),
    row("other", "broken", "failed", state="failed", percent=5.0),
    row("other", "paused", state="paused", percent=70.0),
]


def heads(page: Page) -> Locator:
    return page.locator("#rows .wave button")


def sums(page: Page, number: int = 0) -> list[str]:
    """Return the visible texts of a wave's head."""
    return [
        text
        for text in page.locator("#rows .wave").nth(number).locator(".sums > span").all_inner_texts()
        if text
    ]


def badges(page: Page, number: int = 0) -> list[str]:
    return page.locator("#rows .wave").nth(number).locator(".badge").all_inner_texts()


# --- groups --------------------------------------------------------------------------------------------


def test_wave_is_grouped_by_dag_run(page: Page, airflow: StandIn) -> None:
    put_all(airflow, WAVE)
    open_list(page, airflow)

    # A run stands where its most urgent migration stands.
    assert names(page) == [
        "paused", "broken", "alone", "copying", "copying too", "lagging", "in sync",
    ]  # fmt: skip
    assert [text.split("\n") for text in heads(page).all_inner_texts()] == [["d", "other"], ["d", "wave"]]
    assert [group.get_attribute("scope") for group in page.locator("#rows .wave > *").all()] == [
        "rowgroup",
        "rowgroup",
    ]


def test_wave_has_counts_worst_lag_and_end(page: Page, airflow: StandIn) -> None:
    put_all(airflow, WAVE, {2: failing()})
    open_list(page, airflow)

    assert badges(page, 1) == ["3 Running", "1 In sync"]
    size, lag, end, findings = sums(page, 1)
    assert size == "4 migrations, 3 watched now"
    assert lag == "Worst lag 8 min 20 s (lagging)"  # the one that has ended is further behind
    at = datetime.fromtimestamp(time.time() + 7195, UTC)
    assert end.startswith(f"Existing data copied by {at.day} {at:%b}, ")
    assert end.endswith(" UTC (in about 2 h)")
    assert findings == "1 with failing polls"
    assert badges(page, 0) == ["1 Failed", "1 Paused"]
    assert sums(page, 0) == ["2 migrations, 1 watched now", "End of the copy unknown: 1 without a time left"]


def test_wave_counts_end_of_task_apart_from_state(page: Page, airflow: StandIn) -> None:
    put_all(
        airflow,
        [
            row("wave", "timed out", "failed"),
            row("wave", "given up", "skipped"),
            row("wave", "fine", "success"),
        ],
    )
    open_list(page, airflow)

    assert badges(page) == ["3 Running"]
    assert sums(page) == [
        "3 migrations, none watched now",
        "1 with a failed task, 1 with a skipped task",
    ]


def test_single_migration_has_no_head(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [row("one", "a"), row("two", "b"), row("three", "c")])
    open_list(page, airflow)

    assert names(page) == ["a", "b", "c"]
    assert heads(page).count() == 0


def test_migrations_that_are_not_listed_are_counted(page: Page, airflow: StandIn) -> None:
    """Tasks that ended before the range or without a record must not make a wave look complete."""
    rows = [row("wave", "a"), (instance("skipped", dag_run_id="wave"), None), row("wave", "c")]
    old = instance("success", dag_run_id="wave") | {"end_date": ago(2 * 86_400)}
    put_all(airflow, [*rows, (old, None), row("wave", "e")])
    open_list(page, airflow)

    assert names(page) == ["a", "c", "e"]
    assert sums(page)[-1] == "2 more not listed"


def test_hostile_names_are_text_in_a_head(page: Page, airflow: StandIn) -> None:
    wave = [row("wave", HOSTILE, lag_seconds=1, percent=100.0), row("wave", HOSTILE)]
    put_all(airflow, [(task | {"dag_display_name": HOSTILE}, known) for task, known in wave])
    open_list(page, airflow)

    assert heads(page).locator(".name").inner_text() == HOSTILE
    assert sums(page)[1] == f"Worst lag 1 s ({HOSTILE})"
    assert page.locator("img").count() == 0
    assert page.title() == "Migrations"


# --- figures -------------------------------------------------------------------------------------------


def migration(**fields: Any) -> dict[str, Any]:
    task = {"task": "t", "mapIndex": -1}
    seen = {"state": "running", "observed_at": "2027-01-15T07:59:00Z", **fields}
    return {"task": task, "instance": {"state": "deferred", "start_date": "x"}, "record": seen, "wait": None}


BULK = migration(remaining_seconds=660, remaining_source="estimate")
LONGER = migration(remaining_seconds=1260, remaining_source="service")
LATE = migration(remaining_seconds=1, remaining_source="service")
SILENT = migration()
CATCHING_UP = migration(lag_seconds=3)
NO_RECORD = {**migration(), "record": None}


@pytest.mark.parametrize(
    ("wave", "at", "unknown"),
    [
        ([BULK, LONGER], NOW + 1200, 0),
        ([LONGER, BULK, CATCHING_UP], NOW + 1200, 0),
        ([BULK, SILENT, NO_RECORD], NOW + 600, 2),
        ([BULK, LATE], NOW + 600, 1),
        ([SILENT], None, 1),
        ([migration(state="paused"), migration(state="pending"), migration(state="unknown")], None, 3),
        ([migration(state="later than this version")], None, 1),
        ([CATCHING_UP, migration(state="caught_up"), migration(state="failed")], None, 0),
        ([migration(lag_seconds=False), migration(lag_seconds="3")], None, 2),
        ([migration(remaining_seconds=False, remaining_source="service")], None, 1),
        ([{**LONGER, "instance": {"state": "success"}}, BULK], NOW + 600, 0),
        ([{**SILENT, "instance": {"state": "failed"}}, BULK], NOW + 600, 0),
        ([], None, 0),
    ],
)
def test_expected_end_is_of_the_last_copy(
    evaluate: Callable[..., Any], wave: list[Any], at: float | None, unknown: int
) -> None:
    assert evaluate("waves.js", "expectedEnd", wave, NOW) == {"at": at, "unknown": unknown}


@pytest.mark.parametrize(
    ("at", "unknown", "said"),
    [
        (None, 0, None),
        (None, 1, "End of the copy unknown: 1 without a time left"),
        (NOW + 5400, 0, "Existing data copied by 15 Jan, 09:30 UTC (in about 1.5 h)"),
        (NOW + 60, 1200, "Existing data copied by 15 Jan, 08:01 UTC (in about 1 min) at the earliest: "
         "1,200 without a time left"),
    ],
)  # fmt: skip
def test_expected_end_says_who_is_silent(
    evaluate: Callable[..., Any], at: float | None, unknown: int, said: str | None
) -> None:
    assert evaluate("waves.js", "endText", {"at": at, "unknown": unknown}, NOW) == said


@pytest.mark.parametrize(
    ("wave", "worst"),
    [
        (
            [migration(lag_seconds=3, name="a"), migration(lag_seconds=7, name="b")],
            {"seconds": 7, "name": "b"},
        ),
        ([migration(lag_seconds=0, name="a"), SILENT], {"seconds": 0, "name": "a"}),
        ([{**migration(lag_seconds=9), "instance": {"state": "success"}}], None),
        ([migration(lag_seconds=False), migration(lag_seconds="9"), NO_RECORD], None),
    ],
)
def test_worst_lag_is_of_those_watched(evaluate: Callable[..., Any], wave: list[Any], worst: Any) -> None:
    assert evaluate("waves.js", "worstLag", wave) == worst


def of_task(task: str, *indexes: int) -> list[dict[str, Any]]:
    return [{"task": {"task": task, "mapIndex": index}} for index in indexes]


@pytest.mark.parametrize(
    ("listed", "unlisted", "count"),
    [
        (of_task("t", 0, 1, 2), [], 0),
        (of_task("t", 0, 4), [], 3),
        (of_task("t", 4), of_task("t", 0), 4),
        (of_task("t", -1), of_task("u", -1), 1),
        ([*of_task("t", 0, 1), *of_task("u", 1)], [], 1),
    ],
)
def test_gaps_in_map_indexes_are_counted(
    evaluate: Callable[..., Any], listed: list[Any], unlisted: list[Any], count: int
) -> None:
    assert evaluate("waves.js", "countUnlisted", listed, unlisted) == count


# --- filters, order, collapsing ------------------------------------------------------------------------


def test_filter_hides_empty_waves_and_says_of_how_many(page: Page, airflow: StandIn) -> None:
    put_all(airflow, WAVE)
    open_list(page, airflow)
    page.fill("#search", "copying")

    assert names(page) == ["copying", "copying too"]
    assert heads(page).count() == 1
    assert sums(page)[0] == "2 of 4 migrations match, 3 watched now"
    # What the head says of the wave does not depend on the filter.
    assert badges(page) == ["3 Running", "1 In sync"]
    page.fill("#search", "in sync")
    assert sums(page)[0] == "1 of 4 migrations match, 3 watched now"


def test_columns_sort_waves_by_their_first_row(page: Page, airflow: StandIn) -> None:
    put_all(airflow, WAVE)
    open_list(page, airflow)
    column = page.locator("th[data-column=percent] button")
    column.click()
    assert names(page) == ["broken", "paused", "copying too", "copying", "in sync", "lagging", "alone"]
    column.click()
    assert names(page) == ["lagging", "in sync", "copying", "copying too", "paused", "broken", "alone"]


def test_wave_collapses_by_keyboard(page: Page, airflow: StandIn) -> None:
    put_all(airflow, WAVE)
    open_list(page, airflow)
    head = page.get_by_role("button", name="d wave")
    assert head.get_attribute("aria-expanded") == "true"
    head.focus()
    page.keyboard.press("Enter")

    assert head.get_attribute("aria-expanded") == "false"
    assert head.evaluate("head => head === document.activeElement")
    assert names(page) == ["paused", "broken", "alone"]
    assert page.locator("#count").inner_text() == "3 of 7 shown."
    page.keyboard.press("Space")
    assert len(names(page)) == 7


@pytest.mark.usefixtures("own_page")
def test_collapsed_wave_stays_collapsed(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put_all(airflow, WAVE)
    open_list(page, airflow)
    page.get_by_role("button", name="d wave").click()

    put_all(airflow, [*WAVE[:2], row("wave", "lagging", state="failed"), *WAVE[3:]])
    wait_in_page_time(page, 61_000, lambda: "1 Failed" in badges(page, 1))
    assert names(page) == ["paused", "broken", "alone"]

    open_list(page, airflow)  # a user who comes back
    assert names(page) == ["paused", "broken", "alone"]
    page.get_by_role("button", name="d wave").click()
    assert len(names(page)) == 7


def test_wave_shows_more_of_its_rows(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [row("wave", f"shard {i:03}") for i in range(130)] + [row("other", "x")])
    open_list(page, airflow)
    assert names(page) == [*(f"shard {i:03}" for i in range(20)), "x"]

    page.get_by_role("button", name="Show 100 more of 110").click()
    assert len(names(page)) == 121
    page.get_by_role("button", name="Show 10 more", exact=True).click()
    assert len(names(page)) == 131
    assert page.evaluate("document.activeElement.textContent") == "shard 120"
    assert page.locator("#rows .more").count() == 0


@pytest.mark.usefixtures("own_page")
@pytest.mark.parametrize("width", [1280, 400])
def test_head_fits_the_window(page: Page, airflow: StandIn, width: int) -> None:
    """A head is as wide as what is seen of the table, and stays there when the table scrolls sideways."""
    page.set_viewport_size({"width": width, "height": 900})
    put_all(airflow, [row("wave", f"shard {i:03}") for i in range(30)])
    open_list(page, airflow)
    frame = page.locator("#frame")
    scrolls = frame.evaluate("frame => frame.scrollWidth > frame.clientWidth")
    assert scrolls is (width == 400)
    frame.evaluate("frame => { frame.scrollLeft = 300; }")

    for part in (page.locator(".wave .inside"), page.locator(".more .inside")):
        box, around = part.bounding_box(), frame.bounding_box()
        assert box is not None
        assert around is not None
        assert around["x"] < box["x"]
        assert box["x"] + box["width"] < around["x"] + around["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_waves_beyond_the_screen_are_shown_on_demand(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [row(f"run {i // 30}", f"shard {i:03}") for i in range(210)])
    open_list(page, airflow)
    assert heads(page).count() == 5
    page.get_by_role("button", name="Show more", exact=True).click()
    assert heads(page).count() == 7
    assert not page.get_by_role("button", name="Show more", exact=True).is_visible()


# --- the range -----------------------------------------------------------------------------------------

DAYS = {"today": 3600, "this week": 3 * 86_400, "this month": 20 * 86_400, "long ago": 40 * 86_400}


def put_days(airflow: StandIn) -> None:
    tasks = [instance("success", dag_run_id=name) | {"end_date": ago(age)} for name, age in DAYS.items()]
    put_all(airflow, [(task, record(name=task["dag_run_id"], state="succeeded")) for task in tasks])
    usual = airflow.answers[f"{TASKS}/~/xcomEntries"]

    def listed(query: Any) -> Any:
        answer = usual(query)
        for entry in answer["xcom_entries"]:
            entry["timestamp"] = ago(DAYS[entry["run_id"]])
        return answer

    airflow.answers[f"{TASKS}/~/xcomEntries"] = listed


@pytest.mark.parametrize(
    ("query", "days", "found"),
    [
        ("", "1", ["today"]),
        ("?days=7", "7", ["today", "this week"]),
        ("?days=30", "30", ["today", "this week", "this month"]),
        ("?days=8", "1", ["today"]),
        ("?days=constructor", "1", ["today"]),
    ],
)
def test_range_comes_from_the_address(
    page: Page, airflow: StandIn, query: str, days: str, found: list[str]
) -> None:
    put_days(airflow)
    open_list(page, airflow, query)
    assert page.url.partition("?")[1:] == (("?", f"days={days}") if days != "1" else ("", ""))

    assert page.locator("#days").input_value() == days
    assert names(page) == found


def test_range_is_kept_in_the_address(page: Page, airflow: StandIn) -> None:
    put_days(airflow)
    open_list(page, airflow, "?x=1")
    page.get_by_label("Ended in the last").select_option("30 days")
    wait_for(lambda: len(names(page)) == 3)
    wait_for(lambda: (page.locator("#summary").text_content() or "").endswith(" ended in the last 30 days"))
    assert page.url.endswith("/migrations.html?x=1&days=30")

    page.get_by_label("Ended in the last").select_option("day")
    assert names(page) == ["today"]
    assert page.url.endswith("/migrations.html?x=1")
    wait_for(lambda: page.locator("#summary").text_content() == "0 watched now · 1 ended in the last day")


def test_range_chosen_while_reading_is_read_at_once(page: Page, airflow: StandIn) -> None:
    put_days(airflow)
    path = f"{path_of(instance(dag_run_id='today'))}/xcomEntries/migration_progress"
    usual = airflow.answers[path]
    released = threading.Event()
    airflow.answers[path] = lambda query: released.wait(10) and usual(query)
    page.goto(f"{airflow.url}/migration-ui/migrations.html")
    wait_for(lambda: path in airflow.asked)
    page.select_option("#days", "30")
    assert (page.locator("#summary").text_content() or "").endswith("still loading")
    released.set()

    wait_for(
        lambda: names(page) == ["today", "this week", "this month"], 10
    )  # the next refresh is after 15 s


def test_range_can_be_chosen_without_migrations(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [(instance("success") | {"end_date": ago(3 * 86_400)}, record(name="old"))])
    listed = airflow.answers[f"{TASKS}/~/xcomEntries"]
    airflow.answers[f"{TASKS}/~/xcomEntries"] = {"xcom_entries": [], "total_entries": 0}
    open_list(page, airflow)
    assert "none has ended in the last day" in page.locator("#friendly").inner_text()

    airflow.answers[f"{TASKS}/~/xcomEntries"] = listed
    page.select_option("#days", "7")
    wait_for(lambda: names(page) == ["old"])


@pytest.mark.usefixtures("own_page")
def test_range_in_a_frame_is_in_the_outer_address(page: Page, airflow: StandIn) -> None:
    """Airflow shows the page in a sandboxed frame; the address that a person copies is Airflow's."""
    put_days(airflow)
    frame = (
        '<iframe sandbox="allow-scripts allow-same-origin allow-forms" src="../migration-ui/migrations.html">'
    )
    page.route("**/plugin/migrations*", lambda route: route.fulfill(body=frame, content_type="text/html"))
    page.goto(f"{airflow.url}/plugin/migrations?days=7")
    inside = page.frame_locator("iframe")
    rows = inside.locator("#rows th[scope=row] a")
    wait_for(lambda: rows.all_text_contents() == ["today", "this week"])
    page.evaluate("history.replaceState({ idx: 3 }, '')")

    inside.locator("#days").select_option("30")
    wait_for(lambda: len(rows.all_text_contents()) == 3)
    assert page.url == f"{airflow.url}/plugin/migrations?days=30"
    assert page.evaluate("history.state") == {"idx": 3}
    # Airflow 3.3 copies the frame's address into its own.
    assert page.frames[1].url == f"{airflow.url}/migration-ui/migrations.html?days=30"


# --- many ----------------------------------------------------------------------------------------------

MANY = 2000


def many() -> list[Row]:
    return [row(f"run {i % 10}", f"shard {i:04}", percent=i % 100) for i in range(MANY)]


COUNT_CHANGES = """() => {
  window.changes = 0;
  const options = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver((changes) => {
    const isAge = ({ target }) => (target.closest ? target : target.parentElement)?.closest("time");
    window.changes += changes.filter((change) => !isAge(change)).length;
  }).observe(document.getElementById("rows"), options);
}"""


@pytest.mark.usefixtures("own_page")
def test_refresh_of_2000_rows_changes_only_what_is_new(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put_all(airflow, many())
    open_list(page, airflow)
    assert page.locator("#count").inner_text() == "100 of 2,000 shown."
    assert len([path for path in airflow.asked if path.endswith("migration_progress")]) == MANY
    assert len([path for path in airflow.asked if path.endswith("migration_wait")]) == 100  # on the screen
    page.evaluate(COUNT_CHANGES)

    def refresh() -> None:
        before = airflow.answered.count(TASKS)
        wait_in_page_time(page, 16_000, lambda: airflow.answered.count(TASKS) > before)
        airflow.wait_until_quiet()
        page.evaluate("0")

    airflow.asked.clear()
    airflow.answered.clear()
    refresh()
    assert page.evaluate("window.changes") == 0
    # All tasks are listed again, and no record: they have not changed.
    assert len([path for path in airflow.asked if path == TASKS]) <= 2 * (MANY // 100 + 1)
    assert not [path for path in airflow.asked if path.endswith("migration_progress")]

    path = f"{path_of(instance(dag_run_id='run 0'))}/xcomEntries/migration_progress"
    usual = airflow.answers[path]
    changed = {"value": record(name="shard 0000", percent=77.0), "timestamp": ago(0)}
    entry = {
        "dag_id": "d",
        "run_id": "run 0",
        "task_id": "t",
        "map_index": 0,
        "timestamp": changed["timestamp"],
    }
    airflow.answers[path] = lambda query: changed if query["map_index"] == "0" else usual(query)
    airflow.answers[f"{TASKS}/~/xcomEntries"] = lambda query: {
        "xcom_entries": [entry] if query["xcom_key"] == "migration_progress" else [],
        "total_entries": 1,
    }
    wait_in_page_time(page, 16_000, lambda: "77 %" in page.locator("#rows").inner_text())
    assert 0 < page.evaluate("window.changes") < 20


@pytest.mark.usefixtures("own_page")
def test_refresh_does_not_list_again_what_ended_long_ago(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    rows = [row("wave", f"shard {i:03}", "success", state="succeeded") for i in range(250)]
    put_all(airflow, [(task | {"end_date": ago(600)}, known) for task, known in rows])
    usual = airflow.answers[TASKS]
    listed: list[int] = []

    def noted(query: Any) -> Any:
        answer = usual(query)
        if "success" in query.getlist("state"):
            listed.append(len(answer["task_instances"]))
        return answer

    airflow.answers[TASKS] = noted
    open_list(page, airflow)
    assert sorted(listed) == [50, 100, 100]
    listed.clear()
    page.clock.fast_forward(61_000)
    wait_for(lambda: listed)
    airflow.wait_until_quiet()
    page.evaluate("0")

    assert set(listed) == {0}
    assert sums(page)[0] == "250 migrations, none watched now"
    # Nor is each of them read by itself.
    assert not [path for path in airflow.asked if path.startswith(path_of(rows[0][0]) + "/1")]


def test_rows_come_before_the_end_of_a_long_list(page: Page, airflow: StandIn) -> None:
    """The first page of a list is shown, and the page says how much is still missing."""
    put_all(airflow, many())
    usual = airflow.answers[TASKS]
    airflow.answers[TASKS] = lambda query: usual(query) if query["offset"] == "0" else 503
    page.goto(f"{airflow.url}/migration-ui/migrations.html")
    wait_for(lambda: page.locator(ROW).count() > 0)
    wait_for(lambda: page.locator("#trouble").is_visible())

    assert (page.locator("#summary").text_content() or "").endswith(" · 2,000 still loading")


def test_long_lists_are_read_with_few_requests_at_once(page: Page, airflow: StandIn) -> None:
    put_all(airflow, many())
    state = {"now": 0, "most": 0}
    usual = airflow.answers[TASKS]
    offsets: list[int] = []

    def counted(query: Any) -> Any:
        state["now"] += 1
        state["most"] = max(state["most"], state["now"])
        time.sleep(0.02)
        answer = usual(query)
        if answer["total_entries"]:
            offsets.append(int(query["offset"]))
        state["now"] -= 1
        return answer

    airflow.answers[TASKS] = counted
    page.goto(f"{airflow.url}/migration-ui/migrations.html")
    wait_for(lambda: len(offsets) == MANY // 100)

    assert sorted(offsets) == list(range(0, MANY, 100))
    assert 1 < state["most"] <= 4


def test_list_with_a_lower_limit_is_read_completely(page: Page, airflow: StandIn) -> None:
    """An administrator can set Airflow's page size below 100."""
    put_all(airflow, [row("wave", f"shard {i:03}") for i in range(95)])
    for path, name in ((TASKS, "task_instances"), (f"{TASKS}/~/xcomEntries", "xcom_entries")):
        usual = airflow.answers[path]

        def fewer(query: Any, usual: Any = usual, name: str = name) -> Any:
            answer = usual(query)
            return {**answer, name: answer[name][:10]}

        airflow.answers[path] = fewer
    open_list(page, airflow)

    assert sums(page)[0] == "95 migrations, 95 watched now"


def test_list_without_a_total_is_read_completely(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [row("wave", f"shard {i:03}") for i in range(250)])
    usual = airflow.answers[TASKS]
    airflow.answers[TASKS] = lambda query: {**usual(query), "total_entries": None}
    open_list(page, airflow)

    assert sums(page)[0] == "250 migrations, 250 watched now"


def test_list_that_is_too_long_is_named(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [row("wave", f"shard {i:03}") for i in range(120)])
    airflow.answers[f"{TASKS}/~/xcomEntries"] = lambda query: {
        "xcom_entries": [
            {"dag_id": "d", "run_id": "wave", "task_id": "t", "map_index": i % 120, "timestamp": ago(1)}
            for i in range(100)
        ],
        "total_entries": 9999,
    }
    page.goto(f"{airflow.url}/migration-ui/migrations.html")
    wait_for(lambda: page.locator("#cut").is_visible())

    assert page.locator("#cut").inner_text() == (
        "Only the latest 2,000 were read: there may be more migrations than are shown, also in a wave."
    )


def test_proxy_page_for_a_second_page_is_an_error(page: Page, airflow: StandIn) -> None:
    put_all(airflow, many())
    usual = airflow.answers[TASKS]
    login = Response("<h1>Log in</h1>", media_type="text/html")
    airflow.answers[TASKS] = lambda query: usual(query) if query["offset"] == "0" else login
    page.goto(f"{airflow.url}/migration-ui/migrations.html")

    wait_for(lambda: "session has ended" in (page.locator("#trouble").text_content() or ""))
    assert page.locator("#rows tbody").count() == 0


@pytest.mark.usefixtures("own_page")
def test_refusal_of_one_list_leaves_nothing_of_the_others(page: Page, airflow: StandIn) -> None:
    """A list that is slower than the refusal must not bring rows back."""
    put_all(airflow, WAVE)
    usual = airflow.answers[TASKS]

    def slow(query: Any) -> Any:
        time.sleep(0.5)
        return usual(query)

    airflow.answers[TASKS] = slow
    airflow.answers[f"{TASKS}/~/xcomEntries"] = 403
    page.goto(f"{airflow.url}/migration-ui/migrations.html")
    wait_for(lambda: "does not allow" in (page.locator("#trouble").text_content() or ""))
    airflow.wait_until_quiet()
    page.wait_for_timeout(200)

    assert page.locator("#rows tbody").count() == 0
    assert page.locator("#summary").text_content() == ""
