"""A deferred sensor that no triggerer ends: Airflow does."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_migration.sensors import base
from tests.soak.dags._sensors import SENSORS, ids
from tests.soak.notifiers import own_alert

ABANDONED = "dts_abandoned"

# Airflow's timeout of the trigger comes at the deadline instead of five minutes later.
base.AIRFLOW_TIMEOUT_MARGIN = timedelta(0)

with DAG("abandoned", start_date=datetime(2026, 1, 1), schedule=None):
    SENSORS["dts"](
        task_id=ABANDONED,
        deferrable=True,
        poke_interval=5,
        timeout=45,
        alerts=[own_alert("failed"), own_alert("reached")],
        **ids("dts", ABANDONED),
    )
