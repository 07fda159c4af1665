"""The page of error messages quotes what the package says, and nothing else."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.api_errors import api_error
from airflow_provider_migration.clock import SYSTEM_CLOCK
from airflow_provider_migration.exceptions import MigrationError, MigrationPermissionError
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.notifications import delivery
from airflow_provider_migration.notifications.check import check_notifiers
from airflow_provider_migration.notifications.delivery import Message
from airflow_provider_migration.progress import (
    MigrationProgress,
    MigrationSummary,
    TableVerification,
    VerificationState,
)
from airflow_provider_migration.sansio import Request
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.services.dts import _CHECK_REMEDIES
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.services.wire import unread_verification
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.task_groups import MigrationFleetTaskGroup
from airflow_provider_migration.task_groups.cut_over import check_approval, check_gates
from airflow_provider_migration.wait.alerts import Notification
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import WaitTracker
from tests.authority import Authority
from tests.conftest import ROOT
from tests.servers import Server, http

QUOTED: Final = re.findall(r"^> `(.+)`$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
HASTE: Final = replace(SYSTEM_CLOCK, sleep=lambda seconds: None)
"""Clock without pauses, so that no test waits for a service that is down."""
JOB: Final = "dtsdemo0001"
KEY: Final = {"login": "some-key-id", "password": "some-key-secret"}


def test_quoted_messages_are_unique() -> None:
    assert len(set(QUOTED)) == len(QUOTED)


def test_quoted_messages_exist(said: list[str]) -> None:
    patterns = {text: ".+".join(map(re.escape, text.split("…"))) for text in QUOTED}
    never = [
        text
        for text, pattern in patterns.items()
        if not any(re.fullmatch(pattern, message) for message in said)
    ]
    assert never == [], "\n".join(said)


def test_provoked_messages_are_explained(said: list[str]) -> None:
    patterns = [".+".join(map(re.escape, text.split("…"))) for text in QUOTED]
    missing = [message for message in said if not any(re.fullmatch(pattern, message) for pattern in patterns)]
    assert missing == []


@pytest.fixture
def said(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, authority: Authority) -> list[str]:
    """Make every mistake that the page tells of, and return what the package says."""
    return [
        *of_connections(monkeypatch),
        *of_the_service(simulator, monkeypatch, authority),
        *of_lists(monkeypatch),
        *of_arguments(),
        *of_the_verdict(),
        *of_the_cut_over(),
        *of_alerts(),
    ]


def message_of(action: Callable[[], Any]) -> str:
    """Return what is said about a mistake."""
    with pytest.raises((MigrationError, AirflowFailException)) as caught:
        action()
    return str(caught.value)


def of_alerts() -> list[str]:
    """Write an alert wrong, and give one a notifier that fails or hangs."""
    slack = "airflow.providers.slack.notifications.slack.SlackNotifer"
    alert = MigrationAlert("stalled", slack, after=60)
    message = Message(Notification(alert, False, 0, 60), None, {}, None)
    return [
        message_of(lambda: check_notifiers("DtsMigrationJobSensor 'wait'", [alert], print)),
        message_of(lambda: MigrationAlert("stalled", slack, after=60, notifier_kwargs={"token": "xoxb-1"})),
        delivery._failed(message, ConnectionRefusedError("invalid_auth")),
        delivery._unanswered(message, delivery.SEND_SECONDS),
    ]


def of_connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write each connection wrong in some way."""

    def ask(hook: Any, **connection: Any) -> str:
        name = f"AIRFLOW_CONN_{hook.default_conn_name.upper()}"
        with monkeypatch.context() as patch:
            patch.setenv(name, json.dumps({"conn_type": hook.conn_type, **connection}))
            return message_of(hook()._look_up)

    region = {"region": "cn-hangzhou"}
    verify = {"verify": "/etc/ssl/oms.pem"}
    with monkeypatch.context() as patch:
        patch.delenv("AIRFLOW_CONN_DTS_DEFAULT")
        missing = message_of(DtsHook()._look_up)
        away = DtsHook()
        patch.setattr(away, "get_connection", lambda conn_id: {}[conn_id])
        missing_now = message_of(away._look_up)
    return [
        missing,
        missing_now,
        ask(DtsHook, **KEY),
        ask(DtsHook, extra=region),
        ask(DtsHook, login="some-key-id", password="some secret", extra=region),
        ask(DtsHook, **KEY, extra="cn-hangzhou"),
        ask(OmsHook, login="u", password="some-password"),
        ask(OmsHook, host="oms", login="u", password="some-password", extra=verify),
    ]


def of_the_service(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, authority: Authority) -> list[str]:
    """Be refused, ask for what is not there, and meet what is not the service."""

    def ask(hook: Any, method: str, *ids: Any, **changes: Any) -> str:
        name = hook.default_conn_name
        connection = {**simulator.connections()[name], **changes}
        with monkeypatch.context() as patch:
            patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
            asking = hook()
            asking.clock = HASTE
            return message_of(lambda: getattr(asking, method)(*ids))

    def meet(reply: Any, **changes: Any) -> str:
        with Server([reply], **changes) as server:
            return ask(OmsHook, "get_progress", "p_demo0001", host=server.url)

    gone = Server([http()])
    with gone:
        pass
    request = Request(
        service="dts",
        action="DescribeMigrationJobStatus",
        method="POST",
        url="https://dts",
        read=str,
        signer=None,
    )
    html = {"content-type": "text/html"}

    def unknown_region() -> str:
        def fail(*_: Any, **__: Any) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", fail)
            return ask(DtsHook, "get_progress", JOB, host=None, extra={"region": "cn-hangzuo"})

    return [
        ask(DtsHook, "get_progress", JOB, password="another-secret"),
        ask(OmsHook, "get_progress", "p_demo0001", password="another-secret"),
        # The simulator knows one account, which may do everything.
        str(api_error(MigrationPermissionError, request, None, "no permission", code="Forbidden.RAM")),
        ask(DrsHook, "get_progress", "unknown-job"),
        ask(DtsHook, "get_progress", "dtsunknown"),
        ask(DtsHook, "get_progress", " "),
        ask(DataWorksHook, "get_progress", "my_workspace", 1234),
        ask(OmsHook, "get_progress", "p_demo0001", host=gone.url),
        meet(http(body=b"<html>", headers=html)),
        meet(http(302, body=b"", headers={"location": "https://elsewhere"})),
        meet(http(), tls=authority.context),
        unknown_region(),
        meet(http(429, body=b'{"message": "slow down"}')),
    ]


def of_lists(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name a migration wrongly, and read a list that is not whole."""
    rows = [
        MigrationSummary(service="dts", migration_id="dts1", name="orders", state="running"),
        MigrationSummary(service="dts", migration_id="dts2", name="orders", state="failed"),
    ]
    with DAG("wave", schedule=None) as dag:
        MigrationFleetTaskGroup(DtsMigrationJobSensor, limit=2)
    said = []
    for listed in ([], rows):
        monkeypatch.setattr(DtsHook, "iter_migrations", lambda *_, listed=listed, **__: iter(listed))
        said.append(message_of(lambda: DtsHook().find_migration("orders")))
    monkeypatch.setattr(DtsHook, "iter_migrations", lambda *_, **__: iter(rows * 2))
    listing = MigrationListing(MigrationFilter())
    return [
        *said,
        message_of(lambda: listing.take([(rows[0], None)], received=2, total=2)),
        message_of(lambda: dag.get_task("fleet.list").execute({})),
    ]


def of_the_cut_over() -> list[str]:
    """Approve nothing, come late, and lack a permission."""
    now = datetime.now(UTC)
    stopped = now - timedelta(seconds=1300)
    applied = {
        **record("caught_up", "Migrating").model_dump(mode="json"),
        "observed_at": (now - timedelta(seconds=1200)).isoformat(),
    }
    refused = MigrationPermissionError(
        action="DescribeDataCheckTableDetails", http_status=403, code="Forbidden.RAM"
    )
    return [
        message_of(lambda: check_approval(None, now, 3600, now)),
        message_of(lambda: check_gates({"applied": applied}, stopped.isoformat(), None, now, 10)),
        unread_verification(refused, "AliyunDTSReadOnlyAccess"),
    ]


def of_arguments() -> list[str]:
    """Write a sensor wrong."""
    misspelt = DtsMigrationJobSensor(task_id="wait", migration_job_id=JOB, target_status="cuaght_up")
    return [
        message_of(misspelt._targets),
        message_of(
            lambda: DtsMigrationJobSensor(
                task_id="wait", migration_job_id=JOB, checkpoint_after="2026-01-31T22:00:00"
            )
        ),
        message_of(lambda: DtsMigrationJobSensor(task_id="wait", migration_job_id=JOB, on_paused="ignore")),
        message_of(lambda: misspelt.execute_complete({}, None)),
    ]


def of_the_verdict() -> list[str]:
    """Watch migrations that come to no good end."""
    running = record("running", "Migrating")
    return [
        verdict(record("failed", "MigrationFailed", error={"message": "disk full", "remedy": "make room"})),
        verdict(record("cancelled", "Finished")),
        *of_the_data_check(),
        verdict(record("paused", "Suspending"), on_paused="fail"),
        verdict(record("unknown", "Rebalancing"), on_unknown="fail"),
        verdict(running, at=4000, stall_timeout=3600),
        verdict(running, at=20_000),
        lost_polls(running),
    ]


def of_the_data_check() -> list[str]:
    """Wait for data that is not compared, differs, or cannot be compared."""
    checks: dict[str, dict[str, Any]] = {
        "not_configured": {},
        "inconsistent": {
            "tables_different": 1,
            "worst": [TableVerification(source="shop.orders", rows_different=3)],
        },
        "failed": {"tables_failed": 2},
    }
    return [
        verdict(
            record(
                "caught_up",
                "Migrating",
                verification={"state": state, "tables_total": 40, **counts},
                verification_remedy=_CHECK_REMEDIES[VerificationState(state)],
            ),
            targets=("verified",),
            on_mismatch="fail",
        )
        for state, counts in checks.items()
    ]


def record(state: str, word: str, **fields: Any) -> MigrationProgress:
    """Make a record."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    common = {"service": "dts", "migration_id": JOB, "percent": 50, "observed_at": moment, **fields}
    return MigrationProgress(state=state, service_status=word, **common)


def watch(**policy: Any) -> WaitTracker:
    """Begin to watch at second 0."""
    return WaitTracker(
        WaitPolicy(**{"targets": ("caught_up",), "started_at": 0, "deadline": 10_000, **policy})
    )


def verdict(progress: MigrationProgress, *, at: float = 100, **policy: Any) -> str:
    """Return what is said when a record is seen, and seen once more."""
    watching = watch(**policy)
    for earlier in range(60, int(at), 60):  # what was not observed does not count
        watching.observe(progress, earlier)
    return watching.observe(progress, at).reason


def lost_polls(progress: MigrationProgress) -> str:
    """Return what is said when polls fail one after the other."""
    watching = watch()
    watching.observe(progress, 60)
    error = MigrationError("The last error.")
    error.is_transient = True  # type: ignore[misc] # of its class
    reasons = [watching.fail_poll(error, 60 + poll).reason for poll in range(6)]
    return f"{reasons[-1]}{error}"
