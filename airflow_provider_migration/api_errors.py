"""Map an HTTP status or a service's error code to an exception with a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import clean_text
from airflow_provider_migration.sansio import Request, Response

_REMEDIES: Final[Mapping[type[MigrationApiError], str]] = {
    MigrationAuthenticationError: (
        "Check the connection's login and password; where requests are signed, also its security token and "
        "this machine's clock."
    ),
    MigrationPermissionError: (
        "Grant the connection's account the permission for this call, and check the connection's region and "
        "project."
    ),
    MigrationNotFoundError: ("Check the id, and that the connection's host, region and project match."),
    MigrationRequestError: "Check the arguments and the connection.",
    MigrationThrottledError: "Raise poke_interval, or watch fewer migrations with this account.",
    MigrationServiceError: (
        "If this persists, check the connection's host, port and scheme, the network, and the service's "
        "status."
    ),
    MigrationResponseError: (
        "Check the connection's host: a proxy, a login page or another service may have responded."
    ),
}


def api_error(
    error: type[MigrationApiError],
    request: Request[Any],
    response: Response | None,
    text: object,
    *,
    code: str | None = None,
    request_id: str | None = None,
) -> MigrationApiError:
    """
    Create the error for a response: what was requested, what came back, what to do.

    A refusal by HTTP status alone, without an error code of the service, may come from an ingress, a
    firewall or a proxy in front of it: a wait that has already succeeded once tolerates it for some polls.
    A refusal inside an HTTP 200 without a code ("no such job") comes from the service itself and is final.

    :param response: the response, or None if there was none.
    :param text: the service's message, or a description of the problem. Omitted for authentication errors,
        because services echo the signed request there.
    """
    status = response.status if response else None
    code = _shown(code, response, 128)
    said = _shown(text, response, 500)
    request_id = _shown(request_id, response, 128)
    came_back = [f"HTTP {status}"] if response else []
    if code:
        came_back.append(code)
    if error is not MigrationAuthenticationError and said:
        came_back.append(said.rstrip(". "))
    if request_id:
        came_back.append(f"request id {request_id}")
    remedy = _REMEDIES[error]
    # Skip the id where the service's own message names it.
    asked_for = clean_text(request.asked_for, 256) or ""
    if error is MigrationNotFoundError and asked_for not in re.findall(r"[\w-]+", said or ""):
        remedy = remedy.replace("the id", f"the id {asked_for}".rstrip(), 1)
    made = error(
        f"{request.action} at {urlsplit(request.url).netloc}: {', '.join(came_back)}. {remedy}",
        service=request.service,
        action=request.action,
        http_status=status,
        code=code,
        request_id=request_id,
    )
    is_refused_by_status = response is not None and error_by_status(response.status) is not None
    made.tolerated_after_success = is_refused_by_status and not error.is_transient and made.code is None
    return made


def _shown(text: object, response: Response | None, limit: int) -> str | None:
    """Redact a text, then truncate it: redaction would miss a truncated secret."""
    return clean_text(response.redact(str(text)) if response and text is not None else text, limit)


def own_code(response: Response, *codes: str | None) -> str | None:
    """
    Return the first non-empty code, or None if it only repeats the HTTP status.

    Ingresses and web frameworks write ``{"code": 404}``; no service does, except IAM of Huawei Cloud.
    """
    code = next(filter(None, codes), None)
    return None if code == str(response.status) else code


def error_by_status(status: int) -> type[MigrationApiError] | None:
    """Return the error class for an HTTP status, for responses without a known code; None for success."""
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
    Return the error class of the first row whose pattern matches the start of a code, else None.

    :param table: case-insensitive regular expressions and their error classes.
    """
    return next((error for pattern, error in table if re.match(pattern, code or "", re.IGNORECASE)), None)
