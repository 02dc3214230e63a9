"""The oracle's rules that few seeds reach."""

from __future__ import annotations

from tests.faults.oracle import DAY, find_risk, remembered

BEGIN = 1_700_000_000_000 // DAY * DAY


def _label(number: int, days: float, card: str = "c") -> dict[str, object]:
    at = BEGIN + int(days * DAY)
    return {
        "transaction_id": f"t{number}", "card_id": card, "merchant_id": "m", "device_id": None,
        "event_time_ms": at, "label_time_ms": at + 1, "is_fraud": True,
    }  # fmt: skip


def test_a_label_of_a_payment_that_the_ledger_has_forgotten_changes_nothing() -> None:
    """Its pane may still be in the window: panes are days here, and the ledger forgets to the millisecond."""
    newest, old, young = _label(1, 100.5), _label(2, 63.2), _label(3, 63.7)
    for order, expected in (([newest, old, young], [newest, young]), ([old, young, newest], [old, young, newest])):
        assert list(remembered((0, one) for one in order)) == expected
    at_ms = newest["event_time_ms"]
    assert isinstance(at_ms, int)
    shown = [len([one for one in (old, young) if find_risk([one], "merchant_id", "m", "30d", at_ms) == 1.0])]
    assert shown == [2]


def test_each_card_and_partition_remembers_by_itself() -> None:
    newest, old, other = _label(1, 100.5), _label(2, 10.0), _label(3, 10.0, card="d")
    assert list(remembered([(0, newest), (1, old), (0, other)])) == [newest, old, other]
