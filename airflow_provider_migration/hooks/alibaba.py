"""How the connections of Alibaba Cloud's services are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.hooks.base import ConnectionReader


class AlibabaAccount(TypedDict):
    """What the API of a service is made of."""

    endpoint: str
    region: str | None
    signer: AlibabaSigner


def read_account(
    reader: ConnectionReader, region: str | None, endpoint_of: Callable[[str], str]
) -> AlibabaAccount:
    """
    Read a connection with an AccessKey, of this package's types or of the official provider's.

    :param region: as given to the hook, or None to take the connection's.
    :param endpoint_of: the host of the service in a region.
    """
    region = reader.region(region)
    return AlibabaAccount(
        endpoint=reader.endpoint_in(region, endpoint_of, "cn-hangzhou"),
        region=region,
        signer=AlibabaSigner(
            reader.login("AccessKey ID", "access_key_id"),
            reader.password("AccessKey secret", "access_key_secret"),
            reader.token("security_token", "sts_token"),
        ),
    )
