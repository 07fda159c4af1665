"""Read an Airflow connection; each error names the field and the expected value."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.transport.settings import TransportConfig
from airflow_provider_migration.transport.tls import tls_context

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

log: Final = logging.getLogger(__name__)

_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}([.]{_LABEL})*[.]?")
_PATH: Final = re.compile(r"[\w/.~%-]*", re.ASCII)


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text) is not None
    except ValueError:
        return False


class ConnectionReader:
    """
    Reads and validates a connection by its content, regardless of its type.

    :param connection: the Airflow connection.
    """

    def __init__(self, connection: Connection) -> None:
        self.conn_id: str = connection.conn_id
        self._connection = connection
        self._asked: set[str] = set()
        self._region_of_host: str | None = None
        try:
            extra = json.loads(connection.extra or "{}")
        except ValueError:
            extra = None
        if not isinstance(extra, dict):
            raise self.error('extra must be a JSON object, e.g. {"region": "cn-hangzhou"}')
        # Read it a second time through Airflow, which masks these values in logs.
        self._extra: dict[str, Any] = connection.extra_dejson

    def error(self, text: str) -> MigrationConfigurationError:
        """Create an error that names the connection."""
        return MigrationConfigurationError(f"Connection {self.conn_id!r}: {text}.")

    def extra(self, *names: str) -> str | None:
        """Return the first non-empty extra field of the given names, as text."""
        self._asked.update(names)
        for name in names:
            value = self._extra.get(name)
            if isinstance(value, (dict, list)):
                raise self.error(f"{name} in extra must be a string, not {type(value).__name__}")
            if value is not None and (text := str(value).strip()):
                return text
        return None

    def credential(self, value: str | None, *extras: str, field: str, is_key: bool = True) -> str:
        """
        Return an id, a user name or a secret from its own field, else from extra.

        :param is_key: true for a generated value, which is ASCII without whitespace; a password that a person
            chose may contain whitespace and other characters.
        """
        value = (value or "").strip(None if is_key else "\r\n\t") or self.extra(*extras)
        if not value:
            also = f", or {extras[0]} in extra" if extras else ""
            raise self.error(f"{field} is empty; fill it in{also}")
        if not value.isprintable():
            raise self.error(f"{field} contains a control character; was it pasted with a line break?")
        if is_key and (" " in value or not value.isascii()):
            raise self.error(f"{field} contains whitespace or non-ASCII characters; paste it again")
        return value

    def login(self, meaning: str, *extras: str, is_key: bool = True) -> str:
        """Return the login."""
        return self.credential(self._connection.login, *extras, field=f"login ({meaning})", is_key=is_key)

    def password(self, meaning: str, *extras: str, is_key: bool = True) -> str:
        """Return the password."""
        return self.credential(
            self._connection.password, *extras, field=f"password ({meaning})", is_key=is_key
        )

    def token(self, *names: str) -> str | None:
        """Return the token of a temporary key, or None for a permanent one."""
        value = self.extra(*names)
        return value and self.credential(value, field=f"{names[0]} in extra")

    def region(self, given: str | None) -> str | None:
        """Return the region: the hook's argument, else the one in extra."""
        region = given or self.extra("region", "region_id")
        if region is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", region):
            raise self.error(f"region {region!r} is not a valid region ID, such as cn-hangzhou")
        return region

    def endpoint(self, *, scheme: str = "https") -> str | None:
        """Return the connection's scheme, host and port, or None without a host."""
        host = (self._connection.host or "").strip() or self.extra("endpoint")
        if not host:
            return None
        return self.url("host", host, scheme=scheme, port=self._connection.port or None)

    def endpoint_in(self, region: str | None, host_of: Callable[[str], str], example: str) -> str:
        """
        Return the connection's endpoint, else the region's.

        :param host_of: returns the service's host in a region.
        :param example: a region ID, for the message.
        """
        endpoint = self.endpoint()
        if endpoint is None and region is None:
            raise self.error(f"neither region nor host is given; set region in extra, e.g. {example}")
        if endpoint is None:
            self._region_of_host = region
        return endpoint or f"https://{host_of(str(region))}"

    def remarks(self) -> list[str]:
        """Return warnings about ignored fields: a ``schema``, and extras that look misspelt."""
        remarks = []
        if self._connection.schema:
            remarks.append("schema (in a URI: the path) is ignored; write a path as part of host.")
        known = {name.lower().replace("_", ""): name for name in sorted(_known_extras() | self._asked)}
        for name in self._extra:
            plain = name.lower().replace("_", "").replace("-", "")
            if name in known.values() or not (near := get_close_matches(plain, known, n=1, cutoff=0.75)):
                continue
            remarks.append(f"{name[:64]!r} in extra is ignored; did you mean {known[near[0]]!r}?")
        return remarks

    def url(self, field: str, value: str, *, scheme: str = "https", port: int | None = None) -> str:
        """Return a validated address as scheme, host, port and path."""
        problem = self.error(
            f"{field} must be a host name or a URL such as https://host:8443, without user, password or query"
        )
        if _is_ipv6(value):
            value = f"[{value}]"
        try:
            parts = urlsplit(value if "://" in value else f"{scheme}://{value}")
            own_port = parts.port
        except ValueError:
            raise problem from None
        name = parts.hostname or ""
        if parts.scheme not in ("http", "https") or parts.netloc.endswith(":"):
            raise problem
        if not (_HOST_NAME.fullmatch(name) or _is_ipv6(name)):
            raise problem
        if parts.username is not None or parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
            raise problem
        number = port if own_port is None else own_port
        if number is not None and not 0 < number < 65536:
            raise self.error(f"port must be a number from 1 to 65535, or empty, not {number}")
        default = {"http": 80, "https": 443}[parts.scheme]
        return (
            f"{parts.scheme}://"
            + (f"[{name}]" if ":" in name else name)
            + (f":{number}" if number and number != default else "")
            + parts.path.rstrip("/")
        )

    def settings(self) -> TransportConfig:
        """Return the transport settings."""
        verify = self._verify()
        if verify is False:
            log.warning(
                "TLS certificates are not verified: connection %r sets verify to false.", self.conn_id
            )
        return TransportConfig(
            verify=verify,
            connect_timeout=self._seconds("connect_timeout", 5.0),
            read_timeout=self._seconds("read_timeout", 30.0),
            region=self._region_of_host,
        )

    def _verify(self) -> bool | str:
        value = self.extra("verify")
        if value is None:
            return True
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not Path(value).is_file():
            raise self.error(
                f"verify: file {value!r} not found on this machine; use true, false or a PEM file"
            )
        try:
            tls_context(value)
        except MigrationConfigurationError:
            raise self.error(f"verify: file {value!r} contains no certificates; use a PEM file") from None
        return value

    def _seconds(self, name: str, default: float) -> float:
        value = self.extra(name)
        try:
            seconds = default if value is None else float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= 3600:
            raise self.error(f"{name} must be a number of seconds, above 0 and at most 3600, not {value!r}")
        return seconds


@cache
def _known_extras() -> frozenset[str]:
    """Return the names of all extras in the connection forms, and their alternative spellings."""
    from airflow_provider_migration.get_provider_info import get_provider_info

    forms = get_provider_info()["connection-types"]
    return frozenset(name for form in forms for name in form["conn-fields"]) | {
        "region_id",
        "endpoint",
        "sts_token",
        "access_key_id",
        "access_key_secret",
    }
