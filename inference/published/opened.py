"""What is published of a stream, kept open for a process that serves, and what its desks show of versions and acts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaException

from weir.inference.published.act import Act, Kind
from weir.inference.published.proposals.record import Proposal
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules
from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient

HISTORY_MAX = 200
"""Newest acts that are shown."""
WAIT_SECONDS = 4.0
"""Of a request for who asks before."""
KEPT_SECONDS = 60.0
"""What was read of the topic."""
NOTHING_DONE: Final = {"version": None, "action": None}
"""Yet."""


class UnknownVersion(Exception):
    """What a request names is no version, or several; the message says which there are."""


class OpenPublisher:
    """A publisher that one request uses at a time, and that the next ones find connected."""

    def __init__(
        self,
        settings: Settings,
        *,
        open_publisher: Callable[[], Publisher] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect lazily.

        Args:
            settings: of the stream.
            open_publisher: connects to what is published.
            monotonic: seconds on a clock that only rises.
        """
        self._open = open_publisher or (lambda: Publisher(settings, read_rules))
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._opened: tuple[Publisher, float] | None = None

    @contextmanager
    def use(self) -> Iterator[Publisher]:
        """Yield the publisher, which has read what is published now.

        Raises:
            Transient: the brokers did not answer in time, or others ask.
        """
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise Transient("expected the reader of what is published to be free, found others that ask; ask again")
        try:
            if self._opened is not None and self._monotonic() - self._opened[1] > KEPT_SECONDS:
                self._drop()
            if self._opened is None:
                self._opened = self._open(), self._monotonic()
            self._opened[0].published.look()
            yield self._opened[0]
        except (KafkaException, Transient) as error:
            self._drop()
            if isinstance(error, Transient):
                raise
            raise Transient(f"kafka: {error.args[0].str()}") from error
        finally:
            self._lock.release()

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._opened is not None:
            self._opened[0].published.close()
            self._opened = None


def find_version(publisher: Publisher, kind: Kind, version: str) -> str:
    """Return the content that a version, or the beginning of one, names.

    Raises:
        UnknownVersion: none or several.
    """
    try:
        return publisher.log.find(kind, version)
    except Refused as error:
        expected = str(error).rpartition(", found ")[0]
        raise UnknownVersion(f"{expected}, found another text, or the beginning of several") from None


def describe_act(act: Act) -> dict[str, Any]:
    """Return what was done."""
    return {"version": act.version, "action": act.action}


def describe_proposal(proposal: Proposal) -> dict[str, Any]:
    """Return what was proposed, and waits for another person."""
    return {"version": proposal.version, "action": "propose", "proposal": proposal.id}


def list_acts(publisher: Publisher, kind: Kind) -> list[dict[str, Any]]:
    """Return the newest acts of a kind, the newest first, each with whether it is in force or why it cannot be."""
    acts, in_force = publisher.log.history(kind)[::-1], publisher.standing.content(kind)
    refused = publisher.refused
    used = next((each.act.id for each in acts if each.act.hash == in_force and each.act.id not in refused), "")
    return [
        {
            "version": each.act.version,
            "action": each.act.action,
            "at_ms": each.at_ms,
            "who": each.act.who,
            "why": each.act.why,
            "state": refused.get(each.act.id) or ("in force" if each.act.id == used else ""),
        }
        for each in acts[:HISTORY_MAX]
    ]
