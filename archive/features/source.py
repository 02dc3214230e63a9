"""Where a history is read from: an archive, or what the topics hold now, archived for the time of a command."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from weir.archive.place import Place, first_line
from weir.archive.run import Task, find_root, run_archiver
from weir.infra.settings import Settings
from weir.monitoring.logs import configure
from weir.schemas.errors import Damaged

ARCHIVE: Final = "archive"
LOG: Final = "log"


@contextmanager
def open_archive(named: str, settings: Settings) -> Iterator[Place]:
    """Give the root of an archive.

    Args:
        named: ``archive`` for the one of the settings, ``log`` for what the topics hold now, or a folder or URL.
        settings: of the stream that is read.

    Raises:
        Damaged: a file of it cannot be read, when what is done with it comes to that.
        Transient: the brokers stayed away.
    """
    if named != LOG:
        root = find_root(settings, "" if named == ARCHIVE else named)
        try:
            yield root
        except (pa.ArrowException, DeltaError, FileNotFoundError) as error:
            line = first_line(error)
            raise Damaged(f"{root.uri} cannot be read: {line}; put the file back from a copy of the archive") from error
        return
    configure(settings.monitoring.log_level, settings.monitoring.log_format, "archive")
    with tempfile.TemporaryDirectory(prefix="weir-") as folder:
        root = Place(f"{folder}/archive")
        run_archiver(settings, Task([settings.stream], root, until_caught_up=True), should_stop=lambda: False)
        yield root
