"""Facts about the package in the documentation."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_migration import exceptions, keys, simulator
from airflow_provider_migration.alerts import CONDITIONS, MigrationAlert
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.notifications.delivery import Message
from airflow_provider_migration.progress import MigrationState
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.services import oms
from airflow_provider_migration.wait.alerts import Notification
from scripts.record_reference import PAGE, with_tables
from tests.catalogue import SERVICES, Service, each_service
from tests.conftest import ROOT
from tests.docs.pages import quoted, tables_of
from tests.flows import hold
from tests.services.test_tables import RECORDS, TABLES

DOCS = ROOT / "docs"
STATUS_TABLES = [found for service in SERVICES for found in tables_of(DOCS / f"{service}.md", "words")]


# --- statuses -------------------------------------------------------------------------------------------


def test_status_tables_are_on_a_page() -> None:
    assert {what for what, _ in STATUS_TABLES} == set(TABLES)


@pytest.mark.parametrize(("what", "rows"), STATUS_TABLES, ids=[what for what, _ in STATUS_TABLES])
def test_status_table_matches_its_page(what: str, rows: list[list[str]]) -> None:
    table = TABLES[what]
    words = [quoted(row[0])[0] for row in rows]
    assert Counter(words) == Counter(word for group in table.words.values() for word in group)
    for row in rows:
        assert table.state_of(quoted(row[0])[0]).value in quoted(row[1])


@each_service
def test_status_page_has_each_possible_state(service: Service) -> None:
    (rows,) = [rows for what, rows in STATUS_TABLES if what == f"{service}.STATUSES"]
    said = {quoted(row[0])[0]: set(quoted(row[1])) for row in rows}
    for flow, answers in RECORDS[service.name]():
        progress = hold(flow, *answers).result
        if progress.service_status in said:
            assert progress.state.value in said[progress.service_status], progress.service_status
    assert {word for words in said.values() for word in words} <= {state.value for state in MigrationState}


def test_oms_page_has_the_steps_in_order() -> None:
    ((_, rows),) = tables_of(DOCS / "oms.md", "steps")
    assert tuple((quoted(phase)[0], tuple(quoted(steps))) for phase, steps in rows) == oms.STEPS


# --- the record and the public API ----------------------------------------------------------------------


def test_record_page_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "run: make docs"


def public_names() -> dict[str, set[str]]:
    """Return the names that the page of the public API has, by module."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (`.+`) \|$", (DOCS / "api.md").read_text(), re.MULTILINE)
    return {module: set(quoted(names)) for module, names in rows}


@pytest.mark.parametrize(("module", "names"), public_names().items())
def test_public_names_exist(module: str, names: set[str]) -> None:
    home = importlib.import_module(f"airflow_provider_migration.{module}")
    assert [name for name in names if not hasattr(home, name)] == []


def test_public_names_are_complete() -> None:
    names = public_names()
    for kind, base in (("sensors", MigrationSensor), ("hooks", MigrationHook)):
        for service in SERVICES:
            home = importlib.import_module(f"airflow_provider_migration.{kind}.{service}")
            assert names[f"{kind}.{service}"] == {
                name
                for name, value in vars(home).items()
                if isinstance(value, type) and issubclass(value, base) and value is not base
            }
    assert names["exceptions"] == {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, exceptions.MigrationError)
    }
    assert names["simulator"] == set(simulator.__all__)


def test_examples_import_public_names() -> None:
    package = "airflow_provider_migration."
    imported = {
        (statement.module.removeprefix(package), alias.name)
        for example in (ROOT / "example_dags").glob("*.py")
        for statement in ast.walk(ast.parse(example.read_text()))
        if isinstance(statement, ast.ImportFrom) and statement.module and statement.module.startswith(package)
        for alias in statement.names
    }
    assert imported <= {(module, name) for module, names in public_names().items() for name in names}


def test_xcom_keys_are_documented() -> None:
    (line,) = re.findall(r"^XCom keys: ([^.]+)\.", (DOCS / "api.md").read_text(), re.MULTILINE)
    written = {value for name, value in vars(keys).items() if name.endswith("_KEY")} | {"return_value"}
    assert set(quoted(line)) == written - {keys.TRACKER_KEY}  # which is in the task state store


def test_alert_page_has_each_condition_argument_and_variable() -> None:
    rows = dict(tables_of(DOCS / "alerts.md", "alerts"))
    assert [quoted(row[0]) for row in rows["conditions"]] == [[when] for when in CONDITIONS]
    arguments = [name for row in rows["arguments"] for name in quoted(row[0])]
    assert arguments == list(inspect.signature(MigrationAlert).parameters)
    variables = {name for row in rows["variables"] for name in quoted(row[0])}
    message = Message(Notification(MigrationAlert("failed", "x.Y"), False, 0, 0), None, {"targets": []}, None)
    known = message.context()
    assert variables == {
        *(name for name in known if name not in ("alert", "dag")),
        *(f"alert.{name}" for name in known["alert"] if name != "zh"),
        *(f"alert.zh.{name}" for name in known["alert"]["zh"]),
    }


# --- the site -------------------------------------------------------------------------------------------


def test_site_builds_without_warnings_or_external_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path))
    build(config)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))  # and one for what is not found
    for page in pages:
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"([^\"]+)", page.read_text())
        assert [address for address in loaded if "//" in address] == []
