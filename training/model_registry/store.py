"""The registered model of one stream in MLflow: its versions by the bundles that they are of, and its aliases.

**Delivery:** best effort; an alias is moved before its mark, so that one that was cut off between both is put right by
the next look and never taken for one that a person moved.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from weir.inference.model_store import MANIFEST_FILE
from weir.inference.published.act import NONE, Alias
from weir.inference.published.bundles import Listed
from weir.infra.settings import Settings
from weir.training.model_registry.aliases import NAMES
from weir.training.tracking import BUNDLE_TAG, find_experiment, open_client

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_MARK: Final = "weir.mark."
_VERSION: Final = "weir.version"
_SEEN_MAX: Final = 1_000
"""Of a page of versions."""
_FOREIGN: Final = "version "
"""Before the number of a version that is of no bundle of ours."""


@dataclass(frozen=True)
class Registered:
    """What the registry says of a stream.

    Attributes:
        versions: number of the newest version of each bundle, by the bundle's content.
        aliases: content that each of MLflow's aliases names.
        marks: content that each of ours named when Weir moved it last.
    """

    versions: Mapping[str, str]
    aliases: Mapping[str, str]
    marks: Mapping[str, str]

    def named(self, alias: Alias) -> list[str]:
        """Return what each name of an alias names; ``none`` for nothing."""
        return [self.aliases.get(name, NONE) for name in NAMES[alias]]

    def mark(self, alias: Alias) -> str:
        """Return what an alias named last; ``none`` for nothing."""
        return self.marks.get(alias, NONE)


def name_model(settings: Settings) -> str:
    """Return what the registered model of a stream is called; two deployments can share a registry.

    >>> name_model(Settings())
    'local.transactions'
    """
    return f"{settings.cluster}.{settings.stream.full_name}"


@contextmanager
def open_registry(settings: Settings) -> Iterator[ModelRegistry]:
    """Open the registry, and register the stream's model where it is not.

    Raises:
        Transient: MLflow does not answer, while it is open too.
    """
    with open_client(settings) as client:
        yield ModelRegistry(client, settings)


class ModelRegistry:
    """The registered model of one stream."""

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        """Register the stream's model where it is not."""
        self._client, self._settings = client, settings
        self.name = name_model(settings)
        self._ensure_model()

    def read(self) -> Registered:
        """Return what the registry says now."""
        model = self._client.get_registered_model(self.name)
        versions = {str(each.version): each.tags.get(BUNDLE_TAG) for each in self._list_versions()}
        newest = {content: number for number, content in sorted(versions.items(), key=_by_number) if content}
        aliases = {
            str(name): versions.get(str(number)) or f"{_FOREIGN}{number}" for name, number in model.aliases.items()
        }
        marks = {key.removeprefix(_MARK): str(value) for key, value in model.tags.items() if key.startswith(_MARK)}
        return Registered(newest, aliases, marks)

    def add(self, bundle: Listed) -> str:
        """Register a bundle as the next version, and return its number."""
        run = self._find_run(bundle.content) or self._make_run(bundle)
        tags = {
            BUNDLE_TAG: bundle.content,
            _VERSION: bundle.manifest.version,
            "weir.model_sha256": bundle.manifest.model_sha256,
            "weir.declarations_hash": bundle.manifest.declarations_hash,
            "weir.stream": self._settings.stream.full_name,
        }
        text = f"{bundle.manifest.name} {bundle.manifest.version}"
        source, run_id = run.info.artifact_uri, run.info.run_id
        made = self._client.create_model_version(self.name, source, run_id, tags=tags, description=text)
        return str(made.version)

    def move(self, alias: Alias, content: str, registered: Registered) -> None:
        """Have an alias name a registered content under each of its names, or with ``none`` nothing; then mark it."""
        for name in NAMES[alias]:
            if content != NONE:
                self._client.set_registered_model_alias(self.name, name, registered.versions[content])
            elif name in registered.aliases:
                self._client.delete_registered_model_alias(self.name, name)
        self._client.set_registered_model_tag(self.name, _MARK + alias, content)

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - imported by who opened the client

        try:
            self._client.get_registered_model(self.name)
            return
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        try:
            text = f"what decides on the stream {self._settings.stream.full_name}"
            self._client.create_registered_model(self.name, description=text)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another command was quicker
                raise

    def _list_versions(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_model_versions(f"name='{self.name}'", max_results=_SEEN_MAX, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _find_run(self, content: str) -> Any:
        """Return the run that trained a bundle."""
        experiment = find_experiment(self._client, self._settings)
        found = self._client.search_runs([experiment], f"tags.`{BUNDLE_TAG}` = '{content}'", max_results=1)
        return found[0] if found else None

    def _make_run(self, bundle: Listed) -> Any:
        """Make a run for a bundle that came otherwise: its files, and the figures that its manifest says."""
        experiment = find_experiment(self._client, self._settings)
        name = f"{bundle.manifest.name}-{bundle.manifest.version}"
        now_ms = time.time_ns() // 1_000_000
        tags = {BUNDLE_TAG: bundle.content}
        run = self._client.create_run(experiment, run_name=name, start_time=now_ms, tags=tags)
        if bundle.folder is None:
            self._client.log_text(run.info.run_id, bundle.text, MANIFEST_FILE)
        else:
            self._client.log_artifacts(run.info.run_id, str(bundle.folder))
        for key, value in _flatten((bundle.manifest.model_extra or {}).get("metrics")):
            self._client.log_metric(run.info.run_id, key, value, timestamp=now_ms)
        self._client.set_terminated(run.info.run_id)
        return run


def _flatten(metrics: object, before: str = "") -> Iterator[tuple[str, float]]:
    for key, value in metrics.items() if isinstance(metrics, dict) else ():
        if isinstance(value, dict):
            yield from _flatten(value, f"{before}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{before}{key}", float(value)


def _by_number(pair: tuple[str, object]) -> int:
    return int(pair[0])
