"""
Alibaba Cloud: the OpenAPI gateway (ACS3-HMAC-SHA256), DTS, DataWorks and OceanBasePro behind it.

Sources: https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature, the
DTS actions DescribeMigrationJobStatus, DescribeMigrationJobDetail, DescribeDtsJobs and
DescribeDataCheckTableDetails (2020-01-01), the DataWorks actions GetMigrationProcess, GetMigrationSummary and
ListMigrations (2020-05-18), the OceanBasePro actions DescribeProjectProgress, DescribeProjectSteps,
ListProjectFullVerifyResult and ListProjects (2019-09-01).
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from airflow_provider_migration.auth.alibaba import ALGORITHM, DATE_FORMAT, signature
from airflow_provider_migration.simulator.checks import DATABASE, checked_tables
from airflow_provider_migration.simulator.identity import ACCESS_KEY, SECRET_KEY, SECURITY_TOKEN
from airflow_provider_migration.simulator.oms import (
    FULL_VERIFY,
    LIST_LISTS,
    LIST_OTHERS,
    LIST_TEXTS,
    oms_data,
    oms_list,
    oms_verify_result,
    parse_list_query,
    parse_verify_query,
    refusal_of_steps,
)
from airflow_provider_migration.simulator.oms import LIST as OMS_LIST
from airflow_provider_migration.simulator.scripts import CheckCondition, CheckRun, Condition, Moment
from airflow_provider_migration.simulator.wire import (
    Answer,
    Call,
    Identifiers,
    Subject,
    parse_authorization,
    refuse,
)

if TYPE_CHECKING:
    from airflow_provider_migration.simulator.playback import Frame, Playback

CLOCK_TOLERANCE = 15 * 60
"""Allowed clock skew of a request in seconds; nonces are kept for twice as long."""

_VERSIONS = {"2020-01-01": "dts", "2020-05-18": "dataworks", "2019-09-01": "oms"}
_REQUIRED = {
    "DescribeMigrationJobStatus": ("dts", ("MigrationJobId",)),
    "DescribeMigrationJobDetail": ("dts", ("MigrationJobId",)),
    "DescribeDtsJobs": ("dts", ("Region",)),
    "DescribeDataCheckTableDetails": ("dts", ("CheckType", "DtsJobId")),
    "GetMigrationProcess": ("dataworks", ("ProjectId", "MigrationId")),
    "GetMigrationSummary": ("dataworks", ("ProjectId", "MigrationId")),
    "ListMigrations": ("dataworks", ("ProjectId", "MigrationType")),
    "DescribeProjectProgress": ("oms", ("Id",)),
    "DescribeProjectSteps": ("oms", ("Id",)),
    FULL_VERIFY: ("oms", ("ProjectId",)),
    OMS_LIST: ("oms", ()),
}
_WRITES = {
    "ConfigureMigrationJob": "dts",
    "ConfigureMigrationJobAlert": "dts",
    "CreateMigrationJob": "dts",
    "DeleteMigrationJob": "dts",
    "StartMigrationJob": "dts",
    "StopMigrationJob": "dts",
    "SuspendMigrationJob": "dts",
    "CreateExportMigration": "dataworks",
    "CreateImportMigration": "dataworks",
    "StartMigration": "dataworks",
    "StopProject": "oms",
    "ReleaseProject": "oms",
}
_READ_PREFIXES = ("Describe", "Get", "List")
_ID_PARAMETERS = ("MigrationJobId", "DtsInstanceId", "DtsJobId", "MigrationId", "Id")

_CHECK_ITEMS = (
    "CHECK_CONN_SRC",
    "CHECK_AUTH_SRC",
    "CHECK_CONN_DEST",
    "CHECK_AUTH_DEST",
    "CHECK_BINLOG_ON",
    "CHECK_BINLOG_MODE",
    "CHECK_BINLOG_ROW_IMAGE",
    "CHECK_SERVER_ID",
    "CHECK_BINLOG_EXIST",
    "CHECK_ENGINE",
    "CHECK_MYSQL_PASSOWRD_FORMAT",
    "CHECK_SRC",
    "CHECK_SQL_MODE",
    "CHECK_SAME_USER",
)
_FAILED_CHECKS = {
    "CHECK_BINLOG_MODE": (
        "The binlog_format of the source database is STATEMENT.",
        "Set binlog_format to ROW in the source database and run the precheck again.",
    ),
    "CHECK_AUTH_DEST": (
        "The destination account lacks the CREATE privilege.",
        "Grant the account read and write privileges on the destination database.",
    ),
}
_FAILURE = "DTS-1020042: Duplicate entry '1024' for key 'PRIMARY' in table orders.order_items."
_ROWS = 200_001
_FLAGS = ("true", "false", "True", "False")  # the SDK writes them as Python does

DETAIL_PHASES = ("StructureInitialization", "DataInitialization", "DataSynchronization")
"""The phases of DescribeMigrationJobDetail."""

_IMPORT_STEPS = ("IMPORE_PREPARE", "IMPORT_RESOURCE", "IMPORT_FUNCTION", "IMPORT_NODE", "IMPORT_PUBLISH")


class Alibaba:
    """The gateway with DTS and DataWorks."""

    def __init__(self, playback: Playback, identifiers: Identifiers) -> None:
        self._playback = playback
        self._identifiers = identifiers
        self._nonces: dict[str, float] = {}

    def subject(self, call: Call) -> Subject:
        """Return the subject of the call; the action determines the service, else the version."""
        action = call.headers.get("x-acs-action", "")
        by_version = _VERSIONS.get(call.headers.get("x-acs-version", ""), "alibaba")
        service = _REQUIRED[action][0] if action in _REQUIRED else _WRITES.get(action, by_version)
        parameters = _parameters(call)
        names = ("ProjectId",) if action == FULL_VERIFY else _ID_PARAMETERS
        return Subject(
            service=service,
            action=action,
            id=next((parameters[name] for name in names if parameters.get(name)), ""),
            writes=bool(action) and not action.startswith(_READ_PREFIXES),
        )

    def admit(self, call: Call) -> None:
        """Check the signature and the signed headers."""
        headers = call.headers
        if call.path != "/":
            self._refuse(
                call,
                404,
                "InvalidApi.NotFound",
                "Specified api is not found, please check your url and method.",
            )
        if call.method not in ("GET", "POST"):
            self._refuse(call, 405, "UnsupportedHTTPMethod", "This http method is not supported.")
        parts = parse_authorization(headers.get("authorization", ""), ALGORITHM)
        if parts is None or not all(parts.get(name) for name in ("Credential", "SignedHeaders", "Signature")):
            self._refuse_incomplete(
                call, f"a header Authorization: {ALGORITHM} Credential=,SignedHeaders=,Signature="
            )
        for header, code in _MANDATORY_HEADERS.items():
            if not headers.get(header):
                self._refuse(call, 400, code, f"{header} is mandatory for this action.")
        if parts["Credential"] != ACCESS_KEY or headers.get("x-acs-accesskey-id", ACCESS_KEY) != ACCESS_KEY:
            self._refuse(call, 404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if headers.get("x-acs-security-token", SECURITY_TOKEN) != SECURITY_TOKEN:
            self._refuse(call, 400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
        self._check_date(call)
        self._check_signature(call, parts)
        self._check_nonce(call)

    def answer(self, call: Call) -> Answer:
        """Answer one of the actions."""
        headers = call.headers
        action, version = headers["x-acs-action"], headers["x-acs-version"]
        if version not in _VERSIONS:
            self._refuse(call, 400, "InvalidVersion", "Specified parameter Version is not valid.")
        if _WRITES.get(action) == _VERSIONS[version]:
            self._refuse(
                call,
                403,
                "Forbidden.RAM",
                "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
            )
        service, required = _REQUIRED.get(action, ("", ()))
        if service != _VERSIONS[version]:
            self._refuse(
                call,
                404,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            )
        parameters = _parameters(call)
        for name in required:
            if not parameters.get(name):
                self._refuse(call, 400, f"Missing{name}", f"{name} is mandatory for this action.")
        if action == "DescribeMigrationJobStatus":
            return self._dts(call, parameters["MigrationJobId"])
        if action == "DescribeMigrationJobDetail":
            return self._dts_detail(call, parameters)
        if action == "DescribeDtsJobs":
            return self._dts_list(call, parameters)
        if action == "DescribeDataCheckTableDetails":
            return self._dts_check(call, parameters)
        if action == OMS_LIST:
            return self._oms_list(parameters)
        if service == "oms":
            return self._oms(action, parameters)
        for name in ("ProjectId", "MigrationId"):
            if name in required and not parameters[name].isdecimal():
                self._refuse(call, 400, f"Invalid{name}", f"Specified parameter {name} is not valid.")
        if action == "ListMigrations":
            return self._dataworks_list(call, parameters)
        return self._dataworks(call, int(parameters["ProjectId"]), str(int(parameters["MigrationId"])))

    def throttled(self, call: Call, *, hint: float | None, status: int | None) -> Answer:
        """Answer ``Throttling.User``; the hint is a header in milliseconds."""
        answer = self._error(
            call, status or 400, "Throttling.User", "Request was denied due to user flow control."
        )
        if hint is None:
            return answer
        return Answer(answer.status, answer.content, {"x-acs-retry-after": str(round(hint * 1000))})

    def broken(self, call: Call, *, status: int | None) -> Answer:
        """Answer ``ServiceUnavailable``."""
        message = "The request has failed due to a temporary failure of the server."
        return self._error(call, status or 503, "ServiceUnavailable", message)

    def _error(self, call: Call, status: int, code: str, message: str) -> Answer:
        request_id = self._identifiers.uuid()
        content: dict[str, str] = {
            "RequestId": request_id,
            "HostId": call.headers.get("host", ""),
            "Code": code,
            "Message": message,
            "Recommend": f"https://api.alibabacloud.com/troubleshoot?q={code}&requestId={request_id}",
        }
        return Answer(status, content)

    def _refuse(self, call: Call, status: int, code: str, message: str) -> NoReturn:
        refuse(self._error(call, status, code, message))

    def _fail(self, call: Call, frame: Frame) -> None:
        """Refuse a call if the scenario has an error for it."""
        error = frame.error
        action = call.headers["x-acs-action"]
        if error is None or (error.actions and action not in error.actions):
            return
        if error.http_status == 200 and not error.xml:
            prefix = "Err" if _REQUIRED[action][0] == "dts" else "Error"
            fields = {"Success": False, f"{prefix}Code": error.code, f"{prefix}Message": error.message}
            refuse(Answer(200, {"RequestId": self._identifiers.uuid(), **fields}))
        answer = self._error(call, error.http_status or 400, error.code, error.message)
        if error.xml:
            parts = (f"<{name}>{escape(text)}</{name}>" for name, text in answer.content.items())
            answer = Answer(answer.status, f"<Error>{''.join(parts)}</Error>")
        refuse(answer)

    def _refuse_incomplete(self, call: Call, missing: str) -> NoReturn:
        message = f"The request signature does not conform to Aliyun standards: {missing} is needed."
        self._refuse(call, 400, "IncompleteSignature", message)

    def _check_date(self, call: Call) -> None:
        try:
            date = datetime.strptime(call.headers["x-acs-date"], DATE_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            self._refuse(
                call,
                400,
                "InvalidTimeStamp.Format",
                "Specified time stamp or date value is not well formatted.",
            )
        if abs(date.timestamp() - self._playback.clock()) > CLOCK_TOLERANCE:
            self._refuse(
                call, 400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."
            )

    def _check_signature(self, call: Call, parts: dict[str, str]) -> None:
        headers = call.headers
        signed = parts["SignedHeaders"].split(";")
        needed = {"host"} | {name for name in headers if name.startswith("x-acs-")}
        if call.body:
            needed.add("content-type")
        if unsigned := sorted(needed - set(signed)):
            self._refuse_incomplete(call, f"{unsigned[0]} among the signed headers")
        if absent := sorted(set(signed) - set(headers)):
            self._refuse_incomplete(call, f"the signed header {absent[0]}")
        expected = signature(
            SECRET_KEY,
            method=call.method,
            path=call.path,
            query=call.canonical_query,
            headers=headers,
            signed_names=sorted(signed),
            content_sha256=call.content_sha256,
        )
        right_hash = headers["x-acs-content-sha256"] == call.content_sha256
        if not right_hash or not hmac.compare_digest(expected.encode(), parts["Signature"].encode()):
            # The cloud echoes the string to sign, so a client that shows the message also shows the token.
            lines = [
                call.method,
                call.path,
                call.canonical_query,
                *(f"{name}:{headers[name]}" for name in sorted(signed)),
            ]
            self._refuse(
                call,
                400,
                "SignatureDoesNotMatch",
                "Specified signature does not match our calculation. server canonical request is: "
                + "\n".join(lines),
            )

    def _check_nonce(self, call: Call) -> None:
        now = self._playback.clock()
        while self._nonces and now - next(iter(self._nonces.values())) > 2 * CLOCK_TOLERANCE:
            del self._nonces[next(iter(self._nonces))]
        nonce = call.headers["x-acs-signature-nonce"]
        if nonce in self._nonces:
            self._refuse(call, 400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[nonce] = now

    def _dts(self, call: Call, job_id: str) -> Answer:
        frame = self._playback.poll("dts", job_id)
        if frame is None or not _knows_migration(frame):
            self._refuse(call, 400, "InvalidJobId", "The specified migration job does not exist.")
        self._fail(call, frame)
        job = frame.steps_over(dts_job(frame), numbers_as_text=True)
        told = {name: value for name, value in job.items() if name not in (*_ONLY_LISTED, REVERSE)}
        if isinstance(mode := told.get("MigrationMode"), dict):
            told["MigrationMode"] = {name: value for name, value in mode.items() if name not in _CHECK_FLAGS}
        return Answer(200, {"RequestId": self._identifiers.uuid(), **told})

    def _dts_detail(self, call: Call, parameters: dict[str, str]) -> Answer:
        """Answer the objects of the phases that are asked for by name; without a name there are none."""
        asked = {phase: parameters.get(f"MigrationMode.{phase}", "false") for phase in DETAIL_PHASES}
        page, size = parameters.get("PageNum", "1"), parameters.get("PageSize", "30")
        checks = {
            **{f"MigrationMode.{phase}": flag in _FLAGS for phase, flag in asked.items()},
            "PageSize": size in ("30", "50", "100"),
            "PageNum": page.isdecimal() and 0 < int(page) < 2**31,
        }
        for name, is_valid in checks.items():
            if not is_valid:
                self._refuse(
                    call, 400, "InvalidParameter", f"The Value of Input Parameter {name} is not valid"
                )
        frame = self._playback.poll("dts", parameters["MigrationJobId"])
        if frame is None or not _knows_migration(frame):
            self._refuse(call, 400, "InvalidJobId", "The specified migration job does not exist.")
        self._fail(call, frame)
        status = frame.steps_over(dts_job(frame), numbers_as_text=True).get("MigrationJobStatus")
        if status not in ("Migrating", "MigrationFailed", "Failed", "Suspending", "Finished"):
            self._refuse(call, 400, "InvalidJobStatus", "The specified migration job is in no such state.")
        rows = [
            (phase, row)
            for phase, flag in asked.items()
            if flag.lower() == "true"
            for row in dts_objects(frame, phase)
        ]
        shown = rows[(int(page) - 1) * int(size) : int(page) * int(size)]
        lists = {
            f"{phase}DetailList": {f"{phase}Detail": [row for of, row in shown if of == phase]}
            for phase in DETAIL_PHASES
        }
        content = {
            "RequestId": self._identifiers.uuid(),
            "Success": "true",
            "PageNumber": int(page),
            "PageRecordCount": len(shown),
            "TotalRecordCount": len(rows),
            **lists,
        }
        return Answer(200, content)

    def _dts_list(self, call: Call, parameters: dict[str, str]) -> Answer:
        """
        Answer a page of the jobs of one type. A list without ids starts no script: a job that was never
        requested by its id is shown as not started.
        """
        allowed = {
            "JobType": ("MIGRATION", "SYNC", "SUBSCRIBE"),
            "PageSize": ("10", "20", "30"),
            "WithoutDbList": _FLAGS,
            "OrderColumn": ("CreateTime", "FinishTime", "duLimit"),
            "OrderDirection": ("ASC", "DESC"),
        }
        page, size = parameters.get("PageNumber", "1"), int(parameters.get("PageSize", "20") or 0)
        wanted_tags = _tags_in(parameters.get("Tags"))
        checks = {
            **{name: parameters.get(name, values[0]) in values for name, values in allowed.items()},
            "PageNumber": page.isdecimal() and int(page) > 0,
            "Tags": wanted_tags is not None,
            "Type": "Type" not in parameters,
        }
        for name, is_valid in checks.items():
            if not is_valid:
                self._refuse(
                    call, 400, "InvalidParameter", f"The Value of Input Parameter {name} is not valid"
                )
        job_type = parameters.get("JobType", "MIGRATION")
        known = {
            item.id: number
            for number, item in enumerate(self._playback.of("dts"))
            if getattr(item, "job_type", "") == job_type
        }
        ids, jobs = (parameters.get(name, "") for name in ("DtsInstanceId", "DtsJobId"))
        asked = [one for one in (ids.split(",") if ids else known) if one in known]
        if jobs:  # a job is listed only if both ids match
            asked = [one for one in asked if _task_id(one) in jobs.split(",")]
        look = self._playback.poll if ids or jobs else self._playback.peek
        items = []
        for frame in filter(None, (look("dts", one) for one in asked)):
            self._fail(call, frame)
            item = dts_list_item(
                frame.steps_over(dts_job(frame), numbers_as_text=True), is_sync=job_type == "SYNC"
            )
            tags = frame.migration.tags
            created = _FIRST_JOB + timedelta(minutes=known[frame.migration.id])
            item |= {
                "CreateTime": created.strftime(DATE_FORMAT),
                "ResourceGroupId": RESOURCE_GROUP,
                "TagList": [{"TagKey": key, "TagValue": value} for key, value in tags.items()],
            }
            is_selected = (
                (wanted_tags or {}).items() <= tags.items()
                and parameters.get("Status") in (None, "", item["Status"])
                and parameters.get("ResourceGroupId") in (None, "", RESOURCE_GROUP)
            )
            if is_selected:
                items.append(item)
        if parameters.get("OrderDirection") == "DESC":
            items.reverse()
        shown = items[(int(page) - 1) * size : int(page) * size]
        answer = {
            "RequestId": self._identifiers.uuid(),
            "HttpStatusCode": "200",
            "Success": True,
            "PageNumber": int(page),
            "PageRecordCount": len(shown),
            "TotalRecordCount": len(items),
            "DtsJobList": shown,
        }
        return Answer(200, answer)

    def _dts_check(self, call: Call, parameters: dict[str, str]) -> Answer:
        """Answer the tables of a data check; invalid parameters are refused with HTTP 200."""
        if parameters["CheckType"] not in ("1", "2"):
            return self._dts_check_refusal("CheckType")
        if (status := parameters.get("Status", "-1")) not in ("-1", "6"):
            return self._dts_check_refusal("Status")
        numbers = {}
        for name, default in (("PageNumber", "1"), ("PageSize", "10")):
            text = parameters.get(name, default)
            if not text.isdecimal() or not 1 <= int(text) < 2**31:
                return self._dts_check_refusal(name)
            numbers[name] = int(text)
        job_id = parameters["DtsJobId"]
        ids = [
            item.id
            for item in self._playback.of("dts")
            if job_id == _task_id(item.id)
            or (getattr(item, "two_way", False) and job_id == _reverse_task_id(item.id))
        ]
        frame = self._playback.poll("dts", ids[0]) if ids else None
        if frame is None:
            return self._dts_check_refusal("DtsJobId")
        self._fail(call, frame)
        # Only full data is checked, forward: an incremental check has no tables.
        is_checked = parameters["CheckType"] == "1" and job_id == _task_id(frame.migration.id)
        tables = dts_checked_tables(frame) if is_checked else []
        asked = {"SourceDbName": parameters.get("SchemaName"), "SourceTbName": parameters.get("TableName")}
        shown = [
            table
            for table in tables
            if all(not text or table[name] == text for name, text in asked.items())
            and (status == "-1" or table["DiffCount"])
        ]
        begin = (numbers["PageNumber"] - 1) * numbers["PageSize"]
        content = {
            "RequestId": self._identifiers.uuid(),
            "HttpStatusCode": 200,
            "Success": True,
            "PageNumber": numbers["PageNumber"],
            "TotalCount": len(tables),
            "FinishedCount": sum(table["FinishCount"] for table in tables),
            "DiffTableCount": sum(table["DiffCount"] > 0 for table in tables),
            "FailedTableCount": sum("ErrorCode" in table for table in tables),
            "TableDetails": shown[begin : begin + numbers["PageSize"]],
        }
        return Answer(200, content)

    def _dts_check_refusal(self, name: str) -> Answer:
        content = {
            "RequestId": self._identifiers.uuid(),
            "HttpStatusCode": 200,
            "Success": False,
            "ErrCode": "InternalError",
            "ErrMessage": "The Value of Input Parameter %s is not valid.",
            "DynamicMessage": name,
        }
        return Answer(200, content)

    def _oms_list(self, parameters: dict[str, str]) -> Answer:
        request_id = self._identifiers.uuid()
        query = parse_list_query(_list_body(parameters))
        if isinstance(query, str):
            message = f"{query[0].upper()}{query[1:]} is invalid."
            content = {"Success": False, "RequestId": request_id, "Code": "PARAM_ERROR", "Message": message}
            return Answer(200, content)
        envelope = {"Success": True, "RequestId": request_id, "Cost": "54 ms"}
        return Answer(200, {**envelope, **_pascal(oms_list(self._playback, query))})

    def _oms(self, action: str, parameters: dict[str, str]) -> Answer:
        project_id = parameters[_REQUIRED[action][1][0]]
        frame = self._playback.poll("oms", project_id)
        request_id = self._identifiers.uuid()
        refused = refusal_of_steps(frame, action) if frame else None
        if isinstance(refused, Answer):
            return refused
        failure = refused or (frame.error if frame else None)
        refusal = {"Success": False, "RequestId": request_id}
        if frame is None or failure is not None:
            code = failure.code if failure else "GHANA-PROJECT000001"
            message = failure.message if failure else f"Project {project_id} does not exist."
            status = (failure and failure.http_status) or 200
            return Answer(status, {**refusal, "Code": code, "Message": message})
        envelope = {"Success": True, "RequestId": request_id, "Cost": "13 ms"}
        if action != FULL_VERIFY:
            return Answer(200, {**envelope, "Data": _pascal(oms_data(frame, action))})
        query = parse_verify_query(_verify_body(parameters))
        if isinstance(query, str):
            message = f"{query[0].upper()}{query[1:]} is invalid."
            return Answer(200, {**refusal, "Code": "PARAM_ERROR", "Message": message})
        return Answer(200, {**envelope, **_pascal(oms_verify_result(frame, query, hosted=True))})

    def _dataworks_list(self, call: Call, parameters: dict[str, str]) -> Answer:
        if parameters["MigrationType"] not in ("IMPORT", "EXPORT"):
            self._refuse(call, 400, "InvalidMigrationType", "Specified parameter MigrationType is not valid.")
        numbers = {}
        for name, default, most in (("PageNumber", "1", 100), ("PageSize", "10", 100)):
            text = parameters.get(name, default)
            if not text.isdecimal() or not 1 <= int(text) <= most:
                self._refuse(call, 400, f"Invalid{name}", f"Specified parameter {name} is not valid.")
            numbers[name] = int(text)
        of_project = [
            item
            for item in self._playback.of("dataworks")
            if str(getattr(item, "project_id", "")) == parameters["ProjectId"]
            and parameters["MigrationType"] == "IMPORT"  # the scripts have no others
        ]
        begin = (numbers["PageNumber"] - 1) * numbers["PageSize"]
        frames = [
            self._playback.peek("dataworks", item.id)
            for item in of_project[begin : begin + numbers["PageSize"]]
        ]
        data = {
            **numbers,
            "TotalCount": len(of_project),
            "Migrations": [dataworks_list_item(frame) for frame in frames if frame],
        }
        return Answer(200, {"RequestId": self._identifiers.uuid(), "Success": True, "Data": data})

    def _dataworks(self, call: Call, project_id: int, migration_id: str) -> Answer:
        projects = [
            getattr(item, "project_id", None)
            for item in self._playback.of("dataworks")
            if item.id == migration_id
        ]
        frame = self._playback.poll("dataworks", migration_id) if projects == [project_id] else None
        if frame is None:
            self._refuse(
                call, 404, "InvalidMigration.NotFound", f"The migration {migration_id} does not exist."
            )
        self._fail(call, frame)
        envelope = {"RequestId": self._identifiers.uuid(), "HttpStatusCode": 200, "Success": True}
        if call.headers["x-acs-action"] == "GetMigrationProcess":
            return Answer(
                200, envelope | {"Data": frame.steps_over(dataworks_steps(frame.moment), "process")}
            )
        return Answer(200, envelope | {"Data": frame.steps_over(dataworks_summary(frame), "summary")})


_MANDATORY_HEADERS = {
    "x-acs-action": "MissingAction",
    "x-acs-version": "MissingVersion",
    "x-acs-date": "MissingTimestamp",
    "x-acs-signature-nonce": "MissingSignatureNonce",
    "x-acs-content-sha256": "MissingContentSha256",
}


def _parameters(call: Call) -> dict[str, str]:
    if not call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return call.parameters
    form = parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
    return {**call.parameters, **dict(form)}


def _verify_body(parameters: dict[str, str]) -> dict[str, Any]:
    """Return the form of ListProjectFullVerifyResult as a console's JSON; invalid text stays as it is."""
    body: dict[str, Any] = {"status": parameters.get("Status")}
    for name in ("sourceSchemas", "destSchemas", "pageNumber", "pageSize"):
        body[name] = parameters.get(name[0].upper() + name[1:])
        try:
            body[name] = json.loads(body[name] or "null")
        except ValueError:
            continue
    return body


def _list_body(parameters: dict[str, str]) -> dict[str, Any]:
    """Return the form of ListProjects as a console's JSON; invalid text stays as it is."""
    body: dict[str, Any] = {}
    for name in (*LIST_TEXTS, *LIST_LISTS, *LIST_OTHERS):
        text = parameters.get(name[0].upper() + name[1:])
        if text is None:
            continue
        body[name] = text
        if name not in LIST_TEXTS:
            # The SDK writes a boolean as Python does.
            try:
                body[name] = json.loads(text.lower() if name in LIST_OTHERS else text)
            except ValueError:
                continue
    return body


def _task_id(instance_id: str) -> str:
    return instance_id.removeprefix("dts")


def _reverse_task_id(instance_id: str) -> str:
    return f"{_task_id(instance_id)}reverse"


REVERSE = "reverse"
"""The key of a step with the fields of the reverse direction, in the form of the job's own fields."""

RESOURCE_GROUP = "rg-acfmsimulator"
"""The resource group of all jobs."""

_FIRST_JOB = datetime(2026, 1, 1, tzinfo=UTC)


def _knows_migration(frame: Frame) -> bool:
    """Tell whether the older calls know a job: they know no synchronization."""
    migration = frame.migration
    return getattr(migration, "legacy", True) and getattr(migration, "job_type", "") == "MIGRATION"


def _tags_in(text: str | None) -> dict[str, str] | None:
    """Return the tags of a request; None if they are not in the documented form."""
    try:
        tags = json.loads(text or "[]")
        found = {tag["key"]: tag["value"] for tag in tags}
    except (ValueError, TypeError, KeyError):
        return None
    is_text = all(isinstance(part, str) for tag in found.items() for part in tag)
    return found if is_text else None


def dts_job(frame: Frame) -> dict[str, Any]:
    """Return a job with the fields of both calls; phases that have not started are absent."""
    moment, migration = frame.moment, frame.migration
    endpoint = {"UserName": "dtstest", "InstanceType": "RDS", "EngineName": "MySQL"}
    incremental = migration.has_incremental
    job: dict[str, Any] = {
        "TaskId": _task_id(migration.id),
        "MigrationJobId": migration.id,
        "MigrationJobName": migration.name,
        "MigrationJobClass": "2xlarge",
        "MigrationJobStatus": _dts_status(
            moment, is_sync=getattr(migration, "job_type", "MIGRATION") == "SYNC"
        ),
        "PayType": "PostPaid",
        "Success": True,
        "MigrationMode": {
            "structureInitialization": True,
            "dataInitialization": True,
            "dataSynchronization": incremental,
            **dict.fromkeys(_CHECK_FLAGS, False),
            "FullDataCheck": frame.verification is not None,
        },
        "SourceEndpoint": {**endpoint, "InstanceId": "rm-bp1source"},
        "DestinationEndpoint": {**endpoint, "InstanceId": "rm-bp1destination"},
    }
    for key, phase, fraction, total in (
        ("PrecheckStatus", "precheck", moment.precheck, None),
        ("StructureInitializationStatus", "structure", moment.structure, getattr(migration, "objects", 0)),
        ("DataInitializationStatus", "full", moment.full, _ROWS),
    ):
        if fraction is None:
            continue
        running = "Checking" if phase == "precheck" else "Migrating"
        section: dict[str, Any] = {
            "Status": "Finished" if fraction >= 1 else running,
            "Percent": str(int(fraction * 100)),
        }
        if total is not None:
            section["Progress"] = str(int(fraction * total))
        if moment.condition is Condition.FAILED and moment.phase == phase:
            section["Status"] = "Failed"
            if phase != "precheck":
                section["ErrorMessage"] = _FAILURE
        if phase == "precheck":
            section["Detail"] = {"CheckItem": _check_items(fraction, failed=section["Status"] == "Failed")}
        job[key] = section
    if moment.full is not None and moment.condition is Condition.RUNNING:
        job["Performance"] = {"Flow": "1.5", "Rps": "120"}
    if moment.condition is Condition.FAILED:
        job["ErrorDetails"] = [
            {"ErrorCode": "DTS-31009", "HelpUrl": "https://help.aliyun.com/document_detail/462133.html"}
        ]
    if moment.lag is not None:
        job["DataSynchronizationStatus"] = {
            "Status": "Catched" if moment.caught_up else "Migrating",
            "Percent": "95" if moment.caught_up else str(max(95 - int(moment.lag / 4), 0)),
            "Checkpoint": str(int(frame.now - moment.lag)),
            "Delay": str(int(moment.lag)),
        }
    if frame.verification is not None:
        job["FullDataCheckStatus"] = _dts_check_status(frame)
    if getattr(migration, "two_way", False):
        job[REVERSE] = _reverse_job(frame, job)
    return job


def _reverse_job(frame: Frame, job: dict[str, Any]) -> dict[str, Any]:
    """Return the reverse direction, which copies no existing data and starts with the forward increment."""
    increment = job.get("DataSynchronizationStatus")
    return {
        "TaskId": _reverse_task_id(frame.migration.id),
        "MigrationJobId": frame.migration.id,
        "MigrationJobName": frame.migration.name,
        "MigrationJobStatus": job["MigrationJobStatus"] if increment else "NotStarted",
        "MigrationMode": {
            **dict.fromkeys(job["MigrationMode"], False),
            "dataSynchronization": True,
        },
        "SourceEndpoint": job["DestinationEndpoint"],
        "DestinationEndpoint": job["SourceEndpoint"],
        **({"DataSynchronizationStatus": increment} if increment else {}),
    }


def dts_objects(frame: Frame, phase: str) -> list[dict[str, Any]]:
    """Return the objects of a phase in DescribeMigrationJobDetail, with all values as text."""
    total = getattr(frame.migration, "objects", 0)
    moment, rows = frame.moment, _ROWS // max(total, 1)
    fraction = moment.structure if phase == "StructureInitialization" else moment.full
    is_failed = moment.condition is Condition.FAILED
    # Each table takes half of the phase; the first half is when they begin.
    done = [min(max(2 * (fraction or 0.0) - number / total, 0.0), 1.0) for number in range(total)]
    broken = next((number for number, part in enumerate(done) if part < 1), None) if is_failed else None
    objects: list[dict[str, Any]] = []
    for number, part in enumerate(done):
        status = "Finished" if part >= 1 else "Migrating" if part else "NotStarted"
        name = f"orders_{number + 1:04d}"
        row: dict[str, Any] = {
            "SourceOwnerDBName": DATABASE,
            "DestinationOwnerDBName": DATABASE,
            "Status": "Failed" if number == broken else status,
            "ErrorMessage": _FAILURE if number == broken else "",
        }
        if phase == "StructureInitialization":
            definition = f"CREATE TABLE `{name}` (`id` bigint NOT NULL, PRIMARY KEY (`id`))"
            row |= {"ObjectName": name, "ObjectType": "Table", "ObjectDefinition": definition}
        else:
            row["TableName"] = name
        if phase == "DataInitialization":
            # The total is estimated at the start, here by a hundredth too much.
            row |= {
                "TotalRowNum": str(rows + rows // 100),
                "FinishRowNum": str(int(part * rows)),
                "MigrationTime": str(int(part * 10)),
            }
        if phase == "DataSynchronization":
            row |= {"Status": "NotStarted" if moment.lag is None else "Migrating", "ErrorMessage": ""}
        objects.append(row)
    return objects


def _dts_check_status(frame: Frame) -> dict[str, str]:
    run, tables = _latest_check(frame), dts_checked_tables(frame)
    rows = [sum(table[name] for table in tables) for name in ("FinishCount", "TotalCount")]
    done = sum(table["Status"] == "0" for table in tables)
    speed = _CHECKED_ROWS_A_SECOND if rows[0] else 0
    status = {
        "Status": _CHECK_STATUS[run.condition],
        "Percent": str(int(run.done * 100)),
        "Progress": f"{speed} rows/s (row: {rows[0]}/{rows[1]}, table: {done}/{len(tables)})",
    }
    if run.condition is CheckCondition.FAILED:
        status["ErrorMessage"] = "The full data check failed: the source database rejected a query."
    return status


def dts_checked_tables(frame: Frame) -> list[dict[str, Any]]:
    """Return the TableDetails of the full data check; none if the job has no check, or none has begun."""
    if frame.verification is None or not frame.check_runs:
        return []
    run = _latest_check(frame)
    began = datetime.fromtimestamp(frame.time_of(run.begin), _CHINA_TIME).strftime("%Y-%m-%d %H:%M:%S")
    rows = []
    for table in checked_tables(frame.verification, run):
        row: dict[str, Any] = {
            "Id": _FIRST_CHECK_ID * max(len(frame.check_runs), 1) + table.number,
            **dict.fromkeys(("SourceDbName", "TargetDbName"), DATABASE),
            **dict.fromkeys(("SourceTbName", "TargetTbName"), table.name),
            "TotalCount": table.rows,
            "FinishCount": table.checked,
            "DiffCount": table.missing + table.changed,
            "Status": _CHECKED_TABLE_STATUS[table.condition],
        }
        if table.condition is not CheckCondition.WAITING:
            row["BootTime"] = began
        if table.condition is CheckCondition.FAILED:
            row["ErrorCode"] = 4
        rows.append(row)
    return rows


def _latest_check(frame: Frame) -> CheckRun:
    return frame.check_runs[-1] if frame.check_runs else CheckRun(CheckCondition.WAITING)


_CHINA_TIME = timezone(timedelta(hours=8))
_FIRST_CHECK_ID = 1_674_012_419_740_000
_CHECKED_ROWS_A_SECOND = 120

_CHECK_STATUS = {
    CheckCondition.WAITING: "NotStarted",
    CheckCondition.RUNNING: "Checking",
    CheckCondition.CONSISTENT: "Finished",
    # Inconsistency is documented only for the job of the reverse direction.
    CheckCondition.DIFFERENT: "Finished",
    CheckCondition.FAILED: "Failed",
}
_CHECKED_TABLE_STATUS = {
    CheckCondition.WAITING: "2",
    CheckCondition.RUNNING: "3",
    CheckCondition.CONSISTENT: "0",
    CheckCondition.DIFFERENT: "0",
    CheckCondition.FAILED: "5",
}


def dts_list_item(job: dict[str, Any], *, is_sync: bool = False) -> dict[str, Any]:
    """
    Convert a job from DescribeMigrationJobStatus to the form of DescribeDtsJobs.

    :param is_sync: for a synchronization, whose delay is in seconds, with its reverse direction.
    """
    item = _list_direction(job, units_per_second=1 if is_sync else 1000)
    item["JobType"] = "sync" if is_sync else "online"
    if REVERSE in job:
        reverse = job[REVERSE]
        if isinstance(reverse, dict):
            reverse = {**_list_direction(reverse, units_per_second=1), "DtsJobDirection": "Reverse"}
        item |= {"DtsJobDirection": "Forward", "ReverseJob": reverse}
    return item


def _list_direction(job: dict[str, Any], *, units_per_second: int) -> dict[str, Any]:
    mode = job.get("MigrationMode") or {}
    item: dict[str, Any] = {
        "DtsInstanceID": job.get("MigrationJobId"),
        "DtsJobId": job.get("TaskId"),
        "DtsJobName": job.get("MigrationJobName"),
        "DtsJobClass": job.get("MigrationJobClass"),
        "PayType": job.get("PayType"),
        "Status": job.get("MigrationJobStatus"),
        "MigrationMode": {name[0].upper() + name[1:]: value for name, value in mode.items()},
        **{name: job[name] for name in ("SourceEndpoint", "DestinationEndpoint") if name in job},
        **{name: job[name] for name in (*_PHASE_SECTIONS, *_ONLY_LISTED) if name in job},
    }
    if precheck := job.get("PrecheckStatus"):
        item["PrecheckStatus"] = {**precheck, "Detail": _listed_check_items(precheck)}
    if incremental := job.get("DataSynchronizationStatus"):
        apart = ("Delay", "Checkpoint")
        item["DataSynchronizationStatus"] = {
            name: value for name, value in incremental.items() if name not in apart
        }
        item["Checkpoint"] = incremental.get("Checkpoint")
        if "Delay" in incremental:
            item["Delay"] = int(incremental["Delay"]) * units_per_second
    return item


_CHECK_FLAGS = ("FullDataCheck", "IncDataCheck", "StructureDataCheck")

_ONLY_LISTED = ("Performance", "RetryState", "ErrorDetails", *(f"{name}Status" for name in _CHECK_FLAGS))
"""Sections of DescribeDtsJobs that DescribeMigrationJobStatus does not have; nor has it ``_CHECK_FLAGS``."""

_PHASE_SECTIONS = ("StructureInitializationStatus", "DataInitializationStatus")


def _listed_check_items(precheck: dict[str, Any]) -> list[dict[str, str]]:
    names = {
        "ItemName": "CheckItem",
        "CheckStatus": "CheckResult",
        "ErrorMessage": "FailedReason",
        "RepairMethod": "RepairMethod",
    }
    items = (precheck.get("Detail") or {}).get("CheckItem") or []
    return [{names[name]: value for name, value in item.items()} for item in items]


def _dts_status(moment: Moment, *, is_sync: bool) -> str:
    is_incremental = moment.phase == "incremental"
    match moment.condition:
        case Condition.WAITING:
            return "NotStarted"
        case Condition.FAILED if moment.phase == "precheck":
            return "PrecheckFailed"
        case Condition.FAILED if is_sync:
            return "Failed" if is_incremental else "InitializeFailed"
        case Condition.FAILED:
            return "MigrationFailed"
        case Condition.PAUSED:
            return "Suspending"
        case Condition.DONE | Condition.STOPPED:
            return "Finished"
        case Condition.UNKNOWN:
            return "Rebalancing"
    if moment.phase == "precheck":
        return "Prechecking"
    if is_sync:
        return "Synchronizing" if is_incremental else "Initializing"
    return "Migrating"


def _check_items(fraction: float, *, failed: bool) -> list[dict[str, str]]:
    items = []
    for name in _CHECK_ITEMS[: max(1, round(fraction * len(_CHECK_ITEMS)))]:
        item = {"CheckStatus": "Success", "ItemName": name}
        if failed and name in _FAILED_CHECKS:
            message, remedy = _FAILED_CHECKS[name]
            item |= {"CheckStatus": "Failed", "ErrorMessage": message, "RepairMethod": remedy}
        items.append(item)
    return items


def dataworks_steps(moment: Moment) -> list[dict[str, str]]:
    """Return the steps of GetMigrationProcess; the list grows as steps start."""
    done = 0.15 * (moment.precheck or 0) + 0.15 * (moment.structure or 0) + 0.7 * (moment.full or 0)
    begun = 0 if moment.precheck is None else min(int(done * len(_IMPORT_STEPS)) + 1, len(_IMPORT_STEPS))
    steps = [{"TaskName": name, "TaskStatus": "SUCCESS"} for name in _IMPORT_STEPS[:begun]]
    if steps and done < 1:
        steps[-1]["TaskStatus"] = "FAILURE" if moment.condition is Condition.FAILED else "RUNNING"
    if begun < len(_IMPORT_STEPS):
        steps.append({"TaskName": _IMPORT_STEPS[begun], "TaskStatus": "INIT"})
    if moment.condition is Condition.PARTIAL:
        steps[-1]["TaskStatus"] = "FAILURE"
    return steps


def dataworks_summary(frame: Frame) -> dict[str, Any]:
    """Return the summary of GetMigrationSummary; only a finished package has a ``DownloadUrl``."""
    migration, condition = frame.migration, frame.moment.condition
    created = int(frame.began * 1000)
    summary: dict[str, Any] = {
        "MigrationId": int(migration.id),
        "ProjectId": getattr(migration, "project_id", 0),
        "Name": migration.name,
        "GmtCreate": created,
        "GmtModified": max(int(frame.now * 1000), created),
        "CreateUser": "982293332403000",
        "OpUser": "982293332403000",
        "Status": _DATAWORKS_STATUS[condition],
    }
    if condition in (Condition.DONE, Condition.PARTIAL):
        summary["DownloadUrl"] = (
            f"https://simulator-oss.oss-cn-hangzhou.aliyuncs.com/pre/store/{migration.id}.zip"
            f"?Expires={int(frame.now) + 3600}&OSSAccessKeyId=SIMULATEDOSSKEY&Signature=simulatedSignature"
        )
    return summary


def dataworks_list_item(frame: Frame) -> dict[str, Any]:
    """Return a package of ListMigrations, which uses other status words; a failed one has a message."""
    summary = frame.steps_over(dataworks_summary(frame), "summary")
    word = str(summary.get("Status", ""))
    status = next((ours for ending, ours in _LISTED_STATUS.items() if word.endswith(ending)), word)
    item = {
        "Id": summary.get("MigrationId"),
        "Name": summary.get("Name"),
        "ProjectId": summary.get("ProjectId"),
        "PackageType": "DATAWORKS_MODEL",
        "MigrationType": "IMPORT",
        "CreateTime": summary.get("GmtCreate"),
        "UpdateTime": summary.get("GmtModified"),
        "Status": status,
    }
    if "DownloadUrl" in summary:
        item["DownloadUrl"] = summary["DownloadUrl"]
    if status == "FAILURE":
        item["Message"] = "Resource order_items.jar already exists in the target workspace."
    return item


_LISTED_STATUS = {"_SUCCESS": "SUCCESS", "_ERROR": "FAILURE", "ING": "RUNNING"}


def _pascal(value: Any) -> Any:
    """Convert all names to Alibaba Cloud's PascalCase."""
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: _pascal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_pascal(item) for item in value]
    return value


_DATAWORKS_STATUS = {
    Condition.WAITING: "INIT",
    Condition.RUNNING: "IMPORTING",
    Condition.DONE: "IMPORT_SUCCESS",
    Condition.PARTIAL: "PARTIAL_SUCCESS",
    Condition.FAILED: "IMPORT_ERROR",
    Condition.STOPPED: "REVOKED",
    Condition.UNKNOWN: "ARCHIVING",
}
