"""The cases of one stream as people work on them: the queue, one case, and every change that they make.

Each change is one transaction in which the case is locked, judged by ``cases/case.py`` and written, so that of two
analysts who claim at once one holds it. A verdict is written with the labels that it makes.

The database is opened when it is first asked for: a service starts, and decides, without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, select

from weir.cases.adding import Added, Asked, put_review
from weir.cases.case import Case, Review, Verdict, claim, decide, release
from weir.cases.labels import LabelPlan, needs_label
from weir.cases.links import Link, put_link, read_links, read_links_to, remove_link
from weir.cases.outbox import Waiting, add_label
from weir.cases.queue import Page, Wanted, read_page
from weir.cases.tables import ACTS, CASES, EVENTS, as_case, as_row
from weir.infra.database.engine import translated
from weir.schemas.printable import escape
from weir.schemas.stream import Stream


@dataclass(frozen=True)
class Act:
    """What was done to a case, when and by whom."""

    at_ms: int
    by: str
    act: str
    text: str | None


@dataclass(frozen=True)
class File:
    """A case with all that is known of it.

    Attributes:
        decisions: of its events, as they are in the log, the oldest first.
        unlabelled: ids of events whose verdict makes no label, because something that a label needs is not known.
        acts: the oldest first.
        links: other events that it is linked to, the oldest link first.
    """

    case: Case
    decisions: list[Mapping[str, Any]]
    unlabelled: list[str]
    acts: list[Act]
    links: list[Link]


class UnknownCase(Exception):
    """The stream has no case of that id."""


class UnknownEvent(Exception):
    """No decision of the stream is known on an event of that id."""


def find_nothing(_: str) -> Review | None:
    """Know no event: for who works on cases that are there."""
    return None


class Desk:
    """The cases of one stream.

    Attributes:
        stream: whose cases they are.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        stream: Stream,
        now_ms: Callable[[], int],
        *,
        find: Callable[[str], Review | None] = find_nothing,
        burst_ms: int = 0,
    ) -> None:
        """Bind to a database that is opened by the first request.

        Args:
            open_engine: opens it; raises ``Transient`` while it is unreachable.
            stream: whose cases they are.
            now_ms: the clock.
            find: finds the decision on an event by its id; ``cases.finding.Finder.find`` is the real one.
            burst_ms: decisions of one key that are no further apart are one case.
        """
        self._open = open_engine
        self._opened: Engine | None = None
        self._opening = threading.Lock()
        self.stream = stream
        self._labels = LabelPlan(stream) if stream.labels else None
        self._now_ms = now_ms
        self._find_review = find
        self._burst_ms = burst_ms

    def page(self, wanted: Wanted) -> Page:
        """Return a page of the queue, the largest expected loss first.

        Raises:
            Transient: the database is unreachable.
        """
        with self._transaction() as connection:
            return read_page(connection, self.stream.full_name, wanted)

    def show(self, case_id: str) -> File:
        """Return a case with its decisions and its history.

        Raises:
            UnknownCase: there is none of that id.
            Transient: the database is unreachable.
        """
        with self._transaction() as connection:
            case = self._find(connection, case_id, lock=False)
            of_case = select(EVENTS).where(EVENTS.c.case_id == case_id).order_by(EVENTS.c.event_ms, EVENTS.c.event_id)
            events = connection.execute(of_case).mappings().all()
            acts = connection.execute(select(ACTS).where(ACTS.c.case_id == case_id).order_by(ACTS.c.id)).mappings()
            return File(
                case,
                [orjson.loads(event["decision"]) for event in events],
                [event["event_id"] for event in events if event["label"] is None],
                [Act(act["at_ms"], act["by"], act["act"], act["text"]) for act in acts],
                read_links(connection, case),
            )

    def show_links_to(self, key: str, *, until_ms: int) -> list[tuple[str, Link]]:
        """Return the links of other keys' cases to events of a key, each with the id of its case.

        Raises:
            Transient: the database is unreachable.
        """
        with self._transaction() as connection:
            return read_links_to(connection, self.stream.full_name, key, until_ms=until_ms)

    def open(self, event_id: str, by: str, why: str) -> Added:
        """Have a case of an event, whatever was decided on it: the one that it is in, or one that it is put into now.

        Raises:
            UnknownEvent: no decision on it is known.
            Transient: the database, or what has to be asked for the decision, is unreachable.
            WeirError: what the index or the archive has of it cannot be read.
        """
        review = self._known(event_id)
        asked = Asked(by, why, self._now_ms())
        with self._transaction() as connection:
            return put_review(connection, self.stream.full_name, review, burst_ms=self._burst_ms, asked=asked)

    def link(self, case_id: str, event_id: str, by: str, why: str) -> Case:
        """Link a case, of whatever state, to another event; one that is linked stays as it is.

        Raises:
            UnknownCase: there is none of that id.
            UnknownEvent: no decision on the event is known.
            Conflict: the event is in the case itself, or the case has as many links as it may.
            Transient: as of ``open``.
            WeirError: likewise.
        """
        review = self._known(event_id)
        with self._transaction() as connection:
            case = self._find(connection, case_id)
            if put_link(connection, case, review, by=by, reason=why, at_ms=self._now_ms()):
                self._log(connection, case_id, by, "linked", f"{escape(event_id)}: {why}")
        return case

    def unlink(self, case_id: str, event_id: str, by: str) -> Case:
        """Take a link of a case away; raises as ``show``."""
        with self._transaction() as connection:
            case = self._find(connection, case_id)
            if remove_link(connection, case, event_id, at_ms=self._now_ms()):
                self._log(connection, case_id, by, "unlinked", escape(event_id))
        return case

    def claim(self, case_id: str, by: str) -> Case:
        """Have an analyst hold a case.

        Raises:
            UnknownCase: there is none of that id.
            Conflict: somebody else holds it, or it is closed.
            Transient: the database is unreachable.
        """
        return self._change(case_id, lambda case: claim(case, by), by, "claimed")

    def release(self, case_id: str, by: str, *, force: bool = False) -> Case:
        """Give a case back to the queue; raises as ``claim``."""
        return self._change(case_id, lambda case: release(case, by, force=force), by, "released")

    def note(self, case_id: str, by: str, text: str) -> Case:
        """Add a note to a case, held by anybody or nobody; raises as ``show``."""
        with self._transaction() as connection:
            case = self._find(connection, case_id, lock=False)
            self._log(connection, case_id, by, "note", text)
        return case

    def decide(self, case_id: str, by: str, verdict: Verdict, reason: str) -> Case:
        """Give a verdict, or correct one; the labels that it makes wait to be sent.

        Raises:
            UnknownCase: there is none of that id.
            Conflict: nobody or somebody else holds it, or labels of this stream cannot be withdrawn.
            Transient: the database is unreachable.
        """
        with self._transaction() as connection:
            case = self._find(connection, case_id)
            decided = decide(case, by, verdict, reason, at_ms=self._now_ms())
            if decided.version != case.version:
                self._write(connection, decided)
                self._log(connection, case_id, by, str(verdict), reason)
                if needs_label(verdict, case.verdict):
                    self._add_labels(connection, decided)
        return decided

    def close(self) -> None:
        """Disconnect."""
        if self._opened is not None:
            self._opened.dispose()

    def _known(self, event_id: str) -> Review:
        review = self._find_review(event_id)
        if review is None:
            raise UnknownEvent
        return review

    def _change(self, case_id: str, change: Callable[[Case], Case], by: str, act: str) -> Case:
        with self._transaction() as connection:
            case = self._find(connection, case_id)
            changed = change(case)
            if changed != case:
                self._write(connection, changed)
                self._log(connection, case_id, by, act)
        return changed

    def _find(self, connection: Connection, case_id: str, *, lock: bool = True) -> Case:
        """Return a case; nobody else changes one that is locked until the transaction ends."""
        if not case_id.isalnum():
            raise UnknownCase  # other text names none, and PostgreSQL takes no NUL in any
        asked = select(CASES).where((CASES.c.id == case_id) & (CASES.c.stream == self.stream.full_name))
        found = connection.execute(asked.with_for_update() if lock else asked).mappings().one_or_none()
        if found is None:
            raise UnknownCase
        return as_case(found)

    def _write(self, connection: Connection, case: Case) -> None:
        connection.execute(CASES.update().where(CASES.c.id == case.id).values(as_row(case)))

    def _log(self, connection: Connection, case_id: str, by: str, act: str, text: str | None = None) -> None:
        row = {"case_id": case_id, "at_ms": self._now_ms(), "by": by, "act": act, "text": text}
        connection.execute(ACTS.insert().values(row))

    def _add_labels(self, connection: Connection, case: Case) -> None:
        if self._labels is None:
            return
        assert case.verdict is not None, "a case without a verdict has no labels; a bug of the caller"
        assert case.verdict_ms is not None, "nor a time of one"
        for event in connection.execute(select(EVENTS).where(EVENTS.c.case_id == case.id)).mappings().all():
            if event["label"] is None:
                continue
            label = self._labels.build(orjson.loads(event["label"]), case.verdict, at_ms=case.verdict_ms)
            waiting = Waiting(event["key"], event["event_id"], case.version, label)
            add_label(connection, case.stream, waiting, at_ms=case.verdict_ms)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        engine = self._engine()
        with translated(engine), engine.begin() as connection:
            yield connection

    def _engine(self) -> Engine:
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened
