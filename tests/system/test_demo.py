"""The command that a newcomer types first, on a real Airflow with its scheduler, triggerer and API server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import psutil
import pytest

from tests.catalogue import SERVICES, Service, each_service
from tests.conftest import ROOT

COMMAND = [sys.executable, ROOT / "scripts" / "local_airflow.py", "demo"]


@pytest.fixture(scope="module")
def demo() -> subprocess.CompletedProcess[str]:
    """Run it once."""
    return subprocess.run(COMMAND, capture_output=True, text=True, timeout=900, check=False)


def test_demo_ends_well(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr


def test_demo_prints_a_line_per_service(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.stdout.splitlines()[-len(SERVICES) :] == [
        f"{service}  {service.migration_id}  {service.target}  100" for service in SERVICES
    ]


@each_service
@pytest.mark.parametrize(("mode", "state"), [("poke", "running"), ("deferrable", "deferred")])
def test_demo_progress_moves_in_xcom(
    demo: subprocess.CompletedProcess[str], service: Service, mode: str, state: str
) -> None:
    seen = re.findall(rf" s  {mode}\.{service} +{state} +running +([\d.]+) %", demo.stdout)
    percents = [float(percent) for percent in seen]
    assert len(set(percents)) > 1
    assert percents == sorted(percents)


def test_interrupt_leaves_no_process() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "poke.dts" in line:
                break
        else:
            pytest.fail(f"It has ended by itself: {''.join(said)}")
        process.send_signal(signal.SIGINT)
        assert any(line.startswith("Stopping Airflow") for line in process.stdout)
        process.send_signal(signal.SIGINT)  # as one does who thinks that nothing happens
        assert "Stopped." in process.stdout.read()
    assert process.returncode == 130
    home = str(ROOT / ".demo" / "demo")
    left = [process for process in psutil.process_iter(["environ"]) if home in str(process.info["environ"])]
    assert left == []
