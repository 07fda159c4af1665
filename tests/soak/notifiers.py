"""Notifiers of the soak tests, and the message that they send: JSON, to be read again."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import requests
from airflow.sdk import BaseNotifier

from airflow_provider_migration.alerts import MigrationAlert

SINK, APPRISE = "sink", "apprise_default"
"""Ids of the connections to the webhook."""

# A watcher has no task.
TEXT = """{{ {
    "run": ti.run_id | default(""),
    "id": wait.migration_id,
    "when": alert.when,
    "is_over": alert.is_over,
    "at": alert.at,
    "reason": alert.reason,
} | tojson }}"""


class WebhookNotifier(BaseNotifier):
    """Posts a text."""

    template_fields: Sequence[str] = ("url", "text")

    def __init__(self, url: str, text: str) -> None:
        super().__init__()
        self.url = url
        self.text = text

    def notify(self, context: Any) -> None:
        """Post from a worker."""
        requests.post(self.url, json={"message": self.text}, timeout=30).raise_for_status()

    async def async_notify(self, context: Any) -> None:
        """Post from the triggerer."""
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(self.url, json={"message": self.text}),
        ):
            pass


class SlowNotifier(WebhookNotifier):
    """Blocks its thread for a second, then posts."""

    def notify(self, context: Any) -> None:
        """Post late."""
        time.sleep(1)
        super().notify(context)

    async def async_notify(self, context: Any) -> None:
        """Refuse, as notifiers do that have only the other method."""
        raise NotImplementedError


class HangingNotifier(SlowNotifier):
    """Blocks its thread for ever."""

    def notify(self, context: Any) -> None:
        """Never return."""
        threading.Event().wait()


def own_alert(when: str, notifier: type[BaseNotifier] = WebhookNotifier, **arguments: Any) -> MigrationAlert:
    """Return an alert that a notifier from above sends."""
    kwargs = {"url": "{{ conn.sink.host }}", "text": TEXT}
    return MigrationAlert(when, notifier, notifier_kwargs=kwargs, **arguments)


def apprise_alert(when: str, **arguments: Any) -> MigrationAlert:
    """Return an alert that Apprise posts to the webhook."""
    notifier = "airflow.providers.apprise.notifications.apprise.AppriseNotifier"
    return MigrationAlert(when, notifier, notifier_kwargs={"body": TEXT}, **arguments)


def sink_connections(url: str) -> dict[str, dict[str, Any]]:
    """Return the connections to a webhook."""
    path = url.replace("http://", "json://")
    return {
        SINK: {"conn_type": "http", "host": url},
        APPRISE: {"conn_type": "apprise", "extra": {"config": {"path": path, "tag": "all"}}},
    }
