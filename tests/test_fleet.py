"""Task group that watches a fleet: its list, its report and its gate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    BaseOperator,
    TaskGroup,
)

from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.progress import MigrationProgress, MigrationSummary
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.task_groups import MigrationFleetTaskGroup
from airflow_provider_migration.task_groups.fleet import MAX_NAMED, describe_report, report_of

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


def dag_of(sensor: Any = DtsMigrationJobSensor, **arguments: Any) -> Any:
    """Make a DAG of one fleet."""
    with DAG("d", start_date=NOW, schedule=None) as dag:
        MigrationFleetTaskGroup(sensor, **arguments)
    return dag


def record(migration_id: str = "dts1", at: datetime = NOW, **fields: Any) -> dict[str, Any]:
    """Make a record, as XCom has it."""
    progress = MigrationProgress(
        **{
            "service": "dts",
            "migration_id": migration_id,
            "state": "caught_up",
            "lag_seconds": 0.4,
            "observed_at": at,
            **fields,
        }
    )
    return progress.model_dump(mode="json")


def summary(migration_id: str = "dts1", **fields: Any) -> MigrationSummary:
    """Make a row of a list."""
    return MigrationSummary(
        **{"service": "dts", "migration_id": migration_id, "state": "caught_up", "lag_seconds": 1, **fields}
    )


def wait(migration_id: str = "dts1", **fields: Any) -> dict[str, Any]:
    """Make a ``migration_wait``."""
    return {
        "migration_id": migration_id,
        "started_at": NOW.timestamp() - 100,
        "outcome": "done",
        "reason": None,
        **fields,
    }


def made(
    ids: Sequence[str] = ("dts1",),
    reached: Sequence[Any] | None = None,
    records: Sequence[Any] | None = None,
    waits: Sequence[Any] | None = None,
    found: Sequence[MigrationSummary] | None = None,
    shows_sync: bool = False,
) -> dict[str, Any]:
    """Make a report; by default of migrations that have all reached the target and are in sync."""
    done = [record(each) for each in ids] if reached is None else reached
    return report_of(
        ids,
        {"listed_at": (NOW - timedelta(hours=1)).isoformat(), "names": {each: f"job {each}" for each in ids}},
        done,
        done if records is None else records,
        [wait(each) for each in ids] if waits is None else waits,
        {row.migration_id: row for row in ([summary(each) for each in ids] if found is None else found)},
        now=NOW,
        max_lag=10,
        shows_sync=shows_sync,
    )


# --- the report -------------------------------------------------------------------------------------------


def test_report_of_a_fleet_in_sync() -> None:
    report = made(["dts1", "dts2"], found=[summary("dts1"), summary("dts2", lag_seconds=7)])
    assert (report["total"], report["reached"], report["failed"], report["failures"]) == (2, 2, 0, [])
    assert report["states"] == {"caught_up": 2}
    assert report["worst_lag"] == {"migration_id": "dts2", "name": "job dts2", "lag_seconds": 7}
    assert report["slowest"][0]["waited_seconds"] == 100


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="still in sync"),
        pytest.param({"found": [summary(state="running")]}, None, id="running, with little lag"),
        pytest.param({"found": [summary(state="running", lag_seconds=None)]}, None, id="lag not listed"),
        pytest.param({"found": [summary(lag_seconds=10)]}, None, id="lag at the limit"),
        pytest.param(
            {"found": [summary(state="running", lag_seconds=None)], "shows_sync": True},
            "is running now",
            id="lag not listed, where a list could show more",
        ),
        pytest.param(
            {"found": [summary(state="running")], "shows_sync": True},
            None,
            id="running, with little lag, where a list could show more",
        ),
        pytest.param(
            {"found": [summary(state="running", service_status="Modifying", lag_seconds=0)]},
            "is running now",
            id="being changed, with little lag",
        ),
        pytest.param({"found": [summary(lag_seconds=10.1)]}, "its lag is 10.1 s now", id="lags now"),
        pytest.param(
            {
                "reached": [record(service_status="INCRE_TRANSFER_STARTED")],
                "found": [
                    summary(state="running", lag_seconds=None, service_status=" incre_transfer_started")
                ],
            },
            None,
            id="lag not listed, same status",
        ),
        *(
            pytest.param(
                {
                    "reached": [record(service_status=before)],
                    "found": [summary(state="running", lag_seconds=None, service_status=word)],
                },
                f"is running now ({word})",
                id=f"{word} by now",
            )
            for before, word in (
                ("INCRE_TRANSFER_STARTED", "FULL_TRANSFER_STARTED"),
                ("INCRE_TRANSFER_STARTED", "RELEASE_RESOURCE_STARTED"),
                ("INCRE_TRANSFER_STARTED", None),
                ("Synchronizing", "Initializing"),
            )
        ),
        pytest.param(
            {
                "reached": [record(state="running", service_status="FULL_TRANSFER_COMPLETE")],
                "found": [
                    summary(state="running", lag_seconds=None, service_status="INCRE_TRANSFER_STARTED")
                ],
            },
            None,
            id="gone on since",
        ),
        pytest.param({"found": [summary(state="failed")]}, "is failed now", id="failed since"),
        pytest.param({"found": [summary(state="paused")]}, "is paused now", id="paused since"),
        pytest.param({"found": [summary(state="cancelled")]}, "is cancelled now", id="ended since"),
        pytest.param({"found": [summary(state="unknown")]}, "is unknown now", id="unknown since"),
        pytest.param({"found": [summary(state="pending")]}, "is pending now", id="started again"),
        pytest.param({"found": []}, "no longer lists it", id="empty list"),
        pytest.param(
            {"reached": [record(state="succeeded")], "found": []}, None, id="succeeded, and released since"
        ),
        *(
            pytest.param(
                {"reached": [record(state="succeeded")], "found": [summary(state=state, lag_seconds=None)]},
                None if stands else f"is {state} now",
                id=f"succeeded, {state} by now",
            )
            for state, stands in (
                ("succeeded", True),
                ("cancelled", True),
                ("running", True),
                ("failed", False),
                ("paused", False),
                ("pending", False),
                ("unknown", False),
            )
        ),
        pytest.param(
            {"reached": [record(state="paused")], "found": [summary(state="paused")]},
            None,
            id="paused as wanted",
        ),
        pytest.param({"reached": []}, "no record of reaching the target", id="marked as successful"),
        pytest.param(
            {"reached": [], "waits": [wait(outcome="fail", reason="The migration failed: disk full")]},
            "disk full",
            id="failed",
        ),
        pytest.param({"reached": [], "waits": []}, "no record of reaching the target", id="never polled"),
        pytest.param(
            {"reached": [record("dts2")]},
            "no record of reaching the target",
            id="record of another migration",
        ),
        pytest.param(
            {"reached": [record(at=NOW - timedelta(hours=2))]},
            "no record of reaching the target",
            id="record of an older list",
        ),
        pytest.param(
            {"reached": [record(at=NOW - timedelta(minutes=64))]}, None, id="clocks differ by minutes"
        ),
    ],
)
def test_report_counts_what_still_stands(changes: dict[str, Any], reason: str | None) -> None:
    """A target that was reached hours ago does not count if the service now says otherwise."""
    report = made(**changes)
    assert report["failed"] == (0 if reason is None else 1)
    assert report["reached"] == 1 - report["failed"]
    if reason is not None:
        assert reason in report["failures"][0]["reason"]
        assert reason in describe_report(report)


def test_report_names_what_was_not_watched() -> None:
    """A migration that joins the wave later, or that the first list has missed, has not reached anything."""
    report = made(found=[summary("dts1"), summary("dts2", name="late")])
    assert (report["total"], report["reached"], report["failed"]) == (2, 1, 1)
    assert report["failures"][0] == {
        "migration_id": "dts2",
        "name": "late",
        "reason": "it was not selected when the fleet was listed: start a new run to watch it",
    }


def test_report_of_a_fleet_with_a_status_does_not_look_at_others(listed: list[MigrationSummary]) -> None:
    at = datetime.now(UTC)
    listed += [summary("dts1"), summary("dts2")]
    report, _ = run(
        dag_of(status="running"),
        "report",
        migrations=["dts1"],
        listing={"listed_at": at.isoformat(), "names": {"dts1": None}},
        reached=[record("dts1", at)],
        records=[record("dts1", at)],
        waits=[wait("dts1")],
    )
    assert (report["total"], report["reached"], report["failed"]) == (1, 1, 0)


def test_report_names_at_most_twenty() -> None:
    ids = [f"dts{number}" for number in range(300)]
    report = made(ids, reached=[])
    assert (report["failed"], len(report["failures"]), len(report["slowest"])) == (300, MAX_NAMED, 0)
    assert describe_report(report).endswith("… and 280 more.")


# --- the tasks --------------------------------------------------------------------------------------------


def run(dag: Any, task_id: str, *, listing: Any = None, **attributes: Any) -> Any:
    """Run a task, with its templated arguments as given, and return its result and what it has pushed."""
    task, pushed = dag.get_task(f"fleet.{task_id}"), {}
    left = {("fleet.list", "migration_list", -1): listing}
    for name, value in attributes.items():
        setattr(task, name, value)
    ti = SimpleNamespace(
        map_index=-1,
        xcom_push=lambda key, value: pushed.update({key: value}),
        xcom_pull=lambda task_ids, key, map_indexes: left.get((task_ids, key, map_indexes)),
    )
    return task.execute({"ti": ti}), pushed


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[MigrationSummary]:
    """Let DTS list these migrations."""
    rows: list[MigrationSummary] = []
    monkeypatch.setattr(DtsHook, "iter_migrations", lambda self, **selection: iter(rows))
    return rows


def test_list_returns_the_ids(listed: list[MigrationSummary]) -> None:
    listed += [summary("dts1", name="orders"), summary("dts2")]
    ids, pushed = run(dag_of(tags={"wave": "3"}), "list")
    assert ids == ["dts1", "dts2"]
    assert pushed["migration_list"]["names"] == {"dts1": "orders", "dts2": None}


@pytest.mark.parametrize(
    ("count", "problem"), [(0, "No migration is selected"), (3, "More than 2 migrations are selected")]
)
def test_list_is_never_cut(listed: list[MigrationSummary], count: int, problem: str) -> None:
    """A fleet that leaves out a migration would say yes without it."""
    listed += [summary(f"dts{number}") for number in range(count)]
    with pytest.raises(AirflowFailException, match=problem):
        run(dag_of(limit=2), "list")


def test_report_needs_a_list() -> None:
    with pytest.raises(AirflowFailException, match="There is no list"):
        run(dag_of(), "report", migrations=None, listing=None)


def test_report_returns_what_the_tasks_have_left(listed: list[MigrationSummary]) -> None:
    """The values of mapped tasks come as sequences, or None if there are none."""
    listed += [summary("dts1")]
    listing = {"listed_at": datetime.now(UTC).isoformat(), "names": {"dts1": "orders", "dts2": None}}
    at = datetime.now(UTC)
    report, _ = run(
        dag_of(),
        "report",
        migrations=["dts1", "dts2"],
        listing=listing,
        reached=[record("dts1", at)],
        records=[record("dts1", at)],
        waits=None,
    )
    assert (report["reached"], report["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("failed", "allowed", "passes"), [(0, 0, True), (1, 0, False), (1, 1, True), (2, 1, False)]
)
def test_gate_passes_with_at_most_max_failed(failed: int, allowed: int, passes: bool) -> None:
    ids = ["dts1", "dts2", "dts3"]
    report = made(ids, reached=[record(each) for each in ids[failed:]])
    report["reported_at"] = datetime.now(UTC).isoformat()
    dag = dag_of(max_failed=allowed)
    if passes:
        run(dag, "gate", report=report)
    else:
        with pytest.raises(AirflowFailException, match=f"{3 - failed} of 3 migrations have reached"):
            run(dag, "gate", report=report)


@pytest.mark.parametrize(("minutes", "passes"), [(59, True), (61, False)])
def test_gate_needs_a_new_report(minutes: float, passes: bool) -> None:
    """A gate that is cleared alone the next day would repeat the yes of the day before."""
    report = {**made(), "reported_at": (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()}
    if passes:
        run(dag_of(), "gate", report=report)
    else:
        with pytest.raises(AirflowFailException, match=r"1\.0 h old.*clear the task 'report'"):
            run(dag_of(), "gate", report=report)


def test_gate_needs_a_report() -> None:
    with pytest.raises(AirflowFailException, match="There is no report"):
        run(dag_of(), "gate", report=None)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"sensor": str}, "sensor must be the class of a migration sensor"),
        ({"migration_job_id": "dts1"}, "migration_job_id is set by the group"),
        ({"migration_name": "orders"}, "migration_name is set by the group"),
        ({"trigger_rule": "all_done"}, "trigger_rule is set by the group"),
        ({"limit": 0}, "limit must be a whole number, 1 or more"),
        ({"limit": 5000}, "limit must be at most 1024"),
        ({"max_failed": -1}, "max_failed must be a whole number, 0 or more"),
        ({"max_failed": True}, "max_failed must be a whole number"),
        ({"name": " "}, "name is empty"),
        ({"sensor": DataWorksMigrationSensor}, "project_id is missing"),
    ],
)
def test_wrong_argument_is_an_import_error(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=problem):
        dag_of(**arguments)


@pytest.mark.parametrize("own", [{}, {"dts_conn_id": "own", "max_lag": 7}])
def test_lists_and_sensors_have_the_same_default_args(own: dict[str, Any]) -> None:
    """A connection in default_args would else be that of the sensors alone."""
    defaults = {"dts_conn_id": "prod", "job_type": "SYNC", "max_lag": timedelta(seconds=5)}
    of_the_group = {"dts_conn_id": "of the group"}
    with (
        DAG("d", start_date=NOW, schedule=None, default_args=defaults) as dag,
        TaskGroup("outer", default_args=of_the_group),
    ):
        MigrationFleetTaskGroup(DtsMigrationJobSensor, **own)
    tasks = {task_id: dag.get_task(f"outer.fleet.{task_id}") for task_id in ("list", "watch", "report")}
    watch = tasks["watch"].unmap({**tasks["watch"].partial_kwargs, "migration_job_id": "dts1"})
    for task in (tasks["list"], tasks["report"]):
        assert task.source["arguments"] == {"dts_conn_id": watch.dts_conn_id, "job_type": watch.job_type}
    assert tasks["report"].max_lag == watch.max_lag
    assert watch.dts_conn_id == own.get("dts_conn_id", "of the group")


def test_connection_of_another_task_is_that_of_the_lists_too() -> None:
    with DAG("d", start_date=NOW, schedule=None) as dag:
        chosen = BaseOperator(task_id="choose").output
        MigrationFleetTaskGroup(DtsMigrationJobSensor, dts_conn_id=chosen)
    for task_id in ("list", "report"):
        task = dag.get_task(f"fleet.{task_id}")
        assert task.source["arguments"] == {"dts_conn_id": chosen}
        assert "choose" in task.upstream_task_ids


class OwnSensor(DtsMigrationJobSensor):
    """A sensor as users write it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_lists_have_the_connection_of_a_subclass() -> None:
    with DAG("d", start_date=NOW, schedule=None, default_args={"dts_conn_id": "prod"}) as dag:
        MigrationFleetTaskGroup(OwnSensor, api="DescribeDtsJobs")
    arguments = {"dts_conn_id": "prod", "api": "DescribeDtsJobs"}
    assert dag.get_task("fleet.list").source["arguments"] == arguments


def test_default_args_change_no_gate() -> None:
    with DAG("d", start_date=NOW, schedule=None, default_args={"trigger_rule": "all_done"}) as dag:
        MigrationFleetTaskGroup(DtsMigrationJobSensor)
    rules = {task.task_id: getattr(task.trigger_rule, "value", task.trigger_rule) for task in dag.tasks}
    assert rules == {
        "fleet.list": "all_success",
        "fleet.watch": "all_success",
        "fleet.report": "all_done",
        "fleet.gate": "all_success",
    }
