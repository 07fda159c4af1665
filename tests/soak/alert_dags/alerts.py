"""Sensors and a watcher with alerts, whose migrations get into trouble and out of it, again and again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.task_groups import MigrationFleetTaskGroup
from airflow_provider_migration.triggers.event import MigrationEventTrigger
from tests.soak.dags._sensors import ID_ARGUMENTS, SENSORS, ids, migration_id
from tests.soak.notifiers import apprise_alert, own_alert

DURATION = 100
"""Seconds of a script; time stands still in it until the test moves a migration."""
MOVING = None
"""The place of a migration that moves on."""


class Case(NamedTuple):
    """
    A migration, and the trouble that its alert is about.

    :param bad: the second of its script at which it is in trouble.
    :param good: a second at which it is not, or ``MOVING``.
    """

    service: str
    alert: MigrationAlert
    bad: float
    good: float | None
    scenario: dict[str, Any]
    max_poll_errors: int = 5


PAUSED: tuple[float, float, dict[str, Any]] = (60, 40, {"script": "paused"})
LAGGING: tuple[float, float, dict[str, Any]] = (85, 97, {"script": "success"})

# DataWorks allows 5 calls a second, of which a poll needs two.
CASES: dict[str, Case] = {
    "dts_pauses": Case("dts", own_alert("paused"), *PAUSED),
    "oms_pauses": Case("oms", apprise_alert("paused"), *PAUSED),
    "drs_pauses": Case("drs", own_alert("paused"), *PAUSED),
    "dts_lags": Case("dts", apprise_alert("lag_above", above=60), *LAGGING),
    "oms_lags": Case("oms", own_alert("lag_above", above=60), *LAGGING),
    "drs_lags": Case("drs", apprise_alert("lag_above", above=60), *LAGGING),
    "oms_stalls": Case("oms", own_alert("stalled", after=6), 40, MOVING, {}),
    "dataworks_stalls": Case("dataworks", apprise_alert("stalled", after=6), 40, MOVING, {}),
    "dts_differs": Case(
        "dts",
        own_alert("verification_failed"),
        115,
        170,
        {"verification": {"outcome": "repaired"}},
    ),
    "dts_unanswered": Case(
        "dts",
        own_alert("polls_failing"),
        90,
        40,
        {"script": "success", "steps": [{"at": 90, "error": {"code": "InternalError", "http_status": 503}}]},
        max_poll_errors=10_000,
    ),
}
MAPPED = ("dts_mapped_1", "dts_mapped_2")
FLEET = ("oms_fleet_1", "oms_fleet_2")
WATCHED = "drs_watched"
ON_WORKERS = ("dts_poked", "oms_rescheduled")
"""They are in trouble once, from the beginning to the end of the test."""

PATIENT: dict[str, Any] = {"target_status": "succeeded", "timeout": 7200}
DEFERRED: dict[str, Any] = {**PATIENT, "deferrable": True, "poke_interval": 3}

watched = Asset(
    "watched",
    watchers=[
        AssetWatcher(
            name="watched",
            trigger=MigrationEventTrigger.of(
                SENSORS["drs"],
                target_status="succeeded",
                poke_interval=3,
                alerts=[own_alert("paused")],
                **ids("drs", WATCHED),
            ),
        )
    ],
)

with DAG("alerts", start_date=datetime(2026, 1, 1), schedule=None):
    for name, case in CASES.items():
        SENSORS[case.service](
            task_id=name,
            alerts=[case.alert],
            max_poll_errors=case.max_poll_errors,
            **DEFERRED,
            **ids(case.service, name),
        )
    SENSORS["dts"].partial(task_id="mapped", alerts=[apprise_alert("paused")], **DEFERRED).expand(
        **{ID_ARGUMENTS["dts"]: [migration_id("dts", name) for name in MAPPED]}
    )
    MigrationFleetTaskGroup(SENSORS["oms"], name="oms_fleet", alerts=[own_alert("paused")], **DEFERRED)
    SENSORS["dts"](
        task_id="dts_poked",
        mode="poke",
        poke_interval=3,
        alerts=[own_alert("paused")],
        **PATIENT,
        **ids("dts", "dts_poked"),
    )
    SENSORS["oms"](
        task_id="oms_rescheduled",
        mode="reschedule",
        # Below 15 s Airflow's scheduler takes a rescheduled task for one that was killed.
        poke_interval=20,
        alerts=[apprise_alert("paused")],
        **PATIENT,
        **ids("oms", "oms_rescheduled"),
    )

with DAG("after_watched", start_date=datetime(2026, 1, 1), schedule=[watched]):
    EmptyOperator(task_id="nothing")
