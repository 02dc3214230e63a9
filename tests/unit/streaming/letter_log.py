"""A dead letter topic in memory, and what was done about its letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.unit.streaming.dead_letter_samples import PREFIX, OneSchema
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.streaming.dlq.desk import LetterDesk
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.log import Selection, Settlement
from weir.streaming.dlq.plan import Options, Step, plan_letter

TOPIC = "transactions.dlq"


class MemoryDone:
    """What was done, by the place of the letter."""

    def __init__(self) -> None:
        self.settled: dict[str, Settlement] = {}

    def refresh(self) -> None:
        pass

    def settlement(self, letter: DeadLetter) -> Settlement | None:
        return self.settled.get(str(letter.at))

    def attempts(self, letter: DeadLetter) -> int:
        return letter.replay_count


class MemoryLog:
    """One topic, whose letters have the offsets that they name; ``looked`` counts what was read.

    Attributes:
        others: logs of other topics that a desk may be asked for.
    """

    def __init__(self, letters: Sequence[DeadLetter] = (), topic: str = TOPIC) -> None:
        self.topic = topic
        self.letters = list(letters)
        self.done = MemoryDone()
        self.sent: list[Step] = []
        self.away: Exception | None = None
        self.looked = self.opened = self.closed = 0
        self.others: dict[str, MemoryLog] = {}

    def bounds(self, selection: Selection) -> dict[int, tuple[int, int]]:
        if self.away is not None:
            raise self.away
        found: dict[int, tuple[int, int]] = {}
        for number in sorted({each.at.partition for each in self.letters}):
            offsets = [each.at.offset for each in self.letters if each.at.partition == number]
            first, end = 0, max(offsets) + 1
            if selection.offset is not None:
                first, end = max(first, selection.offset), min(end, selection.offset + 1)
            if selection.partition in (None, number) and first < end:
                found[number] = (first, end)
        return found

    def scan(
        self, selection: Selection, ends: dict[int, int], starts: dict[int, int] | None = None
    ) -> Iterator[DeadLetter]:
        for letter in sorted(self.letters, key=lambda each: (each.at.partition, each.at.offset)):
            number, offset = letter.at.partition, letter.at.offset
            if (starts or {}).get(number, 0) <= offset < ends.get(number, 0):
                self.looked += 1
                if selection.matches(letter):
                    yield letter

    def close(self) -> None:
        self.closed += 1


def build_desk(log: MemoryLog, *, settings: Settings | None = None) -> LetterDesk:
    """Return a desk over a log and its others; other topics are missing."""

    def open_log(topic: str) -> MemoryLog:
        log.opened += 1
        found = {log.topic: log, **log.others}.get(topic)
        if found is None:
            raise Refused(f"topic {topic} is missing")
        return found

    def run(opened: Any, selection: Selection, options: Options) -> list[Step]:
        steps = []
        for letter in filter(selection.matches, opened.letters):
            done = opened.done
            step = plan_letter(
                PREFIX, letter, settlement=done.settlement(letter), attempts=done.attempts(letter), options=options
            )
            if step.action is not None:
                place = str(letter.at)
                done.settled[place] = Settlement(step.action, step.attempt, "", place, letter.reason, 1)
                opened.sent.append(step)
            steps.append(step)
        return steps

    own = settings or Settings().of_stream(payments)
    return LetterDesk(own, OneSchema(), open_log=open_log, run_replay=run, now_ms=lambda: 1_767_268_800_000)


def build_unchecked(log: MemoryLog, settings: Settings | None = None) -> LetterDesk:
    """Return a desk that holds repaired records to no check of the stream, whose schema the samples do not have."""
    own = settings or Settings().of_stream(payments)
    topics = own.topics.model_copy(update={"transactions": "others", "labels": "other-labels"})
    return build_desk(log, settings=own.model_copy(update={"topics": topics}))
