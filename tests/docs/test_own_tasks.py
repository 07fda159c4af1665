"""Records returned from a user's own task, as Airflow stores them in XCom."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_migration.progress import MigrationProgress
from tests.conftest import ROOT

RECORD = MigrationProgress(
    service="dts", migration_id="dts1", state="running", observed_at=datetime(2026, 1, 2, tzinfo=UTC)
)


def test_record_survives_json() -> None:
    returned = deserialize(serialize(RECORD.model_dump(mode="json")))
    assert returned == RECORD.model_dump(mode="json")
    assert MigrationProgress.model_validate(returned) == RECORD


def test_record_object_is_refused_with_the_quoted_message() -> None:
    with pytest.raises(ImportError) as refused:
        deserialize(serialize(RECORD))
    page = (ROOT / "docs" / "record.md").read_text()
    (quoted,) = re.findall(r"`([^`]+ was not found in allow list[^`]*)`", page)
    assert str(refused.value).startswith(quoted)
