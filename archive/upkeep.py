"""What an archive needs besides new rows: old days removed, small files joined, files deleted that no table names.

The archiver of partition 0 does it between reads, in steps of about a second, whenever its log has no more for it than
it can read at once; ``weir archive optimize`` does it all at once. Any number of both may be at work: a day that two of
them rewrite is rewritten once, and the other one's files are deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime

from weir.archive.forgetting import forget
from weir.archive.joining import find_days, join_in_steps, sweep, utc_now
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey
from weir.archive.table import ArchiveTable, OnStep, no_step
from weir.infra.settings import ArchiveSettings
from weir.monitoring.logs import get_logger
from weir.schemas.errors import WeirError

FIRST_SECONDS, EVERY_SECONDS, SWEEP_SECONDS = 60.0, 3_600.0, 86_400.0
"""After an archiver's start, between two rounds, and between two sweeps, which list every file."""
Tables = Iterable[tuple[str, ArchiveTable]]
"""Each with its kind, such as ``events``."""
log = get_logger(__name__)


def keep_up(
    tables: Tables,
    settings: ArchiveSettings,
    chain: Chain,
    key: SealKey,
    *,
    now: datetime,
    open_too: bool = False,
    sweeps: bool = True,
    on_step: OnStep = no_step,
) -> Iterator[str]:
    """Do what is due, and yield after each step: a line on what was done, or an empty one.

    Args:
        tables: of the archive.
        settings: how long each kind is kept.
        chain: of the archive.
        key: that signs.
        now: UTC.
        open_too: also join the files of the day that still gets rows.
        sweeps: delete files that no table has named for a week.
        on_step: called at each numbered step.

    Raises:
        Transient: the store cannot be used now.
        Damaged: a file is missing or is not what was written.
    """
    for kind, table in tables:
        keep_days = settings.keep_days(kind)
        if keep_days:
            yield from forget(table, keep_days=keep_days, chain=chain, key=key, now=now, on_step=on_step)
        for day in find_days(table, now, open_too=open_too):
            yield from _join(table, day, on_step)
            while day in find_days(table, now):  # of a large day, more than is joined at once
                yield from _join(table, day, on_step)
        swept = sweep(table) if sweeps else 0
        yield f"{table.topic}: {swept} files deleted that no table names" if swept else ""


def _join(table: ArchiveTable, day: date, on_step: OnStep) -> Iterator[str]:
    for done in join_in_steps(table, day, on_step):
        yield f"{table.topic} {done}" if done else ""


class Upkeep:
    """Does it step by step, again and again; what goes wrong is told and left for the next round."""

    def __init__(
        self,
        tables: Tables,
        settings: ArchiveSettings,
        chain: Chain,
        key: SealKey,
        on_step: OnStep = no_step,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind to an archive; the first round begins some time after now."""
        self._tables = tuple(tables)
        self._settings = settings
        self._chain = chain
        self._key = key
        self._on_step = on_step
        self._monotonic = monotonic
        self._next_at = monotonic() + FIRST_SECONDS
        self._sweep_at = self._next_at
        self._running: Iterator[str] | None = None

    def turn(self) -> None:
        """Take a step if one is due."""
        if self._running is None and self._monotonic() < self._next_at:
            return
        running = self._running = self._running or self._begin()
        try:
            line = next(running, None)
        except WeirError as error:
            log.warning("upkeep_failed", error=str(error))
            line = None
        if line:
            log.info("upkeep", done=line)
        if line is None:
            self._running, self._next_at = None, self._monotonic() + EVERY_SECONDS

    def _begin(self) -> Iterator[str]:
        sweeps = self._monotonic() >= self._sweep_at
        if sweeps:
            self._sweep_at = self._monotonic() + SWEEP_SECONDS
        return keep_up(
            self._tables, self._settings, self._chain, self._key, now=utc_now(), sweeps=sweeps, on_step=self._on_step
        )
