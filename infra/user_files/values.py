"""One value of a file as one value of a field, or nothing where it cannot be. Nothing is rounded and nothing guessed.

What a column as a whole says about its unit is in ``survey.py``, which refuses the file before a value gets here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from weir.infra.user_files.fields import Field
from weir.infra.user_files.json_lines import LongNumber
from weir.schemas.errors import PoisonRecord
from weir.schemas.masking import quote

Value = str | int | float | bool | None
TRUE, FALSE = frozenset({"true", "1", "yes", "y", "t"}), frozenset({"false", "0", "no", "n", "f"})
FLOAT_EXACT_MAX = 2**53
"""Above it a float no longer holds every whole number."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
WHOLE_FLOAT = re.compile(r"[+-]?[0-9]{1,16}\.0")
"""How programs write a float that holds a whole number."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
ROUNDED = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+")
"""How a spreadsheet shows a long number, with most of its digits gone."""
_TIME_OF_DAY = re.compile(r"[0-9][T ][0-9]{2}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_OTHER_ENCODING = "bytes of another encoding"


class Instant(int):
    """Milliseconds of a column that has a unit of its own: UTC epoch milliseconds."""


class LocalInstant(Instant):
    """Milliseconds since 1970-01-01 00:00 of a clock whose zone the column does not name."""


def parse_text(found: object) -> str | None:
    """Return text as it is; whole numbers are text too, floats are not: ``1.0`` is not the id ``1``."""
    if isinstance(found, bytes):
        found = found.decode("utf-8", "surrogateescape")
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, str) or "\0" in found or _SURROGATE.search(found) or ROUNDED.fullmatch(found):
        return None
    return found


def parse_whole(found: object) -> int | None:
    """Return a whole number: digits, or a float without a fraction that is exact."""
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found
    if isinstance(found, float | Decimal):
        is_small = math.isfinite(found) and abs(float(found)) <= FLOAT_EXACT_MAX
        return int(found) if is_small and found == int(found) else None
    if isinstance(found, str):
        if _WHOLE.fullmatch(found):
            return int(found)
        if WHOLE_FLOAT.fullmatch(found):
            return parse_whole(int(found[:-2])) if abs(int(found[:-2])) <= FLOAT_EXACT_MAX else None
    return None


def parse_time(found: object, zone: tzinfo | None = None) -> int | None:
    """Return UTC epoch milliseconds of milliseconds, or of an ISO 8601 time; without an offset it is of ``zone``."""
    if isinstance(found, LocalInstant) and zone is not None:
        return _of_zone(found, zone)
    whole = parse_whole(found)
    if whole is not None or not isinstance(found, str) or not _TIME_OF_DAY.search(found):
        return whole
    try:
        return to_milliseconds(datetime.fromisoformat(found), zone)
    except (ValueError, OverflowError):
        return None


def _of_zone(found: LocalInstant, zone: tzinfo) -> int | None:
    try:
        return to_milliseconds(datetime(1970, 1, 1) + timedelta(milliseconds=found), zone)  # noqa: DTZ001 - local
    except OverflowError:
        return None


def to_milliseconds(moment: datetime, zone: tzinfo | None = None) -> int | None:
    """Return UTC epoch milliseconds, digits below cut; None for a local time that a zone's clocks skip."""
    if moment.tzinfo is None:
        local = moment.replace(tzinfo=zone or UTC)
        if zone is not None and local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
            return None
        moment = local
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_number(found: object) -> float | None:
    """Return a number that is finite."""
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal | str):
        return None
    if isinstance(found, str) and not _NUMBER.fullmatch(found):
        return None
    try:
        number = float(found)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def parse_flag(found: object) -> bool | None:
    """Return true or false of a word, a digit, or a float that is 1 or 0."""
    if isinstance(found, bool):
        return found
    if isinstance(found, str) and not WHOLE_FLOAT.fullmatch(found):
        text = found.lower()
        return True if text in TRUE else False if text in FALSE else None
    return {1: True, 0: False}.get(parse_whole(found))  # type: ignore[arg-type]


_PARSERS: dict[str, Callable[[object], Value]] = {
    "text": parse_text,
    "whole": parse_whole,
    "time": parse_time,
    "number": parse_number,
    "flag": parse_flag,
}
_EXPECTED = {
    "text": "text in UTF-8",
    "time": "epoch milliseconds or an ISO 8601 time with a time of day",
    "number": "a number",
    "flag": "true or false",
}


def is_absent(found: object) -> bool:
    """Return whether a value stands for none: null, empty text, or NaN, with which floats write a gap."""
    return found is None or found == "" or (isinstance(found, float | Decimal) and math.isnan(found))


def parse_value(field: Field, found: object, parse: Callable[[object], Value] | None = None) -> Value:
    """Return one value of a field.

    Args:
        field: what is wanted.
        found: what is in the file.
        parse: stands in for the field's own way to read a value, as a mapping says.

    Raises:
        PoisonRecord: names the field.
    """
    if isinstance(found, str):
        found = found.strip()
    if is_absent(found):
        if field.required:
            raise PoisonRecord("missing_field", f"expected a value, found none at $.{field.name}", field.name)
        return field.absent
    value = parse(found) if parse is not None else _parse(field, found)
    if value is None or not _fits(field, value):
        raise refuse(field, found)
    return value


def _parse(field: Field, found: object) -> Value:
    if field.kind != "enum":
        return _PARSERS[field.kind](found)
    text = parse_text(found)
    return text.upper() if text is not None and text.upper() in field.symbols else None


def _fits(field: Field, value: Value) -> bool:
    if field.kind not in {"whole", "time"}:
        return True
    limit = 1 << (field.bits - 1)
    return isinstance(value, int) and -limit <= value < limit


def refuse(field: Field, found: object) -> PoisonRecord:
    """Return the error of a value that is of another type."""
    expected = " or ".join(field.symbols) or _EXPECTED.get(field.kind) or f"a whole number of {field.bits} bits"
    shown = _show(field, found)
    flags = "name the file's own with --encoding" if shown == _OTHER_ENCODING else ""
    return PoisonRecord("wrong_type", f"expected {expected}, found {shown} at $.{field.name}", field.name, flags=flags)


def _show(field: Field, found: object) -> str:
    if isinstance(found, bytes):
        found = found.decode("utf-8", "surrogateescape")
    if isinstance(found, str) and _SURROGATE.search(found):
        return _OTHER_ENCODING
    if isinstance(found, str) and "\0" in found:
        return "a NUL character"
    if isinstance(found, str) and ROUNDED.fullmatch(found):
        return "a number that was rounded, as spreadsheets do with long ones; export the column as text"
    if isinstance(found, LongNumber):
        return str(found)
    return "a value that is not" if field.is_id else quote(str(found))
