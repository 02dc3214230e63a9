"""Avro schema resolution rules: may a reader's schema read what a writer's schema wrote?

One check serves two callers: the codec refuses a writer it cannot resolve, and ``weir schemas`` applies the
registry's BACKWARD rule (the new version reads what the one before it wrote) before anything is registered.

A schema is first *inlined*: documentation, namespaces and logical types dropped, named types put where they are
used. Two inlined schemas can be compared as plain values. Our contracts have no logical types, so a writer's
``timestamp-millis`` is the ``long`` beneath it. A recursive reference stays a name and matches that name alone.
"""

from __future__ import annotations

import json
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

_PROMOTIONS: dict[str, frozenset[str]] = {
    # reader's type -> writer's types that may be read as it, by the Avro specification
    "long": frozenset({"int"}),
    "float": frozenset({"int", "long"}),
    "double": frozenset({"int", "long", "float"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}
_UNPARSABLE = (SchemaParseException, UnknownType, ValueError, TypeError, KeyError, AttributeError, RecursionError)
_KEPT = ("type", "items", "values", "symbols", "size", "default", "aliases")


def parse_inlined(schema_json: str) -> dict[str, Any]:
    """Parse and inline an Avro record schema.

    Raises:
        ValueError: not JSON, not Avro, or not a record.

    >>> parse_inlined('{"type": "record", "name": "a.R", "fields": [{"name": "n", "type": "int", "doc": "x"}]}')
    {'type': 'record', 'name': 'R', 'fields': [{'name': 'n', 'type': 'int'}]}
    """
    try:
        parsed = fastavro.parse_schema(json.loads(schema_json), named_schemas={}, _write_hint=False)
    except _UNPARSABLE as error:
        raise ValueError(f"expected an Avro schema, found one that does not parse: {error}") from None
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise ValueError("expected an Avro record schema, found another type")
    inlined: dict[str, Any] = _inline(parsed, {}, ())
    return inlined


def find_incompatibility(reader: Any, writer: Any, path: str = "$") -> str:
    """Return why ``reader`` cannot read what ``writer`` wrote, or ``""``; both are inlined schemas.

    >>> find_incompatibility("long", "int")
    ''
    >>> find_incompatibility("int", "long")
    'expected int, found long at $'
    """
    if isinstance(writer, list):
        reasons = (find_incompatibility(reader, branch, path) for branch in writer)
        return next((reason for reason in reasons if reason), "")
    if isinstance(reader, list):
        if any(not find_incompatibility(branch, writer, path) for branch in reader):
            return ""
        return f"expected one of {_names(reader)}, found {_name(writer)} at {path}"
    return _compare(reader, writer, path)


def check_backward(new_json: str, old_json: str) -> str:
    """Return why the new version cannot read what the old one wrote, or ``""`` (the registry's BACKWARD rule).

    Raises:
        ValueError: one of the two is not an Avro record schema.
    """
    return find_incompatibility(parse_inlined(new_json), parse_inlined(old_json))


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


def _compare(reader: Any, writer: Any, path: str) -> str:
    wanted, given = _kind(reader), _kind(writer)
    if wanted != given and given not in _PROMOTIONS.get(wanted, ()):
        return f"expected {_name(reader)}, found {_name(writer)} at {path}"
    if wanted != given or not isinstance(reader, dict):
        return ""
    if wanted in {"record", "enum", "fixed"} and not _same_name(reader, writer):
        return f"expected {_name(reader)}, found {_name(writer)} at {path}"
    return _compare_inside(reader, writer, path)


def _compare_inside(reader: dict[str, Any], writer: dict[str, Any], path: str) -> str:
    match reader["type"]:
        case "record":
            return _compare_records(reader, writer, path)
        case "enum":
            unknown = sorted(set(writer["symbols"]) - set(reader["symbols"]))
            if unknown and "default" not in reader:
                return f"expected symbols {reader['symbols']} or a default, found {unknown} at {path}"
            return ""
        case "fixed":
            same = reader["size"] == writer["size"]
            return "" if same else f"expected {reader['size']} bytes, found {writer['size']} at {path}"
        case "array":
            return find_incompatibility(reader["items"], writer["items"], f"{path}[]")
        case _:
            return find_incompatibility(reader["values"], writer["values"], f"{path}{{}}")


def _compare_records(reader: dict[str, Any], writer: dict[str, Any], path: str) -> str:
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        where = f"{path}.{field['name']}"
        names = (field["name"], *field.get("aliases", ()))
        source = next((written[name] for name in names if name in written), None)
        if source is None:
            reason = "" if "default" in field else f"expected a default for the field that was not written at {where}"
        else:
            reason = find_incompatibility(field["type"], source["type"], where)
        if reason:
            return reason
    return ""


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _same_name(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    return writer["name"] == reader["name"] or writer["name"] in reader.get("aliases", ())
