"""An expression as text: what people write in a rules file, and what messages show.

The text is that of the tree: ``expression_parser.py`` reads it back to the same tree. Its signs are Python's own,
because everybody who declares a stream knows them.
"""

from __future__ import annotations

import keyword
from typing import Final

from weir.schemas.expression import Expression

_OR, _AND, _NOT, _COMPARE, _ADD, _MULTIPLY, _ATOM = range(7)
"""From what binds least to what binds most."""
_SIGNS: Final = {
    "or": ("or", _OR), "and": ("and", _AND), "eq": ("==", _COMPARE), "ne": ("!=", _COMPARE), "lt": ("<", _COMPARE),
    "le": ("<=", _COMPARE), "gt": (">", _COMPARE), "ge": (">=", _COMPARE), "add": ("+", _ADD), "sub": ("-", _ADD),
    "mul": ("*", _MULTIPLY), "div": ("/", _MULTIPLY),
}  # fmt: skip
_OTHERS: Final = {"not": _NOT, "is_null": _COMPARE, "is_in": _COMPARE}


def to_text(node: Expression) -> str:
    """Return an expression as people write it.

    >>> from weir.schemas.expression import col
    >>> to_text(col("dwell").between(0, 500) & ~col("page").is_in(["a", "b"]))
    "dwell >= 0 and dwell <= 500 and page not in ['a', 'b']"
    """
    if node.op in _SIGNS:
        sign, level = _SIGNS[node.op]
        # a comparison of a comparison would be a chain; any other sign is read from the left
        left, right = node.parts
        return f"{_within(left, level + (level == _COMPARE))} {sign} {_within(right, level + 1)}"
    if node.op == "not" and node.parts[0].op in {"is_null", "is_in"}:
        return _write_test(node.parts[0], "not ")
    if node.op == "not":
        return f"not {_within(node.parts[0], _NOT)}"
    if node.op in {"is_null", "is_in"}:
        return _write_test(node, "")
    return _write_atom(node)


def _write_test(node: Expression, negated: str) -> str:
    inner = _within(node.parts[0], _COMPARE + 1)
    return f"{inner} is {negated}None" if node.op == "is_null" else f"{inner} {negated}in {_write_list(node.value)}"


def _write_atom(node: Expression) -> str:
    if node.op == "col":  # a field may be called `from`, which Python takes for itself
        plain = str(node.value).isidentifier() and not keyword.iskeyword(node.value)
        return str(node.value) if plain else f"col({node.value!r})"
    if node.op == "lit":
        return repr(node.value)
    if node.op == "money":
        return f"money({', '.join(map(to_text, node.parts))})"
    if node.op == "in_list":
        return f"in_list({node.value!r}, {to_text(node.parts[0])})"
    value = _write_list(node.value) if isinstance(node.value, tuple) else "" if node.value is None else repr(node.value)
    inner = node.parts[0]
    subject = f"({to_text(inner)})" if inner.op == "lit" else _within(inner, _ATOM)  # 1.hour() is no Python
    return f"{subject}.{node.op}({value})"


def _write_list(values: tuple[object, ...]) -> str:
    return f"[{', '.join(map(repr, values))}]"


def _within(part: Expression, least: int) -> str:
    """Return a part's text, in brackets where it binds less than is needed."""
    level = _SIGNS[part.op][1] if part.op in _SIGNS else _OTHERS.get(part.op, _ATOM)
    if part.op == "not" and part.parts[0].op in {"is_null", "is_in"}:
        level = _COMPARE
    return to_text(part) if level >= least else f"({to_text(part)})"
