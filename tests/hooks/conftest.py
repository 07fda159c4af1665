"""Connections from the environment, and the simulator that they lead to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_migration.simulator import Simulator

Connect = Callable[..., str]


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Write a connection and return its id."""

    def write(conn_id: str = "some_conn", **fields: Any) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "generic", **fields}))
        return conn_id

    return write


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Start the simulator with its built-in scenario."""
    with Simulator(speed=20) as simulator:
        yield simulator


@pytest.fixture
def connections(simulator: Simulator, connect: Connect) -> dict[str, dict[str, Any]]:
    """Write the four default connections to the simulator, and return them."""
    connections = simulator.connections()
    for conn_id, fields in connections.items():
        connect(conn_id, **fields)
    return connections


@pytest.fixture(params=["sync", "async"])
def get_progress(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Ask a hook for its record with one twin, then with the other."""

    def ask(hook: Any, **ids: Any) -> Any:
        if request.param == "sync":
            return hook.get_progress(**ids)
        return asyncio.run(hook.aget_progress(**ids))

    return ask
