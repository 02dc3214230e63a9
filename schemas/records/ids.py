"""What is asked of ids and keys in records: the engine's own checks, driven by the fields that a stream names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.card_like import find_card_like
from weir.schemas.errors import PoisonRecord
from weir.schemas.filling import as_filled
from weir.schemas.masking import is_card_number, is_issued_card_number
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.row_finding import Keys, RowFinding, poison
from weir.schemas.stream import Stream

ID_BYTES_MAX = 128
"""UTF-8 bytes of an id; it is a part of Redis keys."""
_AVRO_KEY_OVERHEADS = frozenset({6, 7, 18, 19})
"""Bytes before a string in Avro's key: the frame's 5, or 17 with a GUID, and a length of one or two."""


def find_bad_ids(stream: Stream, batch: pa.RecordBatch, keys: Keys, placeholders: Placeholders) -> Iterator[RowFinding]:
    """Yield card numbers in any text, ids that cannot be ids, placeholders for the event or the key, and wrong keys.

    A placeholder is refused where the record would be about nobody, and is as null in every other id.
    """
    tokens = {entity.field for entity in stream.entities if entity.card_tokens}
    # ids or not: whatever takes text gets one sooner or later, and a message about anything else would quote it
    yield from (_find_card_numbers(batch, f.name, f.name in tokens) for f in batch.schema if f.type == pa.string())
    for name in batch.schema.names:
        if name in stream.id_fields:
            yield from _find_lengths(batch, name)
    known = placeholders.with_zero_fields(stream.zero_fields)
    for name in dict.fromkeys((stream.id, stream.key.field)):
        yield _find_placeholders(batch, name, known)
    yield _find_key_mismatch(batch, stream.key.field, keys)


def _find_card_numbers(batch: pa.RecordBatch, name: str, of_cards: bool) -> RowFinding:
    # where a card number belongs least, whatever may be one is refused, whatever scheme would have issued it
    offenders = np.zeros(batch.num_rows, dtype=bool)
    rows = find_card_like(batch.column(name), issued=not of_cards)
    if len(rows):
        texts = batch.column(name).take(pa.array(rows)).to_pylist()
        offenders[rows] = [is_issued_card_number(text) or (of_cards and is_card_number(text)) for text in texts]
    return offenders, lambda _: poison("card_number", "a token", "a card number", name)


def _find_lengths(batch: pa.RecordBatch, name: str) -> Iterator[RowFinding]:
    lengths = as_filled(pc.binary_length(batch.column(name)), 1)
    yield lengths == 0, lambda _: poison("empty_id", "an id", "an empty string", name)

    def explain(row: int) -> PoisonRecord:
        return poison("id_too_long", f"at most {ID_BYTES_MAX} bytes", f"{lengths[row]} bytes", name)

    yield lengths > ID_BYTES_MAX, explain


def _find_placeholders(batch: pa.RecordBatch, name: str, placeholders: Placeholders) -> RowFinding:
    offenders = np.zeros(batch.num_rows, dtype=bool)
    offenders[placeholders.find(name, batch.column(name))] = True
    return offenders, lambda _: poison("placeholder_id", "an id", "a value that stands for a missing id", name)


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
