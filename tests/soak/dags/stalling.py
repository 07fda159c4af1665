"""Two hundred sensors whose migrations stall together, and some beside them to compare with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_migration.alerts import MigrationAlert
from tests.soak.dags._sensors import ID_ARGUMENTS, SENSORS, migration_id
from tests.soak.notifiers import HangingNotifier, SlowNotifier, apprise_alert, own_alert

STALLED_SECONDS = 60
"""Seconds without movement that count as a stall: more than the longest interval."""

# DataWorks allows 5 calls a second, of which a poll needs two.
POKE_INTERVALS = {"dataworks": 30, "dts": 15, "oms": 15, "drs": 15}

COUNTS = {"own": 25, "apprise": 25, "none": 10, "slow": 3, "hanging": 3}
"""Number of migrations per service, by what their sensors have for alerts."""

ALERTS: dict[str, Callable[[], list[MigrationAlert]]] = {
    "own": lambda: [own_alert("stalled", after=STALLED_SECONDS)],
    "apprise": lambda: [apprise_alert("stalled", after=STALLED_SECONDS)],
    "none": list,
    "slow": lambda: [own_alert("stalled", SlowNotifier, after=STALLED_SECONDS)],
    "hanging": lambda: [own_alert("stalled", HangingNotifier, after=STALLED_SECONDS)],
}


def names(service: str, kind: str) -> list[str]:
    """Return the names of the migrations of a service."""
    return [f"{service}_{kind}_{number}" for number in range(COUNTS[kind])]


with DAG("stalling", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    for service, sensor in SENSORS.items():
        more = {
            "dataworks": {"project_id": 123456},
            # The lists of objects are rate-limited: they would show a movement that was long before.
            "drs": {"object_types": ()},
        }.get(service, {})
        for kind, alerts in ALERTS.items():
            sensor.partial(
                task_id=f"{service}_{kind}",
                deferrable=True,
                poll_before_deferring=False,
                poke_interval=POKE_INTERVALS[service],
                timeout=7200,
                target_status="succeeded",
                alerts=alerts(),
                **more,
            ).expand(
                **{ID_ARGUMENTS[service]: [migration_id(service, name) for name in names(service, kind)]}
            )
