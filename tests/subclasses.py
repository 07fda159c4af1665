"""Sensors of users' own, which ``make lint`` type-checks as it does the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor


class NotedDts(DtsMigrationJobSensor):
    """A sensor with another template field."""

    template_fields: Sequence[str] = (*DtsMigrationJobSensor.template_fields, "note")

    def __init__(self, *, note: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.note = note


class PatientDts(DtsMigrationJobSensor):
    """A sensor that templates a duration, in a DAG that renders native objects."""

    template_fields: Sequence[str] = (*DtsMigrationJobSensor.template_fields, "hold_for")


class DataWorks(DataWorksMigrationSensor):
    """A list instead of a tuple."""

    template_fields: Sequence[str] = [*DataWorksMigrationSensor.template_fields, "max_lag"]


class Oms(OmsProjectSensor):
    """One field less."""

    template_fields: Sequence[str] = ("project_id",)


class Drs(DrsProgressSensor):
    """Another field."""

    template_fields: Sequence[str] = (*DrsProgressSensor.template_fields, "job_status")
