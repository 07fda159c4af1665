"""Base of the hooks: look up the connection, run flows with it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, Self, TypeVar
from weakref import ref

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from asgiref.sync import sync_to_async

from airflow_provider_migration import compat
from airflow_provider_migration.clock import SYSTEM_CLOCK, Clock
from airflow_provider_migration.credentials.refreshable import RefreshableCredential
from airflow_provider_migration.credentials.refusals import refusals
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
)
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.hooks.connection_form import offer_connection_form
from airflow_provider_migration.progress import MigrationProgress, MigrationState, clean_text
from airflow_provider_migration.sansio import AuthenticatedFlow, Flow, Signer
from airflow_provider_migration.services.listing import MigrationFilter, MigrationListing
from airflow_provider_migration.transport.aio import AsyncDriver, keep_sessions
from airflow_provider_migration.transport.clock_check import ClockCheck
from airflow_provider_migration.transport.limiter import RateLimiter, SingleFlight
from airflow_provider_migration.transport.settings import TransportConfig
from airflow_provider_migration.transport.sync import SyncDriver, new_session
from airflow_provider_migration.transport.tls import tls_key

if TYPE_CHECKING:
    import requests
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_migration.progress import (
        DatasetName,
        MigrationSummary,
        ObjectProgress,
        Verification,
    )

_T = TypeVar("_T")


class _ServiceApi(Protocol):
    def list_migrations(self, listing: Any) -> Flow[list[MigrationSummary]]: ...

    @property
    def endpoint(self) -> str: ...

    @property
    def signer(self) -> Signer: ...


_Api = TypeVar("_Api", bound=_ServiceApi)

log: Final = logging.getLogger(__name__)

LOOK_UP_SECONDS: Final = 30.0
"""Timeout of a connection look-up on the event loop, in seconds."""

MAX_LISTED: Final = 1000
"""Default maximum of a list of migrations."""

MAX_NAMED: Final = 20
"""Maximum number of ids in a message."""

CONNECTION_SECONDS: Final = 300
"""Seconds after which a cached connection is looked up again, so that a rotated secret is picked up."""


@dataclass(frozen=True, slots=True)
class _Calls:
    """State shared by the calls of one hook on one event loop."""

    loop: ref[asyncio.AbstractEventLoop]
    limiter: RateLimiter
    looking_up: SingleFlight


class MigrationHook(BaseHook, ABC, Generic[_Api]):
    """
    Base of the hooks: looks up the connection when it is first needed, then runs flows with it.

    A subclass builds the service's API from the connection and offers its calls, each in a sync and an async
    version that share everything but the I/O.

    :param conn_id: id of the Airflow connection.
    """

    conn_name_attr: ClassVar[str]
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]
    service: ClassVar[str]
    """The ``service`` of its records."""
    migration_argument: ClassVar[str]
    """The name of the argument of :attr:`get_progress` that holds the migration's id."""

    get_progress: Callable[..., MigrationProgress]
    """Poll a migration and return a normalised record; each service has its own ids."""
    aget_progress: Callable[..., Awaitable[MigrationProgress]]
    """Poll a migration on the event loop."""

    list_arguments: ClassVar[tuple[str, ...]] = ()
    """The ids that :meth:`iter_migrations` takes besides the filter."""

    list_words: ClassVar[frozenset[str]] = frozenset()
    """The service's words for a status in its list, in lower case."""
    list_states: ClassVar[frozenset[MigrationState]] = frozenset(MigrationState)
    """The states that a row of the list can have."""

    verifies: ClassVar[bool] = False
    """True if the service has a data check: :attr:`get_progress` then takes ``verification``."""

    calls_per_second: ClassVar[float | None] = None
    """Documented rate limit of an account in calls per second; None if there is none."""

    _init_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    clock: Clock = SYSTEM_CLOCK
    """Clock, sleep and randomness; replaced in tests."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        offer_connection_form(cls)
        if "conn_name_attr" in vars(cls):
            setattr(cls, cls.conn_name_attr, _CONN_ID)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create a hook, and keep its arguments for copies."""
        hook = super().__new__(cls)
        hook._init_arguments = args, kwargs
        return hook

    def __reduce__(self) -> tuple[Any, ...]:
        """
        Copy and pickle a hook by its arguments.

        Session, event loop and credentials are not copied: the copy looks up its connection.
        """
        own = {"clock": self.clock} if "clock" in vars(self) else {}
        return _rebuild, (type(self), *self._init_arguments, {"_conn_id": self._conn_id, **own})

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self._conn_id = conn_id
        self._fingerprint = ""
        self._remarks: list[str] = []
        self._clock_check = ClockCheck()
        self._look_up_number = 0
        self._session_key: Any = None
        self._content: str | None = None
        self._found_type = self.conn_type
        self._looked_up_at = -math.inf
        self._calls: _Calls | None = None
        self._settings = TransportConfig()
        self._session: requests.Session | None = None
        self._api: _Api

    @abstractmethod
    def _connect(self, reader: ConnectionReader) -> _Api:
        """Build the service's API from a connection."""

    @abstractmethod
    def _probe(self, api: _Api) -> Flow[Any]:
        """Request something that does not exist."""

    def _wrap_flow(self, api: _Api, call: Callable[[_Api], Flow[_T]]) -> Flow[_T]:
        """Start a flow."""
        return call(api)

    def _run(self, call: Callable[[_Api], Flow[_T]]) -> _T:
        """Run a flow on a worker."""
        with self._naming_the_connection():
            return self._warned(self._run_with_current_connection(call))

    def _warned(self, result: _T) -> _T:
        """Add the warning about the clock to a record."""
        if self._clock_check.warning is None or not isinstance(result, MigrationProgress):
            return result
        return result.model_copy(update={"warnings": (*result.warnings, self._clock_check.warning)})

    @contextmanager
    def _naming_the_connection(self) -> Iterator[None]:
        """Name the connection in a refusal: there may be several to one service."""
        try:
            yield
        except (MigrationAuthenticationError, MigrationPermissionError) as error:
            of_another_type = f", of type {self._found_type!r}" if self._found_type != self.conn_type else ""
            error.connection = f"{self._conn_id!r}{of_another_type}"
            raise

    def _run_with_current_connection(self, call: Callable[[_Api], Flow[_T]], *, is_test: bool = False) -> _T:
        if self._looked_up_at <= self.clock.monotonic() - CONNECTION_SECONDS:
            self._look_up()
        try:
            return self._run_once(call, is_test=is_test)
        except MigrationAuthenticationError:
            if not self._look_up():
                raise
        return self._run_once(call, is_test=is_test)

    def _run_once(self, call: Callable[[_Api], Flow[_T]], *, is_test: bool) -> _T:
        api, settings, fingerprint = self._api, self._settings, self._fingerprint
        session, key = self._session, tls_key(settings.verify)
        if session is None or self._session_key != key:
            self.close()
            # Another thread may close it in the meantime, which does not end a call in flight.
            session = self._session = new_session(settings)
            self._session_key = key
        if not is_test:
            refusals.check(fingerprint, self.clock.monotonic())
        with self._remembering_refusal(fingerprint):
            driver = SyncDriver(session, settings, self.clock, self._clock_check)
            return driver.run(self._start_flow(api, call))

    def _start_flow(self, api: _Api, call: Callable[[_Api], Flow[_T]]) -> AuthenticatedFlow[_T]:
        """Start a flow, with a refresh of its credential."""
        flow, signer = self._wrap_flow(api, call), api.signer
        return signer.authenticate(flow) if isinstance(signer, RefreshableCredential) else flow

    @contextmanager
    def _remembering_refusal(self, fingerprint: str) -> Iterator[None]:
        """Cache that the key is refused or accepted; it may be accepted although the call is refused."""
        try:
            yield
        except MigrationAuthenticationError as error:
            refusals.refuse(fingerprint, error, self.clock.monotonic())
            raise
        except (MigrationNotFoundError, MigrationPermissionError) as error:
            if error.code:
                refusals.accept(fingerprint)
            raise
        refusals.accept(fingerprint)

    async def _arun(self, call: Callable[[_Api], Flow[_T]]) -> _T:
        """Run a flow on the event loop."""
        with self._naming_the_connection():
            return self._warned(await self._arun_with_current_connection(call))

    async def _arun_with_current_connection(self, call: Callable[[_Api], Flow[_T]]) -> _T:
        await self._alook_up(self.clock.monotonic() - CONNECTION_SECONDS)
        api = self._api
        try:
            return await self._arun_once(call)
        except MigrationAuthenticationError:
            if self._api is api:
                await self._alook_up(self.clock.monotonic())
            if self._api is api:
                raise
        return await self._arun_once(call)

    async def _arun_once(self, call: Callable[[_Api], Flow[_T]]) -> _T:
        # Another poll may replace these in the meantime.
        calls, api, settings, fingerprint = (
            self._calls_on_this_loop(),
            self._api,
            self._settings,
            self._fingerprint,
        )
        async with refusals.first_alone(fingerprint):
            refusals.check(fingerprint, self.clock.monotonic())
            with self._remembering_refusal(fingerprint):
                driver = AsyncDriver(settings, self.clock, calls.limiter, self._clock_check)
                return await driver.run(self._start_flow(api, call))

    def _calls_on_this_loop(self) -> _Calls:
        loop = asyncio.get_running_loop()
        if self._calls is None or self._calls.loop() is not loop:
            limiter = RateLimiter(self.calls_per_second, self.clock.monotonic, self.clock.async_sleep)
            self._calls = _Calls(ref(loop), limiter, SingleFlight())
        return self._calls

    async def _alook_up(self, moment: float) -> None:
        """Look up the connection unless that was done since; concurrent callers share one look-up."""
        if self._looked_up_at > moment:
            return
        # The timeout uses asyncio's own clock, because the look-up is not a call to the service.
        await self._calls_on_this_loop().looking_up.run("connection", self._look_up_in_thread)

    async def _look_up_in_thread(self) -> None:
        """Look up the connection in a thread of its own, so that a look-up that hangs blocks no other."""
        self._look_up_number += 1
        number = self._look_up_number
        executor = _look_ups() if compat.can_look_up_beside_others() else None
        looking_up = asyncio.ensure_future(
            sync_to_async(self._look_up, thread_sensitive=executor is None, executor=executor)(number)
        )
        done, _ = await asyncio.wait([looking_up], timeout=LOOK_UP_SECONDS)
        if done:
            looking_up.result()
            return
        self._look_up_number += 1  # a late result is ignored
        looking_up.cancel()
        _look_ups.cache_clear()  # a thread that hangs cannot be stopped: the next look-up gets a new pool
        self._fall_back_to_cache(f"no answer within {LOOK_UP_SECONDS:g} s")

    @asynccontextmanager
    async def keep_session(self) -> AsyncIterator[None]:
        """Keep the event loop's sessions open between calls, so that connections are reused."""
        await self._alook_up(self.clock.monotonic() - CONNECTION_SECONDS)
        async with keep_sessions():
            yield

    def _look_up(self, number: int | None = None) -> bool:
        """
        Look up the connection and tell whether it has changed; API and session are rebuilt only then.

        :param number: number of the look-up on the event loop; a late one changes nothing.
        :raises MigrationConnectionNotFoundError: if it cannot be read and is not cached.
        """
        problem: str | None = None
        try:
            connection = self.get_connection(self._conn_id)
        except AirflowNotFoundException:
            problem = ""
        except Exception as error:
            problem = type(error).__name__  # its text may contain a secret, such as a URL with a password
        if number is not None and number != self._look_up_number:
            return False
        # Outside the except clause, so that the other error does not become the new one's context.
        if problem is not None:
            self._fall_back_to_cache(problem)
            return False
        content = _digest(connection)
        is_new = content != self._content
        if is_new:
            reader = ConnectionReader(connection)
            try:
                api, settings = self._connect(reader), reader.settings()
            finally:
                self._remarks = reader.remarks()
            self._api, self._settings = api, settings
            self._content = content
            self._fingerprint = f"{content} {api.endpoint}"
            if isinstance(api.signer, RefreshableCredential) and api.signer.is_cached_by_source:
                self._fingerprint = ""
            self.close()
        self._found_type = connection.conn_type or self.conn_type
        self._looked_up_at = self.clock.monotonic()
        return is_new

    def _fall_back_to_cache(self, problem: str) -> None:
        """
        Fall back to the cached connection.

        :param problem: the reason why it cannot be read; empty if Airflow has no such connection.
        :raises MigrationConnectionNotFoundError: if it is not cached.
        """
        if self._content is not None:
            log.warning("Cannot look up connection %r; using the cached one.", self._conn_id)
            self._looked_up_at = self.clock.monotonic()
            return
        if problem:
            raise MigrationConnectionNotFoundError(
                f"Connection {self._conn_id!r} cannot be read just now ({problem}). If this persists, check "
                "Airflow's API server and the secrets backend."
            )
        raise MigrationConnectionNotFoundError(
            f"There is no connection {self._conn_id!r}, or none that Airflow can read. Create it "
            f"with type {self.conn_type!r} in Admin > Connections, or name another as {self.conn_name_attr}."
        )

    @abstractmethod
    def targets(self, **ids: Any) -> frozenset[str]:
        """Return the possible targets of a sensor with these arguments, in lower case."""

    def checkpoint_remedy(self, **ids: Any) -> str | None:
        """
        Return what to do about ``checkpoint_after`` where no record of a sensor with these arguments has
        ``applied_until``; None where records may have it.
        """
        return "Leave it out."

    def get_verification(self, *args: Any, **ids: Any) -> Verification | None:
        """
        Get the result of the service's own data check, with its counts; None for a service without one.

        A result that cannot be read is ``unknown``, with a warning in the log.

        :param args: ids of the migration, as in :attr:`get_progress`; ``ids`` are the same by name.
        :raises MigrationApiError: if the service refuses the request for the migration or does not respond.
        """
        if not self.verifies:
            return None
        progress = self.get_progress(*args, **ids, verification=True)
        for warning in progress.warnings:
            log.warning("%s", warning)
        return progress.verification

    def iter_objects(self, *args: Any, **ids: Any) -> Iterator[ObjectProgress]:
        """
        Iterate over the objects of a migration with their progress, if the service lists them.

        :param args: the migration, as the first arguments of :attr:`get_progress`; ``ids`` by name.
        :raises MigrationConfigurationError: if the service does not list them.
        """
        raise MigrationConfigurationError(
            f"{self.hook_name} has no call that lists the progress of single objects. Use get_progress: the "
            "phases of its record have the progress of all objects together."
        )

    def list_migrations(
        self,
        name: str | None = None,
        status: str | Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = MAX_LISTED,
        *,
        group: str | None = None,
        **ids: Any,
    ) -> list[MigrationSummary]:
        """
        List migrations of the account; DataWorks lists those of one workspace and needs its ``project_id``.

        :param name: part of the name; case-insensitive.
        :param status: a normalised state or the service's own word, or a list of these.
        :param tags: the tags that a migration must have, with their values.
        :param limit: maximum number of migrations; a warning in the log says that there are more.
        :param group: the service's own group of resources.
        :param ids: ``project_id`` for DataWorks, whose lists are those of one workspace.
        :raises MigrationConfigurationError: for a wrong argument, or one that the service cannot filter by,
            before any request.
        :raises MigrationApiError: if the service refuses the request or does not respond, or if the list has
            changed while it was read.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise MigrationConfigurationError(f"limit must be a whole number, 1 or more, not {limit!r}.")
        found = list(islice(self.iter_migrations(name, status, tags, group=group, **ids), limit + 1))
        if len(found) > limit:
            log.warning("There are more than %s migrations: raise limit, or select fewer.", limit)
        return found[:limit]

    def iter_migrations(
        self,
        name: str | None = None,
        status: str | Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        **ids: Any,
    ) -> Iterator[MigrationSummary]:
        """
        Iterate over the migrations that :meth:`list_migrations` lists; pages are requested lazily.

        :param name: this and the others as in :meth:`list_migrations`.
        """
        unknown = ", ".join(sorted(ids.keys() - {*self.list_arguments}))
        if unknown:
            possible = ", ".join(("name", "status", "tags", "group", *self.list_arguments))
            raise MigrationConfigurationError(
                f"A list of {self.hook_name} takes {possible}, but not {unknown}."
            )
        selection = MigrationFilter.of(
            name, status, tags, group, words=self.list_words, states=self.list_states
        )
        return self._iter_pages_of(self._listing(selection, **ids))

    def _listing(self, selection: MigrationFilter, **ids: Any) -> MigrationListing:
        """
        Return the paging state of a list.

        :raises MigrationConfigurationError: for a filter or an id that the service does not have.
        """
        raise MigrationConfigurationError(f"{self.hook_name} has no call that lists migrations.")

    def _iter_pages_of(self, listing: MigrationListing) -> Iterator[MigrationSummary]:
        while not listing.at_end:
            yield from self._run(lambda api: api.list_migrations(listing))

    def find_migration(
        self, name: str | None = None, tags: Mapping[str, str] | None = None, **ids: Any
    ) -> str:
        """
        Return the id of the one migration with a name, or with tags; DataWorks needs ``project_id`` too.

        :param name: the exact name, or None.
        :param tags: the tags that the migration must have, with their values.
        :raises MigrationConfigurationError: if none or several have it; the message lists their ids.
        :raises MigrationApiError: as in :meth:`list_migrations`.
        """
        criteria = [] if name is None else [f"the name {name!r}"]
        criteria += [f"the tag {key}={value}".rstrip("=") for key, value in (tags or {}).items()]
        wanted = ", ".join(criteria)
        if not wanted:
            raise MigrationConfigurationError(
                "A migration is found by its name or by tags: give one of them."
            )
        found = [
            row
            for row in self.iter_migrations(name, None, tags, **ids)
            if name is None or row.name == clean_text(name, 256)
        ]
        if len(found) == 1:
            return found[0].migration_id
        place = f"{self.hook_name}, connection {self._conn_id!r}"
        if not found:
            raise MigrationConfigurationError(
                f"No migration has {wanted} ({place}). Check the spelling, the region and the account."
            )
        shown = ", ".join(f"{row.migration_id} ({row.state})" for row in found[:MAX_NAMED])
        more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
        raise MigrationConfigurationError(
            f"{len(found)} migrations have {wanted} ({place}): {shown}{more}. Give the id of one of them."
        )

    def get_datasets(self, **ids: Any) -> tuple[DatasetName, DatasetName] | None:
        """Return source and destination of a migration, or None if the service does not tell them."""
        return None

    def close(self) -> None:
        """Close the session; the next call opens another."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def test_connection(self) -> tuple[bool, str]:
        """
        Test the connection without a migration: with an accepted key, the service reports an unknown id.

        :returns: whether it works, and a message: the endpoint and caller, or what to correct.
        """
        works, text = self._tested()
        notes = [*self._remarks, *([self._clock_check.warning] if self._clock_check.warning else [])]
        return works, " ".join([text, *notes])

    def _tested(self) -> tuple[bool, str]:
        try:
            # Without the connection's name: Airflow tests a temporary one.
            self._run_with_current_connection(self._probe, is_test=True)
        except (MigrationNotFoundError, MigrationRequestError) as error:
            # A refusal without a code of the service's own comes from something in front of it.
            if error.code is None and error.http_status not in range(200, 300):
                return False, str(error)
        except MigrationError as error:
            return False, str(error)
        finally:
            self.close()
        return True, (
            f"{self.hook_name} at {self._api.endpoint} answered and accepted {self._api.signer.identity}. "
            "The permission to read a migration is checked at the first poll of that migration."
        )


def _get_conn_id(hook: MigrationHook[Any]) -> str:
    return hook._conn_id


def _set_conn_id(hook: MigrationHook[Any], conn_id: str) -> None:
    if conn_id != hook._conn_id:
        hook._conn_id = conn_id
        hook._content, hook._looked_up_at = None, -math.inf  # nothing of the previous connection is reused


_CONN_ID: Final = property(_get_conn_id, _set_conn_id, doc="The id of the Airflow connection.")


def _rebuild(
    hook: type[MigrationHook[Any]], args: tuple[Any, ...], kwargs: dict[str, Any], own: dict[str, Any]
) -> MigrationHook[Any]:
    made = hook(*args, **kwargs)
    vars(made).update(own)
    return made


@cache
def _look_ups() -> ThreadPoolExecutor:
    """Return the thread pool for connection look-ups beside Airflow's other requests."""
    return ThreadPoolExecutor(4, "migration-connection")


def _digest(connection: Connection) -> str:
    """Fingerprint of the connection, without its secrets."""
    fields = (connection.host, connection.port, connection.login, connection.password, connection.extra)
    return hashlib.sha256(repr(fields).encode()).hexdigest()
