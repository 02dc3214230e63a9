"""What is around an event over HTTP, whatever the archive says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from tests.unit.inference.test_api import CARD_NUMBER, World
from tests.unit.inference.twins import Client, MemoryAround
from weir.inference.api.app import build_api
from weir.inference.api.around.document import LINKS, NORMAL
from weir.schemas.errors import Damaged, Refused, Transient, WeirError

PATHS = ["links", "normal"]


class Around:
    """An API over a twin."""

    def __init__(self, home: Path) -> None:
        self.world, self.twin = World(home), MemoryAround()
        self.twin.known = frozenset({"t/1"})
        served = replace(self.world.served, around=self.twin)
        self.client = Client(build_api(replace(self.world.parts, streams=[served])))


@pytest.fixture
def around(tmp_path: Path) -> Around:
    return Around(tmp_path)


@pytest.mark.parametrize("prefix", ["/v1", "/v1/streams/transactions"])
def test_what_is_around_an_event_is_answered(around: Around, prefix: str) -> None:
    links, normal = (around.client.get(f"{prefix}/{path}/t/1").json() for path in PATHS)
    jsonschema.validate(links, LINKS)
    jsonschema.validate(normal, NORMAL)
    assert (links, normal) == (around.twin.links, around.twin.normal)
    assert around.twin.asked == [("transactions", "t/1")] * 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Transient("around: 4 requests are waiting already; ask again", cause="busy"), 503, "busy"),
        (Transient("around: no answer within 8 s; ask again"), 503, "unavailable"),
        (Damaged("a file is gone"), 503, "damaged"),
        (Refused("a newer version wrote it"), 503, "refused"),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_the_api(
    around: Around, path: str, error: WeirError, status: int, code: str
) -> None:
    around.twin.error = error
    answer = around.client.get(f"/v1/{path}/t/1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("path", PATHS)
def test_an_event_that_is_not_there_and_an_archive_that_is_not_are_told_apart(around: Around, path: str) -> None:
    answer = around.client.get(f"/v1/{path}/t2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_evidence")
    around.twin.known = None
    answer = around.client.get(f"/v1/{path}/t/1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_archive")
    without = Client(build_api(around.world.parts))
    assert without.get(f"/v1/{path}/t/1").json()["error"]["code"] == "no_archive"


@pytest.mark.parametrize("path", PATHS)
def test_a_card_number_is_not_looked_for(around: Around, path: str) -> None:
    assert around.client.get(f"/v1/{path}/{CARD_NUMBER}").status_code == 422
    assert around.twin.asked == []
