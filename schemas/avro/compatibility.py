"""Avro schema resolution rules: may a reader's schema read what a writer's schema wrote?

One comparison, two questions. ``find_incompatibility`` is the registry's: can *every* value be read?
``find_unreadable`` is the decoder's: can *any* value be read, so that each record is to be resolved by what it holds?
They differ where a writer's type is a union or an enum: a writer whose fields may all be null is read record by record.

A schema is first *inlined*: documentation, namespaces and logical types dropped, named types put where they are
used. Two inlined schemas can be compared as plain values. Our contracts have no logical types, so a writer's
``timestamp-millis`` is the ``long`` beneath it. A recursive reference stays a name and matches that name alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import fastavro

from weir.schemas.avro.extent import SCHEMA_DEPTH_MAX, TYPES_MAX, measure


@dataclass(frozen=True)
class Level:
    """What a registry asks of a new version: that it reads older ones, is read by them, and by how many."""

    reads_older: bool = False
    read_by_older: bool = False
    every_version: bool = False


LEVELS = {
    "NONE": Level(),
    "BACKWARD": Level(reads_older=True),
    "BACKWARD_TRANSITIVE": Level(reads_older=True, every_version=True),
    "FORWARD": Level(read_by_older=True),
    "FORWARD_TRANSITIVE": Level(read_by_older=True, every_version=True),
    "FULL": Level(reads_older=True, read_by_older=True),
    "FULL_TRANSITIVE": Level(reads_older=True, read_by_older=True, every_version=True),
}
"""A subject's compatibility levels, by the names that registries give them."""

_PROMOTIONS: dict[str, frozenset[str]] = {
    # reader's type -> writer's types that may be read as it, by the Avro specification
    "long": frozenset({"int"}),
    "float": frozenset({"int", "long"}),
    "double": frozenset({"int", "long", "float"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}
_QUOTED_MAX = 200
"""Characters of a parser's message: it may quote a schema of a megabyte."""
_KEPT = ("type", "items", "values", "symbols", "size", "default", "aliases")


def parse_inlined(schema_json: str) -> dict[str, Any]:
    """Parse and inline an Avro record schema.

    Raises:
        ValueError: not JSON, not Avro, or not a record.

    >>> parse_inlined('{"type": "record", "name": "a.R", "fields": [{"name": "n", "type": "int", "doc": "x"}]}')
    {'type': 'record', 'name': 'R', 'fields': [{'name': 'n', 'type': 'int'}]}
    """
    try:
        # a default is the reader's matter: one that does not fit says nothing of what was written
        plain = parse_plain(schema_json)
        parsed = fastavro.parse_schema(plain, named_schemas={}, _write_hint=False, _ignore_default_error=True)
        extent = measure(parsed)
    except Exception as error:  # noqa: BLE001 - whatever the parser raises on a foreign schema, it does not parse
        raise ValueError(f"expected an Avro schema, found one that does not parse: {_one_line(error)}") from None
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise ValueError("expected an Avro record schema, found another type")
    if extent.depth > SCHEMA_DEPTH_MAX or extent.types > TYPES_MAX:
        raise ValueError(f"expected at most {TYPES_MAX} types in {SCHEMA_DEPTH_MAX} levels, found more")
    inlined: dict[str, Any] = _inline(parsed, {}, ())
    return inlined


def parse_plain(schema_json: str) -> Any:
    """Parse a schema as JSON and drop its logical types: what lies beneath them is what is written.

    One that is invalid, such as a decimal of no precision, is to be ignored by the specification, and is so here.

    Raises:
        ValueError: it is not JSON.
    """
    return _without_logical_types(json.loads(schema_json))


def find_incompatibility(reader: Any, writer: Any, path: str = "$") -> str:
    """Return why ``reader`` cannot read all that ``writer`` may write, or ``""``; both are inlined schemas.

    >>> find_incompatibility("long", "int")
    ''
    >>> find_incompatibility("int", "long")
    'expected int, found long at $'
    """
    return _Comparison(every_value=True).find(reader, writer, path)


def find_unreadable(reader: dict[str, Any], writer: dict[str, Any]) -> str:
    """Return why ``reader`` can read nothing that ``writer`` may write, or ``""``; both are inlined record schemas.

    The two records may differ in name: it is the subject that says what they are.

    >>> find_unreadable({"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]},
    ...                 {"type": "record", "name": "S", "fields": [{"name": "n", "type": ["null", "int"]}]})
    ''
    """
    return _Comparison(every_value=False).find(reader, writer | {"name": reader["name"]}, "$")


def check_level(level: str, new_json: str, older: tuple[str, ...]) -> str:
    """Return why a registry refuses a new version under a compatibility level, or ``""``.

    Args:
        level: one of ``LEVELS``.
        new_json: the schema to register.
        older: the versions before it, oldest first.

    Raises:
        ValueError: one of them is not an Avro record schema.
    """
    new = parse_inlined(new_json)
    rule = LEVELS[level]
    for text in older if rule.every_version else older[-1:]:
        old = parse_inlined(text)
        reasons = [find_incompatibility(new, old) if rule.reads_older else ""]
        reasons += [find_incompatibility(old, new) if rule.read_by_older else ""]
        if any(reasons):
            return next(reason for reason in reasons if reason)
    return ""


def check_backward(new_json: str, old_json: str) -> str:
    """Return why the new version cannot read what the old one wrote, or ``""`` (the registry's BACKWARD rule).

    Raises:
        ValueError: one of the two is not an Avro record schema.
    """
    return find_incompatibility(parse_inlined(new_json), parse_inlined(old_json))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(value) for value in node]
    return node


def _inline(node: Any, named: dict[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, str):
        recursive = node in inside or node not in named
        return _short(node) if recursive else _inline(named[node], named, inside)
    if isinstance(node, list):
        return [_inline(branch, named, inside) for branch in node]
    if "name" in node:
        named[node["name"]] = node
        inside = (*inside, node["name"])
    if node["type"] in {"record", "error"}:
        fields = [_inline_field(field, named, inside) for field in node["fields"]]
        if len({field["name"] for field in fields}) < len(fields):
            raise ValueError(f"expected distinct field names, found one twice in {node['name']}")
        return {"type": "record", "name": _short(node["name"]), "fields": fields} | _aliases(node)
    return _inline_plain(node, named, inside)


def _inline_plain(node: dict[str, Any], named: dict[str, Any], inside: tuple[str, ...]) -> Any:
    """Inline an enum, fixed, array, map or a primitive written as an object."""
    kept = {key: node[key] for key in _KEPT if key in node}
    for key in ("items", "values"):
        if key in kept:
            kept[key] = _inline(kept[key], named, inside)
    if "name" in node:
        return kept | {"name": _short(node["name"])} | _aliases(node)
    return kept["type"] if not kept.keys() & {"items", "values"} else kept


def _inline_field(field: dict[str, Any], named: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
    inlined = {"name": field["name"], "type": _inline(field["type"], named, inside)}
    return inlined | {key: field[key] for key in ("default", "aliases") if key in field}


def _aliases(node: dict[str, Any]) -> dict[str, Any]:
    return {"aliases": [_short(alias) for alias in node["aliases"]]} if node.get("aliases") else {}


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _name(schema: Any) -> str:
    if isinstance(schema, list):
        return _names(schema)
    if isinstance(schema, dict):
        return f"{schema['type']} {schema['name']}" if "name" in schema else str(schema["type"])
    return str(schema)


def _names(union: list[Any]) -> str:
    return "[" + ", ".join(_name(branch) for branch in union) + "]"


class _Comparison:
    """Compares two inlined schemas.

    Args:
        every_value: whether each branch and symbol of the writer's must be readable, or one of them is enough.
    """

    def __init__(self, *, every_value: bool) -> None:
        self._every_value = every_value

    def find(self, reader: Any, writer: Any, path: str) -> str:
        """Return why the reader cannot read the writer's, or ``""``."""
        if isinstance(writer, list):
            return self._find_in_branches(reader, writer, path)
        if isinstance(reader, list):
            if any(not self.find(branch, writer, path) for branch in reader):
                return ""
            return f"expected one of {_names(reader)}, found {_name(writer)} at {path}"
        return self._compare(reader, writer, path)

    def _find_in_branches(self, reader: Any, branches: list[Any], path: str) -> str:
        reasons = [self.find(reader, branch, path) for branch in branches]
        if not self._every_value and not all(reasons):
            return ""
        return next((reason for reason in reasons if reason), "")

    def _compare(self, reader: Any, writer: Any, path: str) -> str:
        wanted, given = _kind(reader), _kind(writer)
        if wanted != given and given not in _PROMOTIONS.get(wanted, ()):
            return f"expected {_name(reader)}, found {_name(writer)} at {path}"
        if wanted != given or not isinstance(reader, dict) or not isinstance(writer, dict):
            return ""
        if wanted in {"record", "enum", "fixed"} and not _same_name(reader, writer):
            return f"expected {_name(reader)}, found {_name(writer)} at {path}"
        return self._compare_inside(reader, writer, path)

    def _compare_inside(self, reader: dict[str, Any], writer: dict[str, Any], path: str) -> str:
        match reader["type"]:
            case "record":
                return self._compare_records(reader, writer, path)
            case "enum":
                return self._compare_symbols(reader, writer, path)
            case "fixed":
                same = reader["size"] == writer["size"]
                return "" if same else f"expected {reader['size']} bytes, found {writer['size']} at {path}"
            case "array":
                return self.find(reader["items"], writer["items"], f"{path}[]")
            case _:
                return self.find(reader["values"], writer["values"], f"{path}{{}}")

    def _compare_symbols(self, reader: dict[str, Any], writer: dict[str, Any], path: str) -> str:
        unknown = sorted(set(writer["symbols"]) - set(reader["symbols"]))
        some_are_known = len(unknown) < len(writer["symbols"])
        if not unknown or "default" in reader or (some_are_known and not self._every_value):
            return ""
        return f"expected symbols {reader['symbols']} or a default, found {unknown} at {path}"

    def _compare_records(self, reader: dict[str, Any], writer: dict[str, Any], path: str) -> str:
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            where = f"{path}.{field['name']}"
            names = (field["name"], *field.get("aliases", ()))
            source = next((written[name] for name in names if name in written), None)
            if source is None:
                reason = (
                    "" if "default" in field else f"expected a default for the field that was not written at {where}"
                )
            else:
                reason = self.find(field["type"], source["type"], where)
            if reason:
                return reason
        return ""


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__} {' '.join(str(error).split())[:_QUOTED_MAX]}".rstrip()


def _same_name(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    return writer["name"] == reader["name"] or writer["name"] in reader.get("aliases", ())
