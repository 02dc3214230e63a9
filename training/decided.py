"""What was decided of the events of a dataset, where that is known: it says which labels could come. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.inference.core.deciding import OUTCOMES
from weir.schemas.stream import Stream
from weir.training.labels import build_keys

NOT_DECIDED: Final = -1
OUTCOME, PROPENSITY = "decision", "propensity"
"""The fields of a decision that are read."""


@dataclass(frozen=True)
class Decided:
    """Decisions on events, one row each.

    Attributes:
        outcomes: int8, shape (n,): positions in ``OUTCOMES``, ``NOT_DECIDED`` where no decision is known.
        propensities: float64, shape (n,): the share of such events that is let through, NaN for events that never are.
    """

    outcomes: npt.NDArray[np.int8]
    propensities: npt.NDArray[np.float64]

    def take(self, positions: npt.NDArray[np.int64]) -> Decided:
        """Return those at some positions."""
        return Decided(self.outcomes[positions], self.propensities[positions])


def join_decided(keys: Any, decisions: pa.Table, stream: Stream) -> Decided:
    """Return the decision on each event; of several the last.

    Args:
        keys: one key per event, from ``build_keys``.
        decisions: the stream's key and id, ``OUTCOME`` and ``PROPENSITY``, in the order of the log.
        stream: whose they are.
    """
    encoded = build_keys(decisions, stream).dictionary_encode()
    last = np.zeros(len(encoded.dictionary) + 1, np.int64)
    last[encoded.indices.to_numpy()] = np.arange(decisions.num_rows)  # of repeated indices the last assignment stays
    found = pc.fill_null(pc.index_in(keys, value_set=encoded.dictionary), -1).to_numpy(zero_copy_only=False)
    at = last[found]
    codes = pc.index_in(pc.cast(decisions[OUTCOME], pa.string()), value_set=pa.array(OUTCOMES))
    outcomes = np.append(codes.to_numpy().astype(np.int8), np.int8(NOT_DECIDED))
    propensities = np.append(decisions[PROPENSITY].cast(pa.float64()).to_numpy(), np.nan)
    at = np.where(found >= 0, at, decisions.num_rows)
    return Decided(outcomes[at], propensities[at])
