"""Alerts: their declaration, and the decision which messages are due."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_migration.alerts import CONDITIONS, MigrationAlert, alerts_to_json
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import (
    MigrationProgress,
    ObjectProgress,
    ObjectSummary,
    Phase,
    Verification,
)
from airflow_provider_migration.wait.alerts import Notification, readable_alerts
from airflow_provider_migration.wait.policy import WaitPolicy
from airflow_provider_migration.wait.tracker import Outcome, Verdict, WaitTracker
from tests import notifiers

PATH = "tests.notifiers.SyncNotifier"
NEEDED: dict[str, dict[str, Any]] = {
    "stalled": {"after": 300},
    "lag_above": {"above": 60},
    "remaining_above": {"above": 3600},
}
"""The arguments without which a condition is refused."""


def alert(when: str, **more: Any) -> MigrationAlert:
    return MigrationAlert(when, **{"notifier": PATH, **NEEDED.get(when, {}), **more})


# --- declaration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", CONDITIONS)
def test_alert_survives_json(when: str) -> None:
    given = alert(when, notifier_kwargs={"text": "{{ alert.text }}", "to": ["a", "b"]}, resolve=False)
    again = MigrationAlert.from_json(json.loads(json.dumps(given.to_json())))
    assert (again, again.key) == (given, given.key)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"when": "stuck"}, "when must be one of stalled, lag_above, .* failed, not 'stuck'"),
        ({"when": ["paused"]}, "when must be one of"),
        ({"when": None}, "when must be one of"),
        ({"when": "stalled"}, "'stalled'.: after is missing: give the seconds without movement"),
        ({"when": "stalled", "after": 0}, "after is missing"),
        ({"after": -1}, "after must be a number of seconds, 0 or more, or a timedelta, not -1"),
        ({"after": timedelta(seconds=-1)}, "after must be a number of seconds"),
        ({"after": True}, "after must be .* not True"),
        ({"after": "60"}, "after must be .* not '60'"),
        ({"after": None}, "after must be"),
        ({"after": float("nan")}, "after must be .* not nan"),
        ({"after": float("inf")}, "after must be .* not inf"),
        ({"above": 60}, "above is only for lag_above and remaining_above: leave it out"),
        ({"above": 0}, "above is only for"),
        ({"when": "lag_above"}, "above is missing: give the threshold in seconds"),
        ({"when": "remaining_above"}, "above is missing"),
        ({"when": "lag_above", "above": -1}, "above must be a number of seconds"),
        ({"when": "lag_above", "above": False}, "above must be .* not False"),
        ({"when": "lag_above", "above": float("nan")}, "above must be .* not nan"),
        ({"notifier": ""}, "notifier must be a class derived from BaseNotifier or its import path, such as"),
        ({"notifier": "SlackNotifier"}, "notifier must be a class"),
        ({"notifier": "a b.C"}, "notifier must be a class"),
        ({"notifier": "https://hooks.slack.com/services/x"}, "notifier must be a class"),
        ({"notifier": None}, "notifier must be a class"),
        ({"notifier": notifiers.SyncNotifier()}, "notifier must be a class"),
        ({"notifier": notifiers.NoNotifier}, "NoNotifier is not derived from Airflow's BaseNotifier"),
        ({"notifier_kwargs": ["text"]}, "notifier_kwargs must be a mapping"),
        ({"notifier_kwargs": {1: "text"}}, "notifier_kwargs must be a mapping"),
        ({"notifier_kwargs": {"at": datetime.now(UTC)}}, "notifier_kwargs must be plain JSON: .*datetime"),
        ({"notifier_kwargs": {"n": float("nan")}}, "notifier_kwargs must be plain JSON"),
        ({"notifier_kwargs": {"context": {}}}, "notifier_kwargs must not contain context"),
        ({"resolve": 1}, "resolve must be True or False, not 1"),
        ({"resolve": None}, "resolve must be True or False, not None"),
    ],
)
def test_wrong_argument_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=f"^MigrationAlert .*{problem}"):
        MigrationAlert(**{"when": "paused", "notifier": PATH, **given})


def test_class_of_a_dag_file_is_refused() -> None:
    class Local(notifiers.SyncNotifier):
        pass

    in_dag_file = type("Mine", (notifiers.SyncNotifier,), {"__module__": "unusual_prefix_0a1b_my_dag"})
    for notifier in (Local, in_dag_file):
        with pytest.raises(MigrationConfigurationError, match="move it to a module of its own"):
            alert("paused", notifier=notifier)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"notifier": notifiers.SyncNotifier}, {"notifier": PATH}),
        ({"notifier": f" {PATH}\n"}, {"notifier": PATH}),
        ({"after": timedelta(minutes=1)}, {"after": 60.0}),
        ({"after": 60}, {"after": 60.0}),
        ({"notifier_kwargs": {"a": 1, "b": (2,)}}, {"notifier_kwargs": {"b": [2], "a": 1}}),
        ({"notifier_kwargs": None}, {"notifier_kwargs": {}}),
    ],
)
def test_key_is_that_of_the_meaning(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert alert("paused", **one).key == alert("paused", **other).key


def test_key_differs_with_each_argument() -> None:
    different = [
        alert("lag_above"),
        alert("remaining_above", above=60),
        alert("lag_above", notifier=notifiers.AsyncNotifier),
        alert("lag_above", after=1),
        alert("lag_above", above=61),
        alert("lag_above", notifier_kwargs={"text": "x"}),
        alert("lag_above", resolve=False),
    ]
    assert len({each.key for each in different}) == len(different)
    assert alerts_to_json(different) == [each.to_json() for each in different]


def test_key_is_the_same_in_another_process() -> None:
    """A triggerer on another host finds the state by it."""
    code = (
        "from airflow_provider_migration.alerts import MigrationAlert as A\n"
        "print(A('lag_above', 'a.B', above=60, notifier_kwargs={'x': 1, 'y': 2}).key)"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout.decode()
        for seed in ("1", "2")
    }
    here = MigrationAlert("lag_above", "a.B", above=60, notifier_kwargs={"y": 2, "x": 1}).key
    assert keys == {f"{here}\n"}


@pytest.mark.parametrize("given", ["paused", {"when": "paused"}, None, 1, alert("paused")])
def test_alerts_must_be_a_list(given: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"^alerts must be a list of MigrationAlert"):
        alerts_to_json(given)


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: alerts_to_json({"webhook": secret}),  # type: ignore[arg-type] # a mistake
        lambda secret: alerts_to_json([{"when": "paused", "url": secret}]),  # type: ignore[list-item] # another
        lambda secret: MigrationAlert("paused", secret),
    ],
)
def test_message_shows_no_secret(make: Callable[[str], Any]) -> None:
    with pytest.raises(MigrationConfigurationError) as refused:
        make("https://hooks.slack.com/services/T0123/B0123/Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8")
    assert "slack.com/services" not in str(refused.value)


def test_alert_given_twice_is_refused() -> None:
    with pytest.raises(
        MigrationConfigurationError, match=r"'paused'. is given twice in alerts: leave one out"
    ):
        alerts_to_json([alert("paused"), alert("failed"), alert("paused", after=0.0)])


def test_alert_of_a_later_version_is_skipped() -> None:
    known = alert("paused").to_json()
    later = [{**known, "when": "overheated"}, {**known, "color": "red"}, {"when": "paused"}, known]
    assert readable_alerts(tuple(later)) == (alert("paused"), alert("paused"))


SLACK_WEBHOOK = "https://hooks.slack.com/services/T00000000/B00000000/" + "X1" * 12


@pytest.mark.parametrize(
    "kwargs",
    [
        {"token": "xoxb"},
        {"slack_token": "x"},
        {"password": "x"},
        {"Password": "x"},
        {"smtp_passwd": "x"},
        {"client_secret": "x"},
        {"apiKey": "x"},
        {"api-key": "x"},
        {"X-Api-Key": "x"},
        {"access_key": "x"},
        {"routing_key": "x"},
        {"credentials": ["x"]},
        {"webhook_url": "https://x.example"},
        {"webhook": "https://x.example"},
        {"headers": {"Authorization": "x"}},
        {"headers": [["Authorization", "Bearer " + "a1" * 16]]},
        {"header": "Authorization: Bearer " + "a1" * 16},
        {"url": SLACK_WEBHOOK},
        {"text": f"curl {SLACK_WEBHOOK} failed"},
        {"url": SLACK_WEBHOOK + "{{ '' }}"},
        {"url": "https://oapi.dingtalk.com/robot/send?access_token=" + "a1" * 32},
        {"url": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"},
        {"url": "https://open.feishu.cn/open-apis/bot/v2/hook/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"},
        {"url": "https://api.telegram.org/bot123456789:" + "AbC-_" * 7 + "/sendMessage"},
        {"url": "https://x.webhook.office.com/webhookb2/0a1b@0a1b/IncomingWebhook/" + "0a" * 16 + "/0a1b"},
        {"servers": ["slack://TokenA/TokenB/TokenC"]},
        {"servers": "dingtalk://token"},
        {"servers": "wecombot://key/"},
        {"servers": ["mailtos://user:secret@mail.example"]},
        {"url": "https://user:secret@mail.example/x"},
        {"bot": "xoxb-123456789012-abcdef"},
        {"pem": "-----BEGIN RSA PRIVATE KEY-----\nMII"},
        {"attachments": [{"actions": [{"auth_token": "x"}]}]},
    ],
)
def test_secret_is_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(
        MigrationConfigurationError,
        match=r"a secret in '\w.*', which would be stored with the trigger: put it into a connection",
    ):
        alert("paused", notifier_kwargs=kwargs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"slack_conn_id": "slack"},
        {"token_conn_id": "x"},
        {"credentials_id": "x"},
        {"token_url": "https://login.example/token"},
        {"secret_name": "x"},
        {"dedup_key": "x"},
        {"sort_key": "x"},
        {"key": "x"},
        {"max_tokens": 5},
        {"use_token": True},
        {"token": None},
        {"token": ""},
        {"text": "The token of the key has expired: password wrong, see secret://"},
        {"text": "Basic information about the migration"},
        {"text": "Basic"},
        {"token": "{{ conn.chat.password }}"},
        {"headers": {"Authorization": "Bearer {{ conn.chat.password }}"}},
        {"url": "https://{{ conn.chat.login }}:{{ conn.chat.password }}@chat.example"},
        {"url": "https://hooks.slack.com/services/{{ conn.chat.password }}"},
        {"url": "{{ conn.chat.schema }}://{{ conn.chat.host }}"},
        {"text": "{{ alert.text }}", "channel": "#dba"},
        {"runbook": "https://wiki.example/webhooks/how-to-rotate-all-secrets"},
        {"link": "https://jira.example/browse?key=OPS-1"},
        {"link": "https://dts.console.aliyun.com/?region=cn-hangzhou#/job/abcdefgh1234567890"},
        {"image": "s3://bucket/path/a.png"},
        {"to": ["dba@example.com"], "from_email": "Airflow <airflow@example.com>"},
    ],
)
def test_what_is_no_secret_is_allowed(kwargs: dict[str, Any]) -> None:
    assert alert("paused", notifier_kwargs=kwargs).notifier_kwargs == kwargs


# --- decision -------------------------------------------------------------------------------------------

EPOCH = datetime.fromtimestamp(1_800_000_000, UTC)
BUSY = MigrationServiceError("busy")
REFUSED = MigrationAuthenticationError("wrong key")
USED_UP = MigrationThrottledError("the quota of the day is used up")
USED_UP.quota_exhausted = True


def record(state: str = "running", **fields: Any) -> MigrationProgress:
    return MigrationProgress(
        **{"service": "dts", "migration_id": "dts1", "state": state, "observed_at": EPOCH, **fields}
    )


def copied(percent: float | None, **fields: Any) -> MigrationProgress:
    """Make the record of a migration that is copying existing data."""
    return record(percent=percent, phases=[Phase(name="full", state="running", percent=percent)], **fields)


def checked(state: str, **fields: Any) -> MigrationProgress:
    return record("caught_up", verification=Verification(state=state), **fields)


def tracker_of(*alerts: MigrationAlert, **policy: Any) -> WaitTracker:
    given = {"targets": ("succeeded",), "started_at": 0, "deadline": 1e9, "max_poll_errors": None, **policy}
    return WaitTracker(WaitPolicy(**given, alerts=tuple(alerts_to_json(list(alerts)))))


def poll(
    tracker: WaitTracker, what: Any, now: float, *, is_watcher: bool = False
) -> tuple[Verdict, list[Notification]]:
    """Poll once as sensors and triggers do, and return the verdict and the messages that are due."""
    tracker.begin_poll(now)
    error = what if isinstance(what, MigrationError) else None
    if error is not None:
        verdict = tracker.fail_poll(error, now)
    else:
        found = record(what) if isinstance(what, str) else what
        observed_at = EPOCH + timedelta(seconds=now)
        verdict = tracker.observe(found.model_copy(update={"observed_at": observed_at}), now)
    is_last = verdict.ends and not is_watcher
    return verdict, tracker.notifications(verdict, error, now, is_last=is_last)


def words(due: Iterable[Notification]) -> list[str]:
    """Return messages as ``seconds condition [over]``."""
    return [f"{each.at:g} {each.alert.when}{' over' if each.is_over else ''}" for each in due]


Script = Sequence[Any]
"""A poll each minute, or ``(second, poll)``: a record, a state or an error."""


def told(tracker: WaitTracker, script: Script, *, is_watcher: bool = False) -> list[str]:
    """Play a script, and return the messages."""
    said: list[str] = []
    for number, step in enumerate(script):
        now, what = step if isinstance(step, tuple) else (60 * number, step)
        verdict, due = poll(tracker, what, now, is_watcher=is_watcher)
        said += words(due)
        if verdict.ends and not is_watcher:
            break
    return said


STILL = copied(50)
LATE, PROMPT, SILENT = record(lag_seconds=100), record(lag_seconds=10), record()
LONG, SHORT = copied(50, remaining_seconds=7200), copied(50, remaining_seconds=60)
DIFFERENT, SAME = checked("inconsistent"), checked("consistent")


@pytest.mark.parametrize(
    ("when", "bad", "good"),
    [
        ("lag_above", LATE, PROMPT),
        ("lag_above", LATE, record("caught_up", lag_seconds=0)),
        ("lag_above", LATE, "succeeded"),
        ("remaining_above", LONG, SHORT),
        ("remaining_above", LONG, copied(100)),
        ("paused", "paused", "running"),
        ("paused", "paused", "pending"),
        ("paused", "paused", "failed"),
        ("polls_failing", BUSY, "running"),
        ("polls_failing", REFUSED, "paused"),
        ("verification_failed", DIFFERENT, SAME),
        ("verification_failed", checked("failed"), SAME),
        ("reached", "succeeded", "running"),
        ("failed", "failed", "running"),
        ("failed", "partially_succeeded", "running"),
    ],
)
class TestEachCondition:
    """Of a watcher, whose wait never ends."""

    def test_is_told_once_after_its_duration(self, when: str, bad: Any, good: Any) -> None:
        said = told(tracker_of(alert(when, after=120)), [good, *[bad] * 6], is_watcher=True)
        assert said == [f"180 {when}"]

    def test_that_passes_sooner_is_not_told(self, when: str, bad: Any, good: Any) -> None:
        script = [good, bad, bad, good] * 3
        assert told(tracker_of(alert(when, after=120)), script, is_watcher=True) == []

    def test_is_told_at_once_without_a_duration(self, when: str, bad: Any, good: Any) -> None:
        assert told(tracker_of(alert(when)), [bad, bad], is_watcher=True) == [f"0 {when}"]

    def test_is_told_when_it_is_over_and_again(self, when: str, bad: Any, good: Any) -> None:
        script = [good, bad, bad, good, good, bad, good]
        assert told(tracker_of(alert(when)), script, is_watcher=True) == [
            f"60 {when}",
            f"180 {when} over",
            f"300 {when}",
            f"360 {when} over",
        ]

    def test_end_is_not_told_without_resolve(self, when: str, bad: Any, good: Any) -> None:
        script = [good, bad, good, bad, good]
        said = told(tracker_of(alert(when, resolve=False)), script, is_watcher=True)
        assert said == [f"60 {when}", f"180 {when}"]

    def test_alerts_of_one_condition_are_independent(self, when: str, bad: Any, good: Any) -> None:
        alerts = [alert(when), alert(when, after=90), alert(when, notifier=notifiers.AsyncNotifier)]
        tracker = tracker_of(*alerts)
        due = [
            poll(tracker, what, 60 * i, is_watcher=True)[1] for i, what in enumerate([bad, bad, bad, good])
        ]
        assert [[each.alert.key for each in each_due] for each_due in due] == [
            [alerts[0].key, alerts[2].key],
            [],
            [alerts[1].key],
            [each.key for each in alerts],
        ]
        assert {each.since for each_due in due for each in each_due} == {0}

    def test_answer_that_says_nothing_decides_nothing(self, when: str, bad: Any, good: Any) -> None:
        if when == "polls_failing":  # any answer is an answer
            script, expected = [bad, "unknown"], ["0 polls_failing", "60 polls_failing over"]
        else:
            script = [bad, "unknown", BUSY, bad, "unknown", BUSY, good]
            expected = [f"0 {when}", f"360 {when} over"]
        assert told(tracker_of(alert(when)), script, is_watcher=True) == expected

    def test_clock_that_is_set_back_begins_again(self, when: str, bad: Any, good: Any) -> None:
        tracker = tracker_of(alert(when, after=120))
        script = [(100_060, bad), (100_120, bad), (60, bad), (120, bad), (180, bad), (240, good)]
        assert told(tracker, script, is_watcher=True) == [f"180 {when}", f"240 {when} over"]

    def test_clock_that_is_set_back_repeats_nothing(self, when: str, bad: Any, good: Any) -> None:
        tracker = tracker_of(alert(when, after=60))
        script = [(9000, bad), (9060, bad), (60, bad), (90, bad), (180, bad), (240, good)]
        assert told(tracker, script, is_watcher=True) == [f"9060 {when}", f"240 {when} over"]

    def test_gap_begins_again(self, when: str, bad: Any, good: Any) -> None:
        """Nobody has seen that it held in between; failing polls were not answered in between."""
        tracker = tracker_of(alert(when, after=120))
        said = told(tracker, [(0, bad), (9000, bad), (9060, bad), (9120, bad)], is_watcher=True)
        assert said == [f"{9000 if when == 'polls_failing' else 9120} {when}"]


STALL = ["240 stalled"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([STILL] * 4, []),
        ([STILL] * 9, STALL),
        ([STILL, STILL, copied(51), *[copied(51)] * 5], ["360 stalled"]),
        ([*[STILL] * 6, copied(51)], [*STALL, "360 stalled over"]),
        ([*[STILL] * 5, copied(51), *[copied(51)] * 4], [*STALL, "300 stalled over", "540 stalled"]),
        ([*[STILL] * 5, "succeeded"], [*STALL, "300 stalled over"]),
        # A stop that was meant.
        (["paused"] * 9, []),
        (["pending"] * 9, []),
        (["caught_up"] * 9, []),
        (["succeeded"] * 9, []),
        (["cancelled"] * 9, []),
        (["failed"] * 9, []),
        (["unknown"] * 9, []),
        ([STILL, STILL, STILL, "paused", STILL, STILL, STILL, STILL], []),
        ([STILL, STILL, STILL, "paused", *[STILL] * 5], ["480 stalled"]),
        ([STILL, STILL, STILL, "failed", *[STILL] * 5], ["480 stalled"]),
        # Neither a pause nor another word is movement.
        ([*[STILL] * 5, "paused", "paused", STILL, STILL], STALL),
        ([*[STILL] * 5, "paused", copied(51), copied(51)], [*STALL, "360 stalled over"]),
        ([*[STILL] * 5, "failed", "failed"], STALL),
        ([*[STILL] * 5, "failed", STILL, STILL], STALL),
        ([*[STILL] * 5, "cancelled", "cancelled"], STALL),
        ([*[STILL] * 5, "partially_succeeded"], STALL),
        ([*[STILL] * 5, "unknown", STILL, "unknown", copied(51)], [*STALL, "480 stalled over"]),
        ([*[STILL] * 5, copied(50, service_status="Retrying"), STILL], STALL),
        ([*[STILL] * 5, copied(50, error={"message": "again"}), STILL], STALL),
        ([STILL, copied(50, service_status="Retrying")] * 4, STALL),
        # Figures that are missing now and then.
        ([STILL, record()] * 4, STALL),
        ([STILL, copied(None)] * 4, STALL),
        ([STILL, copied(50, objects=ObjectSummary(total=9, completed=1))] * 4, STALL),
        ([STILL, "unknown", STILL, BUSY, STILL, STILL], STALL),
        # A lag that is rounded, of a position that stands still.
        ([record(lag_seconds=600 + 60 * i + (i % 3)) for i in range(6)], STALL),
        ([record(lag_seconds=600) for i in range(6)], []),
        (
            [record(lag_seconds=600 + 60 * i) for i in range(5)] + [record(lag_seconds=640)],
            [*STALL, "300 stalled over"],
        ),
        # The lag of a paused job may stay as it was; that of a stuck one grows with the time.
        (
            [
                *[record(lag_seconds=60 * i) for i in range(5)],
                *[record("paused", lag_seconds=240)] * 3,
                *[record(lag_seconds=60 * i) for i in (8, 9)],
                record(lag_seconds=9),
            ],
            [*STALL, "600 stalled over"],
        ),
        # Tables and phases move although the percentage does not.
        ([copied(50, objects=ObjectSummary(total=9, completed=i)) for i in range(9)], []),
        (
            [
                copied(
                    50,
                    objects={
                        "total": 9,
                        "completed": 1,
                        "slowest": [ObjectProgress(source="a", destination="a", percent=i)],
                    },
                )
                for i in range(9)
            ],
            [],
        ),
        ([record(phases=[Phase(name="full", state="running", done=i)]) for i in range(9)], []),
        (
            [
                *[record(phases=[Phase(name="precheck", state="running")])] * 4,
                record(phases=[Phase(name="precheck", state="succeeded")]),
                STILL,
            ],
            [],
        ),
    ],
)
def test_stall(script: Script, expected: list[str]) -> None:
    assert told(tracker_of(alert("stalled", after=240)), script, is_watcher=True) == expected


def test_stall_is_told_since_the_last_movement() -> None:
    tracker = tracker_of(alert("stalled", after=240))
    due = [each for i in range(9) for each in poll(tracker, copied(min(i, 2)), 60 * i)[1]]
    assert [(each.since, each.at) for each in due] == [(120, 360)]


def test_check_that_is_awaited_stalls() -> None:
    """As for ``stall_timeout``: the data check is the work that is left."""

    def comparing(percent: float) -> MigrationProgress:
        return record("caught_up", verification=Verification(state="running", percent=percent))

    script = [*[comparing(10)] * 6, comparing(11)]
    stalled = alert("stalled", after=240)
    assert told(tracker_of(stalled, targets=("verified",)), script) == ["240 stalled", "360 stalled over"]
    assert told(tracker_of(stalled), script) == []


def test_check_that_nobody_awaits_hides_no_stall() -> None:
    script = [copied(50, verification=Verification(state="running", percent=i)) for i in range(6)]
    assert told(tracker_of(alert("stalled", after=240)), script) == ["240 stalled"]


def test_object_without_a_percentage_is_no_movement() -> None:
    objects = {"total": 2, "completed": 1, "slowest": [ObjectProgress(source="a", destination="a")]}
    script = [copied(50, objects=objects)] * 6
    assert told(tracker_of(alert("stalled", after=240)), script) == ["240 stalled"]


@pytest.mark.parametrize(
    "state", ["pending", "paused", "failed", "cancelled", "partially_succeeded", "unknown"]
)
@pytest.mark.parametrize(
    ("when", "bad"), [("lag_above", {"lag_seconds": 100}), ("remaining_above", {"remaining_seconds": 7200})]
)
def test_figure_counts_only_while_the_migration_works(when: str, bad: dict[str, Any], state: str) -> None:
    """A migration that stands still has no lag to be over, and none to complain of."""
    fine = dict.fromkeys(bad, 1)
    assert told(tracker_of(alert(when)), [record(state, **bad)] * 5, is_watcher=True) == []
    script = [record(**bad), record(state, **fine), record(state), record(**bad), record(**fine)]
    assert told(tracker_of(alert(when)), script, is_watcher=True) == [f"0 {when}", f"240 {when} over"]
    begins_again = state != "unknown"
    script = [record(**bad), record(**bad), record(state), record(**bad), record(**bad)]
    said = told(tracker_of(alert(when, after=180)), script, is_watcher=True)
    assert said == ([] if begins_again else [f"180 {when}"])


@pytest.mark.parametrize(
    ("when", "bad", "good"), [("lag_above", LATE, PROMPT), ("remaining_above", LONG, SHORT)]
)
def test_unknown_figure_decides_nothing(when: str, bad: Any, good: Any) -> None:
    assert told(tracker_of(alert(when)), [SILENT] * 5) == []
    assert told(tracker_of(alert(when, after=120)), [bad, SILENT, bad]) == [f"120 {when}"]
    assert told(tracker_of(alert(when)), [bad, SILENT, good]) == [f"0 {when}", f"120 {when} over"]


def test_copy_that_is_paused_at_its_end_has_time_left() -> None:
    script = [LONG, record("paused", percent=100), LONG]
    assert told(tracker_of(alert("remaining_above")), script) == ["0 remaining_above"]


def test_check_that_runs_again_takes_nothing_back() -> None:
    undecided = [checked(state) for state in ("pending", "running", "unknown", "not_configured")]
    script = [DIFFERENT, *undecided, "caught_up", DIFFERENT, SAME]
    expected = ["0 verification_failed", "420 verification_failed over"]
    assert told(tracker_of(alert("verification_failed")), script) == expected


def test_figure_at_its_threshold_is_not_above() -> None:
    assert told(tracker_of(alert("lag_above", above=100)), [LATE]) == []
    assert told(tracker_of(alert("lag_above", above=0)), [record(lag_seconds=0), PROMPT]) == ["60 lag_above"]


@pytest.mark.parametrize(
    "script",
    [
        [BUSY, STILL, BUSY, STILL, BUSY, STILL],
        [STILL, BUSY, BUSY, STILL, BUSY, BUSY],
    ],
)
def test_polls_that_are_answered_now_and_then_do_not_fail(script: Script) -> None:
    assert told(tracker_of(alert("polls_failing", after=120)), script) == []


@pytest.mark.parametrize(("error", "pause"), [(REFUSED, 960), (USED_UP, 900)])
def test_watcher_that_polls_rarely_says_that_its_polls_fail(error: MigrationError, pause: float) -> None:
    script = [(0, STILL), *[(60 + pause * i, error) for i in range(4)], (60 + 4 * pause, STILL)]
    tracker = tracker_of(alert("polls_failing", after=1800), alert("stalled", after=600), alert("paused"))
    said = told(tracker, script, is_watcher=True)
    assert said == [f"{60 + 2 * pause} polls_failing", f"{60 + 4 * pause} polls_failing over"]


def test_check_before_a_pause_is_not_told() -> None:
    """The service must compare again: what it found is older than the last stop or copy."""

    def different(at: float) -> MigrationProgress:
        return record(
            "caught_up",
            verification=Verification(state="inconsistent", checked_at=EPOCH + timedelta(seconds=at)),
        )

    paused = record("paused", recheck_since=EPOCH, verification=Verification(state="inconsistent"))
    tracker = tracker_of(alert("verification_failed"))
    assert told(tracker, [paused, different(-60), different(-60), different(150)]) == [
        "180 verification_failed"
    ]
    # What was told is over only if a new check has found no difference.
    old = record("caught_up", verification=Verification(state="consistent", checked_at=EPOCH - timedelta(1)))
    script = [different(0), paused, old, checked("running"), "caught_up", checked("unknown")]
    assert told(tracker_of(alert("verification_failed")), script) == ["0 verification_failed"]


@pytest.mark.parametrize(
    ("script", "policy", "expected"),
    [
        (["running", "succeeded"], {}, ["60 reached"]),
        (["running", "failed"], {}, ["60 failed"]),
        (["running", "cancelled"], {}, ["60 failed"]),
        (["running", "partially_succeeded"], {}, ["60 failed"]),
        (["running", "paused"], {"on_paused": "fail"}, ["60 failed"]),
        (["running", "paused"], {"on_paused": "skip"}, []),
        (["running", "unknown"], {"on_unknown": "fail"}, ["60 failed"]),
        ([STILL] * 9, {"stall_timeout": 120}, ["120 failed"]),
        (["running", "running"], {"deadline": 60}, ["60 failed"]),
        (["running", BUSY], {"deadline": 60}, ["60 failed"]),
        (["running", REFUSED], {}, ["60 failed"]),
        (["running", BUSY, BUSY], {"max_poll_errors": 1}, ["120 failed"]),
        (["running", "failed", "failed", "running"], {"failure_grace": 600}, []),
        (
            ["running", "caught_up", "running", "caught_up", "caught_up", "caught_up"],
            {"targets": ("caught_up",), "hold_for": 120},
            ["300 reached"],
        ),
        (["running", "caught_up", "running"], {"targets": ("caught_up",), "hold_for": 60}, []),
        ([DIFFERENT], {"targets": ("verified",), "on_mismatch": "fail"}, ["0 failed"]),
        (["paused"], {"targets": ("paused",)}, ["0 reached"]),
        (["unknown"], {"targets": ("unknown",)}, ["0 reached"]),
        # Both are true.
        (["failed"], {"targets": ("failed",)}, ["0 reached", "0 failed"]),
    ],
)
def test_end_of_a_wait_is_told_whatever_the_duration(
    script: Script, policy: dict[str, Any], expected: list[str]
) -> None:
    alerts = [alert("reached", after=3600), alert("failed", after=3600), alert("stalled", after=3600)]
    assert told(tracker_of(*alerts, **policy), script) == expected


def test_end_of_a_wait_leaves_nothing_that_still_holds() -> None:
    alerts = [alert(when, **({"after": 60} if when == "stalled" else {})) for when in CONDITIONS]
    late = copied(50, lag_seconds=100, remaining_seconds=7200)
    tracker = tracker_of(*alerts, deadline=120)
    assert told(tracker, [late, copied(50, lag_seconds=160, remaining_seconds=7200), BUSY]) == [
        "0 lag_above",
        "0 remaining_above",
        "60 stalled",
        "120 polls_failing",
        "120 failed",
    ]


def test_poll_error_of_a_task_that_is_retried_is_not_the_end() -> None:
    tracker = tracker_of(alert("failed"))
    verdict = tracker.fail_poll(REFUSED, 0)
    assert verdict.outcome is Outcome.POLL_ERROR
    assert tracker.notifications(verdict, REFUSED, 0, is_last=False) == []
    assert words(tracker.notifications(verdict, REFUSED, 0, is_last=True)) == ["0 failed"]


@pytest.mark.parametrize("polls", [[STILL], [STILL, BUSY], []])
def test_end_without_a_last_poll_claims_nothing_about_it(polls: Script) -> None:
    """A poll that hangs until the deadline, or no triggerer, has neither failed nor answered."""
    alerts = [alert("polls_failing"), alert("paused"), alert("failed"), alert("lag_above")]
    tracker = tracker_of(*alerts)
    said = told(tracker, polls)
    at_the_end = tracker.time_out(120, "The last poll did not end in time.")
    assert said == ["60 polls_failing"][: len(polls) - 1 if polls else 0]
    assert words(tracker.notifications(at_the_end, None, 120, is_last=True)) == ["120 failed"]


def test_yes_of_a_trigger_without_a_history_is_told() -> None:
    tracker = tracker_of(alert("reached"), alert("polls_failing"))
    tracker.progress = record("succeeded")
    assert words(tracker.notifications(Verdict(Outcome.DONE), None, 5, is_last=True)) == ["5 reached"]


def test_record_that_is_shown_when_nothing_polled_is_no_answer() -> None:
    sent = tracker_of(alert("polls_failing"), alert("stalled", after=60))
    told(sent, [STILL, STILL, BUSY])
    stored = {**sent.alerts_to_json()}
    tracker = tracker_of(alert("polls_failing"), alert("stalled", after=60), alert("paused"))
    tracker.progress = record("paused")
    tracker.restore_alerts(stored)
    assert tracker.notifications(tracker.time_out(999, ""), None, 999, is_last=True) == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # The job is released after the cut-over: the target was reached, and nothing has failed.
        (["running", "succeeded", "cancelled", "cancelled"], ["60 reached", "120 reached over"]),
        (["running", "cancelled", "cancelled"], []),
        (["succeeded", "unknown", "succeeded", BUSY, "succeeded"], ["0 reached"]),
        (["succeeded", REFUSED, "running"], ["0 reached", "120 reached over"]),
        (["failed", "unknown", "failed"], ["0 failed"]),
    ],
)
def test_watcher_goes_on(script: Script, expected: list[str]) -> None:
    assert told(tracker_of(alert("reached"), alert("failed")), script, is_watcher=True) == expected


def test_watcher_holds_its_target_before_it_tells_again() -> None:
    tracker = tracker_of(alert("reached"), targets=("caught_up",), hold_for=120)
    script = [
        "caught_up",
        "caught_up",
        "caught_up",
        "caught_up",
        "running",
        "caught_up",
        "caught_up",
        "caught_up",
    ]
    assert told(tracker, script, is_watcher=True) == ["120 reached", "240 reached over", "420 reached"]
    # A gap begins hold_for again, and takes nothing back.
    assert told(tracker, [(9000, "caught_up"), (9060, "caught_up")], is_watcher=True) == []


# --- restart --------------------------------------------------------------------------------------------


class Restarting:
    """A wait whose triggerer can be killed: what is left is its start, and what was stored with a message."""

    def __init__(self, tracker: WaitTracker) -> None:
        self.tracker = tracker
        self.start = json.dumps(tracker.to_json())
        self.stored: str | None = None
        self.said: list[Notification] = []

    def poll(self, what: Any, now: float) -> list[str]:
        _, due = poll(self.tracker, what, now, is_watcher=True)
        if due:
            self.stored = json.dumps(self.tracker.alerts_to_json())
        self.said += due
        return words(due)

    def restart(self, now: float) -> None:
        self.tracker = WaitTracker.from_json(json.loads(self.start))
        self.tracker.reset_durations_after_gap(now)
        if self.stored is not None:
            self.tracker.restore_alerts(json.loads(self.stored))


RESTART = "restart"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([*[STILL] * 6, RESTART, STILL, STILL, STILL], STALL),
        ([*[STILL] * 6, RESTART, copied(51), copied(51)], [*STALL, "360 stalled over"]),
        ([*[STILL] * 5, "paused", RESTART, "paused", STILL, STILL], STALL),
        ([*[STILL] * 5, "paused", RESTART, STILL, STILL, copied(51)], [*STALL, "480 stalled over"]),
        ([*[STILL] * 5, RESTART, "unknown", RESTART, STILL, BUSY, RESTART, STILL], STALL),
        ([*[STILL] * 4, RESTART, *[STILL] * 3], []),
        ([*[STILL] * 4, RESTART, *[STILL] * 6], ["480 stalled"]),
        ([*[STILL] * 5, copied(51), RESTART, *[copied(51)] * 2], [*STALL, "300 stalled over"]),
    ],
)
def test_restart_during_a_stall(script: Script, expected: list[str]) -> None:
    wait, said, now = Restarting(tracker_of(alert("stalled", after=240))), [], 0
    for what in script:
        if what is RESTART:
            wait.restart(now)
        else:
            said += wait.poll(what, now)
            now += 60
    assert said == expected


def test_restart_keeps_no_duration_that_was_stored_with_another_message() -> None:
    """The stored state is as old as the last message: polls after it may have seen that all is well."""
    alerts = [alert("polls_failing", resolve=False), alert("polls_failing", after=600)]
    wait = Restarting(tracker_of(*alerts))
    assert [wait.poll(what, 60 * i) for i, what in enumerate([BUSY, STILL])] == [["0 polls_failing"], []]
    wait.restart(1200)
    assert [wait.poll(BUSY, 1200 + 60 * i) for i in range(11)] == [[]] * 10 + [["1800 polls_failing"]]


def test_polls_that_failed_before_a_restart_may_have_been_answered() -> None:
    tracker = tracker_of(alert("polls_failing", after=600))
    tracker.fail_poll(BUSY, 0)
    tracker.notifications(Verdict(Outcome.WAIT), BUSY, 0, is_last=False)
    wait = Restarting(tracker)
    for now in range(60, 3600, 60):
        assert wait.poll(STILL, now) == []
    wait.restart(3600)
    assert wait.poll(BUSY, 3600) == []
    assert wait.poll(BUSY, 3660) == []


KINDS: list[Any] = [
    STILL,
    copied(51),
    record(lag_seconds=100, percent=52),
    record(lag_seconds=1),
    LONG,
    SHORT,
    "pending",
    "paused",
    "unknown",
    "failed",
    "cancelled",
    "partially_succeeded",
    "caught_up",
    "succeeded",
    DIFFERENT,
    SAME,
    checked("running"),
    BUSY,
    REFUSED,
]
STEPS = st.lists(
    st.tuples(st.sampled_from([*KINDS, RESTART]), st.sampled_from([1, 30, 60, 60, 60, 200, 5000, -3600])),
    max_size=40,
)
TARGETS = st.sampled_from([("caught_up",), ("succeeded",), ("verified",), ("paused",)])


@settings(max_examples=200, deadline=None)
@given(STEPS, TARGETS, st.sampled_from([0, 60]), st.sampled_from([0, 60, 150]))
def test_messages_alternate_over_restarts_and_clocks(
    steps: list[tuple[Any, float]], targets: tuple[str, ...], hold_for: float, after: float
) -> None:
    alerts = [alert(when, after=after or (1 if when == "stalled" else 0)) for when in CONDITIONS]
    alerts += [alert(when, after=300, notifier=notifiers.AsyncNotifier) for when in CONDITIONS]
    wait, now = Restarting(tracker_of(*alerts, targets=targets, hold_for=hold_for)), 1e6
    for what, pause in steps:
        now += pause
        if what is RESTART:
            wait.restart(now)
        else:
            wait.poll(what, now)
            json.dumps(wait.tracker.to_json(), allow_nan=False)
            wait.tracker = WaitTracker.from_json(json.loads(json.dumps(wait.tracker.to_json())))
    for each in wait.said:
        assert each.since <= each.at
        assert each.is_over or each.at - each.since >= each.alert.after
    for one in alerts:
        ends = [each.is_over for each in wait.said if each.alert == one]
        assert not ends or ends[0] is False
        assert all(later is not before for before, later in pairwise(ends))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(KINDS), max_size=30), st.sets(st.integers(0, 30)), TARGETS)
def test_restart_changes_no_message(polls: list[Any], restarts: set[int], targets: tuple[str, ...]) -> None:
    """Without a duration, all that is due is told, whenever the triggerer is killed."""
    alerts = [alert(when) for when in CONDITIONS if when != "stalled"]
    undisturbed, killed = (Restarting(tracker_of(*alerts, targets=targets)) for _ in range(2))
    for number, what in enumerate(polls):
        if number in restarts:
            killed.restart(60 * number)
        assert killed.poll(what, 60 * number) == undisturbed.poll(what, 60 * number)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*KINDS, *KINDS[:2] * 5]), max_size=40))
def test_stall_is_told_only_while_the_migration_works(polls: list[Any]) -> None:
    tracker = tracker_of(alert("stalled", after=60))
    for number, what in enumerate(polls):
        for due in poll(tracker, what, 60 * number, is_watcher=True)[1]:
            state = tracker.progress and tracker.progress.state
            assert not isinstance(what, MigrationError)
            assert state in ("running", "caught_up", "succeeded") if due.is_over else state == "running"


# --- stored state ---------------------------------------------------------------------------------------

STORED: dict[str, Any] = {"alerts": {"abc": [1.0, True]}, "figures": {"percent": 5.0}}


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        "x",
        {},
        {**STORED, "alerts": []},
        {**STORED, "alerts": {"abc": None}},
        {**STORED, "alerts": {"abc": [1.0]}},
        {**STORED, "alerts": {"abc": [1.0, True, 0]}},
        {**STORED, "alerts": {"abc": ["1", True]}},
        {**STORED, "alerts": {"abc": [None, True]}},
        {**STORED, "alerts": {"abc": [True, True]}},
        {**STORED, "alerts": {"abc": [float("nan"), True]}},
        {**STORED, "alerts": {"abc": [1.0, 1]}},
        {**STORED, "figures": [5.0]},
        {**STORED, "figures": "x"},
        {**STORED, "figures": {"percent": "5"}},
        {**STORED, "figures": {"percent": float("inf")}},
        {**STORED, "figures": {"percent": True}},
        {"alerts": STORED["alerts"]},
        {"figures": STORED["figures"]},
    ],
)
def test_stored_state_that_cannot_be_read_changes_nothing(stored: Any) -> None:
    tracker = tracker_of(alert("paused"), alert("stalled"))
    poll(tracker, STILL, 0)
    before = tracker.to_json()
    with pytest.raises(ValueError, match=r"must (be|have) .*not "):
        tracker.restore_alerts(stored)
    assert tracker.to_json() == before
    assert told(tracker, [(60, "paused"), (120, "running")]) == ["60 paused", "120 paused over"]


@pytest.mark.parametrize(
    "stored",
    [
        STORED,
        {**STORED, "alerts": None, "figures": None},
        {**STORED, "alerts": {}, "figures": {}, "of_a_later_version": 1},
    ],
)
def test_stored_state_of_alerts_that_are_gone_is_dropped(stored: Any) -> None:
    tracker = tracker_of(alert("paused"))
    tracker.restore_alerts(stored)
    assert told(tracker, ["paused", "running"]) == ["0 paused", "60 paused over"]
    assert tracker.alerts_to_json()["alerts"] == {}


@pytest.mark.parametrize("states", [[], "x", 1, {"abc": None}, {"abc": [1, True, 2]}])
def test_tracker_drops_states_that_it_cannot_read(states: Any) -> None:
    data = tracker_of(alert("paused")).to_json()
    data["history"]["alerts"] = states
    assert told(WaitTracker.from_json(data), ["paused"]) == ["0 paused"]


@pytest.mark.parametrize("figures", [[], "x", 1, {"percent": "5"}, {"percent": None}])
def test_tracker_drops_figures_that_it_cannot_read(figures: Any) -> None:
    data = tracker_of(alert("paused")).to_json()
    data["history"]["figures"] = figures
    assert told(WaitTracker.from_json(data), [STILL, "paused"]) == ["60 paused"]


def test_wait_without_alerts_keeps_nothing_for_them() -> None:
    tracker = tracker_of()
    assert told(tracker, [STILL, "paused", BUSY, "caught_up", "succeeded"]) == []
    assert {"alerts", "figures", "has_moved"}.isdisjoint(tracker.to_json()["history"])
