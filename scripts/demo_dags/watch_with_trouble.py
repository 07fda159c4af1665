"""A migration that fails and one that is paused, as shown by the pages."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor

waiting = {"deferrable": True, "poke_interval": 4, "timeout": 3600}
with DAG(
    dag_id="watch_with_trouble",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
) as dag:
    DtsMigrationJobSensor(task_id="fails", migration_job_id="dtsdemo0002", **waiting)
    OmsProjectSensor(task_id="paused", project_id="p_demo0002", **waiting)
