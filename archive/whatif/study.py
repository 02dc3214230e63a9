"""Holds a change against the past: every decision is made again as it was, then by the change.

1. Decisions of a day are read, a part at a time, with the feature rows that they were made of.
2. By the versions that they carry it is found what was in force.
3. They are made again by that, from the logged scores. What differs from what was recorded is noted: then neither the
   archive nor what is computed here can be believed.
4. They are made by the change, and what differs is added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.whatif.again import (
    Deciding,
    Outcomes,
    decide_again,
    find_differences,
    match_alone,
    read_outcomes,
)
from weir.archive.whatif.figures import Tally, name_flip
from weir.archive.whatif.in_force import Change, Finder, Found, Versions
from weir.archive.whatif.labels import YOUNG, LabelIndex, Verdicts, find_append_ms, hash_events, hash_keys
from weir.archive.whatif.overlap import Overlap
from weir.archive.whatif.past import Joined, Part, Past
from weir.inference.core.decisions import Judgement
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
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
    ) -> None:
        """Bind.

        Args:
            past: whose decisions are made again.
            in_force: finds what decided them.
            labels: what became known; None for a stream without labels.
            change: what is tried.
            where: one rule; only rows that fulfil it are in the figures.
        """
        self._past, self._in_force, self._labels = past, in_force, labels
        self._change, self._where = change, where
        stake = find_stake(past.stream)
        self._stake = None if stake is None else past.stream.feature_names[stake]
        rules = change.rules.rules if change.rules else ()
        self.found = Findings(Tally(), Overlap(rules, past.stream))

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
        for part in self._past.parts(since_ms, until_ms):
            groups = list(_group(part.decisions))
            features, fields = self._list_columns(self._in_force.find(versions) for versions, _ in groups)
            joined = self._past.join(part, features, fields)
            self.found.lost += joined.lost
            for versions, rows in _group(joined.decisions):
                self._take(part, versions, _pick(joined, rows))
            yield part.decisions.num_rows

    def _list_columns(self, found: Iterable[Found]) -> tuple[list[str], list[str]]:
        """Return the features and the fields that anything which decides may read."""
        stream, named = self._past.stream, {self._stake} if self._stake else set[str]()
        change = self._change
        in_force = list(found)
        for rules in (change.rules, self._where, *(each.rules for each in in_force)):
            named |= rules.columns if rules else frozenset()
        for lists in (change.lists, *(each.lists for each in in_force)):
            named |= {stream.id_field_of[kind] for kind in lists.kinds} if lists else set()
        for thresholds in (change.thresholds, *(each.thresholds for each in in_force)):
            named |= {thresholds.by} if thresholds and thresholds.by else set()
        fields = {*stream.kept_in_rows, stream.time}
        return [name for name in stream.feature_names if name in named], sorted(named & fields)

    def _take(self, part: Part, versions: Versions, rows: Joined) -> None:
        """Make the decisions of one model and one ``rules_version`` again, and by the change."""
        found = self._in_force.find(versions)
        of = self.found.versions.setdefault(versions.rules_version, OfVersion())
        of.rows += rows.decisions.num_rows
        of.missing |= set(found.missing)
        best = self._check(rows, found.complete(Change()), of)
        changed = found.complete(self._change)
        if not changed:
            return
        deciding = changed[best] if best < len(changed) else changed[0]
        rows = self._filter(rows, deciding.lists)
        if rows.decisions.num_rows:
            self._try(part, rows, deciding, found, of)

    def _check(self, rows: Joined, known: list[Deciding], of: OfVersion) -> int:
        """Note what comes out otherwise by what was in force; return which of several bundles comes nearest."""
        if not known:
            return 0
        tries = [list(find_differences(rows.decisions, decide_again(rows, each, self._past.stream))) for each in known]
        best = min(range(len(tries)), key=lambda place: len(tries[place]))
        of.checked += rows.decisions.num_rows
        of.differing += len({row for row, *_ in tries[best]})
        for row, name, was, now in tries[best][: DIFFERENCES_SHOWN - len(self.found.differences)]:
            self.found.differences.append(Difference(*_place(rows.decisions, row), name, was, now))
        return best

    def _filter(self, rows: Joined, lists: Lists) -> Joined:
        if self._where is None:
            return rows
        kept = match_alone(rows, self._where, lists)
        self.found.left_out += int((~kept).sum())
        return rows if kept.all() else _pick(rows, np.flatnonzero(kept))

    def _try(self, part: Part, rows: Joined, deciding: Deciding, found: Found, of: OfVersion) -> None:
        made = decide_again(rows, deciding, self._past.stream)
        recorded = read_outcomes(rows.decisions)
        keys = hash_keys(rows.decisions[self._past.stream.key.field])
        verdicts = self._find_verdicts(rows.decisions)
        self.found.tally.add(part.day.isoformat(), recorded, made.outcomes, verdicts, keys, self._read_stakes(rows))
        self.found.overlap.add(rows, recorded, made.decided_by, verdicts, deciding.lists, found.rules)
        of.judged += len(recorded)
        of.changed += int((recorded != made.outcomes).sum())
        self._show(rows.decisions, recorded, made)

    def _find_verdicts(self, decisions: pa.Table) -> Verdicts:
        if self._labels is None:
            return np.full(decisions.num_rows, YOUNG, np.int8)
        hashes = hash_events(decisions[self._past.stream.key.field], decisions["id_hash"])
        return self._labels.find(hashes, find_append_ms(decisions))

    def _read_stakes(self, rows: Joined) -> npt.NDArray[np.float64] | None:
        if self._stake is None:
            return None
        found: npt.NDArray[np.float64] = np.abs(rows.features[:, rows.names.index(self._stake)].astype(np.float64))
        return found

    def _show(self, decisions: pa.Table, recorded: Outcomes, made: Judgement) -> None:
        codes = recorded.astype(np.int64) * 3 + made.outcomes
        for code in np.unique(codes[recorded != made.outcomes]).tolist():
            for row in np.flatnonzero(codes == code)[: EXAMPLES_OF_EACH - self.found.shown[code]].tolist():
                was = decisions["decided_by"][row].as_py()
                place = _place(decisions, row)
                self.found.examples.append(Example(*place, name_flip(code), was, made.decided_by[row]))
                self.found.shown[code] += 1


def _group(decisions: pa.Table) -> Iterator[tuple[Versions, npt.NDArray[np.int64]]]:
    """Yield what rows say of what decided them, and which rows say so."""
    codes = np.zeros(decisions.num_rows, np.int64)
    dictionaries: list[list[Any]] = []
    for name in Versions._fields:
        encoded = decisions[name].combine_chunks().dictionary_encode()
        dictionaries.append(encoded.dictionary.to_pylist())
        codes = codes * len(dictionaries[-1]) + encoded.indices.to_numpy()
    for code in np.unique(codes).tolist():
        named, left = [], code
        for dictionary in reversed(dictionaries):
            left, place = divmod(left, len(dictionary))
            named.append(dictionary[place])
        yield Versions(*reversed(named)), np.flatnonzero(codes == code)


def _pick(rows: Joined, places: npt.NDArray[np.int64]) -> Joined:
    if len(places) == rows.decisions.num_rows:
        return rows
    taken = pa.array(places)
    return replace(
        rows,
        decisions=rows.decisions.take(taken).combine_chunks(),
        features=rows.features[places],
        fields=rows.fields.take(taken),
    )


def _place(decisions: pa.Table, row: int) -> tuple[int, int]:
    return decisions["partition"][row].as_py(), decisions["offset"][row].as_py()
