"""
Start by itself when a DTS migration has caught up: no task waits, no schedule guesses.

As long as this DAG is not paused, the triggerer watches the migration. Each time that it reaches the target
there is one asset event, and so one run; the event carries the record.
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
    is_paused_upon_creation=True,  # it begins to watch when someone switches it on
) as dag:

    @task
    def report(triggering_asset_events: Any) -> list[str]:
        """Say in a line what each event tells; a run that a person has started has none."""
        records = [event.extra["payload"] for events in triggering_asset_events.values() for event in events]
        return [
            f"{record['service']} {record['migration_id']}: {record['state']}, lag {record['lag_seconds']} s"
            for record in records
        ]

    report()
