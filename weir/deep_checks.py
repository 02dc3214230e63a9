"""Faults of a stream that its declarations and its newest schema alone do not show: for ``weir check``.

What the kernel cannot hold, and versions of a schema that a registry refuses. Nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from weir.schemas.avro.compatibility import check_level
from weir.schemas.contracts import compatibility_level
from weir.schemas.origin import Finding, Origin
from weir.schemas.project import LoadedStream, Project
from weir.schemas.stream import Stream


def find_deep_faults(project: Project) -> Iterator[Finding]:
    """Yield the faults of the streams in whose files nothing else is wrong."""
    wrong = {finding.where.file for finding in project.findings}
    for each in project.streams.values():
        if each.stream.where.file not in wrong:
            yield from _find_limits(each.stream)
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
