"""The HTTP API of a user's stream, asked for rides that were decided and for one that was not."""

from __future__ import annotations

from tests.integration.decided import await_true
from tests.integration.rides import Row, decide, expect, is_same
from tests.unit.inference.twins import Client
from weir.inference.api.app import build_api
from weir.inference.api.serve import build_parts
from weir.infra.settings import Settings
from weir.monitoring.health import Health
from weir.schemas.project import ServedStreams


def ask_the_api(settings: Settings, rides: list[Row]) -> list[Row]:
    """Return the decisions as the API has them; a ride that was not taken is scored by what the log holds."""
    stream, health = settings.stream, Health()
    parts = build_parts(settings, ServedStreams((stream,), stream.name), health)
    api, path = Client(build_api(parts)), f"/v1/streams/{stream.name}"
    await_true(lambda: api.get(f"{path}/decisions/{rides[-1]['ride_id']}").status_code == 200, "the last decision")
    next_ride = rides[-1] | {"ride_id": "ride-next", "at_ms": rides[-1]["at_ms"] + 60_000}
    answer = api.post(f"{path}/score", json=next_ride).json()
    expected = expect(stream, [*rides, next_ride])[-1]
    assert [name for name in expected if not is_same(answer["features"][name], expected[name])] == []
    said = decide(next_ride, expected) | {"score": None, "degraded_by": ["no_model"]}
    assert {name: answer[name] for name in said} == said
    assert api.get(f"{path}/models").json()["champion"]["name"] == "none"
    parts.close()
    return [api.get(f"{path}/decisions/{ride['ride_id']}").json() for ride in rides]
