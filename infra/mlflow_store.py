"""Where MLflow's store is, and how its processes are kept silent; nothing of MLflow is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

from weir.infra.setting_values import check_registry_url

SILENT: Final = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
HTTP_SECONDS: Final = 5
"""Of one request to a server; one that does not answer holds up no command."""


def check_uri(text: str) -> str:
    """Return the URL of an MLflow server as it is; empty is the file in the home."""
    if "@" in text:
        raise ValueError("expected no user in the URL; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD say it")
    return text and check_registry_url(text)


class MlflowSettings(BaseModel):
    """Where training runs are recorded and bundles registered; no process that decides asks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracking_uri: Annotated[str, AfterValidator(check_uri)] = ""
    """Of an MLflow server; empty is the file ``<home>/mlruns/mlflow.db``."""


def find_database(home: Path) -> Path:
    """Return the SQLite file of the runs and models of a home; artifacts are in ``artifacts`` next to it."""
    return home.resolve() / "mlruns" / "mlflow.db"
