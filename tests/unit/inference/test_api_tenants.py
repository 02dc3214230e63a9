"""Each thing of one stream, asked for by a key of another one: it is not there, under any path and by any id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.keyed import OURS, THEIRS, Served
from tests.unit.inference.things import NAMED, VERSIONED
from weir.access.key import Scope

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
    assert {each for each in named if "{" in each} == set(NAMED)
    assert {each for each in named if each.endswith("/rollback")} == {each for each in VERSIONED if "POST" in each}


@pytest.mark.parametrize("label", [*(each for each in NAMED if each != FEATURES), *VERSIONED])
def test_a_thing_of_one_stream_is_not_there_for_a_key_of_another(served: Served, label: str) -> None:
    given = (NAMED | VERSIONED)[label](served.ours)
    # another stream's topic is refused before anything is looked for
    sent: dict[str, Any] = {"params": {name: given.query[name] for name in given.query if name != "topic"}}
    sent |= {} if given.body is None else {"json": given.body}
    theirs, everybody = served.key(Scope.ADMIN, streams=(THEIRS,)), served.key(Scope.ADMIN)
    filled = label
    for name, value in given.path.items():
        filled = filled.replace(f"{{{name}}}", str(value))
    for stream in (THEIRS, OURS):
        answer = ask(served, stream, filled, theirs, **sent)
        assert answer.status_code == 404, (stream, answer.text)
        assert OURS not in answer.text
    found = ask(served, OURS, filled, everybody, **sent)
    assert found.is_success, f"it was there all the time, and nothing was done to it: {found.text}"


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
