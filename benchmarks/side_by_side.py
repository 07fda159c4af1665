"""
Shared benchmark tools: a local environment without a cloud, paired rounds, and a table.

Import it before anything of Airflow: it sets its own Airflow home and certificate authority.

Every round runs each case once, in shuffled order, on one machine and against one server in a process of its
own, and compares cases of the same round only. CPU is user and system time of the measuring process. Times of
different machines or runs say nothing; the ratios do.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import trustme

ROUNDS: Final = 9

_home = tempfile.TemporaryDirectory(prefix="benchmark-")
HOME: Final = Path(_home.name)
AUTHORITY: Final = str(HOME / "authority.pem")
_SERVER_PEM: Final = str(HOME / "server.pem")

_authority = trustme.CA()
_authority.cert_pem.write_to_path(AUTHORITY)
_authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(_SERVER_PEM)

for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS")) or "proxy" in name.lower()]:
    del os.environ[_name]
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",  # a log line costs more than a poll
        "SSL_CERT_FILE": AUTHORITY,
        "REQUESTS_CA_BUNDLE": AUTHORITY,
        "AWS_CA_BUNDLE": AUTHORITY,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
)

CHECKS: Final = (
    *("CONN_SRC", "AUTH_SRC", "CONN_DEST", "AUTH_DEST", "BINLOG_ON", "BINLOG_MODE", "BINLOG_ROW_IMAGE"),
    *("SERVER_ID", "BINLOG_EXIST", "ENGINE", "MYSQL_PASSWORD_FORMAT", "SRC", "SQL_MODE", "SAME_USER"),
    *("SAME_OBJ", "TARGET_DB", "TOPOLOGY", "CONSTRAINT"),
)


def dts_answer(**changes: Any) -> dict[str, Any]:
    """Return a response of DescribeMigrationJobStatus in the documented shape, of about 3 KB."""
    items = [
        {"ItemName": f"CHECK_{name}", "CheckStatus": "Success", "ErrorMessage": "", "RepairMethod": ""}
        for name in CHECKS
    ]
    endpoint = {
        "InstanceType": "RDS",
        "EngineName": "MySQL",
        "Ip": "",
        "Port": "3306",
        "DatabaseName": "shop",
    }
    return {
        "Success": "true",
        "RequestId": "A032E3B4-929B-48E9-97B9-37587CBF0000",
        "ErrCode": "",
        "ErrMessage": "",
        "DynamicMessage": "",
        "MigrationJobId": "dtsz2v12jfo309",
        "MigrationJobName": "MySQL Migration",
        "MigrationJobStatus": "Migrating",
        "MigrationJobClass": "large",
        "PayType": "PostPaid",
        "TaskId": "z2v12jfo309",
        "MigrationMode": {
            "structureInitialization": True,
            "dataInitialization": True,
            "dataSynchronization": True,
        },
        "PrecheckStatus": {"Status": "Finished", "Percent": "100", "Detail": {"CheckItem": items}},
        "StructureInitializationStatus": {"Status": "Finished", "Percent": "100", "Progress": "24"},
        "DataInitializationStatus": {"Status": "Migrating", "Percent": "42", "Progress": "84000"},
        "DataSynchronizationStatus": {"Status": "NotStarted", "Percent": "0", "ErrorMessage": ""},
        "MigrationObject": '[{"DBName":"shop","AllTable":true}]',
        "SourceEndpoint": {"InstanceID": "rm-bp1i99e8l7913****", **endpoint},
        "DestinationEndpoint": {"InstanceID": "rm-bp162kg6xx1fy****", **endpoint},
        **changes,
    }


def dts_list(ids: Iterable[str]) -> dict[str, Any]:
    """Return a response of DescribeDtsJobs with the same details of each job."""
    job = dts_answer()
    precheck = {
        **job["PrecheckStatus"],
        "Detail": [
            {"CheckItem": f"CHECK_{name}", "CheckResult": "Success", "FailedReason": "", "RepairMethod": ""}
            for name in CHECKS
        ],
    }
    alike = {
        name: job[name]
        for name in (
            *("MigrationMode", "StructureInitializationStatus", "DataInitializationStatus"),
            *("DataSynchronizationStatus", "SourceEndpoint", "DestinationEndpoint", "PayType"),
        )
    }
    jobs = [
        {
            "DtsInstanceID": dts_id,
            "DtsJobId": job["TaskId"],
            "DtsJobName": job["MigrationJobName"],
            "DtsJobClass": job["MigrationJobClass"],
            "Status": job["MigrationJobStatus"],
            "Delay": 0,
            "Checkpoint": "1600000000",
            "PrecheckStatus": precheck,
            **alike,
        }
        for dts_id in ids
    ]
    return {
        "Success": True,
        "RequestId": job["RequestId"],
        "HttpStatusCode": "200",
        "PageNumber": 1,
        "TotalRecordCount": len(jobs),
        "DtsJobList": jobs,
    }


def serve(answer: object, *, tls: bool = False, pages: int = 0) -> str:
    """
    Start a server that always returns the same JSON, and return its URL.

    :param pages: number of objects that the server lists page by page instead, like DRS.
    """
    body = HOME / f"answer-{random.getrandbits(64)}"
    body.write_text(json.dumps(answer))
    server = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("server.py")),
            str(body),
            _SERVER_PEM if tls else "",
            str(pages),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.kill)
    assert server.stdout
    return f"{'https' if tls else 'http'}://127.0.0.1:{server.stdout.readline().strip()}"


def connect(conn_id: str, **fields: Any) -> None:
    """Define an Airflow connection."""
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


def measure(cases: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """
    Run the rounds, after a warm-up that imports modules.

    :param cases: functions that return the measured CPU seconds.
    """
    warnings.simplefilter("ignore")  # Airflow shows them
    for case in cases.values():
        case()
    costs: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name in random.sample(list(cases), len(cases)):
            costs[name].append(cases[name]())
    return costs


class Table:
    """A table of ratios, in Markdown."""

    def __init__(self, title: str, explanation: str) -> None:
        print(f"## {title}\n\n{explanation}\n")
        print("| what | ms | beside | ms | ratio: median | lowest | highest | at most |")
        print("|---|--:|---|--:|--:|--:|--:|--:|")

    def row(
        self, costs: Mapping[str, list[float]], ours: str, theirs: str, most: float | None = None
    ) -> None:
        """Print the ratio of two cases of the same rounds."""
        ratios = [mine / other for mine, other in zip(costs[ours], costs[theirs], strict=True)]
        middle = statistics.median(ratios)
        goal = "" if most is None else f"{most:g} {'✓' if middle <= most else '✗'}"
        print(
            f"| {ours} | {_ms(costs[ours])} | {theirs} | {_ms(costs[theirs])} "
            f"| {middle:.3g} | {min(ratios):.3g} | {max(ratios):.3g} | {goal} |",
            flush=True,
        )

    def fact(self, what: str, value: str, most: str = "", *, is_met: bool | None = None) -> None:
        """Print a measurement that is not a ratio."""
        goal = most if is_met is None else f"{most} {'✓' if is_met else '✗'}"
        print(f"| {what} | | | | {value} | | | {goal} |", flush=True)


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.3g}"
