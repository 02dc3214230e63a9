from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError

from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.streams.payments import payments
from weir.training.topics import build_examples, read_values


def _message(partition: int, value: bytes | None, error: KafkaError | None = None, headers: Any = None) -> Any:
    return SimpleNamespace(
        partition=lambda: partition, value=lambda: value, error=lambda: error, headers=lambda: headers
    )


def _find_guid(guid: uuid.UUID) -> int | PoisonRecord:
    return guid.int if guid.int < 100 else PoisonRecord("unknown_schema_id", "expected a registered schema")


class _Consumer:
    """Two partitions whose ends arrive in the middle of the other's records."""

    def __init__(self, polls: list[list[Any]], *, known: bool = True) -> None:
        self._polls = polls
        self._error = None if known else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        self.assigned: list[int] = []

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self._error, partitions={0: None, 1: None})})

    def assign(self, partitions: list[Any]) -> None:
        self.assigned = [partition.partition for partition in partitions]

    def consume(self, count: int, timeout: float) -> list[Any]:
        assert count > 0
        assert timeout > 0
        return self._polls.pop(0)


def _row(**given: Any) -> dict[str, Any]:
    head: dict[str, Any] = {
        "transaction_id": "t1",
        "card_id": "c1",
        "customer_id": "u1",
        "merchant_id": "m1",
        "device_id": None,
        "ip": None,
        "mcc": 1,
        "channel": "POS",
        "amount_minor": 5,
        "currency": "USD",
        "country": "US",
        "event_time_ms": 9,
        "ingest_time_ms": 9,
        "source_partition": 0,
        "source_offset": 0,
        "declarations_hash": DECLARATIONS_HASH,
        "late": False,
        "degraded": [],
    }
    return head | dict.fromkeys(FEATURE_NAMES) | given


def _through_the_wire(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    codec = BatchCodec("features")
    values = codec.encode(pa.RecordBatch.from_pylist(rows, schema=codec.arrow_schema), 7)
    return codec.decode(list(values), lambda number: WriterSchema(number, True, schema_json("features"))).batch


def test_reading_goes_on_until_the_end_of_every_partition_was_seen() -> None:
    end = KafkaError(KafkaError._PARTITION_EOF)
    consumer = _Consumer([[_message(0, b"a"), _message(0, None, end)], [], [_message(1, b"b"), _message(1, None, end)]])
    assert list(read_values(consumer, "features", _find_guid)) == [[b"a"], [b"b"]]
    assert consumer.assigned == [0, 1]


def test_a_value_whose_schema_id_is_in_a_header_is_read_in_its_frame() -> None:
    end = KafkaError(KafkaError._PARTITION_EOF)
    guids = [[("__value_schema_id", b"\x01" + uuid.UUID(int=number).bytes)] for number in (7, 1 << 100)]
    records = [_message(0, b"body", None, headers) for headers in guids]
    consumer = _Consumer([[*records, _message(0, None, end), _message(1, None, end)]])
    assert list(read_values(consumer, "labels", _find_guid)) == [[b"\x00\x00\x00\x00\x07body", None]]


def test_a_topic_that_does_not_exist_is_refused_with_the_mend() -> None:
    with pytest.raises(Refused, match="topic features: expected it to exist"):
        list(read_values(_Consumer([], known=False), "features", _find_guid))


def test_logged_rows_become_examples_with_null_as_nan_and_columns_in_declared_order() -> None:
    values = {name: float(position) for position, name in enumerate(FEATURE_NAMES)} | {FEATURE_NAMES[3]: None}
    examples = build_examples(_through_the_wire([_row(**values)]), payments, DECLARATIONS_HASH)
    expected = np.arange(len(FEATURE_NAMES), dtype=np.float32)
    expected[3] = np.nan
    np.testing.assert_array_equal(examples.features[0], expected)
    assert examples.event_time_ms.tolist() == [9]


def test_rows_of_other_declarations_are_left_out() -> None:
    rows = [_row(transaction_id="old", declarations_hash="0" * 16), _row(transaction_id="ours")]
    examples = build_examples(_through_the_wire(rows), payments, DECLARATIONS_HASH)
    assert examples.keys.to_pylist() == ["c1\x1fours"]
