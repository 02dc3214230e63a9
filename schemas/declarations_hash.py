"""The hash of a stream's declarations: 16 hex digits of all that shapes its state and features.

It is taken from canonical JSON of our own, so it depends on nothing but what was declared: not on names of files and
topics, reasons, reason codes, checks, or which fields are passed on. Another hash is another view, built from the log
next to the one before.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from weir.schemas.currencies import BASE_CURRENCY, CURRENCIES_VERSION
from weir.schemas.expression import Expression, to_data
from weir.schemas.placeholders import TEXTS, WORDS, ZEROS_MIN, Placeholders

if TYPE_CHECKING:
    from weir.schemas.stream import Stream

STATE_VERSION: Final = 2
"""Raised whenever the bytes of a partial, or what is folded into it, change."""
PANES_PER_WINDOW: Final = 30
"""A busy entity falls back to panes of ``window / 30``; only the trailing edge is coarse, by one pane."""
_PINNED: Final = {"65eb6dafad8bc91a": "2d9b8b68957a9032"}
"""The payments' hash from before streams were values, by the one that this file computes for the same declarations:
state that was built under it stays valid, so nobody rebuilds. A declaration that changes is not in this table."""


def compute_hash(stream: Stream) -> str:
    """Return the hash of a stream's declarations."""
    found = _digest(describe_shape(stream))
    return _PINNED.get(found, found)


def with_placeholders(declarations_hash: str, placeholders: Placeholders) -> str:
    """Return the hash, or another one where a deployment adds placeholder ids."""
    return _digest([declarations_hash, sorted(placeholders.added)]) if placeholders.added else declarations_hash


def describe_shape(stream: Stream) -> dict[str, Any]:
    """Return what shapes a stream's state and features, as JSON."""
    labels, reversal, position = stream.labels, stream.reversal, stream.position
    return {
        "state_version": STATE_VERSION,
        "panes_per_window": PANES_PER_WINDOW,
        "currencies": [BASE_CURRENCY, CURRENCIES_VERSION] if any(map(_has_money, _expressions(stream))) else None,
        "placeholders": [sorted(WORDS), sorted(TEXTS), ZEROS_MIN],
        "id": stream.id,
        "time": stream.time,
        "key": stream.key.name,
        "ids": sorted(stream.id_fields),
        "windows_ms": stream.windows_ms,
        "horizon_ms": stream.horizon_ms,
        "duplicate_horizon_ms": stream.duplicate_horizon_ms,
        "entities": [
            [e.name, e.field, list(e.tells_apart), e.shared, stream.has_labels(e), e.recent, e.zeros_are_ids]
            for e in stream.entities
        ],
        "measures": [[measure.name, to_data(measure.value), measure.bound] for measure in stream.measures],
        "flags": [[flag.name, to_data(flag.when)] for flag in stream.flags],
        "values": [[value.name, to_data(value.value)] for value in stream.values],
        "reversal": [reversal.name, to_data(reversal.when), reversal.of] if reversal else None,
        "position": [position.lat, position.lon] if position else None,
        "labels": [labels.verdict, labels.time, stream.label_hold_ms] if labels else None,
        "features": [[f.entity, f.measure, f.aggregate, f.window, f.hold] for f in stream.all_features],
    }


def _digest(shape: Any) -> str:
    return hashlib.sha256(json.dumps(shape, sort_keys=True, default=repr).encode()).hexdigest()[:16]


def _expressions(stream: Stream) -> list[Expression]:
    conditions = [*(flag.when for flag in stream.flags), *([stream.reversal.when] if stream.reversal else [])]
    return [*(m.value for m in stream.measures), *conditions, *(v.value for v in stream.values)]


def _has_money(node: Expression) -> bool:
    return node.op == "money" or any(map(_has_money, node.parts))
