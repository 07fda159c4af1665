"""
Scenarios of the simulator: migrations, their scripts, faults on the wire.

See :class:`Scenario` for the keys of a scenario file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from airflow_provider_migration.simulator.identity import HUAWEI_PROJECT
from airflow_provider_migration.simulator.scripts import SCRIPTS, CheckOutcome


class ScenarioError(ValueError):
    """A missing or invalid scenario; the message names the key and the allowed values."""


_YAML_NAMES: dict[type, str] = {dict: "mapping", list: "list"}


class _Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class ApiError(_Strict):
    """
    An error response of a step, with the vendor's own body.

    :param http_status: HTTP status; default: 400, for OMS 200.
    :param xml: Alibaba Cloud only: respond in XML although JSON was requested.
    :param actions: Alibaba Cloud only: the affected calls; default: all.
    """

    code: str
    message: str = ""
    http_status: int | None = Field(None, ge=200, le=599)
    xml: bool = False
    actions: tuple[str, ...] = ()


class Step(BaseModel):
    """
    Fields of the service that are merged over its response from ``at`` seconds on.

    Fields of DTS go into the body, those of OMS into ``data``. DataWorks takes ``summary`` (fields of its
    ``Data``) and ``process`` (the list of steps), DRS takes ``job`` (fields of the batch-progress item),
    ``detail`` (fields of the v5 job detail, over those of ``job``) and ``objects`` (by object type the rows,
    or instead an error as below, or a ``page`` of HTML as sent by a proxy with ``http_status``). A text such
    as ``now-12`` becomes the Unix time of 12 seconds ago.

    :param at: seconds since the first poll, multiplied by the speed.
    :param replace: discard the default response and earlier steps, so that fields can be absent.
    :param error: respond with an error of the service. In DRS's batch-progress an error with ``http_status``
        sets the status of the whole response, otherwise only the job's result contains the error.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", frozen=True)

    at: float = Field(ge=0)
    replace: bool = False
    error: ApiError | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The service's own fields."""
        return dict(self.__pydantic_extra__ or {})


class Verification(_Strict):
    """
    The service's own data check, which begins when the full copy is done.

    :param outcome: ``pending`` never begins, ``running`` stays at 50 %; ``consistent``, ``different`` and
        ``failed`` (the check itself) are its results; ``repaired`` finds differences, and none in a second
        run; ``restarted`` finds none in either run.
    :param tables: number of checked tables.
    :param different: number of tables with differences, the first ones; default: all.
    """

    outcome: CheckOutcome
    tables: int = Field(12, ge=1, le=10_000)
    different: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _differences_can_be_played(self) -> Verification:
        if self.different is not None:
            if self.outcome not in ("different", "repaired"):
                raise ValueError("different needs the outcome different or repaired")
            if self.different > self.tables:
                raise ValueError(f"different must be at most tables, {self.tables}")
        return self


class _Migration(_Strict, ABC):
    """
    A migration.

    :param tags: its tags in lists.
    """

    name: str = "simulated migration"
    tags: dict[str, str] = Field(default_factory=dict)
    script: str | None = None
    duration: float = Field(35.0, gt=0)
    steps: tuple[Step, ...] = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """The id used by the sensors and records."""

    @property
    def has_incremental(self) -> bool:
        """True if an incremental phase follows the full one."""
        return bool(getattr(self, "incremental", False))

    @model_validator(mode="before")
    @classmethod
    def _known_script(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and (script := values.get("script")) is not None:
            service = str(values.get("service"))
            if script not in SCRIPTS[service]:
                allowed = ", ".join(sorted(SCRIPTS[service]))
                raise ValueError(f"script {script!r} is not available for {service}; allowed: {allowed}")
            if script == "flap" and values.get("incremental") is False:
                raise ValueError("script 'flap' is about lag and needs incremental: true")
        return values

    @model_validator(mode="after")
    def _steps_in_order(self) -> _Migration:
        times = [step.at for step in self.steps]
        if times != sorted(times):
            raise ValueError("steps must be in the order of 'at'")
        if self.step_parts:
            allowed = ", ".join(["at", "replace", "error", *self.step_parts])
            for number, step in enumerate(self.steps):
                for name, value in step.fields.items():
                    if name not in self.step_parts:
                        raise ValueError(f"steps[{number}].{name} is not a part; allowed: {allowed}")
                    if not isinstance(value, self.step_parts[name]):
                        raise ValueError(
                            f"steps[{number}].{name} must be a {_YAML_NAMES[self.step_parts[name]]}"
                        )
        return self

    @property
    def step_parts(self) -> dict[str, type]:
        """The allowed parts of a step; none if a step holds the service's fields directly."""
        return {}


class DataWorksMigration(_Migration):
    """An import package of DataWorks."""

    service: Literal["dataworks"]
    project_id: int = 123456
    migration_id: int

    @property
    def id(self) -> str:
        """The migration id as text."""
        return str(self.migration_id)

    @property
    def step_parts(self) -> dict[str, type]:
        """Parts for GetMigrationSummary and GetMigrationProcess."""
        return {"summary": dict, "process": list}


class _VerifiedMigration(_Migration, ABC):
    """A migration of a service with its own data check; without ``verification`` none is configured."""

    verification: Verification | None = None


class DtsMigration(_VerifiedMigration):
    """
    A job of DTS; with ``legacy: false``, as any synchronization, only DescribeDtsJobs knows it.

    :param job_type: ``SYNC`` for a synchronization, which always has an incremental phase.
    :param two_way: a synchronization in both directions. The fields of its reverse direction are below
        ``reverse`` in a step, named as the fields of a step itself.
    :param objects: number of its tables, up to 100,000.
    """

    service: Literal["dts"]
    migration_job_id: str
    job_type: Literal["MIGRATION", "SYNC"] = "MIGRATION"
    two_way: bool = False
    incremental: bool = True
    legacy: bool = True
    objects: int = Field(24, ge=0, le=100_000)

    @property
    def id(self) -> str:
        """The migration job id."""
        return self.migration_job_id

    @model_validator(mode="after")
    def _directions_can_be_played(self) -> DtsMigration:
        if self.two_way and self.job_type != "SYNC":
            raise ValueError("two_way needs job_type: SYNC")
        if self.job_type == "SYNC" and not self.incremental:
            raise ValueError("job_type SYNC needs incremental: true")
        return self


class OmsMigration(_VerifiedMigration):
    """
    A project of OMS; its ``tags`` are labels, without their values.

    :param type: ``SYNC`` for a synchronization project, which has a call of its own up to OMS 4.1.0.
    :param legacy: false if the console lacks the call of releases up to 4.1.0: then the web server in front
        responds to that call with a 404.
    :param steps_error: the response to DescribeProjectSteps instead of the steps; with an empty ``code``, an
        HTML page as sent by a proxy in front of the console.
    """

    service: Literal["oms"]
    project_id: str
    type: Literal["MIGRATION", "SYNC"] = "MIGRATION"
    incremental: bool = True
    legacy: bool = True
    steps_error: ApiError | None = None

    @property
    def id(self) -> str:
        """The project id."""
        return self.project_id


class DrsMigration(_VerifiedMigration):
    """
    A job of DRS.

    :param objects: number of its tables, up to 100,000.
    :param job_type: ``migration``, ``sync`` or ``cloudDataGuard`` (disaster recovery).
    :param generation: the API that knows the job: ``v3`` (batch-progress and its list), ``v5`` (job detail
        and its list) or ``both``. An API that knows no job of the scenario does not exist in the region.
    :param children: ids of its child jobs, which are migrations of the same scenario.
    :param direction: ``up`` or ``down``; a step's ``detail`` with another ``job_kernel_direction`` is a
        switchover.
    :param enterprise_project_id: its enterprise project.
    """

    service: Literal["drs"]
    job_id: str
    project_id: str = HUAWEI_PROJECT
    incremental: bool = True
    objects: int = Field(40, ge=0, le=100_000)
    job_type: Literal["migration", "sync", "cloudDataGuard"] = "migration"
    generation: Literal["v3", "v5", "both"] = "both"
    children: tuple[str, ...] = ()
    direction: Literal["up", "down"] = "up"
    enterprise_project_id: str = "0"

    @property
    def id(self) -> str:
        """The job id."""
        return self.job_id

    @property
    def step_parts(self) -> dict[str, type]:
        """Parts for batch-progress, v5 job detail and progress-data."""
        return {"job": dict, "detail": dict, "objects": dict}

    @model_validator(mode="after")
    def _lists_can_be_played(self) -> DrsMigration:
        for number, step in enumerate(self.steps):
            for object_type, content in step.fields.get("objects", {}).items():
                is_refusal = isinstance(content, Mapping) and ("page" in content) != ("code" in content)
                if not (isinstance(content, list) or is_refusal):
                    raise ValueError(
                        f"steps[{number}].objects.{object_type} must be a list of rows, or a mapping with a "
                        "code or a page"
                    )
        return self


Migration = Annotated[
    DataWorksMigration | DtsMigration | OmsMigration | DrsMigration, Field(discriminator="service")
]


class Fault(_Strict):
    """
    A fault on the wire, after a request was authenticated.

    :param kind: ``throttle``; ``throttle_with_hint`` (suggests a wait); ``server_error``; ``html`` (a page
        instead of JSON); ``truncated`` (the connection ends in the middle of the body); ``slow``; ``drop``
        (the connection ends without a response).
    :param rate: the share of affected requests, drawn from the seed and the request's number among the
        authenticated requests of its service.
    :param first: affect only the first so many authenticated requests of each service.
    :param service: affect only this service (``iam`` is Huawei Cloud's token service); default: all.
    :param hint: suggested wait of ``throttle_with_hint`` in seconds.
    :param delay: duration of ``slow`` in seconds of real time.
    :param status: HTTP status of ``throttle``, ``throttle_with_hint``, ``server_error`` and ``html``;
        default: the vendor's usual status.
    """

    kind: Literal["throttle", "throttle_with_hint", "server_error", "html", "truncated", "slow", "drop"]
    rate: float = Field(1.0, ge=0, le=1)
    first: int | None = Field(None, ge=1)
    service: str | None = None
    hint: float = Field(1.0, gt=0)
    delay: float = Field(5.0, gt=0)
    status: int | None = Field(None, ge=200, le=599)

    @field_validator("service")
    @classmethod
    def _known_service(cls, service: str | None) -> str | None:
        known = (*SCRIPTS, "iam")
        if service is not None and service not in known:
            raise ValueError(f"service {service!r} is not known; allowed: {', '.join(known)}")
        return service


class Scenario(_Strict):
    """
    The top level of a scenario file.

    A migration has its service's ids, named as the sensors name them, and a ``script`` (default ``success``;
    see :data:`~airflow_provider_migration.simulator.scripts.SCRIPTS`) with a ``duration`` in seconds, or
    explicit ``steps``, or steps over a script::

        seed: 7
        migrations:
          - {service: dts, migration_job_id: dts0001, script: pause, duration: 60}
          - {service: drs, job_id: job-1, objects: 5000, verification: {outcome: different, tables: 20}}
          - service: oms
            project_id: p_0001
            steps:
              - {at: 0, status: RUNNING, currentStep: FULL_MIGRATION, fullMigrationProgress: 40}
              - {at: 20, status: FAILED}
        faults:
          - {kind: throttle, rate: 0.1, service: dts}
          - {kind: drop, first: 1}

    :param seed: random seed; the same seed and the same requests produce the same responses.
    :param clock_offset: seconds by which the services' clocks are ahead of this machine's: in the ``Date`` of
        responses, in the times in them, and in the check of a request's time.
    """

    seed: int = 0
    migrations: tuple[Migration, ...] = ()
    faults: tuple[Fault, ...] = ()
    clock_offset: float = Field(0.0, allow_inf_nan=False)

    @field_validator("migrations")
    @classmethod
    def _ids_differ(cls, migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
        seen = set()
        for migration in migrations:
            if (key := (migration.service, migration.id)) in seen:
                raise ValueError(
                    f"{migration.service} {migration.id} is there twice; each migration needs its own id"
                )
            seen.add(key)
        return migrations

    @model_validator(mode="after")
    def _children_are_known(self) -> Scenario:
        jobs = {item.id for item in self.migrations if isinstance(item, DrsMigration)}
        for item in self.migrations:
            if isinstance(item, DrsMigration):
                for child in item.children:
                    if child not in jobs or child == item.id:
                        raise ValueError(f"drs {item.id}: the child {child!r} is not another job of drs")
        return self

    @classmethod
    def load(cls, source: Scenario | Mapping[str, Any] | str | Path | None) -> Scenario:
        """
        Load a scenario from an instance, a mapping or a file; None loads the built-in one.

        :raises ScenarioError: if the file cannot be read or a key is invalid.
        """
        if isinstance(source, Scenario):
            return source
        if source is None:
            return cls.model_validate(BUILT_IN)
        if isinstance(source, Mapping):
            return cls._validate(source, "scenario")
        import yaml

        try:
            content = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
        except OSError as error:
            raise ScenarioError(f"cannot read the scenario {source}: {error.strerror or error}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise ScenarioError(f"the scenario {source} is not valid YAML: {reason}") from None
        if not isinstance(content, Mapping):
            raise ScenarioError(
                f"the scenario {source} must be a mapping with the keys: {', '.join(cls.model_fields)}"
            )
        return cls._validate(content, str(source))

    @classmethod
    def _validate(cls, content: Mapping[str, Any], name: str) -> Scenario:
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ScenarioError(
                f"{name}: " + "; ".join(_explain(detail) for detail in error.errors(include_url=False))
            ) from None


_MODELS: dict[str | int, type[BaseModel]] = {
    **{
        get_args(model.model_fields["service"].annotation)[0]: model
        for model in get_args(get_args(Migration)[0])
    },
    "faults": Fault,
    "error": ApiError,
    "steps_error": ApiError,
    "verification": Verification,
}


def _explain(detail: Mapping[str, Any]) -> str:
    model: type[BaseModel] = Scenario
    place = ""
    for part in detail["loc"]:
        model = _MODELS.get(part, model)
        if isinstance(part, int):
            place += f"[{part}]"
        elif part not in SCRIPTS:  # the service's name is pydantic's, not a key of the file
            place += f".{part}" if place else part
    message = str(detail["msg"]).removeprefix("Value error, ")
    match detail["type"]:
        case "extra_forbidden":
            message = f"unknown key; allowed: {', '.join(sorted(model.model_fields))}"
        case "union_tag_not_found":
            message = f"the key 'service' is missing; allowed: {', '.join(SCRIPTS)}"
        case "union_tag_invalid":
            message = f"service {detail['ctx']['tag']!r} is not known; allowed: {', '.join(SCRIPTS)}"
        case "missing":
            message = "this key is missing"
    return f"{place}: {message}" if place else message


BUILT_IN: dict[str, Any] = {
    "seed": 0,
    "migrations": [
        {"service": "dataworks", "project_id": 123456, "migration_id": 1234, "name": "workspace_import"},
        {
            "service": "dts",
            "migration_job_id": "dtsdemo0001",
            "name": "MySQL migration",
            "verification": {"outcome": "consistent"},
        },
        {
            "service": "dts",
            "migration_job_id": "dtssync0001",
            "job_type": "SYNC",
            "two_way": True,
            "name": "MySQL synchronization",
            "tags": {"wave": "3"},
        },
        {"service": "oms", "project_id": "p_demo0001"},
        {
            "service": "drs",
            "job_id": "163b98e8-6088-46c3-8b86-c18fea6jb502",
            "verification": {"outcome": "consistent"},
        },
    ],
}
"""The default scenario: each migration succeeds in 30 to 40 seconds."""
