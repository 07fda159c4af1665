"""Hook for Huawei Cloud DRS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
from airflow_provider_migration.credentials.huawei_iam import AgencyKey, IamToken, find_project
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.progress import MigrationProgress, MigrationState, ObjectProgress
from airflow_provider_migration.sansio import Flow, Signer
from airflow_provider_migration.services.drs import (
    MAX_LIMIT,
    SERVICE,
    STATUSES,
    TARGETS,
    TARGETS_WITHOUT_JOB_STATUS,
    DrsApi,
    DrsListing,
    JobProgress,
    ObjectListing,
    ObjectRow,
    RpoAndRto,
    check_job_status,
    check_language,
    check_object_types,
    endpoint_of,
)
from airflow_provider_migration.services.huawei import iam_endpoint_of, is_in_cloud_of
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.services.wire import require_id

_T = TypeVar("_T")


class DrsHook(MigrationHook[DrsApi]):
    """
    Query migration, synchronization and disaster recovery jobs of Huawei Cloud DRS.

    :param drs_conn_id: id of a connection with AK and SK, with an IAM user and password, or with a token.
    :param region: region ID such as ``cn-north-4``; default: the connection's.
    :param project_id: id of the project; default: the connection's, else the project with the region's name,
        looked up once in IAM.
    """

    conn_name_attr = "drs_conn_id"
    default_conn_name = "drs_default"
    conn_type = "huaweicloud_drs"
    hook_name = "Huawei Cloud DRS"
    service = SERVICE
    migration_argument = "job_id"
    list_words = STATUSES.known_words
    list_states = STATUSES.states | {MigrationState.SUCCEEDED}  # a list has no delay, so no job in sync
    verifies = True

    def __init__(
        self,
        drs_conn_id: str = default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
    ) -> None:
        super().__init__(drs_conn_id)
        self._region = region
        self._project_id = project_id
        self._found: tuple[DrsApi, DrsApi] | None = None  # the API without its project, and with it

    def _connect(self, reader: ConnectionReader) -> DrsApi:
        region = reader.region(self._region)
        endpoint = reader.endpoint_in(region, endpoint_of, "cn-north-4")
        project_id = self._project_id or reader.extra("project_id") or ""
        if project_id:
            project_id = reader.credential(project_id, field="project_id in extra")
        elif region is None:
            raise reader.error(
                "neither project_id nor region is given; set one of them in extra: a region's project is "
                "looked up in IAM"
            )
        auth_type = (reader.extra("auth_type") or "aksk").lower()
        needs_iam = auth_type in ("password", "agency") or not project_id
        self._iam = self._iam_endpoint(reader, region, endpoint, is_needed=needs_iam)
        signer = self._signer(reader, auth_type, {"name": region} if region else {"id": project_id})
        return DrsApi(endpoint=endpoint, project_id=project_id, region=region, signer=signer)

    def _iam_endpoint(
        self, reader: ConnectionReader, region: str | None, endpoint: str, *, is_needed: bool
    ) -> str:
        """Return the address of IAM; credentials of another cloud must not be sent to Huawei Cloud's IAM."""
        address = reader.extra("iam_endpoint")
        if address:
            return reader.url("iam_endpoint", address)
        host = iam_endpoint_of(region)
        if is_needed and not is_in_cloud_of(endpoint, region):
            raise reader.error(
                f"host is {endpoint} and iam_endpoint is not given, so the login would be sent to {host}, "
                "the IAM of another cloud; set iam_endpoint in extra to the address of the right IAM"
            )
        return f"https://{host}"

    def _signer(self, reader: ConnectionReader, auth_type: str, project: dict[str, str]) -> Signer:
        if auth_type == "token":
            return TokenSigner(reader.password("token of IAM", "token"))
        if auth_type == "password":
            return IamToken(
                endpoint=self._iam,
                user=reader.login("IAM user name", is_key=False),
                password=reader.password("IAM password", is_key=False),
                domain_name=self._name(reader, "domain_name", "the user's account"),
                scope=project,
            )
        if auth_type not in ("aksk", "agency"):
            raise reader.error(f"auth_type must be aksk, agency, password or token, not {auth_type!r}")
        key = HuaweiSigner(reader.login("AK"), reader.password("SK"), reader.token("security_token"))
        if auth_type == "aksk":
            return key
        return AgencyKey(
            endpoint=self._iam,
            user=key,
            agency_name=self._name(reader, "agency_name", "the agency to assume"),
            domain_name=self._name(reader, "domain_name", "the delegating account"),
        )

    @staticmethod
    def _name(reader: ConnectionReader, name: str, meaning: str) -> str:
        return reader.credential(reader.extra(name), field=f"{name} in extra ({meaning})", is_key=False)

    def _wrap_flow(self, api: DrsApi, call: Callable[[DrsApi], Flow[_T]]) -> Flow[_T]:
        """Make a call in the connection's project; look the project up first if only the region is known."""
        flow = call(api)  # validates its arguments before any request
        if not api.project_id:
            if self._found is None or self._found[0] is not api:
                project_id = yield from find_project(SERVICE, self._iam, str(api.region), api.signer)
                if self._found is None or self._found[0] is not api:  # no concurrent call was faster
                    self._found = api, replace(api, project_id=project_id)
            flow = call(self._found[1])
        return (yield from flow)

    def targets(self, *, job_status: bool = True, **ids: Any) -> frozenset[str]:
        """Return the valid targets of a sensor, in lower case; few without the job's status."""
        check_job_status(job_status)
        return TARGETS if job_status else TARGETS_WITHOUT_JOB_STATUS

    def checkpoint_remedy(self, *, job_status: bool = True, **ids: Any) -> str | None:
        """Return None if the job's status, with its delay, is requested."""
        return None if job_status else "Set job_status=True."

    def _probe(self, api: DrsApi) -> Flow[JobProgress]:
        return api.probe("00000000-0000-0000-0000-000000jb000")

    def _listing(self, selection: MigrationFilter, **ids: Any) -> MigrationListing:
        """Return the paging state of a list of jobs; its group is the id of an enterprise project."""
        return DrsListing(selection)

    def get_rpo_and_rto(self, job_id: str) -> RpoAndRto:
        """
        Get recovery point and recovery time of a disaster recovery job: its delay behind the source.

        :param job_id: the id of the job.
        :raises MigrationConfigurationError: for a wrong id, before any request.
        :raises MigrationApiError: if DRS refuses the request, as it does for other jobs, or does not respond.
        """
        return self._run(lambda api: api.get_rpo_and_rto(job_id))

    def iter_progress_data(
        self,
        job_id: str,
        object_type: str,
        *,
        limit: int = MAX_LIMIT,
        offset: int = 0,
        language: str | None = None,
    ) -> Iterator[ObjectRow]:
        """
        Iterate over the objects of a job; pages are requested lazily.

        :param job_id: the id of the job.
        :param object_type: ``table``, ``event``, ``table_structure``, ``procedure``, ``view``, ``function``,
            ``database``, ``trigger`` or ``table_indexs``.
        :param limit: objects per page, 1–1000.
        :param offset: index of the first object, from 0.
        :param language: ``en-us`` or ``zh-cn``; default: the service's.
        :raises MigrationConfigurationError: for an argument out of range, before any request.
        :raises MigrationApiError: if DRS refuses the request or does not respond.
        """
        listing = ObjectListing(limit, offset)
        require_id("job_id", job_id)
        check_object_types((object_type,))
        check_language(language)
        return self._iter_pages(job_id, object_type, listing, language)

    def _iter_pages(
        self, job_id: str, object_type: str, listing: ObjectListing, language: str | None
    ) -> Iterator[ObjectRow]:
        while not listing.at_end:
            page = self._run(
                lambda api: api.progress_data_page(job_id, object_type, listing, language=language)
            )
            rows = page.flow_compare_data or []
            yield from listing.take(rows, (row.plain()[:4] for row in rows), page.count)

    def iter_objects(self, job_id: str, *, object_type: str = "table") -> Iterator[ObjectProgress]:
        """
        Iterate over the objects of a job with their progress; pages of 1,000 are requested lazily.

        :param job_id: the id of the job.
        :param object_type: as in :meth:`iter_progress_data`.
        :raises MigrationConfigurationError: for a wrong argument, before any request.
        :raises MigrationApiError: if DRS refuses the request or does not respond.
        """
        rows = self.iter_progress_data(job_id, object_type)
        return (row.as_object_progress() for row in rows)

    def get_job_status(self, job_id: str) -> JobProgress:
        """
        Get the status of a job: from batch-progress, or from v5 where that does not serve the job.

        :param job_id: the id of the job.
        :raises MigrationApiError: if DRS refuses the request or does not respond.
        """
        return self._run(lambda api: api.get_job_status(job_id))

    def get_progress(
        self,
        job_id: str,
        object_types: Sequence[str] = ("table",),
        job_status: bool = True,
        *,
        max_lag: float = 60,
        verification: bool = False,
    ) -> MigrationProgress:
        """
        Get a job and its objects as a normalised record.

        :param job_id: the id of the job.
        :param object_types: object types to count, page by page.
        :param job_status: request the job's status too; without it, only the copy of existing data can be
            followed.
        :param max_lag: maximum delay in seconds that counts as caught up.
        :param verification: request the results of the job's comparisons too, with the job's status; a
            refused one is not an error but one of the record's ``warnings``.
        :raises MigrationConfigurationError: for an invalid argument, before any request.
        :raises MigrationApiError: if DRS refuses the request or does not respond. With ``job_status``, a
            refused list of objects is not an error but one of the record's ``warnings``.
        """
        return self._run(
            lambda api: api.progress(
                job_id, object_types, job_status, max_lag=max_lag, verification=verification
            )
        )

    async def aget_progress(
        self,
        job_id: str,
        object_types: Sequence[str] = ("table",),
        job_status: bool = True,
        *,
        max_lag: float = 60,
        verification: bool = False,
    ) -> MigrationProgress:
        """Async version of :meth:`get_progress`."""
        return await self._arun(
            lambda api: api.progress(
                job_id, object_types, job_status, max_lag=max_lag, verification=verification
            )
        )
