"""
Run triggers on an event loop and print the longest time, in milliseconds, for which they blocked it.

A process of its own, as a triggerer is: what is loaded at the first poll counts too.

    python -m tests.triggers.loop_probe COUNT POLLS
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time

from airflow.providers.common.compat.sdk import BaseHook  # noqa: F401 - a triggerer has loaded Airflow long before

from airflow_provider_migration.triggers.migration import MigrationTrigger
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import WaitTracker

POLL_SECONDS = 0.5


def trigger(number: int, polls: int) -> MigrationTrigger:
    """Make a trigger for a DRS job of its own that polls so often and then runs out of time."""
    now = time.time()
    policy = WaitPolicy(
        targets=("succeeded",),
        started_at=now,
        deadline=now + polls * POLL_SECONDS,
        poke_interval=POLL_SECONDS,
    )
    return MigrationTrigger(
        hook="airflow_provider_migration.hooks.drs:DrsHook",
        hook_arguments={"drs_conn_id": "drs_default"},
        ids={"job_id": f"job-{number}", "object_types": ["table"], "job_status": True},
        tracker=WaitTracker(policy).to_json(),
        task_key={"dag_id": "dag", "task_id": "wait", "run_id": "run", "map_index": -1},
    )


async def longest_gap(count: int, polls: int) -> float:
    """Return for how many seconds nothing else could run on the loop."""
    longest = 0.0

    async def probe() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)

    probing = asyncio.create_task(probe())
    await asyncio.gather(*(anext(trigger(number, polls).run()) for number in range(count)))
    probing.cancel()
    return longest


if __name__ == "__main__":
    # The first full garbage collection over all of Airflow is slow, whatever triggers it.
    gc.collect()
    gc.freeze()
    gap = asyncio.run(longest_gap(int(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.write(f"\n{gap * 1000:.1f}\n")
