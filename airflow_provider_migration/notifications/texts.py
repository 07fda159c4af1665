"""The ready texts of alerts (placeholder)."""

from collections.abc import Mapping
from typing import Any


def texts(
    alert: Mapping[str, Any], record: Mapping[str, Any] | None, wait: Mapping[str, Any], link: str
) -> dict[str, dict[str, str]]:
    line = f"{alert['when']} {'over' if alert['is_over'] else ''} {wait['service']} {wait['migration_id']}"
    return {lang: {"title": line, "text": line, "markdown": line} for lang in ("en", "zh")}
