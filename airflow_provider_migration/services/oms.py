"""
OceanBase Migration Service: ``GET /api/omsp/v2/migrations/{projectId}/progress``.

Source: OMS community edition 3.3.0 to 4.1.0, API reference. The answer says whether it succeeded in
``success``, with HTTP 200 in either case. The step names are those of OMS's own enumeration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.conversation import Conversation, Request, Response
from airflow_provider_migration.exceptions import (
    MigrationApiError,
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
)
from airflow_provider_migration.services.wire import (
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


class ProjectProgressResult(WireModel):
    """The whole answer."""

    success: bool | None = None
    code: str | None = None
    message: str | None = None
    advice: str | None = None
    request_id: str | None = None
    error_detail: ErrorDetail | None = None
    data: ProjectProgress | None = None


def _read(request: Request, response: Response) -> ProjectProgressResult:
    result = ProjectProgressResult.read(json_object(request, response))
    by_status = error_by_status(response.status)
    if not by_status and (result.success or (result.success is None and result.data is not None)):
        return result
    detail = result.error_detail or ErrorDetail()
    code = result.code or detail.code
    said = "; ".join(filter(None, (result.message or detail.message, result.advice or detail.proposal)))
    otherwise = MigrationServiceError if code or result.success is False else MigrationResponseError
    raise api_error(
        error_by_code(ERRORS, code) or by_status or otherwise,
        request,
        response,
        said or "no data in the answer",
        code=code,
        request_id=result.request_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OmsApi:
    """
    An OMS console, as one of its users sees it.

    :param endpoint: scheme, host and port, such as ``http://oms.example:8089``.
    """

    endpoint: str
    signer: BasicSigner = field(repr=False)
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)

    def get_migration_progress(self, project_id: str) -> Conversation[ProjectProgressResult]:
        """Ask for the progress of a project."""
        project = quote(require("project_id", project_id), safe="")
        result: ProjectProgressResult = yield Request(
            service=SERVICE,
            action="GetMigrationProgress",
            method="GET",
            url=f"{self.endpoint}/api/omsp/v2/migrations/{project}/progress",
            headers={"accept": "application/json"},
            read=_read,
            signer=self.signer,
        )
        return result

    def progress(self, project_id: str, *, max_lag: float) -> Conversation[MigrationProgress]:
        """Ask for the progress of a project and normalise the answer."""
        result = yield from self.get_migration_progress(project_id)
        now = self.clock()
        project = result.data or ProjectProgress()
        state = STATUSES.state_of(project.status)
        rank = _RANKS.get((project.current_step or "").strip().upper(), -1)
        checkpoint = _checkpoint(project, rank, now)
        lag = None
        if checkpoint and state is MigrationState.RUNNING:
            lag = max((now - checkpoint).total_seconds(), 0.0)
        phases = tuple(_phases(project, rank, state))
        if (
            state is MigrationState.RUNNING
            and _is_enabled(project.enable_incr_sync, rank >= _FORWARD_RANK)
            and rank >= _FORWARD_RANK
            and project.is_bulk_done
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
            error=_error(result, project) if state is MigrationState.FAILED else None,
            observed_at=now,
            request_id=result.request_id,
            console_url=f"{self.endpoint}/",
            words_reached=_words_reached(project.status, rank, state),
        )


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


def _phases(project: ProjectProgress, rank: int, state: MigrationState) -> Iterable[Phase]:
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
        yield Phase(
            name=name,
            state=phase_state,
            service_status=step if here else None,
            percent=100 if phase_state is MigrationState.SUCCEEDED and name in BULK_PHASES else percent,
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


def _error(result: ProjectProgressResult, project: ProjectProgress) -> MigrationErrorInfo:
    detail = result.error_detail or ErrorDetail()
    return MigrationErrorInfo(
        code=detail.code or project.status,
        message=detail.message
        or f"OMS reports {project.status}"
        + (f" at step {project.current_step}." if project.current_step else " and gives no reason."),
        remedy=detail.proposal
        or "Open the project in the OMS console, remove the cause and resume it; a failed project can go on.",
    )
