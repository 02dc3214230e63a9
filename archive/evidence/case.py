"""Collects all that an archive holds of one event, makes its decision again, and proves the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from weir.archive.evidence.again import DecidedBy, MadeAgain, decide_again
from weir.archive.evidence.in_force import list_in_force
from weir.archive.in_force.given import Given
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import TableReader
from weir.archive.records import Record, decode, lookup_of
from weir.archive.seals.chain import Chain
from weir.archive.seals.prove import prove
from weir.archive.table import ArchiveTable, find_table
from weir.inference.core.rules import describe_condition
from weir.infra.settings import Settings
from weir.schemas.contracts import decisions_schema, event_schemas, features_schema, label_schemas
from weir.schemas.errors import Damaged, WeirError
from weir.schemas.request_id import find_request_id
from weir.schemas.stream import Stream, Topics

Document = dict[str, Any]
NOTHING_GIVEN = Given()
_SOURCE = ("source_partition", "source_offset")


class NothingArchived(WeirError):
    """The archive holds no row of an event."""


@dataclass
class Case:
    """The records of one event, by what they are.

    Attributes:
        tables: of the stream's topics, by name.
    """

    event_id: str
    tables: dict[str, ArchiveTable]
    events: list[Record] = field(default_factory=list)
    features: list[Record] = field(default_factory=list)
    decisions: list[Record] = field(default_factory=list)
    labels: list[Record] = field(default_factory=list)
    dead: list[Record] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        """Return all of them."""
        return [*self.events, *self.features, *self.decisions, *self.labels, *self.dead]


def collect(settings: Settings, root: Place, event_id: str) -> Case:
    """Find every row about an event.

    Raises:
        NothingArchived: there is none.
        Transient: the store cannot be read.
    """
    names = settings.topics.of(settings.stream)
    case = Case(event_id, _open_tables(root, names))
    case.events = _find(case, names.events)
    case.features = _find(case, names.features)
    case.decisions = _find(case, names.decisions)
    case.labels = _find(case, names.labels)
    case.dead = _find_dead(case, names)
    if not case.records:
        raise NothingArchived(
            f"no row of this {settings.stream.event} in {root.uri}: unknown or erased, or not archived yet, "
            "which `weir archive` does"
        )
    return case


def describe(settings: Settings, root: Place, case: Case, given: Given = NOTHING_GIVEN) -> Document:
    """Return the evidence as JSON holds it.

    Args:
        settings: of this home and the stream.
        root: of the archive.
        case: from ``collect``.
        given: what was published then.

    Raises:
        Transient: the store cannot be read.
    """
    objects, stream = Objects(root), settings.stream
    document: Document = {"id": case.event_id, "stream": stream.full_name}
    document["event"] = _describe_last(case.events, event_schemas(stream)[-1], objects)
    document["features"] = _describe_features(case, stream, objects)
    document["decision"] = _describe_decision(settings, objects, case, given)
    document["label"] = _describe_last(case.labels, label_schemas(stream)[-1], objects) if case.labels else None
    document["dead_letters"] = [_describe_dead(record) for record in case.dead]
    document["coordinates"] = [record.describe() for record in case.records]
    document["request_id"] = _find_request_id(case)
    document["proof"] = _prove(root, case)
    return document


def _find_request_id(case: Case) -> str | None:
    """Return the id of the HTTP request that published the event: the decision carries it, and the event before it."""
    for record in (*reversed(case.decisions), *reversed(case.events)):
        headers = [(each["name"], each["value"]) for each in record.row["headers"] or []]
        if (found := find_request_id(headers)) is not None:
            return found.decode()
    return None


def _open_tables(root: Place, names: Topics) -> dict[str, ArchiveTable]:
    wanted = [names.events, names.features, names.decisions, names.labels, names.dlq, names.features_dlq]
    found = {name: find_table(root.below(name)) for name in wanted if name}
    return {name: table for name, table in found.items() if table is not None}


def _find(case: Case, topic: str) -> list[Record]:
    """Return the records of the event in a topic, oldest first."""
    if topic not in case.tables:
        return []
    rows = TableReader(case.tables[topic]).find(case.event_id)
    return [Record(topic, row) for row in sorted(rows, key=lambda row: (row["append_ms"], row["offset"]))]


def _find_dead(case: Case, names: Topics) -> list[Record]:
    """Return the dead letters of the event's records: they are under its key, and name where the record was."""
    found = []
    for topic, sources in ((names.dlq, case.events), (names.features_dlq, case.features)):
        places = {record.place for record in sources}
        keys = {record.key() for record in sources}
        for key in keys if topic in case.tables else ():
            letters = TableReader(case.tables[topic]).history(key or b"").to_pylist()
            found += [letter for row in letters if _source_of(letter := Record(topic, row)) in places]
    return found


def _source_of(letter: Record) -> tuple[int, int] | None:
    partition, offset = letter.header("errors.partition"), letter.header("errors.offset")
    return (int(partition), int(offset)) if partition and offset else None


def _describe_last(records: Sequence[Record], schema: str, objects: Objects) -> Document | None:
    """Return the newest of some records."""
    if not records:
        return None
    record = records[-1]
    fields, fault = decode(record, schema, lookup_of(objects, record.topic))
    return {"at": record.describe(), "record": fields, "unreadable": fault or None}


def _describe_features(case: Case, stream: Stream, objects: Objects) -> Document | None:
    found = _describe_last(_decided_rows(case, objects, stream), features_schema(stream), objects)
    if found is None or found["record"] is None:
        return found
    record = found.pop("record")
    vector = {name: record.pop(name) for name in stream.feature_names}
    return {**found, **{name: record[name] for name in ("declarations_hash", "degraded", "late")}, "vector": vector}


def _decided_rows(case: Case, objects: Objects, stream: Stream) -> list[Record]:
    """Return the feature row that the newest decision is about, or without one all of them."""
    if not case.decisions:
        return case.features
    decision, _ = decode(case.decisions[-1], decisions_schema(stream), lookup_of(objects, case.decisions[-1].topic))
    wanted = decision and [decision[name] for name in _SOURCE]
    return [row for row in case.features if wanted == _read_source(row, objects, stream)]


def _read_source(row: Record, objects: Objects, stream: Stream) -> list[int] | None:
    fields, _ = decode(row, features_schema(stream), lookup_of(objects, row.topic))
    return [fields[name] for name in _SOURCE] if fields else None


def _describe_decision(settings: Settings, objects: Objects, case: Case, given: Given) -> Document | None:
    stream = settings.stream
    found = _describe_last(case.decisions, decisions_schema(stream), objects)
    if found is None:
        return None
    recorded = found.pop("record")
    found["recorded"] = recorded
    rows = _decided_rows(case, objects, stream)
    answer: Document = {"computed": None, "is_same": None, "differences": {}, "note": "", "in_force": None}
    answer["shadow"] = None
    if recorded is None or not rows:
        return found | answer | {"note": "its feature row is not in the archive: not archived yet, or erased"}
    try:
        in_force, made = _make_again(settings, objects, rows[-1], case.decisions[-1], recorded, given)
    except Damaged as error:
        return found | answer | {"note": str(error)}
    return found | {
        "computed": made.document,
        "is_same": made.is_same_bytes or not made.differences,
        "differences": made.differences,
        "note": made.note,
        "in_force": _describe_in_force(in_force),
        "shadow": _describe_shadow(in_force, recorded, made),
    }


def _make_again(
    settings: Settings, objects: Objects, row: Record, decision: Record, recorded: Document, given: Given
) -> tuple[DecidedBy, MadeAgain]:
    """Decide by each thing that may have decided, and return the first that gives what was recorded, or the last."""
    kept = {topic: lookup_of(objects, topic) for topic in (row.topic, decision.topic)}
    for in_force in list_in_force(settings, objects, recorded, given):
        made = decide_again(settings.stream, row, decision, in_force, kept)
        if made.is_same_bytes:
            break
    return in_force, made


def _describe_in_force(in_force: DecidedBy) -> Document:
    manifest, rules, lists = in_force.bundle.manifest, in_force.rules, in_force.lists
    return {
        "model": {"name": manifest.name, "version": manifest.version, "sha256": manifest.model_sha256},
        "thresholds": _describe_thresholds(in_force),
        "thresholds_published": in_force.thresholds.version if in_force.thresholds else None,
        "declarations_hash": manifest.declarations_hash,
        "rules": [
            {"name": rule.name, "then": rule.then, "mode": rule.mode, "code": rule.code, "why": rule.why,
             "when": describe_condition(rule)}
            for rule in rules.rules
        ],
        "rules_version": rules.version,
        "lists_version": lists.version,
    }  # fmt: skip


def _describe_shadow(in_force: DecidedBy, recorded: Document, made: MadeAgain) -> Document | None:
    """Return what scored next to the decision, as recorded and as computed now; nothing where nothing did."""
    if recorded["shadow_model_name"] is None:
        return None
    return {
        "name": recorded["shadow_model_name"],
        "version": recorded["shadow_model_version"],
        "sha256": in_force.shadow.manifest.model_sha256 if in_force.shadow else None,
        "recorded": recorded["shadow_score"],
        "computed": made.document["shadow_score"],
        "is_same": None if in_force.shadow is None else "shadow_score" not in made.differences,
        "note": in_force.why_no_shadow,
    }


def _describe_thresholds(in_force: DecidedBy) -> Document:
    table = in_force.thresholds
    if table is None:
        return in_force.bundle.manifest.thresholds.model_dump()
    of_segments = {"by": table.by, "segments": {name: cut._asdict() for name, cut in table.segments.items()}}
    return {"version": table.version, **table.others._asdict(), **(of_segments if table.by else {})}


def _describe_dead(letter: Record) -> Document:
    message = letter.header("exception.message") or b""
    return {"at": letter.describe(), "message": message.decode(errors="replace")}


def _prove(root: Place, case: Case) -> Document:
    rows = [{**record.row, "table": record.topic} for record in case.records]
    try:
        return prove(Chain(root), case.tables, case.event_id, rows)
    except Damaged as error:
        return {"format": 1, "id": case.event_id, "rows": [], "seals": [], "head": None, "note": str(error)}
