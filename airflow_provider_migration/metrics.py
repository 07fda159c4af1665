"""Metrics of polls, sent through Airflow's own statistics if these are enabled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pkgutil import resolve_name
from typing import Any, Final

from airflow_provider_migration.compat import statistics, statistics_are_off
from airflow_provider_migration.exceptions import MigrationError
from airflow_provider_migration.progress import MigrationProgress, MigrationState

MAX_TAG_CHARACTERS: Final = 128
"""Maximum length of a tag's value; Datadog truncates a tag, name included, at 200 characters."""

NOT_FOUND: Final = "not_found"
"""Value of the tag ``migration`` while a ``migration_name`` has not been looked up."""

_REFUSED: Final = re.compile(r"[^A-Za-z0-9_./-]")
"""Characters not allowed in a value: Airflow's StatsD client drops a metric with such a character in its
name, which contains the tags there, and Datadog replaces it."""

_stats = statistics()
_class_at = cache(resolve_name)


def report_poll(hook: str, ids: Mapping[str, Any], answer: MigrationProgress | MigrationError) -> None:
    """
    Count a poll, and report the migration's state and figures as gauges.

    The metrics and their tags are described in ``docs/metrics.md``.

    :param hook: the hook class as ``module:Class``.
    :param ids: the migration, as arguments of the hook's ``get_progress``.
    :param answer: the result of the poll.
    """
    if statistics_are_off(_stats):
        return
    kind = _class_at(hook)
    tags = {"service": kind.service, "migration": tag_value(ids.get(kind.migration_argument, NOT_FOUND))}
    _stats.incr("migration.polls", tags=tags)
    # Also 0: Prometheus does not count the first value of a counter as an increase.
    _stats.incr("migration.poll_errors", int(isinstance(answer, MigrationError)), tags=tags)
    if isinstance(answer, MigrationError):
        return
    for name, value in _figures(answer):
        if value is not None:
            _stats.gauge(f"migration.{name}", value, tags=tags)
    # The other states need a 0: a gauge keeps its last value.
    for state in MigrationState:
        _stats.gauge("migration.state", int(state is answer.state), tags={**tags, "state": state.value})


def _figures(record: MigrationProgress) -> tuple[tuple[str, float | None], ...]:
    verification = record.verification
    return (
        ("last_answer_timestamp_seconds", record.observed_at.timestamp()),
        ("percent", record.percent),
        ("lag_seconds", record.lag_seconds),
        ("remaining_seconds", record.remaining_seconds),
        ("verification_different", None if verification is None else verification.tables_different),
    )


def tag_value(value: object) -> str:
    """
    Return an id as the value of a tag: ASCII letters, digits and ``_ . / -``, at most 128 characters.

    An id with other characters, or a longer one, gets a digest as suffix, so that ids do not collide.
    """
    text = str(value).strip()
    cleaned = _REFUSED.sub("_", text)
    if cleaned and cleaned == text and len(text) <= MAX_TAG_CHARACTERS:
        return text
    digest = hashlib.sha1(text.encode(errors="backslashreplace"), usedforsecurity=False).hexdigest()[:8]
    return f"{cleaned[: MAX_TAG_CHARACTERS - len(digest) - 1]}-{digest}"
