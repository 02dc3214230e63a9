"""What an archiver keeps next to its rows: seals, the bundles that decided, the schemas of values."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from tests.golden.shipped import bundle_folder
from tests.unit.archive.decided import BATCHES
from tests.unit.archive.tables import SCHEMA, build_row, open_plain
from tests.unit.inference.bundles import write_bundle
from weir.archive.in_force.versions import KeptVersion, Versions
from weir.archive.keeping import Keeper
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.findings import CHANGED, GONE
from weir.archive.seals.key import load_key
from weir.archive.seals.verify import verify
from weir.archive.table import ArchiveTable, find_table
from weir.monitoring.metrics import REGISTRY
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.errors import PoisonRecord


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Place:
    """An archive of rows alone, as it is before anything else was kept."""
    shutil.copytree(built / "archive", tmp_path / "archive")
    for folder in ("_seals", "_objects", "_bundles"):
        shutil.rmtree(tmp_path / "archive" / folder)
    return Place(str(tmp_path / "archive"))


def _table(root: Place, topic: str) -> ArchiveTable:
    table = find_table(root.below(topic))
    assert table is not None
    return table


def _keeper(root: Place, tmp_path: Path) -> Keeper:
    key = load_key(tmp_path / "seal.pem")
    return Keeper(Objects(root), Chain(root), key, {"decisions": [tmp_path / "models"]}, {})


def test_after_a_commit_its_batches_are_sealed_and_the_bundle_that_decided_is_kept(root: Place, tmp_path: Path) -> None:
    shutil.copytree(bundle_folder(), tmp_path / "models" / "one")
    (tmp_path / "models" / "champion").symlink_to("one")
    keeper = _keeper(root, tmp_path)
    for topic in ("decisions", "features"):
        keeper.after_commit(_table(root, topic))
    name, version = _model(root)
    (kept,) = Objects(root).find_bundles(name, version)
    assert kept.manifest == (bundle_folder() / "manifest.json").read_bytes()
    verified = verify(Chain(root), {"decisions": _table(root, "decisions")}, Objects(root))
    assert [each.kind for each in verified.findings if each.where.startswith("decisions")] == []
    assert Chain(root).read_length() == 2 * BATCHES + 1
    assert Chain(root).read_files().keys() == set(Objects(root).list_all())


def _model(root: Place) -> tuple[str, str]:
    row = _table(root, "decisions").delta.to_pyarrow_table(columns=["model_name", "model_version"]).to_pylist()[0]
    return row["model_name"], row["model_version"]


def test_a_bundle_that_is_nowhere_stops_nothing_and_is_kept_once_it_decides_again(root: Place, tmp_path: Path) -> None:
    _keeper(root, tmp_path).after_commit(_table(root, "decisions"))
    assert Objects(root).find_bundles(*_model(root)) == []
    shutil.copytree(bundle_folder(), tmp_path / "models" / "one")
    shutil.rmtree(Path(root.uri) / "_seals")
    _keeper(root, tmp_path).after_commit(_table(root, "decisions"))
    assert len(Objects(root).find_bundles(*_model(root))) == 1


def test_the_shadow_is_kept_too_and_rows_of_before_there_were_shadows_name_none(tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_bundle(tmp_path / "models" / version, version=version)
    root, folder = Place(str(tmp_path / "archive")), str(tmp_path / "archive" / "decisions")
    before = {"model_name": "tiny", "model_version": "1"}
    _append(folder, build_row("decisions", 0, 0, batch=1) | before)
    _keeper(root, tmp_path / "apart").after_commit(open_plain(tmp_path / "archive", "decisions"))
    assert list(Objects(root).list_all()) == []
    shutil.rmtree(tmp_path / "archive" / "_seals")
    _append(folder, build_row("decisions", 0, 1, batch=2) | before | dict.fromkeys(_SHADOW))
    shadow = dict(zip(_SHADOW, ("tiny", "2"), strict=True))
    _append(folder, build_row("decisions", 0, 2, batch=3) | before | shadow)
    _keeper(root, tmp_path).after_commit(open_plain(tmp_path / "archive", "decisions"))
    assert [len(Objects(root).find_bundles("tiny", version)) for version in ("1", "2")] == [1, 1]


_SHADOW = ("shadow_model_name", "shadow_model_version")


def _append(folder: str, row: dict[str, Any]) -> None:
    """Append a row in a commit of its own, with columns that the table may not have yet."""
    schema = pa.schema([*SCHEMA, *(pa.field(name, pa.string()) for name in row if name not in SCHEMA.names)])
    rows = pa.Table.from_pylist([row], schema=schema)
    if not DeltaTable.is_deltatable(folder):
        topic = {"weir.topic": "decisions"}
        DeltaTable.create(folder, schema, partition_by=["day"], configuration=topic, raise_if_key_not_exists=False)
    commit = CommitProperties(app_transactions=[Transaction("batch", row["batch"])])
    write_deltalake(folder, rows, mode="append", schema_mode="merge", commit_properties=commit)


def test_a_schema_is_kept_before_it_is_used_and_an_unknown_id_is_not(root: Place, tmp_path: Path) -> None:
    found: dict[int, WriterSchema | PoisonRecord] = {
        5: WriterSchema(5, subject_ok=True, schema='"long"'),
        6: PoisonRecord("unknown_schema_id", "none"),
    }
    look_up = _keeper(root, tmp_path).keeping("events", found.__getitem__)
    assert [look_up(number) for number in (5, 6)] == [found[5], found[6]]
    assert Objects(root).read_schema("events", 5) == found[5]
    assert isinstance(Objects(root).read_schema("events", 6), PoisonRecord)


def _keep_some(root: Place, tmp_path: Path) -> None:
    objects = Objects(root)
    versions = Versions(objects, "published")
    text = versions.keep_text(b"rules: []")
    versions.keep(KeptVersion(kind="rules", version="1", content=text, texts=[text], source="declared"))
    objects.keep_schema("events", WriterSchema(5, subject_ok=True, schema='"long"'))
    shutil.copytree(bundle_folder(), tmp_path / "models" / "one")
    objects.keep_bundle(tmp_path / "models" / "one")


def _found(root: Place) -> list[tuple[str, str]]:
    return [(each.where, each.kind) for each in verify(Chain(root), {}, Objects(root)).kept]


def test_one_byte_of_any_kept_file_is_found_and_so_is_one_that_is_gone(root: Place, tmp_path: Path) -> None:
    _keep_some(root, tmp_path)
    _keeper(root, tmp_path).after_commit(_table(root, "features"))
    paths = list(Objects(root).list_all())
    assert {path.partition("/")[0] for path in paths} == {"_bundles", "_objects", "_schemas", "_versions"}
    assert _found(root) == []
    for path in paths:
        file = Path(root.uri) / path
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert _found(root) == [(path, CHANGED)]
        file.unlink()
        assert _found(root) == [(path, GONE)]
        file.write_bytes(content)
    assert _found(root) == []


def test_files_that_were_kept_before_a_crash_are_sealed_by_the_next_and_half_a_file_is_not(
    root: Place, tmp_path: Path
) -> None:
    _keep_some(root, tmp_path)
    half = Path(root.uri) / "_objects" / ("0" * 64)
    half.write_bytes(b"half a f")
    _keeper(root, tmp_path).after_commit(_table(root, "features"))
    sealed = Chain(root).read_files()
    assert sealed.keys() == set(Objects(root).list_all()) - {f"_objects/{half.name}"}
    length = Chain(root).read_length()
    _keeper(root, tmp_path).after_commit(_table(root, "features"))
    assert Chain(root).read_length() == length


def test_what_cannot_be_sealed_stops_no_archiver(root: Place, tmp_path: Path) -> None:
    table = _table(root, "features")
    shutil.copytree(root.uri, tmp_path / "copy")
    for file in Path(root.uri, "features").glob("day=*/*.parquet"):
        file.write_bytes(b"no file of a table")
    _keeper(root, tmp_path).after_commit(table)
    assert Chain(root).read_sealed_batch("features") == 0
    unsealed = {"topic": "features"}
    assert REGISTRY.get_sample_value("weir_archive_unsealed_commits", unsealed) == BATCHES
    shutil.copytree(tmp_path / "copy", root.uri, dirs_exist_ok=True)
    _keeper(root, tmp_path).after_commit(table)
    assert REGISTRY.get_sample_value("weir_archive_unsealed_commits", unsealed) == 0
