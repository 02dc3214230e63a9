"""A field that ``--set`` names wrongly is refused before anything is said of the letters, settled ones included."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

import weir.cli
from tests.unit.streaming.dead_letter_samples import PAYMENT, SCHEMA, OneSchema, frame, letter
from tests.unit.streaming.test_dlq_cli import _Log
from weir.infra.settings import load_settings
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.errors import Refused
from weir.streaming.dlq import cli as dlq_cli
from weir.streaming.dlq.field_names import refuse_unknown_fields
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.log import Selection


class _Letters:
    """A dead letter topic of one letter, which counts how often it is read."""

    def __init__(self, topic: str = "transactions.dlq", value: bytes | None = None) -> None:
        self.topic, self.read = topic, 0
        self._letter = letter(value=value)

    def ends(self) -> dict[int, int]:
        return {3: 18}

    def scan(self, *_: object) -> Generator[DeadLetter, None, None]:
        self.read += 1
        yield self._letter


class _Wider(OneSchema):
    """Its one schema has a field that the stream's own has not."""

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema:
        fields = [*SCHEMA["fields"], {"name": "colour", "type": "string"}]
        return WriterSchema(schema_id, bool(subject), json.dumps(SCHEMA | {"fields": fields}))


def _check(name: str, log: _Letters, schemas: Any = None) -> None:
    refuse_unknown_fields([name], load_settings({}), log, Selection(), schemas or OneSchema())  # type: ignore[arg-type]


def test_a_field_of_the_streams_own_is_taken_without_reading_letters() -> None:
    log = _Letters()
    _check("amount_minor", log)
    assert log.read == 0


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Refused, match=r"found 'amount_minr'; did you mean amount_minor\?"):
        _check("amount_minr", _Letters(value=frame(PAYMENT)))


def test_a_field_that_only_a_letters_own_schema_has_is_taken() -> None:
    red = frame(PAYMENT) + b"\x06red"  # Avro's length 3, then the text
    _check("colour", _Letters(value=red), _Wider())
    with pytest.raises(Refused, match="did you mean colour"):
        _check("color", _Letters(value=red), _Wider())


def test_labels_have_the_fields_of_labels() -> None:
    with pytest.raises(Refused, match=r"records of labels.dlq, found 'amount_minor'"):
        _check("amount_minor", _Letters("labels.dlq"))


def test_the_command_refuses_it_also_where_no_letter_is_left_to_repair(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    assert weir.cli.main(["dlq", "replay", "--reason", "decoder_died", "--set", "card_d=c1"]) == 2
    assert "found 'card_d'; did you mean card_id?" in capsys.readouterr().err
