"""
Decide, from what was seen and what the user wants: wait, done or fail.

:class:`Watch` is the whole decision, without a clock and without I/O: poke, reschedule and deferrable
mode all fetch a record, hand it in together with the time, and do what they are told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, TypeVar

from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
)
from airflow_provider_migration.progress import (
    MAX_MESSAGE_CHARACTERS,
    MILESTONES,
    MigrationProgress,
    MigrationState,
    clean_text,
    shorten,
)
from airflow_provider_migration.publication import Publication

_AT_OR_PAST: Final[dict[MigrationState, tuple[MigrationState, ...]]] = {
    MigrationState.PENDING: (
        MigrationState.PENDING,
        MigrationState.RUNNING,
        MigrationState.CAUGHT_UP,
        MigrationState.SUCCEEDED,
    ),
    MigrationState.RUNNING: (MigrationState.RUNNING, MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED),
}
"""States that a migration passes through; a poll may miss them. Any other state must be met itself."""

MAX_WAIT_BYTES: Final = 4 * 1024
"""Upper bound of what XCom tells of a wait, as JSON."""

_T = TypeVar("_T")

_POSITION_NOISE: Final = 2.0
"""Seconds by which a position may seem to advance, because services round their lag."""

_ENDED: Final = (
    MigrationState.SUCCEEDED,
    MigrationState.PARTIALLY_SUCCEEDED,
    MigrationState.CANCELLED,
)


class Outcome(StrEnum):
    """What to do now."""

    WAIT = "wait"
    DONE = "done"
    FAIL = "fail"
    SKIP = "skip"
    TIMEOUT = "timeout"
    POLL_ERROR = "poll_error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What to do now, and why.

    :ivar outcome: what to do.
    :ivar reason: what a person is told; with ``POLL_ERROR``, what goes before the error's own message.
    """

    outcome: Outcome
    reason: str = ""


WAIT: Final = Verdict(Outcome.WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """
    What the user wants, in plain JSON values; the sensors' docstrings give the meanings.

    :ivar service: whose migration it is, for those who see no record.
    :ivar migration_id: its id, likewise.
    :ivar deadline: epoch seconds at which waiting ends.
    :ivar started_at: epoch seconds at which it began, for messages and for the pace.
    """

    targets: tuple[str, ...]
    started_at: float
    deadline: float
    service: str | None = None
    migration_id: str | None = None
    max_lag: float = 60
    on_paused: str = "wait"
    on_unknown: str = "wait"
    failure_grace: float = 0
    stall_timeout: float | None = None
    hold_for: float = 0
    max_poll_errors: int | None = 5
    poke_interval: float = 60
    exponential_backoff: bool = False
    max_wait: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """
    What earlier polls left behind, in plain JSON values.

    :ivar polls: how often was asked.
    :ivar poll_errors: how many of the last polls failed one after the other.
    :ivar errors_since: when the first of these was, epoch seconds.
    :ivar last_seen: a digest of what counts as movement.
    :ivar position: up to which time of the source changes were applied when it last moved, epoch seconds.
    :ivar moved_at: when it was last seen to move, epoch seconds.
    :ivar failed_since: since when the state is failed, epoch seconds.
    :ivar held_since: since when the target is held, epoch seconds.
    :ivar last_told: a digest of what the last log line said.
    """

    polls: int = 0
    poll_errors: int = 0
    errors_since: float | None = None
    last_seen: str | None = None
    position: float | None = None
    moved_at: float | None = None
    failed_since: float | None = None
    held_since: float | None = None
    last_told: str | None = None


def chosen_targets(whose: str, given: object, possible: Collection[str]) -> tuple[str, ...]:
    """
    Return the targets that a user has chosen.

    :param whose: with what the message begins.
    :param given: the ``target_status``: one word or several.
    :param possible: in lower case, what the service can reach.
    :raises MigrationConfigurationError: for what is no word, for none, and for one that is never reached.
    """
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, (list, tuple, set, frozenset)):
        raise MigrationConfigurationError(
            f"{whose}: target_status must be a word or a list of words, not {given!r}."
        )
    targets = tuple(str(word).strip() for word in words)
    impossible = [target for target in targets if target.lower() not in possible]
    if impossible or not targets:
        # What is the same for every service comes first, the milestones in their order.
        known = [word for word in dict.fromkeys((*MILESTONES, *MigrationState)) if word in possible]
        words = [*known, *sorted(set(possible).difference(known))]
        wrong = "is empty."
        if impossible:
            near = get_close_matches(impossible[0].lower(), words, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            wrong = f"{impossible[0]!r} is never reached by this service{hint}"
        raise MigrationConfigurationError(f"{whose}: target_status {wrong} It has: {', '.join(words)}.")
    return targets


def target_reached(progress: MigrationProgress, target: str) -> bool:
    """Tell whether a record is at a target: a milestone, a state, or the service's own word."""
    word = target.lower()
    if word in MILESTONES:
        return progress.reached(word)
    if word in progress.words_reached:
        return True
    try:
        state = MigrationState(word)
    except ValueError:
        return False
    return progress.state in _AT_OR_PAST.get(state, (state,))


@dataclass(slots=True)
class Watch:
    """
    One wait for one migration.

    :ivar wishes: what the user wants; does not change.
    :ivar history: what the polls so far left behind.
    :ivar progress: the last record, or None.
    :ivar publication: what of it people see.
    """

    wishes: Wishes
    history: History = field(default_factory=History)
    progress: MigrationProgress | None = None
    publication: Publication = field(default_factory=Publication)
    _headline: list[Any] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Watch:
        """Make the watch again that :meth:`to_json` wrote down."""
        wishes = {**data["wishes"], "targets": tuple(data["wishes"]["targets"])}
        record = data.get("progress")
        return cls(
            _known(Wishes, wishes),
            _known(History, data["history"]),
            MigrationProgress.model_validate(record) if record else None,
            Publication.from_json(data["publication"]) if "publication" in data else Publication(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "wishes": {**asdict(self.wishes), "targets": list(self.wishes.targets)},
            "history": asdict(self.history),
            "progress": self.progress.model_dump(mode="json") if self.progress else None,
            "publication": self.publication.to_json(),
        }

    def observe(self, progress: MigrationProgress, now: float) -> Verdict:
        """
        Decide on a record.

        :param now: epoch seconds.
        """
        held = any(target_reached(progress, target) for target in self.wishes.targets)
        failed = progress.state is MigrationState.FAILED
        before = self.history
        has_changed = self.progress is None or _content(self.progress) != _content(progress)
        seen = before.last_seen
        if has_changed or seen is None:
            seen = _digest(_movement(progress))
        position = before.position
        if progress.lag_seconds is not None:
            applied = now - progress.lag_seconds
            if position is None or applied > position + _POSITION_NOISE:
                position = applied
        # One that is in sync has nothing to move.
        moved = seen != before.last_seen or position != before.position
        moved = moved or progress.state is MigrationState.CAUGHT_UP
        self.publication.add(progress, has_changed=has_changed)
        self.progress = progress
        self.history = replace(
            before,
            polls=before.polls + 1,
            poll_errors=0,
            errors_since=None,
            last_seen=seen,
            position=position,
            moved_at=now if moved else _since(before.moved_at, now),
            failed_since=_since(before.failed_since, now) if failed else None,
            held_since=_since(before.held_since, now) if held else None,
        )
        begins_or_ceases = held is (before.held_since is None)
        self.publication.count_poll(wait_has_changed=begins_or_ceases or before.poll_errors > 0)
        verdict = self._decide(progress, now)
        return self._by_the_deadline(verdict, now)

    def fail_poll(self, error: MigrationError, now: float) -> Verdict:
        """
        Decide on a poll that gave no record.

        :param error: why; one that does not pass ends the wait.
        :param now: epoch seconds.
        """
        before = self.history
        # A connection that was there at an earlier poll is rather one that cannot be read just now.
        was_there = isinstance(error, MigrationConnectionNotFoundError) and before.polls > 0
        self.history = replace(
            before,
            polls=before.polls + 1,
            poll_errors=before.poll_errors + 1,
            errors_since=_since(before.errors_since, now),
        )
        self.publication.count_poll(wait_has_changed=True)
        if not (error.passing or was_there):
            return Verdict(Outcome.POLL_ERROR, f"{self._message('Polling has failed', now)} ")
        allowed, failed = self.wishes.max_poll_errors, self.history.poll_errors
        if allowed is not None and failed > allowed:
            what = f"Polling has failed {_times(failed)} (max_poll_errors={allowed})"
            return Verdict(Outcome.POLL_ERROR, f"{self._message(what, now)} ")
        return self._by_the_deadline(WAIT, now, f" The last poll failed: {error}")

    def wait_to_json(self, verdict: Verdict, error: MigrationError | None = None) -> dict[str, Any]:
        """
        Return what XCom tells of the wait: for what and for which migration it is, how its polls go, how it
        ended.

        Plain JSON of less than 4 KB: longer texts are cut. Times are epoch seconds.

        :param verdict: what the last poll led to.
        :param error: why that poll failed, if it did.
        """
        wishes, history = self.wishes, self.history
        has_ended = verdict.outcome is not Outcome.WAIT
        reason = f"{verdict.reason}{error}" if verdict.outcome is Outcome.POLL_ERROR else verdict.reason
        wait: dict[str, Any] = {
            "service": wishes.service,
            "migration_id": clean_text(wishes.migration_id, 256),
            "targets": list(wishes.targets),
            "max_lag": wishes.max_lag,
            "hold_for": wishes.hold_for,
            "stall_timeout": wishes.stall_timeout,
            "poke_interval": wishes.poke_interval,
            "exponential_backoff": wishes.exponential_backoff,
            "started_at": wishes.started_at,
            "deadline": wishes.deadline,
            "held_since": history.held_since,
            "poll_errors": history.poll_errors,
            "max_poll_errors": wishes.max_poll_errors,
            "errors_since": history.errors_since,
            "last_error": clean_text(error),
            "outcome": verdict.outcome.value if has_ended else None,
            "reason": clean_text(reason) if has_ended else None,
        }
        limit = MAX_MESSAGE_CHARACTERS
        while len(json.dumps(wait)) >= MAX_WAIT_BYTES:
            limit //= 2
            wait = shorten(wait, limit)
        return wait

    def next_poll_in(self, now: float) -> float:
        """Return how many seconds to wait until the next poll, never beyond the deadline."""
        wishes = self.wishes
        interval = wishes.poke_interval
        if wishes.exponential_backoff:
            # Starts at half the interval and doubles, spread by up to as much again: as Airflow's own does.
            # The exponent is bounded because 2.0 ** 1024 overflows.
            least = max(int(interval * 2.0 ** min(self.history.polls - 2, 64)), 1)
            spread = hashlib.sha1(f"{wishes.started_at}#{self.history.polls}".encode(), usedforsecurity=False)
            interval = least + int(spread.hexdigest(), 16) % least
            if wishes.max_wait is not None:
                interval = min(interval, wishes.max_wait)
        return max(min(interval, wishes.deadline - now), 0)

    def news(self, error: MigrationError | None = None) -> str | None:
        """
        Return a line that says what is new since the last call, or None when nothing is.

        :param error: why the last poll failed, if it did.
        """
        is_holding = self.history.held_since is not None and self.wishes.hold_for > 0
        if error is not None:
            headline = [type(error).__name__, getattr(error, "code", None)]
        elif self.progress is not None:
            headline = [*_headline(self.progress), is_holding]
        else:
            return None
        if headline == self._headline:
            return None
        self._headline = headline
        told = _digest(json.dumps(headline))
        if told == self.history.last_told:  # by the process that watched before
            return None
        self.history = replace(self.history, last_told=told)
        if error is not None or self.progress is None:
            return f"Poll {self.history.polls} failed: {error}"
        held = f"; the target must hold for {self.wishes.hold_for:g} s" if is_holding else ""
        return describe(self.progress) + held

    def _decide(self, progress: MigrationProgress, now: float) -> Verdict:
        wishes, history, state = self.wishes, self.history, progress.state
        if history.held_since is not None:
            held_for = now - history.held_since
            return (
                Verdict(Outcome.DONE, self._message("Reached", now)) if held_for >= wishes.hold_for else WAIT
            )
        if history.failed_since is not None:
            graceful = now - history.failed_since < wishes.failure_grace
            return WAIT if graceful else Verdict(Outcome.FAIL, self._message("The migration failed", now))
        if state in _ENDED:
            return Verdict(Outcome.FAIL, self._message("The migration ended short of the target", now))
        if state is MigrationState.PAUSED and wishes.on_paused != "wait":
            outcome = Outcome.SKIP if wishes.on_paused == "skip" else Outcome.FAIL
            return Verdict(outcome, self._message("The migration is paused", now))
        if state is MigrationState.UNKNOWN and wishes.on_unknown == "fail":
            return Verdict(Outcome.FAIL, self._message("The service reports a status that is not known", now))
        if wishes.stall_timeout is not None and history.moved_at is not None:
            still = now - history.moved_at
            if still >= wishes.stall_timeout:
                return Verdict(Outcome.FAIL, self._message(f"Nothing has moved for {still:.0f} s", now))
        return WAIT

    def _by_the_deadline(self, verdict: Verdict, now: float, detail: str = "") -> Verdict:
        if verdict.outcome is not Outcome.WAIT or now < self.wishes.deadline:
            return verdict
        return Verdict(Outcome.TIMEOUT, self._message("The time is up", now) + detail)

    def _message(self, what: str, now: float) -> str:
        last = describe(self.progress) if self.progress else "no answer yet"
        waited = max(now - self.wishes.started_at, 0)
        return f"{what}: {last}; wanted {' or '.join(self.wishes.targets)}; waited {waited:.0f} s."


def describe(progress: MigrationProgress) -> str:
    """Return a record in one line."""
    parts = [f"{progress.service} {progress.migration_id}: {progress.state}"]
    if progress.service_status and progress.service_status.lower() != progress.state.value:
        parts.append(f"({progress.service_status})")
    if progress.percent is not None:
        parts.append(f"{progress.percent:g} %")
    running = [phase for phase in progress.phases if phase.state is MigrationState.RUNNING]
    if running:
        parts.append("in " + ", ".join(_phase(phase.name, phase.percent) for phase in running))
    if progress.lag_seconds is not None:
        parts.append(f"lag {progress.lag_seconds:.0f} s")
    line = " ".join(parts)
    if progress.error:
        line += "".join(
            f"; {label}{text.rstrip('. ')}"
            for label, text in (
                ("", progress.error.message or progress.error.code),
                ("what to do: ", progress.error.remedy),
            )
            if text
        )
    return line


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times in a row"


def _phase(name: str | None, percent: float | None) -> str:
    return f"{name}" if percent is None else f"{name} {percent:g} %"


def _known(kind: type[_T], data: dict[str, Any]) -> _T:
    """Make something of the fields that this version knows: another may have written them down."""
    names = {item.name for item in fields(kind)}  # type: ignore[arg-type] # a dataclass
    return kind(**{name: value for name, value in data.items() if name in names})


def _since(before: float | None, now: float) -> float:
    # A clock that was set back starts the wait anew rather than making it negative.
    return now if before is None or before > now else before


def _content(progress: MigrationProgress) -> dict[str, Any]:
    return {**vars(progress), "observed_at": None, "request_id": None, "words_reached": None}


def _movement(progress: MigrationProgress) -> str:
    # The lag of a stuck migration grows by itself: its position tells whether it moves.
    return progress.model_dump_json(
        exclude={"observed_at", "request_id", "lag_seconds", "console_url", "name"}
    )


def _headline(progress: MigrationProgress) -> list[Any]:
    return [
        progress.state,
        progress.service_status,
        None if progress.percent is None else int(progress.percent),
        [(phase.name, phase.state, phase.service_status) for phase in progress.phases],
        progress.error and progress.error.model_dump(mode="json"),
        progress.objects and progress.objects.completed,
    ]


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
