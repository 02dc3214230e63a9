"""What a record must be beyond its Avro types. One error per row at most, the first check that fails.

Idea: every check looks at whole columns and answers with the positions of offenders, usually none; only offenders
are looked at one by one. Columns with few distinct values (currency, country) are checked once per value.

Pure: "from the future" compares with the broker's append time, never with a clock. A message quotes what was found,
escaped and cut, but never an id: ids are what a card number hides in.

What cannot be seen in one record: an amount in major units, a position in radians. Both are in range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.card_like import find_card_like
from weir.schemas.currencies import CURRENCIES, MAX_AMOUNT_BASE_MINOR, micro_rate
from weir.schemas.errors import PoisonRecord
from weir.schemas.masking import is_card_number, is_issued_card_number, quote
from weir.schemas.placeholders import Placeholders
from weir.schemas.units import EARLIEST_TIME_MS, LATEST_TIME_MS, format_time, name_scale, name_unit

ID_BYTES_MAX = 128
"""UTF-8 bytes of an id; it is a part of Redis keys."""
FUTURE_MS_MAX = 5 * 60 * 1_000
"""A terminal's clock may run this far ahead of the broker's."""
LABEL_SLACK_MS = 24 * 60 * 60 * 1_000
"""Many labels carry a date without a time of day: so much may one be older than its payment, or ahead of the broker."""
MCC_MAX = 9_999
QUOTE_NOTHING = frozenset({"card_number", "empty_id", "id_too_long", "key_mismatch", "placeholder_id"})
"""Reasons whose message says what kind of thing was found and quotes none of it."""
ASKED_ON_ADMISSION = frozenset(
    {"card_number", "event_time_out_of_range", "from_future", "label_before_event", "placeholder_id"}
)
"""Reasons that keep a record out, and that folding does not depend on. A verdict is never taken back: what an earlier
version let in and counted is folded again, whatever is asked of new records since."""
_AVRO_KEY_OVERHEADS = frozenset({6, 7, 18, 19})
"""Bytes before a string in Avro's key: the frame's 5, or 17 with a GUID, and a length of one or two."""
_COUNTRY = re.compile("[A-Z]{2}")

TRANSACTION_IDS = ("transaction_id", "card_id", "customer_id", "merchant_id", "device_id", "ip")
_KEY_IDS = ("transaction_id", "card_id")
"""Ids without which a record is about nobody: a placeholder is refused here, and as null in every other id."""
_LABEL_IDS = ("transaction_id", "card_id", "merchant_id", "device_id")

Rows = npt.NDArray[np.bool_]
_Finding = tuple[Rows, Callable[[int], PoisonRecord]]
"""Offending rows of one check, and how to say what is wrong with one of them."""


def validate_transactions(
    batch: pa.RecordBatch,
    *,
    keys: Sequence[bytes | None],
    append_time_ms: npt.NDArray[np.int64],
    placeholders: Placeholders,
    counted: bool = False,
) -> list[tuple[int, PoisonRecord]]:
    """Check decoded transactions.

    Args:
        batch: columns of the newest ``transactions`` schema.
        keys: the record key of each row.
        append_time_ms: int64, shape (rows,), the broker's append time, UTC epoch ms.
        placeholders: ids that no card and no transaction may have.
        counted: the rows were let in and counted, perhaps by an earlier version: only what folding needs is asked.

    Returns:
        Row and error, ascending, at most one per row.

    **Cost:** under 1 us a row where nothing is wrong.
    """
    return _collect(batch.num_rows, _transaction_findings(batch, keys, append_time_ms, placeholders), counted=counted)


def validate_labels(
    batch: pa.RecordBatch,
    *,
    keys: Sequence[bytes | None],
    append_time_ms: npt.NDArray[np.int64],
    placeholders: Placeholders,
    counted: bool = False,
) -> list[tuple[int, PoisonRecord]]:
    """Check decoded labels; arguments and result as for ``validate_transactions``."""
    return _collect(batch.num_rows, _label_findings(batch, keys, append_time_ms, placeholders), counted=counted)


def _transaction_findings(
    batch: pa.RecordBatch,
    keys: Sequence[bytes | None],
    append_time_ms: npt.NDArray[np.int64],
    placeholders: Placeholders,
) -> Iterator[_Finding]:
    yield from _id_findings(batch, TRANSACTION_IDS, keys, placeholders)
    yield _find_unknown_currency(batch)
    yield _find_bad_amounts(batch)
    for name in ("country", "issuer_country"):
        yield _find_bad_country(batch, name)
    yield _find_bad_mcc(batch)
    yield _find_bad_coordinates(batch)
    yield from _find_bad_times(batch, "event_time_ms", append_time_ms + FUTURE_MS_MAX)


def _label_findings(
    batch: pa.RecordBatch,
    keys: Sequence[bytes | None],
    append_time_ms: npt.NDArray[np.int64],
    placeholders: Placeholders,
) -> Iterator[_Finding]:
    yield from _id_findings(batch, _LABEL_IDS, keys, placeholders)
    yield from _find_bad_times(batch, "event_time_ms", append_time_ms + FUTURE_MS_MAX)
    yield from _find_bad_times(batch, "label_time_ms", append_time_ms + LABEL_SLACK_MS)
    yield _find_early_labels(batch)


def _id_findings(
    batch: pa.RecordBatch, names: Sequence[str], keys: Sequence[bytes | None], placeholders: Placeholders
) -> Iterator[_Finding]:
    yield from _find_card_numbers_in_text(batch)
    for name in names:
        yield from _find_bad_ids(batch, name)
    for name in _KEY_IDS:
        yield _find_placeholders(batch, name, placeholders)
    yield _find_key_mismatch(batch, keys)


def _collect(rows: int, findings: Iterator[_Finding], *, counted: bool) -> list[tuple[int, PoisonRecord]]:
    errors: dict[int, PoisonRecord] = {}
    if rows:
        for offenders, explain in findings:
            for row in np.flatnonzero(offenders).tolist():
                error = explain(row)
                if not (counted and error.reason in ASKED_ON_ADMISSION):
                    errors.setdefault(row, error)
    return sorted(errors.items())


def _find_card_numbers_in_text(batch: pa.RecordBatch) -> Iterator[_Finding]:
    # ids or not: whatever takes text gets one sooner or later, and a message about anything else would quote it
    return (_find_card_numbers(batch, field.name) for field in batch.schema if field.type == pa.string())


def _find_card_numbers(batch: pa.RecordBatch, name: str) -> _Finding:
    # where a card number belongs least, whatever may be one is refused, whatever scheme would have issued it
    anyone = name == "card_id"
    offenders = np.zeros(batch.num_rows, dtype=bool)
    rows = find_card_like(batch.column(name), issued=not anyone)
    texts = batch.column(name).take(pa.array(rows)).to_pylist()
    offenders[rows] = [is_issued_card_number(text) or (anyone and is_card_number(text)) for text in texts]
    return offenders, lambda _: _poison("card_number", "a token", "a card number", name)


def _find_bad_ids(batch: pa.RecordBatch, name: str) -> Iterator[_Finding]:
    lengths = _numpy(pc.fill_null(pc.binary_length(batch.column(name)), 1))
    yield lengths == 0, lambda _: _poison("empty_id", "an id", "an empty string", name)

    def explain(row: int) -> PoisonRecord:
        return _poison("id_too_long", f"at most {ID_BYTES_MAX} bytes", f"{lengths[row]} bytes", name)

    yield lengths > ID_BYTES_MAX, explain


def _find_placeholders(batch: pa.RecordBatch, name: str, placeholders: Placeholders) -> _Finding:
    offenders = np.zeros(batch.num_rows, dtype=bool)
    offenders[placeholders.find(name, batch.column(name))] = True
    return offenders, lambda _: _poison("placeholder_id", "an id", "a value that stands for a missing id", name)


def _find_key_mismatch(batch: pa.RecordBatch, keys: Sequence[bytes | None]) -> _Finding:
    same = pc.equal(pa.array(keys, pa.binary()), batch.column("card_id").cast(pa.binary()))

    def explain(row: int) -> PoisonRecord:
        found = _explain_key(keys[row], batch.column("card_id")[row].as_py().encode())
        return _poison("key_mismatch", "the record key to be card_id", found, "card_id")

    return ~_numpy(pc.fill_null(same, False)), explain


def _explain_key(key: bytes | None, card: bytes) -> str:
    """Say what kind of key it is; the likely ones are those of a serializer that is not the plain one."""
    if key is None:
        return "no key"
    if key == b'"' + card + b'"':
        return "it in JSON quotes (use a plain string serializer for keys)"
    if key.endswith(card) and len(key) - len(card) in _AVRO_KEY_OVERHEADS and key[0] in {0, 1}:
        return "it in an Avro frame (use a plain string serializer for keys)"
    return "another key with it inside" if card in key else "another key"


def _find_unknown_currency(batch: pa.RecordBatch) -> _Finding:
    column = batch.column("currency")
    offenders = _find_by_value(column, lambda value: value not in CURRENCIES)
    return offenders, lambda row: _poison(
        "unknown_currency", "a currency of the table", column[row].as_py(), "currency"
    )


def _find_bad_amounts(batch: pa.RecordBatch) -> _Finding:
    amounts = _numpy(batch.column("amount_minor"))
    codes = pc.dictionary_encode(batch.column("currency"))
    # compared in the currency's own minor units: multiplied by a rate, an extreme amount would overflow
    limits = np.array([_amount_minor_max(value) for value in codes.dictionary.to_pylist()], dtype=np.int64)
    limit_of = limits[_numpy(codes.indices)]

    def explain(row: int) -> PoisonRecord:
        limit = limit_of[row]
        expected = f"{-limit} to {limit}, below 0 for a refund"
        return _poison("amount_out_of_range", expected, amounts[row], "amount_minor")

    return (amounts < -limit_of) | (amounts > limit_of), explain


def _amount_minor_max(currency: str) -> int:
    """The largest amount whose base value, rounded, is within bounds; unknown currencies are named before."""
    if currency not in CURRENCIES:
        return int(np.iinfo(np.int64).max)
    return (MAX_AMOUNT_BASE_MINOR * 1_000_000 + 499_999) // micro_rate(currency)


def _find_bad_country(batch: pa.RecordBatch, name: str) -> _Finding:
    column = batch.column(name)
    offenders = _find_by_value(column, lambda value: _COUNTRY.fullmatch(value) is None)
    return offenders, lambda row: _poison("bad_country", "two upper-case letters", column[row].as_py(), name)


def _find_bad_mcc(batch: pa.RecordBatch) -> _Finding:
    codes = _numpy(batch.column("mcc"))
    return (codes < 0) | (codes > MCC_MAX), lambda row: _poison("bad_mcc", f"0 to {MCC_MAX}", codes[row], "mcc")


def _find_bad_coordinates(batch: pa.RecordBatch) -> _Finding:
    lat, lon = batch.column("lat"), batch.column("lon")
    one_only = _numpy(pc.is_null(lat)) != _numpy(pc.is_null(lon))
    # a comparison with NaN is false, so both bounds are asked the right way round
    inside = [np.abs(_numpy(pc.fill_null(column, 0.0))) <= bound for column, bound in ((lat, 90.0), (lon, 180.0))]

    def explain(row: int) -> PoisonRecord:
        found = lat[row].as_py(), lon[row].as_py()
        expected = "both of -90 to 90 and -180 to 180, or neither"
        return _poison("bad_coordinates", expected, f"{found[0]}, {found[1]}", "lat", name_scale(*found))

    return one_only | ~(inside[0] & inside[1]), explain


def _find_bad_times(batch: pa.RecordBatch, name: str, latest_ms: npt.NDArray[np.int64]) -> Iterator[_Finding]:
    times = _numpy(batch.column(name))
    expected = f"epoch milliseconds from {format_time(EARLIEST_TIME_MS)[:10]} on"

    def explain_early(row: int) -> PoisonRecord:
        return _wrong_time("event_time_out_of_range", expected, int(times[row]), int(latest_ms[row]), name)

    def explain_late(row: int) -> PoisonRecord:
        latest = int(latest_ms[row])
        return _wrong_time(
            "from_future", f"at most {format_time(latest)} by the broker's time", int(times[row]), latest, name
        )

    yield times < EARLIEST_TIME_MS, explain_early
    yield times > latest_ms, explain_late


def _wrong_time(reason: str, expected: str, found: int, latest_ms: int, field: str) -> PoisonRecord:
    hint = name_unit(found, latest_ms=latest_ms)
    # digits that are a time in some unit are shown as they are; others may be a card number and are masked
    shown = found if hint else format_time(found) if EARLIEST_TIME_MS <= found <= LATEST_TIME_MS else quote(found)
    return PoisonRecord(reason, f"expected {expected}, found {shown} at $.{field}", field, hint)


def _find_early_labels(batch: pa.RecordBatch) -> _Finding:
    events, labels = _numpy(batch.column("event_time_ms")), _numpy(batch.column("label_time_ms"))

    def explain(row: int) -> PoisonRecord:
        expected = f"a label at most a day older than its payment of {format_time(int(events[row]))}"
        return _poison("label_before_event", expected, format_time(int(labels[row])), "label_time_ms")

    # both are in range where this is asked, so the sum does not overflow; where it does, a finding stands already
    return labels + LABEL_SLACK_MS < events, explain


def _find_by_value(column: pa.Array, is_bad: Callable[[str], bool]) -> Rows:
    """Ask once per distinct value; null is never bad."""
    codes = pc.dictionary_encode(column)
    bad = np.array([is_bad(value) for value in codes.dictionary.to_pylist()] + [False], dtype=bool)
    verdicts: Rows = bad[_numpy(pc.fill_null(codes.indices, len(bad) - 1))]
    return verdicts


def _numpy(column: pa.Array) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _poison(reason: str, expected: str, found: object, field: str, hint: str = "") -> PoisonRecord:
    return PoisonRecord(reason, f"expected {expected}, found {quote(found)} at $.{field}", field, hint)
