"""Seeded records of an Avro schema, and what is done to their bytes. Faster than Hypothesis by a hundred times."""

from __future__ import annotations

import random
import struct
from typing import Any

INTEGER_BITS = {"int": 32, "long": 64}
STRINGS = ("", "c-1", "4111111111111111", "\x00", "\U0001f4b3", "ß" * 40, "x" * 300)
LENGTH_BOMBS = (
    b"\xfe\xff\xff\xff\x0f",  # the largest int
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # the largest long
    b"\x01",  # -1: a block of an array that says its size in bytes
    b"\x80" * 11,  # longer than any varint may be
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
)


def draw_value(rng: random.Random, schema: Any) -> Any:
    """Return a value of an inlined schema (``weir.schemas.avro.compatibility.parse_inlined``)."""
    if isinstance(schema, list):
        return draw_value(rng, rng.choice(schema))
    if isinstance(schema, dict):
        return _draw_composite(rng, schema)
    if schema in INTEGER_BITS:
        # mostly of few bytes, sometimes an extreme one
        bits = rng.choice((0, 6, 13, 40, INTEGER_BITS[schema] - 1))
        limit = (1 << min(bits, INTEGER_BITS[schema] - 1)) - 1
        return rng.choice((limit, -limit - 1, rng.randint(-limit - 1, limit)))
    if schema == "float":
        return struct.unpack("<f", rng.randbytes(4))[0]
    simple = {
        "null": lambda: None,
        "boolean": lambda: rng.random() < 0.5,
        "double": lambda: rng.uniform(-180, 180),
        "string": lambda: rng.choice(STRINGS),
    }
    return simple[schema]()


def _draw_composite(rng: random.Random, schema: dict[str, Any]) -> Any:
    if schema["type"] == "record":
        return {field["name"]: draw_value(rng, field["type"]) for field in schema["fields"]}
    if schema["type"] == "enum":
        return rng.choice(schema["symbols"])
    return [draw_value(rng, schema["items"]) for _ in range(rng.choice((0, 0, 1, 2, 5)))]


def mutate(rng: random.Random, value: bytes, other: bytes) -> bytes:
    """Return framed bytes with one to three things done to them; ``other`` is a second value to splice in."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = rng.choice(_MUTATIONS)(rng, value, other)
    return value


def _flip_bit(rng: random.Random, value: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(value)) if value else 0
    return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :] if value else value


def _set_byte(rng: random.Random, value: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.randbytes(1) + value[at + 1 :]


def _cut(rng: random.Random, value: bytes, _other: bytes) -> bytes:
    return value[: rng.randrange(len(value) + 1)]


def _drop(rng: random.Random, value: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + value[at + rng.randint(1, 4) :]


def _insert(rng: random.Random, value: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.randbytes(rng.randint(1, 4)) + value[at:]


def _splice(rng: random.Random, value: bytes, other: bytes) -> bytes:
    return value[: rng.randrange(len(value) + 1)] + other[rng.randrange(len(other) + 1) :]


def _bomb(rng: random.Random, value: bytes, _other: bytes) -> bytes:
    at = rng.randrange(5, len(value) + 1) if len(value) > 5 else len(value)
    return value[:at] + rng.choice(LENGTH_BOMBS) + value[at + rng.choice((0, 1)) :]


def _stretch(rng: random.Random, value: bytes, _other: bytes) -> bytes:
    """Write a one-byte varint in two bytes: the same record, and not the bytes that a writer of ours makes."""
    at = rng.randrange(5, len(value)) if len(value) > 5 else 0
    if not value or value[at] >= 128:
        return value
    return value[:at] + bytes([value[at] | 128, 0]) + value[at + 1 :]


def _append(rng: random.Random, value: bytes, other: bytes) -> bytes:
    return value + rng.choice((b"\x00", rng.randbytes(3), other[5:]))


_MUTATIONS = (_flip_bit, _flip_bit, _set_byte, _cut, _drop, _insert, _splice, _bomb, _stretch, _append)
