"""
Authentication at Huawei Cloud's API gateway: SDK-HMAC-SHA256 signatures with AK and SK, or an IAM token.

Source: https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html, proved equal
to the official SDK in ``tests/auth/test_huawei.py``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_migration.sansio import Request

ALGORITHM = "SDK-HMAC-SHA256"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"


def signature(
    secret_key: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed_names: Iterable[str],
    content_sha256: str,
) -> str:
    """
    Return the hexadecimal signature of a request.

    :param path: the path as sent; the trailing slash of the canonical URI is added here.
    :param query: as :func:`~airflow_provider_migration.sansio.encode_query` returns it.
    :param headers: by lower-case name; at least those in ``signed_names`` and ``x-sdk-date``.
    :param signed_names: the sorted lower-case names of the headers that are signed.
    :param content_sha256: hexadecimal SHA-256 of the body.
    """
    names = list(signed_names)
    uri = quote(unquote(path), safe="/")
    canonical_request = "\n".join(
        [
            method,
            uri if uri.endswith("/") else f"{uri}/",
            query,
            "".join(f"{name}:{headers[name].strip()}\n" for name in names),
            ";".join(names),
            content_sha256,
        ]
    )
    string_to_sign = "\n".join(
        [ALGORITHM, headers["x-sdk-date"], hashlib.sha256(canonical_request.encode()).hexdigest()]
    )
    return hmac.digest(secret_key.encode(), string_to_sign.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class HuaweiSigner:
    """Signs with an AK/SK pair, and with a security token where the pair is temporary."""

    access_key: str
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """The AK, shortened."""
        return f"AK {self.access_key[:4]}…"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The SK and the security token."""
        return tuple(filter(None, (self.secret_key, self.security_token)))

    def sign(self, request: Request[Any], *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's headers with ``x-sdk-date`` and ``authorization``; the scheme has no nonce."""
        url = urlsplit(request.url)
        headers = {**request.headers, "host": url.netloc, "x-sdk-date": now.strftime(DATE_FORMAT)}
        if self.security_token:
            headers["x-security-token"] = self.security_token
        # Proxies may rewrite the user agent, so it is sent unsigned.
        names = sorted(name for name in headers if name != "user-agent")
        hex_signature = signature(
            self.secret_key,
            method=request.method,
            path=url.path,
            query=url.query,
            headers=headers,
            signed_names=names,
            content_sha256=hashlib.sha256(request.body).hexdigest(),
        )
        headers["authorization"] = (
            f"{ALGORITHM} Access={self.access_key}, "
            f"SignedHeaders={';'.join(names)}, Signature={hex_signature}"
        )
        return headers


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Sends an IAM token with each request."""

    token: str = field(repr=False)

    @property
    def identity(self) -> str:
        """A generic name: the token does not reveal its user."""
        return "a token of IAM"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token."""
        return (self.token,)

    def sign(self, request: Request[Any], *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's headers with ``x-auth-token``."""
        return {**request.headers, "x-auth-token": self.token}
