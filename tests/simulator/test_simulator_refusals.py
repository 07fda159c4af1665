"""Each service refuses what the clouds refuse, with their statuses and bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

HUAWEI_REFUSAL = "Incorrect IAM authentication information: "


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        pytest.param({"secret": "wrong"}, 400, "SignatureDoesNotMatch", id="wrong secret"),
        pytest.param({"key": "NOSUCHKEY"}, 404, "InvalidAccessKeyId.NotFound", id="unknown key"),
        pytest.param({"skew": 16 * 60}, 400, "InvalidTimeStamp.Expired", id="clock ahead"),
        pytest.param({"skew": -16 * 60}, 400, "InvalidTimeStamp.Expired", id="clock behind"),
        pytest.param({"change": {"x-acs-date": "now"}}, 400, "InvalidTimeStamp.Format", id="malformed date"),
        pytest.param({"change": {"x-acs-date": None}}, 400, "MissingTimestamp", id="no date"),
        pytest.param({"token": "forged"}, 400, "InvalidSecurityToken.Malformed", id="forged STS token"),
        pytest.param({"change": {"authorization": None}}, 400, "IncompleteSignature", id="not signed"),
        pytest.param(
            {"change": {"x-acs-extra": "1"}}, 400, "IncompleteSignature", id="unsigned x-acs header"
        ),
        pytest.param({"body": b"a=b"}, 400, "IncompleteSignature", id="body without a signed content-type"),
        pytest.param(
            {"form": True, "body": b"MigrationJobId=other"}, 400, "SignatureDoesNotMatch", id="other body"
        ),
        pytest.param(
            {"change": {"x-acs-content-sha256": "0" * 64}}, 400, "SignatureDoesNotMatch", id="other hash"
        ),
        pytest.param({"version": "2018-08-01"}, 400, "InvalidVersion", id="version that was shut down"),
        pytest.param(
            {"version": "2020-05-18"}, 404, "InvalidAction.NotFound", id="another product's version"
        ),
        pytest.param({"job": "dtsnobody"}, 400, "InvalidJobId", id="unknown job"),
        pytest.param({"job": ""}, 400, "MissingMigrationJobId", id="no job"),
    ],
)
def test_dts_refusals(ask: Any, how: dict[str, Any], status: int, code: str) -> None:
    reply = ask.dts(**how)
    assert (reply.status, reply.json["Code"]) == (status, code)
    assert reply.json.keys() == {"RequestId", "HostId", "Code", "Message", "Recommend"}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Region": ""}, "MissingRegion"),
        ({"PageSize": "50"}, "InvalidParameter"),
        ({"PageNumber": "0"}, "InvalidParameter"),
        ({"PageNumber": "first"}, "InvalidParameter"),
        ({"JobType": "migration"}, "InvalidParameter"),
        ({"WithoutDbList": "yes"}, "InvalidParameter"),
    ],
)
def test_dts_list_refusals(ask: Any, parameters: dict[str, str], code: str) -> None:
    reply = ask.alibaba("DescribeDtsJobs", {"Region": "cn-hangzhou", **parameters})
    assert (reply.status, reply.json["Code"]) == (400, code)


@pytest.mark.parametrize(
    ("parameters", "listed"),
    [
        ({}, ["dtsdemo0001"]),
        ({"DtsInstanceId": "dtsdemo0001"}, ["dtsdemo0001"]),
        ({"DtsInstanceId": "dtsnobody,dtsdemo0001"}, ["dtsdemo0001"]),
        ({"DtsInstanceId": "dtsnobody"}, []),
        ({"DtsJobId": "demo0001"}, ["dtsdemo0001"]),
        ({"DtsJobId": "dtsdemo0001"}, []),
        ({"DtsInstanceId": "dtsnobody", "DtsJobId": "demo0001"}, []),
        ({"DtsJobId": "demo0001", "JobType": "SYNC"}, []),
        ({"JobType": "SYNC"}, ["dtssync0001"]),
        ({"PageNumber": "2"}, []),
    ],
)
def test_dts_list_leaves_out_unknown_ids(ask: Any, parameters: dict[str, str], listed: list[str]) -> None:
    body = ask.alibaba("DescribeDtsJobs", {"Region": "cn-hangzhou", **parameters}).json
    assert [job["DtsInstanceID"] for job in body["DtsJobList"]] == listed
    assert body["PageRecordCount"] == len(listed)


@pytest.mark.parametrize(("status", "key"), [(200, "ErrCode"), (400, "Code")])
def test_dts_error_is_in_both_calls(play: Any, status: int, key: str) -> None:
    step = {"at": 0, "error": {"code": "InternalError", "http_status": status}}
    ask = play({"migrations": [{"service": "dts", "migration_job_id": "dts1", "steps": [step]}]})
    for reply in (ask.dts("dts1"), ask.alibaba("DescribeDtsJobs", {"Region": "cn-hangzhou"})):
        assert (reply.status, reply.json[key]) == (status, "InternalError")


def test_error_of_one_action_leaves_the_others(play: Any) -> None:
    error = {"code": "Forbidden.RAM", "http_status": 403, "actions": ["GetMigrationProcess"]}
    steps = [{"at": 0, "error": error}]
    ask = play({"migrations": [{"service": "dataworks", "migration_id": 7, "steps": steps}]})
    assert ask.dataworks("GetMigrationSummary", migration="7").status == 200
    assert ask.dataworks("GetMigrationProcess", migration="7").json["Code"] == "Forbidden.RAM"


def test_xml_error_has_the_form_of_the_gateway(play: Any) -> None:
    error = {"code": "Throttling.User", "message": "a < b", "xml": True}
    steps = [{"at": 0, "error": error}]
    reply = play({"migrations": [{"service": "dts", "migration_job_id": "dts1", "steps": steps}]}).dts("dts1")
    assert (reply.status, reply.headers["content-type"]) == (400, "text/xml;charset=utf-8")
    assert b"<Code>Throttling.User</Code><Message>a &lt; b</Message>" in reply.body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("POST", "/other", 404, "InvalidApi.NotFound"), ("PUT", "/", 405, "UnsupportedHTTPMethod")],
)
def test_alibaba_path_and_methods(ask: Any, method: str, path: str, status: int, code: str) -> None:
    reply = ask.send(method, ask.simulator.url + path)
    assert (reply.status, reply.json["Code"]) == (status, code)


def test_signed_header_that_is_missing_is_refused(ask: Any) -> None:
    assert ask.dts(change={"accept": "text/xml"}).status == 200
    reply = ask.dataworks("GetMigrationSummary", change={"content-type": None})
    assert (reply.status, reply.json["Code"]) == (400, "IncompleteSignature")


def test_nonces_expire(ask: Any, clock: Any) -> None:
    assert ask.dts(nonce="old").status == 200
    clock.now += 31 * 60
    assert ask.dts(nonce="new").status == 200
    assert ask.dts(nonce="old").status == 200


def test_nonce_is_accepted_once(ask: Any) -> None:
    assert ask.dts(nonce="once").status == 200
    reply = ask.dts(nonce="once")
    assert (reply.status, reply.json["Code"]) == (400, "SignatureNonceUsed")


def test_nonce_survives_a_wrong_signature(ask: Any) -> None:
    assert ask.dts(nonce="again", secret="wrong").status == 400
    assert ask.dts(nonce="again").status == 200


def test_sts_token_is_accepted(ask: Any) -> None:
    assert ask.dts(token="simulator-security-token").status == 200


def test_unknown_action_is_not_found(ask: Any) -> None:
    reply = ask.alibaba("DescribeNothing", {})
    assert (reply.status, reply.json["Code"]) == (404, "InvalidAction.NotFound")


def test_mutating_action_is_refused_and_counted(ask: Any) -> None:
    reply = ask.alibaba("StopMigrationJob", {"MigrationJobId": "dtsdemo0001"})
    assert (reply.status, reply.json["Code"]) == (403, "Forbidden.RAM")
    assert ask.simulator.writes == 1
    ask.huawei("DELETE", "/v5/5237e10fe9aa4ad5b16b6a5245248314/links")
    assert ask.simulator.writes == 2


@pytest.mark.parametrize(
    ("project", "migration", "status", "code"),
    [
        ("123456", "9", 404, "InvalidMigration.NotFound"),
        ("9", "1234", 404, "InvalidMigration.NotFound"),
        ("abc", "1234", 400, "InvalidProjectId"),
        ("123456", "", 400, "MissingMigrationId"),
    ],
)
@pytest.mark.parametrize("action", ["GetMigrationProcess", "GetMigrationSummary"])
def test_dataworks_refusals(
    ask: Any, action: str, project: str, migration: str, status: int, code: str
) -> None:
    reply = ask.dataworks(action, project, migration)
    assert (reply.status, reply.json["Code"]) == (status, code)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ProjectId": "abc"}, "InvalidProjectId"),
        ({"ProjectId": ""}, "MissingProjectId"),
        ({"MigrationType": ""}, "MissingMigrationType"),
        ({"MigrationType": "import"}, "InvalidMigrationType"),
        ({"PageSize": "101"}, "InvalidPageSize"),
        ({"PageNumber": "0"}, "InvalidPageNumber"),
    ],
)
def test_dataworks_list_refusals(ask: Any, parameters: dict[str, str], code: str) -> None:
    asked = {"ProjectId": "123456", "MigrationType": "IMPORT", **parameters}
    reply = ask.alibaba("ListMigrations", asked, version="2020-05-18", form=True)
    assert (reply.status, reply.json["Code"]) == (400, code)


@pytest.mark.parametrize(
    ("parameters", "listed"),
    [
        ({}, [1234]),
        ({"ProjectId": "9"}, []),
        ({"MigrationType": "EXPORT"}, []),
        ({"PageNumber": "2"}, []),
    ],
)
def test_dataworks_list_has_the_packages_of_a_workspace(
    ask: Any, parameters: dict[str, str], listed: list[int]
) -> None:
    asked = {"ProjectId": "123456", "MigrationType": "IMPORT", **parameters}
    data = ask.alibaba("ListMigrations", asked, version="2020-05-18", form=True).json["Data"]
    assert [package["Id"] for package in data["Migrations"]] == listed
    assert data["TotalCount"] == (0 if parameters.get("PageNumber") is None and not listed else 1)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        pytest.param({"secret": "wrong"}, "verify aksk signature fail", id="wrong secret"),
        pytest.param({"key": "NOBODY"}, "Get secretKey failed,ak:NOBODY,err:ak not exist", id="unknown key"),
        pytest.param({"skew": 16 * 60}, "verify aksk signature fail", id="clock off"),
        pytest.param({"change": {"authorization": None}}, "x-auth-token not found", id="not signed"),
        pytest.param({"change": {"x-sdk-date": "now"}}, "verify aksk signature fail", id="other date"),
        pytest.param(
            {"change": {"authorization": "SDK-HMAC-SHA256 Access=SIMULATORACCESSKEY, SignedHeaders=host"}},
            "verify aksk signature fail",
            id="date not signed",
        ),
        pytest.param({"token": "MIIforged"}, "decrypt token fail", id="forged token"),
        pytest.param({"security_token": "forged"}, "decrypt token fail", id="forged security token"),
    ],
)
def test_huawei_gateway_refusals(ask: Any, how: dict[str, Any], reason: str) -> None:
    reply = ask.drs_objects(**how)
    assert (reply.status, reply.json["error_code"]) == (401, "APIGW.0301")
    assert reply.json["error_msg"].startswith(HUAWEI_REFUSAL + reason)
    assert reply.json.keys() == {"error_msg", "error_code", "request_id"}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"headers": {"x-sdk-content-sha256": "0" * 64}}, id="hash of another body"),
        pytest.param({"change": {"x-sdk-content-sha256": "UNSIGNED-PAYLOAD"}}, id="hash not signed"),
    ],
)
def test_huawei_hash_must_match_the_body(ask: Any, how: dict[str, Any]) -> None:
    assert ask.drs_jobs(**how).json["error_code"] == "APIGW.0301"


def test_huawei_key_is_locked_after_five_wrong_signatures(ask: Any, clock: Any) -> None:
    for _ in range(5):
        assert "verify aksk" in ask.drs_objects(secret="wrong").json["error_msg"]
    assert "failed to reach the limit,forbidden" in ask.drs_objects().json["error_msg"]
    clock.now += 299
    assert ask.drs_objects().status == 401
    clock.now += 2
    assert ask.drs_objects().status == 200


def test_huawei_lock_count_restarts_on_success(ask: Any) -> None:
    for _ in range(3):
        for _ in range(4):
            assert ask.drs_objects(secret="wrong").status == 401
        assert ask.drs_objects().status == 200


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"project": "f" * 32}, id="in the path"),
        pytest.param({"headers": {"x-project-id": "f" * 32}}, id="in the header"),
    ],
)
def test_drs_other_project_is_forbidden(ask: Any, how: dict[str, Any]) -> None:
    reply = ask.drs_objects(**how)
    assert (reply.status, reply.json["error_code"]) == (403, "DRS.M00261")


@pytest.mark.parametrize(
    ("object_type", "query", "what"),
    [
        ("bogus", "", "type"),
        ("table", "limit=0", "limit"),
        ("table", "limit=1001", "limit"),
        ("table", "limit=ten", "limit"),
        ("table", "offset=-1", "offset"),
    ],
)
def test_drs_progress_data_refusals(ask: Any, object_type: str, query: str, what: str) -> None:
    reply = ask.drs_objects(object_type, query)
    assert (reply.status, reply.json) == (
        400,
        {"error_code": "DRS.M00202", "error_msg": f"The value of {what} is invalid."},
    )


def test_drs_unknown_job_is_refused_in_the_given_language(ask: Any) -> None:
    reply = ask.drs_objects(job="nobody")
    assert (reply.status, reply.json) == (
        400,
        {"error_code": "DRS.M05003", "error_msg": "Task information not found."},
    )
    chinese = ask.drs_objects(job="nobody", headers={"x-language": "zh-cn"})
    assert chinese.json["error_msg"] == "任务信息不存在。"
    assert ask.drs_objects(headers={"x-language": "fr-fr"}).json["error_code"] == "DRS.M00202"


def test_drs_unknown_job_is_an_error_inside_a_batch(ask: Any) -> None:
    reply = ask.drs_jobs("163b98e8-6088-46c3-8b86-c18fea6jb502", "nobody")
    known, unknown = reply.json["results"]
    assert (reply.status, reply.json["count"]) == (202, 2)
    assert known["transfer_status"] == "CREATING"
    assert unknown["error_code"] == "DRS.M05003"


def test_drs_batch_status_defaults_to_five_jobs(ask: Any) -> None:
    path = "/v3/5237e10fe9aa4ad5b16b6a5245248314/jobs/batch-status"
    jobs = [str(number) for number in range(7)]
    first = ask.huawei("POST", path, body={"jobs": jobs})
    assert (first.status, first.json["count"]) == (200, 7)
    assert [item["id"] for item in first.json["results"]] == ["0", "1", "2", "3", "4"]
    assert first.json["results"][0]["error_code"] == "DRS.M05003"
    page = {"cur_page": 2, "per_page": 4}
    second = ask.huawei("POST", path, body={"jobs": jobs, "page_req": page})
    assert [item["id"] for item in second.json["results"]] == ["4", "5", "6"]
    for wrong in ({"cur_page": -1}, {"per_page": 101}):
        reply = ask.huawei("POST", path, body={"jobs": jobs, "page_req": wrong})
        assert (reply.status, reply.json["error_code"]) == (400, "DRS.M00202")


def test_iam_project_of_the_region(ask: Any) -> None:
    found = ask.huawei("GET", "/v3/projects?name=cn-north-4").json["projects"]
    assert [item["id"] for item in found] == ["5237e10fe9aa4ad5b16b6a5245248314"]
    assert ask.huawei("GET", "/v3/projects?name=nowhere-1").json["projects"] == []


def test_drs_has_no_other_calls(ask: Any) -> None:
    reply = ask.huawei("GET", "/v5/5237e10fe9aa4ad5b16b6a5245248314/links")
    assert (reply.status, reply.json["error_code"]) == (404, "APIGW.0101")


def test_drs_empty_batch_is_refused(ask: Any) -> None:
    path = "/v3/5237e10fe9aa4ad5b16b6a5245248314/jobs/batch-progress"
    assert ask.huawei("POST", path, body={"jobs": []}).json["error_code"] == "DRS.M00201"
    assert ask.huawei("POST", path, body={}).json["error_code"] == "DRS.M00202"


@pytest.mark.parametrize(
    "scope",
    [{"project": {"name": "cn-north-4"}}, {"project": {"id": "5237e10fe9aa4ad5b16b6a5245248314"}}],
)
def test_iam_token_expires_after_24_hours(ask: Any, clock: Any, scope: dict[str, Any]) -> None:
    reply = ask.iam_token(scope=scope)
    assert reply.status == 201
    assert reply.json["token"]["project"]["id"] == "5237e10fe9aa4ad5b16b6a5245248314"
    token = reply.headers["x-subject-token"]
    assert ask.drs_objects(token=token).status == 200
    assert ask.drs_jobs(token=token).status == 202
    clock.now += 24 * 3600 - 1
    assert ask.drs_objects(token=token).status == 200
    clock.now += 2
    expired = ask.drs_objects(token=token)
    assert (expired.status, expired.json["error_code"]) == (401, "APIGW.0301")
    assert "token expires, expires_at:" in expired.json["error_msg"]


def test_iam_revoked_token_is_refused(ask: Any) -> None:
    token = ask.iam_token().headers["x-subject-token"]
    ask.simulator.revoke_tokens()
    assert ask.drs_objects(token=token).status == 401
    assert ask.drs_objects(token=ask.iam_token().headers["x-subject-token"]).status == 200


def test_iam_token_without_a_project_is_refused(ask: Any) -> None:
    token = ask.iam_token(scope={"domain": {"name": "simulator-domain"}}).headers["x-subject-token"]
    assert ask.drs_objects(token=token).json["error_code"] == "DRS.M00261"


def test_iam_nocatalog_omits_the_catalog(ask: Any) -> None:
    assert "catalog" in ask.iam_token().json["token"]
    assert "catalog" not in ask.iam_token(query="?nocatalog=true").json["token"]


@pytest.mark.parametrize(
    ("how", "title"),
    [
        ({"password": "wrong"}, "Unauthorized"),
        ({"scope": {"project": {"name": "nowhere-1"}}}, "Unauthorized"),
    ],
)
def test_iam_refusals(ask: Any, how: dict[str, Any], title: str) -> None:
    reply = ask.iam_token(**how)
    assert reply.status == 401
    assert reply.json["error"]["code"] == 401
    assert reply.json["error"]["title"] == title
    assert reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({}, "methods must be"),
        (
            {"identity": {"methods": ["password"], "password": {"user": {"name": "simulator"}}}},
            "Expecting to find domain in user.",
        ),
    ],
)
def test_iam_incomplete_request_is_refused(ask: Any, auth: dict[str, Any], message: str) -> None:
    reply = ask.send("POST", f"{ask.simulator.url}/v3/auth/tokens", {}, json.dumps({"auth": auth}).encode())
    assert reply.status == reply.json["error"]["code"] == 400
    assert message in reply.json["error"]["message"]


@pytest.mark.parametrize("header", [None, "Bearer abc", "Basic ###", "Basic bm9jb2xvbg=="])
def test_oms_basic_credentials(ask: Any, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    reply = ask.send("GET", f"{ask.simulator.url}/api/omsp/v2/migrations/p_demo0001/progress", headers)
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("DescribeProjectProgress", {"id": "np_nobody"}, "GHANA-PROJECT000001"),
        ("DescribeProjectSteps", {"id": "np_nobody"}, "GHANA-PROJECT000001"),
        ("DescribeProjectProgress", {}, "PARAM_ERROR"),
        ("DescribeProjectProgress", {"id": 7}, "PARAM_ERROR"),
        ("DescribeProjectProgress", [], "PARAM_ERROR"),
        ("DescribeProjectProgress", b"id=np_1", "PARAM_ERROR"),
        ("StopProject", {"id": "p_demo0001"}, "PARAM_ERROR"),
        ("", {"id": "p_demo0001"}, "PARAM_ERROR"),
    ],
)
def test_oms_action_refusals_have_http_200(ask: Any, action: str, body: Any, code: str) -> None:
    reply = ask.oms_action(action, body)
    assert (reply.status, reply.json["success"], reply.json["code"]) == (200, False, code)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"type": "migration"}, "type"),
        ({"type": "VERIFY"}, "type"),
        ({"pageSize": 151}, "pageSize"),
        ({"pageSize": "10"}, "pageSize"),
        ({"pageNumber": 0}, "pageNumber"),
        ({"pageNumber": True}, "pageNumber"),
        ({"status": ["ODD"]}, "status"),
        ({"status": "ODD"}, "status"),
        ({"labelIds": "l_1"}, "labelIds"),
        ({"labelIds": ["l"] * 6}, "labelIds"),
        ({"sortField": "name"}, "sortField"),
        ({"order": 1}, "order"),
        ({"visibleSubProject": "no"}, "visibleSubProject"),
        ({"page": 1}, "page"),
    ],
)
def test_oms_list_refusals(ask: Any, change: dict[str, Any], name: str) -> None:
    assert ask.oms_action("ListProjects", {"pageNumber": 1}).json["success"] is True
    reply = ask.oms_action("ListProjects", {"pageNumber": 1, **change}).json
    assert (reply["success"], reply["code"]) == (False, "PARAM_ERROR")
    assert f"{name} is invalid" in reply["message"]


@pytest.mark.parametrize("body", [b"", b"pageNumber=1", [], 5])
def test_oms_list_needs_a_json_object(ask: Any, body: Any) -> None:
    assert ask.oms_action("ListProjects", body).json["code"] == "PARAM_ERROR"


def test_oms_older_calls_know_projects_of_their_own_type(play: Any) -> None:
    projects = [
        {"service": "oms", "project_id": "p_1"},
        {"service": "oms", "project_id": "p_2", "type": "SYNC"},
    ]
    ask = play({"migrations": projects})
    headers = {"authorization": "Basic c2ltdWxhdG9yOnNpbXVsYXRvci1wYXNzd29yZA=="}
    known = {
        (path, project): ask.send(
            "GET", f"{ask.simulator.url}/api/omsp/v2/{path}/{project}/progress", headers
        ).json["success"]
        for path in ("migrations", "sync")
        for project in ("p_1", "p_2")
    }
    assert {key for key, is_known in known.items() if is_known} == {("migrations", "p_1"), ("sync", "p_2")}


def test_oms_actions_need_a_password(ask: Any) -> None:
    assert ask.oms_action("DescribeProjectProgress", {"id": "np_1"}, password="wrong").status == 401
    ask.oms_action("DescribeProjectSteps", {"id": "np_1"})
    assert ask.simulator.writes == 0
    ask.oms_action("StopProject", {"id": "np_1"})
    assert ask.simulator.writes == 1


def test_oms_older_call_does_not_know_newer_ids(play: Any) -> None:
    ask = play({"migrations": [{"service": "oms", "project_id": "np_1"}]})
    assert ask.oms("np_1").json["code"] == "GHANA-PROJECT000001"
    assert ask.oms_action("DescribeProjectProgress", {"id": "np_1"}).json["data"]["projectId"] == "np_1"


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [({"Id": "np_nobody"}, 200, "GHANA-PROJECT000001"), ({}, 400, "MissingId")],
)
@pytest.mark.parametrize("action", ["DescribeProjectProgress", "DescribeProjectSteps"])
def test_oms_hosted_refusals(
    ask: Any, action: str, parameters: dict[str, str], status: int, code: str
) -> None:
    reply = ask.alibaba(action, parameters, version="2019-09-01", form=True)
    assert (reply.status, reply.json["Code"]) == (status, code)


@pytest.mark.parametrize("status", [200, 500])
def test_oms_error_is_in_each_call(play: Any, status: int) -> None:
    step = {"at": 0, "error": {"code": "GHANA-OPERIE000000", "http_status": status}}
    ask = play({"migrations": [{"service": "oms", "project_id": "p_1", "steps": [step]}]})
    hosted = ask.alibaba("DescribeProjectProgress", {"Id": "p_1"}, version="2019-09-01", form=True)
    assert (hosted.status, hosted.json["Code"]) == (status, "GHANA-OPERIE000000")
    for reply in (ask.oms("p_1"), ask.oms_action("DescribeProjectProgress", {"id": "p_1"})):
        assert (reply.status, reply.json["code"]) == (status, "GHANA-OPERIE000000")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1", 404),
        ("GET", "/api/v2", 405),
        ("POST", "/api/omsp/v2/migrations/p_demo0001/progress", 405),
    ],
)
def test_oms_answers_progress_only(ask: Any, method: str, path: str, status: int) -> None:
    headers = {"authorization": "Basic c2ltdWxhdG9yOnNpbXVsYXRvci1wYXNzd29yZA=="}
    assert ask.send(method, ask.simulator.url + path, headers).status == status


@pytest.mark.parametrize("how", [{"password": "wrong"}, {"user": "nobody"}])
def test_oms_wrong_password_gets_a_page(ask: Any, how: dict[str, str]) -> None:
    reply = ask.oms(**how)
    assert reply.status == 401
    assert reply.headers["content-type"].startswith("text/html")


def test_oms_unknown_project_has_http_200(ask: Any) -> None:
    reply = ask.oms("p_nobody")
    assert reply.status == 200
    assert (reply.json["success"], reply.json["code"]) == (False, "GHANA-PROJECT000001")


def test_requests_are_recorded(ask: Any) -> None:
    ask.dts()
    ask.dataworks("GetMigrationSummary")
    ask.oms(password="wrong")
    ask.iam_token()
    ask.drs_objects(secret="wrong")
    ask.drs_jobs("a", "b")
    assert [(r.service, r.action, r.id, r.status) for r in ask.simulator.requests] == [
        ("dts", "DescribeMigrationJobStatus", "dtsdemo0001", 200),
        ("dataworks", "GetMigrationSummary", "1234", 200),
        ("oms", "GetMigrationProgress", "p_demo0001", 401),
        ("iam", "KeystoneCreateUserTokenByPassword", "", 201),
        ("drs", "ShowProgressData", "163b98e8-6088-46c3-8b86-c18fea6jb502", 401),
        ("drs", "BatchListProgresses", "a,b", 202),
    ]
    assert ask.simulator.writes == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({}, {}, 400),
        ({"auth": {"identity": {"methods": ["token"]}}}, {}, 400),
        (None, {"x-domain-id": "another"}, 401),
        (None, {}, 201),
    ],
)
def test_iam_agency_refusals(ask: Any, body: Any, headers: dict[str, str], status: int) -> None:
    role = {"agency_name": "simulator-agency", "domain_name": "simulator-domain"}
    right = {"auth": {"identity": {"methods": ["assume_role"], "assume_role": role}}}
    path = "/v3.0/OS-CREDENTIAL/securitytokens"
    reply = ask.huawei("POST", path, body=right if body is None else body, headers=headers)
    assert reply.status == status


def test_iam_agency_key_expires(ask: Any, clock: Any) -> None:
    role = {"agency_name": "simulator-agency", "domain_name": "simulator-domain"}
    body = {"auth": {"identity": {"methods": ["assume_role"], "assume_role": role}}}
    given = ask.huawei("POST", "/v3.0/OS-CREDENTIAL/securitytokens", body=body).json["credential"]
    key = {"key": given["access"], "secret": given["secret"], "security_token": given["securitytoken"]}
    assert ask.drs_jobs(**key).status == 202
    assert ask.drs_jobs(**{**key, "security_token": None}).status == 401
    assert ask.drs_jobs(**{**key, "secret": "wrong"}).status == 401
    clock.now += 15 * 60
    assert "token expires" in ask.drs_jobs(**key).json["error_msg"]
