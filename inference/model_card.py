"""The model card in a bundle's folder, and the table of the gates in it: written by training, read by the API. Pure.

The card is no part of what names a bundle, so a card that is written again is still of the same bundle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from weir.inference.published.gate import Gate

CARD_FILE: Final = "model_card.md"
DRIFT_FILE: Final = "drift.json"
QUALITY_FILE: Final = "quality.json"
"""Of a stream, next to its bundles: what `weir quality` found last."""
"""Next to the card: what ``weir monitor`` found last in the decisions of the model."""
GATES_HEADING: Final = "## Gates"
_CELL_ENDS: Final = re.compile(r"(?<!\\)\|")
_COLUMNS: Final = 4
_PASS, _FAIL = "pass", "FAIL"


@dataclass(frozen=True)
class Card:
    """A model card, read.

    Attributes:
        text: all of it but the gates, Markdown.
        gates: of the last run of them; none where there was none.
        gates_run: when that was and against what, in words.
    """

    text: str
    gates: tuple[Gate, ...] = ()
    gates_run: str = ""


def build_table(gates: Sequence[Gate]) -> str:
    """Return gates as a table in Markdown.

    >>> print(build_table([Gate("latency", True, "3.1 µs a row", "at most 20.0 µs")]))
    | gate | | found | wanted |
    |---|---|---|---|
    | latency | pass | 3.1 µs a row | at most 20.0 µs |
    """
    rows = [(gate.name, _PASS if gate.passed else _FAIL, gate.found, gate.wanted) for gate in gates]
    lines = ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join(["| gate | | found | wanted |", "|---|---|---|---|", *lines])


def parse_card(text: str) -> Card:
    r"""Read a card, with the gates of any release that wrote some.

    >>> gate = Gate("leakage", False, "0.98", "at most 0.97")
    >>> card = parse_card(f"# fraud 1\n\n## Gates\n\nRun on a day.\n\n{build_table([gate])}")
    >>> card.text, card.gates_run, card.gates == (gate,)
    ('# fraud 1', 'Run on a day.', True)
    """
    before, _, after = text.partition(GATES_HEADING)
    lines = [line.strip() for line in after.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("|")]
    return Card(before.strip(), tuple(_parse_gates(lines)), " ".join(said))


def _parse_gates(lines: Sequence[str]) -> Iterator[Gate]:
    for line in lines:
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL_ENDS.split(line)[1:-1]]
        if len(cells) == _COLUMNS and cells[1] in {_PASS, _FAIL}:
            yield Gate(cells[0], cells[1] == _PASS, cells[2], cells[3])


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
