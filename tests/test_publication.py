"""What of a wait is written to XCom, and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.publication import MAX_POINTS, Publication, points_of

RECORD, URL, HISTORY = "migration_progress", "migration_console_url", "migration_history"
WAIT = "migration_wait"
STANDING = {"poll_errors": 0}


def record(second: float = 0, **fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{
            "service": "dts",
            "migration_id": "dts1",
            "state": "running",
            "percent": 10,
            "observed_at": datetime.fromtimestamp(1_800_000_000 + second, UTC),
            "console_url": "https://dts.console.aliyun.com/",
            **fields,
        }
    )


def publish(
    publication: Publication, *, interval: float = 1, is_last: bool = False, has_changed: bool = True
) -> list[str]:
    """Take note of a record, write what is due, and give the keys that were."""
    seen = record()
    publication.add(seen, has_changed=has_changed)
    due = publication.due(seen, lambda: None, interval, is_last=is_last)
    for key in due:
        publication.wrote(key)
    return sorted(due)


def test_the_first_record_is_written_with_wait_history_and_address() -> None:
    publication, seen = Publication(), record()
    publication.add(seen, has_changed=True)
    assert publication.due(seen, lambda: STANDING, 60, is_last=False) == {
        WAIT: STANDING,
        RECORD: seen.model_dump(mode="json"),
        URL: "https://dts.console.aliyun.com/",
        HISTORY: [[1_800_000_000, 10, None]],
    }


def test_without_a_record_there_is_the_wait_alone() -> None:
    assert Publication().due(None, lambda: STANDING, 60, is_last=False) == {WAIT: STANDING}
    assert Publication().due(None, lambda: None, 60, is_last=True) == {}


@pytest.mark.parametrize(
    ("interval", "has_changed", "is_last", "written"),
    [
        (9.9, True, False, []),
        (10, True, False, [WAIT]),
        (3600, False, False, []),
        (3600, False, True, [WAIT]),
        (1, True, True, [WAIT]),
    ],
)
def test_a_wait_is_written_anew_when_what_it_tells_has_changed(
    interval: float, has_changed: bool, is_last: bool, written: list[str]
) -> None:
    publication = Publication()
    publication.count_poll(wait_has_changed=False)
    publication.wrote(WAIT)
    publication.count_poll(wait_has_changed=has_changed)
    assert list(publication.due(None, lambda: STANDING, interval, is_last=is_last)) == written


def test_a_wait_that_goes_on_as_it_was_is_never_written_again() -> None:
    publication, writes = Publication(), 0
    for _ in range(1000):
        publication.count_poll(wait_has_changed=False)
        due = publication.due(None, lambda: STANDING, 60, is_last=False)
        writes += len(due)
        for key in due:
            publication.wrote(key)
    assert writes == 1


@pytest.mark.parametrize(
    ("interval", "has_changed", "is_last", "written"),
    [
        (9.9, True, False, []),
        (10, True, False, [RECORD]),
        (119, True, False, [RECORD]),
        (120, True, False, [HISTORY, RECORD]),
        (3600, False, False, []),
        (3600, False, True, [HISTORY, RECORD]),
        (1, True, True, [HISTORY, RECORD]),
    ],
)
def test_a_second_record_is_written_when_it_has_changed_and_does_not_come_too_soon(
    interval: float, has_changed: bool, is_last: bool, written: list[str]
) -> None:
    publication = Publication()
    publish(publication)
    assert publish(publication, interval=interval, is_last=is_last, has_changed=has_changed) == written


@pytest.mark.parametrize(("interval", "writes"), [(1, 10), (3, 25), (60, 100)])
def test_a_record_that_changes_at_every_poll_is_written_every_ten_seconds(
    interval: float, writes: int
) -> None:
    publication = Publication()
    written = [key for _ in range(100) for key in publish(publication, interval=interval)]
    assert written.count(RECORD) == writes


def test_a_change_that_came_too_soon_is_written_later_though_nothing_has_changed_since() -> None:
    publication = Publication()
    publish(publication)
    assert publish(publication, interval=5) == []
    assert publish(publication, interval=5, has_changed=False) == [RECORD]


def test_what_could_not_be_written_is_due_at_the_next_poll() -> None:
    publication, seen = Publication(), record()
    publication.add(seen, has_changed=True)
    for _ in range(2):
        assert {WAIT, RECORD} <= set(publication.due(seen, lambda: STANDING, 1, is_last=False))


def test_the_wait_is_written_after_the_record_of_its_poll() -> None:
    publication, seen = Publication(), record()
    publication.add(seen, has_changed=True)
    assert list(publication.due(seen, lambda: STANDING, 1, is_last=False))[-1] == WAIT


def test_a_migration_without_percent_and_lag_has_no_history() -> None:
    publication, seen = Publication(), record(percent=None)
    publication.add(seen, has_changed=True)
    assert HISTORY not in publication.due(seen, lambda: None, 60, is_last=True)


@given(st.integers(1, 400))
def test_the_history_stays_small_keeps_both_ends_and_is_densest_now(polls: int) -> None:
    publication = Publication()
    for poll in range(polls):
        publication.add(record(poll * 60, lag_seconds=123.456), has_changed=False)
    times = [at - 1_800_000_000 for at, _, _ in publication.points]
    assert len(times) <= MAX_POINTS
    assert len(json.dumps(publication.to_json()["points"])) < 2048
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (0, (polls - 1) * 60)
    recent = times[-MAX_POINTS // 2 :]
    assert recent == [(polls - len(recent) + poll) * 60 for poll in range(len(recent))]


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_a_publication_that_was_written_down_goes_on_as_it_was(polls: Any) -> None:
    kept, written = Publication(), Publication()
    for has_changed, is_last in polls:
        written = Publication.from_json(json.loads(json.dumps(written.to_json())))
        now: dict[str, Any] = {"has_changed": has_changed, "is_last": is_last}
        assert publish(kept, **now) == publish(written, **now)
        assert kept.to_json() == written.to_json()


def test_a_publication_that_knew_of_no_wait_goes_on_and_shows_it() -> None:
    former = {"points": [[1, 10, None]], "records": 3, "changes": 2, "written": {RECORD: [3, 2]}}
    publication = Publication.from_json(former)
    assert (publication.records, publication.written) == (3, {RECORD: (3, 2)})
    assert WAIT in publication.due(None, lambda: STANDING, 60, is_last=False)


@pytest.mark.parametrize("value", [None, 1, "ab", [1], [[1, 2]], [["x", 1, 2]], {"points": []}])
def test_a_history_that_is_none_is_an_empty_one(value: object) -> None:
    assert points_of(value) == []
