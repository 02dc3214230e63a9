"""The rules that are shipped: those of the card payments. Another stream has none."""

from __future__ import annotations

from weir.inference.core.rules import Condition, Rule, RuleSet
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
    """Return the rules that decide next to a stream's model.

    Raises:
        ValueError: one is over a feature that the stream does not have; a bug of ours.
    """
    return _PAYMENTS.check(stream.feature_names) if stream == payments else RuleSet()
