"""The embedded schema registry: Apicurio, by its Confluent-compatible API, on a file database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from weir.infra.embedded.artifacts import Progress, ensure_registry
from weir.infra.embedded.java import find_java
from weir.infra.embedded.loopback import NO_CERTIFICATES, is_served
from weir.schemas.errors import WeirError


@dataclass(frozen=True)
class RegistryServer:
    """How to run the registry in ``folder`` on ``port``."""

    folder: Path
    port: int
    progress: Progress
    name: str = "registry"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port it listens on."""
        return (self.port,)

    @property
    def url(self) -> str:
        """Where its Confluent-compatible API is."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def prepare(self) -> list[str]:
        """Fetch and unpack it at first; return the command."""
        app = ensure_registry(self.progress)
        java = find_java()
        # WRITE_DELAY=0: else a kill loses the last second of registered schemas, and their ids with them
        # in the folder that it runs in: a path may have a semicolon, which would end it here
        database = "jdbc:h2:file:./registry;WRITE_DELAY=0"
        properties = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": str(self.port),
            "registry.datasource.url": database,
            "quarkus.datasource.jdbc.url": database,
            "quarkus.log.console.color": "false",
        }
        flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        (jar,) = app.glob("*-runner.jar")
        defined = [f"-D{name}={value}" for name, value in properties.items()]
        return [java.path, *java.options(), *flags, *defined, "-jar", str(jar)]

    def is_ready(self) -> bool:
        """Return whether it lists subjects."""
        return is_served(f"{self.url}/subjects")

    def recovery(self, _output: str) -> str:
        """Return nothing: its database is small and opens at once."""
        return ""

    def settle(self) -> None:
        """Make NONE the level of a subject that has none of its own.

        A subject's NONE is kept by dropping its rule, so that any other global level would be obeyed in its place
        though NONE is answered. Our own subjects get their levels from ``weir schemas register``.

        Raises:
            WeirError: it refused.
        """
        config = f"{self.url}/config"
        found = httpx.get(config, timeout=10, verify=NO_CERTIFICATES)
        if found.status_code == httpx.codes.OK and found.json().get("compatibilityLevel") != "NONE":
            none = {"compatibility": "NONE"}  # refused where it is NONE already
            found = httpx.put(config, json=none, timeout=10, verify=NO_CERTIFICATES)
        if found.status_code != httpx.codes.OK:
            raise WeirError(f"registry: expected compatibility NONE to be set, found HTTP {found.status_code}")
