"""Two hundred sensors whose deadlines come while their services ask everyone to wait."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from tests.soak.dags._sensors import ID_ARGUMENTS, SENSORS, migration_id
from tests.soak.dags.soak import COUNT, POKE_INTERVALS

START_SECONDS = 300
"""Seconds within which all sensors are deferred."""
THROTTLED_SECONDS = 600
"""Seconds of throttling, over which the deadlines are spread."""
TIMEOUTS = {
    service: START_SECONDS + THROTTLED_SECONDS * part
    for service, part in zip(SENSORS, (0.4, 0.6, 0.8, 0.95), strict=True)
}

with DAG("throttled", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    for service, sensor in SENSORS.items():
        project = {"project_id": 123456} if service == "dataworks" else {}
        sensor.partial(
            task_id=service,
            deferrable=True,
            poke_interval=POKE_INTERVALS[service],
            timeout=TIMEOUTS[service],
            max_poll_errors=1000,
            **project,
        ).expand(**{ID_ARGUMENTS[service]: [migration_id(service, f"{service}{n}") for n in range(COUNT)]})
