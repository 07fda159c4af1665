"""A PostgreSQL server of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from scripts.local_airflow import free_port

DEBIAN = Path("/usr/lib/postgresql")
START_SECONDS = 60


class Postgres:
    """
    A PostgreSQL server on loopback, with its data in a temporary folder; a context manager.

    :param log: the file that the server's messages are added to.
    :raises RuntimeError: where PostgreSQL is not installed.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._bin = _binaries()
        self._port = free_port()
        self._home = Path(tempfile.mkdtemp(prefix="soak-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root; Debian's packages bring a user for it.
        self._as: dict[str, Any] = {"cwd": self._home}
        if os.geteuid() == 0:
            self._as |= {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self._home, "postgres", "postgres")

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database."""
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start the server, and return when it answers."""
        address = ["-h", "127.0.0.1", "-p", str(self._port)]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._home / "data", "-k", self._home, *address],
                stdout=log,
                stderr=log,
                **self._as,
            )
        give_up = time.monotonic() + START_SECONDS
        while subprocess.run([self._bin / "pg_isready", "-q", *address], check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL did not start; see {self._log}.")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server at once, as a restart does: every connection ends."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_SECONDS)

    def __enter__(self) -> Self:
        done = subprocess.run(
            [
                self._bin / "initdb",
                "-D",
                "data",
                "-U",
                "airflow",
                "--auth",
                "trust",
                "-E",
                "UTF8",
                "--locale",
                "C",
            ],
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


def _binaries() -> Path:
    """Return the folder of the server's programs, which Debian keeps off the path."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = [path for path in DEBIAN.glob("*/bin/initdb") if path.parts[-3].isdecimal()]
    if not versions:
        raise RuntimeError("make soak needs PostgreSQL: apt-get install postgresql")
    return max(versions, key=lambda path: int(path.parts[-3])).parent
