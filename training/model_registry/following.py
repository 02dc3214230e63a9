"""Keeps MLflow's aliases at what is published, and finds the ones that a person moved there.

What is published decides. Nothing here publishes, and an alias that a person moved is not moved back unless the command
that does it says so.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from weir.inference.published import bundles
from weir.inference.published.act import ALIASES, NONE, Alias
from weir.inference.published.publish import Publisher
from weir.infra.settings import Settings
from weir.schemas.errors import WeirError
from weir.training.model_registry.aliases import NAMES, Verdict, judge
from weir.training.model_registry.store import ModelRegistry, Registered, open_registry
from weir.training.tracking import has_store


@dataclass(frozen=True)
class Seen:
    """An alias as it was found.

    Attributes:
        published: content that is in force; ``none`` for nothing.
        wanted: content that a person moved it to, where the verdict says that one did.
        number: of the version in MLflow that is wanted; empty for none.
    """

    alias: Alias
    verdict: Verdict
    published: str
    wanted: str
    number: str


def follow(settings: Settings, publisher: Publisher, acted: Collection[Alias]) -> None:
    """Move MLflow's aliases after something was published; what cannot be done is said and stops nobody.

    Args:
        settings: of the stream.
        publisher: that has published.
        acted: what it was about: there the command goes before an alias that a person moved.
    """
    if not has_store(settings):
        return
    try:
        with open_registry(settings) as registry:
            register(registry, [each for each in find_all(settings, publisher).values() if each is not None])
            for seen in look(settings, publisher, registry):
                if seen.verdict in {Verdict.AGREED, Verdict.BEHIND} or seen.alias in acted:
                    put(registry, seen)
                else:
                    _tell(
                        f"{_call(seen.alias)} was moved in MLflow, which nobody took over yet: `weir models sync` does"
                    )
    except WeirError as error:
        _tell(f"{error}; it is published all the same, and `weir models sync` moves the alias later")


def register(registry: ModelRegistry, found: Sequence[bundles.Listed]) -> None:
    """Register the bundles that are not registered, oldest first."""
    known = registry.read().versions
    for each in sorted(found, key=lambda bundle: bundle.manifest.created_time_ms):
        if each.content not in known:
            registry.add(each)


def look(settings: Settings, publisher: Publisher, registry: ModelRegistry) -> list[Seen]:
    """Return each alias as it is now."""
    registered = registry.read()
    contents = {alias: found.content if found else NONE for alias, found in find_all(settings, publisher).items()}
    return [_judge(alias, contents[alias], registered) for alias in ALIASES]


def put(registry: ModelRegistry, seen: Seen) -> None:
    """Have an alias name what is published, and say so where it named something else."""
    if seen.verdict is Verdict.AGREED:
        return
    registered = registry.read()
    registry.move(seen.alias, seen.published, registered)
    number = registered.versions.get(seen.published)
    now = f"version {number}" if number else "nothing"
    before = "" if seen.verdict is Verdict.BEHIND else f", and not {_name(seen)}, where it was moved in MLflow"
    _tell(f"MLflow: {_call(seen.alias)} of {registry.name} names {now}{before}")


def find_all(settings: Settings, publisher: Publisher) -> dict[Alias, bundles.Listed | None]:
    """Return what is in force under each alias."""
    return {alias: bundles.find_role(settings, publisher, alias) for alias in ALIASES}


def _judge(alias: Alias, published: str, registered: Registered) -> Seen:
    verdict, wanted = judge(published, registered.mark(alias), registered.named(alias))
    return Seen(alias, verdict, published, wanted, registered.versions.get(wanted, ""))


def _name(seen: Seen) -> str:
    return f"version {seen.number}" if seen.number else "nothing" if seen.wanted == NONE else seen.wanted


def _call(alias: Alias) -> str:
    return " and ".join(NAMES[alias])


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
