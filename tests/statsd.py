"""A StatsD server that records its metrics."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from typing import Self


class StatsdServer:
    """
    Listens on a free UDP port.

    :ivar told: for each sender's port, the lines that came from there.
    """

    def __enter__(self) -> Self:
        self.told: defaultdict[int, list[str]] = defaultdict(list)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                data, (_, port) = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            self.take(port, data.decode().splitlines())

    def take(self, port: int, lines: list[str]) -> None:
        """Record the lines of a packet."""
        self.told[port] += lines

    @property
    def settings(self) -> dict[str, str]:
        """Airflow's settings for this server, as environment variables."""
        return self.settings_for(self._socket.getsockname()[1])

    @staticmethod
    def settings_for(port: int) -> dict[str, str]:
        """Airflow's settings for a server on a port of this machine, as environment variables."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def lines(self, part: str) -> list[str]:
        """Return the lines that contain a text, from all senders."""
        return [line for lines in list(self.told.values()) for line in list(lines) if part in line]
