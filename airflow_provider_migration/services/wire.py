"""What the four services have in common on the wire, and how little of it is relied upon."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Annotated, Any, Final, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import from_json

from airflow_provider_migration.conversation import Request, Response
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import MAX_COUNT, MILESTONES, MigrationState, clean_text


def _plain(key: object) -> str:
    return str(key).replace("_", "").lower()


def has_field(data: Mapping[str, Any], name: str) -> bool:
    """Tell whether an answer has a field, whatever the case of its name."""
    return _plain(name) in map(_plain, data)


def _no_boolean(value: object) -> object:
    # To Python false is 0, and 0 is a lag to be glad of.
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _no_percent_sign(value: object) -> object:
    return value.strip().removesuffix("%") if isinstance(value, str) else _no_boolean(value)


Number = Annotated[float, BeforeValidator(_no_boolean)]
Percentage = Annotated[float, BeforeValidator(_no_percent_sign)]
Count = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=MAX_COUNT)]


class _Names(dict[str, tuple[str, "_Names | None"] | None]):
    """
    For each name that a service has written so far: the field it means, and the names inside that field.

    :param model: whose fields.
    """

    _MOST: Final = 1000
    """How many are kept: an answer may be made of names that never come again."""

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
        """Return an object by the model's own names, and without what the model has no field for."""
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
    """Return the model that a field holds, be it in a list or optional."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


_names_of = cache(_Names)


class WireModel(BaseModel):
    """A tolerant model of something a service answers, made by :meth:`read`. Each field has a default."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """
        Make the model of a JSON object.

        Fields are found whatever the case of their names (``MigrationJobStatus``, ``migration_job_status``).
        Numbers and booleans may come as strings and texts as numbers. A value that does not fit its field is
        taken as absent, because an answer that is odd in one place still tells the rest.
        """
        fields = _names_of(cls).rename(data)
        while True:
            try:
                return cls.model_validate(fields)
            except ValidationError as odd:
                for error in odd.errors(include_url=False, include_context=False, include_input=False):
                    _drop(fields, error["loc"])


def _drop(fields: Any, location: tuple[int | str, ...]) -> None:
    """Drop the innermost field on the way to a value."""
    owner, name = fields, location[0]
    for step in location:
        if isinstance(fields, dict):
            owner, name = fields, step
            if step not in fields:  # dropped before, for another value in it
                return
        fields = fields[step]
    del owner[name]


class StatusTable:
    """
    The status words of a service and the states they mean; compared without regard to case.

    :param words: for each state its words, as the service documents them.
    """

    def __init__(self, words: Mapping[MigrationState, tuple[str, ...]]) -> None:
        self.words = words
        self._states = {word.lower(): state for state, group in words.items() for word in group}

    def state_of(self, word: str | None) -> MigrationState:
        """Return the state that a word means; ``unknown`` for a word that is not documented, or for none."""
        return self._states.get((word or "").strip().lower(), MigrationState.UNKNOWN)

    def targets(
        self, *, further: Iterable[str] = (), states: Iterable[MigrationState] = ()
    ) -> frozenset[str]:
        """
        Return, in lower case, every target that a migration of the service can reach.

        :param further: words that are targets though they are no status (steps).
        :param states: states that follow from more than one word.
        """
        return frozenset(
            [*MILESTONES, *self._states, *(word.lower() for word in further)]
            + [state.value for state in (*self.words, *states, MigrationState.UNKNOWN)]
        )


def at_or_before(order: tuple[str, ...], word: str | None) -> frozenset[str]:
    """
    Return the words of an order up to and including one of them, in lower case.

    A word that is not in the order is returned alone, cut where it is longer than any word.
    """
    return _at_or_before(order, (word or "").strip().lower()[:256])


@lru_cache(maxsize=256)
def _at_or_before(order: tuple[str, ...], reached: str) -> frozenset[str]:
    words = [item.lower() for item in order]
    if reached in words:
        return frozenset(words[: words.index(reached) + 1])
    return frozenset((reached,)) if reached else frozenset()


def utc_now() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.now(UTC)


def instant(value: float | None, now: datetime) -> datetime | None:
    """
    Return epoch seconds (or milliseconds) as UTC time; None for what cannot be a checkpoint.

    Zero, negative and tiny numbers stand for "none yet"; more than a day ahead of the clock is no time.
    """
    if value is None:
        return None
    seconds = value / 1000 if value >= 1e12 else value
    if not 1e9 <= seconds <= (now + timedelta(days=1)).timestamp():
        return None
    return datetime.fromtimestamp(seconds, UTC)


_REMEDIES: Final[Mapping[type[MigrationApiError], str]] = {
    MigrationAuthenticationError: (
        "Check login and password of the connection, where requests are signed also its security token and "
        "this machine's clock."
    ),
    MigrationPermissionError: (
        "Give the account of the connection the right to make this call, and check the connection's region "
        "and project."
    ),
    MigrationNotFoundError: (
        "Check the id, and that host, region and project of the connection are those it lives in."
    ),
    MigrationRequestError: "Check the arguments and the connection.",
    MigrationThrottledError: "Raise poke_interval, or watch fewer migrations with this account.",
    MigrationServiceError: (
        "If this stays, check host, port and scheme in the connection, the network, and the service's status."
    ),
    MigrationResponseError: (
        "Check host in the connection: a proxy, a login page or another service may have answered."
    ),
}


def api_error(
    error: type[MigrationApiError],
    request: Request,
    response: Response | None,
    text: object,
    *,
    code: str | None = None,
    request_id: str | None = None,
) -> MigrationApiError:
    """
    Make the error for an answer: what was asked, what came back, what to do.

    :param response: the answer, or None when there was none.
    :param text: what the service says, or what is wrong. Left out where a key was refused, because
        services echo there what was signed.
    """
    came_back = [f"HTTP {response.status}"] if response else []
    if code:
        came_back.append(str(clean_text(code, 128)))
    if error is not MigrationAuthenticationError and text:
        came_back.append(str(clean_text(text, 500)).rstrip(". "))
    if request_id:
        came_back.append(f"request id {clean_text(request_id, 128)}")
    remedy = _REMEDIES[error]
    # Some services name the id themselves.
    asked_for = clean_text(request.asked_for, 256) or ""
    if error is MigrationNotFoundError and asked_for not in re.findall(r"[\w-]+", f"{clean_text(text, 500)}"):
        remedy = remedy.replace("the id", f"the id {asked_for}".rstrip(), 1)
    return error(
        f"{request.action} at {urlsplit(request.url).netloc}: {', '.join(came_back)}. {remedy}",
        service=request.service,
        action=request.action,
        http_status=response.status if response else None,
        code=clean_text(code, 128),
        request_id=clean_text(request_id, 128),
    )


def error_by_status(status: int) -> type[MigrationApiError] | None:
    """Return what an HTTP status means where the answer itself says nothing; None for success."""
    if 200 <= status < 300:
        return None
    known: dict[int, type[MigrationApiError]] = {
        401: MigrationAuthenticationError,
        403: MigrationPermissionError,
        404: MigrationNotFoundError,
        408: MigrationServiceError,
        425: MigrationServiceError,
        429: MigrationThrottledError,
    }
    if status in known:
        return known[status]
    if 400 <= status < 500:
        return MigrationRequestError
    return MigrationServiceError if status >= 500 else MigrationResponseError


def error_by_code(
    table: Iterable[tuple[str, type[MigrationApiError]]], code: str | None
) -> type[MigrationApiError] | None:
    """
    Return the error of the first row whose pattern is found at the start of a code; None when no row fits.

    :param table: regular expressions, compared without regard to case, and what they mean.
    """
    return next((error for pattern, error in table if re.match(pattern, code or "", re.IGNORECASE)), None)


def _parse(body: bytes) -> Any:
    """Return what JSON says, or None for what is none."""
    try:
        return from_json(body, cache_strings="keys")  # texts seldom come again
    except ValueError:
        pass
    try:
        return json.loads(body)  # slower, but it knows more encodings
    except (ValueError, RecursionError):
        return None


def json_object(request: Request, response: Response) -> dict[str, Any]:
    """
    Return the body as a JSON object.

    :raises MigrationApiError: what the HTTP status says, where the body is no JSON object.
    """
    data = _parse(response.body)
    if isinstance(data, dict):
        return data
    kind = response.headers.get("content-type", "no content type")
    text = f"not a JSON object ({kind}, {len(response.body)} bytes)"
    if 300 <= response.status < 400:
        text = "a redirect, which is never followed"
    raise api_error(error_by_status(response.status) or MigrationResponseError, request, response, text)


def require(argument: str, value: object) -> str:
    """
    Return an id as text.

    :raises MigrationConfigurationError: if it is empty, too long, or holds what no id holds.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
        raise MigrationConfigurationError(f"{argument} must be a text, not {type(value).__name__}.")
    text = "" if value is None else str(value).strip()
    if not text:
        raise MigrationConfigurationError(f"{argument} is empty: give the id that the service shows.")
    if len(text) > 256 or not text.isprintable():
        raise MigrationConfigurationError(f"{argument} is no id: it is too long or has control characters.")
    return text
