"""Proxies of the environment."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit


class BadAddressError(ValueError):
    """An invalid address of a proxy."""


def proxy_of(url: str) -> str | None:
    """
    Return the proxy for an address, as requests finds it in ``HTTP_PROXY``, ``NO_PROXY`` and the like.

    Cached per server for the life of the process, because a look-up costs as much as a request.
    """
    return _proxy(*server_of(url))


def server_of(url: str) -> tuple[str, str]:
    """Return scheme and host of an address."""
    parts = urlsplit(url.partition("?")[0])  # without the query, so that urlsplit can cache it
    return parts.scheme, parts.netloc


@lru_cache(maxsize=1024)
def _proxy(scheme: str, server: str) -> str | None:
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    url = f"{scheme}://{server}/"
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    address = str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call] # of requests
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        raise BadAddressError
    return address
