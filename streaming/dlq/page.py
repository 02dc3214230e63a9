"""A page of dead letters, the newest first, and where the next one begins.

A partition is read backwards, in pieces, so a page of the newest letters costs the same however many there are. A page
looks at a bounded number of letters: filters that fit few of them make pages that are not full, each with its cursor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.log import Selection

LOOKED_MAX = 5_000
"""Letters that a page looks at, over all partitions."""
_PIECE = 500
_CURSOR = re.compile(r"[0-9]{1,6}-[0-9]{1,18}(_[0-9]{1,6}-[0-9]{1,18})*")


class Letters(Protocol):
    """What pages are read from; ``DeadLetterLog`` is the real one."""

    def bounds(self, selection: Selection) -> dict[int, tuple[int, int]]:
        """Return first offset and end per partition."""
        ...

    def scan(
        self, selection: Selection, ends: dict[int, int], starts: dict[int, int] | None = None
    ) -> Iterator[DeadLetter]:
        """Yield selected letters, partition by partition, each in the order of offsets."""
        ...


@dataclass(frozen=True)
class Page:
    """Letters, the newest first.

    Attributes:
        cursor: where the next page begins; ``""`` after the last one.
    """

    letters: list[DeadLetter]
    cursor: str


def read_cursor(text: str) -> dict[int, int] | None:
    """Return the ends that a cursor names per partition; None for another text.

    >>> read_cursor("0-17_3-4"), read_cursor("17")
    ({0: 17, 3: 4}, None)
    """
    if not _CURSOR.fullmatch(text):
        return None
    return {int(number): int(end) for number, _, end in (part.partition("-") for part in text.split("_"))}


def read_page(
    log: Letters,
    selection: Selection,
    keep: Callable[[DeadLetter], bool],
    *,
    limit: int,
    after: Mapping[int, int] | None,
) -> Page:
    """Return a page.

    Args:
        log: of one topic.
        selection: which letters.
        keep: and of these.
        limit: so many at most.
        after: ends per partition, of a cursor; None for the first page.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers did not answer in time.
    """
    bounds = {
        number: (first, min(end, end if after is None else after.get(number, 0)))
        for number, (first, end) in log.bounds(selection).items()
    }
    budget = max(LOOKED_MAX // max(len(bounds), 1), _PIECE)
    found: list[DeadLetter] = []
    reached = {}
    for number, (first, end) in bounds.items():
        own, reached[number] = _read_back(log, replace(selection, partition=number), keep, (first, end), limit, budget)
        found += own
    found.sort(key=lambda each: (each.appended_ms, each.at), reverse=True)
    for letter in found[limit:]:
        reached[letter.at.partition] = max(reached[letter.at.partition], letter.at.offset + 1)
    left = {number: at for number, at in reached.items() if at > bounds[number][0]}
    return Page(found[:limit], "_".join(f"{number}-{at}" for number, at in left.items()))


def _read_back(
    log: Letters,
    selection: Selection,
    keep: Callable[[DeadLetter], bool],
    bounds: tuple[int, int],
    limit: int,
    budget: int,
) -> tuple[list[DeadLetter], int]:
    """Return the newest letters of a partition, and the offset down to which it was read."""
    assert selection.partition is not None, "of one partition"
    first, end = bounds
    found: list[DeadLetter] = []
    at = end
    while at > first and len(found) < limit and end - at < budget:
        start = max(first, at - _PIECE)
        found += list(filter(keep, log.scan(selection, {selection.partition: at}, {selection.partition: start})))[::-1]
        at = start
    return found, at
