"""The services' own data checks, in each service's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import pytest

from airflow_provider_migration.simulator.scripts import SCRIPTS, CheckOutcome, at, check_runs, copied_at
from tests.simulator.conftest import DRS_JOB, DRS_PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = (-0.1, 0.05, 0.15, 0.3, 0.65, 0.75, 2.0)
"""Times since the full copy, as fractions of the duration: before, twice in a run, after it, and again."""

RUNS = {
    "pending": "- waiting:0 waiting:0 waiting:0 waiting:0 waiting:0 waiting:0",
    "running": "- running:25 running:50 running:50 running:50 running:50 running:50",
    "consistent": "- running:25 running:75 consistent:100 consistent:100 consistent:100 consistent:100",
    "different": "- running:25 running:75 different:100 different:100 different:100 different:100",
    "failed": "- running:25 running:75 failed:90 failed:90 failed:90 failed:90",
    "repaired": "- running:25 running:75 different:100 running:25 running:75 consistent:100",
    "restarted": "- running:25 running:75 consistent:100 running:25 running:75 consistent:100",
}


@pytest.mark.parametrize("outcome", get_args(CheckOutcome))
def test_check_runs(outcome: CheckOutcome) -> None:
    runs = [check_runs(outcome, time) for time in TIMES]
    latest = [found[-1] if found else None for found in runs]
    words = [f"{run.condition.value}:{run.done * 100:.0f}" if run else "-" for run in latest]
    assert " ".join(words) == RUNS[outcome]
    recheck = 2 if outcome in ("repaired", "restarted") else 1
    assert [len(found) for found in runs] == [0, 1, 1, 1, recheck, recheck, recheck]
    assert all((run.end is None) == (run.condition.value in ("waiting", "running")) for run in latest if run)


@pytest.mark.parametrize("script", SCRIPTS["dts"])
@pytest.mark.parametrize("incremental", [True, False])
def test_check_begins_when_the_full_copy_is_done(script: str, incremental: bool) -> None:
    copied = copied_at(script, incremental=incremental)
    for time in (0.5, 0.79, 0.81, 0.99, 1.01, 1.09, 1.11, 1.29, 1.31, 50):
        moment = at(script, time, duration=1, incremental=incremental)
        assert (moment.full == 1) == (time >= copied)


EVERY_OUTCOME = (None, *get_args(CheckOutcome))

MOMENTS = (75, 90, 110, 150, 200)
"""Seconds of a script of 100: in the full copy, in the first run, after it, in a second run, after it."""


def one(service: str, outcome: str | None, **ids: str) -> dict[str, Any]:
    """Return a scenario of one migration with four checked tables, three of which may differ."""
    check: dict[str, Any] = {"outcome": outcome, "tables": 4}
    if outcome in ("different", "repaired"):
        check["different"] = 3
    verification = {"verification": check} if outcome else {}
    return {"migrations": [{"service": service, **ids, "duration": 100, **verification}]}


def dts_state(ask: Any) -> str:
    """Return the status of the check, and how many of its tables are done, differ, failed."""
    (job,) = ask.alibaba("DescribeDtsJobs", {"Region": "cn-hangzhou"}).json["DtsJobList"]
    tables = dts_tables(ask)
    status = job.get("FullDataCheckStatus", {})
    assert job["MigrationMode"]["FullDataCheck"] == bool(status) == bool(tables["TableDetails"])
    assert ("ErrorMessage" in status) == (status.get("Status") == "Failed")
    done = sum(row["Status"] == "0" for row in tables["TableDetails"])
    words = [status.get("Status", "-"), status.get("Percent", "-")]
    return " ".join(map(str, [*words, done, tables["DiffTableCount"], tables["FailedTableCount"]]))


def dts_tables(ask: Any, **parameters: Any) -> Any:
    """Return the answer about the tables of a full check."""
    return ask.alibaba(
        "DescribeDataCheckTableDetails", {"CheckType": "1", "DtsJobId": "x1", **parameters}
    ).json


DTS_STATES = {
    None: ["- - 0 0 0"] * 5,
    "pending": ["NotStarted 0 0 0 0"] * 5,
    "running": ["NotStarted 0 0 0 0", *["Checking 50 2 0 0"] * 4],
    "consistent": ["NotStarted 0 0 0 0", "Checking 50 2 0 0", *["Finished 100 4 0 0"] * 3],
    "different": ["NotStarted 0 0 0 0", "Checking 50 2 2 0", *["Finished 100 4 3 0"] * 3],
    "failed": ["NotStarted 0 0 0 0", "Checking 50 2 0 0", *["Failed 90 3 0 1"] * 3],
    "repaired": [
        "NotStarted 0 0 0 0",
        *["Checking 50 2 2 0", "Finished 100 4 3 0"],
        *["Checking 50 2 0 0", "Finished 100 4 0 0"],
    ],
    "restarted": ["NotStarted 0 0 0 0", *["Checking 50 2 0 0", "Finished 100 4 0 0"] * 2],
}


@pytest.mark.parametrize("script", SCRIPTS["dts"])
def test_dts_check_of_every_script(play: Callable[..., Any], script: str) -> None:
    """The check of a copy that never ends does not begin."""
    scenario = one("dts", "different", migration_job_id="dtsx1")
    scenario["migrations"][0]["script"] = script
    ask = play(scenario)
    ask.simulator.jump("dts", "dtsx1", 90)
    is_copied = at(script, 90, duration=100, incremental=True).full == 1
    assert (dts_state(ask) != "NotStarted 0 0 0 0") == is_copied


@pytest.mark.parametrize("outcome", EVERY_OUTCOME)
def test_dts_check_outcomes(play: Callable[..., Any], outcome: str | None) -> None:
    ask, seen = play(one("dts", outcome, migration_job_id="dtsx1")), []
    for second in MOMENTS:
        ask.simulator.jump("dts", "dtsx1", second)
        seen.append(dts_state(ask))
        assert "DataCheck" not in ask.dts("dtsx1").body.decode()
    assert seen == DTS_STATES[outcome]
    assert ask.simulator.writes == 0


@pytest.mark.parametrize(
    ("parameters", "listed"),
    [
        ({}, [1, 2, 3, 4]),
        ({"Status": "6"}, [1, 2, 3]),
        ({"Status": "6", "PageSize": "2", "PageNumber": "2"}, [3]),
        ({"TableName": "orders_0004"}, [4]),
        ({"SchemaName": "other"}, []),
        ({"PageNumber": "9"}, []),
    ],
)
def test_dts_checked_tables_are_paged(
    play: Callable[..., Any], parameters: dict[str, str], listed: list[int]
) -> None:
    ask = play(one("dts", "different", migration_job_id="dtsx1"))
    ask.simulator.jump("dts", "dtsx1", 110)
    answer = dts_tables(ask, **parameters)
    assert [row["SourceTbName"] for row in answer["TableDetails"]] == [f"orders_000{n}" for n in listed]
    assert (answer["TotalCount"], answer["DiffTableCount"]) == (4, 3)
    assert answer["FinishedCount"] == 1010 + 1020 + 1030 + 1040
    assert dts_tables(ask, CheckType="2", **parameters)["TableDetails"] == []


def test_dts_boot_time_is_china_time(play: Callable[..., Any], clock: Any) -> None:
    clock.now = 1_788_288_620.0  # 2026-09-01T18:50:20Z
    ask = play(one("dts", "restarted", migration_job_id="dtsx1"), speed=10)
    ask.dts("dtsx1")
    times = []
    for seconds in (90, 110, 150, 200):
        clock.now = 1_788_288_620.0 + seconds / 10
        times.append(dts_tables(ask)["TableDetails"][0]["BootTime"])
    assert times == ["2026-09-02 02:50:28"] * 2 + ["2026-09-02 02:50:34"] * 2


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"DtsJobId": "dtsx1"}, "DtsJobId"),
        ({"DtsJobId": "nobody"}, "DtsJobId"),
        ({"CheckType": "3"}, "CheckType"),
        ({"Status": "0"}, "Status"),
        ({"PageNumber": "0"}, "PageNumber"),
        ({"PageSize": "all"}, "PageSize"),
    ],
)
def test_dts_check_refusals(play: Callable[..., Any], parameters: dict[str, str], name: str) -> None:
    answer = dts_tables(play(one("dts", "different", migration_job_id="dtsx1")), **parameters)
    assert (answer["Success"], answer["ErrCode"], answer["DynamicMessage"]) == (False, "InternalError", name)
    assert answer["ErrMessage"] == "The Value of Input Parameter %s is not valid."


@pytest.mark.parametrize("name", ["CheckType", "DtsJobId"])
def test_dts_check_needs_its_parameters(ask: Any, name: str) -> None:
    assert dts_tables(ask, **{name: ""})["Code"] == f"Missing{name}"


def test_dts_check_may_be_overridden_or_refused(play: Callable[..., Any]) -> None:
    scenario = one("dts", "different", migration_job_id="dtsx1")
    error = {"code": "Forbidden.RAM", "http_status": 403, "actions": ["DescribeDataCheckTableDetails"]}
    status = {"FullDataCheckStatus": {"Status": "Inconsistency"}}
    scenario["migrations"][0] |= {"script": "success", "steps": [{"at": 0, **status, "error": error}]}
    ask = play(scenario)
    (job,) = ask.alibaba("DescribeDtsJobs", {"Region": "cn-hangzhou"}).json["DtsJobList"]
    assert job["FullDataCheckStatus"]["Status"] == "Inconsistency"
    assert dts_tables(ask)["Code"] == "Forbidden.RAM"


def oms_step(ask: Any) -> Any:
    """Return the step of the check, the last one; None without it."""
    last = ask.oms_action("DescribeProjectSteps", {"id": "np_1"}).json["data"][-1]
    return last if last["name"] == "FULL_VERIFIER" else None


def oms_result(ask: Any, **parameters: Any) -> Any:
    """Return a console's answer about the tables."""
    return ask.oms_action("ListProjectFullVerifyResult", {"projectId": "np_1", **parameters}).json


def oms_state(ask: Any) -> str:
    """Return the status of the step, and how many tables differ, are consistent, failed."""
    step, result = oms_step(ask), oms_result(ask)
    if step is None:
        return f"- {result['data']['differentNumber']}"
    assert (step["startTime"] is None) == (step["status"] == "INIT")
    assert (step["finishTime"] is None) == ((step["status"], step["progress"]) != ("RUNNING", 100))
    assert bool(step["extraInfo"]["errorMsg"]) == (step["status"] == "FAILED")
    types = [row["resultType"] for row in result["data"]["fullVerifyTableStatistics"]]
    counts = [types.count(word) for word in ("INCONSISTENT", "CONSISTENT", "RUNTIME_EXCEPTION")]
    return " ".join(map(str, [step["status"], step["progress"], result["data"]["differentNumber"], *counts]))


OMS_STATES = {
    None: ["- None"] * 5,
    "pending": ["INIT 0 None 0 0 0"] * 5,
    "running": ["INIT 0 None 0 0 0", *["RUNNING 50 0 0 2 0"] * 4],
    "consistent": ["INIT 0 None 0 0 0", "RUNNING 50 0 0 2 0", *["RUNNING 100 0 0 4 0"] * 3],
    "different": ["INIT 0 None 0 0 0", "RUNNING 50 2 2 0 0", *["RUNNING 100 3 3 1 0"] * 3],
    "failed": ["INIT 0 None 0 0 0", "RUNNING 50 0 0 2 0", *["FAILED 90 0 0 3 1"] * 3],
    "repaired": [
        "INIT 0 None 0 0 0",
        *["RUNNING 50 2 2 0 0", "RUNNING 100 3 3 1 0"],
        *["RUNNING 50 0 0 2 0", "RUNNING 100 0 0 4 0"],
    ],
    "restarted": ["INIT 0 None 0 0 0", *["RUNNING 50 0 0 2 0", "RUNNING 100 0 0 4 0"] * 2],
}


@pytest.mark.parametrize("outcome", EVERY_OUTCOME)
def test_oms_check_outcomes(play: Callable[..., Any], outcome: str | None) -> None:
    ask, seen = play(one("oms", outcome, project_id="np_1")), []
    for second in MOMENTS:
        ask.simulator.jump("oms", "np_1", second)
        seen.append(oms_state(ask))
        asked = {"ProjectId": "np_1"}
        hosted = ask.alibaba("ListProjectFullVerifyResult", asked, version="2019-09-01", form=True).json
        console = oms_result(ask)
        assert hosted["Data"]["DifferentNumber"] == console["data"]["differentNumber"]
        assert hosted["TotalCount"] == console["totalCount"]
    assert seen == OMS_STATES[outcome]
    assert ask.simulator.writes == 0
    assert {record.id for record in ask.simulator.requests} == {"np_1"}


@pytest.mark.parametrize(("incremental", "before"), [(True, "INCR_TRANSFER"), (False, "INDEX_TRANSFER")])
def test_oms_check_is_the_last_step(play: Callable[..., Any], incremental: bool, before: str) -> None:
    scenario = one("oms", "consistent", project_id="np_1")
    scenario["migrations"][0]["incremental"] = incremental
    steps = play(scenario).oms_action("DescribeProjectSteps", {"id": "np_1"}).json["data"]
    assert [step["name"] for step in steps[-2:]] == [before, "FULL_VERIFIER"]
    assert [step["order"] for step in steps] == list(range(1, len(steps) + 1))


def test_oms_check_times_are_utc(play: Callable[..., Any], clock: Any) -> None:
    clock.now = 1_788_288_620.0  # 2026-09-01T18:50:20Z
    ask, times = play(one("oms", "restarted", project_id="np_1")), []
    for seconds in (0, 90, 110, 150, 200):
        clock.now = 1_788_288_620.0 + seconds
        times.append((oms_step(ask)["startTime"], oms_step(ask)["finishTime"]))
    first, second = "2026-09-01T18:51:40", "2026-09-01T18:52:40"
    assert times == [
        (None, None),
        *[(first, None), (first, "2026-09-01T18:52:00")],
        *[(second, None), (second, "2026-09-01T18:53:00")],
    ]


@pytest.mark.parametrize(
    ("parameters", "listed"),
    [
        ({}, [1, 2, 3, 4]),
        ({"pageSize": 3, "pageNumber": 2}, [4]),
        ({"pageSize": 150, "sourceSchemas": ["shop", "other"], "destSchemas": None}, [1, 2, 3, 4]),
        ({"destSchemas": ["other"]}, []),
        ({"status": "RUNNING"}, []),
        ({"status": ["FINISHED", "SUSPEND", "RUNNING"]}, [1, 2, 3, 4]),
    ],
)
def test_oms_checked_tables_are_paged(
    play: Callable[..., Any], parameters: dict[str, Any], listed: list[int]
) -> None:
    ask = play(one("oms", "different", project_id="np_1"))
    ask.simulator.jump("oms", "np_1", 110)
    answer = oms_result(ask, **parameters)
    rows = answer["data"]["fullVerifyTableStatistics"]
    assert [row["sourceTableName"] for row in rows] == [f"orders_000{number}" for number in listed]
    assert answer["data"]["differentNumber"] == 3
    assert [answer[name] for name in ("pageNumber", "pageSize", "totalCount")] == [
        parameters.get("pageNumber", 1),
        parameters.get("pageSize", 10),
        4 if listed else 0,
    ]


def test_oms_progress_of_a_table_is_a_fraction_or_a_percentage(play: Callable[..., Any]) -> None:
    ask = play(one("oms", "failed", project_id="np_1"))
    ask.simulator.jump("oms", "np_1", 110)
    row = oms_result(ask)["data"]["fullVerifyTableStatistics"][-1]
    asked = {"ProjectId": "np_1", "SourceSchemas": '["shop"]', "PageNumber": "2", "PageSize": "3"}
    answer = ask.alibaba("ListProjectFullVerifyResult", asked, version="2019-09-01", form=True).json
    (hosted,) = answer["Data"]["FullVerifyTableStatistics"]
    assert (row["status"], row["progress"], row["errorDetails"]) == ("ERROR", "0.6", [row["message"]])
    assert (hosted["Status"], hosted["Progress"], hosted["ErrorDetails"][0]["Level"]) == (
        "ERROR",
        "60",
        "ERROR",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("projectId", ""),
        ("sourceSchemas", []),
        ("destSchemas", "shop"),
        ("status", "DONE"),
        ("status", []),
        ("pageNumber", 0),
        ("pageNumber", True),
        ("pageSize", 151),
        ("pageSize", "ten"),
    ],
)
def test_oms_check_refusals(play: Callable[..., Any], name: str, value: Any) -> None:
    ask = play(one("oms", "different", project_id="np_1"))
    answer = oms_result(ask, **{name: value})
    assert (answer["success"], answer["code"], name in answer["message"]) == (False, "PARAM_ERROR", True)
    hosted_name = name[0].upper() + name[1:]
    asked = {"ProjectId": "np_1", hosted_name: value if isinstance(value, str) else json.dumps(value)}
    hosted = ask.alibaba("ListProjectFullVerifyResult", asked, version="2019-09-01", form=True).json
    expected = "MissingProjectId" if name == "projectId" else "PARAM_ERROR"
    assert (hosted["Code"], hosted_name in hosted["Message"]) == (expected, True)


def test_oms_check_of_an_unknown_project_is_refused(ask: Any) -> None:
    assert oms_result(ask)["code"] == "GHANA-PROJECT000001"
    asked = {"ProjectId": "np_1"}
    hosted = ask.alibaba("ListProjectFullVerifyResult", asked, version="2019-09-01", form=True)
    assert (hosted.status, hosted.json["Code"]) == (200, "GHANA-PROJECT000001")


def drs(ask: Any, path: str, *, method: str = "GET", job: str = DRS_JOB, **how: Any) -> Any:
    """Return the reply to a call below a job."""
    return ask.huawei(method, f"/v3/{DRS_PROJECT}/jobs/{job}/{path}", **how)


def drs_state(ask: Any) -> str:
    """Return the status of each comparison, and of the last one's database, tables and objects."""
    reply = drs(ask, "table/compare")
    jobs = reply.json["compare_jobs"]
    objects = drs(ask, "object/compare").json
    words = [job["status"] for job in jobs] or ["-"]
    assert (reply.status, reply.json["count"]) == (200, len(jobs))
    assert objects["status"] == (jobs[-1]["status"] if jobs else None)
    assert len({job["id"] for job in jobs}) == len({job["start_time"] for job in jobs}) == len(jobs)
    for job in jobs:
        assert (job["end_time"] is None) == (job["status"] in ("WAITING_FOR_RUNNING", "RUNNING"))
    if not jobs:
        return " ".join(words)
    (database,) = drs(ask, f"compare/{jobs[-1]['id']}/line-overview").json["data_compare_overview_infos"]
    tables = drs(ask, f"compare/{jobs[-1]['id']}/line-detail").json["table_line_compare_result_infos"]
    statuses = [table["status"] for table in tables]
    assert [database[name] for name in ("compare_num", "data_inconsistent_num", "uncomparable_num")] == [
        len(statuses),
        statuses.count(0),
        statuses.count(4),
    ]
    assert all((table["difference_row_num"] > 0) == (table["status"] == 0) for table in tables)
    table = objects["compare_result"][1]
    assert (table["type"], table["source_count"], table["target_count"]) == ("TABLE", 4, 4)
    numbers = [database["status"], database["compare_end_num"], *statuses, table["status"]]
    return " ".join(map(str, [*words, *numbers]))


DRS_STATES = {
    None: ["-"] * 5,
    "pending": ["-", *["WAITING_FOR_RUNNING 6 0 6 6 6 6 3"] * 4],
    "running": ["-", *["RUNNING 5 2 2 2 6 6 3"] * 4],
    "consistent": ["-", "RUNNING 5 2 2 2 6 6 3", *["SUCCESSFUL 2 4 2 2 2 2 2"] * 3],
    "different": ["-", "RUNNING 5 2 0 0 6 6 3", *["SUCCESSFUL 0 4 0 0 0 2 2"] * 3],
    "failed": ["-", "RUNNING 5 2 2 2 6 6 3", *["FAILED 4 3 2 2 2 4 3"] * 3],
    "repaired": [
        *["-", "RUNNING 5 2 0 0 6 6 3", "SUCCESSFUL 0 4 0 0 0 2 2"],
        *["SUCCESSFUL RUNNING 5 2 2 2 6 6 3", "SUCCESSFUL SUCCESSFUL 2 4 2 2 2 2 2"],
    ],
    "restarted": [
        *["-", "RUNNING 5 2 2 2 6 6 3", "SUCCESSFUL 2 4 2 2 2 2 2"],
        *["SUCCESSFUL RUNNING 5 2 2 2 6 6 3", "SUCCESSFUL SUCCESSFUL 2 4 2 2 2 2 2"],
    ],
}


@pytest.mark.parametrize("outcome", EVERY_OUTCOME)
def test_drs_check_outcomes(play: Callable[..., Any], outcome: str | None) -> None:
    ask, seen = play(one("drs", outcome, job_id=DRS_JOB)), []
    for second in MOMENTS:
        ask.simulator.jump("drs", DRS_JOB, second)
        seen.append(drs_state(ask))
    assert seen == DRS_STATES[outcome]
    assert ask.simulator.writes == 0
    assert {record.id for record in ask.simulator.requests} == {DRS_JOB}


def test_drs_earlier_comparison_keeps_its_result(play: Callable[..., Any], clock: Any) -> None:
    clock.now = 1_788_288_620.0  # 2026-09-01T18:50:20Z
    ask = play(one("drs", "repaired", job_id=DRS_JOB))
    ask.drs_jobs()
    clock.now += 200
    first, second = drs(ask, "table/compare").json["compare_jobs"]
    assert (first["start_time"], first["end_time"]) == ("2026-09-01T18:51:40Z", "2026-09-01T18:52:00Z")
    assert (second["start_time"], second["end_time"]) == ("2026-09-01T18:52:40Z", "2026-09-01T18:53:00Z")
    for job, status in ((first, 0), (second, 2)):
        (row,) = drs(ask, f"compare/{job['id']}/line-overview").json["data_compare_overview_infos"]
        assert row["status"] == status
    assert drs(ask, "table/compare?limit=1&offset=1").json == {"count": 2, "compare_jobs": [second]}


@pytest.mark.parametrize(
    ("outcome", "path", "listed"),
    [
        ("different", "line-detail?limit=2&offset=3", ["orders_0004"]),
        ("different", "line-detail?status=2", ["orders_0004"]),
        ("different", "line-detail?query_tb_name=0002", ["orders_0002"]),
        ("different", "line-detail?db_name=shop&target_db_name=other", []),
        ("failed", "line-detail?type=unCompare", ["orders_0004"]),
        ("failed", "line-detail?offset=2&type=compare", ["orders_0003"]),
        ("different", "line-overview?status=0", ["shop"]),
        ("different", "line-overview?status=2", []),
        ("different", "content-overview", []),
        ("different", "content-detail?type=compare", []),
    ],
)
def test_drs_comparison_is_filtered(
    play: Callable[..., Any], outcome: str, path: str, listed: list[str]
) -> None:
    ask = play(one("drs", outcome, job_id=DRS_JOB))
    ask.simulator.jump("drs", DRS_JOB, 110)
    (job,) = drs(ask, "table/compare").json["compare_jobs"]
    reply = drs(ask, f"compare/{job['id']}/{path}")
    (rows,) = [value for name, value in reply.json.items() if name != "total_count"]
    assert reply.status == 200
    assert [row.get("source_table_name", row.get("source_db_name")) for row in rows] == listed


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("table/compare?limit=0", "limit"),
        ("table/compare?limit=1001", "limit"),
        ("table/compare?offset=-1", "offset"),
        ("compare/nobody/line-overview", "compare_job_id"),
        ("compare/nobody/line-detail", "compare_job_id"),
        ("compare/nobody/content-overview", "compare_job_id"),
        ("compare/nobody/content-detail", "compare_job_id"),
        ("compare/{}/line-overview?status=1", "status"),
        ("compare/{}/line-detail?status=equal", "status"),
        ("compare/{}/line-detail?type=all", "type"),
        ("compare/{}/content-detail?type=all", "type"),
        ("compare/{}/content-detail?limit=1001", "limit"),
    ],
)
def test_drs_comparison_refusals(play: Callable[..., Any], path: str, what: str) -> None:
    ask = play(one("drs", "different", job_id=DRS_JOB))
    ask.simulator.jump("drs", DRS_JOB, 110)
    compare = drs(ask, "table/compare").json["compare_jobs"][0]["id"]
    reply = drs(ask, path.format(compare))
    assert (reply.status, reply.json) == (
        400,
        {"error_code": "DRS.M00202", "error_msg": f"The value of {what} is invalid."},
    )


@pytest.mark.parametrize(
    "path", ["table/compare", "object/compare", "compare/1/line-overview", "compare/1/content-detail"]
)
def test_drs_comparison_of_an_unknown_job_is_refused(play: Callable[..., Any], path: str) -> None:
    error = {"code": "DRS.M00302", "message": "no right", "http_status": 403}
    scenario = one("drs", None, job_id=DRS_JOB)
    scenario["migrations"][0]["steps"] = [{"at": 0, "error": error}]
    ask = play(scenario)
    assert drs(ask, path, job="nobody").json["error_code"] == "DRS.M05003"
    assert drs(ask, path, headers={"x-language": "fr-fr"}).json["error_code"] == "DRS.M00202"
    reply = drs(ask, path)
    assert (reply.status, reply.json["error_code"]) == (403, "DRS.M00302")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "table/compare"),
        ("POST", "table/compare/1"),
        ("POST", "object/compare"),
        ("DELETE", "compare/1"),
        ("POST", "compare/result/file"),
    ],
)
def test_drs_comparison_is_not_written(play: Callable[..., Any], method: str, path: str) -> None:
    ask = play(one("drs", "different", job_id=DRS_JOB))
    assert drs(ask, path, method=method, body={}).status == 404
    assert ask.simulator.writes == 1
