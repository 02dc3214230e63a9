"""What each rule of a change holds of, and who stopped those events already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from weir.archive.whatif.again import Outcomes, match_alone
from weir.archive.whatif.labels import FRAUD, GOOD, Verdicts
from weir.archive.whatif.past import Joined
from weir.inference.core.decisions import APPROVE, OUTCOMES
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.rule_sets import columns_of_rules
from weir.schemas.rules import DECLINE, LIVE, OFF, Rule
from weir.schemas.stream import Stream

_BY_MODEL = "model"


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

    def __init__(self, rules: Iterable[Rule], stream: Stream) -> None:
        """Begin with nothing; rules that are off are left out."""
        self._alone = Alone(stream)
        self.tallies = [RuleTally(rule) for rule in rules if rule.mode != OFF]

    def add(
        self,
        rows: Joined,
        recorded: Outcomes,
        decided_by: Sequence[str],
        verdicts: Verdicts,
        lists: Lists,
        in_force: RuleSet | None,
    ) -> None:
        """Add rows.

        Args:
            rows: of the past.
            recorded: what was decided.
            decided_by: what would decide them.
            verdicts: what is known of them.
            lists: that conditions may ask.
            in_force: rules that decided then; None where they are not known.
        """
        if not self.tallies:
            return
        others = [rule for rule in in_force.rules if rule.mode != OFF] if in_force else []
        held = {rule.name: match_alone(rows, self._alone.build(rule), lists) for rule in others}
        who = Counter(decided_by)
        was = np.array(rows.decisions["decided_by"].to_pylist(), dtype=object)
        by_model = (was == _BY_MODEL) & (recorded > APPROVE)
        for tally in self.tallies:
            hits = match_alone(rows, self._alone.build(tally.rule), lists)
            tally.decides += who[tally.rule.name]
            if hits.any():
                _add(tally, hits, recorded, by_model, verdicts, held)


class Alone:
    """Rules, each in a set of its own, whose one outcome tells where its condition holds."""

    def __init__(self, stream: Stream) -> None:
        """Bind to a stream."""
        columns = columns_of_rules(stream)
        self.build = lru_cache(maxsize=None)(
            lambda rule: build_rule_set([replace(rule, mode=LIVE, then=DECLINE)], columns)
        )


def _add(
    tally: RuleTally,
    hits: npt.NDArray[np.bool_],
    recorded: Outcomes,
    by_model: npt.NDArray[np.bool_],
    verdicts: Verdicts,
    held: dict[str, npt.NDArray[np.bool_]],
) -> None:
    tally.hits += int(hits.sum())
    for outcome, count in zip(OUTCOMES, np.bincount(recorded[hits], minlength=3).tolist(), strict=True):
        tally.recorded[outcome] += count
    tally.by_model += int((hits & by_model).sum())
    tally.fraud += int((verdicts[hits] == FRAUD).sum())
    tally.good += int((verdicts[hits] == GOOD).sum())
    for name, found in held.items():
        tally.also[name] += int((hits & found).sum())
