"""Published thresholds: the scores from which on a row is reviewed or declined, for all rows or by segment. Pure.

A segment is a value of one field of the event that feature rows keep, as text. A row of no named segment, or without a
value, has the thresholds of all others::

    {"review": 0.5, "decline": 0.9, "by": "channel", "segments": {"moto": {"review": 0.3, "decline": 0.8}}}

They may let a share of what is declined through (``let_through.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.inference.core.let_through import LetThrough, parse_let_through
from weir.schemas.errors import Refused
from weir.schemas.stakes import find_stake
from weir.schemas.stream import Stream

SEGMENTS_MAX: Final = 1_000
_FIELDS: Final = {"review", "decline", "by", "segments"}

Scores = npt.NDArray[np.float32]


class Cut(NamedTuple):
    """Scores from which on a row is reviewed or declined; one for all rows, or one per row."""

    review: float | Scores
    decline: float | Scores


@dataclass(frozen=True)
class ThresholdTable:
    """Thresholds in force instead of the model's own.

    Attributes:
        others: of rows of no segment.
        by: the field whose values are segments; empty for none.
        segments: thresholds by value.
        let_through: which of the declined events are let through; None lets none.
    """

    version: str
    others: Cut
    by: str = ""
    segments: Mapping[str, Cut] = field(default_factory=dict)
    let_through: LetThrough | None = None

    @property
    def columns(self) -> frozenset[str]:
        """Return the fields and features that are read, besides the append time."""
        let = self.let_through
        return frozenset({self.by} - {""} | ({let.key, let.stake} if let else set()))

    def of_rows(self, values: Sequence[object]) -> Cut:
        """Return the thresholds per row.

        Args:
            values: of the field ``by``, one per row; not looked at where there is none.

        >>> table = ThresholdTable("1", Cut(0.5, 0.9), "channel", {"moto": Cut(0.25, 0.75)})
        >>> table.of_rows(["moto", None]).review.tolist()
        [0.25, 0.5]
        """
        if not self.by:
            return self.others
        found = [self.segments.get(segment_of(value), self.others) for value in values]
        review, decline = (np.array([each[side] for each in found], dtype=np.float32) for side in (0, 1))
        return Cut(review, decline)


def find_cut(thresholds: ThresholdTable, fields: pa.RecordBatch | None) -> Cut:
    """Return the thresholds of some rows.

    Args:
        thresholds: in force.
        fields: of the events; one that is missing names no segment.

    Where no field is read, rows have one without a name.

    >>> rows = pa.RecordBatch.from_pydict({"": [None]})
    >>> find_cut(ThresholdTable("1", Cut(0.5, 0.9)), rows)
    Cut(review=0.5, decline=0.9)
    """
    if fields is None or not thresholds.by or thresholds.by not in fields.schema.names:
        return thresholds.others
    column = fields.column(thresholds.by)
    encoded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    cut = thresholds.of_rows([*values, None])
    codes = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    return Cut(*(np.asarray(side)[codes] for side in cut))


def segment_of(value: object) -> str:
    """Return a field's value as segments are named.

    >>> segment_of(True), segment_of(5411), segment_of("moto")
    ('true', '5411', 'moto')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_thresholds(document: Any, stream: Stream, version: str = "unnamed") -> ThresholdTable:
    """Check a document of thresholds of a stream.

    Args:
        document: as read.
        stream: for whose events they decide.
        version: of the text that it was read from.

    Raises:
        Refused: as ``parse_thresholds``, and ``parse_let_through``.
    """
    given = dict(document) if isinstance(document, dict) else document
    let = given.pop("let_through", None) if isinstance(given, dict) else None
    table = parse_thresholds(given, stream.kept_in_rows, version)
    if let is None:
        return table
    stake = find_stake(stream)
    name = None if stake is None else stream.feature_names[stake]
    return replace(table, let_through=parse_let_through(let, key=stream.key.field, stake=name))


def parse_thresholds(document: Any, fields: Collection[str], version: str = "unnamed") -> ThresholdTable:
    """Check a document of thresholds.

    Args:
        document: as read.
        fields: that feature rows keep: one of them may tell segments.
        version: of the text that it was read from.

    Raises:
        Refused: wrong shape, an unknown field, no numbers from 0 to 1, or a review threshold above the decline one.

    >>> parse_thresholds({"review": 0.5, "decline": 0.9}, []).others
    Cut(review=0.5, decline=0.9)
    """
    if not isinstance(document, dict) or not set(document) <= _FIELDS:
        raise Refused("thresholds: expected an object with review, decline, by, segments and let_through")
    by, segments = document.get("by", ""), document.get("segments", {})
    if not isinstance(segments, dict) or len(segments) > SEGMENTS_MAX:
        raise Refused(f"thresholds: expected an object of at most {SEGMENTS_MAX:,} segments")
    if bool(by) != bool(segments) or (by and by not in fields):
        raise Refused(f"thresholds: expected by and segments together, by one of {', '.join(fields)}; "
                      f"found {str(by)!r:.60}")  # fmt: skip
    others = _read_cut({name: document.get(name) for name in Cut._fields}, "of all others")
    return ThresholdTable(version, others, by, {name: _read_cut(cut, "of a segment") for name, cut in segments.items()})


def _read_cut(given: Any, where: str) -> Cut:
    if not isinstance(given, dict) or set(given) != set(Cut._fields):
        raise Refused(f"thresholds {where}: expected an object with review and decline")
    values = [given[name] for name in Cut._fields]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 for value in values):
        raise Refused(f"thresholds {where}: expected review and decline as numbers from 0 to 1")
    if values[0] > values[1]:
        raise Refused(f"thresholds {where}: expected review not above decline, found {values[0]} above {values[1]}")
    return Cut(float(values[0]), float(values[1]))
