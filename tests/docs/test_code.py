"""Code blocks of the documentation: each is run, or says why it is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from configparser import ConfigParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_migration.get_provider_info import get_provider_info
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sensors.base import MigrationSensor, is_constant
from airflow_provider_migration.simulator import Scenario, Simulator
from tests.conftest import ROOT
from tests.docs.pages import BLOCKS, PAGES, Block, blocks_of

RUN = [block for block in BLOCKS if block.reason is None]
SESSIONS = sorted({block.page for block in RUN if block.language == "sh"})
WALK = ROOT / "docs" / "fifth-service.md"
HOOKS = {item["connection-type"]: item["hook-class-name"] for item in get_provider_info()["connection-types"]}


def blocks(*languages: str) -> pytest.MarkDecorator:
    """Give a test each block in a language that is to be run and is no file of its own."""
    chosen = [block for block in RUN if block.language in languages and block.title is None]
    return pytest.mark.parametrize("block", chosen, ids=str)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fences_are_known_blocks(page: Path) -> None:
    fences = re.findall(r"^\s*```", page.read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks_of(page))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_blocks_are_run_or_have_a_reason(block: Block) -> None:
    assert block.reason or block.language in ("sh", "python", "json", "yaml", "toml", "ini", "js", "md")
    # A file is saved for what else is on its page.
    assert block.title is None or block.page in (*SESSIONS, WALK)


# --- data -----------------------------------------------------------------------------------------------


@blocks("json", "yaml", "toml", "ini")
def test_data_blocks_are_valid(block: Block) -> None:
    read: dict[str, Callable[[str], Any]] = {
        "json": json.loads,
        "yaml": yaml.safe_load,
        "toml": tomllib.loads,
        "ini": read_configuration,
    }
    data = read[block.language](block.code)
    if "Statement" in data:
        check_policy(data)
    if "schema_version" in data:
        assert MigrationProgress.model_validate(data).model_dump(mode="json") == data
    if "conn_type" in data:
        look_up("some_conn", data)
    if "migrations" in data:
        assert Scenario.load(data).migrations


def read_configuration(text: str) -> dict[str, Any]:
    """Read what goes into ``airflow.cfg``, and see that Airflow has such options."""
    parser = ConfigParser()
    parser.read_string(text)
    for section in parser.sections():
        assert set(parser[section]) <= set(conf.configuration_description[section]["options"])
    return {section: dict(parser[section]) for section in parser.sections()}


def check_policy(policy: dict[str, Any]) -> None:
    """Hold a policy against the grammar that RAM documents."""
    assert policy["Version"] == "1"
    for statement in policy["Statement"]:
        assert set(statement) == {"Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        assert re.fullmatch(r"[a-z]+:[A-Za-z]*\*?", statement["Action"])
        assert re.fullmatch(r"\*|acs:dts:\*:\*:instance/\w+", statement["Resource"])


# --- shell ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=str)
def test_shell_blocks_are_valid(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)
    targets = re.findall(r"^(?:docs|[a-z-]+)(?=:)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make ([a-z-]+)", block.code, re.MULTILINE)) <= set(targets)


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.name)
def test_shell_session_of_a_page_runs(page: Path, simulator: Simulator, tmp_path: Path) -> None:
    save_files(page, tmp_path)
    commands = [block.code for block in blocks_of(page) if block.language == "sh" and not block.reason]
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="\n".join([*commands, "echo; env -0"]).replace("--port 8100", f"--port {simulator.port}"),
        env={**environment(), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    for variable in done.stdout.rpartition("\n\n")[2].split("\0"):
        name, _, value = variable.partition("=")
        if name.startswith("AIRFLOW_CONN_"):
            look_up(name.removeprefix("AIRFLOW_CONN_").lower(), json.loads(value))
    if "dags test" in "".join(commands):
        assert "In sync: " in done.stdout


def environment() -> dict[str, str]:
    """Return the environment of somebody who has set nothing yet."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}


def save_files(page: Path, folder: Path) -> None:
    """Save what a page says to save."""
    for block in blocks_of(page):
        if block.title and ": after " not in block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)


def look_up(conn_id: str, connection: dict[str, Any]) -> None:
    """Have the hook of a connection's type read it, as before a first poll."""
    module, _, name = HOOKS[connection["conn_type"]].rpartition(".")
    program = f"from {module} import {name} as Hook; Hook({conn_id!r})._look_up()"
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(name, json.dumps(connection))
        exec(program, {})


# --- Python ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block", [block for block in RUN if block.language == "python" and "DAG(" in block.code], ids=str
)
def test_dag_blocks_poll_the_simulator(block: Block, simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text(block.code)
    bag = DagBag(tmp_path)
    assert bag.import_errors == {}
    assert bag.dags
    poke_each(task for dag in bag.dags.values() for task in dag.tasks if isinstance(task, MigrationSensor))


@blocks("python")
def test_python_blocks_run(block: Block, simulator: Simulator, tmp_path: Path) -> None:
    if "DAG(" in block.code:
        return  # above
    if "def test_" in block.code:
        (tmp_path / "test_page.py").write_text(block.code)
        run_pytest(tmp_path)
        return
    if "iter_objects" in block.code:
        simulator.jump("dts", "dtsdemo0001", 20)  # a job has objects once it has begun
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block.code, str(block), "exec"), names)
    poke_each(value for value in names.values() if isinstance(value, MigrationSensor))


def poke_each(sensors: Iterable[MigrationSensor]) -> None:
    """Have each sensor ask once, about a migration that the simulator plays."""
    for sensor in sensors:
        ti = Mock(dag_id="dag", task_id=sensor.task_id, run_id="run", map_index=-1, try_number=1)
        if not is_constant(sensor.checkpoint_after):
            sensor.checkpoint_after = datetime.now(UTC).isoformat()  # as the task before it returns
        try:
            sensor.poke({"ti": ti})
        except TaskDeferred:
            assert sensor.deferrable
        sensor.hook.close()
        assert ti.xcom_push.call_args_list


def run_pytest(folder: Path, *options: str | Path) -> None:
    """Run the tests below a folder in a process of their own, which imports from there first."""
    here = ["-c", ROOT / "pyproject.toml", "--rootdir", folder, "-o", f"pythonpath={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *here, "-p", "no:cacheprovider", *options, folder],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


# --- the walk through a fifth service ------------------------------------------------------------------


OVER_ALL = (
    "test_catalogue",
    "test_facts",
    "test_imports",
    "test_plugin",
    "test_provider_info",
    "test_simulator_scenario",
    "test_tables",
)
"""Modules that are about all services, beside the tests that have the service's name in theirs."""


def test_fifth_service_passes_all_tests_over_services(tmp_path: Path) -> None:
    """A newcomer who follows the page has a service that is complete."""
    for name in ("airflow_provider_migration", "dashboards", "docs", "example_dags", "scripts", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "mkdocs.yml", ROOT / "Makefile"):
        shutil.copy(path, tmp_path)
    save_files(WALK, tmp_path)
    for block in blocks_of(WALK):
        name, _, place = (block.title or "").partition(": after ")
        if place:
            insert(block.code, tmp_path / name, place.replace("'", '"'))
    apart = [f"--ignore={tmp_path / 'tests' / name}" for name in ("system", "docs/test_code.py")]
    run_pytest(tmp_path, "-k", " or ".join(("acme", *OVER_ALL)), *apart)


def insert(code: str, path: Path, place: str) -> None:
    """Insert lines after the one line that a page names."""
    lines = path.read_text().splitlines(keepends=True)
    (number,) = [number for number, line in enumerate(lines, 1) if line.strip() == place]
    path.write_text("".join([*lines[:number], code, *lines[number:]]))
