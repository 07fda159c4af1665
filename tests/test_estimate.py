"""Estimate of the time left from the history of percent."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.wait.estimate import (
    MAX_MARKS,
    Mark,
    estimate_remaining_seconds,
    next_marks,
)
from airflow_provider_migration.wait.outbox import XComOutbox
from tests.test_verdict import NOW, record, watch

Course = Callable[[float], float]


def linear(total: float) -> Course:
    return lambda at: 100 * at / total


def two_paces(first: float, share: float, second: float) -> Course:
    """Take ``first`` seconds for a share of the work, and ``second`` for the rest."""
    return lambda at: (
        100 * share * at / first if at < first else 100 * (share + (1 - share) * (at - first) / second)
    )


def watched(course: Course, until: float, every: float, digits: int = 1) -> XComOutbox:
    """Poll a copy as a wait does, whose history thins out."""
    outbox, at = XComOutbox(), 0.0
    while at <= until:
        seen = record(
            percent=min(round(course(at), digits), 100.0), observed_at=NOW.fromtimestamp(at, NOW.tzinfo)
        )
        outbox.add(seen, has_changed=True)
        at += every
    return outbox


@pytest.mark.parametrize("digits", [0, 1])
@pytest.mark.parametrize("every", [10, 60, 300])
@pytest.mark.parametrize(
    ("course", "total"),
    [
        (linear(20_000), 20_000),
        (linear(200_000), 200_000),
        (two_paces(1000, 0.02, 20_000), 21_000),  # slow at first
        (two_paces(2000, 0.2, 40_000), 42_000),  # fast at first: the structure, then the data
        (two_paces(4000, 0.1, 16_000), 20_000),
        (two_paces(60, 0.25, 30_000), 30_060),
    ],
)
def test_estimate_after_a_third_is_within_15_percent(
    course: Course, total: float, every: float, digits: int
) -> None:
    for part in (1 / 3, 0.5, 0.8):
        now = total * part
        left = estimate_remaining_seconds(watched(course, now, every, digits).marks, now)
        assert left == pytest.approx(total - now, rel=0.15)


def test_estimate_withstands_jitter() -> None:
    chance = random.Random(3).uniform
    marks = watched(lambda at: 100 * at / 20_000 + chance(0, 0.4), 10_000, 60, digits=2).marks
    assert estimate_remaining_seconds(marks, 10_000) == pytest.approx(10_000, rel=0.15)


def marks_of(*percents: float, every: float = 60) -> list[Mark]:
    marks: list[Mark] = []
    for number, percent in enumerate(percents):
        marks = next_marks(marks, number * every, percent)
    return marks


@pytest.mark.parametrize(
    ("percents", "now", "left"),
    [
        ((10, 20, 30, 40), 180, 360),
        ((10, 20, 30, 40), 240, 300),  # the time since the last rise counts
        ((0, 0, 0, 0, 0, 10, 20, 30), 420, 420),  # the precheck is not part of the pace
        ((50, 60, 70, 0, 10, 20, 30), 360, 420),  # it was reset
        ((50, 60, 70, 10, 20, 30, 40), 360, 360),
        ((10, 20, 30), 120, None),
        ((), 0, None),
        ((0, 0, 0, 0), 180, None),
        ((40, 40, 40, 40), 180, None),
        ((10, 10.1, 10.2, 10.3, 10.4), 240, None),
        ((10, 20, 30, 40), 1000, None),  # stalled
    ],
)
def test_estimate_needs_a_pace(percents: tuple[float, ...], now: float, left: float | None) -> None:
    found = estimate_remaining_seconds(marks_of(*percents), now)
    assert found == (None if left is None else pytest.approx(left, rel=0.01))


def test_estimate_needs_time_between_marks() -> None:
    assert estimate_remaining_seconds(marks_of(1, 2, 3, 4, every=0), 0) is None


def test_estimate_of_years_is_none() -> None:
    assert estimate_remaining_seconds(marks_of(1, 2, 3, 4, every=1e6), 3e6) is None


@given(st.lists(st.tuples(st.floats(0, 2e9), st.floats(0, 100)), max_size=60), st.floats(0, 2e9))
def test_estimate_is_positive_or_none(seen: list[Mark], now: float) -> None:
    marks: list[Mark] = []
    for moment, percent in seen:
        marks = next_marks(marks, moment, percent)
    left = estimate_remaining_seconds(marks, now)
    assert len(marks) <= MAX_MARKS
    assert left is None or 0 < left <= 30 * 86_400


def test_marks_outlive_a_restart() -> None:
    outbox = watched(linear(20_000), 10_000, 60)
    assert XComOutbox.from_json(json.loads(json.dumps(outbox.to_json()))).marks == outbox.marks


def at(seconds: float, percent: float, state: str = "running", **fields: Any) -> Any:
    return record(state, percent=percent, observed_at=NOW.fromtimestamp(1e9 + seconds, NOW.tzinfo), **fields)


def test_record_of_a_wait_has_the_estimate() -> None:
    waiting = watch(deadline=1e10)
    for number in range(5):
        waiting.observe(at(60 * number, 10.0 * number), 60 * number)
    assert waiting.progress
    assert waiting.progress.remaining_source == "estimate"
    assert waiting.progress.remaining_seconds == pytest.approx(360, rel=0.01)
    waiting.observe(at(270, 40.0), 270)  # without a rise the time goes on
    assert waiting.progress.remaining_seconds == pytest.approx(330, rel=0.01)


@pytest.mark.parametrize("state", ["paused", "failed", "unknown", "pending", "caught_up", "succeeded"])
def test_record_that_does_not_copy_has_no_estimate(state: str) -> None:
    waiting = watch(deadline=1e10)
    for number in range(5):
        waiting.observe(at(60 * number, 10.0 * number), 60 * number)
    waiting.observe(at(300, 50.0, state), 300)
    assert waiting.progress
    assert (waiting.progress.remaining_seconds, waiting.progress.remaining_source) == (None, None)


def test_record_keeps_the_figure_of_the_service() -> None:
    waiting = watch(deadline=1e10)
    for number in range(5):
        given = {"remaining_seconds": 77, "remaining_source": "service"}
        waiting.observe(at(60 * number, 10.0 * number, **given), 60 * number)
    assert waiting.progress
    assert (waiting.progress.remaining_seconds, waiting.progress.remaining_source) == (77, "service")
