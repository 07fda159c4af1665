"""
OceanBase Migration Service: HTTP Basic, and the progress of a migration project (the "omsp v2" API).

Business errors come with HTTP 200 and ``success: false``; a wrong password is turned away by the web
server in front, with a page instead of JSON.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_migration.simulator.identity import PASSWORD, USER
from airflow_provider_migration.simulator.scripts import Condition, Moment
from airflow_provider_migration.simulator.wire import (
    Answer,
    Call,
    Identifiers,
    Subject,
    basic_credentials,
    html_page,
    refuse,
)

if TYPE_CHECKING:
    from airflow_provider_migration.simulator.playback import Frame, Playback

_PROGRESS = re.compile(r"/api/omsp/v2/migrations/(?P<id>[^/]+)/progress")
_EMPTY_ENVELOPE: dict[str, Any] = dict.fromkeys(
    ("errorDetail", "code", "message", "advice", "requestId", "pageNumber", "pageSize", "totalCount")
)


class Oms:
    """The OMS console's API."""

    def __init__(self, playback: Playback, identifiers: Identifiers) -> None:
        self._playback = playback
        self._identifiers = identifiers

    def subject(self, call: Call) -> Subject:
        """Return what the call is about."""
        found = _PROGRESS.fullmatch(call.path)
        action = "GetMigrationProgress" if found else call.path
        return Subject("oms", action, found["id"] if found else "", call.method not in ("GET", "HEAD"))

    def admit(self, call: Call) -> None:
        """Check user and password."""
        given = basic_credentials(call.headers.get("authorization", ""))
        if given is None or not hmac.compare_digest(":".join(given).encode(), f"{USER}:{PASSWORD}".encode()):
            challenge = {"www-authenticate": 'Basic realm="OMS"'}
            refuse(Answer(401, html_page(401, "Authorization Required"), challenge))

    def answer(self, call: Call) -> Answer:
        """Answer the progress of a project."""
        found = _PROGRESS.fullmatch(call.path)
        if found is None:
            return Answer(404, html_page(404, "Not Found"))
        if call.method != "GET":
            return Answer(405, html_page(405, "Not Allowed"), {"allow": "GET"})
        frame = self._playback.poll("oms", found["id"])
        if frame is None:
            return self._failure(
                "GHANA-PROJECT000001", f"Project {found['id']} does not exist or has been deleted."
            )
        if (error := frame.error) is not None:
            return self._failure(error.code, error.message, error.http_status or 200)
        data = frame.steps_over(oms_progress(frame))
        return Answer(200, {"success": True, **_EMPTY_ENVELOPE, "cost": "13 ms", "data": data})

    def throttled(self, call: Call, *, hint: float | None, status: int | None) -> Answer:
        """Answer with a page of the web server in front, and ``Retry-After`` in seconds as the hint."""
        headers = {} if hint is None else {"retry-after": str(max(1, round(hint)))}
        return Answer(status or 429, html_page(status or 429, "Too Many Requests"), headers)

    def broken(self, call: Call, *, status: int | None) -> Answer:
        """Answer with an internal error."""
        return self._failure("GHANA-OPERIE000000", "Internal service error.", status or 500)

    def _failure(self, code: str, message: str, status: int = 200) -> Answer:
        request_id = self._identifiers.hexadecimal()
        text = f"[{code}]: {message}"
        detail = {"code": code, "level": "ERROR", "message": text, "requestId": request_id}
        content = {
            "success": False,
            **_EMPTY_ENVELOPE,
            "errorDetail": detail,
            "code": code,
            "message": text,
            "requestId": request_id,
            "cost": "3 ms",
        }
        return Answer(status, content)


def oms_progress(frame: Frame) -> dict[str, Any]:
    """Return the ``data`` of the progress answer; checkpoints are null before their phase."""
    moment, incremental = frame.moment, frame.migration.has_incremental
    return {
        "status": _status(moment),
        "importance": "LOW",
        "enableStructMigration": True,
        "enableFullMigration": True,
        "enableIncrSync": incremental,
        "enableReverseIncrSync": False,
        "currentStep": _step(moment, incremental),
        "structMigrationProgress": _percent(moment.structure),
        "fullMigrationProgress": _percent(moment.full, _FULL_SHARE),
        "incrSyncCheckpoint": None if moment.lag is None else int(frame.now - moment.lag),
        "reverseIncrSyncCheckpoint": None,
    }


_PRECHECK_SHARE, _LOG_PULL_SHARE, _FULL_SHARE = 0.7, 0.05, 0.9
"""Where, in the fraction of its phase, PRE_CHECK ends, INCR_LOG_PULL ends, FULL_MIGRATION ends."""


def _percent(fraction: float | None, share: float = 1.0) -> int:
    return int(min((fraction or 0.0) / share, 1.0) * 100)


def _step(moment: Moment, incremental: bool) -> str:
    if moment.lag is not None:
        return "INCR_SYNC"
    if moment.full is not None:
        if incremental and moment.full < _LOG_PULL_SHARE:
            return "INCR_LOG_PULL"
        return "FULL_MIGRATION" if moment.full < _FULL_SHARE else "INDEX_MIGRATION"
    if moment.structure is not None:
        return "STRUCT_MIGRATION"
    checking = (moment.precheck or 0.0) < _PRECHECK_SHARE or moment.condition is Condition.FAILED
    return "PRE_CHECK" if checking else "PREPARE"


def _status(moment: Moment) -> str:
    match moment.condition:
        case Condition.WAITING:
            return "INIT"
        case Condition.DONE:
            return "FINISHED"
        case Condition.FAILED:
            return "FAILED"
        case Condition.PAUSED:
            return "SUSPEND"
        case Condition.STOPPED:
            return "RELEASING" if moment.since < 0.1 else "RELEASED"
        case Condition.UNKNOWN:
            return "REBALANCING"
    return "RUNNING"
