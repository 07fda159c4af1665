"""
The benchmarks' server, in its own process.

``python server.py BODY PEM OBJECTS`` prints its port. It answers every request with the same body. With a
PEM file of key and certificate it speaks TLS. With a number of objects it lists these by pages where it is
asked for ``progress-data``, as DRS does.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
from email.utils import formatdate
from functools import cache
from pathlib import Path


def answer(body: bytes) -> bytes:
    """Return a response with its head."""
    head = (
        b"HTTP/1.1 200 OK\r\nServer: benchmark\r\nDate: %s\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    # A clock that differs by more than minutes would be a warning at each first poll.
    return head % (formatdate(usegmt=True).encode(), len(body)) + body


@cache
def page_of(objects: int, limit: int, offset: int) -> bytes:
    """Return a page of a list of objects, every second one completed."""
    rows = [
        {
            "src_db": "warehouse_production",
            "src_tb": f"customer_orders_partition_{number:06}",
            "dst_db": "warehouse_production",
            "dst_tb": f"customer_orders_partition_{number:06}",
            "progress": "100" if number % 2 else str(number % 100),
        }
        for number in range(offset, min(offset + limit, objects))
    ]
    page = {"count": objects, "create_time": "1686038576882", "flow_compare_data": rows}
    return json.dumps(page).encode()


class Answering(asyncio.Protocol):
    """Answers each complete request, and keeps the connection alive."""

    def __init__(self, body: bytes, objects: int) -> None:
        self.answer = answer(body)
        self.objects = objects
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer complete requests."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            length = 0
            if (at := head.find(b"\r\ncontent-length:")) >= 0:
                length = int(head[at + 17 :].split(b"\r\n", 1)[0])
            if len(self.received) < end + 4 + length:
                return
            self.received = self.received[end + 4 + length :]
            listing = self.objects and re.search(rb"/progress-data/.*limit=(\d+)&offset=(\d+)", head)
            page = answer(page_of(self.objects, *map(int, listing.groups()))) if listing else self.answer
            self.transport.write(page)  # type: ignore[attr-defined] # of a socket


async def main(body: bytes, pem: str, objects: int) -> None:
    """Serve until the process is ended."""
    tls = None
    if pem:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pem)
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(body, objects), "127.0.0.1", 0, ssl=tls
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes(), sys.argv[2], int(sys.argv[3])))
