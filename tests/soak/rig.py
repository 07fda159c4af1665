"""Shared rig of both long tests: PostgreSQL, Airflow's components, a simulator with faults."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from airflow_provider_migration.simulator import RequestRecord, Simulator
from scripts.local_airflow import ROOT, Api, Component, LocalAirflow
from tests.soak.postgres import Postgres

log = logging.getLogger(__name__)

KINDS = ("throttle", "throttle_with_hint", "server_error", "html", "truncated", "drop", "slow")
FAULT_RATE = 0.2
# The first drawn kind applies: together they affect one request in five.
FAULTS = [{"kind": kind, "rate": 1 - (1 - FAULT_RATE) ** (1 / len(KINDS)), "delay": 1} for kind in KINDS]

LAST_CALL = {
    "dataworks": "GetMigrationProcess",
    "dts": "DescribeMigrationJobStatus",
    "oms": "GetMigrationProgress",
    "drs": "BatchListProgresses",
}
"""The call that completes a poll. Lists of DRS objects are optional calls."""

PLACES = (0.4, 0.5, 0.68, 0.88)
"""Fractions of a script, each in another step of DataWorks."""

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass
class Rig:
    """
    All that runs.

    :ivar exits: number of unexpected exits of each component, after which it was restarted.
    """

    airflow: LocalAirflow
    postgres: Postgres
    simulator: Simulator
    components: dict[str, Component]
    exits: Counter[str] = field(default_factory=Counter)
    _requests: list[RequestRecord] = field(default_factory=list)
    _stopped: set[str] = field(default_factory=set)

    @property
    def api(self) -> Api:
        """Airflow's REST API."""
        return self.airflow.api

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request since the start: the simulator itself keeps the latest only."""
        self._collect()
        return self._requests

    def stop(self, name: str) -> None:
        """Stop a component, and leave it so."""
        self._stopped.add(name)
        self.components[name].stop()

    def start(self, name: str) -> None:
        """Start a component that was stopped or killed."""
        self._stopped.discard(name)
        self.components[name].start()

    def kill(self, name: str) -> None:
        """Kill a component, and leave it so."""
        self._stopped.add(name)
        self.components[name].kill()

    def _collect(self) -> None:
        newest = self._requests[-1] if self._requests else None
        new = []
        for record in reversed(self.simulator.requests):
            if record is newest:
                break
            new.append(record)
        self._requests += reversed(new)

    def _tend(self) -> None:
        """Restart components that have exited unexpectedly, like a service manager."""
        for name, component in self.components.items():
            if name not in self._stopped and not component.is_running:
                self.exits[name] += 1
                log.info("the %s has ended on its own and is started again", name)
                component.kill()
                component.start()

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """
        Wait until something is so, and return how many seconds it took.

        :raises AssertionError: when it did not come to be in time.
        """
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
            self.pause(1)
        return time.monotonic() - began

    def pause(self, seconds: float) -> None:
        """Let time pass, and keep an eye on everything."""
        give_up = time.monotonic() + seconds
        while (left := give_up - time.monotonic()) > 0:
            time.sleep(min(left, 1))
            self._tend()
            self._collect()

    def tasks(self, dag: str, run: str) -> dict[tuple[str, int], dict[str, Any]]:
        """Return the task instances by name and map index; none while the API cannot tell."""
        try:
            tasks = self.api.tasks(dag, run)
        except requests.RequestException:
            return {}
        return {(task["task_id"], task["map_index"]): task for task in tasks}

    def is_ready(self) -> bool:
        """Tell whether every component of Airflow is well."""
        return self.api.is_ready(1)


@contextmanager
def rig(
    name: str,
    migrations: list[dict[str, Any]],
    settings: dict[str, str],
    faults: list[dict[str, Any]] = FAULTS,
    *,
    dags: str = "dags",
    speed: float = 1.0,
    connections: dict[str, dict[str, Any]] | None = None,
) -> Iterator[Rig]:
    """
    Start everything below ``.soak``, and end it.

    :param dags: the folder of the DAG files.
    :param speed: the simulator's.
    :param connections: further ones.
    """
    home = ROOT / ".soak" / name / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    scenario = {"seed": 20, "migrations": migrations, "faults": faults}
    with Postgres(home.parent / "postgres.log") as postgres, Simulator(scenario, speed=speed) as simulator:
        airflow = LocalAirflow(
            home,
            Path(__file__).with_name(dags),
            settings={
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url,
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
                "PYTHONPATH": str(ROOT),  # the DAG files share a module
                **settings,
            },
        )
        airflow.prepare({**simulator.connections(), **(connections or {})})
        with airflow.components() as components:
            log.info("Airflow is ready on %s", airflow.api.url)
            yield Rig(airflow, postgres, simulator, components)


@contextmanager
def moving(
    simulator: Simulator, duration: float, seconds: float, who: Callable[[], Iterable[tuple[str, str | int]]]
) -> Iterator[None]:
    """
    Let migrations move, in whose scripts time stands still.

    :param duration: of their scripts.
    :param seconds: for which they are at each place: less than from one poll to the next, and that is no
        multiple of four times it.
    :param who: returns the service and the id of those that move.
    """
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(0.1):
            place = PLACES[int(time.time() / seconds) % len(PLACES)]
            for service, migration in who():
                simulator.jump(service, migration, place * duration)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def write_figures(name: str, *tables: list[tuple[Any, ...]]) -> None:
    """Write what was measured as tables, headers first, to be put into ``docs/reliability.md``."""
    texts = []
    for header, *rows in tables:
        lines = (header, ["---"] * len(header), *rows)
        texts.append("".join(f"| {' | '.join(map(str, line))} |\n" for line in lines))
    path = ROOT / ".soak" / f"{name}.md"
    path.write_text("\n".join(texts))
    log.info("%s:\n%s", path.relative_to(ROOT), path.read_text())
