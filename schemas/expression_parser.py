"""Text to an expression: the same tree that ``col("outcome") == "DECLINED"`` builds, from what is written in a file.

Python's own parser reads the text and a list of what is allowed reads its tree. Nothing of the text is ever run: there
is no ``eval``, no call but those named here, no attribute but those of an expression. Three bounds keep any text cheap:
its length, how many parts it has, and how deep they are nested.

Every fault has a line and a column of the text, from 1 on. Names are not known here: whether there is such a column is
a question of types (``checks/expression_types.py``), whose faults find their place by ``Parsed.place_of``.
"""

from __future__ import annotations

import ast
import functools
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weir.schemas.checks.expression_types import nearest
from weir.schemas.expression import CALENDAR, Expression, money
from weir.schemas.expression_faults import START, Place, TextFault, explain

TEXT_MAX: Final = 4_000
"""Characters: forty lines; what is longer belongs into a list or several rules."""
PARTS_MAX: Final = 1_000
_LINE_ENDS: Final = re.compile("\r\n?")
"""Ends of lines to Python, wherever they stand; places are told in lines."""
DEPTH_MAX: Final = 100
"""Also how many conditions one ``and`` or ``or`` joins: the tree has two sides at each."""

_SIGNS: Final[Mapping[type[ast.AST], str]] = {
    ast.And: "and", ast.Or: "or", ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt",
    ast.GtE: "ge", ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div",
}  # fmt: skip
_FOUND: Final[Mapping[type[ast.AST], str]] = {
    ast.BitAnd: "&; write `and`", ast.BitOr: "|; write `or`", ast.Invert: "~; write `not`", ast.Pow: "**",
    ast.Mod: "%", ast.FloorDiv: "//", ast.UAdd: "a plus sign", ast.Lambda: "a lambda", ast.IfExp: "`if`",
    ast.Subscript: "[...] after a value", ast.Attribute: "a name after a dot", ast.JoinedStr: "an f-string",
    ast.List: "a list outside of `in`", ast.Tuple: "a comma", ast.Set: "a set outside of `in`", ast.Dict: "a dict",
    ast.NamedExpr: ":=", ast.Starred: "*",
}  # fmt: skip
"""What people write that is no part of the language."""
_CONSTANTS: Final = {"true": "True", "false": "False", "null": "None", "none": "None", "TRUE": "True", "FALSE": "False",
                     "NULL": "None", "nan": "None", "NaN": "None"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Parsed:
    """What a text says.

    Attributes:
        expression: the tree; None where there are faults.
        faults: what the language does not have, in the order of the text.
        places: of every node, by its identity.
    """

    expression: Expression | None
    faults: tuple[TextFault, ...]
    places: Mapping[int, tuple[Expression, Place]]

    def place_of(self, node: Expression) -> Place:
        """Return where a node of the tree is written."""
        return self.places[id(node)][1] if id(node) in self.places else START


def parse_expression(text: str) -> Parsed:
    r"""Read an expression.

    >>> from weir.schemas.expression_text import to_text
    >>> parsed = parse_expression("0 <= hour < 6 and not page in ['a', 'b']")
    >>> to_text(parsed.expression)
    "0 <= hour and hour < 6 and page not in ['a', 'b']"
    >>> parse_expression("a > 1 or\n__import__('os')").faults
    (TextFault(place=Place(line=2, column=1), fault="expected in_list() or money(), found '__import__'"),)
    """
    text = _LINE_ENDS.sub("\n", text)
    if len(text) > TEXT_MAX:
        return _refuse(f"expected at most {TEXT_MAX:,} characters, found {len(text):,}")
    if not text.strip():
        return _refuse("expected an expression, found nothing")
    try:
        root = _parse(text)
    except SyntaxError as error:
        return _refuse(*explain(error, text))
    except (ValueError, MemoryError, RecursionError):  # a zero character, or nested as no parser's stack holds
        return _refuse("expected an expression, found a character that is none or brackets in brackets without end")
    fault = _find_excess(root)
    if fault:
        return _refuse(fault)
    reader = _Reader(text)
    made = reader.read(root)
    return Parsed(None if reader.faults else made, tuple(sorted(reader.faults)), reader.places)


def _refuse(fault: str, place: Place = START) -> Parsed:
    return Parsed(None, (TextFault(place, fault),), {})


def _parse(text: str) -> ast.expr:
    """Return Python's tree of a text that may go over several lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in patterns, which mean themselves
        root = ast.parse(f"({text}\n)", mode="eval").body
    if (root.lineno, root.col_offset) == (1, 0) and not isinstance(root, ast.Tuple | ast.GeneratorExp):
        raise SyntaxError("unmatched ')'", ("", 1, text.find(")") + 2, text))  # the brackets around it were not a pair
    return root


def _find_excess(root: ast.expr) -> str:
    """Say which bound a tree exceeds; without recursion, which is what the bound is for."""
    parts, open_nodes = 0, [(root, 1)]
    while open_nodes:
        node, depth = open_nodes.pop()
        if depth > DEPTH_MAX:
            return f"expected at most {DEPTH_MAX} conditions joined or nested in each other, found more"
        parts += 1
        joined = len(getattr(node, "values", ())) or len(getattr(node, "ops", ()))
        below = depth + max(1, joined - 1)
        open_nodes += [(child, below) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return "" if parts <= PARTS_MAX else f"expected at most {PARTS_MAX:,} names and values, found {parts:,}"


class _Wrong(Exception):
    """Of a part that cannot be read; the others still are."""

    def __init__(self, node: ast.expr, fault: str) -> None:
        super().__init__(fault)
        self.node = node


class _Reader:
    """Reads one tree, and keeps what it cannot read as faults."""

    def __init__(self, text: str) -> None:
        self._lines = f"({text}".split("\n")
        self.faults: list[TextFault] = []
        self.places: dict[int, tuple[Expression, Place]] = {}

    def read(self, node: ast.expr) -> Expression:
        try:
            made = _READERS.get(type(node), _refuse_node)(self, node)
        except _Wrong as wrong:
            self.faults.append(TextFault(self._place(wrong.node), str(wrong)))
            made = Expression("lit", value=True)
        self.places.setdefault(id(made), (made, self._place(node)))
        return made

    def join(self, op: str, node: ast.expr, parts: Iterator[Expression]) -> Expression:
        """Join parts from the left."""
        return functools.reduce(lambda left, right: self._note(Expression(op, (left, right)), node), parts)

    def _note(self, made: Expression, node: ast.expr) -> Expression:
        self.places[id(made)] = made, self._place(node)
        return made

    def _place(self, node: ast.expr) -> Place:
        before = self._lines[node.lineno - 1].encode()[: node.col_offset].decode(errors="replace")
        return Place(node.lineno, max(1, len(before) + (node.lineno > 1)))


def _refuse_node(_: _Reader, node: ast.expr) -> Expression:
    raise _Wrong(node, f"expected a comparison of names and values, found {_FOUND.get(type(node), 'something else')}")


def _read_constant(_: _Reader, node: ast.Constant) -> Expression:
    return Expression("lit", value=_literal(node))


def _read_name(_: _Reader, node: ast.Name) -> Expression:
    if node.id in _CONSTANTS:
        raise _Wrong(node, f"expected {_CONSTANTS[node.id]}, found {node.id}")
    return Expression("col", value=node.id)


def _read_joined(reader: _Reader, node: ast.BoolOp) -> Expression:
    return reader.join(_SIGNS[type(node.op)], node, map(reader.read, node.values))


def _read_unary(reader: _Reader, node: ast.UnaryOp) -> Expression:
    if isinstance(node.op, ast.Not):
        return Expression("not", (reader.read(node.operand),))
    if not isinstance(node.op, ast.USub):
        raise _Wrong(node, f"expected a value, found {_FOUND[type(node.op)]}")
    if _is_number(node.operand):
        return Expression("lit", value=_literal(node))
    return Expression("sub", (Expression("lit", value=0), reader.read(node.operand)))


def _read_arithmetic(reader: _Reader, node: ast.BinOp) -> Expression:
    if type(node.op) not in _SIGNS:
        raise _Wrong(node, f"expected one of + - * /, found {_FOUND.get(type(node.op), 'another sign')}")
    return Expression(_SIGNS[type(node.op)], (reader.read(node.left), reader.read(node.right)))


def _read_comparison(reader: _Reader, node: ast.Compare) -> Expression:
    """Read ``a < b < c`` as ``a < b and b < c``."""
    left, parts = node.left, []
    for sign, right in zip(node.ops, node.comparators, strict=True):
        parts.append(_compare(reader, node, left, sign, right))
        left = right
    return reader.join("and", node, iter(parts))


def _compare(reader: _Reader, node: ast.expr, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> Expression:
    if isinstance(sign, ast.Is | ast.IsNot):
        if not _is_none(right):
            raise _Wrong(right, "expected None after `is`, found another value; write == to compare")
        return _negate(Expression("is_null", (reader.read(left),)), isinstance(sign, ast.IsNot))
    if isinstance(sign, ast.In | ast.NotIn):
        made = Expression("is_in", (reader.read(left),), _literals(right))
        return _negate(made, isinstance(sign, ast.NotIn))
    if _is_none(left) or _is_none(right):
        raise _Wrong(node, "expected a value, found None; write `is None` or `is not None`")
    return Expression(_SIGNS[type(sign)], (reader.read(left), reader.read(right)))


def _negate(made: Expression, negated: bool) -> Expression:
    return Expression("not", (made,)) if negated else made


def _read_call(reader: _Reader, node: ast.Call) -> Expression:
    if node.keywords:
        raise _Wrong(node, f"expected arguments without names, found {node.keywords[0].arg or '**'}=")
    if isinstance(node.func, ast.Attribute):
        return _read_method(reader, node, node.func)
    name = node.func.id if isinstance(node.func, ast.Name) else "a call of a value"
    if name == "in_list":
        listed, field = _expect(node, "a list and a field", 2)
        return Expression("in_list", (reader.read(field),), _text_of(listed, "the name of a list"))
    if name == "col":
        (field,) = _expect(node, "the name of a field", 1)
        return Expression("col", value=_text_of(field, "the name of a field"))
    if name == "money":
        amount, currency = map(reader.read, _expect(node, "an amount and a currency", 2))
        return Expression(money("", "").op, (amount, currency))
    method = f"; write x.{name}()" if name in _METHODS else ""
    raise _Wrong(node, f"expected in_list() or money(), found {name!r}{method}")


def _read_method(reader: _Reader, node: ast.Call, function: ast.Attribute) -> Expression:
    name = function.attr
    if name not in _METHODS:
        raise _Wrong(node, f"expected a function of a value, found {name!r}{nearest(name, _METHODS)}")
    return _METHODS[name](reader, node, reader.read(function.value))


def _plain(reader: _Reader, node: ast.Call, subject: Expression) -> Expression:  # noqa: ARG001 - one shape for all
    _expect(node, "nothing in its brackets", 0)
    return Expression(_name_of(node), (subject,))


def _of_list(reader: _Reader, node: ast.Call, subject: Expression) -> Expression:  # noqa: ARG001
    (values,) = _expect(node, "a list", 1)
    return Expression(_name_of(node), (subject,), _literals(values))


def _of_literal(reader: _Reader, node: ast.Call, subject: Expression) -> Expression:  # noqa: ARG001
    (value,) = _expect(node, "one value", 1)
    return Expression(_name_of(node), (subject,), _literal(value))


def _between(reader: _Reader, node: ast.Call, subject: Expression) -> Expression:
    least, most = map(reader.read, _expect(node, "two bounds", 2))
    return reader.join("and", node, iter([Expression("ge", (subject, least)), Expression("le", (subject, most))]))


def _name_of(node: ast.Call) -> str:
    assert isinstance(node.func, ast.Attribute)
    return node.func.attr


def _expect(node: ast.Call, what: str, count: int) -> Sequence[ast.expr]:
    if len(node.args) != count:
        raise _Wrong(node, f"expected {what}, found {len(node.args)} arguments")
    return node.args


def _text_of(node: ast.expr, what: str) -> str:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        raise _Wrong(node, f"expected {what} in quotes, found another value")
    return node.value


def _literals(node: ast.expr) -> tuple[Any, ...]:
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        raise _Wrong(node, "expected a list such as ['a', 'b'], found another value")
    return tuple(map(_literal, node.elts))


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal; a number may have a minus sign."""
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand)
    constant = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    value = constant.value if isinstance(constant, ast.Constant) else None
    if value is None or not isinstance(value, bool | int | float | str):
        found = "None" if _is_none(node) else "another value"
        raise _Wrong(node, f"expected a number, a text or a boolean, found {found}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Wrong(node, "expected a number of at most 1.8e308, found a larger one")
    return -value if negative and not isinstance(value, str) else value


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in {int, float}


_READERS: Final[Mapping[type[ast.AST], Callable[..., Expression]]] = {
    ast.Constant: _read_constant,
    ast.Name: _read_name,
    ast.BoolOp: _read_joined,
    ast.UnaryOp: _read_unary,
    ast.BinOp: _read_arithmetic,
    ast.Compare: _read_comparison,
    ast.Call: _read_call,
}
_METHODS: Final[Mapping[str, Callable[..., Expression]]] = {
    **dict.fromkeys((*(CALENDAR - {"is_holiday"}), "is_null"), _plain),
    **dict.fromkeys(("is_in", "is_holiday"), _of_list),
    **dict.fromkeys(("matches", "sin_of", "cos_of"), _of_literal),
    "between": _between,
}
