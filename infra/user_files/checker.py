"""The door: a user's file judged as a whole, then its rows checked by the rules that the stream itself applies.

1. The header: are the columns there (``header.py``).
2. The columns: are they of the unit that the fields are (``survey.py``). This reads the file once.
3. The rows: types (``columns.py``), then ``weir.schemas.records.validation``, the processor's own rules.

What is refused in 1 or 2 is the file's fault and one message; a bad row is told with its line and the others continue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.infra.user_files.blocks import Block
from weir.infra.user_files.columns import why_unfit
from weir.infra.user_files.header import Advice, check_names
from weir.infra.user_files.plan import Plan, arrow_schema
from weir.infra.user_files.sources import Source
from weir.infra.user_files.survey import FileRefused, Survey
from weir.infra.user_files.tables import Table
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.validation import validate_events, validate_labels
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

Report = Callable[[int, PoisonRecord], None]


@dataclass
class Outcome:
    """The outcome of a file's lines: header, good, bad, refused, blank and continued ones are all its ``lines``.

    Attributes:
        header: lines up to the header's own.
        good: rows that may be sent.
        bad: rows that were left out.
        refused: rows of a file of which none is taken.
        blank: lines with nothing on them.
        continued: lines after the first of rows that span several.
        labels: of the good rows, those that have a label which is known by now.
        not_yet_known: labels whose time is still to come, which are left out.
        broken: why the rest of the file could not be read, or ``""``.
    """

    lines: int = 0
    header: int = 0
    good: int = 0
    bad: int = 0
    refused: int = 0
    blank: int = 0
    continued: int = 0
    labels: int = 0
    not_yet_known: int = 0
    broken: str = ""


@dataclass(frozen=True)
class Checked:
    """Rows that may be sent, in file order, by the newest schema of their kind.

    Attributes:
        keys: the record key of each row.
        labels: of transactions whose file says what they turned out to be, with keys of their own; else None.
    """

    batch: pa.RecordBatch
    keys: list[bytes]
    labels: pa.RecordBatch | None = None


@dataclass
class Checker:
    """Turns the rows of a file into blocks that may be sent, and reports every other row.

    Attributes:
        source: the open file.
        table: its columns and rows.
        plan: which column fills which field.
        placeholders: ids that no card and no transaction may have.
        report: told number and error of each bad row, in order within a block.
        now_ms: asked for the time that a broker would stamp records with, UTC epoch milliseconds.
        follow: told of every block that was read and what is being done, for progress.
        doing: what ``check`` is doing, in the words of progress.
        stopped: asked between blocks; true ends the reading early.
    """

    source: Source
    table: Table
    plan: Plan
    placeholders: Placeholders
    report: Report
    now_ms: Callable[[], int]
    follow: Callable[[Outcome, str], None] = lambda *_: None
    doing: str = "rows checked"
    stopped: Callable[[], bool] = lambda: False
    outcome: Outcome = field(default_factory=Outcome)

    def judge(self) -> None:
        """Judge header and columns; this reads the file once.

        Raises:
            Refused: the file as a whole cannot be taken; nothing of it was.
        """
        if self.table.names:
            self._check_columns()
        fields = {name: each for name, each in self.plan.surveyed().items() if self._is_untyped(name)}
        if self.table.names and not fields:
            return
        currencies = self.plan.currency_columns
        survey = Survey(fields, self.plan.zone_given, currencies)
        names = self.table.names
        self.outcome.header = self.outcome.lines = self.table.line
        wanted = [name for name in {*fields, *currencies.values()} if name in names] if names else self.plan.sources
        for block in self.table.blocks(wanted):
            survey.follow(block)
            self._count_lines(block)
            self.follow(self.outcome, "columns judged")
            if self.stopped():
                return
        if self.table.names:
            self._check_columns()  # JSON lines name their columns row by row
        try:
            survey.check(self.source.name)
        except FileRefused:
            self.outcome.refused = survey.rows
            raise

    def _is_untyped(self, name: str) -> bool:
        kind = self.table.types.get(name)
        sure = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_timestamp)
        return kind is None or not any(test(kind) for test in sure)

    def _check_columns(self) -> None:
        wanted, names = self.plan.wanted, self.table.names
        advice = Advice() if set(wanted) <= set(names) else self.table.advise(wanted)
        check_names(self.source.name, names, wanted, advice=advice, line=self.table.line)
        for recipe in self.plan.all_recipes:
            for name in recipe.sources if recipe.plain else ():
                reason = why_unfit(recipe.target, self.table.types[name]) if name in self.table.types else ""
                if reason:
                    raise Refused(f"{self.source.name}: {reason}")

    def check(self) -> Iterator[Checked]:
        """Yield what is good, in file order.

        Raises:
            Refused: somebody wrote to the file since it was judged.
        """
        self.outcome = Outcome(header=self.table.line, lines=self.table.line)
        sources = [name for name in self.plan.sources if not self.table.names or name in self.table.names]
        for block in self.table.blocks(sources):
            if self.stopped():
                return
            checked, errors = self._check_block(block)
            self._count(block, checked, errors)
            for number, reason in sorted(errors, key=lambda each: each[0]):
                self.report(number, reason)
            self.follow(self.outcome, self.doing)
            if checked.batch.num_rows:
                yield checked
        if self.source.has_changed():
            self.outcome.broken = "the file was written to while it was read; rows may be missing or doubled"

    def _count(self, block: Block, checked: Checked, errors: list[tuple[int, PoisonRecord]]) -> None:
        outcome = self.outcome
        self._count_lines(block)
        outcome.good += checked.batch.num_rows
        outcome.bad += len(errors) + block.lost
        outcome.broken = outcome.broken or block.broken or ("a part cannot be read" if block.lost else "")

    def _count_lines(self, block: Block) -> None:
        self.outcome.lines += block.lines
        self.outcome.blank += block.blank
        self.outcome.continued += block.continued

    def _check_block(self, block: Block) -> tuple[Checked, list[tuple[int, PoisonRecord]]]:
        filled = self.plan.fill(block)
        flags = self.plan.label.recipe.fill(block, filled) if self.plan.label else None
        wrong: dict[int, PoisonRecord] = {}
        for converted in [*filled.values(), *([flags] if flags else [])]:
            for row, error in converted.errors.items():
                wrong.setdefault(row, error)
        kept = np.setdiff1d(np.arange(len(block.numbers)), np.fromiter(wrong, np.int64, len(wrong)))
        schema = arrow_schema(self.plan.kind, self.plan.stream)
        columns = [filled[name].values.take(pa.array(kept)) for name in schema.names]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        refused = {int(kept[row]): error for row, error in self._validate(batch)}
        errors = [(block.numbers[row], error) for row, error in (wrong | refused).items()] + block.bad
        sound = np.flatnonzero(~np.isin(kept, np.fromiter(refused, np.int64, len(refused))))
        batch = batch.take(pa.array(sound))
        labels = self._label(batch, flags.values.take(pa.array(kept[sound]))) if flags else None
        return keyed(batch, self.plan.stream, labels), errors

    def _validate(self, batch: pa.RecordBatch) -> list[tuple[int, PoisonRecord]]:
        appended: Any = np.full(batch.num_rows, self.now_ms())
        validate = validate_labels if self.plan.kind == "labels" else validate_events
        keys = keyed(batch, self.plan.stream).keys
        return validate(self.plan.stream, batch, keys=keys, append_time_ms=appended, placeholders=self.placeholders)

    def _label(self, batch: pa.RecordBatch, flags: Any) -> pa.RecordBatch:
        labels, declared = build_labels(batch, flags, self.plan), self.plan.stream.labels
        assert declared
        known = labels.filter(pc.less_equal(labels[declared.time], self.now_ms()))
        self.outcome.labels += known.num_rows
        self.outcome.not_yet_known += labels.num_rows - known.num_rows
        return known


def build_labels(batch: pa.RecordBatch, flags: Any, plan: Plan) -> pa.RecordBatch:
    """Return the label of each event that has one, known some time after its event."""
    schema, stream = arrow_schema("labels", plan.stream), plan.stream
    assert plan.label
    assert stream.labels
    made = {
        stream.labels.time: pc.add(batch[stream.time], plan.label.delay_ms),
        stream.labels.verdict: flags,
        "source": pa.array([plan.label.source] * batch.num_rows, pa.string()),
    }
    of_event = {name: batch[name] for name in batch.schema.names}
    columns = [
        (of_event | made)[field.name] if field.name in of_event | made else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema).filter(pc.is_valid(flags))


def keyed(batch: pa.RecordBatch, stream: Stream = payments, labels: pa.RecordBatch | None = None) -> Checked:
    """Return checked rows with the record key of each."""
    return Checked(batch, [key.encode() for key in batch[stream.key.field].to_pylist()], labels)
