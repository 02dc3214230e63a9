"""Files of a user's own stream: its fields, its checks, its labels."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.infra.user_files.files import NOW_MS, read, write_csv, write_json
from tests.unit.training.transfers import DAY_MS, KNOWN_AFTER_MS, build_history, write_project
from weir.infra.user_files.door import Manner
from weir.infra.user_files.fields import fields_of
from weir.infra.user_files.history import find_history, open_history
from weir.infra.user_files.mapping import load_mapping
from weir.schemas.errors import Refused
from weir.schemas.project import load_project
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks

BEGIN_MS = NOW_MS - 60 * DAY_MS


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return write_project(tmp_path / "project")


def test_a_file_is_read_by_the_streams_own_schema(stream: Stream, tmp_path: Path) -> None:
    events, labels = build_history(3, 40, BEGIN_MS)
    manner = Manner(stream=stream)
    assert read(write_csv(tmp_path / "transfers.csv", events), manner=manner).rows == events
    assert read(write_json(tmp_path / "labels.jsonl", labels), "labels", manner).rows == labels


def test_a_row_is_held_to_the_streams_own_checks_and_its_ids_are_not_quoted(stream: Stream, tmp_path: Path) -> None:
    events, _ = build_history(3, 4, BEGIN_MS)
    events[1]["receiver_country"] = "Germany"
    events[2]["sender_id"] = None
    events[3]["amount_minor"] = -5
    found = read(write_json(tmp_path / "transfers.jsonl", events), manner=Manner(stream=stream))
    assert found.rows == events[:1]
    assert [line for line, _ in found.errors] == [2, 3, 4]
    assert not any("sender-" in message for message in found.messages)


def test_which_fields_hold_ids_and_money_and_times_is_what_the_stream_says(stream: Stream) -> None:
    fields = {each.name: each for each in (*fields_of("transactions", stream), *fields_of("labels", stream))}
    assert fields["amount_minor"].currency == "currency"
    assert not fields["fee_minor"].currency
    assert fields["known_at_ms"].kind == "time"
    assert {name for name, each in fields.items() if each.is_id} == {"transfer_id", "sender_id", "receiver_id"}


def test_a_mapping_names_the_streams_own_fields_and_labels_its_events(stream: Stream, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        'columns = { sender_id = "payer", amount_minor = { column = "amount", unit = "major" } }\n'
        'label = { column = "mule", delay = "2d" }'
    )
    events, labels = build_history(3, 500, BEGIN_MS)
    rows = [
        {name: value for name, value in event.items() if name not in {"sender_id", "amount_minor"}}
        | {"payer": event["sender_id"], "amount": f"{event['amount_minor'] / 100:.2f}", "mule": label["is_mule"]}
        for event, label in zip(events, labels, strict=True)
    ]
    manner = Manner(mapping=load_mapping(tmp_path / "map.toml"), stream=stream)
    path = write_json(tmp_path / "mine.jsonl", rows)
    with open_history(find_history(path, manner)) as history:
        assert history.labels is not None
        assert pa.Table.from_batches(history.transactions()).to_pylist() == events
        assert history.labels.to_pylist() == [label | {"source": "file"} for label in labels]
    assert KNOWN_AFTER_MS == 2 * DAY_MS


def test_major_units_of_what_is_no_money_say_what_would_make_it_so(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text('columns = { dwell_ms = { column = "seconds", unit = "major" } }')
    rows = write_json(tmp_path / "clicks.jsonl", [{"seconds": "1.5"}])
    with pytest.raises(
        Refused, match=r"expected an amount that the stream declares by money\(\), or a time for dwell_ms, found unit$"
    ):
        read(rows, manner=Manner(mapping=load_mapping(tmp_path / "map.toml"), stream=clicks))


def test_a_folder_holds_a_file_of_the_streams_name(stream: Stream, tmp_path: Path) -> None:
    events, labels = build_history(3, 40, BEGIN_MS)
    with pytest.raises(
        Refused, match=r"expected .*transfers\.parquet .* its columns are the fields of transfers\.avsc"
    ):
        find_history(tmp_path, Manner(stream=stream))
    write_csv(tmp_path / "transfers.csv", events)
    write_json(tmp_path / "labels.jsonl", labels)
    with open_history(find_history(tmp_path, Manner(stream=stream))) as history:
        assert history.labels is not None
        assert history.labels.num_rows == len(labels)


def test_labels_of_a_stream_without_them_are_refused_with_what_to_declare(tmp_path: Path) -> None:
    path = write_json(tmp_path / "labels.jsonl", [{"click_id": "c"}])
    with pytest.raises(
        Refused, match=r"stream clicks: expected labels=Labels\(\.\.\.\) in its declaration, found none"
    ):
        read(path, "labels", Manner(stream=clicks))


def test_a_field_that_no_file_can_fill_is_refused_by_name(tmp_path: Path) -> None:
    stream = write_project(tmp_path)
    schema = json.loads((tmp_path / "streams" / "transfers.avsc").read_text())
    schema["fields"].append({"name": "tags", "type": {"type": "array", "items": "string"}, "default": []})
    (tmp_path / "streams" / "wide.avsc").write_text(json.dumps(schema))
    (tmp_path / "streams" / "transfers.py").write_text(
        (tmp_path / "streams" / "transfers.py").read_text().replace("transfers.avsc", "wide.avsc")
    )
    wide = load_project(tmp_path).streams[stream.name].stream
    with pytest.raises(Refused, match="expected tags to be text, a number, a flag or an enum"):
        fields_of("transactions", wide)
