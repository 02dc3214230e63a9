"""``weir features backfill --from``: features for times that Kafka has forgotten, from the bytes that are archived."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from weir.archive.features.declarations import find_declared
from weir.archive.features.history import APPEND_TIME, SOURCE, ArchivedHistory, Snapshot
from weir.archive.features.source import open_archive
from weir.infra.settings import Settings, load_settings
from weir.infra.user_files.history import check_output
from weir.schemas.errors import Refused
from weir.schemas.project import find_stream
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.core.backfill import backfill
from weir.streaming.features_cli import build_output_schema, check_partitions, write_features
from weir.streaming.kernels import kernel_of

_OF_FILES: Final = ("labels", "skip_bad", "map", "format", "separator", "encoding", "skip_lines")


def run_backfill(arguments: argparse.Namespace) -> int:
    """Compute and write; see ``build_parser`` of ``streaming/features_cli.py`` for the flags.

    Raises:
        Refused: there is no archive of the stream, or the output may not be written.
        Transient: the store cannot be read.
    """
    _refuse_flags_of_files(arguments)
    check_partitions(arguments.partitions)
    check_output(arguments.out, [], replace=arguments.replace)
    settings = find_declared(arguments.stream).settings if arguments.stream else _find_default()
    with open_archive(arguments.archive, settings) as root:
        counts = backfill_archive(settings, Snapshot(root), arguments.out, arguments.partitions)
    if arguments.json:
        sys.stdout.write(json.dumps(counts) + "\n")
    else:
        sys.stdout.write(_describe(counts, settings, arguments.out))
    return 0


def _find_default() -> Settings:
    return load_settings().of_stream(find_stream(Path.cwd()))


def backfill_archive(settings: Settings, archive: Snapshot, out: Path, partitions: int = 1) -> dict[str, int]:
    """Compute the features of every archived event that counts, and write them next to its place and id.

    Args:
        settings: of the stream.
        archive: that is read.
        out: Parquet, written whole or not at all.
        partitions: to keep state for; 1 sees shared entities whole, more as a stream of so many partitions does.

    Returns:
        Events read, rows written, and what was left out by its reason.

    Raises:
        Refused: there are no events, or the output cannot be written.
        Transient: the store cannot be read.
    """
    kernel = kernel_of(settings.stream)
    compile_kernel(kernel, tell_on_stderr)
    history, placeholders = ArchivedHistory(archive, settings), settings.placeholders
    steps = backfill(kernel, history.events(), history.labels(), placeholders=placeholders, partitions=partitions)
    schema = build_output_schema(settings.stream, placeholders, (*SOURCE, APPEND_TIME))
    return write_features(out, schema, steps) | asdict(history.left)


def _refuse_flags_of_files(arguments: argparse.Namespace) -> None:
    given = [name for name in _OF_FILES if getattr(arguments, name, None)]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise Refused(f"expected {flags} with --transactions, found with --from: an archive has its own labels")


def _describe(counts: dict[str, int], settings: Settings, out: Path) -> str:
    return (
        f"{counts['rows']} {settings.stream.event}s: {counts['written']} rows of "
        f"{len(settings.stream.feature_names)} features written to {out}, {counts['late']} late; left out: "
        f"{counts['dead']} dead letters, {counts['duplicates']} duplicates, {counts['erased']} erased, "
        f"{counts['bad']} bad\n"
    )
