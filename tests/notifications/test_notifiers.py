"""Real notifiers of Airflow's providers, against local servers, in the ways that worker and triggerer go."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.notifications.check import check_notifiers
from airflow_provider_migration.notifications.delivery import (
    SEND_SECONDS,
    Message,
    asend,
    messages_of,
    send,
)
from airflow_provider_migration.progress import MigrationProgress, MigrationState
from airflow_provider_migration.wait.alerts import Notification
from tests.authority import Authority
from tests.sinks import MailSink, Posted, WebhookSink

SLACK = "airflow.providers.slack.notifications.slack.SlackNotifier"
SLACK_WEBHOOK = "airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier"
APPRISE = "airflow.providers.apprise.notifications.apprise.AppriseNotifier"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"

TASK = {"dag_id": "moves", "task_id": "wait", "run_id": "manual", "map_index": -1}
WAIT = {"service": "dts", "migration_id": "dts1", "targets": ["caught_up"], "deadline": 2e9}
TEXT = "{{ alert.when }} {{ record.name }} {{ record.percent }} {{ wait.migration_id }} {{ ti.task_id }}"
RENDERED = "paused 订单库 62.5 dts1 wait"

# Apprise imports a module that Python 3.13 no longer has, where that exists.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

CHATS = {
    "oapi.dingtalk.com": "dingtalk://abc123/",
    "qyapi.weixin.qq.com": "wecombot://abc123/",
    "open.feishu.cn": "feishu://abc123/",
    "open.larksuite.com": "lark://abc123/",
    "contoso.westeurope.logic.azure.com": (
        "workflows://contoso.westeurope.logic.azure.com:443/abc123/sig456/"  # Microsoft Teams
    ),
}
"""By host: the chat's address in an Apprise connection."""

Sending = Callable[..., list[str]]


@pytest.fixture(scope="module")
def record() -> MigrationProgress:
    return MigrationProgress(
        service="dts",
        migration_id="dts1",
        name="订单库",
        state=MigrationState.PAUSED,
        service_status="Suspending",
        percent=62.5,
        observed_at=datetime(2026, 1, 31, tzinfo=UTC),
    )


@pytest.fixture(params=["worker", "triggerer"])
def sending(request: pytest.FixtureRequest, record: MigrationProgress) -> Sending:
    """Send the message of a pause with a notifier, and return the warnings."""

    def run(notifier: str, **kwargs: Any) -> list[str]:
        alert = MigrationAlert("paused", notifier, notifier_kwargs=kwargs)
        check_notifiers("wait", [alert], print)
        messages: list[Message] = messages_of([Notification(alert, False, 1e9, 1e9 + 60)], record, WAIT, TASK)
        warnings: list[str] = []

        def log(level: int, template: str, text: object) -> None:
            if level > logging.INFO:
                warnings.append(template % text)

        if request.param == "worker":
            send(messages, log, SEND_SECONDS)
        else:
            asyncio.run(asend(messages, log))
        return warnings

    return run


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Create a connection, which the notifiers look up as in a task."""

    def create(conn_id: str, **connection: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return create


@pytest.fixture
def sink() -> Iterator[WebhookSink]:
    with WebhookSink() as sink:
        yield sink


@pytest.fixture
def chats(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookSink]:
    """Serve as the proxy that answers in the place of the chats, whose addresses are fixed in Apprise."""
    with WebhookSink(authority.context_of(*CHATS)) as sink:
        monkeypatch.setenv("HTTPS_PROXY", sink.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
        yield sink


def only(sink: WebhookSink) -> Posted:
    """Return the one message that has come."""
    (posted,) = sink.posted
    return posted


def test_slack_notifier_posts_the_message(
    sending: Sending, connect: Callable[..., None], sink: WebhookSink
) -> None:
    connect("slack", conn_type="slack", password="xoxb-simulated")
    warnings = sending(SLACK, slack_conn_id="slack", channel="#dba", text=TEXT, base_url=f"{sink.url}/api/")
    assert warnings == []
    posted = only(sink)
    assert posted.path == "/api/chat.postMessage"
    assert posted.headers["Authorization"] == "Bearer xoxb-simulated"
    assert posted.body["channel"] == "#dba"
    assert RENDERED in posted.body["text"]


def test_slack_webhook_notifier_posts_the_message(
    sending: Sending, connect: Callable[..., None], sink: WebhookSink
) -> None:
    connect("hook", conn_type="slackwebhook", host=f"{sink.url}/services", password="T0/B0/x")
    assert sending(SLACK_WEBHOOK, slack_webhook_conn_id="hook", text=TEXT) == []
    posted = only(sink)
    assert posted.path == "/services/T0/B0/x"
    assert RENDERED in posted.body["text"]


def test_apprise_notifier_posts_the_message_to_a_webhook(
    sending: Sending, connect: Callable[..., None], sink: WebhookSink
) -> None:
    config = {"path": f"json://127.0.0.1:{sink.port}/alerts", "tag": "all"}
    connect("chat", conn_type="apprise", extra={"config": config})
    assert sending(APPRISE, apprise_conn_id="chat", body=TEXT, title="{{ alert.when }}") == []
    posted = only(sink)
    assert (posted.path, posted.body["title"], posted.body["message"]) == ("/alerts", "paused", RENDERED)


@pytest.mark.parametrize("host", CHATS)
def test_apprise_notifier_posts_the_message_to_a_chat(
    sending: Sending, connect: Callable[..., None], chats: WebhookSink, host: str
) -> None:
    connect("chat", conn_type="apprise", extra={"config": {"path": CHATS[host], "tag": "all"}})
    kwargs = {"apprise_conn_id": "chat", "title": "{{ alert.when }}", "body_format": "markdown"}
    assert sending(APPRISE, body=TEXT, **kwargs) == []
    posted = only(chats)
    assert posted.host.partition(":")[0] == host
    # Each chat has a form of its own, which only Apprise knows.
    assert RENDERED in json.dumps(posted.body, ensure_ascii=False)


def test_smtp_notifier_sends_the_mail(sending: Sending, connect: Callable[..., None]) -> None:
    with MailSink() as mails:
        extra = {"disable_tls": True, "disable_ssl": True, "from_email": "airflow@example.com"}
        connect("mail", conn_type="smtp", host="127.0.0.1", port=mails.port, extra=extra)
        content = {"subject": "{{ record.name }}", "html_content": TEXT}
        assert sending(SMTP, smtp_conn_id="mail", to="dba@example.com", **content) == []
        (mail,) = mails.mails
    assert (mail["from"], mail["to"]) == ("airflow@example.com", "dba@example.com")
    assert mail["subject"] == "订单库"
    body = mail.get_body(("html",))
    assert body is not None
    assert RENDERED in body.get_content()


def test_refusal_of_slack_is_one_warning(
    sending: Sending, connect: Callable[..., None], sink: WebhookSink
) -> None:
    connect("slack", conn_type="slack", password="xoxb-simulated")
    sink.ANSWER = json.dumps({"ok": False, "error": "channel_not_found"}).encode()
    kwargs = {"slack_conn_id": "slack", "text": TEXT, "base_url": f"{sink.url}/api/"}
    (warning,) = sending(SLACK, **kwargs)
    assert "channel_not_found" in warning
    assert "xoxb" not in warning


def test_missing_connection_is_one_warning(sending: Sending) -> None:
    (warning,) = sending(APPRISE, apprise_conn_id="nowhere", body=TEXT)
    assert "nowhere" in warning


def test_refusal_of_a_chat_is_a_warning_of_apprise_itself(
    sending: Sending, connect: Callable[..., None], sink: WebhookSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow's notifier does not tell what Apprise has returned."""
    sink.status = 403
    connect("chat", conn_type="apprise", extra={"config": {"path": f"json://127.0.0.1:{sink.port}/"}})
    assert sending(APPRISE, apprise_conn_id="chat", body=TEXT) == []
    assert any("403" in text for name, _, text in caplog.record_tuples if name == "apprise")
