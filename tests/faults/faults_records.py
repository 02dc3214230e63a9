"""What is in the records: schemas learnt late, floods, repeats, other partitioners, replays of dead letters."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice

from tests.faults.catalogue import fault
from tests.faults.contracts import FRAME, Row, encode, register, schema_of_id, subject_ids
from tests.faults.evidence import HEALS
from tests.faults.faults_process import kill_processor
from tests.faults.lab import Lab, Plan
from tests.faults.load import Sending, Traffic
from tests.faults.logs import Entry, read_topic
from tests.faults.workers import NothingHappened, Worker, await_true

LATE_RECORDS = 30
CARD_EVENTS = 200
ELSEWHERE_RECORDS = 200


def payments(lab: Lab, count: int, *, named: str = "extra", **changes: object) -> list[Row]:
    """Payments of another seed; ``named`` makes their ids new."""
    ids = {"transactions": newest_schema(lab), "labels": 0}
    traffic = Traffic(
        lab.seed + 1_000, now_ms=int(time.time() * 1_000), registry_url=lab.settings.registry.url, schema_ids=ids,
        shape=lab.shape,
    )  # fmt: skip
    rows = [traffic._payment() for _ in range(count)]
    return [row | {"transaction_id": f"{named}-{row['transaction_id']}"} | changes for row in rows]


def newest_schema(lab: Lab) -> int:
    return max(subject_ids(lab.settings.registry.url, _subject(lab)))


def _subject(lab: Lab) -> str:
    return f"{lab.settings.topics.transactions}-value"


@fault(
    "schema-registered-late",
    "an unknown schema registered between commit and write, then replayed",
    Plan(records=1_200, rate=20),
)
def schema_registered_late(lab: Lab) -> None:
    url, scorer = lab.settings.registry.url, lab.scorer()
    newest = schema_of_id(url, newest_schema(lab))
    # ids are given in order, so the next one is known before it exists
    expected = register(url, f"{_subject(lab)}-scratch", json.dumps(_with_field(newest, "scratch" + _word(lab)))) + 1
    first = lab.processor()
    await_true(partial(lab.has_passed, lab.feeder.sent // 2), "the backlog being worked off")
    first.stop()
    lab.feeder.send(_of_schema(lab, expected, LATE_RECORDS))
    dying = lab.processor(quirks=("hold_apply",))
    await_true(lambda: bool(_late_letters(lab)), "late records being refused")
    dying.await_step("held")
    dying.kill()
    lab.times += 1
    if register(url, _subject(lab), json.dumps(_with_field(newest, "later" + _word(lab)))) != expected:
        raise NothingHappened("the registry gave the late schema another id than was foreseen")
    processor = lab.processor()
    lab.watch_recovery()
    _replay(lab, "--reason", "unknown_schema_id").await_death()
    lab.finish([processor, scorer])
    entries = read_topic(lab.settings.kafka.bootstrap_servers, lab.settings.topics.transactions)
    again = [e for e in entries if e.header(lab.settings.processor.dlq_header_prefix + "replay.count")]
    # those of the other partition may have come after the schema; then they were decided at once
    refused = len(_late_letters(lab))
    lab.expect(len(again) >= refused, f"expected {refused} replayed records, found {len(again)}")


def _word(lab: Lab) -> str:
    """A field name that no other run has used: a schema that is known already gets no new id."""
    return "_" + lab.settings.cluster.replace("-", "_")


def _of_schema(lab: Lab, schema_id: int, count: int) -> Iterator[Sending]:
    """Payments framed by a schema that has one more field, null, at its end."""
    url = lab.settings.registry.url
    known = newest_schema(lab)
    for row in payments(lab, count):
        body = encode(url, known, row)[FRAME.size :] + b"\x00"
        yield Sending("transactions", row["card_id"].encode(), FRAME.pack(0, schema_id) + body)


def _late_letters(lab: Lab) -> list[Entry]:
    """Return the committed dead letters of the late records, refused for their schema."""
    letters = read_topic(lab.settings.kafka.bootstrap_servers, lab.settings.topics.dlq)
    reason = lab.settings.processor.dlq_header_prefix + "reason"
    return [entry for entry in letters if entry.header(reason) == HEALS and _is_extra(entry)]


def _is_extra(entry: Entry) -> bool:
    return b"extra-tx" in (entry.value or b"")


def _with_field(schema: object, name: str) -> object:
    plain = json.loads(json.dumps(schema))
    for private in [key for key in plain if key.startswith("__")]:
        del plain[private]
    plain["fields"].append({"name": name, "type": ["null", "string"], "default": None})
    return plain


def _replay(lab: Lab, *arguments: str) -> Worker:
    return lab.crew.start("weir", arguments=("dlq", "replay", "--apply", *arguments))


@fault(
    "dlq-replay", "dead letters replayed by two at once, one killed, and again, while the stream runs", Plan(rate=200)
)
def dlq_replay(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    lab.run_until(processor, "committed", 6)
    one, other = _replay(lab), _replay(lab)
    one.await_death()
    other.await_death()
    killed = _replay(lab)
    killed.process.join(1.0)
    killed.kill()
    lab.times += 3
    _replay(lab).await_death()
    lab.finish([processor, scorer])
    prefix = lab.settings.processor.dlq_header_prefix
    entries = read_topic(lab.settings.kafka.bootstrap_servers, lab.settings.topics.transactions)
    replays = Counter((e.header(prefix + "origin"), e.header(prefix + "replay.count")) for e in entries)
    del replays[None, None]
    lab.expect(bool(replays), "nothing was replayed")
    lab.expect(all(times == 1 for times in replays.values()), f"replayed twice: {replays.most_common(3)}")


@fault("one-card-200", "200 payments of a card in a day, the first one sent again at the end, a kill between")
def one_card_200(lab: Lab) -> None:
    url, scorer = lab.settings.registry.url, lab.scorer()
    known = newest_schema(lab)
    rows = payments(lab, CARD_EVENTS, card_id="card-77", customer_id="person-38")
    sendings = [Sending("transactions", b"card-77", encode(url, known, row)) for row in rows]
    lab.feeder.send(sendings)
    kill_processor(lab, kill_at="committed:4")
    lab.feeder.send(islice(sendings, 1))
    lab.finish([lab.processor(), scorer])


@fault("two-partitioners", "the same card from producers of two partitioners", Plan(misplaced_share=0.3))
def two_partitioners(lab: Lab) -> None:
    scorer = lab.scorer()
    kill_processor(lab, kill_at="committed:3")
    lab.expect(_meter_elsewhere(lab) > 0, "no record was metered as one that another partitioner put elsewhere")
    lab.finish([lab.processor(), scorer])


def _meter_elsewhere(lab: Lab) -> float:
    """Let a processor with a metrics page decide something, and read what it says."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    before = lab.applied()
    worker = lab.crew.start("weir", arguments=("process", "--metrics-port", str(port)))
    await_true(partial(lab.has_passed, before + ELSEWHERE_RECORDS), "a processor with metrics getting on")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    worker.stop()
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("weir_elsewhere_records_total"))


@fault("poison-flood", "30 % of the records malformed in every way, and a kill", Plan(poison_share=0.3, rate=600))
def poison_flood(lab: Lab) -> None:
    scorer = lab.scorer()
    kill_processor(lab, kill_at="committed:3")
    lab.finish([lab.processor(), scorer])
