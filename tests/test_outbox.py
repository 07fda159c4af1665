"""XCom entries of a wait: content and time of their writes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration import keys
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.wait import outbox
from airflow_provider_migration.wait.outbox import MAX_POINTS, XComOutbox, points_of

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
    box: XComOutbox, *, interval: float = 1, is_last: bool = False, has_changed: bool = True
) -> list[str]:
    """Take note of a record, write what is due, and give the keys that were."""
    seen = record()
    box.add(seen, has_changed=has_changed)
    due = box.due(seen, lambda: None, interval, is_last=is_last)
    for key in due:
        box.mark_written(key)
    return sorted(due)


def test_first_record_is_written_with_every_key() -> None:
    box, seen = XComOutbox(), record()
    box.add(seen, has_changed=True)
    assert box.due(seen, lambda: STANDING, 60, is_last=False) == {
        WAIT: STANDING,
        RECORD: seen.model_dump(mode="json"),
        URL: "https://dts.console.aliyun.com/",
        HISTORY: [[1_800_000_000, 10, None]],
    }


def test_wait_entry_is_written_without_a_record() -> None:
    assert XComOutbox().due(None, lambda: STANDING, 60, is_last=False) == {WAIT: STANDING}
    assert XComOutbox().due(None, lambda: None, 60, is_last=True) == {}


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
def test_wait_entry_is_written_when_changed(
    interval: float, has_changed: bool, is_last: bool, written: list[str]
) -> None:
    box = XComOutbox()
    box.record_poll(wait_has_changed=False)
    box.mark_written(WAIT)
    box.record_poll(wait_has_changed=has_changed)
    assert list(box.due(None, lambda: STANDING, interval, is_last=is_last)) == written


def test_unchanged_wait_entry_is_never_written_again() -> None:
    box, writes = XComOutbox(), 0
    for _ in range(1000):
        box.record_poll(wait_has_changed=False)
        due = box.due(None, lambda: STANDING, 60, is_last=False)
        writes += len(due)
        for key in due:
            box.mark_written(key)
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
def test_record_is_written_when_changed_and_due(
    interval: float, has_changed: bool, is_last: bool, written: list[str]
) -> None:
    box = XComOutbox()
    publish(box)
    assert publish(box, interval=interval, is_last=is_last, has_changed=has_changed) == written


def test_every_xcom_key_has_an_interval_a_counter_and_a_content() -> None:
    named = {value for name, value in vars(keys).items() if name.endswith("_KEY")}
    assert {key.name for key in outbox.KEYS} == named - {
        keys.TRACKER_KEY,
        keys.ALERTS_KEY,
    }  # not entries of the outbox


def test_xcom_key_has_its_own_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    of_one_minute = outbox.Key(
        "migration_alert", 60, outbox._records, lambda outbox_, progress, wait: outbox_.records
    )
    monkeypatch.setattr(outbox, "KEYS", (*outbox.KEYS, of_one_minute))
    box = XComOutbox()
    written = [key for _ in range(10) for key in publish(box, interval=10)]
    assert (written.count("migration_alert"), written.count(RECORD)) == (2, 10)


def test_xcom_key_whose_content_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = outbox.Key("migration_alert", 60, outbox._records, lambda outbox_, progress, wait: {}["missing"])
    monkeypatch.setattr(outbox, "KEYS", (broken, *outbox.KEYS))
    assert publish(XComOutbox()) == [URL, HISTORY, RECORD]
    assert "XCom migration_alert cannot be written" in caplog.text


@pytest.mark.parametrize(("interval", "writes"), [(1, 10), (3, 25), (60, 100)])
def test_changing_record_is_written_every_ten_seconds(interval: float, writes: int) -> None:
    box = XComOutbox()
    written = [key for _ in range(100) for key in publish(box, interval=interval)]
    assert written.count(RECORD) == writes


def test_early_change_is_written_later() -> None:
    box = XComOutbox()
    publish(box)
    assert publish(box, interval=5) == []
    assert publish(box, interval=5, has_changed=False) == [RECORD]


def test_failed_write_is_due_at_the_next_poll() -> None:
    box, seen = XComOutbox(), record()
    box.add(seen, has_changed=True)
    for _ in range(2):
        assert {WAIT, RECORD} <= set(box.due(seen, lambda: STANDING, 1, is_last=False))


def test_wait_entry_is_written_after_the_record() -> None:
    box, seen = XComOutbox(), record()
    box.add(seen, has_changed=True)
    assert list(box.due(seen, lambda: STANDING, 1, is_last=False))[-1] == WAIT


def test_history_needs_percent_or_lag() -> None:
    box, seen = XComOutbox(), record(percent=None)
    box.add(seen, has_changed=True)
    assert HISTORY not in box.due(seen, lambda: None, 60, is_last=True)


@given(st.integers(1, 400))
def test_history_is_bounded_and_keeps_both_ends(polls: int) -> None:
    box = XComOutbox()
    for poll in range(polls):
        box.add(record(poll * 60, lag_seconds=123.456), has_changed=False)
    times = [at - 1_800_000_000 for at, _, _ in box.points]
    assert len(times) <= MAX_POINTS
    assert len(json.dumps(box.to_json()["points"])) < 2048
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (0, (polls - 1) * 60)
    recent = times[-MAX_POINTS // 2 :]
    assert recent == [(polls - len(recent) + poll) * 60 for poll in range(len(recent))]


@pytest.mark.parametrize("polls", [61, 100, 1000, 3000])
def test_history_keeps_older_points_evenly_spaced(polls: int) -> None:
    box = XComOutbox()
    for poll in range(polls):
        box.add(record(poll), has_changed=False)
    older = [at for at, _, _ in box.points[: MAX_POINTS // 2]]
    gaps = [later - at for at, later in pairwise(older)]
    assert max(gaps) <= 3 * polls / len(gaps)


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_restored_outbox_continues(polls: Any) -> None:
    kept, written = XComOutbox(), XComOutbox()
    for has_changed, is_last in polls:
        written = XComOutbox.from_json(json.loads(json.dumps(written.to_json())))
        now: dict[str, Any] = {"has_changed": has_changed, "is_last": is_last}
        assert publish(kept, **now) == publish(written, **now)
        assert kept.to_json() == written.to_json()


def test_restored_outbox_without_a_wait_entry_writes_it() -> None:
    former = {"points": [[1, 10, None]], "records": 3, "changes": 2, "written": {RECORD: [3, 2]}}
    box = XComOutbox.from_json(former)
    assert (box.records, box.written) == (3, {RECORD: (3, 2)})
    assert WAIT in box.due(None, lambda: STANDING, 60, is_last=False)


@pytest.mark.parametrize("value", [None, 1, "ab", [1], [[1, 2]], [["x", 1, 2]], {"points": []}])
def test_invalid_history_is_empty(value: object) -> None:
    assert points_of(value) == []
