"""Sensor for Huawei Cloud DRS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from airflow_provider_migration.sensors.base import (
    SHARED_TEMPLATE_FIELDS,
    MigrationSensor,
    read_words,
    refuse,
    shown,
)

OBJECT_TYPES: Final = (
    "table",
    "event",
    "table_structure",
    "procedure",
    "view",
    "function",
    "database",
    "trigger",
    "table_indexs",
)
"""Copy of ``services.drs.OBJECT_TYPES``, so that parsing a DAG does not import the service's module."""


class DrsProgressSensor(MigrationSensor):
    """
    Wait for a migration, synchronization or disaster recovery job of Huawei Cloud DRS.

    A job with an incremental phase runs until a person ends it, so the default target is ``caught_up``. A job
    that is ended before its existing data is known to be copied, or while its lag is above ``max_lag``, is
    ``cancelled`` and fails the task. A parent job is in sync only while all its child jobs are, and a
    disaster recovery job only while it is not switching over.

    All parameters of :class:`~airflow_provider_migration.sensors.base.MigrationSensor` apply.

    :param job_id: the id of the job; or give ``migration_name``. (templated)
    :param object_types: object types to count: ``table``, ``event``, ``table_structure``, ``procedure``,
        ``view``, ``function``, ``database``, ``trigger``, ``table_indexs``. DRS moves triggers and events
        only when a job is ended. (templated)
    :param job_status: request the job's status too. Without it, ``full_done`` is the only possible target,
        and only while the existing data is copied: later DRS returns no list of objects.
    :param drs_conn_id: id of a connection with AK and SK, or with an IAM user and password. (templated)
    """

    template_fields: Sequence[str] = (
        "job_id",
        "object_types",
        *SHARED_TEMPLATE_FIELDS,
        "drs_conn_id",
    )
    hook_class = "airflow_provider_migration.hooks.drs:DrsHook"
    conn_argument = "drs_conn_id"
    id_arguments: ClassVar[tuple[str, ...]] = ("job_id", "object_types", "job_status")
    migration_argument = "job_id"

    def __init__(
        self,
        *,
        job_id: str | None = None,
        object_types: Sequence[str] = ("table",),
        job_status: bool = True,
        drs_conn_id: str = "drs_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.object_types = object_types
        self.job_status = job_status
        self.drs_conn_id = drs_conn_id
        self._check_constants()

    @classmethod
    def _read_id(cls, subject: str, name: str, value: object) -> Any:
        if name == "object_types":
            words = read_words(subject, name, value)
            for word in words:
                if word not in OBJECT_TYPES:
                    known = ", ".join(OBJECT_TYPES)
                    refuse(
                        subject, name, f"{word!r} is not known to DRS; give a list of some of these: {known}."
                    )
            return list(dict.fromkeys(words))
        if name == "job_status":
            if not isinstance(value, bool):
                refuse(subject, name, f"must be True or False, not {shown(value)}.")
            return value
        return super()._read_id(subject, name, value)
