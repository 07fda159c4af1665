"""Deferred sensors of every service, which wait while the test takes things away from them."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from tests.catalogue import SERVICES

with DAG("bad_day", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    waiting = {"deferrable": True, "poke_interval": 3, "timeout": 300, "max_poll_errors": 50}
    for service in SERVICES:
        service.sensor(task_id=service.name, **service.ids, **waiting)
    DtsMigrationJobSensor(task_id="failing", migration_job_id="failing", **waiting)
    DtsMigrationJobSensor(task_id="too_late", migration_job_id="never", **{**waiting, "timeout": 60})
