"""Tries what is published on the newest past first, and says which bounds of the project it exceeds.

Only a trial that was made can refuse: without an archive, or where it cannot be read, one sentence says so, and what
was asked for is published. A rule that stops an attack must not wait for a disk.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from weir.archive.run import find_root
from weir.archive.whatif.in_force import Change
from weir.archive.whatif.show import Document, build_tables
from weir.archive.whatif.trial import Asked, Bounds, find_failed, run_trial
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.published.cli import Tried
from weir.inference.published.gate import Gate, Trial
from weir.infra.settings import Settings
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import WeirError

_FIGURES = ("judged", "decided", "would_be", "declined_points", "flips", "notes")
_TABLES_SHOWN = 3
"""Decisions, flips and figures; `weir whatif` shows all."""


def try_first(settings: Settings, kind: str, content: Tried, before: Tried | None, *, quiet: bool) -> Trial:
    """Try what is to be published, show the outcome, and return it.

    Args:
        settings: of the stream.
        kind: of what is published.
        content: as it was read.
        before: what of the kind is in force, with which it is compared; None compares with what was decided.
        quiet: show nothing on the terminal.
    """
    failed, note, document = run_gates(settings, content, before)
    if document is None:
        print_line(f"not tried on the past before it is published: {note}", sys.stderr)
        return build_trial([], note, None)
    if not quiet:
        compared = "what was decided" if before is None else f"the {kind} in force now"
        days = settings.publishing.trial_days
        print_line(f"tried on the decisions of the last {days} days, next to {compared}")
        print_tables(build_tables(document, event=settings.stream.event)[:_TABLES_SHOWN])
    return build_trial(failed, note, document)


def build_trial(failed: Sequence[Gate], note: str, document: Document | None) -> Trial:
    """Return what ``run_gates`` came to, with the figures that answers show."""
    figures = None
    if document is not None:
        money = document["figures"]
        hurt = {"good_hurt_percent": None if money is None else money["good_hurt_percent"]}
        figures = {name: document[name] for name in _FIGURES} | hurt
    return Trial(note, tuple((gate.name, gate.found) for gate in failed), figures)


def run_gates(settings: Settings, content: Tried, before: Tried | None) -> tuple[Sequence[Gate], str, Document | None]:
    """Try what is to be published, and return the gates that it does not pass.

    Returns:
        The gates; why it was not tried, which refuses nothing; and the outcome, where it was.
    """
    against = None if before is None else _build_change(before)
    asked = Asked(since_ms=int(time.time() * 1_000) - settings.publishing.trial_days * DAY_MS, against=against)
    try:
        document = run_trial(settings, find_root(settings), _build_change(content), asked)
    except WeirError as error:
        return [], str(error), None
    if not document["judged"]:
        return [], "; ".join(document["notes"]), None
    own = settings.publishing
    bounds = Bounds(own.declined_points_max, own.good_hurt_percent_max, needs_labels=False)
    return list(find_failed(document, bounds)), "", document


def _build_change(content: Tried) -> Change:
    if isinstance(content, RuleSet):
        return Change(rules=content)
    return Change(lists=content) if isinstance(content, Lists) else Change(thresholds=content)
