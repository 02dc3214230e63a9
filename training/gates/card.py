"""Writes the outcome of the gates into a bundle's model card, in place of what an earlier run of them said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from weir.inference.model_card import CARD_FILE, GATES_HEADING, build_table
from weir.inference.published.gate import Gate


def write_gates(folder: Path, gates: Sequence[Gate], champion: str, *, at_seconds: float) -> None:
    """Put the gates at the end of a bundle's card, which is made where there is none.

    Args:
        folder: of the bundle.
        gates: every one.
        champion: version of what decided then; empty where nothing did.
        at_seconds: when they were run, UTC.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / CARD_FILE
    before = path.read_text(encoding="utf-8").partition(GATES_HEADING)[0] if path.is_file() else ""
    day = datetime.fromtimestamp(at_seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    against = f"against the champion {champion}" if champion else "while nothing decided"
    text = f"{before}{GATES_HEADING}\n\nRun on {day}, {against}.\n\n{build_table(gates)}\n"
    staging = folder / f".{CARD_FILE}.{os.getpid()}"
    staging.write_text(text, encoding="utf-8")
    staging.replace(path)
