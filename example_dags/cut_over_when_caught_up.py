"""
Wait until a DTS migration has caught up and stays so, then check it before anyone switches over.

The lag must hold for half a minute without a break: one moment in sync is not enough for a cut-over. A
migration that fails, or that someone stops, fails the sensor at its next poll, with the reason in its log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor

MAX_LAG = 10
"""Seconds that the destination may be behind."""

with DAG(
    dag_id="cut_over_when_caught_up",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
    params={"dts_job": "dtsdemo0001"},
) as dag:
    wait = DtsMigrationJobSensor(
        task_id="wait_until_caught_up",
        migration_job_id="{{ params.dts_job }}",
        target_status="caught_up",
        max_lag=MAX_LAG,
        hold_for=30,
        stall_timeout=4 * 3600,
        poke_interval=15,
        timeout=7 * 24 * 3600,
        deferrable=True,
    )

    @task
    def check(progress: dict[str, Any]) -> str:
        """Compare source and destination; here, as far as the record goes."""
        if progress["lag_seconds"] is None or progress["lag_seconds"] > MAX_LAG:
            raise ValueError(f"{progress['migration_id']} is {progress['lag_seconds']} s behind")
        # A table of the source's row counts would be compared with one of the destination's at this place.
        copied = {phase["name"]: phase["done"] for phase in progress["phases"] if phase["done"] is not None}
        return f"{progress['migration_id']} is in sync; copied: {copied}"

    check(wait.output)
