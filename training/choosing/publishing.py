"""Publishes the bundles that a stream decides by."""

from __future__ import annotations

import re
from typing import Final

from weir.inference.published import bundles
from weir.inference.published.act import NONE, Act, Alias
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules
from weir.infra.settings import Settings
from weir.training.gates.archived import Archive
from weir.training.model_registry.following import follow

_LABEL: Final = re.compile(r"[0-9A-Za-z]{1,40}")
"""A version that an act can carry as it is; another one is called by the beginning of its hash."""
_TAKEN_OVER: Final = "taken over from the champion link"


def publish_bundle(
    settings: Settings, publisher: Publisher, alias: Alias, chosen: bundles.Listed, text: str, archive: Archive
) -> Act:
    """Publish a bundle under an alias, keep it where other hosts find it, and move MLflow's alias.

    Args:
        settings: of the stream.
        publisher: that writes the act.
        alias: that names the bundle from then on.
        chosen: the bundle.
        text: of the act.
        archive: of the deployment.
    """
    act = _publish(settings, publisher, alias, chosen, text, archive)
    follow(settings, publisher, {alias})
    return act


def take_back(settings: Settings, publisher: Publisher, alias: Alias, content: str = NONE) -> Act:
    """Put a content in force again, or what is not published, and move MLflow's alias."""
    act = publisher.roll_back(alias, content)
    follow(settings, publisher, {alias})
    return act


def promote(settings: Settings, publisher: Publisher, chosen: bundles.Listed, archive: Archive) -> list[Act]:
    """Have a bundle decide; return the acts, of which the later ones end a canary, and the shadow that it was."""
    take_over_link(settings, publisher, chosen, archive)
    acts = [_publish(settings, publisher, "champion", chosen, chosen.text, archive)]
    ended = _find_ended(publisher, chosen)
    for alias in ended:
        publisher.why = f"{chosen.manifest.version} was promoted"
        acts.append(publisher.roll_back(alias, NONE))
    follow(settings, publisher, {"champion", *ended})
    return acts


def _find_ended(publisher: Publisher, chosen: bundles.Listed) -> list[Alias]:
    """Return what a promotion ends: the canary, whichever it is, and the shadow that is promoted."""
    ended: list[Alias] = ["canary"] if publisher.standing.content("canary") != NONE else []
    return [*ended, "shadow"] if publisher.standing.content("shadow") == chosen.content else ended


def _publish(
    settings: Settings, publisher: Publisher, alias: Alias, chosen: bundles.Listed, text: str, archive: Archive
) -> Act:
    if chosen.folder is not None:
        archive.keep(settings, chosen.folder)
    version = chosen.manifest.version
    label = version if _LABEL.fullmatch(version) and version != NONE else ""
    return publisher.publish(alias, [text], label)


def take_over_link(settings: Settings, publisher: Publisher, chosen: bundles.Listed, archive: Archive) -> None:
    """Publish what the champion link names before anything else is, so that it can be rolled back to by its version."""
    linked = bundles.find_linked(settings)
    if linked is None or publisher.log.history("champion") or linked.content == chosen.content:
        return
    with Publisher(settings, read_rules, who=publisher.who, why=_TAKEN_OVER) as first:
        _publish(settings, first, "champion", linked, linked.text, archive)
    publisher.published.look()
