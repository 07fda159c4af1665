"""Wait, done or fail: the decision that every mode takes alike."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
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
    Retrying,
    TableVerification,
    Throughput,
    Verification,
    VerificationState,
)
from airflow_provider_migration.services.wire import StatusTable
from airflow_provider_migration.wait import tracker as tracker_module
from airflow_provider_migration.wait.messages import describe
from airflow_provider_migration.wait.policy import WaitPolicy, chosen_targets, target_reached
from airflow_provider_migration.wait.tracker import WAIT, History, Outcome, Verdict, WaitTracker, allowed_gap

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUSY = MigrationServiceError("busy")
FULL_DONE = Phase(name="full", state=MigrationState.SUCCEEDED)


def record(state: str = "running", **fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{"service": "dts", "migration_id": "dts1", "state": state, "observed_at": NOW, **fields}
    )


def behind(at: float, lag: float, checkpoint: float | None = None) -> MigrationProgress:
    """Make a record that was observed at a time, with its lag and perhaps its checkpoint."""
    return record(
        lag_seconds=lag,
        observed_at=NOW + timedelta(seconds=at),
        checkpoint=None if checkpoint is None else NOW + timedelta(seconds=checkpoint),
    )


def watch(*targets: str, **policy: Any) -> WaitTracker:
    return WaitTracker(
        WaitPolicy(**{"targets": targets or ("caught_up",), "started_at": 0, "deadline": 1000, **policy})
    )


def outcomes(watch: WaitTracker, *polls: tuple[float, Any]) -> list[str]:
    """Return what a watch decides on records, states or errors, each at its time."""
    return [decide(watch, what, now).outcome.value for now, what in polls]


def decide(watch: WaitTracker, what: Any, now: float) -> Verdict:
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
        ("Migrating", record("running", statuses_reached={"migrating"}), True),
        ("migrating", record("failed", statuses_reached={"migrating"}), True),
        ("Migrating", record("running", statuses_reached={"prechecking"}), False),
        ("Migrating", record("running", service_status="Migrating"), False),
        ("no such word", record("succeeded"), False),
        ("", record("succeeded"), False),
    ],
)
def test_target_is_reached_at_or_past_it(target: str, progress: MigrationProgress, is_reached: bool) -> None:
    assert target_reached(progress, target) is is_reached


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("Finnished", "'Finnished' is never reached by this service; did you mean 'finished'? Possible: "),
        ("cuaght_up", "'cuaght_up' is never reached by this service; did you mean 'caught_up'? Possible: "),
        (
            ["full_done", "failled"],
            "'failled' is never reached by this service; did you mean 'failed'? Possible: ",
        ),
        ("xyzzy", "'xyzzy' is never reached by this service. Possible: "),
        ([], "target_status is empty. Possible: "),
    ],
)
def test_unknown_target_suggests_the_nearest(given: Any, said: str) -> None:
    table = StatusTable({MigrationState.SUCCEEDED: ("Finished",), MigrationState.FAILED: ("Broken",)})
    with pytest.raises(MigrationConfigurationError) as caught:
        chosen_targets("x", given, table.targets())
    words = "structure_done, full_done, caught_up, succeeded, failed, unknown, broken, finished."
    assert str(caught.value).endswith(f"{said}{words}")


def test_one_of_several_targets_is_enough() -> None:
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
def test_verdict_of_each_state(state: str, outcome: str) -> None:
    assert outcomes(watch("caught_up"), (1, state)) == [outcome]


@pytest.mark.parametrize("state", ["succeeded", "partially_succeeded", "cancelled"])
def test_end_short_of_the_target_fails(state: str) -> None:
    verdict = watch("paused").observe(record(state), 5)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith("The migration ended before reaching the target: ")


@pytest.mark.parametrize(
    ("policy", "state", "outcome", "reason"),
    [
        ({}, "paused", "wait", ""),
        ({"on_paused": "fail"}, "paused", "fail", "The migration is paused"),
        ({"on_paused": "skip"}, "paused", "skip", "The migration is paused"),
        ({"on_paused": "fail"}, "running", "wait", ""),
        ({}, "unknown", "wait", ""),
        ({"on_unknown": "fail"}, "unknown", "fail", "The service reports an unknown status"),
        ({"on_unknown": "fail"}, "paused", "wait", ""),
        ({"targets": ("paused",), "on_paused": "fail"}, "paused", "done", "Reached"),
        ({"targets": ("unknown",), "on_unknown": "fail"}, "unknown", "done", "Reached"),
        ({"targets": ("failed",)}, "failed", "done", "Reached"),
    ],
)
def test_on_paused_and_on_unknown_decide(policy: Any, state: str, outcome: str, reason: str) -> None:
    verdict = watch(**policy).observe(record(state), 5)
    assert verdict.outcome.value == outcome
    assert verdict.reason.startswith(reason)
    assert bool(verdict.reason) is bool(reason)


def test_verdict_names_state_target_and_time() -> None:
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


def test_deadline_ends_the_wait_with_the_last_state() -> None:
    waiting = watch()
    assert outcomes(waiting, (999.9, "running"), (1000, "running")) == ["wait", "timeout"]
    assert waiting.observe(record("running"), 1001).reason == (
        "Timed out: dts dts1: running; wanted caught_up; waited 1001 s."
    )


@pytest.mark.parametrize(("state", "outcome"), [("caught_up", "done"), ("failed", "fail")])
def test_deadline_poll_still_counts(state: str, outcome: str) -> None:
    assert outcomes(watch(), (5000, state)) == [outcome]


def test_deadline_poll_that_fails_is_a_timeout() -> None:
    verdict = watch().fail_poll(MigrationServiceError("HTTP 503"), 1000)
    assert verdict.outcome is Outcome.TIMEOUT
    assert verdict.reason == (
        "Timed out: no answer yet; wanted caught_up; waited 1000 s. The last poll failed: HTTP 503"
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
        # What was not observed does not count: up to 150 s at an interval of 60 s.
        ([(0, "caught_up"), (150, "caught_up")], ["wait", "done"]),
        ([(0, "caught_up"), (151, "caught_up"), (181, "caught_up")], ["wait", "wait", "done"]),
        ([(0, "caught_up"), (60, BUSY), (120, BUSY), (180, BUSY), (200, "caught_up")], ["wait"] * 5),
        ([(0, "caught_up"), (10, "caught_up"), (9, "caught_up"), (31, "caught_up")], ["wait"] * 4),
        ([(980, "caught_up"), (1000, "caught_up")], ["wait", "timeout"]),
    ],
)
def test_hold_for_needs_the_target_without_a_break(polls: Any, expected: list[str]) -> None:
    assert outcomes(watch(hold_for=30), *polls) == expected


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([(0, "failed"), (59, "failed"), (60, "failed")], ["wait", "wait", "fail"]),
        ([(0, "failed"), (30, "running"), (60, "failed"), (119, "failed")], ["wait"] * 4),
        ([(0, "failed"), (30, MigrationServiceError()), (60, "failed")], ["wait", "wait", "fail"]),
        ([(0, "failed"), (151, "failed"), (210, "failed"), (211, "failed")], ["wait"] * 3 + ["fail"]),
        ([(0, "failed"), (30, "caught_up")], ["wait", "done"]),
        ([(0, "cancelled")], ["fail"]),
        ([(100, "failed"), (20, "failed"), (79, "failed"), (80, "failed")], ["wait"] * 3 + ["fail"]),
        ([(990, "failed"), (1000, "failed")], ["wait", "timeout"]),
    ],
)
def test_failure_grace_tolerates_a_recovery(polls: Any, expected: list[str]) -> None:
    assert outcomes(watch(failure_grace=60), *polls) == expected


def phases(percent: float) -> MigrationProgress:
    return record(phases=[Phase(name="full", state=MigrationState.RUNNING, percent=percent)])


@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([(0, phases(1)), (59, phases(1)), (60, phases(1))], ["wait", "wait", "fail"]),
        ([(0, phases(1)), (59, phases(2)), (118, phases(2)), (119, phases(2))], ["wait"] * 3 + ["fail"]),
        ([(0, behind(0, 5)), (60, behind(60, 65))], ["wait", "fail"]),
        ([(0, behind(0, 500)), (60, behind(60, 499))], ["wait", "wait"]),
        ([(0, behind(0, 500)), (60, behind(60, 500))], ["wait", "wait"]),
        ([(0, behind(0, 500)), (60, behind(60, 559))], ["wait", "fail"]),
        # A checkpoint says it better than a lag.
        ([(0, behind(0, 500, 0)), (60, behind(60, 500, 0))], ["wait", "fail"]),
        ([(0, behind(0, 500, 0)), (60, behind(60, 560, 30))], ["wait", "wait"]),
        # One odd low sample, a resume from an older point, a clock that was set back.
        (
            [(0, behind(0, 500)), (30, behind(30, 1)), (60, behind(60, 500)), (95, behind(95, 500))],
            ["wait"] * 4,
        ),
        (
            [(0, behind(0, 5)), (30, behind(30, 5000)), (65, behind(65, 4990)), (100, behind(100, 4980))],
            ["wait"] * 4,
        ),
        ([(1000, behind(1000, 50)), (40, behind(40, 50)), (90, behind(90, 50))], ["timeout", "wait", "wait"]),
        # No answer came for longer than a gap may be.
        ([(0, "running"), (151, "running"), (210, "running"), (211, "running")], ["wait"] * 3 + ["fail"]),
        ([(0, "running"), (150, "running")], ["wait", "fail"]),
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
def test_stall_timeout_fails_without_activity(polls: Any, expected: list[str]) -> None:
    assert outcomes(watch(stall_timeout=60), *polls) == expected


@given(st.lists(st.floats(-2, 2), min_size=8, max_size=8))
def test_stall_is_found_despite_jitter(jitter: list[float]) -> None:
    waiting = watch(stall_timeout=240)
    polls = [(60 * n, behind(60 * n, 500 + 60 * n + noise)) for n, noise in enumerate(jitter)]
    assert "fail" in outcomes(waiting, *polls)


@given(st.lists(st.tuples(st.floats(6, 10_000), st.booleans()), min_size=1, max_size=15))
def test_stall_is_not_found_while_the_position_moves(steps: list[tuple[float, bool]]) -> None:
    waiting, position = watch(stall_timeout=60, deadline=1e6), 0.0
    for number, (step, is_forward) in enumerate(steps):
        position += step if is_forward else -step
        at = 60.0 * number
        assert outcomes(waiting, (at, behind(at, max(at - position, 0), position))) == ["wait"]


@pytest.mark.parametrize("lag", [None, 0.0, 30.0])
def test_stall_does_not_apply_in_sync(lag: float | None) -> None:
    in_sync = record("caught_up", lag_seconds=lag)
    polls = [(seconds, in_sync) for seconds in (0, 60, 600)]
    assert outcomes(watch(targets=("succeeded",), stall_timeout=60), *polls) == ["wait"] * 3


def test_stall_names_its_duration() -> None:
    waiting = watch(stall_timeout=60)
    waiting.observe(record(), 10)
    assert waiting.observe(record(), 75).reason.startswith("Nothing has moved for 65 s: dts dts1: running;")


# --- polls that fail ------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [0, 1, 5])
@pytest.mark.parametrize("error", [MigrationServiceError, MigrationThrottledError, MigrationResponseError])
def test_max_poll_errors_is_exact(allowed: int, error: type[MigrationError]) -> None:
    waiting = watch(max_poll_errors=allowed)
    polls = [(number, error("no")) for number in range(allowed + 1)]
    assert outcomes(waiting, *polls) == ["wait"] * allowed + ["poll_error"]


def test_max_poll_errors_count_restarts_on_success() -> None:
    error = MigrationServiceError("no")
    polls = [(1, error), (2, error), (3, "running"), (4, error), (5, error), (6, error)]
    assert outcomes(watch(max_poll_errors=2), *polls) == ["wait"] * 5 + ["poll_error"]


def test_max_poll_errors_message_names_the_limit() -> None:
    waiting = watch(max_poll_errors=1)
    waiting.fail_poll(MigrationServiceError("no"), 1)
    verdict = waiting.fail_poll(MigrationServiceError("no"), 2)
    assert verdict.reason == (
        "Polling has failed 2 times in a row (max_poll_errors=1): no answer yet; "
        "wanted caught_up; waited 2 s. "
    )


def test_max_poll_errors_none_leaves_the_deadline() -> None:
    polls = [(number * 10, MigrationServiceError("no")) for number in range(101)]
    assert outcomes(watch(max_poll_errors=None), *polls) == ["wait"] * 100 + ["timeout"]


@pytest.mark.parametrize(
    "error",
    [MigrationAuthenticationError, MigrationNotFoundError, MigrationConfigurationError, MigrationError],
)
@pytest.mark.parametrize("allowed", [5, None])
def test_final_error_ends_the_wait(error: type[MigrationError], allowed: int | None) -> None:
    verdict = watch(max_poll_errors=allowed).fail_poll(error("no"), 1)
    assert verdict.outcome is Outcome.POLL_ERROR
    assert verdict.reason == "Polling has failed: no answer yet; wanted caught_up; waited 1 s. "


FINAL: list[type[MigrationError]] = [
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
]


@pytest.mark.parametrize("is_tolerated", [True, False])
@pytest.mark.parametrize("kind", FINAL)
@pytest.mark.parametrize(
    ("before", "is_known"),
    [
        ([], False),
        ([(0, "running")], True),
        ([(0, "running"), (1, MigrationServiceError("no"))], True),
        ([(0, MigrationServiceError("no"))], False),
    ],
    ids=["first poll", "answered", "answered, then failed", "failed"],
)
@pytest.mark.parametrize("is_restored", [True, False])
def test_tolerated_error_is_a_failed_poll_after_an_answer(
    kind: type[MigrationError], before: Any, is_known: bool, is_tolerated: bool, is_restored: bool
) -> None:
    waiting = watch(max_poll_errors=2)
    outcomes(waiting, *before)
    if is_restored:
        waiting = WaitTracker.from_json(json.loads(json.dumps(waiting.to_json())))
    error = kind("no")
    error.tolerated_after_success = is_tolerated
    # A connection that an earlier poll has used, answered or not, cannot be read just now.
    was_read = is_known or (kind is MigrationConnectionNotFoundError and bool(before))
    expected = "wait" if was_read and is_tolerated else "poll_error"
    assert outcomes(waiting, (2, error)) == [expected]
    if expected == "wait":
        assert outcomes(waiting, (3, error), (4, error), (5, error))[-1] == "poll_error"


@pytest.mark.parametrize("kind", FINAL)
def test_tolerated_error_is_a_failed_poll_without_memory(
    kind: type[MigrationError],
) -> None:
    waiting, error = watch(), kind("no")
    waiting.history = History(began_before=True)
    error.tolerated_after_success = True
    assert outcomes(waiting, (1, error)) == ["wait"]


# --- quotas -----------------------------------------------------------------------------------------------


def exhausted() -> MigrationThrottledError:
    error = MigrationThrottledError("100 calls a day", code="Throttling.Api.Risk")
    error.quota_exhausted = True
    return error


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (MigrationThrottledError("slow down", retry_after=60), 60),
        (MigrationServiceError("in maintenance", retry_after=60), 60),
        (MigrationThrottledError("slow down", retry_after=2), 5),
        (MigrationThrottledError("slow down"), 5),
        (MigrationConnectionNotFoundError("no such connection"), 5),
    ],
)
def test_retry_after_beyond_the_interval_is_one_failed_poll(error: MigrationError, pause: float) -> None:
    waiting, now = watch(poke_interval=5, deadline=DAY, max_poll_errors=5), 0.0
    waiting.observe(record(), now)
    for number in range(5):
        now += 5 if number == 0 else pause
        waiting.begin_poll(now)
        assert waiting.fail_poll(error, now).outcome is Outcome.WAIT
        assert waiting.history.poll_errors == number + 1
        assert waiting.next_poll_in(now) == pause
    waiting.begin_poll(now + pause)
    assert waiting.fail_poll(error, now + pause).outcome is Outcome.POLL_ERROR
    waiting.observe(record(), now)
    assert waiting.next_poll_in(now) == 5


@pytest.mark.parametrize(
    ("interval", "wishes", "end"),
    [
        (60, {"hold_for": 600}, ("done", 720)),  # one throttled poll does not break a hold
        (10, {"hold_for": 600}, ("wait", 3000)),  # a pause of six intervals does: nobody looked meanwhile
        (10, {"targets": ("paused",), "failure_grace": 300}, ("fail", 400)),
        (60, {"targets": ("paused",), "stall_timeout": 300}, ("fail", 500)),
    ],
)
def test_retry_after_at_every_fifth_poll(
    interval: float, wishes: dict[str, Any], end: tuple[str, float]
) -> None:
    waiting = watch(poke_interval=interval, deadline=DAY, **wishes)
    state = "failed" if "failure_grace" in wishes else "running"
    seen = record("caught_up" if "hold_for" in wishes else state, percent=10)
    now, outcome, polls = 0.0, "wait", 0
    while outcome == "wait" and now < 3000:
        waiting.begin_poll(now)
        polls += 1
        throttled = MigrationThrottledError("slow down", retry_after=60)
        verdict = waiting.fail_poll(throttled, now) if polls % 5 == 0 else waiting.observe(seen, now)
        outcome = verdict.outcome.value
        if outcome == "wait":
            now += waiting.next_poll_in(now)
    assert outcome == end[0]
    assert now <= end[1] or outcome == "wait"


def test_retry_after_is_at_most_a_minute() -> None:
    waiting = watch(poke_interval=5, deadline=DAY)
    waiting.fail_poll(MigrationThrottledError("No call was made", retry_after=460), 0)
    assert waiting.next_poll_in(0) == 60


def test_retry_after_does_not_reach_beyond_the_deadline() -> None:
    waiting = watch(poke_interval=5, deadline=30)
    waiting.fail_poll(MigrationThrottledError("slow down", retry_after=60), 10)
    assert waiting.next_poll_in(10) == 20


DAY = 86_400


def test_quota_that_is_used_up_is_polled_every_quarter_hour() -> None:
    waiting = watch(deadline=3 * DAY, poke_interval=60)
    for number in range(100):
        assert waiting.fail_poll(exhausted(), 900.0 * number).outcome is Outcome.WAIT
        assert waiting.next_poll_in(900.0 * number) == 900
        waiting.begin_poll(900.0 * (number + 1))
    assert waiting.fail_poll(exhausted(), 90_000).outcome is Outcome.POLL_ERROR


@pytest.mark.parametrize(("interval", "pause"), [(1, 900), (60, 900), (3600, 3600)])
@pytest.mark.parametrize("backoff", [True, False])
def test_quota_pause_is_at_least_the_interval(interval: float, pause: float, backoff: bool) -> None:
    waiting = watch(deadline=3 * DAY, poke_interval=interval, exponential_backoff=backoff, max_wait=interval)
    waiting.fail_poll(exhausted(), 0)
    assert waiting.next_poll_in(0) >= (900 if backoff else pause)
    waiting.observe(record(), 900)
    assert waiting.next_poll_in(900) <= interval


@pytest.mark.parametrize(("deadline", "is_patient"), [(16 * 3600, True), (16 * 3600 - 1, False)])
def test_quota_patience_needs_a_deadline_on_the_next_day(deadline: float, is_patient: bool) -> None:
    waiting = watch(deadline=deadline, max_poll_errors=1)  # the epoch is 8 o'clock in China
    polls = [(number * 60.0, exhausted()) for number in range(3)]
    assert (outcomes(waiting, *polls)[-1] == "wait") is is_patient


def test_quota_polls_do_not_count_as_failures() -> None:
    waiting = watch(deadline=3 * DAY, max_poll_errors=1)
    assert outcomes(waiting, *[(number * 900.0, exhausted()) for number in range(9)]) == ["wait"] * 9
    told = waiting.wait_to_json(WAIT, exhausted())
    assert (told["poll_errors"], told["quota_exhausted_since"]) == (9, 0)
    assert told["last_error"] == "100 calls a day"
    assert outcomes(waiting, (8000, BUSY), (8060, BUSY)) == ["wait", "poll_error"]


# --- gaps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "gap"), [(1, 32), (10, 50), (15, 60), (60, 150), (300, 630)])
def test_gap_is_two_intervals_and_half_a_minute(interval: float, gap: float) -> None:
    assert allowed_gap(interval) == gap


@pytest.mark.parametrize(("pause", "expected"), [(150, "poll_error"), (151, "wait"), (-1, "wait")])
def test_failed_polls_in_a_row_have_no_gap(pause: float, expected: str) -> None:
    waiting = watch(max_poll_errors=1)
    waiting.fail_poll(BUSY, 100)
    waiting = WaitTracker.from_json(json.loads(json.dumps(waiting.to_json())))
    waiting.begin_poll(100 + pause)
    assert waiting.fail_poll(BUSY, 100 + pause + 120).outcome.value == expected


def test_slow_failed_polls_are_in_a_row() -> None:
    waiting, now = watch(max_poll_errors=2, poke_interval=10, deadline=10_000), 0.0
    told = []
    for _ in range(3):
        waiting.begin_poll(now)
        told.append(waiting.fail_poll(BUSY, now + 120).outcome.value)
        now += 130
    assert told == ["wait", "wait", "poll_error"]


def test_confirmed_target_needs_no_second_hold() -> None:
    assert watch(hold_for=600).observe(record("caught_up"), 1, is_confirmed=True).outcome is Outcome.DONE
    assert watch(hold_for=600).observe(record("running"), 1, is_confirmed=True).outcome is Outcome.WAIT
    assert watch().observe(record("running"), 1000, is_confirmed=True).outcome is Outcome.TIMEOUT


@pytest.mark.parametrize("last", [record("caught_up"), MigrationServiceError("HTTP 503")])
def test_timeout_during_hold_for_names_the_hold(last: Any) -> None:
    waiting = watch(hold_for=600)
    decide(waiting, "caught_up", 990)
    decide(waiting, "caught_up", 994)
    held = 10 if isinstance(last, MigrationProgress) else 4
    assert f"has held for {held} s and must hold for 600 s." in decide(waiting, last, 1000).reason
    assert "held" not in watch(hold_for=600).observe(record(), 1000).reason


# --- warnings ---------------------------------------------------------------------------------------------


def test_warning_is_returned_once_across_processes() -> None:
    waiting = watch()
    told = []
    for warnings in (["a"], ["a", "b"], [], ["b", "a"]):
        waiting.observe(record(warnings=warnings), 1)
        told.append(waiting.new_warnings())
        waiting = WaitTracker.from_json(json.loads(json.dumps(waiting.to_json())))
    assert told == [["a"], ["b"], [], []]


def test_warnings_change_the_wait_entry_not_the_record() -> None:
    waiting = watch()
    counted = []
    for warnings in ([], ["a"], ["a"], ["a", "b"], ["b", "a"], []):
        waiting.observe(record(warnings=warnings), 1)
        counted.append((waiting.outbox.wait_changes, waiting.outbox.changes))
        assert waiting.wait_to_json(WAIT)["warnings"] == warnings
    assert counted == [(0, 1), (1, 1), (1, 1), (2, 1), (2, 1), (3, 1)]


@given(st.lists(st.text(min_size=1, max_size=3000), max_size=60))
def test_warnings_are_bounded(warnings: list[str]) -> None:
    waiting = watch()
    waiting.observe(record(warnings=warnings), 1)
    waiting.new_warnings()
    assert len(json.dumps(waiting.wait_to_json(WAIT))) < 4096
    assert len(json.dumps(waiting.to_json()["history"])) < 1024


def test_max_poll_errors_zero_names_the_first_failure() -> None:
    verdict = watch(max_poll_errors=0).fail_poll(MigrationServiceError("no"), 1)
    assert verdict.reason.startswith("Polling has failed once (max_poll_errors=0): ")


def test_failed_poll_keeps_the_last_record() -> None:
    waiting = watch()
    waiting.observe(record("paused"), 1)
    changes = waiting.outbox.changes
    waiting.fail_poll(MigrationServiceError("no"), 2)
    assert waiting.progress == record("paused")
    assert waiting.outbox.changes == changes


# --- figures of the moment ----------------------------------------------------------------------------------

SPEEDS = [{"throughput": Throughput(rows_per_second=number)} for number in range(4)]
LEFT = [{"remaining_seconds": 100 - number, "remaining_source": "service"} for number in range(4)]
RETRIES = [{"retrying": Retrying(count=number)} for number in range(4)]


@pytest.mark.parametrize("figures", [SPEEDS, LEFT, RETRIES], ids=["speed", "left", "retries"])
def test_figures_of_the_moment_are_no_movement(figures: list[dict[str, Any]]) -> None:
    waiting = watch(stall_timeout=100)
    polls = [(60 * number, record(**fields)) for number, fields in enumerate(figures)]
    assert outcomes(waiting, *polls) == ["wait", "wait", "fail", "fail"]
    assert waiting.outbox.changes == 1


def test_begin_and_end_of_retries_are_changes() -> None:
    waiting = watch()
    for seconds, count in enumerate((None, 1, 2, 3, None)):
        waiting.observe(record(retrying=None if count is None else Retrying(count=count)), seconds)
    assert waiting.outbox.changes == 3


# --- verified -----------------------------------------------------------------------------------------


def checked(check: str | None, state: str = "caught_up", at: float = 0, **fields: Any) -> MigrationProgress:
    """Make a record with a data check in a state, observed some seconds after NOW."""
    more = {name: fields.pop(name) for name in ("verification_remedy", "warnings") if name in fields}
    verification = None if check is None else Verification(state=VerificationState(check), **fields)
    return record(state, verification=verification, observed_at=NOW + timedelta(seconds=at), **more)


@pytest.mark.parametrize(
    ("seen", "waits", "fails"),
    [
        (checked("consistent"), "done", "done"),
        (checked("consistent", "succeeded"), "done", "done"),
        (checked("consistent", "running"), "wait", "wait"),
        (checked("consistent", "paused"), "wait", "wait"),
        (checked("consistent", "failed"), "fail", "fail"),
        (checked("consistent", "cancelled"), "fail", "fail"),
        (checked("consistent", "partially_succeeded"), "fail", "fail"),
        (checked("inconsistent"), "wait", "fail"),
        (checked("inconsistent", "running"), "wait", "fail"),
        (checked("inconsistent", "succeeded"), "wait", "fail"),
        (checked("failed"), "wait", "fail"),
        (checked("not_configured"), "fail", "fail"),
        (checked("not_configured", "pending"), "fail", "fail"),
        (checked("not_configured", "succeeded"), "fail", "fail"),
        *(
            (checked(check, state), "wait", "wait")
            for check in ("pending", "running", "unknown", None)
            for state in ("caught_up", "succeeded", "running")
        ),
    ],
)
def test_verified_needs_a_clean_check(seen: MigrationProgress, waits: str, fails: str) -> None:
    assert decide(watch("verified"), seen, 10).outcome == waits
    assert decide(watch("Verified", on_mismatch="fail"), seen, 10).outcome == fails


@given(
    check=st.none() | st.sampled_from(VerificationState),
    state=st.sampled_from(MigrationState),
    mismatch=st.sampled_from(["wait", "fail"]),
)
def test_verified_never_makes_a_yes_alone(
    check: VerificationState | None, state: MigrationState, mismatch: str
) -> None:
    outcome = decide(watch("verified", on_mismatch=mismatch), checked(check, state), 10).outcome
    is_clean = check is VerificationState.CONSISTENT
    is_in_sync = state in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)
    assert (outcome is Outcome.DONE) is (is_clean and is_in_sync)


def test_data_check_does_not_matter_to_other_targets() -> None:
    for check in VerificationState:
        assert decide(watch("caught_up", on_mismatch="fail"), checked(check), 10).outcome == "done"


def test_missing_data_check_leaves_the_other_targets() -> None:
    waiting = watch("verified", "paused")
    seen = checked("not_configured", "running"), checked("not_configured", "paused")
    assert [decide(waiting, each, 10).outcome for each in seen] == ["wait", "done"]


def test_differences_that_are_repaired_are_verified() -> None:
    checks = ("inconsistent", "running", "consistent")
    assert outcomes(watch("verified"), *((10, checked(check)) for check in checks)) == [
        "wait",
        "wait",
        "done",
    ]


def test_verified_holds_like_any_target() -> None:
    polls = [(0, "consistent"), (20, "running"), (40, "consistent"), (60, "consistent"), (80, "consistent")]
    seen = outcomes(watch("verified", hold_for=30), *((at, checked(check)) for at, check in polls))
    assert seen == ["wait", "wait", "wait", "wait", "done"]


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ([("consistent", 0)], "wait"),
        ([("consistent", None)], "wait"),
        ([("consistent", -60)], "wait"),
        ([("consistent", 60)], "done"),
        ([("consistent", 60), ("consistent", 60)], "done"),
        # A comparison of another kind, and an answer that tells no comparison, renew nothing.
        ([("running", None), ("consistent", 0)], "wait"),
        ([("pending", None), ("consistent", None)], "wait"),
        ([("unknown", None), ("consistent", 0)], "wait"),
        ([("running", None), ("consistent", 60)], "done"),
        # The service says that it repeats its check.
        ([("rechecking", None), ("consistent", None)], "done"),
    ],
)
def test_check_from_before_a_stop_does_not_count(after: Any, outcome: str) -> None:
    """The migration was paused, failed or copied again after the data check."""
    waiting = watch("verified")
    decide(waiting, checked("consistent", "paused").model_copy(update={"recheck_since": NOW}), 0)
    waiting = WaitTracker.from_json(json.loads(json.dumps(waiting.to_json())))
    for check, at in after:
        time = None if at is None else NOW + timedelta(seconds=at)
        seen = checked("running" if check == "rechecking" else check, checked_at=time)
        seen = seen.model_copy(update={"is_rechecking": check == "rechecking"})
        verdict = decide(waiting, seen, 20)
    assert verdict.outcome == outcome
    if outcome == "wait":
        assert waiting.progress is not None
        assert waiting.progress.verification is not None
        assert waiting.progress.verification.state == "running"


def test_old_check_is_no_stall() -> None:
    """A person has to start it again."""
    waiting = watch("verified", stall_timeout=100, poke_interval=60)
    decide(waiting, checked("consistent", "paused").model_copy(update={"recheck_since": NOW}), 0)
    polls = [(at * 60, checked("consistent", percent=100)) for at in range(1, 5)]
    assert outcomes(waiting, *polls) == ["wait"] * 4


@pytest.mark.parametrize(
    ("check", "percents", "outcome"),
    [
        ("running", (10, 10, 10), "fail"),
        ("running", (10, 20, 30), "wait"),
        ("running", (None, None, None), "wait"),  # DRS does not tell how far it is
        ("pending", (None, None, None), "wait"),  # a person may still start it
        ("inconsistent", (100, 100, 100), "wait"),  # or repair the tables
    ],
)
def test_check_that_stands_still_is_a_stall(check: str, percents: Any, outcome: str) -> None:
    waiting = watch("verified", stall_timeout=100, poke_interval=60)
    polls = [(at * 60, checked(check, percent=percent)) for at, percent in enumerate(percents)]
    assert outcomes(waiting, *polls)[-1] == outcome


@pytest.mark.parametrize("check", ["pending", "inconsistent", "unknown"])
def test_check_after_success_is_no_stall(check: str) -> None:
    waiting = watch("verified", stall_timeout=100, poke_interval=60)
    polls = [(at * 60, checked(check, "succeeded")) for at in range(4)]
    assert outcomes(waiting, *polls) == ["wait"] * 4


def test_check_that_nobody_waits_for_is_no_change() -> None:
    waiting = watch("caught_up", hold_for=900)
    for percent in (10, 20, 30):
        decide(waiting, checked("running", percent=percent), percent)
    assert waiting.outbox.changes == 1


def test_check_that_nobody_waits_for_hides_no_stall() -> None:
    waiting = watch("caught_up", stall_timeout=100, poke_interval=60)
    polls = [(at * 60, checked("running", "running", percent=at)) for at in range(3)]
    assert outcomes(waiting, *polls)[-1] == "fail"


TABLES = tuple(
    TableVerification(source=f"shop.t{number}", result="different", rows_different=number)
    for number in range(12, 0, -1)
)
DIFFERENT = {"tables_total": 40, "tables_different": 12, "worst": TABLES}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (
            checked("inconsistent", **DIFFERENT, verification_remedy="Repair them."),
            "Source and destination differ: dts dts1: caught_up 100 %; the data check found differences in "
            "12 of 40 tables: shop.t12 (12 rows), shop.t11 (11 rows), ",
        ),
        (
            checked("failed", tables_total=40, tables_failed=2),
            "The data check failed: dts dts1: caught_up 100 %; the data check failed for 2 of 40 tables; ",
        ),
        (
            checked("not_configured", verification_remedy="Switch it on."),
            "There is no data check to wait for: dts dts1: caught_up 100 %; no data check is configured; "
            "wanted verified; waited 10 s. Switch it on.",
        ),
    ],
)
def test_mismatch_says_what_differs(seen: MigrationProgress, said: str) -> None:
    verdict = decide(watch("verified", on_mismatch="fail"), seen, 10)
    assert verdict.reason.startswith(said)
    for table in seen.verification.worst if seen.verification else ():
        assert f"{table.source} ({table.rows_different} row" in verdict.reason


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("pending", "the data check has not begun"),
        ("running", "the data check is running (40 %)"),
        ("unknown", "the result of the data check is not known"),
        ("inconsistent", "the data check found differences"),
    ],
)
def test_timeout_says_how_far_the_check_is(check: str, said: str) -> None:
    seen = checked(check, percent=40, verification_remedy="Do this.")
    verdict = decide(watch("verified"), seen, 1000)
    assert verdict.outcome is Outcome.TIMEOUT
    assert f"caught_up 100 %; {said}; wanted verified; waited 1000 s. Do this." in verdict.reason


def test_log_follows_the_check() -> None:
    waiting = watch("verified")
    lines = []
    for check in ("pending", "running", "running", "consistent"):
        decide(waiting, checked(check, tables_compared=40), 10)
        lines.append(waiting.log_line())
    assert lines == [
        "dts dts1: caught_up 100 %; the data check has not begun",
        "dts dts1: caught_up 100 %; the data check is running",
        None,
        "dts dts1: caught_up 100 %; the data check found no differences in 40 tables",
    ]


def test_log_names_differences_that_nobody_waits_for() -> None:
    waiting = watch("caught_up", hold_for=60)
    for check, said in (("unknown", None), ("inconsistent", "; the data check found differences")):
        decide(waiting, checked(check), 10)
        line = waiting.log_line() or ""
        assert (said or "check") in line if said else "check" not in line


def test_what_the_check_needs_is_told_once() -> None:
    """A comparison that a person has to start."""
    waiting, seen = watch("verified"), checked("pending", verification_remedy="Start it.")
    decide(waiting, checked("pending", "running", verification_remedy="Start it."), 0)
    assert waiting.new_warnings() == []
    decide(waiting, seen, 10)
    assert waiting.new_warnings() == ["Start it."]
    assert waiting.wait_to_json(Verdict(Outcome.WAIT))["warnings"] == ["Start it."]
    decide(waiting, seen, 20)
    assert waiting.new_warnings() == []
    other = watch("caught_up", hold_for=60)
    decide(other, seen, 10)
    assert other.new_warnings() == []


def test_verified_goes_with_checkpoint_after() -> None:
    """The data check alone says nothing of what was written since."""
    waiting = watch("verified", checkpoint_after=NOW.timestamp() - 60)
    behind = checked("consistent").model_copy(update={"applied_until": NOW - timedelta(seconds=61)})
    applied = checked("consistent").model_copy(update={"applied_until": NOW})
    assert [decide(waiting, seen, 10).outcome for seen in (behind, applied)] == ["wait", "done"]


# --- applied until a moment -------------------------------------------------------------------------------

MOMENT = NOW.timestamp() - 60


def applied(state: str, until: float | None, at: float = 0) -> MigrationProgress:
    """Make a record by the seconds since the moment up to which everything is applied."""
    moment = NOW - timedelta(seconds=60)
    return record(
        state,
        applied_until=None if until is None else moment + timedelta(seconds=until),
        observed_at=NOW + timedelta(seconds=at),
    )


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (applied("caught_up", 0), "done"),
        (applied("caught_up", 59.5), "done"),
        (applied("caught_up", -0.5), "wait"),
        (applied("caught_up", -1e9), "wait"),
        (applied("caught_up", None), "wait"),
        (applied("caught_up", 3600, at=-61), "wait"),  # a checkpoint in the future, before the moment
        (applied("running", 30), "wait"),
        (applied("paused", 30), "wait"),
        (applied("succeeded", 0), "done"),
        (applied("succeeded", -1), "fail"),
        (applied("succeeded", None), "fail"),
        (applied("failed", 30), "fail"),
    ],
)
def test_checkpoint_after_is_needed_besides_the_target(seen: MigrationProgress, outcome: str) -> None:
    assert decide(watch(checkpoint_after=MOMENT), seen, 10).outcome == outcome


@given(
    until=st.none() | st.integers(-1000, 1000),
    at=st.integers(-1000, 1000),
    state=st.sampled_from(MigrationState),
)
def test_checkpoint_after_never_makes_a_yes(until: int | None, at: int, state: MigrationState) -> None:
    seen = applied(state, until, at)
    with_it = decide(watch(checkpoint_after=MOMENT), seen, 10).outcome
    if with_it is Outcome.DONE:
        assert decide(watch(), seen, 10).outcome is Outcome.DONE
        assert until is not None
        assert until >= 0
        assert at >= -60


@pytest.mark.parametrize("state", ["running", "pending", "unknown", "failed"])
def test_checkpoint_after_needs_the_copy(state: str) -> None:
    """The checkpoint may be past the moment while existing data is still copied."""
    full = Phase(name="full", state=MigrationState(state))
    seen = applied("running", 30).model_copy(update={"phases": (full,), "statuses_reached": {"incr_sync"}})
    assert decide(watch("INCR_SYNC"), seen, 10).outcome == "done"
    assert decide(watch("INCR_SYNC", checkpoint_after=MOMENT), seen, 10).outcome == "wait"


def test_checkpoint_after_is_remembered_once_shown() -> None:
    """A job of DRS that has ended since no longer shows it."""
    waiting = watch("succeeded", checkpoint_after=MOMENT)
    assert decide(waiting, applied("caught_up", 5), 10).outcome == "wait"
    kept = WaitTracker.from_json(json.loads(json.dumps(waiting.to_json())))
    assert decide(kept, applied("succeeded", None), 20).outcome == "done"


def test_checkpoint_after_is_undone_by_a_reset() -> None:
    """The job was reset and copies again, so its answer has no checkpoint."""
    waiting = watch("running", checkpoint_after=MOMENT, hold_for=30)
    full = Phase(name="full", state=MigrationState.RUNNING)
    again = applied("running", None).model_copy(update={"phases": (full,)})
    assert outcomes(waiting, (0, applied("running", 5)), (40, again), (80, again)) == ["wait"] * 3


@pytest.mark.parametrize(("starts_at", "outcome"), [(15, "done"), (500, "fail")])
def test_checkpoint_after_is_forgotten_by_a_restarted_trigger(starts_at: float, outcome: str) -> None:
    """The trigger that was killed may have seen the checkpoint set back."""
    waiting = watch("succeeded", checkpoint_after=MOMENT, poke_interval=60)
    assert decide(waiting, applied("caught_up", 5), 0).outcome == "wait"
    waiting.reset_durations_after_gap(starts_at)
    assert decide(waiting, applied("succeeded", None), starts_at).outcome == outcome


def test_checkpoint_after_is_undone_by_an_answer_that_says_otherwise() -> None:
    """A delay of DRS may have been measured before the last write."""
    waiting = watch(checkpoint_after=MOMENT, hold_for=30)
    polls = [(5, applied("caught_up", 5)), (15, applied("caught_up", -15)), (35, applied("caught_up", -15))]
    assert outcomes(waiting, *polls) == ["wait", "wait", "wait"]
    assert outcomes(waiting, (45, applied("caught_up", 1)), (75, applied("caught_up", 30))) == [
        "wait",
        "done",
    ]


@pytest.mark.parametrize(("at", "outcome"), [(0, "fail"), (-61, "wait")])
def test_checkpoint_that_stands_still_is_a_stall(at: float, outcome: str) -> None:
    """In sync, but the last changes do not arrive; before the moment nothing has to."""
    waiting = watch(checkpoint_after=MOMENT, stall_timeout=100)
    assert (
        outcomes(waiting, (0, applied("caught_up", -5, at)), (60, applied("caught_up", -5, at)))
        == ["wait"] * 2
    )
    assert decide(waiting, applied("caught_up", -5, at), 120).outcome == outcome


def test_checkpoint_after_begins_the_hold() -> None:
    waiting = watch(checkpoint_after=MOMENT, hold_for=20)
    polls = [(0, applied("caught_up", -5)), (30, applied("caught_up", 1)), (50, applied("caught_up", 20))]
    assert outcomes(waiting, *polls) == ["wait", "wait", "done"]


def test_checkpoint_after_is_kept_by_a_rebuilt_tracker() -> None:
    kept = WaitTracker.from_json(json.loads(json.dumps(watch(checkpoint_after=MOMENT).to_json())))
    assert outcomes(kept, (10, applied("caught_up", -1)), (20, applied("caught_up", 0))) == ["wait", "done"]


@pytest.mark.parametrize(
    ("until", "text"),
    [
        (-5, "the source's changes are applied until 2026-01-02T03:03:00Z"),
        (None, "; the answer has no checkpoint; wanted"),
    ],
)
def test_checkpoint_after_is_named_in_log_and_error(until: float | None, text: str) -> None:
    waiting = watch(checkpoint_after=MOMENT)
    decide(waiting, applied("running", until), 10)
    assert "wanted" not in (waiting.log_line() or "")
    decide(waiting, applied("caught_up", until), 20)
    assert text in (waiting.log_line() or "")
    assert waiting.log_line() is None
    reason = decide(waiting, applied("caught_up", until), 1000).reason
    assert reason.startswith("Timed out")
    assert text in reason
    assert "wanted caught_up with everything until 2026-01-02T03:03:05Z applied; waited" in reason
    assert reason.endswith("leave checkpoint_after out.")


def test_checkpoint_so_far_is_named_while_the_target_is_not_reached() -> None:
    waiting = watch(checkpoint_after=MOMENT)
    reason = decide(waiting, applied("running", -5), 1000).reason
    assert "running; the source's changes are applied until 2026-01-02T03:03:00Z; wanted" in reason
    assert "write a row" not in reason


# --- what is told of the wait -----------------------------------------------------------------------------


def wait_of(watch: WaitTracker, what: Any, now: float) -> dict[str, Any]:
    """Give what XCom tells after a record, a state or an error."""
    verdict = decide(watch, what, now)
    return watch.wait_to_json(verdict, what if isinstance(what, MigrationError) else None)


def test_wait_entry_names_targets_and_deadline() -> None:
    which = {"service": "dts", "migration_id": "dts1"}
    policy = {"max_lag": 10, "hold_for": 600, "stall_timeout": 900, "poke_interval": 30}
    assert wait_of(watch("caught_up", "succeeded", **which, **policy), "running", 5) == {
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
        "quota_exhausted_since": None,
        "last_error": None,
        "warnings": [],
        "outcome": None,
        "reason": None,
    }


def test_wait_entry_names_checkpoint_after() -> None:
    assert wait_of(watch(checkpoint_after=5.5), "running", 5)["checkpoint_after"] == 5.5


def test_wait_entry_names_the_hold() -> None:
    waiting = watch(hold_for=600)
    told = [
        wait_of(waiting, what, now)["held_since"]
        for now, what in [(1, "running"), (2, "caught_up"), (3, "caught_up"), (4, "running")]
    ]
    assert told == [None, 2, 2, None]


def test_wait_entry_names_failing_polls() -> None:
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
    ("policy", "what", "outcome", "reason"),
    [
        ({}, "caught_up", "done", "Reached: "),
        ({}, "failed", "fail", "The migration failed: "),
        ({"on_paused": "skip"}, "paused", "skip", "The migration is paused: "),
        ({"deadline": 5}, "running", "timeout", "Timed out: "),
        ({"max_poll_errors": 0}, MigrationServiceError("HTTP 503"), "poll_error", "Polling has failed once"),
    ],
)
def test_wait_entry_names_outcome_and_reason(policy: Any, what: Any, outcome: str, reason: str) -> None:
    told = wait_of(watch(**policy), what, 5)
    assert told["outcome"] == outcome
    assert told["reason"].startswith(reason)
    assert ("HTTP 503" in told["reason"]) is (outcome == "poll_error")


@pytest.mark.parametrize("text", ["x" * 100_000, "错" * 100_000, "🙂" * 100_000])
def test_wait_entry_is_bounded(text: str) -> None:
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
def test_wait_entry_changes(polls: list[Any], changes: list[int]) -> None:
    waiting, counted = watch(hold_for=600), [0]
    for number, what in enumerate(polls):
        decide(waiting, what, number)
        counted.append(waiting.outbox.wait_changes)
    assert [after - before for before, after in pairwise(counted)] == changes
    assert waiting.outbox.polls == len(polls)


# --- the pace -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "pause"), [(0, 60), (939, 60), (940, 60), (970, 30), (1000, 0), (2000, 0), (-500, 60)]
)
def test_next_poll_is_an_interval_away_at_most_at_the_deadline(now: float, pause: float) -> None:
    assert watch(poke_interval=60).next_poll_in(now) == pause


@pytest.mark.parametrize(
    ("polls", "least"), [(0, 15), (1, 30), (2, 60), (3, 120), (4, 240), (10, 15360), (5000, 60 * 2**64)]
)
def test_backoff_doubles_the_interval_with_jitter(polls: int, least: float) -> None:
    waiting = watch(poke_interval=60, exponential_backoff=True, deadline=1e30, max_poll_errors=None)
    for _ in range(polls):
        waiting.fail_poll(MigrationServiceError("no"), 0)
    pause = waiting.next_poll_in(0)
    assert least <= pause < 2 * least
    assert pause == waiting.next_poll_in(0)


def test_backoff_differs_between_tasks() -> None:
    pauses = {
        watch(exponential_backoff=True, started_at=start, deadline=1e9, poke_interval=600).next_poll_in(0)
        for start in range(20)
    }
    assert len(pauses) > 10


@pytest.mark.parametrize(("max_wait", "pause"), [(90, 90), (10**9, 1000)])
def test_backoff_is_bounded_by_max_wait_and_deadline(max_wait: float, pause: float) -> None:
    waiting = watch(exponential_backoff=True, max_wait=max_wait)
    for _ in range(12):
        waiting.observe(record(), 0)
    assert waiting.next_poll_in(0) == pause


def test_backoff_starts_at_one_second() -> None:
    waiting = watch(poke_interval=0.1, exponential_backoff=True)
    assert waiting.next_poll_in(0) == 1


# --- news -----------------------------------------------------------------------------------------------


def log_line(watch: WaitTracker, *polls: Any) -> list[str | None]:
    lines = []
    for number, what in enumerate(polls):
        decide(watch, what, number)
        lines.append(watch.log_line(what if isinstance(what, MigrationError) else None))
    return lines


def test_log_line_is_empty_before_the_first_poll() -> None:
    assert watch().log_line() is None


def test_log_line_needs_a_change() -> None:
    lines = log_line(watch(), "pending", "pending", "running", "running", "pending")
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
def test_log_line_changes(first: Any, second: Any, is_news: bool) -> None:
    line = log_line(watch(), first, second)[1]
    assert (line is not None) is is_news


def test_log_line_ignores_small_changes_across_processes() -> None:
    before = watch()
    assert log_line(before, record(percent=0.0)) == ["dts dts1: running 0 %"]
    after = WaitTracker.from_json(json.loads(json.dumps(before.to_json())))
    assert log_line(after, record(percent=0.5)) == [None]


def test_log_line_names_an_error_and_its_end_once() -> None:
    throttled = MigrationThrottledError("slow down", code="Throttling")
    lines = log_line(watch(), "running", throttled, throttled, MigrationServiceError("HTTP 503"), "running")
    assert lines == [
        "dts dts1: running",
        "Poll 2 failed: slow down",
        None,
        "Poll 4 failed: HTTP 503",
        "dts dts1: running",
    ]


def test_log_line_names_state_phase_percent_and_lag() -> None:
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
def test_log_line_names_the_error(error: Any, tail: str) -> None:
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
def test_record_change_ignores_its_time(second: Any, has_changed: bool) -> None:
    waiting = watch()
    waiting.observe(record("running"), 1)
    assert waiting.outbox.changes == 1
    waiting.observe(second, 2)
    assert waiting.outbox.changes == 1 + has_changed


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
    statuses_reached=st.sets(st.sampled_from(["migrating", "finished"])),
)
errors = st.sampled_from(
    [MigrationServiceError("x"), MigrationThrottledError("y"), MigrationNotFoundError("z")]
)
polls = st.lists(st.tuples(st.floats(-2000, 3000), records | errors), max_size=15)
policy = st.fixed_dictionaries(
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
@given(policy, polls)
def test_success_needs_the_target_at_that_poll(wanted: Any, polled: Any) -> None:
    waiting = watch(**wanted)
    for now, what in polled:
        verdict = decide(waiting, what, now)
        if verdict.outcome is Outcome.DONE:
            assert isinstance(what, MigrationProgress)
            assert any(target_reached(what, target) for target in wanted["targets"])


@settings(max_examples=200)
@given(policy, polls, records | errors, st.floats(1000, 1e9))
def test_wait_ends_by_the_deadline(wanted: Any, polled: Any, last: Any, now: float) -> None:
    waiting = watch(**wanted)
    for then, what in polled:
        decide(waiting, what, then)
        assert 0 <= waiting.next_poll_in(then) <= max(1000 - then, 0)
    assert decide(waiting, last, now).outcome is not Outcome.WAIT


@settings(max_examples=200)
@given(policy, polls)
def test_restored_tracker_decides_the_same(wanted: Any, polled: Any) -> None:
    kept, written = watch(**wanted), watch(**wanted)
    for now, what in polled:
        progress = written.progress
        written = WaitTracker.from_json(json.loads(json.dumps(written.to_json())))
        written.progress = progress
        assert decide(kept, what, now) == decide(written, what, now)
        error = what if isinstance(what, MigrationError) else None
        assert kept.log_line(error) == written.log_line(error)
        assert kept.next_poll_in(now) == written.next_poll_in(now)
        assert kept.to_json() == written.to_json()


steps = st.one_of(
    st.floats(0, 200),  # time passes
    st.floats(-5000, 20_000),  # the clock is set, or nothing was asked for long
)
poll = st.tuples(
    steps, st.sampled_from(["caught_up", "caught_up", "running"]) | st.just(BUSY), st.integers(0, 4)
)


@settings(max_examples=300)
@given(st.floats(0, 900), st.floats(1, 300), st.lists(poll, max_size=40))
def test_hold_for_counts_observed_time_only(hold_for: float, interval: float, polled: Any) -> None:
    """Done means that each answer of the last seconds held, and that none was missing for too long."""
    waiting = watch(hold_for=hold_for, poke_interval=interval, max_poll_errors=None, deadline=1e9)
    seen: list[tuple[float, bool]] = []
    stored = [(waiting.to_json(), list(seen))]
    now = 1e6
    for step, what, restart in polled:
        if restart == 1:  # another process goes on with what this one knows
            waiting = WaitTracker.from_json(json.loads(json.dumps(waiting.to_json())))
        if restart == 2:  # another process goes on with what was stored at first, as a triggerer does
            waiting, seen = WaitTracker.from_json(json.loads(json.dumps(stored[0][0]))), list(stored[0][1])
        now += step
        waiting.begin_poll(now)
        verdict = decide(waiting, what, now)
        if isinstance(what, str):
            seen.append((now, what == "caught_up"))
        if len(stored) == 1 and seen:
            stored = [(waiting.to_json(), list(seen))] * 2
        if verdict.outcome is Outcome.DONE:
            recent = []
            for at, held in reversed(seen):
                recent.append(at)
                assert held
                if now - at >= hold_for:
                    break
            assert now - recent[-1] >= hold_for
            assert all(0 <= later - at <= allowed_gap(interval) for later, at in pairwise(recent))


@settings(max_examples=100)
@given(policy, polls)
def test_outcome_has_a_reason(wanted: Any, polled: Any) -> None:
    waiting = watch(**wanted)
    for now, what in polled:
        verdict = decide(waiting, what, now)
        assert verdict.reason or verdict.outcome in (Outcome.WAIT, Outcome.POLL_ERROR)
        if verdict.outcome is Outcome.POLL_ERROR:
            assert isinstance(what, MigrationError)


def test_restored_tracker_ignores_unknown_fields() -> None:
    written = WaitTracker(WaitPolicy(targets=("caught_up",), started_at=0, deadline=10)).to_json()
    assert written["history"] == {}
    assert set(written["policy"]) == {"targets", "started_at", "deadline"}
    written["policy"]["of_a_later_version"] = True
    written["history"]["of_a_later_version"] = [1]
    del written["outbox"]
    read = WaitTracker.from_json(json.loads(json.dumps(written)))
    assert read.policy.targets == ("caught_up",)
    assert read.history.last_logged is None


# --- what a poll costs ----------------------------------------------------------------------------------


def test_unchanged_record_is_not_fingerprinted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    watching, digested = watch(), []
    digest = tracker_module._digest

    def note(value: object) -> str:
        digested.append(value)
        return digest(value)

    monkeypatch.setattr(tracker_module, "_digest", note)
    for poll in range(5):
        watching.observe(
            record(request_id=f"r{poll}", observed_at=NOW + timedelta(minutes=poll)), 60.0 * poll
        )
    assert len(digested) == 1
