"""What is in the records: schemas learnt late, floods, repeats, other partitioners, replays of dead letters."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

from tests.faults.catalogue import fault
from tests.faults.contracts import Row, encode, register, schema_of_id, subject_ids
from tests.faults.faults_process import kill_processor
from tests.faults.lab import Lab, Plan
from tests.faults.load import Sending, Traffic
from tests.faults.logs import read_topic
from tests.faults.workers import NothingHappened, Worker

LATE_RECORDS = 60
CARD_EVENTS = 200


def _payments(lab: Lab, count: int, **changes: object) -> list[Row]:
    """Payments of another seed, so that their ids are new."""
    import time  # noqa: PLC0415

    ids = {"transactions": max(subject_ids(lab.settings.registry.url, _subject(lab))), "labels": 0}
    traffic = Traffic(
        lab.seed + 1_000, now_ms=int(time.time() * 1_000), registry_url=lab.settings.registry.url, schema_ids=ids,
        shape=lab.shape,
    )  # fmt: skip
    rows = [traffic._payment() for _ in range(count)]
    return [row | {"transaction_id": f"extra-{row['transaction_id']}"} | changes for row in rows]


def _subject(lab: Lab) -> str:
    return f"{lab.settings.topics.transactions}-value"


@fault("schema-registered-late", "an unknown schema registered between commit and write, then replayed")
def schema_registered_late(lab: Lab) -> None:
    url, scorer = lab.settings.registry.url, lab.scorer()
    newest = schema_of_id(url, max(subject_ids(url, _subject(lab))))
    later = json.dumps(_with_field(newest, "added_later"))
    # ids are given in order, so the next one is known before it exists
    expected = register(url, f"{_subject(lab)}-scratch", json.dumps(_with_field(newest, f"scratch_{lab.seed}"))) + 1
    known = max(subject_ids(url, _subject(lab)))
    rows = _payments(lab, LATE_RECORDS)
    values = [b"\x00" + expected.to_bytes(4, "big") + encode(url, known, row)[5:] + b"\x00" for row in rows]
    first = lab.processor()
    lab.run_until(first)
    first.stop()
    lab.feeder.send(Sending("transactions", r["card_id"].encode(), v) for r, v in zip(rows, values, strict=True))
    dying = lab.processor(kill_at=_last_commit(lab))
    dying.await_death()
    lab.times += 1
    if register(url, _subject(lab), later) != expected:
        raise NothingHappened("the registry gave the late schema another id than was foreseen")
    processor = lab.processor()
    lab.watch_recovery()
    _replay(lab, "--reason", "unknown_schema_id").await_death()
    lab.finish([processor, scorer])


def _last_commit(lab: Lab) -> str:
    """A commit that comes after the late records have been judged: nobody has read them yet."""
    del lab
    return "applying:12"


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
    known = max(subject_ids(url, _subject(lab)))
    rows = _payments(lab, CARD_EVENTS, card_id="card-77", customer_id="person-38")
    sendings = [Sending("transactions", b"card-77", encode(url, known, row)) for row in rows]
    lab.feeder.send(sendings)
    kill_processor(lab, kill_at="committed:4")
    lab.feeder.send(islice(sendings, 1))
    lab.finish([lab.processor(), scorer])


@fault("two-partitioners", "the same card from producers of two partitioners", Plan(misplaced_share=0.3))
def two_partitioners(lab: Lab) -> None:
    scorer = lab.scorer()
    kill_processor(lab, kill_at="committed:3")
    lab.finish([lab.processor(), scorer])


@fault("poison-flood", "30 % of the records malformed in every way, and a kill", Plan(poison_share=0.3, rate=600))
def poison_flood(lab: Lab) -> None:
    scorer = lab.scorer()
    kill_processor(lab, kill_at="committed:3")
    lab.finish([lab.processor(), scorer])
