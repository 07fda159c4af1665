"""
Any number of DRS jobs, each watched by a mapped task, and one report on all of them.

The list of jobs may come from anywhere: a parameter, a table, an API. The report runs whatever the outcome of
the jobs. As the last task it decides the state of the run: it fails unless every job has reached the target.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_migration.sensors.drs import DrsProgressSensor

with DAG(
    dag_id="many_drs_jobs",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
    params={
        "drs_jobs": Param(
            ["163b98e8-6088-46c3-8b86-c18fea6jb502"], type="array", items={"type": "string"}, minItems=1
        )
    },
) as dag:

    @task
    def list_jobs(params: dict[str, Any]) -> list[str]:
        """List the ids of the jobs to watch."""
        return [job.strip() for job in params["drs_jobs"]]

    jobs = list_jobs()
    watch = DrsProgressSensor.partial(
        task_id="wait_until_caught_up",
        object_types=["table", "view"],
        poke_interval=15,
        timeout=24 * 3600,
        deferrable=True,
        map_index_template="{{ task.job_id }}",
    ).expand(job_id=jobs)

    @task(trigger_rule="all_done")
    def report(
        jobs: list[str] | None,
        reached: Iterable[dict[str, Any]] | None,
        waits: Iterable[dict[str, Any]] | None,
    ) -> list[str]:
        """
        Describe each job in a line, and fail if one of them has not reached the target.

        :param jobs: the ids; None if listing them failed.
        :param reached: the final record of each job that has reached the target; None on Airflow 2 if there
            is none.
        :param waits: ``migration_wait`` of each job whose task has run, failed ones included.
        """
        if not jobs:
            raise ValueError("No job was watched: look at the task list_jobs.")
        records = {record["migration_id"]: record for record in reached or ()}
        reasons = {wait["migration_id"]: wait["reason"] for wait in waits or ()}
        lines = [
            f"{job}: {record['state']}"
            + ("" if record["lag_seconds"] is None else f", lag {record['lag_seconds']} s")
            for job, record in records.items()
        ]
        missing = [
            f"{job}: {reasons.get(job) or 'ended without a reason, look at the log of its task'}"
            for job in jobs
            if job not in records
        ]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(jobs)} jobs have not reached the target.\n"
                + "\n".join([*missing, *lines])
            )
        return lines

    report(jobs, watch.output, watch.output["migration_wait"])
