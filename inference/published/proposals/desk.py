"""The proposals of a stream for a process that serves: shown with what they would change, approved and rejected."""

from __future__ import annotations

import time
from typing import Any, Literal

from weir.inference.published.opened import OpenPublisher, describe_act
from weir.inference.published.proposals.difference import list_proposals
from weir.inference.published.proposals.settling import approve, reject
from weir.infra.settings import Settings

SHOWN_MAX = 50


class ProposalsDesk:
    """The proposals of one kind."""

    def __init__(self, settings: Settings, opened: OpenPublisher, kind: Literal["rules", "lists"]) -> None:
        """Bind to what is published.

        Args:
            settings: of the stream.
            opened: what is published of it; other desks share it.
            kind: of what is proposed.
        """
        self._settings, self._opened, self._kind = settings, opened, kind

    def show(self) -> dict[str, Any]:
        """Return what was proposed, the newest first, and of what waits what it would change.

        Raises:
            Refused: a text is no longer there.
            Transient: the brokers did not answer in time.
        """
        now_ms = int(time.time() * 1_000)
        with self._opened.use() as publisher:
            found = list_proposals(self._settings, publisher, self._kind, now_ms, proposals_max=SHOWN_MAX)
        return {"proposals": found}

    def approve(self, proposal_id: str, *, who: str, why: str) -> dict[str, Any]:
        """Put a proposal in force; raises as ``settling.approve``."""
        with self._opened.use() as publisher:
            act = approve(self._settings, publisher, self._kind, proposal_id, who=who, why=why)
            return describe_act(act) | {"proposal": act.id}

    def reject(self, proposal_id: str, *, who: str, why: str) -> dict[str, Any]:
        """Say no to a proposal; raises as ``settling.reject``."""
        with self._opened.use() as publisher:
            proposal = reject(publisher, self._kind, proposal_id, who=who, why=why)
            return {"version": proposal.version, "action": "reject", "proposal": proposal.id}
