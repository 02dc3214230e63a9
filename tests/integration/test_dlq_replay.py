"""Dead letters on a real broker: seen, replayed once for ever, parked, discarded, healed.

The crash tests draw what is committed when::

    records  [a b][c d][e f]        batches of two, one Kafka transaction each
    killed        ^ after the first commit: c d are in an open transaction
    again    a b are settled, c..f go; in the end each is there once
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.conftest import environment_of
from tests.integration.dead_letters import (
    done_actions,
    frame_payment,
    publish_dead_letters,
    read_all,
)
from tests.integration.forked import Fork
from weir.infra.children import child_environment
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.sink import Fenced
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import subject
from weir.schemas.errors import WeirError
from weir.streaming.dlq import cli as dlq_cli
from weir.streaming.dlq import replay as dlq_replay
from weir.streaming.dlq.auto import AutoOptions, AutoReplayer
from weir.streaming.dlq.desk import Change, Wanted, build_letters
from weir.streaming.dlq.log import DeadLetterLog, Selection
from weir.streaming.dlq.page import read_cursor
from weir.streaming.dlq.plan import Options, Step
from weir.streaming.dlq.replay import Replay, Report, transactional_id

pytestmark = pytest.mark.server
NOW_MS = 1_800_000_000_000


@pytest.fixture
def settings(deployment: Settings) -> Settings:
    return deployment


@contextmanager
def _replay(settings: Settings) -> Iterator[Replay]:
    with DeadLetterLog(settings, settings.topics.dlq) as log:
        yield Replay(settings, log, clock_ms=lambda: NOW_MS)


def _run(settings: Settings, options: Options | None = None, selection: Selection | None = None) -> Report:
    with _replay(settings) as replay:
        return replay.run(selection or Selection(), options or Options())


def _values(settings: Settings) -> Counter[bytes]:
    return Counter(message.value() for message in read_all(settings, settings.topics.transactions))


def _cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    return dlq_cli.main(["dlq", *arguments])


def test_a_replayed_record_is_the_original_with_a_count_in_its_partition(settings: Settings) -> None:
    publish_dead_letters(settings, [b"a"], partition=1, original_headers=[("trace", b"\x00\xff"), ("none", None)])
    assert _run(settings).outcomes == {"replayed": 1}
    (record,) = read_all(settings, settings.topics.transactions)
    assert (record.key(), record.value(), record.partition()) == (b"card-0", b"a", 1)
    prefix = settings.processor.dlq_header_prefix
    assert record.headers() == [
        ("trace", b"\x00\xff"),
        ("none", None),
        (prefix + "replay.count", b"1"),
        (prefix + "origin", f"{settings.topics.transactions}-1-100".encode()),
    ]


def test_replaying_twice_replays_once(settings: Settings) -> None:
    publish_dead_letters(settings, [b"a", b"b"])
    assert _run(settings).outcomes == {"replayed": 2}
    assert _run(settings).outcomes == {"settled": 2}
    assert _values(settings) == {b"a": 1, b"b": 1}


def test_a_process_that_serves_shows_sends_and_settles_single_letters(settings: Settings) -> None:
    with closing(Registry(settings.registry)) as schemas:
        first, other = (build_letters(settings, schemas, now_ms=lambda: NOW_MS) for _ in range(2))
        with closing(first), closing(other):
            topic = settings.topics.dlq
            assert first.page(topic, Wanted())["letters"] == []
            publish_dead_letters(settings, [b"a", b"b", b"c"], partition=1)
            assert [each["state"] for each in other.page(topic, Wanted())["letters"]] == ["open"] * 3
            newest = first.page(topic, Wanted(limit=2))
            assert len(newest["letters"]) == 2
            rest = first.page(topic, Wanted(limit=2, after=read_cursor(newest["next"])))
            places = [each["offset"] for each in [*newest["letters"], *rest["letters"]]]
            assert places == sorted(places, reverse=True)
            shown = first.show(topic, 1, places[0])
            assert shown is not None
            assert (shown["key"], shown["replay"]["outcome"]) == ("card-2", "replayed")
            outcomes = [desk.settle(topic, 1, places[0], Change()) for desk in (first, other, first)]
            assert [each["outcome"] for each in outcomes if each] == ["replayed", "settled", "settled"]
            discarded = other.settle(topic, 1, places[1], Change(discard=True))
            assert discarded is not None
            assert discarded["outcome"] == "discarded"
            assert first.show(topic, 1, places[-1] + 9) is first.show(topic, 7, 0) is None
            states = first.page(topic, Wanted(Selection(from_ms=0)))["letters"]
            assert [each["state"] for each in states] == ["replayed", "discarded", "open"]
    assert _values(settings) == {b"c": 1}


def test_a_dry_run_changes_nothing_and_apply_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_dead_letters(settings, [b"a", b"b"])
    publish_dead_letters(settings, [None], reason="duplicate", first_offset=200)
    assert _cli(settings, monkeypatch, "replay") == 0
    assert "plan" in (shown := capsys.readouterr().out)
    assert "2 replayed, 1 unreplayable" in shown
    assert _values(settings) == {}
    assert _cli(settings, monkeypatch, "replay", "--apply", "--json") == 0
    assert json.loads(capsys.readouterr().out)["letters"] == {"replayed": 2, "unreplayable": 1}
    assert _values(settings) == {b"a": 1, b"b": 1}


def test_list_show_and_stats_tell_what_is_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_dead_letters(settings, [b"a 4111111111111111", b"b"])
    publish_dead_letters(settings, [None], reason="duplicate", partition=1)
    assert _cli(settings, monkeypatch, "list", "--json", "--reason", "undecodable") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["state"], row["value_bytes"]) for row in rows] == [("open", 18), ("open", 1)]
    assert rows[0]["source"] == f"{settings.topics.transactions}-0-100"
    assert _cli(settings, monkeypatch, "show", "--partition", "0", "--offset", "0") == 0
    shown = capsys.readouterr().out
    assert "**" in shown
    assert "4111111111111111" not in shown
    assert "34 31 31 31" not in shown
    assert _cli(settings, monkeypatch, "stats") == 0
    assert "duplicate" in capsys.readouterr().out
    assert _cli(settings, monkeypatch, "list", "--from", "2100-01-01") == 0
    assert "undecodable" not in capsys.readouterr().out


def test_a_dead_letter_is_shown_decoded_repaired_by_field_and_rekeyed_by_its_new_card(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Registry(settings.registry)) as registry:
        schema_id = registry.latest_id(subject(settings.topics.transactions))
    value = frame_payment(schema_id, amount_minor=-5)
    publish_dead_letters(settings, [value, b"no frame"], reason="amount_out_of_range", partition=1)
    assert _cli(settings, monkeypatch, "show", "--json", "--limit", "1") == 0
    assert json.loads(capsys.readouterr().out)["decoded"]["amount_minor"] == -5
    # the second cannot be decoded, so it stays open and the command says that it failed
    repair = ["replay", "--set", "amount_minor=500", "--set", "card_id=c77"]
    assert _cli(settings, monkeypatch, *repair) == 1
    assert "transaction_id t1, card_id: c1 -> c77, amount_minor: -5 -> 500" in capsys.readouterr().out
    assert _cli(settings, monkeypatch, *repair, "--apply") == 1
    assert "1 replayed, 1 unrepairable" in capsys.readouterr().out
    (record,) = read_all(settings, settings.topics.transactions)
    assert record.value() == frame_payment(schema_id, amount_minor=500, card_id="c77")
    assert record.key() == b"c77"
    expected = build_producer(settings.kafka)
    expected.produce(settings.topics.decisions, b"same partitioner", b"c77")
    assert expected.flush(30) == 0
    assert record.partition() == read_all(settings, settings.topics.decisions)[0].partition()


def test_a_discarded_letter_is_settled_and_still_there(settings: Settings) -> None:
    publish_dead_letters(settings, [b"a", b"b"])
    chosen = Selection(partition=0, offset=0)
    assert _run(settings, Options(discard=True), chosen).outcomes == {"discarded": 1}
    assert _run(settings).outcomes == {"settled": 1, "replayed": 1}
    assert _values(settings) == {b"b": 1}
    assert len(read_all(settings, settings.topics.dlq)) == 2


def test_a_record_that_keeps_failing_is_parked_and_can_be_taken_up_again(settings: Settings) -> None:
    headers: list[tuple[str, bytes | None]] = []
    for attempt in range(3):
        publish_dead_letters(settings, [b"a"], first_offset=attempt, original_headers=headers)
        assert _run(settings, Options(attempts_max=2)).outcomes["replayed" if attempt < 2 else "parked"] == 1
        headers = read_all(settings, settings.topics.transactions)[-1].headers()
    assert [entry["action"] for entry in done_actions(settings)] == ["replayed", "replayed", "parked"]
    assert len({entry["origin"] for entry in done_actions(settings)}) == 1
    assert _run(settings, Options(attempts_max=2, parked=True)).outcomes == {"settled": 2, "replayed": 1}
    assert _values(settings) == {b"a": 3}


def test_what_fails_again_during_a_replay_is_left_for_the_next(settings: Settings) -> None:
    publish_dead_letters(settings, [b"a", b"b"])

    def fail_again(_step: Step) -> None:
        publish_dead_letters(settings, [b"again"], first_offset=500)

    with _replay(settings) as replay:
        assert replay.run(Selection(), Options(), on_step=fail_again).outcomes == {"replayed": 2}


def test_the_later_of_two_replays_fences_the_earlier_and_nothing_is_doubled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq_replay, "BATCH_LETTERS_MAX", 2)
    letters = [f"{number}".encode() for number in range(6)]
    publish_dead_letters(settings, letters)
    later: list[Report] = []

    def start_another(_step: Step) -> None:
        if not later:
            later.append(_run(settings))

    with _replay(settings) as replay, pytest.raises(Fenced):
        replay.run(Selection(), Options(), on_step=start_another)
    assert later[0].outcomes == {"settled": 2, "replayed": 4}
    assert _values(settings) == dict.fromkeys(letters, 1)


@pytest.mark.parametrize(("where", "settled"), [("before", 2), ("after", 4)])
def test_a_replay_killed_around_a_commit_is_finished_by_the_next(settings: Settings, where: str, settled: int) -> None:
    letters = [f"{number}".encode() for number in range(6)]
    publish_dead_letters(settings, letters)
    process = _start_replay(settings, batch=2, crash=where)
    assert process.wait(60) == -signal.SIGKILL
    assert _run(settings).outcomes == {"settled": settled, "replayed": 6 - settled}
    assert _values(settings) == dict.fromkeys(letters, 1)
    assert len(done_actions(settings)) == len(letters)


def test_a_replay_killed_at_any_moment_is_finished_by_the_next_each_record_once(settings: Settings) -> None:
    letters = [f"{number}".encode() for number in range(1_000)]
    publish_dead_letters(settings, letters)
    process = _start_replay(settings)
    _await_some_done(settings, process)
    process.kill()
    process.wait()
    _run(settings)
    assert _values(settings) == dict.fromkeys(letters, 1)
    assert len(done_actions(settings)) == len(letters)


def test_two_replay_processes_at_once_double_nothing(settings: Settings) -> None:
    letters = [f"{number}".encode() for number in range(1_000)]
    publish_dead_letters(settings, letters)
    first, second = _start_replay(settings), _start_replay(settings)
    codes = {first.wait(120), second.wait(120)}
    assert 0 in codes
    _run(settings)
    assert _values(settings) == dict.fromkeys(letters, 1)


def test_an_open_transaction_of_another_replay_does_not_hide_what_was_done(settings: Settings) -> None:
    """``done: [other, open][a replayed, committed]``: a read that stopped at the open one would replay a again."""
    publish_dead_letters(settings, [b"a"])
    other = build_producer(settings.kafka, transactional_id=transactional_id("another.dlq"))
    other.init_transactions(30)
    with _replay(settings) as replay:
        other.begin_transaction()
        other.produce(settings.topics.dlq_done, json.dumps({"unfinished": True}).encode(), b"another")
        other.flush(30)
        assert replay.run(Selection(), Options()).outcomes == {"replayed": 1}
    ending = threading.Timer(1.0, other.abort_transaction, [30])
    ending.start()
    assert _run(settings).outcomes == {"settled": 1}
    ending.join()
    assert _values(settings) == {b"a": 1}


def test_the_automatic_replayer_waits_heals_and_parks(settings: Settings) -> None:
    publish_dead_letters(settings, [b"heals"], reason="unknown_schema_id")
    publish_dead_letters(settings, [b"never"], reason="undecodable", first_offset=200)
    appended_ms = read_all(settings, settings.topics.dlq)[0].timestamp()[1]
    now_ms = [appended_ms]
    with DeadLetterLog(settings, settings.topics.dlq) as log:
        auto = AutoReplayer(settings, log, AutoOptions(base_ms=1_000, attempts_max=1), clock_ms=lambda: now_ms[0])
        assert not auto.run_round().outcomes
        now_ms[0] += 1_000
        assert auto.run_round().outcomes == {"replayed": 1}
        assert not auto.run_round().outcomes
        headers = read_all(settings, settings.topics.transactions)[-1].headers()
        publish_dead_letters(
            settings, [b"heals"], reason="unknown_schema_id", first_offset=300, original_headers=headers
        )
        now_ms[0] += 3_600_000
        assert auto.run_round().outcomes == {"parked": 1}
    assert _values(settings) == {b"heals": 1}


def test_a_missing_topic_is_refused_in_one_line(settings: Settings) -> None:
    with pytest.raises(WeirError, match="weir topics create"):
        DeadLetterLog(settings, settings.topics.dlq + ".missing").ends()


def _start_replay(settings: Settings, *, batch: int = 10, crash: str = "never") -> Fork:
    arguments = ("tests.integration.replay_child", str(batch), crash)
    return Fork(arguments, child_environment(environment_of(settings)), Path(os.devnull), Path(os.devnull))


def _await_some_done(settings: Settings, process: Fork) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and not done_actions(settings):
        assert time.monotonic() < deadline, "the replay committed nothing"
