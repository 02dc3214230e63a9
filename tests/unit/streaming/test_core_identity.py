"""Which rows count: duplicates and reused ids, by append time."""

from __future__ import annotations

from tests.payments import DAY_MS, Entity
from tests.unit.streaming.streams import START_MS, Driver, event
from weir.streaming.core.layout import ID_SLOTS
from weir.streaming.kernels import shipped_kernel


def test_the_same_id_of_the_same_card_is_a_duplicate_within_a_day_of_append_time() -> None:
    #   append:  0      24h - 1ms (duplicate)      24h (counts again: the horizon is open at its end)
    rows = [
        event(START_MS, transaction_id="a"),
        event(START_MS, transaction_id="a", append_ms=START_MS + DAY_MS - 1),
        event(START_MS, transaction_id="a", append_ms=START_MS + DAY_MS),
    ]
    assert Driver().run(rows).verdicts.tolist() == [0, 1, 0]


def test_the_same_id_with_another_body_is_a_reused_id() -> None:
    rows = [event(transaction_id="a", digest=1), event(transaction_id="a", digest=2)]
    assert Driver().run(rows).verdicts.tolist() == [0, 2]


def test_the_same_id_of_another_card_counts() -> None:
    rows = [event(transaction_id="a"), event(transaction_id="a", card_id="c-2")]
    assert Driver().run(rows).verdicts.tolist() == [0, 0]


def test_the_same_id_in_another_partition_counts_there() -> None:
    rows = [event(transaction_id="a"), event(transaction_id="a", partition=1)]
    assert Driver(2).run(rows).verdicts.tolist() == [0, 0]


def test_a_late_row_repeated_is_still_a_duplicate() -> None:
    rows = [event(START_MS), event(START_MS - 40 * DAY_MS, append_ms=START_MS), event(START_MS - 40 * DAY_MS, append_ms=START_MS)]  # fmt: skip  # noqa: E501
    done = Driver().run(rows)
    assert done.verdicts.tolist() == [0, 0, 1]
    assert done.late.tolist() == [False, True, False]


def test_ids_outlive_the_ring_and_are_bounded() -> None:
    driver = Driver()
    rows = [event(START_MS + i, transaction_id=f"t-{i}") for i in range(ID_SLOTS + 1)]
    assert not driver.run(rows, [1_000, 3_000]).verdicts.any()
    assert driver.step([rows[1], rows[0]]).verdicts.tolist() == [1, 0]  # the very first was pushed out
    partial = shipped_kernel().decode_partial(Entity.CARD, driver.states[Entity.CARD, 0, "c-1"])
    assert partial is not None
    assert len(partial.ids) == ID_SLOTS
