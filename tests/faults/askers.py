"""Clients that wait for decisions, ask again until they have one, and remember every answer.

Each asks for payment after payment, of cards that the load pays with too. Once it has an answer it asks some of them
again, with the same body or with another. What the answers are held against is the decisions topic, as a stranger
reads it.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.contracts import Row, decode
from tests.faults.lab import Lab
from tests.faults.load import ASKED
from tests.faults.logs import read_topic
from tests.faults.workers import DEADLINE_SECONDS, NothingHappened, Worker, await_true

CLIENTS = 6
WAIT_MS = 10_000
AGAIN_SHARE, OTHER_SHARE = 0.4, 0.3
"""Of payments that were answered: how many are asked for again, and with another body."""
PAUSE_SECONDS = 0.02
"""Before a request is repeated whose API is gone or did not wait for the decision."""
SHOWN_MAX = 5


@dataclass
class Asked:
    """One payment and all answers that a client got to it.

    Attributes:
        answers: bodies of each 200.
        others: statuses of answers to the same id with another body.
    """

    row: Row
    answers: list[bytes] = field(default_factory=list)
    others: list[int] = field(default_factory=list)


class Addresses:
    """APIs that may be asked just now."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._of: dict[int, str] = {}

    def add(self, worker: Worker) -> None:
        """Wait until an API serves, then have it asked.

        Raises:
            NothingHappened: it ended first, or did not serve in time.
        """

        def serves() -> bool:
            if not worker.is_alive:
                raise NothingHappened(f"{worker.name} ended with {worker.process.exitcode}:\n{worker.tail()}")
            return "serving http://" in worker.log()

        await_true(serves, f"{worker.name}: serving")
        with self._changed:
            self._of[worker.pid] = worker.log().partition("serving ")[2].split()[0]
            self._changed.notify_all()

    def remove(self, worker: Worker) -> None:
        with self._changed:
            self._of.pop(worker.pid, None)

    def pick(self, dice: random.Random) -> str:
        """Return one of them, waiting while there is none."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self._of), DEADLINE_SECONDS), "no API to ask"
            return dice.choice(sorted(self._of.values()))


class Askers:
    """The clients of one run.

    Attributes:
        asked: every payment that a client asked for, when it has its answers.
        cut: requests whose connection ended before their answer.
        recoveries: seconds from such an end to the decision.
    """

    def __init__(self, lab: Lab, addresses: Addresses) -> None:
        self._seed, self._cards, self._addresses = lab.seed, lab.shape.cards, addresses
        self._finish = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]
        self.asked: list[Asked] = []
        self.problems: list[str] = []
        self.cut = 0
        self.recoveries: list[float] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def await_each_kind(self) -> None:
        """Wait until somebody has asked again, and somebody with another body: chance decides who does."""

        def found() -> bool:
            asked = list(self.asked)
            return any(len(each.answers) > 1 for each in asked) and any(each.others for each in asked)

        await_true(lambda: found() or bool(self.problems), "a payment asked for again, and one with another body")

    def finish(self) -> None:
        """Let each have the answers to its last payment."""
        self._finish.set()
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            self.problems.append("a client still waits for its answer")

    def _run(self, number: int) -> None:
        dice, count = random.Random(f"{self._seed}-{number}"), 0
        # a connection for each request: one that ends before its answer had a request in it
        with httpx.Client(timeout=2 * WAIT_MS / 1_000, limits=httpx.Limits(max_keepalive_connections=0)) as client:
            try:
                while not self._finish.is_set():
                    count += 1
                    self.asked.append(self._ask(client, dice, f"{ASKED}{number}-{count}"))
            except Exception as error:  # noqa: BLE001 - told with the run's problems, where it can be read
                self.problems.append(f"client {number}: {type(error).__name__}: {error}")

    def _ask(self, client: httpx.Client, dice: random.Random, event_id: str) -> Asked:
        asked = Asked(build_payment(dice, event_id, self._cards))
        asked.answers.append(self._await(client, dice, asked.row, 200).content)
        if dice.random() < AGAIN_SHARE:
            asked.answers.append(self._await(client, dice, asked.row, 200).content)
        if dice.random() < OTHER_SHARE:
            other = asked.row | {"amount_minor": asked.row["amount_minor"] + 1}
            asked.others.append(self._await(client, dice, other, 409).status_code)
        return asked

    def _await(self, client: httpx.Client, dice: random.Random, row: Row, wanted: int) -> httpx.Response:
        """Ask until there is an answer that tells the payment's outcome; it has to be the one that is wanted."""
        cut_at, deadline = None, time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                url = f"{self._addresses.pick(dice)}/v1/decide"
                answer = client.post(url, json=row, params={"wait_ms": WAIT_MS})
            except httpx.ConnectError:  # it was gone before it was asked
                time.sleep(PAUSE_SECONDS)
                continue
            except httpx.TransportError:
                self.cut += 1
                cut_at = cut_at or time.monotonic()
                continue
            if answer.status_code not in {202, 503}:
                assert answer.status_code == wanted, f"expected {wanted}, found {answer.status_code}: {answer.text}"
                self.recoveries += [time.monotonic() - cut_at] if cut_at else []
                return answer
            time.sleep(PAUSE_SECONDS)
        raise NothingHappened(f"{row['transaction_id']} had no answer within {DEADLINE_SECONDS:.0f} s")


@contextmanager
def asking(lab: Lab, addresses: Addresses) -> Iterator[Askers]:
    """Have clients ask until the end of the block, and then until each has its answers."""
    askers = Askers(lab, addresses)
    askers.start()
    try:
        yield askers
    finally:
        askers.finish()


def build_payment(dice: random.Random, event_id: str, cards: int) -> Row:
    """Return a payment of now."""
    return {
        "transaction_id": event_id,
        "card_id": f"card-{dice.randrange(cards)}",
        "customer_id": f"person-{dice.randrange(cards)}",
        "merchant_id": f"shop-{dice.randrange(40)}",
        "mcc": 5411,
        "channel": dice.choice(("POS", "ECOM")),
        "amount_minor": dice.randrange(1, 300_000),
        "currency": "EUR",
        "country": "DE",
        "event_time_ms": int(time.time() * 1_000),
        "device_id": f"device-{dice.randrange(60)}",
    }


def judge_answers(lab: Lab, asked: Sequence[Asked]) -> None:
    """Hold every answer against the decisions topic: one decision on each payment, and each 200 says just that."""
    decisions: dict[str, list[Row]] = defaultdict(list)
    for entry in read_topic(lab.settings.kafka.bootstrap_servers, lab.settings.topics.decisions):
        row = decode(lab.settings.registry.url, entry.value)
        decisions[row["transaction_id"]].append(row)
    wrong = [found for each in asked if (found := _compare(each, decisions[each.row["transaction_id"]]))]
    lab.expect(bool(asked), "no client had an answer: the run proves nothing")
    lab.expect(any(len(each.answers) > 1 for each in asked), "nobody asked again: the run proves nothing")
    lab.expect(any(each.others for each in asked), "nobody asked with another body: the run proves nothing")
    lab.expect(not wrong, f"{len(wrong)} of {len(asked)} payments were answered wrongly, e.g. {wrong[:SHOWN_MAX]}")


def _compare(asked: Asked, recorded: Sequence[Row]) -> str:
    """Say what is wrong with the answers to a payment, or nothing."""
    name = asked.row["transaction_id"]
    if len(recorded) != 1:
        return f"{name} has {len(recorded)} decisions"
    found: list[Any] = [json.loads(body) for body in asked.answers]
    if any(answer != recorded[0] for answer in found):
        return f"{name} was answered otherwise than it is recorded"
    return f"{name} was answered in different bytes" if len(set(asked.answers)) > 1 else ""
