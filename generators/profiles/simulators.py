"""Simulators that a profile can name: worlds in which events belong together, instead of fields drawn one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar, Protocol

import pyarrow as pa

from weir.generators.events import compute_transactions
from weir.generators.population import build_population
from weir.generators.rush import Rush
from weir.generators.seeds import Ints
from weir.schemas.contracts import event_schemas
from weir.schemas.streams.payments import payments

_CARDS = 2_000


class Simulator(Protocol):
    """A world that fills moments.

    Attributes:
        fields: what it makes.
    """

    fields: ClassVar[frozenset[str]]

    def __init__(self, seed: int, start_ms: int) -> None:
        """Begin the world of a seed at a moment, UTC epoch milliseconds."""
        ...

    def draw(self, times_ms: Ints) -> pa.RecordBatch:
        """Return an event for each moment; moments ascend, within a call and between calls."""
        ...


class CardPayments:
    """Card payments of ``weir generate``, fraud included."""

    fields: ClassVar[frozenset[str]] = frozenset(
        field["name"] for field in json.loads(event_schemas(payments)[-1])["fields"]
    )

    def __init__(self, seed: int, start_ms: int) -> None:
        self._population = build_population(seed, _CARDS)
        self._rush = Rush(self._population, start_ms)

    def draw(self, times_ms: Ints) -> pa.RecordBatch:
        """Return a payment for each moment."""
        return compute_transactions(self._rush.fill(times_ms), self._population)


SIMULATORS: Mapping[str, type[Simulator]] = {"payments": CardPayments}
