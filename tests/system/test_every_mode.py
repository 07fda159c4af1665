"""The same migrations, watched in poke, reschedule and deferrable mode, come to the same end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_migration.simulator import Simulator
from tests.system.dags import every_mode
from tests.system.dags.every_mode import CASES, MAKES_EVENTS, MODES, scenario

EXPECTED = {
    "good": ("success", "caught_up"),
    "failing": ("failed", "failed"),
    "paused": ("failed", "paused"),
    "flaky": ("success", "caught_up"),
    "never_ending": ("failed", "running"),
    "soft_fail": ("skipped", "failed"),
    "package": ("success", "succeeded"),
}

SECRETS = ("simulator-secret-key", "simulator-password", "Signature=", "OSSAccessKeyId", "DownloadUrl")


@pytest.fixture(scope="module")
def run(airflow_database: None) -> tuple[dict[str, Any], str, int]:
    """Run every case in every mode once; give what each task came to, the logs, and the writes attempted."""
    program = Path(every_mode.__file__)
    with Simulator(scenario()) as simulator:
        environment = {
            **os.environ,
            "AIRFLOW__CORE__DAGS_FOLDER": str(program.parent),
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection)
                for conn_id, connection in simulator.connections().items()
            },
        }
        done = subprocess.run(
            [sys.executable, program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        writes = simulator.writes
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr, writes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_task_state_is_the_same_in_every_mode(
    run: tuple[dict[str, Any], str, int], case: str, mode: str
) -> None:
    task = run[0][f"{case}.{mode}"]
    state, migration_state = EXPECTED[case]
    assert task["state"] == state
    assert task["xcom"]["migration_progress"]["state"] == migration_state


@pytest.mark.parametrize("case", CASES)
def test_record_is_the_same_in_every_mode(run: tuple[dict[str, Any], str, int], case: str) -> None:
    def what_stays(record: dict[str, Any]) -> dict[str, Any]:
        times = (
            "migration_id",
            "name",
            "console_url",
            "observed_at",
            "request_id",
            "checkpoint",
            "lag_seconds",
            "objects",
        )
        return {key: value for key, value in record.items() if key not in times}

    records = [what_stays(run[0][f"{case}.{mode}"]["xcom"]["migration_progress"]) for mode in MODES]
    assert all(record == records[0] for record in records)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", [case for case, (state, _) in EXPECTED.items() if state == "success"])
def test_success_returns_the_last_record(run: tuple[dict[str, Any], str, int], case: str, mode: str) -> None:
    xcom = run[0][f"{case}.{mode}"]["xcom"]
    assert xcom["return_value"] == xcom["migration_progress"]


@pytest.mark.skipif(not MAKES_EVENTS, reason="a dag.test() before Airflow 3.1 makes no events")
@pytest.mark.parametrize("mode", MODES)
def test_asset_event_carries_the_final_figures(run: tuple[dict[str, Any], str, int], mode: str) -> None:
    task = run[0][f"good.{mode}"]
    (figures,) = task["events"]
    assert (figures["service"], figures["state"], figures["percent"]) == ("dts", "caught_up", 100)
    assert figures.items() <= task["xcom"]["return_value"].items()


@pytest.mark.parametrize("mode", MODES)
def test_asset_event_is_not_sent_on_failure(run: tuple[dict[str, Any], str, int], mode: str) -> None:
    assert run[0][f"failing.{mode}"]["events"] == []


@pytest.mark.parametrize("mode", MODES)
def test_failed_migration_is_not_retried(run: tuple[dict[str, Any], str, int], mode: str) -> None:
    assert run[0][f"failing.{mode}"]["tries"] == 1


def test_log_names_failed_precheck_items_and_remedies(
    run: tuple[dict[str, Any], str, int],
) -> None:
    error = run[0]["failing.poke"]["xcom"]["migration_progress"]["error"]
    assert "repair:" in error["message"]
    assert error["message"] in run[1]


@pytest.mark.parametrize("mode", MODES)
def test_console_link_of_each_task(run: tuple[dict[str, Any], str, int], mode: str) -> None:
    assert run[0][f"good.{mode}"]["xcom"]["migration_console_url"].startswith(
        "https://dts.console.aliyun.com/"
    )


def test_simulator_saw_no_writes(run: tuple[dict[str, Any], str, int]) -> None:
    assert run[2] == 0


@pytest.mark.parametrize("secret", SECRETS)
def test_redact_secrets_from_logs_and_xcom(run: tuple[dict[str, Any], str, int], secret: str) -> None:
    # In a dag.test() Airflow 3.0 logs what it asks to be masked.
    lines = [line for line in run[1].splitlines() if "MaskSecret(" not in line]
    assert secret not in "\n".join(lines)
    assert secret not in json.dumps(run[0])
