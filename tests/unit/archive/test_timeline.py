"""An entity walked through time: replayed from archived records, it is what was logged when it was decided."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from tests.golden.records import decode, parse_schema
from tests.unit.archive.decided import NEWEST, build_archive, topics
from weir.archive.files import write_file
from weir.archive.joining import swap_files
from weir.archive.place import Place
from weir.archive.table import find_table
from weir.archive.timeline.moments import Moment, parse_moment
from weir.archive.timeline.past import Asked
from weir.archive.timeline.show import build_changes, build_tables, describe_check
from weir.archive.timeline.walk import walk
from weir.infra.settings import Settings
from weir.inspect import main
from weir.monitoring.terminal import print_tables
from weir.schemas.errors import Refused, WeirError
from weir.schemas.streams.payments import payments
from weir.streaming.kernels import shipped_kernel

Document = dict[str, Any]
BEGIN, END = Moment(0), Moment(4_000_000_000_000)
CARD_WINDOWS = [each.name for each in payments.all_features if each.entity == "card"]


def _walk(
    home: Path, entity: str, entity_id: str, at: Moment = BEGIN, until: Moment | None = END, **more: Any
) -> Document:
    return walk(
        Settings(home=home), Place(str(home / "archive")), shipped_kernel(), Asked(entity, entity_id, at, until, **more)
    )


def _keys() -> list[str]:
    found = Counter(each.entry.key.decode() for each in topics()["transactions"] if each.entry.key)
    return [key for key, _ in found.most_common()]


def _rows() -> dict[int, Document]:
    """What was logged, by offset of the event, as another reader of Avro reads it."""
    schema = parse_schema(NEWEST["features"])
    rows = [decode(each.entry.value or b"", schema) for each in topics()["features"]]
    return {row["source_offset"]: row for row in rows}


def _decoded(topic: str) -> list[Document]:
    schema = parse_schema(NEWEST[topic])
    return [decode(each.entry.value or b"", schema) for each in topics()[topic]]


def _repeated() -> set[str]:
    """Keys that have a record twice."""
    sent = Counter((each.entry.key, each.entry.value) for each in topics()["transactions"])
    return {key.decode() for (key, _), times in sent.items() if key and times > 1}


def test_every_event_of_a_key_is_replayed_bit_for_bit_with_late_records_and_duplicates(built: Path) -> None:
    rows, seen = _rows(), Counter[str]()
    special = {row["card_id"] for row in rows.values() if row["late"]} | _repeated()
    for key in [*_keys()[:15], *special]:
        found = _walk(built, "card", key)
        for step in found["steps"]:
            logged = rows.get(step["at"]["offset"])
            assert (step["refused"] is None) == (logged is not None)
            seen["refused"] += logged is None
            seen["duplicate"] += "found it again" in (step["refused"] or "")
            if logged is not None:
                seen["late"] += logged["late"]
                assert step["late"] == logged["late"]
                assert [step["windows"][name] for name in CARD_WINDOWS] == [logged[name] for name in CARD_WINDOWS]
        own = found["check"]["own"]
        assert own["equal"] == own["compared"] == len(found["steps"]) > 0
    assert seen["refused"] > 2
    assert seen["late"] > 0
    assert seen["duplicate"] > 0, seen


def test_of_one_process_shared_windows_are_equal_too_and_label_risk_is_shown_where_it_differs(built: Path) -> None:
    different, labelled = Counter[str](), 0
    for key in _keys()[:6]:
        found = _walk(built, "card", key, shared=True)
        assert list(found["kinds"]) == list(payments.feature_names)
        different.update(name for step in found["steps"] for name in step["differences"])
        labelled += sum(bool(step["labels"]) for step in found["steps"])
    risk = {each.name for each in payments.all_features if each.aggregate == "risk"}
    assert set(different) <= risk  # a label and an event of one batch may be folded in either order
    assert labelled > 0


def test_own_windows_are_equal_over_several_partitions(tmp_path: Path) -> None:
    """Rows that were computed together did not see each other: of shared windows, differences are shown."""
    build_archive(tmp_path, 3)
    shared = Counter[str]()
    for key in _keys()[:3]:
        found = _walk(tmp_path, "card", key, shared=True)
        own = found["check"]["own"]
        assert own["equal"] == own["compared"] == len(found["steps"])
        shared.update(found["check"]["shared"])
    assert 0 < shared["equal"] < shared["compared"]


def test_a_device_is_walked_over_the_events_of_every_card(built: Path) -> None:
    rows = _rows()
    devices = Counter(row["device_id"] for row in rows.values() if row["device_id"])
    device = next(name for name, _ in devices.most_common() if name.startswith("device-"))
    found = _walk(built, "device", device)
    counted = [step for step in found["steps"] if step["windows"]]
    assert len(counted) == devices[device]
    assert len({step["event"]["card_id"] for step in counted}) > 1
    names = [each.name for each in payments.all_features if each.entity == "device" and each.aggregate != "risk"]
    for step in counted:
        assert [step["windows"][name] for name in names] == [rows[step["at"]["offset"]][name] for name in names]


def test_a_single_moment_is_the_state_after_the_last_event_before_it(built: Path) -> None:
    steps = _walk(built, "card", key := _keys()[0])["steps"]
    third = [step for step in steps if step["windows"]][2]
    at_ms, offset = third["at"]["append_ms"], third["at"]["offset"]
    by_time = _walk(built, "card", key, Moment(at_ms), None)
    by_offset = _walk(built, "card", key, Moment(offset=offset), None)
    assert [step["at"] for step in by_time["steps"]] == [third["at"]] == [step["at"] for step in by_offset["steps"]]
    assert by_time["check"]["own"] == {"compared": 1, "equal": 1}
    assert by_offset["moments"][0]["windows"] == {name: third["windows"][name] for name in CARD_WINDOWS}
    assert by_time["moments"][0]["windows"]["card_event_count_30d"] == third["windows"]["card_event_count_30d"]


def test_only_the_events_from_one_moment_to_the_other_are_shown_and_what_changed_between(built: Path) -> None:
    key = _keys()[0]
    steps = [step for step in _walk(built, "card", key)["steps"] if step["windows"]]
    first, last = steps[2], steps[5]
    found = _walk(
        built, "card", key, Moment(offset=first["at"]["offset"]), Moment(offset=last["at"]["offset"], partition=0)
    )
    assert [step["at"] for step in found["steps"] if step["windows"]] == [step["at"] for step in steps[2:6]]
    changed = {each["feature"]: (each["from"], each["to"]) for each in found["changes"]}
    for name in CARD_WINDOWS:
        both = first["windows"][name], last["windows"][name]
        assert changed.get(name) == (both if both[0] != both[1] else None)


def test_each_step_has_its_decision_its_reasons_and_its_label(built: Path) -> None:
    decisions = {each["source_offset"]: each for each in _decoded("decisions")}
    told_of = {
        each["id"] for each in DeltaTable(str(built / "archive/labels")).to_pyarrow_table(columns=["id"]).to_pylist()
    }
    told = 0
    for key in _keys()[:20]:
        for step in _walk(built, "card", key)["steps"]:
            decided = decisions.get(step["at"]["offset"])
            assert (step["decision"] is None) == (decided is None)
            if decided:
                assert {name: step["decision"][name] for name in decided} == decided
                assert bool(step["labels"]) == (decided["transaction_id"] in told_of)
                told += bool(step["labels"])
    assert told > 0


def _without(home: Path, tmp_path: Path, gone: ds.Expression) -> Path:
    """A copy whose table of events was written again without some."""
    copy = Path(shutil.copytree(home, tmp_path / "home"))
    table = find_table(Place(str(copy / "archive" / "transactions")))
    assert table is not None
    for old in pa.table(table.delta.get_add_actions(flatten=True)).to_pylist():
        path, day = old["path"], old["partition.day"]
        stored = table.schema().remove(table.schema().get_field_index("day"))
        rows = ds.dataset([path], schema=stored, format="parquet", filesystem=table.place.files).to_table(filter=~gone)
        rows = rows.append_column("day", pa.repeat(pa.scalar(day, pa.date32()), len(rows)))
        swap_files(table, day, [path], [write_file(table.place, day, rows)] if len(rows) else [])
    return copy


def test_an_event_that_is_gone_shows_as_windows_that_are_not_as_logged(built: Path, tmp_path: Path) -> None:
    key = _keys()[0]
    steps = [step for step in _walk(built, "card", key)["steps"] if step["windows"]]
    gone = steps[3]["at"]["offset"]
    found = _walk(_without(built, tmp_path, ds.field("offset") == gone), "card", key)
    assert found["check"]["own"]["equal"] < found["check"]["own"]["compared"]
    assert "card_event_count_30d" in found["steps"][-1]["differences"]
    assert "not as logged" in _shown(found)


def test_an_archive_that_begins_later_says_that_windows_hold_less(built: Path, tmp_path: Path) -> None:
    steps = _walk(built, "card", key := _keys()[0])["steps"]
    assert _walk(built, "card", key)["archive_begins_ms"] is None
    middle = steps[5]["at"]["append_ms"]
    found = _walk(_without(built, tmp_path, ds.field("append_ms") < middle), "card", key)
    assert found["archive_begins_ms"] >= middle
    assert any("the archive begins at" in line for line in describe_check(found))


def test_what_was_computed_by_other_declarations_is_not_compared(built: Path) -> None:
    settings = Settings(home=built, placeholder_ids=('["somebody"]'))
    asked = Asked("card", _keys()[0], BEGIN, END)
    found = walk(settings, Place(str(built / "archive")), shipped_kernel(), asked)
    assert found["check"]["own"]["compared"] == found["check"]["refused"]
    assert found["check"]["not_compared"] == {
        "computed by other declarations": len(found["steps"]) - found["check"]["refused"]
    }


def _shown(found: Document) -> str:
    out = io.StringIO()
    print_tables(build_tables(found, payments), out)
    return out.getvalue()


def test_a_walk_reads_as_tables(built: Path) -> None:
    found = _walk(built, "card", _keys()[0])
    shown = _shown(found)
    assert all(step["id"] in shown for step in found["steps"])
    assert "replayed = logged, the key's own windows" in describe_check(found)[0]
    assert "bit for bit" in describe_check(found)[0]
    last = found["steps"][-1]["at"]["append_ms"]
    found = _walk(built, "card", _keys()[0], BEGIN, Moment(last))
    assert build_changes(found, payments).row_count == len(found["changes"]) > 5


def test_the_command_shows_a_card_of_the_past(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(built))
    walked = ["inspect", "card", _keys()[0], "--at", "2020-01-01", "--until", "2030-01-01T00:00:00Z"]
    assert main([*walked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["check"]["own"]["equal"] == document["check"]["events"] > 5
    assert main([*walked, "--diff", "--window", "card_event_count_1d"]) == 0
    shown = capsys.readouterr().out
    assert "what changed" in shown
    assert "card_event_count_1d" in shown
    assert main(["inspect", "entity", "card", _keys()[0], "--at", "2030-01-01"]) == 0
    assert "card_event_count_1m" in capsys.readouterr().out


def test_an_entity_of_which_there_is_nothing_is_said(built: Path) -> None:
    with pytest.raises(WeirError, match="no event of this card"):
        _walk(built, "card", "nobody")
    with pytest.raises(Refused, match="expected a transaction of this card at"):
        _walk(built, "card", _keys()[0], Moment(offset=987_654))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--until", "2h"], "--until: expected --at"),
        (["--diff"], "--diff: expected --at"),
        (["--at", "2h", "--diff"], "expected --until with a second moment"),
        (["--at", "yesterday"], "expected a time such as"),
        (["--at", "2h", "--window", "card_event_count_2m"], "did you mean card_event_count_"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    built: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(built))
    with pytest.raises(Refused, match=message):
        main(["inspect", "card", "card-1", *flags])


def test_a_moment_is_a_time_how_long_ago_or_an_offset() -> None:
    assert parse_moment("2:77", 0) == Moment(offset=77, partition=2)
    assert parse_moment("90s", 100_000) == Moment(10_000)
    assert parse_moment("1970-01-01T01:00:01+01:00", 0) == Moment(1_000)
