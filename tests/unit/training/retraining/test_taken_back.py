"""What a person or a guard took back while a run was stopped is not put in force by the run that is continued."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.inference.bundles import write_bundle
from weir.inference.published.act import NONE, Act, Logged, compute_hash
from weir.inference.published.bundles import Listed, read_folder
from weir.inference.published.canary_text import CanaryText
from weir.inference.published.log import PublishedLog
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments
from weir.training.retraining.live import Enough, Pair, run_canary, run_shadow
from weir.training.retraining.run_log import Run, list_runs
from weir.training.retraining.steps import Retraining, run_steps

BEFORE = ("labels", "train", "gates", "shadow", "canary")


class _Publisher:
    """What is published, in memory."""

    who, why = "test", "retraining"

    def __init__(self) -> None:
        self.log = PublishedLog()
        self.published = SimpleNamespace(look=lambda: None)
        self.standing = SimpleNamespace(content=self._content)

    def publish(self, kind: Any, texts: list[str], label: str = "") -> Act:
        return self._take(kind, "publish", compute_hash(texts), label=label, text="".join(texts))

    def roll_back(self, kind: Any, content: str) -> Act:
        return self._take(kind, "rollback", content)

    def read_text(self, kind: Any, content: str) -> str:
        return str(self.log.steps(kind, content)[-1].act.text)

    def roles(self) -> dict[str, str]:
        return {alias: self._content(alias) for alias in ("champion", "canary")}

    def _content(self, kind: Any) -> str:
        acts = self.log.history(kind)
        return acts[-1].act.hash if acts else NONE

    def _take(self, kind: Any, action: Any, content: str, **more: Any) -> Act:
        more |= {"after": self.log.newest_id(kind), "who": self.who, "why": self.why}
        act = Act(id=uuid.uuid4().hex, kind=kind, action=action, hash=content, **more)
        self.log.take(Logged(act, 0, 1))
        return act


class _World:
    """A run that was stopped after its canary was passed."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home).of_stream(payments)
        self.new, self.old, self.other = (
            read_folder(write_bundle(self.settings.models_dir / each, version=each)) for each in ("new", "old", "other")
        )
        self.publisher = _Publisher()
        self.publisher.publish("champion", [self.old.text])
        self.decide_a_share(self.new)
        self.folder = self.settings.models_dir / "retraining"
        run = Run(
            self.folder / "1", ["asked for"], payments.name, [], "new", "", self.new.content, self.old.content
        )  # fmt: skip
        for step in BEFORE:
            run.add(step, "", passed=True, at_ms=1)

    def decide_a_share(self, bundle: Listed) -> None:
        text = CanaryText(manifest=bundle.text, share=0.1, seed=uuid.uuid4().hex).model_dump_json()
        self.publisher.publish("canary", [text])

    def continue_run(self) -> tuple[bool, Run]:
        (run,) = list_runs(self.folder)
        given: Any = SimpleNamespace(keep=lambda *_: None)
        publisher: Any = self.publisher
        return run_steps(Retraining(given, self.settings, publisher, given, given, run, lambda _: None)), run


@pytest.fixture
def world(tmp_path: Path) -> _World:
    return _World(tmp_path)


def test_what_was_passed_and_not_touched_is_promoted(world: _World) -> None:
    promoted, _ = world.continue_run()
    assert promoted
    assert world.publisher.roles() == {"champion": world.new.content, "canary": NONE}


def _end(world: _World) -> None:
    world.publisher.roll_back("canary", NONE)


def _replace_canary(world: _World) -> None:
    world.decide_a_share(world.other)


def _choose_another(world: _World) -> None:
    world.publisher.publish("champion", [world.other.text])


def _take_back(world: _World) -> None:
    world.publisher.publish("champion", [world.new.text])
    world.publisher.roll_back("champion", world.old.content)


@pytest.mark.parametrize(
    ("meanwhile", "found"),
    [
        (_end, "somebody ended the canary"),
        (_replace_canary, "somebody ended the canary"),
        (_choose_another, "another model decides now"),
        (_take_back, "somebody took the promotion back"),
    ],
)
def test_what_was_done_meanwhile_stands(world: _World, meanwhile: Callable[[_World], None], found: str) -> None:
    meanwhile(world)
    champion = world.publisher.standing.content("champion")
    promoted, run = world.continue_run()
    assert (promoted, run.outcome) == (False, "not promoted: promote was not passed")
    assert run.steps[-1]["found"] == found
    assert world.publisher.standing.content("champion") == champion
    canary = world.publisher.standing.content("canary")
    assert canary == NONE or world.other.manifest.version in world.publisher.read_text("canary", canary)


def test_a_run_of_before_that_does_not_say_what_the_gates_compared_with_is_not_promoted(world: _World) -> None:
    path = world.folder / "1" / "evidence.json"
    document = json.loads(path.read_text())
    del document["content"], document["champion"]
    path.write_text(json.dumps(document))
    promoted, run = world.continue_run()
    assert not promoted
    assert run.steps[-1]["found"] == "another model decides now"


def test_the_canary_ends_where_the_run_was_killed_between_the_two_acts_of_a_promotion(world: _World) -> None:
    world.publisher.publish("champion", [world.new.text])
    promoted, _ = world.continue_run()
    assert promoted
    assert world.publisher.roles() == {"champion": world.new.content, "canary": NONE}


def test_a_canary_or_a_shadow_that_was_ended_is_not_published_again(world: _World) -> None:
    world.publisher.publish("shadow", [world.new.text])
    publisher, archive, pair = world.publisher, SimpleNamespace(), Pair(world.new, world.old, None)
    for alias in ("shadow", "canary"):
        publisher.roll_back(alias, NONE)
    acts = len(publisher.log.history("shadow")) + len(publisher.log.history("canary"))
    given: Any = (world.settings, publisher, pair, archive, Enough(1, 0.0))
    assert run_shadow(*given)[0] == "somebody ended the shadow"
    assert run_canary(*given, share=0.1)[0] == "somebody ended the canary"
    assert len(publisher.log.history("shadow")) + len(publisher.log.history("canary")) == acts
