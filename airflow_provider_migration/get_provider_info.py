"""Provider metadata for Airflow: a plain dict, because every Airflow command reads it."""

from __future__ import annotations

from typing import Any

SERVICES = {
    "dataworks": "Alibaba Cloud DataWorks",
    "dts": "Alibaba Cloud DTS",
    "oms": "OceanBase Migration Service",
    "drs": "Huawei Cloud DRS",
}
"""The services' names for people, by the names of their modules."""

_PACKAGE = "airflow_provider_migration"


def _text(label: str, description: str, *, secret: bool = False) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["string", "null"]}
    if secret:
        schema["format"] = "password"
    return {"label": label, "description": description, "schema": schema}


def _seconds(label: str, description: str, default: int) -> dict[str, Any]:
    schema = {"type": ["number", "null"], "default": default, "exclusiveMinimum": 0}
    return {"label": label, "description": description, "schema": schema}


def _choice(label: str, description: str, values: list[str]) -> dict[str, Any]:
    schema = {"type": ["string", "null"], "enum": values, "default": values[0]}
    return {"label": label, "description": description, "schema": schema}


_COMMON_FIELDS = {
    "verify": _text(
        "Verify TLS", "true (the default), false, or the path of a PEM file of certificate authorities."
    ),
    "connect_timeout": _seconds("Connect timeout", "Connect timeout in seconds.", 5),
    "read_timeout": _seconds("Read timeout", "Read timeout in seconds; the total limit is twice that.", 30),
}

_ALIBABA_FIELDS = {
    "region": _text("Region", "Region ID, e.g. cn-hangzhou. Required if host is empty."),
    "security_token": _text("Security token", "STS token of a temporary AccessKey.", secret=True),
    "credential_type": _choice(
        "Credentials",
        "access_key uses login and password; the others need the package alibabacloud-credentials.",
        [
            "access_key",
            "ram_role_arn",
            "ecs_ram_role",
            "oidc_role_arn",
            "credentials_uri",
            "default",
        ],
    ),
    "role_arn": _text("Role ARN", "Role to assume, for ram_role_arn and oidc_role_arn."),
    "role_session_name": _text("Role session name", "Session name in the role's log; default: airflow."),
    "external_id": _text("External ID", "For ram_role_arn, if the role's trust policy requires one."),
    "sts_endpoint": _text("STS endpoint", "STS host; default: sts.aliyuncs.com."),
    "role_name": _text("Role name", "Role of the ECS instance, for ecs_ram_role; default: its own."),
    "oidc_provider_arn": _text("OIDC provider ARN", "ARN of the OIDC provider, for oidc_role_arn."),
    "oidc_token_file_path": _text("OIDC token file", "File on workers and triggerer, for oidc_role_arn."),
    "credentials_uri": _text(
        "Credentials URI", "URI that issues temporary credentials, for credentials_uri."
    ),
    **_COMMON_FIELDS,
}

_OMS_FIELDS = {
    "auth_type": _choice(
        "Authentication",
        "basic: an OMS console; access_key: OMS hosted by Alibaba Cloud, which uses the fields below.",
        ["basic", "access_key"],
    ),
    **_ALIBABA_FIELDS,
}

_DRS_FIELDS = {
    "region": _text("Region", "Region ID, e.g. cn-north-4. Required if host is empty."),
    "project_id": _text(
        "Project ID",
        "Project ID, from My Credentials. Default: the project with the region's name, looked up in IAM.",
    ),
    "auth_type": _choice(
        "Authentication",
        "aksk: sign each request; agency: assume an agency with AK and SK; password: get a token from IAM; "
        "token: send the token in the password field.",
        ["aksk", "agency", "password", "token"],
    ),
    "security_token": _text("Security token", "Security token of a temporary AK and SK.", secret=True),
    "domain_name": _text(
        "Account name",
        "For password: the account of the IAM user; for agency: the delegating account.",
    ),
    "agency_name": _text("Agency", "Agency to assume, for agency."),
    "iam_endpoint": _text("IAM endpoint", "Address of IAM; default: the region's own."),
    **_COMMON_FIELDS,
}


def _connection_type(
    service: str,
    connection_type: str,
    hook: str,
    labels: dict[str, str],
    placeholders: dict[str, str],
    fields: dict[str, Any],
) -> dict[str, Any]:
    return {
        "connection-type": connection_type,
        "hook-class-name": f"{_PACKAGE}.hooks.{service}.{hook}",
        "hook-name": SERVICES[service],
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": labels,
            "placeholders": placeholders,
        },
        "conn-fields": fields,
    }


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata in the format of ``airflow/provider_info.schema.json``."""
    access_key = {"login": "AccessKey ID", "password": "AccessKey secret", "host": "Endpoint"}
    return {
        "package-name": "airflow-provider-migration",
        "name": "Cloud migrations",
        "description": "Watch migrations of Alibaba Cloud DataWorks and DTS, OceanBase OMS and Huawei DRS.",
        "integrations": [
            {"integration-name": name, "external-doc-url": url, "tags": ["service"]}
            for name, url in (
                (SERVICES["dataworks"], "https://www.alibabacloud.com/help/en/dataworks/"),
                (SERVICES["dts"], "https://www.alibabacloud.com/help/en/dts/"),
                (SERVICES["oms"], "https://en.oceanbase.com/docs/oms-en"),
                (SERVICES["drs"], "https://support.huaweicloud.com/intl/en-us/drs/index.html"),
            )
        ],
        "hooks": [
            {"integration-name": name, "python-modules": [f"{_PACKAGE}.hooks.{service}"]}
            for service, name in SERVICES.items()
        ],
        "sensors": [
            {"integration-name": name, "python-modules": [f"{_PACKAGE}.sensors.{service}"]}
            for service, name in SERVICES.items()
        ],
        "triggers": [
            {
                "integration-name": name,
                "python-modules": [f"{_PACKAGE}.triggers.event", f"{_PACKAGE}.triggers.migration"],
            }
            for name in SERVICES.values()
        ],
        "connection-types": [
            _connection_type(
                "dataworks",
                "alibaba_dataworks",
                "DataWorksHook",
                access_key,
                {"host": "dataworks.cn-shanghai.aliyuncs.com (follows from the region)", "port": "443"},
                _ALIBABA_FIELDS,
            ),
            _connection_type(
                "dts",
                "alibaba_dts",
                "DtsHook",
                access_key,
                {"host": "dts.cn-hangzhou.aliyuncs.com (follows from the region)", "port": "443"},
                _ALIBABA_FIELDS,
            ),
            _connection_type(
                "oms",
                "oceanbase_oms",
                "OmsHook",
                {
                    "login": "Console user, or AccessKey ID",
                    "password": "Console password, or AccessKey secret",
                    "host": "Console address, or endpoint",
                },
                {
                    "host": "http://oms.example.com",
                    "port": "8089",
                    "login": "a user of the role ADMIN-VIEWER",
                },
                _OMS_FIELDS,
            ),
            _connection_type(
                "drs",
                "huaweicloud_drs",
                "DrsHook",
                {
                    "login": "AK, or IAM user name",
                    "password": "SK, IAM password, or token",
                    "host": "Endpoint",
                },
                {"host": "drs.cn-north-4.myhuaweicloud.com (follows from the region)", "port": "443"},
                _DRS_FIELDS,
            ),
        ],
        "extra-links": [f"{_PACKAGE}.links.MigrationConsoleLink"],
        "cli": [f"{_PACKAGE}.cli.definition.get_migrations_cli_commands"],  # read from Airflow 3.2 on
    }
