"""What of a local Airflow is there again the next time."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from scripts.local_airflow import UI_SCENARIO, LocalAirflow, free_port, sensor_arguments
from tests.conftest import ROOT


class Prepared(LocalAirflow):
    """One whose commands only say what they were, and fail as often as a test wants."""

    def __init__(self, home: Path, *, keep: bool = True, failures: int = 0) -> None:
        self.commands: list[str] = []
        self.failures = failures
        super().__init__(home, home.parent, keep=keep)

    def _run(self, *arguments: str) -> None:
        self.commands.append(" ".join(arguments[:2]))
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the database is malformed")


CONNECTIONS: dict[str, dict[str, Any]] = {"dts_default": {"conn_type": "alibaba_dts"}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give the folder of one that was prepared, and has something in it."""
    home = tmp_path / "ui"
    Prepared(home).prepare(CONNECTIONS)
    (home / "airflow.db").write_text("runs")
    return home


def test_what_is_in_it_is_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = Prepared(home)
    again.prepare(CONNECTIONS)

    assert (home / "airflow.db").read_text() == "runs"
    assert again.commands == ["db migrate", "connections import"]
    assert capsys.readouterr().out == ""


def test_unless_it_is_not_asked_to(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Prepared(home, keep=False)

    assert list(home.iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("maker", ["Airflow 3.0.0 in /elsewhere", "", None])
def test_one_of_another_version_or_half_made_is_set_up_anew_and_that_is_said(
    home: Path, maker: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "made-by").unlink()
    if maker is not None:
        (home / "made-by").write_text(maker)
    Prepared(home)

    assert not (home / "airflow.db").exists()
    assert "it is set up anew" in capsys.readouterr().out


def test_one_that_was_moved_is_set_up_anew(home: Path) -> None:
    moved = home.rename(home.with_name("moved"))
    Prepared(moved)

    assert list(moved.iterdir()) == []


def test_one_that_is_broken_is_set_up_anew_and_that_is_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = Prepared(home, failures=1)
    again.prepare(CONNECTIONS)

    assert not (home / "airflow.db").exists()
    assert again.commands == ["db migrate", "db migrate", "connections import"]
    assert "cannot be used any more" in capsys.readouterr().out
    assert (home / "made-by").is_file()


@pytest.mark.parametrize(("keep", "failures"), [(True, 2), (False, 1)])
def test_what_cannot_be_set_up_is_an_error_and_is_not_kept(home: Path, keep: bool, failures: int) -> None:
    with pytest.raises(RuntimeError, match="malformed"):
        Prepared(home, keep=keep, failures=failures).prepare(CONNECTIONS)

    assert not (home / "made-by").exists()


def test_a_scenario_is_told_as_what_the_sensors_are_given() -> None:
    assert sensor_arguments(UI_SCENARIO) == [
        "dataworks  project_id=123456, migration_id=1234",
        "dts        migration_job_id='dtsdemo0001'",
        "oms        project_id='p_demo0001'",
        "drs        job_id='163b98e8-6088-46c3-8b86-c18fea6jb502'",
        "dts        migration_job_id='dtsdemo0002'",
        "oms        project_id='p_demo0002'",
    ]


def test_a_second_one_of_the_same_clone_is_refused() -> None:
    lock = ROOT / ".demo" / "ui.lock"
    lock.parent.mkdir(exist_ok=True)
    command = [sys.executable, ROOT / "scripts" / "local_airflow.py", "ui", "--port", str(free_port())]
    with lock.open("w") as held:
        with suppress(BlockingIOError):  # there is one already
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (second.returncode, second.stdout) == (2, "")
    assert "is running here already" in second.stderr
