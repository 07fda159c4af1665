"""One poll of a migration, as sensors and triggers make it in every mode."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_migration.exceptions import MigrationError
from airflow_provider_migration.metrics import report_poll
from airflow_provider_migration.transport.limiter import limit_poll
from airflow_provider_migration.wait.tracker import Verdict, WaitTracker

if TYPE_CHECKING:
    from airflow_provider_migration.progress import MigrationProgress


@dataclass(slots=True)
class Poll:
    """
    One poll.

    :ivar answer: the record, to be set within the block of :func:`poll_once` and after it the tracker's; the
        error of a failed poll.
    :ivar verdict: the verdict, known after the block.
    """

    answer: MigrationProgress | MigrationError = field(init=False)
    verdict: Verdict = field(init=False)

    @property
    def error(self) -> MigrationError | None:
        """The error of a failed poll, or None."""
        return self.answer if isinstance(self.answer, MigrationError) else None


@contextmanager
def poll_once(
    tracker: WaitTracker,
    hook: str,
    ids: Mapping[str, Any],
    log: Callable[..., Any],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    is_confirmed: bool = False,
) -> Iterator[Poll]:
    """
    Limit the calls of the block, which fetches the record; then decide, count the poll, and log changes.

    The block does the I/O, so that one function serves workers and the event loop. A ``MigrationError`` that
    leaves the block is a failed poll.

    :param tracker: the wait that the poll belongs to.
    :param hook: the hook's class as ``module:Class``, for the metrics.
    :param ids: the migration, as arguments of the hook's ``get_progress``.
    :param log: ``log.log`` of the task or of the trigger.
    :param monotonic: the clock of the hook.
    :param is_confirmed: as in :meth:`WaitTracker.observe`.
    """
    poll, now = Poll(), time.time()
    tracker.begin_poll(now)
    policy = tracker.policy
    try:
        with limit_poll(policy.poke_interval, deadline=monotonic() + policy.deadline - now):
            yield poll
    except MigrationError as error:
        poll.answer = error
    if isinstance(poll.answer, MigrationError):
        poll.verdict = tracker.fail_poll(poll.answer, time.time())
    else:
        poll.verdict = tracker.observe(poll.answer, time.time(), is_confirmed=is_confirmed)
        poll.answer = tracker.progress or poll.answer  # with the estimate
    report_poll(hook, ids, poll.answer)
    if line := tracker.log_line(poll.error):
        log(logging.WARNING if poll.error else logging.INFO, "%s", line)
    for warning in tracker.new_warnings():
        log(logging.WARNING, "%s", warning)
