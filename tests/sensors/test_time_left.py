"""The estimate of the time left, from one process of a task to the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor

Context = dict[str, Any]


def test_estimate_continues_across_reschedules(
    monkeypatch: pytest.MonkeyPatch,
    play: Callable[..., Any],
    context: Context,
    next_poll: Callable[[Context], Context],
) -> None:
    """Each poll is a process of its own, which reads the history from the task state store."""
    play({"service": "dts", "migration_job_id": "dts1", "script": "success", "duration": 100})
    begin = datetime.now(UTC)
    records = iter(
        MigrationProgress(
            service="dts",
            migration_id="dts1",
            state="running",
            percent=10 + poll,
            observed_at=begin + timedelta(seconds=60 * poll),
        )
        for poll in range(6)
    )
    monkeypatch.setattr(DtsHook, "get_progress", lambda self, **_: next(records))
    figures = []
    for _ in range(6):
        sensor = DtsMigrationJobSensor(task_id="wait", migration_job_id="dts1", mode="reschedule")
        assert sensor.poke(context) is False
        figures.append(context["ti"].xcom["migration_progress"]["remaining_seconds"])
        context = next_poll(context)
    assert figures[:3] == [None] * 3
    assert figures[3:] == pytest.approx([5220, 5160, 5100], rel=0.02)
