"""Starts each peer in its own environment on the shared input; what it is made to do stands in its own file."""

from __future__ import annotations

from tests.bench.backlog import measure
from tests.bench.figures import Sample
from tests.bench.lab import INPUT, PEERS, Lab
from tests.bench.rounds import NotMeasured, Scenario


def _peer(key: str, module: str, *flags: str, outputs_per_record: int = 1) -> Scenario:
    def scenario(lab: Lab, name: str) -> list[Sample]:
        if not PEERS.exists():
            raise NotMeasured("the peers' environment is not there; `make peers` builds it")
        output = lab.create_output(name)
        folder = lab.home / name
        folder.mkdir()
        where = {
            "--broker": lab.settings.kafka.bootstrap_servers,
            "--redis": lab.settings.redis.url,
            "--group": name,
            "--input": INPUT,
            "--output": output,
            "--folder": str(folder),
        }
        command = [str(PEERS), "-m", f"tests.bench.peers.{module}", *(part for pair in where.items() for part in pair)]
        sample = measure(
            lab,
            key,
            output,
            lambda p: p.children.start(name, [*command, *flags]),
            outputs_per_record=outputs_per_record,
        )
        lab.delete_topics_of(name)
        lab.delete_keys(f"{name}:*")
        return [sample]

    return scenario


quix_eos = _peer("quix_eos_eps", "quix_peer", "--guarantee", "exactly-once")
quix_alo = _peer("quix_alo_eps", "quix_peer", "--guarantee", "at-least-once")
quix_windows = _peer(
    "quix_windows_eos_eps", "quix_peer", "--guarantee", "exactly-once", "--form", "operators", outputs_per_record=3
)
faust = _peer("faust_eps", "faust_peer")
per_event_redis = _peer("per_event_redis_eps", "redis_peer")
