"""A stream that is no payment, has no labels, rules or model, and is not of this project's making in any way."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.archive.decided import Topic
from weir.archive.columns import decoded_columns
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.records import Consumed, Record
from weir.archive.rows import Raw, RowMaker
from weir.archive.table import no_step, open_table
from weir.archive.timeline.moments import Moment
from weir.archive.timeline.past import Asked
from weir.archive.timeline.show import build_tables, describe_check
from weir.archive.timeline.walk import walk
from weir.infra.redis.unit import Position, Unit
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import event_schemas, features_schema
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.transfers import transfers
from weir.streaming.event_stage import EventStage, EventStageConfig
from weir.streaming.kernels import kernel_of
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.empty_view import EmptyView

pytestmark = pytest.mark.verify  # it compiles a kernel of its own

COUNT, BEGIN_MS, STEP_MS, HOUR_MS = 300, 1_750_000_000_000, 600_000, 3_600_000
NAMES = transfers.topics
SCHEMAS = {
    schema_id: WriterSchema(schema_id, True, schema)
    for schema_id, schema in ((1, event_schemas(transfers)[-1]), (2, features_schema(transfers)))
}
Row = dict[str, Any]


def _transfers() -> list[Row]:
    dice = random.Random(3)
    return [
        {
            "transfer_id": f"t-{number}",
            "sender_id": f"account-{dice.randrange(6)}",
            "receiver_id": f"account-{dice.randrange(6, 12)}",
            "event_time_ms": BEGIN_MS + number * STEP_MS,
            "amount_minor": dice.randrange(1, 100_000),
            "fee_minor": dice.randrange(0, 100),
            "currency": "EUR",
            "channel": "APP",
            "receiver_country": "FR",
            "sender_country": "DE",
            "is_instant": dice.random() < 0.5,
        }
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an archive of transfers, and of the feature rows that the stream's stage made of them."""
    home = tmp_path_factory.mktemp("transfers")
    codec = BatchCodec(schema=SCHEMAS[1].schema)
    events = codec.encode(pa.RecordBatch.from_pylist(_transfers(), schema=codec.arrow_schema), 1)
    config = EventStageConfig(
        NAMES.events, NAMES.dlq, NAMES.features, 2, 1, 0, "test", "__dlq.errors.", BUILT_IN, kernel_of(transfers)
    )
    store = PartialStore(
        EmptyView(), declarations_hash=transfers.declarations_hash, entities_max=1_000_000, bytes_max=1 << 30
    )
    store.own(Unit("t", 0), Position(0, partitions=1), born_empty=True)
    keys = [row["sender_id"].encode() for row in _transfers()]
    messages: list[Any] = [
        Consumed(Record(NAMES.events, {**_place(number), "key": key, "value": value}))
        for number, (key, value) in enumerate(zip(keys, events, strict=True))
    ]
    outcome = EventStage(config, SCHEMAS.__getitem__).process({0: messages}, store, {Unit("t", 0): 0})
    _write(home, NAMES.events, 1, keys, [*events])
    _write(home, NAMES.features, 2, keys, [*outcome.rows[0].values])
    return home


def _place(number: int) -> Row:
    return {"partition": 0, "offset": number, "append_ms": BEGIN_MS + number * STEP_MS, "headers": []}


def _write(home: Path, topic: str, schema_id: int, keys: list[bytes], values: list[bytes | None]) -> None:
    root, codec = Place(str(home / "archive")), BatchCodec(schema=SCHEMAS[schema_id].schema)
    Objects(root).keep_schema(topic, SCHEMAS[schema_id])
    table = open_table(root.below(topic), Topic(topic, "1"), transfers.name, codec.arrow_schema)
    table.begin([0])

    def decode(framed: Any) -> Any:
        return codec.decode(framed, SCHEMAS.__getitem__)

    maker = RowMaker(topic, decoded_columns(codec.arrow_schema), decode, transfers.id, os.urandom)
    numbers = range(len(values))
    times = [_place(number)["append_ms"] for number in numbers]
    raw = Raw([0] * len(values), [*numbers], times, [*keys], values, [[] for _ in numbers], values)
    table.append([maker.make(raw)], {0: len(values)}, no_step)


def _walk(home: Path, entity: str, entity_id: str, **more: Any) -> Row:
    settings = Settings(home=home).of_stream(transfers)
    asked = Asked(entity, entity_id, Moment(0), Moment(2 * BEGIN_MS), **more)
    return walk(settings, Place(str(home / "archive")), kernel_of(transfers), asked)


def test_a_sender_is_walked_bit_for_bit_with_the_receivers_windows(home: Path) -> None:
    found = _walk(home, "sender", "account-3", shared=True)
    sent = [row for row in _transfers() if row["sender_id"] == "account-3"]
    assert [step["id"] for step in found["steps"]] == [row["transfer_id"] for row in sent]
    assert found["check"]["own"] == found["check"]["shared"] == {"compared": len(sent), "equal": len(sent)}
    hours = [sum(0 <= now["event_time_ms"] - row["event_time_ms"] < HOUR_MS for row in sent) for now in sent]
    assert [step["windows"]["sender_event_count_1h"] for step in found["steps"]] == hours
    assert build_tables(found, transfers)
    assert "bit for bit" in describe_check(found)[0]


def test_a_receiver_is_walked_over_all_who_paid(home: Path) -> None:
    found = _walk(home, "receiver", "account-8")
    by_day: dict[str, list[Row]] = defaultdict(list)
    received = [row for row in _transfers() if row["receiver_id"] == "account-8"]
    for step, row in zip(found["steps"], received, strict=True):
        by_day["account-8"].append(row)
        recent = [each for each in by_day["account-8"] if row["event_time_ms"] - each["event_time_ms"] < 24 * HOUR_MS]
        assert step["windows"]["receiver_event_count_1d"] == len(recent)
        assert step["windows"]["receiver_sender_distinct_1d"] == len({each["sender_id"] for each in recent})
    assert found["check"]["shared"]["equal"] == len(received)
    (line,) = describe_check(found)
    assert line.startswith("replayed = logged, windows shared with other keys")
