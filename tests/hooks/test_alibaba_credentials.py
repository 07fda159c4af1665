"""Temporary credentials of Alibaba Cloud, whose issuers run on real sockets of this machine."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from airflow_provider_migration.credentials import alibaba
from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationServiceError,
)
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.transport.limiter import limit_calls
from tests.servers import Asked, Reply, Server, http

Connect = Callable[..., str]

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    # The library keeps its sessions open until the process ends.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ACCEPTED = {
    "AccessKeyId": "SIMULATORACCESSKEY",
    "AccessKeySecret": "simulator-secret-key",
    "SecurityToken": "simulator-security-token",
}
OWN_KEY = {"login": "OWNKEY", "password": "own-secret"}
ROLE = "acs:ram::123:role/reader"
OIDC_PROVIDER = "acs:ram::123:oidc-provider/cluster"


def key(*, minutes: float = 60, **changes: str) -> dict[str, str]:
    """Make a temporary key that the simulator accepts; one of less than 15 minutes is not kept."""
    ends = datetime.now(UTC) + timedelta(minutes=minutes)
    return {**ACCEPTED, "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), **changes}


def answer(status: int, **content: Any) -> Reply:
    return http(status, json.dumps(content).encode())


def sts(asked: Asked) -> Reply:
    """Answer as STS does: it verifies the signature (HMAC-SHA1), the role and who wants it."""
    query = dict(parse_qsl(urlsplit(asked.target).query))
    if query.get("RoleArn") != ROLE or query.get("RoleSessionName") != "airflow":
        return answer(404, RequestId="r", Code="EntityNotExist.Role", Message="The role does not exist.")
    if query["Action"] == "AssumeRole":
        signature = query.pop("Signature")
        text = "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))
        expected = hmac.digest(b"own-secret&", f"GET&%2F&{quote(text, safe='~')}".encode(), "sha1")
        if query["AccessKeyId"] != "OWNKEY" or b64encode(expected).decode() != signature:
            return answer(400, RequestId="r", Code="SignatureDoesNotMatch", Message=f"signed: {text}")
    elif (query["OIDCProviderArn"], query["OIDCToken"]) != (OIDC_PROVIDER, "oidc-token"):
        return answer(400, RequestId="r", Code="AuthenticationFail.OIDCToken.Invalid", Message="no")
    return answer(200, RequestId="r", Credentials=key())


def metadata(asked: Asked) -> Reply:
    """Answer as the metadata service of an ECS instance, asked by way of a proxy."""
    parts = urlsplit(asked.target)
    assert parts.hostname == "100.100.100.200"
    if (asked.method, parts.path) == ("PUT", "/latest/api/token"):
        return http(200, b"metadata-token")
    assert asked.headers["x-aliyun-ecs-metadata-token"] == "metadata-token"
    if parts.path == "/latest/meta-data/ram/security-credentials/":
        return http(200, b"instance-role")
    assert parts.path == "/latest/meta-data/ram/security-credentials/instance-role"
    return answer(200, Code="Success", **key())


def giver(**changes: Any) -> Callable[[Asked], Reply]:
    """Answer a credentials URI."""
    return lambda asked: answer(200, **{"Code": "Success", **key(), **changes})


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(speed=0.001) as running:
        yield running


@pytest.fixture
def dts(simulator: Simulator, connect: Connect) -> Callable[..., str]:
    """Write a connection to the simulated DTS with some kind of credentials, and return its id."""

    def write(
        kind: str, *, conn_id: str = "some_conn", key: dict[str, str] | None = None, **extra: Any
    ) -> str:
        extra = {"region": "cn-hangzhou", "credential_type": kind, **extra}
        return connect(conn_id, host=simulator.url, **(key or {}), extra=extra)

    return write


@pytest.fixture
def from_uri(dts: Callable[..., str]) -> Iterator[Callable[..., tuple[str, Server]]]:
    """Write a connection whose credentials a server gives in turn, and return its id and the server."""
    servers: list[Server] = []

    def write(*replies: Any) -> tuple[str, Server]:
        servers.append(Server(list(replies)).__enter__())
        return dts("credentials_uri", credentials_uri=f"{servers[-1].url}/key"), servers[-1]

    yield write
    for server in servers:
        server.__exit__()


def asks(get_progress: Callable[..., Any], conn_id: str) -> Any:
    hook = DtsHook(conn_id)
    try:
        return get_progress(hook, migration_job_id="dtsdemo0001")
    finally:
        hook.close()


# --- each kind -----------------------------------------------------------------------------------------


def test_ram_role_is_assumed_with_the_accesskey(dts: Any, get_progress: Any) -> None:
    with Server([sts]) as server:
        conn_id = dts("ram_role_arn", key=OWN_KEY, role_arn=ROLE, sts_endpoint=server.url)

        assert asks(get_progress, conn_id).state != "unknown"
        assert asks(get_progress, conn_id).state != "unknown"

        assert len(server.asked) == 1


def test_ram_role_is_assumed_with_an_oidc_token(dts: Any, get_progress: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("oidc-token")
    with Server([sts]) as server:
        conn_id = dts(
            "oidc_role_arn",
            role_arn=ROLE,
            oidc_provider_arn=OIDC_PROVIDER,
            oidc_token_file_path=str(token),
            sts_endpoint=server.url,
        )

        assert asks(get_progress, conn_id).state != "unknown"


@pytest.mark.parametrize("role", [{}, {"role_name": "instance-role"}], ids=["any role", "one role"])
def test_instance_role_comes_from_the_metadata_service(
    dts: Any, get_progress: Any, role: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server([metadata]) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        alibaba._new_client.cache_clear()

        assert asks(get_progress, dts("ecs_ram_role", **role)).state != "unknown"


def test_credentials_uri_is_requested(from_uri: Any, get_progress: Any) -> None:
    conn_id, server = from_uri(giver())

    assert asks(get_progress, conn_id).state != "unknown"
    assert server.asked[0].target == "/key"


def test_default_chain_is_used_on_request(
    dts: Any, get_progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alibabacloud_credentials.utils import auth_util  # which reads the environment when it is imported

    monkeypatch.setattr(auth_util, "environment_access_key_id", ACCEPTED["AccessKeyId"])
    monkeypatch.setattr(auth_util, "environment_access_key_secret", ACCEPTED["AccessKeySecret"])
    monkeypatch.setattr(auth_util, "environment_security_token", None)
    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "true")
    alibaba._new_client.cache_clear()

    assert asks(get_progress, dts("default")).state != "unknown"


def test_connection_test_names_the_kind(from_uri: Any) -> None:
    works, message = DtsHook(from_uri(giver())[0]).test_connection()

    assert works
    assert "accepted credentials of type credentials_uri" in message


def test_dataworks_accepts_the_same_kinds(from_uri: Any) -> None:
    hook = DataWorksHook(from_uri(giver())[0])

    assert hook.get_progress(123456, 1234).state != "unknown"
    hook.close()


# --- cache and refresh ---------------------------------------------------------------------------------


def test_refresh_is_used_by_the_next_poll(from_uri: Any, get_progress: Any) -> None:
    soon_over = giver(**key(minutes=10))
    conn_id, server = from_uri(soon_over, soon_over, giver(AccessKeyId="ANOTHER"))
    hook = DtsHook(conn_id)
    hook.get_progress("dtsdemo0001")
    hook.get_progress("dtsdemo0001")

    with pytest.raises(MigrationAuthenticationError, match="InvalidAccessKeyId"):
        get_progress(hook, migration_job_id="dtsdemo0001")
    hook.close()
    assert len(server.asked) == 3


def test_client_is_cached_per_connection(dts: Any, from_uri: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server([metadata]) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        alibaba._new_client.cache_clear()
        first = DtsHook(dts("ecs_ram_role"))
        first.get_progress("dtsdemo0001")
        first.close()
        threads, asked = threading.active_count(), len(server.asked)
        for _ in range(5):
            hook = DtsHook("some_conn")
            hook.get_progress("dtsdemo0001")
            hook.close()
            assert hook._api.signer.client is first._api.signer.client  # type: ignore[attr-defined] # of this kind

        assert threading.active_count() == threads
        assert len(server.asked) == asked


async def test_refresh_is_shared_by_concurrent_polls_and_does_not_block_the_loop(from_uri: Any) -> None:
    is_asked, loop_has_turned = threading.Event(), threading.Event()
    turned = []

    def slow(asked: Asked) -> Reply:
        is_asked.set()
        turned.append(loop_has_turned.wait(10))
        return giver(**key(minutes=10))(asked)

    conn_id, server = from_uri(slow)
    hook = DtsHook(conn_id)

    async def turn() -> None:
        while not is_asked.is_set():
            await asyncio.sleep(0.005)
        loop_has_turned.set()

    await hook._alook_up(hook.clock.monotonic())
    await asyncio.gather(*(hook.aget_progress("dtsdemo0001") for _ in range(20)), turn())

    assert len(server.asked) == 1
    assert turned == [True]


async def test_refresh_survives_a_change_of_the_connection(from_uri: Any) -> None:
    being_had, has_changed = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Reply:
        being_had.set()
        has_changed.wait(10)
        return giver()(asked)

    hook = DtsHook(from_uri(slow)[0])
    polling = asyncio.create_task(hook.aget_progress("dtsdemo0001"))
    await asyncio.to_thread(being_had.wait)
    from_uri(giver())
    await hook._alook_up(hook.clock.monotonic())
    has_changed.set()

    assert (await polling).state != "unknown"


async def test_refresh_after_the_deadline_signs_a_batch(from_uri: Any, simulator: Simulator) -> None:
    conn_id, server = from_uri(giver(**key(minutes=10)))
    hook, before = DtsHook(conn_id, api="DescribeDtsJobs"), len(simulator.requests)

    with limit_calls(deadline=hook.clock.monotonic() - 1000):
        first, missing = await asyncio.gather(
            hook.aget_progress("dtsdemo0001"), hook.aget_progress("dtsnobody"), return_exceptions=True
        )

    assert first.state != "unknown"  # type: ignore[union-attr] # no error was returned
    assert isinstance(missing, MigrationNotFoundError)
    assert len(server.asked) == 1
    assert {request.status for request in simulator.requests[before:]} == {200}


async def test_refresh_that_hangs_ends_read_timeout_after_the_deadline_and_nothing_is_sent(
    dts: Any, simulator: Simulator
) -> None:
    released, before = threading.Event(), len(simulator.requests)

    def hang(asked: Asked) -> Reply:
        released.wait(20)
        return giver()(asked)

    with Server([hang]) as server:
        hook = DtsHook(
            dts("credentials_uri", credentials_uri=f"{server.url}/key", read_timeout=0.05),
            api="DescribeDtsJobs",
        )
        try:
            with (
                limit_calls(deadline=hook.clock.monotonic() - 1000),
                pytest.raises(MigrationServiceError, match="nor within read_timeout after it"),
            ):
                await hook.aget_progress("dtsdemo0001")
            assert server.asked
        finally:
            released.set()

    assert len(simulator.requests) == before


# --- what is refused -----------------------------------------------------------------------------------

NEEDS = [
    ("ram_role_arn", {}, "login (AccessKey ID) is empty"),
    ("ram_role_arn", {**OWN_KEY}, "role_arn in extra is empty"),
    ("oidc_role_arn", {}, "oidc_token_file_path in extra is empty"),
    (
        "oidc_role_arn",
        {"oidc_token_file_path": "/nowhere/token"},
        "oidc_token_file_path: file '/nowhere/token' not found",
    ),
    ("oidc_role_arn", {"oidc_token_file_path": __file__}, "role_arn in extra is empty"),
    (
        "oidc_role_arn",
        {"oidc_token_file_path": __file__, "role_arn": ROLE},
        "oidc_provider_arn in extra is empty",
    ),
    ("credentials_uri", {}, "credentials_uri in extra is empty"),
    ("credentials_uri", {"credentials_uri": "host/key"}, "credentials_uri in extra must be a URL"),
    (
        "credentials_uri",
        {"credentials_uri": "http://host:port/key"},
        "credentials_uri in extra must be a URL",
    ),
    ("credentials_uri", {"credentials_uri": "http:///key"}, "credentials_uri in extra must be a URL"),
    ("credentials_uri", {"credentials_uri": "http://[::1/key"}, "credentials_uri in extra must be a URL"),
    ("credentials_uri", {"credentials_uri": "http://[::1]:8080/key"}, "must contain a host name"),
    ("access_key", {}, "login (AccessKey ID) is empty"),
    ("", {}, "login (AccessKey ID) is empty"),
    ("rsa_key_pair", {}, "credential_type must be access_key, "),
]


@pytest.mark.parametrize(("kind", "fields", "says"), NEEDS)
def test_required_field_never_comes_from_the_worker(
    kind: str, fields: dict[str, str], says: str, dts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alibabacloud_credentials.utils import auth_util

    for name in (name for name in vars(auth_util) if name.startswith("environment_")):
        monkeypatch.setattr(auth_util, name, "of-the-worker")
    own = {name: fields[name] for name in ("login", "password") if name in fields}
    extra = {name: value for name, value in fields.items() if name not in own}

    with pytest.raises(MigrationConfigurationError) as caught:
        DtsHook(dts(kind, key=own, **extra)).get_progress("dtsdemo0001")

    assert says in str(caught.value)


def test_missing_package_error_says_how_to_install_it(dts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alibaba._new_client.cache_clear()
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials.client", None)

    with pytest.raises(MigrationConfigurationError, match=r"pip install alibabacloud-credentials\."):
        DtsHook(dts("default")).get_progress("dtsdemo0001")


def test_disabled_metadata_service_is_named(dts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from alibabacloud_credentials.utils import auth_util

    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "true")
    alibaba._new_client.cache_clear()

    with pytest.raises(MigrationConfigurationError, match="'ecs_ram_role', but IMDS credentials is disabled"):
        DtsHook(dts("ecs_ram_role")).get_progress("dtsdemo0001")


def test_refresh_without_its_token_file_names_the_file(dts: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("oidc-token")
    hook = DtsHook(
        dts(
            "oidc_role_arn",
            role_arn=ROLE,
            oidc_provider_arn=OIDC_PROVIDER,
            oidc_token_file_path=str(token),
            sts_endpoint="http://127.0.0.1:9",
        )
    )
    hook._look_up()
    token.unlink()

    with pytest.raises(MigrationConfigurationError, match=f"{token} cannot be read"):
        hook.get_progress("dtsdemo0001")
    hook.close()


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (
            answer(403, Code="NoPermission", Message="not yours"),
            MigrationAuthenticationError,
            "HTTP 403, NoPermission",
        ),
        (
            answer(400, Code="Throttling.User", Message="slow down"),
            MigrationServiceError,
            "HTTP 400, Throttling.User",
        ),
        (answer(500, Code="InternalError"), MigrationServiceError, "HTTP 500, InternalError"),
        (http(404, b"<html>"), MigrationAuthenticationError, "HTTP 404"),
        (http(200, b"<html>"), MigrationServiceError, "JSONDecodeError"),
        (
            answer(200, **{"Code": "Success", **key(), "SecurityToken": None, "Expiration": None}),
            MigrationServiceError,
            "TypeError",
        ),
        (answer(200, **{"Code": "Failed", **key()}), MigrationServiceError, "Failed"),
        (answer(200, **{"Code": "Success", **key(), "AccessKeyId": ""}), MigrationServiceError, "ValueError"),
        (Reply(then="close"), MigrationServiceError, "RetryError"),
    ],
)
def test_redact_errors_of_credentials_that_cannot_be_obtained(
    reply: Reply,
    error: type[MigrationError],
    says: str,
    from_uri: Any,
    get_progress: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    conn_id, _ = from_uri(reply)

    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        asks(get_progress, conn_id)

    assert says in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    output = capfd.readouterr()
    for shown in (str(caught.value), caplog.text, output.out, output.err):
        assert "simulator-secret-key" not in shown
        assert "simulator-security-token" not in shown


@pytest.mark.parametrize("kind", ["ram_role_arn", "oidc_role_arn"])
@pytest.mark.parametrize("debug", ["", "sdk"])
def test_query_strings_are_not_logged(
    dts: Any,
    get_progress: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    debug: str,
) -> None:
    """At DEBUG neither token nor signature of a call to STS is shown, nor the query of a call to DTS."""
    monkeypatch.setenv("DEBUG", debug)
    alibaba._new_client.cache_clear()
    token = tmp_path / "token"
    token.write_text("oidc-token")
    extra = {"oidc_provider_arn": OIDC_PROVIDER, "oidc_token_file_path": str(token)}
    with caplog.at_level(logging.DEBUG), Server([sts]) as server:
        conn_id = dts(kind, key=OWN_KEY, role_arn=ROLE, sts_endpoint=server.url, **extra)
        asks(get_progress, conn_id)
        sent = dict(parse_qsl(urlsplit(server.asked[0].target).query))

    output = capfd.readouterr()
    secrets = [sent[name] for name in ("OIDCToken", "Signature", "SignatureNonce") if sent.get(name)]
    assert secrets
    for shown in (caplog.text, output.out, output.err):
        assert not [secret for secret in secrets if secret in shown or quote(secret, safe="") in shown]
        assert "MigrationJobId=" not in shown
        assert "simulator-secret-key" not in shown
    assert "?*** HTTP/1.1" in caplog.text


@pytest.mark.parametrize("code", ["InvalidTimeStamp.Expired", "IllegalTimestamp"])
def test_refresh_refused_for_the_clock_names_the_clock(dts: Any, get_progress: Any, code: str) -> None:
    with Server([answer(400, RequestId="r", Code=code, Message="no")]) as server:
        conn_id = dts("ram_role_arn", key=OWN_KEY, role_arn=ROLE, sts_endpoint=server.url)
        with pytest.raises(MigrationAuthenticationError, match="this machine's clock") as caught:
            asks(get_progress, conn_id)
    assert caught.value.tolerated_after_success


async def test_refresh_that_is_refused_names_the_connection_once(from_uri: Any) -> None:
    conn_id, server = from_uri(answer(403, Code="NoPermission", Message="not yours"))
    hook = DtsHook(conn_id)
    await hook._alook_up(hook.clock.monotonic())

    errors = await asyncio.gather(
        *(hook.aget_progress("dtsdemo0001") for _ in range(3)), return_exceptions=True
    )

    assert [str(error).count("The connection is 'some_conn'") for error in errors] == [1, 1, 1]
    assert len(server.asked) == 1


def test_refresh_for_an_unknown_role_is_an_authentication_error(dts: Any) -> None:
    with Server([sts]) as server:
        hook = DtsHook(dts("ram_role_arn", key=OWN_KEY, role_arn=f"{ROLE}s", sts_endpoint=server.url))

        with pytest.raises(MigrationAuthenticationError, match=r"HTTP 404, EntityNotExist.Role\. Check the"):
            hook.get_progress("dtsdemo0001")
        hook.close()


def test_refresh_from_an_empty_default_chain_is_transient(
    dts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from alibabacloud_credentials.utils import auth_util

    for name in (name for name in vars(auth_util) if name.startswith("environment_")):
        monkeypatch.setattr(auth_util, name, "")
    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "true")
    monkeypatch.setattr(auth_util, "environment_cli_profile_disabled", "true")
    monkeypatch.setattr(auth_util, "environment_credentials_file", str(tmp_path / "none.ini"))
    alibaba._new_client.cache_clear()
    hook = DtsHook(dts("default"))

    with pytest.raises(MigrationServiceError, match="None of the library's sources has credentials"):
        hook.get_progress("dtsdemo0001")
    hook.close()
