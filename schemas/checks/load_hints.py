"""The nearest right name for what ends a stream's file: a misspelt argument, method or name.

Python says what it did not find, and only for a terminal what is like it; a finding says both.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from weir.schemas import expression, stream
from weir.schemas.checks.expression_types import nearest
from weir.schemas.entity import Entity, Subject
from weir.schemas.expression import Expression
from weir.schemas.rules import Rule

_PARTS: Final[Mapping[str, type]] = {
    part.__name__: part
    for part in (Entity, stream.Stream, stream.Measure, stream.Flag, stream.Value, stream.Check, stream.Reversal,
                 stream.Position, stream.Labels, Rule, Subject, Expression)
}  # fmt: skip
FACE: Final = frozenset({*_PARTS, expression.col.__name__, expression.money.__name__}) - {"Subject", "Expression"}
"""What a stream's file imports from ``weir``."""
_UNEXPECTED = re.compile(r"(\w+)\.(\w+)\(\) got an unexpected keyword argument '(\w+)'")
_NO_IMPORT = re.compile(r"cannot import name '(\w+)' from 'weir'")


def find_hint(error: BaseException, namespace: Mapping[str, Any]) -> str:
    """Return the end of a message that names the nearest right thing, or nothing.

    Args:
        error: what ended the file.
        namespace: the names of the file by then.
    """
    if isinstance(error, ModuleNotFoundError):
        return "; a stream file stands alone: no other file of the project can be imported"
    if isinstance(error, ImportError):
        found = _NO_IMPORT.match(str(error))
        return nearest(found[1], FACE) if found else ""
    if isinstance(error, NameError):
        return nearest(error.name, {*namespace, *FACE, *dir(builtins)})
    if isinstance(error, AttributeError) and isinstance(error.obj, Expression):
        return nearest(error.name, [name for name in dir(Expression) if not name.startswith("_")])
    found = _UNEXPECTED.match(str(error))
    return nearest(found[3], _arguments_of(found[1], found[2])) if found and found[1] in _PARTS else ""


def _arguments_of(part: str, method: str) -> list[str]:
    if method == "__init__":
        return [each.name for each in fields(_PARTS[part]) if each.name != "where"]
    return [name for name in inspect.signature(getattr(_PARTS[part], method)).parameters if name != "self"]
