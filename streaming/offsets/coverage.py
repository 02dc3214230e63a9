"""What the outputs cover: whether committed offsets stand where the group's own commits left them.

A stage commits its offsets in the Kafka transaction that carries its outputs, so the last record below a committed
offset has an output, and the first one at or above it has none. Offsets that a tool, a sync or a restore moved break
that in silence: moved forward, records are passed over undecided; moved back, they are decided twice.

A record is found by its coordinate. A feature row and a decision carry the transaction's, a dead letter its source's.
Outputs of partition n are as a rule in partition n of the output topic, and the last ones are at its end:

1. Look at the end of partition n, then of the others: enough after every orderly stop and every crash.
2. Read every partition from the record's append time on: outputs of a quiet partition next to busy ones.
3. Read from an hour before, as brokers' clocks differ a little: only then there is no output.

Where the last record has none, longer and longer blocks before it are compared, until one has an output. A feature row
that says that it is decided is none that a scorer owes an output: it is left out.

Cost: one read of ``TAIL_RECORDS`` outputs for a partition that is right. For one that is not, the records since its
last output, and all outputs since then, once per block size; ``LIMIT_RECORDS`` bounds the count.
Delivery: read only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import build_asker, end_offsets
from weir.infra.kafka.source import Partition
from weir.infra.registry.client import Registry
from weir.infra.settings import KafkaSettings, Settings
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import DECIDED, subject
from weir.schemas.errors import PoisonRecord, Refused
from weir.streaming.dlq.letter import read_dead_letter
from weir.streaming.offsets.stages import Stage

TAIL_RECORDS = 500
"""As many as several batches write to a partition while they are small; a read of them takes a few milliseconds."""
FORWARD_RECORDS = 2_000
LIMIT_RECORDS = 1_000_000
"""Records that are compared one by one before a start; more are reported as so many or more."""
_BLOCKS = (1, 1_000, 30_000, LIMIT_RECORDS)
_FOREIGN_RECORDS_MAX = 30_000
"""So many records in a row that are none of the stage's end a look before a start: there is nothing to compare."""
CLOCK_STEP_MS = 3_600_000

Offsets = dict[str, dict[int, int]]
log = get_logger(__name__)
SchemaLookup = Callable[[int], "WriterSchema | PoisonRecord"]
Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


class _Source(NamedTuple):
    """A record that should have an output, and every place that an output of it may name."""

    offset: int
    appended_ms: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Found:
    """How far the outputs of a partition reach.

    Attributes:
        end: the offset after the last record that has an output.
        without: records from there up to where was looked; ``or_more`` when there may be others before ``end``.
    """

    end: int
    without: int
    or_more: bool = False


class Coverage:
    """Compares a group's input with its outputs. Not for use by two threads at once."""

    def __init__(
        self, stage: Stage, kafka: KafkaSettings, history: History, schema_of: Mapping[str, SchemaLookup]
    ) -> None:
        """Bind to a stage.

        Args:
            stage: whose offsets are compared.
            kafka: where the ends of the outputs are asked.
            history: reader that nothing else uses meanwhile.
            schema_of: per topic, what answers for the writer schema ids of its values.
        """
        self.stage = stage
        self._kafka = kafka
        self._history = history
        self._schema_of = schema_of
        self._ends: Offsets = {}
        self._asker: AdminClient | None = None
        self._codecs = {
            schema: BatchCodec(schema=schema) for schema in {stage.rows_schema, stage.source_schema} if schema
        }

    def check(self, number: int, *, low: int, committed: int | None) -> Found | None:
        """Return what was passed over below a committed offset, or ``None`` where nothing was.

        Raises:
            Refused: the record at the committed offset has an output already.
            Transient: the brokers did not answer in time.
        """
        self._ends = self._ask_ends()
        at = low if committed is None else committed
        tail = self._tail(number)
        message = self._history.first_message((self.stage.source, number), at)
        above = None if message is None else self._find_above(number, message)
        if self._is_repeated(number, at, above, tail):
            raise Refused(self._repeated(number, committed))
        found = self._find(number, low=low, upto=at, tail=tail, limit=LIMIT_RECORDS)
        return found if found.without else None

    def _find_above(self, number: int, message: Message) -> _Source | None:
        """Return the stage's first record from a message on, if it comes soon."""
        if found := self._name_sources([message]):
            return found[0]
        start = message.offset() + 1
        end = min(start + FORWARD_RECORDS, self._history.high_watermark((self.stage.source, number)))
        return next(iter(self._sources(number, start, end)), None)

    def find_end(self, number: int, *, low: int, upto: int) -> Found:
        """Return how far the outputs of a partition reach below an offset, however far that is.

        Raises:
            Transient: the brokers did not answer in time.
        """
        self._ends = self._ask_ends()
        found = self._find(number, low=low, upto=upto, tail=self._tail(number), limit=max(1, upto - low))
        # what is left up to there, if anything, is decided by others
        return found if found.without or not self.stage.source_schema else Found(upto, 0)

    def has_outputs(self, number: int, *, low: int, end: int) -> bool:
        """Tell whether any of the newest records of a partition has an output; true where too many would be compared.

        Raises:
            Transient: the brokers did not answer in time.
        """
        self._ends = self._ask_ends()
        found = self._find(number, low=low, upto=end, tail=self._tail(number), limit=LIMIT_RECORDS + 1)
        return found.end > low

    def _is_repeated(self, number: int, at: int, above: _Source | None, tail: set[Place]) -> bool:
        """Tell whether something at or above an offset has an output: the last outputs are of the last records."""
        if any(topic == self.stage.source and part == number and offset >= at for topic, part, offset in tail):
            return True
        if above is None:
            return False
        nearby = chain.from_iterable(self._forward([number], [above]))
        return any(place in above.places for place in chain(tail, nearby))

    def _find(self, number: int, *, low: int, upto: int, tail: set[Place], limit: int) -> Found:
        """Compare longer and longer blocks below ``upto``, until one has an output or there is nothing before it."""
        start, sources = upto, list[_Source]()
        for block in [*(size for size in _BLOCKS if size < limit), limit]:
            start = max(low, upto - block)
            sources = self._sources(number, start, upto)
            covered = self._covered(sources, self._looks(number, sources, tail)) or self._expired(number, sources)
            if covered:
                last = max(covered)
                return Found(last + 1, sum(source.offset > last for source in sources))
            if start == low:
                return Found(low, len(sources))
            if not sources and limit == LIMIT_RECORDS and upto - start >= _FOREIGN_RECORDS_MAX:
                return Found(upto, 0)
        return Found(start, len(sources), or_more=True)

    def describe(self, number: int, committed: int, found: Found) -> str:
        """Say that offsets were moved forward, over how much, and what to do."""
        stage, more = self.stage, " or more" if found.or_more else ""
        return (
            f"group {stage.group} committed {stage.source}[{number}]@{committed}, but its outputs reach up to "
            f"{found.end}: offsets were moved forward, and {found.without}{more} records {stage.harm}; "
            "stop every process of the group, then `weir offsets recover --apply` sets the offsets from the outputs; "
            f"if outputs were deleted on purpose, `{stage.verb} --accept-offsets` continues without them"
        )

    def _repeated(self, number: int, committed: int | None) -> str:
        stage = self.stage
        where = "nothing of" if committed is None else "offset"
        at = "" if committed is None else f"@{committed}"
        return (
            f"group {stage.group} committed {where} {stage.source}[{number}]{at}, but the record there has an output "
            "already: offsets were moved back or lost, and it would be decided twice; stop every process of the group, "
            f"then `weir offsets recover --apply` sets the offsets from the outputs{stage.meant}"
        )

    # --- the input ---------------------------------------------------------------------------------------------------

    def _sources(self, number: int, start: int, end: int) -> list[_Source]:
        with closing(self._history.read((self.stage.source, number), start, end)) as read:
            return [source for messages in read for source in self._name_sources(messages)]

    def _name_sources(self, messages: list[Message]) -> list[_Source]:
        if self.stage.source_schema:
            messages = self._leave_out_decided(messages)
        places: list[list[Place]] = [[(m.topic(), m.partition(), m.offset())] for m in messages]
        if self.stage.source_schema:
            for row, place in self._named(self.stage.source_schema, self.stage.source, messages):
                places[row].append(place)
        return [
            _Source(message.offset(), message.timestamp()[1], tuple(named))
            for message, named in zip(messages, places, strict=True)
        ]

    def _leave_out_decided(self, messages: list[Message]) -> list[Message]:
        values = [message.value() for message in messages]
        decoded = self._codecs[self.stage.source_schema].decode(values, self._schema_of[self.stage.source])
        flags = decoded.batch.column(DECIDED).to_pylist()
        decided = {row for row, flag in zip(decoded.rows.tolist(), flags, strict=True) if flag}
        return [message for row, message in enumerate(messages) if row not in decided]

    # --- the outputs -------------------------------------------------------------------------------------------------

    def _ask_ends(self) -> Offsets:
        self._asker = self._asker or build_asker(self._kafka)
        topics = (self.stage.rows, self.stage.letters)
        return {topic: end_offsets(self._kafka, topic, self._asker) for topic in topics}

    def _covered(self, sources: list[_Source], looks: Iterator[Iterable[Place]]) -> set[int]:
        """Return offsets of sources that have an output; once the last one is found there is no need for others."""
        if not sources:
            return set()
        wanted = {place: source.offset for source in sources for place in source.places}
        covered: set[int] = set()
        for places in looks:
            covered.update(wanted[place] for place in places if place in wanted)
            if sources[-1].offset in covered:
                return covered
        return covered

    def _tail(self, number: int) -> set[Place]:
        return set(chain.from_iterable(self._tails([number])))

    def _looks(self, number: int, sources: list[_Source], tail: set[Place]) -> Iterator[Iterable[Place]]:
        """Look where it costs least first; the numbers are the module's."""
        others = [part for part in self._ends[self.stage.rows] if part != number]
        yield tail  # 1
        yield from self._tails(others)
        yield from self._forward([number, *others], sources)  # 2
        since_ms = min(source.appended_ms for source in sources) - CLOCK_STEP_MS
        for topic, part, end in self._parts([number, *others]):  # 3
            yield self._read(topic, part, self._history.offset_at_time((topic, part), since_ms), end)

    def _tails(self, numbers: list[int]) -> Iterator[Iterable[Place]]:
        for topic, part, end in self._parts(numbers):
            yield self._read(topic, part, end - TAIL_RECORDS, end)

    def _forward(self, numbers: list[int], sources: list[_Source]) -> Iterator[Iterable[Place]]:
        since_ms = min(source.appended_ms for source in sources)
        for topic, part, end in self._parts(numbers):
            start = self._history.offset_at_time((topic, part), since_ms)
            yield self._read(topic, part, start, min(end, start + FORWARD_RECORDS))

    def _parts(self, numbers: list[int]) -> Iterator[tuple[str, int, int]]:
        """Name partitions of the outputs that are not empty, and their ends.

        Those are not the last stable offsets: an open transaction of a dead process hides what others committed since.
        """
        for number in numbers:
            for topic, ends in self._ends.items():
                if ends.get(number):
                    yield topic, number, ends[number]

    def _read(self, topic: str, number: int, start: int, end: int) -> Iterator[Place]:
        start = max(start, self._history.low((topic, number)))
        with closing(self._history.read((topic, number), start, end)) as read:
            for messages in read:
                if topic == self.stage.rows:
                    yield from (place for _, place in self._named(self.stage.rows_schema, topic, messages))
                else:
                    yield from self._places_of_letters(messages)

    def _named(self, schema: str, topic: str, messages: list[Message]) -> Iterator[tuple[int, Place]]:
        """Yield which message names which transaction; what cannot be decoded names none."""
        decoded = self._codecs[schema].decode([message.value() for message in messages], self._schema_of[topic])
        partitions = decoded.batch.column("source_partition").to_pylist()
        offsets = decoded.batch.column("source_offset").to_pylist()
        for row, partition, offset in zip(decoded.rows.tolist(), partitions, offsets, strict=True):
            yield row, (self.stage.named, partition, offset)

    def _places_of_letters(self, letters: list[Message]) -> Iterator[Place]:
        for message in letters:
            letter = read_dead_letter(message)
            if letter.source is not None and letter.group == self.stage.group:
                yield letter.source.topic, letter.source.partition, letter.source.offset

    def _expired(self, number: int, sources: list[_Source]) -> set[int]:
        """Return sources older than the oldest output that is left: theirs may have expired, so nothing can be said."""
        part = number if number in self._ends[self.stage.rows] else 0
        low = self._history.low((self.stage.rows, part)) if sources else 0
        if low == 0:
            return set()
        first = self._history.first_message((self.stage.rows, part), low)
        if first is None:
            return {source.offset for source in sources}
        return {source.offset for source in sources if source.appended_ms < first.timestamp()[1]}


def check_offsets(coverage: Coverage, partition: Partition, found: Standing, *, accept: bool = False) -> None:
    """Refuse offsets that are not where the group's own commits left them, before anything is made of them.

    Other topics than the stage's have no outputs to be compared with: a label's effect is its fold, which catch-up
    makes of every label below the committed offset, whichever tool committed it.

    Args:
        coverage: of the stage.
        partition: of any topic.
        found: what is committed of it.
        accept: count and log what was passed over, and continue: its outputs were deleted on purpose.

    Raises:
        Refused: records would be passed over, or decided twice; the message says how many, and what to do.
        Transient: the brokers did not answer in time.
    """
    topic, number = partition
    if topic != coverage.stage.source:
        return
    passed_over = coverage.check(number, low=found.low, committed=found.committed)
    count = metrics.RECORDS_WITHOUT_OUTPUT.labels(topic=topic, partition=str(number))
    count.set(passed_over.without if passed_over else 0)
    if passed_over is None:
        return
    log.error(
        "offsets_moved",
        partition=f"{topic}-{number}",
        committed=found.committed,
        outputs_end=passed_over.end,
        records_without_output=passed_over.without,
    )
    if not accept:
        raise Refused(coverage.describe(number, found.next_offset, passed_over))


def build_coverage(stage: Stage, settings: Settings, history: History, registry: Registry) -> Coverage:
    """Return what compares a stage's offsets with its outputs; schemas are asked of the registry."""

    def lookup(topic: str) -> SchemaLookup:
        return lambda schema_id: registry.writer_schema(schema_id, subject(topic))

    return Coverage(stage, settings.kafka, history, {topic: lookup(topic) for topic in (stage.source, stage.rows)})
