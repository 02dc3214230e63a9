"""A trained model next to the one that decides: first as a shadow, then as a canary, each until it decided enough.

Both are published by what ``weir models`` publishes with, and judged by the guard of canaries. A shadow sees every
event that the champion sees: what it would have declined is held against what the champion's score would have, and
rules and lists are left out on both sides.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyarrow as pa

from weir.inference.published import bundles
from weir.inference.published.act import NONE, Alias
from weir.inference.published.canary_text import CanaryText
from weir.inference.published.publish import Publisher
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.training.choosing.guard import Decision, Guard
from weir.training.choosing.publishing import publish_bundle, take_back
from weir.training.choosing.watch import follow_decisions, watch
from weir.training.choosing.watching import find_reference, watch_canary
from weir.training.drift.reference import KEYS_MIN
from weir.training.gates.archived import Archive
from weir.training.thresholds import Thresholds

ENDED: Final = "somebody ended the {}"
_NAN: Final = float("nan")
_ENDS: Final[dict[Alias, str]] = {
    "shadow": "`weir models rollback --alias shadow --why WHY`",
    "canary": "`weir models rollback --alias canary --why WHY`",
}


@dataclass(frozen=True)
class Enough:
    """When a model has been watched for long enough.

    Attributes:
        decisions: of it.
        patience_seconds: how long to wait for them.
        monotonic: seconds.
    """

    decisions: int
    patience_seconds: float
    monotonic: Callable[[], float] = time.monotonic

    def start(self) -> Callable[[Guard], bool]:
        """Return what says whether it is over, from now on."""
        until = self.monotonic() + self.patience_seconds
        return lambda guard: self.is_reached(guard) or self.monotonic() > until

    def is_reached(self, guard: Guard) -> bool:
        """Return whether the model decided enough."""
        return guard.canary.rows >= self.decisions and min(len(guard.canary.keys), len(guard.champion.keys)) >= KEYS_MIN

    def lack(self, guard: Guard) -> str:
        """Return what there was too little of; empty where it was enough."""
        if self.is_reached(guard):
            return ""
        return f"expected {self.decisions:,} decisions in {self.patience_seconds:,.0f} s, found {guard.canary.rows:,}"


@dataclass(frozen=True)
class Pair:
    """What is watched.

    Attributes:
        chosen: the bundle that was trained.
        champion: that decides.
        cut: thresholds that are published and stand before those of both; None where none are.
    """

    chosen: bundles.Listed
    champion: bundles.Listed
    cut: Thresholds | None

    def thresholds(self, of: bundles.Listed) -> Thresholds:
        """Return by what a model decides."""
        own = of.manifest.thresholds
        return self.cut or Thresholds(own.review, own.decline)


def run_shadow(
    settings: Settings, publisher: Publisher, pair: Pair, archive: Archive, enough: Enough
) -> tuple[str, str]:
    """Have the bundle scored next to what decides, and end it; return why it must stop, and what was found.

    One that was in force and is not any more is not published again: a person or a guard took it back.

    Raises:
        Refused: another shadow is in force.
    """
    if not is_in_force(settings, publisher, "shadow", pair.chosen):
        if bundles.was_published(publisher, "shadow", pair.chosen.content):
            return ENDED.format("shadow"), build_guard(settings, pair).say().replace("canary:", "shadow:")
        publish_bundle(settings, publisher, "shadow", pair.chosen, pair.chosen.text, archive)
    began_ms = publisher.log.history("shadow")[-1].at_ms
    guard = build_guard(settings, pair)
    batches = follow_decisions(settings, began_ms)
    is_over = enough.start()
    try:
        read = partial(read_shadow, pair=pair, key=settings.stream.key.field)
        reason = watch(guard, batches, read, lambda: is_over(guard))
    finally:
        batches.close()
    take_back(settings, publisher, "shadow")
    return reason or enough.lack(guard), guard.say().replace("canary:", "shadow:")


def run_canary(
    settings: Settings, publisher: Publisher, pair: Pair, archive: Archive, enough: Enough, *, share: float
) -> tuple[str, str]:
    """Have the bundle decide for a share of the keys; return why it must stop, and what was found.

    One that decided enough stays in force until it is promoted. One that was in force and is not any more is not
    published again: a person or a guard took it back.

    Raises:
        Refused: another canary is in force.
    """
    if not is_in_force(settings, publisher, "canary", pair.chosen):
        if bundles.was_published(publisher, "canary", pair.chosen.content):
            return ENDED.format("canary"), build_guard(settings, pair).say()
        text = CanaryText(manifest=pair.chosen.text, share=share, seed=uuid.uuid4().hex).model_dump_json()
        publish_bundle(settings, publisher, "canary", pair.chosen, text, archive)
    is_over = enough.start()
    seen: list[Guard] = []

    def is_enough(guard: Guard) -> bool:
        seen[:] = [guard]
        return is_over(guard)

    most = settings.publishing.declined_points_max
    code = watch_canary(settings, publisher, declined_points_max=most, as_json=False, is_enough=is_enough)
    guard = seen[0] if seen else build_guard(settings, pair)
    if code:
        return publisher.why, guard.say()
    if not is_in_force(settings, publisher, "canary", pair.chosen):
        return ENDED.format("canary"), guard.say()
    if lack := enough.lack(guard):
        publisher.why = lack
        take_back(settings, publisher, "canary")
    return lack, guard.say()


def is_in_force(settings: Settings, publisher: Publisher, alias: Alias, chosen: bundles.Listed) -> bool:
    """Return whether an alias names a bundle.

    Raises:
        Refused: it names another one.
    """
    if publisher.standing.content(alias) == NONE:
        return False
    found = bundles.find_role(settings, publisher, alias)
    if found is None or found.content != chosen.content:
        raise Refused(f"expected no {alias} of somebody else, found one in force; {_ENDS[alias]} ends it")
    return True


def build_guard(settings: Settings, pair: Pair) -> Guard:
    """Return the guard of a pair, with nothing decided."""
    references = (find_reference(each.manifest) for each in (pair.champion, pair.chosen))
    return Guard(*references, declined_points_max=settings.publishing.declined_points_max)


def read_shadow(batch: pa.RecordBatch, pair: Pair, key: str) -> Iterator[Decision]:
    """Yield two decisions for each row that the shadow saw: by its score, and by the champion's."""
    chosen = pair.chosen.manifest.name, pair.chosen.manifest.version
    ours, theirs = (pair.thresholds(each).decline for each in (pair.chosen, pair.champion))
    names = (key, "shadow_model_name", "shadow_model_version", "shadow_score", "score")
    for owner, name, version, shadow, score in zip(*(batch[each].to_pylist() for each in names), strict=True):
        if (name, version) != chosen:
            continue
        for by_canary, found, decline in ((True, shadow, ours), (False, score, theirs)):
            is_missing = found is None
            declined = not is_missing and found >= decline
            yield Decision(str(owner), by_canary, declined, is_missing, _NAN if is_missing else found)
