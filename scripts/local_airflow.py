"""
An Airflow of its own, with the example DAGs and the simulator: behind ``make demo`` and ``make ui``.

``demo`` runs ``watch_four_services`` and prints each migration's progress from XCom as it goes. ``ui`` starts
it more slowly, with migrations that are in trouble, and leaves Airflow running to click through until Ctrl-C;
what is in that Airflow is there again the next time.
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

from airflow_provider_migration.simulator import connections
from airflow_provider_migration.simulator.scenario import BUILT_IN

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
"""Where whoever tries it out puts DAG files of their own; nothing of ours ever removes it."""

SERVICES: Final = ("dataworks", "dts", "oms", "drs")
MODES: Final = ("poke", "deferrable")
COMPONENTS: Final = ("api-server", "scheduler", "dag-processor", "triggerer")
SPEED: Final = {"demo": 1.0, "ui": 0.15}
"""How fast the simulated migrations go: slowly where someone clicks through them."""

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
        type=int,
        choices=range(1, 65536),
        metavar="PORT",
        help="port of the UI (ui: 8080, demo: any that is free)",
    )
    arguments = parser.parse_args()
    for number in INTERRUPTS:  # a shell may have made us ignore the first
        signal.signal(number, _stop_once)
    port = arguments.port or (8080 if arguments.command == "ui" else free_port())
    if not _is_free(port):
        print(
            f"Port {port} is in use. Stop what listens there, or choose another: make ui PORT=8090",
            file=sys.stderr,
        )
        return 2
    home = ROOT / ".demo" / arguments.command
    is_demo = arguments.command == "demo"
    home.parent.mkdir(exist_ok=True)
    lock = home.with_suffix(".lock").open("w")  # until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"make {arguments.command} is running here already: end that one with Ctrl-C.", file=sys.stderr)
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
    """Begin to stop, and let nothing interrupt that: half stopped, Airflow leaves processes behind."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    # Not with print, which may be what is interrupted, and which does not bear that.
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
    for service in SERVICES:
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
        # The simulator plays all from the beginning: what the last time was left half way is of no use.
        for run in api.get(f"/dags/{dag}/dagRuns?state=running&state=queued")["dag_runs"]:
            path = f"/dags/{dag}/dagRuns/{quote(run['dag_run_id'])}"
            api.patch(path, {"state": "failed"})  # one that is running cannot be removed
            api.delete(path)
        api.post(f"/dags/{dag}/dagRuns", {"logical_date": None})
    known = "\n  ".join(sensor_arguments(UI_SCENARIO))
    print(
        f"""
Airflow is ready on {api.url} (no login). These have been started:
  {DAG_ID}   four migrations that go well, in about four minutes
  {TROUBLE_DAG_ID}    one that fails, and one that is paused
These wait for you:
  start_when_caught_up     is paused; unpaused, it starts by itself
  cut_over_when_caught_up  once triggered, needs the connections source_database and destination_database
Look at
  all migrations        {api.url}/plugin/migrations
  one of them           {api.url}/dags/{DAG_ID}, a task, its Migration tab
DAG files of your own   {OWN_DAGS.relative_to(ROOT)}/ here; a new one appears in half a minute. They can watch
  {known}
Your files, all runs and your connections are kept. The four …_default connections lead to the simulator at
each start; give those to your own services another id. Ctrl-C ends Airflow and the simulator.""",
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
    """Return the migrations of a scenario, each as a service and what its sensor is given."""
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
        self._session.trust_env = False  # it is on this machine

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
        while True:  # Airflow gives at most so many at once
            page = self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances?limit=100&offset={len(tasks)}")
            tasks += page["task_instances"]
            if not page["task_instances"] or len(tasks) >= page["total_entries"]:
                return tasks

    def xcom(self, dag: str, run: str, task: str, key: str, map_index: int = -1) -> dict[str, Any] | None:
        """Read an XCom value, None where there is none yet."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/{key}?map_index={map_index}"
        try:
            value = self.get(path)["value"]
        except requests.HTTPError:
            return None
        record: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return record

    def is_ready(self, dags: int) -> bool:
        """Tell whether every component is well and so many DAGs are known."""
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
    A command of Airflow, with all that it starts.

    :param command: what to run, ``airflow`` included.
    :param environment: its environment variables.
    :param log: the file that what it prints is added to.
    """

    def __init__(self, command: list[str | Path], environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the command itself has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, for the first time or once more."""
        with self.log.open("a") as log:
            # A session of its own, by which all that it starts is known.
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """End it as a service manager does: the command itself first, then what is left of it."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)  # an executor lets its tasks come to an end
            self._end_all(psutil.Process.terminate)
            self.kill()

    def kill(self) -> None:
        """Kill it, and all that it has started, without a warning."""
        self._end_all(psutil.Process.kill)
        if self._process is not None:
            self._process.wait(15)

    def processes(self) -> list[psutil.Process]:
        """Return the processes of its session: a task has a process group of its own."""
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
    An Airflow of its own, below one folder; on sqlite unless the settings say otherwise.

    :param home: its folder, which is emptied first, unless it is to be kept.
    :param dags: folder of the DAG files.
    :param port: where its API server listens; without it, any that is free.
    :param settings: further settings, as environment variables.
    :param keep: keep what is in the folder, if it was made there and by the same version of Airflow.
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
            "AIRFLOW__API__HOST": "127.0.0.1",  # without a login it must not be seen from elsewhere
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
        # A folder that was moved still has the paths of its former place in it.
        self._maker = f"Airflow {version('apache-airflow')} in {home}"
        self._marker = home / "made-by"
        former = self._marker.read_text() if self._marker.is_file() else ""
        self._is_kept = keep and former == self._maker
        if not self._is_kept:
            if keep and home.exists():
                former = former or "a start that did not end"
                print(f"{home} was made by {former}: it is set up anew.", flush=True)
            self._empty()

    def _empty(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def prepare(self, connections: dict[str, dict[str, Any]]) -> None:
        """Make the database, where there is none that can be kept, and put connections into it."""
        try:
            self._prepare(connections)
        except RuntimeError:
            if not self._is_kept:
                raise
            print(f"{self.home} cannot be used any more: it is set up anew.", flush=True)
            self._empty()
            self._prepare(connections)
        self._marker.write_text(self._maker)

    def _prepare(self, connections: dict[str, dict[str, Any]]) -> None:
        importable = {
            # Port 0 is none, as the form saves it; its Test button takes a missing one for another address.
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
        """Keep a command of Airflow running, with all that it starts."""
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
        """Keep every component running, and give the API once all are well and know the DAGs."""
        with self.running("standalone") as everything:
            self.wait_until_ready([everything])
            yield self.api

    @contextmanager
    def components(self) -> Iterator[dict[str, Component]]:
        """Keep every component running on its own, and give them by name once all are well."""
        with ExitStack() as stack:
            components = {name: stack.enter_context(self.running(name)) for name in COMPONENTS}
            self.wait_until_ready(components.values())
            yield components

    def wait_until_ready(self, components: Iterable[Component]) -> None:
        """Return once the API says that all is well and the DAGs are known."""
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
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    sys.exit(main())
