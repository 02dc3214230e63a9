from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.payments import FEATURE_NAMES
from weir.schemas.avro.compatibility import check_backward, find_incompatibility, parse_inlined
from weir.schemas.contracts import TOPIC_KINDS, schema_json, subject, versions


def record(*fields: dict[str, Any], **changed: Any) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": list(fields)} | changed)


def enum(*symbols: str, **changed: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols)} | changed


NUMBER = {"name": "n", "type": "int"}


@pytest.mark.parametrize("kind", TOPIC_KINDS)
def test_every_version_reads_every_one_before_it(kind: str) -> None:
    for old, new in itertools.combinations_with_replacement(versions(kind), 2):
        assert check_backward(schema_json(kind, new), schema_json(kind, old)) == ""


@pytest.mark.parametrize(
    ("reader", "writer", "reason"),
    [
        ("double", "int", ""),
        ("string", "bytes", ""),
        ("int", "double", "expected int, found double at $"),
        (["null", "string"], "string", ""),
        ("string", ["null", "string"], "expected string, found null at $"),
        (["null", "int"], "string", "expected one of [null, int], found string at $"),
        (["null", "long"], ["int", "null"], ""),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "string"}, "expected int, found string at $[]"),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}, "expected int, found long at ${}"),
        (enum("A", "B"), enum("B"), ""),
        (enum("A", default="A"), enum("B"), ""),
        (enum("A"), enum("B"), "expected symbols ['A'] or a default, found ['B'] at $"),
        (enum("A"), enum("A", name="F"), "expected enum E, found enum F at $"),
        (enum("A", aliases=["F"]), enum("A", name="F"), ""),
        (
            {"type": "fixed", "name": "F", "size": 4},
            {"type": "fixed", "name": "F", "size": 8},
            "expected 4 bytes, found 8 at $",
        ),
    ],
)
def test_resolution_follows_the_specification(reader: Any, writer: Any, reason: str) -> None:
    assert find_incompatibility(reader, writer) == reason


@pytest.mark.parametrize(
    ("new", "old", "compatible"),
    [
        (record(NUMBER, {"name": "m", "type": "int", "default": 0}), record(NUMBER), True),
        (record(NUMBER, {"name": "m", "type": "int"}), record(NUMBER), False),
        (record(NUMBER), record(NUMBER, {"name": "m", "type": "int"}), True),
        (record({"name": "m", "type": "int", "aliases": ["n"]}), record(NUMBER), True),
        (record({"name": "n", "type": "long"}), record(NUMBER), True),
        (record(NUMBER), record({"name": "n", "type": "long"}), False),
        (record(NUMBER, name="other.R"), record(NUMBER), True),
        (record(NUMBER, name="Q"), record(NUMBER), False),
    ],
)
def test_backward_means_that_the_new_reads_the_old(new: str, old: str, compatible: bool) -> None:
    assert (check_backward(new, old) == "") == compatible


def test_logical_types_namespaces_and_documentation_do_not_count() -> None:
    plain = record(NUMBER)
    dressed = record(
        {"name": "n", "type": {"type": "int", "logicalType": "date"}, "doc": "x"}, namespace="a.b", doc="y"
    )
    assert parse_inlined(dressed) == parse_inlined(plain)


def test_a_recursive_schema_is_parsed_and_reads_itself() -> None:
    tree = record({"name": "next", "type": ["null", "R"]})
    assert check_backward(tree, tree) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "3",
        '"int"',
        "[]",
        "{}",
        '{"type": "record"}',
        record(NUMBER, NUMBER),
        record({"name": "a", "type": "Z"}),
    ],
)
def test_what_is_no_record_schema_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_inlined(text)


def test_the_feature_row_has_one_nullable_float_per_declared_feature_in_order() -> None:
    fields = json.loads(schema_json("features"))["fields"]
    assert [field["name"] for field in fields[19:]] == list(FEATURE_NAMES)
    assert all(field["type"] == ["null", "float"] and field["default"] is None for field in fields[19:])


def test_a_version_that_does_not_exist_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="transactions version"):
        schema_json("transactions", 3)


def test_the_subject_is_the_topics() -> None:
    assert subject("team.transactions") == "team.transactions-value"
