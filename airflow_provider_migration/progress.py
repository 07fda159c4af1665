"""The normalised record of a migration, the same for every service."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache, lru_cache, partial
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)

_T = TypeVar("_T")

MAX_RECORD_BYTES: Final = 16 * 1024
"""Maximum size of a record as JSON, whatever the service responds."""

MAX_MESSAGE_CHARACTERS: Final = 2_000

MAX_COUNT: Final = 2**53
"""Larger integers lose precision in JSON readers, and are not plausible as counts."""

MAX_SECONDS: Final = 10 * 365 * 86_400.0
MAX_RATE: Final = 1e15
"""Larger durations and rates are not plausible."""

MILESTONES: Final = ("structure_done", "full_done", "caught_up", "succeeded")

VERIFIED: Final = "verified"
"""The target: the migration is in sync or has succeeded, and the service's data check found no difference."""

BULK_PHASES: Final = ("structure", "full")
"""The phases of bulk work: schema and existing data."""


class MigrationState(StrEnum):
    """The normalised state of a migration."""

    PENDING = "pending"
    RUNNING = "running"
    CAUGHT_UP = "caught_up"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_ESCAPE_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)", re.DOTALL)
_SIGNED = re.compile(
    r"(?i)\b((?:x-\w+-)?(?:signature|credential|security-?token|(?:oss)?accesskeyid))(=|%3d)[^\s&\"'<>]+"
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean_text(value: object, limit: int = MAX_MESSAGE_CHARACTERS) -> str | None:
    """
    Sanitise a service's text for logs, XCom and pages; None for an empty text.

    Control characters, escape sequences and text-direction marks become one space, the signature of a
    pre-signed URL becomes ``***``, and the text is truncated to ``limit`` characters.
    """
    if value is None:
        return None
    # Do not search a megabyte for the few characters that are kept.
    text = str(value)[: limit * 4]
    # Most texts are printable, and this check is cheaper than the substitution.
    if not text.isprintable():
        text = _UNPRINTABLE.sub(" ", _ESCAPE_SEQUENCES.sub(" ", text))
    if "=" in text or "%3" in text:
        text = _SIGNED.sub(r"\1\2***", text)
    text = text.strip()
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    return text or None


Text = Annotated[str | None, BeforeValidator(clean_text)]
Label = Annotated[str | None, BeforeValidator(partial(clean_text, limit=256))]


def percent_or_none(value: float | None) -> float | None:
    """Return a value from 0 to 100, else None."""
    return value if value is not None and 0 <= value <= 100 else None


def _shown_percent(value: float | None) -> float | None:
    percent = percent_or_none(value)
    # 99.99 must not be rounded to 100, which would read as done.
    return percent if percent in (None, 100) else min(round(percent, 1), 99.9) + 0.0  # and -0.0 is 0


Percent = Annotated[float | None, AfterValidator(_shown_percent)]
Count = Annotated[
    int | None, AfterValidator(lambda value: value if value is None or 0 <= value <= MAX_COUNT else None)
]


def _at_most(limit: float) -> AfterValidator:
    """Drop a number that is negative, not a number, or above a limit."""
    return AfterValidator(lambda value: value if value is None or 0 <= value <= limit else None)


Seconds = Annotated[float | None, _at_most(MAX_SECONDS)]
Rate = Annotated[float | None, _at_most(MAX_RATE)]


def clean_link(value: object) -> str | None:
    """Return the address of a web page, or None for anything else: it may become a link."""
    text = clean_text(value, 512)
    return text if text and re.fullmatch(r"https?://[^\s\"'<>@\\…]+", text) and "***" not in text else None


Link = Annotated[str | None, BeforeValidator(clean_link)]


class _Record(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    def model_post_init(self, context: Any, /) -> None:
        """Share the set of given fields per model: one set per record is half of a record's memory."""
        object.__setattr__(self, "__pydantic_fields_set__", _fields_of(type(self)))


@cache
def _fields_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


class MigrationErrorInfo(_Record):
    """
    The error of a migration.

    :ivar code: the service's code or status, or None.
    :ivar message: the reason in the service's words, at most 2,000 characters; for a failed precheck of DTS
        the failed items and their repair.
    :ivar remedy: advice for the user.
    :ivar help_url: the vendor's page on the error, or None. Only in ``DescribeDtsJobs``.
    """

    code: Label = None
    message: Text = None
    remedy: Text = None
    help_url: Link = None


class Phase(_Record):
    """
    One part of a migration.

    :ivar name: ``precheck``, ``structure``, ``full``, ``incremental``, ``reverse_incremental``, a DRS
        object type, ``children`` or ``switchover`` of DRS, or a DataWorks step's own name.
    :ivar state: the normalised state.
    :ivar service_status: the service's own status of the phase, or None.
    :ivar percent: 0–100, or None when not known.
    :ivar done: number of completed rows, objects or items, or None.
    :ivar total: total number of rows, objects or items, or None.
    :ivar error: reason of the failure, or None.
    """

    name: Label
    state: MigrationState
    service_status: Label = None
    percent: Percent = None
    done: Count = None
    total: Count = None
    error: Text = None


_cached_phase = lru_cache(maxsize=1024)(Phase)


def interned_phase(**fields: Any) -> Phase:
    """
    Create a phase, or return the cached equal one: most phases are unchanged since the last poll.

    Without the cache a poll of DTS takes 4 % more CPU. Long texts rarely recur and are not cached.

    :param fields: the fields of a :class:`Phase`.
    """
    texts = (fields.get("name"), fields.get("service_status"), fields.get("error"))
    return (_cached_phase if sum(map(len, filter(None, texts))) <= 256 else Phase)(**fields)


class ObjectProgress(_Record):
    """
    The progress of one object.

    :ivar source: its name in the source, such as ``shop.orders``.
    :ivar destination: its name in the destination. DTS gives only the database.
    :ivar percent: 0–100, or None when not known. DTS estimates the number of rows when the copy begins.
    :ivar error: reason of its failure, at most 256 characters, or None. Only DTS gives one.
    """

    source: Label
    destination: Label
    percent: Percent = None
    error: Label = None


MAX_OBJECTS_NAMED: Final = 20
"""Maximum number of objects in each list of a summary."""


class ObjectSummary(_Record):
    """
    The objects of a DRS job, over the requested object types, or those of one phase of a DTS job.

    :ivar total: number of objects, as reported by the service.
    :ivar completed: number of objects at 100 %.
    :ivar slowest: at most 20 unfinished objects that have not failed, the slowest first.
    :ivar failed: at most 20 failed objects. DRS does not say which objects have failed.
    """

    total: int
    completed: int
    slowest: tuple[ObjectProgress, ...] = ()
    failed: tuple[ObjectProgress, ...] = ()


def slowest_objects(objects: Iterable[ObjectProgress]) -> list[ObjectProgress]:
    """Return at most 20 objects, the slowest first; an unknown percent counts as 0."""
    return heapq.nsmallest(MAX_OBJECTS_NAMED, objects, key=lambda item: item.percent or 0.0)


class Throughput(_Record):
    """
    The speed of a migration, as its service gives it.

    :ivar rows_per_second: number of rows, or None.
    :ivar bytes_per_second: number of bytes, or None.
    """

    rows_per_second: Rate = None
    bytes_per_second: Rate = None


def throughput_of(rows: float | None = None, size: float | None = None) -> Throughput | None:
    """
    Return a speed, or None without a plausible figure.

    :param rows: rows a second.
    :param size: bytes a second.
    """
    speed = Throughput(rows_per_second=rows, bytes_per_second=size)
    return None if speed.rows_per_second is None and speed.bytes_per_second is None else speed


class Retrying(_Record):
    """
    The retries that the service itself makes after an error of its own.

    :ivar count: number of retries so far, or None.
    :ivar for_seconds: seconds for which it has retried, or None.
    :ivar at_most_seconds: seconds after which it gives up, or None.
    :ivar reason: the error, or None.
    """

    count: Count = None
    for_seconds: Seconds = None
    at_most_seconds: Seconds = None
    reason: Text = None


class VerificationState(StrEnum):
    """The state of a service's own comparison of source and destination."""

    NOT_CONFIGURED = "not_configured"
    PENDING = "pending"
    RUNNING = "running"
    CONSISTENT = "consistent"
    INCONSISTENT = "inconsistent"
    FAILED = "failed"
    UNKNOWN = "unknown"


MAX_WORST: Final = 20
"""Maximum number of tables that a verification names."""


class TableVerification(_Record):
    """
    One table that differs, or that the service could not compare.

    :ivar source: name of the table in the source, such as ``shop.orders``. In a DRS comparison of objects,
        the object type.
    :ivar destination: name of the table in the destination, or None. OMS gives only the schema.
    :ivar result: the service's own word or number for the result.
    :ivar rows_different: number of rows that differ, or None.
    """

    source: Label
    destination: Label = None
    result: Label = None
    rows_different: Count = None


class Verification(_Record):
    """
    The service's own comparison of source and destination.

    The counts are null unless they were requested, as by a sensor with the target ``verified``.

    :ivar state: ``not_configured``, no data check is set up; ``pending``, not started; ``running``, also
        while paused or restarted; ``consistent``, at least one table was compared, no difference was found,
        and no table was skipped because of an error; ``inconsistent``, differences were found; ``failed``,
        the data check ended without comparing everything; ``unknown``, the result is not known.
    :ivar percent: 0–100, or None when not known.
    :ivar tables_total: number of tables, or None. If the service makes several comparisons, each counts its
        own.
    :ivar tables_compared: number of compared tables, or None.
    :ivar tables_different: number of tables that differ, or None.
    :ivar tables_failed: number of tables that could not be compared, or None.
    :ivar rows_different: number of rows that differ, or None.
    :ivar worst: at most 20 tables that differ or could not be compared, those with the most different rows
        first.
    :ivar checked_at: UTC time of the comparison, or None. The data may have changed since.
    """

    state: VerificationState
    percent: Percent = None
    tables_total: Count = None
    tables_compared: Count = None
    tables_different: Count = None
    tables_failed: Count = None
    rows_different: Count = None
    worst: tuple[TableVerification, ...] = ()
    checked_at: datetime | None = None

    @classmethod
    def ended(cls, **fields: Any) -> Verification:
        """
        Create the verification of a comparison that has ended: its counts decide, not the service's word for
        the end.

        :param fields: the other fields of a :class:`Verification`.
        """
        found = cls(state=VerificationState.UNKNOWN, **fields)
        counts = (found.tables_total, found.tables_compared, found.tables_different, found.tables_failed)
        if found.tables_different or found.rows_different:
            state = VerificationState.INCONSISTENT
        elif found.tables_failed:
            state = VerificationState.FAILED
        elif None not in counts and 0 < (found.tables_compared or 0) >= (found.tables_total or 0):
            state = VerificationState.CONSISTENT
        else:
            return found
        return found.model_copy(update={"state": state})

    @classmethod
    def merged(cls, parts: Iterable[Verification]) -> Verification:
        """
        Combine several comparisons of one migration: the worst state, the sums of the counts, the oldest
        time.

        :param parts: at least one.
        """
        parts = tuple(parts)
        if len(parts) == 1:
            return parts[0]
        return cls(
            state=worst_state(part.state for part in parts),
            percent=_combined(min, (part.percent for part in parts)),
            **{name: _combined(sum, (getattr(part, name) for part in parts)) for name in _COUNTS},
            worst=worst_tables(table for part in parts for table in part.worst),
            checked_at=_combined(min, (part.checked_at for part in parts)),
        )


_WORST_FIRST: Final = (
    VerificationState.INCONSISTENT,
    VerificationState.FAILED,
    VerificationState.UNKNOWN,
    VerificationState.RUNNING,
    VerificationState.PENDING,
    VerificationState.NOT_CONFIGURED,
    VerificationState.CONSISTENT,
)

_COUNTS: Final = (
    "tables_total",
    "tables_compared",
    "tables_different",
    "tables_failed",
    "rows_different",
)


MISMATCHES: Final = (VerificationState.INCONSISTENT, VerificationState.FAILED)
"""The states of a comparison that has ended badly."""


def worst_state(states: Iterable[VerificationState]) -> VerificationState:
    """Return the worst of several states of comparisons; there must be at least one."""
    return min(states, key=_WORST_FIRST.index)


def _by_different_rows(table: TableVerification) -> int:
    return -(table.rows_different or 0)


def worst_tables(tables: Iterable[TableVerification]) -> tuple[TableVerification, ...]:
    """Return at most 20 tables, those with most different rows first."""
    return tuple(heapq.nsmallest(MAX_WORST, tables, key=_by_different_rows))


def _combined(choose: Callable[[list[Any]], _T], values: Iterable[_T | None]) -> _T | None:
    """Combine values; None if one of them is not known."""
    given = list(values)
    return None if None in given else choose(given)


class DatasetName(NamedTuple):
    """The OpenLineage name of a source or a destination."""

    namespace: str
    name: str


class MigrationProgress(_Record):
    """
    One observation of a migration.

    XCom holds ``model_dump(mode="json")``. It stays under 16 KB: longer texts and lists of a service are
    truncated.

    :ivar schema_version: version of this record; incremented when a field changes its meaning.
    :ivar service: ``dataworks``, ``dts``, ``oms`` or ``drs``.
    :ivar migration_id: the service's id as text.
    :ivar name: the service's name for it, or None.
    :ivar state: the normalised state.
    :ivar service_status: the service's own status, unchanged.
    :ivar percent: 0–100, progress of the bulk work (schema and existing data); None when not known.
        Incremental work is measured by lag, never by percent.
    :ivar phases: the phases that are enabled, in order.
    :ivar lag_seconds: lag of the incremental phase in seconds ≥ 0, or None.
    :ivar checkpoint: source time up to which changes have been applied, in UTC, or None.
    :ivar error: reason of the failure, or None.
    :ivar objects: progress of the objects of a DRS job, or for a sensor with ``objects=True`` of a DTS job;
        None for other services, and while there is no list.
    :ivar verification: result of the service's own data check, or None where the service has no data check or
        does not report it. DTS: in ``DescribeDtsJobs``; OMS: with its steps; DRS: only on request, as by a
        sensor with the target ``verified``.
    :ivar throughput: speed while data is moved, or None. DTS: bytes, from ``DescribeDtsJobs``; OMS: rows and
        bytes of the full copy, with its steps; DRS: of the incremental phase.
    :ivar remaining_seconds: time left of the bulk work at ``observed_at``, or None. DRS gives one during the
        full copy. Otherwise a sensor or watcher estimates it from the history; a hook does not.
    :ivar remaining_source: ``service``, ``estimate``, or None without a time left.
    :ivar retrying: the service's own retries, or None while it makes none. Only in ``DescribeDtsJobs``.
    :ivar observed_at: UTC time of the response.
    :ivar request_id: the service's request id.
    :ivar console_url: address of the migration in the service's console.
    :ivar statuses_reached: every status or step of the service, in lower case, that the migration has
        reached or passed. Not in XCom.
    :ivar applied_until: source time up to which everything has been applied, in UTC, by the evidence of this
        very answer, or None. DTS and OMS: the checkpoint, in OMS that of the forward direction also at a
        reverse step. DRS, which gives no checkpoint: the answer's time less the delay, in the incremental
        phase only. Not in XCom.
    :ivar verification_remedy: what to do about a verification that is not ``consistent``, or None. Not in
        XCom.
    :ivar recheck_since: time after which the service must have compared, because this record shows a
        migration that stands still or copies existing data; None if an earlier data check stands. Not in
        XCom.
    :ivar is_rechecking: True if the service reports that a data check is running or about to run. Not in
        XCom.
    :ivar warnings: warnings for the user: an unreadable detail and its remedy, a clock that differs. Logged
        once per wait; held by XCom ``migration_wait``, not by the record.
    """

    schema_version: Literal[1] = 1
    service: str
    migration_id: Label
    name: Label = None
    state: MigrationState
    service_status: Label = None
    percent: Percent = Field(default=None, validate_default=True)
    phases: tuple[Phase, ...] = ()
    lag_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    checkpoint: datetime | None = None
    error: MigrationErrorInfo | None = None
    objects: ObjectSummary | None = None
    verification: Verification | None = None
    throughput: Throughput | None = None
    remaining_seconds: Seconds = None
    remaining_source: Literal["service", "estimate"] | None = None
    retrying: Retrying | None = None
    observed_at: datetime
    request_id: Label = None
    console_url: str | None = None
    statuses_reached: frozenset[str] = Field(default=frozenset(), exclude=True, repr=False)
    applied_until: datetime | None = Field(default=None, exclude=True, repr=False)
    verification_remedy: Text = Field(default=None, exclude=True, repr=False)
    recheck_since: datetime | None = Field(default=None, exclude=True, repr=False)
    is_rechecking: bool = Field(default=False, exclude=True, repr=False)
    warnings: tuple[Text, ...] = Field(default=(), exclude=True, repr=False)

    @field_validator("percent")
    @classmethod
    def _complete_at_the_end(cls, percent: float | None, info: ValidationInfo) -> float | None:
        complete = info.data.get("state") in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)
        return 100.0 if complete else percent

    @model_validator(mode="wrap")
    @classmethod
    def _stay_small(
        cls, data: Any, handler: ModelWrapValidatorHandler[MigrationProgress]
    ) -> MigrationProgress:
        record = handler(data)
        limit = MAX_MESSAGE_CHARACTERS
        while record._size() >= MAX_RECORD_BYTES:
            limit //= 2
            shorter: dict[str, Any] = shorten(record.model_dump(), limit)
            unseen = {name: getattr(record, name) for name in UNSEEN_FIELDS}
            record = handler({**shorter, **unseen})
        return record

    def _size(self) -> int:
        """Return the size in bytes of the JSON in XCom, or an upper bound if that is below the limit."""
        # XCom's JSON escapes non-ASCII characters: two bytes of UTF-8 become six at most.
        at_most = 4 * len(self.model_dump_json().encode())
        return at_most if at_most < MAX_RECORD_BYTES else len(json.dumps(self.model_dump(mode="json")))

    @property
    def is_verified(self) -> bool:
        """True if the migration is in sync or has succeeded, and the service has found no difference."""
        is_at_end = self.state in (MigrationState.CAUGHT_UP, MigrationState.SUCCEEDED)
        check = self.verification
        return is_at_end and check is not None and check.state is VerificationState.CONSISTENT

    def reached(self, milestone: str) -> bool:
        """
        Tell whether a milestone (``structure_done``, ``full_done``, ``caught_up``, ``succeeded``), or a later
        one, is reached.

        A migration with an incremental phase reaches ``caught_up`` when it is in sync, one without it when it
        has succeeded.

        :raises ValueError: for an unknown milestone.
        """
        if milestone not in MILESTONES:
            raise ValueError(f"milestone must be one of {', '.join(MILESTONES)}, not {milestone!r}")
        if self.state is MigrationState.SUCCEEDED:
            return True
        if self.state is MigrationState.CAUGHT_UP:
            return milestone != "succeeded"
        done = {phase.name for phase in self.phases if phase.state is MigrationState.SUCCEEDED}
        return (milestone == "structure_done" and not done.isdisjoint(BULK_PHASES)) or (
            milestone == "full_done" and "full" in done
        )


class MigrationSummary(_Record):
    """
    A migration in the list of its service: light, and no evidence that a target is reached.

    :ivar service: ``dataworks``, ``dts``, ``oms`` or ``drs``.
    :ivar migration_id: the service's id as text, as the sensors take it.
    :ivar name: the service's name for it, or None.
    :ivar kind: ``migration``, ``sync``, ``disaster_recovery``, ``verify``, ``import`` or ``export``.
    :ivar state: the normalised state, as far as the list shows it.
    :ivar service_status: the service's own status, unchanged.
    :ivar lag_seconds: lag of the incremental phase in seconds ≥ 0, or None where the list has none.
    :ivar created_at: UTC time of its creation, or None.
    """

    service: str
    migration_id: str
    name: Label = None
    kind: Label = None
    state: MigrationState
    service_status: Label = None
    lag_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    created_at: datetime | None = None


UNSEEN_FIELDS: Final = tuple(name for name, field in MigrationProgress.model_fields.items() if field.exclude)
"""Fields of a record that XCom does not hold."""

QUIET_FIELDS: Final = ("throughput", "remaining_seconds", "remaining_source", "retrying")
"""Fields that change at each poll: their change alone is not written, but comes with the next one."""

SHOWS_ACTIVITY: Final[Mapping[str, bool]] = {
    "schema_version": False,
    "service": False,
    "migration_id": False,
    "name": False,
    "state": True,
    "service_status": True,
    "percent": True,
    "phases": True,
    "lag_seconds": False,  # the lag of a stuck migration grows too: only its checkpoint shows activity
    "checkpoint": False,
    "error": True,
    "objects": True,
    "verification": False,
    "throughput": False,
    "remaining_seconds": False,
    "remaining_source": False,
    "retrying": False,
    "observed_at": False,
    "request_id": False,
    "console_url": False,
    "statuses_reached": False,
    "applied_until": False,
    "verification_remedy": False,
    "recheck_since": False,
    "is_rechecking": False,
    "warnings": False,
}
"""Fields whose change counts as activity for ``stall_timeout``."""


def bulk_percent(phases: Iterable[Phase]) -> float | None:
    """
    Return the progress of the bulk work: the mean of its phases, None if one of them is unknown.

    :param phases: the enabled phases; only ``structure`` and ``full`` count.
    """
    percents = [phase.percent for phase in phases if phase.name in BULK_PHASES]
    known = [percent for percent in percents if percent is not None]
    return sum(known) / len(known) if known and len(known) == len(percents) else None


def shorten(value: Any, limit: int) -> Any:
    """Truncate the texts in plain data to ``limit`` characters, and its lists to an eighth as many items."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return clean_text(value, limit)
    if isinstance(value, dict):
        return {key: shorten(item, limit) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shorten(item, limit) for item in value[: max(limit // 8, 1)]]
    return value
