"""A batch of which nothing counts still has its dead letters, and no rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from tests.unit.schemas.records import frame, write_body
from tests.unit.schemas.test_codec import transaction
from tests.unit.schemas.test_validation import label
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.event_stage import EventStage, EventStageConfig, find_elsewhere
from weir.streaming.kernels import shipped_kernel
from weir.streaming.label_stage import LabelStage, LabelStageConfig
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.empty_view import EmptyView

CONFIG = EventStageConfig(
    topic="transactions",
    dlq_topic="transactions.dlq",
    features_topic="features",
    features_schema_id=1,
    partitions=2,
    label_partitions=2,
    group="g",
    dlq_header_prefix="__dlq.errors.",
    placeholders=BUILT_IN,
    kernel=shipped_kernel(),
)


class _Garbage:
    """A record that nobody can read."""

    def topic(self) -> str:
        return "transactions"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def key(self) -> bytes:
        return b"card-1"

    def value(self) -> bytes:
        return b"\x07garbage"

    def timestamp(self) -> tuple[int, int]:
        return (2, 1_700_000_000_000)

    def headers(self) -> None:
        return None


def _no_schema(schema_id: int) -> WriterSchema | PoisonRecord:
    return PoisonRecord("unknown_schema_id", f"expected a registered schema id, found {schema_id}")


def test_a_batch_of_dead_letters_alone_gives_no_rows() -> None:
    store = PartialStore(
        EmptyView(), declarations_hash=shipped_kernel().stream.declarations_hash, entities_max=10, bytes_max=10_000
    )
    outcome = EventStage(CONFIG, _no_schema).process({0: [_Garbage()]}, store, {})
    assert [list(rows.values) for rows in outcome.rows] == [[]]
    assert [(letter.topic, letter.partition, letter.value) for letter in outcome.dead] == [
        ("transactions.dlq", 0, b"\x07garbage")
    ]
    assert outcome.changed == {}
    assert [dead.error.reason for dead in outcome.refused] == ["wrong_magic"]


def test_records_that_another_partitioner_put_elsewhere_are_counted() -> None:
    """Kafka's own vectors: of 1,000 partitions, key 21 has 340 and foobar 166."""
    decoded: Any = SimpleNamespace(
        batch=pa.RecordBatch.from_pydict({"card_id": ["21", "foobar", "21"]}), partition=np.array([340, 7, 166])
    )
    assert find_elsewhere("card_id", decoded.batch, decoded.partition, 1_000).tolist() == [False, True, True]


class _Counted(_Garbage):
    """A record that an earlier version let in, with a time that is refused now."""

    def __init__(self, kind: str, row: dict[str, Any]) -> None:
        self._row, self._kind = row, kind

    def value(self) -> bytes:
        return frame(write_body(self._row, schema_json(self._kind)), 1)


def test_a_record_that_an_earlier_version_counted_is_folded_again_whatever_is_asked_since() -> None:
    message: Any = _Counted("transactions", transaction(event_time_ms=1_795_644_788, transaction_id="4111111111111111"))
    stage = EventStage(CONFIG, lambda _: WriterSchema(1, subject_ok=True, schema=schema_json("transactions")))
    store = PartialStore(
        EmptyView(), declarations_hash=shipped_kernel().stream.declarations_hash, entities_max=10, bytes_max=10_000
    )
    assert [dead.error.reason for dead in stage.process({0: [message]}, store, {}).refused] == ["card_number"]
    assert stage.fold_again(0, [message], store)


def test_a_label_that_an_earlier_version_counted_is_folded_again() -> None:
    message: Any = _Counted("labels", label(label_time_ms=1_795_644_788))
    config = LabelStageConfig("labels", "labels.dlq", 2, "g", "__dlq.errors.", BUILT_IN, shipped_kernel())
    stage = LabelStage(config, lambda _: WriterSchema(1, subject_ok=True, schema=schema_json("labels")))
    store = PartialStore(
        EmptyView(), declarations_hash=shipped_kernel().stream.declarations_hash, entities_max=10, bytes_max=10_000
    )
    refused = stage.process({0: [message]}, store, {}).refused
    assert [dead.error.reason for dead in refused] == ["event_time_out_of_range"]
    assert stage.fold_again(0, [message], store)
