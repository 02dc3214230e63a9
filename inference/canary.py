"""A challenger that decides for a share of the keys; the champion decides for the others.

Which keys are its own follows from the seed that was published with it, so every process of a deployment says the same
without a word between them, a key stays on its side while the canary lasts, and the next canary has other keys.

**Cost:** without a canary nothing. With one, a hash per row, about a microsecond; each side is decided as a batch
of its own, on its rows of the one matrix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from weir.inference.bundle import Bundle

_HASH_BYTES = 8


@dataclass(frozen=True)
class Canary:
    """A challenger and its keys.

    Attributes:
        bundle: of the challenger.
        share: of the keys, above 0 and up to 0.5.
        seed: at most 64 characters.
    """

    bundle: Bundle
    share: float
    seed: str

    def takes(self, keys: Sequence[bytes | None]) -> npt.NDArray[np.bool_]:
        """Return which keys are its own, bool, shape (rows,); an event without a key never is."""
        below = int(self.share * 256**_HASH_BYTES)
        return np.fromiter((key is not None and self._hash(key) < below for key in keys), np.bool_, len(keys))

    def _hash(self, key: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(key, digest_size=_HASH_BYTES, key=self.seed.encode()).digest())


class HasCanary(Protocol):
    """What names the canary now; ``inference.champion.Champion`` is the real one."""

    @property
    def canary(self) -> Canary | None:
        """Return the canary, where there is one."""
        ...
