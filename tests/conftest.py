"""An Airflow home of its own, made before anything imports Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.authority import Authority, make_authority

ROOT = Path(__file__).resolve().parent.parent

for _name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[_name]

hypothesis.settings.register_profile("unhurried", deadline=None)  # a busy machine must not fail a test
hypothesis.settings.load_profile("unhurried")

_home = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ.update(
    {
        "AIRFLOW_HOME": _home.name,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
    }
)


@pytest.fixture(autouse=True)
def _look_for_proxies_anew() -> None:
    """Let each test have an environment of its own."""
    from airflow_provider_migration.credentials.refusals import refusals
    from airflow_provider_migration.transport import proxies

    proxies._proxy.cache_clear()
    refusals.clear()


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Make Airflow's database, once for all tests that run tasks."""
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=300
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a certificate authority, and servers' certificates of it."""
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def talk() -> Callable[..., Any]:
    """Run a flow with canned answers."""
    from tests.flows import hold

    return hold


@pytest.fixture(scope="session")
def response() -> Callable[..., Any]:
    """Make an answer with a status and headers."""
    from tests.flows import to_response

    return to_response
