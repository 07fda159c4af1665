"""
Run the same scripted migrations through poke, reschedule and deferrable mode, in one real ``dag.test()``.

Run as a program it prints what each task came to as JSON on the last line.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

from airflow.sdk import DAG, Asset, BaseSensorOperator

from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}

CASES: dict[str, tuple[type[BaseSensorOperator], str, dict[str, Any]]] = {
    "good": (DtsMigrationJobSensor, "migration_job_id", {"outlets": [Asset("good")]}),
    "failing": (DtsMigrationJobSensor, "migration_job_id", {"retries": 2, "outlets": [Asset("failing")]}),
    "paused": (DrsProgressSensor, "job_id", {"on_paused": "fail"}),
    "flaky": (OmsProjectSensor, "project_id", {}),
    "never_ending": (DtsMigrationJobSensor, "migration_job_id", {"timeout": 4}),
    "soft_fail": (DtsMigrationJobSensor, "migration_job_id", {"soft_fail": True}),
    "package": (DataWorksMigrationSensor, "migration_id", {"project_id": 123456}),
}

SCRIPTS = {
    "good": ("dts", "success"),
    "failing": ("dts", "precheck_failure"),
    "paused": ("drs", "paused"),
    "flaky": ("oms", "success"),
    "never_ending": ("dts", "never_ending"),
    "soft_fail": ("dts", "failure"),
    "package": ("dataworks", "success"),
}


def migration_id(case: str, mode: str) -> str:
    """Give each task a migration of its own, since a migration begins with its first poll."""
    if case == "package":
        return str(1 + list(MODES).index(mode))
    return f"{case}-{mode}"


def scenario() -> dict[str, Any]:
    """Return what the simulator plays."""
    migrations = []
    for case, (service, script) in SCRIPTS.items():
        argument = CASES[case][1]
        for mode in MODES:
            migration = {
                "service": service,
                argument: migration_id(case, mode),
                "script": script,
                "duration": 4,
            }
            migrations.append({**migration, **({"project_id": 123456} if service == "dataworks" else {})})
    faults = [{"kind": kind, "rate": 0.15, "service": "oms"} for kind in ("server_error", "drop", "html")]
    return {"seed": 3, "migrations": migrations, "faults": faults}


with DAG("every_mode", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    for case, (sensor, argument, arguments) in CASES.items():
        for mode, how in MODES.items():
            ids = {argument: migration_id(case, mode)}
            sensor(
                task_id=f"{case}.{mode}", **{"poke_interval": 0.7, "timeout": 60, **arguments, **ids, **how}
            )


def main() -> None:
    """Run the DAG and print what its tasks came to."""
    run = dag.test()
    from airflow.models.asset import AssetEvent
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    results = {}
    with create_session() as session:
        for ti in run.get_task_instances(session=session):
            rows = session.scalars(
                select(XComModel).where(XComModel.run_id == run.run_id, XComModel.task_id == ti.task_id)
            )
            xcom = {row.key: XComModel.deserialize_value(row) for row in rows}
            events = session.scalars(
                select(AssetEvent.extra).where(
                    AssetEvent.source_run_id == run.run_id, AssetEvent.source_task_id == ti.task_id
                )
            )
            results[ti.task_id] = {
                "state": str(ti.state),
                "tries": ti.try_number,
                "xcom": xcom,
                "events": list(events),
            }
    sys.stdout.write(f"\n{json.dumps(results)}\n")


if __name__ == "__main__":
    main()
