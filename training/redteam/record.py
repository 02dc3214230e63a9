"""What an attacker took past a model, kept in its bundle: a file for the gates, and a section of the model card.

The file is next to the card and like it no part of what names a bundle. **Delivery:** each is replaced in one step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from weir.inference.model_card import CARD_FILE, GATES_HEADING
from weir.schemas.errors import Refused
from weir.schemas.printable import to_json
from weir.training.redteam.game import Budget, Terms
from weir.training.redteam.view import build_markdown

RECORD_FILE: Final = "redteam.json"
CARD_HEADING: Final = "## Red team"
_AGAIN: Final = "`weir redteam --bundle FOLDER --record`"


@dataclass(frozen=True)
class Recorded:
    """What an attacker who learns took.

    Attributes:
        taken_usd: per 1,000 cards, by scenario.
        cards: of each game.
        terms: that it was played on; None where the file does not say them all.
    """

    taken_usd: Mapping[str, float]
    cards: int
    terms: Terms | None = None

    @property
    def mean_usd(self) -> float:
        """Per 1,000 cards, over all scenarios alike."""
        return sum(self.taken_usd.values()) / len(self.taken_usd)


def write_record(folder: Path, document: Mapping[str, Any], about: str) -> None:
    """Keep what was played in a bundle, in place of what was kept before.

    Args:
        folder: of the bundle.
        document: as ``view.build_document`` returns it.
        about: the command, when and on which machine.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / CARD_FILE
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, gates, after = card.partition(GATES_HEADING)
    before = head.partition(CARD_HEADING)[0].rstrip()
    section = f"{CARD_HEADING}\n\n{about}\n\n{build_markdown(dict(document)).rstrip()}\n"
    text = (f"{before}\n\n" if before else "") + section + (f"\n{gates}{after}" if gates else "")
    for name, content in ((RECORD_FILE, to_json(dict(document), indent=2) + "\n"), (CARD_FILE, text)):
        staging = folder / f".{name}.{os.getpid()}"
        staging.write_text(content, encoding="utf-8")
        staging.replace(folder / name)


def _read_terms(document: Mapping[str, Any]) -> Terms | None:
    budget, names = document["budget"], ("seed", "rules", "thresholds")
    if not all(name in document for name in names):  # of an earlier release
        return None
    seed, rules, thresholds = (document[name] for name in names)
    return Terms(Budget(int(budget["cards"]), float(budget["money_usd"])), int(seed), str(rules), str(thresholds))


def read_record(folder: Path, version: str) -> Recorded:
    """Return what was kept of a model.

    Args:
        folder: of the bundle.
        version: of the model.

    Raises:
        Refused: nobody has played, or the file is of another model or not right.
    """
    try:
        document = orjson.loads((folder / RECORD_FILE).read_bytes())
        if document["model_version"] != version:
            raise Refused(f"{RECORD_FILE} is of {document['model_version']:.80}: {_AGAIN} plays again")
        taken = {
            str(name): float(games["adaptive"]["per_thousand_cards_usd"])
            for name, games in document["scenarios"].items()
        }
        if not taken or not all(0 <= each < float("inf") for each in taken.values()):
            raise ValueError("no scenario, or an amount that is none")
        return Recorded(taken, int(document["budget"]["cards"]), _read_terms(document))
    except FileNotFoundError:
        raise Refused(f"nobody has played: {_AGAIN} does") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"{RECORD_FILE} of the bundle cannot be read: {_AGAIN} plays again") from None
