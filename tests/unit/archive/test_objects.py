"""What decided is kept by content: it reads back whole, or is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.inference.bundles import write_bundle
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.errors import Damaged, PoisonRecord


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.mark.parametrize(("name", "version"), [("a/b ä", ".."), ("..", "."), ("n" * 300, "1")])
def test_a_bundle_reads_back_as_it_was_and_its_file_has_its_hash(
    root: Path, tmp_path: Path, name: str, version: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle", name=name, version=version)
    Objects(Place(str(root))).keep_bundle(bundle)
    (kept,) = Objects(Place(str(root))).find_bundles(name, version)
    assert Objects(Place(str(root))).find_bundles(name + "x", version) == []
    (restored := tmp_path / "restored").mkdir()
    Objects(Place(str(root))).write_bundle(kept, restored)
    for file in ("model.onnx", "manifest.json"):
        assert (restored / file).read_bytes() == (bundle / file).read_bytes()
    model = (bundle / "model.onnx").read_bytes()
    assert (root / "_objects" / hashlib.sha256(model).hexdigest()).read_bytes() == model
    assert sorted(path.name for path in root.iterdir()) == ["_bundles", "_objects"]


def test_a_name_that_was_used_twice_finds_both(root: Path, tmp_path: Path) -> None:
    objects = Objects(Place(str(root)))
    for number in (1, 2):
        objects.keep_bundle(write_bundle(tmp_path / str(number), created_time_ms=1_700_000_000_000 + number))
    found = [json.loads(each.manifest)["created_time_ms"] for each in objects.find_bundles("tiny", "1")]
    assert sorted(found) == [1_700_000_000_001, 1_700_000_000_002]
    assert objects.find_bundles("tiny", "2") == []


def test_what_was_half_written_is_refused_and_written_again(root: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    Objects(Place(str(root))).keep_bundle(bundle)
    (model,) = (root / "_objects").iterdir()
    model.write_bytes(model.read_bytes()[:10])
    (kept,) = Objects(Place(str(root))).find_bundles("tiny", "1")
    with pytest.raises(Damaged, match="found other bytes"):
        Objects(Place(str(root))).write_bundle(kept, tmp_path)
    model.unlink()
    with pytest.raises(Damaged, match="found none"):
        Objects(Place(str(root))).write_bundle(kept, tmp_path)
    Objects(Place(str(root))).keep_bundle(bundle)
    Objects(Place(str(root))).write_bundle(kept, tmp_path)


def test_a_folder_that_is_no_bundle_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="found none that is whole"):
        Objects(Place(str(root))).keep_bundle(tmp_path)


def test_the_schema_of_an_id_is_kept_for_its_topic_alone(root: Path) -> None:
    objects = Objects(Place(str(root)))
    objects.keep_schema("events", WriterSchema(7, subject_ok=True, schema='"string"'))
    objects.keep_schema("labels", WriterSchema(7, subject_ok=False, schema='"string"'))
    again = Objects(Place(str(root)))
    assert again.read_schema("events", 7) == WriterSchema(7, subject_ok=True, schema='"string"')
    for topic, number in (("labels", 7), ("events", 8)):
        assert isinstance(again.read_schema(topic, number), PoisonRecord)
