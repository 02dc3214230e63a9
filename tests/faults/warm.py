"""Imported once by the fork server: everything a worker needs, the compiled kernel included."""

from __future__ import annotations

from tests.faults import worker
from tests.unit.streaming.streams import Driver, event
from weir.streaming.core.warm_up import warm_up
from weir.streaming.kernels import shipped_kernel

# here, or a worker compiles the rest, is killed at the run's end, and the next one begins again
warm_up(shipped_kernel())
driver = Driver()
driver.step([event()])
driver.fold([event(transaction_id="t-warm")])
RUN = worker.run
