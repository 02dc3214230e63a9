"""The proof that rows are as they were sealed: what ``archive/verify_proof.py`` checks, as JSON holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from weir.archive.seals.chain import Chain, Stored
from weir.archive.seals.reading import read_batches
from weir.archive.seals.seal import LOSS, NO_BATCH, ROWS, Seal, read_seal, steps_between
from weir.archive.table import ArchiveTable
from weir.archive.tree import Tree
from weir.schemas.errors import Damaged

_COLUMNS = ("partition", "offset", "leaf")
Row = Mapping[str, Any]
"""A row of a table as Python holds it, with ``table``: its name."""


def prove(chain: Chain, tables: Mapping[str, ArchiveTable], event_id: str, rows: Iterable[Row]) -> dict[str, Any]:
    """Return the proof of some rows of one event, which may be erased.

    Args:
        chain: of the archive.
        tables: by name.
        event_id: that the rows are about.
        rows: all of them; one whose batch has no seal yet, or lost other rows as recorded, is left out.

    Raises:
        Damaged: a seal is missing, or the rows that it is about are not what they were.
    """
    head = chain.read_head()
    if head is None:
        return {"format": 1, "id": event_id, "rows": [], "seals": [], "head": None}
    wanted: set[int] = set()
    proved = []
    for row in rows:
        of_row = _find_seals(chain, row)
        if ROWS not in of_row:
            continue
        path = _find_path(chain, tables[row["table"]], row, of_row[ROWS])
        if path is None:
            continue
        wanted |= {step for seal in of_row.values() for step in steps_between(head.sequence, seal.sequence)}
        proved.append(_to_data(row) | {"path": path})
    seals = [stored.text for stored in chain.read_many(wanted)] if wanted else []
    return {"format": 1, "id": event_id, "rows": proved, "seals": seals, "head": _describe_head(head)}


def _find_seals(chain: Chain, row: Row) -> dict[str, Seal]:
    """Return the seal of the row's batch, and that of its erasure, by their kinds."""
    numbers = [row["batch"], NO_BATCH] if row["salt"] is None else [row["batch"]]
    found = [read_seal(stored.text) for number in numbers for stored in chain.read_of(row["table"], number)]
    return {seal.kind: seal for seal in found if seal.runs.index_of(row["partition"], row["offset"]) is not None}


def _find_path(chain: Chain, table: ArchiveTable, row: Row, seal: Seal) -> list[str] | None:
    rows = read_batches(table, seal.batch, seal.batch, _COLUMNS)
    rows = rows.sort_by([("partition", "ascending"), ("offset", "ascending")])
    index = seal.runs.index_of(row["partition"], row["offset"])
    tree = Tree(rows["leaf"].to_pylist())
    if len(rows) < seal.runs.count and len(rows) + _count_lost(chain, seal) == seal.runs.count:
        return None
    if tree.root.hex() != seal.root or index is None:
        raise Damaged(f"expected batch {seal.batch} of {seal.table} as in seal {seal.sequence}, found other rows; "
                      "`weir evidence verify` names them")  # fmt: skip
    return [node.hex() for node in tree.prove(index)]


def _count_lost(chain: Chain, seal: Seal) -> int:
    """Return how many rows of a seal are lost, as recorded."""
    recorded = [read_seal(stored.text) for stored in chain.read_of(seal.table, NO_BATCH)]
    losses = [each.runs for each in recorded if each.kind == LOSS]
    places = {(number, at) for runs in losses for number in runs.of for at in runs.offsets_of(number).tolist()}
    return sum(seal.runs.index_of(*place) is not None for place in places)


def _to_data(row: Row) -> dict[str, Any]:
    headers = [[header["name"], _hex(header["value"])] for header in row["headers"] or []]
    found = {name: _hex(row[name]) for name in ("key", "value", "salt", "leaf")}
    return {name: row[name] for name in ("table", "partition", "offset", "append_ms")} | found | {"headers": headers}


def _describe_head(head: Stored) -> dict[str, Any]:
    return {name: getattr(head, name) for name in ("sequence", "hash", "signature", "public_key")}


def _hex(content: bytes | None) -> str | None:
    return None if content is None else content.hex()
