"""Delivery of alerts by notifiers, on a worker and on an event loop."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.compat import can_look_up_beside_others
from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.notifications import delivery
from airflow_provider_migration.notifications.check import check_notifiers
from airflow_provider_migration.notifications.delivery import Message, asend, send
from airflow_provider_migration.wait.alerts import Notification
from tests import notifiers

TASK = {"dag_id": "moves", "task_id": "wait", "run_id": "manual__2026-01-01T00:00:00+00:00", "map_index": -1}
WAIT = {"service": "dts", "migration_id": "dts1", "targets": ["caught_up"], "deadline": 2e9}

ASYNC_FROM_3_1 = "async " if hasattr(BaseNotifier, "async_notify") else ""


@pytest.fixture
def told() -> Iterator[list[tuple[str, str]]]:
    notifiers.TOLD.clear()
    notifiers.RELEASED.clear()
    yield notifiers.TOLD
    notifiers.RELEASED.set()


def no_warning(level: int, template: str, text: object) -> None:
    raise AssertionError(text)


def message(notifier: str, *, is_over: bool = False, **kwargs: str) -> Message:
    alert = MigrationAlert("paused", f"tests.notifiers.{notifier}", notifier_kwargs=kwargs)
    return Message(Notification(alert, is_over, 1e9, 1e9 + 60), None, WAIT, TASK)


@dataclass(frozen=True)
class Sending:
    """Sends messages on a worker or on an event loop, and returns the warnings."""

    place: str

    def __call__(self, *messages: Message) -> list[str]:
        warnings: list[str] = []

        def log(level: int, template: str, text: object) -> None:
            if level > logging.INFO:
                warnings.append(template % text)

        if self.place == "worker":
            send(messages, log, delivery.SEND_SECONDS)
        else:
            asyncio.run(asend(messages, log))
        return warnings


@pytest.fixture(params=["worker", "event loop"])
def sending(request: pytest.FixtureRequest) -> Sending:
    return Sending(request.param)


@pytest.mark.parametrize(
    ("notifier", "on_worker", "on_loop"),
    [
        ("SyncNotifier", "paused begins", "paused begins"),
        ("AsyncNotifier", "paused begins", f"{ASYNC_FROM_3_1}paused begins"),
        ("OnlyAsyncNotifier", "async paused begins", "async paused begins"),
    ],
)
def test_notifier_is_called_in_the_way_that_it_has(
    sending: Sending, told: list[tuple[str, str]], notifier: str, on_worker: str, on_loop: str
) -> None:
    expected = on_worker if sending.place == "worker" else on_loop
    assert sending(message(notifier)) == []
    assert told == [(notifier, expected)]


def test_messages_are_sent_one_after_the_other_where_airflow_has_one_thread(
    sending: Sending, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "can_look_up_beside_others", lambda: False)
    assert sending(message("SyncNotifier", text="1"), message("SyncNotifier", text="2")) == []
    assert sorted(told) == [("SyncNotifier", "1"), ("SyncNotifier", "2")]


def test_failing_notifier_is_one_warning(sending: Sending, told: list[tuple[str, str]]) -> None:
    warnings = sending(message("FailingNotifier"), message("SyncNotifier", is_over=True))
    (warning,) = warnings
    assert warning == (
        "Cannot send alert 'paused' with tests.notifiers.FailingNotifier: ConnectionRefusedError: "
        "invalid_auth. Check the notifier's connection and notifier_kwargs."
    )
    assert told == [("SyncNotifier", "paused over")]


@pytest.mark.parametrize(
    ("error", "written"),
    [
        ("404 for url: https://hooks.example/services/T0/B0/SECRET", "404 for url: https://hooks.example/…"),
        ("see 'https://oapi.example?access_token=SECRET', then", "see 'https://oapi.example?…', then"),
        ("https://user:SECRET@chat.example:8443/x refused", "https://chat.example:8443/… refused"),
        ("Pool(host='a'): Max retries with url: /bot1:SECRET/x (Caused by", "with url: /… (Caused by"),
        ("cannot use dingtalk://SECRET@SECRET/?x=1", "cannot use dingtalk://…"),
        ("SSL: see /etc/ssl/cert.pem, port 443", "SSL: see /etc/ssl/cert.pem, port 443"),
    ],
)
def test_warning_redacts_addresses(
    sending: Sending, monkeypatch: pytest.MonkeyPatch, error: str, written: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(error)

    monkeypatch.setattr(notifiers.FailingNotifier, "notify", refuse)
    (warning,) = sending(message("FailingNotifier"))
    assert written in warning
    assert "SECRET" not in warning


@pytest.mark.parametrize("has_threads", [True, False])
@pytest.mark.parametrize("method", ["notify", "async_notify"])
def test_notifier_that_exits_ends_nothing_else(
    sending: Sending, monkeypatch: pytest.MonkeyPatch, method: str, has_threads: bool
) -> None:
    monkeypatch.setattr(delivery, "can_look_up_beside_others", lambda: has_threads)

    def leave(*_: Any) -> None:
        sys.exit(3)

    async def async_leave(*_: Any) -> None:
        sys.exit(3)

    kind = notifiers.SyncNotifier if method == "notify" else notifiers.OnlyAsyncNotifier
    monkeypatch.setattr(kind, method, leave if method == "notify" else async_leave)
    (warning,) = sending(message(kind.__name__))
    assert "SystemExit" in warning


@pytest.mark.parametrize("notifier", ["HangingNotifier", "HangingAsyncNotifier"])
def test_hanging_notifier_is_one_warning_and_delays_no_other(
    sending: Sending, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, notifier: str
) -> None:
    monkeypatch.setattr(delivery, "SEND_SECONDS", 0.5)
    if not can_look_up_beside_others() and (sending.place, notifier) == ("event loop", "HangingNotifier"):
        pytest.skip("before Airflow 3.3.2 everything that asks Airflow shares one thread")
    releasing = threading.Timer(2, notifiers.RELEASED.set)
    releasing.start()  # the event loop ends only with its tasks
    begun = time.monotonic()
    warnings = sending(message(notifier), message("SyncNotifier"))
    releasing.cancel()
    assert told == [("SyncNotifier", "paused begins")]
    (warning,) = warnings
    assert warning.startswith(f"Cannot tell whether alert 'paused' with tests.notifiers.{notifier} was sent")
    assert time.monotonic() - begun < 10


def test_threads_of_notifiers_that_hang_are_limited(
    sending: Sending, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SEND_SECONDS", 0.3)
    sending(message("HangingNotifier"))
    alive = sum(thread.name == delivery._THREAD_NAME for thread in threading.enumerate())
    monkeypatch.setattr(delivery, "MAX_THREADS", alive)
    if can_look_up_beside_others() or sending.place == "worker":
        (warning,) = sending(message("SyncNotifier"))
        assert "earlier messages have not ended: see which notifier hangs" in warning
        assert told == []


def test_template_error_is_one_warning(sending: Sending, told: list[tuple[str, str]]) -> None:
    (warning,) = sending(message("SyncNotifier", text="{{ record.state.nothing() }}"))
    assert "UndefinedError" in warning
    assert told == []


def test_notifier_that_is_gone_is_one_warning(sending: Sending, told: list[tuple[str, str]]) -> None:
    (warning,) = sending(message("GoneNotifier"))
    assert "Cannot send alert 'paused' with tests.notifiers.GoneNotifier: AttributeError" in warning


def test_templates_have_alert_record_wait_task_and_variables(
    sending: Sending, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_TEAM", "dba")
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", '{"conn_type": "http", "host": "chat.example"}')
    template = (
        "{{ alert.when }} {{ alert.since }} {{ alert.after }} {{ wait.migration_id }} {{ record }} "
        "{{ ti.task_id }} {{ var.value.team }} {{ conn.chat.host }} {{ alert.title != alert.zh.title }}"
    )
    assert sending(message("SyncNotifier", text=template)) == []
    assert told == [("SyncNotifier", "paused 1000000000.0 0.0 dts1 None wait dba chat.example True")]


def test_two_hundred_messages_go_out_together(sending: Sending, told: list[tuple[str, str]]) -> None:
    many = [message("AsyncNotifier", text=str(number)) for number in range(200)]
    assert sending(*many) == []
    assert {text.removeprefix("async ") for _, text in told} == {str(number) for number in range(200)}
    assert len(told) == 200


async def test_event_loop_is_free_while_notifiers_hang(
    told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SEND_SECONDS", 1)
    sent = asyncio.create_task(asend([message("HangingNotifier")] * 20, lambda *_: None))
    turns = 0
    while not sent.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 10  # of a hundred: a busy machine is slow, a loop that is held has one


@pytest.mark.parametrize(
    ("notifier", "kwargs", "problem"),
    [
        ("tests.notifiers.GoneNotifier", {}, "cannot be imported: .*plugins"),
        ("nowhere.at.all.Notifier", {}, "cannot be imported: No module named 'nowhere'"),
        ("tests.notifiers.NoNotifier", {}, "is not a class derived from BaseNotifier"),
        ("tests.notifiers.TOLD", {}, "is not a class derived from BaseNotifier"),
        ("tests.notifiers.SyncNotifier", {"txt": "x"}, "cannot be created: .*'txt'.*Correct notifier_kwargs"),
    ],
)
def test_wrong_notifier_is_refused(notifier: str, kwargs: dict[str, Any], problem: str) -> None:
    alert = MigrationAlert("failed", notifier, notifier_kwargs=kwargs)
    with pytest.raises(
        MigrationConfigurationError, match=f"^wait: notifier {notifier} of alert 'failed' {problem}"
    ):
        check_notifiers("wait", [alert], no_warning)


def test_template_with_an_error_is_refused() -> None:
    alert = MigrationAlert(
        "failed", "tests.notifiers.SyncNotifier", notifier_kwargs={"text": "{{ alert.text }"}
    )
    with pytest.raises(MigrationConfigurationError, match="has a template with an error: unexpected '}'"):
        check_notifiers("wait", [alert], no_warning)


@pytest.mark.parametrize(
    ("notifier", "kwargs", "warning"),
    [
        (
            "SyncNotifier",
            {"text": "{{ alerts.text }}"},
            "'alerts' is undefined. Templates have alert, record, wait",
        ),
        ("SyncNotifier", {"text": "Look!"}, "has no template, .* Give it {{ alert.text }} in one of text."),
        ("ContextNotifier", {"url": "{{ link }}"}, "renders no template in url; it renders none."),
        ("SyncNotifier", {"text": "{{ conn.nowhere.host }}"}, "cannot be rendered with a sample: Airflow"),
        ("ContextNotifier", {"url": "http://127.0.0.1"}, None),
        (
            "SyncNotifier",
            {"text": "{{ record.percent }} {{ record.error.remedy }} {{ alert.zh.text }}"},
            None,
        ),
    ],
)
def test_doubtful_template_is_one_warning(notifier: str, kwargs: dict[str, str], warning: str | None) -> None:
    """A notifier may know better, so the wait begins."""
    alert = MigrationAlert("paused", f"tests.notifiers.{notifier}", notifier_kwargs=kwargs)
    lines: list[str] = []
    check_notifiers("wait", [alert], lambda level, template, text: lines.append(text))
    if warning is None:
        assert lines == []
    else:
        assert re.search(warning, *lines)


@pytest.mark.parametrize("path", ["tests.notifiers.SyncNotifier", "tests.notifiers:SyncNotifier"])
def test_right_notifier_is_accepted(path: str) -> None:
    check_notifiers("wait", [MigrationAlert("failed", path)], no_warning)
    assert issubclass(notifiers.SyncNotifier, BaseNotifier)
