"""Reading and writing integers in a byte buffer: LEB128 varints, zigzag for signed values, little-endian words.

Positions are cast to unsigned before they index: Numba then drops its check for negative indices and LLVM joins the
bytes of a word into one load.

Readers return ``(value, next position)``; writers return the next position. Bounds are the caller's: encoders size the
buffer first, decoders check the end once per partial.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.jit import leaf

Bytes = NDArray[np.uint8]


@leaf
def byte_at(data: Bytes, at: int) -> int:
    """Read one byte as a signed 64-bit integer; unsigned ones would turn sums into floats."""
    return np.int64(data[np.uint64(at)])  # type: ignore[return-value]


@leaf
def put_byte(data: Bytes, at: int, value: int) -> None:
    """Write one byte, the low eight bits of a value."""
    data[np.uint64(at)] = value & 255


@leaf
def get_uv(data: Bytes, at: int) -> tuple[int, int]:
    """Read an unsigned varint."""
    byte = byte_at(data, at)
    at += 1
    if byte < 128:
        return byte, at
    value = byte & 127
    shift = 7
    while byte >= 128:
        byte = byte_at(data, at)
        at += 1
        value |= (byte & 127) << shift
        shift += 7
    return value, at


@leaf
def put_uv(data: Bytes, at: int, value: int) -> int:
    """Write an unsigned varint; ``value`` is not negative."""
    while value >= 128:
        put_byte(data, at, value | 128)
        at += 1
        value >>= 7
    put_byte(data, at, value)
    return at + 1


@leaf
def get_zv(data: Bytes, at: int) -> tuple[int, int]:
    """Read a signed varint, of at most 62 bits."""
    value, at = get_uv(data, at)
    return (value >> 1) ^ -(value & 1), at


@leaf
def put_zv(data: Bytes, at: int, value: int) -> int:
    """Write a signed varint, of at most 62 bits."""
    return put_uv(data, at, (value << 1) ^ (value >> 63))


@leaf
def get_u32(data: Bytes, at: int) -> tuple[int, int]:
    """Read four bytes."""
    value = 0
    for i in range(4):
        value |= byte_at(data, at + i) << (8 * i)
    return value, at + 4


@leaf
def put_u32(data: Bytes, at: int, value: int) -> int:
    """Write four bytes."""
    for i in range(4):
        put_byte(data, at + i, value >> (8 * i))
    return at + 4


@leaf
def get_bits(data: Bytes, at: int, size: int) -> tuple[int, int]:
    """Read a number of bits from as few bytes as hold them."""
    value = byte_at(data, at)
    for i in range(1, (size + 7) >> 3):
        value |= byte_at(data, at + i) << (8 * i)
    return value, at + ((size + 7) >> 3)


@leaf
def put_bits(data: Bytes, at: int, value: int, size: int) -> int:
    """Write a number of bits to as few bytes as hold them."""
    for i in range((size + 7) >> 3):
        put_byte(data, at + i, value >> (8 * i))
    return at + ((size + 7) >> 3)


@leaf
def get_u64(data: Bytes, at: int) -> tuple[int, int]:
    """Read eight bytes as the signed integer of the same bits."""
    value = 0
    for i in range(8):
        value |= byte_at(data, at + i) << (8 * i)
    return value, at + 8


@leaf
def put_u64(data: Bytes, at: int, value: int) -> int:
    """Write eight bytes of a signed integer's bits."""
    for i in range(8):
        put_byte(data, at + i, value >> (8 * i))
    return at + 8
