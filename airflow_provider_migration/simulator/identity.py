"""Fixed credentials, regions and connections of the simulator."""

from __future__ import annotations

from typing import Any

ACCESS_KEY = "SIMULATORACCESSKEY"
"""Alibaba Cloud AccessKey ID and Huawei Cloud AK."""
SECRET_KEY = "simulator-secret-key"
"""Alibaba Cloud AccessKey secret and Huawei Cloud SK."""
SECURITY_TOKEN = "simulator-security-token"
"""The only accepted temporary token (Alibaba Cloud STS, Huawei Cloud)."""
USER = "simulator"
"""IAM user and OMS console user."""
PASSWORD = "simulator-password"
"""Password of :data:`USER`."""
DOMAIN = "simulator-domain"
"""The Huawei Cloud account of the IAM user; also the delegating account of :data:`AGENCY`."""
DOMAIN_ID = "d78cbac186b744899480f25bd022f468"
"""Id of :data:`DOMAIN`."""
AGENCY = "simulator-agency"
"""The agency that the AK may assume."""

ALIBABA_REGION = "cn-hangzhou"
HUAWEI_REGION = "cn-north-4"
HUAWEI_PROJECT = "5237e10fe9aa4ad5b16b6a5245248314"
"""The DRS project of the built-in scenario; IAM also finds it by :data:`HUAWEI_REGION`."""


def base_url(host: str, port: int) -> str:
    """Return the base URL of a simulator; IPv6 addresses get brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def connections(url: str) -> dict[str, dict[str, Any]]:
    """
    Return the four default Airflow connections to a simulator, by connection id.

    :param url: the simulator's base URL, such as ``http://127.0.0.1:8100``.
    """

    def connection(conn_type: str, login: str, password: str, **extra: str) -> dict[str, Any]:
        fields = {"conn_type": conn_type, "login": login, "password": password, "host": url, "extra": extra}
        # Airflow treats an empty extra as a secret that is too short to mask, and warns in each log.
        return {name: value for name, value in fields.items() if value}

    return {
        "dataworks_default": connection("alibaba_dataworks", ACCESS_KEY, SECRET_KEY, region=ALIBABA_REGION),
        "dts_default": connection("alibaba_dts", ACCESS_KEY, SECRET_KEY, region=ALIBABA_REGION),
        "oms_default": connection("oceanbase_oms", USER, PASSWORD),
        "drs_default": connection(
            "huaweicloud_drs",
            ACCESS_KEY,
            SECRET_KEY,
            region=HUAWEI_REGION,
            project_id=HUAWEI_PROJECT,
            iam_endpoint=url,
        ),
    }
