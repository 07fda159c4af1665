"""
Alibaba Cloud DTS: ``DescribeMigrationJobStatus`` and ``DescribeDtsJobs`` of version 2020-01-01.

Sources: https://www.alibabacloud.com/help/en/dts/developer-reference/api-describemigrationjobstatus and
/api-describedtsjobs. The first writes numbers and booleans as strings, leaves out the sections of phases that
have not begun, and gives the delay in seconds; it has not been maintained since 2022. The second asks about
30 instances at once, has other names for the same, and gives the delay of a migration in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from airflow_provider_migration.conversation import Conversation, Request, Response
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationNotFoundError,
)
from airflow_provider_migration.progress import (
    BULK_PHASES,
    DatasetName,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    Phase,
    bulk_percent,
    known_phase,
)
from airflow_provider_migration.services.alibaba import AlibabaApi, rpc_object
from airflow_provider_migration.services.wire import (
    Count,
    Number,
    Percentage,
    StatusTable,
    WireModel,
    api_error,
    at_or_before,
    instant,
    require,
)

SERVICE: Final = "dts"
VERSION: Final = "2020-01-01"

LEGACY_API: Final = "DescribeMigrationJobStatus"
LISTING_API: Final = "DescribeDtsJobs"
APIS: Final = (LEGACY_API, LISTING_API)
"""The calls that tell of a migration job."""

MAX_INSTANCES: Final = 30
"""How many instances ``DescribeDtsJobs`` lists on one page."""

STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("NotStarted", "NotConfigured", "PreCheckPass"),
        MigrationState.RUNNING: (
            "Prechecking",
            "Migrating",
            "Retrying",
            "Upgrade",
            "Downgrade",
            "Modifying",
            "Initializing",
        ),
        # The second word is an old misspelling of the first that the service has been seen to use.
        MigrationState.PAUSED: ("Suspending", "Suspengding", "Locked"),
        MigrationState.SUCCEEDED: ("Finished",),
        MigrationState.FAILED: ("PrecheckFailed", "MigrationFailed", "Failed", "InitializeFailed"),
    }
)
"""``MigrationJobStatus``. ``Finished`` is a success only when every enabled phase is done."""

PHASE_STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("NotStarted",),
        MigrationState.RUNNING: ("Migrating", "Checking"),
        MigrationState.PAUSED: ("Suspending",),
        MigrationState.CAUGHT_UP: ("Catched",),
        MigrationState.SUCCEEDED: ("Finished", "Success"),
        MigrationState.FAILED: ("Failed",),
    }
)
"""``Status`` of the sections of the answer."""

ORDER: Final = ("NotConfigured", "NotStarted", "Prechecking", "PreCheckPass", "Migrating", "Finished")

TARGETS: Final = STATUSES.targets(
    further=("Catched",), states=(MigrationState.CAUGHT_UP, MigrationState.CANCELLED)
)

_SCHEMES: Final = {"postgresql": "postgres", "sqlserver": "mssql"}
"""How OpenLineage calls an engine, where it is not as DTS does."""

_REMEDIES: Final = {
    "precheckfailed": "Repair the failed items, then start the precheck again in the DTS console.",
    "initializefailed": "Look at the task's details in the DTS console.",
}
_REMEDY: Final = (
    "Look at the failed phase in the DTS console; once its cause is gone the task can be started again."
)


class CheckItem(WireModel):
    """One item of the precheck."""

    item_name: str | None = None
    check_status: str | None = None
    error_message: str | None = None
    repair_method: str | None = None


class PrecheckDetail(WireModel):
    """The items of the precheck."""

    check_item: list[CheckItem] | None = None


class PrecheckStatus(WireModel):
    """The precheck."""

    status: str | None = None
    percent: Percentage | None = None
    error_message: str | None = None
    detail: PrecheckDetail | None = None


class PhaseStatus(WireModel):
    """
    A phase that copies structure or existing data.

    :ivar progress: how many tables or rows have been copied.
    """

    status: str | None = None
    percent: Percentage | None = None
    progress: Count | None = None
    error_message: str | None = None


class SynchronizationStatus(WireModel):
    """
    The incremental phase.

    :ivar delay: seconds.
    :ivar checkpoint: epoch seconds.
    """

    status: str | None = None
    percent: Percentage | None = None
    delay: Number | None = None
    checkpoint: Number | None = None
    error_message: str | None = None


class MigrationMode(WireModel):
    """Which phases are enabled; None where the service does not say."""

    structure_initialization: bool | None = None
    data_initialization: bool | None = None
    data_synchronization: bool | None = None

    @property
    def is_known(self) -> bool:
        """Whether the service says of each phase if it is enabled."""
        return None not in (
            self.structure_initialization,
            self.data_initialization,
            self.data_synchronization,
        )


class Endpoint(WireModel):
    """The source or the destination."""

    instance_id: str | None = None
    instance_type: str | None = None
    engine_name: str | None = None
    database_name: str | None = None
    ip: str | None = None
    port: str | None = None


class MigrationJob(WireModel):
    """
    The answer of ``DescribeMigrationJobStatus``.

    :ivar error_message: why the job as a whole has failed; only ``DescribeDtsJobs`` says so.
    :ivar workaround: what to do about it, likewise.
    """

    request_id: str | None = None
    migration_job_id: str | None = None
    migration_job_name: str | None = None
    migration_job_status: str | None = None
    migration_job_class: str | None = None
    pay_type: str | None = None
    task_id: str | None = None
    migration_mode: MigrationMode = MigrationMode()
    precheck_status: PrecheckStatus | None = None
    structure_initialization_status: PhaseStatus | None = None
    data_initialization_status: PhaseStatus | None = None
    data_synchronization_status: SynchronizationStatus | None = None
    source_endpoint: Endpoint | None = None
    destination_endpoint: Endpoint | None = None
    error_message: str | None = None
    workaround: str | None = None


class DtsCheckItem(WireModel):
    """One item of the precheck, as ``DescribeDtsJobs`` has it."""

    check_item: str | None = None
    check_result: str | None = None
    failed_reason: str | None = None
    repair_method: str | None = None


class DtsPrecheckStatus(WireModel):
    """The precheck, as ``DescribeDtsJobs`` has it."""

    status: str | None = None
    percent: Percentage | None = None
    error_message: str | None = None
    detail: list[DtsCheckItem] | None = None

    def as_precheck_status(self) -> PrecheckStatus:
        """Return the same as ``DescribeMigrationJobStatus`` would say it."""
        items = [
            CheckItem(
                item_name=item.check_item,
                check_status=item.check_result,
                error_message=item.failed_reason,
                repair_method=item.repair_method,
            )
            for item in self.detail or ()
        ]
        return PrecheckStatus(
            status=self.status,
            percent=self.percent,
            error_message=self.error_message,
            detail=PrecheckDetail(check_item=items),
        )


class DtsJob(WireModel):
    """
    A job in the answer of ``DescribeDtsJobs``.

    :ivar delay: milliseconds.
    :ivar checkpoint: epoch seconds; before the incremental phase, those at which it will start.
    """

    dts_instance_id: str | None = None
    dts_job_id: str | None = None
    dts_job_name: str | None = None
    dts_job_class: str | None = None
    pay_type: str | None = None
    status: str | None = None
    error_message: str | None = None
    migration_err_msg: str | None = None
    migration_err_workaround: str | None = None
    delay: Number | None = None
    checkpoint: Number | None = None
    migration_mode: MigrationMode = MigrationMode()
    precheck_status: DtsPrecheckStatus | None = None
    structure_initialization_status: PhaseStatus | None = None
    data_initialization_status: PhaseStatus | None = None
    data_synchronization_status: PhaseStatus | None = None
    source_endpoint: Endpoint | None = None
    destination_endpoint: Endpoint | None = None

    def as_migration_job(self, request_id: str | None = None) -> MigrationJob:
        """Return the same as ``DescribeMigrationJobStatus`` would say it."""
        return MigrationJob(
            request_id=request_id,
            migration_job_id=self.dts_instance_id,
            migration_job_name=self.dts_job_name,
            migration_job_status=self.status,
            migration_job_class=self.dts_job_class,
            pay_type=self.pay_type,
            task_id=self.dts_job_id,
            migration_mode=self.migration_mode,
            precheck_status=self.precheck_status.as_precheck_status() if self.precheck_status else None,
            structure_initialization_status=self.structure_initialization_status,
            data_initialization_status=self.data_initialization_status,
            data_synchronization_status=SynchronizationStatus(
                status=incremental.status,
                percent=incremental.percent,
                error_message=incremental.error_message,
                delay=None if self.delay is None else self.delay / 1000,
                checkpoint=self.checkpoint,
            )
            if (incremental := self.data_synchronization_status)
            else None,
            source_endpoint=self.source_endpoint,
            destination_endpoint=self.destination_endpoint,
            error_message=self.error_message or self.migration_err_msg,
            workaround=self.migration_err_workaround,
        )


class DtsJobs(WireModel):
    """The answer of ``DescribeDtsJobs``; instances that it does not know are not in its list."""

    request_id: str | None = None
    dts_job_list: tuple[DtsJob, ...] | None = None


_Unread = Annotated[None, BeforeValidator(lambda value: None)]
"""The items of a precheck are most of an answer, and needed only where one of them may have failed."""


class _PrecheckSummary(PrecheckStatus):
    detail: _Unread = None


class _MigrationJobSummary(MigrationJob):
    precheck_status: _PrecheckSummary | None = None


class _DtsPrecheckSummary(DtsPrecheckStatus):
    detail: _Unread = None


class _DtsJobSummary(DtsJob):
    precheck_status: _DtsPrecheckSummary | None = None


class _DtsJobsSummary(DtsJobs):
    dts_job_list: tuple[_DtsJobSummary, ...] | None = None


def _may_have_failed_items(job: MigrationJob) -> bool:
    states = {STATUSES.state_of(job.migration_job_status)}
    if job.precheck_status:
        states.add(PHASE_STATUSES.state_of(job.precheck_status.status))
    return MigrationState.FAILED in states


def _read(request: Request, response: Response) -> MigrationJob:
    return MigrationJob.read(rpc_object(request, response, payload="MigrationJobStatus"))


def _read_summary(request: Request, response: Response) -> MigrationJob:
    data = rpc_object(request, response, payload="MigrationJobStatus")
    job = _MigrationJobSummary.read(data)
    return MigrationJob.read(data) if _may_have_failed_items(job) else job


def _read_jobs(request: Request, response: Response) -> DtsJobs:
    return DtsJobs.read(rpc_object(request, response, payload="DtsJobList"))


def _read_known_jobs(request: Request, response: Response) -> Mapping[str, MigrationJob]:
    data = rpc_object(request, response, payload="DtsJobList")
    jobs = _known_jobs(_DtsJobsSummary.read(data))
    return _known_jobs(DtsJobs.read(data)) if any(map(_may_have_failed_items, jobs.values())) else jobs


def _known_jobs(answer: DtsJobs) -> dict[str, MigrationJob]:
    return {
        job.dts_instance_id: job.as_migration_job(answer.request_id)
        for job in answer.dts_job_list or ()
        if job.dts_instance_id and job.status
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class DtsApi(AlibabaApi):
    """
    DTS, as one account sees it in one region.

    :param api: the call that is made for the progress of a job, one of :data:`APIS`.
    """

    api: str = LEGACY_API
    _listed_only: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """The jobs that only ``DescribeDtsJobs`` knows, though the other call is the one to make."""

    def describe_migration_job_status(
        self,
        migration_job_id: str,
        *,
        client_token: str | None = None,
        account_id: str | None = None,
        region_id: str | None = None,
    ) -> Conversation[MigrationJob]:
        """Ask for one migration job."""
        job: MigrationJob = yield self._ask(
            _read, migration_job_id, client_token=client_token, account_id=account_id, region_id=region_id
        )
        return job

    def _ask(
        self,
        read: Callable[[Request, Response], MigrationJob],
        migration_job_id: str,
        *,
        client_token: str | None = None,
        account_id: str | None = None,
        region_id: str | None = None,
    ) -> Request:
        job_id = require("migration_job_id", migration_job_id)
        return self._request(
            SERVICE,
            VERSION,
            LEGACY_API,
            read,
            query={
                "MigrationJobId": job_id,
                "RegionId": region_id or self.region,
                "ClientToken": client_token,
                "AccountId": account_id,
            },
            asked_for=job_id,
        )

    def describe_dts_jobs(self, dts_instance_ids: Sequence[str]) -> Conversation[DtsJobs]:
        """Ask for several migration jobs; those that DTS does not know are left out of the answer."""
        ids = [require("dts_instance_ids", instance_id) for instance_id in dts_instance_ids]
        if not 0 < len(ids) <= MAX_INSTANCES:
            raise MigrationConfigurationError(
                f"dts_instance_ids must be 1 to {MAX_INSTANCES} ids, not {len(ids)}."
            )
        jobs: DtsJobs = yield self._ask_for_list(ids, _read_jobs)
        return jobs

    def _ask_for_list(
        self, ids: Sequence[str], read: Callable[[Request, Response], Any], **more: Any
    ) -> Request:
        return self._request(
            SERVICE,
            VERSION,
            LISTING_API,
            read,
            query={
                "DtsInstanceId": ",".join(ids),
                "JobType": "MIGRATION",
                "PageSize": str(MAX_INSTANCES),
                "Region": self.region,
                "WithoutDbList": "true",  # the objects of a job may be megabytes
            },
            asked_for=", ".join(ids),
            **more,
        )

    def _listed_job(self, migration_job_id: str) -> Conversation[MigrationJob]:
        """Ask for one job in the list, where it can be together with others."""
        job_id = require("migration_job_id", migration_job_id)

        def read(request: Request, response: Response) -> MigrationJob:
            known = _read_known_jobs(request, response)
            if job_id not in known:
                raise api_error(MigrationNotFoundError, request, response, "not in the list")
            return known[job_id]

        job: MigrationJob = yield self._ask_for_list(
            [job_id],
            read,
            item=job_id,
            batch=lambda ids: self._ask_for_list(ids, _read_known_jobs),
            batch_limit=MAX_INSTANCES,
        )
        return job

    def _job(self, migration_job_id: str) -> Conversation[MigrationJob]:
        """
        Ask for one job with the call that is to be made.

        Where the legacy call does not know it, and the list does, the list is asked from then on.
        """
        if self.api == LISTING_API or migration_job_id in self._listed_only:
            return (yield from self._listed_job(migration_job_id))
        try:
            job: MigrationJob = yield self._ask(_read_summary, migration_job_id)
        except MigrationNotFoundError as unknown:
            if unknown.code is None:  # not DTS itself says so
                raise
            try:
                job = yield from self._listed_job(migration_job_id)
            except MigrationApiError as error:
                if error.passing:
                    raise
                is_unlisted = isinstance(error, MigrationNotFoundError) and error.http_status == 200
                also = f"{LISTING_API} does not list it either." if is_unlisted else f"Asked too: {error}"
                unknown.args = (f"{unknown} {also}",)
                raise unknown from None
            self._listed_only.add(migration_job_id)
        return job

    def progress(self, migration_job_id: str, *, max_lag: float) -> Conversation[MigrationProgress]:
        """Ask for one migration job and normalise the answer."""
        job = yield from self._job(migration_job_id)
        now = self.clock()
        phases = tuple(_phases(job))
        state = _state(job, phases, max_lag)
        incremental = job.data_synchronization_status
        begun = [phase.name for phase in phases if phase.state is not MigrationState.PENDING]
        if incremental is None or "incremental" not in begun:
            incremental = SynchronizationStatus()
        status = job.migration_job_status
        return MigrationProgress(
            service=SERVICE,
            migration_id=require("migration_job_id", migration_job_id),
            name=job.migration_job_name,
            state=state,
            service_status=status,
            percent=bulk_percent(phases),
            phases=phases,
            lag_seconds=incremental.delay if (incremental.delay or 0) >= 0 else None,
            checkpoint=instant(incremental.checkpoint, now),
            error=_error(job, phases) if state is MigrationState.FAILED else None,
            observed_at=now,
            request_id=job.request_id,
            console_url="https://dts.console.aliyun.com/",
            words_reached=_words_reached(status, state, phases),
        )

    def datasets(self, migration_job_id: str) -> Conversation[tuple[DatasetName, DatasetName] | None]:
        """Ask for one migration job, and name what it reads and what it writes."""
        job = yield from self._job(migration_job_id)
        source, destination = _dataset(job.source_endpoint), _dataset(job.destination_endpoint)
        return (source, destination) if source and destination else None


def endpoint_of(region: str) -> str:
    """
    Return the host of DTS in a region.

    Source: https://www.alibabacloud.com/help/en/dts/developer-reference/request-syntax. The SDK's own table
    sends every region to the central host, which knows nothing of instances overseas.
    """
    if region in ("cn-wulanchabu", "cn-chengdu", "cn-beijing-finance-1"):
        return "dts.aliyuncs.com"
    return f"dts.{'cn-hangzhou' if region == 'cn-hangzhou-finance' else region}.aliyuncs.com"


def _dataset(endpoint: Endpoint | None) -> DatasetName | None:
    """
    Return an endpoint's name in OpenLineage, None where DTS does not say which engine or which instance.

    Source: https://openlineage.io/docs/spec/naming, which names a database by its host and port. Of an
    instance of Alibaba Cloud DTS gives its id instead, and not always a database: then it is the instance.
    """
    if endpoint is None or not endpoint.engine_name:
        return None
    engine = endpoint.engine_name.strip().lower()
    instance = ":".join(filter(None, (endpoint.ip, endpoint.port))) if endpoint.ip else endpoint.instance_id
    if not instance:
        return None
    return DatasetName(f"{_SCHEMES.get(engine, engine)}://{instance}", endpoint.database_name or instance)


def _phases(job: MigrationJob) -> Iterable[Phase]:
    mode = job.migration_mode
    if precheck := job.precheck_status:
        yield _phase("precheck", precheck)
    for name, enabled, bulk in (
        ("structure", mode.structure_initialization, job.structure_initialization_status),
        ("full", mode.data_initialization, job.data_initialization_status),
    ):
        if enabled or (enabled is None and bulk):
            yield _phase(name, bulk or PhaseStatus(status="NotStarted"), done=bulk.progress if bulk else None)
    incremental = job.data_synchronization_status
    if mode.data_synchronization or (mode.data_synchronization is None and incremental):
        yield _phase("incremental", incremental or SynchronizationStatus(status="NotStarted"))


def _phase(
    name: str,
    section: PrecheckStatus | PhaseStatus | SynchronizationStatus,
    *,
    done: int | None = None,
) -> Phase:
    state = PHASE_STATUSES.state_of(section.status)
    percent = section.percent
    if state is MigrationState.SUCCEEDED:
        percent = 100
    elif state is MigrationState.PENDING and percent is None:
        percent = 0
    return known_phase(
        name=name,
        state=state,
        service_status=section.status,
        percent=None if name == "incremental" else percent,
        done=done,
        error=_reason(section) if state is MigrationState.FAILED else None,
    )


def _state(job: MigrationJob, phases: tuple[Phase, ...], max_lag: float) -> MigrationState:
    state = STATUSES.state_of(job.migration_job_status)
    bulk = {phase.state for phase in phases if phase.name in BULK_PHASES}
    incremental = {phase.state for phase in phases if phase.name == "incremental"}
    if state is MigrationState.SUCCEEDED:
        # A job that a person stops half way is Finished too.
        undone = (bulk - {MigrationState.SUCCEEDED}) | (
            incremental - {MigrationState.SUCCEEDED, MigrationState.CAUGHT_UP}
        )
        if undone - {MigrationState.UNKNOWN}:
            return MigrationState.CANCELLED
        # A phase that never began has no section: only the mode tells that none is missing.
        is_certain = not undone and (bulk or incremental) and job.migration_mode.is_known
        return state if is_certain else MigrationState.UNKNOWN
    if (job.migration_job_status or "").strip().lower() == "migrating":
        delay = (job.data_synchronization_status or SynchronizationStatus()).delay
        bulk_done = bulk == {MigrationState.SUCCEEDED} or (not bulk and job.migration_mode.is_known)
        in_sync = delay is None or 0 <= delay <= max_lag
        if bulk_done and incremental == {MigrationState.CAUGHT_UP} and in_sync:
            return MigrationState.CAUGHT_UP
    return state


def _words_reached(status: str | None, state: MigrationState, phases: tuple[Phase, ...]) -> frozenset[str]:
    # A job that was stopped by hand has not passed through what comes before Finished.
    is_stopped = (
        STATUSES.state_of(status) is MigrationState.SUCCEEDED and state is not MigrationState.SUCCEEDED
    )
    words = at_or_before(() if is_stopped else ORDER, status)
    increment = next((phase.state for phase in phases if phase.name == "incremental"), None)
    if increment is MigrationState.CAUGHT_UP or (increment and state is MigrationState.SUCCEEDED):
        words |= {"catched"}
    return words


def _reason(section: PrecheckStatus | PhaseStatus | SynchronizationStatus) -> str | None:
    items = _failed_items(section) if isinstance(section, PrecheckStatus) else None
    return items or section.error_message


def _failed_items(precheck: PrecheckStatus) -> str:
    items = (precheck.detail.check_item if precheck.detail else None) or []
    # In one line, for a log, and yet a page can tell one item from the next.
    return " ".join(
        "• "
        + ": ".join(filter(None, (item.item_name, item.error_message)))
        + (f" (repair: {item.repair_method})" if item.repair_method else "")
        for item in items
        if PHASE_STATUSES.state_of(item.check_status) is MigrationState.FAILED
    )


def _error(job: MigrationJob, phases: tuple[Phase, ...]) -> MigrationErrorInfo:
    status = job.migration_job_status
    precheck = job.precheck_status or PrecheckStatus()
    reasons = "; ".join(f"{phase.name}: {phase.error}" for phase in phases if phase.error)
    return MigrationErrorInfo(
        code=status,
        message=reasons
        or _reason(precheck)
        or job.error_message
        or f"DTS reports {status} and gives no reason.",
        remedy=job.workaround or _REMEDIES.get((status or "").strip().lower(), _REMEDY),
    )
