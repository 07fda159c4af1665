"""The shell commands for every release of Airflow: some take no commands from providers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run a command of :mod:`airflow_provider_migration.cli.definition`.

    :param arguments: command-line arguments; default: ``sys.argv``.
    :raises SystemExit: always, with the exit code.
    """
    with redirect_stdout(sys.stderr):  # where Airflow, as it is imported, directs its logs to stdout
        from airflow_provider_migration.cli.definition import get_migrations_cli_commands

        (group,) = get_migrations_cli_commands()
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_migration", description=group.description
    )
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for command in group.subcommands:
        its_parser = commands.add_parser(
            command.name, help=command.help, description=command.description or command.help
        )
        for arg in command.args:
            arg.add_to_parser(its_parser)
        its_parser.set_defaults(func=command.func)
    options = parser.parse_args(arguments)
    options.func(options)


if __name__ == "__main__":
    main()
