"""Feature rows decided by a model whose arithmetic is exact, under a clock that stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.golden.log import Entry
from tests.golden.product import DECISIONS_SCHEMA_ID, FEATURES_SCHEMA_ID, Row, batches_of
from tests.golden.records import Given
from tests.golden.shipped import bundle_folder
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.rules import RuleSet
from weir.inference.decide import Decider, DecisionWriter
from weir.inference.rule_sets import rules_of
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureRowReader

DECISION_TIME_MS = 1_760_000_000_000
LISTS = {
    "version": "golden",
    "allow": {"card": ["card-3", "card:with:colons"], "device": ["device-9"]},
    "block": {"merchant": ["shop-2"], "ip": ["10.0.0.7"], "card": ["card-3"]},
}
_BATCH_ROWS = 500


@dataclass(frozen=True)
class _Still:
    """What is in force, for good."""

    bundle: Bundle
    lists: Lists
    rules: RuleSet = field(default_factory=lambda: rules_of(payments))
    thresholds: None = None


def build_reader() -> FeatureRowReader:
    """Return what reads feature rows as a scorer does."""
    return FeatureRowReader(
        payments, lambda _: WriterSchema(FEATURES_SCHEMA_ID, subject_ok=True, schema=schema_json("features"))
    )


def build_decider(schema_id: int = DECISIONS_SCHEMA_ID) -> tuple[Decider, DecisionWriter]:
    """Return what decides, and what writes decisions."""
    bundle, lists = load_bundle(bundle_folder(), stream=payments), parse_lists(LISTS, list(payments.id_field_of))
    writer = DecisionWriter(payments, source_topic="transactions", topic="decisions", schema_id=schema_id)
    return Decider(_Still(bundle, lists), payments), writer


def decide(rows: Sequence[Row], schema_id: int = DECISIONS_SCHEMA_ID) -> list[tuple[Row, list[Any]]]:
    """Return each decision as it was published, and its headers."""
    reader = build_reader()
    decider, writer = build_decider(schema_id)
    found: list[tuple[Row, list[Any]]] = []
    for batch in batches_of(rows, _BATCH_ROWS):
        messages: list[Any] = [Given(Entry("features", 0, n, 0, row.key, row.value)) for n, row in enumerate(batch)]
        read = reader.from_avro(messages)
        assert not read.unreadable
        made = writer.to_avro(decider.decide(read.batch), decision_time_ms=DECISION_TIME_MS)
        rows_made = [Row(key, value) for key, value in zip(made.keys, made.values, strict=True)]
        found += zip(rows_made, [list(headers) for headers in made.headers], strict=True)
    return found
