"""
Decide from the records and the policy: wait, done or fail.

:class:`WaitTracker` is the whole decision, without a clock and without I/O: poke, reschedule and deferrable
mode all fetch a record, pass it in with the time, and act on the verdict.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConnectionNotFoundError,
    MigrationError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import (
    MAX_MESSAGE_CHARACTERS,
    QUIET_FIELDS,
    SHOWS_ACTIVITY,
    UNSEEN_FIELDS,
    MigrationProgress,
    MigrationState,
    VerificationState,
    clean_text,
    shorten,
)
from airflow_provider_migration.wait.alerts import (
    AlertState,
    Notification,
    Observation,
    figures_from_json,
    figures_of,
    have_moved,
    is_at_work,
    notifications_due,
    readable_alerts,
    states_from_json,
    states_sent,
    states_to_json,
    without_durations,
)
from airflow_provider_migration.wait.estimate import seconds_left
from airflow_provider_migration.wait.messages import _times, describe, log_state
from airflow_provider_migration.wait.outbox import XComOutbox
from airflow_provider_migration.wait.policy import WaitPolicy, is_applied, is_copied, target_reached, utc_text

MAX_WAIT_BYTES: Final = 4 * 1024
"""Upper bound in bytes of XCom ``migration_wait``, as JSON."""

_T = TypeVar("_T")

_POSITION_NOISE: Final = 5.0
"""Tolerance in seconds: services round the lag, so the position of a migration that stands still jitters."""

_MAX_RETRY_AFTER: Final = 60.0
"""Upper bound in seconds of a pause that a service asks for; the transport has the same bound."""

_GAP_SLACK: Final = 30.0
"""Seconds by which an answer may be late: a slow answer, a busy scheduler, the start of a process."""

QUOTA_INTERVAL: Final = 15 * 60.0
"""Minimum seconds between two polls while the service says that the quota of the day is used up."""

QUOTA_PATIENCE: Final = 25 * 3600.0
"""Maximum seconds to wait for a used-up quota: a day, and an hour for the service to renew it."""

MAX_WARNINGS: Final = 5
"""Maximum number of warnings in XCom."""

_MAX_DIGESTS: Final = 20
"""Maximum number of logged warnings that a wait remembers."""

_ENDED: Final = (
    MigrationState.SUCCEEDED,
    MigrationState.PARTIALLY_SUCCEEDED,
    MigrationState.CANCELLED,
)


_CHECK_IS_OLD: Final = (
    "The data check is older than the last pause, failure or copy of existing data: restart the data check "
    "(in DRS each kind of comparison), or wait until the service has repeated it."
)

_BEHIND: Final = (
    "If the source is idle, its checkpoint may stand still: write a row to a migrated table. A migration "
    "without an incremental phase has no checkpoint: leave checkpoint_after out."
)

_ACTIVITY_FIELDS: Final = {name for name, shows in SHOWS_ACTIVITY.items() if shows}


class Outcome(StrEnum):
    """The next step of a wait."""

    WAIT = "wait"
    DONE = "done"
    FAIL = "fail"
    SKIP = "skip"
    TIMEOUT = "timeout"
    POLL_ERROR = "poll_error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    The next step of a wait, and the reason for it.

    :ivar outcome: the next step.
    :ivar reason: the message for a person; with ``POLL_ERROR``, the text before the error's own message.
    """

    outcome: Outcome
    reason: str = ""

    @property
    def ends(self) -> bool:
        """True if the wait ends."""
        return self.outcome is not Outcome.WAIT


WAIT: Final = Verdict(Outcome.WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """
    The state that a wait keeps between polls, JSON-serializable.

    Times are epoch seconds.

    :ivar polls: number of polls.
    :ivar polled_at: end of the last poll, answered or not.
    :ivar answered_at: time of the last answer.
    :ivar began_before: True if earlier polls, of which no state is left, may have been answered: a
        rescheduled task without a state store.
    :ivar poll_errors: number of consecutive failed polls, up to the last one.
    :ivar quota_polls: number of ``poll_errors`` due to a used-up quota, which do not count as failures.
    :ivar errors_since: time of the first of the consecutive failed polls.
    :ivar retry_after: seconds that the service asked to wait when the last poll failed.
    :ivar quota_since: time at which the quota was first found used up.
    :ivar last_seen: digest of the fields that show activity; None while no poll was answered.
    :ivar position: time of the source up to which changes were applied when the migration last moved.
    :ivar moved_at: time at which the migration was last seen to move.
    :ivar figures: for alerts, the figures that show movement, by name, each as last known of a migration at
        work; None while it was not.
    :ivar has_moved: for alerts, True if the last answer showed that the migration has moved, or that it is in
        sync and need not; pausing and resuming are no movement.
    :ivar failed_since: time at which the state became failed.
    :ivar held_since: time at which the target was first held.
    :ivar is_applied: True if the last record that says until when the changes are applied has shown that
        everything written until ``checkpoint_after`` is: a job that has ended since says nothing.
    :ivar recheck_since: time of the last answer that showed the migration paused, failed or copying existing
        data; an older data check does not count. None once the service has compared again.
    :ivar last_logged: digest of the state that the last log line described.
    :ivar warned: short digests of the warnings that were logged.
    :ivar alerts: by the key of an alert, the values of its :class:`AlertState`; None if none is to be kept.
    """

    polls: int = 0
    polled_at: float | None = None
    answered_at: float | None = None
    began_before: bool = False
    poll_errors: int = 0
    quota_polls: int = 0
    errors_since: float | None = None
    retry_after: float = 0
    quota_since: float | None = None
    last_seen: str | None = None
    position: float | None = None
    moved_at: float | None = None
    figures: Mapping[str, float] | None = None
    has_moved: bool = False
    failed_since: float | None = None
    held_since: float | None = None
    is_applied: bool = False
    recheck_since: float | None = None
    last_logged: str | None = None
    warned: tuple[str, ...] = ()
    alerts: Mapping[str, Any] | None = None

    @property
    def has_answer(self) -> bool:
        """True if this wait has had an answer, or may have had one."""
        return self.last_seen is not None or self.began_before


def allowed_gap(interval: float) -> float:
    """
    Return the maximum seconds between two polls for a condition seen at both to count as held in between.

    Two intervals allow one failed poll; half a minute more allows a late answer or a slow process start.

    :param interval: seconds between two polls, as planned after the last one.
    """
    return 2 * interval + _GAP_SLACK


@dataclass(slots=True)
class WaitTracker:
    """
    One wait for one migration.

    :ivar policy: the sensor's arguments; do not change.
    :ivar history: the state kept between polls.
    :ivar progress: the last record, or None.
    :ivar outbox: the XCom entries of the wait.
    """

    policy: WaitPolicy
    history: History = field(default_factory=History)
    progress: MigrationProgress | None = None
    outbox: XComOutbox = field(default_factory=XComOutbox)
    _alerts: tuple[MigrationAlert, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the alerts once: they do not change."""
        self._alerts = readable_alerts(self.policy.alerts)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WaitTracker:
        """Rebuild a tracker from the output of :meth:`to_json`."""
        record, history = data.get("progress"), _from_known_fields(History, data["history"])
        try:
            states_from_json(history.alerts)
            figures_from_json(history.figures)
        except ValueError:  # of another version; a message twice is better than no wait
            history = replace(history, alerts=None, figures=None)
        return cls(
            _from_known_fields(WaitPolicy, data["policy"]),
            history,
            MigrationProgress.model_validate(record) if record else None,
            XComOutbox.from_json(data["outbox"]) if "outbox" in data else XComOutbox(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the tracker as plain JSON without defaults, for versions that do not know every field."""
        return {
            "policy": _without_defaults(self.policy),
            "history": _without_defaults(self.history),
            "progress": self.progress.model_dump(mode="json") if self.progress else None,
            "outbox": self.outbox.to_json(),
        }

    def begin_poll(self, now: float) -> None:
        """
        Begin a poll. If the last one is too long ago, its failures do not count as consecutive with this
        one's.

        :param now: epoch seconds.
        """
        if self.is_gap(self.history.polled_at, now):
            nothing: dict[str, Any] = {"poll_errors": 0, "quota_polls": 0}
            self.history = replace(self.history, **nothing, errors_since=None, quota_since=None)

    def reset_durations_after_gap(self, now: float) -> bool:
        """
        Restart all durations if another trigger may have polled in the meantime, and may have seen that what
        was shown as applied is not; tell whether that is so.

        After a restart Airflow rebuilds a trigger from the sensor's arguments, not from the trigger's state.
        The first poll of a trigger comes half an interval after the sensor's at the earliest; if the sensor
        has not polled, it may come at once.

        :param now: epoch seconds at which a trigger starts.
        """
        since = self.history.polled_at
        if since is not None:
            earliest = min(self.policy.poke_interval / 2, self.next_poll_in(since))
            if 0 <= now - since < earliest:
                return False
        history = replace(self.history, answered_at=None, polled_at=None, is_applied=False)
        self.history = self._with_alerts(history, states_sent(self._alert_states))
        return True

    def is_gap(self, since: float | None, now: float) -> bool:
        """Tell whether too much time has passed for two consecutive polls, or the clock was set back."""
        interval = self._interval(with_pauses=True)
        return since is None or not 0 <= now - since <= allowed_gap(interval)

    def observe(self, progress: MigrationProgress, now: float, *, is_confirmed: bool = False) -> Verdict:
        """
        Decide on a record.

        :param now: epoch seconds.
        :param is_confirmed: True if the target has already held for ``hold_for`` seconds, so that it only has
            to hold now.
        """
        failed = progress.state is MigrationState.FAILED
        before = self._history_after_gap(now)
        recheck_since = _recheck_since(progress, before.recheck_since)
        progress = _without_old_check(progress, recheck_since)
        # An answer that says nothing does not undo what was shown; one that says otherwise does.
        was_shown = before.is_applied and progress.applied_until is None and is_copied(progress)
        is_shown = was_shown or is_applied(progress, self.policy.checkpoint_after)
        held = self._is_at_target(progress) and is_shown
        has_changed = self.progress is None or self._comparable(self.progress) != self._comparable(progress)
        seen = before.last_seen
        if has_changed or seen is None:
            seen = _digest(_activity_fingerprint(progress, self.policy))
        position, applied = before.position, _position(progress)
        if applied is not None and (position is None or abs(applied - position) > _POSITION_NOISE):
            position = applied
        # A migration that is in sync may have nothing to move.
        moved = seen != before.last_seen or position != before.position
        is_ready = progress.state is MigrationState.CAUGHT_UP and (is_shown or self._is_to_come(progress))
        figures, has_moved = self._movement(before, progress, may_rest=is_ready)
        if is_ready or self._may_still_be_verified(progress):
            moved = moved or not self._awaits_check(progress)
        self.outbox.add(progress, has_changed=has_changed)
        progress = self._with_time_left(progress, has_changed=has_changed)
        notices_before = self.notices()
        self.progress = progress
        self.history = replace(
            before,
            polls=before.polls + 1,
            polled_at=now,
            answered_at=now,
            poll_errors=0,
            quota_polls=0,
            errors_since=None,
            retry_after=0,
            quota_since=None,
            last_seen=seen,
            position=position,
            moved_at=now if moved else _since(before.moved_at, now),
            figures=figures,
            has_moved=has_moved,
            failed_since=_since(before.failed_since, now) if failed else None,
            held_since=_since(before.held_since, now) if held else None,
            is_applied=is_shown and self.policy.checkpoint_after is not None,
            recheck_since=recheck_since,
        )
        begins_or_ceases = held is (before.held_since is None)
        notices_have_changed = set(notices_before) != set(self.notices())
        self.outbox.record_poll(
            wait_has_changed=begins_or_ceases or notices_have_changed or before.poll_errors > 0
        )
        verdict = self._decide(progress, now, 0 if is_confirmed else self.policy.hold_for)
        return self._by_the_deadline(verdict, now)

    def _movement(
        self, before: History, progress: MigrationProgress, *, may_rest: bool
    ) -> tuple[Mapping[str, float] | None, bool]:
        """Return the figures of a migration at work for its alerts, and whether they show movement."""
        if not self._alerts or not is_at_work(progress):
            return before.figures, False
        last = before.figures or {}
        figures = figures_of(progress, with_check=self.policy.wants_verified)
        position = _position(progress)
        # Unlike History.position of work only: the lag of a paused job may stay as it was.
        if position is not None and abs(position - last.get("position", math.inf)) > _POSITION_NOISE:
            figures["position"] = position
        is_resting = may_rest and not self._awaits_check(progress)
        return {**last, **figures}, have_moved(last, figures) or is_resting

    def _comparable(self, progress: MigrationProgress) -> dict[str, Any]:
        """Return the fields in which a difference counts as a change of the record."""
        unseen = dict.fromkeys(("observed_at", "request_id", *QUIET_FIELDS, *UNSEEN_FIELDS))
        # Of the service's retries, begin and end are a change; their figures change at each poll.
        seen = {**vars(progress), **unseen, "retrying": progress.retrying is None}
        check = progress.verification
        if check is not None and not self.policy.wants_verified:
            seen["verification"] = {**vars(check), "percent": None}
        return seen

    def _with_time_left(self, progress: MigrationProgress, *, has_changed: bool) -> MigrationProgress:
        """Estimate the time left from the history, unless the service gives it."""
        if progress.remaining_seconds is not None or progress.percent in (None, 0, 100):
            return progress
        # An estimate costs a tenth of a poll, and without a change there is none where there was none.
        if not has_changed and self.progress is not None and self.progress.remaining_seconds is None:
            return progress
        left = seconds_left(self.outbox.points, progress.observed_at.timestamp(), progress.state)
        if left is None:
            return progress
        return _updated(progress, remaining_seconds=left, remaining_source="estimate")

    def fail_poll(self, error: MigrationError, now: float) -> Verdict:
        """
        Decide on a failed poll.

        :param error: the reason; an error that is not transient ends the wait, unless it is tolerated after a
            success (``tolerated_after_success``) and the wait has had an answer.
        :param now: epoch seconds.
        """
        before = self._history_after_gap(now)
        is_patient = _is_quota_exhausted(error) and self.policy.deadline >= _next_day(now)
        self.history = replace(
            before,
            polls=before.polls + 1,
            polled_at=now,
            poll_errors=before.poll_errors + 1,
            quota_polls=before.quota_polls + is_patient,
            errors_since=_since(before.errors_since, now),
            retry_after=_retry_after(error),
            quota_since=_since(before.quota_since, now) if is_patient else None,
        )
        self.outbox.record_poll(wait_has_changed=True)
        # A connection that could be read for an earlier poll is not missing, only out of reach.
        was_read = before.has_answer or (
            isinstance(error, MigrationConnectionNotFoundError) and before.polls > 0
        )
        if not (error.is_transient or (error.tolerated_after_success and was_read)):
            return Verdict(Outcome.POLL_ERROR, f"{self._message('Polling has failed', now)} ")
        if is_patient:
            waited = now - _since(before.quota_since, now)
            if waited >= QUOTA_PATIENCE:
                what = f"The quota has been used up for {waited / 3600:.0f} hours"
                return Verdict(Outcome.POLL_ERROR, f"{self._message(what, now)} ")
        else:
            allowed, failed = self.policy.max_poll_errors, self.history.poll_errors - self.history.quota_polls
            if allowed is not None and failed > allowed:
                what = f"Polling has failed {_times(failed)} (max_poll_errors={allowed})"
                return Verdict(Outcome.POLL_ERROR, f"{self._message(what, now)} ")
        return self._by_the_deadline(WAIT, now, f" The last poll failed: {error}")

    def time_out(self, now: float, detail: str) -> Verdict:
        """
        End the wait at its deadline although the last poll has not ended.

        :param now: epoch seconds.
        :param detail: the reason, for the message.
        """
        return Verdict(Outcome.TIMEOUT, f"{self._message('Timed out', now)}{self._hold_so_far()} {detail}")

    def wait_to_json(self, verdict: Verdict, error: MigrationError | None = None) -> dict[str, Any]:
        """
        Return XCom ``migration_wait``: migration and targets, the state of polling, and the end of the wait.

        Plain JSON of less than 4 KB: longer texts are truncated. Times are epoch seconds.

        :param verdict: the verdict of the last poll.
        :param error: the error of the last poll, if it failed.
        """
        policy, history = self.policy, self.history
        reason = f"{verdict.reason}{error}" if verdict.outcome is Outcome.POLL_ERROR else verdict.reason
        wait: dict[str, Any] = {
            "service": policy.service,
            "migration_id": clean_text(policy.migration_id, 256),
            "targets": list(policy.targets),
            "max_lag": policy.max_lag,
            "hold_for": policy.hold_for,
            "stall_timeout": policy.stall_timeout,
            "poke_interval": policy.poke_interval,
            "exponential_backoff": policy.exponential_backoff,
            "started_at": policy.started_at,
            "deadline": policy.deadline if math.isfinite(policy.deadline) else None,
            "held_since": history.held_since,
            "poll_errors": history.poll_errors,
            "max_poll_errors": policy.max_poll_errors,
            "errors_since": history.errors_since,
            "quota_exhausted_since": history.quota_since,
            "last_error": clean_text(error),
            "warnings": self.notices()[:MAX_WARNINGS],
            "outcome": verdict.outcome.value if verdict.ends else None,
            "reason": clean_text(reason) if verdict.ends else None,
        }
        if policy.checkpoint_after is not None:
            wait["checkpoint_after"] = policy.checkpoint_after
        limit = MAX_MESSAGE_CHARACTERS
        while len(json.dumps(wait)) >= MAX_WAIT_BYTES:
            limit //= 2
            wait = shorten(wait, limit)
        return wait

    def due(self, verdict: Verdict, error: MigrationError | None = None) -> dict[str, Any]:
        """
        Return the XCom entries that are due now, by key.

        :param verdict: the verdict of the last poll.
        :param error: the error of the last poll, if it failed.
        """
        return self.outbox.due(
            self.progress,
            partial(self.wait_to_json, verdict, error),
            self.policy.poke_interval,
            is_last=verdict.ends,
        )

    def notifications(
        self, verdict: Verdict, error: MigrationError | None, now: float, *, is_last: bool
    ) -> list[Notification]:
        """
        Return the messages of alerts that are due after a poll, each once.

        :param verdict: the verdict of the poll.
        :param error: the error of the poll, if it failed.
        :param now: epoch seconds of the poll.
        :param is_last: True if the wait ends with the verdict: a watcher goes on, and so does a task that
            Airflow retries.
        """
        if not self._alerts:
            return []
        history, outcome = self.history, verdict.outcome
        is_reached = True if outcome is Outcome.DONE else None if history.held_since is not None else False
        # A wait may also end without a last poll: it hangs, or no triggerer has made one.
        is_answered = (
            error is None and history.polled_at is not None and history.polled_at == history.answered_at
        )
        is_failed = False if is_answered else None
        seen = Observation(
            progress=self.progress if is_answered else None,
            is_failed_poll=is_failed if error is None else True,
            is_reached=is_reached,
            has_failed=is_last and outcome in (Outcome.FAIL, Outcome.TIMEOUT, Outcome.POLL_ERROR),
            is_last=is_last,
            has_moved=history.has_moved,
            moved_at=history.moved_at,
            is_check_old=history.recheck_since is not None,
            now=now,
        )
        due, states = notifications_due(self._alerts, self._alert_states, seen)
        self.history = self._with_alerts(self.history, states)
        return due

    def alerts_to_json(self) -> dict[str, Any]:
        """Return the state, in plain JSON, with which another process sends no message twice."""
        history = self.history
        return {
            "alerts": states_to_json(states_sent(self._alert_states)),
            "figures": history.figures,
        }

    def restore_alerts(self, data: Mapping[str, Any]) -> None:
        """
        Continue from the output of :meth:`alerts_to_json` of an earlier process.

        :raises ValueError: for anything else; nothing has changed then.
        """
        match data:
            case {"alerts": sent, "figures": figures}:
                figures = figures_from_json(figures)
            case _:
                raise ValueError(
                    f"the state of the alerts must be an object of alerts and figures, not {data!r}"
                )
        states = states_sent(states_from_json(sent))
        self.history = self._with_alerts(replace(self.history, figures=figures), states)

    @property
    def _alert_states(self) -> dict[str, AlertState]:
        return states_from_json(self.history.alerts)

    @staticmethod
    def _with_alerts(history: History, states: Mapping[str, AlertState]) -> History:
        return replace(history, alerts=states_to_json(states) or None)

    def next_poll_in(self, now: float) -> float:
        """
        Return the seconds until the next poll, at most until the deadline.

        A pause that the service asks for costs one failed poll, however short the interval is.
        """
        return max(min(self._interval(with_pauses=True), self.policy.deadline - now), 0)

    def _interval(self, *, with_pauses: bool = False) -> float:
        policy = self.policy
        interval = policy.poke_interval
        if policy.exponential_backoff:
            # Starts at half the interval and doubles, with as much jitter again: as Airflow's own backoff
            # does. The exponent is bounded because 2.0 ** 1024 overflows.
            least = max(int(interval * 2.0 ** min(self.history.polls - 2, 64)), 1)
            spread = hashlib.sha1(f"{policy.started_at}#{self.history.polls}".encode(), usedforsecurity=False)
            interval = least + int(spread.hexdigest(), 16) % least
            if policy.max_wait is not None:
                interval = min(interval, policy.max_wait)
        if with_pauses:
            interval = max(interval, self.history.retry_after)
            if self.history.quota_since is not None:
                interval = max(interval, QUOTA_INTERVAL)
        return interval

    def log_line(self, error: MigrationError | None = None) -> str | None:
        """
        Return a log line, or None if nothing has changed since the last one.

        :param error: the error of the last poll, if it failed.
        """
        is_holding = self.history.held_since is not None and self.policy.hold_for > 0
        is_behind = error is None and self.progress is not None and self._is_behind(self.progress)
        if error is not None:
            state = [type(error).__name__, getattr(error, "code", None)]
        elif self.progress is not None:
            shown = log_state(self.progress, with_verification=self._wants_check(self.progress))
            state = [*shown, is_holding, *([is_behind] if is_behind else [])]
        else:
            return None
        logged = _digest(json.dumps(state))
        if logged == self.history.last_logged:
            return None
        self.history = replace(self.history, last_logged=logged)
        if error is not None or self.progress is None:
            return f"Poll {self.history.polls} failed: {error}"
        held = f"; the target must hold for {self.policy.hold_for:g} s" if is_holding else ""
        behind = f"{self._applied_so_far()}; wanted {self.policy.wanted}" if is_behind else ""
        return describe(self.progress, with_verification=self._wants_check(self.progress)) + held + behind

    def new_warnings(self) -> list[str]:
        """Return the warnings about the last record that this wait has not logged yet."""
        by_digest = {_digest(text)[:8]: text for text in self.notices()}
        new = {digest: text for digest, text in by_digest.items() if digest not in self.history.warned}
        if new:
            self.history = replace(self.history, warned=(*self.history.warned, *new)[-_MAX_DIGESTS:])
        return list(new.values())

    def notices(self) -> list[str]:
        """Return the warnings about the last record, and the remedy for its data check if that is wanted."""
        if self.progress is None or not (self.progress.warnings or self.progress.verification_remedy):
            return []
        is_in_sync = self.progress.state in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)
        remedy = self.progress.verification_remedy
        wanted = [remedy] if self.policy.wants_verified and is_in_sync else []
        return [text for text in (*self.progress.warnings, *wanted) if text]

    def _history_after_gap(self, now: float) -> History:
        """Return the history; after a gap between two answers, all durations begin again."""
        history = self.history
        if self.is_gap(history.answered_at, now):
            history = replace(history, held_since=None, failed_since=None, moved_at=None)
            return self._with_alerts(history, without_durations(self._alerts, self._alert_states))
        since = history.answered_at or now
        # A pause that the service asked for is no evidence that the target held during it.
        is_observed = now - since <= allowed_gap(self._interval())
        return history if is_observed else replace(history, held_since=None)

    def _hold_so_far(self) -> str:
        history = self.history
        if history.held_since is None or history.answered_at is None:
            return ""
        held_for = history.answered_at - history.held_since
        return f" The target has held for {held_for:.0f} s and must hold for {self.policy.hold_for:g} s."

    def _decide(self, progress: MigrationProgress, now: float, hold_for: float) -> Verdict:
        policy, history, state = self.policy, self.history, progress.state
        if history.held_since is not None:
            held_for = now - history.held_since
            return Verdict(Outcome.DONE, self._message("Reached", now)) if held_for >= hold_for else WAIT
        if history.failed_since is not None:
            graceful = now - history.failed_since < policy.failure_grace
            return WAIT if graceful else Verdict(Outcome.FAIL, self._message("The migration failed", now))
        if (reason := self._mismatch(progress)) is not None:
            return Verdict(Outcome.FAIL, self._message(reason, now))
        if state in _ENDED and not self._may_still_be_verified(progress):
            return Verdict(Outcome.FAIL, self._message("The migration ended before reaching the target", now))
        if state is MigrationState.PAUSED and policy.on_paused != "wait":
            outcome = Outcome.SKIP if policy.on_paused == "skip" else Outcome.FAIL
            return Verdict(outcome, self._message("The migration is paused", now))
        if state is MigrationState.UNKNOWN and policy.on_unknown == "fail":
            return Verdict(Outcome.FAIL, self._message("The service reports an unknown status", now))
        if policy.stall_timeout is not None and history.moved_at is not None:
            still = now - history.moved_at
            if still >= policy.stall_timeout:
                return Verdict(Outcome.FAIL, self._message(f"Nothing has moved for {still:.0f} s", now))
        return WAIT

    def _mismatch(self, progress: MigrationProgress) -> str | None:
        """Return the reason for which the data check ends the wait, or None."""
        policy, check = self.policy, progress.verification
        if check is None or not policy.wants_verified:
            return None
        if check.state is VerificationState.NOT_CONFIGURED:
            # Another target may still be reached.
            return "There is no data check to wait for" if len(policy.targets) == 1 else None
        if policy.on_mismatch == "fail" and check.state is VerificationState.INCONSISTENT:
            return "Source and destination differ"
        if policy.on_mismatch == "fail" and check.state is VerificationState.FAILED:
            return "The data check failed"
        return None

    def _may_still_be_verified(self, progress: MigrationProgress) -> bool:
        """Tell whether the wait goes on after success, for the result of the data check."""
        if progress.state is not MigrationState.SUCCEEDED or progress.is_verified:
            return False
        is_shown = self.policy.checkpoint_after is None or self.history.is_applied
        check = progress.verification
        is_final = check is not None and check.state is VerificationState.NOT_CONFIGURED
        return self.policy.wants_verified and is_shown and not is_final

    def _wants_check(self, progress: MigrationProgress) -> bool:
        """Tell whether the wait needs the data check that a record has."""
        return progress.verification is not None and self.policy.wants_verified

    def _awaits_check(self, progress: MigrationProgress) -> bool:
        """Tell whether the wait needs the result of a data check that is running and reports its progress."""
        check = progress.verification
        is_running = check is not None and check.state is VerificationState.RUNNING
        return self.policy.wants_verified and is_running and check is not None and check.percent is not None

    def _by_the_deadline(self, verdict: Verdict, now: float, detail: str = "") -> Verdict:
        if verdict.ends or now < self.policy.deadline:
            return verdict
        return Verdict(Outcome.TIMEOUT, f"{self._message('Timed out', now)}{self._hold_so_far()}{detail}")

    def _message(self, what: str, now: float) -> str:
        last, remedy = "no answer yet", ""
        if self.progress is not None:
            wants_check = self._wants_check(self.progress)
            last = describe(self.progress, with_verification=wants_check) + self._applied_so_far()
            if self._is_behind(self.progress):
                remedy = f" {_BEHIND}"
            elif wants_check and self.progress.verification_remedy:
                remedy = f" {self.progress.verification_remedy}"
        waited = max(now - self.policy.started_at, 0)
        return f"{what}: {last}; wanted {self.policy.wanted}; waited {waited:.0f} s.{remedy}"

    def _is_at_target(self, progress: MigrationProgress) -> bool:
        return any(target_reached(progress, target) for target in self.policy.targets)

    def _is_behind(self, progress: MigrationProgress) -> bool:
        """Tell whether the target is reached, but not everything is known to be applied."""
        is_shown = self.policy.checkpoint_after is None or self.history.is_applied
        return self._is_at_target(progress) and not is_shown

    def _is_to_come(self, progress: MigrationProgress) -> bool:
        """Tell whether the moment until which everything must be applied is in the future."""
        return progress.observed_at.timestamp() < (self.policy.checkpoint_after or 0)

    def _applied_so_far(self) -> str:
        """Return until when changes are applied, for messages; empty where that does not matter."""
        if self.progress is None or self.policy.checkpoint_after is None or self.history.is_applied:
            return ""
        until = self.progress.applied_until
        if until is not None:
            return f"; the source's changes are applied until {utc_text(until.timestamp())}"
        return "; the answer has no checkpoint" if self._is_at_target(self.progress) else ""


def _from_known_fields(kind: type[_T], data: dict[str, Any]) -> _T:
    """Build from known fields; ignore those of other versions."""
    names = {item.name for item in fields(kind)}  # type: ignore[arg-type] # a dataclass
    given = {name: value for name, value in data.items() if name in names}
    # JSON has no tuples.
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _without_defaults(what: WaitPolicy | History) -> dict[str, Any]:
    values = {item.name: getattr(what, item.name) for item in fields(what)}
    defaults = {item.name: item.default for item in fields(what)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != defaults[name]
    }


def _position(progress: MigrationProgress) -> float | None:
    if progress.checkpoint is not None:
        return progress.checkpoint.timestamp()
    if progress.lag_seconds is not None:
        return progress.observed_at.timestamp() - progress.lag_seconds
    return None


def _is_quota_exhausted(error: MigrationError) -> bool:
    return isinstance(error, MigrationThrottledError) and error.quota_exhausted


def _retry_after(error: MigrationError) -> float:
    asked = error.retry_after if isinstance(error, MigrationApiError) else None
    return min(asked or 0.0, _MAX_RETRY_AFTER)


def _next_day(now: float) -> float:
    # Only Alibaba Cloud has daily quotas; its day begins at midnight in China (UTC+8).
    into_the_day = (now + 8 * 3600) % 86_400
    return now - into_the_day + 86_400


def _since(before: float | None, now: float) -> float:
    # A clock that was set back restarts the duration rather than making it negative.
    return now if before is None or before > now else before


def _recheck_since(progress: MigrationProgress, before: float | None) -> float | None:
    """Return the minimum time of a valid data check; None for any time."""
    if progress.recheck_since is not None:
        return progress.recheck_since.timestamp()
    if progress.is_rechecking or before is None:
        return None
    check = progress.verification
    is_newer = check is not None and check.checked_at is not None and check.checked_at.timestamp() > before
    return None if is_newer else before


def _without_old_check(progress: MigrationProgress, recheck_since: float | None) -> MigrationProgress:
    """Return a record whose data check counts as running if it is too old."""
    check = progress.verification
    if recheck_since is None or check is None or check.state is not VerificationState.CONSISTENT:
        return progress
    check = check.model_copy(update={"state": VerificationState.RUNNING, "percent": None})
    return _updated(progress, verification=check, verification_remedy=_CHECK_IS_OLD)


def _updated(progress: MigrationProgress, **changes: Any) -> MigrationProgress:
    """Return a record with changes."""
    changed = progress.model_copy(update=changes)
    # model_copy gives each record its own set of given fields; share the class's set again, to save memory.
    changed.model_post_init(None)
    return changed


def _activity_fingerprint(progress: MigrationProgress, policy: WaitPolicy) -> str:
    # A check that nobody waits for must not hide that the migration stands still.
    also = {"verification"} if policy.wants_verified else set()
    return progress.model_dump_json(include=_ACTIVITY_FIELDS | also)


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
