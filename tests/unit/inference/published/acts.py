"""Acts of tests."""

from __future__ import annotations

import uuid
from typing import Any

from weir.inference.published.act import Act, Kind, Logged, compute_hash


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
