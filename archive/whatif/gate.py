"""Tries what is published on the newest past first, and refuses what goes further than the bounds of the project.

Only a trial that was made can refuse: without an archive, or where it cannot be read, one sentence says so, and what
was asked for is published. A rule that stops an attack must not wait for a disk.
"""

from __future__ import annotations

import sys
import time

from weir.archive.run import find_root
from weir.archive.whatif.in_force import Change
from weir.archive.whatif.show import build_tables
from weir.archive.whatif.trial import Asked, Bounds, find_faults, run_trial
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.published.cli import Tried
from weir.infra.settings import Settings
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused, WeirError

_TABLES_SHOWN = 3
"""Decisions, flips and figures; `weir whatif` shows all."""


def try_first(settings: Settings, kind: str, content: Tried, before: Tried | None, *, force: str, quiet: bool) -> bool:
    """Try what is to be published, show the outcome, and return whether it goes too far and is forced.

    Args:
        settings: of the stream.
        kind: of what is published.
        content: as it was read.
        before: what of the kind is in force, with which it is compared; None compares with what was decided.
        force: why it is published although it goes too far; empty to refuse it then.
        quiet: show nothing on the terminal.

    Raises:
        Refused: it goes too far.
    """
    days = settings.publishing.trial_days
    root = find_root(settings)
    against = None if before is None else _build_change(before)
    asked = Asked(since_ms=int(time.time() * 1_000) - days * DAY_MS, against=against)
    try:
        document = run_trial(settings, root, _build_change(content), asked)
    except WeirError as error:
        print_line(f"not tried on the past before it is published: {error}", sys.stderr)
        return False
    if not document["judged"]:
        print_line(f"not tried on the past before it is published: {'; '.join(document['notes'])}", sys.stderr)
        return False
    if not quiet:
        compared = "what was decided" if against is None else f"the {kind} in force now"
        print_line(f"tried on the decisions of the last {days} days, next to {compared}")
        print_tables(build_tables(document, event=settings.stream.event)[:_TABLES_SHOWN])
    own = settings.publishing
    bounds = Bounds(own.declined_points_max, own.good_hurt_percent_max, needs_labels=False)
    faults = list(find_faults(document, bounds))
    if faults and not force:
        raise Refused(
            "\n".join(
                [*faults, f"{kind}: nothing was published; change them, or say why they are right with --force WHY"]
            )
        )
    return bool(faults)


def _build_change(content: Tried) -> Change:
    if isinstance(content, RuleSet):
        return Change(rules=content)
    return Change(lists=content) if isinstance(content, Lists) else Change(thresholds=content)
