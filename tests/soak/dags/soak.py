"""Two hundred sensors that wait deferred, fifty for each service."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from tests.soak.dags._sensors import ID_ARGUMENTS, SENSORS, migration_id

COUNT = 50
"""Number of watched migrations per service."""
# DataWorks allows 5 calls a second, of which a poll needs two; questions to DRS gather for up to 2 s.
POKE_INTERVALS = {"dataworks": 30, "dts": 5, "oms": 5, "drs": 10}

with DAG("soak", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    for service, sensor in SENSORS.items():
        project = {"project_id": 123456} if service == "dataworks" else {}
        sensor.partial(
            task_id=service,
            deferrable=True,
            poke_interval=POKE_INTERVALS[service],
            timeout=7200,
            **project,
        ).expand(**{ID_ARGUMENTS[service]: [migration_id(service, f"{service}{n}") for n in range(COUNT)]})
