"""The pages that people read, and the code blocks and tables on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"```(?P<language>\w*)(?: title=\"(?P<title>[^\"\n]+)\")?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """
    A code block.

    :param line: number of its first line.
    :param title: the name of the file that it is, or None.
    :param reason: reason why it is not run, or None.
    """

    page: Path
    line: int
    language: str
    title: str | None
    code: str
    reason: str | None

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["title"],
            found["code"],
            found["reason"],
        )
        for found in _FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def tables_of(page: Path, mark: str) -> list[tuple[str, list[list[str]]]]:
    """
    Return the tables of a page that are marked with ``<!-- mark: what -->``, as that and their rows.

    :param mark: the kind of table.
    """
    found = re.findall(rf"^<!-- {mark}: (.+) -->\n\|.*\n\|.*\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    return [
        (what, [[cell.strip() for cell in row.strip("|\n").split(" | ")] for row in rows.splitlines()])
        for what, rows in found
    ]


def quoted(cell: str) -> list[str]:
    """Return the texts in backticks of a cell."""
    return re.findall(r"`([^`]+)`", cell)
