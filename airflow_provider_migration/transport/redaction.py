"""Redact secrets from responses, errors and the HTTP libraries' logs."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from airflow_provider_migration.sansio import VERBATIM, Response

_T = TypeVar("_T")

MIN_SECRET_CHARACTERS: Final = 5
"""A shorter secret is not redacted: more likely it is a part of an ordinary text."""


def encodings(secrets: Iterable[str]) -> tuple[str, ...]:
    """
    Return secrets as they may be encoded in a URL, a form, a header, a page or JSON.

    The longest come first, because a secret may be a part of another.
    """
    found = {encoding for secret in secrets for encoding in _encodings(secret)}
    return tuple(sorted(found, key=len, reverse=True))


@lru_cache(maxsize=64)
def _encodings(secret: str) -> frozenset[str]:
    if len(secret) < MIN_SECRET_CHARACTERS:
        return frozenset()
    encoded = {quote(secret, safe=""), quote_plus(secret)}
    encoded |= {re.sub("%..", lambda match: match[0].lower(), text) for text in encoded}
    return frozenset((secret, json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret), *encoded))


def may_hold(response: Response, secrets: Sequence[str]) -> bool:
    """
    Tell, without parsing a response, whether :func:`redact` may find a secret in its content.

    Escapes of JSON, and encodings other than UTF-8, may spell a secret in any way.
    """
    body = response.body
    if b"\0" in body or (b"\\" in body and (b"\\u" in body or b"\\/" in body)):
        return True
    return any(
        secret.encode() in body or any(secret in text for text in response.headers.values())
        for secret in secrets
    )


def redact(value: _T, secrets: Sequence[str]) -> _T:
    """
    Redact secrets from the parts of an answer that are shown.

    :param value: a string, a response model, or a mapping, list or tuple of these; anything else is
        returned as it is. Numbers stay, and so does a word in a field that is declared as
        :data:`~airflow_provider_migration.sansio.Verbatim`.
    :param secrets: from :func:`encodings`.
    """
    return cast(_T, _redacted(value, secrets))


def _redacted(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, BaseModel):
        verbatim = _verbatim_fields(type(value))
        fields = {
            name: _redacted(item, secrets)
            for name, item in value
            if name not in verbatim or not _WORD.fullmatch(item or "")
        }
        return value.model_copy(update=fields)
    if isinstance(value, Mapping):
        return {key: _redacted(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        make = getattr(value, "_make", type(value))  # a named tuple takes its items one by one
        return make(_redacted(item, secrets) for item in value)
    return value


_WORD: Final = re.compile(r"[\w.-]*", re.ASCII)
"""A status or an id; prose in its place decides nothing, and may contain a secret."""


@cache
def _verbatim_fields(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, info in model.model_fields.items() if VERBATIM in info.metadata)


_QUERY: Final = re.compile(r"\?[^\s\"'>)]+")


def _redact_query(record: logging.LogRecord) -> bool:
    record.msg, record.args = _QUERY.sub("?***", record.getMessage()), ()
    return True


def redact_query_strings() -> None:
    """
    Redact query strings in the HTTP libraries' DEBUG logs: they may contain tokens and signatures.

    Calling it again changes nothing.
    """
    for name in ("urllib3.connectionpool", "urllib3.util.retry", "aiohttp.client", "aiohttp.internal"):
        logging.getLogger(name).addFilter(_redact_query)
