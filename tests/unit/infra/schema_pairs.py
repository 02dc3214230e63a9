"""Seeded random record schemas that differ a little, so that two of them are often, and not always, compatible."""

from __future__ import annotations

import json
import random
from typing import Any

_PRIMITIVES = ("int", "long", "float", "double", "string", "bytes", "boolean")


def draw_schema(rng: random.Random) -> str:
    """Return a record of a few fields out of a few names."""
    names = [name for name in "abc" if rng.random() < 0.8] or ["a"]
    return json.dumps({"type": "record", "name": "R", "fields": [_draw_field(rng, name) for name in names]})


def _draw_field(rng: random.Random, name: str) -> dict[str, Any]:
    kind = _draw_type(rng, name)
    if rng.random() < 0.4:
        return {"name": name, "type": ["null", kind], "default": None}
    if isinstance(kind, str) and rng.random() < 0.4:
        return {"name": name, "type": kind, "default": _default_of(kind)}
    return {"name": name, "type": kind}


def _draw_type(rng: random.Random, name: str) -> Any:
    if name == "a":  # mostly the same, so that the others decide
        return rng.choice(("int", "int", "long"))
    if name == "b":
        return rng.choice(_PRIMITIVES)
    return rng.choice(
        (
            {"type": "enum", "name": "E", "symbols": ["X", "Y"]},
            {"type": "enum", "name": "E", "symbols": ["X", "Y", "Z"], "default": "X"},
            {"type": "fixed", "name": "F", "size": rng.choice((4, 8))},
            {"type": "array", "items": rng.choice(("int", "long"))},
            {"type": "map", "values": rng.choice(("string", "bytes"))},
        )
    )


def _default_of(kind: str) -> Any:
    return {"string": "", "bytes": "", "boolean": False, "float": 0.5, "double": 0.5}.get(kind, 0)
