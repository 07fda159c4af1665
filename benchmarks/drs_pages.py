"""A DRS job with very many objects: time, memory, loop lag, and the cost of reading one page of its list."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import tracemalloc
from typing import Any, Final

from side_by_side import ROUNDS, Table, connect, measure, serve

from server import page_of

from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.services.drs import _read_plain_page

JOB: Final = "163b98e8-6088-46c3-8b86-c18fea6jb502"
STATUS: Final = {
    "count": 1,
    "results": [{"job_id": JOB, "transfer_status": "FULL_TRANSFER_STARTED", "task_mode": "FULL_INCR_TRANS"}],
}
FEW: Final = 10_000
MANY: Final = 100_000
PAGES: Final = 20


def _connect(objects: int) -> str:
    conn_id = f"drs_{objects}"
    connect(
        conn_id,
        conn_type="huaweicloud_drs",
        host=serve(STATUS, pages=objects),
        login="AK",
        password="secret-of-key",
        extra={"project_id": "5237e10fe9aa4ad5b16b6a5245248314"},
    )
    return conn_id


async def _poll(conn_id: str, gaps: list[float] | None = None) -> tuple[float, Any]:
    hook = DrsHook(conn_id)
    async with hook.keep_session():
        probe = asyncio.create_task(_probe(gaps)) if gaps is not None else None
        started = time.process_time()
        record = await hook.aget_progress(JOB)
        cost = time.process_time() - started
        if probe:
            probe.cancel()
    return cost, record


async def _probe(gaps: list[float]) -> None:
    while True:
        began = time.process_time()  # CPU time excludes other processes
        await asyncio.sleep(0.001)
        gaps.append(time.process_time() - began)


def cpu(conn_id: str) -> float:
    """Return the CPU cost of one poll."""
    return asyncio.run(_poll(conn_id))[0]


def kept(conn_id: str) -> int:
    """Return the peak memory of one poll's Python objects in bytes."""
    tracemalloc.start()
    asyncio.run(_poll(conn_id))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _read_pages(body: bytes) -> float:
    request = Request(
        service="drs",
        action="",
        method="GET",
        url="",
        read=_read_plain_page,
        signer=None,  # type: ignore[arg-type] # nothing is sent
    )
    started = time.process_time()
    for _ in range(PAGES):
        _read_plain_page(request, Response(200, {}, body))
    return (time.process_time() - started) / PAGES


def _load_pages(body: bytes) -> float:
    started = time.process_time()
    for _ in range(PAGES):
        json.loads(body)
    return (time.process_time() - started) / PAGES


def main() -> None:
    """Run the rounds and print the table."""
    table = Table(
        "DRS objects",
        f"CPU of one poll of a job with {MANY:,} objects beside one with {FEW:,}, in pages of a thousand, on "
        "the event loop; the longest CPU time for which another task had to wait; the reading of one page.",
    )
    few, many = _connect(FEW), _connect(MANY)
    body = page_of(1000, 1000, 0)
    costs = measure(
        {
            f"{FEW:,} objects": lambda: cpu(few),
            f"{MANY:,} objects": lambda: cpu(many),
            f"read and validate a page of {len(body) // 1000} KB": lambda: _read_pages(body),
            "json.loads": lambda: _load_pages(body),
        }
    )
    first, second, page, floor = costs
    table.row(costs, second, first, 11)
    table.row(costs, page, floor)
    longest = []
    for _ in range(ROUNDS):
        gaps: list[float] = []
        _, record = asyncio.run(_poll(many, gaps))
        longest.append(max(gaps) * 1000)
    table.fact(
        f"longest wait of another task during a poll of {MANY:,} objects",
        f"{statistics.median(longest):.3g} ms ({min(longest):.3g} to {max(longest):.3g})",
        "50 ms",
        is_met=statistics.median(longest) <= 50,
    )
    memory = {objects: kept(conn_id) / 1e6 for objects, conn_id in ((FEW, few), (MANY, many))}
    table.fact(
        "memory at most, in Python objects",
        ", ".join(f"{size:.2f} MB ({objects:,})" for objects, size in memory.items()),
        "the same",
        is_met=memory[MANY] < 1.2 * memory[FEW],
    )
    size = len(json.dumps(record.model_dump(mode="json")))
    table.fact("the record", f"{size} bytes", "16384 bytes", is_met=size < 16384)


if __name__ == "__main__":
    main()
