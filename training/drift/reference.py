"""What rows looked like where a model was judged: the part ``drift`` of its manifest. Pure.

It is the test interval of the training run, all rows of it: the figures of the model card hold for rows like these, and
the model was not taught by them, so its scores there are what they are in production.

How far a column moves from day to day without any drift is ``usual``: of each whole day of the interval, the stability
index against all of it, less what chance gives; the largest. A weekday or a pay day is in there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.training.drift.histograms import Counts, Edges, Histograms, compute_edges
from weir.training.drift.measures import compute_psi, expect_by_chance
from weir.training.models import Matrix

FIELD: Final = "drift"
SCORE: Final = "score"
"""What tables call the column of scores; no feature is called so, as it has a prefix."""
KEYS_MIN: Final = 100
"""Of an interval: with fewer, chance alone moves the index by more than 0.1."""


class Column(BaseModel):
    """One column of the reference.

    Attributes:
        edges: as ``histograms.compute_edges`` returns them.
        counts: rows in each bin; two more than edges.
        usual: how far it moves from day to day, as a stability index.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    usual: float = Field(ge=0.0)

    @model_validator(mode="after")
    def _check_shape(self) -> Column:
        if len(self.counts) != len(self.edges) + 2 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("a column has ascending edges, and two more counts")
        return self

    @cached_property
    def bins(self) -> Edges:
        """The edges as an array."""
        return np.asarray(self.edges, np.float32)

    @cached_property
    def found(self) -> Counts:
        """The counts as an array."""
        return np.asarray(self.counts, np.int64)


class Reference(BaseModel):
    """What is compared with.

    Attributes:
        from_ms: event time, UTC epoch ms.
        to_ms: event time, not included.
        keys: how many keys its rows are of.
        features: by name.
        score: of the model on these rows.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    from_ms: int
    to_ms: int
    keys: int = Field(ge=1)
    features: dict[str, Column]
    score: Column

    @property
    def columns(self) -> dict[str, Column]:
        """All columns, the score last."""
        return self.features | {SCORE: self.score}


def build_reference(
    features: Matrix,
    names: Sequence[str],
    scores: npt.NDArray[np.floating],
    times_ms: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
) -> Reference:
    """Return the reference of an interval.

    Args:
        features: float32, shape (rows, len(names)).
        names: of the columns.
        scores: of the model, shape (rows,).
        times_ms: event times, ascending.
        keys: a number per row that stands for its key.
    """
    columns = [*features.T, scores]
    edges = [compute_edges(column) for column in columns]
    whole, days = Histograms(edges), []
    for rows in _cut_days(times_ms):
        day = Histograms(edges)
        for histograms in (whole, day):
            histograms.add([column[rows] for column in columns], keys[rows].tolist())
        days.append(day)
    made = [
        Column(edges=edges[at].tolist(), counts=counts.tolist(), usual=_find_usual(whole, days, at))
        for at, counts in enumerate(whole.counts)
    ]
    return Reference(
        from_ms=int(times_ms[0]),
        to_ms=int(times_ms[-1]) + 1,
        keys=whole.keys,
        features=dict(zip(names, made[:-1], strict=True)),
        score=made[-1],
    )


def read_reference(given: object, version: str) -> Reference:
    """Return the reference of a manifest.

    Args:
        given: what it has in ``FIELD``.
        version: of the bundle, for messages.

    Raises:
        Refused: it has none, or one that is not right.
    """
    if given is None:
        raise Refused(
            f"expected reference histograms in the bundle {version[:80]}, found none: it was made before `weir train` "
            "wrote them, or elsewhere; train again, and promote what is made"
        )
    try:
        return Reference.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in (FIELD, *first["loc"]))
        raise Refused(f"bundle {version[:80]}: {where:.80}: {first['msg'].lower():.120}; train again") from None


def _find_usual(whole: Histograms, days: Sequence[Histograms], at: int) -> float:
    """Return how far one column moves from day to day."""
    expected: Counts = whole.counts[at]
    moved = [
        compute_psi(expected, day.counts[at]) - expect_by_chance(expected, (whole.keys, day.keys))
        for day in days
        if day.keys >= KEYS_MIN
    ]
    return max(0.0, *moved) if moved else 0.0


def _cut_days(times_ms: npt.NDArray[np.int64]) -> list[slice]:
    """Return the rows of each 24 hours from the first row on; the last ones may be fewer hours."""
    starts = np.arange(int(times_ms[0]), int(times_ms[-1]) + 1, DAY_MS)
    places = [*np.searchsorted(times_ms, starts).tolist(), len(times_ms)]
    return [slice(begin, end) for begin, end in pairwise(places) if begin < end]
