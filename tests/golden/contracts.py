"""Names, hashes, keys and seals: what other programs, Redis and earlier decisions hold of ours."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tests import payments as face
from tests.golden.log import DAY_MS, DAYS, START_MS
from tests.golden.observed import take
from tests.payments import DECLARATIONS_HASH, ENTITIES, FEATURE_NAMES, declarations_hash
from weir.infra.redis.decision_store import decision_key, seal
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Position, Unit, format_position
from weir.schemas.contracts import compatibility_level, schema_json, subject
from weir.schemas.placeholders import Placeholders
from weir.schemas.streams.payments import payments
from weir.streaming.core.hashing import compute_partitions, hash_strings
from weir.streaming.core.seal import compute_base
from weir.streaming.core.states import Reading
from weir.streaming.kernels import shipped_kernel
from weir.streaming.state.queries import encode_known, name_keys

_CONSTANTS = (
    "PANES_PER_WINDOW", "LABEL_HOLD_DAYS", "LABEL_HOLD_MS", "DUPLICATE_HORIZON_MS", "SMALL_AMOUNT_MINOR",
    "STATE_VERSION",
)  # fmt: skip
_READ_AT_MS = START_MS + (DAYS - 4) * DAY_MS
_STRINGS = ["", "weir", "c-1", "\u5361-7", "x" * 131]


def observe_contracts() -> dict[str, list[str]]:
    """Return each kind as lines."""
    return {
        "declarations": [DECLARATIONS_HASH, declarations_hash(Placeholders.adding(["pos-default"]))],
        "feature names": list(FEATURE_NAMES),
        "reason codes": [f"{name} {code}" for name, code in payments.reason_codes.items()],
        "subjects": [
            f"{subject(kind)} {compatibility_level(kind)}" for kind in ("transactions", "labels", "decisions")
        ],
        "hashes": [f"{int(value):016x}" for value in hash_strings(pa.array(_STRINGS))],
        "partitions": [str(value) for value in compute_partitions(pa.array(_STRINGS), 7).tolist()],
        "seals": _seals(),
        "redis keys": _keys(),
        "look-ups": _look_ups(),
    }


def observe_declarations() -> dict[str, Any]:
    """Return what ``schemas/streams/payments.py`` declares, as JSON has it."""
    return {
        "declarations_hash": DECLARATIONS_HASH,
        "horizon_ms": face.HORIZON_MS,
        "windows_ms": dict(face.WINDOWS_MS),
        "constants": {name: getattr(face, name) for name in _CONSTANTS},
        "entities": [[s.entity, s.id_field, list(s.attributes), s.shared, s.has_labels, s.recent] for s in ENTITIES],
        "features": [[f.name, f.entity, f.measure, f.aggregate, f.window, f.hold, f.why] for f in face.FEATURES],
    }


def observe_schemas() -> dict[str, str]:
    """Return the schemas of what the product writes."""
    return {kind: schema_json(kind) for kind in ("features", "decisions")}


def _seals() -> list[str]:
    return [
        f"{kind} {spec.entity} {unit} {int(compute_base(payments.declarations_hash, kind, spec.entity, unit)):016x}"
        for kind in ("t", "l")
        for spec in ENTITIES
        for unit in (0, 7)
    ]


def _keys() -> list[str]:
    view = StateView(
        None,  # the names of its keys are asked, and nothing is read
        cluster="golden", group="weir.processor", topic_ids={"t": "topic-t", "l": "topic-l"},
        declarations_hash=DECLARATIONS_HASH,
    )  # fmt: skip
    units = [Unit("t", 0), Unit("t", 12), Unit("l", 3)]
    entities = [spec.entity for spec in ENTITIES]
    position = Position(1_234, since_ms=START_MS, target=9, partitions=3, known_bytes=77)
    return [
        *[view.prefix(unit) for unit in units],
        *[key for entity in entities for key in name_keys(entity, ["a:b", "\u5361"])],
        *[format_position(position, unit).decode() for unit in units],
        *[encode_known(shipped_kernel().entities, entity, ["a:b", "\u5361"]).hex() for entity in entities],
        decision_key("golden", "tx-1"),
        seal("tx-1", b'{"decision":"APPROVE"}').decode(),
    ]


def _look_ups() -> list[str]:
    """What the API says of entities, of three partitions' partials."""
    state = take("three").state
    lines = []
    for spec in ENTITIES:
        for entity_id in sorted({found[2] for found in state.partials if found[1] == spec.entity})[::13]:
            parts: dict[str, list[bytes]] = {kind: [] for kind in ("t", "l")}
            for tag in ("t00", "t01", "t02", "l00", "l01", "l02"):
                partial = state.partials.get((tag, spec.entity, entity_id))
                if partial and (tag.startswith("t") or spec.has_labels):
                    parts[tag[0]].append(partial)
            values = shipped_kernel().read_all([Reading(spec.entity, parts["t"], parts["l"], _READ_AT_MS)])[0]
            lines.append(f"{spec.entity} {entity_id} {values}")
    return lines
