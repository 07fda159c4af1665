"""
Alibaba Cloud DTS: ``DescribeMigrationJobStatus``, ``DescribeDtsJobs``, ``DescribeDataCheckTableDetails`` and
``DescribeMigrationJobDetail`` of version 2020-01-01.

Sources: https://www.alibabacloud.com/help/en/dts/developer-reference/api-describemigrationjobstatus and
/api-describedtsjobs. The first writes numbers and booleans as strings, omits the sections of phases that have
not started, and returns the delay in seconds; it knows migrations only, and has not been maintained since
2022. The second returns up to 30 instances of one type at once, uses other field names, and returns the delay
of a migration in milliseconds, that of a synchronization in seconds. Only the second has the other direction
of a two-way synchronization, and the job's data check, whose counts are in the third:
https://www.alibabacloud.com/help/en/dts/developer-reference/api-describedatachecktabledetails. The last lists
the objects of a phase, with all values as strings:
https://www.alibabacloud.com/help/en/dts/developer-reference/api-describemigrationjobdetail.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Final, NoReturn, TypeVar
from urllib.parse import quote

from pydantic import BeforeValidator

from airflow_provider_migration.api_errors import api_error
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
)
from airflow_provider_migration.progress import (
    BULK_PHASES,
    MAX_OBJECTS_NAMED,
    MISMATCHES,
    VERIFIED,
    DatasetName,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    MigrationSummary,
    ObjectProgress,
    ObjectSummary,
    Phase,
    Retrying,
    TableVerification,
    Throughput,
    Verification,
    VerificationState,
    bulk_percent,
    interned_phase,
    slowest_objects,
    throughput_of,
    worst_state,
    worst_tables,
)
from airflow_provider_migration.sansio import Flow, Request, Response, Verbatim, send, send_optional
from airflow_provider_migration.services.alibaba import (
    AlibabaApi,
    is_international,
    no_status,
    rpc_object,
)
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.services.wire import (
    Count,
    Lag,
    Number,
    Percentage,
    StatusTable,
    WireModel,
    WordTable,
    cache_put,
    parse_timestamp,
    require_id,
    unread_verification,
    up_to,
    utc_time,
)

_T = TypeVar("_T")

SERVICE: Final = "dts"
VERSION: Final = "2020-01-01"

LEGACY_API: Final = "DescribeMigrationJobStatus"
LISTING_API: Final = "DescribeDtsJobs"
APIS: Final = (LEGACY_API, LISTING_API)
"""The calls that return a migration job."""

MIGRATION: Final = "MIGRATION"
SYNC: Final = "SYNC"
JOB_TYPES: Final = (MIGRATION, SYNC)
"""``JobType`` of ``DescribeDtsJobs``, in the order in which they are tried: a request lists one type only."""

MAX_INSTANCES: Final = 30
"""Maximum instances per page of ``DescribeDtsJobs``."""

LISTED_MAX_LAG: Final = 60
"""Maximum lag in seconds that counts as caught up in a list of migrations."""

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
            "Initializating",
            "Synchronizing",
            "Starting",
            "Normal",
        ),
        # The second word is an old misspelling of the first, observed in real responses.
        MigrationState.PAUSED: ("Suspending", "Suspengding", "Locked"),
        MigrationState.SUCCEEDED: ("Finished",),
        MigrationState.FAILED: (
            "PrecheckFailed",
            "MigrationFailed",
            "Failed",
            "InitializeFailed",
            "ModifyFailed",
            "Abnormal",
        ),
    }
)
"""
``MigrationJobStatus``, and ``Status`` of migration, synchronization and change tracking jobs. ``Finished`` is
a success only when every enabled phase is done and the increment was in sync.
"""

_AT_WORK: Final = ("migrating", "synchronizing")
"""The statuses in which a job may be in sync; the second is that of a synchronization job."""

_WORST_FIRST: Final = (
    MigrationState.FAILED,
    MigrationState.CANCELLED,
    MigrationState.PAUSED,
    MigrationState.UNKNOWN,
    MigrationState.RUNNING,
    MigrationState.PENDING,
    MigrationState.CAUGHT_UP,
    MigrationState.SUCCEEDED,
)
"""The states of the directions of a two-way job, in the order in which one hides the other."""

PHASE_STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("NotStarted", "Init", "Schedule"),
        MigrationState.RUNNING: ("Migrating", "Checking", "Running", "Warning"),
        MigrationState.PAUSED: ("Suspending", "Pause"),
        MigrationState.CAUGHT_UP: ("Catched",),
        MigrationState.SUCCEEDED: ("Finished", "Success"),
        MigrationState.FAILED: ("Failed",),
    }
)
"""
``Status`` of the sections of a response. Init, Schedule, Running, Warning and Pause are words of ListJobStep
and DescribePreCheckStatus; none of them says that a phase is done.
"""

CHECK_STATUSES: Final = WordTable(
    {
        VerificationState.PENDING: ("NotStarted",),
        VerificationState.RUNNING: ("Checking",),
        VerificationState.INCONSISTENT: ("Inconsistency",),
        VerificationState.FAILED: ("Failed",),
        # The check has ended, or has no latency: neither word says that it found no differences.
        VerificationState.UNKNOWN: ("Finished", "Catched"),
    },
    VerificationState.UNKNOWN,
)
"""
``Status`` of the sections of a data check. ``Inconsistency`` is documented for the check of the structure,
and for all checks of a reverse job.
"""

CHECK_DETAILS_API: Final = "DescribeDataCheckTableDetails"
FULL_CHECK, INCREMENTAL_CHECK = 1, 2
"""``CheckType`` of :data:`CHECK_DETAILS_API`."""
MAX_TABLES: Final = 30
"""Tables per page; the maximum is not documented."""

_COMPARED: Final = "0"
_COMPARING: Final = ("2", "3")
_NOT_COMPARED: Final = "5"
"""``Status`` of a table; other numbers are not documented."""
_TOO_MANY_DIFFERENCES: Final = 2
"""``ErrorCode`` of a table with more than 300 different rows, which DTS counts as failed."""
_ONLY_DIFFERENT: Final = "6"
"""``Status`` in a request for the tables with differences."""
_CHINA: Final = timezone(timedelta(hours=8))
"""Time zone of ``BootTime``: in the vendor's sample, ``Id`` is the same time in epoch microseconds."""

OBJECTS_API: Final = "DescribeMigrationJobDetail"
OBJECT_PHASES: Final = {"structure": "StructureInitialization", "full": "DataInitialization"}
"""The phases whose objects are listed, and their names in :data:`OBJECTS_API`."""

OBJECTS_PER_PAGE: Final = 100
"""Objects per page of :data:`OBJECTS_API`: 30, 50 or 100."""

MAX_OBJECTS: Final = 10_000
"""Maximum objects that a poll lists: a hundred pages."""

MAX_OBJECT_PAGES: Final = 2000
"""Maximum pages of one list: two hundred thousand objects."""

MAX_LISTED: Final = 1000
"""Maximum jobs whose objects (some 10 KB each) are cached."""

ASK_AGAIN_AFTER: Final = timedelta(minutes=10)
"""Back-off after a refused list, and after the list of a job that does not move; ends with a new status."""

_LISTS_OBJECTS: Final = frozenset(
    ("migrating", "suspending", "suspengding", "migrationfailed", "failed", "finished")
)
"""The statuses in which a job has lists of objects: migrating, failed, paused, finished."""

ORDER: Final = ("NotConfigured", "NotStarted", "Prechecking", "PreCheckPass", "Migrating", "Finished")
SYNC_ORDER: Final = (*ORDER[:4], "Initializing", "Synchronizing", "Finished")
"""The statuses of a synchronization job in their order, which is not documented."""

TARGETS: Final = STATUSES.targets(
    further=("Catched", VERIFIED), states=(MigrationState.CAUGHT_UP, MigrationState.CANCELLED)
)

_SCHEMES: Final = {"postgresql": "postgres", "sqlserver": "mssql"}
"""OpenLineage's names of engines that differ from DTS's."""

_REMEDIES: Final = {
    "precheckfailed": "Repair the failed items, then start the precheck again in the DTS console.",
    "initializefailed": "Look at the task's details in the DTS console.",
    "modifyfailed": "The change of its objects failed: look at the task's details in the DTS console.",
}
_STOPPED_REMEDY: Final = (
    "Someone has ended the task in the console or by API, and it cannot be resumed: ask who and why. Compare "
    "source and destination before anything relies on them."
)
_REMEDY: Final = (
    "Look at the failed phase in the DTS console; once its cause is gone the task can be started again."
)


class CheckItem(WireModel):
    """One item of the precheck."""

    item_name: str | None = None
    check_status: Verbatim = None
    error_message: str | None = None
    repair_method: str | None = None


class PrecheckDetail(WireModel):
    """The items of the precheck."""

    check_item: list[CheckItem] | None = None


class PrecheckStatus(WireModel):
    """The precheck."""

    status: Verbatim = None
    percent: Percentage | None = None
    error_message: str | None = None
    detail: PrecheckDetail | None = None


class PhaseStatus(WireModel):
    """
    A phase that copies structure or existing data.

    :ivar progress: number of copied tables or rows.
    """

    status: Verbatim = None
    percent: Percentage | None = None
    progress: Count | None = None
    error_message: str | None = None


class DataCheckStatus(WireModel):
    """A data check; only in ``DescribeDtsJobs``."""

    status: Verbatim = None
    percent: Percentage | None = None


class CheckedTable(WireModel):
    """
    One table of a data check.

    :ivar total_count: number of rows to compare.
    :ivar finish_count: number of compared rows.
    :ivar status: ``0`` compared, ``2`` and ``3`` in progress, ``5`` failed.
    :ivar error_code: why it failed: 1 too many tables without a primary key, 2 more than 300 different rows,
        3 no such table, 4 an error in SQL.
    :ivar boot_time: time of the comparison, without a zone.
    """

    id: Verbatim = None
    source_db_name: str | None = None
    source_tb_name: str | None = None
    target_db_name: str | None = None
    target_tb_name: str | None = None
    total_count: Count | None = None
    finish_count: Count | None = None
    diff_count: Count | None = None
    status: Verbatim = None
    error_code: Count | None = None
    boot_time: str | None = None

    @property
    def key(self) -> tuple[str | None, ...]:
        """Id and names, which identify the result of the table."""
        names = self.source_db_name, self.source_tb_name, self.target_db_name, self.target_tb_name
        return self.id, *names

    @property
    def is_compared(self) -> bool:
        """True if the table was compared, and its number of different rows can be read."""
        has_skipped = self.finish_count == 0 and bool(self.total_count)
        return self.word == _COMPARED and self.diff_count is not None and not has_skipped

    @property
    def word(self) -> str:
        """The ``status``; empty if missing."""
        return (self.status or "").strip()

    @property
    def is_different(self) -> bool:
        """True if the table differs."""
        has_too_many = self.word == _NOT_COMPARED and self.error_code == _TOO_MANY_DIFFERENCES
        return bool(self.diff_count) or has_too_many

    def as_table_verification(self) -> TableVerification:
        """Convert to the form of a record."""
        failed = "failed" if self.error_code is None else f"failed: ErrorCode {self.error_code}"
        return TableVerification(
            source=".".join(filter(None, (self.source_db_name, self.source_tb_name))),
            destination=".".join(filter(None, (self.target_db_name, self.target_tb_name))),
            result=failed if self.word == _NOT_COMPARED else "different",
            rows_different=self.diff_count,
        )


class CheckedTables(WireModel):
    """
    The response of ``DescribeDataCheckTableDetails``.

    :ivar total_count: number of tables to compare.
    :ivar diff_table_count: number of tables that differ.
    :ivar failed_table_count: number of tables that could not be compared.
    """

    request_id: str | None = None
    total_count: Count | None = None
    diff_table_count: Count | None = None
    failed_table_count: Count | None = None
    table_details: tuple[CheckedTable, ...] | None = None


class SynchronizationStatus(WireModel):
    """
    The incremental phase.

    :ivar delay: seconds.
    :ivar checkpoint: epoch seconds.
    """

    status: Verbatim = None
    percent: Percentage | None = None
    delay: Lag | None = None
    checkpoint: Number | None = None
    error_message: str | None = None


class MigrationMode(WireModel):
    """The enabled phases and data checks; None where the service does not say."""

    structure_initialization: bool | None = None
    data_initialization: bool | None = None
    data_synchronization: bool | None = None
    structure_data_check: bool | None = None
    full_data_check: bool | None = None
    inc_data_check: bool | None = None

    @property
    def is_known(self) -> bool:
        """True if the service says for each phase whether it is enabled."""
        return None not in (
            self.structure_initialization,
            self.data_initialization,
            self.data_synchronization,
        )


class Endpoint(WireModel):
    """The source or the destination."""

    instance_id: Verbatim = None
    instance_type: str | None = None
    engine_name: Verbatim = None
    database_name: str | None = None
    ip: Verbatim = None
    port: Verbatim = None


class Performance(WireModel):
    """
    The speed of a job.

    :ivar flow: megabytes a second.
    :ivar rps: SQL statements a second, with BEGIN, COMMIT and DDL: not rows.
    """

    flow: Number | None = None
    rps: Number | None = None


class RetryState(WireModel):
    """
    Retries that DTS makes after an error.

    :ivar retry_time: seconds for which DTS has retried.
    :ivar max_retry_time: seconds after which DTS gives up.
    """

    retrying: bool | None = None
    retry_count: Count | None = None
    retry_time: Number | None = None
    max_retry_time: Number | None = None
    err_message: str | None = None


class ErrorDetail(WireModel):
    """One error of a job, with the address of its page."""

    error_code: Verbatim = None
    help_url: str | None = None


class MigrationJob(WireModel):
    """
    The response of ``DescribeMigrationJobStatus``.

    :ivar error_message: reason why the whole job failed; this and the fields below only in
        ``DescribeDtsJobs``.
    :ivar workaround: remedy.
    """

    request_id: str | None = None
    migration_job_id: Verbatim = None
    migration_job_name: str | None = None
    migration_job_status: Verbatim = None
    migration_job_class: str | None = None
    pay_type: str | None = None
    task_id: Verbatim = None
    migration_mode: MigrationMode = MigrationMode()
    precheck_status: PrecheckStatus | None = None
    structure_initialization_status: PhaseStatus | None = None
    data_initialization_status: PhaseStatus | None = None
    data_synchronization_status: SynchronizationStatus | None = None
    source_endpoint: Endpoint | None = None
    destination_endpoint: Endpoint | None = None
    error_message: str | None = None
    workaround: str | None = None
    performance: Performance | None = None
    retry_state: RetryState | None = None
    error_details: tuple[ErrorDetail, ...] | None = None
    structure_data_check_status: DataCheckStatus | None = None
    full_data_check_status: DataCheckStatus | None = None
    inc_data_check_status: DataCheckStatus | None = None


class ListedJob(MigrationJob):
    """
    A job of ``DescribeDtsJobs`` in the form of ``DescribeMigrationJobStatus``.

    :ivar is_migration: false for a synchronization.
    :ivar reverse: the other direction of a two-way job; without a status if the answer does not show it.
    """

    is_migration: bool = True
    reverse: MigrationJob | None = None


class DtsCheckItem(WireModel):
    """One item of the precheck in ``DescribeDtsJobs``."""

    check_item: str | None = None
    check_result: Verbatim = None
    failed_reason: str | None = None
    repair_method: str | None = None


class DtsPrecheckStatus(WireModel):
    """The precheck in ``DescribeDtsJobs``."""

    status: Verbatim = None
    percent: Percentage | None = None
    error_message: str | None = None
    detail: list[DtsCheckItem] | None = None

    def as_precheck_status(self) -> PrecheckStatus:
        """Convert to the form of ``DescribeMigrationJobStatus``."""
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


def _unreadable_is_a_word(value: object) -> object:
    # If an unreadable direction were dropped, a two-way job would look like a one-way job.
    return value if value is None or isinstance(value, str) else "unreadable"


class DtsDirection(WireModel):
    """
    One direction of a job in ``DescribeDtsJobs``: a job, or the ``ReverseJob`` of a two-way job.

    :ivar dts_job_direction: ``Forward`` or ``Reverse``; only for a two-way job.
    :ivar delay: milliseconds for a migration, seconds for a synchronization and for a ``ReverseJob``.
    :ivar checkpoint: epoch seconds; before the incremental phase, the position at which it will start.
    """

    dts_instance_id: Verbatim = None
    dts_job_id: Verbatim = None
    dts_job_name: str | None = None
    dts_job_class: str | None = None
    pay_type: str | None = None
    status: Verbatim = None
    dts_job_direction: Annotated[Verbatim, BeforeValidator(_unreadable_is_a_word)] = None
    error_message: str | None = None
    delay: Lag | None = None
    checkpoint: Number | None = None
    migration_mode: MigrationMode = MigrationMode()
    precheck_status: DtsPrecheckStatus | None = None
    structure_initialization_status: PhaseStatus | None = None
    data_initialization_status: PhaseStatus | None = None
    data_synchronization_status: PhaseStatus | None = None
    source_endpoint: Endpoint | None = None
    destination_endpoint: Endpoint | None = None
    performance: Performance | None = None
    error_details: tuple[ErrorDetail, ...] | None = None
    structure_data_check_status: DataCheckStatus | None = None
    full_data_check_status: DataCheckStatus | None = None
    inc_data_check_status: DataCheckStatus | None = None

    def as_migration_job(self, request_id: str | None = None, *, units_per_second: float = 1) -> MigrationJob:
        """
        Convert to the form of ``DescribeMigrationJobStatus``.

        :param units_per_second: 1000 for a delay in milliseconds.
        """
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
                delay=None if self.delay is None else self.delay / units_per_second,
                checkpoint=self.checkpoint,
            )
            if (incremental := self.data_synchronization_status)
            else None,
            source_endpoint=self.source_endpoint,
            destination_endpoint=self.destination_endpoint,
            error_message=self.error_message,
            performance=self.performance,
            error_details=self.error_details,
            structure_data_check_status=self.structure_data_check_status,
            full_data_check_status=self.full_data_check_status,
            inc_data_check_status=self.inc_data_check_status,
        )


class Tag(WireModel):
    """One tag of a job."""

    tag_key: Verbatim = None
    tag_value: Verbatim = None


def _is_synchronizing(status: str | None) -> bool:
    """Tell whether a status is that of a synchronization, and of no other job."""
    return (status or "").strip().lower() == "synchronizing"


def _unreadable_is_empty(value: object) -> object:
    # If an unreadable direction were dropped, a two-way job would be judged by the other one alone.
    return value if value is None or isinstance(value, (dict, DtsDirection)) else {}


class DtsJob(DtsDirection):
    """
    A job in the response of ``DescribeDtsJobs``.

    :ivar job_type: ``online`` for a migration, ``sync`` for a synchronization, ``subscribe``.
    :ivar reverse_job: the other direction of a two-way job; empty if it cannot be read.
    :ivar create_time: UTC time.
    :ivar tag_list: None if the answer does not show the tags.
    """

    job_type: Verbatim = None
    reverse_job: Annotated[DtsDirection, BeforeValidator(_unreadable_is_empty)] | None = None
    migration_err_msg: str | None = None
    migration_err_workaround: str | None = None
    retry_state: RetryState | None = None
    create_time: str | None = None
    tag_list: tuple[Tag, ...] | None = None

    @property
    def tags(self) -> dict[str, str]:
        """The tags and their values."""
        return {tag.tag_key or "": tag.tag_value or "" for tag in self.tag_list or ()}

    @property
    def is_two_way(self) -> bool:
        """True if the job has, or must have, another direction: only such a job names its direction."""
        return self.reverse_job is not None or bool((self.dts_job_direction or "").strip())

    @property
    def _other_direction(self) -> DtsDirection | None:
        """The other direction; None if the answer does not show it, or shows this one a second time."""
        other = self.reverse_job
        if other is None:
            return None
        pairs = (self.dts_job_id, other.dts_job_id), (self.dts_job_direction, other.dts_job_direction)
        is_same = any(mine and mine.lower() == (others or "").lower() for mine, others in pairs)
        return None if is_same else other

    def as_listed_job(self, job_type: str, request_id: str | None = None) -> ListedJob:
        """
        Convert to the form of ``DescribeMigrationJobStatus``, with the other direction.

        The delay is in milliseconds only if request and answer agree on a migration: seconds, the larger
        reading, never make a lagging job look in sync.

        :param job_type: the ``JobType`` of the request.
        """
        word = (self.job_type or "").strip().lower()
        is_listed_as_migration = (
            job_type == MIGRATION and word in ("", "online") and not _is_synchronizing(self.status)
        )
        # A migration has one direction: an empty section of a second one says nothing.
        is_empty = self.reverse_job == DtsDirection() and not (self.dts_job_direction or "").strip()
        is_two_way = self.is_two_way and not (is_listed_as_migration and is_empty)
        is_migration = is_listed_as_migration and not is_two_way
        job = self.as_migration_job(request_id, units_per_second=1000 if is_migration else 1)
        further = {
            "error_message": self.error_message or self.migration_err_msg,
            "workaround": self.migration_err_workaround,
            "retry_state": self.retry_state,
        }
        reverse = (self._other_direction or DtsDirection()).as_migration_job() if is_two_way else None
        return ListedJob(**{**dict(job), **further}, is_migration=is_migration, reverse=reverse)


class DtsJobs(WireModel):
    """
    The response of ``DescribeDtsJobs``; unknown instances are missing from its list.

    :ivar total_record_count: number of jobs on all pages.
    """

    request_id: str | None = None
    dts_job_list: tuple[DtsJob, ...] | None = None
    total_record_count: Count | None = None


class JobObject(WireModel):
    """
    One object of a phase in ``DescribeMigrationJobDetail``; its SQL is not read.

    :ivar table_name: name of a table; ``object_name`` and ``object_type`` only in the structure.
    :ivar total_row_num: number of rows, estimated when the copy began: a finished table may have others.
    """

    source_owner_db_name: str | None = None
    destination_owner_db_name: str | None = None
    table_name: str | None = None
    object_name: str | None = None
    object_type: str | None = None
    total_row_num: Count | None = None
    finish_row_num: Count | None = None
    status: Verbatim = None
    error_message: str | None = None

    @property
    def key(self) -> tuple[str | None, ...]:
        """The names that identify the object in its phase."""
        return self.source_owner_db_name, self.object_type, self.table_name, self.object_name

    @property
    def state(self) -> MigrationState:
        """The normalised state."""
        return PHASE_STATUSES.state_of(self.status)

    @property
    def percent(self) -> float | None:
        """0–100, or None when not known; 100 only if the status says that the object is finished."""
        if self.state is MigrationState.SUCCEEDED:
            return 100.0
        if self.state is MigrationState.PENDING:
            return 0.0
        if self.finish_row_num is None or not self.total_row_num:
            return None
        return min(100 * self.finish_row_num / self.total_row_num, 99.9)

    def as_object_progress(self) -> ObjectProgress:
        """Convert to the form of a record."""
        return ObjectProgress(
            source=".".join(filter(None, (self.source_owner_db_name, self.table_name or self.object_name))),
            destination=self.destination_owner_db_name,
            percent=self.percent,
            error=self.error_message if self.state is MigrationState.FAILED else None,
        )


class _StructureObjects(WireModel):
    structure_initialization_detail: tuple[JobObject, ...] | None = None


class _Tables(WireModel):
    data_initialization_detail: tuple[JobObject, ...] | None = None


class JobObjects(WireModel):
    """
    One page of ``DescribeMigrationJobDetail``.

    :ivar total_record_count: number of objects on all pages.
    """

    request_id: str | None = None
    total_record_count: Count | None = None
    structure_initialization_detail_list: _StructureObjects = _StructureObjects()
    data_initialization_detail_list: _Tables = _Tables()

    def of(self, phase: str) -> tuple[JobObject, ...] | None:
        """Return the objects of a phase; None if they are missing."""
        if phase == "structure":
            return self.structure_initialization_detail_list.structure_initialization_detail
        return self.data_initialization_detail_list.data_initialization_detail


class ObjectListing:
    """
    Paging state of the objects of a phase. An object that is listed twice counts once.

    :param phase: ``structure`` or ``full``.
    :raises MigrationConfigurationError: for another phase.
    """

    def __init__(self, phase: str) -> None:
        if phase not in OBJECT_PHASES:
            raise MigrationConfigurationError(f"phase must be {' or '.join(OBJECT_PHASES)}, not {phase!r}.")
        self.phase = phase
        self.page: int = 1
        self.total: int = 0
        self.at_end: bool = False
        self._taken = 0
        self._known: set[tuple[str | None, ...]] = set()

    def take(self, page: JobObjects) -> list[JobObject]:
        """Return the new objects of a page. A page without new ones (empty or repeated) is the end."""
        rows = page.of(self.phase) or ()
        new = {row.key: row for row in rows if row.key not in self._known}
        self.page += 1
        self._taken += len(rows)
        self._known.update(new)
        # A count of 0 beside objects is wrong: ignore it.
        self.total = max(self.total, page.total_record_count or 0)
        self.at_end = not new or 0 < self.total <= self._taken
        return list(new.values())


@dataclass(slots=True)
class _CountedObjects:
    """Totals over the pages of a list, without keeping the pages."""

    total: int = 0
    seen: int = 0
    completed: int = 0
    slowest: list[ObjectProgress] = field(default_factory=list)
    failed: list[ObjectProgress] = field(default_factory=list)

    def add(self, total: int, rows: Sequence[JobObject]) -> None:
        self.seen += len(rows)
        self.total = max(total, self.seen)
        self.completed += sum(row.state is MigrationState.SUCCEEDED for row in rows)
        failed = [row for row in rows if row.state is MigrationState.FAILED]
        ended = (MigrationState.SUCCEEDED, MigrationState.FAILED)
        unfinished = (row for row in rows if row.state not in ended)
        # By name too: another order of equal ones would look like progress.
        slowest = heapq.nsmallest(
            MAX_OBJECTS_NAMED, unfinished, key=lambda row: (row.percent or 0.0, *map(str, row.key))
        )
        self.slowest = slowest_objects([*self.slowest, *(row.as_object_progress() for row in slowest)])
        missing = MAX_OBJECTS_NAMED - len(self.failed)
        self.failed += [row.as_object_progress() for row in failed[:missing]]

    @property
    def summary(self) -> ObjectSummary | None:
        """The summary; None for an empty list, which does not say that all is done."""
        if not self.seen:
            return None
        return ObjectSummary(
            total=self.total,
            completed=self.completed,
            slowest=tuple(self.slowest),
            failed=tuple(self.failed),
        )


@dataclass(frozen=True, slots=True)
class _ListedObjects:
    """
    The last list of a job's objects, or its refusal.

    :ivar words: the statuses of the job and of the phase at the time of the request.
    :ivar warnings: the warning about the refusal, if any.
    :ivar is_brief: true if the list is due at the next poll in any case: this one ran out of time.
    """

    phase: str | None
    words: tuple[str | None, ...]
    at: datetime
    summary: ObjectSummary | None = None
    warnings: tuple[str, ...] = ()
    is_brief: bool = False

    def is_recent(self, words: tuple[str | None, ...], now: datetime) -> bool:
        # A clock that was set back must not prolong the back-off.
        return self.words == words and not self.is_brief and self.at <= now < self.at + ASK_AGAIN_AFTER

    @property
    def is_complete(self) -> bool:
        return self.summary is not None and self.summary.completed == self.summary.total


def _read_objects(phase: str) -> Callable[[Request[Any], Response], JobObjects]:
    def read(request: Request[Any], response: Response) -> JobObjects:
        page = JobObjects.read(rpc_object(request, response, payload="TotalRecordCount"))
        if page.of(phase) is None and page.total_record_count != 0:
            text = "no objects in the response"
            raise api_error(MigrationResponseError, request, response, text, request_id=page.request_id)
        return page

    return read


_LEAVE_OUT: Final = "leave out objects=True"
_UNLISTED: Final = "The objects of the job are not listed:"


_NO_OBJECTS_OF_SYNC: Final = (
    f"{_UNLISTED} {OBJECTS_API} knows migration jobs only, and this is a synchronization job: {_LEAVE_OUT}."
)


def _unlisted(error: MigrationError) -> str:
    """
    Return the warning about a list that was refused or could not be read.

    It has no request id, so that the same problem is logged once.
    """
    remedy = (
        f"The list is retried in {ASK_AGAIN_AFTER.seconds // 60} minutes: if this persists, {_LEAVE_OUT}."
    )
    if isinstance(error, MigrationPermissionError):
        remedy = f"Give the account AliyunDTSReadOnlyAccess, or {_LEAVE_OUT}."
    elif isinstance(error, (MigrationNotFoundError, MigrationRequestError)):
        remedy = f"DTS may not list the objects of this job: {_LEAVE_OUT}."
    found = (getattr(error, name, None) for name in ("http_status", "code", "reason"))
    status, *words = found
    came_back = ", ".join(filter(None, (f"HTTP {status}" if status else None, *words)))
    return (
        f"{_UNLISTED} {OBJECTS_API} cannot be read ({came_back or type(error).__name__}). The job's status "
        f"does not depend on them. {remedy}"
    )


def _too_many(total: int) -> str:
    """Return the warning about a list that is too long for a poll."""
    return (
        f"{_UNLISTED} {total:,} are more than the {MAX_OBJECTS:,} that a poll lists. The job's status does "
        f"not depend on them. Use the hook's iter_objects, and {_LEAVE_OUT}."
    )


def _read(request: Request[Any], response: Response) -> MigrationJob:
    job = MigrationJob.read(rpc_object(request, response, payload="MigrationJobStatus"))
    return _with_status(request, response, job)


def _with_status(request: Request[Any], response: Response, job: MigrationJob) -> MigrationJob:
    if not (job.migration_job_status or "").strip():
        field = "MigrationJobStatus" if request.action == LEGACY_API else "Status"
        raise no_status(request, response, field, job.request_id)
    return job


def _read_jobs(request: Request[Any], response: Response) -> DtsJobs:
    return DtsJobs.read(rpc_object(request, response, payload="DtsJobList"))


def _read_rows(request: Request[Any], response: Response) -> DtsJobs:
    """Parse a list whose absent jobs count as absent: it must be there, or be counted as empty."""
    answer = _read_jobs(request, response)
    if answer.dts_job_list is None and answer.total_record_count != 0:
        raise no_status(request, response, "DtsJobList", answer.request_id)
    return answer


def _read_tables(request: Request[Any], response: Response) -> CheckedTables:
    tables = CheckedTables.read(rpc_object(request, response, payload="TotalCount"))
    if None in (tables.total_count, tables.diff_table_count, tables.failed_table_count):
        text = "no counts in the response"
        raise api_error(MigrationResponseError, request, response, text, request_id=tables.request_id)
    return tables


@dataclass(frozen=True, slots=True)
class _Listed:
    """
    Index of a list of jobs by either id.

    :ivar by_instance: the jobs of each instance; usually one.
    :ivar by_job: each job by its ``DtsJobId``.
    :ivar is_cut: true if there are more jobs than on this page.
    """

    by_instance: Mapping[str, Sequence[ListedJob]]
    by_job: Mapping[str, ListedJob]
    is_cut: bool = False

    @classmethod
    def read(cls, request: Request[Any], response: Response, job_type: str) -> _Listed:
        """Parse the list of jobs of a type."""
        answer = _read_rows(request, response)
        jobs = [job.as_listed_job(job_type, answer.request_id) for job in answer.dts_job_list or ()]
        by_job = {job.task_id: job for job in jobs if job.task_id}
        by_instance: dict[str, list[ListedJob]] = {}
        for job in jobs:
            # A job that is listed twice counts once.
            if job.migration_job_id and (not job.task_id or job is by_job[job.task_id]):
                by_instance.setdefault(job.migration_job_id, []).append(job)
        is_cut = (answer.total_record_count or 0) > len(answer.dts_job_list or ())
        return cls(by_instance, by_job, is_cut)

    def of_instance(self, request: Request[Any], response: Response, instance_id: str) -> ListedJob | None:
        """
        Return the job of an instance; None if the complete list does not have it.

        :raises MigrationApiError: for several jobs, one without a status, and an incomplete list.
        """
        jobs = self.by_instance.get(instance_id, ())
        if len(jobs) > 1:
            ids = ", ".join(job.task_id or "one without an id" for job in jobs)
            text = f"the instance {instance_id} has several jobs; give the DtsJobId of one of them: {ids}"
            raise api_error(MigrationRequestError, request, response, text)
        return self._one(request, response, jobs[0] if jobs else None)

    def job(self, request: Request[Any], response: Response, job_id: str) -> ListedJob | None:
        """
        Return the job with a ``DtsJobId``; None if the complete list does not have it.

        :raises MigrationApiError: if its status is missing, or the list is not complete.
        """
        return self._one(request, response, self.by_job.get(job_id))

    def _one(self, request: Request[Any], response: Response, job: ListedJob | None) -> ListedJob | None:
        if job is None:
            if self.is_cut:
                raise api_error(MigrationResponseError, request, response, "not on this page of the list")
            return None
        _with_status(request, response, job)
        return job


class JobListing(MigrationListing):
    """
    Paging state of a list of jobs.

    :param selection: the selected jobs.
    :param job_types: the ``JobType`` of each part.
    """

    def __init__(self, selection: MigrationFilter, job_types: Sequence[str] = JOB_TYPES) -> None:
        super().__init__(selection, job_types)
        self._ids: dict[tuple[str | None, str | None], str] = {}
        self._jobs_of: Counter[str | None] = Counter()
        self._alone: set[str | None] = set()

    def name_jobs(self, jobs: Sequence[DtsJob]) -> list[str]:
        """
        Return the id of each job of a page as a sensor takes it: that of its instance, or its ``DtsJobId``
        where the instance has several jobs; empty for a job without an id.

        :raises MigrationResponseError: if the jobs of an instance are on different pages. Its id was returned
            for one of them before, and the older call may answer it with another.
        """
        keys = [(job.dts_instance_id, job.dts_job_id) for job in jobs]
        new = [key for key in dict.fromkeys(keys) if key not in self._ids]
        self._jobs_of.update(instance for instance, _ in new)
        for instance, job in new:
            is_alone = instance and self._jobs_of[instance] == 1
            if not is_alone and instance in self._alone:
                raise MigrationResponseError(
                    f"The instance {instance} has several jobs, on different pages of the list, so that its "
                    "id names none of them: give the DtsJobId of each job instead of listing them."
                )
            if is_alone:
                self._alone.add(instance)
            self._ids[instance, job] = (instance if is_alone else job) or instance or ""
        return [self._ids[key] for key in keys]


@dataclass(slots=True, kw_only=True)
class DtsApi(AlibabaApi):
    """
    DTS, as one account sees it in one region.

    :param api: the call for the progress of a job, one of :data:`APIS`.
    :param job_type: the only one of :data:`JOB_TYPES` to request; None to find out.
    """

    api: str = LEGACY_API
    job_type: str | None = None
    _types: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The type of each job that a list has shown, by the user's id."""
    _listed_only: dict[str, None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Instances that only ``DescribeDtsJobs`` knows, although the legacy call is configured."""
    _instances: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Instance ids of jobs that the user named by their ``DtsJobId``."""
    _counted: dict[tuple[str, int], tuple[DataCheckStatus, Verification]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The last result of each data check, with the summary that it belongs to."""
    _objects: dict[str, _ListedObjects] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The last objects of at most :data:`MAX_LISTED` jobs, by instance."""

    def describe_migration_job_status(
        self,
        migration_job_id: str,
        *,
        client_token: str | None = None,
        account_id: str | None = None,
        region_id: str | None = None,
    ) -> Flow[MigrationJob]:
        """Get one migration job."""
        job_id = require_id("migration_job_id", migration_job_id)
        return (
            yield from send(
                self._request(
                    SERVICE,
                    VERSION,
                    LEGACY_API,
                    _read,
                    query={
                        "MigrationJobId": job_id,
                        "RegionId": region_id or self.region,
                        "ClientToken": client_token,
                        "AccountId": account_id,
                    },
                    asked_for=job_id,
                )
            )
        )

    def describe_dts_jobs(
        self, dts_instance_ids: Sequence[str], *, job_type: str = MIGRATION
    ) -> Flow[DtsJobs]:
        """Get several jobs of a type; unknown ones are missing from the response."""
        if not isinstance(dts_instance_ids, (list, tuple)):
            raise MigrationConfigurationError(
                f"dts_instance_ids must be a list of ids, not {type(dts_instance_ids).__name__}."
            )
        ids = [require_id("dts_instance_ids", instance_id) for instance_id in dts_instance_ids]
        if not 0 < len(ids) <= MAX_INSTANCES:
            raise MigrationConfigurationError(
                f"dts_instance_ids must be 1 to {MAX_INSTANCES} ids, not {len(ids)}."
            )
        return (yield from send(self._request_list(ids, _read_jobs, require_job_type(job_type))))

    def _request_list(
        self,
        ids: Sequence[str],
        read: Callable[[Request[Any], Response], _T],
        job_type: str,
        *,
        parameter: str = "DtsInstanceId",
        **more: Any,
    ) -> Request[_T]:
        return self._request_page(
            read, job_type, {parameter: ",".join(ids)}, **{"asked_for": ", ".join(ids), **more}
        )

    def _request_page(
        self,
        read: Callable[[Request[Any], Response], _T],
        job_type: str,
        query: Mapping[str, str | None],
        **more: Any,
    ) -> Request[_T]:
        return self._request(
            SERVICE,
            VERSION,
            LISTING_API,
            read,
            query={
                **query,
                "JobType": job_type,
                "PageSize": str(MAX_INSTANCES),
                "Region": self.region,
                "WithoutDbList": "true",  # the objects of a job may be megabytes
            },
            **more,
        )

    def _find(
        self, listed: _Listed, request: Request[Any], response: Response, job_id: str
    ) -> ListedJob | None:
        """Find a job in a list by the user's id; never return another job of the same instance."""
        if job_id in self._instances:
            return listed.job(request, response, job_id)
        return listed.of_instance(request, response, job_id)

    def _listed_instance(self, job_id: str, job_type: str, *, is_certain: bool) -> Flow[ListedJob | None]:
        """
        Get one job from the list of a type by its instance, batched with others where possible.

        Jobs named by their ``DtsJobId`` are queried by instance too, so that all share a batch.

        :param is_certain: if the job is not in a batch of this type, request it alone; raise an error if it
            is not listed then either. Otherwise its absence from a batch suffices, and the result is None.
        """

        def read(request: Request[Any], response: Response) -> ListedJob | None:
            listed = _Listed.read(request, response, job_type)
            job = self._find(listed, request, response, job_id)
            return job if job or not is_certain else _raise_unlisted(request, response)

        def batch(ids: Sequence[str]) -> Request[Mapping[str, ListedJob | None]]:
            def read_all(request: Request[Any], response: Response) -> Mapping[str, ListedJob | None]:
                listed = _Listed.read(request, response, job_type)
                found: dict[str, ListedJob | None] = {}
                if listed.is_cut:  # an instance may have a second job on the next page
                    return found
                for one in ids:
                    # A job that cannot be read, or must be missing for certain, is requested alone.
                    with suppress(MigrationApiError):
                        job = self._find(listed, request, response, one)
                        if job or not is_certain:
                            found[one] = job
                return found

            instances = dict.fromkeys(self._instances.get(one, one) for one in ids)
            return self._request_list(list(instances), read_all, job_type)

        return (
            yield from send(
                self._request_list(
                    [self._instances.get(job_id, job_id)],
                    read,
                    job_type,
                    coalescing_key=job_id,
                    batch=batch,
                    batch_kind=f"{job_type} {is_certain}",
                    batch_limit=MAX_INSTANCES,
                    asked_for=job_id,
                )
            )
        )

    def _looked_up_job(self, job_id: str, job_type: str) -> Flow[ListedJob]:
        """Get a job of a type by its ``DtsJobId``, and cache its instance."""

        def read(request: Request[Any], response: Response) -> ListedJob:
            listed = _Listed.read(request, response, job_type)
            return listed.job(request, response, job_id) or _raise_unlisted(request, response)

        job = yield from send(self._request_list([job_id], read, job_type, parameter="DtsJobId"))
        if job.migration_job_id:
            cache_put(self._instances, job_id, job.migration_job_id)
        return job

    def _job_types(self, job_id: str) -> tuple[str, ...]:
        """Return the types to request for a job, the known one first."""
        if self.job_type is not None:
            return (self.job_type,)
        return tuple(dict.fromkeys((self._types.get(job_id, JOB_TYPES[0]), *JOB_TYPES)))

    def _listed_job(self, job_id: str) -> Flow[ListedJob]:
        """Get one job from the lists, by the id of the instance, else of the job."""
        types = self._job_types(job_id)
        # The instance of a job id was listed with a type.
        of_instances = types[:1] if job_id in self._instances else types
        for job_type in of_instances:
            # One answer without a job that was listed before must not end the wait for it.
            is_certain = job_type in (self._types.get(job_id), of_instances[-1])
            try:
                job = yield from self._listed_instance(job_id, job_type, is_certain=is_certain)
            except MigrationNotFoundError as error:
                if not _is_reported_by_dts(error):
                    raise
                unknown = error
                if not _is_unlisted(error):
                    break
            else:
                if job is not None:
                    cache_put(self._types, job_id, job_type)
                    return job
        self._instances.pop(job_id, None)
        refusals = []
        for job_type in types:
            try:
                job = yield from self._looked_up_job(job_id, job_type)
            except MigrationApiError as error:
                if error.is_transient:
                    raise
                if not _is_unlisted(error):
                    refusals.append(error)
            else:
                cache_put(self._types, job_id, job_type)
                return job
        unknown.add_hint(
            f"The second call failed too: {refusals[0]}"
            if refusals
            else f"It is not the DtsJobId of a job either (JobType {' and '.join(types)})."
        )
        raise unknown

    def _job(self, migration_job_id: str, *, is_listed: bool = False) -> Flow[MigrationJob]:
        """
        Get one job with the configured call.

        If only the list knows the job, the list is used from then on.

        :param is_listed: use the list in any case.
        """
        job_id = require_id("migration_job_id", migration_job_id)
        # The other call knows migrations only.
        is_listed = is_listed or self.api == LISTING_API or self.job_type == SYNC
        if is_listed or job_id in self._listed_only or job_id in self._instances:
            return (yield from self._listed_job(job_id))
        try:
            told = yield from self.describe_migration_job_status(job_id)
        except MigrationNotFoundError as error:
            if error.code is None:  # not a refusal by DTS itself
                raise
            unknown = error
        else:
            if not _is_synchronizing(told.migration_job_status):
                return told
            # This call is not made for synchronizations: it would hide a reverse direction.
            cache_put(self._listed_only, job_id, None)
            return (yield from self._listed_job(job_id))
        try:
            job = yield from self._listed_job(job_id)
        except MigrationApiError as error:
            if error.is_transient:
                raise
            types = " and ".join(self._job_types(job_id))
            unknown.add_hint(
                f"{LISTING_API} does not list it either, as DtsInstanceId or as DtsJobId (JobType {types})."
                if _is_unlisted(error)
                else f"The second call failed too: {error}"
            )
        else:
            if job_id not in self._instances:
                cache_put(self._listed_only, job_id, None)
            return job
        raise unknown

    def list_migrations(self, listing: JobListing) -> Flow[list[MigrationSummary]]:
        """
        Get the next page of a list of jobs.

        DTS filters by tags and by the resource group. It does not filter by the status: a job whose status
        changes between two pages would move the others, and one would be missing. New jobs come first:
        one that is created meanwhile repeats a row, and hides no other.
        """
        job_type, selection = listing.part, listing.selection
        tags = [{"key": key, "value": value} for key, value in selection.tags.items()]

        def read(request: Request[Any], response: Response) -> DtsJobs:
            page = _read_rows(request, response)
            if problem := _problem_of_list(page, is_tagged=bool(tags)):
                raise api_error(
                    MigrationResponseError, request, response, problem, request_id=page.request_id
                )
            return page

        query = {
            "OrderColumn": "CreateTime",
            "OrderDirection": "DESC",
            "PageNumber": str(listing.page),
            "ResourceGroupId": selection.group,
            "Tags": json.dumps(tags) if tags else None,
        }
        page = yield from send(self._request_page(read, job_type, query))
        jobs = page.dts_job_list or ()
        rows = [
            (_summary(job, job_type, name), job.tags if tags else None)
            for job, name in zip(jobs, listing.name_jobs(jobs), strict=True)
        ]
        return listing.take(
            rows,
            received=len(jobs),
            total=page.total_record_count,
            # The count is of instances, and an instance may have several jobs.
            may_continue=len(jobs) >= MAX_INSTANCES,
        )

    def describe_data_check_table_details(
        self, dts_job_id: str, check_type: int, *, status: str = "-1"
    ) -> Flow[CheckedTables]:
        """
        Get the counts of a data check, and its first tables.

        :param dts_job_id: the ``DtsJobId``, not the id of the instance.
        :param check_type: 1 for existing data, 2 for the increment.
        :param status: ``-1`` for all tables, ``6`` for those with differences.
        """
        return (yield from send(self._request_tables(dts_job_id, check_type, status)))

    def _request_tables(self, job_id: str, check_type: int, status: str) -> Request[CheckedTables]:
        return self._request(
            SERVICE,
            VERSION,
            CHECK_DETAILS_API,
            _read_tables,
            query={
                "DtsJobId": job_id,
                "CheckType": str(check_type),
                "Status": status,
                "PageNumber": "1",
                "PageSize": str(MAX_TABLES),
            },
            asked_for=job_id,
        )

    def _verification(
        self, job_id: str, job: MigrationJob, state: MigrationState
    ) -> Flow[tuple[Verification, tuple[str, ...]]]:
        """Get the result of a job's data checks with their counts, and warnings."""
        parts: list[dict[int, Verification]] = []
        warnings = []
        for direction in _directions(job):
            found_here = {}
            for check_type, summary in _data_checks(direction).items():
                part = _summarized(summary)
                if direction.task_id and _has_ended(summary):
                    try:
                        counted = yield from self._count_tables(direction.task_id, check_type, summary, state)
                    except MigrationApiError as error:
                        part = part.model_copy(update={"state": VerificationState.UNKNOWN})
                        warnings.append(unread_verification(error, "AliyunDTSReadOnlyAccess"))
                    else:
                        part = _with_word(counted, part.state) if counted else part
                found_here[check_type] = part
            parts.append(found_here)
        found = _verification(job, parts) or Verification(state=VerificationState.UNKNOWN)
        is_cut = (found.tables_total or 0) > MAX_TABLES
        if found.state is VerificationState.CONSISTENT and is_cut and _is_ready(state):
            found = yield from self._confirmed(job_id, job, found)
        return found, tuple(dict.fromkeys(warnings))

    def _confirmed(self, job_id: str, job: MigrationJob, found: Verification) -> Flow[Verification]:
        """
        Confirm a clean result, or return it as running if the checks have started again in the meantime.

        Not all tables are listed, so the counts alone do not show that a check has begun again.
        """
        try:
            again = yield from self._job(job_id, is_listed=True)
        except MigrationApiError:
            again = None
        if again is not None and _all_checks(again) == _all_checks(job):
            return found
        return found.model_copy(update={"state": VerificationState.RUNNING})

    def _count_tables(
        self, job_id: str, check_type: int, summary: DataCheckStatus, state: MigrationState
    ) -> Flow[Verification | None]:
        """
        Count the tables of a data check that has ended.

        A clean result is counted again if the summary has changed, and always while a verdict may depend on
        it: a check may have been repeated between two polls, with the same summary. None if the rate limiter
        skips the call.
        """
        is_needed = _is_ready(state)
        summary_then, counted = self._counted.get((job_id, check_type), (None, None))
        is_clean = counted is not None and counted.state is VerificationState.CONSISTENT
        if summary == summary_then and is_clean and not is_needed:
            return counted
        request = self._request_tables(job_id, check_type, "-1")
        tables = yield from (send(request) if is_needed else send_optional(request))
        if tables is None:
            return counted if summary == summary_then else None
        rows = tables.table_details or ()
        is_complete = len({row.key for row in rows}) >= (tables.total_count or 0)
        if not is_complete and (tables.diff_table_count or tables.failed_table_count):
            with suppress(MigrationApiError):  # names only: the counts are known
                different = yield from send(self._request_tables(job_id, check_type, _ONLY_DIFFERENT))
                rows = (*rows, *(different.table_details or ()))
        each = tuple({row.key: row for row in rows}.values())
        counted = _counted(tables, each, summary.percent)
        cache_put(self._counted, (job_id, check_type), (summary, counted))
        return counted

    def describe_migration_job_detail(
        self, migration_job_id: str, listing: ObjectListing
    ) -> Flow[list[JobObject]]:
        """
        Get the next page of a listing.

        :param migration_job_id: the id of the instance, or the ``DtsJobId`` of the job, which is looked up.
        """
        job_id = require_id("migration_job_id", migration_job_id)
        try:
            page = yield from send(self._request_objects(self._instances.get(job_id, job_id), listing))
        except MigrationNotFoundError as error:
            if error.code is None or job_id in self._instances:
                raise
            unknown = error
        else:
            return listing.take(page)
        try:
            job = yield from self._looked_up_job(job_id, MIGRATION)
        except MigrationNotFoundError:
            raise unknown from None
        return listing.take((yield from send(self._request_objects(job.migration_job_id or job_id, listing))))

    def _request_objects(self, instance_id: str, listing: ObjectListing) -> Request[JobObjects]:
        request = self._request(
            SERVICE,
            VERSION,
            OBJECTS_API,
            _read_objects(listing.phase),
            query={
                "MigrationJobId": instance_id,
                f"MigrationMode.{OBJECT_PHASES[listing.phase]}": "true",
                "PageNum": str(listing.page),
                "PageSize": str(OBJECTS_PER_PAGE),
                "RegionId": self.region,
            },
            asked_for=instance_id,
        )
        if listing.page > MAX_OBJECT_PAGES:
            text = f"the list does not end after {MAX_OBJECT_PAGES} pages of {OBJECTS_PER_PAGE}"
            raise api_error(MigrationResponseError, request, None, text)
        return request

    def _list_objects(
        self, job_id: str, job: MigrationJob, phases: Sequence[Phase], state: MigrationState
    ) -> Flow[tuple[ObjectSummary | None, tuple[str, ...]]]:
        """
        List the objects of the bulk phase that is under way, or was last, and return warnings.

        While it is under way each poll asks; a job that does not move is asked again after
        :data:`ASK_AGAIN_AFTER`. Once the phase is done, a list is only completed, not begun, as an increment
        may take weeks; a job that has ended is asked once. The previous objects are kept while the rate
        limiter skips the list, and after a transient error.
        """
        if isinstance(job, ListedJob) and not job.is_migration:
            return None, (_NO_OBJECTS_OF_SYNC,)
        begun = [
            phase
            for phase in phases
            if phase.name in OBJECT_PHASES and phase.state is not MigrationState.PENDING
        ]
        if not begun:
            return None, ()
        phase, now = begun[-1], self.clock()
        before = self._objects.get(job_id)
        if before is not None and before.phase != phase.name:
            before = None
        known = (before.summary, before.warnings) if before else (None, ())
        words = job.migration_job_status, phase.service_status
        is_open = state in (MigrationState.RUNNING, MigrationState.CAUGHT_UP, MigrationState.PAUSED)
        is_done = phase.state is MigrationState.SUCCEEDED
        is_moving = state is MigrationState.RUNNING and not is_done
        if before is None or before.summary is None:
            is_settled = is_done and is_open
        else:
            is_settled = is_done and before.is_complete
        if before is not None and before.is_recent(words, now):
            is_settled |= bool(before.warnings) or not is_moving
        if is_settled or (words[0] or "").strip().lower() not in _LISTS_OBJECTS:
            return known
        try:
            counted = yield from self._count_objects(
                job.migration_job_id or job_id, str(phase.name), is_optional=is_open
            )
        except MigrationError as error:
            listed = _ListedObjects(
                phase.name,
                words,
                now,
                known[0],
                (_unlisted(error),),
                is_brief=getattr(error, "is_cut_short", False),
            )
        else:
            if counted is None:
                return known
            listed = _ListedObjects(phase.name, words, now, counted.summary)
            if counted.total > MAX_OBJECTS:
                listed = _ListedObjects(phase.name, words, now, warnings=(_too_many(counted.total),))
        cache_put(self._objects, job_id, listed, MAX_LISTED)
        return listed.summary, listed.warnings

    def _count_objects(
        self, instance_id: str, phase: str, *, is_optional: bool
    ) -> Flow[_CountedObjects | None]:
        """
        Count the objects of a phase, up to :data:`MAX_OBJECTS`; None if the rate limiter skips the list.

        A list that has been started is read to its end.
        """
        counted, listing = _CountedObjects(), ObjectListing(phase)
        while not listing.at_end and counted.total <= MAX_OBJECTS:
            request = self._request_objects(instance_id, listing)
            page = yield from (send_optional(request) if is_optional else send(request))
            if page is None:
                return None
            is_optional = False
            rows = listing.take(page)
            counted.add(listing.total, rows)
        return counted

    def progress(
        self, migration_job_id: str, *, max_lag: float, verification: bool = False, objects: bool = False
    ) -> Flow[MigrationProgress]:
        """
        Get one migration job as a record; ``objects`` is validated immediately.

        :param verification: count the tables of its data checks, which takes a call for each check that has
            ended.
        :param objects: list the objects of the bulk phases, which takes a call for each hundred.
        """
        if not isinstance(objects, bool):
            raise MigrationConfigurationError(f"objects must be True or False, not {objects!r}.")
        return self._progress(migration_job_id, max_lag, verification=verification, objects=objects)

    def _progress(
        self, migration_job_id: str, max_lag: float, *, verification: bool, objects: bool
    ) -> Flow[MigrationProgress]:
        job = yield from self._job(migration_job_id, is_listed=verification)
        now = self.clock()
        reading = _read_job(job, max_lag)
        state, phases = reading.state, reading.phases
        checkpoint = reading.checkpoint(now)
        check = _verification(job, [_summaries(direction) for direction in _directions(job)])
        warnings: tuple[str, ...] = ()
        if verification:
            check, warnings = yield from self._verification(migration_job_id, job, state)
        listed: ObjectSummary | None = None
        if objects:
            job_id = require_id("migration_job_id", migration_job_id)
            listed, unlisted = yield from self._list_objects(job_id, job, phases, state)
            warnings += unlisted
        return MigrationProgress(
            service=SERVICE,
            migration_id=require_id("migration_job_id", migration_job_id),
            name=job.migration_job_name,
            state=state,
            service_status=reading.status,
            percent=bulk_percent(phases),
            phases=phases,
            lag_seconds=reading.lag,
            checkpoint=checkpoint,
            applied_until=checkpoint,
            error=reading.error,
            objects=listed,
            verification=check,
            verification_remedy=_CHECK_REMEDIES.get(check.state) if check else None,
            recheck_since=now if _voids_check(check, state, phases) else None,
            is_rechecking=any(map(_is_checking, _all_checks(job))) and state not in _INTERRUPTED,
            throughput=_throughput(job, state),
            retrying=_retrying(job, state),
            observed_at=now,
            request_id=job.request_id,
            console_url=_console_url(self.endpoint, job.task_id),
            statuses_reached=reading.statuses_reached,
            warnings=(*reading.warnings, *warnings),
        )

    def datasets(self, migration_job_id: str) -> Flow[tuple[DatasetName, DatasetName] | None]:
        """Get the source and the destination of a migration job, as OpenLineage names them."""
        job = yield from self._job(migration_job_id)
        source, destination = _dataset(job.source_endpoint), _dataset(job.destination_endpoint)
        return (source, destination) if source and destination else None


def endpoint_of(region: str) -> str:
    """
    Return the host of DTS in a region.

    Source: https://www.alibabacloud.com/help/en/dts/developer-reference/request-syntax. The SDK's own table
    maps every region to the central host, which does not know instances overseas.
    """
    if region in ("cn-wulanchabu", "cn-chengdu", "cn-beijing-finance-1"):
        return "dts.aliyuncs.com"
    return f"dts.{'cn-hangzhou' if region == 'cn-hangzhou-finance' else region}.aliyuncs.com"


def require_job_type(job_type: object) -> str:
    """
    Return a ``JobType``.

    :raises MigrationConfigurationError: for anything but one of :data:`JOB_TYPES`.
    """
    if job_type not in JOB_TYPES:
        raise MigrationConfigurationError(f"job_type must be {' or '.join(JOB_TYPES)}, not {job_type!r}.")
    return str(job_type)


def _raise_unlisted(request: Request[Any], response: Response) -> NoReturn:
    raise api_error(MigrationNotFoundError, request, response, "not in the list")


def _is_unlisted(error: MigrationApiError) -> bool:
    """Tell whether DTS has answered with a list that lacks a job."""
    return isinstance(error, MigrationNotFoundError) and error.http_status == 200


def _is_reported_by_dts(error: MigrationNotFoundError) -> bool:
    """Tell whether DTS itself does not know an id: by an error code, or by omitting it from a list."""
    return error.code is not None or error.http_status == 200


def _console_url(endpoint: str, task_id: str | None) -> str:
    """
    Return the page of a task in the console.

    Source: the description of ``TaskId`` on the page of ``DescribeMigrationJobStatus``, for the console of
    aliyun.com. No address of one task is documented for the console of alibabacloud.com.
    """
    if is_international(endpoint):
        return "https://dts.console.alibabacloud.com/"
    task = (task_id or "").strip()
    page = f"#/progress/{quote(task, safe='')}/config/" if task and len(task) <= 256 else ""
    return f"https://dts.console.aliyun.com/{page}"


def _dataset(endpoint: Endpoint | None) -> DatasetName | None:
    """
    Return an endpoint's name in OpenLineage; None if the engine or the instance is unknown.

    Source: https://openlineage.io/docs/spec/naming, which names a database by its host and port. For an
    instance of Alibaba Cloud, DTS returns its id instead. Without a database, the name is the instance.
    """
    if endpoint is None or not endpoint.engine_name:
        return None
    engine = endpoint.engine_name.strip().lower()
    instance = ":".join(filter(None, (endpoint.ip, endpoint.port))) if endpoint.ip else endpoint.instance_id
    if not instance:
        return None
    return DatasetName(f"{_SCHEMES.get(engine, engine)}://{instance}", endpoint.database_name or instance)


_UNDER_WAY: Final = (MigrationState.RUNNING, MigrationState.PAUSED, MigrationState.FAILED)


def _has_phase(
    enabled: bool | None,
    section: PhaseStatus | SynchronizationStatus | None,
) -> bool:
    """Tell whether a job has a phase; a phase in progress counts whatever the mode says."""
    if section is None or enabled:
        return bool(enabled)
    return enabled is None or PHASE_STATUSES.state_of(section.status) in _UNDER_WAY


def _is_in_sync(delay: float | None, max_lag: float) -> bool:
    return delay is None or 0 <= delay <= max_lag


def _has_increment(job: MigrationJob, max_lag: float) -> bool:
    """Tell whether a job has an increment; one that has started and lags counts whatever the mode says."""
    section = job.data_synchronization_status
    if _has_phase(job.migration_mode.data_synchronization, section):
        return True
    if section is None or not (section.status or "").strip():
        return False
    state = PHASE_STATUSES.state_of(section.status)
    if state is MigrationState.PENDING:
        return False
    return state is MigrationState.UNKNOWN or not _is_in_sync(section.delay, max_lag)


def _phases(job: MigrationJob, max_lag: float) -> Iterable[Phase]:
    mode = job.migration_mode
    if precheck := job.precheck_status:
        yield _phase("precheck", precheck)
    for name, enabled, bulk in (
        ("structure", mode.structure_initialization, job.structure_initialization_status),
        ("full", mode.data_initialization, job.data_initialization_status),
    ):
        if _has_phase(enabled, bulk):
            yield _phase(name, bulk or PhaseStatus(status="NotStarted"), done=bulk.progress if bulk else None)
    incremental = job.data_synchronization_status
    if _has_increment(job, max_lag):
        yield _phase("incremental", incremental or SynchronizationStatus(status="NotStarted"))


def _increment(job: MigrationJob, phases: Iterable[Phase]) -> SynchronizationStatus:
    """Return the section of the incremental phase, or an empty one before it has started."""
    begun = any(phase.name == "incremental" and phase.state is not MigrationState.PENDING for phase in phases)
    return (job.data_synchronization_status if begun else None) or SynchronizationStatus()


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
    return interned_phase(
        name=name,
        state=state,
        service_status=section.status,
        percent=None if name == "incremental" else percent,
        done=done,
        error=_reason(section) if state is MigrationState.FAILED else None,
    )


def _undone(phases: Iterable[Phase]) -> list[Phase]:
    """Return the unfinished bulk phases, and the increment if it is not in sync."""
    done = {MigrationState.SUCCEEDED, MigrationState.UNKNOWN}
    return [
        phase
        for phase in phases
        if (phase.name in BULK_PHASES and phase.state not in done)
        or (phase.name == "incremental" and phase.state not in {*done, MigrationState.CAUGHT_UP})
    ]


def _state(job: MigrationJob, phases: tuple[Phase, ...], max_lag: float) -> MigrationState:
    state = STATUSES.state_of(job.migration_job_status)
    bulk = {phase.state for phase in phases if phase.name in BULK_PHASES}
    incremental = {phase.state for phase in phases if phase.name == "incremental"}
    delay = _increment(job, phases).delay
    in_sync = _is_in_sync(delay, max_lag)
    if state is MigrationState.SUCCEEDED:
        # A job that a person ends half way, or while it lags, is Finished too.
        if _undone(phases) or not in_sync:
            return MigrationState.CANCELLED
        # A phase that never started has no section: only the mode can prove that none is missing.
        is_certain = (
            (bulk or incremental)
            and MigrationState.UNKNOWN not in bulk | incremental
            and job.migration_mode.is_known
        )
        return state if is_certain else MigrationState.UNKNOWN
    if (job.migration_job_status or "").strip().lower() in _AT_WORK:
        bulk_done = bulk == {MigrationState.SUCCEEDED} or (not bulk and job.migration_mode.is_known)
        if bulk_done and incremental == {MigrationState.CAUGHT_UP} and in_sync:
            return MigrationState.CAUGHT_UP
    return state


def _directions(job: MigrationJob) -> tuple[MigrationJob, ...]:
    """Return the directions of a job: two for a two-way synchronization, the forward one first."""
    reverse = job.reverse if isinstance(job, ListedJob) else None
    return (job,) if reverse is None else (job, reverse)


@dataclass(frozen=True, slots=True)
class _Reading:
    """
    State and position of a job, or of one of its directions.

    :ivar status: the service's word that belongs to the state.
    :ivar lag: seconds; None if that of a direction is not known.
    :ivar positions: the checkpoint of each direction in epoch seconds, or None.
    """

    state: MigrationState
    status: str | None
    phases: tuple[Phase, ...]
    lag: float | None
    positions: tuple[float | None, ...]
    error: MigrationErrorInfo | None
    statuses_reached: frozenset[str]
    warnings: tuple[str, ...] = ()

    def checkpoint(self, now: datetime) -> datetime | None:
        """Return the older checkpoint; None if that of a direction is not known."""
        times = [parse_timestamp(position, now) for position in self.positions]
        return None if None in times else min(filter(None, times))


def _read_job(job: MigrationJob, max_lag: float) -> _Reading:
    """
    Judge a job by its answer.

    A two-way job is in sync only if both directions are: it has the worse state of both, the larger lag, and
    the older checkpoint.
    """
    directions = _directions(job)
    order = SYNC_ORDER if isinstance(job, ListedJob) and not job.is_migration else ORDER
    forward, *others = (_read_direction(direction, max_lag, order) for direction in directions)
    if not others:
        return forward
    (reverse,) = others
    both = forward, reverse
    worst = min(both, key=lambda reading: _WORST_FIRST.index(reading.state))
    state, warnings = worst.state, []
    if {forward.state, reverse.state} == {MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED}:
        state = MigrationState.UNKNOWN
        warnings.append(_ONE_ENDED)
    if not (directions[1].migration_job_status or "").strip():
        warnings.append(_NO_REVERSE)
    words = forward.statuses_reached & reverse.statuses_reached
    if state not in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED):
        words -= {"catched"}
    lags = [reading.lag for reading in both]
    errors = [
        (name, one.error)
        for name, one in zip(("forward", "reverse"), both, strict=True)
        if one.error is not None and one.state is state
    ]
    return _Reading(
        state=state,
        status=worst.status or forward.status,
        phases=_phases_of_both(forward.phases, reverse.phases),
        lag=None if None in lags else max(filter(None, lags), default=0.0),
        positions=(*forward.positions, *reverse.positions),
        error=_error_of_both(errors),
        statuses_reached=words,
        warnings=tuple(warnings),
    )


def _error_of_both(errors: Sequence[tuple[str, MigrationErrorInfo]]) -> MigrationErrorInfo | None:
    """Return the errors of the directions as one, whose message names each direction."""
    if not errors:
        return None
    message = "; ".join(f"{name} direction: {error.message}" for name, error in errors)
    return MigrationErrorInfo(**{**dict(errors[0][1]), "message": message})


_ONE_ENDED: Final = (
    "One direction of the two-way synchronization has been ended while the other one continues, so the job "
    "does not count as in sync. Look at both directions in the DTS console."
)
_NO_REVERSE: Final = (
    "The job is a two-way synchronization, but DescribeDtsJobs does not show the status of its reverse "
    "direction (ReverseJob), so it does not count as in sync. Look at both directions in the DTS console."
)


def _read_direction(job: MigrationJob, max_lag: float, order: tuple[str, ...]) -> _Reading:
    phases = tuple(_phases(job, max_lag))
    state = _state(job, phases, max_lag)
    increment = _increment(job, phases)
    return _Reading(
        state=state,
        status=job.migration_job_status,
        phases=phases,
        lag=increment.delay if (increment.delay or 0) >= 0 else None,
        positions=(increment.checkpoint,),
        error=_error(job, phases, state),
        statuses_reached=_statuses_reached(job.migration_job_status, state, phases, order),
    )


def _phases_of_both(forward: Iterable[Phase], reverse: Iterable[Phase]) -> tuple[Phase, ...]:
    """
    Return the phases of a two-way job: each bulk phase of the direction that is worse, both increments.

    The reverse increment is ``unknown`` if the answer does not show it.
    """
    found = {str(phase.name): phase for phase in forward}
    increment = interned_phase(name="reverse_incremental", state=MigrationState.UNKNOWN)
    for phase in reverse:
        name = str(phase.name)
        if name == "incremental":
            increment = phase.model_copy(update={"name": increment.name})
        else:
            found[name] = min(
                (found.get(name, phase), phase), key=lambda each: _WORST_FIRST.index(each.state)
            )
    order = ("precheck", *BULK_PHASES, "incremental")
    return (*(found[name] for name in order if name in found), increment)


def _problem_of_list(page: DtsJobs, *, is_tagged: bool) -> str | None:
    """
    Return the reason why a page cannot be part of a complete list, or None.

    :param is_tagged: true if jobs are selected by tags.
    """
    if page.total_record_count is None:
        return "no TotalRecordCount in the response, so it is not known whether the list is complete"
    for job in page.dts_job_list or ():
        name = job.dts_instance_id or job.dts_job_id
        if not name:
            return "a job of the list has no id, so the list is incomplete"
        if is_tagged and job.tag_list is None:
            return (
                f"the list does not show the tags of {name}, so it is not known whether it is selected: "
                "select by name"
            )
    return None


def _summary(job: DtsJob, job_type: str, migration_id: str) -> MigrationSummary:
    """
    Return a job of a list.

    :param job_type: the ``JobType`` of the request.
    :param migration_id: its id, as a sensor takes it.
    """
    listed = job.as_listed_job(job_type)
    reading = _read_job(listed, LISTED_MAX_LAG)
    return MigrationSummary(
        service=SERVICE,
        migration_id=migration_id,
        name=job.dts_job_name,
        kind="migration" if listed.is_migration else "sync",
        state=reading.state,
        service_status=reading.status,
        lag_seconds=reading.lag,
        created_at=utc_time(job.create_time),
    )


def _statuses_reached(
    status: str | None, state: MigrationState, phases: tuple[Phase, ...], order: tuple[str, ...]
) -> frozenset[str]:
    # A job that was ended by hand has not necessarily passed the statuses before Finished.
    is_stopped = (
        STATUSES.state_of(status) is MigrationState.SUCCEEDED and state is not MigrationState.SUCCEEDED
    )
    words = up_to(() if is_stopped else order, status)
    # The phase may be Catched although the job has failed, is paused, is being changed or lags: the word
    # counts only if the rest of the same response agrees.
    has_increment = any(phase.name == "incremental" for phase in phases)
    if state is MigrationState.CAUGHT_UP or (has_increment and state is MigrationState.SUCCEEDED):
        words |= {"catched"}
    return words


def _reason(section: PrecheckStatus | PhaseStatus | SynchronizationStatus) -> str | None:
    items = _failed_items(section) if isinstance(section, PrecheckStatus) else None
    return items or section.error_message


def _failed_items(precheck: PrecheckStatus) -> str:
    items = (precheck.detail.check_item if precheck.detail else None) or []
    # One line for logs, with bullets by which the UI page separates the items.
    return " ".join(
        "• "
        + ": ".join(filter(None, (item.item_name, item.error_message)))
        + (f" (repair: {item.repair_method})" if item.repair_method else "")
        for item in items
        if PHASE_STATUSES.state_of(item.check_status) is MigrationState.FAILED
    )


def _error(job: MigrationJob, phases: tuple[Phase, ...], state: MigrationState) -> MigrationErrorInfo | None:
    """Return the reason of a failure, or the unfinished work of a job that was ended by hand."""
    status = job.migration_job_status
    if state is MigrationState.CANCELLED:
        return MigrationErrorInfo(
            code=status,
            message=f"The task was ended by hand: {_shortfall(job, phases)}.",
            remedy=_STOPPED_REMEDY,
        )
    if state is not MigrationState.FAILED:
        return None
    precheck = job.precheck_status or PrecheckStatus()
    reasons = "; ".join(f"{phase.name}: {phase.error}" for phase in phases if phase.error)
    return MigrationErrorInfo(
        code=status,
        message=reasons
        or _reason(precheck)
        or job.error_message
        or f"DTS reports {status} and gives no reason.",
        remedy=job.workaround or _REMEDIES.get((status or "").strip().lower(), _REMEDY),
        help_url=next((detail.help_url for detail in job.error_details or () if detail.help_url), None),
    )


_MOVING: Final = (MigrationState.RUNNING, MigrationState.CAUGHT_UP)


def _throughput(job: MigrationJob, state: MigrationState) -> Throughput | None:
    if state not in _MOVING or job.performance is None or job.performance.flow is None:
        return None
    return throughput_of(size=job.performance.flow * 1e6)


def _retrying(job: MigrationJob, state: MigrationState) -> Retrying | None:
    retries = job.retry_state
    if state not in _MOVING or retries is None or not retries.retrying:
        return None
    return Retrying(
        count=retries.retry_count,
        for_seconds=retries.retry_time,
        at_most_seconds=retries.max_retry_time,
        reason=retries.err_message,
    )


_HAS_ENDED: Final = frozenset(
    word.lower()
    for state in (VerificationState.INCONSISTENT, VerificationState.FAILED, VerificationState.UNKNOWN)
    for word in CHECK_STATUSES.words[state]
)
_CHECKING: Final = (VerificationState.PENDING, VerificationState.RUNNING)
"""A check that runs or is to run: DTS repeats it if the job is started again."""
_INTERRUPTED: Final = (MigrationState.PAUSED, MigrationState.FAILED)
_ENDED_CHECKS: Final = (
    VerificationState.CONSISTENT,
    VerificationState.INCONSISTENT,
    VerificationState.FAILED,
    VerificationState.UNKNOWN,
)


def _is_ready(state: MigrationState) -> bool:
    """Tell whether a verdict may depend on the data check."""
    return state in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)


def _voids_check(check: Verification | None, state: MigrationState, phases: Iterable[Phase]) -> bool:
    """Tell whether a check that has ended is void: the job stands still, or copies existing data."""
    if check is None or check.state not in _ENDED_CHECKS:
        return False
    is_copying = any(phase.name in BULK_PHASES and phase.state is MigrationState.RUNNING for phase in phases)
    return state in _INTERRUPTED or is_copying


def _is_checking(checks: Mapping[int, DataCheckStatus]) -> bool:
    """Tell whether the check of existing data, else that of the increment, runs or is to run."""
    check = checks.get(FULL_CHECK) or checks.get(INCREMENTAL_CHECK)
    return check is not None and CHECK_STATUSES.state_of(check.status) in _CHECKING


def _has_ended(section: DataCheckStatus) -> bool:
    return (section.status or "").strip().lower() in _HAS_ENDED


def _summarized(section: DataCheckStatus) -> Verification:
    """Return the result of a data check as far as its status shows."""
    return Verification(state=CHECK_STATUSES.state_of(section.status), percent=section.percent)


def _is_checked(flag: bool | None, section: DataCheckStatus | None) -> bool:
    """Tell whether a check is configured; one that runs or has a bad result counts whatever the mode says."""
    if flag or section is None:
        return bool(flag)
    if flag is None:
        return bool((section.status or "").strip())
    return CHECK_STATUSES.state_of(section.status) in (VerificationState.RUNNING, *MISMATCHES)


def _data_checks(job: MigrationJob) -> dict[int, DataCheckStatus]:
    """Return the configured checks of the data, by ``CheckType``."""
    mode = job.migration_mode
    return {
        check_type: section or DataCheckStatus()
        for check_type, flag, section in (
            (FULL_CHECK, mode.full_data_check, job.full_data_check_status),
            (INCREMENTAL_CHECK, mode.inc_data_check, job.inc_data_check_status),
        )
        if _is_checked(flag, section)
    }


def _all_checks(job: MigrationJob) -> list[dict[int, DataCheckStatus]]:
    """Return the configured checks of the data, by direction."""
    return [_data_checks(direction) for direction in _directions(job)]


def _summaries(job: MigrationJob) -> dict[int, Verification]:
    """Return the results of a direction's data checks, as far as their statuses show."""
    return {kind: _summarized(section) for kind, section in _data_checks(job).items()}


def _verification(job: MigrationJob, parts: Sequence[Mapping[int, Verification]]) -> Verification | None:
    """
    Combine the results of the data checks of all directions; None if DTS reports no checks.

    A reverse direction without a check of its own, and without existing data to copy, is covered by the
    check of the forward direction, which compares the same databases.

    :param parts: for each direction, the results by ``CheckType``.
    """
    forward, *others = zip(_directions(job), parts, strict=True)
    found = _verification_of(*forward)
    for direction, results in others:
        mode, result = direction.migration_mode, _verification_of(direction, results)
        if found is None and result is None:
            continue
        has_none = result is not None and result.state is _NOT_CONFIGURED
        if not (has_none and mode.is_known and not mode.data_initialization):
            unknown = Verification(state=VerificationState.UNKNOWN)
            found = Verification.merged((found or unknown, result or unknown))
    return found


def _verification_of(job: MigrationJob, parts: Mapping[int, Verification]) -> Verification | None:
    """
    Combine the results of a direction's data checks with its structure check; None if DTS reports none.

    :param parts: the results by ``CheckType``.
    """
    mode, states = job.migration_mode, []
    found = Verification.merged(parts.values()) if parts else None
    if found is not None and FULL_CHECK in parts:
        # A repeated check of existing data does not repeat that of the increment.
        found = found.model_copy(update={"checked_at": parts[FULL_CHECK].checked_at})
    # An incremental check does not cover existing data.
    is_enough = FULL_CHECK in parts or (bool(parts) and mode.data_initialization is False)
    is_off = mode.full_data_check is False and (bool(parts) or mode.inc_data_check is False)
    if (job.migration_job_status or "").strip().lower() == "notconfigured":
        is_off = False  # somebody has yet to configure it
    structure = job.structure_data_check_status
    if structure is not None and _is_checked(mode.structure_data_check, structure):
        word = (structure.status or "").strip().lower()
        # The structure check has its own word for differences (Inconsistency), so Finished means none.
        states = [] if word == "finished" else [_summarized(structure).state]
    if is_enough and found is not None:
        state = worst_state((found.state, *states))
    else:
        states = [each for each in (*states, *((found.state,) if found else ())) if each in MISMATCHES]
        if not states and not is_off and found is None:
            return None
        state = worst_state(states or [_NOT_CONFIGURED if is_off else VerificationState.UNKNOWN])
    return (found or Verification(state=state)).model_copy(update={"state": state})


_NOT_CONFIGURED: Final = VerificationState.NOT_CONFIGURED

_CHECK_REMEDIES: Final = {
    VerificationState.NOT_CONFIGURED: (
        "Switch on full data verification for the task in the DTS console, or wait for another target."
    ),
    VerificationState.INCONSISTENT: (
        "Look at the data verification of the task in the DTS console, repair the tables, and restart the "
        "verification there."
    ),
    VerificationState.FAILED: (
        "Look at the data verification of the task in the DTS console, remove the cause, and restart the "
        "verification there."
    ),
}


def _counted(tables: CheckedTables, rows: Sequence[CheckedTable], percent: float | None) -> Verification:
    """Return the result of a data check that has ended, by its counts and by the tables that were listed."""
    total = tables.total_count or 0
    different = [row for row in rows if row.is_different]
    failed = [row for row in rows if row.word == _NOT_COMPARED]
    unfinished = [row for row in rows if not row.is_compared and row.word != _NOT_COMPARED]
    tables_different = max(tables.diff_table_count or 0, len(different))
    tables_failed = max(tables.failed_table_count or 0, len(failed))
    counts = [row.diff_count for row in different if row.diff_count is not None]
    times = [utc_time(row.boot_time, _CHINA) for row in rows]
    found = Verification.ended(
        percent=percent,
        tables_total=total,
        tables_compared=max(total - tables_failed - len(unfinished), 0),
        tables_different=tables_different,
        tables_failed=tables_failed,
        rows_different=sum(counts) if len(counts) >= tables_different else None,
        worst=worst_tables(row.as_table_verification() for row in dict.fromkeys((*different, *failed))),
        checked_at=min(filter(None, times), default=None) if None not in times else None,
    )
    is_running = any(row.word in _COMPARING for row in rows)
    if is_running and found.state is not VerificationState.INCONSISTENT:
        return found.model_copy(update={"state": VerificationState.RUNNING})
    # Counts without the listed tables are no evidence.
    if found.state is VerificationState.CONSISTENT and len(rows) < min(total, MAX_TABLES):
        return found.model_copy(update={"state": VerificationState.UNKNOWN})
    return found


def _with_word(counted: Verification, word: VerificationState) -> Verification:
    """Return the counted result, with the state of the word if that is worse."""
    is_worse = word in MISMATCHES and counted.state is not VerificationState.INCONSISTENT
    return counted.model_copy(update={"state": word}) if is_worse else counted


def _shortfall(job: MigrationJob, phases: tuple[Phase, ...]) -> str:
    """Describe the unfinished work of a job that was ended by hand."""
    missing = [
        f"the phase {phase.name} was not done ({phase.service_status})"
        + (f": {phase.error}" if phase.error else "")
        for phase in _undone(phases)
    ]
    delay = _increment(job, phases).delay
    if delay is not None and delay < 0:
        missing.append(
            f"the incremental phase reports an impossible delay ({delay:.15g} s), so it was not in sync"
        )
    elif delay:
        missing.append(f"the incremental phase was {delay:.15g} s behind")
    return ", and ".join(missing)
