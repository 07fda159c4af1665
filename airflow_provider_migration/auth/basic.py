"""HTTP Basic authentication (RFC 7617) for the OMS console."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_migration.sansio import Request


@dataclass(frozen=True, slots=True)
class BasicSigner:
    """Sends a user name and a password with each request."""

    user: str
    password: str = field(repr=False)

    @property
    def _credentials(self) -> str:
        return b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def identity(self) -> str:
        """The user."""
        return f"user {self.user!r}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password, plain and Base64-encoded with the user."""
        return (self.password, self._credentials)

    def sign(self, request: Request[Any], *, now: datetime, nonce: str) -> Mapping[str, str]:
        """Return the request's headers with ``authorization``."""
        return {**request.headers, "authorization": f"Basic {self._credentials}"}
