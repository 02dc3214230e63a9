"""The metrics page of a process that has no other HTTP server. Read only, no authentication: bind it to loopback."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server

from monitoring.metrics import REGISTRY


@dataclass(frozen=True)
class MetricsServer:
    """A running page; ``port`` is the bound one."""

    host: str
    port: int
    _server: WSGIServer
    _thread: threading.Thread

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def serve_metrics(host: str, port: int) -> MetricsServer:
    """Serve the metrics page from a daemon thread.

    Args:
        host: address to bind.
        port: port to bind; 0 takes a free one.

    Raises:
        OSError: the port is taken or the address is not ours.
    """
    server, thread = start_http_server(port, addr=host, registry=REGISTRY)
    return MetricsServer(host, int(server.server_port), server, thread)
