"""Which rows of some columns a search wants, and their order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import REQUEST_ID
from weir.schemas.search import Search

Int64s = npt.NDArray[np.int64]
PLACE: Final = ("append_ms", "partition", "offset")
OUTCOME, SCORE, BY, SHADOWS = "decision", "score", "decided_by", "shadow_rules"
COLUMNS: Final = (*PLACE, OUTCOME, SCORE, BY, SHADOWS, REQUEST_ID)
"""What decisions of any stream are searched by, next to the ids of their events."""


def list_columns(search: Search) -> list[str]:
    """Return the columns that say which rows are wanted and where they are."""
    wanted = search.wanted
    of_score = [SCORE] if wanted.score_min is not None else []
    of_rule = [BY, SHADOWS] if wanted.rule is not None else []
    of_request = [REQUEST_ID] if search.request_id is not None else []
    return [*PLACE, OUTCOME, *of_score, *of_rule, *of_request, *wanted.ids]


def end_of(search: Search) -> int:
    """Return the first append time that is too new for what is left to find, UTC epoch ms."""
    if search.after is None:
        return search.end_ms
    at_ms, partition, offset = search.after
    return min(search.end_ms, at_ms + (1 if partition or offset else 0))


def choose(rows: pa.Table, search: Search) -> Int64s:
    """Return the numbers of the rows that are wanted, no more than a page and one: those that were appended last."""
    wanted = search.wanted
    # a row that was erased, or could not be decoded, has no outcome
    masks = [rows[OUTCOME].is_valid()]
    if search.first_ms > 0:
        masks.append(pc.greater_equal(rows["append_ms"], search.first_ms))
    masks.append(pc.less(rows["append_ms"], end_of(search)))
    if wanted.outcomes:
        masks.append(pc.is_in(rows[OUTCOME], pa.array(sorted(wanted.outcomes), pa.string())))
    if wanted.score_min is not None:
        masks.append(pc.greater_equal(rows[SCORE], wanted.score_min))
    if wanted.rule is not None:
        masks.append(pc.or_kleene(pc.equal(rows[BY], wanted.rule), _holds(rows[SHADOWS], wanted.rule)))
    if search.request_id is not None:
        masks.append(_equals(rows[REQUEST_ID], search.request_id))
    masks += [_equals(rows[name], value) for name, value in wanted.ids.items()]
    chosen = masks[0]
    for mask in masks[1:]:
        chosen = pc.and_kleene(chosen, mask)
    numbers = np.flatnonzero(pc.fill_null(chosen, False).to_numpy(zero_copy_only=False))
    places = places_of(rows, numbers)
    if search.after is not None:
        before = _is_before(places, search.after)
        numbers, places = numbers[before], places[before]
    found: Int64s = numbers[order(places)[: search.limit + 1]]
    return found


def places_of(rows: pa.Table, numbers: Int64s) -> Int64s:
    """Return append time, partition and offset of some rows, shape (rows, 3)."""
    return np.column_stack([rows[name].to_numpy()[numbers].astype(np.int64) for name in PLACE])


def order(places: Int64s) -> Int64s:
    """Return the numbers of places in the order of an answer, the newest first."""
    found: Int64s = np.lexsort((places[:, 2], places[:, 1], places[:, 0]))[::-1]
    return found


def _is_before(places: Int64s, place: Sequence[int]) -> npt.NDArray[np.bool_]:
    at, partition, offset = places[:, 0], places[:, 1], places[:, 2]
    same = (at == place[0]) & ((partition < place[1]) | ((partition == place[1]) & (offset < place[2])))
    is_before: npt.NDArray[np.bool_] = (at < place[0]) | same
    return is_before


def _equals(values: pa.ChunkedArray, value: str) -> pa.Array:
    if not pa.types.is_string(values.type):  # a column that the table has not had yet
        return pa.array(np.zeros(len(values), np.bool_))
    return pc.equal(values, value)


def _holds(lists: pa.ChunkedArray, value: str) -> pa.Array:
    """Return per row whether its list has a value."""
    has = np.zeros(len(lists), np.bool_)
    if not pa.types.is_list(lists.type):
        return pa.array(has)
    whole = lists.combine_chunks()
    whole = whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)
    hits = pc.fill_null(pc.equal(pc.list_flatten(whole), value), False)
    has[pc.list_parent_indices(whole).filter(hits).to_numpy()] = True
    return pa.array(has)
