"""A view in which nothing is known: state that one process keeps from the log's first record on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Position, Unit


class EmptyView:
    """The ``View`` of a store that reads and writes no Redis."""

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        """Return empty partials."""
        return {unit: Loaded(Position(0), [b"" for _ in keys]) for unit, keys in wanted}

    def load_checked(
        self, wanted: Iterable[tuple[Unit, Sequence[str]]], checked: Collection[Unit]
    ) -> dict[Unit, Loaded]:
        """Return empty partials."""
        del checked
        return self.load_many(wanted)

    def suspect(self, unit: Unit, reason: str) -> None:
        """Fail: nothing is read that could be wrong.

        Raises:
            AssertionError: always.
        """
        raise AssertionError(f"{unit.tag}: {reason}")
