"""
Alibaba Cloud DataWorks: ``GetMigrationSummary``, ``GetMigrationProcess`` and ``ListMigrations`` of version
2020-05-18.

Sources: https://help.aliyun.com/zh/dataworks/api-getmigrationsummary, /api-getmigrationprocess and
/api-listmigrations. The summary has the verdict, the process has the steps, the list has the reason of a
failure. Steps are named as they please, their list may still grow, and an empty list says nothing.

The ``DownloadUrl`` of a package is signed, which makes it a secret: no model here has a field for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_migration.conversation import Conversation, Request, Response
from airflow_provider_migration.exceptions import MigrationApiError, MigrationConfigurationError
from airflow_provider_migration.progress import (
    BULK_PHASES,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    Phase,
    known_phase,
)
from airflow_provider_migration.services.alibaba import AlibabaApi, rpc_object
from airflow_provider_migration.services.wire import StatusTable, WireModel, at_or_before, require

SERVICE: Final = "dataworks"
VERSION: Final = "2020-05-18"

STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("INIT", "EDITING"),
        MigrationState.RUNNING: ("IMPORTING", "EXPORTING"),
        MigrationState.SUCCEEDED: ("IMPORT_SUCCESS", "EXPORT_SUCCESS"),
        MigrationState.PARTIALLY_SUCCEEDED: ("PARTIAL_SUCCESS",),
        MigrationState.FAILED: ("IMPORT_ERROR", "EXPORT_ERROR"),
        MigrationState.CANCELLED: ("REVOKED",),
    }
)
"""``Data.Status`` of the summary."""

STEP_STATUSES: Final = StatusTable(
    {
        # Older pages print INT where newer ones print INIT.
        MigrationState.PENDING: ("INIT", "INT"),
        MigrationState.RUNNING: ("RUNNING",),
        MigrationState.SUCCEEDED: ("SUCCESS",),
        MigrationState.FAILED: ("FAILURE",),
    }
)
"""``Data[].TaskStatus`` of the process."""

ORDERS: Final = (
    ("EDITING", "INIT", "IMPORTING", "IMPORT_SUCCESS"),
    ("EDITING", "INIT", "EXPORTING", "EXPORT_SUCCESS"),
)

TARGETS: Final = STATUSES.targets()

_ENDED_BADLY: Final = (MigrationState.FAILED, MigrationState.PARTIALLY_SUCCEEDED)

MIGRATION_TYPES: Final = {"IMPORT_ERROR": "IMPORT", "EXPORT_ERROR": "EXPORT"}
"""In which list a failed package is, by its status."""

LIST_PAGE: Final = 100
"""How many packages a page of ``ListMigrations`` has at most."""

_MAX_STEPS: Final = 64

_CENTRAL_REGIONS: Final = (
    "ap-south-1",
    "ap-southeast-2",
    "cn-beijing-gov-1",
    "cn-fujian",
    "cn-hangzhou-finance",
    "cn-huhehaote",
    "cn-qingdao",
    "cn-wuhan",
    "cn-zhangbei",
)
"""Regions without a host of their own."""


class MigrationTask(WireModel):
    """One step of an import or export."""

    task_name: str | None = None
    task_status: str | None = None


class MigrationProcess(WireModel):
    """
    The answer of ``GetMigrationProcess``.

    :ivar data: the steps; None when the service says nothing of them.
    """

    request_id: str | None = None
    data: list[MigrationTask] | None = None


class MigrationSummaryData(WireModel):
    """
    The package.

    :ivar gmt_create: epoch milliseconds.
    :ivar gmt_modified: epoch milliseconds.
    """

    migration_id: str | None = None
    project_id: str | None = None
    name: str | None = None
    status: str | None = None
    create_user: str | None = None
    op_user: str | None = None
    gmt_create: int | None = None
    gmt_modified: int | None = None


class MigrationSummary(WireModel):
    """The answer of ``GetMigrationSummary``, without its ``DownloadUrl``."""

    request_id: str | None = None
    data: MigrationSummaryData = MigrationSummaryData()


class ListedMigration(WireModel):
    """
    A package in the list of a workspace, whose status words are not those of the summary.

    :ivar message: why it has failed.
    """

    id: str | None = None
    name: str | None = None
    status: str | None = None
    message: str | None = None


class MigrationPage(WireModel):
    """``Data`` of ``ListMigrations``."""

    migrations: list[ListedMigration] | None = None
    total_count: int | None = None


class MigrationList(WireModel):
    """The answer of ``ListMigrations``, without each ``DownloadUrl``."""

    request_id: str | None = None
    data: MigrationPage = MigrationPage()


def _read_list(request: Request, response: Response) -> MigrationList:
    return MigrationList.read(rpc_object(request, response, payload="Data"))


def _read_process(request: Request, response: Response) -> MigrationProcess:
    return MigrationProcess.read(rpc_object(request, response, payload="Data"))


def _read_summary(request: Request, response: Response) -> MigrationSummary:
    return MigrationSummary.read(rpc_object(request, response, payload="Data"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataWorksApi(AlibabaApi):
    """DataWorks, as one account sees it in one region."""

    _reasons: dict[tuple[str, str], str | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Why packages have failed, as far as the list says so, until they go on: calls are counted."""

    def get_migration_process(
        self, project_id: str | int, migration_id: str | int
    ) -> Conversation[MigrationProcess]:
        """Ask for the steps of a package."""
        process: MigrationProcess = yield self._ask(
            "GetMigrationProcess",
            _read_process,
            project_id,
            MigrationId=_number("migration_id", migration_id),
        )
        return process

    def get_migration_summary(
        self, project_id: str | int, migration_id: str | int
    ) -> Conversation[MigrationSummary]:
        """Ask for the status of a package."""
        summary: MigrationSummary = yield self._ask(
            "GetMigrationSummary",
            _read_summary,
            project_id,
            MigrationId=_number("migration_id", migration_id),
        )
        return summary

    def list_migrations(self, project_id: str | int, migration_type: str) -> Conversation[MigrationList]:
        """Ask for the first page of the imports or of the exports of a workspace."""
        migrations: MigrationList = yield self._ask(
            "ListMigrations",
            _read_list,
            project_id,
            MigrationType=migration_type,
            PageSize=str(LIST_PAGE),
        )
        return migrations

    def _reason(self, project: str, migration: str, status: str | None) -> Conversation[str | None]:
        """Ask why a package has failed: once, until it goes on."""
        migration_type = MIGRATION_TYPES.get((status or "").strip().upper())
        if migration_type is None:
            self._reasons.pop((project, migration), None)
            return None
        if (project, migration) not in self._reasons:
            self._reasons[project, migration] = None
            try:
                page = (yield from self.list_migrations(project, migration_type)).data
            except MigrationApiError:  # the verdict stands without it
                page = MigrationPage()
            listed = (item.message for item in page.migrations or () if item.id == migration)
            self._reasons[project, migration] = next(listed, None)
        return self._reasons[project, migration]

    def progress(
        self, project_id: str | int, migration_id: str | int, *, max_lag: float
    ) -> Conversation[MigrationProgress]:
        """
        Ask for the status, then for the steps, of a failed package once for the reason, and normalise all.

        :param max_lag: not used: a package has no incremental phase.
        """
        summary = yield from self.get_migration_summary(project_id, migration_id)
        package = summary.data
        state = STATUSES.state_of(package.status)
        steps: list[MigrationTask] = []
        if state is not MigrationState.PENDING:  # a package that has not begun has no steps worth a call
            process = yield from self.get_migration_process(project_id, migration_id)
            steps = process.data or []
        phases = tuple(_phase(step) for step in steps)
        reason = yield from self._reason(str(project_id).strip(), str(migration_id).strip(), package.status)
        return MigrationProgress(
            service=SERVICE,
            migration_id=require("migration_id", migration_id),
            name=package.name,
            state=state,
            service_status=package.status,
            percent=_percent(phases),
            phases=phases[:_MAX_STEPS],
            error=_error(package.status, phases, reason) if state in _ENDED_BADLY else None,
            observed_at=self.clock(),
            request_id=summary.request_id,
            console_url="https://dataworks.console.aliyun.com/",
            words_reached=frozenset().union(*(at_or_before(order, package.status) for order in ORDERS)),
        )

    def _ask(
        self,
        action: str,
        read: Callable[[Request, Response], Any],
        project_id: str | int,
        **further: str,
    ) -> Request:
        form = {"ProjectId": _number("project_id", project_id), **further}
        asked_for = further.get("MigrationId", "")
        return self._request(SERVICE, VERSION, action, read, form=form, asked_for=asked_for)


def endpoint_of(region: str) -> str:
    """Return the host of DataWorks in a region, as the official SDK has it for those that are public."""
    if region in _CENTRAL_REGIONS:
        return "dataworks.aliyuncs.com"
    return f"dataworks.{region}.aliyuncs.com"


def _number(argument: str, value: str | int) -> str:
    text = require(argument, value)
    if not (text.isascii() and text.isdigit()):
        raise MigrationConfigurationError(f"{argument} must be a number as DataWorks shows it, not {text!r}.")
    return text


def _phase(step: MigrationTask) -> Phase:
    state = STEP_STATUSES.state_of(step.task_status)
    known = {MigrationState.SUCCEEDED: 100.0, MigrationState.PENDING: 0.0}
    # A step that happens to be called as a phase of bulk work is must not count as one.
    name = f"step {step.task_name}" if step.task_name in BULK_PHASES else step.task_name
    return known_phase(name=name, state=state, service_status=step.task_status, percent=known.get(state))


def _percent(phases: tuple[Phase, ...]) -> float | None:
    done = sum(phase.state is MigrationState.SUCCEEDED for phase in phases)
    return 100 * done / len(phases) if phases else None


def _error(status: str | None, phases: tuple[Phase, ...], reason: str | None) -> MigrationErrorInfo:
    failed = ", ".join(str(phase.name) for phase in phases if phase.state is MigrationState.FAILED)
    where = f"Failed in step {failed}" if failed else f"DataWorks reports {status} and names no step"
    return MigrationErrorInfo(
        code=status,
        message=f"{where}: {reason}" if reason else f"{where}.",
        remedy="Open the package in DataWorks' Migration Assistant: its report names objects and reason.",
    )
