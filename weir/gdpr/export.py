"""All that is held about somebody as one document, each part with where it is from."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from weir.archive.about import each_archived, each_logged
from weir.archive.holding import Wanted
from weir.archive.run import find_root, list_followed
from weir.archive.table import find_table
from weir.cases.page import build_file
from weir.gdpr.stores import Person, build_person, each_decision, each_settings, read_cases, read_links
from weir.inference.api.lookup import look_up
from weir.inference.api.reader import build_feature_reader
from weir.infra.kafka.topics import describe_states
from weir.infra.redis.client import connect
from weir.infra.settings import Settings
from weir.schemas.stream import Stream
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.kernels import kernel_of

Part = tuple[str, list[dict[str, Any]]]


def build_export(settings: Settings, people: Sequence[Person]) -> dict[str, Any]:
    """Return what is held about somebody: topics and archive, windows, decisions by id, cases.

    **Cost:** the topics and the archive's tables are read whole, for each of the ids.

    Raises:
        Transient: a store is unreachable.
    """
    held = [
        {"stream": own.stream.name, "kind": person.kind, "id": person.id, "where": where, "found": found}
        for person in people
        for own in each_settings(settings, person.streams)
        for where, found in _each_part(own, person)
        if found
    ]
    made_at = datetime.fromtimestamp(people[-1].until_ms / 1_000, UTC).isoformat()
    return {"made_at": made_at, "entities": [person.entity for person in people], "held": held}


def find_keys(settings: Settings, person: Person, streams: Sequence[Stream]) -> list[Person]:
    """Return the ids of the streams' keys that records of somebody have, such as a customer's cards.

    **Cost:** the topics and the archive's tables are read whole.

    Raises:
        Transient: a store is unreachable.
    """
    found: dict[Person, None] = {}
    for own in each_settings(settings, person.streams):
        key = own.stream.key
        rows = [row for _, part in _each_topic(own, person) for row in part] if key.name != person.kind else []
        ids = sorted({row[key.field] for row in rows if isinstance(row.get(key.field), str)})
        found |= dict.fromkeys(build_person(key.name, each, streams, person.until_ms) for each in ids)
    return list(found)


def _each_part(settings: Settings, person: Person) -> Iterator[Part]:
    yield from _each_topic(settings, person)
    with closing(connect(settings.redis)) as client:
        kernel = kernel_of(settings.stream)
        compile_kernel(kernel, tell_on_stderr)
        reader = build_feature_reader(settings, client, kernel)
        windows = look_up(kernel, reader, person.kind, person.id, now_ms=int(time.time() * 1_000))
        yield "windows, in Redis", [windows] if windows["known"] else []
        yield "decision index, in Redis", list(each_decision(client, settings, person))
    yield "cases, in the database", [build_file(each) for each in read_cases(settings, person)]
    yield "links of other cases, in the database", read_links(settings, person)


def _each_topic(settings: Settings, person: Person) -> Iterator[Part]:
    stream, root = settings.stream, find_root(settings)
    wanted = Wanted(person.id, stream.id_field_of[person.kind], is_key=person.kind == stream.key.name)
    there = describe_states(settings, [stream])
    for each in list_followed(settings, [stream]):
        sys.stderr.write(f"reading {each.topic}\n")
        table = find_table(root.below(each.topic))
        archived = list(each_archived(table, wanted)) if table is not None else []
        yield f"archive of {each.topic}", archived
        if each.topic in there:
            places = {(row["partition"], row["offset"]) for row in archived}
            yield f"topic {each.topic}, not archived", list(each_logged(settings, each, wanted, places))
