"""What a change does to parts of the events: by the values of a field, or by a condition. Pure.

**Cost:** 288 bytes for each segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.whatif.again import match_alone, read_indices
from weir.archive.whatif.labels import FRAUD, GOOD, YOUNG, Verdicts
from weir.archive.whatif.past import Joined
from weir.inference.core.deciding import APPROVE, DECLINE, OUTCOMES, Outcomes
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import SEGMENTS_MAX, segment_of

OTHERS: Final = "(others)"
MISSING: Final = "(missing)"
_STATES: Final = 4
"""Of what is known of an event."""
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class By:
    """What tells segments.

    Attributes:
        field: whose values they are; empty where a condition tells them.
        condition: one rule; events fulfil it or do not.
    """

    field: str = ""
    condition: RuleSet | None = None

    @property
    def columns(self) -> frozenset[str]:
        """Return what is read."""
        return self.condition.columns if self.condition else frozenset({self.field})


@dataclass
class Segments:
    """Adds up what was decided and what would be, by segment."""

    by: By
    counts: dict[str, Counts] = field(default_factory=dict)

    def add(self, rows: Joined, lists: Lists, recorded: Outcomes, candidate: Outcomes, verdicts: Verdicts) -> None:
        """Add rows; segments beyond the first thousand are counted together."""
        codes, names = self._split(rows, lists)
        cells = 9 * _STATES
        flips = recorded.astype(np.int64) * 3 + candidate
        places = codes * cells + flips * _STATES + (verdicts.astype(np.int64) - YOUNG)
        counted = np.bincount(places, minlength=len(names) * cells).reshape(len(names), 3, 3, _STATES)
        for name, found in zip(names, counted, strict=True):
            if found.any():
                known = name if name in self.counts or len(self.counts) < SEGMENTS_MAX else OTHERS
                self.counts[known] = self.counts.get(known, np.zeros((3, 3, _STATES), np.int64)) + found

    def _split(self, rows: Joined, lists: Lists) -> tuple[Counts, list[str]]:
        if self.by.condition is not None:
            return match_alone(rows, self.by.condition, lists).astype(np.int64), ["no", "yes"]
        column = rows.fields.column(self.by.field)
        encoded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
        return read_indices(encoded).astype(np.int64), [*map(segment_of, encoded.dictionary.to_pylist()), MISSING]


def describe_segments(counts: Mapping[str, Counts]) -> dict[str, Any]:
    """Return segments as JSON holds them, the largest first."""
    largest = sorted(counts.items(), key=lambda each: (-int(each[1].sum()), each[0]))
    return {name: _describe(each) for name, each in largest}


def _describe(counts: Counts) -> dict[str, Any]:
    flips = counts.sum(axis=2)
    fraud, good = counts[:, :, FRAUD - YOUNG], counts[:, :, GOOD - YOUNG]
    return {
        "rows": int(flips.sum()),
        "changed": int(flips.sum() - np.trace(flips)),
        "decided": {name: int(flips[place].sum()) for place, name in enumerate(OUTCOMES)},
        "would_be": {name: int(flips[:, place].sum()) for place, name in enumerate(OUTCOMES)},
        "fraud": int(fraud.sum()),
        "good": int(good.sum()),
        "caught": {"decided": int(fraud[APPROVE + 1 :].sum()), "would_be": int(fraud[:, APPROVE + 1 :].sum())},
        "hurt": {"decided": int(good[DECLINE].sum()), "would_be": int(good[:, DECLINE].sum())},
    }
