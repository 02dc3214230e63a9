"""Rules, lists and thresholds that were published, from files: what decided then, where something else decides now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weir.inference.bundle import load_lists
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable, read_thresholds
from weir.inference.published.act import VERSION_DIGITS, compute_hash
from weir.inference.published.content import read_json
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream


@dataclass(frozen=True)
class Given:
    """Files of what was published, as the commands that show a version print it; None for what is in force here."""

    rules: Path | None = None
    lists: Path | None = None
    thresholds: Path | None = None

    def read_rules(self, stream: Stream) -> RuleSet:
        """Return the rules; raises ``Refused`` for a file with a fault."""
        return read_rules(_read(self.rules), stream, str(self.rules)) if self.rules else rules_of(stream)

    def read_lists(self, settings: Settings) -> Lists:
        """Return the lists; raises ``Refused`` for a file with a fault."""
        if self.lists is None:
            return load_lists(settings)
        return parse_lists(read_json(_read(self.lists), "lists"), tuple(settings.stream.id_field_of))

    def read_thresholds(self, stream: Stream, rules_version: str) -> ThresholdTable | None:
        """Return the thresholds; raises ``Refused`` for a file with a fault.

        Args:
            stream: of the decision.
            rules_version: of the decision; a text may have been printed with a line's end more than it was published.
        """
        if self.thresholds is None:
            return None
        text = _read(self.thresholds)
        versions = [compute_hash([each])[:VERSION_DIGITS] for each in (text, text.rstrip("\n"))]
        version = next((each for each in versions if rules_version.endswith(each)), versions[0])
        return read_thresholds(read_json(text, "thresholds"), stream, version)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refused(f"expected text in {path}, found other bytes") from None
