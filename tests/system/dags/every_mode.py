"""
Run the same scripted migrations through poke, reschedule and deferrable mode, in one real ``dag.test()``.

Run as a program it prints what each task came to as JSON on the last line.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from operator import attrgetter
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, BaseSensorOperator
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS

from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
if AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_1_PLUS:
    # There a dag.test() gives a sensor the time of its first poll as a text, which Airflow itself fails at.
    del MODES["reschedule"]

# A dag.test() of Airflow 2 makes no events, and that of 3.0 fails each task that has outlets.
MAKES_EVENTS = AIRFLOW_V_3_1_PLUS


def outlets(name: str) -> dict[str, Any]:
    """Give a task an asset to tell of."""
    return {"outlets": [Asset(name)]} if MAKES_EVENTS else {}


CASES: dict[str, tuple[type[BaseSensorOperator], str, dict[str, Any]]] = {
    "good": (DtsMigrationJobSensor, "migration_job_id", outlets("good")),
    "failing": (DtsMigrationJobSensor, "migration_job_id", {"retries": 2, **outlets("failing")}),
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
            # A dag.test() comes back to a rescheduled task only after all others, which takes minutes.
            sensor(
                task_id=f"{case}.{mode}", **{"poke_interval": 1, "timeout": 300, **arguments, **ids, **how}
            )


def events_of(run_id: str, task_id: str, session: Any) -> list[Any]:
    """Return what the asset events of a task carry."""
    from sqlalchemy import select

    if AIRFLOW_V_3_0_PLUS:
        from airflow.models.asset import AssetEvent
    else:
        from airflow.models.dataset import DatasetEvent as AssetEvent
    is_of_task = (AssetEvent.source_run_id == run_id, AssetEvent.source_task_id == task_id)
    return list(session.scalars(select(AssetEvent.extra).where(*is_of_task)))


def main() -> None:
    """Run the DAG and print what its tasks came to."""
    run = dag.test()
    from airflow.models import xcom as models
    from airflow.utils.session import create_session
    from sqlalchemy import select

    stored: Any = models.XComModel if AIRFLOW_V_3_0_PLUS else models.XCom
    read = stored.deserialize_value if AIRFLOW_V_3_0_PLUS else attrgetter("value")

    results = {}
    with create_session() as session:
        for ti in run.get_task_instances(session=session):
            rows = session.scalars(
                select(stored).where(stored.run_id == run.run_id, stored.task_id == ti.task_id)
            )
            xcom = {row.key: read(row) for row in rows}
            results[ti.task_id] = {
                "state": str(ti.state),
                "tries": ti.try_number,
                "xcom": xcom,
                "events": events_of(run.run_id, ti.task_id, session),
            }
    sys.stdout.write(f"\n{json.dumps(results)}\n")


if __name__ == "__main__":
    main()
