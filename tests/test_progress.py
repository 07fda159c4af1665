"""The record: small, clean, and honest about what is not known."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_migration.progress import (
    MAX_MESSAGE_CHARACTERS,
    MAX_RECORD_BYTES,
    MILESTONES,
    SHOWS_ACTIVITY,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    ObjectProgress,
    ObjectSummary,
    Phase,
    bulk_percent,
    clean_text,
    interned_phase,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MOON = "\U0001f31d"


def record(**fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{"service": "dts", "migration_id": "dts1", "state": "running", "observed_at": NOW, **fields}
    )


def phase(name: str, state: str, **fields: Any) -> Phase:
    return Phase(name=name, state=MigrationState(state), **fields)


def test_phases_are_interned_unless_long() -> None:
    def make(error: str) -> Phase:
        return interned_phase(name="full", state=MigrationState.FAILED, percent=3, error=error)

    assert make("a reason") is make("a reason")
    assert make("a reason") == phase("full", "failed", percent=3, error="a reason")
    long = MOON * 300
    assert make(long) == make(long) == phase("full", "failed", percent=3, error=long)
    assert make(long) is not make(long)


def test_percent_has_no_negative_zero() -> None:
    assert str(record(percent=-0.0).percent) == "0.0"


# --- the form -------------------------------------------------------------------------------------------


def test_record_has_the_documented_fields() -> None:
    assert record(statuses_reached={"running"}, warnings=["a list is refused"]).model_dump(mode="json") == {
        "schema_version": 1,
        "service": "dts",
        "migration_id": "dts1",
        "name": None,
        "state": "running",
        "service_status": None,
        "percent": None,
        "phases": [],
        "lag_seconds": None,
        "checkpoint": None,
        "error": None,
        "objects": None,
        "verification": None,
        "throughput": None,
        "remaining_seconds": None,
        "remaining_source": None,
        "retrying": None,
        "observed_at": "2026-01-02T03:04:05Z",
        "request_id": None,
        "console_url": None,
    }


def test_record_survives_xcom() -> None:
    before = record(
        percent=12.3,
        phases=[phase("full", "running", percent=12.3, done=1, total=8, error="x")],
        lag_seconds=1.5,
        checkpoint=NOW,
        error=MigrationErrorInfo(code="c", message="m", remedy="r"),
        objects=ObjectSummary(
            total=1, completed=0, slowest=(ObjectProgress(source="a", destination="b", percent=3),)
        ),
    )
    assert MigrationProgress.model_validate(json.loads(json.dumps(before.model_dump(mode="json")))) == before


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (record(), "state"),
        (phase("full", "running"), "percent"),
        (MigrationErrorInfo(), "code"),
        (ObjectSummary(total=1, completed=0), "total"),
        (ObjectProgress(source="a", destination="b"), "source"),
    ],
)
def test_record_is_immutable(model: Any, field: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, field, None)


@pytest.mark.parametrize("lag", [-0.1, float("inf"), float("nan"), "soon"])
def test_lag_is_never_negative(lag: Any) -> None:
    with pytest.raises(ValidationError):
        record(lag_seconds=lag)


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        (None, None),
        (0, 0),
        (100, 100),
        (50, 50),
        (33.333, 33.3),
        (99.94, 99.9),
        (99.96, 99.9),
        (99.999999, 99.9),
        (0.04, 0),
        (-0.001, None),
        (-1, None),
        (100.001, None),
        (5151, None),
        (float("nan"), None),
        (float("inf"), None),
        (-float("inf"), None),
    ],
)
def test_percent_out_of_range_is_null(given_: float | None, shown: float | None) -> None:
    assert record(percent=given_).percent == shown
    assert phase("full", "running", percent=given_).percent == shown
    assert ObjectProgress(source="a", destination="b", percent=given_).percent == shown


@pytest.mark.parametrize(
    ("given_", "shown"),
    [(None, None), (0, 0), (2**53, 2**53), (-1, None), (2**53 + 1, None), (10**4000, None)],
)
def test_invalid_count_is_null(given_: int | None, shown: int | None) -> None:
    full = phase("full", "running", done=given_, total=given_)
    assert (full.done, full.total) == (shown, shown)


@pytest.mark.parametrize(
    ("percents", "mean"),
    [((), None), ((10,), 10), ((100, 50), 75), ((100, None), None), ((None, None), None)],
)
def test_bulk_percent_needs_every_phase(percents: Any, mean: float | None) -> None:
    bulk = [
        phase(name, "running", percent=p) for name, p in zip(("structure", "full"), percents, strict=False)
    ]
    others = [phase("precheck", "running", percent=1), phase("incremental", "running", percent=2)]
    assert bulk_percent([*bulk, *others]) == mean


# --- milestones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "phases", "reached"),
    [
        ("pending", [], set()),
        ("running", [], set()),
        ("running", [phase("precheck", "succeeded")], set()),
        ("running", [phase("structure", "running"), phase("full", "running")], set()),
        ("running", [phase("structure", "succeeded")], {"structure_done"}),
        ("running", [phase("full", "succeeded")], {"structure_done", "full_done"}),
        ("running", [phase("full", "caught_up")], set()),
        ("running", [phase("table", "succeeded")], set()),
        ("running", [phase("incremental", "succeeded")], set()),
        ("paused", [phase("full", "succeeded")], {"structure_done", "full_done"}),
        ("failed", [phase("structure", "succeeded")], {"structure_done"}),
        ("cancelled", [phase("full", "failed")], set()),
        ("unknown", [], set()),
        ("partially_succeeded", [], set()),
        ("caught_up", [], {"structure_done", "full_done", "caught_up"}),
        ("succeeded", [], set(MILESTONES)),
        ("succeeded", [phase("full", "failed")], set(MILESTONES)),
    ],
)
def test_milestone_is_reached_at_and_past_it(state: str, phases: list[Phase], reached: set[str]) -> None:
    progress = record(state=state, phases=phases)
    assert {milestone for milestone in MILESTONES if progress.reached(milestone)} == reached


@pytest.mark.parametrize("word", ["", "done", "CAUGHT_UP", "running"])
def test_unknown_milestone_is_an_error(word: str) -> None:
    with pytest.raises(ValueError, match="structure_done, full_done, caught_up, succeeded"):
        record().reached(word)


# --- clean texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (None, None),
        ("", None),
        (" \t\n ", None),
        ("plain", "plain"),
        (5, "5"),
        ("a\nb\r\nc\td", "a b c d"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b[2J\x1b[1;1Hb", "a  b"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link", "link"),
        ("a\x00b\x7fc\x9bd", "a b c d"),
        ("abc\u202egpj.exe", "abc gpj.exe"),
        ("a\u2066b\u2069c\u200ed\u200fe\u061cf", "a b c d e f"),
        ("a\u2028b\u2029c", "a b c"),
        ("a\ud800b", "a b"),
        ("{0} {x!r} %s %(y)d", "{0} {x!r} %s %(y)d"),
        ("<script>&amp;", "<script>&amp;"),
        ("我 ü " + MOON, "我 ü " + MOON),
    ],
)
def test_text_is_sanitized(text: Any, clean: str | None) -> None:
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            "https://x/a?Expires=1&OSSAccessKeyId=LTAI&Signature=a%2Fb&b=1 ok",
            "https://x/a?Expires=1&OSSAccessKeyId=***&Signature=***&b=1 ok",
        ),
        ("x-amz-signature=0af, X-Amz-Credential=AK/2026, y", "x-amz-signature=*** X-Amz-Credential=*** y"),
        ("security-token=abc&SecurityToken=def", "security-token=***&SecurityToken=***"),
        (
            "the specified signature is not valid: signature=",
            "the specified signature is not valid: signature=",
        ),
        ("signature mismatch", "signature mismatch"),
    ],
)
def test_redact_signatures_of_addresses(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    ("length", "kept"), [(MAX_MESSAGE_CHARACTERS, MAX_MESSAGE_CHARACTERS), (10**7, MAX_MESSAGE_CHARACTERS)]
)
def test_long_text_is_truncated(length: int, kept: int) -> None:
    text = clean_text("x" * length)
    assert text is not None
    assert len(text) == kept
    assert text.endswith("…") is (length > kept)


@given(st.text(st.characters()), st.integers(1, 50))
@settings(max_examples=200)
def test_text_is_sanitized_idempotently(text: str, limit: int) -> None:
    clean = clean_text(text, limit)
    assert clean is None or (0 < len(clean) <= limit and clean == clean.strip())
    assert clean is None or clean.encode()
    assert clean_text(clean, limit) == clean


@pytest.mark.parametrize("field", ["name", "service_status", "request_id"])
def test_labels_are_sanitized_and_bounded(field: str) -> None:
    value = getattr(record(**{field: "\x1b[1m" + "é" * 1000}), field)
    assert len(value) == 256
    assert value.startswith("éé")


def test_error_texts_are_sanitized() -> None:
    error = MigrationErrorInfo(code="\x00c", message="m\nm", remedy="\u202er")
    assert (error.code, error.message, error.remedy) == ("c", "m m", "r")


# --- size -----------------------------------------------------------------------------------------------


def size(progress: MigrationProgress) -> int:
    return len(json.dumps(progress.model_dump(mode="json")))


@pytest.mark.parametrize("character", ["x", "é", "我", MOON, '"', "\\"])
def test_record_size_holds_for_any_alphabet(character: str) -> None:
    text = character * 3000
    progress = record(
        migration_id=text,
        name=text,
        service_status=text,
        request_id=text,
        phases=[phase(text, "failed", service_status=text, error=text)] * 64,
        error=MigrationErrorInfo(code=text, message=text, remedy=text),
        objects=ObjectSummary(
            total=10**6, completed=0, slowest=(ObjectProgress(source=text, destination=text),) * 20
        ),
    )
    assert MAX_RECORD_BYTES // 8 < size(progress) < MAX_RECORD_BYTES
    assert progress.error is not None
    assert str(progress.error.message).startswith(character * 10)
    assert len(progress.phases) > 1


@pytest.mark.parametrize("character", ["x", MOON, "\x7f"])
def test_record_size_estimate_is_never_too_small(character: str) -> None:
    widest = phase(character, "partially_succeeded", percent=99.9, done=2**53, total=2**53)
    for texts, phases in itertools.product(range(0, 256, 5), range(0, 80, 5)):
        progress = record(
            state="partially_succeeded",
            percent=99.9,
            name=character * texts,
            phases=[widest] * phases,
            lag_seconds=1.2345678901234567e-300,
            checkpoint=NOW.replace(microsecond=123456),
        )
        assert size(progress) <= progress._size()
        assert len(progress.phases) == phases or size(progress) > MAX_RECORD_BYTES / 2


class Noted(MigrationProgress):
    """A record with fields that the size was not written for."""

    note: str | None = None
    remarks: dict[str, str] | None = None


@pytest.mark.parametrize(
    "fields", [{"note": MOON * 5000}, {"note": "x" * 30_000}, {"remarks": {"one": "x" * 30_000}}]
)
def test_record_size_counts_new_fields(fields: dict[str, Any]) -> None:
    noted = Noted(**{**record().model_dump(), **fields})
    assert size(noted) < MAX_RECORD_BYTES


def test_activity_is_decided_for_every_field() -> None:
    assert set(SHOWS_ACTIVITY) == set(MigrationProgress.model_fields)


def test_record_limits_are_as_documented() -> None:
    assert (MAX_RECORD_BYTES, MAX_MESSAGE_CHARACTERS) == (16_384, 2_000)


def test_message_that_just_fits_is_not_truncated() -> None:
    message = "x" * MAX_MESSAGE_CHARACTERS
    progress = record(error=MigrationErrorInfo(message=message, remedy=message))
    assert progress.error is not None
    assert (progress.error.message, progress.error.remedy) == (message, message)


def test_truncation_keeps_states_and_numbers() -> None:
    progress = record(
        state="failed",
        percent=12,
        lag_seconds=3,
        checkpoint=NOW,
        statuses_reached={"a"},
        warnings=["the list is refused"],
        phases=[phase("full", "failed", error=MOON * 2000, done=7)] * 30,
    )
    assert size(progress) < MAX_RECORD_BYTES
    assert (progress.state, progress.percent, progress.lag_seconds) == ("failed", 12, 3)
    assert (progress.checkpoint, progress.statuses_reached) == (NOW, frozenset({"a"}))
    assert progress.warnings == ("the list is refused",)
    assert {(item.name, item.state, item.done) for item in progress.phases} == {("full", "failed", 7)}


long_texts = st.one_of(
    st.text(max_size=30),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=3), st.integers(1, 3000)),
)


@settings(max_examples=60)
@given(
    text=long_texts,
    other=long_texts,
    count=st.integers(),
    phases=st.integers(0, 200),
    slowest=st.integers(0, 50),
    has_error=st.booleans(),
    has_objects=st.booleans(),
)
def test_record_size_is_bounded(
    text: str, other: str, count: int, phases: int, slowest: int, has_error: bool, has_objects: bool
) -> None:
    progress = record(
        name=text,
        service_status=other,
        phases=[phase(text, "running", service_status=other, error=text, done=count)] * phases,
        error=MigrationErrorInfo(code=text, message=other, remedy=text) if has_error else None,
        objects=ObjectSummary(
            total=1, completed=0, slowest=(ObjectProgress(source=text, destination=other),) * slowest
        )
        if has_objects
        else None,
    )
    assert size(progress) < MAX_RECORD_BYTES
    assert MigrationProgress.model_validate(progress.model_dump(mode="json")) == progress
