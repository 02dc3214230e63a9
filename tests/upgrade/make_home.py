"""Makes a home as the release before leaves it: ``python -m tests.upgrade.make_home HOME``.

Payments decided by its processor and scorer, dead letters, labels, lists, a model in force, settings in ``.env``,
committed offsets, a decision index; then everything is stopped. Only its public commands are used, so that the next
release is driven by the same script.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.golden import bundle
from tests.upgrade import answers
from tests.upgrade.deployment import READY_SECONDS_MAX, Deployment
from tests.upgrade.outputs import Tail
from tests.upgrade.release import find_release
from tests.upgrade.sender import Sender

EVENTS = 50_000
REPAIRABLE, GARBAGE = 120, 80
"""Dead letters: some that a corrected field heals, and some that nobody can read and that an operator has settled."""
NUMBER_OF_REPAIRABLE = 10_000_000
"""Payments that become dead letters are numbered from here."""
SETTINGS = {
    "WEIR_CLUSTER": "upgrade",
    "WEIR_PROCESSOR__GROUP": "upgrade-processor",
    "WEIR_SCORER__GROUP": "upgrade-scorer",
    "WEIR_SCORER__INDEX_GROUP": "upgrade-index",
    "WEIR_TOPICS__PARTITIONS": "3",
    "WEIR_KAFKA__SESSION_TIMEOUT_MS": "6000",
}
LISTS = {"version": "upgrade-1", "allow": {"card": ["card-1"]}, "block": {"merchant": ["shop-1"]}}


@dataclass(frozen=True)
class Made:
    """What is in the home.

    Attributes:
        events: payments that were decided.
        letters: dead letters.
        schemas: by which its senders write.
        asked: of its API, when all was decided.
        told: its answers.
    """

    events: int
    letters: int
    schemas: dict[str, tuple[int, dict[str, object]]]
    asked: list[answers.Question]
    told: list[answers.Told]


def make_home(home: Path, tree: Path, *, events: int = EVENTS, port: int | None = None) -> Made:
    """Make a home with the code of a tree and leave it stopped; with a port its API is asked there."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / ".env").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    (home / "lists.json").write_text(json.dumps(LISTS))
    deployment = Deployment(home, tree)
    try:
        deployment.run("up")
        deployment.run("topics", "create")
        deployment.run("schemas", "register")
        _put_model_in_force(deployment)
        sender = Sender(home)
        _decide(deployment, sender, events)
        asked = [] if port is None else answers.build_questions(events)
        told = [] if port is None else _ask(deployment, port, asked)
        deployment.stop()
    finally:
        deployment.close()
    return Made(events, REPAIRABLE + GARBAGE, sender.schemas, asked, told)


def _ask(deployment: Deployment, port: int, asked: list[answers.Question]) -> list[answers.Told]:
    deployment.start("serve", "--port", str(port))
    deployment.await_true(lambda: is_ready(port), "the API that is ready", READY_SECONDS_MAX)
    return answers.ask(port, asked)


def is_ready(port: int) -> bool:
    """Whether an API answers there that it is ready."""
    try:
        (ready,) = answers.ask(port, [answers.Question("GET", "/readyz")])
    except OSError:  # it does not listen yet
        return False
    return ready.status == 200 and ready.document["ready"] is True


def _put_model_in_force(deployment: Deployment) -> None:
    listed = deployment.run_json("features", "list")
    names = tuple(feature["name"] for feature in listed["features"])
    folder = deployment.home / "models" / "golden-1"
    bundle.write(folder, names, listed["declarations_hash"])
    (deployment.home / "models" / "champion").symlink_to(folder)


def _decide(deployment: Deployment, sender: Sender, events: int) -> None:
    deployment.start("process")
    deployment.start("score", "--with-index")
    sender.send(sender.payments(0, events, total=events))
    sender.send(sender.repairable(NUMBER_OF_REPAIRABLE, REPAIRABLE))
    sender.send(sender.garbage(0, GARBAGE))
    deployment.await_ready()
    await_count(deployment, "transactions.dlq", REPAIRABLE + GARBAGE)
    await_count(deployment, "decisions", events)
    discarded = deployment.run_json("dlq", "discard", "--reason", "unknown_schema_id", "--apply")
    assert discarded["letters"] == {"discarded": GARBAGE}


def await_count(deployment: Deployment, topic: str, count: int) -> None:
    """Wait until a topic has so many committed records."""
    with Tail(deployment.home, topic) as tail:
        deployment.await_true(lambda: tail.count() >= count, f"{count} records in {topic}")


def main() -> int:
    """Make a home."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade.make_home", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--events", type=int, default=EVENTS)
    arguments = parser.parse_args()
    made = make_home(arguments.home.absolute(), find_release(), events=arguments.events)
    sys.stdout.write(f"{made.events} decided, {made.letters} dead letters in {arguments.home}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
