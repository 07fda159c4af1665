"""Every task of the example DAGs and of the pages bears a record in which all that may be null is null."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.common.compat.sdk import BaseHook
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.definitions.xcom_arg import XComArg
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_migration.keys import WAIT_KEY
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.simulator import Simulator
from tests.docs.pages import BLOCKS, Block
from tests.examples import EXAMPLES

MIGRATION = "163b98e8-6088-46c3-8b86-c18fea6jb502"
"""The id that the example of many jobs watches by default."""

DAG_BLOCKS = [
    block for block in BLOCKS if block.language == "python" and "DAG(" in block.code and not block.reason
]


def sparse(state: str) -> dict[str, Any]:
    """Return a record that has only what every record has."""
    record = MigrationProgress(
        service="drs", migration_id=MIGRATION, state=state, observed_at=datetime(2026, 1, 2, tzinfo=UTC)
    )
    return record.model_dump(mode="json")


class Tasks:
    """
    The tasks of a DAG that are Python functions, called as Airflow would call them.

    :param record: the final record of each sensor.
    :param extras: those of the asset events that have started the run.
    """

    def __init__(self, dag: Any, record: dict[str, Any], extras: list[dict[str, Any]]) -> None:
        self.dag = dag
        self.record = record
        self.extras = extras
        self.results: dict[str, Any] = {}

    def call_each(self) -> list[Any]:
        """Return what each one returns."""
        return [self._call(task) for task in self.dag.tasks if hasattr(task, "python_callable")]

    def _call(self, task: Any) -> Any:
        if task.task_id not in self.results:
            if not hasattr(task, "python_callable"):  # the group's own tasks have tests of their own
                return {"migration_id": MIGRATION, "subject": "s", "body": "b"}
            function = task.python_callable
            context = {
                "params": self.dag.params.dump(),
                "triggering_asset_events": {Mock(): [Mock(extra=extra) for extra in self.extras]},
            }
            wanted = inspect.signature(function).parameters
            result = function(
                *(self._value(argument) for argument in task.op_args),
                **{name: self._value(argument) for name, argument in task.op_kwargs.items()},
                **{name: value for name, value in context.items() if name in wanted},
            )
            # As XCom gives it to the next task, which refuses classes that are not Airflow's.
            self.results[task.task_id] = deserialize(serialize(result))
        return self.results[task.task_id]

    @property
    def ti(self) -> Any:
        """As much of a task instance as a template needs."""
        return Mock(xcom_pull=lambda task_ids, **_: self._pull(self.dag.get_task(task_ids)))

    def _pull(self, operator: Any) -> Any:
        return self.record if isinstance(operator, MigrationSensor) else self._call(operator)

    def _value(self, argument: Any) -> Any:
        if not isinstance(argument, XComArg):
            return argument
        operator: Any = argument.operator  # type: ignore[attr-defined] # an XComArg of a task
        is_mapped = isinstance(operator, MappedOperator)
        kind = operator.operator_class if is_mapped else type(operator)
        if not issubclass(kind, MigrationSensor):
            return self._call(operator)
        wait = {"migration_id": MIGRATION, "outcome": "done", "reason": "Reached"}
        value = wait if argument.key == WAIT_KEY else self.record  # type: ignore[attr-defined] # likewise
        return [value] if is_mapped else value

    def render_each(self) -> list[str]:
        """Return what the tasks' templates that tell of a record come to."""
        context = {"ti": self.ti, "params": self.dag.params.dump()}
        return [
            task.render_template(text, context)
            for task in self.dag.tasks
            for text in (getattr(task, name, None) for name in task.template_fields)
            if isinstance(text, str) and "xcom_pull" in text
        ]


def tasks_of(path: Path, state: str, *further: dict[str, Any]) -> list[Tasks]:
    """Load the DAGs of a file or folder, for runs that a watcher's event and further events have started."""
    bag = DagBag(path)
    assert bag.import_errors == {}
    record = sparse(state)
    extras = [{"from_trigger": True, "payload": record}, *further]
    return [Tasks(dag, record, extras) for dag in bag.dags.values()]


@pytest.fixture(autouse=True)
def _databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each table have one row."""
    monkeypatch.setattr(BaseHook, "get_hook", lambda conn_id: Mock(get_first=lambda sql: (1,)))


@pytest.mark.parametrize("state", ["succeeded", "caught_up", "running", "unknown"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_works_with_a_sparse_record(
    example: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = {"from_rest_api": True}
    said = [
        str(text)
        for tasks in tasks_of(example, state, by_hand)
        for text in (*tasks.call_each(), *tasks.render_each())
    ]
    assert "None" not in "".join([*said, capsys.readouterr().out])


@pytest.mark.parametrize("state", ["succeeded", "caught_up", "running", "unknown"])
@pytest.mark.parametrize("block", DAG_BLOCKS, ids=str)
def test_page_works_with_a_sparse_record(
    block: Block, state: str, simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "dag.py").write_text(block.code)
    for tasks in tasks_of(tmp_path, state):
        tasks.call_each()
        tasks.render_each()


# --- the report over many jobs --------------------------------------------------------------------------

GOOD, BAD = {**sparse("caught_up"), "migration_id": "good", "lag_seconds": 3.0}, "bad"
FAILED = {"migration_id": BAD, "reason": "The migration failed: disk full"}


def report(*arguments: Any) -> Any:
    (dag,) = DagBag(next(path for path in EXAMPLES if path.stem == "many_drs_jobs")).dags.values()
    return dag.get_task("report").python_callable(*arguments)


def test_report_has_a_line_per_job() -> None:
    other = {**sparse("succeeded"), "migration_id": "other"}
    assert report(["good", "other"], [GOOD, other], []) == ["good: caught_up, lag 3.0 s", "other: succeeded"]


@pytest.mark.parametrize(
    ("jobs", "reached", "waits", "said"),
    [
        pytest.param(["good", BAD], [GOOD], [FAILED], "1 of 2 .*bad: .*disk full.*good: caught_up", id="one"),
        pytest.param([BAD], [], [FAILED], "1 of 1 .*bad: The migration failed: disk full", id="all"),
        pytest.param([BAD], [], [{**FAILED, "reason": None}], "bad: ended without a reason", id="marked"),
        pytest.param([BAD], [], [], "bad: ended without a reason", id="before-any-poll"),
        pytest.param(["good", BAD], [GOOD], [], "1 of 2", id="skipped"),
        pytest.param(None, [], [], "list_jobs", id="upstream-failed"),
        pytest.param([], [], [], "list_jobs", id="no-jobs"),
    ],
)
def test_report_fails_without_every_job(jobs: Any, reached: list[Any], waits: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){said}"):
        report(jobs, reached, waits)
