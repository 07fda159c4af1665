"""Two hundred migrations stall together: each message is sent, and no poll waits for it."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import mean, quantiles

import pytest

from airflow_provider_migration.simulator import RequestRecord
from tests.sinks import WebhookSink
from tests.soak.dags._sensors import SENSORS, ids, migration_id
from tests.soak.dags.stalling import COUNTS, POKE_INTERVALS, STALLED_SECONDS, names
from tests.soak.notifiers import sink_connections
from tests.soak.rig import LAST_CALL, moving, rig, write_figures

log = logging.getLogger(__name__)

DAG = "stalling"
DURATION = 100
WARM_UP = 30
BEFORE_SECONDS = 60
AFTER_SECONDS = 90
"""Seconds within which all messages should come, those of the hanging notifiers given up."""
SERVED = ("own", "apprise")
"""What the two hundred have for alerts."""
MIGRATIONS = {
    name: (service, kind) for service in SENSORS for kind in COUNTS for name in names(service, kind)
}


@dataclass
class Stalling:
    """
    Results; times are epoch seconds.

    :ivar messages: by the migration and whether the stall is over: the seconds from the poll that has decided
        to the arrival of the message, one for each message.
    :ivar requests: what was asked of the services from before the stall to the end.
    :ivar warnings: by the log of a trigger: its lines about messages that may not have been sent once.
    """

    messages: dict[tuple[str, bool], list[float]]
    requests: list[RequestRecord]
    warnings: dict[str, list[str]]
    blocked: int

    def gaps(self, service: str, *kinds: str) -> list[float]:
        """Return the seconds from each poll to the next one."""
        wanted = {str(migration_id(service, name)) for kind in kinds for name in names(service, kind)}
        times = defaultdict(list)
        for request in self.requests:
            if (request.service, request.action) == (service, LAST_CALL[service]):
                for migration in wanted.intersection(request.id.split(",")):
                    times[migration].append(request.time)
        assert len(times) == len(wanted)
        return [after - before for moments in times.values() for before, after in pairwise(moments)]

    def delays(self, *kinds: str) -> list[float]:
        """Return the seconds from the poll to the message."""
        return [
            delay
            for (name, _), delays in self.messages.items()
            if MIGRATIONS[name][1] in kinds
            for delay in delays
        ]


@pytest.fixture(scope="module")
def stalling() -> Stalling:
    """Let all stall at the same time, and then go on."""
    migrations = [
        {"service": service, "duration": DURATION, **ids(service, name)}
        for name, (service, _) in MIGRATIONS.items()
    ]
    with (
        WebhookSink() as sink,
        rig(DAG, migrations, {}, faults=[], speed=1e-9, connections=sink_connections(sink.url)) as parts,
    ):
        everyone = [(service, migration_id(service, name)) for name, (service, _) in MIGRATIONS.items()]
        movement = partial(moving, parts.simulator, DURATION, 10, lambda: everyone)
        run = parts.api.post(f"/dags/{DAG}/dagRuns", {"logical_date": None})["dag_run_id"]

        def are_deferred() -> bool:
            states = [task["state"] for task in parts.tasks(DAG, run).values()]
            return states.count("deferred") == len(MIGRATIONS)

        with movement():
            took = parts.until(are_deferred, 1200, "every sensor is deferred")
            log.info("%d sensors wait after %.0f s", len(MIGRATIONS), took)
            parts.pause(WARM_UP)
            since = time.time()
            parts.pause(BEFORE_SECONDS)
        parts.pause(STALLED_SECONDS + AFTER_SECONDS)
        log.info("%d messages about the stall", len(sink.posted))
        with movement():
            parts.pause(AFTER_SECONDS)
        messages = defaultdict(list)
        by_id = {str(migration_id(service, name)): name for name, (service, _) in MIGRATIONS.items()}
        for posted in sink.posted:
            said = json.loads(posted.body["message"])
            messages[by_id[said["id"]], said["is_over"]].append(posted.at - said["at"])
        warnings = {
            str(path.relative_to(parts.airflow.home / "logs")): [
                line for line in path.read_text().splitlines() if "Cannot" in line or "sent again" in line
            ]
            for path in (parts.airflow.home / "logs").glob(f"dag_id={DAG}/**/*.trigger.*.log")
        }
        stalling = Stalling(
            messages=messages,
            requests=[request for request in parts.requests if request.time > since],
            warnings={name: lines for name, lines in warnings.items() if lines},
            blocked=parts.components["triggerer"].log.read_text().count("async thread was blocked"),
        )
    _write_figures(stalling)
    return stalling


def _write_figures(stalling: Stalling) -> None:
    kinds = {"with alerts": SERVED, "without": ("none",), "slow": ("slow",), "hanging": ("hanging",)}
    sent = Counter(
        "more" if len(delays) > 1 else "once"
        for (name, _), delays in stalling.messages.items()
        if MIGRATIONS[name][1] in SERVED
    )
    delays = {kind: stalling.delays(*kinds[kind]) for kind in ("with alerts", "slow")}
    write_figures(
        DAG,
        [
            ("what", "measured"),
            ("messages due; sent once, more than once", f"400; {sent['once']}, {sent['more']}"),
            *(
                (
                    f"seconds from the poll to the message, {kind}: mean, at most",
                    f"{mean(seconds):.2f}, {max(seconds):.2f}",
                )
                for kind, seconds in delays.items()
            ),
            ("warnings of a blocked loop", stalling.blocked),
            ("sensors with a warning about a message", len(stalling.warnings)),
        ],
        [
            ("seconds between polls", "interval", *(f"{kind}: mean, 95 %, maximum" for kind in kinds)),
            *(
                (
                    service,
                    POKE_INTERVALS[service],
                    *(_described(stalling.gaps(service, *some)) for some in kinds.values()),
                )
                for service in SENSORS
            ),
        ],
    )


def _described(gaps: list[float]) -> str:
    return f"{mean(gaps):.2f}, {quantiles(gaps, n=20)[-1]:.2f}, {max(gaps):.2f}"


@pytest.mark.parametrize("is_over", [False, True])
def test_two_hundred_messages_are_sent_once_each(stalling: Stalling, is_over: bool) -> None:
    expected = {name: 1 for name, (_, kind) in MIGRATIONS.items() if kind in SERVED}
    assert len(expected) == 200
    assert {name: len(stalling.messages[name, is_over]) for name in expected} == expected


@pytest.mark.parametrize("is_over", [False, True])
def test_slow_notifier_sends_its_messages(stalling: Stalling, is_over: bool) -> None:
    assert all(len(stalling.messages[name, is_over]) == 1 for name in MIGRATIONS if "_slow_" in name)


@pytest.mark.parametrize("kind", [*SERVED, "slow", "hanging"])
@pytest.mark.parametrize("service", SENSORS)
def test_polls_are_as_regular_as_without_alerts(stalling: Stalling, service: str, kind: str) -> None:
    gaps, others = stalling.gaps(service, kind), stalling.gaps(service, "none")
    assert mean(gaps) == pytest.approx(mean(others), rel=0.05)
    # A poll that ends late takes the place of the next one.
    assert max(gaps) < 2 * POKE_INTERVALS[service] + 2


def test_hanging_notifier_is_one_warning_for_each_message(stalling: Stalling) -> None:
    assert len(stalling.warnings) == COUNTS["hanging"] * len(SENSORS)
    for name, lines in stalling.warnings.items():
        assert "_hanging" in name
        assert len(lines) == 2
        assert all("Cannot tell whether" in line for line in lines)
