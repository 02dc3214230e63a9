"""Finds what is in force: the newest act of each kind whose content can be used. Pure but for what builds contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weir.inference.published.act import KINDS, NONE, Kind, Logged
from weir.inference.published.content import Standing
from weir.inference.published.log import PublishedLog
from weir.schemas.errors import Refused, Transient

Build = Callable[[Kind, Sequence[Logged]], Any]


class NotHere(Refused):
    """What a content needs is not on this host yet: it is looked for again with every look, and told once."""


class Settler:
    """Keeps what is in force up to date with a log; each act that cannot be used is told once.

    Attributes:
        standing: what is in force.
        refused: why acts cannot be used, by their ids.
    """

    def __init__(self, build: Build, on_refused: Callable[[Logged, str], None]) -> None:
        """Begin with nothing in force.

        Args:
            build: makes a content of its steps; raises ``Refused`` for one that is not right.
            on_refused: told of an act whose content is refused, and why.
        """
        self._build = build
        self._on_refused = on_refused
        self.refused: dict[str, str] = {}
        self._not_here: set[str] = set()
        self.standing = Standing()

    def settle(self, log: PublishedLog) -> list[Kind]:
        """Take over what is in force by the log; return the kinds of which it is another.

        Raises:
            Transient: a content could not be read just now; kinds before it are taken over.
        """
        return [kind for kind in KINDS if self._settle_kind(log, kind)]

    def _settle_kind(self, log: PublishedLog, kind: Kind) -> bool:
        now = self.standing.content(kind)
        for logged in log.candidates(kind):
            if logged.act.id in self.refused and logged.act.id not in self._not_here:
                continue
            content = logged.act.hash
            if content == now:
                return False
            try:
                value = None if content == NONE else self._build(kind, log.steps(kind, content))
            except Transient:
                raise
            except Exception as error:  # noqa: BLE001 - a text may find a fault of ours; it ends no process that decides
                self._refuse(logged, error)
                continue
            self._not_here.discard(logged.act.id)
            self.refused.pop(logged.act.id, None)
            self.standing = self.standing.put(kind, content, value)
            return True
        return False  # none can be used: what is in force stays

    def _refuse(self, logged: Logged, error: Exception) -> None:
        reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__} while it was read"
        if isinstance(error, NotHere):
            self._not_here.add(logged.act.id)
        else:
            self._not_here.discard(logged.act.id)
        is_told = self.refused.get(logged.act.id) == reason
        self.refused[logged.act.id] = reason
        if not is_told:
            self._on_refused(logged, reason)
