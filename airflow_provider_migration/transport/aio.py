"""The driver over ``aiohttp``, for the event loop of a triggerer."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from tenacity import AsyncRetrying

from airflow_provider_migration.clock import SYSTEM_CLOCK, Clock
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.sansio import AuthenticatedFlow, BlockingCall, Request, Response
from airflow_provider_migration.transport.attempt import Attempt, TooLargeError
from airflow_provider_migration.transport.clock_check import ClockCheck
from airflow_provider_migration.transport.limiter import RateLimiter, call_limits
from airflow_provider_migration.transport.proxies import proxy_of
from airflow_provider_migration.transport.redaction import redact_query_strings
from airflow_provider_migration.transport.retries import RetryPolicy, deadline_not_before_now
from airflow_provider_migration.transport.settings import LARGE_BODY_BYTES, MAX_BODY_BYTES, TransportConfig
from airflow_provider_migration.transport.tls import tls_context, tls_key

if TYPE_CHECKING:
    import aiohttp

_T = TypeVar("_T")


IDLE_SESSION_SECONDS: Final = 90.0
"""Idle seconds after which a session that was replaced is closed."""


@dataclass(slots=True)
class _SharedSession:
    session: aiohttp.ClientSession
    users: int = 0
    used_at: float = 0.0


@dataclass(slots=True)
class _Sessions:
    """
    The sessions of one event loop, by the authorities that they trust.

    :ivar keepers: number of users that keep sessions open between calls.
    """

    by_authorities: dict[tuple[bool | str, tuple[int, ...]], _SharedSession] = field(default_factory=dict)
    keepers: int = 0

    async def close_idle(self) -> None:
        """Close unused sessions: immediately without keepers, otherwise after ``IDLE_SESSION_SECONDS``."""
        for key, shared in list(self.by_authorities.items()):
            is_old = time.monotonic() - shared.used_at > IDLE_SESSION_SECONDS or key != tls_key(key[0])
            if not shared.users and (not self.keepers or is_old):
                del self.by_authorities[key]
                await shared.session.close()


_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, _Sessions] = WeakKeyDictionary()
_parse_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


@asynccontextmanager
async def keep_sessions() -> AsyncIterator[None]:
    """
    Keep all sessions of this event loop open between calls.

    A changed CA file or ``verify`` gets a session of its own, which is kept as well.
    """
    sessions = _sessions.setdefault(asyncio.get_running_loop(), _Sessions())
    sessions.keepers += 1
    try:
        yield
    finally:
        sessions.keepers -= 1
        if not sessions.keepers:
            await sessions.close_idle()


@asynccontextmanager
async def shared_session(settings: TransportConfig) -> AsyncIterator[aiohttp.ClientSession]:
    """
    Lend the shared session of this event loop; without keepers it is closed after its last user.

    A session per trigger would cost each a connection, a session per poll a TLS handshake.
    """
    sessions = _sessions.setdefault(asyncio.get_running_loop(), _Sessions())
    shared, key = sessions.by_authorities, tls_key(settings.verify)
    if key not in shared:
        tls = await asyncio.to_thread(_prepare, settings.verify)
        if key not in shared:
            shared[key] = _SharedSession(_new_async_session(tls))
    lent = shared[key]
    lent.users += 1
    try:
        yield lent.session
    finally:
        lent.users -= 1
        lent.used_at = time.monotonic()
        if not sessions.keepers or len(shared) > 1:
            await sessions.close_idle()


def _prepare(verify: bool | str) -> ssl.SSLContext:
    """Load libraries and certificates, in a thread because it takes a quarter of a second."""
    import aiohttp  # noqa: F401 - imported here, so that the event loop finds it loaded
    import requests.utils  # noqa: F401 - likewise, for the proxies

    return tls_context(verify)


def _new_async_session(tls: ssl.SSLContext) -> aiohttp.ClientSession:
    import aiohttp
    from aiohttp.connector import NEEDS_CLEANUP_CLOSED

    redact_query_strings()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls,
            # Not 100 in total: a few hosts that hang would block the healthy ones.
            limit=0,
            limit_per_host=20,
            # The resolver of the sync driver, so that both report a missing name alike.
            resolver=aiohttp.ThreadedResolver(),
            # A poll a minute would find connections closed at aiohttp's 15 s.
            keepalive_timeout=90,
            # Some Pythons wait for a TLS peer's close_notify, which may never come.
            enable_cleanup_closed=NEEDS_CLEANUP_CLOSED,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
        auto_decompress=False,
        # The limits of the sync driver: IAM's tokens are headers of many kilobytes.
        max_line_size=65536,
        max_field_size=65536,
    )
    # aiohttp would repeat a GET on a closed connection: with the old signature, and uncounted.
    session._retry_connection = False
    return session


@asynccontextmanager
async def _ending_by_the_deadline(settings: TransportConfig, clock: Clock) -> AsyncIterator[None]:
    """
    Cancel the block when ``read_timeout`` has passed since the deadline of the poll.

    A single attempt ends a moment earlier by itself, with a more precise message.

    :raises MigrationServiceError: if the block was cancelled.
    """
    deadline = call_limits.get().deadline
    if deadline == inf:
        yield
        return
    try:
        async with asyncio.timeout(deadline - clock.monotonic() + settings.read_timeout + 1):
            yield
        return
    except TimeoutError:
        error = MigrationServiceError(
            "No answer by the deadline of this poll, nor within read_timeout after it. If this persists, "
            "check the service's status, and read_timeout in the connection.",
            reason="timeout",
        )
        error.is_cut_short = True
    raise error


class AsyncDriver:
    """
    Runs flows over ``aiohttp``, on the shared session of the event loop.

    :param limiter: the rate limiter of the connection; by default one of the driver's own.
    :param clock_check: compares the clocks at each answer.
    """

    def __init__(
        self,
        settings: TransportConfig,
        clock: Clock = SYSTEM_CLOCK,
        limiter: RateLimiter | None = None,
        clock_check: ClockCheck | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._limiter = limiter or RateLimiter(None, clock.monotonic, clock.async_sleep)
        self._clock_check = clock_check

    async def run(self, flow: AuthenticatedFlow[_T]) -> _T:
        """
        Run a flow and return its result.

        :raises MigrationError: if the flow raises it, or does not catch it.
        """
        with deadline_not_before_now(self._clock):
            async with (
                _ending_by_the_deadline(self._settings, self._clock),
                shared_session(self._settings) as session,
            ):
                send = partial(self._send_with_retries, session)
                try:
                    request = next(flow)
                    while True:
                        try:
                            if isinstance(request, BlockingCall):
                                answer = await self._limiter.call_in_thread(request)
                            else:
                                answer = await self._limiter.send(request, send)
                        except MigrationError as error:
                            request = flow.throw(error)
                        else:
                            request = flow.send(answer)
                except StopIteration as stop:
                    result: _T = stop.value
                    return result

    async def _send_with_retries(self, session: aiohttp.ClientSession, request: Request[Any]) -> Any:
        policy = RetryPolicy(self._clock)
        limiter = self._limiter

        async def attempt() -> Any:
            probe = await limiter.acquire(policy.patience.latest)
            policy.patience.begin_attempt()
            try:
                answer = await self._send_once(session, request)
            except MigrationThrottledError as error:
                if not error.quota_exhausted:
                    limiter.pause(error.retry_after or 0.0, error)
                raise
            except MigrationApiError as error:
                if error.http_status is not None:
                    limiter.answered()
                raise
            finally:
                policy.patience.end_attempt()
                limiter.end_probe(probe)
            limiter.answered()
            return answer

        try:
            return await attempt()
        except MigrationError as error:
            failures = [error]

        async def attempt_again() -> Any:
            if failures:
                raise failures.pop()
            return await attempt()

        return await AsyncRetrying(**policy.options(), sleep=self._clock.async_sleep)(attempt_again)

    async def _send_once(self, session: aiohttp.ClientSession, request: Request[Any]) -> Any:
        import aiohttp
        from yarl import URL

        attempt = Attempt.sign(request, self._settings, self._clock)
        head: Response | None = None
        problem: MigrationError
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=attempt.headers,
                data=request.body or None,
                timeout=aiohttp.ClientTimeout(
                    total=attempt.seconds,
                    sock_connect=self._settings.connect_timeout,
                    sock_read=self._settings.read_timeout,
                ),
                proxy=proxy_of(request.url),
                allow_redirects=False,
            ) as answer:
                head = Response(answer.status, {name.lower(): text for name, text in answer.headers.items()})
                if self._clock_check:
                    self._clock_check.note(head, self._clock)
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise TooLargeError
        except TooLargeError as error:
            problem = attempt.failed(error.text, head)
        except aiohttp.ConnectionTimeoutError:
            problem = attempt.failed(self._settings.no_connection, head, "timeout")
        except aiohttp.SocketTimeoutError:
            problem = attempt.failed(self._settings.nothing_came, head, "timeout")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # TimeoutError is an OSError; aiohttp raises the bare one only for the total limit.
            timed_out = type(error) is TimeoutError
            problem = attempt.too_slow(head) if timed_out else attempt.broken(error, head)
        else:
            response = Response(head.status, head.headers, bytes(body))
            if len(body) < LARGE_BODY_BYTES and "content-encoding" not in head.headers:
                return attempt.read(response)
            # One at a time: many threads would compete with each other for the interpreter lock.
            async with _parse_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                return await asyncio.to_thread(attempt.read, response)
        # Raised here: in an except clause, the library's error and its request would be the context.
        raise problem
