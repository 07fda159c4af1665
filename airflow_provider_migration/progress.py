"""What a migration looks like, whichever service runs it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache, lru_cache, partial
from typing import Annotated, Any, Final, Literal, NamedTuple

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

MAX_RECORD_BYTES: Final = 16 * 1024
"""Upper bound of a record as JSON, whatever the service answers."""

MAX_MESSAGE_CHARACTERS: Final = 2_000

MAX_COUNT: Final = 2**53
"""Beyond this no JSON reader counts exactly, and no service counts in earnest."""

MILESTONES: Final = ("structure_done", "full_done", "caught_up", "succeeded")

BULK_PHASES: Final = ("structure", "full")
"""The phases of bulk work: schema and existing data."""


class MigrationState(StrEnum):
    """The state of a migration, in words that are the same for every service."""

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
    Return a service's text made harmless for logs, XCom and pages, or None when there is none.

    Control characters, escape sequences and text-direction marks become one space, the signature of an
    address that lets its bearer in becomes ``***``, and what is longer than ``limit`` characters is cut.
    """
    if value is None:
        return None
    # A megabyte need not be searched for the few characters that are kept.
    text = str(value)[: limit * 4]
    # Most texts are plain, and asking takes less time than searching.
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
    """Return a percentage, or None for what cannot be one."""
    return value if value is not None and 0 <= value <= 100 else None


def _shown_percent(value: float | None) -> float | None:
    percent = percent_or_none(value)
    # 99.99 is not rounded to 100: that would read as done.
    return percent if percent in (None, 100) else min(round(percent, 1), 99.9) + 0.0  # and -0.0 is 0


Percent = Annotated[float | None, AfterValidator(_shown_percent)]
Count = Annotated[
    int | None, AfterValidator(lambda value: value if value is None or 0 <= value <= MAX_COUNT else None)
]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    def model_post_init(self, context: Any, /) -> None:
        """Take all fields as given: to remember which were is half of what a record takes of a triggerer."""
        object.__setattr__(self, "__pydantic_fields_set__", _fields_of(type(self)))


@cache
def _fields_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


class MigrationErrorInfo(_Record):
    """
    Why a migration failed.

    :ivar code: the service's code or status, or None.
    :ivar message: the reason in the service's words, at most 2,000 characters; for a failed precheck of DTS
        the failed items and their repair.
    :ivar remedy: what a person can do.
    """

    code: Label = None
    message: Text = None
    remedy: Text = None


class Phase(_Record):
    """
    One part of a migration.

    :ivar name: ``precheck``, ``structure``, ``full``, ``incremental``, ``reverse_incremental``, a DRS
        object type, or a DataWorks step's own name.
    :ivar state: what state it is in.
    :ivar service_status: the service's own word for it, or None where it has none.
    :ivar percent: 0–100, or None when not known.
    :ivar done: how many rows, objects or items are done, or None.
    :ivar total: of how many, or None.
    :ivar error: why it failed, or None.
    """

    name: Label
    state: MigrationState
    service_status: Label = None
    percent: Percent = None
    done: Count = None
    total: Count = None
    error: Text = None


_known_phase = lru_cache(maxsize=1024)(Phase)


def known_phase(**fields: Any) -> Phase:
    """
    Make a phase, or give the one that was made of the same: most look as they did at the last poll.

    Making each anew would be a tenth of a poll. Long texts seldom come again, and are not kept.

    :param fields: those of a :class:`Phase`.
    """
    texts = (fields.get("name"), fields.get("service_status"), fields.get("error"))
    return (_known_phase if sum(map(len, filter(None, texts))) <= 256 else Phase)(**fields)


class ObjectProgress(_Record):
    """
    How far one DRS object is.

    :ivar source: its name in the source, such as ``shop.orders``.
    :ivar destination: its name in the destination.
    :ivar percent: 0–100, or None when not known.
    """

    source: Label
    destination: Label
    percent: Percent = None


class ObjectSummary(_Record):
    """
    The objects of a DRS job, over the object types that were asked for.

    :ivar total: how many the service says there are.
    :ivar completed: how many of them were seen at 100 %.
    :ivar slowest: at most 20 that are not done, the slowest first.
    """

    total: int
    completed: int
    slowest: tuple[ObjectProgress, ...] = ()


class DatasetName(NamedTuple):
    """What OpenLineage calls a source or a destination."""

    namespace: str
    name: str


class MigrationProgress(_Record):
    """
    One observation of a migration.

    ``model_dump(mode="json")`` is what XCom holds. It stays under 16 KB: where a service's texts and
    lists are longer, they are cut until it does.

    :ivar schema_version: version of this record; grows when a field changes its meaning.
    :ivar service: ``dataworks``, ``dts``, ``oms`` or ``drs``.
    :ivar migration_id: the service's id as text.
    :ivar name: the service's name for it, or None.
    :ivar state: what state it is in.
    :ivar service_status: the service's own word, as it came.
    :ivar percent: 0–100, how much of the bulk work (schema and existing data) is done; None when not
        known. Incremental work is measured by lag, never by percent.
    :ivar phases: the phases that are enabled, in order.
    :ivar lag_seconds: how far the incremental phase is behind, in seconds ≥ 0, or None.
    :ivar checkpoint: up to which time of the source changes have been applied, in UTC, or None.
    :ivar error: why it failed, or None.
    :ivar objects: how far the objects of a DRS job are; None for other services, and while there is no list.
    :ivar observed_at: UTC time of the answer.
    :ivar request_id: the service's id of the answer.
    :ivar console_url: where a person looks at the migration.
    :ivar words_reached: every status or step of the service, in lower case, that the migration is at or
        has passed. Not part of what XCom holds.
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
    observed_at: datetime
    request_id: Label = None
    console_url: str | None = None
    words_reached: frozenset[str] = Field(default=frozenset(), exclude=True, repr=False)

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
            record = handler({**shorter, "words_reached": record.words_reached})
        return record

    def _size(self) -> int:
        """Return how many bytes the JSON takes; where that is few at a glance, how many at most."""
        if self.error is None and self.objects is None:
            texts = [self.service, self.migration_id, self.name]
            texts += [self.service_status, self.request_id, self.console_url]
            for phase in self.phases:
                texts += phase.name, phase.service_status, phase.error
            # Spelt in ASCII a character takes at most 12 bytes.
            at_most = 1024 + 256 * len(self.phases) + 12 * sum(map(len, filter(None, texts)))
            if at_most < MAX_RECORD_BYTES:
                return at_most
        return len(json.dumps(self.model_dump(mode="json")))

    def reached(self, milestone: str) -> bool:
        """
        Tell whether a milestone (``structure_done``, ``full_done``, ``caught_up``, ``succeeded``), or
        anything after it, is so.

        ``caught_up`` is reached by a migration that has an incremental phase when it is in sync, and by
        one that has none when it has succeeded.

        :raises ValueError: for a word that is no milestone.
        """
        if milestone not in MILESTONES:
            raise ValueError(f"{milestone!r} is no milestone; these are: {', '.join(MILESTONES)}")
        if self.state is MigrationState.SUCCEEDED:
            return True
        if self.state is MigrationState.CAUGHT_UP:
            return milestone != "succeeded"
        done = {phase.name for phase in self.phases if phase.state is MigrationState.SUCCEEDED}
        return (milestone == "structure_done" and not done.isdisjoint(BULK_PHASES)) or (
            milestone == "full_done" and "full" in done
        )


def bulk_percent(phases: Iterable[Phase]) -> float | None:
    """
    Return how much of the bulk work is done: the mean of its phases, None when one of them is not known.

    :param phases: the enabled phases of bulk work (``structure``, ``full``).
    """
    percents = [phase.percent for phase in phases if phase.name in BULK_PHASES]
    known = [percent for percent in percents if percent is not None]
    return sum(known) / len(known) if known and len(known) == len(percents) else None


def shorten(value: Any, limit: int) -> Any:
    """Return plain data whose texts are cut at so many characters, and its lists likewise."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return clean_text(value, limit)
    if isinstance(value, dict):
        return {key: shorten(item, limit) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shorten(item, limit) for item in value[: max(limit // 8, 1)]]
    return value
