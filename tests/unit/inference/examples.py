"""A payment as the API's document shows it, and the decision on one."""

from __future__ import annotations

from typing import Any

from weir.inference.api.examples import build_decision, build_event
from weir.schemas.streams.payments import payments

TRANSACTION: dict[str, Any] = build_event(payments)
DECISION: dict[str, Any] = build_decision(payments)
