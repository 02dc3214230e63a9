"""What decided, kept next to the tables by content: model bundles, the Avro schemas that values were written by, texts.

``_objects/<sha256>`` is a file whose bytes have that hash; it is checked when it is read. ``_bundles`` holds, for each
name and version of a model, the manifest of every bundle that was called so, in a file named by the manifest's own
hash; the manifest names the hash of its ``model.onnx``, which is an object. ``_schemas/<topic>/<id>.avsc`` is the
schema of a topic's values of that id. So an archive can be read, and a decision made again, on a machine that has
nothing else.

**Delivery:** what is there is never written over, and a file that was half written by a process that died is written
again; readers refuse it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pyarrow import fs

from weir.archive.place import Place
from weir.infra.archive_store import OBJECTS
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.errors import Damaged, PoisonRecord

BUNDLES, SCHEMAS, VERSIONS = "_bundles", "_schemas", "_versions"
_REDACTED = ".redacted"
POSITION_FILE = "position.json"
_HASH_IN_NAME = re.compile(r"([0-9a-f]{64})(?:\.json)?$")
_FOLDER_MAX = 200
MODEL_FILE, MANIFEST_FILE = "model.onnx", "manifest.json"


@dataclass(frozen=True)
class KeptBundle:
    """A bundle that is kept.

    Attributes:
        manifest: its bytes.
        model_sha256: hash of its model, as the manifest says.
    """

    manifest: bytes
    model_sha256: str


@dataclass(frozen=True)
class Redacted:
    """A kept text from which an id was erased: it stays under the hash that it had.

    Attributes:
        sha256: of the text as it was kept.
        content: as it is now.
    """

    sha256: str
    content: bytes

    def to_files(self) -> dict[str, bytes]:
        """Return its files in the order in which they are written: what says the new hash, and the text."""
        path = f"{OBJECTS}/{self.sha256}"
        return {path + _REDACTED: hash_content(self.content).encode(), path: self.content}


class Objects:
    """The store; what was once seen to be there is not asked for again.

    Attributes:
        unsealed: the hash of each file that was written here and is in no seal yet, by its path.
    """

    def __init__(self, root: Place) -> None:
        """Bind to the root of an archive."""
        self._root = root
        self._seen: set[str] = set()
        self.unsealed: dict[str, str] = {}

    def keep_bundle(self, folder: Path) -> None:
        """Keep a model bundle.

        Raises:
            Damaged: the folder holds no whole bundle.
            Transient: the store cannot be written.
        """
        try:
            manifest = (folder / MANIFEST_FILE).read_bytes()
            document = json.loads(manifest)
            model = (folder / MODEL_FILE).read_bytes()
            where = _bundle_folder(str(document["name"]), str(document["version"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Damaged(f"expected a model bundle in {folder}, found none that is whole") from error
        self.keep_content(model)
        self.write(f"{where}/{hash_content(manifest)}.json", manifest)

    def find_bundles(self, name: str, version: str) -> list[KeptBundle]:
        """Return every bundle that was called so; as a rule one.

        Raises:
            Damaged: a manifest is not what was kept.
            Transient: the store cannot be read.
        """
        found = []
        for path in self.list_files(_bundle_folder(name, version)):
            manifest = self.read_checked(path, path.rpartition("/")[2].removesuffix(".json"))
            document = json.loads(manifest)
            if (document["name"], document["version"]) == (name, version):
                found.append(KeptBundle(manifest, str(document["model_sha256"])))
        return found

    def write_bundle(self, bundle: KeptBundle, folder: Path) -> None:
        """Write a bundle that is kept as a folder that can be loaded.

        Raises:
            Damaged: its model is gone, or not what was kept.
            Transient: the store cannot be read.
        """
        (folder / MODEL_FILE).write_bytes(self.read_content(bundle.model_sha256))
        (folder / MANIFEST_FILE).write_bytes(bundle.manifest)

    def keep_schema(self, topic: str, schema: WriterSchema) -> None:
        """Keep the schema of an id, as the registry has it for a topic's values.

        Raises:
            Transient: the store cannot be written.
        """
        if schema.subject_ok:
            self.write(_schema_path(topic, schema.schema_id), schema.schema.encode())

    def read_schema(self, topic: str, schema_id: int) -> WriterSchema | PoisonRecord:
        """Return the schema of an id of a topic's values, or why there is none.

        Raises:
            Transient: the store cannot be read.
        """
        content = self.read(_schema_path(topic, schema_id))
        if content is None:
            return PoisonRecord("unknown_schema_id", f"expected schema {schema_id} in the archive, found none")
        return WriterSchema(schema_id, subject_ok=True, schema=content.decode())

    def keep_content(self, content: bytes) -> str:
        """Keep some bytes under their hash, and return it.

        Raises:
            Transient: the store cannot be written.
        """
        sha256 = hash_content(content)
        if not self.is_redacted(sha256):
            self.write(f"{OBJECTS}/{sha256}", content)
        return sha256

    def is_redacted(self, sha256: str) -> bool:
        """Return whether an id was erased from the bytes that had a hash.

        Raises:
            Transient: the store cannot be read.
        """
        return self.read(f"{OBJECTS}/{sha256}{_REDACTED}") is not None

    def read_content(self, sha256: str) -> bytes:
        """Return the bytes that have a hash, or had it until an id was erased from them.

        Raises:
            Damaged: they are gone, or are not what was kept.
            Transient: the store cannot be read.
        """
        path = f"{OBJECTS}/{sha256}"
        redacted = self.read(path + _REDACTED)
        content = self.read(path)
        if redacted is not None and content is not None and hash_content(content) == redacted.decode(errors="replace"):
            return content
        return _check(path, content, sha256)

    def write(self, path: str, content: bytes) -> None:
        """Write a file of the archive's own, unless it is there.

        Raises:
            Transient: the store cannot be written.
        """
        if path in self._seen:
            return
        if self.read(path) != content:
            self.replace(path, content)
            self.unsealed[path] = hash_content(content)
        self._seen.add(path)

    def replace(self, path: str, content: bytes) -> None:
        """Write a file, over what is there.

        Raises:
            Transient: the store cannot be written.
        """
        with self._root.errors("written"):
            self._root.files.create_dir(path.rpartition("/")[0], recursive=True)
            with self._root.files.open_output_stream(path) as out:
                out.write(content)

    def read_checked(self, path: str, sha256: str) -> bytes:
        """Return the bytes of a file whose name says their hash.

        Raises:
            Damaged: they are gone, or have another hash.
            Transient: the store cannot be read.
        """
        return _check(path, self.read(path), sha256)

    def hash_file(self, path: str) -> str | None:
        """Return the hash of a file; None where there is none.

        Raises:
            Transient: the store cannot be read.
        """
        content = self.read(path)
        return None if content is None else hash_content(content)

    def find_whole(self, known: Collection[str]) -> dict[str, str]:
        """Return the hash of every kept file but those that are known, as far as each is what its name says.

        Raises:
            Transient: the store cannot be read.
        """
        found = {}
        for path in self.list_all():
            sha256 = None if path in known else self.hash_file(path)
            named = _HASH_IN_NAME.search(path)
            if sha256 is not None and (named is None or named[1] == sha256):
                found[path] = sha256
        return found

    def list_all(self) -> Iterator[str]:
        """Yield the paths of all kept files, sorted; how far a topic was read is none of them, as it changes.

        Raises:
            Transient: the store cannot be read.
        """
        for folder in (BUNDLES, OBJECTS, SCHEMAS, VERSIONS):
            found = self.list_files(folder, recursive=True)
            yield from (path for path in found if path.rpartition("/")[2] != POSITION_FILE)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, unchecked; None where there is none.

        Raises:
            Transient: the store cannot be read.
        """
        with self._root.errors("read"):
            if self._root.files.get_file_info(path).type == fs.FileType.NotFound:
                return None
            with self._root.files.open_input_file(path) as file:
                content: bytes = file.read()
                return content

    def list_files(self, folder: str, *, recursive: bool = False) -> Iterator[str]:
        """Yield the paths of the files in a folder, sorted; none where it does not exist.

        Raises:
            Transient: the store cannot be read.
        """
        with self._root.errors("listed"):
            found = self._root.files.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=recursive))
        yield from sorted(each.path for each in found if each.type == fs.FileType.File)


def _check(path: str, content: bytes | None, sha256: str) -> bytes:
    if content is None or hash_content(content) != sha256:
        found = "none" if content is None else "other bytes"
        raise Damaged(f"expected {path} in the archive as it was kept, found {found}")
    return content


def _bundle_folder(name: str, version: str) -> str:
    return f"{BUNDLES}/{_as_folder(name)}/{_as_folder(version)}"


def _as_folder(text: str) -> str:
    """Return a name that any file system takes; a long one is cut, so two may share a folder."""
    quoted = quote(text, safe="")[:_FOLDER_MAX]
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def _schema_path(topic: str, schema_id: int) -> str:
    return f"{SCHEMAS}/{topic}/{schema_id}.avsc"


def hash_content(content: bytes) -> str:
    """Return the SHA-256 of some bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
