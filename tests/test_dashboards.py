"""The files in ``dashboards/``: their series are those that polls lead to, and the right alerts fire."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import requests
import yaml
from airflow.providers.common.compat.sdk import Stats
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from airflow_provider_migration import metrics
from airflow_provider_migration.exceptions import MigrationError, MigrationServiceError
from airflow_provider_migration.progress import (
    MigrationProgress,
    MigrationState,
    Verification,
    VerificationState,
)
from tests.catalogue import SERVICES
from tests.conftest import ROOT
from tests.exporter import (
    MAPPING,
    Exposition,
    Real,
    Series,
    StandIn,
    free_port,
    real_exporter,
    running,
    scrape,
    wait_for,
)

OLDER = "older Airflows lay out their StatsD client differently; test_compat.py sees what they send"
get_stats_factory = pytest.importorskip(
    "airflow.sdk.observability.metrics.stats_utils", reason=OLDER
).get_stats_factory
if signature(get_stats_factory).parameters:
    pytest.skip(OLDER, allow_module_level=True)

from airflow.sdk._shared.observability.metrics.statsd_logger import get_statsd_logger  # noqa: E402 # older Airflows have been skipped
from statsd import StatsClient  # noqa: E402 # likewise

FOLDER = ROOT / "dashboards"
RULES = (FOLDER / "alerts.yml").read_text()
ALERTS = {rule["alert"]: rule for rule in yaml.safe_load(RULES)["groups"][0]["rules"]}
DASHBOARD = json.loads((FOLDER / "grafana.json").read_text())
PAGE = (ROOT / "docs" / "metrics.md").read_text()

HOOKS = {service.name: service.hook for service in SERVICES}
ERROR = MigrationServiceError("out of reach")
Answer = MigrationProgress | MigrationError


def report(service: str, migration_id: str, answer: Answer) -> None:
    """Report a poll as sensors and triggers do; without an id, as while a name has not been looked up."""
    hook = HOOKS[service]
    ids = {hook.migration_argument: migration_id} if migration_id else {}
    metrics.report_poll(f"{hook.__module__}:{hook.__name__}", ids, answer)


# --- the files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("builder", [WheelBuilder, SdistBuilder])
def test_package_contains_the_files(builder: type[Any], tmp_path: Path) -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {"alerts.yml", "grafana.json", "statsd_mapping.yml"}
    (built,) = builder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    if builder is WheelBuilder:
        with ZipFile(built) as wheel:
            packed = [name for name in wheel.namelist() if "/dashboards/" in name]
        assert {Path(name).name for name in packed} == names
        assert {str(Path(name).parent) for name in packed} == {"airflow_provider_migration/dashboards"}
    else:
        shutil.unpack_archive(built, tmp_path / "sdist", filter="data")
        (unpacked,) = (tmp_path / "sdist").iterdir()
        assert {path.name for path in (unpacked / "dashboards").iterdir()} == names


def queries() -> dict[str, str]:
    """Return each query of the dashboard, by its panel."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    }


def filled_in(query: str) -> str:
    """Return a query with the variables as they are when All is chosen."""
    return query.replace("$service", ".*").replace("$migration", ".*")


def test_dashboard_can_be_imported() -> None:
    """No Grafana is at hand: at least what its import and its panels need is there and consistent."""
    (asked,) = DASHBOARD["__inputs"]
    assert (asked["name"], asked["pluginId"]) == ("DS_PROMETHEUS", "prometheus")
    source, *variables = DASHBOARD["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert source["current"]["value"] == f"${{{asked['name']}}}"
    assert [variable["name"] for variable in (source, *variables)] == ["datasource", "service", "migration"]
    assert DASHBOARD["id"] is None  # an id is that of one Grafana
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    holders = [*variables, *panels, *(target for panel in panels for target in panel["targets"])]
    assert all(holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for holder in holders)
    kinds = {panel["type"] for panel in panels}
    assert kinds == {item["id"] for item in DASHBOARD["__requires"] if item["type"] == "panel"}
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24


def test_state_panel_has_a_number_for_each_state() -> None:
    (panel,) = (panel for panel in DASHBOARD["panels"] if panel["title"] == "State")
    (query,) = (target["expr"] for target in panel["targets"])
    numbers = {number: state for state, number in re.findall(r'state="(\w+)"} \* (\d+)', query)}
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert numbers == {number: shown["text"] for number, shown in mapping["options"].items()}
    assert list(numbers.values()) == list(MigrationState)


LABELS = re.compile(r"\b(?:by|on) \(([^)]*)\)|(\w+)=~?\"|\{\{ ?(?:\$labels\.)?(\w+) ?\}\}")
"""Where a query or a text names labels."""


def test_files_name_exactly_what_polls_send(virtual: VirtualExporter) -> None:
    """Metrics and labels of queries, rules and page are those of the series that a poll leads to."""
    sent = exposed(virtual, {("dts", "a"): full_record()})
    names = {series.name for series in sent}
    labels = {label for series in sent for label, _ in series.labels}

    texts = [RULES, *queries().values(), *(json.dumps(panel) for panel in DASHBOARD["panels"])]
    texts += [variable["definition"] for variable in DASHBOARD["templating"]["list"][1:]]
    used = {name for text in texts for name in re.findall(r"airflow_migration_\w+", text)}
    assert used == names
    assert set(re.findall(r"airflow_migration_\w+", PAGE)) == names
    assert {
        f"airflow_migration_{name}" for name in re.findall(r"^\| `migration\.(\w+)`", PAGE, re.M)
    } == names

    named = {
        label
        for text in [
            RULES,
            *queries().values(),
            json.dumps([t for p in DASHBOARD["panels"] for t in p["targets"]]),
        ]
        for groups in LABELS.findall(text)
        for label in re.findall(r"\w+", " ".join(groups))
    }
    assert named - {"value", "humanizeDuration"} == labels
    states = {
        state
        for text in (RULES, *queries().values())
        for found in re.findall(r'state=~?"([\w|]+)"', text)
        for state in found.split("|")
    }
    assert states <= set(MigrationState)


def test_mappings_name_exactly_what_polls_send(virtual: VirtualExporter) -> None:
    """A mapping with a typing error would leave its metric to the general one, with another ttl."""
    sent = {series.name for series in exposed(virtual, {("dts", "a"): full_record()})}
    named = {item["name"] for item in yaml.safe_load(MAPPING)["mappings"]} - {"airflow_migration_$1"}
    assert named <= sent


def test_page_lists_every_alert_as_it_is() -> None:
    table = re.findall(r"^\| `(Migration\w+)` \| ([^|]*) \| ([^|]*) \|", PAGE, re.M)
    assert {name: (severity, wait) for name, severity, wait in table} == {
        name: (rule["labels"]["severity"], {"": "–", "1h": "1 h"}.get(wait, wait.replace("m", " min")))
        for name, rule in ALERTS.items()
        for wait in [rule.get("for", "")]
    }


def test_page_counts_the_series_of_a_migration(virtual: VirtualExporter) -> None:
    sent = exposed(virtual, {("dts", "a"): full_record()})
    assert f"at most {len(sent)} series" in PAGE


# --- what polls lead to -----------------------------------------------------------------------------------


class _Recorder(StatsClient):
    """Airflow's client, keeping each packet instead of sending it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.close()
        self.packets: list[str] = []

    def _send(self, data: str) -> None:
        self.packets.append(data)


@dataclass
class VirtualExporter:
    """Polls in virtual time, and what an exporter shows after them."""

    exposition: Exposition
    client: _Recorder

    def poll(self, service: str, migration_id: str, answer: Answer, now: float) -> None:
        report(service, migration_id, answer)
        for packet in self.client.packets:
            self.exposition.receive(packet, now)
        self.client.packets.clear()


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> VirtualExporter:
    stats = get_statsd_logger(
        stats_class=_Recorder,
        host="127.0.0.1",
        port=9125,
        prefix="airflow",
        influxdb_tags_enabled=True,
        statsd_influxdb_enabled=True,
    )
    monkeypatch.setattr(metrics, "_stats", stats)
    return VirtualExporter(Exposition(), stats.statsd)


def exposed(virtual: VirtualExporter, answers: Mapping[tuple[str, str], Answer]) -> Mapping[Series, float]:
    for (service, migration_id), answer in answers.items():
        virtual.poll(service, migration_id, answer, 0)
    return virtual.exposition.samples(0)


def record(service: str = "dts", migration_id: str = "a", now: float = 0, **fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{
            "service": service,
            "migration_id": migration_id,
            "state": "running",
            "observed_at": datetime.fromtimestamp(now, UTC),
            **fields,
        }
    )


def compared(different: int) -> Verification:
    state = VerificationState.INCONSISTENT if different else VerificationState.CONSISTENT
    return Verification(state=state, tables_different=different)


def full_record(**fields: Any) -> MigrationProgress:
    return record(percent=68, lag_seconds=4.5, remaining_seconds=60, verification=compared(3), **fields)


EXPORTERS: dict[str, Callable[[str, Path], Any]] = {
    "stand-in": lambda mapping, _: StandIn(mapping),
    "statsd_exporter": real_exporter,
}


@contextmanager
def airflow_sends_to(exporter: StandIn | Real, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Airflow send its statistics to an exporter."""
    with monkeypatch.context() as patch:
        for name, value in exporter.settings.items():
            patch.setenv(name, value)
        logger = get_stats_factory()()
        Stats.initialize(factory=lambda: logger, export_legacy_names=True)
        yield
    logger.statsd.close()
    Stats.initialize(factory=get_stats_factory(), export_legacy_names=True)


POLLS: list[tuple[str, str, Answer]] = [
    ("dts", "dts1", full_record()),
    ("dts", "dts1", ERROR),
    ("dts", "dts1", record(state="paused", now=60, percent=70)),
    ("drs", "163b98e8-6088", record("drs", "163b98e8-6088", state="caught_up", percent=100, lag_seconds=0)),
    ("oms", "p_1.a/b-C", record("oms", "p_1.a/b-C", state="pending")),
    ("dataworks", "任务, 1", record("dataworks", "x")),
    ("dts", "", ERROR),
    ("dts", "x" * 300, ERROR),
]


@pytest.mark.parametrize("kind", EXPORTERS)
def test_exporter_shows_the_series(
    kind: str, virtual: VirtualExporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The series of a running exporter are those that the tests of the alerts are made of."""
    for service, migration_id, answer in POLLS:
        virtual.poll(service, migration_id, answer, 0)
    expected = virtual.exposition.samples(0)
    assert len(expected) == 16 + 14 + 12 + 12 + 2 + 2
    monkeypatch.setattr(metrics, "_stats", Stats)
    with EXPORTERS[kind](MAPPING, tmp_path) as exporter, airflow_sends_to(exporter, monkeypatch):
        for service, migration_id, answer in POLLS:
            report(service, migration_id, answer)
        give_up = time.monotonic() + 10
        while (shown := scrape(exporter.url)) != expected and time.monotonic() < give_up:
            time.sleep(0.1)
    assert shown == expected
    assert all(
        text != "not_found" for series in shown for _, text in series.labels if series.name.endswith("state")
    )


@pytest.mark.parametrize("kind", EXPORTERS)
def test_series_end_with_their_ttl(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A figure that is no longer sent goes first; a migration that is no longer polled leaves no series."""
    monkeypatch.setattr(metrics, "_stats", Stats)
    mapping = MAPPING.replace("ttl: 10m", "ttl: 1s").replace("ttl: 2h", "ttl: 6s")
    figures = {"percent", "lag_seconds", "remaining_seconds"}
    lasting = {"state", "polls", "poll_errors", "verification_different", "last_answer_timestamp_seconds"}
    stages = [figures | lasting, lasting, set()]
    with EXPORTERS[kind](mapping, tmp_path) as exporter, airflow_sends_to(exporter, monkeypatch):
        report("dts", "a", full_record())
        give_up = time.monotonic() + 30
        while stages and time.monotonic() < give_up:
            names = {series.name.removeprefix("airflow_migration_") for series in scrape(exporter.url)}
            if names == stages[0]:
                del stages[0]
            time.sleep(0.05)
    assert not stages


# --- alerts in virtual time ---------------------------------------------------------------------------------

MINUTE = 60


@dataclass(frozen=True)
class Stretch:
    """
    Minutes of a migration with a poll in each.

    :param fields: of the record, a callable gets the minute; None for a failed poll, "" for no poll.
    :param every: minutes between two polls.
    """

    minutes: int
    fields: Mapping[str, Any] | str | None
    every: int = 1


def stretch(minutes: int, state: str = "running", *, every: int = 1, **fields: Any) -> Stretch:
    return Stretch(minutes, {"state": state, **fields}, every)


def failing(minutes: int) -> Stretch:
    return Stretch(minutes, None)


def unpolled(minutes: int) -> Stretch:
    return Stretch(minutes, "")


def moving(minute: int) -> float:
    return 10 + minute / 10


def growing(minute: int) -> float:
    return 60 * minute


COPYING = {"percent": moving, "remaining_seconds": lambda minute: 6000 - 60 * minute}
IN_SYNC = {"state": "caught_up", "percent": 100, "lag_seconds": 2}
Scenario = Mapping[tuple[str, str], list[Stretch]]
Firing = Mapping[tuple[str, str, str], tuple[int, int]]
A, B = ("dts", "a"), ("drs", "a")

SCENARIOS: dict[str, tuple[Scenario, Firing]] = {
    "in sync": ({A: [stretch(150, **IN_SYNC)]}, {}),
    "copying": ({A: [stretch(150, **COPYING)]}, {}),
    "slow": ({A: [stretch(150, percent=lambda minute: 10 + minute // 10 / 10)]}, {}),
    "waiting to be started": ({A: [stretch(150, "pending", percent=0)]}, {}),
    "stalled": ({A: [stretch(100, percent=40)]}, {("MigrationStalled", *A): (60, 99)}),
    "stalled, polled every four minutes": (
        {A: [stretch(100, every=4, percent=40)]},
        {("MigrationStalled", *A): (60, 99)},
    ),
    "stalled and then moving": (
        {A: [stretch(80, percent=40), stretch(60, percent=moving)]},
        {("MigrationStalled", *A): (60, 79)},
    ),
    "paused on purpose": (
        {A: [stretch(30, **COPYING), stretch(100, "paused", percent=40, lag_seconds=growing)]},
        {("MigrationPaused", *A): (45, 129)},
    ),
    "resumed": (
        {
            A: [
                stretch(80, "paused", percent=40, lag_seconds=growing),
                stretch(14, percent=41, lag_seconds=4000),
                stretch(100, percent=moving, lag_seconds=10),
            ]
        },
        {("MigrationPaused", *A): (15, 79)},
    ),
    "paused briefly": ({A: [stretch(14, "paused"), stretch(50, **COPYING)]}, {}),
    "paused and out of reach": (
        {A: [stretch(10, "paused"), failing(60)]},
        {("MigrationPaused", *A): (15, 69), ("MigrationPollsFailing", *A): (29, 69)},
    ),
    "behind": ({A: [stretch(60, percent=100, lag_seconds=600)]}, {("MigrationLagHigh", *A): (15, 59)}),
    "in sync and behind": (
        {A: [stretch(60, "caught_up", percent=100, lag_seconds=600)]},
        {("MigrationLagHigh", *A): (15, 59)},
    ),
    "behind for a moment": ({A: [stretch(14, lag_seconds=600), stretch(60, **IN_SYNC)]}, {}),
    "lag unknown": ({A: [stretch(5, lag_seconds=600), stretch(60)]}, {}),
    "percent unknown": ({A: [stretch(50, percent=40), stretch(100)]}, {}),
    "failed": (
        {A: [stretch(10, **COPYING), stretch(30, "failed", percent=40, lag_seconds=900)]},
        {("MigrationFailed", *A): (10, 39)},
    ),
    "failed, task ended": (
        {A: [stretch(10, **COPYING), stretch(1, "failed", percent=40), unpolled(150)]},
        {("MigrationFailed", *A): (10, 130)},
    ),
    "recovered": (
        {A: [stretch(10, "failed"), stretch(30, **COPYING)]},
        {("MigrationFailed", *A): (0, 9)},
    ),
    "partially succeeded": (
        {A: [stretch(30, "partially_succeeded")]},
        {("MigrationFailed", *A): (0, 29)},
    ),
    "cancelled, task ended": (
        {A: [stretch(10, **COPYING), stretch(1, "cancelled", lag_seconds=900), unpolled(150)]},
        {},
    ),
    "succeeded, task ended": (
        {A: [stretch(10, **COPYING), stretch(1, "succeeded", percent=100), unpolled(150)]},
        {},
    ),
    "task ended in sync": (
        {A: [stretch(30, **IN_SYNC), unpolled(150)]},
        {("MigrationUnwatched", *A): (90, 149)},
    ),
    "task ended while copying": (
        {A: [stretch(30, percent=40, lag_seconds=900), unpolled(150)]},
        {("MigrationLagHigh", *A): (15, 33), ("MigrationUnwatched", *A): (90, 149)},
    ),
    "task ended just behind": (
        {A: [stretch(9, lag_seconds=900), unpolled(80)]},
        {("MigrationUnwatched", *A): (69, 88)},
    ),
    "out of reach": (
        {A: [stretch(10, **COPYING), failing(60), stretch(30, **COPYING)]},
        {("MigrationPollsFailing", *A): (29, 69)},
    ),
    "stalled and out of reach": (
        {A: [stretch(55, percent=40), failing(60)]},
        {("MigrationPollsFailing", *A): (74, 114)},
    ),
    "never in reach": ({A: [failing(60)]}, {("MigrationPollsFailing", *A): (16, 59)}),
    "out of reach for hours": (
        {A: [stretch(10, **COPYING), failing(200)]},
        {("MigrationPollsFailing", *A): (29, 209)},
    ),
    "every other poll fails": ({A: [stretch(1, **COPYING), failing(1)] * 40}, {}),
    "out of reach briefly": ({A: [stretch(10, **IN_SYNC), failing(15), stretch(30, **IN_SYNC)]}, {}),
    "gave up": (
        {A: [stretch(10, **COPYING), failing(8), unpolled(100)]},
        {("MigrationPollsFailing", *A): (29, 31), ("MigrationUnwatched", *A): (77, 117)},
    ),
    "name not found": (
        {("dts", ""): [failing(60)], A: [stretch(60, **IN_SYNC)]},
        {("MigrationPollsFailing", "dts", "not_found"): (16, 59)},
    ),
    "different": (
        {
            A: [
                stretch(30, verification=compared(3), **IN_SYNC),
                stretch(30, verification=compared(0), **IN_SYNC),
            ]
        },
        {("MigrationDifferent", *A): (10, 29)},
    ),
    "different, then checked again": (
        {A: [stretch(15, verification=compared(3)), stretch(60)]},
        {("MigrationDifferent", *A): (10, 74)},
    ),
    "different for a moment": (
        {A: [stretch(9, verification=compared(3)), stretch(30, verification=compared(0))]},
        {},
    ),
    "neighbours with the same id": (
        {
            A: [stretch(100, "paused", percent=40, lag_seconds=growing)],
            B: [stretch(100, percent=moving, lag_seconds=0)],
        },
        {("MigrationPaused", *A): (15, 99)},
    ),
    "neighbours in trouble": (
        {
            A: [stretch(100, "paused", percent=40, lag_seconds=growing)],
            ("dts", "b"): [stretch(100, percent=40)],
            ("dts", "c"): [stretch(10), failing(90)],
            ("dts", "d"): [stretch(100, percent=100, lag_seconds=600)],
            ("dts", "e"): [stretch(100, **IN_SYNC)],
        },
        {
            ("MigrationPaused", *A): (15, 99),
            ("MigrationStalled", "dts", "b"): (60, 99),
            ("MigrationPollsFailing", "dts", "c"): (29, 99),
            ("MigrationLagHigh", "dts", "d"): (15, 99),
        },
    ),
}


def promtool() -> str:
    if path := shutil.which("promtool"):
        return path
    return pytest.skip("no promtool here: install it (apt-get install --no-install-recommends prometheus)")


def played(virtual: VirtualExporter, scenario: Scenario) -> list[Mapping[Series, float]]:
    """Return the series that the exporter shows in each minute of a scenario."""
    length = max(sum(part.minutes for part in parts) for parts in scenario.values())
    answers: defaultdict[int, list[tuple[str, str, Answer]]] = defaultdict(list)
    for (service, migration_id), parts in scenario.items():
        minute = 0
        for part in parts:
            for step in range(part.minutes):
                if part.fields != "" and step % part.every == 0:
                    answer = answer_at(service, migration_id, part.fields, minute)
                    answers[minute].append((service, migration_id, answer))
                minute += 1
    shown = []
    for minute in range(length):
        now = minute * MINUTE
        for service, migration_id, answer in answers[minute]:
            virtual.poll(service, migration_id, answer, now)
        shown.append(virtual.exposition.samples(now))
    return shown


def answer_at(service: str, migration_id: str, fields: Any, minute: int) -> Answer:
    if fields is None:
        return ERROR
    values = {name: value(minute) if callable(value) else value for name, value in fields.items()}
    return record(service, migration_id, minute * MINUTE, **values)


def as_input(shown: list[Mapping[Series, float]]) -> list[dict[str, str]]:
    """Write series as promtool reads them; one that ends is marked, as a scrape without it marks it."""
    lines: defaultdict[Series, list[str]] = defaultdict(list)
    for minute, samples in enumerate(shown):
        for series, value in samples.items():
            line = lines[series]
            line += ["_"] * (minute - len(line))
            line.append(repr(value))
        for series, line in lines.items():
            if series not in samples:
                line.append("stale" if line[-1] not in ("stale", "_") else "_")
    return [{"series": str(series), "values": " ".join(line)} for series, line in lines.items()]


def check_rules(tests: list[dict[str, Any]], folder: Path) -> None:
    """Let promtool play a test of the rules."""
    (folder / "alerts.yml").write_text(RULES)
    file = folder / "test.yml"
    file.write_text(json.dumps({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(
        [promtool(), "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:3000]


FIRING = 'sum by (alertname, service, migration) (ALERTS{alertstate="firing"})'


@pytest.mark.parametrize("name", SCENARIOS)
def test_exactly_the_right_alerts_fire(name: str, virtual: VirtualExporter, tmp_path: Path) -> None:
    """The alerts of every minute, and no others."""
    scenario, firing = SCENARIOS[name]
    shown = played(virtual, scenario)
    expected = [
        {
            "expr": FIRING,
            "eval_time": f"{minute}m",
            "exp_samples": [
                {"labels": f'{{alertname="{alert}", service="{service}", migration="{id_}"}}', "value": 1}
                for (alert, service, id_), (first, last) in firing.items()
                if first <= minute <= last
            ],
        }
        for minute in range(len(shown))
    ]
    tests = [{"interval": "1m", "input_series": as_input(shown), "promql_expr_test": expected}]
    check_rules(tests, tmp_path)


def test_each_alert_has_its_scenario() -> None:
    assert {alert for _, firing in SCENARIOS.values() for alert, *_ in firing} == set(ALERTS)


@pytest.mark.parametrize(
    ("name", "minute", "alert", "labels", "summary"),
    [
        ("failed", 20, "MigrationFailed", {"state": "failed"}, "dts a is failed"),
        ("different", 20, "MigrationDifferent", {}, "3 tables of dts a differ from their source"),
        (
            "paused on purpose",
            60,
            "MigrationPaused",
            {"state": "paused"},
            "dts a has been paused for 15 minutes",
        ),
        ("behind", 30, "MigrationLagHigh", {}, "dts a is 10m 0s behind"),
        ("stalled", 90, "MigrationStalled", {}, "dts a has stayed at 40 % for an hour"),
        (
            "out of reach",
            40,
            "MigrationPollsFailing",
            {},
            "dts a is polled, and has not answered for 15 minutes",
        ),
        ("task ended in sync", 91, "MigrationUnwatched", {}, "dts a has not been polled for 1h 2m 0s"),
    ],
)
def test_alert_says_what_it_is_about(
    name: str,
    minute: int,
    alert: str,
    labels: dict[str, str],
    summary: str,
    virtual: VirtualExporter,
    tmp_path: Path,
) -> None:
    severity = ALERTS[alert]["labels"]["severity"]
    expected = {
        "exp_labels": {"service": "dts", "migration": "a", "severity": severity, **labels},
        "exp_annotations": {"summary": summary},
    }
    test = {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": [expected]}
    series = as_input(played(virtual, SCENARIOS[name][0]))
    check_rules([{"interval": "1m", "input_series": series, "alert_rule_test": [test]}], tmp_path)


PANEL = "In sync for 10 minutes A"


@pytest.mark.parametrize(
    ("parts", "minute", "is_shown"),
    [
        ([stretch(30, **IN_SYNC)], 20, True),
        ([stretch(30, **IN_SYNC)], 9, False),
        ([stretch(5), stretch(30, **IN_SYNC)], 10, False),
        ([stretch(20, **IN_SYNC), failing(1), stretch(5, **IN_SYNC)], 21, False),
        ([stretch(20, **IN_SYNC), failing(10)], 25, False),
        ([stretch(20, **IN_SYNC), stretch(1, "caught_up", lag_seconds=11), stretch(5, **IN_SYNC)], 23, False),
        ([stretch(20, **IN_SYNC), stretch(1, "failed")], 20, False),
        ([stretch(20, **IN_SYNC), stretch(1, "paused", lag_seconds=0), stretch(5, **IN_SYNC)], 23, False),
        ([stretch(20, **IN_SYNC), unpolled(20)], 26, False),
    ],
    ids=["yes", "new", "falls short", "first error", "errors", "lag", "failed", "paused", "unpolled"],
)
def test_panel_shows_who_is_in_sync(
    parts: list[Stretch], minute: int, is_shown: bool, virtual: VirtualExporter, tmp_path: Path
) -> None:
    sample = {"labels": '{service="dts", migration="a", state="caught_up"}', "value": 1}
    expected = {
        "expr": filled_in(queries()[PANEL]),
        "eval_time": f"{minute}m",
        "exp_samples": [sample] if is_shown else [],
    }
    series = as_input(played(virtual, {A: parts}))
    check_rules([{"interval": "1m", "input_series": series, "promql_expr_test": [expected]}], tmp_path)


# --- alerts of a running Prometheus -------------------------------------------------------------------------

FASTER = 240
"""In the live run an hour takes 15 seconds."""


def hurried(rules: str) -> str:
    """Shorten the durations of rules, but not the time that an answer is fresh: a busy machine is late."""

    def shortened(found: re.Match[str]) -> str:
        unit = {"m": 60, "h": 3600}[found[2]]
        return f"{int(found[1]) * unit * 1000 // FASTER}ms"

    return re.sub(r"\b(\d+)([mh])\b", shortened, rules).replace("_seconds < 300", "_seconds < 20")


@contextmanager
def prometheus(exporter: StandIn | Real, folder: Path) -> Iterator[str]:
    """Keep a Prometheus running that scrapes an exporter each second, or skip where there is none."""
    if (program := shutil.which("prometheus")) is None:
        pytest.skip("no Prometheus here: install it (apt-get install --no-install-recommends prometheus)")
    (folder / "alerts.yml").write_text(hurried(RULES))
    host = exporter.url.removeprefix("http://").removesuffix("/metrics")
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": "statsd",
                # As the Prometheus Operator adds it for a ServiceMonitor.
                "static_configs": [{"targets": [host], "labels": {"service": "statsd-exporter"}}],
                "honor_labels": True,
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    url = f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    command = [
        *(program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--web.listen-address={url.removeprefix('http://')}", "--log.level=warn"),
    ]
    with running(command, folder / "prometheus.log"):
        wait_for(f"{url}/-/ready")
        yield url


def asked(url: str, path: str, **parameters: str) -> Any:
    answer = requests.get(f"{url}/api/v1/{path}", params=parameters, timeout=10)
    answer.raise_for_status()
    return answer.json()["data"]


@pytest.mark.parametrize("kind", EXPORTERS)
def test_running_prometheus_alerts(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One migration is paused, one stalls, and two are healthy."""
    monkeypatch.setattr(metrics, "_stats", Stats)
    expected = {("MigrationPaused", "dts", "paused"), ("MigrationStalled", "oms", "stalled")}
    seen: set[tuple[str, ...]] = set()
    with ExitStack() as stack:
        exporter = stack.enter_context(EXPORTERS[kind](MAPPING, tmp_path))
        url = stack.enter_context(prometheus(exporter, tmp_path))
        stack.enter_context(airflow_sends_to(exporter, monkeypatch))
        began = time.time()
        firing: set[tuple[str, ...]] = set()
        while firing != expected and time.time() - began < 60:
            now = time.time()
            lag = 1000 * (now - began)
            for service, migration_id, fields in (
                ("dts", "paused", {"state": "paused", "percent": 40, "lag_seconds": lag}),
                ("oms", "stalled", {"percent": 40}),
                ("drs", "copying", {"percent": (now - began) % 100, "remaining_seconds": 60}),
                ("drs", "in_sync", {"verification": compared(0), **IN_SYNC}),
            ):
                report(service, migration_id, record(service, migration_id, now, **fields))
            time.sleep(0.25)
            alerts = [alert for alert in asked(url, "alerts")["alerts"] if alert["state"] == "firing"]
            labels = [alert["labels"] for alert in alerts]
            firing = {(item["alertname"], item["service"], item["migration"]) for item in labels}
            seen |= firing
        results = {
            panel: asked(url, "query", query=filled_in(query))["result"] for panel, query in queries().items()
        }
    assert firing == seen == expected
    # The last panel looks back ten minutes.
    assert [panel for panel, result in results.items() if not result] == [PANEL]
    states = {item["metric"]["migration"]: item["value"][1] for item in results["State A"]}
    names = [*MigrationState]
    assert {name: names[int(number) - 1] for name, number in states.items()} == {
        "paused": "paused",
        "stalled": "running",
        "copying": "running",
        "in_sync": "caught_up",
    }
