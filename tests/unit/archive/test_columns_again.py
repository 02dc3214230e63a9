"""A column that was changed, while the bytes that it was read from were not, is found and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from tests.unit.archive.decided import build_archive
from weir.archive.evidence.columns_again import check_columns
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.run import list_followed
from weir.archive.table import ArchiveTable, find_table
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments

FOLLOWED = {each.topic: each for each in list_followed(Settings(), [payments])}
TOPICS = ("transactions", "labels", "features", "decisions", "transactions.dlq")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_archive(tmp_path_factory.mktemp("home"))


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Place:
    return Place(str(shutil.copytree(built, tmp_path / "archive")))


def _table(root: Place, topic: str) -> ArchiveTable:
    table = find_table(root.below(topic))
    assert table is not None
    return table


def _found(root: Place, topic: str) -> list[str]:
    return [each.where for each in check_columns(_table(root, topic), FOLLOWED[topic], Objects(root), 0)]


def _edit(root: Place, topic: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    """Change the first row that was decoded; return its name."""
    table = _table(root, topic).delta
    rows = table.to_pyarrow_table().sort_by([("partition", "ascending"), ("offset", "ascending")])
    listed = rows.to_pylist()
    at = next((place for place, row in enumerate(listed) if row["id"] is not None), 0)
    listed[at] = change(listed[at])
    write_deltalake(table, pa.Table.from_pylist(listed, schema=rows.schema), mode="overwrite")
    return f"{topic}[{listed[at]['partition']}]@{listed[at]['offset']}"


@pytest.mark.parametrize("topic", TOPICS)
def test_columns_that_nobody_changed_are_no_finding(built: Path, topic: str) -> None:
    assert _found(Place(str(built)), topic) == []


@pytest.mark.parametrize(
    ("topic", "column", "value"),
    [
        ("transactions", "amount_minor", 7),
        ("transactions", "card_id", "another"),
        ("transactions", "id", "another"),
        ("transactions", "id_hash", 7),
        ("transactions", "bucket", 64),
        ("features", "card_event_count_5m", 99.0),
        ("decisions", "score", 0.123),
        ("decisions", "decision", "another"),
        ("decisions", "reasons", [{"code": "X", "detail": "y"}]),
        ("labels", "card_id", "another"),
        ("transactions.dlq", "bucket", 64),
    ],
)
def test_a_column_that_was_changed_is_named(root: Place, topic: str, column: str, value: object) -> None:
    where = _edit(root, topic, lambda row: row | {column: value})
    assert _found(root, topic) == [where]


def test_a_column_that_came_later_is_null_in_older_rows_and_no_finding(root: Place) -> None:
    _edit(root, "transactions", lambda row: row | {"amount_minor": None})
    assert _found(root, "transactions") == []


def test_a_file_of_which_a_decoded_column_alone_cannot_be_read_is_named(root: Place) -> None:
    """Nothing that a leaf is of is damaged, so the check of the rows has nothing to say."""
    (path, *_) = _table(root, "transactions").delta.file_uris()
    file = Path(path)
    metadata = pq.read_metadata(file)
    place = metadata.schema.names.index("merchant_id")
    chunk = metadata.row_group(0).column(place)
    content = bytearray(file.read_bytes())
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    content[begin : begin + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    file.write_bytes(content)
    assert _found(root, "transactions") == [f"transactions/{file.relative_to(file.parents[1])}"]
