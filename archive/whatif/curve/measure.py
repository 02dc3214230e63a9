"""Reads what a model said of events, and what these turned out to be, newest day first and for a bounded time.

A score counts wherever it was logged: of events that the model decided, as champion or canary, and of those that it
scored as a shadow. Rules and lists are left out of it: what they decide, a threshold does not move.

**Cost:** three columns of each decision of the days, and the stakes of those whose outcome is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.whatif.again import read_codes
from weir.archive.whatif.curve.figures import GRID, CurveTally, Floats
from weir.archive.whatif.labels import GOOD, YOUNG, LabelIndex, find_append_ms, hash_events, hash_keys, read_labels
from weir.archive.whatif.past import ROW, SHADOW, SHADOW_SCORE, Part, Past
from weir.inference.core.deciding import check_scores
from weir.inference.core.thresholds import Scores
from weir.schemas.durations import DAY_MS
from weir.schemas.stakes import find_stake

SECONDS: Final = 5.0
"""Of reading: then the days that were read have to do. A request waits a little longer."""


@dataclass
class Curve:
    """What was found.

    Attributes:
        first_ms: append time from which on decisions were read.
        end_ms: the first append time of none.
        is_cut_short: whether time was up before all days were read; the oldest that was may be there for some keys.
        young: scores of events that are too young for their labels, which are left out.
        decided: scores of events that the model decided.
        shadow: scores of events that it only scored.
        unscored: events that it decided without a score.
    """

    tally: CurveTally
    first_ms: int
    end_ms: int
    is_cut_short: bool = False
    young: int = 0
    decided: int = 0
    shadow: int = 0
    unscored: int = 0


class CurveReader:
    """Measures the thresholds of models of one stream, which has labels."""

    def __init__(self, past: Past, monotonic: Callable[[], float]) -> None:
        """Bind to what was decided, and to seconds on a clock that only rises."""
        self._past = past
        self._monotonic = monotonic
        stake = find_stake(past.stream)
        self._stake = None if stake is None else past.stream.feature_names[stake]

    @property
    def has_money(self) -> bool:
        """True where the stream says what is at stake."""
        return self._stake is not None

    def measure(self, name: str, version: str, thresholds: tuple[float, ...], days: int) -> Curve:
        """Return what a model's thresholds do.

        Args:
            name: of the model.
            version: of it.
            thresholds: that are looked at next to those of the grid.
            days: how many, up to the newest that is archived.

        Raises:
            Transient: the store cannot be read.
        """
        until = self._monotonic() + SECONDS
        past = self._past
        labels = read_labels(past.labels, past.stream, now_ms=past.newest_ms)
        assert labels is not None, "a stream with labels has an index of them"
        end_ms = past.newest_decision_ms + 1
        oldest_ms = max(0, end_ms - days * DAY_MS, past.oldest_decision_ms)
        found = Curve(CurveTally({*GRID, *thresholds}), oldest_ms, end_ms)
        reached_ms = end_ms
        for first_ms, part in self._newest_first(oldest_ms, end_ms):
            if self._monotonic() > until:
                found.is_cut_short, found.first_ms = True, reached_ms
                break
            self._add(found, part, labels, (name, version))
            reached_ms = first_ms
        return found

    def _newest_first(self, oldest_ms: int, end_ms: int) -> Iterator[tuple[int, Part]]:
        """Yield decisions with the time from which on they are, by UTC days, so that no file is read twice."""
        while end_ms > oldest_ms:
            first_ms = max(oldest_ms, (end_ms - 1) // DAY_MS * DAY_MS)
            for part in self._past.parts(first_ms, end_ms, more=SHADOW):
                yield first_ms, part
            end_ms = first_ms

    def _add(self, found: Curve, part: Part, labels: LabelIndex, model: tuple[str, str]) -> None:
        rows = part.decisions
        own = _is_of(rows, ("model_name", "model_version"), model)
        scores = np.where(own, _read(rows, "score"), np.float32(np.nan))
        if SHADOW_SCORE in rows.column_names:
            scores = np.where(_is_of(rows, SHADOW[1:], model), _read(rows, SHADOW_SCORE), scores)
        keys = hash_keys(rows[self._past.stream.key.field])
        verdicts = labels.find(hash_events(keys, rows["id_hash"]), find_append_ms(rows))
        scored, old = ~np.isnan(scores), verdicts != YOUNG
        used = scored & old
        found.young += int((scored & ~old).sum())
        found.decided += int((own & used).sum())
        found.shadow += int((~own & used).sum())
        found.unscored += int((own & old & ~scored).sum())
        part = replace(part, decisions=rows.filter(pa.array(used)))
        found.tally.add(scores[used], verdicts[used], self._read_stakes(part, verdicts[used] >= GOOD))

    def _read_stakes(self, part: Part, known: npt.NDArray[np.bool_]) -> Floats:
        """Return what is at stake in the events that something is known of; not a number for all else."""
        found = np.full(len(known), np.nan)
        if self._stake is None or not known.any():
            return found
        wanted = replace(part, decisions=part.decisions.filter(pa.array(known)))
        joined = self._past.join(wanted, [self._stake], ())
        there = np.isin(part.decisions[ROW].to_numpy(), joined.decisions[ROW].to_numpy())
        found[there] = np.abs(joined.features[:, 0].astype(np.float64))
        return found


def _is_of(rows: pa.Table, columns: tuple[str, ...], model: tuple[str, str]) -> npt.NDArray[np.bool_]:
    name, version = (read_codes(rows[column], (wanted,)) == 0 for column, wanted in zip(columns, model, strict=True))
    both: npt.NDArray[np.bool_] = name & version
    return both


def _read(rows: pa.Table, column: str) -> Scores:
    """Return scores of 32 bits, as they are decided by; not a number where there is none."""
    return check_scores(np.asarray(rows[column].to_numpy(zero_copy_only=False), np.float64).astype(np.float32))


def describe_curve(found: Curve, *, has_money: bool) -> dict[str, Any]:
    """Return what was found, as JSON has it but for numbers that are none."""
    tally = found.tally
    return {
        "from_ms": found.first_ms,
        "to_ms": found.end_ms,
        "events": tally.events,
        "young": found.young,
        "decided": found.decided,
        "shadow": found.shadow,
        "unscored": found.unscored,
        "known": tally.known,
        "frauds": tally.frauds,
        "has_money": has_money,
        "is_cut_short": found.is_cut_short,
        "points": tally.points() if tally.known else [],
    }
