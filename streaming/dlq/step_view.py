"""Shows what happens to a letter: which one it is, and what a repair changes in its record. Masked and escaped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weir.schemas.errors import PoisonRecord, Transient
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.plan import Step
from weir.streaming.dlq.repair import SchemaSource, decode_letter
from weir.streaming.dlq.view import safe_text, safe_value, show_bytes


def describe_step(step: Step, schemas: SchemaSource, id_field: str) -> dict[str, Any]:
    """Return a step as JSON-ready fields.

    Args:
        step: what happens to one letter.
        schemas: where writer schemas come from; asked only where the record is changed.
        id_field: the field with the id of the stream's events.
    """
    letter, record = step.letter, step.record
    row = {
        "at": str(letter.at),
        "outcome": step.outcome,
        "reason": safe_text(letter.reason),
        "key": _show_key(letter.key),
    }
    if record is None or (record.key, record.value) == (letter.key, letter.value):
        return row
    old, new = _read(letter, schemas), _read(replace(letter, key=record.key, value=record.value), schemas)
    named = {id_field: safe_value(old[id_field])} if id_field in old else {}
    changes = {name: [old.get(name), new.get(name)] for name in old | new if old.get(name) != new.get(name)}
    if record.rekeyed:
        changes["key"] = [_show_key(letter.key), _show_key(record.key)]
    return row | named | {"changes": {safe_text(name): [*map(safe_value, pair)] for name, pair in changes.items()}}


def step_line(row: dict[str, Any]) -> str:
    """Return one line for people of what ``describe_step`` returned."""
    named = [f"{name} {value}" for name, value in row.items() if name not in {"at", "outcome", "reason", "changes"}]
    changes = [f"{name}: {old} -> {new}" for name, (old, new) in row.get("changes", {}).items()]
    parts = [f"{row['at']}: {row['outcome']}", f"reason {row['reason']}", *named, *changes]
    return ", ".join(parts)


def _show_key(key: bytes | None) -> str | None:
    return None if key is None else show_bytes(key)


def _read(letter: DeadLetter, schemas: SchemaSource) -> dict[str, Any]:
    """Return the fields of a record; where it cannot be decoded, its bytes are all that can be compared."""
    try:
        datum, _ = decode_letter(letter, schemas)
    except (PoisonRecord, Transient):
        return {"value": letter.value}
    return dict(datum)
