"""A record that ends the process that decodes it is archived undecoded, and every other one as ever."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.archive.test_archiver import Record
from tests.unit.archive.test_rows import build_maker
from tests.unit.archive.test_table import read, reopen
from weir.archive import suspects as suspects_module
from weir.archive.follower import Follower, Pace
from weir.archive.place import Place
from weir.archive.rows import Raw
from weir.archive.suspects import Suspects
from weir.schemas.errors import PoisonRecord, Transient
from weir.streaming.isolation import Examined
from weir.streaming.stage import do_nothing

KILLER, SOUND = b"t9:9", b"t1:1"


class Ended(BaseException):
    """The process ended here: nothing is done after it, not even what a ``finally`` says."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "archive")).below("payments")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "home" / "archiving" / "payments.all.json"


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each examination was given; there is time for three."""
    calls: list[int] = []

    def examine(reader: str, values: Sequence[bytes | None], schema_of: Any, *, deadline: float) -> Examined:
        del reader, schema_of, deadline
        calls.append(len(values))
        end = min(len(values), 3)
        return Examined(end, {at: "exit code -9" for at in range(end) if values[at] == KILLER})

    monkeypatch.setattr(suspects_module, "examine", examine)
    return calls


def build_suspects(notes: Path) -> Suspects:
    return Suspects(notes, "payments", "schema", lambda _: PoisonRecord("unknown_schema_id", "none"))


class Process:
    """An archiver whose decoder ends it at some bytes, with its notes."""

    def __init__(self, place: Place, notes: Path) -> None:
        table = reopen(place)
        starts = {0: table.begin([0])[0] or 0}
        self.suspects = build_suspects(notes)
        maker = build_maker()
        decode, self._notes = maker._decode, notes
        assert decode is not None

        def decode_or_end(values: Sequence[bytes | None]) -> Any:
            if KILLER in values:
                raise Ended
            return decode(values)

        maker._decode = decode_or_end
        self.follower = Follower(table, maker, None, Pace(1e9, 1_000), lambda: 0.0, self.suspects)
        self.follower.begin(starts)

    def archive(self, records: Sequence[Record]) -> bool:
        """Return whether it lived."""
        try:
            with _as_it_was(self._notes):
                self.follower.take(records)
                self.follower.commit(do_nothing)
        except Ended:
            return False
        return True


@contextlib.contextmanager
def _as_it_was(notes: Path) -> Any:
    """A process that ends leaves its note: what Python does on its way out is undone."""
    written: list[str] = []
    write = Path.write_text

    def note(path: Path, text: str, *given: Any, **named: Any) -> int:
        if path == notes:
            written.append(text)
        return write(path, text, *given, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "write_text", note)
        try:
            yield
        except Ended:
            write(notes, written[-2])
            raise


def build_records(*values: bytes, first: int = 0) -> list[Record]:
    return [Record(0, first + number, value) for number, value in enumerate(values)]


def test_a_record_that_ends_the_archiver_is_archived_undecoded_by_the_next_one(
    place: Place, notes: Path, examined: list[int]
) -> None:
    records = build_records(SOUND, KILLER, SOUND, SOUND, KILLER, SOUND)
    assert not Process(place, notes).archive(records)
    assert Process(place, notes).archive(records)
    rows = {row["offset"]: row for row in read(place)}
    assert [rows[at]["value"] for at in range(6)] == [record.held for record in records]
    assert [rows[at]["id"] for at in range(6)] == ["t1", None, "t1", "t1", None, "t1"]
    assert [rows[at]["undecoded"] for at in range(6)] == [None, "decoder_died", None, None, "decoder_died", None]
    assert examined == [6, 3]


def test_what_no_note_names_is_not_examined(place: Place, notes: Path, examined: list[int]) -> None:
    assert Process(place, notes).archive(build_records(SOUND, SOUND))
    assert Process(place, notes).archive(build_records(SOUND, first=2))
    assert examined == []
    assert not Process(place, notes).archive(build_records(KILLER, first=3))
    again = Process(place, notes)
    assert again.archive(build_records(KILLER, first=3))
    assert again.archive(build_records(SOUND, SOUND, first=4))
    assert examined == [1]


def test_a_suspect_stays_one_until_it_is_decoded(place: Place, notes: Path, examined: list[int]) -> None:
    assert not Process(place, notes).archive(build_records(SOUND, KILLER))
    assert Process(place, notes).archive(build_records(SOUND))
    assert Process(place, notes).archive(build_records(KILLER, first=1))
    assert examined == [1, 1]


def test_where_nothing_can_be_examined_what_is_suspected_is_kept_undecoded(
    place: Place, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects_module, "examine", lambda *_, **__: Examined(obstacle="no fork server"))
    records = build_records(SOUND, KILLER)
    assert not Process(place, notes).archive(records)
    assert Process(place, notes).archive(records)
    assert [(row["value"], row["undecoded"]) for row in read(place)] == [
        (SOUND, "not_examined"),
        (KILLER, "not_examined"),
    ]


def test_an_error_that_is_no_end_suspects_nobody(notes: Path) -> None:
    raw = Raw([0], [5], [0], [None], [SOUND], [[]], [SOUND])
    with pytest.raises(Transient), build_suspects(notes).decoding(raw):
        raise Transient("registry: no answer")
    assert notes.read_text() == "[]"


@pytest.mark.parametrize("text", ["", "{", "[[1]]", "[1]", '[["a", 0, 1]]'])
def test_notes_that_cannot_be_read_suspect_nobody_and_a_disk_that_takes_none_stops_nobody(
    place: Place, notes: Path, text: str, examined: list[int]
) -> None:
    notes.parent.mkdir(parents=True)
    notes.write_text(text)
    process = Process(place, notes)
    notes.unlink()
    notes.mkdir()
    assert process.archive(build_records(SOUND))
    assert examined == []
