"""
Two waves side by side, selected by name: every DTS job and every DRS job whose name contains a word.

Each wave has one report and one gate. The last task runs when both gates have passed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, chain, task

from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.task_groups import MigrationFleetTaskGroup

with DAG(
    dag_id="watch_a_wave",
    description=__doc__,
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    tags=["migration"],
    params={"wave": Param("migration", type="string", minLength=1)},
) as dag:
    waves: list[Any] = [
        MigrationFleetTaskGroup(
            sensor,
            group_id=group_id,
            name="{{ params.wave }}",
            poke_interval=15,
            timeout=24 * 3600,
            **arguments,
        )
        for sensor, group_id, arguments in (
            (DtsMigrationJobSensor, "dts", {"api": "DescribeDtsJobs"}),
            (DrsProgressSensor, "drs", {"object_types": ["table"]}),
        )
    ]

    @task
    def announce(params: dict[str, Any]) -> str:
        """Tell that the whole wave has arrived."""
        return f"All migrations of {params['wave']} have reached their target."

    chain(waves, announce())
