"""Records that are ready to be sent, with the moment that each is due."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from weir.generators.seeds import Floats


@dataclass(frozen=True)
class Outgoing:
    """One block for one topic, ascending by ``due_ms``.

    Attributes:
        due_ms: UTC epoch milliseconds with fractions; 0 is at once.
        keys, values: as they go on the wire; ``None`` is a null.
        kinds: how many records of each kind, for the summary.
        truth: what the simulator knows of the block's payments, or ``None``.
    """

    topic: str
    due_ms: Floats
    keys: list[bytes | None]
    values: list[bytes | None]
    kinds: Counter[str] = field(default_factory=Counter)
    truth: pa.RecordBatch | None = None

    def __len__(self) -> int:
        return len(self.values)


def merge(blocks: list[Outgoing]) -> Outgoing:
    """Join blocks of one topic by the moment due; records due together keep the order given."""
    due = np.concatenate([block.due_ms for block in blocks])
    order = np.argsort(due, kind="stable")
    keys = [key for block in blocks for key in block.keys]
    values = [value for block in blocks for value in block.values]
    rows = order.tolist()
    truths = [block.truth for block in blocks if block.truth is not None]
    return Outgoing(
        topic=blocks[0].topic,
        due_ms=due[order],
        keys=[keys[row] for row in rows],
        values=[values[row] for row in rows],
        kinds=sum((block.kinds for block in blocks), Counter()),
        truth=truths[0] if truths else None,
    )
