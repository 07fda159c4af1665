"""Hook for OceanBase Migration Service."""

from __future__ import annotations

from typing import Any

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.hooks.alibaba import read_account
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sansio import Flow
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.services.oms import (
    APIS,
    SERVICE,
    STATUSES,
    TARGETS,
    HostedOmsApi,
    OmsApi,
    ProjectProgressResult,
    ProjectStepsResult,
    check_objects,
    hosted_endpoint_of,
    list_of,
)


class OmsHook(MigrationHook[OmsApi | HostedOmsApi]):
    """
    Query projects of OceanBase Migration Service, at a console or as hosted by Alibaba Cloud.

    :param oms_conn_id: id of a connection with host, user and password of the console (a user with the role
        ADMIN-VIEWER can see every project and change none), or with an AccessKey and ``auth_type`` =
        ``access_key``.
    :param api: the call that :meth:`get_progress` makes at a console: ``GetMigrationProgress`` (up to OMS
        4.1.0, with that for synchronization projects) or ``DescribeProjectProgress`` (from 4.1.1 on).
        Default: the second for ids ``np_…``, else the first.
    """

    conn_name_attr = "oms_conn_id"
    default_conn_name = "oms_default"
    conn_type = "oceanbase_oms"
    hook_name = "OceanBase Migration Service"
    service = SERVICE
    migration_argument = "project_id"
    list_words = STATUSES.known_words
    list_states = STATUSES.states
    verifies = True

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
            raise reader.error(f"auth_type must be basic or access_key, not {auth_type!r}")
        endpoint = reader.endpoint(scheme="http")
        if endpoint is None:
            raise reader.error(
                "host is empty; set it to the address of the OMS console, e.g. http://oms:8089"
            )
        user = reader.login("console user", is_key=False)
        if ":" in user:
            raise reader.error("login must not contain a colon: HTTP Basic does not allow it in a user name")
        password = reader.password("console password", is_key=False)
        return OmsApi(endpoint=endpoint, signer=BasicSigner(user, password), api=self._named_api)

    def targets(self, **ids: Any) -> frozenset[str]:
        """Return the valid targets of a sensor, in lower case."""
        return TARGETS

    def checkpoint_remedy(self, **ids: Any) -> str | None:
        """Return None: the service gives a checkpoint."""
        return None

    def _probe(self, api: OmsApi | HostedOmsApi) -> Flow[ProjectProgressResult]:
        return (yield from api.project_progress("p_connectiontest"))

    def _listing(self, selection: MigrationFilter, **ids: Any) -> MigrationListing:
        """Return the paging state of a list of projects; the keys of its tags are labels."""
        return list_of(selection)

    def get_migration_progress(self, project_id: str) -> ProjectProgressResult:
        """
        Get the progress of a project, with the call that its id or ``api`` selects.

        :param project_id: the id of the project, ``p_…`` or ``np_…``.
        :raises MigrationApiError: if OMS refuses the request or does not respond.
        """
        return self._run(lambda api: api.project_progress(project_id))

    def describe_project_steps(self, project_id: str) -> ProjectStepsResult:
        """
        Get the steps of a project (OMS 4.1.1 or newer).

        :param project_id: the id of the project, ``np_…``.
        :raises MigrationApiError: if OMS refuses the request or does not respond.
        """
        return self._run(lambda api: api.describe_project_steps(project_id))

    def get_progress(
        self,
        project_id: str,
        *,
        max_lag: float = 60,
        verification: bool = False,
        objects: bool = False,
    ) -> MigrationProgress:
        """
        Get the progress of a project as a normalised record, with its steps where OMS has them.

        :param project_id: the id of the project, ``p_…`` or ``np_…``.
        :param max_lag: maximum lag in seconds that counts as caught up.
        :param verification: count the tables of the full verification too (OMS 4.1.1 or newer); a refused
            count is not an error but one of the record's ``warnings``.
        :param objects: must be False: no call of OMS lists the progress of single tables.
        :raises MigrationConfigurationError: for another value of ``objects``, before any request.
        :raises MigrationApiError: if OMS refuses the request or does not respond.
        """
        check_objects(objects)
        return self._run(lambda api: api.progress(project_id, max_lag=max_lag, verification=verification))

    async def aget_progress(
        self,
        project_id: str,
        *,
        max_lag: float = 60,
        verification: bool = False,
        objects: bool = False,
    ) -> MigrationProgress:
        """Async version of :meth:`get_progress`."""
        check_objects(objects)
        return await self._arun(
            lambda api: api.progress(project_id, max_lag=max_lag, verification=verification)
        )
