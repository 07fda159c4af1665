"""TLS contexts, and the certificate authorities that they trust."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

from airflow_provider_migration.exceptions import MigrationConfigurationError


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """
    Return a cached TLS context; creating one costs as much as a hundred polls.

    :param verify: as in :class:`TransportConfig`; with True, ``REQUESTS_CA_BUNDLE`` and
        ``CURL_CA_BUNDLE`` count.
    :raises MigrationConfigurationError: if the certificate authorities cannot be read.
    """
    return _tls_context(*tls_key(verify))


def tls_key(verify: bool | str) -> tuple[bool | str, tuple[int, ...]]:
    """
    Return the cache key of a TLS context: the authorities, and the state of their file.

    :param verify: as in :class:`TransportConfig`.
    """
    if verify is True:
        verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    if isinstance(verify, bool):
        return verify, ()
    try:
        state = os.stat(verify)  # noqa: PTH116 # a Path costs three times as much, at each poll
    except OSError:
        return verify, ()
    return verify, (state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=16)
def _tls_context(verify: bool | str, state: tuple[int, ...]) -> ssl.SSLContext:
    from certifi import where

    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    authorities = where() if verify is True else verify
    is_directory = Path(authorities).is_dir()
    try:
        return ssl.create_default_context(
            cafile=None if is_directory else authorities, capath=authorities if is_directory else None
        )
    except OSError as error:
        problem = MigrationConfigurationError(
            f"The certificate authorities in {authorities} cannot be read ({error.strerror}): set verify "
            "in the connection's extra, or REQUESTS_CA_BUNDLE, to a PEM file.",
            reason="tls",
            tolerated_after_success=True,
        )
    raise problem
