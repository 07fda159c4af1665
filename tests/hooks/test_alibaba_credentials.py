"""Credentials of Alibaba Cloud that are no AccessKey: who gives them is on a real socket of this machine."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from airflow_provider_migration.exceptions import (
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationError,
    MigrationServiceError,
)
from airflow_provider_migration.hooks import alibaba
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.simulator import Simulator
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


def test_a_ram_role_is_assumed_with_the_accesskey(dts: Any, get_progress: Any) -> None:
    with Server([sts]) as server:
        conn_id = dts("ram_role_arn", key=OWN_KEY, role_arn=ROLE, sts_endpoint=server.url)

        assert asks(get_progress, conn_id).state != "unknown"
        assert asks(get_progress, conn_id).state != "unknown"

        assert len(server.asked) == 1


def test_a_role_is_had_for_an_oidc_token(dts: Any, get_progress: Any, tmp_path: Path) -> None:
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
def test_an_instance_has_its_role_from_the_metadata_service(
    dts: Any, get_progress: Any, role: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server([metadata]) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        alibaba._new_client.cache_clear()

        assert asks(get_progress, dts("ecs_ram_role", **role)).state != "unknown"


def test_a_credentials_uri_is_asked(from_uri: Any, get_progress: Any) -> None:
    conn_id, server = from_uri(giver())

    assert asks(get_progress, conn_id).state != "unknown"
    assert server.asked[0].target == "/key"


def test_the_default_chain_is_walked_where_it_is_asked_for(
    dts: Any, get_progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alibabacloud_credentials.utils import auth_util  # which reads the environment when it is imported

    monkeypatch.setattr(auth_util, "environment_access_key_id", ACCEPTED["AccessKeyId"])
    monkeypatch.setattr(auth_util, "environment_access_key_secret", ACCEPTED["AccessKeySecret"])
    monkeypatch.setattr(auth_util, "environment_security_token", None)
    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "true")
    alibaba._new_client.cache_clear()

    assert asks(get_progress, dts("default")).state != "unknown"


def test_the_test_of_a_connection_names_the_kind(from_uri: Any) -> None:
    works, message = DtsHook(from_uri(giver())[0]).test_connection()

    assert works
    assert "accepted credentials of type credentials_uri" in message


def test_dataworks_takes_the_same(from_uri: Any) -> None:
    hook = DataWorksHook(from_uri(giver())[0])

    assert hook.get_progress(123456, 1234).state != "unknown"
    hook.close()


# --- what is kept, and what is had anew ----------------------------------------------------------------


def test_credentials_that_were_renewed_are_used_at_the_next_poll(from_uri: Any, get_progress: Any) -> None:
    soon_over = giver(**key(minutes=10))
    conn_id, server = from_uri(soon_over, soon_over, giver(AccessKeyId="ANOTHER"))
    hook = DtsHook(conn_id)
    hook.get_progress("dtsdemo0001")
    hook.get_progress("dtsdemo0001")

    with pytest.raises(MigrationAuthenticationError, match="InvalidAccessKeyId"):
        get_progress(hook, migration_job_id="dtsdemo0001")
    hook.close()
    assert len(server.asked) == 3


def test_a_process_has_one_client_for_each_connection(
    dts: Any, from_uri: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
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
            assert hook._api.signer._client is first._api.signer._client  # type: ignore[attr-defined] # of this kind

        assert threading.active_count() == threads
        assert len(server.asked) == asked


async def test_many_polls_share_one_look_at_the_credentials_and_never_block_the_loop(from_uri: Any) -> None:
    def slow(asked: Asked) -> Reply:
        time.sleep(2)
        return giver(**key(minutes=10))(asked)

    conn_id, server = from_uri(slow)
    hook, longest, ended = DtsHook(conn_id), 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not ended.is_set():
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    await hook._alook_up(hook.world.monotonic())
    watching = asyncio.create_task(watch())
    await asyncio.gather(*(hook.aget_progress("dtsdemo0001") for _ in range(20)))
    ended.set()
    await watching

    assert len(server.asked) == 1
    assert longest < 1


async def test_a_connection_may_change_while_credentials_are_had(from_uri: Any) -> None:
    being_had = threading.Event()

    def slow(asked: Asked) -> Reply:
        being_had.set()
        time.sleep(0.3)
        return giver()(asked)

    hook = DtsHook(from_uri(slow)[0])
    polling = asyncio.create_task(hook.aget_progress("dtsdemo0001"))
    await asyncio.to_thread(being_had.wait)
    from_uri(giver())
    await hook._alook_up(hook.world.monotonic())

    assert (await polling).state != "unknown"


# --- what is refused -----------------------------------------------------------------------------------

NEEDS = [
    ("ram_role_arn", {}, "login (AccessKey ID) is empty"),
    ("ram_role_arn", {**OWN_KEY}, "role_arn in extra is empty"),
    ("oidc_role_arn", {}, "oidc_token_file_path in extra is empty"),
    ("oidc_role_arn", {"oidc_token_file_path": "/nowhere/token"}, "names '/nowhere/token', which is no file"),
    ("oidc_role_arn", {"oidc_token_file_path": __file__}, "role_arn in extra is empty"),
    (
        "oidc_role_arn",
        {"oidc_token_file_path": __file__, "role_arn": ROLE},
        "oidc_provider_arn in extra is empty",
    ),
    ("credentials_uri", {}, "credentials_uri in extra is empty"),
    ("credentials_uri", {"credentials_uri": "host/key"}, "credentials_uri in extra is no address"),
    (
        "credentials_uri",
        {"credentials_uri": "http://host:port/key"},
        "credentials_uri in extra is no address",
    ),
    ("credentials_uri", {"credentials_uri": "http:///key"}, "credentials_uri in extra is no address"),
    ("credentials_uri", {"credentials_uri": "http://[::1/key"}, "credentials_uri in extra is no address"),
    ("credentials_uri", {"credentials_uri": "http://[::1]:8080/key"}, "in extra has an IPv6 address"),
    ("access_key", {}, "login (AccessKey ID) is empty"),
    ("", {}, "login (AccessKey ID) is empty"),
    ("rsa_key_pair", {}, "credential_type is 'rsa_key_pair': write access_key, "),
]


@pytest.mark.parametrize(("kind", "fields", "says"), NEEDS)
def test_what_a_kind_needs_never_comes_from_the_worker(
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


def test_without_the_package_it_is_said_how_to_install_it(dts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials", None)

    with pytest.raises(MigrationConfigurationError, match=r"pip install '.*\[alibaba-credentials\]'"):
        DtsHook(dts("default")).get_progress("dtsdemo0001")


def test_a_metadata_service_that_is_switched_off_is_named(dts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from alibabacloud_credentials.utils import auth_util

    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "true")
    alibaba._new_client.cache_clear()

    with pytest.raises(MigrationConfigurationError, match="'ecs_ram_role', but IMDS credentials is disabled"):
        DtsHook(dts("ecs_ram_role")).get_progress("dtsdemo0001")


def test_a_token_file_that_goes_away_is_named(dts: Any, tmp_path: Path) -> None:
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
def test_credentials_that_are_not_given_are_an_error_without_what_is_secret(
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


def test_a_role_that_does_not_exist_ends_the_wait_at_once(dts: Any) -> None:
    with Server([sts]) as server:
        hook = DtsHook(dts("ram_role_arn", key=OWN_KEY, role_arn=f"{ROLE}s", sts_endpoint=server.url))

        with pytest.raises(MigrationAuthenticationError, match=r"HTTP 404, EntityNotExist.Role\. Check the"):
            hook.get_progress("dtsdemo0001")
        hook.close()


def test_a_chain_that_finds_nothing_may_find_something_later(
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

    with pytest.raises(MigrationServiceError, match="None of the library's sources has any"):
        hook.get_progress("dtsdemo0001")
    hook.close()
