"""Requests and responses, without the I/O."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_migration.sansio import Response

AT_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "date"),
    [
        ({"date": "Fri, 02 Jan 2026 12:00:00 GMT"}, AT_NOON),
        ({"date": "Fri, 02 Jan 2026 13:00:00 +0100"}, AT_NOON),
        ({"date": "Fri, 02 Jan 2026 12:00:00 -0000"}, AT_NOON),
        ({"date": "02 Jan 2026 12:00:00"}, AT_NOON),
        ({"date": "Fri, 02 Jan 2026 12:00:00 GMT", "age": "0"}, None),  # of a cache
        ({}, None),
        ({"date": ""}, None),
        ({"date": "yesterday"}, None),
        ({"date": "2026-01-02T12:00:00Z"}, None),
        ({"date": "Fri, 32 Jan 2026 12:00:00 GMT"}, None),
        ({"date": "Fri, 02 Jan 99999999999999999999 12:00:00 GMT"}, None),
        ({"date": "Fri, 02 Jan 2026 12:00:00 +9999999999"}, None),
    ],
)
def test_date_of_a_response_is_the_service_s_time(headers: dict[str, str], date: datetime | None) -> None:
    assert Response(200, headers).date == date
