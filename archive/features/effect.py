"""What changed features do to scores and decisions, by what is in force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weir.archive.features.figures import Column, Compared, compare
from weir.archive.features.history import Snapshot
from weir.archive.features.in_force import InForce, find_in_force, find_manifest
from weir.archive.features.side_by_side import Computed, Pair
from weir.inference.bundle import Manifest
from weir.inference.core.decisions import OUTCOMES, judge
from weir.inference.core.records import read_ids
from weir.schemas.errors import Refused

_NAMED = 3
Outcomes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Effect:
    """What is decided of both.

    Attributes:
        model: name and version.
        version: of rules, lists and published thresholds.
        scores: old against new.
        decided: old and new, how many events have which outcome.
        flips: by ``OLD -> NEW`` outcome, how many events; those that are decided alike are in none.
        note: why it may be decided otherwise; empty where it is not.
    """

    model: str
    version: str
    scores: Compared
    decided: tuple[dict[str, int], dict[str, int]]
    flips: dict[str, int]
    note: str


def find_effect(pair: Pair, archive: Snapshot) -> Effect | str:
    """Decide both sides by what is in force, or return a sentence that says why that cannot be."""
    settings = pair.old.declared.settings
    try:
        manifest = find_manifest(settings)
        if manifest is not None:
            _refuse_lacking(pair, manifest)
        found = find_in_force(settings, archive)
    except Refused as error:
        return f"no effect on scores and decisions is shown: {error}"
    (old_scores, was), (new_scores, now) = (_decide(found, side) for side in (pair.old, pair.new))
    first, then = (each.astype(np.int64) for each in pair.keep(was, now))
    counts = np.bincount(first * len(OUTCOMES) + then, minlength=len(OUTCOMES) ** 2).reshape(len(OUTCOMES), -1)
    decided = tuple(dict(zip(OUTCOMES, counts.sum(axis).tolist(), strict=True)) for axis in (1, 0))
    flips = {
        f"{before} -> {after}": int(counts[i, j])
        for i, before in enumerate(OUTCOMES)
        for j, after in enumerate(OUTCOMES)
        if i != j and counts[i, j]
    }
    model = f"{found.bundle.manifest.name} {found.bundle.manifest.version}"
    scores = compare(*pair.keep(old_scores, new_scores))
    return Effect(model, found.version, scores, (decided[0], decided[1]), flips, found.note)


def _refuse_lacking(pair: Pair, manifest: Manifest) -> None:
    """Refuse a model that takes features which one of both lacks."""
    for side, which in ((pair.old, "old"), (pair.new, "new")):
        there = side.declared.stream.feature_names
        lacking = [name for name in manifest.features if name not in there]
        if lacking:
            more = f" and {len(lacking) - _NAMED} others" if len(lacking) > _NAMED else ""
            names = f"{', '.join(lacking[:_NAMED])}{more}"
            raise Refused(
                f"model {manifest.name} {manifest.version} takes {names}, which the {which} declarations lack"
            )


def _decide(found: InForce, side: Computed) -> tuple[Column, Outcomes]:
    """Return score and outcome of each row."""
    names, scores, outcomes = side.declared.stream.feature_names, [np.empty(0, np.float32)], [np.empty(0, np.uint8)]
    for features, fields in side.batches(names):
        ids = read_ids(fields, found.lists.kinds, side.declared.stream.id_field_of)
        judged = judge(features, names, ids, found.bundle, found.lists, found.rules, fields, found.thresholds)
        scores.append(judged.scores)
        outcomes.append(judged.outcomes)
    return np.concatenate(scores), np.concatenate(outcomes)
