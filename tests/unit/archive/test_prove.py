"""The proof of rows, and the script that checks it and imports nothing of ours."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.house.source import ROOT
from tests.unit.archive.tables import SCHEMA, T0_MS, append, build_row, open_plain
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey, load_key
from weir.archive.seals.prove import prove
from weir.archive.seals.runs import Runs
from weir.archive.seals.seal import seal_erasure
from weir.archive.seals.sealing import seal_new
from weir.schemas.errors import Damaged

SCRIPT = ROOT / "archive" / "verify_proof.py"
Document = dict[str, Any]
EMPTY = {"key": None, "value": None, "headers": None, "salt": None, "id": None, "id_hash": None, "card_id": None}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SealKey:
    return load_key(tmp_path_factory.mktemp("keys") / "seal.key")


@pytest.fixture
def root(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "archive"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SealKey) -> Path:
    archive = tmp_path_factory.mktemp("sealed")
    for batch in range(1, 8):
        for topic in ("features", "decisions"):
            rows = [build_row(topic, p, 10 * batch + o, batch=batch) for p in (0, 1) for o in (0, 1, 2, 5)]
            seal_new(Chain(Place(str(archive))), key, name=topic, table=append(archive, topic, rows))
    return archive


def _prove(root: Path, event_id: str, *coordinates: tuple[str, int, int]) -> Document:
    tables = {name: open_plain(root, name) for name in ("features", "decisions")}
    rows = [
        row | {"table": name}
        for name, partition, offset in coordinates
        for row in tables[name].delta.to_pyarrow_table().to_pylist()
        if (row["partition"], row["offset"]) == (partition, offset)
    ]
    assert len(rows) == len(coordinates)
    return {"proof": prove(Chain(Place(str(root))), tables, event_id, rows)}


def _check(document: Document, folder: Path, *arguments: str) -> tuple[int, list[str]]:
    (folder / "proof.json").write_text(json.dumps(document))
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(folder / "proof.json"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.splitlines()


def test_the_script_finds_a_proof_right_wherever_the_rows_lie_in_the_chain(root: Path, tmp_path: Path) -> None:
    for batch in (1, 4, 7):
        at = 10 * batch + 2
        document = _prove(root, "pays", ("features", 1, at), ("decisions", 0, at))
        code, lines = _check(document, tmp_path)
        head = document["proof"]["head"]["hash"]
        assert lines == [
            f"features[1]@{at}: as it was sealed", f"decisions[0]@{at}: as it was sealed", f"head {head}",
        ]  # fmt: skip
        assert code == 0
        assert _check(document, tmp_path, head)[0] == 0


def test_another_head_than_the_one_that_was_kept_proves_nothing(root: Path, tmp_path: Path) -> None:
    code, lines = _check(_prove(root, "pays", ("decisions", 0, 12)), tmp_path, "0" * 64)
    assert (code, lines[0]) == (1, "decisions[0]@12: WRONG: not as it was sealed")


def _bend(name: str, value: object) -> Callable[[Document], None]:
    return lambda proof: proof["rows"][0].update({name: value})


def _bend_seals(proof: Document) -> None:
    proof["seals"] = [text.replace('"root":"', '"root":"0') for text in proof["seals"]]


def _without_seal(proof: Document) -> None:
    proof["seals"] = proof["seals"][:1] + proof["seals"][2:]


@pytest.mark.parametrize(
    "alter",
    [
        _bend("value", b"pays more".hex()),
        _bend("key", None),
        _bend("salt", "00" * 16),
        _bend("offset", 11),
        _bend("offset", 13),
        _bend("partition", 0),
        _bend("append_ms", 5),
        _bend("table", "features"),
        _bend("headers", []),
        _bend("path", []),
        _bend("path", ["00" * 32] * 3),
        _bend("salt", None),
        _bend_seals,
        _without_seal,
        lambda proof: proof.update(id="of another"),
        lambda proof: proof.update(rows=[]),
    ],
)
def test_whatever_is_altered_in_a_proof_the_script_says_so(
    root: Path, tmp_path: Path, alter: Callable[[Document], None]
) -> None:
    document = _prove(root, "pays", ("decisions", 1, 12))
    assert _check(document, tmp_path)[0] == 0
    alter(document["proof"])
    assert _check(document, tmp_path)[0] == 1


def test_an_erased_row_is_proved_by_its_leaf_and_the_record_of_its_erasure(
    root: Path, key: SealKey, tmp_path: Path
) -> None:
    rows = [
        row | EMPTY if (row["partition"], row["offset"]) == (1, 12) else row
        for row in DeltaTable(str(root / "decisions")).to_pyarrow_table().to_pylist()
    ]
    write_deltalake(str(root / "decisions"), pa.Table.from_pylist(rows, schema=SCHEMA), mode="overwrite")
    assert _check(_prove(root, "pays", ("decisions", 1, 12)), tmp_path)[0] == 1
    Chain(Place(str(root))).append(seal_erasure("decisions", Runs({1: ((12, 1),)}), at_ms=T0_MS, why="asked for"), key)
    code, lines = _check(_prove(root, "pays", ("decisions", 1, 12), ("decisions", 1, 11)), tmp_path)
    assert lines[:2] == ["decisions[1]@12: erased, as recorded", "decisions[1]@11: as it was sealed"]
    assert code == 0


def test_a_row_that_no_seal_is_about_yet_is_left_out(root: Path) -> None:
    append(root, "decisions", [build_row("decisions", 0, 99, batch=8)])
    assert _prove(root, "pays", ("decisions", 0, 99))["proof"]["rows"] == []


def test_rows_that_are_not_what_was_sealed_are_not_proved(root: Path) -> None:
    rows = DeltaTable(str(root / "decisions")).to_pyarrow_table().to_pylist()
    rows = [row | {"leaf": bytes(32)} if row["offset"] == 12 else row for row in rows]
    write_deltalake(str(root / "decisions"), pa.Table.from_pylist(rows, schema=SCHEMA), mode="overwrite")
    with pytest.raises(Damaged, match="`weir evidence verify` names them"):
        _prove(root, "pays", ("decisions", 0, 12))


def test_an_archive_without_seals_proves_nothing(tmp_path: Path) -> None:
    append(tmp_path, "decisions", [build_row("decisions", 0, 1)])
    append(tmp_path, "features", [])
    assert _prove(tmp_path, "pays", ("decisions", 0, 1))["proof"]["head"] is None


def test_the_script_is_short_and_imports_the_standard_library_alone() -> None:
    text = SCRIPT.read_text()
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in imported if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)
    assert len(text.splitlines()) <= 80
