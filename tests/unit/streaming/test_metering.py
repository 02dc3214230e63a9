"""Counters of records rise with the commit and not before: an aborted batch is judged again, and would count twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest

from weir.infra.kafka.sink import Aborted, Record, Rows
from weir.infra.kafka.source import Gathered
from weir.monitoring.metrics import REGISTRY
from weir.schemas.errors import PoisonRecord
from weir.schemas.streams.payments import payments
from weir.streaming.committer import Batch, Committer
from weir.streaming.dlq.build import build_dead_letter, duplicate_error
from weir.streaming.stage import DeadRecord, Outcome, do_nothing
from weir.streaming.unit_state import NoState

DLQ = "metering.dlq"


class _Message:
    """A record that is refused."""

    def topic(self) -> str:
        return "transactions"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def key(self) -> bytes:
        return b"card-1"

    def value(self) -> bytes:
        return b"v" * 4_000

    def timestamp(self) -> tuple[int, int]:
        return (2, 1_700_000_000_000)

    def headers(self) -> None:
        return None


class _Output:
    """Aborts the first transaction and commits the next."""

    transactional = True

    def __init__(self) -> None:
        self.asked = 0

    def send(self, *_: Any) -> None:
        """Take everything."""

    def finish(self, rows: Iterable[Rows]) -> None:
        list(rows)
        self.asked += 1
        if self.asked == 1:
            raise Aborted("kafka: transaction aborted")


def _count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def _counts() -> list[float]:
    letters = [_count("weir_dead_letters_total", topic=DLQ, reason=reason) for reason in ("undecodable", "duplicate")]
    repeats = _count("weir_duplicate_records_total", kind="duplicate")
    return [
        *letters,
        repeats,
        _count("weir_dead_letters_truncated_total", topic=DLQ),
        _count("weir_late_records_total"),
    ]


def _build_letter(dead: DeadRecord) -> Record:
    return build_dead_letter(dead, dlq_topic=DLQ, group="g", prefix="__dlq.errors.", limit_bytes=3_000)


def test_a_batch_is_counted_by_the_commit_and_not_by_an_abort() -> None:
    message: Any = _Message()
    undecodable = DeadRecord(message, PoisonRecord("undecodable", "expected a body"), "decode")
    repeat = DeadRecord(message, duplicate_error(message, payments, reused=False), "deduplicate", coordinates_only=True)
    refused = [undecodable, repeat]
    outcome = Outcome(dead=[_build_letter(dead) for dead in refused], refused=refused, late=3)
    nothing: Any = None
    state = NoState(nothing, nothing, group="g", topic_id="id-1", start_over="start over")
    committer = Committer(cast(Any, _Output()), state, name="process", on_step=do_nothing)
    batch = Batch(Gathered(), [outcome], {}, started=0.0)
    before = _counts()
    committer.send(batch)
    with pytest.raises(Aborted):
        committer.take()
    assert _counts() == before
    committer.send(batch)
    committer.take()
    committer.close()
    assert [now - then for now, then in zip(_counts(), before, strict=True)] == [1.0, 1.0, 1.0, 1.0, 3.0]
