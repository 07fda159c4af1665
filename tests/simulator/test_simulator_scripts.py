"""Migrations move through their real phases, in the services' documented words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_migration.simulator.scripts import SCRIPTS
from tests.catalogue import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable

JOB = "163b98e8-6088-46c3-8b86-c18fea6jb502"

IDS = {service.name: service.ids for service in SERVICES}
WORDS = {
    "dataworks": {"INIT", "EDITING", "IMPORTING", "IMPORT_SUCCESS", "IMPORT_ERROR", "REVOKED"}
    | {"PARTIAL_SUCCESS"},
    "dts": {"NotStarted", "Prechecking", "PrecheckFailed", "Migrating", "Suspending", "MigrationFailed"}
    | {"Finished"},
    "oms": {"INIT", "RUNNING", "SUSPEND", "FAILED", "FINISHED", "RELEASING", "RELEASED", "DELETED"},
    "drs": {"CREATING", "CONFIGURATION", "STARTJOBING", "WAITING_FOR_START", "START_JOB_FAILED", "PAUSING"}
    | {"FULL_TRANSFER_STARTED", "FULL_TRANSFER_FAILED", "FULL_TRANSFER_COMPLETE", "INCRE_TRANSFER_STARTED"}
    | {"RELEASE_RESOURCE_STARTED", "RELEASE_RESOURCE_COMPLETE"},
}
UNKNOWN_WORDS = {
    "dataworks": "ARCHIVING",
    "dts": "Rebalancing",
    "oms": "REBALANCING",
    "drs": "REBALANCING",
}
OMS_STEPS = {"PRE_CHECK", "PREPARE", "STRUCT_MIGRATION", "INCR_LOG_PULL", "FULL_MIGRATION"} | {
    "INDEX_MIGRATION",
    "INCR_SYNC",
}
PHASE_WORDS = {"NotStarted", "Checking", "Migrating", "Failed", "Finished", "Catched"}
STEP_WORDS = {"INIT", "RUNNING", "FAILURE", "SUCCESS"}
ENDS = {
    "dataworks": {
        "success": "IMPORT_SUCCESS",
        "failure": "IMPORT_ERROR",
        "precheck_failure": "IMPORT_ERROR",
        "stopped": "REVOKED",
        "never_ending": "IMPORTING",
        "unknown_status": "IMPORT_SUCCESS",
        "partial_success": "PARTIAL_SUCCESS",
    },
    "dts": {
        "success": "Migrating",
        "failure": "MigrationFailed",
        "precheck_failure": "PrecheckFailed",
        "stopped": "Finished",
        "never_ending": "Migrating",
        "unknown_status": "Migrating",
        "pause": "Migrating",
        "paused": "Suspending",
        "flap": "Migrating",
    },
    "oms": {
        "success": "RUNNING",
        "failure": "FAILED",
        "precheck_failure": "FAILED",
        "stopped": "RELEASED",
        "never_ending": "RUNNING",
        "unknown_status": "RUNNING",
        "pause": "RUNNING",
        "paused": "SUSPEND",
        "flap": "RUNNING",
    },
    "drs": {
        "success": "INCRE_TRANSFER_STARTED",
        "failure": "FULL_TRANSFER_FAILED",
        "precheck_failure": "START_JOB_FAILED",
        "stopped": "RELEASE_RESOURCE_COMPLETE",
        "never_ending": "FULL_TRANSFER_STARTED",
        "unknown_status": "INCRE_TRANSFER_STARTED",
        "pause": "INCRE_TRANSFER_STARTED",
        "paused": "PAUSING",
        "flap": "INCRE_TRANSFER_STARTED",
    },
}
EVERY_SCRIPT = [(service, script) for service, scripts in SCRIPTS.items() for script in scripts]


def status(ask: Any, service: str) -> str:
    """Return the service's own word, after checking the words beside it."""
    match service:
        case "dataworks":
            steps = ask.dataworks("GetMigrationProcess").json["Data"]
            assert {step["TaskStatus"] for step in steps} <= STEP_WORDS
            return str(ask.dataworks("GetMigrationSummary").json["Data"]["Status"])
        case "dts":
            job = ask.dts().json
            sections = [value for name, value in job.items() if isinstance(value, dict) and "Status" in value]
            assert {section["Status"] for section in sections} <= PHASE_WORDS
            assert all(isinstance(section["Percent"], str) for section in sections)
            return str(job["MigrationJobStatus"])
        case "oms":
            data = ask.oms().json["data"]
            assert data["currentStep"] in OMS_STEPS
            return str(data["status"])
        case "drs":
            return str(ask.drs_jobs().json["results"][0]["transfer_status"])
        case _:
            pytest.fail(f"nobody knows how to ask {service}")


def words(ask: Any, clock: Any, service: str) -> list[str]:
    """Return the words that a script goes through, each once."""
    begin, seen = clock.now, [status(ask, service)]
    for second in range(1, 100):
        clock.now = begin + second
        if (word := status(ask, service)) != seen[-1]:
            seen.append(word)
    return seen


def one(service: str, **options: Any) -> dict[str, Any]:
    """Return a scenario with one migration."""
    return {"migrations": [{"service": service, **IDS[service], **options}]}


@pytest.mark.parametrize(("service", "script"), EVERY_SCRIPT)
def test_scripts_use_documented_statuses(
    play: Callable[..., Any], clock: Any, service: str, script: str
) -> None:
    seen = words(play(one(service, script=script)), clock, service)
    strange = set(seen) - WORDS[service]
    assert strange == ({UNKNOWN_WORDS[service]} if script == "unknown_status" else set())
    assert seen[-1] == ENDS[service][script]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("dataworks", ["INIT", "IMPORTING", "IMPORT_SUCCESS"]),
        ("dts", ["NotStarted", "Prechecking", "Migrating"]),
        ("oms", ["INIT", "RUNNING"]),
        (
            "drs",
            [
                "CREATING",
                "CONFIGURATION",
                "STARTJOBING",
                "FULL_TRANSFER_STARTED",
                "FULL_TRANSFER_COMPLETE",
                "INCRE_TRANSFER_STARTED",
            ],
        ),
    ],
)
def test_built_in_migrations_pass_their_phases(
    ask: Any, clock: Any, service: str, expected: list[str]
) -> None:
    assert words(ask, clock, service) == expected


@pytest.mark.parametrize(
    ("service", "expected"), [("dts", "Finished"), ("oms", "FINISHED"), ("drs", "FULL_TRANSFER_COMPLETE")]
)
def test_migration_without_an_incremental_phase_ends(
    play: Callable[..., Any], clock: Any, service: str, expected: str
) -> None:
    assert words(play(one(service, incremental=False)), clock, service)[-1] == expected


def lag(ask: Any, clock: Any, service: str) -> float | None:
    """Return the lag that a service tells, once it can be called caught up."""
    match service:
        case "dts":
            section = ask.dts().json.get("DataSynchronizationStatus", {})
            checkpoint = int(section["Checkpoint"]) if section.get("Status") == "Catched" else None
        case "oms":
            checkpoint = ask.oms().json["data"]["incrSyncCheckpoint"]
        case _:
            delay = int(ask.drs_jobs().json["results"][0]["incre_trans_delay"])
            return None if delay < 0 else delay
    return None if checkpoint is None else clock.now - checkpoint


@pytest.mark.parametrize("service", ["dts", "oms", "drs"])
def test_built_in_migrations_catch_up_in_30_to_40_seconds(ask: Any, clock: Any, service: str) -> None:
    begin = clock.now
    caught_up = []
    for second in range(0, 120):
        clock.now = begin + second
        behind = lag(ask, clock, service)
        caught_up.append(behind is not None and behind <= 60)
        assert second < 40 or (behind is not None and behind <= 3)
    assert 30 <= caught_up.index(True) <= 40
    assert all(caught_up[40:])


def test_built_in_import_succeeds_in_30_to_40_seconds(ask: Any, clock: Any) -> None:
    begin, lengths = clock.now, []
    ask.dataworks("GetMigrationSummary")
    for second in (10, 20, 30, 40):
        clock.now = begin + second
        lengths.append(len(ask.dataworks("GetMigrationProcess").json["Data"]))
        summary = ask.dataworks("GetMigrationSummary").json["Data"]
        assert (summary["Status"] == "IMPORT_SUCCESS") == (second == 40)
        assert ("DownloadUrl" in summary) == (second == 40)
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1] == 5


def test_speed_does_not_shorten_the_lag(play: Callable[..., Any], clock: Any) -> None:
    ask = play(speed=10)
    ask.oms()
    clock.now += 3
    progress = ask.oms().json["data"]
    assert progress["currentStep"] == "INCR_SYNC"
    assert clock.now - progress["incrSyncCheckpoint"] == pytest.approx(122, abs=2)


def test_script_begins_with_its_first_poll(ask: Any, clock: Any) -> None:
    ask.dts()
    clock.now += 1000
    assert status(ask, "oms") == "INIT"
    assert ask.dts().json["DataSynchronizationStatus"]["Status"] == "Catched"


def test_script_does_not_begin_with_a_refused_poll(ask: Any, clock: Any) -> None:
    ask.dts(secret="wrong")
    clock.now += 1000
    assert status(ask, "dts") == "NotStarted"


def test_jump_moves_a_migration_in_its_script(ask: Any, clock: Any) -> None:
    ask.simulator.jump("dts", "dtsdemo0001", 100)
    assert ask.dts().json["DataSynchronizationStatus"]["Status"] == "Catched"
    ask.simulator.jump("dts", "dtsdemo0001", 3)
    assert status(ask, "dts") == "Prechecking"
    clock.now += 5
    assert status(ask, "dts") == "Migrating"
    with pytest.raises(KeyError, match="no dts migration 'nobody'"):
        ask.simulator.jump("dts", "nobody", 0)


def test_failed_precheck_names_items_and_remedies(play: Callable[..., Any]) -> None:
    ask = play(one("dts", script="precheck_failure"))
    ask.simulator.jump("dts", "dtsdemo0001", 30)
    precheck = ask.dts().json["PrecheckStatus"]
    failed = [item for item in precheck["Detail"]["CheckItem"] if item["CheckStatus"] == "Failed"]
    assert precheck["Status"] == "Failed"
    assert {item["ItemName"] for item in failed} == {"CHECK_BINLOG_MODE", "CHECK_AUTH_DEST"}
    assert all(item["ErrorMessage"] and item["RepairMethod"] for item in failed)


@pytest.mark.parametrize("service", ["dts", "oms", "drs"])
def test_flap_script_raises_the_lag_twice(play: Callable[..., Any], clock: Any, service: str) -> None:
    ask = play(one(service, script="flap"))
    changes: list[bool] = []
    low = None
    for second in range(36, 120):
        ask.simulator.jump(service, *IDS[service].values(), second)
        behind = lag(ask, clock, service)
        if low is not (now_low := behind is not None and behind <= 60):
            low = now_low
            changes.append(low)
    assert changes == [True, False, True, False, True]


def test_objects_are_paged_by_item(play: Callable[..., Any], clock: Any) -> None:
    ask = play(one("drs", objects=25))
    assert ask.drs_objects().json["count"] == 0
    ask.simulator.jump("drs", JOB, 20)
    first, second = ask.drs_objects().json, ask.drs_objects(query="limit=10&offset=20").json
    assert first["count"] == second["count"] == 25
    assert [row["src_tb"] for row in first["flow_compare_data"]] == [f"table_{n:06d}" for n in range(10)]
    assert [row["src_tb"] for row in second["flow_compare_data"]] == [f"table_{n:06d}" for n in range(20, 25)]
    assert ask.drs_objects(query="offset=25").json["flow_compare_data"] == []
    assert first["create_time"] == str(int(clock.now * 1000))
    assert ask.drs_objects("trigger").json["count"] == 1
    ask.simulator.jump("drs", JOB, 27)
    rows = ask.drs_objects(query="limit=1000").json["flow_compare_data"]
    assert {row["progress"] for row in rows} == {100}
    ask.simulator.jump("drs", JOB, 30)
    assert ask.drs_objects().json["count"] == 0


def test_objects_are_generated_lazily(play: Callable[..., Any]) -> None:
    ask = play(one("drs", objects=100_000))
    ask.simulator.jump("drs", JOB, 20)
    page = ask.drs_objects(query="limit=1000&offset=99990").json
    assert page["count"] == 100_000
    assert len(page["flow_compare_data"]) == 10


def test_steps_set_fields_over_time(play: Callable[..., Any], clock: Any) -> None:
    steps = [
        {"at": 0, "status": "RUNNING", "currentStep": "APP_SWITCH", "incrSyncCheckpoint": "now-100"},
        {"at": 10, "enableReverseIncrSync": True, "currentStep": "REVERSE_INCR_SYNC"},
        {"at": 20, "replace": True, "status": "FINISHED"},
        {"at": 30, "error": {"code": "GHANA-PROJECT000001"}},
    ]
    ask, begin = play(one("oms", steps=steps)), clock.now
    first = ask.oms().json["data"]
    assert (first["status"], first["currentStep"]) == ("RUNNING", "APP_SWITCH")
    assert first["incrSyncCheckpoint"] == int(clock.now) - 100
    clock.now = begin + 10
    second = ask.oms().json["data"]
    assert (second["status"], second["enableReverseIncrSync"]) == ("RUNNING", True)
    clock.now = begin + 20
    assert ask.oms().json["data"] == {"status": "FINISHED"}
    clock.now = begin + 30
    assert ask.oms().json["code"] == "GHANA-PROJECT000001"


def test_steps_over_a_script_are_merged(play: Callable[..., Any]) -> None:
    steps = [{"at": 0, "DataSynchronizationStatus": {"Delay": "7", "Checkpoint": "now"}}]
    ask = play(one("dts", script="success", steps=steps))
    ask.simulator.jump("dts", "dtsdemo0001", 100)
    section = ask.dts().json["DataSynchronizationStatus"]
    assert (section["Status"], section["Delay"]) == ("Catched", "7")
    assert section["Checkpoint"].isdecimal()


def test_steps_apply_to_both_answers_of_dataworks_and_drs(play: Callable[..., Any]) -> None:
    row = {"src_db": "a", "src_tb": "b", "dst_db": "c", "dst_tb": "d", "progress": "10%"}
    process = [{"TaskName": "IMPORE_PREPARE", "TaskStatus": "INT"}]
    scenario = {
        "migrations": [
            {
                "service": "dataworks",
                **IDS["dataworks"],
                "steps": [{"at": 0, "summary": {"Status": "EDITING"}, "process": process}],
            },
            {
                "service": "drs",
                **IDS["drs"],
                "steps": [{"at": 0, "job": {"transfer_status": "PAUSEING"}, "objects": {"view": [row]}}],
            },
        ]
    }
    ask = play(scenario)
    assert ask.dataworks("GetMigrationProcess").json["Data"] == process
    summary = ask.dataworks("GetMigrationSummary").json["Data"]
    assert (summary["Status"], summary["MigrationId"]) == ("EDITING", 1234)
    assert ask.drs_jobs().json["results"][0]["transfer_status"] == "PAUSEING"
    assert ask.drs_objects("view").json["flow_compare_data"] == [row]
    assert ask.drs_objects("table").json["flow_compare_data"] == []


def test_steps_without_a_script_may_be_partial(play: Callable[..., Any]) -> None:
    steps = [{"at": 0, "job": {"transfer_status": "CONFIGURATION"}}, {"at": 5, "objects": {"table": []}}]
    ask = play(one("drs", steps=steps))
    ask.simulator.jump("drs", JOB, 10)
    assert ask.drs_jobs().json["results"][0]["transfer_status"] == "CONFIGURATION"


def test_steps_may_refuse_at_every_service(play: Callable[..., Any]) -> None:
    error = {"code": "Gone", "message": "deleted"}
    steps = [{"at": 0, "error": error}]
    ask = play({"migrations": [{"service": name, **ids, "steps": steps} for name, ids in IDS.items()]})
    assert ask.dataworks("GetMigrationSummary").json["Code"] == "Gone"
    assert ask.oms().json["errorDetail"]["code"] == "Gone"
    assert ask.drs_jobs().json["results"] == [{"job_id": JOB, "error_code": "Gone", "error_msg": "deleted"}]
    objects = ask.drs_objects()
    assert (objects.status, objects.json["error_code"]) == (400, "Gone")


def test_dataworks_failure_may_have_http_200(play: Callable[..., Any]) -> None:
    error = {"code": "110001123456", "message": "test error msg", "http_status": 200}
    reply = play(one("dataworks", steps=[{"at": 0, "error": error}])).dataworks("GetMigrationProcess")
    assert (reply.status, reply.json["Success"], reply.json["ErrorCode"]) == (200, False, "110001123456")


def test_script_failure_is_logged(play: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    ask = play(one("drs", steps=[{"at": 0, "objects": {"view": {"page": "", "http_status": "high"}}}]))
    assert ask.drs_objects("view").status == 500
    assert "the simulator failed at GET /v5/" in caplog.text


@pytest.mark.parametrize(
    ("http_status", "status", "expected"),
    [
        (200, 200, {"Success": False, "ErrCode": "Gone", "ErrMessage": "deleted"}),
        (404, 404, {"Code": "Gone", "Message": "deleted"}),
        (None, 400, {"Code": "Gone", "Message": "deleted"}),
    ],
)
def test_step_may_answer_with_an_error(
    play: Callable[..., Any], http_status: int | None, status: int, expected: dict[str, Any]
) -> None:
    error = {"code": "Gone", "message": "deleted", "http_status": http_status}
    reply = play(one("dts", steps=[{"at": 0, "error": error}])).dts()
    assert reply.status == status
    assert expected.items() <= reply.json.items()
