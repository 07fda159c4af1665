"""
The four migration services on one local port: strict, scripted, seeded.

DataWorks, DTS, OMS and DRS (with IAM) respond like the clouds, including signature checks and error bodies,
so that the vendors' own SDK clients work unchanged. From a shell::

    python -m airflow_provider_migration.simulator --scenario my.yaml --speed 10

From a test, on a free port, with a migration that pauses half way::

    @pytest.fixture
    def simulator():
        migration = {"service": "dts", "migration_job_id": "dts1", "script": "pause"}
        with Simulator({"migrations": [migration]}, speed=20) as simulator:
            yield simulator

``simulator.url`` and ``simulator.connections()`` are for connecting, ``simulator.jump("dts", "dts1", 20)``
moves a migration to the 20th second of its script, ``simulator.requests`` and ``simulator.writes`` record
the requests. Nothing here imports Airflow, and every import is lazy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_migration.simulator.identity import connections
    from airflow_provider_migration.simulator.scenario import Scenario, ScenarioError
    from airflow_provider_migration.simulator.server import RequestRecord, Simulator

_HOMES = {
    "RequestRecord": "server",
    "Scenario": "scenario",
    "ScenarioError": "scenario",
    "Simulator": "server",
    "connections": "identity",
}

__all__ = ["RequestRecord", "Scenario", "ScenarioError", "Simulator", "connections"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
