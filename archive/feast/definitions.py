"""Feast's entities, feature views and feature services, built from what streams declare.

Of each stream there is a view of its events, keyed by the event's id, with the whole logged vector in the order of the
model's input, and a view of each entity, keyed by the entity's id, with the features about it. A service is what one
bundle takes: of each bundle that the archive keeps and that was taught these declarations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from feast import Entity, FeatureService, FeatureView, Field
from feast.repo_config import load_repo_config
from feast.types import Float32, String
from feast.value_type import ValueType

from weir.archive.feast.place import find_place
from weir.archive.feast.source import WeirSource
from weir.archive.objects import BUNDLES, Objects
from weir.infra.settings import Settings, load_settings
from weir.schemas.entity import Entity as WeirEntity
from weir.schemas.entity import Feature
from weir.schemas.project import find_streams

_CONFIGURATION: Final = "feature_store.yaml"


def define_all(repository: Path) -> dict[str, Any]:
    """Return the objects of every stream of the project that a Feast repository is in, by names for a module.

    Args:
        repository: the folder with ``feature_store.yaml``; without a project the shipped payments are meant.

    Raises:
        Refused: the project or a setting has faults.
        Transient: the archive cannot be read.
    """
    settings, manifests = load_settings(), list(_read_manifests(repository))
    streams = find_streams(repository.absolute()).streams
    objects = [each for stream in streams for each in define(settings.of_stream(stream), manifests)]
    return {f"object_{number}": each for number, each in enumerate(objects)}


def define(settings: Settings, manifests: Iterable[Mapping[str, Any]] = ()) -> list[Any]:
    """Return the objects of one stream.

    Args:
        settings: of the stream.
        manifests: of bundles; those that were taught other declarations are left out.
    """
    stream, declares = settings.stream, settings.declarations_hash
    views = _Views(settings)
    every = views.build_of_events()
    of_entities = [views.build_of_entity(entity) for entity in stream.entities]
    whole = FeatureService(name=stream.name, features=[every], tags=views.tags, description=every.description)
    bundles = [_build_service(every, each) for each in manifests if each["declarations_hash"] == declares]
    found = [every, *(view for view in of_entities if view is not None)]
    return [*views.entities, *found, whole, *bundles]


class _Views:
    """Builds the views of one stream, and keeps the entities that they are keyed by."""

    def __init__(self, settings: Settings) -> None:
        self._stream = settings.stream
        self.entities: list[Entity] = []
        self.tags = {"stream": self._stream.full_name, "declarations_hash": settings.declarations_hash}
        self._source = WeirSource(
            topic=settings.topics.features,
            timestamp_field=self._stream.time,
            description=f"What a model saw of each {self._stream.event}, as it was logged.",
        )

    def build_of_events(self) -> FeatureView:
        """Build the view of whole vectors. A vector is as good as new at any age: it is of its event."""
        stream = self._stream
        key = self._key(stream.event, stream.id, f"One {stream.event}.")
        said = f"The whole vector of a {stream.event}, in the order of the model's input."
        return self._build(stream.name, key, stream.all_features, timedelta(0), said)

    def build_of_entity(self, entity: WeirEntity) -> FeatureView | None:
        """Build the view of an entity's features, if it has any; a value is older than every window after its ttl."""
        features = [each for each in self._stream.all_features if each.entity == entity.name]
        if not features:
            return None
        key = self._key(entity.name, entity.field, f"Whom {len(features)} features of {self._stream.name} are about.")
        ttl = timedelta(milliseconds=max(each.window_ms + each.hold_ms for each in features))
        said = f"What was known of a {entity.name} at its newest {self._stream.event}."
        return self._build(f"{self._stream.name}_{entity.name}", key, features, ttl, said)

    def _key(self, name: str, field: str, said: str) -> Entity:
        key = Entity(
            name=f"{self._stream.name}_{name}", join_keys=[field], value_type=ValueType.STRING, description=said
        )
        self.entities.append(key)
        return key

    def _build(self, name: str, key: Entity, features: Sequence[Feature], ttl: timedelta, said: str) -> FeatureView:
        fields = [Field(name=key.join_key, dtype=String)]
        for each in features:
            about = {"reason_code": self._stream.reason_codes[each.name], "window": each.window, "hold": each.hold}
            tags = {name: text for name, text in about.items() if text}
            fields.append(Field(name=each.name, dtype=Float32, description=each.why, tags=tags))
        return FeatureView(
            name=name, entities=[key], ttl=ttl, schema=fields, source=self._source, online=False, tags=self.tags,
            description=said,
        )  # fmt: skip


def _build_service(view: FeatureView, manifest: Mapping[str, Any]) -> FeatureService:
    name, version = manifest["name"], manifest["version"]
    tags = {each: str(manifest[each]) for each in ("name", "version", "model_sha256", "declarations_hash")}
    said = f"What the model {name} {version} takes, in its order."
    features = [view[list(manifest["features"])]]
    return FeatureService(name=f"{name}_{version}", features=features, tags=tags, description=said)


def _read_manifests(repository: Path) -> Iterator[dict[str, Any]]:
    """Yield the manifest of every bundle that the archive keeps."""
    objects = Objects(find_place(load_repo_config(repository, repository / _CONFIGURATION)))
    for path in objects.list_files(BUNDLES, recursive=True):
        yield json.loads(objects.read_checked(path, path.rpartition("/")[2].removesuffix(".json")))
