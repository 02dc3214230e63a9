"""A made-up population of which some labels could not come, drawn without the product: the truth of all is known.

==========  ======================  =======================================================================
burst       what was decided        whose labels come
==========  ======================  =======================================================================
5           declined by the model   of 20 % of the events, those let through
4           sent to review          fraud by its victims; what is good where an analyst looked, of 15 %
1 to 3      approved                everybody's
==========  ======================  =======================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tests.payments import DAY_MS
from tests.unit.training.worlds import BURST, build_world
from weir.training.dataset import Examples
from weir.training.decided import Decided

LET_THROUGH, LOOKED_AT = 0.2, 0.15
RATES = {1: 0.01, 2: 0.01, 3: 0.02, 4: 0.15, 5: 0.4}
"""Shares of fraud by burst."""
_APPROVE, _REVIEW, _DECLINE = 0, 1, 2


@dataclass(frozen=True)
class Selected:
    """The population, what is known of it, and the truth."""

    examples: Examples
    labels: pa.Table
    truth: np.ndarray

    @property
    def burst(self) -> np.ndarray:
        """What the policy decided by."""
        return self.examples.features[:, BURST].astype(np.int64)


def build_selected(rows: int = 40_000, seed: int = 11) -> Selected:
    """Draw a population over 90 days."""
    examples, labels, _ = build_world(rows, seed=seed)
    rng = np.random.default_rng(seed + 1)
    burst = examples.features[:, BURST].astype(np.int64)
    truth = rng.random(rows) < np.array([0.0, *RATES.values()])[burst]
    declined, reviewed = burst == 5, burst == 4
    let = declined & (rng.random(rows) < LET_THROUGH)
    looked = reviewed & (rng.random(rows) < LOOKED_AT)
    comes = np.where(declined, let, np.where(reviewed, looked | truth, True))
    outcomes = np.where(declined & ~let, _DECLINE, np.where(reviewed, _REVIEW, _APPROVE)).astype(np.int8)
    decided = Decided(outcomes, np.where(declined, LET_THROUGH, np.nan))
    source = np.where(looked, "analyst", np.where(truth, "chargeback", "matured"))
    times = labels["event_time_ms"].to_numpy() + np.where(looked, 1, 3) * DAY_MS
    said = labels.set_column(3, "label_time_ms", pa.array(times)).set_column(4, "is_fraud", pa.array(truth))
    said = said.append_column("source", pa.array(source)).filter(pa.array(comes))
    return Selected(replace(examples, decided=decided), said, truth)
