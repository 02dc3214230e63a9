"""What is decided about one dead letter, and when the automatic replayer takes it up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.streaming.dead_letter_samples import PREFIX, letter
from weir.schemas.errors import PoisonRecord
from weir.streaming.dlq.auto import BACKOFF_MAX_MS, due_ms
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.log import Action, Selection, Settlement, settlement_key
from weir.streaming.dlq.plan import Options, Repaired, Step, plan_letter


def _settled(action: Action) -> Settlement:
    return Settlement(action, 1, "transactions-3-10452", "transactions-3-10452", "r", 0)


def _plan(
    dead: DeadLetter, *, settlement: Settlement | None = None, attempts: int = 0, options: Options | None = None
) -> Step:
    return plan_letter(PREFIX, dead, settlement=settlement, attempts=attempts, options=options or Options())


def test_an_open_letter_goes_back_with_its_own_key_value_headers_and_a_count() -> None:
    step = _plan(letter(), attempts=2)
    assert (step.outcome, step.action, step.attempt) == ("replayed", "replayed", 3)
    assert step.record == Repaired(letter().key, letter().value)
    assert step.headers == [
        ("trace", b"1"),
        (PREFIX + "replay.count", b"3"),
        (PREFIX + "origin", b"transactions-3-10452"),
    ]


@pytest.mark.parametrize("action", ["replayed", "parked", "discarded"])
def test_a_settled_letter_is_left_alone(action: Action) -> None:
    step = _plan(letter(), settlement=_settled(action))
    assert (step.outcome, step.action) == ("settled", None)


@pytest.mark.parametrize(
    "changes",
    [{"source": None}, {"reason": "duplicate", "value": None}, {"truncated": "value"}],
)
def test_what_has_no_bytes_or_no_source_is_not_replayed_and_says_why(changes: dict[str, Any]) -> None:
    step = _plan(letter(**changes))
    assert (step.outcome, step.action) == ("unreplayable", None)
    assert step.note


def test_a_letter_is_parked_after_the_bound_and_taken_up_again_only_when_asked() -> None:
    assert _plan(letter(), attempts=4).action == "replayed"
    assert _plan(letter(), attempts=5).action == "parked"
    parked = _settled("parked")
    assert _plan(letter(), attempts=5, settlement=parked).outcome == "settled"
    assert _plan(letter(), attempts=5, settlement=parked, options=Options(parked=True)).action == "replayed"
    assert _plan(letter(), settlement=_settled("replayed"), options=Options(parked=True)).outcome == "settled"


def test_discard_settles_what_is_open_or_parked_and_what_cannot_be_replayed() -> None:
    discard = Options(discard=True)
    assert _plan(letter(), options=discard).action == "discarded"
    assert _plan(letter(source=None), options=discard).action == "discarded"
    assert _plan(letter(), settlement=_settled("parked"), options=discard).action == "discarded"
    assert _plan(letter(), settlement=_settled("replayed"), options=discard).outcome == "settled"


def test_a_repair_that_cannot_leaves_the_letter_open() -> None:
    def refuse(_dead: DeadLetter) -> Repaired:
        raise PoisonRecord("unrepairable", "expected a field, found none")

    step = _plan(letter(), options=Options(repair=refuse))
    assert (step.outcome, step.action, step.note) == ("unrepairable", None, "expected a field, found none")


def test_a_letter_that_is_not_due_waits() -> None:
    step = _plan(letter(), options=Options(due=lambda _letter: False))
    assert (step.outcome, step.action) == ("waiting", None)


def test_the_back_off_doubles_with_each_replay_up_to_its_bound() -> None:
    waits = [due_ms(letter(replay_count=count), 5_000) - letter().appended_ms for count in range(4)]
    assert waits == [5_000, 10_000, 20_000, 40_000]
    assert due_ms(letter(replay_count=10**9), 5_000) == letter().appended_ms + BACKOFF_MAX_MS


def test_a_letter_of_a_topic_made_again_does_not_inherit_what_was_done() -> None:
    other = letter(source=None)
    assert settlement_key(letter()) == b"transactions.dlq-3-17 transactions-3-10452"
    assert settlement_key(letter()) != settlement_key(other)


@pytest.mark.parametrize(
    ("selection", "matches"),
    [
        (Selection(), True),
        (Selection(reasons=frozenset({"amount_out_of_range", "x"})), True),
        (Selection(reasons=frozenset({"x"})), False),
        (Selection(stages=frozenset({"decode"})), False),
        (Selection(from_ms=1_700_000_000_005), True),
        (Selection(from_ms=1_700_000_000_006), False),
        (Selection(to_ms=1_700_000_000_005), False),
        (Selection(partition=3, offset=17), True),
        (Selection(partition=0), False),
        (Selection(partition=3, offset=0), False),
    ],
)
def test_a_selection_means_what_its_fields_say(selection: Selection, matches: bool) -> None:
    assert selection.matches(letter()) is matches
