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
from weir.archive.whatif.show import build_tables
from weir.archive.whatif.trial import Asked, Bounds, find_failed, run_trial
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.published.cli import Tried
from weir.inference.published.gate import Gate
from weir.infra.settings import Settings
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import WeirError

_TABLES_SHOWN = 3
"""Decisions, flips and figures; `weir whatif` shows all."""


def try_first(settings: Settings, kind: str, content: Tried, before: Tried | None, *, quiet: bool) -> Sequence[Gate]:
    """Try what is to be published, show the outcome, and return the gates that it does not pass.

    Args:
        settings: of the stream.
        kind: of what is published.
        content: as it was read.
        before: what of the kind is in force, with which it is compared; None compares with what was decided.
        quiet: show nothing on the terminal.
    """
    days = settings.publishing.trial_days
    root = find_root(settings)
    against = None if before is None else _build_change(before)
    asked = Asked(since_ms=int(time.time() * 1_000) - days * DAY_MS, against=against)
    try:
        document = run_trial(settings, root, _build_change(content), asked)
    except WeirError as error:
        print_line(f"not tried on the past before it is published: {error}", sys.stderr)
        return []
    if not document["judged"]:
        print_line(f"not tried on the past before it is published: {'; '.join(document['notes'])}", sys.stderr)
        return []
    if not quiet:
        compared = "what was decided" if against is None else f"the {kind} in force now"
        print_line(f"tried on the decisions of the last {days} days, next to {compared}")
        print_tables(build_tables(document, event=settings.stream.event)[:_TABLES_SHOWN])
    own = settings.publishing
    bounds = Bounds(own.declined_points_max, own.good_hurt_percent_max, needs_labels=False)
    return list(find_failed(document, bounds))


def _build_change(content: Tried) -> Change:
    if isinstance(content, RuleSet):
        return Change(rules=content)
    return Change(lists=content) if isinstance(content, Lists) else Change(thresholds=content)
