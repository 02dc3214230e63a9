from __future__ import annotations

import pytest

from weir.infra.kafka.clients import ClientLost
from weir.infra.kafka.reconnect import CALM_SECONDS, PAUSE_SECONDS, TROUBLE_SECONDS_MAX, run_again
from weir.schemas.errors import Transient

LOST, AWAY = ClientLost("lost"), Transient("away")


class Script:
    """Runs that take so many seconds and end so, one after another; a clock that they move."""

    def __init__(self, *runs: tuple[float, Exception | None]) -> None:
        self.runs = list(runs)
        self.now = 0.0
        self.told: list[Exception] = []
        self.pauses: list[float] = []

    def run(self) -> None:
        seconds, error = self.runs.pop(0)
        self.now += seconds
        if error is not None:
            raise error

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def play(self) -> None:
        run_again(self.run, on_lost=self.told.append, clock=lambda: self.now, sleep=self.sleep)


def test_a_loop_that_ends_well_is_not_run_again() -> None:
    script = Script((1.0, None))
    script.play()
    assert (script.runs, script.told) == ([], [])


def test_a_lost_client_is_replaced_and_the_loss_is_told() -> None:
    script = Script((1.0, LOST), (5.0, None))
    script.play()
    assert script.told == [LOST]


def test_a_client_lost_again_and_again_is_replaced_each_time_with_longer_pauses() -> None:
    script = Script(*[(1.0, LOST)] * 6, (1.0, None))
    script.play()
    assert script.told == [LOST] * 6
    assert script.pauses == [*PAUSE_SECONDS, PAUSE_SECONDS[-1], PAUSE_SECONDS[-1]]


def test_a_loss_after_a_calm_run_is_new_trouble() -> None:
    script = Script((1.0, LOST), (1.0, LOST), (TROUBLE_SECONDS_MAX, LOST), (CALM_SECONDS + 1, LOST), (1.0, None))
    script.play()
    assert script.pauses == [PAUSE_SECONDS[0], PAUSE_SECONDS[1], PAUSE_SECONDS[0], PAUSE_SECONDS[0]]


def test_a_client_lost_again_and_again_for_too_long_ends_the_process() -> None:
    times = int(TROUBLE_SECONDS_MAX / (CALM_SECONDS - 1)) + 2
    with pytest.raises(ClientLost):
        Script(*[(CALM_SECONDS - 1, LOST)] * times, (1.0, None)).play()


def test_brokers_that_are_away_at_the_first_start_end_the_process() -> None:
    with pytest.raises(Transient):
        Script((60.0, AWAY)).play()


def test_brokers_that_stay_away_after_a_loss_are_waited_for_and_not_for_ever() -> None:
    patient = Script((1.0, LOST), (60.0, AWAY), (60.0, AWAY), (1.0, None))
    patient.play()
    assert patient.told == [LOST, AWAY, AWAY]
    with pytest.raises(Transient):
        Script((1.0, LOST), (TROUBLE_SECONDS_MAX + 1, AWAY)).play()
