"""One poll on a worker: with a hook that is kept, as in poke mode, and with a new one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from side_by_side import AUTHORITY, Table, connect, dts_answer, measure, serve

import requests
from airflow.providers.amazon.aws.sensors.dms import DmsTaskCompletedSensor
from alibabacloud_dts20200101.client import Client as DtsClient
from alibabacloud_dts20200101.models import DescribeMigrationJobStatusRequest
from alibabacloud_tea_openapi.models import Config
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdrs.v3 import BatchListProgressesRequest, BatchQueryProgressReq, DrsClient

from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.wait.tracker import WaitTracker
from airflow_provider_migration.wait.policy import WaitPolicy

logging.disable(logging.ERROR)

POLLS: Final = 300
NEW: Final = 12

DMS: Final = {
    "ReplicationTasks": [
        {
            "ReplicationTaskIdentifier": "orders",
            "ReplicationTaskArn": "arn:aws:dms:eu-west-1:123456789012:task:ORDERS",
            "Status": "running",
            "TableMappings": json.dumps(
                {"rules": [{"rule-id": str(n), "object": "x" * 60} for n in range(25)]}
            ),
            "ReplicationTaskStats": {"FullLoadProgressPercent": 42, "TablesLoaded": 24, "TablesErrored": 0},
        }
    ]
}

DRS: Final = {
    "count": 1,
    "results": [
        {
            "job_id": "163b98e8-6088-46c3-8b86-c18fea6jb502",
            "transfer_status": "FULL_TRANSFER_STARTED",
            "task_mode": "FULL_INCR_TRANS",
            "progress": "42",
            "incre_trans_delay": "-1",
            "error_msg": "x" * 2700,
        }
    ],
}


def _cpu(poll: Callable[[], object], polls: int) -> float:
    poll()
    started = time.process_time()
    for _ in range(polls):
        poll()
    return (time.process_time() - started) / polls


def _tracker() -> WaitTracker:
    return WaitTracker(WaitPolicy(targets=("caught_up",), started_at=time.time(), deadline=time.time() + 1e6))


def _poll(hook: DtsHook, watch: WaitTracker) -> None:
    watch.observe(hook.get_progress("dts1"), time.time())
    watch.log_line()


def ours_kept() -> float:
    """Poll as the sensor does in poke mode."""
    hook, watch = DtsHook(), _tracker()
    cost = _cpu(lambda: _poll(hook, watch), POLLS)
    hook.close()
    return cost


def ours_new() -> float:
    """Poll as the sensor does in reschedule mode."""

    def poll() -> None:
        hook = DtsHook()
        _poll(hook, _tracker())
        hook.close()

    return _cpu(poll, NEW)


def _dms_sensor() -> DmsTaskCompletedSensor:
    return DmsTaskCompletedSensor(
        task_id="wait", replication_task_arn="arn:aws:dms:eu-west-1:123456789012:task:ORDERS"
    )


def dms_kept() -> float:
    """Poll as the sensor of amazon DMS does in poke mode."""
    sensor = _dms_sensor()
    return _cpu(lambda: sensor.poke({}), POLLS)


def dms_new() -> float:
    """Poll as the sensor of amazon DMS does in reschedule mode."""
    return _cpu(lambda: _dms_sensor().poke({}), NEW)


def bare(url: str) -> float:
    """Ask with a session of requests and read the JSON."""
    with requests.Session() as session:
        session.verify = AUTHORITY
        return _cpu(lambda: session.post(url).json(), POLLS)


def alibaba(url: str) -> float:
    """Ask with Alibaba Cloud's SDK."""
    scheme, _, host = url.partition("://")
    client = DtsClient(
        Config(
            access_key_id="key",
            access_key_secret="secret-of-key",
            protocol=scheme,
            endpoint=host,
            region_id="cn-hangzhou",
            ca=AUTHORITY,
        )
    )
    request = DescribeMigrationJobStatusRequest(migration_job_id="dts1", region_id="cn-hangzhou")
    return _cpu(lambda: client.describe_migration_job_status(request).body, POLLS)


def huawei(url: str) -> float:
    """Ask with Huawei Cloud's SDK."""
    config = HttpConfig.get_default_config()
    config.ssl_ca_cert = AUTHORITY
    client = (
        DrsClient.new_builder()
        .with_http_config(config)
        .with_credentials(BasicCredentials("AK", "SK", "5237e10fe9aa4ad5b16b6a5245248314"))
        .with_endpoints([url])
        .build()
    )
    request = BatchListProgressesRequest(
        body=BatchQueryProgressReq(jobs=["163b98e8-6088-46c3-8b86-c18fea6jb502"])
    )
    return _cpu(lambda: client.batch_list_progresses(request), POLLS)


def main() -> None:
    """Run the rounds and print the table."""
    sizes: dict[str, Any] = {"DTS": dts_answer(), "DMS": DMS, "DRS": DRS}
    table = Table(
        "Sync poll",
        f"CPU of one of {POLLS} polls on a kept connection, or of one of {NEW} with a new hook. Answers of "
        + ", ".join(f"{len(json.dumps(answer))} bytes ({name})" for name, answer in sizes.items())
        + ". Without log lines; the sensor of amazon DMS writes one at each poll.",
    )
    for tls in (False, True):
        dts, dms, drs = (serve(answer, tls=tls) for answer in sizes.values())
        connect("dts_default", conn_type="alibaba_dts", host=dts, login="key", password="secret-of-key")
        extra = {"region_name": "eu-west-1", "endpoint_url": dms}
        connect("aws_default", conn_type="aws", login="key", password="secret-of-key", extra=extra)
        how = "TLS" if tls else "HTTP"
        ours, new = f"this hook kept, {how}", f"this hook new, {how}"
        costs = measure(
            {
                ours: ours_kept,
                f"bare requests, {how}": lambda url=dts: bare(url),
                f"amazon DMS kept, {how}": dms_kept,
                f"Alibaba SDK kept, {how}": lambda url=dts: alibaba(url),
                f"Huawei SDK kept, {how}": lambda url=drs: huawei(url),
                new: ours_new,
                f"amazon DMS new, {how}": dms_new,
            }
        )
        table.row(costs, ours, f"bare requests, {how}")
        table.row(costs, ours, f"amazon DMS kept, {how}", 0.6)
        table.row(costs, ours, f"Alibaba SDK kept, {how}", 1)
        table.row(costs, ours, f"Huawei SDK kept, {how}", 1)
        table.row(costs, new, f"amazon DMS new, {how}", 0.05)


if __name__ == "__main__":
    main()
