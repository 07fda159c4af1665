"""Sensors by the name of their service, and what the ids of its migrations look like."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor

SENSORS: dict[str, Any] = {
    "dataworks": DataWorksMigrationSensor,
    "dts": DtsMigrationJobSensor,
    "oms": OmsProjectSensor,
    "drs": DrsProgressSensor,
}
ID_ARGUMENTS = {
    "dataworks": "migration_id",
    "dts": "migration_job_id",
    "oms": "project_id",
    "drs": "job_id",
}


def migration_id(service: str, name: str) -> str | int:
    """Return the id of a migration: DataWorks has numbers."""
    return crc32(name.encode()) if service == "dataworks" else name


def ids(service: str, name: str) -> dict[str, Any]:
    """Return what names a migration, to its sensor and in a scenario."""
    project = {"project_id": 123456} if service == "dataworks" else {}
    return {**project, ID_ARGUMENTS[service]: migration_id(service, name)}
