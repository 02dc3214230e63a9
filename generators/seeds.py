"""Where every random number and every made-up identifier comes from: the world's seed and a label.

The same seed and labels give the same draws on every machine, in any order of asking. That is what lets a history
end at a moment and a live stream go on with the same world: no generator state is handed over.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint8).reshape(256, 2)
_DASHES_AFTER = (8, 12, 16, 20)


def rng_for(seed: int, *labels: str | int) -> np.random.Generator:
    """Return the generator of one labelled thing of one world."""
    words = [zlib.crc32(label.encode()) if isinstance(label, str) else label for label in labels]
    return np.random.default_rng([seed, *words])


def mix64(values: Hashes) -> Hashes:
    """Return SplitMix64 of each value: a bijection, so distinct values stay distinct."""
    with np.errstate(over="ignore"):
        z = values + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def key_of(seed: int, *labels: str | int) -> np.uint64:
    """Return 64 bits that stand for one labelled thing of one world."""
    return np.uint64(rng_for(seed, *labels).integers(0, 2**63))


def uniforms(hashes: Hashes, salt: int) -> Floats:
    """Return one number in (0, 1) per hash; each salt gives an independent draw."""
    mixed = mix64(hashes ^ mix64(np.full(1, salt, dtype=np.uint64)))
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def normals(hashes: Hashes, salt: int) -> Floats:
    """Return one standard normal number per hash (Box-Muller)."""
    radius = np.sqrt(-2.0 * np.log(uniforms(hashes, salt)))
    normal: Floats = radius * np.cos(2.0 * np.pi * uniforms(hashes, salt + 1))
    return normal


def uuid_strings(high: Hashes, low: Hashes) -> pa.Array:
    """Return ids such as ``1b4e28ba-2fa1-11d2-883f-0016d3cca427``, one per pair, as an Arrow string array."""
    first = mix64(high ^ mix64(low))
    second = mix64(first ^ low)
    digits = _HEX[np.stack([first, second], axis=1).astype(">u8").view(np.uint8)].reshape(len(high), 32)
    return _fixed_width(np.insert(digits, _DASHES_AFTER, ord("-"), axis=1))


def device_strings(seed: int, devices: Ints) -> pa.Array:
    """Return ids such as ``dev_9f86d081884c7d65``; a stolen identity's device looks like anybody's."""
    hashes = mix64(devices.astype(np.uint64) ^ key_of(seed, "device"))
    digits = _HEX[hashes.astype(">u8").view(np.uint8)].reshape(len(devices), 16)
    prefix = np.broadcast_to(np.frombuffer(b"dev_", dtype=np.uint8), (len(devices), 4))
    return _fixed_width(np.concatenate([prefix, digits], axis=1))


def ip_strings(ips: Ints) -> pa.Array:
    """Return private addresses ``10.x.y.z``; numbers are spread over the block by an odd multiplier."""
    spread = (ips * 0x9E3779) & 0xFFFFFF
    unique, position = np.unique(spread, return_inverse=True)
    texts = pa.array([f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in unique.tolist()], pa.string())
    return texts.take(pa.array(position))


def _fixed_width(characters: npt.NDArray[np.uint8]) -> pa.Array:
    count, width = characters.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    data = np.ascontiguousarray(characters)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
