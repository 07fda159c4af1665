"""One task for each thing that the pages show; a DAG that few may read; one with a service's bad words."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, task

from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor

waiting = {"deferrable": True, "poke_interval": 2, "timeout": 900}
with DAG("watched", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    DtsMigrationJobSensor(task_id="deferred", migration_job_id="moving", **waiting)
    DtsMigrationJobSensor(
        task_id="poke", migration_job_id="moving-too", poke_interval=2, timeout=900, deferrable=False
    )
    DtsMigrationJobSensor(task_id="failing", migration_job_id="failing", **waiting)
    DtsMigrationJobSensor(task_id="unknown_id", migration_job_id="nowhere", **waiting)
    DtsMigrationJobSensor(task_id="skipped", migration_job_id="halted", on_paused="skip", **waiting)
    DtsMigrationJobSensor(
        task_id="unanswered", migration_job_id="unanswered", max_poll_errors=100, hold_for=300, **waiting
    )
    DtsMigrationJobSensor(task_id="holding", migration_job_id="holding", hold_for=300, **waiting)
    DrsProgressSensor(task_id="objects", job_id="objects", **waiting)
    OmsProjectSensor.partial(task_id="mapped", **waiting).expand(project_id=["p_first", "p_second"])
    DtsMigrationJobSensor(
        task_id="rescheduled",
        migration_job_id="paused",
        mode="reschedule",
        poke_interval=15,
        timeout=900,
        deferrable=False,
    )

    @task
    def ordinary() -> None:
        """Watch nothing."""

    ordinary()

with DAG("confidential", start_date=datetime(2026, 1, 1), schedule=None) as confidential:
    DtsMigrationJobSensor(task_id="secret", migration_job_id="secret", **waiting)

with DAG("hostile", start_date=datetime(2026, 1, 1), schedule=None) as hostile:
    DtsMigrationJobSensor(task_id="hostile", migration_job_id="hostile", **waiting)
