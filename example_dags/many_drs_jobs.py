"""
As many DRS jobs as there are, each watched by a mapped task, and one report over all of them.

The list of jobs may come from anywhere: a parameter, a table, an API.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_migration.sensors.drs import DrsProgressSensor

with DAG(
    dag_id="many_drs_jobs",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
    params={"drs_jobs": ["163b98e8-6088-46c3-8b86-c18fea6jb502"]},
) as dag:

    @task
    def list_jobs(params: dict[str, Any]) -> list[str]:
        """Say which jobs to watch."""
        return list(params["drs_jobs"])

    watch = DrsProgressSensor.partial(
        task_id="wait_until_caught_up",
        object_types=["table", "view"],
        poke_interval=15,
        timeout=24 * 3600,
        deferrable=True,
        map_index_template="{{ task.job_id }}",
    ).expand(job_id=list_jobs())

    @task(trigger_rule="all_done")
    def report(records: list[dict[str, Any]]) -> list[str]:
        """Say in a line how each job stands; a job that failed has left no final record."""
        return [
            f"{record['migration_id']}: {record['state']}, lag {record['lag_seconds']} s"
            for record in records
        ]

    report(watch.output)
