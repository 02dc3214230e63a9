"""Imported once by the fork server: everything a worker needs, the compiled kernel included."""

from __future__ import annotations

from tests.compiled import load_kernel
from tests.faults import worker
from tests.unit.streaming.streams import Driver, event

# here, or a worker compiles the rest, is killed at the run's end, and the next one begins again
load_kernel()
driver = Driver()
driver.step([event()])
driver.fold([event(transaction_id="t-warm")])
RUN = worker.run
