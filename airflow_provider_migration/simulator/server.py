"""HTTP server: one port for all services, faults on the wire, a record of the requests."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_migration.simulator.alibaba import Alibaba
from airflow_provider_migration.simulator.faults import Faults
from airflow_provider_migration.simulator.huawei import Huawei
from airflow_provider_migration.simulator.identity import base_url, connections
from airflow_provider_migration.simulator.oms import Oms
from airflow_provider_migration.simulator.playback import Playback
from airflow_provider_migration.simulator.scenario import Fault, Scenario
from airflow_provider_migration.simulator.wire import Answer, Call, Identifiers, Refused, Vendor, html_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_KEPT_REQUESTS = 10_000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """
    One received request.

    :param time: by the simulator's clock.
    :param service: ``dataworks``, ``dts``, ``oms``, ``drs``, ``iam``; ``alibaba`` if unknown.
    :param action: the vendor's name of the call, else method and path.
    :param id: the requested migration, as text; empty if none was named.
    :param status: the HTTP status of the response; 0 for a dropped connection.
    :param fault: the kind of the injected fault, or None.
    """

    time: float
    service: str
    action: str
    id: str
    status: int
    fault: str | None = None


class Simulator:
    """
    The simulator, on its own port and thread; a context manager.

    Leaving the context stops the thread and closes every socket.

    :param scenario: a :class:`~airflow_provider_migration.simulator.scenario.Scenario`, its content as a
        mapping, or the path of a YAML file; without it, the built-in one.
    :param host: the address to listen on.
    :param port: the port; 0 picks a free one.
    :param speed: seconds of script per second of clock.
    :param seed: overrides the scenario's seed.
    :param clock: returns the time in epoch seconds for ``Date`` headers, signatures, tokens and scripts; the
        scenario's ``clock_offset`` is added.
    :raises ScenarioError: if the scenario is invalid.
    :raises ValueError: if the speed is not a positive number.
    """

    def __init__(
        self,
        scenario: Scenario | Mapping[str, Any] | str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ValueError(f"speed must be a positive number, not {speed}")
        self.scenario: Scenario = Scenario.load(scenario)
        self.host = host
        self.port: int = port
        seed = self.scenario.seed if seed is None else seed
        identifiers = Identifiers(seed)
        self._clock: Callable[[], float] = lambda: clock() + self.scenario.clock_offset
        self._playback = Playback(self.scenario, clock=self._clock, speed=speed)
        self._faults = Faults(self.scenario.faults, seed)
        self._huawei = Huawei(self._playback, identifiers)
        self._records: deque[RequestRecord] = deque(maxlen=_KEPT_REQUESTS)
        self._writes = 0
        huawei = self._endpoint(self._huawei)
        self.app: Starlette = Starlette(
            routes=[
                Route("/api/{path:path}", self._endpoint(Oms(self._playback, identifiers)), methods=_METHODS),
                Route("/v3/{path:path}", huawei, methods=_METHODS),
                Route("/v3.0/{path:path}", huawei, methods=_METHODS),
                Route("/v5/{path:path}", huawei, methods=_METHODS),
                Route("/{path:path}", self._endpoint(Alibaba(self._playback, identifiers)), methods=_METHODS),
            ]
        )
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL, such as ``http://127.0.0.1:8100``."""
        return base_url(self.host, self.port)

    @property
    def requests(self) -> list[RequestRecord]:
        """The latest 10,000 requests, the oldest first."""
        return list(self._records)

    @property
    def writes(self) -> int:
        """Number of requests that tried to change something; all were refused."""
        return self._writes

    def connections(self) -> dict[str, dict[str, Any]]:
        """Return the four default Airflow connections to this simulator, by connection id."""
        return connections(self.url)

    def jump(self, service: str, migration_id: str | int, seconds: float) -> None:
        """
        Move a migration to a second of its script, polled before or not; it continues from there.

        :raises KeyError: if the scenario has no such migration.
        """
        self._playback.jump(service, str(migration_id), seconds)

    def set_faults(self, *faults: Mapping[str, Any]) -> None:
        """
        Replace the faults on the wire, for example during a throttling test.

        :param faults: as in a scenario; none to disable faults.
        """
        seed = self.scenario.seed
        self._faults = Faults(Scenario.load({"faults": list(faults)}).faults, seed)

    def revoke_tokens(self) -> None:
        """Revoke every issued IAM token and agency key, as after a change of permissions."""
        self._huawei.revoke_tokens()

    def start(self) -> None:
        """
        Start listening; return when requests are served.

        :raises OSError: if the address is not available.
        :raises RuntimeError: if it is running already.
        """
        if self._thread is not None:
            raise RuntimeError("the simulator is running already")
        listener = self._listen()
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self.app,
            http=_DroppableProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name=f"simulator-{self.port}", daemon=True
        )
        self._thread.start()
        while not self._server.ready.wait(0.1):
            if not self._thread.is_alive():  # pragma: no cover  only were uvicorn itself to fail
                listener.close()
                raise RuntimeError("the simulator ended before it listened")

    def stop(self) -> None:
        """
        Stop the thread and close every socket; does nothing if not started.

        Playback continues with the clock, and :meth:`start` listens on the same port again.
        """
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        family, kind, protocol, _, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
        return listener

    def _endpoint(self, vendor: Vendor) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            call = Call(
                method=request.method,
                path=request.scope["raw_path"].decode("latin-1"),
                query=request.scope["query_string"].decode("latin-1"),
                headers=dict(request.headers),
                body=await request.body(),
            )
            try:
                return await self._respond(vendor, call)
            except Exception:
                _LOG.exception("the simulator failed at %s %s", call.method, call.path)
                raise

        return endpoint

    async def _respond(self, vendor: Vendor, call: Call) -> Response:
        subject = vendor.subject(call)
        if subject.writes:
            self._writes += 1
        fault: Fault | None = None
        try:
            vendor.admit(call)
            fault = self._faults.next(subject.service)
            answer = _instead(vendor, call, fault) or vendor.answer(call)
        except Refused as refused:
            answer = refused.answer
        kind = fault.kind if fault else None
        status = 0 if kind == "drop" else answer.status
        self._records.append(
            RequestRecord(self._clock(), subject.service, subject.action, subject.id, status, kind)
        )
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.delay)
        response_class = _BROKEN_RESPONSES.get(kind or "", Response)
        date = formatdate(self._clock(), usegmt=True)
        headers = {"date": date, **answer.headers, "content-type": answer.content_type}
        return response_class(answer.body, answer.status, headers)


def _instead(vendor: Vendor, call: Call, fault: Fault | None) -> Answer | None:
    match fault:
        case Fault(kind="throttle"):
            return vendor.throttled(call, hint=None, status=fault.status)
        case Fault(kind="throttle_with_hint"):
            return vendor.throttled(call, hint=fault.hint, status=fault.status)
        case Fault(kind="server_error"):
            return vendor.broken(call, status=fault.status)
        case Fault(kind="html"):
            status = fault.status or 502
            return Answer(status, html_page(status, "Bad Gateway"))
    return None


class _TruncatedResponse(Response):
    """Announces the whole body, sends the first half, and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


class _DroppedResponse(Response):
    """Closes the connection without a response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["transport"].abort()
        # Returning before the disconnect is noticed would send a 500.
        await receive()


_BROKEN_RESPONSES: dict[str, type[Response]] = {"truncated": _TruncatedResponse, "drop": _DroppedResponse}


class _DroppableProtocol(H11Protocol):
    """Gives responses access to their connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Signals when it is listening."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
