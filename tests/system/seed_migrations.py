"""Write many watched migrations straight into the database of a test's Airflow: ``python … COUNT``."""

from __future__ import annotations

import json
import sys
import uuid
from datetime import UTC, datetime, timedelta

from airflow import settings
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import insert, select

from tests.catalogue import SERVICES

RUN_ID = "seeded__2026-01-01T00:00:00+00:00"
STATES = ("running", "running", "paused", "caught_up", "succeeded", "failed")


def record(number: int, service: str, state: str) -> dict[str, object]:
    """Return a record of progress."""
    return {
        "schema_version": 1,
        "service": service,
        "migration_id": f"{service}-{number:04}",
        "name": f"shard {number:04}",
        "state": state,
        "service_status": state.upper(),
        "percent": 100.0 if state in ("caught_up", "succeeded") else number % 100 + 0.5,
        "phases": [{"name": "full", "state": state, "service_status": "x", "percent": 50.0}],
        "lag_seconds": float(number) if state in ("running", "caught_up") else None,
        "checkpoint": None,
        "error": None,
        "objects": None,
        "verification": None,
        "throughput": None,
        "remaining_seconds": None,
        "remaining_source": None,
        "retrying": None,
        "observed_at": (datetime.now(UTC) - timedelta(seconds=number)).isoformat(),
        "request_id": "x",
        "console_url": "https://example.com/",
    }


def main(count: int) -> None:
    """Copy a run and a task instance that are there as often as asked for."""
    now = datetime.now(UTC)
    with settings.engine.begin() as connection:
        runs, tasks, xcoms = DagRun.__table__, TaskInstance.__table__, XComModel.__table__
        run = connection.execute(select(runs).where(runs.c.dag_id == "watched")).mappings().first()
        task = connection.execute(select(tasks).where(tasks.c.task_id == "mapped")).mappings().first()
        assert run is not None
        assert task is not None
        new_run = {
            **{name: value for name, value in run.items() if name != "id"},
            "run_id": RUN_ID,
            "logical_date": None,
            "state": "success",
        }
        run_key = connection.execute(insert(runs).values(new_run)).inserted_primary_key[0]
        for number in range(count):
            service = SERVICES[number % len(SERVICES)]
            state = STATES[number % len(STATES)]
            has_ended = state in ("caught_up", "succeeded", "failed")
            new_task = {
                **task,
                "id": uuid.uuid4(),
                "run_id": RUN_ID,
                "map_index": number,
                "operator": service.sensor.__name__,
                "state": ("failed" if state == "failed" else "success") if has_ended else "deferred",
                "start_date": now - timedelta(hours=2),
                "end_date": now - timedelta(seconds=number) if has_ended else None,
                "trigger_id": None,
            }
            connection.execute(insert(tasks).values(new_task))
            new_xcom = {
                "dag_run_id": run_key,
                "task_id": "mapped",
                "map_index": number,
                "key": "migration_progress",
                "dag_id": "watched",
                "run_id": RUN_ID,
                "value": record(number, service.name, state),
                "timestamp": now - timedelta(seconds=number),
            }
            connection.execute(insert(xcoms).values(new_xcom))
    sys.stdout.write(json.dumps({"run": RUN_ID, "count": count}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
