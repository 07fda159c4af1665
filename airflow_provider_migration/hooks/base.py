"""What the hooks share: how a connection is read, and how a conversation is carried with it."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from asgiref.sync import sync_to_async

from airflow_provider_migration import transport
from airflow_provider_migration.conversation import Conversation
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationRequestError,
)

if TYPE_CHECKING:
    import requests
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_migration.progress import MigrationProgress

_T = TypeVar("_T")
_Api = TypeVar("_Api")

CONNECTION_SECONDS: Final = 300
"""How long a connection is kept before it is looked up again, so that a rotated secret is picked up."""


class ConnectionReader:
    """
    Reads a connection by its content, whatever its type, and says of a field that is wrong what it should be.

    :param connection: the Airflow connection.
    """

    def __init__(self, connection: Connection) -> None:
        self.conn_id = connection.conn_id
        self._connection = connection
        try:
            self._extra: dict[str, Any] = connection.extra_dejson
        except ValueError:
            raise self.error('extra is not JSON: write an object such as {"region": "cn-hangzhou"}') from None

    def error(self, text: str) -> MigrationConfigurationError:
        """Make an error that names the connection."""
        return MigrationConfigurationError(f"Connection {self.conn_id!r}: {text}.")

    def extra(self, *names: str) -> str | None:
        """Return the first of some extra fields that is filled in, as text."""
        for name in names:
            value = self._extra.get(name)
            if value not in (None, ""):
                return str(value).strip()
        return None

    def credential(self, value: str | None, *extras: str, field: str) -> str:
        """Return a user name or a secret: from its own field or else from extra."""
        value = (value or "").strip() or self.extra(*extras)
        if not value:
            also = f" (or {extras[0]} in extra)" if extras else ""
            raise self.error(f"{field} is empty: fill it in{also}")
        if not value.isprintable():
            raise self.error(f"{field} holds a control character: was it pasted with a line break?")
        return value

    def login(self, meaning: str, *extras: str) -> str:
        """Return the login."""
        return self.credential(self._connection.login, *extras, field=f"login ({meaning})")

    def password(self, meaning: str, *extras: str) -> str:
        """Return the password."""
        return self.credential(self._connection.password, *extras, field=f"password ({meaning})")

    def region(self, given: str | None) -> str | None:
        """Return the region: as given to the hook, else from extra."""
        region = given or self.extra("region", "region_id")
        if region is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", region):
            raise self.error(f"region {region!r} is no region id: write it as in cn-hangzhou")
        return region

    def endpoint(self, *, scheme: str = "https") -> str | None:
        """Return scheme, host and port as the connection has them, or None without a host."""
        host = (self._connection.host or "").strip().rstrip("/") or self.extra("endpoint")
        if not host:
            return None
        return self.url("host", host, scheme=scheme, port=self._connection.port)

    def url(self, field: str, value: str, *, scheme: str = "https", port: int | None = None) -> str:
        """Return an address as scheme, host, port and path, and refuse what is none."""
        example = "write a host name or a URL such as https://host:8443"
        try:
            parts = urlsplit(value if "://" in value else f"{scheme}://{value}")
            own_port = parts.port
        except ValueError:
            raise self.error(f"{field} is no address: {example}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise self.error(f"{field} is no address: {example}")
        if parts.username is not None or not re.fullmatch(r"[\w.:%-]+", parts.hostname, re.ASCII):
            raise self.error(f"{field} must hold no user, password or other sign: {example}")
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        number = own_port or port
        default = {"http": 80, "https": 443}[parts.scheme]
        return (
            f"{parts.scheme}://{name}"
            + (f":{number}" if number and number != default else "")
            + parts.path.rstrip("/")
        )

    def settings(self) -> transport.Settings:
        """Return how to reach the service."""
        return transport.Settings(
            verify=self._verify(),
            connect_timeout=self._seconds("connect_timeout", 5.0),
            read_timeout=self._seconds("read_timeout", 30.0),
        )

    def _verify(self) -> bool | str:
        value = self.extra("verify")
        if value is None:
            return True
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not Path(value).is_file():
            raise self.error(f"verify names {value!r}, which is no file here: write true, false or a CA file")
        return value

    def _seconds(self, name: str, default: float) -> float:
        value = self.extra(name)
        try:
            seconds = default if value is None else float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= 3600:
            raise self.error(f"{name} is {value!r}: write seconds, more than 0 and at most 3600")
        return seconds


class MigrationHook(BaseHook, ABC, Generic[_Api]):
    """
    Base of the hooks: looks up the connection when first needed, then carries conversations with it.

    A subclass says what service a connection leads to and offers its calls, each in two twins that share
    everything but the I/O.

    :param conn_id: id of the Airflow connection.
    """

    conn_name_attr: ClassVar[str]
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    get_progress: Callable[..., MigrationProgress]
    """Ask for a migration as a normalised record; each service has its own ids."""
    aget_progress: Callable[..., Awaitable[MigrationProgress]]
    """Do the same on the event loop."""

    world: transport.Surroundings = transport.WORLD
    """Clock, sleep and randomness; replaced in tests."""

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self._conn_id = conn_id
        self._connection: Connection | None = None
        self._looked_up_at = -math.inf
        self._settings = transport.Settings()
        self._session: requests.Session | None = None
        self._api: _Api

    @abstractmethod
    def _connect(self, reader: ConnectionReader) -> _Api:
        """Make the service's API out of a connection."""

    @abstractmethod
    def _probe(self, api: _Api) -> Conversation[Any]:
        """Ask for something that does not exist."""

    def _converse(self, call: Callable[[_Api], Conversation[_T]]) -> Conversation[_T]:
        """Begin a conversation."""
        return call(self._api)

    def _run(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        """Carry a conversation on a worker."""
        if self._is_due():
            self._look_up()
        try:
            return self._carry(call)
        except MigrationAuthenticationError:
            if not self._look_up():
                raise
            return self._carry(call)

    def _carry(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        if self._session is None:
            self._session = transport.new_session(self._settings)
        return transport.run(self._converse(call), self._session, self._settings, self.world)

    async def _arun(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        """Carry a conversation on the event loop."""
        if self._is_due():
            await sync_to_async(self._look_up)()
        try:
            return await transport.arun(self._converse(call), self._settings, self.world)
        except MigrationAuthenticationError:
            if not await sync_to_async(self._look_up)():
                raise
            return await transport.arun(self._converse(call), self._settings, self.world)

    @asynccontextmanager
    async def keep_session(self) -> AsyncIterator[None]:
        """Keep the event loop's session open between calls, so that its connections are used again."""
        if self._is_due():
            await sync_to_async(self._look_up)()
        async with transport.shared_session(self._settings):
            yield

    def _is_due(self) -> bool:
        return self.world.monotonic() - self._looked_up_at > CONNECTION_SECONDS

    def _look_up(self) -> bool:
        """Read the connection and tell whether it has changed; what hangs on it is kept while it has not."""
        try:
            connection = self.get_connection(self._conn_id)
        except AirflowNotFoundException:
            if self._connection is not None:
                # Airflow says the same of a connection that is gone and of one that it cannot read just now.
                self.log.warning(
                    "Connection %r cannot be looked up; going on with what is known.", self._conn_id
                )
                self._looked_up_at = self.world.monotonic()
                return False
            raise MigrationConfigurationError(
                f"There is no connection {self._conn_id!r}. Create it with type {self.conn_type!r} in Admin > "
                f"Connections, or name another as {self.conn_name_attr}."
            ) from None
        self._looked_up_at = self.world.monotonic()
        before = self._connection
        if before is not None and _content(before) == _content(connection):
            return False
        reader = ConnectionReader(connection)
        self._api, self._settings = self._connect(reader), reader.settings()
        self._connection = connection
        self.close()
        return True

    @abstractmethod
    def targets(self, **ids: Any) -> frozenset[str]:
        """Return, in lower case, what a sensor with these arguments can wait for."""

    def close(self) -> None:
        """Close the kept connection; the next call opens another."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def test_connection(self) -> tuple[bool, str]:
        """
        Try the connection without a migration: a key that is accepted learns that the id does not exist.

        :returns: whether it works, and what was reached or what to do.
        """
        try:
            self._run(self._probe)
        except (MigrationNotFoundError, MigrationRequestError) as error:
            # Without a code of the service's own, something else has answered.
            if error.code is None:
                return False, str(error)
        except MigrationError as error:
            return False, str(error)
        finally:
            self.close()
        return True, f"{self.hook_name} answered and accepted the credentials of {self._conn_id!r}."


def _content(connection: Connection) -> tuple[Any, ...]:
    return (
        connection.host,
        connection.port,
        connection.login,
        connection.password,
        json.dumps(connection.extra_dejson, sort_keys=True),
    )
