from __future__ import annotations

import pyarrow as pa

from weir.schemas.streams.payments import payments
from weir.training.labels import FRAUD, LEGITIMATE, UNKNOWN, build_keys, join_labels


def _labels(*rows: tuple[str, str, int, bool | None]) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {
            "transaction_id": pa.array(columns[0], pa.string()),
            "card_id": pa.array(columns[1], pa.string()),
            "label_time_ms": pa.array(columns[2], pa.int64()),
            "is_fraud": pa.array(columns[3], pa.bool_()),
        }
    )


def _join(labels: pa.Table, cut_ms: int, ids: tuple[str, ...] = ("a",), card: str = "c1") -> list[int]:
    keys = build_keys(pa.table({"card_id": [card] * len(ids), "transaction_id": list(ids)}), payments)
    return list(join_labels(keys, labels, payments, cut_ms=cut_ms))


def test_a_label_later_than_the_cut_does_not_exist() -> None:
    labels = _labels(("a", "c1", 100, True))
    assert _join(labels, 99) == [UNKNOWN]
    assert _join(labels, 100) == [FRAUD]


def test_the_newest_label_known_at_the_cut_wins_whatever_the_order() -> None:
    #  10: legitimate   20: fraud   30: withdrawn
    rows = [("a", "c1", 30, None), ("a", "c1", 10, False), ("a", "c1", 20, True)]
    for labels in (_labels(*rows), _labels(*reversed(rows))):
        assert [_join(labels, cut)[0] for cut in (5, 15, 25, 35)] == [UNKNOWN, LEGITIMATE, FRAUD, UNKNOWN]


def test_of_two_labels_at_one_moment_the_withdrawal_wins() -> None:
    assert _join(_labels(("a", "c1", 10, None), ("a", "c1", 10, True)), 10) == [UNKNOWN]


def test_the_same_transaction_id_on_another_card_is_another_transaction() -> None:
    labels = _labels(("a", "c1", 10, True))
    assert _join(labels, 10, card="c2") == [UNKNOWN]


def test_a_transaction_without_a_label_stays_unknown() -> None:
    labels = _labels(("a", "c1", 10, True), ("b", "c1", 10, False))
    assert _join(labels, 10, ids=("x", "b", "a")) == [UNKNOWN, LEGITIMATE, FRAUD]


def test_labels_in_several_chunks_join_like_one() -> None:
    parts = [_labels(("a", "c1", 10, True)), _labels(("b", "c1", 11, False))]
    assert _join(pa.concat_tables(parts), 20, ids=("a", "b")) == [FRAUD, LEGITIMATE]
