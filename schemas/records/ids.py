"""What is asked of ids and keys in records: the engine's own checks, driven by the fields that a stream names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.card_like import find_card_like
from weir.schemas.errors import PoisonRecord
from weir.schemas.filling import as_filled
from weir.schemas.masking import is_card_number, is_issued_card_number
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.row_finding import Keys, RowFinding, poison
from weir.schemas.stream import Stream

Places: TypeAlias = npt.NDArray[np.int64]

ID_BYTES_MAX = 128
"""UTF-8 bytes of an id; it is a part of Redis keys."""
_BYTES_MAX = 1 << 30
_AVRO_KEY_OVERHEADS = frozenset({6, 7, 18, 19})
"""Bytes before a string in Avro's key: the frame's 5, or 17 with a GUID, and a length of one or two."""


def find_bad_ids(stream: Stream, batch: pa.RecordBatch, keys: Keys, placeholders: Placeholders) -> Iterator[RowFinding]:
    """Yield card numbers in any text, ids that cannot be ids, placeholders for the event or the key, and wrong keys.

    A placeholder is refused where the record would be about nobody, and is as null in every other id.
    """
    # ids or not: whatever takes text gets one sooner or later, and a message about anything else would quote it
    yield from _find_card_numbers(batch, {entity.field for entity in stream.entities if entity.card_tokens})
    yield from _find_lengths(batch, [name for name in batch.schema.names if name in stream.id_fields])
    yield from _find_placeholders(batch, stream, placeholders)
    yield _find_key_mismatch(batch, stream.key.field, keys)


def _find_card_numbers(batch: pa.RecordBatch, tokens: Collection[str]) -> Iterator[RowFinding]:
    """Yield card numbers, column by column; columns of one kind are searched at once, see ``_in_one``."""
    texts = [field.name for field in batch.schema if field.type == pa.string()]
    found: dict[str, RowFinding] = {}
    for of_cards in (False, True):
        names = [name for name in texts if (name in tokens) == of_cards]
        for several in _in_one(batch, names):
            # where a card number belongs least, whatever may be one is refused, whatever scheme would have issued it
            places = find_card_like(several.values, issued=not of_cards)
            for name, rows in several.split(places):
                found[name] = _judge_card_numbers(batch, name, rows, of_cards)
    yield from (found[name] for name in texts if name in found)


def _judge_card_numbers(batch: pa.RecordBatch, name: str, rows: Places, of_cards: bool) -> RowFinding:
    offenders = np.zeros(batch.num_rows, dtype=bool)
    texts = batch.column(name).take(pa.array(rows)).to_pylist()
    offenders[rows] = [is_issued_card_number(text) or (of_cards and is_card_number(text)) for text in texts]
    return offenders, lambda _: poison("card_number", "a token", "a card number", name)


def _find_lengths(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[RowFinding]:
    for several in _in_one(batch, names):
        lengths = as_filled(pc.binary_length(several.values), 1)
        for name, _ in several.split(np.flatnonzero((lengths == 0) | (lengths > ID_BYTES_MAX))):
            yield from _judge_lengths(batch, name)


def _judge_lengths(batch: pa.RecordBatch, name: str) -> Iterator[RowFinding]:
    lengths = as_filled(pc.binary_length(batch.column(name)), 1)
    yield lengths == 0, lambda _: poison("empty_id", "an id", "an empty string", name)

    def explain(row: int) -> PoisonRecord:
        return poison("id_too_long", f"at most {ID_BYTES_MAX} bytes", f"{lengths[row]} bytes", name)

    yield lengths > ID_BYTES_MAX, explain


def _find_placeholders(batch: pa.RecordBatch, stream: Stream, placeholders: Placeholders) -> Iterator[RowFinding]:
    names = [*dict.fromkeys((stream.id, stream.key.field))]
    known = placeholders.with_zero_fields(stream.zero_fields)
    for name, rows in zip(names, known.find_in([(name, batch.column(name)) for name in names]), strict=True):
        offenders = np.zeros(batch.num_rows, dtype=bool)
        offenders[rows] = True
        yield offenders, partial(_explain_placeholder, name)


def _explain_placeholder(name: str, _: int) -> PoisonRecord:
    return poison("placeholder_id", "an id", "a value that stands for a missing id", name)


class _Several(NamedTuple):
    """Columns of a batch end to end."""

    names: Sequence[str]
    values: pa.Array

    def split(self, places: Places) -> Iterator[tuple[str, Places]]:
        """Yield each column that some of the places, ascending, are in, with its rows of them."""
        if len(places):
            size = len(self.values) // len(self.names)
            ends = np.searchsorted(places, np.arange(len(self.names) + 1) * size)
            for at, (first, end) in enumerate(pairwise(ends.tolist())):
                if end > first:
                    yield self.names[at], places[first:end] - at * size


def _in_one(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[_Several]:
    """Yield columns end to end, to be searched by few calls: each takes some 50 us, however few rows there are.

    Arrow's offsets of texts have 32 bits, so columns of very much text are yielded one by one.
    """
    columns = [batch.column(name) for name in names]
    if len(names) > 1 and sum(column.nbytes for column in columns) < _BYTES_MAX:
        yield _Several(names, pa.concat_arrays(columns))
        return
    for name, column in zip(names, columns, strict=True):
        yield _Several([name], column)


def _find_key_mismatch(batch: pa.RecordBatch, name: str, keys: Keys) -> RowFinding:
    ids = batch.column(name)
    same = pc.equal(pa.array(keys, pa.binary()), ids.cast(pa.binary()))

    def explain(row: int) -> PoisonRecord:
        found = _explain_key(keys[row], ids[row].as_py().encode())
        return poison("key_mismatch", f"the record key to be {name}", found, name)

    return ~as_filled(same, False), explain


def _explain_key(key: bytes | None, expected: bytes) -> str:
    """Say what kind of key it is; the likely ones are those of a serializer that is not the plain one."""
    if key is None:
        return "no key"
    if key == b'"' + expected + b'"':
        return "it in JSON quotes (use a plain string serializer for keys)"
    if key.endswith(expected) and len(key) - len(expected) in _AVRO_KEY_OVERHEADS and key[0] in {0, 1}:
        return "it in an Avro frame (use a plain string serializer for keys)"
    return "another key with it inside" if expected in key else "another key"
