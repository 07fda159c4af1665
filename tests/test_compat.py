"""What must hold on every release of Airflow, each of which goes its own way there."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.conftest import ROOT
from tests.statsd import StatsdServer

POLL = """
from airflow_provider_migration.exceptions import MigrationServiceError
from airflow_provider_migration.metrics import report_poll

hook = "airflow_provider_migration.hooks.dts:DtsHook"
report_poll(hook, {"migration_job_id": "dts1"}, MigrationServiceError("out of reach"))
"""


def test_a_poll_is_counted_in_airflows_statistics() -> None:
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
