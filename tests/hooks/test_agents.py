"""The hooks as tools of an agent, which knows a method by its signature and its docstring."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_migration.hooks.base import MigrationHook
from tests.catalogue import SERVICES
from tests.conftest import ROOT
from tests.docs.pages import quoted, tables_of

((_, _ROWS),) = tables_of(ROOT / "docs" / "agents.md", "agents")
ALLOWED = [(quoted(row[0])[0], name) for row in _ROWS for name in quoted(row[1])]
NAMELESS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def hook_of(path: str) -> type[MigrationHook[Any]]:
    module, _, name = path.rpartition(".")
    found: type[MigrationHook[Any]] = getattr(import_module(f"airflow_provider_migration.{module}"), name)
    return found


def method_of(path: str, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(hook_of(path), name)
    return method


def test_allow_list_has_every_hook() -> None:
    assert {hook_of(path) for path, _ in ALLOWED} == {service.hook for service in SERVICES}


@pytest.mark.parametrize(("path", "name"), ALLOWED)
def test_allowed_method_describes_itself(path: str, name: str) -> None:
    summary = (inspect.getdoc(method_of(path, name)) or "").partition("\n\n")[0]
    assert summary
    assert ":meth:" not in summary


@pytest.mark.parametrize(("path", "name"), ALLOWED)
def test_allowed_method_describes_its_arguments(path: str, name: str) -> None:
    method = method_of(path, name)
    _, *parameters = inspect.signature(method).parameters.values()
    for parameter in parameters:
        if parameter.kind not in NAMELESS:
            assert parameter.annotation is not parameter.empty, parameter
            assert re.search(rf":param {parameter.name}: \w", method.__doc__ or ""), parameter


@pytest.mark.parametrize(("path", "name"), ALLOWED)
def test_allowed_method_returns_at_once(path: str, name: str) -> None:
    """An agent cannot read an iterator or await."""
    method = method_of(path, name)
    assert not inspect.iscoroutinefunction(method)
    assert "Iterator" not in str(inspect.signature(method).return_annotation)


@pytest.mark.parametrize("path", sorted({path for path, _ in ALLOWED}))
def test_connection_of_a_copy_is_its_own(path: str) -> None:
    """A toolset renders the id on a copy of the hook, once for each task instance."""
    kind = hook_of(path)
    hook = kind("tenant_{{ params.tenant }}")
    rendered = copy.copy(hook)
    setattr(rendered, kind.conn_name_attr, "tenant_a")
    assert getattr(rendered, kind.conn_name_attr) == "tenant_a"
    assert getattr(hook, kind.conn_name_attr) == "tenant_{{ params.tenant }}"
