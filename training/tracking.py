"""Records each training run in MLflow: a SQLite file and an artifact folder under ``<home>/mlruns``, no server.

SQLite, because MLflow's plain folder store is closed to new features and refuses to open by default. MLflow's usage
reporting is switched off before it is imported: a training run talks to nobody.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EXPERIMENT = "weir"
_SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


_PARENT = "mlflow.parentRunId"
"""The tag by which MLflow shows a run below another."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search, as it is recorded."""

    name: str
    parameters: Mapping[str, object]
    metrics: Mapping[str, float]


def track_run(
    folder: Path,
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
        folder: holds ``mlflow.db`` and ``artifacts``; made when absent.
        name: the run's name.
        now_ms: UTC epoch milliseconds, the time of every metric.
        parameters: logged as text.
        metrics: logged as numbers.
        bundle: every file of it becomes an artifact.
        trials: each becomes a run below this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(_SILENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside MLflow are not ours to fix
        return _record(folder.resolve(), name, now_ms, parameters, metrics, bundle, trials)


def _record(
    folder: Path,
    name: str,
    now_ms: int,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float],
    bundle: Path,
    trials: Sequence[Trial],
) -> str:
    from mlflow.entities import Metric, Param  # noqa: PLC0415 - seconds to import, and only after _SILENT is set
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name(EXPERIMENT)
    artifacts = (folder / "artifacts").as_uri()
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, artifact_location=artifacts)

    def record(called: str, tags: dict[str, str], given: Mapping[str, object], found: Mapping[str, float]) -> str:
        run_id = str(client.create_run(experiment, run_name=called, start_time=now_ms, tags=tags).info.run_id)
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, now_ms, 0) for key, value in found.items()],
            params=[Param(key, str(value)) for key, value in given.items()],
        )
        return run_id

    run_id = record(name, {}, parameters, metrics)
    client.log_artifacts(run_id, str(bundle))
    for trial in trials:
        client.set_terminated(record(trial.name, {_PARENT: run_id}, trial.parameters, trial.metrics))
    client.set_terminated(run_id)
    return run_id
