"""``weir inspect ENTITY ID --at …``: an entity as it was, from the archive. It needs no broker and no database."""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import UTC, datetime

import pyarrow as pa
from deltalake.exceptions import DeltaError

from weir.archive.place import first_line
from weir.archive.run import find_root
from weir.archive.timeline.moments import parse_moment
from weir.archive.timeline.past import Asked
from weir.archive.timeline.show import build_changes, build_tables, describe_check
from weir.archive.timeline.walk import OWN, walk
from weir.infra.arguments import nearest
from weir.infra.settings import Settings
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.errors import Damaged, Refused
from weir.schemas.printable import to_json
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.kernels import kernel_of


def run_walk(settings: Settings, arguments: Namespace) -> int:
    """Show an entity's past. Exit codes: 0 shown, 1 what is replayed is not what was logged.

    Args:
        settings: of the stream.
        arguments: of ``weir inspect``, checked but for what is about the past.

    Raises:
        Refused: moments or names cannot be understood.
        WeirError: there is nothing of the entity.
    """
    now_ms = int(datetime.now(UTC).timestamp() * 1_000)
    until = parse_moment(arguments.until, now_ms) if arguments.until else None
    if arguments.diff and until is None:
        raise Refused("--diff: expected --until with a second moment, found none")
    _check_windows(settings, arguments.window)
    asked = Asked(arguments.entity, arguments.id, parse_moment(arguments.at, now_ms), until, arguments.shared)
    kernel, root = kernel_of(settings.stream), find_root(settings, arguments.archive)
    compile_kernel(kernel, tell_on_stderr)
    try:
        document = walk(settings, root, kernel, asked)
    except (pa.ArrowException, DeltaError, FileNotFoundError) as error:
        line = first_line(error)
        raise Damaged(f"{root.uri} cannot be read: {line}; put the file back from a copy of the archive") from error
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        tables = build_tables(document, settings.stream, arguments.window)
        print_tables([build_changes(document, settings.stream), *tables] if arguments.diff else tables)
        for line in describe_check(document):
            print_line(line)
    own = document["check"][OWN]
    return 1 if own["equal"] < own["compared"] and document["archive_begins_ms"] is None else 0


def _check_windows(settings: Settings, names: list[str]) -> None:
    known = list(settings.stream.feature_names)
    for name in names:
        if name not in known:
            raise Refused(
                f"--window: expected a feature of {settings.stream.name}, found {name!r}{nearest(name, known)}"
            )
