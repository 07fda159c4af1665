"""What is measured of polls, through Airflow's own statistics: nothing unless they are switched on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pkgutil import resolve_name
from typing import Any

from airflow_provider_migration.compat import statistics
from airflow_provider_migration.exceptions import MigrationError
from airflow_provider_migration.progress import MigrationProgress

_stats = statistics()
_class_at = cache(resolve_name)


def report_poll(hook: str, ids: Mapping[str, Any], answer: MigrationProgress | MigrationError) -> None:
    """
    Count a poll, and show how far and how far behind the migration is.

    The metrics and their tags are described in ``docs/metrics.md``.

    :param hook: where the hook is, as ``module:Class``.
    :param ids: which migration, as arguments of the hook's ``get_progress``.
    :param answer: what the poll brought.
    """
    kind = _class_at(hook)
    tags = {"service": kind.service, "migration": str(ids[kind.migration_argument])}
    _stats.incr("migration.polls", tags=tags)
    if isinstance(answer, MigrationError):
        _stats.incr("migration.poll_errors", tags=tags)
        return
    if answer.percent is not None:
        _stats.gauge("migration.percent", answer.percent, tags=tags)
    if answer.lag_seconds is not None:
        _stats.gauge("migration.lag_seconds", answer.lag_seconds, tags=tags)
