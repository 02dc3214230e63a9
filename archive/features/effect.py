"""What changed features do to scores, and to what the model's thresholds make of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weir.archive.features.figures import Column, Compared, compare
from weir.archive.features.side_by_side import Computed, Pair
from weir.inference.bundle import Bundle, champion_path, load_bundle, read_manifest
from weir.inference.core.decisions import OUTCOMES, check_scores, compute_outcomes
from weir.schemas.errors import Refused

_NAMED = 3


@dataclass(frozen=True)
class Effect:
    """What the champion makes of both.

    Attributes:
        model: name and version.
        scores: old against new.
        flips: by ``OLD -> NEW`` outcome, how many events; those that are decided alike are in none.
    """

    model: str
    scores: Compared
    flips: dict[str, int]


def find_effect(pair: Pair) -> Effect | str:
    """Score both sides by the champion of this home, or return a sentence that says why there are no scores."""
    found = _load_champion(pair)
    if isinstance(found, str):
        return found
    old, new = pair.keep(_score(found, pair.old), _score(found, pair.new))
    cut = {"review": found.review_threshold, "decline": found.decline_threshold}
    was, now = (compute_outcomes(each, **cut).astype(np.int64) for each in (old, new))
    counts = np.bincount(was * len(OUTCOMES) + now, minlength=len(OUTCOMES) ** 2).reshape(len(OUTCOMES), -1)
    flips = {
        f"{before} -> {after}": int(counts[i, j])
        for i, before in enumerate(OUTCOMES)
        for j, after in enumerate(OUTCOMES)
        if i != j and counts[i, j]
    }
    return Effect(f"{found.manifest.name} {found.manifest.version}", compare(old, new), flips)


def _load_champion(pair: Pair) -> Bundle | str:
    settings = pair.old.declared.settings
    path = champion_path(settings)
    try:
        manifest = read_manifest(path.resolve(), path, settings.stream)
        for side, which in ((pair.old, "old"), (pair.new, "new")):
            there = side.declared.stream.feature_names
            lacking = [name for name in manifest.features if name not in there]
            if lacking:
                more = f" and {len(lacking) - _NAMED} others" if len(lacking) > _NAMED else ""
                return (
                    f"no effect on scores is shown: model {manifest.name} {manifest.version} takes "
                    f"{', '.join(lacking[:_NAMED])}{more}, which the {which} declarations lack"
                )
        return load_bundle(path, declarations_hash=manifest.declarations_hash, stream=settings.stream)
    except Refused as error:
        return f"no effect on scores is shown: {error}"


def _score(bundle: Bundle, side: Computed) -> Column:
    scores = [check_scores(bundle.score(features)) for features in side.batches(bundle.names)]
    return np.concatenate([np.empty(0, np.float32), *scores])
