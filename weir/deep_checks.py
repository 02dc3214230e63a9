"""Faults of a stream that its declarations and its newest schema alone do not show: for ``weir check``.

What the kernel cannot hold, fields that cannot be read, and versions of a schema that a registry refuses. Nothing is
compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from weir.schemas.avro.compatibility import check_level
from weir.schemas.avro.native import NativeFailure, call_native
from weir.schemas.checks.expression_types import read_columns
from weir.schemas.contracts import compatibility_level
from weir.schemas.errors import PoisonRecord
from weir.schemas.origin import Finding, Origin
from weir.schemas.project import LoadedStream, Project
from weir.schemas.schema_files import find_versions
from weir.schemas.stream import Stream


def find_deep_faults(project: Project) -> Iterator[Finding]:
    """Yield the faults of the streams in whose files nothing else is wrong."""
    wrong = {finding.where.file for finding in project.findings}
    for each in project.streams.values():
        if each.stream.where.file not in wrong:
            yield from _find_limits(each.stream)
            yield from _find_unreadable_fields(each)
            yield from _find_refused_versions(each)


def _find_limits(stream: Stream) -> Iterator[Finding]:
    from weir.streaming.core.limits import find_faults  # noqa: PLC0415  (0.2 s, and most faults are found before)

    parts: dict[str, tuple[str, Origin]] = {
        **{feature.name: (f"feature {feature.name}", feature.where) for feature in stream.all_features},
        **{entity.name: (f"entity {entity.name}", entity.where) for entity in stream.entities},
    }
    for sentence in find_faults(stream):
        name, _, fault = sentence.partition(": ")
        what, where = parts.get(name, (f"stream {stream.name}", stream.where))
        yield Finding(where, what, fault)


def _find_refused_versions(loaded: LoadedStream) -> Iterator[Finding]:
    """Compare each version of the events' schema with those before it, as a registry does."""
    stream, level = loaded.stream, compatibility_level("labels")  # that of every input
    for number, newer in zip(count(2), loaded.schemas[1:], strict=False):
        reason = check_level(level, newer, loaded.schemas[: number - 1])
        if reason:
            fault = f"expected a version {number} that the registry takes ({level}), found: {reason}"
            yield Finding(stream.where, f"schema {stream.schema}", fault)


def _find_unreadable_fields(loaded: LoadedStream) -> Iterator[Finding]:
    """Name the first field of the newest schema that the decoder refuses, whether it is used or not."""
    fields = json.loads(loaded.schemas[-1])["fields"]
    for end, field in enumerate(fields, start=1):
        if _is_readable(loaded, fields[:end]):  # with those before it, whose types it may name
            continue
        stream, name = loaded.stream, field["name"]
        path = find_versions(Path(stream.where.file).parent, stream.schema)[-1]
        fault = f"expected a type that can be read, found {name!r} of {read_columns([field])[name].avro}"
        yield Finding(Origin(str(path), _line_of(path, name)), f"schema {stream.schema}", fault)
        return


def _is_readable(loaded: LoadedStream, fields: list[Any]) -> bool:
    from weir.schemas.avro.codec import BatchCodec  # noqa: PLC0415  (0.1 s, and most faults are found before)

    schema = json.dumps(json.loads(loaded.schemas[-1]) | {"fields": fields})
    try:
        call_native(lambda: BatchCodec(schema=schema).decode([], lambda _: PoisonRecord("", "nothing is read")))
    except NativeFailure:
        return False
    return True


def _line_of(path: Path, field: str) -> int:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    return next((number for number, line in lines if re.search(rf'"name"\s*:\s*"{re.escape(field)}"', line)), 1)
