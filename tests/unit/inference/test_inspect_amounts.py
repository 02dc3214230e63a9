"""Amounts are shown in their currency: 25.99 EUR, and never 2,859 of nothing."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from rich.console import Console

from weir.inference.inspect import cli as inspect_cli
from weir.schemas.amount_text import format_feature
from weir.schemas.streams.payments import payments


def _shown(tables: Sequence[object]) -> str:
    console = Console(file=io.StringIO(), width=300)
    for table in tables:
        console.print(table)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_every_feature_that_is_an_amount_has_its_unit_and_no_other_has() -> None:
    for feature in payments.all_features:
        shown = format_feature(feature, 2859.0, payments)
        is_amount = re.search("_amount|_refund_sum", feature.name) and not re.search("zscore|over_", feature.name)
        assert shown == ("28.59 USD" if is_amount else "2,859"), feature.name
        assert format_feature(feature, None, payments) == "-"


def test_a_decision_shows_its_amount_in_its_currency() -> None:
    document = {"decision": "APPROVE", "decided_by": "model", "amount_minor": 2599, "currency": "EUR", "reasons": []}
    shown = _shown(inspect_cli._write_decision(document, payments))
    assert "25.99 EUR" in shown


def test_a_card_shows_its_sums_in_the_base_currency() -> None:
    names = [feature.name for feature in payments.all_features if feature.entity == "card"]
    document = {"entity": "card", "id": "c", "at_ms": 0, "complete": True, "freshness": {"newest_event_ms": 0}} | {
        "features": dict.fromkeys(names, 2859.0)
    }
    assert "28.59 USD" in _shown(inspect_cli._write_entity(document, payments))
