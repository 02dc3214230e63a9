from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.unit.generators.worlds import RecordingProducer, encoder
from tests.unit.infra.user_files.files import LABEL, payments, write_csv, write_json
from weir.generators import publish
from weir.generators.delivery import Delivery, HeldLabels
from weir.generators.publish import main
from weir.infra.user_files.checker import Checked, Checker
from weir.infra.user_files.plan import arrow_schema


def run(path: Path, *flags: str) -> int:
    return main(["publish", str(path), "--dry-run", *flags])


def block(rows: int) -> Checked:
    filled = [dict.fromkeys(("device_id", "ip")) | row for row in payments(rows)]
    return Checked(pa.RecordBatch.from_pylist(filled, schema=arrow_schema("transactions")), [b"card_1"] * rows)


def test_good_rows_are_sent_with_the_card_as_key_and_failures_are_counted_by_reason() -> None:
    producer = RecordingProducer(refused=1)
    delivery = Delivery(cast("Any", producer))
    assert delivery.send("mine", encoder(), block(4))
    assert [(topic, key) for topic, key, _ in producer.records] == [("mine", b"card_1")] * 4
    assert delivery.published == 3
    assert list(delivery.failures) == ["TOPIC_AUTHORIZATION_FAILED: Broker: Topic authorization failed"]


def labelled(times: list[int], delay_ms: int) -> Checked:
    rows = [
        LABEL | {"transaction_id": f"t{time}", "event_time_ms": time, "label_time_ms": time + delay_ms}
        for time in times
    ]
    payments_of = [row | {"event_time_ms": time} for row, time in zip(payments(len(times)), times, strict=True)]
    batch = pa.RecordBatch.from_pylist(payments_of, schema=arrow_schema("transactions"))
    return Checked(batch, [], pa.RecordBatch.from_pylist(rows, schema=arrow_schema("labels")))


def test_labels_wait_until_the_payments_have_reached_their_time() -> None:
    held = HeldLabels()
    blocks = [labelled(times, 100) for times in ([10, 20], [30, 40], [120, 130])]
    sent = [[each.batch["event_time_ms"].to_pylist() for each in held.take(block)] for block in blocks]
    assert sent == [[], [], [[10, 20]]]
    assert [each.batch.num_rows for each in held.rest()] == [2, 2]
    assert list(held.rest()) == []


def test_a_record_that_the_client_itself_refuses_is_counted_too() -> None:
    class Refusing(RecordingProducer):
        def produce(self, *_: Any, **__: Any) -> None:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))

    delivery = Delivery(cast("Any", Refusing()))
    assert delivery.send("mine", encoder(), block(2))
    assert (delivery.published, delivery.failures.total()) == (0, 2)
    assert next(iter(delivery.failures)).startswith("MSG_SIZE_TOO_LARGE")


@pytest.mark.parametrize(("stopped", "seconds"), [(False, 60), (True, 10)])
def test_a_broker_that_takes_nothing_is_waited_for_within_a_bound(stopped: bool, seconds: int) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1
        return now

    delivery = Delivery(cast("Any", RecordingProducer(unacknowledged=3)), stopped=lambda: stopped, clock=clock)
    assert not delivery.send("mine", encoder(), block(4))
    assert delivery.failures == {"not acknowledged in time": 3}
    assert delivery.published == 1
    assert now == pytest.approx(seconds, abs=3)


def test_bad_lines_fail_the_run_unless_they_may_be_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_json(tmp_path / "a.jsonl", payments(2), "oops\n")
    assert run(path) == 1
    assert run(path, "--skip-bad", "--json") == 0
    output = capsys.readouterr()
    assert "a.jsonl:3: malformed_line: expected a JSON object" in output.err
    assert "a.jsonl: 1 bad of 3 rows were left out; --skip-bad accepts that" in output.err
    assert json.loads(output.out.splitlines()[-1])["bad"] == 1


def test_no_exit_code_but_0_is_without_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        write_json(tmp_path / "bad.jsonl", [], "oops\n"),
        write_csv(tmp_path / "header.csv", []),
        write_csv(tmp_path / "major.csv", payments(2, amount_minor="12.50")),
        write_json(tmp_path / "blank.jsonl", [], "\n\n"),
    ]
    for path in files:
        assert run(path, "--skip-bad") != 0
        assert path.name in capsys.readouterr().err


def test_the_summary_of_a_refused_column_counts_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(write_csv(tmp_path / "a.csv", payments(6, amount_minor="12.50")), "--skip-bad", "--json") == 2
    summary = json.loads(capsys.readouterr().out)
    assert [summary[name] for name in ("good", "bad", "refused", "header", "lines")] == [0, 0, 6, 1, 7]


def test_a_dry_run_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "build_producer", None)
    assert run(write_json(tmp_path / "a.jsonl", payments(2))) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_the_counts_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    check = Checker.check

    def interrupted(self: Checker) -> Iterator[Checked]:
        for checked in check(self):
            yield checked
            signal.raise_signal(number)

    monkeypatch.setattr(Checker, "check", interrupted)
    assert run(write_csv(tmp_path / "a.csv", payments(12_000)), "--json") == 128 + number
    output = capsys.readouterr()
    assert json.loads(output.out)["good"] == 5_000
    assert f"stopped by signal {number.value}; what follows line 5001 was not read" in output.err


def test_a_file_of_labels_is_checked_as_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_json(tmp_path / "labels.jsonl", [LABEL, LABEL | {"is_fraud": "perhaps"}])
    assert run(path, "--kind", "labels", "--skip-bad", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["good"] == 1
    assert "labels.jsonl:2: wrong_type" in shown.err
