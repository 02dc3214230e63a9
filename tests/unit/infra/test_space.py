"""A full disk: the fix that is named frees space and destroys nothing, and what destroys data says so and waits."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import weir.cli
from tests.house.source import ROOT
from weir.infra.embedded import doctor
from weir.infra.embedded.artifacts import kafka_jars_dir
from weir.infra.embedded.leftover import only_demo
from weir.infra.embedded.process import ServerProcess
from weir.infra.findings import Finding

DATA = ("servers/kafka/data/t-0/0.log", "servers/redis/appendonlydir/a.aof", "servers/registry/registry.mv.db")
KEPT = (*DATA, "models/champion/model.onnx", "mlruns/runs.db", "history/transactions.parquet", "lists.json")
FREED = ("logs/kafka.log", "logs/kafka.log.1", "logs/process.log", "demo/truth.parquet")
MIB = 1024**2


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    for name in (*KEPT, *FREED):
        _write(folder / name, 2 * MIB)
    monkeypatch.setenv("WEIR_HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _write(tmp_path / "cache" / "weir" / "kafka-of-an-older-lock" / "a.jar", 2 * MIB)
    _write(kafka_jars_dir() / "a.jar", 2 * MIB)
    return folder


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _fill_the_disk(monkeypatch: pytest.MonkeyPatch, *, free: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(total=10**12, used=0, free=free))


def _disk(home: Path) -> Finding:
    return doctor._examine_disk(home)


def _follow(fix: str) -> None:
    """Run the first command that a fix names, exactly as it is named."""
    command = re.findall(r"`weir ([^`]*)`", fix)[0]
    assert weir.cli.main(shlex.split(command)) == 0


def test_a_disk_with_room_is_no_finding(home: Path) -> None:
    assert _disk(home).well or "expected" in _disk(home).found


def test_the_fix_for_a_full_disk_frees_space_and_loses_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill_the_disk(monkeypatch, free=doctor._DISK_BYTES_MIN - 5 * MIB)
    finding = _disk(home)
    assert not finding.well
    assert "home/servers/kafka 2.0 MiB" in finding.found
    assert "frees 10.0 MiB without loss" in finding.fix
    assert "not enough" not in finding.fix
    _follow(finding.fix)
    assert _files(home) == set(KEPT)
    assert kafka_jars_dir().is_dir()
    assert not (kafka_jars_dir().parent / "kafka-of-an-older-lock").exists()


def test_the_doctor_says_what_takes_the_space_of_a_full_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill_the_disk(monkeypatch, free=0)
    monkeypatch.setattr(doctor, "examine_all", lambda *_, **__: [])  # of servers that are not there
    assert weir.cli.main(["doctor", "--home", str(home)]) == 1
    assert "home/servers/kafka 2.0 MiB" in capsys.readouterr().out


def test_the_doctor_shows_a_warning_with_its_fix_and_ends_well(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = Finding("redis_memory", "warn", "redis is nearly full", "give it more")
    monkeypatch.setattr(doctor, "examine", lambda _home: [Finding("java", "ok", "21"), memory])
    assert weir.cli.main(["doctor", "--home", str(home)]) == 0
    shown = " ".join(capsys.readouterr().out.splitlines()[1].split())
    assert shown == "WARN redis_memory redis is nearly full -> give it more"
    assert weir.cli.main(["doctor", "--json", "--home", str(home)]) == 0
    assert json.loads(capsys.readouterr().out)[1] == vars(memory)


def test_where_that_is_not_enough_it_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill_the_disk(monkeypatch, free=0)
    assert "that is not enough: free space elsewhere" in _disk(home).fix


def test_where_nothing_can_be_freed_no_command_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weir.cli.main(["clean", "--apply"]) == 0
    _fill_the_disk(monkeypatch, free=0)
    assert "nothing here can be freed without loss" in _disk(home).fix
    assert "`" not in _disk(home).fix


@pytest.mark.parametrize("flags", [[], ["--data"]])
def test_without_apply_nothing_is_changed_and_the_loss_is_named(
    home: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert weir.cli.main(["clean", *flags]) == 0
    shown = capsys.readouterr().out
    assert _files(home) == {*KEPT, *FREED}
    verb = "delete" if flags else "keep"
    assert re.search(rf"^{verb} +2.0 MiB  home/servers/kafka .*loses payments, decisions", shown, re.MULTILINE)
    assert re.search(rf"^{verb} +2.0 MiB  home/models .*loses model bundles", shown, re.MULTILINE)
    assert f"`weir clean {' '.join([*flags, '--apply'])}` deletes" in shown
    assert "nothing was changed" in shown


def test_with_data_and_apply_what_weir_made_goes_and_files_of_others_stay(home: Path) -> None:
    assert weir.cli.main(["clean", "--data", "--apply"]) == 0
    assert _files(home) == {"lists.json"}
    (home / "lists.json").unlink()
    _write(home / "models" / "champion" / "model.onnx", 10)
    assert weir.cli.main(["clean", "--data", "--apply"]) == 0
    assert not home.exists()


def test_a_home_that_holds_other_things_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose home of Weir is also their own home folder must not lose it."""
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _write(tmp_path / "letters" / "to-a-friend.txt", 10)
    (tmp_path / "ports.json").write_text("{}")
    assert weir.cli.main(["clean", "--data", "--apply"]) == 0
    assert "letters/to-a-friend.txt" in _files(tmp_path)


def test_data_under_a_running_demo_is_not_deleted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with only_demo(home):
        assert weir.cli.main(["clean", "--data", "--apply"]) == 2
        assert weir.cli.main(["clean", "--apply"]) == 0
    assert "a demo runs" in capsys.readouterr().err
    assert {*KEPT, "demo/truth.parquet", "logs/process.log"} <= _files(home)


@pytest.fixture
def running(home: Path) -> Iterator[ServerProcess]:
    process = ServerProcess("kafka", record_path=home / "servers" / "kafka.json", log_path=home / "logs" / "kafka.log")
    process.launch([sys.executable, "-c", "import time; time.sleep(600)"], cwd=home)
    yield process
    process.kill()


@pytest.mark.usefixtures("running")
def test_the_log_of_a_server_that_runs_is_kept(home: Path) -> None:
    assert weir.cli.main(["clean", "--apply"]) == 0
    assert "logs/kafka.log" in _files(home)
    assert "logs/kafka.log.1" not in _files(home)


def _make(target: str, folder: Path, *variables: str) -> str:
    command = ["make", "-f", str(ROOT / "Makefile"), target, f"VENV={Path(sys.executable).parent.parent}", *variables]
    own = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}  # not those of `make test`
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, env=own)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_clean_destroys_nothing(home: Path, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    _write(tmp_path / "mlruns" / "runs.db", 10)
    _make("clean", tmp_path)
    assert _files(home) == set(KEPT)
    assert not (tmp_path / "build").exists()
    assert (tmp_path / "mlruns" / "runs.db").exists()


def test_make_clean_data_shows_what_goes_and_asks_for_apply(home: Path, tmp_path: Path) -> None:
    assert "loses payments, decisions" in _make("clean-data", tmp_path)
    assert _files(home) == {*KEPT, *FREED}
    _make("clean-data", tmp_path, "ARGS=--apply")
    assert _files(home) == {"lists.json"}


def _copy_what_setup_needs(folder: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements/dev.lock"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())


def _write_recorder(python: Path, then: str = "") -> None:
    """Write a Python that only notes what it is asked."""
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\necho "$0 $@" >> calls\n{then}\n')
    python.chmod(0o755)


def test_make_setup_takes_the_python_that_it_is_told_to_take(tmp_path: Path) -> None:
    """What the doctor names where the environment is of a Python that does not do: it is deleted and made again."""
    _copy_what_setup_needs(tmp_path)
    made = tmp_path / "made"
    _write_recorder(made)
    other = tmp_path / "bin" / "python3.11"
    _write_recorder(
        other, then=f'[ "$1" != -m ] || {{ mkdir -p .venv/bin; cp {shlex.quote(str(made))} .venv/bin/python; }}'
    )
    path = f"{other.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["make", "PYTHON=python3.11", "setup"],
        cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    calls = (tmp_path / "calls").read_text().splitlines()
    assert f"{other} -m venv .venv" in calls
    assert any(call.startswith(".venv/bin/python -m pip install") for call in calls)


def test_make_setup_repairs_an_environment_whose_stamp_is_there(tmp_path: Path) -> None:
    """`make setup` is what the doctor names for a missing Java; a stamp must not make it do nothing."""
    _copy_what_setup_needs(tmp_path)
    _write_recorder(tmp_path / ".venv" / "bin" / "python")
    for times in (1, 2):
        command = ["make", "setup", f"PYTHON={sys.executable}"]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
        calls = (tmp_path / "calls").read_text().splitlines()
        assert sum("--require-hashes -r requirements/dev.lock" in call for call in calls) == times
