"""Holds a change against the past: every decision is made again as it was, then by the change.

1. Decisions of a day are read, a part at a time, with the feature rows that they were made of.
2. By the versions that they carry it is found what was in force.
3. They are made again by that, from the logged scores. What differs from what was recorded is noted: then neither the
   archive nor what is computed here can be believed.
4. They are made by the change, and what differs is added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.slices import to_array
from weir.archive.whatif.again import (
    NO_MODEL_NAME,
    Deciding,
    decide_again,
    find_differences,
    match_all,
    match_alone,
    read_codes,
    read_indices,
    read_outcomes,
    read_scores,
    replace_decisions,
)
from weir.archive.whatif.figures import Tally, name_flip
from weir.archive.whatif.in_force import Change, Finder, Found, Versions
from weir.archive.whatif.labels import YOUNG, Hashes, LabelIndex, Verdicts, find_append_ms, hash_events, hash_keys
from weir.archive.whatif.overlap import Overlap
from weir.archive.whatif.past import MODEL_CONFIDENCE, ROW, Joined, Part, Past
from weir.archive.whatif.read_ahead import read_ahead
from weir.archive.whatif.rescoring import ScoreCheck, score_rows
from weir.archive.whatif.segments import By, Segments
from weir.inference.core.deciding import APPROVE, DecidedRows, Outcomes, check_scores
from weir.inference.core.lists import APPEND_TIME, Lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import Scores
from weir.schemas.rules import OFF
from weir.schemas.stakes import find_stake

DIFFERENCES_SHOWN: Final = 10
EXAMPLES_OF_EACH: Final = 3


class Difference(NamedTuple):
    """A decision that is not what is computed now."""

    partition: int
    offset: int
    field: str
    recorded: str
    computed: str


class Example(NamedTuple):
    """A decision that would be another one."""

    partition: int
    offset: int
    flip: str
    decided_by: str
    would_decide: str


@dataclass
class OfVersion:
    """Decisions of one ``rules_version``.

    Attributes:
        checked: rows that were made again by what was in force.
        differing: of those, the ones that came out otherwise.
        judged: rows that the change decides.
        changed: of those, the ones that would be decided otherwise.
        missing: what of it is nowhere to be found.
    """

    rows: int = 0
    checked: int = 0
    differing: int = 0
    judged: int = 0
    changed: int = 0
    missing: set[str] = field(default_factory=set)


@dataclass
class Findings:
    """All that a study found.

    Attributes:
        lost: decisions whose feature row is not in the archive.
        left_out: rows that ``--where`` does not name.
    """

    tally: Tally
    overlap: Overlap
    segments: Segments | None = None
    versions: dict[str, OfVersion] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    lost: int = 0
    left_out: int = 0
    shown: Counter[int] = field(default_factory=Counter)


class Study:
    """One change, held against the past of one stream."""

    def __init__(
        self,
        past: Past,
        in_force: Finder,
        labels: LabelIndex | None,
        change: Change,
        where: RuleSet | None = None,
        scores: ScoreCheck | None = None,
        by: By | None = None,
        against: Change | None = None,
    ) -> None:
        """Bind.

        Args:
            past: whose decisions are made again.
            in_force: finds what decided them.
            labels: what became known; None for a stream without labels.
            change: what is tried.
            where: one rule; only rows that fulfil it are in the figures.
            scores: checks the logged ones; None trusts them.
            by: what tells segments; None for none.
            against: what the change is compared with; None is what was decided.
        """
        self._past, self._in_force, self._labels = past, in_force, labels
        self._change, self._where, self._against = change, where, against
        # of each row as it is tried, or of some rows of each part after that
        self._scores = scores if scores is not None and scores.takes_all else None
        self._sampled = None if self._scores else scores
        stake = find_stake(past.stream)
        self._stake = None if stake is None else past.stream.feature_names[stake]
        self.found = Findings(Tally(), Overlap(change.rules), Segments(by) if by else None)

    @property
    def has_money(self) -> bool:
        """True where the stream says what is at stake."""
        return self._stake is not None

    def run(self, since_ms: int, until_ms: int) -> Iterator[int]:
        """Study the decisions of a time; yields how many rows each part had.

        Raises:
            Transient: the store cannot be read.
            Damaged: a manifest in the archive is not what was kept.
        """
        drawn: list[Part] = []
        for part, joined in read_ahead(self._read(since_ms, until_ms)):
            self.found.lost += joined.lost
            for versions, rows in _group(joined.decisions):
                self._take(part, versions, joined if rows is None else joined.pick(rows))
            if self._sampled is not None:
                drawn.append(self._past.choose(part, self._sampled.draw(part)))
            yield part.decisions.num_rows
        if self._sampled is not None:
            self._check_drawn(self._sampled, drawn)

    def _check_drawn(self, scores: ScoreCheck, drawn: Iterable[Part]) -> None:
        """Check the scores of some decisions of each part, which are read with what their models take."""
        for part in drawn:
            few = self._past.read_again(part, MODEL_CONFIDENCE)
            taken = set[str]().union(*(scores.list_features(versions) for versions, _ in _group(few.decisions)))
            if taken:
                joined = self._past.join(few, [n for n in self._past.stream.feature_names if n in taken], ())
                for versions, rows in _group(joined.decisions):
                    own = joined if rows is None else joined.pick(rows)
                    self._note(few, own, scores.check(versions, own))

    def _read(self, since_ms: int, until_ms: int) -> Iterator[tuple[Part, Joined]]:
        labelled = self._labels is not None and not self._labels.is_empty
        more = () if self._scores is None else MODEL_CONFIDENCE
        for part in read_ahead(self._past.parts(since_ms, until_ms, labelled=labelled, more=more)):
            groups = _group(part.decisions)
            features, fields = self._list_columns([versions for versions, _ in groups])
            yield part, self._past.join(part, features, fields)

    def _list_columns(self, decided_by: Iterable[Versions]) -> tuple[list[str], list[str]]:
        """Return the features and the fields that anything which decides may read."""
        stream, named = self._past.stream, {self._stake} if self._stake else set[str]()
        named |= set(self._change.model.names) if self._change.model else set()
        deciding: list[Change | Found] = [self._change, self._against or Change()]
        for versions in decided_by:
            deciding.append(self._in_force.find(versions))
            named |= self._scores.list_features(versions) if self._scores else set()
        segments = self.found.segments
        named |= segments.by.columns if segments else frozenset()
        named |= self._where.columns if self._where else frozenset()
        for rules, lists, thresholds in ((each.rules, each.lists, each.thresholds) for each in deciding):
            named |= rules.columns if rules else frozenset()
            named |= {stream.id_field_of[kind] for kind in lists.kinds} if lists else set()
            named |= {APPEND_TIME} if lists and lists.has_ends else set()
            named |= thresholds.columns if thresholds else frozenset()
            named |= {APPEND_TIME} if thresholds and thresholds.let_through else set()
        fields = {*stream.kept_in_rows, stream.time, APPEND_TIME}
        return [name for name in stream.feature_names if name in named], sorted(named & fields)

    def _take(self, part: Part, versions: Versions, rows: Joined) -> None:
        """Make the decisions of one model and one ``rules_version`` again, and by the change."""
        found = self._in_force.find(versions)
        of = self.found.versions.setdefault(versions.rules_version, OfVersion())
        of.rows += rows.decisions.num_rows
        of.missing |= set(found.missing)
        has_model = versions.model_name != NO_MODEL_NAME
        scores = check_scores(read_scores(rows.decisions))
        best = self._check(part, rows, scores, found.complete(Change()), of, has_model=has_model)
        if self._scores is not None:
            self._note(part, rows, self._scores.check(versions, rows))
        deciding = _choose(found.complete(self._change), best)
        if deciding is None:
            return
        rows, scores = self._filter(rows, scores, deciding.lists)
        if rows.decisions.num_rows:
            model = self._change.model
            against = _choose(found.complete(self._against), best) if self._against else None
            if against is not None:
                before = decide_again(rows, scores, against, self._past.stream, has_model=has_model)
                rows = replace(rows, decisions=replace_decisions(rows.decisions, before))
            if model is not None:
                scores, has_model = score_rows(model, rows), True
            made = decide_again(rows, scores, deciding, self._past.stream, has_model=has_model)
            self._add(part, rows, made, against.rules if against else found.rules, of)

    def _check(
        self, part: Part, rows: Joined, scores: Scores, known: list[Deciding], of: OfVersion, *, has_model: bool
    ) -> int:
        """Note what comes out otherwise by what was in force; return which of several bundles comes nearest."""
        if not known:
            return 0
        stream = self._past.stream
        tries = [
            find_differences(rows.decisions, decide_again(rows, scores, each, stream, has_model=has_model))
            for each in known
        ]
        best = min(range(len(tries)), key=lambda place: len(tries[place][0]))
        differing, described = tries[best]
        of.checked += rows.decisions.num_rows
        of.differing += len(differing)
        self._note(part, rows, described)
        return best

    def _note(self, part: Part, rows: Joined, differences: Iterable[tuple[int, str, str, str]]) -> None:
        named = list(islice(differences, DIFFERENCES_SHOWN - len(self.found.differences)))
        places = self._find_places(part, rows, [row for row, *_ in named])
        said = zip(places, named, strict=True)
        self.found.differences += [Difference(*place, name, was, now) for place, (_, name, was, now) in said]

    def _find_places(self, part: Part, rows: Joined, named: Sequence[int]) -> list[tuple[int, int]]:
        """Return the partition and offset of some rows."""
        if not named:
            return []
        return self._past.find_places(part, rows.decisions[ROW].take(pa.array(named)).to_pylist())

    def _filter(self, rows: Joined, scores: Scores, lists: Lists) -> tuple[Joined, Scores]:
        if self._where is None:
            return rows, scores
        kept = match_alone(rows, self._where, lists)
        self.found.left_out += int((~kept).sum())
        places = np.flatnonzero(kept)
        return rows.pick(places), scores[places]

    def _add(self, part: Part, rows: Joined, made: DecidedRows, in_force: RuleSet | None, of: OfVersion) -> None:
        recorded, verdicts, keys = read_outcomes(rows.decisions), *self._find_verdicts(rows.decisions)
        stakes = None if keys is None else self._read_stakes(rows)
        self.found.tally.add(part.day.isoformat(), recorded, made.outcomes, verdicts, keys, stakes)
        if self.found.segments is not None:
            self.found.segments.add(rows, made.lists, recorded, made.outcomes, verdicts)
        if self.found.overlap.tallies:
            by_model = (read_codes(rows.decisions["decided_by"], ("model",)) == 0) & (recorded > APPROVE)
            held = self._match_in_force(rows, in_force, made.lists)
            self.found.overlap.add(made, recorded, by_model, verdicts, held)
        of.judged += len(recorded)
        of.changed += int(np.count_nonzero(recorded != made.outcomes))
        self._show(part, rows, recorded, made)

    def _match_in_force(self, rows: Joined, in_force: RuleSet | None, lists: Lists) -> dict[str, npt.NDArray[np.bool_]]:
        if in_force is None:
            return {}
        names = [rule.name for rule in in_force.rules if rule.mode != OFF]
        return dict(zip(names, match_all(rows, in_force, lists), strict=True))

    def _find_verdicts(self, decisions: pa.Table) -> tuple[Verdicts, Hashes | None]:
        """Return what is known of decisions and, where anything is, their keys."""
        if self._labels is None:
            return np.full(decisions.num_rows, YOUNG, np.int8), None
        keys, events = None, np.zeros(decisions.num_rows, np.uint64)
        if not self._labels.is_empty:
            keys = hash_keys(decisions[self._past.stream.key.field])
            events = hash_events(keys, decisions["id_hash"])
        return self._labels.find(events, find_append_ms(decisions)), keys

    def _read_stakes(self, rows: Joined) -> npt.NDArray[np.float64] | None:
        if self._stake is None:
            return None
        found: npt.NDArray[np.float64] = np.abs(rows.features[:, rows.names.index(self._stake)].astype(np.float64))
        return found

    def _show(self, part: Part, rows: Joined, recorded: Outcomes, made: DecidedRows) -> None:
        changed = np.flatnonzero(recorded != made.outcomes)
        codes = recorded[changed].astype(np.int64) * 3 + made.outcomes[changed]
        shown: list[tuple[int, int]] = []
        for code in np.flatnonzero(np.bincount(codes)).tolist():
            few = changed[codes == code][: EXAMPLES_OF_EACH - self.found.shown[code]].tolist()
            self.found.shown[code] += len(few)
            shown += [(row, code) for row in few]
        places = self._find_places(part, rows, [row for row, _ in shown])
        for place, (row, code) in zip(places, shown, strict=True):
            was, by = rows.decisions["decided_by"][row].as_py(), made.decider(int(made.by[row])).name
            self.found.examples.append(Example(*place, name_flip(code), was, by))


def _choose(known: list[Deciding], best: int) -> Deciding | None:
    """Return what decides by the bundle that comes nearest, where there are several."""
    return known[best] if best < len(known) else next(iter(known), None)


def _group(decisions: pa.Table) -> list[tuple[Versions, npt.NDArray[np.int64] | None]]:
    """Return what rows say of what decided them, and which rows say so; None for all."""
    columns = [to_array(decisions[name]) for name in Versions._fields]
    values = [[*column.dictionary.to_pylist(), None] for column in columns]
    if not decisions.num_rows:
        return []
    if all(len(column.dictionary) == 1 and not column.null_count for column in columns):
        return [(Versions(*(each[0] for each in values)), None)]
    codes = np.zeros(decisions.num_rows, np.int64)
    for column, each in zip(columns, values, strict=True):
        codes = codes * len(each) + read_indices(column)
    found: list[tuple[Versions, npt.NDArray[np.int64] | None]] = []
    for code in np.unique(codes).tolist():
        named, left = [], code
        for each in reversed(values):
            left, place = divmod(left, len(each))
            named.append(each[place])
        found.append((Versions(*reversed(named)), np.flatnonzero(codes == code)))
    return found
