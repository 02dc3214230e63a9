"""What was in force is kept by an archiver, and a decision is made again by the versions that it names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.golden import decided as golden
from tests.golden.decided import LISTS
from tests.golden.log import build_log
from tests.golden.product import Run
from tests.golden.records import Given, decode, parse_schema
from tests.golden.shipped import bundle_folder
from tests.unit.archive import decided
from tests.unit.archive.decided import NEWEST, Logged, build_archive
from tests.unit.inference.published.acts import build_act
from weir.archive.evidence.case import collect, describe
from weir.archive.in_force.published import PublishedKeeper
from weir.archive.in_force.unpublished import UnpublishedKeeper
from weir.archive.in_force.versions import Versions
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.inference.bundle import load_bundle
from weir.inference.core.lists import Lists, ListsBuilder
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable, parse_thresholds
from weir.inference.decide import Decider
from weir.inference.published.act import Act, Parts, compute_hash
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient
from weir.schemas.streams.payments import payments

TOPIC = "transactions.published"
RULES = [
    "rules: [{name: often, why: nobody pays this often, when: card_event_count_1h >= 2, then: REVIEW}]",
    "rules: [{name: often, why: nobody pays this often, when: card_event_count_1h >= 3, then: DECLINE}]",
]
FIRST_LISTS = ['{"block":{"card":["card-1"]}}', '{"block":{"merchant":["shop-2"]}}']
CHANGE = '{"add":{"allow":{"card":["card-2"]}},"remove":{"block":{"card":["card-1"]}}}'
THRESHOLDS = ['{"decline":0.9,"review":0.1}', '{"decline":0.5,"review":0.2}']


@dataclass
class FakeMessage:
    """A record of the published topic."""

    content: bytes | None
    at: int

    def value(self) -> bytes | None:
        return self.content

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_760_000_000_000 + self.at


@dataclass
class FakeTopic:
    """The published topic in memory."""

    values: list[bytes | None] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)
    is_gone: bool = False
    own_id: str = "the topic's id"
    topic_id: str = ""
    next_offset: int = 0
    read_from: list[int] = field(default_factory=list)

    def is_another(self) -> bool:
        if self.is_gone:
            raise Refused("no topic")
        was, self.topic_id = self.topic_id, self.own_id
        return not was

    def read_new(self) -> list[Any]:
        found = [FakeMessage(value, at) for at, value in enumerate(self.values)][self.next_offset :]
        self.read_from.append(self.next_offset)
        self.next_offset = len(self.values)
        return found

    def read_parts(self, act: Act) -> Iterator[str]:
        if compute_hash(self.parts[act.hash]) != act.hash:
            raise Refused("expected the parts of its text, found others")
        yield from self.parts[act.hash]


@dataclass(frozen=True)
class InForce:
    """What decides."""

    bundle: Any
    lists: Lists
    rules: RuleSet
    thresholds: ThresholdTable | None = None


def _publish(topic: FakeTopic) -> list[Act]:
    """Publish two versions of each kind: the first lists in parts, the second ones as a change to them."""
    whole = compute_hash(FIRST_LISTS)
    topic.parts[whole] = FIRST_LISTS
    versions = [read_rules(text, payments, "test").version for text in RULES]
    acts = [
        *(build_act("rules", text, label=version) for text, version in zip(RULES, versions, strict=True)),
        build_act("lists", None, hash=whole, parts=Parts(count=2, offset=0)),
        build_act("lists", CHANGE, action="change", parent=whole),
        *(build_act("thresholds", text) for text in THRESHOLDS),
    ]
    topic.values += [act.encode() for act in acts]
    return acts


def _in_force(acts: Sequence[Act]) -> list[InForce]:
    """Return what a decider has in force by the first and by the second version of everything."""
    entities = tuple(payments.id_field_of)
    before = ListsBuilder(entities)
    for text in FIRST_LISTS:
        before.add(json.loads(text))
    first = before.build(acts[2].hash[:12])
    change = json.loads(CHANGE)
    second = ListsBuilder.from_lists(first, entities).remove(change["remove"]).add(change["add"])
    bundle = load_bundle(bundle_folder(), stream=payments)
    found = zip((0, 1), (first, second.build(acts[3].hash[:12])), strict=True)
    return [
        InForce(
            bundle,
            lists,
            read_rules(RULES[number], payments, "test"),
            parse_thresholds(json.loads(THRESHOLDS[number]), [], acts[4 + number].hash[:12]),
        )
        for number, lists in found
    ]


def _decide(halves: Sequence[InForce]) -> list[Logged]:
    """Decide the golden rows, each half of them by another of these."""
    rows = Run(1).take(build_log(1)[: decided.RECORDS]).rows
    size = -(-len(rows) // len(halves))
    found: list[Logged] = []
    for number, half in enumerate(halves):
        writer = golden.build_decider(decided.DECISIONS_SCHEMA_ID)[1]
        decider = Decider(half, payments)
        given = rows[number * size : (number + 1) * size]
        messages: list[Any] = [Given(decided._entry("features", n, row.key, row.value)) for n, row in enumerate(given)]
        made = writer.to_avro(
            decider.decide(golden.build_reader().from_avro(messages).batch), decision_time_ms=golden.DECISION_TIME_MS
        )
        for key, value, headers in zip(made.keys, made.values, made.headers, strict=True):
            found.append(Logged(decided._entry("decisions", len(found), key, value), list(headers)))
    return found


@cache
def _published() -> tuple[FakeTopic, list[Logged]]:
    topic = FakeTopic()
    return topic, _decide(_in_force(_publish(topic)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of decisions by two versions of everything, which an archiver kept; no home and no topic are left."""
    home = tmp_path_factory.mktemp("home")
    topic, decisions = _published()
    build_archive(home, records={**decided.topics(), "decisions": decisions})
    (home / "lists.json").unlink()
    _keep(home, topic)
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "home"))


def _versions(home: Path) -> Versions:
    return Versions(Objects(Place(str(home / "archive"))), TOPIC)


def _keep(home: Path, topic: Any) -> None:
    PublishedKeeper(topic, _versions(home)).look()


def _answer(home: Path, event_id: str) -> dict[str, Any]:
    settings, root = Settings(home=home), Place(str(home / "archive"))
    found: dict[str, Any] = describe(settings, root, collect(settings, root, event_id))["decision"]
    return found


def _of_each_kind(decisions: Sequence[Logged]) -> dict[tuple[str, ...], str]:
    """An id for each version, outcome and that which decided."""
    schema, found = parse_schema(NEWEST["decisions"]), dict[tuple[str, ...], str]()
    for each in decisions:
        row = decode(each.entry.value or b"", schema)
        found.setdefault((row["rules_version"], row["decision"], row["decided_by"]), row["transaction_id"])
    return found


def _of_each_version() -> dict[str, str]:
    """An id for each version."""
    return {version: event_id for (version, _, _), event_id in _of_each_kind(_published()[1]).items()}


def test_decisions_of_two_versions_of_everything_are_made_again_on_a_wiped_home(built: Path) -> None:
    ids = _of_each_kind(_published()[1])
    assert len({version for version, _, _ in ids}) == 2
    assert len(ids) >= 6
    for (version, outcome, by), event_id in ids.items():
        decision = _answer(built, event_id)
        assert decision["is_same"] is True, (decision["note"], decision["differences"])
        assert decision["computed"]["rules_version"] == version
        assert (decision["computed"]["decision"], decision["computed"]["decided_by"]) == (outcome, by)
        rules, lists, thresholds = version.replace("lists-", "").replace("thresholds-", "").split("+")
        in_force = decision["in_force"]
        assert (in_force["rules_version"], in_force["lists_version"]) == (rules, lists)
        assert in_force["thresholds"]["version"] == thresholds


def test_what_is_declared_and_the_lists_file_are_found_once_both_are_gone(tmp_path: Path) -> None:
    build_archive(tmp_path)
    keeper = UnpublishedKeeper(payments, tmp_path / "lists.json", _versions(tmp_path))
    keeper.look()
    (tmp_path / "lists.json").write_text(json.dumps({"version": "golden", "block": {"card": ["card-1"]}}))
    keeper.look()
    (tmp_path / "lists.json").unlink()
    keeper.look()
    for event_id in _of_each_kind(decided.topics()["decisions"]).values():
        decision = _answer(tmp_path, event_id)
        assert decision["is_same"] is True, (decision["note"], decision["differences"])
    (rules,) = _versions(tmp_path).find("rules", "1")
    text = "".join(_versions(tmp_path).read_texts(rules))
    assert read_rules(text, payments, "kept").digest == rules_of(payments).digest
    assert len(_versions(tmp_path).find("lists", "golden")) == 2


def test_a_version_that_is_nowhere_is_said_with_the_fix_and_no_other_is_used(home: Path) -> None:
    for version, event_id in _of_each_version().items():
        for kind, named in zip(("rules", "lists", "thresholds"), version.split("+"), strict=True):
            moved = home / "moved"
            (home / "archive" / "_versions" / TOPIC / kind).rename(moved)
            (home / "lists.json").write_text(json.dumps(LISTS))
            decision = _answer(home, event_id)
            assert decision["is_same"] is None
            assert f"expected {kind} {named.rpartition('-')[2]}, by which it was decided" in decision["note"]
            assert "run `weir archive` where" in decision["note"]
            moved.rename(home / "archive" / "_versions" / TOPIC / kind)


def test_garbage_and_records_that_lie_are_named_and_passed_by(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(home / "archive" / "_versions")
    topic = FakeTopic()
    _publish(topic)
    good = json.loads(topic.values[0] or b"")
    lie = json.dumps(good | {"text": RULES[1]}).encode()
    lost = build_act("lists", None, hash="0" * 64, parts=Parts(count=1, offset=0))
    topic.parts["0" * 64] = ["{}"]
    topic.values[:0] = [b"\xff garbage", None, lie, lost.encode(), b"[]"]
    _keep(home, topic)
    named = [vars(each)["weir_fields"]["at"] for each in caplog.records if each.getMessage() == "version_not_kept"]
    assert named == [f"{TOPIC}[0]@{offset}" for offset in range(5)]
    for event_id in _of_each_version().values():
        assert _answer(home, event_id)["is_same"] is True


def test_a_file_that_was_altered_is_named_and_not_decided_by(home: Path) -> None:
    event_id = next(iter(_of_each_kind(_published()[1]).values()))
    version = _answer(home, event_id)["recorded"]["rules_version"].split("+")[0]
    (kept,) = _versions(home).find("rules", version)
    folder = home / "archive"
    (said,) = (folder / "_versions" / TOPIC / "rules").glob(f"{kept.content}+*")
    for path in (said, folder / "_objects" / kept.texts[0]):
        before = path.read_bytes()
        for content in (before.replace(b"e", b"a", 1), before[:-3], b""):
            path.write_bytes(content)
            decision = _answer(home, event_id)
            assert (decision["is_same"], decision["computed"]) == (None, None)
            assert f"expected {path.relative_to(folder)} in the archive as it was kept" in decision["note"]
        path.write_bytes(before)
    assert _answer(home, event_id)["is_same"] is True


def test_other_rules_under_the_name_of_a_version_are_not_decided_by(home: Path) -> None:
    event_id, label = next((event_id, key[0].split("+")[0]) for key, event_id in _of_each_kind(_published()[1]).items())
    other = build_act("rules", RULES[0].replace("REVIEW", "ALLOW"), label=label)
    _keep(home, FakeTopic([other.encode()], own_id="another topic's"))
    decision = _answer(home, event_id)
    assert decision["is_same"] is None
    assert f"expected the kept rules {label} to read as that version" in decision["note"]


def test_a_topic_that_is_gone_loses_nothing_and_a_store_that_is_away_passes_nothing_by(tmp_path: Path) -> None:
    topic = FakeTopic()
    acts = _publish(topic)
    versions = _versions(tmp_path)
    keeper = PublishedKeeper(topic, versions)  # type: ignore[arg-type]
    (tmp_path / "archive").write_text("no folder can be here")
    with pytest.raises(Transient):
        keeper.look()
    (tmp_path / "archive").unlink()
    keeper.look()
    topic.is_gone = True
    keeper.look()
    for act in acts:
        assert [each.content for each in versions.find(act.kind, act.version)] == [act.hash]


def test_a_start_reads_what_is_new_of_the_topic_and_all_of_another_one(tmp_path: Path) -> None:
    topic = FakeTopic()
    acts = _publish(topic)
    _keep(tmp_path, topic)
    position = tmp_path / "archive" / "_versions" / TOPIC / "position.json"
    other = json.dumps({"topic_id": "another", "next_offset": 2})
    for content, first in ((position.read_text(), len(topic.values)), ("{", 0), (other, 0)):
        position.write_text(content)
        again = FakeTopic(topic.values, topic.parts)
        _keep(tmp_path, again)
        assert again.read_from == [first]
        assert json.loads(position.read_text()) == {"topic_id": "the topic's id", "next_offset": len(topic.values)}
    for act in acts:
        assert [each.content for each in _versions(tmp_path).find(act.kind, act.version)] == [act.hash]


def test_a_change_of_lists_that_are_gone_is_named(home: Path) -> None:
    event_id = next(each for key, each in _of_each_kind(_published()[1]).items() if key[0].startswith(_second_rules()))
    whole = compute_hash(FIRST_LISTS)
    for path in (home / "archive" / "_versions" / TOPIC / "lists").glob(f"{whole}+*"):
        path.unlink()
    assert f"expected the lists {whole[:12]} in the archive" in _answer(home, event_id)["note"]


def _second_rules() -> str:
    return read_rules(RULES[1], payments, "test").version
