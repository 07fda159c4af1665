"""
Density: thousands of deferred sensors on one event loop, with memory, CPU, loop lag, connections, requests.

Unlike the other benchmarks these are measurements of one run, because each takes minutes: a sensor polls
every 60 s. ``density.py KIND COUNT`` runs only the triggers, in its own process, with connections from stdin,
and prints the measurements.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

from side_by_side import Table, connect

import psutil
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.migration import MigrationTrigger
from airflow_provider_migration.wait.tracker import WaitTracker
from airflow_provider_migration.wait.policy import WaitPolicy

INTERVAL: Final = 60
FEW: Final = 100
MANY: Final = 5000
JOBS: Final = 1000

SERVICES: Final = {
    "dts": ("airflow_provider_migration.hooks.dts:DtsHook", "migration_job_id"),
    "drs": ("airflow_provider_migration.hooks.drs:DrsHook", "job_id"),
}


class SleepingTrigger(BaseTrigger):
    """Baseline: a trigger that only sleeps."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return "", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait."""
        await asyncio.sleep(1e6)
        yield TriggerEvent({})


def trigger(kind: str, number: int) -> BaseTrigger:
    """Create a trigger as if loaded from the database."""
    if kind == "sleeping":
        return SleepingTrigger()
    hook, id_argument = SERVICES[kind]
    now = time.time()
    watch = WaitTracker(
        WaitPolicy(targets=("succeeded",), started_at=now, deadline=now + 1e6, poke_interval=INTERVAL)
    )
    kwargs = {
        "hook": hook,
        "hook_arguments": {f"{kind}_conn_id": f"{kind}_default"},
        "ids": {id_argument: f"{kind}{number}"},
        "tracker": watch.to_json(),
        "task_key": {"dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": number},
    }
    return MigrationTrigger(**json.loads(json.dumps(kwargs)))


async def wait(kind: str, count: int) -> dict[str, Any]:
    """Run triggers for an interval, then measure CPU in the second and loop lag in the third."""
    process = psutil.Process()

    async def no_write(*args: Any, **arguments: Any) -> None: ...

    migration.sync_to_async = lambda write: no_write  # XCom needs a database
    first = asyncio.create_task(anext(trigger(kind, 0).run()))
    await asyncio.sleep(INTERVAL if kind in SERVICES else 1)  # imports and the first connection
    gc.collect()
    memory = process.memory_info().rss
    tasks = [asyncio.create_task(anext(trigger(kind, number).run())) for number in range(1, count)]
    await asyncio.sleep(INTERVAL if kind in SERVICES else 1)
    gc.collect()
    began, cpu = time.time(), time.process_time()
    await asyncio.sleep(INTERVAL if kind in SERVICES else 1)
    ended, cpu = time.time(), time.process_time() - cpu
    gaps: list[float] = []
    probe = asyncio.create_task(_probe(gaps))  # the probe costs as much as a few polls
    connections = 0
    for _ in range(INTERVAL if kind in SERVICES else 1):
        await asyncio.sleep(1)
        connections = max(connections, len(process.net_connections()))
    probe.cancel()
    gc.collect()
    seen = {
        "bytes": (process.memory_info().rss - memory) / (count - 1),
        "began": began,
        "ended": ended,
        "cpu": cpu,
        "gap": sorted(gaps)[len(gaps) * 99 // 100],
        "longest_gap": max(gaps),
        "connections": connections,
    }
    for task in (first, *tasks):
        task.cancel()
    await asyncio.gather(first, *tasks, return_exceptions=True)
    return seen


async def _probe(gaps: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        gaps.append(time.perf_counter() - began - 0.01)


def run(kind: str, count: int) -> tuple[dict[str, Any], list[float]]:
    """Run triggers against the simulator; return their measurements and the times of their requests."""
    migrations: list[dict[str, Any]] = [
        {"service": kind, SERVICES[kind][1]: f"{kind}{number}", "script": "never_ending", "duration": 1}
        for number in range(count if kind in SERVICES else 0)
    ]
    with Simulator({"migrations": migrations}) as simulator:
        ran = subprocess.run(
            [sys.executable, __file__, kind, str(count)],
            input=json.dumps(simulator.connections()),
            capture_output=True,
            text=True,
            check=True,
        )
        seen = json.loads(ran.stdout.splitlines()[-1])
        times = [request.time for request in simulator.requests]
    return seen, [moment for moment in times if seen["began"] <= moment < seen["ended"]]


def main() -> None:
    """Print the measurements."""
    table = Table(
        "Density",
        f"Deferred sensors on one event loop, each asking once in {INTERVAL} s, watched for {2 * INTERVAL} s "
        f"after {INTERVAL} s to start; against the simulator, over HTTP. Nothing is written to XCom.",
    )
    alone, _ = run("sleeping", MANY)
    few, few_times = run("dts", FEW)
    many, many_times = run("dts", MANY)
    kilobytes = (many["bytes"] - alone["bytes"]) / 1024
    table.fact(
        f"memory of each of {MANY:,} sensors, beyond the {alone['bytes'] / 1024:.1f} KB of one that sleeps",
        f"{kilobytes:.1f} KB",
        "12 KB",
        is_met=kilobytes <= 12,
    )
    gap = many["gap"] * 1000
    table.fact(
        f"gap of the event loop with {MANY:,} sensors: 99th percentile, longest",
        f"{gap:.1f} ms, {many['longest_gap'] * 1000:.0f} ms",
        "50 ms (the first)",
        is_met=gap <= 50,
    )
    costs = {"few": few["cpu"] / len(few_times), "many": many["cpu"] / len(many_times)}
    ratio = costs["many"] / costs["few"]
    table.fact(
        f"CPU of a poll with {MANY:,} sensors ({costs['many'] * 1000:.2f} ms) beside {FEW}",
        f"{ratio:.2f}",
        "1.3",
        is_met=ratio <= 1.3,
    )
    seconds = Counter(int(moment) for moment in many_times)
    table.fact(
        f"polls of {MANY:,} sensors: a second on the mean, in the busiest",
        f"{len(many_times) / INTERVAL:.0f}, {max(seconds.values())}",
    )
    table.fact(
        f"connections of {MANY:,} sensors, at most",
        f"{many['connections']}",
        "20",
        is_met=many["connections"] <= 20,
    )
    _, job_times = run("drs", JOBS)
    separate = 2 * JOBS
    share = len(job_times) / separate
    table.fact(
        f"requests of {JOBS:,} DRS sensors in {INTERVAL} s, beside {separate:,} of separate polls "
        f"(a status, a page of objects)",
        f"{len(job_times)}: 1/{1 / share:.0f}",
        "1/20",
        is_met=share <= 1 / 20,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        for conn_id, connection in json.load(sys.stdin).items():
            connect(conn_id, **connection)
        print(json.dumps(asyncio.run(wait(sys.argv[1], int(sys.argv[2])))))
    else:
        main()
