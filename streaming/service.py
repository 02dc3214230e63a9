"""What a long-running verb does around its loop: metrics page, orderly stop, waits for the unreachable, new starts."""

from __future__ import annotations

import errno
import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from weir.infra.embedded.ports import describe_listener
from weir.infra.host import raise_limits
from weir.infra.kafka.reconnect import run_again
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.monitoring.server import serve_metrics
from weir.schemas.errors import Refused, Transient
from weir.streaming.dlq.letter import app_version

START_SECONDS_MAX = 60.0
_PAUSE_SECONDS = 0.5
T = TypeVar("T")
log = get_logger(__name__)


class Stopped(Exception):
    """We were told to stop while a dependency was unreachable."""


def open_metrics_page(settings: Settings, port: int | None) -> None:
    """Serve this process's metrics, on the settings' port if none is given; 0 serves none.

    Raises:
        Refused: the port is taken, or the process may open too few files or map too little memory.
    """
    metrics.BUILD_INFO.labels(app_version(), settings.declarations_hash).set(1)
    monitoring = settings.monitoring
    raise_limits()
    host, port = monitoring.metrics_host, monitoring.metrics_port if port is None else port
    if not port:
        return
    try:
        serve_metrics(host, port)
    except OSError as error:
        holder = f", held by {describe_listener(port)}" if error.errno == errno.EADDRINUSE else ""
        raise Refused(
            f"metrics port {port} on {host}: {error.strerror}{holder}; choose another with --metrics-port or "
            "WEIR_MONITORING__METRICS_PORT"
        ) from None


def run_service(run: Callable[[Callable[[], bool]], None]) -> None:
    """Run a loop until SIGTERM or SIGINT, again when its Kafka client was lost.

    Args:
        run: is given what says whether to stop.

    Raises:
        WeirError: what a new start by the supervisor, or an operator, has to fix.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_again(lambda: run(stop.is_set), on_lost=lambda error: log.warning("connecting_anew", error=str(error)))
    except Stopped:
        log.info("stopped_while_waiting")


def wait_for(
    ask: Callable[[], T], should_stop: Callable[[], bool] = lambda: False, *, seconds: float = START_SECONDS_MAX
) -> T:
    """Ask until a dependency answers.

    Args:
        ask: raises ``Transient`` while it is unreachable.
        should_stop: asked before each time.
        seconds: for how long at most.

    Raises:
        Transient: it stayed away.
        Stopped: while it was.
    """
    deadline = time.monotonic() + seconds
    while not should_stop():
        try:
            return ask()
        except Transient as error:
            if time.monotonic() > deadline:
                raise
            log.info("waiting", error=str(error))
            time.sleep(_PAUSE_SECONDS)
    raise Stopped
