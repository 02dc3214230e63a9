"""What is published, in memory, and a desk of rules over it."""

from __future__ import annotations

import threading
from typing import Any

from tests.unit.inference.published.acts import build_act, log_act
from weir.inference.published.act import NONE, Act, Kind, compute_hash
from weir.inference.published.content import Standing
from weir.inference.published.desk import RulesDesk
from weir.inference.published.gate import Trial
from weir.inference.published.log import PublishedLog
from weir.inference.published.opened import OpenPublisher
from weir.inference.published.proposals.record import Proposal, Rejection
from weir.inference.published.publish import Placed
from weir.inference.published.trials import Trials
from weir.infra.settings import Settings, load_settings
from weir.schemas.streams.payments import payments

GOOD = """\
rules:
  - name: night
    why: nobody buys at night
    when: transaction_amount > 100
    then: REVIEW
"""
OTHER = GOOD.replace("100", "200")
BAD = GOOD.replace("transaction_amount", "transaction_amuont").replace("REVIEW", "REVIW")


class MemoryPublished:
    """Acts of rules; ``away`` is what an absent broker says."""

    def __init__(self) -> None:
        self.log = PublishedLog()
        self.refused: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.acts: list[Act] = []
        self.who = self.why = ""
        self.away: Exception | None = None
        self.opened = self.closed = self.at_ms = 0

    @property
    def published(self) -> MemoryPublished:
        return self

    def look(self) -> None:
        if self.away is not None:
            raise self.away

    def close(self) -> None:
        self.closed += 1

    @property
    def standing(self) -> Standing:
        return Standing((("rules", self.acts[-1].hash if self.acts else NONE),))

    def read_text(self, kind: Kind, content: str) -> str:
        assert kind == "rules"
        return self.texts[content]

    def place(self, kind: Kind, texts: list[str]) -> Placed:
        assert (kind in {"rules", "lists"}, len(texts)) == (True, 1)
        return Placed(compute_hash(texts), texts[0], None)

    def write_record(self, record: Proposal | Rejection) -> None:
        self.at_ms += 1
        self.log.proposals.take(record, self.at_ms)

    def read_proposed(self, proposal: Proposal) -> list[str]:
        assert proposal.text is not None
        return [proposal.text]

    def put(self, proposal: Proposal) -> Act:
        return self.publish(proposal.kind, self.read_proposed(proposal), proposal.label, proposal.id)

    def publish(self, kind: Kind, texts: list[str], label: str = "", act_id: str = "") -> Act:
        told = {"who": self.who, "why": self.why, "after": self.log.newest_id(kind)}
        told |= {"id": act_id} if act_id else {}
        act = build_act(kind, "".join(texts), label=label, **told)
        self.texts[act.hash] = "".join(texts)
        return self._take(act)

    def roll_back(self, kind: Kind, content: str) -> Act:
        label = "" if content == NONE else self.log.version(kind, content)
        return self._take(build_act(kind, None, hash=content, label=label, who=self.who, why=self.why))

    def _take(self, act: Act) -> Act:
        assert self.log.take(log_act(act, len(self.acts)))
        self.acts.append(act)
        return act


class Tries:
    """Tries nothing, and says what a test wants; one that is held does not end before it is let go."""

    def __init__(self) -> None:
        self.found = Trial(figures={"judged": 7, "flips": {}})
        self.asked: list[tuple[str, Kind, str, str]] = []
        self.error: Exception | None = None
        self.go = threading.Event()
        self.go.set()

    def __call__(self, stream: str, kind: Kind, text: str, before: str) -> Trial:
        self.asked.append((stream, kind, text, before))
        assert self.go.wait(60)
        if self.error is not None:
            raise self.error
        return self.found


def open_twin(published: MemoryPublished, settings: Settings) -> OpenPublisher:
    """Return what is published in memory, as a desk takes it."""

    def open_publisher() -> Any:
        published.opened += 1
        return published

    return OpenPublisher(settings, open_publisher=open_publisher)


def build_rules(published: MemoryPublished, tries: Tries | None, four_eyes: str = "[]", **more: Any) -> RulesDesk:
    """Return a desk over what is published in memory."""
    settings = load_settings({"WEIR_PUBLISHING__FOUR_EYES": four_eyes}).of_stream(payments)
    return RulesDesk(settings, open_twin(published, settings), Trials("transactions", tries, **more))
