"""Publishes the bundles that a stream decides by."""

from __future__ import annotations

import re
from typing import Final

from weir.inference.published.act import NONE, Act, Alias
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules
from weir.infra.settings import Settings
from weir.training.choosing import bundles
from weir.training.gates.archived import Archive

_LABEL: Final = re.compile(r"[0-9A-Za-z]{1,40}")
"""A version that an act can carry as it is; another one is called by the beginning of its hash."""
_TAKEN_OVER: Final = "taken over from the champion link"


def publish_bundle(
    settings: Settings, publisher: Publisher, alias: Alias, chosen: bundles.Listed, text: str, archive: Archive
) -> Act:
    """Publish a bundle under an alias, and keep it where other hosts find it.

    Args:
        settings: of the stream.
        publisher: that writes the act.
        alias: that names the bundle from then on.
        chosen: the bundle.
        text: of the act.
        archive: of the deployment.
    """
    if chosen.folder is not None:
        archive.keep(settings, chosen.folder)
    version = chosen.manifest.version
    label = version if _LABEL.fullmatch(version) and version != NONE else ""
    return publisher.publish(alias, [text], label)


def promote(settings: Settings, publisher: Publisher, chosen: bundles.Listed, archive: Archive) -> list[Act]:
    """Have a bundle decide; return the acts, of which the second ends a canary."""
    take_over_link(settings, publisher, chosen, archive)
    acts = [publish_bundle(settings, publisher, "champion", chosen, chosen.text, archive)]
    if publisher.standing.content("canary") != NONE:
        publisher.why = f"{chosen.manifest.version} was promoted"
        acts.append(publisher.roll_back("canary", NONE))
    return acts


def take_over_link(settings: Settings, publisher: Publisher, chosen: bundles.Listed, archive: Archive) -> None:
    """Publish what the champion link names before anything else is, so that it can be rolled back to by its version."""
    linked = bundles.find_linked(settings)
    if linked is None or publisher.log.history("champion") or linked.content == chosen.content:
        return
    with Publisher(settings, read_rules, who=publisher.who, why=_TAKEN_OVER) as first:
        publish_bundle(settings, first, "champion", linked, linked.text, archive)
    publisher.published.look()
