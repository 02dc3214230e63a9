"""Which other keys had the ids of an event: other cards of its device, its address, its merchant, before it.

The rows of some days before the event are read newest day first, by the columns of ids alone. A look that takes long
ends early with what it has found, and says so.

**Cost:** the columns of ids of every row of those days; where a file's statistics rule an id out, none of it.
"""

from __future__ import annotations

import functools
import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from weir.archive.around.rows import FeatureTable
from weir.archive.reader import Row
from weir.schemas.durations import DAY_MS
from weir.schemas.placeholders import Placeholders

DAYS: Final = 30
KEYS_MAX: Final = 12
"""Of each id: a merchant has thousands of cards, and a picture of them says nothing."""
SECONDS: Final = 5.0
KEYS_KEPT_MAX: Final = 50_000
"""Of each id, in memory; more are counted up to there."""


@dataclass
class _Other:
    """Another key that had an id."""

    events: int = 0
    newest_ms: int = 0


@dataclass
class _Look:
    """One look.

    Attributes:
        ids: of the event, by the name of the entity.
        others: by entity, then by key.
    """

    ids: Mapping[str, str]
    others: dict[str, dict[str, _Other]] = field(default_factory=lambda: defaultdict(dict))
    is_whole: bool = True


def find_links(
    table: FeatureTable, row: Row, placeholders: Placeholders, monotonic: Callable[[], float]
) -> dict[str, Any]:
    """Return the other keys of each of an event's ids, as JSON holds them.

    Args:
        table: of the stream's feature rows.
        row: of the event, by its columns.
        placeholders: ids that name nobody; they link nothing.
        monotonic: seconds.

    Raises:
        Transient: the store cannot be read.
    """
    stream = table.stream
    fields = {name: of for name, of in stream.id_field_of.items() if name != stream.key.name}
    columns = table.list_stored(fields)
    named = {entity: str(row[column]) for entity, column in columns.items() if row.get(column)}
    nobody = placeholders.with_zero_fields(stream.zero_fields)
    look = _Look({entity: given for entity, given in named.items() if not nobody.covers(fields[entity], given)})
    key_column = table.columns[stream.key.field]
    own, end_ms = str(row[key_column]), row["append_ms"] + 1
    first_ms = max(end_ms - DAYS * DAY_MS, 0)
    if look.ids:
        _read(table, look, {name: columns[name] for name in look.ids}, (first_ms, end_ms), monotonic)
    return {
        "id": row["id"],
        "key": own,
        "from_ms": first_ms,
        "to_ms": row["append_ms"],
        "whole": look.is_whole,
        "ids": [_describe(entity, given, look.others[entity], own) for entity, given in look.ids.items()],
    }


def _read(
    table: FeatureTable,
    look: _Look,
    columns: Mapping[str, str],
    between_ms: tuple[int, int],
    monotonic: Callable[[], float],
) -> None:
    """Count the keys of each id in the rows of a range of append times."""
    first_ms, end_ms = between_ms
    key, at = table.columns[table.stream.key.field], ds.field("append_ms")
    has_one = functools.reduce(lambda a, b: a | b, (ds.field(columns[name]) == look.ids[name] for name in columns))
    wanted = has_one & (at >= first_ms) & (at < end_ms)
    first, last = (datetime.fromtimestamp(ms / 1_000, UTC).date() for ms in between_ms)
    until = monotonic() + SECONDS
    for batch in table.reader.scan(first, last, [key, "append_ms", *columns.values()], wanted):
        for entity, column in columns.items():
            _count(batch.filter(pc.equal(batch[column], look.ids[entity])), key, look.others[entity])
        if monotonic() > until:
            look.is_whole = False
            return


def _count(rows: pa.RecordBatch, key: str, others: dict[str, _Other]) -> None:
    """Add rows of one id to the counts of their keys."""
    found = pa.table(rows).group_by(key).aggregate([("append_ms", "count"), ("append_ms", "max")])
    names = (found[each].to_pylist() for each in (key, "append_ms_count", "append_ms_max"))
    for name, number, newest_ms in zip(*names, strict=True):
        if name is None or (name not in others and len(others) >= KEYS_KEPT_MAX):
            continue
        other = others.setdefault(name, _Other())
        other.events += number
        other.newest_ms = max(other.newest_ms, newest_ms)


def _describe(entity: str, given: str, others: Mapping[str, _Other], own: str) -> dict[str, Any]:
    """Return the newest other keys of an id, and how many there are."""
    strangers = {name: each for name, each in others.items() if name != own}
    newest = heapq.nsmallest(KEYS_MAX, strangers.items(), key=lambda item: (-item[1].newest_ms, item[0]))
    keys = [{"id": name, "events": each.events, "newest_ms": each.newest_ms} for name, each in newest]
    return {"entity": entity, "id": given, "number": len(strangers), "keys": keys}
