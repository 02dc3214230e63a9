"""``weir train``, with the archive: it has the feature rows and labels that the topics have forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from weir.infra.settings import Settings
from weir.training import cli
from weir.training.topics import ReadTopic


def main(argv: list[str]) -> int:
    """Run ``weir train``. Exit codes: 0 done, 1 failed, 2 misused or refused."""
    return cli.main(argv, open_archive)


def open_archive(settings: Settings, named: str, since_ms: int) -> ReadTopic:
    """Return what reads the archived topics of a stream.

    Args:
        settings: of the stream.
        named: ``archive`` for the one of the settings, or a folder or URL.
        since_ms: append time of the first feature row and decision that are read, UTC epoch ms; labels are all read.
    """
    from weir.archive.features.logged import read_records  # noqa: PLC0415 - delta-rs, which only this needs
    from weir.archive.features.source import ARCHIVE  # noqa: PLC0415
    from weir.archive.run import find_root  # noqa: PLC0415

    root = find_root(settings, "" if named == ARCHIVE else named)

    def read(topic: str, schema: str) -> Iterator[pa.RecordBatch]:
        return read_records(root, topic, schema, 0 if topic == settings.topics.labels else since_ms)

    return read
