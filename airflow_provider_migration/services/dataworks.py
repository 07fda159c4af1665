"""
Alibaba Cloud DataWorks: ``GetMigrationSummary``, ``GetMigrationProcess`` and ``ListMigrations`` of version
2020-05-18.

Sources: https://help.aliyun.com/zh/dataworks/api-getmigrationsummary, /api-getmigrationprocess and
/api-listmigrations. The summary has the verdict, the process has the steps, the list has the packages of a
workspace and the reason of a failure. Step names are arbitrary, the list of steps may still grow, and an
empty list proves nothing.

The ``DownloadUrl`` of a package is signed, which makes it a secret: no model here has a field for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
)
from airflow_provider_migration.progress import (
    BULK_PHASES,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    MigrationSummary,
    Phase,
    interned_phase,
)
from airflow_provider_migration.sansio import Flow, Request, Response, Verbatim, send
from airflow_provider_migration.services.alibaba import (
    AlibabaApi,
    is_international,
    no_status,
    rpc_object,
)
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.services.wire import (
    KEEP_ITEM,
    Count,
    Number,
    StatusTable,
    WireModel,
    cache_put,
    parse_timestamp,
    require_id,
    up_to,
)

_T = TypeVar("_T")

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

LIST_STATUSES: Final = StatusTable(
    {
        MigrationState.PENDING: ("INIT", "EDITING"),
        MigrationState.RUNNING: ("RUNNING",),
        MigrationState.SUCCEEDED: ("SUCCESS",),
        MigrationState.FAILED: ("FAILURE",),
    }
)
"""``Status`` in the list, which has no words for a package that was cancelled or partly imported."""

ORDERS: Final = (
    ("EDITING", "INIT", "IMPORTING", "IMPORT_SUCCESS"),
    ("EDITING", "INIT", "EXPORTING", "EXPORT_SUCCESS"),
)

TARGETS: Final = STATUSES.targets()

_ENDED_BADLY: Final = (MigrationState.FAILED, MigrationState.PARTIALLY_SUCCEEDED)

MIGRATION_TYPES: Final = {"IMPORT_ERROR": "IMPORT", "EXPORT_ERROR": "EXPORT"}
"""The list that contains a failed package, by its status."""

PACKAGE_TYPES: Final = ("IMPORT", "EXPORT")
"""The lists of a workspace."""

LIST_PAGE: Final = 100
"""Maximum page size of ``ListMigrations``; pages may be shorter."""

MAX_LIST_PAGES: Final = 100
"""Maximum page number of ``ListMigrations``."""

REFUSAL_TIME: Final = timedelta(hours=1)
"""Back-off after a refused call for the steps: refused calls count against the daily quota too."""

_REFUSED: Final = (MigrationPermissionError, MigrationNotFoundError, MigrationRequestError)

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
    task_status: Verbatim = None


class MigrationProcess(WireModel):
    """
    The answer of ``GetMigrationProcess``.

    :ivar data: the steps; None if the response has none.
    """

    request_id: str | None = None
    data: list[MigrationTask] | None = None


class PackageSummaryData(WireModel):
    """
    The package.

    :ivar gmt_create: epoch milliseconds.
    :ivar gmt_modified: epoch milliseconds.
    """

    migration_id: Verbatim = None
    project_id: Verbatim = None
    name: str | None = None
    status: Verbatim = None
    create_user: str | None = None
    op_user: str | None = None
    gmt_create: int | None = None
    gmt_modified: int | None = None


class PackageSummary(WireModel):
    """The answer of ``GetMigrationSummary``, without its ``DownloadUrl``."""

    request_id: str | None = None
    data: PackageSummaryData = PackageSummaryData()


class ListedMigration(WireModel):
    """
    A package in the list of a workspace, whose status words are not those of the summary.

    :ivar message: the reason of its failure.
    :ivar create_time: epoch milliseconds.
    """

    id: Verbatim = None
    name: str | None = None
    status: Verbatim = None
    message: str | None = None
    create_time: Number | None = None


class MigrationPage(WireModel):
    """``Data`` of ``ListMigrations``."""

    migrations: list[Annotated[ListedMigration, KEEP_ITEM]] | None = None
    total_count: Count | None = None


class MigrationList(WireModel):
    """The answer of ``ListMigrations``, without each ``DownloadUrl``."""

    request_id: str | None = None
    data: MigrationPage = MigrationPage()


def _read_list(request: Request[Any], response: Response) -> MigrationList:
    return MigrationList.read(rpc_object(request, response, payload="Data"))


def _read_process(request: Request[Any], response: Response) -> MigrationProcess:
    return MigrationProcess.read(rpc_object(request, response, payload="Data"))


def _read_summary(request: Request[Any], response: Response) -> PackageSummary:
    summary = PackageSummary.read(rpc_object(request, response, payload="Data"))
    if not (summary.data.status or "").strip():
        raise no_status(request, response, "Data.Status", summary.request_id)
    return summary


@dataclass(slots=True, kw_only=True)
class DataWorksApi(AlibabaApi):
    """DataWorks, as one account sees it in one region."""

    _reasons: dict[tuple[str, str], tuple[str | None, str | None]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """
    Cache of failure reasons (or of the warning that the reason is unknown), because calls count against a
    quota.
    """
    _refusals: dict[tuple[str, str], tuple[datetime, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Time and warning of a refused call for the steps, by package."""

    def get_migration_process(self, project_id: str | int, migration_id: str | int) -> Flow[MigrationProcess]:
        """Get the steps of a package."""
        return (
            yield from send(
                self._request_action(
                    "GetMigrationProcess",
                    _read_process,
                    project_id,
                    MigrationId=_number("migration_id", migration_id),
                )
            )
        )

    def get_migration_summary(self, project_id: str | int, migration_id: str | int) -> Flow[PackageSummary]:
        """Get the status of a package."""
        return (
            yield from send(
                self._request_action(
                    "GetMigrationSummary",
                    _read_summary,
                    project_id,
                    MigrationId=_number("migration_id", migration_id),
                )
            )
        )

    def list_packages(
        self, project_id: str | int, migration_type: str, page_number: int = 1
    ) -> Flow[MigrationList]:
        """Get a page of the imports or of the exports of a workspace."""
        return (
            yield from send(
                self._request_action(
                    "ListMigrations",
                    _read_list,
                    project_id,
                    MigrationType=migration_type,
                    PageNumber=str(page_number),
                    PageSize=str(LIST_PAGE),
                )
            )
        )

    def list_migrations(self, listing: MigrationListing) -> Flow[list[MigrationSummary]]:
        """
        Get the next page of a list of packages.

        :param listing: the list of a workspace, which is its ``scope``.
        :raises MigrationResponseError: if the page has no count, or a package without an id.
        """
        part = listing.part
        if listing.page > MAX_LIST_PAGES:
            raise MigrationResponseError(
                f"DataWorks lists {MAX_LIST_PAGES} pages at most, and workspace {listing.scope} has more "
                f"packages of type {part} than that: give the ids instead."
            )
        page = (yield from self.list_packages(listing.scope, part, listing.page)).data
        packages, now = page.migrations or [], self.clock()
        if page.total_count is None or not all(_is_number(package.id) for package in packages):
            raise MigrationResponseError(
                f"The list of workspace {listing.scope} cannot be read: ListMigrations of type {part}, page "
                f"{listing.page}, has no count of packages, or a package without an id."
            )
        rows = [
            MigrationSummary(
                service=SERVICE,
                migration_id=(package.id or "").strip(),
                name=package.name,
                kind=part.lower(),
                state=LIST_STATUSES.state_of(package.status),
                service_status=package.status,
                created_at=parse_timestamp(package.create_time, now),
            )
            for package in packages
        ]
        return listing.take(((row, None) for row in rows), received=len(rows), total=page.total_count)

    def _steps(self, project: str, migration: str) -> Flow[tuple[list[MigrationTask], str | None]]:
        """
        Get the steps, which never decide the state; on failure, return no steps and a warning.

        After a refusal by DataWorks itself the call backs off. After an authentication error it does not: the
        summary has just succeeded with the same key, so the next summary decides.
        """
        refused_at, warning = self._refusals.get((project, migration), (None, ""))
        if refused_at and abs(self.clock() - refused_at) < REFUSAL_TIME:
            return [], warning
        try:
            process = yield from self.get_migration_process(project, migration)
        except MigrationError as error:
            warning = f"The steps and the percentage are not known; the status is. {error}"
            is_refused = isinstance(error, _REFUSED) and error.code and not error.tolerated_after_success
            if is_refused:
                cache_put(self._refusals, (project, migration), (self.clock(), warning))
            return [], warning
        self._refusals.pop((project, migration), None)
        return process.data or [], None

    def _reason(
        self, project: str, migration: str, status: str | None
    ) -> Flow[tuple[str | None, str | None]]:
        """Get the reason of a failure, once until the package continues; return it, else a warning."""
        migration_type = MIGRATION_TYPES.get((status or "").strip().upper())
        if migration_type is None:
            self._reasons.pop((project, migration), None)
            return None, None
        if (project, migration) not in self._reasons:
            answer: tuple[str | None, str | None]
            try:
                page = (yield from self.list_packages(project, migration_type)).data
            except MigrationError as error:  # the verdict stands without it
                answer = None, f"The reason of the failure is not known. {error}"
            else:
                listed = (item.message for item in page.migrations or () if item.id == migration)
                answer = next(listed, None), None
            cache_put(self._reasons, (project, migration), answer)
        return self._reasons[project, migration]

    def progress(
        self, project_id: str | int, migration_id: str | int, *, max_lag: float
    ) -> Flow[MigrationProgress]:
        """
        Get the status and the steps, for a failed package once the reason, and build the record.

        Only the status decides. Without steps or reason the record has fewer details and a warning.

        :param max_lag: not used: a package has no incremental phase.
        """
        project, migration = _number("project_id", project_id), _number("migration_id", migration_id)
        summary = yield from self.get_migration_summary(project, migration)
        observed_at = self.clock()  # the time of the deciding call: the others may take a while
        package = summary.data
        state = STATUSES.state_of(package.status)
        steps: list[MigrationTask] = []
        warning = None
        if state is not MigrationState.PENDING:  # a package that has not begun has no steps worth a call
            steps, warning = yield from self._steps(project, migration)
        phases = tuple(_phase(step) for step in steps)
        reason, further_warning = yield from self._reason(project, migration, package.status)
        return MigrationProgress(
            service=SERVICE,
            migration_id=migration,
            name=package.name,
            state=state,
            service_status=package.status,
            percent=_percent(phases),
            phases=phases[:_MAX_STEPS],
            error=_error(package.status, phases, reason) if state in _ENDED_BADLY else None,
            observed_at=observed_at,
            request_id=summary.request_id,
            console_url=_console_url(self.endpoint, self.region, project),
            statuses_reached=frozenset().union(*(up_to(order, package.status) for order in ORDERS)),
            warnings=tuple(filter(None, (warning, further_warning))),
        )

    def _request_action(
        self,
        action: str,
        read: Callable[[Request[Any], Response], _T],
        project_id: str | int,
        **further: str,
    ) -> Request[_T]:
        form = {"ProjectId": _number("project_id", project_id), **further}
        asked_for = further.get("MigrationId", "")
        return self._request(SERVICE, VERSION, action, read, form=form, asked_for=asked_for)


def endpoint_of(region: str) -> str:
    """Return the host of DataWorks in a region, as in the official SDK for public regions."""
    if region in _CENTRAL_REGIONS:
        return "dataworks.aliyuncs.com"
    return f"dataworks.{region}.aliyuncs.com"


def _console_url(endpoint: str, region: str | None, project: str) -> str:
    """
    Return the page of a workspace in the console; no address of Migration Assistant or a package is known.

    The address of a workspace is taken from Alibaba Cloud's own scripts for DataWorks. Without a region, and
    for the international site, return the console.
    """
    if region is None or is_international(endpoint):
        return "https://dataworks.console.aliyun.com/"
    return f"https://dataworks.data.aliyun.com/{region}/sc?defaultProjectId={project}"


def list_of(selection: MigrationFilter, project_id: str | int | None) -> MigrationListing:
    """
    Return the paging state of the list of a workspace.

    :raises MigrationConfigurationError: without the workspace, and for a filter that DataWorks does not have.
    """
    if project_id is None:
        raise MigrationConfigurationError(
            "DataWorks lists the packages of one workspace: give its number as project_id."
        )
    for argument, value in (("tags", selection.tags), ("group", selection.group)):
        if value:
            raise MigrationConfigurationError(
                f"{argument} must be None: DataWorks has no {argument} of packages. Filter by name or status."
            )
    return MigrationListing(selection, PACKAGE_TYPES, scope=_number("project_id", project_id))


def _is_number(text: str | None) -> bool:
    return bool(text) and str(text).strip().isascii() and str(text).strip().isdigit()


def _number(argument: str, value: str | int) -> str:
    text = require_id(argument, value)
    if not _is_number(text):
        raise MigrationConfigurationError(f"{argument} must be a number as DataWorks shows it, not {text!r}.")
    return text


def _phase(step: MigrationTask) -> Phase:
    state = STEP_STATUSES.state_of(step.task_status)
    known = {MigrationState.SUCCEEDED: 100.0, MigrationState.PENDING: 0.0}
    # A step that shares its name with a bulk phase must not count as that phase.
    name = f"step {step.task_name}" if step.task_name in BULK_PHASES else step.task_name
    return interned_phase(name=name, state=state, service_status=step.task_status, percent=known.get(state))


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
