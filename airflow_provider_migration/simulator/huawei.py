"""
Huawei Cloud: the API gateway (SDK-HMAC-SHA256 or a token), IAM, and DRS.

Sources: https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html, the IAM calls
POST /v3/auth/tokens, POST /v3.0/OS-CREDENTIAL/securitytokens, GET /v3/auth/domains and /v3/projects, the DRS
calls GET /v5/…/progress-data/{type}, POST /v3/…/jobs/batch-progress and batch-rpo-and-rto, GET /v5/…/jobs and
/v5/…/jobs/{job}, POST /v5/…/{type}/resource-instances/filter, POST /v3/…/jobs, and below GET /v3/…/jobs/{job}
the comparisons: table/compare, compare/{id}/line-overview, line-detail, content-overview and content-detail,
and object/compare.
"""

from __future__ import annotations

import hmac
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

from airflow_provider_migration.auth.huawei import ALGORITHM, DATE_FORMAT, signature
from airflow_provider_migration.simulator.checks import DATABASE, CheckedTable, checked_tables
from airflow_provider_migration.simulator.identity import (
    ACCESS_KEY,
    AGENCY,
    DOMAIN,
    DOMAIN_ID,
    HUAWEI_PROJECT,
    HUAWEI_REGION,
    PASSWORD,
    SECRET_KEY,
    SECURITY_TOKEN,
    USER,
)
from airflow_provider_migration.simulator.scenario import ApiError, DrsMigration
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
"""Allowed clock skew of ``x-sdk-date`` in seconds."""
LOCK_AFTER, LOCK_SECONDS = 5, 5 * 60
"""Consecutive wrong signatures that lock the AK, and the seconds of the lock."""
TOKEN_SECONDS = 24 * 3600
"""Lifetime of a token in seconds."""

OBJECT_TYPES = (
    "table",
    "event",
    "table_structure",
    "procedure",
    "view",
    "function",
    "database",
    "trigger",
    "table_indexs",
)
"""The object types of progress-data; ``table_indexs`` is the vendor's spelling."""
_FEW_OBJECTS = {"event": 1, "procedure": 2, "view": 3, "function": 2, "database": 4, "trigger": 1}
_MAX_LIMIT, _DEFAULT_LIMIT = 1000, 10
_DEFAULT_COMPARE_LIMIT = 1000

_JOB_PATH = "/v3/(?P<project>[^/]+)/jobs/(?P<job>[^/]+)"
_COMPARE_PATH = f"{_JOB_PATH}/compare/(?P<compare>[^/]+)"

_ROUTES = {
    "KeystoneCreateUserTokenByPassword": ("POST", re.compile(r"/v3/auth/tokens")),
    "CreateTemporaryAccessKeyByAgency": ("POST", re.compile(r"/v3\.0/OS-CREDENTIAL/securitytokens")),
    "KeystoneListAuthDomains": ("GET", re.compile(r"/v3/auth/domains")),
    "KeystoneListProjects": ("GET", re.compile(r"/v3/projects")),
    "ShowProgressData": (
        "GET",
        re.compile(r"/v5/(?P<project>[^/]+)/jobs/(?P<job>[^/]+)/progress-data/(?P<type>[^/]+)"),
    ),
    "BatchListProgresses": ("POST", re.compile(r"/v3/(?P<project>[^/]+)/jobs/batch-progress")),
    "BatchListRposAndRtos": ("POST", re.compile(r"/v3/(?P<project>[^/]+)/jobs/batch-rpo-and-rto")),
    "ShowJobList": ("POST", re.compile(r"/v3/(?P<project>[^/]+)/jobs")),
    "ListJobs": ("GET", re.compile(r"/v5/(?P<project>[^/]+)/jobs")),
    "ShowJobDetail": ("GET", re.compile(r"/v5/(?P<project>[^/]+)/jobs/(?P<job>[^/]+)")),
    "ListInstanceByTags": (
        "POST",
        re.compile(r"/v5/(?P<project>[^/]+)/(?P<type>[^/]+)/resource-instances/filter"),
    ),
    "BatchListJobStatus": ("POST", re.compile(r"/v3/(?P<project>[^/]+)/jobs/batch-status")),
    "ListDataLevelTableCompareJobs": ("GET", re.compile(f"{_JOB_PATH}/table/compare")),
    "ListDataCompareOverview": ("GET", re.compile(f"{_COMPARE_PATH}/line-overview")),
    "ListDataCompareDetail": ("GET", re.compile(f"{_COMPARE_PATH}/line-detail")),
    "ListContentCompareOverview": ("GET", re.compile(f"{_COMPARE_PATH}/content-overview")),
    "ListContentCompareDetail": ("GET", re.compile(f"{_COMPARE_PATH}/content-detail")),
    "ListObejectLevelCompareOverview": ("GET", re.compile(f"{_JOB_PATH}/object/compare")),
}
"""The calls, by the names of Huawei Cloud's SDK, with its spelling."""

_GENERATIONS = {
    "BatchListProgresses": "v3",
    "BatchListJobStatus": "v3",
    "BatchListRposAndRtos": "v3",
    "ShowJobList": "v3",
    "ListJobs": "v5",
    "ShowJobDetail": "v5",
    "ListInstanceByTags": "v5",
}
"""The calls about jobs that only one of the two APIs has."""

JOB_TYPES = ("migration", "sync", "cloudDataGuard", "replay")
DETAIL_TYPES = (
    *("overview", "detail", "network", "precheck", "progress", "log", "compare", "file", "is_writable"),
    *("cloud_connection", "diagnosis", "diagnosis_history", "repair_progress", "repair_detail"),
)
"""``type`` of a v5 job detail."""
_MAX_JOBS_PER_PAGE = 100
_MAX_NAMED = {"v3": 100, "v5": 10}
"""Maximum ids in the ``name`` of a list."""

_IAM_ACTIONS = (
    "KeystoneCreateUserTokenByPassword",
    "CreateTemporaryAccessKeyByAgency",
    "KeystoneListAuthDomains",
    "KeystoneListProjects",
)

_MESSAGES = {
    "DRS.M00201": ("The value of {} is empty.", "{}为空。"),
    "DRS.M00202": ("The value of {} is invalid.", "{}的值无效。"),
    "DRS.M00261": ("Invalid project ID.", "项目ID无效。"),
    "DRS.M05003": ("Task information not found.", "任务信息不存在。"),
    "DRS.10000010": ("Job does not exist, please check job ID.", "任务不存在，请检查任务ID。"),
}
"""Error messages by code, in the languages of ``X-Language``."""


@dataclass(frozen=True)
class _Token:
    project: str | None
    expires: float


@dataclass(frozen=True)
class _Key:
    """A temporary AK, valid only with its security token."""

    secret: str
    security_token: str
    expires: float


class Huawei:
    """The gateway with IAM and DRS."""

    def __init__(self, playback: Playback, identifiers: Identifiers) -> None:
        self._playback = playback
        self._identifiers = identifiers
        self._projects = {HUAWEI_PROJECT} | {getattr(item, "project_id", "") for item in playback.of("drs")}
        self._tokens: dict[str, _Token] = {}
        self._keys: dict[str, _Key] = {}
        self._wrong_signatures = 0
        self._locked_until = 0.0
        self._jobs_of_drs: list[DrsMigration] = [
            item for item in playback.of("drs") if isinstance(item, DrsMigration)
        ]
        self._created_at = playback.clock()

    def revoke_tokens(self) -> None:
        """Revoke every issued token and temporary key, as after a change of permissions."""
        self._tokens.clear()
        self._keys.clear()

    def subject(self, call: Call) -> Subject:
        """Return the subject of the call."""
        action, groups = _route(call)
        if action in _IAM_ACTIONS:
            return Subject("iam", action, "", writes=False)
        job_id = groups.get("job") or ",".join(_jobs(call.body) or ())
        writes = action not in _ROUTES and call.method not in ("GET", "HEAD")
        return Subject("drs", action, job_id, writes)

    def admit(self, call: Call) -> None:
        """Check the token or the signature, and that the project is the caller's."""
        action, groups = _route(call)
        if action == "KeystoneCreateUserTokenByPassword":
            return
        asked = groups.get("project")
        headers = call.headers
        if "x-auth-token" in headers:
            project = self._check_token(headers["x-auth-token"])
        elif headers.get("authorization", "").startswith(ALGORITHM):
            self._check_signature(call)
            project = headers.get("x-project-id", asked)
        else:
            self._refuse_gateway("x-auth-token not found")
        if asked is not None and (asked != project or asked not in self._projects):
            self._refuse(call, 403, "DRS.M00261")

    def answer(self, call: Call) -> Answer:
        """Answer one of the calls."""
        action, groups = _route(call)
        if not self._is_published(action):
            action = ""
        match action:
            case "KeystoneCreateUserTokenByPassword":
                return self._create_token(call)
            case "CreateTemporaryAccessKeyByAgency":
                return self._assume_agency(call)
            case "KeystoneListAuthDomains":
                domains = [{"id": DOMAIN_ID, "name": DOMAIN, "enabled": True}]
                return self._ok(200, {"domains": domains, "links": {"next": None, "previous": None}})
            case "KeystoneListProjects":
                return self._list_projects(call)
            case "ShowProgressData":
                return self._progress_data(call, **groups)
            case "BatchListProgresses":
                return self._batch_progress(call, groups["project"])
            case "BatchListRposAndRtos":
                return self._rpos_and_rtos(call, groups["project"])
            case "ShowJobList":
                return self._ok(200, self._list_v3(call, groups["project"]))
            case "ListJobs":
                return self._ok(200, self._list_v5(call, groups["project"]))
            case "ShowJobDetail":
                return self._job_detail(call, **groups)
            case "ListInstanceByTags":
                return self._ok(200, self._tagged(call, **groups))
            case "BatchListJobStatus":
                return self._ok(200, self._job_status(call, groups["project"]))
            case "ListDataLevelTableCompareJobs":
                return self._ok(200, self._comparisons(call, **groups))
            case "ListDataCompareOverview":
                return self._ok(200, self._line_overview(call, **groups))
            case "ListDataCompareDetail":
                return self._ok(200, self._line_detail(call, **groups))
            case "ListContentCompareOverview" | "ListContentCompareDetail":
                return self._ok(200, self._content_compare(call, **groups))
            case "ListObejectLevelCompareOverview":
                frame = self._compared(call, groups["project"], groups["job"])
                return self._ok(200, drs_object_comparison(frame))
        content = {"error_msg": "The API does not exist or has not been published in the environment."}
        return Answer(
            404, content | {"error_code": "APIGW.0101", "request_id": self._identifiers.hexadecimal()}
        )

    def throttled(self, call: Call, *, hint: float | None, status: int | None) -> Answer:
        """Answer ``APIGW.0308``, with ``Retry-After`` in seconds as the hint."""
        message = (
            "The throttling threshold has been reached: policy user over ratelimit,limit:20,time:1 second"
        )
        content = self._gateway_content("APIGW.0308", message)
        headers = {} if hint is None else {"retry-after": str(max(1, round(hint)))}
        return Answer(status or 429, content, headers)

    def broken(self, call: Call, *, status: int | None) -> Answer:
        """Answer ``DRS.M00004``; IAM has its own body."""
        if self.subject(call).service == "iam":
            return _iam_error(status or 500, "An unexpected error occurred.", "Internal Server Error")
        content = {"error_code": "DRS.M00004", "error_msg": "The service is abnormal."}
        return Answer(status or 500, content, self._request_id())

    def _gateway_content(self, code: str, message: str) -> dict[str, str]:
        return {"error_msg": message, "error_code": code, "request_id": self._identifiers.hexadecimal()}

    def _refuse_gateway(self, reason: str) -> NoReturn:
        message = f"Incorrect IAM authentication information: {reason}"
        refuse(Answer(401, self._gateway_content("APIGW.0301", message)))

    def _refuse(self, call: Call, status: int, code: str, what: str = "") -> NoReturn:
        content = {"error_code": code, "error_msg": _message(call, code).format(what)}
        refuse(Answer(status, content, self._request_id()))

    def _ok(self, status: int, content: Any) -> Answer:
        return Answer(status, content, self._request_id())

    def _request_id(self) -> dict[str, str]:
        return {"x-request-id": self._identifiers.hexadecimal()}

    def _check_token(self, value: str) -> str | None:
        token = self._tokens.get(value)
        if token is None:
            self._refuse_gateway("decrypt token fail")
        if self._playback.clock() >= token.expires:
            self._refuse_gateway(f"token expires, expires_at:{_iso(token.expires)}")
        return token.project

    def _check_signature(self, call: Call) -> None:
        headers, now = call.headers, self._playback.clock()
        parts = parse_authorization(headers["authorization"], ALGORITHM) or {}
        access_key = parts.get("Access", "")
        temporary = self._keys.get(access_key)
        if access_key != ACCESS_KEY and temporary is None:
            self._refuse_gateway(f"Get secretKey failed,ak:{access_key},err:ak not exist")
        if now < self._locked_until:
            self._refuse_gateway("AK access failed to reach the limit,forbidden.")
        # The permanent key may also be used as a temporary one.
        known = (None, SECURITY_TOKEN) if temporary is None else (temporary.security_token,)
        if headers.get("x-security-token") not in known:
            self._refuse_gateway("decrypt token fail")
        if temporary is not None and now >= temporary.expires:
            self._refuse_gateway(f"token expires, expires_at:{_iso(temporary.expires)}")
        if not self._is_signed(call, parts, SECRET_KEY if temporary is None else temporary.secret):
            self._wrong_signatures += 1
            if self._wrong_signatures >= LOCK_AFTER:
                self._wrong_signatures, self._locked_until = 0, now + LOCK_SECONDS
            self._refuse_gateway("verify aksk signature fail")
        try:
            date = datetime.strptime(headers["x-sdk-date"], DATE_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            self._refuse_gateway("verify aksk signature fail, x-sdk-date is malformed")
        if abs(date.timestamp() - now) > CLOCK_TOLERANCE:
            self._refuse_gateway("verify aksk signature fail, x-sdk-date is more than 15 minutes off")
        self._wrong_signatures = 0

    def _is_signed(self, call: Call, parts: Mapping[str, str], secret: str) -> bool:
        headers = call.headers
        signed = parts.get("SignedHeaders", "").split(";")
        if_sent = {"x-project-id", "x-domain-id", "x-security-token", "x-sdk-content-sha256"}
        needed = {"host", "x-sdk-date"} | (if_sent & headers.keys())
        if not needed <= set(signed) <= headers.keys():
            return False
        content_sha256 = headers.get("x-sdk-content-sha256", call.content_sha256)
        if content_sha256 not in ("UNSIGNED-PAYLOAD", call.content_sha256):
            return False
        expected = signature(
            secret,
            method=call.method,
            path=call.path,
            query=call.canonical_query,
            headers=headers,
            signed_names=sorted(signed),
            content_sha256=content_sha256,
        )
        return hmac.compare_digest(expected.encode(), parts.get("Signature", "").encode())

    def _create_token(self, call: Call) -> Answer:
        auth = _field(_json(call.body), "auth")
        password = _field(auth, "identity", "password", "user")
        if _field(auth, "identity", "methods") != ["password"] or not isinstance(password, Mapping):
            return _iam_error(
                400, 'The request body is invalid: methods must be ["password"].', "Bad Request"
            )
        if not (_field(password, "domain", "name") or _field(password, "domain", "id") or "id" in password):
            return _iam_error(400, "Expecting to find domain in user.", "Bad Request")
        if (password.get("name"), password.get("password")) != (USER, PASSWORD):
            return _iam_error(401, "The username or password is wrong.", "Unauthorized")
        scope = _field(auth, "scope", "project")
        project: str | None = None
        if isinstance(scope, Mapping):
            project = HUAWEI_PROJECT if scope.get("name") == HUAWEI_REGION else str(scope.get("id"))
            if project not in self._projects:
                return _iam_error(401, "The project is not found or is not the user's.", "Unauthorized")
        now = self._playback.clock()
        value = "MII" + self._identifiers.hexadecimal(1600)
        self._tokens[value] = _Token(project, now + TOKEN_SECONDS)
        domain = {
            "id": DOMAIN_ID,
            "name": _field(password, "domain", "name") or DOMAIN,
        }
        token: dict[str, Any] = {
            "methods": ["password"],
            "issued_at": _iso(now),
            "expires_at": _iso(now + TOKEN_SECONDS),
            "user": {"id": "7116d09f88fa41908676fdd4b039e95b", "name": USER, "domain": domain},
            "roles": [{"id": "0", "name": "readonly"}],
        }
        if project is not None:
            token["project"] = {"id": project, "name": HUAWEI_REGION, "domain": domain}
        else:
            token["domain"] = domain
        if call.parameters.get("nocatalog") != "true":
            endpoint = {
                "region": HUAWEI_REGION,
                "interface": "public",
                "url": f"http://{call.headers.get('host')}",
            }
            token["catalog"] = [{"type": "drs", "name": "drs", "endpoints": [endpoint]}]
        return Answer(201, {"token": token}, {"x-subject-token": value, **self._request_id()})

    def _assume_agency(self, call: Call) -> Answer:
        identity = _field(_json(call.body), "auth", "identity")
        role = _field(identity, "assume_role")
        if _field(identity, "methods") != ["assume_role"] or not isinstance(role, Mapping):
            return _iam_error(
                400, 'The request body is invalid: methods must be ["assume_role"].', "Bad Request"
            )
        if call.headers.get("x-domain-id", DOMAIN_ID) != DOMAIN_ID:
            return _iam_error(401, "X-Domain-Id is not the account of the access key.", "Unauthorized")
        seconds = role.get("duration_seconds", 900)
        if not isinstance(seconds, int) or not 900 <= seconds <= TOKEN_SECONDS:
            return _iam_error(
                400, "The request body is invalid: duration_seconds must be 900 to 86400.", "Bad Request"
            )
        if (role.get("agency_name"), role.get("domain_name")) != (AGENCY, DOMAIN):
            return _iam_error(403, "You have no right to do this action.", "Forbidden")
        access, expires = self._identifiers.hexadecimal(20).upper(), self._playback.clock() + seconds
        key = _Key(self._identifiers.hexadecimal(40), "ggp" + self._identifiers.hexadecimal(800), expires)
        self._keys[access] = key
        credential = {
            "access": access,
            "secret": key.secret,
            "securitytoken": key.security_token,
            "expires_at": _iso(expires),
        }
        return Answer(201, {"credential": credential}, self._request_id())

    def _list_projects(self, call: Call) -> Answer:
        name = call.parameters.get("name")
        found = [HUAWEI_PROJECT] if name in (None, HUAWEI_REGION) else []
        projects = [{"id": item, "name": HUAWEI_REGION, "enabled": True} for item in found]
        return self._ok(200, {"projects": projects, "links": {"next": None, "previous": None}})

    def _progress_data(self, call: Call, *, project: str, job: str, type: str) -> Answer:
        self._check_language(call)
        if type not in OBJECT_TYPES:
            self._refuse(call, 400, "DRS.M00202", "type")
        limit = self._integer(call, "limit", _DEFAULT_LIMIT, 1, _MAX_LIMIT)
        offset = self._integer(call, "offset", 0, 0, 2**31 - 1)
        frame = self._poll(project, job)
        if frame is None:
            self._refuse(call, 400, "DRS.M05003")
        if (error := frame.error) is not None:
            return self._api_error(error)
        scripted = frame.steps_over({}, "objects").get(type)
        if isinstance(scripted, Mapping) and "page" in scripted:
            return Answer(scripted.get("http_status", 502), str(scripted["page"]))
        if isinstance(scripted, Mapping):
            return self._api_error(ApiError.model_validate(scripted))
        rows: Any = ObjectRows(frame, type) if scripted is None else scripted
        if name := call.parameters.get("search_name"):
            rows = [row for row in rows if name in f"{row.get('src_db')}.{row.get('src_tb')}"]
        content: dict[str, Any] = {
            "count": len(rows),
            "create_time": str(int(frame.now * 1000)),
            "flow_compare_data": list(rows[offset : offset + limit]),
        }
        return self._ok(200, content)

    def _compared(self, call: Call, project: str, job: str) -> Frame:
        """Return a job whose comparisons are asked for, or refuse the call."""
        self._check_language(call)
        frame = self._poll(project, job)
        if frame is None:
            self._refuse(call, 400, "DRS.M05003")
        if (error := frame.error) is not None:
            refuse(self._api_error(error))
        return frame

    def _comparisons(self, call: Call, *, project: str, job: str) -> dict[str, Any]:
        frame = self._compared(call, project, job)
        runs = list(enumerate(frame.check_runs, 1))
        comparisons = [drs_comparison(frame, run, number) for number, run in runs]
        return {"count": len(comparisons), "compare_jobs": self._page(call, comparisons)}

    def _comparison(
        self, call: Call, project: str, job: str, compare: str
    ) -> tuple[CheckRun, list[CheckedTable]]:
        """Return a comparison by its id, with its tables."""
        frame = self._compared(call, project, job)
        runs = {_comparison_id(frame, "lines", number): run for number, run in enumerate(frame.check_runs, 1)}
        if frame.verification is None or compare not in runs:
            self._refuse(call, 400, "DRS.M00202", "compare_job_id")
        return runs[compare], checked_tables(frame.verification, runs[compare])

    def _line_overview(self, call: Call, *, project: str, job: str, compare: str) -> dict[str, Any]:
        run, tables = self._comparison(call, project, job, compare)
        row = drs_compared_database(run, tables)
        rows = [row] if self._status_filter(call) in (None, row["status"]) else []
        return {"total_count": len(rows), "data_compare_overview_infos": self._page(call, rows)}

    def _line_detail(self, call: Call, *, project: str, job: str, compare: str) -> dict[str, Any]:
        tables = self._comparison(call, project, job, compare)[1]
        status, kind = self._status_filter(call), self._compare_type(call)
        names = {call.parameters.get(name, DATABASE) for name in ("db_name", "target_db_name")}
        name = call.parameters.get("query_tb_name", "")
        rows = [
            drs_compared_table(table)
            for table in tables
            if names == {DATABASE}
            and name in table.name
            and status in (None, _COMPARED_STATUS[table.condition])
            and kind in (None, "unCompare" if table.condition is CheckCondition.FAILED else "compare")
        ]
        return {"total_count": len(rows), "table_line_compare_result_infos": self._page(call, rows)}

    def _content_compare(self, call: Call, *, project: str, job: str, compare: str) -> dict[str, Any]:
        """Answer with no values: each comparison here is one of rows."""
        self._comparison(call, project, job, compare)
        self._compare_type(call)
        return {"total_count": 0, "content_compare_result_infos": self._page(call, [])}

    def _status_filter(self, call: Call) -> int | None:
        if "status" not in call.parameters:
            return None
        status = self._integer(call, "status", 0, 0, 27)
        if status in (1, 24, 25, 26):
            self._refuse(call, 400, "DRS.M00202", "status")
        return status

    def _compare_type(self, call: Call) -> str | None:
        kind = call.parameters.get("type")
        if kind not in (None, "compare", "unCompare"):
            self._refuse(call, 400, "DRS.M00202", "type")
        return kind

    def _page(self, call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        limit = self._integer(call, "limit", _DEFAULT_COMPARE_LIMIT, 1, _MAX_LIMIT)
        offset = self._integer(call, "offset", 0, 0, 2**31 - 1)
        return rows[offset : offset + limit]

    def _api_error(self, error: ApiError) -> Answer:
        """Return a scripted error; errors of the gateway have their own body."""
        if error.code.startswith("APIG"):
            return Answer(error.http_status or 400, self._gateway_content(error.code, error.message))
        content = {"error_code": error.code, "error_msg": error.message}
        return Answer(error.http_status or 400, content, self._request_id())

    def _batch_progress(self, call: Call, project: str) -> Answer:
        """Answer for each job; for an error with an HTTP status, the code is also in the result."""
        jobs = self._jobs(call)
        for job in jobs:
            is_known = job in [item.id for item in self._known_jobs(project, "v3")]
            frame = self._poll(project, job) if is_known else None
            error = frame and frame.error
            if error and error.http_status is not None:
                result = {"job_id": job, "error_code": error.code, "error_message": error.message}
                return self._ok(error.http_status, {"results": [result], "count": 1})
        results = [self._progress(call, project, job) for job in jobs]
        return self._ok(202, {"results": results, "count": len(results)})

    def _progress(self, call: Call, project: str, job: str) -> dict[str, Any]:
        is_known = job in [item.id for item in self._known_jobs(project, "v3")]
        frame = self._poll(project, job) if is_known else None
        if frame is None:
            return {"job_id": job, "error_code": "DRS.M05003", "error_msg": _message(call, "DRS.M05003")}
        if (error := frame.error) is not None:
            return {"job_id": job, "error_code": error.code, "error_msg": error.message}
        item: dict[str, Any] = frame.steps_over(drs_job(frame), "job", numbers_as_text=True)
        return item

    def _is_published(self, action: str) -> bool:
        generation = _GENERATIONS.get(action)
        known = {item.generation for item in self._jobs_of_drs}
        return generation is None or not known or bool(known & {generation, "both"})

    def _known_jobs(self, project: str, generation: str) -> list[DrsMigration]:
        """Return the jobs of a project that one of the APIs knows."""
        return [
            item
            for item in self._jobs_of_drs
            if item.project_id == project and item.generation in (generation, "both")
        ]

    def _job_detail(self, call: Call, *, project: str, job: str) -> Answer:
        self._check_language(call)
        part = call.parameters.get("type", "")
        if part not in DETAIL_TYPES:
            self._refuse(call, 400, "DRS.M00202" if part else "DRS.M00201", "type")
        if job not in [item.id for item in self._known_jobs(project, "v5")]:
            self._refuse(call, 400, "DRS.10000010")
        frame = self._poll(project, job)
        if frame is None:
            self._refuse(call, 400, "DRS.10000010")
        if (error := frame.error) is not None:
            return self._api_error(error)
        return self._ok(200, {"job": drs_detail(frame, part, self._created_at)})

    def _rpos_and_rtos(self, call: Call, project: str) -> Answer:
        results = []
        known = {item.id: item for item in self._known_jobs(project, "v3")}
        for job in self._jobs(call):
            frame = self._poll(project, job) if job in known else None
            if frame is None or known[job].job_type != "cloudDataGuard":
                code = "DRS.M05003"
                results.append({"job_id": job, "error_code": code, "error_msg": _message(call, code)})
            else:
                results.append(drs_rpo_and_rto(frame))
        return self._ok(200, {"count": len(results), "results": results})

    def _list_v5(self, call: Call, project: str) -> dict[str, Any]:
        self._check_language(call)
        limit = self._integer(call, "limit", _DEFAULT_LIMIT, 1, _MAX_JOBS_PER_PAGE)
        offset = self._integer(call, "offset", 0, 0, 2**31 - 1)
        rows = self._rows(call, project, "v5", "job_type", call.parameters)
        return {"total_count": len(rows), "jobs": rows[offset : offset + limit]}

    def _list_v3(self, call: Call, project: str) -> dict[str, Any]:
        self._check_language(call)
        body = _json(call.body)
        if not isinstance(body, Mapping):
            self._refuse(call, 400, "DRS.M00202", "body")
        page, size = body.get("cur_page", 1), body.get("per_page", _DEFAULT_LIMIT)
        if type(size) is not int or not 0 <= size <= _MAX_JOBS_PER_PAGE:
            self._refuse(call, 400, "DRS.M00202", "per_page")
        if type(page) is not int or page < (1 if size else 0) or (not size and page > 1):
            self._refuse(call, 400, "DRS.M00202", "cur_page")
        if body.get("enterprise_project_id") == "":
            self._refuse(call, 400, "DRS.M00201", "enterprise_project_id")
        rows = self._rows(call, project, "v3", "db_use_type", body)
        shown = rows[(page - 1) * size : page * size] if size and page else rows
        return {"total_record": len(rows), "jobs": shown}

    def _rows(
        self, call: Call, project: str, generation: str, type_name: str, filters: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the rows of a list after the service's own filters, each with its children."""
        job_type = filters.get(type_name)
        allowed = JOB_TYPES if generation == "v5" else JOB_TYPES[:-1]
        if job_type not in allowed:
            self._refuse(call, 400, "DRS.M00202" if job_type else "DRS.M00201", type_name)
        names = [name for name in str(filters.get("name") or "").split(",") if name]
        if len(names) > _MAX_NAMED[generation]:
            self._refuse(call, 400, "DRS.M00202", "name")
        status = filters.get("status")
        if status is not None and status not in (
            _LISTED_STATUSES if generation == "v5" else (*_LISTED_STATUSES, *_V3_STATUSES)
        ):
            self._refuse(call, 400, "DRS.M00202", "status")
        group, tags = filters.get("enterprise_project_id") or None, filters.get("tags") or {}
        known = self._known_jobs(project, generation)
        nested = {child for item in known for child in item.children}
        jobs = {item.id: item for item in known}
        rows = []
        for item in known:
            is_named = not names or item.id in names or (len(names) == 1 and names[0] in item.name)
            in_group = group in (None, item.enterprise_project_id)
            has_tags = generation == "v5" or tags.items() <= item.tags.items()
            if item.job_type == job_type and item.id not in nested and is_named and in_group and has_tags:
                row = self._row(item, generation)
                row["children"] = [
                    self._row(jobs[child], generation, is_child=True)
                    for child in item.children
                    if child in jobs
                ]
                if generation == "v5":
                    row["job_mode_role"] = "parent" if item.children else None
                if status in (None, row["status"]):
                    rows.append(row)
        return rows

    def _row(self, item: DrsMigration, generation: str, *, is_child: bool = False) -> dict[str, Any]:
        frame = self._playback.peek("drs", item.id)
        assert frame is not None  # it is a job of the scenario
        job = frame.steps_over(drs_job(frame), "job", numbers_as_text=True)
        row = {
            "id": item.id,
            "name": item.name,
            "status": job.get("transfer_status"),
            "description": "",
            "create_time": str(int(self._created_at * 1000)),
            "engine_type": "mysql",
            "net_type": "eip",
            "billing_tag": False,
            "job_direction": item.direction,
            "task_type": "FULL_INCR_TRANS" if item.has_incremental else "FULL_TRANS",
            "node_new_framework": False,
        }
        if generation == "v3":
            return {**row, "db_use_type": item.job_type}
        return {
            **row,
            "charging_mode": "on_demand",
            "job_type": item.job_type,
            "enterprise_project_id": item.enterprise_project_id,
            "job_mode": "sync_child" if is_child else "single",
            "job_mode_role": "child" if is_child else None,
            "is_multi_az": False,
        }

    def _tagged(self, call: Call, *, project: str, type: str) -> dict[str, Any]:
        self._check_language(call)
        if type not in (*JOB_TYPES, "subscription", "backupMigration"):
            self._refuse(call, 400, "DRS.M00202", "resource_type")
        limit = self._integer(call, "limit", _MAX_LIMIT, 1, _MAX_LIMIT)
        offset = self._integer(call, "offset", 0, 0, 2**31 - 1)
        tags = _field(_json(call.body), "tags")
        if not isinstance(tags, list) or len(tags) > 20 or not all(_field(tag, "key") for tag in tags):
            self._refuse(call, 400, "DRS.M00202", "tags")
        found = [
            item
            for item in self._known_jobs(project, "v5")
            if item.job_type == type
            and all(item.tags.get(tag["key"]) in (tag.get("values") or ()) for tag in tags)
        ]
        resources = [
            {
                "resource_id": item.id,
                "resource_detail": None,
                "resource_name": item.name,
                "tags": [{"key": key, "value": value} for key, value in item.tags.items()],
            }
            for item in found
        ]
        return {"total_count": len(found), "resources": resources[offset : offset + limit]}

    def _job_status(self, call: Call, project: str) -> dict[str, Any]:
        jobs = self._jobs(call)
        paging = _field(_json(call.body), "page_req")
        page = _field(paging, "cur_page") or 1
        size = _field(paging, "per_page")
        size = 5 if size is None else size
        if not isinstance(page, int) or page < 1:
            self._refuse(call, 400, "DRS.M00202", "cur_page")
        if not isinstance(size, int) or not 0 <= size <= 100:
            self._refuse(call, 400, "DRS.M00202", "per_page")
        shown = jobs[(page - 1) * size : page * size] if size else jobs
        results = []
        for job in shown:
            item = self._progress(call, project, job)
            if "transfer_status" in item:
                results.append({"id": job, "status": item["transfer_status"]})
            else:
                error = {"error_code": item.get("error_code"), "error_message": item.get("error_msg")}
                results.append({"id": job, **error})
        return {"results": results, "count": len(jobs)}

    def _poll(self, project: str, job: str) -> Frame | None:
        owners = [getattr(item, "project_id", None) for item in self._playback.of("drs") if item.id == job]
        return self._playback.poll("drs", job) if owners == [project] else None

    def _jobs(self, call: Call) -> list[str]:
        self._check_language(call)
        jobs = _jobs(call.body)
        if jobs is None:
            self._refuse(call, 400, "DRS.M00202", "jobs")
        if not jobs:
            self._refuse(call, 400, "DRS.M00201", "jobs")
        return jobs

    def _check_language(self, call: Call) -> None:
        if call.headers.get("x-language", "en-us").lower() not in ("en-us", "zh-cn"):
            self._refuse(call, 400, "DRS.M00202", "X-Language")

    def _integer(self, call: Call, name: str, default: int, lowest: int, highest: int) -> int:
        text = call.parameters.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            self._refuse(call, 400, "DRS.M00202", name)
        return int(text)


def _route(call: Call) -> tuple[str, dict[str, str]]:
    for action, (method, pattern) in _ROUTES.items():
        if method == call.method and (found := pattern.fullmatch(call.path)):
            return action, {name: unquote(value) for name, value in found.groupdict().items()}
    return f"{call.method} {call.path}", {}


def _message(call: Call, code: str) -> str:
    english, chinese = _MESSAGES[code]
    return chinese if call.headers.get("x-language", "").lower() == "zh-cn" else english


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _field(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _jobs(body: bytes) -> list[str] | None:
    jobs = _field(_json(body), "jobs")
    if isinstance(jobs, list) and all(isinstance(job, str) for job in jobs):
        return jobs
    return None


def _iam_error(code: int, message: str, title: str) -> Answer:
    return Answer(code, {"error": {"code": code, "message": message, "title": title}})


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def drs_job(frame: Frame) -> dict[str, Any]:
    """Return a job's item of batch-progress, with numbers as text; the delay is -1 before its phase."""
    moment = frame.moment
    remaining = 0.0 if moment.full is None else (1 - moment.full) * frame.migration.duration / 2
    lag = -1.0 if moment.lag is None else moment.lag
    full = _full_fraction(moment)
    job: dict[str, Any] = {
        "job_id": frame.migration.id,
        "progress": str(int(full * 100)),
        "incre_trans_delay": str(int(lag)),
        "incre_trans_delay_millis": str(int(lag * 1000) if lag >= 0 else -1),
        "task_mode": "FULL_INCR_TRANS" if frame.migration.has_incremental else "FULL_TRANS",
        "transfer_status": _status(moment),
        "process_time": "0" if moment.structure is None else str(int(frame.now * 1000)),
        "remaining_time": str(int(remaining)),
        "progress_map": {
            name: {"completed": f"{int(fraction * 100)}%", "remaining_time": None}
            for name, fraction in (("struct", moment.structure or 0.0), ("data", full), ("index", full))
            if moment.structure is not None
        },
        "apply_rows_rate": -1 if lag < 0 else int(50 + lag),
        "apply_bytes_rate": -1 if lag < 0 else int(50 + lag) * 512,
    }
    if moment.condition is Condition.FAILED:
        job |= {
            "error_code": "DRS.M01501",
            "error_msg": "Row 1024 of orders.order_items could not be written.",
        }
    return job


def drs_detail(frame: Frame, part: str, created_at: float) -> dict[str, Any]:
    """Return a v5 job detail: beside id and status, each ``type`` fills its own section."""
    item = frame.migration
    assert isinstance(item, DrsMigration)
    job = frame.steps_over(drs_job(frame), "job", numbers_as_text=True)
    detail: dict[str, Any] = {
        "id": item.id,
        "status": job.get("transfer_status"),
        "create_time": str(int(created_at * 1000)),
        "base_info": None,
        "progress_info": None,
        "job_kernel_direction": None,
    }
    if part in ("overview", "detail"):
        detail["job_kernel_direction"] = item.direction
        detail["base_info"] = {
            "name": item.name,
            "job_type": item.job_type,
            "job_direction": item.direction,
            "task_type": "FULL_INCR_TRANS" if item.has_incremental else "FULL_TRANS",
            "enterprise_project_id": item.enterprise_project_id,
            "tags": [{"key": key, "value": value} for key, value in item.tags.items()],
        }
    if part == "progress":
        names = ("progress", "task_mode", "transfer_status", "process_time", "remaining_time", "progress_map")
        detail["progress_info"] = {
            **{name: job[name] for name in names if name in job},
            **{
                name.replace("incre_", "incr_"): job[name]
                for name in ("incre_trans_delay", "incre_trans_delay_millis")
                if name in job
            },
        }
    # A step adds to the sections of this type, and does not fill those of others.
    changed: dict[str, Any] = frame.steps_over(detail, "detail", numbers_as_text=True)
    for section in ("base_info", "progress_info", "job_kernel_direction"):
        if detail[section] is None:
            changed[section] = None
    return changed


def drs_rpo_and_rto(frame: Frame) -> dict[str, Any]:
    """Return recovery point and recovery time of a disaster recovery job; both are null before its phase."""
    item: dict[str, Any] = {"job_id": frame.migration.id, "rpo_info": None, "rto_info": None}
    if frame.moment.lag is not None:
        time = datetime.fromtimestamp(frame.now, UTC).strftime("%Y-%m-%d %H:%M:%S")
        for name, delay in (("rpo_info", 0), ("rto_info", int(frame.moment.lag))):
            item[name] = {
                "check_point": "mysql-bin.000042:1024",
                "delay": str(delay),
                "gtid_set": "",
                "time": time,
            }
    return item


_STARTING_SHARE, _FULL_SHARE = 0.4, 0.9
"""Ends of STARTJOBING and of the full transfer, as fractions of their phase."""


def _full_fraction(moment: Moment) -> float:
    return min((moment.full or 0.0) / _FULL_SHARE, 1.0)


def _status(moment: Moment) -> str:
    match moment.condition:
        case Condition.WAITING:
            return "CREATING"
        case Condition.FAILED:
            return "START_JOB_FAILED" if moment.phase == "precheck" else "FULL_TRANSFER_FAILED"
        case Condition.PAUSED:
            return "PAUSING"
        case Condition.STOPPED:
            return "RELEASE_RESOURCE_STARTED" if moment.since < 0.1 else "RELEASE_RESOURCE_COMPLETE"
        case Condition.UNKNOWN:
            return "REBALANCING"
    if moment.phase == "precheck":
        return "CONFIGURATION"
    if moment.phase == "structure" and (moment.structure or 0.0) < _STARTING_SHARE:
        return "STARTJOBING"
    if moment.lag is not None:
        return "INCRE_TRANSFER_STARTED"
    return "FULL_TRANSFER_COMPLETE" if _full_fraction(moment) >= 1 else "FULL_TRANSFER_STARTED"


class ObjectRows:
    """
    The rows of progress-data for one object type, as a lazy sequence for up to 100,000 objects.

    Empty before the full phase and, as the console shows it, again in the incremental phase.
    """

    def __init__(self, frame: Frame, object_type: str) -> None:
        moment = frame.moment
        full = (moment.structure or 0.0) if object_type == "table_structure" else _full_fraction(moment)
        self._fraction = full
        self._of_database = object_type == "database"
        # Triggers and events are copied when the task is ended, so they stay below 100 %.
        self._ceiling = 90 if object_type in ("trigger", "event") else 100
        tables = getattr(frame.migration, "objects", 0)
        shown = (moment.structure or 0.0) >= _STARTING_SHARE and moment.lag is None
        self._count = min(_FEW_OBJECTS.get(object_type, tables), tables) if shown else 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Any:
        return iter(self[0 : self._count])

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        return [self._row(number) for number in range(*part.indices(self._count))]

    def _row(self, number: int) -> dict[str, Any]:
        # The starts of the objects are spread over the first half; each object takes the other half.
        progress = min(max(self._fraction * 2 - number / self._count, 0.0), 1.0)
        database = f"shop_{number % 4}"
        table = "" if self._of_database else f"table_{number:06d}"
        return {
            "src_db": database,
            "src_tb": table,
            "dst_db": database,
            "dst_tb": table,
            "progress": int(progress * self._ceiling),
        }


def drs_comparison(frame: Frame, run: CheckRun, number: int) -> dict[str, Any]:
    """Return a row comparison of table/compare, which DRS itself runs at the end of the full phase."""
    return {
        "id": _comparison_id(frame, "lines", number),
        "type": "lines",
        "options": {"comparePolicy": "normal"},
        "start_time": _utc(frame.time_of(run.begin)),
        "end_time": None if run.end is None else _utc(frame.time_of(run.end)),
        "status": _COMPARISON_STATUS[run.condition],
        "export_status": "INIT",
        "report_remain_seconds": -1,
    }


def drs_compared_database(run: CheckRun, tables: list[CheckedTable]) -> dict[str, Any]:
    """Return the database of a row comparison; its numbers count tables."""
    conditions = [table.condition for table in tables]
    compared = (CheckCondition.CONSISTENT, CheckCondition.DIFFERENT)
    return {
        "source_db_name": DATABASE,
        "target_db_name": DATABASE,
        "status": _COMPARED_STATUS[run.condition],
        "compare_num": len(tables),
        "compare_end_num": sum(condition in compared for condition in conditions),
        "data_inconsistent_num": conditions.count(CheckCondition.DIFFERENT),
        "uncomparable_num": conditions.count(CheckCondition.FAILED),
    }


def drs_compared_table(table: CheckedTable) -> dict[str, Any]:
    """Return a table of a row comparison; the rows are counted once it is compared."""
    is_compared = table.condition in (CheckCondition.CONSISTENT, CheckCondition.DIFFERENT)
    rows = table.rows if is_compared else 0
    return {
        "source_table_name": table.name,
        "target_table_name": table.name,
        "source_row_num": rows,
        "target_row_num": rows - table.missing,
        "difference_row_num": table.missing,
        "status": _COMPARED_STATUS[table.condition],
    }


def drs_object_comparison(frame: Frame) -> dict[str, Any]:
    """Return the latest comparison of objects, which are the same on both sides; null before the first."""
    comparison: dict[str, Any] = {
        **dict.fromkeys(("create_time", "start_time", "status", "export_status")),
        "report_remain_seconds": -1,
        **dict.fromkeys(("compare_job_id", "error_msg")),
        "compare_result": [],
    }
    if frame.verification is None or not frame.check_runs:
        return comparison
    run = frame.check_runs[-1]
    begin = _utc(frame.time_of(run.begin))
    comparison |= {
        "create_time": begin,
        "start_time": None if run.condition is CheckCondition.WAITING else begin,
        "status": _COMPARISON_STATUS[run.condition],
        "export_status": "INIT",
        "compare_job_id": _comparison_id(frame, "objects", len(frame.check_runs)),
    }
    if run.condition is CheckCondition.FAILED:
        comparison["error_msg"] = "The source database rejected a query."
    is_compared = run.condition in (CheckCondition.CONSISTENT, CheckCondition.DIFFERENT)
    comparison["compare_result"] = [
        {"type": kind, "source_count": count, "target_count": count, "status": 2 if is_compared else 3}
        for kind, count in (("DB", 1), ("TABLE", frame.verification.tables))
    ]
    return comparison


def _comparison_id(frame: Frame, kind: str, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{frame.migration.id}/{kind}/{number}"))


def _utc(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_LISTED_STATUSES = (
    *("CREATING", "CREATE_FAILED", "CONFIGURATION", "STARTJOBING", "WAITING_FOR_START", "START_JOB_FAILED"),
    *("FULL_TRANSFER_STARTED", "FULL_TRANSFER_FAILED", "FULL_TRANSFER_COMPLETE"),
    *("INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_FAILED"),
    *("RELEASE_RESOURCE_STARTED", "RELEASE_RESOURCE_FAILED", "RELEASE_RESOURCE_COMPLETE"),
    *("CHANGE_JOB_STARTED", "CHANGE_JOB_FAILED"),
    *("CHILD_TRANSFER_STARTING", "CHILD_TRANSFER_STARTED", "CHILD_TRANSFER_COMPLETE"),
    *("CHILD_TRANSFER_FAILED", "RELEASE_CHILD_TRANSFER_STARTED", "RELEASE_CHILD_TRANSFER_COMPLETE"),
)
"""Statuses that the filter of the v5 list takes."""
_V3_STATUSES = (
    *("PAUSING", "DELETED", "REBUILD_NODE_STARTED", "REBUILD_NODE_FAILED"),
    *("NODE_UPGRADE_START", "NODE_UPGRADE_COMPLETE", "NODE_UPGRADE_FAILED"),
)
"""Further statuses that the filter of the v3 list takes."""

_COMPARISON_STATUS = {
    CheckCondition.WAITING: "WAITING_FOR_RUNNING",
    CheckCondition.RUNNING: "RUNNING",
    CheckCondition.CONSISTENT: "SUCCESSFUL",
    CheckCondition.DIFFERENT: "SUCCESSFUL",
    CheckCondition.FAILED: "FAILED",
}
_COMPARED_STATUS = {
    CheckCondition.WAITING: 6,
    CheckCondition.RUNNING: 5,
    CheckCondition.CONSISTENT: 2,
    CheckCondition.DIFFERENT: 0,
    CheckCondition.FAILED: 4,
}
"""Statuses of compared databases and tables; those of compared objects are others."""
