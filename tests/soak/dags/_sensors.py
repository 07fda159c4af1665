"""Sensors by the name of their service, and what the ids of its migrations look like."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from tests.catalogue import SERVICES

SENSORS: dict[str, Any] = {service.name: service.sensor for service in SERVICES}
ID_ARGUMENTS = {service.name: service.id_argument for service in SERVICES}


def migration_id(service: str, name: str) -> str | int:
    """Return the id of a migration: DataWorks has numbers."""
    return crc32(name.encode()) if service == "dataworks" else name


def ids(service: str, name: str) -> dict[str, Any]:
    """Return what names a migration, to its sensor and in a scenario."""
    project = {"project_id": 123456} if service == "dataworks" else {}
    return {**project, ID_ARGUMENTS[service]: migration_id(service, name)}
