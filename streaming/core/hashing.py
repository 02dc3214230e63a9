"""Stable 64-bit hashes of strings: FNV-1a with a finalizer, over Arrow buffers.

The same string hashes the same in every process, version and machine (Python's ``hash`` does not). Not cryptographic:
one who can choose ids could make two collide within one key, which costs that key's features and no other's.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.streaming.core.jit import entry, leaf

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)
_NO_BYTES = np.frombuffer(b"", dtype=np.uint8)


@leaf
def _finalize(value: np.uint64) -> np.uint64:
    """Spread the entropy to all bits: FNV-1a's upper half is weak for short strings."""
    value = (value ^ (value >> _SHIFT)) * _MIX_1
    value = (value ^ (value >> _SHIFT)) * _MIX_2
    return value ^ (value >> _SHIFT)


@leaf
def _byte_at(data: NDArray[np.uint8], at: int) -> int:
    return np.int64(data[at])  # type: ignore[return-value]


@leaf
def _murmur2(data: NDArray[np.uint8], begin: int, end: int) -> int:
    """Kafka's murmur2 of ``data[begin:end]``, with the sign bit cleared, in unsigned 32-bit arithmetic."""
    low = 0xFFFFFFFF
    value = (0x9747B28C ^ (end - begin)) & low
    whole = begin + ((end - begin) & ~3)
    for at in range(begin, whole, 4):
        word = 0
        for i in range(4):
            word |= _byte_at(data, at + i) << (8 * i)
        word = (word * 0x5BD1E995) & low
        word = ((word ^ (word >> 24)) * 0x5BD1E995) & low
        value = ((value * 0x5BD1E995) & low) ^ word
    if whole < end:
        for i in range(end - whole):
            value ^= _byte_at(data, whole + i) << (8 * i)
        value = (value * 0x5BD1E995) & low
    value = ((value ^ (value >> 13)) * 0x5BD1E995) & low
    return (value ^ (value >> 15)) & 0x7FFFFFFF


@entry
def _partition_slices(data: NDArray[np.uint8], offsets: NDArray[np.int64], partitions: int) -> NDArray[np.int32]:
    out = np.empty(len(offsets) - 1, dtype=np.int32)
    for i in range(len(offsets) - 1):
        out[i] = _murmur2(data, offsets[i], offsets[i + 1]) % partitions
    return out


@entry
def _hash_slices(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    out = np.empty(len(offsets) - 1, dtype=np.uint64)
    for i in range(len(offsets) - 1):
        value = _OFFSET
        for at in range(offsets[i], offsets[i + 1]):
            value = (value ^ np.uint64(data[at])) * _PRIME
        out[i] = _finalize(value)
    return out


def string_slices(strings: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return an Arrow string or binary array as bytes and offsets; string i is ``data[offsets[i]:offsets[i + 1]]``."""
    large = pa.types.is_large_string(strings.type) or pa.types.is_large_binary(strings.type)
    _, offsets_buffer, data_buffer = strings.buffers()
    if offsets_buffer is None or len(strings) == 0:
        return _NO_BYTES, np.zeros(1, dtype=np.int64)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64 if large else np.int32).astype(np.int64)
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else _NO_BYTES
    return data, offsets[strings.offset : strings.offset + len(strings) + 1]


def hash_strings(strings: pa.Array) -> NDArray[np.uint64]:
    """Hash each string of an Arrow string or binary array; a null hashes as the empty string.

    >>> [hex(value) for value in hash_strings(pa.array(["", "weir"]))]
    ['0xefd01f60ba992926', '0x928ebc5f622cac17']
    """
    return _hash_slices(*string_slices(strings))


@entry
def _hash_entries(data: NDArray[np.uint8], out: NDArray[np.uint64]) -> int:
    at, count = 0, 0
    while at + 3 <= len(data):
        end = at + 3 + _byte_at(data, at + 1) + 256 * _byte_at(data, at + 2)
        value = (_OFFSET ^ np.uint64(data[at])) * _PRIME
        for place in range(at + 3, min(end, len(data))):
            value = (value ^ np.uint64(data[place])) * _PRIME
        out[count] = _finalize(value)
        at, count = end, count + 1
    return count


def hash_entries(listed: bytes) -> NDArray[np.uint64]:
    r"""Hash each entry of a list: as the string of the byte before its length, below 128, and the bytes after that.

    >>> (hash_entries(b"\x00\x02\x00c1") == hash_strings(pa.array(["\x00c1"]))).all()
    np.True_
    """
    out = np.empty(len(listed) // 3 + 1, np.uint64)
    return out[: _hash_entries(np.frombuffer(listed, np.uint8), out)].copy()


def compute_partitions(keys: pa.Array, partitions: int) -> NDArray[np.int32]:
    """Return the partition that producers send each key to: Kafka's murmur2, as Java's default partitioner.

    >>> compute_partitions(pa.array(["21", "foobar"]), 1_000).tolist()
    [340, 166]
    """
    return _partition_slices(*string_slices(keys), partitions)


def mix(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Combine two hashes per row into one; the order of the arguments matters."""
    value = hashes * _PRIME ^ others
    value = (value ^ (value >> _SHIFT)) * _MIX_1
    return value ^ (value >> _SHIFT)


def fold_to_32_bits(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Take the upper half; 0 is reserved for null, so it becomes 1."""
    upper = (hashes >> np.uint64(32)).astype(np.uint32)
    return np.where(upper == 0, np.uint32(1), upper)
