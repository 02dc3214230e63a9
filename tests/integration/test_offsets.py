"""``weir offsets recover`` on a real broker: which outputs it takes the next offset from."""

from __future__ import annotations

import json
import threading

import pytest

from tests.conftest import environment_of
from weir.infra.kafka.clients import build_producer
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.dlq.letter import dead_letter_headers
from weir.streaming.offsets.cli import OffsetsTool, main

pytestmark = pytest.mark.server
OPEN_SECONDS = 1.0


def _publish_letter(settings: Settings, *, group: str, offset: int, transactional_id: str) -> threading.Timer | None:
    """Put a dead letter into the log; one whose id says ``open`` in a transaction that is aborted a little later."""
    producer = build_producer(settings.kafka, transactional_id=f"{settings.cluster}-{transactional_id}")
    headers = dead_letter_headers(
        settings.processor.dlq_header_prefix,
        topic=settings.topics.transactions,
        partition=0,
        offset=offset,
        group=group,
        stage="decode",
        exception_class="PoisonRecord",
        message="expected magic byte 0, found 7",
        timestamp_ms=1,
        reason="bad_magic",
    )
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(settings.topics.dlq, b"x", partition=0, headers=headers)
    producer.flush(10)
    if transactional_id != "open":
        producer.commit_transaction(10)
        return None
    timer = threading.Timer(OPEN_SECONDS, producer.abort_transaction, [10])
    timer.start()
    return timer


def _propose(settings: Settings) -> dict[tuple[str, int], int | None]:
    tool = OffsetsTool(settings)
    rows = tool.propose(tool.rows(), skip_expired=False)
    return {(row.topic, row.partition): row.proposed for row in rows}


def test_outputs_behind_an_open_transaction_count_and_those_of_another_group_do_not(deployment: Settings) -> None:
    """``[39 open ...][41 committed][99 of others]``: ends at the last stable offset, the log would have no output."""
    timer = _publish_letter(deployment, group=deployment.processor.group, offset=39, transactional_id="open")
    _publish_letter(deployment, group=deployment.processor.group, offset=41, transactional_id="own")
    _publish_letter(deployment, group="others", offset=99, transactional_id="others")
    assert _propose(deployment)[deployment.topics.transactions, 0] == 42
    assert timer is not None
    timer.join()


def test_a_position_that_is_none_is_shown_and_dropped_and_never_counted_with(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment_of(deployment).items():
        monkeypatch.setenv(name, value)
    tool = OffsetsTool(deployment)
    unit = Unit("t", 1)
    key = tool._view.prefix(unit) + "position"
    tool._view._client.set(key, b"not a position")
    with pytest.raises(Refused, match="position of unit t01 with its check"):
        main(["offsets", "recover"])
    assert main(["offsets", "show", "--json"]) == 1
    shown = capsys.readouterr()
    assert {row["applied"] for row in json.loads(shown.out)} == {None}
    assert "expected the position of unit t01" in shown.err
    assert main(["offsets", "drop-view", "--partition", "1", "--apply"]) == 0
    assert tool._view._client.get(key) is None


def test_a_group_that_was_renamed_is_told_its_old_name(deployment: Settings) -> None:
    _publish_letter(deployment, group="old-name", offset=3, transactional_id="old")
    with pytest.raises(Refused, match="set WEIR_PROCESSOR__GROUP=old-name again"):
        _propose(deployment)
