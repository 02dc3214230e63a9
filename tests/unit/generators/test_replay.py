from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.generators.worlds import encoder, history
from weir.generators.history import History, write_history
from weir.generators.outgoing import Outgoing
from weir.generators.replay import history_blocks
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import Refused, WeirError
from weir.schemas.placeholders import BUILT_IN

ROWS = 3_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = history()
    path = tmp_path_factory.mktemp("history")
    write_history(
        History(whole.transactions.slice(0, ROWS), whole.labels.slice(0, 500), whole.truth.slice(0, ROWS)), path
    )
    return path


def replay(folder: Path, speed: float | None = None) -> list[Outgoing]:
    return list(
        history_blocks(
            folder,
            transactions=(encoder(), "payments"),
            labels=(encoder("labels"), "verdicts"),
            start_ms=1_000_000,
            speed=speed,
            placeholders=BUILT_IN,
        )
    )


def decode(kind: str, values: list[bytes | None]) -> pa.RecordBatch:
    decoded = BatchCodec(kind).decode(values, lambda i: WriterSchema(i, subject_ok=True, schema=schema_json(kind)))
    assert decoded.errors == []
    return decoded.batch


def test_every_payment_and_label_is_sent_once_with_its_own_times(folder: Path) -> None:
    blocks = replay(folder)
    payments = [value for block in blocks if block.topic == "payments" for value in block.values]
    labels = [value for block in blocks if block.topic == "verdicts" for value in block.values]
    assert decode("transactions", payments).to_pydict() == history().transactions.slice(0, ROWS).to_pydict()
    assert decode("labels", labels).to_pydict() == history().labels.slice(0, 500).to_pydict()


def test_the_key_is_the_card(folder: Path) -> None:
    for block in replay(folder):
        kind = "transactions" if block.topic == "payments" else "labels"
        assert [key.decode() for key in block.keys if key] == decode(kind, block.values)["card_id"].to_pylist()


def test_at_full_speed_everything_is_due_at_once(folder: Path) -> None:
    assert all((block.due_ms == 0).all() for block in replay(folder))


def test_at_a_given_speed_the_gaps_shrink_by_it(folder: Path) -> None:
    payments = next(block for block in replay(folder, speed=1000.0) if block.topic == "payments")
    times = history().transactions["event_time_ms"].to_numpy()[:ROWS]
    np.testing.assert_allclose(payments.due_ms, 1_000_000 + (times - times[0]) / 1000)


def test_a_folder_without_a_history_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="--to parquet"):
        replay(tmp_path)


def test_a_file_that_is_damaged_or_holds_a_bad_row_is_refused_before_anything_is_sent(folder: Path) -> None:
    own = folder / "own"
    own.mkdir()
    (own / "labels.parquet").write_bytes((folder / "labels.parquet").read_bytes())
    (own / "transactions.parquet").write_bytes((folder / "transactions.parquet").read_bytes()[:-40])
    with pytest.raises(Refused, match="expected a Parquet file"):
        replay(own)
    rows = pq.read_table(folder / "transactions.parquet").to_pylist()
    rows[-1]["currency"] = "ZZZ"
    pq.write_table(pa.Table.from_pylist(rows), own / "transactions.parquet")
    with pytest.raises(WeirError, match="1 bad of 3000 rows"):
        replay(own)
