"""A subject without a schema: what a start says about it, followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.conftest import settings_for
from tests.integration.command_line import Weir, run_in_process
from weir.infra.kafka.topics import ensure_topics
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import subject
from weir.schemas.errors import Refused

pytestmark = pytest.mark.server


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


def test_an_empty_subject_is_registered(stack: Settings, weir: Weir) -> None:
    settings = settings_for(stack, "no-schema")
    ensure_topics(settings)
    with closing(Registry(settings.registry)) as registry:
        with pytest.raises(Refused, match="`weir schemas register`"):
            registry.latest_id(subject(settings.topics.transactions))
        assert weir(settings, "schemas", "register")[0] == 0
        assert registry.latest_id(subject(settings.topics.transactions)) > 0
    assert weir(settings, "schemas", "check")[0] == 0
