"""Hook for Huawei Cloud DRS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
from airflow_provider_migration.conversation import Conversation, Signer
from airflow_provider_migration.hooks.base import ConnectionReader, MigrationHook
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.drs import (
    MAX_LIMIT,
    SERVICE,
    TARGETS,
    TARGETS_WITHOUT_JOB_STATUS,
    DrsApi,
    JobProgress,
    ObjectListing,
    ObjectRow,
    check_object_types,
    endpoint_of,
)
from airflow_provider_migration.services.huawei import (
    AgencyKey,
    IamToken,
    TemporaryCredential,
    find_project,
    iam_endpoint_of,
)

_T = TypeVar("_T")


class DrsHook(MigrationHook[DrsApi]):
    """
    Ask Huawei Cloud DRS about migration and synchronisation jobs.

    :param drs_conn_id: id of a connection with AK and SK, with an IAM user and password, or with a token.
    :param region: region id such as ``cn-north-4``; without it, the connection's.
    :param project_id: id of the project; without it, the connection's, or else the one of the region's name,
        for which IAM is asked once.
    """

    conn_name_attr = "drs_conn_id"
    default_conn_name = "drs_default"
    conn_type = "huaweicloud_drs"
    hook_name = "Huawei Cloud DRS"
    service = SERVICE
    migration_argument = "job_id"

    def __init__(
        self,
        drs_conn_id: str = default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
    ) -> None:
        super().__init__(drs_conn_id)
        self._region = region
        self._project_id = project_id
        self._found: tuple[DrsApi, DrsApi] | None = None  # without its project, and in it

    def _connect(self, reader: ConnectionReader) -> DrsApi:
        region = reader.region(self._region)
        endpoint = reader.endpoint_in(region, endpoint_of, "cn-north-4")
        project_id = self._project_id or reader.extra("project_id") or ""
        if project_id:
            project_id = reader.credential(project_id, field="project_id in extra")
        elif region is None:
            raise reader.error(
                "neither project_id nor region is given: write one of them in extra; of a region's project "
                "IAM tells the id"
            )
        address = reader.extra("iam_endpoint")
        self._iam = reader.url("iam_endpoint", address) if address else f"https://{iam_endpoint_of(region)}"
        signer = self._signer(reader, {"name": region} if region else {"id": project_id})
        return DrsApi(endpoint=endpoint, project_id=project_id, region=region, signer=signer)

    def _signer(self, reader: ConnectionReader, project: dict[str, str]) -> Signer:
        auth_type = (reader.extra("auth_type") or "aksk").lower()
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
            raise reader.error(f"auth_type is {auth_type!r}: write aksk, agency, password or token")
        key = HuaweiSigner(reader.login("AK"), reader.password("SK"), reader.token("security_token"))
        if auth_type == "aksk":
            return key
        return AgencyKey(
            endpoint=self._iam,
            user=key,
            agency_name=self._name(reader, "agency_name", "the agency to assume"),
            domain_name=self._name(reader, "domain_name", "the account that delegates"),
        )

    @staticmethod
    def _name(reader: ConnectionReader, name: str, meaning: str) -> str:
        return reader.credential(reader.extra(name), field=f"{name} in extra ({meaning})", is_key=False)

    def _converse(self, api: DrsApi, call: Callable[[DrsApi], Conversation[_T]]) -> Conversation[_T]:
        conversation, signer = self._in_project(api, call), api.signer
        return signer.authenticate(conversation) if isinstance(signer, TemporaryCredential) else conversation

    def _in_project(self, api: DrsApi, call: Callable[[DrsApi], Conversation[_T]]) -> Conversation[_T]:
        """Make a call in the connection's project; where only its region is known, find it first."""
        if not api.project_id:
            if self._found is None or self._found[0] is not api:
                project_id = yield from find_project(SERVICE, self._iam, str(api.region), api.signer)
                if self._found is None or self._found[0] is not api:  # nobody else was sooner
                    self._found = api, replace(api, project_id=project_id)
            api = self._found[1]
        return (yield from call(api))

    def targets(self, *, job_status: bool = True, **ids: Any) -> frozenset[str]:
        """Return, in lower case, what a sensor can wait for; little without the job's status."""
        return TARGETS if job_status else TARGETS_WITHOUT_JOB_STATUS

    def _probe(self, api: DrsApi) -> Conversation[JobProgress]:
        return api.get_job_status("00000000-0000-0000-0000-000000jb000")

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
        Give the objects of a job one by one, asking for the next page when it is needed.

        :param job_id: the id of the job.
        :param object_type: ``table``, ``event``, ``table_structure``, ``procedure``, ``view``, ``function``,
            ``database``, ``trigger`` or ``table_indexs``.
        :param limit: objects a page, 1–1000.
        :param offset: index of the first object, from 0.
        :param language: ``en-us`` or ``zh-cn``; without it, the service's default.
        :raises MigrationConfigurationError: for an argument out of range, before anything is asked.
        :raises MigrationApiError: if DRS refuses or does not answer.
        """
        listing = ObjectListing(limit, offset)
        check_object_types((object_type,))
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

    def get_job_status(self, job_id: str) -> JobProgress:
        """
        Ask for the status of a job.

        :param job_id: the id of the job.
        :raises MigrationApiError: if DRS refuses or does not answer.
        """
        return self._run(lambda api: api.get_job_status(job_id))

    def get_progress(
        self,
        job_id: str,
        object_types: Sequence[str] = ("table",),
        job_status: bool = True,
        *,
        max_lag: float = 60,
    ) -> MigrationProgress:
        """
        Ask for a job and its objects as a normalised record.

        :param job_id: the id of the job.
        :param object_types: whose objects to count, page by page.
        :param job_status: whether to ask for the job's status too; without it, only the copy of existing
            data can be followed.
        :param max_lag: up to how many seconds of delay count as caught up.
        :raises MigrationApiError: if DRS refuses or does not answer.
        """
        return self._run(lambda api: api.progress(job_id, object_types, job_status, max_lag=max_lag))

    async def aget_progress(
        self,
        job_id: str,
        object_types: Sequence[str] = ("table",),
        job_status: bool = True,
        *,
        max_lag: float = 60,
    ) -> MigrationProgress:
        """Do as :meth:`get_progress` does, on the event loop."""
        return await self._arun(lambda api: api.progress(job_id, object_types, job_status, max_lag=max_lag))
