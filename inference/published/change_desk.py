"""What the desks of rules and of lists share: what they are bound to, and taking a version back."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from weir.inference.published.author import check_said
from weir.inference.published.opened import OpenPublisher, describe_act, find_version
from weir.inference.published.proposals.desk import ProposalsDesk
from weir.inference.published.trials import Trials
from weir.infra.settings import Settings


class ChangeDesk:
    """What one kind is changed through.

    Attributes:
        kind: of what is changed.
        proposals: what was proposed of it.
    """

    kind: ClassVar[Literal["rules", "lists"]]

    def __init__(self, settings: Settings, opened: OpenPublisher, trials: Trials) -> None:
        """Bind to what is published.

        Args:
            settings: of the stream.
            opened: what is published of it; other desks may share it.
            trials: likewise, of the stream.
        """
        self._settings, self._opened, self._trials = settings, opened, trials
        self.proposals = ProposalsDesk(settings, opened, self.kind)

    def roll_back(self, version: str, *, who: str, why: str) -> dict[str, Any]:
        """Put a version in force again, or with ``none`` what is in force where nothing is published; it is not tried.

        Raises:
            UnknownVersion: there is no such version.
            Refused: it is not right for the stream as it is declared now, or who or why is empty or too long.
            Transient: the brokers did not take it.
        """
        check_said(who, why)
        with self._opened.use() as publisher:
            publisher.who, publisher.why = who, why
            return describe_act(publisher.roll_back(self.kind, find_version(publisher, self.kind, version)))

    def close(self) -> None:
        """Disconnect."""
        self._opened.close()
