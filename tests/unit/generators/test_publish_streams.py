"""Files of a user's own stream go through the same door as payments: by its Avro schema and its declaration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rides import DECLARATION, SCHEMA, Row, build_rides
from tests.unit.infra.user_files.files import write_csv, write_json, write_parquet
from weir.generators.publish import main
from weir.init import build_project
from weir.schemas.errors import Refused

BEGIN_MS = 1_750_000_000_000
TRANSFER = {
    "transfer_id": "t1", "sender_id": "a", "receiver_id": "b", "event_time_ms": BEGIN_MS, "amount_minor": 500,
    "fee_minor": 0, "currency": "EUR", "channel": "APP", "receiver_country": "DE", "sender_country": "DE",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a stream of rides and one of transfers."""
    for name, text in build_project("town", "transfers").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "streams" / "rides.py").write_text(DECLARATION.replace("NAME", "rides"))
    (tmp_path / "streams" / "rides.avsc").write_text(SCHEMA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def publish(path: Path, *flags: str, stream: str = "rides") -> int:
    return main(["publish", str(path), "--stream", stream, "--dry-run", "--json", *flags])


def rides(count: int = 60) -> list[Row]:
    return build_rides(7, count, BEGIN_MS)


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv", write_csv), ("a.jsonl", write_json), ("a.parquet", write_parquet)]
)
def test_a_file_of_a_users_stream_is_taken_in_every_format(
    name: str, write: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(write(folder / name, rides())) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["good"], summary["bad"]) == (60, 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"city": "Berlin"}, "expected a city in lower case"),
        ({"rider_id": ""}, "expected a value, found none at $.rider_id"),
        ({"fare": 200_000}, "$.fare"),
        ({"wait_s": "soon"}, "expected a whole number of 32 bits, found soon at $.wait_s"),
        ({"at_ms": BEGIN_MS // 1_000}, "as seconds; expected milliseconds"),
    ],
)
def test_a_bad_row_is_named_with_its_line_by_the_rules_of_its_stream(
    change: Row, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rides()
    assert publish(write_csv(folder / "a.csv", [*rows[:3], rows[3] | change, *rows[4:]])) == 1
    written = capsys.readouterr().err
    assert written.startswith("a.csv:5: ")
    assert says in written


def test_ids_of_the_declaration_are_never_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rides()
    publish(write_csv(folder / "a.csv", [rows[0] | {"vehicle_id": "x\0secret"}, *rows[1:]]))
    assert "secret" not in capsys.readouterr().err


def test_a_missing_column_is_named_with_the_nearest_that_there_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = [{("riders_id" if name == "rider_id" else name): value for name, value in row.items()} for row in rides()]
    with pytest.raises(Refused, match="such as 'riders_id' to rider_id"):
        publish(write_csv(folder / "a.csv", renamed))
    capsys.readouterr()


def test_a_mapping_is_held_to_the_fields_of_the_stream(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"who": row["rider_id"], **{k: v for k, v in row.items() if k != "rider_id"}} for row in rides()]
    (folder / "map.toml").write_text('[columns]\nrider_id = "who"\n')
    assert publish(write_csv(folder / "a.csv", rows), "--map", "map.toml") == 0
    assert json.loads(capsys.readouterr().out)["good"] == 60
    (folder / "map.toml").write_text('[columns]\nrider = "who"\n')
    with pytest.raises(Refused, match="expected a known field of rides, found 'rider'; did you mean rider_id"):
        publish(folder / "a.csv", "--map", "map.toml")


def test_an_amount_in_major_units_is_seen_by_the_declaration_not_by_a_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(folder / "a.csv", [TRANSFER | {"amount_minor": "12.50"}])
    assert publish(path, stream="transfers") == 2
    assert ", or take it by --map with amount_minor = {" in capsys.readouterr().err
    (folder / "map.toml").write_text('[columns]\namount_minor = { column = "amount_minor", unit = "major" }\n')
    assert publish(path, "--map", "map.toml", stream="transfers") == 0


def test_a_field_with_a_default_may_be_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is_instant" not in TRANSFER
    assert publish(write_csv(folder / "a.csv", [TRANSFER]), stream="transfers") == 0
    assert json.loads(capsys.readouterr().out)["good"] == 1


def test_labels_of_a_stream_without_labels_are_refused(folder: Path) -> None:
    with pytest.raises(Refused, match=r"stream rides: expected labels=Labels"):
        publish(write_csv(folder / "a.csv", rides()), "--kind", "labels")


def test_a_shipped_stream_is_taken_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    click = {"click_id": "c1", "customer_id": "u1", "event_time_ms": BEGIN_MS, "page": "/", "dwell_ms": 900}
    assert publish(write_json(tmp_path / "a.jsonl", [click]), stream="clicks") == 0
