"""Hook for OceanBase Migration Service."""

from __future__ import annotations

from typing import Any

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.conversation import Conversation
from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationNotFoundError
from airflow_provider_migration.hooks.alibaba import read_account
from airflow_provider_migration.hooks.base import ConnectionReader, MigrationHook
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.oms import (
    APIS,
    SERVICE,
    TARGETS,
    HostedOmsApi,
    OmsApi,
    ProjectProgressResult,
    ProjectStepsResult,
    hosted_endpoint_of,
)


class OmsHook(MigrationHook[OmsApi | HostedOmsApi]):
    """
    Ask OceanBase Migration Service about projects: a console, or the service that Alibaba Cloud hosts.

    :param oms_conn_id: id of a connection with host, user and password of the console (a user of the role
        ADMIN-VIEWER sees every project and can change none), or with an AccessKey and ``auth_type`` =
        ``access_key``.
    :param api: the call that :meth:`get_progress` makes at a console: ``GetMigrationProgress`` (up to OMS
        4.1.0) or ``DescribeProjectProgress`` (from 4.1.1 on); without it, the second for ids ``np_…``, else
        the first.
    """

    conn_name_attr = "oms_conn_id"
    default_conn_name = "oms_default"
    conn_type = "oceanbase_oms"
    hook_name = "OceanBase Migration Service"
    service = SERVICE
    migration_argument = "project_id"

    def __init__(self, oms_conn_id: str = default_conn_name, api: str | None = None) -> None:
        super().__init__(oms_conn_id)
        if api not in (None, *APIS):
            raise MigrationConfigurationError(f"api must be {' or '.join(APIS)}, or None, not {api!r}.")
        self._named_api = api

    def _connect(self, reader: ConnectionReader) -> OmsApi | HostedOmsApi:
        auth_type = (reader.extra("auth_type") or "basic").lower()
        if auth_type == "access_key":
            return HostedOmsApi(**read_account(reader, None, hosted_endpoint_of))
        if auth_type != "basic":
            raise reader.error(f"auth_type is {auth_type!r}: write basic or access_key")
        endpoint = reader.endpoint(scheme="http")
        if endpoint is None:
            raise reader.error("host is empty: write the address of the OMS console, such as http://oms:8089")
        user = reader.login("console user", is_key=False)
        if ":" in user:
            raise reader.error("login holds a colon, which HTTP Basic cannot carry")
        password = reader.password("console password", is_key=False)
        return OmsApi(endpoint=endpoint, signer=BasicSigner(user, password), api=self._named_api)

    def targets(self, **ids: Any) -> frozenset[str]:
        """Return, in lower case, what a sensor can wait for."""
        return TARGETS

    def _probe(self, api: OmsApi | HostedOmsApi) -> Conversation[ProjectProgressResult]:
        try:
            return (yield from api.project_progress("p_connectiontest"))
        except MigrationNotFoundError as error:
            if error.code:  # of OMS's own
                raise
        # Newer releases may not have the older call.
        return (yield from api.describe_project_progress("np_connectiontest"))

    def get_migration_progress(self, project_id: str) -> ProjectProgressResult:
        """
        Ask for the progress of a project with the call that its id, or ``api``, says.

        :param project_id: the id of the project, ``p_…`` or ``np_…``.
        :raises MigrationApiError: if OMS refuses or does not answer.
        """
        return self._run(lambda api: api.project_progress(project_id))

    def describe_project_steps(self, project_id: str) -> ProjectStepsResult:
        """
        Ask for the steps of a project, from OMS 4.1.1 on.

        :param project_id: the id of the project, ``np_…``.
        :raises MigrationApiError: if OMS refuses or does not answer.
        """
        return self._run(lambda api: api.describe_project_steps(project_id))

    def get_progress(self, project_id: str, *, max_lag: float = 60) -> MigrationProgress:
        """
        Ask for the progress of a project as a normalised record; where there are, for its steps too.

        :param project_id: the id of the project, ``p_…`` or ``np_…``.
        :param max_lag: up to how many seconds of lag count as caught up.
        :raises MigrationApiError: if OMS refuses or does not answer.
        """
        return self._run(lambda api: api.progress(project_id, max_lag=max_lag))

    async def aget_progress(self, project_id: str, *, max_lag: float = 60) -> MigrationProgress:
        """Do as :meth:`get_progress` does, on the event loop."""
        return await self._arun(lambda api: api.progress(project_id, max_lag=max_lag))
