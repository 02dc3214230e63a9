"""Chance that is the same for good: no library's generator, whose methods may change between its versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
_64 = (1 << 64) - 1


class Dice:
    """SplitMix64."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, end: int) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _64
        value = self._state
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _64
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _64
        return (value ^ (value >> 31)) % end

    def per_mille(self, share: int) -> bool:
        return self.below(1_000) < share

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]
