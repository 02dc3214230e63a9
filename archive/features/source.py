"""Where a history is read from: an archive, or what the topics hold now, archived for the time of a command."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from weir.archive.place import Place
from weir.archive.run import Task, find_root, run_archiver
from weir.infra.settings import Settings
from weir.monitoring.logs import configure

ARCHIVE: Final = "archive"
LOG: Final = "log"


@contextmanager
def open_archive(named: str, settings: Settings) -> Iterator[Place]:
    """Give the root of an archive.

    Args:
        named: ``archive`` for the one of the settings, ``log`` for what the topics hold now, or a folder or URL.
        settings: of the stream that is read.

    Raises:
        Transient: the brokers stayed away.
    """
    if named != LOG:
        yield find_root(settings, "" if named == ARCHIVE else named)
        return
    configure(settings.monitoring.log_level, settings.monitoring.log_format, "archive")
    with tempfile.TemporaryDirectory(prefix="weir-") as folder:
        root = Place(f"{folder}/archive")
        run_archiver(settings, Task([settings.stream], root, until_caught_up=True), should_stop=lambda: False)
        yield root
