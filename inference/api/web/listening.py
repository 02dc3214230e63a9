"""The socket that the API listens on: bound here, or held by the parent process and handed over."""

from __future__ import annotations

import errno
import socket

from weir.infra.embedded.ports import describe_listener
from weir.infra.settings import ApiSettings
from weir.schemas.errors import Refused

HOST = "127.0.0.1"
_BACKLOG = 1_024


def check_host(host: str, api: ApiSettings) -> None:
    """Let other addresses than the loopback's be served with keys alone, and keys travel encrypted alone.

    Raises:
        Refused: with the fix.
    """
    if host == HOST:
        return
    if api.keys != "required":
        raise Refused(f"expected host {HOST} without keys, found {host}; WEIR_API__KEYS=required asks for keys")
    if not api.tls_key and not api.behind_proxy:
        raise Refused(
            f"expected host {HOST} without TLS, found {host}; give WEIR_API__TLS_CERTIFICATE and WEIR_API__TLS_KEY, or "
            "WEIR_API__BEHIND_PROXY=true where a proxy of yours speaks HTTPS in front"
        )


def bind(host: str, port: int, *, setting: str = "WEIR_API__PORT") -> socket.socket:
    """Take the port before anything is loaded.

    Args:
        host: an address of this machine.
        port: 0 for a free one.
        setting: that names another port, for the fix.

    Raises:
        Refused: with the fix.
    """
    # the protocol by name: asyncio turns Nagle's delay (40 ms an answer) off only where it reads IPPROTO_TCP
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        holder = f", held by {describe_listener(port)}" if error.errno == errno.EADDRINUSE else ""
        raise Refused(
            f"port {port} on {host}: {error.strerror}{holder}; choose another with --port or {setting}"
        ) from None
    return listening


def inherit(descriptor: int) -> socket.socket:
    """Take over a socket that was opened before this process began.

    Raises:
        Refused: it is no listening socket of 127.0.0.1.
    """
    try:
        listening = socket.socket(fileno=descriptor)
    except OSError as error:
        raise Refused(f"--fd: expected a listening socket, found descriptor {descriptor}: {error.strerror}") from None
    listens = listening.family == socket.AF_INET and listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or listening.getsockname()[0] != HOST:
        listening.close()
        raise Refused(f"--fd: expected a socket that listens on {HOST}, found another; --port takes a port by itself")
    return listening
