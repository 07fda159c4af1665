"""
Carries a conversation over the network: with ``requests`` on workers, with ``aiohttp`` on the event loop.

What both share is here once: how an attempt is signed, when it is tried again, how long and how large an
answer may be. What an answer *means* is the business of the request's own ``read`` function.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception

from airflow_provider_migration.conversation import Conversation, Request, Response
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.services.wire import api_error, utc_now

if TYPE_CHECKING:
    import aiohttp
    import requests

log = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_ATTEMPTS: Final = 5
MAX_CALL_SECONDS: Final = 60.0
"""How long one call may go on being tried, and how long a server may ask to wait."""
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""How large an answer may be, after decompression."""

USER_AGENT: Final = "airflow-provider-migration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How to reach a service.

    :param verify: whether to verify TLS, or a file of certificate authorities to verify with.
    :param connect_timeout: seconds until a connection must stand.
    :param read_timeout: seconds that an answer may pause; in all it may take twice as long.
    """

    verify: bool | str = True
    connect_timeout: float = 5.0
    read_timeout: float = 30.0

    @property
    def total_timeout(self) -> float:
        """Seconds that an answer may take in all."""
        return self.read_timeout * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    What the transport takes from the world, to be replaced in tests.

    :param now: the time in UTC, for signatures.
    :param monotonic: seconds, for durations.
    :param rand: a number in [0, 1), for jitter.
    :param nonce: a text never given before.
    :param sleep: waits for seconds on a worker.
    :param asleep: waits for seconds on the event loop.
    """

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    rand: Callable[[], float] = random.random
    nonce: Callable[[], str] = partial(secrets.token_hex, 16)
    sleep: Callable[[float], None] = time.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep


WORLD: Final = Surroundings()


# --- one attempt ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A request signed for one attempt, and what must never be shown of it."""

    request: Request
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def sign(cls, request: Request, world: Surroundings) -> _Attempt:
        headers = request.signer.sign(request, now=world.now(), nonce=world.nonce())
        return cls(request, {"user-agent": USER_AGENT, "accept-encoding": "identity", **headers})

    def read(self, response: Response, world: Surroundings) -> Any:
        """Return what the answer says, or raise what is wrong with it and how long the server asks to wait."""
        request = self.request
        try:
            body = _inflate(response)
        except (zlib.error, ValueError) as error:
            raise api_error(MigrationResponseError, request, response, str(error)) from None
        for secret in self._secrets():
            body = body.replace(secret.encode(), b"***")
        try:
            return request.read(request, Response(response.status, response.headers, body))
        except MigrationApiError as error:
            error.retry_after = retry_hint(response.headers, world.now())
            raise

    def _secrets(self) -> Iterator[str]:
        signature = self.headers.get("authorization", "").rpartition("Signature=")[2]
        # A shorter word would more likely be part of an ordinary text than a secret.
        return (secret for secret in (*self.request.signer.secrets, signature) if len(secret) >= 8)

    def unreachable(self, error: BaseException) -> MigrationError:
        """Make the error for an answer that did not come."""
        text = f"no answer ({type(error).__name__})"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            host = urlsplit(self.request.url).netloc
            return MigrationConfigurationError(
                f"The certificate of {host} cannot be verified. Name the file of its certificate authority "
                "as verify in the connection's extra."
            )
        return api_error(MigrationServiceError, self.request, None, text)

    def too_slow(self, settings: Settings) -> MigrationError:
        """Make the error for an answer that does not end."""
        text = f"the answer took longer than {settings.total_timeout:g} s (twice read_timeout)"
        return api_error(MigrationResponseError, self.request, None, text)

    def too_large(self) -> MigrationError:
        """Make the error for an answer that is larger than any service's."""
        text = f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB"
        return api_error(MigrationResponseError, self.request, None, text)


def _inflate(response: Response) -> bytes:
    """Return the body as it was before compression, which was not asked for but may come."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return response.body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"an encoding that was not asked for: {encoding[:32]}")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    body = inflater.decompress(response.body, MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB")
    if not inflater.eof:
        raise ValueError("the compressed answer is cut off")
    return body


def retry_hint(headers: Mapping[str, str], now: datetime) -> float | None:
    """
    Return how many seconds a server asks to wait, at most 60, or None when it does not say or makes no sense.

    :param headers: by lower-case name: ``x-acs-retry-after`` in milliseconds, ``retry-after`` in seconds or
        as a date.
    """
    try:
        if milliseconds := headers.get("x-acs-retry-after"):
            seconds = float(milliseconds) / 1000
        else:
            hint = headers.get("retry-after", "").strip()
            seconds = (
                float(hint) if hint[:1].isdigit() else (parsedate_to_datetime(hint) - now).total_seconds()
            )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(seconds, MAX_CALL_SECONDS) if seconds >= 0 else None


# --- attempts -------------------------------------------------------------------------------------------


def _retrying(world: Surroundings) -> dict[str, Any]:
    """Return the retry policy, for tenacity's sync and async twins alike."""
    started = world.monotonic()

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = error.retry_after if isinstance(error, MigrationApiError) else None
        backoff = min(0.5 * 2.0**state.attempt_number, 8.0)
        # A little later than asked for, so that those who were told the same do not come back together.
        return hint + world.rand() if hint is not None else backoff * (0.5 + world.rand() / 2)

    def stop(state: RetryCallState) -> bool:
        elapsed = world.monotonic() - started
        # One hint of the full length is honoured, and is then the last.
        too_long = elapsed >= MAX_CALL_SECONDS or state.idle_for + state.upcoming_sleep > MAX_CALL_SECONDS + 1
        return state.attempt_number >= MAX_ATTEMPTS or too_long

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, MigrationThrottledError):
            log.warning("Throttled; trying again in %.1f s. %s", state.upcoming_sleep, error)

    return {
        "retry": retry_if_exception(lambda error: isinstance(error, MigrationError) and error.passing),
        "wait": wait,
        "stop": stop,
        "before_sleep": say,
        "reraise": True,
    }


# --- requests -------------------------------------------------------------------------------------------


def new_session(settings: Settings) -> requests.Session:
    """Return a session that keeps its connection, sends no cookie and reads no ``.netrc``."""
    from http.cookiejar import DefaultCookiePolicy

    import requests
    import urllib3

    if settings.verify is False:
        log.warning("TLS is not verified: the connection's extra says verify: false.")
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # or it is said at each poll
    session = requests.Session()
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.auth = lambda prepared: prepared  # anything but None keeps requests from reading .netrc
    return session


def run(
    conversation: Conversation[_T],
    session: requests.Session,
    settings: Settings,
    world: Surroundings = WORLD,
) -> _T:
    """
    Carry a conversation over ``requests`` and return what it comes to.

    :raises MigrationError: what the conversation raises, or does not catch.
    """
    try:
        request = next(conversation)
        while True:
            try:
                attempts = Retrying(**_retrying(world), sleep=world.sleep)
                answer: Any = attempts(_send, request, session, settings, world)
            except MigrationError as error:
                request = conversation.throw(error)
            else:
                request = conversation.send(answer)
    except StopIteration as stop:
        result: _T = stop.value
        return result


def _send(request: Request, session: requests.Session, settings: Settings, world: Surroundings) -> Any:
    import requests
    import urllib3

    attempt = _Attempt.sign(request, world)
    started = world.monotonic()
    try:
        with session.request(
            request.method,
            request.url,
            headers=dict(attempt.headers),
            data=request.body or None,
            timeout=(settings.connect_timeout, settings.read_timeout),
            verify=settings.verify,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = bytearray()
            while chunk := answer.raw.read1(65536, decode_content=False):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise attempt.too_large()
                if world.monotonic() - started > settings.total_timeout:
                    raise attempt.too_slow(settings)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            response = Response(answer.status_code, headers, bytes(body))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise attempt.unreachable(error) from None
    return attempt.read(response, world)


# --- aiohttp --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _SharedSession:
    session: aiohttp.ClientSession
    users: int = 0


_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool | str, _SharedSession]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def shared_session(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    """
    Lend the one session of this event loop; it is closed when the last who borrowed it gives it back.

    A session per trigger would cost each a connection, a session per poll a TLS handshake.
    """
    shared = _sessions.setdefault(asyncio.get_running_loop(), {})
    if settings.verify not in shared:
        # Loading the library and the certificates takes a tenth of a second: not on the event loop.
        tls = await asyncio.to_thread(_tls_context, settings.verify)
        if settings.verify not in shared:
            shared[settings.verify] = _SharedSession(_new_async_session(tls))
    lent = shared[settings.verify]
    lent.users += 1
    try:
        yield lent.session
    finally:
        lent.users -= 1
        if not lent.users:
            del shared[settings.verify]
            await lent.session.close()


def _new_async_session(tls: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls,
            limit_per_host=20,
            # A poll a minute would find connections closed at aiohttp's 15 s.
            keepalive_timeout=90,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
        auto_decompress=False,
    )


@cache
def _tls_context(verify: bool | str) -> ssl.SSLContext | bool:
    """Return a context like the one that requests would use; making one costs as much as a hundred polls."""
    import aiohttp  # noqa: F401 - loaded here because this is called in a thread
    from certifi import where

    if verify is False:
        return False

    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or where()
    return ssl.create_default_context(cafile=verify if isinstance(verify, str) else bundle)


async def arun(conversation: Conversation[_T], settings: Settings, world: Surroundings = WORLD) -> _T:
    """
    Carry a conversation over ``aiohttp`` and return what it comes to.

    :raises MigrationError: what the conversation raises, or does not catch.
    """
    async with shared_session(settings) as session:
        try:
            request = next(conversation)
            while True:
                try:
                    attempts = AsyncRetrying(**_retrying(world), sleep=world.asleep)
                    answer: Any = await attempts(_asend, request, session, settings, world)
                except MigrationError as error:
                    request = conversation.throw(error)
                else:
                    request = conversation.send(answer)
        except StopIteration as stop:
            result: _T = stop.value
            return result


async def _asend(
    request: Request, session: aiohttp.ClientSession, settings: Settings, world: Surroundings
) -> Any:
    import aiohttp
    from requests.utils import get_environ_proxies, select_proxy
    from yarl import URL

    attempt = _Attempt.sign(request, world)
    try:
        async with session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=attempt.headers,
            data=request.body or None,
            timeout=aiohttp.ClientTimeout(
                total=settings.total_timeout,
                sock_connect=settings.connect_timeout,
                sock_read=settings.read_timeout,
            ),
            # aiohttp's own look at the environment would read .netrc too.
            proxy=select_proxy(request.url, get_environ_proxies(request.url)),
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise attempt.too_large()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            response = Response(answer.status, headers, bytes(body))
    except (aiohttp.ServerTimeoutError, aiohttp.ClientError, OSError) as error:
        # TimeoutError is an OSError; aiohttp raises the bare one only when the time in all is over.
        if type(error) is TimeoutError:
            raise attempt.too_slow(settings) from None
        raise attempt.unreachable(error) from None
    return attempt.read(response, world)
