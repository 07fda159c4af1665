"""The command that a newcomer types first, on a real Airflow with its scheduler, triggerer and API server."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def demo() -> subprocess.CompletedProcess[str]:
    """Run it once."""
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "local_airflow.py", "demo"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_it_ends_well(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr


def test_it_closes_with_a_line_for_each_service(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.stdout.splitlines()[-4:] == [
        "dataworks  1234  succeeded  100",
        "dts  dtsdemo0001  caught_up  100",
        "oms  p_demo0001  caught_up  100",
        "drs  163b98e8-6088-46c3-8b86-c18fea6jb502  caught_up  100",
    ]


@pytest.mark.parametrize("service", ["dataworks", "dts", "oms", "drs"])
@pytest.mark.parametrize(("mode", "state"), [("poke", "running"), ("deferrable", "deferred")])
def test_progress_moves_in_xcom_while_the_task_waits(
    demo: subprocess.CompletedProcess[str], service: str, mode: str, state: str
) -> None:
    seen = re.findall(rf" s  {mode}\.{service} +{state} +running +([\d.]+) %", demo.stdout)
    percents = [float(percent) for percent in seen]
    assert len(set(percents)) > 1
    assert percents == sorted(percents)
