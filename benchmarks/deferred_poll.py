"""One poll of a deferred wait: signed, sent, received, read, normalised and decided, on the event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from side_by_side import AUTHORITY, Table, connect, dts_answer, dts_list, measure, serve

import aiohttp
from airflow.providers.databricks.hooks.databricks import DatabricksHook
from airflow.providers.http.hooks.http import HttpAsyncHook

from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.polling import poll_once
from airflow_provider_migration.triggers import migration
from airflow_provider_migration.triggers.sharing import REUSE_SECONDS, SharedHook, shared_hook
from airflow_provider_migration.wait.tracker import WaitTracker
from airflow_provider_migration.wait.policy import WaitPolicy

logging.disable(logging.ERROR)

POLLS: Final = 600
TOGETHER: Final = 30
HOOK: Final = "airflow_provider_migration.hooks.dts:DtsHook"


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


# Skip the batch window, which would add two seconds to each round.
DtsHook.clock = Clock(async_sleep=_at_once)

DATABRICKS: Final = {
    "job_id": 1,
    "run_id": 1,
    "state": {"life_cycle_state": "RUNNING", "result_state": None, "state_message": "In run"},
    "tasks": [
        {
            "run_id": number,
            "task_key": f"task_{number}",
            "run_page_url": f"https://x.cloud.databricks.com/#{number}",
        }
        for number in range(33)
    ],
}


async def _cpu(polls: Callable[[], Awaitable[object]]) -> float:
    await polls()
    started = time.process_time()
    for _ in range(POLLS):
        await polls()
    return (time.process_time() - started) / POLLS


async def bare(url: str) -> float:
    """Ask with a session of aiohttp and read the JSON."""
    tls = ssl.create_default_context(cafile=AUTHORITY)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:

        async def poll() -> None:
            async with session.post(url) as answer:
                json.loads(await answer.read())

        return await _cpu(poll)


def _triggers(count: int, hook_arguments: dict[str, Any]) -> list[migration.MigrationTrigger]:
    async def no_write(*args: Any, **kwargs: Any) -> None: ...

    migration.sync_to_async = lambda write: no_write  # XCom needs a database
    now = time.time()
    watch = WaitTracker(WaitPolicy(targets=("caught_up",), started_at=now, deadline=now + 1e6))
    return [
        migration.MigrationTrigger(
            hook=HOOK,
            hook_arguments=hook_arguments,
            ids={"migration_job_id": dts_id},
            tracker=watch.to_json(),
            task_key={},
        )
        for dts_id in ids_of(count)
    ]


async def _poll(shared: SharedHook, trigger: migration.MigrationTrigger) -> None:
    """Poll once, as :meth:`MigrationTrigger.run` does."""
    with poll_once(trigger.tracker, HOOK, trigger.ids, trigger.log.log) as poll:
        poll.answer = await shared.poll(trigger.ids, trigger.tracker.policy.poll_arguments)
    await trigger._publish(trigger.tracker, poll.verdict, poll.error)


def ids_of(count: int) -> list[str]:
    """Return the ids of so many migrations."""
    return [f"dts{number}" for number in range(count)]


async def ours() -> float:
    """Poll as the trigger does, with triggers for as many migrations as there are polls."""
    triggers = _triggers(POLLS, {})
    async with shared_hook(HOOK, {}) as shared:
        for trigger in triggers:  # the first poll writes what the others need not write again
            await _poll(shared, trigger)
        turns = itertools.cycle(triggers)

        async def poll() -> None:
            trigger = next(turns)
            await _poll(shared, trigger)

        return await _cpu(poll)


async def listed() -> float:
    """Poll in batches, like triggers whose polling slots are close to each other."""
    arguments = {"dts_conn_id": "dts_list", "api": "DescribeDtsJobs"}
    triggers = _triggers(TOGETHER, arguments)
    async with shared_hook(HOOK, arguments) as shared:

        async def polls() -> None:
            await asyncio.gather(*(_poll(shared, trigger) for trigger in triggers))
            await asyncio.sleep(REUSE_SECONDS * 1.2)  # so that no response is reused

        await polls()
        assert all(trigger.tracker.progress for trigger in triggers)
        started = time.process_time()
        rounds = POLLS // TOGETHER
        for _ in range(rounds):
            await polls()
        return (time.process_time() - started) / rounds / TOGETHER


async def databricks() -> float:
    """Poll as the trigger of databricks does, with a session for each trigger."""
    async with DatabricksHook("databricks_default") as hook:

        async def poll() -> None:
            assert not (await hook.a_get_run_state(1)).is_terminal

        return await _cpu(poll)


async def http() -> float:
    """Poll as the trigger of the http provider does, with a session for each poll."""
    hook = HttpAsyncHook(method="GET", http_conn_id="http_default")

    async def poll() -> None:
        async with aiohttp.ClientSession() as session:
            answer = await hook.run(session=session, endpoint="status")
            await answer.json()

    return await _cpu(poll)


def main() -> None:
    """Run the rounds and print the table."""
    table = Table(
        "Deferred poll",
        f"CPU of one of {POLLS} polls on a kept connection, answers of "
        f"{len(json.dumps(dts_answer()))} and {len(json.dumps(DATABRICKS))} bytes. "
        f"Those at once are asked for in one list, with api=DescribeDtsJobs and {TOGETHER} times the answer. "
        "Without log lines; databricks' trigger writes one at each poll.",
    )
    for tls in (False, True):
        url = serve(dts_answer(), tls=tls)
        other = serve(DATABRICKS, tls=tls)
        scheme, host, port = other.replace("//", "").split(":")
        listing = serve(dts_list(ids_of(TOGETHER)), tls=tls)
        for conn_id, where in (("dts_default", url), ("dts_list", listing)):
            connect(conn_id, conn_type="alibaba_dts", host=where, login="key", password="secret-of-key")
        connect(
            "databricks_default",
            conn_type="databricks",
            schema=scheme,
            host=host,
            port=int(port),
            password="token",
        )
        connect("http_default", conn_type="http", schema=scheme, host=host, port=int(port))
        how = "TLS" if tls else "HTTP"
        costs = measure(
            {
                f"this trigger, {how}": lambda: asyncio.run(ours()),
                f"this trigger, {TOGETHER} at once, {how}": lambda: asyncio.run(listed()),
                f"bare aiohttp, {how}": lambda url=url: asyncio.run(bare(url)),
                f"databricks' trigger, {how}": lambda: asyncio.run(databricks()),
                f"http's async hook, {how}": lambda: asyncio.run(http()),
            }
        )
        table.row(costs, f"this trigger, {how}", f"bare aiohttp, {how}", 2)
        table.row(costs, f"this trigger, {how}", f"databricks' trigger, {how}", 0.8)
        table.row(costs, f"this trigger, {how}", f"http's async hook, {how}")
        table.row(costs, f"this trigger, {TOGETHER} at once, {how}", f"bare aiohttp, {how}", 2)
        table.row(costs, f"this trigger, {TOGETHER} at once, {how}", f"databricks' trigger, {how}", 0.8)


if __name__ == "__main__":
    main()
