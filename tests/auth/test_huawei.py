"""SDK-HMAC-SHA256: equal to what Huawei Cloud's own SDK signs."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_migration.auth.huawei import ALGORITHM, HuaweiSigner, signature
from airflow_provider_migration.sansio import Request, encode_query

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sdk = import_module("huaweicloudsdkcore.signer.signer")
    sdk_request = import_module("huaweicloudsdkcore.sdk_request")

RECORDED = json.loads((Path(__file__).parents[1] / "vectors" / "huawei_sdk_hmac.json").read_text())
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def request_to(
    url: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
) -> Request:
    return Request(
        service="drs",
        action="A",
        method=method,
        url=url,
        headers=headers or {},
        body=body,
        read=lambda request, response: None,
        signer=HuaweiSigner("AK", "SK"),
    )


def signed_by_sdk(request: Request, headers: dict[str, str], key: str, secret: str) -> str:
    """Return the authorization that the SDK gives the headers that ours sends."""
    url = urlsplit(request.url)
    theirs = sdk_request.SdkRequest(
        method=request.method,
        schema=url.scheme,
        host=url.netloc,
        resource_path=url.path,  # which the SDK decodes
        query_params=parse_qsl(url.query, keep_blank_values=True),
        header_params={name: value for name, value in headers.items() if name != "authorization"},
        body=request.body,
    )
    sdk.Signer(SimpleNamespace(ak=key, sk=secret)).sign(theirs)
    authorization: str = theirs.header_params["Authorization"]
    return authorization


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda vector: vector["name"])
def test_signature_matches_the_sdk_vectors(recorded: Any) -> None:
    headers = {name.lower(): value for name, value in recorded["headers"].items()}
    expected = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(", "))
    url = urlsplit(recorded["url"])
    assert headers["authorization"].startswith(f"{ALGORITHM} Access={recorded['ak']}, ")
    assert expected["Signature"] == signature(
        recorded["sk"],
        method=recorded["method"],
        path=url.path,
        query="&".join(sorted(url.query.split("&"))),
        headers=headers,
        signed_names=expected["SignedHeaders"].split(";"),
        content_sha256=EMPTY_SHA256,
    )


names = st.text("abcXYZ019-_.~", min_size=1, max_size=8)
values = st.text(max_size=20)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@settings(max_examples=150)
@given(
    path=st.lists(st.text(max_size=12), min_size=1, max_size=4),
    query=st.dictionaries(names, values, max_size=5),
    body=st.binary(max_size=40),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    key=printable,
    secret=printable,
    token=st.none() | printable,
)
def test_signature_matches_the_sdk(
    path: Any, query: Any, body: bytes, header: str, key: str, secret: str, token: str | None
) -> None:
    url = f"https://drs.example:8443/{'/'.join(quote(part, safe='') for part in path)}"
    request = request_to(
        f"{url}?{encode_query(query.items())}",
        method="POST",
        headers={"content-type": "application/json", "x-project-id": "p", "x-language": header},
        body=body,
    )
    headers = dict(HuaweiSigner(key, secret, token).sign(request, now=NOW, nonce="n"))
    assert headers["authorization"] == signed_by_sdk(request, headers, key, secret)


def test_signed_headers() -> None:
    request = request_to(
        "http://127.0.0.1:8100/v5/p", headers={"x-project-id": "p", "content-type": "c", "user-agent": "u"}
    )
    headers = HuaweiSigner("AK", "SK", "token").sign(request, now=NOW, nonce="n")
    assert (headers["host"], headers["x-sdk-date"]) == ("127.0.0.1:8100", "20260102T030405Z")
    assert headers["x-security-token"] == "token"
    assert (
        "SignedHeaders=content-type;host;x-project-id;x-sdk-date;x-security-token, "
        in headers["authorization"]
    )


def test_token_is_sent_only_with_a_temporary_key() -> None:
    headers = HuaweiSigner("AK", "SK").sign(request_to("https://x/"), now=NOW, nonce="n")
    assert "x-security-token" not in headers


def test_redact_secrets_from_repr() -> None:
    signer = HuaweiSigner("AK", "top-secret", "token-1")
    assert signer.secrets == ("top-secret", "token-1")
    assert HuaweiSigner("AK", "top-secret").secrets == ("top-secret",)
    assert "top-secret" not in repr(signer)
    assert "token-1" not in repr(signer)
