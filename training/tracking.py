"""Records training runs in MLflow: by default a SQLite file and an artifact folder under ``<home>/mlruns``, no server.

SQLite, because MLflow's plain folder store is closed to new features and refuses to open by default. MLflow's usage
reporting is switched off before it is imported: a command talks to nobody but the store. It takes seconds to import,
so only what uses it imports it, and no process that decides does.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from weir.inference.model_store import MANIFEST_FILE, hash_manifest
from weir.infra.mlflow_store import HTTP_SECONDS, SILENT, find_database
from weir.infra.settings import Settings
from weir.schemas.errors import Transient

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "weir"
BUNDLE_TAG: Final = "weir.bundle"
"""Of a run and of a model's version: the hash of the bundle's manifest, which names the hash of its model."""
_BOUNDED = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(HTTP_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
}
_PARENT = "mlflow.parentRunId"
"""The tag by which MLflow shows a run below another."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search, as it is recorded."""

    name: str
    parameters: Mapping[str, object]
    metrics: Mapping[str, float]


def has_store(settings: Settings) -> bool:
    """Tell whether there is anything of MLflow yet; nothing is imported."""
    return bool(settings.mlflow.tracking_uri) or find_database(settings.home).is_file()


@contextmanager
def open_client(settings: Settings) -> Iterator[MlflowClient]:
    """Import MLflow, and open its store; the file is made where there is none.

    Raises:
        Transient: it is not installed, does not answer in time, or refuses.
    """
    database = find_database(settings.home)
    uri = settings.mlflow.tracking_uri or f"sqlite:///{database}"
    os.environ.update(SILENT | _BOUNDED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside MLflow are not ours to fix
        try:
            from mlflow.exceptions import MlflowException  # noqa: PLC0415 - seconds to import, and only when silent
            from mlflow.tracking import MlflowClient  # noqa: PLC0415
            from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415
        except ModuleNotFoundError as error:  # an image for serving
            raise Transient(f"MLflow: expected it to be installed, found no {error.name}") from None
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        try:
            if not settings.mlflow.tracking_uri:
                database.parent.mkdir(parents=True, exist_ok=True)
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Transient(f"MLflow at {uri}: expected an answer, found: {first:.200}") from error


def find_experiment(client: MlflowClient, settings: Settings) -> str:
    """Return the id of the experiment, made where there is none."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    folder = find_database(settings.home).parent / "artifacts"
    artifacts = None if settings.mlflow.tracking_uri else folder.as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))


def track_run(
    settings: Settings,
    *,
    name: str,
    now_ms: int,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float],
    bundle: Path,
    trials: Sequence[Trial] = (),
) -> str:
    """Record one finished run and return its MLflow run id.

    Args:
        settings: say where MLflow is.
        name: the run's name.
        now_ms: UTC epoch milliseconds, the time of every metric.
        parameters: logged as text.
        metrics: logged as numbers.
        bundle: every file of it becomes an artifact.
        trials: each becomes a run below this one.

    Raises:
        Transient: MLflow does not answer.
    """
    content = hash_manifest((bundle / MANIFEST_FILE).read_bytes())  # a file that is gone is no fault of MLflow
    with open_client(settings) as client:
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - after it was silenced

        experiment = find_experiment(client, settings)

        def record(called: str, tags: dict[str, Any], given: Mapping[str, object], found: Mapping[str, float]) -> str:
            run_id = str(client.create_run(experiment, run_name=called, start_time=now_ms, tags=tags).info.run_id)
            client.log_batch(
                run_id,
                metrics=[Metric(key, value, now_ms, 0) for key, value in found.items()],
                params=[Param(key, str(value)) for key, value in given.items()],
            )
            return run_id

        run_id = record(name, {BUNDLE_TAG: content}, parameters, metrics)
        client.log_artifacts(run_id, str(bundle))
        for trial in trials:
            client.set_terminated(record(trial.name, {_PARENT: run_id}, trial.parameters, trial.metrics))
        client.set_terminated(run_id)
    return run_id
