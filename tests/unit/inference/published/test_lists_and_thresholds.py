"""Lists with reasons and ends, watched entries, and thresholds by segment, as they decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.inference.core import lists as lists_module
from weir.inference.core.calibration import Calibration
from weir.inference.core.decisions import OUTCOMES, Judgement, judge
from weir.inference.core.lists import SIDES, Lists, ListsBuilder, parse_lists, split_lists
from weir.inference.core.reasons import Groups, build_groups
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import parse_thresholds
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments

ENTITIES = ("card", "merchant")
END = "2026-01-01T00:00:00Z"
END_MS = 1_767_225_600_000
IDS = st.sampled_from([f"id{n}" for n in range(6)])
ENTRIES = st.lists(
    st.one_of(IDS, st.fixed_dictionaries({"entry": IDS}, optional={"reason": st.just("seen"), "until": st.just(END)}))
)
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={side: st.fixed_dictionaries({}, optional=dict.fromkeys(ENTITIES, ENTRIES)) for side in SIDES}
)


@dataclass
class _Model:
    """Gives the feature itself as the score."""

    names: tuple[str, ...] = ("score",)
    review_threshold: float = 0.5
    decline_threshold: float = 0.9
    reference: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(1, np.float32))
    groups: Groups = field(default_factory=lambda: build_groups(("score",), payments))
    calibration: Calibration | None = None
    lacking: tuple[str, ...] = ()

    def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return features[:, 0]


def _judge(
    scores: Sequence[float],
    cards: Sequence[str | None],
    lists: Lists,
    *,
    append_ms: int = 0,
    thresholds: Any = None,
    **fields: list[Any],
) -> Judgement:
    features = np.array(scores, dtype=np.float32).reshape(-1, 1)
    batch = pa.record_batch({"ingest_time_ms": [append_ms] * len(scores)} | fields)
    return judge(features, ("score",), {"card": cards}, _Model(), lists, RuleSet(), batch, thresholds)


def _decide(judgement: Judgement) -> list[str]:
    return [OUTCOMES[outcome] for outcome in judgement.outcomes]


def test_an_entry_ends_by_the_append_time_of_the_record() -> None:
    lists = parse_lists({"block": {"card": [{"entry": "a", "until": END, "reason": "probes"}]}}, ENTITIES)
    before, after = (_judge([0.1], ["a"], lists, append_ms=at) for at in (END_MS - 1, END_MS))
    assert (_decide(before), before.decided_by) == (["DECLINE"], ["block_list_card"])
    assert [reason.detail for reason in before.reasons[0]] == ["card is on the block list: probes"]
    assert (_decide(after), after.decided_by, list(after.reasons[0])) == (["APPROVE"], ["model"], [])


def test_a_watched_id_is_tagged_and_decided_as_if_it_were_not() -> None:
    plain, watched = Lists(), parse_lists({"watch": {"card": ["a"]}}, ENTITIES)
    scores, cards = [0.1, 0.6, 0.95, 0.1], ["a", "a", "a", "b"]
    found, expected = _judge(scores, cards, watched), _judge(scores, cards, plain)
    assert _decide(found) == _decide(expected) == ["APPROVE", "REVIEW", "DECLINE", "APPROVE"]
    assert found.decided_by == expected.decided_by
    assert found.tags == [("WATCH_LIST",)] * 3 + [()]
    assert found.reasons == expected.reasons


def test_published_thresholds_stand_before_the_models_and_are_in_the_version() -> None:
    table = parse_thresholds({"review": 0.2, "decline": 0.6}, (), "abc")
    judgement = _judge([0.1, 0.2, 0.6], ["a"] * 3, Lists(), thresholds=table)
    assert _decide(judgement) == ["APPROVE", "REVIEW", "DECLINE"]
    assert judgement.rules_version == "none+thresholds-abc"


def test_a_segment_has_its_own_thresholds_and_a_row_of_none_those_of_all_others() -> None:
    document = {"review": 0.5, "decline": 0.9, "by": "moto", "segments": {"true": {"review": 0.2, "decline": 0.3}}}
    table = parse_thresholds(document, ("moto",))
    judgement = _judge([0.25] * 3, ["a"] * 3, Lists(), thresholds=table, moto=[True, False, None])
    assert _decide(judgement) == ["REVIEW", "APPROVE", "APPROVE"]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"review": 0.5},
        {"review": 0.9, "decline": 0.5},
        {"review": 0.5, "decline": 1.5},
        {"review": True, "decline": 1},
        {"review": "0.5", "decline": 0.9},
        {"review": float("nan"), "decline": 0.9},
        {"review": 0.5, "decline": 0.9, "by": "channel"},
        {"review": 0.5, "decline": 0.9, "segments": {"a": {"review": 0.1, "decline": 0.2}}},
        {"review": 0.5, "decline": 0.9, "by": "nobody", "segments": {"a": {"review": 0.1, "decline": 0.2}}},
        {"review": 0.5, "decline": 0.9, "by": "channel", "segments": {"a": {"review": 0.1}}},
        {"review": 0.5, "decline": 0.9, "by": ["channel"], "segments": {"a": {"review": 0.1, "decline": 0.2}}},
        {"review": 0.5, "decline": 0.9, "more": 1},
    ],
    ids=str,
)
def test_thresholds_of_another_shape_are_refused(document: Any) -> None:
    with pytest.raises(Refused, match="thresholds"):
        parse_thresholds(document, ("channel",))


@pytest.mark.parametrize(
    "entry",
    ["", 5, None, [], {}, {"entry": ""}, {"entry": "a", "more": "b"}, {"entry": 5}, {"entry": "a", "until": "soon"},
     {"entry": "a", "reason": "b" * 201}],
    ids=lambda entry: str(entry)[:30],
)  # fmt: skip
def test_an_entry_of_another_shape_is_refused_and_not_quoted(entry: Any) -> None:
    with pytest.raises(Refused, match=r"lists: expected .* in block\.card"):
        parse_lists({"block": {"card": ["good", entry]}}, ENTITIES)


def _as_pairs(document: dict[str, Any]) -> dict[tuple[str, str, str], tuple[str, bool]]:
    """Read a document the slow way: what each entry has, the last mention of it counts."""
    found = {}
    for side, kinds in document.items():
        for kind, entries in kinds.items():
            plain = [entry if isinstance(entry, dict) else {"entry": entry} for entry in entries]
            # ids alone are read before those that have more
            for each in sorted(plain, key=lambda e: len(e) > 1):
                found[side, kind, each["entry"]] = each.get("reason", ""), "until" in each
    return found


def _pairs_of(lists: Lists) -> dict[tuple[str, str, str], tuple[str, bool]]:
    return {
        (side, kind, entry): (lists.note(side, kind, entry).reason, lists.note(side, kind, entry).until_ms == END_MS)
        for side in SIDES
        for kind, listed in lists.of(side).items()
        for entry in listed
    }


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS, st.integers(1, 4))
def test_lists_hold_what_was_added_and_not_removed_and_are_the_same_in_parts(
    first: dict[str, Any], more: dict[str, Any], less: dict[str, Any], entries_max: int
) -> None:
    lists = ListsBuilder(ENTITIES).add(first).build("a")
    changed = ListsBuilder.from_lists(lists, ENTITIES).add(more).remove(less).build("b")
    expected = {where: what for where, what in (_as_pairs(first) | _as_pairs(more)).items()
                if where not in _as_pairs(less)}  # fmt: skip
    assert _pairs_of(changed) == expected
    assert _pairs_of(lists) == _as_pairs(first), "the lists in force changed with a copy of them"
    again = ListsBuilder(ENTITIES)
    for part in split_lists(changed, entries_max=entries_max):
        assert sum(len(entries) for kinds in part.values() for entries in kinds.values()) <= entries_max
        again.add(part)
    assert _pairs_of(again.build("b")) == expected


def _as_text(ids: list[str]) -> pa.Array:
    return pa.array([None, *ids], pa.string())[1:]  # a slice: its texts begin somewhere


@pytest.mark.parametrize("ids", [pa.nulls(3), pa.nulls(3, pa.string()), pa.array([1, 2, None])])
def test_a_column_that_has_no_texts_is_on_no_list_however_long_it_is(
    ids: pa.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "_FILTERED_MIN", 1)
    lists = ListsBuilder(ENTITIES).add({"block": {"card": ["1", "None"]}}).build("a")
    assert lists.find_kinds("block", {"card": ids}, 3).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    "as_column",
    [list, lambda ids: _as_text(ids).cast(pa.large_string()), _as_text, lambda ids: _as_text(ids).dictionary_encode()],
)
@pytest.mark.parametrize("is_long", [False, True])
@given(rows=st.lists(st.tuples(IDS, st.sampled_from([END_MS - 1, END_MS]))), document=DOCUMENTS)
def test_who_is_found_is_who_a_slow_look_finds(
    as_column: Callable[[list[str]], Any], is_long: bool, rows: list[tuple[str, int]], document: dict[str, Any]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists_module, "_FILTERED_MIN", 1 if is_long else 1_000)
        lists = ListsBuilder(ENTITIES).add(document).build("a")
    assert bool(lists.filters) == (is_long and bool(_pairs_of(lists)))
    ids = dict.fromkeys(("card", "merchant"), as_column([entry for entry, _ in rows]))
    append_ms = np.array([at for _, at in rows], dtype=np.int64)
    pairs = _pairs_of(lists)
    for side in SIDES:
        hits, kinds = lists.find(side, ids, len(rows), append_ms)
        for row, (entry, at) in enumerate(rows):
            live = {kind for kind in ENTITIES if (side, kind, entry) in pairs
                    and not (pairs[side, kind, entry][1] and at >= END_MS)}  # fmt: skip
            assert bool(hits[row]) == bool(live)
            assert kinds[row] in (live or {""})
