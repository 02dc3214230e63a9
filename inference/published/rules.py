"""Reads the text of rules. Until a stream's rules have a text, none can be published."""

from __future__ import annotations

from weir.inference.core.rules import RuleSet
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream


def read_rules(text: str, stream: Stream, name: str) -> RuleSet:
    """Return the rules of a text.

    Raises:
        Refused: always, in this release.
    """
    del text, name
    raise Refused(f"rules of {stream.name}: this release takes them from the stream's declaration alone")
