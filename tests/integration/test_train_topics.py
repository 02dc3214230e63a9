"""The training log read back from a real broker: committed rows alone, to the end of every partition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from weir.infra.kafka.clients import build_producer
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject
from weir.schemas.errors import Refused
from weir.training.topics import load_topics

pytestmark = pytest.mark.server
ROWS = 400


def _feature_row(number: int) -> dict[str, Any]:
    text = {"customer_id": "u", "merchant_id": "m", "channel": "POS", "currency": "USD", "country": "US"}
    numbers = {"mcc": 1, "amount_minor": 5, "ingest_time_ms": 1, "source_partition": 0, "source_offset": number}
    own = {"transaction_id": f"t{number}", "card_id": f"c{number % 7}", "event_time_ms": 1_000 + number}
    flags = {"declarations_hash": DECLARATIONS_HASH, "late": False, "degraded": [], "device_id": None, "ip": None}
    return text | numbers | own | flags | dict.fromkeys(FEATURE_NAMES) | {FEATURE_NAMES[0]: float(number)}


def _label_row(number: int) -> dict[str, Any]:
    own = {"transaction_id": f"t{number}", "card_id": f"c{number % 7}", "event_time_ms": 1_000 + number}
    return own | {"merchant_id": "m", "label_time_ms": 9_000, "is_fraud": number % 50 == 0, "source": "analyst"}


def _decision_row(number: int) -> dict[str, Any]:
    outcome = ("APPROVE", "REVIEW", "DECLINE")[number % 3]
    own = {"transaction_id": f"t{number}", "card_id": f"c{number % 7}", "merchant_id": "m", "currency": "USD"}
    by = {"decided_by": "model", "model_name": "fraud", "model_version": "1", "rules_version": "1"}
    numbers = {"amount_minor": 5, "ingest_time_ms": 1, "decision_time_ms": 2, "source_partition": 0}
    flags = {"declarations_hash": DECLARATIONS_HASH, "late": False, "degraded": False, "degraded_by": []}
    more = {"decision": outcome, "propensity": 0.1 if outcome == "DECLINE" else None, "source_offset": number}
    times = {"event_time_ms": 1_000 + number, "score": 0.5, "reasons": [], "tags": [], "shadow_rules": []}
    return own | by | numbers | flags | more | times


def _encode(settings: Settings, kind: str, topic: str, rows: list[dict[str, Any]]) -> list[bytes]:
    registry = Registry(settings.registry)
    try:
        codec = BatchCodec(kind)
        batch = pa.RecordBatch.from_pylist(rows, schema=codec.arrow_schema)
        return codec.encode(batch, registry.latest_id(subject(topic)))
    finally:
        registry.close()


def _publish(settings: Settings, topic: str, values: list[bytes], *, commit: bool = True) -> None:
    producer = build_producer(settings.kafka, transactional_id=f"{topic}-writer")
    producer.init_transactions(30)
    producer.begin_transaction()
    for number, value in enumerate(values):
        producer.produce(topic, value, key=f"c{number % 7}")
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def test_the_training_matrix_is_what_was_committed_to_the_topics_in_event_time_order(deployment: Settings) -> None:
    topics = deployment.topics
    features = _encode(deployment, "features", topics.features, [_feature_row(n) for n in range(ROWS)])
    never = _encode(deployment, "features", topics.features, [_feature_row(n + ROWS) for n in range(50)])
    _publish(deployment, topics.features, [*features, b"not a feature row"])
    _publish(deployment, topics.features, never, commit=False)
    _publish(
        deployment, topics.labels, _encode(deployment, "labels", topics.labels, list(map(_label_row, range(ROWS))))
    )
    examples, labels = load_topics(deployment)
    assert examples.decided is None
    assert examples.features[:, 0].tolist() == list(map(float, range(ROWS)))
    assert np.isnan(examples.features[:, 1:]).all()
    assert examples.event_time_ms.tolist() == [1_000 + number for number in range(ROWS)]
    assert labels.num_rows == ROWS
    assert sum(labels["is_fraud"].to_pylist()) == ROWS // 50
    assert set(labels["source"].to_pylist()) == {"analyst"}
    decided = [_decision_row(number) for number in range(ROWS - 100)]
    _publish(deployment, topics.decisions, _encode(deployment, "decisions", topics.decisions, decided))
    found = load_topics(deployment)[0].decided
    assert found is not None
    assert found.outcomes.tolist() == [number % 3 for number in range(ROWS - 100)] + [-1] * 100
    assert np.flatnonzero(found.propensities == 0.1).tolist() == list(range(2, ROWS - 100, 3))


def test_topics_without_rows_are_refused_and_the_mend_is_named(deployment: Settings) -> None:
    with pytest.raises(Refused, match="weir process"):
        load_topics(deployment)
