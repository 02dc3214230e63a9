"""A project's folder: which streams it has, and what is wrong with it, by file and line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from weir.init import build_project
from weir.schemas.checks.declaration import find_faults
from weir.schemas.contracts import schema_json, versions
from weir.schemas.errors import Refused
from weir.schemas.gate_bounds import GateBounds
from weir.schemas.project import (
    find_project,
    find_streams,
    load_gate_bounds,
    load_project,
    load_shipped,
    shipped_names,
)
from weir.schemas.streams.payments import payments

STREAM = """\
from weir.schemas.entity import Entity
from weir.schemas.expression import col
from weir.schemas.stream import Measure, Stream

customer = Entity("customer", "customer_id", ["page"])
{name} = Stream(
    "{name}", "clicks.avsc", "click_id", "event_time_ms", customer, [customer],
    measures=[Measure("dwell", col("dwell_ms"), bound=86_400_000)],
    features=[customer.event.count("5m"), customer.dwell.sum("1h")],{more}
)
"""
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "click_id", "type": "string"},
        {"name": "customer_id", "type": "string"},
        {"name": "event_time_ms", "type": "long"},
        {"name": "page", "type": "string"},
        {"name": "dwell_ms", "type": "int"},
    ],
}


def make(folder: Path, toml: str = "", schema: str | None = None, **files: str) -> Path:
    (folder / "streams").mkdir(parents=True)
    (folder / "weir.toml").write_text(toml)
    (folder / "streams" / "clicks.avsc").write_text(json.dumps(SCHEMA) if schema is None else schema)
    for name, text in files.items():
        (folder / "streams" / f"{name}.py").write_text(text)
    return folder


def stream(name: str = "clicks", more: str = "") -> str:
    return STREAM.format(name=name, more=more)


def said(folder: Path) -> list[str]:
    return [str(finding).replace(f"{folder}/", "") for finding in load_project(folder).findings]


def test_a_project_is_its_streams_by_name(tmp_path: Path) -> None:
    folder = make(tmp_path / "my-risk", clicks=stream(), taps=stream("taps"), _notes="this is no Python")
    project = load_project(folder)
    assert (project.name, list(project.streams), project.default, project.findings) == (
        "my-risk",
        ["clicks", "taps"],
        "",
        (),
    )
    loaded = project.streams["clicks"]
    assert loaded.stream.feature_names == ("customer_event_count_5m", "customer_dwell_sum_1h")
    assert [json.loads(text) for text in loaded.schemas] == [SCHEMA]
    assert loaded.stream.where[:2] == (str(folder / "streams" / "clicks.py"), 6)
    project.refuse_faults()


def test_the_only_stream_is_meant_where_none_is_named(tmp_path: Path) -> None:
    assert load_project(make(tmp_path / "one", clicks=stream())).default == "clicks"
    chosen = make(tmp_path / "two", 'name = "two"\ndefault = "taps"', clicks=stream(), taps=stream("taps"))
    assert load_project(chosen).default == "taps"


def test_a_project_is_found_from_a_folder_of_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "my-risk", clicks=stream())
    assert find_project(folder / "streams") == find_project(folder) == folder
    assert find_project(tmp_path) is None


def test_versions_of_a_schema_are_read_in_their_order(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", clicks=stream())
    (folder / "streams" / "clicks.avsc").unlink()
    for version in (1, 2, 10):
        (folder / "streams" / f"clicks.v{version}.avsc").write_text(json.dumps(SCHEMA | {"doc": str(version)}))
    loaded = load_project(folder).streams["clicks"]
    assert [json.loads(text)["doc"] for text in loaded.schemas] == ["1", "2", "10"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"clicks": "x = 1\ndef broken(:\n"}, "streams/clicks.py:2: clicks.py: expected Python, found a syntax error"),
        ({"clicks": "x = 1\n\ny = 1 / 0\n"}, "streams/clicks.py:3: clicks.py: expected a file that runs, found Zero"),
        ({"clicks": "import sys\nsys.exit(3)\n"}, "streams/clicks.py:2: clicks.py: expected a file that runs, found S"),
        (
            {"clicks": stream().replace("customer.event.count", "customer.count")},
            "streams/clicks.py:9: clicks.py: expected a file that runs, found TypeError: expected a subject",
        ),
        ({"clicks": "\nimport taps\n"}, "streams/clicks.py:2: clicks.py: expected a file that runs, found Module"),
        ({"clicks": "x = 1\n"}, "streams/clicks.py:1: clicks.py: expected a Stream at the top level of the file"),
        (
            {"clicks": stream().replace('"clicks.avsc"', '"click.avsc"')},
            "streams/clicks.py:6: schema click.avsc: expected click.avsc next to it, found none; did you mean 'clicks",
        ),
        (
            {"clicks": stream().replace("dwell_ms", "dwel_ms")},
            "streams/clicks.py:8: measure dwell: expected a field of clicks.avsc, found 'dwel_ms'; did you mean 'dwell",
        ),
        (
            {"clicks": stream(), "other": stream()},
            "streams/other.py:6: stream clicks: expected one stream of this name, found another at streams/clicks.py:6",
        ),
        (
            {"clicks": stream(more='\n    topic_prefix="",'), "taps": stream("taps", '\n    topic_prefix="",')},
            "streams/taps.py:6: stream taps: expected topics of its own, found 'p.labels', which is a topic of p.",
        ),
        ({}, "weir.toml:1: project: expected a stream in streams/*.py, found none"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    folder = make(tmp_path / "p", **files)
    first, *_ = said(folder)
    assert first.startswith(message)
    with pytest.raises(Refused, match="expected"):
        load_project(folder).refuse_faults()


@pytest.mark.parametrize(
    ("toml", "schema", "message"),
    [
        ('name = "a"\ndefault = \n', None, "weir.toml:2: project: expected TOML, found: Invalid value"),
        ('nmae = "a"', None, "weir.toml:1: nmae: expected a setting of a project, found 'nmae'; did you mean 'name'?"),
        ('name = "A b"', None, "weir.toml:1: name: expected a name of at most 64 of a-z, 0-9, _ and -, a letter"),
        ('default = "click"', None, "weir.toml:1: default: expected a stream, found 'click'; did you mean 'clicks'?"),
        ("", '{\n"type": "record",,}', "streams/clicks.avsc:2: clicks.avsc: expected JSON, found: expecting prop"),
        ("", '{"type": "recrod", "name": "X"}', "streams/clicks.avsc:1: clicks.avsc: expected an Avro schema, found U"),
        ("", '{"type": "record", "fields": []}', "streams/clicks.avsc:1: clicks.avsc: expected an Avro schema, found"),
        ("", '["null", "string"]', "streams/clicks.py:6: stream clicks: expected an Avro record in clicks.avsc"),
    ],
)  # fmt: skip
def test_settings_and_schemas_that_cannot_be_read_are_named(
    tmp_path: Path, toml: str, schema: str | None, message: str
) -> None:
    found = said(make(tmp_path / "p", toml, schema, clicks=stream()))
    assert len(found) == 1
    assert found[0].startswith(message)


def test_every_fault_of_every_file_is_said_at_once(tmp_path: Path) -> None:
    broken = stream("taps").replace("dwell.sum", "dwel.sum").replace('"page"', '"pge"')
    found = said(make(tmp_path / "p", "x = 1", clicks="1 / 0", taps=broken))
    assert [line.split(":")[0] for line in found] == [
        "weir.toml",
        "streams/clicks.py",
        "streams/taps.py",
        "streams/taps.py",
    ]


def test_a_folder_without_a_project_is_one_finding(tmp_path: Path) -> None:
    assert said(tmp_path) == [
        "weir.toml:1: project: expected a project with a weir.toml, found: no such file or directory"
    ]


def test_a_file_is_run_by_its_path_and_leaves_nothing_behind(tmp_path: Path) -> None:
    names = set(sys.modules)
    folder = make(tmp_path / "p", clicks=stream())
    (folder / "schemas").mkdir()  # a folder of the user's that is named like a package of ours
    (folder / "schemas" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    before = list(sys.path)
    assert load_project(folder).findings == ()
    text = stream().replace("5m", "1m")  # as long as before, and within the same second
    (folder / "streams" / "clicks.py").write_text(text)
    assert "customer_event_count_1m" in load_project(folder).streams["clicks"].stream.feature_names
    assert sys.path == before
    assert set(sys.modules) - names == set()
    assert not list(folder.rglob("__pycache__"))


def test_the_shipped_streams_are_there_by_name_and_have_no_fault() -> None:
    assert "payments" in shipped_names()
    for name in shipped_names():
        loaded = load_shipped(name)
        assert find_faults(loaded.stream, loaded.schemas[-1], loaded.labels_schema) == []
    loaded = load_shipped("payments")
    assert loaded.stream is payments
    assert loaded.schemas == tuple(schema_json("transactions", version) for version in versions("transactions"))
    with pytest.raises(Refused, match="found 'payment'; did you mean 'payments'"):
        load_shipped("payment")


def test_a_check_needs_no_compiled_code(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", clicks=stream())
    script = (
        "import sys; from pathlib import Path; from weir.schemas.project import load_project;"
        f"assert not load_project(Path({str(folder)!r})).findings; assert 'numba' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_topics_and_the_full_name_of_a_stream_begin_with_the_project(tmp_path: Path) -> None:
    (loaded,) = load_project(make(tmp_path / "my-shop", clicks=stream())).streams.values()
    assert loaded.stream.full_name == "my-shop.clicks"
    assert set(loaded.stream.topics) == {
        "my-shop.clicks",
        "my-shop.clicks.dlq",
        "my-shop.clicks.dlq.done",
        "my-shop.clicks.labels",
        "my-shop.clicks.labels.dlq",
        "my-shop.clicks.features",
        "my-shop.clicks.features.dlq",
        "my-shop.clicks.published",
        "my-shop.clicks.decisions",
    }


def test_a_project_says_what_its_topics_begin_with_and_keeps_its_name_elsewhere(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", 'name = "p"\ntopic_prefix = "Acme.prod-"', clicks=stream())
    (loaded,) = load_project(folder).streams.values()
    assert loaded.stream.topics.features == "Acme.prod-clicks.features"
    assert loaded.stream.full_name == "p.clicks"


def test_no_topic_is_longer_than_a_broker_takes(tmp_path: Path) -> None:
    name, prefix = "n" * 64, "t" * 64
    text = stream(name, more=f'\n    topic_prefix="{prefix}",')
    toml = f'name = "{name}"\ntopic_prefix = "{prefix}"'
    (loaded,) = load_project(make(tmp_path / "p", toml, clicks=text)).streams.values()
    assert max(map(len, loaded.stream.topics)) <= 249


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('name = "p"\n\ntopic_prefix = "a/b"', "weir.toml:3: topic_prefix: expected at most 64 letters, digits, dots"),
        (f'name = "p"\ntopic_prefix = "{"a" * 65}"', "weir.toml:2: topic_prefix: expected at most 64 letters, digits"),
        (f'# a project\nname = "{"a" * 65}"', "weir.toml:2: name: expected a name of at most 64 of a-z, 0-9, _ and -"),
        ("[gates]\necee = 0.1", "weir.toml:1: gates: expected a bound of the gates, found 'ecee'; did you mean 'ece'?"),
        ("[gates]\ninput_auc = 2", "weir.toml:1: gates: expected input_auc from 0 to 1, found 2"),
        ("gates = 3", "weir.toml:1: gates: expected a table of bounds, found 3"),
        (
            "retrain_config = 3",
            "weir.toml:1: retrain_config: expected the path of a training config in this folder, fo",
        ),
        ("topic_prefix = 3", "weir.toml:1: topic_prefix: expected at most 64 letters, digits, dots, dashes and unders"),
    ],
)
def test_settings_that_cannot_be_are_said_with_their_line(tmp_path: Path, toml: str, message: str) -> None:
    (found,) = said(make(tmp_path / "p", toml, clicks=stream()))
    assert found.startswith(message)


def test_bounds_of_the_gates_are_those_of_the_project_and_else_what_is_shipped(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", "[gates]\nece = 0.02\nlatency_us = 50", clicks=stream())
    assert load_gate_bounds(folder / "streams") == GateBounds(ece=0.02, latency_us=50.0)
    assert load_gate_bounds(tmp_path) == GateBounds()
    (folder / "weir.toml").write_text("[gates]\nece = -1")
    with pytest.raises(Refused, match=r"weir.toml:1: gates: expected ece from 0 to 1, found -1"):
        load_gate_bounds(folder)


def test_topics_that_a_broker_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    first, *_ = said(make(tmp_path / "p", clicks=stream(), more=stream("clicks_features")))
    assert first == (
        "streams/more.py:6: stream clicks_features: expected topics of its own, found 'p.clicks_features', which "
        "brokers cannot tell in metrics from a topic of p.clicks"
    )


def test_topics_of_a_shipped_stream_are_taken_on_purpose_only(tmp_path: Path) -> None:
    own = stream("taps", more='\n    topic_prefix="",')
    (found, *_) = said(make(tmp_path / "clicks", taps=own))
    assert "found 'clicks.labels', which is a topic of clicks" in found
    assert said(make(tmp_path / "p", 'topic_prefix = ""', clicks=stream())) == []


def test_without_a_project_the_payments_alone_are_served(tmp_path: Path) -> None:
    served = find_streams(tmp_path)
    assert ([stream.name for stream in served.streams], served.default) == (["transactions"], "transactions")


@pytest.mark.parametrize(
    ("names", "default"),
    [
        (["clicks"], "clicks"),
        (["clicks", "transactions", "clicks"], "transactions"),
        (["clicks", "transfers"], ""),
    ],
)
def test_shipped_streams_are_served_where_they_are_named(tmp_path: Path, names: list[str], default: str) -> None:
    served = find_streams(tmp_path, names)
    assert ([stream.name for stream in served.streams], served.default) == (list(dict.fromkeys(names)), default)


def test_a_stream_to_serve_that_there_is_not_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"found 'click'; did you mean 'clicks'\?"):
        find_streams(tmp_path, ["transactions", "click"])


@pytest.mark.parametrize(
    ("default", "names", "expected"),
    [
        ("", [], (["clicks", "transfers"], "")),
        ('default = "transfers"\n', [], (["clicks", "transfers"], "transfers")),
        ('default = "transfers"\n', ["clicks"], (["clicks"], "clicks")),
        ("", ["transfers"], (["transfers"], "transfers")),
    ],
)
def test_a_project_serves_all_of_its_streams_or_those_named(
    tmp_path: Path, default: str, names: list[str], expected: tuple[list[str], str]
) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "weir.toml").write_text(f'name = "mine"\n{default}')
    for like in ("clicks", "transfers"):
        for name, text in build_project("mine", like).items():
            if name.startswith("streams/"):
                (tmp_path / name).write_text(text)
    served = find_streams(tmp_path, names)
    assert ([stream.name for stream in served.streams], served.default) == expected
