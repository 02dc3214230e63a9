"""The API's world in memory: partials, decisions and a publisher that can be sent away and brought back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from weir.access.audit.read import Newest, choose_newest
from weir.inference.api.around.document import build_links, build_normal
from weir.inference.api.decide.event import EventEncoder
from weir.inference.api.decide.route import DecideParts
from weir.inference.api.decide.sender import NotPublished, OnAnswer
from weir.inference.api.decide.stream_decisions import StreamDecisions
from weir.inference.api.decide.waiting import Places, WaitingRequests
from weir.inference.api.examples import build_evidence
from weir.inference.api.live.feed import Feed, Live
from weir.inference.api.ports import Published
from weir.infra.redis.partials_reader import Partials
from weir.schemas.audit import AuditRecord, NotAudited
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import Transient, WeirError
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.search import Place, Search, write_cursor
from weir.schemas.streams.payments import payments
from weir.streaming.dlq.letter import Coordinate, DeadLetter


class MemoryPartials:
    """Live partials by entity and id; ``away`` is what an absent Redis says."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Partials] = {}
        self.incomplete: list[str] = []
        self.away = ""
        self.asked = 0

    def read_many(self, wanted: list[tuple[str, str]], *, from_ms: int = 0) -> list[Partials]:
        assert from_ms >= 0
        self.asked += 1
        if self.away:
            raise Transient(self.away)
        nothing = Partials([], [], not self.incomplete, self.incomplete, {"t00": 7})
        return [self.stored.get(pair, nothing) for pair in wanted]

    def ping(self) -> None:
        if self.away:
            raise Transient(self.away)


class MemoryDecisions:
    """Decisions by transaction id."""

    def __init__(self, partials: MemoryPartials) -> None:
        self.stored: dict[str, bytes] = {}
        self._redis = partials

    def read(self, transaction_id: str) -> bytes | None:
        self._redis.ping()
        return self.stored.get(transaction_id)


class MemoryPublisher:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.published: list[dict[str, object]] = []
        self.away = ""

    def publish(self, transaction: dict[str, object]) -> Published:
        if self.away:
            raise Transient(self.away)
        self.published.append(transaction)
        return Published("transactions", 0, len(self.published) - 1)


class MemoryStream:
    """A stream that decides at once what is published, unless a test takes that over by ``decide``.

    It plays the broker (``send``) and the reader of decisions (``want``) for requests that wait.
    """

    def __init__(self, decision: dict[str, Any], decisions: MemoryDecisions) -> None:
        self.published: list[tuple[bytes, dict[str, Any]]] = []
        self.away: NotPublished | None = None
        self.listens = True
        self.lag_seconds = 0.0
        self.now_s = 0.0
        self.decide: Callable[[int], None] = self.decide_now
        self._decision = decision
        self.waiting = WaitingRequests(
            payments,
            Places(number_max=4, bytes_max=40_000),
            events_topic="transactions",
            clock=lambda: self.now_s,
        )
        asked = StreamDecisions(
            EventEncoder(payments, BUILT_IN, lambda: 1), self.waiting, self, self,
            read_entry=decisions.read, lag_seconds=lambda _: self.lag_seconds,
        )  # fmt: skip
        ended = Feed()
        ended.close()  # so that an answer without an end has one, for tests that walk over all paths
        self.parts = DecideParts(asked, wait_ms=50, wait_ms_max=5_000, live=Live(ended, self))

    def send(self, key: bytes, value: bytes, on_answer: OnAnswer) -> None:
        if self.away is not None:
            on_answer(self.away)
            return
        schema = WriterSchema(1, subject_ok=True, schema=schema_json("transactions"))
        (event,) = BatchCodec("transactions").decode([value], lambda _: schema).batch.to_pylist()
        self.published.append((key, event))
        offset = len(self.published) - 1
        self.decide(offset)  # before the broker's answer: the harder order
        on_answer(Published("transactions", 0, offset))

    def want(self) -> bool:
        return self.listens

    def wait_until_reading(self, seconds: float) -> bool:
        assert seconds > 0
        return self.listens

    def describe(self) -> str:
        return "ok"

    def close(self) -> None:
        """Nothing to disconnect."""

    def record(self, offset: int, **changes: Any) -> dict[str, Any]:
        """Return the decision on what was published at an offset."""
        event = self.published[offset][1]
        return {
            **self._decision,
            **{name: event[name] for name in self._decision if name in event},
            "source_partition": 0,
            "source_offset": offset,
            **changes,
        }

    def decide_now(self, offset: int) -> None:
        self.waiting.see_decision(self.record(offset))

    def refuse(self, offset: int, reason: str, message: str = "", *, failed_ms: int = 0) -> None:
        """Let a dead letter of what was published at an offset be read."""
        at = Coordinate("transactions", 0, offset)
        letter = DeadLetter(
            at=at, source=at, origin=None, key=None, value=None, original_headers=(), group="", stage="",
            exception_class="", message=message, reason=reason, failed_ms=failed_ms, appended_ms=0, app_version="",
            replay_count=0, schema_id=None, truncated="",
        )  # fmt: skip
        self.waiting.see_letter(self.published[offset][0], letter)


class MemoryAudit:
    """Keeps audit records, unless it is away."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.away = False

    def note(self, record: AuditRecord) -> None:
        self.records.append(record)

    async def write(self, record: AuditRecord) -> None:
        if self.away:
            raise NotAudited("not written; nothing was changed")
        self.records.append(record)


class MemoryCalls:
    """Tells of audit records in memory, unless it is away."""

    def __init__(self, records: list[AuditRecord]) -> None:
        self.records = records
        self.away = ""

    def read(self, since_ms: int, who: str, limit: int) -> Newest:
        if self.away:
            raise Transient(self.away)
        since = [each for each in self.records if each.time_ms >= since_ms]
        calls, are_all = choose_newest(since, who, limit)
        return Newest(calls, are_all, sum(each.missed for each in since))


class Client:
    """Calls an application without a server; one event loop a request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request("GET", path, options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request("POST", path, options))

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, options))

    async def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)


class MemorySearch:
    """Past decisions as a list, each with its place; or none, or an error."""

    def __init__(self) -> None:
        self.decisions: list[tuple[Place, dict[str, Any]]] | None = []
        self.request_ids: dict[Place, str] = {}
        self.days: dict[str, Any] = {"days": [], "currency": "USD", "archived_to_ms": None}
        self.error: WeirError | None = None
        self.asked: list[tuple[str, Search | int]] = []

    def find(self, stream: str, search: Search) -> bytes | None:
        self.asked.append((stream, search))
        if self.error is not None:
            raise self.error
        if self.decisions is None:
            return None
        found = [
            (place, each)
            for place, each in sorted(self.decisions, key=lambda one: one[0], reverse=True)
            if search.first_ms <= place.append_ms < search.end_ms
            and (search.after is None or place < search.after)
            and search.wanted.takes(each)
            and search.request_id in (None, self.request_ids.get(place))
        ]
        page = found[: search.limit]
        newest = max((place.append_ms for place, _ in self.decisions), default=None)
        after = write_cursor(page[-1][0]) if len(found) > len(page) else None
        document = {"decisions": [each for _, each in page], "next": after, "archived_to_ms": newest}
        return json.dumps(document).encode()

    def count_days(self, stream: str, days: int) -> bytes | None:
        self.asked.append((stream, days))
        if self.error is not None:
            raise self.error
        return None if self.decisions is None else json.dumps(self.days).encode()

    def close(self) -> None:
        """Nothing is open."""


class MemoryAround:
    """What is around events, as a test says; or nothing, or an error."""

    def __init__(self) -> None:
        self.links, self.normal = build_links(payments), build_normal(payments)
        self.known: frozenset[str] | None = frozenset()
        self.error: WeirError | None = None
        self.asked: list[tuple[str, str]] = []

    def find_links(self, stream: str, event_id: str) -> bytes | None:
        return self._answer(stream, event_id, self.links)

    def find_normal(self, stream: str, event_id: str) -> bytes | None:
        return self._answer(stream, event_id, self.normal)

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, stream: str, event_id: str, document: dict[str, Any]) -> bytes | None:
        self.asked.append((stream, event_id))
        if self.error is not None:
            raise self.error
        if self.known is None:
            return None
        return json.dumps(document).encode() if event_id in self.known else b""


class MemoryEvidence:
    """What is archived of events, some of which are known."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.known = frozenset(known)

    def answer(self, stream: str, event_id: str) -> bytes | None:
        found = build_evidence(payments) | {"id": event_id, "stream": stream}
        return json.dumps(found).encode() if event_id in self.known else None

    def close(self) -> None:
        """Nothing is open."""


class MemoryCurves:
    """What thresholds do, as a test says; or nothing, or an error."""

    def __init__(self) -> None:
        self.measured: dict[str, Any] | None = None
        self.error: WeirError | None = None
        self.asked: list[tuple[str, str, str, tuple[float, ...], int]] = []

    def measure(self, stream: str, name: str, version: str, thresholds: tuple[float, ...], days: int) -> bytes | None:
        self.asked.append((stream, name, version, thresholds, days))
        if self.error is not None:
            raise self.error
        return None if self.measured is None else json.dumps(self.measured).encode()

    def close(self) -> None:
        """Nothing is open."""


def build_measured(**changes: Any) -> dict[str, Any]:
    """Return what the archive says of a grid of three thresholds, for an API that says the rest."""
    point = {
        "flagged": 100, "flagged_share": 0.1, "fraud_caught": 8, "fraud_let_through": 2, "good_flagged": 24,
        "precision": 0.25, "recall": 0.8, "false_positive_rate": 0.0625, "money_caught": 123_456.0,
        "money_let_through": 654_321.0, "money_of_good": 77_700.0,
    }  # fmt: skip
    higher = {
        "flagged": 60, "flagged_share": 0.06, "fraud_caught": 6, "fraud_let_through": 4, "good_flagged": 9,
        "precision": 0.4, "recall": 0.6, "false_positive_rate": 0.0234, "money_caught": 101_010.0,
        "money_let_through": 676_767.0, "money_of_good": 30_300.0,
    }  # fmt: skip
    none = dict.fromkeys(point, 0) | {"fraud_let_through": 10, "precision": None, "money_let_through": 777_777.0}
    return {
        "from_ms": 1_767_000_000_000, "to_ms": 1_767_268_800_000, "events": 1_000, "young": 7, "decided": 900,
        "shadow": 100, "unscored": 3, "known": 394, "frauds": 10, "has_money": True, "is_cut_short": False,
        "points": [{"threshold": 0.5, **point}, {"threshold": 0.75, **higher}, {"threshold": 0.9, **none}],
        **changes,
    }  # fmt: skip
