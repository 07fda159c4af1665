"""
OceanBase Migration Service, in three forms that tell the same of a project.

- ``GET /api/omsp/v2/migrations/{projectId}/progress`` of a console, ids ``p_…``. Source: OMS community
  edition 3.3.0 to 4.1.0, API reference.
- ``POST /api/v2?Action=DescribeProjectProgress`` of a console, ids ``np_…``; DescribeProjectSteps tells more.
  Source: https://en.oceanbase.com/docs/community-oms-en-10000000001658106, from 4.1.1 on.
- The same two actions of the service that Alibaba Cloud hosts (OceanBasePro, 2019-09-01). Source:
  https://alibabacloud.com/help/zh/apsaradb-for-oceanbase/latest/api-oceanbasepro-2019-09-01-describeprojectprogress.

The answer says whether it succeeded in ``success``, with HTTP 200 in either case. The step names are those of
OMS's own enumeration.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.conversation import Conversation, Request, Response
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
)
from airflow_provider_migration.progress import (
    BULK_PHASES,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    Phase,
    bulk_percent,
    known_phase,
)
from airflow_provider_migration.services import alibaba
from airflow_provider_migration.services.alibaba import AlibabaApi
from airflow_provider_migration.services.wire import (
    Count,
    Number,
    Percentage,
    StatusTable,
    WireModel,
    api_error,
    at_or_before,
    error_by_code,
    error_by_status,
    instant,
    json_object,
    require,
    utc_now,
)

SERVICE: Final = "oms"
VERSION: Final = "2019-09-01"
"""Of the API that Alibaba Cloud hosts."""

PROGRESS_API: Final = "GetMigrationProgress"
ACTION_API: Final = "DescribeProjectProgress"
APIS: Final = (PROGRESS_API, ACTION_API)
"""The calls of a console that tell of a project."""

STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("INIT",),
        MigrationState.RUNNING: ("RUNNING", "RUNNING_MODIFYING", "RUNNING_MERGING"),
        MigrationState.PAUSED: ("SUSPEND",),
        MigrationState.SUCCEEDED: ("FINISHED",),
        MigrationState.FAILED: ("FAILED",),
        MigrationState.CANCELLED: ("RELEASING", "RELEASED", "DELETED"),
    }
)
"""``status`` of the project."""

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
"""``currentStep`` in the order in which a project goes through, with the phase each belongs to."""

_RANKS: Final = {word: rank for rank, (_, words) in enumerate(STEPS) for word in words}
_FORWARD_RANK: Final = _RANKS["INCR_SYNC"]
_REVERSE_RANK: Final = _RANKS["REVERSE_INCR_SYNC"]

TARGETS: Final = STATUSES.targets(further=_RANKS, states=(MigrationState.CAUGHT_UP,))

ERRORS: Final[tuple[tuple[str, type[MigrationApiError]], ...]] = (
    (r"GHANA-PROJECT000001", MigrationNotFoundError),
    (r"GHANA-OPERAT000101", MigrationPermissionError),
    (r"PARAM_ERROR", MigrationRequestError),
)
"""Error codes; one that is not listed may pass, as OMS's internal errors do."""


STEP_STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("INIT",),
        MigrationState.RUNNING: ("RUNNING", "MONITORING"),
        MigrationState.PAUSED: ("SUSPEND",),
        MigrationState.SUCCEEDED: ("FINISHED",),
        MigrationState.FAILED: ("FAILED",),
    }
)
"""``status`` of a step. MONITORING is the increment once it has been in sync, whatever its lag is since."""

_STANDING_STILL: Final = (MigrationState.FAILED, MigrationState.PAUSED)
"""States in which an increment is not in sync, whatever its last checkpoint; its project may still run."""

MAX_SAMPLE_AGE: Final = 60.0
"""
For how many seconds OMS's own sample of a checkpoint counts. It takes one every 10 s; one that is older says
that OMS has stopped looking, not that the lag is small.
"""


class ErrorDetail(WireModel):
    """What newer releases say of an error."""

    code: str | None = None
    message: str | None = None
    proposal: str | None = None


class ProjectProgress(WireModel):
    """
    ``data`` of the answer.

    :ivar incr_sync_checkpoint: epoch seconds up to which the forward increment is applied.
    :ivar reverse_incr_sync_checkpoint: the same for the reverse increment.
    """

    status: str | None = None
    importance: str | None = None
    current_step: str | None = None
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
        """Whether structure and existing data are known to be done, as far as they are enabled."""
        return all(
            is_enabled is False or percent == 100
            for is_enabled, percent in (
                (self.enable_struct_migration, self.struct_migration_progress),
                (self.enable_full_migration, self.full_migration_progress),
            )
        )


class _Answer(WireModel):
    """What every answer has around its ``data``."""

    success: bool | None = None
    code: str | None = None
    message: str | None = None
    advice: str | None = None
    request_id: str | None = None
    error_detail: ErrorDetail | None = None


class ProjectProgressResult(_Answer):
    """The whole answer."""

    data: ProjectProgress | None = None


class _TransferProgress(WireModel):
    """``data`` of DescribeProjectProgress, which has other names for the same."""

    status: str | None = None
    alarm_level: str | None = None
    current_step: str | None = None
    enable_struct_transfer: bool | None = None
    enable_full_transfer: bool | None = None
    enable_incr_sync: bool | None = None
    enable_reverse_incr_transfer: bool | None = None
    struct_transfer_progress: Percentage | None = None
    full_transfer_progress: Percentage | None = None
    incr_sync_checkpoint: Number | None = None
    reverse_incr_transfer_checkpoint: Number | None = None

    def as_project_progress(self) -> ProjectProgress:
        """Return the same by the names of GetMigrationProgress."""
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


class StepErrors(WireModel):
    """Why a step has failed."""

    error_code: str | None = None
    error_msg: str | None = None


class StepInfo(WireModel):
    """
    What a step says of itself.

    :ivar processed_records: how many rows have been copied or compared.
    :ivar incr_timestamp_checkpoint: epoch seconds up to which the increment is applied.
    :ivar checkpoint_sample_timestamp: epoch seconds at which OMS looked, by its own clock.
    """

    processed_records: Count | None = None
    incr_timestamp_checkpoint: Number | None = None
    checkpoint_sample_timestamp: Number | None = None


class ProjectStep(WireModel):
    """One step of a project."""

    order: int | None = None
    name: str | None = None
    status: str | None = None
    progress: Percentage | None = None
    extra_info: StepErrors | None = None
    step_info: StepInfo | None = None

    @property
    def rank(self) -> int:
        """Its place in :data:`STEPS`, or -1."""
        return _RANKS.get((self.name or "").strip().upper(), -1)

    @property
    def error(self) -> str | None:
        """Why it has failed; None where it has not."""
        if STEP_STATUSES.state_of(self.status) is not MigrationState.FAILED:
            return None
        return self.extra_info.error_msg if self.extra_info else None


class ProjectStepsResult(_Answer):
    """The answer of DescribeProjectSteps."""

    data: list[ProjectStep] | None = None


_AnyAnswer = TypeVar("_AnyAnswer", bound=_Answer)


def _read(request: Request, response: Response) -> ProjectProgressResult:
    return _checked(ProjectProgressResult, request, response)


def _read_transfer(request: Request, response: Response) -> ProjectProgressResult:
    result = _checked(_TransferProgressResult, request, response)
    return ProjectProgressResult(
        **result.model_dump(exclude={"data", "error_detail"}),
        error_detail=result.error_detail,
        data=result.data.as_project_progress() if result.data else None,
    )


def _read_steps(request: Request, response: Response) -> ProjectStepsResult:
    return _checked(ProjectStepsResult, request, response)


def _checked(kind: type[_AnyAnswer], request: Request, response: Response) -> _AnyAnswer:
    """
    Return the answer, of a console or of Alibaba Cloud's gateway.

    :raises MigrationApiError: if the call was refused, whatever the HTTP status.
    """
    try:
        result = kind.read(json_object(request, response))
    except MigrationAuthenticationError as error:
        raise _with_expiry(request, error) from None
    by_status = error_by_status(response.status)
    has_data = getattr(result, "data", None) is not None
    if not by_status and (result.success or (result.success is None and has_data)):
        return result
    detail = result.error_detail or ErrorDetail()
    code = result.code or detail.code
    said = "; ".join(filter(None, (result.message or detail.message, result.advice or detail.proposal)))
    otherwise = MigrationServiceError if code or result.success is False else MigrationResponseError
    codes = ERRORS if isinstance(request.signer, BasicSigner) else (*ERRORS, *alibaba.ERRORS)
    problem = api_error(
        error_by_code(codes, code) or by_status or otherwise,
        request,
        response,
        said or "no data in the answer",
        code=code,
        request_id=result.request_id,
    )
    raise _with_expiry(request, problem)


def _with_expiry(request: Request, error: MigrationApiError) -> MigrationApiError:
    """Add to a refused password what may be the cause; what OMS itself answers then is not documented."""
    if isinstance(error, MigrationAuthenticationError) and isinstance(request.signer, BasicSigner):
        error.args = (
            f"{error} Passwords of OMS expire after 90 days, unless its parameter "
            "oms.user.password.expiration.date.config says otherwise: log in to the console as this user.",
        )
    return error


class _Projects(ABC):
    """The projects of a console or of a cloud account."""

    __slots__ = ()

    clock: Callable[[], datetime]

    @property
    @abstractmethod
    def console_url(self) -> str:
        """Where a person looks at a project."""

    @abstractmethod
    def project_progress(self, project_id: str) -> Conversation[ProjectProgressResult]:
        """Ask for the progress of a project with the call that its id needs."""

    @abstractmethod
    def _ask_action(
        self, action: str, project_id: str, read: Callable[[Request, Response], Any]
    ) -> Request: ...

    def describe_project_progress(self, project_id: str) -> Conversation[ProjectProgressResult]:
        """Ask for the progress of a project, from OMS 4.1.1 on."""
        result: ProjectProgressResult = yield self._ask_action(ACTION_API, project_id, _read_transfer)
        return result

    def describe_project_steps(self, project_id: str) -> Conversation[ProjectStepsResult]:
        """Ask for the steps of a project, from OMS 4.1.1 on."""
        result: ProjectStepsResult = yield self._ask_action("DescribeProjectSteps", project_id, _read_steps)
        return result

    def _has_steps(self, project_id: str) -> bool:
        """Tell whether there is a call for the steps of a project."""
        return True

    def _steps(self, project_id: str, state: MigrationState) -> Conversation[Sequence[ProjectStep]]:
        """Ask for the steps of a project that has begun and not ended; a record is made without them too."""
        on_its_way = (MigrationState.RUNNING, MigrationState.PAUSED, MigrationState.FAILED)
        if state not in on_its_way or not self._has_steps(project_id):
            return ()
        try:
            return (yield from self.describe_project_steps(project_id)).data or ()
        except MigrationApiError:
            return ()

    def progress(self, project_id: str, *, max_lag: float) -> Conversation[MigrationProgress]:
        """Ask for the progress of a project, where there are for its steps, and normalise the answers."""
        result = yield from self.project_progress(project_id)
        project = result.data or ProjectProgress()
        state = STATUSES.state_of(project.status)
        steps = yield from self._steps(project_id, state)
        now = self.clock()
        rank = _RANKS.get((project.current_step or "").strip().upper(), -1)
        checkpoint = _checkpoint(project, rank, now)
        increment = _increment(steps, rank)
        lag = None
        if checkpoint and state is MigrationState.RUNNING:
            seen_at, checkpoint = _sampled_at(increment, now) or (now, checkpoint)
            lag = max((seen_at - checkpoint).total_seconds(), 0.0)
        phases = tuple(_phases(project, rank, state, steps))
        if (
            state is MigrationState.RUNNING
            and _is_enabled(project.enable_incr_sync, rank >= _FORWARD_RANK)
            and rank >= _FORWARD_RANK
            and project.is_bulk_done
            and STEP_STATUSES.state_of(increment.status) not in _STANDING_STILL
            and lag is not None
            and lag <= max_lag
        ):
            state = MigrationState.CAUGHT_UP
            phases = tuple(
                phase.model_copy(update={"state": state}) if phase.state is MigrationState.RUNNING else phase
                for phase in phases
            )
        return MigrationProgress(
            service=SERVICE,
            migration_id=require("project_id", project_id),
            state=state,
            service_status=project.status,
            percent=bulk_percent(phases),
            phases=phases,
            lag_seconds=lag,
            checkpoint=checkpoint,
            error=_error(result, project, steps) if state is MigrationState.FAILED else None,
            observed_at=now,
            request_id=result.request_id,
            console_url=self.console_url,
            words_reached=_words_reached(project.status, rank, state),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OmsApi(_Projects):
    """
    An OMS console, as one of its users sees it.

    :param endpoint: scheme, host and port, such as ``http://oms.example:8089``.
    :param api: the call for the progress of a project, one of :data:`APIS`; without it, the one that ids of
        its form belong to.
    """

    endpoint: str
    signer: BasicSigner = field(repr=False)
    api: str | None = None
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    @property
    def console_url(self) -> str:
        """The console itself."""
        return f"{self.endpoint}/"

    def get_migration_progress(self, project_id: str) -> Conversation[ProjectProgressResult]:
        """Ask for the progress of a project, up to OMS 4.1.0."""
        project = require("project_id", project_id)
        result: ProjectProgressResult = yield Request(
            service=SERVICE,
            action=PROGRESS_API,
            method="GET",
            url=f"{self.endpoint}/api/omsp/v2/migrations/{quote(project, safe='')}/progress",
            headers={"accept": "application/json"},
            read=_read,
            signer=self.signer,
            asked_for=project,
        )
        return result

    def _has_steps(self, project_id: str) -> bool:
        by_id = ACTION_API if str(project_id).strip().startswith("np_") else PROGRESS_API
        return (self.api or by_id) == ACTION_API

    def project_progress(self, project_id: str) -> Conversation[ProjectProgressResult]:
        """Ask for the progress of a project with the call that is given, or that its id belongs to."""
        if self._has_steps(project_id):
            return self.describe_project_progress(project_id)
        return self.get_migration_progress(project_id)

    def _ask_action(self, action: str, project_id: str, read: Callable[[Request, Response], Any]) -> Request:
        project = require("project_id", project_id)
        return Request(
            service=SERVICE,
            action=action,
            method="POST",
            url=f"{self.endpoint}/api/v2?Action={action}",
            headers={"accept": "application/json", "content-type": "application/json"},
            body=json.dumps({"id": project}).encode(),
            read=read,
            signer=self.signer,
            asked_for=project,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedOmsApi(_Projects, AlibabaApi):
    """The OMS that Alibaba Cloud hosts, as one account sees it in one region."""

    @property
    def console_url(self) -> str:
        """The console of ApsaraDB for OceanBase."""
        return "https://oceanbase.console.aliyun.com/"

    def project_progress(self, project_id: str) -> Conversation[ProjectProgressResult]:
        """Ask for the progress of a project."""
        return self.describe_project_progress(project_id)

    def _ask_action(self, action: str, project_id: str, read: Callable[[Request, Response], Any]) -> Request:
        project = require("project_id", project_id)
        return self._request(SERVICE, VERSION, action, read, form={"Id": project}, asked_for=project)


def hosted_endpoint_of(region: str) -> str:
    """Return the host of OceanBasePro in a region, by the rule of the official SDK (``regional``)."""
    return f"oceanbasepro.{region}.aliyuncs.com"


def _increment(steps: Sequence[ProjectStep], rank: int) -> ProjectStep:
    """Return the step of the increment that is under way, or an empty one where OMS tells of none."""
    current = _REVERSE_RANK if rank >= _REVERSE_RANK else _FORWARD_RANK
    return next((step for step in steps if step.rank == current), None) or ProjectStep()


def _sampled_at(increment: ProjectStep, now: datetime) -> tuple[datetime, datetime] | None:
    """
    Return when OMS looked at an increment, and how far it was then, both by its own clock.

    None where it does not say so, or has not looked for a while.
    """
    info = increment.step_info or StepInfo()
    sampled_at = instant(info.checkpoint_sample_timestamp, now)
    checkpoint = instant(info.incr_timestamp_checkpoint, now)
    if sampled_at is None or checkpoint is None or abs((now - sampled_at).total_seconds()) > MAX_SAMPLE_AGE:
        return None
    return sampled_at, checkpoint


def _checkpoint(project: ProjectProgress, rank: int, now: datetime) -> datetime | None:
    # Once the project runs backwards the forward checkpoint stands still for good.
    if rank >= _REVERSE_RANK:
        is_enabled, checkpoint = project.enable_reverse_incr_sync, project.reverse_incr_sync_checkpoint
    elif rank >= _FORWARD_RANK:
        is_enabled, checkpoint = project.enable_incr_sync, project.incr_sync_checkpoint
    else:
        return None
    return instant(checkpoint, now) if _is_enabled(is_enabled, True) else None


def _is_enabled(flag: bool | None, is_evident: bool) -> bool:
    """Return what OMS says of a phase, or what is evident where it says nothing."""
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
        own = [each for each in steps if each.rank >= 0 and names[each.rank] == name]
        copied = [each.step_info.processed_records for each in own if name == "full" and each.step_info]
        yield known_phase(
            name=name,
            state=phase_state,
            service_status=step if here else None,
            percent=100 if phase_state is MigrationState.SUCCEEDED and name in BULK_PHASES else percent,
            done=next((count for count in copied if count is not None), None),
            error=next(filter(None, (each.error for each in own)), None),
        )


def _bulk_state(percent: float | None, here: bool, state: MigrationState) -> MigrationState:
    # Progress decides, not the step: what the step has passed may still be incomplete.
    if percent == 100 or state is MigrationState.SUCCEEDED:
        return MigrationState.SUCCEEDED
    if here:
        return state
    return MigrationState.RUNNING if percent is not None and 0 < percent < 100 else MigrationState.PENDING


def _words_reached(status: str | None, rank: int, state: MigrationState) -> frozenset[str]:
    is_running = STATUSES.state_of(status) is MigrationState.RUNNING
    words = at_or_before(STATUS_ORDER, "RUNNING" if is_running else status) | at_or_before((), status)
    # A released project proves nothing of its steps, a finished one all of them.
    if state is MigrationState.SUCCEEDED:
        rank = len(STEPS) - 1
    elif state in (MigrationState.CANCELLED, MigrationState.UNKNOWN):
        rank = -1
    return words | {word.lower() for _, step in STEPS[: rank + 1] for word in step}


def _error(
    result: ProjectProgressResult, project: ProjectProgress, steps: Sequence[ProjectStep]
) -> MigrationErrorInfo:
    detail = result.error_detail or ErrorDetail()
    failed = "; ".join(f"{step.name}: {step.error}" for step in steps if step.error)
    return MigrationErrorInfo(
        code=detail.code or project.status,
        message=failed
        or detail.message
        or f"OMS reports {project.status}"
        + (f" at step {project.current_step}." if project.current_step else " and gives no reason."),
        remedy=detail.proposal
        or "Open the project in the OMS console, remove the cause and resume it; a failed project can go on.",
    )
