"""Questions to the embedded servers' own pages, which speak plain HTTP on this machine."""

from __future__ import annotations

import ssl

import httpx

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody, and nobody needs to be trusted: httpx would read all certificates of the machine at each question,
60 ms of processor time, and a server that starts is asked twenty times a second."""
_SECONDS_MAX = 2


def is_served(url: str) -> bool:
    """Return whether a server answers there with 200."""
    try:
        return httpx.get(url, timeout=_SECONDS_MAX, verify=NO_CERTIFICATES).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
