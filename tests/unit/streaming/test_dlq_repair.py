"""Repairs change the named fields and nothing else, and refuse what their schema does not allow."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.unit.streaming.dead_letter_samples import PAYMENT, SCHEMA, OneSchema, frame, letter, unframe
from weir.schemas.errors import PoisonRecord, Refused
from weir.streaming.dlq.plan import Repaired
from weir.streaming.dlq.repair import build_field_repair, build_hook_repair, decode_letter, parse_assignments


def test_a_field_is_set_and_every_other_keeps_its_value() -> None:
    repaired = build_field_repair({"amount_minor": "500"}, OneSchema(), key_field="card_id")(letter())
    assert unframe(repaired.value) == PAYMENT | {"amount_minor": 500}
    assert (repaired.key, repaired.rekeyed) == (b"c1", False)
    assert (repaired.value or b"")[:5] == frame(PAYMENT)[:5]


def test_texts_are_read_by_the_type_of_their_field() -> None:
    given = {"device_id": "123", "lat": "1.5", "channel": "ATM"}
    assert unframe(build_field_repair(given, OneSchema(), key_field="card_id")(letter()).value) == PAYMENT | {
        "device_id": "123",
        "lat": 1.5,
        "channel": "ATM",
    }
    dead = letter(value=frame(PAYMENT | {"device_id": "d1"}))
    repaired = build_field_repair({"device_id": "null"}, OneSchema(), key_field="card_id")(dead)
    assert unframe(repaired.value)["device_id"] is None


def test_a_new_card_id_becomes_the_key_and_the_partition_follows_from_it() -> None:
    repaired = build_field_repair({"card_id": "c2"}, OneSchema(), key_field="card_id")(letter())
    assert (repaired.key, repaired.rekeyed) == (b"c2", True)
    same = build_field_repair({"card_id": "c1"}, OneSchema(), key_field="card_id")(letter())
    assert same.rekeyed is False


@pytest.mark.parametrize(
    "given", [{"amount_minor": "many"}, {"amount_minor": "1.5"}, {"channel": "MOON"}, {"colour": "red"}, {"lat": "x"}]
)
def test_a_value_of_another_type_or_an_unknown_field_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(PoisonRecord, match="--set"):
        build_field_repair(given, OneSchema(), key_field="card_id")(letter())


@pytest.mark.parametrize("value", [None, b"", b"\x01\x00\x00\x00\x07", frame(PAYMENT)[:7], frame(PAYMENT, 8)])
def test_what_cannot_be_decoded_is_refused_with_a_reason(value: bytes | None) -> None:
    with pytest.raises(PoisonRecord, match="expected"):
        decode_letter(letter(value=value), OneSchema())


def test_a_hook_changes_key_and_value(tmp_path: Path) -> None:
    file = tmp_path / "repair.py"
    file.write_text("def repair(key, value, letter):\n    return b'c9', value + letter.reason.encode()\n")
    repaired = build_hook_repair(f"{file}:repair")(letter(value=b"v"))
    assert (repaired.key, repaired.value, repaired.rekeyed) == (b"c9", b"vamount_out_of_range", True)


@pytest.mark.parametrize("body", ["return None", "return 'text', value", "return key", "raise KeyError('x')"])
def test_a_hook_that_fails_or_returns_something_else_leaves_the_letter_open(tmp_path: Path, body: str) -> None:
    file = tmp_path / "repair.py"
    file.write_text(f"def repair(key, value, letter):\n    {body}\n")
    with pytest.raises(PoisonRecord, match="hook"):
        build_hook_repair(f"{file}:repair")(letter())


@pytest.mark.parametrize("place", ["", "repair.py", "no_such_file.py:repair", ":repair"])
def test_a_hook_that_is_not_there_is_refused_in_one_line(place: str) -> None:
    with pytest.raises(Refused, match="--hook"):
        build_hook_repair(place)


def test_a_hook_file_without_the_function_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repair.py").write_text("x = 1\n")
    with pytest.raises(Refused, match="function 'repair'"):
        build_hook_repair(f"{tmp_path / 'repair.py'}:repair")


def test_assignments_may_hold_an_equals_sign_and_need_a_name() -> None:
    assert parse_assignments(["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    for text in ("a", "=b"):
        with pytest.raises(Refused, match="field=value"):
            parse_assignments([text])


def test_what_ended_its_decoder_is_not_decoded_again() -> None:
    with pytest.raises(PoisonRecord, match="not decoded again"):
        decode_letter(letter(reason="decoder_died"), OneSchema())


def test_the_hook_of_the_runbook_keys_a_payment_by_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "repair.py").write_text(code)
    (tmp_path / "transactions.avsc").write_text(json.dumps(SCHEMA))
    monkeypatch.chdir(tmp_path)
    dead = letter(key=b"someone else", reason="key_mismatch")
    assert build_hook_repair("repair.py:repair")(dead) == Repaired(b"c1", dead.value, rekeyed=True)
