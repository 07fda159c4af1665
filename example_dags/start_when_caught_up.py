"""
Event-driven start when a DTS migration has caught up, without a waiting task or a schedule.

While this DAG is not paused, the triggerer watches the migration. Each time the migration reaches the target,
one asset event with the record starts one run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.triggers.event import MigrationEventTrigger

caught_up = Asset(
    "customers_caught_up",
    watchers=[
        AssetWatcher(
            name="customers",
            trigger=MigrationEventTrigger.of(
                DtsMigrationJobSensor,
                migration_job_id="dtsdemo0001",
                target_status="caught_up",
                max_lag=10,
                poke_interval=15,
            ),
        )
    ],
)

with DAG(
    dag_id="start_when_caught_up",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=[caught_up],
    catchup=False,
    tags=["migration"],
    is_paused_upon_creation=True,  # watching starts when the DAG is unpaused
) as dag:

    @task
    def report(triggering_asset_events: Any) -> list[str]:
        """Describe each event in a line. Runs and events created by hand have no record."""
        events = [event for events in triggering_asset_events.values() for event in events]
        records = [event.extra["payload"] for event in events if "payload" in event.extra]
        return [
            f"{record['service']} {record['migration_id']}: {record['state']}"
            # A migration without an incremental phase has no lag.
            + ("" if record["lag_seconds"] is None else f", lag {record['lag_seconds']} s")
            for record in records
        ]

    report()
