"""Records each training run in MLflow: a SQLite file and an artifact folder under ``<home>/mlruns``, no server.

SQLite, because MLflow's plain folder store is closed to new features and refuses to open by default. MLflow's usage
reporting is switched off before it is imported: a training run talks to nobody.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

EXPERIMENT = "weir"
_SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def track_run(
    folder: Path,
    *,
    name: str,
    now_ms: int,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float],
    bundle: Path,
) -> str:
    """Record one finished run and return its MLflow run id.

    Args:
        folder: holds ``mlflow.db`` and ``artifacts``; made when absent.
        name: the run's name.
        now_ms: UTC epoch milliseconds, the time of every metric.
        parameters: logged as text.
        metrics: logged as numbers.
        bundle: every file of it becomes an artifact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(_SILENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside MLflow are not ours to fix
        return _record(folder.resolve(), name, now_ms, parameters, metrics, bundle)


def _record(
    folder: Path, name: str, now_ms: int, parameters: Mapping[str, object], metrics: Mapping[str, float], bundle: Path
) -> str:
    from mlflow.entities import Metric, Param  # noqa: PLC0415 - seconds to import, and only after _SILENT is set
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name(EXPERIMENT)
    artifacts = (folder / "artifacts").as_uri()
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    run_id = str(client.create_run(experiment, run_name=name, start_time=now_ms).info.run_id)
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, now_ms, 0) for key, value in metrics.items()],
        params=[Param(key, str(value)) for key, value in parameters.items()],
    )
    client.log_artifacts(run_id, str(bundle))
    client.set_terminated(run_id)
    return run_id
