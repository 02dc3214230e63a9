"""Looks at dependencies: what is said of them, once per change, and that none holds up another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from weir.infra.findings import Finding
from weir.monitoring import metrics
from weir.monitoring.health import Health
from weir.schemas.errors import Refused, Transient
from weir.streaming.health import watch as watch_module
from weir.streaming.health.checks import AGAIN_SECONDS, SELDOM_SECONDS, LossHook, Seldom
from weir.streaming.health.watch import Watch

WELL = [Finding("redis_policy", "ok", "redis evicts nothing")]
BAD = [Finding("redis_policy", "fail", "expected noeviction, found allkeys-lru", "set it")]
POISON = "0123456789abcdef"


class Lines:
    """Stands for the module's logger."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.seen.append((level, event, fields))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    lines = Lines()
    monkeypatch.setattr(watch_module, "log", lines)
    return lines


class Answers:
    """A look whose answer a test sets."""

    def __init__(self, now: Sequence[Finding] | Exception) -> None:
        self.now = now

    def __call__(self) -> Sequence[Finding]:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


def gauge(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def test_a_fault_is_one_line_as_it_comes_and_one_as_it_goes(lines: Lines) -> None:
    answers, health = Answers(WELL), Health()
    watch = Watch({"redis": answers}, health=health)
    for now in (WELL, WELL, BAD, BAD, BAD, WELL, WELL):
        answers.now = now
        watch.look("redis")
    assert [(level, event) for level, event, _ in lines.seen] == [("error", "check_fails"), ("info", "check_passes")]
    assert lines.seen[0][2]["found"] == ["expected noeviction, found allkeys-lru; set it"]


def test_a_fault_is_in_the_metric_and_on_the_health_page() -> None:
    answers, health = Answers(BAD), Health()
    watch = Watch({"redis": answers}, health=health)
    watch.look("redis")
    assert gauge("weir_check_level", check="redis_policy") == 2
    assert gauge("weir_dependency_up", dependency="redis") == 1
    assert health.checks() == {"redis": ("fail", "expected noeviction, found allkeys-lru; set it")}
    answers.now = WELL
    watch.look("redis")
    assert gauge("weir_check_level", check="redis_policy") == 0
    assert health.is_ready()


def test_a_dependency_that_is_away_is_told_once_and_told_when_it_is_back(lines: Lines) -> None:
    answers, health = Answers(Transient("redis: ping: refused")), Health()
    watch = Watch({"redis": answers}, health=health)
    watch.look("redis")
    watch.look("redis")
    assert gauge("weir_dependency_up", dependency="redis") == 0
    assert health.checks() == {"redis": ("fail", "redis: ping: refused")}
    answers.now = WELL
    watch.look("redis")
    assert gauge("weir_dependency_up", dependency="redis") == 1
    assert [event for _, event, _ in lines.seen] == ["dependency_away", "dependency_back"]


@pytest.mark.parametrize("error", [Refused("not let in"), RuntimeError(POISON)])
def test_a_look_that_fails_otherwise_does_not_end_the_looking_and_is_not_ready(error: Exception) -> None:
    health = Health()
    Watch({"redis": Answers(error)}, health=health).look("redis")
    assert not health.is_ready()
    assert POISON not in str(health.checks())


def test_a_dependency_that_hangs_delays_no_look_at_another() -> None:
    health, hangs, seen = Health(), threading.Event(), threading.Event()

    def hang() -> Sequence[Finding]:
        hangs.wait(30)
        return WELL

    def see() -> Sequence[Finding]:
        seen.set()
        return WELL

    watch = Watch({"kafka": hang, "redis": see}, health=health, every_seconds=0.01).start()
    try:
        assert seen.wait(10)
    finally:
        hangs.set()
        watch.close()


def test_a_costly_look_is_taken_seldom_and_sooner_after_a_fault() -> None:
    now, asked, answers = [0.0], [0], Answers(WELL)

    def ask() -> None:
        asked[0] += 1

    seldom = Seldom(answers, ask, lambda: now[0])
    assert seldom() == WELL
    answers.now = BAD
    assert seldom() == WELL
    assert asked == [1]
    now[0] += SELDOM_SECONDS
    assert seldom() == BAD
    answers.now = WELL
    now[0] += AGAIN_SECONDS
    assert seldom() == WELL


def test_a_loss_waits_for_somebody_who_can_deal_with_it() -> None:
    hook, told = LossHook(), list[str]()
    assert not hook("redis evicted 3 keys")
    hook.handler = told.append
    assert hook("redis evicted 3 keys")

    def away(_: str) -> None:
        raise Transient("redis: marking: away")

    hook.handler = away
    assert not hook("redis evicted 3 keys")
    assert told == ["redis evicted 3 keys"]


@pytest.mark.parametrize("now", [BAD, Transient("gone"), Refused("let nobody in"), ValueError("odd")])
def test_what_a_look_finds_after_the_end_is_not_said(lines: Lines, now: Sequence[Finding] | Exception) -> None:
    def look() -> Sequence[Finding]:
        watch.close()
        return Answers(now)()

    health = Health()
    watch = Watch({"redis": look}, health=health)
    watch.look("redis")
    assert lines.seen == []
    assert health.checks() == {}
