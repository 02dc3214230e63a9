"""Events that a profile makes up: sound by default, distributed as said, the same again; and faults of a profile."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.integration.rides import DECLARATION, SCHEMA
from weir.generators.encoding import Encoder
from weir.generators.faults import Faults, malformed_of
from weir.generators.live import LivePlan
from weir.generators.profiles.draw import EventSource
from weir.generators.profiles.live import profile_blocks
from weir.generators.profiles.profile import find_faults, load_profile
from weir.init import build_project
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import Refused
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.project import load_project, load_shipped, shipped_names
from weir.schemas.records.validation import validate_events
from weir.schemas.schema_files import read_versions
from weir.schemas.stream import Stream

START_MS = 1_785_000_000_000
COUNT = 2_000
OF_STATE = {"id_reused"}
"""Malformed on purpose, but only the record before it shows that."""


def draw(stream: Stream, folder: Path | None = None, *, seed: int = 7, count: int = COUNT) -> pa.RecordBatch:
    return EventSource(load_profile(folder, stream), seed, START_MS).draw(START_MS + np.arange(count))


def faults_of(stream: Stream, events: pa.RecordBatch, keys: list[bytes] | None = None) -> list[str]:
    keys = keys or [key.encode() for key in events[stream.key.field].to_pylist()]
    now = np.full(events.num_rows, START_MS + COUNT)
    found = validate_events(stream, events, keys=keys, append_time_ms=now, placeholders=BUILT_IN)
    return [error.reason for _, error in found]


def project(tmp_path: Path, profile: str) -> tuple[Stream, Path]:
    (tmp_path / "streams").mkdir()
    (tmp_path / "weir.toml").write_text('name = "rides"\n')
    (tmp_path / "streams" / "rides.py").write_text(DECLARATION.replace("NAME", "rides"))
    (tmp_path / "streams" / "rides.avsc").write_text(SCHEMA)
    (tmp_path / "generator.toml").write_text(profile)
    return load_project(tmp_path).streams["rides"].stream, tmp_path


def rides(tmp_path: Path, profile: str) -> pa.RecordBatch:
    return draw(*project(tmp_path, f"[rides.fields]\n{profile}"))


@pytest.mark.parametrize("name", shipped_names())
def test_without_a_profile_every_event_of_a_shipped_stream_is_sound(name: str) -> None:
    stream = load_shipped(name).stream
    assert faults_of(stream, draw(stream)) == []


@pytest.mark.parametrize("like", shipped_names())
def test_the_profile_of_a_new_project_makes_sound_events(like: str, tmp_path: Path) -> None:
    for name, text in build_project("my-risk", like).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (loaded,) = load_project(tmp_path).streams.values()
    assert faults_of(loaded.stream, draw(loaded.stream, tmp_path)) == []


def test_values_of_a_users_stream_pass_the_checks_of_its_declaration(tmp_path: Path) -> None:
    stream, folder = project(tmp_path, "")
    events = draw(stream, folder)
    assert faults_of(stream, events) == []
    assert len(set(events["city"].to_pylist())) > 1, "cities in lower case alone are taken, but more than one"
    assert 0.05 < events["phone"].null_count / COUNT < 0.15


def test_logical_types_are_made_up_and_what_is_nested_is_null(tmp_path: Path) -> None:
    stream, folder = project(tmp_path, "")
    schema = json.loads(SCHEMA)
    (time,) = [field for field in schema["fields"] if field["name"] == "at_ms"]
    time["type"] = {"type": "long", "logicalType": "timestamp-millis"}
    price = {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}
    odd: dict[str, object] = {
        "day": {"type": "int", "logicalType": "date"},
        "price": ["null", price],
        "tags": ["null", {"type": "array", "items": "string"}],
    }
    schema["fields"] += [{"name": name, "type": kind} for name, kind in odd.items()]
    (folder / "streams" / "rides.avsc").write_text(json.dumps(schema))
    read_versions.cache_clear()
    assert list(find_faults(folder, [stream])) == []
    events = draw(stream, folder)
    assert faults_of(stream, events) == []
    assert events["day"].null_count == 0
    assert events["price"].null_count == events["tags"].null_count == COUNT
    encoder = Encoder(event_schemas(stream), [1])
    assert len(encoder.encode(events)) == COUNT


def test_a_seed_and_a_start_fix_the_events_and_another_seed_gives_others() -> None:
    stream = load_shipped("clicks").stream
    assert draw(stream).equals(draw(stream))
    assert not draw(stream).equals(draw(stream, seed=8))


def test_ids_are_as_many_as_said_and_popular_ones_come_often(tmp_path: Path) -> None:
    riders = Counter(rides(tmp_path, "rider_id = { ids = 50, popular = 1.0 }")["rider_id"].to_pylist())
    assert set(riders) <= {f"rider-{number}" for number in range(50)}
    assert riders["rider-0"] > 1.5 * riders["rider-2"] > 3 * riders["rider-20"] > 0


def test_what_follows_a_field_is_the_same_for_one_of_its_values(tmp_path: Path) -> None:
    profile = """
        rider_id = { ids = 40 }
        vehicle_id = { ids = 2, of = "rider_id" }
        city = { choice = { ulm = 3, bonn = 1 }, of = "rider_id" }
    """
    events = rides(tmp_path, profile).to_pylist()
    for rider in {row["rider_id"] for row in events}:
        own = [row for row in events if row["rider_id"] == rider]
        assert len({row["vehicle_id"] for row in own}) == 2
        assert len({row["city"] for row in own}) == 1
    assert len({row["vehicle_id"] for row in events}) == 80
    assert {row["city"] for row in events} == {"ulm", "bonn"}


def test_shares_sizes_and_constants_are_as_said(tmp_path: Path) -> None:
    profile = """
        fare = { lognormal = 900, spread = 0.5, at_most = 2000 }
        wait_s = { uniform = [60, 120] }
        pays = { choice = { cash = 1, app = 3 } }
        city = { constant = "jena" }
        voucher = { choice = ["v1"], missing = 0.8 }
    """
    events = rides(tmp_path, profile)
    assert np.median(events["fare"].to_numpy()) == pytest.approx(900, rel=0.1)
    assert events["fare"].to_numpy().max() == 2_000
    assert set(events["wait_s"].to_pylist()) == set(range(60, 121))
    assert events["pays"].to_pylist().count("app") / COUNT == pytest.approx(0.75, abs=0.05)
    assert set(events["city"].to_pylist()) == {"jena"}
    assert events["voucher"].null_count / COUNT == pytest.approx(0.8, abs=0.05)


def test_weights_of_numbers_are_written_as_toml_writes_keys(tmp_path: Path) -> None:
    assert set(rides(tmp_path, "wait_s = { choice = { 0 = 8, 20 = 3 } }")["wait_s"].to_pylist()) == {0, 20}


@pytest.mark.parametrize(
    ("profile", "line", "fault"),
    [
        ("[rides]\nrat = 5", 2, "expected a setting of the generator, found 'rat'; did you mean 'rate'?"),
        ("[rides.fields]\n\nfaer = { ids = 5 }", 3, "found 'faer'; did you mean 'fare'?"),
        ("[rides.fields]\nride_id = { ids = 5 }", 2, "expected a field of the generator, found 'ride_id'"),
        ("[rides.fields]\nfare = { ids = 5 }", 2, "expected ids for a field of type string, found one of type long"),
        (
            "[rides.fields]\nfare = { lognorm = 5 }",
            2,
            "expected one of ids, choice, lognormal, uniform, const",
        ),
        ("[rides.fields]\nfare = { constant = 5, share = 1 }", 2, "found constant and share"),
        ("[rides.fields]\nfare = { constant = 'x' }", 2, "expected a value of type long, found 'x'"),
        ("[rides.fields]\nfare = { uniform = [5, 1] }", 2, "expected a lowest and a highest number, found [5, 1]"),
        ("[rides.fields]\ncity = { constant = 'ulm', missing = 0.5 }", 2, "the field cannot be null"),
        ("[rides.fields]\ncity = { ids = 2, of = 'rider' }", 2, "found 'rider'; did you mean 'rider_id'?"),
        ("[rides.fields]\ncity = { ids = 2, popular = 'x' }", 2, "expected a number from 0 to 10, found 'x'"),
        ("[rides.fields]\ncity = { choice = {} }", 2, "expected a list of values, or a table of values and"),
        ("[rides.fields]\ncity = { choice = { ulm = 0 } }", 2, "expected weights that are not all 0"),
        ("[rides.fields]\ncity = { ids = 2, missin = 1 }", 2, "found 'missin'; did you mean 'missing'?"),
        ("[rides]\nmalformed = 2", 2, "expected a number from 0 to 1, found 2"),
        ("[rides]\nsimulator = 'cards'", 2, "expected simulator to be one, found 'cards'; there are payments"),
        (
            "[rides.fields]\ncity = { ids = 2, of = 'phone' }\nphone = { ids = 2, of = 'city' }",
            2,
            "expected a field that does not follow itself, found city, phone in a circle",
        ),
    ],
)
def test_a_fault_of_a_profile_is_told_with_its_line(profile: str, line: int, fault: str, tmp_path: Path) -> None:
    stream, folder = project(tmp_path, profile)
    with pytest.raises(Refused) as refused:
        load_profile(folder, stream)
    assert str(refused.value).startswith(f"{folder}/generator.toml:{line}: generator of rides")
    assert fault in str(refused.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    stream, folder = project(tmp_path, "[rides.fields]\nfare = { ids = 5 }\ncity = { share = 0.5 }\n")
    with pytest.raises(Refused) as refused:
        load_profile(folder, stream)
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == [
        "generator of rides, city",
        "generator of rides, fare",
    ]


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    stream, folder = project(tmp_path, "[rides")
    with pytest.raises(Refused, match=r"generator\.toml: expected TOML, found: "):
        load_profile(folder, stream)


@pytest.mark.parametrize("name", shipped_names())
def test_what_is_malformed_on_purpose_is_refused_and_all_else_is_sound(name: str) -> None:
    stream = load_shipped(name).stream
    schemas = event_schemas(stream)
    plan = LivePlan(START_MS, 200, 20, faults=Faults(malformed=0.3))
    encoder = Encoder(schemas, [*range(1, len(schemas) + 1)])
    blocks = list(profile_blocks(load_profile(None, stream), plan, 7, encoder, "t"))
    kinds = sum((block.kinds for block in blocks), Counter[str]())
    values, keys = [v for block in blocks for v in block.values], [k for block in blocks for k in block.keys]
    decoded = BatchCodec(schema=schemas[-1]).decode(
        values, lambda schema_id: WriterSchema(schema_id, schema_id < 9, schemas[-1])
    )
    good = faults_of(stream, decoded.batch, [keys[row] or b"" for row in decoded.rows])
    made = {kind.removeprefix("malformed."): count for kind, count in kinds.items() if kind.startswith("malformed.")}
    assert set(made) == set(malformed_of(stream))
    refused = sum(count for kind, count in made.items() if kind not in OF_STATE)
    assert len(decoded.errors) + len(good) == refused > 500
    assert kinds["events"] == 4_000
