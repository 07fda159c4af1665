"""Triggerers are killed while migrations get into trouble and out of it: each message is sent once."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_migration.keys import ALERTS_KEY
from tests.sinks import Posted, WebhookSink
from tests.soak.alert_dags.abandoned import ABANDONED
from tests.soak.alert_dags.alerts import CASES, DURATION, FLEET, MAPPED, MOVING, ON_WORKERS, PAUSED, WATCHED
from tests.soak.alert_dags.endings import ENDINGS
from tests.soak.dags._sensors import ids, migration_id
from tests.soak.notifiers import sink_connections
from tests.soak.rig import ENDED, Rig, moving, rig, write_figures

log = logging.getLogger(__name__)

DAG = "alerts"
MIGRATIONS: dict[str, tuple[str, float, float | None, dict[str, Any]]] = {
    **{name: (case.service, case.bad, case.good, case.scenario) for name, case in CASES.items()},
    **dict.fromkeys(MAPPED, ("dts", *PAUSED)),
    **{name: ("oms", *PAUSED[:2], {**PAUSED[2], "name": name}) for name in FLEET},
    WATCHED: ("drs", *PAUSED),
    ON_WORKERS[0]: ("dts", *PAUSED),
    ON_WORKERS[1]: ("oms", *PAUSED),
    **{name: (service, 40, 40, {"script": script}) for name, (service, script, _) in ENDINGS.items()},
    ABANDONED: ("dts", 40, 40, {}),
}
"""By the name: the service, the second of trouble and the one without, and more of the scenario."""
TROUBLED = (*CASES, *MAPPED, *FLEET, WATCHED)
"""The migrations that get into trouble in each round."""

ARRIVED, SOON, LATER, DURING, LEAVING = (
    "as the first message arrives",
    "50 ms after the first message",
    "1 s after the first message",
    "3 s after the last message",
    "as the first message of an end arrives",
)
DELAYS = {ARRIVED: 0.0, SOON: 0.05, LATER: 1.0, LEAVING: 0.0}
"""By the moment of a kill: seconds after a message of this round."""
ROUNDS = (ARRIVED, SOON, LATER, DURING, LEAVING) * 4

WARNINGS = ("Cannot send", "Cannot tell whether", "may be sent again", "may be sent a second time")
"""Parts of the lines that tell of a message that may not be sent once."""

SETTLE_SECONDS = 30
"""Maximum seconds until every message that will come has come; a stall counts from six seconds on."""


@dataclass(frozen=True)
class Message:
    """A message as it arrived; :ivar at: epoch seconds."""

    at: float
    run: str
    migration: str
    when: str
    is_over: bool


@dataclass
class Round:
    """
    One time of trouble; times are epoch seconds.

    :ivar moment: when the triggerer was killed.
    :ivar stored: by the migration: what the dead triggerer had stored of its alert, True for "is sent".
    """

    moment: str
    began: float
    killed: float = 0
    back: float = 0
    polled: float = 0
    ended: float = 0
    stored: dict[str, bool] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def count(self, migration: str, *, is_over: bool, until: float = float("inf")) -> int:
        """Return the number of messages about a migration."""
        return sum(
            (message.migration, message.is_over) == (migration, is_over) and message.at <= until
            for message in self.messages
        )

    def lost(self, *, is_over: bool) -> list[str]:
        """Return the migrations whose message has not come."""
        return [name for name in TROUBLED if not self.count(name, is_over=is_over)]


@dataclass
class Results:
    """
    What has come of everything.

    :ivar on_workers: the messages of the sensors that no triggerer has.
    :ivar endings: the messages of the waits that end, without a triggerer and with a paused DAG.
    :ivar states: likewise the states of their tasks in the end.
    :ivar versions: the number of versions of each DAG.
    :ivar warnings: the lines with one of ``WARNINGS`` in the logs of tasks and triggers.
    """

    rounds: list[Round] = field(default_factory=list)
    on_workers: list[Message] = field(default_factory=list)
    endings: dict[str, list[Message]] = field(default_factory=dict)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    messages_while_paused: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class _Play:
    """Brings migrations into trouble and out of it, and kills triggerers meanwhile."""

    def __init__(self, parts: Rig, sink: WebhookSink) -> None:
        self.parts = parts
        self.results = Results()
        self.messages: list[Message] = []
        self.names = {str(migration_id(item[0], name)): name for name, item in MIGRATIONS.items()}
        self.places: dict[str, float | None] = {}
        self._struck = threading.Event()
        self._strike: tuple[bool, float] | None = None
        sink.on_arrival = self._arrived

    def play(self) -> Results:
        parts, results = self.parts, self.results
        for name, (_, _, good, _) in MIGRATIONS.items():
            self._move(name, good)
        run = self._trigger(DAG)
        parts.until(lambda: self._is_polled(set(MIGRATIONS) - {*ENDINGS, ABANDONED}), 300, "all are watched")
        parts.until(
            lambda: len(self._states(DAG, run, "deferred", "up_for_reschedule", "running")) >= 12,
            300,
            "all wait",
        )
        for name in ON_WORKERS:
            self._move(name, MIGRATIONS[name][1])
        with moving(parts.simulator, DURATION, 1, self._moving):
            for number, moment in enumerate(ROUNDS, 1):
                results.rounds.append(self._round(run, moment))
                self._report(number, results.rounds[-1])
        for name in ON_WORKERS:
            self._move(name, MIGRATIONS[name][2])
        self._settle(lambda: len(self._of(*ON_WORKERS)) >= 2 * len(ON_WORKERS))
        results.on_workers = self._of(*ON_WORKERS)
        self._end_with_a_kill()
        self._end_while_paused()
        for dag in (DAG, "endings", "abandoned", "after_watched"):
            results.versions[dag] = parts.api.get(f"/dags/{dag}/dagVersions")["total_entries"]
        for path in (parts.airflow.home / "logs").glob("dag_id=*/**/*.log"):
            lines = path.read_text().splitlines()
            results.warnings += [line for line in lines if any(warning in line for warning in WARNINGS)]
        return results

    def _round(self, run: str, moment: str) -> Round:
        """Let all get into trouble and out of it, and kill the triggerer at a moment."""
        here = Round(moment, time.time())
        already = len(self.messages)

        def take() -> None:
            here.messages = [m for m in self.messages[already:] if m.migration in TROUBLED]

        def have_come(*, is_over: bool) -> bool:
            take()
            return not here.lost(is_over=is_over)

        if moment in DELAYS:
            self._struck.clear()
            self._strike = (moment == LEAVING, DELAYS[moment])
        for name in TROUBLED:
            self._move(name, MIGRATIONS[name][1])
        if moment in (DURING, LEAVING):
            self._settle(lambda: have_come(is_over=False))
            self.parts.pause(3)
        if moment == LEAVING:
            self._recover()
        if moment == DURING:
            self.parts.kill("triggerer")
        else:
            assert self._struck.wait(60), "no message has come"
        here.killed = time.time()
        take()
        here.stored = {name: self._is_sent(run, name) for name in (*CASES, *MAPPED)}
        here.back = time.time()
        self.parts.start("triggerer")
        self.parts.until(lambda: self._is_polled(set(TROUBLED), here.back), 120, "all are polled again")
        here.polled = time.time()
        if moment != LEAVING:
            self._settle(lambda: have_come(is_over=False))
            self._recover()
        self._settle(lambda: have_come(is_over=True))
        self.parts.pause(4)  # a message that comes twice would come with the next poll
        take()
        here.ended = time.time()
        return here

    def _recover(self) -> None:
        for name in TROUBLED:
            self._move(name, MIGRATIONS[name][2])

    def _end_with_a_kill(self) -> None:
        """End migrations, and a wait that only Airflow can end, while there is no triggerer."""
        parts, since = self.parts, len(self.messages)
        runs = {dag: self._trigger(dag) for dag in ("endings", "abandoned")}
        parts.until(lambda: len(self._states("endings", runs["endings"], "deferred")) == 4, 120, "they wait")
        parts.until(
            lambda: bool(self._states("abandoned", runs["abandoned"], "deferred")), 60, "it waits as well"
        )
        parts.kill("triggerer")
        self._end_migrations()
        parts.until(
            lambda: bool(self._states("abandoned", runs["abandoned"], *ENDED)), 240, "Airflow ends the wait"
        )
        parts.start("triggerer")
        parts.until(lambda: len(self._states("endings", runs["endings"], *ENDED)) == 4, 180, "all have ended")
        parts.pause(5)
        self.results.endings["kill"] = self._of(*ENDINGS, ABANDONED, since=since)
        self.results.states["kill"] = {
            **self._all_states("endings", runs["endings"]),
            **self._all_states("abandoned", runs["abandoned"]),
        }

    def _end_while_paused(self) -> None:
        """End migrations while their DAG is paused, for longer than a verdict of a trigger is fresh."""
        parts, since = self.parts, len(self.messages)
        for name in ENDINGS:
            self._move(name, MIGRATIONS[name][2])
        run = self._trigger("endings")
        parts.until(lambda: len(self._states("endings", run, "deferred")) == 4, 120, "they wait")
        parts.api.patch("/dags/endings", {"is_paused": True})
        self._end_migrations()
        parts.pause(75)
        self.results.messages_while_paused = len(self._of(*ENDINGS, since=since))
        parts.api.patch("/dags/endings", {"is_paused": False})
        parts.until(lambda: len(self._states("endings", run, *ENDED)) == 4, 180, "all have ended")
        parts.pause(5)
        self.results.endings["pause"] = self._of(*ENDINGS, since=since)
        self.results.states["pause"] = self._all_states("endings", run)

    def _end_migrations(self) -> None:
        for name in ENDINGS:
            self._move(name, DURATION)

    def _arrived(self, posted: Posted) -> None:
        """Note a message, and kill the triggerer if it is one that was waited for."""
        said = json.loads(posted.body["message"])
        name = self.names[said["id"]]
        self.messages.append(Message(posted.at, said["run"], name, said["when"], said["is_over"]))
        if self._strike and name in TROUBLED and self._strike[0] == said["is_over"]:
            (_, delay), self._strike = self._strike, None
            threading.Timer(delay, self._kill).start() if delay else self._kill()

    def _kill(self) -> None:
        self.parts.kill("triggerer")
        self._struck.set()

    def _moving(self) -> list[tuple[str, str | int]]:
        """Return the migrations that are at no place."""
        return [
            (MIGRATIONS[name][0], self._id(name)) for name, place in self.places.items() if place is MOVING
        ]

    def _move(self, name: str, place: float | None) -> None:
        self.places[name] = place
        if place is not MOVING:
            self.parts.simulator.jump(MIGRATIONS[name][0], self._id(name), place)

    @staticmethod
    def _id(name: str) -> str | int:
        return migration_id(MIGRATIONS[name][0], name)

    def _settle(self, condition: Any) -> None:
        """Wait until something is so, or until it will not come about any more."""
        give_up = time.monotonic() + SETTLE_SECONDS
        while not condition() and time.monotonic() < give_up:
            self.parts.pause(0.2)

    def _is_polled(self, names: set[str], since: float = 0) -> bool:
        polled = {
            one for request in self.parts.requests if request.time > since for one in request.id.split(",")
        }
        return polled >= {str(self._id(name)) for name in names}

    def _is_sent(self, run: str, name: str) -> bool:
        """Tell whether XCom says that the message of trouble is sent, and that of its end is not."""
        task, index = ("mapped", MAPPED.index(name)) if name in MAPPED else (name, -1)
        stored = self.parts.api.xcom(DAG, run, task, ALERTS_KEY, index) or {"alerts": {}}
        return any(is_sent for _, is_sent in stored["alerts"].values())

    def _of(self, *names: str, since: int = 0) -> list[Message]:
        """Return the messages about some migrations, without so many of the first messages."""
        return [message for message in self.messages[since:] if message.migration in names]

    def _trigger(self, dag: str) -> str:
        return str(self.parts.api.post(f"/dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"])

    def _states(self, dag: str, run: str, *states: str) -> list[str]:
        return [name for name, state in self._all_states(dag, run).items() if state in states]

    def _all_states(self, dag: str, run: str) -> dict[str, str]:
        return {
            f"{name}[{index}]" if index >= 0 else name: task["state"]
            for (name, index), task in self.parts.tasks(dag, run).items()
        }

    @staticmethod
    def _report(number: int, here: Round) -> None:
        log.info(
            "%d: killed %s; polled again after %.0f s; lost %s, and %s of an end; %.0f s",
            number,
            here.moment,
            here.polled - here.killed,
            here.lost(is_over=False) or "nothing",
            here.lost(is_over=True) or "nothing",
            here.ended - here.began,
        )


@pytest.fixture(scope="module")
def results() -> Results:
    """Let it all happen."""
    migrations = [
        {"service": service, "duration": DURATION, **scenario, **ids(service, name)}
        for name, (service, _, _, scenario) in MIGRATIONS.items()
    ]
    settings = {
        # After how long a triggerer counts as dead.
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    }
    with (
        WebhookSink() as sink,
        rig(
            DAG,
            migrations,
            settings,
            faults=[],
            dags="alert_dags",
            speed=1e-9,
            connections=sink_connections(sink.url),
        ) as parts,
    ):
        results = _Play(parts, sink).play()
    _write_figures(results)
    return results


def _write_figures(results: Results) -> None:
    rows = []
    for moment in dict.fromkeys(ROUNDS):
        rounds = [each for each in results.rounds if each.moment == moment]
        messages = sum(len(each.messages) for each in rounds)
        lost = sum(len(each.lost(is_over=False)) + len(each.lost(is_over=True)) for each in rounds)
        away = max(each.polled - each.killed for each in rounds)
        expected = 2 * len(TROUBLED) * len(rounds)
        rows.append((moment, len(rounds), expected, messages, _twice(rounds), lost, f"{away:.0f} s"))
    write_figures(
        DAG,
        [
            (
                "killed",
                "times",
                "messages due",
                "arrived",
                "twice",
                "lost",
                "until all polled again, at most",
            ),
            *rows,
        ],
    )


def _twice(rounds: list[Round]) -> int:
    """Return the number of messages that came more than once in a round."""
    return sum(
        count > 1
        for each in rounds
        for count in Counter((message.migration, message.is_over) for message in each.messages).values()
    )


def test_triggerer_was_killed_twenty_times(results: Results) -> None:
    assert Counter(each.moment for each in results.rounds) == dict.fromkeys(ROUNDS, 4)
    assert sum(bool(each.killed) for each in results.rounds) == 20


def test_no_message_comes_twice(results: Results) -> None:
    assert _twice(results.rounds) == 0


@pytest.mark.parametrize("name", TROUBLED)
def test_kill_during_the_trouble_loses_no_message(results: Results, name: str) -> None:
    for each in results.rounds:
        if each.moment == DURING:
            assert (each.count(name, is_over=False), each.count(name, is_over=True)) == (1, 1)


@pytest.mark.parametrize("name", TROUBLED)
def test_end_is_told_after_each_message_that_came_before_the_kill(results: Results, name: str) -> None:
    for each in results.rounds:
        if each.moment != LEAVING and each.count(name, is_over=False, until=each.killed):
            assert each.count(name, is_over=True) == 1


@pytest.mark.parametrize("name", [*CASES, *MAPPED])
def test_message_is_lost_only_where_it_was_stored_and_not_yet_sent(results: Results, name: str) -> None:
    for each in results.rounds:
        if not each.count(name, is_over=False):
            assert each.stored[name], each.moment
        if not each.count(name, is_over=True):
            assert each.moment == LEAVING
            assert not each.stored[name]


@pytest.mark.parametrize("name", ON_WORKERS)
def test_sensor_on_a_worker_sends_each_message_once(results: Results, name: str) -> None:
    assert [m.is_over for m in results.on_workers if m.migration == name] == [False, True]


@pytest.mark.parametrize("part", ["kill", "pause"])
def test_end_of_a_wait_is_told_once(results: Results, part: str) -> None:
    told = sorted((message.migration, message.when) for message in results.endings[part])
    expected = {name: when for name, (_, _, when) in ENDINGS.items()}
    if part == "kill":
        expected[ABANDONED] = "failed"
    assert told == sorted(expected.items())
    ends = {name: "success" if when == "reached" else "failed" for name, when in expected.items()}
    assert results.states[part] == ends


def test_end_of_a_wait_is_told_when_the_task_ends(results: Results) -> None:
    assert results.messages_while_paused == 0


def test_alerts_make_no_new_version_of_a_dag(results: Results) -> None:
    assert set(results.versions.values()) == {1}


def test_nothing_is_said_of_a_message_that_may_not_be_sent_once(results: Results) -> None:
    assert results.warnings == []
