"""Metrics of a poll, as an OpenTelemetry collector receives them over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from airflow_provider_migration.progress import MigrationState
from tests.conftest import ROOT

pytest.importorskip(
    "airflow.sdk._shared.observability.otel_env_config", reason="only newer Airflows read OTEL_*"
)
service_pb2 = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")

PROGRAM = """
import json, sys
from datetime import UTC, datetime
from airflow_provider_migration.exceptions import MigrationServiceError
from airflow_provider_migration.metrics import report_poll
from airflow_provider_migration.progress import MigrationProgress

for hook, argument, migration_id, fields in json.loads(sys.argv[1]):
    answer = MigrationServiceError("out of reach")
    if fields is not None:
        answer = MigrationProgress.model_validate(
            {"service": "dts", "migration_id": "a", "observed_at": datetime.fromtimestamp(1e9, UTC), **fields}
        )
    report_poll(hook, {argument: migration_id} if migration_id else {}, answer)
"""
DTS = ("airflow_provider_migration.hooks.dts:DtsHook", "migration_job_id")
DRS = ("airflow_provider_migration.hooks.drs:DrsHook", "job_id")
OVERFLOW = "otel.metric.overflow"


class Point(NamedTuple):
    """
    A value that arrived.

    :param kind: ``gauge``, or ``sum`` with how it is counted.
    """

    kind: str
    value: float


Metrics = dict[tuple[str, frozenset[tuple[str, str]]], Point]


class Sink:
    """
    A collector that keeps what it receives.

    :ivar requests: path, headers and body of each request.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any, bytes]] = []

    @contextmanager
    def listening(self) -> Iterator[int]:
        sink = self

        class Page(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests.append((self.path, self.headers, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()
        server.server_close()

    def metrics(self) -> Metrics:
        """Return the last value of each metric of ours and each set of its attributes."""
        seen: Metrics = {}
        for _, _, body in self.requests:
            message = service_pb2.ExportMetricsServiceRequest.FromString(body)
            for metric in (
                metric
                for resource in message.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name.startswith("airflow.migration.")
            ):
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                for point in data.data_points:
                    attributes = frozenset(
                        (item.key, item.value.string_value or str(item.value.bool_value).lower())
                        for item in point.attributes
                    )
                    value = getattr(point, point.WhichOneof("value"))
                    is_counter = kind == "sum" and data.is_monotonic
                    seen[metric.name, attributes] = Point("counter" if is_counter else kind, value)
        return seen


def reported(polls: list[Any], settings: dict[str, str]) -> Sink:
    """Report polls in a process of their own, as Airflow sets its statistics up once per process."""
    sink = Sink()
    with sink.listening() as port:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(polls)],
            cwd=ROOT,
            env={
                **os.environ,
                "AIRFLOW__METRICS__OTEL_ON": "True",
                **{name: value.replace("PORT", str(port)) for name, value in settings.items()},
            },
            check=True,
            timeout=120,
        )
    return sink


ENVIRONMENT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:PORT"}
CONFIGURATION = {
    "AIRFLOW__METRICS__OTEL_HOST": "127.0.0.1",
    "AIRFLOW__METRICS__OTEL_PORT": "PORT",
}
COMPARED = {"state": "inconsistent", "tables_different": 3}
POLLS = [
    (*DTS, "a", {"state": "running", "percent": 60, "lag_seconds": 9}),
    (*DTS, "a", None),
    (
        *DTS,
        "a",
        {
            "state": "paused",
            "percent": 68,
            "lag_seconds": 4.5,
            "remaining_seconds": 60,
            "verification": COMPARED,
        },
    ),
    (*DRS, "b", {"state": "caught_up", "percent": 100, "lag_seconds": 0}),
    (*DTS, "", None),
]


def expected() -> Metrics:
    def series(name: str, kind: str, value: float, service: str, migration: str, **more: str) -> Any:
        tags = {"service": service, "migration": migration, **more}
        return (f"airflow.migration.{name}", frozenset(tags.items())), Point(kind, value)

    values = [
        *(
            series(name, kind, value, "dts", "a")
            for name, kind, value in (
                ("polls", "counter", 3),
                ("poll_errors", "counter", 1),
                ("percent", "gauge", 68),
                ("lag_seconds", "gauge", 4.5),
                ("remaining_seconds", "gauge", 60),
                ("verification_different", "gauge", 3),
                ("last_answer_timestamp_seconds", "gauge", 1e9),
            )
        ),
        *(
            series(name, kind, value, "drs", "b")
            for name, kind, value in (
                ("polls", "counter", 1),
                ("poll_errors", "counter", 0),
                ("percent", "gauge", 100),
                ("lag_seconds", "gauge", 0),
                ("last_answer_timestamp_seconds", "gauge", 1e9),
            )
        ),
        series("polls", "counter", 1, "dts", "not_found"),
        series("poll_errors", "counter", 1, "dts", "not_found"),
        *(
            series("state", "gauge", int(state == current), service, migration, state=state.value)
            for service, migration, current in (("dts", "a", "paused"), ("drs", "b", "caught_up"))
            for state in MigrationState
        ),
    ]
    return dict(values)


@pytest.mark.parametrize("settings", [ENVIRONMENT, CONFIGURATION], ids=["environment", "configuration"])
def test_all_metrics_arrive(settings: dict[str, str]) -> None:
    """Names as documented, tags as attributes, and a value for each state."""
    sink = reported(POLLS, settings)
    assert {path for path, _, _ in sink.requests} == {"/v1/metrics"}
    assert sink.metrics() == expected()


def test_page_names_what_arrives() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    names = {f"airflow.migration.{name}" for name in re.findall(r"^\| `migration\.(\w+)`", page, re.M)}
    assert names == {name for name, _ in expected()}


def test_cardinality_limit_of_the_sdk_holds() -> None:
    """The page says how many migrations one process can report."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    (limit,) = map(int, re.findall(r"after (\d+) different migrations", page))
    sink = reported(
        [(*DTS, f"dts{number}", {"state": "running"}) for number in range(limit + 2)], ENVIRONMENT
    )
    states: dict[str, set[str]] = {}
    for (name, attributes), _ in sink.metrics().items():
        tags = dict(attributes)
        if name == "airflow.migration.state" and OVERFLOW not in tags:
            states.setdefault(tags["migration"], set()).add(tags["state"])
    complete = {migration for migration, present in states.items() if present == set(MigrationState)}
    assert complete == {f"dts{number}" for number in range(limit)}
    assert ("airflow.migration.state", frozenset({(OVERFLOW, "true")})) in sink.metrics()


def test_each_process_counts_from_zero() -> None:
    """A poll of a rescheduled task is a process of its own."""
    counted = [reported(POLLS[:1], ENVIRONMENT).metrics() for _ in range(2)]
    polls = "airflow.migration.polls", frozenset({("service", "dts"), ("migration", "a")})
    assert [seen[polls] for seen in counted] == [Point("counter", 1)] * 2
