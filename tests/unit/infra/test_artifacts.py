"""Unpacking, also where Python has no filter for it yet (before 3.11.4, as in Debian 12)."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from weir.infra.embedded import artifacts
from weir.schemas.errors import WeirError


def _archive(folder: Path, *members: tuple[str, bytes]) -> Path:
    """Write an archive of files, and for other types of members of nothing."""
    path = folder / "archive.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            info.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"text") if info.size else None)
    return path


@pytest.mark.parametrize("has_filter", [True, False])
def test_files_and_folders_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_filter: bool) -> None:
    if not has_filter:
        monkeypatch.delattr(tarfile, "data_filter")
    path = _archive(tmp_path, ("lib", tarfile.DIRTYPE), ("lib/one.jar", tarfile.REGTYPE))
    with tarfile.open(path) as tar:
        artifacts._extract(tar, tmp_path / "app")
    assert (tmp_path / "app" / "lib" / "one.jar").read_text() == "text"


@pytest.mark.parametrize(
    "member", [("../outside", tarfile.REGTYPE), ("/outside", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)]
)
def test_what_would_leave_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: tuple[str, bytes]
) -> None:
    monkeypatch.delattr(tarfile, "data_filter")
    with tarfile.open(_archive(tmp_path, member)) as tar, pytest.raises(WeirError, match="expected files and folders"):
        artifacts._extract(tar, tmp_path / "app")
    assert not (tmp_path / "outside").exists()
