"""Hook for Alibaba Cloud DTS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationPermissionError
from airflow_provider_migration.hooks.alibaba import read_account
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.progress import DatasetName, MigrationProgress, ObjectProgress
from airflow_provider_migration.sansio import Flow
from airflow_provider_migration.services.dts import (
    APIS,
    JOB_TYPES,
    LEGACY_API,
    MIGRATION,
    SERVICE,
    STATUSES,
    TARGETS,
    DtsApi,
    DtsJobs,
    JobListing,
    MigrationJob,
    ObjectListing,
    endpoint_of,
    require_job_type,
)
from airflow_provider_migration.services.listing import MigrationFilter
from airflow_provider_migration.services.wire import require_id


class DtsHook(MigrationHook[DtsApi]):
    """
    Query migration and synchronization jobs of Alibaba Cloud DTS.

    :param dts_conn_id: id of a connection to Alibaba Cloud.
    :param region: region ID such as ``cn-hangzhou``; default: the connection's.
    :param api: the call that :meth:`get_progress` makes: ``DescribeMigrationJobStatus``, or
        ``DescribeDtsJobs``, which is maintained and, on the triggerer, batches up to 30 jobs into one
        request. A job that only the second call knows is always queried with it.
    :param job_type: ``MIGRATION`` or ``SYNC`` (data synchronization); None to find out, which takes one more
        request for the first poll of a synchronization. Synchronizations are always queried with
        ``DescribeDtsJobs``.
    """

    conn_name_attr = "dts_conn_id"
    default_conn_name = "dts_default"
    conn_type = "alibaba_dts"
    hook_name = "Alibaba Cloud DTS"
    service = SERVICE
    migration_argument = "migration_job_id"
    list_words = STATUSES.known_words
    verifies = True

    def __init__(
        self,
        dts_conn_id: str = default_conn_name,
        region: str | None = None,
        api: str = LEGACY_API,
        job_type: str | None = None,
    ) -> None:
        super().__init__(dts_conn_id)
        if api not in APIS:
            raise MigrationConfigurationError(f"api must be {' or '.join(APIS)}, not {api!r}.")
        self._region = region
        self._named_api = api
        self._job_type = None if job_type is None else require_job_type(job_type)

    def _connect(self, reader: ConnectionReader) -> DtsApi:
        account = read_account(reader, self._region, endpoint_of)
        return DtsApi(**account, api=self._named_api, job_type=self._job_type)

    def targets(self, **ids: Any) -> frozenset[str]:
        """Return the valid targets of a sensor, in lower case."""
        return TARGETS

    def checkpoint_remedy(self, **ids: Any) -> str | None:
        """Return None: the service gives a checkpoint."""
        return None

    def _probe(self, api: DtsApi) -> Flow[MigrationJob | DtsJobs]:
        try:
            return (yield from api.describe_migration_job_status("dtsconnectiontest"))
        except MigrationPermissionError:
            pass  # permission for one of the calls is enough
        return (yield from api.describe_dts_jobs(["dtsconnectiontest"]))

    def describe_migration_job_status(
        self,
        migration_job_id: str,
        *,
        client_token: str | None = None,
        account_id: str | int | None = None,
        region_id: str | None = None,
    ) -> MigrationJob:
        """
        Get one migration job.

        :param migration_job_id: the id of the instance, ``dts…``.
        :param client_token: idempotency token; the service documents it for every call.
        :param account_id: the account of the job, if it is not the caller's.
        :param region_id: the region of the instance; default: the hook's.
        :raises MigrationApiError: if DTS refuses the request or does not respond.
        """
        return self._run(
            lambda api: api.describe_migration_job_status(
                migration_job_id,
                client_token=client_token,
                account_id=None if account_id is None else str(account_id),
                region_id=region_id,
            )
        )

    def describe_dts_jobs(self, dts_instance_ids: Sequence[str], *, job_type: str = MIGRATION) -> DtsJobs:
        """
        Get several jobs of one type in one request.

        :param dts_instance_ids: 1 to 30 instance ids, ``dts…``; DTS omits unknown ones.
        :param job_type: ``MIGRATION`` or ``SYNC``; DTS omits jobs of other types.
        :raises MigrationConfigurationError: for fewer or more ids, and for anything but a list.
        :raises MigrationApiError: if DTS refuses the request or does not respond.
        """
        return self._run(lambda api: api.describe_dts_jobs(dts_instance_ids, job_type=job_type))

    def _listing(self, selection: MigrationFilter, **ids: Any) -> JobListing:
        """Return the paging state of a list of jobs; its group is the id of a resource group."""
        return JobListing(selection, (self._job_type,) if self._job_type else JOB_TYPES)

    def iter_objects(self, migration_job_id: str, *, phase: str = "full") -> Iterator[ObjectProgress]:
        """
        Iterate over the objects of a phase with their progress; pages of 100 are requested lazily.

        :param migration_job_id: as in :meth:`get_progress`. The job must be migrating, failed, paused or
            finished.
        :param phase: ``full`` for the tables, ``structure`` for the objects whose structure is migrated.
        :raises MigrationConfigurationError: for a wrong argument, before any request.
        :raises MigrationApiError: if DTS refuses the request or does not respond.
        """
        job_id, listing = require_id("migration_job_id", migration_job_id), ObjectListing(phase)
        return self._iter_objects(job_id, listing)

    def _iter_objects(self, job_id: str, listing: ObjectListing) -> Iterator[ObjectProgress]:
        while not listing.at_end:
            rows = self._run(lambda api: api.describe_migration_job_detail(job_id, listing))
            yield from (row.as_object_progress() for row in rows)

    def get_progress(
        self,
        migration_job_id: str,
        *,
        max_lag: float = 60,
        verification: bool = False,
        objects: bool = False,
    ) -> MigrationProgress:
        """
        Get one job as a normalised record.

        :param migration_job_id: the id of the instance, ``dts…``, or the ``DtsJobId`` of the job, as returned
            by Terraform and Pulumi, which is looked up with DescribeDtsJobs.
        :param max_lag: maximum delay in seconds that counts as caught up.
        :param verification: count the tables of the job's data checks too. The job is then requested with
            DescribeDtsJobs; a refused count is not an error but one of the record's ``warnings``.
        :param objects: list the objects of the bulk phase under way too, with DescribeMigrationJobDetail, up
            to 10,000; a refused list is not an error but one of the record's ``warnings``.
        :raises MigrationApiError: if DTS refuses the request or does not respond.
        """
        return self._run(
            lambda api: api.progress(
                migration_job_id, max_lag=max_lag, verification=verification, objects=objects
            )
        )

    def get_datasets(self, **ids: Any) -> tuple[DatasetName, DatasetName] | None:
        """Get the source and the destination of a migration job, as OpenLineage names them."""
        return self._run(lambda api: api.datasets(ids["migration_job_id"]))

    async def aget_progress(
        self,
        migration_job_id: str,
        *,
        max_lag: float = 60,
        verification: bool = False,
        objects: bool = False,
    ) -> MigrationProgress:
        """Async version of :meth:`get_progress`."""
        return await self._arun(
            lambda api: api.progress(
                migration_job_id, max_lag=max_lag, verification=verification, objects=objects
            )
        )
