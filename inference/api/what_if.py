"""Scores transactions that have not happened: live partials, the kernel, the model; nothing is written.

It is the stream's own path over a batch of what was asked at one time, each row in a partition of its own. Partials
of a shared entity are all given as other partitions': merged, they give the same windows, and no partition need be
guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from weir.inference.api.lookup import complete_from_ms
from weir.inference.api.ports import PartialsReader
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.bundle import Bundle
from weir.inference.champion import Champion
from weir.inference.core.calibration import SETS
from weir.inference.core.decisions import OUTCOMES, Judgement
from weir.inference.core.lists import APPEND_TIME
from weir.inference.decide import Decider
from weir.infra.redis.partials_reader import Partials
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.one_row import RowPlan
from weir.schemas.records.validation import describe_unquoted, validate_events
from weir.streaming.core.events import EventBatch
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.states import States, Step

DUPLICATE = "the key used this id within the last day; look its decision up"


class AlreadyDecided(Exception):
    """The card used this transaction id within the last day: the stream would not decide it again."""


class Asked(NamedTuple):
    """A transaction to be scored.

    Attributes:
        transaction: a value per field of the contract, from ``parse_event``.
        now_ms: stands for the broker's append time, UTC epoch ms.
        model: that decides; by default the one that decides for the key.
    """

    transaction: dict[str, Any]
    now_ms: int
    model: Bundle | None = None


Answer = dict[str, Any] | BadRequest | AlreadyDecided


class WhatIf:
    """Scores transactions that know nothing of one another; one thread at a time."""

    def __init__(self, kernel: Kernel, reader: PartialsReader, champion: Champion, placeholders: Placeholders) -> None:
        """Bind to what computes, to live state, to what decides, and to which ids name nobody."""
        self._kernel = kernel
        self._reader = reader
        self._champion = champion
        self._decider = Decider(champion, kernel.stream)
        self._placeholders = placeholders.with_zero_fields(kernel.stream.zero_fields)
        self._plan = RowPlan(kernel.stream, self._placeholders)
        self._schema: pa.Schema = BatchCodec(schema=event_schemas(kernel.stream)[-1]).arrow_schema

    def warm_up(self, transaction: dict[str, Any], *, now_ms: int) -> None:
        """Compile or load both sides of the kernel before the first request needs them."""
        asked = [Asked(transaction, now_ms)] * 2  # two: a batch of one needs less
        nothing = Partials([], [], complete=True)
        named = [self._name_entities(each) for each in asked]
        found = dict.fromkeys(chain.from_iterable(named), nothing)
        events, refused = self._build_events(asked)
        if not refused:  # an example that was made up may be none that the stream's checks take
            self._kernel.step(events, _build_states(self._kernel, named, found))
        self._kernel.read(self._kernel.key, [], [], now_ms)

    def score_all(self, asked: Sequence[Asked]) -> list[Answer]:
        """Score each as if it were the only one; Redis is asked once.

        Returns:
            In order: the decision that the stream would make now, as a JSON-ready document; or why there is none,
            ``BadRequest`` for a value out of range (the field is named), ``AlreadyDecided`` for a repeated id.

        Raises:
            Transient: Redis is unreachable.
        """
        events, refused = self._build_events(asked)
        valid = [each for place, each in enumerate(asked) if place not in refused]
        scored = iter(self._score(valid, events) if valid else [])
        return [refused[place] if place in refused else next(scored) for place in range(len(asked))]

    def _score(self, asked: Sequence[Asked], events: EventBatch) -> list[Answer]:
        named = [self._name_entities(each) for each in asked]
        pairs = list(dict.fromkeys(chain.from_iterable(named)))
        # of times that differ by a turn of the event loop the earliest is the strictest
        from_ms = complete_from_ms(self._kernel.stream, min(each.now_ms for each in asked))
        found = dict(zip(pairs, self._reader.read_many(pairs, from_ms=from_ms), strict=True))
        computed = self._kernel.step(events, _build_states(self._kernel, named, found))
        self._champion.poll()
        listed = {
            kind: [each.transaction[name] for each in asked] for kind, name in self._kernel.stream.id_field_of.items()
        }
        names = self._kernel.stream.feature_names
        fields, models = self._build_fields(asked), self._pick_models(asked)
        judged = {model: self._decider.judge(computed.features, names, listed, fields, model) for model in set(models)}
        incomplete = [f"partial.{unit}" for unit in found[pairs[0]].incomplete_units]
        return [
            AlreadyDecided()
            if computed.verdicts[row]
            else self._build_answer(each, row, computed, (model, judged[model]), [*incomplete, *model.lacking])
            for row, (each, model) in enumerate(zip(asked, models, strict=True))
        ]

    def _pick_models(self, asked: Sequence[Asked]) -> list[Bundle]:
        """Return the model that decides each: the one that was asked for, or the one of its key."""
        canary, champion = self._champion.canary, self._champion.bundle
        if canary is None:
            return [each.model or champion for each in asked]
        own = canary.takes([each.transaction[self._kernel.stream.key.field].encode() for each in asked])
        return [
            each.model or (canary.bundle if is_own else champion)
            for each, is_own in zip(asked, own.tolist(), strict=True)
        ]

    def _build_fields(self, asked: Sequence[Asked]) -> pa.RecordBatch:
        """Return of the events what decides next to features and ids, as a feature row would carry it."""
        named = set(self._champion.rules.columns)
        if self._champion.thresholds is not None:
            named |= self._champion.thresholds.columns
        fields = {
            field.name: pa.array([each.transaction[field.name] for each in asked], _plain(field.type))
            for field in self._schema
            if field.name in named
        }
        return pa.record_batch(fields | {APPEND_TIME: pa.array([each.now_ms for each in asked], pa.int64())})

    def _build_events(self, asked: Sequence[Asked]) -> tuple[EventBatch, dict[int, BadRequest]]:
        """Return the valid rows as a batch, and by place why the others are not."""
        rows = [self._plan.derive(each.transaction) for each in asked]
        refused: dict[int, BadRequest] = {}
        for place, (row, each) in enumerate(zip(rows, asked, strict=True)):
            if not self._plan.passes(row, append_time_ms=each.now_ms) and (error := self._find_error(each)):
                refused[place] = BadRequest([FieldError(error.field or "$", describe_unquoted(error))])
        valid = [place for place in range(len(asked)) if place not in refused]
        append = np.array([asked[place].now_ms for place in valid], dtype=np.int64)
        return self._kernel.build_rows(self._plan, [rows[place] for place in valid], append_time_ms=append), refused

    def _find_error(self, asked: Asked) -> PoisonRecord | None:
        """Say what is wrong with a transaction, as a dead letter would."""
        stream = self._kernel.stream
        batch = pa.RecordBatch.from_pylist([asked.transaction], schema=self._schema)
        found = validate_events(
            stream,
            batch,
            keys=[asked.transaction[stream.key.field].encode()],
            append_time_ms=np.array([asked.now_ms], dtype=np.int64),
            placeholders=self._placeholders,
        )
        return found[0][1] if found else None

    def _name_entities(self, asked: Asked) -> list[tuple[str, str]]:
        """Return kind and id of every entity that a transaction names; a placeholder names none."""
        ids = (
            (kind, self._plan.known(name, asked.transaction[name]))
            for kind, name in self._kernel.stream.id_field_of.items()
        )
        return [(kind, value) for kind, value in ids if value is not None]

    def _build_answer(
        self, asked: Asked, row: int, computed: Step, decided: tuple[Bundle, Judgement], degraded: list[str]
    ) -> dict[str, Any]:
        model, judgement = decided
        manifest = model.manifest
        stream, score = self._kernel.stream, float(judgement.scores[row])
        return {
            stream.id: asked.transaction[stream.id],
            "decision": OUTCOMES[int(judgement.outcomes[row])],
            "score": None if np.isnan(score) else score,
            **tell_confidence(judgement, row),
            "decided_by": judgement.decided_by[row],
            "reasons": [{"code": reason.code, "detail": reason.detail} for reason in judgement.reasons[row]],
            "tags": list(judgement.tags[row]),
            "shadow_rules": list(judgement.shadow_rules[row]),
            "model": {"name": manifest.name, "version": manifest.version},
            "rules_version": judgement.rules_version,
            "declarations_hash": manifest.declarations_hash,  # ours: another bundle is not loaded
            "degraded": bool(degraded),
            "degraded_by": degraded,
            "late": bool(computed.late[row]),
            stream.time: asked.transaction[stream.time],
            "decision_time_ms": asked.now_ms,
            # NaN becomes null: missing stays missing
            "features": dict(zip(stream.feature_names, computed.features[row].tolist(), strict=True)),
        }


def tell_confidence(judgement: Judgement, row: int) -> dict[str, Any]:
    """Return what a decision record says of how sure the model is."""
    score, calibration = judgement.scores[row : row + 1], judgement.calibration
    if calibration is None or np.isnan(score[0]):
        return {"probability": None, "prediction_set": None}
    (probability,), (place,) = calibration.compute_probabilities(score), calibration.compute_sets(score)
    return {"probability": float(probability), "prediction_set": SETS[place]}


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _build_states(
    kernel: Kernel, named: Sequence[list[tuple[str, str]]], found: Mapping[tuple[str, str], Partials]
) -> States:
    """Arrange partials by row, of the entities that it names."""
    own: dict[str, list[bytes]] = {entity: [] for entity in kernel.entities}
    others: dict[str, list[list[bytes]]] = {entity: [] for entity in kernel.entities}
    labels: dict[str, list[list[bytes]]] = {entity: [] for entity in kernel.entities}
    for pair in chain.from_iterable(named):
        entity, partials = pair[0], found[pair]
        # a key lives in one partition, which alone remembers its ids
        mine = partials.partials[:1] if entity == kernel.key else []
        own[entity] += mine or [b""]
        others[entity].append(partials.partials[len(mine) :])
        labels[entity].append(partials.labels)
    return States(own=own, others=others, labels=labels)
