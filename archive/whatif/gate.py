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


def try_first(settings: Settings, kind: str, content: Tried, *, force: str, quiet: bool) -> str:
    """Try what is to be published, show the outcome, and return what is added to its ``why``.

    Args:
        settings: of the stream.
        kind: of what is published.
        content: as it was read.
        force: why it is published although it goes too far; empty to refuse it then.
        quiet: show nothing on the terminal.

    Raises:
        Refused: it goes too far.
    """
    days = settings.publishing.trial_days
    root = find_root(settings)
    asked = Asked(since_ms=int(time.time() * 1_000) - days * DAY_MS)
    try:
        document = run_trial(settings, root, _build_change(content), asked)
    except WeirError as error:
        print_line(f"not tried on the past before it is published: {error}", sys.stderr)
        return ""
    if not document["judged"]:
        print_line(f"not tried on the past before it is published: {'; '.join(document['notes'])}", sys.stderr)
        return ""
    if not quiet:
        print_line(f"tried on the decisions of the last {days} days")
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
    return f"forced: {force}" if faults else ""


def _build_change(content: Tried) -> Change:
    if isinstance(content, RuleSet):
        return Change(rules=content)
    return Change(lists=content) if isinstance(content, Lists) else Change(thresholds=content)
