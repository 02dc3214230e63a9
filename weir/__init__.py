"""Weir: streaming fraud and risk scoring on Kafka and Redis, exactly once.

``from weir import Stream, Entity, col`` is all that a stream's file needs; ``docs/streams.md`` begins there.
Nothing is loaded before its name is asked for, so that ``weir --help`` is there at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for mypy and editors, which do not run ``__getattr__``
    from weir.schemas.entity import Entity
    from weir.schemas.expression import col, money
    from weir.schemas.rules import Rule
    from weir.schemas.stream import Check, Flag, Labels, Measure, Position, Reversal, Stream, Value

__all__ = [
    "Check",
    "Entity",
    "Flag",
    "Labels",
    "Measure",
    "Position",
    "Reversal",
    "Rule",
    "Stream",
    "Value",
    "col",
    "money",
]

_ELSEWHERE = {"Entity": "entity", "Rule": "rules", "col": "expression", "money": "expression"}
"""Names of other modules of ``schemas`` than ``stream``."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415  (most commands ask for nothing here)

    value = getattr(importlib.import_module(f"{__name__}.schemas.{_ELSEWHERE.get(name, 'stream')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
