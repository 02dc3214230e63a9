from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.payments import DAY_MS, FEATURE_NAMES, HOUR_MS
from tests.unit.infra.user_files.files import write_json
from tests.unit.training.worlds import START_MS
from weir.infra.user_files.door import Manner
from weir.infra.user_files.mapping import load_mapping
from weir.schemas.errors import Refused, WeirError
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.backfill import backfill
from weir.streaming.kernels import shipped_kernel
from weir.training.history import load_history, replay

ROWS = 300
PAST = 200
RISK = [column for column, name in enumerate(FEATURE_NAMES) if "_risk_" in name]


def _transactions(rows: int = ROWS) -> pa.RecordBatch:
    rng = np.random.default_rng(3)
    return pa.RecordBatch.from_pydict(
        {
            "transaction_id": [f"t{i}" for i in range(rows)],
            "card_id": [f"card_{i}" for i in rng.integers(0, 9, rows)],
            "customer_id": [f"customer_{i}" for i in rng.integers(0, 7, rows)],
            "merchant_id": [f"merchant_{i}" for i in rng.integers(0, 4, rows)],
            "mcc": pa.array(rng.integers(1000, 6000, rows), pa.int32()),
            "channel": ["ECOM", "POS"] * (rows // 2),
            "amount_minor": rng.integers(50, 90_000, rows),
            "currency": ["USD"] * rows,
            "country": ["US", "US", "FR"] * (rows // 3),
            "event_time_ms": START_MS + np.arange(rows) * 3 * HOUR_MS,
            "outcome": ["ACCEPTED"] * rows,
            "device_id": [None if i % 3 == 0 else f"device_{i % 5}" for i in range(rows)],
            "ip": pa.nulls(rows, pa.string()),
            "lat": pa.nulls(rows, pa.float64()),
            "lon": pa.nulls(rows, pa.float64()),
            "issuer_country": ["US"] * rows,
        }
    )


def _labels(transactions: pa.RecordBatch, *, delay_ms: int = 3 * DAY_MS) -> pa.Table:
    columns = ["transaction_id", "card_id", "merchant_id", "device_id", "event_time_ms"]
    labels = pa.table(transactions.select(columns))
    times = labels["event_time_ms"].to_numpy()
    labels = labels.append_column("label_time_ms", pa.array(times + delay_ms))
    labels = labels.append_column("is_fraud", pa.array(np.arange(labels.num_rows) % 7 == 0))
    return labels.append_column("source", pa.array(["analyst"] * labels.num_rows))


def _batches(transactions: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Slices of fifty rows."""
    return [transactions.slice(start, 50) for start in range(0, transactions.num_rows, 50)]


def test_features_are_the_kernels_own_bit_for_bit() -> None:
    transactions = _transactions()
    labels = _labels(transactions)
    examples = replay(shipped_kernel(), _batches(transactions), labels, BUILT_IN)
    expected = np.concatenate(
        [step.features for _, step in backfill(shipped_kernel(), _batches(transactions), labels, placeholders=BUILT_IN)]
    )
    assert examples.features.tobytes() == expected.tobytes()
    assert not np.isnan(examples.features[:, RISK]).all()


def test_shuffling_the_future_does_not_change_the_past() -> None:
    transactions = _transactions()
    labels = _labels(transactions)
    future = np.random.default_rng(1).permutation(np.arange(PAST, ROWS))
    shuffled = transactions.take(pa.array(np.concatenate([np.arange(PAST), future])))
    times = shuffled.schema.get_field_index("event_time_ms")
    shuffled = shuffled.set_column(times, "event_time_ms", transactions["event_time_ms"])
    before, after = (
        replay(shipped_kernel(), _batches(transactions), labels, BUILT_IN),
        replay(shipped_kernel(), _batches(shuffled), labels, BUILT_IN),
    )
    assert before.features[:PAST].tobytes() == after.features[:PAST].tobytes()
    assert before.features[PAST:].tobytes() != after.features[PAST:].tobytes()


def test_labels_that_become_known_later_do_not_change_a_feature() -> None:
    transactions = _transactions()
    last_ms = transactions["event_time_ms"][-1].as_py()
    late = _labels(transactions, delay_ms=last_ms)
    assert (
        replay(shipped_kernel(), _batches(transactions), late, BUILT_IN).features.tobytes()
        == replay(shipped_kernel(), _batches(transactions), None, BUILT_IN).features.tobytes()
    )


def test_labels_that_become_known_in_time_are_seen_however_the_history_is_cut() -> None:
    #   a label is known three days after its payment, and risk is held back for seven: rows see it from day eight on
    transactions = _transactions()
    whole = replay(shipped_kernel(), [transactions], _labels(transactions), BUILT_IN).features[:, RISK]
    one_by_one = replay(
        shipped_kernel(), [transactions.slice(row, 1) for row in range(ROWS)], _labels(transactions), BUILT_IN
    ).features[:, RISK]
    assert whole.tobytes() == one_by_one.tobytes()
    column = RISK.index(FEATURE_NAMES.index("merchant_label_risk_30d"))
    seen = ~np.isnan(whole[:, column])
    assert not seen[: 7 * 8].any(), "eight payments a day"
    assert seen[7 * 16 :].all()


def test_a_duplicate_is_left_out_as_it_is_in_the_stream() -> None:
    transactions = _transactions(30)
    twice = pa.Table.from_batches([transactions, transactions.slice(29, 1)]).combine_chunks().to_batches()
    assert len(replay(shipped_kernel(), twice, None, BUILT_IN)) == 30


def test_a_folder_is_read_in_event_time_order_with_every_label(tmp_path: Path) -> None:
    transactions = _transactions()
    pq.write_table(pa.Table.from_batches([transactions]), tmp_path / "transactions.parquet")
    pq.write_table(_labels(transactions), tmp_path / "labels.parquet")
    examples, labels = load_history(shipped_kernel(), tmp_path)
    assert (len(examples), labels.num_rows) == (ROWS, ROWS)
    assert bool(np.all(np.diff(examples.event_time_ms) >= 0))


def test_the_files_of_a_folder_may_be_of_any_format_and_a_mapping_may_label_them(tmp_path: Path) -> None:
    transactions = _transactions()
    expected = replay(shipped_kernel(), [transactions], _labels(transactions), BUILT_IN)
    rows = transactions.to_pylist()
    write_json(tmp_path / "transactions.jsonl", rows)
    write_json(tmp_path / "labels.ndjson", _labels(transactions).to_pylist())
    examples, labels = load_history(shipped_kernel(), tmp_path)
    assert (len(examples), labels.num_rows) == (ROWS, ROWS)
    assert examples.features.tobytes() == expected.features.tobytes()

    own = tmp_path / "own"
    own.mkdir()
    path = write_json(own / "mine.jsonl", [row | {"fraud": number % 7 == 0} for number, row in enumerate(rows)])
    (own / "map.toml").write_text('label = { column = "fraud", delay = "3d", source = "analyst" }')
    mapped, own_labels = load_history(shipped_kernel(), path, Manner(mapping=load_mapping(own / "map.toml")))
    assert mapped.features.tobytes() == examples.features.tobytes()
    assert own_labels.select(labels.schema.names).to_pylist() == labels.to_pylist()


def test_a_bad_row_refuses_a_history_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transactions = _transactions()
    rows = transactions.to_pylist()
    rows[4]["card_id"] = None
    write_json(tmp_path / "transactions.jsonl", rows)
    write_json(tmp_path / "labels.jsonl", _labels(transactions).to_pylist())
    with pytest.raises(WeirError, match="1 bad of 300 rows"):
        load_history(shipped_kernel(), tmp_path)
    assert "transactions.jsonl:5: missing_field" in capsys.readouterr().err
    assert len(load_history(shipped_kernel(), tmp_path, skip_bad=True)[0]) == ROWS - 1


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("transactions.csv", "transactions.parquet"):
        (tmp_path / name).write_text("")
    with pytest.raises(Refused, match=r"transactions\.csv and transactions\.parquet"):
        load_history(shipped_kernel(), tmp_path)


def test_a_missing_file_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="weir generate --to parquet"):
        load_history(shipped_kernel(), tmp_path)


def test_a_history_without_transactions_is_refused() -> None:
    with pytest.raises(Refused, match="expected transactions, found none"):
        replay(shipped_kernel(), [], None, BUILT_IN)
