"""Imported once by the fork server: everything that a process of the product needs, the compiled kernel included."""

from __future__ import annotations

import importlib

import weir.cli
from tests.compiled import load_kernel
from tests.unit.streaming.streams import Driver, event

for verb in ("process", "score", "index", "run", "serve", "dlq", "publish", "features", "inspect", "offsets"):
    importlib.import_module(weir.cli.VERBS[verb][0])
for module in ("weir.inference.api.serve", "tests.unit.inference.test_api"):
    importlib.import_module(module)
load_kernel()
driver = Driver()
driver.step([event()])
driver.fold([event(transaction_id="t-warm")])
