"""Task group that prepares a cut-over: gates, the approval of a person, and evidence."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, TaskGroup, chain

from airflow_provider_migration.clock import MAX_SKEW
from airflow_provider_migration.compat import approval_operator, response_timeout
from airflow_provider_migration.sensors.base import (
    DURATION,
    FIGURES,
    NOT_GIVEN,
    MigrationSensor,
    add_to_events,
    is_number,
    refuse,
    shown,
    to_seconds,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

APPROVE: Final = "Approve"
"""The only answer that lets a cut-over go on."""

EVIDENCE_SECONDS: Final = 900.0
"""Maximum age in seconds of the last record when the evidence is given: a lag may have risen since."""

MAX_TIMEOUT: Final = 365 * 86_400.0

_OWN_ARGUMENTS: Final = (
    "task_id",
    "target_status",
    "checkpoint_after",
    "trigger_rule",
    "soft_fail",
    "never_fail",
    "do_xcom_push",
    "outlets",
)
"""Arguments of the sensors that the group sets itself."""

_PASS_OR_FAIL: Final = {"trigger_rule": "all_success", "do_xcom_push": True}
"""Arguments of each task, against the DAG's ``default_args``: a skipped gate would not stop anything."""

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
    5. ``applied``: everything written before that time is applied, and the migration has been in sync for
       ``final_hold_for`` seconds.
    6. ``evidence``: return who approved and when, and the record at each gate.

    The group only watches and asks; the switch itself is a task downstream. Before Airflow 3.1 nobody is
    asked: stop the writes in a task upstream of the group.

    :param sensor: the class of the service's sensor.
    :param group_id: prefix of the task ids.
    :param verify: wait for the service's data check; False for a migration without one.
    :param max_lag: largest lag in seconds that counts as in sync.
    :param hold_for: seconds for which the migration must be in sync before anybody is asked.
    :param approval_timeout: seconds to wait for an answer; then ``approve`` fails.
    :param approval_valid_for: maximum age of the approval in seconds, at ``note_time`` and at ``evidence``.
    :param final_hold_for: seconds for which the migration must be in sync once everything is applied.
    :param final_timeout: seconds to wait until everything is applied; at most ``approval_valid_for``.
    :param assigned_users: the users who may answer, as ``ApprovalOperator`` takes them; None for everybody
        who may edit the run.
    :param notifiers: notifiers of the question, as ``ApprovalOperator`` takes them; None for none.
    :param evidence_path: file for the evidence, any ``ObjectStoragePath``; None for XCom only. (templated)
    :param outlets: assets whose events get the figures of the final record, the SHA-256 of the evidence, and
        its path.
    :param sensor_arguments: the ids, the connection id and the other arguments of the sensor, for each of the
        group's sensors. ``timeout`` does not apply to ``applied``, which has ``final_timeout``.
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
        if not (isinstance(sensor, type) and issubclass(sensor, MigrationSensor)):
            refuse(subject, "sensor", f"must be the class of a migration sensor, not {shown(sensor)}.")
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
            if not is_number(value) or not 0 < value <= MAX_TIMEOUT:
                refuse(
                    subject, name, f"must be {DURATION}, more than 0 and at most a year, not {shown(value)}."
                )
        valid_for, final = durations["approval_valid_for"], durations["final_timeout"]
        if final > valid_for:
            refuse(
                subject,
                "final_timeout",
                f"must be at most approval_valid_for ({valid_for:g} s), not {final:g}: shorten "
                "final_timeout, or increase approval_valid_for.",
            )
        final_hold = to_seconds(final_hold_for)
        if not is_number(final_hold) or final_hold >= final:
            refuse(subject, "final_hold_for", f"must be less than final_timeout ({final:g} s).")
        for name in _OWN_ARGUMENTS:
            if name in sensor_arguments:
                refuse(subject, name, "is set by the group: leave it out.")
        if sensor_arguments.get("on_paused") == "skip":
            refuse(subject, "on_paused", "must be 'wait' or 'fail': a gate passes or fails.")
        if evidence_path is not None and not isinstance(evidence_path, str):
            refuse(subject, "evidence_path", f"must be a path as text, or None, not {shown(evidence_path)}.")
        super().__init__(group_id=group_id, tooltip="Wait until a migration is ready for the cut-over.")
        # Explicit, so that the DAG's default_args change no gate.
        common: dict[str, Any] = {
            **_PASS_OR_FAIL,
            "max_lag": max_lag,
            "soft_fail": False,
            "never_fail": False,
            "outlets": [],
            **{"on_paused": "wait", **sensor_arguments},
        }
        without_moment = {**common, "checkpoint_after": NOT_GIVEN}
        with self:
            tasks: list[Any] = [
                sensor(task_id="caught_up", target_status="caught_up", hold_for=hold_for, **without_moment)
            ]
            if verify:
                tasks.append(
                    sensor(task_id="verified", target_status="verified", **{**without_moment, "hold_for": 0})
                )
            gates = [task.task_id for task in tasks]
            approval = None
            if operator := approval_operator():
                question = _QuestionOperator(
                    task_id="question",
                    record_of=gates[-1],
                    valid_for=valid_for,
                    timeout=durations["approval_timeout"],
                    **_PASS_OR_FAIL,
                )
                asked = f"ti.xcom_pull(task_ids={question.task_id!r}, map_indexes=ti.map_index)"
                approve = _asking_once(operator)(
                    task_id="approve",
                    subject=f"{{{{ {asked}['subject'] }}}}",
                    body=f"{{{{ {asked}['body'] }}}}",
                    **response_timeout(operator, timedelta(seconds=durations["approval_timeout"])),
                    # Nobody's answer is no approval, and nothing downstream may run after a rejection.
                    defaults=None,
                    fail_on_reject=False,
                    ignore_downstream_trigger_rules=True,
                    assigned_users=assigned_users,
                    notifiers=notifiers,
                    retries=0,
                    **_PASS_OR_FAIL,
                )
                approval = {"question": question.task_id, "answer": approve.task_id, "valid_for": valid_for}
                tasks += [question, approve]
            note_time = _NoteTimeOperator(task_id="note_time", approval=approval, **_PASS_OR_FAIL)
            moment: Any = note_time.output
            applied = sensor(
                task_id="applied",
                target_status="caught_up",
                checkpoint_after=moment,
                hold_for=final_hold,
                **{**common, "timeout": final},
            )
            evidence = _EvidenceOperator(
                task_id="evidence",
                gates=[*gates, applied.task_id],
                moment_of=note_time.task_id,
                approval=approval,
                max_lag=to_seconds(max_lag),
                path=evidence_path,
                outlets=list(outlets or ()),
                **_PASS_OR_FAIL,
            )
            chain(*tasks, note_time, applied, evidence)


def _asking_once(operator: type[Any]) -> type[Any]:
    """Return Airflow's operator, which refuses to ask again."""

    class CutOverApprovalOperator(operator):  # type: ignore[misc] # its class depends on the release
        """Ask a person once for each run of the DAG."""

        def execute(self, context: Context) -> Any:
            """Ask, unless the question of this run was asked before: Airflow would show its first text."""
            if context["ti"].try_number > 1:
                raise AirflowFailException(
                    "This task has been started before, and Airflow keeps the text of the first question, "
                    "with the figures of that time: start a new run of the DAG to ask again."
                )
            return super().execute(context)

    return CutOverApprovalOperator


class _QuestionOperator(BaseOperator):
    """Return the question, with the figures of the last gate and their age."""

    ui_color = "#d5ecf2"

    def __init__(self, *, record_of: str, valid_for: float, timeout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.record_of = record_of
        self.valid_for = valid_for
        self.timeout = timeout

    def execute(self, context: Context) -> dict[str, str]:
        record, now = _record(context, self.record_of), datetime.now(UTC)
        return {
            "subject": f"Cut over {record['service']} {record['migration_id']}?",
            "body": question_of(record, now, valid_for=self.valid_for, timeout=self.timeout),
            "asked_at": now.isoformat(),
        }


class _NoteTimeOperator(BaseOperator):
    """Return the time, unless the approval is missing or too old."""

    ui_color = "#d5ecf2"

    def __init__(self, *, approval: dict[str, Any] | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approval = approval

    def execute(self, context: Context) -> str:
        now = datetime.now(UTC)
        if self.approval is None:
            return now.isoformat()
        # The API server's clock may be ahead, and the writes were stopped before the answer.
        return max(now, _approval(context, self.approval, now).at).isoformat()


class _EvidenceOperator(BaseOperator):
    """Check that the gates belong together, return the evidence, and write it to a file."""

    ui_color = "#d5ecf2"
    template_fields: Sequence[str] = ("path",)

    def __init__(
        self,
        *,
        gates: Sequence[str],
        moment_of: str,
        approval: dict[str, Any] | None,
        max_lag: float,
        path: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gates = gates
        self.moment_of = moment_of
        self.approval = approval
        self.max_lag = max_lag
        self.path = path

    def execute(self, context: Context) -> dict[str, Any]:
        now = datetime.now(UTC)
        approval = _approval(context, self.approval, now) if self.approval else None
        records = {gate.rpartition(".")[2]: _record(context, gate) for gate in self.gates}
        moment = _pull(context, self.moment_of)
        check_gates(records, moment, approval.at if approval else None, now, self.max_lag)
        last = records["applied"]
        evidence = {
            "schema_version": 1,
            **{name: last[name] for name in ("service", "migration_id", "name")},
            "dag_id": context["ti"].dag_id,
            "run_id": context["ti"].run_id,
            "approval": {"at": approval.at.isoformat(), "by": approval.by} if approval else None,
            "writes_stopped_at": moment,
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
        add_to_events(context, self.outlets, told, self.log)
        return evidence


def question_of(record: Mapping[str, Any], now: datetime, *, valid_for: float, timeout: float) -> str:
    """
    Return the text of the question, in Markdown.

    :param record: the record of the last gate, as JSON.
    :param valid_for: seconds for which the approval counts.
    :param timeout: seconds to wait for an answer.
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
        lines.append("data check: not requested")
    else:
        checked = f", {_as_of(check['checked_at'], now)}" if check["checked_at"] else ", at an unknown time"
        lines.append(f"{describe_verification(Verification.model_validate(check))}{checked}")
    name = f" ({record['name']})" if record["name"] else ""
    until = now + timedelta(seconds=timeout)
    return "\n".join(
        [
            _escaped(f"{record['service']} {record['migration_id']}{name}:"),
            "",
            *(f"- {_escaped(line)}" for line in lines),
            "",
            f"Asked at {_utc(now)}; answer until {_utc(until)}.",
            "",
            "Stop all writes to the source, then approve. The approval is valid for "
            f"{timedelta(seconds=valid_for)} (hours:minutes:seconds). The group then waits until everything "
            "written before the approval is applied. A rejection ends the cut-over.",
        ]
    )


class Approval(NamedTuple):
    """
    The answer of a person.

    :ivar at: UTC time.
    :ivar by: ``id`` and ``name`` of the user.
    """

    at: datetime
    by: dict[str, Any]


def check_approval(given: Any, now: datetime, valid_for: float, asked_at: Any) -> Approval:
    """
    Return the approval of a person.

    :param given: the result of ``ApprovalOperator``, or None.
    :param valid_for: seconds for which it counts.
    :param asked_at: ISO time of the question.
    :raises AirflowFailException: if there is no approval, or it does not count.
    """
    answer = given if isinstance(given, Mapping) else {}
    user = answer.get("responded_by_user")
    if list(answer.get("chosen_options") or ()) != [APPROVE] or not isinstance(user, Mapping):
        raise AirflowFailException(
            f"There is no approval by a person. {_ASK_AGAIN} A task that is only marked as successful does "
            "not approve anything."
        )
    at, asked = _time(answer.get("responded_at")), _time(asked_at)
    if at is None or asked is None:
        raise AirflowFailException(f"The approval or its question has no time. {_ASK_AGAIN}")
    age = (now - at).total_seconds()
    if age > valid_for:
        raise AirflowFailException(
            f"The approval is {age:.0f} s old, but valid for only {valid_for:g} s (approval_valid_for). "
            f"{_ASK_AGAIN}"
        )
    if age < -MAX_SKEW or (asked - at).total_seconds() > MAX_SKEW:
        raise AirflowFailException(
            f"The approval of {_utc(at)} does not belong to the question of {_utc(asked)}. {_ASK_AGAIN}"
        )
    return Approval(at, dict(user))


def check_gates(
    records: Mapping[str, Mapping[str, Any]],
    moment: Any,
    approved_at: datetime | None,
    now: datetime,
    max_lag: float,
) -> None:
    """
    Check that the records of the gates belong to one cut-over, and still show that nothing is missing.

    :param records: by gate, as JSON.
    :param moment: ISO time at which the writes had stopped.
    :raises AirflowFailException: if not: after tasks were cleared, or marked as successful, one by one.
    """
    last, noted = records["applied"], _time(moment)
    observed = _time(last["observed_at"])
    check = (records.get("verified") or {}).get("verification") or {}
    last_check = (last.get("verification") or {}).get("state")
    problem, remedy = None, _ASK_AGAIN
    if noted is None:
        problem = "there is no noted time"
    elif approved_at is not None and approved_at > noted:
        problem = "the noted time is older than the approval"
    elif observed is None or observed < noted:
        problem = "the record of 'applied' is older than the noted time"
    elif (age := (now - observed).total_seconds()) > EVIDENCE_SECONDS:
        problem = f"the record of 'applied' is {age:.0f} s old, and the lag may have risen since"
        remedy = _LOOK_AGAIN
    elif last["state"] not in ("caught_up", "succeeded") or (last["lag_seconds"] or 0) > max_lag:
        problem, remedy = "the record of 'applied' is not in sync", _LOOK_AGAIN
    elif "verified" in records and check.get("state") != "consistent":
        problem = "the record of 'verified' has no consistent data check"
    elif "verified" in records and last_check in ("inconsistent", "failed"):
        problem = f"the data check is {last_check} by now"
    elif len({(record["service"], record["migration_id"]) for record in records.values()}) > 1:
        problem = "the records are of different migrations"
    if problem:
        raise AirflowFailException(f"The cut-over has not passed: {problem}. {remedy}")


_ASK_AGAIN: Final = "Start a new run of the DAG to ask again."
_LOOK_AGAIN: Final = (
    "While the approval is valid, clear the task 'applied' with its downstream tasks to look again; after "
    "that, start a new run of the DAG."
)


def _approval(context: Context, approval: Mapping[str, Any], now: datetime) -> Approval:
    question = _pull(context, approval["question"])
    asked_at = question.get("asked_at") if isinstance(question, Mapping) else None
    return check_approval(_pull(context, approval["answer"]), now, approval["valid_for"], asked_at)


def write_evidence(path: str, content: bytes) -> None:
    """
    Write a file to any storage that Airflow knows.

    :raises AirflowFailException: for a path of no known storage; other errors of the storage are not caught,
        so that Airflow's retries apply.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        target = ObjectStoragePath(path)
        _ = target.fs  # Airflow 2 looks the storage up here
    except (TypeError, ValueError) as error:
        raise AirflowFailException(
            f"evidence_path {path!r} is not a path of a storage that Airflow knows ({error}). Use a path "
            "such as file:///…, or install the provider of that storage."
        ) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _pull(context: Context, task_id: str) -> Any:
    ti = context["ti"]
    # Without its own index, a mapped task would get the values of all others.
    return ti.xcom_pull(task_ids=task_id, map_indexes=ti.map_index)


def _record(context: Context, task_id: str) -> dict[str, Any]:
    """
    Return the record with which a gate was passed.

    :raises AirflowFailException: if there is no record, as from a task that was only marked as successful.
    """
    record = _pull(context, task_id)
    if not isinstance(record, dict):
        raise AirflowFailException(f"The task {task_id!r} has left no record: clear this task to wait again.")
    return record


def _time(value: Any) -> datetime | None:
    """Return a time with a zone, from ISO text too; None for anything else."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return moment if isinstance(moment, datetime) and moment.utcoffset() is not None else None


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _as_of(moment: str, now: datetime) -> str:
    then = datetime.fromisoformat(moment)
    age = max((now - then).total_seconds(), 0)
    return f"as of {_utc(then)}, {age:.0f} s old when asked"


def _escaped(text: str) -> str:
    """Escape a text for Markdown, so that a name of the service is only a name."""
    return _MARKDOWN.sub(r"\\\1", text)
