"""A console over an API of twins in memory, with cases on a SQLite file."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine

from tests.unit.inference.examples import DECISION
from tests.unit.inference.memory_keys import MemoryKeys
from tests.unit.inference.published.lists_twin import MemoryLists, build_lists
from tests.unit.inference.published.models_twin import MemoryChoices, build_models
from tests.unit.inference.published.rules_twin import MemoryPublished, Tries, build_rules
from tests.unit.inference.test_api import World
from tests.unit.inference.twins import MemoryAround, MemoryAudit, MemoryCalls, MemoryCurves, MemoryPublisher
from tests.unit.inference.uploading import read_here
from tests.unit.streaming.dead_letter_samples import PAYMENT, frame, letter
from tests.unit.streaming.letter_log import TOPIC, MemoryLog, build_unchecked
from weir.access.key import Key, Scope, build_key, hash_text
from weir.cases.case import Review, State, compute_expected_loss
from weir.cases.desk import Desk
from weir.cases.intake import Intake
from weir.cases.queue import Wanted
from weir.cases.reviews import ReviewPlan
from weir.console.api import Api
from weir.console.app import ConsoleParts, build_console
from weir.console.guard import Cookies, Guard
from weir.console.session import Sessions
from weir.inference.api.app import build_api
from weir.inference.api.live.feed import Feed, Live
from weir.inference.api.uploads.desk import UploadDesk
from weir.inference.published.proposals.settling import propose
from weir.infra.database.engine import open_database
from weir.infra.settings import load_settings
from weir.infra.upload_settings import UploadSettings
from weir.infra.uploads.folders import UploadFolders
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments
from weir.streaming.dlq.letter import Coordinate

IDLE_SECONDS, SECONDS_MAX = 1_800.0, 43_200.0
BURST = {"code": "CARD_BURST", "detail": "card_event_count_5m = 4 (typical 1)"}
SPENDING = {"code": "CARD_SPENDING", "detail": "card_amount_sum_1h = 182400 (typical 2599)"}
RULE = {"code": "IMPOSSIBLE_TRAVEL", "detail": "faster than an airliner: card_position_speed_30d > 1000"}


def text_of(number: int) -> str:
    return f"weir_{number:08x}_{number:064x}"


ANNA, BEN, RITA, LEAD, CLICKS, TILL, RUTH = (text_of(number) for number in range(7))
_PEOPLE: dict[str, tuple[str, list[Scope], list[str]]] = {
    ANNA: ("anna", [Scope.READ, Scope.REVIEW], []),
    BEN: ("ben", [Scope.READ, Scope.REVIEW], []),
    RITA: ("rita", [Scope.READ], []),
    LEAD: ("lead", [Scope.ADMIN], []),
    CLICKS: ("clara", [Scope.READ, Scope.REVIEW], ["clicks"]),
    TILL: ("till", [Scope.SCORE], []),
    RUTH: ("ruth", [Scope.READ, Scope.RULES], []),
}


def build_review(event_id: str, card: str, *, now_ms: int, stake: float = 10_000.0, **changes: Any) -> Review:
    """Return a decision for review, as the log has it."""
    decision = DECISION | {
        "transaction_id": event_id,
        "card_id": card,
        "reasons": [BURST, SPENDING],
        "event_time_ms": now_ms - 60_000,
        "decision_time_ms": now_ms - 59_960,
        **changes,
    }
    label = {name: decision[name] for name in ("transaction_id", "card_id", "merchant_id", "event_time_ms")}
    loss = compute_expected_loss(decision["score"], stake)
    at_ms = decision["event_time_ms"]
    return Review(card, event_id, at_ms, at_ms + 40, loss, decision, label)


class ConsoleWorld:
    """What a console stands on, each part of which can be sent away."""

    def __init__(self, home: Path, *, keyed: bool = True) -> None:
        self.now_ms = int(time.time() * 1_000)
        self.clock = 1_000.0
        self.keys = {
            text: build_key(text[5:13], hash_text(text), name, scopes, streams, now_ms=self.now_ms, by="ops")
            for text, (name, scopes, streams) in _PEOPLE.items()
        }
        self.keyed = keyed
        self.database_away = ""
        self._settings = load_settings({"WEIR_HOME": str(home)})
        self.labels = MemoryPublisher()
        self.audit = MemoryAudit()
        self.calls = MemoryCalls(self.audit.records)
        self.feed = Feed()
        self.evidence: dict[str, Any] = {}
        self.around = MemoryAround()
        self.letters = MemoryLog()
        self.published, self.tries = MemoryPublished(), Tries()
        self.lists = MemoryLists()
        self.four_eyes = "[]"
        self.choices, self.curves = MemoryChoices(), MemoryCurves()
        self.uploads = UploadFolders(home / "uploads")
        folders = {payments.name: self.uploads}
        self._uploading = UploadDesk(folders, UploadSettings(), now_ms=lambda: self.now_ms, read=read_here)
        self.api = World(home)
        self.desk = Desk(self._open_database, payments, lambda: self.now_ms, find=self._find_review)
        self._closing = ExitStack()
        self._closing.callback(self.desk.close)
        self._closing.callback(self._uploading.close)
        self._closing.callback(self.api.guard.close)
        self.sessions = Sessions(
            self.find_key, idle_seconds=IDLE_SECONDS, seconds_max=SECONDS_MAX, monotonic=lambda: self.clock
        )

    def find_key(self, text: str) -> Key | None:
        key = self.keys.get(text)
        return None if key is None or key.find_fault(self.now_ms) else key

    def revoke(self, text: str) -> None:
        self.keys[text] = replace(self.keys[text], revoked_ms=1)

    def send_database_away(self) -> None:
        """Have nobody answer who asks the database from now on."""
        self.database_away = "database: nobody answers"
        self.desk._opened = None

    def answer(self, stream: str, event_id: str) -> bytes | None:
        """Return the evidence on an event, as the archive would."""
        del stream
        found = self.evidence.get(event_id)
        return None if found is None else json.dumps(found).encode()

    def build_api(self) -> FastAPI:
        assert self.api.served.decide is not None
        decide = replace(self.api.served.decide, live=Live(self.feed, self.api.stream))
        served = replace(
            self.api.served, desk=self.desk, labels=self.labels, decide=decide, evidence=self, around=self.around
        )
        rules = build_rules(self.published, self.tries, self.four_eyes)
        lists = build_lists(self.lists, self._settings.home, self.tries, self.four_eyes)
        served = replace(served, letters=build_unchecked(self.letters), rules=rules, lists=lists)
        served = replace(served, uploads=self._uploading, curves=self.curves)
        served = replace(served, models=build_models(self.choices, self._settings.home))
        find = self.find_key if self.keyed else None
        parts = replace(self.api.parts, streams=[served], find_key=find, now_ms=lambda: self.now_ms)
        return build_api(replace(parts, keys=MemoryKeys(self.keys), audit=self.audit, calls=self.calls))

    def build(self, client: httpx.AsyncClient, *, hosts: frozenset[str] = frozenset(), secure: bool = False) -> FastAPI:
        """Return the console over a client of the API."""
        guard = Guard(self.sessions, Cookies(secure=secure))
        api = Api(client, keyed=self.keyed)
        return build_console(ConsoleParts(api, guard, {payments.name: payments}, hosts, lambda: self.now_ms))

    def add(self, reviews: Sequence[Review], *, burst_ms: int = 0) -> list[str]:
        """Open cases and have the API know the decisions; return the ids of the cases, the costliest first."""
        engine = open_database(self._settings)
        try:
            intake = Intake(engine, stream=payments.full_name, topic_id="topic", burst_ms=burst_ms)
            intake.take(reviews, {0: 1})
        finally:
            engine.dispose()
        for review in reviews:
            self.know(review)
        return self.list_undecided()

    def know(self, review: Review) -> None:
        """Have the API know a decision."""
        self.api.decisions.stored[review.event_id] = json.dumps(dict(review.decision)).encode()

    def add_letter(self, **changes: Any) -> str:
        """Have the stream refuse a payment; return the path of its letter's page, after that of the stream."""
        offset = len(self.letters.letters)
        value = frame(PAYMENT | {name: changes.pop(name) for name in PAYMENT if name in changes})
        at = Coordinate(TOPIC, 3, offset)
        self.letters.letters.append(letter(at=at, appended_ms=self.now_ms + offset, **({"value": value} | changes)))
        return f"letters/3/{offset}"

    def propose_rules(self, text: str) -> None:
        """Have ruth propose rules, as where two people are asked for."""
        self.published.who, self.published.why = "ruth", "a wave"
        propose(self._settings.of_stream(payments), self.published, "rules", [text])  # type: ignore[arg-type]  # a twin

    def list_undecided(self) -> list[str]:
        """Return the ids of the cases without a verdict, the costliest first."""
        undecided = frozenset({State.OPEN, State.CLAIMED})
        return [case.id for case in self.desk.page(Wanted(undecided)).cases]

    def close(self) -> None:
        self._closing.close()

    def _find_review(self, event_id: str) -> Review | None:
        """Find a decision as the API knows it."""
        stored = self.api.decisions.stored.get(event_id)
        return None if stored is None else ReviewPlan(payments).build(json.loads(stored), None)

    def _open_database(self) -> Engine:
        if self.database_away:
            raise Transient(self.database_away)
        return open_database(self._settings)
