"""
OceanBase Migration Service: three equivalent APIs for the progress of a project.

- ``GET /api/omsp/v2/migrations/{projectId}/progress`` of a console, ids ``p_…``, and
  ``GET /api/omsp/v2/sync/{projectId}/progress`` for a synchronization project. Source: OMS community edition
  3.3.0 to 4.1.0, API reference.
- ``POST /api/v2?Action=DescribeProjectProgress`` of a console, ids ``np_…``, for projects of both types;
  DescribeProjectSteps adds details, ListProjectFullVerifyResult the result of the full verification, and
  ListProjects lists the projects.
  Source: https://en.oceanbase.com/docs/community-oms-en-10000000001658106, from 4.1.1 on.
- The same actions of the service that Alibaba Cloud hosts (OceanBasePro, 2019-09-01). Source:
  https://alibabacloud.com/help/zh/apsaradb-for-oceanbase/latest/api-oceanbasepro-2019-09-01-describeprojectprogress.

The field ``success`` tells whether a call succeeded, with HTTP 200 in either case. The step names are those
of OMS's own enumeration.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote

from pydantic import BeforeValidator

from airflow_provider_migration.api_errors import api_error, error_by_code, error_by_status, own_code
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.clock import utc_now
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
)
from airflow_provider_migration.progress import (
    BULK_PHASES,
    MAX_WORST,
    VERIFIED,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    MigrationSummary,
    Phase,
    TableVerification,
    Throughput,
    Verification,
    VerificationState,
    bulk_percent,
    clean_text,
    interned_phase,
    throughput_of,
    worst_tables,
)
from airflow_provider_migration.sansio import Flow, Request, Response, Verbatim, send, send_optional
from airflow_provider_migration.services import alibaba
from airflow_provider_migration.services.alibaba import AlibabaApi
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.services.wire import (
    KEEP_ITEM,
    Count,
    Number,
    Percentage,
    StatusTable,
    WireModel,
    WordTable,
    cache_put,
    json_object,
    parse_timestamp,
    require_id,
    unread_verification,
    up_to,
    utc_time,
)

_T = TypeVar("_T")

SERVICE: Final = "oms"
VERSION: Final = "2019-09-01"
"""API version of the OMS hosted by Alibaba Cloud."""

PROGRESS_API: Final = "GetMigrationProgress"
SYNC_API: Final = "GetSyncProgress"
ACTION_API: Final = "DescribeProjectProgress"
APIS: Final = (PROGRESS_API, ACTION_API)
"""
The calls of a console that return the progress of a project. :data:`PROGRESS_API` includes
:data:`SYNC_API`, the call of the same releases for synchronization projects.
"""

STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("INIT",),
        MigrationState.RUNNING: ("RUNNING", "RUNNING_MODIFYING", "RUNNING_MERGING", "RUNNING_ALARMING"),
        MigrationState.PAUSED: ("SUSPEND",),
        MigrationState.SUCCEEDED: ("FINISHED",),
        MigrationState.FAILED: ("FAILED",),
        MigrationState.CANCELLED: ("RELEASING", "RELEASED", "DELETED"),
    }
)
"""``status`` of the project. RUNNING_ALARMING is a filter value of ListProjects."""

STATUS_ORDER: Final = ("INIT", "RUNNING", "FINISHED")

STEPS: Final = (
    ("precheck", ("PRE_CHECK", "TRANSFER_PRECHECK")),
    ("precheck", ("PREPARE", "SYNC_PREPARE", "TRANSFER_PREPARE")),
    ("structure", ("STRUCT_MIGRATION", "STRUCT_TRANSFER", "STRUCT_SYNC")),
    ("full", ("INCR_LOG_PULL", "TRANSFER_INCR_LOG_PULL", "SYNC_INCR_LOG_PULL")),
    ("full", ("FULL_MIGRATION", "FULL_TRANSFER", "CONNECTOR_FULL_SYNC")),
    ("full", ("INDEX_MIGRATION", "INDEX_TRANSFER")),
    ("incremental", ("INCR_SYNC", "INCR_TRANSFER", "CONNECTOR_INCR_SYNC")),
    ("incremental", ("FULL_VALIDATION", "FULL_VERIFIER", "INCR_VALIDATION", "INCR_VERIFIER")),
    ("incremental", ("APP_SWITCH", "TRANSFER_APP_SWITCH")),
    ("reverse_incremental", ("REVERSE_INCR_SYNC", "REVERSE_INCR_TRANSFER")),
)
"""``currentStep`` values in the order of a project, each with its phase."""

_RANKS: Final = {word: rank for rank, (_, words) in enumerate(STEPS) for word in words}
_FORWARD_RANK: Final = _RANKS["INCR_SYNC"]
_REVERSE_RANK: Final = _RANKS["REVERSE_INCR_SYNC"]

_VERIFIER_RANK: Final = _RANKS["FULL_VERIFIER"]

TARGETS: Final = STATUSES.targets(further=(*_RANKS, VERIFIED), states=(MigrationState.CAUGHT_UP,))

ERRORS: Final[tuple[tuple[str, type[MigrationApiError]], ...]] = (
    (r"GHANA-PROJECT000001", MigrationNotFoundError),
    (r"GHANA-OPERAT000101", MigrationPermissionError),
    (r"PARAM_ERROR", MigrationRequestError),
)
"""Error codes; unlisted codes count as transient, like OMS's internal errors."""


STEP_STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("INIT",),
        MigrationState.RUNNING: ("RUNNING", "MONITORING"),
        MigrationState.PAUSED: ("SUSPEND",),
        MigrationState.SUCCEEDED: ("FINISHED",),
        MigrationState.FAILED: ("FAILED",),
    }
)
"""``status`` of a step. MONITORING means that the increment has been in sync once, whatever its lag now."""

TABLE_RESULTS: Final = WordTable(
    {
        VerificationState.RUNNING: ("RUNNING",),
        VerificationState.CONSISTENT: ("CONSISTENT", "BOTH_EMPTY"),
        VerificationState.INCONSISTENT: (
            "INCONSISTENT",
            "SOURCE_EMPTY",
            "TARGET_EMPTY",
            "MISMATCH_LIMIT",
            "MISMATCH_LIMIT_NO_PK",
        ),
        VerificationState.FAILED: (
            "SCHEMA_MISMATCH",
            "INDEX_CONFLICT",
            "TARGET_TABLE_NOT_EXIST",
            "RUNTIME_EXCEPTION",
            "NOT_CATEGORIZED",
        ),
    },
    VerificationState.UNKNOWN,
)
"""
``resultType`` of a table in the full verification. A failed table was not compared, although its counts may
be 0. Source: the API metadata of OceanBasePro 2019-09-01; the pages list no words.
"""

_KNOWN_RESULTS: Final = frozenset(word for group in TABLE_RESULTS.words.values() for word in group)

TABLE_STATUSES: Final = StatusTable(
    {
        MigrationState.RUNNING: ("RUNNING",),
        MigrationState.PAUSED: ("SUSPEND",),
        MigrationState.SUCCEEDED: ("FINISHED",),
        MigrationState.FAILED: ("ERROR",),
    }
)
"""``status`` of a table in the full verification; only a finished one has been compared."""

LIST_API: Final = "ListProjects"
PROJECT_TYPES: Final = ("MIGRATION", "SYNC")
"""Types of projects, each of which is a list of its own."""
LIST_PAGE: Final = 50
"""
Projects per page of :data:`LIST_API`, which allows 150. Each row has all tables of its project, so that a
full page of large projects would exceed the limit of a response.
"""

RESULT_API: Final = "ListProjectFullVerifyResult"
MAX_TABLES: Final = 100
"""Tables per page of :data:`RESULT_API`."""
MAX_PAGES: Final = 300
"""Maximum pages of one result."""
READ_AGAIN_AFTER: Final = timedelta(minutes=10)
"""Minimum time between two readings of a long result that is not clean."""

_STANDING_STILL: Final = (MigrationState.FAILED, MigrationState.PAUSED)
"""States of an increment that is not in sync, whatever its checkpoint; its project may still run."""

_UNDER_WAY: Final = (MigrationState.RUNNING, MigrationState.SUCCEEDED)
"""Step states of an increment that can be in sync; the forward one ends after the switch-over."""

MAX_SAMPLE_AGE: Final = 60.0
"""
Maximum age in seconds of OMS's own checkpoint sample. OMS takes one every 10 s; an older sample means that
OMS has stopped sampling, not that the lag is small.
"""

_STANDS_AFTER: Final = timedelta(seconds=30)
"""Time after which a repeated transient refusal of the steps counts as permanent."""

ASK_AGAIN_AFTER: Final = timedelta(minutes=15)
"""Back-off after a permanent refusal of DescribeProjectSteps."""

_MOST_REFUSALS: Final = 1000
"""Maximum projects with a cached refusal; the oldest is evicted first."""

_TEXT_LIMIT: Final = 160
"""Maximum characters per part of an error text, so that all parts fit into the message."""


class UpstreamError(WireModel):
    """The error of an upstream component of OMS."""

    code: str | None = None
    message: str | None = None


class ErrorDetail(WireModel):
    """Error details of newer releases."""

    code: str | None = None
    message: str | None = None
    reason: str | None = None
    proposal: str | None = None
    upstream_error_detail: UpstreamError | None = None

    def said(self, message: str | None = None, advice: str | None = None) -> str:
        """
        Join the distinct texts, each truncated to 160 characters.

        :param message: the older ``message`` beside the detail.
        :param advice: the older ``advice`` beside the detail.
        """
        upstream = self.upstream_error_detail or UpstreamError()
        parts: list[str] = []
        for text in (message, self.message, self.reason, advice, self.proposal, upstream.message):
            part = clean_text(text, _TEXT_LIMIT)
            if part and not any(part in other for other in parts):
                # A later text may contain an earlier one, as in "[CODE]: text".
                parts = [other for other in parts if other not in part]
                parts.append(part)
        return "; ".join(parts)


class ProjectProgress(WireModel):
    """
    ``data`` of the response.

    :ivar incr_sync_checkpoint: position of the forward increment, in epoch seconds.
    :ivar reverse_incr_sync_checkpoint: position of the reverse increment.
    """

    status: Verbatim = None
    importance: str | None = None
    current_step: Verbatim = None
    enable_struct_migration: bool | None = None
    enable_full_migration: bool | None = None
    enable_incr_sync: bool | None = None
    enable_reverse_incr_sync: bool | None = None
    struct_migration_progress: Percentage | None = None
    full_migration_progress: Percentage | None = None
    incr_sync_checkpoint: Number | None = None
    reverse_incr_sync_checkpoint: Number | None = None

    @property
    def is_bulk_done(self) -> bool:
        """True if structure and existing data, where enabled, are known to be done."""
        return all(
            is_enabled is False or percent == 100
            for is_enabled, percent in (
                (self.enable_struct_migration, self.struct_migration_progress),
                (self.enable_full_migration, self.full_migration_progress),
            )
        )


class _SyncProgress(WireModel):
    """
    ``data`` of the older call for a synchronization project, with other field names.

    Its table of fields and its sample name the two percentages differently.
    """

    status: Verbatim = None
    importance: str | None = None
    current_step: Verbatim = None
    enable_struct_sync: bool | None = None
    enable_full_sync: bool | None = None
    enable_incr_sync: bool | None = None
    struct_sync_progress: Percentage | None = None
    struct_migration_progress: Percentage | None = None
    full_sync_progress: Percentage | None = None
    full_migration_progress: Percentage | None = None
    incr_sync_checkpoint: Number | None = None

    def as_project_progress(self) -> ProjectProgress:
        """Convert to the field names of GetMigrationProgress; of two percentages, the lower one counts."""
        structure, full = (
            min((percent for percent in pair if percent is not None), default=None)
            for pair in (
                (self.struct_sync_progress, self.struct_migration_progress),
                (self.full_sync_progress, self.full_migration_progress),
            )
        )
        return ProjectProgress(
            status=self.status,
            importance=self.importance,
            current_step=self.current_step,
            enable_struct_migration=self.enable_struct_sync,
            enable_full_migration=self.enable_full_sync,
            enable_incr_sync=self.enable_incr_sync,
            enable_reverse_incr_sync=False,
            struct_migration_progress=structure,
            full_migration_progress=full,
            incr_sync_checkpoint=self.incr_sync_checkpoint,
        )


class _Answer(WireModel):
    """
    Envelope of every response.

    :ivar answered_at: the service's own time, from the ``Date`` header; None without one.
    """

    success: bool | None = None
    code: str | None = None
    message: str | None = None
    advice: str | None = None
    request_id: str | None = None
    error_detail: ErrorDetail | None = None
    answered_at: datetime | None = None


class ProjectProgressResult(_Answer):
    """The whole response."""

    data: ProjectProgress | None = None


class _TransferProgress(WireModel):
    """``data`` of DescribeProjectProgress, with other field names."""

    status: Verbatim = None
    alarm_level: str | None = None
    current_step: Verbatim = None
    enable_struct_transfer: bool | None = None
    enable_full_transfer: bool | None = None
    enable_incr_sync: bool | None = None
    enable_reverse_incr_transfer: bool | None = None
    struct_transfer_progress: Percentage | None = None
    full_transfer_progress: Percentage | None = None
    incr_sync_checkpoint: Number | None = None
    reverse_incr_transfer_checkpoint: Number | None = None

    def as_project_progress(self) -> ProjectProgress:
        """Convert to the field names of GetMigrationProgress."""
        return ProjectProgress(
            status=self.status,
            importance=self.alarm_level,
            current_step=self.current_step,
            enable_struct_migration=self.enable_struct_transfer,
            enable_full_migration=self.enable_full_transfer,
            enable_incr_sync=self.enable_incr_sync,
            enable_reverse_incr_sync=self.enable_reverse_incr_transfer,
            struct_migration_progress=self.struct_transfer_progress,
            full_migration_progress=self.full_transfer_progress,
            incr_sync_checkpoint=self.incr_sync_checkpoint,
            reverse_incr_sync_checkpoint=self.reverse_incr_transfer_checkpoint,
        )


class _TransferProgressResult(_Answer):
    data: _TransferProgress | None = None


class _SyncProgressResult(_Answer):
    data: _SyncProgress | None = None


class StepErrors(WireModel):
    """The error of a step."""

    error_code: str | None = None
    error_msg: str | None = None


class StepInfo(WireModel):
    """
    Details of a step.

    :ivar processed_records: number of copied or compared rows.
    :ivar dst_rps: rows a second, written to the destination.
    :ivar dst_iops: bytes a second, in spite of its name, likewise.
    :ivar incr_timestamp_checkpoint: position of the increment, in epoch seconds.
    :ivar checkpoint_sample_timestamp: epoch seconds of the sample, by OMS's own clock.
    """

    processed_records: Count | None = None
    dst_rps: Number | None = None
    dst_iops: Number | None = None
    incr_timestamp_checkpoint: Number | None = None
    checkpoint_sample_timestamp: Number | None = None


class ProjectStep(WireModel):
    """
    One step of a project.

    :ivar start_time: time in UTC, without a zone; so is ``finish_time``.
    """

    order: int | None = None
    name: Verbatim = None
    status: Verbatim = None
    progress: Percentage | None = None
    start_time: str | None = None
    finish_time: str | None = None
    extra_info: StepErrors | None = None
    step_info: StepInfo | None = None

    @property
    def checked_at(self) -> datetime | None:
        """Time of a verification: its end, else its start; OMS may not have ended the step."""
        return utc_time(self.finish_time) or utc_time(self.start_time)

    @property
    def is_full_verifier(self) -> bool:
        """True for the step of the full verification."""
        return (self.name or "").strip().upper() in ("FULL_VERIFIER", "FULL_VALIDATION")

    @property
    def rank(self) -> int:
        """Index in :data:`STEPS`, or -1."""
        return _RANKS.get((self.name or "").strip().upper(), -1)

    @property
    def error(self) -> str | None:
        """Error text of a failed step, else None."""
        if STEP_STATUSES.state_of(self.status) is not MigrationState.FAILED:
            return None
        return self.extra_info.error_msg if self.extra_info else None


class ProjectStepsResult(_Answer):
    """The response of DescribeProjectSteps."""

    data: list[ProjectStep] | None = None


class VerifiedTable(WireModel):
    """
    One table of the full verification.

    :ivar source_only_count: rows that only the source has; the next two are rows that only the destination
        has, and rows that differ.
    """

    source_table_name: str | None = None
    source_schema_name: str | None = None
    dest_schema_name: str | None = None
    source_only_count: Count | None = None
    dest_only_count: Count | None = None
    mismatched_count: Count | None = None
    status: Verbatim = None
    result_type: Verbatim = None

    @property
    def key(self) -> tuple[str | None, ...]:
        """The names that identify the table."""
        return self.source_schema_name, self.source_table_name, self.dest_schema_name

    @property
    def rows_different(self) -> int:
        """Number of rows that differ, as far as it is known."""
        return sum(filter(None, (self.source_only_count, self.dest_only_count, self.mismatched_count)))

    @property
    def result(self) -> VerificationState:
        """The result: consistent only if status, result and counts agree."""
        state = TABLE_STATUSES.state_of(self.status)
        result = TABLE_RESULTS.state_of(self.result_type)
        if self.rows_different or result is VerificationState.INCONSISTENT:
            return VerificationState.INCONSISTENT
        if state is MigrationState.FAILED:
            return VerificationState.FAILED
        if state is not MigrationState.SUCCEEDED:
            return VerificationState.RUNNING
        is_counted = None not in (self.source_only_count, self.dest_only_count, self.mismatched_count)
        is_empty = (self.result_type or "").strip().upper() == "BOTH_EMPTY"
        if result is VerificationState.CONSISTENT and not (is_counted or is_empty):
            return VerificationState.UNKNOWN
        return result

    def as_table_verification(self) -> TableVerification:
        """Convert to the form of a record."""
        return TableVerification(
            source=".".join(filter(None, (self.source_schema_name, self.source_table_name))),
            destination=self.dest_schema_name,
            # The word decides, so it is not redacted: show it only if it is a known one.
            result=self.result_type if self.result_type in _KNOWN_RESULTS else self.result.value,
            rows_different=self.rows_different,
        )


class VerifiedTables(WireModel):
    """
    ``data`` of ListProjectFullVerifyResult.

    :ivar different_number: number of tables that differ.
    """

    different_number: Count | None = None
    full_verify_table_statistics: tuple[VerifiedTable, ...] | None = None


class VerifiedTablesResult(_Answer):
    """
    The response of ListProjectFullVerifyResult.

    :ivar total_count: number of tables on all pages.
    """

    total_count: Count | None = None
    data: VerifiedTables | None = None


class ProjectLabel(WireModel):
    """A label of a project in the list."""

    name: str | None = None


class ProjectDetails(WireModel):
    """
    Details of a project in the list.

    :ivar sync_delay: delay of the increment, in a unit that OMS does not document.
    :ivar sync_delay_sample_timestamp: epoch seconds of its sample.
    :ivar incr_sync_timestamp: position of the increment, in epoch seconds.
    """

    running_step: Verbatim = None
    sync_delay: Number | None = None
    sync_delay_sample_timestamp: Number | None = None
    incr_sync_timestamp: Number | None = None


def _in_list(value: object) -> object:
    return value if value is None or isinstance(value, list) else [value]


class ListedProject(WireModel):
    """
    A project in the list. Its data sources are left out: no sensor needs them.

    :ivar type: one of :data:`PROJECT_TYPES`, or a type of a newer release.
    :ivar gmt_create: time in UTC, without a zone.
    """

    id: Verbatim = None
    name: str | None = None
    type: Verbatim = None
    status: Verbatim = None
    labels: Annotated[list[Annotated[ProjectLabel, KEEP_ITEM]] | None, BeforeValidator(_in_list)] = None
    gmt_create: str | None = None
    extra_info: ProjectDetails | None = None

    @property
    def has_readable_labels(self) -> bool:
        """True if each label has a name; a project may have none."""
        return all(label.name for label in self.labels or ())

    def lag(self, state: MigrationState, now: datetime) -> float | None:
        """
        Return the delay of the forward increment in seconds; None unless it is plausible.

        The unit is not documented, so the delay must agree with the position, where the row has one.
        """
        details = self.extra_info or ProjectDetails()
        is_forward = _RANKS.get((details.running_step or "").strip().upper()) == _FORWARD_RANK
        sampled_at = parse_timestamp(details.sync_delay_sample_timestamp, now)
        delay = details.sync_delay
        if state is not MigrationState.RUNNING or not is_forward or sampled_at is None or delay is None:
            return None
        if delay < 0 or abs((now - sampled_at).total_seconds()) > MAX_SAMPLE_AGE:
            return None
        position = parse_timestamp(details.incr_sync_timestamp, now)
        if position and abs((sampled_at - position).total_seconds() - delay) > MAX_SAMPLE_AGE:
            return None
        return delay


class ProjectPage(_Answer):
    """
    The response of ListProjects.

    :ivar total_count: number of projects on all pages; OMS's own description says pages.
    """

    total_count: Count | None = None
    data: list[Annotated[ListedProject, KEEP_ITEM]] | None = None


_AnyAnswer = TypeVar("_AnyAnswer", bound=_Answer)


def _read(request: Request[Any], response: Response) -> ProjectProgressResult:
    return _with_status(_checked(ProjectProgressResult, request, response), request, response)


def _read_transfer(request: Request[Any], response: Response) -> ProjectProgressResult:
    return _converted(_checked(_TransferProgressResult, request, response), request, response)


def _read_sync(request: Request[Any], response: Response) -> ProjectProgressResult:
    return _converted(_checked(_SyncProgressResult, request, response), request, response)


def _converted(
    answer: _TransferProgressResult | _SyncProgressResult, request: Request[Any], response: Response
) -> ProjectProgressResult:
    result = ProjectProgressResult(
        **answer.model_dump(exclude={"data", "error_detail"}),
        error_detail=answer.error_detail,
        data=answer.data.as_project_progress() if answer.data else None,
    )
    return _with_status(result, request, response)


def _with_status(
    result: ProjectProgressResult, request: Request[Any], response: Response
) -> ProjectProgressResult:
    """
    Return the response if it contains the status of the project.

    :raises MigrationResponseError: if not; the error is transient, because the next response may contain it.
    """
    if result.data is None or not (result.data.status or "").strip():
        text = "no status in the response"
        raise api_error(MigrationResponseError, request, response, text, request_id=result.request_id)
    return result


def _read_steps(request: Request[Any], response: Response) -> ProjectStepsResult:
    result = _checked(ProjectStepsResult, request, response)
    if result.data is None:
        text = "no steps in the response"
        raise api_error(MigrationResponseError, request, response, text, request_id=result.request_id)
    return result


def _read_tables(request: Request[Any], response: Response) -> VerifiedTablesResult:
    result = _checked(VerifiedTablesResult, request, response)
    tables = result.data or VerifiedTables()
    if None in (tables.different_number, tables.full_verify_table_statistics, result.total_count):
        text = "no counts in the response"
        raise api_error(MigrationResponseError, request, response, text, request_id=result.request_id)
    return result


def _read_projects(request: Request[Any], response: Response) -> ProjectPage:
    is_hosted = not isinstance(request.signer, BasicSigner)
    try:
        page = _checked(ProjectPage, request, response)
    except MigrationPermissionError as error:
        if is_hosted:
            error.add_hint(f"The RAM action is oceanbase:{LIST_API}.")
        raise
    except (MigrationNotFoundError, MigrationRequestError, MigrationResponseError) as error:
        if not is_hosted:
            error.add_hint(_NO_LIST)
        raise
    if page.total_count is None or not all(_is_id(project.id) for project in page.data or ()):
        text = "no count of projects in the response, or a project without a readable id"
        raise api_error(MigrationResponseError, request, response, text, request_id=page.request_id)
    return page


_NO_LIST: Final = (
    f"OMS has {LIST_API} from community edition 4.1.1 and enterprise edition 4.1.0 on: with an older "
    "console, give the ids of the projects."
)


def _is_id(text: str | None) -> bool:
    try:
        return bool(require_id("project_id", text))
    except MigrationConfigurationError:
        return False


def _checked(kind: type[_AnyAnswer], request: Request[Any], response: Response) -> _AnyAnswer:
    """
    Parse and check a response of a console or of Alibaba Cloud's gateway.

    :raises MigrationApiError: if the call was refused, whatever the HTTP status.
    """
    is_hosted = not isinstance(request.signer, BasicSigner)
    read_object = alibaba.gateway_object if is_hosted else json_object
    try:
        result = kind.read(read_object(request, response))
    except MigrationAuthenticationError as error:
        raise _with_expiry(request, error) from None
    by_status = error_by_status(response.status)
    has_data = getattr(result, "data", None) is not None
    if not by_status and (result.success or (result.success is None and has_data)):
        return result.model_copy(update={"answered_at": response.date})
    code = own_code(response, result.code, (result.error_detail or ErrorDetail()).code)
    shown = response.redact(result)
    said = (shown.error_detail or ErrorDetail()).said(shown.message, shown.advice)
    otherwise = MigrationServiceError if code or result.success is False else MigrationResponseError
    codes = (*ERRORS, *alibaba.ERRORS) if is_hosted else ERRORS
    problem = api_error(
        error_by_code(codes, code) or by_status or otherwise,
        request,
        response,
        said or "no data in the response",
        code=code,
        request_id=result.request_id,
    )
    if is_hosted:
        problem = alibaba.with_advice(problem, code, response.date)
    raise _with_expiry(request, problem)


def _with_expiry(request: Request[Any], error: MigrationApiError) -> MigrationApiError:
    """
    Add the likely cause to the error for a refused password.

    The body of OMS's own refusal is not documented, so a 401 without a code cannot be distinguished from that
    of a proxy: a running wait retries the old password until ``max_poll_errors`` polls have failed.
    """
    if isinstance(error, MigrationAuthenticationError) and isinstance(request.signer, BasicSigner):
        error.add_hint(
            "Passwords of OMS expire after 90 days, unless its parameter "
            "oms.user.password.expiration.date.config says otherwise: log in to the console as this user."
        )
    return error


@dataclass(slots=True)
class _Refusal:
    """
    A refusal of the steps of a project.

    :ivar warning: text for the user.
    :ivar since: time of the last call; while not permanent, of the first refusal.
    :ivar is_standing: permanent: the call backs off, and the verdict is made without it.
    """

    warning: str
    since: datetime
    is_standing: bool


@dataclass(frozen=True, slots=True)
class _Counted:
    """
    The result of a full verification.

    :ivar step: the step that it belongs to.
    :ivar different: the number of different tables, as OMS gives it.
    :ivar read_at: time of the reading.
    """

    step: ProjectStep
    different: int
    read_at: datetime
    verification: Verification

    @property
    def is_clean(self) -> bool:
        """True if no table differs, by a run of the step that has its own times."""
        has_times = bool(self.step.start_time and self.step.finish_time)
        return has_times and self.verification.state is VerificationState.CONSISTENT


@dataclass(slots=True)
class _Memory:
    """
    Facts about a console or account that are cached between polls.

    :ivar refusals: by project.
    :ivar older_calls: by project, :data:`PROGRESS_API` or :data:`SYNC_API`, whichever has found it.
    :ivar has_moved_on: true if the console has only the newer call.
    :ivar verified: by project, the last result of its full verification.
    """

    refusals: dict[str, _Refusal] = field(default_factory=dict)
    older_calls: dict[str, str] = field(default_factory=dict)
    has_moved_on: bool = False
    verified: dict[str, _Counted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Steps:
    """
    The steps of a project, as far as they could be read.

    :ivar items: the steps; empty if there are none or they cannot be read.
    :ivar answered_at: the service's own time, or None.
    :ivar is_read: true if the steps were read at this poll.
    :ivar is_needed: true if the increment's step must confirm that the project is caught up.
    :ivar warnings: for the record.
    """

    items: Sequence[ProjectStep] = ()
    answered_at: datetime | None = None
    is_read: bool = False
    is_needed: bool = False
    warnings: tuple[str, ...] = ()


class _Projects(ABC):
    """The projects of a console or of a cloud account."""

    __slots__ = ()

    clock: Callable[[], datetime]
    memory: _Memory

    @abstractmethod
    def console_url_of(self, project_id: str) -> str:
        """Return the console page that shows a project."""

    @abstractmethod
    def project_progress(self, project_id: str) -> Flow[ProjectProgressResult]:
        """Get the progress of a project with the call that matches its id."""

    @abstractmethod
    def _request_action(
        self,
        action: str,
        read: Callable[[Request[Any], Response], _T],
        *,
        asked_for: str = "",
        **parameters: str | int,
    ) -> Request[_T]:
        """Make the request of an action; the names of its parameters are those of a console."""

    def describe_project_progress(self, project_id: str) -> Flow[ProjectProgressResult]:
        """Get the progress of a project (OMS 4.1.1 or newer)."""
        project = require_id("project_id", project_id)
        return (
            yield from send(self._request_action(ACTION_API, _read_transfer, asked_for=project, id=project))
        )

    def describe_project_steps(self, project_id: str) -> Flow[ProjectStepsResult]:
        """Get the steps of a project (OMS 4.1.1 or newer)."""
        project = require_id("project_id", project_id)
        return (
            yield from send(
                self._request_action("DescribeProjectSteps", _read_steps, asked_for=project, id=project)
            )
        )

    def list_project_full_verify_result(
        self, project_id: str, page_number: int = 1
    ) -> Flow[VerifiedTablesResult]:
        """Get a page of the tables of the full verification (OMS 4.1.1 or newer)."""
        return (yield from send(self._request_result(project_id, page_number)))

    def _request_result(self, project_id: str, page_number: int) -> Request[VerifiedTablesResult]:
        project = require_id("project_id", project_id)
        return self._request_action(
            RESULT_API,
            _read_tables,
            asked_for=project,
            projectId=project,
            pageNumber=page_number,
            pageSize=MAX_TABLES,
        )

    def list_migrations(self, listing: MigrationListing) -> Flow[list[MigrationSummary]]:
        """
        Get the next page of a list of projects; its ``tags`` are the names of labels, with the value "".

        Only the type is filtered by OMS: the other filters of ListProjects are documented in two ways, and a
        search that is stricter than ours would hide projects.
        """
        part = listing.part
        page = yield from send(
            self._request_action(
                LIST_API, _read_projects, type=part, pageNumber=listing.page, pageSize=LIST_PAGE
            )
        )
        projects, now = page.data or [], page.answered_at or self.clock()
        if listing.selection.tags and not all(project.has_readable_labels for project in projects):
            raise MigrationResponseError(
                f"The list of projects cannot be filtered by labels: a project on page {listing.page} of "
                f"type {part} has a label without a name. Filter by name or status instead."
            )
        rows = [
            (_summary(project, part, now), {label.name or "": "" for label in project.labels or ()})
            for project in projects
        ]
        return listing.take(rows, received=len(rows), total=page.total_count)

    def _has_steps(self, project_id: str) -> bool:
        """Tell whether there is a call for the steps of a project."""
        return True

    def _verification(
        self, project_id: str, steps: _Steps, state: MigrationState
    ) -> Flow[tuple[Verification, tuple[str, ...]]]:
        """Get the result of the full verification with the counts of its tables, and warnings."""
        if not self._has_steps(project_id):
            return Verification(state=VerificationState.NOT_CONFIGURED), ()
        found = _verification(steps) or Verification(state=VerificationState.UNKNOWN)
        step = _full_verifier(steps.items)
        if step is None or not _has_compared(step) or found.state is VerificationState.RUNNING:
            return found, ()
        try:
            counted = yield from self._count_tables(project_id, step, state)
        except MigrationApiError as error:
            right = f"oceanbase:{RESULT_API}" if isinstance(self, HostedOmsApi) else "the role ADMIN-VIEWER"
            unknown = found.model_copy(update={"state": VerificationState.UNKNOWN})
            return unknown, (unread_verification(error, right),)
        if counted is None:
            return found, ()
        if found.state is VerificationState.FAILED and counted.state is not VerificationState.INCONSISTENT:
            counted = counted.model_copy(update={"state": VerificationState.FAILED})
        return counted, ()

    def _count_tables(
        self, project_id: str, step: ProjectStep, state: MigrationState
    ) -> Flow[Verification | None]:
        """
        Count the tables of a verification that has ended.

        A clean result is read once for each run of the step, which has its own start and end. Any other
        result is read at each poll, because single tables may have been verified again. Of a result with
        several pages, each poll reads the first; the others are read every :data:`READ_AGAIN_AFTER` at most,
        and when the number of differences changes.
        None if the rate limiter skips the call.
        """
        known = self.memory.verified.get(project_id)
        if known is not None and known.step != step:
            known = None
        if known is not None and known.is_clean:
            return known.verification
        tables: dict[tuple[str | None, ...], _Result] = {}
        different = total = 0
        is_needed, now = state in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED), self.clock()
        for page in range(1, MAX_PAGES + 1):
            request = self._request_result(project_id, page)
            result = yield from (send(request) if is_needed or page > 1 else send_optional(request))
            if result is None:
                return known.verification if known else None
            data = result.data or VerifiedTables()
            different = max(different, data.different_number or 0)
            total = max(total, result.total_count or 0)
            before = len(tables)
            for row in data.full_verify_table_statistics or ():
                # A table may move to the next page while its result changes: the worse one counts.
                judged = row.result, row
                if row.key not in tables or judged[0] is not VerificationState.CONSISTENT:
                    tables[row.key] = judged
            if len(tables) >= total or len(tables) == before:
                break
            is_same = known is not None and known.different == different
            if is_same and known is not None and abs(now - known.read_at) < READ_AGAIN_AFTER:
                return known.verification
        counted = _counted(step, tuple(tables.values()), different, total)
        cache_put(self.memory.verified, project_id, _Counted(step, different, now, counted))
        return counted

    def _steps(self, project_id: str, state: MigrationState, *, is_wanted: bool) -> Flow[_Steps]:
        """
        Get the steps of a project in progress; they are optional for the record.

        :param is_wanted: get those of a finished project too, for its verification.

        After a permanent refusal (no permission, no such call) the lag by the service's time decides alone,
        as with the older call, which has no steps: the checkpoint of a failed increment stands still, so its
        lag grows past ``max_lag``. After a transient error the project is not caught up at this poll. A
        refusal without OMS's own code, and an authentication error right after a successful progress call,
        count as transient at first and as permanent if they recur half a minute later.
        """
        on_its_way = {MigrationState.RUNNING, MigrationState.PAUSED, MigrationState.FAILED}
        if is_wanted:
            on_its_way.add(MigrationState.SUCCEEDED)
        if state not in on_its_way or not self._has_steps(project_id):
            return _Steps()
        refusals, now = self.memory.refusals, self.clock()
        known = refusals.get(project_id)
        if known and known.is_standing and abs(now - known.since) < ASK_AGAIN_AFTER:
            return _Steps(warnings=(known.warning,))
        try:
            result = yield from self.describe_project_steps(project_id)
        except MigrationApiError as error:
            effect = (
                "The project does not count as caught up at this poll."
                if error.is_transient
                else "The record has no details of the steps; give the account the right to call "
                "DescribeProjectSteps, or let the call through."
            )
            warning = f"The steps of OMS project {project_id} could not be read: {error} {effect}"
            if error.is_transient:
                refusals.pop(project_id, None)
                return _Steps(is_needed=True, warnings=(warning,))
            may_pass = error.tolerated_after_success or isinstance(error, MigrationAuthenticationError)
            since = known.since if known else now
            stood = known is not None and (known.is_standing or now - since >= _STANDS_AFTER)
            is_standing = not may_pass or stood
            refusals.pop(project_id, None)
            refusals[project_id] = _Refusal(warning, now if is_standing else since, is_standing)
            if len(refusals) > _MOST_REFUSALS:
                del refusals[next(iter(refusals))]
            return _Steps(is_needed=not is_standing, warnings=(warning,))
        refusals.pop(project_id, None)
        return _Steps(result.data or (), result.answered_at, is_read=True, is_needed=True)

    def progress(
        self, project_id: str, *, max_lag: float, verification: bool = False
    ) -> Flow[MigrationProgress]:
        """
        Get the progress of a project, with its steps where available, as a record.

        :param verification: count the tables of the full verification, which takes a call per 100 tables.
        """
        project_id = require_id("project_id", project_id)
        result = yield from self.project_progress(project_id)
        asked_at = self.clock()  # the time of the deciding call: the steps may take a while
        project = result.data or ProjectProgress()
        state = STATUSES.state_of(project.status)
        steps = yield from self._steps(project_id, state, is_wanted=verification)
        now = self.clock()
        rank = _RANKS.get((project.current_step or "").strip().upper(), -1)
        increment = _increment(steps.items, rank)
        reported_at = result.answered_at or asked_at
        checkpoint = _checkpoint(project, rank, reported_at)
        lag = None
        if checkpoint and state is MigrationState.RUNNING:
            until, checkpoint = _measured(
                increment, checkpoint, reported_at, steps.answered_at or result.answered_at, now
            )
            lag = max((until - checkpoint).total_seconds(), 0.0)
        phases = tuple(_phases(project, rank, state, steps.items))
        warnings = steps.warnings
        is_in_sync = (
            (project.status or "").strip().upper() == "RUNNING"  # its objects are not being changed
            and _is_enabled(project.enable_incr_sync, rank >= _FORWARD_RANK)
            and rank >= _FORWARD_RANK
            and project.is_bulk_done
            and lag is not None
            and lag <= max_lag
        )
        if (
            is_in_sync
            and steps.is_needed
            and (step := STEP_STATUSES.state_of(increment.status)) not in _UNDER_WAY
        ):
            is_in_sync = False
            if step is MigrationState.UNKNOWN and not warnings:
                warnings = (
                    f"DescribeProjectSteps does not say if the increment of OMS project {project_id} runs "
                    f"(status {clean_text(increment.status, 64)!r} of its step), so the project does not "
                    "count as caught up. Look at the project in the console. To rely on the checkpoint "
                    "alone, set api to the older call, if the console has it.",
                )
        if is_in_sync:
            state = MigrationState.CAUGHT_UP
            phases = tuple(
                phase.model_copy(update={"state": state}) if phase.state is MigrationState.RUNNING else phase
                for phase in phases
            )
        check = _verification(steps)
        if verification:
            check, unread = yield from self._verification(project_id, steps, state)
            warnings = (*warnings, *unread)
        return MigrationProgress(
            service=SERVICE,
            migration_id=project_id,
            state=state,
            service_status=project.status,
            percent=bulk_percent(phases),
            phases=phases,
            lag_seconds=lag,
            checkpoint=checkpoint,
            applied_until=_applied_until(project, rank, state, checkpoint, reported_at),
            error=_error(result, project, steps.items) if state is MigrationState.FAILED else None,
            verification=check,
            verification_remedy=_check_remedy(check, has_steps=self._has_steps(project_id)),
            recheck_since=reported_at if state in _STANDING_STILL and _has_result(steps.items) else None,
            is_rechecking=_is_verifying(steps.items),
            throughput=_throughput(state, steps.items),
            observed_at=asked_at,
            request_id=result.request_id,
            console_url=self.console_url_of(project_id),
            statuses_reached=_statuses_reached(
                project, rank, steps.items, is_unread=steps.is_needed and bool(steps.warnings)
            ),
            warnings=warnings,
        )


@dataclass(slots=True, kw_only=True)
class OmsApi(_Projects):
    """
    An OMS console, as one of its users sees it.

    :param endpoint: scheme, host and port, such as ``http://oms.example:8089``.
    :param api: the call for the progress of a project, one of :data:`APIS`; default: by the form of the id.
    """

    endpoint: str
    signer: BasicSigner = field(repr=False)
    api: str | None = None
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)
    memory: _Memory = field(default_factory=_Memory, init=False, repr=False, compare=False)

    def console_url_of(self, project_id: str) -> str:
        """Return the list of projects of a newer console, else the console itself."""
        return f"{self.endpoint}/{'oms-v2/migration' if self._has_steps(project_id) else ''}"

    def get_migration_progress(self, project_id: str) -> Flow[ProjectProgressResult]:
        """Get the progress of a migration project (OMS 4.1.0 or older)."""
        return self._older_progress(require_id("project_id", project_id), PROGRESS_API)

    def get_sync_progress(self, project_id: str) -> Flow[ProjectProgressResult]:
        """Get the progress of a synchronization project (OMS 4.1.0 or older)."""
        return self._older_progress(require_id("project_id", project_id), SYNC_API)

    def _older_progress(self, project: str, action: str) -> Flow[ProjectProgressResult]:
        """Get the progress with one of the older calls, and remember the one that finds the project."""
        path, read = ("sync", _read_sync) if action == SYNC_API else ("migrations", _read)
        result = yield from send(
            Request(
                service=SERVICE,
                action=action,
                method="GET",
                url=f"{self.endpoint}/api/omsp/v2/{path}/{quote(project, safe='')}/progress",
                headers={"accept": "application/json"},
                read=read,
                signer=self.signer,
                asked_for=project,
            )
        )
        cache_put(self.memory.older_calls, project, action)
        return result

    def _has_steps(self, project_id: str) -> bool:
        is_newer = self.memory.has_moved_on or project_id.startswith("np_")
        return (self.api or (ACTION_API if is_newer else PROGRESS_API)) == ACTION_API

    def project_progress(self, project_id: str) -> Flow[ProjectProgressResult]:
        """
        Get the progress of a project with the configured call, else with the call that matches its id.

        A console that was upgraded past 4.1.0 may no longer have the calls of its old ids. After a 404
        without OMS's own code, the newer call is tried, and used from then on once it has succeeded. The
        older releases have a call for each type of project: an id that the first does not know is looked up
        with the second, and the one that finds it is used from then on.
        """
        project_id = require_id("project_id", project_id)
        if self._has_steps(project_id):
            try:
                return (yield from self.describe_project_progress(project_id))
            except MigrationNotFoundError:
                self.memory.has_moved_on = False
                raise
        known = self.memory.older_calls.get(project_id)
        refusal: MigrationApiError
        try:
            return (yield from self._older_progress(project_id, known or PROGRESS_API))
        except (MigrationNotFoundError, MigrationRequestError) as error:
            if isinstance(error, MigrationRequestError) and not error.code:
                raise  # not by OMS itself
            refusal = error
        if not refusal.code and not self.api:
            try:
                result = yield from self.describe_project_progress(project_id)
            except MigrationNotFoundError as error:
                error.add_hint(
                    f"Neither {PROGRESS_API} nor {ACTION_API} finds it. Name the call that the console "
                    f"has: api='{PROGRESS_API}' up to OMS 4.1.0, api='{ACTION_API}' from 4.1.1 on."
                )
                # The 404 that led here did not come from OMS.
                error.tolerated_after_success = True
                if error.code:
                    raise  # by OMS itself, whose newer call serves both types of projects
                refusal = error
            else:
                self.memory.has_moved_on = True
                return result
        if known is None:
            try:
                return (yield from self._older_progress(project_id, SYNC_API))
            except MigrationApiError as error:
                if error.is_transient:
                    raise
            refusal.add_hint(f"{SYNC_API}, the call for synchronization projects, does not find it either.")
        raise refusal

    def _request_action(
        self,
        action: str,
        read: Callable[[Request[Any], Response], _T],
        *,
        asked_for: str = "",
        **parameters: str | int,
    ) -> Request[_T]:
        return Request(
            service=SERVICE,
            action=action,
            method="POST",
            url=f"{self.endpoint}/api/v2?Action={action}",
            headers={"accept": "application/json", "content-type": "application/json"},
            body=json.dumps(parameters).encode(),
            read=read,
            signer=self.signer,
            asked_for=asked_for,
        )


@dataclass(slots=True, kw_only=True)
class HostedOmsApi(_Projects, AlibabaApi):
    """OMS hosted by Alibaba Cloud, as one account sees it in one region."""

    memory: _Memory = field(default_factory=_Memory, init=False, repr=False, compare=False)

    def console_url_of(self, project_id: str) -> str:
        """Return the console of ApsaraDB for OceanBase; no address of a project is documented."""
        return "https://oceanbase.console.aliyun.com/"

    def project_progress(self, project_id: str) -> Flow[ProjectProgressResult]:
        """Get the progress of a project."""
        return self.describe_project_progress(project_id)

    def _request_action(
        self,
        action: str,
        read: Callable[[Request[Any], Response], _T],
        *,
        asked_for: str = "",
        **parameters: str | int,
    ) -> Request[_T]:
        form = {f"{name[0].upper()}{name[1:]}": str(value) for name, value in parameters.items()}
        return self._request(SERVICE, VERSION, action, read, form=form, asked_for=asked_for)


def list_of(selection: MigrationFilter) -> MigrationListing:
    """
    Return the paging state of a list of projects.

    :raises MigrationConfigurationError: for a filter that OMS does not have.
    """
    if selection.group is not None:
        raise MigrationConfigurationError(
            "group must be None: OMS has no groups of projects. Filter by name, status or tags (its labels)."
        )
    for label, value in selection.tags.items():
        if value:
            raise MigrationConfigurationError(
                f"Labels of OMS have no value: write tags={{{label!r}: ''}} for the label {label!r}, not "
                f"{value!r}."
            )
    return MigrationListing(selection, PROJECT_TYPES)


def _summary(project: ListedProject, part: str, now: datetime) -> MigrationSummary:
    state = STATUSES.state_of(project.status)
    return MigrationSummary(
        service=SERVICE,
        migration_id=require_id("project_id", project.id),
        name=project.name,
        kind=(project.type or "").strip().lower() or part.lower(),
        state=state,
        service_status=project.status,
        lag_seconds=project.lag(state, now),
        created_at=utc_time(project.gmt_create),
    )


NO_OBJECTS: Final = (
    "no call of OMS lists the progress of single tables while they are copied. The record's phases have the "
    "progress of all tables together."
)
"""
OMS lists single tables only in ListProjectFullVerifyResult, whose progress is that of the comparison, which
begins when the copy is done; it belongs to the record's verification.
"""


def check_objects(objects: object) -> None:
    """
    Validate the argument ``objects``.

    :raises MigrationConfigurationError: for anything but False.
    """
    if objects is not False:
        raise MigrationConfigurationError(f"objects must be False, not {objects!r}: {NO_OBJECTS}")


def hosted_endpoint_of(region: str) -> str:
    """Return the host of OceanBasePro in a region, by the rule of the official SDK (``regional``)."""
    return f"oceanbasepro.{region}.aliyuncs.com"


def _increment(steps: Sequence[ProjectStep], rank: int) -> ProjectStep:
    """Return the step of the current increment, or an empty one if OMS lists none."""
    current = _REVERSE_RANK if rank >= _REVERSE_RANK else _FORWARD_RANK
    return next((step for step in steps if step.rank == current), None) or ProjectStep()


def _measured(
    increment: ProjectStep,
    checkpoint: datetime,
    reported_at: datetime,
    service_time: datetime | None,
    our_time: datetime,
) -> tuple[datetime, datetime]:
    """
    Return the service's time and the checkpoint, whose difference is the lag.

    A sample contains both by OMS's own clock. If the ``Date`` header reveals the age of a sample, the age is
    added to the lag, because the time since is unknown. A sample that is too old (by the service's time, else
    by this machine's) is ignored in favour of the project's checkpoint. The project's checkpoint is also used
    if the sample's is far ahead of it: of two different ones, the older one is safe.

    :param reported_at: time of the response with the project's checkpoint.
    :param service_time: time of the response with the sample by the service's clock, or None.
    """
    info = increment.step_info or StepInfo()
    reference = service_time or our_time
    sampled_at = parse_timestamp(info.checkpoint_sample_timestamp, reference)
    sample = parse_timestamp(info.incr_timestamp_checkpoint, reference)
    if sampled_at is None or sample is None:
        return reported_at, checkpoint
    if (reference - sampled_at).total_seconds() > MAX_SAMPLE_AGE:
        return reported_at, checkpoint
    until = max(sampled_at, service_time or sampled_at)
    is_behind = (sample - checkpoint).total_seconds() > MAX_SAMPLE_AGE
    return until, checkpoint if is_behind else sample


def _checkpoint(project: ProjectProgress, rank: int, now: datetime) -> datetime | None:
    # In the reverse phase the forward checkpoint is frozen.
    if rank >= _REVERSE_RANK:
        is_enabled, checkpoint = project.enable_reverse_incr_sync, project.reverse_incr_sync_checkpoint
    elif rank >= _FORWARD_RANK:
        is_enabled, checkpoint = project.enable_incr_sync, project.incr_sync_checkpoint
    else:
        return None
    return parse_timestamp(checkpoint, now) if _is_enabled(is_enabled, True) else None


def _applied_until(
    project: ProjectProgress, rank: int, state: MigrationState, checkpoint: datetime | None, now: datetime
) -> datetime | None:
    """
    Return the checkpoint of the forward increment, also where it is frozen: past it and at the end.

    Of the project's checkpoint and that of the step's sample, the older one is a proof.

    :param checkpoint: the one by which the lag is judged.
    """
    is_begun = (rank >= _FORWARD_RANK and project.is_bulk_done) or state is MigrationState.SUCCEEDED
    if not is_begun or not _is_enabled(project.enable_incr_sync, True):
        return None
    saved = parse_timestamp(project.incr_sync_checkpoint, now)
    if saved and checkpoint and _FORWARD_RANK <= rank < _REVERSE_RANK:
        return min(saved, checkpoint)
    return saved


def _throughput(state: MigrationState, steps: Sequence[ProjectStep]) -> Throughput | None:
    """Return the speed of the full copy while it runs: afterwards its last figures stay."""
    running = (
        step.step_info
        for step in steps
        if step.rank == _RANKS["FULL_MIGRATION"]
        and STEP_STATUSES.state_of(step.status) is MigrationState.RUNNING
    )
    info = next(running, None) if state is MigrationState.RUNNING else None
    return throughput_of(info.dst_rps, info.dst_iops) if info else None


def _full_verifier(steps: Sequence[ProjectStep]) -> ProjectStep | None:
    """Return the step of the full verification; of several one that has not ended."""
    return min((step for step in steps if step.is_full_verifier), key=_has_compared, default=None)


def _has_result(steps: Sequence[ProjectStep]) -> bool:
    """Tell whether the full verification has compared everything, even if it is paused since."""
    step = _full_verifier(steps)
    return step is not None and (_has_compared(step) or step.progress == 100)


def _is_verifying(steps: Sequence[ProjectStep]) -> bool:
    """Tell whether the full verification is running."""
    step = _full_verifier(steps)
    is_running = step is not None and STEP_STATUSES.state_of(step.status) is MigrationState.RUNNING
    return is_running and step is not None and not _has_compared(step)


def _has_compared(step: ProjectStep) -> bool:
    """Tell whether the full verification has ended: at 100 % it still runs until a person goes on."""
    state = STEP_STATUSES.state_of(step.status)
    return state in (MigrationState.SUCCEEDED, MigrationState.FAILED) or (
        state is MigrationState.RUNNING and step.progress == 100
    )


_VERIFIER_STATES: Final = {
    MigrationState.PENDING: VerificationState.PENDING,
    MigrationState.RUNNING: VerificationState.RUNNING,
    MigrationState.PAUSED: VerificationState.RUNNING,
    MigrationState.SUCCEEDED: VerificationState.UNKNOWN,
    MigrationState.FAILED: VerificationState.FAILED,
}
"""States of the full verification by those of its step; its end does not say that it found no differences."""


def _verification(steps: _Steps) -> Verification | None:
    """Return the result of the full verification as far as its step tells; None if no steps are known."""
    if not steps.is_read or not any(step.rank >= 0 for step in steps.items):
        return None
    step = _full_verifier(steps.items)
    if step is None:
        return Verification(state=VerificationState.NOT_CONFIGURED)
    if _is_older_than_copy(step, steps.items):
        return Verification(state=VerificationState.RUNNING, percent=step.progress)
    state = _VERIFIER_STATES.get(STEP_STATUSES.state_of(step.status), VerificationState.UNKNOWN)
    if state is VerificationState.RUNNING and _has_compared(step):
        state = VerificationState.UNKNOWN
    return Verification(state=state, percent=step.progress, checked_at=step.checked_at)


def _is_older_than_copy(step: ProjectStep, steps: Sequence[ProjectStep]) -> bool:
    """Tell whether existing data was copied, or is being copied, after a verification began."""
    began = utc_time(step.start_time)
    copies = [each for each in steps if each.rank == _RANKS["FULL_MIGRATION"]]
    if any(STEP_STATUSES.state_of(each.status) is not MigrationState.SUCCEEDED for each in copies):
        return _has_compared(step)
    ends = [utc_time(each.finish_time) for each in copies]
    return began is not None and any(end is not None and end > began for end in ends)


_Result = tuple[VerificationState, VerifiedTable]
"""A table with its result, judged page by page: for thousands at once it would block the event loop."""


def _counted(step: ProjectStep, tables: Sequence[_Result], different: int, total: int) -> Verification:
    """Return the result of a full verification by its tables."""
    by_result: dict[VerificationState, list[VerifiedTable]] = {}
    for result, table in tables:
        by_result.setdefault(result, []).append(table)
    wrong = by_result.get(VerificationState.INCONSISTENT, [])
    failed = by_result.get(VerificationState.FAILED, [])
    equal = by_result.get(VerificationState.CONSISTENT, [])
    worst = sorted((*wrong, *failed), key=lambda table: -table.rows_different)
    found = Verification.ended(
        percent=step.progress,
        tables_total=max(total, len(tables)),
        tables_compared=len(equal) + len(wrong),
        tables_different=max(different, len(wrong)),
        tables_failed=len(failed),
        rows_different=sum(table.rows_different for table in wrong) if len(wrong) >= different else None,
        worst=worst_tables(table.as_table_verification() for table in worst[:MAX_WORST]),
        checked_at=step.checked_at,
    )
    if VerificationState.RUNNING in by_result and found.state is not VerificationState.INCONSISTENT:
        return found.model_copy(update={"state": VerificationState.RUNNING})
    return found


_CHECK_REMEDIES: Final = {
    VerificationState.NOT_CONFIGURED: (
        "Full verification can be chosen only when a project is created: create a project with full "
        "verification, or wait for another target."
    ),
    VerificationState.INCONSISTENT: (
        "Look at the full verification of the project in the OMS console, repair the tables, and repeat the "
        "verification there."
    ),
    VerificationState.FAILED: (
        "Look at the full verification of the project in the OMS console, remove the cause, and restart the "
        "verification there."
    ),
}


def _check_remedy(check: Verification | None, *, has_steps: bool) -> str | None:
    if check is None:
        return None
    if not has_steps:
        return (
            "This API of OMS does not return the result of the full verification: use OMS 4.1.1 or newer and "
            f"api='{ACTION_API}', or wait for another target."
        )
    return _CHECK_REMEDIES.get(check.state)


def _is_enabled(flag: bool | None, is_evident: bool) -> bool:
    """Return OMS's own flag of a phase, else the evidence."""
    return is_evident if flag is None else flag


def _phases(
    project: ProjectProgress, rank: int, state: MigrationState, steps: Sequence[ProjectStep]
) -> Iterable[Phase]:
    step = (project.current_step or "").strip() or None
    current = STEPS[rank][0] if rank >= 0 else None
    phases = [
        ("precheck", True, None),
        ("structure", project.enable_struct_migration, project.struct_migration_progress),
        ("full", project.enable_full_migration, project.full_migration_progress),
        ("incremental", project.enable_incr_sync, None),
        ("reverse_incremental", project.enable_reverse_incr_sync, None),
    ]
    names = [name for name, _ in STEPS]
    for name, flag, percent in phases:
        here = name == current
        if not _is_enabled(flag, here or percent is not None):
            continue
        if name in BULK_PHASES:
            phase_state = _bulk_state(percent, here, state)
        elif state is MigrationState.SUCCEEDED or rank > max(
            i for i, other in enumerate(names) if other == name
        ):
            phase_state = MigrationState.SUCCEEDED
        elif here:
            phase_state = state
        else:
            is_ahead = rank >= 0 or state is MigrationState.PENDING
            phase_state = MigrationState.PENDING if is_ahead else MigrationState.UNKNOWN
        # A verification that has failed is not a failure of the increment.
        own = [
            each
            for each in steps
            if each.rank >= 0 and names[each.rank] == name and each.rank != _VERIFIER_RANK
        ]
        copied = [each.step_info.processed_records for each in own if name == "full" and each.step_info]
        yield interned_phase(
            name=name,
            state=phase_state,
            service_status=step if here and rank != _VERIFIER_RANK else None,
            percent=100 if phase_state is MigrationState.SUCCEEDED and name in BULK_PHASES else percent,
            done=next((count for count in copied if count is not None), None),
            error=next(filter(None, (each.error for each in own)), None),
        )


def _bulk_state(percent: float | None, here: bool, state: MigrationState) -> MigrationState:
    # A project that has failed or is paused in this phase has not passed it, whatever the progress.
    if here and state in _STANDING_STILL:
        return state
    # Progress decides, not the step: a phase before the current step may still be incomplete.
    if percent == 100 or state is MigrationState.SUCCEEDED:
        return MigrationState.SUCCEEDED
    if here:
        return state
    return MigrationState.RUNNING if percent is not None and 0 < percent < 100 else MigrationState.PENDING


def _statuses_reached(
    project: ProjectProgress, rank: int, steps: Sequence[ProjectStep], *, is_unread: bool = False
) -> frozenset[str]:
    """
    Return the status words and steps that a project has passed, or is in without a problem.

    A step in which the project, or the step itself, has failed or is paused is not reached; earlier steps
    are. A released project, or one of unknown status, proves no step; a finished one proves all enabled
    steps.

    :param is_unread: true if the steps could not be read at this poll: the current one may have stopped.
    """
    state = STATUSES.state_of(project.status)
    is_running = state is MigrationState.RUNNING
    words = up_to(STATUS_ORDER, "RUNNING" if is_running else project.status)
    words |= up_to((), project.status)
    stands_still = any(
        step.rank == rank and STEP_STATUSES.state_of(step.status) in _STANDING_STILL for step in steps
    )
    passed: Iterable[int] = range(rank)
    if state is MigrationState.SUCCEEDED:
        passed = (each for each in range(len(STEPS)) if _is_step_enabled(project, each))
    elif state in (MigrationState.CANCELLED, MigrationState.UNKNOWN):
        passed = ()
    elif is_running and not stands_still and not is_unread:
        passed = range(rank + 1)
    return words | {word.lower() for each in passed for word in STEPS[each][1]}


def _is_step_enabled(project: ProjectProgress, rank: int) -> bool:
    """Tell whether a step is enabled, by the project's flags; checks and switch-over always are."""
    flags = {
        _RANKS["STRUCT_MIGRATION"]: project.enable_struct_migration,
        _RANKS["INCR_LOG_PULL"]: project.enable_incr_sync,
        _RANKS["FULL_MIGRATION"]: project.enable_full_migration,
        _RANKS["INDEX_MIGRATION"]: project.enable_full_migration,
        _FORWARD_RANK: project.enable_incr_sync,
        _REVERSE_RANK: project.enable_reverse_incr_sync,
    }
    return flags.get(rank) is not False


def _error(
    result: ProjectProgressResult, project: ProjectProgress, steps: Sequence[ProjectStep]
) -> MigrationErrorInfo:
    detail = result.error_detail or ErrorDetail()
    failed = "; ".join(f"{step.name}: {step.error}" for step in steps if step.error)
    return MigrationErrorInfo(
        code=detail.code or project.status,
        message=failed
        or detail.model_copy(update={"proposal": None}).said()
        or f"OMS reports {project.status}"
        + (f" at step {project.current_step}." if project.current_step else " and gives no reason."),
        remedy=detail.proposal
        or "Open the project in the OMS console, remove the cause, and resume the failed project there.",
    )
