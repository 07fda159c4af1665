"""The transport against real sockets: one table of answers, both drivers."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import gzip
import html
import itertools
import json
import logging
import re
import socket
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import certifi
import psutil
import pytest
import requests

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
from airflow_provider_migration.clock import Clock
from airflow_provider_migration.credentials.huawei_iam import IamToken
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.sansio import Response
from airflow_provider_migration.services.drs import DrsApi, ObjectListing
from airflow_provider_migration.services.dts import DtsApi
from airflow_provider_migration.services.oms import OmsApi
from airflow_provider_migration.transport import aio, sync, tls
from airflow_provider_migration.transport.attempt import Attempt, retry_hint
from airflow_provider_migration.transport.clock_check import ClockCheck
from airflow_provider_migration.transport.limiter import RateLimiter, limit_calls
from airflow_provider_migration.transport.redaction import redact_query_strings
from airflow_provider_migration.transport.settings import TransportConfig
from tests.authority import Authority
from tests.servers import NO_TUNNEL, Asked, Reply, Server, endless, http

SECRET = 'pa"ss/word +of=<OMS>&é'
NOON = dt.datetime(2026, 1, 2, 12, 0, tzinfo=dt.UTC)
QUICK = TransportConfig(connect_timeout=2, read_timeout=0.3)
STEADY = TransportConfig(connect_timeout=2, read_timeout=10)
FINE_BODY = b'{"success": true, "data": {"status": "RUNNING"}}'
FINE = http(body=FINE_BODY)


@dataclass
class World:
    """A clock that only sleeping moves, and what was slept."""

    slept: list[float] = field(default_factory=list)
    clock: float = 0.0
    chance: float = 0.5
    step: float = 0.0

    def tell(self) -> float:
        self.clock += self.step
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock += seconds

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)

    @property
    def surroundings(self) -> Clock:
        nonces = (f"nonce-{number}" for number in itertools.count())
        return Clock(
            now=lambda: NOON + dt.timedelta(seconds=self.clock),
            monotonic=self.tell,
            rand=lambda: self.chance,
            nonce=lambda: next(nonces),
            sleep=self.sleep,
            async_sleep=self.async_sleep,
        )


def in_haste() -> World:
    """Make a world in which the time for a second attempt is always over."""
    return World(step=100)


Driver = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def carry(request: pytest.FixtureRequest) -> Driver:
    """Carry a conversation with one driver, then with the other."""

    def on_worker(flow: Any, settings: TransportConfig = STEADY, clock: World | None = None) -> Any:
        with sync.new_session(settings) as session:
            return sync.SyncDriver(session, settings, (clock or World()).surroundings).run(flow)

    def on_loop(flow: Any, settings: TransportConfig = STEADY, clock: World | None = None) -> Any:
        try:
            return asyncio.run(aio.AsyncDriver(settings, (clock or World()).surroundings).run(flow))
        finally:
            gc.collect()  # so that an unclosed session or socket is this test's failure

    return on_worker if request.param == "sync" else on_loop


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers, and stop them after the test."""
    started: list[Server] = []

    def start(*replies: Reply | Callable[[Asked], Reply], **options: Any) -> Server:
        server = Server(list(replies), **options)
        server.__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__()


def ask_oms(url: str, project: str = "p_1") -> Any:
    return OmsApi(endpoint=url, signer=BasicSigner("someone", SECRET)).get_migration_progress(project)


def ask_dts(url: str) -> Any:
    signer = AlibabaSigner("some-key-id", "some-key-secret", "some-security-token")
    return DtsApi(endpoint=url, region="cn-hangzhou", signer=signer).describe_migration_job_status("dts1")


def ask_drs(url: str) -> Any:
    signer = HuaweiSigner("some-ak", "some-sk-that-is-secret", "some-security-token")
    return DrsApi(endpoint=url, project_id="project", signer=signer).get_job_status("job-1")


def every_text_of(error: BaseException | None) -> str:
    """Return all that an error and those it hangs on could show."""
    seen: list[str] = []
    while error is not None:
        request = getattr(error, "request", None)
        seen += [str(error), repr(error), repr(vars(error)), repr(getattr(request, "headers", None))]
        error = error.__cause__ or error.__context__
    return "\n".join(seen)


# --- what an answer on the wire comes to ---------------------------------------------------------------

WIRE_CASES: dict[str, tuple[Reply, type[MigrationError], str]] = {
    "nothing at all": (
        Reply(then="hold"),
        MigrationServiceError,
        "no data received for 0.3 s (read_timeout)",
    ),
    "a closed connection": (Reply(then="close"), MigrationServiceError, "no answer"),
    "a reset connection": (Reply(then="reset"), MigrationServiceError, "no answer"),
    "half a status line": (Reply((b"HTTP/1.",), then="close"), MigrationServiceError, "no answer"),
    "half the headers": (
        Reply((b"HTTP/1.1 200 OK\r\ncontent-le",), then="close"),
        MigrationApiError,
        "",
    ),
    "no HTTP": (Reply((b"SSH-2.0-OpenSSH_9.6\r\n",), then="close"), MigrationServiceError, "no answer"),
    "half a body": (
        http(headers={"content-length": "100"}, then="close"),
        MigrationResponseError,
        "HTTP 200, the answer is cut off",
    ),
    "half a body and a reset": (
        http(headers={"content-length": "100"}, then="reset"),
        MigrationResponseError,
        "the answer is cut off",
    ),
    "half a body and silence": (
        http(headers={"content-length": "100"}, then="hold"),
        MigrationResponseError,
        "no data received for 0.3 s (read_timeout)",
    ),
    "half a chunk": (
        Reply((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{",), then="close"),
        MigrationResponseError,
        "the answer is cut off",
    ),
    "chunks of no size": (
        Reply((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",), then="close"),
        MigrationApiError,
        "",
    ),
    "headers that dribble": (
        endless(b"x: y\r\n", after=b"HTTP/1.1 200 OK\r\n", pause=0.1),
        MigrationServiceError,
        "the answer took longer than 0.6 s (twice read_timeout)",
    ),
    "a body that dribbles": (
        endless(b" ", after=b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", pause=0.1),
        MigrationResponseError,
        "the answer took longer than 0.6 s (twice read_timeout)",
    ),
    "chunks that dribble": (
        endless(b"1\r\n \r\n", after=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", pause=0.1),
        MigrationResponseError,
        "the answer took longer than 0.6 s (twice read_timeout)",
    ),
    "a login page": (
        http(body=b"<html>log in</html>", headers={"content-type": "text/html"}),
        MigrationResponseError,
        "HTTP 200, not a JSON object (text/html, 19 bytes)",
    ),
    "no body": (http(body=b""), MigrationResponseError, "not a JSON object"),
    "a list": (http(body=b"[]"), MigrationResponseError, "not a JSON object"),
    "no text": (http(body=b"\xff\xfe\x00"), MigrationResponseError, "not a JSON object"),
    "nested without end": (http(body=b"[" * 100_000), MigrationResponseError, "not a JSON object"),
    "gzip that is none": (http(headers={"content-encoding": "gzip"}), MigrationResponseError, "HTTP 200"),
    "half a gzip": (
        http(body=gzip.compress(b"{}" * 500)[:-4], headers={"content-encoding": "gzip"}),
        MigrationResponseError,
        "the compressed answer is cut off",
    ),
    "brotli": (
        http(headers={"content-encoding": "br"}),
        MigrationResponseError,
        "an encoding that was not asked for: br",
    ),
    "a bad gateway": (http(502, b"<html>", {"content-type": "text/html"}), MigrationServiceError, "HTTP 502"),
    "an empty 503 that says gzip": (
        http(503, b"", {"content-encoding": "gzip"}),
        MigrationServiceError,
        "HTTP 503",
    ),
    "a throttling": (http(429), MigrationThrottledError, "HTTP 429"),
    "a redirect": (
        http(302, b"", {"location": "http://127.0.0.1:9/elsewhere"}),
        MigrationResponseError,
        "HTTP 302, a redirect, which is never followed",
    ),
    "a refused key": (http(401, b""), MigrationAuthenticationError, "HTTP 401"),
    "a refused key, cut off": (
        http(401, headers={"content-length": "100"}, then="close"),
        MigrationAuthenticationError,
        "HTTP 401",
    ),
    "a refused key, dribbled": (
        endless(b" ", after=b"HTTP/1.1 401 No\r\ncontent-length: 1000\r\n\r\n", pause=0.1),
        MigrationAuthenticationError,
        "HTTP 401",
    ),
    "a refused key in no gzip": (
        http(401, b"no", {"content-encoding": "gzip"}),
        MigrationAuthenticationError,
        "HTTP 401",
    ),
    "a missing right": (http(403, b"{}"), MigrationPermissionError, "HTTP 403"),
    "an unknown id": (http(404, b"{}"), MigrationNotFoundError, "HTTP 404"),
    "a malformed request": (http(400, b"{}"), MigrationRequestError, "HTTP 400"),
}


@pytest.mark.parametrize("case", WIRE_CASES)
def test_error_message_names_request_answer_and_remedy(
    case: str, carry: Driver, serve: Callable[..., Server]
) -> None:
    reply, expected, says = WIRE_CASES[case]
    server = serve(reply)
    started = time.monotonic()

    with pytest.raises(expected) as caught:
        carry(ask_oms(server.url), QUICK, in_haste())

    assert time.monotonic() - started < 20  # some of these answers never end
    message = str(caught.value)
    assert message.startswith(f"GetMigrationProgress at 127.0.0.1:{server.port}: ")
    assert says in message
    assert re.search(r"\. (Check|Grant|Raise|If this (stays|persists))", message)
    assert SECRET not in every_text_of(caught.value)
    assert caught.value.__context__ is None or isinstance(caught.value.__context__, (zlib.error, ValueError))


SLOW_CASES = {"nothing at all"} | {case for case in WIRE_CASES if "dribble" in case or "silence" in case}


@pytest.mark.parametrize("case", [case for case in WIRE_CASES if case not in SLOW_CASES])
def test_retry_is_for_transient_errors_only(case: str, carry: Driver, serve: Callable[..., Server]) -> None:
    reply, expected, _ = WIRE_CASES[case]
    server, clock = serve(reply), World()

    with pytest.raises(expected) as caught:
        carry(ask_oms(server.url), QUICK, clock)

    final = (
        MigrationAuthenticationError,
        MigrationPermissionError,
        MigrationNotFoundError,
        MigrationRequestError,
    )
    assert len(server.asked) == (1 if isinstance(caught.value, final) else 5)
    pauses = len(server.asked) - 1
    # After a throttling the next turn may be later than the retry.
    assert pauses <= len(clock.slept) <= (2 * pauses if expected is MigrationThrottledError else pauses)


def test_retry_succeeds_after_three_failures(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(503), Reply(then="close"), http(200, b"nonsense"), FINE)

    assert carry(ask_oms(server.url)).data.status == "RUNNING"
    assert len(server.asked) == 4


@pytest.mark.parametrize("compressed", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_compressed_answer_is_read(
    compressed: Callable[[bytes], bytes], carry: Driver, serve: Callable[..., Server]
) -> None:
    encoding = "gzip" if compressed is gzip.compress else "deflate"
    server = serve(http(body=compressed(FINE_BODY), headers={"content-encoding": encoding}))

    assert carry(ask_oms(server.url)).success is True
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_chunked_answer_is_read(carry: Driver, serve: Callable[..., Server]) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = (
        b"5\r\n",
        FINE_BODY[:5],
        b"\r\n",
        b"%x\r\n" % len(FINE_BODY[5:]),
        FINE_BODY[5:],
        b"\r\n0\r\n\r\n",
    )
    server = serve(Reply((head, *chunks), 0.01))

    assert carry(ask_oms(server.url)).success is True


@pytest.mark.parametrize(
    "reply",
    [
        endless(b" " * 65536, after=b"HTTP/1.1 200 OK\r\n\r\n"),
        endless(b" " * 65536, after=b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"),
        http(body=gzip.compress(b" " * (17 << 20)), headers={"content-encoding": "gzip"}),
    ],
    ids=["without a length", "with its length", "a gzip bomb"],
)
def test_answer_above_16_mib_is_cut_off(reply: Reply, carry: Driver, serve: Callable[..., Server]) -> None:
    with pytest.raises(MigrationResponseError, match="larger than 16 MiB"):
        carry(ask_oms(serve(reply).url), STEADY, in_haste())


def test_gzip_bomb_is_not_unpacked(carry: Driver, serve: Callable[..., Server]) -> None:
    bomb = gzip.compress(bytes(256 << 20), compresslevel=1)
    server = serve(http(body=bomb, headers={"content-encoding": "gzip"}))

    tracemalloc.start()
    try:
        with pytest.raises(MigrationResponseError, match="larger than 16 MiB"):
            carry(ask_oms(server.url), STEADY, in_haste())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 64 << 20


def test_answer_of_16_mib_is_read(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(body=FINE_BODY.ljust(16 << 20)))

    assert carry(ask_oms(server.url)).success is True


def test_slow_answer_within_the_limit_is_read(carry: Driver, serve: Callable[..., Server]) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(FINE_BODY) + FINE_BODY
    pieces = (whole[:10], whole[10:30], whole[30:])

    assert carry(ask_oms(serve(Reply(pieces, 0.2)).url), QUICK).success is True


def test_contradicting_headers_are_retried(carry: Driver, serve: Callable[..., Server]) -> None:
    garbled = Reply((b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}}",))
    server = serve(garbled, FINE)

    assert carry(ask_oms(server.url)).success is True
    assert len(server.asked) == 2


def test_long_token_fits_into_a_header(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(body=FINE_BODY, headers={"x-subject-token": "t" * 30_000}))

    assert carry(ask_oms(server.url)).success is True


def test_refused_connection_is_named(carry: Driver) -> None:
    with Server([]) as server:
        url = server.url

    with pytest.raises(
        MigrationServiceError, match=r"no answer \(ConnectionRefusedError.*\)\. .*check the connection's host"
    ):
        carry(ask_oms(url), QUICK, in_haste())


def test_unknown_host_is_named(carry: Driver) -> None:
    with pytest.raises(
        MigrationServiceError,
        match=r"at nowhere\.invalid: no answer \(the host name does not resolve: gaierror",
    ):
        carry(ask_oms("http://nowhere.invalid"), QUICK, in_haste())


def test_connect_timeout_is_honoured(carry: Driver) -> None:
    # A full backlog: the kernel drops what comes next.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for item in waiting:
            item.setblocking(False)
            item.connect_ex(address)
        time.sleep(0.05)
        with pytest.raises(MigrationServiceError, match=r"no connection within 0\.2 s \(connect_timeout\)"):
            carry(
                ask_oms(f"http://127.0.0.1:{address[1]}"),
                TransportConfig(connect_timeout=0.2, read_timeout=5),
                in_haste(),
            )
        for item in waiting:
            item.close()


# --- attempts ------------------------------------------------------------------------------------------


def test_retry_is_signed_again(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(503), http(503), http(body=b'{"MigrationJobStatus": "Migrating"}'))

    carry(ask_dts(server.url), STEADY, World(chance=1.0))

    for header in ("x-acs-signature-nonce", "x-acs-date", "authorization"):
        assert len({asked.headers[header] for asked in server.asked}) == 3, header


def test_retry_of_huawei_is_signed_with_its_own_time(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(503), http(body=b'{"results": [{"job_id": "job-1", "transfer_status": "PAUSING"}]}'))

    carry(ask_drs(server.url), STEADY, World(chance=1.0))

    assert len({asked.headers["x-sdk-date"] for asked in server.asked}) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "3600"}, 60),
        ({"retry-after": "Fri, 02 Jan 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Fri, 02 Jan 2026 18:00:00 GMT"}, 60),
        ({"x-acs-retry-after": "2500"}, 2.5),
        ({"x-acs-retry-after": "2500", "retry-after": "9"}, 2.5),
        ({"x-acs-retry-after": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Fri, 02 Jan 2026 11:00:00 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "nan"}, None),
        ({"x-acs-retry-after": "nan"}, None),
        ({"x-acs-retry-after": "inf"}, None),
        ({"x-acs-retry-after": "-1"}, None),
        ({"retry-after": "Fri, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"retry-after": "Fri, 02 Jan 2026 12:00:30"}, None),
        ({}, None),
    ],
)
def test_retry_after_header_is_honoured_up_to_a_minute(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_hint(headers, NOON) == seconds


def test_retry_after_header_gets_jitter(carry: Driver, serve: Callable[..., Server]) -> None:
    server, clock = serve(http(429, headers={"retry-after": "7"}), FINE), World(chance=0.25)

    carry(ask_oms(server.url), STEADY, clock)

    assert clock.slept == [7.25]


def test_retry_after_of_a_minute_is_honoured_once(carry: Driver, serve: Callable[..., Server]) -> None:
    server, clock = serve(http(429, headers={"retry-after": "3600"})), World(chance=0.99)

    with pytest.raises(MigrationThrottledError) as caught:
        carry(ask_oms(server.url), STEADY, clock)

    assert clock.slept == [60.99]
    assert len(server.asked) == 2
    assert caught.value.retry_after == 60


def test_retry_budget_is_about_a_minute(carry: Driver, serve: Callable[..., Server]) -> None:
    clock = World()
    server = serve(http(429, headers={"retry-after": "40"}))

    with pytest.raises(MigrationThrottledError):
        carry(ask_oms(server.url), STEADY, clock)

    assert clock.slept == [40.5]


@pytest.mark.parametrize(("chance", "slept"), [(0.0, [0.5, 1, 2, 4]), (0.999999, [1, 2, 4, 8])])
def test_retry_backoff_doubles_with_jitter(
    chance: float, slept: list[float], carry: Driver, serve: Callable[..., Server]
) -> None:
    clock = World(chance=chance)

    with pytest.raises(MigrationServiceError):
        carry(ask_oms(serve(http(500)).url), STEADY, clock)

    assert clock.slept == pytest.approx(slept, rel=1e-3)


def test_throttled_call_logs_one_line(
    carry: Driver, serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    throttled = http(429, headers={"retry-after": "7"})
    server = serve(http(503), http(503), throttled, throttled, FINE)

    with caplog.at_level(logging.INFO, "airflow_provider_migration"):
        carry(ask_oms(server.url))

    assert [record.getMessage().partition(" GetMigrationProgress at ")[0] for record in caplog.records] == [
        "Throttled; retrying in 7.5 s."
    ]


def test_rate_limit_holds_on_the_event_loop(serve: Callable[..., Server]) -> None:
    server, clock = serve(FINE), World()
    quota = RateLimiter(5, clock.tell, clock.async_sleep)

    async def call() -> None:
        await aio.AsyncDriver(STEADY, clock.surroundings, quota).run(ask_oms(server.url))

    async def calls() -> None:
        await asyncio.gather(*(call() for _ in range(3)))

    asyncio.run(calls())
    assert clock.slept == pytest.approx([0.2, 0.2])


def test_rate_limit_pauses_the_connection_after_throttling(serve: Callable[..., Server]) -> None:
    server, clock = serve(http(429, headers={"retry-after": "7"}), FINE), World()
    quota, slept = RateLimiter(None, clock.tell, clock.async_sleep), []

    async def sleep(seconds: float) -> None:
        """Begin another call in the middle of the wait."""
        if not slept:
            slept.append(seconds)
            await aio.AsyncDriver(STEADY, clock.surroundings, quota).run(ask_oms(server.url))

    async def calls() -> None:
        await aio.AsyncDriver(STEADY, replace(clock.surroundings, async_sleep=sleep), quota).run(
            ask_oms(server.url)
        )

    asyncio.run(calls())
    assert slept == [7.5]
    assert clock.slept[0] == 7
    assert len(server.asked) == 3


# --- secrets -------------------------------------------------------------------------------------------


def spellings(secret: str) -> set[str]:
    """Return how a form, an address or a page may spell a secret, in capitals and in small letters."""
    encoded = {quote(secret, safe=""), quote_plus(secret)}
    small = {re.sub("%..", lambda match: match[0].lower(), text) for text in encoded}
    return {secret, html.escape(secret), *encoded, *small}


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize(
    ("ask", "secrets"),
    [
        (ask_oms, [SECRET]),
        (ask_dts, ["some-key-secret", "some-security-token"]),
        (ask_drs, ["some-sk-that-is-secret", "some-security-token"]),
    ],
    ids=["oms", "dts", "drs"],
)
def test_redact_secrets_that_a_service_echoes(
    status: int,
    ask: Callable[[str], Any],
    secrets: list[str],
    carry: Driver,
    serve: Callable[..., Server],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def echo(asked: Asked) -> Reply:
        sent = {
            name: text
            for name, text in asked.headers.items()
            if name in ("authorization", "x-acs-security-token", "x-security-token")
        }
        said = "; ".join([*(text for secret in secrets for text in spellings(secret)), *sent.values()])
        body = {"message": said, "error_msg": "; ".join(secrets), "code": "x", "error_code": "y"}
        text = json.dumps({"success": False, "Success": False, **body})
        if status == 404:  # a writer that escapes all it can
            text = text.replace("/", "\\/").replace("=", "\\u003d").replace("&", "\\u0026")
        return http(status, text.encode(), {"x-request-id": said.encode("ascii", "replace").decode()})

    with caplog.at_level(logging.DEBUG), pytest.raises(MigrationError) as caught:
        carry(ask(serve(echo).url))

    shown = every_text_of(caught.value) + json.dumps(caught.value.to_json()) + caplog.text
    for secret in secrets:
        for spelling in (json.dumps(secret)[1:-1], *spellings(secret)):
            assert spelling not in shown
    assert not re.search(r"Basic \w|Signature=\w", shown)


def test_redact_requests_from_errors_of_the_network(carry: Driver, serve: Callable[..., Server]) -> None:
    with pytest.raises(MigrationServiceError) as caught:
        carry(ask_dts(serve(Reply(then="close")).url), STEADY, in_haste())

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_redact_messages_of_raw_answers(carry: Driver, serve: Callable[..., Server]) -> None:
    data = {"status": "RUNNING"}
    body = json.dumps(
        {"success": True, "message": f"hello {SECRET}", "data": data}, ensure_ascii=False
    ).encode()

    assert carry(ask_oms(serve(http(body=body)).url)).message == "hello ***"


@pytest.mark.parametrize("length", [480, 492, 496, 499])
def test_redact_secret_that_is_truncated_with_its_message(
    length: int, carry: Driver, serve: Callable[..., Server]
) -> None:
    body = json.dumps({"success": False, "code": "PARAM_ERROR", "message": "x" * length + SECRET}).encode()
    with pytest.raises(MigrationError) as caught:
        carry(ask_oms(serve(http(body=body)).url))
    assert SECRET[:4] not in str(caught.value)


def test_redact_json_escapes(carry: Driver, serve: Callable[..., Server]) -> None:
    spelt = "".join(f"\\u{ord(sign):04x}" for sign in SECRET)
    server = serve(
        http(body=FINE_BODY[:-1] + f', "message": "{spelt}"}}'.encode()),
        http(body=f'{{"success": false, "code": "PARAM_ERROR {spelt}", "requestId": "{spelt}"}}'.encode()),
    )

    assert carry(ask_oms(server.url)).message == "***"
    with pytest.raises(MigrationError) as caught:
        carry(ask_oms(server.url))
    assert SECRET not in json.dumps(caught.value.to_json(), ensure_ascii=False)


def test_redact_token_that_was_refreshed_before_the_answer(
    carry: Driver, serve: Callable[..., Server]
) -> None:
    token = IamToken(endpoint="", user="some-user", password="some-password", domain_name="", scope={})
    token.given = TokenSigner("the-first-token")

    def echo(asked: Asked) -> Reply:
        sent, token.given = asked.headers["x-auth-token"], TokenSigner("the-second-token")
        return http(400, json.dumps({"error_code": "DRS.M00200", "error_msg": f"sent: {sent}"}).encode())

    api = DrsApi(endpoint=serve(echo).url, project_id="p", signer=token)
    with pytest.raises(MigrationRequestError, match=r"sent: \*\*\*"):
        carry(api.get_job_status("1"))


# --- what is never done --------------------------------------------------------------------------------


def test_redirect_is_not_followed(carry: Driver, serve: Callable[..., Server]) -> None:
    elsewhere = serve(FINE)
    server = serve(http(307, b"", {"location": elsewhere.url}))

    with pytest.raises(MigrationResponseError):
        carry(ask_oms(server.url))

    assert not elsewhere.asked


def test_netrc_is_not_read(
    carry: Driver, serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login other password other\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    oms, drs = (
        serve(FINE),
        serve(http(body=b'{"results": [{"job_id": "job-1", "transfer_status": "CREATING"}]}')),
    )

    carry(ask_oms(oms.url))
    carry(ask_drs(drs.url))

    assert oms.asked[0].headers["authorization"] == f"Basic {BasicSigner('someone', SECRET)._credentials}"
    assert drs.asked[0].headers["authorization"].startswith("SDK-HMAC-SHA256 ")


def test_cookie_is_not_kept(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(503, headers={"set-cookie": "session=1; path=/"}), FINE)

    carry(ask_oms(server.url.replace("127.0.0.1", "localhost")))  # of an address nobody keeps cookies

    assert [asked.headers.get("cookie") for asked in server.asked] == [None, None]


def test_request_has_no_further_headers(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    carry(ask_oms(server.url))

    (asked,) = server.asked
    assert set(asked.headers) - {"connection"} == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "authorization",
    }
    assert asked.headers["user-agent"] == "airflow-provider-migration"


# --- proxies -------------------------------------------------------------------------------------------

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_proxy_of_the_environment_is_used(
    variable: str, scheme: str, carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(FINE)
    monkeypatch.setenv(variable, proxy.url.replace("http://", scheme))

    carry(ask_oms("http://oms.invalid:8089"))

    assert proxy.asked[0].target == "http://oms.invalid:8089/api/omsp/v2/migrations/p_1/progress"
    assert proxy.asked[0].headers["host"] == "oms.invalid:8089"


def test_proxy_gets_its_password(
    carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(FINE)
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://user:proxy-password@"))

    carry(ask_oms("http://oms.invalid"))

    assert proxy.asked[0].headers["proxy-authorization"] == "Basic dXNlcjpwcm94eS1wYXNzd29yZA=="
    assert "someone" not in proxy.asked[0].target


def test_redact_password_of_a_proxy(carry: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:proxy-password@127.0.0.1:9")

    with pytest.raises(MigrationServiceError) as caught:
        carry(ask_oms("http://oms.invalid"), QUICK, in_haste())

    assert "proxy-password" not in every_text_of(caught.value)


@pytest.mark.parametrize("exception", ["127.0.0.1", "127.0.0.0/8", "*", "a.example, 127.0.0.1"])
def test_proxy_is_bypassed_by_no_proxy(
    exception: str, carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = serve(FINE), serve(http(500))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", exception)

    carry(ask_oms(server.url))

    assert not proxy.asked


def test_proxy_of_a_server_is_cached(
    carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, searched = serve(FINE), serve(FINE), []
    search = requests.utils.get_environ_proxies

    def note(url: str) -> Any:
        searched.append(url)
        return search(url)

    monkeypatch.setattr("requests.utils.get_environ_proxies", note)
    for server in (one, other, one, other):
        carry(ask_oms(server.url))

    assert searched == [f"{one.url}/", f"{other.url}/"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://127.0.0.1:9", "http://"])
def test_proxy_that_is_unusable_is_a_configuration_error(
    proxy: str, carry: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)

    with pytest.raises(MigrationConfigurationError, match=r"No request can be sent .* HTTP_PROXY"):
        carry(ask_oms("http://oms.invalid"), QUICK)


# --- TLS -----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


def test_tls_unknown_authority_is_refused_without_retry(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    server, clock = serve(FINE, tls=authority.context), World()

    with pytest.raises(MigrationConfigurationError, match=r"cannot be verified: .*certificate.*set verify"):
        carry(ask_oms(server.url), STEADY, clock)

    assert not server.asked
    assert not clock.slept


def test_tls_certificate_of_another_host_is_refused(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    server = serve(FINE, tls=authority.other_host)

    with pytest.raises(MigrationConfigurationError, match=r"cannot be verified: .*127\.0\.0\.1"):
        carry(ask_oms(server.url), TransportConfig(verify=str(authority.file)))


def test_tls_ca_file_is_trusted(carry: Driver, serve: Callable[..., Server], authority: Authority) -> None:
    server = serve(FINE, tls=authority.context)

    assert carry(ask_oms(server.url), TransportConfig(verify=str(authority.file))).success is True


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_tls_ca_file_of_the_environment_is_trusted(
    variable: str,
    carry: Driver,
    serve: Callable[..., Server],
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, str(authority.file))

    assert carry(ask_oms(serve(FINE, tls=authority.context).url)).success is True


def test_tls_ca_folder_is_accepted(
    carry: Driver,
    serve: Callable[..., Server],
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))

    with pytest.raises(MigrationConfigurationError, match="cannot be verified"):
        carry(ask_oms(serve(FINE, tls=authority.context).url))


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_tls_unreadable_ca_file_is_a_configuration_error(
    content: str | None,
    carry: Driver,
    serve: Callable[..., Server],
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    with pytest.raises(MigrationConfigurationError, match=r"bundle\.pem cannot be read .*REQUESTS_CA_BUNDLE"):
        carry(ask_oms(serve(FINE, tls=authority.context).url))


def test_tls_verify_false_ignores_the_environment(
    carry: Driver, serve: Callable[..., Server], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    server = serve(FINE, tls=authority.other_host)

    assert carry(ask_oms(server.url), TransportConfig(verify=False)).success is True


def test_tls_plain_http_server_is_named(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    with pytest.raises(MigrationServiceError, match=r"no answer \(.*SSL"):
        carry(ask_oms(server.url.replace("http:", "https:")), STEADY, in_haste())


def test_tls_works_through_a_proxy(
    carry: Driver, serve: Callable[..., Server], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = serve(FINE, tls=authority.context), serve(FINE)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    assert carry(ask_oms(server.url), TransportConfig(verify=str(authority.file))).success is True
    assert proxy.asked[0].method == "CONNECT"
    assert "authorization" not in proxy.asked[0].headers


def test_proxy_error_is_named_with_its_status(
    carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", serve(NO_TUNNEL).url)

    with pytest.raises(MigrationServiceError, match="the proxy from the environment refuses with HTTP 407"):
        carry(ask_oms("https://oms.invalid:8089"), STEADY, in_haste())


def test_tls_answer_that_trickles_is_cut_off(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    reply = endless(b" ", after=b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", pause=0.1)
    settings = TransportConfig(verify=str(authority.file), read_timeout=0.3)

    with pytest.raises(MigrationResponseError, match=r"took longer than 0\.6 s"):
        carry(ask_oms(serve(reply, tls=authority.context).url), settings, in_haste())


# --- sessions ------------------------------------------------------------------------------------------


def test_session_reuses_its_connection(serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    with sync.new_session(STEADY) as session:
        for _ in range(3):
            sync.SyncDriver(session, STEADY).run(ask_oms(server.url))

    assert (len(server.asked), server.accepted) == (3, 1)


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "dropped"])
def test_session_leaves_no_connection_behind(serve: Callable[..., Server], is_closed: bool) -> None:
    server = serve(FINE)

    def open_connections() -> int:
        connections = psutil.Process().net_connections()
        return sum(bool(item.raddr) and item.raddr.port == server.port for item in connections)

    gc.collect()
    gc.disable()  # which would close them at some time
    before = open_connections()  # of another test, to a server that had the same port
    try:
        session = sync.new_session(STEADY)
        sync.SyncDriver(session, STEADY).run(ask_oms(server.url))
        assert open_connections() == before + 1
        if is_closed:
            session.close()
        else:
            del session
        assert open_connections() == before
    finally:
        gc.enable()


def test_connection_closed_by_the_server_is_reopened(
    serve: Callable[..., Server],
) -> None:
    server = serve(http(body=FINE_BODY, then="close"))

    with sync.new_session(STEADY) as session:
        for _ in range(2):
            assert sync.SyncDriver(session, STEADY, World().surroundings).run(ask_oms(server.url)).success

    assert server.accepted >= 2


async def test_session_is_shared_and_closed_after_the_last(
    serve: Callable[..., Server], authority: Authority
) -> None:
    settings = TransportConfig(verify=str(authority.file))
    lent = set()

    async def poll() -> None:
        async with aio.shared_session(settings) as session:
            lent.add(session)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(poll() for _ in range(10)))

    (session,) = lent
    assert session.closed
    assert not aio._sessions[asyncio.get_running_loop()].by_authorities


async def test_kept_session_reuses_its_connection(serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    async with aio.shared_session(STEADY):
        for _ in range(3):
            await aio.AsyncDriver(STEADY).run(ask_oms(server.url))

    assert (len(server.asked), server.accepted) == (3, 1)


async def test_session_is_not_shared_across_ca_files(authority: Authority) -> None:
    async with (
        aio.shared_session(TransportConfig()) as one,
        aio.shared_session(TransportConfig(verify=str(authority.file))) as other,
        aio.shared_session(TransportConfig(read_timeout=1)) as same,
    ):
        assert one is not other
        assert one is same


async def test_session_is_released_on_cancellation(serve: Callable[..., Server]) -> None:
    server = serve(Reply(then="hold"))
    task = asyncio.create_task(aio.AsyncDriver(STEADY).run(ask_oms(server.url)))
    while not server.asked:
        await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not aio._sessions[asyncio.get_running_loop()].by_authorities


def test_session_belongs_to_one_event_loop(serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    for _ in range(2):
        asyncio.run(aio.AsyncDriver(STEADY).run(ask_oms(server.url)))

    assert server.accepted == 2


def test_first_call_does_not_block_the_event_loop(serve: Callable[..., Server], authority: Authority) -> None:
    # In a process of its own, because here everything is loaded already.
    server = serve(FINE, tls=authority.context)
    script = f"""
import asyncio, time
from airflow_provider_migration.transport import aio
from airflow_provider_migration.transport.settings import TransportConfig
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.credentials.huawei_iam import IamToken
from airflow_provider_migration.services.oms import OmsApi

async def main():
    gaps, done = [], False
    async def watch():
        while not done:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            gaps.append(time.thread_time() - before)
    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    api = OmsApi(endpoint={server.url!r}, signer=BasicSigner("a", "b"))
    settings = TransportConfig(verify={str(authority.file)!r})
    result = await aio.AsyncDriver(settings).run(api.get_migration_progress("p"))
    done = True
    await watcher
    assert result.success
    print(max(gaps))

asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    # CPU seconds of the loop's own thread between two of its turns.
    assert float(result.stdout.splitlines()[-1]) < 0.05, result.stdout


def test_flow_of_many_requests_runs_to_its_end(carry: Driver, serve: Callable[..., Server]) -> None:
    def page(number: int) -> Reply:
        rows = [{"src_tb": f"t{number}", "progress": 100}] if number < 3 else []
        return http(body=json.dumps({"flow_compare_data": rows}).encode())

    server = serve(*(page(number) for number in range(4)))
    api = DrsApi(endpoint=server.url, project_id="p", signer=HuaweiSigner("ak", "sk"))
    listing = ObjectListing(1)

    def flow() -> Any:
        rows = []
        while not listing.at_end:
            answer = yield from api.progress_data_page("job", "table", listing)
            names = [row.src_tb for row in answer.flow_compare_data]
            rows += listing.take(names, names, answer.count)
        return rows

    assert carry(flow()) == ["t0", "t1", "t2"]


def test_flow_may_continue_after_an_error(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(404), FINE)

    def flow() -> Any:
        try:
            yield from ask_oms(server.url)
        except MigrationNotFoundError:
            return (yield from ask_oms(server.url))

    assert carry(flow()).success is True


# --- the reason why no answer came ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(then="hold"), "timeout"),
        (endless(b" ", after=b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", pause=0.1), "timeout"),
        (http(headers={"content-length": "100"}, then="hold"), "timeout"),
        (Reply(then="close"), "cut_off"),
        (Reply(then="reset"), "cut_off"),
        (http(headers={"content-length": "100"}, then="close"), "cut_off"),
        (http(headers={"content-length": "100"}, then="reset"), "cut_off"),
        (http(503), None),
        (http(429), None),
        (http(401), None),
        (http(body=b"<html>"), None),
    ],
)
def test_reason_is_the_same_in_both_drivers(
    reply: Reply, reason: str | None, carry: Driver, serve: Callable[..., Server]
) -> None:
    with pytest.raises(MigrationApiError) as caught:
        carry(ask_oms(serve(reply).url), TransportConfig(read_timeout=0.8), in_haste())

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("url", "proxy", "reason"),
    [
        ("http://nowhere.invalid", None, "dns"),
        ("http://127.0.0.1:9", None, "refused"),
        ("http://oms.invalid", "http://127.0.0.1:9", "proxy"),
        ("https://oms.invalid", "http://127.0.0.1:9", "proxy"),
        ("http://oms.invalid", "http://nowhere.invalid:1", "proxy"),
    ],
)
def test_reason_names_an_unreachable_server(
    url: str, proxy: str | None, reason: str, carry: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    if proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(MigrationServiceError) as caught:
        carry(ask_oms(url), QUICK, in_haste())

    assert caught.value.reason == reason


def test_reason_names_proxy_and_tls(
    carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MigrationServiceError) as caught:
        carry(ask_oms(serve(FINE).url.replace("http:", "https:")), STEADY, in_haste())
    assert caught.value.reason == "tls"

    monkeypatch.setenv("HTTPS_PROXY", serve(NO_TUNNEL).url)
    with pytest.raises(MigrationServiceError) as caught:
        carry(ask_oms("https://oms.invalid:8089"), STEADY, in_haste())
    assert caught.value.reason == "proxy"


def test_tls_failure_is_tolerated_after_success(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    with pytest.raises(MigrationConfigurationError) as caught:
        carry(ask_oms(serve(FINE, tls=authority.context).url))

    assert caught.value.tolerated_after_success
    assert caught.value.reason == caught.value.to_json()["reason"] == "tls"


@pytest.mark.parametrize(
    ("host", "region", "code", "is_of_region"),
    [
        ("dts.cn-hangzuo.invalid", "cn-hangzuo", None, True),
        ("dts.cn-hangzuo.invalid", "cn-hangzuo", socket.EAI_AGAIN, False),
        ("dts.invalid", "cn-hangzuo", None, False),
        ("dts.cn-hangzuo.invalid", None, None, False),
    ],
)
def test_dns_failure_of_a_region_host_blames_the_region(
    host: str,
    region: str | None,
    code: int | None,
    is_of_region: bool,
    carry: Driver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if code is not None:

        def fail(*_: Any, **__: Any) -> None:
            raise socket.gaierror(code, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
    clock = World()

    with pytest.raises(MigrationError) as caught:
        carry(ask_oms(f"https://{host}"), replace(STEADY, region=region), clock)

    error: Any = caught.value
    assert error.reason == "dns"
    assert isinstance(error, MigrationConfigurationError) is is_of_region
    assert error.tolerated_after_success is is_of_region
    assert len(clock.slept) == (0 if is_of_region else 4)
    assert ("port" in str(error)) is not is_of_region
    assert ("region 'cn-hangzuo'" in str(error)) is is_of_region


# --- the clock --------------------------------------------------------------------------------------------


def date_header(seconds: float) -> dict[str, str]:
    """Return the Date of a service whose clock is some seconds ahead of the world's."""
    return {"date": (NOON + dt.timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")}


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        (date_header(0), None),
        (date_header(170), None),
        (date_header(-170), None),
        (date_header(900), "15 minutes behind the service's"),
        (date_header(-900), "15 minutes ahead of the service's"),
        (date_header(8 * 3600), "8 hours behind"),
        ({**date_header(900), "age": "900"}, None),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("then", ["keep", "close"])
def test_clock_skew_is_named_beside_a_refused_key(
    headers: dict[str, str], says: str | None, then: str, carry: Driver, serve: Callable[..., Server]
) -> None:
    body = b'{"Code": "SignatureDoesNotMatch", "Message": "no"}'
    length = {"content-length": "100"} if then == "close" else {}
    server = serve(http(401, body, {**headers, **length}, then=then))

    with pytest.raises(MigrationAuthenticationError) as caught:
        carry(ask_dts(server.url))

    # Where the body is cut off, nothing tells that it is the service that refuses.
    assert caught.value.tolerated_after_success is (bool(says) or then == "close")
    assert (says or "service's: set it") in str(caught.value) or not says
    assert ("clock of this machine is" in str(caught.value)) is bool(says)


def test_clock_check_has_hysteresis() -> None:
    check, clock, warnings = ClockCheck(), World(), []
    for ahead in (0, 170, 190, 200, 170, 130, 110, 170, -190, -400, -410):
        clock.clock = len(warnings) * 100.0
        date = date_header(clock.clock - ahead)
        check.note(Response(200, date), clock.surroundings)
        warnings.append(check.warning)

    assert [bool(warning) for warning in warnings] == [False] * 2 + [True] * 4 + [False] * 2 + [True] * 3
    assert len(set(warnings[2:6])) == 1
    assert warnings[9] == warnings[10] != warnings[8]


# --- limits of a poll -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["dribble", "silence", "headers"])
def test_deadline_leaves_read_timeout_to_a_trickling_answer(
    case: str, carry: Driver, serve: Callable[..., Server]
) -> None:
    """Half a second is left, where read_timeout alone would be 10 s and twice that in all."""
    reply = {
        "dribble": endless(b" ", after=b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", pause=0.05),
        "silence": Reply(then="hold"),
        "headers": endless(b"x: y\r\n", after=b"HTTP/1.1 200 OK\r\n", pause=0.05),
    }[case]
    server, clock, started = serve(reply), World(), time.monotonic()

    def ask_late() -> Any:
        clock.clock += 9.5
        return (yield from ask_oms(server.url))

    with limit_calls(deadline=0), pytest.raises(MigrationError, match=r"0\.5 s, all the time left") as caught:
        carry(ask_late(), STEADY, clock)

    assert getattr(caught.value, "reason", None) == "timeout"
    assert time.monotonic() - started < 8
    assert len(server.asked) <= 1
    assert not clock.slept


@pytest.mark.parametrize(
    ("reply", "limits", "slept", "asked"),
    [
        (http(429, headers={"retry-after": "7"}), {"queue_seconds": 5}, [], 1),
        (http(429, headers={"retry-after": "7"}), {"queue_seconds": 8}, [7.5], 2),
        (http(429, headers={"retry-after": "7"}), {"deadline": 7}, [], 1),
        (http(429, headers={"retry-after": "7"}), {"deadline": 8}, [7.5], 2),
        (http(503), {"queue_seconds": 0}, [0.75, 1.5, 3, 6], 5),
        (http(503), {"deadline": 2.5}, [0.75, 1.5], 3),
        (http(503), {"deadline": 0}, [], 1),
    ],
)
def test_retry_is_bounded_by_the_limits_of_the_poll(
    reply: Reply,
    limits: dict[str, float],
    slept: list[float],
    asked: int,
    carry: Driver,
    serve: Callable[..., Server],
) -> None:
    server, clock = serve(reply), World()

    with limit_calls(**limits), pytest.raises(MigrationError):
        carry(ask_oms(server.url), STEADY, clock)

    assert clock.slept == pytest.approx(slept)
    assert len(server.asked) == asked


def test_retry_is_skipped_when_the_quota_is_used_up(carry: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    error = MigrationThrottledError("a quota of a day")
    error.quota_exhausted = True
    asked = []

    def refuse(*_: Any) -> Any:
        asked.append(True)
        raise error

    monkeypatch.setattr(Attempt, "sign", refuse)
    with pytest.raises(MigrationThrottledError):
        carry(ask_oms("http://oms"))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("deadline", "asked"),
    [
        (10, 4),  # at 0, 4, 8 and 12 s
        (-100, 2),  # at 0 and 4 s: a conversation that begins too late counts from its begin
    ],
)
def test_deadline_stops_further_pages(
    deadline: float, asked: int, carry: Driver, serve: Callable[..., Server]
) -> None:
    clock = World()
    server = serve(FINE)

    def pages() -> Any:
        for _ in range(100):
            yield from ask_oms(server.url)
            clock.clock += 4

    with (
        limit_calls(deadline=deadline),
        pytest.raises(MigrationServiceError, match="no request was sent") as caught,
    ):
        carry(pages(), TransportConfig(read_timeout=5), clock)

    assert caught.value.is_cut_short
    assert len(server.asked) == asked


# --- CA files and hosts -----------------------------------------------------------------------------------


def test_tls_replaced_ca_file_is_read_again(
    carry: Driver, serve: Callable[..., Server], authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(certifi.where()).read_bytes())
    server, settings = serve(FINE, tls=authority.context), TransportConfig(verify=str(file))
    with pytest.raises(MigrationConfigurationError):
        carry(ask_oms(server.url), settings)

    file.write_bytes(authority.file.read_bytes())
    made = tls._tls_context.cache_info().misses
    for _ in range(3):
        assert carry(ask_oms(server.url), settings).success is True

    assert tls._tls_context.cache_info().misses == made + 1


async def test_session_of_a_replaced_ca_file_is_dropped(
    serve: Callable[..., Server], authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.file.read_bytes())
    server, settings = serve(FINE, tls=authority.context), TransportConfig(verify=str(file))
    async with aio.keep_sessions():
        for _ in range(3):
            await aio.AsyncDriver(settings).run(ask_oms(server.url))
        assert server.accepted == 1
        file.write_bytes(authority.file.read_bytes() + b"\n")
        for _ in range(3):
            await aio.AsyncDriver(settings).run(ask_oms(server.url))
        assert server.accepted == 2
        assert len(aio._sessions[asyncio.get_running_loop()].by_authorities) == 1
    assert not aio._sessions[asyncio.get_running_loop()].by_authorities


async def test_hanging_hosts_do_not_block_others(serve: Callable[..., Server]) -> None:
    hanging = [serve(Reply(then="hold")) for _ in range(6)]
    well = serve(FINE)
    async with aio.keep_sessions():
        calls = [
            asyncio.create_task(aio.AsyncDriver(TransportConfig(read_timeout=60)).run(ask_oms(server.url)))
            for server in hanging
            for _ in range(20)
        ]
        async with asyncio.timeout(20):  # sooner than those that hang are given up
            while sum(server.accepted for server in hanging) < 120:
                await asyncio.sleep(0.01)
            assert (await aio.AsyncDriver(STEADY).run(ask_oms(well.url))).success
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


def test_redact_query_strings_in_logs(
    carry: Driver, serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    redact_query_strings()
    redact_query_strings()
    server = serve(http(body=b'{"MigrationJobStatus": "Migrating"}'))

    with caplog.at_level(logging.DEBUG):
        carry(ask_dts(server.url))
        logging.getLogger("urllib3.connectionpool").debug('%s "GET %s"', "x", "/?OIDCToken=secret&a=b c")

    assert "MigrationJobId=dts1" not in caplog.text
    assert "secret" not in caplog.text
    assert len(logging.getLogger("urllib3.connectionpool").filters) == 1
