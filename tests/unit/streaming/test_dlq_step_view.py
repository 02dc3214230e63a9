"""A plan names each letter, and the old and the new value of what a repair changes."""

from __future__ import annotations

from tests.unit.streaming.dead_letter_samples import PAYMENT, SCHEMA_ID, OneSchema, frame, letter
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.plan import Repaired, Step
from weir.streaming.dlq.repair import build_field_repair
from weir.streaming.dlq.step_view import describe_step, step_line


def _described(dead: DeadLetter, record: Repaired | None) -> str:
    return step_line(describe_step(Step(dead, "replayed", "replayed", 1, record), OneSchema(), "device_id"))


def test_a_repaired_letter_is_shown_with_its_id_and_its_old_and_new_values() -> None:
    dead = letter(value=frame(PAYMENT | {"device_id": "d1"}))
    record = build_field_repair({"amount_minor": "500", "lat": "null"}, OneSchema(), key_field="card_id")(dead)
    assert _described(dead, record) == (
        "transactions.dlq-3-17: replayed, reason amount_out_of_range, key c1, device_id d1, amount_minor: -5 -> 500"
    )


def test_a_letter_that_goes_as_it_is_needs_no_registry_to_be_shown() -> None:
    dead = letter(value=b"whatever")
    line = "transactions.dlq-3-17: replayed, reason amount_out_of_range, key c1"
    assert _described(dead, Repaired(dead.key, dead.value)) == line
    assert _described(dead, None) == line


def test_a_new_key_is_shown_also_where_the_record_cannot_be_decoded() -> None:
    dead = letter(value=frame(PAYMENT, SCHEMA_ID + 1))
    shown = describe_step(Step(dead, "replayed", "replayed", 1, Repaired(b"c2", b"new", rekeyed=True)), OneSchema(), "")
    assert shown["changes"]["key"] == ["c1", "c2"]
    assert shown["changes"]["value"][1] == "new"


def test_a_card_number_is_masked_in_what_was_and_what_will_be() -> None:
    dead = letter(key=b"4111111111111111", value=frame(PAYMENT | {"card_id": "4111111111111111"}))
    record = build_field_repair({"card_id": "4000056655665556"}, OneSchema(), key_field="card_id")(dead)
    line = _described(dead, record)
    assert "************1111 -> ************5556" in line
    assert "4111111111111111" not in line
    assert "4000056655665556" not in line
