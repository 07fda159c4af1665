"""The driver over ``requests``, for workers."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tenacity import Retrying

from airflow_provider_migration.clock import SYSTEM_CLOCK, Clock
from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationError
from airflow_provider_migration.sansio import AuthenticatedFlow, BlockingCall, Request, Response
from airflow_provider_migration.transport.attempt import Attempt, TooLargeError
from airflow_provider_migration.transport.clock_check import ClockCheck
from airflow_provider_migration.transport.proxies import proxy_of, server_of
from airflow_provider_migration.transport.redaction import redact_query_strings
from airflow_provider_migration.transport.retries import RetryPolicy, deadline_not_before_now
from airflow_provider_migration.transport.settings import MAX_BODY_BYTES, TransportConfig
from airflow_provider_migration.transport.tls import tls_context

if TYPE_CHECKING:
    import requests

_T = TypeVar("_T")


class _TooSlowError(Exception):
    """The answer exceeds its total limit."""


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline: the timeout of a socket alone restarts with every byte."""

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
    """An answer, headers included, with a total limit."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, _seconds_of_attempt.get()))


_seconds_of_attempt: Final[ContextVar[float]] = ContextVar("seconds_of_attempt")
"""Total limit in seconds of the answer that is read in this context."""


def _new_connection(kind: Callable[..., Any], settings: TransportConfig, **kwargs: Any) -> Any:
    """Create a urllib3 connection with the TLS context of both drivers and with a deadline."""
    if "ca_certs" in kwargs:
        kwargs |= {"ssl_context": tls_context(settings.verify), "cert_reqs": None}
        kwargs |= {"ca_certs": None, "ca_cert_dir": None}
    connection = kind(**kwargs)
    connection.response_class = _DeadlineResponse
    return connection


def new_session(settings: TransportConfig) -> requests.Session:
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
            """Cache the pool of each server, which requests would look up for each request."""
            server = server_of(str(request.url))
            if server not in self._pools:
                pool: Any = super().get_connection_with_tls_context(request, *args, **kwargs)
                pool.ConnectionCls = partial(_new_connection, type(pool).ConnectionCls, settings)
                self._pools[server] = pool
            return self._pools[server]

    redact_query_strings()
    if settings.verify is False:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # otherwise shown at each poll
    session = requests.Session()
    session.mount("https://", Adapter())
    session.mount("http://", Adapter())
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = False  # neither .netrc nor the environment: see proxy_of
    return session


def _prepared(attempt: Attempt, session: requests.Session) -> requests.PreparedRequest:
    """Build a prepared request from a signed one; preparing by requests itself is expensive."""
    from requests import PreparedRequest
    from requests.structures import CaseInsensitiveDict

    prepared = PreparedRequest()
    prepared.method, prepared.url = attempt.request.method, attempt.request.url
    prepared.headers = CaseInsensitiveDict(attempt.headers)
    prepared.body = attempt.request.body or None
    prepared.prepare_content_length(prepared.body)
    # An empty jar, which requests needs when it is redirected.
    prepared._cookies = session.cookies  # type: ignore[attr-defined] # a private one
    return prepared


@dataclass(frozen=True, slots=True)
class SyncDriver:
    """
    Runs flows over ``requests``.

    :ivar session: from :func:`new_session`.
    :ivar clock_check: compares the clocks at each answer.
    """

    session: requests.Session
    settings: TransportConfig
    clock: Clock = SYSTEM_CLOCK
    clock_check: ClockCheck | None = None

    def run(self, flow: AuthenticatedFlow[_T]) -> _T:
        """
        Run a flow and return its result.

        :raises MigrationError: if the flow raises it, or does not catch it.
        """
        with deadline_not_before_now(self.clock):
            try:
                request = next(flow)
                while True:
                    try:
                        if isinstance(request, BlockingCall):
                            answer = request.call()
                        else:
                            answer = self._send_with_retries(request)
                    except MigrationError as error:
                        request = flow.throw(error)
                    else:
                        request = flow.send(answer)
            except StopIteration as stop:
                result: _T = stop.value
                return result

    def _send_with_retries(self, request: Request[Any]) -> Any:
        policy = RetryPolicy(self.clock)

        def attempt() -> Any:
            policy.patience.begin_attempt()
            try:
                return self._send_once(request)
            finally:
                policy.patience.end_attempt()

        try:
            return attempt()
        except MigrationError as error:
            failures = [error]

        def attempt_again() -> Any:
            # Tenacity costs as much as a request, so it is used only after a first failure.
            if failures:
                raise failures.pop()
            return attempt()

        return Retrying(**policy.options(), sleep=self.clock.sleep)(attempt_again)

    def _send_once(self, request: Request[Any]) -> Any:
        import requests
        import urllib3

        attempt = Attempt.sign(request, self.settings, self.clock)
        _seconds_of_attempt.set(attempt.seconds)
        head: Response | None = None
        problem: MigrationError
        try:
            with self.session.send(
                _prepared(attempt, self.session),
                proxies={"all": proxy} if (proxy := proxy_of(request.url)) else {},
                timeout=(min(self.settings.connect_timeout, attempt.seconds), self.settings.read_timeout),
                allow_redirects=False,
                stream=True,
            ) as answer:
                head = Response(
                    answer.status_code, {name.lower(): text for name, text in answer.headers.items()}
                )
                if self.clock_check:
                    self.clock_check.note(head, self.clock)
                body = bytearray()
                while chunk := answer.raw.read(65536, decode_content=False):
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise TooLargeError
        except MigrationConfigurationError:  # of TLS
            raise
        except TooLargeError as error:
            problem = attempt.failed(error.text, head)
        except _TooSlowError:
            problem = attempt.too_slow(head)
        except requests.ConnectTimeout:
            problem = attempt.failed(self.settings.no_connection, head, "timeout")
        except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError):
            problem = attempt.failed(self.settings.nothing_came, head, "timeout")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            problem = attempt.broken(error, head)
        else:
            return attempt.read(Response(head.status, head.headers, bytes(body)))
        # Raised here: in an except clause, the library's error and its request would be the context.
        raise problem
