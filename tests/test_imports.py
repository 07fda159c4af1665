"""The import graph: no import runs upwards, and none runs in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "airflow_provider_migration"

FLOORS = (
    {"compat", "get_provider_info", "keys"},
    {"alerts", "clock", "exceptions", "progress"},
    {"sansio"},
    {"api_errors"},
    {"auth", "links", "metrics", "transport", "wait", "xcom"},
    {"notifications", "polling", "services"},
    {"credentials"},
    {"hooks", "polling"},
    {"sensors", "triggers"},
    {"cli", "task_groups", "ui"},
    {"__main__"},
)
"""The modules and packages at the top, the lowest floor first. The simulator stands beside the house."""
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
SIMULATOR_USES = {"auth", "sansio"}
"""It judges signatures by the same canonical form."""


class Import(NamedTuple):
    """One import of a module of the package, by dotted names below the package."""

    importer: str
    imported: str
    scope: Literal["module", "function", "typing"]

    @property
    def rooms(self) -> tuple[str, str]:
        """A module or a package at the top of the package."""
        return self.importer.partition(".")[0], self.imported.partition(".")[0]


def modules() -> Iterator[Path]:
    return (path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[Import]:
    for statement, scope in statements(ast.parse(path.read_text()).body, "module"):
        for imported in imported_by(statement):
            yield Import(name_of(path), imported, scope)


def statements(
    body: list[ast.stmt], scope: Literal["module", "function", "typing"]
) -> Iterator[tuple[ast.stmt, Literal["module", "function", "typing"]]]:
    for statement in body:
        yield statement, scope
        inner = scope
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and scope == "module":
            inner = "function"
        for field in ("body", "orelse", "finalbody"):
            is_typing = (
                field == "body"
                and isinstance(statement, ast.If)
                and ast.unparse(statement.test) == "TYPE_CHECKING"
            )
            yield from statements(getattr(statement, field, []), "typing" if is_typing else inner)
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from statements(part.body, inner)


def imported_by(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.ImportFrom):
        assert statement.level == 0, "imports are absolute"
        for alias in statement.names:
            longer = f"{statement.module}.{alias.name}"
            yield from below(longer if is_module(longer) else f"{statement.module}")
    elif isinstance(statement, ast.Import):
        for alias in statement.names:
            yield from below(alias.name)


def below(name: str) -> Iterator[str]:
    if name.startswith(f"{PACKAGE.name}."):
        yield name.removeprefix(f"{PACKAGE.name}.")


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


IMPORTS = sorted({found for path in modules() for found in imports_of(path)})


def test_every_module_has_a_floor() -> None:
    assert {name_of(path).partition(".")[0] for path in modules()} == {*HEIGHT, "simulator"}


@pytest.mark.parametrize("scope", ["module", "function", "typing"])
def test_imports_run_downwards(scope: str) -> None:
    """Between neighbours of one floor, imports are allowed inside functions and for types only."""
    upwards = []
    for found in IMPORTS:
        importer, imported = found.rooms
        if found.scope != scope or importer == imported or "simulator" in (importer, imported):
            continue
        difference = HEIGHT[importer] - HEIGHT[imported]
        if difference < 0 or (difference == 0 and scope == "module"):
            upwards.append(found)
    assert upwards == []


def test_imports_make_no_circle() -> None:
    """A module also imports the packages that it is in."""
    graph: dict[str, set[str]] = {}
    for importer, imported, scope in IMPORTS:
        if scope == "module":
            packages = {imported[:end] for end, letter in enumerate(imported) if letter == "."}
            graph.setdefault(importer, set()).update({imported, *packages} - {importer})
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_simulator_is_imported_by_nothing_else() -> None:
    outside = {found for found in IMPORTS if found.rooms.count("simulator") == 1}
    assert {imported for importer, imported in (found.rooms for found in outside)} <= SIMULATOR_USES
