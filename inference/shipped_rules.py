"""The rules that decide next to a stream's model: those that it declares, and the card payments' that are shipped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from weir.inference.core.rules import Condition, Rule, RuleSet
from weir.schemas import rules as declared
from weir.schemas.expression import to_data
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_PAYMENTS = RuleSet(
    "1",
    (
        Rule(
            "card_testing_run",
            "DECLINE",
            "CARD_TESTING",
            "a script tries a card with tiny payments, most of them refused",
            (
                Condition("card_event_count_5m", ">=", 12),
                Condition("card_small_ratio_1h", ">=", 0.8),
                Condition("card_declined_ratio_1h", ">=", 0.5),
            ),
        ),
        Rule(
            "device_farm",
            "REVIEW",
            "DEVICE_FARM",
            "no family owns this many cards",
            (Condition("device_card_distinct_1d", ">=", 15),),
        ),
        Rule(
            "impossible_travel",
            "REVIEW",
            "IMPOSSIBLE_TRAVEL",
            "faster than any airliner, not online, and in another country: two shops of one town can look as fast",
            (
                Condition("card_position_speed_30d", ">=", 1_200),
                Condition("card_country_distinct_1d", ">=", 2),
                Condition("transaction_is_online", "<=", 0),
            ),
        ),
    ),
)


def rules_of(stream: Stream) -> RuleSet:
    """Return the rules that decide next to a stream's model, or without one.

    Raises:
        ValueError: one is over a feature that the stream does not have; the checks of declarations find it before.
    """
    rules = _PAYMENTS if stream == payments and not stream.rules else _build(stream.rules)
    return rules.check(stream.feature_names)


def _build(rules: Sequence[declared.Rule]) -> RuleSet:
    """Turn declared rules into those that are matched; the version is a digest of them, so it rises by itself."""
    if not rules:
        return RuleSet()
    written = json.dumps([[rule.name, rule.then, to_data(rule.when), rule.why, rule.code] for rule in rules])
    version = hashlib.sha256(written.encode()).hexdigest()[:8]
    return RuleSet(version, tuple(Rule(r.name, r.then, r.code, r.why, _read(r)) for r in rules))


def _read(rule: declared.Rule) -> tuple[Condition, ...]:
    read = map(declared.read_comparison, declared.list_comparisons(rule.when))
    return tuple(Condition(*comparison) for comparison in read if comparison is not None)
