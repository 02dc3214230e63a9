"""How far a model may go before it decides: the table ``[gates]`` of a project's ``weir.toml``, and what is shipped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from weir.schemas.checks.expression_types import nearest

REDTEAM_TIMES: Final = 1.1
"""Of what an attacker takes past the champion: the bound where the project has none, for models that were played."""


@dataclass(frozen=True)
class GateBounds:
    """The largest value of each figure that has a bound, and the smallest relation of labels; see docs/choosing.md.

    Attributes:
        ece: expected calibration error.
        latency_us: microseconds a row, in batches of 256.
        demographic_parity: difference of the share flagged between groups.
        equal_opportunity: the same among legitimate events.
        changed_share: of events whose decision changes when every input changes by up to one percent.
        missing_points: by how many percentage points more legitimate events are flagged without one entity's inputs.
        input_auc: ROC-AUC of one input alone.
        own_points: by how many percentage points PR-AUC is below that of the model's own test interval.
        fraud_share_times: how many times more or less fraud than in the last dataset is taken for true.
        redteam_usd: that an attacker who learns takes per 1,000 cards, mean of all scenarios; as shipped without bound.
        redteam_times: the same, as times what is taken past the champion; as shipped nobody has to play, and what was
            played is held to ``REDTEAM_TIMES``.
        label_relation: correlation of what inputs say of the label, with the last dataset; the least that is.
    """

    ece: float = 0.01
    latency_us: float = 20.0
    demographic_parity: float = 0.1
    equal_opportunity: float = 0.02
    changed_share: float = 0.005
    missing_points: float = 2.0
    input_auc: float = 0.97
    own_points: float = 15.0
    fraud_share_times: float = 3.0
    redteam_usd: float = math.inf
    redteam_times: float = math.inf
    label_relation: float = 0.5

    @property
    def asks_redteam(self) -> bool:
        """Whether a model that nobody played against is not passed."""
        return math.isfinite(self.redteam_usd) or math.isfinite(self.redteam_times)


_HIGHEST: Final = {
    "ece": 1.0,
    "latency_us": 1e6,
    "demographic_parity": 1.0,
    "equal_opportunity": 1.0,
    "changed_share": 1.0,
    "missing_points": 100.0,
    "input_auc": 1.0,
    "own_points": 100.0,
    "fraud_share_times": 1_000.0,
    "redteam_usd": 1e12,
    "redteam_times": 1_000.0,
    "label_relation": 1.0,
}


def find_bound_faults(table: Any) -> Iterator[str]:
    """Yield what is wrong with a table of bounds."""
    if not isinstance(table, Mapping):
        yield f"expected a table of bounds, found {table!r:.80}"
        return
    for name, value in table.items():
        if name not in _HIGHEST:
            yield f"expected a bound of the gates, found {name!r:.80}{nearest(name, _HIGHEST)}"
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _HIGHEST[name]:
            yield f"expected {name} from 0 to {_HIGHEST[name]:g}, found {value!r:.80}"


def build_bounds(table: Mapping[str, Any]) -> GateBounds:
    """Return the bounds of a table without a fault; what it does not name is as shipped."""
    known = {each.name for each in fields(GateBounds)}
    return GateBounds(**{name: float(value) for name, value in table.items() if name in known})
