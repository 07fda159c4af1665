"""Servers that take the messages of notifiers: a webhook, a proxy in front of the chats, a mail server."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class _Sink:
    """Listens on a free port of loopback, each connection in a thread of its own; a context manager."""

    server: socketserver.TCPServer

    @property
    def port(self) -> int:
        """The port."""
        return int(self.server.server_address[1])

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@dataclass(frozen=True)
class Posted:
    """
    A message that was posted.

    :param at: epoch seconds of its arrival.
    :param host: the server that the sender meant.
    :param body: the body, read as JSON if it is.
    """

    at: float
    host: str
    path: str
    headers: dict[str, str]
    body: Any


class WebhookSink(_Sink):
    """
    A webhook that answers as Slack, DingTalk, WeCom, Feishu, Lark and Teams do to a message that they take.

    It is also a proxy that answers in the place of every host.

    :param tls: for connections through the proxy.
    :param on_arrival: called with each message before it is answered.
    """

    ANSWER = json.dumps({"ok": True, "errcode": 0, "code": 0, "StatusCode": 0}).encode()

    def __init__(
        self, tls: ssl.SSLContext | None = None, on_arrival: Callable[[Posted], None] | None = None
    ) -> None:
        self.posted: list[Posted] = []
        self.on_arrival = on_arrival
        self.status = 200
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer in two packets would wait for the first one's acknowledgement.
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                sink._take(self.path, dict(self.headers), body)
                # Slack's webhooks answer in plain text, and its API in JSON.
                answer = b"ok" if self.path.startswith("/services/") else sink.ANSWER
                self.send_response(sink.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_CONNECT(self) -> None:
                assert tls is not None
                self.send_response_only(200)
                self.end_headers()
                self.wfile.flush()
                self.request = tls.wrap_socket(self.request, server_side=True)
                self.setup()
                self.close_connection = False

            def finish(self) -> None:
                super().finish()
                self.request.close()  # the server itself closes only what TLS was put over

            def log_message(self, *_: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            request_queue_size = 1024
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Say nothing of a sender that was killed."""

        self.server = Listener(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        try:
            read: Any = json.loads(body)
        except ValueError:
            read = body.decode(errors="replace")
        posted = Posted(time.time(), headers.get("Host", ""), path, headers, read)
        self.posted.append(posted)
        if self.on_arrival is not None:
            self.on_arrival(posted)


class MailSink(_Sink):
    """A mail server without TLS and login."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        mails = self.mails

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.say("220 sink")
                while line := self.rfile.readline():
                    match line[:4].upper().strip():
                        case b"EHLO" | b"HELO":
                            self.say("250 sink")
                        case b"DATA":
                            self.say("354 go on")
                            lines = iter(self.rfile.readline, b".\r\n")
                            content = b"".join(line.removeprefix(b".") for line in lines)
                            mails.append(message_from_bytes(content, EmailMessage, policy=policy.default))
                            self.say("250 taken")
                        case b"QUIT":
                            self.say("221 bye")
                            return
                        case _:
                            self.say("250 ok")

            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
