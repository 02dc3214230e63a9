"""For each operation of a stream, a thing that it can be asked of, and what else it takes to be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.filled import Filled
from tests.unit.inference.published.rules_twin import GOOD
from tests.unit.inference.test_api import NOW_MS
from weir.inference.api.cases.document import build_label

HOLDER = "test"
"""The name of the key that asks."""


@dataclass(frozen=True)
class Given:
    """What a request says of a thing.

    Attributes:
        path: what stands for the names in the path.
        body: fields of it; None where there is none.
        query: parameters.
    """

    path: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict)


Find = Callable[[Filled], Given]
"""Makes a thing that nothing was done to yet, and says how it is asked for."""
_WHY = {"why": "a test"}
_SAME = {"reason": "the same device"}


def _event(filled: Filled) -> Given:
    return Given({"transaction_id": filled.event_id})


def _case(body: dict[str, Any] | None = None, *, holder: str = "") -> Find:
    return lambda filled: Given({"case_id": filled.new_case(holder)}, body)


def _link(filled: Filled) -> Given:
    return Given({"case_id": filled.new_case()}, _SAME | {"transaction_id": filled.new_decided()})


def _unlink(filled: Filled) -> Given:
    case_id, event_id = filled.new_link()
    return Given({"case_id": case_id}, {"transaction_id": event_id})


def _letter(body: dict[str, Any] | None = None) -> Find:
    def find(filled: Filled) -> Given:
        partition, offset = filled.new_letter()
        return Given({"partition": partition, "offset": offset}, body, {"topic": filled.log.topic})

    return find


def _upload(filled: Filled) -> Given:
    return Given({"upload_id": filled.new_upload()})


def _model(body: dict[str, Any] | None = None) -> Find:
    return lambda filled: Given({"version": filled.parts.champion.bundle.manifest.version}, body)


def _proposal(kind: str) -> Find:
    return lambda filled: Given({"proposal_id": filled.new_proposal(kind)}, _WHY)


NAMED: dict[str, Find] = {
    "GET features/{entity}/{entity_id}": lambda filled: Given({"entity": "card", "entity_id": filled.card}),
    "GET decisions/{transaction_id}": _event,
    "GET evidence/{transaction_id}": _event,
    "GET links/{transaction_id}": _event,
    "GET normal/{transaction_id}": _event,
    "GET cases/{case_id}": _case(),
    "POST cases/{case_id}/claim": _case({}),
    "POST cases/{case_id}/release": _case({}, holder=HOLDER),
    "POST cases/{case_id}/notes": _case({"text": "the shop is known"}),
    "POST cases/{case_id}/links": _link,
    "POST cases/{case_id}/unlink": _unlink,
    "POST cases/{case_id}/verdict": _case({"verdict": "fraud", "reason": "the customer called"}, holder=HOLDER),
    "GET dead-letters/{partition}/{offset}": _letter(),
    "POST dead-letters/{partition}/{offset}/check": _letter({"set": {}}),
    "POST dead-letters/{partition}/{offset}/replay": _letter({"set": {}}),
    "POST dead-letters/{partition}/{offset}/discard": _letter({}),
    "GET models/{version}": _model(),
    "GET models/{version}/thresholds": _model(),
    "POST models/{version}/score": _model(TRANSACTION),
    "POST rules/proposals/{proposal_id}/approve": _proposal("rules"),
    "POST rules/proposals/{proposal_id}/reject": _proposal("rules"),
    "POST lists/proposals/{proposal_id}/approve": _proposal("lists"),
    "POST lists/proposals/{proposal_id}/reject": _proposal("lists"),
    "GET uploads/{upload_id}": _upload,
    "GET uploads/{upload_id}/result": _upload,
    "DELETE uploads/{upload_id}": _upload,
}
"""Those whose path names a thing."""
VERSIONED: dict[str, Find] = {
    "POST rules/rollback": lambda filled: Given(body=_WHY | {"version": filled.new_rules()}),
    "POST lists/rollback": lambda filled: Given(body=_WHY | {"version": filled.new_lists()}),
    "POST models/rollback": lambda filled: Given(body=_WHY | {"role": "champion", "version": filled.new_champion()}),
    "GET rules": lambda filled: Given(query={"version": filled.new_rules()}),
    "GET lists": lambda filled: Given(query={"version": filled.new_lists()}),
}
"""Those that take the version of something in another place."""
OTHERS: dict[str, Find] = {
    "POST rules": lambda _: Given(body=_WHY | {"text": GOOD}),
    "POST cases": lambda filled: Given(body=_SAME | {"transaction_id": filled.new_decided()}),
    "POST decide": lambda _: Given(body={"event_time_ms": NOW_MS}),
    "POST labels": lambda filled: Given(body=build_label(filled.stream) | {"label_time_ms": NOW_MS}),
}
"""Those of which a schema cannot say what is right, such as a text of rules."""
