"""
What one poll costs in CPU, beside the bare clients with the same answer.

Every round runs each case once, in shuffled order, on one machine and against one server in a process of its
own, and compares it with the bare client of the same round. Times of different machines or runs say nothing;
the ratios do.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import aiohttp
import requests

from airflow_provider_migration.hooks.dts import DtsHook

ROUNDS: Final = 9
POLLS: Final = 200

ANSWER: Final = {
    "Success": "true",
    "RequestId": "A032E3B4-929B-48E9-97B9-37587CBF0000",
    "MigrationJobId": "dts1",
    "MigrationJobName": "benchmark",
    "MigrationJobStatus": "Migrating",
    "MigrationMode": {
        "structureInitialization": True,
        "dataInitialization": True,
        "dataSynchronization": True,
    },
    "PrecheckStatus": {
        "Status": "Finished",
        "Percent": "100",
        "Detail": {"CheckItem": [{"ItemName": f"CHECK_{n}", "CheckStatus": "Success"} for n in range(40)]},
    },
    "StructureInitializationStatus": {"Status": "Finished", "Percent": "100", "Progress": "24"},
    "DataInitializationStatus": {"Status": "Migrating", "Percent": "42", "Progress": "84000"},
}

SERVER: Final = """
import http.server, sys
body = sys.argv[1].encode()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def bare_requests(url: str) -> None:
    """Ask with a session of requests and read the JSON."""
    with requests.Session() as session:
        for _ in range(POLLS):
            session.post(url).json()


def hook(url: str) -> None:
    """Ask with the hook, as poke mode does."""
    dts = DtsHook()
    for _ in range(POLLS):
        dts.get_progress("dts1")
    dts.close()


def bare_aiohttp(url: str) -> None:
    """Ask with a session of aiohttp and read the JSON."""

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(POLLS):
                async with session.post(url) as answer:
                    json.loads(await answer.read())

    asyncio.run(ask())


def async_hook(url: str) -> None:
    """Ask with the hook on the event loop, as the trigger does."""

    async def ask() -> None:
        dts = DtsHook()
        async with dts.keep_session():
            for _ in range(POLLS):
                await dts.aget_progress("dts1")

    asyncio.run(ask())


CASES: Final[dict[str, tuple[Callable[[str], None], Callable[[str], None]]]] = {
    "sync poll, session kept": (hook, bare_requests),
    "deferred poll, session shared": (async_hook, bare_aiohttp),
}


def main() -> None:
    """Run the rounds and print the table."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, json.dumps(ANSWER)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            url = f"http://127.0.0.1:{port}/"
            connection = {
                "conn_type": "alibaba_dts",
                "host": url,
                "login": "key",
                "password": "secret-of-key",
            }
            os.environ["AIRFLOW_CONN_DTS_DEFAULT"] = json.dumps(connection)
            ratios: dict[str, list[float]] = {name: [] for name in CASES}
            for case, floor in CASES.values():  # the first use loads modules
                case(url)
                floor(url)
            for _ in range(ROUNDS):
                for name, pair in random.sample(list(CASES.items()), len(CASES)):
                    costs = {}
                    for measured in random.sample(pair, 2):
                        started = time.process_time()
                        measured(url)
                        costs[measured] = time.process_time() - started
                    ratios[name].append(costs[pair[0]] / costs[pair[1]])
        finally:
            server.terminate()
    size = len(json.dumps(ANSWER))
    print(
        f"CPU of a poll, times the bare client's; {ROUNDS} rounds of {POLLS} polls, answer of {size} bytes\n"
    )
    print(f"{'':<32}{'median':>8}{'lowest':>8}{'highest':>8}")
    for name, values in ratios.items():
        print(f"{name:<32}{statistics.median(values):>8.2f}{min(values):>8.2f}{max(values):>8.2f}")


if __name__ == "__main__":
    main()
