"""Decides rows of the past again by the function that the stream decides by, with the scores that were logged.

No model is asked: what stands for it gives the score that the decision carries. So rules, lists and thresholds are held
against the very numbers that were decided by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.whatif.past import Joined
from weir.inference.core.condition_steps import Rows
from weir.inference.core.decisions import OUTCOMES, Judgement, judge
from weir.inference.core.lists import Lists
from weir.inference.core.reasons import Groups
from weir.inference.core.records import read_ids
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.core.vector import NO_MODEL, Matrix
from weir.schemas.stream import Stream

NO_MODEL_NAME: Final = "none"
_NO_GROUPS: Final = Groups((), (), (), np.zeros((0, 0), np.bool_), ())
Outcomes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Deciding:
    """What decides next to the logged scores.

    Attributes:
        review: score from which on the model reviews; nothing where it is not known, or published thresholds stand.
        decline: and declines.
    """

    rules: RuleSet
    lists: Lists
    thresholds: ThresholdTable | None = None
    review: float = float("nan")
    decline: float = float("nan")


class LoggedModel:
    """Stands for a model whose scores are known: ``decisions.Model``."""

    names: tuple[str, ...] = ()
    reference: npt.NDArray[np.float32] = np.empty(0, np.float32)
    groups: Groups = _NO_GROUPS

    def __init__(self, scores: npt.NDArray[np.float32], deciding: Deciding, *, is_there: bool) -> None:
        """Bind to the scores of some rows, in their order; where no model was there they are all NaN."""
        self._scores = scores
        self.review_threshold = deciding.review
        self.decline_threshold = deciding.decline
        self.lacking: tuple[str, ...] = () if is_there else (NO_MODEL,)

    def score(self, features: Matrix) -> npt.NDArray[np.float32]:
        """Return the scores that were logged."""
        del features
        return self._scores


def decide_again(rows: Joined, deciding: Deciding, stream: Stream) -> Judgement:
    """Decide rows of one model by something else, or once more by what was in force."""
    is_there = rows.decisions["model_name"][0].as_py() != NO_MODEL_NAME
    model = LoggedModel(read_scores(rows.decisions), deciding, is_there=is_there)
    ids = read_ids(rows.fields, deciding.lists.kinds, stream.id_field_of)
    return judge(
        rows.features, rows.names, ids, model, deciding.lists, deciding.rules, rows.fields, deciding.thresholds
    )


def read_scores(decisions: pa.Table) -> npt.NDArray[np.float32]:
    """Return the scores that were logged, NaN where there was none."""
    scores = decisions["score"].to_numpy(zero_copy_only=False)
    return np.asarray(scores, np.float64).astype(np.float32)


def read_outcomes(decisions: pa.Table) -> Outcomes:
    """Return the decisions that were recorded, as positions in ``OUTCOMES``."""
    found = pc.index_in(decisions["decision"], value_set=pa.array(OUTCOMES))
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.uint8)


def match_alone(rows: Joined, rule: RuleSet, lists: Lists) -> npt.NDArray[np.bool_]:
    """Return which rows fulfil the one rule of a set."""
    asked = Rows(rows.features, rows.names, read_scores(rows.decisions), rows.fields, lists)
    return rule.match(asked).decided >= 0


def find_differences(decisions: pa.Table, made: Judgement) -> Iterator[tuple[int, str, str, str]]:
    """Yield row, field, what was recorded and what is computed, for everything in which the two differ."""
    names = ("decision", "decided_by", "tags", "shadow_rules")
    computed: dict[str, pa.Array] = {
        "decision": pa.array(OUTCOMES).take(pa.array(made.outcomes)),
        "decided_by": pa.array(made.decided_by, pa.string()),
        "tags": _texts(made.tags),
        "shadow_rules": _texts(made.shadow_rules),
    }
    for name in names:
        recorded = decisions[name].combine_chunks() if name in decisions.schema.names else None
        if recorded is None or _is_same(recorded, computed[name]):
            continue
        pairs = zip(recorded.to_pylist(), computed[name].to_pylist(), strict=True)
        for row, (was, now) in enumerate(pairs):
            if (was or _EMPTY) != (now or _EMPTY):
                yield row, name, _say(was), _say(now)


_EMPTY: Final[list[str]] = []


def _is_same(recorded: Any, computed: pa.Array) -> bool:
    array = recorded.combine_chunks() if isinstance(recorded, pa.ChunkedArray) else recorded
    return bool(array.cast(computed.type).equals(computed))


def _texts(texts: Sequence[Sequence[str]]) -> pa.Array:
    return pa.array(texts, pa.list_(pa.string()))


def _say(value: Any) -> str:
    return ", ".join(value) or "nothing" if isinstance(value, list) else str(value or "nothing")
