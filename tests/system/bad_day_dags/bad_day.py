"""Deferred sensors of every service, which wait while the test takes things away from them."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor

with DAG("bad_day", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    waiting = {"deferrable": True, "poke_interval": 3, "timeout": 300, "max_poll_errors": 50}
    DataWorksMigrationSensor(task_id="dataworks", project_id=123456, migration_id=1, **waiting)
    DtsMigrationJobSensor(task_id="dts", migration_job_id="good", **waiting)
    OmsProjectSensor(task_id="oms", project_id="good", **waiting)
    DrsProgressSensor(task_id="drs", job_id="good", **waiting)
    DtsMigrationJobSensor(task_id="failing", migration_job_id="failing", **waiting)
    DtsMigrationJobSensor(task_id="too_late", migration_job_id="never", **{**waiting, "timeout": 60})
