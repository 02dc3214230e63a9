"""What of the embedded stack needs no server: locks, digests, identities of processes, choice of ports."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from weir.infra.embedded import artifacts, ports, process, stack
from weir.infra.embedded.artifacts import Artifact, fetch, load_lock
from weir.infra.embedded.process import ServerProcess
from weir.infra.http_health import health_url
from weir.infra.identity import Identity, identify, read_birth
from weir.infra.settings import MonitoringSettings, Settings
from weir.schemas.errors import WeirError

DEADLINE_SECONDS = 10.0


def _artifact(content: bytes) -> Artifact:
    return Artifact("org.example", "thing", "1.0", "jar", "", len(content), hashlib.sha256(content).hexdigest())


def _put_in_maven(home: Path, artifact: Artifact, content: bytes) -> None:
    path = home / ".m2" / "repository" / artifact.maven_path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def _process(folder: Path) -> ServerProcess:
    return ServerProcess("thing", record_path=folder / "thing.json", log_path=folder / "thing.log")


def _sleeper(folder: Path, code: str = "import time; time.sleep(600)") -> ServerProcess:
    launched = _process(folder)
    launched.launch([sys.executable, "-c", code], cwd=folder)
    return launched


def test_a_lock_line_names_packaging_and_classifier_where_they_are_not_the_usual(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(f"a.b:c:1 5 {'0' * 64}\na.b:d:2:tar.gz:all 6 {'1' * 64}\n")
    jar, archive = load_lock(lock)
    assert jar.maven_path == Path("a/b/c/1/c-1.jar")
    assert archive.maven_path == Path("a/b/d/2/d-2-all.tar.gz")


def test_an_artifact_of_the_local_repository_is_taken_without_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _put_in_maven(tmp_path, _artifact(b"right"), b"right")
    assert fetch(_artifact(b"right"), tmp_path / "thing.jar").read_bytes() == b"right"


def test_other_bytes_than_the_lock_names_never_reach_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _put_in_maven(tmp_path, _artifact(b"right"), b"wrong")
    wrong = tmp_path / "downloaded"
    wrong.write_bytes(b"wrong")
    monkeypatch.setattr(artifacts, "_download", lambda _artifact, _scratch: wrong)
    with pytest.raises(WeirError, match="found other bytes"):
        fetch(_artifact(b"right"), tmp_path / "thing.jar")
    assert not (tmp_path / "thing.jar").exists()


def test_a_process_is_ended_politely_where_it_listens(tmp_path: Path) -> None:
    launched = _sleeper(tmp_path)
    identity = launched.find_running()
    assert identity is not None
    assert launched.end(patience_seconds=DEADLINE_SECONDS)
    assert read_birth(identity.pid) is None
    assert launched.find_running() is None


def test_a_process_that_does_not_listen_is_killed_after_the_patience(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    launched = _sleeper(tmp_path, f"{deaf}; time.sleep(600)")
    while "deaf" not in launched.log_path.read_text():
        assert launched.find_running() is not None
    assert launched.end(patience_seconds=0.1)
    assert launched.find_running() is None


def test_another_command_finds_and_ends_what_was_launched(tmp_path: Path) -> None:
    launched = _sleeper(tmp_path)
    assert _process(tmp_path).find_running() == launched.find_running()
    assert _process(tmp_path).end(patience_seconds=DEADLINE_SECONDS)


def test_a_server_that_another_command_starts_while_the_old_one_is_killed_keeps_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it nothing could end the new one, and the next start would find its port taken by "another program"."""
    wait_gone = process._wait_gone

    def wait_then_start_another(identity: Identity, patience_seconds: float) -> bool:
        gone = wait_gone(identity, patience_seconds)
        _sleeper(tmp_path)
        return gone

    launched = _sleeper(tmp_path)
    monkeypatch.setattr(process, "_wait_gone", wait_then_start_another)
    launched.kill()
    monkeypatch.undo()
    assert _process(tmp_path).end(patience_seconds=DEADLINE_SECONDS)


def test_a_pid_born_at_another_time_is_not_ours() -> None:
    assert Identity(os.getpid(), read_birth(os.getpid()) or "").is_running()
    assert not Identity(os.getpid(), "0").is_running()


def test_a_pid_of_an_earlier_boot_or_of_another_command_is_not_ours() -> None:
    born = read_birth(os.getpid()) or ""
    assert not Identity(os.getpid(), born, boot="an earlier one").is_running()
    assert not Identity(os.getpid(), born, command="sleep 600").is_running()
    assert identify(os.getpid(), with_command=True).is_running()


def test_a_record_of_an_older_version_still_names_its_process(tmp_path: Path) -> None:
    (tmp_path / "thing.json").write_text(json.dumps({"pid": os.getpid(), "born": read_birth(os.getpid())}))
    assert _process(tmp_path).find_running() is not None


def test_a_process_that_ended_and_is_not_reaped_does_not_run() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = Identity(child.pid, read_birth(child.pid) or "")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not identity.is_running()
    child.wait()


def test_a_server_that_ended_by_itself_is_reaped_by_whoever_asks_for_its_end(tmp_path: Path) -> None:
    launched = _sleeper(tmp_path, "")
    pid = json.loads(launched.record_path.read_text())["pid"]
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not launched.end(patience_seconds=DEADLINE_SECONDS)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "born": "1"}'])
def test_a_record_that_cannot_be_read_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "thing.json").write_text(text)
    assert _process(tmp_path).find_running() is None


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    launched = _process(tmp_path)
    assert launched.log_tail(3) == ""
    launched.log_path.write_text("\n".join(map(str, range(100_000))))
    assert launched.log_tail(3) == "99997\n99998\n99999"


def test_of_a_launch_the_head_and_the_end_are_shown_and_nothing_of_the_launch_before(tmp_path: Path) -> None:
    (tmp_path / "thing.log").write_text("of the launch before\n" * 100)
    launched = _sleeper(tmp_path, "print('the cause'); [print('frame', n) for n in range(1_000)]; print('the end')")
    os.waitid(os.P_PID, json.loads(launched.record_path.read_text())["pid"], os.WEXITED | os.WNOWAIT)
    shown = launched.launch_output()
    assert shown.startswith(f"its output, whole in {launched.log_path}:\nthe cause\nframe 0\n")
    assert shown.endswith("\nthe end")
    assert "lines left out" in shown
    assert "before" not in shown
    assert not launched.end(patience_seconds=0)


def test_a_log_that_grew_too_long_is_moved_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LOG_BYTES_MAX", 10)
    (tmp_path / "thing.log").write_text("x" * 11)
    launched = _sleeper(tmp_path)
    launched.kill()
    assert (tmp_path / "thing.log.1").read_text() == "x" * 11
    assert (tmp_path / "thing.log").read_text() == ""


def test_ports_are_below_the_range_from_which_clients_dial() -> None:
    assert ports.PORTS.stop <= 32_768
    assert len(set(ports.choose_ports(4))) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kafka": 1}', '{"kafka": "x", "redis": 2}', "null"])
def test_ports_that_cannot_be_read_are_chosen_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    chosen = stack.Stack(tmp_path).ports
    assert set(chosen) == set(ports.PORT_NAMES)
    assert stack.Stack(tmp_path).ports == chosen


def test_the_owner_of_a_port_is_named_by_its_pid() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = ports.find_listener(server.getsockname()[1])
        assert found is not None
        assert found.pid == os.getpid()
        assert f"(pid {os.getpid()})" in ports.describe_listener(server.getsockname()[1])
    assert ports.find_listener(1) is None


def test_arguments_of_a_foreign_program_are_not_shown() -> None:
    assert ports.Listener(5, "/usr/bin/thing --password hunter2", None).describe() == "'thing' (pid 5)"
    assert ports.Listener(5, "/x/python -m weir serve --port 1", None).describe() == "'python -m weir serve' (pid 5)"


def test_a_server_whose_port_is_taken_moves_and_the_others_keep_theirs(tmp_path: Path) -> None:
    own = stack.Stack(tmp_path)
    before = dict(own.ports)
    assert own.move_ports() == []
    with socket.create_server(("127.0.0.1", before["kafka_controller"])):
        assert own.move_ports() == ["kafka"]
    assert own.ports["kafka_controller"] != before["kafka_controller"]
    assert {name: own.ports[name] for name in ("redis", "registry")} == {k: before[k] for k in ("redis", "registry")}
    assert stack.Stack(tmp_path).ports == own.ports
    assert own.servers["kafka"].ports == (own.ports["kafka"], own.ports["kafka_controller"])


def test_ports_are_chosen_once_for_a_home(tmp_path: Path) -> None:
    assert stack.Stack(tmp_path / "home").ports == stack.Stack(tmp_path / "home").ports


def test_a_server_that_is_asked_for_gets_a_port_once_and_the_others_keep_theirs(tmp_path: Path) -> None:
    before = dict(stack.Stack(tmp_path).ports)
    assert "mlflow" not in before
    own = stack.Stack(tmp_path)
    own.ensure_port("mlflow")
    assert own.ports.items() > before.items()
    own.ensure_port("mlflow")
    assert stack.Stack(tmp_path).ports == own.ports
    assert stack.Stack(tmp_path).servers["mlflow"].ports == (own.ports["mlflow"],)


def test_a_server_that_is_asked_for_is_shown_while_it_is_meant_to_run(tmp_path: Path) -> None:
    own = stack.Stack(tmp_path)
    own.ensure_port("mlflow")
    assert [each.name for each in own.status()] == ["kafka", "redis", "registry"]
    own.processes["mlflow"].launch([sys.executable, "-c", "import time; time.sleep(600)"], cwd=tmp_path)
    assert [(each.name, each.ready) for each in own.status()][3:] == [("mlflow", False)]
    own.kill("mlflow")
    assert [(each.name, each.pid) for each in own.status()][3:] == [("mlflow", None)]
    own.stop()
    assert [each.name for each in own.status()] == ["kafka", "redis", "registry"]


def test_a_stack_that_was_never_started_is_down(tmp_path: Path) -> None:
    assert [(each.pid, each.ready) for each in stack.Stack(tmp_path / "home").status()] == [(None, False)] * 3
    assert stack.Stack(tmp_path / "home").stop() == []


def test_a_container_asks_its_own_metrics_where_there_are_any() -> None:
    settings = Settings(monitoring=MonitoringSettings(metrics_port=9101))
    assert health_url(settings) == "http://127.0.0.1:9101/healthz"
    assert health_url(Settings()) == "http://127.0.0.1:8000/readyz"
