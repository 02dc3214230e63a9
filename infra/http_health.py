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
    port, api = settings.monitoring.metrics_port, settings.api
    if port:
        return f"http://127.0.0.1:{port}/healthz"
    host = "127.0.0.1" if api.host == "0.0.0.0" else api.host  # noqa: S104 # nosec B104 # compared with
    return f"{'https' if api.tls_key else 'http'}://{host}:{api.port}/readyz"


def main() -> int:
    """Ask once. Exit code 0 when the answer is 200, 1 otherwise."""
    try:
        # it asks itself: its certificate is of a name that others know it by
        answer = httpx.get(health_url(load_settings()), timeout=_TIMEOUT_SECONDS, verify=False)  # noqa: S501 # nosec B501
        return 0 if answer.status_code == 200 else 1
    except httpx.TransportError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
