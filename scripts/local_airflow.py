"""
A local Airflow with the example DAGs and the simulator, for ``make demo`` and ``make ui``.

``demo`` runs ``watch_four_services`` and prints each migration's progress from XCom live. ``ui`` runs it more
slowly, with additional troubled migrations, and keeps Airflow running until Ctrl-C; its database is kept for
the next time.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psutil
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from airflow_provider_migration.simulator import connections
from airflow_provider_migration.simulator.scenario import BUILT_IN
from airflow_provider_migration.simulator.scripts import SCRIPTS

ROOT: Final = Path(__file__).resolve().parent.parent
BIN: Final = Path(sys.executable).parent
DAG_ID: Final = "watch_four_services"
TROUBLE_DAG_ID: Final = "watch_with_trouble"
TROUBLE: Final = (
    {
        "service": "dts",
        "migration_job_id": "dtsdemo0002",
        "name": "MySQL with a wrong binlog format",
        "script": "precheck_failure",
        "duration": 20,
    },
    {"service": "oms", "project_id": "p_demo0002", "script": "paused", "duration": 10},
)
UI_SCENARIO: Final = {**BUILT_IN, "migrations": [*BUILT_IN["migrations"], *TROUBLE]}
OWN_DAGS: Final = ROOT / "dags"
"""Folder for the user's own DAG files; never removed."""

MODES: Final = ("poke", "deferrable")
COMPONENTS: Final = ("api-server", "scheduler", "dag-processor", "triggerer")
SPEED: Final = {"demo": 0.5, "ui": 0.15}
"""Speed of the simulated migrations: slow for clicking through, and for slow machines."""

INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)
START_SECONDS: Final = 300
STOP_SECONDS: Final = 60
RUN_SECONDS: Final = 300


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("demo", "ui"))
    parser.add_argument(
        "--port",
        type=_port,
        metavar="PORT",
        help="port of the UI (default: 8080 for ui, a free port for demo)",
    )
    arguments = parser.parse_args()
    for number in INTERRUPTS:  # a shell may have set SIGINT to ignored
        signal.signal(number, _stop_once)
    port = arguments.port or (8080 if arguments.command == "ui" else free_port())
    if problem := _port_problem(port):
        print(problem, file=sys.stderr)
        return 2
    home = ROOT / ".demo" / arguments.command
    is_demo = arguments.command == "demo"
    home.parent.mkdir(exist_ok=True)
    lock = home.with_suffix(".lock").open("w")  # held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"make {arguments.command} is already running here: stop it with Ctrl-C.", file=sys.stderr)
        return 2
    try:
        airflow = LocalAirflow(home, ROOT / "example_dags", port) if is_demo else _ui_airflow(home, port)
        scenario = None if is_demo else _write(UI_SCENARIO, home / "scenario.json")
        with _simulator(home / "simulator.log", SPEED[arguments.command], scenario) as simulator_url:
            print("Starting Airflow: its database, scheduler, triggerer and API server …", flush=True)
            airflow.prepare(connections(simulator_url))
            with airflow.standalone() as api:
                return _demo(api) if is_demo else _ui(api)
    except KeyboardInterrupt:
        print("Stopped.", flush=True)
        return 130 if arguments.command == "demo" else 0
    except (RuntimeError, requests.RequestException) as error:
        print(f"{error} The logs are in {home.relative_to(ROOT)}.", file=sys.stderr)
        return 1


def _stop_once(*_: object) -> None:
    """Start the shutdown and ignore further signals: an interrupted shutdown leaves processes behind."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    # Do not use print, which is not reentrant and may be the interrupted call.
    os.write(sys.stdout.fileno(), "\nStopping Airflow and the simulator, for up to 20 s …\n".encode())
    raise KeyboardInterrupt


def _demo(api: Api) -> int:
    run = api.post(f"/dags/{DAG_ID}/dagRuns", {"logical_date": None})["dag_run_id"]
    print(f"Started {DAG_ID}. Below, each task's state and its record in XCom, as they change:\n", flush=True)
    started, shown, state = time.monotonic(), {}, "queued"
    while state in ("queued", "running"):
        if time.monotonic() - started > RUN_SECONDS:
            raise RuntimeError(f"The run has not ended after {RUN_SECONDS} s.")
        time.sleep(1)
        state = api.get(f"/dags/{DAG_ID}/dagRuns/{run}")["state"]
        for task in sorted(api.tasks(DAG_ID, run), key=lambda task: task["task_id"]):
            record = api.xcom(DAG_ID, run, task["task_id"], "migration_progress")
            if record is None:
                continue
            line = f"{task['task_id']:<21}{task['state'] or '':<10} {_describe(record)}"
            if shown.get(task["task_id"]) != line:
                shown[task["task_id"]] = line
                print(f"{time.monotonic() - started:4.0f} s  {line}", flush=True)
    print(f"\nThe run ended: {state}. The final records:\n", flush=True)
    alike = True
    for service in SCRIPTS:
        finals = [api.xcom(DAG_ID, run, f"{mode}.{service}", "return_value") for mode in MODES]
        if None in finals:
            raise RuntimeError(f"A sensor of {service} left no final record.")
        alike = alike and finals[0]["state"] == finals[1]["state"]
        record = finals[-1]
        print(f"{service}  {record['migration_id']}  {record['state']}  {record['percent']:g}", flush=True)
    return 0 if state == "success" and alike else 1


def _ui(api: Api) -> int:
    for dag in (DAG_ID, TROUBLE_DAG_ID):
        _wait_for_dag(api, dag)
        # The simulator starts from the beginning, so unfinished runs of the last time are useless.
        for run in api.get(f"/dags/{dag}/dagRuns?state=running&state=queued")["dag_runs"]:
            path = f"/dags/{dag}/dagRuns/{quote(run['dag_run_id'])}"
            api.patch(path, {"state": "failed"})  # a running run cannot be deleted
            api.delete(path)
        api.post(f"/dags/{dag}/dagRuns", {"logical_date": None})
    known = "\n  ".join(sensor_arguments(UI_SCENARIO))
    print(
        f"""
Airflow is ready on {api.url} (no login). These have been started:
  {DAG_ID}   four migrations that succeed in about four minutes
  {TROUBLE_DAG_ID}    one migration that fails, and one that is paused
These wait for you:
  start_when_caught_up     is paused; once unpaused, it starts on its own
  cut_over_when_caught_up  once triggered, needs the connections source_database and destination_database
To see it run again      press Ctrl-C and start this command again: the simulator starts from the beginning
Pages
  all migrations        {api.url}/plugin/migrations
  one migration         {api.url}/dags/{DAG_ID}, a task, its Migration tab
DAG files of your own   {OWN_DAGS.relative_to(ROOT)}/ here; a new one appears in half a minute. They can watch
  {known}
Your files, all runs and your connections are kept. Each start resets the four …_default connections to the
simulator; use other ids for your own services. Ctrl-C stops Airflow and the simulator.""",
        flush=True,
    )
    while True:
        time.sleep(3600)


def _ui_airflow(home: Path, port: int) -> LocalAirflow:
    OWN_DAGS.mkdir(exist_ok=True)
    folders = {"examples": ROOT / "example_dags", "demo": ROOT / "scripts" / "demo_dags", "own": OWN_DAGS}
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder), "refresh_interval": 10},
        }
        for name, folder in folders.items()
    ]
    settings = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles)}
    return LocalAirflow(home, folders["examples"], port, settings, keep=True)


def _write(scenario: dict[str, Any], path: Path) -> Path:
    path.write_text(json.dumps(scenario))
    return path


def sensor_arguments(scenario: dict[str, Any]) -> list[str]:
    """Return the migrations of a scenario, each as its service and its sensor's arguments."""
    ids = ("project_id", "migration_id", "migration_job_id", "job_id")
    return [
        f"{migration['service']:<11}"
        + ", ".join(f"{name}={migration[name]!r}" for name in ids if name in migration)
        for migration in scenario["migrations"]
    ]


def _wait_for_dag(api: Api, dag: str) -> None:
    started = time.monotonic()
    while True:
        try:
            api.get(f"/dags/{dag}")
        except requests.HTTPError as error:
            if time.monotonic() - started > START_SECONDS:
                raise RuntimeError(f"Airflow does not find the DAG {dag}.") from error
            time.sleep(1)
        else:
            return


def _describe(record: dict[str, Any]) -> str:
    percent = "" if record["percent"] is None else f"{record['percent']:g} %"
    running = [phase["name"] for phase in record["phases"] if phase["state"] == "running"]
    lag = "" if record["lag_seconds"] is None else f"lag {record['lag_seconds']:.0f} s"
    return f"{record['state']:<10} {percent:>7}  {', '.join(running)} {lag}".rstrip()


class Api:
    """Airflow's public REST API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # it runs on this machine, so no proxy

    def retry_errors(self) -> None:
        """
        Retry requests for half a minute after a 5xx or a connection error.

        An Airflow that has just started sometimes fails its first requests. A failed request may have created
        a run nevertheless: a second run does no harm here.
        """
        retries = Retry(
            total=6,
            backoff_factor=0.5,
            status_forcelist=(500, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )
        self._session.mount("http://", HTTPAdapter(max_retries=retries))

    def log_in(self) -> None:
        """Get a token; everyone is an administrator here."""
        answer = self._session.get(f"{self.url}/auth/token", timeout=30)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str) -> dict[str, Any]:
        """Read something."""
        answer = self._session.get(f"{self.url}/api/v2{path}", timeout=30)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create something."""
        answer = self._session.post(f"{self.url}/api/v2{path}", json=body, timeout=30)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def delete(self, path: str) -> None:
        """Remove something."""
        self._session.delete(f"{self.url}/api/v2{path}", timeout=30).raise_for_status()

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Change something."""
        self._session.patch(f"{self.url}/api/v2{path}", json=body, timeout=30).raise_for_status()

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Read the task instances of a run."""
        tasks: list[dict[str, Any]] = []
        while True:  # Airflow returns at most 100 at once
            page = self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances?limit=100&offset={len(tasks)}")
            tasks += page["task_instances"]
            if not page["task_instances"] or len(tasks) >= page["total_entries"]:
                return tasks

    def xcom(self, dag: str, run: str, task: str, key: str, map_index: int = -1) -> dict[str, Any] | None:
        """Read an XCom value, or None if there is none yet."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/{key}?map_index={map_index}"
        try:
            value = self.get(path)["value"]
        except requests.HTTPError:
            return None
        record: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return record

    def is_ready(self, dags: int) -> bool:
        """Tell whether every component is healthy and at least so many DAGs are known."""
        try:
            health = self.get("/monitor/health")
            self.log_in()
            known = self.get("/dags")["total_entries"]
        except (requests.RequestException, KeyError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health[part]["status"] == "healthy" for part in parts) and known >= dags


class Component:
    """
    A command of Airflow, with all its child processes.

    :param command: the command line, ``airflow`` included.
    :param environment: its environment variables.
    :param log: file to which its output is appended.
    """

    def __init__(self, command: list[str | Path], environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """True while the command itself is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start or restart the command."""
        with self.log.open("a") as log:
            # Its own session identifies all its child processes.
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """Stop it like a service manager: first the command itself, then its remaining processes."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)  # an executor lets its tasks finish
            self._end_all(psutil.Process.terminate)
            self.kill()

    def kill(self) -> None:
        """Kill the command and all its processes with SIGKILL."""
        self._end_all(psutil.Process.kill)
        if self._process is not None:
            self._process.wait(15)

    def processes(self) -> list[psutil.Process]:
        """Return the processes of its session; process groups would miss tasks, which have their own."""
        found = []
        for candidate in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                is_ours = self._process is not None and os.getsid(candidate.pid) == self._process.pid
                if is_ours and candidate.status() != psutil.STATUS_ZOMBIE:
                    found.append(candidate)
        return found

    def _end_all(self, end: Callable[[psutil.Process], None]) -> None:
        everyone = self.processes()
        for member in everyone:
            with suppress(psutil.NoSuchProcess):
                end(member)
        psutil.wait_procs(everyone, timeout=15)


class LocalAirflow:
    """
    A local Airflow in one folder, on SQLite unless the settings say otherwise.

    :param home: its folder, emptied first unless kept.
    :param dags: folder of the DAG files.
    :param port: port of its API server; default: a free one.
    :param settings: further settings, as environment variables.
    :param keep: keep the folder's content if the same version of Airflow created it in this place.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        port: int | None = None,
        settings: dict[str, str] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        port = port or free_port()
        self.home = home
        self.dags = dags
        self.api = Api(f"http://localhost:{port}")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.api.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",  # not reachable from elsewhere, as there is no login
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.api.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "NO_PROXY": "localhost,127.0.0.1",
            "no_proxy": "localhost,127.0.0.1",
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            **(settings or {}),
        }
        # A moved folder still contains its old paths.
        self._maker = f"Airflow {version('apache-airflow')} in {home}"
        self._marker = home / "made-by"
        former = self._marker.read_text() if self._marker.is_file() else ""
        self._is_kept = keep and former == self._maker
        if not self._is_kept:
            if keep and home.exists():
                former = former or "an incomplete start"
                print(f"{home} was created by {former}: setting it up again.", flush=True)
            self._empty()

    def _empty(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def prepare(self, connections: dict[str, dict[str, Any]]) -> None:
        """Create the database unless it is kept, and import connections."""
        try:
            self._prepare(connections)
        except RuntimeError:
            if not self._is_kept:
                raise
            print(f"{self.home} is no longer usable: setting it up again.", flush=True)
            self._empty()
            self._prepare(connections)
        self._marker.write_text(self._maker)

    def _prepare(self, connections: dict[str, dict[str, Any]]) -> None:
        importable = {
            # Port 0 means none, as the form saves it; with a missing port its Test button sees a changed
            # address.
            conn_id: {**connection, "port": 0}
            for conn_id, connection in connections.items()
        }
        (self.home / "connections.json").write_text(json.dumps(importable))
        self._run("db", "migrate")
        self._run("connections", "import", "--overwrite", str(self.home / "connections.json"))

    def _run(self, *arguments: str) -> None:
        with (self.home / "airflow.log").open("a") as log:
            done = subprocess.run(
                [BIN / "airflow", *arguments], env=self.environment, stdout=log, stderr=log, check=False
            )
        if done.returncode:
            raise RuntimeError(f"'airflow {' '.join(arguments[:2])}' failed.")

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Component]:
        """Run a command of Airflow, with all its child processes."""
        component = Component(
            [BIN / "airflow", *arguments], self.environment, self.home / f"{arguments[0]}.log"
        )
        component.start()
        try:
            yield component
        finally:
            component.stop()

    @contextmanager
    def standalone(self) -> Iterator[Api]:
        """Run every component in one command; yield the API once all is healthy and the DAGs are known."""
        with self.running("standalone") as everything:
            self.wait_until_ready([everything])
            self.api.retry_errors()
            yield self.api

    @contextmanager
    def components(self) -> Iterator[dict[str, Component]]:
        """Run every component separately, and yield them by name once all are healthy."""
        with ExitStack() as stack:
            components = {name: stack.enter_context(self.running(name)) for name in COMPONENTS}
            self.wait_until_ready(components.values())
            yield components

    def wait_until_ready(self, components: Iterable[Component]) -> None:
        """Wait until the API reports all components healthy and the DAGs are known."""
        dags, started = len(list(self.dags.glob("[!_]*.py"))), time.monotonic()
        while not self.api.is_ready(dags):
            if not all(component.is_running for component in components) or (
                time.monotonic() - started > START_SECONDS
            ):
                raise RuntimeError("Airflow did not become ready.")
            time.sleep(1)


@contextmanager
def _simulator(log: Path, speed: float, scenario: Path | None) -> Iterator[str]:
    command = [sys.executable, "-m", "airflow_provider_migration.simulator", "--port", "0"]
    command += ["--speed", str(speed), *(["--scenario", str(scenario)] if scenario else [])]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("Simulator ready on "):
                raise RuntimeError("The simulator did not start.")
            print(line.strip(), flush=True)
            yield line.split()[-1]
        finally:
            process.terminate()


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use a number from 1 to 65535")
    return int(text)


def _port_problem(port: int) -> str | None:
    """Return a one-line error if a port cannot be used, else None."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return f"Port {port} is in use. Stop what listens there, or choose another: make ui PORT=8090"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the API server after a restart
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return f"Port {port} cannot be used ({error.strerror}). Choose another: make ui PORT=8090"
    return None


if __name__ == "__main__":
    sys.exit(main())
