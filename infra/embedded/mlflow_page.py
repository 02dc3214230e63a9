"""The process that serves MLflow's page: ``python -m weir.infra.embedded.mlflow_page DATABASE PORT``.

It is MLflow's own application in one uvicorn process, so that who ends it ends all of it. It listens on the loopback,
asks nobody for a password, runs no jobs and reports to nobody. Its memory is bounded: a request that would take more
fails, and the page stays.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

from weir.infra.mlflow_store import SILENT

MEMORY_BYTES_MAX: Final = 1 << 30
"""Of its data; it takes some 0.2 GB when it has served the page."""
_HOST: Final = "127.0.0.1"


def main(argv: list[str]) -> None:
    """Serve until ended."""
    database, port = Path(argv[1]), int(argv[2])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    database.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(SILENT | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    import uvicorn  # noqa: PLC0415 - both take seconds, and MLflow has to be silenced before
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR  # noqa: PLC0415

    os.environ[BACKEND_STORE_URI_ENV_VAR] = f"sqlite:///{database}"
    os.environ[ARTIFACT_ROOT_ENV_VAR] = (database.parent / "artifacts").as_uri()
    uvicorn.run("mlflow.server.fastapi_app:app", host=_HOST, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv)
