"""Writes and reads the file of a backup: whole or not at all, and nothing in it is believed unchecked.

``xz`` has a checksum of every block, of its index and of its ends, and the manifest has one of each member: a bit that
turned anywhere is found.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import tarfile
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from weir.backup.manifest import MANIFEST, MANIFEST_BYTES_MAX, Manifest, Member, read_manifest
from weir.schemas.errors import Damaged, Refused

_PRESET = 1
"""Most of a large backup is compressed already."""
_CHUNK_BYTES = 1 << 20
_PRIVATE = 0o600


def write_pack(target: Path, manifest: Manifest, folder: Path) -> Manifest:
    """Write a backup that its owner alone reads, read it again, and give it its name.

    Args:
        target: a file that is not there yet.
        manifest: without members.
        folder: whose files are the members.

    Returns:
        The manifest with its members.

    Raises:
        Refused: there is such a file.
        Damaged: what was written is not what is read.
    """
    refuse_taken(target)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    manifest = replace(manifest, members=tuple(_measure(folder, name) for name in names))
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)  # of a run that was killed
    with ExitStack() as undo:
        undo.callback(part.unlink, missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
            _write(file, manifest, folder)
            file.flush()
            os.fsync(file.fileno())
        read_pack(part)
        try:
            os.link(part, target)
        except FileExistsError:
            refuse_taken(target)
    sync_folder(target.parent)
    return manifest


def refuse_taken(target: Path) -> None:
    """Refuse a name that a file has.

    Raises:
        Refused: it has one.
    """
    if target.exists():
        raise Refused(f"expected a new file, found {target}: a backup is never written over another file")


def read_pack(path: Path, into: Path | None = None) -> Manifest:
    """Read a backup whole and check every byte of it.

    Args:
        path: of the backup.
        into: an empty folder for its members; None to check alone.

    Raises:
        Refused: a newer version of weir wrote it.
        Damaged: it is no backup, or not whole.
    """
    try:
        with lzma.open(path, "rb") as content:
            with tarfile.open(fileobj=content, mode="r|") as tar:
                manifest = _read_manifest(tar)
                for member in manifest.members:
                    _read_member(tar, member, into)
                if tar.next() is not None:
                    raise Damaged("expected the end of the backup, found another member")
            while content.read(_CHUNK_BYTES):  # the checksums at its end
                pass
    except (lzma.LZMAError, EOFError, tarfile.TarError, ValueError, Damaged) as error:
        raise Damaged(
            f"expected a whole backup of weir in {path}, found a file that is damaged, cut off or something else "
            f"({str(error) or type(error).__name__}); nothing was changed; take another copy of it"
        ) from None
    return manifest


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _measure(folder: Path, name: str) -> Member:
    with (folder / name).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Member(name, (folder / name).stat().st_size, sha256)


def _write(file: IO[bytes], manifest: Manifest, folder: Path) -> None:
    with (
        lzma.open(file, "wb", preset=_PRESET) as content,
        tarfile.open(fileobj=content, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = manifest.to_json()
        tar.addfile(_describe(MANIFEST, len(text), manifest), io.BytesIO(text))
        for member in manifest.members:
            with (folder / member.name).open("rb") as part:
                tar.addfile(_describe(member.name, member.size, manifest), part)


def _describe(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode, found.mtime = size, _PRIVATE, manifest.made_ms // 1_000
    return found


def _read_manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MANIFEST_BYTES_MAX:
        raise Damaged("expected its manifest first, found none")
    with closing(_open(tar, first)) as file:
        return read_manifest(file.read())


def _read_member(tar: tarfile.TarFile, member: Member, into: Path | None) -> None:
    found = tar.next()
    if found is None or (found.name, found.size) != (member.name, member.size) or not found.isreg():
        raise Damaged(f"expected {member.name}, found something else")
    digest = hashlib.sha256()
    with ExitStack() as stack:
        file = stack.enter_context(closing(_open(tar, found)))
        out = None if into is None else stack.enter_context(_create(into / member.name))
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            if out is not None:
                out.write(chunk)
        if out is not None:
            out.flush()
            os.fsync(out.fileno())
    if digest.hexdigest() != member.sha256:
        raise Damaged(f"expected {member.name} as it was written, found other bytes")


def _open(tar: tarfile.TarFile, found: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(found)
    assert file is not None, "a regular file has bytes; what is none was refused before"
    return file


def _create(path: Path) -> Any:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb")
