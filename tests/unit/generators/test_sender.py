from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.generators.worlds import RecordingProducer, events
from weir.generators.events import compute_truth
from weir.generators.outgoing import Outgoing
from weir.generators.sender import Sender
from weir.generators.truth_file import open_truth
from weir.schemas.errors import Transient

START_S = 1_785_000_000.0


class Clock:
    """Time that passes only when somebody pauses, or when a look at it takes long."""

    def __init__(self, seconds_a_look: float = 0.0) -> None:
        self.now = START_S
        self.pauses: list[float] = []
        self._seconds_a_look = seconds_a_look

    def __call__(self) -> float:
        self.now += self._seconds_a_look
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def block(*offsets_ms: float, topic: str = "payments") -> Outgoing:
    count = len(offsets_ms)
    due = START_S * 1000 + np.array(offsets_ms)
    return Outgoing(topic, due, [b"card"] * count, [str(offset).encode() for offset in offsets_ms])


def sender(producer: RecordingProducer, clock: Clock, **options: Any) -> Sender:
    return Sender(cast("Any", producer), clock=clock, pause=clock.pause, **options)


def test_records_are_sent_in_order_and_never_before_they_are_due() -> None:
    producer, clock = RecordingProducer(), Clock()
    sent = sender(producer, clock).send_all([block(0, 40, 90), block(130, 200)])
    assert [value for _, _, value in producer.records] == [b"0", b"40", b"90", b"130", b"200"]
    assert clock.now * 1000 >= START_S * 1000 + 199.9
    assert (sent.records, sent.failed) == (5, 0)


def test_a_sender_that_is_behind_does_not_pause_and_reports_its_lag() -> None:
    producer, clock = RecordingProducer(), Clock(seconds_a_look=0.5)
    sent = sender(producer, clock).send_all([block(*range(100))])
    assert clock.pauses == []
    assert sent.records == 100
    assert sent.lag_ms_max >= 400
    assert sent.lag_percentile_ms(50) <= sent.lag_ms_max


def test_pauses_are_bounded_so_that_an_interrupt_is_heard() -> None:
    clock = Clock()
    sender(RecordingProducer(), clock).send_all([block(0, 10_000)])
    assert max(clock.pauses) <= 0.05


def test_records_without_a_due_moment_go_at_once_and_have_no_lag() -> None:
    at_once = Outgoing("payments", np.zeros(3), [b"k"] * 3, [b"a", b"b", None])
    clock = Clock()
    sent = sender(RecordingProducer(), clock).send_all([at_once])
    assert clock.pauses == []
    assert (sent.records, sent.lag_ms_max, sent.lag_percentile_ms(99)) == (3, 0.0, 0.0)


def test_a_full_queue_is_waited_for_and_loses_nothing() -> None:
    producer = RecordingProducer(full_calls=3)
    assert sender(producer, Clock()).send_all([block(0, 1, 2)]).records == 3
    assert len(producer.records) == 3


def test_a_queue_that_stays_full_ends_the_stream_with_its_reason() -> None:
    with pytest.raises(Transient, match="full queue for payments"):
        sender(RecordingProducer(full_calls=10**9), Clock(seconds_a_look=1.0)).send_all([block(0)])


def test_what_the_broker_refused_or_never_acknowledged_counts_as_failed() -> None:
    producer = RecordingProducer(unacknowledged=2, refused=1)
    assert sender(producer, Clock()).send_all([block(0, 1, 2)]).failed == 3


def test_a_stop_ends_the_stream_between_slices() -> None:
    producer, clock = RecordingProducer(), Clock()
    sent = sender(producer, clock, stopped=lambda: clock.now > START_S + 0.1).send_all([block(0, 50, 5_000)] * 3)
    assert sent.records == 2


def test_an_error_while_preparing_a_block_reaches_the_caller() -> None:
    def blocks() -> Any:
        yield block(0)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        sender(RecordingProducer(), Clock()).send_all(blocks())


def test_the_truth_of_a_block_is_told_before_its_first_record() -> None:
    producer = RecordingProducer()
    seen: list[int] = []
    sender(producer, Clock(), before_block=lambda _: seen.append(len(producer.records))).send_all([block(0, 1)] * 2)
    assert seen == [0, 2]


@pytest.mark.parametrize("name", ["truth.jsonl", "truth.parquet"])
def test_a_truth_file_holds_every_row_that_was_written(tmp_path: Path, name: str) -> None:
    truth = compute_truth(events().take(slice(0, 20)))
    path = tmp_path / "new" / name
    with open_truth(path) as write:
        write(truth.slice(0, 12))
        write(truth.slice(12))
    lines = path.read_text().splitlines() if name.endswith("jsonl") else []
    rows = [json.loads(line) for line in lines] or pq.read_table(path).to_pylist()
    assert rows == truth.to_pylist()


def test_a_json_truth_file_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with open_truth(tmp_path / "truth.jsonl") as write:
        write(compute_truth(events().take(slice(0, 5))))
        assert len((tmp_path / "truth.jsonl").read_text().splitlines()) == 5
