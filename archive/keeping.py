"""What an archiver keeps besides rows: the seal of each batch, what decided, the schemas of values.

It runs after each commit, and for a schema before the first row that needs it. What was not finished before a crash is
done after the next commit.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from weir.archive.objects import MANIFEST_FILE, Objects
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey
from weir.archive.seals.reading import read_batches
from weir.archive.seals.seal import seal_files
from weir.archive.seals.sealing import seal_new
from weir.archive.table import ArchiveTable
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import SchemaLookup, WriterSchema
from weir.schemas.errors import Damaged, PoisonRecord

_NAMED_BY = (("model_name", "model_version"), ("shadow_model_name", "shadow_model_version"))
"""Columns of decisions that name bundles: of what decided, and of what scored next to it."""
_FILES_MAX = 500
"""In one seal, whose line then has some 80 kB."""
_NO_MODEL = "none"
"""Stands for the model of a stream that has none: there is nothing of it to keep."""
log = get_logger(__name__)


class Keeper:
    """Keeps for one archive; one thread at a time."""

    def __init__(
        self,
        objects: Objects,
        chain: Chain,
        key: SealKey,
        models: Mapping[str, Sequence[Path]],
        in_force: Mapping[str, Callable[[], None]],
    ) -> None:
        """Bind to the archive.

        Args:
            objects: of the archive.
            chain: of the archive.
            key: that signs its seals.
            models: by topic of decisions, the folders in which bundles of its stream are.
            in_force: by topic of decisions, what keeps new versions of its stream's rules, lists and thresholds.
        """
        self._objects = objects
        self._chain = chain
        self._key = key
        self._models = models
        self._in_force = in_force
        self._looked_for: set[tuple[str, str, str]] = set()
        self._has_looked = False

    def keeping(self, topic: str, schema_of: SchemaLookup) -> SchemaLookup:
        """Return a lookup of a topic's schemas that keeps what it finds."""

        def look_up(schema_id: int) -> WriterSchema | PoisonRecord:
            found = schema_of(schema_id)
            if isinstance(found, WriterSchema):
                self._objects.keep_schema(topic, found)
            return found

        return look_up

    def after_commit(self, table: ArchiveTable) -> None:
        """Keep what decided the rows that are new in a table, and seal them.

        Where table or chain are not what was written, that is told, and rows are archived on without a seal: the log
        forgets them, and a file can be put back.

        Raises:
            Transient: store or brokers cannot be used, or other sealers were faster each time; call it again.
        """
        unsealed = 0
        try:
            self._keep_and_seal(table)
        except Damaged as error:
            log.error("not_sealed", topic=table.topic, detail=str(error))
            with table.place.errors("sealed"):
                unsealed = table.batch - self._chain.read_sealed_batch(table.topic)
        metrics.ARCHIVE_UNSEALED.labels(topic=table.topic).set(unsealed)

    def _keep_and_seal(self, table: ArchiveTable) -> None:
        with table.place.errors("sealed"):
            sealed = self._chain.read_sealed_batch(table.topic)
            if table.topic in self._models:
                self._keep_bundles(table, sealed + 1)
            if table.topic in self._in_force:
                self._in_force[table.topic]()
            seal_new(self._chain, self._key, name=table.topic, table=table, after=sealed)
            self._seal_files()

    def _seal_files(self) -> None:
        """Seal the files that were kept since the last time, and at first those that a predecessor left unsealed."""
        if not self._has_looked:
            self._objects.unsealed |= self._objects.find_whole(self._chain.read_files().keys())
            self._has_looked = True
        while self._objects.unsealed:
            files = dict(itertools.islice(self._objects.unsealed.items(), _FILES_MAX))
            self._chain.append(seal_files(files, at_ms=int(time.time() * 1_000)), self._key)
            for path in files:
                del self._objects.unsealed[path]

    def _keep_bundles(self, table: ArchiveTable, first: int) -> None:
        for name, version in _list_models(table, first):
            wanted = (table.topic, name, version)
            if wanted in self._looked_for:
                continue
            found = find_folders(self._models[table.topic], name, version)
            for folder in found:
                self._keep(folder)
            if not found:
                log.error("bundle_not_kept", topic=table.topic, name=name, version=version)
            self._looked_for.add(wanted)

    def _keep(self, folder: Path) -> None:
        try:
            self._objects.keep_bundle(folder)
        except Damaged as error:
            log.error("bundle_not_kept", folder=str(folder), detail=str(error))


def _list_models(table: ArchiveTable, first: int) -> list[tuple[str, str]]:
    """Return name and version of each model that decisions of the newer batches name."""
    there = table.schema().names  # an archive of before there were shadows has no columns of them
    named_by = [pair for pair in _NAMED_BY if set(pair) <= set(there)]
    rows = read_batches(table, first, table.batch, [*itertools.chain.from_iterable(named_by)])
    found: dict[tuple[str, str], None] = {}
    for pair in named_by:
        for model in rows.group_by(list(pair)).aggregate([]).to_pylist():
            if model[pair[0]] not in {None, _NO_MODEL}:
                found[model[pair[0]], model[pair[1]]] = None
    return list(found)


def find_folders(folders: Sequence[Path], name: str, version: str) -> list[Path]:
    """Return the bundles of a name and version among folders and the folders in them."""
    inside = (each for folder in folders if folder.is_dir() for each in sorted(folder.iterdir()))
    return [folder for folder in dict.fromkeys([*folders, *inside]) if _name(folder) == (name, version)]


def _name(folder: Path) -> tuple[str, str] | None:
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
        return str(manifest["name"]), str(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
