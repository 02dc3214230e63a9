"""How long a server that starts is waited for: as long as its recovery moves, and no longer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from weir.infra.embedded import starting
from weir.infra.embedded.kafka_server import KafkaServer
from weir.infra.embedded.process import ServerProcess
from weir.infra.embedded.redis_server import RedisServer
from weir.infra.identity import Identity
from weir.schemas.errors import WeirError

LOG = """\
INFO  LogManager - Recovering 2 logs from /home/data since no clean shutdown file was found
INFO  LogLoader - [LogLoader partition=t-0, dir=/d] Recovering unflushed segment 0. 0 recovered for t-0.
INFO  LogManager - Completed load of Log(dir=/d/t-0) with 1 segments and log-end-offset 0 in 27ms (1/2 completed in /d)
INFO  LogLoader - [LogLoader partition=t-1, dir=/d] Recovering unflushed segment 4711. 3 recovered for t-1.
"""


@dataclass
class Slow:
    """A server that serves after so many looks; ``says`` is how far it is at each of them."""

    looks: int
    says: list[str] = field(default_factory=list)
    name: str = "slow"
    looked: int = 0

    def is_ready(self) -> bool:
        self.looked += 1
        return self.looked > self.looks

    def recovery(self, _output: str) -> str:
        return self.says[min(self.looked - 1, len(self.says) - 1)] if self.says else ""


class Alive(ServerProcess):
    """A process that runs for as long as it is asked."""

    def find_running(self) -> Identity | None:
        return Identity(1, "now")


def _await(server: Slow, folder: Path, *, seconds_a_look: float, told: list[str] | None = None) -> None:
    ticks = iter(range(1_000_000))
    starting.await_ready(
        server,
        Alive("slow", record_path=folder / "slow.json", log_path=folder / "slow.log"),
        tell=(told if told is not None else []).append,
        given_up=threading.Event(),
        clock=lambda: next(ticks) * seconds_a_look,
    )


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_POLL_SECONDS", 0.0)


def test_a_recovery_that_moves_is_followed_to_its_end_and_told_in_between(tmp_path: Path) -> None:
    told: list[str] = []
    _await(Slow(100, [f"{n} of 100" for n in range(100)]), tmp_path, seconds_a_look=30.0, told=told)
    assert told[:2] == ["slow: 0 of 100", "slow: 1 of 100"]
    assert len(told) == 100


def test_lines_about_one_recovery_come_now_and_then(tmp_path: Path) -> None:
    told: list[str] = []
    _await(Slow(100, [f"{n} of 100" for n in range(100)]), tmp_path, seconds_a_look=0.5, told=told)
    assert len(told) == pytest.approx(100 * 0.5 / starting.TELL_SECONDS, abs=2)


def test_a_recovery_that_stands_still_is_given_up_with_its_last_word(tmp_path: Path) -> None:
    with pytest.raises(WeirError, match="stands still at: 1 of 100; `weir down` ends it"):
        _await(Slow(1_000, ["0 of 100", "1 of 100"]), tmp_path, seconds_a_look=30.0)


def test_a_server_that_says_nothing_is_given_up_as_before(tmp_path: Path) -> None:
    slow = Slow(1_000)
    with pytest.raises(WeirError, match="not ready after"):
        _await(slow, tmp_path, seconds_a_look=10.0)
    assert slow.looked <= starting.READY_SECONDS_MAX / 10 + 2


def test_a_broker_says_how_far_its_recovery_is(tmp_path: Path) -> None:
    kafka = KafkaServer(tmp_path, 1, 2, lambda *_: None)
    assert kafka.recovery("INFO  Kafka Server started") == ""
    assert kafka.recovery(LOG).endswith("1 of 2 partitions done, last at offset 4711 of t-1")
    assert len({kafka.recovery("\n".join(LOG.splitlines()[:lines])) for lines in range(5)}) == 4


def test_a_broker_that_ended_in_order_is_not_said_to_recover(tmp_path: Path) -> None:
    """It reads its own metadata again at every start."""
    kafka = KafkaServer(tmp_path, 1, 2, lambda *_: None)
    clean = LOG.replace("since no clean shutdown file was found", "since clean shutdown file was found")
    assert kafka.recovery(clean).startswith("opens its log: 1 of 2 partitions done")
    assert "unclean" not in kafka.recovery(clean)
    assert "after an unclean end" in kafka.recovery(LOG)


def test_a_redis_says_how_far_its_loading_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = "$100\r\n# Persistence\r\nloading:1\r\nloading_total_bytes:900\r\nloading_loaded_perc:12.50\r\n"
    monkeypatch.setattr(RedisServer, "_ask", lambda _self, _command: reply)
    assert RedisServer(tmp_path, 1).recovery("") == "loads its file: 12.50 % of 900 bytes"
    monkeypatch.setattr(RedisServer, "_ask", lambda _self, _command: "loading:0\r\n")
    assert RedisServer(tmp_path, 1).recovery("") == ""
