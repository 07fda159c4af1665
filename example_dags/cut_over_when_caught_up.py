"""
Cut-over with manual approval, once the destination is in sync.

1. Wait until the destination has been in sync for ten minutes without a break.
2. Ask a person to stop all writes to the source and then approve (Browse > Required Actions).
3. Note the time, and wait until everything written before it is applied.
4. Count the rows of each table on both sides.
5. Report success, or fail and name the tables that differ.

Fill in ``TABLES``, and create the connections ``source_database`` and ``destination_database``, of any
type of database that Airflow knows. Asking a person needs Airflow 3.1 or newer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor

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
    caught_up = DtsMigrationJobSensor(
        task_id="wait_until_caught_up",
        migration_job_id="{{ params.dts_job }}",
        target_status="caught_up",
        max_lag=10,
        hold_for=600,
        stall_timeout=4 * 3600,
        poke_interval=15,
        timeout=7 * 24 * 3600,
        deferrable=True,
    )

    # After a rejection Airflow skips the downstream tasks.
    approve = ApprovalOperator(
        task_id="approve",
        subject="Cut over {{ params.dts_job }}?",
        body=(
            "{% set lag = ti.xcom_pull(task_ids='wait_until_caught_up')['lag_seconds'] %}"
            "It has been in sync for ten minutes{% if lag is not none %}; the lag was last {{ lag }} s"
            "{% endif %}.\n\n"
            "Stop all writes to the source, then approve."
        ),
    )

    @task
    def note_time() -> str:
        """
        Note the time: the writes were stopped before the approval.

        If the checkpoint stands still while the source is idle, then write a row to a migrated table.
        """
        return datetime.now(UTC).isoformat()

    # The approval may take hours, and a lag of 0 does not show that the last write has arrived.
    writes_stopped_at = note_time()
    last_changes = DtsMigrationJobSensor(
        task_id="wait_for_the_last_changes",
        migration_job_id="{{ params.dts_job }}",
        target_status="caught_up",
        max_lag=1,
        hold_for=60,
        checkpoint_after=writes_stopped_at,
        poke_interval=15,
        timeout=3600,
        deferrable=True,
    )

    @task
    def count_rows(conn_id: str) -> dict[str, int]:
        """Count the rows of each table on one side. If that is too slow, compare the newest ids."""
        hook = BaseHook.get_hook(conn_id)
        return {table: hook.get_first(f"SELECT COUNT(*) FROM {table}")[0] for table in TABLES}

    @task
    def report(progress: dict[str, Any], source: dict[str, int], destination: dict[str, int]) -> str:
        """Compare the counts."""
        wrong = [
            f"{table}: {source[table]} in the source, {destination[table]} in the destination"
            for table in TABLES
            if source[table] != destination[table]
        ]
        if wrong:
            raise ValueError(f"Do not switch over {progress['migration_id']}. " + "; ".join(wrong))
        return f"{progress['migration_id']} may be switched over; rows: {source}"

    source_rows = count_rows.override(task_id="count_source_rows")(SOURCE)
    destination_rows = count_rows.override(task_id="count_destination_rows")(DESTINATION)
    caught_up >> approve >> writes_stopped_at
    last_changes >> [source_rows, destination_rows]
    report(last_changes.output, source_rows, destination_rows)
