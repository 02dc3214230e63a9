"""The texts of what is published, and what differs between two."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

from weir.inference.published.act import NONE, Kind
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import rules_of
from weir.schemas.rules_text import write_rules
from weir.schemas.stream import Stream

DIFF_LINES_MAX = 2_000
_DECLARED = "declared"


def read_content(stream: Stream, publisher: Publisher, kind: Kind, content: str) -> tuple[str, str]:
    """Return the name and the text of a content; where rules are not published, those of the declaration decide.

    Raises:
        Refused: the text is no longer there.
        Transient: the brokers did not answer in time.
    """
    if content != NONE:
        return publisher.log.version(kind, content), publisher.read_text(kind, content)
    if kind == "rules":
        return _DECLARED, write_rules(rules_of(stream).rules)
    return "nothing published", ""


def diff_texts(before: str, after: str, old: str, new: str) -> list[str]:
    """Return the lines that differ between two texts of these names, as ``cut_lines`` does."""
    return cut_lines(difflib.unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm=""))


def cut_lines(lines: Iterable[str]) -> list[str]:
    """Return at most ``DIFF_LINES_MAX`` lines, and one that says how many are left out."""
    every = iter(lines)
    shown = list(islice(every, DIFF_LINES_MAX))
    left = sum(1 for _ in every)
    return [*shown, f"and {left:,} lines more, which are not shown"] if left else shown
