"""Triggerer, scheduler, API server, database and service are taken away, one after the other."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_migration.simulator import RequestRecord
from tests.soak.dags._sensors import ids, migration_id
from tests.soak.dags.outages import AFTERWARDS, CASES, DURATION, OUTAGES
from tests.soak.rig import ENDED, Rig, rig, write_figures

log = logging.getLogger(__name__)

DAG = "outages"

DEFERRED = [name for name, case in CASES.items() if case.arguments.get("deferrable")]
TIMED_OUT = [name for name, case in CASES.items() if "timeout" in case.arguments]
CLEARED = ("drs_cleared", "oms_marked_and_cleared")
MARKED = ("dts_marked", "oms_marked_and_cleared")

START_SECONDS = 5
"""Maximum seconds from a task's start, from which its timeout counts, to its first request."""
RESUME_SECONDS = 60
"""Maximum seconds from a trigger's verdict to the end of its task: two cores start dozens at once."""


@dataclass(frozen=True)
class Outage:
    """
    An outage; times are epoch seconds.

    :ivar began: start of stopping the component.
    :ivar gone: time from which the component was stopped.
    :ivar back: time at which the component was started again.
    :ivar over: time at which Airflow was healthy again and every deferred sensor had polled.
    :ivar tries: number of tries of each task by then.
    :ivar exits: components that exited by themselves.
    """

    began: float
    gone: float
    back: float
    over: float
    tries: dict[str, int]
    exits: list[str]


@dataclass
class Day:
    """
    Results of the day; times are epoch seconds.

    :ivar ended: when the migrations that end in an outage, or afterwards, were brought to their end.
    :ivar errors: lines of that level in the logs of triggers.
    """

    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, Any] = field(default_factory=dict)
    returned: dict[str, Any] = field(default_factory=dict)
    outages: dict[str, Outage] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    marked_at: float = 0
    cleared_at: float = 0
    requests: list[RequestRecord] = field(default_factory=list)
    writes: int = 0
    errors: list[str] = field(default_factory=list)

    def requests_of(self, name: str) -> list[RequestRecord]:
        """Give what was asked of the migration that a task watches."""
        wanted = str(migration_id(CASES[name].service, name))
        # DRS is asked for many jobs at once.
        return [request for request in self.requests if wanted in request.id.split(",")]

    def result_of(self, name: str) -> tuple[str, str | None]:
        """Give how a task ended, and the state in its last record."""
        return self.tasks[name]["state"], (self.records[name] or {}).get("state")

    def end_of(self, name: str) -> float:
        """Give when a task ended."""
        return datetime.fromisoformat(self.tasks[name]["end_date"]).timestamp()

    def deadline_of(self, name: str) -> float:
        """Give when the time was up; rescheduled it counts from the first try, else from the last."""
        seconds: float = CASES[name].arguments["timeout"]
        began = 0.0
        if name in DEFERRED:
            began = datetime.fromisoformat(self.tasks[name]["start_date"]).timestamp()
        return next(request.time for request in self.requests_of(name) if request.time > began) + seconds

    def cost_of(self, moment: str) -> set[str]:
        """Give the tasks that an outage has cost a try."""
        moments = list(self.outages)
        before = self.outages[moments[moments.index(moment) - 1]].tries if moment != moments[0] else {}
        return {name for name, tries in self.outages[moment].tries.items() if tries > before.get(name, 1)}

    def lateness_of(self, name: str) -> float:
        """Give by how much a task outlived its deadline, or the outage that this fell into."""
        deadline = self.deadline_of(name)
        over = [outage.over for outage in self.outages.values() if outage.began <= deadline <= outage.over]
        return self.end_of(name) - max([deadline, *over])


@pytest.fixture(scope="module")
def day() -> Day:
    """Take everything away once, and give what became of the sensors."""
    migrations = [
        {"service": case.service, "script": case.script, "duration": DURATION, **ids(case.service, name)}
        for name, case in CASES.items()
    ]
    # After how long a triggerer counts as dead; Airflow's default is twice that.
    with rig(DAG, migrations, {"AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15"}) as parts:
        run = parts.api.post(f"/dags/{DAG}/dagRuns", {"logical_date": None})["dag_run_id"]
        day = _BadDay(parts, run).play()
        day.tasks = {name: task for (name, _), task in parts.tasks(DAG, run).items()}
        day.records = {name: parts.api.xcom(DAG, run, name, "migration_progress") for name in CASES}
        day.returned = {name: parts.api.xcom(DAG, run, name, "return_value") for name in CASES}
        day.requests, day.writes = parts.requests, parts.simulator.writes
        for path in (parts.airflow.home / "logs").glob(f"dag_id={DAG}/**/*.trigger.*.log"):
            lines = path.read_text().splitlines()
            day.errors += [line for line in lines if json.loads(line)["level"] in ("error", "critical")]
    _write_figures(day)
    return day


class _BadDay:
    """Takes one thing after the other away."""

    def __init__(self, parts: Rig, run: str) -> None:
        self.parts = parts
        self.run = run
        self.day = Day()

    def play(self) -> Day:
        parts = self.parts
        took = parts.until(
            lambda: len(self._in("deferred", "up_for_reschedule")) == len(CASES), 400, "every sensor waits"
        )
        log.info("%d sensors wait after %.0f s", len(CASES), took)
        self._move(list(CASES), to=0.4)  # to where progress is seen at every look
        self._take_away("triggerer", lambda: parts.kill("triggerer"), 15, lambda: parts.start("triggerer"))
        self._take_away("control plane", self._stop_control_plane, 30, self._start_control_plane)
        self._catch_a_rescheduled_poll()
        self._take_away("database restart", parts.postgres.stop, 0, parts.postgres.start)
        self._catch_a_rescheduled_poll()
        self._take_away("database", parts.postgres.stop, 15, parts.postgres.start)
        self._take_away("service", parts.simulator.stop, 60, parts.simulator.start)
        self._mark_and_clear()
        self._end(AFTERWARDS)
        parts.until(lambda: len(self._in(*ENDED)) == len(CASES), 600, "every task has ended")
        return self.day

    def _in(self, *states: str) -> list[str]:
        return [
            name for (name, _), task in self.parts.tasks(DAG, self.run).items() if task["state"] in states
        ]

    def _move(self, names: list[str], to: float) -> None:
        for name in names:
            case = CASES[name]
            self.parts.simulator.jump(case.service, migration_id(case.service, name), to * DURATION)

    def _end(self, moment: str) -> None:
        self._move([name for name, case in CASES.items() if case.ends == moment], to=1)
        self.day.ended[moment] = time.time()

    def _take_away(
        self, moment: str, take: Callable[[], None], seconds: float, give_back: Callable[[], None]
    ) -> None:
        log.info("%s: taken away", moment)
        began, exits = time.time(), self.parts.exits.copy()
        take()
        gone = time.time()
        self._end(moment)
        self.parts.pause(seconds)
        back = time.time()
        give_back()
        self.parts.until(self.parts.is_ready, 180, "Airflow is well again")
        self.parts.until(
            lambda: self._have_polled(self._in("deferred"), back), 120, "every sensor polls again"
        )
        over = time.time()
        tries = {name: task["try_number"] for (name, _), task in self.parts.tasks(DAG, self.run).items()}
        exited = sorted(self.parts.exits - exits)
        self.day.outages[moment] = Outage(began, gone, back, over, tries, exited)
        log.info("%s: away for %.0f s, all was well %.0f s later", moment, back - gone, over - back)

    def _stop_control_plane(self) -> None:
        self.parts.stop("scheduler")
        self.parts.stop("api-server")

    def _start_control_plane(self) -> None:
        self.parts.start("api-server")
        self.parts.start("scheduler")

    def _catch_a_rescheduled_poll(self) -> None:
        """Wait until a worker is at it: what happens to a poll is what matters."""
        self.parts.until(lambda: bool(self._in("running")), 90, "a rescheduled sensor polls")

    def _mark_and_clear(self) -> None:
        api = self.parts.api
        for name in MARKED:
            api.patch(f"/dags/{DAG}/dagRuns/{self.run}/taskInstances/{name}", {"new_state": "failed"})
        self.day.marked_at = time.time()
        self.parts.pause(30)
        body = {"dag_run_id": self.run, "task_ids": CLEARED, "dry_run": False, "only_failed": False}
        api.post(f"/dags/{DAG}/clearTaskInstances", body)
        self.day.cleared_at = time.time()
        self.parts.until(
            lambda: (
                set(CLEARED) <= set(self._in("deferred")) and self._have_polled(CLEARED, time.time() - 10)
            ),
            120,
            "the cleared sensors wait again",
        )

    def _have_polled(self, names: list[str] | tuple[str, ...], since: float) -> bool:
        polled = {request.id for request in self.parts.requests[-5000:] if request.time > since}
        return polled >= {str(migration_id(CASES[name].service, name)) for name in names}


def _write_figures(day: Day) -> None:
    rights = [day.result_of(name) == (case.task, case.record) for name, case in CASES.items()]
    write_figures(
        DAG,
        [
            ("outage", "for", "until all polled again", "components that exited", "tasks retried"),
            *(
                (
                    moment,
                    f"{outage.back - outage.gone:.0f} s",
                    f"{outage.over - outage.back:.0f} s",
                    ", ".join(outage.exits) or "none",
                    len(day.cost_of(moment)),
                )
                for moment, outage in day.outages.items()
            ),
        ],
        [
            ("what", "measured"),
            ("sensors: deferred, rescheduled", f"{len(DEFERRED)}, {len(CASES) - len(DEFERRED)}"),
            ("tasks with the right end and the right last record", f"{sum(rights)} of {len(CASES)}"),
            (
                "end after the deadline, or after the outage during which the deadline passed",
                f"at most {max(day.lateness_of(name) for name in TIMED_OUT):.0f} s",
            ),
            ("requests; with a fault", f"{len(day.requests)}; {sum(bool(r.fault) for r in day.requests)}"),
            ("requests that would have changed something", day.writes),
        ],
    )


@pytest.mark.parametrize("name", CASES)
def test_tasks_end_as_expected(day: Day, name: str) -> None:
    assert day.result_of(name) == (CASES[name].task, CASES[name].record)


@pytest.mark.parametrize("moment", [moment for moment in OUTAGES if "database" not in moment])
def test_tasks_are_not_retried_for_outages(day: Day, moment: str) -> None:
    assert day.cost_of(moment) == set()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.task == "success"])
def test_no_early_success(day: Day, name: str) -> None:
    case = CASES[name]
    assert case.ends is not None
    assert day.end_of(name) > day.ended[case.ends] + case.arguments.get("hold_for", 0)


@pytest.mark.parametrize("name", TIMED_OUT)
def test_deadline_holds_in_outages(day: Day, name: str) -> None:
    assert day.end_of(name) > day.deadline_of(name) - START_SECONDS
    assert day.lateness_of(name) < RESUME_SECONDS


def test_deadlines_fell_into_outages(day: Day) -> None:
    deadlines = [day.deadline_of(name) for name in TIMED_OUT]
    fell = [any(o.gone <= deadline <= o.over for o in day.outages.values()) for deadline in deadlines]
    assert {True, False} == set(fell)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.task == "success"])
def test_last_record_is_that_of_the_success(day: Day, name: str) -> None:
    assert day.records[name] == day.returned[name]


@pytest.mark.parametrize("name", [name for name in CASES if name not in MARKED])
def test_last_record_is_that_of_the_last_answer(day: Day, name: str) -> None:
    answered = [request for request in day.requests_of(name) if request.fault in (None, "slow")][-1].time
    seen = datetime.fromisoformat(day.records[name]["observed_at"]).timestamp()
    # A record has the time of the call that decides; a call for details after it may be tried for a minute.
    details = 65 if CASES[name].service in ("dataworks", "drs") else 3
    assert -3 < answered - seen < details  # a slow answer takes a second


def test_deferred_sensors_poll_without_scheduler_and_api_server(day: Day) -> None:
    outage = day.outages["control plane"]
    before, during, after = (
        {request.id for request in day.requests if begin < request.time < end}
        for begin, end in ((0, outage.gone), (outage.gone, outage.back), (outage.back, outage.over))
    )
    # One request asks for many DRS jobs, and their objects are not listed again once all are copied.
    deferred = {
        str(migration_id(CASES[name].service, name)) for name in DEFERRED if CASES[name].service != "drs"
    }
    assert during >= deferred & before & after
    states = [request for request in day.requests if request.action == "BatchListProgresses"]
    assert any(outage.gone < request.time < outage.back for request in states)
    assert len(deferred & during) > 20


def test_task_marked_failed_is_not_polled(day: Day) -> None:
    later = [request for request in day.requests_of("dts_marked") if request.time > day.marked_at + 10]
    assert later == []


@pytest.mark.parametrize("name", CLEARED)
def test_cleared_task_is_polled_again(day: Day, name: str) -> None:
    assert any(request.time > day.cleared_at for request in day.requests_of(name))


def test_triggers_end_without_an_own_error(day: Day) -> None:
    assert day.errors == []


def test_faults_hit_a_fifth_of_the_requests(day: Day) -> None:
    assert sum(request.fault is not None for request in day.requests) > len(day.requests) / 8


def test_outages_happened(day: Day) -> None:
    assert tuple(day.outages) == OUTAGES


def test_simulator_saw_no_writes(day: Day) -> None:
    assert day.writes == 0
