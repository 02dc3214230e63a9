"""Acts of tests."""

from __future__ import annotations

import uuid
from typing import Any

from weir.inference.published.act import NONE, Act, Kind, Logged, compute_hash
from weir.inference.published.proposals.record import Proposal, Rejection

UNTIL_MS = 2_000_000_000_000
"""Of proposals."""


def build_act(kind: Kind, text: str | None, *, action: Any = "publish", parent: str = "", **given: Any) -> Act:
    """Return an act by which a text comes into force; without one it is a rollback to ``hash``."""
    told: dict[str, Any] = {"hash": compute_hash([text], parent=parent)} if text is not None else {}
    if text is None and "parts" not in given:
        told = {"action": "rollback"}
    fields = {"id": uuid.uuid4().hex, "kind": kind, "action": action, "who": "ada", "why": "a test", "parent": parent}
    return Act(**(fields | {"text": text} | told | given))


def log_act(act: Act, offset: int = 0) -> Logged:
    """Return an act as it stands in a log."""
    return Logged(act, offset, 1_760_000_000_000 + offset)


def build_proposal(text: str = "rules: []", **more: Any) -> Proposal:
    """Return a proposal of rules."""
    told: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "kind": "rules",
        "action": "publish",
        "base": NONE,
        "until_ms": UNTIL_MS,
    }
    return Proposal(**(told | {"hash": compute_hash([text]), "text": text, "who": "ada", "why": "a test"} | more))


def build_rejection(proposal: Proposal) -> Rejection:
    """Return that somebody says no to one."""
    return Rejection(id=uuid.uuid4().hex, of=proposal.id, kind=proposal.kind, who="ben", why="no")
