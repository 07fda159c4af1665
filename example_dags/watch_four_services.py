"""
The four services side by side, each watched in poke and in deferrable mode.

Every sensor shows its progress in XCom ``migration_progress`` while it waits. In deferrable mode it occupies
no worker slot meanwhile, so that is the better choice wherever a triggerer runs.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, TaskGroup

from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor

with DAG(
    dag_id="watch_four_services",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
    params={
        "dataworks_project": 123456,
        "dataworks_migration": 1234,
        "dts_job": "dtsdemo0001",
        "oms_project": "p_demo0001",
        "drs_job": "163b98e8-6088-46c3-8b86-c18fea6jb502",
    },
) as dag:
    for mode in ("poke", "deferrable"):
        # The demo polls every few seconds; poll a real migration once a minute or less.
        waiting = {"deferrable": mode == "deferrable", "poke_interval": 4, "timeout": 600}
        with TaskGroup(mode):
            DataWorksMigrationSensor(
                task_id="dataworks",
                project_id="{{ params.dataworks_project }}",
                migration_id="{{ params.dataworks_migration }}",
                **waiting,
            )
            DtsMigrationJobSensor(task_id="dts", migration_job_id="{{ params.dts_job }}", **waiting)
            OmsProjectSensor(task_id="oms", project_id="{{ params.oms_project }}", **waiting)
            DrsProgressSensor(task_id="drs", job_id="{{ params.drs_job }}", **waiting)
