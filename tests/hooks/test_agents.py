"""The hooks as tools of an agent, which knows a method by its signature and its docstring."""

from __future__ import annotations

import copy
import inspect
import re

import pytest

from tests.catalogue import Service, each_service
from tests.conftest import ROOT
from tests.docs.pages import quoted, tables_of

((_, _ROWS),) = tables_of(ROOT / "docs" / "agents.md", "agents")
each_method = pytest.mark.parametrize("name", [quoted(row[0])[0] for row in _ROWS])
NAMELESS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@each_service
@each_method
def test_allowed_method_describes_itself(service: Service, name: str) -> None:
    summary = (inspect.getdoc(getattr(service.hook, name)) or "").partition("\n\n")[0]
    assert summary
    assert ":meth:" not in summary


@each_service
@each_method
def test_allowed_method_describes_its_arguments(service: Service, name: str) -> None:
    method = getattr(service.hook, name)
    _, *parameters = inspect.signature(method).parameters.values()
    for parameter in parameters:
        if parameter.kind not in NAMELESS:
            assert parameter.annotation is not parameter.empty, parameter
            assert re.search(rf":param {parameter.name}: \w", method.__doc__ or ""), parameter


@each_service
@each_method
def test_allowed_method_returns_at_once(service: Service, name: str) -> None:
    """An agent cannot read an iterator or await."""
    method = getattr(service.hook, name)
    assert not inspect.iscoroutinefunction(method)
    assert "Iterator" not in str(inspect.signature(method).return_annotation)


@each_service
def test_connection_of_a_copy_is_its_own(service: Service) -> None:
    """A toolset renders the id on a copy of the hook, once for each task instance."""
    attribute = service.hook.conn_name_attr
    hook = service.hook("tenant_{{ params.tenant }}")
    rendered = copy.copy(hook)
    setattr(rendered, attribute, "tenant_a")
    assert getattr(rendered, attribute) == "tenant_a"
    assert getattr(hook, attribute) == "tenant_{{ params.tenant }}"
