"""Compiling is told before and after, done once for all that start together, and never a reason not to start."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from weir.streaming import compiling
from weir.streaming.compiling import compile_once, tell_on_stderr
from weir.streaming.core import jit

DEADLINE_SECONDS = 10.0


class Told:
    """Notes what is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.changed = threading.Condition()

    def __call__(self, event: str, **_: object) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait_for(self, event: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: event in self.events, DEADLINE_SECONDS)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "CACHED_SECONDS_MAX", 0.05)


def test_compiling_is_told_before_it_ends_and_after(tmp_path: Path) -> None:
    told = Told()
    compile_once(lambda: told.wait_for("compiling"), tmp_path / "lock", told)
    assert told.events == ["compiling", "compiled"]


def test_reading_what_was_compiled_before_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "CACHED_SECONDS_MAX", DEADLINE_SECONDS)
    told = Told()
    compile_once(lambda: None, tmp_path / "lock", told)
    assert told.events == []


def test_of_processes_that_start_together_one_compiles_at_a_time_and_the_others_say_that_they_wait(
    tmp_path: Path,
) -> None:
    running, most = [0], [0]
    tolds = [Told() for _ in range(4)]

    def run() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0)  # let the others run, if they may
        running[0] -= 1

    def first() -> None:
        run()
        for told in tolds[1:]:
            told.wait_for("waiting_for_the_compiler")

    started = threading.Event()

    def start_first() -> None:
        started.set()
        first()

    with ThreadPoolExecutor(len(tolds)) as pool:
        compiler = pool.submit(compile_once, start_first, tmp_path / "lock", tolds[0])
        assert started.wait(DEADLINE_SECONDS)
        others = [pool.submit(compile_once, run, tmp_path / "lock", told) for told in tolds[1:]]
        for start in (compiler, *others):
            start.result(DEADLINE_SECONDS)
    assert most == [1]


def test_once_compiled_nobody_waits_for_another(tmp_path: Path) -> None:
    compile_once(lambda: None, tmp_path / "lock", Told())
    inner = Told()
    compile_once(lambda: compile_once(lambda: None, tmp_path / "lock", inner), tmp_path / "lock", Told())
    assert "waiting_for_the_compiler" not in inner.events


def test_a_compiler_that_failed_leaves_the_next_one_to_compile(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError):
        compile_once(fail, tmp_path / "lock", Told())
    assert (tmp_path / "lock").read_text() == ""


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = []
    compile_once(lambda: ran.append(1), tmp_path / "file" / "lock", Told())
    assert ran == [1]


def test_people_read_it_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    for event in ("compiling", "waiting_for_the_compiler", "compiled"):
        tell_on_stderr(event, **({"seconds": 3.5} if event == "compiled" else {}))
    shown = capsys.readouterr().err
    assert shown.count("\n") == 3
    assert shown.endswith("compiled the kernel in 3.5 s\n")


def test_whatever_compiled_code_takes_from_another_file_is_part_of_the_stamp() -> None:
    stamped = {path.stem: path for path in jit.list_sources()}
    assert {"view", "layout", "passes"} <= set(stamped)
    assert not {"kernel", "plans", "events"} & set(stamped), "a change to what compiles nothing would compile again"
    for path in stamped.values():
        taken = set(re.findall(r"^from weir\.streaming\.core\.(\w+) import", path.read_text(), re.MULTILINE))
        assert taken - {"interpreted"} <= set(stamped), path.name  # that one is read where nothing is compiled
