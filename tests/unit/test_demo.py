"""The demo's own guards and arithmetic: whose servers it ends, what it keeps, what it shows."""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from weir.demo import cli as demo
from weir.demo import story as demo_story
from weir.demo import watch as demo_watch
from weir.demo.freshness import ViewPositions
from weir.demo.port import ApiPort
from weir.inference.api.web.listening import inherit
from weir.infra.children import Children
from weir.infra.embedded.ports import choose_ports, is_free
from weir.infra.home import stack_env_path
from weir.infra.settings import load_settings
from weir.init import build_project
from weir.monitoring.live_view import ShownEvent, Snapshot, render, summary_line
from weir.schemas.errors import Refused, Transient
from weir.schemas.project import load_shipped

ANSWERS_ONCE = """
import sys
from weir.inference.api.web.listening import inherit
asker, _ = inherit(int(sys.argv[sys.argv.index("--fd") + 1])).accept()
asker.sendall(b"inherited")
asker.recv(1)
"""


class Servers:
    """A stack that only notes what is asked of it."""

    def __init__(self, *_: object, **__: object) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.asked.append(name)

    def status(self) -> list[Any]:
        return []


def test_servers_that_were_started_by_hand_are_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers()
    monkeypatch.setattr(demo_story, "Stack", lambda *_, **__: servers)
    stack_env_path(tmp_path).write_text("")
    story = demo.Demo(load_settings({"WEIR_HOME": str(tmp_path), "WEIR_API__PORT": "0"}), argparse.Namespace(seed=7))
    with pytest.raises(Refused, match="started by hand"):
        story.run()
    story.close()
    assert servers.asked == []


def test_servers_that_a_demo_started_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers()
    monkeypatch.setattr(demo_story, "Stack", lambda *_, **__: servers)
    story = demo.Demo(load_settings({"WEIR_HOME": str(tmp_path), "WEIR_API__PORT": "0"}), argparse.Namespace(seed=7))
    story._fresh_servers()
    servers.asked.clear()
    story.close()
    assert servers.asked == ["stop"]


def test_a_refusal_because_of_servers_by_hand_names_a_command_that_destroys_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_env_path(tmp_path).write_text("")
    monkeypatch.setattr(demo_story, "Stack", lambda *_, **__: Servers())
    with pytest.raises(Refused) as refused:
        demo.Demo(load_settings({"WEIR_HOME": str(tmp_path)}), argparse.Namespace(seed=7)).run()
    words = shlex.split(re.findall("`([^`]*)`", str(refused.value))[0])
    assert words == ["WEIR_HOME=.weir-demo", "make", "demo"]


def test_a_taken_port_of_the_api_is_seen_before_anything_is_wiped_and_its_fix_is_a_free_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers()
    monkeypatch.setattr(demo_story, "Stack", lambda *_, **__: servers)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environ = {"WEIR_HOME": str(tmp_path), "WEIR_API__PORT": str(taken.getsockname()[1])}
        story = demo.Demo(load_settings(environ), argparse.Namespace(seed=7))
        with pytest.raises(Refused, match=rf"taken by .*\(pid {os.getpid()}\)") as refused:
            story._fresh_servers()
        name, _, port = shlex.split(re.findall("`([^`]*)`", str(refused.value))[0])[0].partition("=")
        fixed = demo.Demo(load_settings({**environ, name: port}), argparse.Namespace(seed=7))
        fixed._port.hold(fixed._settings.api)
        fixed.close()
    story.close()
    assert servers.asked == []


def test_the_port_of_the_api_is_held_from_the_start_and_handed_over_whole(tmp_path: Path) -> None:
    (settings,) = [load_settings({"WEIR_HOME": str(tmp_path), "WEIR_API__PORT": str(port)}) for port in choose_ports(1)]
    port, children = ApiPort(), Children(tmp_path / "logs")
    port.hold(settings.api)
    assert not is_free(settings.api.port)
    with socket.create_connection(("127.0.0.1", settings.api.port), timeout=30) as early:
        port.start(children, [sys.executable, "-c", ANSWERS_ONCE])
        assert early.recv(100) == b"inherited", "who asked before the API began is answered by it"
        children.stop()
    assert is_free(settings.api.port)


def test_a_descriptor_that_listens_on_no_loopback_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(Refused, match="--fd: expected a listening socket"):
        inherit(file.fileno())
    with pytest.raises(Refused, match=r"--fd: expected a socket that listens on 127\.0\.0\.1"):
        inherit(socket.socket().detach())


def _decision(number: int) -> dict[str, Any]:
    row = {"transaction_id": str(number), "decision": "APPROVE", "degraded": False, "score": 0.1, "reasons": []}
    return row | {"event_time_ms": number, "amount_minor": 2_599, "currency": "EUR", "features": "x" * 1_000}


def test_what_a_demo_keeps_is_bounded_and_is_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_watch, "DECISIONS_MAX", 10)
    tally = demo_watch.Tally()
    for number in range(1_000):
        tally.decide(_decision(number))
        tally.latency.note(float(number), now=number / 10)
    assert tally.decisions == {"APPROVE": 1_000}
    assert list(tally.by_id) == [str(number) for number in range(990, 1_000)]
    assert "features" not in tally.by_id["999"]
    assert tally.latency.values() == [float(n) for n in range(1_000) if n / 10 >= 99.9 - demo_watch.LATENCY_SECONDS]


def test_percentiles_are_of_what_happens_now() -> None:
    tally = demo_watch.Tally(latency_seconds=10.0)
    tally.latency.note(9_000.0, now=0.0)
    for second in range(5, 15):
        tally.latency.note(10.0, now=float(second))
    assert demo_watch.percentiles(tally.latency.values())["max"] == 10.0


@pytest.mark.parametrize("seconds", [0, 15, 60, 300, 3_600])
@pytest.mark.parametrize("rate", [1, 100, 5_000])
def test_cards_grow_with_the_payments_of_a_demo_up_to_a_bound(rate: int, seconds: int) -> None:
    cards = demo.choose_cards(rate, seconds)
    assert 2_000 <= cards <= 10_000
    assert cards == 10_000 or rate * (seconds or 150) / cards <= 3.01


REASONS = ["IP_BURST", "DEVICE_RECENTLY_SEEN", "CARD_NOT_KNOWN", "AMOUNT_FAR_ABOVE_CARDS_MEAN", "MERCHANT_RISK"]


def _shown(width: int, height: int, declined: list[ShownEvent]) -> str:
    console = Console(file=io.StringIO(), width=width, height=height)
    figures = {"p50": 1.0, "p90": 1.5, "p99": 12_345.0, "max": 60_000.0}
    snapshot = Snapshot("t", latest=declined, latency_ms=figures, freshness_ms=figures, processes={"process": "up"})
    console.print(render(snapshot, width=width, height=height))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 118, 140, 200])
def test_every_reason_of_a_decline_is_shown_whole_at_any_width(width: int) -> None:
    shown = _shown(width, 40, [ShownEvent("12:00:00", "a" * 36, "1,234,567.89 EUR", "0.999", REASONS)])
    assert [reason for reason in REASONS if reason not in shown] == []
    assert "a" * 36 in shown
    assert "1,234,567.89 EUR" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (118, 24), (120, 30), (140, 24), (150, 24), (80, 50)])
def test_the_view_fits_the_terminal(width: int, height: int) -> None:
    declined = [ShownEvent("12:00:00", f"tx-{n}", "1.00 EUR", "0.9", REASONS[:3]) for n in range(8)]
    assert len(_shown(width, height, declined).splitlines()) < height


def test_an_id_with_markup_in_it_is_shown_as_it_is() -> None:
    for width in (80, 120):
        assert "[/red][bold]x" in _shown(width, 40, [ShownEvent("12:00:00", "[/red][bold]x", "1.00 EUR", "0.9", ["R"])])


def test_one_line_says_what_the_view_says() -> None:
    line = summary_line(Snapshot(elapsed_seconds=10, events_in=1_000, decisions={"APPROVE": 9}, latency_ms={}))
    assert line == "10 s: 1,000 events in, APPROVE 9, REVIEW 0, DECLINE 0, dead letters 0, lag 0"


def test_freshness_is_told_next_to_latency() -> None:
    figures = {"p50": 40.0, "p90": 60.0, "p99": 130.0, "max": 200.0}
    line = summary_line(Snapshot(latency_ms=figures, freshness_ms={"p50": 70.0, "p99": 190.0}))
    assert line.endswith("p50 40 ms, p99 130 ms, in Redis p99 190 ms")
    assert re.search(r"p99 +12345 +12345", _shown(80, 24, []))


def test_the_view_counted_an_offset_when_it_was_first_seen_to_have_passed_it() -> None:
    """``applied`` by look: 5, 5, 8, unreachable, 12; built again from 3: what was seen before says nothing then."""
    looks: list[int | Transient] = [5, 5, 8, Transient("away"), 12, 3, 20]
    now = [0.0]

    def read_applied(partition: int) -> int:
        assert partition == 0
        found = looks.pop(0)
        if isinstance(found, Transient):
            raise found
        return found

    positions = ViewPositions(read_applied, 1, lambda: now[0])
    for look in range(5):
        now[0] = look * 10.0
        positions.look()
    assert [positions.passed_ms(0, offset) for offset in (4, 5, 7, 8, 11, 12)] == [0.0, 20.0, 20.0, 40.0, 40.0, None]
    positions.look()
    assert (positions.passed_ms(0, 2), positions.passed_ms(0, 4)) == (40.0, None)
    now[0] = 60.0
    positions.look()
    assert positions.passed_ms(0, 4) == 60.0


# --- a project -------------------------------------------------------------------------------------------------------


def _clicks_row(number: int, **changes: Any) -> dict[str, Any]:
    stream = load_shipped("clicks").stream
    features: dict[str, Any] = dict.fromkeys(stream.feature_names, 1.5) | {"customer_device_new_30d": None}
    return features | {"click_id": f"c{number}", "customer_id": "u", "event_time_ms": number, "degraded": []} | changes


def test_rows_that_nothing_decides_are_counted_and_shown_with_some_of_their_features() -> None:
    stream = load_shipped("clicks").stream
    tally = demo_watch.Tally(stream)
    for number in range(5):
        tally.compute(_clicks_row(number, degraded=["late"] if number == 3 else []))
    assert (tally.outcomes, tally.degraded, dict(tally.decisions)) == (5, 1, {})
    shown = demo_watch._show(stream, _clicks_row(7), at_ms=0)
    assert (shown.event_id, shown.amount, shown.score) == ("c7", "", "-")
    assert shown.reasons == [f"customer_event_count_{window} 1.5" for window in ("1m", "1h", "1d")] + [
        "customer_dwell_mean_1h 1.5"
    ]


def test_a_decision_of_a_stream_without_amounts_is_shown_by_what_decided() -> None:
    stream = load_shipped("clicks").stream
    row: dict[str, Any] = {"click_id": "c1", "decision": "APPROVE", "decided_by": "rules", "score": None, "reasons": []}
    assert demo_watch._show(stream, row, at_ms=0).reasons == ["APPROVE", "rules"]
    declined = row | {"decision": "DECLINE", "reasons": [{"code": "CUSTOMER_EVENT_COUNT"}]}
    assert demo_watch._show(stream, declined, at_ms=0).reasons == ["CUSTOMER_EVENT_COUNT"]


def test_the_view_of_a_stream_that_nothing_decides_tells_rows_and_why_there_are_dead_letters() -> None:
    snapshot = Snapshot("clicks", event="click", decided=False, outcomes=9, reasons={"duplicate": 3, "bad_dwell_ms": 1})
    console = Console(file=io.StringIO(), width=140, height=40)
    console.print(render(snapshot, width=140, height=40))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert all(part in shown for part in ("feature rows", "duplicate 3", "bad_dwell_ms 1", "click"))
    assert "DECLINE" not in shown
    assert summary_line(snapshot) == "0 s: 0 events in, feature rows 9, dead letters 4, lag 0"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--project", "nowhere"], "expected a weir.toml in nowhere, found none"),
        (["--stream", "clicks"], "expected --stream with a project, found none here"),
        (["--project", "mine", "--cards", "100"], "expected --cards and --days without a project"),
        (["--project", "mine", "--stream", "klicks"], "expected the name of a stream, found 'klicks'"),
    ],
)
def test_flags_of_the_other_kind_of_demo_are_refused_before_anything_starts(
    flags: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in build_project("mine", "clicks").items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    with pytest.raises(Refused, match=re.escape(says)):
        demo.main(["demo", *flags])
    assert not (tmp_path / ".weir").exists()


def test_the_demo_of_a_folder_inside_a_project_is_that_projects_and_tells_the_faults_of_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in build_project("mine", "clicks").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "generator.toml").write_text("[clicks]\nrte = 5\n")
    monkeypatch.chdir(tmp_path / "streams")
    with pytest.raises(Refused, match=r"generator\.toml:2: generator of clicks: .*did you mean 'rate'"):
        demo.main(["demo"])
