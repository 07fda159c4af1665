"""Hook for Huawei Cloud DRS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.conversation import Conversation, Signer
from airflow_provider_migration.hooks.base import ConnectionReader, MigrationHook
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.services.drs import (
    MAX_LIMIT,
    TARGETS,
    TARGETS_WITHOUT_JOB_STATUS,
    DrsApi,
    JobProgress,
    ObjectListing,
    ObjectRow,
    check_object_types,
    endpoint_of,
)
from airflow_provider_migration.services.huawei import IamToken, iam_endpoint_of

_T = TypeVar("_T")


class DrsHook(MigrationHook[DrsApi]):
    """
    Ask Huawei Cloud DRS about migration and synchronisation jobs.

    :param drs_conn_id: id of a connection with AK and SK, or with an IAM user and password.
    :param region: region id such as ``cn-north-4``; without it, the connection's.
    :param project_id: id of the project; without it, the connection's.
    """

    conn_name_attr = "drs_conn_id"
    default_conn_name = "drs_default"
    conn_type = "huaweicloud_drs"
    hook_name = "Huawei Cloud DRS"

    def __init__(
        self,
        drs_conn_id: str = default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
    ) -> None:
        super().__init__(drs_conn_id)
        self._region = region
        self._project_id = project_id

    def _connect(self, reader: ConnectionReader) -> DrsApi:
        region = reader.region(self._region)
        endpoint = reader.endpoint_in(region, endpoint_of, "cn-north-4")
        project_id = reader.credential(
            self._project_id or reader.extra("project_id"), field="project_id in extra"
        )
        signer = self._signer(reader, region, project_id)
        return DrsApi(endpoint=endpoint, project_id=project_id, region=region, signer=signer)

    def _signer(self, reader: ConnectionReader, region: str | None, project_id: str) -> Signer:
        auth_type = (reader.extra("auth_type") or "aksk").lower()
        if auth_type == "aksk":
            return HuaweiSigner(reader.login("AK"), reader.password("SK"), reader.token("security_token"))
        if auth_type != "password":
            raise reader.error(f"auth_type is {auth_type!r}: write aksk or password")
        address = reader.extra("iam_endpoint")
        return IamToken(
            endpoint=reader.url("iam_endpoint", address) if address else f"https://{iam_endpoint_of(region)}",
            user=reader.login("IAM user name", is_key=False),
            password=reader.password("IAM password", is_key=False),
            domain_name=reader.credential(
                reader.extra("domain_name"), field="domain_name in extra (the user's account)", is_key=False
            ),
            scope={"name": region} if region else {"id": project_id},
        )

    def _converse(self, call: Callable[[DrsApi], Conversation[_T]]) -> Conversation[_T]:
        conversation = super()._converse(call)
        signer = self._api.signer
        return signer.authenticate(conversation) if isinstance(signer, IamToken) else conversation

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
