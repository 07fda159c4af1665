"""Metrics of a poll, as a StatsD server receives them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from inspect import signature
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.compat import statistics, statistics_are_off
from airflow_provider_migration.exceptions import MigrationError, MigrationServiceError
from airflow_provider_migration.metrics import report_poll, tag_value
from airflow_provider_migration.polling import poll_once
from airflow_provider_migration.progress import (
    MigrationProgress,
    MigrationState,
    Verification,
    VerificationState,
)
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.migration import MigrationTrigger
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import WaitTracker
from tests.catalogue import Service, each_service
from tests.conftest import ROOT
from tests.simulators import BriefSimulator
from tests.statsd import StatsdServer

OLDER = "older Airflows choose where statistics go when they are loaded; test_compat.py sees what they send"
get_stats_factory = pytest.importorskip(
    "airflow.sdk.observability.metrics.stats_utils", reason=OLDER
).get_stats_factory
if signature(get_stats_factory).parameters:
    pytest.skip(OLDER, allow_module_level=True)

HOOK = "airflow_provider_migration.hooks.dts:DtsHook"
IDS = {"migration_job_id": "dts1"}

Told = Callable[[int], list[str]]


def record(**fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{
            "service": "dts",
            "migration_id": "dts1",
            "state": MigrationState.RUNNING,
            "observed_at": datetime.fromtimestamp(1e9, UTC),
            **fields,
        }
    )


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """Let Airflow send its statistics to a server of the test's."""
    with StatsdServer() as server:
        for name, value in server.settings.items():
            monkeypatch.setenv(name, value)
        logger = get_stats_factory()()
        Stats.initialize(factory=lambda: logger, export_legacy_names=True)
        yield server
    logger.statsd.close()
    monkeypatch.undo()
    Stats.initialize(factory=get_stats_factory(), export_legacy_names=True)


@pytest.fixture
def told(statsd: StatsdServer) -> Told:
    """Wait for so many lines of ours, and give them."""

    def wait(count: int) -> list[str]:
        give_up = time.monotonic() + 5
        while len(lines := statsd.lines("airflow.migration.")) < count and time.monotonic() < give_up:
            time.sleep(0.01)
        return sorted(lines)

    return wait


COMPARED = Verification(state=VerificationState.INCONSISTENT, tables_different=3)
IDENTICAL = Verification(state=VerificationState.CONSISTENT, tables_different=0)
UNCOUNTED = Verification(state=VerificationState.RUNNING)
ANSWERED = {"polls:1|c", "poll_errors:0|c", "last_answer_timestamp_seconds:1000000000.0|g"}


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (record(percent=68, lag_seconds=4.5), {*ANSWERED, "percent:68.0|g", "lag_seconds:4.5|g"}),
        (record(percent=0, lag_seconds=0), {*ANSWERED, "percent:0.0|g", "lag_seconds:0.0|g"}),
        (record(percent=68), {*ANSWERED, "percent:68.0|g"}),
        (record(remaining_seconds=300), {*ANSWERED, "remaining_seconds:300.0|g"}),
        (record(remaining_seconds=0), {*ANSWERED, "remaining_seconds:0.0|g"}),
        (record(verification=COMPARED), {*ANSWERED, "verification_different:3|g"}),
        (record(verification=IDENTICAL), {*ANSWERED, "verification_different:0|g"}),
        (record(verification=UNCOUNTED), ANSWERED),
        (record(), ANSWERED),
        (MigrationServiceError("out of reach"), {"polls:1|c", "poll_errors:1|c"}),
    ],
    ids=[
        "all",
        "zero is a figure",
        "no lag",
        "time left",
        "no time left",
        "differences",
        "no difference",
        "not counted",
        "nothing known",
        "failed",
    ],
)
def test_poll_is_counted_with_its_figures(
    told: Told, answer: MigrationProgress | MigrationError, lines: set[str]
) -> None:
    report_poll(HOOK, IDS, answer)
    states = len(MigrationState) if isinstance(answer, MigrationProgress) else 0
    sent = [line for line in told(len(lines) + states) if ".state," not in line]
    expected = {line.replace(":", ",service=dts,migration=dts1:") for line in lines}
    assert set(sent) == {f"airflow.migration.{line}" for line in expected}


@pytest.mark.parametrize("state", MigrationState)
def test_state_has_a_gauge_for_each_state(told: Told, state: MigrationState) -> None:
    """A state that is no longer the present one becomes 0, so a failed migration does not look in sync."""
    report_poll(HOOK, IDS, record(state=state))
    sent = [line for line in told(3 + len(MigrationState)) if ".state," in line]
    tags = "service=dts,migration=dts1"
    assert sorted(sent) == sorted(
        f"airflow.migration.state,{tags},state={other}:{int(other is state)}|g" for other in MigrationState
    )


def test_failed_poll_leaves_the_state_alone(told: Told) -> None:
    report_poll(HOOK, IDS, record())
    report_poll(HOOK, IDS, MigrationServiceError("out of reach"))
    lines = told(5 + len(MigrationState))
    assert len([line for line in lines if ".state," in line]) == len(MigrationState)


def test_estimate_is_sent(told: Told) -> None:
    """The poll is reported after the tracker has decided."""
    now = time.time()
    tracker = WaitTracker(WaitPolicy(targets=("caught_up",), started_at=now, deadline=now + 60))
    for minute in range(5):
        seen = record(percent=10 + minute, observed_at=datetime.fromtimestamp(1e9 + 60 * minute, UTC))
        with poll_once(tracker, HOOK, IDS, lambda *_: None) as poll:
            poll.answer = seen
        assert poll.answer is tracker.progress
    sent = [line for line in told(67) if ".remaining_seconds," in line]
    assert sorted(sent) == [
        f"airflow.migration.remaining_seconds,service=dts,migration=dts1:{seconds}.0|g"
        for seconds in (5160, 5220)
    ]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (" dts1\r\n", "dts1"),
        (7, "7"),
        ("p_1.a/b-C", "p_1.a/b-C"),
        ("a,b", r"a_b-[0-9a-f]{8}"),
        ("a=b", r"a_b-[0-9a-f]{8}"),
        ("a:1|c", r"a_1_c-[0-9a-f]{8}"),
        ("a\nb", r"a_b-[0-9a-f]{8}"),
        ("a#@ b", r"a___b-[0-9a-f]{8}"),
        ("任务", r"__-[0-9a-f]{8}"),
        ("\ud800", r"_-[0-9a-f]{8}"),
        ("", r"-[0-9a-f]{8}"),
        (None, "None"),
        (["dts1"], r"__dts1__-[0-9a-f]{8}"),
        ("x" * 300, r"x{119}-[0-9a-f]{8}"),
    ],
)
def test_tags_have_safe_characters(told: Told, value: object, sent: str) -> None:
    report_poll(HOOK, {"migration_job_id": value}, MigrationServiceError("out of reach"))
    lines = told(2)
    assert len(lines) == 2
    assert all(re.fullmatch(rf"[a-z._]+,service=dts,migration={sent}:1[|]c", line) for line in lines), lines


def test_name_that_is_not_found_is_a_fixed_tag(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name never becomes a tag; the id does, once it has been looked up."""
    with BriefSimulator(
        {"migrations": [{"service": "dts", "migration_job_id": "dts1", "name": "orders"}]}
    ) as simulator:
        monkeypatch.setenv("AIRFLOW_CONN_DTS_DEFAULT", json.dumps(simulator.connections()["dts_default"]))
        for name in ("invoices", "orders"):
            sensor = DtsMigrationJobSensor(task_id="wait", migration_name=name)
            with suppress(MigrationError):
                sensor.poke({"ti": _Silent(), "outlet_events": {}})
    lines = told(5 + len(MigrationState))
    assert [line for line in lines if ".polls," in line] == [
        "airflow.migration.polls,service=dts,migration=dts1:1|c",
        "airflow.migration.polls,service=dts,migration=not_found:1|c",
    ]
    assert "airflow.migration.poll_errors,service=dts,migration=not_found:1|c" in lines


@given(st.lists(st.text(), min_size=2, max_size=20, unique_by=str.strip))
def test_tags_of_two_ids_differ(texts: list[str]) -> None:
    assert len({tag_value(text) for text in texts}) == len(texts)


def test_metrics_page_names_every_metric(told: Told) -> None:
    report_poll(HOOK, IDS, record(percent=68, lag_seconds=4.5, remaining_seconds=60, verification=COMPARED))
    report_poll(HOOK, IDS, MigrationServiceError("out of reach"))
    lines = told(9 + len(MigrationState))
    sent = {line.partition(",")[0].removeprefix("airflow.migration.") for line in lines}
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"airflow_migration_([a-z_]+)", page)) == sent
    assert set(re.findall(r"^\| `migration\.([a-z_]+)` \|", page, re.MULTILINE)) == sent


@each_service
def test_tags_name_service_and_migration(
    told: Told, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    name, migration_id = service.name, service.migration_id
    tags = f"service={name},migration={migration_id}"
    with BriefSimulator({"migrations": [service.migration(duration=100)]}) as simulator:
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        simulator.jump(name, migration_id, 150)
        done = service.sensor(task_id="wait", **service.ids).poke({"ti": _Silent(), "outlet_events": {}})
    assert done
    assert (done.xcom_value["service"], done.xcom_value["migration_id"]) == (name, migration_id)
    lines = told(4)  # with failed polls and the time of the answer between the two
    assert f"airflow.migration.polls,{tags}:1|c" in lines
    assert f"airflow.migration.percent,{tags}:100.0|g" in lines


class _Silent:
    """A task instance that shows nothing."""

    try_number = 1

    def xcom_push(self, key: str, value: Any) -> None: ...

    def get_first_reschedule_date(self, context: Any) -> None: ...


async def test_missing_connection_is_a_poll_error(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration.XCom, "set", lambda **arguments: None)
    now = time.time()
    trigger = MigrationTrigger(
        hook=HOOK,
        hook_arguments={"dts_conn_id": "nowhere"},
        ids=IDS,
        tracker=WaitTracker(
            WaitPolicy(targets=("caught_up",), started_at=now, deadline=now + 60, poke_interval=1)
        ).to_json(),
        task_key={"dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": -1},
    )
    await anext(trigger.run())
    assert told(2) == [
        "airflow.migration.poll_errors,service=dts,migration=dts1:1|c",
        "airflow.migration.polls,service=dts,migration=dts1:1|c",
    ]


class _Client:
    def gauge(self) -> None: ...


class NoStatsLogger:
    @classmethod
    def gauge(cls) -> None: ...


class _Unknown:
    @staticmethod
    def gauge() -> None: ...


@pytest.mark.parametrize(
    ("stats", "are_off"),
    [(_Client(), False), (NoStatsLogger(), True), (NoStatsLogger, True), (_Unknown, False)],
)
def test_statistics_are_off_only_if_that_is_known(stats: Any, are_off: bool) -> None:
    """As Airflow 2.11 to 3.2 have them, and as a later one may."""
    assert statistics_are_off(stats) is are_off


def test_statistics_that_are_on_are_not_off(statsd: StatsdServer) -> None:
    assert statistics_are_off(statistics()) is False


def test_disabled_statistics_cost_nothing() -> None:
    program = (
        "import sys, psutil\n"
        "from airflow_provider_migration.exceptions import MigrationServiceError\n"
        "from airflow_provider_migration.metrics import report_poll\n"
        f"report_poll({HOOK!r}, {IDS!r}, MigrationServiceError('out of reach'))\n"
        "from airflow_provider_migration import metrics\n"
        "assert metrics.statistics_are_off(metrics._stats)\n"
        "metrics._class_at = None  # nothing more is done\n"
        f"report_poll({HOOK!r}, {IDS!r}, MigrationServiceError('out of reach'))\n"
        "print('statsd' in sys.modules, len(psutil.Process().net_connections()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "False 0"
