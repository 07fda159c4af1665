"""The services' own data checks, in each service's words."""

from __future__ import annotations

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
