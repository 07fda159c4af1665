"""Wait, done or fail: the decision that every mode takes alike."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_migration import verdict
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
    MigrationNotFoundError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import (
    MILESTONES,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    ObjectSummary,
    Phase,
)
from airflow_provider_migration.services.wire import StatusTable
from airflow_provider_migration.verdict import (
    Outcome,
    Verdict,
    Watch,
    Wishes,
    chosen_targets,
    describe,
    target_reached,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FULL_DONE = Phase(name="full", state=MigrationState.SUCCEEDED)


def record(state: str = "running", **fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{"service": "dts", "migration_id": "dts1", "state": state, "observed_at": NOW, **fields}
    )


def watch(*targets: str, **wishes: Any) -> Watch:
    return Watch(
        Wishes(**{"targets": targets or ("caught_up",), "started_at": 0, "deadline": 1000, **wishes})
    )


def outcomes(watch: Watch, *polls: tuple[float, Any]) -> list[str]:
    """Return what a watch decides on records, states or errors, each at its time."""
    return [decide(watch, what, now).outcome.value for now, what in polls]


def decide(watch: Watch, what: Any, now: float) -> Verdict:
    if isinstance(what, MigrationError):
        return watch.fail_poll(what, now)
    return watch.observe(record(what) if isinstance(what, str) else what, now)


# --- targets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "progress", "is_reached"),
    [
        ("caught_up", record("caught_up"), True),
        ("CAUGHT_UP", record("caught_up"), True),
        ("caught_up", record("succeeded"), True),
        ("caught_up", record("running"), False),
        ("succeeded", record("caught_up"), False),
        ("succeeded", record("partially_succeeded"), False),
        ("full_done", record("running", phases=[FULL_DONE]), True),
        ("full_done", record("failed", phases=[FULL_DONE]), True),
        ("full_done", record("running"), False),
        ("structure_done", record("caught_up"), True),
        ("pending", record("pending"), True),
        ("pending", record("running"), True),
        ("pending", record("succeeded"), True),
        ("pending", record("failed"), False),
        ("running", record("pending"), False),
        ("running", record("caught_up"), True),
        ("running", record("succeeded"), True),
        ("running", record("paused"), False),
        ("paused", record("paused"), True),
        ("paused", record("running"), False),
        ("paused", record("succeeded"), False),
        ("failed", record("failed"), True),
        ("failed", record("cancelled"), False),
        ("cancelled", record("cancelled"), True),
        ("partially_succeeded", record("partially_succeeded"), True),
        ("partially_succeeded", record("succeeded"), False),
        ("unknown", record("unknown"), True),
        ("unknown", record("running"), False),
        ("Migrating", record("running", words_reached={"migrating"}), True),
        ("migrating", record("failed", words_reached={"migrating"}), True),
        ("Migrating", record("running", words_reached={"prechecking"}), False),
        ("Migrating", record("running", service_status="Migrating"), False),
        ("no such word", record("succeeded"), False),
        ("", record("succeeded"), False),
    ],
)
def test_a_target_is_a_milestone_a_state_or_a_word_and_is_reached_at_it_or_past_it(
    target: str, progress: MigrationProgress, is_reached: bool
) -> None:
    assert target_reached(progress, target) is is_reached


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("Finnished", "'Finnished' is never reached by this service; did you mean 'finished'? It has: "),
        ("cuaght_up", "'cuaght_up' is never reached by this service; did you mean 'caught_up'? It has: "),
        (
            ["full_done", "failled"],
            "'failled' is never reached by this service; did you mean 'failed'? It has: ",
        ),
        ("xyzzy", "'xyzzy' is never reached by this service. It has: "),
        ([], "target_status is empty. It has: "),
    ],
)
def test_a_target_that_is_never_reached_is_answered_with_the_nearest_and_the_milestones_first(
    given: Any, said: str
) -> None:
    table = StatusTable({MigrationState.SUCCEEDED: ("Finished",), MigrationState.FAILED: ("Broken",)})
    with pytest.raises(MigrationConfigurationError) as caught:
        chosen_targets("x", given, table.targets())
    words = "structure_done, full_done, caught_up, succeeded, failed, unknown, broken, finished."
    assert str(caught.value).endswith(f"{said}{words}")


def test_any_one_of_several_targets_is_enough() -> None:
    assert outcomes(watch("succeeded", "paused"), (1, "running"), (2, "paused")) == ["wait", "done"]


# --- one record -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("pending", "wait"),
        ("running", "wait"),
        ("caught_up", "done"),
        ("paused", "wait"),
        ("succeeded", "done"),
        ("partially_succeeded", "fail"),
        ("failed", "fail"),
        ("cancelled", "fail"),
        ("unknown", "wait"),
    ],
)
def test_each_state_has_its_verdict(state: str, outcome: str) -> None:
    assert outcomes(watch("caught_up"), (1, state)) == [outcome]


@pytest.mark.parametrize("state", ["succeeded", "partially_succeeded", "cancelled"])
def test_a_migration_that_ends_elsewhere_than_wanted_fails(state: str) -> None:
    verdict = watch("paused").observe(record(state), 5)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith("The migration ended short of the target: ")


@pytest.mark.parametrize(
    ("wishes", "state", "outcome", "reason"),
    [
        ({}, "paused", "wait", ""),
        ({"on_paused": "fail"}, "paused", "fail", "The migration is paused"),
        ({"on_paused": "skip"}, "paused", "skip", "The migration is paused"),
        ({"on_paused": "fail"}, "running", "wait", ""),
        ({}, "unknown", "wait", ""),
        ({"on_unknown": "fail"}, "unknown", "fail", "The service reports a status that is not known"),
        ({"on_unknown": "fail"}, "paused", "wait", ""),
        ({"targets": ("paused",), "on_paused": "fail"}, "paused", "done", "Reached"),
        ({"targets": ("unknown",), "on_unknown": "fail"}, "unknown", "done", "Reached"),
        ({"targets": ("failed",)}, "failed", "done", "Reached"),
    ],
)
def test_paused_and_unknown_are_what_the_arguments_say(
    wishes: Any, state: str, outcome: str, reason: str
) -> None:
    verdict = watch(**wishes).observe(record(state), 5)
    assert verdict.outcome.value == outcome
    assert verdict.reason.startswith(reason)
    assert bool(verdict.reason) is bool(reason)


def test_a_verdict_tells_the_last_state_the_wanted_one_and_the_time() -> None:
    failed = record(
        "failed",
        service_status="MigrationFailed",
        percent=40,
        error=MigrationErrorInfo(code="c", message="disk full", remedy="buy a disk"),
    )
    verdict = watch("caught_up", "succeeded", started_at=100).observe(failed, 160.4)
    assert verdict.reason == (
        "The migration failed: dts dts1: failed (MigrationFailed) 40 %; disk full; what to do: buy a disk; "
        "wanted caught_up or succeeded; waited 60 s."
    )


# --- time -----------------------------------------------------------------------------------------------


def test_waiting_ends_at_the_deadline_with_the_state_seen_then() -> None:
    waiting = watch()
    assert outcomes(waiting, (999.9, "running"), (1000, "running")) == ["wait", "timeout"]
    assert waiting.observe(record("running"), 1001).reason == (
        "The time is up: dts dts1: running; wanted caught_up; waited 1001 s."
    )


@pytest.mark.parametrize(("state", "outcome"), [("caught_up", "done"), ("failed", "fail")])
def test_a_poll_at_the_deadline_still_counts(state: str, outcome: str) -> None:
    assert outcomes(watch(), (5000, state)) == [outcome]


def test_a_poll_that_fails_at_the_deadline_is_a_timeout_that_says_why() -> None:
    verdict = watch().fail_poll(MigrationServiceError("HTTP 503"), 1000)
    assert verdict.outcome is Outcome.TIMEOUT
    assert verdict.reason == (
        "The time is up: no answer yet; wanted caught_up; waited 1000 s. The last poll failed: HTTP 503"
    )


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([(0, "caught_up"), (29, "caught_up"), (30, "caught_up")], ["wait", "wait", "done"]),
        ([(0, "caught_up"), (29, "running"), (30, "caught_up")], ["wait", "wait", "wait"]),
        ([(0, "caught_up"), (1, "running"), (2, "caught_up"), (32, "caught_up")], ["wait"] * 3 + ["done"]),
        ([(0, "caught_up"), (40, "running"), (80, "caught_up")], ["wait"] * 3),
        ([(0, "caught_up"), (20, "succeeded"), (30, "succeeded")], ["wait", "wait", "done"]),
        ([(0, "caught_up"), (20, MigrationServiceError()), (30, "caught_up")], ["wait", "wait", "done"]),
        ([(0, "caught_up"), (30, MigrationServiceError())], ["wait", "wait"]),
        (
            [(100, "caught_up"), (50, "caught_up"), (79, "caught_up"), (80, "caught_up")],
            ["wait"] * 3 + ["done"],
        ),
        ([(0, "caught_up"), (10, "failed")], ["wait", "fail"]),
        ([(980, "caught_up"), (1000, "caught_up")], ["wait", "timeout"]),
    ],
)
def test_hold_for_wants_the_target_held_without_a_break(polls: Any, expected: list[str]) -> None:
    assert outcomes(watch(hold_for=30), *polls) == expected


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([(0, "failed"), (59, "failed"), (60, "failed")], ["wait", "wait", "fail"]),
        ([(0, "failed"), (30, "running"), (60, "failed"), (119, "failed")], ["wait"] * 4),
        ([(0, "failed"), (30, MigrationServiceError()), (60, "failed")], ["wait", "wait", "fail"]),
        ([(0, "failed"), (30, "caught_up")], ["wait", "done"]),
        ([(0, "cancelled")], ["fail"]),
        ([(100, "failed"), (20, "failed"), (79, "failed"), (80, "failed")], ["wait"] * 3 + ["fail"]),
        ([(990, "failed"), (1000, "failed")], ["wait", "timeout"]),
    ],
)
def test_failure_grace_lets_a_failed_migration_turn_around(polls: Any, expected: list[str]) -> None:
    assert outcomes(watch(failure_grace=60), *polls) == expected


def phases(percent: float) -> MigrationProgress:
    return record(phases=[Phase(name="full", state=MigrationState.RUNNING, percent=percent)])


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([(0, phases(1)), (59, phases(1)), (60, phases(1))], ["wait", "wait", "fail"]),
        ([(0, phases(1)), (59, phases(2)), (118, phases(2)), (119, phases(2))], ["wait"] * 3 + ["fail"]),
        ([(0, record(lag_seconds=5)), (60, record(lag_seconds=65))], ["wait", "fail"]),
        ([(0, record(lag_seconds=500)), (60, record(lag_seconds=499))], ["wait", "wait"]),
        ([(0, record(lag_seconds=500)), (60, record(lag_seconds=500))], ["wait", "wait"]),
        ([(0, record(lag_seconds=500)), (60, record(lag_seconds=559))], ["wait", "fail"]),
        ([(0, record()), (60, record(lag_seconds=5))], ["wait", "wait"]),
        ([(0, record(checkpoint=NOW)), (60, record(checkpoint=NOW.replace(hour=4)))], ["wait", "wait"]),
        ([(0, record(request_id="1")), (60, record(request_id="2"))], ["wait", "fail"]),
        ([(0, record()), (60, record(observed_at=NOW.replace(hour=4)))], ["wait", "fail"]),
        ([(0, "running"), (30, MigrationServiceError()), (60, "running")], ["wait", "wait", "fail"]),
        ([(0, "running"), (59, "paused"), (60, "running")], ["wait"] * 3),
        ([(100, "running"), (50, "running"), (109, "running"), (110, "running")], ["wait"] * 3 + ["fail"]),
        ([(0, "caught_up"), (60, "caught_up")], ["done", "done"]),
    ],
)
def test_stall_timeout_fails_when_nothing_moves(polls: Any, expected: list[str]) -> None:
    assert outcomes(watch(stall_timeout=60), *polls) == expected


@pytest.mark.parametrize("lag", [None, 0.0, 30.0])
def test_a_migration_that_is_in_sync_does_not_stall(lag: float | None) -> None:
    in_sync = record("caught_up", lag_seconds=lag)
    polls = [(seconds, in_sync) for seconds in (0, 60, 600)]
    assert outcomes(watch(targets=("succeeded",), stall_timeout=60), *polls) == ["wait"] * 3


def test_a_stall_says_for_how_long() -> None:
    waiting = watch(stall_timeout=60)
    waiting.observe(record(), 10)
    assert waiting.observe(record(), 75).reason.startswith("Nothing has moved for 65 s: dts dts1: running;")


# --- polls that fail ------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [0, 1, 5])
@pytest.mark.parametrize("error", [MigrationServiceError, MigrationThrottledError, MigrationResponseError])
def test_exactly_so_many_polls_in_a_row_may_fail(allowed: int, error: type[MigrationError]) -> None:
    waiting = watch(max_poll_errors=allowed)
    polls = [(number, error("no")) for number in range(allowed + 1)]
    assert outcomes(waiting, *polls) == ["wait"] * allowed + ["poll_error"]


def test_a_poll_that_succeeds_begins_the_count_anew() -> None:
    error = MigrationServiceError("no")
    polls = [(1, error), (2, error), (3, "running"), (4, error), (5, error), (6, error)]
    assert outcomes(watch(max_poll_errors=2), *polls) == ["wait"] * 5 + ["poll_error"]


def test_too_many_failed_polls_say_how_many_were_allowed() -> None:
    waiting = watch(max_poll_errors=1)
    waiting.fail_poll(MigrationServiceError("no"), 1)
    verdict = waiting.fail_poll(MigrationServiceError("no"), 2)
    assert verdict.reason == (
        "Polling has failed 2 times in a row (max_poll_errors=1): no answer yet; "
        "wanted caught_up; waited 2 s. "
    )


def test_without_a_limit_only_the_deadline_ends_failing_polls() -> None:
    polls = [(number * 10, MigrationServiceError("no")) for number in range(101)]
    assert outcomes(watch(max_poll_errors=None), *polls) == ["wait"] * 100 + ["timeout"]


@pytest.mark.parametrize(
    "error",
    [MigrationAuthenticationError, MigrationNotFoundError, MigrationConfigurationError, MigrationError],
)
@pytest.mark.parametrize("allowed", [5, None])
def test_an_error_that_does_not_pass_ends_the_wait(error: type[MigrationError], allowed: int | None) -> None:
    verdict = watch(max_poll_errors=allowed).fail_poll(error("no"), 1)
    assert verdict.outcome is Outcome.POLL_ERROR
    assert verdict.reason == "Polling has failed: no answer yet; wanted caught_up; waited 1 s. "


def test_a_connection_that_is_missing_ends_the_wait_at_the_first_poll_only() -> None:
    missing = MigrationConnectionNotFoundError("no")
    assert watch().fail_poll(missing, 1).outcome is Outcome.POLL_ERROR
    polls: list[tuple[float, Any]] = [(0, "running"), (1, missing), (2, missing), (3, missing)]
    assert outcomes(watch(max_poll_errors=2), *polls) == ["wait", "wait", "wait", "poll_error"]


def test_the_first_failure_that_is_one_too_many_is_told_as_one() -> None:
    verdict = watch(max_poll_errors=0).fail_poll(MigrationServiceError("no"), 1)
    assert verdict.reason.startswith("Polling has failed once (max_poll_errors=0): ")


def test_a_failed_poll_keeps_the_last_record_and_changes_nothing() -> None:
    waiting = watch()
    waiting.observe(record("paused"), 1)
    changes = waiting.publication.changes
    waiting.fail_poll(MigrationServiceError("no"), 2)
    assert waiting.progress == record("paused")
    assert waiting.publication.changes == changes


# --- what is told of the wait -----------------------------------------------------------------------------


def wait_of(watch: Watch, what: Any, now: float) -> dict[str, Any]:
    """Give what XCom tells after a record, a state or an error."""
    verdict = decide(watch, what, now)
    return watch.wait_to_json(verdict, what if isinstance(what, MigrationError) else None)


def test_a_wait_tells_what_it_is_for_and_until_when() -> None:
    which = {"service": "dts", "migration_id": "dts1"}
    wishes = {"max_lag": 10, "hold_for": 600, "stall_timeout": 900, "poke_interval": 30}
    assert wait_of(watch("caught_up", "succeeded", **which, **wishes), "running", 5) == {
        "service": "dts",
        "migration_id": "dts1",
        "targets": ["caught_up", "succeeded"],
        "max_lag": 10,
        "hold_for": 600,
        "stall_timeout": 900,
        "poke_interval": 30,
        "exponential_backoff": False,
        "started_at": 0,
        "deadline": 1000,
        "held_since": None,
        "poll_errors": 0,
        "max_poll_errors": 5,
        "errors_since": None,
        "last_error": None,
        "outcome": None,
        "reason": None,
    }


def test_a_wait_tells_since_when_the_target_holds_and_that_it_ceased() -> None:
    waiting = watch(hold_for=600)
    told = [
        wait_of(waiting, what, now)["held_since"]
        for now, what in [(1, "running"), (2, "caught_up"), (3, "caught_up"), (4, "running")]
    ]
    assert told == [None, 2, 2, None]


def test_a_wait_tells_since_when_polls_fail_how_often_and_why() -> None:
    waiting = watch()
    busy, away = MigrationThrottledError("slow down"), MigrationServiceError("HTTP 503")
    polls = [(1, "running"), (2, busy), (3, away), (4, "running")]
    told = [wait_of(waiting, what, now) for now, what in polls]
    assert [(wait["poll_errors"], wait["errors_since"], wait["last_error"]) for wait in told] == [
        (0, None, None),
        (1, 2, "slow down"),
        (2, 2, "HTTP 503"),
        (0, None, None),
    ]


@pytest.mark.parametrize(
    ("wishes", "what", "outcome", "reason"),
    [
        ({}, "caught_up", "done", "Reached: "),
        ({}, "failed", "fail", "The migration failed: "),
        ({"on_paused": "skip"}, "paused", "skip", "The migration is paused: "),
        ({"deadline": 5}, "running", "timeout", "The time is up: "),
        ({"max_poll_errors": 0}, MigrationServiceError("HTTP 503"), "poll_error", "Polling has failed once"),
    ],
)
def test_a_wait_tells_how_it_ended_and_why(wishes: Any, what: Any, outcome: str, reason: str) -> None:
    told = wait_of(watch(**wishes), what, 5)
    assert told["outcome"] == outcome
    assert told["reason"].startswith(reason)
    assert ("HTTP 503" in told["reason"]) is (outcome == "poll_error")


@pytest.mark.parametrize("text", ["x" * 100_000, "错" * 100_000, "🙂" * 100_000])
def test_a_wait_stays_small_whatever_is_answered(text: str) -> None:
    words = [f"word {number}" for number in range(5000)]
    waiting = watch(*words, migration_id=text, max_poll_errors=0)
    told = wait_of(waiting, MigrationServiceError(text), 5)
    assert len(json.dumps(told)) < 4096
    assert told["outcome"] == "poll_error"
    assert told["reason"].startswith("Polling")


@pytest.mark.parametrize(
    ("polls", "changes"),
    [
        (["running", "running", record("running", percent=5), "paused"], [0, 0, 0, 0]),
        (["running", MigrationServiceError("no"), MigrationServiceError("no"), "running"], [0, 1, 1, 1]),
        (["caught_up", "caught_up", "running", "running"], [1, 0, 1, 0]),
    ],
)
def test_what_counts_as_a_change_of_the_wait(polls: list[Any], changes: list[int]) -> None:
    waiting, counted = watch(hold_for=600), [0]
    for number, what in enumerate(polls):
        decide(waiting, what, number)
        counted.append(waiting.publication.wait_changes)
    assert [after - before for before, after in pairwise(counted)] == changes
    assert waiting.publication.polls == len(polls)


# --- the pace -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "pause"), [(0, 60), (939, 60), (940, 60), (970, 30), (1000, 0), (2000, 0), (-500, 60)]
)
def test_the_next_poll_comes_after_the_interval_and_never_beyond_the_deadline(
    now: float, pause: float
) -> None:
    assert watch(poke_interval=60).next_poll_in(now) == pause


@pytest.mark.parametrize(
    ("polls", "least"), [(0, 15), (1, 30), (2, 60), (3, 120), (4, 240), (10, 15360), (5000, 60 * 2**64)]
)
def test_backing_off_doubles_the_interval_and_spreads_it(polls: int, least: float) -> None:
    waiting = watch(poke_interval=60, exponential_backoff=True, deadline=1e30, max_poll_errors=None)
    for _ in range(polls):
        waiting.fail_poll(MigrationServiceError("no"), 0)
    pause = waiting.next_poll_in(0)
    assert least <= pause < 2 * least
    assert pause == waiting.next_poll_in(0)


def test_backing_off_differs_from_task_to_task() -> None:
    pauses = {
        watch(exponential_backoff=True, started_at=start, deadline=1e9, poke_interval=600).next_poll_in(0)
        for start in range(20)
    }
    assert len(pauses) > 10


@pytest.mark.parametrize(("max_wait", "pause"), [(90, 90), (10**9, 1000)])
def test_backing_off_goes_no_further_than_max_wait_and_the_deadline(max_wait: float, pause: float) -> None:
    waiting = watch(exponential_backoff=True, max_wait=max_wait)
    for _ in range(12):
        waiting.observe(record(), 0)
    assert waiting.next_poll_in(0) == pause


def test_a_small_interval_backs_off_from_one_second() -> None:
    waiting = watch(poke_interval=0.1, exponential_backoff=True)
    assert waiting.next_poll_in(0) == 1


# --- news -----------------------------------------------------------------------------------------------


def news(watch: Watch, *polls: Any) -> list[str | None]:
    lines = []
    for number, what in enumerate(polls):
        decide(watch, what, number)
        lines.append(watch.news(what if isinstance(what, MigrationError) else None))
    return lines


def test_before_the_first_poll_there_is_no_news() -> None:
    assert watch().news() is None


def test_only_a_change_is_news() -> None:
    lines = news(watch(), "pending", "pending", "running", "running", "pending")
    assert lines == ["dts dts1: pending", None, "dts dts1: running", None, "dts dts1: pending"]


@pytest.mark.parametrize(
    ("first", "second", "is_news"),
    [
        (record(percent=40.1), record(percent=40.9), False),
        (record(percent=40.9), record(percent=41), True),
        (record(percent=None), record(percent=0), True),
        (record(lag_seconds=1), record(lag_seconds=100), False),
        (record(request_id="1"), record(request_id="2"), False),
        (record(service_status="Migrating"), record(service_status="Retrying"), True),
        (record(phases=[]), record(phases=[FULL_DONE]), True),
        (record(), record(error=MigrationErrorInfo(message="m")), True),
        (
            record(objects=ObjectSummary(total=2, completed=0)),
            record(objects=ObjectSummary(total=2, completed=1)),
            True,
        ),
    ],
)
def test_what_is_worth_a_line(first: Any, second: Any, is_news: bool) -> None:
    line = news(watch(), first, second)[1]
    assert (line is not None) is is_news


def test_half_a_percent_is_no_news_after_none_also_for_another_process() -> None:
    before = watch()
    assert news(before, record(percent=0.0)) == ["dts dts1: running 0 %"]
    after = Watch.from_json(json.loads(json.dumps(before.to_json())))
    assert news(after, record(percent=0.5)) == [None]


def test_an_error_is_news_once_and_so_is_its_end() -> None:
    throttled = MigrationThrottledError("slow down", code="Throttling")
    lines = news(watch(), "running", throttled, throttled, MigrationServiceError("HTTP 503"), "running")
    assert lines == [
        "dts dts1: running",
        "Poll 2 failed: slow down",
        None,
        "Poll 4 failed: HTTP 503",
        "dts dts1: running",
    ]


def test_a_line_tells_state_phase_percent_and_lag() -> None:
    progress = record(
        service_status="Migrating",
        percent=62.5,
        phases=[
            FULL_DONE,
            Phase(name="table", state=MigrationState.RUNNING, percent=25),
            Phase(name="incremental", state=MigrationState.RUNNING),
        ],
        lag_seconds=3.6,
    )
    assert describe(progress) == "dts dts1: running (Migrating) 62.5 % in table 25 %, incremental lag 4 s"


@pytest.mark.parametrize(
    ("error", "tail"),
    [
        (None, ""),
        (MigrationErrorInfo(), ""),
        (MigrationErrorInfo(code="c"), "; c"),
        (MigrationErrorInfo(code="c", message="m {0} %s"), "; m {0} %s"),
        (MigrationErrorInfo(code="c", remedy="r"), "; c; what to do: r"),
    ],
)
def test_a_line_tells_the_error_as_far_as_it_is_known(error: Any, tail: str) -> None:
    assert describe(record("failed", service_status="FAILED", error=error)) == f"dts dts1: failed{tail}"


@pytest.mark.parametrize(
    ("second", "has_changed"),
    [
        (record("running"), False),
        (record("running", observed_at=NOW.replace(hour=9), request_id="x"), False),
        (record("running", lag_seconds=2), True),
        (record("paused"), True),
    ],
)
def test_a_record_has_changed_when_more_than_its_time_has(second: Any, has_changed: bool) -> None:
    waiting = watch()
    waiting.observe(record("running"), 1)
    assert waiting.publication.changes == 1
    waiting.observe(second, 2)
    assert waiting.publication.changes == 1 + has_changed


# --- what always holds ----------------------------------------------------------------------------------

records = st.builds(
    record,
    st.sampled_from([state.value for state in MigrationState]),
    percent=st.none() | st.floats(0, 100),
    lag_seconds=st.none() | st.floats(0, 1e6),
    phases=st.lists(
        st.builds(Phase, name=st.sampled_from(["structure", "full"]), state=st.sampled_from(MigrationState)),
        max_size=2,
    ),
    words_reached=st.sets(st.sampled_from(["migrating", "finished"])),
)
errors = st.sampled_from(
    [MigrationServiceError("x"), MigrationThrottledError("y"), MigrationNotFoundError("z")]
)
polls = st.lists(st.tuples(st.floats(-2000, 3000), records | errors), max_size=15)
wishes = st.fixed_dictionaries(
    {
        "targets": st.lists(
            st.sampled_from([*MILESTONES, "paused", "failed", "running", "Migrating"]), min_size=1, max_size=3
        ).map(tuple),
        "on_paused": st.sampled_from(["wait", "fail", "skip"]),
        "on_unknown": st.sampled_from(["wait", "fail"]),
        "failure_grace": st.floats(0, 2000),
        "stall_timeout": st.none() | st.floats(1, 2000),
        "hold_for": st.floats(0, 2000),
        "max_poll_errors": st.none() | st.integers(0, 5),
        "poke_interval": st.floats(0, 500),
        "exponential_backoff": st.booleans(),
        "max_wait": st.none() | st.floats(1, 500),
    }
)


@settings(max_examples=200)
@given(wishes, polls)
def test_nothing_is_done_unless_the_target_is_reached_at_that_poll(wanted: Any, polled: Any) -> None:
    waiting = watch(**wanted)
    for now, what in polled:
        verdict = decide(waiting, what, now)
        if verdict.outcome is Outcome.DONE:
            assert isinstance(what, MigrationProgress)
            assert any(target_reached(what, target) for target in wanted["targets"])


@settings(max_examples=200)
@given(wishes, polls, records | errors, st.floats(1000, 1e9))
def test_every_wait_ends_by_the_deadline(wanted: Any, polled: Any, last: Any, now: float) -> None:
    waiting = watch(**wanted)
    for then, what in polled:
        decide(waiting, what, then)
        assert 0 <= waiting.next_poll_in(then) <= max(1000 - then, 0)
    assert decide(waiting, last, now).outcome is not Outcome.WAIT


@settings(max_examples=200)
@given(wishes, polls)
def test_a_watch_that_was_written_down_decides_and_tells_the_same(wanted: Any, polled: Any) -> None:
    kept, written = watch(**wanted), watch(**wanted)
    for now, what in polled:
        progress = written.progress
        written = Watch.from_json(json.loads(json.dumps(written.to_json())))
        written.progress = progress
        assert decide(kept, what, now) == decide(written, what, now)
        error = what if isinstance(what, MigrationError) else None
        assert kept.news(error) == written.news(error)
        assert kept.next_poll_in(now) == written.next_poll_in(now)
        assert kept.to_json() == written.to_json()


@settings(max_examples=100)
@given(wishes, polls)
def test_every_end_gives_a_reason_unless_the_error_is_the_reason(wanted: Any, polled: Any) -> None:
    waiting = watch(**wanted)
    for now, what in polled:
        verdict = decide(waiting, what, now)
        assert verdict.reason or verdict.outcome in (Outcome.WAIT, Outcome.POLL_ERROR)
        if verdict.outcome is Outcome.POLL_ERROR:
            assert isinstance(what, MigrationError)


def test_what_another_version_wrote_down_is_read_as_far_as_it_is_known() -> None:
    written = Watch(Wishes(targets=("caught_up",), started_at=0, deadline=10)).to_json()
    written["wishes"]["of_a_later_version"] = True
    del written["history"]["last_told"]
    del written["history"]["errors_since"]
    del written["publication"]
    read = Watch.from_json(written)
    assert read.wishes.targets == ("caught_up",)
    assert read.history.last_told is None


# --- what a poll costs ----------------------------------------------------------------------------------


def test_a_record_that_says_the_same_again_is_not_digested_again(monkeypatch: pytest.MonkeyPatch) -> None:
    watching, digested = watch(), []
    digest = verdict._digest

    def note(value: object) -> str:
        digested.append(value)
        return digest(value)

    monkeypatch.setattr(verdict, "_digest", note)
    for poll in range(5):
        watching.observe(
            record(request_id=f"r{poll}", observed_at=NOW + timedelta(minutes=poll)), 60.0 * poll
        )
        watching.news()
    assert len(digested) == 2  # what moves, and what is told, once each
