"""A world that a what-if is tried on, and what it comes to, counted row by row in plain Python.

Of the product the oracle takes nothing: conditions are Python functions of three values, what decides is written down
once more, and rows are read from the archive as another program would.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from deltalake import DeltaTable

from tests.golden import decided as golden
from tests.golden.decided import LISTS
from tests.golden.log import Entry
from tests.golden.records import Given, decode, parse_schema, read_schema
from tests.golden.shipped import bundle_folder
from tests.golden.wire import encode_frame
from tests.unit.archive import decided
from tests.unit.archive.decided import DECISIONS_SCHEMA_ID, NEWEST, Logged, build_archive
from tests.unit.archive.test_in_force import FakeTopic, InForce, _keep
from tests.unit.inference.published.acts import build_act
from weir.inference.bundle import load_bundle
from weir.inference.core.lists import parse_lists
from weir.inference.decide import Decider
from weir.inference.rule_sets import read_rules
from weir.schemas.streams.payments import payments

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
HOLD_MS = 7 * DAY_MS
OUTCOMES = ("APPROVE", "REVIEW", "DECLINE")
Row = dict[str, Any]
Truth = bool | None


def _narrow(value: float) -> float:
    return float(np.float32(value))


def _at_least(name: str, bound: float) -> Callable[[Row], Truth]:
    return lambda row: None if row[name] is None else _narrow(row[name]) >= _narrow(bound)


CONDITIONS: dict[str, Callable[[Row], Truth]] = {
    "card_event_count_1d >= 2": _at_least("card_event_count_1d", 2),
    "transaction_amount >= 20000": _at_least("transaction_amount", 20_000),
    "merchant_event_count_7d >= 4": _at_least("merchant_event_count_7d", 4),
    "ip_event_count_1d >= 2": _at_least("ip_event_count_1d", 2),
    "score >= 0.3": _at_least("score", 0.3),
    "card_amount_zscore_30d is None": lambda row: row["card_amount_zscore_30d"] is None,
    "device_id is None": lambda row: row["device_id"] is None,
    "country == 'DE'": lambda row: row["country"] == "DE",
    "channel in ['ECOM', 'MOTO']": lambda row: row["channel"] in {"ECOM", "MOTO"},
    "amount_minor < 5000": lambda row: row["amount_minor"] < 5_000,
}


class Rule(NamedTuple):
    """A rule as text and as a function."""

    name: str
    then: str
    mode: str
    priority: int
    when: str
    holds: Callable[[Row], bool]

    def write(self) -> str:
        """Return its line in a file of rules."""
        settings = f"name: {self.name}, why: tried, then: {self.then}, mode: {self.mode}, priority: {self.priority}"
        return f'  - {{{settings}, when: "{self.when}"}}\n'


def _draw_rules(dice: random.Random, prefix: str, count: int) -> list[Rule]:
    """Return rules of two conditions each; one is off, and of the others some are in shadow and some only tag."""
    found = []
    for n in range(count):
        one, other = dice.sample(sorted(CONDITIONS), 2)
        is_negated = dice.random() < 0.5
        when = f"{one} and not ({other})" if is_negated else f"{one} and {other}"

        def holds(row: Row, one: str = one, other: str = other, is_negated: bool = is_negated) -> bool:
            second = CONDITIONS[other](row)
            return CONDITIONS[one](row) is True and second is not None and second is not is_negated

        then = dice.choice(("DECLINE", "REVIEW", "REVIEW", "ALLOW", "TAG"))
        mode = "off" if n == 0 else dice.choice(("live", "live", "live", "shadow"))
        found.append(Rule(f"{prefix}{n}", then, mode, dice.randrange(3), when, holds))
    return found


def _to_text(rules: Iterable[Rule]) -> str:
    return "rules:\n" + "".join(rule.write() for rule in rules)


@dataclass
class World:
    """A home with an archive, and what it was made of.

    Attributes:
        before: rules by which it was decided.
        after: rules that are tried.
        cut: thresholds that are tried, review and decline.
    """

    home: Path
    before: list[Rule]
    after: list[Rule]
    cut: tuple[float, float]
    rows: list[Event] = field(default_factory=list)
    now_ms: int = 0


class Event(NamedTuple):
    """An event with its decision, as they are archived, and what became known of it."""

    decision: Row
    row: Row
    verdict: str
    day: str


def build_world(seed: int, home: Path) -> World:
    """Decide golden rows by rules that were published, label some of them, and archive all."""
    dice = random.Random(seed)
    before, after = _draw_rules(dice, "was", 6), _draw_rules(dice, "new", 9)
    cut = sorted((round(dice.uniform(0.05, 0.4), 2), round(dice.uniform(0.4, 0.9), 2)))
    found = World(home, before, after, (cut[0], cut[1]))
    features = list(_append_then(decided.topics()["features"]))
    decisions = _decide(dice, before, features)
    labels = list(_label(dice, features))
    build_archive(home, records={"features": features, "decisions": decisions, "labels": labels})
    version = read_rules(_to_text(before), payments, "before").version
    _keep(home, FakeTopic([build_act("rules", _to_text(before), label=version).encode()]))
    (home / "rules.yaml").write_text(_to_text(after))
    found.now_ms = max(each.entry.append_ms for each in (*decisions, *labels))
    found.rows = _join(home, found.now_ms)
    return found


def _append_then(features: Iterable[Logged]) -> Iterator[Logged]:
    """Yield feature rows as appended when their events were."""
    schema = parse_schema(NEWEST["features"])
    for each in features:
        append_ms = decode(each.entry.value or b"", schema)["ingest_time_ms"]
        yield Logged(each.entry._replace(append_ms=append_ms), [])


def _decide(dice: random.Random, rules: list[Rule], features: Sequence[Logged]) -> list[Logged]:
    """Decide the golden rows by other rules; each decision is appended some time after its event."""
    now = InForce(
        load_bundle(bundle_folder(), stream=payments),
        parse_lists(LISTS, list(payments.id_field_of)),
        read_rules(_to_text(rules), payments, "before"),
    )
    given: list[Any] = [Given(each.entry) for each in features]
    read = golden.build_reader().from_avro(given).batch
    writer = golden.build_decider(DECISIONS_SCHEMA_ID)[1]
    made = writer.to_avro(Decider(now, payments).decide(read), decision_time_ms=golden.DECISION_TIME_MS)
    times = [time + dice.randrange(HOUR_MS) for time in read.rows.column("ingest_time_ms").to_pylist()]
    rows = zip(times, made.keys, made.values, made.headers, strict=True)
    return [
        Logged(Entry("decisions", 0, offset, append_ms, key, value), list(headers))
        for offset, (append_ms, key, value, headers) in enumerate(rows)
    ]


def _label(dice: random.Random, features: Sequence[Logged]) -> Iterator[Logged]:
    """Yield labels: several of some events, of one time as well, withdrawn ones, and some of times to come."""
    schema, read, offset = json.loads(read_schema("labels")), parse_schema(NEWEST["features"]), 0
    for each in features:
        row = decode(each.entry.value or b"", read)
        at_ms = row["event_time_ms"]
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
            at_ms += dice.choice((0, HOUR_MS, 2 * DAY_MS))
            label = {
                "transaction_id": row["transaction_id"], "card_id": row["card_id"], "merchant_id": row["merchant_id"],
                "device_id": None, "event_time_ms": row["event_time_ms"], "label_time_ms": at_ms,
                "is_fraud": dice.choice((True, True, False, False, False, None)), "source": "test",
            }  # fmt: skip
            append_ms = min(at_ms, row["ingest_time_ms"] + 4 * DAY_MS)
            key = row["card_id"].encode()
            yield Logged(Entry("labels", 0, offset, append_ms, key, encode_frame(3, schema, label)), [])
            offset += 1


def _read(home: Path, topic: str) -> list[Row]:
    rows: list[Row] = DeltaTable(str(home / "archive" / topic)).to_pyarrow_table().to_pylist()
    return rows


def _join(home: Path, now_ms: int) -> list[Event]:
    rows = {row["source_offset"]: row for row in _read(home, "features")}
    verdicts = find_verdicts(home, now_ms)
    found = []
    for decision in _read(home, "decisions"):
        row = rows[decision["source_offset"]] | {"score": decision["score"]}
        verdict = verdicts.get((row["card_id"], row["transaction_id"]), "no_label")
        if row["ingest_time_ms"] > now_ms - HOLD_MS:
            verdict = "too_young"
        day = datetime.fromtimestamp(decision["append_ms"] / 1_000, UTC).date().isoformat()
        found.append(Event(decision, row, verdict, day))
    return found


def find_verdicts(home: Path, now_ms: int) -> dict[tuple[str, str], str]:
    """Return what the newest label of each event says; of one time, fraud before good."""
    rank: dict[bool | None, tuple[int, str]] = {False: (0, "good"), True: (1, "fraud"), None: (2, "no_label")}
    found: dict[tuple[str, str], tuple[int, int, str]] = {}
    for label in _read(home, "labels"):
        if label["label_time_ms"] <= now_ms:
            known, event = (
                (label["label_time_ms"], *rank[label["is_fraud"]]),
                (label["card_id"], label["transaction_id"]),
            )
            found[event] = max(found.get(event, known), known)
    return {event: verdict for event, (_, _, verdict) in found.items()}


def _decide_plainly(event: Event, rules: list[Rule], cut: tuple[float, float]) -> tuple[str, str]:
    """Return what would be decided, and by what: lists, then rules by what they do, then the score."""
    by = event.decision["decided_by"]
    if by.startswith(("allow_list", "block_list")):
        return event.decision["decision"], by
    live = [rule for rule in rules if rule.mode == "live" and rule.holds(event.row)]
    live.sort(key=lambda rule: -rule.priority)  # of equal ones the earlier stays first
    for then, outcome in (("DECLINE", "DECLINE"), ("ALLOW", "APPROVE")):
        for rule in live:
            if rule.then == then:
                return outcome, rule.name
    score, reviewing = event.decision["score"], [rule for rule in live if rule.then == "REVIEW"]
    if score is None:
        return "REVIEW", reviewing[0].name if reviewing else "fallback"
    said = "DECLINE" if score >= _narrow(cut[1]) else "REVIEW" if score >= _narrow(cut[0]) else "APPROVE"
    return ("REVIEW", reviewing[0].name) if said == "APPROVE" and reviewing else (said, "model")


def read_own_cut() -> tuple[float, float]:
    thresholds = json.loads((bundle_folder() / "manifest.json").read_bytes())["thresholds"]
    return thresholds["review"], thresholds["decline"]


class Case(NamedTuple):
    """An event, what was decided, and what would be."""

    event: Event
    was: str
    now: str
    by: str

    @property
    def stake(self) -> float:
        """What is at stake; nothing where the amount is not known."""
        amount = self.event.row["transaction_amount"]
        return 0.0 if amount is None else abs(amount)


def count_cases(world: World, cut: tuple[float, float]) -> list[Case]:
    return [Case(event, event.decision["decision"], *_decide_plainly(event, world.after, cut)) for event in world.rows]


def count_flips(cases: Iterable[Case]) -> Row:
    return dict(Counter(f"{each.was} → {each.now}" for each in cases if each.was != each.now))
