"""The wire in a few lines: Avro's binary encoding, the Confluent frame, and Kafka's partitioner."""

from __future__ import annotations

import struct
from typing import Any

Row = dict[str, Any]


def encode_frame(schema_id: int, schema: Row, row: Row) -> bytes:
    """Return a record of flat fields: strings, integers, booleans, enums, and unions of null and one of them."""
    body = b"".join(_encode(field["type"], row[field["name"]]) for field in schema["fields"])
    return b"\x00" + schema_id.to_bytes(4, "big") + body


def _encode(kind: Any, value: Any) -> bytes:
    if isinstance(kind, list):
        return _integer(0) if value is None else _integer(1) + _encode(kind[1], value)
    if isinstance(kind, dict):
        return _integer(kind["symbols"].index(value))
    if kind == "string":
        text: bytes = value.encode()
        return _integer(len(text)) + text
    if kind == "boolean":
        return bytes([value])
    return struct.pack("<d", value) if kind == "double" else _integer(value)


def _integer(value: int) -> bytes:
    left, out = (value << 1) ^ (value >> 63), bytearray()
    while left >= 128:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes([*out, left])


def choose_partition(key: bytes, partitions: int) -> int:
    """Return where Java's default partitioner sends a key: murmur2, without its sign."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
