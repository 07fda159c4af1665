"""
XCom access that also works with a custom XCom backend that stores values elsewhere.

Airflow 3 reads a link's address from its database and bypasses the backend.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import XCom

from airflow_provider_migration.compat import reads_links_from_database
from airflow_provider_migration.keys import CONSOLE_URL_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskInstanceKey

log: Final = logging.getLogger(__name__)


def write_xcom(push: Callable[..., None], key: str, value: Any, task_key: Mapping[str, Any]) -> None:
    """
    Write a value, and purge the one that it replaces from the backend.

    :param push: writes through the backend; takes ``key``, ``value`` and the items of ``task_key``.
    :param task_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index``.
    """
    if not _keeps_elsewhere():
        push(key=key, value=value, **task_key)
    elif key == CONSOLE_URL_KEY:
        XCom._set_xcom_in_db(key=key, value=value, **task_key)
    else:
        before = XCom._get_xcom_db_ref(key=key, **task_key)
        push(key=key, value=value, **task_key)
        try:
            # A backend may store both under one name: then there is nothing to purge.
            if before.value is not None and before.value != XCom._get_xcom_db_ref(key=key, **task_key).value:
                XCom.purge(before)
        except Exception as problem:  # the new value has been written
            log.info(
                "The previous value of XCom %s could not be purged from the backend: %s",
                key,
                type(problem).__name__,
            )


def read_link(key: str, ti_key: TaskInstanceKey) -> str:
    """Return a stored address, or an empty string."""
    if not _keeps_elsewhere():
        return XCom.get_value(key=key, ti_key=ti_key) or ""
    names = ("dag_id", "task_id", "run_id", "map_index")
    return XCom._get_xcom_db_ref(key=key, **{name: getattr(ti_key, name) for name in names}).value or ""


def _keeps_elsewhere() -> bool:
    """Tell whether a custom XCom backend is in use that Airflow bypasses for links."""
    is_custom = any(base.__name__ == "BaseXCom" for base in XCom.__mro__[1:])
    return is_custom and reads_links_from_database(XCom)
