"""Reading a connection: accepted forms, and the messages for wrong ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection
from certifi import where

from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
)
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.hooks.dataworks import DataWorksHook
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.transport.settings import TransportConfig

Connect = Callable[..., str]

KEY = {"login": "some-key-id", "password": "some-key-secret"}
REGION = {"region": "cn-hangzhou"}
PROJECT = {"region": "cn-north-4", "project_id": "project-1"}


def look_up(hook: Any) -> Any:
    """Read the connection and return what the hook talks to."""
    hook._look_up()
    return hook._api


# --- host and port -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "endpoint"),
    [
        ({"host": "gateway.example.com"}, "https://gateway.example.com"),
        ({"host": "Gateway.Example.com"}, "https://gateway.example.com"),
        ({"host": "gateway.example.com."}, "https://gateway.example.com."),
        ({"host": "my_gateway"}, "https://my_gateway"),
        ({"host": " gateway.example.com/ "}, "https://gateway.example.com"),
        ({"host": "gateway.example.com:8443"}, "https://gateway.example.com:8443"),
        ({"host": "gateway.example.com", "port": 8443}, "https://gateway.example.com:8443"),
        ({"host": "gateway.example.com:8443", "port": 9}, "https://gateway.example.com:8443"),
        ({"host": "gateway.example.com", "port": 443}, "https://gateway.example.com"),
        ({"host": "https://gateway.example.com:443"}, "https://gateway.example.com"),
        ({"host": "http://gateway.example.com:80"}, "http://gateway.example.com"),
        ({"host": "http://127.0.0.1:8100"}, "http://127.0.0.1:8100"),
        ({"host": "http://127.0.0.1", "port": 8100}, "http://127.0.0.1:8100"),
        ({"host": "HTTP://127.0.0.1:8100/"}, "http://127.0.0.1:8100"),
        ({"host": "https://gateway.example.com/dts/"}, "https://gateway.example.com/dts"),
        ({"host": "::1"}, "https://[::1]"),
        ({"host": "::1", "port": 8100}, "https://[::1]:8100"),
        ({"host": "[::1]:8100"}, "https://[::1]:8100"),
        ({"host": "http://[::1]:8100"}, "http://[::1]:8100"),
        ({"extra": {"endpoint": "gateway.example.com"}}, "https://gateway.example.com"),
        ({"extra": REGION}, "https://dts.cn-hangzhou.aliyuncs.com"),
        ({"host": "", "extra": REGION}, "https://dts.cn-hangzhou.aliyuncs.com"),
    ],
)
def test_host_forms(fields: dict[str, Any], endpoint: str, connect: Connect) -> None:
    assert look_up(DtsHook(connect(**KEY, **fields))).endpoint == endpoint


@pytest.mark.parametrize(
    ("fields", "endpoint"),
    [
        ({"host": "oms.example.com"}, "http://oms.example.com"),
        ({"host": "oms.example.com", "port": 8089}, "http://oms.example.com:8089"),
        ({"host": "https://oms.example.com", "port": 8089}, "https://oms.example.com:8089"),
    ],
)
def test_oms_console_defaults_to_http(fields: dict[str, Any], endpoint: str, connect: Connect) -> None:
    assert look_up(OmsHook(connect(**KEY, **fields))).endpoint == endpoint


@pytest.mark.parametrize(
    "host",
    [
        "ftp://gateway.example.com",
        "http://",
        "http:",
        "/",
        "https://user:pass-word@gateway.example.com",
        "gateway.example.com/?a=b",
        "gateway.example.com/#a",
        "gateway example",
        "a..b",
        "-gateway",
        "a" * 64 + ".example.com",
        "gateway.example.com:99999",
        "gateway.example.com:port",
        "gateway.example.com/a b",
        "http://[::1",
        "http://[nonsense]",
        "gatewäy",
    ],
)
def test_wrong_host_is_refused_and_not_repeated(host: str, connect: Connect) -> None:
    with pytest.raises(
        MigrationConfigurationError, match=r"'some_conn': host must be a host name or a URL"
    ) as caught:
        look_up(DtsHook(connect(**KEY, host=host)))

    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("port", [-1, 65536])
def test_wrong_port_is_refused(port: int, connect: Connect) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"'some_conn': port must be a number"):
        look_up(DtsHook(connect(**KEY, host="gateway", port=port)))


# --- regions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "region", "endpoint"),
    [
        (DtsHook, "cn-hangzhou", "dts.cn-hangzhou.aliyuncs.com"),
        (DtsHook, "ap-southeast-1", "dts.ap-southeast-1.aliyuncs.com"),
        (DtsHook, "cn-chengdu", "dts.aliyuncs.com"),
        (DtsHook, "cn-hangzhou-finance", "dts.cn-hangzhou.aliyuncs.com"),
        (DataWorksHook, "cn-shanghai", "dataworks.cn-shanghai.aliyuncs.com"),
        (DataWorksHook, "ap-south-1", "dataworks.aliyuncs.com"),
        (DrsHook, "cn-north-4", "drs.cn-north-4.myhuaweicloud.com"),
        (DrsHook, "eu-west-101", "drs.eu-west-101.myhuaweicloud.eu"),
    ],
)
@pytest.mark.parametrize("place", ["region", "region_id", "argument"])
def test_region_gives_the_endpoint(
    hook: Any, region: str, endpoint: str, place: str, connect: Connect
) -> None:
    extra = {"project_id": "p", **({place: region} if place != "argument" else {"region": "elsewhere"})}
    conn_id = connect(**KEY, extra=extra)

    api = look_up(hook(conn_id, region=region if place == "argument" else None))

    assert api.endpoint == f"https://{endpoint}"
    assert api.region == region


@pytest.mark.parametrize("hook", [DtsHook, DataWorksHook, DrsHook])
def test_missing_host_and_region_are_named(hook: Any, connect: Connect) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"'some_conn': neither region nor host .*extra"):
        look_up(hook(connect(**KEY, extra={"project_id": "p"})))


def test_hosted_oms_is_in_a_region(connect: Connect) -> None:
    conn_id = connect(**KEY, extra={**REGION, "auth_type": "access_key"})

    api = look_up(OmsHook(conn_id))

    assert api.endpoint == "https://oceanbasepro.cn-hangzhou.aliyuncs.com"
    assert api.signer.access_key_id == "some-key-id"


def test_oms_console_needs_a_host(connect: Connect) -> None:
    with pytest.raises(MigrationConfigurationError, match=r"'some_conn': host is empty; .*http://oms:8089"):
        look_up(OmsHook(connect(**KEY)))


@pytest.mark.parametrize(
    "region", ["evil.example.com/", "CN-Hangzhou", "cn hangzhou", "-cn", ["cn-hangzhou"]]
)
def test_wrong_region_is_refused(region: Any, connect: Connect) -> None:
    with pytest.raises(MigrationConfigurationError, match="'some_conn': region"):
        look_up(DtsHook(connect(**KEY, extra={"region": region})))


# --- credentials ---------------------------------------------------------------------------------------


def test_official_provider_connection_works(connect: Connect) -> None:
    extra = {"access_key_id": "other-id", "access_key_secret": "other-secret", "region": "cn-hangzhou"}
    conn_id = connect(conn_type="alibaba_cloud", extra=extra)

    for hook in (DtsHook(conn_id), DataWorksHook(conn_id)):
        signer = look_up(hook).signer
        assert (signer.access_key_id, signer.access_key_secret) == ("other-id", "other-secret")


def test_connection_may_be_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SOME_CONN",
        "alibaba-dts://some-id:some%2Fsecret@http%3A%2F%2F127.0.0.1%3A8100/?region_id=cn-hangzhou"
        "&verify=false&connect_timeout=2.5&read_timeout=7",
    )
    hook = DtsHook("some_conn")

    api = look_up(hook)

    assert (api.endpoint, api.region) == ("http://127.0.0.1:8100", "cn-hangzhou")
    assert api.signer.access_key_secret == "some/secret"
    assert hook._settings == TransportConfig(verify=False, connect_timeout=2.5, read_timeout=7)


@pytest.mark.parametrize("field", ["security_token", "sts_token"])
def test_alibaba_temporary_key_has_a_token(field: str, connect: Connect) -> None:
    conn_id = connect(**KEY, extra={**REGION, field: " a-token "})

    assert look_up(DtsHook(conn_id)).signer.security_token == "a-token"


def test_huawei_temporary_key_has_a_token(connect: Connect) -> None:
    conn_id = connect(**KEY, extra={**PROJECT, "security_token": "a-token"})

    assert look_up(DrsHook(conn_id)).signer.security_token == "a-token"


@pytest.mark.parametrize("key", [" some-key-id", "some-key-id\n", "\tsome-key-id "])
def test_key_is_stripped(key: str, connect: Connect) -> None:
    conn_id = connect(login=key, password=f"{key} ", extra=REGION)

    signer = look_up(DtsHook(conn_id)).signer

    assert (signer.access_key_id, signer.access_key_secret) == ("some-key-id", "some-key-id")


def test_password_may_hold_any_character(connect: Connect) -> None:
    conn_id = connect(login="Jürgen", password=" geheim für alle \n", host="oms")

    signer = look_up(OmsHook(conn_id)).signer

    assert (signer.user, signer.password) == ("Jürgen", " geheim für alle ")


DRS_PASSWORD = {**PROJECT, "auth_type": "password", "domain_name": "account"}


@pytest.mark.parametrize(
    ("hook", "fields", "says"),
    [
        (DtsHook, {**KEY, "login": ""}, r"login \(AccessKey ID\) is empty; .*access_key_id in extra"),
        (DtsHook, {**KEY, "password": None}, r"password \(AccessKey secret\) is empty"),
        (DtsHook, {**KEY, "login": "a\nb"}, r"login .* control character"),
        (DtsHook, {**KEY, "login": "а-cyrillic"}, r"login .* non-ASCII characters"),
        (DtsHook, {**KEY, "password": "two words"}, r"password .* contains whitespace"),
        (
            DtsHook,
            {**KEY, "extra": {**REGION, "security_token": "a\nb"}},
            r"security_token in extra .*control",
        ),
        (
            DtsHook,
            {**KEY, "extra": {**REGION, "security_token": ["a"]}},
            r"security_token in extra must be a string",
        ),
        (OmsHook, {"host": "oms", "password": "p"}, r"login \(console user\) is empty; fill it in"),
        (OmsHook, {"host": "oms", "login": "u"}, r"password \(console password\) is empty"),
        (OmsHook, {"host": "oms", "login": "a:b", "password": "p"}, r"login must not contain a colon"),
        (
            OmsHook,
            {**KEY, "extra": {"auth_type": "key"}},
            r"auth_type must be basic or access_key, not 'key'",
        ),
        (OmsHook, {**KEY, "extra": {"auth_type": "access_key"}}, r"neither region nor host is given"),
        (
            OmsHook,
            {"extra": {**REGION, "auth_type": "access_key"}},
            r"login \(AccessKey ID\) is empty",
        ),
        (DrsHook, {**KEY, "host": "drs", "extra": {}}, r"neither project_id nor region is given"),
        (
            DrsHook,
            {**KEY, "extra": {**PROJECT, "project_id": "a\r\nb"}},
            r"project_id in extra contains a control",
        ),
        (
            DrsHook,
            {**KEY, "extra": {**PROJECT, "auth_type": "magic"}},
            r"auth_type must be aksk, agency, password or token, not 'magic'",
        ),
        (DrsHook, {"extra": {**PROJECT, "auth_type": "token"}}, r"password \(token of IAM\) is empty"),
        (DrsHook, {**KEY, "extra": {**PROJECT, "auth_type": "agency"}}, r"agency_name .* is empty"),
        (
            DrsHook,
            {**KEY, "extra": {**PROJECT, "auth_type": "agency", "agency_name": "a"}},
            r"domain_name in extra \(the delegating account\) is empty",
        ),
        (DrsHook, {**KEY, "extra": {**PROJECT, "auth_type": "password"}}, r"domain_name .* is empty"),
        (
            DrsHook,
            {**KEY, "extra": {**DRS_PASSWORD, "iam_endpoint": "ftp://iam"}},
            r"iam_endpoint must be a host name or a URL",
        ),
    ],
)
def test_error_names_connection_and_remedy(
    hook: Any, fields: dict[str, Any], says: str, connect: Connect
) -> None:
    conn_id = connect(**{"extra": REGION, **fields})

    with pytest.raises(MigrationConfigurationError, match=rf"^Connection 'some_conn': .*{says}") as caught:
        look_up(hook(conn_id))

    assert "some-key-secret" not in str(caught.value)


@pytest.mark.parametrize("extra", ["{no json", "[1]", '"text"'])
def test_extra_must_be_a_json_object(extra: str, connect: Connect) -> None:
    # Airflow 3.0 and 3.1 cannot read such a connection themselves.
    says = "extra must be a JSON object|none that Airflow can read"
    errors = (MigrationConfigurationError, MigrationConnectionNotFoundError)
    with pytest.raises(errors, match=f"'some_conn'.*({says})"):
        look_up(DtsHook(connect(**KEY, extra=extra)))


def test_missing_connection_error_names_the_remedy() -> None:
    with pytest.raises(
        MigrationConnectionNotFoundError,
        match=r"no connection 'nowhere'.*type 'alibaba_dts' in Admin > Connections, .*dts_conn_id",
    ):
        DtsHook("nowhere").get_progress(migration_job_id="dts1")


# --- DRS -----------------------------------------------------------------------------------------------


def test_iam_endpoint_follows_the_region(connect: Connect) -> None:
    signer = look_up(DrsHook(connect(**KEY, extra=DRS_PASSWORD))).signer

    assert signer.endpoint == "https://iam.cn-north-4.myhuaweicloud.com"
    assert (signer.user, signer.password, signer.domain_name) == ("some-key-id", "some-key-secret", "account")


def test_iam_endpoint_may_be_given(connect: Connect) -> None:
    extra = {**DRS_PASSWORD, "iam_endpoint": "http://127.0.0.1:8100"}

    assert look_up(DrsHook(connect(**KEY, extra=extra))).signer.endpoint == "http://127.0.0.1:8100"


def test_project_of_the_hook_overrides_the_connection(connect: Connect) -> None:
    conn_id = connect(**KEY, extra=PROJECT)

    assert look_up(DrsHook(conn_id)).project_id == "project-1"
    assert look_up(DrsHook(conn_id, project_id="project-2")).project_id == "project-2"


# --- settings ------------------------------------------------------------------------------------------


def settings_of(**extra: Any) -> TransportConfig:
    connection = Connection(conn_id="some_conn", conn_type="alibaba_dts", extra=json.dumps(extra))
    return ConnectionReader(connection).settings()


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, TransportConfig(verify=True, connect_timeout=5, read_timeout=30)),
        ({"verify": True}, TransportConfig()),
        ({"verify": "true"}, TransportConfig()),
        ({"verify": ""}, TransportConfig()),
        ({"verify": None}, TransportConfig()),
        ({"verify": False}, TransportConfig(verify=False)),
        ({"verify": "False"}, TransportConfig(verify=False)),
        ({"connect_timeout": 2, "read_timeout": "2.5"}, TransportConfig(connect_timeout=2, read_timeout=2.5)),
    ],
)
def test_timeouts_may_be_strings(extra: dict[str, Any], expected: TransportConfig) -> None:
    assert settings_of(**extra) == expected


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
@pytest.mark.parametrize("value", ["soon", 0, -1, "nan", "inf", 3601, True, [5]])
def test_wrong_timeout_is_refused(name: str, value: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match=rf"'some_conn': {name} (in extra )?must be a "):
        settings_of(**{name: value})


@pytest.mark.parametrize(
    ("content", "says"), [(None, "not found on this machine"), ("x", "contains no certificates")]
)
def test_wrong_verify_is_refused(content: str | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)

    with pytest.raises(MigrationConfigurationError, match=rf"'some_conn': verify: .*{says}"):
        settings_of(verify=str(file))


def test_verify_may_be_a_ca_file() -> None:
    assert settings_of(verify=where()) == TransportConfig(verify=where())


def test_verify_false_warns_once(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    hook = DtsHook(connect(**KEY, extra={**REGION, "verify": False}))

    with caplog.at_level(logging.WARNING, "airflow_provider_migration"):
        for _ in range(3):
            hook._look_up()

    (record,) = caplog.records
    assert (
        record.getMessage()
        == "TLS certificates are not verified: connection 'some_conn' sets verify to false."
    )
