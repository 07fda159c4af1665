"""Retries: conditions, backoff and limits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Final

from tenacity import RetryCallState, retry_if_exception

from airflow_provider_migration.clock import Clock
from airflow_provider_migration.exceptions import MigrationApiError, MigrationError, MigrationThrottledError
from airflow_provider_migration.transport.limiter import UNLIMITED, CallLimits, call_limits, limit_calls
from airflow_provider_migration.transport.settings import MAX_ATTEMPTS, MAX_CALL_SECONDS

log: Final = logging.getLogger(__name__)

LAST_TURN_SECONDS: Final = 3.0
"""Maximum seconds for which the last poll, which begins at the deadline, may wait in the queue."""


class Patience:
    """
    Time that a call may still wait: in the queue, and for the end of a pause that the service asked for.

    :param monotonic: seconds; the duration of the attempts does not count.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.limits: CallLimits = call_limits.get()
        self._monotonic = monotonic
        self._waited_until = inf if self.limits is UNLIMITED else monotonic() + self.limits.queue_seconds
        self._began_at = 0.0

    @property
    def latest(self) -> float:
        """The end of the wait, in ``monotonic`` seconds."""
        return min(self._waited_until, self.limits.deadline + LAST_TURN_SECONDS)

    def begin_attempt(self) -> None:
        """Begin an attempt."""
        if self.limits is not UNLIMITED:
            self._began_at = self._monotonic()

    def end_attempt(self) -> None:
        """End an attempt: its duration does not count as waiting."""
        if self.limits is not UNLIMITED:
            self._waited_until += self._monotonic() - self._began_at

    def allows(self, pause: float, *, for_service: bool) -> bool:
        """
        Tell whether a pause before another attempt is short enough.

        :param for_service: True if the service throttles.
        """
        if self.limits is UNLIMITED:
            return True
        until = self._monotonic() + pause
        return until < self.limits.deadline and not (for_service and until > self._waited_until)


class RetryPolicy:
    """
    The retries of one call, from its first attempt on.

    At most ``MAX_ATTEMPTS`` attempts and ``MAX_CALL_SECONDS``. The backoff before attempt *n* + 1 is
    ``min(0.5 · 2ⁿ, 8) · (0.5 … 1)`` seconds; a pause that the service asks for replaces it, plus up to a
    second.

    :ivar patience: the time that the call may still wait.
    """

    def __init__(self, clock: Clock) -> None:
        self.patience: Patience = Patience(clock.monotonic)
        self._clock = clock
        self._started = clock.monotonic()
        self._has_warned = False

    def options(self) -> dict[str, Any]:
        """Return the arguments of tenacity's ``Retrying`` and ``AsyncRetrying``."""
        return {
            "retry": retry_if_exception(_is_retryable),
            "wait": self._seconds_to_wait,
            "stop": self._is_exhausted,
            "before_sleep": self._log,
            "reraise": True,
        }

    def _seconds_to_wait(self, state: RetryCallState) -> float:
        error = _error_of(state)
        hint = error.retry_after if isinstance(error, MigrationApiError) else None
        backoff = min(0.5 * 2.0**state.attempt_number, 8.0)
        # Jitter, so that clients with the same hint do not come back together.
        jitter = self._clock.rand()
        return hint + jitter if hint is not None else backoff * (0.5 + jitter / 2)

    def _is_exhausted(self, state: RetryCallState) -> bool:
        elapsed = self._clock.monotonic() - self._started
        # One hint of the full length after the first attempt is honoured.
        too_long = elapsed >= MAX_CALL_SECONDS or elapsed + state.upcoming_sleep > MAX_CALL_SECONDS + 5
        is_throttled = isinstance(_error_of(state), MigrationThrottledError)
        return (
            state.attempt_number >= MAX_ATTEMPTS
            or too_long
            or not self.patience.allows(state.upcoming_sleep, for_service=is_throttled)
        )

    def _log(self, state: RetryCallState) -> None:
        error = _error_of(state)
        if isinstance(error, MigrationThrottledError) and not self._has_warned:
            self._has_warned = True
            log.warning("Throttled; retrying in %.1f s. %s", state.upcoming_sleep, error)
        else:
            log.debug("Retrying in %.1f s. %s", state.upcoming_sleep, error)


def _is_retryable(error: BaseException) -> bool:
    if isinstance(error, MigrationApiError) and error.is_cut_short:
        return False
    if isinstance(error, MigrationThrottledError) and error.quota_exhausted:
        return False
    return isinstance(error, MigrationError) and error.is_transient


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


@contextmanager
def deadline_not_before_now(clock: Clock) -> Iterator[None]:
    """Move a deadline that has passed to now, so that a flow still has ``read_timeout``."""
    limits = call_limits.get()
    if limits.deadline == inf or limits.deadline >= (now := clock.monotonic()):
        yield
    else:
        with limit_calls(queue_seconds=limits.queue_seconds, deadline=now):
            yield
