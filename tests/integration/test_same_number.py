"""Two processes with one ``--instance``: the one that started last continues, the other ends and says why."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.decided import build_rows, publish_rows, read_decisions
from tests.integration.services import Services, log_of
from weir.infra.settings import Settings

pytestmark = pytest.mark.server


def _decided(settings: Settings) -> Counter[str]:
    return Counter(decision["transaction_id"] for decision in read_decisions(settings))


def test_a_scorer_that_is_fenced_by_a_second_one_ends_and_does_not_fence_it_back(services: Services) -> None:
    settings = services.settings
    publish_rows(settings, build_rows(0, 20))
    first = services.start("score")
    services.await_true(lambda: len(_decided(settings)) == 20, "20 decisions")
    second = services.start("score")
    publish_rows(settings, build_rows(20, 20))
    services.await_refused(first)
    assert log_of(first).strip().splitlines()[-1].endswith("give each process an --instance of its own")
    services.await_true(lambda: len(_decided(settings)) == 40, "40 decisions")
    publish_rows(settings, build_rows(40, 20))
    services.await_true(lambda: len(_decided(settings)) == 60, "60 decisions")
    assert set(_decided(settings).values()) == {1}
    assert second.process.poll() is None
    assert "connecting_anew" not in log_of(second)


def test_a_processor_that_is_fenced_by_a_second_one_ends_too(services: Services) -> None:
    first = services.start("process")
    services.await_true(lambda: log_of(first).count('"caught_up"') == 4, "every unit caught up")
    second = services.start("process")
    services.await_refused(first)
    services.await_true(lambda: log_of(second).count('"caught_up"') == 4, "every unit taken over")
    assert "connecting_anew" not in log_of(second)
