"""Task group that watches a fleet: every migration of a list, one report, one gate."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from inspect import signature
from itertools import islice
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, TaskGroup, chain, conf

from airflow_provider_migration.clock import MAX_SKEW
from airflow_provider_migration.keys import PROGRESS_KEY, WAIT_KEY
from airflow_provider_migration.sensors.base import (
    SEARCH_ARGUMENTS,
    MigrationSensor,
    is_constant,
    read_text,
    refuse,
    shown,
    to_seconds,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_migration.progress import MigrationSummary

MAX_NAMED: Final = 20
"""Maximum number of migrations in each list of a report."""

MAX_REPORT_AGE: Final = timedelta(hours=1)
"""Maximum age of a report on which the gate passes, such as after a pause of the DAG."""

LIST_KEY: Final = "migration_list"
"""XCom key of the time and the names of the list."""

_OWN_ARGUMENTS: Final = ("task_id", "trigger_rule", "do_xcom_push", "map_index_template", *SEARCH_ARGUMENTS)
"""Arguments of the sensor that the group sets itself."""

_MAY_STAND: Final = ("running", "caught_up", "succeeded")
"""States in a list that do not contradict a target that was reached before."""


class MigrationFleetTaskGroup(TaskGroup):
    """
    Watch every migration of a list, and end with one report and one gate.

    The tasks, in this order:

    1. ``list``: list the selected migrations. An empty list is an error, and so is one with more than
       ``limit``.
    2. ``watch``: one mapped task per migration, with the service's sensor, deferred by default. A migration
       that fails or vanishes fails its own task only.
    3. ``report``: return the states, the worst lag, the slowest, and the reason of each failure. It lists the
       migrations once more: one that reached its target hours ago may have failed since.
    4. ``gate``: pass if every migration has reached the target and is still there, or if at most
       ``max_failed`` have not; else fail.

    The group only watches. Its requests are the pages of two lists and the sensors' polls, which the
    triggerer batches where the service can.

    :param sensor: the class of the service's sensor.
    :param group_id: prefix of the task ids.
    :param name: part of the names of the migrations; case-insensitive. (templated)
    :param status: a normalised state or a word of the service, or a list of these, that the migrations have
        when they are listed. (templated)
    :param tags: tags of the migrations, with their values. (templated)
    :param group: the service's own group of resources. (templated)
    :param limit: maximum number of migrations.
    :param max_failed: maximum number of migrations that may miss the target.
    :param sensor_arguments: the connection id and the other arguments of the sensor; for DataWorks with the
        ``project_id`` of the workspace.
    :raises MigrationConfigurationError: for a wrong argument of the group, when the DAG file is parsed; the
        arguments of the sensor are checked when a mapped task starts.
    """

    def __init__(
        self,
        sensor: type[MigrationSensor],
        *,
        group_id: str = "fleet",
        name: str | None = None,
        status: str | Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        group: str | None = None,
        limit: int = 1000,
        max_failed: int = 0,
        **sensor_arguments: Any,
    ) -> None:
        subject = f"{type(self).__name__} {group_id!r}"
        if not (isinstance(sensor, type) and issubclass(sensor, MigrationSensor)):
            refuse(subject, "sensor", f"must be the class of a migration sensor, not {shown(sensor)}.")
        for own in (*_OWN_ARGUMENTS, sensor.migration_argument):
            if own in sensor_arguments:
                refuse(subject, own, "is set by the group: leave it out.")
        for own in sensor.list_arguments:
            if own not in sensor_arguments:
                refuse(subject, own, "is missing: the migrations of one workspace are listed.")
        most = conf.getint("core", "max_map_length", fallback=1024)
        for number, value, least in (("limit", limit, 1), ("max_failed", max_failed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                refuse(subject, number, f"must be a whole number, {least} or more, not {shown(value)}.")
        if limit > most:
            refuse(
                subject,
                "limit",
                f"must be at most {most}, Airflow's [core] max_map_length: raise that, or split the fleet.",
            )
        for text, word in (("name", name), ("group", group)):
            if word is not None and is_constant(word):
                read_text(subject, text, word)
        super().__init__(group_id=group_id, tooltip="Watch every migration of a list.")
        watch_arguments = {"deferrable": True, "poll_before_deferring": False, **sensor_arguments}
        # Airflow fills these in for the sensor alone: the lists would be those of another connection.
        defaults = {**(self.dag.default_args or {}), **self.default_args}
        kinds = [kind for kind in sensor.__mro__ if issubclass(kind, MigrationSensor)]
        taken = dict.fromkeys(argument for kind in kinds for argument in signature(kind.__init__).parameters)
        known = {each: defaults[each] for each in taken if each in defaults} | sensor_arguments
        source = {
            "hook": sensor.hook_class,
            "arguments": {
                each: value
                for each, value in known.items()
                if isinstance(value, str) or not is_constant(value)
            },
            "selection": {
                **{own: sensor_arguments[own] for own in sensor.list_arguments},
                **{"name": name, "tags": tags, "group": group},
            },
        }
        with self:
            listed: Any = _ListOperator(
                task_id="list", source=source, status=status, limit=limit, trigger_rule="all_success"
            )
            watch: Any = sensor.partial(
                task_id="watch",
                trigger_rule="all_success",
                do_xcom_push=True,
                map_index_template=f"{{{{ task.{sensor.migration_argument} }}}}",
                **watch_arguments,
            ).expand(**{sensor.migration_argument: listed.output})
            report = _ReportOperator(
                task_id="report",
                source=source,
                migrations=listed.output,
                list_task_id=listed.task_id,
                reached=watch.output,
                records=watch.output[PROGRESS_KEY],
                waits=watch.output[WAIT_KEY],
                max_lag=to_seconds(known.get("max_lag", 60)),
                is_whole=status is None,
                trigger_rule="all_done",
            )
            gate = _GateOperator(
                task_id="gate", report=report.output, max_failed=max_failed, trigger_rule="all_success"
            )
            chain(listed, watch, report, gate)


class _FleetOperator(BaseOperator):
    """An operator that lists the fleet."""

    ui_color = "#d5ecf2"
    template_fields: Sequence[str] = ("source",)

    def __init__(self, *, source: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(do_xcom_push=True, **kwargs)
        self.source = source

    @property
    def hook_class(self) -> Any:
        """The class of the service's hook."""
        return resolve_name(self.source["hook"])

    def listed(self, status: Any, limit: int) -> list[MigrationSummary]:
        """Return at most ``limit`` migrations of the fleet; all pages are requested only as needed."""
        source, hook_class = self.source, self.hook_class
        taken = signature(hook_class).parameters
        hook = hook_class(**{name: value for name, value in source["arguments"].items() if name in taken})
        try:
            return list(islice(hook.iter_migrations(status=status, **source["selection"]), limit))
        finally:
            hook.close()


class _ListOperator(_FleetOperator):
    """List the migrations of a fleet, and return their ids."""

    template_fields: Sequence[str] = ("source", "status")

    def __init__(self, *, status: Any, limit: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.limit = limit

    def execute(self, context: Context) -> list[str]:
        rows = self.listed(self.status, self.limit + 1)
        if not rows:
            raise AirflowFailException(
                "No migration is selected: check name, status, tags, group, and the connection's region."
            )
        if len(rows) > self.limit:
            raise AirflowFailException(
                f"More than {self.limit} migrations are selected: raise limit, or select fewer."
            )
        names = {row.migration_id: row.name for row in rows}
        self.log.info("%s migrations are selected.", len(rows))
        context["ti"].xcom_push(
            key=LIST_KEY, value={"listed_at": datetime.now(UTC).isoformat(), "names": names}
        )
        return list(names)


class _ReportOperator(_FleetOperator):
    """Return the report on a fleet."""

    template_fields: Sequence[str] = ("source", "migrations", "reached", "records", "waits")

    def __init__(
        self,
        *,
        migrations: Any,
        list_task_id: str,
        reached: Any,
        records: Any,
        waits: Any,
        max_lag: float,
        is_whole: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.migrations = migrations
        self.list_task_id = list_task_id
        self.reached = reached
        self.records = records
        self.waits = waits
        self.max_lag = max_lag
        self.is_whole = is_whole

    def execute(self, context: Context) -> dict[str, Any]:
        ti = context["ti"]
        listing = ti.xcom_pull(task_ids=self.list_task_id, key=LIST_KEY, map_indexes=ti.map_index)
        if not self.migrations or not listing:
            raise AirflowFailException("There is no list of migrations: look at the task 'list'.")
        ids = list(self.migrations)
        found = {row.migration_id: row for row in self.listed(None, MAX_RELISTED)}
        report = report_of(
            ids,
            listing,
            _rows(self.reached),
            _rows(self.records),
            _rows(self.waits),
            found,
            now=datetime.now(UTC),
            max_lag=self.max_lag,
            is_whole=self.is_whole,
            shows_sync="caught_up" in self.hook_class.list_states,
        )
        self.log.info("%s", describe_report(report))
        return report


class _GateOperator(BaseOperator):
    """Pass if enough migrations of a report have reached the target."""

    ui_color = "#d5ecf2"
    template_fields: Sequence[str] = ("report",)

    def __init__(self, *, report: Any, max_failed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.report = report
        self.max_failed = max_failed

    def execute(self, context: Context) -> None:
        if not isinstance(self.report, Mapping):
            raise AirflowFailException("There is no report: clear the task 'report' to create it again.")
        age = datetime.now(UTC) - _time(self.report["reported_at"])
        if age > MAX_REPORT_AGE:
            raise AirflowFailException(
                f"The report is {age.total_seconds() / 3600:.1f} h old, and a migration may have failed "
                "since: clear the task 'report' with its downstream tasks to create it again."
            )
        text = describe_report(self.report)
        if self.report["failed"] > self.max_failed:
            raise AirflowFailException(f"{text}\nAt most {self.max_failed} may miss the target (max_failed).")
        self.log.info("%s", text)


MAX_RELISTED: Final = 100_000
"""Maximum number of migrations that the report lists: the selection may have grown since."""


def _rows(values: Any) -> list[dict[str, Any]]:
    """Return the XCom values of mapped tasks; one slice is one request to Airflow, each value another."""
    rows = values[:] if values is not None else ()
    return [row for row in rows if isinstance(row, dict)]


def report_of(
    ids: Sequence[str],
    listing: Mapping[str, Any],
    reached: Iterable[Mapping[str, Any]],
    records: Iterable[Mapping[str, Any]],
    waits: Iterable[Mapping[str, Any]],
    found: Mapping[str, MigrationSummary],
    *,
    now: datetime,
    max_lag: float,
    is_whole: bool = True,
    shows_sync: bool = False,
) -> dict[str, Any]:
    """
    Return the report on a fleet, as plain JSON.

    :param ids: the ids of the fleet.
    :param listing: ``listed_at`` and ``names`` of the list.
    :param reached: the final records of the migrations that have reached the target.
    :param records: the last records of all migrations that were polled.
    :param waits: the ``migration_wait`` of each of these.
    :param found: the migrations as they are listed now, by id.
    :param max_lag: largest lag in seconds that counts as in sync.
    :param is_whole: True if the fleet is everything that is selected, whatever its status.
    :param shows_sync: True if the list itself says which migrations are in sync.
    """
    # A task whose index the list no longer has keeps the XCom of an earlier list.
    since = _time(listing["listed_at"]) - timedelta(seconds=MAX_SKEW)
    last = {row["migration_id"]: row for row in records}
    done = {row["migration_id"]: row for row in reached if _time(row["observed_at"]) >= since}
    wait_of = {row["migration_id"]: row for row in waits}
    failed = []
    for migration_id in ids:
        reason = _shortfall(
            done.get(migration_id),
            wait_of.get(migration_id),
            found.get(migration_id),
            max_lag,
            shows_sync=shows_sync,
        )
        if reason is not None:
            failed.append({**_identity(migration_id, listing), "reason": reason})
    fleet = set(ids)
    new = [row for each, row in found.items() if each not in fleet] if is_whole else []
    failed += [{"migration_id": row.migration_id, "name": row.name, "reason": _NOT_WATCHED} for row in new]
    total = len(ids) + len(new)
    states = Counter(
        str(found[each].state) if each in found else last.get(each, {}).get("state", "unknown")
        for each in ids
    )
    lags = [(_lag(found.get(each), last.get(each)), each) for each in ids]
    worst = max(((lag, each) for lag, each in lags if lag is not None), default=None)
    slowest = heapq.nlargest(
        MAX_NAMED,
        (
            (_time(record["observed_at"]).timestamp() - wait_of[each]["started_at"], each)
            for each, record in done.items()
            if each in wait_of
        ),
    )
    return {
        "schema_version": 1,
        "listed_at": listing["listed_at"],
        "reported_at": now.isoformat(),
        "total": total,
        "reached": total - len(failed),
        "failed": len(failed),
        "states": dict(sorted(states.items())),
        "worst_lag": {**_identity(worst[1], listing), "lag_seconds": worst[0]} if worst else None,
        "slowest": [
            {**_identity(each, listing), "waited_seconds": round(seconds, 1)} for seconds, each in slowest
        ],
        "failures": failed[:MAX_NAMED],
    }


_NOT_WATCHED: Final = "it was not selected when the fleet was listed: start a new run to watch it"


def _shortfall(
    record: Mapping[str, Any] | None,
    wait: Mapping[str, Any] | None,
    now: MigrationSummary | None,
    max_lag: float,
    *,
    shows_sync: bool,
) -> str | None:
    """Return why a migration has not reached the target, or has left it since; None if it is there."""
    if record is None:
        given = (wait or {}).get("reason")
        return given or "its task has no record of reaching the target: see the log of that task"
    # A migration that is over may be released or deleted.
    if record["state"] == "succeeded" and (now is None or now.state == "cancelled"):
        return None
    if now is None:
        return "it had reached the target, but the service no longer lists it"
    # Such as a job that copies everything again, or whose objects are being changed.
    has_other_word = _word(now.service_status) != _word(record["service_status"])
    is_silent = shows_sync and now.lag_seconds is None
    has_gone_back = (
        record["state"] == "caught_up" and now.state == "running" and (has_other_word or is_silent)
    )
    if has_gone_back or now.state not in (*_MAY_STAND, record["state"]):
        return f"it had reached the target, but is {now.state} now ({now.service_status})"
    if record["state"] == "caught_up" and now.lag_seconds is not None and now.lag_seconds > max_lag:
        return f"it had reached the target, but its lag is {now.lag_seconds:g} s now"
    return None


def _word(status: str | None) -> str:
    return (status or "").strip().lower()


def _identity(migration_id: str, listing: Mapping[str, Any]) -> dict[str, Any]:
    return {"migration_id": migration_id, "name": listing["names"].get(migration_id)}


def _lag(now: MigrationSummary | None, record: Mapping[str, Any] | None) -> float | None:
    """Return the lag in the list, else that of the last record."""
    if now is not None and now.lag_seconds is not None:
        return now.lag_seconds
    lag: float | None = record["lag_seconds"] if record else None
    return lag


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def describe_report(report: Mapping[str, Any]) -> str:
    """Return a report in a few lines."""
    states = ", ".join(f"{count} {state}" for state, count in report["states"].items())
    lines = [f"{report['reached']} of {report['total']} migrations have reached the target. Now: {states}."]
    if worst := report["worst_lag"]:
        lines.append(f"Worst lag: {worst['lag_seconds']:g} s, {_named(worst)}.")
    if slowest := report["slowest"]:
        lines.append(f"Longest wait: {slowest[0]['waited_seconds']:.0f} s, {_named(slowest[0])}.")
    lines += [f"{_named(one)}: {one['reason']}" for one in report["failures"]]
    if (more := report["failed"] - len(report["failures"])) > 0:
        lines.append(f"… and {more} more.")
    return "\n".join(lines)


def _named(one: Mapping[str, Any]) -> str:
    return f"{one['migration_id']} ({one['name']})" if one["name"] else str(one["migration_id"])
