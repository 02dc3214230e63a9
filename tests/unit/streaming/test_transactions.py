"""A batch of which nothing counts still has its dead letters, and no rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from infra.redis_view import Loaded, Position, Unit
from schemas.codec import WriterSchema
from schemas.errors import PoisonRecord
from streaming.partials import PartialStore
from streaming.transactions import TransactionsConfig, TransactionsFolder, find_elsewhere

CONFIG = TransactionsConfig(
    topic="transactions",
    dlq_topic="transactions.dlq",
    features_topic="features",
    features_schema_id=1,
    partitions=2,
    label_partitions=2,
    group="g",
    dlq_header_prefix="__dlq.errors.",
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


class _Empty:
    """A view in which nothing is known."""

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        return {unit: Loaded(Position(0), [b"" for _ in keys]) for unit, keys in wanted}


def _no_schema(schema_id: int) -> WriterSchema | PoisonRecord:
    return PoisonRecord("unknown_schema_id", f"expected a registered schema id, found {schema_id}")


def test_a_batch_of_dead_letters_alone_gives_no_rows() -> None:
    store = PartialStore(_Empty(), entities_max=10, bytes_max=10_000)
    outcome = TransactionsFolder(CONFIG, _no_schema).process({0: [_Garbage()]}, store, {})
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
    assert find_elsewhere(decoded.batch, decoded.partition, 1_000).tolist() == [False, True, True]
