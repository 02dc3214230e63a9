"""Finds the bundle of a published manifest by the hash of its text: in the models folder, else in the archive.

A bundle that is fetched from the archive is written next to the others, whole and under its hash, so that the next
start needs no archive.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from weir.inference.bundle import Bundle, Manifest, check_fit, load_bundle
from weir.inference.published.settle import NotHere
from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient
from weir.schemas.stream import Stream

MANIFEST_FILE, MODEL_FILE = "manifest.json", "model.onnx"


def load_published(settings: Settings, text: str) -> Bundle:
    """Return the bundle of a published manifest.

    Raises:
        NotHere: neither the models folder nor the archive has it.
        Refused: it is broken, or does not fit the stream.
        Transient: the archive did not answer in time.
    """
    manifest = parse_manifest(text)
    folder = find_bundle(settings.models_dir, text) or _fetch(settings, manifest, text)
    return load_bundle(folder, stream=settings.stream, declarations_hash=settings.declarations_hash)


def read_published(stream: Stream, text: str, declarations_hash: str = "") -> Bundle:
    """Return what stands for the bundle of a published manifest, for who only shows it: without its model.

    Raises:
        Refused: it is no manifest, or not one for the stream.
    """
    manifest = parse_manifest(text)
    check_fit(manifest, manifest.version, stream, declarations_hash or stream.declarations_hash)
    return Bundle(manifest, None, Path(), stream)


def parse_manifest(text: str) -> Manifest:
    """Read the text of a manifest.

    Raises:
        Refused: it is none.
    """
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "$"
        what = first["msg"].lower()
        raise Refused(f"model: expected the manifest of a bundle, found at {where:.60}: {what:.120}") from None


def hash_manifest(text: bytes) -> str:
    """Return what names a bundle: its manifest names the hash of its model."""
    return hashlib.sha256(text).hexdigest()


def list_folders(models_dir: Path) -> Iterator[Path]:
    """Yield the folders of bundles, each once, by name; links and what is being written are left out."""
    if models_dir.is_dir():
        for folder in sorted(models_dir.iterdir()):
            if not folder.name.startswith(".") and not folder.is_symlink() and (folder / MANIFEST_FILE).is_file():
                yield folder


def find_bundle(models_dir: Path, text: str) -> Path | None:
    """Return the folder whose manifest has that text."""
    wanted = text.encode()
    for folder in list_folders(models_dir):
        try:
            if (folder / MANIFEST_FILE).read_bytes() == wanted:
                return folder
        except OSError:  # it is going away, or is somebody else's
            continue
    return None


def _fetch(settings: Settings, manifest: Manifest, text: str) -> Path:
    model = _read_archived(settings, manifest)
    if model is None:
        raise NotHere(
            f"expected the bundle of model {manifest.name[:80]} {manifest.version[:80]} in {settings.models_dir} or "
            f"in the archive, found none; copy its folder there, or set WEIR_ARCHIVE__ROOT to the archive that has it"
        )
    folder = settings.models_dir / f"published-{hash_manifest(text.encode())[:12]}"
    try:
        _write(folder, text.encode(), model)
    except OSError as error:
        raise Transient(f"model bundle {folder}: cannot be written: {(error.strerror or '').lower()}") from None
    return folder


def _read_archived(settings: Settings, manifest: Manifest) -> bytes | None:
    try:
        from weir.infra.archive_store import read_object  # noqa: PLC0415 - delta-rs, which few processes need
    except ModuleNotFoundError:  # a serving image has no archive
        return None
    return read_object(settings, manifest.model_sha256)


def _write(folder: Path, manifest: bytes, model: bytes) -> None:
    """Write a bundle whole or not at all; of two writers of one bundle the first is as good as the second."""
    staging = folder.parent / f".{folder.name}.{os.getpid()}.{threading.get_ident()}"
    staging.mkdir(parents=True, exist_ok=True)
    try:
        (staging / MODEL_FILE).write_bytes(model)
        (staging / MANIFEST_FILE).write_bytes(manifest)
        if not folder.exists():
            staging.rename(folder)
    except OSError:
        if not (folder / MANIFEST_FILE).is_file():  # somebody else has written it meanwhile
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
