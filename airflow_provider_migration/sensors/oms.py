"""Sensor for OceanBase Migration Service."""

from __future__ import annotations

from typing import Any

from airflow_provider_migration.sensors.base import MigrationSensor


class OmsProjectSensor(MigrationSensor):
    """
    Wait for a migration project of OceanBase Migration Service.

    A project with an incremental phase runs until a person switches over, so the default target is
    ``caught_up``. OMS samples its checkpoints every 10 s and saves them every 10 s: a ``max_lag`` below 25 s
    cannot be relied upon. ``target_status`` also takes a step, such as ``INCR_SYNC``.

    All parameters of :class:`~airflow_provider_migration.sensors.base.MigrationSensor` apply.

    :param project_id: the id of the project, ``p_…``. (templated)
    :param oms_conn_id: id of a connection with host, user and password of the OMS console. (templated)
    """

    template_fields = ("project_id", "target_status", "oms_conn_id")
    hook_class = "airflow_provider_migration.hooks.oms:OmsHook"
    conn_argument = "oms_conn_id"
    id_arguments = ("project_id",)

    def __init__(self, *, project_id: str, oms_conn_id: str = "oms_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.oms_conn_id = oms_conn_id
