from __future__ import annotations

import numpy as np
import pytest

from tests.payments import DAY_MS, HORIZON_MS, MINUTE_MS
from tests.unit.generators.worlds import END_MS, encoder, events, population
from weir.generators.events import compute_transactions
from weir.generators.faults import Faults, compute_shifted_ms, make_malformed, malformed_of
from weir.generators.live import LivePlan, live_blocks
from weir.generators.outgoing import Outgoing
from weir.generators.seeds import rng_for
from weir.schemas.avro.codec import BatchCodec, Decoded, WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.validation import validate_events
from weir.schemas.streams.payments import payments

# malformed on purpose, but only a neighbour record or the state shows it
SEEN_ONLY_BY_THE_PROCESSOR = {"id_reused"}


def decode(values: list[bytes | None]) -> Decoded:
    def schema_of(schema_id: int) -> WriterSchema | PoisonRecord:
        if schema_id in {1, 2}:
            return WriterSchema(schema_id, subject_ok=True, schema=schema_json("transactions", schema_id))
        return PoisonRecord("unknown_schema_id", "not registered")

    return BatchCodec("transactions").decode(values, schema_of)


def errors_of(key: bytes | None, value: bytes | None) -> list[str]:
    decoded = decode([value])
    times = decoded.batch["event_time_ms"].to_numpy()
    now = np.full(len(times), END_MS)
    found = validate_events(payments, decoded.batch, keys=[key] * len(times), append_time_ms=now, placeholders=BUILT_IN)
    return [error.reason for _, error in (*decoded.errors, *found)]


def a_payment() -> dict[str, object]:
    one = events().take(slice(len(events()) - 1, len(events())))
    row: dict[str, object] = compute_transactions(one, population()).to_pylist()[0]
    return row


def stream(faults: Faults, v1_share: float = 0.0) -> list[Outgoing]:
    plan = LivePlan(END_MS, rate_per_second=200, seconds=20, faults=faults, v1_share=v1_share)
    return list(live_blocks(population(), plan, encoder(), "payments"))


@pytest.mark.parametrize("name", sorted(set(malformed_of(payments)) - SEEN_ONLY_BY_THE_PROCESSOR))
def test_each_malformed_kind_is_refused(name: str) -> None:
    assert errors_of(*make_malformed(name, a_payment(), encoder()))


def test_a_copy_from_the_future_is_refused_even_when_its_original_was_sent_late() -> None:
    late = {"event_time_ms": END_MS - HORIZON_MS - 3 * DAY_MS}
    assert errors_of(*make_malformed("future_time", a_payment() | late, encoder())) == ["from_future"]


def test_a_reused_id_is_a_sound_record_with_the_same_id_and_another_amount() -> None:
    payment = a_payment()
    key, value = make_malformed("id_reused", payment, encoder())
    row = decode([value]).batch.to_pylist()[0]
    assert errors_of(key, value) == []
    assert row["transaction_id"] == payment["transaction_id"]
    assert row["amount_minor"] != payment["amount_minor"]


def test_other_malformed_copies_have_ids_of_their_own() -> None:
    payment = a_payment()
    _, value = make_malformed("key_mismatch", payment, encoder())
    assert decode([value]).batch["transaction_id"].to_pylist() != [payment["transaction_id"]]


def test_without_faults_every_record_is_good_and_due_in_order() -> None:
    for block in stream(Faults()):
        decoded = decode(block.values)
        assert decoded.errors == []
        assert decoded.batch["transaction_id"].equals(block.truth["transaction_id"])  # type: ignore[index]
        assert (np.diff(block.due_ms) >= 0).all()


def test_an_event_time_is_the_moment_the_record_is_due() -> None:
    block = stream(Faults())[0]
    times = decode(block.values).batch["event_time_ms"].to_numpy()
    np.testing.assert_array_equal(times, block.due_ms.astype(np.int64))


def test_injected_records_come_on_top_of_the_good_ones() -> None:
    plain, mixed = stream(Faults()), stream(Faults(duplicates=0.05, malformed=0.05))
    good = {identity for block in plain for identity in block.truth["transaction_id"].to_pylist()}  # type: ignore[index]
    seen = [i for block in mixed for i in decode(block.values).batch["transaction_id"].to_pylist()]
    kinds = sum((block.kinds for block in mixed), mixed[0].kinds - mixed[0].kinds)
    assert good <= set(seen)
    assert kinds["duplicate"] > 0
    assert sum(len(block) for block in mixed) == len(good) + kinds["duplicate"] + sum(
        count for name, count in kinds.items() if name.startswith("malformed.")
    )


def test_a_duplicate_is_the_same_bytes_sent_later() -> None:
    for block in stream(Faults(duplicates=0.1)):
        pairs = list(zip(block.keys, block.values, strict=True))
        twice = [pair for pair in set(pairs) if pairs.count(pair) == 2]
        assert len(twice) == block.kinds["duplicate"] > 0
        assert (np.diff(block.due_ms) >= 0).all()


def test_late_payments_are_beyond_the_horizon_and_out_of_order_ones_within_the_hour() -> None:
    times = np.full(10_000, END_MS)
    shifted, kinds = compute_shifted_ms(rng_for(1), times, Faults(late=0.1, out_of_order=0.2))
    age = END_MS - shifted
    assert kinds["late"] == (age > HORIZON_MS).sum() == pytest.approx(1_000, rel=0.2)
    behind = (age > 0) & (age <= 30 * MINUTE_MS)
    assert kinds["out_of_order"] == behind.sum() == pytest.approx(2_000, rel=0.2)


def test_a_share_of_version_1_is_mixed_in_and_still_read() -> None:
    blocks = stream(Faults(), v1_share=0.3)
    ids = np.concatenate([decode(block.values).schema_ids for block in blocks])
    assert 0.2 < (ids == 1).mean() < 0.4
    assert sum(block.kinds["v1"] for block in blocks) == (ids == 1).sum()


def test_a_seed_and_a_start_fix_every_byte() -> None:
    faults = Faults(late=0.01, out_of_order=0.01, duplicates=0.01, malformed=0.01)
    for one, other in zip(stream(faults, 0.1), stream(faults, 0.1), strict=True):
        assert one.values == other.values
        assert one.keys == other.keys


def test_encoded_by_both_versions_rows_keep_their_places() -> None:
    batch = compute_transactions(events().take(slice(0, 50)), population())
    oldest = np.arange(50) % 3 == 0
    rows = decode(list(encoder().encode_mixed(batch, oldest))).batch
    assert rows["transaction_id"].equals(batch["transaction_id"])
    assert [row is None for row in rows["issuer_country"].to_pylist()] == oldest.tolist()
