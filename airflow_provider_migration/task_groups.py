"""Task groups: several tasks that belong together, as one block of a DAG."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, TaskGroup, chain

from airflow_provider_migration.compat import approval_operator, asset_kinds
from airflow_provider_migration.sensors.base import DURATION, is_number, refuse, shown, to_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_migration.sensors.base import MigrationSensor

APPROVE: Final = "Approve"
"""The answer that lets a cut-over go on; another one, or none, does not."""

_OWN_ARGUMENTS: Final = ("task_id", "target_status", "checkpoint_after")
"""Arguments of the sensors that the group sets itself."""

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


class CutOverTaskGroup(TaskGroup):
    """
    Wait until a migration may be switched over, ask a person, and make sure that nothing is missing.

    The tasks, in this order:

    1. ``caught_up``: the migration has been in sync for ``hold_for`` seconds without a break.
    2. ``verified``: the service's own data check has found no difference.
    3. ``question`` and ``approve`` (Airflow 3.1 and newer): a person stops the writes to the source, and
       approves. A rejection skips all downstream tasks, those of the DAG included.
    4. ``note_time``: note the time; refuse an approval that is too old.
    5. ``applied``: everything written before that time is applied, and the lag is at most ``max_lag``.
    6. ``evidence``: return who approved and when, and the record at each gate.

    It only watches and asks; it switches nothing over. Before Airflow 3.1 nobody is asked: stop the writes in
    a task upstream of the group.

    :param sensor: the class of the service's sensor.
    :param group_id: prefix of the task ids.
    :param verify: wait for the service's data check; False for DataWorks, which has none, and for a migration
        without one.
    :param max_lag: largest lag in seconds that counts as in sync.
    :param hold_for: seconds for which the migration must be in sync before anybody is asked.
    :param approval_timeout: seconds after which a question that nobody has answered fails.
    :param approval_valid_for: seconds for which an approval counts, until the end of the group.
    :param final_hold_for: seconds for which the migration must be in sync once everything is applied.
    :param final_timeout: seconds to wait until everything is applied; at most ``approval_valid_for``.
    :param assigned_users: the users who may answer, as ``ApprovalOperator`` takes them; None for everybody
        who may edit the run.
    :param notifiers: notifiers that tell of the question, likewise.
    :param evidence_path: file for the evidence, any ``ObjectStoragePath``; None for XCom only. (templated)
    :param outlets: assets whose events get the figures of the final record, the SHA-256 of the evidence, and
        its path.
    :param sensor_arguments: the sensor's ids, its connection id, and its other arguments, for each of the
        sensors.
    :raises MigrationConfigurationError: for a wrong argument, when the DAG file is parsed.
    """

    def __init__(
        self,
        sensor: type[MigrationSensor],
        *,
        group_id: str = "cut_over",
        verify: bool = True,
        max_lag: float | timedelta = 10,
        hold_for: float | timedelta = 600,
        approval_timeout: float | timedelta = 86_400,
        approval_valid_for: float | timedelta = 3_600,
        final_hold_for: float | timedelta = 60,
        final_timeout: float | timedelta = 3_600,
        assigned_users: Any = None,
        notifiers: Any = None,
        evidence_path: str | None = None,
        outlets: Sequence[Any] = (),
        **sensor_arguments: Any,
    ) -> None:
        subject = f"{type(self).__name__} {group_id!r}"
        if not sensor.has_increment:
            refuse(
                subject,
                "sensor",
                f"{sensor.__name__} watches migrations without an incremental phase. They need no cut-over: "
                "wait for succeeded.",
            )
        durations = {
            "approval_timeout": to_seconds(approval_timeout),
            "approval_valid_for": to_seconds(approval_valid_for),
            "final_timeout": to_seconds(final_timeout),
        }
        for name, value in durations.items():
            if not is_number(value) or not value:
                refuse(subject, name, f"must be {DURATION}, and more than 0, not {shown(value)}.")
        valid_for, final = durations["approval_valid_for"], durations["final_timeout"]
        if final > valid_for:
            refuse(
                subject,
                "final_timeout",
                f"must be at most approval_valid_for ({valid_for:g} s), not {final:g}: shorten it, or let "
                "the approval count for longer.",
            )
        for name in _OWN_ARGUMENTS:
            if name in sensor_arguments:
                refuse(subject, name, "is set by the group: leave it out.")
        super().__init__(group_id=group_id, tooltip="Wait until a migration may be switched over.")
        with self:
            tasks: list[Any] = [
                sensor(task_id="caught_up", max_lag=max_lag, hold_for=hold_for, **sensor_arguments)
            ]
            if verify:
                tasks.append(
                    sensor(task_id="verified", target_status="verified", max_lag=max_lag, **sensor_arguments)
                )
            gates = [task.task_id for task in tasks]
            approval_id = None
            if operator := approval_operator():
                question = _QuestionOperator(task_id="question", record_of=gates[-1], valid_for=valid_for)
                approve = operator(
                    task_id="approve",
                    subject=f"{{{{ ti.xcom_pull(task_ids='{question.task_id}')['subject'] }}}}",
                    body=f"{{{{ ti.xcom_pull(task_ids='{question.task_id}')['body'] }}}}",
                    response_timeout=timedelta(seconds=durations["approval_timeout"]),
                    ignore_downstream_trigger_rules=True,
                    assigned_users=assigned_users,
                    notifiers=notifiers,
                )
                approval_id = approve.task_id
                tasks += [question, approve]
            note_time = _NoteTimeOperator(task_id="note_time", approval_of=approval_id, valid_for=valid_for)
            moment: Any = note_time.output
            applied = sensor(
                task_id="applied",
                checkpoint_after=moment,
                max_lag=max_lag,
                hold_for=final_hold_for,
                **{**sensor_arguments, "timeout": final},
            )
            evidence = _EvidenceOperator(
                task_id="evidence",
                gates=[*gates, applied.task_id],
                moment_of=note_time.task_id,
                approval_of=approval_id,
                valid_for=valid_for,
                path=evidence_path,
                outlets=list(outlets),
            )
            tasks += [note_time, applied, evidence]
            chain(*tasks)


class _QuestionOperator(BaseOperator):
    """Return subject and body of the question, with the figures of the last gate and their age."""

    ui_color = "#d5ecf2"

    def __init__(self, *, record_of: str, valid_for: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.record_of = record_of
        self.valid_for = valid_for

    def execute(self, context: Context) -> dict[str, str]:
        record = _pulled(context, self.record_of)
        return {
            "subject": f"Cut over {record['service']} {record['migration_id']}?",
            "body": question_of(record, time.time(), self.valid_for),
        }


class _NoteTimeOperator(BaseOperator):
    """Return the time, unless the approval is missing or too old."""

    ui_color = "#d5ecf2"

    def __init__(self, *, approval_of: str | None, valid_for: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approval_of = approval_of
        self.valid_for = valid_for

    def execute(self, context: Context) -> str:
        now = datetime.now(UTC)
        if self.approval_of is not None:
            check_approval(_pull(context, self.approval_of), now, self.valid_for)
        return now.isoformat()


class _EvidenceOperator(BaseOperator):
    """Return the evidence, and write it to a file."""

    ui_color = "#d5ecf2"
    template_fields: Sequence[str] = ("path",)

    def __init__(
        self,
        *,
        gates: Sequence[str],
        moment_of: str,
        approval_of: str | None,
        valid_for: float,
        path: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gates = gates
        self.moment_of = moment_of
        self.approval_of = approval_of
        self.valid_for = valid_for
        self.path = path

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_migration.sensors.base import FIGURES

        now = datetime.now(UTC)
        approval = None
        if self.approval_of is not None:
            approval = check_approval(_pull(context, self.approval_of), now, self.valid_for)
        records = {gate.rpartition(".")[2]: _pulled(context, gate) for gate in self.gates}
        last = list(records.values())[-1]
        evidence = {
            "schema_version": 1,
            **{name: last[name] for name in ("service", "migration_id", "name")},
            "dag_id": context["ti"].dag_id,
            "run_id": context["ti"].run_id,
            "approval": approval,
            "writes_stopped_at": _pull(context, self.moment_of),
            "passed_at": now.isoformat(),
            "gates": records,
            "request_ids": {gate: record["request_id"] for gate, record in records.items()},
        }
        content = json.dumps(evidence, ensure_ascii=False, indent=2, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        if self.path:
            write_evidence(self.path, content)
            self.log.info("The evidence is in %s, SHA-256 %s.", self.path, digest)
        told = {name: last[name] for name in FIGURES}
        told |= {"evidence_sha256": digest, **({"evidence_path": self.path} if self.path else {})}
        for asset in self.outlets:
            if isinstance(asset, asset_kinds()):
                context["outlet_events"][asset].extra.update(told)
        return evidence


def question_of(record: Mapping[str, Any], now: float, valid_for: float) -> str:
    """
    Return the text of the question, in Markdown.

    :param record: the record of the last gate, as JSON.
    :param now: epoch seconds.
    :param valid_for: seconds for which the approval counts.
    """
    from airflow_provider_migration.progress import Verification
    from airflow_provider_migration.wait.messages import describe_verification

    observed = _as_of(record["observed_at"], now)
    status = f" ({record['service_status']})" if record["service_status"] else ""
    lines = [f"state: {record['state']}{status}, {observed}"]
    lag = "not known" if record["lag_seconds"] is None else f"{record['lag_seconds']:g} s"
    lines.append(f"lag: {lag}, {observed}")
    if record["checkpoint"]:
        lines.append(f"changes applied up to: {_as_of(record['checkpoint'], now)}")
    if record.get("remaining_seconds") is not None:
        lines.append(f"time left: {record['remaining_seconds']:.0f} s, {observed}")
    check = record.get("verification")
    if check is None:
        lines.append("data check: none was asked for")
    else:
        checked = f", {_as_of(check['checked_at'], now)}" if check["checked_at"] else ", at an unknown time"
        lines.append(f"{describe_verification(Verification.model_validate(check))}{checked}")
    name = f" ({record['name']})" if record["name"] else ""
    return "\n".join(
        [
            _escaped(f"{record['service']} {record['migration_id']}{name}:"),
            "",
            *(f"- {_escaped(line)}" for line in lines),
            "",
            "Stop all writes to the source, then approve. The approval counts for "
            f"{timedelta(seconds=valid_for)} (hours:minutes:seconds); what was written before it is waited "
            "for. A rejection ends the cut-over.",
        ]
    )


def check_approval(approval: Any, now: datetime, valid_for: float) -> dict[str, Any]:
    """
    Return who approved and when, as plain JSON.

    :param approval: the result of ``ApprovalOperator``, or None.
    :param valid_for: seconds for which it counts.
    :raises AirflowFailException: if there is no approval, or it is too old.
    """
    given = approval if isinstance(approval, Mapping) else {}
    if list(given.get("chosen_options") or ()) != [APPROVE]:
        raise AirflowFailException(
            "There is no approval: clear the task 'approve' to ask again. A task that is only marked as "
            "successful does not approve anything."
        )
    at = given.get("responded_at")
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    if not isinstance(moment, datetime):
        raise AirflowFailException("The approval has no time: clear the task 'approve' to ask again.")
    age = (now - moment).total_seconds()
    if age > valid_for:
        raise AirflowFailException(
            f"The approval is {age:.0f} s old and counts for {valid_for:g} s (approval_valid_for): clear the "
            "tasks from 'question' on to ask again."
        )
    user = given.get("responded_by_user")
    return {"at": moment.isoformat(), "by": dict(user) if isinstance(user, Mapping) else None}


def write_evidence(path: str, content: bytes) -> None:
    """
    Write a file to any storage that Airflow knows.

    :raises AirflowFailException: for a path that cannot be read; errors of the storage itself are raised as
        they are, so that Airflow tries again.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        target = ObjectStoragePath(path)
    except (TypeError, ValueError) as error:
        raise AirflowFailException(
            f"evidence_path {path!r} is not a path of a storage that Airflow knows: {error}"
        ) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _pull(context: Context, task_id: str) -> Any:
    return context["ti"].xcom_pull(task_ids=task_id)


def _pulled(context: Context, task_id: str) -> dict[str, Any]:
    """
    Return the record with which a gate was passed.

    :raises AirflowFailException: if there is none: a task that is only marked as successful shows nothing.
    """
    record = _pull(context, task_id)
    if not isinstance(record, dict):
        raise AirflowFailException(f"The task {task_id!r} has left no record: clear it to wait again.")
    return record


def _as_of(moment: str, now: float) -> str:
    then = datetime.fromisoformat(moment)
    return f"as of {then.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {max(now - then.timestamp(), 0):.0f} s ago"


def _escaped(text: str) -> str:
    """Escape a text for Markdown, so that a name of the service is only a name."""
    return _MARKDOWN.sub(r"\\\1", text)
