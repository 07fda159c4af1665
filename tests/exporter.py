"""
A statsd_exporter for the tests: the real one where it is installed, and a stand-in.

Debian 12 has no package of statsd_exporter, so that most machines run only the stand-in. It does what
https://github.com/prometheus/statsd_exporter documents for the mappings in ``dashboards/``: glob matches,
tags in the style of InfluxDB, and a ``ttl`` per mapping.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import yaml

from tests.conftest import ROOT
from tests.statsd import StatsdServer

MAPPING = (ROOT / "dashboards" / "statsd_mapping.yml").read_text()
UNITS = {"s": 1, "m": 60, "h": 3600}


class Series(NamedTuple):
    """A name and its labels, written as Prometheus writes them."""

    name: str
    labels: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels)
        return f"{self.name}{{{labels}}}"


def seconds(duration: str) -> float:
    """Read a duration such as ``15m``, ``2h`` or ``7.5s``."""
    return float(duration[:-1]) * UNITS[duration[-1]]


class Exposition:
    """What statsd_exporter exposes after some lines of StatsD, at a given time."""

    def __init__(self, mapping: str = MAPPING) -> None:
        self._mappings = [
            (
                re.compile(re.escape(item["match"]).replace(r"\*", "([^.]*)")),
                item["name"],
                seconds(item["ttl"]),
            )
            for item in yaml.safe_load(mapping)["mappings"]
        ]
        self._values: dict[Series, tuple[float, float]] = {}

    def receive(self, line: str, now: float) -> None:
        """Take a line; a counter is added to, a gauge is replaced, and either lives for another ``ttl``."""
        described, _, sample = line.partition(":")
        stat, *tags = described.split(",")
        value, kind = sample.split("|")
        mapped = ((pattern.fullmatch(stat), name, ttl) for pattern, name, ttl in self._mappings)
        found, name, ttl = next((item for item in mapped if item[0]), (None, "", 0))
        if found is None:
            return  # a metric of Airflow's own
        labels = tuple(sorted((key, text) for key, _, text in (tag.partition("=") for tag in tags)))
        series = Series(found.expand(name.replace("$", "\\")), labels)
        before = self.samples(now).get(series, 0.0) if kind == "c" else 0.0
        self._values[series] = (before + float(value), now + ttl)

    def samples(self, now: float) -> dict[Series, float]:
        """Return the value of each series that is still exposed."""
        return {series: value for series, (value, ends) in self._values.items() if now <= ends}


class StandIn(StatsdServer):
    """
    The stand-in, as a server.

    :ivar url: where Prometheus scrapes it.
    """

    def __init__(self, mapping: str = MAPPING) -> None:
        super().__init__()
        self._exposition = Exposition(mapping)
        self._lock = threading.Lock()

    def __enter__(self) -> StandIn:
        super().__enter__()
        exporter = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._web = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self._web.server_port}/metrics"
        threading.Thread(target=self._web.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._web.shutdown()
        self._web.server_close()
        super().__exit__(*problem)

    def take(self, port: int, lines: list[str]) -> None:
        with self._lock:
            for line in lines:
                self._exposition.receive(line, time.monotonic())

    def page(self) -> str:
        with self._lock:
            samples = self._exposition.samples(time.monotonic())
        return "".join(f"{series} {value!r}\n" for series, value in sorted(samples.items()))


class Real:
    """
    statsd_exporter itself.

    :ivar url: where Prometheus scrapes it.
    """

    def __init__(self, url: str, port: int) -> None:
        self.url, self._port = url, port

    @property
    def settings(self) -> dict[str, str]:
        """Airflow's settings for this server, as environment variables."""
        return StatsdServer.settings_for(self._port)


def _executable() -> str:
    for name in (os.environ.get("STATSD_EXPORTER", ""), "statsd_exporter", "prometheus-statsd-exporter"):
        if name and (path := shutil.which(name)):
            return path
    pytest.skip(
        "no statsd_exporter here: install it from https://github.com/prometheus/statsd_exporter/releases, "
        "and name it as STATSD_EXPORTER=/path/to/it"
    )


@contextmanager
def real_exporter(mapping: str, folder: Path) -> Iterator[Real]:
    """Keep statsd_exporter running, or skip where there is none."""
    program, (port, web) = _executable(), (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM))
    file = folder / "statsd_mapping.yml"
    file.write_text(mapping)
    url = f"http://127.0.0.1:{web}/metrics"
    command = [
        *(program, f"--statsd.mapping-config={file}", f"--web.listen-address=127.0.0.1:{web}"),
        *(f"--statsd.listen-udp=127.0.0.1:{port}", "--statsd.listen-tcp="),
    ]
    with running(command, folder / "exporter.log"):
        wait_for(url)
        yield Real(url, port)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """Keep a program running."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url: str) -> None:
    """Wait until a server answers."""
    give_up = time.monotonic() + 30
    while True:
        try:
            requests.get(url, timeout=5).raise_for_status()
        except requests.RequestException:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return


_SAMPLE = re.compile(r"^(airflow_migration_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


def scrape(url: str) -> Mapping[Series, float]:
    """Return the series of migrations that an exporter shows."""
    text = requests.get(url, timeout=5).text
    return {
        Series(name, tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels)))): float(value)
        for name, labels, value in _SAMPLE.findall(text)
    }
