"""Somebody is erased and the topics forget: then no byte of their ids is in any store, and every byte is read for it.

The steps, in the order of docs/privacy.md::

    everything has ids  ->  lists remove, upload deleted, gdpr erase  ->  another topic of what is published
                        ->  gdpr again  ->  retention of every topic, kept answers end
                        ->  Redis' files written again  ->  search

The search is shown to find the ids before, in each store by its name.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.house.source import ROOT
from tests.integration.every_byte import Needle, Piece, each_file, each_key, each_piece, search
from tests.integration.payments import Publisher, build_label, build_payment
from tests.integration.services import Services
from tests.integration.test_gdpr import journey
from tests.integration.test_restore import machine, served
from tests.unit.inference.examples import TRANSACTION
from weir.access.audit.pseudonym import load_pseudonyms
from weir.infra.embedded import kafka_server
from weir.infra.kafka.clients import build_admin, build_producer
from weir.infra.kafka.history import History
from weir.infra.redis.client import connect
from weir.infra.settings import Settings
from weir.streaming.core.hashing import hash_strings

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]

STEM = "who-asks-7f3d"
CARD, CUSTOMER, DEVICE = (f"{kind}-{STEM}" for kind in ("card", "customer", "device"))
EVENT = f"event-{STEM}"
OTHER, SHOP = "card-of-another", "shop-of-both"
IDS = {"card", "customer", "device", "event"}
NEEDLE = Needle(IDS, STEM)
DAY_SECONDS = 86_400
WHY = ("--why", "asked for", "--apply")

HOLDS = {
    "topics of events, labels, features, decisions and dead letters": {
        "topic transactions": IDS,
        "topic labels": IDS - {"customer"},
        "topic features": IDS,
        "topic decisions": {"card", "event"},
        "topic transactions.dlq": IDS,
        "topic labels.dlq": {"card"},
        "topic features.dlq": {"card"},
    },
    "windows, in Redis": {"windows": {"card", "customer", "device"}},
    "the list of known ids of a unit, in Redis": {"known ids": {"card", "customer", "device"}},
    "decision index, in Redis": {"decision index": {"card", "event"}},
    "answers to idempotency keys, in Redis": {"answers": {"card", "event"}},
    "uploads, in `<home>/uploads`": {"uploads": {"event"}},
    "cases, in the database": {"database": IDS},
    "archive": {
        "archive of transactions": IDS,
        "archive of labels": IDS - {"customer"},
        "archive of features": IDS,
        "archive of decisions": {"card", "event"},
        "archive of transactions.dlq": IDS,
        "archive of labels.dlq": {"card"},
        "archive of features.dlq": {"card"},
    },
    "kept lists, in the archive": {"kept lists": {"card", "device"}},
    "what is published: rules, lists, thresholds": {"topic transactions.published": {"card", "device"}},
}
"""Each store of docs/privacy.md that holds ids, as the search names it, and the ids that it has before."""
WITHOUT_IDS = {
    "audit log": {"topic weir.audit", "archive of weir.audit"},
    "calls that `weir restore` put back, in `<home>/audit`": {"audit"},
    "keys of the API": {"database"},
    "logs": {"logs"},
    "models": {"models"},
}
"""Each store that holds none by intent, as the search names it."""
ELSEWHERE = {
    "files that you wrote: exports, `--out`, history for training, a lists file": "written where a command is told",
    "backups": "one of before and one of after are looked at apart",
    "the sessioniser's changelog, where you run `weir sessionise`": "of another stream, by another program",
}
"""Each store that is not below the home, and why."""
STATED = (
    "Which ids were counted as different is kept as hashes of theirs, which end with the window.",
    "when, by which user of the machine, the kind, and a pseudonym of the id",
    "pseudonyms of ids, made with `<home>/keys/audit.key`",
    "an answer to a score names the event alone, and ends by itself",
    "Redis' own files have what was deleted until they are written again: `BGREWRITEAOF`, or `BGSAVE`.",
)
"""What docs/privacy.md says of all that is left."""
PRIVACY = (ROOT / "docs/privacy.md").read_text()


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Servers of one's own, whose brokers look for what is too old twice a second instead of every five minutes."""
    hasty = "log.retention.check.interval.ms=500\nlog.segment.delete.delay.ms=100\n"
    monkeypatch.setattr(kafka_server, "_PROPERTIES", kafka_server._PROPERTIES + hasty)
    home = tmp_path / "home"
    with machine(home, home / "logs" / "processes") as running:
        yield running


def build_all() -> list[dict[str, Any]]:
    """Return a burst of who asks, and one of another card in the same shop."""
    first_ms = int(time.time() * 1_000) - 600_000
    own = [each | {"device_id": DEVICE} for each in journey(CARD, CUSTOMER, first_ms, EVENT)]
    return own + journey(OTHER, "customer-2", first_ms, "other")


def publish(settings: Settings, payments: list[dict[str, Any]]) -> None:
    """Publish payments, and what becomes dead letters with ids in the key, in the value, and in either alone."""
    publisher = Publisher(settings)
    publisher.send_payments(payments)
    wrong = {"card_id": CARD, "customer_id": CUSTOMER, "device_id": DEVICE}
    text = json.dumps(payments[0]).encode()
    ids = f"\0broken {CARD} {CUSTOMER} {DEVICE} {EVENT}".encode()
    publisher.send([(CARD, ids), (None, text), (OTHER, text), (CARD, b"\xff")])
    publisher.send_payments([build_payment(f"{EVENT}-wrong", currency="EURO", **wrong), payments[0]])
    producer = build_producer(settings.kafka, enable_idempotence=False)
    for topic in (settings.topics.labels, settings.topics.features_dlq):  # the second as a scorer of its own would
        producer.produce(topic, b"\xff", CARD)
    assert producer.flush(30) == 0


def call(client: httpx.Client, case_id: str, other_id: str) -> None:
    """Have the API do what names ids: decide, score, look up, label, discard, annotate, take a file."""
    now_ms = int(time.time() * 1_000)
    event = TRANSACTION | {"card_id": CARD, "customer_id": CUSTOMER, "device_id": DEVICE, "event_time_ms": now_ms}
    label = build_label(f"{EVENT}-0", card_id=CARD, merchant_id=SHOP, device_id=DEVICE, event_time_ms=now_ms - 600_000)
    once = {"idempotency-key": "order-7"}
    row = event | {"transaction_id": f"{EVENT}-file"}
    file = f"{','.join(row)}\n{','.join(map(str, row.values()))}\n"
    link = {"transaction_id": f"{EVENT}-1", "reason": f"{CUSTOMER} has both"}
    answers = [
        client.post("/v1/decide?wait_ms=10000", json=event | {"transaction_id": f"{EVENT}-decided"}, headers=once),
        client.post("/v1/score", json=event | {"transaction_id": f"{EVENT}-asked"}, headers={"idempotency-key": "8"}),
        client.get(f"/v1/features/card/{CARD}"),
        client.get("/v1/decisions", params={"card": CARD}),
        client.post("/v1/labels", json=label),
        client.post(f"/v1/cases/{case_id}/claim", json={}),
        client.post(f"/v1/cases/{case_id}/verdict", json={"verdict": "fraud", "reason": f"{CUSTOMER} called"}),
        client.post(f"/v1/cases/{other_id}/notes", json={"text": f"like {CARD}, on {DEVICE}"}),
        client.post(f"/v1/cases/{other_id}/links", json=link),
        client.post("/v1/uploads", content=file, headers={"content-type": "text/csv"}),
        *(
            client.post(f"/v1/dead-letters/{each['partition']}/{each['offset']}/discard", json={})
            for each in client.get("/v1/dead-letters").json()["letters"][:1]
        ),
    ]
    assert [f"{each.request.url} {each.text}" for each in answers if not each.is_success] == []


def is_good(client: httpx.Client, path: str) -> bool:
    return client.get(path).is_success


def list_ids(client: httpx.Client, path: str, **params: str) -> list[str]:
    return [each["id"] for each in client.get(path, params=params).json()[path.rpartition("/")[2]]]


def build_world(services: Services, client: httpx.Client) -> None:
    """Have ids go through everything that writes, and all of it archived."""
    for kind, entry in (("card", CARD), ("device", DEVICE), ("card", OTHER)):
        services.run("lists", "add", "watch", kind, entry, "--why", "seen")
    publish(services.settings, build_all())

    def count_cases() -> list[int]:
        return [len(list_ids(client, "/v1/cases", key=key)) for key in (CARD, OTHER)]

    for path in (f"/v1/decisions/{EVENT}-2", "/v1/decisions/other-2"):
        services.await_true(partial(is_good, client, path), path)
    services.await_true(lambda: count_cases() == [1, 1], "a case of each card")
    services.await_true(lambda: len(client.get("/v1/dead-letters").json()["letters"]) == 5, "the dead letters")
    (case_id,), (other_id,) = (list_ids(client, "/v1/cases", key=key) for key in (CARD, OTHER))
    services.run("archive", "--until-caught-up")  # so that it can be searched
    call(client, case_id, other_id)
    services.await_true(lambda: client.get("/v1/uploads").json()["uploads"][0]["state"] == "done", "the file scored")
    services.await_true(partial(is_good, client, f"/v1/decisions/{EVENT}-decided"), "the last decision")
    services.run("archive", "--until-caught-up")


def stores_with(pieces: list[Piece], content: bytes) -> set[str]:
    """Return the stores that have some bytes."""
    return {piece.store for piece in pieces if content in piece.content}


def describe(pieces: list[Piece]) -> list[tuple[str, str, set[str]]]:
    """Return where the ids are, for who reads that a test failed."""
    return [(each.store, each.place, kinds) for each in pieces if (kinds := NEEDLE.find(each.content))]


def end_answers(settings: Settings) -> None:
    """Have kept answers end now, as they do within a day: those that name an event alone are the only ones left."""
    assert search(each_key(settings), NEEDLE) == {"answers": {"event"}}
    with closing(connect(settings.redis)) as client:
        for key in client.scan_iter(match="weir:*:answer:*"):
            assert 0 < client.ttl(key) <= DAY_SECONDS
            client.delete(key)


def write_again(services: Services) -> None:
    """Have Redis write its files again, and wait until the old ones are gone."""
    folder = services.settings.home / "servers" / "redis" / "appendonlydir"

    def is_done() -> bool:
        named = {line.split()[1] for line in next(folder.glob("*.manifest")).read_text().splitlines()}
        there = {path.name for path in folder.iterdir() if path.suffix != ".manifest"}
        info = client.info("persistence")
        is_busy = info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]
        return not is_busy and info["aof_last_bgrewrite_status"] == "ok" and named == there

    with closing(connect(services.settings.redis)) as client:
        client.bgrewriteaof()
        services.await_true(is_done, "Redis' files written again")


def measure(settings: Settings, topic: str) -> tuple[int, int]:
    """Return how many files the log of a topic has, those that are about to be deleted too, and their bytes."""
    sizes = []
    for path in (settings.home / "servers" / "kafka" / "data").glob(f"{topic}-*/*.log*"):
        with suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)


def forget(services: Services, topics: list[str]) -> None:
    """Have topics forget all that they have, as retention does in time, until no file has a byte of it."""
    settings, admin = services.settings, build_admin(services.settings.kafka)
    entry = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
    resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(30)

    def is_forgotten(topic: str) -> bool:
        return history.low((topic, 0)) == history.end((topic, 0)) and measure(settings, topic) == (1, 0)

    with closing(History(settings.kafka)) as history:
        for topic in topics:
            services.await_true(partial(is_forgotten, topic), f"{topic} to forget")


def publish_elsewhere(services: Services) -> Settings:
    """Set another topic of what is published, publish there what is in force, and delete the old one."""
    settings = services.settings
    lists = settings.home.parent / "lists.json"
    lists.write_text(services.run("lists", "show", "--json"))
    services.stop()
    topics = settings.topics.model_copy(update={"published": "published.again"})
    services.change(changed := settings.model_copy(update={"topics": topics}))
    services.run("lists", "publish", str(lists), "--why", "the old topic has ids of who was erased")
    old, admin = settings.topics.published, build_admin(settings.kafka)
    for future in admin.delete_topics([old]).values():
        future.result(30)
    services.await_true(lambda: measure(settings, old) == (0, 0), "the old topic's files gone")
    return changed


def start_all(services: Services) -> None:
    for verb in (("run",), ("index",), ("cases", "follow")):
        services.start(*verb)


def test_no_byte_of_who_was_erased_is_in_any_store_once_topics_have_forgotten(
    services: Services, tmp_path: Path
) -> None:
    settings = services.settings
    check_table()
    key = services.run("keys", "create", "lead", "--scopes", "admin").strip()
    start_all(services)
    with served(services, key) as client:
        build_world(services, client)
        services.run("backup", str(make_folder(tmp_path / "copy-before")))
        pieces = [*each_piece(settings)]
        check_before(settings, pieces, tmp_path / "copy-before")
        for kind, entry in (("card", CARD), ("device", DEVICE)):
            services.run("lists", "remove", "watch", kind, entry, "--why", "asked for")
        for upload in list_ids(client, "/v1/uploads"):
            assert client.delete(f"/v1/uploads/{upload}").status_code == 204
        services.run("archive", "--until-caught-up")
        assert "a list in" in services.run("gdpr", "erase", "--customer", CUSTOMER, *WHY, code=1)
    services.change(publish_elsewhere(services))
    start_all(services)
    services.run("archive", "--until-caught-up")
    services.run("gdpr", "erase", "--entity", f"device={DEVICE}", *WHY)
    assert "of 3 erased ids 0 are" in services.run("gdpr", "again", "--apply")
    topics = settings.topics
    forgetful = [topics.transactions, topics.labels, topics.features, topics.decisions]
    forget(services, [*forgetful, topics.dlq, topics.labels_dlq, topics.features_dlq, topics.audit])
    end_answers(settings)
    write_again(services)
    pieces = [*each_piece(settings)]
    assert describe(pieces) == []
    assert stores_with(pieces, hash_of_event()) == set()
    assert entities_with(pieces, hash_of_card()) == {"ip", "merchant"}
    check_left(settings, pieces, {"erasures.jsonl"})
    assert services.run("evidence", "verify").splitlines()[-1] == "in order"
    check_copy(services, make_folder(tmp_path / "copy-after"), tmp_path / "second")


def check_table() -> None:
    """Every store of the table is one that is searched, or that this module says why not; what is left is stated."""
    rows = {line.split("|")[1].strip() for line in PRIVACY.partition("| store |")[2].splitlines()[2:] if "|" in line}
    assert rows == {*HOLDS, *WITHOUT_IDS, *ELSEWHERE}
    assert [sentence for sentence in STATED if sentence not in PRIVACY] == []


def check_before(settings: Settings, pieces: list[Piece], copy: Path) -> None:
    """The search finds the ids in each store that holds them, and in the others what they have."""
    found = search(iter(pieces), NEEDLE)
    expected = {store: kinds for stores in HOLDS.values() for store, kinds in stores.items()}
    assert {store: found.get(store) for store in expected} == expected
    assert set(found) - set(expected) == {"files of Redis"}
    assert [*search(each_file(copy), NEEDLE).values()] == [IDS]
    decoded = (
        settings.topics.transactions,
        settings.topics.labels,
        settings.topics.features,
        settings.topics.decisions,
    )
    assert stores_with(pieces, hash_of_event()) == {f"archive of {topic}" for topic in decoded}
    assert entities_with(pieces, hash_of_card()) == {"customer", "device", "ip", "merchant"}
    for store, content in (("logs", b"serving http"), ("models", b"tiny"), ("database", b"lead")):
        assert store in stores_with(pieces, content)
    check_left(settings, pieces, {"topic weir.audit"})


def hash_of_event() -> bytes:
    """Return the hash by which the archive finds an event, as its files have it: the low byte first."""
    return hashlib.sha256(f"{EVENT}-0".encode()).digest()[7::-1]


def hash_of_card() -> bytes:
    """Return the hash by which windows of others tell cards apart, as Redis has it."""
    return bytes(hash_strings(pa.array([CARD])).astype("<u8").tobytes()[4:])


def entities_with(pieces: list[Piece], content: bytes) -> set[str]:
    """Return of which kinds of entities the windows are that have some bytes."""
    windows = [each.content for each in pieces if each.store == "windows" and content in each.content]
    return {found[1].decode() for each in windows if (found := re.search(rb"\}:([a-z]+):", each))}


def check_left(settings: Settings, pieces: list[Piece], more: set[str]) -> None:
    """What tells something to who has an id already is where it is stated, and nowhere else."""
    name = load_pseudonyms(settings.home).name(f"card={CARD}").encode()
    assert stores_with(pieces, name) == {"archive of weir.audit", *more}


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def check_copy(services: Services, folder: Path, second: Path) -> None:
    """A backup has none of the ids, nor has a home that it is put back into; there, calls have their pseudonyms."""
    settings = services.settings
    services.run("backup", str(folder))
    assert search(each_file(folder), NEEDLE) == {}
    services.change(settings.model_copy(update={"home": second}))
    services.run("restore", str(next(folder.iterdir())), "--apply")
    pieces = [*each_file(second)]
    assert describe(pieces) == []
    name = load_pseudonyms(settings.home).name(f"card={CARD}").encode()
    assert stores_with(pieces, name) == {"audit", "erasures.jsonl"}
