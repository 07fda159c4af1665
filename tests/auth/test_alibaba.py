"""ACS3-HMAC-SHA256: equal to what Alibaba Cloud's own SDK signs."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_migration.auth.alibaba import ALGORITHM, AlibabaSigner, signature
from airflow_provider_migration.sansio import Request, encode_query

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sdk = import_module("alibabacloud_tea_openapi.utils")
    sdk_request = import_module("darabonba.request")

RECORDED = json.loads((Path(__file__).parents[1] / "vectors" / "alibaba_acs3.json").read_text())
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NONCE = "0123456789abcdef0123456789abcdef"


def request_to(url: str, *, headers: dict[str, str] | None = None, body: bytes = b"") -> Request:
    return Request(
        service="dts",
        action="A",
        method="POST",
        url=url,
        headers=headers or {},
        body=body,
        read=lambda request, response: None,
        signer=AlibabaSigner("id", "secret"),
    )


def signed_by_sdk(request: Request, headers: dict[str, str], key: str, secret: str) -> str:
    """Return the authorization that the SDK gives the headers that ours signs."""
    theirs = sdk_request.DaraRequest()
    theirs.method = request.method
    theirs.pathname = urlsplit(request.url).path
    theirs.query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    names = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    theirs.headers = {name: headers[name] for name in names}
    payload = sdk.Utils.hex_encode(sdk.Utils.hash(request.body, ALGORITHM))
    authorization: str = sdk.Utils.get_authorization(theirs, ALGORITHM, payload, key, secret)
    return authorization


@pytest.mark.parametrize(
    "recorded", RECORDED["requests"], ids=lambda vector: f"{vector['case']}-{vector['credential']}"
)
def test_signature_matches_the_sdk_vectors(recorded: Any) -> None:
    headers = {name.lower(): value for name, value in recorded["headers"].items()}
    scheme, _, fields = headers["authorization"].partition(" ")
    expected = dict(part.split("=", 1) for part in fields.split(","))
    url = urlsplit(recorded["url"])
    assert scheme == ALGORITHM
    assert expected["Signature"] == signature(
        RECORDED["access_key_secret"],
        method=recorded["method"],
        path=url.path,
        query=url.query,
        headers=headers,
        signed_names=expected["SignedHeaders"].split(";"),
        content_sha256=headers["x-acs-content-sha256"],
    )


def test_signature_matches_the_documented_example() -> None:
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    }
    query = {
        "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
        "RegionId": "cn-shanghai",
    }
    assert (
        signature(
            "YourAccessKeySecret",
            method="POST",
            path="/",
            query=encode_query(query.items()),
            headers=headers,
            signed_names=sorted(headers),
            content_sha256=headers["x-acs-content-sha256"],
        )
        == "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


names = st.text("abcXYZ019-_.", min_size=1, max_size=8)
values = st.text(max_size=20)
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@settings(max_examples=150)
@given(
    query=st.dictionaries(names, values, max_size=5),
    form=st.dictionaries(names, values, max_size=5),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    key=secrets,
    secret=secrets,
    token=st.none() | secrets,
)
def test_signature_matches_the_sdk(
    query: Any, form: Any, header: str, key: str, secret: str, token: str | None
) -> None:
    request = request_to(
        f"https://dts.example:8443/?{encode_query(query.items())}",
        headers={"accept": "application/json", "content-type": "x", "x-acs-action": header},
        body=encode_query(form.items()).encode(),
    )
    headers = dict(AlibabaSigner(key, secret, token).sign(request, now=NOW, nonce=NONCE))
    assert headers["authorization"] == signed_by_sdk(request, headers, key, secret)


def test_query_encoding_matches_the_sdk() -> None:
    parameters = {"b": "ü ~*+/%?&=\n", "a": "我\U0001f600", "c": ""}
    assert encode_query(parameters.items()) == sdk.get_canonical_query_string(parameters)


def test_signed_headers() -> None:
    request = request_to(
        "http://127.0.0.1:8100/", headers={"accept": "a", "content-type": "c", "x-acs-version": "v"}
    )
    headers = AlibabaSigner("id", "secret", "token").sign(request, now=NOW, nonce=NONCE)
    assert headers["host"] == "127.0.0.1:8100"
    assert headers["x-acs-date"] == "2026-01-02T03:04:05Z"
    assert headers["x-acs-signature-nonce"] == NONCE
    assert headers["x-acs-security-token"] == "token"
    assert (
        "SignedHeaders=content-type;host;x-acs-content-sha256;x-acs-date;x-acs-security-token;"
        "x-acs-signature-nonce;x-acs-version," in headers["authorization"]
    )


def test_token_is_sent_only_with_a_temporary_key() -> None:
    headers = AlibabaSigner("id", "secret").sign(request_to("https://x/"), now=NOW, nonce=NONCE)
    assert "x-acs-security-token" not in headers


def test_signature_differs_per_attempt() -> None:
    signer, request = AlibabaSigner("id", "secret"), request_to("https://x/")
    first, second = (signer.sign(request, now=NOW, nonce=nonce) for nonce in ("1", "2"))
    assert first["authorization"] != second["authorization"]


def test_redact_secrets_from_repr() -> None:
    signer = AlibabaSigner("id", "top-secret", "token-1")
    assert signer.secrets == ("top-secret", "token-1")
    assert AlibabaSigner("id", "top-secret").secrets == ("top-secret",)
    request = request_to("https://x/", headers={"x-secret": "hidden"}, body=b"hidden")
    assert "secret" not in repr(signer).replace("access_key_secret", "")
    assert "token-1" not in repr(signer)
    assert "hidden" not in repr(request)
