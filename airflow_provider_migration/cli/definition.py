"""
Definition of the shell commands.

Each ``airflow`` command imports this module, so the code that runs the commands is imported when one runs.
"""

from __future__ import annotations

import argparse
import math
from typing import Final

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_migration.get_provider_info import SERVICES

MAX_SECONDS: Final = 1e9
"""Upper bound of an option in seconds."""


def seconds(text: str) -> float:
    """
    Parse a number of seconds.

    :raises argparse.ArgumentTypeError: for anything but a number from 0 to :data:`MAX_SECONDS`.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, 0 to {MAX_SECONDS:.0f}")
    return number


def tag(text: str) -> tuple[str, str]:
    """
    Parse a tag and its value.

    :raises argparse.ArgumentTypeError: for anything but ``KEY=VALUE``.
    """
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} must be KEY=VALUE")
    return key, value


_SERVICE: Final = Arg(("service",), metavar="SERVICE", choices=tuple(SERVICES), help=", ".join(SERVICES))
_ID: Final = Arg(
    ("migration_id",), metavar="ID", nargs="?", help="ID of the migration, directly after SERVICE"
)
_CONN_ID: Final = Arg(("--conn-id",), help="ID of the Airflow connection (default: <SERVICE>_default)")
_PROJECT_ID: Final = Arg(("--project-id",), help="number of the workspace; required for DataWorks")
_NAME: Final = Arg(("--name",), help="name of the migration, instead of ID")
_TARGETS: Final = Arg(
    ("--target",),
    action="append",
    help="target, as the sensor's target_status; may be repeated (default: the sensor's)",
)
_MAX_LAG: Final = Arg(
    ("--max-lag",),
    type=seconds,
    metavar="SECONDS",
    help="maximum lag that counts as caught up (default: the sensor's)",
)
_INTERVAL: Final = Arg(
    ("--interval",), type=seconds, metavar="SECONDS", help="seconds between two polls (default: the sensor's)"
)
_OUTPUT: Final = Arg(
    ("-o", "--output"),
    choices=("table", "json", "yaml"),
    default="table",
    help="output format: table, json or yaml (default: table)",
)
_LIST_ARGS: Final = (
    Arg(("--name",), help="part of the name; case-insensitive"),
    Arg(
        ("--status",),
        action="append",
        help="normalised state or the service's own status; may be repeated",
    ),
    Arg(
        ("--tag",),
        action="append",
        type=tag,
        metavar="KEY=VALUE",
        help="tag that a migration must have; may be repeated",
    ),
    Arg(("--group",), help="the service's own group of resources"),
    Arg(("--limit",), type=int, help="maximum number of migrations (default: 1000)"),
)

_EXIT_CODES: Final = (
    "Exit code: 0 if a target is reached, 3 while the migration is on its way, 1 if it can no longer get "
    "there or there is no answer, 2 for a wrong argument or connection."
)


def get_migrations_cli_commands() -> list[GroupCommand]:
    """Return the group ``migrations``, as the ``cli`` of the provider info."""
    where = "airflow_provider_migration.cli.commands"
    return [
        GroupCommand(
            name="migrations",
            help="Watch migrations of DataWorks, DTS, OMS and DRS",
            description="Watch migrations. No command changes anything at a service.",
            subcommands=(
                ActionCommand(
                    name="list",
                    help="List migrations",
                    func=lazy_load_command(f"{where}.list_migrations"),
                    args=(_SERVICE, _CONN_ID, _PROJECT_ID, *_LIST_ARGS, _OUTPUT),
                ),
                ActionCommand(
                    name="status",
                    help="Poll a migration once",
                    description=f"Poll a migration once and print its record. {_EXIT_CODES}",
                    func=lazy_load_command(f"{where}.status"),
                    args=(_SERVICE, _ID, _CONN_ID, _PROJECT_ID, _NAME, _TARGETS, _MAX_LAG, _OUTPUT),
                ),
                ActionCommand(
                    name="watch",
                    help="Poll a migration until it reaches a target",
                    description="Poll a migration until it reaches a target or can no longer reach it, with "
                    f"the verdict of the sensor. Ctrl-C ends only the command. {_EXIT_CODES}",
                    func=lazy_load_command(f"{where}.watch"),
                    args=(_SERVICE, _ID, _CONN_ID, _PROJECT_ID, _NAME, _TARGETS, _MAX_LAG, _INTERVAL),
                ),
                ActionCommand(
                    name="check",
                    help="Test a connection",
                    description="Test a connection without a migration. Exit code: 0 if it works, else 1.",
                    func=lazy_load_command(f"{where}.check"),
                    args=(_SERVICE, _CONN_ID, _OUTPUT),
                ),
            ),
        )
    ]
