"""HTTP Basic authentication."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests.auth

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.sansio import Request

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("user", "password", "encoded"),
    [("admin", "root", "YWRtaW46cm9vdA=="), ("a:b", "c", "YTpiOmM="), ("ü", "我", "w7w65oiR")],
)
def test_header_matches_the_documented_example(user: str, password: str, encoded: str) -> None:
    signer = BasicSigner(user, password)
    request = Request(
        service="oms",
        action="A",
        method="GET",
        url="http://x/",
        headers={"accept": "a"},
        read=lambda request, response: None,
        signer=signer,
    )
    headers = signer.sign(request, now=NOW, nonce="n")
    assert headers == {"accept": "a", "authorization": f"Basic {encoded}"}
    assert signer.secrets == (password, encoded)


def test_header_matches_requests() -> None:
    headers = BasicSigner("user", "pass word").secrets
    assert requests.auth._basic_auth_str("user", "pass word") == f"Basic {headers[1]}"


def test_redacted_repr_has_no_password() -> None:
    assert "top-secret" not in repr(BasicSigner("user", "top-secret"))
