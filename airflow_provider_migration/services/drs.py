"""
Huawei Cloud DRS: progress of a job (v3 ``batch-progress``, or v5 job detail where that does not serve it) and
of its objects (v5 ``progress-data``), results of its comparisons (v3 ``compare``), and the lists of jobs.

Source: https://support.huaweicloud.com/intl/en-us/api-drs/drs_api_0001.html. The object list exists only
while existing data is copied; the job's own ``progress`` has been documented as 0 beside a completed
transfer; job ids look like UUIDs but are not valid ones.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from pydantic import BeforeValidator

from airflow_provider_migration.api_errors import api_error
from airflow_provider_migration.clock import utc_now
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import (
    MAX_OBJECTS_NAMED,
    MAX_SECONDS,
    VERIFIED,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    MigrationSummary,
    ObjectProgress,
    ObjectSummary,
    Phase,
    TableVerification,
    Throughput,
    Verification,
    VerificationState,
    bulk_percent,
    interned_phase,
    percent_or_none,
    slowest_objects,
    throughput_of,
    worst_state,
    worst_tables,
)
from airflow_provider_migration.sansio import (
    Flow,
    Request,
    Response,
    Signer,
    Verbatim,
    encode_query,
    send,
    send_optional,
)
from airflow_provider_migration.services.huawei import api_object, host_of, refused
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.services.wire import (
    UNREADABLE_LAG,
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

SERVICE: Final = "drs"

OBJECT_TYPES: Final = (
    "table",
    "event",
    "table_structure",
    "procedure",
    "view",
    "function",
    "database",
    "trigger",
    "table_indexs",  # sic
)

LANGUAGES: Final = ("en-us", "zh-cn")

MAX_LIMIT: Final = 1000

MAX_JOBS: Final = 50
"""
Maximum jobs per batched call. Huawei's page on BatchListProgresses names no limit
(https://support.huaweicloud.com/intl/en-us/api-drs/drs_03_0114.html); if there is one, a refused batch is
split into single requests.
"""

JOBS_PER_PAGE: Final = 100
"""Jobs per page of a list of jobs: the maximum of v3; v5 states none."""

MAX_NAMED_JOBS: Final = 10
"""Maximum ids in the ``name`` of a v5 list of jobs; v3 takes 100, a page."""

KINDS: Final = {"migration": "migration", "sync": "sync", "cloudDataGuard": "disaster_recovery"}
"""``kind`` of a summary by ``job_type``. A job of the fourth type, ``replay``, moves no data."""

MAX_PAGES: Final = 2000
"""Maximum pages of one list: two million objects."""

MAX_LISTED: Final = 1000
"""Maximum jobs whose objects (some 10 KB each) and list refusals are cached."""

ASK_AGAIN_AFTER: Final = timedelta(minutes=10)
"""Back-off after a refused list of objects, while the job's status stays the same."""

STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: (
            "CREATING",
            "CONFIGURATION",
            "WAITING_FOR_START",
            "STARTJOBING",
            "CHILD_TRANSFER_STARTING",
        ),
        MigrationState.RUNNING: (
            "FULL_TRANSFER_STARTED",
            "FULL_TRANSFER_COMPLETE",
            "INCRE_TRANSFER_STARTED",
            "RELEASE_RESOURCE_STARTED",
            "REBUILD_NODE_STARTED",
            "CHANGE_JOB_STARTED",
            "CHILD_TRANSFER_STARTED",
            "CHILD_TRANSFER_COMPLETE",
            "RELEASE_CHILD_TRANSFER_STARTED",
            "RELEASE_CHILD_TRANSFER_COMPLETE",
            "NODE_UPGRADE_START",
            "NODE_UPGRADE_COMPLETE",
        ),
        # Means paused, not "about to pause"; the second word is a misspelling in the docs.
        MigrationState.PAUSED: ("PAUSING", "PAUSEING"),
        MigrationState.FAILED: (
            "CREATE_FAILED",
            "START_JOB_FAILED",
            "FULL_TRANSFER_FAILED",
            "INCRE_TRANSFER_FAILED",
            "RELEASE_RESOURCE_FAILED",
            "REBUILD_NODE_FAILED",
            "CHANGE_JOB_FAILED",
            "CHILD_TRANSFER_FAILED",
            "NODE_UPGRADE_FAILED",
        ),
        MigrationState.CANCELLED: ("DELETED", "RELEASE_RESOURCE_COMPLETE"),
    }
)
"""
``transfer_status`` of a job. Two of these words may mean success: ``FULL_TRANSFER_COMPLETE`` for a job
without an incremental phase, and ``RELEASE_RESOURCE_COMPLETE`` for a job whose bulk work is known to be done
and whose increment, if it may have one, was in sync.
"""

_FULL: Final = (
    "CREATING",
    "CONFIGURATION",
    "WAITING_FOR_START",
    "STARTJOBING",
    "FULL_TRANSFER_STARTED",
    "FULL_TRANSFER_COMPLETE",
)
_INCREMENTAL: Final = "INCRE_TRANSFER_STARTED"
_COPYING: Final = "FULL_TRANSFER_STARTED"
_COPIED: Final = "FULL_TRANSFER_COMPLETE"
_AFTER_THE_COPY: Final = (_INCREMENTAL, "INCRE_TRANSFER_FAILED")
"""Words of phases in which the list of objects no longer exists."""
_RELEASED: Final = "RELEASE_RESOURCE_COMPLETE"
_RELEASE: Final = ("RELEASE_RESOURCE_STARTED", _RELEASED)
_FAILED_AT: Final = {
    "CREATE_FAILED": "CREATING",
    "START_JOB_FAILED": "STARTJOBING",
    "FULL_TRANSFER_FAILED": _COPYING,
    "INCRE_TRANSFER_FAILED": _INCREMENTAL,
}
"""The status at which a job failed: it does not count as reached, the earlier ones do."""

_NO_LIST: Final = "DRS.M00304"
"""API cannot be called in the current task status: the job currently has no list of objects."""
_LIST_IS_GONE: Final = "DRS.M05004"
"""The task is deleted or its resources are released: the job may have ended normally."""

TARGETS: Final = STATUSES.targets(
    further=(VERIFIED,), states=(MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)
)
TARGETS_WITHOUT_JOB_STATUS: Final = frozenset(("full_done",))


COMPARISON_STATUSES: Final = WordTable(
    {
        # A person who cancels a comparison may start another.
        VerificationState.PENDING: ("WAITING_FOR_RUNNING", "CANCELLED"),
        VerificationState.RUNNING: ("RUNNING", "FULL_DOING", "INCRE_DOING"),
        VerificationState.FAILED: ("FAILED", "TIMEOUT_INTERRUPT"),
        # It has ended, which does not say that it found no differences.
        VerificationState.UNKNOWN: ("SUCCESSFUL",),
    },
    VerificationState.UNKNOWN,
)
"""``status`` of a comparison."""

COMPARISON_RESULTS: Final = WordTable(
    {
        VerificationState.RUNNING: ("5", "6"),
        VerificationState.CONSISTENT: ("2", "10"),
        VerificationState.INCONSISTENT: ("0", "8", "9"),
        VerificationState.FAILED: (
            *("3", "4", "7", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "22", "23"),
            "27",
        ),
    },
    VerificationState.UNKNOWN,
)
"""
``status`` of a database in the overview of a comparison. Failed ones were not compared: a side is missing, an
error in SQL, too many rows, a time-out. Source:
https://support.huaweicloud.com/intl/en-us/api-drs/drs_03_0246.html.
"""

OBJECT_RESULTS: Final = WordTable(
    {
        VerificationState.RUNNING: ("3",),
        VerificationState.CONSISTENT: ("2",),
        VerificationState.INCONSISTENT: ("0",),
    },
    VerificationState.UNKNOWN,
)
"""``status`` of a type in a comparison of objects, where 3 has another meaning than in the others."""

_LATE_TYPES: Final = ("TRIGGER", "EVENT")
"""Types of objects that DRS moves only while a job is being ended, so that they differ until then."""

_COMPARED: Final = "SUCCESSFUL"
_CANCELLED: Final = "CANCELLED"

MAX_COMPARISON_PAGES: Final = 5
"""Maximum pages of a list of comparisons, and of the databases of one."""

MAX_COMPARISONS: Final = 50
"""Maximum ended comparisons of a kind; of a job with more, the result is not known."""

MAX_NAMED: Final = 5
"""Maximum databases of a comparison whose tables are requested by name."""

_PlainRow = tuple[str | None, str | None, str | None, str | None, float | None]
"""Databases and tables as in :class:`ObjectRow`, and the progress."""


class ObjectRow(WireModel):
    """One object and its progress in percent."""

    src_db: str | None = None
    src_tb: str | None = None
    dst_db: str | None = None
    dst_tb: str | None = None
    progress: Percentage | None = None

    def plain(self) -> _PlainRow:
        """Return the row as a tuple."""
        return self.src_db, self.src_tb, self.dst_db, self.dst_tb, self.progress

    def as_object_progress(self) -> ObjectProgress:
        """Convert to the form of a record."""
        return ObjectProgress(
            source=_name(self.src_db, self.src_tb),
            destination=_name(self.dst_db, self.dst_tb),
            percent=self.progress,
        )


class ProgressDataPage(WireModel):
    """
    One page of ``progress-data``.

    :ivar count: number of objects in the whole list.
    :ivar create_time: creation time of the list: epoch milliseconds as text, or ISO 8601.
    """

    count: Count | None = None
    create_time: str | None = None
    flow_compare_data: list[ObjectRow] | None = None


class _RawPage(WireModel):
    count: Count | None = None
    flow_compare_data: list[dict[Any, Any]] | None = None


class _PlainPage(NamedTuple):
    """
    One page of ``progress-data`` for counting: a plain tuple per object.

    Thousands of models per page would trigger full garbage collections over everything that Airflow has
    loaded, each of which blocks the event loop for 50 ms.
    """

    total: int | None
    rows: list[_PlainRow]


class PartProgress(WireModel):
    """Progress of one part of the bulk work in percent."""

    completed: Percentage | None = None
    remaining_time: str | None = None


class ProgressMap(WireModel):
    """The parts of the bulk work."""

    struct: PartProgress | None = None
    data: PartProgress | None = None
    index: PartProgress | None = None


class JobProgress(WireModel):
    """
    One job of ``batch-progress``.

    :ivar progress: percent of the bulk work; not reliable on its own.
    :ivar incre_trans_delay: seconds; -1 before the incremental phase, -2 if it is not a number.
    :ivar incre_trans_delay_millis: the same in milliseconds.
    :ivar task_mode: ``FULL_TRANS``, ``INCR_TRANS`` or ``FULL_INCR_TRANS``.
    :ivar process_time: epoch milliseconds of the last progress; 0 for none.
    :ivar remaining_time: seconds; meaningful only while existing data is copied.
    :ivar apply_rows_rate: rows a second of the incremental phase; -1 before it.
    :ivar direction: ``up`` or ``down``, as the person set it; only v5 job detail has it, and the next one.
    :ivar kernel_direction: direction in which a disaster recovery job copies at the moment.
    :ivar request_id: from the header of the response.
    :ivar answered_at: the service's time of the response.
    """

    request_id: str | None = None
    answered_at: datetime | None = None
    job_id: Verbatim = None
    transfer_status: Verbatim = None
    task_mode: Verbatim = None
    progress: Percentage | None = None
    progress_map: ProgressMap = ProgressMap()
    incre_trans_delay: Lag | None = None
    incre_trans_delay_millis: Number | None = None
    process_time: str | None = None
    remaining_time: str | None = None
    apply_rows_rate: Number | None = None
    error_code: str | None = None
    error_msg: str | None = None
    error_message: str | None = None
    direction: Verbatim = None
    kernel_direction: Verbatim = None

    @property
    def mode(self) -> str:
        """The ``task_mode`` in upper case; empty if missing."""
        return (self.task_mode or "").strip().upper()

    @property
    def reason(self) -> str | None:
        """The error text; DRS uses two names for it."""
        return self.error_msg or self.error_message

    @property
    def has_incremental(self) -> bool:
        """True if the job has an incremental phase; without a mode, if the job is in that phase."""
        if self.mode:
            return "INCR" in self.mode
        return "INCR" in (self.transfer_status or "").upper() or self.delay is not None

    @property
    def has_not_begun(self) -> bool:
        """True if a negative delay says that the incremental phase has not started."""
        seconds = self.incre_trans_delay
        figure = self.incre_trans_delay_millis if seconds is None else seconds
        return figure is not None and figure < 0 and figure != UNREADABLE_LAG

    @property
    def delay(self) -> float | None:
        """
        Lag of the incremental phase in seconds: the larger of both figures.

        None before that phase, and if the seconds cannot be read.
        """
        seconds, millis = self.incre_trans_delay, self.incre_trans_delay_millis
        if seconds is not None and seconds < 0:
            return None
        figures = (seconds, None if millis is None else millis / 1000)
        told = [figure for figure in figures if figure is not None and figure >= 0]
        return max(told, default=None)


class _BatchProgress(WireModel):
    results: list[JobProgress] | None = None


class _BaseInfo(WireModel):
    job_type: Verbatim = None
    job_direction: Verbatim = None
    task_type: Verbatim = None


class _ProgressInfo(WireModel):
    """Progress in a v5 job detail; the delays lack an *e* of those of batch-progress."""

    progress: Percentage | None = None
    incr_trans_delay: Lag | None = None
    incr_trans_delay_millis: Number | None = None
    task_mode: Verbatim = None
    transfer_status: Verbatim = None
    process_time: str | None = None
    progress_map: ProgressMap = ProgressMap()
    error_code: str | None = None
    error_msg: str | None = None


class _JobDetail(WireModel):
    id: Verbatim = None
    status: Verbatim = None
    base_info: _BaseInfo = _BaseInfo()
    progress_info: _ProgressInfo = _ProgressInfo()
    job_kernel_direction: Verbatim = None
    error_code: str | None = None
    error_msg: str | None = None

    def as_job_progress(self) -> JobProgress:
        """
        Convert to the form of batch-progress.

        The answer has the status twice, and the mode as well. Figures beside two different statuses prove
        nothing, so they are left out; and so is a mode that is not the same in both places.
        """
        info, base = self.progress_info, self.base_info
        words = [word for word in (self.status, info.transfer_status) if (word or "").strip()]
        modes = {mode.strip().upper() for mode in (info.task_mode, base.task_type) if mode}
        known: dict[str, Any] = {}
        if len({word.strip().upper() for word in words if word}) == 1:
            known = {
                "task_mode": modes.pop() if len(modes) == 1 else None,
                "progress": info.progress,
                "progress_map": info.progress_map,
                "incre_trans_delay": info.incr_trans_delay,
                "incre_trans_delay_millis": info.incr_trans_delay_millis,
                "process_time": info.process_time,
            }
        return JobProgress(
            job_id=self.id,
            transfer_status=_least_advanced(words),
            error_code=info.error_code or self.error_code,
            error_msg=info.error_msg or self.error_msg,
            direction=base.job_direction,
            kernel_direction=self.job_kernel_direction,
            **known,
        )


class _Detail(WireModel):
    job: _JobDetail | None = None


def _no_child_is_lost(value: Any) -> Any:
    """Turn children that are not objects into such: without an id they are never in sync."""
    if value is None:
        return None
    items = value if isinstance(value, (list, tuple)) else [value]
    return [
        item if isinstance(item, dict) else {"id": item if isinstance(item, str) else None} for item in items
    ]


class JobRow(WireModel):
    """
    One job in a list of jobs; v3 calls the type ``db_use_type``.

    :ivar task_type: as ``task_mode`` of :class:`JobProgress`.
    :ivar job_mode_role: ``parent``, ``child``, ``master`` or ``slave``; only v5 has it.
    :ivar children: the child jobs, each with an id of its own; they do not count in the total.
    """

    id: Verbatim = None
    name: str | None = None
    status: Verbatim = None
    create_time: str | None = None
    job_type: Verbatim = None
    db_use_type: Verbatim = None
    task_type: Verbatim = None
    enterprise_project_id: Verbatim = None
    job_mode_role: Verbatim = None
    children: Annotated[tuple[ChildRow, ...] | None, BeforeValidator(_no_child_is_lost)] = None

    @property
    def type(self) -> str:
        """The type of the job; empty if missing."""
        return (self.job_type or self.db_use_type or "").strip()

    @property
    def is_parent(self) -> bool:
        """True if its work is that of child jobs."""
        return bool(self.children) or (self.job_mode_role or "").strip().lower() == "parent"

    def as_summary(self, job_type: str, now: datetime) -> MigrationSummary:
        """
        Convert to the form of a list.

        :param job_type: type of the jobs in this list, for a job that does not name its own.
        """
        # A list has no delay and no progress: the state is that of a record without evidence.
        mode = None if self.is_parent else self.task_type
        job = JobProgress(transfer_status=self.status, task_mode=mode)
        own = {name.lower(): kind for name, kind in KINDS.items()}
        return MigrationSummary(
            service=SERVICE,
            migration_id=self.id or "",
            name=self.name,
            kind=own.get(self.type.lower(), KINDS[job_type]),
            state=_state(job, "not known", 0),
            service_status=self.status,
            created_at=_created_at(self.create_time, now),
        )


class ChildRow(JobRow):
    """A child job in the row of its parent."""

    children: None = None


JobRow.model_rebuild()


class _JobPage(WireModel):
    """A page of jobs; v3 calls the total ``total_record``."""

    total_count: Count | None = None
    total_record: Count | None = None
    jobs: tuple[JobRow, ...] | None = None

    @property
    def total(self) -> int:
        """Number of jobs of all pages, without their children."""
        return max(self.total_count or 0, self.total_record or 0)


class _TaggedRow(WireModel):
    resource_id: Verbatim = None
    tags: tuple[_Tag, ...] | None = None


class _Tag(WireModel):
    key: Verbatim = None
    value: Verbatim = None


_TaggedRow.model_rebuild()


class _TaggedPage(WireModel):
    total_count: Count | None = None
    resources: tuple[_TaggedRow, ...] | None = None


class RecoveryPoint(WireModel):
    """
    Position of a disaster recovery job at one of its two ends.

    :ivar delay: distance to the source, 0 for none; no page states its unit.
    :ivar check_point: position in the source's binlog.
    :ivar gtid_set: executed transactions.
    :ivar time: time of the figures, ``yyyy-MM-dd HH:mm:ss``; no page states its zone.
    """

    delay: Number | None = None
    check_point: str | None = None
    gtid_set: str | None = None
    time: str | None = None


class RpoAndRto(WireModel):
    """
    Recovery point and recovery time of a disaster recovery job, from ``batch-rpo-and-rto``.

    :ivar rpo_info: what has reached DRS: with a delay of 0, no change would be lost.
    :ivar rto_info: what is applied: with a delay of 0, no change is left to apply.
    """

    job_id: Verbatim = None
    rpo_info: RecoveryPoint | None = None
    rto_info: RecoveryPoint | None = None
    error_code: str | None = None
    error_msg: str | None = None


class _RposAndRtos(WireModel):
    results: tuple[RpoAndRto, ...] | None = None


class Comparison(WireModel):
    """
    One comparison in the list of a job's comparisons.

    :ivar type: ``lines``, which counts rows, ``contents``, which compares values, or ``random``.
    :ivar start_time: UTC time; so is ``end_time``.
    """

    id: Verbatim = None
    type: Verbatim = None
    status: Verbatim = None
    start_time: str | None = None
    end_time: str | None = None

    @property
    def kind(self) -> str:
        """The ``type`` in lower case; empty if missing."""
        return (self.type or "").strip().lower()

    @property
    def word(self) -> str:
        """The ``status`` in upper case; empty if missing."""
        return (self.status or "").strip().upper()

    @property
    def state(self) -> VerificationState:
        """The state, as far as the status shows."""
        return COMPARISON_STATUSES.state_of(self.status)

    @property
    def is_open(self) -> bool:
        """True if it has not ended."""
        return (
            self.state in (VerificationState.PENDING, VerificationState.RUNNING) and self.word != _CANCELLED
        )

    @property
    def moment(self) -> float:
        """Epoch seconds of the start; a comparison without a time counts as the newest."""
        began = utc_time(self.start_time) or utc_time(self.end_time)
        return math.inf if began is None else began.timestamp()


class _Comparisons(WireModel):
    count: Count | None = None
    compare_jobs: tuple[Comparison, ...] | None = None


class ComparedDatabase(WireModel):
    """
    One database in the overview of a comparison; the two kinds name the database fields differently.

    :ivar compare_num: number of tables to compare.
    :ivar compare_end_num: number of compared tables.
    :ivar data_inconsistent_num: number of tables that differ.
    :ivar uncomparable_num: number of tables that could not be compared.
    """

    source_db_name: str | None = None
    target_db_name: str | None = None
    source_db: str | None = None
    target_db: str | None = None
    status: Verbatim = None
    compare_num: Count | None = None
    compare_end_num: Count | None = None
    data_inconsistent_num: Count | None = None
    uncomparable_num: Count | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Source and target."""
        return self.source_db_name or self.source_db or "", self.target_db_name or self.target_db or ""

    @property
    def result(self) -> VerificationState:
        """The result, as far as the status shows."""
        return COMPARISON_RESULTS.state_of(self.status)

    @property
    def tables_different(self) -> int | None:
        """Number of tables that differ; at least one if the status says that the database differs."""
        is_different = self.result is VerificationState.INCONSISTENT
        return max(self.data_inconsistent_num or 0, 1) if is_different else self.data_inconsistent_num

    @property
    def tables_failed(self) -> int | None:
        """Number of tables that could not be compared; at least one if the status says so."""
        has_failed = self.result is VerificationState.FAILED
        return max(self.uncomparable_num or 0, 1) if has_failed else self.uncomparable_num


class _Overview(WireModel):
    total_count: Count | None = None
    data_compare_overview_infos: tuple[ComparedDatabase, ...] | None = None
    content_compare_result_infos: tuple[ComparedDatabase, ...] | None = None

    @property
    def databases(self) -> tuple[ComparedDatabase, ...]:
        return (*(self.data_compare_overview_infos or ()), *(self.content_compare_result_infos or ()))


class ComparedTable(WireModel):
    """One table in the details of a comparison."""

    source_table_name: str | None = None
    target_table_name: str | None = None
    difference_row_num: Count | None = None
    status: Verbatim = None
    line_compare_result: bool | None = None
    content_compare_result: bool | None = None

    @property
    def is_different(self) -> bool:
        """True unless the table is known to be equal."""
        if self.content_compare_result is None and self.line_compare_result is None:
            return COMPARISON_RESULTS.state_of(self.status) is not VerificationState.CONSISTENT
        return False in (self.content_compare_result, self.line_compare_result)

    def as_table_verification(self, database: ComparedDatabase, result: str) -> TableVerification:
        """Convert to the form of a record."""
        source, target = database.names
        return TableVerification(
            source=_name(source, self.source_table_name),
            destination=_name(target, self.target_table_name),
            result=result,
            rows_different=self.difference_row_num,
        )


class _Details(WireModel):
    table_line_compare_result_infos: tuple[ComparedTable, ...] | None = None
    content_compare_result_infos: tuple[ComparedTable, ...] | None = None

    @property
    def tables(self) -> tuple[ComparedTable, ...]:
        return (*(self.table_line_compare_result_infos or ()), *(self.content_compare_result_infos or ()))


class ComparedType(WireModel):
    """One type in a comparison of objects."""

    type: str | None = None
    source_count: Count | None = None
    target_count: Count | None = None
    status: Verbatim = None


class ObjectComparison(WireModel):
    """The newest comparison of objects."""

    status: Verbatim = None
    compare_job_id: Verbatim = None
    compare_result: tuple[ComparedType, ...] | None = None


class _Kind(NamedTuple):
    """
    A kind of comparison of the data.

    :ivar differences: query for the tables that differ.
    """

    type: str
    overview: str
    detail: str
    differences: tuple[str, str]


_KINDS: Final = (
    _Kind("lines", "line-overview", "line-detail", ("status", "0")),
    _Kind("contents", "content-overview", "content-detail", ("type", "compare")),
)

_Compared = dict[ComparedDatabase, tuple[TableVerification, ...]]
"""The databases of ended comparisons, each with its tables that differ."""


class ObjectListing:
    """
    Paging state of a list of objects: the next offset, and the end of the list.

    Keeps the names of the last page, because an object of a changing list may move to the next page, and a
    digest of each earlier page, because a server that misreads the offset repeats whole pages.

    :param limit: objects per page, 1–1000.
    :param offset: index of the first object, from 0.
    :raises MigrationConfigurationError: if either is out of range.
    """

    def __init__(self, limit: int = MAX_LIMIT, offset: int = 0) -> None:
        if not _is_whole(limit) or not 1 <= limit <= MAX_LIMIT:
            raise MigrationConfigurationError(f"limit must be 1 to {MAX_LIMIT}, not {limit!r}.")
        if not _is_whole(offset) or offset < 0:
            raise MigrationConfigurationError(f"offset must be 0 or more, not {offset!r}.")
        self.limit = limit
        self.offset: int = offset
        self.pages: int = 0
        self.at_end: bool = False
        self._last: frozenset[object] = frozenset()
        self._digests: set[int] = set()

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query of the next page."""
        return [("limit", str(self.limit)), ("offset", str(self.offset))]

    def take(self, rows: Sequence[_T], names: Iterable[object], count: int | None) -> list[_T]:
        """
        Return the new rows of a page. A page without new rows (empty or repeated) is the end of the list.

        :param names: the names of the rows, in the same order.
        :param count: the page's number of objects in the whole list.
        """
        self.pages += 1
        self.offset += len(rows)
        named = dict(zip(names, rows, strict=True))
        known, here = self._last, frozenset(named)
        new = [] if hash(here) in self._digests else [row for name, row in named.items() if name not in known]
        self._last = here
        self._digests.add(hash(here))
        # A count of 0 beside objects is wrong: ignore it.
        self.at_end = not new or 0 < (count or 0) <= self.offset
        return new


class DrsListing(MigrationListing):
    """
    Paging state of the lists of jobs, one for each type of job.

    A child job is a row of its own beside its parent, and has the tags of its parent.

    :ivar is_v3: true if the current list is read in v3.
    :ivar tagged: the tags of the jobs of this type that have the selected ones; None if v3 has selected.
    """

    def __init__(self, selection: MigrationFilter) -> None:
        super().__init__(selection, tuple(KINDS))
        self.is_v3 = False
        self.tagged: dict[str, Mapping[str, str]] | None = None
        self._children: set[str] = set()
        self._listed: set[str] = set()

    def take_jobs(self, jobs: Sequence[JobRow], total: int, now: datetime) -> list[MigrationSummary]:
        """
        Return the selected new jobs of a page with their children, and go on to the next page or list.

        :param total: number of jobs of all pages, without the children.
        """
        job_type, received = self.part, len(jobs)
        if self.received + received > total:
            raise MigrationResponseError(
                f"The list of migrations contradicts itself: DRS gives {self.received + received} jobs "
                f"and a total of {total}. List again."
            )
        own = {job.id: job for job in jobs if job.id and self._is_in_group(job)}
        page = [(job.as_summary(job_type, now), self._tags_of(job)) for job in jobs if job.id]
        found = [
            row
            for row in self.take(page, received=received, total=total)
            if row.migration_id in own and row.migration_id not in self._children
        ]
        self._listed.update(row.migration_id for row in found)
        for job in own.values():
            for child in job.children or ():
                if not child.id:
                    raise MigrationResponseError(
                        f"The list of migrations is incomplete: a child of {job.id} has no id. List again."
                    )
                row = child.as_summary(job_type, now)
                # Its own row, if it has one, does not have the tags of its parent.
                is_new = child.id not in self._children and child.id not in self._listed
                if is_new and self.selection.selects(row, self._tags_of(child) or self._tags_of(job)):
                    found.append(row)
                self._children.add(child.id)
        return found

    def _is_in_group(self, job: JobRow) -> bool:
        return self.selection.group is None or job.enterprise_project_id in (None, self.selection.group)

    def _tags_of(self, job: JobRow) -> Mapping[str, str] | None:
        return None if self.tagged is None else self.tagged.get(job.id or "", {})


@dataclass(frozen=True, slots=True)
class _Family:
    """
    Facts about a job that the lists add to its status.

    :ivar job_type: a key of :data:`KINDS`.
    :ivar children: ids of its child jobs; None if it is a parent whose children are not listed.
    :ivar at: time of the look-up.
    :ivar problem: why nothing is known of the job; empty for a job that was listed.
    """

    job_type: str
    children: tuple[str, ...] | None
    at: datetime
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Reservation:
    """
    Reason why a job is not in sync, or not known to be, although its own status says so.

    :ivar phase: the part of the work that is not done.
    :ivar text: warning for the user; empty if the phase says it all.
    :ivar is_copied: false if existing data is not known to be copied.
    :ivar lag: lag of the part in seconds, or None.
    """

    phase: Phase
    text: str = ""
    is_copied: bool = True
    lag: float | None = None


def check_object_types(object_types: object) -> tuple[str, ...]:
    """
    Validate object types and remove duplicates; a single type may be a string.

    :raises MigrationConfigurationError: for an unknown type; names the known ones.
    """
    given = (object_types,) if isinstance(object_types, str) else object_types
    types = tuple(given) if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    for object_type in types:
        if object_type not in OBJECT_TYPES:
            raise MigrationConfigurationError(
                f"object_types: {object_type!r} is not known to DRS; give a list of some of these: "
                f"{', '.join(OBJECT_TYPES)}."
            )
    return tuple(dict.fromkeys(types))


def check_job_status(job_status: object) -> None:
    """
    Validate the argument ``job_status``.

    :raises MigrationConfigurationError: for anything but True and False; the string "false" is truthy.
    """
    if not isinstance(job_status, bool):
        raise MigrationConfigurationError(f"job_status must be True or False, not {job_status!r}.")


def check_language(language: object) -> None:
    """
    Validate the language of messages; None means the service's default.

    :raises MigrationConfigurationError: for a language that DRS does not support.
    """
    if language is not None and str(language).lower() not in LANGUAGES:
        raise MigrationConfigurationError(f"language must be {' or '.join(LANGUAGES)}, not {language!r}.")


def console_of(region: str | None) -> str:
    """
    Return the address of the DRS console in a region.

    No page documents an address of the task itself. API hosts do not identify the site of an account, so the
    region decides: the international site outside of mainland China, and Europe's own for
    ``eu-west-101``. Sources: the links to ``console.huaweicloud.com/drs/?region=…`` and
    ``console-intl.huaweicloud.com/drs/?region=…&locale=en-us`` in Huawei's guides; for Europe, the address of
    *My Credentials*, ``console.eu.huaweicloud.com/iam``.
    """
    if not region:
        return "https://console.huaweicloud.com/drs/"
    name = quote(region, safe="")
    if endpoint_of(region).endswith(".eu"):
        return f"https://console.eu.huaweicloud.com/drs/?region={name}"
    if region.startswith("cn-"):
        return f"https://console.huaweicloud.com/drs/?region={name}"
    return f"https://console-intl.huaweicloud.com/drs/?region={name}&locale=en-us"


def endpoint_of(region: str) -> str:
    """Return the host of DRS in a region."""
    return host_of("drs", region)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(slots=True)
class _Objects:
    """Totals over the pages of one object type, without keeping the pages."""

    name: str
    count: int = 0
    seen: int = 0
    completed: int = 0
    percent_sum: float = 0.0
    slowest: list[ObjectProgress] = field(default_factory=list)

    def add(self, count: int | None, rows: list[_PlainRow]) -> None:
        unfinished = [row for row in rows if row[4] != 100]
        self.count = max(self.count, count or 0)
        self.seen += len(rows)
        self.completed += len(rows) - len(unfinished)
        self.percent_sum += sum(percent_or_none(row[4]) or 0.0 for row in rows)
        objects = (
            ObjectProgress(source=_name(src_db, src_tb), destination=_name(dst_db, dst_tb), percent=percent)
            for src_db, src_tb, dst_db, dst_tb, percent in heapq.nsmallest(
                MAX_OBJECTS_NAMED, unfinished, key=lambda row: percent_or_none(row[4]) or 0.0
            )
        )
        self.slowest = slowest_objects([*self.slowest, *objects])

    @property
    def total(self) -> int:
        return max(self.count, self.seen)

    @property
    def is_done(self) -> bool:
        return 0 < self.total == self.completed

    @property
    def percent(self) -> float | None:
        return self.percent_sum / self.seen if self.seen else None

    def phase(self) -> Phase:
        if self.is_done:
            state = MigrationState.SUCCEEDED
        else:
            state = MigrationState.RUNNING if self.percent_sum else MigrationState.PENDING
        return interned_phase(
            name=self.name, state=state, percent=self.percent, done=self.completed, total=self.total
        )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """
    Reason why the objects of a type were not listed.

    :ivar text: warning for the user; empty if no list is expected.
    :ivar at: time of the refusal.
    :ivar is_brief: counts at that poll only, because the poll ran out of time, which says nothing about the
        next one, or because a verdict may depend on the list.
    """

    text: str
    at: datetime
    is_brief: bool = False

    def stands(self, now: datetime) -> bool:
        # A clock that was set back must not prolong the back-off.
        return not self.is_brief and self.at <= now < self.at + ASK_AGAIN_AFTER


@dataclass(slots=True)
class _Lists:
    """
    The lists of a job's objects, by object type.

    :ivar word: the job's status at the time of the request.
    :ivar read: the types whose list was read to its end in this poll.
    :ivar failure: the transient error that kept a list from being read in this poll.
    """

    word: str
    objects: dict[str, _Objects] = field(default_factory=dict)
    refusals: dict[str, _Refusal] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    failure: MigrationError | None = None

    def warnings(self) -> tuple[str, ...]:
        """Return one warning per distinct refusal."""
        types: dict[str, list[str]] = {}
        for object_type, refusal in self.refusals.items():
            if refusal.text:
                types.setdefault(refusal.text, []).append(object_type)
        return tuple(
            f"The objects of the job (object_types: {', '.join(names)}) are not listed: {text}"
            for text, names in types.items()
        )


_LEAVE_OUT: Final = "pass object_types=() to leave the objects out"
_LIST_REMEDIES: Final[tuple[tuple[type[MigrationError], str], ...]] = (
    (
        MigrationPermissionError,
        f"Grant the system-defined policy DRS ReadOnlyAccess in the project of this region, or {_LEAVE_OUT}.",
    ),
    (
        MigrationNotFoundError,
        "This region or cloud may not have the call, or the job is gone there: check the job in the DRS "
        f"console, or {_LEAVE_OUT}.",
    ),
    (
        MigrationAuthenticationError,
        f"The status was read with the same credentials: if this persists, {_LEAVE_OUT}.",
    ),
    (
        MigrationRequestError,
        f"DRS lists the objects of some links and types only: {_LEAVE_OUT}, or choose other types.",
    ),
    (
        MigrationError,
        f"The list is retried in {ASK_AGAIN_AFTER.seconds // 60} minutes: if this persists, {_LEAVE_OUT}.",
    ),
)


def _refusal(error: MigrationError, word: str, now: datetime, *, is_needed: bool) -> _Refusal:
    """
    Create the cached refusal of a list that was refused or could not be read.

    :param is_needed: true if a verdict may depend on the list.
    """
    code = (getattr(error, "code", None) or "").upper()
    if code == _NO_LIST or (code == _LIST_IS_GONE and word in (*_RELEASE, "DELETED")):
        return _Refusal("", now)
    came_back = str(error)
    if isinstance(error, MigrationApiError) and error.code:
        # The call's own remedy blames the id, but the status call has already confirmed it.
        request_id = f", request id {error.request_id}" if error.request_id else ""
        came_back = f"{error.action}: HTTP {error.http_status}, {error.code}{request_id}."
    remedy = next(text for kind, text in _LIST_REMEDIES if isinstance(error, kind))
    effect = "" if is_needed else " The job's status does not depend on the objects."
    text = f"{came_back}{effect} {remedy}"
    is_brief = getattr(error, "is_cut_short", False) or (error.is_transient and is_needed)
    return _Refusal(text, now, is_brief)


def _name(database: str | None, table: str | None) -> str:
    return ".".join(filter(None, (database, table)))


def _read_page(request: Request[Any], response: Response) -> ProgressDataPage:
    return ProgressDataPage.read(api_object(request, response))


def _read_plain_page(request: Request[Any], response: Response) -> _PlainPage:
    page = _RawPage.read(api_object(request, response))
    return _PlainPage(page.count, [ObjectRow.read(row).plain() for row in page.flow_compare_data or ()])


@dataclass(slots=True, kw_only=True)
class DrsApi:
    """
    DRS, as one account sees it in one project.

    :param endpoint: scheme and host, such as ``https://drs.cn-north-4.myhuaweicloud.com``.
    :param region: region ID, or None if only the endpoint is known.
    """

    endpoint: str
    project_id: str
    signer: Signer = field(repr=False)
    region: str | None = None
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)
    _listed: dict[tuple[str, tuple[str, ...]], _Lists] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Cache of the last listed objects of at most :data:`MAX_LISTED` jobs."""
    _compared: dict[tuple[str, Comparison], tuple[datetime | None, _Compared]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Cache of the results of ended comparisons, with the time of the reading unless they are final."""
    _verified: dict[str, Verification] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache of the last verification of each job."""
    _in_v5: dict[str, None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The jobs that batch-progress does not serve but v5 does."""
    _families: dict[str, _Family] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache of what the lists tell of a job while its status stays the same."""
    _has_no_v5_list: bool = field(default=False, init=False, repr=False, compare=False)
    """True if this region lists jobs in v3 only."""

    def progress_data_page(
        self, job_id: str, object_type: str, listing: ObjectListing, *, language: str | None = None
    ) -> Flow[ProgressDataPage]:
        """Get a listing's next page of objects; arguments are validated immediately."""
        job = require_id("job_id", job_id)
        check_object_types((object_type,))
        check_language(language)

        def ask() -> Flow[ProgressDataPage]:
            return (yield from send(self._request_page(_read_page, job, object_type, listing, language)))

        return ask()

    def _request_page(
        self,
        read: Callable[[Request[Any], Response], _T],
        job: str,
        object_type: str,
        listing: ObjectListing,
        language: str | None = None,
    ) -> Request[_T]:
        project = quote(self.project_id, safe="")
        query = encode_query(listing.query)
        request = self._request(
            "ShowProgressData",
            "GET",
            f"/v5/{project}/jobs/{quote(job, safe='')}/progress-data/{object_type}?{query}",
            read,
            asked_for=job,
            language=language,
        )
        if listing.pages >= MAX_PAGES:
            raise api_error(
                MigrationResponseError,
                request,
                None,
                f"the list does not end after {MAX_PAGES} pages of {listing.limit}",
            )
        return request

    def get_job_status(self, job_id: str) -> Flow[JobProgress]:
        """Get the status of a job; the id is validated immediately."""
        return self._job_status(require_id("job_id", job_id))

    def _job_status(self, job: str) -> Flow[JobProgress]:
        """
        Get the status of a job from batch-progress, or from v5 where that refuses the job.

        The call that serves a job is asked first from then on. Only a refusal with a code of the service
        leads to the other call: throttling, an outage or a proxy in front says nothing about the job.
        """
        calls = self._batched_progress(job), self._show_progress(job)
        first, second = reversed(calls) if job in self._in_v5 else calls
        found, is_elsewhere = yield from _either(first, second, _is_unserved)
        if is_elsewhere and job in self._in_v5:
            del self._in_v5[job]
        elif is_elsewhere:
            cache_put(self._in_v5, job, None)
        return found

    def probe(self, job: str) -> Flow[JobProgress]:
        """Request the status of a job from batch-progress alone."""
        return self._batched_progress(job)

    def _batched_progress(self, job: str) -> Flow[JobProgress]:
        def read(request: Request[Any], response: Response) -> JobProgress:
            results = _BatchProgress.read(api_object(request, response)).results
            if results == []:
                raise api_error(MigrationNotFoundError, request, response, "no such job")
            result = next((item for item in results or () if item.job_id in (job, None)), None)
            if result is None:
                raise api_error(MigrationResponseError, request, response, "no result for this job")
            if not _word(result):
                if result.error_code:
                    raise refused(request, response, result.error_code, result.reason)
                raise api_error(MigrationResponseError, request, response, "no transfer_status for this job")
            return result.model_copy(update=_of_the_headers(response))

        return (
            yield from send(
                replace(
                    self._batch_progress([job], read),
                    coalescing_key=job,
                    batch=lambda jobs: self._batch_progress(jobs, _read_progress_of_many),
                    batch_limit=MAX_JOBS,
                )
            )
        )

    def _show_progress(self, job: str) -> Flow[JobProgress]:
        """Get the status of a job from v5."""

        def read(request: Request[Any], response: Response) -> JobProgress:
            progress = _detail_of(job, request, response).as_job_progress()
            if not _word(progress):
                raise api_error(MigrationResponseError, request, response, "no status for this job")
            return progress.model_copy(update=_of_the_headers(response))

        return (yield from send(self._request_detail(job, "progress", read)))

    def _request_detail(
        self, job: str, part: str, read: Callable[[Request[Any], Response], _T]
    ) -> Request[_T]:
        path = f"/v5/{quote(self.project_id, safe='')}/jobs/{quote(job, safe='')}?type={part}"
        request = self._request("ShowJobDetail", "GET", path, read, asked_for=job)
        return replace(request, coalescing_key=f"{job} {part}")

    def get_rpo_and_rto(self, job_id: str) -> Flow[RpoAndRto]:
        """Get recovery point and time of a disaster recovery job; the id is validated immediately."""
        job = require_id("job_id", job_id)

        def read(request: Request[Any], response: Response) -> RpoAndRto:
            results = _RposAndRtos.read(api_object(request, response)).results or ()
            result = next((item for item in results if item.job_id == job), None)
            if result is None:
                raise api_error(MigrationResponseError, request, response, "no result for this job")
            if result.error_code:
                raise refused(request, response, result.error_code, result.error_msg)
            return result

        def ask() -> Flow[RpoAndRto]:
            project, body = quote(self.project_id, safe=""), json.dumps({"jobs": [job]}).encode()
            path = f"/v3/{project}/jobs/batch-rpo-and-rto"
            request = self._request("BatchListRposAndRtos", "POST", path, read, asked_for=job, body=body)
            return (yield from send(request))

        return ask()

    def list_migrations(self, listing: DrsListing) -> Flow[list[MigrationSummary]]:
        """
        Get the next page of a list of jobs; v3 lists them where a region has no v5 list.

        Name and status are filtered here: the service's filters would hide a parent, and with it its
        children, which have names and statuses of their own.
        """
        if listing.page > 1:
            page = yield from send(self._request_jobs(listing))
        else:
            first, second = self._first_jobs(listing, self._has_no_v5_list), not self._has_no_v5_list
            page, is_elsewhere = yield from _either(
                first, self._first_jobs(listing, second), _is_missing_call
            )
            if is_elsewhere:
                self._has_no_v5_list = second
        return listing.take_jobs(page.jobs or (), page.total, self.clock())

    def _first_jobs(self, listing: DrsListing, is_v3: bool) -> Flow[_JobPage]:
        """Get the first page of a list, and find out before which jobs have the selected tags."""
        listing.is_v3, listing.tagged = is_v3, None
        if listing.selection.tags and not is_v3:
            listing.tagged = yield from self._tagged_jobs(listing.part, listing.selection.tags)
        return (yield from send(self._request_jobs(listing)))

    def _tagged_jobs(self, job_type: str, tags: Mapping[str, str]) -> Flow[dict[str, Mapping[str, str]]]:
        """Get the jobs of a type that have all of these tags, with all their tags."""
        project, listing = quote(self.project_id, safe=""), ObjectListing()
        found: dict[str, Mapping[str, str]] = {}
        body = {"tags": [{"key": key, "values": [value]} for key, value in sorted(tags.items())]}
        total = 0
        while not listing.at_end:
            request = self._request(
                "ListInstanceByTags",
                "POST",
                f"/v5/{project}/{job_type}/resource-instances/filter?{encode_query(listing.query)}",
                _read_tagged,
                body=json.dumps(body).encode(),
            )
            if listing.pages >= MAX_PAGES:
                raise api_error(
                    MigrationResponseError, request, None, f"the list does not end after {MAX_PAGES} pages"
                )
            page = yield from send(request)
            rows, total = page.resources or (), max(total, page.total_count or 0)
            for row in listing.take(rows, (row.resource_id for row in rows), page.total_count):
                if row.resource_id:
                    found[row.resource_id] = {tag.key or "": tag.value or "" for tag in row.tags or ()}
        if len(found) < total:
            text = f"the list is incomplete: {len(found)} of {total} jobs with these tags can be read"
            raise api_error(MigrationResponseError, request, None, text)
        return found

    def _request_jobs(self, listing: DrsListing) -> Request[_JobPage]:
        """Request the next page of a list."""
        group, tags = listing.selection.group, dict(listing.selection.tags)
        if listing.is_v3:
            paging = {"cur_page": listing.page, "per_page": JOBS_PER_PAGE}
            filters = {
                **({"enterprise_project_id": group} if group else {}),
                **({"tags": tags} if tags else {}),
            }
            return self._request_v3_jobs(listing.part, {**paging, **filters}, _read_jobs)
        query = [("offset", str(listing.received)), ("limit", str(JOBS_PER_PAGE))]
        if group:
            query.append(("enterprise_project_id", group))
        return self._request_v5_jobs(listing.part, query, _read_jobs)

    def _request_v5_jobs(
        self,
        job_type: str,
        query: Iterable[tuple[str, str]],
        read: Callable[[Request[Any], Response], _T],
    ) -> Request[_T]:
        encoded = encode_query([("job_type", job_type), *query])
        path = f"/v5/{quote(self.project_id, safe='')}/jobs?{encoded}"
        return self._request(f"ListJobs ({job_type})", "GET", path, read)

    def _request_v3_jobs(
        self, job_type: str, filters: Mapping[str, Any], read: Callable[[Request[Any], Response], _T]
    ) -> Request[_T]:
        return self._request(
            f"ShowJobList ({job_type})",
            "POST",
            f"/v3/{quote(self.project_id, safe='')}/jobs",
            read,
            body=json.dumps({"db_use_type": job_type, **filters}).encode(),
        )

    def _reservation(
        self, job_id: str, job: JobProgress, state: MigrationState, max_lag: float
    ) -> Flow[tuple[_Reservation | None, tuple[str, ...]]]:
        """
        Find out what batch-progress does not tell: child jobs that lag, and a switchover in progress.

        The lists tell the type of a job and its children, which is looked up once while the status stays the
        same; for many jobs together. A synchronization gets children when its objects are edited, so a yes
        needs a new look-up. Where no list has ever shown the job, or lists are refused or unreadable, its
        own status counts, with a warning. While DRS is throttling or failing, a synchronization is not in
        sync, nor is a job that was never looked up; for any other job, the last look-up counts. A job that
        has ended is judged by its own figures alone, because waiting would not change them.
        """
        if _word(job) not in (_COPIED, _INCREMENTAL):
            self._families.pop(job_id, None)
            return None, ()
        if state not in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED):
            return None, ()
        family, now, unknown = self._families.get(job_id), self.clock(), ""
        is_old = family is None or abs(now - family.at) >= ASK_AGAIN_AFTER
        if family is None or is_old or family.job_type == _SYNC:
            try:
                found = yield from self._find_family(job_id, now)
            except MigrationApiError as error:
                is_unknown = family is None or family.problem or family.job_type == _SYNC
                if is_unknown and _will_pass(error):
                    text = f"{_UNKNOWN_FAMILY}, so it does not count as in sync: {_came_back(error)}."
                    return _Reservation(_open_phase("children"), text), ()
                found, unknown = None, _came_back(error)
            if found is not None:
                family = found
                cache_put(self._families, job_id, family)
            elif family is None or family.problem:
                family = _Family("", (), now, unknown or "DRS does not list the job")
                cache_put(self._families, job_id, family)
        if family.problem:
            return None, (
                f"{_UNKNOWN_FAMILY}, so only its own status counts: {family.problem}. The policy DRS "
                "ReadOnlyAccess covers the lists.",
            )
        if family.job_type == _DISASTER_RECOVERY and state is MigrationState.CAUGHT_UP:
            switchover = yield from self._switchover(job_id, job)
            if switchover is not None:
                return switchover, ()
        if family.children is None:
            text = (
                "DRS lists the job as a parent without its child jobs, so they are not known to be in sync. "
                "Watch each child job by its own id."
            )
            return _Reservation(_open_phase("children"), text, is_copied=False), ()
        return (yield from self._child_reservation(family.children, max_lag)), ()

    def _find_family(self, job: str, now: datetime) -> Flow[_Family | None]:
        """Look a job up in the lists of the API that serves it, else of the other; None if it is in none."""
        is_v3 = job not in self._in_v5
        found, _ = yield from _either(
            self._find_row(job, is_v3), self._find_row(job, not is_v3), _is_missing_call
        )
        if found is None:
            return None
        job_type, row = found
        children: tuple[str, ...] | None = ()
        if row.id == job and row.is_parent:
            children = tuple(child.id or "" for child in row.children or ()) or None
        return _Family(row.type if row.type in KINDS else job_type, children, now)

    def _find_row(self, job: str, is_v3: bool) -> Flow[tuple[str, JobRow] | None]:
        """Find the row of a job, or that of its parent, in the list of its type."""
        for job_type in KINDS:
            row = yield from send(
                replace(
                    self._request_row_of(job_type, [job], is_v3, lambda page: _row_in(page, job)),
                    coalescing_key=job,
                    batch=partial(self._request_rows, job_type, is_v3),
                    batch_limit=JOBS_PER_PAGE if is_v3 else MAX_NAMED_JOBS,
                )
            )
            if row is not None:
                return job_type, row
        return None

    def _request_rows(
        self, job_type: str, is_v3: bool, jobs: Sequence[str]
    ) -> Request[dict[str, JobRow | None]]:
        return self._request_row_of(
            job_type, jobs, is_v3, lambda page: {job: _row_in(page, job) for job in jobs}
        )

    def _request_row_of(
        self, job_type: str, jobs: Sequence[str], is_v3: bool, find: Callable[[_JobPage], _T]
    ) -> Request[_T]:
        def read(request: Request[Any], response: Response) -> _T:
            page = _JobPage.read(api_object(request, response))
            if page.jobs is None and page.total_count is None and page.total_record is None:
                raise api_error(MigrationResponseError, request, response, "no jobs in the response")
            return find(page)

        names = ",".join(jobs)
        if is_v3:
            filters = {"name": names, "cur_page": 1, "per_page": JOBS_PER_PAGE}
            return self._request_v3_jobs(job_type, filters, read)
        query = [("name", names), ("offset", "0"), ("limit", str(JOBS_PER_PAGE))]
        return self._request_v5_jobs(job_type, query, read)

    def _switchover(self, job_id: str, job: JobProgress) -> Flow[_Reservation | None]:
        """Tell whether a disaster recovery job is switching over, which its status does not show."""

        def read(request: Request[Any], response: Response) -> JobProgress:
            return _detail_of(job_id, request, response).as_job_progress()

        text = ""
        try:
            if not (job.direction and job.kernel_direction):
                job = yield from send(self._request_detail(job_id, "detail", read))
        except MigrationApiError as error:
            text = f"{_came_back(error)}."
        given = [(each or "").strip().lower() for each in (job.direction, job.kernel_direction)]
        if not text and all(given):
            if given[0] == given[1]:
                return None
            return _Reservation(
                _open_phase("switchover", f"job_kernel_direction {given[1]}, job_direction {given[0]}")
            )
        return _Reservation(
            _open_phase("switchover"),
            "A disaster recovery job counts as in sync only while it is not switching over, and DRS does not "
            f"say whether it is. {text or 'The job detail has no job_direction or no job_kernel_direction.'}",
        )

    def _child_reservation(self, children: Sequence[str], max_lag: float) -> Flow[_Reservation | None]:
        """Tell whether all child jobs are in sync."""
        known = yield from self._progress_of_many(children)
        open_children = {
            child: known.get(child)
            for child in children
            if child not in known or not _is_child_done(known[child], max_lag)
        }
        if not open_children:
            return None
        lags = [job.delay for job in known.values() if job.delay is not None]
        child, job = next(iter(open_children.items()))
        word = job.transfer_status if job is not None else None
        phase = interned_phase(
            name="children",
            state=MigrationState.RUNNING,
            service_status=word,
            done=len(children) - len(open_children),
            total=len(children),
        )
        copied = all(
            job is not None and _is_bulk_done(job, _Lists(_word(job))) for job in open_children.values()
        )
        text = (
            f"{len(open_children)} of {len(children)} child jobs are not in sync, such as {child} "
            f"({word or 'status not known'}). Look at it in the DRS console."
        )
        return _Reservation(phase, text, is_copied=copied, lag=max(lags, default=None))

    def _progress_of_many(self, jobs: Sequence[str]) -> Flow[dict[str, JobProgress]]:
        """Get the progress of jobs together, up to the first that cannot be read."""
        found: dict[str, JobProgress] = {}
        for start in range(0, len(jobs), MAX_JOBS):
            some = jobs[start : start + MAX_JOBS]
            with suppress(MigrationApiError):  # one of them may have caused the refusal of all
                found |= yield from send(self._batch_progress(some, _read_progress_of_many))
            for job in some:
                if job not in found:
                    try:
                        found[job] = yield from self._job_status(job)
                    except MigrationApiError:
                        return found
        return found

    def _batch_progress(
        self, jobs: Sequence[str], read: Callable[[Request[Any], Response], _T]
    ) -> Request[_T]:
        return self._request(
            "BatchListProgresses",
            "POST",
            f"/v3/{quote(self.project_id, safe='')}/jobs/batch-progress",
            read,
            asked_for=", ".join(jobs),
            body=json.dumps({"jobs": list(jobs)}).encode(),
        )

    def progress(
        self,
        job_id: str,
        object_types: Sequence[str] = ("table",),
        job_status: bool = True,
        *,
        max_lag: float,
        verification: bool = False,
    ) -> Flow[MigrationProgress]:
        """
        Get the job's status and its objects, and build the record; arguments are validated immediately.

        The objects, a page per thousand, are requested only while they may have changed: not before the job
        has started, not in its incremental phase, and not again once all are copied and the job's status
        agrees. While the job's status says that it is copying, its own figures decide, so listing its objects
        is optional: under rate limiting the record keeps the objects of the previous poll.

        With ``job_status`` the status decides. A list that is refused or unreadable then becomes a warning,
        and is requested again when the status has changed or after :data:`ASK_AGAIN_AFTER`.

        If only the objects can prove that an ended job is complete, a transient error of the list is raised:
        the poll counts as failed, and the next one retries.

        :param object_types: object types to count.
        :param job_status: request the job's status. Without it the list decides, and its errors are raised.
        :param verification: request the results of the job's comparisons.
        """
        job, types = require_id("job_id", job_id), check_object_types(object_types)
        check_job_status(job_status)
        if job_status:
            return self._progress_with_status(job, types, max_lag, verification)
        if not types:
            raise MigrationConfigurationError(
                "object_types is empty: without job_status there is nothing to ask."
            )
        return self._progress_of_objects(job, types)

    def _progress_of_objects(self, job_id: str, object_types: tuple[str, ...]) -> Flow[MigrationProgress]:
        objects = []
        for object_type in object_types:
            try:
                counted = yield from self._count_objects(job_id, object_type)
            except MigrationApiError as error:
                if (error.code or "").upper() != _NO_LIST:
                    raise
                counted = None
            objects.append(counted or _Objects(object_type))
        return _progress_of_objects(objects, **self._common(job_id, objects, self.clock()))

    def _progress_with_status(
        self, job_id: str, object_types: tuple[str, ...], max_lag: float, verification: bool
    ) -> Flow[MigrationProgress]:
        job = yield from self._job_status(job_id)
        observed_at = self.clock()  # the time of the deciding call: the lists may take a while
        lists = _Lists(_word(job))
        if object_types and _has_objects(job):
            lists = yield from self._list_objects(job_id, object_types, job)
        if lists.failure and _depends_on_lists(job, lists, max_lag):
            raise lists.failure
        objects = [lists.objects[name] for name in object_types if name in lists.objects]
        common = self._common(job_id, objects, observed_at)
        progress = _progress_of_job(job, lists, max_lag, warnings=lists.warnings(), **common)
        held, warned = yield from self._reservation(job_id, job, progress.state, max_lag)
        warnings = (*lists.warnings(), *warned, *((held.text,) if held and held.text else ()))
        if held or warned:
            common["held"] = held
            progress = _progress_of_job(job, lists, max_lag, warnings=warnings, **common)
        if not verification:
            return progress
        found, unread = yield from self._verification(job_id, _word(job), progress.state)
        common |= {"verification": found, "verification_remedy": _COMPARISON_REMEDIES.get(found.state)}
        if _word(job) in _FULL[:-1] or progress.state in (MigrationState.PAUSED, MigrationState.FAILED):
            # The times of comparisons are those of DRS's own clock.
            common["recheck_since"] = job.answered_at or observed_at
        return _progress_of_job(job, lists, max_lag, warnings=(*warnings, *unread), **common)

    def _verification(
        self, job_id: str, word: str, state: MigrationState
    ) -> Flow[tuple[Verification, tuple[str, ...]]]:
        """Get the result of a job's comparisons, and a warning if it cannot be read."""
        if word in _FULL[:-1] or state is MigrationState.PENDING:  # DRS compares nothing before it has copied
            return Verification(state=VerificationState.PENDING), ()
        is_needed = state in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)
        try:
            comparisons = yield from self._list_comparisons(job_id, is_needed=is_needed)
            if comparisons is None:
                return self._verified.get(job_id, Verification(state=VerificationState.UNKNOWN)), ()
            parts = []
            for kind in _KINDS:
                if of_kind := [each for each in comparisons if each.kind == kind.type]:
                    parts.append((yield from self._compare(job_id, kind, of_kind)))
            if _has_unknown_kind(comparisons):
                parts.append(Verification(state=VerificationState.UNKNOWN))
            found = Verification.merged(parts or [Verification(state=VerificationState.PENDING)])
            objects = yield from send(self._request_comparison(job_id, "object/compare", _read_objects))
            found = _with_objects(found, objects)
        except MigrationApiError as error:
            warning = unread_verification(error, "DRS ReadOnlyAccess")
            return Verification(state=VerificationState.UNKNOWN), (warning,)
        cache_put(self._verified, job_id, found)
        return found, ()

    def _list_comparisons(self, job_id: str, *, is_needed: bool) -> Flow[list[Comparison] | None]:
        """List the comparisons of a job's data; None if the rate limiter skips the call."""
        found: list[Comparison] = []
        listing, count = ObjectListing(), 0
        while not listing.at_end and listing.pages < MAX_COMPARISON_PAGES:
            request = self._request_comparison(job_id, "table/compare", _read_comparisons, listing.query)
            page = yield from (send(request) if is_needed or found else send_optional(request))
            if page is None:
                return None
            rows, count = page.compare_jobs or (), page.count or 0
            found += listing.take(rows, (row.id for row in rows), count)
        if len(found) < count:
            raise api_error(MigrationResponseError, request, None, "the list of comparisons is incomplete")
        return found

    def _compare(self, job_id: str, kind: _Kind, comparisons: Sequence[Comparison]) -> Flow[Verification]:
        """
        Get the result of the comparisons of a kind.

        A person may compare only some databases or tables: then the last comparison of the others also
        counts.
        """
        newest = sorted(comparisons, key=lambda each: each.moment, reverse=True)
        open_states = [each.state for each in newest if each.is_open]
        if open_states or newest[0].word != _COMPARED:
            return Verification(state=worst_state(open_states or [newest[0].state]))
        covered: dict[tuple[str, str], int] = {}
        tables: dict[ComparedDatabase, tuple[TableVerification, ...]] = {}
        times: list[datetime | None] = []
        ended = [each for each in newest if each.word == _COMPARED]
        if len(ended) > MAX_COMPARISONS:
            return Verification(state=VerificationState.UNKNOWN)
        for each in ended:
            result = yield from self._result(job_id, kind, each)
            current = [row for row in result if (row.compare_num or 0) > covered.get(row.names, -1)]
            covered.update((row.names, row.compare_num or 0) for row in current)
            tables.update((row, result[row]) for row in current)
            times += [utc_time(each.end_time) or utc_time(each.start_time)] if current else []
        return _compared(tables, times)

    def _result(self, job_id: str, kind: _Kind, comparison: Comparison) -> Flow[_Compared]:
        """Get the databases of an ended comparison, with their tables that differ."""
        key, now = (job_id, comparison), self.clock()
        if key in self._compared:
            read_at, known = self._compared[key]
            if read_at is None or abs(now - read_at) < ASK_AGAIN_AFTER:
                return known
        rows: list[ComparedDatabase] = []
        listing, count = ObjectListing(), 0
        while not listing.at_end and listing.pages < MAX_COMPARISON_PAGES:
            request = self._request_comparison(
                job_id, kind.overview, _read_overview, listing.query, comparison.id
            )
            page = yield from send(request)
            count = page.total_count or 0
            rows += listing.take(page.databases, (row.names for row in page.databases), count)
        if len(rows) < count:
            raise api_error(MigrationResponseError, request, None, "the list of databases is incomplete")
        result: _Compared = dict.fromkeys(rows, ())
        worst = sorted(
            rows, key=lambda row: (row.tables_different or 0, row.tables_failed or 0), reverse=True
        )
        results, are_named = {row.result for row in rows}, True
        try:
            for row in worst[:MAX_NAMED]:
                result[row] = yield from self._different_tables(job_id, kind, comparison, row)
        except MigrationApiError as error:  # names only: the counts are known
            are_named = not error.is_transient
        if are_named and rows and VerificationState.RUNNING not in results:
            is_final = VerificationState.UNKNOWN not in results
            cache_put(self._compared, key, (None if is_final else now, result))
        return result

    def _different_tables(
        self, job_id: str, kind: _Kind, comparison: Comparison, database: ComparedDatabase
    ) -> Flow[tuple[TableVerification, ...]]:
        """Get the worst tables of a database that differ or were not compared."""
        source, target = database.names
        names = [("db_name", source), ("target_db_name", target), ("limit", str(MAX_LIMIT))]
        found: list[TableVerification] = []
        for result, count, query in (
            ("different", database.tables_different, kind.differences),
            ("not compared", database.tables_failed, ("type", "unCompare")),
        ):
            if count:
                details = yield from send(
                    self._request_comparison(
                        job_id, kind.detail, _read_details, [*names, query], comparison.id
                    )
                )
                found += [
                    table.as_table_verification(database, result)
                    for table in details.tables
                    if result == "not compared" or table.is_different
                ]
        return worst_tables(found)

    def _request_comparison(
        self,
        job_id: str,
        call: str,
        read: Callable[[Request[Any], Response], _T],
        query: Iterable[tuple[str, str]] = (),
        comparison_id: str | None = None,
    ) -> Request[_T]:
        path = call if comparison_id is None else f"compare/{quote(comparison_id, safe='')}/{call}"
        project, encoded = quote(self.project_id, safe=""), encode_query(query)
        return self._request(
            _COMPARISON_CALLS[call],
            "GET",
            f"/v3/{project}/jobs/{quote(job_id, safe='')}/{path}" + (f"?{encoded}" if encoded else ""),
            read,
            asked_for=job_id,
        )

    def _common(self, job_id: str, objects: list[_Objects], observed_at: datetime) -> dict[str, Any]:
        """Return the fields of a record that do not depend on the job's status."""
        known = [item for item in objects if item.total]
        return {
            "service": SERVICE,
            "migration_id": job_id,
            "objects": ObjectSummary(
                total=sum(item.total for item in known),
                completed=sum(item.completed for item in known),
                slowest=tuple(slowest_objects(row for item in known for row in item.slowest)),
            )
            if known
            else None,
            "observed_at": observed_at,
            "console_url": console_of(self.region),
        }

    def _list_objects(self, job_id: str, object_types: tuple[str, ...], job: JobProgress) -> Flow[_Lists]:
        """List the objects of a job where the response may be new or a verdict depends on it."""
        word, now = _word(job), self.clock()
        before = self._listed.pop((job_id, object_types), None) or _Lists("")
        lists = _Lists(word, dict(before.objects))
        self._listed[job_id, object_types] = lists  # evict the least recently polled job first
        if len(self._listed) > MAX_LISTED:
            del self._listed[next(iter(self._listed))]
        if before.word == word:
            standing = {name: item for name, item in before.refusals.items() if item.stands(now)}
            lists.refusals.update(standing)
            done = [before.objects[name].is_done for name in object_types if name in before.objects]
            if word == _COPIED and len(done) == len(object_types) and all(done):
                return lists
        is_needed = word == _RELEASED and _is_bulk_done(job, _Lists(word)) is None
        # A list that has been started is read to its end.
        is_optional = word == _COPYING
        for position, object_type in enumerate(object_types):
            if object_type in lists.refusals:
                continue
            try:
                counted = yield from self._count_objects(job_id, object_type, is_optional=is_optional)
            except MigrationError as error:
                # A request error may concern this type only; any other error concerns the call itself.
                is_of_this_type = isinstance(error, MigrationRequestError)
                names = (object_type,) if is_of_this_type else object_types[position:]
                lists.refusals.update(dict.fromkeys(names, _refusal(error, word, now, is_needed=is_needed)))
                if error.is_transient:
                    lists.failure = error
                else:
                    for name in names:
                        lists.objects.pop(name, None)
                continue
            if counted is None:
                break
            is_optional = False
            lists.objects[object_type] = counted
            lists.read.add(object_type)
        return lists

    def _count_objects(
        self, job_id: str, object_type: str, *, is_optional: bool = False
    ) -> Flow[_Objects | None]:
        """Count the objects of one type, page by page; None if the rate limiter skips this optional call."""
        counted, listing = _Objects(object_type), ObjectListing()
        while not listing.at_end:
            request = self._request_page(_read_plain_page, job_id, object_type, listing)
            page = yield from (send_optional(request) if is_optional else send(request))
            if page is None:
                return None
            is_optional = False
            new = listing.take(page.rows, (row[:4] for row in page.rows), page.total)
            counted.add(page.total, new)
        return counted

    def _request(
        self,
        action: str,
        method: str,
        path: str,
        read: Callable[[Request[Any], Response], _T],
        *,
        asked_for: str = "",
        body: bytes = b"",
        language: str | None = None,
    ) -> Request[_T]:
        headers = {"content-type": "application/json", "x-project-id": self.project_id}
        if language:
            headers["x-language"] = language.lower()
        return Request(
            service=SERVICE,
            action=action,
            method=method,
            url=self.endpoint + path,
            headers=headers,
            body=body,
            read=read,
            signer=self.signer,
            asked_for=asked_for,
        )


_COMPARISON_CALLS: Final = {
    "table/compare": "ListDataLevelTableCompareJobs",
    "object/compare": "ListObejectLevelCompareOverview",  # sic
    "line-overview": "ListDataCompareOverview",
    "line-detail": "ListDataCompareDetail",
    "content-overview": "ListContentCompareOverview",
    "content-detail": "ListContentCompareDetail",
}
"""The vendor's names of the calls for comparisons, by the end of their path."""

_COMPARISON_REMEDIES: Final = {
    VerificationState.PENDING: (
        "DRS compares rows by itself after the full copy. If no comparison appears, start one in the DRS "
        "console."
    ),
    VerificationState.INCONSISTENT: (
        "Look at the comparisons of the job in the DRS console, repair the tables, and compare all of them "
        "again."
    ),
    VerificationState.FAILED: (
        "Look at the comparisons of the job in the DRS console, remove the cause, and compare again."
    ),
}


_RANDOM: Final = "random"
"""``type`` of a comparison of samples; no call returns its result."""


_SYNC: Final = "sync"
_DISASTER_RECOVERY: Final = "cloudDataGuard"
_CHILD_ENDED: Final = "RELEASE_CHILD_TRANSFER_COMPLETE"

_UNKNOWN_FAMILY: Final = "It is not known whether the job has child jobs or is switching over"


def _came_back(error: MigrationApiError) -> str:
    """Describe a failed call without its request id, so that the same problem is logged once."""
    status = f"HTTP {error.http_status}" if error.http_status else None
    told = ", ".join(filter(None, (status, error.code, error.reason))) or type(error).__name__
    return f"{error.action} failed ({told})"


def _either(
    first: Flow[_T], second: Flow[_T], is_elsewhere: Callable[[MigrationApiError], bool]
) -> Flow[tuple[_T, bool]]:
    """
    Run a flow, or another if an API does not serve the first; tell whether the other has answered.

    If both refuse, the first error is raised and names the second.
    """
    try:
        return (yield from first), False
    except MigrationApiError as error:
        if not is_elsewhere(error):
            raise
        refusal = error
    try:
        return (yield from second), True
    except MigrationApiError as error:
        if not _is_refused(error):
            raise
        problem = error
    # Outside the except clause, so that the second refusal does not become the context of the first.
    refusal.add_hint(f"The other API does not serve it either: {_came_back(problem)}.")
    refusal.tolerated_after_success |= problem.tolerated_after_success
    raise refusal


_JOB_CALLS: Final = ("BatchListProgresses", "ShowJobDetail", "ListJobs", "ShowJobList", "ListInstanceByTags")


def _is_refused(error: MigrationApiError) -> bool:
    """Tell whether DRS refuses a call about jobs; a refusal of a new token by IAM says nothing of a job."""
    kinds = (MigrationNotFoundError, MigrationPermissionError, MigrationRequestError)
    return isinstance(error, kinds) and error.action.partition(" ")[0] in _JOB_CALLS


def _will_pass(error: MigrationApiError) -> bool:
    """Tell whether DRS is overloaded or failing for the moment, so that the next poll may get an answer."""
    is_failing = error.http_status is not None and error.http_status >= 500
    return isinstance(error, MigrationThrottledError) or is_failing or error.reason == "timeout"


def _is_unserved(error: MigrationApiError) -> bool:
    """Tell whether a refusal concerns the job, and is the service's own rather than that of a proxy."""
    concerns_job = _is_refused(error) and not isinstance(error, MigrationPermissionError)
    return concerns_job and not error.tolerated_after_success


def _is_missing_call(error: MigrationApiError) -> bool:
    """Tell whether an API lacks a call; the 404 of a proxy does not say so."""
    is_missing = isinstance(error, MigrationNotFoundError) and error.http_status == 404
    return is_missing and _is_unserved(error)


def _detail_of(job: str, request: Request[Any], response: Response) -> _JobDetail:
    detail = _Detail.read(api_object(request, response)).job
    if detail is None or detail.id != job:
        raise api_error(MigrationResponseError, request, response, "no detail of this job in the response")
    return detail


def _read_progress_of_many(request: Request[Any], response: Response) -> dict[str, JobProgress]:
    results = _BatchProgress.read(api_object(request, response)).results or []
    of_the_headers = _of_the_headers(response)
    return {
        item.job_id: item.model_copy(update=of_the_headers)
        for item in reversed(results)  # of two entries the first counts, as without batching
        if item.job_id and _word(item)
    }


def _read_jobs(request: Request[Any], response: Response) -> _JobPage:
    page = _JobPage.read(api_object(request, response))
    if page.total_count is None and page.total_record is None:
        raise api_error(MigrationResponseError, request, response, "no total in the list of jobs")
    return page


def _read_tagged(request: Request[Any], response: Response) -> _TaggedPage:
    page = _TaggedPage.read(api_object(request, response))
    if page.total_count is None:
        raise api_error(MigrationResponseError, request, response, "no total_count in the response")
    return page


def _row_in(page: _JobPage, job: str) -> JobRow | None:
    """Return the row of a job, else the row of its parent, else None."""
    rows = page.jobs or ()
    own = (row for row in rows if row.id == job)
    parents = (row for row in rows if any(child.id == job for child in row.children or ()))
    return next(own, None) or next(parents, None)


def _open_phase(name: str, service_status: str | None = None) -> Phase:
    return interned_phase(name=name, state=MigrationState.RUNNING, service_status=service_status)


def _is_child_done(job: JobProgress, max_lag: float) -> bool:
    """Tell whether a child job is in sync, has succeeded, or has ended with nothing left undone."""
    shortfall = _shortfall(job, bool(_is_bulk_done(job, _Lists(_word(job)))), max_lag)
    if _word(job) == _CHILD_ENDED:
        return shortfall is None
    return _state(job, shortfall, max_lag) in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)


_COURSE: Final = (*_FULL, _INCREMENTAL)


def _least_advanced(words: Sequence[str | None]) -> str | None:
    """
    Return the word of two statuses that promises less.

    A word outside the normal course counts, such as that of a failure, a pause or an end; else the earlier.
    """
    course = [word.upper() for word in _COURSE]
    given = [word.strip() for word in words if word and word.strip()]
    aside = [word for word in given if word.upper() not in course]
    return next(iter(aside), None) or min(given, key=lambda word: course.index(word.upper()), default=None)


def _created_at(text: str | None, now: datetime) -> datetime | None:
    """Parse a time of creation: epoch milliseconds as text, or ISO 8601."""
    try:
        return parse_timestamp(float(text or ""), now)
    except ValueError:
        return utc_time(text)


def _has_unknown_kind(comparisons: Sequence[Comparison]) -> bool:
    """Tell whether a comparison of an undocumented kind is newer than all whose result is known."""
    kinds = [kind.type for kind in _KINDS]
    known = max((each.moment for each in comparisons if each.kind in kinds), default=-math.inf)
    others = [each.moment for each in comparisons if each.kind not in (*kinds, _RANDOM)]
    return max(others, default=-math.inf) > known


def _compared(tables: _Compared, times: Sequence[datetime | None]) -> Verification:
    """Return the result of ended comparisons of one kind."""
    found = Verification.ended(
        tables_total=_total(row.compare_num for row in tables),
        tables_compared=_total(row.compare_end_num for row in tables),
        tables_different=_total(row.tables_different for row in tables),
        tables_failed=_total(row.tables_failed for row in tables),
        worst=worst_tables(table for named in tables.values() for table in named),
        checked_at=min(filter(None, times), default=None) if None not in times else None,
    )
    if found.state is VerificationState.CONSISTENT:
        return found.model_copy(update={"state": worst_state(row.result for row in tables)})
    return found


def _total(counts: Iterable[int | None]) -> int | None:
    """Return the sum of counts; None if one of them is not known."""
    given = list(counts)
    return None if None in given else sum(filter(None, given))


def _with_objects(found: Verification, objects: ObjectComparison) -> Verification:
    """Merge the comparison of objects into a verification: it can only make the state worse."""
    state = COMPARISON_STATUSES.state_of(objects.status)
    types = [each for each in objects.compare_result or () if (each.type or "").upper() not in _LATE_TYPES]
    results = {OBJECT_RESULTS.state_of(each.status) for each in types} - {VerificationState.CONSISTENT}
    has_run = state is not VerificationState.PENDING and bool((objects.status or "").strip())
    if not has_run:
        return found
    if state is not VerificationState.UNKNOWN:
        results.add(state)
    different = [
        TableVerification(
            source=each.type,
            result=f"{each.source_count} in the source, {each.target_count} in the destination",
        )
        for each in types
        if OBJECT_RESULTS.state_of(each.status) is VerificationState.INCONSISTENT
    ]
    return found.model_copy(
        update={
            "state": worst_state({found.state, *results}),
            "worst": worst_tables((*found.worst, *different)),
        }
    )


def _read_comparisons(request: Request[Any], response: Response) -> _Comparisons:
    comparisons = _Comparisons.read(api_object(request, response))
    if comparisons.compare_jobs is None:
        raise api_error(MigrationResponseError, request, response, "no compare_jobs in the response")
    return comparisons


def _read_overview(request: Request[Any], response: Response) -> _Overview:
    overview = _Overview.read(api_object(request, response))
    if overview.total_count is None:
        raise api_error(MigrationResponseError, request, response, "no total_count in the response")
    return overview


def _read_details(request: Request[Any], response: Response) -> _Details:
    return _Details.read(api_object(request, response))


def _read_objects(request: Request[Any], response: Response) -> ObjectComparison:
    return ObjectComparison.read(api_object(request, response))


def _of_the_headers(response: Response) -> dict[str, Any]:
    return {"request_id": response.headers.get("x-request-id"), "answered_at": response.date}


def _applied_until(job: JobProgress) -> datetime | None:
    """
    Return the source time up to which everything is applied: DRS gives a delay, but no checkpoint.

    The delay of a job that is paused or ended stays as it was, so only a running increment shows it.
    """
    if _word(job) != _INCREMENTAL or job.error_code or job.delay is None or job.answered_at is None:
        return None
    return parse_timestamp(job.answered_at.timestamp() - job.delay, job.answered_at)


def _throughput(job: JobProgress) -> Throughput | None:
    # No page states the unit of apply_bytes_rate.
    return throughput_of(job.apply_rows_rate) if _word(job) == _INCREMENTAL else None


def _remaining_seconds(job: JobProgress) -> float | None:
    """Return the time left that DRS gives during the copy; later the value is stale, and 0 means none."""
    if _word(job) != _COPYING:
        return None
    try:
        seconds = float(job.remaining_time or "")
    except ValueError:
        return None
    return seconds if 0 < seconds <= MAX_SECONDS else None


def _has_objects(job: JobProgress) -> bool:
    is_pending = STATUSES.state_of(job.transfer_status) is MigrationState.PENDING
    return not is_pending and _word(job) not in _AFTER_THE_COPY


def _word(job: JobProgress) -> str:
    return (job.transfer_status or "").strip().upper()


def _progress_of_objects(counted: list[_Objects], **common: Any) -> MigrationProgress:
    """Build a record from the objects alone: the progress of existing data, without the job's state."""
    known = [item for item in counted if item.total]
    seen = sum(item.seen for item in known)
    percent = sum(item.percent_sum for item in known) / seen if seen else None
    if not known:
        state = MigrationState.UNKNOWN
    else:
        state = MigrationState.RUNNING if percent else MigrationState.PENDING
    all_done = len(known) == len(counted) and all(item.is_done for item in known)
    full = interned_phase(name="full", state=MigrationState.SUCCEEDED if all_done else state, percent=percent)
    return MigrationProgress(
        state=state, percent=percent, phases=(full, *(item.phase() for item in known)), **common
    )


def _progress_of_job(
    job: JobProgress, lists: _Lists, max_lag: float, *, held: _Reservation | None = None, **common: Any
) -> MigrationProgress:
    bulk_done = bool(_is_bulk_done(job, lists)) and (held is None or held.is_copied)
    shortfall = _shortfall(job, bulk_done, max_lag)
    state = _state(job, shortfall, max_lag)
    if held is not None and state in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED):
        state = MigrationState.RUNNING
    known = [item for item in lists.objects.values() if item.total]
    phases = (*_phases(job, state, bulk_done, known), *((held.phase,) if held else ()))
    lags = [lag for lag in (job.delay, held.lag if held else None) if lag is not None]
    reached = _statuses_reached(job, bulk_done, shortfall)
    return MigrationProgress(
        state=state,
        service_status=job.transfer_status,
        percent=bulk_percent(phases),
        phases=phases,
        lag_seconds=max(lags, default=None) if job.has_incremental else None,
        applied_until=_applied_until(job) if held is None else None,
        throughput=_throughput(job),
        remaining_seconds=(remaining := _remaining_seconds(job)),
        remaining_source=None if remaining is None else "service",
        error=_error(job, state, shortfall),
        request_id=job.request_id,
        statuses_reached=reached if held is None or held.is_copied else frozenset(),
        **common,
    )


def _depends_on_lists(job: JobProgress, lists: _Lists, max_lag: float) -> bool:
    """Tell whether the success of an ended job depends on lists that are not fully known."""
    return (
        _word(job) == _RELEASED
        and _is_bulk_done(job, lists) is None
        and _shortfall(job, True, max_lag) is None
    )


def _is_bulk_done(job: JobProgress, lists: _Lists) -> bool | None:
    """
    Tell whether existing data is known to be copied: at least one sign of it and none against it.

    None without any sign. Only objects listed in this poll count, and they confirm the copy only if no list
    is missing.
    """
    word = _word(job)
    if word in (_COPIED, *_AFTER_THE_COPY):
        return True
    if word in _FULL or word in _FAILED_AT:
        return False
    parts = (job.progress_map.struct, job.progress_map.data, job.progress_map.index)
    percents = [part.completed for part in parts if part and part.completed is not None]
    listed = [item for name, item in lists.objects.items() if name in lists.read and item.total]
    # DRS moves triggers and events only while a job is being ended.
    listed = [item for item in listed if item.name not in ("trigger", "event")]
    data = job.progress_map.data
    denied = (
        (job.progress is not None and 0 < job.progress < 100)
        or any(percent < 100 for percent in percents)
        or not all(item.is_done for item in listed)
    )
    affirmed = (
        job.progress == 100
        or (data is not None and data.completed == 100)
        or (any(item.name == "table" for item in listed) and not lists.refusals)
        # Without a bulk phase there is nothing to copy once the increment has begun.
        or (job.mode == "INCR_TRANS" and job.delay is not None)
    )
    if denied:
        return False
    return True if affirmed else None


def _shortfall(job: JobProgress, bulk_done: bool, max_lag: float) -> str | None:
    """Return the reason why a job that ended now would be incomplete; None if it would be complete."""
    delay = job.delay
    if job.error_code:
        return f"DRS gives the error {job.error_code} ({job.reason or 'without a reason'})"
    if not bulk_done and not (job.mode == "INCR_TRANS" and delay is None):
        return "its existing data is not known to be copied"
    if job.mode == "FULL_TRANS":
        return None
    if delay is None:
        if job.has_not_begun:
            return "its incremental phase had not begun (a delay below 0)"
        return "DRS gives no delay for its incremental phase"
    if delay > max_lag:
        return f"its incremental phase was {delay:g} s behind (max_lag is {max_lag:g} s)"
    return None


def _state(job: JobProgress, shortfall: str | None, max_lag: float) -> MigrationState:
    word = _word(job)
    if word == _COPIED and job.mode == "FULL_TRANS":
        return MigrationState.SUCCEEDED
    if word == _RELEASED and shortfall is None:
        return MigrationState.SUCCEEDED
    if word == _INCREMENTAL and not job.error_code and job.delay is not None and job.delay <= max_lag:
        return MigrationState.CAUGHT_UP
    state = STATUSES.state_of(word)
    # New failure words of DRS are expected to share the suffix of the documented ones.
    is_failure = state is MigrationState.UNKNOWN and word.endswith("_FAILED")
    return MigrationState.FAILED if is_failure else state


def _phases(
    job: JobProgress, state: MigrationState, bulk_done: bool, known: list[_Objects]
) -> Iterable[Phase]:
    word = _word(job)
    if job.mode != "INCR_TRANS":
        struct = job.progress_map.struct
        if struct and struct.completed is not None:
            done = bulk_done or struct.completed == 100
            # Structure is copied while the job's status is still "starting".
            is_moving = state is MigrationState.PENDING and 0 < struct.completed < 100
            yield interned_phase(
                name="structure",
                state=MigrationState.SUCCEEDED if done else MigrationState.RUNNING if is_moving else state,
                percent=100 if done else struct.completed,
            )
        percent = 0.0 if state is MigrationState.PENDING and job.progress is None else job.progress
        yield interned_phase(
            name="full",
            state=MigrationState.SUCCEEDED if bulk_done else state,
            service_status=job.transfer_status if word in _FULL or word == "FULL_TRANSFER_FAILED" else None,
            percent=100 if bulk_done else percent,
        )
    yield from (item.phase() for item in known)
    if job.has_incremental:
        begun = "INCRE" in word or state is MigrationState.SUCCEEDED
        yield interned_phase(
            name="incremental",
            state=state if begun or (bulk_done and job.delay is not None) else MigrationState.PENDING,
            service_status=job.transfer_status if "INCRE" in word else None,
        )


def _statuses_reached(job: JobProgress, bulk_done: bool, shortfall: str | None) -> frozenset[str]:
    # A job that is being released, has failed or is paused may have left any phase: only phases known
    # to be done count as passed.
    word, order = _word(job), (*_FULL, _INCREMENTAL)
    passed = [*_FULL] if bulk_done else []
    if word in _RELEASE and shortfall is None and job.mode != "FULL_TRANS":
        passed.append(_INCREMENTAL)
    if word in _FAILED_AT:
        passed += order[: order.index(_FAILED_AT[word])]
    return (
        frozenset(item.lower() for item in passed)
        | up_to(order if word in order else (), word)
        | up_to(_RELEASE, word)
    )


def _error(job: JobProgress, state: MigrationState, shortfall: str | None) -> MigrationErrorInfo | None:
    """Return the reason of a failure, or the unfinished work of an ended job."""
    if state is MigrationState.FAILED:
        message = job.reason or f"DRS reports {job.transfer_status} and gives no reason."
        remedy = "Look at the task's log in the DRS console; once the cause is gone, resume the task there."
    elif state is MigrationState.CANCELLED:
        has_ended = _word(job) == _RELEASED
        message = f"The job has ended, and {shortfall}." if has_ended else "The job was deleted."
        remedy = (
            "Compare source and target before anything relies on the data, and ask who ended the job; to "
            "migrate what is missing, create another job in the DRS console."
        )
    else:
        return None
    return MigrationErrorInfo(code=job.error_code or job.transfer_status, message=message, remedy=remedy)
