"""
Carries a conversation over the network: with ``requests`` on workers, with ``aiohttp`` on the event loop.

What both share is here once: how an attempt is signed, when it is tried again, how long and how large an
answer may be. What an answer *means* is the business of the request's own ``read`` function.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import logging
import os
import random
import re
import secrets
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit
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
from airflow_provider_migration.quota import Quota
from airflow_provider_migration.services.wire import api_error, error_by_status, utc_now

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

LARGE_BODY_BYTES: Final = 64 * 1024
"""An answer from this size on takes the event loop milliseconds to read."""

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

    @property
    def no_connection(self) -> str:
        """What to say when no connection comes to stand."""
        return f"no connection within {self.connect_timeout:g} s (connect_timeout)"

    @property
    def nothing_came(self) -> str:
        """What to say when the service falls silent."""
        return f"nothing came for {self.read_timeout:g} s (read_timeout)"

    @property
    def too_slow(self) -> str:
        """What to say when the answer does not end."""
        return f"the answer took longer than {self.total_timeout:g} s (twice read_timeout)"


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
    nonce: Callable[[], str] = field(default=lambda: secrets.token_hex(16))
    sleep: Callable[[float], None] = time.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep


WORLD: Final = Surroundings()


# --- one attempt ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A request signed for one attempt, and what must never be shown of it."""

    request: Request
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def sign(cls, request: Request, world: Surroundings) -> _Attempt:
        headers = request.signer.sign(request, now=world.now(), nonce=world.nonce())
        headers = {"user-agent": USER_AGENT, "accept-encoding": "identity", **headers}
        # Those of this moment: before the answer comes, another poll may have renewed them.
        return cls(request, headers, request.signer.secrets)

    def read(self, response: Response, world: Surroundings) -> Any:
        """Return what the answer says, or raise what is wrong with it and how long to wait."""
        try:
            body = _inflate(response)
        except (zlib.error, ValueError) as error:
            raise self.failed(str(error), response) from None
        hidden = self._hidden()
        body = _plainly_spelt(body)
        for secret in hidden:
            body = body.replace(secret.encode(), b"***")
        headers = {name: _without(hidden, value) for name, value in response.headers.items()}
        try:
            return self.request.read(self.request, Response(response.status, headers, body))
        except MigrationApiError as error:
            error.retry_after = retry_hint(headers, world.now())
            error.args = (_without(hidden, str(error)),)  # an answer may have spelt it in another way
            raise

    def _hidden(self) -> list[str]:
        """Return what a service may echo and nobody may see, as it may be spelt."""
        signature = self.headers.get("authorization", "").rpartition("Signature=")[2]
        hidden = [signature] if signature else []  # hexadecimal, which is spelt in one way only
        for secret in self.secrets:
            hidden += _spellings(secret)
        return hidden

    def failed(self, text: str, head: Response | None) -> MigrationApiError:
        """
        Make the error for an answer that did not come, or not as a whole.

        :param head: status and headers, if these came.
        """
        if head is None:
            return api_error(MigrationServiceError, self.request, None, text)
        # That the key is refused counts without the body too: asking again would lock it.
        refusal = error_by_status(head.status) if head.status in (401, 403) else None
        return api_error(refusal or MigrationResponseError, self.request, head, text)

    def broken(self, error: BaseException, head: Response | None) -> MigrationError:
        """Make the error for what an HTTP library raised; its own text and chain may show what was sent."""
        cause = error
        while deeper := cause.__cause__ or cause.__context__:
            cause = deeper
        host = urlsplit(self.request.url).netloc
        if isinstance(cause, ssl.SSLCertVerificationError):
            return MigrationConfigurationError(
                f"The certificate of {host} cannot be verified: {cause.verify_message}. Where it comes from "
                "a certificate authority of your own, name the file of that authority as verify in the "
                "connection's extra."
            )
        if isinstance(error, _BadAddressError) or type(error).__name__ in _BAD_ADDRESSES:
            return MigrationConfigurationError(
                f"No request can be sent to {host} ({type(error).__name__}). Check host in the connection, "
                "and the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: it must be an http one."
            )
        if status := _refusal_of_a_proxy(error, cause):
            return self.failed(f"the proxy that the environment names refuses with HTTP {status}", head)
        why = ": ".join(filter(None, (type(cause).__name__, getattr(cause, "strerror", None))))
        return self.failed(f"{'no answer' if head is None else 'the answer is cut off'} ({why})", head)


def _refusal_of_a_proxy(error: BaseException, cause: BaseException) -> object:
    """Return the status with which a proxy refuses to lead to a host, as the libraries tell it."""
    if type(error).__name__ == "ClientHttpProxyError":
        return getattr(error, "status", None)
    told = re.match(r"Tunnel connection failed: (\d+)", str(cause))
    return told and told[1]


def _plainly_spelt(body: bytes) -> bytes:
    """Return JSON with as few escapes as can be, so that a secret in it is found however it was spelt."""
    # The first is found much sooner; the others are the escapes that need not be.
    if b"\\" not in body or (b"\\u" not in body and b"\\/" not in body):
        return body
    try:
        return json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")
    except (ValueError, RecursionError):
        return body


@lru_cache(maxsize=64)
def _spellings(secret: str) -> frozenset[str]:
    """Return a secret as it may stand in an address, a header or plainly spelt JSON."""
    if len(secret) < 5:  # more likely a part of an ordinary text
        return frozenset()
    return frozenset((secret, quote(secret, safe=""), json.dumps(secret, ensure_ascii=False)[1:-1]))


def _without(hidden: list[str], text: str) -> str:
    for secret in hidden:
        text = text.replace(secret, "***")
    return text


class _BadAddressError(ValueError):
    """An address that nothing can be sent to."""


_BAD_ADDRESSES: Final = (
    "InvalidURL",
    "InvalidSchema",
    "MissingSchema",
    "InvalidProxyURL",
    "LocationParseError",
)
"""What the HTTP libraries call such an error; they are loaded only where they are used."""


class _TooLargeError(Exception):
    """More bytes came than any service answers."""

    text: Final = f"the answer is larger than {MAX_BODY_BYTES >> 20} MiB"


def _inflate(response: Response) -> bytes:
    """Return the body as it was before compression, which was not asked for but may come."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity") or not response.body:
        return response.body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"an encoding that was not asked for: {encoding[:32]}")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    body = inflater.decompress(response.body, MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(_TooLargeError.text)
    if not inflater.eof:
        raise ValueError("the compressed answer is cut off")
    return body


def retry_hint(headers: Mapping[str, str], now: datetime) -> float | None:
    """
    Return how many seconds a server asks to wait, at most 60, or None when it does not say or makes no sense.

    :param headers: by lower-case name: ``x-acs-retry-after`` in milliseconds, ``retry-after`` in seconds or
        as a date.
    """
    for name, seconds_of in _HINTS:
        try:
            seconds = seconds_of(headers.get(name, "").strip(), now)
        except (ValueError, TypeError, OverflowError):
            continue
        if isfinite(seconds) and seconds >= 0:
            return min(seconds, MAX_CALL_SECONDS)
    return None


def _seconds_or_date(hint: str, now: datetime) -> float:
    return float(hint) if hint[:1].isdigit() else (parsedate_to_datetime(hint) - now).total_seconds()


_HINTS: Final[tuple[tuple[str, Callable[[str, datetime], float]], ...]] = (
    ("x-acs-retry-after", lambda hint, now: float(hint) / 1000),
    ("retry-after", _seconds_or_date),
)


# --- attempts -------------------------------------------------------------------------------------------


def _retrying(
    world: Surroundings, started: float, hold: Callable[[float], None] = lambda seconds: None
) -> dict[str, Any]:
    """
    Return the retry policy, for tenacity's sync and async twins alike.

    :param started: when the first attempt began, as ``world.monotonic`` tells it.
    :param hold: is told of a throttling, and for how many seconds the service asks to be left alone.
    """
    throttled = False

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = error.retry_after if isinstance(error, MigrationApiError) else None
        backoff = min(0.5 * 2.0**state.attempt_number, 8.0)
        # A little later than asked for, so that those who were told the same do not come back together.
        return hint + world.rand() if hint is not None else backoff * (0.5 + world.rand() / 2)

    def stop(state: RetryCallState) -> bool:
        elapsed = world.monotonic() - started
        # One hint of the full length, given at once, is honoured, and is then the last.
        too_long = elapsed >= MAX_CALL_SECONDS or elapsed + state.upcoming_sleep > MAX_CALL_SECONDS + 5
        return state.attempt_number >= MAX_ATTEMPTS or too_long

    def say(state: RetryCallState) -> None:
        nonlocal throttled
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, MigrationThrottledError):
            hold(error.retry_after or 0.0)
        if isinstance(error, MigrationThrottledError) and not throttled:
            throttled = True
            log.warning("Throttled; trying again in %.1f s. %s", state.upcoming_sleep, error)
        else:
            log.debug("Trying again in %.1f s. %s", state.upcoming_sleep, error)

    return {
        "retry": retry_if_exception(lambda error: isinstance(error, MigrationError) and error.passing),
        "wait": wait,
        "stop": stop,
        "before_sleep": say,
        "reraise": True,
    }


# --- TLS ------------------------------------------------------------------------------------------------


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """
    Return how TLS is verified; making a context costs as much as a hundred polls, so each is made once.

    :param verify: as in :class:`Settings`; with True, ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` count.
    :raises MigrationConfigurationError: if the certificate authorities cannot be read.
    """
    if verify is True:
        verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return _tls_context(verify)


@lru_cache(maxsize=16)
def _tls_context(verify: bool | str) -> ssl.SSLContext:
    from certifi import where

    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    authorities = where() if verify is True else verify
    is_directory = Path(authorities).is_dir()
    try:
        return ssl.create_default_context(
            cafile=None if is_directory else authorities, capath=authorities if is_directory else None
        )
    except OSError as error:
        raise MigrationConfigurationError(
            f"The certificate authorities in {authorities} cannot be read ({error.strerror}): name a PEM "
            "file as verify in the connection's extra, or in REQUESTS_CA_BUNDLE."
        ) from None


# --- proxies ---------------------------------------------------------------------------------------------


def proxy_of(url: str) -> str | None:
    """
    Return the proxy for an address, as requests finds it in ``HTTP_PROXY``, ``NO_PROXY`` and the like.

    Looking costs as much as the request, so each server is looked up once in the life of a process.
    """
    return _proxy(*_server(url))


def _server(url: str) -> tuple[str, str]:
    """Return scheme and host of an address."""
    parts = urlsplit(url.partition("?")[0])  # which it remembers, unlike one with a query of its own
    return parts.scheme, parts.netloc


@lru_cache(maxsize=1024)
def _proxy(scheme: str, server: str) -> str | None:
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    url = f"{scheme}://{server}/"
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    address = str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call] # of requests
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        raise _BadAddressError
    return address


# --- requests -------------------------------------------------------------------------------------------


class _TooSlowError(Exception):
    """The answer takes longer than it may in all."""


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline: the time-out of a socket alone begins anew with every byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds: float) -> None:
        self._raw = raw
        self._sock = sock
        self._pause = sock.gettimeout() or seconds
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left > 0:
            self._sock.settimeout(min(left, self._pause))
            try:
                return self._raw.readinto(buffer)
            except TimeoutError:
                if left > self._pause:
                    raise
        raise _TooSlowError

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """An answer, headers included, that must be whole within some seconds."""

    def __init__(self, sock: socket.socket, *args: Any, seconds: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, seconds))


def _new_connection(kind: Callable[..., Any], settings: Settings, **kwargs: Any) -> Any:
    """Make one of urllib3's connections, with TLS as the async driver has it and with a deadline."""
    if "ca_certs" in kwargs:
        kwargs |= {"ssl_context": tls_context(settings.verify), "cert_reqs": None}
        kwargs |= {"ca_certs": None, "ca_cert_dir": None}
    connection = kind(**kwargs)
    connection.response_class = partial(_DeadlineResponse, seconds=settings.total_timeout)
    return connection


def new_session(settings: Settings) -> requests.Session:
    """Return a session that keeps its connection, sends no cookie and reads no ``.netrc``."""
    from http.cookiejar import DefaultCookiePolicy

    import requests
    import urllib3
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def __init__(self) -> None:
            super().__init__()
            self._pools: dict[tuple[str, str], Any] = {}

        def close(self) -> None:
            self._pools.clear()  # urllib3 closes the connections of a pool that nobody holds
            super().close()

        def cert_verify(self, *args: Any, **kwargs: Any) -> None:
            """Leave TLS to :func:`tls_context`; requests would load the authorities for each connection."""

        def get_connection_with_tls_context(
            self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
        ) -> Any:
            """Find out once for each server what requests would anew for each request."""
            server = _server(str(request.url))
            if server not in self._pools:
                pool: Any = super().get_connection_with_tls_context(request, *args, **kwargs)
                pool.ConnectionCls = partial(_new_connection, type(pool).ConnectionCls, settings)
                self._pools[server] = pool
            return self._pools[server]

    if settings.verify is False:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # or it is said at each poll
    session = requests.Session()
    session.mount("https://", Adapter())
    session.mount("http://", Adapter())
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = False  # neither .netrc nor the environment: see proxy_of
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
                answer = _call(request, session, settings, world)
            except MigrationError as error:
                request = conversation.throw(error)
            else:
                request = conversation.send(answer)
    except StopIteration as stop:
        result: _T = stop.value
        return result


def _call(request: Request, session: requests.Session, settings: Settings, world: Surroundings) -> Any:
    started = world.monotonic()
    try:
        return _send(request, session, settings, world)
    except MigrationError as error:
        failures = [error]

    def attempt() -> Any:
        # Tenacity costs as much as a request, so it comes in once there is a failure to begin with.
        if failures:
            raise failures.pop()
        return _send(request, session, settings, world)

    return Retrying(**_retrying(world, started), sleep=world.sleep)(attempt)


def _prepared(attempt: _Attempt, session: requests.Session) -> requests.PreparedRequest:
    """Make a request out of one that is signed, to which requests itself would add things at great cost."""
    from requests import PreparedRequest
    from requests.structures import CaseInsensitiveDict

    prepared = PreparedRequest()
    prepared.method, prepared.url = attempt.request.method, attempt.request.url
    prepared.headers = CaseInsensitiveDict(attempt.headers)
    prepared.body = attempt.request.body or None
    prepared.prepare_content_length(prepared.body)
    # Which has none; requests looks into them where it is redirected.
    prepared._cookies = session.cookies  # type: ignore[attr-defined] # a private one
    return prepared


def _send(request: Request, session: requests.Session, settings: Settings, world: Surroundings) -> Any:
    import requests
    import urllib3

    attempt = _Attempt.sign(request, world)
    head: Response | None = None
    problem: MigrationError
    try:
        with session.send(
            _prepared(attempt, session),
            proxies={"all": proxy} if (proxy := proxy_of(request.url)) else {},
            timeout=(settings.connect_timeout, settings.read_timeout),
            allow_redirects=False,
            stream=True,
        ) as answer:
            head = Response(answer.status_code, {name.lower(): text for name, text in answer.headers.items()})
            body = bytearray()
            while chunk := answer.raw.read(65536, decode_content=False):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _TooLargeError
    except MigrationConfigurationError:  # of TLS
        raise
    except _TooLargeError as error:
        problem = attempt.failed(error.text, head)
    except _TooSlowError:
        problem = attempt.failed(settings.too_slow, head)
    except requests.ConnectTimeout:
        problem = attempt.failed(settings.no_connection, head)
    except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError):
        problem = attempt.failed(settings.nothing_came, head)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        problem = attempt.broken(error, head)
    else:
        return attempt.read(Response(head.status, head.headers, bytes(body)), world)
    # Raised here, because in an except clause it would carry the library's error, and that the request.
    raise problem


# --- aiohttp --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _SharedSession:
    session: aiohttp.ClientSession
    users: int = 0


_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool | str, _SharedSession]] = (
    WeakKeyDictionary()
)
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


@asynccontextmanager
async def shared_session(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    """
    Lend the one session of this event loop; it is closed when the last who borrowed it gives it back.

    A session per trigger would cost each a connection, a session per poll a TLS handshake.
    """
    shared = _sessions.setdefault(asyncio.get_running_loop(), {})
    if settings.verify not in shared:
        tls = await asyncio.to_thread(_prepare, settings.verify)
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


def _prepare(verify: bool | str) -> ssl.SSLContext:
    """Load libraries and certificates, in a thread: it takes a quarter of a second."""
    import aiohttp  # noqa: F401 - loaded here, so that it is there on the event loop
    import requests.utils  # noqa: F401 - likewise, for the proxies

    return tls_context(verify)


def _new_async_session(tls: ssl.SSLContext) -> aiohttp.ClientSession:
    import aiohttp
    from aiohttp.connector import NEEDS_CLEANUP_CLOSED

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls,
            limit_per_host=20,
            # A poll a minute would find connections closed at aiohttp's 15 s.
            keepalive_timeout=90,
            # Some Pythons wait for the last word of a TLS peer, which may never come.
            enable_cleanup_closed=NEEDS_CLEANUP_CLOSED,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
        auto_decompress=False,
        # As much as the sync driver reads: IAM's tokens are headers of many kilobytes.
        max_line_size=65536,
        max_field_size=65536,
    )
    # Where a connection ends, aiohttp would send a GET once more: with the old signature, and uncounted.
    session._retry_connection = False
    return session


async def arun(
    conversation: Conversation[_T],
    settings: Settings,
    world: Surroundings = WORLD,
    quota: Quota | None = None,
) -> _T:
    """
    Carry a conversation over ``aiohttp`` and return what it comes to.

    :param quota: what all calls of the connection share; without it, the calls of this conversation.
    :raises MigrationError: what the conversation raises, or does not catch.
    """
    quota = quota or Quota(None, world.monotonic, world.asleep)
    async with shared_session(settings) as session:
        send = partial(_acall, session=session, settings=settings, world=world, quota=quota)
        try:
            request = next(conversation)
            while True:
                try:
                    answer = await quota.ask(request, send)
                except MigrationError as error:
                    request = conversation.throw(error)
                else:
                    request = conversation.send(answer)
        except StopIteration as stop:
            result: _T = stop.value
            return result


async def _acall(
    request: Request, session: aiohttp.ClientSession, settings: Settings, world: Surroundings, quota: Quota
) -> Any:
    await quota.turn()
    started = world.monotonic()
    try:
        return await _asend(request, session, settings, world)
    except MigrationError as error:
        failures = [error]

    async def attempt() -> Any:
        if failures:
            raise failures.pop()
        await quota.turn()
        return await _asend(request, session, settings, world)

    return await AsyncRetrying(**_retrying(world, started, quota.hold), sleep=world.asleep)(attempt)


async def _asend(
    request: Request, session: aiohttp.ClientSession, settings: Settings, world: Surroundings
) -> Any:
    import aiohttp
    from yarl import URL

    attempt = _Attempt.sign(request, world)
    head: Response | None = None
    problem: MigrationError
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
            proxy=proxy_of(request.url),
            allow_redirects=False,
        ) as answer:
            head = Response(answer.status, {name.lower(): text for name, text in answer.headers.items()})
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _TooLargeError
    except _TooLargeError as error:
        problem = attempt.failed(error.text, head)
    except aiohttp.ConnectionTimeoutError:
        problem = attempt.failed(settings.no_connection, head)
    except aiohttp.SocketTimeoutError:
        problem = attempt.failed(settings.nothing_came, head)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # TimeoutError is an OSError; aiohttp raises the bare one only when the time in all is over.
        timed_out = type(error) is TimeoutError
        problem = attempt.failed(settings.too_slow, head) if timed_out else attempt.broken(error, head)
    else:
        response = Response(head.status, head.headers, bytes(body))
        if len(body) < LARGE_BODY_BYTES and "content-encoding" not in head.headers:
            return attempt.read(response, world)
        # One at a time: many threads would take turns with each other rather than with the loop.
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            return await asyncio.to_thread(attempt.read, response, world)
    # Raised here, because in an except clause it would carry the library's error, and that the request.
    raise problem
