"""Scores logged vectors again: by a model that is tried, and by those that decided, to see that nothing differs.

Every trial does the second for 10,000 decisions, a run of neighbours in each part of the past, so that the vectors of
few row groups are read. Of the same decisions it is checked that the probability and the prediction set are what the
bundle makes of the score.

A range whose scores were all checked is remembered by the hash of everything that the check read: the model, the
vectors and the scores. So it need not be scored a second time, and one that is altered is another range.

**Cost:** of a model of 200 trees some 5 µs a row and core; of a range that is remembered, its hash.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.in_force.bundles import load_bundles
from weir.archive.objects import Objects
from weir.archive.whatif.again import NO_MODEL_NAME, read_codes, read_scores
from weir.archive.whatif.in_force import Versions
from weir.archive.whatif.past import MODEL_CONFIDENCE, Joined, Part
from weir.inference.bundle import Bundle
from weir.inference.core.calibration import SETS, Calibration
from weir.inference.core.deciding import check_scores
from weir.inference.core.thresholds import Scores
from weir.inference.core.vector import select_columns
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Transient

SAMPLED: Final = 10_000
"""Decisions whose scores are made again where not all are asked for."""
VERIFIED: Final = "_verified"
"""The folder of the archive that holds an empty file for each range that was checked, called by its hash."""
_CHUNK_ROWS: Final = 16_384
"""Of sixty features they are 4 MB, which stay in a core's cache."""
_SEED: Final = 20_000


Differing = tuple[int, str, str, str]
"""A row, a field, what was recorded and what is computed."""


def score_rows(bundle: Bundle, rows: Joined) -> Scores:
    """Return the scores of logged vectors, on every core; NaN where the model gave none."""
    count = rows.decisions.num_rows
    edges = list(pairwise([*range(0, count, _CHUNK_ROWS), count]))

    def score(edge: tuple[int, int]) -> Scores:
        taken = select_columns(rows.features[slice(*edge)], rows.names, bundle.names)
        return bundle.score(np.ascontiguousarray(taken))

    # a session is run by several threads at once; nothing of a bundle changes meanwhile
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as cores:
        return check_scores(np.concatenate([np.empty(0, np.float32), *cores.map(score, edges)]))


@dataclass
class Rescored:
    """What the check found.

    Attributes:
        checked: scores that were made again, or were once.
        remembered: of those, the ones that were checked by an earlier run.
        differing: and those that come out otherwise.
        unsure: decisions whose probability or prediction set is not what the bundle makes of their score.
        missing: models whose scores could not be made again, and why.
    """

    checked: int = 0
    remembered: int = 0
    differing: int = 0
    unsure: int = 0
    missing: dict[str, str] = field(default_factory=dict)


class ScoreCheck:
    """Checks that logged scores are what their models say of the logged vectors."""

    def __init__(self, settings: Settings, objects: Objects, *, rows: int, verify: bool) -> None:
        """Bind.

        Args:
            settings: of this home and the decisions' stream.
            objects: of the archive.
            rows: how many decisions there are.
            verify: check every score; otherwise a seeded sample.
        """
        self._settings, self._objects = settings, objects
        self._verify, self._share = verify, 1.0 if verify else SAMPLED / max(SAMPLED, rows)
        self.takes_all = self._share >= 1.0
        self._bundles: dict[tuple[str, str], list[Bundle]] = {}
        self._verified: set[str] | None = None
        self.found = Rescored()

    def list_features(self, versions: Versions) -> set[str]:
        """Return the features that the model of some decisions takes."""
        return {name for bundle in self._find(versions) for name in bundle.names}

    def draw(self, part: Part) -> slice:
        """Return which decisions of a part are checked where not all are: neighbours, of an archive the same ones."""
        rows = part.decisions.num_rows
        count = min(rows, math.ceil(rows * self._share))
        dice = np.random.default_rng([_SEED, part.day.toordinal(), part.buckets[0], rows])
        first = int(dice.integers(0, rows - count + 1))
        return slice(first, first + count)

    def check(self, versions: Versions, rows: Joined) -> Iterator[Differing]:
        """Return row, field, what was recorded and what is computed of those that differ.

        Args:
            versions: of the decisions, which are of one model.
            rows: with the features that it takes.
        """
        bundles = self._find(versions)
        if not bundles:
            return iter(())
        self.found.checked += rows.decisions.num_rows
        nearest, differing = self._check_scores(bundles, rows)
        # of bundles that are called alike and score alike, the one that makes what was recorded
        tries = [_find_unsure(bundle.calibration, rows.decisions) for bundle in nearest]
        unsure, described = min(tries, key=lambda each: each[0])
        self.found.unsure += unsure
        return chain(differing, described)

    def _check_scores(self, bundles: Sequence[Bundle], rows: Joined) -> tuple[Sequence[Bundle], Iterator[Differing]]:
        """Return the bundles that come nearest to what was logged, and what differs of them."""
        logged = read_scores(rows.decisions)
        digests = [_digest(bundle, rows, logged) for bundle in bundles] if self._verify else []
        if known := self._load_verified().intersection(digests):
            self.found.remembered += len(logged)
            return [bundle for bundle, digest in zip(bundles, digests, strict=True) if digest in known], iter(())
        made = [score_rows(bundle, rows) for bundle in bundles]
        wrong = [np.flatnonzero(_differs(each, logged)) for each in made]
        best = min(range(len(bundles)), key=lambda number: len(wrong[number]))
        self.found.differing += len(wrong[best])
        if digests and not len(wrong[best]):
            self._remember(digests[best])
        nearest = [bundle for bundle, each in zip(bundles, wrong, strict=True) if len(each) == len(wrong[best])]
        named = wrong[best].tolist()
        return nearest, ((row, "score", f"{logged[row]:.9g}", f"{made[best][row]:.9g}") for row in named)

    def _find(self, versions: Versions) -> list[Bundle]:
        name = versions.model_name, versions.model_version
        if name not in self._bundles:
            self._bundles[name] = [] if versions.model_name == NO_MODEL_NAME else self._load(*name)
        return self._bundles[name]

    def _load(self, name: str, version: str) -> list[Bundle]:
        why = "its bundle cannot be found"
        try:
            found = load_bundles(self._settings, self._objects, name, version)
        except Damaged as error:
            if self._verify:
                raise
            found, why = [], str(error)  # such as one of other declarations: what was logged can be read all the same
        if not found:
            self.found.missing[f"model {name} {version}"] = why
        return found

    def _load_verified(self) -> set[str]:
        if self._verified is None:
            self._verified = {path.rpartition("/")[2] for path in self._objects.list_files(VERIFIED)}
        return self._verified

    def _remember(self, digest: str) -> None:
        try:
            self._objects.write(f"{VERIFIED}/{digest}", b"")
        except Transient:  # a copy that may only be read is checked again each time
            return


def _find_unsure(calibration: Calibration | None, decisions: pa.Table) -> tuple[int, Iterator[Differing]]:
    """Return in how many rows a recorded probability or set is not what the map makes of the score, and which."""
    if not set(MODEL_CONFIDENCE) <= set(decisions.schema.names):
        return 0, iter(())
    scores = read_scores(decisions)
    said, sets = np.full(len(scores), np.nan), np.full(len(scores), -1, np.int64)
    if calibration is not None:
        known = ~np.isnan(scores)
        said[known] = calibration.compute_probabilities(scores[known])
        sets[known] = calibration.compute_sets(scores[known])
    was_said = np.asarray(decisions["probability"].to_numpy(zero_copy_only=False), np.float64)
    was_set = read_codes(decisions["prediction_set"], SETS)
    other = (said != was_said) & ~(np.isnan(said) & np.isnan(was_said)), sets != was_set
    names = (*SETS, "nothing")  # the last is at -1
    first, second = (np.flatnonzero(each).tolist() for each in other)
    return int(np.count_nonzero(other[0] | other[1])), chain(
        ((n, MODEL_CONFIDENCE[0], f"{was_said[n]:.9g}", f"{said[n]:.9g}") for n in first),
        ((n, MODEL_CONFIDENCE[1], names[was_set[n]], names[sets[n]]) for n in second),
    )


def _digest(bundle: Bundle, rows: Joined, logged: Scores) -> str:
    manifest = bundle.manifest
    digest = hashlib.sha256(f"1 {manifest.model_sha256} {manifest.output_name} {manifest.output_column}".encode())
    for name in bundle.names:
        digest.update(f" {name} ".encode())
        if name in rows.names:
            digest.update(rows.features[:, rows.names.index(name)].tobytes())
    digest.update(logged.tobytes())
    return digest.hexdigest()


def _differs(made: Scores, logged: Scores) -> npt.NDArray[np.bool_]:
    differs: npt.NDArray[np.bool_] = (made != logged) & ~(np.isnan(made) & np.isnan(logged))
    return differs
