"""Two hundred deferred sensors, a short interval, one request in five befallen by a fault, ten minutes."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression, mean
from typing import Any

import psutil
import pytest

from airflow_provider_migration.simulator import RequestRecord
from airflow_provider_migration.transport.limiter import BATCH_WINDOW_SECONDS
from tests.soak.dags._sensors import SENSORS, ids, migration_id
from tests.soak.dags.soak import COUNT, POKE_INTERVALS
from tests.soak.dags.throttled import START_SECONDS, THROTTLED_SECONDS
from tests.soak.rig import ENDED, LAST_CALL, Rig, rig, write_figures

log = logging.getLogger(__name__)

DAG = "soak"
WARM_UP = 120
WINDOW = 600
"""Seconds for which is measured; the sensors wait for longer."""
DURATION = 4 * WINDOW
"""Seconds that a migration would take: every few polls show progress, none comes to its end by itself."""

TASKS = [(service, index) for service in SENSORS for index in range(COUNT)]
ROLES = ("supervisor", "runner")
"""The triggerer's two processes: the first talks to the database, in the second all triggers run."""
DATAWORKS_CALLS = ("GetMigrationSummary", LAST_CALL["dataworks"])
"""The calls of a poll."""

MB = 1 << 20
GROWTH = 0.5
"""MB a minute that count as flat: at 27 polls a second, 0.3 KB a poll."""
CONNECTIONS = 20
"""Maximum number of connections of a triggerer to a host."""
WATCHDOG_INTERVAL = 0.1
"""For how long Airflow's watchdog sleeps; it warns when that has taken twice as long."""
COLLECTOR_SECONDS = 0.2
"""Maximum seconds of a full garbage collection over all that Airflow has loaded: here 0.12 to 0.17 s."""
BLOCKED = re.compile(r"(\S+Z) .*async thread was blocked for ([\d.]+) seconds")


@dataclass(frozen=True)
class Sample:
    """The triggerer's two processes at a time; memory in bytes, CPU in seconds, by role."""

    time: float
    memory: dict[str, int]
    cpu: dict[str, float]
    files: dict[str, int]
    connections: int


@dataclass(frozen=True)
class Blocked:
    """
    A warning that the event loop was blocked.

    :ivar seconds: for how long, as Airflow says.
    :ivar starved: for how long the process's threads meanwhile waited for a core.
    """

    time: float
    seconds: float
    starved: float

    @property
    def unexplained(self) -> float:
        """Seconds without the watchdog's own sleep and the wait for a core."""
        return self.seconds - WATCHDOG_INTERVAL - self.starved


@dataclass
class Soak:
    """Results of the soak test; ``before`` the first sensor waited, and ``after`` the last."""

    before: Sample
    after: Sample
    samples: list[Sample]
    requests: list[RequestRecord]
    blocked: list[Blocked]
    tasks: dict[tuple[str, int], dict[str, Any]]
    records: dict[tuple[str, int], Any]
    returned: dict[tuple[str, int], Any]
    writes: int
    deferred_within: float
    ended_within: float

    @property
    def seconds(self) -> float:
        """For how long was measured."""
        return self.samples[-1].time - self.samples[0].time

    def growth(self, role: str) -> float:
        """Give the slope of a process's memory over the second half, in MB a minute."""
        half = self.samples[len(self.samples) // 2 :]
        memory = [sample.memory[role] / MB for sample in half]
        return linear_regression([sample.time / 60 for sample in half], memory).slope

    def answers(self, service: str, action: str) -> dict[str, list[float]]:
        """Give the times of the usable answers, by migration; an answer to a batch is one for each."""
        times = defaultdict(list)
        for request in self.requests:
            if (request.service, request.action) == (service, action) and request.fault in (None, "slow"):
                for migration in request.id.split(","):
                    times[migration].append(request.time)
        return times

    def gaps(self, service: str) -> list[float]:
        """Give the seconds from one poll's answer to the next one's."""
        polls = self.answers(service, LAST_CALL[service]).values()
        return [after - before for times in polls for before, after in pairwise(times)]

    @property
    def polls(self) -> int:
        """Number of polls of all tasks."""
        return sum(len(times) for name in SENSORS for times in self.answers(name, LAST_CALL[name]).values())


@pytest.fixture(scope="module")
def soak() -> Soak:
    """Let the sensors wait, and measure."""
    migrations = [
        {"service": service, "duration": DURATION, **ids(service, f"{service}{index}")}
        for service, index in TASKS
    ]
    with rig(DAG, migrations, {}) as parts:
        before = _sample(parts)
        run = parts.api.post(f"/dags/{DAG}/dagRuns", {"logical_date": None})["dag_run_id"]

        def all_are(*states: str) -> bool:
            tasks = parts.tasks(DAG, run).values()
            return sum(task["state"] in states for task in tasks) == len(TASKS)

        def move(to: float) -> None:
            for service, index in TASKS:
                parts.simulator.jump(service, migration_id(service, f"{service}{index}"), to * DURATION)

        deferred_within = parts.until(lambda: all_are("deferred"), 900, "every sensor is deferred")
        move(to=0.4)
        log.info("%d sensors wait, deferred within %.0f s", len(TASKS), deferred_within)
        parts.pause(WARM_UP)
        samples = [_sample(parts)]
        with _starvation(_triggerer(parts)["runner"]) as starvation:
            while samples[-1].time < samples[0].time + WINDOW:
                parts.pause(5)
                samples.append(_sample(parts))
                if len(samples) % 12 == 0:
                    log.info("%.0f s: %s", samples[-1].time - samples[0].time, samples[-1])
        recent = [r for r in parts.requests if samples[0].time < r.time < samples[-1].time]
        move(to=1)
        ended_within = parts.until(lambda: all_are(*ENDED), 900, "every task has ended")
        parts.pause(10)
        soak = Soak(
            before=before,
            after=_sample(parts),
            samples=samples,
            requests=recent,
            blocked=list(_blocked(parts.components["triggerer"].log, starvation)),
            tasks=parts.tasks(DAG, run),
            records={(s, i): parts.api.xcom(DAG, run, s, "migration_progress", i) for s, i in TASKS},
            returned={(s, i): parts.api.xcom(DAG, run, s, "return_value", i) for s, i in TASKS},
            writes=parts.simulator.writes,
            deferred_within=deferred_within,
            ended_within=ended_within,
        )
    _write_figures(soak)
    return soak


def _triggerer(parts: Rig) -> dict[str, psutil.Process]:
    """Give the triggerer's processes by role; the third one serves logs."""
    found = [
        p for p in parts.components["triggerer"].processes() if "serve-logs" not in " ".join(p.cmdline())
    ]
    return dict(zip(ROLES, sorted(found, key=psutil.Process.create_time), strict=True))


def _sample(parts: Rig) -> Sample:
    processes = _triggerer(parts)
    connections = processes["runner"].net_connections("tcp")
    return Sample(
        time=time.time(),
        memory={role: process.memory_info().rss for role, process in processes.items()},
        cpu={role: sum(process.cpu_times()[:2]) for role, process in processes.items()},
        files={role: process.num_fds() for role, process in processes.items()},
        connections=sum(bool(c.raddr) and c.raddr.port == parts.simulator.port for c in connections),
    )


@contextmanager
def _starvation(process: psutil.Process) -> Iterator[list[tuple[float, float]]]:
    """Collect, ten times a second, for how many seconds in all a process's threads have waited for a core."""
    collected: list[tuple[float, float]] = []
    ended = threading.Event()

    def collect() -> None:
        while not ended.wait(0.1):
            waited = 0
            for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
                    waited += int(path.read_text().split()[1])
            collected.append((time.time(), waited / 1e9))

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield collected
    finally:
        ended.set()
        thread.join()


def _blocked(log_file: Path, starvation: list[tuple[float, float]]) -> Iterator[Blocked]:
    """Read what Airflow's watchdog has said while was measured."""
    for stamp, text in BLOCKED.findall(log_file.read_text()):
        moment, seconds = datetime.fromisoformat(stamp).timestamp(), float(text)
        if starvation[0][0] + seconds < moment < starvation[-1][0]:
            start = max(waited for at, waited in starvation if at <= moment - seconds)
            end = min(waited for at, waited in starvation if at >= moment)
            yield Blocked(moment, seconds, end - start)


def _write_figures(soak: Soak) -> None:
    first, last = soak.samples[0], soak.samples[-1]
    cpu = {role: (last.cpu[role] - first.cpu[role]) / soak.polls * 1000 for role in ROLES}
    faults = sum(request.fault is not None for request in soak.requests)
    worst = max((blocked.unexplained for blocked in soak.blocked), default=0)
    succeeded = sum(task["state"] == "success" for task in soak.tasks.values())
    polls = {name: soak.answers(name, LAST_CALL[name]).values() for name in SENSORS}
    write_figures(
        DAG,
        [
            ("what", "measured"),
            ("sensors; measured for", f"{len(TASKS)}; {soak.seconds:.0f} s"),
            ("tasks that succeeded", f"{succeeded} of {len(TASKS)}"),
            ("requests; with a fault", f"{len(soak.requests)}; {faults / len(soak.requests):.1%}"),
            ("CPU a poll: runner, supervisor", f"{cpu['runner']:.1f} ms, {cpu['supervisor']:.1f} ms"),
            (
                "connections to the service: most at once, after the end",
                f"{max(sample.connections for sample in soak.samples)}, {soak.after.connections}",
            ),
            (
                "open files of the runner: before, most at once, after the end",
                f"{soak.before.files['runner']}, {max(sample.files['runner'] for sample in soak.samples)}, "
                f"{soak.after.files['runner']}",
            ),
            (
                "warnings of a blocked loop; longest delay beyond the wait for a core",
                f"{len(soak.blocked)}; {worst * 1000:.0f} ms",
            ),
            (
                "until all were deferred; until all had ended",
                f"{soak.deferred_within:.0f} s; {soak.ended_within:.0f} s",
            ),
            ("requests that would have changed something", soak.writes),
        ],
        [
            (
                "polls of a task",
                "interval",
                "expected",
                "mean",
                "minimum",
                "maximum",
                "minimum time between two",
            ),
            *(
                (
                    name,
                    f"{POKE_INTERVALS[name]} s",
                    f"{soak.seconds / POKE_INTERVALS[name]:.0f}",
                    f"{mean(map(len, polls[name])):.1f}",
                    min(map(len, polls[name])),
                    max(map(len, polls[name])),
                    f"{min(soak.gaps(name)):.2f} s",
                )
                for name in SENSORS
            ),
        ],
        [
            ("memory of the triggerer", "before", "after the warm-up", "at the end", "slope, second half"),
            *(
                (
                    role,
                    *(f"{sample.memory[role] / MB:.1f} MB" for sample in (soak.before, first, last)),
                    f"{soak.growth(role):+.2f} MB a minute",
                )
                for role in ROLES
            ),
        ],
    )
    for blocked in soak.blocked:
        log.info("%s unexplained %.3f", blocked, blocked.unexplained)


def test_tasks_succeed(soak: Soak) -> None:
    assert {task["state"] for task in soak.tasks.values()} == {"success"}
    assert {task["try_number"] for task in soak.tasks.values()} == {1}


def test_last_record_is_that_of_the_success(soak: Soak) -> None:
    assert None not in soak.returned.values()
    assert soak.records == soak.returned


@pytest.mark.parametrize("role", ROLES)
def test_triggerer_memory_is_flat(soak: Soak, role: str) -> None:
    assert soak.growth(role) < GROWTH


def test_triggers_share_connections_and_close_them(soak: Soak) -> None:
    assert 0 < max(sample.connections for sample in soak.samples) <= CONNECTIONS
    assert soak.after.connections == 0


@pytest.mark.parametrize("role", ROLES)
def test_open_files_are_closed(soak: Soak, role: str) -> None:
    assert soak.after.files[role] <= soak.before.files[role] + 3


def test_event_loop_is_not_blocked(soak: Soak) -> None:
    assert [blocked for blocked in soak.blocked if blocked.unexplained > COLLECTOR_SECONDS] == []


@pytest.mark.parametrize("service", SENSORS)
def test_poll_interval_is_kept(soak: Soak, service: str) -> None:
    expected = soak.seconds / POKE_INTERVALS[service]
    polls = [len(times) for times in soak.answers(service, LAST_CALL[service]).values()]
    assert len(polls) == COUNT
    assert max(polls) <= expected + 1
    # A poll that was tried again until the next one is due within half an interval takes that one's place.
    assert mean(polls) > expected * 0.8
    batch_window = BATCH_WINDOW_SECONDS if service == "drs" else 0
    assert min(soak.gaps(service)) > POKE_INTERVALS[service] / 2 - batch_window - 0.05


def test_dataworks_poll_costs_two_calls(soak: Soak) -> None:
    one, other = (soak.answers("dataworks", action) for action in DATAWORKS_CALLS)
    assert all(abs(len(one[migration]) - len(other[migration])) <= 2 for migration in one)


def test_drs_polls_are_batched(soak: Soak) -> None:
    requests = [request for request in soak.requests if request.action == "BatchListProgresses"]
    polls = soak.answers("drs", "BatchListProgresses").values()
    assert len(requests) < sum(map(len, polls)) / 5


def test_faults_hit_a_fifth_of_the_requests(soak: Soak) -> None:
    faults = sum(request.fault is not None for request in soak.requests)
    assert faults / len(soak.requests) == pytest.approx(0.2, abs=0.02)


def test_simulator_saw_no_writes(soak: Soak) -> None:
    assert soak.writes == 0


# --- throttled for ten minutes ------------------------------------------------------------------------------

THROTTLED = "throttled"
RETRY_AFTER = 60
"""Seconds that each answer asks to wait."""
LAST_POLL_SECONDS = 30 + 5
"""Seconds that a trigger's last poll may take after the deadline: ``read_timeout``, and a little."""
RESUME_SECONDS = 120
"""Maximum seconds from a trigger's verdict to the end of its task: two cores start fifty at once."""


@dataclass
class Throttled:
    """
    Results of ten minutes of throttling.

    :ivar tasks: the task instances, with their last waits and records.
    :ivar requests: what was asked while every request was throttled.
    """

    tasks: dict[tuple[str, int], dict[str, Any]]
    waits: dict[tuple[str, int], Any]
    records: dict[tuple[str, int], Any]
    requests: list[RequestRecord]

    def late(self, service: str) -> list[float]:
        """Give the seconds from each deadline to the end of its task."""
        return [
            datetime.fromisoformat(self.tasks[service, index]["end_date"]).timestamp()
            - self.waits[service, index]["deadline"]
            for index in range(COUNT)
        ]


@pytest.fixture(scope="module")
def throttled() -> Throttled:
    """Let 200 sensors be answered, then throttle every request until their deadlines have come."""
    migrations = [
        {"service": service, "duration": 100 * WINDOW, **ids(service, f"{service}{index}")}
        for service, index in TASKS
    ]
    with rig(THROTTLED, migrations, {}, faults=[]) as parts:
        run = parts.api.post(f"/dags/{THROTTLED}/dagRuns", {"logical_date": None})["dag_run_id"]

        def all_are(*states: str) -> bool:
            tasks = parts.tasks(THROTTLED, run).values()
            return sum(task["state"] in states for task in tasks) == len(TASKS)

        parts.until(lambda: all_are("deferred"), START_SECONDS, "every sensor is deferred")
        parts.simulator.set_faults({"kind": "throttle_with_hint", "hint": RETRY_AFTER})
        parts.until(lambda: all_are(*ENDED), START_SECONDS + THROTTLED_SECONDS, "every deadline has come")
        throttled = Throttled(
            tasks=parts.tasks(THROTTLED, run),
            waits={(s, i): parts.api.xcom(THROTTLED, run, s, "migration_wait", i) for s, i in TASKS},
            records={(s, i): parts.api.xcom(THROTTLED, run, s, "migration_progress", i) for s, i in TASKS},
            requests=[request for request in parts.requests if request.fault],
        )
    rows = [
        (
            service,
            f"{POKE_INTERVALS[service]} s",
            sum(request.service == service for request in throttled.requests),
            f"{min(throttled.late(service)):.0f} to {max(throttled.late(service)):.0f} s",
        )
        for service in SENSORS
    ]
    write_figures(
        THROTTLED,
        [("50 sensors each", "interval", "requests while throttled", "ended after their deadlines"), *rows],
    )
    return throttled


@pytest.mark.parametrize("service", SENSORS)
def test_throttled_sensors_keep_their_deadlines_and_their_last_state(
    throttled: Throttled, service: str
) -> None:
    for index in range(COUNT):
        wait, task = throttled.waits[service, index], throttled.tasks[service, index]
        assert (task["state"], task["try_number"], wait["outcome"]) == ("failed", 1, "timeout")
        assert throttled.records[service, index]["state"] in wait["reason"]
    assert max(throttled.late(service)) < LAST_POLL_SECONDS + RESUME_SECONDS
