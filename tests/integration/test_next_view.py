"""A view that is built next to the one in use: nothing is lost or doubled when processors change over, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher
from tests.integration.services import Services, log_of
from tests.integration.streams import Log, assert_exactly_once, build_stream, publish
from tests.integration.test_exactly_once import deploy
from weir.infra.redis.client import connect
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.drop_view import drop_view

pytestmark = pytest.mark.server
RECORDS = 150
CUT_OVER = ("cut-over", "transactions")
OTHER_ID = "nobody-of-note"
"""As a placeholder: another view, and the same kernel."""


@pytest.fixture
def services(stack: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    running = Services(deploy(stack, request.node.name, batch_records_max=40), tmp_path / "logs")
    yield running
    running.stop()


class Stream:
    """Payments that come while views change."""

    def __init__(self, services: Services) -> None:
        self._services, self._publisher = services, Publisher(services.settings)
        self.log: Log = []

    def go_on(self) -> None:
        """Publish some more and wait until they are decided."""
        first = len(self.log)
        self.log += publish(self._publisher, build_stream(seed=first, count=RECORDS, first=first))
        with closing(Outputs(self._services.settings)) as outputs:
            outputs.await_settled(len(self.log), self._services.await_true)

    def assert_whole(self, settings: Settings) -> None:
        assert_exactly_once(settings, self.log, self._services.await_true, partitions=2)


def count_keys(settings: Settings) -> int:
    """Count what is in the view of the settings' declarations, by the names of partials and positions."""
    with closing(connect(settings.redis)) as client:
        pattern = f"weir:{settings.cluster}:{settings.processor.group}:*"
        keys = [key.decode() for key in client.scan_iter(match=pattern, count=5_000)]
    return len([key for key in keys if key.split(":")[3] not in {"view", "starts", "suspect"}])


def test_processors_change_over_to_a_view_that_is_there_already_and_back(services: Services) -> None:
    old = services.settings
    new = old.model_copy(update={"placeholder_ids": (OTHER_ID,)})
    assert old.declarations_hash != new.declarations_hash
    stream, deciding = Stream(services), services.start("process")
    stream.go_on()
    own_keys = count_keys(old)

    services.change(new)
    builder = services.start("features", *CUT_OVER, ready="ready after")
    stream.go_on()  # both are alive: one decides, one follows
    services.end(deciding)
    deciding = services.start("process")
    stream.go_on()
    assert builder.process.wait(60) == 0
    assert "cut over: every unit follows the view of" in log_of(builder)
    assert '"view_missing"' not in log_of(deciding)
    stream.assert_whole(new)
    assert count_keys(old) > own_keys

    services.change(old)
    assert "ready after" in services.run("features", *CUT_OVER, "--until-ready")
    services.end(deciding)
    deciding = services.start("process")
    stream.go_on()
    assert '"view_missing"' not in log_of(deciding)

    both = count_keys(old)
    assert "would be deleted in 4 of 4 units" in services.run("features", "drop", new.declarations_hash)
    assert count_keys(old) == both
    services.run("features", "drop", new.declarations_hash, "--apply")
    assert 0 < count_keys(old) < both
    stream.go_on()
    stream.assert_whole(old)
    with pytest.raises(Refused, match="expected a view that no processor decides by"):
        drop_view(old, old.declarations_hash, tell=print, apply=True)
    told: list[str] = []
    assert not drop_view(old, new.declarations_hash, tell=told.append, apply=True)
    assert "found none in any of 4 units" in told[0]
