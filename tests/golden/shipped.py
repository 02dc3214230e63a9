"""Whether the shipped declarations are those by which the fixtures were made, and a model that fits them if not.

The shipped stream grows only in a release that says so, but anyone may try a feature in it. Then one test is red and
says what to do (``test_golden.py``), what compares with the fixtures is left out, and every other test takes the model
of ``bundle_folder``, which is made for whatever is declared.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.golden import bundle
from tests.golden.log import EXPECTED
from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES

KEPT_HASH: Final[str] = json.loads((EXPECTED / "payments.json").read_bytes())["declarations_hash"]
ARE_THOSE_KEPT: Final = KEPT_HASH == DECLARATIONS_HASH
CHANGED: Final = (
    f"the shipped stream is not the one of the fixtures: expected declarations {KEPT_HASH}, "
    f"found {DECLARATIONS_HASH} in schemas/streams/payments.py. In a proposal this one test is red on purpose; a "
    "release that changes the stream writes the fixtures again: .venv/bin/python -m tests.golden.make --apply"
)
of_the_fixtures = pytest.mark.of_the_fixtures
"""For what compares with the fixtures: deselected where they were made from another stream, and would say nothing."""


@cache
def bundle_folder() -> Path:
    """Return the folder of the model that was kept; for other declarations, of the same model made for them."""
    if ARE_THOSE_KEPT:
        return EXPECTED / "bundle"
    folder = Path(tempfile.mkdtemp(prefix="weir-golden-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    bundle.write(folder, FEATURE_NAMES, DECLARATIONS_HASH)
    return folder
