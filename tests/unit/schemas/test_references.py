"""Schemas that name each other's types are put together as Avro's own rules of names have it."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from weir.schemas.avro.compatibility import parse_inlined
from weir.schemas.avro.references import merge_references


def inlined(root: str, *referenced: str) -> object:
    return parse_inlined(merge_references(root, referenced))["fields"]


def record(name: str, *types: object, **more: object) -> str:
    fields = [{"name": f"f{number}", "type": kind} for number, kind in enumerate(types)]
    return json.dumps({"type": "record", "name": name, "fields": fields, **more})


FIXED = json.dumps({"type": "fixed", "name": "Money", "namespace": "a.b", "size": 4})
MONEY = {"type": "fixed", "name": "Money", "size": 4}


@pytest.mark.parametrize(
    ("root", "referenced", "types"),
    [
        (record("x.R", "a.b.Money"), [FIXED], [MONEY]),
        (record("R", "Money", namespace="a.b"), [FIXED], [MONEY]),
        (record("a.b.R", "Money"), [FIXED], [MONEY]),
        (record("R", "Money"), [FIXED.replace("a.b", "")], [MONEY]),
        (record("x.R", "Money"), [FIXED.replace(', "namespace": "a.b"', "")], [MONEY]),
        (record("x.R", "a.b.Money", ["null", "a.b.Money"]), [FIXED], [MONEY, ["null", MONEY]]),
        (record("x.R", {"type": "array", "items": "a.b.Money"}), [FIXED], [{"type": "array", "items": MONEY}]),
        (record("x.R", {"type": "map", "values": "a.b.Money"}), [FIXED], [{"type": "map", "values": MONEY}]),
        (record("x.R", {"type": "a.b.Money"}), [FIXED], [MONEY]),
        (
            record("x.R", "a.b.Fee", "a.b.Money"),
            [FIXED, record("a.b.Fee", "Money", "long")],
            [
                {
                    "type": "record",
                    "name": "Fee",
                    "fields": [{"name": "f0", "type": MONEY}, {"name": "f1", "type": "long"}],
                },
                MONEY,
            ],
        ),
        (record("x.R", "string", "long"), [FIXED], ["string", "long"]),
    ],
)
def test_a_type_is_put_where_it_is_first_used(root: str, referenced: list[str], types: list[object]) -> None:
    assert inlined(root, *referenced) == [{"name": f"f{number}", "type": kind} for number, kind in enumerate(types)]


def test_a_type_that_refers_to_itself_stays_recursive() -> None:
    node = record("a.Node", ["null", "Node"])
    (field,) = cast("list[Any]", inlined(record("x.R", "a.Node"), node))
    assert field["type"]["fields"] == [{"name": "f0", "type": ["null", "Node"]}]


def test_our_own_schema_with_a_referenced_field_keeps_its_fields_and_defaults() -> None:
    enum = {"type": "enum", "name": "E", "symbols": ["A"], "default": "A"}
    root = json.dumps(
        {"type": "record", "name": "R", "namespace": "weir", "fields": [
            {"name": "e", "type": enum, "default": "A"}, {"name": "m", "type": ["null", "a.b.Money"], "default": None},
        ]}
    )  # fmt: skip
    assert inlined(root, FIXED) == [
        {"name": "e", "type": {"type": "enum", "symbols": ["A"], "default": "A", "name": "E"}, "default": "A"},
        {"name": "m", "type": ["null", MONEY], "default": None},
    ]


@pytest.mark.parametrize(
    "text", ["", "[1]", "5", "null", "{}", '{"type": "record"}', '{"type": "record", "name": 5}', "[" * 9_000]
)
def test_what_is_no_schema_is_one_kind_of_error(text: str) -> None:
    for root, referenced in ((text, FIXED), (record("R", "long"), text)):
        try:
            merge_references(root, (referenced,))
        except ValueError as error:
            assert len(str(error)) < 300  # noqa: PT017 - either a text that does not parse later, or this error
