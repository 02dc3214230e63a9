"""The files of the archive, a folder here or a URL of an object store, and its objects by the hash of their content.

``weir.archive`` writes them. Who decides fetches the model of a published version from here, and nothing else. It is
imported where that is needed: delta-rs takes 40 MB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient

OBJECTS: Final = "_objects"
"""Of an archive: contents by their SHA-256."""


def locate_archive(settings: Settings) -> tuple[str, dict[str, str]]:
    """Return where the archive is, and how an object store lets us in.

    Raises:
        Refused: the options of the object store are no JSON object of texts.
    """
    text = settings.archive.storage_options.get_secret_value()
    try:
        options = json.loads(text) if text else {}
        if not all(isinstance(value, str) for value in options.values()):
            raise ValueError
    except (ValueError, AttributeError):
        raise Refused(
            "setting WEIR_ARCHIVE__STORAGE_OPTIONS: expected a JSON object whose values are texts, found something else"
        ) from None
    return settings.archive.root or str(settings.home / "archive"), options


def open_files(uri: str, options: Mapping[str, str]) -> fs.FileSystem:
    """Return the file system whose root a place is."""
    if "://" in uri:
        return fs.PyFileSystem(_Store(uri, dict(options)))
    return fs.SubTreeFileSystem(str(Path(uri).absolute()), fs.LocalFileSystem(use_mmap=True))


def read_object(settings: Settings, sha256: str) -> bytes | None:
    """Return the content that has a hash; nothing where the archive does not have it whole.

    Raises:
        Transient: the archive cannot be read now.
        Refused: the settings of the archive are not right.
    """
    uri, options = locate_archive(settings)
    path = f"{OBJECTS}/{sha256}"
    try:
        files = open_files(uri, options)
        if files.get_file_info(path).type != fs.FileType.File:
            return None
        with files.open_input_file(path) as file:
            content: bytes = file.read()
    except (OSError, DeltaError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise Transient(f"archive: {uri} cannot be read: {first}") from None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


class _Store(DeltaStorageHandler):
    """delta-rs' way to an object store, which takes bytes alone where Arrow writes buffers."""

    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
        """Open a file for writing."""
        return pa.PythonFile(_BytesWriter(self._handler.open_output_stream(path, metadata)), mode="w")


class _BytesWriter:
    """A file that makes bytes of what is written to it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, content: Any) -> Any:
        """Write a buffer of any kind."""
        return self._file.write(bytes(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
