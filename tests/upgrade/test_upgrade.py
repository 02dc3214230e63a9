"""A home that the release before made: started on this code, nothing lost and nothing twice, and back again."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.upgrade import answers, outputs
from tests.upgrade.allowed import WAY_BACK_REFUSED
from tests.upgrade.deployment import Deployment, read_events
from tests.upgrade.make_home import EVENTS, GARBAGE, REPAIRABLE, Made, await_count, is_ready, make_home
from tests.upgrade.release import ROOT, environment_of_tree, find_release, imported_from
from tests.upgrade.sender import Sender
from weir.infra.embedded.ports import choose_ports

MORE, SWITCHED, AFTER_RETURN = 3_000, 500, 500
FIRST_OF_NEW = 1_000_000
"""Payments that are sent after the upgrade are numbered from here."""
REFOLDED_SHARE_MAX = 0.2
"""Of the records that a start may fold again where the view's last writes had not been confirmed."""
REBUILT = {"view_missing", "view_dropped", "view_broken"}
"""What a processor logs where it builds a unit again from the log."""

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(900)]


class Upgraded:
    """The home, and what has been sent to it so far."""

    def __init__(self, home: Path, tree: Path, made: Made, port: int) -> None:
        self.home, self.tree, self.made = home, tree, made
        self.decided, self.letters = made.events, made.letters
        self.serves = False
        self.new = Deployment(home, ROOT)
        self.old = Deployment(home, tree)
        self.logs: dict[str, Path] = {}
        self.before: Counter[outputs.At] = Counter()
        self.port = port

    def begin(self, code: Deployment) -> None:
        """Start the servers and the services of one of the two."""
        code.run("up")
        self.before = outputs.positions(outputs.read_committed(self.home, "transactions"))
        self.logs = {"process": code.start("process"), "score": code.start("score", "--with-index")}
        code.await_ready()

    def serve(self) -> None:
        """Have the API of this code serve, if it does not yet."""
        if not self.serves:
            self.new.start("serve", "--port", str(self.port))
            self.serves = True
        self.new.await_true(lambda: is_ready(self.port), "the API that is ready")

    def end(self, code: Deployment) -> None:
        """Stop them."""
        code.stop()
        code.close()

    def send(self, code: Deployment, count: int) -> None:
        """Send payments with the sender of the release before, and wait until each is decided."""
        sender = Sender(self.home, self.made.schemas)
        sender.send(sender.payments(FIRST_OF_NEW + self.decided - EVENTS, count, total=1))
        self.decided += count
        self.await_decided(code)

    def await_decided(self, code: Deployment) -> None:
        """Wait until as many payments are decided as were sent."""
        await_count(code, "decisions", self.decided)

    def judge(self) -> list[dict[str, Any]]:
        """Compare every position of the log with what was made of it; return the feature rows."""
        log = outputs.positions(outputs.read_committed(self.home, "transactions"))
        rows = outputs.read_rows(self.home, outputs.read_committed(self.home, "features"))
        of_rows = Counter((row["source_partition"], row["source_offset"]) for row in rows)
        of_letters = outputs.sources_of_letters(outputs.read_committed(self.home, "transactions.dlq"))
        assert of_rows + of_letters == log
        assert outputs.sources_of_decisions(outputs.read_committed(self.home, "decisions")) == of_rows
        assert (len(rows), of_letters.total()) == (self.decided, self.letters)
        return rows

    def get(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if answer.headers["content-type"].startswith("application/json") else text.decode()


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """A home of the release before, on which this code has been started."""
    tree, home = find_release(), tmp_path_factory.mktemp("upgraded") / "home"
    home.mkdir(mode=0o700)
    places = imported_from(tree, Deployment(home, tree).environment)
    assert [path for path in places if not path.is_relative_to(tree)] == [], "the release before is not what would run"
    (port,) = choose_ports(1)
    state = Upgraded(home, tree, make_home(home, tree, events=EVENTS, port=port), port)
    try:
        state.begin(state.new)
        yield state
    finally:
        state.new.close()
        state.old.close()
        shutil.rmtree(home)


def test_the_home_was_made_by_the_code_of_the_release_before(upgraded: Upgraded) -> None:
    assert environment_of_tree(upgraded.tree) == {"PYTHONPATH": str(upgraded.tree)}
    compiled = list(upgraded.tree.rglob("kernel-*.lock"))
    assert [path.read_text() for path in compiled] == ["compiled"], "its kernel was compiled in its own tree"


def test_the_api_without_keys_answers_as_it_did(upgraded: Upgraded) -> None:
    """Before anything else is sent: features, scores, and each kind of error."""
    upgraded.serve()
    told = answers.ask(upgraded.port, upgraded.made.asked)
    changed = {
        f"{question.method} {question.path} {number}": found
        for number, (question, *both) in enumerate(zip(upgraded.made.asked, upgraded.made.told, told, strict=True))
        if (found := answers.list_changes(*both))
    }
    assert changed == {}
    assert {each.status for each in told} >= {200, 404, 405, 409, 413, 415, 422}


def test_nothing_is_lost_and_nothing_is_doubled_and_the_view_is_not_built_again(upgraded: Upgraded) -> None:
    upgraded.send(upgraded.new, MORE)
    rows = upgraded.judge()
    assert len({row["declarations_hash"] for row in rows}) == 1
    fresh = [row for row in rows if (row["source_partition"], row["source_offset"]) not in upgraded.before]
    assert len(fresh) == MORE
    assert [row["degraded"] for row in fresh if row["degraded"]] == []
    events = read_events(upgraded.logs["process"])
    assert [event for event in events if event["event"] in REBUILT] == []
    folded = sum(event["folded"] for event in events if event["event"] == "caught_up")
    assert folded < REFOLDED_SHARE_MAX * EVENTS


def test_the_model_and_the_lists_of_the_home_decide(upgraded: Upgraded) -> None:
    started = next(e for e in read_events(upgraded.logs["score"]) if e["event"] == "started" and "model" in e)
    assert started["model"] == "1"
    newest = f"tx-{FIRST_OF_NEW + 7}"
    # the index follows what was counted
    upgraded.new.await_true(lambda: upgraded.new.succeeds("inspect", "decision", newest), f"{newest} in the index")
    decided = upgraded.new.run_json("inspect", "decision", newest)
    assert (decided["model_name"], decided["model_version"]) == ("golden", "1")
    assert "upgrade-1" in decided["rules_version"]
    listed = upgraded.new.run_json("models", "list")
    assert (listed["version"], listed["is"]) == ("1", "champion (link)")


def test_the_decision_index_of_the_home_is_read_and_not_built_again(upgraded: Upgraded) -> None:
    assert upgraded.new.run_json("inspect", "decision", "tx-7")["transaction_id"] == "tx-7"
    assert "index_rebuilt" not in {event["event"] for event in read_events(upgraded.logs["score"])}


def test_dead_letters_are_listed_and_those_that_can_be_repaired_are_replayed(upgraded: Upgraded) -> None:
    lines = upgraded.new.run("dlq", "list", "--limit", "0", "--json").stdout.splitlines()
    assert len(lines) == upgraded.made.letters
    assert Counter(json.loads(line)["state"] for line in lines) == {"open": REPAIRABLE, "discarded": GARBAGE}
    flags = ("--set", "country=US", "--apply")
    assert upgraded.new.run_json("dlq", "replay", *flags)["letters"] == {"replayed": REPAIRABLE, "settled": GARBAGE}
    upgraded.decided += REPAIRABLE
    upgraded.await_decided(upgraded.new)
    upgraded.judge()


def test_the_paths_of_the_api_answer_about_what_was_decided_before(upgraded: Upgraded) -> None:
    upgraded.serve()
    assert upgraded.get("/v1/decisions/tx-7")["transaction_id"] == "tx-7"
    features = upgraded.get("/v1/features/card/card-7")
    assert features["complete"] is True
    assert features["features"]["card_event_count_30d"] > 0
    risk = upgraded.get("/v1/features/merchant/shop-7")["features"]["merchant_label_risk_30d"]
    assert 0.0 < risk < 1.0, "labels that were folded before are known"
    assert upgraded.get("/v1/models")["champion"]["version"] == "1"
    assert "weir_" in upgraded.get("/metrics")


def test_the_mode_is_changed_to_one_process_and_back(upgraded: Upgraded) -> None:
    """``[process, score][run, score][process, score]``: a restart each, and the view is not built again."""
    for verb, marked in (("run", True), ("process", None)):
        upgraded.new.stop()
        before = len(outputs.read_rows(upgraded.home, outputs.read_committed(upgraded.home, "features")))
        upgraded.logs = {verb: upgraded.new.start(verb), "score": upgraded.new.start("score", "--with-index")}
        upgraded.new.await_ready()
        upgraded.send(upgraded.new, SWITCHED)
        rows = upgraded.judge()
        assert Counter(row["decided"] for row in rows)[marked] >= SWITCHED
        assert len(rows) == before + SWITCHED
        assert [event for event in read_events(upgraded.logs[verb]) if event["event"] in REBUILT] == []


def test_the_way_back_works_or_is_refused_in_one_sentence(upgraded: Upgraded) -> None:
    upgraded.end(upgraded.new)
    if WAY_BACK_REFUSED:
        upgraded.old.run("up")
        refused = upgraded.old.run("process", code=2)
        assert [line for line in refused.stderr.splitlines() if not line.startswith("{")] == [WAY_BACK_REFUSED]
        return
    upgraded.begin(upgraded.old)
    upgraded.send(upgraded.old, AFTER_RETURN)
    upgraded.judge()
    assert [event for event in read_events(upgraded.logs["process"]) if event["event"] in REBUILT] == []
    upgraded.end(upgraded.old)
