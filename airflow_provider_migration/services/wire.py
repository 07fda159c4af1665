"""Tolerant response models, status tables and parsing helpers shared by all services."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar, Final, Generic, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import from_json

from airflow_provider_migration.api_errors import api_error, error_by_status
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationPermissionError,
    MigrationResponseError,
)
from airflow_provider_migration.progress import MAX_COUNT, MILESTONES, MigrationState
from airflow_provider_migration.sansio import Request, Response

_State = TypeVar("_State")
_K = TypeVar("_K")
_V = TypeVar("_V")


def _plain(key: object) -> str:
    return str(key).replace("_", "").lower()


def has_field(data: Mapping[str, Any], name: str) -> bool:
    """Tell whether a response has a field; case and underscores in its name are ignored."""
    return _plain(name) in map(_plain, data)


def _no_boolean(value: object) -> object:
    # bool is an int: reject it, or `false` would read as a lag of 0.
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _no_percent_sign(value: object) -> object:
    return value.strip().removesuffix("%") if isinstance(value, str) else _no_boolean(value)


def _unreadable_is_negative(value: object) -> object:
    # If an unreadable lag were dropped, the migration could count as in sync.
    if value is None or value == "":
        return value
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type] # whatever came
    except (TypeError, ValueError, OverflowError):
        return UNREADABLE_LAG
    return seconds if math.isfinite(seconds) else UNREADABLE_LAG


UNREADABLE_LAG: Final = -2.0
"""Placeholder for an unreadable lag; services write -1 before the incremental phase."""

Number = Annotated[float, BeforeValidator(_no_boolean)]
Lag = Annotated[float, BeforeValidator(_unreadable_is_negative)]
"""Lag in seconds or milliseconds; an unreadable value becomes negative, which is never in sync."""
Percentage = Annotated[float, BeforeValidator(_no_percent_sign)]
Count = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=MAX_COUNT)]


def _unreadable_is_empty(value: object) -> object:
    return value if isinstance(value, (dict, BaseModel)) else {}


KEEP_ITEM: Final = BeforeValidator(_unreadable_is_empty)
"""
Keeps an item of a list that is not an object, as a model without values. Dropped, it would be missing from
the list without a trace.
"""


class _Names(dict[str, tuple[str, "_Names | None"] | None]):
    """
    Cache of field names as a service spells them: the model's field, and the names inside that field.

    :param model: the model with the fields.
    """

    _MOST: Final = 1000
    """Maximum number of cached names: a response may be full of names that never recur."""

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__()
        self._fields: dict[str, tuple[str, _Names | None]] = {}
        for name, info in model.model_fields.items():
            inner = _model_in(info.annotation)
            self._fields[_plain(name)] = (name, _Names(inner) if inner else None)

    def __missing__(self, written: str) -> tuple[str, _Names | None] | None:
        meaning = self._fields.get(_plain(written))
        if len(self) < self._MOST:
            self[written] = meaning
        return meaning

    def rename(self, data: dict[str, Any]) -> dict[str, Any]:
        """Rename an object's keys to the model's field names; drop unknown keys."""
        renamed = {}
        for written, value in data.items():
            if meaning := self[written]:
                name, inner = meaning
                if inner is not None and isinstance(value, dict):
                    value = inner.rename(value)
                elif inner is not None and isinstance(value, list):
                    value = [inner.rename(item) if isinstance(item, dict) else item for item in value]
                renamed[name] = value
        return renamed


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside a field's type, also within a list or an optional."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


_names_of = cache(_Names)


class WireModel(BaseModel):
    """A tolerant response model, created with :meth:`read`. Each field has a default."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="ignore",
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """
        Create the model from a JSON object.

        Field names match regardless of case and underscores (``MigrationJobStatus``,
        ``migration_job_status``). Numbers and booleans may be strings, and texts may be numbers. A value that
        does not fit its field is treated as absent, because the rest of the response is still usable.
        """
        fields = _names_of(cls).rename(data)
        while True:
            try:
                return cls.model_validate(fields)
            except ValidationError as odd:
                for error in odd.errors(include_url=False, include_context=False, include_input=False):
                    _drop(fields, error["loc"])


def _drop(fields: Any, location: tuple[int | str, ...]) -> None:
    """Drop the innermost field on the path to a value."""
    owner, name = fields, location[0]
    for step in location:
        if isinstance(fields, dict):
            owner, name = fields, step
            if step not in fields:  # dropped already, for another value in it
                return
        fields = fields[step]
    del owner[name]


class WordTable(Generic[_State]):
    """
    The words of a service and the states they map to; case-insensitive.

    :param words: the documented words of each state.
    :param otherwise: the state of an undocumented or missing word.
    """

    def __init__(self, words: Mapping[_State, tuple[str, ...]], otherwise: _State) -> None:
        self.words = words
        self._otherwise = otherwise
        self._states = {word.lower(): state for state, group in words.items() for word in group}

    def state_of(self, word: str | None) -> _State:
        """Return the state of a word."""
        return self._states.get((word or "").strip().lower(), self._otherwise)


class StatusTable(WordTable[MigrationState]):
    """
    The status words of a service; an undocumented or missing word is ``unknown``.

    :param words: the documented words of each state.
    """

    def __init__(self, words: Mapping[MigrationState, tuple[str, ...]]) -> None:
        super().__init__(words, MigrationState.UNKNOWN)

    @property
    def known_words(self) -> frozenset[str]:
        """The documented words, in lower case."""
        return frozenset(self._states)

    @property
    def states(self) -> frozenset[MigrationState]:
        """The states that a word can have, that of an undocumented one included."""
        return frozenset((*self.words, MigrationState.UNKNOWN))

    def targets(
        self, *, further: Iterable[str] = (), states: Iterable[MigrationState] = ()
    ) -> frozenset[str]:
        """
        Return every target that a migration of the service can reach, in lower case.

        :param further: further target words that are not statuses, such as steps.
        :param states: states derived from more than one word.
        """
        return frozenset(
            [*MILESTONES, *self._states, *(word.lower() for word in further)]
            + [state.value for state in (*self.words, *states, MigrationState.UNKNOWN)]
        )


def up_to(order: tuple[str, ...], word: str | None) -> frozenset[str]:
    """
    Return the words up to and including a given one, in lower case.

    A word that is not in the order is returned alone, truncated to 256 characters.
    """
    return _at_or_before(order, (word or "").strip().lower()[:256])


@lru_cache(maxsize=256)
def _at_or_before(order: tuple[str, ...], reached: str) -> frozenset[str]:
    words = [item.lower() for item in order]
    if reached in words:
        return frozenset(words[: words.index(reached) + 1])
    return frozenset((reached,)) if reached else frozenset()


def parse_timestamp(value: float | None, now: datetime) -> datetime | None:
    """
    Parse epoch seconds (or milliseconds) as UTC time; None for a value that cannot be a checkpoint.

    Zero, negative and tiny numbers mean "none yet"; more than a day ahead of the clock is rejected.
    """
    if value is None:
        return None
    seconds = value / 1000 if value >= 1e12 else value
    if not 1e9 <= seconds <= (now + timedelta(days=1)).timestamp():
        return None
    return datetime.fromtimestamp(seconds, UTC)


MAX_CACHED: Final = 4096
"""Maximum entries of a cache of migrations; the oldest is evicted first."""


def cache_put(memory: dict[_K, _V], key: _K, value: _V, limit: int = MAX_CACHED) -> None:
    """Store a value in a bounded cache and evict the oldest entries."""
    memory.pop(key, None)
    memory[key] = value
    while len(memory) > limit:
        del memory[next(iter(memory))]


def utc_time(text: str | None, zone: tzinfo = UTC) -> datetime | None:
    """
    Parse an ISO time as UTC time; None for anything else.

    :param zone: time zone of a time without an offset.
    """
    try:
        moment = datetime.fromisoformat((text or "").strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parse(body: bytes) -> Any:
    """Parse JSON; None for invalid JSON."""
    try:
        return from_json(body, cache_strings="keys")  # string values rarely recur
    except ValueError:
        pass
    try:
        return json.loads(body)  # slower, but supports more encodings
    except (ValueError, RecursionError):
        return None


def json_object(request: Request[Any], response: Response) -> dict[str, Any]:
    """
    Parse the body as a JSON object.

    :raises MigrationApiError: by the HTTP status, if the body is not a JSON object.
    """
    data = _parse(response.body)
    if isinstance(data, dict):
        return data
    kind = response.headers.get("content-type", "no content type")
    text = f"not a JSON object ({kind}, {len(response.body)} bytes)"
    if 300 <= response.status < 400:
        text = "a redirect, which is never followed"
    raise api_error(error_by_status(response.status) or MigrationResponseError, request, response, text)


def unread_verification(error: MigrationApiError, permission: str) -> str:
    """
    Return the warning about a failed request for the result of a data check.

    The warning has no request id, so that the same problem is logged once.

    :param permission: the permission that the call needs.
    """
    status = f"HTTP {error.http_status}" if error.http_status else None
    came_back = ", ".join(filter(None, (status, error.code, error.reason))) or type(error).__name__
    is_permission_missing = isinstance(error, MigrationPermissionError)
    remedy = f"Give the account {permission}." if is_permission_missing else "The next poll will try again."
    return f"The result of the data check is not known: {error.action} failed ({came_back}). {remedy}"


def require_id(argument: str, value: object) -> str:
    """
    Return an id as text.

    :raises MigrationConfigurationError: if it is empty, too long or not printable.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
        raise MigrationConfigurationError(f"{argument} must be a string, not {type(value).__name__}.")
    text = "" if value is None else str(value).strip()
    if not text:
        raise MigrationConfigurationError(f"{argument} is empty; use the ID that the service shows.")
    if len(text) > 256 or not text.isprintable():
        raise MigrationConfigurationError(
            f"{argument} is not a valid ID: it is too long or contains control characters."
        )
    return text
