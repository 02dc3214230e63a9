"""Rules, lists and thresholds published while processes decide: taken over by all, in order, and nothing is lost.

run 0  ----v1------------------v2--KAFKA GONE, BACK---v3------v4----
run 1  ----v1------------------v2--KAFKA GONE, BACK---v3------v4----
log    v1      broken garbage  v2                     v3      v4 = back to what the declaration says
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path
from typing import Any

import pytest

from tests.integration.garbage import write_garbage
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher
from tests.integration.services import Child, Services, log_of
from tests.integration.streams import build_stream, publish
from tests.integration.test_exactly_once import deploy
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.archive.objects import Objects
from weir.archive.run import find_root
from weir.inference.champion import open_champion
from weir.inference.core.lists import Lists, Note, parse_lists
from weir.inference.processes import describe_running
from weir.inference.published.act import Kind
from weir.inference.published.canary_text import CanaryText
from weir.inference.published.content import PART_ENTRIES, write_lists
from weir.inference.published.gate import Trial
from weir.inference.published.lists_change import read_changed
from weir.inference.published.lists_desk import ListsDesk
from weir.inference.published.opened import OpenPublisher
from weir.inference.published.publish import Publisher as VersionPublisher
from weir.inference.published.topic import PublishedWriter
from weir.inference.published.trials import Trials
from weir.inference.rule_sets import read_rules
from weir.infra.embedded.stack import Stack
from weir.infra.publishing_settings import PublishingSettings
from weir.infra.settings import Settings
from weir.schemas.errors import Refused

pytestmark = pytest.mark.server

TAKEN_SECONDS = 5.0
"""What is promised: after so long no process decides by what was in force before."""
RECORDS_AT_ONCE = 20
RULES = """rules:
  - name: costly
    why: costs much
    when: amount_minor >= 15000
    then: REVIEW
"""


@pytest.fixture
def services(stack: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    """Two partitions, batches so small that there are many, and a model."""
    settings = deploy(stack, request.node.name, batch_records_max=40).model_copy(update={"home": tmp_path})
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    running = Services(settings, tmp_path / "logs")
    yield running
    running.stop()


@contextmanager
def _load(settings: Settings) -> Iterator[None]:
    """Publish payments all the while, some hundred a second."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def send() -> None:
        publisher = Publisher(settings)
        try:
            for turn in count():
                if stop.wait(0.1):
                    return
                publish(publisher, build_stream(seed=turn, count=RECORDS_AT_ONCE, first=turn * RECORDS_AT_ONCE))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert failed == []


class _Watched:
    """Decisions as they appear, and what was published."""

    def __init__(self, services: Services, outputs: Outputs) -> None:
        self._services, self.outputs = services, outputs
        self.versions: list[str] = []
        self.at_ms: list[int] = []

    def await_version(self, version: str, at_ms: int = 0) -> None:
        """Wait until both partitions are decided by a version."""
        self.versions.append(version)
        self.at_ms.append(at_ms)

        def is_there() -> bool:
            found = {(row["source_partition"], row["rules_version"]) for row in self.outputs.decisions()[-500:]}
            return {(0, version), (1, version)} <= found

        self._services.await_true(is_there, f"decisions of both partitions by {version}")

    def assert_in_order(self) -> None:
        """Each partition has each version once, in order, and none of the one before after five seconds."""
        for partition in (0, 1):
            rows = [row for row in self.outputs.decisions() if row["source_partition"] == partition]
            rows.sort(key=lambda row: row["source_offset"])
            assert [version for version, _ in groupby(row["rules_version"] for row in rows)] == self.versions
            for before, at_ms in zip(self.versions, self.at_ms[1:], strict=False):
                last_ms = max(row["decision_time_ms"] for row in rows if row["rules_version"] == before)
                assert last_ms - at_ms <= TAKEN_SECONDS * 1_000, f"{before} in force {last_ms - at_ms} ms on"

    def assert_decided_once(self) -> None:
        """Every record of the log has one output, and every feature row one decision."""
        self.outputs.await_settled(len(self.outputs.end_of_inputs()), self._services.await_true)
        rows = self.outputs.rows()
        self._services.await_true(lambda: len(self.outputs.decisions()) >= len(rows), f"{len(rows)} decisions")
        made = Counter((row["source_partition"], row["source_offset"]) for row in self.outputs.decisions())
        assert made == Counter((row["source_partition"], row["source_offset"]) for row in rows)


def _publish(services: Services, *arguments: str) -> str:
    """Run a command that publishes, and return the version."""
    first = services.run(*arguments, "--why", "a test", "--json").splitlines()[0]
    return str(json.loads(first)["version"])


def _newest(services: Services, kind: str) -> dict[str, Any]:
    return dict(json.loads(services.run(kind, "history", "--json").splitlines()[-1]))


def _at_ms(settings: Settings, kind: Any) -> int:
    with VersionPublisher(settings, read_rules) as reader:
        return reader.log.history(kind)[-1].at_ms


def _count(child: Child, event: str, wanted: int) -> bool:
    return log_of(child).count(event) == wanted


@pytest.mark.verify
@pytest.mark.timeout(600)  # two processes decide under load while the broker is killed: it takes minutes next to others
def test_versions_are_taken_over_under_load_in_order_and_each_record_is_decided_once(
    embedded_stack: Stack, services: Services, tmp_path: Path
) -> None:
    settings = services.settings
    rules, thresholds = tmp_path / "rules.yaml", tmp_path / "thresholds.json"
    rules.write_text(RULES)
    thresholds.write_text('{"review": 0.4, "decline": 0.8}')
    children = [services.start("run"), services.start("run", "--instance", "1")]
    with closing(Outputs(settings)) as outputs, _load(settings):
        watched = _Watched(services, outputs)
        watched.await_version("1")
        first = _publish(services, "rules", "publish", str(rules))
        watched.await_version(first, _at_ms(settings, "rules"))

        write_garbage(settings, RULES)
        for child in children:
            services.await_true(
                lambda: log_of(child).count("published_passed_by") == 3,  # noqa: B023 - asked before the next one
                "garbage passed by",
            )
            assert log_of(child).count("published_refused") == 1
        assert "expected" in _newest(services, "rules")["state"]

        lists = _publish(services, "lists", "add", "block", "card", "card-1", "--reason", "seen")
        watched.await_version(f"{first}+lists-{lists}", _at_ms(settings, "lists"))

        embedded_stack.kill("kafka")
        embedded_stack.restart("kafka")
        cut = _publish(services, "thresholds", "publish", str(thresholds))
        watched.await_version(f"{first}+lists-{lists}+thresholds-{cut}", _at_ms(settings, "thresholds"))

        assert _publish(services, "rules", "rollback", "none") == "none"
        watched.await_version(f"1+lists-{lists}+thresholds-{cut}", _at_ms(settings, "rules"))
    with closing(Outputs(settings)) as outputs:
        watched.outputs = outputs
        watched.assert_decided_once()
        watched.assert_in_order()
        blocked = [
            row for row in outputs.decisions() if row["card_id"] == "card-1" and "+lists-" in row["rules_version"]
        ]
    assert {(row["decision"], row["decided_by"]) for row in blocked} == {("DECLINE", "block_list_card")}
    assert {row["reasons"][0]["detail"] for row in blocked} == {"card is on the block list: seen"}
    assert [child.process.poll() for child in children] == [None, None]
    assert "Traceback" not in "".join(map(log_of, children))


def test_a_process_that_starts_decides_its_first_record_by_what_is_published(
    services: Services, tmp_path: Path
) -> None:
    settings = services.settings
    thresholds = tmp_path / "thresholds.json"
    thresholds.write_text(
        '{"review": 0.0, "decline": 1.0, "by": "channel", "segments": {"POS": {"review": 1, "decline": 1}}}'
    )
    cut = _publish(services, "thresholds", "publish", str(thresholds))
    log = publish(Publisher(settings), build_stream(seed=3, count=100))
    services.start("process")
    services.start("score")
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(len(log), services.await_true)
        rows = outputs.rows()
        services.await_true(lambda: len(outputs.decisions()) >= len(rows), "decisions")
        decisions = outputs.decisions()
    assert {row["rules_version"] for row in decisions} == {f"1+thresholds-{cut}"}
    by_model = [row for row in decisions if row["decided_by"] == "model" and row["score"] < 1]
    channel_of = {(row["source_partition"], row["source_offset"]): row["channel"] for row in rows}
    found = {(channel_of[row["source_partition"], row["source_offset"]], row["decision"]) for row in by_model}
    assert ("POS", "APPROVE") in found
    assert {decision for channel, decision in found if channel != "POS"} == {"REVIEW"}
    assert {decision for channel, decision in found if channel == "POS"} == {"APPROVE"}


def test_two_who_change_lists_at_one_time_lose_no_entry(deployment: Settings) -> None:
    def add(card: str) -> None:
        with VersionPublisher(deployment, read_rules, who=card, why="a test") as publisher:
            publisher.change({"add": {"block": {"card": [card]}}})

    with VersionPublisher(deployment, read_rules, who="ada", why="a test") as publisher:
        publisher.publish("lists", ["{}"])
    threads = [threading.Thread(target=add, args=(f"card-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with VersionPublisher(deployment, read_rules) as reader:
        assert reader.standing.lists is not None
        assert reader.standing.lists.block["card"] == {f"card-{number}" for number in range(6)}


def test_lists_that_people_change_are_those_that_commands_show_and_processes_take_over(services: Services) -> None:
    settings = services.settings.model_copy(update={"publishing": PublishingSettings(four_eyes=("allow",))})
    (settings.home / "lists.json").write_text('{"version": "file", "watch": {"card": ["card-0"]}}')
    tried: list[tuple[Lists, Lists]] = []

    def try_text(stream: str, kind: Kind, text: str, before: str) -> Trial:
        assert (stream, kind) == ("transactions", "lists")
        tried.append(read_changed(settings, text, before))  # as the child of a trial reads them
        return Trial()

    trials = Trials(settings.stream.name, try_text)
    champion, desk = open_champion(settings), ListsDesk(settings, OpenPublisher(settings), trials)
    with closing(champion), closing(desk):
        note = Note("seen in a chat", "a colleague")
        done = desk.change("add", "block", "card", ["card-1", "card-2"], note, who="ada", why="a test", force="")
        assert done["changed"] == 2
        services.await_true(champion.poll, "another version", TAKEN_SECONDS)
        assert champion.lists.block["card"] == {"card-1", "card-2"}
        assert champion.lists.watch["card"] == {"card-0"}  # the first published lists hold what the file does
        shown = json.loads(services.run("lists", "show", "--json"))
        assert shown["block"]["card"][0] == {"entry": "card-1", "reason": "seen in a chat", "source": "a colleague"}
        services.run("lists", "remove", "block", "card", "card-2", "--why", "a test")
        assert [each["entry"] for each in desk.show("block")["entries"]] == ["card-1"]
        assert desk.roll_back(done["version"], who="ada", why="a test")["action"] == "rollback"
        assert [each["entry"] for each in desk.show("block")["entries"]] == ["card-1", "card-2"]
        desk.change("add", "block", "card", ["card-3"], Note(), who="ada", why="a test", force="")
        old = desk.show("block", version=done["version"])["entries"]
        assert [each["entry"] for each in old] == ["card-1", "card-2"]
        after, before = tried[-1]
        assert (before.block["card"], after.block["card"]) == ({"card-1", "card-2"}, {"card-1", "card-2", "card-3"})
        assert (before.watch, after.watch) == ({"card": {"card-0"}}, {"card": {"card-0"}})
        proposed = desk.change("add", "allow", "merchant", ["shop-1"], Note(), who="ada", why="a test", force="")
        assert (proposed["action"], desk.show("allow")["entries"]) == ("propose", [])
        services.run("lists", "approve", proposed["proposal"][:8], "--who", "ben", "--why", "seen")
        services.await_true(lambda: bool(champion.poll() and champion.lists.allow), "the approved entry", TAKEN_SECONDS)
        assert desk.proposals.show()["proposals"][0]["settled_by"] == "ben"


def test_who_serves_requests_takes_over_at_the_next_one_and_no_longer_when_closed(services: Services) -> None:
    settings = services.settings
    champion = open_champion(settings)
    with closing(champion), VersionPublisher(settings, read_rules, who="ada", why="a test") as publisher:
        act = publisher.publish("thresholds", ['{"review": 0.1, "decline": 0.2}'])
        services.await_true(champion.poll, "another version", TAKEN_SECONDS)
        assert champion.rules_version == f"1+thresholds-{act.version}"
        reported = describe_running(champion, started_ms=0, now_ms=0)
        assert reported["rules_version"] == champion.rules_version
        shown = json.loads(services.run("inspect", "model", "--json"))
        assert (shown["rules_version"], shown["published_unknown"]) == (champion.rules_version, None)
    assert threading.active_count() == len([each for each in threading.enumerate() if each.name != "published"])


def test_a_model_is_taken_over_by_a_host_that_has_it_and_by_one_that_fetches_it_from_the_archive(
    services: Services, tmp_path: Path
) -> None:
    settings = services.settings
    archive = settings.archive.model_copy(update={"root": str(tmp_path / "archive")})
    other = settings.model_copy(update={"home": tmp_path / "other", "archive": archive})
    second = write_bundle(settings.models_dir / "tiny-2", version="2")
    with pytest.raises(Refused, match=r"expected manifest\.json"):
        open_champion(other)
    champion = open_champion(settings)
    with closing(champion), VersionPublisher(settings, read_rules, who="ada", why="a test") as publisher:
        assert champion.bundle.manifest.version == "1"
        publisher.publish("champion", [(second / "manifest.json").read_text()], "2")
        services.await_true(champion.poll, "another model", TAKEN_SECONDS)
        assert champion.bundle.manifest.version == "2"
        Objects(find_root(other)).keep_bundle(second)
        with closing(open_champion(other)) as elsewhere:
            assert elsewhere.bundle.manifest == champion.bundle.manifest
        publisher.roll_back("champion", "none")
        services.await_true(champion.poll, "the link's model", TAKEN_SECONDS)
        assert champion.bundle.manifest.version == "1"
        text = CanaryText(manifest=(second / "manifest.json").read_text(), share=0.2, seed="5eed" * 8).model_dump_json()
        publisher.publish("canary", [text], "2")
        services.await_true(champion.poll, "a canary", TAKEN_SECONDS)
        assert champion.canary is not None
        assert champion.canary.bundle.manifest.version == "2"
        assert (champion.canary.share, champion.canary.seed) == (0.2, "5eed" * 8)
        publisher.roll_back("canary", "none")
        services.await_true(champion.poll, "no canary", TAKEN_SECONDS)
        assert champion.canary is None


def test_lists_of_any_shape_that_are_published_are_in_force(deployment: Settings) -> None:
    shapes: list[dict[str, Any]] = [
        {},
        {"block": {"card": ["c-1"]}},
        {"allow": {"card": ["c-2"], "merchant": ["m-1"]}},
        {"allow": {"card": ["c-2"]}, "block": {"merchant": ["m-1"]}, "watch": {"device": ["d-1"]}},
        {"block": {"card": [f"c-{number}" for number in range(PART_ENTRIES + 1)], "merchant": ["m-1"]}},
    ]
    with VersionPublisher(deployment, read_rules, who="ada", why="a test") as publisher:
        for shape in shapes:
            lists = parse_lists(shape, tuple(deployment.stream.id_field_of))
            act = publisher.publish("lists", write_lists(lists))
            assert publisher.standing.lists == replace(lists, version=act.version)


def test_what_is_written_and_cannot_be_used_is_said(deployment: Settings) -> None:
    with VersionPublisher(deployment, read_rules, who="ada", why="a test") as publisher:
        with pytest.raises(Refused, match="is written and cannot be used, so what was in force stays: lists: "):
            publisher.publish("lists", ["{}{}"])
        assert publisher.standing.lists is None


def test_a_long_list_is_read_back_whole_and_one_whose_parts_are_gone_is_refused(deployment: Settings) -> None:
    cards = [f"card-{number:08d}" for number in range(3 * PART_ENTRIES)] + ["long" * 30_000] * 10
    texts = [
        json.dumps({"block": {"card": cards[at : at + PART_ENTRIES]}}) for at in range(0, len(cards), PART_ENTRIES)
    ]
    with VersionPublisher(deployment, read_rules, who="ada", why="a test") as publisher:
        good = publisher.publish("lists", texts)
        assert good.parts is not None
        assert good.text is None
    missing = good.model_copy(update={"id": "0" * 32, "hash": "a" * 64})
    moved = good.model_copy(update={"id": "1" * 32, "parts": good.parts.model_copy(update={"offset": 10**9})})
    writer = PublishedWriter(deployment.kafka, deployment.topics.published)
    writer.write(missing)
    with VersionPublisher(deployment, read_rules) as reader:
        assert reader.standing.content("lists") == good.hash
        assert reader.standing.lists is not None
        assert reader.standing.lists.block["card"] == set(cards)
        assert list(reader.refused) == [missing.id]
    writer.write(moved)  # as in a topic that was copied
    with VersionPublisher(deployment, read_rules) as reader:
        assert reader.standing.lists is not None
        assert len(reader.standing.lists.block["card"]) == len(set(cards))


def test_a_deployment_of_before_without_the_topic_decides_and_takes_over_the_first_version(
    services: Services, tmp_path: Path
) -> None:
    settings = services.settings
    elsewhere = settings.topics.model_copy(update={"published": f"{settings.topics.published}.none-yet"})
    services.change(settings := settings.model_copy(update={"topics": elsewhere}))
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    services.start("run")
    with closing(Outputs(settings)) as outputs, _load(settings):
        watched = _Watched(services, outputs)
        watched.await_version("1")
        watched.await_version(_publish(services, "rules", "publish", str(rules)), int(time.time() * 1_000))


def test_what_is_wrong_is_not_published(services: Services, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.replace("amount_minor", "amount_major"))
    with pytest.raises(AssertionError, match=r"rules\.yaml:4:11: .*amount_minor"):
        services.run("rules", "publish", str(rules), "--why", "a test")
    assert "nothing was published" in services.run("rules", "history")
    with VersionPublisher(services.settings, read_rules) as reader, pytest.raises(Refused, match="none was published"):
        reader.log.find("rules", "abcd")
