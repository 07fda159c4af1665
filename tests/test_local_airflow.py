"""Data of a local Airflow that survives a restart."""

from __future__ import annotations

import errno
import fcntl
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from scripts import local_airflow
from scripts.local_airflow import UI_SCENARIO, LocalAirflow, free_port, sensor_arguments
from tests.conftest import ROOT
from tests.servers import Reply, Server, http


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


def test_home_is_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = Prepared(home)
    again.prepare(CONNECTIONS)

    assert (home / "airflow.db").read_text() == "runs"
    assert again.commands == ["db migrate", "connections import"]
    assert capsys.readouterr().out == ""


def test_home_is_cleared_unless_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Prepared(home, keep=False)

    assert list(home.iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("maker", ["Airflow 3.0.0 in /elsewhere", "", None])
def test_home_of_another_version_is_set_up_again(
    home: Path, maker: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "made-by").unlink()
    if maker is not None:
        (home / "made-by").write_text(maker)
    Prepared(home)

    assert not (home / "airflow.db").exists()
    assert "setting it up again" in capsys.readouterr().out


def test_home_that_was_moved_is_set_up_again(home: Path) -> None:
    moved = home.rename(home.with_name("moved"))
    Prepared(moved)

    assert list(moved.iterdir()) == []


def test_home_that_is_broken_is_set_up_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = Prepared(home, failures=1)
    again.prepare(CONNECTIONS)

    assert not (home / "airflow.db").exists()
    assert again.commands == ["db migrate", "db migrate", "connections import"]
    assert "is no longer usable" in capsys.readouterr().out
    assert (home / "made-by").is_file()


@pytest.mark.parametrize(("keep", "failures"), [(True, 2), (False, 1)])
def test_home_that_cannot_be_set_up_is_an_error(home: Path, keep: bool, failures: int) -> None:
    with pytest.raises(RuntimeError, match="malformed"):
        Prepared(home, keep=keep, failures=failures).prepare(CONNECTIONS)

    assert not (home / "made-by").exists()


def test_scenario_is_shown_as_sensor_arguments() -> None:
    assert sensor_arguments(UI_SCENARIO) == [
        "dataworks  project_id=123456, migration_id=1234",
        "dts        migration_job_id='dtsdemo0001'",
        "dts        migration_job_id='dtssync0001'",
        "oms        project_id='p_demo0001'",
        "drs        job_id='163b98e8-6088-46c3-8b86-c18fea6jb502'",
        "dts        migration_job_id='dtsdemo0002'",
        "oms        project_id='p_demo0002'",
    ]


def test_second_instance_of_a_clone_is_refused() -> None:
    lock = ROOT / ".demo" / "ui.lock"
    lock.parent.mkdir(exist_ok=True)
    command = [sys.executable, ROOT / "scripts" / "local_airflow.py", "ui", "--port", str(free_port())]
    with lock.open("w") as held:
        with suppress(BlockingIOError):  # there is one already
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (second.returncode, second.stdout) == (2, "")
    assert "is already running here" in second.stderr


# --- bad days -------------------------------------------------------------------------------------------


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "local_airflow.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("command", ["ui", "demo"])
@pytest.mark.parametrize("port", ["99999", "65536", "0", "eighty", "80.5", "8080 8081", "²"])
def test_wrong_port_is_named(command: str, port: str) -> None:
    done = run_script(command, "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith(
        f"error: argument --port: {port!r} is not a port: use a number from 1 to 65535"
    )
    assert len(done.stderr) < 300


def test_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_script("ui", "--port", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"Port \d+ is in use\. .*PORT=8090\n", done.stderr)


def test_privileged_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    said = "Port 80 cannot be used (Permission denied). Choose another: make ui PORT=8090"
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.ECONNREFUSED)
    assert local_airflow._port_problem(80) == said


@pytest.mark.parametrize("fault", [500, 502, 503, 504, None])
def test_failed_request_is_retried(fault: int | None) -> None:
    bad = Reply(then="close") if fault is None else http(fault)
    with Server([bad, http(body=b'{"dag_run_id": "run"}')]) as server:
        api = local_airflow.Api(server.url)
        api.retry_errors()
        assert api.post("/dags/dag/dagRuns", {}) == {"dag_run_id": "run"}


def test_not_found_is_not_retried() -> None:
    with Server([http(404), http(body=b"{}")]) as server:
        api = local_airflow.Api(server.url)
        api.retry_errors()
        with pytest.raises(requests.HTTPError):
            api.get("/dags/dag")
