"""Sensor for OceanBase Migration Service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_migration.sensors.base import (
    SHARED_TEMPLATE_FIELDS,
    MigrationSensor,
    is_constant,
    refuse,
)


class OmsProjectSensor(MigrationSensor):
    """
    Wait for a migration or synchronization project of OceanBase Migration Service.

    A project with an incremental phase runs until a person switches over, so the default target is
    ``caught_up``. OMS samples its checkpoints every 10 s and saves them every 10 s: a ``max_lag`` below 25 s
    is not reliable. ``target_status`` also accepts a step, such as ``INCR_SYNC``. All of this also holds for
    a connection to OMS hosted by Alibaba Cloud.

    All parameters of :class:`~airflow_provider_migration.sensors.base.MigrationSensor` apply.

    :param project_id: the id of the project, ``p_…`` or ``np_…``; or give ``migration_name``. (templated)
    :param oms_conn_id: id of a connection with host, user and password of the OMS console. (templated)
    :param api: the API call to use at a console: ``GetMigrationProgress`` (up to OMS 4.1.0) or
        ``DescribeProjectProgress`` (from 4.1.1 on); None to choose by the form of the id.
    :param objects: must be False: no call of OMS lists the progress of single tables.
    """

    template_fields: Sequence[str] = ("project_id", *SHARED_TEMPLATE_FIELDS, "oms_conn_id")
    hook_class = "airflow_provider_migration.hooks.oms:OmsHook"
    conn_argument = "oms_conn_id"
    id_arguments: ClassVar[tuple[str, ...]] = ("project_id",)
    migration_argument = "project_id"
    switches: ClassVar[tuple[str, ...]] = ("objects",)

    def __init__(
        self,
        *,
        project_id: str | None = None,
        oms_conn_id: str = "oms_default",
        api: str | None = None,
        objects: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.oms_conn_id = oms_conn_id
        self.api = api
        self.objects = objects
        self._check(
            "api", api is None or (isinstance(api, str) and is_constant(api)), "the name of a call, or None"
        )
        self._check_constants()

    @classmethod
    def _read_switch(cls, subject: str, name: str, value: object) -> bool:
        if super()._read_switch(subject, name, value):
            from airflow_provider_migration.services.oms import NO_OBJECTS

            refuse(subject, name, f"must be False: {NO_OBJECTS}")
        return False

    def _hook_arguments(self) -> dict[str, Any]:
        return {**super()._hook_arguments(), "api": self.api}
