"""The services' own data checks, in each service's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import pytest

from airflow_provider_migration.simulator.scripts import SCRIPTS, CheckOutcome, at, check_runs, copied_at

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
    ask = play(one("dts", "restarted", migration_job_id="dtsx1"))
    ask.dts("dtsx1")
    times = []
    for seconds in (90, 110, 150, 200):
        clock.now = 1_788_288_620.0 + seconds
        times.append(dts_tables(ask)["TableDetails"][0]["BootTime"])
    assert times == ["2026-09-02 02:51:40"] * 2 + ["2026-09-02 02:52:40"] * 2


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
