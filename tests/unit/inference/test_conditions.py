"""Conditions over a batch mean what their text means row by row, whatever is missing, infinite or barely different."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.inference.condition_oracle import is_fulfilled
from weir.inference.core.condition_steps import Rows
from weir.inference.core.conditions import Conditions
from weir.inference.core.lists import Lists
from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, TEXT, Column, type_of
from weir.schemas.expression import Expression
from weir.schemas.expression_parser import parse_expression

FEATURES = ("f0", "f1", "f2")
FIELDS = {
    "n": (INTEGER, pa.int64()), "m": (INTEGER, pa.int32()), "time": (INTEGER, pa.int64()), "x": (NUMBER, pa.float64()),
    "word": (TEXT, pa.string()), "flag": (BOOLEAN, pa.bool_()), "card_id": (TEXT, pa.string()),
}  # fmt: skip
COLUMNS = {
    **{name: Column(kind, True, avro="x", entity="card" * (name == "card_id")) for name, (kind, _) in FIELDS.items()},
    **dict.fromkeys((*FEATURES, "score"), Column(NUMBER, True)),
}
LISTS = Lists(watch={"card": frozenset({"c1", "c2"})}, block={"card": frozenset()})
LISTED = {"watch": {"c1", "c2"}, "block": set[str]()}
ODD = [math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0, 0.1, 0.3, 16_777_217.0, -1e-45, 3.4e38, 2.5, 1e-20]
WHOLE = [None, 0, 1, -1, 3, (1 << 53) + 1, 1 << 62, -(1 << 63), (1 << 63) - 1]
LITERALS = ["0", "1", "-1", "3", "0.1", "0.3", "0.30000001", "-0.0", "2.5", "16777217", "9007199254740993", "1e-46"]
SIGNS = ["<", "<=", ">", ">=", "==", "!="]


def _narrow(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _rows(chance: random.Random, count: int) -> list[dict[str, Any]]:
    return [
        {
            **{name: _narrow(chance.choice([*ODD, chance.uniform(-2, 4)])) for name in (*FEATURES, "score")},
            "n": chance.choice(WHOLE),
            "m": chance.choice([None, 0, 1, 2, -3]),
            "time": chance.choice([None, chance.randrange(-(10**12), 4 * 10**12)]),
            "x": chance.choice([None, *ODD]),
            "word": chance.choice([None, "", "a", "ab", "B"]),
            "flag": chance.choice([None, True, False]),
            "card_id": chance.choice([None, "c1", "c3"]),
        }
        for _ in range(count)
    ]


def _batch(rows: list[dict[str, Any]]) -> Rows:
    features = np.array([[row[name] for name in FEATURES] for row in rows], np.float32).reshape(len(rows), 3)
    fields = {name: pa.array([row[name] for row in rows], kind) for name, (_, kind) in FIELDS.items()}
    scores = np.array([row["score"] for row in rows], np.float32)
    return Rows(features, FEATURES, scores, pa.record_batch(fields), LISTS)


class _Writer:
    """Writes conditions of the right types."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def condition(self, depth: int) -> str:
        pick = self._chance.choice
        kinds = [self._comparison, self._comparison, self._member, self._missing, self._of_field]
        if depth > 0:
            kinds += [self._joined] * 3 + [self._negated] * 2 + [self._same]
        return pick(kinds)(depth)

    def _joined(self, depth: int) -> str:
        word = self._chance.choice([" and ", " or "])
        return word.join(f"({self.condition(depth - 1)})" for _ in range(self._chance.choice([2, 2, 3])))

    def _negated(self, depth: int) -> str:
        return f"not ({self.condition(depth - 1)})"

    def _same(self, depth: int) -> str:
        return f"({self.condition(depth - 1)}) {self._chance.choice(['==', '!='])} ({self.condition(depth - 1)})"

    def _comparison(self, depth: int) -> str:
        text = f"{self._number(depth)} {self._chance.choice(SIGNS)} {self._number(depth)}"
        return f"{text} {self._chance.choice(SIGNS)} {self._number(depth)}" if self._chance.random() < 0.2 else text

    def _member(self, depth: int) -> str:
        values = ", ".join(self._chance.choice(LITERALS) for _ in range(self._chance.choice([1, 2, 12])))
        return f"{self._number(depth)} {self._chance.choice(['in', 'not in'])} [{values}]"

    def _missing(self, depth: int) -> str:
        part = self._chance.choice(
            [self._number(depth), "word", f"({self.condition(depth - 1)})" if depth > 0 else "x"]
        )
        return f"{part} is {self._chance.choice(['', 'not '])}None"

    def _of_field(self, _: int) -> str:
        sign = self._chance.choice(SIGNS)
        return self._chance.choice([
            f"word {sign} 'a'", "word in ['a', 'B']", "word.matches('a.?')", "flag", "flag == True", "flag in [False]",
            "in_list('watch', card_id)", "in_list('block', card_id)", "time.is_weekend()", f"time.hour() {sign} 12",
            f"time.weekday() {sign} 3", f"(n + 1).weekday() {sign} 3", "True", f"word {sign} card_id",
        ])  # fmt: skip

    def _number(self, depth: int) -> str:
        leaves = [*FEATURES, *FEATURES, "score", "n", "m", "x", self._chance.choice(LITERALS)]
        if depth <= 0 or self._chance.random() < 0.6:
            return self._chance.choice(leaves)
        sign = self._chance.choice("+-*/")
        right = self._number(depth - 1)
        if sign == "/" and right in LITERALS:
            right = "x"
        return self._chance.choice([f"({self._number(depth - 1)} {sign} {right})", f"-({right})"])


def _read(text: str) -> Expression:
    parsed = parse_expression(text)
    assert parsed.expression is not None, (text, parsed.faults)
    assert type_of(parsed.expression, COLUMNS).faults == [], text
    return parsed.expression


@pytest.mark.parametrize("seed", range(60))
def test_a_condition_is_fulfilled_where_its_text_is_row_by_row(seed: int) -> None:
    chance = random.Random(seed)
    rows = _rows(chance, chance.choice([0, 1, 40, 60]))
    writer = _Writer(chance)
    texts = [writer.condition(chance.choice([0, 1, 2, 3])) for _ in range(60)]
    found = Conditions([_read(text) for text in texts], COLUMNS).evaluate(_batch(rows))
    for text, hits in zip(texts, found, strict=True):
        expected = [is_fulfilled(text, row, LISTED, {*FEATURES, "score"}) for row in rows]
        assert hits.dtype == np.bool_
        wrong = [row for row, one, other in zip(rows, hits.tolist(), expected, strict=True) if one is not other]
        assert wrong == [], text


def test_conditions_are_tried_where_they_are_true_false_and_unknown() -> None:
    chance = random.Random(1)
    rows, writer, seen = _rows(chance, 60), _Writer(chance), np.zeros(3)
    for _ in range(200):
        text = writer.condition(2)
        either = [_read(text), _read(f"not ({text})")]
        hits, misses = Conditions(either, COLUMNS).evaluate(_batch(rows))
        assert not (hits & misses).any()
        seen += hits.sum(), misses.sum(), (~hits & ~misses).sum()
    assert (seen > 1_500).all(), seen


@pytest.mark.parametrize(
    ("text", "missing", "present"),
    [
        ("f0 > 1", False, True),
        ("not f0 > 1", False, False),
        ("not f0 <= 1", False, True),
        ("f0 != 1", False, True),
        ("not f0 == 1", False, True),
        ("f0 is None", True, False),
        ("not f0 is None", False, True),
        ("f0 > 1 or f1 == 2", True, True),
        ("f0 > 1 and f1 == 2", False, True),
        ("not (f0 > 1 and f1 == 3)", True, True),
        ("not (f0 > 1 or f1 == 3)", False, False),
        ("f0 not in [1, 2]", False, True),
        ("(f0 > 1) is None", True, False),
        ("f0 - f0 == 0", False, True),
        ("1 / (f0 - 5) is None", True, True),
        ("word != 'a'", False, False),
        ("not in_list('watch', card_id)", False, False),
    ],
)
def test_what_is_missing_fulfils_no_condition_and_no_negation_of_one(text: str, missing: bool, present: bool) -> None:
    none = {**dict.fromkeys((*FIELDS, "score")), "f0": math.nan, "f1": 2.0, "f2": 0.0, "score": math.nan}
    some = none | {"f0": 5.0, "word": "a", "card_id": "c1"}
    assert Conditions([_read(text)], COLUMNS).evaluate(_batch([none, some]))[0].tolist() == [missing, present]


def test_a_literal_next_to_a_feature_is_what_the_feature_can_hold() -> None:
    row = {
        **dict.fromkeys((*FIELDS, "score")),
        "f0": _narrow(0.1),
        "f1": 16_777_216.0,
        "f2": 0.0,
        "score": _narrow(0.9),
    }
    texts = ["f0 == 0.1", "f0 >= 0.1", "f0 > 0.1", "f1 >= 16777217", "score >= 0.9", "f0 in [0.1]", "f0 * 1 == 0.1"]
    found = [hits.tolist() for hits in Conditions(list(map(_read, texts)), COLUMNS).evaluate(_batch([row]))]
    assert found == [[True], [True], [False], [True], [True], [True], [False]]


def test_columns_that_the_rows_do_not_have_are_missing() -> None:
    rows = Rows(np.ones((2, 1), np.float32), ("f0",), np.ones(2, np.float32), pa.record_batch({"": pa.nulls(2)}), LISTS)
    texts = ["f1 > 0", "f1 is None", "n is None", "n == 1", "word is None", "flag", "x is None", "time.hour() > 1",
             "in_list('watch', card_id)", "n + 1 is None", "time.is_weekend() is None"]  # fmt: skip
    found = Conditions(list(map(_read, texts)), COLUMNS).evaluate(rows)
    assert [text for text, hits in zip(texts, found, strict=True) if hits.all()] == [
        text for text in texts if "None" in text
    ]
    assert [text for text, hits in zip(texts, found, strict=True) if hits.any() != hits.all()] == []


def test_a_place_in_a_cycle_is_a_number_like_any_other() -> None:
    row = {**dict.fromkeys((*FIELDS, "score")), "f0": 6.0, "f1": math.inf, "f2": 0.0, "time": 6 * 3_600_000}
    texts = ["f0.sin_of(24) > 0.999", "time.hour().cos_of(24) < 0.001", "f1.sin_of(24) is None", "f0.cos_of(24) < -0.1"]
    found = [hits.tolist() for hits in Conditions(list(map(_read, texts)), COLUMNS).evaluate(_batch([row]))]
    assert found == [[True], [True], [True], [False]]


def test_what_conditions_have_in_common_is_computed_once() -> None:
    texts = [f"f0 > 1 and f1 < 2 and f2 == {n}" for n in range(20)]
    one, all_of_them = (Conditions(list(map(_read, texts[:count])), COLUMNS) for count in (1, 20))
    assert len(all_of_them._steps) == len(one._steps) + 19 * 2  # a comparison and the last `and`
