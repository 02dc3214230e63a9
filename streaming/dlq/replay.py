"""Replays, parks and discards dead letters, each at most once for ever.

The protocol, whose numbers are repeated in the code:

1. ``init_transactions`` under the one transactional id of this dead letter topic. It fences any other replay of it and
   ends what that one left open, so nothing can be added to the log of what was done behind our back.
2. Only then read that log to its end, committed records alone.
3. Read the dead letters up to where they ended at the start. One that fails again comes back beyond that end.
4. Per batch one Kafka transaction: the records to their source topics and the entries of what was done, together.

Delivery: exactly once. A crash, or a second replay at the same time, loses or doubles nothing: the loser's open batch
is aborted, and the winner reads what was committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.sink import Record, Rows, TransactionalOutput
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.schemas.masking import mask
from weir.streaming.dlq.letter import DeadLetter, Header
from weir.streaming.dlq.log import DeadLetterLog, Selection, Settlement, settlement_key
from weir.streaming.dlq.plan import Options, Repaired, Step, plan_letter

BATCH_LETTERS_MAX = 2_000  # a commit is waited for, so many share one
BATCH_BYTES_MAX = 16 * 1024 * 1024  # a batch must be sent well within the transaction timeout


@dataclass
class Report:
    """The outcome of the selected letters: counts by outcome, the first that are settled, the first that cannot be."""

    outcomes: Counter[str] = field(default_factory=Counter)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    notes_max = 20
    """Of each list: enough to see what a command is about; their number has no bound."""

    def add(self, step: Step) -> None:
        """Count one letter."""
        self.outcomes[step.outcome] += 1
        if step.action in {"replayed", "discarded"} and len(self.steps) < self.notes_max:
            self.steps.append(step)
        if (
            step.note
            and step.outcome in {"unreplayable", "unrepairable", "parked"}
            and len(self.notes) < self.notes_max
        ):
            self.notes.append(f"{step.letter.at}: {step.outcome}: {mask(step.note)}")


def transactional_id(dlq_topic: str) -> str:
    """Return the one id under which letters of a topic are replayed, whichever process does it."""
    return f"weir-dlq-replay-{dlq_topic}"


def plan_steps(
    log: DeadLetterLog,
    prefix: str,
    selection: Selection,
    options: Options,
    ends: dict[int, int],
    starts: dict[int, int] | None = None,
) -> Iterator[Step]:
    """Yield what would be done about each selected letter. Writes nothing; ``log.done`` must be fresh."""
    for letter in log.scan(selection, ends, starts):
        yield plan_letter(
            prefix,
            letter,
            settlement=log.done.settlement(letter),
            attempts=log.done.attempts(letter),
            options=options,
        )


class Replay:
    """One run that owns the replay of a dead letter topic until another starts."""

    def __init__(self, settings: Settings, log: DeadLetterLog, *, clock_ms: Callable[[], int]) -> None:
        """Fence other replays of the topic and learn what they did.

        Raises:
            Transient: the brokers did not answer in time.
            Fenced: the transactional id is refused.
        """
        self._settings, self._log, self._clock_ms = settings, log, clock_ms
        producer = build_producer(settings.kafka, transactional_id=transactional_id(log.topic))
        self._output = TransactionalOutput(producer)  # 1
        log.done.refresh()  # 2

    def run(
        self,
        selection: Selection,
        options: Options,
        *,
        starts: dict[int, int] | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Report:
        """Treat the selected letters.

        Args:
            selection: which letters.
            options: how.
            starts: per partition the offset to begin at; the beginning by default.
            on_step: called for each letter whose batch is committed, or for which nothing is written.

        Raises:
            Aborted: a batch failed; what was committed before it stands, and running again continues from there.
            Fenced: another replay of this topic has started; it continues from what this one committed.
        """
        report = Report()
        prefix = self._settings.processor.dlq_header_prefix
        steps = plan_steps(self._log, prefix, selection, options, self._log.ends(), starts)  # 3
        for batch in _batches(steps):
            self._commit([step for step in batch if step.action is not None])
            for step in batch:
                report.add(step)
                if on_step is not None:
                    on_step(step)
        return report

    def _commit(self, steps: list[Step]) -> None:
        if not steps:
            return
        at_ms = self._clock_ms()
        settled = Rows(
            self._settings.topics.dlq_done,
            keys=[settlement_key(step.letter) for step in steps],
            values=[_settle(step, at_ms).encode() for step in steps],
        )
        records = [_record(step.letter, step.record, step.headers) for step in steps if step.record is not None]
        self._output.commit([settled], records, None)  # 4
        for action, letters in Counter(step.action for step in steps).items():
            metrics.DEAD_LETTERS_SETTLED.labels(topic=self._log.topic, action=action).inc(letters)


def _record(letter: DeadLetter, record: Repaired, headers: list[Header]) -> Record:
    assert letter.source is not None, "a letter without a source is not replayed"
    partition = None if record.rekeyed else letter.source.partition
    return Record(letter.source.topic, record.key, record.value, headers, partition)


def _settle(step: Step, at_ms: int) -> Settlement:
    assert step.action is not None, "a step without an action is not committed"
    letter = step.letter
    return Settlement(
        action=step.action,
        attempt=step.attempt,
        source=str(letter.source or ""),
        origin=str(letter.origin or letter.source or letter.at),
        reason=letter.reason,
        at_ms=at_ms,
    )


def _batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    batch: list[Step] = []
    size = 0
    for step in steps:
        batch.append(step)
        size += _bytes(step.letter)
        if len(batch) >= BATCH_LETTERS_MAX or size >= BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _bytes(letter: DeadLetter) -> int:
    headers = sum(len(name) + len(raw or b"") for name, raw in letter.original_headers)
    return len(letter.key or b"") + len(letter.value or b"") + headers
