"""Task groups: their tasks, the question, the approval and the evidence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Asset

from airflow_provider_migration.compat import approval_operator
from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.progress import MigrationProgress, Verification
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.task_groups import CutOverTaskGroup
from airflow_provider_migration.task_groups.cut_over import check_approval, question_of

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
ASKED = ["question", "approve"] if approval_operator() else []
asks_a_person = pytest.mark.skipif(not ASKED, reason="before 3.1 Airflow asks nobody")


def dag_of(sensor: Any = DtsMigrationJobSensor, **arguments: Any) -> Any:
    """Make a DAG of one cut-over."""
    arguments = arguments or {"migration_job_id": "dts1"}
    with DAG("d", start_date=NOW, schedule=None) as dag:
        CutOverTaskGroup(sensor, **arguments)
    return dag


def record(at: datetime = NOW, **fields: Any) -> dict[str, Any]:
    """Make the record of a gate, as XCom has it."""
    progress = MigrationProgress(
        **{
            "service": "dts",
            "migration_id": "dts1",
            "state": "caught_up",
            "service_status": "Migrating",
            "lag_seconds": 0.4,
            "observed_at": at,
            "request_id": "r-1",
            **fields,
        }
    )
    return progress.model_dump(mode="json")


def approval(at: datetime | str | None = None, *chosen: str) -> dict[str, Any]:
    """Make the answer of a person, by default of just now."""
    return {
        "chosen_options": list(chosen or ("Approve",)),
        "params_input": {},
        "responded_at": datetime.now(UTC) if at is None else at,
        "responded_by_user": {"id": "7", "name": "ann"},
    }


def run(dag: Any, task_id: str, **xcoms: Any) -> Any:
    """Run a task of the group with what the tasks before it have left."""
    left = {f"cut_over.{name}": value for name, value in xcoms.items()}

    def pull(task_ids: str, map_indexes: int) -> Any:
        assert map_indexes == -1
        return left.get(task_ids)

    ti = SimpleNamespace(dag_id="d", run_id="r", map_index=-1, try_number=1, xcom_pull=pull)
    event = SimpleNamespace(extra={})
    events = MagicMock(__getitem__=lambda events, asset: event)
    return dag.get_task(task_id).execute({"ti": ti, "outlet_events": events}), event.extra


# --- the tasks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", [True, False])
def test_tasks_follow_each_other(verify: bool) -> None:
    dag = dag_of(migration_job_id="dts1", verify=verify)
    gates = ["caught_up", *(["verified"] if verify else [])]
    names = [f"cut_over.{name}" for name in (*gates, *ASKED, "note_time", "applied", "evidence")]
    assert [task.task_id for task in dag.tasks] == names
    upstream = [next(iter(task.upstream_task_ids), None) for task in dag.tasks]
    assert upstream == [None, *names[:-1]]


@pytest.mark.parametrize(
    ("sensor", "ids"),
    [
        (DtsMigrationJobSensor, {"migration_job_id": "dts1"}),
        (OmsProjectSensor, {"project_id": "np_1"}),
        (DrsProgressSensor, {"job_id": "j"}),
    ],
)
def test_sensors_get_the_arguments(sensor: Any, ids: dict[str, str]) -> None:
    dag = dag_of(sensor, **ids, max_lag=3, hold_for=90, poke_interval=15, deferrable=True, on_mismatch="fail")
    sensors = [dag.get_task(f"cut_over.{name}") for name in ("caught_up", "verified", "applied")]
    for task in sensors:
        assert (task.max_lag, task.poke_interval, task.deferrable, task.on_mismatch) == (3, 15, True, "fail")
        assert {name: getattr(task, name) for name in ids} == ids
    assert [task.target_status for task in sensors] == ["caught_up", "verified", "caught_up"]
    assert [task.hold_for for task in sensors] == [90, 0, 60]
    assert sensors[-1].timeout == 3600
    assert sensors[-1].checkpoint_after.operator.task_id == "cut_over.note_time"


@asks_a_person
def test_rejection_skips_everything_downstream() -> None:
    approve = dag_of(migration_job_id="dts1", approval_timeout=timedelta(hours=2)).get_task(
        "cut_over.approve"
    )
    assert approve.ignore_downstream_trigger_rules is True
    assert timedelta(hours=2) in (approve.execution_timeout, getattr(approve, "response_timeout", None))


@pytest.mark.parametrize(
    ("sensor", "arguments", "problem"),
    [
        (DataWorksMigrationSensor, {"project_id": 1, "migration_id": 1}, "They need no cut-over"),
        (None, {"approval_valid_for": 0}, "approval_valid_for must be a number of seconds"),
        (None, {"approval_valid_for": None}, "approval_valid_for must be a number of seconds"),
        (None, {"approval_timeout": -1}, "approval_timeout must be a number of seconds"),
        (None, {"final_timeout": 7200}, r"final_timeout must be at most approval_valid_for \(3600 s\)"),
        (None, {"target_status": "paused"}, "target_status is set by the group"),
        (None, {"checkpoint_after": NOW}, "checkpoint_after is set by the group"),
        (None, {"task_id": "x"}, "task_id is set by the group"),
        (None, {"hold_for": -1}, "hold_for must be a number of seconds"),
        (None, {"soft_fail": True}, "soft_fail is set by the group"),
        (None, {"never_fail": True}, "never_fail is set by the group"),
        (None, {"trigger_rule": "all_done"}, "trigger_rule is set by the group"),
        (None, {"do_xcom_push": False}, "do_xcom_push is set by the group"),
        (None, {"on_paused": "skip"}, "on_paused must be 'wait' or 'fail'"),
        (None, {"approval_timeout": 1e300}, "approval_timeout must be a number of seconds"),
        (None, {"final_hold_for": 3600}, r"final_hold_for must be less than final_timeout \(3600 s\)"),
        (None, {"final_hold_for": "1"}, "final_hold_for must be less than final_timeout"),
        (None, {"evidence_path": 5}, "evidence_path must be a path as text"),
        (str, {}, "sensor must be the class of a migration sensor"),
    ],
)
def test_wrong_argument_is_refused(sensor: Any, arguments: dict[str, Any], problem: str) -> None:
    if sensor is None:
        sensor, arguments = DtsMigrationJobSensor, {"migration_job_id": "dts1", **arguments}
    with pytest.raises(MigrationConfigurationError, match=problem):
        dag_of(sensor, **arguments)


# --- the question -----------------------------------------------------------------------------------------

CLEAN = Verification.ended(
    tables_total=40,
    tables_compared=40,
    tables_different=0,
    tables_failed=0,
    checked_at=NOW - timedelta(hours=3),
)
TIMES = {"valid_for": 3600, "timeout": 86_400}


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({}, ["lag: 0.4 s, as of 2026-09-01 12:00:00 UTC, 7 s old when asked", "data check: not requested"]),
        ({"lag_seconds": None}, ["lag: not known, as of"]),
        ({"checkpoint": NOW - timedelta(seconds=5)}, ["applied up to: as of 2026-09-01 11:59:55 UTC, 12 s"]),
        ({"remaining_seconds": 90.4}, ["time left: 90 s, as of 2026-09-01 12:00:00 UTC, 7 s old"]),
        ({"verification": CLEAN}, ["in 40 tables, as of 2026-09-01 09:00:00 UTC, 10807 s old"]),
        (
            {"verification": CLEAN.model_copy(update={"checked_at": None})},
            ["found no differences in 40 tables, at an unknown time"],
        ),
    ],
)
def test_question_has_each_figure_with_its_age(fields: dict[str, Any], lines: list[str]) -> None:
    text = question_of(record(**fields), NOW + timedelta(seconds=7), **TIMES).replace("\\", "")
    for line in (*lines, "state: caught_up (Migrating), as of 2026-09-01 12:00:00 UTC, 7 s old when asked"):
        assert line in text
    assert "Asked at 2026-09-01 12:00:07 UTC; answer until 2026-09-02 12:00:07 UTC." in text
    assert "The approval is valid for 1:00:00" in text


def test_question_shows_a_name_as_text() -> None:
    text = question_of(record(name="a](http://x) <b> `c` | **d**"), NOW, **TIMES)
    assert r"a\]\(http://x\) \<b\> \`c\` \| \*\*d\*\*" in text


@asks_a_person
def test_question_is_about_the_last_gate() -> None:
    asked, _ = run(dag_of(), "cut_over.question", verified=record(verification=CLEAN))
    assert asked["subject"] == "Cut over dts dts1?"
    assert "no differences in 40 tables" in asked["body"]
    with pytest.raises(AirflowFailException, match=r"'cut_over\.verified' has left no record"):
        run(dag_of(), "cut_over.question")


@asks_a_person
def test_question_is_asked_once() -> None:
    """Airflow keeps the text of the first question."""
    approve = dag_of().get_task("cut_over.approve")
    with pytest.raises(AirflowFailException, match="start a new run of the DAG to ask again"):
        approve.execute({"ti": SimpleNamespace(try_number=2)})


@asks_a_person
def test_default_arguments_open_no_gate() -> None:
    asset = Asset("s3://bucket/cut-over")
    defaults = {
        "retries": 3,
        "defaults": ["Approve"],
        "trigger_rule": "all_done",
        "soft_fail": True,
        "on_paused": "skip",
        "target_status": "full_done",
        "checkpoint_after": NOW,
        "hold_for": 1,
        "outlets": [asset],
    }
    with DAG("d", start_date=NOW, schedule=None, default_args=defaults) as dag:
        CutOverTaskGroup(DtsMigrationJobSensor, migration_job_id="dts1")
    approve = dag.get_task("cut_over.approve")
    assert (approve.retries, approve.defaults) == (0, None)
    assert {task.trigger_rule for task in dag.tasks} == {"all_success"}
    sensors = [dag.get_task(f"cut_over.{name}") for name in ("caught_up", "verified", "applied")]
    assert [task.target_status for task in sensors] == ["caught_up", "verified", "caught_up"]
    assert [task.hold_for for task in sensors] == [600, 0, 60]
    assert [task.checkpoint_after is None for task in sensors] == [True, True, False]
    settings = {(task.soft_fail, task.on_paused, bool(task.outlets)) for task in sensors}
    assert settings == {(False, "wait", False)}


# --- the approval -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (approval(NOW), None),
        (approval(NOW - timedelta(seconds=3600)), None),
        (approval((NOW - timedelta(seconds=60)).isoformat()), None),
        (approval(NOW + timedelta(seconds=60)), None),  # the clock of the API server is ahead
        (approval(NOW - timedelta(seconds=3601)), r"is 3601 s old, but valid for only 3600 s"),
        (approval(NOW + timedelta(seconds=301)), "does not belong to the question"),
        (approval(NOW - timedelta(seconds=3580)), None),
        (approval(NOW, "Reject"), "There is no approval"),
        (approval(NOW, "Approve", "Reject"), "There is no approval"),
        ({**approval(NOW), "responded_by_user": None}, "There is no approval by a person"),
        ({**approval(NOW), "responded_at": None}, "has no time"),
        ({**approval(NOW), "responded_at": "soon"}, "has no time"),
        ({**approval(NOW), "responded_at": NOW.replace(tzinfo=None)}, "has no time"),
        ({}, "There is no approval"),
        (None, "There is no approval"),
        ("Approve", "There is no approval"),
    ],
)
def test_approval_counts_for_a_while(given: Any, problem: str | None) -> None:
    asked_at = (NOW - timedelta(seconds=3600)).isoformat()
    if problem is None:
        assert check_approval(given, NOW, 3600, asked_at).by == {"id": "7", "name": "ann"}
        return
    with pytest.raises(AirflowFailException, match=problem):
        check_approval(given, NOW, 3600, asked_at)


@pytest.mark.parametrize("asked_at", [None, "soon", (NOW + timedelta(seconds=301)).isoformat()])
def test_approval_belongs_to_its_question(asked_at: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"has no time|does not belong"):
        check_approval(approval(NOW), NOW, 3600, asked_at)


@asks_a_person
def test_time_is_noted_with_an_approval_only() -> None:
    asked = {"asked_at": datetime.now(UTC).isoformat()}
    moment, _ = run(dag_of(), "cut_over.note_time", approve=approval(), question=asked)
    assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1)
    ahead = datetime.now(UTC) + timedelta(seconds=100)
    moment, _ = run(dag_of(), "cut_over.note_time", approve=approval(ahead), question=asked)
    assert datetime.fromisoformat(moment) == ahead
    with pytest.raises(AirflowFailException, match="There is no approval"):
        run(dag_of(), "cut_over.note_time", question=asked)


# --- the evidence -----------------------------------------------------------------------------------------


def left(**changes: Any) -> dict[str, Any]:
    """Return the XComs of a cut-over that has passed its gates."""
    now = datetime.now(UTC)
    return {
        "caught_up": record(now - timedelta(seconds=300), request_id="r-1"),
        "verified": record(now - timedelta(seconds=200), request_id="r-2", verification=CLEAN),
        "question": {"asked_at": (now - timedelta(seconds=200)).isoformat()},
        "approve": approval(now - timedelta(seconds=100)),
        "note_time": (now - timedelta(seconds=90)).isoformat(),
        "applied": record(now, request_id="r-3", lag_seconds=0),
        **changes,
    }


def test_evidence_names_everything(tmp_path: Path) -> None:
    asset = Asset("s3://bucket/cut-over")
    path = f"file://{tmp_path}/deep/evidence.json"
    dag = dag_of(migration_job_id="dts1", evidence_path=path, outlets=[asset])
    gates = left()
    found, extra = run(dag, "cut_over.evidence", **gates)
    assert found["gates"] == {name: gates[name] for name in ("caught_up", "verified", "applied")}
    assert found["request_ids"] == {"caught_up": "r-1", "verified": "r-2", "applied": "r-3"}
    assert found["writes_stopped_at"] == gates["note_time"]
    assert (found["approval"]["by"]["name"] == "ann") if ASKED else (found["approval"] is None)
    content = (tmp_path / "deep" / "evidence.json").read_bytes()
    assert json.loads(content) == found
    assert extra["evidence_sha256"] == hashlib.sha256(content).hexdigest()
    assert (extra["evidence_path"], extra["lag_seconds"]) == (path, 0)


@pytest.mark.parametrize("missing", ["caught_up", "verified", "applied"])
def test_evidence_needs_a_record_of_each_gate(missing: str) -> None:
    with pytest.raises(AirflowFailException, match=rf"'cut_over\.{missing}' has left no record"):
        run(dag_of(), "cut_over.evidence", **left(**{missing: None}))


@asks_a_person
@pytest.mark.parametrize("given", [None, approval(None, "Reject"), approval(NOW - timedelta(days=900))])
def test_evidence_needs_an_approval_that_counts(given: Any) -> None:
    with pytest.raises(AirflowFailException, match="pproval"):
        run(dag_of(), "cut_over.evidence", **left(approve=given))


def ago(seconds: float, **fields: Any) -> dict[str, Any]:
    return record(datetime.now(UTC) - timedelta(seconds=seconds), **fields)


def asked_long_ago() -> dict[str, Any]:
    """Return a cut-over that passed its gates a quarter of an hour ago."""
    now = datetime.now(UTC)
    return {
        "question": {"asked_at": (now - timedelta(seconds=3200)).isoformat()},
        "approve": approval(now - timedelta(seconds=3100)),
        "note_time": (now - timedelta(seconds=3000)).isoformat(),
        "applied": ago(1000),
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (lambda: {"note_time": None}, "there is no noted time"),
        (lambda: {"applied": ago(100)}, "the record of 'applied' is older than the noted time"),
        (lambda: {"applied": ago(0, state="paused")}, "the record of 'applied' is not in sync"),
        (lambda: {"applied": ago(0, lag_seconds=11)}, "the record of 'applied' is not in sync"),
        (
            lambda: {"applied": ago(0, verification={"state": "inconsistent"})},
            "the data check is inconsistent by now",
        ),
        (lambda: {"verified": ago(200)}, "the record of 'verified' has no consistent data check"),
        (lambda: {"caught_up": ago(300, migration_id="dts2")}, "the records are of different migrations"),
        (asked_long_ago, "the record of 'applied' is 10.. s old, and the lag may have risen since"),
    ],
)
def test_evidence_needs_gates_that_belong_together(
    changes: Callable[[], dict[str, Any]], problem: str
) -> None:
    """Tasks that were cleared, or marked as successful, one by one."""
    with pytest.raises(AirflowFailException, match=f"The cut-over has not passed: {problem}"):
        run(dag_of(), "cut_over.evidence", **left(**changes()))


def test_evidence_without_verify_ignores_the_data_check() -> None:
    failed = left(applied=ago(0, verification={"state": "failed"}))
    found, _ = run(dag_of(migration_job_id="dts1", verify=False), "cut_over.evidence", **failed)
    assert list(found["gates"]) == ["caught_up", "applied"]


@asks_a_person
def test_evidence_needs_a_time_after_the_approval() -> None:
    changes = {"note_time": (datetime.now(UTC) - timedelta(seconds=101)).isoformat()}
    with pytest.raises(AirflowFailException, match="the noted time is older than the approval"):
        run(dag_of(), "cut_over.evidence", **left(**changes))


def test_evidence_path_that_no_storage_has_is_refused() -> None:
    dag = dag_of(migration_job_id="dts1", evidence_path="nowhere://x/y.json")
    with pytest.raises(AirflowFailException, match=r"'nowhere://x/y\.json' is not a path of a storage"):
        run(dag, "cut_over.evidence", **left())
