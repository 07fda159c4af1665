"""Hook for Alibaba Cloud DataWorks."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_migration.hooks.alibaba import read_account
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sansio import Flow
from airflow_provider_migration.services.dataworks import (
    LIST_STATUSES,
    SERVICE,
    TARGETS,
    DataWorksApi,
    MigrationProcess,
    PackageSummary,
    endpoint_of,
    list_of,
)
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing


class DataWorksHook(MigrationHook[DataWorksApi]):
    """
    Query imports and exports of Alibaba Cloud DataWorks' Migration Assistant.

    :param dataworks_conn_id: id of a connection to Alibaba Cloud.
    :param region: region ID such as ``cn-shanghai``; default: the connection's.
    """

    conn_name_attr = "dataworks_conn_id"
    default_conn_name = "dataworks_default"
    conn_type = "alibaba_dataworks"
    hook_name = "Alibaba Cloud DataWorks"
    service = SERVICE
    migration_argument = "migration_id"
    list_words = LIST_STATUSES.known_words
    list_states = LIST_STATUSES.states
    list_arguments = ("project_id",)
    calls_per_second: ClassVar[float | None] = 5  # of the Basic edition; the others allow more

    def __init__(self, dataworks_conn_id: str = default_conn_name, region: str | None = None) -> None:
        super().__init__(dataworks_conn_id)
        self._region = region

    def _connect(self, reader: ConnectionReader) -> DataWorksApi:
        return DataWorksApi(**read_account(reader, self._region, endpoint_of))

    def targets(self, **ids: Any) -> frozenset[str]:
        """Return the valid targets of a sensor, in lower case."""
        return TARGETS

    def _probe(self, api: DataWorksApi) -> Flow[PackageSummary]:
        return api.get_migration_summary(1, 1)

    def _listing(self, selection: MigrationFilter, **ids: Any) -> MigrationListing:
        """Return the paging state of a list; ``ids`` has the ``project_id`` of the workspace."""
        return list_of(selection, ids.get("project_id"))

    def get_migration_process(self, project_id: str | int, migration_id: str | int) -> MigrationProcess:
        """
        Get the steps of a package.

        :param project_id: the number of the workspace.
        :param migration_id: the number of the package.
        :raises MigrationApiError: if DataWorks refuses the request or does not respond.
        """
        return self._run(lambda api: api.get_migration_process(project_id, migration_id))

    def get_migration_summary(self, project_id: str | int, migration_id: str | int) -> PackageSummary:
        """
        Get the status of a package.

        :param project_id: the number of the workspace.
        :param migration_id: the number of the package.
        :raises MigrationApiError: if DataWorks refuses the request or does not respond.
        """
        return self._run(lambda api: api.get_migration_summary(project_id, migration_id))

    def get_progress(
        self, project_id: str | int, migration_id: str | int, *, max_lag: float = 60
    ) -> MigrationProgress:
        """
        Get the status and the steps of a package as a normalised record: two calls once it has started.

        :param project_id: the number of the workspace.
        :param migration_id: the number of the package.
        :param max_lag: not used: a package has no incremental phase.
        :raises MigrationApiError: if DataWorks refuses the request or does not respond.
        """
        return self._run(lambda api: api.progress(project_id, migration_id, max_lag=max_lag))

    async def aget_progress(
        self, project_id: str | int, migration_id: str | int, *, max_lag: float = 60
    ) -> MigrationProgress:
        """Async version of :meth:`get_progress`."""
        return await self._arun(lambda api: api.progress(project_id, migration_id, max_lag=max_lag))
