"""Filters of decisions as a request's query names them, and as the OpenAPI document shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from weir.inference.api.ids import check_id
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.core.decisions import OUTCOMES
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream
from weir.schemas.wanted import Wanted

DECISION, RULE, SCORE_MIN = "decision", "rule", "score_min"
_RULE_BYTES_MAX = 200
_OWN = frozenset({DECISION, RULE, SCORE_MIN})


def filter_fields(stream: Stream) -> Mapping[str, str]:
    """Return the entities that decisions can be chosen by, with the field of each: what a decision has of its event."""
    kept = set(stream.kept_in_decisions)
    return {name: field for name, field in stream.id_field_of.items() if field in kept and name not in _OWN}


def parse_filters(stream: Stream, given: Iterable[tuple[str, str]], more: Sequence[str] = ()) -> Wanted:
    """Return what a query asks for.

    Args:
        stream: whose decisions they are.
        given: names and values; a name that nobody knows is refused, as it would choose nothing.
        more: other names that the query may have, for the message.

    Raises:
        BadRequest: a value is wrong, or a name is.
    """
    fields = filter_fields(stream)
    outcomes: set[str] = set()
    values: dict[str, str] = {}
    for name, value in given:
        if name == DECISION:
            outcomes.add(_read_outcome(value))
        elif name not in (*fields, RULE, SCORE_MIN):
            known = ", ".join((DECISION, RULE, SCORE_MIN, *fields, *more))
            raise BadRequest([FieldError("query", f"expected filters among {known}, found another name")])
        elif name in values:
            raise BadRequest([FieldError(name, "expected one value, found several")])
        else:
            values[name] = value
    ids = {name: values[name] for name in fields if name in values}
    for name, value in ids.items():
        check_id(value, of_card=stream.entity(name).card_tokens, field=name)
    score_min = _read_score(values[SCORE_MIN]) if SCORE_MIN in values else None
    return Wanted(
        frozenset(outcomes), {fields[name]: value for name, value in ids.items()}, _read_rule(values), score_min
    )


def _read_outcome(text: str) -> str:
    if text not in OUTCOMES:
        raise BadRequest([FieldError(DECISION, f"expected one of {', '.join(OUTCOMES)}, found another text")])
    return text


def _read_rule(values: Mapping[str, str]) -> str | None:
    rule = values.get(RULE)
    if rule is not None and not 0 < len(rule) <= _RULE_BYTES_MAX:
        raise BadRequest([FieldError(RULE, f"expected a rule's name of 1 to {_RULE_BYTES_MAX} characters")])
    return rule


def _read_score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0 <= score <= 1:
        raise BadRequest([FieldError(SCORE_MIN, "expected a number from 0 to 1, found something else")])
    return score


def describe_filters(stream: Stream) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters."""
    outcomes = {"type": "array", "items": {"type": "string", "enum": list(OUTCOMES)}}
    of_id = {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}
    return [
        _describe(DECISION, outcomes, "Any of these; all without it."),
        *(_describe(name, of_id, f"The event's {field}.") for name, field in filter_fields(stream).items()),
        _describe(
            RULE,
            {"type": "string", "minLength": 1, "maxLength": _RULE_BYTES_MAX},
            "The rule or list that decided, or a rule that holds in shadow mode.",
        ),
        _describe(SCORE_MIN, {"type": "number", "minimum": 0, "maximum": 1}, "At least this score."),
    ]


def _describe(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
