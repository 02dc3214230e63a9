"""Whether the labels of a dataset are in line with those of the one before: a poisoned set teaches what somebody wants.

A dataset is described by two things that no drift of events alone changes much:

- the share of fraud among labelled rows;
- the relation of each input to the label: by how much its ROC-AUC is above or below one half. Labels that were turned
  around, drawn at random or given to somebody else's events turn it around or take it away.

Both are written into the manifest of the model that the dataset taught. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from weir.inference.core.vector import Matrix
from weir.inference.published.gate import Gate
from weir.schemas.gate_bounds import GateBounds
from weir.training.gates.figures import Labels
from weir.training.gates.leakage import bound_rows, rank_input

FIELD: Final = "labels"
_COMMON_MIN: Final = 3
"""Inputs that both datasets have: of fewer a correlation says nothing."""


def describe_labels(features: Matrix, positive: Labels, names: Sequence[str]) -> dict[str, Any]:
    """Return what a manifest keeps of a dataset.

    Args:
        features: float32, shape (rows, len(names)).
        positive: 0 or 1, shape (rows,), with some of both.
        names: of the columns.
    """
    rows = bound_rows(positive)
    chosen = positive[rows]
    areas = {
        name: rank_input(np.where(np.isnan(column), -np.inf, column), chosen)[0]
        for name, column in zip(names, features[rows].T, strict=True)
    }
    return {
        "rows": len(positive),
        "fraud_share": float(positive.mean()),
        "relation": {name: round(area - 0.5, 4) for name, area in areas.items()},
    }


def judge_labels(found: Mapping[str, Any], before: Mapping[str, Any], bounds: GateBounds) -> Iterator[Gate]:
    """Yield how a dataset stands to the one before.

    Args:
        found: of the new dataset, from ``describe_labels``.
        before: of the one that taught the champion; what it lacks is not judged.
        bounds: of the project.
    """
    if "fraud_share" in before:
        yield _judge_share(found["fraud_share"], before["fraud_share"], bounds.fraud_share_times)
    if "relation" in before:
        yield _judge_relation(found["relation"], before["relation"], bounds.label_relation)


def describe_older(metrics: Any) -> dict[str, Any]:
    """Return what the figures of a model of before this release say of its dataset: the share of fraud alone."""
    try:
        counts = metrics["counts"]["train"]
        return {"fraud_share": counts["fraud"] / counts["known"]}
    except (KeyError, TypeError, ZeroDivisionError):
        return {}


def _judge_share(found: float, before: float, times: float) -> Gate:
    moved = math.inf if min(found, before) <= 0 else max(found / before, before / found)
    text = f"{found:.2%} of labelled events are fraud, the last time {before:.2%}"
    return Gate("labels, share of fraud", moved <= times, text, f"at most {times:g} times more or less")


def _judge_relation(found: Mapping[str, float], before: Mapping[str, float], least: float) -> Gate:
    name, wanted = "labels, relation to inputs", f"a correlation of {least:g} or more with the last time"
    common = [each for each in before if each in found]
    now, then = (np.array([of[each] for each in common]) for of in (found, before))
    if len(common) < _COMMON_MIN or not (now.std() and then.std()):
        return Gate(name, False, f"not measured: {len(common)} inputs in common, or none that tells anything", wanted)
    correlation = float(np.corrcoef(now, then)[0, 1])
    turned = [common[at] for at in np.argsort(now * then)[:3] if now[at] * then[at] < 0]
    text = f"correlation {correlation:.2f}" + (f"; turned around: {', '.join(turned)}" if turned else "")
    return Gate(name, correlation >= least, text, wanted)
