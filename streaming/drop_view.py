"""Deletes the view of declarations by which no processor decides any more.

Delivery: a deletion that was broken off is finished by the next one, or by a processor that takes the view up again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from weir.infra.kafka.admin import describe_topics
from weir.infra.redis.client import connect
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.wiring import build_view, name_inputs


def drop_view(settings: Settings, declared: str, *, tell: Callable[[str], object], apply: bool) -> bool:
    """Delete the view of declarations by which no processor decides any more.

    Args:
        settings: of the stream, by any of its declarations.
        declared: hash of the declarations whose view goes.
        tell: is given a line for each thing that is found or done.
        apply: delete; else only show what would be.

    Returns:
        Whether there is such a view.

    Raises:
        Refused: it follows the log in some unit, or a topic does not exist.
        Transient: Redis or Kafka is unreachable.
    """
    inputs = name_inputs(settings)
    topics = describe_topics(settings.kafka, list(inputs.values()))
    units = [Unit(kind, number) for kind, name in inputs.items() for number in range(topics[name].partitions)]
    with closing(connect(settings.redis)) as client:
        view = build_view(settings, client, {kind: topics[name].topic_id for kind, name in inputs.items()}, declared)
        there = _find_left(view, units, declared)
        if not there:
            tell(f"expected a view of {declared} in Redis, found none in any of {len(units)} units")
            return False
        if not apply:
            tell(f"the view of {declared} would be deleted in {len(there)} of {len(units)} units; --apply does it")
            return True
        deleted = sum(sum(view.drop(unit)) for unit in there)
    tell(f"the view of {declared} is deleted in {len(there)} units: {deleted} keys")
    return True


def _find_left(view: StateView, units: list[Unit], declared: str) -> list[Unit]:
    """Return the units in which there is something of a view.

    Raises:
        Refused: it follows the log in some.
    """
    loaded: dict[Unit, Loaded] = view.load_many([(unit, []) for unit in units])
    there = [unit for unit in units if _is_there(loaded[unit])]
    followed = [unit.tag for unit in there if not loaded[unit].moved_on]
    if followed:
        raise Refused(
            f"expected a view that no processor decides by, found that {declared} follows the log in {len(followed)} "
            f"units ({', '.join(followed[:3])}); cut over to others first: `weir features cut-over NEW`"
        )
    return there


def _is_there(found: Loaded) -> bool:
    return found.position is not None or found.dropping or bool(found.suspect)
