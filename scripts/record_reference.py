"""Regenerate the tables of ``docs/record.md`` from the models and their docstrings."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from airflow_provider_migration.progress import (
    MigrationErrorInfo,
    MigrationProgress,
    ObjectProgress,
    ObjectSummary,
    Phase,
    Retrying,
    TableVerification,
    Throughput,
    Verification,
)

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "record.md"
BEGIN: Final = "<!-- From here to the end mark: made by scripts/record_reference.py. -->"
END: Final = "<!-- The end mark. -->"

PARTS: Final[dict[type[BaseModel], str]] = {
    Phase: "Each of `phases`",
    MigrationErrorInfo: "`error`",
    ObjectSummary: "`objects`",
    ObjectProgress: "Each of `slowest` and `failed`",
    Verification: "`verification`",
    TableVerification: "Each of `worst`",
    Throughput: "`throughput`",
    Retrying: "`retrying`",
}
"""Parts of a record and the headings of their tables."""

_TYPES: Final = {"string": "text", "integer": "whole number", "number": "number", "null": "null"}
_IVAR: Final = re.compile(r":ivar (\w+): (.+?)(?=\n:|\Z)", re.DOTALL)


def main() -> None:
    """Replace the tables between the marks of the page."""
    PAGE.write_text(with_tables(PAGE.read_text()))


def with_tables(page: str) -> str:
    """Return the page with the current tables."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [f"### {heading}\n\n{_table(model)}" for model, heading in PARTS.items()]
    return "\n\n".join([before + BEGIN, _table(MigrationProgress), *parts, END + after])


def _table(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization")
    meanings = dict(_IVAR.findall(inspect.getdoc(model) or ""))
    rows = [
        f"| `{name}` | {_type(field, schema)} | {_markdown(meanings[name])} |"
        for name, field in schema["properties"].items()
    ]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return the type of a field in words, with a link to its own table."""
    if "const" in field:
        return f"{field['const']}"
    if "anyOf" in field:
        return " or ".join(_type(choice, schema) for choice in field["anyOf"])
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if words := schema["$defs"][name].get("enum"):
            return ", ".join(f"`{word}`" for word in words)
        heading = next(text for model, text in PARTS.items() if model.__name__ == name)
        return f"[object](#{re.sub(r'[^a-z]+', '-', heading.lower()).strip('-')})"
    if field["type"] == "array":
        return f"list: {_type(field['items'], schema)}"
    return {"date-time": "UTC time"}.get(field.get("format", ""), _TYPES[field["type"]])


def _markdown(text: str) -> str:
    text = " ".join(text.split()).replace("``", "`").replace("None", "null").rstrip(".")
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
