"""Walks an entity through time: its state at each moment, each event as it was decided, and replayed next to logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.records import Record, decode_all, lookup_of
from weir.archive.stream_records import StreamRecords
from weir.archive.timeline.moments import Moment
from weir.archive.timeline.past import Asked, Past, order_of, read_past
from weir.archive.timeline.replay import Replay, Replayed
from weir.infra.settings import Settings
from weir.schemas.contracts import decisions_schema, features_schema, label_schemas
from weir.schemas.durations import DAY_MS
from weir.schemas.entity import Aggregate
from weir.schemas.errors import WeirError
from weir.schemas.stream import Stream
from weir.streaming.core.kernel import Kernel

Document = dict[str, Any]
_SOURCE: Final = ("source_partition", "source_offset")
OWN, SHARED = "own", "shared"


@dataclass
class Logged:
    """What topics hold of some events: by place of the event, and labels by its id."""

    rows: dict[tuple[int, int], Document] = field(default_factory=dict)
    decisions: dict[tuple[int, int], Document] = field(default_factory=dict)
    labels: dict[str, list[Document]] = field(default_factory=dict)


def walk(settings: Settings, root: Place, kernel: Kernel, asked: Asked) -> Document:
    """Return an entity's past as JSON holds it.

    Args:
        settings: of this home and the stream.
        root: of the archive.
        kernel: of the stream.
        asked: whom, and which moments.

    Raises:
        Refused: there is no archive, or an offset is not that of an event of the entity.
        WeirError: nothing of the entity is in the archive until then.
        Transient: the store cannot be read.
    """
    records, objects = StreamRecords(settings, root), Objects(root)
    past = read_past(records, objects, asked, kernel.labelled)
    if not past.events:
        raise WeirError(
            f"no event of this {asked.entity} in {root.uri} until then: unknown or erased, or not archived yet, which "
            "`weir archive` does"
        )
    moments, replayed = _replay(Replay(settings, objects, kernel, records.partitions), past, settings.stream)
    shown = past.shown
    logged = _read_logged(records, objects, shown)
    compared = _list_compared(settings.stream, past.asked)
    steps = [
        _describe_step(settings, replayed[event.place], logged, compared) for event in shown if event.place in replayed
    ]
    return {
        "stream": settings.stream.full_name,
        "entity": asked.entity,
        "id": asked.id,
        "moments": moments,
        "changes": _list_changes(*moments) if len(moments) > 1 else [],
        "kinds": compared,
        "steps": steps,
        "check": _summarize(steps),
        "archive_begins_ms": past.begins_ms,
    }


def _replay(replay: Replay, past: Past, stream: Stream) -> tuple[list[Document], dict[tuple[int, int], Replayed]]:
    """Take all records, and stop at each moment to look at the entity."""
    asked, done = past.asked, dict[tuple[int, int], Replayed]()
    left, moments = past.replayed, list[Document]()
    for moment in [asked.at, *([asked.until] if asked.until else [])]:
        due = [each for each in left if order_of(each) <= moment.order]
        left = left[len(due) :]
        done |= {each.record.place: each for each in replay.take(due)}
        moments.append(_describe_moment(replay, moment, done, asked, stream))
    return moments, done


def _describe_moment(
    replay: Replay, moment: Moment, done: dict[tuple[int, int], Replayed], asked: Asked, stream: Stream
) -> Document:
    """Return the entity's windows: those that an event saw, or those that end at a time."""
    at = {"at_ms": moment.at_ms, "partition": moment.partition, "offset": moment.offset}
    own = [each.name for each in stream.all_features if each.entity == asked.entity and each.aggregate != "value"]
    row = done[moment.partition or 0, moment.offset].row if moment.offset is not None else None
    if row is not None:
        return {**at, "windows": {name: row[name] for name in own}}
    return {**at, "windows": replay.read(asked.entity, asked.id, moment.at_ms or 0)}


def _list_changes(first: Document, last: Document) -> list[Document]:
    return [
        {"feature": name, "from": was, "to": last["windows"][name]}
        for name, was in first["windows"].items()
        if was != last["windows"][name]
    ]


def _read_logged(records: StreamRecords, objects: Objects, shown: Sequence[Record]) -> Logged:
    """Read feature rows, decisions and labels of some events; as a rule the first two are there within a day."""
    logged, stream, topics = Logged(), records.stream, records.topics
    keys = {key for event in shown if (key := event.key()) is not None}
    if not keys:
        return logged
    first_ms = min(event.row["append_ms"] for event in shown)
    soon_ms = max(event.row["append_ms"] for event in shown) + DAY_MS
    wanted = {event.place for event in shown}
    for into, topic, schema in (
        (logged.rows, topics.features, features_schema(stream)),
        (logged.decisions, topics.decisions, decisions_schema(stream)),
    ):
        for span in (first_ms, soon_ms), (soon_ms, None):
            if wanted <= set(into):
                break
            found = records.of_keys(topic, keys, span[0], *([span[1]] if span[1] else []))
            rows = decode_all(found, schema, lookup_of(objects, topic))
            into |= {
                place: row | {"at": record.describe()}
                for record, row in zip(found, rows, strict=True)
                if row and (place := (row[_SOURCE[0]], row[_SOURCE[1]])) in wanted
            }
    if stream.labels:
        found = records.of_keys(topics.labels, keys, first_ms)
        rows = decode_all(found, label_schemas(stream)[-1], lookup_of(objects, topics.labels))
        for record, row in zip(found, rows, strict=True):
            if row:
                logged.labels.setdefault(row[stream.id], []).append(row | {"at": record.describe()})
    return logged


def _list_compared(stream: Stream, asked: Asked) -> dict[str, str]:
    """Return the features that a replay gives whole, and of which kind each is.

    The windows of the record's key are its own: one partition has them. Others, and label risk, also depend on how far
    other partitions and the labels had got.
    """
    kinds = {}
    for each in stream.all_features:
        is_own = each.aggregate == Aggregate.VALUE or (
            each.entity == stream.key.name and each.aggregate != Aggregate.RISK
        )
        is_of_event = each.aggregate == Aggregate.VALUE and asked.entity == stream.key.name
        if is_of_event or each.entity == asked.entity or asked.shared:
            kinds[each.name] = OWN if is_own else SHARED
    return kinds


def _describe_step(settings: Settings, replayed: Replayed, logged: Logged, compared: dict[str, str]) -> Document:
    stream, record, row = settings.stream, replayed.record, replayed.row
    was = logged.rows.get(record.place)
    shown = row or was or {}
    event_id = record.row["id"]
    return {
        "at": record.describe(),
        "id": event_id,
        "event": {name: shown.get(name) for name in (*stream.kept_in_rows, stream.time)} if shown else None,
        "refused": replayed.refused or None,
        "late": shown.get("late", False),
        "windows": {name: row[name] for name in compared} if row else None,
        "logged": was["at"] if was else None,
        **_compare(settings, row, was, compared),
        "decision": logged.decisions.get(record.place),
        "labels": [
            label for label in logged.labels.get(event_id or "", []) if label[stream.time] == shown.get(stream.time)
        ],
    }


def _compare(settings: Settings, row: Document | None, was: Document | None, compared: dict[str, str]) -> Document:
    """Return whether an event is the same replayed as logged, None where they cannot be compared, and what differs."""
    if was is None:
        # who was refused has no row
        found: dict[str, Any] = dict.fromkeys((OWN, SHARED)) if row else {OWN: True, SHARED: True}
        return {"is_same": found, "differences": {}, "not_compared": "no feature row in the archive" if row else None}
    if row is None:
        return {"is_same": {OWN: False, SHARED: False}, "differences": {}, "not_compared": None}
    if was["declarations_hash"] != settings.declarations_hash:
        return {
            "is_same": dict.fromkeys((OWN, SHARED)),
            "differences": {},
            "not_compared": "computed by other declarations",
        }
    names = [name for name in (*compared, "late") if row[name] != was[name]]
    of_kind = {kind: not any(compared.get(name, OWN) == kind for name in names) for kind in (OWN, SHARED)}
    different = {name: {"logged": was[name], "replayed": row[name]} for name in names}
    return {"is_same": of_kind, "differences": different, "not_compared": None}


def _summarize(steps: Sequence[Document]) -> Document:
    """Count what was compared, by kind."""
    check: Document = {"events": len(steps), "refused": sum(step["refused"] is not None for step in steps)}
    for kind in (OWN, SHARED):
        answers = [step["is_same"][kind] for step in steps if step["is_same"][kind] is not None]
        check[kind] = {"compared": len(answers), "equal": sum(answers)}
    reasons = [step["not_compared"] for step in steps if step["not_compared"]]
    return check | {"not_compared": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}}
