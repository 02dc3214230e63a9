"""The follower of decisions and the sender of labels, killed at every step while verdicts are given."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from math import ceil
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.workers import Worker, await_true
from tests.integration.outputs import Follower, Outputs
from weir.cases.case import Conflict, State, Verdict
from weir.cases.desk import Desk
from weir.cases.queue import Wanted
from weir.infra.database.engine import open_database
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments

STEPS = (
    "gathered", "cases_adding", "cases_advancing", "cases_added", "committing", "committed",
    "labels_read", "labels_sent", "labels_marked",
)  # fmt: skip
SECONDS, SHOWN_MAX = 120.0, 3
CASES_MAX = 4
"""At a time: enough for labels that wait whenever a sender looks."""
VERSION = "weir.verdict.version"
_PAUSE_SECONDS = 0.02
Named = tuple[str, str, int]
"""A label by key, event id and version of its verdict."""


def follower(lab: Lab, **orders: Any) -> Worker:
    """Start a follower with its sender."""
    return lab.crew.start("cases", mutant=lab.plan.mutant, **orders)


@contextmanager
def _analyst(lab: Lab) -> Iterator[None]:
    """Give verdicts meanwhile, correct a third of them and withdraw another: labels are made all the time."""
    done = threading.Event()
    desk = Desk(partial(open_database, lab.settings), payments, lab.now_ms)

    def work() -> None:
        while not done.wait(_PAUSE_SECONDS):
            try:
                wanted = Wanted(frozenset({State.OPEN}), limit=CASES_MAX)
                for number, case in enumerate(desk.page(wanted).cases):
                    desk.claim(case.id, "analyst")
                    desk.decide(case.id, "analyst", Verdict.FRAUD, "looks like it")
                    if number % 3:
                        other = Verdict.UNSURE if number % 3 == 1 else Verdict.LEGITIMATE
                        desk.decide(case.id, "analyst", other, "or not")
            except (Transient, Conflict):
                continue

    thread = threading.Thread(target=work, name="analyst")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        desk.close()


@fault(
    "kill-cases",
    "kill -9 of the follower of decisions and of its sender of labels, at each step",
    Plan(rate=200),
    judged=False,
)
def kill_cases(lab: Lab) -> None:
    processor, scorer = lab.processor(), lab.scorer()
    with _analyst(lab):
        for _ in range(max(1, ceil(lab.kills / len(STEPS)))):
            for step in STEPS:
                follower(lab, kill_at=f"{step}:{lab.random.randrange(1, 3)}").await_death(SECONDS)
                lab.times += 1
    last = follower(lab)
    lab.finish([processor, scorer])
    wanted = _read_reviews(lab)
    ends = _read_ends(lab)
    await_true(lambda: _has_read(lab, ends), "every decision being read", SECONDS)
    await_true(lambda: not _read_outbox(lab, sent=False), "every label being sent", SECONDS)
    last.stop()
    _judge(lab, wanted)


def _judge(lab: Lab, wanted: list[tuple[str, str]]) -> None:
    """Compare cases with the decisions, and labels with the verdicts, without the product's code."""
    kept = Counter(_read_kept(lab))
    lost, doubled = set(wanted) - set(kept), [at for at, count in kept.items() if count > 1]
    lab.expect(bool(wanted), "no decision was for review: the run proves nothing")
    lab.expect(not lost, f"{len(lost)} decisions for review are in no case, e.g. {sorted(lost)[:SHOWN_MAX]}")
    lab.expect(not doubled, f"{len(doubled)} are in several cases, e.g. {doubled[:SHOWN_MAX]}")
    made, sent = set(_read_outbox(lab, sent=True)), _read_labels(lab)
    lab.expect(bool(made), "no label was made: the run proves nothing")
    lab.expect(made == set(sent), f"{len(made - set(sent))} labels were not sent, {len(set(sent) - made)} by nobody")
    other = [named for named, values in sent.items() if len(values) > 1]
    lab.expect(not other, f"{len(other)} labels were sent again with other bytes, e.g. {other[:SHOWN_MAX]}")


def _read_reviews(lab: Lab) -> list[tuple[str, str]]:
    with closing(Outputs(lab.settings)) as outputs:
        found = outputs.decisions_to_end()
        return [(row["card_id"], row["transaction_id"]) for row in found if row["decision"] == "REVIEW"]


def _read_ends(lab: Lab) -> dict[int, int]:
    """Return the offset after the last decision of each partition that has one."""
    with closing(Follower(lab.settings, lab.settings.topics.decisions)) as decisions:
        return {message.partition(): message.offset() + 1 for message in decisions.poll_to_end()}


def _has_read(lab: Lab, ends: Mapping[int, int]) -> bool:
    found = dict(_query(lab, "SELECT partition, next_offset FROM case_positions"))
    return all(found.get(partition, -1) >= end for partition, end in ends.items())


def _query(lab: Lab, text: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(lab.settings.home / "weir.db", timeout=10)) as connection:
        return connection.execute(text).fetchall()


def _read_kept(lab: Lab) -> list[tuple[str, str]]:
    found = _query(lab, "SELECT decision FROM case_events")
    decisions = [json.loads(text) for (text,) in found]
    return [(decision["card_id"], decision["transaction_id"]) for decision in decisions]


def _read_outbox(lab: Lab, *, sent: bool) -> list[Named]:
    condition = "IS NOT NULL" if sent else "IS NULL"
    rows = _query(lab, f"SELECT key, event_id, version FROM label_outbox WHERE sent_ms {condition}")
    return [(key, event_id, version) for key, event_id, version in rows]


def _read_labels(lab: Lab) -> dict[Named, set[bytes]]:
    """Return the bytes of each label that carries the version of a verdict; the load's own labels carry none."""
    found: dict[Named, set[bytes]] = {}
    with closing(Follower(lab.settings, lab.settings.topics.labels)) as labels:
        for message in labels.poll_to_end():
            versions = [value for name, value in message.headers() or [] if name == VERSION]
            if versions:
                # the event's id is the first field: a length of one or two bytes, twice what it is, then the text
                event_id = _read_first_text(message.value()[5:])
                found.setdefault((message.key().decode(), event_id, int(versions[0])), set()).add(message.value())
    return found


def _read_first_text(body: bytes) -> str:
    size = shift = at = 0
    while True:
        byte = body[at]
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return body[at : at + (size >> 1)].decode()
