"""What the follower reads and sends, without servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from tests.unit.inference.examples import DECISION as SAMPLE
from weir.cases.case import Review
from weir.cases.events import EventReader
from weir.cases.outbox import Waiting
from weir.cases.reviews import ReviewPlan
from weir.cases.sender import VERSION, LabelSender
from weir.cases.stage import CaseStage
from weir.inference.decide import SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema, label_schemas
from weir.schemas.streams.payments import payments
from weir.streaming.stage import do_nothing

END = 5
LABEL = {"transaction_id": "t1", "card_id": "c1", "merchant_id": "m1", "event_time_ms": 1_700_000_000_000}
LABEL |= {"label_time_ms": 1_700_000_000_001, "is_fraud": True, "source": "analyst"}
DECISION = {"transaction_id": "t1", "card_id": "c1", "event_time_ms": 7, "decision_time_ms": 9, "score": 0.5}


class History:
    """An events topic that was created again: it ends below what older decisions name."""

    def low(self, partition: tuple[str, int]) -> int:
        assert partition == ("transactions", 0)
        return 0

    def end(self, partition: tuple[str, int]) -> int:
        assert partition == ("transactions", 0)
        return END

    def read(self, partition: tuple[str, int], start: int, end: int) -> Iterator[list[Any]]:
        assert partition == ("transactions", 0)
        assert end <= END, "a read beyond the end would wait for records that are not there"
        assert start > end
        yield from ()


def test_an_event_beyond_the_end_of_its_topic_is_not_waited_for() -> None:
    at = {SOURCE_TOPIC: "transactions", SOURCE_PARTITION: "0", SOURCE_OFFSET: "7"}
    decision = SimpleNamespace(headers=lambda: [(name, value.encode()) for name, value in at.items()])
    registry = SimpleNamespace(writer_schema=None, id_of_guid=None)
    reader = EventReader(History(), registry, payments, "transactions")  # type: ignore[arg-type]
    assert reader.read([decision]) == [None]


def test_another_event_at_the_place_of_a_decisions_own_is_not_taken_for_it() -> None:
    plan = ReviewPlan(payments)
    own = {"transaction_id": "t1", "card_id": "c1", "merchant_id": "m1", "event_time_ms": 7}
    own |= {"amount_minor": 2_000, "currency": "EUR", "device_id": None}
    found = [plan.build(DECISION, event) for event in (own, own | {"transaction_id": "t2"}, own | {"card_id": "c2"})]
    assert [each.event_id for each in found] == ["t1"] * 3
    assert [each.label is not None and each.label["card_id"] for each in found] == ["c1", False, False]
    assert found[0].expected_loss > found[1].expected_loss == found[2].expected_loss


class Intake:
    """Keeps what is taken."""

    def __init__(self) -> None:
        self.taken: list[Review] = []

    def take(self, reviews: list[Review], ends: dict[int, int], on_step: Any) -> int:
        assert (ends, on_step) == ({0: 5}, do_nothing)
        self.taken += reviews
        return len(reviews)


def test_decisions_for_review_and_those_with_an_alert_are_taken_whatever_was_decided() -> None:
    decided = [("REVIEW", []), ("APPROVE", ["ODD"]), ("APPROVE", ["alert:MULE", "ODD"]), ("DECLINE", ["alert:MULE"])]
    decided.append(("DECLINE", ["NO_alert:"]))
    codec = BatchCodec(schema=decisions_schema(payments))
    rows = [
        SAMPLE | {"transaction_id": f"t{number}", "decision": decision, "tags": tags}
        for number, (decision, tags) in enumerate(decided)
    ]
    values = codec.encode(pa.RecordBatch.from_pylist(rows, schema=codec.arrow_schema), 7)
    messages: list[Any] = [
        SimpleNamespace(value=lambda value=value: value, offset=lambda offset=offset: offset)
        for offset, value in enumerate(values)
    ]
    intake, events = Intake(), SimpleNamespace(read=lambda found: [None] * len(found))
    written = WriterSchema(7, subject_ok=True, schema=decisions_schema(payments))
    stage = CaseStage(
        "decisions", payments, intake, events, lambda _: written, first_offset=lambda _: 0,  # type: ignore[arg-type]
    )  # fmt: skip
    assert stage.process({0: messages}).counted == 5
    assert [(each.event_id, each.decision["tags"]) for each in intake.taken] == [
        ("t0", []), ("t2", ["alert:MULE", "ODD"]), ("t3", ["alert:MULE"]),
    ]  # fmt: skip


class Outbox:
    """One label that waits."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting, self.marked = [waiting], list[Waiting]()

    def read(self) -> list[Waiting]:
        return self.waiting

    def mark(self, waiting: list[Waiting], *, at_ms: int) -> None:
        assert at_ms > 0
        self.marked = waiting


class Producer:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def produce(self, topic: str, value: bytes, key: bytes, *, headers: Any, on_delivery: Any) -> None:
        on_delivery(None, None)
        self.sent.append((topic, value, key, headers))

    def flush(self, seconds: float) -> int:
        assert seconds > 0
        return 0


def test_a_label_that_waited_while_its_schema_got_a_field_is_sent_with_the_default() -> None:
    schema = json.loads(label_schemas(payments)[-1])
    schema["fields"].append({"name": "desk", "type": "string", "default": "none"})
    text = json.dumps(schema)
    outbox, producer = Outbox(Waiting("c1", "t1", 2, LABEL)), Producer()
    sender = LabelSender(
        outbox,  # type: ignore[arg-type]
        producer,
        topic="labels",
        schema=text,
        schema_id=lambda: 7,
        stream="transactions",
    )
    assert sender.send() == 1
    ((topic, value, key, headers),) = producer.sent
    assert (topic, key, headers) == ("labels", b"c1", [(VERSION, b"2")])
    written = WriterSchema(7, subject_ok=True, schema=text)
    (decoded,) = BatchCodec(schema=text).decode([value], lambda _: written).batch.to_pylist()
    assert {name: decoded[name] for name in LABEL} == LABEL
    assert decoded["desk"] == "none"
    assert outbox.marked == outbox.waiting
