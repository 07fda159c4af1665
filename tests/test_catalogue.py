"""The list of services is complete, and so is each table that has a row for every service."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from airflow_provider_migration import hooks
from airflow_provider_migration.simulator.scenario import BUILT_IN
from airflow_provider_migration.simulator.scripts import SCRIPTS
from tests.catalogue import NAMES, Service, each_service
from tests.services.test_fuzz import CASES
from tests.services.test_garbage import CALLS, CODES
from tests.services.test_tables import RECORDS

SHARED = {"__init__", "base", "alibaba", "connection", "connection_form"}


def test_catalogue_has_the_service_of_each_hook() -> None:
    modules = {path.stem for path in Path(str(hooks.__file__)).parent.glob("*.py")}
    assert sorted(NAMES) == sorted(modules - SHARED)


@each_service
def test_catalogue_entry_fits_its_hook_and_sensor(service: Service) -> None:
    assert service.module.SERVICE == service.hook.service == service.name
    assert service.sensor.conn_argument == service.hook.conn_name_attr
    assert set(service.ids) <= set(service.sensor.id_arguments)


@each_service
def test_catalogue_ids_are_in_the_built_in_scenario(service: Service) -> None:
    played = [{**migration, **service.migration()} for migration in BUILT_IN["migrations"]]
    assert any(migration in played for migration in BUILT_IN["migrations"])


@pytest.mark.parametrize(
    "table",
    [
        RECORDS,
        SCRIPTS,
        {name for name in CALLS if " " not in name} - {"iam"},
        CODES.keys() - {"iam"},
        {name.partition("_")[0] for name in CASES} - {"oceanbasepro"},
    ],
    ids=["RECORDS", "SCRIPTS", "CALLS", "CODES", "CASES"],
)
def test_table_has_every_service(table: Iterable[str]) -> None:
    assert set(table) == set(NAMES)
