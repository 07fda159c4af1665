"""The transport against real sockets: one table of answers, both drivers."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import gzip
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
from urllib.parse import quote

import psutil
import pytest
import requests

from airflow_provider_migration import transport
from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner, TokenSigner
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
from airflow_provider_migration.quota import Quota
from airflow_provider_migration.services.drs import DrsApi, ObjectListing
from airflow_provider_migration.services.dts import DtsApi
from airflow_provider_migration.services.huawei import IamToken
from airflow_provider_migration.services.oms import OmsApi
from airflow_provider_migration.transport import Settings, Surroundings
from tests.authority import Authority
from tests.servers import NO_TUNNEL, Asked, Reply, Server, endless, http

SECRET = 'pa"ss/word+of=OMS&é'
NOON = dt.datetime(2026, 1, 2, 12, 0, tzinfo=dt.UTC)
QUICK = Settings(connect_timeout=2, read_timeout=0.3)
STEADY = Settings(connect_timeout=2, read_timeout=10)
FINE = http(body=b'{"success": true, "data": {"status": "RUNNING"}}')


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

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    @property
    def surroundings(self) -> Surroundings:
        nonces = (f"nonce-{number}" for number in itertools.count())
        return Surroundings(
            now=lambda: NOON + dt.timedelta(seconds=self.clock),
            monotonic=self.tell,
            rand=lambda: self.chance,
            nonce=lambda: next(nonces),
            sleep=self.sleep,
            asleep=self.asleep,
        )


def in_haste() -> World:
    """Make a world in which the time for a second attempt is always over."""
    return World(step=100)


Driver = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def carry(request: pytest.FixtureRequest) -> Driver:
    """Carry a conversation with one driver, then with the other."""

    def sync(conversation: Any, settings: Settings = STEADY, world: World | None = None) -> Any:
        with transport.new_session(settings) as session:
            return transport.run(conversation, session, settings, (world or World()).surroundings)

    def on_loop(conversation: Any, settings: Settings = STEADY, world: World | None = None) -> Any:
        try:
            return asyncio.run(transport.arun(conversation, settings, (world or World()).surroundings))
        finally:
            gc.collect()  # so that an unclosed session or socket is this test's failure

    return sync if request.param == "sync" else on_loop


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
    "nothing at all": (Reply(then="hold"), MigrationServiceError, "nothing came for 0.3 s (read_timeout)"),
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
        "nothing came for 0.3 s (read_timeout)",
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
def test_each_answer_becomes_an_error_that_says_what_was_asked_what_came_and_what_to_do(
    case: str, carry: Driver, serve: Callable[..., Server]
) -> None:
    reply, expected, says = WIRE_CASES[case]
    server = serve(reply)
    started = time.monotonic()

    with pytest.raises(expected) as caught:
        carry(ask_oms(server.url), QUICK, in_haste())

    assert time.monotonic() - started < 3
    message = str(caught.value)
    assert message.startswith(f"GetMigrationProgress at 127.0.0.1:{server.port}: ")
    assert says in message
    assert re.search(r"\. (Check|Give|Raise|If this stays)", message)
    assert SECRET not in every_text_of(caught.value)
    assert caught.value.__context__ is None or isinstance(caught.value.__context__, (zlib.error, ValueError))


SLOW_CASES = {"nothing at all"} | {case for case in WIRE_CASES if "dribble" in case or "silence" in case}


@pytest.mark.parametrize("case", [case for case in WIRE_CASES if case not in SLOW_CASES])
def test_what_may_pass_is_asked_five_times_and_what_will_not_only_once(
    case: str, carry: Driver, serve: Callable[..., Server]
) -> None:
    reply, expected, _ = WIRE_CASES[case]
    server, world = serve(reply), World()

    with pytest.raises(expected) as caught:
        carry(ask_oms(server.url), QUICK, world)

    final = (
        MigrationAuthenticationError,
        MigrationPermissionError,
        MigrationNotFoundError,
        MigrationRequestError,
    )
    assert len(server.asked) == (1 if isinstance(caught.value, final) else 5)
    assert len(world.slept) == len(server.asked) - 1


def test_a_call_that_fails_three_times_and_then_succeeds_is_a_success(
    carry: Driver, serve: Callable[..., Server]
) -> None:
    server = serve(http(503), Reply(then="close"), http(200, b"nonsense"), FINE)

    assert carry(ask_oms(server.url)).data.status == "RUNNING"
    assert len(server.asked) == 4


@pytest.mark.parametrize("compressed", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_compressed_answer_is_read_though_it_was_not_asked_for(
    compressed: Callable[[bytes], bytes], carry: Driver, serve: Callable[..., Server]
) -> None:
    encoding = "gzip" if compressed is gzip.compress else "deflate"
    server = serve(http(body=compressed(b'{"success": true}'), headers={"content-encoding": encoding}))

    assert carry(ask_oms(server.url)).success is True
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_chunked_answer_is_read(carry: Driver, serve: Callable[..., Server]) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    server = serve(Reply((head, b"5\r\n", b'{"suc', b"\r\n", b'c\r\ncess": true}\r\n0\r\n\r\n'), 0.01))

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
def test_an_answer_of_more_than_16_mib_is_cut_off(
    reply: Reply, carry: Driver, serve: Callable[..., Server]
) -> None:
    with pytest.raises(MigrationResponseError, match="larger than 16 MiB"):
        carry(ask_oms(serve(reply).url), STEADY, in_haste())


def test_a_gzip_bomb_is_not_unpacked(carry: Driver, serve: Callable[..., Server]) -> None:
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


def test_an_answer_of_16_mib_is_read(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(body=b'{"success": true}'.ljust(16 << 20)))

    assert carry(ask_oms(server.url)).success is True


def test_an_answer_that_is_slow_but_whole_in_time_is_read(
    carry: Driver, serve: Callable[..., Server]
) -> None:
    whole = b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"success":true}'
    pieces = (whole[:10], whole[10:30], whole[30:])

    assert carry(ask_oms(serve(Reply(pieces, 0.2)).url), QUICK).success is True


def test_an_answer_with_headers_that_contradict_each_other_is_asked_for_again(
    carry: Driver, serve: Callable[..., Server]
) -> None:
    garbled = Reply((b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}}",))
    server = serve(garbled, FINE)

    assert carry(ask_oms(server.url)).success is True
    assert len(server.asked) == 2


def test_a_token_of_many_kilobytes_fits_into_a_header(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(body=b'{"success": true}', headers={"x-subject-token": "t" * 30_000}))

    assert carry(ask_oms(server.url)).success is True


def test_a_port_where_nobody_listens_is_named_with_the_reason(carry: Driver) -> None:
    with Server([]) as server:
        url = server.url

    with pytest.raises(MigrationServiceError, match=r"no answer \(ConnectionRefusedError.*\)\. .*check host"):
        carry(ask_oms(url), QUICK, in_haste())


def test_a_host_that_does_not_exist_is_named_with_the_reason(carry: Driver) -> None:
    with pytest.raises(MigrationServiceError, match=r"at nowhere\.invalid: no answer \(gaierror"):
        carry(ask_oms("http://nowhere.invalid"), QUICK, in_haste())


def test_a_connection_that_does_not_come_to_stand_is_given_up(carry: Driver) -> None:
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
                Settings(connect_timeout=0.2, read_timeout=5),
                in_haste(),
            )
        for item in waiting:
            item.close()


# --- attempts ------------------------------------------------------------------------------------------


def test_each_attempt_is_signed_anew(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(503), http(503), http(body=b'{"MigrationJobStatus": "Migrating"}'))

    carry(ask_dts(server.url), STEADY, World(chance=1.0))

    for header in ("x-acs-signature-nonce", "x-acs-date", "authorization"):
        assert len({asked.headers[header] for asked in server.asked}) == 3, header


def test_an_attempt_of_huawei_is_signed_with_its_own_time(
    carry: Driver, serve: Callable[..., Server]
) -> None:
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
def test_the_hint_of_a_server_is_honoured_up_to_a_minute_and_nonsense_is_not(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert transport.retry_hint(headers, NOON) == seconds


def test_after_a_hint_it_is_asked_a_little_later_than_told(
    carry: Driver, serve: Callable[..., Server]
) -> None:
    server, world = serve(http(429, headers={"retry-after": "7"}), FINE), World(chance=0.25)

    carry(ask_oms(server.url), STEADY, world)

    assert world.slept == [7.25]


def test_a_hint_of_a_minute_is_honoured_once(carry: Driver, serve: Callable[..., Server]) -> None:
    server, world = serve(http(429, headers={"retry-after": "3600"})), World(chance=0.99)

    with pytest.raises(MigrationThrottledError) as caught:
        carry(ask_oms(server.url), STEADY, world)

    assert world.slept == [60.99]
    assert len(server.asked) == 2
    assert caught.value.retry_after == 60


def test_no_call_goes_on_for_much_longer_than_a_minute(carry: Driver, serve: Callable[..., Server]) -> None:
    world = World()
    server = serve(http(429, headers={"retry-after": "40"}))

    with pytest.raises(MigrationThrottledError):
        carry(ask_oms(server.url), STEADY, world)

    assert world.slept == [40.5]


@pytest.mark.parametrize(("chance", "slept"), [(0.0, [0.5, 1, 2, 4]), (0.999999, [1, 2, 4, 8])])
def test_without_a_hint_the_wait_doubles_with_half_of_it_left_to_chance(
    chance: float, slept: list[float], carry: Driver, serve: Callable[..., Server]
) -> None:
    world = World(chance=chance)

    with pytest.raises(MigrationServiceError):
        carry(ask_oms(serve(http(500)).url), STEADY, world)

    assert world.slept == pytest.approx(slept, rel=1e-3)


def test_a_call_that_is_throttled_says_so_in_one_line_and_nothing_else_is_worth_one(
    carry: Driver, serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    throttled = http(429, headers={"retry-after": "7"})
    server = serve(http(503), http(503), throttled, throttled, FINE)

    with caplog.at_level(logging.INFO, "airflow_provider_migration"):
        carry(ask_oms(server.url))

    assert [record.getMessage().partition(" GetMigrationProgress at ")[0] for record in caplog.records] == [
        "Throttled; trying again in 7.5 s."
    ]


def test_calls_on_the_event_loop_keep_the_pace_of_their_connection(serve: Callable[..., Server]) -> None:
    server, world = serve(FINE), World()
    quota = Quota(5, world.tell, world.asleep)

    async def call() -> None:
        await transport.arun(ask_oms(server.url), STEADY, world.surroundings, quota)

    async def calls() -> None:
        await asyncio.gather(*(call() for _ in range(3)))

    asyncio.run(calls())
    assert world.slept == pytest.approx([0.2, 0.2])


def test_when_one_call_is_throttled_the_next_of_the_connection_waits(serve: Callable[..., Server]) -> None:
    server, world = serve(http(429, headers={"retry-after": "7"}), FINE), World()
    quota, slept = Quota(None, world.tell, world.asleep), []

    async def sleep(seconds: float) -> None:
        """Begin another call in the middle of the wait."""
        if not slept:
            slept.append(seconds)
            await transport.arun(ask_oms(server.url), STEADY, world.surroundings, quota)

    async def calls() -> None:
        await transport.arun(ask_oms(server.url), STEADY, replace(world.surroundings, asleep=sleep), quota)

    asyncio.run(calls())
    assert slept == [7.5]
    assert world.slept[0] == 7
    assert len(server.asked) == 3


# --- secrets -------------------------------------------------------------------------------------------


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
def test_no_secret_that_a_service_echoes_is_shown(
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
        said = "; ".join([*secrets, *(quote(secret, safe="") for secret in secrets), *sent.values()])
        body = {"message": said, "error_msg": "; ".join(secrets), "code": "x", "error_code": "y"}
        text = json.dumps({"success": False, "Success": False, **body})
        if status == 404:  # a writer that escapes all it can
            text = text.replace("/", "\\/").replace("=", "\\u003d").replace("&", "\\u0026")
        return http(status, text.encode(), {"x-request-id": said.encode("ascii", "replace").decode()})

    with caplog.at_level(logging.DEBUG), pytest.raises(MigrationError) as caught:
        carry(ask(serve(echo).url))

    shown = every_text_of(caught.value) + json.dumps(caught.value.to_json()) + caplog.text
    for secret in secrets:
        for spelling in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
            assert spelling not in shown
    assert not re.search(r"Basic \w|Signature=\w", shown)


def test_no_secret_hangs_on_an_error_of_the_network(carry: Driver, serve: Callable[..., Server]) -> None:
    with pytest.raises(MigrationServiceError) as caught:
        carry(ask_dts(serve(Reply(then="close")).url), STEADY, in_haste())

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_answers_that_a_read_function_sees_hold_no_secret(
    carry: Driver, serve: Callable[..., Server]
) -> None:
    body = json.dumps({"success": True, "message": f"hello {SECRET}"}, ensure_ascii=False).encode()

    assert carry(ask_oms(serve(http(body=body)).url)).message == "hello ***"


def test_a_secret_is_found_however_json_spells_it(carry: Driver, serve: Callable[..., Server]) -> None:
    spelt = "".join(f"\\u{ord(sign):04x}" for sign in SECRET)
    server = serve(
        http(body=f'{{"success": true, "message": "{spelt}"}}'.encode()),
        http(body=f'{{"success": false, "code": "PARAM_ERROR {spelt}", "requestId": "{spelt}"}}'.encode()),
    )

    assert carry(ask_oms(server.url)).message == "***"
    with pytest.raises(MigrationError) as caught:
        carry(ask_oms(server.url))
    assert SECRET not in json.dumps(caught.value.to_json(), ensure_ascii=False)


def test_a_token_that_is_renewed_before_the_answer_comes_is_not_shown_either(
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


def test_a_redirect_is_not_followed(carry: Driver, serve: Callable[..., Server]) -> None:
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
    oms, drs = serve(FINE), serve(http(body=b'{"results": [{"job_id": "job-1"}]}'))

    carry(ask_oms(oms.url))
    carry(ask_drs(drs.url))

    assert oms.asked[0].headers["authorization"] == f"Basic {BasicSigner('someone', SECRET)._credentials}"
    assert drs.asked[0].headers["authorization"].startswith("SDK-HMAC-SHA256 ")


def test_a_cookie_is_not_kept(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(503, headers={"set-cookie": "session=1; path=/"}), FINE)

    carry(ask_oms(server.url.replace("127.0.0.1", "localhost")))  # of an address nobody keeps cookies

    assert [asked.headers.get("cookie") for asked in server.asked] == [None, None]


def test_nothing_is_sent_that_was_not_meant(carry: Driver, serve: Callable[..., Server]) -> None:
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
def test_a_proxy_of_the_environment_is_used(
    variable: str, scheme: str, carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(FINE)
    monkeypatch.setenv(variable, proxy.url.replace("http://", scheme))

    carry(ask_oms("http://oms.invalid:8089"))

    assert proxy.asked[0].target == "http://oms.invalid:8089/api/omsp/v2/migrations/p_1/progress"
    assert proxy.asked[0].headers["host"] == "oms.invalid:8089"


def test_a_proxy_is_told_its_password(
    carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(FINE)
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://user:proxy-password@"))

    carry(ask_oms("http://oms.invalid"))

    assert proxy.asked[0].headers["proxy-authorization"] == "Basic dXNlcjpwcm94eS1wYXNzd29yZA=="
    assert "someone" not in proxy.asked[0].target


def test_the_password_of_a_proxy_is_not_shown(carry: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:proxy-password@127.0.0.1:9")

    with pytest.raises(MigrationServiceError) as caught:
        carry(ask_oms("http://oms.invalid"), QUICK, in_haste())

    assert "proxy-password" not in every_text_of(caught.value)


@pytest.mark.parametrize("exception", ["127.0.0.1", "127.0.0.0/8", "*", "a.example, 127.0.0.1"])
def test_no_proxy_is_used_where_the_environment_says_so(
    exception: str, carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = serve(FINE), serve(http(500))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", exception)

    carry(ask_oms(server.url))

    assert not proxy.asked


def test_the_environment_is_searched_for_a_proxy_once_for_each_server(
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
def test_a_proxy_that_cannot_be_used_is_an_error_of_configuration(
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


def test_an_unknown_authority_is_refused_at_once_with_the_remedy(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    server, world = serve(FINE, tls=authority.context), World()

    with pytest.raises(MigrationConfigurationError, match=r"cannot be verified: .*certificate.*as verify"):
        carry(ask_oms(server.url), STEADY, world)

    assert not server.asked
    assert not world.slept


def test_a_certificate_of_another_host_is_refused(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    server = serve(FINE, tls=authority.other_host)

    with pytest.raises(MigrationConfigurationError, match=r"cannot be verified: .*127\.0\.0\.1"):
        carry(ask_oms(server.url), Settings(verify=str(authority.file)))


def test_a_file_of_authorities_is_trusted(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    server = serve(FINE, tls=authority.context)

    assert carry(ask_oms(server.url), Settings(verify=str(authority.file))).success is True


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_authorities_of_the_environment_are_trusted(
    variable: str,
    carry: Driver,
    serve: Callable[..., Server],
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, str(authority.file))

    assert carry(ask_oms(serve(FINE, tls=authority.context).url)).success is True


def test_a_folder_of_authorities_is_accepted_as_requests_does(
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
def test_authorities_that_cannot_be_read_are_an_error_of_configuration(
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


def test_verify_false_trusts_anyone_even_with_a_bundle_in_the_environment(
    carry: Driver, serve: Callable[..., Server], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    server = serve(FINE, tls=authority.other_host)

    assert carry(ask_oms(server.url), Settings(verify=False)).success is True


def test_plain_http_where_tls_is_expected_is_named(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    with pytest.raises(MigrationServiceError, match=r"no answer \(.*SSL"):
        carry(ask_oms(server.url.replace("http:", "https:")), STEADY, in_haste())


def test_tls_is_spoken_through_a_proxy(
    carry: Driver, serve: Callable[..., Server], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = serve(FINE, tls=authority.context), serve(FINE)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    assert carry(ask_oms(server.url), Settings(verify=str(authority.file))).success is True
    assert proxy.asked[0].method == "CONNECT"
    assert "authorization" not in proxy.asked[0].headers


def test_a_proxy_that_leads_nowhere_is_named_with_its_status(
    carry: Driver, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", serve(NO_TUNNEL).url)

    with pytest.raises(
        MigrationServiceError, match="the proxy that the environment names refuses with HTTP 407"
    ):
        carry(ask_oms("https://oms.invalid:8089"), STEADY, in_haste())


def test_a_tls_answer_that_dribbles_is_cut_off(
    carry: Driver, serve: Callable[..., Server], authority: Authority
) -> None:
    reply = endless(b" ", after=b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", pause=0.1)
    settings = Settings(verify=str(authority.file), read_timeout=0.3)

    with pytest.raises(MigrationResponseError, match=r"took longer than 0\.6 s"):
        carry(ask_oms(serve(reply, tls=authority.context).url), settings, in_haste())


# --- sessions ------------------------------------------------------------------------------------------


def test_a_session_keeps_its_connection(serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    with transport.new_session(STEADY) as session:
        for _ in range(3):
            transport.run(ask_oms(server.url), session, STEADY)

    assert (len(server.asked), server.accepted) == (3, 1)


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "dropped"])
def test_a_session_leaves_no_connection_behind(serve: Callable[..., Server], is_closed: bool) -> None:
    server = serve(FINE)

    def open_connections() -> int:
        connections = psutil.Process().net_connections()
        return sum(bool(item.raddr) and item.raddr.port == server.port for item in connections)

    gc.collect()
    gc.disable()  # which would close them at some time
    try:
        session = transport.new_session(STEADY)
        transport.run(ask_oms(server.url), session, STEADY)
        assert open_connections() == 1
        if is_closed:
            session.close()
        else:
            del session
        assert open_connections() == 0
    finally:
        gc.enable()


def test_a_connection_that_the_server_has_closed_meanwhile_is_opened_again(
    serve: Callable[..., Server],
) -> None:
    server = serve(http(body=b'{"success": true}', then="close"))

    with transport.new_session(STEADY) as session:
        for _ in range(2):
            assert transport.run(ask_oms(server.url), session, STEADY, World().surroundings).success

    assert server.accepted >= 2


async def test_one_session_serves_all_who_ask_at_once_and_is_closed_after_the_last(
    serve: Callable[..., Server], authority: Authority
) -> None:
    settings = Settings(verify=str(authority.file))
    lent = set()

    async def poll() -> None:
        async with transport.shared_session(settings) as session:
            lent.add(session)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(poll() for _ in range(10)))

    (session,) = lent
    assert session.closed
    assert not transport._sessions[asyncio.get_running_loop()]


async def test_a_kept_session_keeps_the_connection_between_calls(serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    async with transport.shared_session(STEADY):
        for _ in range(3):
            await transport.arun(ask_oms(server.url), STEADY)

    assert (len(server.asked), server.accepted) == (3, 1)


async def test_other_authorities_have_another_session(authority: Authority) -> None:
    async with (
        transport.shared_session(Settings()) as one,
        transport.shared_session(Settings(verify=str(authority.file))) as other,
        transport.shared_session(Settings(read_timeout=1)) as same,
    ):
        assert one is not other
        assert one is same


async def test_a_session_is_given_back_when_its_user_is_cancelled(serve: Callable[..., Server]) -> None:
    server = serve(Reply(then="hold"))
    task = asyncio.create_task(transport.arun(ask_oms(server.url), STEADY))
    while not server.asked:
        await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not transport._sessions[asyncio.get_running_loop()]


def test_a_session_for_each_event_loop(serve: Callable[..., Server]) -> None:
    server = serve(FINE)

    for _ in range(2):
        asyncio.run(transport.arun(ask_oms(server.url), STEADY))

    assert server.accepted == 2


def test_the_first_call_does_not_block_the_event_loop(
    serve: Callable[..., Server], authority: Authority
) -> None:
    # In a process of its own, because here everything is loaded already.
    server = serve(FINE, tls=authority.context)
    script = f"""
import asyncio, time
from airflow_provider_migration import transport
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.services.huawei import IamToken
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
    settings = transport.Settings(verify={str(authority.file)!r})
    result = await transport.arun(api.get_migration_progress("p"), settings)
    done = True
    await watcher
    assert result.success
    print(max(gaps))

asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    # CPU seconds of the loop's own thread between two of its turns.
    assert float(result.stdout.splitlines()[-1]) < 0.05, result.stdout


def test_a_conversation_of_many_requests_is_carried_to_its_end(
    carry: Driver, serve: Callable[..., Server]
) -> None:
    def page(number: int) -> Reply:
        rows = [{"src_tb": f"t{number}", "progress": 100}] if number < 3 else []
        return http(body=json.dumps({"flow_compare_data": rows}).encode())

    server = serve(*(page(number) for number in range(4)))
    api = DrsApi(endpoint=server.url, project_id="p", signer=HuaweiSigner("ak", "sk"))
    listing = ObjectListing(1)

    def conversation() -> Any:
        rows = []
        while not listing.at_end:
            answer = yield from api.progress_data_page("job", "table", listing)
            names = [row.src_tb for row in answer.flow_compare_data]
            rows += listing.take(names, names, answer.count)
        return rows

    assert carry(conversation()) == ["t0", "t1", "t2"]


def test_a_conversation_may_go_on_after_an_error(carry: Driver, serve: Callable[..., Server]) -> None:
    server = serve(http(404), FINE)

    def conversation() -> Any:
        try:
            yield from ask_oms(server.url)
        except MigrationNotFoundError:
            return (yield from ask_oms(server.url))

    assert carry(conversation()).success is True
