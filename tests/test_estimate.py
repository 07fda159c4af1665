"""The time left, estimated from the history of percent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_migration.progress import MAX_SECONDS, MigrationProgress, MigrationState
from airflow_provider_migration.wait.estimate import seconds_left
from airflow_provider_migration.wait.outbox import Point, XComOutbox
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import WaitTracker

NOW = 1_800_000_000


def line(count: int, start: float = 10, step: float = 1, every: float = 60, at: float = NOW) -> list[Point]:
    """Return percents that rise evenly; the last is observed at ``at + (count - 1) * every``."""
    return [(at + i * every, start + i * step, None) for i in range(count)]


def left(points: list[Any], after: float = 0, state: str = "running") -> float | None:
    """Return the time left so many seconds after the last point."""
    return seconds_left(points, points[-1][0] + after, MigrationState(state))


# --- accuracy -------------------------------------------------------------------------------------------


def copy(
    duration: float, every: float, change: float, factor: float, digits: int | None
) -> Iterator[tuple[float, float, float, list[Point]]]:
    """
    Poll a copy that goes on ``factor`` times as fast from a share ``change`` of its duration.

    Yields at each poll the time, the time left at the present pace, that pace, and the thinned history.
    """
    first = 100 / (duration * (change + factor * (1 - change)))
    box = XComOutbox()
    now = every / 2
    while now < duration:
        later = max(now - change * duration, 0)
        percent = first * (min(now, change * duration) + factor * later)
        shown = percent if digits is None else min(round(percent, digits), 100 - 10**-digits)
        seen = SimpleNamespace(
            percent=shown, lag_seconds=None, observed_at=datetime.fromtimestamp(NOW + now, UTC)
        )
        box.add(seen, has_changed=True)  # type: ignore[arg-type] # as much of a record as the outbox reads
        pace = first * (factor if later else 1)
        yield now, (100 - percent) / pace, pace, box.points
        now += every


def error_of(estimate: float | None, true: float, resolution: float) -> float:
    assert estimate is not None
    return max(abs(estimate - true) - resolution, 0) / true


EVERY = st.sampled_from([10, 15, 30, 60, 120, 300])
POLLS = st.integers(15, 1500)


@settings(max_examples=60)
@given(every=EVERY, polls=POLLS, digits=st.sampled_from([None, 1, 0]))
def test_estimate_of_a_linear_copy_is_within_15_percent(every: int, polls: int, digits: int | None) -> None:
    duration = every * polls
    step = 0 if digits is None else 10**-digits
    for now, true, pace, points in copy(duration, every, 1, 1, digits):
        if now > max(duration / 3, 90):
            assert error_of(seconds_left(points, NOW + now), true, every + step / pace) < 0.15


@settings(max_examples=100)
@given(
    every=EVERY,
    polls=POLLS,
    change=st.floats(0.02, 0.95),
    factor=st.floats(1 / 8, 8),
    digits=st.sampled_from([None, 1]),
)
def test_estimate_of_a_two_pace_copy_is_within_15_percent(
    every: int, polls: int, change: float, factor: float, digits: int | None
) -> None:
    """The present pace must have lasted for a quarter of the copy so far, and for ten rises."""
    duration = every * polls
    step = 0 if digits is None else 10**-digits
    for now, true, pace, points in copy(duration, every, change, factor, digits):
        begun = change * duration if now > change * duration else 0
        rise = max(every, step / pace)
        if now > max(duration / 3, 90) and now - begun >= max(now / 4, 10 * rise):
            assert error_of(seconds_left(points, NOW + now), true, every + step / pace) < 0.15


def test_estimate_of_a_slow_copy_polled_often_is_known() -> None:
    """One step of percent is longer than the polls that are kept one by one."""
    for now, true, _, points in copy(5 * 86_400, 10, 1, 1, 0):
        if now > 2 * 86_400:
            assert error_of(seconds_left(points, NOW + now), true, 3600) < 0.15
            break


def test_estimate_counts_older_points_that_are_far_apart() -> None:
    """Without them a few rises among the latest polls would make the pace, in steps of a poll."""
    for now, true, _, points in copy(3688 * 60, 60, 1, 1, 1):
        if now >= 195_690:
            assert error_of(seconds_left(points, NOW + now), true, 0) < 0.05
            break


# --- what is no pace ------------------------------------------------------------------------------------

PAUSED = [*line(10), *[(NOW + 540 + i * 60, 19.0, None) for i in range(1, 60)]]


@pytest.mark.parametrize(
    ("points", "after", "seconds"),
    [
        (line(11), 0, 4800),
        (line(11), 30, 4770),
        (line(11), 290, 4740),  # percent has not risen, so the credit is that of one rise
        (line(11, step=0.1), 0, 53400),
        (line(11, start=0, step=9.9, every=10), 0, 1),
        ([*line(10), (NOW + 570, 18.5, None), (NOW + 600, 20.0, None)], 0, 4800),  # percent jitters
        # A jump is no pace: what comes after it is.
        ([*line(6, 0, 1), *line(6, 50, 1, at=NOW + 360)], 0, 2700),
        ([*line(20, 0, 1), *line(6, 60, 0.5, at=NOW + 1200)], 0, 4500),
        # Time in which nothing moves is no pace either.
        ([*PAUSED, (NOW + 4140, 20.0, None)], 0, 4800),
        ([*PAUSED, *line(6, 20, at=NOW + 4140)], 0, 4500),
        # The triggerer was down: the copy went on, stood still, or something in between.
        ([*line(10), *line(3, 79, at=NOW + 540 + 3600)], 0, 1140),
        ([*line(10), *line(3, 20, at=NOW + 540 + 3600)], 0, 4680),
        ([*line(10), *line(3, 49, at=NOW + 540 + 3600)], 0, 2940),
        # The copy began again.
        ([*line(20, 50, 2), *line(5, 0, 1, at=NOW + 1200)], 0, 5760),
        # A slow start counts no longer, nor does a fast one.
        ([*line(10, 0, 0.1), *line(10, 2, 1, at=NOW + 600)], 0, 5340),
        ([*line(6, 0, 10), *line(12, 50.5, 0.5, at=NOW + 360)], 0, 5280),
    ],
)
def test_estimate_is_by_the_recent_pace(points: list[Any], after: float, seconds: float) -> None:
    assert left(points, after) == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize(
    ("points", "after"),
    [
        ([(NOW, 10.0, None)], 0),
        (line(3), 0),  # two rises
        (line(30, step=0), 0),
        (line(30, start=100, step=0), 0),
        (line(11, start=90), 0),  # it has reached 100
        (line(30, start=0, step=0), 0),
        (line(11, step=1e-9), 0),  # decades
        (line(5, every=10), 0),  # less than a minute
        (line(11), 301),  # it stands still
        (PAUSED, 0),
        ([*line(6, 0, 1), (NOW + 360, 50.0, None)], 0),
        ([*line(6, 0, 1), (NOW + 360, 50.0, None), (NOW + 420, 51.0, None)], 0),
        ([(NOW, 1.0, None), (NOW + 60, 2.0, None), (NOW + 120, 47.0, None), (NOW + 180, 48.0, None)], 0),
        ([*line(20, 50, 2), *line(3, 0, 1, at=NOW + 1200)], 0),
        (line(20, 50, -1), 0),
        ([*line(11), (NOW - 60, 21.0, None)], 660),  # the clock was set back
    ],
)
def test_estimate_without_a_pace_is_none(points: list[Any], after: float) -> None:
    assert left(points, after) is None


@pytest.mark.parametrize("state", [state for state in MigrationState if state != "running"])
def test_estimate_of_a_copy_that_does_not_run_is_none(state: str) -> None:
    assert left(line(11)) is not None
    assert left(line(11), state=state) is None


ODD = [None, 7, "text", [], {}, {"0": 1}, [NOW], [NOW, None, 3], ["1", 2, 3], [NOW, "12", 3], [True, True, 3]]
ODD += [
    [NOW, float("nan"), 3],
    [float("nan"), 12, 3],
    [float("inf"), 12, 3],
    [10**400, 12, 3],
    [NOW, 10**400, 3],
]
ODD += [[NOW, -1, 3], [NOW, 101, 3], [NOW + 1e9, 99, 3], [-(10**400), 12, 3]]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:30])
def test_estimate_skips_what_is_no_point(odd: Any) -> None:
    read = json.loads(json.dumps(line(11)))
    mixed = [item for point in read for item in (odd, point)]
    assert left(mixed) == left(line(11)) == 4800


NUMBERS = st.floats() | st.integers(-(10**30), 10**30)


@settings(max_examples=300)
@given(
    points=st.lists(
        st.tuples(st.integers(0, 10_000), st.floats(-1, 101) | st.none(), st.none())
        | st.lists(st.none() | st.text() | st.booleans() | NUMBERS, max_size=3)
    ),
    is_sorted=st.booleans(),
    now=st.integers(0, 20_000),
)
def test_estimate_is_never_negative_nor_too_long(points: list[Any], is_sorted: bool, now: int) -> None:
    if is_sorted:
        points = sorted((point for point in points if isinstance(point, tuple)), key=lambda point: point[0])
    seconds = seconds_left(points, now)
    assert seconds is None or 0 <= seconds <= MAX_SECONDS


# --- in the record --------------------------------------------------------------------------------------


def record(second: float, percent: float | None, state: str = "running", **fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{
            "service": "dts",
            "migration_id": "dts1",
            "state": state,
            "percent": percent,
            "observed_at": datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=second),
            **fields,
        }
    )


def watch(**policy: Any) -> WaitTracker:
    return WaitTracker(
        WaitPolicy(**{"targets": ("caught_up",), "started_at": NOW, "deadline": NOW + 1e6, **policy})
    )


def figure(tracker: WaitTracker, seen: MigrationProgress) -> tuple[float | None, str | None]:
    """Let a tracker observe a record, and return the time left and its source."""
    tracker.observe(seen, seen.observed_at.timestamp())
    assert tracker.progress is not None
    return tracker.progress.remaining_seconds, tracker.progress.remaining_source


RISES = [record(i * 60, 10 + i) for i in range(11)]
NONE = (None, None)


def test_estimate_is_in_the_record() -> None:
    tracker = watch()
    assert [figure(tracker, seen) for seen in RISES[:5]] == [NONE] * 3 + [
        (5220, "estimate"),
        (5160, "estimate"),
    ]
    assert tracker.progress is not None
    assert (
        tracker.progress.model_copy(update=dict.fromkeys(("remaining_seconds", "remaining_source")))
        == RISES[4]
    )
    assert RISES[4].remaining_seconds is None  # tasks that share a poll share the record


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (record(660, 21), (4740, "estimate")),
        (record(660, 21, remaining_seconds=7, remaining_source="service"), (7, "service")),
        (record(660, 21, remaining_seconds=0, remaining_source="service"), (0, "service")),
        (record(660, 21, lag_seconds=5), (4740, "estimate")),
        (record(660, None), NONE),
        (record(660, None, lag_seconds=5), NONE),
        (record(660, 100), NONE),
        (record(660, 0), NONE),
        (record(660, 21, "paused"), NONE),
        (record(660, 21, "unknown"), NONE),
        (record(660, 21, "failed"), NONE),
        (record(660, 21, "caught_up"), NONE),
        (record(6000, 20), NONE),  # it stands still
    ],
)
def test_estimate_gives_way_to_the_service_and_to_the_state(last: MigrationProgress, expected: Any) -> None:
    tracker = watch()
    for seen in RISES:
        figure(tracker, seen)
    assert figure(tracker, last) == expected


def test_estimate_is_no_change_and_no_movement() -> None:
    tracker = watch(stall_timeout=10_000)
    for seen in RISES:
        figure(tracker, seen)
    changes, moved_at = tracker.outbox.changes, tracker.history.moved_at
    figures = [figure(tracker, record(600 + second, 20))[0] for second in (30, 60, 200, 290, 310, 400)]
    assert figures == [4770, 4740, 4740, 4740, None, None]
    assert (tracker.outbox.changes, tracker.history.moved_at) == (changes, moved_at) == (11, NOW + 600)


def test_comparable_leaves_the_estimate_out() -> None:
    tracker = watch()
    for seen in RISES:
        figure(tracker, seen)
        assert tracker.progress is not None
        assert tracker._comparable(tracker.progress) == tracker._comparable(seen)


def test_estimate_is_the_same_after_a_restart() -> None:
    kept, restored = watch(), watch()
    for i in range(200):
        seen = record(i * 60, 10 + i // 3 * 0.7)
        restored = WaitTracker.from_json(json.loads(json.dumps(restored.to_json())))
        assert figure(restored, seen) == figure(kept, seen)
        assert restored.outbox.changes == kept.outbox.changes
    assert kept.progress is not None
    assert kept.progress.remaining_seconds


def test_estimated_record_shares_its_set_of_fields() -> None:
    """One set per record is half of a record's memory."""
    tracker = watch()
    for seen in RISES:
        figure(tracker, seen)
    assert tracker.progress is not None
    assert tracker.progress.remaining_source == "estimate"
    assert tracker.progress.model_fields_set is RISES[0].model_fields_set
