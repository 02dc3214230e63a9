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
from weir.generators.visits.live import Visits
from weir.generators.visits.steps import compute_clicks, compute_sessions
from weir.schemas.contracts import event_schemas
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.schemas.streams.sessions import sessions

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


class SiteVisits:
    """Clicks of the customers who pay in ``CardPayments``, visit by visit, with what each visit has come to."""

    fields: ClassVar[frozenset[str]] = frozenset(
        field["name"] for stream in (clicks, sessions) for field in json.loads(event_schemas(stream)[-1])["fields"]
    )

    def __init__(self, seed: int, start_ms: int) -> None:
        self._population = build_population(seed, _CARDS)
        self._visits = Visits(self._population, start_ms)

    def draw(self, times_ms: Ints) -> pa.RecordBatch:
        """Return a click for each moment."""
        steps = self._visits.fill(times_ms)
        batch, steps_of_it = compute_clicks(steps, self._population), compute_sessions(steps, self._population)
        for name in set(steps_of_it.schema.names) - set(batch.schema.names):
            batch = batch.append_column(name, steps_of_it[name])
        return batch


SIMULATORS: Mapping[str, type[Simulator]] = {"payments": CardPayments, "visits": SiteVisits}
OF_SHIPPED: Mapping[str, str] = {payments.name: "payments", clicks.name: "visits", sessions.name: "visits"}
"""The simulator of each shipped stream that has one."""
