"""MLflow's page of runs and models, on the loopback and the same SQLite file that commands write to."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from weir.infra.embedded.loopback import is_served
from weir.schemas.errors import Refused


@dataclass(frozen=True)
class MlflowServer:
    """How to serve the page of the runs and models in ``database`` on ``port``."""

    database: Path
    port: int
    name: str = "mlflow"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port it listens on."""
        return (self.port,)

    def prepare(self) -> list[str]:
        """Return the command that starts it.

        Raises:
            Refused: MLflow is not installed.
        """
        if importlib.util.find_spec("mlflow") is None:
            raise Refused(
                "expected MLflow to be installed, which training brings, found none; leave --with mlflow out here"
            )
        return [sys.executable, "-m", "weir.infra.embedded.mlflow_page", str(self.database), str(self.port)]

    def is_ready(self) -> bool:
        """Return whether it serves."""
        return is_served(f"http://127.0.0.1:{self.port}/health")

    def recovery(self, _output: str) -> str:
        """Return nothing: its database opens at once."""
        return ""

    def settle(self) -> None:
        """Do nothing: its store is made by who writes to it first."""
