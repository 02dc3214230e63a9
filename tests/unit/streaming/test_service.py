from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from weir.infra.kafka.clients import ClientLost
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused, Transient
from weir.streaming.service import Stopped, open_metrics_page, run_service, wait_for


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    held = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in held.items():
        signal.signal(number, handler)


def _away() -> None:
    raise Transient("away")


def test_what_answers_at_last_is_returned() -> None:
    answers: Iterator[Exception | int] = iter([Transient("away"), 7])

    def ask() -> int:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    assert wait_for(ask) == 7


def test_what_stays_away_is_not_waited_for_for_ever() -> None:
    with pytest.raises(Transient):
        wait_for(_away, seconds=-1.0)


def test_a_stop_while_waiting_is_not_taken_for_a_failure() -> None:
    told = iter([False, True])
    with pytest.raises(Stopped):
        wait_for(_away, lambda: next(told))


def test_a_signal_ends_a_loop_that_lost_its_client_and_waits_for_brokers_that_are_away() -> None:
    """``run LOST, run [brokers away, SIGTERM]``: it used to start again until its patience ended."""
    starts: list[int] = []

    def run(should_stop: Callable[[], bool]) -> None:
        starts.append(1)
        if len(starts) == 1:
            raise ClientLost("fenced")
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(_away, should_stop)

    run_service(run)
    assert len(starts) == 2


def test_a_metrics_port_that_is_taken_is_refused_with_the_mend() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Refused, match="--metrics-port"):
            open_metrics_page(load_settings({}), taken.getsockname()[1])
