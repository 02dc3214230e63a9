"""Children end with their supervisor, and those of one that was killed are found by who they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import weir.cli
from tests.house.source import ROOT
from weir import bench
from weir.infra import children
from weir.infra.children import Children, end_recorded, ended_by_signals, undisturbed
from weir.infra.embedded import cli
from weir.infra.embedded.leftover import children_record, demo_runs, end_left_over, find_left_over, only_demo
from weir.infra.embedded.stack import DEMO_MARKER
from weir.infra.identity import Identity, identify, parse_identity
from weir.schemas.errors import Refused

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
SUPERVISOR = """
import sys
from collections.abc import Iterator
from pathlib import Path
from weir.infra.children import Children
children = Children(Path(sys.argv[1]), record=Path(sys.argv[1]) / "demo-children.json")
children.start("one", [sys.executable, "-c", "import time; time.sleep(600)"])
children.start("two", [sys.executable, "-c", "import time; time.sleep(600)"])
print("started", flush=True)
input()
"""


def _kill_a_supervisor(folder: Path) -> list[Identity]:
    """Start a supervisor with two children and kill it without warning; return the children."""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "started\n"
    supervisor.kill()
    supervisor.communicate()
    rows = json.loads(children_record(folder).read_text())
    return [Identity(row["pid"], row["born"], row["boot"], row["command"]) for row in rows]


def test_children_of_a_supervisor_that_was_killed_are_found_and_ended_by_the_next(tmp_path: Path) -> None:
    orphans = _kill_a_supervisor(tmp_path)
    assert [orphan.is_running() for orphan in orphans] == [True, True]
    assert sorted(find_left_over(tmp_path)) == ["one", "two"]
    assert sorted(end_left_over(tmp_path)) == ["one", "two"]
    assert [orphan.is_running() for orphan in orphans] == [False, False]
    assert end_left_over(tmp_path) == []


@pytest.mark.parametrize("changed", [{"born": "1"}, {"boot": "an earlier one"}, {"command": "python -m weir process"}])
def test_a_process_that_only_looks_like_a_recorded_one_is_left_alone(tmp_path: Path, changed: dict[str, str]) -> None:
    with subprocess.Popen(SLEEP) as stranger:
        row = {"name": "process", **vars(identify(stranger.pid, with_command=True)), **changed}
        children_record(tmp_path).write_text(json.dumps([row]))
        assert end_left_over(tmp_path) == []
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '[{"name": "x"}]', '[{"name": "x", "pid": "y", "born": 1}]'])
def test_a_record_that_cannot_be_read_names_nobody(tmp_path: Path, text: str) -> None:
    children_record(tmp_path).write_text(text)
    assert end_recorded(children_record(tmp_path)) == []


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "STOP_SECONDS", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        children_record(tmp_path).write_text(
            json.dumps([{"name": "deaf", **vars(identify(child.pid, with_command=True))}])
        )
        assert end_left_over(tmp_path) == ["deaf"]
        assert child.wait(10) == -signal.SIGKILL


def test_a_group_that_ended_in_order_leaves_no_record(tmp_path: Path) -> None:
    group = Children(tmp_path, record=children_record(tmp_path))
    group.start("one", SLEEP)
    assert children_record(tmp_path).exists()
    group.stop()
    assert not children_record(tmp_path).exists()


@pytest.fixture
def _heard() -> Iterator[None]:
    """Hear every signal, as under a terminal: what starts the tests in the background may ignore some."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_supervisor_as_an_exception_does(number: signal.Signals) -> None:
    cleaned = []

    def supervise() -> None:
        with ended_by_signals():
            try:
                os.kill(os.getpid(), number)
            finally:
                with undisturbed():
                    os.kill(os.getpid(), number)
                    os.kill(os.getpid(), signal.SIGINT)
                    cleaned.append(True)

    with pytest.raises(SystemExit) as ended:
        supervise()
    assert ended.value.code == 128 + number
    assert cleaned


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_demo_of_one_home_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    assert not demo_runs(tmp_path)
    with only_demo(tmp_path):
        assert demo_runs(tmp_path)
        with pytest.raises(Refused, match="another demo runs"), only_demo(tmp_path):
            pass
    assert not demo_runs(tmp_path)


DEMO = """
import signal, sys, time
from weir.demo import cli as demo
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests were started by ignores
signal.signal(signal.SIGINT, signal.default_int_handler)
class Servers:
    def __getattr__(self, name): return lambda *_: None
demo.Stack = lambda *_, **__: Servers()
def run(story):
    story._children.start("service", [sys.executable, "-c", "import time; time.sleep(600)"])
    print("started", flush=True)
    time.sleep(600)
demo.Demo.run = run
sys.exit(demo.main(["demo"]))
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_a_demo_its_services_end_at_the_latest_with_the_next_one(
    tmp_path: Path, number: signal.Signals
) -> None:
    environ = {**os.environ, "WEIR_HOME": str(tmp_path), "WEIR_API__PORT": "0"}
    with subprocess.Popen([sys.executable, "-c", DEMO], stdout=subprocess.PIPE, env=environ, cwd=ROOT) as demo:
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline() == b"started\n"
            (row,) = json.loads(children_record(tmp_path).read_text())
            service = parse_identity(row)
            assert service is not None
            assert service.is_running()
            assert demo_runs(tmp_path)
            demo.send_signal(number)
            demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert not demo_runs(tmp_path)
    if number == signal.SIGKILL:
        assert service.is_running()
        assert end_left_over(tmp_path) == ["service"]
    else:
        assert demo.returncode in (128 + number, 130)
    assert not service.is_running()


def test_a_measurement_ends_what_one_that_was_killed_left_and_none_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    dead, alive, other = (tmp_path / f"weir-bench-{name}" for name in ("dead", "alive", "other"))
    for home in (dead, alive, other):
        home.mkdir()
    orphans = _kill_a_supervisor(dead)
    with only_demo(dead):
        pass
    with only_demo(alive):
        bench._end_predecessors()
    assert [orphan.is_running() for orphan in orphans] == [False, False]
    assert [home.exists() for home in (dead, alive, other)] == [False, True, True]


class Served:
    """A stack that serves at once."""

    def __init__(self, home: Path, **_: object) -> None:
        self.home = home

    def start(self, *_: object) -> None:
        return

    def stop(self) -> list[str]:
        return []

    def status(self) -> list[object]:
        return []


def test_up_after_a_killed_demo_names_what_still_runs_and_the_command_that_it_names_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "Stack", Served)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    orphans = _kill_a_supervisor(tmp_path)
    assert weir.cli.main(["up"]) == 0
    told = capsys.readouterr().err
    assert "left running: one, two; `weir down` ends them" in told
    assert [orphan.is_running() for orphan in orphans] == [True, True]
    assert weir.cli.main(["down"]) == 0
    assert [orphan.is_running() for orphan in orphans] == [False, False]


def test_up_beside_a_running_demo_leaves_its_mark_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "Stack", Served)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    (tmp_path / DEMO_MARKER).write_text("{}")
    with only_demo(tmp_path):
        assert weir.cli.main(["up"]) == 0
    assert "they end with it" in capsys.readouterr().err
    assert (tmp_path / DEMO_MARKER).exists()
    assert weir.cli.main(["up"]) == 0
    assert not (tmp_path / DEMO_MARKER).exists()
