"""Arguments of the sensors: constants are checked at parse, the rest before the first request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, TaskDeferred, task_group

from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.sensors import drs as drs_sensor
from airflow_provider_migration.sensors.base import MigrationSensor
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.services import drs as drs_service
from airflow_provider_migration.services.wire import require_id
from airflow_provider_migration.simulator import Simulator
from tests.catalogue import SERVICES, Service, each_service
from tests.subclasses import NotedDts, PatientDts

Context = dict[str, Any]
Play = Callable[..., Simulator]

TEXTS = [
    (service.sensor, service.ids, argument)
    for service in SERVICES
    for argument in (*service.ids, service.sensor.conn_argument)
]
"""Each argument that is one text."""

WRONG: list[tuple[object, str]] = [
    (["dts1"], r"must be a string, not \['dts1'\]"),
    (("dts1",), "must be a string"),
    ({"dts1"}, "must be a string"),
    ({"id": "dts1"}, "must be a string"),
    (b"dts1", "must be a string"),
    (True, "must be a string, not True"),
    (1.0, "must be a string, not 1.0"),
    (timedelta(1), "must be a string"),
    ("['dts1']", "render_template_as_native_obj=True"),
    ("('dts1',)", "render_template_as_native_obj=True"),
    ("{'id': 'dts1'}", "render_template_as_native_obj=True"),
    ("", "is empty"),
    (" \n", "is empty"),
    (None, "rendered to None: did the upstream task push it"),
    ("None", "rendered to None: did the upstream task push it"),
    (" None\n", "rendered to None: did the upstream task push it"),
]


def dts(**arguments: Any) -> DtsMigrationJobSensor:
    return DtsMigrationJobSensor(**{"task_id": "wait", "migration_job_id": "dts1", **arguments})


def dag(**arguments: Any) -> DAG:
    return DAG("dag", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None, **arguments)


class TestTexts:
    @pytest.mark.parametrize(("sensor", "ids", "argument"), TEXTS)
    @pytest.mark.parametrize(("value", "said"), WRONG)
    def test_wrong_constant_is_an_import_error(
        self, sensor: type[MigrationSensor], ids: dict[str, Any], argument: str, value: object, said: str
    ) -> None:
        with pytest.raises(
            MigrationConfigurationError, match=f"{sensor.__name__} 'wait': {argument} .*{said}"
        ):
            sensor(task_id="wait", **{**ids, argument: value})

    @pytest.mark.parametrize(("sensor", "ids", "argument"), TEXTS)
    @pytest.mark.parametrize(("value", "said"), WRONG)
    def test_wrong_rendered_value_is_refused_before_a_request(
        self,
        play: Play,
        context: Context,
        sensor: type[MigrationSensor],
        ids: dict[str, Any],
        argument: str,
        value: object,
        said: str,
    ) -> None:
        simulator = play()
        wait = sensor(task_id="wait", **{**ids, argument: "{{ from_upstream }}"})
        setattr(wait, argument, value)  # as rendering does
        with pytest.raises(
            MigrationConfigurationError, match=f"{sensor.__name__} 'wait': {argument} .*{said}"
        ):
            wait.poke(context)
        assert simulator.requests == []

    @each_service
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_line_breaks_around_ids_are_stripped_everywhere(
        self,
        play: Play,
        context: Context,
        service: Service,
        deferrable: bool,
    ) -> None:
        play(service.migration(duration=100))
        spaced = {name: f"\n {value}\r\n" for name, value in service.ids.items()}
        wait = service.sensor(
            task_id="wait",
            deferrable=deferrable,
            target_status=" succeeded\n",
            **spaced,
            **{service.sensor.conn_argument: f" {service}_default\n"},
        )
        assert wait._ids().items() >= {name: str(value) for name, value in service.ids.items()}.items()
        if deferrable:
            with pytest.raises(TaskDeferred) as deferred:
                wait.poke(context)
            assert deferred.value.trigger.ids == wait._ids()
            assert deferred.value.trigger.tracker.policy.targets == ("succeeded",)
        else:
            assert wait.poke(context) is False
        record = context["ti"].xcom["migration_progress"]
        assert record["migration_id"] == service.migration_id

    @pytest.mark.parametrize(
        "value",
        [
            "{{ ti.xcom_pull('make') }}",
            "{% if x %}dts1{% endif %}",
            "dts{{ x }}",
        ],
    )
    @pytest.mark.parametrize(("sensor", "ids", "argument"), TEXTS)
    def test_template_is_left_to_rendering(
        self, sensor: type[MigrationSensor], ids: dict[str, Any], argument: str, value: str
    ) -> None:
        assert getattr(sensor(task_id="wait", **{**ids, argument: value}), argument) == value

    def test_output_of_a_task_is_left_to_rendering(self) -> None:
        with dag():
            made = BaseOperator(task_id="make")
            drs = DrsProgressSensor(
                task_id="drs", job_id=made.output, object_types=made.output, target_status=made.output["x"]
            )
            wait = dts(migration_job_id=made.output, dts_conn_id=made.output)
        assert wait.upstream_task_ids == drs.upstream_task_ids == {"make"}

    def test_mapped_arguments_are_checked_per_instance(self) -> None:
        with dag():
            made = BaseOperator(task_id="make")
            mapped = DtsMigrationJobSensor.partial(
                task_id="wait", dts_conn_id="{{ x }}", hold_for=60, timeout=100
            ).expand(migration_job_id=made.output)
            DtsMigrationJobSensor.partial(task_id="too", migration_job_id="dts1").expand(hold_for=[1, 2])
        assert mapped.unmap({"migration_job_id": "dts1\n"})._ids() == {"migration_job_id": "dts1"}
        with pytest.raises(MigrationConfigurationError, match=r"'wait': migration_job_id is empty.*upstream"):
            mapped.unmap({"migration_job_id": None})
        for wrong, said in (({"poke_interval": 0}, "poke_interval"), ({"hold_for": 100}, "hold_for")):
            mapped.partial_kwargs.update(wrong)
            with pytest.raises(MigrationConfigurationError, match=f"'wait': {said} must be"):
                mapped.unmap({"migration_job_id": "dts1"})
            mapped.partial_kwargs.update(poke_interval=60, hold_for=60)

    def test_argument_of_a_mapped_task_group_is_left_to_rendering(self) -> None:
        with dag():

            @task_group
            def one(job: Any) -> None:
                dts(migration_job_id=job)

            one.expand(job=["dts1", "dts2"])


class TestWords:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ([["table"]], "must be a word or a list of words"),
            ([b"table"], "must be a word or a list of words"),
            ([None], "is empty: it is None"),
            ([""], "is empty"),
            (5, "must be a word or a list of words, not 5"),
            (True, "must be a word or a list of words"),
            ({"table": 1}, "must be a word or a list of words"),
            (None, "is empty: it is None"),
            ("None", "rendered to None"),
            ("['table', 'view']", "render_template_as_native_obj=True"),
        ],
    )
    @pytest.mark.parametrize("argument", ["object_types", "target_status"])
    @pytest.mark.parametrize("is_rendered", [False, True])
    def test_wrong_words_are_refused_before_a_request(
        self,
        play: Play,
        context: Context,
        argument: str,
        value: object,
        said: str,
        is_rendered: bool,
    ) -> None:
        simulator = play()
        with pytest.raises(MigrationConfigurationError, match=f"'wait': {argument} .*{said}"):
            self.ask(context, argument, value, is_rendered)
        assert simulator.requests == []

    @staticmethod
    def ask(context: Context, argument: str, value: object, is_rendered: bool) -> None:
        if not is_rendered:
            DrsProgressSensor(task_id="wait", job_id="j", **{argument: value})
            return
        wait = DrsProgressSensor(task_id="wait", job_id="j", **{argument: "{{ x }}"})
        setattr(wait, argument, value)
        wait.poke(context)

    def test_missing_target_is_an_import_error(self) -> None:
        with pytest.raises(MigrationConfigurationError, match="'wait': target_status is empty"):
            dts(target_status=[])

    @pytest.mark.parametrize("given", ["view", ["view"], ("view", " view\n"), {"view"}, frozenset(["view"])])
    def test_object_types_become_one_list(self, given: Any) -> None:
        assert DrsProgressSensor(task_id="wait", job_id="j", object_types=given)._ids()["object_types"] == [
            "view"
        ]

    def test_object_types_may_be_empty(self) -> None:
        assert DrsProgressSensor(task_id="wait", job_id="j", object_types=())._ids()["object_types"] == []

    def test_unknown_object_type_is_an_import_error(self) -> None:
        with pytest.raises(
            MigrationConfigurationError, match="'wait': object_types 'tables' is not known to DRS"
        ):
            DrsProgressSensor(task_id="wait", job_id="j", object_types=["table", "tables"])

    def test_object_types_are_those_of_the_service(self) -> None:
        assert drs_sensor.OBJECT_TYPES == drs_service.OBJECT_TYPES

    @pytest.mark.parametrize("value", ["false", "True", 0, 1, None, [], "{{ x }}"])
    def test_job_status_must_be_a_bool(self, value: object) -> None:
        with pytest.raises(MigrationConfigurationError, match="'wait': job_status must be True or False"):
            DrsProgressSensor(task_id="wait", job_id="j", job_status=value)  # type: ignore[arg-type] # wrong on purpose


class TestNumbers:
    @pytest.mark.parametrize("argument", ["project_id", "migration_id"])
    @pytest.mark.parametrize("value", ["my_workspace", "12a", "-1", -1, "1.0", "1 2", "٣", "²"])
    def test_dataworks_id_that_is_not_a_number_is_an_import_error(self, argument: str, value: Any) -> None:
        said = f"'wait': {argument} must be a number as DataWorks shows it"
        with pytest.raises(MigrationConfigurationError, match=said):
            DataWorksMigrationSensor(task_id="wait", **{"project_id": 1, "migration_id": 2, argument: value})

    @each_service
    def test_id_accepted_by_the_sensor_suits_the_service(self, service: Service) -> None:
        taken = service.sensor(task_id="wait", **service.ids)._ids()
        for name, value in service.ids.items():
            assert require_id(name, taken[name]) == str(value)


DURATIONS = ["max_lag", "hold_for", "stall_timeout", "failure_grace"]


class TestDurations:
    @pytest.mark.parametrize("argument", DURATIONS)
    @pytest.mark.parametrize(
        "wrong", [-1, timedelta(seconds=-1), float("nan"), float("inf"), True, "60", [60]]
    )
    def test_wrong_duration_is_an_import_error(self, argument: str, wrong: object) -> None:
        with pytest.raises(
            MigrationConfigurationError, match=f"'wait': {argument} must be a number of seconds"
        ):
            dts(**{argument: wrong})

    @pytest.mark.parametrize("argument", DURATIONS)
    def test_timedelta_is_kept_as_seconds(self, argument: str, play: Play, context: Context) -> None:
        play({"service": "dts", "migration_job_id": "dts1"})
        wait = dts(deferrable=True, **{argument: timedelta(minutes=2)})
        assert getattr(wait, argument) == 120
        with pytest.raises(TaskDeferred) as deferred:
            wait.poke(context)
        assert getattr(deferred.value.trigger.tracker.policy, argument) == 120

    @pytest.mark.parametrize(
        "argument", [*DURATIONS, "on_paused", "on_unknown", "max_poll_errors", "deferrable", "api"]
    )
    @pytest.mark.parametrize("as_output", [False, True])
    def test_template_in_an_untemplated_argument_is_named(self, argument: str, as_output: bool) -> None:
        with dag():
            value = BaseOperator(task_id="make").output if as_output else "{{ params.x }}"
            with pytest.raises(MigrationConfigurationError, match=f"{argument} must be .*is not templated"):
                dts(**{argument: value})

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"hold_for": 600, "timeout": 600}, r"hold_for must be less than timeout \(600 s\)"),
            ({"hold_for": 601, "timeout": timedelta(minutes=10)}, "hold_for must be less than timeout"),
            ({"hold_for": timedelta(days=7)}, r"hold_for must be less than timeout \(604800 s\)"),
            ({"failure_grace": 60, "timeout": 60}, "failure_grace must be less than timeout"),
            ({"failure_grace": timedelta(days=8)}, "failure_grace must be less than timeout"),
            ({"stall_timeout": 60}, "stall_timeout must be more than the 60 s between two polls"),
            (
                {"stall_timeout": timedelta(seconds=9), "poke_interval": timedelta(seconds=10)},
                "stall_timeout must",
            ),
            (
                {"stall_timeout": 30, "exponential_backoff": True, "max_wait": 30},
                "stall_timeout must be more than the 30 s",
            ),
            ({"stall_timeout": 60, "max_wait": 30}, "stall_timeout must be more than the 60 s"),
            ({"poke_interval": 0}, "poke_interval must be 1 second or more, not 0"),
            ({"poke_interval": 0.99, "deferrable": True}, "poke_interval must be 1 second or more"),
            ({"poke_interval": timedelta(milliseconds=999), "mode": "reschedule"}, "poke_interval must be"),
            ({"exponential_backoff": True, "max_wait": 0}, "max_wait must be 1 second or more"),
        ],
    )
    def test_impossible_durations_are_an_import_error(self, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(MigrationConfigurationError, match=f"'wait': {said}"):
            dts(**arguments)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"hold_for": 599, "timeout": 600},
            {"timeout": 0},
            {"failure_grace": 0, "timeout": 0},
            {"stall_timeout": 61},
            {"stall_timeout": 31, "exponential_backoff": True, "max_wait": 30},
            {"stall_timeout": 61, "exponential_backoff": True},
            {"poke_interval": 1},
            {"max_wait": 0},
        ],
    )
    def test_possible_durations_are_accepted(self, arguments: dict[str, Any]) -> None:
        assert dts(**arguments).task_id == "wait"

    def test_default_args_of_the_dag_are_checked_too(self) -> None:
        with (
            dag(default_args={"poke_interval": 0.5}),
            pytest.raises(MigrationConfigurationError, match="'wait': poke_interval must be"),
        ):
            dts()

    def test_interval_set_later_is_refused_before_a_request(self, play: Play, context: Context) -> None:
        simulator = play()
        wait = dts()
        wait.poke_interval = 0
        with pytest.raises(MigrationConfigurationError, match="poke_interval must be 1 second or more"):
            wait.poke(context)
        assert simulator.requests == []


class TestSubclasses:
    def test_own_field_may_be_templated(self) -> None:
        wait = NotedDts(task_id="wait", migration_job_id="dts1", note="{{ ds }}")
        assert wait.template_fields[-1] == "note"

    def test_templated_duration_is_checked_once_rendered(self, play: Play, context: Context) -> None:
        simulator = play()
        wait = PatientDts(task_id="wait", migration_job_id="dts1", hold_for="{{ params.seconds }}")
        wait.hold_for = "60"  # type: ignore[assignment] # as rendering to text does
        with pytest.raises(MigrationConfigurationError, match="'wait': hold_for must be a number of seconds"):
            wait.poke(context)
        assert simulator.requests == []

    def test_templated_duration_may_render_to_a_timedelta(self, play: Play, context: Context) -> None:
        play({"service": "dts", "migration_job_id": "dts1", "duration": 100}).jump("dts", "dts1", 150)
        wait = PatientDts(task_id="wait", migration_job_id="dts1", hold_for="{{ params.span }}")
        wait.hold_for = timedelta(minutes=5)
        assert wait.poke(context) is False
        assert context["ti"].xcom["migration_wait"]["hold_for"] == 300
