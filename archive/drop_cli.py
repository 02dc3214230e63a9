"""``weir archive drop-damaged``: shows which files cannot be read, and with ``--apply`` lets the tables go without."""

from __future__ import annotations

from collections.abc import Sequence

from weir.archive.erasing import read_clock_ms
from weir.archive.losing import Note, drop_lost, find_lost, find_unsigned, sign_losses
from weir.archive.place import Place
from weir.archive.run import Followed
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.table import ArchiveTable, find_table
from weir.infra.settings import Settings
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.errors import Refused


def run_drop(settings: Settings, root: Place, followed: Sequence[Followed], *, why: str, apply: bool) -> int:
    """Take the files that are gone or damaged out of some tables, or say which there are.

    Args:
        settings: of this deployment.
        root: of the archive.
        followed: whose tables are read.
        why: for the record.
        apply: do it; else only show.

    Returns:
        0 where nothing is damaged, or was dropped; 1 where something is, and nothing was changed.

    Raises:
        Refused: no reason is given.
        Transient: the store does not answer; nothing is lost then.
    """
    if apply and not why.strip():
        raise Refused("--apply: expected --why with the reason, found none: the record of a loss says it")
    chain = Chain(root)
    there = [table for each in followed if (table := find_table(root.below(each.topic))) is not None]
    unsigned = [(table, notes) for table in there if (notes := find_unsigned(table, chain))]
    if unsigned and not _finish(settings, chain, unsigned, apply=apply):
        return 1
    found = [lost for table in there if len((lost := find_lost(table, chain)).files)]
    if not found:
        print_line("every file of every table can be read; none is dropped")
        return 0
    shown = [
        (each.table.topic, path, rows)
        for each in found
        for path, rows in zip(each.files["path"].to_pylist(), each.files["num_records"].to_pylist(), strict=True)
    ]
    print_tables([build_table(("topic", "file", "rows"), shown, title=f"gone or damaged in {root.uri}")])
    if not apply:
        print_line("nothing was changed: put the files back from a copy; where there is none, --apply --why TEXT drops")
        print_line("them and records the loss. What a topic still has can be archived into another root, with --to")
        return 1
    key = load_key(key_path(settings.home))
    for lost in found:
        drop_lost(lost, chain=chain, key=key, at_ms=read_clock_ms(), why=why)
    rows = sum(count for _, _, count in shown)
    print_line(f"dropped {len(shown)} files; {rows} rows are lost, which `weir evidence verify` says from now on")
    return 0


def _finish(
    settings: Settings, chain: Chain, unsigned: Sequence[tuple[ArchiveTable, Sequence[Note]]], *, apply: bool
) -> bool:
    """Show losses that a job took out and ended before it recorded them, and record them; return whether it did."""
    shown = [(table.topic, each.gone.rows, each.why) for table, notes in unsigned for each in notes]
    print_tables([build_table(("topic", "rows at most", "why"), shown, title="taken out and not recorded")])
    if not apply:
        print_line("a run before this one ended in between; --apply --why TEXT records these first, with their reasons")
        return False
    key = load_key(key_path(settings.home))
    for table, notes in unsigned:
        sign_losses(table, notes, chain=chain, key=key)
    return True
