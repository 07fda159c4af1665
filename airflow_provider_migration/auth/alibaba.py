"""
ACS3-HMAC-SHA256, the signature of Alibaba Cloud's OpenAPI.

Source: https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature,
proved equal to the official SDK in ``tests/auth/test_alibaba.py``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_migration.sansio import Request

ALGORITHM = "ACS3-HMAC-SHA256"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
NOTHING_SHA256 = hashlib.sha256(b"").hexdigest()


def signature(
    secret: str,
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

    :param query: as :func:`~airflow_provider_migration.sansio.encode_query` returns it.
    :param headers: by lower-case name; at least those in ``signed_names``.
    :param signed_names: the sorted lower-case names of the headers that are signed.
    :param content_sha256: hexadecimal SHA-256 of the body.
    """
    names = list(signed_names)
    canonical_headers = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    canonical_request = "\n".join([method, path, query, canonical_headers, ";".join(names), content_sha256])
    string_to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical_request.encode()).hexdigest()}"
    return hmac.digest(secret.encode(), string_to_sign.encode(), "sha256").hex()


@cache
def _signed_names(names: tuple[str, ...]) -> list[str]:
    return sorted(name for name in names if name in ("host", "content-type") or name.startswith("x-acs-"))


@dataclass(frozen=True, slots=True)
class AlibabaSigner:
    """Signs with an AccessKey pair, and with an STS token where the pair is temporary."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """The AccessKey ID, shortened."""
        return f"AccessKey ID {self.access_key_id[:4]}…"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The AccessKey secret and the STS token."""
        return tuple(filter(None, (self.access_key_secret, self.security_token)))

    def sign(self, request: Request[Any], *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's headers with date, nonce, content hash and ``authorization``."""
        address, _, query = request.url.partition("?")
        url = urlsplit(address)  # cached by urlsplit, unlike an address with a varying query
        content_sha256 = hashlib.sha256(request.body).hexdigest() if request.body else NOTHING_SHA256
        headers = {
            **request.headers,
            "host": url.netloc,
            "x-acs-content-sha256": content_sha256,
            "x-acs-date": now.strftime(DATE_FORMAT),
            "x-acs-signature-nonce": nonce,
        }
        if self.security_token:
            headers["x-acs-security-token"] = self.security_token
        names = _signed_names(tuple(headers))
        hex_signature = signature(
            self.access_key_secret,
            method=request.method,
            path=url.path or "/",
            query=query,
            headers=headers,
            signed_names=names,
            content_sha256=content_sha256,
        )
        headers["authorization"] = (
            f"{ALGORITHM} Credential={self.access_key_id},"
            f"SignedHeaders={';'.join(names)},Signature={hex_signature}"
        )
        return headers
