"""The rules that a stream declares, as they are matched: they decide next to its model, or without one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from weir.inference.core.rules import Condition, Rule, RuleSet
from weir.schemas import rules as declared
from weir.schemas.expression import to_data
from weir.schemas.stream import Stream

_VERSIONS = {"5320e64e": "1"}
"""Versions from before they were digests: that of the payments' rules, which decisions of the past carry."""


def rules_of(stream: Stream) -> RuleSet:
    """Return the rules that decide next to a stream's model, or without one.

    Raises:
        ValueError: one is over a feature that the stream does not have; the checks of declarations find it before.
    """
    return _build(stream.rules).check(stream.feature_names)


def _build(rules: Sequence[declared.Rule]) -> RuleSet:
    """Turn declared rules into those that are matched; the version is a digest of them, so it rises by itself."""
    if not rules:
        return RuleSet()
    written = json.dumps([[rule.name, rule.then, to_data(rule.when), rule.why, rule.code] for rule in rules])
    digest = hashlib.sha256(written.encode()).hexdigest()[:8]
    return RuleSet(_VERSIONS.get(digest, digest), tuple(Rule(r.name, r.then, r.code, r.why, _read(r)) for r in rules))


def _read(rule: declared.Rule) -> tuple[Condition, ...]:
    read = map(declared.read_comparison, declared.list_comparisons(rule.when))
    return tuple(Condition(*comparison) for comparison in read if comparison is not None)
