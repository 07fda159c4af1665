"""Sensor for Alibaba Cloud DTS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_migration.sensors.base import SHARED_TEMPLATE_FIELDS, MigrationSensor, is_constant


class DtsMigrationJobSensor(MigrationSensor):
    """
    Wait for a migration or synchronization job of Alibaba Cloud DTS.

    A job with an incremental phase never ends on its own, so the default target is ``caught_up``: existing
    data is copied and the increment is in sync. A job that a person stops half way reports ``Finished`` like
    a complete one; here it is ``cancelled`` and fails the task. A two-way synchronization is in sync only if
    both directions are.

    All parameters of :class:`~airflow_provider_migration.sensors.base.MigrationSensor` apply.

    :param migration_job_id: the id of the instance, ``dts…``; or give ``migration_name``. (templated)
    :param dts_conn_id: id of a connection to Alibaba Cloud. (templated)
    :param api: the API call to use: ``DescribeMigrationJobStatus``, or ``DescribeDtsJobs``, which is
        maintained and, in deferrable mode, batches up to 30 jobs. Both produce the same record. A
        synchronization is always queried with the second.
    :param job_type: ``MIGRATION`` or ``SYNC`` (data synchronization); None to find out, which takes one more
        request for the first poll of a synchronization.
    :param objects: list the objects of the bulk phase under way, up to 10,000, for the record's ``objects``:
        one more call of each poll for each hundred. No verdict depends on them.
    """

    template_fields: Sequence[str] = ("migration_job_id", *SHARED_TEMPLATE_FIELDS, "dts_conn_id")
    hook_class = "airflow_provider_migration.hooks.dts:DtsHook"
    conn_argument = "dts_conn_id"
    id_arguments: ClassVar[tuple[str, ...]] = ("migration_job_id",)
    migration_argument = "migration_job_id"
    switches: ClassVar[tuple[str, ...]] = ("objects",)

    def __init__(
        self,
        *,
        migration_job_id: str | None = None,
        dts_conn_id: str = "dts_default",
        api: str = "DescribeMigrationJobStatus",
        job_type: str | None = None,
        objects: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.migration_job_id = migration_job_id
        self.dts_conn_id = dts_conn_id
        self.api = api
        self.job_type = job_type
        self.objects = objects
        self._check("api", isinstance(api, str) and is_constant(api), "the name of a call")
        self._check("job_type", job_type in (None, "MIGRATION", "SYNC"), "'MIGRATION', 'SYNC' or None")
        self._check_constants()

    def _hook_arguments(self) -> dict[str, Any]:
        return {**super()._hook_arguments(), "api": self.api, "job_type": self.job_type}
