"""Every contender by name, in the order of the first round."""

from __future__ import annotations

from tests.bench import api, backlog, flood, live, peer_runs, scoring, state
from tests.bench.rounds import Contender
from tests.bench.targets import RATES, short

_ALL = (
    Contender("plain-loop", backlog.plain_loop),
    Contender("processor", backlog.processor_eos),
    Contender("at-least-once", backlog.processor_alo),
    Contender("quix-eos", peer_runs.quix_eos),
    Contender("quix-alo", peer_runs.quix_alo),
    Contender("quix-windows", peer_runs.quix_windows),
    Contender("faust", peer_runs.faust),
    Contender("per-event-redis", peer_runs.per_event_redis),
    Contender("poison-flood", flood.poison_flood),
    Contender("pipeline", backlog.pipeline),
    Contender("fused", backlog.fused),
    Contender("scorer", scoring.scorer),
    *(Contender(f"live-{short(rate)}", live.end_to_end(rate)) for rate in RATES),
    *(Contender(f"run-live-{short(rate)}", live.end_to_end(rate, live.FUSED)) for rate in RATES[:2]),
    Contender("freshness", live.freshness),
    Contender("kernel", state.kernel),
    Contender("rebuild", state.rebuild),
    Contender("bytes", state.bytes_per_entity, once=True),
    Contender("replay", state.replay),
    Contender("score-api", api.score),
    Contender("features-api", api.features),
)
CONTENDERS: dict[str, Contender] = {contender.name: contender for contender in _ALL}
QUICK_NAMES = ["plain-loop", "processor", "at-least-once", "quix-eos", "kernel", "rebuild", "bytes", "replay"]
"""What fits in three minutes; the rest needs a trained model or time to settle."""
RATIO_NAMES = ["plain-loop", "processor", "quix-eos"]
"""What the ratios of the quick run are made of."""
