"""Expressions evaluated over a record batch, by Arrow.

Null is "not known", as in SQL. A comparison, a sum or a function of null is null; ``&`` and ``|`` are null only where
the known side does not decide (false & null is false). ``is_null`` alone is never null. A condition that decides
something is true or it is not: ``holds`` takes null for false, so a flag over null is not set, and ``fails`` takes
null for true, so a check passes over what is not known.

Integers are 64 bits wide. A sum or product that does not fit is null, never another number. An integer and a number
with a fraction meet as doubles, and a quotient is always one; what is divided by zero is null. NaN equals nothing, and
is no value of a list. A column that the batch does not have, as in records of an older writer, is null.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.currencies import CURRENCIES, micro_rate
from weir.schemas.expression import ARITHMETIC, CALENDAR, COMPARISONS, Expression
from weir.schemas.filling import as_filled

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_THURSDAY: Final = 3
"""1970-01-01 was one, and Monday is 0."""
_SATURDAY: Final = 5
_INT64_MAX: Final = (1 << 63) - 1

_COMPARE: Final[dict[str, Callable[..., pa.Array]]] = {
    "eq": pc.equal,
    "ne": pc.not_equal,
    "lt": pc.less,
    "le": pc.less_equal,
    "gt": pc.greater,
    "ge": pc.greater_equal,
}
_CHECKED: Final[dict[str, Callable[..., pa.Array]]] = {
    "add": pc.add_checked,
    "sub": pc.subtract_checked,
    "mul": pc.multiply_checked,
}
_EXACT: Final[dict[str, Callable[[int, int], int]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
}


def evaluate(node: Expression, batch: pa.RecordBatch) -> pa.Array:
    """Return an expression's value of every row: boolean, int64, double or string, with nulls.

    >>> from weir.schemas.expression import col
    >>> evaluate(col("n") + 1, pa.record_batch({"n": [1, None]})).to_pylist()
    [2, None]

    Raises:
        pyarrow.ArrowException: when the expression cannot be typed over these columns; see ``expression_types.py``.
    """
    found = _evaluate(node, batch)
    return pa.repeat(found, batch.num_rows) if isinstance(found, pa.Scalar) else found


def holds(node: Expression, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return, bool, shape (rows,), where a condition is true; over null it is not."""
    return as_filled(_bools(evaluate(node, batch)), False)


def fails(node: Expression, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return, bool, shape (rows,), where a condition is false; over null it is not."""
    mask: npt.NDArray[np.bool_] = ~as_filled(_bools(evaluate(node, batch)), True)
    return mask


def _evaluate(node: Expression, batch: pa.RecordBatch) -> pa.Array | pa.Scalar:
    if node.op == "col":
        return _read(batch, node.value)
    if node.op == "lit":
        return pa.scalar(node.value)
    parts = [_evaluate(part, batch) for part in node.parts]
    if all(isinstance(part, pa.Scalar) for part in parts):  # literals alone: worth the same in every row
        return _apply(node, [pa.repeat(part, 1) for part in parts])[0]
    return _apply(node, parts)


def _apply(node: Expression, parts: list[Any]) -> pa.Array:
    if node.op in COMPARISONS:
        return _COMPARE[node.op](*_align(*parts))
    if node.op in ARITHMETIC:
        return _compute(node.op, *_align(*parts))
    if node.op in CALENDAR:
        return _CALENDAR[node.op](_fill(parts[0]), node.value)
    return _OTHERS[node.op](*parts, *([] if node.value is None else [node.value]))


def _read(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows)
    column = batch.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    return column.cast(pa.float64()) if pa.types.is_floating(column.type) else column


def _align(left: Any, right: Any) -> tuple[Any, Any]:
    """Bring two operands to one type: null takes the other's, an integer becomes a double next to one."""
    if left.type == right.type:
        return (left, right) if not pa.types.is_null(left.type) else (left.cast(pa.int64()), right.cast(pa.int64()))
    if pa.types.is_null(left.type):
        return left.cast(right.type), right
    if pa.types.is_null(right.type):
        return left, right.cast(left.type)
    if {left.type, right.type} == {pa.int64(), pa.float64()}:
        return pc.cast(left, pa.float64(), safe=False), pc.cast(right, pa.float64(), safe=False)
    return left, right


def _compute(op: str, left: Any, right: Any) -> pa.Array:
    if op == "div":
        return _divide(left, right)
    try:
        return _CHECKED[op](left, right)
    except pa.ArrowInvalid:  # a result of some row does not fit; such rows are few and these batches rare
        return _compute_slowly(op, left, right)


def _divide(left: Any, right: Any) -> pa.Array:
    """Divide as doubles; by zero gives null, for no number is right."""
    left, right = (pc.cast(side, pa.float64(), safe=False) for side in (left, right))
    return pc.divide(left, pc.if_else(pc.equal(right, 0.0), pa.scalar(None, pa.float64()), right))


def _compute_slowly(op: str, left: Any, right: Any) -> pa.Array:
    rows = len(left) if isinstance(left, pa.Array) else len(right)
    sides = [s.to_pylist() if isinstance(s, pa.Array) else [s.as_py()] * rows for s in (left, right)]
    found = [None if a is None or b is None else _EXACT[op](a, b) for a, b in zip(*sides, strict=True)]
    return pa.array([n if n is not None and -_INT64_MAX - 1 <= n <= _INT64_MAX else None for n in found], pa.int64())


def _bools(column: Any) -> Any:
    return column.cast(pa.bool_()) if pa.types.is_null(column.type) else column


def _is_in(column: Any, values: tuple[Any, ...]) -> Any:
    values_set = pa.array(values)
    column, values_set = _align(column, values_set)
    if pa.types.is_floating(column.type):
        values_set = values_set.filter(pc.invert(pc.is_nan(values_set)))
        # Arrow looks a value up by its bits, and zero has two
        column, values_set = pc.add(column, 0.0), pc.add(values_set, 0.0)
    found = pc.is_in(column, value_set=values_set)
    return found if not column.null_count else pc.if_else(pc.is_null(column), pa.scalar(None, pa.bool_()), found)


def _matches(column: Any, pattern: str) -> Any:
    texts = column.cast(pa.string()) if pa.types.is_null(column.type) else column
    return pc.match_substring_regex(texts, rf"\A(?:{pattern})\z")


def _fill(column: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return times as numbers, and where there is none."""
    times = as_filled(column.cast(pa.int64()), 0)
    if not column.null_count:
        return times, np.zeros(len(column), dtype=bool)
    return times, pc.is_null(column).to_numpy(zero_copy_only=False)


_Times = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]


def _hour(times: _Times, _: object) -> pa.Array:
    return pa.array(times[0] % _DAY_MS / _HOUR_MS, mask=times[1])


def _weekday(times: _Times, _: object) -> pa.Array:
    return pa.array((times[0] // _DAY_MS + _THURSDAY) % 7, mask=times[1])


def _month(times: _Times, _: object) -> pa.Array:
    months = (times[0] // _DAY_MS).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return pa.array(months % 12 + 1, mask=times[1])


def _is_weekend(times: _Times, _: object) -> pa.Array:
    return pa.array((times[0] // _DAY_MS + _THURSDAY) % 7 >= _SATURDAY, mask=times[1])


def _is_holiday(times: _Times, dates: tuple[str, ...]) -> pa.Array:
    days = [(date.fromisoformat(text) - date(1970, 1, 1)).days for text in dates]
    return pa.array(np.isin(times[0] // _DAY_MS, days), mask=times[1])


def _cycle(function: Callable[[Any], Any]) -> Callable[[Any, float], Any]:
    def compute(column: Any, period: float) -> Any:
        numbers = pc.cast(column, pa.float64(), safe=False)
        return function(pc.multiply(pc.divide(numbers, pa.scalar(float(period))), pa.scalar(2.0 * np.pi)))

    return compute


def _money(amounts: Any, currencies: Any) -> pa.Array:
    """Convert to base minor units, rounding half away from zero; null for a currency or a size that is not known."""
    filled, missing = _fill(amounts)
    texts = currencies.cast(pa.string()) if pa.types.is_null(currencies.type) else currencies
    codes = pc.dictionary_encode(texts)
    rates = np.array([micro_rate(text) if text in CURRENCIES else 0 for text in codes.dictionary.to_pylist()] + [0])
    # compared before they are multiplied: an extreme amount times a rate would wrap around
    limits = np.where(rates > 0, (_INT64_MAX - 500_000) // np.maximum(rates, 1), -1)
    code = as_filled(codes.indices, len(rates) - 1)
    sizes = np.abs(filled)
    missing = missing | (sizes > limits[code]) | (sizes < 0)  # the least integer has no size
    found = (np.where(missing, 0, sizes) * rates[code] + 500_000) // 1_000_000
    return pa.array(np.where(filled < 0, -found, found), mask=missing if missing.any() else None)


_CALENDAR: Final[dict[str, Callable[..., pa.Array]]] = {
    "hour": _hour,
    "weekday": _weekday,
    "month": _month,
    "is_weekend": _is_weekend,
    "is_holiday": _is_holiday,
}
_OTHERS: Final[dict[str, Callable[..., Any]]] = {
    "and": lambda left, right: pc.and_kleene(_bools(left), _bools(right)),
    "or": lambda left, right: pc.or_kleene(_bools(left), _bools(right)),
    "not": lambda part: pc.invert(_bools(part)),
    "is_null": pc.is_null,
    "is_in": _is_in,
    "matches": _matches,
    "sin_of": _cycle(pc.sin),
    "cos_of": _cycle(pc.cos),
    "money": _money,
}
