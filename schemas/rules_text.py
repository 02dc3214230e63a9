"""Rules as the text of a rules file: what a declaration says, to be read, changed and published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import yaml

from weir.schemas.expression_text import to_text
from weir.schemas.rules import Rule

_WIDTH: Final = 10_000
"""A condition is on one line, as people write it."""


def write_rules(rules: Sequence[Rule]) -> str:
    """Return rules as the text of a rules file; of no rules, nothing.

    >>> from weir.schemas.expression import col
    >>> print(write_rules([Rule("many", "REVIEW", col("n") >= 12, "too many")]), end="")
    rules:
    - name: many
      why: too many
      when: n >= 12
      then: REVIEW
      code: MANY
      mode: live
    """
    if not rules:
        return ""
    document = {"rules": [_write_rule(rule) for rule in rules]}
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDTH))


def _write_rule(rule: Rule) -> dict[str, Any]:
    valid = {"from": rule.valid_from, "to": rule.valid_to}
    said = {
        "name": rule.name,
        "why": rule.why,
        "owner": rule.owner,
        "when": to_text(rule.when),
        "then": rule.then,
        "code": rule.code,
        "text": rule.text,
        "mode": rule.mode,
        "priority": rule.priority,
        "valid": {name: time for name, time in valid.items() if time},
    }
    return {name: value for name, value in said.items() if value}
