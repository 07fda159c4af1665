"""Views of migrations in a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.cli.simple_table import SimpleTable
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from airflow_provider_migration.progress import MigrationState
from airflow_provider_migration.wait.messages import describe_verification

if TYPE_CHECKING:
    from airflow_provider_migration.polling import Poll
    from airflow_provider_migration.progress import MigrationProgress, MigrationSummary
    from airflow_provider_migration.wait.tracker import WaitTracker

BAR_WIDTH: Final = 40
"""Maximum characters of a progress bar."""

STYLES: Final = {
    MigrationState.CAUGHT_UP: "green",
    MigrationState.SUCCEEDED: "green",
    MigrationState.PARTIALLY_SUCCEEDED: "yellow",
    MigrationState.PAUSED: "yellow",
    MigrationState.UNKNOWN: "yellow",
    MigrationState.FAILED: "red",
    MigrationState.CANCELLED: "red",
}
"""Colours of the states; the others have none."""


def list_view(rows: Sequence[MigrationSummary]) -> RenderableType:
    """Return a list of migrations as a table; in a narrow terminal names and statuses are wrapped."""
    if not rows:
        return Text("No migrations found.")
    table = SimpleTable(show_header=True)
    for name in ("id", "name", "kind", "state", "status", "lag", "created"):
        table.add_column(name, overflow="fold", no_wrap=name not in ("name", "status"))
    for row in rows:
        cells = (
            row.migration_id,
            row.name,
            row.kind,
            row.state,
            row.service_status,
            None if row.lag_seconds is None else f"{row.lag_seconds:.0f} s",
            row.created_at and f"{row.created_at:%Y-%m-%d}",
        )
        # Text, because a name may contain what rich takes for markup.
        table.add_row(*(Text(cell or "") for cell in cells))
    return table


def progress_view(progress: MigrationProgress) -> RenderableType:
    """Return a record with a bar for each phase; facts that are not known are left out."""
    status = progress.service_status
    its_own = f" ({status})" if status and status.lower() != progress.state.value else ""
    title = Text(f"{progress.service} {progress.migration_id}", style="bold")
    if progress.name:
        title.append(f"  {progress.name}", style="not bold")
    bars = Table.grid(padding=(0, 2, 0, 0))
    bars.add_column(no_wrap=True)
    bars.add_column(max_width=BAR_WIDTH)
    bars.add_column(justify="right", no_wrap=True)
    bars.add_column(no_wrap=True)
    for phase in progress.phases:
        bars.add_row(Text(str(phase.name or "")), *_bar(phase.percent, phase.state), _state(phase.state, ""))
    if not progress.phases and progress.percent is not None:
        bars.add_row(Text("all"), *_bar(progress.percent, progress.state), Text(""))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(progress):
        facts.add_row(Text(name), Text(value))
    return Group(title, Text.assemble("state: ", _state(progress.state, its_own)), bars, facts)


def _state(state: Any, its_own: str) -> Text:
    return Text(f"{state}{its_own}", style=STYLES.get(state, ""))


def _bar(percent: float | None, state: Any) -> tuple[RenderableType, Text]:
    """Return a bar and its percentage; a phase without a percentage has neither."""
    if percent is None:
        return Text(""), Text("")
    style = STYLES.get(state, "cyan")
    bar = ProgressBar(total=100, completed=percent, complete_style=style, finished_style=style)
    return bar, Text(f"{percent:.0f} %")


def _facts(progress: MigrationProgress) -> Iterable[tuple[str, str]]:
    if progress.lag_seconds is not None:
        yield "lag", f"{progress.lag_seconds:.0f} s"
    if progress.checkpoint is not None:
        yield "applied until", f"{progress.checkpoint:%Y-%m-%d %H:%M:%S} UTC"
    if progress.remaining_seconds is not None:
        source = " (estimated)" if progress.remaining_source == "estimate" else ""
        yield "time left", f"{duration(progress.remaining_seconds)}{source}"
    if progress.verification is not None:
        yield "data check", describe_verification(progress.verification).removeprefix("the data check ")
    if progress.error is not None:
        yield "error", progress.error.message or progress.error.code or ""
        if progress.error.remedy:
            yield "what to do", progress.error.remedy
    if progress.console_url:
        yield "console", progress.console_url


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds, such as ``1:05:00``; fractions are dropped."""
    return str(timedelta(seconds=int(seconds)))


class WatchView:
    """
    Live view of a wait: the last record, failed polls and warnings, and the time until the next poll.

    :param tracker: the wait.
    :ivar is_over: True once no poll follows.
    """

    def __init__(self, tracker: WaitTracker) -> None:
        self.is_over = False
        self._tracker = tracker
        self._problem = ""
        self._started_at = self._next_poll_at = time.monotonic()

    def polled(self, poll: Poll, wait: float) -> None:
        """
        Take the result of a poll.

        :param wait: seconds until the next one.
        """
        self._problem = str(poll.error or "")
        self._next_poll_at = time.monotonic() + wait

    def __rich__(self) -> RenderableType:
        """Return the view of this moment."""
        tracker, now = self._tracker, time.monotonic()
        policy = tracker.policy
        shown = (
            progress_view(tracker.progress)
            if tracker.progress
            else Text(f"{policy.service} {policy.migration_id}: no answer yet")
        )
        parts = [f"wanted {policy.wanted}", f"watched for {duration(now - self._started_at)}"]
        if not self.is_over:
            parts += [f"next poll in {max(self._next_poll_at - now, 0):.0f} s", "Ctrl-C ends"]
        return Group(
            shown,
            *(Text(text, style="yellow") for text in tracker.notices()),
            *([Text(f"The last poll failed: {self._problem}", style="red")] if self._problem else []),
            Text("; ".join(parts), style="dim"),
        )
