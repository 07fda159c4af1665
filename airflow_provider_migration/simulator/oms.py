"""
OceanBase Migration Service: HTTP Basic, and the progress of a migration project, by the "omsp v2" API and by
the actions DescribeProjectProgress and DescribeProjectSteps of ``/api/v2``.

Business errors come with HTTP 200 and ``success: false``; a wrong password is refused by the web server in
front, with a page instead of JSON.
"""

from __future__ import annotations

import hmac
import json
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
    from airflow_provider_migration.simulator.scenario import ApiError

_PROGRESS = re.compile(r"/api/omsp/v2/migrations/(?P<id>[^/]+)/progress")
_ACTIONS = ("DescribeProjectProgress", "DescribeProjectSteps")
_EMPTY_ENVELOPE: dict[str, Any] = dict.fromkeys(
    ("errorDetail", "code", "message", "advice", "requestId", "pageNumber", "pageSize", "totalCount")
)


class Oms:
    """The OMS console's API."""

    def __init__(self, playback: Playback, identifiers: Identifiers) -> None:
        self._playback = playback
        self._identifiers = identifiers

    def subject(self, call: Call) -> Subject:
        """Return the subject of the call."""
        if found := _PROGRESS.fullmatch(call.path):
            return Subject("oms", "GetMigrationProgress", found["id"], call.method not in ("GET", "HEAD"))
        action = call.parameters.get("Action", "") if call.path == "/api/v2" else ""
        writes = not action.startswith(("Describe", "List")) and call.method not in ("GET", "HEAD")
        return Subject("oms", action or call.path, _id(call) or "", writes)

    def admit(self, call: Call) -> None:
        """Check user and password."""
        given = basic_credentials(call.headers.get("authorization", ""))
        if given is None or not hmac.compare_digest(":".join(given).encode(), f"{USER}:{PASSWORD}".encode()):
            challenge = {"www-authenticate": 'Basic realm="OMS"'}
            refuse(Answer(401, html_page(401, "Authorization Required"), challenge))

    def answer(self, call: Call) -> Answer:
        """Answer the progress or the steps of a project."""
        found = _PROGRESS.fullmatch(call.path)
        action = self.subject(call).action
        if found is None and call.path != "/api/v2":
            return Answer(404, html_page(404, "Not Found"))
        method = "GET" if found else "POST"
        if call.method != method:
            return Answer(405, html_page(405, "Not Allowed"), {"allow": method})
        if found is None and action not in _ACTIONS:
            return self._failure("PARAM_ERROR", f"Action {action} is not supported.")
        project = found["id"] if found else _id(call)
        if not project:
            return self._failure("PARAM_ERROR", "id must not be empty.")
        # The older call only knows the older ids.
        known = not found or not project.startswith("np_")
        frame = self._playback.poll("oms", project) if known else None
        if frame is None:
            return self._failure(
                "GHANA-PROJECT000001", f"Project {project} does not exist or has been deleted."
            )
        if found and not getattr(frame.migration, "legacy", True):
            return Answer(404, html_page(404, "Not Found"))
        refused = refusal_of_steps(frame, action)
        if isinstance(refused, Answer):
            return refused
        if (error := refused or frame.error) is not None:
            return self._failure(error.code, error.message, error.http_status or 200)
        data = oms_data(frame, action)
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


def _id(call: Call) -> str | None:
    """Return the project that the body of an action names."""
    try:
        body = json.loads(call.body)
    except ValueError:
        return None
    project = body.get("id") if isinstance(body, dict) else None
    return project if isinstance(project, str) else None


def refusal_of_steps(frame: Frame, action: str) -> ApiError | Answer | None:
    """Return the scripted error of DescribeProjectSteps, or the HTML page of a proxy in front of OMS."""
    error: ApiError | None = getattr(frame.migration, "steps_error", None)
    if error is None or action != "DescribeProjectSteps":
        return None
    status = error.http_status or 502
    return error if error.code else Answer(status, html_page(status, error.message or "Refused"))


def oms_data(frame: Frame, action: str) -> Any:
    """Return the ``data`` of the answer to a call."""
    if action == "DescribeProjectSteps":
        return oms_steps(frame)
    progress = frame.steps_over(oms_progress(frame))
    if action == "GetMigrationProgress":
        return progress
    renamed = {_TRANSFER_NAMES.get(name, name): value for name, value in progress.items()}
    if isinstance(step := renamed.get("currentStep"), str):
        renamed["currentStep"] = _TRANSFER_STEPS.get(step, step)
    return {"projectId": frame.migration.id, **renamed}


_TRANSFER_NAMES = {
    "importance": "alarmLevel",
    "enableStructMigration": "enableStructTransfer",
    "enableFullMigration": "enableFullTransfer",
    "enableReverseIncrSync": "enableReverseIncrTransfer",
    "structMigrationProgress": "structTransferProgress",
    "fullMigrationProgress": "fullTransferProgress",
    "reverseIncrSyncCheckpoint": "reverseIncrTransferCheckpoint",
}
"""DescribeProjectProgress' names of the fields of GetMigrationProgress."""

_TRANSFER_STEPS = {
    "PRE_CHECK": "TRANSFER_PRECHECK",
    "PREPARE": "TRANSFER_PREPARE",
    "STRUCT_MIGRATION": "STRUCT_TRANSFER",
    "INCR_LOG_PULL": "TRANSFER_INCR_LOG_PULL",
    "FULL_MIGRATION": "FULL_TRANSFER",
    "INDEX_MIGRATION": "INDEX_TRANSFER",
    "INCR_SYNC": "INCR_TRANSFER",
    "APP_SWITCH": "TRANSFER_APP_SWITCH",
    "REVERSE_INCR_SYNC": "REVERSE_INCR_TRANSFER",
}

_ROWS = 200_001


def oms_steps(frame: Frame) -> list[dict[str, Any]]:
    """Return the steps of DescribeProjectSteps in OMS's order; the checkpoint's sample is 2 s old."""
    moment, incremental = frame.moment, frame.migration.has_incremental
    current = _TRANSFER_STEPS.get(_step(moment, incremental))
    fractions = {
        "TRANSFER_PRECHECK": moment.precheck,
        "STRUCT_TRANSFER": moment.structure,
        **({"TRANSFER_INCR_LOG_PULL": _share(moment.full, 0.0, _LOG_PULL_SHARE)} if incremental else {}),
        "FULL_TRANSFER": _share(moment.full, 0.0, _FULL_SHARE),
        "INDEX_TRANSFER": _share(moment.full, _FULL_SHARE, 1.0),
        **({"INCR_TRANSFER": None if moment.lag is None else 0.0} if incremental else {}),
    }
    steps = []
    for order, (name, fraction) in enumerate(fractions.items(), 1):
        here = name == current
        step: dict[str, Any] = {
            "order": order,
            "name": name,
            "status": "INIT" if fraction is None else "FINISHED" if fraction >= 1 else "RUNNING",
            "progress": int((fraction or 0.0) * 100),
            "extraInfo": {"errorDetails": [], "errorCode": None, "errorMsg": None},
            "stepInfo": {},
        }
        if here and moment.condition is Condition.FAILED:
            step["status"] = "FAILED"
            step["extraInfo"] |= {
                "errorCode": "CM-RESOAT000003",
                "errorMsg": f"{name} failed: table orders.order_items cannot be written.",
            }
        if here and moment.condition is Condition.PAUSED:
            step["status"] = "SUSPEND"
        if name == "FULL_TRANSFER" and fraction is not None:
            # The rates of a finished step stay as they were.
            step["stepInfo"] = {
                **{"processedRecords": int(fraction * _ROWS), "capacity": _ROWS},
                **{"srcRps": 150, "dstRps": 140, "srcIops": 76_800, "dstIops": 71_680},
            }
        if name == "INCR_TRANSFER" and moment.lag is not None:
            sampled_at = int(frame.now) - 2
            step["status"] = "MONITORING" if moment.caught_up else step["status"]
            step["stepInfo"] = {
                "incrTimestampCheckpoint": sampled_at - int(moment.lag),
                "checkpointSampleTimestamp": sampled_at,
            }
        steps.append(step)
    return steps


def _share(fraction: float | None, begin: float, end: float) -> float | None:
    """Return the progress of a part of a phase."""
    if fraction is None or fraction < begin:
        return None
    return min((fraction - begin) / (end - begin), 1.0)


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
"""Ends of PRE_CHECK, INCR_LOG_PULL and FULL_MIGRATION, as fractions of their phase."""


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
