"""A stream of the API that has one thing of each kind that can be asked for, over twins in memory and a database."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from tests.unit.inference.examples import DECISION
from tests.unit.inference.published.lists_twin import MemoryLists, build_lists
from tests.unit.inference.published.models_twin import MemoryChoices, build_models
from tests.unit.inference.published.rules_twin import GOOD, MemoryPublished, Tries, build_rules
from tests.unit.inference.test_api import NOW_MS
from tests.unit.inference.twins import (
    MemoryAround,
    MemoryCurves,
    MemoryDecisions,
    MemoryEvidence,
    MemoryPartials,
    MemoryPublisher,
    MemorySearch,
    build_measured,
)
from tests.unit.streaming.dead_letter_samples import letter
from tests.unit.streaming.letter_log import MemoryLog, build_unchecked
from weir.cases.case import Review
from weir.cases.desk import Desk
from weir.cases.intake import Intake
from weir.cases.queue import Wanted
from weir.inference.api.quality.route import SHOWN
from weir.inference.api.stream_paths import StreamParts
from weir.inference.api.uploads.desk import UploadDesk
from weir.inference.core.lists import Note
from weir.inference.model_card import QUALITY_FILE
from weir.infra.database.engine import open_database
from weir.infra.settings import Settings, load_settings
from weir.infra.uploads.folders import UploadFolders
from weir.schemas.search import Place
from weir.streaming.dlq.desk import LetterDesk
from weir.streaming.dlq.letter import Coordinate

PROPOSER = "ada"
"""Proposes what others approve."""


class Filled:
    """A stream's parts, and things in them; ``new_…`` makes another one and returns its id.

    Attributes:
        event_id: of an event that is decided and archived.
        parts: all that a stream may have.
    """

    def __init__(self, home: Path, parts: StreamParts, uploads: UploadDesk, mark: str, first_offset: int) -> None:
        """Fill a stream.

        Args:
            home: of the deployment: streams of one home share its database.
            parts: kernel, champion and the like; what can be asked for is replaced.
            uploads: takes files of the stream.
            mark: is in each id that is chosen here.
            first_offset: of its dead letters.
        """
        self.stream, self.mark = parts.stream, mark
        self.event_id, self.card = f"{mark}-event", f"{mark}-card"
        self._numbers, self._offsets = count(), count(first_offset)
        self._settings = load_settings({"WEIR_HOME": str(home)})
        self.folders: UploadFolders = uploads.folders(self.stream.name)
        self.log = MemoryLog([], self.stream.topics.dlq)
        others = (self.stream.topics.labels_dlq, self.stream.topics.features_dlq)
        self.log.others = {topic: MemoryLog([], topic) for topic in others}
        self.rules, self.lists, self.choices = MemoryPublished(), MemoryLists(), MemoryChoices()
        parts.models_dir.mkdir(parents=True, exist_ok=True)
        (parts.models_dir / QUALITY_FILE).write_bytes(orjson.dumps(SHOWN))
        self.publisher, self._known = MemoryPublisher(), dict[str, Review]()
        self.parts = replace(
            parts,
            decisions=self._build_decisions(),
            evidence=MemoryEvidence([self.event_id]),
            search=self._build_search(),
            around=self._build_around(),
            desk=Desk(
                partial(open_database, self._settings), self.stream, lambda: NOW_MS, find=self._known.get, burst_ms=0
            ),
            labels=self.publisher,
            letters=self._build_letters(),
            rules=build_rules(self.rules, Tries(), '["rules"]'),
            lists=build_lists(self.lists, home, None, '["allow"]'),
            models=build_models(self.choices, home),
            curves=MemoryCurves(),
            uploads=uploads,
        )
        self.parts.curves.measured = build_measured()  # type: ignore[union-attr]

    def _build_decisions(self) -> MemoryDecisions:
        made = MemoryDecisions(MemoryPartials())
        made.stored[self.event_id] = orjson.dumps(self._decision())
        return made

    def _decision(self) -> dict[str, Any]:
        return DECISION | {self.stream.id: self.event_id, self.stream.key.field: self.card}

    def _build_search(self) -> MemorySearch:
        made = MemorySearch()
        made.decisions = [(Place(NOW_MS, 0, 1), self._decision())]
        return made

    def _build_around(self) -> MemoryAround:
        made = MemoryAround()
        made.known = frozenset([self.event_id])
        return made

    def _build_letters(self) -> LetterDesk:
        return build_unchecked(self.log, Settings().of_stream(self.stream))

    def new_case(self, holder: str = "") -> str:
        """Open a case."""
        number, review = self._decide()
        engine = open_database(self._settings)
        intake = Intake(engine, stream=self.stream.full_name, topic_id=self.mark, burst_ms=0)
        intake.take([review], {0: number + 1})
        engine.dispose()
        desk = self.parts.desk
        assert desk is not None
        (case,) = desk.page(Wanted(key=review.key)).cases
        if holder:
            desk.claim(case.id, holder)
        return case.id

    def new_decided(self) -> str:
        """Have an event decided that is in no case; return its id."""
        _, review = self._decide()
        self._known[review.event_id] = review
        return review.event_id

    def new_link(self) -> tuple[str, str]:
        """Link a case to an event; return the ids of both."""
        case_id, event_id, desk = self.new_case(), self.new_decided(), self.parts.desk
        assert desk is not None
        desk.link(case_id, event_id, PROPOSER, "the same device")
        return case_id, event_id

    def _decide(self) -> tuple[int, Review]:
        number = next(self._numbers)
        key, event_id = f"{self.mark}-{number}", f"{self.mark}-reviewed-{number}"
        event = {"transaction_id": event_id, "card_id": key, "merchant_id": "m", "event_time_ms": 5}
        return number, Review(key, event_id, NOW_MS, NOW_MS + 40, 1.0, DECISION | event, event)

    def new_letter(self) -> tuple[int, int]:
        """Write a dead letter; return its partition and its offset."""
        at = Coordinate(self.log.topic, 3, next(self._offsets))
        source = Coordinate(self.stream.topics.events, 3, at.offset)
        self.log.letters.append(letter(at=at, source=source))
        return at.partition, at.offset

    def new_proposal(self, kind: str) -> str:
        """Propose rules or an entry of an allow list, which another person has to approve."""
        number, told = next(self._numbers), {"who": PROPOSER, "why": "a wave", "force": ""}
        if kind == "rules":
            assert self.parts.rules is not None
            found = self.parts.rules.publish(GOOD.replace("100", str(1_000 + number)), **told)
        else:
            assert self.parts.lists is not None
            entries = [f"{self.mark}-shop-{number}"]
            found = self.parts.lists.change("add", "allow", "merchant", entries, Note(), **told)
        return str(found["proposal"])

    def new_rules(self) -> str:
        """Have rules published that are not in force any more; return their version."""
        text = GOOD.replace("100", str(1_000 + next(self._numbers)))
        self.rules.who, self.rules.why = "ada", "a wave"
        old = self.rules.publish("rules", [text])
        self.rules.publish("rules", [GOOD])
        return self.rules.log.version("rules", old.hash)

    def new_lists(self) -> str:
        """Have lists published that are not in force any more; return their version."""
        self.lists.who, self.lists.why = "ada", "a wave"
        old = self.lists.publish("lists", [json.dumps({"block": {"card": [f"{self.mark}-{next(self._numbers)}"]}})])
        self.lists.publish("lists", [json.dumps({"block": {"card": [self.card]}})])
        return self.lists.log.version("lists", old.hash)

    def new_champion(self) -> str:
        """Have a model promoted after another one; return its version, which can be taken back."""
        version = f"{self.mark}{next(self._numbers)}"
        self.choices.choose("champion", f"{version}before")
        self.choices.choose("champion", version)
        return version

    def new_upload(self) -> str:
        """Have a file scored."""
        with self.folders.create("csv", NOW_MS) as held:
            held.result.write_text("transaction_id,line\r\n")
            held.save(held.job.start(NOW_MS).know_total(0).finish(NOW_MS))
        return held.job.id

    def close(self) -> None:
        """Disconnect from the database."""
        assert self.parts.desk is not None
        self.parts.desk.close()
