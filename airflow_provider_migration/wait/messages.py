"""Log lines and messages of a wait."""

from __future__ import annotations

from typing import Any

from airflow_provider_migration.progress import MigrationProgress, MigrationState


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


def log_state(progress: MigrationProgress) -> list[Any]:
    """Return the state that a log line describes: the next line is due when this state changes."""
    return [
        progress.state,
        progress.service_status,
        None if progress.percent is None else int(progress.percent),
        [(phase.name, phase.state, phase.service_status) for phase in progress.phases],
        progress.error and progress.error.model_dump(mode="json"),
        progress.objects and progress.objects.completed,
    ]
