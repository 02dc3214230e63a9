"""Records decoded in real children: which of them are found to end their decoder, and which are not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from schemas.codec import WriterSchema
from schemas.contracts import schema_json
from schemas.errors import PoisonRecord, WeirError
from streaming import isolation
from streaming.isolation import Examined, examine
from tests.integration import fragile_decoder
from tests.integration.fragile_decoder import ENDS, HANGS, IS_ENDED_ONCE
from tests.integration.payments import build_payment, encode_body, frame

SOUND = frame(1, encode_body(build_payment("sound")))


def _schema_of(schema_id: int) -> WriterSchema | PoisonRecord:
    if schema_id == 1:
        return WriterSchema(1, True, schema_json("transactions"))
    return PoisonRecord("unknown_schema_id", "expected a registered schema id")


def _examine(values: list[bytes | None], seconds: float = 60.0) -> Examined:
    return examine("transactions", values, _schema_of, deadline=time.monotonic() + seconds)


@pytest.fixture(autouse=True)
def _fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "decode_each", fragile_decoder.decode_each)
    monkeypatch.setattr(isolation, "ANSWER_SECONDS", 1.0)


def test_records_that_end_or_hang_the_decoder_are_told_from_sound_and_malformed_ones() -> None:
    found = _examine([SOUND, ENDS, None, b"garbage", HANGS, frame(2, b"?"), ENDS, SOUND])
    assert found.end == 8
    assert {place: how.split()[0] for place, how in found.killers.items()} == {1: "exit", 4: "no", 6: "exit"}


def test_a_child_that_somebody_else_ended_condemns_no_record(tmp_path: Path) -> None:
    note = tmp_path / "was ended"
    assert _examine([SOUND, IS_ENDED_ONCE + str(note).encode(), SOUND]) == Examined(3, {})
    assert note.exists()


def test_with_no_time_left_the_first_record_is_examined_all_the_same() -> None:
    assert _examine([SOUND] * 200, seconds=0.0) == Examined(1, {})
    found = _examine([ENDS, SOUND], seconds=0.0)
    assert (found.end, list(found.killers)) == (1, [0])


def test_a_child_that_cannot_start_says_nothing_of_any_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "decode_each", fragile_decoder.end_at_once)
    with pytest.raises(WeirError, match="could not be started"):
        _examine([SOUND])
