"""Writes to XCom, and the replaced values in a backend that stores them elsewhere."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from airflow_provider_migration import xcom
from airflow_provider_migration.keys import CONSOLE_URL_KEY, PROGRESS_KEY, WAIT_KEY

TASK = {"dag_id": "dag", "task_id": "wait", "run_id": "run+1", "map_index": -1}
ADDRESS = "https://dts.console.aliyun.com/"


class Database:
    """As much of Airflow's XCom as is used: the rows, and what was done with them."""

    rows: ClassVar[dict[str, Any]]
    done: ClassVar[list[str]]

    @classmethod
    def get_value(cls, *, key: str, ti_key: Any) -> Any:
        cls.done.append("read through the backend")
        return cls.rows.get(key)


class BaseXCom(Database):
    """Airflow 3's own."""

    @classmethod
    def _set_xcom_in_db(cls, *, key: str, value: Any, **task: Any) -> None:
        assert task == TASK
        cls.done.append("write past the backend")
        cls.rows[key] = value

    @classmethod
    def _get_xcom_db_ref(cls, *, key: str, **task: Any) -> Any:
        assert task == TASK
        return SimpleNamespace(key=key, value=cls.rows.get(key))


class Custom(BaseXCom):
    """A backend of the user's own, which keeps each value under a new name or always under the same."""

    is_renaming: ClassVar[bool]
    problem: ClassVar[Exception | None]

    @classmethod
    def purge(cls, before: Any) -> None:
        cls.done.append(f"purge {before.value}")
        if cls.problem:
            raise cls.problem


OfAirflow2 = type("Custom", (type("BaseXCom", (Database,), {}),), {})
"""One of Airflow 2, which reads links through the backend too."""


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"rows": {}, "done": []}.items():
        monkeypatch.setattr(Database, name, value, raising=False)
    for name, value in {"is_renaming": True, "problem": None}.items():
        monkeypatch.setattr(Custom, name, value, raising=False)


def push(key: str, value: Any, **task: Any) -> None:
    """Write as a task or a trigger does, through the backend."""
    assert task == TASK
    Database.done.append("write")
    is_kept_elsewhere = xcom.XCom is Custom
    number = f"-{len(Database.done)}" if Custom.is_renaming else ""
    Database.rows[key] = f"file:///{key}{number}" if is_kept_elsewhere else value


@pytest.mark.parametrize(
    ("backend", "key", "done"),
    [
        (BaseXCom, PROGRESS_KEY, ["write"]),
        (BaseXCom, CONSOLE_URL_KEY, ["write"]),
        (OfAirflow2, PROGRESS_KEY, ["write"]),
        (OfAirflow2, CONSOLE_URL_KEY, ["write"]),
        (Custom, WAIT_KEY, ["write"]),
        (Custom, CONSOLE_URL_KEY, ["write past the backend"]),
    ],
)
def test_xcom_is_written_through_the_backend_except_links(
    backend: Any, key: str, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcom, "XCom", backend)
    xcom.write_xcom(push, key, ADDRESS, TASK)
    assert Database.done == done


@pytest.mark.parametrize(
    ("backend", "row", "shown", "done"),
    [
        (BaseXCom, ADDRESS, ADDRESS, ["read through the backend"]),
        (BaseXCom, None, "", ["read through the backend"]),
        (OfAirflow2, ADDRESS, ADDRESS, ["read through the backend"]),
        (Custom, ADDRESS, ADDRESS, []),
        (Custom, None, "", []),
    ],
)
def test_xcom_link_is_read_where_it_was_written(
    backend: Any, row: str | None, shown: str, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xcom, "XCom", backend)
    Database.rows[CONSOLE_URL_KEY] = row
    key: Any = SimpleNamespace(**TASK)
    assert xcom.read_link(CONSOLE_URL_KEY, key) == shown
    assert Database.done == done


@pytest.mark.parametrize(
    ("is_renaming", "problem", "done"),
    [
        (True, None, ["write", "write", f"purge file:///{PROGRESS_KEY}-1"]),
        (False, None, ["write", "write"]),
        (True, PermissionError("key=secret"), ["write", "write", f"purge file:///{PROGRESS_KEY}-1"]),
    ],
)
def test_xcom_that_is_replaced_is_purged(
    is_renaming: bool,
    problem: Exception | None,
    done: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(xcom, "XCom", Custom)
    monkeypatch.setattr(Custom, "is_renaming", is_renaming)
    monkeypatch.setattr(Custom, "problem", problem)
    with caplog.at_level(logging.INFO, xcom.__name__):
        for value in ("first", "second"):
            xcom.write_xcom(push, PROGRESS_KEY, value, TASK)
    assert Database.done == done
    assert Database.rows[PROGRESS_KEY] == f"file:///{PROGRESS_KEY}{'-2' if is_renaming else ''}"
    said = f"The previous value of XCom {PROGRESS_KEY} could not be purged from the backend: PermissionError"
    assert caplog.messages == ([said] if problem else [])


def test_xcom_that_cannot_be_written_keeps_the_old_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(xcom, "XCom", Custom)
    xcom.write_xcom(push, PROGRESS_KEY, "first", TASK)
    with pytest.raises(ConnectionError):
        xcom.write_xcom(refuse, PROGRESS_KEY, "second", TASK)
    assert Database.done == ["write"]
