"""The pages before answers of every kind; a real Airflow shows them in ``tests/system/test_ui.py``."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, Request

from tests.browsers import wait_for, wait_in_page_time
from tests.ui.conftest import StandIn

pytestmark = pytest.mark.browser

RUN = "manual__2026-01-01T00:00:00+00:00"
TASK = f"dags/d/dagRuns/{RUN}/taskInstances/t"
HOSTILE = "<script>document.title='owned'</script>\"><img src=x onerror=\"document.title='owned'\">"


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def record(**fields: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "service": "dts",
        "migration_id": "dts1",
        "name": "orders",
        "state": "running",
        "service_status": "Migrating",
        "percent": 40.0,
        "phases": [
            {"name": "structure", "state": "succeeded", "percent": 100.0, "done": 24, "total": None},
            {"name": "full", "state": "running", "percent": 12.5, "done": 1250, "total": 10000},
            {"name": "incremental", "state": "pending", "percent": None},
        ],
        "lag_seconds": None,
        "checkpoint": None,
        "error": None,
        "objects": None,
        "verification": None,
        "throughput": None,
        "remaining_seconds": None,
        "remaining_source": None,
        "retrying": None,
        "observed_at": ago(5),
        "request_id": "request-1",
        "console_url": "https://dts.console.aliyun.com/",
        **fields,
    }


def instance(state: str | None = "deferred", **fields: Any) -> dict[str, Any]:
    return {
        "dag_id": "d",
        "dag_run_id": RUN,
        "task_id": "t",
        "map_index": -1,
        "state": state,
        "operator": "DtsMigrationJobSensor",
        "try_number": 1,
        "start_date": ago(60),
        # In whole seconds, so that tasks that are made together have ended together.
        "end_date": ago(1)[:19] + "Z" if state in ("success", "failed") else None,
        "dag_display_name": "d",
        "task_display_name": "t",
        "rendered_map_index": None,
        **fields,
    }


def xcom(value: Any, written: float = 0) -> dict[str, Any]:
    """Return an XCom that was written so many seconds ago."""
    return {"key": "k", "value": value, "timestamp": ago(written)}


def standing(**fields: Any) -> dict[str, Any]:
    """Return what is told of a wait."""
    now = time.time()
    return {
        "targets": ["caught_up"],
        "max_lag": 60,
        "hold_for": 0,
        "stall_timeout": None,
        "poke_interval": 60,
        "exponential_backoff": False,
        "started_at": now - 300,
        "deadline": now + 7200,
        "held_since": None,
        "poll_errors": 0,
        "max_poll_errors": 5,
        "errors_since": None,
        "last_error": None,
        "outcome": None,
        "reason": None,
        **fields,
    }


def failing(**fields: Any) -> dict[str, Any]:
    """Return what is told of a wait whose last three polls failed."""
    error = "DTS DescribeMigrationJobStatus: HTTP 503."
    return standing(poll_errors=3, errors_since=time.time() - 180, last_error=error, **fields)


def put(
    airflow: StandIn,
    value: Any,
    task: dict[str, Any] | None = None,
    history: Any = None,
    wait: dict[str, Any] | None = None,
) -> None:
    airflow.answers[TASK] = instance() if task is None else task
    airflow.answers[f"{TASK}/xcomEntries/migration_wait"] = 404 if wait is None else xcom(wait)
    airflow.answers[f"{TASK}/xcomEntries/migration_progress"] = 404 if value is None else xcom(value, 1)
    airflow.answers[f"{TASK}/xcomEntries/migration_history"] = 404 if history is None else xcom(history)


def open_tab(page: Page, airflow: StandIn, map_index: str = "{MAP_INDEX}") -> None:
    query = urlencode({"dag_id": "d", "run_id": RUN, "task_id": "t", "map_index": map_index})
    page.goto(f"{airflow.url}/migration-ui/migration.html?{query}")
    wait_for(lambda: page.locator("main").get_attribute("aria-busy") is None)


def lines(part: Locator) -> list[str]:
    return [line for line in part.inner_text().split("\n") if line]


def value_of(bar: Locator) -> str | None:
    return bar.get_attribute("aria-valuenow")


# --- how things are said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 40, "40 d"),
    ],
)
def test_durations_have_two_units_at_most(evaluate: Callable[..., Any], seconds: float, said: str) -> None:
    assert evaluate("format.js", "duration", seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, "a few seconds"),
        (32, "about 30 s"),
        (58, "about 1 min"),
        (250, "about 4 min"),
        (3500, "about 1 h"),
        (5000, "about 1.5 h"),
        (50_000, "about 14 h"),
        (200_000, "about 2 days"),
    ],
)
def test_estimate_is_rounded(evaluate: Callable[..., Any], seconds: float, said: str) -> None:
    assert evaluate("format.js", "roughly", seconds) == said


def line(count: int, start: float, step: float, every: float = 60) -> list[list[float | None]]:
    """Return percents that rise evenly."""
    return [[i * every, start + i * step, None] for i in range(count)]


def lags(count: int, start: float, step: float, every: float = 60) -> list[list[float | None]]:
    return [[i * every, 100.0, start + i * step] for i in range(count)]


RUNNING = {"state": "running", "percent": 50, "lag_seconds": None}
ESTIMATED = {
    **RUNNING,
    "remaining_seconds": 900,
    "remaining_source": "estimate",
    "observed_at": "1970-01-01T00:10:00Z",
}
BEHIND = {"state": "running", "percent": 100, "lag_seconds": 500}


@pytest.mark.parametrize(
    ("state", "points", "now", "kind", "seconds"),
    [
        # The pace of the points says otherwise, but the record's figure counts.
        (ESTIMATED, line(11, 40, 1), 600, "bulk", 900),
        (ESTIMATED, line(11, 40, 1), 660, "bulk", 840),
        (ESTIMATED, [], 600, "bulk", 900),
        (RUNNING, line(11, 40, 1), 600, "unclear", None),
        (RUNNING, [], 0, "unclear", None),
        # The record of a copy that stalls is not written again.
        (ESTIMATED, line(11, 50, 0), 600, "still", 600),
        (ESTIMATED, line(11, 40, 1), 1400, "still", 800),
        (RUNNING, line(11, 40, 1), 5000, "still", 4400),
        # One that changes seldom is not taken for one that stands still.
        (ESTIMATED, [[i * 60, 50 + 0.1 * (i // 15), None] for i in range(20)], 1400, "bulk", 100),
        ({**ESTIMATED, "lag_seconds": 500}, lags(11, 600, -10), 600, "sync", 3000),
        (BEHIND, lags(11, 600, -10), 600, "sync", 3000),
        (BEHIND, lags(11, 400, 10), 600, "behind", None),
        (BEHIND, lags(11, 500, 0), 600, "steady", None),
        (BEHIND, lags(2, 500, -10), 60, "unclear", None),
        ({**RUNNING, "state": "paused"}, line(11, 40, 1), 600, "none", None),
        ({**RUNNING, "state": "succeeded"}, line(11, 40, 1), 600, "none", None),
        ({**RUNNING, "percent": None}, line(11, 40, 1), 600, "unclear", None),
        # A record that has stood for five polls and more is of one that does not move.
        ({**RUNNING, "observed_at": "1970-01-01T00:05:00Z"}, [], 599, "unclear", None),
        ({**RUNNING, "observed_at": "1970-01-01T00:05:00Z"}, [], 660, "still", 360),
        ({**RUNNING, "percent": 0, "observed_at": "1970-01-01T00:05:00Z"}, line(9, 0, 0), 660, "still", 360),
        ({**BEHIND, "observed_at": "1970-01-01T00:05:00Z"}, lags(2, 500, -10), 660, "still", 360),
        ({**BEHIND, "observed_at": "1970-01-01T00:05:00Z"}, lags(11, 500, 0), 1000, "steady", None),
    ],
)
def test_estimate_follows_the_last_observations(
    evaluate: Callable[..., Any],
    state: dict[str, Any],
    points: list[Any],
    now: float,
    kind: str,
    seconds: float | None,
) -> None:
    answer = evaluate("estimate.js", "estimate", state, points, now)

    assert answer["kind"] == kind
    if seconds is not None:
        assert answer["seconds"] == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    ("fields", "kind", "seconds"),
    [
        ({"remaining_seconds": 600, "remaining_source": "service"}, "bulk", 540),
        ({"remaining_seconds": 60, "remaining_source": "service"}, "bulk", 0),
        ({"remaining_seconds": 1, "remaining_source": "service"}, "unclear", None),  # long past
        ({"remaining_seconds": 600, "remaining_source": "service", "lag_seconds": 5}, "bulk", 540),
        ({"remaining_seconds": 600, "remaining_source": "estimate"}, "bulk", 540),
        ({"remaining_seconds": 60, "remaining_source": "estimate"}, "bulk", 0),
        ({"remaining_seconds": 1, "remaining_source": "estimate"}, "unclear", None),
        ({"remaining_seconds": 31 * 86_400, "remaining_source": "estimate"}, "unclear", None),
        ({"remaining_seconds": "600", "remaining_source": "estimate"}, "unclear", None),
        ({"remaining_seconds": 600, "remaining_source": "estimate", "state": "paused"}, "none", None),
        ({"remaining_seconds": 600, "remaining_source": "guess"}, "unclear", None),
        ({"remaining_seconds": 600, "remaining_source": None}, "unclear", None),
        ({"remaining_seconds": None, "remaining_source": "service"}, "unclear", None),
        ({"remaining_seconds": 600, "remaining_source": "service", "observed_at": None}, "unclear", None),
        ({"remaining_seconds": 600, "remaining_source": "service", "state": "paused"}, "none", None),
    ],
)
def test_estimate_is_the_figure_of_the_record(
    evaluate: Callable[..., Any], fields: dict[str, Any], kind: str, seconds: float | None
) -> None:
    seen = {"state": "running", "percent": 40, "observed_at": "2027-01-15T07:59:00Z", **fields}
    answer = evaluate("estimate.js", "estimate", seen, [], NOW)
    assert (answer["kind"], answer.get("seconds")) == (kind, seconds)
    assert answer.get("source") == (seen["remaining_source"] if kind == "bulk" else None)


@pytest.mark.parametrize(
    ("throughput", "said"),
    [
        ({"rows_per_second": 1400.4, "bytes_per_second": 1.5e6}, "1,400 rows/s, 1.5 MB/s"),
        ({"rows_per_second": 0, "bytes_per_second": None}, "0 rows/s"),
        ({"rows_per_second": 0.4}, "0.4 rows/s"),
        ({"bytes_per_second": 0}, "0 bytes/s"),
        ({"bytes_per_second": 0.2}, "0.2 bytes/s"),
        ({"bytes_per_second": 999}, "999 bytes/s"),
        ({"bytes_per_second": 1e15}, "1,000 TB/s"),
        ({"rows_per_second": "many"}, None),
        ({}, None),
        ("odd", None),
        (None, None),
    ],
)
def test_speed_is_shown_in_words(evaluate: Callable[..., Any], throughput: Any, said: str | None) -> None:
    assert evaluate("format.js", "speedText", throughput) == said


@pytest.mark.parametrize(
    ("retrying", "said"),
    [
        (
            {"count": 3, "for_seconds": 300, "at_most_seconds": 7200, "reason": "no route"},
            "3 so far, for 5 min, at most 2 h: no route",
        ),
        (
            {"count": None, "for_seconds": None, "at_most_seconds": None, "reason": None},
            "The service retries",
        ),
        ("odd", None),
        (None, None),
    ],
)
def test_retries_are_shown_in_words(evaluate: Callable[..., Any], retrying: Any, said: str | None) -> None:
    assert evaluate("format.js", "retriesText", retrying) == said


def test_speed_retries_and_help_are_shown(page: Page, airflow: StandIn) -> None:
    put(
        airflow,
        record(throughput={"bytes_per_second": 1.5e6}, retrying={"count": 3, "reason": "<b>no route"}),
    )
    open_tab(page, airflow)
    assert page.locator("#speed").inner_text() == "1.5 MB/s"
    assert page.locator("#retries").inner_text() == "3 so far: <b>no route"
    assert page.locator("#error-help").is_hidden()


@pytest.mark.parametrize(
    ("url", "is_shown"), [("https://help.example/31009", True), ("javascript:alert(1)", False), (None, False)]
)
def test_help_link_of_an_error_is_a_web_page(
    page: Page, airflow: StandIn, url: str | None, is_shown: bool
) -> None:
    put(airflow, record(state="failed", error={"code": "E1", "message": "it broke", "help_url": url}))
    open_tab(page, airflow)
    assert page.locator("#error-help").is_visible() is is_shown
    assert page.locator("#error-help a").get_attribute("href") == (url if is_shown else None)


@pytest.mark.parametrize("value", [None, {}, "text", [1, 2], [[None, 1, 2]], [["1", 2, 3]]])
def test_estimate_ignores_invalid_points(evaluate: Callable[..., Any], value: Any) -> None:
    assert evaluate("estimate.js", "readPoints", value) == []


@pytest.mark.parametrize(
    ("address", "followed"),
    [
        ("https://dts.console.aliyun.com/", True),
        ("http://oms.example.com:8089/", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://user@example.com/", False),
        ("/relative", False),
        (None, False),
        (7, False),
    ],
)
def test_links_are_http_only(evaluate: Callable[..., Any], address: Any, followed: bool) -> None:
    assert evaluate("parts.js", "webAddress", address) == (address if followed else None)


# --- the tab -------------------------------------------------------------------------------------------


def test_tab_shows_the_whole_record(page: Page, airflow: StandIn) -> None:
    lagging = record(
        percent=None,
        lag_seconds=130,
        checkpoint=ago(130),
        objects={
            "total": 40,
            "completed": 38,
            "slowest": [{"source": "a.t1", "destination": "b.t1", "percent": 20.0}],
        },
    )
    put(airflow, lagging)
    open_tab(page, airflow)

    assert page.locator("h1").text_content() == "orders"
    assert page.locator("#state").text_content() == "Running"
    assert page.locator("#identity").text_content() == "Alibaba Cloud DTS · dts1 · Migrating"
    assert page.locator("#percent").text_content() == "not known"
    assert page.locator("#lag").text_content() == "2 min 10 s"
    assert "2 min 1" in (page.locator("#checkpoint").text_content() or "")
    assert page.locator("#objects-count").text_content() == "38 of 40 done"
    assert page.locator("#objects-slowest tbody tr :is(th, td)").all_text_contents() == ["a.t1", "b.t1", "20"]
    assert page.locator("#console").get_attribute("href") == "https://dts.console.aliyun.com/"
    assert page.locator("#phases li:nth-child(2)").text_content() == (
        "Existing dataRunning · 12.5 % · 1,250 of 10,000"
    )
    bars = page.get_by_role("progressbar")
    assert [
        (bar.get_attribute("aria-label"), value_of(bar), bar.get_attribute("aria-valuetext"))
        for bar in bars.all()
    ] == [
        ("Overall progress", None, "not known"),
        ("Structure", "100", "Succeeded · 100 % · 24 done"),
        ("Existing data", "12.5", "Running · 12.5 % · 1,250 of 10,000"),
        ("Incremental", None, "Pending"),
        ("Objects done", "95", "95 %"),
    ]


@pytest.mark.usefixtures("own_page")
def test_tab_refreshes_until_the_end(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    put(airflow, record())
    open_tab(page, airflow)
    bar = page.locator("#overall")
    assert value_of(bar) == "40"

    put(airflow, record(percent=70.0))
    wait_in_page_time(page, 6_000, lambda: value_of(bar) == "70")
    put(airflow, record(percent=100.0, state="caught_up"), instance("success"))
    shown = (page.locator("#state"), page.locator("#task"))
    wait_in_page_time(
        page, 6_000, lambda: [part.text_content() for part in shown] == ["In sync", "succeeded"]
    )
    airflow.wait_until_quiet()
    asked = len(airflow.asked)
    page.clock.fast_forward(600_000)
    page.wait_for_timeout(300)

    assert len(airflow.asked) == asked
    assert page.locator("#announcement").text_content() == "orders: In sync"


@pytest.mark.usefixtures("own_page")
def test_hidden_page_does_not_refresh(page: Page, airflow: StandIn) -> None:
    put(airflow, record())
    page.clock.install()
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isAway !== false })")
    query = urlencode({"dag_id": "d", "run_id": RUN, "task_id": "t"})
    page.goto(f"{airflow.url}/migration-ui/migration.html?{query}")
    page.clock.fast_forward(600_000)
    page.wait_for_timeout(300)
    assert airflow.asked == []

    page.evaluate("() => { window.isAway = false; document.dispatchEvent(new Event('visibilitychange')); }")
    wait_for(lambda: page.locator("#overall").is_visible())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("estimate", "about 1.5 h left (estimate)"),
        ("service", "about 1.5 h left (the service's figure)"),
        (None, "time left: not enough observations yet"),
    ],
)
def test_estimate_is_shown_with_its_source(
    page: Page, airflow: StandIn, source: str | None, said: str
) -> None:
    now = time.time()
    points = [[now - 600 + i * 60, 30.0 + i, None] for i in range(10)]
    figure = {"remaining_seconds": source and 5400, "remaining_source": source}
    put(airflow, record(percent=39.0, observed_at=ago(60), **figure), history=points)
    open_tab(page, airflow)

    assert page.locator("#estimate").text_content() == said


def test_history_gives_line(page: Page, airflow: StandIn) -> None:
    now = time.time()
    points = [[now - 600 + i * 60, 30.0 + i, None] for i in range(10)]
    put(airflow, record(percent=39.0, observed_at=ago(60)), history=points)
    open_tab(page, airflow)

    assert page.get_by_role("img").get_attribute("aria-label") == "Progress from 30 % to 39 % in 9 min"
    assert page.locator("#percent-spark .scale").inner_text().split("\n") == ["100 %", "0 %"]


def test_estimate_needs_observations(page: Page, airflow: StandIn) -> None:
    put(airflow, record())
    open_tab(page, airflow)

    assert page.locator("#estimate").text_content() == "time left: not enough observations yet"
    assert page.get_by_role("img").count() == 0


def test_estimate_at_100_percent_is_until_caught_up(page: Page, airflow: StandIn) -> None:
    now = time.time()
    points = [[now - 600 + i * 60, 100.0, 600.0 - 40 * i] for i in range(11)]
    put(airflow, record(percent=100.0, lag_seconds=200.0, observed_at=ago(0)), history=points)
    open_tab(page, airflow)

    assert page.locator("#estimate").text_content() == "caught up in about 5 min"
    assert page.locator("#lag-spark p").text_content() == "from 10 min to 3 min 20 s in 10 min"


@pytest.mark.parametrize(
    ("pace", "said"),
    [
        ({"poke_interval": 60}, "no progress for 10 min"),
        ({"poke_interval": 600}, "time left: not enough observations yet"),
        ({"exponential_backoff": True}, "time left: not enough observations yet"),
    ],
)
def test_estimate_names_a_stalled_migration(
    page: Page, airflow: StandIn, pace: dict[str, Any], said: str
) -> None:
    put(airflow, record(observed_at=ago(600)), wait=standing(**pace))
    open_tab(page, airflow)

    assert (page.locator("#estimate").text_content() or "").startswith(said)


# --- the wait ------------------------------------------------------------------------------------------

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Waits until it has caught up (lag at most 1 min)."),
        ({"targets": ["succeeded"]}, "Waits until it has succeeded."),
        ({"targets": ["verified"]}, "Waits until its data is verified."),
        ({"targets": ["caught_up", "VERIFIED"]}, "(lag at most 1 min) or its data is verified."),
        ({"targets": ["verified"], "hold_for": 60}, "its data is verified and that has held for 1 min"),
        ({"targets": ["full_done", "Catched"]}, "until its existing data is copied or it is at “Catched”."),
        ({"hold_for": 600}, "(lag at most 1 min) and that has held for 10 min; not yet."),
        ({"hold_for": 600, "held_since": NOW - 240}, "has held for 10 min; 4 min so far."),
        (
            {"checkpoint_after": NOW - 60},
            "caught up (lag at most 1 min), with everything until 15 Jan, 07:59:00 UTC applied.",
        ),
        (
            {"checkpoint_after": NOW - 60, "hold_for": 600},
            "until 15 Jan, 07:59:00 UTC applied and that has held for 10 min; not yet.",
        ),
        ({"deadline": NOW + 7260}, "Times out in 2 h 1 min, at 15 Jan, 10:01:00 UTC."),
        ({"deadline": NOW - 5}, "Its timeout was at 15 Jan, 07:59:55 UTC."),
        ({"stall_timeout": 900}, "Fails after 15 min without progress."),
        ({"poke_interval": 300}, "Polls every 5 min."),
        ({"exponential_backoff": True}, "Polls with exponential backoff."),
        ({"targets": [], "deadline": None, "poke_interval": None}, ""),
    ],
)
def test_wait_entry_is_shown_in_words(
    evaluate: Callable[..., Any], fields: dict[str, Any], said: str
) -> None:
    sentence = evaluate("wait.js", "purpose", standing(**fields), NOW)

    assert said in sentence
    assert "null" not in sentence
    assert "NaN" not in sentence


def test_wait_entry_is_shown_while_waiting(page: Page, airflow: StandIn) -> None:
    put(airflow, record(), wait=standing(hold_for=600, held_since=time.time() - 241))
    open_tab(page, airflow)

    said = page.locator("#purpose").text_content() or ""
    assert said.startswith(
        "Waits until it has caught up (lag at most 1 min) and that has held for 10 min; 4 min"
    )
    assert "Polls every 1 min." in said
    assert not page.locator("#polls").is_visible()


@pytest.mark.parametrize("state", ["success", "failed", "skipped"])
def test_wait_entry_is_hidden_after_the_end(page: Page, airflow: StandIn, state: str) -> None:
    put(airflow, record(), instance(state), wait=failing())
    open_tab(page, airflow)

    assert not page.locator("#purpose").is_visible()
    assert not page.locator("#polls").is_visible()


@pytest.mark.parametrize(
    ("seen", "meaning"),
    [(record(), "the values below are from the last successful poll."), (None, "no poll has succeeded yet.")],
)
def test_failing_polls_are_shown_apart_from_failures(
    page: Page, airflow: StandIn, seen: Any, meaning: str
) -> None:
    put(airflow, seen, wait=failing())
    open_tab(page, airflow)

    said = lines(page.locator("#polls"))
    assert said[:2] == ["The last 3 polls failed", "DTS DescribeMigrationJobStatus: HTTP 503."]
    assert "for 3 min" in said[2]
    assert said[2].endswith("The task gives up after more than 5 failed polls in a row.")
    assert said[3] == f"A failed poll is not a failed migration: {meaning}"
    assert page.locator("#estimate").text_content() == ""
    assert (page.locator("#announcement").text_content() or "").endswith(". The last 3 polls failed")
    assert page.locator("#overall").is_visible() is (seen is not None)


def test_failing_polls_without_a_limit_are_shown(page: Page, airflow: StandIn) -> None:
    put(airflow, record(), wait=failing(max_poll_errors=None))
    open_tab(page, airflow)

    assert "keeps polling until it times out" in (page.locator("#polls").text_content() or "")


def test_failing_polls_end_with_a_newer_record(page: Page, airflow: StandIn) -> None:
    put(airflow, record())
    airflow.answers[f"{TASK}/xcomEntries/migration_wait"] = xcom(failing(), 60)
    open_tab(page, airflow)

    assert not page.locator("#polls").is_visible()


def test_tab_shows_the_wait_before_the_first_record(page: Page, airflow: StandIn) -> None:
    put(airflow, None, wait=failing())
    open_tab(page, airflow)

    assert page.locator("h1").text_content() == "t"
    assert page.locator("#state").text_content() == "No record yet"
    assert page.locator("#identity").text_content() == "Alibaba Cloud DTS"
    assert page.locator("#purpose").is_visible()
    assert not page.locator("#friendly").is_visible()


@pytest.mark.parametrize("state", ["deferred", "failed"])
def test_tab_without_a_record_names_the_migration(page: Page, airflow: StandIn, state: str) -> None:
    own = instance(state, operator="MyOwnSensor")
    put(airflow, None, own, wait=failing(service="oms", migration_id="p_1"))
    open_tab(page, airflow)

    assert page.locator("h1").text_content() == "p_1"
    assert page.locator("#identity").text_content() == "OceanBase OMS"


@pytest.mark.parametrize(
    ("state", "outcome", "head"),
    [
        ("failed", "timeout", "Why the task failed"),
        ("skipped", "skip", "Why the task was skipped"),
        ("up_for_retry", "poll_error", "Why the last try failed"),
    ],
)
@pytest.mark.parametrize("seen", [record(), None])
def test_reason_of_the_end_comes_from_the_wait_entry(
    page: Page, airflow: StandIn, state: str, outcome: str, head: str, seen: Any
) -> None:
    put(airflow, seen, instance(state), wait=standing(outcome=outcome, reason="Because of this."))
    open_tab(page, airflow)

    assert lines(page.locator("#error")) == [head, "Because of this."]
    assert not [path for path in airflow.asked if "/logs/" in path]


@pytest.mark.parametrize("outcome", [None, "done"])
def test_reason_of_a_killed_task_comes_from_its_log(
    page: Page, airflow: StandIn, outcome: str | None
) -> None:
    put(airflow, record(), instance("failed"), wait=standing(outcome=outcome, reason=outcome and "Reached."))
    airflow.answers[f"{TASK}/logs/1"] = {"content": [{"error_detail": [{"exc_value": "Killed."}]}]}
    open_tab(page, airflow)

    assert lines(page.locator("#error")) == ["Why the task failed", "Killed."]


@pytest.mark.parametrize("odd", [{}, {"targets": 7}, {"targets": [None, {}]}, [1], 7, "text"])
def test_wait_entry_of_another_version_is_shown(page: Page, airflow: StandIn, odd: Any) -> None:
    put(airflow, record(), wait=odd)
    open_tab(page, airflow)

    assert page.locator("#migration").is_visible()
    assert not page.locator("#polls").is_visible()
    assert not page.locator("#trouble").is_visible()


# --- failures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("migration", "said"),
    [
        ("running", "Running · 12.5 % · 1,250 of 10,000"),
        ("caught_up", "Running · 12.5 % · 1,250 of 10,000"),
        ("failed", "Running when it failed · 12.5 % · 1,250 of 10,000"),
        ("paused", "Paused · 12.5 % · 1,250 of 10,000"),
        ("cancelled", "Stopped · 12.5 % · 1,250 of 10,000"),
        ("partially_succeeded", "Stopped · 12.5 % · 1,250 of 10,000"),
    ],
)
def test_phase_stops_with_its_migration(page: Page, airflow: StandIn, migration: str, said: str) -> None:
    put(airflow, record(state=migration))
    open_tab(page, airflow)

    assert page.locator("#phases li:nth-child(2) .word").text_content() == said


def test_precheck_items_are_listed_with_remedies(page: Page, airflow: StandIn) -> None:
    listed = "• CHECK_BINLOG: binlog is off; set it (repair: set log_bin (row)) • CHECK_SERVER_ID"
    error = {
        "code": "PrecheckFailed",
        "message": f"precheck: {listed}",
        "remedy": "Repair, then precheck again.",
    }
    phases = [{"name": "precheck", "state": "failed", "error": listed}]
    failed = record(state="failed", service_status="PrecheckFailed", error=error, phases=phases)
    reason = f"The migration failed: dts dts1: failed (PrecheckFailed); precheck: {listed}; wanted caught_up."
    put(airflow, failed, instance("failed"), wait=standing(outcome="fail", reason=reason))
    open_tab(page, airflow)

    assert lines(page.locator("#error")) == [
        "What went wrong",
        "Precheck",
        "CHECK_BINLOG: binlog is off; set it",
        "Repair: set log_bin (row)",
        "CHECK_SERVER_ID",
        "What to do",
        "Repair, then precheck again.",
    ]
    assert not page.locator("#phases .trouble").is_visible()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("The migration failed: dts dts1: failed; disk full; wanted caught_up; waited 3 s.", None),
        ("Timed out: dts dts1: failed; disk full; wanted caught_up; waited 3 s.", "Timed out."),
        ("Nothing has moved for 9 s: dts dts1: running.", "Nothing has moved for 9 s: dts dts1: running."),
    ],
)
def test_failure_text_is_shown_once(page: Page, airflow: StandIn, reason: str, said: str | None) -> None:
    failed = record(state="failed", error={"code": None, "message": "disk full.", "remedy": None})
    put(airflow, failed, instance("failed"), wait=standing(outcome="fail", reason=reason))
    open_tab(page, airflow)

    shown = lines(page.locator("#error"))
    assert shown == ["What went wrong", "disk full.", *(["Why the task failed", said] if said else [])]


def test_failure_and_remedy_come_first(page: Page, airflow: StandIn) -> None:
    error = {"code": "PrecheckFailed", "message": "no right to write", "remedy": "Grant it."}
    put(airflow, record(state="failed", error=error), instance("failed"))
    open_tab(page, airflow)

    shown = page.locator("#error").text_content() or ""
    assert "no right to write (PrecheckFailed)" in shown
    assert "Grant it." in shown


@pytest.mark.parametrize("state", ["failed", "up_for_retry"])
def test_reason_of_another_failure_comes_from_the_log(page: Page, airflow: StandIn, state: str) -> None:
    put(airflow, record(), instance(state, try_number=2))
    airflow.answers[f"{TASK}/logs/2"] = {
        "content": [
            {"event": "Task failed", "error_detail": [{"exc_value": "Timed out: running 40 %."}]},
            {"event": "Later"},
        ]
    }
    open_tab(page, airflow)

    wait_for(lambda: "Timed out: running 40 %." in (page.locator("#error").text_content() or ""))


def test_log_that_is_refused_hides_nothing_else(page: Page, airflow: StandIn) -> None:
    put(airflow, record(), instance("failed"))
    airflow.answers[f"{TASK}/logs/1"] = 403
    open_tab(page, airflow)

    assert page.locator("h1").text_content() == "orders"
    assert not page.locator("#error").is_visible()


def test_service_texts_are_never_markup(page: Page, airflow: StandIn) -> None:
    hostile = record(
        name=HOSTILE,
        migration_id=HOSTILE,
        service_status=HOSTILE,
        service=HOSTILE,
        request_id=HOSTILE,
        error={"code": HOSTILE, "message": HOSTILE, "remedy": HOSTILE},
        phases=[{"name": HOSTILE, "state": HOSTILE, "error": HOSTILE + "!"}],
        objects={"total": 1, "completed": 0, "slowest": [{"source": HOSTILE, "destination": HOSTILE}]},
        console_url=f"javascript:{HOSTILE}",
    )
    put(airflow, hostile)
    open_tab(page, airflow)

    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert page.title() == "Migration"
    assert not page.locator("#console").is_visible()


@pytest.mark.parametrize(
    "odd",
    [
        {"state": "running"},
        {"state": "a state of a later version", "schema_version": 9, "more": {"a": [1]}},
        dict.fromkeys(record(), 7) | {"state": "running"},
        dict.fromkeys(record(), "text") | {"state": "running"},
        {key: {} for key in record()} | {"state": "running"},
        {key: [None, 3, "x"] for key in record()} | {"state": "running"},
        {**record(), "phases": [None, 7, {}], "objects": {"total": 3, "slowest": [None, {}]}},
        {**record(), "percent": 1e9, "lag_seconds": -1, "checkpoint": "soon", "observed_at": "never"},
    ],
)
def test_record_of_another_version_is_shown(page: Page, airflow: StandIn, odd: dict[str, Any]) -> None:
    put(airflow, odd)
    open_tab(page, airflow)

    assert page.locator("#migration").is_visible()
    assert not page.locator("#trouble").is_visible()
    for bar in page.get_by_role("progressbar").all():
        assert bar.get_attribute("aria-label")
        assert value_of(bar) is None or 0 <= float(value_of(bar) or 0) <= 100


def test_record_may_be_a_json_string(page: Page, airflow: StandIn) -> None:
    put(airflow, '{"state": "paused", "name": "orders"}')
    open_tab(page, airflow)

    assert page.locator("#state").text_content() == "Paused"


def test_record_between_polls_comes_from_the_state_store(page: Page, airflow: StandIn) -> None:
    airflow.answers[TASK] = instance("running")
    airflow.answers[f"{TASK}/state-store/migration_progress"] = {"value": record(), "updated_at": ago(3)}
    open_tab(page, airflow)

    assert value_of(page.locator("#overall")) == "40"


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (instance("success", operator="PythonOperator"), "This task does not watch a migration"),
        (instance(None, operator="EmptyOperator"), "This task does not watch a migration"),
        (instance("running"), "No record of the migration yet"),
        (instance("success"), "The task ended without a record of the migration"),
        (404, "Nothing to show here"),
    ],
)
def test_task_without_a_record_is_named(page: Page, airflow: StandIn, task: Any, says: str) -> None:
    airflow.answers[TASK] = task
    open_tab(page, airflow)

    assert says in (page.locator("#friendly").text_content() or "")
    assert not page.locator("#migration").is_visible()


def test_mapped_task_shows_its_own_record(page: Page, airflow: StandIn) -> None:
    airflow.answers[f"{TASK}/3"] = instance(map_index=3)
    airflow.answers[f"{TASK}/xcomEntries/migration_progress"] = lambda query: xcom(
        record(name=f"shard {query['map_index']}")
    )
    open_tab(page, airflow, "3")

    assert page.locator("h1").text_content() == "shard 3"


@pytest.mark.parametrize(
    ("status", "says", "goes_on"),
    [(401, "Your session has ended", False), (403, "does not allow", False), (500, "HTTP 500", True)],
)
@pytest.mark.usefixtures("own_page")
def test_refusal_is_named_and_clears_the_page(
    page: Page, airflow: StandIn, status: int, says: str, goes_on: bool
) -> None:
    page.clock.install()
    put(airflow, record())
    open_tab(page, airflow)
    assert page.locator("#migration").is_visible()

    airflow.answers = {"*": status}
    wait_in_page_time(page, 6_000, lambda: says in (page.locator("#trouble").text_content() or ""))

    assert page.locator("#migration").is_visible() is goes_on


@pytest.mark.usefixtures("own_page")
def test_tab_recovers_after_an_error(page: Page, airflow: StandIn) -> None:
    page.clock.install()
    airflow.answers = {"*": 503}
    open_tab(page, airflow)
    assert "Retrying automatically" in (page.locator("#trouble").text_content() or "")

    put(airflow, record())
    wait_in_page_time(page, 11_000, lambda: page.locator("#migration").is_visible())
    assert not page.locator("#trouble").is_visible()


# --- the page of all -----------------------------------------------------------------------------------

TASKS = "dags/~/dagRuns/~/taskInstances"
ROW = "#rows tr:has(> th[scope=row])"


def put_all(
    airflow: StandIn,
    rows: list[tuple[dict[str, Any], dict[str, Any] | None]],
    waits: dict[int, dict[str, Any]] | None = None,
) -> None:
    """Put tasks with their records, and waits by row; each task gets a map index of its own in its run."""
    sizes: Counter[str] = Counter()
    tasks: list[dict[str, Any]] = []
    for task, _ in rows:
        tasks.append(task | {"map_index": sizes[path_of(task)]})
        sizes[path_of(task)] += 1
    kept: dict[str, dict[int, dict[str, Any]]] = {
        "migration_progress": {
            number: xcom(value, 1) for number, (_, value) in enumerate(rows) if value is not None
        },
        "migration_wait": {number: xcom(value) for number, value in (waits or {}).items()},
    }

    def page_of(name: str, found: list[dict[str, Any]], query: Any) -> dict[str, Any]:
        offset = int(query["offset"])
        return {name: found[offset : offset + int(query["limit"])], "total_entries": len(found)}

    def some(query: Any) -> dict[str, Any]:
        found = [task for task in tasks if task["state"] in query.getlist("state")]
        found = [task for task in found if task["operator"] in query.getlist("operator")]
        since = query.get("end_date_gte")
        found = [
            task
            for task in found
            if since is None
            or datetime.fromisoformat(task["end_date"] or ago(0)) >= datetime.fromisoformat(since)
        ]
        return page_of("task_instances", found, query)

    def listed(query: Any) -> dict[str, Any]:
        found = [
            {
                "dag_id": tasks[number]["dag_id"],
                "run_id": tasks[number]["dag_run_id"],
                "task_id": "t",
                "map_index": tasks[number]["map_index"],
                "timestamp": entry["timestamp"],
            }
            for number, entry in kept[query["xcom_key"]].items()
        ]
        return page_of("xcom_entries", found, query)

    airflow.answers[TASKS] = some
    airflow.answers[f"{TASKS}/~/xcomEntries"] = listed
    for key, entries in kept.items():
        by_run: dict[str, dict[int, dict[str, Any]]] = {TASK: {}, **{path: {} for path in sizes}}
        for number, entry in entries.items():
            by_run[path_of(tasks[number])][tasks[number]["map_index"]] = entry
        for path, of_run in by_run.items():
            airflow.answers[f"{path}/xcomEntries/{key}"] = lambda query, of_run=of_run: of_run.get(
                int(query["map_index"]), 404
            )
    for task in tasks:
        airflow.answers[f"{path_of(task)}/{task['map_index']}"] = task


def path_of(task: dict[str, Any]) -> str:
    return f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/t"


def open_list(page: Page, airflow: StandIn, query: str = "") -> None:
    begun: list[Request] = []
    ended: list[Request] = []

    def begin(request: Request) -> None:
        begun.append(request)

    def end(request: Request) -> None:
        if request in begun:  # not of the page before
            ended.append(request)

    listeners = [("request", begin), ("requestfinished", end), ("requestfailed", end)]
    for event, listener in listeners:
        page.on(event, listener)
    page.goto(f"{airflow.url}/migration-ui/migrations.html{query}")
    wait_for(lambda: page.locator("main").get_attribute("aria-busy") is None)
    wait_for(lambda: "oading" not in (page.locator("#summary").text_content() or ""))

    def is_quiet() -> bool:
        before = len(begun)
        airflow.wait_until_quiet()
        page.evaluate("0")  # what came in has then been shown, or has led to another request
        return before == len(begun) == len(ended)

    wait_for(is_quiet)
    for event, listener in listeners:
        page.remove_listener(event, listener)


def names(page: Page) -> list[str]:
    return page.locator("#rows th[scope=row] a").all_text_contents()


ROWS: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    (instance(), record(name="running one", percent=40.0)),
    (instance(), record(name="lagging one", percent=100.0, lag_seconds=500, service="oms")),
    (instance(), record(name="paused one", state="paused", percent=70.0)),
    (instance("success"), record(name="done one", state="succeeded", percent=100.0)),
    (instance("failed"), record(name="failed one", state="failed", percent=5.0, service="drs")),
    (instance("failed"), None),
    (instance("running"), None),
    (instance("success"), None),
    (instance("success", operator="PythonOperator"), None),
    (instance("deferred", operator="MyOwnSensor"), record(name="subclass one", percent=50.0)),
]


def test_rows_are_sorted_by_urgency(page: Page, airflow: StandIn) -> None:
    put_all(airflow, ROWS)
    open_list(page, airflow)

    assert names(page) == [
        "paused one", "t", "lagging one", "running one", "subclass one", "done one", "failed one", "t",
    ]  # fmt: skip
    assert page.locator("#summary").text_content() == "5 watched now · 3 ended in the last day (2 failed)"


def test_rows_with_failing_polls_come_first(page: Page, airflow: StandIn) -> None:
    put_all(airflow, ROWS, {0: failing(), 1: standing(), 3: failing(), 6: standing(poll_errors=1)})
    open_list(page, airflow)

    assert names(page)[:4] == ["paused one", "running one", "t", "lagging one"]
    words = page.locator("#rows td:first-child .small").all_text_contents()
    assert words == [
        "", "The last 3 polls failed", "The last poll failed", "", "", "task succeeded", "task failed", "",
    ]  # fmt: skip
    assert (page.locator("#summary").text_content() or "").startswith(
        "5 watched now (2 with failing polls) · "
    )


def test_rows_without_a_record_name_the_migration(page: Page, airflow: StandIn) -> None:
    which = [{"service": "oms", "migration_id": "p_1"}, {"service": "drs", "migration_id": "job-1"}, {}]
    states = ["failed", "deferred", "failed"]
    rows = [(instance(state, operator="MyOwnSensor"), None) for state in states]
    put_all(airflow, rows, {number: failing(**told) for number, told in enumerate(which)})
    open_list(page, airflow)

    assert names(page) == ["job-1", "p_1", "t"]
    identities = page.locator("#rows th[scope=row] .small").all_text_contents()
    assert identities == ["Huawei Cloud DRS", "OceanBase OMS", "MyOwnSensor"]
    page.fill("#search", "p_1")
    assert names(page) == ["p_1"]


def test_counts_include_failed_migrations(page: Page, airflow: StandIn) -> None:
    graceful = (instance("deferred"), record(state="failed"))
    put_all(airflow, [graceful, *ROWS], {1: failing()})
    open_list(page, airflow)

    assert page.locator("#summary").text_content() == (
        "6 watched now (1 failed, 1 with failing polls) · 3 ended in the last day (2 failed)"
    )


def test_old_wait_entry_is_read_once_for_its_warnings(page: Page, airflow: StandIn) -> None:
    put_all(airflow, ROWS[:2], {0: failing()})
    listed = airflow.answers[f"{TASKS}/~/xcomEntries"]

    def older(query: Any) -> dict[str, Any]:
        answer: dict[str, Any] = listed(query)
        for entry in answer["xcom_entries"] if query["xcom_key"] == "migration_wait" else ():
            entry["timestamp"] = ago(60)
        return answer

    airflow.answers[f"{TASKS}/~/xcomEntries"] = older
    open_list(page, airflow)

    assert len(names(page)) == 2
    assert airflow.asked.count(f"{TASK}/xcomEntries/migration_wait") == 2


def test_polling_task_is_shown_from_its_state_store(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [(instance("running"), None), (instance("deferred"), None)])
    kept = {"value": record(name="rescheduled one"), "updated_at": ago(3)}
    airflow.answers[f"{TASK}/state-store/migration_progress"] = kept
    open_list(page, airflow)

    assert names(page) == ["t", "rescheduled one"]


def test_filter_is_kept(page: Page, airflow: StandIn) -> None:
    put_all(airflow, ROWS)
    open_list(page, airflow)
    page.fill("#search", "one")
    page.select_option("#show", "ended")
    page.select_option("#state-filter", "failed")
    page.select_option("#service-filter", "drs")
    page.locator("th[data-column=name] button").click()

    page.goto(f"{airflow.url}/migration-ui/icon.svg")
    open_list(page, airflow)

    assert names(page) == ["failed one"]
    assert page.locator("#search").input_value() == "one"
    assert page.locator("#state-filter").input_value() == "failed"
    assert page.locator("th[data-column=name]").get_attribute("aria-sort") == "ascending"
    page.fill("#search", "")
    page.select_option("#show", "")
    page.select_option("#state-filter", "")
    page.select_option("#service-filter", "")
    assert len(names(page)) == 8


@pytest.mark.parametrize("kept", ["", "{", "7", '{"values": 3, "order": {"column": "none"}}'])
def test_filter_that_is_unreadable_is_ignored(page: Page, airflow: StandIn, kept: str) -> None:
    put_all(airflow, ROWS)
    page.goto(f"{airflow.url}/migration-ui/icon.svg")
    page.evaluate("kept => sessionStorage.setItem('migrations', kept)", kept)
    open_list(page, airflow)

    assert len(names(page)) == 8


@pytest.mark.parametrize(
    ("column", "first", "last"),
    [
        ("percent", "failed one", "lagging one"),
        ("lag", "lagging one", "lagging one"),
        ("name", "done one", "t"),
    ],
)
def test_columns_sort_both_ways(page: Page, airflow: StandIn, column: str, first: str, last: str) -> None:
    put_all(airflow, ROWS)
    open_list(page, airflow)
    head = page.locator(f"th[data-column={column}]")

    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page)[0] == first
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page)[0] in (last, "done one")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    assert names(page)[0] == "paused one"


def test_filter_and_search(page: Page, airflow: StandIn) -> None:
    put_all(airflow, ROWS)
    open_list(page, airflow)

    page.select_option("#state-filter", "failed")
    assert names(page) == ["failed one"]
    page.select_option("#state-filter", "")
    page.select_option("#service-filter", "oms")
    assert names(page) == ["lagging one"]
    page.select_option("#service-filter", "")
    page.select_option("#show", "ended")
    assert names(page) == ["done one", "failed one", "t"]
    page.select_option("#show", "")
    page.fill("#search", "ONE paus")
    assert names(page) == ["paused one"]
    page.fill("#search", "nothing like it")
    assert (
        page.locator("#friendly").text_content()
        == "No matchesNo migration matches the search and the filters."
    )


def test_rows_link_to_tab_dag_and_task(page: Page, airflow: StandIn) -> None:
    put_all(airflow, ROWS)
    open_list(page, airflow)
    row = page.locator(ROW).first
    task = f"{airflow.url}/dags/d/runs/manual__2026-01-01T00:00:00+00:00/tasks/t/mapped/2"

    assert [link.evaluate("link => link.href") for link in row.locator("a").all()] == [
        f"{task}/plugin/migration",
        f"{airflow.url}/dags/d",
        task,
    ]


def test_page_without_migrations_says_so(page: Page, airflow: StandIn) -> None:
    put_all(airflow, [])
    open_list(page, airflow)

    assert "No migrations" in (page.locator("#friendly").text_content() or "")
    assert not page.locator("#frame").is_visible()
    assert not page.locator("#filters").is_visible()


@pytest.mark.parametrize(("status", "says"), [(401, "session"), (403, "does not allow"), (500, "HTTP 500")])
def test_page_shows_an_error_of_airflow(page: Page, airflow: StandIn, status: int, says: str) -> None:
    airflow.answers = {"*": status}
    page.goto(f"{airflow.url}/migration-ui/migrations.html")

    wait_for(lambda: says in (page.locator("#trouble").text_content() or ""))
    assert page.locator(ROW).count() == 0


def test_row_that_is_refused_hides_no_other(page: Page, airflow: StandIn) -> None:
    put_all(airflow, ROWS[:2])
    entry = airflow.answers[f"{TASK}/xcomEntries/migration_progress"]
    airflow.answers[f"{TASK}/xcomEntries/migration_progress"] = lambda query: (
        403 if query["map_index"] == "0" else entry(query)
    )
    open_list(page, airflow)

    assert names(page) == ["lagging one"]


BEST_OF_FIVE = """() => {
  const best = {};
  const act = (name, does) => {
    const start = performance.now();
    does();
    document.body.getBoundingClientRect();
    best[name] = Math.min(best[name] ?? Infinity, performance.now() - start);
  };
  const type = (id, value) => {
    const field = document.getElementById(id);
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const sort = () => document.querySelector("th[data-column=percent] button").click();
  const table = document.getElementById("rows");
  for (let round = 0; round < 5; round += 1) {
    act("drawing the rows", () => table.replaceChildren(table.tHead, ...[...table.tBodies].reverse()));
    act("sort up", sort);
    act("sort down", sort);
    act("sort by need", sort);
    act("search", () => type("search", "shard 04"));
    act("search no more", () => type("search", ""));
    act("filter", () => type("state-filter", "running"));
    act("filter no more", () => type("state-filter", ""));
  }
  return best;
}"""


def test_page_with_500_rows_is_quick(page: Page, airflow: StandIn) -> None:
    """The rows come before their records; nothing takes much longer than drawing those on the screen does."""
    rows = [
        (instance(dag_run_id=f"run {i}"), record(name=f"shard {i:04}", percent=i % 100)) for i in range(500)
    ]
    put_all(airflow, rows)
    records = [f"{path_of(task)}/xcomEntries/migration_progress" for task, _ in rows]
    released = threading.Event()
    for path in records:
        usual = airflow.answers[path]
        airflow.answers[path] = lambda query, usual=usual: released.wait(10) and usual(query)
    page.goto(f"{airflow.url}/migration-ui/migrations.html")
    wait_for(lambda: page.locator(ROW).count() == 100)
    assert not set(airflow.answered) & set(records)
    released.set()
    wait_for(lambda: set(records) <= set(airflow.asked))
    airflow.wait_until_quiet()

    best = page.evaluate(BEST_OF_FIVE)
    assert max(best.values()) < 2 * best["drawing the rows"], best
