"""One evaluator: stream, API, what-if and shadow give one answer to each of some generated events.

Two deployments see the same events. In the one, rules, thresholds and a model are in force; in the other the same rules
and the same model are in shadow, next to others that decide, and its decisions are archived. What the first decides has
to be what ``POST /v1/score`` answers just before, what a trial over the archive of the second says, and what the second
noted.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import weir.cli
from tests.golden import decided as golden
from tests.golden.decided import DECISION_TIME_MS
from tests.golden.log import Entry
from tests.golden.product import Run
from tests.golden.records import Given, decode, parse_schema, read_schema
from tests.golden.wire import encode_frame
from tests.unit.archive import decided
from tests.unit.archive.decided import DECISIONS_SCHEMA_ID, NEWEST, Logged, build_archive
from tests.unit.archive.test_in_force import FakeTopic, _keep
from tests.unit.inference.bundles import AMOUNT, BURST, link_champion, write_bundle
from tests.unit.inference.published.acts import build_act
from tests.unit.inference.test_api import World
from tests.unit.inference.test_rule_surfaces import CONDITIONS
from tests.unit.inference.twins import Client
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import MS_MAX
from weir.archive.whatif.again import read_outcomes
from weir.archive.whatif.in_force import Change, Finder
from weir.archive.whatif.labels import read_labels
from weir.archive.whatif.past import SOURCE, Joined, Part, Past
from weir.archive.whatif.study import OfVersion, Study
from weir.inference.api.app import build_api
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.champion import Champion
from weir.inference.core.deciding import OUTCOMES, DecidedRows
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.rules import RuleSet, list_words
from weir.inference.core.thresholds import ThresholdTable, read_thresholds
from weir.inference.decide import Decider
from weir.inference.published.content import Standing
from weir.inference.rule_sets import read_rules
from weir.inference.shadow import ShadowScorer
from weir.infra.redis.partials_reader import Partials
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments

EVENTS = 260
T0_MS = 1_767_000_000_000
LISTS = {
    "version": "golden",
    "allow": {"card": ["card-3"], "device": ["device-1"]},
    "block": {"merchant": ["shop-2"], "card": ["card-3", "card-5"], "ip": ["10.0.0.3"]},
    "watch": {"card": ["card-1"]},
}
THRESHOLDS = {"review": 0.3, "decline": 0.8, "by": "channel", "segments": {"POS": {"review": 0.15, "decline": 0.6}}}
OF_DECISION = ("decision", "decided_by", "tags")
OF_ANSWER = (*OF_DECISION, "score", "probability", "prediction_set", "reasons", "shadow_rules", "rules_version", "late")
Row = dict[str, Any]


@dataclass
class InForce:
    """What decides, and what is scored next to it."""

    bundle: Bundle
    lists: Lists
    rules: RuleSet
    thresholds: ThresholdTable | None = None
    shadow: Bundle | None = None


@dataclass
class Following:
    """What is published, put in force by hand."""

    standing: Standing = field(default_factory=Standing)

    def close(self) -> None:
        """Follow no longer."""


def _write_rules(dice: random.Random, *, is_live: bool) -> str:
    """Return rules of random conditions: each decides and tags, or with the same condition is in shadow."""
    lines = ["rules:"]
    for n in range(12):
        one, other = dice.sample(CONDITIONS, 2)
        when = dice.choice((f"({one}) and ({other})", f"({one}) and not ({other})", one))
        then, priority = dice.choice(("DECLINE", "ALLOW", "REVIEW", "REVIEW")), dice.randrange(3)
        mode = "live" if is_live else "shadow"
        lines.append(f'  - {{name: r{n}, why: a, then: {then}, priority: {priority}, mode: {mode}, when: "{when}"}}')
        if is_live:
            lines.append(f'  - {{name: t{n}, code: R{n}, why: a, then: TAG, when: "{when}"}}')
    return "\n".join(lines)


def _build_events(dice: random.Random) -> Iterator[Entry]:
    """Yield payments of few cards, some of them sent twice and some that nobody may send."""
    schema, now_ms, sent = json.loads(read_schema("transactions.v2")), T0_MS, list[Row]()
    for offset in range(EVENTS):
        now_ms += dice.choice((0, 900, 20_000, 400_000, 3_000_000))
        row: Row = {
            "transaction_id": f"t-{offset}", "card_id": f"card-{dice.randrange(9)}", "customer_id": "person-1",
            "merchant_id": f"shop-{dice.randrange(12)}", "mcc": dice.choice((5411, 5812, 5999)),
            "channel": dice.choice(("POS", "ATM", "ECOM", "MOTO")),
            "amount_minor": dice.choice((-300, 90, 4_000, 90_000)),
            "currency": dice.choice(("USD", "EUR", "JPY")), "country": dice.choice(("US", "DE", "JP")),
            "event_time_ms": now_ms - dice.choice((0, 5, 70_000)), "outcome": dice.choice(("ACCEPTED", "DECLINED")),
            "device_id": dice.choice((None, f"device-{dice.randrange(9)}")),
            "ip": dice.choice((None, f"10.0.0.{dice.randrange(5)}")), "lat": None, "lon": None,
            "issuer_country": dice.choice((None, "US")), "entry_mode": None,
        }  # fmt: skip
        if dice.random() < 0.3:
            row |= {"lat": dice.uniform(-60, 60), "lon": dice.uniform(-170, 170)}
        if sent and dice.random() < 0.05:
            row = sent[-1]
        elif dice.random() < 0.05:
            row |= {"mcc": -1}
        sent.append(row)
        key = row["card_id"].encode()
        yield Entry("transactions", 0, offset, now_ms, key, encode_frame(2, schema, row))


class Api:
    """``POST /v1/score`` over the windows that the stream has written so far."""

    def __init__(self, home: Path, now: InForce, run: Run) -> None:
        self._world, self._run, self._now_ms = World(home / "api"), run, 0
        link_champion(home / "api", now.bundle.directory)
        (home / "api" / "lists.json").write_text(json.dumps(LISTS))
        standing = Standing().put("rules", "a" * 64, now.rules).put("thresholds", "b" * 64, now.thresholds)
        champion = Champion(Settings(home=home / "api"), published=Following(standing))
        served = replace(self._world.served, champion=champion)
        parts = replace(self._world.parts, streams=[served], now_ms=lambda: self._now_ms)
        self._client = Client(build_api(parts))

    def score(self, entry: Entry) -> tuple[int, Row]:
        """Return the status and the answer for an event that is appended now."""
        event = decode(entry.value or b"", parse_schema(read_schema("transactions.v2")))
        stored: dict[tuple[str, str], dict[str, bytes]] = {}
        for (tag, entity, entity_id), partials in self._run.state.partials.items():
            stored.setdefault((entity, entity_id), {})[tag] = partials
        self._world.partials.stored = {
            pair: Partials([found["t00"]] if "t00" in found else [], [], True, [], {"t00": entry.offset})
            for pair, found in stored.items()
        }
        self._now_ms = entry.append_ms
        answer = self._client.post("/v1/score", json=event)
        return answer.status_code, answer.json()

    def close(self) -> None:
        """End what probes the partials."""
        self._world.guard.close()


@dataclass
class Seen:
    """What each surface said of each event that has a decision, by its offset.

    Attributes:
        home: of the deployment whose decisions are archived.
        stream: decisions of the deployment in which everything is in force.
        api: answers for it.
        trial: what a trial says that it would decide.
        shadowed: decisions by the same model, next to which its rules are in shadow.
        noted: decisions by others, next to which all of it is in shadow.
        recorded: of those, the decision as the trial read it.
        vectors: features, in the order of their names.
        refused: how often the API answered with a status, of events that the stream did not decide.
        decisions: records of the archive.
    """

    home: Path
    stream: dict[int, Row] = field(default_factory=dict)
    api: dict[int, Row] = field(default_factory=dict)
    trial: dict[int, Row] = field(default_factory=dict)
    shadowed: dict[int, Row] = field(default_factory=dict)
    noted: dict[int, Row] = field(default_factory=dict)
    recorded: dict[int, str] = field(default_factory=dict)
    vectors: dict[int, list[float]] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    decisions: list[Logged] = field(default_factory=list)


class RecordingStudy(Study):
    """Notes what a trial decides of each event, which a study only adds up."""

    trial: dict[int, Row]
    recorded: dict[int, str]

    def _add(self, part: Part, rows: Joined, made: DecidedRows, in_force: RuleSet | None, of: OfVersion) -> None:
        words = list_words(made.tags)
        recorded = read_outcomes(rows.decisions)
        for row, offset in enumerate(rows.decisions[SOURCE[1]].to_pylist()):
            self.trial[offset] = {
                "decision": OUTCOMES[made.outcomes[row]],
                "decided_by": made.decider(int(made.by[row])).name,
                "tags": list(words.get(row, ())),
            }
            self.recorded[offset] = OUTCOMES[recorded[row]]
        super()._add(part, rows, made, in_force, of)


@pytest.fixture(scope="module", params=[1, 2])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What every surface says of the events of a seed; rules are of the same seed."""
    home, seed = tmp_path_factory.mktemp("home"), request.param
    first, second = _build_in_force(home, seed)
    found, run = Seen(home), Run(1)
    api = Api(home, first, run)
    deployments = Deployments(found, first, second)
    for entry in _build_events(random.Random(seed)):
        status, answer = api.score(entry)
        before = len(run.rows)
        run.take([entry])
        if len(run.rows) == before:
            found.refused[status] += 1
        else:
            assert status == 200, answer
            found.api[entry.offset] = answer
            deployments.decide(entry.offset, *run.rows[-1])
    api.close()
    features = [Logged(decided._entry("features", n, row.key, row.value), []) for n, row in enumerate(run.rows)]
    build_archive(home, records={"features": features, "decisions": found.decisions})
    (home / "lists.json").write_text(json.dumps(LISTS))
    text = (home / "shadow.yaml").read_text()
    _keep(home, FakeTopic([build_act("rules", text, label=second.rules.version).encode()]))
    _try(home, first, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIR_HOME", str(home))
        yield found


def _build_in_force(home: Path, seed: int) -> tuple[InForce, InForce]:
    """Return what decides in the two deployments; the first one's rules and model are the second one's shadows."""
    models = home / "models"
    weights = {BURST: 0.9, AMOUNT: 0.0002}
    other = load_bundle(write_bundle(models / "other", name="other", weights=weights), stream=payments)
    own = load_bundle(write_bundle(models / "own", weights={BURST: 2.0}), stream=payments)
    rules = {}
    for name, is_live in (("live", True), ("shadow", False)):
        (home / f"{name}.yaml").write_text(text := _write_rules(random.Random(seed), is_live=is_live))
        rules[name] = read_rules(text, payments, name)
    (home / "thresholds.json").write_text(json.dumps(THRESHOLDS))
    lists = parse_lists(LISTS, list(payments.id_field_of))
    first = InForce(other, lists, rules["live"], read_thresholds(THRESHOLDS, payments, "cut"))
    return first, InForce(own, lists, rules["shadow"], shadow=other)


class Deployments:
    """Decides each row of one stream by all that are in force, as a scorer does: from its bytes."""

    def __init__(self, found: Seen, first: InForce, second: InForce) -> None:
        """Bind to what decides in the two; a third has the first one's model and the second one's rules."""
        third = replace(first, rules=second.rules)
        self._reader, self._writer = golden.build_reader(), golden.build_decider(DECISIONS_SCHEMA_ID)[1]
        self._schema = parse_schema(NEWEST["decisions"])
        self._found = found
        self._deciders = [Decider(now, payments, ShadowScorer(now)) for now in (first, third, second)]

    def decide(self, offset: int, key: bytes | None, value: bytes) -> None:
        """Decide the feature row of the event at an offset."""
        found, count = self._found, len(self._found.decisions)
        row: Any = Given(decided._entry("features", count, key, value))
        read = self._reader.from_avro([row]).batch
        found.vectors[offset] = read.features[0].tolist()
        for decider, said in zip(self._deciders, (found.stream, found.shadowed, found.noted), strict=True):
            made = self._writer.to_avro(decider.decide(read), decision_time_ms=DECISION_TIME_MS)
            said[offset] = decode(made.values[0] or b"", self._schema)
        logged = decided._entry("decisions", count, made.keys[0], made.values[0])
        found.decisions.append(Logged(logged, list(made.headers[0])))


def _try(home: Path, first: InForce, found: Seen) -> None:
    """Hold what decides in the first deployment against the archive of the second."""
    root, settings = Place(str(home / "archive")), Settings(home=home)
    past = Past(root, payments, settings.topics.of(payments))
    change = Change(first.rules, None, first.thresholds, first.bundle)
    labels = read_labels(past.labels, payments, now_ms=past.newest_ms)
    study = RecordingStudy(past, Finder(settings, Objects(root)), labels, change)
    study.trial, study.recorded = found.trial, found.recorded
    assert sum(study.run(0, MS_MAX)) == len(found.decisions)
    assert study.found.differences == []


def _pick(row: Row, names: Sequence[str]) -> Row:
    return {name: row[name] for name in names}


def test_each_event_has_one_decision_on_all_four_surfaces(seen: Seen) -> None:
    assert seen.stream.keys() == seen.api.keys() == seen.trial.keys() == seen.noted.keys()
    for offset, row in seen.stream.items():
        decision = _pick(row, OF_DECISION)
        assert _pick(seen.api[offset], OF_DECISION) == decision, offset
        assert seen.trial[offset] == decision, offset


def test_the_api_answers_in_every_field_what_the_stream_records(seen: Seen) -> None:
    for offset, row in seen.stream.items():
        answer = seen.api[offset]
        assert _pick(answer, OF_ANSWER) == _pick(row, OF_ANSWER), offset
        assert answer["model"] == {"name": row["model_name"], "version": row["model_version"]}
        missing = [None if math.isnan(value) else value for value in seen.vectors[offset]]
        assert list(answer["features"].values()) == missing, offset


def test_what_a_shadow_notes_is_what_decides_where_it_is_in_force(seen: Seen) -> None:
    for offset, row in seen.stream.items():
        held = {f"R{rule.removeprefix('r')}" for rule in seen.shadowed[offset]["shadow_rules"]}
        assert held == {*row["tags"]} - {"WATCH_LIST"}
        noted = seen.noted[offset]
        assert noted["shadow_score"] == row["score"] == seen.api[offset]["score"]
        assert noted["model_name"] != row["model_name"] == noted["shadow_model_name"]


def test_the_command_counts_the_flips_of_these_events(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"rules": "live.yaml", "thresholds": "thresholds.json", "model": "models/other"}
    given = [word for name, path in words.items() for word in (f"--{name}", str(seen.home / path))]
    assert weir.cli.main(["whatif", *given, "--verify", "--json"]) == 0
    pairs = Counter((seen.noted[offset]["decision"], row["decision"]) for offset, row in seen.stream.items())
    flips = {f"{was} → {now}": count for (was, now), count in pairs.items() if was != now}
    assert json.loads(capsys.readouterr().out)["flips"] == flips
    assert len(flips) > 2


def test_what_the_stream_does_not_decide_the_api_refuses(seen: Seen) -> None:
    assert seen.refused.keys() == {409, 422}
    assert seen.recorded == {offset: row["decision"] for offset, row in seen.noted.items()}


def test_the_events_are_decided_in_many_ways(seen: Seen) -> None:
    deciders = Counter(row["decided_by"].rstrip("0123456789") for row in seen.stream.values())
    assert deciders.keys() >= {"model", "r", "allow_list_card", "block_list_merchant"}
    assert len({row["decided_by"] for row in seen.stream.values()}) > 8
    assert {row["decision"] for row in seen.stream.values()} == set(OUTCOMES)
    assert len({row["score"] for row in seen.stream.values()}) > 20
