"""The Avro contracts: which kinds of record exist, their versions, and the subject a topic's values live under.

The ``.avsc`` files are the contracts; the ``features`` schema alone is generated, from ``FEATURES``, because a
feature is declared once. What bytes look like is in ``schemas/codec.py``, what may change in
``schemas/compatibility.py``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from weir.schemas.features import FEATURES

TOPIC_KINDS: tuple[str, ...] = ("transactions", "labels", "features", "decisions", "clicks", "devices")

_OUTPUT_KINDS = frozenset({"features", "decisions"})
_INPUT_LEVEL, _OUTPUT_LEVEL = "FULL_TRANSITIVE", "BACKWARD"

# kind -> its .avsc files, oldest version first; the newest one is what this code reads and writes
_FILES: dict[str, tuple[str, ...]] = {
    "transactions": ("transactions.v1.avsc", "transactions.v2.avsc"),
    "labels": ("labels.avsc",),
    "decisions": ("decisions.avsc",),
    "clicks": ("clicks.avsc",),
    "devices": ("devices.avsc",),
}

_FEATURE_ROW_HEAD: tuple[dict[str, Any], ...] = (
    {"name": "transaction_id", "type": "string"},
    {"name": "card_id", "type": "string"},
    {"name": "customer_id", "type": "string"},
    {"name": "merchant_id", "type": "string"},
    {"name": "device_id", "type": ["null", "string"], "default": None},
    {"name": "ip", "type": ["null", "string"], "default": None},
    {"name": "mcc", "type": "int"},
    {"name": "channel", "type": "string"},
    {"name": "amount_minor", "type": "long", "doc": "Minor units of currency."},
    {"name": "currency", "type": "string"},
    {"name": "country", "type": "string"},
    {"name": "event_time_ms", "type": "long"},
    {"name": "ingest_time_ms", "type": "long", "doc": "The broker's append time of the transaction."},
    {"name": "source_partition", "type": "int", "doc": "Partition of the transaction in its topic."},
    {"name": "source_offset", "type": "long", "doc": "Offset of the transaction in its partition."},
    {"name": "declarations_hash", "type": "string", "doc": "Feature declarations that these numbers follow."},
    {"name": "late", "type": "boolean", "doc": "Older than the card's horizon: decided, not counted in windows."},
    {"name": "degraded", "type": {"type": "array", "items": "string"}, "doc": "What was incomplete; empty is whole."},
)


def versions(kind: str) -> tuple[int, ...]:
    """Return the versions of a kind that are checked in, oldest first.

    Raises:
        KeyError: when the kind is not one of ``TOPIC_KINDS``.

    >>> versions("transactions")
    (1, 2)
    """
    return (1,) if kind == "features" else tuple(range(1, len(_FILES[kind]) + 1))


@cache
def schema_json(kind: str, version: int | None = None) -> str:
    """Return an Avro schema as JSON text, the newest version by default.

    Args:
        kind: one of ``TOPIC_KINDS``.
        version: 1 or above; see ``versions``.

    Raises:
        KeyError: when the kind or the version does not exist.
    """
    number = versions(kind)[-1] if version is None else version
    if number not in versions(kind):
        raise KeyError(f"expected {kind} version in {versions(kind)}, found {number}")
    if kind == "features":
        return _build_features_schema()
    text = resources.files("weir.schemas").joinpath(_FILES[kind][number - 1]).read_text(encoding="utf-8")
    # one compact form, so that the registry sees the same text whatever the file's layout
    return json.dumps(json.loads(text), separators=(",", ":"))


def subject(topic: str) -> str:
    """Return the registry subject of a topic's values (Confluent's topic name strategy).

    >>> subject("transactions")
    'transactions-value'
    """
    return f"{topic}-value"


def compatibility_level(kind: str) -> str:
    """Return the rule that a registry is to hold the versions of a kind to (``docs/adr/0009``).

    What others write and we read must stay readable by what is deployed, and what we write by those who read it.

    >>> compatibility_level("transactions"), compatibility_level("decisions")
    ('FULL_TRANSITIVE', 'BACKWARD')
    """
    return _INPUT_LEVEL if is_input(kind) else _OUTPUT_LEVEL


def is_input(kind: str) -> bool:
    """True for what others write and we read."""
    return kind not in _OUTPUT_KINDS


def _build_features_schema() -> str:
    columns = [
        {"name": feature.name, "type": ["null", "float"], "default": None, "doc": feature.why} for feature in FEATURES
    ]
    record = {
        "type": "record",
        "name": "FeatureRow",
        "namespace": "weir",
        "doc": "What the model saw for one transaction; null is a missing feature. Key: card_id.",
        "fields": [*_FEATURE_ROW_HEAD, *columns],
    }
    return json.dumps(record, separators=(",", ":"))
