"""Publishes: writes an act, and says it is done when the log that everybody reads has it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from weir.inference.core.lists import Lists
from weir.inference.published.act import NONE, TEXT_BYTES_MAX, Act, Kind, Logged, Parts, compute_hash
from weir.inference.published.content import ReadRules, Standing, write_json
from weir.inference.published.follow import Published
from weir.inference.published.log import PublishedLog
from weir.inference.published.proposals.record import Proposal, Rejection
from weir.inference.published.topic import PART_BYTES_MAX, PublishedWriter
from weir.infra.kafka.topics import ensure_published
from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient

ATTEMPTS_MAX = 10
"""Of a change, when others change the same lists at the same time."""
_READ_BACK_SECONDS = 15.0
_PAUSE_SECONDS = 0.1


class Placed(NamedTuple):
    """A text that the record of an act can hold, or the parts of it that are written already."""

    content: str
    text: str | None
    parts: Parts | None


class Publisher:
    """Reads and writes what is published of a stream, for one command."""

    def __init__(self, settings: Settings, read_rules: ReadRules, *, who: str = "", why: str = "") -> None:
        """Connect lazily; what is published is read when it is entered, which raises ``Transient`` without brokers.

        Args:
            settings: of the stream.
            read_rules: reads the text of rules.
            who: publishes.
            why: for who reads the history.
        """
        self._settings = settings
        self.who, self.why = who, why
        self.published = Published(settings, read_rules)

    def __enter__(self) -> Self:
        self.published.look()
        return self

    def __exit__(self, *_: object) -> None:
        self.published.close()

    @property
    def log(self) -> PublishedLog:
        """Every act."""
        return self.published.log

    @property
    def standing(self) -> Standing:
        """What is in force of what is published."""
        return self.published.standing

    @property
    def refused(self) -> Mapping[str, str]:
        """Why the acts that cannot be used are refused, by their ids."""
        return self.published.refused

    def read_text(self, kind: Kind, content: str) -> str:
        """Return the text of a content of rules or thresholds.

        Raises:
            Refused: it is no longer there.
            Transient: the brokers did not answer in time.
        """
        return "".join(self.published.contents.texts(self.log.steps(kind, content)[-1].act))

    def build_lists(self, content: str) -> Lists:
        """Return the lists of a content; raises as ``read_text``."""
        built = self.published.contents.build("lists", self.log.steps("lists", content))
        assert isinstance(built, Lists)  # of that kind
        return built

    def publish(self, kind: Kind, texts: Sequence[str], label: str = "", act_id: str = "") -> Act:
        """Publish a text, which was checked, in its parts; decisions call it by the label, or by its hash.

        Args:
            kind: of the text.
            texts: its parts; of lists each is a document of its own.
            label: what decisions call it.
            act_id: of the proposal that is approved; by default the act has one of its own.

        Raises:
            Refused: it is too long, the topic would forget it, or somebody else published a model meanwhile.
            Transient: the brokers did not take it.
        """
        return self._put(kind, self.place(kind, texts), label, act_id)

    def place(self, kind: Kind, texts: Sequence[str]) -> Placed:
        """Write the parts of a text that is too long for one record; raises as ``publish``."""
        if max(len(text.encode()) for text in texts) > PART_BYTES_MAX:
            raise Refused(f"{kind}: expected parts of at most {PART_BYTES_MAX:,} bytes, found a longer one")
        content, fits = compute_hash(texts), len(texts) == 1 and len(texts[0]) <= TEXT_BYTES_MAX
        ensure_published(self._settings)
        return (
            Placed(content, texts[0], None)
            if fits
            else Placed(content, None, self._writer().write_parts(texts, content))
        )

    def put(self, proposal: Proposal) -> Act:
        """Publish the text that somebody proposed, by an act with the proposal's id.

        Raises:
            Refused: it is not right for the stream as it is declared now, or somebody rejected it meanwhile.
            Transient: the brokers did not take it.
        """
        placed = Placed(proposal.hash, proposal.text, proposal.parts)
        act = self._build_text(proposal.kind, placed, proposal.label, proposal.id)
        self.published.contents.build(act.kind, [Logged(act, 0, 0)])
        return self._put(proposal.kind, placed, proposal.label, proposal.id)

    def write_record(self, record: Proposal | Rejection) -> None:
        """Write what is said of a proposal, and read up to it.

        Raises:
            Refused: the topic would forget it.
            Transient: the brokers did not take it.
        """
        ensure_published(self._settings)
        self._read_back(self._writer().write(record))

    def read_proposed(self, proposal: Proposal) -> Iterator[str]:
        """Yield the text of a proposal, in parts; raises as ``read_text``."""
        return self.published.contents.texts(proposal)

    def change(self, document: dict[str, Any], act_id: str = "") -> Act:
        """Change the lists in force; done again on top when somebody else was quicker.

        Args:
            document: of the change.
            act_id: of the proposal that is approved; by default the act has one of its own.

        Raises:
            Refused: the change is too long.
            Transient: the brokers did not take it.
        """
        text = write_json(document)
        if len(text) > TEXT_BYTES_MAX:
            raise Refused(f"lists: expected a change of at most {TEXT_BYTES_MAX:,} characters, found {len(text):,}; "
                          "publish the lists whole")  # fmt: skip

        def build() -> Act:
            parent = self.standing.content("lists")
            content = compute_hash([text], parent=parent)
            return self._act("lists", "change", content, act_id, text=text, parent=parent)

        ensure_published(self._settings)
        return self._write(build)

    def roll_back(self, kind: Kind, content: str) -> Act:
        """Put a content in force again, or with ``none`` what is not published.

        Raises:
            Refused: it is not right for the stream as it is declared now.
            Transient: the brokers did not take it.
        """
        label = ""
        if content != NONE:
            self.published.contents.build(kind, self.log.steps(kind, content))
            label = self.log.version(kind, content)
        ensure_published(self._settings)
        return self._write(lambda: self._act(kind, "rollback", content, label=label))

    def _put(self, kind: Kind, placed: Placed, label: str, act_id: str = "") -> Act:
        return self._write(lambda: self._build_text(kind, placed, label, act_id))

    def _build_text(self, kind: Kind, placed: Placed, label: str, act_id: str) -> Act:
        return self._act(kind, "publish", placed.content, act_id, text=placed.text, parts=placed.parts, label=label)

    def _act(self, kind: Kind, action: Any, content: str, act_id: str = "", **more: Any) -> Act:
        return Act(
            id=act_id or uuid.uuid4().hex,
            kind=kind,
            action=action,
            hash=content,
            after=self.log.newest_id(kind),
            who=self.who,
            why=self.why,
            **more,
        )

    def _write(self, build: Callable[[], Act]) -> Act:
        writer = self._writer()
        for _ in range(ATTEMPTS_MAX):
            act = build()
            offset = writer.write(act)
            self._read_back(offset)
            if self.log.has(act.id):
                if reason := self.refused.get(act.id):
                    raise Refused(f"{act.kind}: {act.version} is written and cannot be used, so what was in force "
                                  f"stays: {reason}")  # fmt: skip
                return act
            if self.log.proposals.is_rejected(act.id):
                raise Refused(f"{act.kind}: expected a proposal that nobody rejected meanwhile, found it rejected")
            if act.action == "publish":
                raise Refused(self._say_overtaken(act.kind))
        raise Transient(f"expected a change to be the next after {ATTEMPTS_MAX} attempts, found others; try again")

    def _say_overtaken(self, kind: Kind) -> str:
        newest = self.log.history(kind)[-1].act
        return (
            f"{kind}: expected nobody else to publish meanwhile, found {newest.version} by {newest.who} "
            f"({newest.why}); nothing was published. Look at it, then run the command again"
        )

    def _read_back(self, offset: int) -> None:
        deadline = time.monotonic() + _READ_BACK_SECONDS
        while not self.published.has_read(offset):
            if time.monotonic() > deadline:
                raise Transient("kafka: what was written cannot be read back yet; the history says whether it is there")
            self.published.look()
            time.sleep(_PAUSE_SECONDS)

    def _writer(self) -> PublishedWriter:
        return PublishedWriter(self._settings.kafka, self._settings.topics.published)
