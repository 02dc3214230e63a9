"""The proposals of a stream, and how each of them stands. Pure.

waiting ── an act with its id ──────────> approved
   │ ───── somebody says no ────────────> rejected
   └ ───── its time ends ───────────────> expired

The first of the three counts. What is approved is in the log of acts: a process that knows no proposals takes it over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from weir.inference.published.act import Kind
from weir.inference.published.proposals.record import Proposal, Rejection
from weir.schemas.errors import Refused

State = Literal["waiting", "approved", "rejected", "expired"]
_PREFIX_MIN = 4


@dataclass(frozen=True)
class Proposed:
    """A proposal where it stands.

    Attributes:
        at_ms: when the broker appended it, UTC epoch ms.
        rejected: who said no, and why; and when.
    """

    proposal: Proposal
    at_ms: int
    rejected: tuple[Rejection, int] | None = None


class ProposalBook:
    """What was proposed, in order."""

    def __init__(self, has_act: Callable[[str], bool]) -> None:
        """Begin with nothing proposed.

        Args:
            has_act: tells whether the act of an id is in the log.
        """
        self._has_act = has_act
        self._proposed: dict[str, Proposed] = {}

    def take(self, record: Proposal | Rejection, at_ms: int) -> bool:
        """Take the next record; False for one that is there already, or that comes too late to count.

        Raises:
            Refused: it says no to what was not proposed.
        """
        if isinstance(record, Proposal):
            if record.id in self._proposed or self._has_act(record.id):
                return False
            self._proposed[record.id] = Proposed(record, at_ms)
            return True
        found = self._proposed.get(record.of)
        if found is None or found.proposal.kind != record.kind:
            raise Refused(f"expected to reject {record.kind} that were proposed, found {record.of[:8]}")
        if found.rejected is not None or self._has_act(record.of):
            return False
        self._proposed[record.of] = Proposed(found.proposal, found.at_ms, (record, at_ms))
        return True

    def has(self, proposal_id: str) -> bool:
        """Tell whether there is a proposal of that id."""
        return proposal_id in self._proposed

    def is_rejected(self, proposal_id: str) -> bool:
        """Tell whether somebody said no to a proposal before it was approved."""
        found = self._proposed.get(proposal_id)
        return found is not None and found.rejected is not None

    def state(self, proposed: Proposed, now_ms: int) -> State:
        """Return how a proposal stands at a time."""
        if self._has_act(proposed.proposal.id):
            return "approved"
        if proposed.rejected is not None:
            return "rejected"
        return "expired" if now_ms >= proposed.proposal.until_ms else "waiting"

    def list(self, kind: Kind) -> list[Proposed]:
        """Return the proposals of a kind, the newest first."""
        return [each for each in self._proposed.values() if each.proposal.kind == kind][::-1]

    def find(self, kind: Kind, proposal_id: str) -> Proposed | None:
        """Return the proposal of a kind that an id, or the beginning of one, names; None for none or several."""
        if len(proposal_id) < _PREFIX_MIN:
            return None
        found = [each for each in self.list(kind) if each.proposal.id.startswith(proposal_id)]
        return found[0] if len(found) == 1 else None
