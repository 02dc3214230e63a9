"""The HTTP server: uvicorn with our connections, bounded by what the process may have open."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI

from weir.inference.api.web.connection import Connection, Limits
from weir.inference.api.web.crowd import Crowd
from weir.inference.api.web.errors import JSON, PROBLEM
from weir.inference.api.web.load import Load
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused

CONNECTIONS_MAX = 1_000
"""More than any caller's pool on one machine, and what a process of 1,024 files can hold at most."""
_SPARE = 16
"""Connections beyond the bound, for health checks while all others are being answered."""
_FILES_OF_OTHERS = 96
"""Files and sockets that the process needs besides: Redis and Kafka clients, model, kernel cache, and some to spare."""
_CONNECTIONS_LEAST = 16
_STOP_SECONDS = 10
log = get_logger(__name__)


def build_crowd() -> Crowd:
    """Return an empty crowd as large as the process's limit on open files allows.

    Raises:
        Refused: fewer than ``_CONNECTIONS_LEAST`` connections would fit.
    """
    files = _raise_files_limit(CONNECTIONS_MAX + _SPARE + _FILES_OF_OTHERS)
    room = min(files - _FILES_OF_OTHERS - _SPARE, CONNECTIONS_MAX)
    if room < _CONNECTIONS_LEAST:
        least = _CONNECTIONS_LEAST + _FILES_OF_OTHERS + _SPARE
        raise Refused(f"expected a limit of at least {least} open files, found {files}; raise it with `ulimit -n`")
    if room < CONNECTIONS_MAX:
        log.warning("few_open_files", limit=files, connections_max=room)
    return Crowd(members_max=room, spare=_SPARE)


class Tls(NamedTuple):
    """Files of PEM by which HTTPS is spoken; HTTP where both are ``""``."""

    certificate: str = ""
    key: str = ""

    def check(self) -> None:
        """Look at the files before anything is loaded.

        Raises:
            Refused: they are no certificate and its private key, or a password is asked for.
        """
        if not self.key:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise Refused(f"expected a certificate and its private key as PEM, found other files: {reason}") from None


def _no_password() -> str:
    raise ValueError("the private key has a password, and a service has nobody to ask for it")


class _Server(uvicorn.Server):
    """Says that it stops before it waits for the answers that are being made: some have no end of their own."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


def build_server(
    app: FastAPI,
    crowd: Crowd,
    *,
    limits: Limits | None = None,
    load: Load | None = None,
    tls: Tls | None = None,
    plain_errors: bool = True,
    on_stop: Callable[[], None] = lambda: None,
) -> uvicorn.Server:
    """Return a server for sockets that are bound already.

    Args:
        app: to serve.
        crowd: of its connections.
        limits: of each of them.
        load: judges whether one more request would wait too long.
        tls: without it HTTP is spoken.
        plain_errors: see ``inference.api.middleware.Watched``; what a connection accepts is not known here.
        on_stop: called when it begins to stop.
    """
    limits, tls, load = limits or Limits(), tls or Tls(), Load() if load is None else load

    async def sweep() -> None:
        # on the server's own tick, once a second
        crowd.sweep(asyncio.get_running_loop().time())

    connection: Any = partial(
        Connection, crowd=crowd, limits=limits, load=load, error_type=JSON if plain_errors else PROBLEM
    )
    config = uvicorn.Config(
        app,
        # by name: found missing it stops the start, where "auto" would quietly serve at half the speed
        loop="uvloop",
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        # its access log would hold ids from paths; our metrics count requests instead
        access_log=False,
        server_header=False,
        # the audit log has the address that we see: X-Forwarded-For is the client's own text
        proxy_headers=False,
        callback_notify=sweep,
        timeout_notify=0,
        timeout_graceful_shutdown=_STOP_SECONDS,
        ssl_certfile=tls.certificate or None,
        ssl_keyfile=tls.key or None,
    )
    return _Server(config, on_stop)


def _raise_files_limit(wanted: int) -> int:
    """Raise the soft limit as far as it goes and is wanted; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return wanted if soft == resource.RLIM_INFINITY else soft
