"""Who runs when, and what a failure costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench.__main__ import _ratios_met
from tests.bench.figures import NothingMeasured, Sample
from tests.bench.lab import Lab
from tests.bench.rounds import Contender, NotMeasured, Outcome, order_of, run_rounds


class BareLab:
    """What a scenario that touches no server needs."""

    home = Path()

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self.rounds_ended = 0

    def end_round(self) -> None:
        self.rounds_ended += 1


def _lab() -> Lab:
    return cast(Lab, BareLab())


def _named(*names: str, once: str = "") -> list[Contender]:
    return [Contender(name, lambda _, __: [], once=name == once) for name in names]


def test_the_order_turns_by_one_place_a_round() -> None:
    orders = ["".join(each.name for each in order_of(_named("a", "b", "c"), number)) for number in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


def test_what_no_round_changes_is_measured_in_the_first_alone() -> None:
    contenders = _named("a", "b", "c", once="b")
    assert [[each.name for each in order_of(contenders, number)] for number in range(2)] == [
        ["a", "b", "c"],
        ["c", "a"],
    ]


def test_a_failure_is_kept_and_does_not_stop_the_others() -> None:
    def fail(_: Any, name: str) -> list[Sample]:
        raise NothingMeasured(f"nothing in {name}\nand more of it\nand why")

    contenders = [Contender("broken", fail), Contender("sound", lambda _, __: [Sample("rate", 5.0, 9)])]
    outcome = Outcome()
    run_rounds(_lab(), contenders, 2, outcome)
    assert outcome.values == [{"rate": 5.0}, {"rate": 5.0}]
    assert outcome.failed == [f"broken, round {n}: nothing in r{n - 1}-broken … and why" for n in (1, 2)]


def test_a_tool_that_is_not_there_is_no_failure() -> None:
    def miss(_: Any, __: str) -> list[Sample]:
        raise NotMeasured("wrk not found")

    outcome = Outcome()
    run_rounds(_lab(), [Contender("api", miss)], 1, outcome)
    assert (outcome.failed, outcome.missing) == ([], {"api": "wrk not found"})


def test_every_run_of_a_scenario_has_a_name_of_its_own() -> None:
    names: list[str] = []

    def note(_: Any, name: str) -> list[Sample]:
        names.append(name)
        return []

    run_rounds(_lab(), [Contender("a", note), Contender("b", note)], 3, Outcome())
    assert len(set(names)) == len(names) == 6


def test_rounds_that_are_added_have_numbers_of_their_own() -> None:
    names: list[str] = []

    def note(_: Any, name: str) -> list[Sample]:
        names.append(name)
        return [Sample("rate", 5.0, 9)]

    outcome, lab = Outcome(), BareLab()
    run_rounds(cast(Lab, lab), [Contender("a", note), Contender("b", note, once=True)], 1, outcome)
    run_rounds(cast(Lab, lab), [Contender("a", note)], 1, outcome)
    assert lab.rounds_ended == 2
    assert names == ["r0-a", "r0-b", "r1-a"]
    assert len(outcome.rounds) == 2


@pytest.mark.parametrize(
    ("rounds", "met"),
    [
        ([], False),
        ([(40.0, 35.0, 400.0)], False),
        ([(40.0, 35.0, 400.0), (40.0, 20.0, 400.0)], True),
        ([(40.0, 35.0, 400.0), (15.0, 5.0, 400.0)], True),  # each ratio in a round of its own
        ([(15.0, 5.0, 400.0), (15.0, 5.0, 400.0)], False),
    ],
)
def test_a_ratio_of_the_quick_run_counts_when_some_round_met_it(
    rounds: list[tuple[float, float, float]], met: bool
) -> None:
    keys = ("processor_eos_eps", "quix_eos_eps", "plain_loop_eps")
    outcome = Outcome([[Sample(key, value, 1) for key, value in zip(keys, each, strict=True)] for each in rounds])
    assert _ratios_met(outcome) is met
