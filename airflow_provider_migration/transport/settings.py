"""Settings and limits of the transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_ATTEMPTS: Final = 5
MAX_CALL_SECONDS: Final = 60.0
"""Maximum seconds for all attempts of a call, and for a pause that a server asks for."""
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Maximum size of an answer after decompression."""

LARGE_BODY_BYTES: Final = 64 * 1024
"""Size from which reading an answer would block the event loop for milliseconds."""

USER_AGENT: Final = "airflow-provider-migration"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportConfig:
    """
    Settings of the connection to a service.

    :param verify: True to verify TLS, False not to, or a file of certificate authorities.
    :param connect_timeout: connect timeout in seconds.
    :param read_timeout: read timeout in seconds; the total limit is twice that.
    :param region: the region from which the hosts are derived; None if the connection names the host.
    """

    verify: bool | str = True
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    region: str | None = None

    @property
    def total_timeout(self) -> float:
        """Total limit of an answer in seconds."""
        return self.read_timeout * 2

    @property
    def no_connection(self) -> str:
        """The message for a connect timeout."""
        return f"no connection within {self.connect_timeout:g} s (connect_timeout)"

    @property
    def nothing_came(self) -> str:
        """The message for a read timeout."""
        return f"no data received for {self.read_timeout:g} s (read_timeout)"

    def too_slow(self, seconds: float) -> str:
        """Return the message for an answer that exceeds its total limit in seconds."""
        if seconds < self.total_timeout:
            return f"the answer took longer than {seconds:.3g} s, all the time left after the deadline"
        return f"the answer took longer than {seconds:g} s (twice read_timeout)"
