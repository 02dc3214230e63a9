"""A home that cannot be used is refused in one line, whatever the file system says and whichever verb is asked."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weir.cli
from weir.infra.embedded.stack import Stack
from weir.infra.home import check_home, ensure_home
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused

BAD_HOMES: dict[str, Callable[[Path], str]] = {
    "in /proc": lambda _: "/proc/weir",
    "a device": lambda _: "/dev/null",
    "below a device": lambda _: "/dev/null/weir",
    "a file": lambda folder: str(_file(folder)),
    "below a file": lambda folder: str(_file(folder) / "deep" / "home"),
    "a name that is too long": lambda folder: str(folder / ("x" * 300)),
    "a path that is too long": lambda folder: str(folder / "/".join(["x" * 200] * 40)),
    "a link to itself": lambda folder: str(_loop(folder)),
    "a path that is not UTF-8": lambda folder: str(folder / os.fsdecode(b"h\xff")),
    "a path with a backslash": lambda folder: str(folder / "a\\b"),
    "a path of two lines": lambda folder: str(folder / "a\nb"),
}
SEEN_WITHOUT_MAKING = [name for name in BAD_HOMES if not name.startswith(("in /proc", "a path"))]
SEEN_WITHOUT_MAKING.append("a path that is too long")
"""That the others cannot be made, nobody knows who does not try."""
VERBS = {
    "check": [],
    "up": [],
    "demo": [],
    "down": [],
    "status": [],
    "logs": ["kafka"],
    "doctor": [],
    "topics": ["check"],
    "schemas": ["check"],
    "generate": [],
    "process": [],
    "dlq": ["list"],
    "offsets": ["show"],
    "score": [],
    "index": [],
    "serve": [],
    "train": [],
    "inspect": ["model"],
}
MAKES_ITS_HOME = ("up", "demo")


def _file(folder: Path) -> Path:
    path = folder / "a-file"
    path.write_text("")
    return path


def _loop(folder: Path) -> Path:
    path = folder / "loop"
    path.symlink_to(path)
    return path


def _refused_in_one_line(capsys: pytest.CaptureFixture[str], code: int) -> None:
    error = capsys.readouterr().err
    assert code == 2, error
    assert error.count("\n") == 1
    assert "home" in error


@pytest.mark.parametrize("kind", BAD_HOMES)
@pytest.mark.parametrize("verb", MAKES_ITS_HOME)
def test_what_makes_a_home_says_in_one_line_that_it_cannot(
    verb: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", BAD_HOMES[kind](tmp_path))
    _refused_in_one_line(capsys, weir.cli.main([verb]))


@pytest.mark.parametrize("kind", SEEN_WITHOUT_MAKING)
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in (*MAKES_ITS_HOME, "doctor")])
def test_every_verb_says_in_one_line_that_its_home_is_none(
    verb: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", BAD_HOMES[kind](tmp_path))
    _refused_in_one_line(capsys, weir.cli.main([verb, *VERBS[verb]]))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("step", ["mkdir", "chmod", "open", "scandir"])
def test_whatever_the_file_system_says_is_a_refusal(
    code: int, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    if step == "scandir":
        home.mkdir()
    target: Any = Path if step == "open" else os

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(target, step, refuse)
    make = (lambda: load_settings({"WEIR_HOME": str(home)})) if step == "scandir" else (lambda: Stack(home))
    with pytest.raises(Refused, match=os.strerror(code).lower()) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_a_home_that_is_not_there_yet_is_no_fault_until_it_has_to_be_made(tmp_path: Path) -> None:
    check_home(tmp_path / "later" / "home")
    assert not (tmp_path / "later").exists()
    assert ensure_home(tmp_path / "later" / "home").stat().st_mode & 0o777 == 0o700


def test_a_current_folder_that_is_gone_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(Refused, match="no such file or directory"):
        ensure_home(Path(".weir"))


def test_a_user_without_a_home_is_told_where_downloads_could_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a container whose user id has no entry, and with no ``HOME``."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    assert weir.cli.main(["clean"]) == 2
    assert "set XDG_CACHE_HOME" in capsys.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weir.cli.main(["clean"]) == 0
