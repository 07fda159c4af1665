"""Signed requests over real sockets, and a simulator to send them to."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.sansio import Request, encode_query
from airflow_provider_migration.simulator import Simulator
from tests.simulators import BriefSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DRS_PROJECT = "5237e10fe9aa4ad5b16b6a5245248314"
DRS_JOB = "163b98e8-6088-46c3-8b86-c18fea6jb502"
KEY, SECRET = "SIMULATORACCESSKEY", "simulator-secret-key"
USER, PASSWORD = "simulator", "simulator-password"

_nonces = itertools.count()


@dataclass
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def send(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
    """Send exactly these bytes."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.netloc, timeout=10)
    try:
        path = target.path + (f"?{target.query}" if target.query else "")
        connection.request(method, path or "/", body or None, dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())
    finally:
        connection.close()


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Asker:
    """Asks one simulator, signing as each service wants it; ``change`` edits the signed headers."""

    send = staticmethod(send)

    def __init__(self, simulator: Simulator, clock: Callable[[], float]) -> None:
        self.simulator = simulator
        self.clock = clock

    def alibaba(
        self,
        action: str,
        parameters: Mapping[str, str],
        *,
        key: str = KEY,
        secret: str = SECRET,
        token: str | None = None,
        version: str = "2020-01-01",
        nonce: str | None = None,
        skew: float = 0.0,
        form: bool = False,
        body: bytes | None = None,
        change: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Ask DTS or DataWorks."""
        text = encode_query(parameters.items())
        headers = {"accept": "application/json", "x-acs-action": action, "x-acs-version": version}
        if form:
            headers["content-type"] = "application/x-www-form-urlencoded"
        signer = AlibabaSigner(key, secret, token)
        request = Request(
            service="test",
            action=action,
            method="POST",
            url=f"{self.simulator.url}/" + ("" if form else f"?{text}"),
            headers=headers,
            body=text.encode() if form else b"",
            read=lambda request, response: response,
            signer=signer,
        )
        now = datetime.fromtimestamp(self.clock() + skew, UTC)
        signed = dict(signer.sign(request, now=now, nonce=nonce or f"nonce-{next(_nonces)}"))
        return send("POST", request.url, _changed(signed, change), request.body if body is None else body)

    def dts(self, job: str = "dtsdemo0001", **how: Any) -> Reply:
        """Ask for the state of a DTS job."""
        return self.alibaba("DescribeMigrationJobStatus", {"MigrationJobId": job}, **how)

    def dataworks(self, action: str, project: str = "123456", migration: str = "1234", **how: Any) -> Reply:
        """Ask for a DataWorks migration."""
        parameters = {"ProjectId": project, "MigrationId": migration}
        return self.alibaba(action, parameters, version="2020-05-18", form=True, **how)

    def huawei(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        key: str = KEY,
        secret: str = SECRET,
        security_token: str | None = None,
        token: str | None = None,
        skew: float = 0.0,
        change: Mapping[str, str | None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask DRS, signed, or with an IAM token."""
        data = b"" if body is None else json.dumps(body).encode()
        own = {"content-type": "application/json", **(headers or {})}
        if token is not None:
            return send(method, self.simulator.url + path, {**own, "x-auth-token": token}, data)
        signer = HuaweiSigner(key, secret, security_token)
        request = Request(
            service="test",
            action=path,
            method=method,
            url=self.simulator.url + path,
            headers=own,
            body=data,
            read=lambda request, response: response,
            signer=signer,
        )
        now = datetime.fromtimestamp(self.clock() + skew, UTC)
        return send(
            method, request.url, _changed(dict(signer.sign(request, now=now, nonce="")), change), data
        )

    def drs_objects(
        self,
        object_type: str = "table",
        query: str = "",
        *,
        job: str = DRS_JOB,
        project: str = DRS_PROJECT,
        **how: Any,
    ) -> Reply:
        """Ask for progress-data."""
        path = f"/v5/{project}/jobs/{job}/progress-data/{object_type}" + (f"?{query}" if query else "")
        return self.huawei("GET", path, **how)

    def drs_jobs(self, *jobs: str, project: str = DRS_PROJECT, **how: Any) -> Reply:
        """Ask for batch-progress."""
        body = {"jobs": list(jobs) or [DRS_JOB]}
        return self.huawei("POST", f"/v3/{project}/jobs/batch-progress", body=body, **how)

    def iam_token(
        self, *, password: str = PASSWORD, scope: Mapping[str, Any] | None = None, query: str = ""
    ) -> Reply:
        """Ask IAM for a token."""
        user = {"name": USER, "password": password, "domain": {"name": "simulator-domain"}}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        auth["scope"] = {"project": {"name": "cn-north-4"}} if scope is None else scope
        url = f"{self.simulator.url}/v3/auth/tokens{query}"
        return send("POST", url, {"content-type": "application/json"}, json.dumps({"auth": auth}).encode())

    def oms(self, project: str = "p_demo0001", *, user: str = USER, password: str = PASSWORD) -> Reply:
        """Ask for the progress of an OMS project."""
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        url = f"{self.simulator.url}/api/omsp/v2/migrations/{project}/progress"
        return send("GET", url, {"authorization": f"Basic {credentials}"})

    def oms_action(
        self, action: str, body: Any = None, *, user: str = USER, password: str = PASSWORD
    ) -> Reply:
        """Ask with an action of the newer API."""
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Basic {credentials}", "content-type": "application/json"}
        return send("POST", f"{self.simulator.url}/api/v2?Action={action}", headers, data)


def _changed(headers: dict[str, str], change: Mapping[str, str | None] | None) -> dict[str, str]:
    merged = {**headers, **(change or {})}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture
def clock() -> Clock:
    """Tell the time of the simulator and of the requests."""
    return Clock()


@pytest.fixture
def play(clock: Clock) -> Iterator[Callable[..., Asker]]:
    """Start simulators, and end them after the test."""
    with ExitStack() as started:

        def start(scenario: Any = None, **options: Any) -> Asker:
            simulator = started.enter_context(BriefSimulator(scenario, clock=clock, **options))
            return Asker(simulator, clock)

        yield start


@pytest.fixture
def ask(play: Callable[..., Asker]) -> Asker:
    """Ask the built-in scenario."""
    return play()
