"""What decides now, as an archive and this home know it: the champion, and what the newest archived decision names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from weir.archive.columns import DAY, decoded_columns
from weir.archive.features.history import Snapshot
from weir.archive.in_force.given import Given
from weir.archive.in_force.named import NotKept, VersionFinder
from weir.archive.in_force.versions import Versions
from weir.archive.objects import Objects
from weir.archive.reader import TableReader
from weir.inference.bundle import (
    Bundle,
    Manifest,
    champion_path,
    load_bundle,
    load_champion,
    load_lists,
    read_manifest,
)
from weir.inference.core.decisions import build_rules_version, split_rules_version
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.rule_sets import rules_of
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema

_WANTED = "rules_version"


@dataclass(frozen=True)
class InForce:
    """What decides.

    Attributes:
        note: why it may not be what decides the stream; empty where it is.
    """

    bundle: Bundle
    rules: RuleSet
    lists: Lists
    thresholds: ThresholdTable | None
    note: str = ""

    @property
    def version(self) -> str:
        """Rules, lists and published thresholds together, as decisions carry them."""
        return build_rules_version(self.lists, self.rules, self.thresholds)


def find_in_force(settings: Settings, archive: Snapshot) -> InForce:
    """Return what decides the events of a stream.

    Raises:
        Refused: there is no model where there has to be one, or a file is not right.
        Damaged: what the archive keeps cannot be used.
        Transient: the store cannot be read.
    """
    bundle, text = _load_champion(settings), _find_newest(settings, archive)
    declared = InForce(bundle, rules_of(settings.stream), load_lists(settings), None)
    if not text:
        return declared
    versions = Versions(Objects(archive.root), settings.topics.published)
    finder = VersionFinder(settings, versions, Given(), text)
    for named in split_rules_version(text):
        try:
            rules, lists = finder.find_rules(named.rules)[0], next(iter(finder.find_lists(named.lists)))
            return InForce(bundle, rules, lists, finder.find_thresholds(named.thresholds)[0])
        except NotKept:
            continue
    note = f"{text}, by which the newest archived decision was made, is not kept: what is declared here decides"
    return InForce(declared.bundle, declared.rules, declared.lists, None, note)


def find_manifest(settings: Settings) -> Manifest | None:
    """Return the manifest of the champion of this home, or None where there is none.

    Raises:
        Refused: it is not one.
    """
    path = champion_path(settings)
    return read_manifest(path.resolve(), path, settings.stream) if os.path.lexists(path) else None


def _load_champion(settings: Settings) -> Bundle:
    """Return the champion, whatever declarations it was trained for; where none is needed, what stands for it."""
    manifest = find_manifest(settings)
    if manifest is None:
        return load_champion(settings)
    declared = manifest.declarations_hash
    return load_bundle(champion_path(settings), declarations_hash=declared, stream=settings.stream)


def _find_newest(settings: Settings, archive: Snapshot) -> str:
    """Return the versions that the newest archived decision names; nothing where there is none."""
    reader = archive.find(settings.topics.decisions)
    columns = decoded_columns(BatchCodec(schema=decisions_schema(settings.stream)).arrow_schema)
    return "" if reader is None or not len(reader.files) else _read_newest(reader, columns[_WANTED].name)


def _read_newest(reader: TableReader, column: str) -> str:
    day, newest, found = pc.max(reader.files[f"partition.{DAY}"]).as_py(), -1, ""
    for batch in reader.scan(day, day, ["append_ms", column]):
        known: Any = batch.filter(batch[column].is_valid())
        at = pc.max(known["append_ms"]).as_py()
        if at is not None and at > newest:
            newest, found = at, known[column][pc.index(known["append_ms"], at).as_py()].as_py()
    return found
