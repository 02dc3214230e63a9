"""What the OpenAPI document shows: one example and schema per answer, and the request's schema from its contract."""

from __future__ import annotations

from typing import Any

from weir.inference.api import schema as api_schema
from weir.inference.api.request import build_json_schema

TRANSACTION: dict[str, Any] = {
    "transaction_id": "what-if-1",
    "card_id": "card-000017",
    "customer_id": "customer-000017",
    "merchant_id": "merchant-0042",
    "mcc": 5732,
    "channel": "ECOM",
    "amount_minor": 129_900,
    "currency": "EUR",
    "country": "DE",
    "device_id": "device-000017",
    "ip": "203.0.113.7",
}
"""A request as small as it may be; ``event_time_ms`` is now unless given."""

SCORE: dict[str, Any] = {
    "transaction_id": "what-if-1",
    "decision": "DECLINE",
    "score": 0.93,
    "decided_by": "model",
    "reasons": [{"code": "CARD_BURST", "detail": "card_event_count_5m = 9 (typical 1)"}],
    "model": {"name": "fraud", "version": "20260101-120000"},
    "rules_version": "1",
    "declarations_hash": "0123456789abcdef",
    "degraded": False,
    "degraded_by": [],
    "late": False,
    "event_time_ms": 1_767_268_800_000,
    "decision_time_ms": 1_767_268_800_004,
    "features": {"card_event_count_5m": 9.0, "card_amount_zscore_30d": None},
    "published": None,
}
FEATURES: dict[str, Any] = {
    "entity": "card",
    "id": "card-000017",
    "known": True,
    "at_ms": 1_767_268_800_000,
    "features": {"card_event_count_1h": 3.0, "card_amount_sum_1d": 12_950.0},
    "freshness": {"newest_event_ms": 1_767_268_799_200, "positions": {"t00": 1_042}},
    "complete": True,
    "incomplete_units": [],
}
DECISION: dict[str, Any] = {
    "transaction_id": "t-1",
    "card_id": "card-000017",
    "merchant_id": "merchant-0042",
    "amount_minor": 129_900,
    "currency": "EUR",
    "decision": "REVIEW",
    "score": 0.61,
    "decided_by": "model",
    "reasons": [{"code": "CARD_NEW_DEVICE", "detail": "card_device_new_30d = 1 (typical 0)"}],
    "model_name": "fraud",
    "model_version": "20260101-120000",
    "rules_version": "1",
    "declarations_hash": "0123456789abcdef",
    "degraded": False,
    "degraded_by": [],
    "late": False,
    "event_time_ms": 1_767_268_800_000,
    "ingest_time_ms": 1_767_268_800_040,
    "decision_time_ms": 1_767_268_800_065,
    "source_partition": 3,
    "source_offset": 10_452,
}
ERROR: dict[str, Any] = {
    "error": {
        "code": "invalid_transaction",
        "message": "1 field is not as the contract wants it",
        "fields": [{"field": "amount_minor", "message": "expected an integer of 64 bits, found another string"}],
    }
}


def answer(description: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    """Return one OpenAPI response with its schema, and with its example if there is one."""
    shown = {} if example is None else {"example": example}
    return {"description": description, "content": {"application/json": {"schema": schema, **shown}}}


def error_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for errors; all share one shape."""
    texts = {
        404: "no such thing",
        409: "the card used this transaction id within the last day",
        413: "a body over 1 MB",
        415: "not application/json in plain UTF-8",
        422: "a value is wrong; the field is named",
        503: "a dependency is away; the reason is given, and it recovers by itself",
    }
    return {status: answer(texts[status], api_schema.ERROR, ERROR) for status in statuses}


def transaction_body() -> dict[str, Any]:
    """Return the OpenAPI request body of a transaction."""
    content = {"application/json": {"schema": build_json_schema(), "example": TRANSACTION}}
    return {"requestBody": {"required": True, "content": content}}
