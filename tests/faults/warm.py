"""Imported once by the fork server: everything a worker needs, the compiled kernel included."""

from __future__ import annotations

from tests.faults import worker
from tests.unit.streaming.streams import Driver, event

driver = Driver()
driver.step([event()])
driver.fold([event(transaction_id="t-warm")])
RUN = worker.run
