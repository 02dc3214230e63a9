"""A container's health check: ``python -m weir.infra.http_health`` asks its own process whether it is well.

A process that serves metrics answers ``/healthz`` there, which says whether its loop turns; the API, whose loop is the
one that answers, says by ``/readyz`` whether Redis, Kafka and the model are there.
"""

from __future__ import annotations

import sys

import httpx

from weir.infra.settings import Settings, load_settings

_TIMEOUT_SECONDS = 4


def health_url(settings: Settings) -> str:
    """Return the page to ask: the health of the loop where metrics are served, else the API's readiness.

    >>> health_url(Settings())
    'http://127.0.0.1:8000/readyz'
    """
    port = settings.monitoring.metrics_port
    return f"http://127.0.0.1:{port}/healthz" if port else f"http://127.0.0.1:{settings.api.port}/readyz"


def main() -> int:
    """Ask once. Exit code 0 when the answer is 200, 1 otherwise."""
    try:
        return 0 if httpx.get(health_url(load_settings()), timeout=_TIMEOUT_SECONDS).status_code == 200 else 1
    except httpx.TransportError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
