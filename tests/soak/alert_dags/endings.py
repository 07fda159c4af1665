"""Deferred sensors whose waits end, with the alerts of an end."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from tests.soak.dags._sensors import SENSORS, ids
from tests.soak.notifiers import apprise_alert, own_alert

ENDINGS = {
    "dts_reached": ("dts", "success", "reached"),
    "oms_reached": ("oms", "success", "reached"),
    "drs_failed": ("drs", "failure", "failed"),
    "dataworks_failed": ("dataworks", "failure", "failed"),
}
"""By the task: its service, the script of its migration, and the alert that is due in the end."""

with DAG("endings", start_date=datetime(2026, 1, 1), schedule=None):
    for name, (service, _, _) in ENDINGS.items():
        SENSORS[service](
            task_id=name,
            deferrable=True,
            poke_interval=5,
            timeout=3600,
            # Each would be due after an hour; the end of the wait sends it at once.
            alerts=[own_alert("reached", after=3600), apprise_alert("failed", after=3600)],
            **ids(service, name),
        )
