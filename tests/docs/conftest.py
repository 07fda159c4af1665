"""The simulator behind the default connections, as whoever follows a page has it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_provider_migration.simulator import Simulator


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Start the simulator as the pages do, in a hurry, and connect Airflow to it."""
    with Simulator(speed=10) as simulator:
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        yield simulator
