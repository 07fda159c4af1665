"""The command line: serve the simulator, or print connections to it."""

from __future__ import annotations

import argparse
import errno
import json
import shlex
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_migration.simulator.identity import base_url, connections

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line and status 2."""
        self.exit(2, f"simulator: error: {message}\n")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give 0 (picks a free one) to 65535")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed; give a number above 0, such as 10")
    return speed


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m airflow_provider_migration.simulator",
        description="Serve DataWorks, DTS, OMS and DRS on a local port, or print connections to it.",
    )
    parser.add_argument("command", nargs="?", choices=["env"], help="print export AIRFLOW_CONN_…=… and exit")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8100, help="port; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument("--scenario", metavar="FILE", help="YAML file (default: the built-in scenario)")
    parser.add_argument(
        "--speed", type=_speed, default=1.0, help="seconds of script per second (default: %(default)s)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line and return the exit status.

    :param arguments: command-line arguments; default: ``sys.argv``.
    """
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if options.command == "env":
        if not options.port:
            parser.error("env needs the port that the simulator listens on; give it with --port")
        for conn_id, connection in connections(base_url(options.host, options.port)).items():
            print(f"export AIRFLOW_CONN_{conn_id.upper()}={shlex.quote(json.dumps(connection))}")
        return 0

    # Handle signals before anything slow, so that an early Ctrl-C exits quietly too.
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())

    from airflow_provider_migration.simulator.scenario import ScenarioError
    from airflow_provider_migration.simulator.server import Simulator

    try:
        simulator = Simulator(options.scenario, host=options.host, port=options.port, speed=options.speed)
        simulator.start()
    except ScenarioError as error:
        parser.error(f"{error}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            parser.error(
                f"port {options.port} is in use; stop what listens there, or choose another with --port "
                "(0 picks a free one)"
            )
        parser.error(
            f"cannot listen on {options.host}:{options.port}: {error}; choose another --host or --port"
        )
    try:
        print(f"Simulator ready on {simulator.url}", flush=True)
        ended.wait()
    finally:
        simulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
