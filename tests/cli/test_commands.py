"""The shell commands, against the simulator."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from airflow.providers_manager import ProvidersManager
from rich.console import Console

from airflow_provider_migration.__main__ import main
from airflow_provider_migration.cli.commands import VERDICTS, ExitCode
from airflow_provider_migration.cli.view import list_view, progress_view
from airflow_provider_migration.hooks.base import MAX_LISTED
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.progress import MigrationProgress, MigrationState, MigrationSummary
from airflow_provider_migration.simulator.scenario import BUILT_IN
from airflow_provider_migration.wait.tracker import Outcome
from tests.catalogue import Service, each_service
from tests.conftest import ROOT
from tests.docs.pages import quoted, tables_of
from tests.simulators import BriefSimulator

TAKES_COMMANDS = hasattr(ProvidersManager, "cli_command_functions")


AIRFLOWS_LOG = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ][^\n]*\n", re.MULTILINE)
"""Lines of Airflow's own log, of which older releases have more."""


class Done(NamedTuple):
    """A command that has ended; ``err`` is without Airflow's log."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def simulator() -> Iterator[BriefSimulator]:
    more = [
        {"service": "dts", "migration_job_id": "dtsgood", "name": "Orders"},
        {"service": "dts", "migration_job_id": "dtsbad", "script": "failure", "duration": 1},
        {"service": "oms", "project_id": "p_late", "script": "flap", "duration": 100},
    ]
    with BriefSimulator({"migrations": [*BUILT_IN["migrations"], *more]}, speed=20) as simulator:
        yield simulator


@pytest.fixture
def connected(simulator: BriefSimulator, monkeypatch: pytest.MonkeyPatch) -> BriefSimulator:
    """Connect Airflow to the simulator."""
    for conn_id, connection in simulator.connections().items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    return simulator


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")  # to be restored

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, AIRFLOWS_LOG.sub("", err))

    return run


def arguments_of(service: Service) -> list[str]:
    """Return the arguments that name the migration of a service."""
    project = ["--project-id", str(service.ids["project_id"])] if len(service.ids) == 2 else []
    return [service.name, service.migration_id, *project]


# --- status ---------------------------------------------------------------------------------------------


@each_service
def test_status_waits_and_then_reaches(service: Service, connected: BriefSimulator, run: Run) -> None:
    first = run("status", *arguments_of(service), "-o", "json")
    assert (first.code, first.err) == (ExitCode.WAITING, "")
    connected.jump(service.name, service.migration_id, 3600)
    last = run("status", *arguments_of(service), "-o", "json")
    assert (last.code, last.err) == (ExitCode.OK, "")
    record = json.loads(last.out)
    assert record["migration_id"] == service.migration_id
    assert record["state"] in ("caught_up", "succeeded")


@each_service
def test_status_json_and_yaml_are_the_record_of_xcom(
    service: Service, connected: BriefSimulator, run: Run
) -> None:
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        record = read(run("status", *arguments_of(service), "-o", output).out)
        assert record == MigrationProgress.model_validate(record).model_dump(mode="json")


@each_service
def test_status_table_shows_id_and_state(service: Service, connected: BriefSimulator, run: Run) -> None:
    connected.jump(service.name, service.migration_id, 3600)
    out = run("status", *arguments_of(service)).out
    assert out.startswith(f"{service} {service.migration_id}")
    assert re.search(r"^state: (caught_up|succeeded)", out, re.MULTILINE)


def test_status_of_a_failed_migration(connected: BriefSimulator, run: Run) -> None:
    run("status", "dts", "dtsbad")
    connected.jump("dts", "dtsbad", 3600)
    done = run("status", "dts", "dtsbad", "-o", "json")
    assert done.code == ExitCode.FAILED
    assert json.loads(done.out)["state"] == "failed"
    assert done.err.startswith("error: The migration failed: dts dtsbad: failed")
    assert done.err.count("\n") == 1
    assert run("status", "dts", "dtsbad", "--target", "failed").code == ExitCode.OK


def test_status_target_decides(connected: BriefSimulator, run: Run) -> None:
    run("status", "dts", "dtsgood")
    connected.jump("dts", "dtsgood", 3600)
    assert run("status", "dts", "dtsgood", "--target", "succeeded").code == ExitCode.WAITING
    two = ("--target", "succeeded", "--target", "full_done")
    assert run("status", "dts", "dtsgood", *two).code == ExitCode.OK


def test_status_max_lag_decides(connected: BriefSimulator, run: Run) -> None:
    for second in range(80, 130):
        connected.jump("oms", "p_late", second)
        record = json.loads(run("status", "oms", "p_late", "-o", "json").out)
        if (record["lag_seconds"] or 0) > 100:
            break
    assert run("status", "oms", "p_late").code == ExitCode.WAITING
    assert run("status", "oms", "p_late", "--max-lag", "1000").code == ExitCode.OK


def test_status_by_name(connected: BriefSimulator, run: Run) -> None:
    done = run("status", "dts", "--name", "Orders", "-o", "json")
    assert json.loads(done.out)["migration_id"] == "dtsgood"
    nobodys = run("status", "dts", "--name", "Order", "-o", "json")
    assert (nobodys.code, nobodys.out) == (ExitCode.USAGE, "")
    assert "No migration has the name 'Order'" in nobodys.err


USAGE = {
    "unknown service": (["status", "nix", "x"], "invalid choice: 'nix'"),
    "no service": (["status"], "SERVICE"),
    "no command": ([], "COMMAND"),
    "no id": (["status", "dts"], "Give either the ID of a migration or its --name."),
    "no id to watch": (["watch", "dts"], "Give either the ID of a migration or its --name."),
    "id and name": (
        ["status", "dts", "x", "--name", "y"],
        "Give either the ID of a migration or its --name.",
    ),
    "no project": (["status", "dataworks", "1234"], "dataworks needs --project-id."),
    "no project to list": (["list", "dataworks"], "dataworks needs --project-id."),
    "project": (["status", "oms", "x", "--project-id", "1"], "oms does not take --project-id."),
    "bad project": (["status", "dataworks", "12", "--project-id", "x"], "must be a number"),
    "unknown target": (["status", "dts", "x", "--target", "cought_up"], "did you mean 'caught_up'?"),
    "empty id": (["status", "dts", ""], "migration_job_id is empty"),
    "negative lag": (["status", "dts", "x", "--max-lag=-1"], "'-1' must be a number of seconds"),
    "no lag": (["status", "dts", "x", "--max-lag", "nan"], "'nan' must be a number of seconds"),
    "short interval": (["watch", "dts", "x", "--interval", "0.5"], "must be 1 second or more"),
    "long interval": (["watch", "dts", "x", "--interval", "1e300"], "'1e300' must be a number of seconds"),
    "tag without value": (["list", "dts", "--tag", "wave"], "'wave' must be KEY=VALUE"),
    "limit": (["list", "dts", "--limit", "0"], "limit must be a whole number"),
    "unknown output": (["status", "dts", "x", "-o", "xml"], "invalid choice: 'xml'"),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_wrong_usage_is_refused_before_a_request(
    arguments: list[str], message: str, connected: BriefSimulator, run: Run
) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert message in done.err
    assert connected.requests == []


WAITS = ("watch", "unreachable")
ANSWERS: dict[str, tuple[dict[str, Any], ExitCode, str]] = {
    "unreachable": ({"host": "http://127.0.0.1", "port": 9}, ExitCode.FAILED, "Connection refused"),
    "wrong secret": ({"password": "not-the-secret-key"}, ExitCode.FAILED, "SignatureDoesNotMatch"),
    "no region": ({"host": "", "extra": {}}, ExitCode.USAGE, "neither region nor host is given"),
}


@pytest.mark.parametrize(
    ("command", "case"),
    # A service that is out of reach is waited for by watch.
    [(command, case) for command in ("status", "watch") for case in ANSWERS if (command, case) != WAITS],
)
def test_error_is_one_line_without_a_secret(
    command: str,
    case: str,
    simulator: BriefSimulator,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields, code, message = ANSWERS[case]
    connection = {**simulator.connections()["dts_default"], **fields}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(connection))
    done = run(command, "dts", "dtsgood", "--conn-id", "other")
    assert done.code == code
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert connection["password"] not in done.out + done.err
    assert "Traceback" not in done.err


def test_unknown_id_is_an_error(connected: BriefSimulator, run: Run) -> None:
    done = run("status", "dts", "dtsnope", "-o", "json")
    assert (done.code, done.out) == (ExitCode.FAILED, "")
    assert done.err.startswith("error: DescribeMigrationJobStatus at 127.0.0.1")
    assert done.err.count("\n") == 1


def test_connection_that_is_missing_is_a_wrong_argument(run: Run) -> None:
    done = run("status", "dts", "dts1", "--conn-id", "nope")
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert "There is no connection 'nope'" in done.err


# --- list -----------------------------------------------------------------------------------------------

ROW = MigrationSummary(
    service="dts",
    migration_id="dts1",
    name="Orders [red]to[/red] OceanBase",
    kind="sync",
    state=MigrationState.CAUGHT_UP,
    service_status="Synchronizing",
    lag_seconds=0.5,
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Answer lists, and record the arguments."""
    asked: list[Any] = []

    def answer(hook: Any, *args: Any, **ids: Any) -> list[MigrationSummary]:
        asked.append((*args, ids))
        return [ROW]

    for kind in (DtsHook, DataWorksHook):
        monkeypatch.setattr(kind, "list_migrations", answer)
    return asked


def test_list_passes_its_options_on(asked: list[Any], run: Run) -> None:
    run("list", "dts")
    options = ["--name", "ord", "--status", "running", "--status", "Synchronizing", "--limit", "7"]
    run("list", "dts", *options, "--tag", "wave=3", "--tag", "a=b=c", "--group", "g")
    run("list", "dataworks", "--project-id", "12")
    assert asked == [
        (None, None, {}, {"group": None}),
        ("ord", ["running", "Synchronizing"], {"wave": "3", "a": "b=c"}, {"group": "g", "limit": 7}),
        (None, None, {}, {"group": None, "project_id": "12"}),
    ]


def test_list_json_and_yaml_are_the_rows(asked: list[Any], run: Run) -> None:
    rows = [ROW.model_dump(mode="json")]
    assert json.loads(run("list", "dts", "-o", "json").out) == rows
    assert yaml.safe_load(run("list", "dts", "-o", "yaml").out) == rows


def test_list_table_shows_names_as_they_are(asked: list[Any], run: Run) -> None:
    out = run("list", "dts").out
    assert "Orders [red]to[/red] OceanBase" in out
    assert re.search(r"^id +\| name +\| kind", out, re.MULTILINE)


def test_list_of_a_service(connected: BriefSimulator, run: Run) -> None:
    rows = json.loads(run("list", "dts", "--name", "ord", "-o", "json").out)
    assert [row["migration_id"] for row in rows] == ["dtsgood"]
    done = run("list", "dts", "--limit", "1", "-o", "json")
    assert len(json.loads(done.out)) == 1
    assert done.err == "warning: There are more than 1 migrations: raise limit, or select fewer.\n"


def test_list_says_that_it_is_empty() -> None:
    console = Console(width=80, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115 # closed with the process
    console.print(list_view([]))
    assert console.export_text() == "No migrations found.\n"
    console.file.close()


def test_list_limit_is_that_of_the_hook(run: Run) -> None:
    assert f"(default: {MAX_LISTED})" in run("list", "--help").out


# --- check ----------------------------------------------------------------------------------------------


@each_service
def test_check_tells_what_it_reached(service: Service, connected: BriefSimulator, run: Run) -> None:
    done = run("check", service.name, "-o", "json")
    answer = json.loads(done.out)
    assert (done.code, answer["works"]) == (ExitCode.OK, True)
    assert service.identity in answer["message"]
    assert answer["conn_id"] == f"{service}_default"


def test_check_of_a_missing_connection(run: Run) -> None:
    done = run("check", "dts", "--conn-id", "nope")
    assert done.code == ExitCode.FAILED
    assert "There is no connection 'nope'" in done.out
    assert len(done.out.splitlines()) == 1


# --- watch ----------------------------------------------------------------------------------------------


def test_every_outcome_has_an_exit_code() -> None:
    assert set(VERDICTS) == set(Outcome)


def test_watch_prints_a_line_for_each_change(connected: BriefSimulator, run: Run) -> None:
    done = run("watch", "dts", "dtsgood", "--interval", "1")
    assert (done.code, done.err) == (ExitCode.OK, "")
    *changes, last = done.out.splitlines()
    assert last.startswith("Reached: dts dtsgood: caught_up")
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:]{8}Z dts dtsgood: ", line) for line in changes)
    texts = [line.partition(" ")[2] for line in changes]
    assert texts == list(dict.fromkeys(texts))


def test_watch_of_a_failing_migration(connected: BriefSimulator, run: Run) -> None:
    done = run("watch", "dts", "dtsbad", "--interval", "1")
    assert done.code == ExitCode.FAILED
    assert done.err.startswith("error: The migration failed: dts dtsbad")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow_provider_migration", *arguments]


def test_watch_ends_at_ctrl_c_with_what_was_seen(connected: BriefSimulator) -> None:
    watching = subprocess.Popen(
        command("watch", "dts", "dtsgood", "--target", "succeeded", "--interval", "60"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background ignores Ctrl-C, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert watching.stdout is not None
    assert "dts dtsgood: " in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == ExitCode.INTERRUPTED
    assert out.startswith("Stopped watching. Last seen: dts dtsgood: ")
    assert "Traceback" not in err


def test_watch_in_a_terminal_shows_bars(connected: BriefSimulator) -> None:
    ours, its = pty.openpty()
    watching = subprocess.Popen(
        command("watch", "dts", "dtsgood", "--interval", "1"),
        stdout=its,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(its)
    screen, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            screen += os.read(ours, 65536)
        except OSError:  # Linux tells so that the other end is closed
            break
    os.close(ours)
    _, err = watching.communicate(timeout=60)
    text = screen.decode()
    assert watching.returncode == ExitCode.OK, err
    assert "━" in text
    assert "next poll in" in text
    assert "Reached: dts dtsgood: caught_up" in text.replace("\r\n", "")


def test_view_fits_a_narrow_terminal() -> None:
    record = MigrationProgress(
        service="dts",
        migration_id="dts1",
        name="Orders [red]to[/red] OceanBase " * 5,
        state=MigrationState.RUNNING,
        phases=(
            {"name": "full", "state": "running", "percent": 42},
            {"name": "incremental", "state": "pending"},
        ),
        remaining_seconds=3905.4,
        remaining_source="estimate",
        error={"code": "X", "message": "a long message " * 20, "remedy": "a remedy"},
        observed_at=datetime.now(UTC),
    )
    with Path(os.devnull).open("w") as nowhere:
        console = Console(width=60, record=True, file=nowhere)
        console.print(progress_view(record))
        text = console.export_text()
    assert max(map(len, text.splitlines())) <= 60
    assert "Orders [red]to[/red] OceanBase" in text
    assert "1:05:05 (estimated)" in text
    assert "42 %" in text


# --- the page -------------------------------------------------------------------------------------------


def test_page_has_the_exit_codes() -> None:
    ((_, rows),) = tables_of(ROOT / "docs" / "shell.md", "exit codes")
    assert [int(quoted(row[0])[0]) for row in rows] == sorted(ExitCode)


# --- the command line -----------------------------------------------------------------------------------


def test_definition_imports_nothing_that_runs_a_command() -> None:
    """Each ``airflow`` command imports it."""
    program = """
import sys
import airflow.cli.cli_config
before = set(sys.modules)
from airflow_provider_migration.cli.definition import get_migrations_cli_commands
get_migrations_cli_commands()
print(*sorted(set(sys.modules) - before), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    package = "airflow_provider_migration"
    imported = set(done.stdout.split())
    assert f"{package}.cli.definition" in imported
    # Airflow itself may have imported some of them by then.
    assert imported <= {
        package,
        f"{package}.cli",
        f"{package}.cli.definition",
        f"{package}.get_provider_info",
    }


@pytest.mark.skipif(not TAKES_COMMANDS, reason="this Airflow takes no commands from providers")
def test_airflow_has_the_commands(connected: BriefSimulator) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "migrations", "status", "dts", "dtsgood", "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == ExitCode.WAITING, done.stderr
    assert json.loads(done.stdout)["migration_id"] == "dtsgood"


def test_connection_in_the_database_is_found(simulator: BriefSimulator, airflow_database: None) -> None:
    fields = {
        key: str(value) for key, value in simulator.connections()["dts_default"].items() if key != "extra"
    }
    names = {"conn_type": "type"}
    options = [f"--conn-{names.get(key, key)}={value}" for key, value in fields.items()]
    add = [sys.executable, "-m", "airflow", "connections", "add", "in_database"]
    extra = '--conn-extra={"region": "cn-hangzhou"}'
    subprocess.run([*add, *options, extra], check=True, capture_output=True, timeout=120)
    done = subprocess.run(
        command("status", "dts", "dtsgood", "--conn-id", "in_database", "-o", "json"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == ExitCode.WAITING, done.stderr
    assert json.loads(done.stdout)["migration_id"] == "dtsgood"


def test_pipe_that_is_closed_early_is_no_traceback(asked: list[Any], connected: BriefSimulator) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        command("check", "dts"), stdout=write_end, stderr=subprocess.PIPE, text=True, check=False, timeout=120
    )
    os.close(write_end)
    assert done.returncode == ExitCode.FAILED
    assert "Error" not in done.stderr
