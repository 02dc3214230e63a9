"""Each thing of one stream, asked for by a key of another one: it is not there, under any path and by any id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.filled import Filled
from tests.unit.inference.keyed import OURS, THEIRS, Served
from weir.access.key import Scope

WHY = {"why": "a test"}
Things = Callable[[Filled], dict[str, Any]]
EVENT: Things = lambda filled: {"transaction_id": filled.event_id}  # noqa: E731 - a table of them
CASE: Things = lambda filled: {"case_id": filled.new_case()}  # noqa: E731
HELD: Things = lambda filled: {"case_id": filled.new_case("test")}  # noqa: E731
LETTER: Things = lambda filled: dict(zip(("partition", "offset"), filled.new_letter(), strict=True))  # noqa: E731
UPLOAD: Things = lambda filled: {"upload_id": filled.new_upload()}  # noqa: E731
MODEL: Things = lambda filled: {"version": filled.parts.champion.bundle.manifest.version}  # noqa: E731
RULES: Things = lambda filled: {"proposal_id": filled.new_proposal("rules")}  # noqa: E731
LISTS: Things = lambda filled: {"proposal_id": filled.new_proposal("lists")}  # noqa: E731
VERDICT = {"verdict": "fraud", "reason": "the customer called"}

BY_PATH: dict[str, tuple[Things, dict[str, Any] | None]] = {
    "GET decisions/{transaction_id}": (EVENT, None),
    "GET evidence/{transaction_id}": (EVENT, None),
    "GET links/{transaction_id}": (EVENT, None),
    "GET normal/{transaction_id}": (EVENT, None),
    "GET cases/{case_id}": (CASE, None),
    "POST cases/{case_id}/claim": (CASE, {}),
    "POST cases/{case_id}/release": (HELD, {}),
    "POST cases/{case_id}/notes": (CASE, {"text": "the shop is known"}),
    "POST cases/{case_id}/verdict": (HELD, VERDICT),
    "GET dead-letters/{partition}/{offset}": (LETTER, None),
    "POST dead-letters/{partition}/{offset}/check": (LETTER, {}),
    "POST dead-letters/{partition}/{offset}/replay": (LETTER, {}),
    "POST dead-letters/{partition}/{offset}/discard": (LETTER, {}),
    "GET models/{version}": (MODEL, None),
    "GET models/{version}/thresholds": (MODEL, None),
    "POST models/{version}/score": (MODEL, TRANSACTION),
    "POST rules/proposals/{proposal_id}/approve": (RULES, WHY),
    "POST rules/proposals/{proposal_id}/reject": (RULES, WHY),
    "POST lists/proposals/{proposal_id}/approve": (LISTS, WHY),
    "POST lists/proposals/{proposal_id}/reject": (LISTS, WHY),
    "GET uploads/{upload_id}": (UPLOAD, None),
    "GET uploads/{upload_id}/result": (UPLOAD, None),
    "DELETE uploads/{upload_id}": (UPLOAD, None),
}
"""By what is asked under a stream: what is named in the path, and a body with which it would be done."""
IN_BODY: dict[str, Callable[[Filled], dict[str, Any]]] = {
    "POST rules/rollback": lambda filled: WHY | {"version": filled.new_rules()},
    "POST lists/rollback": lambda filled: WHY | {"version": filled.new_lists()},
    "POST models/rollback": lambda filled: WHY | {"role": "champion", "version": filled.new_champion()},
}
IN_QUERY: dict[str, Callable[[Filled], dict[str, Any]]] = {
    "GET rules": lambda filled: {"version": filled.new_rules()},
    "GET lists": lambda filled: {"version": filled.new_lists()},
}
FEATURES = "GET features/{entity}/{entity_id}"
"""Answers of an id that nobody has ever seen too."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


def ask(served: Served, stream: str, label: str, headers: dict[str, str], **given: Any) -> Any:
    method, path = label.split()
    return served.client.ask(method, f"/v1/streams/{stream}/{path}", headers=headers, **given)


def test_each_path_that_names_a_thing_is_in_the_walk(served: Served) -> None:
    prefix = f"/v1/streams/{OURS}/"
    named = {f"{method} {path.removeprefix(prefix)}" for method, path in served.operations() if path.startswith(prefix)}
    assert {each for each in named if "{" in each} == {*BY_PATH, FEATURES}
    assert {each for each in named if each.endswith("/rollback")} == set(IN_BODY)


@pytest.mark.parametrize("label", BY_PATH)
def test_a_thing_of_one_stream_is_not_there_for_a_key_of_another(served: Served, label: str) -> None:
    things, body = BY_PATH[label]
    sent: dict[str, Any] = {} if body is None else {"json": body}
    theirs, everybody = served.key(Scope.ADMIN, streams=(THEIRS,)), served.key(Scope.ADMIN)
    filled = label
    for name, value in things(served.ours).items():
        filled = filled.replace(f"{{{name}}}", str(value))
    for stream in (THEIRS, OURS):
        answer = ask(served, stream, filled, theirs, **sent)
        assert answer.status_code == 404, (stream, answer.text)
        assert OURS not in answer.text
    found = ask(served, OURS, filled, everybody, **sent)
    assert found.is_success, f"it was there all the time, and nothing was done to it: {found.text}"


@pytest.mark.parametrize("label", [*IN_BODY, *IN_QUERY])
def test_a_version_of_one_stream_is_none_of_another(served: Served, label: str) -> None:
    theirs, everybody = served.key(Scope.ADMIN, streams=(THEIRS,)), served.key(Scope.ADMIN)
    by_body = label in IN_BODY
    sent: dict[str, Any] = {"json" if by_body else "params": (IN_BODY if by_body else IN_QUERY)[label](served.ours)}
    for stream in (THEIRS, OURS):
        answer = ask(served, stream, label, theirs, **sent)
        assert answer.status_code == 404, (stream, answer.text)
    found = ask(served, OURS, label, everybody, **sent)
    assert found.is_success, found.text


def test_lists_of_things_have_those_of_their_stream_alone(served: Served) -> None:
    theirs, everybody = served.key(Scope.ADMIN, streams=(THEIRS,)), served.key(Scope.ADMIN)
    ours = served.ours
    made = {
        "cases": ours.new_case(),
        "uploads": ours.new_upload(),
        "rules/proposals": ours.new_proposal("rules"),
        "lists/proposals": ours.new_proposal("lists"),
        "models/history": ours.new_champion(),
        "decisions": ours.event_id,
        "dead-letters": ours.new_letter() and f"{ours.log.topic}-3-17",
    }
    for path, thing in made.items():
        shown = [
            ask(served, *asked).text for asked in ((THEIRS, f"GET {path}", theirs), (OURS, f"GET {path}", everybody))
        ]
        assert [f'"{thing}"' in each for each in shown] == [False, True], path


def test_another_streams_topic_is_none_of_a_streams_dead_letters(served: Served) -> None:
    theirs = served.key(Scope.ADMIN, streams=(THEIRS,))
    partition, offset = served.ours.new_letter()
    for label in ("GET dead-letters", f"GET dead-letters/{partition}/{offset}"):
        answer = ask(served, THEIRS, label, theirs, params={"topic": served.ours.log.topic})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
