"""Searches the archive on behalf of the API, in a child process: what is asked of the past holds up no decision."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from weir.archive.child import Child
from weir.archive.run import find_root
from weir.archive.search.days import Count, DayCounter, Days
from weir.archive.search.find import DecisionSearch, Page
from weir.archive.search.opened import NoTable
from weir.infra.settings import load_settings
from weir.schemas.currencies import BASE_CURRENCY
from weir.schemas.errors import WeirError
from weir.schemas.project import find_stream
from weir.schemas.search import Search, write_cursor

WAITING_MAX: Final = 8
SECONDS_MAX: Final = 8.0
"""Less than a client waits as a rule."""


class SearchWorker:
    """The child, as its parent sees it; safe to use from several threads."""

    def __init__(self, *, waiting_max: int = WAITING_MAX, seconds_max: float = SECONDS_MAX) -> None:
        """Start nothing yet."""
        self._child = Child("search", answer, waiting_max=waiting_max, seconds_max=seconds_max)

    def find(self, stream: str, search: Search) -> bytes | None:
        """Return a page of decisions as JSON bytes, or ``None`` where no decision is archived.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: the archive is one that this version cannot read.
            Transient: too many ask, which its cause ``busy`` says, or there was no answer in time.
        """
        return self._child.ask(stream, search)

    def count_days(self, stream: str, days: int) -> bytes | None:
        """Return what was decided on the last days as JSON bytes; as ``find``."""
        return self._child.ask(stream, days)

    def close(self) -> None:
        """End the child."""
        self._child.close()


class _Opened(NamedTuple):
    """What answers for one stream."""

    search: DecisionSearch
    days: DayCounter


def answer(stream: str, asked: Search | int) -> bytes | None:
    """Return a page of decisions, or the counts of so many days; called in the child."""
    try:
        opened = _open(stream)
        if isinstance(asked, Search):
            return orjson.dumps(describe_page(opened.search.find(asked)))
        return orjson.dumps(describe_days(opened.days.count(asked)))
    except NoTable:
        return None
    except WeirError:
        _open.cache_clear()  # the archive may be another one by the next request
        raise


@cache
def _open(stream: str) -> _Opened:
    settings = load_settings()
    settings, root = settings.of_stream(find_stream(Path.cwd(), stream)), find_root(settings)
    topic = settings.topics.of(settings.stream).decisions
    return _Opened(
        DecisionSearch(root, settings.stream, topic, time.monotonic), DayCounter(root, settings.stream, topic)
    )


def describe_page(page: Page) -> dict[str, Any]:
    """Return a page as JSON has it."""
    return {
        "decisions": page.decisions,
        "next": None if page.next is None else write_cursor(page.next),
        "archived_to_ms": page.archived_to_ms,
    }


def describe_days(found: Days) -> dict[str, Any]:
    """Return counts as JSON has them."""
    days = []
    for day, counts in found.days.items():
        number = sum(count.number for count in counts.values())
        outcomes = {name: _describe(counts[name], number, has_money=found.has_money) for name in sorted(counts)}
        days.append({"day": day.isoformat(), "number": number, "outcomes": outcomes})
    currency = BASE_CURRENCY if found.has_money else None
    return {"days": days, "currency": currency, "archived_to_ms": found.archived_to_ms}


def _describe(count: Count, number: int, *, has_money: bool) -> dict[str, Any]:
    return {
        "number": count.number,
        "share": count.number / number,
        "money": count.money if has_money else None,
    }
