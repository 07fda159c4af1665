"""Hooks that list migrations: every list is complete, lazy and light."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
)
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.simulator import Simulator
from tests.catalogue import SERVICES, Service
from tests.servers import Server, http

Connect = Callable[..., str]
Asked = Callable[[], list[str]]
WAVE: Final = 300

IDS: Final[dict[str, Callable[[int], Any]]] = {
    "dataworks": lambda number: number + 1,
    "dts": "dts{:04}".format,
    "oms": "np_{}".format,
    "drs": "job-{:04}".format,
}
"""The services that have a list, with the ids of a wave."""

ACTIONS: Final = {
    "dataworks": "ListMigrations",
    "dts": "DescribeDtsJobs",
    "oms": "ListProjects",
    "drs": "ListJobs",
}
PAGES: Final = {"dataworks": 4, "dts": 12, "oms": 7, "drs": 5}
"""
Number of requests for a wave: its full pages, one for the empty list of the other kind, and for DTS one after
a full last page.
"""

each_list = pytest.mark.parametrize(
    "service", [service for service in SERVICES if service.name in IDS], ids=str
)


def migration(service: Service, number: int) -> dict[str, Any]:
    options = {service.id_argument: IDS[service.name](number), "name": f"orders-{number}", "duration": 100}
    if service.name != "dataworks":
        options["incremental"] = False  # so that it ends
    return service.migration(**options)


@pytest.fixture(scope="module")
def wave() -> Iterator[Simulator]:
    migrations = [
        migration(service, number) for service in SERVICES if service.name in IDS for number in range(WAVE)
    ]
    with Simulator({"migrations": migrations}, speed=0.001) as running:
        for service in SERVICES:
            if service.name in IDS:
                running.jump(service.name, str(IDS[service.name](7)), 200)
        yield running


@pytest.fixture
def simulator(wave: Simulator, connect: Connect) -> Simulator:
    for conn_id, fields in wave.connections().items():
        connect(conn_id, **fields)
    return wave


@pytest.fixture
def asked(wave: Simulator) -> Asked:
    """Return the actions of the requests of this test."""
    before = len(wave.requests)
    return lambda: [request.action for request in wave.requests[before:]]


def ids_of(service: Service, **filtered: Any) -> list[str]:
    return [row.migration_id for row in service.hook().list_migrations(**of(service), **filtered)]


def of(service: Service) -> dict[str, Any]:
    return {name: service.ids[name] for name in service.hook.list_arguments}


@each_list
def test_list_has_every_migration_once(simulator: Simulator, service: Service) -> None:
    rows = service.hook().list_migrations(**of(service))
    expected = {str(IDS[service.name](number)): f"orders-{number}" for number in range(WAVE)}
    assert {row.migration_id: row.name for row in rows} == expected
    assert len(rows) == WAVE
    assert {row.service for row in rows} == {service.name}
    assert {row.kind for row in rows} == {"import" if service.name == "dataworks" else "migration"}
    assert all(row.created_at and row.state for row in rows)


@each_list
def test_list_costs_its_pages_only(simulator: Simulator, asked: Asked, service: Service) -> None:
    service.hook().list_migrations(**of(service))
    assert asked() == [ACTIONS[service.name]] * PAGES[service.name]


@each_list
def test_list_is_lazy(simulator: Simulator, asked: Asked, service: Service) -> None:
    rows = service.hook().iter_migrations(**of(service))
    assert len(asked()) == 0
    next(rows)
    assert len(asked()) == 1


@each_list
def test_listed_migration_can_be_polled(simulator: Simulator, service: Service) -> None:
    hook = service.hook()
    row = next(hook.iter_migrations(**of(service)))
    record = hook.get_progress(**{**service.ids, service.id_argument: row.migration_id})
    assert (record.migration_id, record.state) == (row.migration_id, row.state)


@each_list
def test_list_is_filtered_by_name_and_state(simulator: Simulator, service: Service) -> None:
    expected = {str(IDS[service.name](number)) for number in range(WAVE) if "orders-29" in f"orders-{number}"}
    assert set(ids_of(service, name="ORDERS-29")) == expected
    ended = [str(IDS[service.name](7))]
    assert ids_of(service, status="succeeded") == ended
    (row,) = service.hook().list_migrations(status="succeeded", **of(service))
    assert ids_of(service, status=row.service_status) == ended
    assert len(ids_of(service, status=["succeeded", "pending"])) == WAVE
    assert ids_of(service, name="orders-8", status="succeeded") == []


@each_list
def test_list_is_limited_with_a_warning(
    simulator: Simulator, asked: Asked, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(ids_of(service, limit=5)) == 5
    assert "There are more than 5 migrations: raise limit, or select fewer." in caplog.text
    assert len(asked()) == 1
    caplog.clear()
    assert len(ids_of(service, limit=WAVE)) == WAVE
    assert "There are more" not in caplog.text


@each_list
def test_migration_is_found_by_its_exact_name(simulator: Simulator, service: Service) -> None:
    found = service.hook().find_migration("orders-1", **of(service))
    assert found == str(IDS[service.name](1))


@each_list
@pytest.mark.parametrize("name", ["orders", "ORDERS-1", "orders-300"])
def test_migration_that_is_not_found_is_an_error(simulator: Simulator, service: Service, name: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=f"No migration has the name '{name}'"):
        service.hook().find_migration(name, **of(service))


@each_list
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": ""}, "name must be a text"),
        ({"status": "succeded"}, "did you mean 'succeeded'"),
        ({"limit": 0}, "limit must be a whole number"),
        ({"limit": True}, "limit must be a whole number"),
        ({"region": "x"}, "takes name, status, tags, group.*, but not region"),
    ],
)
def test_wrong_argument_of_a_list_is_refused_before_a_request(
    simulator: Simulator, asked: Asked, service: Service, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(MigrationConfigurationError, match=said):
        service.hook().list_migrations(**{**of(service), **arguments})
    assert len(asked()) == 0


@pytest.mark.parametrize("name", ["dataworks", "oms"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"status": "caught_up"}, "'caught_up' is not known"), ({"group": "g"}, "group must be None")],
)
def test_filter_that_a_list_does_not_have_is_refused_before_a_request(
    simulator: Simulator, asked: Asked, name: str, arguments: dict[str, Any], said: str
) -> None:
    """An empty list would look like an answer."""
    service = next(each for each in SERVICES if each.name == name)
    with pytest.raises(MigrationConfigurationError, match=said):
        service.hook().list_migrations(**{**of(service), **arguments})
    assert asked() == []


@each_list
def test_search_needs_a_name_or_tags(simulator: Simulator, asked: Asked, service: Service) -> None:
    with pytest.raises(MigrationConfigurationError, match="by its name or by tags"):
        service.hook().find_migration(**of(service))
    assert len(asked()) == 0


@each_list
def test_several_migrations_of_one_name_are_named(connect: Connect, service: Service) -> None:
    migrations = [{**migration(service, number), "name": "orders"} for number in range(2)]
    with Simulator({"migrations": migrations}) as simulator:
        for conn_id, fields in simulator.connections().items():
            connect(conn_id, **fields)
        with pytest.raises(MigrationConfigurationError) as caught:
            service.hook().find_migration("orders", **of(service))
    said = str(caught.value)
    assert said.startswith("2 migrations have the name 'orders'")
    assert all(f"{IDS[service.name](number)} (pending)" in said for number in range(2))


@each_list
def test_list_of_the_simulator_starts_no_script(connect: Connect, service: Service) -> None:
    with Simulator({"migrations": [migration(service, 1)]}, speed=1e6) as simulator:
        for conn_id, fields in simulator.connections().items():
            connect(conn_id, **fields)
        assert ids_of(service)
        assert [row.state for row in service.hook().list_migrations(**of(service))] == ["pending"]


@each_list
@pytest.mark.parametrize("kind", ["throttle", "server_error", "truncated", "drop", "html"])
def test_list_is_complete_after_a_failed_page(connect: Connect, service: Service, kind: str) -> None:
    migrations = [migration(service, number) for number in range(WAVE)]
    faults = [{"kind": kind, "rate": 0.3}]
    with Simulator({"seed": 3, "migrations": migrations, "faults": faults}) as simulator:
        for conn_id, fields in simulator.connections().items():
            connect(conn_id, **fields)
        hook = service.hook()
        hook.clock = replace(hook.clock, sleep=lambda seconds: None)
        rows = hook.list_migrations(**of(service))
        assert len({row.migration_id for row in rows}) == len(rows) == WAVE
        assert len(simulator.requests) > PAGES[service.name]


@each_list
def test_list_whose_page_is_refused_is_an_error(connect: Connect, service: Service) -> None:
    faults = [{"kind": "html", "status": 403}]
    with Simulator({"migrations": [migration(service, 1)], "faults": faults}) as simulator:
        for conn_id, fields in simulator.connections().items():
            connect(conn_id, **fields)
        with pytest.raises(MigrationPermissionError):
            service.hook().list_migrations(**of(service))


# --- OMS ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled() -> Iterator[Simulator]:
    projects = [
        {
            "service": "oms",
            "project_id": f"np_{number}",
            "name": f"orders-{number}",
            "type": "SYNC" if number % 2 else "MIGRATION",
            "tags": {"wave-3": ""} if number < 120 else {"last": ""} if number == 299 else {},
        }
        for number in range(WAVE)
    ]
    older = [
        {"service": "oms", "project_id": "p_migration", "name": "a", "duration": 100},
        {"service": "oms", "project_id": "p_sync", "name": "b", "type": "SYNC", "duration": 100},
    ]
    with Simulator({"migrations": projects + older}, speed=0.001) as running:
        for project in older:
            running.jump("oms", project["project_id"], 200)
        yield running


@pytest.fixture(params=["console", "hosted"])
def oms(request: pytest.FixtureRequest, labelled: Simulator, connect: Connect) -> OmsHook:
    """Return a hook of the console, and of the service that Alibaba Cloud hosts."""
    fields = labelled.connections()["oms_default"]
    if request.param == "hosted":
        key = labelled.connections()["dts_default"]
        region = {"auth_type": "access_key", "region": "cn-hangzhou"}
        fields = {**key, "conn_type": "oceanbase_oms", "extra": region}
    return OmsHook(connect("oms_default", **fields))


def test_oms_lists_projects_of_both_types(oms: OmsHook) -> None:
    rows = oms.list_migrations(name="orders")
    kinds = {row.migration_id: row.kind for row in rows}
    assert kinds == {f"np_{number}": "sync" if number % 2 else "migration" for number in range(WAVE)}


def test_oms_lists_projects_by_label(oms: OmsHook) -> None:
    rows = oms.list_migrations(tags={"wave-3": ""})
    assert {row.migration_id for row in rows} == {f"np_{number}" for number in range(120)}
    assert oms.list_migrations(tags={"wave-3": "", "last": ""}) == []
    assert oms.find_migration(tags={"last": ""}) == "np_299"
    with pytest.raises(MigrationConfigurationError, match=r"120 migrations have the tag wave-3 \(.*100 more"):
        oms.find_migration(tags={"wave-3": ""})
    assert oms.find_migration("orders-7", tags={"wave-3": ""}) == "np_7"


def test_oms_list_has_the_lag_of_an_increment(oms: OmsHook) -> None:
    (row,) = oms.list_migrations("a", "running")
    assert row.lag_seconds is not None
    assert 0 <= row.lag_seconds <= 60


@pytest.mark.parametrize(("project", "calls"), [("p_migration", 1), ("p_sync", 2)])
def test_older_console_finds_projects_of_both_types(
    labelled: Simulator, connect: Connect, get_progress: Callable[..., Any], project: str, calls: int
) -> None:
    hook = OmsHook(connect("oms_default", **labelled.connections()["oms_default"]))
    for number in (calls, 1):
        before = len(labelled.requests)
        record = get_progress(hook, project_id=project)
        assert (record.state, record.applied_until is not None) == ("caught_up", True)
        assert len(labelled.requests) - before == number


def test_console_without_a_list_is_an_error(connect: Connect) -> None:
    with Server([http(404, b"<html>Not Found</html>", {"content-type": "text/html"})]) as server:
        hook = OmsHook(connect("oms_default", host=server.url, login="u", password="p"))
        with pytest.raises(MigrationNotFoundError, match="give the ids of the projects"):
            hook.list_migrations()
        assert len(server.asked) == 1


# --- DataWorks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "packages of one workspace: give its number as project_id"),
        ({"project_id": "x"}, "project_id must be a number"),
        ({"project_id": ""}, "project_id is empty"),
        ({"project_id": 1, "tags": {"wave": "3"}}, "tags must be None: DataWorks has no tags"),
        ({"project_id": 1, "migration_id": 2}, "but not migration_id"),
    ],
)
def test_dataworks_list_needs_a_workspace(
    simulator: Simulator, asked: Asked, arguments: dict[str, Any], said: str
) -> None:
    for call in (DataWorksHook().list_migrations, DataWorksHook().find_migration):
        with pytest.raises(MigrationConfigurationError, match=said):
            call("orders-1", **arguments)
    assert asked() == []


def test_dataworks_list_is_that_of_the_workspace(simulator: Simulator) -> None:
    assert DataWorksHook().list_migrations(project_id=7) == []
