"""What a run left behind: every topic decoded, every position's outputs, and the view in Redis."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.faults import index
from tests.faults.contracts import FRAME, Row, Undecodable, decode
from tests.faults.lab import Lab
from tests.faults.load import HANGER, KILLER
from tests.faults.logs import Entry, read_commits, read_topic
from tests.faults.oracle import ENTITY_FIELDS, Event, Ids, build_event, find_poison
from weir.infra.redis.unit import Unit

At = tuple[int, int]
HEALS = "unknown_schema_id"
REPEATS, FORWARDED = ("duplicate", "id_reused"), "forwarded"


@dataclass
class Verdicts:
    """What the oracle makes of one input: who counts, and why the others do not."""

    counted: list[tuple[Entry, Row]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    refused: dict[At, str] = field(default_factory=dict)


@dataclass
class Evidence:
    """Everything the judge looks at.

    Attributes:
        rows: feature rows, by the position that they come from.
        letters: dead letters, likewise: reasons.
        decisions: likewise.
        aborted: copies that only a read_uncommitted consumer sees.
        commits: per group and partition, what was committed, in order.
    """

    transactions: list[Entry]
    labels: list[Entry]
    rows: dict[At, list[tuple[Row, Entry]]]
    letters: dict[At, list[str]]
    label_letters: dict[At, list[str]]
    row_letters: dict[At, int]
    decisions: dict[At, list[Row]]
    aborted: int
    commits: dict[str, dict[tuple[str, int], list[int]]]
    view: dict[Unit, dict[str, bytes]]
    index: Callable[[list[str]], list[bytes | None]]


def collect(lab: Lab) -> Evidence:
    """Read all of it."""
    names, kafka, groups = lab.settings.topics, lab.settings.kafka.bootstrap_servers, lab.settings
    outputs = (names.features, names.dlq, names.decisions, names.labels_dlq, names.features_dlq)
    found = {name: read_topic(kafka, name) for name in outputs}
    uncommitted = sum(len(read_topic(kafka, name, committed=False)) for name in found)
    prefix = lab.settings.processor.dlq_header_prefix
    return Evidence(
        transactions=read_topic(kafka, names.transactions),
        labels=read_topic(kafka, names.labels),
        rows=_by_source(lab, found[names.features]),
        letters=_letters(found[names.dlq], prefix),
        label_letters=_letters(found[names.labels_dlq], prefix),
        row_letters=Counter(_coordinate(entry, prefix) for entry in found[names.features_dlq]),
        decisions=_decisions(lab, found[names.decisions]),
        aborted=uncommitted - sum(len(entries) for entries in found.values()),
        commits={group: read_commits(kafka, group) for group in (groups.processor.group, groups.scorer.group)},
        view={unit: _read_unit(lab, unit) for unit in lab.units()},
        index=partial(_read_index, lab),
    )


def _read_index(lab: Lab, ids: list[str]) -> list[bytes | None]:
    return lab.servers.read(lab.redis, [index.entry_key(lab.settings.cluster, one) for one in ids])


def _by_source(lab: Lab, entries: list[Entry]) -> dict[At, list[tuple[Row, Entry]]]:
    found: dict[At, list[tuple[Row, Entry]]] = defaultdict(list)
    for entry in entries:
        row = decode(lab.settings.registry.url, entry.value)
        found[row["source_partition"], row["source_offset"]].append((row, entry))
    return found


def _decisions(lab: Lab, entries: list[Entry]) -> dict[At, list[Row]]:
    found: dict[At, list[Row]] = defaultdict(list)
    for entry in entries:
        row = decode(lab.settings.registry.url, entry.value)
        at = (int(entry.header("weir.source.partition") or -1), int(entry.header("weir.source.offset") or -1))
        assert at == (row["source_partition"], row["source_offset"]), f"headers and fields of a decision differ: {at}"
        found[at].append(row)
    return found


def _letters(entries: list[Entry], prefix: str) -> dict[At, list[str]]:
    found: dict[At, list[str]] = defaultdict(list)
    for entry in entries:
        at = _coordinate(entry, prefix)
        assert at[0] == entry.partition, f"a dead letter of partition {at[0]} is in {entry.partition}"
        found[at].append(entry.header(prefix + "reason") or "")
    return found


def _coordinate(entry: Entry, prefix: str) -> At:
    return int(entry.header(prefix + "partition") or -1), int(entry.header(prefix + "offset") or -1)


def _read_unit(lab: Lab, unit: Unit) -> dict[str, bytes]:
    prefix = lab.view.prefix(unit)
    keys = [key for key in lab.redis.scan_iter(match=f"{prefix}*", count=2_000) if not key.endswith(b":position")]
    values = lab.redis.mget(keys) if keys else []
    held = {key.decode().removeprefix(prefix): value for key, value in zip(keys, values, strict=True)}
    segments = sorted((key for key in held if key.startswith("known:")), key=lambda key: int(key.partition(":")[2]))
    known = _read_known(b"".join(held.pop(key) or b"" for key in segments))
    lab.expect(known == set(held), f"{unit.tag} lists {len(known)} ids as known and holds {len(held)} partials")
    return held


def _read_known(listed: bytes) -> set[str]:
    """Read a list of known ids: kind, two bytes of length, id; parts of it have a head of kind 255 with their check."""
    kinds, found, at = list(ENTITY_FIELDS), set(), 0
    while at < len(listed):
        size = int.from_bytes(listed[at + 1 : at + 3], "little")
        content = listed[at + 3 : at + 3 + size]
        at += 3 + size
        if listed[at - 3 - size] == 255:
            length, check = (int.from_bytes(content[begin : begin + 4], "little") for begin in (0, 4))
            assert zlib.crc32(listed[at : at + length]) == check, "a list of known ids has a part that is damaged"
        else:
            found.add(f"{kinds[listed[at - 3 - size]]}:{content.decode()}")
    return found


def judge_transactions(evidence: Evidence, registry_url: str, own_ids: set[int]) -> Verdicts:
    """Go through the log as the oracle does.

    Of copies of one id in several partitions, which comes first is what the processor had seen, and it has to have seen
    what it decided seconds before (``judge``): a copy that it refused is refused.
    """
    verdicts, ids, copies = Verdicts(), Ids(), _find_copies(evidence, registry_url, own_ids)
    for entry in evidence.transactions:
        healed_later = HEALS in evidence.letters.get(entry.at, [])
        try:
            row = decode(registry_url, entry.value, known=own_ids)
        except Undecodable as error:
            verdicts.refused[entry.at] = str(error)
            continue
        reason = "its schema was unknown then" if healed_later else find_poison(row, entry.key, entry.append_ms)
        if row["transaction_id"].startswith((KILLER, HANGER)):
            reason = "it ends its decoder"
        if not reason:
            event = build_event(row, partition=entry.partition, offset=entry.offset, append_ms=entry.append_ms)
            has_copies = len(copies[row["card_id"], row["transaction_id"]]) > 1
            said = evidence.letters.get(entry.at, []) if has_copies else []
            elsewhere = next((each for each in said if each in REPEATS), "")
            reason = ids.judge(event, (entry.value or b"")[FRAME.size :], elsewhere)
        if reason:
            verdicts.refused[entry.at] = reason
        else:
            verdicts.events.append(event)
            verdicts.counted.append((entry, row))
    return verdicts


def _find_copies(evidence: Evidence, registry_url: str, own_ids: set[int]) -> dict[tuple[str, str], set[int]]:
    """Return the partitions in which each card's ids occur."""
    copies: dict[tuple[str, str], set[int]] = defaultdict(set)
    for entry in evidence.transactions:
        try:
            row = decode(registry_url, entry.value, known=own_ids)
        except Undecodable:
            continue
        copies[row["card_id"], row["transaction_id"]].add(entry.partition)
    return copies


def judge_labels(evidence: Evidence, registry_url: str) -> Verdicts:
    """Go through the labels as the oracle does; one that was forwarded counts where its copy is: it must be there."""
    verdicts = Verdicts()
    places: dict[bytes | None, set[int]] = defaultdict(set)
    for entry in evidence.labels:
        places[entry.value].add(entry.partition)
    for entry in evidence.labels:
        if evidence.label_letters.get(entry.at) == [FORWARDED] and len(places[entry.value]) > 1:
            verdicts.refused[entry.at] = FORWARDED
            continue
        try:
            verdicts.counted.append((entry, decode(registry_url, entry.value)))
        except Undecodable as error:
            verdicts.refused[entry.at] = str(error)
    return verdicts
