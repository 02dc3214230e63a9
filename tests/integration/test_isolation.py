"""Records decoded in real children: which of them are found to end their decoder, and which are not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration import fragile_decoder
from tests.integration.fragile_decoder import ENDS, HANGS, IS_ENDED_ONCE
from tests.integration.payments import build_payment, encode_body, frame
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord
from weir.streaming import isolation
from weir.streaming.isolation import Examined, examine

HANG_SEEN_SECONDS = 4.0
"""It is waited for twice; a sound record makes a plan of its schema first, in 0.2 s of a core that others want too."""
SOUND = frame(1, encode_body(build_payment("sound")))


def _schema_of(schema_id: int) -> WriterSchema | PoisonRecord:
    versions = {1: 2, fragile_decoder.ENDS_BY_SCHEMA: 1}
    if schema_id in versions:
        return WriterSchema(schema_id, True, schema_json("transactions", versions[schema_id]))
    return PoisonRecord("unknown_schema_id", "expected a registered schema id")


def _examine(values: list[bytes | None], seconds: float = 60.0) -> Examined:
    return examine(schema_json("transactions"), values, _schema_of, deadline=time.monotonic() + seconds)


@pytest.fixture(autouse=True)
def _fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "decode_each", fragile_decoder.decode_each)


def test_records_that_end_or_hang_the_decoder_are_told_from_sound_and_malformed_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "ANSWER_SECONDS", HANG_SEEN_SECONDS)
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
    assert _examine([SOUND]) == Examined(0, {}, "it ended before it was ready: exit code 1")


@pytest.mark.parametrize("error", [BlockingIOError(11, "no processes left"), EOFError(), OSError(12, "no memory")])
def test_a_process_that_the_machine_does_not_give_is_no_end_of_the_service(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(isolation._CONTEXT.Process, "start", refuse)
    found = _examine([SOUND])
    assert (found.end, found.killers) == (0, {})
    assert type(error).__name__ in found.obstacle


def test_no_file_descriptor_for_a_pipe_is_no_end_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(isolation._CONTEXT, "Pipe", refuse)
    assert _examine([SOUND]) == Examined(0, {}, "no pipe: too many open files")


def test_a_schema_that_ends_its_reader_is_found_by_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "decode_each", fragile_decoder.decode_each_with_fragile_plans)
    foreign = frame(fragile_decoder.ENDS_BY_SCHEMA, encode_body(build_payment("foreign")))
    found = _examine([SOUND, foreign, SOUND, foreign])
    assert (found.end, list(found.killers), found.obstacle) == (4, [1, 3], "")
