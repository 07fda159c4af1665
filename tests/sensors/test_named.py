"""Sensors that name their migration instead of giving its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationServiceError,
)
from airflow_provider_migration.hooks.base import MigrationHook
from airflow_provider_migration.progress import MigrationSummary
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.triggers.migration import MigrationTrigger
from tests.catalogue import SERVICES, Service

JOB = {"service": "dts", "migration_job_id": "dts1"}


class Lists:
    """What the service lists, and how often it was asked for it."""

    def __init__(self) -> None:
        self.rows: list[MigrationSummary] = []
        self.errors: list[Exception] = []
        self.calls: list[dict[str, Any]] = []

    def add(self, migration_id: str, name: str = "orders", service: str = "dts") -> None:
        self.rows.append(
            MigrationSummary(service=service, migration_id=migration_id, name=name, state="running")
        )

    def iter_migrations(
        self, name: Any = None, status: Any = None, tags: Any = None, **place: Any
    ) -> Iterator[MigrationSummary]:
        self.calls.append({"name": name, "tags": tags, **place})
        if self.errors:
            raise self.errors.pop(0)
        return (row for row in self.rows if name is None or name in str(row.name))


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    """Give the hooks a list."""
    found = Lists()
    monkeypatch.setattr(
        MigrationHook, "iter_migrations", lambda self, *given, **place: found.iter_migrations(*given, **place)
    )
    return found


def sensor(**arguments: Any) -> DtsMigrationJobSensor:
    arguments = {"migration_name": "orders", **arguments}
    return DtsMigrationJobSensor(task_id="wait", **{"target_status": "running", **arguments})


def named(service: Service, **arguments: Any) -> Any:
    """Make a sensor that names its migration."""
    ids = {name: value for name, value in service.ids.items() if name != service.id_argument}
    return service.sensor(task_id="wait", migration_name="orders", **ids, **arguments)


@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_migration_is_found_by_its_name(
    play: Callable[..., Simulator], lists: Lists, context: Any, service: Service
) -> None:
    play(service.migration())
    lists.add(service.migration_id, service=service.name)
    lists.add("another", "orders-2")
    task = named(service)
    assert task.poke(context) is False
    assert task.poke(context) is False
    assert context["ti"].xcom["migration_progress"]["migration_id"] == service.migration_id
    assert context["ti"].xcom["migration_wait"]["migration_id"] == service.migration_id
    place = {"project_id": "123456"} if service.name == "dataworks" else {}
    assert lists.calls == [{"name": "orders", "tags": None, **place}]


@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_trigger_gets_the_id(
    play: Callable[..., Simulator], lists: Lists, context: Any, service: Service
) -> None:
    play(service.migration())
    lists.add(service.migration_id, service=service.name)
    with pytest.raises(TaskDeferred) as deferred:
        named(service, deferrable=True).execute(context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, MigrationTrigger)
    assert str(trigger.ids[service.id_argument]) == service.migration_id
    assert "migration_name" not in trigger.ids
    assert trigger.tracker.policy.migration_id == service.migration_id


def test_rescheduled_task_looks_up_once(
    play: Callable[..., Simulator], lists: Lists, context: Any, next_poll: Callable[[Any], Any]
) -> None:
    play(JOB)
    lists.add("dts1")
    for _ in range(3):
        assert sensor(mode="reschedule", target_status="caught_up").poke(context) is False
        context = next_poll(context)
    assert len(lists.calls) == 1


def test_next_try_looks_up_again(
    play: Callable[..., Simulator], lists: Lists, context: Any, next_poll: Callable[[Any], Any]
) -> None:
    """A person may have created the right migration since."""
    play(JOB)
    lists.add("dts1")
    sensor(mode="reschedule", target_status="caught_up").poke(context)
    context["ti"].try_number = 2
    sensor(mode="reschedule", target_status="caught_up").poke(next_poll(context))
    assert len(lists.calls) == 2


def test_resumed_task_keeps_the_id(play: Callable[..., Simulator], lists: Lists, context: Any) -> None:
    """A record that is too old is polled again, with the id that was found."""
    simulator = play(JOB)
    lists.add("dts1")
    first = sensor(target_status="caught_up")
    first.poke(context)
    record = context["ti"].xcom["migration_progress"]
    simulator.jump("dts", "dts1", 40)
    event = {
        "outcome": "done",
        "reason": "reached",
        "progress": {**record, "observed_at": "2026-01-01T00:00:00Z"},
        "error": None,
        "points": [],
        "wait": context["ti"].xcom["migration_wait"],
        "history": {},
    }
    lists.errors.append(AssertionError("it is known"))
    result = sensor(target_status="caught_up", deferrable=True).execute_complete(context, event)
    assert result is not None
    assert result["migration_id"] == "dts1"


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ((), "No migration has the name 'orders' .*Check the spelling"),
        (("dts1", "dts2"), r"2 migrations have the name 'orders' .*: dts1 \(running\), dts2 \(running\)"),
    ],
    ids=["none", "several"],
)
def test_name_must_be_unique(
    play: Callable[..., Simulator], lists: Lists, context: Any, ids: tuple[str, ...], said: str
) -> None:
    play(JOB)
    for one in ids:
        lists.add(one)
    lists.add("dts3", "Orders")
    with pytest.raises(MigrationConfigurationError, match=said) as error:
        sensor().execute(context)
    assert isinstance(error.value, AirflowFailException)
    assert context["ti"].xcom["migration_wait"]["outcome"] == "poll_error"


@pytest.mark.parametrize("deferrable", [False, True])
def test_lookup_that_fails_for_now_is_a_failed_poll(
    play: Callable[..., Simulator],
    lists: Lists,
    context: Any,
    without_waiting: None,
    deferrable: bool,
) -> None:
    play(JOB)
    lists.add("dts1")
    lists.errors += [MigrationServiceError("HTTP 503"), MigrationServiceError("HTTP 503")]
    task = sensor(deferrable=deferrable, target_status="caught_up")
    assert task.poke(context) is False
    assert context["ti"].xcom["migration_wait"]["poll_errors"] == 1
    assert task.poke(context) is False
    if deferrable:
        with pytest.raises(TaskDeferred):
            task.poke(context)
    else:
        assert task.poke(context) is False
        assert context["ti"].xcom["migration_progress"]["migration_id"] == "dts1"


def test_lookup_that_fails_for_long_fails_the_task(
    play: Callable[..., Simulator], lists: Lists, context: Any
) -> None:
    play(JOB)
    lists.errors += [MigrationServiceError("HTTP 503")] * 2
    task = sensor(max_poll_errors=1)
    assert task.poke(context) is False
    with pytest.raises(MigrationServiceError, match="Polling has failed 2 times"):
        task.poke(context)


def test_tags_name_a_migration(play: Callable[..., Simulator], lists: Lists, context: Any) -> None:
    play(JOB)
    lists.add("dts1", "any name")
    task = sensor(migration_name=None, migration_tags={"wave": 3})
    task.poke(context)
    assert lists.calls == [{"name": None, "tags": {"wave": "3"}}]


def test_labels_have_no_value(play: Callable[..., Simulator], context: Any) -> None:
    play({"service": "oms", "project_id": "np_1", "tags": {"wave-3": ""}})
    task = OmsProjectSensor(task_id="wait", migration_tags={"wave-3": ""})
    assert task.poke(context) is False
    assert context["ti"].xcom["migration_progress"]["migration_id"] == "np_1"


def test_poll_before_deferring_may_be_left_out(play: Callable[..., Simulator], context: Any) -> None:
    simulator = play(JOB)
    task = DtsMigrationJobSensor(
        task_id="wait", migration_job_id="dts1", deferrable=True, poll_before_deferring=False
    )
    with pytest.raises(TaskDeferred):
        task.execute(context)
    assert not simulator.requests
    assert context["ti"].xcom == {}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"migration_job_id": "dts1"}, "migration_job_id and migration_name are both given"),
        ({"migration_job_id": "dts1", "migration_name": "{{ x }}"}, "are both given"),
        ({"migration_name": None}, "migration_job_id is empty: .*or migration_name"),
        ({"migration_name": ""}, "migration_name is empty"),
        ({"migration_name": 7.5}, "migration_name must be a string"),
        ({"migration_tags": {}}, "migration_tags must be a mapping"),
        ({"migration_tags": "wave"}, "migration_tags must be a mapping"),
        ({"migration_tags": {"wave": None}}, r"migration_tags\['wave'\] is empty"),
        ({"poll_before_deferring": "no"}, "poll_before_deferring must be True or False"),
    ],
)
def test_wrong_name_is_an_import_error(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=problem):
        sensor(**arguments)


def test_arguments_of_a_migration_are_those_of_the_hook() -> None:
    for service in SERVICES:
        assert service.sensor.migration_argument == service.hook.migration_argument == service.id_argument
        assert service.sensor.list_arguments == service.hook.list_arguments
