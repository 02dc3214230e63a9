"""A dead letter's life through any order of replays, discards, crashes and new failures, against a plain model.

::

    open --replay--> replayed          the record may fail again: another letter, of the same origin
    open --replay, too often--> parked --replay with parked--> replayed
    open or parked --discard--> discarded
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.unit.streaming.dead_letter_samples import PREFIX
from weir.streaming.dlq.letter import Coordinate, DeadLetter, Header, dead_letter_headers, parse_dead_letter
from weir.streaming.dlq.log import DoneLog, Settlement, settlement_key
from weir.streaming.dlq.plan import Options, Step, plan_letter

ATTEMPTS_MAX = 2
REASONS = st.sampled_from(["undecodable", "unknown_schema_id", "duplicate"])


@dataclass
class Expected:
    """What a letter should be, and which record's failure it tells of."""

    state: str
    origin: int


class Letters(RuleBasedStateMachine):
    """A source topic, a dead letter topic and the log of what was done."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0
        self.letters: list[DeadLetter] = []
        self.done: list[tuple[bytes, bytes]] = []
        self.model: list[Expected] = []
        self.replays: Counter[int] = Counter()

    @rule(reason=REASONS)
    def fail(self, reason: str) -> None:
        self.write_letter(reason, [("trace", b"1")], origin=self.offset)

    def write_letter(self, reason: str, headers: list[Header], *, origin: int) -> None:
        """Refuse the record at the next source offset, as the processor does."""
        built = dead_letter_headers(
            PREFIX,
            topic="transactions",
            partition=0,
            offset=self.offset,
            group="g",
            stage="decode",
            exception_class="PoisonRecord",
            message="expected another",
            timestamp_ms=1,
            reason=reason,
            original_headers=headers,
        )
        at = Coordinate("transactions.dlq", 0, len(self.letters))
        value = None if reason == "duplicate" else b"value"
        letter = parse_dead_letter(at=at, key=b"k", value=value, headers=built, appended_ms=1)
        assert letter.original_headers == (("trace", b"1"),)
        self.letters.append(letter)
        self.model.append(Expected("open", origin))
        self.offset += 1

    @rule(
        parked=st.booleans(),
        discard=st.booleans(),
        first=st.integers(0, 10),
        size=st.integers(1, 10),
        crash_after=st.sampled_from([10, 10, 10, 1, 2]),
        fails=st.lists(st.sampled_from([True, True, True, False]), min_size=10, max_size=10),
    )
    def treat(self, parked: bool, discard: bool, first: int, size: int, crash_after: int, fails: list[bool]) -> None:
        """Take some letters in turn, each committed with its entry; the process may die in between."""
        log = self.read_done(self.done)
        first %= len(self.letters) + 1
        options = Options(parked=parked, discard=discard, attempts_max=ATTEMPTS_MAX)
        for number in range(first, min(first + size, first + crash_after, len(self.letters))):
            letter = self.letters[number]
            step = plan_letter(
                PREFIX, letter, settlement=log.settlement(letter), attempts=log.attempts(letter), options=options
            )
            assert step.action == self.expect(number, parked=parked, discard=discard)
            if step.action is not None:
                self.commit(number, step, fails[number - first])

    def expect(self, number: int, *, parked: bool, discard: bool) -> str | None:
        """Say what must happen to a letter, by the drawing above."""
        model = self.model[number]
        is_open = model.state == "open"
        if discard:
            return "discarded" if model.state in {"open", "parked"} else None
        if self.letters[number].reason == "duplicate":
            return None
        if is_open and self.replays[model.origin] >= ATTEMPTS_MAX:
            return "parked"
        return "replayed" if is_open or (parked and model.state == "parked") else None

    def commit(self, number: int, step: Step, fails_again: bool) -> None:
        letter, model = step.letter, self.model[number]
        assert step.action is not None
        origin = str(letter.origin or letter.source)
        entry = Settlement(step.action, step.attempt, str(letter.source), origin, letter.reason, 1)
        self.done.append((settlement_key(letter), entry.encode()))
        model.state = step.action
        if step.action == "replayed":
            self.replays[model.origin] += 1
            if fails_again:
                self.write_letter(letter.reason, step.headers, origin=model.origin)

    @invariant()
    def the_log_tells_what_was_done_also_when_it_has_been_compacted(self) -> None:
        for log in (self.read_done(self.done), self.read_done(list(dict(self.done).items()))):
            for letter, model in zip(self.letters, self.model, strict=True):
                settlement = log.settlement(letter)
                assert (settlement.action if settlement else "open") == model.state
                assert log.attempts(letter) == self.replays[model.origin]

    @staticmethod
    def read_done(entries: list[tuple[bytes, bytes]]) -> DoneLog:
        """Read the log from its start, as every replay does; without brokers."""
        settings_of = SimpleNamespace(kafka=None, topics=SimpleNamespace(dlq_done="transactions.dlq.done"))
        log = DoneLog(cast("Any", settings_of), cast("Any", None))
        for key, value in entries:
            log._learn(cast("Any", SimpleNamespace(key=lambda key=key: key, value=lambda value=value: value)))
        return log


def test_a_letter_is_replayed_at_most_once_and_its_record_as_often_as_the_bound_allows() -> None:
    run_state_machine_as_test(
        Letters, settings=settings(max_examples=100, stateful_step_count=30, deadline=None, derandomize=True)
    )
