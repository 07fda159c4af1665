"""The one list of services: each test over all services takes them from here."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, Final

import pytest

from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor


@dataclass(frozen=True)
class Service:
    """
    A service, as the tests over all services need it.

    :param name: its name in modules and records.
    :param ids: the arguments that name its migration in the simulator's built-in scenario, its own id last.
    :param identity: the caller, as the Test button of a connection to the simulator names it.
    """

    name: str
    sensor: type[MigrationSensor]
    ids: dict[str, Any] = field(hash=False)
    identity: str

    def __str__(self) -> str:
        """Return the name, which is the id of a test's parameter."""
        return self.name

    @property
    def migration_id(self) -> str:
        """The id of the migration, as records have it."""
        return str(self.ids[self.id_argument])

    @property
    def id_argument(self) -> str:
        """The argument that holds the id."""
        return list(self.ids)[-1]

    @property
    def target(self) -> str:
        """Default target of its sensor."""
        return str(self.sensor(task_id="wait", **self.ids).target_status)

    # Imported on use: DAG files of the tests take only the sensors from here.

    @property
    def hook(self) -> Any:
        """The class of its hook."""
        return resolve_name(self.sensor.hook_class)

    @property
    def module(self) -> ModuleType:
        """The module that knows its words and calls."""
        return import_module(f"airflow_provider_migration.services.{self.name}")

    def migration(self, **options: Any) -> dict[str, Any]:
        """Return its migration, as a scenario has it."""
        return {"service": self.name, **self.ids, **options}


SERVICES: Final = (
    Service(
        "dataworks",
        DataWorksMigrationSensor,
        {"project_id": 123456, "migration_id": 1234},
        identity="AccessKey ID SIMU…",
    ),
    Service(
        "dts",
        DtsMigrationJobSensor,
        {"migration_job_id": "dtsdemo0001"},
        identity="AccessKey ID SIMU…",
    ),
    Service(
        "oms",
        OmsProjectSensor,
        {"project_id": "p_demo0001"},
        identity="user 'simulator'",
    ),
    Service(
        "drs",
        DrsProgressSensor,
        {"job_id": "163b98e8-6088-46c3-8b86-c18fea6jb502"},
        identity="AK SIMU…",
    ),
)
NAMES: Final = tuple(service.name for service in SERVICES)

each_service: Final = pytest.mark.parametrize("service", SERVICES, ids=str)
"""Run a test once for each service."""
