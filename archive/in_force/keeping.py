"""Wires what keeps the versions of each stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing

from weir.archive.in_force.published import PublishedKeeper
from weir.archive.in_force.unpublished import UnpublishedKeeper
from weir.archive.in_force.versions import Versions
from weir.archive.objects import Objects
from weir.inference.published.topic import PublishedTopic
from weir.infra.settings import Settings


def open_keepers(own: Iterable[Settings], objects: Objects, stack: ExitStack) -> dict[str, Callable[[], None]]:
    """Return, by the topic of a stream's decisions, what keeps the versions that are new.

    Args:
        own: the settings of each stream.
        objects: of the archive.
        stack: disconnects them.
    """
    return {each.topics.decisions: _open(each, objects, stack) for each in own}


def _open(settings: Settings, objects: Objects, stack: ExitStack) -> Callable[[], None]:
    topic = stack.enter_context(closing(PublishedTopic(settings.kafka, settings.topics.published)))
    versions = Versions(objects, settings.topics.published)
    published = PublishedKeeper(topic, versions)
    unpublished = UnpublishedKeeper(settings.stream, settings.lists_path, versions)

    def look() -> None:
        unpublished.look()
        published.look()

    return look
