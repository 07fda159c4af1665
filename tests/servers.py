"""A scripted server on a real socket, which may also break the protocol."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

Send = Callable[[bytes], None]


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """
    An answer, sent piece by piece, and the end of its connection.

    :param pieces: the bytes, which may have no end.
    :param pause: seconds before each piece but the first.
    :param then: ``keep`` the connection, ``close`` it, ``reset`` it, or ``hold`` it and say nothing more.
    """

    pieces: Callable[[], Iterator[bytes]] | tuple[bytes, ...] = ()
    pause: float = 0.0
    then: str = "keep"


def http(
    status: int = 200, body: bytes = b"{}", headers: Mapping[str, str] | None = None, *, then: str = "keep"
) -> Reply:
    """Make an ordinary answer."""
    lines = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Reply((f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body,), then=then)


NO_TUNNEL = http(407, b"", then="close")
"""Response of a proxy that requires a password."""


def endless(piece: bytes, *, after: bytes = b"", pause: float = 0.0) -> Reply:
    """Make an answer that never ends."""

    def pieces() -> Iterator[bytes]:
        yield after
        while True:
            yield piece

    return Reply(pieces, pause)


@dataclass
class Server:
    """
    Listens on a free port and gives its replies in turn, the last one again and again.

    :param replies: the replies; a function gets the request.
    :param tls: with this, https.
    """

    replies: list[Reply | Callable[[Asked], Reply]]
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)
    accepted: int = 0

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(
            (self.host, 0), family=socket.AF_INET6 if ":" in self.host else socket.AF_INET
        )
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for item in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
                self._sockets.append(client)
            with client, client.makefile("rb") as stream:
                while self._answer(client, stream):
                    pass

    def _answer(self, client: socket.socket, stream: io.BufferedReader) -> bool:
        readline, read = stream.readline, stream.read
        if stream.peek(1)[:1] == b"\x16":  # TLS, where none was expected
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return False
        first = readline().decode().split()
        if not first:
            return False
        headers = {}
        while line := readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        asked = Asked(first[0], first[1], headers, read(int(headers.get("content-length", 0))))
        self.asked.append(asked)
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        if not isinstance(reply, Reply):
            reply = reply(asked)
        if asked.method == "CONNECT" and reply is not NO_TUNNEL:
            return self._tunnel(client, asked)
        for number, piece in enumerate(reply.pieces() if callable(reply.pieces) else reply.pieces):
            if number and self._ended.wait(reply.pause):
                return False
            client.sendall(piece)
        if reply.then == "hold":
            self._ended.wait()
        if reply.then == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return reply.then == "keep"

    def _tunnel(self, client: socket.socket, asked: Asked) -> bool:
        host, _, port = asked.target.rpartition(":")
        with socket.create_connection((host, int(port))) as target:
            self._sockets.append(target)
            client.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(target, client), daemon=True)
            back.start()
            _pump(client, target)
            back.join(5)
        return False


def _pump(source: socket.socket, destination: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)
