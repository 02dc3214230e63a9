"""Prometheus' programs, which are no Python packages: asked for by name, and never missed where CI runs."""

from __future__ import annotations

import os
import shutil
import unittest

INSTALL = "apt-get install --no-install-recommends prometheus prometheus-alertmanager"


def find(*names: str) -> str:
    """Return the path of a program by one of its names; without it CI fails, and a developer's run leaves the test out.

    Raises:
        unittest.SkipTest: it is not here, and this is no run of CI; the reason says how to get it.
    """
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is not None:
        return found
    reason = f"expected {' or '.join(names)} on the path, found none; `{INSTALL}` brings it"
    if os.environ.get("CI"):
        raise AssertionError(reason)
    raise unittest.SkipTest(reason)
