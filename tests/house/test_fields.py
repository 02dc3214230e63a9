"""A payment's fields are named where payments are declared, made and tested: the rest takes a stream."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.house.source import find_all, name_of, product_files
from weir.schemas.contracts import schema_json

OWN = ("schemas/streams/", "generators/", "training/benchmarks/handbook/")
"""The last one declares and makes a stream of its own, some of whose fields have the same names."""
PLAIN = {"source", "outcome", "channel", "currency", "lat", "lon", "label_time_ms"}
"""Fields that are words of the product too, of money, of a position or of labels; a use of them says nothing."""
VARIABLES = {"event_time_ms", "amount_minor"}
"""Good names of variables anywhere; only as the text of a field's name they are a payment's."""


def _fields() -> set[str]:
    records = [json.loads(schema_json(kind)) for kind in ("transactions", "labels")]
    return {field["name"] for record in records for field in record["fields"]} - PLAIN


FIELDS = _fields()


def _find(source: str) -> set[str]:
    """Return the fields that a file names, as a text of their own or as a name in code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.Name | ast.Attribute | ast.arg | ast.keyword | ast.FunctionDef):
            found.add(_name(node))
    return found & FIELDS


def _name(node: ast.Name | ast.Attribute | ast.arg | ast.keyword | ast.FunctionDef) -> str:
    if isinstance(node, ast.Name):
        name = node.id
    elif isinstance(node, ast.Attribute):
        name = node.attr
    else:
        name = (node.name if isinstance(node, ast.FunctionDef) else node.arg) or ""
    return "" if name in VARIABLES else name


def _files() -> list[Path]:
    return [path for path in product_files() if not name_of(path).startswith(OWN)]


def test_a_file_that_takes_a_stream_names_no_field_of_a_payment() -> None:
    found = find_all(_files(), lambda path: _find(path.read_text()))
    assert found == {}, "expected fields of the stream that is given"


@pytest.mark.parametrize(
    "source",
    ["row['card_id']", "card_id = 1", "x.merchant_id", "f(mcc=1)", "lambda ip: 0", "def mcc(): ...", "'event_time_ms'"],
)
def test_a_field_is_found_however_it_is_named(source: str) -> None:
    assert len(_find(source)) == 1


@pytest.mark.parametrize("source", ["event_time_ms = 1", "'the card_id'", "outcome = 'source'", "'card'"])
def test_a_word_of_the_product_is_no_field(source: str) -> None:
    assert _find(source) == set()
