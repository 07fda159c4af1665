"""The policy of a wait: the sensor's arguments and the targets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

from airflow_provider_migration.alerts import VERIFICATION_FAILED
from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.progress import (
    BULK_PHASES,
    MILESTONES,
    VERIFIED,
    MigrationProgress,
    MigrationState,
)

_AT_OR_PAST: Final[dict[MigrationState, tuple[MigrationState, ...]]] = {
    MigrationState.PENDING: (
        MigrationState.PENDING,
        MigrationState.RUNNING,
        MigrationState.CAUGHT_UP,
        MigrationState.SUCCEEDED,
    ),
    MigrationState.RUNNING: (MigrationState.RUNNING, MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED),
}
"""States that a migration passes through; a poll may miss them. Any other state must be seen in a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitPolicy:
    """
    The sensor's arguments, JSON-serializable; the sensors' docstrings give the meanings.

    :ivar service: the service of the migration, shown while there is no record yet.
    :ivar migration_id: the id of the migration, likewise.
    :ivar deadline: epoch seconds at which the wait ends.
    :ivar started_at: epoch seconds at which the wait began, for messages and for the backoff.
    :ivar checkpoint_after: epoch seconds until which everything must be applied, besides a target.
    :ivar alerts: the alerts, each in plain JSON.
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
    checkpoint_after: float | None = None
    on_mismatch: str = "wait"
    alerts: tuple[dict[str, Any], ...] = ()

    @property
    def wants_verified(self) -> bool:
        """True if one of the targets is ``verified``."""
        return any(target.lower() == VERIFIED for target in self.targets)

    @property
    def poll_arguments(self) -> dict[str, Any]:
        """The arguments of the hook's ``get_progress`` besides the migration's ids."""
        is_checked = self.wants_verified or any(alert["when"] == VERIFICATION_FAILED for alert in self.alerts)
        wanted = {"verification": True} if is_checked else {}
        return {"max_lag": self.max_lag, **wanted}

    @property
    def wanted(self) -> str:
        """The targets, and the moment until which everything must be applied, for messages."""
        words = " or ".join(self.targets)
        if self.checkpoint_after is None:
            return words
        return f"{words} with everything until {utc_text(self.checkpoint_after)} applied"


def utc_text(moment: float) -> str:
    """Return epoch seconds as UTC time for messages."""
    precision = "milliseconds" if moment % 1 else "seconds"
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def is_applied(progress: MigrationProgress, moment: float | None) -> bool:
    """
    Tell whether a record shows that everything written until a moment is applied; True without a moment.

    Nothing shows it before the moment has come, because more may be written until then, nor before existing
    data is copied.

    :param moment: epoch seconds, or None.
    """
    if moment is None:
        return True
    if progress.applied_until is None or progress.observed_at.timestamp() < moment:
        return False
    return is_copied(progress) and progress.applied_until.timestamp() >= moment


def is_copied(progress: MigrationProgress) -> bool:
    """Tell whether no bulk phase of a record is unfinished."""
    bulk = (phase.state for phase in progress.phases if phase.name in BULK_PHASES)
    return all(state is MigrationState.SUCCEEDED for state in bulk)


def chosen_targets(subject: str, given: object, possible: Collection[str]) -> tuple[str, ...]:
    """
    Validate a ``target_status`` and return its targets.

    :param subject: the beginning of the message.
    :param given: the ``target_status``: one word or several.
    :param possible: the words that the service can reach, in lower case.
    :raises MigrationConfigurationError: for a value that is not a word, for an empty list, and for a word
        that is never reached.
    """
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, (list, tuple, set, frozenset)):
        raise MigrationConfigurationError(
            f"{subject}: target_status must be a word or a list of words, not {given!r}."
        )
    targets = tuple(str(word).strip() for word in words)
    impossible = [target for target in targets if target.lower() not in possible]
    if impossible or not targets:
        # The words that all services share come first, the milestones in their order.
        shared = dict.fromkeys((*MILESTONES, VERIFIED, *MigrationState))
        known = [word for word in shared if word in possible]
        words = [*known, *sorted(set(possible).difference(known))]
        wrong = "is empty."
        if impossible:
            near = get_close_matches(impossible[0].lower(), words, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            wrong = f"{impossible[0]!r} is never reached by this service{hint}"
        raise MigrationConfigurationError(f"{subject}: target_status {wrong} Possible: {', '.join(words)}.")
    return targets


def target_reached(progress: MigrationProgress, target: str) -> bool:
    """Tell whether a record is at a target: a milestone, a state, or the service's own word."""
    word = target.lower()
    if word in MILESTONES:
        return progress.reached(word)
    if word == VERIFIED:
        return progress.is_verified
    if word in progress.statuses_reached:
        return True
    try:
        state = MigrationState(word)
    except ValueError:
        return False
    return progress.state in _AT_OR_PAST.get(state, (state,))
