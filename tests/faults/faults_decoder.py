"""Records that end the process that decodes them."""

from __future__ import annotations

from functools import partial

from tests.faults.catalogue import fault
from tests.faults.contracts import encode
from tests.faults.faults_records import newest_schema, payments
from tests.faults.lab import Lab, Plan
from tests.faults.load import HANGER, KILLER, Sending
from tests.faults.logs import read_topic
from tests.faults.workers import await_true

KILLERS, HANGERS = 7, 2
KILLERS_SHORT, HANGERS_SHORT = 3, 1
STARTS_BEFORE = 2
"""A unit's records are examined from the third start on."""


@fault(
    "decoder-killed",
    "records that end the decoder, or hang it, under a supervisor; then the view is wiped and built again",
    Plan(rate=60, waits=True),
)
def decoder_killed(lab: Lab) -> None:
    lab.keep(lab.scorer())
    processor = lab.keep(lab.processor(quirks=("fragile",)))
    lab.run_until(processor)
    killers, hangers = (KILLERS, HANGERS) if lab.kills else (KILLERS_SHORT, HANGERS_SHORT)
    sent = [*send_marked(lab, KILLER, killers), *send_marked(lab, HANGER, hangers)]
    lab.recoveries.append(await_true(partial(_are_condemned, lab, sent), "each of them being a dead letter"))
    lab.times += len(_deaths(lab))
    lab.redis.flushall()
    deaths = len(_deaths(lab))
    lab.finish([])
    lab.expect(deaths > STARTS_BEFORE, f"expected more than {STARTS_BEFORE} ends of the processor, found {deaths}")
    lab.expect(len(_deaths(lab)) == deaths, "a processor that rebuilt the view decoded a condemned record again")
    lab.expect(_condemned(lab) == sorted(sent), f"expected each of {len(sent)} once, found {_condemned(lab)}")


def send_marked(lab: Lab, marker: str, count: int) -> list[bytes]:
    """Send payments whose ids carry a marker, and return their values."""
    rows = [row | {"transaction_id": f"{marker}{row['transaction_id']}"} for row in payments(lab, count)]
    url, known = lab.settings.registry.url, newest_schema(lab)
    sendings = [Sending("transactions", row["card_id"].encode(), encode(url, known, row)) for row in rows]
    lab.feeder.send(sendings)
    return [sending.value for sending in sendings if sending.value is not None]


def _condemned(lab: Lab) -> list[bytes]:
    prefix = lab.settings.processor.dlq_header_prefix
    letters = read_topic(lab.settings.kafka.bootstrap_servers, lab.settings.topics.dlq)
    return sorted(e.value or b"" for e in letters if e.header(prefix + "reason") == "decoder_died")


def _are_condemned(lab: Lab, sent: list[bytes]) -> bool:
    lab.revive()
    return len(_condemned(lab)) >= len(sent)


def _deaths(lab: Lab) -> list[str]:
    return [worker.name for worker in lab.crew.workers if worker.process.exitcode not in {0, None}]
