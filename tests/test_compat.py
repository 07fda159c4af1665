"""Behaviour that must be the same on every release of Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from airflow.providers.common.compat.sdk import BaseSensorOperator

from tests.conftest import ROOT
from tests.statsd import StatsdServer

POLL = """
from airflow_provider_migration.exceptions import MigrationServiceError
from airflow_provider_migration.metrics import report_poll

hook = "airflow_provider_migration.hooks.dts:DtsHook"
report_poll(hook, {"migration_job_id": "dts1"}, MigrationServiceError("out of reach"))
"""


def test_poll_is_counted_in_airflow_statistics() -> None:
    with StatsdServer() as server:
        subprocess.run(
            [sys.executable, "-c", POLL],
            cwd=ROOT,
            env={**os.environ, **server.settings},
            check=True,
            timeout=120,
        )
        give_up = time.monotonic() + 5
        while len(server.lines("migration.")) < 2 and time.monotonic() < give_up:
            time.sleep(0.01)
        counted = {line.partition(":")[0] for line in server.lines("migration.")}
    assert counted == {
        "airflow.migration.polls,service=dts,migration=dts1",
        "airflow.migration.poll_errors,service=dts,migration=dts1",
    }


def test_private_method_of_the_pace_exists_in_airflow() -> None:
    """A release that renames ``_get_next_poke_interval`` would undo the pace of our sensors."""
    asked: list[bool] = []

    class TwoPolls(BaseSensorOperator):
        def poke(self, context: Any) -> bool:
            return bool(asked)

        def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
            asked.append(True)
            return 0.0

    TwoPolls(task_id="wait", poke_interval=3600).execute({})
    assert asked == [True]
