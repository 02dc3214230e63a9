"""What is asked of the values of records: money and measures within their bounds, positions, and a stream's own checks.

Columns with few distinct values (a currency, a country) are checked once per value.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.currencies import CURRENCIES, MAX_AMOUNT_BASE_MINOR, micro_rate
from weir.schemas.errors import PoisonRecord
from weir.schemas.expression import Expression, columns_of, find_money
from weir.schemas.expression_text import to_text
from weir.schemas.expression_values import evaluate, fails, holds
from weir.schemas.filling import as_filled
from weir.schemas.records.row_finding import RowFinding, Rows, as_integers, as_numpy, find_by_value, poison
from weir.schemas.records.units import name_scale
from weir.schemas.stream import Check, Measure, Position, Stream


def find_bad_measures(stream: Stream, batch: pa.RecordBatch) -> Iterator[RowFinding]:
    """Yield measures beyond their bounds, and money of a currency that is not known."""
    for measure in stream.measures:
        of_reversal = stream.reversal is not None and stream.reversal.of == measure.name
        below = f", below 0 for a {stream.reversal.name}" if of_reversal and stream.reversal else ""
        for money in find_money(measure.value):
            amount, currency = (part.value for part in money.parts)
            bound = measure.bound if measure.value is money else None
            yield _find_unknown_currency(batch, currency)
            yield _find_bad_amounts(batch, (amount, currency), bound or MAX_AMOUNT_BASE_MINOR, measure.name, below)
        if measure.value.op != "money":
            yield _find_beyond_bound(batch, measure, below)


def find_failed_checks(stream: Stream, batch: pa.RecordBatch) -> Iterator[RowFinding]:
    """Yield what a stream's own checks find, in their order."""
    for check in stream.all_checks:
        yield _find_failed(stream, check, _with_derived(stream, batch, columns_of(check.must)))


def find_bad_positions(batch: pa.RecordBatch, position: Position) -> RowFinding:
    """Return positions that are none: one number alone, or not in degrees."""
    lat, lon = batch.column(position.lat), batch.column(position.lon)
    one_only = as_numpy(pc.is_null(lat)) != as_numpy(pc.is_null(lon))
    # a comparison with NaN is false, so both bounds are asked the right way round
    inside = [np.abs(as_filled(column, 0.0)) <= bound for column, bound in ((lat, 90.0), (lon, 180.0))]

    def explain(row: int) -> PoisonRecord:
        found = lat[row].as_py(), lon[row].as_py()
        expected = "both of -90 to 90 and -180 to 180, or neither"
        return poison("bad_coordinates", expected, f"{found[0]}, {found[1]}", position.lat, name_scale(*found))

    return one_only | ~(inside[0] & inside[1]), explain


def _find_unknown_currency(batch: pa.RecordBatch, name: str) -> RowFinding:
    column = batch.column(name)

    def explain(row: int) -> PoisonRecord:
        return poison("unknown_currency", "a currency of the table", column[row].as_py(), name)

    return find_by_value(column, _are_unknown), explain


def _are_unknown(currencies: pa.Array) -> Rows:
    return np.array([value not in CURRENCIES for value in currencies.to_pylist()], dtype=bool)


def _find_bad_amounts(
    batch: pa.RecordBatch, fields: tuple[str, str], bound: int, measure: str, below: str
) -> RowFinding:
    amounts = as_integers(batch.column(fields[0]))
    codes = pc.dictionary_encode(batch.column(fields[1]))
    # compared in the currency's own minor units: multiplied by a rate, an extreme amount would overflow
    limits = np.array(
        [compute_amount_minor_max(value, bound) for value in codes.dictionary.to_pylist()], dtype=np.int64
    )
    limit_of = limits[as_numpy(codes.indices)]

    def explain(row: int) -> PoisonRecord:
        limit = limit_of[row]
        return poison(f"{measure}_out_of_range", f"{-limit} to {limit}{below}", amounts[row], fields[0])

    return (amounts < -limit_of) | (amounts > limit_of), explain


def compute_amount_minor_max(currency: str, bound: int) -> int:
    """The largest amount whose base value, rounded, is within bounds; unknown currencies are named before."""
    if currency not in CURRENCIES:
        return int(np.iinfo(np.int64).max)
    return (bound * 1_000_000 + 499_999) // micro_rate(currency)


def _find_beyond_bound(batch: pa.RecordBatch, measure: Measure, below: str) -> RowFinding:
    values, bound = evaluate(measure.value, batch), measure.bound or 0
    known = as_filled(values, 0)
    field = _first_field(batch, columns_of(measure.value))

    def explain(row: int) -> PoisonRecord:
        found = values[row].as_py()
        found = "a number that does not fit 64 bits" if found is None else found
        return poison(f"{measure.name}_out_of_range", f"{-bound} to {bound}{below}", found, field)

    # what does not fit 64 bits is null: a measure's fields never are
    return as_numpy(pc.is_null(values)) | (known < -bound) | (known > bound), explain


def _find_failed(stream: Stream, check: Check, batch: pa.RecordBatch) -> RowFinding:
    names = sorted(columns_of(check.must), key=batch.schema.names.index)
    field = _first_field(batch, frozenset(names))
    expected = check.expected or to_text(check.must)

    def explain(row: int) -> PoisonRecord:
        if set(names) & set(stream.id_fields):
            found = "another value"  # a message quotes no id
        elif len(names) == 1:
            found = batch.column(names[0])[row].as_py()
        else:
            found = ", ".join(f"{name} {batch.column(name)[row].as_py()}" for name in names)
        return poison(check.reason, expected, found, field)

    return _fails(check.must, batch, names), explain


def _fails(must: Expression, batch: pa.RecordBatch, names: list[str]) -> Rows:
    if len(names) == 1 and batch.schema.field(names[0]).type == pa.string():
        return find_by_value(batch.column(names[0]), lambda values: fails(must, pa.record_batch({names[0]: values})))
    return fails(must, batch)


def _with_derived(stream: Stream, batch: pa.RecordBatch, names: frozenset[str]) -> pa.RecordBatch:
    """Return the batch with measures and flags as columns, where a check reads any of them."""
    if names <= set(batch.schema.names):
        return batch
    for measure in stream.measures:
        if measure.name not in batch.schema.names:
            batch = batch.append_column(measure.name, evaluate(measure.value, batch))
    found = {flag.name: pa.array(holds(flag.when, batch)) for flag in stream.flags}
    if stream.reversal:
        found[stream.reversal.name] = pa.array(holds(stream.reversal.when, batch))
    for name, column in found.items():
        batch = batch if name in batch.schema.names else batch.append_column(name, column)
    return batch


def _first_field(batch: pa.RecordBatch, names: frozenset[str]) -> str:
    return next((name for name in batch.schema.names if name in names), "")
