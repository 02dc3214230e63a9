"""Scores a transaction that has not happened: live partials, the kernel on one row, the model; nothing is written.

It is the stream's own path with the batch cut to one row. Partials of a shared entity are all given as other
partitions': merged, they give the same windows, and no partition need be guessed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from inference.champion import Champion
from inference.core.decisions import OUTCOMES, Judgement, judge
from inference.core.records import ID_FIELDS
from inference.core.vector import select_columns
from inference.lookup import complete_from_ms
from inference.ports import PartialsReader
from inference.request import BadRequest, FieldError
from infra.feature_reader import Partials
from schemas.codec import BatchCodec
from schemas.errors import PoisonRecord
from schemas.features import DECLARATIONS_HASH, FEATURE_NAMES, Entity
from schemas.validation import QUOTE_NOTHING, validate_transactions
from streaming.core.events import build_event_batch
from streaming.core.kernel import States, Step, read, step

WHOLE_BODY_DIGEST = np.zeros(1, dtype=np.uint32)  # what-if has no record, and a digest tells only two repeats apart


class AlreadyDecided(Exception):
    """The card used this transaction id within the last day: the stream would not decide it again."""


class WhatIf:
    """Scores single transactions; one thread at a time."""

    def __init__(self, reader: PartialsReader, champion: Champion) -> None:
        """Bind to live state and to what decides."""
        self._reader = reader
        self._champion = champion
        self._schema: pa.Schema = BatchCodec("transactions").arrow_schema

    def warm_up(self, transaction: dict[str, Any], *, now_ms: int) -> None:
        """Compile or load both sides of the kernel before the first request needs them."""
        nothing = Partials([], [], complete=True)
        named = {kind: nothing for kind, name in ID_FIELDS.items() if transaction[name] is not None}
        step(self._build_events(transaction, now_ms), _build_states(named))
        read(Entity.CARD, [], [], now_ms)

    def score(self, transaction: dict[str, Any], *, now_ms: int) -> dict[str, Any]:
        """Return the decision that the stream would make now, as a JSON-ready document.

        Args:
            transaction: a value per field of the contract, from ``parse_transaction``.
            now_ms: stands for the broker's append time, UTC epoch ms.

        Raises:
            BadRequest: a value is out of range; the field is named.
            AlreadyDecided: the id is a repeat.
            Transient: Redis is away.
        """
        events = self._build_events(transaction, now_ms)
        ids = {kind: transaction[name] for kind, name in ID_FIELDS.items() if transaction[name] is not None}
        found = self._reader.read_many(list(ids.items()), from_ms=complete_from_ms(now_ms))
        computed = step(events, _build_states(dict(zip(ids, found, strict=True))))
        if computed.verdicts[0]:
            raise AlreadyDecided
        self._champion.poll()
        bundle = self._champion.bundle
        features = select_columns(computed.features, FEATURE_NAMES, bundle.names)
        listed = {kind: [transaction[name]] for kind, name in ID_FIELDS.items()}
        judgement = judge(features, listed, bundle, self._champion.lists)
        degraded = [f"partial.{unit}" for unit in found[0].incomplete_units] if found else []
        return self._build_answer(transaction, computed, judgement, degraded, now_ms)

    def _build_events(self, transaction: dict[str, Any], now_ms: int) -> Any:
        columns = [pa.array([transaction[field.name]], field.type) for field in self._schema]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        append = np.array([now_ms], dtype=np.int64)
        for _, error in validate_transactions(batch, keys=[transaction["card_id"].encode()], append_time_ms=append):
            raise BadRequest([FieldError(error.field or "$", _describe(error))])
        return build_event_batch(batch, append_time_ms=append, partition=0, body_digest=WHOLE_BODY_DIGEST)

    def _build_answer(
        self, transaction: dict[str, Any], computed: Step, judgement: Judgement, degraded: list[str], now_ms: int
    ) -> dict[str, Any]:
        manifest = self._champion.bundle.manifest
        score = float(judgement.scores[0])
        return {
            "transaction_id": transaction["transaction_id"],
            "decision": OUTCOMES[int(judgement.outcomes[0])],
            "score": None if np.isnan(score) else score,
            "decided_by": judgement.decided_by[0],
            "reasons": [{"code": reason.code, "detail": reason.detail} for reason in judgement.reasons[0]],
            "model": {"name": manifest.name, "version": manifest.version},
            "rules_version": judgement.rules_version,
            "declarations_hash": DECLARATIONS_HASH,
            "degraded": bool(degraded),
            "degraded_by": degraded,
            "late": bool(computed.late[0]),
            "event_time_ms": transaction["event_time_ms"],
            "decision_time_ms": now_ms,
            # NaN becomes null: missing stays missing
            "features": dict(zip(FEATURE_NAMES, computed.features[0].tolist(), strict=True)),
        }


def _describe(error: PoisonRecord) -> str:
    """Say what was expected: a dead letter quotes what was found, an answer never repeats a value."""
    return str(error) if error.reason in QUOTE_NOTHING else str(error).partition(", found ")[0]


def _build_states(found: dict[str, Partials]) -> States:
    """Arrange partials for a one-row batch; an entity that the row does not name has no place in it."""
    own: dict[Entity, list[bytes]] = {entity: [] for entity in Entity}
    others: dict[Entity, list[list[bytes]]] = {}
    labels: dict[Entity, list[list[bytes]]] = {}
    for kind, partials in found.items():
        entity = Entity(kind)
        # a card lives in one partition, which alone remembers its transaction ids
        mine = partials.partials[:1] if entity is Entity.CARD else []
        own[entity] = mine or [b""]
        others[entity] = [partials.partials[len(mine) :]]
        labels[entity] = [partials.labels]
    return States(own=own, others=others, labels=labels)
