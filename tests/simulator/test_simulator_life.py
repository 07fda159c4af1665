"""The simulator starts fast, ends clean, and is run from a shell or from Python."""

from __future__ import annotations

import gc
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_migration.simulator import Simulator, connections
from airflow_provider_migration.simulator.__main__ import main
from tests.catalogue import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

COMMAND = [sys.executable, "-m", "airflow_provider_migration.simulator"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)


def test_context_manager_leaves_no_thread_and_no_socket() -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == f"simulator-{port}"]

    with Simulator() as simulator:
        port = simulator.port
        lingering = socket.create_connection(("127.0.0.1", port), timeout=5)
        assert len(threads()) == 1
    lingering.close()
    assert threads() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    gc.collect()


def test_restart_on_the_same_port() -> None:
    with Simulator() as first:
        port = first.port
    with Simulator(port=port) as second:
        assert second.url == f"http://127.0.0.1:{port}"
        second.stop()


def test_playback_continues_while_stopped(ask: Any, clock: Any) -> None:
    assert ask.dts().json["MigrationJobStatus"] == "NotStarted"
    url = ask.simulator.url
    ask.simulator.stop()
    with pytest.raises(ConnectionRefusedError):
        ask.dts()
    clock.now += 20
    ask.simulator.start()
    assert ask.simulator.url == url
    assert ask.dts().json["MigrationJobStatus"] == "Migrating"
    assert len(ask.simulator.requests) == 2


def test_second_start_is_refused() -> None:
    with Simulator() as simulator, pytest.raises(RuntimeError, match="running already"):
        simulator.start()


def test_ipv6_is_supported() -> None:
    simulator = Simulator(host="::1")
    try:
        simulator.start()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert simulator.url == f"http://[::1]:{simulator.port}"
    simulator.stop()


def test_port_in_use_is_an_error() -> None:
    with Simulator() as first, pytest.raises(OSError, match="in use"):
        Simulator(port=first.port).start()


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_speed_must_be_positive(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be a positive number"):
        Simulator(speed=speed)


def test_connections_lead_to_the_simulator() -> None:
    with Simulator() as simulator:
        assert simulator.connections() == connections(simulator.url)
        assert simulator.connections().keys() == {service.hook.default_conn_name for service in SERVICES}
        assert {item["host"] for item in simulator.connections().values()} == {simulator.url}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_starts_and_ends_quietly(number: signal.Signals) -> None:
    begin = time.monotonic()
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert time.monotonic() - begin < 10
        assert line.startswith("Simulator ready on http://127.0.0.1:")
        port = int(line.rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


@pytest.fixture
def signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_command_runs_in_a_foreign_process(capsys: pytest.CaptureFixture[str], signals: None) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def end_it() -> None:
        while signal.getsignal(signal.SIGTERM) == before:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=end_it)
    thread.start()
    assert main(["--port", "0"]) == 0
    thread.join()
    assert capsys.readouterr().out.startswith("Simulator ready on http://127.0.0.1:")


def test_command_env_prints_the_connections(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--port", "8123"]) == 0
    output = capsys.readouterr().out
    found = {}
    for line in output.splitlines():
        keyword, assignment = shlex.split(line)
        assert keyword == "export"
        name, _, value = assignment.partition("=")
        found[name] = json.loads(value)
    assert found == {
        f"AIRFLOW_CONN_{conn_id.upper()}": connection
        for conn_id, connection in connections("http://127.0.0.1:8123").items()
    }
    assert found["AIRFLOW_CONN_DRS_DEFAULT"]["extra"]["region"] == "cn-north-4"
    assert all(value for connection in found.values() for value in connection.values())
    assert run("--port", "8123", "env").stdout == output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speed", "0"], "'0' is not a speed; give a number above 0"),
        (["--speed", "fast"], "'fast' is not a speed"),
        (["--port", "99999"], "'99999' is not a port; give 0"),
        (["--scenario", "missing.yaml"], "cannot read the scenario missing.yaml: No such file or directory"),
        (["--host", "203.0.113.1"], "choose another --host or --port"),
        (["env", "--port", "0"], "env needs the port"),
        (["serve"], "invalid choice: 'serve'"),
    ],
)
def test_command_refuses_a_wrong_argument(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str], signals: None
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_command_names_a_port_in_use(capsys: pytest.CaptureFixture[str], signals: None) -> None:
    with Simulator() as simulator, pytest.raises(SystemExit):
        main(["--port", str(simulator.port)])
    assert f"port {simulator.port} is in use; stop what listens there" in capsys.readouterr().err


def test_command_names_a_wrong_scenario_key(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("faults:\n  - {kind: drop, rate: 7}\n")
    result = run("--scenario", str(path))
    assert result.returncode == 2
    assert "faults[0].rate: Input should be less than or equal to 1" in result.stderr


def test_imports_are_lazy() -> None:
    check = (
        "import sys; from airflow_provider_migration.simulator import connections, Simulator;"
        "heavy = {'airflow', 'requests', 'aiohttp', 'httpx'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", check], timeout=30, check=False).returncode == 0


def test_import_is_cheap() -> None:
    check = (
        "import sys, airflow_provider_migration.simulator;"
        "heavy = {'uvicorn', 'starlette', 'pydantic', 'yaml'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", check], timeout=30, check=False).returncode == 0


def test_unknown_name_is_an_attribute_error() -> None:
    import airflow_provider_migration.simulator as package

    with pytest.raises(AttributeError, match="has no attribute 'Simulater'"):
        package.Simulater  # noqa: B018 - looking it up is the test
