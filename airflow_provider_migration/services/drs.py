"""
Huawei Cloud DRS: progress of a job's objects (v5 ``progress-data``) and of the job (v3 ``batch-progress``).

Source: https://support.huaweicloud.com/intl/en-us/api-drs/drs_api_0001.html. The object list exists only
while existing data is copied; the job's own ``progress`` has been documented as 0 beside a completed
transfer; job ids look like UUIDs and are none.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

from airflow_provider_migration.conversation import Conversation, Request, Response, Signer, encode_query
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationResponseError,
)
from airflow_provider_migration.progress import (
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    ObjectProgress,
    ObjectSummary,
    Phase,
    bulk_percent,
    known_phase,
    percent_or_none,
)
from airflow_provider_migration.services.huawei import api_object, host_of, refused
from airflow_provider_migration.services.wire import (
    Count,
    Number,
    Percentage,
    StatusTable,
    WireModel,
    api_error,
    at_or_before,
    require,
    utc_now,
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
About how many jobs one call asks at most. Huawei's page on BatchListProgresses names no limit
(https://support.huaweicloud.com/intl/en-us/api-drs/drs_03_0114.html); where there is one after all, the
refusal of many makes each be asked for alone.
"""

MAX_PAGES: Final = 2000
"""How many pages of one list are read at most: two million objects."""

SLOWEST: Final = 20

MAX_LISTED: Final = 1000
"""Of how many jobs the objects are kept: for each some 10 KB."""

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
        # Paused, though it reads as if it were about to be; the second word is a misspelling in the docs.
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
``transfer_status`` of a job. ``FULL_TRANSFER_COMPLETE`` of a job without an incremental phase, and
``RELEASE_RESOURCE_COMPLETE`` of one whose bulk work is known to be done, are successes.
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
"""Words that come only when there is no list of objects any more."""
_RELEASE: Final = ("RELEASE_RESOURCE_STARTED", "RELEASE_RESOURCE_COMPLETE")

_NO_LIST: Final = "DRS.M00304"
"""API cannot be called in the current task status: the job has no list of objects now."""
_RELEASED: Final = "DRS.M05004"
"""The task is deleted or its resources are released: the job may well have ended as it should."""

TARGETS: Final = STATUSES.targets(states=(MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED))
TARGETS_WITHOUT_JOB_STATUS: Final = frozenset(("full_done",))


_PlainRow = tuple[str | None, str | None, str | None, str | None, float | None]
"""Databases and tables as in :class:`ObjectRow`, and the progress."""


class ObjectRow(WireModel):
    """One object and how far it is, in percent."""

    src_db: str | None = None
    src_tb: str | None = None
    dst_db: str | None = None
    dst_tb: str | None = None
    progress: Percentage | None = None

    def plain(self) -> _PlainRow:
        """Return it as a tuple."""
        return self.src_db, self.src_tb, self.dst_db, self.dst_tb, self.progress


class ProgressDataPage(WireModel):
    """
    One page of ``progress-data``.

    :ivar count: how many objects the whole list has.
    :ivar create_time: when the list was made: epoch milliseconds as text, or ISO 8601.
    """

    count: Count | None = None
    create_time: str | None = None
    flow_compare_data: list[ObjectRow] | None = None


class _RawPage(WireModel):
    count: Count | None = None
    flow_compare_data: list[dict[Any, Any]] | None = None


@dataclass(frozen=True, slots=True)
class _PlainPage:
    """
    One page of ``progress-data`` as it is counted: a plain tuple for each object.

    Models by the thousand, page after page, would make Python's garbage collector search all that Airflow has
    loaded, which stops the event loop for 50 ms each time.
    """

    count: int | None
    flow_compare_data: list[_PlainRow]


class PartProgress(WireModel):
    """How far one part of the bulk work is, in percent."""

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
    :ivar incre_trans_delay: seconds; -1 before the incremental phase.
    :ivar task_mode: ``FULL_TRANS``, ``INCR_TRANS`` or ``FULL_INCR_TRANS``.
    :ivar process_time: epoch milliseconds of the last progress; 0 when there was none.
    :ivar remaining_time: seconds.
    :ivar request_id: from the header of the answer.
    """

    request_id: str | None = None
    job_id: str | None = None
    transfer_status: str | None = None
    task_mode: str | None = None
    progress: Percentage | None = None
    progress_map: ProgressMap = ProgressMap()
    incre_trans_delay: Number | None = None
    incre_trans_delay_millis: Number | None = None
    process_time: str | None = None
    remaining_time: str | None = None
    error_code: str | None = None
    error_msg: str | None = None

    @property
    def has_incremental(self) -> bool:
        """Whether the job has an incremental phase; where the mode is not given, whether it is in it."""
        mode = (self.task_mode or self.transfer_status or "").upper()
        return "INCR" in mode

    @property
    def delay(self) -> float | None:
        """How far the incremental phase is behind, in seconds; None before it has begun."""
        delay = self.incre_trans_delay
        if delay is None and self.incre_trans_delay_millis is not None:
            delay = self.incre_trans_delay_millis / 1000
        return delay if delay is not None and delay >= 0 else None


class _BatchProgress(WireModel):
    results: list[JobProgress] | None = None


class ObjectListing:
    """
    Where in a list of objects the next page begins, and when the list is at its end.

    It keeps the names of the last page, because in a list that changes meanwhile an object moves from one
    page to the next, and of each page before a digest, because a server that takes the offset for something
    else repeats whole pages.

    :param limit: objects a page, 1–1000.
    :param offset: index of the first object, from 0.
    :raises MigrationConfigurationError: if either is out of range.
    """

    def __init__(self, limit: int = MAX_LIMIT, offset: int = 0) -> None:
        if not _is_whole(limit) or not 1 <= limit <= MAX_LIMIT:
            raise MigrationConfigurationError(f"limit must be 1 to {MAX_LIMIT}, not {limit!r}.")
        if not _is_whole(offset) or offset < 0:
            raise MigrationConfigurationError(f"offset must be 0 or more, not {offset!r}.")
        self.limit = limit
        self.offset = offset
        self.pages = 0
        self.at_end = False
        self._last: frozenset[object] = frozenset()
        self._digests: set[int] = set()

    def take(self, rows: Sequence[_T], names: Iterable[object], count: int | None) -> list[_T]:
        """
        Return what is new on a page. One without anything new is the end: it is empty, or repeats.

        :param names: what the rows are called, in their order.
        :param count: how many the whole list has, as the page says.
        """
        self.pages += 1
        self.offset += len(rows)
        named = dict(zip(names, rows, strict=True))
        known, here = self._last, frozenset(named)
        new = [] if hash(here) in self._digests else [row for name, row in named.items() if name not in known]
        self._last = here
        self._digests.add(hash(here))
        # A count of 0 beside objects is no count.
        self.at_end = not new or 0 < (count or 0) <= self.offset
        return new


def check_object_types(object_types: object) -> tuple[str, ...]:
    """
    Return object types, each once; one alone may be given as a text.

    :raises MigrationConfigurationError: naming what DRS does not know, and what it knows.
    """
    given = (object_types,) if isinstance(object_types, str) else object_types
    types = tuple(dict.fromkeys(given)) if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    for object_type in types:
        if object_type not in OBJECT_TYPES:
            raise MigrationConfigurationError(
                f"object_types: {object_type!r} is not known to DRS; give a list of some of these: "
                f"{', '.join(OBJECT_TYPES)}."
            )
    return types


def endpoint_of(region: str) -> str:
    """Return the host of DRS in a region."""
    return host_of("drs", region)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(slots=True)
class _Objects:
    """What the pages of one object type amount to, without keeping them."""

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
                SLOWEST, unfinished, key=lambda row: percent_or_none(row[4]) or 0.0
            )
        )
        self.slowest = _slowest([*self.slowest, *objects])

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
        return known_phase(
            name=self.name, state=state, percent=self.percent, done=self.completed, total=self.total
        )


def _name(database: str | None, table: str | None) -> str:
    return ".".join(filter(None, (database, table)))


def _slowest(objects: Iterable[ObjectProgress]) -> list[ObjectProgress]:
    return heapq.nsmallest(SLOWEST, objects, key=lambda item: item.percent or 0.0)


def _read_page(request: Request, response: Response) -> ProgressDataPage:
    return ProgressDataPage.read(api_object(request, response))


def _read_plain_page(request: Request, response: Response) -> _PlainPage:
    page = _RawPage.read(api_object(request, response))
    return _PlainPage(page.count, [ObjectRow.read(row).plain() for row in page.flow_compare_data or ()])


@dataclass(frozen=True, slots=True, kw_only=True)
class DrsApi:
    """
    DRS, as one account sees it in one project.

    :param endpoint: scheme and host, such as ``https://drs.cn-north-4.myhuaweicloud.com``.
    :param region: region id, or None where the endpoint alone says it.
    """

    endpoint: str
    project_id: str
    signer: Signer = field(repr=False)
    region: str | None = None
    clock: Callable[[], datetime] = field(default=utc_now, repr=False)
    _listed: dict[tuple[str, tuple[str, ...]], tuple[str, list[_Objects]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The job's status and its objects as they were last listed, of at most :data:`MAX_LISTED` jobs."""

    def progress_data_page(
        self, job_id: str, object_type: str, listing: ObjectListing, *, language: str | None = None
    ) -> Conversation[ProgressDataPage]:
        """Ask for the page of objects at which a listing stands."""
        page: ProgressDataPage = yield self._ask_for_page(_read_page, job_id, object_type, listing, language)
        return page

    def _ask_for_page(
        self,
        read: Callable[[Request, Response], Any],
        job_id: str,
        object_type: str,
        listing: ObjectListing,
        language: str | None = None,
    ) -> Request:
        check_object_types((object_type,))
        if language is not None and str(language).lower() not in LANGUAGES:
            raise MigrationConfigurationError(f"language must be {' or '.join(LANGUAGES)}, not {language!r}.")
        query = encode_query([("limit", str(listing.limit)), ("offset", str(listing.offset))])
        project, job = quote(self.project_id, safe=""), require("job_id", job_id)
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

    def get_job_status(self, job_id: str) -> Conversation[JobProgress]:
        """Ask for the status of a job."""
        job = require("job_id", job_id)

        def read(request: Request, response: Response) -> JobProgress:
            results = _BatchProgress.read(api_object(request, response)).results
            if results == []:
                raise api_error(MigrationNotFoundError, request, response, "no such job")
            result = next((item for item in results or () if item.job_id in (job, None)), None)
            if result is None:
                raise api_error(MigrationResponseError, request, response, "no result for this job")
            if not result.transfer_status and result.error_code:
                raise refused(request, response, result.error_code, result.error_msg)
            return result.model_copy(update={"request_id": response.headers.get("x-request-id")})

        def read_many(request: Request, response: Response) -> dict[str, JobProgress]:
            results = _BatchProgress.read(api_object(request, response)).results or []
            request_id = response.headers.get("x-request-id")
            return {
                item.job_id: item.model_copy(update={"request_id": request_id})
                for item in reversed(results)  # of two the first counts, as it does alone
                if item.job_id and item.transfer_status
            }

        status: JobProgress = yield replace(
            self._batch_progress([job], read),
            item=job,
            batch=lambda jobs: self._batch_progress(jobs, read_many),
            batch_limit=MAX_JOBS,
        )
        return status

    def _batch_progress(self, jobs: Sequence[str], read: Callable[[Request, Response], Any]) -> Request:
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
    ) -> Conversation[MigrationProgress]:
        """
        Ask for the job's status and for its objects, and normalise both.

        The objects, a page for each thousand, are asked for only while they can tell something new: not
        before the job has begun, not in its incremental phase, and not again once all are seen to be copied
        and the job says the same. While the job says that it copies, its own figures carry the verdict, so
        listing its objects can be spared: they are then those of the time before.

        :param object_types: whose objects to count.
        :param job_status: whether to ask for the status.
        """
        types = check_object_types(object_types)
        if not types and not job_status:
            raise MigrationConfigurationError(
                "object_types is empty: without job_status there is nothing to ask."
            )
        job = (yield from self.get_job_status(job_id)) if job_status else None
        objects: list[_Objects] = []
        if job is None:
            objects = yield from self._list_objects(job_id, types)
        elif _has_objects(job):
            before, objects = self._listed.get((job_id, types), ("", []))
            is_copied = before == _word(job) == _COPIED and all(item.is_done for item in objects)
            if not is_copied:
                objects = yield from self._list_objects(job_id, types, job, objects)
            self._listed.pop((job_id, types), None)  # the last polled is the last to be forgotten
            self._listed[job_id, types] = _word(job), objects
            if len(self._listed) > MAX_LISTED:
                del self._listed[next(iter(self._listed))]
        known = [item for item in objects if item.total]
        common: dict[str, Any] = {
            "service": SERVICE,
            "migration_id": require("job_id", job_id),
            "objects": ObjectSummary(
                total=sum(item.total for item in known),
                completed=sum(item.completed for item in known),
                slowest=tuple(_slowest([row for item in known for row in item.slowest])),
            )
            if known
            else None,
            "observed_at": self.clock(),
            "console_url": "https://console.huaweicloud.com/drs/"
            + (f"?region={quote(self.region, safe='')}" if self.region else ""),
        }
        if job is None:
            return _progress_of_objects(objects, known, common)
        return _progress_of_job(job, known, common, max_lag)

    def _list_objects(
        self,
        job_id: str,
        object_types: Sequence[str],
        job: JobProgress | None = None,
        listed: list[_Objects] | None = None,
    ) -> Conversation[list[_Objects]]:
        """Count the objects, or return those that were listed before where that is spared."""
        objects = []
        can_be_spared = job is not None and _word(job) == _COPYING
        for object_type in object_types:
            counted, listing = _Objects(object_type), ObjectListing()
            while not listing.at_end:
                request = self._ask_for_page(_read_plain_page, job_id, object_type, listing)
                try:
                    page: _PlainPage | None = yield replace(request, can_be_spared=can_be_spared)
                except MigrationApiError as error:
                    code = (error.code or "").upper()
                    if code != _NO_LIST and not (code == _RELEASED and job is not None):
                        raise
                    break
                if page is None:
                    return listed or []
                can_be_spared = False  # what is begun is read to the end
                rows = page.flow_compare_data
                counted.add(page.count, listing.take(rows, (row[:4] for row in rows), page.count))
            objects.append(counted)
        return objects

    def _request(
        self,
        action: str,
        method: str,
        path: str,
        read: Callable[[Request, Response], Any],
        *,
        asked_for: str,
        body: bytes = b"",
        language: str | None = None,
    ) -> Request:
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


def _has_objects(job: JobProgress) -> bool:
    is_pending = STATUSES.state_of(job.transfer_status) is MigrationState.PENDING
    return not is_pending and _word(job) not in _AFTER_THE_COPY


def _word(job: JobProgress) -> str:
    return (job.transfer_status or "").strip().upper()


def _progress_of_objects(
    objects: list[_Objects], known: list[_Objects], common: dict[str, Any]
) -> MigrationProgress:
    """Normalise what the objects alone tell: not the job's state, only how far existing data is copied."""
    seen = sum(item.seen for item in known)
    percent = sum(item.percent_sum for item in known) / seen if seen else None
    if not known:
        state = MigrationState.UNKNOWN
    else:
        state = MigrationState.RUNNING if percent else MigrationState.PENDING
    all_done = len(known) == len(objects) and all(item.is_done for item in known)
    full = known_phase(name="full", state=MigrationState.SUCCEEDED if all_done else state, percent=percent)
    return MigrationProgress(
        state=state, percent=percent, phases=(full, *(item.phase() for item in known)), **common
    )


def _progress_of_job(
    job: JobProgress, known: list[_Objects], common: dict[str, Any], max_lag: float
) -> MigrationProgress:
    word = _word(job)
    bulk_done = _is_bulk_done(job, word, known)
    state = _state(job, word, bulk_done, max_lag)
    phases = tuple(_phases(job, word, state, bulk_done, known))
    lag = job.delay if job.has_incremental else None
    return MigrationProgress(
        state=state,
        service_status=job.transfer_status,
        percent=bulk_percent(phases),
        phases=phases,
        lag_seconds=lag,
        error=_error(job) if state is MigrationState.FAILED else None,
        request_id=job.request_id,
        words_reached=_words_reached(job, word, bulk_done),
        **common,
    )


def _is_bulk_done(job: JobProgress, word: str, known: list[_Objects]) -> bool:
    """Tell whether existing data is known to be copied: something says so, and nothing says otherwise."""
    if word in (_COPIED, *_AFTER_THE_COPY):
        return True
    if word in _FULL or word == "FULL_TRANSFER_FAILED":
        return False
    parts = (job.progress_map.struct, job.progress_map.data, job.progress_map.index)
    percents = [part.completed for part in parts if part and part.completed is not None]
    # DRS moves triggers and events only while a job is being ended.
    lists = [item for item in known if item.name not in ("trigger", "event")]
    data = job.progress_map.data
    denied = (
        (job.progress is not None and 0 < job.progress < 100)
        or any(percent < 100 for percent in percents)
        or not all(item.is_done for item in lists)
    )
    affirmed = (
        job.progress == 100
        or (data is not None and data.completed == 100)
        or any(item.name == "table" for item in lists)
        # Without a bulk phase there is nothing to copy once the increment has begun.
        or ((job.task_mode or "").upper() == "INCR_TRANS" and job.delay is not None)
    )
    return affirmed and not denied


def _state(job: JobProgress, word: str, bulk_done: bool, max_lag: float) -> MigrationState:
    if word == "FULL_TRANSFER_COMPLETE" and (job.task_mode or "").upper() == "FULL_TRANS":
        return MigrationState.SUCCEEDED
    if word == "RELEASE_RESOURCE_COMPLETE" and bulk_done:
        return MigrationState.SUCCEEDED
    if word == _INCREMENTAL and job.delay is not None and job.delay <= max_lag:
        return MigrationState.CAUGHT_UP
    state = STATUSES.state_of(word)
    # Whatever DRS adds, its failures end alike.
    is_failure = state is MigrationState.UNKNOWN and word.endswith("_FAILED")
    return MigrationState.FAILED if is_failure else state


def _phases(
    job: JobProgress, word: str, state: MigrationState, bulk_done: bool, known: list[_Objects]
) -> Iterable[Phase]:
    if (job.task_mode or "").upper() != "INCR_TRANS":
        struct = job.progress_map.struct
        if struct and struct.completed is not None:
            done = bulk_done or struct.completed == 100
            # Structure is copied while the job still says that it starts.
            is_moving = state is MigrationState.PENDING and 0 < struct.completed < 100
            yield known_phase(
                name="structure",
                state=MigrationState.SUCCEEDED if done else MigrationState.RUNNING if is_moving else state,
                percent=100 if done else struct.completed,
            )
        percent = 0.0 if state is MigrationState.PENDING and job.progress is None else job.progress
        yield known_phase(
            name="full",
            state=MigrationState.SUCCEEDED if bulk_done else state,
            service_status=job.transfer_status if word in _FULL or word == "FULL_TRANSFER_FAILED" else None,
            percent=100 if bulk_done else percent,
        )
    yield from (item.phase() for item in known)
    if job.has_incremental:
        begun = "INCRE" in word or state is MigrationState.SUCCEEDED
        yield known_phase(
            name="incremental",
            state=state if begun or (bulk_done and job.delay is not None) else MigrationState.PENDING,
            service_status=job.transfer_status if "INCRE" in word else None,
        )


def _words_reached(job: JobProgress, word: str, bulk_done: bool) -> frozenset[str]:
    # A job that is being released, has failed or is paused may have left any phase: only what is
    # known to have been done counts as passed.
    passed = [*_FULL] if bulk_done else []
    if bulk_done and word in _RELEASE and job.has_incremental and job.delay is not None:
        passed.append(_INCREMENTAL)
    return (
        frozenset(item.lower() for item in passed)
        | at_or_before((*_FULL, _INCREMENTAL) if word in (*_FULL, _INCREMENTAL) else (), word)
        | at_or_before(_RELEASE, word)
    )


def _error(job: JobProgress) -> MigrationErrorInfo:
    return MigrationErrorInfo(
        code=job.error_code or job.transfer_status,
        message=job.error_msg or f"DRS reports {job.transfer_status} and gives no reason.",
        remedy="Look at the task's log in the DRS console; once the cause is gone, resume the task there.",
    )
