"""What each rule of a change holds of, and who stopped those events already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from weir.archive.whatif.labels import FRAUD, GOOD, Verdicts
from weir.inference.core.deciding import OUTCOMES, DecidedRows, Outcomes
from weir.inference.core.rules import RuleSet
from weir.schemas.rules import OFF, Rule


@dataclass
class RuleTally:
    """One rule of a change.

    Attributes:
        hits: events that fulfil its condition, whatever else decides them.
        decides: events that it would decide.
        recorded: of its hits, what was decided, by position in ``OUTCOMES``.
        by_model: of its hits, those that the model stopped.
        also: of its hits, how many each rule that was in force holds of too.
        fraud: of its hits, those that are known as such.
        good: and those that are known to be good.
    """

    rule: Rule
    hits: int = 0
    decides: int = 0
    recorded: Counter[str] = field(default_factory=Counter)
    by_model: int = 0
    also: Counter[str] = field(default_factory=Counter)
    fraud: int = 0
    good: int = 0


class Overlap:
    """Adds up what the rules of a change hold of."""

    def __init__(self, rules: RuleSet | None) -> None:
        """Begin with nothing; rules that are off are left out."""
        given = rules.rules if rules else ()
        self._positions = [position for position, rule in enumerate(given) if rule.mode != OFF]
        self.tallies = [RuleTally(given[position]) for position in self._positions]

    def add(
        self,
        made: DecidedRows,
        recorded: Outcomes,
        by_model: npt.NDArray[np.bool_],
        verdicts: Verdicts,
        held: Mapping[str, npt.NDArray[np.bool_]],
    ) -> None:
        """Add rows.

        Args:
            made: by the change.
            recorded: what was decided.
            by_model: what the model stopped.
            verdicts: what is known of them.
            held: by the name of each rule that was in force, where it holds.
        """
        for position, tally in zip(self._positions, self.tallies, strict=True):
            hits = np.flatnonzero(made.matches.fulfilled[position])
            if len(hits):
                tally.decides += int(np.count_nonzero(made.by[hits] == made.first_rule + position))
                _add(tally, hits, recorded, by_model, verdicts, held)


def _add(
    tally: RuleTally,
    hits: npt.NDArray[np.int64],
    recorded: Outcomes,
    by_model: npt.NDArray[np.bool_],
    verdicts: Verdicts,
    held: Mapping[str, npt.NDArray[np.bool_]],
) -> None:
    tally.hits += len(hits)
    for outcome, count in zip(OUTCOMES, np.bincount(recorded[hits], minlength=3).tolist(), strict=True):
        tally.recorded[outcome] += count
    tally.by_model += int(np.count_nonzero(by_model[hits]))
    tally.fraud += int(np.count_nonzero(verdicts[hits] == FRAUD))
    tally.good += int(np.count_nonzero(verdicts[hits] == GOOD))
    for name, found in held.items():
        tally.also[name] += int(np.count_nonzero(found[hits]))
