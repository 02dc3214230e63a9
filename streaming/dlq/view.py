"""Shows dead letters: as rows, in full, as counts. Nothing shown here holds a card number or an escape code.

Raw bytes are masked more strictly than text: in a binary value the digits of a length byte may touch those of a card
number and spoil its check digit, so every run of twelve digits or more loses all but its last four.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from weir.monitoring.logs import mask_card_numbers as mask
from weir.schemas.errors import PoisonRecord, Transient
from weir.schemas.printable import escape
from weir.streaming.dlq.letter import DeadLetter, Header
from weir.streaming.dlq.log import Settlement
from weir.streaming.dlq.repair import SchemaSource, decode_letter

PREVIEW_BYTES = 256
TEXT_CHARACTERS_MAX = 120

_DIGIT_RUN = re.compile(rb"[0-9](?:[ -]?[0-9]){11,}")
_BYTES_PER_LINE = 16
_RUN_MARGIN = 64  # masked before it is cut: a run that crosses the limit must not show because its end is missing


def letter_state(letter: DeadLetter, settlement: Settlement | None) -> str:
    """Return ``open``, ``unreplayable``, or what was done about a letter."""
    if settlement is not None:
        return settlement.action
    return "unreplayable" if letter.obstacle else "open"


def letter_fields(letter: DeadLetter, settlement: Settlement | None) -> dict[str, Any]:
    """Return a letter's summary as JSON-ready fields, masked and escaped."""
    return {
        "at": str(letter.at),
        "source": str(letter.source) if letter.source else None,
        "origin": str(letter.origin) if letter.origin else None,
        "appended_ms": letter.appended_ms,
        "failed_ms": letter.failed_ms,
        "reason": safe_text(letter.reason),
        "stage": safe_text(letter.stage),
        "state": letter_state(letter, settlement),
        "replay_count": letter.replay_count,
        "schema_id": letter.schema_id,
        "key": None if letter.key is None else show_bytes(letter.key),
        "value_bytes": None if letter.value is None else len(letter.value),
        "message": safe_text(letter.message),
    }


def letter_details(letter: DeadLetter, settlement: Settlement | None, schemas: SchemaSource) -> dict[str, Any]:
    """Return everything about a letter as JSON-ready fields, masked and escaped."""
    return letter_fields(letter, settlement) | {
        "group": safe_text(letter.group),
        "exception_class": safe_text(letter.exception_class),
        "app_version": safe_text(letter.app_version),
        "truncated": letter.truncated,
        "obstacle": letter.obstacle,
        "settlement": None if settlement is None else vars(settlement),
        "original_headers": [_header(header) for header in letter.original_headers],
        "value_preview": None if letter.value is None else hex_lines(letter.value),
        "decoded": _decoded(letter, schemas),
    }


def show_bytes(raw: bytes, limit: int = TEXT_CHARACTERS_MAX) -> str:
    """Return bytes as one printable line: digit runs masked, what is not printable ASCII escaped, cut at ``limit``."""
    escaped = escape(_mask_raw(raw[: limit + _RUN_MARGIN]).decode("ascii", "backslashreplace"))
    return escaped if len(raw) <= limit and len(escaped) <= limit else escaped[:limit] + "..."


def hex_lines(raw: bytes, limit: int = PREVIEW_BYTES) -> list[str]:
    """Return the first bytes as lines of offset, hexadecimal and text; the mask comes before the hexadecimal."""
    shown = _mask_raw(raw[: limit + _RUN_MARGIN])[:limit]
    lines = []
    for start in range(0, len(shown), _BYTES_PER_LINE):
        row = shown[start : start + _BYTES_PER_LINE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{_BYTES_PER_LINE * 3}} {text}")
    return [*lines, f"... {len(raw) - limit} more bytes"] if len(raw) > limit else lines


def count_letters(letters: Iterable[tuple[DeadLetter, Settlement | None]]) -> list[dict[str, Any]]:
    """Count letters by reason, stage and state, most frequent first, with the time of the first and the last."""
    counts: Counter[tuple[str, str, str]] = Counter()
    spans: dict[tuple[str, str, str], tuple[int, int]] = {}
    for letter, settlement in letters:
        group = (safe_text(letter.reason), safe_text(letter.stage), letter_state(letter, settlement))
        counts[group] += 1
        first, last = spans.get(group, (letter.appended_ms, letter.appended_ms))
        spans[group] = (min(first, letter.appended_ms), max(last, letter.appended_ms))
    return [
        dict(zip(("reason", "stage", "state"), group, strict=True))
        | {"letters": count, "first_ms": spans[group][0], "last_ms": spans[group][1]}
        for group, count in counts.most_common()
    ]


def iso_time(time_ms: int) -> str:
    """Return a time for people, in UTC."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _decoded(letter: DeadLetter, schemas: SchemaSource) -> Any:
    try:
        datum, _ = decode_letter(letter, schemas)
    except (PoisonRecord, Transient) as error:
        return f"not decoded: {safe_text(str(error))}"
    return {safe_text(name): safe_value(value) for name, value in datum.items()}


def safe_value(value: Any) -> Any:
    """Return a decoded value as JSON-ready, masked and escaped."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if mask(str(value)) == str(value) else mask(str(value))
    if isinstance(value, list):
        return [safe_value(item) for item in value]
    return show_bytes(value) if isinstance(value, bytes) else safe_text(str(value))


def _header(header: Header) -> list[str | None]:
    name, raw = header
    return [safe_text(name), None if raw is None else show_bytes(raw)]


def safe_text(text: str) -> str:
    """Return a text masked and escaped."""
    return escape(mask(text))


def _mask_raw(raw: bytes) -> bytes:
    return _DIGIT_RUN.sub(lambda match: b"*" * (len(match.group()) - 4) + match.group()[-4:], raw)
