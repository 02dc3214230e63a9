"""``weir models watch``: a guard on the canary in force, which rolls it back by an act that the history shows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from rich.console import Console

from weir.inference.bundle import Manifest
from weir.inference.published import bundles
from weir.inference.published.publish import Publisher
from weir.inference.published.view import show_act
from weir.infra.settings import Settings
from weir.monitoring.terminal import print_line
from weir.schemas.errors import Refused, Transient
from weir.training.choosing.guard import Guard
from weir.training.choosing.publishing import take_back
from weir.training.choosing.watch import follow_decisions, read_decisions, watch
from weir.training.drift.reference import FIELD, Reference, read_reference


def watch_canary(
    settings: Settings,
    publisher: Publisher,
    *,
    declined_points_max: float,
    as_json: bool,
    is_enough: Callable[[Guard], bool] = lambda _: False,
) -> int:
    """Watch the canary in force. Exit codes: 0 somebody ended it, or it was enough; 1 it was rolled back.

    Args:
        settings: of the stream.
        publisher: that rolls back.
        declined_points_max: by how many percentage points more may be declined.
        as_json: how an act is shown.
        is_enough: whether the canary decided enough; asked about once a second.

    Raises:
        Refused: there is none.
        Transient: the brokers or the registry are unreachable at the start, or the brokers when it has to go.
    """
    content = publisher.standing.content("canary")
    canary, champion = (bundles.find_role(settings, publisher, alias) for alias in ("canary", "champion"))
    if canary is None or champion is None:
        raise Refused(
            "expected a canary in force, found none; `weir models canary VERSION --share 5% --why WHY` publishes one"
        )
    began_ms = publisher.log.history("canary")[-1].at_ms
    of = canary.manifest
    guard = Guard(find_reference(champion.manifest), find_reference(of), declined_points_max=declined_points_max)

    def is_over() -> bool:
        with suppress(Transient):  # what was in force stays; it is asked again in a second
            publisher.published.look()
        status.update(guard.say())
        return publisher.standing.content("canary") != content or is_enough(guard)

    read = partial(read_decisions, version=(of.name, of.version), key=settings.stream.key.field)
    batches = follow_decisions(settings, began_ms)
    try:
        with Console(stderr=True).status("watching the canary") as status:
            reason = watch(guard, batches, read, is_over)
    except BaseException:
        sys.stderr.write("the canary decides on and nobody watches it: `weir models watch` does, or end it with "
                         "`weir models rollback --alias canary --why WHY`\n")  # fmt: skip
        raise
    finally:
        batches.close()
    print_line(guard.say(), sys.stderr if as_json else None)
    if not reason:
        return 0
    publisher.published.look()
    if publisher.standing.content("canary") != content:
        return 0  # somebody ended it since the last look
    publisher.why = f"guard: {reason}"
    show_act(take_back(settings, publisher, "canary"), as_json=as_json)
    if not as_json:
        print_line(publisher.why)
    return 1


def find_reference(manifest: Manifest) -> Reference | None:
    """Return the reference of a bundle, where it has one: without it the scores are not judged."""
    given = (manifest.model_extra or {}).get(FIELD)
    return None if given is None else read_reference(given, manifest.version)
