"""
Wait until a DTS migration has caught up and stays so, then check it before anyone switches over.

The lag must hold for a minute without a break: one moment in sync is not enough for a cut-over. A migration
that fails, or that someone stops, fails the sensor at its next poll, with the reason in its log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor

with DAG(
    dag_id="cut_over_when_caught_up",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
    params={"dts_job": "dtsdemo0001", "max_lag": 10},
) as dag:
    wait = DtsMigrationJobSensor(
        task_id="wait_until_caught_up",
        migration_job_id="{{ params.dts_job }}",
        target_status="caught_up",
        max_lag=10,
        hold_for=60,
        stall_timeout=4 * 3600,
        poke_interval=15,
        timeout=7 * 24 * 3600,
        deferrable=True,
    )

    @task
    def check(progress: dict[str, Any], max_lag: int) -> str:
        """Compare source and destination; here, as far as the record goes."""
        copied = {phase["name"]: phase["done"] for phase in progress["phases"] if phase["done"] is not None}
        # A table of source row counts would be compared with one of the destination at this place.
        if progress["lag_seconds"] is None or progress["lag_seconds"] > max_lag:
            raise ValueError(f"{progress['migration_id']} is {progress['lag_seconds']} s behind")
        return f"{progress['migration_id']} is in sync; copied: {copied}"

    check(wait.output, "{{ params.max_lag }}")
