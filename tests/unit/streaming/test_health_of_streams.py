"""What is looked at of several streams: every one of them, and one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from weir.infra import invariants
from weir.infra.findings import Finding
from weir.infra.invariants import Invariant, examine_all
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.monitoring.health import Health
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.streaming.health.checks import examine_streams
from weir.streaming.health.watch import Watch

STREAMS = (payments, clicks, replace(payments, name="refunds"))
EACH = [Settings().of_stream(stream) for stream in STREAMS]


def look(*broken: Stream) -> list[tuple[str, str]]:
    """Return level and text of what is found where the topics of some streams are missing."""

    def examine(settings: Settings) -> list[Finding]:
        if settings.stream in broken:
            return [Finding("topics", "fail", f"expected topic {settings.topics.transactions}, found none")]
        return [Finding("topics", "ok", "every topic is as it must be")]

    return [
        (finding.level if not finding.of_some else "some " + finding.level, finding.found)
        for finding in examine_streams(EACH, examine)
    ]


def test_every_stream_is_looked_at_and_what_they_share_is_said_once() -> None:
    assert look() == [("ok", "every topic is as it must be")]


def test_a_stream_that_fails_among_others_is_named() -> None:
    assert look(clicks) == [
        ("ok", "every topic is as it must be"),
        ("some fail", "expected topic clicks, found none"),
    ]


def test_a_process_is_ready_while_some_of_its_streams_fail_and_the_metric_rings() -> None:
    missing = Finding("topics", "fail", "expected topic clicks, found none", of_some=True)
    health = Health()
    Watch({"kafka": lambda: [Finding("topics", "ok", "fine"), missing]}, health=health).look("kafka")
    assert health.checks()["kafka"] == ("warn", "expected topic clicks, found none")
    assert metrics.REGISTRY.get_sample_value("weir_check_level", {"check": "topics"}) == 2.0


def test_streams_that_all_fail_fail() -> None:
    assert {level for level, _ in look(*STREAMS)} == {"fail"}
    assert len(look(*STREAMS)) == len(STREAMS)


def test_a_look_at_everything_asks_for_each_stream_and_once_for_what_they_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    def examine(check: str) -> Callable[[Settings], list[Finding]]:
        def found(settings: Settings) -> list[Finding]:
            asked.append((check, settings.topics.transactions))
            bad = check == "topics" and settings.stream is clicks
            return [Finding(check, "fail" if bad else "ok", settings.topics.transactions)]

        return found

    each = (Invariant("kafka", examine("topics"), per_stream=True), Invariant("redis", examine("redis")))
    monkeypatch.setattr(invariants, "INVARIANTS", each)
    found = list(examine_all(Settings(), STREAMS))
    assert asked == [*(("topics", stream.name) for stream in STREAMS), ("redis", "transactions")]
    assert [(finding.check, finding.level, finding.found) for finding in found] == [
        ("topics", "fail", "clicks"),
        ("redis", "ok", "transactions"),
    ]
