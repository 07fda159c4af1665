"""The shell commands: each asks a hook as the sensors do, prints the answer, and exits with its verdict."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from datetime import UTC, datetime
from enum import IntEnum
from functools import wraps
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO

from airflow.utils import yaml
from rich.console import Console
from rich.live import Live

from airflow_provider_migration import compat
from airflow_provider_migration.cli.view import WatchView, list_view, progress_view
from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
    error_from_json,
)
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.wait.messages import describe
from airflow_provider_migration.wait.tracker import Outcome, WaitTracker

if TYPE_CHECKING:
    from argparse import Namespace

    from rich.console import RenderableType

    from airflow_provider_migration.hooks.base import MigrationHook
    from airflow_provider_migration.polling import Poll


class ExitCode(IntEnum):
    """Exit codes of the commands."""

    OK = 0
    FAILED = 1
    USAGE = 2
    WAITING = 3
    INTERRUPTED = 130


VERDICTS: Final = {
    Outcome.WAIT: ExitCode.WAITING,
    Outcome.TIMEOUT: ExitCode.WAITING,
    Outcome.DONE: ExitCode.OK,
    Outcome.FAIL: ExitCode.FAILED,
    Outcome.SKIP: ExitCode.FAILED,
    Outcome.POLL_ERROR: ExitCode.FAILED,
}
"""Exit codes of the verdicts."""


REFRESHES_PER_SECOND: Final = 2
"""Refreshes of a live display, which shows seconds."""


FILE_WIDTH: Final = 200
"""Characters of a line where stdout is not a terminal, as in Airflow's own commands."""


class _ToStderr(logging.Handler):
    """Prints warnings to the current stderr, which a live display replaces."""

    def emit(self, record: logging.LogRecord) -> None:
        _warn(record.getMessage())


@contextmanager
def _answer_on_stdout() -> Iterator[TextIO]:
    """Yield stdout for the answer, and direct warnings and Airflow's logs to stderr."""
    out, logger, handler = sys.stdout, logging.getLogger("airflow_provider_migration"), _ToStderr()
    for its in logging.getLogger().handlers:
        # The handler of Airflow 2 has no stream of its own: it writes to the current stdout.
        if isinstance(its, logging.StreamHandler) and vars(its).get("stream") is out:
            its.setStream(sys.stderr)
    propagated, logger.propagate = logger.propagate, False
    handler.setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        with redirect_stdout(sys.stderr):
            yield out
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _command(run: Callable[[Namespace, TextIO], ExitCode]) -> Callable[[Namespace], NoReturn]:
    """Exit with the code that a command returns; report an error in one line."""

    @wraps(run)
    def command(args: Namespace) -> NoReturn:
        compat.read_connections_from_database()
        with _answer_on_stdout() as out:
            try:
                code = run(args, out)
                out.flush()
            except (MigrationConfigurationError, MigrationConnectionNotFoundError) as error:
                code = _refuse(error, ExitCode.USAGE)
            except MigrationError as error:
                code = _refuse(error, ExitCode.FAILED)
            except KeyboardInterrupt:
                code = ExitCode.INTERRUPTED
            except BrokenPipeError:
                # Such as head, which has read enough: Python's own flush at exit must not fail again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
                code = ExitCode.FAILED
        sys.exit(code)

    return command


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _refuse(problem: object, code: ExitCode) -> ExitCode:
    print(f"error: {problem}", file=sys.stderr)
    return code


def _sensor_class(service: str) -> type[MigrationSensor]:
    """Return the one sensor in the module of a service."""
    module = import_module(f"airflow_provider_migration.sensors.{service}")
    (found,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, MigrationSensor) and kind is not MigrationSensor
    )
    return found


def _hook(args: Namespace) -> MigrationHook[Any]:
    hook_class = resolve_name(_sensor_class(args.service).hook_class)
    hook: MigrationHook[Any] = hook_class() if args.conn_id is None else hook_class(args.conn_id)
    return hook


def _place(args: Namespace) -> dict[str, Any]:
    """
    Return the arguments that a service needs besides the id or the name of a migration.

    :raises MigrationConfigurationError: if one is missing, or is not an argument of this service.
    """
    needed = _sensor_class(args.service).list_arguments
    given = {} if args.project_id is None else {"project_id": args.project_id}
    for problem, names in (("needs", set(needed) - set(given)), ("does not take", set(given) - set(needed))):
        for name in names:
            raise MigrationConfigurationError(f"{args.service} {problem} --{name.replace('_', '-')}.")
    return given


def _sensor(args: Namespace, **options: Any) -> MigrationSensor:
    """
    Return the sensor that watches the migration, which validates the arguments.

    :param options: further arguments of the sensor; None for its default.
    """
    if (args.migration_id is None) is (args.name is None):
        raise MigrationConfigurationError("Give either the ID of a migration or its --name.")
    kind = _sensor_class(args.service)
    given: dict[str, Any] = {
        **options,
        **_place(args),
        kind.migration_argument: args.migration_id,
        kind.conn_argument: args.conn_id,
        "migration_name": args.name,
        "target_status": args.target,
        "max_lag": args.max_lag,
    }
    return kind(
        task_id=args.subcommand, **{name: value for name, value in given.items() if value is not None}
    )


def _print(args: Namespace, out: TextIO, data: Any, view: Callable[[], RenderableType]) -> None:
    """Print plain data as JSON or YAML, or a view of it; a view that is a string is printed unchanged."""
    if args.output == "json":
        print(json.dumps(data), file=out)
    elif args.output == "yaml":
        print(yaml.dump(data, sort_keys=False, allow_unicode=True), end="", file=out)
    elif isinstance(shown := view(), str):
        # Rich would wrap a long line, which breaks grep.
        print(shown, file=out)
    else:
        _console(out).print(shown)


def _console(out: TextIO) -> Console:
    """Return a console; a file gets wide lines, so that a table keeps its rows."""
    return Console(file=out, width=None if out.isatty() else FILE_WIDTH)


@_command
def list_migrations(args: Namespace, out: TextIO) -> ExitCode:
    """List migrations."""
    ids, limit = _place(args), {} if args.limit is None else {"limit": args.limit}
    with closing(_hook(args)) as hook:
        rows = hook.list_migrations(
            args.name, args.status, dict(args.tag or ()), group=args.group, **limit, **ids
        )
    _print(args, out, [row.model_dump(mode="json") for row in rows], lambda: list_view(rows))
    return ExitCode.OK


@_command
def status(args: Namespace, out: TextIO) -> ExitCode:
    """Poll a migration once."""
    sensor = _sensor(args)
    tracker = WaitTracker(sensor._policy(time.time()))
    with closing(sensor.hook):
        poll = sensor._poll_once(tracker, _log_nothing)
    if isinstance(poll.answer, MigrationError):
        raise poll.answer
    record = poll.answer
    for text in tracker.notices():
        _warn(text)
    _print(args, out, record.model_dump(mode="json"), lambda: progress_view(record))
    if poll.verdict.outcome is Outcome.FAIL:
        return _refuse(poll.verdict.reason, ExitCode.FAILED)
    return VERDICTS[poll.verdict.outcome]


def _log_nothing(level: int, template: str, text: str) -> None:
    """Drop a log line: the command prints the same facts itself."""


@_command
def watch(args: Namespace, out: TextIO) -> ExitCode:
    """Poll a migration until it reaches a target or can no longer reach it."""
    sensor = _sensor(args, poke_interval=args.interval)
    tracker = WaitTracker(sensor._policy(time.time()))
    console = _console(out)
    # FORCE_COLOR makes a terminal of a file for rich.
    is_live = console.is_interactive and out.isatty()

    def log_changes(level: int, template: str, text: str) -> None:
        moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        print(f"{moment} {text}", file=sys.stderr if level >= logging.WARNING else out, flush=True)

    try:
        with closing(sensor.hook):
            poll = _watch_live(console, sensor, tracker) if is_live else _watch(sensor, tracker, log_changes)
    except KeyboardInterrupt:
        seen = f"Last seen: {describe(tracker.progress)}" if tracker.progress else "There was no answer yet."
        print(f"Stopped watching. {seen}", file=out)
        return ExitCode.INTERRUPTED
    if poll.error is not None and poll.verdict.outcome is Outcome.POLL_ERROR:
        raise error_from_json(poll.error.to_json(), prefix=poll.verdict.reason)
    code = VERDICTS[poll.verdict.outcome]
    if code is not ExitCode.OK:
        return _refuse(poll.verdict.reason, code)
    print(poll.verdict.reason, file=out)
    return code


def _watch(
    sensor: MigrationSensor,
    tracker: WaitTracker,
    log: Callable[..., None],
    polled: Callable[[Poll, float], None] = lambda *_: None,
) -> Poll:
    """
    Poll until the wait ends, and return the last poll.

    :param polled: called after each poll with the seconds until the next one.
    """
    while True:
        poll = sensor._poll_once(tracker, log)
        wait = 0 if poll.verdict.ends else tracker.next_poll_in(time.time())
        polled(poll, wait)
        if poll.verdict.ends:
            return poll
        sensor.hook.clock.sleep(wait)


def _watch_live(console: Console, sensor: MigrationSensor, tracker: WaitTracker) -> Poll:
    """Watch with a display that is refreshed between the polls too."""
    display = WatchView(tracker)
    with Live(display, console=console, refresh_per_second=REFRESHES_PER_SECOND):
        try:
            return _watch(sensor, tracker, _log_nothing, display.polled)
        finally:
            display.is_over = True


@_command
def check(args: Namespace, out: TextIO) -> ExitCode:
    """Test a connection."""
    with closing(_hook(args)) as hook:
        works, message = hook.test_connection()
    found = {"service": args.service, "conn_id": hook._conn_id, "works": works, "message": message}
    _print(args, out, found, lambda: message)
    return ExitCode.OK if works else ExitCode.FAILED
