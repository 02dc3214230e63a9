"""A file of its owner alone is there whole or not at all, whatever a process that was killed left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weir.infra.private_files import read_private


def test_what_a_killed_process_of_the_same_number_left_stops_nobody(tmp_path: Path) -> None:
    """In a container each start has the same number."""
    path = tmp_path / "keys" / "audit.key"
    path.parent.mkdir()
    path.with_name(f"{path.name}.{os.getpid()}").write_bytes(b"ha")
    assert read_private(path, lambda: b"whole") == b"whole"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        read_private(tmp_path / "key", lambda: b"whole")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert read_private(tmp_path / "key", lambda: b"whole") == b"whole"


def test_who_is_later_reads_what_the_first_made(tmp_path: Path) -> None:
    path = tmp_path / "key"

    def make() -> bytes:
        path.write_bytes(b"first")
        path.chmod(0o600)
        return b"second"

    assert read_private(path, make) == b"first"
    assert list(tmp_path.iterdir()) == [path]
