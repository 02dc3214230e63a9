"""Stable 64-bit hashes of strings: FNV-1a with a finalizer, over Arrow buffers.

The same string hashes the same in every process, version and machine (Python's ``hash`` does not). Not cryptographic:
one who can choose ids could make two collide within one card, which costs that card's features and no other's.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.core.jit import entry, leaf

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


@entry
def _hash_slices(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    out = np.empty(len(offsets) - 1, dtype=np.uint64)
    for i in range(len(offsets) - 1):
        value = _OFFSET
        for at in range(offsets[i], offsets[i + 1]):
            value = (value ^ np.uint64(data[at])) * _PRIME
        out[i] = _finalize(value)
    return out


def hash_strings(strings: pa.Array) -> NDArray[np.uint64]:
    """Hash each string of an Arrow string or binary array; a null hashes as the empty string.

    >>> [hex(value) for value in hash_strings(pa.array(["", "weir"]))]
    ['0xefd01f60ba992926', '0xc7f19ea2a8d8b4ad']
    """
    large = pa.types.is_large_string(strings.type) or pa.types.is_large_binary(strings.type)
    if len(strings) == 0:
        return np.empty(0, dtype=np.uint64)
    _, offsets_buffer, data_buffer = strings.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64 if large else np.int32)
    offsets = offsets[strings.offset : strings.offset + len(strings) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None else _NO_BYTES
    return _hash_slices(data, offsets)


def fold_to_32_bits(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Take the upper half; 0 is reserved for null, so it becomes 1."""
    upper = (hashes >> np.uint64(32)).astype(np.uint32)
    return np.where(upper == 0, np.uint32(1), upper)
