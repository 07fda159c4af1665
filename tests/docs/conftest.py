"""The simulator behind the default connections, as on the pages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.simulators import BriefSimulator


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[BriefSimulator]:
    """Start the simulator as the pages do, in a hurry, and connect Airflow to it."""
    with BriefSimulator(speed=10) as simulator:
        for conn_id, connection in simulator.connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        yield simulator
