"""
OceanBase Migration Service: HTTP Basic, and the progress of a project, by the "omsp v2" API and by the
actions DescribeProjectProgress, DescribeProjectSteps, ListProjectFullVerifyResult and ListProjects of
``/api/v2``.

Business errors come with HTTP 200 and ``success: false``; a wrong password is refused by the web server in
front, with a page instead of JSON.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_migration.simulator.checks import DATABASE, CheckedTable, checked_tables
from airflow_provider_migration.simulator.identity import PASSWORD, USER
from airflow_provider_migration.simulator.scripts import CheckCondition, Condition, Moment
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
    from airflow_provider_migration.simulator.scenario import ApiError, Migration

_PROGRESS = re.compile(r"/api/omsp/v2/(?P<type>migrations|sync)/(?P<id>[^/]+)/progress")
_OLDER_CALLS = {"migrations": "GetMigrationProgress", "sync": "GetSyncProgress"}
FULL_VERIFY = "ListProjectFullVerifyResult"
"""The action that lists the tables of the full data check."""

LIST = "ListProjects"
"""The action that lists projects."""

_ACTIONS = ("DescribeProjectProgress", "DescribeProjectSteps", FULL_VERIFY, LIST)
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
            return Subject(
                "oms", _OLDER_CALLS[found["type"]], found["id"], call.method not in ("GET", "HEAD")
            )
        action = call.parameters.get("Action", "") if call.path == "/api/v2" else ""
        writes = not action.startswith(("Describe", "List")) and call.method not in ("GET", "HEAD")
        return Subject("oms", action or call.path, _id(call, _id_name(action)) or "", writes)

    def admit(self, call: Call) -> None:
        """Check user and password."""
        given = basic_credentials(call.headers.get("authorization", ""))
        if given is None or not hmac.compare_digest(":".join(given).encode(), f"{USER}:{PASSWORD}".encode()):
            challenge = {"www-authenticate": 'Basic realm="OMS"'}
            refuse(Answer(401, html_page(401, "Authorization Required"), challenge))

    def answer(self, call: Call) -> Answer:
        """Answer the progress, the steps or the full data check of a project, or a list of projects."""
        found = _PROGRESS.fullmatch(call.path)
        action = self.subject(call).action
        if found is None and call.path != "/api/v2":
            return Answer(404, html_page(404, "Not Found"))
        method = "GET" if found else "POST"
        if call.method != method:
            return Answer(405, html_page(405, "Not Allowed"), {"allow": method})
        if found is None and action not in _ACTIONS:
            return self._failure("PARAM_ERROR", f"Action {action} is not supported.")
        if action == LIST:
            return self._list(call)
        project = found["id"] if found else _id(call, _id_name(action))
        if not project:
            return self._failure("PARAM_ERROR", f"{_id_name(action)} must not be empty.")
        # An older call only knows the older ids, of projects of its own type.
        known = not found or (
            not project.startswith("np_")
            and any(
                item.id == project and _type(item) == _TYPES[found["type"]]
                for item in self._playback.of("oms")
            )
        )
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
        envelope = {"success": True, **_EMPTY_ENVELOPE, "cost": "13 ms"}
        if action != FULL_VERIFY:
            return Answer(200, {**envelope, "data": oms_data(frame, action)})
        query = parse_verify_query(json.loads(call.body))
        if isinstance(query, str):
            return self._failure("PARAM_ERROR", f"{query} is invalid.")
        return Answer(200, {**envelope, **oms_verify_result(frame, query, hosted=False)})

    def _list(self, call: Call) -> Answer:
        try:
            body = json.loads(call.body)
        except ValueError:
            body = None
        query = parse_list_query(body) if isinstance(body, dict) else "body"
        if isinstance(query, str):
            return self._failure("PARAM_ERROR", f"{query} is invalid.")
        envelope = {"success": True, **_EMPTY_ENVELOPE, "requestId": self._identifiers.hexadecimal()}
        return Answer(200, {**envelope, "cost": "54 ms", **oms_list(self._playback, query)})

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


def _id_name(action: str) -> str:
    return "projectId" if action == FULL_VERIFY else "id"


def _id(call: Call, name: str) -> str | None:
    """Return the project that the body of an action names."""
    try:
        body = json.loads(call.body)
    except ValueError:
        return None
    project = body.get(name) if isinstance(body, dict) else None
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
    if action == "GetSyncProgress":
        return _sync_progress(progress)
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

_TYPES = {"migrations": "MIGRATION", "sync": "SYNC"}

_SYNC_NAMES = {
    "enableStructMigration": "enableStructSync",
    "enableFullMigration": "enableFullSync",
    "structMigrationProgress": "structSyncProgress",
    "fullMigrationProgress": "fullSyncProgress",
}
_SYNC_STEPS = {
    "PREPARE": "SYNC_PREPARE",
    "STRUCT_MIGRATION": "STRUCT_SYNC",
    "INCR_LOG_PULL": "SYNC_INCR_LOG_PULL",
    "FULL_MIGRATION": "CONNECTOR_FULL_SYNC",
    "INDEX_MIGRATION": "CONNECTOR_FULL_SYNC",
    "INCR_SYNC": "CONNECTOR_INCR_SYNC",
}


def _type(migration: Migration) -> str:
    return str(getattr(migration, "type", ""))


def _sync_progress(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Return the progress as the older call for synchronization projects has it: the checkpoint is a text."""
    checkpoint = progress.get("incrSyncCheckpoint")
    return {
        **{
            _SYNC_NAMES.get(name, name): value
            for name, value in progress.items()
            if not name.lower().startswith(("reverse", "enablereverse"))
        },
        "currentStep": _SYNC_STEPS.get(progress.get("currentStep", ""), progress.get("currentStep")),
        "incrSyncCheckpoint": None if checkpoint is None else str(checkpoint),
    }


@dataclass(frozen=True)
class ListQuery:
    """A valid query of ListProjects; None for a filter that is absent."""

    search: str | None
    type: str | None
    statuses: list[str] | None
    label_ids: list[str] | None
    ascending: bool
    page: int
    size: int


LIST_TEXTS = ("searchKey", "type", "sortField", "order")
"""Parameters of ListProjects that are texts."""
LIST_LISTS = ("status", "labelIds", "sourceEndpointTypes", "sinkEndpointTypes")
"""Parameters of ListProjects that are lists."""
LIST_OTHERS = ("visibleSubProject", "needRelatedInfo", "pageNumber", "pageSize")
"""The other parameters of ListProjects."""

_LIST_CHOICES = {
    "type": ("MIGRATION", "SYNC"),
    "sortField": ("gmtCreate", "gmtModified"),
    "order": ("asc", "descend"),
}
_LIST_STATUSES = (
    *("INIT", "RUNNING", "RUNNING_MODIFYING", "RUNNING_MERGING", "RUNNING_ALARMING", "SUSPEND", "FAILED"),
    *("FINISHED", "RELEASING", "RELEASED", "DELETED"),
)
_MAX_LABELS = 5


def parse_list_query(body: Mapping[str, Any]) -> ListQuery | str:
    """Parse the body of ListProjects, or return the name of an invalid parameter."""
    given = {name: value for name, value in body.items() if value is not None}
    # The documentation has a text, its sample a list.
    if isinstance(given.get("status"), str):
        given["status"] = [given["status"]]
    for name, value in given.items():
        if name in LIST_TEXTS:
            is_valid = isinstance(value, str) and value in _LIST_CHOICES.get(name, (value,))
        elif name in LIST_LISTS:
            is_valid = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
        elif name in ("visibleSubProject", "needRelatedInfo"):
            is_valid = isinstance(value, bool)
        else:
            most = {"pageNumber": 2**31 - 1, "pageSize": _MAX_LIST_PAGE}.get(name, 0)
            is_valid = type(value) is int and 1 <= value <= most
        if not is_valid:
            return name
    if not {*given.get("status", ())} <= {*_LIST_STATUSES}:
        return "status"
    if len(given.get("labelIds", ())) > _MAX_LABELS:
        return "labelIds"
    return ListQuery(
        given.get("searchKey"),
        given.get("type"),
        given.get("status"),
        given.get("labelIds"),
        given.get("order") == "asc",
        given.get("pageNumber", 1),
        given.get("pageSize", 10),
    )


_MAX_LIST_PAGE = 150


def oms_list(playback: Playback, query: ListQuery) -> dict[str, Any]:
    """Return the page and the ``data`` of ListProjects; the newest project is the first, unless ascending."""
    numbered = list(enumerate(playback.of("oms")))
    if not query.ascending:
        numbered.reverse()
    rows = []
    for number, item in numbered:
        labels = [{"id": _label_id(name), "name": name} for name in item.tags]
        # Its own search compares the whole name.
        if query.search is not None and query.search not in (item.name, item.id):
            continue
        if query.type not in (None, _type(item)):
            continue
        if query.label_ids and not {*query.label_ids} & {label["id"] for label in labels}:
            continue
        if (frame := playback.peek("oms", item.id)) is None:
            continue
        progress = frame.steps_over(oms_progress(frame))
        if query.statuses and progress.get("status") not in query.statuses:
            continue
        rows.append((number, frame, progress, labels))
    begin = (query.page - 1) * query.size
    return {
        "pageNumber": query.page,
        "pageSize": query.size,
        "totalCount": len(rows),
        "data": [_listed(*row) for row in rows[begin : begin + query.size]],
    }


def _label_id(name: str) -> str:
    return f"l_{name}"


_CREATED_AT = 1_700_000_000


def _listed(
    number: int, frame: Frame, progress: Mapping[str, Any], labels: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the row of a project; a row has data of the project's data sources too."""
    checkpoint, sampled_at = progress.get("incrSyncCheckpoint"), int(frame.now) - 2
    step = _TRANSFER_STEPS.get(str(progress.get("currentStep")), progress.get("currentStep"))
    connection = {
        "id": "c_1",
        "endpointName": "orders",
        "username": "migrator",
        "host": "198.51.100.7",
        "port": 2883,
        "connExtraAttributes": {"tenant": "orders", "drcUser": "drc_migrator"},
    }
    created_at = _utc(_CREATED_AT + number)
    return {
        "id": frame.migration.id,
        "type": _type(frame.migration),
        "name": frame.migration.name,
        "labels": labels,
        "owner": "admin",
        "importance": "LOW",
        "status": progress.get("status"),
        "gmtCreate": created_at,
        "gmtModified": created_at,
        "gmtStart": created_at,
        "gmtFinish": None,
        "isMerging": False,
        "isModifying": False,
        "isSubProject": False,
        "sourceConnectInfo": connection,
        "sinkConnectInfo": connection,
        "enableFullVerify": frame.verification is not None,
        "steps": oms_steps(frame),
        "extraInfo": {
            "runningStep": step,
            "runningProgress": 0,
            "monitoringIncr": frame.moment.caught_up,
            "syncDelay": max(sampled_at - checkpoint, 0) if isinstance(checkpoint, int) else None,
            "syncDelaySampleTimestamp": sampled_at if isinstance(checkpoint, int) else None,
            "incrSyncTimestamp": checkpoint,
        },
        "alarmStats": {"alarming": False, "recentlyTriggerCount": 0},
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
    if frame.verification is not None:
        steps.append(_full_verifier(frame, len(steps) + 1))
    return steps


def _full_verifier(frame: Frame, order: int) -> dict[str, Any]:
    """Return the step of the full data check; an ended one stays RUNNING until a person goes on."""
    step: dict[str, Any] = {
        "order": order,
        "name": "FULL_VERIFIER",
        "status": "INIT",
        "progress": 0,
        "startTime": None,
        "finishTime": None,
        "extraInfo": {"errorDetails": [], "errorCode": None, "errorMsg": None, "failedTime": None},
        "stepInfo": {"processedRecords": None, "capacity": None},
    }
    run = frame.check_runs[-1] if frame.check_runs else None
    if frame.verification is None or run is None or run.condition is CheckCondition.WAITING:
        return step
    tables = checked_tables(frame.verification, run)
    step |= {
        "status": "RUNNING",
        "progress": int(run.done * 100),
        "startTime": _utc(frame.time_of(run.begin)),
        "stepInfo": {
            "processedRecords": sum(table.checked for table in tables),
            "capacity": sum(table.rows for table in tables),
        },
    }
    if run.condition is CheckCondition.FAILED and run.end is not None:
        step["status"] = "FAILED"
        step["extraInfo"] |= {
            "errorCode": "CM-RESOAT000003",
            "errorMsg": f"FULL_VERIFIER failed: {_CHECK_FAILURE}",
            "failedTime": _utc(frame.time_of(run.end)),
        }
    elif run.end is not None:
        step["finishTime"] = _utc(frame.time_of(run.end))
    return step


def _utc(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class VerifyQuery:
    """A valid query of ListProjectFullVerifyResult; None for a filter that is absent."""

    schemas: tuple[list[str] | None, list[str] | None]
    statuses: list[str] | None
    page: int
    size: int


_VERIFY_STATUSES = ("RUNNING", "ERROR", "FINISHED", "SUSPEND")
_MAX_VERIFY_PAGE = 150


def parse_verify_query(body: Mapping[str, Any]) -> VerifyQuery | str:
    """Parse the body of ListProjectFullVerifyResult, or return the name of an invalid parameter."""
    for name in ("sourceSchemas", "destSchemas"):
        if body.get(name) is not None and not _is_list_of_texts(body[name]):
            return name
    statuses = body.get("status")
    # The documentation has a text, OceanBase's own client sends a list.
    statuses = [statuses] if isinstance(statuses, str) else statuses
    if statuses is not None and not (_is_list_of_texts(statuses) and set(statuses) <= {*_VERIFY_STATUSES}):
        return "status"
    numbers = []
    for name, default, most in (("pageNumber", 1, 2**31 - 1), ("pageSize", 10, _MAX_VERIFY_PAGE)):
        number = default if body.get(name) is None else body[name]
        if type(number) is not int or not 1 <= number <= most:
            return name
        numbers.append(number)
    return VerifyQuery((body.get("sourceSchemas"), body.get("destSchemas")), statuses, *numbers)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) and item for item in value)


def oms_verify_result(frame: Frame, query: VerifyQuery, *, hosted: bool) -> dict[str, Any]:
    """Return the page and the ``data`` of ListProjectFullVerifyResult; no count before the check begins."""
    run = frame.check_runs[-1] if frame.check_runs else None
    tables: list[CheckedTable] = []
    if frame.verification is not None and run is not None and run.condition is not CheckCondition.WAITING:
        tables = checked_tables(frame.verification, run)
    rows = [
        row
        for row in (_verified_table(table, hosted=hosted) for table in tables)
        if (query.statuses is None or row["status"] in query.statuses)
        and all(schemas is None or DATABASE in schemas for schemas in query.schemas)
    ]
    begin = (query.page - 1) * query.size
    different = sum(table.condition is CheckCondition.DIFFERENT for table in tables)
    return {
        "pageNumber": query.page,
        "pageSize": query.size,
        "totalCount": len(rows),
        "data": {
            "differentNumber": different if tables else None,
            "fullVerifyTableStatistics": rows[begin : begin + query.size],
        },
    }


def _verified_table(table: CheckedTable, *, hosted: bool) -> dict[str, Any]:
    status, result, description, message = _VERIFY_WORDS[table.condition]
    details: list[Any] | None = None
    if table.condition is CheckCondition.FAILED:
        detail = {"code": "CM-RESOAT000003", "level": "ERROR", "message": _CHECK_FAILURE}
        details = [{**detail, "reason": "", "proposal": ""} if hosted else _CHECK_FAILURE]
    return {
        "sourceTableName": table.name,
        "sourceSchemaName": DATABASE,
        "destSchemaName": DATABASE,
        "sourceOnlyCount": table.missing,
        "destOnlyCount": 0,
        "mismatchedCount": table.changed,
        "consistentCount": table.checked - table.missing - table.changed,
        # A console has a fraction here, Alibaba Cloud a percentage.
        "progress": str(int(table.done * 100)) if hosted else str(round(table.done, 2)),
        "message": message,
        "status": status,
        "resultType": result,
        "resultDesc": description,
        "errorDetails": details,
    }


_CHECK_FAILURE = "the source database rejected a query."

_VERIFY_WORDS = {
    CheckCondition.WAITING: ("RUNNING", "RUNNING", "校验中", None),
    CheckCondition.RUNNING: ("RUNNING", "RUNNING", "校验中", None),
    CheckCondition.CONSISTENT: ("FINISHED", "CONSISTENT", "一致", "Consistent"),
    CheckCondition.DIFFERENT: ("FINISHED", "INCONSISTENT", "不一致", "Inconsistent"),
    CheckCondition.FAILED: ("ERROR", "RUNTIME_EXCEPTION", "运行异常", _CHECK_FAILURE),
}
"""The status, resultType, resultDesc and message of a table."""


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
