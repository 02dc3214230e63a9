"""Programs that are no Python packages, Prometheus' and a browser: asked for by name, never missed where CI runs."""

from __future__ import annotations

import os
import shutil
import unittest
from typing import NoReturn

MONITORING = "prometheus prometheus-alertmanager"
"""Packages of Debian that bring the programs of monitoring."""


def find(*names: str, packages: str = MONITORING) -> str:
    """Return the path of a program by one of its names; without it CI fails, and a developer's run leaves the test out.

    Args:
        names: any of these does.
        packages: of Debian, which bring it.

    Raises:
        unittest.SkipTest: it is not here, and this is no run of CI; the reason says how to get it.
    """
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        install = f"apt-get install --no-install-recommends {packages}"
        leave_out(f"expected {' or '.join(names)} on the path, found none; `{install}` brings it")
    return found


def leave_out(reason: str) -> NoReturn:
    """Leave a test out in a developer's run, with the reason; where CI runs, nothing may be missing.

    Raises:
        unittest.SkipTest: this is no run of CI.
    """
    if os.environ.get("CI"):
        raise AssertionError(reason)
    raise unittest.SkipTest(reason)
