"""What the hooks share: how a connection is read, and how a conversation is carried with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar
from urllib.parse import urlsplit
from weakref import ref

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from asgiref.sync import sync_to_async

from airflow_provider_migration import compat, transport
from airflow_provider_migration.conversation import Conversation, Renewable, Signer
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
)
from airflow_provider_migration.quota import InFlight, Quota

if TYPE_CHECKING:
    import requests
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_migration.progress import DatasetName, MigrationProgress

_T = TypeVar("_T")


class _ServiceApi(Protocol):
    @property
    def endpoint(self) -> str: ...

    @property
    def signer(self) -> Signer: ...


_Api = TypeVar("_Api", bound=_ServiceApi)

log = logging.getLogger(__name__)

CONNECTION_SECONDS: Final = 300
"""How long a connection is kept before it is looked up again, so that a rotated secret is picked up."""

RENEWED_SECONDS: Final = 1.0
"""For how long credentials that change by themselves are used without asking for them again."""

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
    Reads a connection by its content, whatever its type, and says of a field that is wrong what it should be.

    :param connection: the Airflow connection.
    """

    def __init__(self, connection: Connection) -> None:
        self.conn_id = connection.conn_id
        self._connection = connection
        try:
            extra = json.loads(connection.extra or "{}")
        except ValueError:
            extra = None
        if not isinstance(extra, dict):
            raise self.error('extra is no JSON object: write it as in {"region": "cn-hangzhou"}')
        # The same once more, for Airflow hides in logs what it has read here.
        self._extra: dict[str, Any] = connection.extra_dejson

    def error(self, text: str) -> MigrationConfigurationError:
        """Make an error that names the connection."""
        return MigrationConfigurationError(f"Connection {self.conn_id!r}: {text}.")

    def extra(self, *names: str) -> str | None:
        """Return the first of some extra fields that is filled in, as text."""
        for name in names:
            value = self._extra.get(name)
            if isinstance(value, (dict, list)):
                raise self.error(f"{name} in extra must be one value: write it as a text")
            if value is not None and (text := str(value).strip()):
                return text
        return None

    def credential(self, value: str | None, *extras: str, field: str, is_key: bool = True) -> str:
        """
        Return an id, a user name or a secret: from its own field or else from extra.

        :param is_key: whether a machine made it, so that it holds ASCII only and no blanks; a password of a
            person's may hold both.
        """
        value = (value or "").strip(None if is_key else "\r\n\t") or self.extra(*extras)
        if not value:
            also = f", or {extras[0]} in extra" if extras else ""
            raise self.error(f"{field} is empty: fill it in{also}")
        if not value.isprintable():
            raise self.error(f"{field} holds a control character: was it pasted with a line break?")
        if is_key and (" " in value or not value.isascii()):
            raise self.error(f"{field} holds a blank or a letter that no key has: paste it again")
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
        """Return the token of a temporary key, or None where the key is a lasting one."""
        value = self.extra(*names)
        return value and self.credential(value, field=f"{names[0]} in extra")

    def region(self, given: str | None) -> str | None:
        """Return the region: as given to the hook, else from extra."""
        region = given or self.extra("region", "region_id")
        if region is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", region):
            raise self.error(f"region {region!r} is no region id: write it as in cn-hangzhou")
        return region

    def endpoint(self, *, scheme: str = "https") -> str | None:
        """Return scheme, host and port as the connection has them, or None without a host."""
        host = (self._connection.host or "").strip() or self.extra("endpoint")
        if not host:
            return None
        return self.url("host", host, scheme=scheme, port=self._connection.port or None)

    def endpoint_in(self, region: str | None, host_of: Callable[[str], str], example: str) -> str:
        """
        Return the endpoint as the connection has it, or else that of the region.

        :param host_of: the service's host in a region.
        :param example: a region id, for the message.
        """
        endpoint = self.endpoint()
        if endpoint is None and region is None:
            raise self.error(f"neither region nor host is given: write region in extra, such as {example}")
        return endpoint or f"https://{host_of(str(region))}"

    def url(self, field: str, value: str, *, scheme: str = "https", port: int | None = None) -> str:
        """Return an address as scheme, host, port and path, and refuse what is none."""
        problem = self.error(
            f"{field} is no address, or holds more than one (a user, a password, a query): write a host name "
            "or a URL such as https://host:8443"
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
            raise self.error(f"port is {number}: write a number from 1 to 65535, or nothing")
        default = {"http": 80, "https": 443}[parts.scheme]
        return (
            f"{parts.scheme}://"
            + (f"[{name}]" if ":" in name else name)
            + (f":{number}" if number and number != default else "")
            + parts.path.rstrip("/")
        )

    def settings(self) -> transport.Settings:
        """Return how to reach the service."""
        verify = self._verify()
        if verify is False:
            log.warning("TLS is not verified: connection %r says verify: false.", self.conn_id)
        return transport.Settings(
            verify=verify,
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
        try:
            transport.tls_context(value)
        except MigrationConfigurationError:
            raise self.error(
                f"verify names {value!r}, which holds no certificates: name a PEM file"
            ) from None
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


@dataclass(frozen=True, slots=True)
class _Calls:
    """What the calls share that are made with one hook on one event loop."""

    loop: ref[asyncio.AbstractEventLoop]
    quota: Quota
    looking_up: asyncio.Lock
    renewing: InFlight


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
    service: ClassVar[str]
    """What its records say as ``service``."""
    migration_argument: ClassVar[str]
    """The argument of :attr:`get_progress` with the id of the migration itself."""

    get_progress: Callable[..., MigrationProgress]
    """Ask for a migration as a normalised record; each service has its own ids."""
    aget_progress: Callable[..., Awaitable[MigrationProgress]]
    """Do the same on the event loop."""

    calls_per_second: ClassVar[float | None] = None
    """How many calls a second the service allows one account; None where it names no limit."""

    world: transport.Surroundings = transport.WORLD
    """Clock, sleep and randomness; replaced in tests."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        compat.offer_connection_form(cls)

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self._conn_id = conn_id
        self._content: str | None = None
        self._found_type = self.conn_type
        self._looked_up_at = -math.inf
        self._calls: _Calls | None = None
        self._settings = transport.Settings()
        self._session: requests.Session | None = None
        self._api: _Api

    @abstractmethod
    def _connect(self, reader: ConnectionReader) -> _Api:
        """Make the service's API out of a connection."""

    @abstractmethod
    def _probe(self, api: _Api) -> Conversation[Any]:
        """Ask for something that does not exist."""

    def _converse(self, api: _Api, call: Callable[[_Api], Conversation[_T]]) -> Conversation[_T]:
        """Begin a conversation."""
        return call(api)

    def _run(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        """Carry a conversation on a worker."""
        with self._naming_the_connection():
            return self._ask(call)

    @contextmanager
    def _naming_the_connection(self) -> Iterator[None]:
        """Say of a refusal which connection was used: there may be several to one service."""
        try:
            yield
        except (MigrationAuthenticationError, MigrationPermissionError) as error:
            of_another_type = f", of type {self._found_type!r}" if self._found_type != self.conn_type else ""
            which = f" The connection is {self._conn_id!r}{of_another_type}."
            if not str(error).endswith(which):  # those who asked together are given one and the same error
                error.args = (f"{error}{which}",)
            raise

    def _ask(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        if self._looked_up_at <= self.world.monotonic() - CONNECTION_SECONDS:
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
        if isinstance(self._api.signer, Renewable):
            self._api.signer.renew()
        return transport.run(self._converse(self._api, call), self._session, self._settings, self.world)

    async def _arun(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        """Carry a conversation on the event loop."""
        with self._naming_the_connection():
            return await self._aask(call)

    async def _aask(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        await self._alook_up(self.world.monotonic() - CONNECTION_SECONDS)
        api = self._api
        try:
            return await self._acarry(call)
        except MigrationAuthenticationError:
            if self._api is api:
                await self._alook_up(self.world.monotonic())
            if self._api is api:
                raise
        return await self._acarry(call)

    async def _acarry(self, call: Callable[[_Api], Conversation[_T]]) -> _T:
        calls, api = self._calls_on_this_loop(), self._api  # which another poll may change meanwhile
        signer = api.signer
        if isinstance(signer, Renewable):
            await calls.renewing.ask(signer, lambda: asyncio.to_thread(signer.renew), fresh=RENEWED_SECONDS)
        return await transport.arun(self._converse(api, call), self._settings, self.world, calls.quota)

    def _calls_on_this_loop(self) -> _Calls:
        loop = asyncio.get_running_loop()
        if self._calls is None or self._calls.loop() is not loop:
            quota = Quota(self.calls_per_second, self.world.monotonic, self.world.asleep)
            self._calls = _Calls(ref(loop), quota, asyncio.Lock(), InFlight())
        return self._calls

    async def _alook_up(self, moment: float) -> None:
        """Read the connection unless that was done after a moment, once for all who wait for it."""
        async with self._calls_on_this_loop().looking_up:
            if self._looked_up_at <= moment:
                await sync_to_async(self._look_up)()

    @asynccontextmanager
    async def keep_session(self) -> AsyncIterator[None]:
        """Keep the event loop's session open between calls, so that its connections are used again."""
        await self._alook_up(self.world.monotonic() - CONNECTION_SECONDS)
        async with transport.shared_session(self._settings):
            yield

    def _look_up(self) -> bool:
        """Read the connection and tell whether it has changed; what hangs on it is kept while it has not."""
        try:
            connection = self.get_connection(self._conn_id)
        except Exception as error:
            if self._content is not None:
                log.warning("Connection %r cannot be looked up; going on with what is known.", self._conn_id)
                self._looked_up_at = self.world.monotonic()
                return False
            if isinstance(error, AirflowNotFoundException):
                raise MigrationConnectionNotFoundError(
                    f"There is no connection {self._conn_id!r}, or none that Airflow can read. Create it "
                    f"with type {self.conn_type!r} in Admin > Connections, or name another as "
                    f"{self.conn_name_attr}."
                ) from None
            raise
        content = _digest(connection)
        is_new = content != self._content
        if is_new:
            reader = ConnectionReader(connection)
            self._api, self._settings = self._connect(reader), reader.settings()
            self._content = content
            self.close()
        self._found_type = connection.conn_type or self.conn_type
        self._looked_up_at = self.world.monotonic()
        return is_new

    @abstractmethod
    def targets(self, **ids: Any) -> frozenset[str]:
        """Return, in lower case, what a sensor with these arguments can wait for."""

    def get_datasets(self, **ids: Any) -> tuple[DatasetName, DatasetName] | None:
        """Return what a migration reads and what it writes, or None where the service does not tell."""
        return None

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
            self._ask(self._probe)  # under a name that nobody has given it
        except (MigrationNotFoundError, MigrationRequestError) as error:
            # A refusal without a code of the service's own comes from something else.
            if error.code is None and error.http_status not in range(200, 300):
                return False, str(error)
        except MigrationError as error:
            return False, str(error)
        finally:
            self.close()
        return True, (
            f"{self.hook_name} at {self._api.endpoint} answered and accepted {self._api.signer.identity}. "
            "Whether it may read a certain migration shows at that one's first poll."
        )


def _digest(connection: Connection) -> str:
    """Return what tells whether a connection has changed, and tells nothing else."""
    fields = (connection.host, connection.port, connection.login, connection.password, connection.extra)
    return hashlib.sha256(repr(fields).encode()).hexdigest()
