from __future__ import annotations

import pytest

from infra.kafka import ClientLost
from infra.second_life import AGAIN_SECONDS_MIN, AWAY_SECONDS_MAX, run_again
from schemas.errors import Transient

LOST, AWAY = ClientLost("lost"), Transient("away")


class Script:
    """Runs that take so many seconds and end so, one after another; a clock that they move."""

    def __init__(self, *runs: tuple[float, Exception | None]) -> None:
        self.runs = list(runs)
        self.now = 0.0
        self.told: list[Exception] = []

    def run(self) -> None:
        seconds, error = self.runs.pop(0)
        self.now += seconds
        if error is not None:
            raise error

    def play(self) -> None:
        run_again(self.run, on_lost=self.told.append, clock=lambda: self.now)


def test_a_loop_that_ends_well_is_not_run_again() -> None:
    script = Script((1.0, None))
    script.play()
    assert (script.runs, script.told) == ([], [])


def test_a_lost_client_is_replaced_and_the_loss_is_told() -> None:
    script = Script((1.0, LOST), (5.0, None))
    script.play()
    assert script.told == [LOST]


def test_a_client_lost_again_at_once_ends_the_process_because_another_has_its_number() -> None:
    script = Script((1_000.0, LOST), (AGAIN_SECONDS_MIN - 1, LOST), (0.0, None))
    with pytest.raises(ClientLost):
        script.play()


def test_a_client_lost_again_after_a_while_is_replaced_again() -> None:
    script = Script((1.0, LOST), (AGAIN_SECONDS_MIN + 1, LOST), (1.0, None))
    script.play()
    assert script.told == [LOST, LOST]


def test_brokers_that_are_away_at_the_first_start_end_the_process() -> None:
    with pytest.raises(Transient):
        Script((60.0, AWAY)).play()


def test_brokers_that_stay_away_after_a_loss_are_waited_for_and_not_for_ever() -> None:
    patient = Script((1.0, LOST), (60.0, AWAY), (60.0, AWAY), (1.0, None))
    patient.play()
    assert patient.told == [LOST, AWAY, AWAY]
    with pytest.raises(Transient):
        Script((1.0, LOST), (AWAY_SECONDS_MAX + 1, AWAY)).play()
