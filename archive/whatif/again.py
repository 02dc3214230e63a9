"""Decides rows of the past again by the function that the stream decides by, from the scores that were logged.

So rules, lists and thresholds are held against the very numbers that were decided by. Everything is arrays: text is
made for what differs alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.slices import to_array
from weir.archive.whatif.past import Joined
from weir.inference.core.condition_steps import Rows
from weir.inference.core.deciding import OUTCOMES, DecidedRows, Outcomes, decide_rows
from weir.inference.core.lists import Lists
from weir.inference.core.rules import Noted, RuleSet, list_words
from weir.inference.core.thresholds import Cut, Scores, ThresholdTable, find_cut
from weir.schemas.stream import Stream

NO_MODEL_NAME: Final = "none"
Codes = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Deciding:
    """What decides next to the scores.

    Attributes:
        review: score from which on the model reviews; nothing where it is not known, or published thresholds stand.
        decline: and declines.
    """

    rules: RuleSet
    lists: Lists
    thresholds: ThresholdTable | None = None
    review: float = float("nan")
    decline: float = float("nan")


def decide_again(rows: Joined, scores: Scores, deciding: Deciding, stream: Stream, *, has_model: bool) -> DecidedRows:
    """Decide rows of one model by something else, or once more by what was in force.

    Args:
        rows: of the past.
        scores: of them, as ``check_scores`` leaves them.
        deciding: what decides.
        stream: whose they are.
        has_model: False where lists and rules decide alone.
    """
    ids = {kind: _encode(rows.fields.column(stream.id_field_of[kind])) for kind in deciding.lists.kinds}
    cut, table = Cut(deciding.review, deciding.decline), deciding.thresholds
    if table is not None:
        cut = find_cut(table, rows.fields)
    asked = Rows(rows.features, rows.names, scores, rows.fields, deciding.lists)
    return decide_rows(asked, ids, deciding.rules, cut, table.let_through if table else None, has_model=has_model)


def replace_decisions(decisions: pa.Table, made: DecidedRows) -> pa.Table:
    """Return decisions as if others had been recorded."""
    for name, codes, values in (("decision", made.outcomes, OUTCOMES), ("decided_by", made.by, made.names)):
        column = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(values, pa.string()))
        decisions = decisions.set_column(decisions.schema.get_field_index(name), name, column)
    return decisions


def read_scores(decisions: pa.Table) -> Scores:
    """Return the scores that were logged, NaN where there was none."""
    column = decisions["score"]
    if column.null_count == len(column):
        return np.full(len(column), np.nan, np.float32)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64).astype(np.float32)


def read_outcomes(decisions: pa.Table) -> Outcomes:
    """Return the decisions that were recorded, as positions in ``OUTCOMES``."""
    return read_codes(decisions["decision"], OUTCOMES).astype(np.uint8)


def read_codes(column: pa.Array | pa.ChunkedArray, names: Sequence[str]) -> Codes:
    """Return the position of each value in some names, the first of equal ones; -1 for any other value."""
    encoded = _encode(column)
    place = {name: position for position, name in reversed(list(enumerate(names)))}
    values = encoded.dictionary.to_pylist()
    of_value = np.array([*(place.get(value, -1) for value in values), -1], np.int32)
    used = of_value if encoded.null_count else of_value[:-1]
    if len(used) and (used == used[0]).all():
        return np.full(len(encoded), used[0])
    # Arrow's take reads the indices as they are, where NumPy makes wider ones first
    found: Codes = pc.take(pa.array(of_value), _indices_of(encoded), boundscheck=False).to_numpy()
    return found


def read_indices(encoded: pa.DictionaryArray) -> Codes:
    """Return which value of its dictionary each row has; the one after the last for none."""
    found: Codes = _indices_of(encoded).to_numpy()
    return found


def _indices_of(encoded: pa.DictionaryArray) -> pa.Array:
    return encoded.indices.fill_null(len(encoded.dictionary)) if encoded.null_count else encoded.indices


def match_alone(rows: Joined, rule: RuleSet, lists: Lists) -> npt.NDArray[np.bool_]:
    """Return which rows fulfil the one rule of a set."""
    (fulfilled,) = match_all(rows, rule, lists)
    return fulfilled


def match_all(rows: Joined, rules: RuleSet, lists: Lists) -> Sequence[npt.NDArray[np.bool_]]:
    """Return where each rule that is not off is fulfilled, by position."""
    asked = Rows(rows.features, rows.names, read_scores(rows.decisions), rows.fields, lists)
    found = rules.match(asked).fulfilled
    return [found[position] for position in sorted(found)]


def find_differences(decisions: pa.Table, made: DecidedRows) -> tuple[Places, Iterator[tuple[int, str, str, str]]]:
    """Return the rows in which what was recorded and what is computed differ, and what differs in which field."""
    names = decisions.schema.names
    called, by = made.names, made.by
    if len(set(called)) < len(called):  # two are called alike
        by = np.array([called.index(name) for name in called], np.int32)[by]
    numbers: dict[str, tuple[npt.NDArray[np.integer[Any]], Sequence[str]]] = {
        "decision": (made.outcomes, OUTCOMES),
        "decided_by": (by, called),
    }
    words = {"tags": made.tags, "shadow_rules": made.matches.shadow}
    wrong = {
        **{
            name: np.flatnonzero(read_codes(decisions[name], names_of) != computed)
            for name, (computed, names_of) in numbers.items()
            if name in names
        },
        **{name: _find_other_words(decisions[name], noted) for name, noted in words.items() if name in names},
    }
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *wrong.values()]))

    def describe() -> Iterator[tuple[int, str, str, str]]:
        for name, places in wrong.items():
            for row in places.tolist():
                computed = numbers[name][1][numbers[name][0][row]] if name in numbers else _words_of(words[name], row)
                yield row, name, _say(decisions[name][row].as_py()), _say(computed)

    return rows, describe()


def _find_other_words(recorded: pa.ChunkedArray, noted: Noted) -> Places:
    """Return the rows whose words are others; most rows have none, and none are looked at."""
    some = np.zeros(len(recorded), np.bool_)
    if any(len(chunk.flatten()) for chunk in recorded.chunks):
        some |= pc.fill_null(pc.greater(pc.list_value_length(recorded), 0), False).to_numpy(zero_copy_only=False)
    for _, rows in noted:
        some[rows] = True
    places = np.flatnonzero(some)
    if not len(places):
        return places
    computed = list_words(noted)
    were = recorded.take(pa.array(places)).to_pylist()
    differs = [tuple(was or ()) != computed.get(row, ()) for row, was in zip(places.tolist(), were, strict=True)]
    return places[np.array(differs, np.bool_)]


def _words_of(noted: Noted, row: int) -> list[str]:
    return list(list_words([(word, rows[rows == row]) for word, rows in noted]).get(row, ()))


def _encode(column: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    array = to_array(column)
    return array if isinstance(array, pa.DictionaryArray) else array.cast(pa.string()).dictionary_encode()


def _say(value: Any) -> str:
    return ", ".join(value) or "nothing" if isinstance(value, list) else str(value or "nothing")
