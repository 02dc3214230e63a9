"""Writers' schemas that name types of other schemas: put together as one that stands alone.

A registry keeps such a schema as it was written and says where the types are. Every name is made full first, since a
short one means something else inside another namespace; then each type is put where it is first used.
"""

from __future__ import annotations

import json
from typing import Any

_NAMED = frozenset({"record", "error", "enum", "fixed"})
_WITHOUT_NAMESPACE = "none"
"""The namespace given to types that have none: in another type's namespace, they could not be named at all."""


def merge_references(schema_json: str, referenced: tuple[str, ...]) -> str:
    """Return a schema as one text that needs no other.

    Args:
        schema_json: the schema that names others' types.
        referenced: the schemas that define them, those they need themselves before them.

    Raises:
        ValueError: one of them is not JSON, or nested too deeply.

    >>> merge_references('{"type": "array", "items": "x.F"}', ('{"type": "fixed", "name": "x.F", "size": 4}',))
    '{"type": "array", "items": {"type": "fixed", "name": "x.F", "size": 4}}'
    """
    try:
        known: dict[str, Any] = {}
        for text in referenced:
            _collect(_qualify(json.loads(text), "", known), known)
        return json.dumps(_place(_qualify(json.loads(schema_json), "", known), known, set()))
    except (RecursionError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"expected Avro schemas that name each other, found what is none: {type(error).__name__}"
        ) from None


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name else f"{namespace or _WITHOUT_NAMESPACE}.{name}"


def _qualify(node: Any, namespace: str, known: dict[str, Any]) -> Any:
    """Give every defined type its full name, and every use of one the name that it means."""
    if isinstance(node, str):
        names = (_full_name(node, namespace), _full_name(node, ""))
        return next((name for name in names if name in known), node)
    if isinstance(node, list):
        return [_qualify(branch, namespace, known) for branch in node]
    if node.get("type") not in _NAMED:
        return node | {key: _qualify(node[key], namespace, known) for key in ("type", "items", "values") if key in node}
    name = _full_name(node["name"], node.get("namespace", namespace))
    known.setdefault(name, None)
    renamed = {key: value for key, value in node.items() if key != "namespace"} | {"name": name}
    if "fields" not in node:
        return renamed
    inside = name.rpartition(".")[0]
    return renamed | {
        "fields": [field | {"type": _qualify(field["type"], inside, known)} for field in node["fields"]],
    }


def _collect(node: Any, known: dict[str, Any]) -> None:
    """Remember the definition of every type in a qualified schema."""
    if isinstance(node, list):
        for branch in node:
            _collect(branch, known)
    elif isinstance(node, dict):
        if node.get("type") in _NAMED:
            known[node["name"]] = node
        for key in ("type", "items", "values"):
            _collect(node.get(key), known)
        for field in node.get("fields", ()):
            _collect(field["type"], known)


def _place(node: Any, known: dict[str, Any], placed: set[str]) -> Any:
    """Put each known type where it is first used, and its name wherever it is used again."""
    if isinstance(node, str):
        definition = None if node in placed else known.get(node)
        return node if definition is None else _place(definition, known, placed)
    if isinstance(node, list):
        return [_place(branch, known, placed) for branch in node]
    if node.get("type") in _NAMED:
        if node["name"] in placed:
            return node["name"]
        placed.add(node["name"])
    if not isinstance(node.get("type"), str) or node["type"] in known:
        return _place(node.get("type"), known, placed)  # a type with nothing around it
    parts = {key: _place(node[key], known, placed) for key in ("items", "values") if key in node}
    if "fields" in node:
        parts["fields"] = [field | {"type": _place(field["type"], known, placed)} for field in node["fields"]]
    return node | parts
