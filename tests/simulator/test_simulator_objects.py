"""DescribeMigrationJobDetail of the simulator: as strict as documented, with all values as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ACTION = "DescribeMigrationJobDetail"
FULL = {"MigrationMode.DataInitialization": "true"}


def one(**options: Any) -> dict[str, Any]:
    job = {"service": "dts", "migration_job_id": "dtsx1", "duration": 100, "objects": 4, **options}
    return {"migrations": [job]}


def detail(ask: Any, second: float, **parameters: Any) -> Any:
    ask.simulator.jump("dts", "dtsx1", second)
    return ask.alibaba(ACTION, {"MigrationJobId": "dtsx1", **parameters}).json


def rows(answer: Any, phase: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = answer[f"{phase}DetailList"][f"{phase}Detail"]
    return listed


@pytest.mark.parametrize(
    ("script", "second", "statuses"),
    [
        ("success", 30, ["NotStarted"] * 4),
        ("success", 50, ["Migrating", "Migrating", "Migrating", "NotStarted"]),
        ("success", 70, ["Finished", "Finished", "Finished", "Migrating"]),
        ("success", 90, ["Finished"] * 4),
        ("failure", 65, ["Finished", "Failed", "Migrating", "Migrating"]),
        ("pause", 60, ["Migrating", "Migrating", "Migrating", "NotStarted"]),
    ],
)
def test_tables_are_copied_one_after_the_other(
    play: Callable[..., Any], script: str, second: float, statuses: list[str]
) -> None:
    tables = rows(detail(play(one(script=script)), second, **FULL), "DataInitialization")
    assert [row["Status"] for row in tables] == statuses
    assert all(isinstance(value, str) for row in tables for value in row.values())
    assert [bool(row["ErrorMessage"]) for row in tables] == [status == "Failed" for status in statuses]
    # The total is an estimate.
    assert all(int(row["FinishRowNum"]) < int(row["TotalRowNum"]) for row in tables)


def test_phases_are_listed_by_name(play: Callable[..., Any]) -> None:
    ask, phases = play(one()), ("StructureInitialization", "DataInitialization", "DataSynchronization")
    for asked in phases:
        answer = detail(ask, 60, **{f"MigrationMode.{asked}": "True"})
        assert [len(rows(answer, phase)) for phase in phases] == [4 * (phase == asked) for phase in phases]
        assert answer["TotalRecordCount"] == 4
    assert detail(ask, 60)["TotalRecordCount"] == 0


def test_objects_are_paged(play: Callable[..., Any]) -> None:
    ask, names = play(one(objects=70)), []
    for page in ("1", "2", "3", "4"):
        answer = detail(ask, 60, PageNum=page, **FULL)
        names.append([row["TableName"] for row in rows(answer, "DataInitialization")])
        assert (answer["TotalRecordCount"], answer["PageRecordCount"]) == (70, len(names[-1]))
    assert [len(page) for page in names] == [30, 30, 10, 0]
    assert len({name for page in names for name in page}) == 70


@pytest.mark.parametrize(
    ("second", "parameters", "code"),
    [
        (60, {"PageSize": "20"}, "InvalidParameter"),
        (60, {"PageSize": "1000"}, "InvalidParameter"),
        (60, {"PageNum": "0"}, "InvalidParameter"),
        (60, {"PageNum": "x"}, "InvalidParameter"),
        (60, {"MigrationMode.DataInitialization": "yes"}, "InvalidParameter"),
        (60, {"MigrationJobId": ""}, "MissingMigrationJobId"),
        (60, {"MigrationJobId": "dtsnobody"}, "InvalidJobId"),
        (60, {"MigrationJobId": "x1"}, "InvalidJobId"),
        (1, {}, "InvalidJobStatus"),
        (10, {}, "InvalidJobStatus"),
    ],
)
def test_wrong_requests_are_refused(
    play: Callable[..., Any], second: float, parameters: dict[str, str], code: str
) -> None:
    assert detail(play(one()), second, **{**FULL, **parameters})["Code"] == code


def test_job_of_the_list_has_no_objects(play: Callable[..., Any]) -> None:
    assert detail(play(one(legacy=False)), 60, **FULL)["Code"] == "InvalidJobId"


def test_objects_may_be_refused_alone(play: Callable[..., Any]) -> None:
    error = {"code": "Forbidden.RAM", "http_status": 403, "actions": [ACTION]}
    ask = play(one(script="success", steps=[{"at": 0, "error": error}]))
    assert detail(ask, 60, **FULL)["Code"] == "Forbidden.RAM"
    assert ask.dts("dtsx1").json["MigrationJobStatus"] == "Migrating"
