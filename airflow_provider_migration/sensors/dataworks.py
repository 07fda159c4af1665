"""Sensor for Alibaba Cloud DataWorks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow_provider_migration.sensors.base import SHARED_TEMPLATE_FIELDS, MigrationSensor, read_text, refuse


class DataWorksMigrationSensor(MigrationSensor):
    """
    Wait for an import or export of DataWorks' Migration Assistant.

    DataWorks has a quota of API calls: 100 a day for the whole account with a Basic workspace, failed calls
    included (https://www.alibabacloud.com/help/en/dataworks/developer-reference/use-dataworks-openapi). A
    poll costs one call before the package starts and two after, so ``poke_interval`` defaults to 300 s; with
    a Basic workspace and a package that takes hours, choose 1,800 s or more.

    All parameters of :class:`~airflow_provider_migration.sensors.base.MigrationSensor` apply.

    :param project_id: the number of the workspace. (templated)
    :param migration_id: the number of the package; or give ``migration_name``. (templated)
    :param dataworks_conn_id: id of a connection to Alibaba Cloud. (templated)
    """

    template_fields: Sequence[str] = (
        "project_id",
        "migration_id",
        *SHARED_TEMPLATE_FIELDS,
        "dataworks_conn_id",
    )
    hook_class = "airflow_provider_migration.hooks.dataworks:DataWorksHook"
    conn_argument = "dataworks_conn_id"
    has_increment = False
    id_arguments: ClassVar[tuple[str, ...]] = ("project_id", "migration_id")
    migration_argument = "migration_id"
    list_arguments: ClassVar[tuple[str, ...]] = ("project_id",)

    def __init__(
        self,
        *,
        project_id: str | int,
        migration_id: str | int | None = None,
        dataworks_conn_id: str = "dataworks_default",
        target_status: str | Sequence[str] = "succeeded",
        poke_interval: timedelta | float = 300,
        **kwargs: Any,
    ) -> None:
        super().__init__(target_status=target_status, poke_interval=poke_interval, **kwargs)
        self.project_id = project_id
        self.migration_id = migration_id
        self.dataworks_conn_id = dataworks_conn_id
        self._check_constants()

    @classmethod
    def _read_id(cls, subject: str, name: str, value: object) -> Any:
        text = read_text(subject, name, value)
        if not (text.isascii() and text.isdigit()):
            refuse(subject, name, f"must be a number as DataWorks shows it, not {text!r}.")
        return text
