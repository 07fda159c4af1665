"""Hook for OceanBase Migration Service."""

from __future__ import annotations

from typing import Any

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.conversation import Conversation
from airflow_provider_migration.hooks.base import ConnectionReader, MigrationHook
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.oms import TARGETS, OmsApi, ProjectProgressResult


class OmsHook(MigrationHook[OmsApi]):
    """
    Ask an OMS console about migration projects.

    :param oms_conn_id: id of a connection with host, user and password of the console. A user of the role
        ADMIN-VIEWER sees every project and can change none.
    """

    conn_name_attr = "oms_conn_id"
    default_conn_name = "oms_default"
    conn_type = "oceanbase_oms"
    hook_name = "OceanBase Migration Service"

    def __init__(self, oms_conn_id: str = default_conn_name) -> None:
        super().__init__(oms_conn_id)

    def _connect(self, reader: ConnectionReader) -> OmsApi:
        endpoint = reader.endpoint(scheme="http")
        if endpoint is None:
            raise reader.error("host is empty: write the address of the OMS console, such as http://oms:8089")
        user = reader.login("console user", is_key=False)
        if ":" in user:
            raise reader.error("login holds a colon, which HTTP Basic cannot carry")
        password = reader.password("console password", is_key=False)
        return OmsApi(endpoint=endpoint, signer=BasicSigner(user, password))

    def targets(self, **ids: Any) -> frozenset[str]:
        """Return, in lower case, what a sensor can wait for."""
        return TARGETS

    def _probe(self, api: OmsApi) -> Conversation[ProjectProgressResult]:
        return api.get_migration_progress("p_connectiontest")

    def get_migration_progress(self, project_id: str) -> ProjectProgressResult:
        """
        Ask for the progress of a project.

        :param project_id: the id of the project, ``p_…``.
        :raises MigrationApiError: if OMS refuses or does not answer.
        """
        return self._run(lambda api: api.get_migration_progress(project_id))

    def get_progress(self, project_id: str, *, max_lag: float = 60) -> MigrationProgress:
        """
        Ask for the progress of a project as a normalised record.

        :param project_id: the id of the project, ``p_…``.
        :param max_lag: up to how many seconds of lag count as caught up.
        :raises MigrationApiError: if OMS refuses or does not answer.
        """
        return self._run(lambda api: api.progress(project_id, max_lag=max_lag))

    async def aget_progress(self, project_id: str, *, max_lag: float = 60) -> MigrationProgress:
        """Do as :meth:`get_progress` does, on the event loop."""
        return await self._arun(lambda api: api.progress(project_id, max_lag=max_lag))
