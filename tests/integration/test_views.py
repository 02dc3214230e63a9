"""What an operator is shown of the logs: decisions as they come, dead letters in order of time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.command_line import Weir, run_in_process
from tests.integration.dead_letters import publish_dead_letters
from tests.integration.decided import await_true, build_rows, publish_rows, read_decisions
from tests.integration.running import running
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.cli import run_scorer
from weir.inference.inspect.stream import DecisionStream
from weir.infra.kafka.history import History
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings

pytestmark = pytest.mark.server


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


def test_the_last_decisions_are_shown_in_order_with_latency_reasons_and_amount(
    deployment: Settings, weir: Weir, tmp_path: Path
) -> None:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings = deployment.model_copy(update={"home": tmp_path})
    assert "no decision yet" in weir(settings, "inspect", "stream")[1]
    with running(run_scorer, settings, instance=0), closing(History(settings.kafka)) as history:
        for first in range(0, 60, 5):  # transactions of their own, each with its marker in the log
            publish_rows(settings, build_rows(first, 5, amount_minor=2_599, currency="EUR"))
            await_true(lambda first=first: len(read_decisions(settings)) == first + 5, "decisions")  # type: ignore[misc]
        with closing(Registry(settings.registry)) as registry:
            stream = DecisionStream(settings, history, registry)
            assert stream.last(0) == []
            publish_rows(settings, build_rows(60, 5, amount_minor=1_200, currency="JPY"))
            fresh: list[str] = []

            def five_more() -> bool:
                fresh.extend(d["amount"] for d in stream.fresh())
                return len(fresh) == 5

            await_true(five_more, "five more")
            assert set(fresh) == {"1,200 JPY"}
    code, shown, _ = weir(settings, "inspect", "stream", "--json", "--count", "50")
    documents = [json.loads(line) for line in shown.splitlines()]
    assert (code, len(documents)) == (0, 50)
    times = [document["decided_ms"] for document in documents]
    assert times == sorted(times)
    assert {document["amount"] for document in documents} == {"25.99 EUR", "1,200 JPY"}
    assert all(0 <= document["latency_ms"] < 60_000 for document in documents)
    last_ids = {document["transaction_id"] for document in documents}
    assert last_ids == {f"t{number}" for number in range(15, 65)}
    code, shown, _ = weir(settings, "inspect", "stream", "--count", "5")
    assert code == 0
    assert shown.count("1,200 JPY") == 5
    assert len(shown.splitlines()) == 5 + 5  # a line each, between title, head and frame


def test_dead_letters_are_listed_by_time_and_repeats_do_not_hide_the_others(deployment: Settings, weir: Weir) -> None:
    """``partition 1, partition 0, partition 1``, and fifty repeats before them."""
    publish_dead_letters(deployment, [None] * 60, reason="duplicate")
    for number, partition in enumerate((1, 0, 1)):
        time.sleep(0.01)  # the broker's clock counts milliseconds
        publish_dead_letters(deployment, [b"x"], partition=partition, first_offset=200 + number)
    code, shown, said = weir(deployment, "dlq", "list")
    assert code == 0
    _, *lines = shown.splitlines()
    assert [line.split()[1].rpartition("-")[2] for line in lines] == ["200", "201", "202"]
    assert "not listed: 60 letters of duplicate" in said
    assert len(weir(deployment, "dlq", "list", "--all", "--limit", "0")[1].splitlines()) == 1 + 63
    assert len(weir(deployment, "dlq", "list", "--json", "--limit", "0")[1].splitlines()) == 63
    assert len(weir(deployment, "dlq", "list", "--reason", "duplicate", "--limit", "7")[1].splitlines()) == 1 + 7
