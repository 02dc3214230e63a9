"""A history of your own, for backfill and training: checked whole before anything is computed from it.

Each file is taken through the door twice: once for its errors and its labels, then for its rows. So hours of computing
never end on a bad line, and nothing half computed is left behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from weir.infra.user_files.checker import Checker, Outcome
from weir.infra.user_files.door import Manner, open_checked
from weir.infra.user_files.plan import arrow_schema
from weir.infra.user_files.sources import FORMATS
from weir.schemas.errors import Refused, WeirError
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_PACKED = ".gz"


@dataclass(frozen=True)
class HistoryFiles:
    """Where a history lies.

    Attributes:
        transactions: the stream's events, in the order in which it would have seen them.
        labels: what they turned out to be, or None: none, or a column of the events that a mapping names.
        manner: how the events are read; of a mapping, only ``[file]`` holds for the labels too.
        skip_bad: whether bad rows are left out; else one refuses the history.
    """

    transactions: Path
    labels: Path | None = None
    manner: Manner = field(default_factory=Manner)
    skip_bad: bool = False


@dataclass
class History:
    """A history that was checked.

    Attributes:
        labels: every label, of any label time, or None where there are none.
        bad: rows that were left out.
    """

    labels: pa.Table | None
    bad: int
    _checker: Checker

    def transactions(self) -> Iterator[pa.RecordBatch]:
        """Yield the good events in file order, by the newest schema."""
        self._checker.report = lambda *_: None  # told already
        self._checker.doing = "rows computed"
        for block in self._checker.check():
            yield block.batch
        _check_whole(self._checker)


def find_history(folder: Path, manner: Manner, *, skip_bad: bool = False) -> HistoryFiles:
    """Return the files of a folder, or a file of events alone.

    Args:
        folder: holds a file of the stream's name and, but for a mapping with a label column, ``labels``, of any format;
            or a file.
        manner: how they are read.
        skip_bad: as in ``HistoryFiles``.

    Raises:
        Refused: a file is missing, or there are two of one name.
    """
    labelled = manner.mapping is not None and bool(manner.mapping.label)
    if folder.is_file():
        if not labelled:
            raise Refused(
                f"expected a folder with {manner.stream.name} and labels, or a label column by --map, found {folder}"
            )
        return HistoryFiles(folder, None, manner, skip_bad)
    transactions = _find(folder, manner.stream, manner.stream.name, needed=True)
    labels = _find(folder, manner.stream, "labels", needed=not labelled)
    assert transactions is not None
    return HistoryFiles(transactions, labels, manner, skip_bad)


def _find(folder: Path, stream: Stream, stem: str, *, needed: bool) -> Path | None:
    names = [f"{stem}{suffix}{packed}" for suffix in FORMATS for packed in ("", _PACKED)]
    found = [folder / name for name in names if os.path.lexists(folder / name)]
    if len(found) > 1:
        raise Refused(f"expected one file of {stem} in {folder}, found {' and '.join(path.name for path in found)}")
    if needed and not found:
        made = ", `weir generate --to parquet --out DIR` makes a history" if stream.full_name == payments.name else ""
        columns = "docs/publish.md has the columns" if made else f"its columns are the fields of {stream.schema}"
        raise Refused(
            f"history: expected {folder / stem}.parquet (or {', '.join(list(FORMATS)[:-1])}), found none; "
            f"{columns}{made}"
        )
    return found[0] if found else None


@contextmanager
def open_history(files: HistoryFiles) -> Iterator[History]:
    """Check a history whole, then give it.

    Raises:
        Refused: a file as a whole cannot be taken, or labels come from two places.
        WeirError: rows are bad and may not be left out; each was told.
    """
    with ExitStack() as stack:
        checker = stack.enter_context(open_checked(files.transactions, "transactions", files.manner))
        if files.labels is not None and checker.plan.label is not None:
            raise Refused(
                f"expected labels from one place, found {files.labels.name} and a label column of the mapping"
            )
        own = _check_all(checker, files)
        labels = _read_labels(files.labels, files) if files.labels is not None else None
        if checker.plan.label is not None:
            labels = pa.Table.from_batches(own, arrow_schema("labels", files.manner.stream))
        yield History(labels, checker.outcome.bad, checker)


def _check_all(checker: Checker, files: HistoryFiles) -> list[pa.RecordBatch]:
    """Check every row and return what labels came with them."""
    checker.judge()
    labels = [block.labels for block in checker.check() if block.labels is not None]
    _check_whole(checker)
    _check_outcome(checker.source.name, checker.outcome, skip_bad=files.skip_bad)
    return labels


def _read_labels(path: Path, files: HistoryFiles) -> pa.Table:
    form = None if path.suffix in FORMATS else files.manner.form
    manner = replace(files.manner, form=form, mapping=None)
    with open_checked(path, "labels", manner) as checker:
        checker.judge()
        table = pa.Table.from_batches([block.batch for block in checker.check()], arrow_schema("labels", manner.stream))
        _check_whole(checker)
    _check_outcome(path.name, checker.outcome, skip_bad=files.skip_bad)
    return table


def _check_whole(checker: Checker) -> None:
    if checker.outcome.broken:
        raise WeirError(f"{checker.source.name}: {checker.outcome.broken}")


def _check_outcome(name: str, outcome: Outcome, *, skip_bad: bool) -> None:
    if outcome.bad and not skip_bad:
        rows = outcome.good + outcome.bad
        raise WeirError(f"{name}: {outcome.bad} bad of {rows} rows, nothing is computed; --skip-bad leaves them out")


def check_output(out: Path, inputs: list[Path], *, replace: bool) -> None:
    """Refuse an output that would overwrite something that was not asked to go.

    Raises:
        Refused: it is one of the inputs under any name, exists without ``replace``, or cannot be a file.
    """
    if not os.path.lexists(out):
        return
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise Refused(f"expected an output that is no input, found {out} to be the file {path}")
    if out.is_dir():
        raise Refused(f"expected a file to write at {out}, found a directory")
    if not replace:
        raise Refused(f"expected no file at {out}, found one; --replace writes over it")
