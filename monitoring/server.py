"""The pages of a process that has no other HTTP server: ``/metrics``, ``/healthz`` and ``/readyz``.

Read only, no authentication: bind it to loopback.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from weir.monitoring.health import HEALTH, Health
from weir.monitoring.metrics import CONTENT_TYPE, render_metrics

REQUEST_SECONDS_MAX = 10.0
"""For a whole request: half a request must not hold a thread for ever."""
_JSON = "application/json"

Start = Callable[[str, list[tuple[str, str]]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False  # a request under way must not hold up the end of the process


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS_MAX

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a scrape every few seconds is no event."""


@dataclass(frozen=True)
class MetricsServer:
    """Running pages; ``port`` is the bound one."""

    host: str
    port: int
    _server: WSGIServer
    _thread: threading.Thread

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def serve_metrics(host: str, port: int, health: Health = HEALTH) -> MetricsServer:
    """Serve the pages from daemon threads.

    Args:
        host: address to bind.
        port: port to bind; 0 takes a free one.
        health: what the health pages tell of.

    Raises:
        OSError: the port is taken or the address is not ours.
    """
    server = make_server(host, port, build_app(health), server_class=_Server, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return MetricsServer(host, int(server.server_port), server, thread)


def build_app(health: Health) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """Return the WSGI application."""

    def app(request: dict[str, Any], start: Start) -> Iterable[bytes]:
        status, kind, body = _answer(str(request.get("PATH_INFO", "")), health)
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [] if request.get("REQUEST_METHOD") == "HEAD" else [body]

    return app


def _answer(path: str, health: Health) -> tuple[str, str, bytes]:
    if path in {"/metrics", "/"}:
        return "200 OK", CONTENT_TYPE, render_metrics()
    if path == "/healthz":
        hanging = health.hanging()
        return _status(not hanging), _JSON, _encode({"alive": not hanging, "hanging": hanging})
    if path == "/readyz":
        ready = health.is_ready()
        checks = {name: text for name, (_, text) in health.checks().items()}
        return _status(ready), _JSON, _encode({"ready": ready, "checks": checks})
    return "404 Not Found", _JSON, _encode({"error": {"code": "http", "message": "not found"}})


def _status(well: bool) -> str:
    return "200 OK" if well else "503 Service Unavailable"


def _encode(document: object) -> bytes:
    return json.dumps(document).encode()
