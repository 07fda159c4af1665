"""Sensors that wait, deferred and rescheduled, while one thing after the other is taken away from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from airflow.sdk import DAG

from tests.soak.dags._sensors import SENSORS, ids

DURATION = 3600
"""Seconds that a migration would take, were it not brought to its end."""

OUTAGES = ("triggerer", "control plane", "database restart", "database", "service")
AFTERWARDS = "afterwards"
GOOD = {"dataworks": "succeeded", "dts": "caught_up", "oms": "caught_up", "drs": "caught_up"}
DEFERRED = {"deferrable": True, "poke_interval": 10}
# Below 15 s Airflow's scheduler takes a rescheduled task for one that was killed.
RESCHEDULED = {"mode": "reschedule", "poke_interval": 40}


class Case(NamedTuple):
    """
    A sensor, and what is to become of it.

    :param ends: the outage in whose midst its migration ends; None for one that goes on.
    :param task: the state of the task in the end.
    :param record: the state of the migration in the last record.
    """

    service: str
    script: str
    ends: str | None
    task: str
    record: str
    arguments: dict[str, Any]


CASES: dict[str, Case] = {
    **{
        f"{service}_ends_{ends.replace(' ', '_')}": Case(service, "success", ends, "success", state, DEFERRED)
        for ends in (*OUTAGES, AFTERWARDS)
        for service, state in GOOD.items()
    },
    **{
        f"{service}_fails": Case(service, "failure", ends, "failed", "failed", DEFERRED)
        for service, ends in zip(GOOD, OUTAGES[:4], strict=True)
    },
    # Between them their deadlines fall into every outage, and between the outages.
    **{
        f"{service}_too_late_{timeout}": Case(
            service, "success", None, "failed", "running", {**DEFERRED, "timeout": timeout}
        )
        for service, timeout in zip((*GOOD, *GOOD, *GOOD), range(90, 390, 25), strict=True)
    },
    "dts_holds": Case("dts", "success", AFTERWARDS, "success", "caught_up", {**DEFERRED, "hold_for": 30}),
    "oms_stalls": Case(
        "oms", "never_ending", AFTERWARDS, "failed", "running", {**DEFERRED, "stall_timeout": 120}
    ),
    "dts_marked": Case("dts", "success", None, "failed", "running", DEFERRED),
    "drs_cleared": Case("drs", "success", AFTERWARDS, "success", "caught_up", DEFERRED),
    "oms_marked_and_cleared": Case("oms", "success", AFTERWARDS, "success", "caught_up", DEFERRED),
    **{
        f"{service}_rescheduled": Case(service, "success", AFTERWARDS, "success", state, RESCHEDULED)
        for service, state in GOOD.items()
    },
    "dts_rescheduled_ends_database": Case("dts", "success", "database", "success", "caught_up", RESCHEDULED),
    "oms_rescheduled_fails": Case("oms", "failure", "service", "failed", "failed", RESCHEDULED),
    "drs_rescheduled_too_late": Case(
        "drs", "success", None, "failed", "running", {**RESCHEDULED, "timeout": 300}
    ),
}

with DAG("outages", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    for name, case in CASES.items():
        SENSORS[case.service](
            task_id=name,
            # A worker that loses the database costs its task a try; a migration that has failed never does.
            **{"timeout": DURATION, "retries": 2, "retry_delay": timedelta(seconds=5), **case.arguments},
            **ids(case.service, name),
        )
