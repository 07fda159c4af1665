"""Sensor for Alibaba Cloud DTS."""

from __future__ import annotations

from typing import Any

from airflow_provider_migration.sensors.base import MigrationSensor


class DtsMigrationJobSensor(MigrationSensor):
    """
    Wait for a migration job of Alibaba Cloud DTS.

    A job with an incremental phase never ends by itself, so the default target is ``caught_up``: existing
    data is copied and the increment is in sync. A job that a person stops half way reports ``Finished`` as a
    complete one does; here it is ``cancelled``, and fails the task.

    All parameters of :class:`~airflow_provider_migration.sensors.base.MigrationSensor` apply.

    :param migration_job_id: the id of the instance, ``dts…``. (templated)
    :param dts_conn_id: id of a connection to Alibaba Cloud. (templated)
    :param api: the call that is made: ``DescribeMigrationJobStatus``, or ``DescribeDtsJobs``, which is
        maintained and, deferred, asks about 30 jobs at once. Both make the same record.
    """

    template_fields = ("migration_job_id", "target_status", "dts_conn_id")
    hook_class = "airflow_provider_migration.hooks.dts:DtsHook"
    conn_argument = "dts_conn_id"
    id_arguments = ("migration_job_id",)

    def __init__(
        self,
        *,
        migration_job_id: str,
        dts_conn_id: str = "dts_default",
        api: str = "DescribeMigrationJobStatus",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.migration_job_id = migration_job_id
        self.dts_conn_id = dts_conn_id
        self.api = api

    def _hook_arguments(self) -> dict[str, Any]:
        return {**super()._hook_arguments(), "api": self.api}
