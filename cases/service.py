"""Runs ``weir cases follow`` until it is told to stop."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial

from weir.cases.follow import run_cases
from weir.infra.kafka.instance_claim import Place
from weir.infra.settings import Settings
from weir.monitoring.logs import configure
from weir.streaming.health.checks import start_watch
from weir.streaming.service import open_metrics_page, run_service


def follow(settings: Settings, *, instance: int, since_ms: int, metrics_port: int | None) -> None:
    """Open cases and send labels until SIGTERM or SIGINT.

    Args:
        settings: of this deployment and stream.
        instance: ordinal, unique per running process.
        since_ms: how far back the first start goes, in milliseconds from now.
        metrics_port: in place of the settings'.

    Raises:
        WeirError: what a new start by the supervisor, or an operator, has to fix.
    """
    configure(settings.monitoring.log_level, settings.monitoring.log_format, f"cases-{instance}")
    open_metrics_page(settings, metrics_port)
    place = Place(settings.kafka, group=settings.scorer.cases_group, instance=instance, topic=settings.topics.decisions)
    run = partial(
        run_cases,
        settings,
        instance=instance,
        since_ms=int(time.time() * 1_000) - since_ms,
        enter_place=place.enter,
    )
    with closing(start_watch(settings, stages=(), redis=False)):
        run_service(lambda should_stop: run(should_stop=should_stop))
