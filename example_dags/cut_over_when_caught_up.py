"""
Cut-over with manual approval, once the destination is in sync and its data is verified.

1. Wait until the destination has been in sync for ten minutes without a break.
2. Wait until DTS's own data check has found no difference.
3. Ask a person to stop all writes to the source and then approve (Browse > Required Actions).
4. Note the time, and wait until everything written before it is applied.
5. Count the rows of each table on both sides.
6. Report success, or fail and name the tables that differ.

Fill in ``TABLES``, and create the connections ``source_database`` and ``destination_database``, of any
type of database that Airflow knows. Asking a person needs Airflow 3.1 or newer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.task_groups import CutOverTaskGroup

SOURCE, DESTINATION = "source_database", "destination_database"
TABLES = ("customers", "orders")

with DAG(
    dag_id="cut_over_when_caught_up",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
    params={"dts_job": "dtsdemo0001"},
) as dag:
    cut_over = CutOverTaskGroup(
        DtsMigrationJobSensor,
        migration_job_id="{{ params.dts_job }}",
        max_lag=1,
        hold_for=600,
        final_hold_for=60,
        stall_timeout=4 * 3600,
        poke_interval=15,
        timeout=7 * 24 * 3600,
        deferrable=True,
    )

    @task
    def count_rows(conn_id: str) -> dict[str, int]:
        """Count the rows of each table on one side. If that is too slow, compare the newest ids."""
        hook = BaseHook.get_hook(conn_id)
        return {table: hook.get_first(f"SELECT COUNT(*) FROM {table}")[0] for table in TABLES}

    @task
    def report(evidence: dict[str, Any], source: dict[str, int], destination: dict[str, int]) -> str:
        """Compare the counts."""
        wrong = [
            f"{table}: {source[table]} in the source, {destination[table]} in the destination"
            for table in TABLES
            if source[table] != destination[table]
        ]
        if wrong:
            raise ValueError(f"Do not switch over {evidence['migration_id']}. " + "; ".join(wrong))
        return f"{evidence['migration_id']} may be switched over; rows: {source}"

    source_rows = count_rows.override(task_id="count_source_rows")(SOURCE)
    destination_rows = count_rows.override(task_id="count_destination_rows")(DESTINATION)
    cut_over >> [source_rows, destination_rows]
    report(dag.get_task("cut_over.evidence").output, source_rows, destination_rows)
