"""Writes the outcome of the gates into a bundle's model card, in place of what an earlier run of them said.

The card is no part of what names a bundle, so a card that is written again is still of the same bundle.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from weir.inference.published.gate import Gate

CARD_FILE: Final = "model_card.md"
_HEADING: Final = "## Gates"


def build_table(gates: Sequence[Gate]) -> str:
    """Return gates as a table in Markdown.

    >>> print(build_table([Gate("latency", True, "3.1 µs a row", "at most 20.0 µs")]))
    | gate | | found | wanted |
    |---|---|---|---|
    | latency | pass | 3.1 µs a row | at most 20.0 µs |
    """
    rows = [(gate.name, "pass" if gate.passed else "FAIL", gate.found, gate.wanted) for gate in gates]
    lines = ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join(["| gate | | found | wanted |", "|---|---|---|---|", *lines])


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
    before = path.read_text(encoding="utf-8").partition(_HEADING)[0] if path.is_file() else ""
    day = datetime.fromtimestamp(at_seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    against = f"against the champion {champion}" if champion else "while nothing decided"
    text = f"{before}{_HEADING}\n\nRun on {day}, {against}.\n\n{build_table(gates)}\n"
    staging = folder / f".{CARD_FILE}.{os.getpid()}"
    staging.write_text(text, encoding="utf-8")
    staging.replace(path)


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
