"""
Differences between Airflow's releases that ``airflow.providers.common.compat`` does not cover.

Each entry names the oldest release with which it is no longer needed. Nothing else in the package asks which
Airflow it runs on; ``docs/compatibility.md`` says what each one lacks.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any

from airflow.triggers import base

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context, Stats
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger
else:
    # Until 3.0: in Airflow 2 no asset is watched, but what the provider info names must be there.
    BaseEventTrigger = getattr(base, "BaseEventTrigger", base.BaseTrigger)


def first_reschedule_date(context: Context) -> datetime | None:
    """Return when the wait of a rescheduled task began, or None at its first poll. Until 3.0."""
    ti: Any = context["ti"]
    date: datetime | None
    if hasattr(ti, "get_first_reschedule_date"):
        date = ti.get_first_reschedule_date(context)
    else:
        # Airflow 2.11 has it in the database, where its own sensors look it up so.
        from airflow.sensors.base import _orig_start_date

        first_try = (ti.max_tries or 0) - (ti.task.retries or 0) + 1
        date = _orig_start_date(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)
    return date


def can_look_up_beside_others() -> bool:
    """
    Tell whether connections may be looked up in other threads than the one that XCom is written in.

    Until 3.3.2. Airflow 2 reads its database. Airflow 3 asks the supervisor, over one socket: up to 3.3.1 its
    client is not made for several threads (https://github.com/apache/airflow/issues/64620).
    """
    from airflow.providers.common.compat.sdk import Connection
    from airflow.version import version

    return version.startswith("2.") or hasattr(Connection, "aextra_dejson")


def asset_kinds() -> tuple[Any, ...]:
    """
    Return the classes of a task's outlets whose events can carry figures.

    Until 3.0: Airflow 2 has no references.
    """
    from airflow.providers.common.compat.sdk import Asset

    with suppress(ImportError):
        from airflow.sdk.definitions.asset import AssetRef

        return (Asset, AssetRef)
    return (Asset,)


def statistics() -> type[Stats]:
    """Return Airflow's statistics, configured. Until 3.3."""
    with suppress(ImportError):
        # Airflow 3.2 configures them as this is loaded; a triggerer without a deferred task has not done so.
        import airflow.sdk.serde  # noqa: F401 - for what it does as it is loaded
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def statistics_are_off(stats: Any) -> bool:
    """
    Tell whether statistics are switched off, so that a poll can skip them; False if not known.

    :param stats: from :func:`statistics`.
    """
    # Until 3.3 each method belongs to the client; since then a function of the module looks the client up.
    client = getattr(stats.gauge, "__self__", None)
    if client is None:
        module = sys.modules.get(getattr(stats, "__module__", None) or "")
        look_up = getattr(module, "_get_backend", None)
        client = look_up() if look_up is not None else None
    # In 2.11 to 3.2 the methods of this client belong to its class.
    return "NoStatsLogger" in (type(client).__name__, getattr(client, "__name__", None))


def task_state_store(context: Context) -> Any:
    """Return the store that keeps a task's state between its processes, or None. Until 3.3."""
    return context.get("task_state_store")


def asset_state_store(trigger: BaseEventTrigger) -> Any:
    """Return the store that keeps an asset's state between triggerers, or None. Until 3.3."""
    return getattr(trigger, "asset_state_store", None)


def reads_links_from_database(xcom: type) -> bool:
    """
    Tell whether Airflow reads the address of a link from its database, without the user's XCom backend.

    Until 3.0: the backend of Airflow 2 serves links as well.

    :param xcom: Airflow's ``XCom``, or the user's backend.
    """
    return hasattr(xcom, "_set_xcom_in_db")


def approval_operator() -> type[Any] | None:
    """Return Airflow's ``ApprovalOperator``; None before Airflow 3.1. Until 3.1."""
    from airflow.version import version

    if version.startswith(("2.", "3.0.")):
        return None
    # Not guarded: without the operator nobody would be asked.
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    operator: type[Any] = ApprovalOperator
    return operator


def response_timeout(operator: type[Any], timeout: timedelta) -> dict[str, timedelta]:
    """
    Return the argument of an ``ApprovalOperator`` for the time to wait for an answer.

    Until 3.3: older standard providers take ``execution_timeout`` for it.
    """
    makers = (vars(kind).get("__init__", object.__init__) for kind in operator.__mro__)
    is_known = any("response_timeout" in signature(maker).parameters for maker in makers)
    return {"response_timeout" if is_known else "execution_timeout": timeout}


def task_address(dag_id: str, task_id: str, run_id: str, map_index: int) -> str:
    """
    Return the address of a task's Migration tab in the Airflow UI; "" if Airflow's own is not configured.

    Until 3.1: Airflow 2 has another page, and Airflow 3.0 shows no tabs of plugins.
    """
    from urllib.parse import quote, urlencode

    from airflow.providers.common.compat.sdk import conf
    from airflow.version import version

    is_old = version.startswith("2.")
    base = (conf.get("webserver" if is_old else "api", "base_url", fallback=None) or "").rstrip("/")
    if not base:
        return ""
    dag, run, task = (quote(part, safe="") for part in (dag_id, run_id, task_id))
    if is_old:
        index = {} if map_index < 0 else {"map_index": map_index}
        return f"{base}/dags/{dag}/grid?{urlencode({'dag_run_id': run_id, 'task_id': task_id, **index})}"
    mapped = "" if map_index < 0 else f"/mapped/{map_index}"
    tab = "" if version.startswith("3.0.") else "/plugin/migration"
    return f"{base}/dags/{dag}/runs/{run}/tasks/{task}{mapped}{tab}"


def template_accessors() -> dict[str, Any]:
    """Return ``conn`` and ``var`` for templates that are rendered without a task. Until 3.0."""
    try:
        from airflow.sdk.execution_time.context import ConnectionAccessor, VariableAccessor
    except ImportError:
        from airflow.utils.context import ConnectionAccessor, VariableAccessor

    return {
        "conn": ConnectionAccessor(),
        "var": {
            "value": VariableAccessor(deserialize_json=False),
            "json": VariableAccessor(deserialize_json=True),
        },
    }


def read_connections_from_database() -> None:
    """
    Let this process look up connections in Airflow's database too, as Airflow's own commands do.

    Still needed in 3.3: Airflow 3 does so only in a process that is declared as one of its own. Airflow 2
    always does.
    """
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
