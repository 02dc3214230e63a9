"""Wires the console to the keys and the API, and serves it until told to stop."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import closing

from weir.access.keyring import Keyring
from weir.access.store import KeyStore
from weir.console.api import LIVE_MAX, Api, build_client
from weir.console.app import ConsoleParts, build_console
from weir.console.guard import Cookies, Guard
from weir.console.session import Sessions
from weir.inference.api.web.listening import HOST, bind
from weir.inference.api.web.server import Tls, build_crowd, build_server
from weir.infra.database.engine import open_database
from weir.infra.host import raise_limits
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused
from weir.schemas.project import ServedStreams

_LOOPBACK = frozenset({HOST, "localhost"})
log = get_logger(__name__)


def run_console(settings: Settings, served: ServedStreams, *, host: str | None = None, port: int | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: of this deployment.
        served: the streams.
        host: in place of the settings'.
        port: likewise; 0 takes a free one.

    Raises:
        Refused: another address than 127.0.0.1 without HTTPS, or a port that is taken.
        Transient: the database of the keys is unreachable at the start.
    """
    own = settings.console
    raise_limits()
    host, port = own.host if host is None else host, own.port if port is None else port
    if host != HOST and not own.is_secure:
        raise Refused(
            f"expected host {HOST} without TLS, found {host}; give WEIR_CONSOLE__TLS_CERTIFICATE and "
            "WEIR_CONSOLE__TLS_KEY, or WEIR_CONSOLE__BEHIND_PROXY=true where a proxy of yours speaks HTTPS in front"
        )
    tls = Tls(own.tls_certificate, own.tls_key)
    tls.check()
    with bind(host, port, setting="WEIR_CONSOLE__PORT") as listening, closing(_open_keyring(settings)) as keyring:
        hosts = _LOOPBACK if host == HOST and not own.is_secure else frozenset[str]()
        api = _build_api(settings)
        parts = build_parts(settings, served, keyring, api, hosts=hosts)
        at = f"{listening.getsockname()[0]}:{listening.getsockname()[1]}"
        sys.stdout.write(f"serving the console at {'https' if own.tls_key else 'http'}://{at}\n")
        sys.stdout.flush()
        server = build_server(build_console(parts), build_crowd(), tls=tls, plain_errors=False)
        # uvicorn stops in order on these, then raises them again: a stop that was asked for ends with exit code 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listening])
    return 0


def build_parts(
    settings: Settings, served: ServedStreams, keyring: Keyring, api: Api, *, hosts: frozenset[str]
) -> ConsoleParts:
    """Return what the console stands on."""
    own = settings.console
    sessions = Sessions(
        keyring.find,
        idle_seconds=own.idle_minutes * 60,
        seconds_max=own.session_hours * 3_600,
        monotonic=time.monotonic,
    )
    return ConsoleParts(
        api=api,
        guard=Guard(sessions, Cookies(secure=own.is_secure)),
        streams={stream.name: stream for stream in served.streams},
        hosts=hosts,
        now_ms=lambda: int(time.time() * 1_000),
    )


def _build_api(settings: Settings) -> Api:
    own, api = settings.console, settings.api
    url = own.api_url or f"{'https' if api.tls_key else 'http'}://{api.host}:{api.port}"
    live = build_client(url, own.api_ca_location, LIVE_MAX)
    return Api(build_client(url, own.api_ca_location), keyed=api.keys == "required", live=live)


def _open_keyring(settings: Settings) -> Keyring:
    keyring = Keyring(KeyStore(open_database(settings)), lambda: int(time.time() * 1_000))
    if keyring.is_empty:
        log.warning("no_key", fix="weir keys create NAME --scopes read,review")
    return keyring
