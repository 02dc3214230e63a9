"""Allow, block and watch lists: who is decided before any model is asked, and who is looked at.

Pure; the file is read in ``inference/bundle.py``.

The file::

    {"version": "2026-01", "allow": {"card": ["c1"]}, "block": {"merchant": ["m9"], "ip": ["203.0.113.7"]}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from weir.schemas.errors import Refused
from weir.schemas.expression import LISTS

Ids = Mapping[str, Sequence[str | None]]
"""Entity kind to its ids, one per row."""


@dataclass(frozen=True)
class Lists:
    """The lists, by entity kind. ``watch`` decides nothing by itself: rules ask for it, as they can for the others."""

    version: str = "none"
    allow: Mapping[str, frozenset[str]] = field(default_factory=dict)
    block: Mapping[str, frozenset[str]] = field(default_factory=dict)
    watch: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, name: str) -> Mapping[str, frozenset[str]]:
        """Return a list by its name, one of ``LISTS``."""
        return {"allow": self.allow, "block": self.block, "watch": self.watch}[name]

    @property
    def kinds(self) -> frozenset[str]:
        """Return the entity kinds whose ids decide: only those need to be looked at without a rule."""
        return frozenset(kind for side in (self.allow, self.block) for kind, listed in side.items() if listed)


def parse_lists(document: Any, entities: Sequence[str]) -> Lists:
    """Check a lists document.

    Args:
        document: as read.
        entities: names of the stream's entities: kinds that a list may name.

    Raises:
        Refused: wrong shape or an unknown entity kind; ids are never repeated in the message.

    >>> parse_lists({"version": "1", "block": {"shop": ["s-7"]}}, ["shop"]).block["shop"]
    frozenset({'s-7'})
    """
    if not isinstance(document, dict) or not set(document) <= {"version", *LISTS}:
        raise Refused("lists: expected an object with version, allow, block and watch; fix the file or remove it")
    sides = {side: _parse_side(side, document.get(side, {}), entities) for side in LISTS}
    return Lists(version=str(document.get("version", "unnamed")), **sides)


def find_listed(side: Mapping[str, frozenset[str]], ids: Ids, rows: int) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Return which rows a list names, and per row the entity kind that was found first (empty: none).

    Cost: one set look-up per row and listed kind; nothing for a kind without entries.
    """
    hits = np.zeros(rows, dtype=np.bool_)
    kinds = [""] * rows
    for kind, listed in side.items():
        if not listed:
            continue
        for row, entity_id in enumerate(ids.get(kind, ())):
            if not hits[row] and entity_id in listed:
                hits[row] = True
                kinds[row] = kind
    return hits, kinds


def _parse_side(side: str, given: Any, entities: Sequence[str]) -> dict[str, frozenset[str]]:
    if not isinstance(given, dict):
        raise Refused(f"lists: expected an object at {side}, found {type(given).__name__}; fix the file or remove it")
    for kind, entries in given.items():
        if kind not in entities:
            raise Refused(f"lists: expected one of {', '.join(entities)} in {side}, found {kind!r:.40}")
        if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
            raise Refused(f"lists: expected non-empty strings in {side}.{kind}; fix the file or remove it")
    return {kind: frozenset(entries) for kind, entries in given.items()}
