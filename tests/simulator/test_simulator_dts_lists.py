"""DTS in the simulator: lists of jobs, synchronizations, two directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_migration.simulator.scenario import Scenario, ScenarioError


def jobs(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"service": "dts", "migration_job_id": f"dts{index:04}", "tags": {"wave": str(index % 3)}, **fields}
        for index in range(number)
    ]


def listed(ask: Any, **parameters: str) -> dict[str, Any]:
    reply = ask.alibaba("DescribeDtsJobs", {"Region": "cn-hangzhou", **parameters})
    assert reply.status == 200
    return reply.json


@pytest.fixture
def mixed(play: Any) -> Any:
    one_way = {"service": "dts", "migration_job_id": "dtssync1", "job_type": "SYNC"}
    both_ways = {"service": "dts", "migration_job_id": "dtssync2", "job_type": "SYNC", "two_way": True}
    return play({"migrations": [*jobs(2), one_way, {**both_ways, "tags": {"wave": "3", "team": "shop"}}]})


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({}, ["dts0000", "dts0001"]),
        ({"JobType": "MIGRATION"}, ["dts0000", "dts0001"]),
        ({"JobType": "SYNC"}, ["dtssync1", "dtssync2"]),
        ({"JobType": "SUBSCRIBE"}, []),
        ({"DtsInstanceId": "dtssync1"}, []),
        ({"DtsInstanceId": "dtssync1", "JobType": "SYNC"}, ["dtssync1"]),
        ({"DtsInstanceId": "dts0000", "JobType": "SYNC"}, []),
        ({"DtsJobId": "sync2", "JobType": "SYNC"}, ["dtssync2"]),
        ({"DtsJobId": "sync2reverse", "JobType": "SYNC"}, []),
        (
            {"JobType": "SYNC", "OrderColumn": "CreateTime", "OrderDirection": "DESC"},
            ["dtssync2", "dtssync1"],
        ),
        ({"Tags": '[{"key": "wave", "value": "1"}]'}, ["dts0001"]),
        ({"JobType": "SYNC", "Tags": '[{"key": "wave", "value": "3"}]'}, ["dtssync2"]),
        ({"JobType": "SYNC", "Tags": '[{"key":"wave","value":"3"},{"key":"team","value":"x"}]'}, []),
        ({"Status": "NotStarted"}, ["dts0000", "dts0001"]),
        ({"Status": "Migrating"}, []),
        ({"ResourceGroupId": "rg-acfmsimulator"}, ["dts0000", "dts0001"]),
        ({"ResourceGroupId": "rg-other"}, []),
    ],
)
def test_dts_list_has_one_type(mixed: Any, parameters: dict[str, str], ids: list[str]) -> None:
    body = listed(mixed, **parameters)
    assert [job["DtsInstanceID"] for job in body["DtsJobList"]] == ids
    assert body["TotalRecordCount"] == len(ids)


@pytest.mark.parametrize(
    "parameters",
    [
        {"JobType": "sync"},
        {"JobType": ""},
        {"PageSize": "300"},
        {"PageSize": ""},
        {"OrderColumn": "Name"},
        {"OrderDirection": "asc"},
        {"Tags": "wave=3"},
        {"Tags": '{"wave": "3"}'},
        {"Tags": '[{"TagKey": "wave", "TagValue": "3"}]'},
        {"Tags": '[{"key": "wave", "value": 3}]'},
        {"Type": "name", "Params": "orders"},
    ],
)
def test_dts_list_refuses_wrong_parameters(mixed: Any, parameters: dict[str, str]) -> None:
    reply = mixed.alibaba("DescribeDtsJobs", {"Region": "cn-hangzhou", **parameters})
    assert (reply.status, reply.json["Code"]) == (400, "InvalidParameter")


def test_dts_list_has_pages(play: Any) -> None:
    ask = play({"migrations": jobs(300)})
    found, times = [], []
    for number in range(1, 12):
        body = listed(ask, PageSize="30", PageNumber=str(number))
        assert body["TotalRecordCount"] == 300
        found += [job["DtsInstanceID"] for job in body["DtsJobList"]]
        times += [job["CreateTime"] for job in body["DtsJobList"]]
    assert found == [f"dts{index:04}" for index in range(300)]
    assert times == sorted(set(times))


def test_dts_list_starts_no_script(play: Any, clock: Any) -> None:
    ask = play({"migrations": jobs(1)})

    def status(**parameters: str) -> str:
        return str(listed(ask, **parameters)["DtsJobList"][0]["Status"])

    assert status() == "NotStarted"
    clock.now += 100
    assert status() == "NotStarted"
    assert status(DtsInstanceId="dts0000") == "NotStarted"  # its first second
    clock.now += 100
    assert status() == status(DtsInstanceId="dts0000") == "Migrating"


def test_dts_sync_job_has_its_own_words(play: Any) -> None:
    ask = play({"migrations": jobs(1, job_type="SYNC", duration=100)})
    seen = []
    for second in (0, 10, 50, 85, 110):
        ask.simulator.jump("dts", "dts0000", second)
        (job,) = listed(ask, JobType="SYNC")["DtsJobList"]
        seen.append((job["Status"], job["JobType"], job.get("Delay")))
    assert [status for status, _, _ in seen] == [
        "NotStarted",
        "Prechecking",
        "Initializing",
        "Synchronizing",
        "Synchronizing",
    ]
    assert {word for _, word, _ in seen} == {"sync"}
    assert seen[3][2] > 60
    assert seen[4][2] <= 2  # in seconds


@pytest.mark.parametrize(
    ("script", "second", "status"),
    [
        ("failure", 90, "InitializeFailed"),
        ("precheck_failure", 90, "PrecheckFailed"),
        ("stopped", 90, "Finished"),
    ],
)
def test_dts_sync_job_ends_in_its_own_words(play: Any, script: str, second: int, status: str) -> None:
    ask = play({"migrations": jobs(1, job_type="SYNC", script=script)})
    ask.simulator.jump("dts", "dts0000", second)
    (job,) = listed(ask, JobType="SYNC")["DtsJobList"]
    assert job["Status"] == status


def test_older_calls_know_no_sync_job(mixed: Any) -> None:
    for job in ("dtssync1", "dtssync2"):
        assert mixed.dts(job).json["Code"] == "InvalidJobId"
        detail = {"MigrationJobId": job, "MigrationMode.DataInitialization": "true"}
        assert mixed.alibaba("DescribeMigrationJobDetail", detail).json["Code"] == "InvalidJobId"


def test_dts_two_way_job_has_a_reverse_direction(play: Any) -> None:
    step = {"reverse": {"MigrationJobStatus": "Failed", "DataSynchronizationStatus": {"Delay": "90"}}}
    ask = play(
        {
            "migrations": jobs(
                1, job_type="SYNC", two_way=True, duration=10, script="success", steps=[{"at": 60, **step}]
            )
        }
    )
    (job,) = listed(ask, JobType="SYNC")["DtsJobList"]
    assert (job["DtsJobDirection"], job["ReverseJob"]["DtsJobDirection"]) == ("Forward", "Reverse")
    assert job["ReverseJob"]["Status"] == "NotStarted"
    ask.simulator.jump("dts", "dts0000", 50)
    (job,) = listed(ask, JobType="SYNC")["DtsJobList"]
    other = job["ReverseJob"]
    assert (other["Status"], other["DtsJobId"]) == ("Synchronizing", "0000reverse")
    assert other["DataSynchronizationStatus"]["Status"] == "Catched"
    assert other["Delay"] == job["Delay"]
    ask.simulator.jump("dts", "dts0000", 70)
    (job,) = listed(ask, JobType="SYNC")["DtsJobList"]
    assert (job["Status"], job["ReverseJob"]["Status"], job["ReverseJob"]["Delay"]) == (
        "Synchronizing",
        "Failed",
        90,
    )


def test_dts_reverse_direction_may_be_empty(play: Any) -> None:
    steps = [{"at": 0, "reverse": None}]
    ask = play({"migrations": jobs(1, job_type="SYNC", two_way=True, script="success", steps=steps)})
    (job,) = listed(ask, JobType="SYNC")["DtsJobList"]
    assert job["ReverseJob"] is None
    assert json.dumps(job)


def test_dts_reverse_direction_has_no_data_check_of_its_own(play: Any) -> None:
    check = {"verification": {"outcome": "different"}}
    ask = play({"migrations": jobs(1, job_type="SYNC", two_way=True, **check)})
    ask.simulator.jump("dts", "dts0000", 100)

    def counts(job_id: str) -> tuple[int, int]:
        body = ask.alibaba("DescribeDataCheckTableDetails", {"CheckType": "1", "DtsJobId": job_id}).json
        return body["TotalCount"], body["DiffTableCount"]

    assert counts("0000") == (12, 12)
    assert counts("0000reverse") == (0, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"two_way": True}, "two_way needs job_type: SYNC"),
        ({"job_type": "SYNC", "incremental": False}, "job_type SYNC needs incremental: true"),
        ({"job_type": "SUBSCRIBE"}, "job_type"),
        ({"tags": {"wave": 3}}, "tags"),
    ],
)
def test_dts_scenario_that_is_wrong_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        Scenario.load(
            {"migrations": jobs(1, **fields)}
            if "tags" not in fields
            else {"migrations": [{**jobs(1)[0], **fields}]}
        )
